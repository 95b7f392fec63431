namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Reflection
open System.Text
open FSharp.Reflection

/// Tensors of a tree, put one after the other into an array that lives longer than one walk.
[<Sealed>]
type internal Leaves(tensors: Tensor[]) =
    member _.Tensors = tensors
    member val Count = 0 with get, set
    member leaves.Add(t: Tensor) =
        tensors[leaves.Count] <- t
        leaves.Count <- leaves.Count + 1

/// Where the tensors of a new tree come from, in order.
[<AbstractClass; AllowNullLiteral>]
type internal Supply() =
    /// The tensor for the place where the model has `model`.
    abstract Next: model: Tensor -> Tensor

/// These tensors, one after the other.
[<Sealed; AllowNullLiteral>]
type private Given(tensors: Tensor[]) =
    inherit Supply()
    let mutable count = 0
    member _.Count = count
    override _.Next _ =
        if count >= tensors.Length then invalidArg "tensors" $"the tree has more than {tensors.Length} tensors"
        count <- count + 1
        tensors[count - 1]

/// How one .NET type is read as a tree of tensors.
[<AbstractClass>]
type internal Node() =
    /// Visits the tensors in order, with their paths; writes everything else (case names, lengths, numbers) to `structure`.
    abstract Walk: value: obj * path: string * visit: (string -> Tensor -> unit) * structure: StringBuilder -> unit
    /// Is `value` like `model` in everything but what its tensors hold: the same structure, the same types and shapes, and values (no
    /// expressions) in all places? Collects its tensors on the way. Asked in every call of a compiled function: no text is made.
    abstract Matches: value: obj * model: obj * leaves: Leaves -> bool
    /// A value like `value`, with the tensors that `next` gives, in the same order.
    abstract Build: value: obj * next: Supply -> obj

/// Reads a property of a reference type: a delegate, because reflection is slow.
[<AbstractClass>]
type private Getter() =
    abstract Get: obj -> obj
    static member Of(p: PropertyInfo) =
        let t = typedefof<Getter<_, _>>.MakeGenericType(p.DeclaringType, p.PropertyType)
        Activator.CreateInstance(t, p.GetGetMethod true) :?> Getter

and private Getter<'T, 'P>(getter: MethodInfo) =
    inherit Getter()
    let read = Delegate.CreateDelegate(typeof<Func<'T, 'P>>, getter) :?> Func<'T, 'P>
    override _.Get value = box (read.Invoke(unbox<'T> value))

/// Takes arrays and lists apart and puts them together.
[<AbstractClass>]
type private Sequence() =
    abstract Items: obj -> obj[]
    abstract Make: obj[] -> obj

type private ArraySequence<'e>() =
    inherit Sequence()
    override _.Items value =
        match value with
        | :? (obj[]) as items -> items
        | other -> Array.map box (other :?> 'e[])
    override _.Make items = box (Array.map unbox<'e> items)

type private ListSequence<'e>() =
    inherit Sequence()
    override _.Items value = value :?> 'e list |> List.toArray |> Array.map box
    override _.Make items = box (List.init items.Length (fun i -> unbox<'e> items[i]))

/// Parameter trees: any record, tuple, list, array, option, Map or union made of tensors is a tree. What is not a tensor (numbers,
/// strings, functions) belongs to the structure and is carried along. The names in checkpoints are the paths found here: `Blocks.0.Weight`.
[<RequireQualifiedAccess>]
module Tree =
    let private join path (name: string) = if path = "" then name else path + "." + name

    let private tensorNode =
        { new Node() with
            member _.Walk(value, path, visit, structure) =
                structure.Append "t;" |> ignore
                visit path (value :?> Tensor)
            member _.Matches(value, model, leaves) =
                let t, m = value :?> Tensor, model :?> Tensor
                match t.Op with
                | Op.Literal _ when t.DType = m.DType && MemoryExtensions.SequenceEqual(t.Shape.AsSpan(), m.Shape) ->
                    leaves.Add t
                    true
                | _ -> false
            member _.Build(value, next) = box (next.Next(value :?> Tensor)) }

    let private staticText (value: obj) =
        match value with
        | null -> "null"
        | :? IFormattable as f -> f.ToString(null, Globalization.CultureInfo.InvariantCulture)
        | :? string as s -> s
        | other -> $"{other.GetType().Name}@{Runtime.CompilerServices.RuntimeHelpers.GetHashCode other}"

    let private staticNode =
        { new Node() with
            member _.Walk(value, _, _, structure) = structure.Append(staticText value).Append ';' |> ignore
            member _.Matches(value, model, _) =
                Object.ReferenceEquals(value, model) || staticText value = staticText model
            member _.Build(value, _) = value }

    /// A value that is made of named parts.
    let private compositeNode
        (tag: obj -> string)
        (names: obj -> string[])
        (parts: obj -> obj[])
        (node: obj -> int -> Node)
        (isSameCase: obj -> obj -> bool)
        (make: obj -> obj[] -> obj)
        =
        { new Node() with
            member _.Walk(value, path, visit, structure) =
                structure.Append(tag value).Append '(' |> ignore
                let names, parts = names value, parts value
                for i in 0 .. parts.Length - 1 do
                    (node value i).Walk(parts[i], join path names[i], visit, structure)
                structure.Append ')' |> ignore
            member _.Matches(value, model, leaves) =
                isSameCase value model
                && (let parts, models = parts value, parts model
                    let mutable isSame = parts.Length = models.Length
                    let mutable i = 0
                    while isSame && i < parts.Length do
                        isSame <- (node value i).Matches(parts[i], models[i], leaves)
                        i <- i + 1
                    isSame)
            member _.Build(value, next) =
                let parts = parts value
                let built = Array.zeroCreate parts.Length
                for i in 0 .. parts.Length - 1 do
                    built[i] <- (node value i).Build(parts[i], next)
                make value built }

    /// All parts of a value.
    let private reader (t: Type) (properties: PropertyInfo[]) : obj -> obj[] =
        if t.IsValueType then
            fun value -> properties |> Array.map (fun p -> p.GetValue value)
        else
            let getters = Array.map Getter.Of properties
            fun value ->
                let parts = Array.zeroCreate getters.Length
                for i in 0 .. parts.Length - 1 do
                    parts[i] <- getters[i].Get value
                parts

    let private constructor (info: ConstructorInfo) : obj[] -> obj =
        let invoker = ConstructorInvoker.Create info
        fun parts -> invoker.Invoke(Span<obj> parts)

    let private cache = ConcurrentDictionary<Type, Node>()

    let rec private nodeOf (t: Type) : Node =
        match cache.TryGetValue t with
        | true, n -> n
        | _ ->
            let n = make t
            cache[t] <- n
            n

    // Private types are trees too: one taken for a constant would silently get no gradient.
    and private make (t: Type) : Node =
        let generic definition = t.IsGenericType && t.GetGenericTypeDefinition() = definition
        if t = typeof<Tensor> then tensorNode
        elif t.IsArray && t.GetArrayRank() = 1 then sequence typedefof<ArraySequence<_>> (t.GetElementType())
        elif generic typedefof<list<_>> then sequence typedefof<ListSequence<_>> (t.GetGenericArguments().[0])
        elif generic typedefof<Map<_, _>> then table t
        elif FSharpType.IsTuple t then tuple t
        elif FSharpType.IsRecord(t, true) then record t
        elif FSharpType.IsUnion(t, true) then union t
        else staticNode

    /// Parts that every value of the type has.
    and private fixedParts name (names: string[]) (types: Type[]) read (build: obj[] -> obj) =
        let nodes = lazy (Array.map nodeOf types)
        let always _ _ = true
        compositeNode (fun _ -> name) (fun _ -> names) read (fun _ i -> nodes.Value[i]) always (fun _ parts ->
            build parts)

    and private tuple (t: Type) : Node =
        let types = FSharpType.GetTupleElements t
        let names = Array.init types.Length string
        let read, build =
            if t.IsValueType || types.Length > 7 then // fields instead of properties, or nested
                FSharpValue.PreComputeTupleReader t, FSharpValue.PreComputeTupleConstructor t
            else
                let properties = names |> Array.map (fun n -> t.GetProperty("Item" + string (int n + 1)))
                reader t properties, constructor (fst (FSharpValue.PreComputeTupleConstructorInfo t))
        fixedParts "tuple" names types read build

    and private record (t: Type) : Node =
        let fields = FSharpType.GetRecordFields(t, true)
        let names, types = fields |> Array.map (fun f -> f.Name), fields |> Array.map (fun f -> f.PropertyType)
        let build = constructor (FSharpValue.PreComputeRecordConstructorInfo(t, true))
        fixedParts t.Name names types (reader t fields) build

    and private sequence (definition: Type) (element: Type) : Node =
        let s = Activator.CreateInstance(definition.MakeGenericType element) :?> Sequence
        let node = lazy (nodeOf element)
        compositeNode
            (fun value -> $"seq{(s.Items value).Length}")
            (fun value -> Array.init (s.Items value).Length string)
            s.Items
            (fun _ _ -> node.Value)
            (fun _ _ -> true)
            (fun _ parts -> s.Make parts)

    and private table (t: Type) : Node =
        let arguments = t.GetGenericArguments()
        let pair = typedefof<KeyValuePair<_, _>>.MakeGenericType arguments
        let key, value = pair.GetProperty "Key", pair.GetProperty "Value"
        let tuple = FSharpType.MakeTupleType arguments
        let pairs (map: obj) = [| for x in (map :?> System.Collections.IEnumerable) -> x |]
        let rebuild (map: obj) (parts: obj[]) =
            let entries = Array.CreateInstance(tuple, parts.Length)
            Array.iteri2
                (fun i p x -> entries.SetValue(FSharpValue.MakeTuple([| key.GetValue p; x |], tuple), i))
                (pairs map)
                parts
            Activator.CreateInstance(t, entries)
        let node = lazy (nodeOf arguments[1])
        let tag map = "map" + String.Join(",", pairs map |> Array.map key.GetValue)
        compositeNode
            tag
            (fun map -> pairs map |> Array.map (fun p -> string (key.GetValue p)))
            (fun map -> pairs map |> Array.map value.GetValue)
            (fun _ _ -> node.Value)
            (fun a b -> tag a = tag b)
            rebuild

    and private union (t: Type) : Node =
        let cases = FSharpType.GetUnionCases(t, true)
        let tag = FSharpValue.PreComputeUnionTagReader(t, true)
        let readers = cases |> Array.map (fun c -> reader t (c.GetFields()))
        let maker (case: UnionCaseInfo) =
            let invoker = MethodInvoker.Create(FSharpValue.PreComputeUnionConstructorInfo(case, true))
            fun (parts: obj[]) -> invoker.Invoke(null, Span<obj> parts)
        let makers = cases |> Array.map maker
        let names = cases |> Array.map (fun c -> c.GetFields() |> Array.map (fun f -> f.Name))
        let nodes = cases |> Array.map (fun c -> lazy (c.GetFields() |> Array.map (fun f -> nodeOf f.PropertyType)))
        if t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<option<_>> then
            optional (fun () -> nodes[1].Value.[0]) (fun some -> (readers[1] some).[0]) (fun x -> makers[1] [| x |])
        else
            compositeNode
                (fun v -> cases[tag v].Name)
                (fun v -> names[tag v])
                (fun v -> readers[tag v] v)
                (fun v i -> nodes[tag v].Value.[i])
                (fun a b -> tag a = tag b)
                (fun v parts -> makers[tag v] parts)

    /// Some x has the path of x itself.
    and private optional (node: unit -> Node) (content: obj -> obj) (some: obj -> obj) : Node =
        { new Node() with
            member _.Walk(value, path, visit, structure) =
                if isNull value then
                    structure.Append "None;" |> ignore
                else
                    structure.Append "Some;" |> ignore
                    node().Walk(content value, path, visit, structure)
            member _.Matches(value, model, leaves) =
                if isNull value || isNull model then
                    isNull value && isNull model
                else
                    node().Matches(content value, content model, leaves)
            member _.Build(value, next) = if isNull value then value else some (node().Build(content value, next)) }

    /// How trees of a type are read.
    let internal node<'T> : Node = nodeOf typeof<'T>

    /// The tensors of a tree with their paths, in the order of the type's declaration.
    let named (tree: 'T) : (string * Tensor)[] =
        let found = List<string * Tensor>()
        (nodeOf typeof<'T>).Walk(box tree, "", (fun path t -> found.Add((path, t))), StringBuilder())
        found.ToArray()

    /// The tensors of a tree.
    let leaves (tree: 'T) : Tensor[] = named tree |> Array.map snd

    /// The tensors of a tree, and a text that is equal for trees of equal structure (everything but the tensors).
    let flatten (tree: 'T) : Tensor[] * string =
        let found, structure = List<Tensor>(), StringBuilder()
        (nodeOf typeof<'T>).Walk(box tree, "", (fun _ t -> found.Add t), structure)
        found.ToArray(), structure.ToString()

    /// A tree like `tree` with other tensors, given in the same order.
    let rebuild (tree: 'T) (tensors: Tensor[]) : 'T =
        let given = Given tensors
        let result = (nodeOf typeof<'T>).Build(box tree, given) :?> 'T
        if given.Count <> tensors.Length then
            invalidArg "tensors" $"the tree has {given.Count} tensors, not {tensors.Length}"
        result

    /// The same tree with `f` applied to every tensor.
    let map (f: Tensor -> Tensor) (tree: 'T) : 'T = rebuild tree (Array.map f (leaves tree))

    /// Applies `f` to the tensors of two trees of equal structure, place by place.
    let map2 (f: Tensor -> Tensor -> Tensor) (a: 'T) (b: 'T) : 'T =
        let x, y = leaves a, leaves b
        if x.Length <> y.Length then invalidArg "b" $"the trees have {x.Length} and {y.Length} tensors"
        rebuild a (Array.map2 f x y)

    /// The number of elements in all tensors of a tree.
    let count (tree: 'T) = leaves tree |> Array.sumBy (fun t -> int64 t.Count)
