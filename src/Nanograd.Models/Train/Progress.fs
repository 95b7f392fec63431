namespace Nanograd

open System
open System.Diagnostics
open System.Globalization
open System.IO
open System.Text

/// Tells how far training is: on a terminal in one line that changes, elsewhere in a line now and then.
[<Sealed>]
type internal ProgressWriter(progress: Progress) =
    let clock = Stopwatch.StartNew()
    let mutable shown = TimeSpan.MinValue
    let mutable width = 0
    let writer, isTerminal =
        match progress with
        | Progress.Silent -> TextWriter.Null, false
        | Progress.Console -> Console.Out, not Console.IsOutputRedirected
        | Progress.Lines writer -> writer, false
    let isSilent = progress.IsSilent
    /// How long nothing is written between two steps: on a terminal often enough to move, elsewhere so that logs stay short.
    let pause = if isTerminal then TimeSpan.FromSeconds 0.1 else TimeSpan.FromSeconds 10.0

    let bar (part: float) =
        let filled = int (Math.Round(20.0 * Math.Clamp(part, 0.0, 1.0)))
        String('━', filled) + String('─', 20 - filled)

    let duration (seconds: float) =
        let t = TimeSpan.FromSeconds(Math.Min(seconds, 359999.0))
        if t.TotalHours >= 1.0 then
            $"{int t.TotalHours}:{t.Minutes:D2}:{t.Seconds:D2}"
        else
            $"{t.Minutes}:{t.Seconds:D2}"

    let write (line: string) (stays: bool) =
        if isTerminal then
            writer.Write("\r" + line.PadRight width)
            width <- if stays then 0 else line.Length
            if stays then writer.WriteLine()
        else
            writer.WriteLine line
        writer.Flush()

    /// After an update. `total` steps are to be done in all; 0: nobody knows.
    member _.Step(step: StepRecord, total: int64, done': int64) : unit =
        let now = clock.Elapsed
        if not isSilent && (shown = TimeSpan.MinValue || now - shown >= pause) then
            shown <- now
            let text = StringBuilder()
            if total > 0L then
                let left = step.Seconds / float (max 1L done') * float (total - step.Step)
                if isTerminal then text.Append(bar (float step.Step / float total)).Append(' ') |> ignore
                text.Append($"step {step.Step}/{total}, epoch {step.Epoch}, loss {Curves.short step.Loss}") |> ignore
                if done' > 1L && step.Step < total then text.Append($", {duration left} left") |> ignore
            else
                text.Append($"step {step.Step}, epoch {step.Epoch}, loss {Curves.short step.Loss}") |> ignore
            write (text.ToString()) false

    /// After an evaluation.
    member _.Evaluation(e: EvaluationRecord) : unit =
        if not isSilent then
            let values =
                e.Values |> Seq.map (fun p -> p.Key + " " + p.Value.ToString("0.####", CultureInfo.InvariantCulture))
            let listed = String.Join(", ", values)
            write $"epoch {e.Epoch}, step {e.Step}: {listed}" true

    /// A sentence of its own line.
    member _.Say(sentence: string) : unit = if not isSilent then write sentence true
