namespace Nanograd

open System

/// The rules of the classical adaptive optimizers, as parts of chains. The step of a rule is still without the learning
/// rate, unless it says otherwise. g is the gradient, t the number of the update from 1.
[<RequireQualifiedAccess>]
module Moments =
    let private zeros = Optimizer.zeros
    let private average = Transform.average
    let private correction = Transform.correctionOf

    let private requireBetas (beta1: float) (beta2: float) (eps: float) =
        Optimizer.requireRange "The first beta" 0.0 1.0 beta1
        Optimizer.requireRange "The second beta" 0.0 1.0 beta2
        Optimizer.atLeast "The epsilon" 0.0 eps

    /// The number of this update, from 1, as a scalar of a type.
    let private count (dtype: DType) (context: UpdateContext) : Tensor = cast dtype context.Step + 1.0

    /// Adamax (Kingma and Ba 2015, section 7.1): u = max(beta2 u, |g| + eps); the step is m / (1 - beta1^t) / u.
    let adamax (beta1: float) (beta2: float) (eps: float) : Optimizer =
        requireBetas beta1 beta2 eps
        Optimizer.each [ "exp_avg", zeros; "exp_inf", zeros ] (fun context p g state ->
            let b1, rest = Transform.momentum context p.DType beta1
            let m = state[0] * b1 + g * rest
            let u = maximum (state[1] * beta2) (abs g + eps)
            m / u * (1.0 / Transform.momentumCorrection context p.DType beta1), [| m; u |])

    /// NAdam (Dozat 2016): Nesterov's momentum in Adam, with mu_t = beta1 (1 - 0.96^(t decay) / 2). The product of all mu is
    /// kept in f32, as PyTorch does.
    let nadam (options: NAdamOptions) : Optimizer =
        requireBetas options.Beta1 options.Beta2 options.Eps
        Optimizer.atLeast "The decay of the momentum" 0.0 options.MomentumDecay
        let mu (beta1: Tensor) (t: Tensor) =
            let falling = exp (t * (options.MomentumDecay * Math.Log 0.96))
            (1.0 - falling * 0.5) * beta1
        let product (_: Tensor) = Some(onesOf DType.F32 [||])
        Optimizer.each [ "exp_avg", zeros; "exp_avg_sq", zeros; "mu_product", product ] (fun context p g state ->
            let t = count DType.F64 context
            let beta1 = fst (Transform.momentum context DType.F64 options.Beta1)
            let now, next = mu beta1 t, mu beta1 (t + 1.0)
            let products = state[2] * cast DType.F32 now
            let later = products * cast DType.F32 now * cast DType.F32 next
            let b1, rest = Transform.momentum context p.DType options.Beta1
            let m, v = state[0] * b1 + g * rest, average options.Beta2 state[1] (g * g)
            let size = sqrt (v / correction p.DType options.Beta2 context.Step) + options.Eps
            let share (part: Tensor) (product: Tensor) = cast p.DType (part / (1.0 - cast DType.F64 product))
            let step = g * share (1.0 - now) products + m * share next later
            step / size, [| m; v; products |])

    /// RAdam (Liu et al. 2020): Adam whose second moment counts only once enough of it was seen (rho > 5), rectified by
    /// sqrt((rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho)).
    let radam (beta1: float) (beta2: float) (eps: float) : Optimizer =
        requireBetas beta1 beta2 eps
        let last = 2.0 / (1.0 - beta2) - 1.0
        Optimizer.each [ "exp_avg", zeros; "exp_avg_sq", zeros ] (fun context p g state ->
            let b1, rest = Transform.momentum context p.DType beta1
            let m, v = state[0] * b1 + g * rest, average beta2 state[1] (g * g)
            let t = count DType.F64 context
            let second = correction DType.F64 beta2 context.Step
            let rho = last - 2.0 * t * exp (t * Math.Log beta2) / second
            let enough = gt rho (scalarOf DType.F64 5.0)
            let used = where enough rho (scalarOf DType.F64 6.0)
            let rectified = sqrt ((used - 4.0) * (used - 2.0) * last / ((last - 4.0) * (last - 2.0) * used) * second)
            let first = m * (1.0 / Transform.momentumCorrection context p.DType beta1)
            where enough (first * cast p.DType rectified / (sqrt v + eps)) first, [| m; v |])

    /// Adagrad (Duchi et al. 2011): the step is g / (sqrt(sum of all g²) + eps) / (1 + (t - 1) decay).
    let adagrad (options: AdagradOptions) : Optimizer =
        Optimizer.atLeast "The decay of the rate" 0.0 options.RateDecay
        Optimizer.atLeast "The initial accumulator" 0.0 options.InitialAccumulator
        Optimizer.atLeast "The epsilon" 0.0 options.Eps
        let start (p: Tensor) = Some(full (Optimizer.computed p) p.Shape options.InitialAccumulator)
        Optimizer.each [ "sum", start ] (fun context p g state ->
            let total = state[0] + g * g
            let slowing = 1.0 / (cast p.DType context.Step * options.RateDecay + 1.0)
            g / (sqrt total + options.Eps) * slowing, [| total |])

    /// Adadelta (Zeiler 2012): the step is sqrt(E[step²] + eps) / sqrt(E[g²] + eps) g.
    let adadelta (rho: float) (eps: float) : Optimizer =
        if not (rho >= 0.0 && rho <= 1.0) then raise (ArgumentException $"Rho must be between 0 and 1, not {rho}.")
        Optimizer.atLeast "The epsilon" 0.0 eps
        Optimizer.each [ "square_avg", zeros; "acc_delta", zeros ] (fun _ _ g state ->
            let v = average rho state[0] (g * g)
            let step = sqrt (state[1] + eps) / sqrt (v + eps) * g
            step, [| v; average rho state[1] (step * step) |])

    /// RMSprop (Hinton 2012): the step is g / (sqrt(E[g²]) + eps), centred: g / (sqrt(E[g²] - E[g]²) + eps); with momentum
    /// b = momentum b + step.
    let rmsProp (options: RmsPropOptions) : Optimizer =
        Optimizer.atLeast "Alpha" 0.0 options.Alpha
        Optimizer.atLeast "The epsilon" 0.0 options.Eps
        Optimizer.atLeast "The momentum" 0.0 options.Momentum
        let slots =
            [ "square_avg", zeros
              if options.Momentum > 0.0 then "momentum_buffer", zeros
              if options.Centered then "grad_avg", zeros ]
        Optimizer.each slots (fun context p g state ->
            let v = average options.Alpha state[0] (g * g)
            let means = if options.Centered then [| average options.Alpha (Array.last state) g |] else [||]
            let variance = means |> Array.fold (fun rest m -> rest - m * m) v
            let step = g / (sqrt variance + options.Eps)
            if options.Momentum > 0.0 then
                let m, _ = Transform.momentum context p.DType options.Momentum
                let b = state[1] * m + step
                b, Array.concat [ [| v; b |]; means ]
            else
                step, Array.append [| v |] means)

    /// Rprop (Riedmiller and Braun 1993): each element has a step size of its own, at first the rate, which grows while the
    /// gradient keeps its sign and shrinks when it changes; then the element stays for once. Its steps are whole: they are
    /// not multiplied by the rate.
    let rprop (options: RpropOptions) : Optimizer =
        Optimizer.require
            $"EtaMinus must be above 0 and below 1, and EtaPlus above 1, not {options.EtaMinus} and {options.EtaPlus}."
            (options.EtaMinus > 0.0 && options.EtaMinus < 1.0 && options.EtaPlus > 1.0)
        Optimizer.each [ "prev", zeros; "step_size", zeros ] (fun context p g state ->
            let isFirst = eq context.Step (zerosLike context.Step)
            let before = where isFirst (Optimizer.rate context p) state[1]
            let turn = g * state[0]
            let kept, changed = gt turn (zerosLike turn), lt turn (zerosLike turn)
            let number x = scalarOf p.DType x
            let factor = where kept (number options.EtaPlus) (where changed (number options.EtaMinus) (number 1.0))
            let size = clamp options.Smallest options.Largest (before * factor)
            let used = where changed (zerosLike g) g
            sign used * size, [| used; size |])

    /// ASGD (Polyak and Juditsky 1992): eta_t = rate / (1 + lambda rate t)^alpha, the step is eta (g + lambda p), and the slot
    /// `ax` averages the parameters from step T0 on. Its steps are whole: the rate is in them. As in PyTorch, eta and the
    /// weight of the average are f32, and eta is computed after each update for the next one.
    let asgd (options: AsgdOptions) : Optimizer =
        Optimizer.atLeast "Lambda" 0.0 options.Lambda
        let single (p: Tensor) (x: Tensor) = cast p.DType (cast DType.F32 x)
        let unknown (_: Tensor) = Some(zerosOf DType.F32 [||])
        Optimizer.each [ "ax", zeros; "eta", unknown ] (fun context p g state ->
            let t, rate = cast DType.F64 context.Step, cast DType.F64 context.Rate
            let isFirst = eq context.Step (zerosLike context.Step)
            let eta = cast p.DType (where isFirst (cast DType.F32 rate) state[1])
            let next = rate / ((t + 1.0) * rate * options.Lambda + 1.0) ** options.Alpha
            let weight = single p (1.0 / clampMin 1.0 (t - options.T0))
            let step = (g + p * options.Lambda) * eta
            let moved = p - step
            let averaged = state[0] + (moved - state[0]) * weight
            step, [| where (eq weight (onesLike weight)) moved averaged; cast DType.F32 next |])

    /// Lion (Chen et al. 2023): the step is the sign of beta1 m + (1 - beta1) g, and m = beta2 m + (1 - beta2) g.
    let lion (beta1: float) (beta2: float) : Optimizer =
        Optimizer.requireRange "The first beta" 0.0 1.0 beta1
        Optimizer.requireRange "The second beta" 0.0 1.0 beta2
        Optimizer.each [ "exp_avg", zeros ] (fun context p g state ->
            let b1, rest = Transform.momentum context p.DType beta1
            sign (state[0] * b1 + g * rest), [| average beta2 state[0] g |])
