namespace Nanograd

open System

/// Optimizers around optimizers: averages of the parameters, slow weights, gradients gathered over several calls.
[<RequireQualifiedAccess>]
module Averages =
    let private isStep (n: int64) (context: UpdateContext) = eq context.Step (fullLike (float n) context.Step)
    let private start (p: Tensor) : Tensor option = Some(Optimizer.widened p)

    /// An exponential moving average of the parameters in the slot `ema`: the parameters themselves after the first
    /// update, then decay * average + (1 - decay) * parameters (Polyak; PyTorch's AveragedModel). Comes last in a chain.
    let ema (decay: float) : Optimizer =
        Optimizer.requireRange "The decay of the average" 0.0 1.0 decay
        Optimizer.each [ "ema", start ] (fun context p step state ->
            let moved = p - step
            step, [| where (isStep 0L context) moved (state[0] + (moved - state[0]) * (1.0 - decay)) |])

    /// Stochastic weight averaging (Izmailov et al. 2018) in the slot `swa`: the plain mean of the parameters after the
    /// updates first, first + every, ... (counted from 0); before them the latest parameters. Comes last in a chain.
    let swa (first: int64) (every: int64) : Optimizer =
        Optimizer.atLeast "The first averaged step" 0.0 (float first)
        Optimizer.atLeast "The period of the average" 1.0 (float every)
        Optimizer.each [ "swa", start ] (fun context p step state ->
            let moved = p - step
            let since = cast DType.I64 context.Step - int first
            let count = floorDivide since (fullLike (float every) since)
            let isDue = eq (remainder since (fullLike (float every) since)) (zerosLike since)
            let averaged = state[0] + (moved - state[0]) / (cast p.DType count + 1.0)
            let isEarly = lt count (onesLike count)
            step, [| where isDue (where isEarly moved averaged) (where (lt since (zerosLike since)) moved state[0]) |])

    /// Lookahead (Zhang et al. 2019) around an optimizer: after every k updates the slow weights (slot `slow`) go `alpha` of
    /// the way to the fast ones, which go on from there.
    let lookahead (k: int64) (alpha: float) (inner: Optimizer) : Optimizer =
        Optimizer.atLeast "The period of the slow weights" 1.0 (float k)
        if not (alpha >= 0.0 && alpha <= 1.0) then
            raise (ArgumentException $"Alpha must be between 0 and 1, not {alpha}.")
        let slow =
            Optimizer.each [ "slow", start ] (fun context p step state ->
                let done' = context.Step + 1
                let isDue = eq (remainder done' (fullLike (float k) done')) (zerosLike done')
                let meeting = state[0] + (p - step - state[0]) * alpha
                where isDue (p - meeting) step, [| where isDue meeting state[0] |])
        Transform.chain [ inner; slow ]

    /// Gradient accumulation: k calls gather the mean of their gradients (slot `gathered`), and the last of them makes the
    /// update of the inner optimizer, which counts only these. The steps of the other calls are 0.
    let every (k: int64) (inner: Optimizer) : Optimizer =
        Optimizer.atLeast "The number of gathered gradients" 1.0 (float k)
        let update (context: UpdateContext) (gradients: Tensor[]) (state: OptimizerState) parameters =
            let period = fullLike (float k) context.Step
            let isDue = eq (remainder context.Step period) (period - 1)
            let gathered =
                Array.map2 (fun (sum: Tensor option) g -> sum.Value + Optimizer.widened g / float k) state[0] gradients
            let counted = { context with Step = floorDivide context.Step period }
            let steps, next = inner.Update counted gathered state[1..] parameters
            let keep (old: Tensor option) (later: Tensor option) = Option.map2 (fun o l -> where isDue l o) old later
            Array.map (fun step -> where isDue step (zerosLike step)) steps,
            Array.append
                [| gathered |> Array.map (fun g -> Some(where isDue (zerosLike g) g)) |]
                (Array.map2 (Array.map2 keep) state[1..] next)
        { Slots = Array.append [| "gathered" |] inner.Slots
          Init =
            fun parameters ->
                Array.append [| parameters |> Array.map (snd >> Optimizer.zeros) |] (inner.Init parameters)
          Update = update }

    /// The mean loss and gradient of k batches, one after the other in one loop, which needs the memory of one: every
    /// tensor of `batches` has one batch per index of its first axis.
    let valueAndGradOver (loss: 'P -> 'B -> Tensor) (p: 'P) (batches: 'B) : Tensor * 'P =
        let leaves = Tree.leaves batches
        Optimizer.require "There is no batch to gather gradients over." (leaves.Length > 0 && leaves[0].Rank > 0)
        let count = leaves[0].Shape[0]
        let one (total: Tensor, sum: 'P) (batch: 'B) =
            let value, gradient = valueAndGrad (fun p -> loss p batch) p
            total + value, Tree.map2 (+) sum gradient
        let model = batches |> Tree.map (select 0 0)
        let zero = zerosOf (loss p model).DType [||], Tree.map zerosLike p
        let total, sum = foldRows one zero batches
        total / float count, Tree.map (fun g -> g / float count) sum

/// Sharpness-aware minimization (Foret et al. 2021).
[<RequireQualifiedAccess>]
module Sam =
    /// The loss at p, and its gradient at the worst point near p: p + rho g / |g|, with the norm over all parameters. Any
    /// optimizer can follow it.
    let valueAndGrad (rho: float) (loss: 'P -> Tensor) (p: 'P) : Tensor * 'P =
        Optimizer.atLeast "Rho" 0.0 rho
        let value, gradient = valueAndGrad loss p
        let scale = rho / (Clip.norm 2.0 (Tree.leaves gradient) + 1e-12)
        let worst = Tree.map2 (fun (p: Tensor) (g: Tensor) -> p + g * cast g.DType scale) p gradient
        value, grad loss worst
