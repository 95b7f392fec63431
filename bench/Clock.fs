namespace Nanograd.Bench

open System
open System.Collections.Generic
open System.Diagnostics
open Nanograd

/// Times of single runs, in seconds.
type Times = { Median: float; Least: float; Count: int }

module Clock =
    let private seconds (run: unit -> unit) =
        let start = Stopwatch.GetTimestamp()
        run ()
        Stopwatch.GetElapsedTime(start).TotalSeconds

    /// The middle one, or halfway between the two in the middle.
    let median (values: seq<float>) : float =
        let sorted = Seq.sort values |> Seq.toArray
        let middle = sorted.Length / 2
        if sorted.Length % 2 = 1 then sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2.0

    /// Each of the limits that several processes measured.
    let medianOfLimits (measured: MachineLimits list) : MachineLimits =
        let of' (f: MachineLimits -> float) = median (List.map f measured)
        { measured.Head with
            OperationsPerSecond = of' (fun l -> l.OperationsPerSecond)
            MemoryBytesPerSecond = of' (fun l -> l.MemoryBytesPerSecond)
            ReadBytesPerSecond = of' (fun l -> l.ReadBytesPerSecond)
            CacheBytesPerSecond = of' (fun l -> l.CacheBytesPerSecond) }

    /// Long enough for .NET to replace the code that it compiled in haste, and for a peer to find its threads and memory.
    let private warmUp = 1.0

    /// At least 5 runs and a second to warm up, then at least 5 runs and the budget (in seconds). The peer script does the same.
    let measure (budget: float) (run: unit -> unit) : Times =
        let watch, times = Stopwatch.StartNew(), List<float>()
        let mutable warmUps = 0
        while warmUps < 5 || watch.Elapsed.TotalSeconds < warmUp do
            run ()
            warmUps <- warmUps + 1
        watch.Restart()
        while times.Count < 5 || (times.Count < 5000 && watch.Elapsed.TotalSeconds < budget) do
            times.Add(seconds run)
        { Median = median times; Least = Seq.min times; Count = times.Count }
