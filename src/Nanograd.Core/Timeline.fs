namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text.Json

/// A profile as a page: what every thread did when, what memory held meanwhile, and the table of kernels. One file, without
/// links, which any browser shows.
[<RequireQualifiedAccess>]
module Timeline =
    /// Milliseconds to a hundredth of a microsecond: pages of a million spans are large enough.
    let private time (ms: float) = Math.Round(ms, 5)

    let private kernel (k: KernelProfile) =
        {| name = k.Name
           family = string k.Family
           program = k.Program
           path = k.Path
           depth = k.Depth
           calls = k.Calls
           median = time k.Median
           total = time k.Milliseconds
           operations = k.Operations
           bytes = k.Bytes
           ideal = time k.Ideal
           limit = k.LimitedBy
           threads = Math.Round(k.Threads, 2)
           inputs = k.Inputs |}

    /// What each thread did: parts of kernels, and kernels that were not shared, on the thread that runs the program.
    let private lanes (p: Profile) : ProfileSpan[] =
        let starts =
            p.Spans
            |> Array.filter (fun s -> s.IsPart)
            |> Array.groupBy (fun s -> s.Kernel)
            |> Array.map (fun (kernel, parts) -> kernel, parts |> Array.map (fun s -> s.Start) |> Array.sort)
            |> dict
        let isShared (s: ProfileSpan) =
            match starts.TryGetValue s.Kernel with
            | true, times ->
                let i = Array.BinarySearch(times, s.Start)
                let next = if i >= 0 then i else ~~~i
                next < times.Length && times[next] <= s.Stop
            | _ -> false
        let isLoop (s: ProfileSpan) = p.Kernels[s.Kernel].Family = KernelFamily.Loop
        p.Spans |> Array.filter (fun s -> s.IsPart || (s.Kernel >= 0 && not (isLoop s) && not (isShared s)))

    /// The buffers of a program's arena: where they are, and the first and the last kernel that touches them.
    let private buffers (p: Profile) (program: int) =
        let struct (plan, layout) = p.Plans[program]
        let kernels =
            p.Kernels
            |> Array.indexed
            |> Array.filter (fun (_, k) -> k.Program = program && k.Depth = 0)
            |> Array.map fst
        let rec place b =
            match layout.Homes[b] with
            | Home.SameAs other -> place other
            | Home.Arena offset -> ValueSome(struct (b, offset))
            | Home.Input _
            | Home.InPlace _
            | Home.Fresh _
            | Home.Nowhere -> ValueNone
        let alive = Dictionary<int, struct (int64 * int * int)>()
        plan.Kernels
        |> Array.iteri (fun number k ->
            let struct (reads, writes) = Kernel.touches k
            for b in Seq.append reads writes |> Seq.filter (fun b -> b >= 0) do
                match place b with
                | ValueSome(struct (b, offset)) ->
                    let first =
                        match alive.TryGetValue b with
                        | true, struct (_, first, _) -> first
                        | _ -> number
                    alive[b] <- struct (offset, first, number)
                | ValueNone -> ())
        [| for KeyValue(b, struct (offset, first, last)) in alive do
               let buffer, writer = plan.Buffers[b], plan.Kernels[first]
               {| first = kernels[first]
                  last = kernels[last]
                  offset = offset
                  bytes = int64 buffer.Length * int64 (DType.size buffer.DType)
                  name = $"{buffer.DType}[{buffer.Length}], written by {KernelNames.describe plan writer}"
                  family = string (KernelNames.family writer) |} |]

    let private summary (p: Profile) : string[] =
        let share (ms: float) = (100.0 * ms / max p.Milliseconds 1e-9).ToString("0", CultureInfo.InvariantCulture) + "%"
        let giga (x: float) = (x / 1e9).ToString("0", CultureInfo.InvariantCulture)
        [| p.Milliseconds.ToString("0.###", CultureInfo.InvariantCulture) + " ms"
           $"{share p.InKernels} in kernels"
           $"{share (p.InPrograms - p.InKernels)} between them"
           $"{share p.Compiling} compiling"
           $"{share (p.Milliseconds - p.InPrograms - p.Compiling)} elsewhere"
           $"{p.Forks} forks"
           $"values hold at most {Columns.bytes p.PeakBytes}"
           $"limits {giga p.Limits.OperationsPerSecond} Gop/s, {giga p.Limits.MemoryBytesPerSecond} GB/s" |]

    /// What the page's script draws. A span is kernel (-1: a run of a program), thread (-1: the lanes of runs and kernels),
    /// start, stop, program.
    let private data (p: Profile) : string =
        let parts = lanes p
        let whole = p.Spans |> Array.filter (fun s -> not s.IsPart)
        // Whoever runs programs is thread 0.
        let threads = Seq.append whole parts |> Seq.map (fun s -> s.Thread) |> Seq.distinct |> Seq.toArray
        let span lane (s: ProfileSpan) =
            [| float s.Kernel; float (lane s); time s.Start; time s.Stop; float s.Program |]
        JsonSerializer.Serialize(
            {| total = time p.Milliseconds
               threads = threads.Length
               summary = summary p
               kernels = Array.map kernel p.Kernels
               groups = Array.map kernel p.Groups
               programs =
                p.Programs
                |> Array.map (fun r -> {| arena = r.ArenaBytes; inputs = r.InputBytes; buffers = buffers p r.Number |})
               spans =
                Array.append
                    (whole |> Array.map (span (fun _ -> -1)))
                    (parts |> Array.map (span (fun s -> Array.IndexOf(threads, s.Thread)))) |}
        )

    let private template =
        lazy
            (use stream = typeof<Tensor>.Assembly.GetManifestResourceStream "Timeline.html"
             use reader = new StreamReader(stream)
             reader.ReadToEnd())

    /// A page of its own: `Show.save "profile.html" (Timeline.page (Program.profile (fun () -> step batch)))`.
    let page (p: Profile) : string = template.Value.Replace("/*DATA*/null", data p)
