namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Runtime.InteropServices
open System.Threading

/// Ctrl-C and SIGTERM, while a run lives: the first asks it to stop after its step, a second one ends the process.
[<Sealed>]
type internal Interruption(listens: bool) =
    let mutable requested = false
    let ask (context: PosixSignalContext) =
        if not requested then
            context.Cancel <- true
            requested <- true
    let registrations =
        if listens then
            [| for signal in [ PosixSignal.SIGINT; PosixSignal.SIGTERM ] -> PosixSignalRegistration.Create(signal, ask) |]
        else
            [||]
    member _.Requested = Volatile.Read &requested
    interface IDisposable with
        member _.Dispose() =
            for r in registrations do
                r.Dispose()

/// The best value of something monitored, and how long ago it was.
[<Struct>]
type internal Watch = { Best: float; Since: int }

[<RequireQualifiedAccess>]
module internal Watch =
    let start = { Best = nan; Since = 0 }

    let private improves (better: Better) (delta: float) (value: float) (best: float) =
        match better with
        | _ when Double.IsNaN value -> false
        | _ when Double.IsNaN best -> true
        | Better.Smaller -> value < best - delta
        | Better.Larger -> value > best + delta

    /// After an evaluation: the watch, and whether the value is the best so far.
    let next better delta value (w: Watch) : struct (Watch * bool) =
        if improves better delta value w.Best then
            struct ({ Best = value; Since = 0 }, true)
        else
            struct ({ w with Since = w.Since + 1 }, false)

    let save (w: Watch) = w.Best.ToString("R", CultureInfo.InvariantCulture) + " " + string w.Since

    let load (text: string) : Watch =
        let parts = text.Split ' '
        { Best = Double.Parse(parts[0], CultureInfo.InvariantCulture)
          Since = int parts[1] }

/// Sums over batches: of losses, and of each metric.
[<Sealed>]
type internal Totals(metrics: Metric list) =
    let sums: float[][] = Array.create metrics.Length [||]
    let mutable loss, examples = 0.0, 0L

    member _.Add(value: float, count: int, measured: Tensor[]) =
        loss <- loss + value * float count
        examples <- examples + int64 count
        measured
        |> Array.iteri (fun i t ->
            let fresh = toArray<float>(cast DType.F64 t)
            sums[i] <- if sums[i].Length = 0 then fresh else Array.map2 (+) sums[i] fresh)

    member _.IsEmpty = examples = 0L

    /// The mean loss and the metrics, their names after a prefix.
    member _.Put(prefix: string, values: Dictionary<string, float>) =
        values[prefix + "loss"] <- loss / float examples
        metrics |> List.iteri (fun i m -> values[prefix + m.Name] <- m.Value sums[i])

    /// As text, so that a resumed run reports what an uninterrupted one would.
    member _.Save() : string =
        let number (x: float) = x.ToString("R", CultureInfo.InvariantCulture)
        let row (items: float[]) = String.Join(" ", Array.map number items)
        String.Join(";", Array.append [| row [| loss; float examples |] |] (Array.map row sums))

    member _.Load(text: string) =
        let row (part: string) =
            part.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            |> Array.map (fun x -> Double.Parse(x, CultureInfo.InvariantCulture))
        let rows = text.Split ';' |> Array.map row
        loss <- rows[0][0]
        examples <- int64 (rows[0].[1])
        for i in 0 .. sums.Length - 1 do
            sums[i] <- rows[i + 1]
