namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Threading

/// Where programs run.
[<RequireQualifiedAccess>]
type Device =
    /// Compiled to vector kernels on the CPU's cores.
    | Simd
    /// The reference evaluator: slow, and right by definition.
    | Interpreter

/// What the program caches have done so far in this process.
type CacheStatistics =
    {
        /// Programs compiled.
        Programs: int64
        /// Runs that found their program in a cache.
        Hits: int64
        /// Kernels turned into machine code (equal kernels of different programs or shapes are one).
        Kernels: int64
    }

/// Compiling expressions and running them.
[<RequireQualifiedAccess>]
module Program =
    let mutable private device = Device.Simd
    let mutable private compiled = 0L
    let mutable private hits = 0L

    /// The device that programs are compiled for from now on.
    let useDevice (d: Device) = device <- d

    /// The device that programs are compiled for.
    let currentDevice () = device

    /// The program compiled last: what debugging and benchmarks look at.
    let mutable internal latest: Executable voption = ValueNone

    /// The program that was compiled last, to look at (Describe) or to measure (Profile).
    let last () : Executable =
        match latest with
        | ValueSome e -> e
        | ValueNone -> raise (InvalidOperationException "no program has been compiled yet")

    let internal countHit () = Interlocked.Increment &hits |> ignore

    /// How often programs were compiled or found, and kernels made.
    let cacheStats () =
        { Programs = Interlocked.Read &compiled
          Hits = Interlocked.Read &hits
          Kernels = Simd.NestCompiler.count () }

    let mutable private rewriting = true

    /// Whether programs are rewritten before they are scheduled. Without, results equal the interpreter's bit for bit. For tests.
    let withoutRewriting (body: unit -> 'r) : 'r =
        rewriting <- false
        try
            body ()
        finally
            rewriting <- true

    let private optimise (outputs: Tensor[]) = if rewriting then Rewrite.simplify outputs else outputs

    let private lower (inputs: Tensor[]) (simplified: Tensor[]) =
        if rewriting then Lower.streamed inputs simplified else Lower.plan inputs simplified

    /// A number for everything in `roots` but their literals' and variables' identities, which are numbered by first visit: equal
    /// programs over other values have equal keys (f(x, x) and f(x, y) do not). Also the literals and the variables, in that order.
    let key (roots: Tensor[]) : struct (Hash * Tensor[] * Tensor[]) =
        let order = Graph.topological roots
        let canonical = Dictionary<Hash, Hash>(order.Length)
        let literals, variables = List<Tensor>(), List<Tensor>()
        for t in order do
            let leaf (kind: int) (found: List<Tensor>) =
                found.Add t
                (Hash.Zero.Add kind).Add(found.Count).Add(Case.number t.DType).Add t.Shape
            canonical[t.Hash] <-
                match t.Op with
                | Op.Literal _ -> leaf 1 literals
                | Op.Input _ -> leaf 2 variables
                | op ->
                    if t.Inputs.Length = 0 then
                        t.Hash
                    else
                        let mutable h = op.Hash.Add(Case.number t.DType).Add t.Shape
                        for i in t.Inputs do
                            h <- h.Add canonical[i.Hash]
                        h
        let mutable total = Hash.Zero.Add(Case.number device).Add(if rewriting then 1 else 0)
        for r in roots do
            total <- total.Add canonical[r.Hash]
        struct (total, literals.ToArray(), variables.ToArray())

    let private interpreted (inputs: Tensor[]) (outputs: Tensor[]) =
        { new Executable() with
            member _.Results = outputs.Length
            member _.Run(values, results) =
                let bindings = Dictionary<Hash, Storage>()
                Array.iter2 (fun (i: Tensor) v -> bindings[i.Hash] <- v) inputs values
                (Interpreter.evaluate bindings outputs).CopyTo(results, 0)
            member _.PeakBytes = 0L
            member _.Describe() = "interpreted: " + String.Join("\n", outputs |> Array.map Print.algebra) }

    let private names (inputs: Tensor[]) = inputs |> Array.map Print.name

    /// Compiles `outputs` as a function of `inputs` (variables). `donated` says which inputs may be overwritten by the run.
    let compile (inputs: Tensor[]) (outputs: Tensor[]) (donated: bool[]) : Executable =
        if inputs.Length <> donated.Length then
            invalidArg "donated" $"there are {inputs.Length} inputs and {donated.Length} marks"
        Interlocked.Increment &compiled |> ignore
        let make () : Executable =
            match device with
            | Device.Interpreter -> interpreted inputs outputs
            | Device.Simd when Log.current () = 0 ->
                Simd.SimdExecutable(lower inputs (optimise outputs), donated, names inputs)
            | Device.Simd ->
                let start = Diagnostics.Stopwatch.GetTimestamp()
                let simplified = optimise outputs
                let plan = lower inputs simplified
                let program = Simd.SimdExecutable(plan, donated, names inputs)
                LoggedExecutable(
                    program,
                    Log.compiled inputs outputs simplified plan (MemoryPlan.make plan donated) start
                )
        let executable =
            match Simd.Recording.Current with
            | null -> make ()
            | recording -> recording.Compile make
        latest <- ValueSome executable
        executable

    /// Runs `body` (once; run it before, if it should not compile now) and tells where its time went: per kernel calls,
    /// milliseconds, speeds, the part of the machine's limit that it reached, threads; and what went elsewhere. The result prints
    /// itself as a table.
    let profile (body: unit -> 'r) : Profile = Profiling.measure (fun () -> body () |> ignore)

    let private cache = ConcurrentDictionary<Hash, Executable>()
    let private cacheLimit = 1024

    /// The program of a key, compiled at first sight.
    let cached (key: Hash) (make: unit -> Executable) : Executable =
        match cache.TryGetValue key with
        | true, e ->
            countHit ()
            e
        | _ ->
            if cache.Count >= cacheLimit then cache.Clear()
            let e = make ()
            cache[key] <- e
            e

    /// The storage of a literal.
    let storage (t: Tensor) : Storage =
        match t.Op with
        | Op.Literal s -> s
        | _ -> invalidArg "t" $"{Shape.describe t} is an expression, not a value; eval it first"

    let internal isValue (t: Tensor) =
        match t.Op with
        | Op.Literal _ -> true
        | _ -> false

    /// Computes closed expressions together, in one program, which is found again for equal expressions over other values.
    let evaluate (roots: Tensor[]) : Tensor[] =
        let pending = roots |> Array.filter (isValue >> not) |> Array.distinct
        if pending.Length = 0 then
            roots
        else
            let struct (hash, literals, variables) = key pending
            if variables.Length > 0 then
                let names = String.Join(", ", variables |> Array.map Print.name)
                raise (
                    InvalidOperationException
                        $"eval: the expression has free variables ({names}), so it has no value yet; give them values, or compile it with jit. Functions given to grad, jit and vmap see variables: choose with `where`, not with the value."
                )
            let program =
                cached hash (fun () ->
                    let inputs = literals |> Array.mapi (fun i l -> Op.input $"v{i}" l.DType l.Shape)
                    let replacements = Dictionary<Hash, Tensor>()
                    Array.iter2 (fun (l: Tensor) i -> replacements[l.Hash] <- i) literals inputs
                    compile inputs (Substitute.apply replacements pending) (Array.create inputs.Length false))
            let results = program.Run(literals |> Array.map storage)
            match Watcher.Current with
            | null -> ()
            | watcher -> watcher.Computed(results, (fun () -> pending))
            let values = Dictionary<Hash, Tensor>()
            Array.iter2 (fun (t: Tensor) (s: Storage) -> values[t.Hash] <- Op.literal s t.Shape) pending results
            roots |> Array.map (fun r -> if isValue r then r else values[r.Hash])

/// Where printing finds evaluation (by name: the language is compiled before this file).
[<AbstractClass; Sealed>]
type internal Display =
    /// The value of a closed expression as text.
    static member Value(t: Tensor) : string =
        let s = Program.storage (Program.evaluate [| t |]).[0]
        ValueText.layout t.DType t.Shape (Buffers.read s)

    /// An open expression as readable algebra, simplified.
    static member Algebra(t: Tensor) : string = Print.algebra (Rewrite.pretty t)
