namespace Nanograd

open System
open System.Collections.Generic

/// Everything that training changes: a tree of tensors, so that it can be donated, saved and restored.
[<NoComparison>]
type TrainState<'P, 'S> =
    {
        Parameters: 'P
        /// What the model itself remembers, such as running statistics.
        Model: 'S
        /// The optimizer's state.
        Slots: OptimizerState
        /// What L-BFGS remembers.
        Curvature: LbfgsState option
        /// The scale of the loss in f16.
        Scale: LossScale option
        /// Steps done, those whose update was left out included: an i32 scalar.
        Step: Tensor
        /// Updates done: an i32 scalar.
        Updates: Tensor
    }

/// Gradients of several batches on their way to one update.
[<NoComparison>]
type internal Gathered<'P, 'S> =
    {
        /// The sum of the batches' gradients, each times its number of examples.
        Sum: 'P
        Model: 'S
    }

/// What one program says about the batch it was run on.
[<NoComparison>]
type internal Measurement = { Loss: Tensor; Norm: Tensor; IsFinite: Tensor; Measured: Tensor[] }

/// One update as an expression.
[<RequireQualifiedAccess>]
module internal TrainStep =
    let zero () = Op.constant (Constant.ofInt DType.I32 0L)

    /// The optimizer of a run, with clipping before and averaging after it.
    let optimizer (o: TrainOptions) : Optimizer =
        let own =
            match o.Method with
            | Method.Of optimizer
            | Method.Sam(_, optimizer) -> optimizer
            | Method.Sophia options -> Optim.sophia options
            | Method.Lbfgs _ -> Transform.identity
        let before =
            match o.Clipping with
            | Clipping.Nothing -> []
            | Clipping.Norm bound -> [ Transform.clipByGlobalNorm bound ]
            | Clipping.Value bound -> [ Transform.clipByValue bound ]
            | Clipping.Adaptive clipping -> [ Clip.adaptive clipping 1e-3 ]
        match before @ [ own ] @ (o.Average |> Option.map Averages.ema |> Option.toList) with
        | [ alone ] -> alone
        | parts -> Transform.chain parts

    /// The parameters in the type that they are kept in.
    let private stored (o: TrainOptions) (parameters: 'P) : 'P =
        match o.Precision with
        | Precision.BFloat16Weights ->
            parameters |> Tree.map (fun p -> if p.DType = DType.F32 then cast DType.BF16 p else p)
        | Precision.Full
        | Precision.BFloat16
        | Precision.Float16 _ -> parameters

    /// The state before the first step, as expressions.
    let start (o: TrainOptions) (parameters: 'P) (model: 'S) : TrainState<'P, 'S> =
        let parameters = stored o parameters
        let isLbfgs =
            match o.Method with
            | Method.Lbfgs _ -> true
            | Method.Of _
            | Method.Sophia _
            | Method.Sam _ -> false
        let isScaled =
            match o.Precision with
            | Precision.Float16 _ -> true
            | Precision.Full
            | Precision.BFloat16
            | Precision.BFloat16Weights -> false
        { Parameters = parameters
          Model = model
          Slots = Optim.init (optimizer o) parameters
          Curvature = if isLbfgs then Some Lbfgs.start else None
          Scale = if isScaled then Some(LossScale.start o.Precision) else None
          Step = zero ()
          Updates = zero () }

    /// What precision and recomputation make of a forward computation.
    let lowered (o: TrainOptions) (r: Recomputation) (roots: Tensor[]) : Tensor[] =
        let cast16 =
            match o.Precision with
            | Precision.Full -> id
            | Precision.BFloat16
            | Precision.BFloat16Weights -> Autocast.apply DType.BF16
            | Precision.Float16 _ -> Autocast.apply DType.F16
        roots |> cast16 |> Recomputation.apply r

    let private checkLoss (loss: Tensor) =
        if loss.Rank <> 0 || not (DType.isFloat loss.DType) then
            Shape.fail "train" "the loss must be a float scalar" "reduce it with mean" [ loss ]

    /// The outcome of a batch in evaluation, in the run's precision.
    let evaluate (o: TrainOptions) (objective: Objective<'P, 'S, 'B>) (p: 'P) (s: 'S) (batch: 'B) : Tensor * Tensor[] =
        let outcome = objective.Run (Tree.map Optimizer.widened p) s None batch
        checkLoss outcome.Loss
        let roots = lowered o Recomputation.none (Array.append [| outcome.Loss |] outcome.Measured)
        roots[0], roots[1..]

    /// Outcome and gradient of a batch. 16-bit parameters are read as f32, and so are their gradients.
    let private outcomeAndGrad o r (objective: Objective<'P, 'S, 'B>) (scale: LossScale option) key p (s: 'S) batch =
        let values = Tree.leaves p |> Array.map Optimizer.widened
        let variables = values |> Array.mapi (fun i v -> Op.input $"p{i}" v.DType v.Shape)
        let outcome = objective.Run (Tree.rebuild p variables) s (Some key) batch
        checkLoss outcome.Loss
        let count = outcome.Measured.Length
        let roots = lowered o r (Array.concat [ [| outcome.Loss |]; outcome.Measured; Tree.leaves outcome.State ])
        let minimised =
            match scale with
            | Some s -> cast DType.F32 roots[0] * s.Factor
            | None -> roots[0]
        let isFloat (t: Tensor) = DType.isFloat t.DType
        let gradients = Grad.gradient minimised (Array.filter isFloat variables)
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (v: Tensor) x -> replacements[v.Hash] <- x) variables values
        let all = Substitute.apply replacements (Array.append roots gradients)
        let mutable next = roots.Length - 1
        let gradientOf (v: Tensor) =
            if isFloat v then
                next <- next + 1
                all[next]
            else
                zerosLike v
        let gradient = Tree.rebuild p (Array.map gradientOf variables)
        { Loss = all[0]
          Measured = all[1..count]
          State = Tree.rebuild outcome.State all[count + 1 .. roots.Length - 1] },
        gradient

    /// The same by the run's method: at the worst point near p for sharpness-aware minimization.
    let valueAndGrad (o: TrainOptions) r objective scale key (p: 'P) s batch : Outcome<'S> * 'P =
        let outcome, gradient = outcomeAndGrad o r objective scale key p s batch
        match o.Method with
        | Method.Sam(rho, _) ->
            let stretch = rho / (Clip.norm 2.0 (Tree.leaves gradient) + 1e-12)
            let climb (p: Tensor) (g: Tensor) = Optimizer.widened p + g * cast g.DType stretch
            outcome, snd (outcomeAndGrad o r objective scale key (Tree.map2 climb p gradient) s batch)
        | Method.Of _
        | Method.Sophia _
        | Method.Lbfgs _ -> outcome, gradient

    /// The key of batch `index` of a step.
    let key (o: TrainOptions) (step: Tensor) (index: Tensor) : Tensor =
        let counter = if o.Accumulate = 1 then step else step * o.Accumulate + index
        Random.foldIn (Random.key o.Seed) counter

    let private watches (o: TrainOptions) = o.NanGuard <> NanGuard.Off

    let private measure (o: TrainOptions) (scale: LossScale option) (outcome: Outcome<'S>) (gradient: 'P) =
        let needsNorm = watches o || scale.IsSome || o.Clipping.IsNorm
        let norm = if needsNorm then Clip.norm 2.0 (Tree.leaves gradient) else scalar nan
        let fine = logicalAnd (isFinite norm) (isFinite outcome.Loss)
        { Loss = outcome.Loss
          Norm = norm
          IsFinite = if watches o || scale.IsSome then fine else onesLike fine
          Measured = outcome.Measured }

    /// Adds the gradient of one more batch, times its weight.
    let gather o r objective (g: Gathered<'P, 'S>) (p: 'P, scale, step, index, weight: Tensor, batch: 'B) =
        let outcome, gradient = valueAndGrad o r objective scale (key o step index) p g.Model batch
        let add (sum: Tensor) (g: Tensor) = sum + g * cast g.DType weight
        { Sum = Tree.map2 add g.Sum gradient; Model = outcome.State }, measure o scale outcome gradient

    /// The parameters less their steps, in their own types.
    let private move (o: TrainOptions) context gradient (slots: OptimizerState) (p: 'P) key : 'P * OptimizerState =
        let optimizer = optimizer o
        match o.Precision with
        | Precision.BFloat16Weights ->
            let named = Tree.named p
            let steps, next = optimizer.Update context (Tree.leaves gradient) slots named
            let round i (_, p: Tensor) (step: Tensor) =
                let moved = Optimizer.widened p - step
                if p.DType = DType.BF16 then
                    StochasticRounding.toBFloat16 (Random.fold key i) moved
                else
                    cast p.DType moved
            Tree.rebuild p (Array.mapi2 round named steps), next
        | Precision.Full
        | Precision.BFloat16
        | Precision.Float16 _ -> Optim.update optimizer context gradient slots p

    /// The last batch of an update, and the update. `factor` multiplies the rate; the weights are numbers of examples.
    let update
        (o: TrainOptions)
        (r: Recomputation)
        (objective: Objective<'P, 'S, 'B>)
        (state: TrainState<'P, 'S>, gathered: Gathered<'P, 'S> option)
        (factor: Tensor, index: Tensor, weight: Tensor, total: Tensor, batch: 'B)
        : TrainState<'P, 'S> * Measurement =
        let key = key o state.Step index
        let model =
            match gathered with
            | Some g -> g.Model
            | None -> state.Model
        let outcome, gradient = valueAndGrad o r objective state.Scale key state.Parameters model batch
        let mean =
            match gathered with
            | Some g ->
                Tree.map2
                    (fun (sum: Tensor) (g: Tensor) -> (sum + g * cast g.DType weight) / cast g.DType total)
                    g.Sum
                    gradient
            | None -> gradient
        let unscaled =
            match state.Scale with
            | Some s -> mean |> Tree.map (fun g -> g / cast g.DType s.Factor)
            | None -> mean
        let measured = measure o state.Scale outcome unscaled
        let rate = LearningRate.expression o.Rate state.Step * cast DType.F64 factor
        let context = UpdateContext.Of(state.Updates, rate)
        let parameters, slots = move o context unscaled state.Slots state.Parameters (Random.fold key 0x5eed)
        let next =
            { state with
                Parameters = parameters
                Slots = slots
                Model = outcome.State
                Scale = state.Scale |> Option.map (LossScale.next o.Precision measured.IsFinite)
                Step = state.Step + 1
                Updates = state.Updates + 1 }
        if watches o || state.Scale.IsSome then
            let keep later old = Tree.map2 (fun (l: Tensor) (o: Tensor) -> where measured.IsFinite l o) later old
            { next with
                Parameters = keep next.Parameters state.Parameters
                Slots = keep next.Slots state.Slots
                Model = keep next.Model state.Model
                Updates = where measured.IsFinite next.Updates state.Updates },
            measured
        else
            next, measured

    /// The examples of a batch: the first extent of its first tensor that has axes.
    let examples (batch: 'B) : int =
        match Tree.leaves batch |> Array.tryFind (fun t -> t.Rank > 0) with
        | Some t when t.Shape[0] = 0 -> raise (ArgumentException "A batch is empty: it has no examples.")
        | Some t -> t.Shape[0]
        | None -> 1

    /// Problems of the options, before anything is computed.
    let check (o: TrainOptions) (objective: Objective<'P, 'S, 'B>) : unit =
        let require sentence condition = if not condition then raise (ArgumentException sentence)
        require $"The number of epochs must not be negative, not {o.Epochs}." (o.Epochs >= 0)
        require $"The number of steps must not be negative, not {o.Steps}." (o.Steps >= 0L)
        require $"An update needs at least 1 batch, not {o.Accumulate}." (o.Accumulate >= 1)
        require "Checkpoints need a folder." (o.Folder.IsSome || (o.Save = Due.Never && not o.Resume))
        o.Budget |> Option.iter (fun b -> require $"The memory budget must be positive, not {b}." (b > 0L))
        match o.Method with
        | Method.Sophia _ ->
            require
                "Sophia estimates the Hessian from logits: make the objective with Objective.supervised or ofModel."
                objective.Logits.IsSome
        | Method.Lbfgs _ ->
            let plain = o.Accumulate = 1 && o.Clipping = Clipping.Nothing && o.Average.IsNone && o.Budget.IsNone
            require "L-BFGS takes its own steps: no accumulation, clipping, averages or budget." plain
            require "L-BFGS works in the precision of its parameters." (o.Precision = Precision.Full)
        | Method.Of _
        | Method.Sam _ -> ()
