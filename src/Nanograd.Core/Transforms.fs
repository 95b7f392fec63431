namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Reflection
open FSharp.Reflection

/// Tracing functions into programs, and finding the programs again.
[<RequireQualifiedAccess>]
module internal Jit =
    /// `results` with values in place of variables.
    let bind (variables: Tensor[]) (values: Tensor[]) (results: Tensor[]) =
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (v: Tensor) x -> replacements[v.Hash] <- x) variables values
        Substitute.apply replacements results

    /// What jit keeps for one combination of structure, shapes and types.
    [<NoComparison; NoEquality>]
    type private Compiled<'B> = { Program: Executable; Captured: Storage[]; Output: 'B }

    let private isOpen (t: Tensor) =
        match t.Op with
        | Op.Literal _ -> false
        | _ -> not (Graph.isClosed t)

    /// The first `count` storages are donated. One of them that occurs more than once is donated once: its other places, which the
    /// program reads while it writes there, get copies.
    let private apart (count: int) (storages: Storage[]) : Storage[] =
        let donated = HashSet<int64>()
        let isTaken i (s: Storage) = if i < count then not (donated.Add s.Id) else donated.Contains s.Id
        storages |> Array.mapi (fun i s -> if isTaken i s then Buffers.copy s else s)

    /// After a successful run (a failed one leaves the state as it was): the donated storages are closed, and results that took their
    /// memory over get storages of their own.
    let private close (count: int) (given: Storage[]) (results: Storage[]) : Storage[] =
        let moved = Dictionary<int64, Storage>()
        for s in Seq.truncate count given do
            moved[s.Id] <- s.Donate "a jit-compiled function"
        results
        |> Array.map (fun r ->
            match moved.TryGetValue r.Id with
            | true, own -> own
            | _ -> r)

    /// A compiled form of `f`; of the argument's tensors, the first `donated argument` are used up by each call.
    let compile (donated: 'A -> int) (f: 'A -> 'B) : 'A -> 'B =
        let cache = ConcurrentDictionary<string, Compiled<'B>>()
        fun argument ->
            let leaves, structure = Tree.flatten argument
            if Array.exists isOpen leaves then
                f argument // inside another trace: the outer program swallows this one
            else
                let values = Program.evaluate leaves
                let signature =
                    structure + String.Join(";", values |> Array.map Shape.describe) + string (Program.currentDevice ())
                let count = donated argument
                let make _ =
                    let variables = values |> Array.mapi (fun i v -> Op.input $"x{i}" v.DType v.Shape)
                    let output = f (Tree.rebuild argument variables)
                    let results = Tree.leaves output
                    let struct (_, literals, free) = Program.key results
                    let unknown = free |> Array.filter (fun v -> not (Array.contains v variables))
                    if unknown.Length > 0 then
                        let names = String.Join(", ", unknown |> Array.map Print.name)
                        raise (
                            InvalidOperationException
                                $"jit: the function uses variables of another trace ({names}); pass them as arguments."
                        )
                    let captured = literals |> Array.mapi (fun i l -> Op.input $"c{i}" l.DType l.Shape)
                    let inputs = Array.append variables captured
                    let marks = Array.init inputs.Length (fun i -> i < count)
                    { Program = Program.compile inputs (bind literals captured results) marks
                      Captured = literals |> Array.map Program.storage
                      Output = output }
                let known = cache.ContainsKey signature
                let compiled = cache.GetOrAdd(signature, make)
                if known then Program.countHit ()
                let arguments = apart count (Array.append (Array.map Program.storage values) compiled.Captured)
                // Whoever watches computes the results once more, step by step: from copies of what is donated.
                let copies =
                    match Watcher.Current with
                    | null -> [||]
                    | _ ->
                        values
                        |> Array.mapi (fun i v ->
                            Op.literal (if i < count then Buffers.copy arguments[i] else arguments[i]) v.Shape)
                let results = compiled.Program.Run arguments |> close count arguments
                match Watcher.Current with
                | null -> ()
                | watcher ->
                    if copies.Length = values.Length then
                        watcher.Computed(results, (fun () -> Tree.leaves (f (Tree.rebuild argument copies))))
                let templates = Tree.leaves compiled.Output
                Tree.rebuild compiled.Output (Array.map2 (fun (t: Tensor) s -> Op.literal s t.Shape) templates results)

/// Curried functions, whose types only reflection sees whole.
[<AbstractClass; Sealed>]
type internal JitCurried =
    static member Make<'A, 'B, 'C>(f: 'A -> 'B -> 'C) : 'A -> 'B -> 'C =
        let run = Jit.compile (fun _ -> 0) (fun (a, b) -> f a b)
        fun a b -> run (a, b)

/// Functions from functions to functions: derivatives and compilation. Arguments may be any tree of tensors.
[<AutoOpen>]
module Transforms =
    /// The value of a scalar function and its gradient with respect to every float tensor of the argument (others get zeros).
    let valueAndGrad (f: 'T -> Tensor) (at: 'T) : Tensor * 'T =
        let values = Tree.leaves at
        let variables = values |> Array.mapi (fun i v -> Op.input $"x{i}" v.DType v.Shape)
        let y = f (Tree.rebuild at variables)
        let isFloat (t: Tensor) = DType.isFloat t.DType
        let floats = variables |> Array.filter isFloat
        let gradients = Grad.gradient y floats
        let all = Jit.bind variables values (Array.append [| y |] gradients)
        let mutable next = 0
        let gradientOf (v: Tensor) =
            if isFloat v then
                next <- next + 1
                all[next]
            else
                zerosLike v
        all[0], Tree.rebuild at (Array.map gradientOf values)

    /// The gradient of a scalar function: `grad f x` is an expression like any other (print it, differentiate it again, compile it).
    let grad (f: 'T -> Tensor) (at: 'T) : 'T = snd (valueAndGrad f at)

    /// The same tree with every expression replaced by its value; all are computed in one program.
    let eval (tree: 'T) : 'T = Tree.rebuild tree (Program.evaluate (Tree.leaves tree))

    /// The elements, row-major, as an array of the .NET type of the element type ('T must have its size).
    let toArray<'T when 'T: unmanaged> (x: Tensor) : 'T[] =
        let s = Program.storage (Program.evaluate [| x |]).[0]
        let result = (Buffers.span<'T> s).ToArray()
        GC.KeepAlive s
        result

    /// The value of a tensor with one element.
    let item (x: Tensor) : float =
        if x.Count <> 1 then Shape.fail "item" "the tensor must have one element" "toArray reads them all" [ x ]
        (Buffers.read (Program.storage (Program.evaluate [| x |]).[0]) 0).Float

    /// Compiles a function of trees of tensors: traced once for each combination of structure, shapes and types, then one program.
    /// The function may be curried, of two arguments. Values that it closes over are read when it is traced.
    let jit (f: 'A -> 'B) : 'A -> 'B =
        if not (FSharpType.IsFunction typeof<'B>) then
            Jit.compile (fun _ -> 0) f
        else
            let second, result = FSharpType.GetFunctionElements typeof<'B>
            if FSharpType.IsFunction result then
                invalidArg "f" "jit: a curried function may have two arguments; use a tuple or a record for more"
            let make =
                typeof<JitCurried>
                    .GetMethod("Make", BindingFlags.Static ||| BindingFlags.NonPublic ||| BindingFlags.Public)
                    .MakeGenericMethod(typeof<'A>, second, result)
            make.Invoke(null, [| box f |]) :?> ('A -> 'B)

    /// Compiles a curried function of two arguments: what `jit` does, with the types known.
    let jit2 (f: 'A -> 'B -> 'C) : 'A -> 'B -> 'C =
        let run = Jit.compile (fun _ -> 0) (fun (a, b) -> f a b)
        fun a b -> run (a, b)

    /// Compiles a step `state -> batch -> results` whose state is donated: its memory is reused for the results, and reading the old
    /// state afterwards is an error. Training loops use it.
    let jitDonate (f: 'S -> 'B -> 'C) : 'S -> 'B -> 'C =
        let run = Jit.compile (fun (s: 'S, _: 'B) -> (Tree.leaves s).Length) (fun (s, b) -> f s b)
        fun s b -> run (s, b)
