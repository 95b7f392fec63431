namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text
open System.Text.Json

/// What one update reports.
[<Struct>]
type StepRecord =
    {
        /// Updates done, this one included.
        Step: int64
        /// The epoch, counted from 1.
        Epoch: int
        /// The loss on the step's batches, before the update.
        Loss: float
        /// The learning rate of the update.
        Rate: float
        /// The norm of all gradients together, before clipping; NaN where nobody asked for it.
        GradientNorm: float
        /// Examples in the step's batches.
        Examples: int64
        /// Seconds of training since the run began (a resumed one: since it went on), without validation.
        Seconds: float
    }

/// What was measured after some updates: at the end of every epoch, and whenever there was a validation.
[<NoComparison>]
type EvaluationRecord =
    {
        /// Updates done.
        Step: int64
        /// The epoch, counted from 1.
        Epoch: int
        /// `loss` and the metrics over the training batches since the record before; `val_loss` and `val_...` over
        /// the validation batches.
        Values: IReadOnlyDictionary<string, float>
    }

/// How training went. It plots itself: in a terminal by `ToString`, as a page by `ToPage`.
[<Sealed>]
type History() =
    let steps = List<StepRecord>()
    let evaluations = List<EvaluationRecord>()
    let mutable stride = 1L
    let invariant = CultureInfo.InvariantCulture

    let names () = evaluations |> Seq.collect (fun e -> e.Values.Keys) |> Seq.distinct |> Seq.toArray

    let curve name isLine points = { Name = name; Points = Seq.toArray points; IsLine = isLine }

    /// The losses of steps, as many as a plot can show: means of as many neighbours as it takes.
    let trainingLoss () =
        let size = 1 + (steps.Count - 1) / 400
        let mean (part: StepRecord[]) =
            let last = part[part.Length - 1]
            struct (float last.Step, part |> Array.averageBy (fun s -> s.Loss))
        steps |> Seq.toArray |> Array.chunkBySize size |> Array.map mean

    let measured name =
        evaluations
        |> Seq.choose (fun e ->
            match e.Values.TryGetValue name with
            | true, value -> Some(struct (float e.Step, value))
            | _ -> None)

    let lossPanel () =
        let validation = measured "val_loss" |> Seq.toArray
        { Title = "loss"
          Curves =
            [ curve "training" true (trainingLoss ())
              if validation.Length > 0 then curve "validation" false validation ] }

    /// A panel for each metric: on training batches, and on validation batches.
    let metricPanels () =
        names ()
        |> Array.map (fun name -> if name.StartsWith "val_" then name.Substring 4 else name)
        |> Array.distinct
        |> Array.filter ((<>) "loss")
        |> Array.map (fun name ->
            { Title = name
              Curves =
                [ curve "training" true (measured name); curve "validation" false (measured ("val_" + name)) ]
                |> List.filter (fun c -> c.Points.Length > 0) })
        |> Array.toList

    let stepPanels () =
        let size = 1 + (steps.Count - 1) / 400
        let thinned (value: StepRecord -> float) =
            steps
            |> Seq.indexed
            |> Seq.filter (fun (i, s) -> i % size = 0 && Double.IsFinite(value s))
            |> Seq.map (fun (_, s) -> struct (float s.Step, value s))
        [ { Title = "learning rate"
            Curves = [ curve "learning rate" true (thinned (fun s -> s.Rate)) ] }
          { Title = "norm of the gradients"
            Curves = [ curve "norm" true (thinned (fun s -> s.GradientNorm)) ] } ]

    let summary () =
        if steps.Count = 0 then
            "no step yet"
        else
            let last = steps[steps.Count - 1]
            let examples = float stride * float (steps |> Seq.sumBy (fun s -> s.Examples))
            let rate = examples / max 1e-9 last.Seconds
            let text = $"{last.Step} steps, {last.Epoch} epochs, loss {Curves.short last.Loss}"
            let perSecond = if last.Seconds > 0.0 then $", {Curves.short rate} examples a second" else ""
            text + perSecond

    /// So many records of steps are kept at most.
    static member Limit = 20_000

    /// A record for each update. Of runs longer than `Limit`, every second one stays, then every fourth, ...
    member _.Steps: IReadOnlyList<StepRecord> = steps
    /// A record for each evaluation.
    member _.Evaluations: IReadOnlyList<EvaluationRecord> = evaluations

    /// All values of a name, in order: `loss`, `val_loss`, `accuracy`, `val_accuracy`, ...
    member _.Item
        with get (name: string): float[] =
            match measured name |> Seq.map (fun (struct (_, value)) -> value) |> Seq.toArray with
            | [||] ->
                let known = String.Join(", ", names ())
                raise (KeyNotFoundException $"The history has no '{name}'; it has: {known}.")
            | values -> values

    /// The names of what was measured.
    member _.Names: IReadOnlyList<string> = names ()

    /// Notes an update.
    member _.Add(step: StepRecord) : unit =
        if step.Step % stride = 0L then steps.Add step
        if steps.Count > History.Limit then
            stride <- stride * 2L
            steps.RemoveAll(fun s -> s.Step % stride <> 0L) |> ignore
    /// Only each `every`-th step is noted from now on.
    member private _.Thin(every: int64) : unit = stride <- every

    /// Notes an evaluation.
    member _.Add(evaluation: EvaluationRecord) : unit = evaluations.Add evaluation

    /// The losses as a picture for a terminal of this width and height in characters, metrics below.
    member _.Plot(width: int, height: int) : string =
        lossPanel () :: metricPanels () |> List.map (Curves.terminal width height) |> String.concat "\n"

    /// The losses as a picture for a terminal.
    override h.ToString() = h.Plot(100, 14)

    /// A page of its own, without scripts: losses, metrics, rates and norms as pictures, evaluations as a table.
    member _.ToPage(title: string) : string =
        let columns = names ()
        let cell (e: EvaluationRecord) name =
            match e.Values.TryGetValue name with
            | true, value -> value.ToString("G6", invariant)
            | _ -> ""
        let rows =
            [| for e in evaluations -> Array.append [| string e.Step; string e.Epoch |] (columns |> Array.map (cell e)) |]
        let panels = lossPanel () :: metricPanels () @ stepPanels ()
        Curves.page title (summary ()) panels (Array.append [| "step"; "epoch" |] columns) rows

    /// Writes the page.
    member h.SavePage(path: string) : unit = AtomicFile.writeText path (h.ToPage "Training")

    /// One line for each update, with what was measured after it.
    member _.ToCsv() : string =
        let columns = names () |> Array.filter ((<>) "loss")
        let number (x: float) = if Double.IsNaN x then "" else x.ToString("R", invariant)
        let after = evaluations |> Seq.groupBy (fun e -> e.Step) |> Seq.map (fun (s, es) -> s, Seq.last es) |> dict
        let text = StringBuilder()
        text
            .AppendJoin(',', Array.append [| "step"; "epoch"; "loss"; "rate"; "gradient_norm"; "seconds" |] columns)
            .Append('\n')
        |> ignore
        for s in steps do
            let value (name: string) =
                match after.TryGetValue s.Step with
                | true, e when e.Values.ContainsKey name -> number e.Values[name]
                | _ -> ""
            let own =
                [| string s.Step
                   string s.Epoch
                   number s.Loss
                   number s.Rate
                   number s.GradientNorm
                   number s.Seconds |]
            text.AppendJoin(',', Array.append own (columns |> Array.map value)).Append('\n') |> ignore
        text.ToString()

    /// Everything as JSON.
    member _.ToJson() : string =
        use stream = new MemoryStream()
        let write () =
            use json = new Utf8JsonWriter(stream)
            let number (name: string) (x: float) =
                if Double.IsFinite x then json.WriteNumber(name, x) else json.WriteString(name, x.ToString invariant)
            json.WriteStartObject()
            json.WriteNumber("stride", stride)
            json.WriteStartArray "steps"
            for s in steps do
                json.WriteStartObject()
                json.WriteNumber("step", s.Step)
                json.WriteNumber("epoch", s.Epoch)
                json.WriteNumber("examples", s.Examples)
                number "loss" s.Loss
                number "rate" s.Rate
                number "gradient_norm" s.GradientNorm
                number "seconds" s.Seconds
                json.WriteEndObject()
            json.WriteEndArray()
            json.WriteStartArray "evaluations"
            for e in evaluations do
                json.WriteStartObject()
                json.WriteNumber("step", e.Step)
                json.WriteNumber("epoch", e.Epoch)
                json.WriteStartObject "values"
                for pair in e.Values do
                    number pair.Key pair.Value
                json.WriteEndObject()
                json.WriteEndObject()
            json.WriteEndArray()
            json.WriteEndObject()
        write ()
        Encoding.UTF8.GetString(stream.ToArray())

    /// What `ToJson` gave; anything else is an error that says so.
    static member OfJson(text: string) : History =
        let number (e: JsonElement) =
            if e.ValueKind = JsonValueKind.String then
                Double.Parse(e.GetString(), CultureInfo.InvariantCulture)
            else
                e.GetDouble()
        let history = History()
        try
            use document = JsonDocument.Parse text
            history.Thin(document.RootElement.GetProperty("stride").GetInt64())
            for s in document.RootElement.GetProperty("steps").EnumerateArray() do
                let field (name: string) = number (s.GetProperty name)
                history.Add
                    { Step = s.GetProperty("step").GetInt64()
                      Epoch = s.GetProperty("epoch").GetInt32()
                      Examples = s.GetProperty("examples").GetInt64()
                      Loss = field "loss"
                      Rate = field "rate"
                      GradientNorm = field "gradient_norm"
                      Seconds = field "seconds" }
            for e in document.RootElement.GetProperty("evaluations").EnumerateArray() do
                let values = Dictionary<string, float>()
                for p in e.GetProperty("values").EnumerateObject() do
                    values[p.Name] <- number p.Value
                history.Add
                    { Step = e.GetProperty("step").GetInt64()
                      Epoch = e.GetProperty("epoch").GetInt32()
                      Values = values }
            history
        with
        | :? JsonException
        | :? KeyNotFoundException
        | :? FormatException
        | :? InvalidOperationException -> raise (InvalidDataException "This is no training history.")
