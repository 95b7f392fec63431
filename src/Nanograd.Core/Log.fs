namespace Nanograd

open System
open System.Diagnostics
open System.IO

/// What NANOGRAD_DEBUG asks for: levels 1 to 6 (docs/debugging.md), each with all below it, written to the standard error stream.
[<RequireQualifiedAccess>]
module internal Log =
    [<Literal>]
    let Variable = "NANOGRAD_DEBUG"

    let mutable private level = -1 // not read yet
    let mutable private writer: TextWriter = null
    let mutable private programs = 0
    let private gate = obj ()

    /// The level of a setting: a number from 0 to 6, `nans`, or both with a comma between.
    let parse (text: string) : struct (int * bool) =
        let mutable number, nans = 0, false
        for part in (if isNull text then "" else text).Split(',', StringSplitOptions.RemoveEmptyEntries) do
            match Int32.TryParse part with
            | true, n when n >= 0 && n <= 6 -> number <- n
            | _ when part.Trim() = "nans" -> nans <- true
            | _ -> invalidOp $"{Variable}={text}: a level must be a number from 0 to 6, or nans"
        struct (number, nans)

    /// The level now; reads the environment when first asked.
    let current () : int =
        if level < 0 then
            let struct (number, nans) = parse (Environment.GetEnvironmentVariable Variable)
            level <- number
            // Debug.fs is compiled later, so it is found by its name.
            if nans && isNull Watcher.Current then
                typeof<Tensor>.Assembly.GetType("Nanograd.Debug").GetMethod("enable").Invoke(null, [||]) |> ignore
        level

    /// Runs something at another level, written elsewhere.
    let at (wanted: int) (into: TextWriter) (body: unit -> 'r) : 'r =
        let before, writerBefore = current (), writer
        level <- wanted
        writer <- into
        try
            body ()
        finally
            level <- before
            writer <- writerBefore

    let private write (text: string) =
        lock gate (fun () -> (if isNull writer then Console.Error else writer).Write text)

    let private indented (text: string) = "    " + text.TrimEnd().Replace("\n", "\n    ") + "\n"

    let private algebra (title: string) (roots: Tensor[]) =
        let count = (Graph.topological roots).Length
        let texts = roots |> Array.truncate 8 |> Array.map (Print.algebra >> indented)
        let more = if roots.Length > 8 then $"    ... and {roots.Length - 8} more\n" else ""
        $"  {title}, {count} nodes:\n" + String.Join("", texts) + more

    let private works (s: Schedule) =
        let names (ts: Tensor[]) = String.Join(" ", ts |> Array.map Print.name)
        s.Works
        |> Array.map (fun w ->
            match w with
            | Work.Rows(members, length) -> $"    rows of {length}: {names members}\n"
            | Work.Columns(t, members) -> $"    columns: {names (Array.append members [| t |])}\n"
            | Work.Single t -> $"    single: {Print.name t} {Shape.describe t}\n"
            | Work.Finished(t, members, _) -> $"    {Print.name t} {Shape.describe t}, then: {names members}\n")
        |> String.concat ""

    /// Tells how a program came about. Gives its number.
    let compiled
        (inputs: Tensor[])
        (outputs: Tensor[])
        (simplified: Tensor[])
        (plan: Plan)
        (memory: MemoryPlan)
        (since: int64)
        : int =
        let number =
            lock gate (fun () ->
                programs <- programs + 1
                programs)
        let report =
            lazy
                (ProgramReport.make
                    plan
                    memory
                    (inputs |> Array.map (fun i -> Print.name i, i.Shape))
                    (outputs |> Array.mapi (fun i o -> $"result{i}", o.Shape))
                    [||])
        let level = current ()
        let ms = Stopwatch.GetElapsedTime(since).TotalMilliseconds
        let text = Text.StringBuilder()
        let add (s: string) = text.Append s |> ignore
        add
            $"[nanograd] program {number}: {plan.Kernels.Length} kernels, arena {Columns.bytes memory.ArenaBytes}, peak {Columns.bytes memory.PeakBytes}, compiled in {ms:F1} ms\n"
        if level >= 3 then
            add (algebra "expression" outputs)
            add (algebra "simplified" simplified)
        if level >= 6 then
            add "  rules, in the order in which they fired:\n"
            add (indented (string (Rewrite.trace outputs)))
        if level >= 5 then
            let prepared, order = Lower.prepare true simplified
            add (algebra "with calls inlined" prepared)
            add "  schedule:\n"
            add (works (Schedule.make order (Schedule.free order) prepared))
            add "  lowered:\n"
            for k in plan.Kernels do
                add (indented (Kernel.show k))
        if level >= 2 then
            add "  kernels:\n"
            for k in report.Value.Kernels do
                let reads, writes = String.Join(", ", k.Reads), String.Join(", ", k.Writes)
                add $"    [{k.Number}] {k.Kind} {k.Label}: {reads} -> {writes}\n"
                if level >= 4 then add (indented (indented k.Code))
            add "  memory:\n"
            for row in ProgramReport.memoryRows report.Value |> Columns.layout [ 2 ] do
                add $"    {row}\n"
        write (text.ToString())
        number

    /// Tells where the time of a run went.
    let ran (number: int) (run: int64) (profile: Profile) =
        write ($"[nanograd] program {number}, run {run}: {profile.InPrograms:F4} ms\n" + indented (string profile))

/// A program whose runs are told: the first, second, fourth, eighth, ... with the time of each kernel.
[<Sealed>]
type internal LoggedExecutable(inner: Executable, number: int) =
    inherit Executable()
    let mutable runs = 0L
    override _.PeakBytes = inner.PeakBytes
    override _.Describe() = inner.Describe()
    override _.Profile(run) = inner.Profile run

    override _.Results = inner.Results

    override _.Run(inputs, results) =
        let run = Threading.Interlocked.Increment &runs
        if Log.current () > 0 && Numerics.BitOperations.IsPow2 run && isNull Simd.Recording.Current then
            Log.ran number run (Profiling.measure (fun () -> inner.Run(inputs, results)))
        else
            inner.Run(inputs, results)
