namespace Nanograd

open System

/// What an optimizer may know besides parameters and gradients. All are tensors, so that one compiled step serves
/// every step.
[<NoComparison>]
type UpdateContext =
    {
        /// How many updates were done before this one: an integer scalar.
        Step: Tensor
        /// The learning rate: a float scalar.
        Rate: Tensor
    }

/// A pure optimizer over arrays of tensors. Its state is one array of tensors per slot, each like the parameters,
/// zero at first.
[<NoComparison; NoEquality>]
type Optimizer =
    {
        /// Names of the slots, as in PyTorch's state.
        Slots: string[]
        /// Context, gradients, state (slot by slot) and parameters to new parameters and new state.
        Update: UpdateContext -> Tensor[] -> Tensor[][] -> Tensor[] -> Tensor[] * Tensor[][]
    }

/// Options of stochastic gradient descent; the defaults are PyTorch's.
type SgdOptions = { Momentum: float; Dampening: float; WeightDecay: float; Nesterov: bool }

/// Options of AdamW.
[<NoComparison; NoEquality>]
type AdamWOptions =
    {
        Beta1: float
        Beta2: float
        Eps: float
        WeightDecay: float
        /// Which parameters decay.
        Decays: Tensor -> bool
    }

/// Optimizers, and functions from gradients to gradients that compose with them.
[<RequireQualifiedAccess>]
module Optim =
    let private requireRange name low high (value: float) =
        if not (value >= low && value < high) then
            let bound = if Double.IsPositiveInfinity high then "" else $" and below {high}"
            raise (ArgumentException $"{name} must be at least {low}{bound}, not {value}.")

    /// The state of an optimizer before the first update: zeros, slot by slot. Expressions; `Values.own` gives each
    /// its own memory.
    let initArrays (o: Optimizer) (parameters: Tensor[]) : Tensor[][] =
        o.Slots |> Array.map (fun _ -> parameters |> Array.map zerosLike)

    /// The state for a tree of parameters: one tree like it per slot.
    let init (o: Optimizer) (parameters: 'P) : 'P[] = o.Slots |> Array.map (fun _ -> Tree.map zerosLike parameters)

    /// One update of a tree of parameters: context, gradients, state, parameters to new parameters and new state.
    let update (o: Optimizer) (context: UpdateContext) (gradients: 'P) (state: 'P[]) (parameters: 'P) : 'P * 'P[] =
        let next, slots =
            o.Update context (Tree.leaves gradients) (Array.map Tree.leaves state) (Tree.leaves parameters)
        Tree.rebuild parameters next, slots |> Array.map (Tree.rebuild parameters)

    /// PyTorch's SGD with its defaults: no momentum, no decay.
    let sgdDefaults = { Momentum = 0.0; Dampening = 0.0; WeightDecay = 0.0; Nesterov = false }

    /// Stochastic gradient descent, as PyTorch's SGD: decay is added to the gradient, and the first momentum is the
    /// first gradient.
    let sgd (options: SgdOptions) : Optimizer =
        requireRange "The momentum" 0.0 Double.PositiveInfinity options.Momentum
        requireRange "The weight decay" 0.0 Double.PositiveInfinity options.WeightDecay
        if options.Nesterov && (options.Momentum = 0.0 || options.Dampening <> 0.0) then
            raise (ArgumentException "Nesterov needs a momentum, and no dampening.")
        let decayed (g: Tensor) (p: Tensor) = if options.WeightDecay = 0.0 then g else g + p * options.WeightDecay
        let buffer (context: UpdateContext) (g: Tensor) (b: Tensor) =
            let later = b * options.Momentum + g * (1.0 - options.Dampening)
            // Without dampening 0 * momentum + g is the first gradient already.
            if options.Dampening = 0.0 then later else where (eq context.Step (zerosLike context.Step)) g later
        let plain (context: UpdateContext) gradients _ parameters =
            Array.map2 (fun g (p: Tensor) -> p - decayed g p * context.Rate) gradients parameters, [||]
        let momentum (context: UpdateContext) gradients (state: Tensor[][]) parameters =
            let gradients = Array.map2 decayed gradients parameters
            let buffers = Array.map2 (buffer context) gradients state[0]
            let direction (g: Tensor) (b: Tensor) = if options.Nesterov then g + b * options.Momentum else b
            Array.map3 (fun g b (p: Tensor) -> p - direction g b * context.Rate) gradients buffers parameters,
            [| buffers |]
        if options.Momentum = 0.0 then
            { Slots = [||]; Update = plain }
        else
            { Slots = [| "momentum_buffer" |]; Update = momentum }

    /// Decay of matrices and larger tensors, not of biases and norms.
    let matricesOnly (p: Tensor) = p.Rank >= 2

    /// AdamW with PyTorch's defaults (betas 0.9 and 0.999, eps 1e-8, decay 0.01) and decay of matrices only.
    let adamWDefaults =
        { Beta1 = 0.9
          Beta2 = 0.999
          Eps = 1e-8
          WeightDecay = 0.01
          Decays = matricesOnly }

    /// 1 - beta^(step + 1) of a float type, by expm1: in f32, 1 - 0.999 itself would lose half of its digits.
    let private correction (dtype: DType) (beta: float) (step: Tensor) =
        -(expm1 ((cast dtype step + 1.0) * Math.Log beta))

    /// AdamW (Loshchilov and Hutter 2019), in the order of operations of PyTorch: decay, moments, bias-corrected step.
    let adamW (options: AdamWOptions) : Optimizer =
        requireRange "The first beta" 0.0 1.0 options.Beta1
        requireRange "The second beta" 0.0 1.0 options.Beta2
        requireRange "The epsilon" 0.0 Double.PositiveInfinity options.Eps
        requireRange "The weight decay" 0.0 Double.PositiveInfinity options.WeightDecay
        let one (context: UpdateContext) (p: Tensor) (m: Tensor) (v: Tensor) =
            let first, second =
                correction p.DType options.Beta1 context.Step, correction p.DType options.Beta2 context.Step
            let decayed =
                if options.WeightDecay = 0.0 || not (options.Decays p) then
                    p
                else
                    p * (1.0 - context.Rate * options.WeightDecay)
            decayed - m / (sqrt v / sqrt second + options.Eps) * (context.Rate / first)
        let update context gradients (state: Tensor[][]) parameters =
            let m =
                Array.map2
                    (fun (m: Tensor) (g: Tensor) -> m * options.Beta1 + g * (1.0 - options.Beta1))
                    state[0]
                    gradients
            let v =
                Array.map2
                    (fun (v: Tensor) (g: Tensor) -> v * options.Beta2 + g * g * (1.0 - options.Beta2))
                    state[1]
                    gradients
            Array.map3 (one context) parameters m v, [| m; v |]
        { Slots = [| "exp_avg"; "exp_avg_sq" |]; Update = update }

    /// The Euclidean norm of all gradients together: a scalar.
    let globalNorm (gradients: Tensor[]) : Tensor = gradients |> Array.map (square >> sum) |> Array.reduce (+) |> sqrt

    /// All gradients scaled by min(1, max/(norm + 1e-6)): PyTorch's clip_grad_norm_.
    let clipByGlobalNorm (maximum: float) (gradients: Tensor[]) : Tensor[] =
        requireRange "The largest norm" 0.0 Double.PositiveInfinity maximum
        if gradients.Length = 0 then
            gradients
        else
            let norm = globalNorm gradients
            let coefficient = minimum (maximum / (norm + 1e-6)) (full norm.DType [||] 1.0)
            gradients |> Array.map (fun g -> g * coefficient)

    /// An optimizer that sees its gradients through a function, such as `clipByGlobalNorm 1.0`.
    let seeing (change: Tensor[] -> Tensor[]) (o: Optimizer) : Optimizer =
        { o with Update = fun context gradients -> o.Update context (change gradients) }

/// The learning rate as a function of the number of updates done.
type LearningRate =
    /// Always the same.
    | Constant of rate: float
    /// nanoGPT's get_lr: linear warm-up to `Rate` over `Warmup` steps, cosine to `Minimum` at step `Decay`, then
    /// `Minimum`.
    | WarmupCosine of rate: float * minimum: float * warmup: int64 * decay: int64

/// Schedules, as numbers on the host and as expressions of a step tensor.
[<RequireQualifiedAccess>]
module LearningRate =
    /// The rate of the update after `step` updates.
    let at (schedule: LearningRate) (step: int64) : float =
        match schedule with
        | Constant rate -> rate
        | WarmupCosine(rate, minimum, warmup, decay) ->
            if step < warmup then
                rate * float (step + 1L) / float (warmup + 1L)
            elif step > decay then
                minimum
            else
                let ratio = float (step - warmup) / float (max 1L (decay - warmup))
                minimum + 0.5 * (1.0 + Math.Cos(Math.PI * ratio)) * (rate - minimum)

    /// The same as an expression of the number of updates done (an integer scalar): an f32 scalar.
    let expression (schedule: LearningRate) (step: Tensor) : Tensor =
        match schedule with
        | Constant rate -> scalar rate
        | WarmupCosine(rate, minimum, warmup, decay) ->
            let t = cast DType.F32 step
            let rising = (t + 1.0) * (rate / float (warmup + 1L))
            let ratio = (t - float warmup) * (1.0 / float (max 1L (decay - warmup)))
            let falling = (cos (ratio * Math.PI) + 1.0) * (0.5 * (rate - minimum)) + minimum
            where (lt t (scalar (float warmup))) rising (where (gt t (scalar (float decay))) (scalar minimum) falling)
