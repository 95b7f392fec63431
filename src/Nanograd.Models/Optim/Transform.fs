namespace Nanograd

open System
open System.Text.RegularExpressions

/// Which parameters are meant, by name and value; and parts that optimizers are chained of.
[<RequireQualifiedAccess>]
module Choose =
    /// All parameters.
    let everything: string -> Tensor -> bool = fun _ _ -> true

    /// Matrices and larger tensors, not biases and norms.
    let matrices: string -> Tensor -> bool = fun _ p -> p.Rank >= 2

    /// The parameters whose names begin with a path: "encoder" means encoder.weight and encoder.0.bias, not encoders.weight.
    let under (path: string) : string -> Tensor -> bool =
        fun name _ -> name = path || name.StartsWith(path + ".", StringComparison.Ordinal)

    /// The parameters whose names match a pattern, in which * stands for any characters: "h.*.bias".
    let like (pattern: string) : string -> Tensor -> bool =
        let regex = Regex("^" + Regex.Escape(pattern).Replace("\\*", ".*") + "$", RegexOptions.CultureInvariant)
        fun name _ -> regex.IsMatch name

    /// Those that a choice leaves out.
    let others (choice: string -> Tensor -> bool) : string -> Tensor -> bool = fun name p -> not (choice name p)

/// Parts of optimizers: functions from gradients to steps, to be put one after the other with `chain`.
[<RequireQualifiedAccess>]
module Transform =
    let private atLeast = Optimizer.atLeast

    /// The steps of one part go into the next: `chain [ clipByGlobalNorm 1.0; scaleByAdam ...; scaleByRate ]`. Associative,
    /// with `identity` as its unit.
    let chain (parts: Optimizer list) : Optimizer =
        let update context gradients (state: OptimizerState) parameters =
            let mutable steps, first = gradients, 0
            let next =
                [| for part in parts do
                       let own = Array.sub state first part.Slots.Length
                       let later, ownNext = part.Update context steps own parameters
                       steps <- later
                       first <- first + part.Slots.Length
                       yield! ownNext |]
            steps, next
        { Slots = parts |> List.map (fun part -> part.Slots) |> Array.concat
          Init = fun parameters -> parts |> List.map (fun part -> part.Init parameters) |> Array.concat
          Update = update }

    /// Changes nothing.
    let identity: Optimizer = Optimizer.together id

    /// Steps of zero.
    let zero: Optimizer = Optimizer.together (Array.map zerosLike)

    /// PyTorch's clip_grad_norm_ as a part: comes first in a chain.
    let clipByGlobalNorm (maximum: float) : Optimizer = Optimizer.together (Clip.byNorm 2.0 maximum)

    /// PyTorch's clip_grad_value_ as a part.
    let clipByValue (bound: float) : Optimizer = Optimizer.together (Clip.byValue bound)

    /// Every step times a number.
    let scale (factor: float) : Optimizer = Optimizer.stateless (fun _ _ g -> g * factor)

    /// Up instead of down: PyTorch's `maximize`. Comes first in a chain.
    let ascend: Optimizer = Optimizer.stateless (fun _ _ g -> -g)

    /// Every step times the learning rate of the context.
    let scaleByRate: Optimizer = Optimizer.stateless (fun context p g -> g * Optimizer.rate context p)

    /// Every step times a schedule, which needs no rate in the context.
    let scaleBySchedule (schedule: LearningRate) : Optimizer =
        Optimizer.stateless (fun context p g -> g * cast p.DType (LearningRate.expression schedule context.Step))

    /// The same optimizer with another rate: a schedule instead of the context's.
    let withSchedule (schedule: LearningRate) (o: Optimizer) : Optimizer =
        let changed (context: UpdateContext) = { context with Rate = LearningRate.expression schedule context.Step }
        { o with Update = fun context -> o.Update(changed context) }

    /// The same optimizer with the context's rate times a number: for groups that learn slower.
    let withRateScaled (factor: float) (o: Optimizer) : Optimizer =
        atLeast "The factor of the rate" 0.0 factor
        { o with
            Update = fun context -> o.Update { context with Rate = context.Rate * factor } }

    /// The same optimizer with a rate and a momentum that move against each other.
    let withCycle (cycle: Cycle) (o: Optimizer) : Optimizer =
        let changed (context: UpdateContext) =
            { context with
                Rate = LearningRate.expression cycle.Rate context.Step
                Momentum = Some(LearningRate.expression cycle.Momentum context.Step) }
        { o with Update = fun context -> o.Update(changed context) }

    /// An optimizer that works on a part of the parameters: others have no state and no place in its arrays.
    let private restricted (places: (string * Tensor)[] -> int[]) (o: Optimizer) : Optimizer =
        let pick (indices: int[]) (items: 'a[]) = indices |> Array.map (fun i -> items[i])
        let spread count (indices: int[]) (state: OptimizerState) : OptimizerState =
            state
            |> Array.map (fun slot ->
                let all = Array.create count None
                Array.iter2 (fun i t -> all[i] <- t) indices slot
                all)
        let init parameters =
            let indices = places parameters
            spread parameters.Length indices (o.Init(pick indices parameters))
        let update context (gradients: Tensor[]) (state: OptimizerState) (parameters: (string * Tensor)[]) =
            let indices = places parameters
            let steps, next =
                o.Update context (pick indices gradients) (Array.map (pick indices) state) (pick indices parameters)
            let all = Array.copy gradients
            Array.iter2 (fun i step -> all[i] <- step) indices steps
            all, spread parameters.Length indices next
        { o with Init = init; Update = update }

    /// Parameter groups: each parameter is moved by the optimizer of the first choice that means it, or by `otherwise`. A
    /// part that looks at all steps together (clipping by the global norm) sees those of its group.
    let groups (choices: ((string -> Tensor -> bool) * Optimizer) list) (otherwise: Optimizer) : Optimizer =
        let groupOf (name, p) =
            choices |> List.tryFindIndex (fun (choice, _) -> choice name p) |> Option.defaultValue choices.Length
        let places group parameters =
            parameters |> Array.indexed |> Array.filter (fun (_, p) -> groupOf p = group) |> Array.map fst
        List.map snd choices @ [ otherwise ] |> List.mapi (fun group o -> restricted (places group) o) |> chain

    /// Only the chosen parameters see this part; the steps of others go through.
    let only (choice: string -> Tensor -> bool) (part: Optimizer) : Optimizer = groups [ choice, part ] identity

    /// The chosen parameters do not move, and have no state.
    let freeze (choice: string -> Tensor -> bool) (o: Optimizer) : Optimizer = groups [ choice, zero ] o

    let private decay (factor: float) : Optimizer = Optimizer.stateless (fun _ p g -> g + p * factor)

    /// Decay: `factor` times the parameter is added to the step of the chosen ones. Before Adam's scaling this is an L2
    /// penalty, after it AdamW's decoupled decay (Loshchilov and Hutter 2019).
    let addDecayedWeightsOf (choice: string -> Tensor -> bool) (factor: float) : Optimizer =
        atLeast "The weight decay" 0.0 factor
        if factor = 0.0 then identity else only choice (decay factor)

    /// Decay of all parameters.
    let addDecayedWeights (factor: float) : Optimizer =
        atLeast "The weight decay" 0.0 factor
        if factor = 0.0 then identity else decay factor

    /// Momentum as a number of a type, and 1 - it, each rounded once; the context's, if it has one.
    let internal momentum (context: UpdateContext) (dtype: DType) (own: float) : Tensor * Tensor =
        match context.Momentum with
        | Some m ->
            let m = cast DType.F64 m
            cast dtype m, cast dtype (1.0 - m)
        | None -> scalarOf dtype own, scalarOf dtype (1.0 - own)

    /// SGD's momentum: b = momentum b + (1 - dampening) g, at first b = g; the step is b, or with Nesterov
    /// g + momentum b.
    let trace (momentumOf: float) (dampening: float) (nesterov: bool) : Optimizer =
        atLeast "The momentum" 0.0 momentumOf
        let rule (context: UpdateContext) (p: Tensor) (g: Tensor) (state: Tensor[]) =
            let m, _ = momentum context p.DType momentumOf
            let later = state[0] * m + g * (1.0 - dampening)
            // Without dampening 0 * momentum + g is the first gradient already.
            let b = if dampening = 0.0 then later else where (eq context.Step (zerosLike context.Step)) g later
            (if nesterov then g + b * m else b), [| b |]
        Optimizer.each [ "momentum_buffer", Optimizer.zeros ] rule

    /// What an average with this beta lacks after its first steps, 1 - beta^(step + 1), by expm1: in f32, 1 - 0.999 itself
    /// would lose half of its digits.
    let internal correction (beta: Tensor) (step: Tensor) : Tensor = -(expm1 ((cast beta.DType step + 1.0) * log beta))

    /// The same of a beta that is a number.
    let internal correctionOf (dtype: DType) (beta: float) (step: Tensor) : Tensor =
        -(expm1 ((cast dtype step + 1.0) * Math.Log beta))

    /// The same of a momentum; the context's, if it has one.
    let internal momentumCorrection (context: UpdateContext) (dtype: DType) (own: float) : Tensor =
        match context.Momentum with
        | Some m -> cast dtype (correction (cast DType.F64 m) context.Step)
        | None -> correctionOf dtype own context.Step

    let internal average (beta: float) (old: Tensor) (latest: Tensor) = old * beta + latest * (1.0 - beta)

    /// Adam's scaling (Kingma and Ba 2015): m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g², both divided by
    /// 1 - beta^t; the step is m / (sqrt v + eps). With `amsgrad` (Reddi et al. 2018) the largest v so far instead of v.
    let scaleByAdam (beta1: float) (beta2: float) (eps: float) (amsgrad: bool) : Optimizer =
        Optimizer.requireRange "The first beta" 0.0 1.0 beta1
        Optimizer.requireRange "The second beta" 0.0 1.0 beta2
        atLeast "The epsilon" 0.0 eps
        let rule (context: UpdateContext) (p: Tensor) (g: Tensor) (state: Tensor[]) =
            let b1, rest1 = momentum context p.DType beta1
            let first = momentumCorrection context p.DType beta1
            let second = correctionOf p.DType beta2 context.Step
            let m = state[0] * b1 + g * rest1
            let v = average beta2 state[1] (g * g)
            let size = if amsgrad then maximum state[2] v else v
            let step = m / (sqrt size / sqrt second + eps) * (1.0 / first)
            step, (if amsgrad then [| m; v; size |] else [| m; v |])
        let moments = [ "exp_avg", Optimizer.zeros; "exp_avg_sq", Optimizer.zeros ]
        Optimizer.each (if amsgrad then moments @ [ "max_exp_avg_sq", Optimizer.zeros ] else moments) rule

    /// The step in units of the parameter (LARS, You et al. 2017): times |p| / |step|, norms over the whole parameter; where
    /// one of them is 0, the step itself.
    let scaleByTrustRatio: Optimizer =
        Optimizer.stateless (fun _ p g ->
            let length (t: Tensor) = sqrt (sum (square t))
            let size, step = length p, length g
            let ratio = size / where (gt step (zerosLike step)) step (onesLike step)
            let usable = logicalAnd (gt size (zerosLike size)) (gt step (zerosLike step))
            g * where usable ratio (onesLike ratio))
