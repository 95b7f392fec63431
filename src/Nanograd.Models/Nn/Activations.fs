namespace Nanograd

open System

/// Activations under PyTorch's names, but for those that Core has (relu, silu, gelu, softplus, ...). All are elementwise;
/// where they have corners, gradients are PyTorch's.
[<AutoOpen>]
module Activations =
    let private number (x: Tensor) value = scalarOf x.DType value

    /// x where it is not positive, 0 elsewhere: what exponentials may see.
    let private below (x: Tensor) = where (gt x (number x 0.0)) (zerosLike x) x

    /// <summary>Held between two bounds; on the bounds and beyond the gradient is 0. (PyTorch: Hardtanh; -1 and 1.)</summary>
    let hardtanh (low: float) (high: float) (x: Tensor) : Tensor =
        let low, high = number x low, number x high
        where (le x low) low (where (ge x high) high x)

    /// <summary>Held between 0 and 6.</summary>
    let relu6 (x: Tensor) : Tensor = hardtanh 0.0 6.0 x

    /// <summary>x above 0, alpha (exp x - 1) below (Clevert et al. 2015; alpha 1).</summary>
    let elu (alpha: float) (x: Tensor) : Tensor = where (gt x (number x 0.0)) x (expm1 (below x) * alpha)

    /// <summary>x above 0, alpha (exp(x / alpha) - 1) below (Barron 2017; alpha 1).</summary>
    let celu (alpha: float) (x: Tensor) : Tensor =
        where (gt x (number x 0.0)) x (expm1 (below x * (1.0 / alpha)) * alpha)

    /// <summary>ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017).</summary>
    let selu (x: Tensor) : Tensor = elu 1.6732632423543772848170429916717 x * 1.0507009873554804934193349852946

    /// <summary>x above 0, slope x below (PyTorch: slope 0.01).</summary>
    let leakyRelu (slope: float) (x: Tensor) : Tensor = where (gt x (number x 0.0)) x (x * slope)

    /// <summary>x above 0, weight x below: one learned slope `[1]`, or one for each channel `[C]` of x `[N; C; ..]` (He et al.
    /// 2015; PyTorch starts with 0.25).</summary>
    let prelu (weight: Tensor) (x: Tensor) : Tensor =
        let axis = if x.Rank > 1 then 1 else 0
        let slope =
            if weight.Count = 1 then
                reshape [||] weight
            elif x.Rank > 0 && weight.Rank = 1 && weight.Count = x.Shape[axis] then
                reshape (Array.init x.Rank (fun i -> if i = axis then weight.Count else 1)) weight
            else
                Shape.fail "prelu" "the weight must be [1] or have one entry for each channel" "" [ x; weight ]
        where (gt x (number x 0.0)) x (x * slope)

    /// <summary>x above 0, x times a random slope between two bounds below; without a key (evaluation) times the mean of the
    /// bounds (Xu et al. 2015; 1/8 and 1/3).</summary>
    let rrelu (lower: float) (upper: float) (key: Tensor option) (x: Tensor) : Tensor =
        match key with
        | None -> leakyRelu ((lower + upper) / 2.0) x
        | Some key ->
            let slope = cast x.DType (Random.uniform key x.Shape) * (upper - lower) + lower
            where (gt x (number x 0.0)) x (x * slope)

    /// <summary>0 up to -3, 1 from 3, x / 6 + 1/2 between.</summary>
    let hardsigmoid (x: Tensor) : Tensor = hardtanh 0.0 1.0 (x * (1.0 / 6.0) + 0.5)

    /// <summary>x times `hardsigmoid` (Howard et al. 2019).</summary>
    let hardswish (x: Tensor) : Tensor =
        let inner = x * (x + 3.0) * (1.0 / 6.0)
        where (le x (number x -3.0)) (zerosLike x) (where (ge x (number x 3.0)) x inner)

    /// <summary>x, but 0 from -lambda to lambda (PyTorch: 0.5).</summary>
    let hardshrink (lambda: float) (x: Tensor) : Tensor = where (le (abs x) (number x lambda)) (zerosLike x) x

    /// <summary>x moved towards 0 by lambda, 0 from -lambda to lambda (PyTorch: 0.5).</summary>
    let softshrink (lambda: float) (x: Tensor) : Tensor =
        where (gt x (number x lambda)) (x - lambda) (where (lt x (number x -lambda)) (x + lambda) (zerosLike x))

    /// <summary>x - tanh x.</summary>
    let tanhshrink (x: Tensor) : Tensor = x - tanh x

    /// <summary>x / (1 + |x|).</summary>
    let softsign (x: Tensor) : Tensor = x / (abs x + 1.0)

    /// <summary>log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold (PyTorch: 1 and 20).</summary>
    let softplusOf (beta: float) (threshold: float) (x: Tensor) : Tensor =
        let scaled = x * beta
        where (gt scaled (number x threshold)) x (softplus scaled / beta)

    /// <summary>x above a threshold, a value elsewhere.</summary>
    let threshold (bound: float) (value: float) (x: Tensor) : Tensor =
        where (gt x (number x bound)) x (full x.DType x.Shape value)

    /// <summary>x tanh(softplus x) (Misra 2019).</summary>
    let mish (x: Tensor) : Tensor = x * tanh (softplus x)

    /// One half of an axis, gated by a function of the other.
    let private gated name (gate: Tensor -> Tensor) (isGateFirst: bool) (axis: int) (x: Tensor) =
        let axis = Shape.axis name x axis
        let n = x.Shape[axis] / 2
        if 2 * n <> x.Shape[axis] then Shape.fail name $"axis {axis} must have an even extent" "" [ x ]
        let first, second = slice axis 0 n x, slice axis n (2 * n) x
        if isGateFirst then gate first * second else first * gate second

    /// <summary>The first half of an axis times the sigmoid of the second (Dauphin et al. 2016).</summary>
    let glu (axis: int) (x: Tensor) : Tensor = gated "glu" sigmoid false axis x

    /// <summary>SiLU of the first half of the last axis, times the second (Shazeer 2020; the gate is first, as in Llama's
    /// joined projections).</summary>
    let swiGlu (x: Tensor) : Tensor = gated "swiGlu" silu true -1 x

    /// <summary>The first half of the last axis times GELU of the second (Shazeer 2020; the gate is second, as in Stable
    /// Diffusion).</summary>
    let geGlu (x: Tensor) : Tensor = gated "geGlu" gelu false -1 x

    /// <summary>The first half of the last axis times ReLU of the second (Shazeer 2020).</summary>
    let reGlu (x: Tensor) : Tensor = gated "reGlu" relu false -1 x

    /// <summary>Softmax over the channels of `[N; C; H; W]` or `[C; H; W]`.</summary>
    let softmax2d (x: Tensor) : Tensor =
        if x.Rank <> 3 && x.Rank <> 4 then Shape.fail "softmax2d" "x must be [N,C,H,W] or [C,H,W]" "" [ x ]
        softmax -3 x

    /// <summary>A sample of a softmax along an axis that gradients flow through (Jang et al. 2016): softmax((x + Gumbel noise) /
    /// tau); `hard`: one-hot, with the gradient of the soft one. (PyTorch: F.gumbel_softmax; tau 1, axis -1.)</summary>
    let gumbelSoftmax (tau: float) (hard: bool) (axis: int) (key: Tensor) (x: Tensor) : Tensor =
        if not (tau > 0.0) then
            raise (ArgumentException $"gumbelSoftmax: the temperature must be greater than 0, not {tau}.")
        let axis = Shape.axis "gumbelSoftmax" x axis
        let soft = softmax axis ((x + cast x.DType (Random.gumbel key x.Shape)) / tau)
        if hard then
            let along = Array.init x.Rank (fun i -> if i = axis then x.Shape[i] else 1)
            let places = reshape along (arange DType.I64 x.Shape[axis])
            let best = eq places (unsqueeze axis (argMax axis soft))
            soft + stopGradient (cast x.DType best - soft)
        else
            soft
