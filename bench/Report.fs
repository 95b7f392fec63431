namespace Nanograd.Bench

open System
open System.Globalization
open System.IO
open System.Text.Json.Nodes
open Nanograd
open Nanograd.Simd

/// Outcomes for people, for programs, and for docs/performance.md.
module Report =
    let private invariant (format: string) (x: float) = x.ToString(format, CultureInfo.InvariantCulture)

    /// Three digits that count.
    let private milliseconds (seconds: float) =
        let ms = seconds * 1e3
        invariant
            (if ms >= 100.0 then "0"
             elif ms >= 10.0 then "0.0"
             elif ms >= 1.0 then "0.00"
             else "0.0000")
            ms

    let private orDash f value =
        match value with
        | Some v -> f v
        | None -> "-"

    let private mebibytes (bytes: int64) = string (bytes / (1L <<< 20))

    let private rate (o: Outcome) =
        match o.Case.Limit with
        | Limit.Arithmetic -> $"""{invariant "0" (o.Case.Flop / o.Ours / 1e9)} GFLOP/s"""
        | Limit.Copying
        | Limit.Reading -> $"""{invariant "0.0" (o.Case.Bytes / o.Ours / 1e9)} GB/s"""
        | Limit.Overhead -> "-"

    let private columns =
        [ "case"; "ours ms"; "PyTorch ms"; "ratio"; "rate"; "of limit"; "max error"; "MiB"; "PyTorch MiB" ]

    let private cells (o: Outcome) =
        [ o.Case.Name
          milliseconds o.Ours
          orDash milliseconds o.Theirs
          orDash (invariant "0.00") o.Ratio
          rate o
          orDash (fun s -> invariant "0" (100.0 * s) + "%") o.Share
          orDash (invariant "0.0e+0") o.Error + (if o.IsWrong then " WRONG" else "")
          mebibytes o.PeakBytes
          orDash mebibytes o.TheirPeakBytes ]

    let private widths = [ 24; 9; 10; 6; 13; 8; 9; 6; 11 ]

    let private line (values: string list) =
        List.map2 (fun (w: int) (v: string) -> v.PadLeft w) widths.Tail values.Tail
        |> List.append [ values.Head.PadRight widths.Head ]
        |> String.concat "  "

    let header (limits: MachineLimits) : string =
        let giga (x: float) = invariant "0" (x / 1e9)
        $"{limits.Threads} threads, vectors of {limits.VectorBits} bits; limits now: {giga limits.OperationsPerSecond} GFLOP/s in registers, {giga limits.MemoryBytesPerSecond} GB/s copied, {giga limits.ReadBytesPerSecond} GB/s read"

    let titles = line columns

    let row (o: Outcome) = line (cells o)

    /// One object for each case; numbers that are not known are null.
    let json (o: Outcome) : string =
        let fields = JsonObject()
        let put (name: string) digits (value: float option) =
            fields[name] <-
                match value with
                | Some v when Double.IsFinite v -> JsonValue.Create(Math.Round(v, (digits: int)))
                | Some v -> JsonValue.Create(string v)
                | None -> null
        fields["case"] <- o.Case.Name
        put "ms" 5 (Some(o.Ours * 1e3))
        put "peer_ms" 5 (o.Theirs |> Option.map ((*) 1e3))
        put "ratio" 3 o.Ratio
        put "limit_share" 3 o.Share
        put "max_error" 10 o.Error
        fields["is_wrong"] <- o.IsWrong
        fields["limit"] <- (string o.Case.Limit).ToLowerInvariant()
        put "gflop" 6 (Some(o.Case.Flop / 1e9))
        put "gb" 6 (Some(o.Case.Bytes / 1e9))
        put "peak_mib" 1 (Some(float o.PeakBytes / 1048576.0))
        put "peer_peak_mib" 1 (o.TheirPeakBytes |> Option.map (fun b -> float b / 1048576.0))
        put "limit_gflops" 1 (Some(o.Limits.OperationsPerSecond / 1e9))
        put "limit_copy_gbs" 1 (Some(o.Limits.MemoryBytesPerSecond / 1e9))
        put "limit_read_gbs" 1 (Some(o.Limits.ReadBytesPerSecond / 1e9))
        fields["threads"] <- defaultArg o.Case.Threads Threads.Count
        fields["rounds"] <- o.Rounds
        fields["config"] <- o.Case.Config
        fields.ToJsonString(
            Text.Json.JsonSerializerOptions(Encoder = Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping)
        )

    /// The processor's name, where the system tells it.
    let private processor () =
        let file = "/proc/cpuinfo"
        let name =
            if File.Exists file then File.ReadLines file |> Seq.tryFind (fun l -> l.StartsWith "model name") else None
        match name with
        | Some l -> l.Substring(l.IndexOf ':' + 1).Trim()
        | None -> string Runtime.InteropServices.RuntimeInformation.ProcessArchitecture

    /// The table, with machine and versions above it.
    let markdown (torch: string option) (outcomes: Outcome list) : string =
        let row (values: string list) = "| " + String.Join(" | ", values) + " |"
        let limits = Clock.medianOfLimits (outcomes |> List.map (fun o -> o.Limits))
        let versions = $""".NET {Environment.Version}, PyTorch {defaultArg torch "not installed"}"""
        [ $"{processor ()}. {header limits}. {versions}."
          ""
          row (columns @ [ "work" ])
          row [ for _ in 0 .. columns.Length -> "---" ]
          for o in outcomes do
              row (cells o @ [ o.Case.Config ]) ]
        |> String.concat "\n"
