namespace Nanograd

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.Text
open Nanograd.Simd

/// What a kernel took in a profile. Work and bytes are those of one call.
[<NoComparison>]
type KernelProfile =
    {
        /// The program it belongs to.
        Program: int
        /// Its place there: "3", or "3.0" for the first kernel of the loop that is kernel 3.
        Path: string
        /// Loops around it.
        Depth: int
        /// What it does, with shapes: equal work has equal names.
        Name: string
        /// The program's inputs that it reads, by name.
        Inputs: string[]
        Family: KernelFamily
        Calls: int
        /// Milliseconds of the median call.
        Median: float
        /// Milliseconds of all calls together.
        Milliseconds: float
        /// Floating-point (or integer) operations: a multiply-add is 2, an exponential about 16.
        Operations: int64
        /// Bytes that it must read and write at least.
        Bytes: int64
        /// Milliseconds that one call would take at the limit of the machine, and what limits it.
        Ideal: float
        LimitedBy: string
        /// Threads at work, on average.
        Threads: float
    }

    member private k.PerSecond(perCall: int64) =
        if k.Milliseconds = 0.0 then 0.0 else float perCall * float k.Calls / k.Milliseconds / 1e6

    /// 10⁹ operations a second.
    member k.GigaOperationsPerSecond = k.PerSecond k.Operations
    /// 10⁹ bytes a second.
    member k.GigabytesPerSecond = k.PerSecond k.Bytes
    /// The part of the machine's limit that was reached: 1 at best.
    member k.OfLimit = if k.Milliseconds = 0.0 then 0.0 else k.Ideal * float k.Calls / k.Milliseconds

/// A program in a profile.
[<NoComparison>]
type ProgramProfile =
    {
        Number: int
        Runs: int
        /// Of all runs.
        Milliseconds: float
        /// What the plan says, before anything runs: what its inputs hold, and what a run adds.
        InputBytes: int64
        ArenaBytes: int64
        AddedBytes: int64
    }

/// A part of a kernel on a thread, or a whole kernel on the thread that runs the program (`Part` is false). Times in
/// milliseconds from the beginning.
[<Struct>]
type ProfileSpan =
    { Program: int
      Kernel: int
      Thread: int
      IsPart: bool
      Start: float
      Stop: float }

/// Where the time went while something ran.
[<NoComparison; StructuredFormatDisplay("{Text}")>]
type Profile =
    {
        /// From beginning to end.
        Milliseconds: float
        /// Of which compiling took so many.
        Compiling: float
        /// Times that a kernel was shared among threads.
        Forks: int
        Programs: ProgramProfile[]
        /// Every kernel, in the order of programs and their kernels.
        Kernels: KernelProfile[]
        /// What ran when; `Kernel` is a place in Kernels. For pictures.
        Spans: ProfileSpan[]
        /// Bytes of live values before, and at most meanwhile.
        BytesBefore: int64
        PeakBytes: int64
        /// What the process had in memory at the end.
        ResidentBytes: int64
        Limits: MachineLimits
        /// The plans, for the picture of memory.
        Plans: struct (Nanograd.Plan * MemoryPlan)[]
    }

    /// In kernels, those of loops counted once.
    member p.InKernels = p.Kernels |> Array.sumBy (fun k -> if k.Depth = 0 then k.Milliseconds else 0.0)
    /// In running programs.
    member p.InPrograms = p.Programs |> Array.sumBy (fun r -> r.Milliseconds)

    member p.Text = string p

    /// Kernels that do the same, together; those that took most first. Loops come with their kernels below them.
    member p.Groups: KernelProfile[] =
        let inside (outer: KernelProfile) (k: KernelProfile) =
            k.Program = outer.Program && k.Path.StartsWith(outer.Path + ".", StringComparison.Ordinal)
        let merge (same: KernelProfile[]) =
            { same[0] with
                Calls = same |> Array.sumBy (fun k -> k.Calls)
                Milliseconds = same |> Array.sumBy (fun k -> k.Milliseconds)
                Median = (same |> Array.map (fun k -> k.Median) |> Array.sort).[same.Length / 2]
                Threads = same |> Array.averageBy (fun k -> k.Threads) }
        let rec grouped (kernels: KernelProfile[]) =
            kernels
            |> Array.groupBy (fun k -> if k.Family = KernelFamily.Loop then $"{k.Program}:{k.Path}" else k.Name)
            |> Array.map (snd >> merge)
            |> Array.sortBy (fun k -> -k.Milliseconds)
            |> Array.collect (fun k ->
                if k.Family <> KernelFamily.Loop then
                    [| k |]
                else
                    let below = p.Kernels |> Array.filter (fun x -> inside k x && x.Depth = k.Depth + 1)
                    Array.append [| k |] (grouped below))
        grouped (p.Kernels |> Array.filter (fun k -> k.Depth = 0 && k.Calls > 0))

    override p.ToString() = Profile.Write p

    static member private Write(p: Profile) : string =
        let f (format: string) (x: float) = x.ToString(format, CultureInfo.InvariantCulture)
        let text = StringBuilder()
        let line (s: string) = text.Append(s.TrimEnd()).Append '\n' |> ignore
        let percent (x: float) = f "0.0" (100.0 * x) + "%"
        let row (k: KernelProfile) =
            [| String(' ', 2 * k.Depth) + k.Name
               string k.Calls
               f "0.0000" k.Median
               f "0.000" k.Milliseconds
               percent (k.Milliseconds / p.Milliseconds)
               f "0.0" k.GigaOperationsPerSecond
               f "0.0" k.GigabytesPerSecond
               f "0" (100.0 * k.OfLimit) + "%"
               (if k.Median < 0.003 then "start-up" else k.LimitedBy)
               f "0.0" k.Threads |]
        let groups = p.Groups
        let shown = Array.truncate 60 groups
        let head =
            [| "kernel"; "calls"; "ms each"; "ms"; "share"; "Gop/s"; "GB/s"; "of limit"; "limited by"; "threads" |]
        for l in Array.append [| head |] (Array.map row shown) |> Columns.layout [ 1; 2; 3; 4; 5; 6; 7; 9 ] do
            line l
        if groups.Length > shown.Length then line $"... and {groups.Length - shown.Length} more"
        line ""
        let part (what: string) (ms: float) = [| what; f "0.000" ms; percent (ms / p.Milliseconds) |]
        let runs = p.Programs |> Array.sumBy (fun r -> r.Runs)
        let calls = p.Kernels |> Array.sumBy (fun k -> k.Calls)
        let rows =
            [| part $"in {calls} calls of kernels" p.InKernels
               part $"between them, in {runs} runs of {p.Programs.Length} programs" (p.InPrograms - p.InKernels)
               part "compiling" p.Compiling
               part "elsewhere: building expressions, your own code" (p.Milliseconds - p.InPrograms - p.Compiling)
               part "together" p.Milliseconds |]
        for l in Columns.layout [ 1; 2 ] rows do
            line l
        line $"{p.Forks} forks; {p.Limits.Threads} threads"
        for r in p.Programs do
            line
                $"program {r.Number}: inputs {Columns.bytes r.InputBytes}, a run adds {Columns.bytes r.AddedBytes} (arena {Columns.bytes r.ArenaBytes}), together {Columns.bytes (r.InputBytes + r.AddedBytes)}"
        line
            $"memory of values: {Columns.bytes p.BytesBefore} before, {Columns.bytes p.PeakBytes} at most; the process has {Columns.bytes p.ResidentBytes}"
        let billions (x: float) = f "0.#" (x / 1e9)
        line
            $"limits: {billions p.Limits.OperationsPerSecond} Gop/s on f32, {billions p.Limits.MemoryBytesPerSecond} GB/s copied in memory, {billions p.Limits.CacheBytesPerSecond} in caches"
        text.ToString()

/// Making profiles.
[<RequireQualifiedAccess>]
module internal Profiling =
    let private milliseconds (ticks: int64) = float ticks * 1000.0 / float Stopwatch.Frequency

    /// Which kernel's call a part belongs to is known when it runs; here all that a kernel's calls took is added up.
    let private kernels (recording: Recording) (limits: MachineLimits) : KernelProfile[][] =
        let times = Dictionary<struct (int * int), List<int64>>()
        let busy = Dictionary<struct (int * int), int64>()
        for s in recording.Spans do
            let key = struct (s.Program, s.Kernel)
            match times.TryGetValue key with
            | true, list -> list.Add(s.Stop - s.Start)
            | _ -> times[key] <- List [ s.Stop - s.Start ]
        for s in recording.Parts do
            let key = struct (s.Program, s.Kernel)
            busy[key] <- busy.GetValueOrDefault key + s.Stop - s.Start
        let ofKernel program (names: string[]) number (placed: PlacedKernel) =
            let key = struct (program, number)
            let calls =
                match times.TryGetValue key with
                | true, list -> Seq.sort list |> Seq.toArray
                | _ -> [||]
            let k = placed.Kernel
            let operations, bytes = ProgramReport.operations k, ProgramReport.bytes placed.Plan k
            let struct (ideal, bound) = Machine.ideal limits (ProgramReport.isDouble k) bytes operations
            let total = Array.sum calls
            { Program = program
              Path = placed.Path
              Depth = placed.Depth
              Name = KernelNames.describe placed.Plan k
              Inputs = if placed.Depth = 0 then KernelNames.inputs placed.Plan names k else [||]
              Family = KernelNames.family k
              Calls = calls.Length
              Median = if calls.Length = 0 then 0.0 else milliseconds calls[calls.Length / 2]
              Milliseconds = milliseconds total
              Operations = operations
              Bytes = bytes
              Ideal = ideal
              LimitedBy = bound
              Threads = if total = 0L then 0.0 else max 1.0 (float (busy.GetValueOrDefault key) / float total) }
        recording.Programs.ToArray()
        |> Array.mapi (fun program struct (plan, _, names) -> Plans.kernels plan |> Array.mapi (ofKernel program names))

    let private programs (recording: Recording) : ProgramProfile[] =
        let runs = recording.Spans |> Seq.filter (fun s -> s.Kernel < 0) |> Seq.groupBy (fun s -> s.Program) |> dict
        recording.Programs.ToArray()
        |> Array.mapi (fun number struct (plan, memory, _) ->
            let own = Seq.toArray runs[number]
            let inputs =
                plan.Buffers
                |> Array.sumBy (fun b ->
                    match b.Place with
                    | Place.Input _ -> int64 b.Length * int64 (DType.size b.DType)
                    | Place.Output _
                    | Place.Temporary -> 0L)
            { Number = number
              Runs = own.Length
              Milliseconds = own |> Array.sumBy (fun s -> milliseconds (s.Stop - s.Start))
              InputBytes = inputs
              ArenaBytes = memory.ArenaBytes
              AddedBytes = memory.PeakBytes })

    /// Runs `body` and tells where its time went.
    let measure (body: unit -> unit) : Profile =
        let limits = Machine.limits ()
        let recording = Recording()
        Buffers.watchPeak ()
        let before = Buffers.peakSince ()
        let start = Stopwatch.GetTimestamp()
        Recording.During(recording, body)
        let total = milliseconds (Stopwatch.GetTimestamp() - start)
        let kernels = kernels recording limits
        let firsts = kernels |> Array.scan (fun n ks -> n + ks.Length) 0
        let span isPart (s: Span) =
            { Program = s.Program
              Kernel = if s.Kernel < 0 then -1 else firsts[s.Program] + s.Kernel
              Thread = s.Thread
              IsPart = isPart
              Start = milliseconds (s.Start - start)
              Stop = milliseconds (s.Stop - start) }
        { Milliseconds = total
          Compiling = milliseconds recording.Compiling
          Forks = recording.Forks
          Programs = programs recording
          Kernels = Array.concat kernels
          Spans =
            Array.append
                (recording.Spans |> Seq.map (span false) |> Seq.toArray)
                (recording.Parts |> Seq.map (span true) |> Seq.toArray)
          BytesBefore = before
          PeakBytes = Buffers.peakSince ()
          ResidentBytes = Process.GetCurrentProcess().WorkingSet64
          Limits = limits
          Plans = recording.Programs.ToArray() |> Array.map (fun struct (plan, memory, _) -> struct (plan, memory)) }
