namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text

/// A profile as a page: what every thread did when, where memory was, and a table. One file, without links; it runs anywhere.
[<RequireQualifiedAccess>]
module Timeline =
    let private number (x: float) = x.ToString("0.######", CultureInfo.InvariantCulture)

    let private quote (s: string) =
        let text = StringBuilder("\"")
        for c in s do
            match c with
            | '"' -> text.Append "\\\"" |> ignore
            | '\\' -> text.Append "\\\\" |> ignore
            | c when c < ' ' || c = '<' || c = '\u2028' || c = '\u2029' -> text.Append($"\\u{int c:x4}") |> ignore
            | c -> text.Append c |> ignore
        text.Append('"').ToString()

    let private list (items: seq<string>) = "[" + String.Join(",", items) + "]"
    let private record (fields: (string * string) list) =
        "{" + String.Join(",", fields |> List.map (fun (name, value) -> quote name + ":" + value)) + "}"

    let private kernel (k: KernelProfile) =
        record
            [ "name", quote k.Name
              "family", quote (string k.Family)
              "program", string k.Program
              "path", quote k.Path
              "depth", string k.Depth
              "calls", string k.Calls
              "median", number k.Median
              "total", number k.Milliseconds
              "ops", string k.Operations
              "bytes", string k.Bytes
              "ideal", number k.Ideal
              "by", quote k.LimitedBy
              "threads", number k.Threads
              "inputs", list (Array.map quote k.Inputs) ]

    /// Parts of threads; a kernel that was not shared is one part, of the thread that ran it.
    let private parts (p: Profile) : ProfileSpan[] =
        let shared = p.Spans |> Array.filter (fun s -> s.IsPart)
        let starts = Dictionary<int, float[]>()
        for kernel, spans in Array.groupBy (fun (s: ProfileSpan) -> s.Kernel) shared do
            starts[kernel] <- spans |> Array.map (fun s -> s.Start) |> Array.sort
        let hasParts (s: ProfileSpan) =
            match starts.TryGetValue s.Kernel with
            | true, times ->
                let i = Array.BinarySearch(times, s.Start)
                let next = if i >= 0 then i else ~~~i
                next < times.Length && times[next] <= s.Stop
            | _ -> false
        let alone =
            p.Spans
            |> Array.filter (fun s ->
                not s.IsPart && s.Kernel >= 0 && p.Kernels[s.Kernel].Family <> KernelFamily.Loop && not (hasParts s))
        Array.append shared (alone |> Array.map (fun s -> { s with IsPart = true }))

    /// Bars of memory: from, until, offset, bytes, what it is, colour; for the first runs.
    let private memory (p: Profile) : string[] =
        let firstKernel = p.Kernels |> Array.mapi (fun i k -> i, k) |> Array.groupBy (fun (_, k) -> k.Program)
        let starts = dict [ for program, kernels in firstKernel -> program, fst kernels[0] ]
        let runs = p.Spans |> Array.filter (fun s -> s.Kernel < 0) |> Array.truncate 12
        [| for run in runs do
               let struct (plan, layout) = p.Plans[run.Program]
               let places = Plans.kernels plan |> Array.indexed |> Array.filter (fun (_, k) -> k.Depth = 0)
               let times = Dictionary<int, ProfileSpan>()
               for s in p.Spans do
                   if not s.IsPart && s.Kernel >= 0 && s.Program = run.Program then
                       if s.Start >= run.Start && s.Stop <= run.Stop then times[s.Kernel - starts[run.Program]] <- s
               let first, last = Array.create plan.Buffers.Length -1, Array.create plan.Buffers.Length -1
               for k in 0 .. places.Length - 1 do
                   let struct (reads, writes) = Kernel.touches plan.Kernels[k]
                   for b in Seq.append reads writes do
                       if b >= 0 then
                           let rec origin b =
                               match layout.Homes[b] with
                               | Home.SameAs other -> origin other
                               | _ -> b
                           let b = origin b
                           if first[b] < 0 then first[b] <- k
                           last[b] <- k
               for b in 0 .. plan.Buffers.Length - 1 do
                   match layout.Homes[b] with
                   | Home.Arena offset when first[b] >= 0 ->
                       let size = int64 plan.Buffers[b].Length * int64 (DType.size plan.Buffers[b].DType)
                       let writer = plan.Kernels[first[b]]
                       match times.TryGetValue(fst places[first[b]]), times.TryGetValue(fst places[last[b]]) with
                       | (true, from), (true, until) when size * 2000L > layout.ArenaBytes ->
                           list
                               [ number from.Start
                                 number until.Stop
                                 string offset
                                 string size
                                 quote
                                     $"{plan.Buffers[b].DType}[{plan.Buffers[b].Length}], written by {KernelNames.describe plan writer}"
                                 quote (string (KernelNames.family writer)) ]
                       | _ -> ()
                   | _ -> () |]

    let private data (p: Profile) : string =
        let parts = parts p
        // The thread that runs programs is thread 0.
        let threads =
            Seq.append (p.Spans |> Seq.filter (fun s -> not s.IsPart)) parts
            |> Seq.map (fun s -> s.Thread)
            |> Seq.distinct
            |> Seq.toArray
        let span (s: ProfileSpan) =
            list
                [ string s.Kernel
                  string (Array.IndexOf(threads, s.Thread))
                  (if s.IsPart then "1" else "0")
                  number s.Start
                  number s.Stop
                  string s.Program ]
        let whole = p.Spans |> Array.filter (fun s -> not s.IsPart)
        let share (x: float) = (100.0 * x / p.Milliseconds).ToString("0", CultureInfo.InvariantCulture) + "%"
        let plans =
            p.Programs
            |> Array.map (fun r ->
                $"program {r.Number}: inputs {Columns.bytes r.InputBytes}, arena {Columns.bytes r.ArenaBytes}")
            |> Array.truncate 3
        let summary =
            Array.append
                [| p.Milliseconds.ToString("0.###", CultureInfo.InvariantCulture) + " ms"
                   $"{share p.InKernels} in kernels"
                   $"{share (p.InPrograms - p.InKernels)} between them"
                   $"{share p.Compiling} compiling"
                   $"{share (p.Milliseconds - p.InPrograms - p.Compiling)} elsewhere"
                   $"{p.Forks} forks" |]
                plans
        record
            [ "total", number p.Milliseconds
              "threads", string threads.Length
              "summary", list (Array.map quote summary)
              "kernels", list (Array.map kernel p.Kernels)
              "groups", list (Array.map kernel p.Groups)
              "spans", list (Seq.append whole parts |> Seq.map span)
              "memory", list (memory p) ]

    let private template =
        lazy
            (use stream = typeof<Tensor>.Assembly.GetManifestResourceStream "Timeline.html"
             use reader = new StreamReader(stream)
             reader.ReadToEnd())

    /// A profile as a page.
    let render (p: Profile) : string = template.Value.Replace("/*DATA*/null", data p)

    /// Writes a profile as a page, whole or not at all.
    let write (path: string) (p: Profile) : unit =
        let full = Path.GetFullPath path
        let temporary = full + ".tmp"
        try
            File.WriteAllText(temporary, render p)
            File.Move(temporary, full, true)
        with _ ->
            File.Delete temporary
            reraise ()
