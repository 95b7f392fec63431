namespace Nanograd

open System
open System.Collections.Generic
open System.Diagnostics
open System.Globalization
open System.IO

/// What training gives.
[<NoComparison; NoEquality>]
type TrainResult<'P, 'S> =
    {
        /// The last state: training can go on from it.
        State: TrainState<'P, 'S>
        /// The parameters to use: the best ones if they were kept, else the averages if there are any, else the last ones.
        Parameters: 'P
        /// The model's state that belongs to them.
        Model: 'S
        History: History
        Ending: Ending
        /// What was recomputed in the backward pass of the last step.
        Recomputation: Recomputation
        /// Updates that were left out because something was not finite.
        Skipped: int64
    }

/// One training run.
[<Sealed>]
type internal TrainRun<'P, 'S, 'B>
    (
        options: TrainOptions,
        objective: Objective<'P, 'S, 'B>,
        training: int -> seq<'B>,
        validation: seq<'B>,
        start: TrainState<'P, 'S>
    ) =
    let o = options
    let optimizer = TrainStep.optimizer o
    let i32 (n: int) = ofArray DType.I32 [||] [| n |]
    let f32 (x: float) = ofArray DType.F32 [||] [| float32 x |]
    let progress = ProgressWriter o.Progress
    let clock = Stopwatch()

    // ---- compiled once for each shape of a batch

    let chosen = Dictionary<string, Recomputation>()
    let shapesOf (batch: 'B) = String.Join(";", Tree.leaves batch |> Array.map Shape.describe)
    let recomputation (batch: 'B) =
        match chosen.TryGetValue(shapesOf batch) with
        | true, r -> r
        | _ -> Recomputation.none
    let update =
        jitDonate (fun state ((_, _, _, _, batch) as rest) ->
            TrainStep.update o (recomputation batch) objective state rest)
    let gather =
        jitDonate (fun gathered ((_, _, _, _, _, batch) as rest) ->
            TrainStep.gather o (recomputation batch) objective gathered rest)
    let evaluate = jit2 (fun (p, s) batch -> TrainStep.evaluate o objective p s batch)
    let observe =
        jitDonate (fun (slots: OptimizerState) (p: 'P, s: 'S, key, batch) ->
            match o.Method, objective.Logits with
            | Method.Sophia sophia, Some logits ->
                let compute p = (TrainStep.lowered o Recomputation.none [| logits p s (Some key) batch |])[0]
                let hessian = Sophia.estimate key compute (Tree.map Optimizer.widened p)
                Sophia.observe sophia optimizer hessian slots
            | _ -> slots)
    let lossAndGradient =
        jit2 (fun (p: 'P) (s: 'S, key, batch) ->
            let outcome, gradient = TrainStep.valueAndGrad o Recomputation.none objective None key p s batch
            (outcome.Loss, outcome.State, outcome.Measured), gradient)

    // ---- what changes

    let mutable state = start
    let mutable epoch, position = 0, 0
    let mutable step, skipped = 0L, 0L
    let mutable first = 0L
    let mutable totals = Totals objective.Metrics
    let mutable stopping, keeping = Watch.start, Watch.start
    let mutable best: ('P * 'S) option = None
    let mutable plateau = o.Plateau |> Option.map (fun options -> Plateau.start options 1.0)
    let mutable history = History()
    let mutable ending: Ending option = None
    let mutable saved = -1L
    let mutable stepsInEpoch = 0L

    /// The parameters that are validated and kept: the averages, where there are some.
    let shown () =
        match o.Average with
        | Some _ -> Optim.slot "ema" optimizer state.Slots state.Parameters |> eval
        | None -> state.Parameters

    /// Values in memory that no later step overwrites.
    let copied (tree: 'T) : 'T = Values.own (Tree.rebuild tree (Tree.leaves tree))

    // ------------------------------------------------------------------------------------------------ memory

    /// Chooses what is recomputed for batches of this shape.
    let budget (batch: 'B) =
        match o.Budget with
        | Some bytes when not (chosen.ContainsKey(shapesOf batch)) ->
            let rest = f32 1.0, i32 0, f32 1.0, f32 1.0, batch
            let gathered =
                if o.Accumulate = 1 then
                    None
                else
                    Some
                        { Sum = Tree.map zerosLike (Tree.map Optimizer.widened state.Parameters)
                          Model = state.Model }
            let argument = (state, gathered), rest
            let donated = (Tree.leaves (state, gathered)).Length
            let planned r =
                Recomputation.plannedBytes donated (fun (s, rest) -> TrainStep.update o r objective s rest) argument
            chosen[shapesOf batch] <- Recomputation.choose bytes planned
        | _ -> ()

    // ------------------------------------------------------------------------------------------------ steps

    let diagnose (batches: 'B[]) =
        let find index (batch: 'B) =
            Debug.nans (fun () ->
                let key = TrainStep.key o state.Step (i32 index)
                let outcome, gradient =
                    TrainStep.valueAndGrad o Recomputation.none objective None key state.Parameters state.Model batch
                outcome.Loss, gradient)
        match batches |> Seq.mapi find |> Seq.tryFind (fun report -> not report.IsFinite) with
        | Some report -> string report
        | None -> "Computed step by step, nothing is: the compiled program overflows in between."

    /// One update by a gradient.
    let gradientStep (batches: 'B[]) : float * float * bool =
        let counts = batches |> Array.map TrainStep.examples
        let total = Array.sum counts
        let mutable loss = 0.0
        let mutable fine = true
        let note count (m: Measurement) =
            let value = item m.Loss
            loss <- loss + value * float count / float total
            fine <- fine && item m.IsFinite <> 0.0
            value
        let measured = List<struct (float * int * Tensor[])>()
        let mutable gathered = None
        for i in 0 .. batches.Length - 2 do
            let before =
                match gathered with
                | Some g -> g
                | None ->
                    Values.own
                        { Sum = Tree.map zerosLike (Tree.map Optimizer.widened state.Parameters)
                          Model = Tree.map id state.Model }
            let next, m =
                gather before (state.Parameters, state.Scale, state.Step, i32 i, f32 (float counts[i]), batches[i])
            gathered <- Some next
            measured.Add(struct (note counts[i] m, counts[i], m.Measured))
        let last = batches.Length - 1
        let factor = plateau |> Option.map (fun p -> p.Rate) |> Option.defaultValue 1.0
        let rest = f32 factor, i32 last, f32 (float counts[last]), f32 (float total), batches[last]
        let next, m = update (state, gathered) rest
        state <- next
        measured.Add(struct (note counts[last] m, counts[last], m.Measured))
        if fine then
            for struct (value, count, sums) in measured do
                totals.Add(value, count, sums)
        loss, item m.Norm, fine

    /// One call of L-BFGS.
    let lbfgsStep (options: LbfgsOptions) (batch: 'B) : float * float * bool =
        let key = TrainStep.key o state.Step (i32 0)
        let mutable seen = None
        let valueAndGradient p =
            let (loss, model, measured), gradient = lossAndGradient p (state.Model, key, batch)
            if seen.IsNone then seen <- Some(model, measured)
            loss, gradient
        let curvature = state.Curvature |> Option.defaultValue Lbfgs.start
        let loss, parameters, next = Lbfgs.step options valueAndGradient curvature state.Parameters
        let fine = o.NanGuard = NanGuard.Off || Double.IsFinite loss
        let later = eval (state.Step + 1)
        match seen with
        | Some(model, measured) when fine ->
            totals.Add(loss, TrainStep.examples batch, measured)
            let updates = eval (state.Updates + 1)
            state <-
                { state with
                    Parameters = parameters
                    Model = model
                    Curvature = Some next
                    Step = later
                    Updates = updates }
        | _ -> state <- { state with Step = later }
        loss, nan, fine

    let lookAtHessian (batch: 'B) =
        match o.Method with
        | Method.Sophia sophia when Sophia.isDue sophia step ->
            let key = Random.fold (TrainStep.key o state.Step (i32 0)) 0x50f1a |> eval
            state <-
                { state with
                    Slots = observe state.Slots (state.Parameters, state.Model, key, batch) }
        | _ -> ()

    let totalSteps () =
        if o.Steps < Int64.MaxValue then o.Steps
        elif stepsInEpoch > 0L then stepsInEpoch * int64 o.Epochs
        else 0L

    let advance (batches: 'B[]) =
        clock.Start()
        Array.iter budget batches
        lookAtHessian batches[0]
        let rate = LearningRate.at o.Rate step
        let loss, norm, fine =
            match o.Method with
            | Method.Lbfgs options -> lbfgsStep options batches[0]
            | Method.Of _
            | Method.Sophia _
            | Method.Sam _ -> gradientStep batches
        clock.Stop()
        if not fine then
            // f16 is expected to overflow now and then; not once its scale is down at 1.
            let isExpected =
                match state.Scale with
                | Some s -> Double.IsFinite loss && item s.Factor >= 1.0
                | None -> false
            if o.NanGuard = NanGuard.Stop && not isExpected then
                raise (NonFiniteStepException(step + 1L, loss, diagnose batches))
            skipped <- skipped + 1L
        step <- step + 1L
        position <- position + batches.Length
        let factor = plateau |> Option.map (fun p -> p.Rate) |> Option.defaultValue 1.0
        let record: StepRecord =
            { Step = step
              Epoch = epoch + 1
              Loss = loss
              Rate =
                match o.Method with
                | Method.Lbfgs options -> options.Rate
                | Method.Of _
                | Method.Sophia _
                | Method.Sam _ -> rate * factor
              GradientNorm = norm
              Examples = batches |> Array.sumBy (TrainStep.examples >> int64)
              Seconds = clock.Elapsed.TotalSeconds }
        history.Add record
        progress.Step(record, totalSteps (), step - first)
        for tell in o.OnStep do
            tell record

    // ------------------------------------------------------------------------------------------------ evaluation

    let validate (values: Dictionary<string, float>) =
        let seen = Totals objective.Metrics
        let p = shown ()
        for batch in validation do
            let loss, measured = evaluate (p, state.Model) batch
            seen.Add(item loss, TrainStep.examples batch, measured)
        if not seen.IsEmpty then seen.Put("val_", values)

    let monitored (values: Dictionary<string, float>) (name: string) =
        match values.TryGetValue name with
        | true, value -> Some value
        | _ when name.StartsWith "val_" && not (values.ContainsKey "val_loss") && o.Validate <> Due.Never -> None
        | _ when name.StartsWith "val_" && not (values.ContainsKey "val_loss") -> None
        | _ ->
            let known = String.Join(", ", values.Keys)
            raise (ArgumentException $"Nothing of the name '{name}' is measured, only: {known}.")

    let bestFolder () = o.Folder |> Option.map (fun folder -> Path.Combine(folder, "best"))

    let keepBest (values: Dictionary<string, float>) =
        match o.KeepBest with
        | Some k ->
            match monitored values k.Monitor with
            | Some value ->
                let struct (watch, isBest) = Watch.next k.Better 0.0 value keeping
                keeping <- watch
                if isBest then
                    let p, s = copied (shown (), state.Model)
                    best <- Some(p, s)
                    bestFolder ()
                    |> Option.iter (fun folder ->
                        let own = { state with Parameters = p; Model = s }
                        (TrainTensors.save objective.Named o (Dictionary()) own).Save folder)
            | None -> ()
        | None -> ()

    let stopEarly (values: Dictionary<string, float>) =
        match o.Stopping with
        | Some s ->
            match monitored values s.Monitor with
            | Some value ->
                let struct (watch, _) = Watch.next s.Better s.MinDelta value stopping
                stopping <- watch
                if watch.Since > s.Patience then ending <- Some Ending.StoppedEarly
            | None -> ()
        | None -> ()

    let lowerRate (values: Dictionary<string, float>) =
        let measured = if values.ContainsKey "val_loss" then values["val_loss"] else values["loss"]
        plateau <- Option.map2 (fun options p -> Plateau.next options measured p) o.Plateau plateau

    /// Notes what the batches since the last time gave, and the validation if it is due.
    let report (validates: bool) =
        if not totals.IsEmpty then
            let values = Dictionary<string, float>()
            totals.Put("", values)
            totals <- Totals objective.Metrics
            if validates then validate values
            let record: EvaluationRecord = { Step = step; Epoch = epoch + 1; Values = values }
            history.Add record
            progress.Evaluation record
            keepBest values
            stopEarly values
            lowerRate values
            for tell in o.OnEvaluation do
                tell record

    // ------------------------------------------------------------------------------------------------ checkpoints

    let save () =
        match o.Folder with
        | Some folder when saved <> step ->
            let texts = Dictionary<string, string>()
            texts["epoch"] <- string epoch
            texts["batch"] <- string position
            texts["skipped"] <- string skipped
            texts["stopping"] <- Watch.save stopping
            texts["keeping"] <- Watch.save keeping
            texts["totals"] <- totals.Save()
            texts["history"] <- history.ToJson()
            plateau
            |> Option.iter (fun p ->
                let r (x: float) = x.ToString("R", CultureInfo.InvariantCulture)
                texts["plateau"] <- $"{r p.Rate} {r p.Best} {p.BadEpochs} {p.CooldownLeft}")
            (TrainTensors.save objective.Named o texts state).Save folder
            saved <- step
        | _ -> ()

    let resume (folder: string) =
        let c = Checkpoint.Load folder
        if c.Seed <> o.Seed then
            raise (ArgumentException $"The checkpoint in {folder} is of seed {c.Seed}, the options have {o.Seed}.")
        let text (name: string) =
            match c.Metadata.TryGetValue name with
            | true, value -> value
            | _ -> raise (InvalidDataException $"The checkpoint in {folder} does not say its '{name}'.")
        state <- TrainTensors.restore objective.Named o start c |> Values.own
        step <- c.Step
        saved <- step
        epoch <- int (text "epoch")
        position <- int (text "batch")
        skipped <- int64 (text "skipped")
        stopping <- Watch.load (text "stopping")
        keeping <- Watch.load (text "keeping")
        totals.Load(text "totals")
        history <- History.OfJson(text "history")
        if o.Plateau.IsSome then
            let parts = (text "plateau").Split ' '
            let number (t: string) = Double.Parse(t, CultureInfo.InvariantCulture)
            plateau <-
                Some
                    { Rate = number parts[0]
                      Best = number parts[1]
                      BadEpochs = int parts[2]
                      CooldownLeft = int parts[3] }
        match bestFolder () with
        | Some folder when o.KeepBest.IsSome && Checkpoint.Exists folder ->
            let kept = TrainTensors.restore objective.Named o start (Checkpoint.Load folder)
            best <- Some(kept.Parameters, kept.Model)
        | _ -> ()

    let isDueAfterStep due =
        match due with
        | Due.Steps n -> n > 0L && step % n = 0L
        | Due.Never
        | Due.Epochs _ -> false

    let isDueAfterEpoch due =
        match due with
        | Due.Epochs n -> n > 0 && (epoch + 1) % n = 0
        | Due.Never
        | Due.Steps _ -> false

    // ------------------------------------------------------------------------------------------------ the loop

    /// The next batches of one update; empty at the end of the epoch.
    let next (batches: IEnumerator<'B>) : 'B[] =
        let taken = List<'B>()
        while taken.Count < o.Accumulate && batches.MoveNext() do
            taken.Add batches.Current
        taken.ToArray()

    let isOver () = ending.IsSome || step >= o.Steps

    let runEpoch (interruption: Interruption) =
        use batches = (training epoch |> Seq.skip position).GetEnumerator()
        let before = position
        let mutable goesOn = not (isOver ())
        let mutable isWhole = false
        while goesOn do
            let taken = next batches
            if taken.Length = 0 then
                goesOn <- false
                isWhole <- true
            else
                advance taken
                if isDueAfterStep o.Validate then report true
                if interruption.Requested || o.Cancel.IsCancellationRequested then ending <- Some Ending.Interrupted
                if isDueAfterStep o.Save && not (isOver ()) then save ()
                goesOn <- not (isOver ())
        if isWhole then
            if position = 0 then raise (ArgumentException $"Epoch {epoch + 1} has no training batch.")
            if before = 0 then stepsInEpoch <- int64 ((position + o.Accumulate - 1) / o.Accumulate)
            report (isDueAfterEpoch o.Validate || (epoch + 1 = o.Epochs && o.Validate <> Due.Never))
            let isDue = isDueAfterEpoch o.Save
            epoch <- epoch + 1
            position <- 0
            if isDue then save ()

    let result () : TrainResult<'P, 'S> =
        let parameters, model =
            match best with
            | Some(p, s) -> p, s
            | None -> copied (shown (), state.Model)
        { State = state
          Parameters = parameters
          Model = model
          History = history
          Ending = ending |> Option.defaultValue Ending.Finished
          Recomputation = chosen.Values |> Seq.tryLast |> Option.defaultValue Recomputation.none
          Skipped = skipped }

    member _.Execute() : TrainResult<'P, 'S> =
        TrainStep.check o objective
        state <- Values.own start
        step <- int64 (item state.Step)
        match o.Folder with
        | Some folder when o.Resume && Checkpoint.Exists folder -> resume folder
        | _ -> ()
        first <- step
        use interruption = new Interruption(o.HandleInterrupts)
        while epoch < o.Epochs && not (isOver ()) do
            runEpoch interruption
        if ending <> Some Ending.Interrupted then report (o.Validate <> Due.Never)
        if o.Save <> Due.Never || ending = Some Ending.Interrupted then save ()
        if ending = Some Ending.Interrupted then
            let where =
                match o.Folder with
                | Some folder -> $"and saved in {folder}"
                | None -> "and not saved: there is no folder"
            progress.Say $"Stopped after step {step} {where}."
        result ()
