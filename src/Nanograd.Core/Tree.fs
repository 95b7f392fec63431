namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Text
open FSharp.Reflection

/// How one .NET type is read as a tree of tensors.
[<AbstractClass>]
type internal Node() =
    /// Visits the tensors in order, with their paths; writes everything else (case names, lengths, numbers) to `structure`.
    abstract Walk: value: obj * path: string * visit: (string -> Tensor -> unit) * structure: StringBuilder -> unit
    /// A value like `value`, with the tensors that `next` gives, in the same order.
    abstract Build: value: obj * next: (unit -> Tensor) -> obj

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
            member _.Build(_, next) = box (next ()) }

    let private staticNode =
        { new Node() with
            member _.Walk(value, _, _, structure) =
                let text =
                    match value with
                    | null -> "null"
                    | :? IFormattable as f -> f.ToString(null, Globalization.CultureInfo.InvariantCulture)
                    | :? string as s -> s
                    | other -> $"{other.GetType().Name}@{Runtime.CompilerServices.RuntimeHelpers.GetHashCode other}"
                structure.Append(text).Append ';' |> ignore
            member _.Build(value, _) = value }

    /// A value that is made of named parts.
    let private compositeNode
        (tag: obj -> string)
        (names: obj -> string[])
        (parts: obj -> obj[])
        (nodes: obj -> Node[])
        (make: obj -> obj[] -> obj)
        =
        { new Node() with
            member _.Walk(value, path, visit, structure) =
                structure.Append(tag value).Append '(' |> ignore
                Array.iteri2
                    (fun i (n: Node) part -> n.Walk(part, join path (names value).[i], visit, structure))
                    (nodes value)
                    (parts value)
                structure.Append ')' |> ignore
            member _.Build(value, next) =
                make value (Array.map2 (fun (n: Node) part -> n.Build(part, next)) (nodes value) (parts value)) }

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
        let lazily (types: Type[]) = let nodes = lazy (Array.map nodeOf types) in fun (_: obj) -> nodes.Value
        let generic definition = t.IsGenericType && t.GetGenericTypeDefinition() = definition
        if t = typeof<Tensor> then
            tensorNode
        elif t.IsArray && t.GetArrayRank() = 1 then
            let element = t.GetElementType()
            let items (value: obj) = [| for x in (value :?> Array) -> x |]
            let rebuild (_: obj) (parts: obj[]) =
                let a = Array.CreateInstance(element, parts.Length)
                parts |> Array.iteri (fun i p -> a.SetValue(p, i))
                box a
            sequence element items rebuild
        elif generic typedefof<list<_>> then
            let element = t.GetGenericArguments().[0]
            let items (value: obj) = [| for x in (value :?> System.Collections.IEnumerable) -> x |]
            let cases = FSharpType.GetUnionCases t
            let rebuild (_: obj) (parts: obj[]) =
                Array.foldBack
                    (fun p rest -> FSharpValue.MakeUnion(cases[1], [| p; rest |]))
                    parts
                    (FSharpValue.MakeUnion(cases[0], [||]))
            sequence element items rebuild
        elif generic typedefof<Map<_, _>> then
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
            compositeNode
                (fun map -> "map" + String.Join(",", pairs map |> Array.map key.GetValue))
                (fun map -> pairs map |> Array.map (fun p -> string (key.GetValue p)))
                (fun map -> pairs map |> Array.map value.GetValue)
                (fun map -> Array.create (pairs map).Length node.Value)
                rebuild
        elif FSharpType.IsTuple t then
            let types = FSharpType.GetTupleElements t
            let read, build = FSharpValue.PreComputeTupleReader t, FSharpValue.PreComputeTupleConstructor t
            let names = Array.init types.Length string
            compositeNode (fun _ -> "tuple") (fun _ -> names) read (lazily types) (fun _ parts -> build parts)
        elif FSharpType.IsRecord(t, true) then
            let fields = FSharpType.GetRecordFields(t, true)
            let read, build =
                FSharpValue.PreComputeRecordReader(t, true), FSharpValue.PreComputeRecordConstructor(t, true)
            let names = fields |> Array.map (fun f -> f.Name)
            compositeNode
                (fun _ -> t.Name)
                (fun _ -> names)
                read
                (lazily (fields |> Array.map (fun f -> f.PropertyType)))
                (fun _ parts -> build parts)
        elif FSharpType.IsUnion(t, true) then
            union t
        else
            staticNode

    and private sequence (element: Type) (items: obj -> obj[]) (rebuild: obj -> obj[] -> obj) : Node =
        let node = lazy (nodeOf element)
        compositeNode
            (fun value -> $"seq{(items value).Length}")
            (fun value -> Array.init (items value).Length string)
            items
            (fun value -> Array.create (items value).Length node.Value)
            rebuild

    and private union (t: Type) : Node =
        let cases = FSharpType.GetUnionCases(t, true)
        let tag = FSharpValue.PreComputeUnionTagReader(t, true)
        let readers = cases |> Array.map (fun c -> FSharpValue.PreComputeUnionReader(c, true))
        let makers = cases |> Array.map (fun c -> FSharpValue.PreComputeUnionConstructor(c, true))
        let names = cases |> Array.map (fun c -> c.GetFields() |> Array.map (fun f -> f.Name))
        let nodes = cases |> Array.map (fun c -> lazy (c.GetFields() |> Array.map (fun f -> nodeOf f.PropertyType)))
        let optional = t.IsGenericType && t.GetGenericTypeDefinition() = typedefof<option<_>>
        let node =
            compositeNode
                (fun v -> cases[tag v].Name)
                (fun v -> names[tag v])
                (fun v -> readers[tag v] v)
                (fun v -> nodes[tag v].Value)
                (fun v parts -> makers[tag v] parts)
        if not optional then
            node
        else // Some x has the path of x itself
            { new Node() with
                member _.Walk(value, path, visit, structure) =
                    if isNull value then
                        structure.Append "None;" |> ignore
                    else
                        structure.Append "Some;" |> ignore
                        nodes[1].Value.[0].Walk((readers[1] value).[0], path, visit, structure)
                member _.Build(value, next) =
                    if isNull value then
                        value
                    else
                        makers[1] [| nodes[1].Value.[0].Build((readers[1] value).[0], next) |] }

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
        let mutable i = 0
        let next () =
            if i >= tensors.Length then invalidArg "tensors" $"the tree has more than {tensors.Length} tensors"
            i <- i + 1
            tensors[i - 1]
        let result = (nodeOf typeof<'T>).Build(box tree, next) :?> 'T
        if i <> tensors.Length then invalidArg "tensors" $"the tree has {i} tensors, not {tensors.Length}"
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
