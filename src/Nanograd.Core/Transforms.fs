namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Reflection
open System.Threading
open FSharp.Reflection

/// Tracing functions into programs, and finding the programs again.
[<RequireQualifiedAccess>]
module internal Jit =
    /// `results` with values in place of variables.
    let bind (variables: Tensor[]) (values: Tensor[]) (results: Tensor[]) =
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (v: Tensor) x -> replacements[v.Hash] <- x) variables values
        Substitute.apply replacements results

    let private isOpen (t: Tensor) =
        match t.Op with
        | Op.Literal _ -> false
        | _ -> not (Graph.isClosed t)

    /// What the arguments of a call are found in and its results are made from; calls take turns with it, so that they make no garbage.
    [<Sealed; AllowNullLiteral>]
    type private Frame(leaves: int, captured: Storage[], results: int) =
        inherit Supply()
        let mutable next = 0
        member val Leaves = Leaves(Array.zeroCreate leaves)
        member val Given: Storage[] = Array.append (Array.zeroCreate leaves) captured
        member val Results: Storage[] = Array.zeroCreate results
        override frame.Next model =
            next <- next + 1
            Op.literal frame.Results[next - 1] model.Shape
        /// Forgets the values of the last call, which may be large.
        member frame.Clear() =
            next <- 0
            frame.Leaves.Count <- 0
            Array.Clear frame.Leaves.Tensors
            Array.Clear(frame.Given, 0, leaves)
            captured.CopyTo(frame.Given, leaves) // where a copy may have stood in
            Array.Clear frame.Results

    /// What jit keeps for one combination of structure, shapes and types. Argument and output are trees of tensors without values.
    [<Sealed>]
    type private Compiled
        (program: Executable, device: Device, argument: obj, output: obj, leaves: int, donated: int, captured: Storage[])
        =
        let mutable spare: Frame = null
        member _.Program = program
        member _.Device = device
        member _.Argument = argument
        member _.Output = output
        /// So many leaves, the first ones, are used up by a call.
        member _.Donated = donated
        member _.Rent() : Frame =
            match Interlocked.Exchange(&spare, null) with
            | null -> Frame(leaves, captured, program.Results)
            | frame -> frame
        member _.Return(frame: Frame) =
            frame.Clear()
            spare <- frame

    /// Takes the donated leaves' memory from them and puts it among what is given. A storage that occurs twice is donated once: its other
    /// places, which the program reads while it writes there, get copies.
    let private give (compiled: Compiled) (frame: Frame) =
        let given, leaves = frame.Given, frame.Leaves.Tensors
        for i in 0 .. leaves.Length - 1 do
            given[i] <- Program.storage leaves[i]
        if compiled.Donated > 0 then
            for s in given do
                s.Pointer |> ignore // raises if an earlier call took it
            for i in 0 .. given.Length - 1 do
                let s = given[i]
                if s.IsDonated then // to this call, because it stands further in front, too
                    let first = leaves |> Array.findIndex (fun l -> Object.ReferenceEquals(Program.storage l, s))
                    given[i] <- Buffers.copy given[first]
                elif i < compiled.Donated then
                    given[i] <- s.Donate "a jit-compiled function"

    /// After a failed run the state is as it was.
    let private takeBack (compiled: Compiled) (frame: Frame) =
        for i in 0 .. compiled.Donated - 1 do
            let s = Program.storage frame.Leaves.Tensors[i]
            if s.IsDonated then s.TakeBack frame.Given[i]

    let private trace (f: 'A -> 'B) (argument: 'A) (values: Tensor[]) (donated: int) : Compiled =
        let variables = values |> Array.mapi (fun i v -> Op.input $"x{i}" v.DType v.Shape)
        let traced = Tree.rebuild argument variables
        let output = f traced
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
        let marks = Array.init inputs.Length (fun i -> i < donated)
        let program = Program.compile inputs (bind literals captured results) marks
        let model = Tree.map (fun t -> Op.parameter 0 t.DType t.Shape) output // does not keep the expressions
        let storages = literals |> Array.map Program.storage
        Compiled(program, Program.currentDevice (), box traced, box model, values.Length, donated, storages)

    /// Whoever watches computes the results once more, step by step: from copies of what is donated.
    let private watched (watcher: Watcher) (f: 'A -> 'B) (argument: 'A) (compiled: Compiled) (frame: Frame) =
        let leaves = frame.Leaves.Tensors
        let own i = if i < compiled.Donated then Buffers.copy frame.Given[i] else frame.Given[i]
        let copies = leaves |> Array.mapi (fun i v -> Op.literal (own i) v.Shape)
        compiled.Program.Run(frame.Given, frame.Results)
        watcher.Computed(Array.copy frame.Results, (fun () -> Tree.leaves (f (Tree.rebuild argument copies))))

    /// The programs that were looked for last are compared with the argument before a text is made of it.
    let private recently = 8

    /// A compiled form of `f`; of the argument's tensors, the first `donated argument` are used up by each call.
    let compile (donated: 'A -> int) (f: 'A -> 'B) : 'A -> 'B =
        let cache = ConcurrentDictionary<string, Compiled>()
        let arguments, results = Tree.node<'A>, Tree.node<'B>
        let mutable recent: Compiled[] = [||]
        let call (compiled: Compiled) (frame: Frame) (argument: 'A) : 'B =
            give compiled frame
            try
                match Watcher.Current with
                | null -> compiled.Program.Run(frame.Given, frame.Results)
                | watcher -> watched watcher f argument compiled frame
            with _ ->
                takeBack compiled frame
                reraise ()
            let result = results.Build(compiled.Output, frame) :?> 'B
            compiled.Return frame
            result
        /// The frame of a known program, filled, or null.
        let enter (compiled: Compiled) (argument: 'A) : Frame =
            if compiled.Device <> Program.currentDevice () then
                null
            else
                let frame = compiled.Rent()
                if arguments.Matches(box argument, compiled.Argument, frame.Leaves) then
                    frame
                else
                    compiled.Return frame
                    null
        let compiledFor (argument: 'A) (values: Tensor[]) =
            let structure = snd (Tree.flatten argument)
            let signature =
                structure + String.Join(";", values |> Array.map Shape.describe) + string (Program.currentDevice ())
            if cache.ContainsKey signature then Program.countHit ()
            let compiled = cache.GetOrAdd(signature, (fun _ -> trace f argument values (donated argument)))
            recent <- Array.truncate recently (Array.append [| compiled |] (Array.except [ compiled ] recent))
            compiled
        let rec run (argument: 'A) : 'B =
            let known = recent
            let mutable frame: Frame = null
            let mutable i = 0
            while isNull frame && i < known.Length do
                frame <- enter known[i] argument
                i <- i + 1
            if isNull frame then
                search argument
            else
                Program.countHit ()
                call known[i - 1] frame argument
        and search (argument: 'A) : 'B =
            let leaves = Tree.leaves argument
            if Array.exists isOpen leaves then
                f argument // inside another trace: the outer program swallows this one
            elif leaves |> Array.forall Program.isValue then
                let compiled = compiledFor argument leaves
                let frame = compiled.Rent()
                Array.iter frame.Leaves.Add leaves
                call compiled frame argument
            else
                run (Tree.rebuild argument (Program.evaluate leaves))
        run

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
