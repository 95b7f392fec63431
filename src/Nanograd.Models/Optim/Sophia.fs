namespace Nanograd

/// Sophia-G (Liu et al. 2023, algorithms 2 and 3): momentum divided by an estimate of the Hessian's diagonal, clipped.
/// The step is clip(m / max(gamma h, eps), 1). h changes only every k steps, in a program of its own:
/// `observe options (estimate key logits p) state`.
[<RequireQualifiedAccess>]
module Sophia =
    let private slot = "hessian"

    /// The part of a chain: reads h, and does not change it.
    let transform (options: SophiaOptions) : Optimizer =
        Optimizer.requireRange "The first beta" 0.0 1.0 options.Beta1
        Optimizer.requireRange "The second beta" 0.0 1.0 options.Beta2
        Optimizer.require $"Gamma must be above 0, not {options.Gamma}." (options.Gamma > 0.0)
        Optimizer.require $"The epsilon must be above 0, not {options.Eps}." (options.Eps > 0.0)
        Optimizer.require $"The Hessian needs a period of at least 1, not {options.Every}." (options.Every >= 1L)
        Optimizer.each [ "exp_avg", Optimizer.zeros; slot, Optimizer.zeros ] (fun context p g state ->
            let b1, rest = Transform.momentum context p.DType options.Beta1
            let m = state[0] * b1 + g * rest
            clamp -1.0 1.0 (m / clampMin options.Eps (state[1] * options.Gamma)), [| m; state[1] |])

    /// Is the Hessian to be estimated before this update? In the first one, and every k later.
    let isDue (options: SophiaOptions) (step: int64) : bool = step % options.Every = 0L

    /// The Gauss-Newton-Bartlett estimate of the Hessian's diagonal: B g * g, where g is the gradient of the mean
    /// cross-entropy of B predictions (logits `[..; classes]`) with labels sampled from the model itself.
    let estimate (key: Tensor) (logits: 'P -> Tensor) (p: 'P) : 'P =
        let predicted = logits p
        let shape = Array.take (predicted.Rank - 1) predicted.Shape
        let labels = Random.categorical predicted key shape
        let loss p =
            let scores = logSoftmax -1 (logits p)
            let chosen = gather (scores.Rank - 1) (unsqueeze shape.Length labels) scores
            -(mean chosen)
        let count = float (Array.fold (*) 1 shape)
        grad loss p |> Tree.map (fun g -> g * g * count)

    /// The state after an estimate: h = beta2 h + (1 - beta2) estimate.
    let observe (options: SophiaOptions) (o: Optimizer) (estimate: 'P) (state: OptimizerState) : OptimizerState =
        Optimizer.require "This optimizer has no Hessian: it is not Sophia." (Array.contains slot o.Slots)
        let blend old e = old |> Option.map (fun h -> Transform.average options.Beta2 h (Optimizer.widened e))
        let estimates = Tree.leaves estimate
        Array.map2
            (fun name tensors -> if name = slot then Array.map2 blend tensors estimates else tensors)
            o.Slots
            state
