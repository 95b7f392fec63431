namespace Nanograd

open System

/// What the F# functions find on tensors: `asin x`, `sinh x`, `truncate x`, `log10 x`, `atan2 y x` and the functions
/// here.
module internal Analytic =
    let unary (u: Unary) (x: Tensor) = Op.unary u x
    let binary (b: Binary) (x: Tensor) (y: Tensor) = Op.binary b x y

    /// True where the sign bit is set, of -0 and NaN too.
    let isSigned (x: Tensor) =
        let x = Op.cast (DType.arithmetic (inFloat x).DType) x
        let bits = if x.DType = DType.F64 then DType.I64 else DType.I32
        binary Binary.Lt (Op.bitCast bits x) (Op.constant (Constant.ofInt bits 0L))

    /// |x| with the sign of `sign`.
    let copySign (x: Tensor) (sign: Tensor) =
        let size = unary Unary.Abs x
        Op.select (isSigned sign) (-size) size

    let private isBelow (x: Tensor) (bound: float) = binary Binary.Lt x (constant x.DType bound)
    let private largest (x: Tensor) (bound: float) = binary Binary.Min x (constant x.DType bound)

    /// sqrt((1 - x)(1 + x)): no digits are lost near 1.
    let private circle (x: Tensor) = sqrt ((1.0 - x) * (1.0 + x))

    let asin (x: Tensor) = computing (smooth "asin" (fun x -> atan (x / circle x)) (fun x -> 1.0 / circle x)) x
    let acos (x: Tensor) =
        computing (smooth "acos" (fun x -> atan (sqrt ((1.0 - x) / (1.0 + x))) * 2.0) (fun x -> -1.0 / circle x)) x

    // Beyond 20 the smaller exponential does not reach the last digit; halved exponents let the result overflow only where it must.
    let private half (x: Tensor) =
        let h = exp (unary Unary.Abs x * 0.5)
        h * 0.5 * h
    let private inner (x: Tensor) = binary Binary.Max (largest x 20.0) (constant x.DType -20.0)
    let private sinhBody (x: Tensor) =
        let y = inner x
        Op.select
            (isBelow (unary Unary.Abs x) 20.0)
            ((unary Unary.Expm1 y - unary Unary.Expm1 -y) * 0.5)
            (unary Unary.Sign x * half x)
    let private coshBody (x: Tensor) =
        let y = inner x
        Op.select (isBelow (unary Unary.Abs x) 20.0) ((exp y + exp -y) * 0.5) (half x)
    let sinh (x: Tensor) = computing (smooth "sinh" sinhBody (named "cosh" coshBody)) x
    let cosh (x: Tensor) = computing (smooth "cosh" coshBody (named "sinh" sinhBody)) x

    /// log(2 x) for what is so large that 1 is nothing beside it.
    let private logTwice (x: Tensor) = log x + Math.Log 2.0
    let asinh (x: Tensor) =
        let body (x: Tensor) =
            let size = unary Unary.Abs x
            let a = largest size 1e8
            let small = unary Unary.Log1p (a + a * a / (sqrt (a * a + 1.0) + 1.0))
            copySign (Op.select (isBelow size 1e8) small (logTwice size)) x
        computing (smooth "asinh" body (fun x -> unary Unary.Rsqrt (x * x + 1.0))) x
    let acosh (x: Tensor) =
        let body (x: Tensor) =
            let t = largest x 1e8 - 1.0
            Op.select (isBelow x 1e8) (unary Unary.Log1p (t + sqrt (t * 2.0 + t * t))) (logTwice x)
        // NaN compares false: it takes the branch of large numbers, and stays NaN.
        computing (smooth "acosh" body (fun x -> 1.0 / sqrt ((x - 1.0) * (x + 1.0)))) x
    let atanh (x: Tensor) =
        let body (x: Tensor) =
            let a = unary Unary.Abs x
            copySign (unary Unary.Log1p (a * 2.0 / (1.0 - a)) * 0.5) x
        computing (smooth "atanh" body (fun x -> 1.0 / ((1.0 - x) * (1.0 + x)))) x

    let log10 (x: Tensor) = computing (fun x -> log x / Math.Log 10.0) x
    let truncate (x: Tensor) = if DType.isFloat x.DType then copySign (floor (unary Unary.Abs x)) x else x

    /// The angle of the point (x, y), from the ratio that is at most 1, moved to its octant.
    let atan2 (y: Tensor) (x: Tensor) =
        let body (y: Tensor) (x: Tensor) =
            let dy, dx = unary Unary.Abs y, unary Unary.Abs x
            let low, high = binary Binary.Min dx dy, binary Binary.Max dx dy
            let ratio = Op.select (binary Binary.Eq low high) (constant x.DType 1.0) (low / high)
            let zero = binary Binary.Eq high (constant x.DType 0.0)
            let angle = Op.select zero (constant x.DType 0.0) (atan ratio)
            let angle = Op.select (binary Binary.Gt dy dx) (Math.PI / 2.0 - angle) angle
            let angle = Op.select (isSigned x) (Math.PI - angle) angle
            let isNan = binary Binary.Or (binary Binary.Ne x x) (binary Binary.Ne y y)
            Op.select isNan (x + y) (copySign angle y)
        smooth2
            "atan2"
            body
            (fun y x ->
                let r = x * x + y * y
                x / r, -y / r)
            y
            x

/// Which `sign` is meant: F#'s own gives an int, that of tensors a tensor.
[<RequireQualifiedAccess>]
type SignOf =
    | It

    /// -1, 0 or 1, elementwise.
    static member ($)(_: SignOf, x: Tensor) : Tensor = Op.unary Unary.Sign x
    /// -1, 0 or 1.
    static member ($)(_: SignOf, x: float) : int = Math.Sign x
    /// -1, 0 or 1.
    static member ($)(_: SignOf, x: float32) : int = Math.Sign x
    /// -1, 0 or 1.
    static member ($)(_: SignOf, x: int) : int = Math.Sign x
    /// -1, 0 or 1.
    static member ($)(_: SignOf, x: int64) : int = Math.Sign x
    /// -1, 0 or 1.
    static member ($)(_: SignOf, x: decimal) : int = Math.Sign x

/// Functions of each element. F#'s own functions take tensors too: abs, exp, log, log10, sqrt, sin, cos, tan, asin,
/// acos, atan, atan2, sinh, cosh, tanh, floor, ceil, round, truncate and `**`. Tensors of different shapes broadcast.
/// Integers count as f32 where the result is a fraction; 16-bit floats are computed as f32.
[<AutoOpen>]
module Elementwise =
    // ---- types

    /// <summary>Values converted to another element type; the shape stays.</summary>
    /// <example><code>cast DType.I64 (tensor [ 1.9; -1.9 ]) // tensor([1, -1])</code></example>
    let cast (dtype: DType) (x: Tensor) : Tensor = Op.cast dtype x

    // ---- arithmetic

    /// <summary>-x.</summary>
    /// <example><code>neg (tensor [ 1.; -2. ]) // tensor([-1., 2.])</code></example>
    let neg (x: Tensor) : Tensor = -x

    /// <summary>x ** y, elementwise; the two broadcast.</summary>
    /// <example><code>pow (tensor [ 2.; 3. ]) (tensor [ 3.; 2. ]) // tensor([8., 9.])</code></example>
    let pow (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Pow x y

    /// <summary>x * x.</summary>
    /// <example><code>square (tensor [ 3.; -4. ]) // tensor([9., 16.])</code></example>
    let square (x: Tensor) : Tensor = x * x

    /// <summary>1 / x; integers as f32.</summary>
    /// <example><code>reciprocal (tensor [ 2.; 4. ]) // tensor([0.5000, 0.2500])</code></example>
    let reciprocal (x: Tensor) : Tensor = 1.0 / x

    /// <summary>1 / sqrt(x).</summary>
    /// <example><code>rsqrt (tensor [ 4.; 16. ]) // tensor([0.5000, 0.2500])</code></example>
    let rsqrt (x: Tensor) : Tensor = Op.unary Unary.Rsqrt x

    /// <summary>The cube root, of negative numbers too.</summary>
    /// <example><code>cbrt (tensor [ 27.; -8. ]) // tensor([3., -2.])</code></example>
    let cbrt (x: Tensor) : Tensor =
        let body (x: Tensor) =
            let size = abs x
            let y = Op.binary Binary.Pow size (constant x.DType (1.0 / 3.0))
            let plain =
                Op.binary
                    Binary.Or
                    (Op.binary Binary.Eq y (constant x.DType 0.0))
                    (Op.binary Binary.Eq y (constant x.DType infinity))
            Analytic.copySign (Op.select plain y (y - (y - size / (y * y)) / 3.0)) x // one step of Newton's method: the exponent is not 1/3
        computing (fun x -> smooth "cbrt" body (fun x -> let y = named "cbrt" body x in 1.0 / (y * y * 3.0)) x) x

    /// <summary>|x| with the sign of `sign` (of its sign bit: -0 counts as negative). The two broadcast.</summary>
    /// <example><code>copysign (tensor [ -1.; 0. ]) (tensor [ 2.; 3. ]) // tensor([-2., 3.])</code></example>
    let copysign (sign: Tensor) (x: Tensor) : Tensor =
        let x, sign, t = together x sign
        Op.cast t (Analytic.copySign x sign)

    /// <summary>1, -1 or 0. Of F#'s own numbers it is what it always was.</summary>
    /// <example><code>sign (tensor [ -2.; 0.; 3. ]) // tensor([-1., 0., 1.])</code></example>
    let inline sign x = SignOf.It $ x

    /// <summary>1, -1 or 0, of tensors only: where types are not known yet, `sign` needs an annotation.</summary>
    /// <example><code>sgn (tensor [ -2.; 0.; 3. ]) // tensor([-1., 0., 1.])</code></example>
    let sgn (x: Tensor) : Tensor = Op.unary Unary.Sign x

    /// <summary>True where the sign bit is set: of -0 and of negative NaNs too.</summary>
    /// <example><code>signbit (tensor [ -1.; -0.; 2. ]) // tensor([true, true, false])</code></example>
    let signbit (x: Tensor) : Tensor =
        if DType.isFloat x.DType then
            Analytic.isSigned x
        else
            Op.binary Binary.Lt x (Op.constant (Constant.ofInt x.DType 0L))

    /// <summary>The elementwise larger; NaN wins. The two broadcast; equal ones share the gradient.</summary>
    /// <example><code>maximum (tensor [ 1.; 5. ]) (tensor [ 3.; 2. ]) // tensor([3., 5.])</code></example>
    let maximum (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Max x y

    /// <summary>The elementwise smaller; NaN wins. The two broadcast; equal ones share the gradient.</summary>
    /// <example><code>minimum (tensor [ 1.; 5. ]) (tensor [ 3.; 2. ]) // tensor([1., 2.])</code></example>
    let minimum (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Min x y

    let private isNaN (x: Tensor) = Op.binary Binary.Ne x x

    /// <summary>The elementwise larger; of a number and a NaN the number.</summary>
    /// <example><code>fmax (tensor [ 1.; nan ]) (tensor [ 3.; 2. ]) // tensor([3., 2.])</code></example>
    let fmax (x: Tensor) (y: Tensor) : Tensor = Op.select (isNaN x) y (Op.select (isNaN y) x (maximum x y))

    /// <summary>The elementwise smaller; of a number and a NaN the number.</summary>
    /// <example><code>fmin (tensor [ 1.; nan ]) (tensor [ 3.; 2. ]) // tensor([1., 2.])</code></example>
    let fmin (x: Tensor) (y: Tensor) : Tensor = Op.select (isNaN x) y (Op.select (isNaN y) x (minimum x y))

    /// <summary>Held between two bounds; NaN stays. On the bounds the gradient passes, beyond them it is 0.</summary>
    /// <example><code>clamp -1.0 1.0 (tensor [ -3.; 0.5; 2. ]) // tensor([-1.0000, 0.5000, 1.0000])</code></example>
    let clamp (low: float) (high: float) (x: Tensor) : Tensor =
        let low, high = beside x low, beside x high
        Op.select (Op.binary Binary.Lt x low) low (Op.select (Op.binary Binary.Gt x high) high x)

    /// <summary>At least `low`.</summary>
    /// <example><code>clampMin 0.0 (tensor [ -3.; 0.5 ]) // tensor([0.0000, 0.5000])</code></example>
    let clampMin (low: float) (x: Tensor) : Tensor =
        let low = beside x low
        Op.select (Op.binary Binary.Lt x low) low x

    /// <summary>At most `high`.</summary>
    /// <example><code>clampMax 0.0 (tensor [ -3.; 0.5 ]) // tensor([-3., 0.])</code></example>
    let clampMax (high: float) (x: Tensor) : Tensor =
        let high = beside x high
        Op.select (Op.binary Binary.Gt x high) high x

    /// <summary>The rest of the division x / y with the sign of x (C's fmod, F#'s %). The two broadcast.</summary>
    /// <example><code>fmod (tensor [ -3.; 3. ]) (tensor [ 2.; -2. ]) // tensor([-1., 1.])</code></example>
    let fmod (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Rem x y

    /// <summary>The rest of the division x / y with the sign of y (Python's %). The two broadcast.</summary>
    /// <example><code>remainder (tensor [ -3.; 3. ]) (tensor [ 2.; -2. ]) // tensor([1., -1.])</code></example>
    let remainder (x: Tensor) (y: Tensor) : Tensor =
        let r = Op.binary Binary.Rem x y
        let zero = Op.constant (Constant.ofInt r.DType 0L)
        let differ = Op.binary Binary.Xor (Op.binary Binary.Lt r zero) (Op.binary Binary.Lt y zero)
        Op.select (Op.binary Binary.And (Op.binary Binary.Ne r zero) differ) (r + y) r

    /// <summary>x / y rounded down (Python's //); of integers an integer. The two broadcast.</summary>
    /// <example><code>floorDivide (tensor [ 7; -7 ]) (tensor [ 2 ]) // tensor([3, -4])</code></example>
    let floorDivide (x: Tensor) (y: Tensor) : Tensor =
        if DType.isFloat x.DType || DType.isFloat y.DType then
            floor (x / y)
        else
            Op.binary Binary.Div (x - remainder x y) y

    /// <summary>start + weight (stop - start); all three broadcast.</summary>
    /// <example><code>lerp (tensor [ 0.; 10. ]) (tensor [ 10.; 20. ]) (scalar 0.25)
    /// // tensor([2.5000, 12.5000])</code></example>
    let lerp (start: Tensor) (stop: Tensor) (weight: Tensor) : Tensor =
        let near = Op.binary Binary.Lt (abs weight) (constant weight.DType 0.5)
        Op.select near (start + weight * (stop - start)) (stop - (stop - start) * (1.0 - weight))

    /// <summary>sqrt(x² + y²), without overflow on the way; the two broadcast.</summary>
    /// <example><code>hypot (tensor [ 3.; 5. ]) (tensor [ 4.; 12. ]) // tensor([5., 13.])</code></example>
    let hypot (x: Tensor) (y: Tensor) : Tensor =
        let body (x: Tensor) (y: Tensor) =
            let low, high = Op.binary Binary.Min (abs x) (abs y), Op.binary Binary.Max (abs x) (abs y)
            let ratio = low / high
            let plain =
                Op.binary
                    Binary.Or
                    (Op.binary Binary.Eq high (constant x.DType 0.0))
                    (Op.binary Binary.Eq high (constant x.DType infinity))
            Op.select plain high (high * sqrt (ratio * ratio + 1.0))
        let slopes (x: Tensor) (y: Tensor) =
            let r = sqrt (x * x + y * y)
            let some = Op.binary Binary.Ne r (constant x.DType 0.0)
            let at v = Op.select some (v / Op.select some r (constant x.DType 1.0)) (constant x.DType 0.0)
            at x, at y
        smooth2 "hypot" body slopes x y

    // ---- rounding

    /// <summary>Towards zero: F#'s `truncate`.</summary>
    /// <example><code>trunc (tensor [ 1.7; -1.7 ]) // tensor([1., -1.])</code></example>
    let trunc (x: Tensor) : Tensor = Analytic.truncate x

    /// <summary>What `trunc` cuts off, with the sign of x.</summary>
    /// <example><code>frac (tensor [ 1.75; -1.25 ]) // tensor([0.7500, -0.2500])</code></example>
    let frac (x: Tensor) : Tensor = x - trunc x

    // ---- exponentials and logarithms

    /// <summary>2 ** x.</summary>
    /// <example><code>exp2 (tensor [ 3.; -1. ]) // tensor([8.0000, 0.5000])</code></example>
    let exp2 (x: Tensor) : Tensor = computing (fun x -> Op.binary Binary.Pow (constant x.DType 2.0) x) x

    /// <summary>exp(x) - 1, exact near 0.</summary>
    /// <example><code>expm1 (tensor [ 0.; 1e-6 ]) // tensor([0.0000e+00, 1.0000e-06])</code></example>
    let expm1 (x: Tensor) : Tensor = Op.unary Unary.Expm1 x

    /// <summary>The logarithm to base 2.</summary>
    /// <example><code>log2 (tensor [ 8.; 0.5 ]) // tensor([3., -1.])</code></example>
    let log2 (x: Tensor) : Tensor = computing (fun x -> log x / Math.Log 2.0) x

    /// <summary>log(1 + x), exact near 0.</summary>
    /// <example><code>log1p (tensor [ 0.; 1e-6 ]) // tensor([0.0000e+00, 1.0000e-06])</code></example>
    let log1p (x: Tensor) : Tensor = Op.unary Unary.Log1p x

    /// <summary>1 / (1 + exp(-x)), by way of tanh: no overflow anywhere.</summary>
    /// <example><code>sigmoid (tensor [ 0.; 2. ]) // tensor([0.5000, 0.8808])</code></example>
    let sigmoid (x: Tensor) : Tensor = tanh (x * 0.5) * 0.5 + 0.5

    /// <summary>log(exp x + exp y) without overflow; the two broadcast.</summary>
    /// <example><code>logaddexp (tensor [ 0.; 100. ]) (tensor [ 0.; 100. ])
    /// // tensor([0.6931, 100.6931])</code></example>
    let logaddexp (x: Tensor) (y: Tensor) : Tensor =
        let difference (x: Tensor) (y: Tensor) = // of equal infinities 0
            let infinite =
                Op.binary Binary.And (Op.binary Binary.Eq x y) (Op.binary Binary.Eq (abs x) (constant x.DType infinity))
            Op.select infinite (constant x.DType 0.0) (x - y)
        let body (x: Tensor) (y: Tensor) = maximum x y + log1p (exp -(abs (difference x y)))
        let slopes (x: Tensor) (y: Tensor) =
            let d = difference x y
            sigmoid d, sigmoid -d
        smooth2 "logaddexp" body slopes x y

    // ---- activations that everything uses

    /// <summary>max(x, 0); NaN stays. The gradient at 0 is 0, as in PyTorch.</summary>
    /// <example><code>relu (tensor [ -1.; 2. ]) // tensor([0., 2.])</code></example>
    let relu (x: Tensor) : Tensor =
        let zero = zerosLike x
        Op.select (Op.binary Binary.Le x zero) zero x // not maximum, whose gradient at a tie is shared

    /// <summary>x sigmoid(x) (SiLU, swish).</summary>
    /// <example><code>silu (tensor [ 0.; 2. ]) // tensor([0.0000, 1.7616])</code></example>
    let silu (x: Tensor) : Tensor = x * sigmoid x

    /// <summary>GELU by its definition (Hendrycks and Gimpel 2016): x Phi(x), Phi by erf.</summary>
    /// <example><code>gelu (tensor [ 0.; 1. ]) // tensor([0.0000, 0.8413])</code></example>
    let gelu (x: Tensor) : Tensor = x * 0.5 * (Op.unary Unary.Erf (x * Math.Sqrt 0.5) + 1.0)

    /// <summary>GELU's tanh approximation, as GPT-2 uses it.</summary>
    /// <example><code>geluTanh (tensor [ 0.; 1. ]) // tensor([0.0000, 0.8412])</code></example>
    let geluTanh (x: Tensor) : Tensor = x * 0.5 * (tanh ((x + x * x * x * 0.044715) * Math.Sqrt(2.0 / Math.PI)) + 1.0)

    /// <summary>log(1 + exp x), without overflow; its derivative is the sigmoid.</summary>
    /// <example><code>softplus (tensor [ 0.; 100. ]) // tensor([0.6931, 100.0000])</code></example>
    let softplus (x: Tensor) : Tensor =
        let body (x: Tensor) = maximum x (zerosLike x) + log1p (exp (-(abs x)))
        computing (smooth "softplus" body sigmoid) x // the body has corners at 0, which cancel only in the value

    /// <summary>log(sigmoid x), without overflow.</summary>
    /// <example><code>logSigmoid (tensor [ 0.; -100. ]) // tensor([-0.6931, -100.0000])</code></example>
    let logSigmoid (x: Tensor) : Tensor = -(softplus -x)

    // ---- trigonometry

    /// <summary>The number whose hyperbolic sine is x.</summary>
    /// <example><code>asinh (tensor [ 0.; 1. ]) // tensor([0.0000, 0.8814])</code></example>
    let asinh (x: Tensor) : Tensor = Analytic.asinh x

    /// <summary>The number, at least 0, whose hyperbolic cosine is x; NaN below 1.</summary>
    /// <example><code>acosh (tensor [ 1.; 2. ]) // tensor([0.0000, 1.3170])</code></example>
    let acosh (x: Tensor) : Tensor = Analytic.acosh x

    /// <summary>The number whose hyperbolic tangent is x; infinite at ±1, NaN beyond.</summary>
    /// <example><code>atanh (tensor [ 0.; 0.5 ]) // tensor([0.0000, 0.5493])</code></example>
    let atanh (x: Tensor) : Tensor = Analytic.atanh x

    /// <summary>Degrees as radians.</summary>
    /// <example><code>deg2rad (tensor [ 180.; 90. ]) // tensor([3.1416, 1.5708])</code></example>
    let deg2rad (x: Tensor) : Tensor = inFloat x * (Math.PI / 180.0)

    /// <summary>Radians as degrees.</summary>
    /// <example><code>rad2deg (scalar System.Math.PI) // tensor(180.)</code></example>
    let rad2deg (x: Tensor) : Tensor = inFloat x * (180.0 / Math.PI)

    /// <summary>sin(pi x) / (pi x), 1 at 0.</summary>
    /// <example><code>sinc (tensor [ 0.; 0.5; 1. ]) // tensor([1.0000, 0.6366, -0.0000])</code></example>
    let sinc (x: Tensor) : Tensor =
        let body (x: Tensor) =
            let zero = Op.binary Binary.Eq x (constant x.DType 0.0)
            let whole = round x
            let odd = Op.binary Binary.Ne (whole - floor (whole * 0.5) * 2.0) (constant x.DType 0.0)
            let s = sin ((x - whole) * Math.PI)
            let y = Op.select zero (constant x.DType 1.0) x
            Op.select zero (constant x.DType 1.0) (Op.select odd -s s / (y * Math.PI))
        computing body x

    // ---- comparisons: bool

    /// <summary>x = y, elementwise: bool.</summary>
    /// <example><code>eq (tensor [ 1.; 2. ]) (tensor [ 1.; 3. ]) // tensor([true, false])</code></example>
    let eq (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Eq x y

    /// <summary>x and y differ, elementwise: bool; NaN differs from everything.</summary>
    /// <example><code>ne (tensor [ 1.; 2. ]) (tensor [ 1.; 3. ]) // tensor([false, true])</code></example>
    let ne (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Ne x y

    /// <summary>x is less than y, elementwise: bool.</summary>
    /// <example><code>lt (tensor [ 1.; 2. ]) (tensor [ 1.; 3. ]) // tensor([false, true])</code></example>
    let lt (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Lt x y

    /// <summary>x is at most y, elementwise: bool.</summary>
    /// <example><code>le (tensor [ 1.; 4. ]) (tensor [ 1.; 3. ]) // tensor([true, false])</code></example>
    let le (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Le x y

    /// <summary>x is greater than y, elementwise: bool.</summary>
    /// <example><code>gt (tensor [ 1.; 4. ]) (tensor [ 1.; 3. ]) // tensor([false, true])</code></example>
    let gt (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Gt x y

    /// <summary>x is at least y, elementwise: bool.</summary>
    /// <example><code>ge (tensor [ 1.; 2. ]) (tensor [ 1.; 3. ]) // tensor([true, false])</code></example>
    let ge (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Ge x y

    /// <summary>True where x is NaN.</summary>
    /// <example><code>isNan (tensor [ 1.; nan ]) // tensor([false, true])</code></example>
    let isNan (x: Tensor) : Tensor = isNaN x

    /// <summary>True where x is infinite.</summary>
    /// <example><code>isInf (tensor [ 1.; -infinity ]) // tensor([false, true])</code></example>
    let isInf (x: Tensor) : Tensor =
        if DType.isFloat x.DType then eq (abs x) (constant x.DType infinity) else full DType.Bool x.Shape 0.0

    /// <summary>True where x is neither infinite nor NaN.</summary>
    /// <example><code>isFinite (tensor [ 1.; infinity; nan ]) // tensor([true, false, false])</code></example>
    let isFinite (x: Tensor) : Tensor =
        if DType.isFloat x.DType then lt (abs x) (constant x.DType infinity) else full DType.Bool x.Shape 1.0

    /// <summary>True where |x - y| is at most atol + rtol |y|, or both are the same infinity. PyTorch's usual bounds are
    /// rtol 1e-5, atol 1e-8.</summary>
    /// <example><code>isClose 1e-5 1e-8 (tensor [ 1.; 2. ]) (tensor [ 1.000001; 2.1 ])
    /// // tensor([true, false])</code></example>
    let isClose (rtol: float) (atol: float) (x: Tensor) (y: Tensor) : Tensor =
        let distance = abs (inFloat x - inFloat y)
        let near = Op.binary Binary.And (isFinite distance) (le distance (abs (inFloat y) * rtol + atol))
        Op.binary Binary.Or (eq x y) near

    // ---- choice

    /// <summary>`a` where the condition holds, else `b`; all three broadcast.</summary>
    /// <example><code>where (tensor [ true; false ]) (tensor [ 1.; 2. ]) (tensor [ 3.; 4. ])
    /// // tensor([1., 4.])</code></example>
    let where (condition: Tensor) (a: Tensor) (b: Tensor) : Tensor = Op.select condition a b

    /// <summary>x with `value` where the mask holds; the mask broadcasts to x. The gradient does not pass
    /// there.</summary>
    /// <example><code>maskedFill (tensor [ true; false ]) 0.0 (tensor [ 3.; 4. ]) // tensor([0., 4.])</code></example>
    let maskedFill (mask: Tensor) (value: float) (x: Tensor) : Tensor =
        if mask.DType <> DType.Bool || Shape.tryBroadcast mask.Shape x.Shape <> Ok x.Shape then
            Shape.fail "maskedFill" "the mask must be bool and broadcast to the operand" "" [ mask; x ]
        Op.select mask (constant x.DType value) x

    /// <summary>0 below 0, 1 above, and `value` at 0; NaN stays. The two broadcast.</summary>
    /// <example><code>heaviside (scalar 0.5) (tensor [ -1.; 0.; 2. ])
    /// // tensor([0.0000, 0.5000, 1.0000])</code></example>
    let heaviside (value: Tensor) (x: Tensor) : Tensor =
        let zero = zerosLike x
        Op.select (eq x zero) value (Op.select (isNaN x) x (Op.cast x.DType (gt x zero)))

    /// <summary>NaN, infinity and -infinity replaced by numbers.</summary>
    /// <example><code>nanToNum 0.0 1e3 -1e3 (tensor [ nan; infinity; -infinity; 1. ])
    /// // tensor([0., 1000., -1000., 1.])</code></example>
    let nanToNum (nan: float) (positive: float) (negative: float) (x: Tensor) : Tensor =
        let at (v: float) = constant x.DType v
        if not (DType.isFloat x.DType) then
            x
        else
            Op.select (isNaN x) (at nan) x
            |> fun y -> Op.select (eq x (at infinity)) (at positive) y
            |> fun y -> Op.select (eq x (at -infinity)) (at negative) y

    // ---- logic and bits

    let private truth (x: Tensor) = Op.cast DType.Bool x

    /// <summary>True where both are: numbers count as true unless they are 0.</summary>
    /// <example><code>logicalAnd (tensor [ true; true ]) (tensor [ true; false ])
    /// // tensor([true, false])</code></example>
    let logicalAnd (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.And (truth x) (truth y)

    /// <summary>True where one is at least.</summary>
    /// <example><code>logicalOr (tensor [ true; false ]) (tensor [ false; false ])
    /// // tensor([true, false])</code></example>
    let logicalOr (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Or (truth x) (truth y)

    /// <summary>True where exactly one is.</summary>
    /// <example><code>logicalXor (tensor [ true; true ]) (tensor [ true; false ])
    /// // tensor([false, true])</code></example>
    let logicalXor (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Xor (truth x) (truth y)

    /// <summary>True where x is false, or 0.</summary>
    /// <example><code>logicalNot (tensor [ 0.; 2. ]) // tensor([true, false])</code></example>
    let logicalNot (x: Tensor) : Tensor = Op.unary Unary.Not (truth x)

    /// <summary>The bits that both integers have (bool: and).</summary>
    /// <example><code>bitwiseAnd (tensor [ 6 ]) (tensor [ 3 ]) // tensor([2])</code></example>
    let bitwiseAnd (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.And x y

    /// <summary>The bits that one of the integers has (bool: or).</summary>
    /// <example><code>bitwiseOr (tensor [ 6 ]) (tensor [ 3 ]) // tensor([7])</code></example>
    let bitwiseOr (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Or x y

    /// <summary>The bits that exactly one of the integers has (bool: xor).</summary>
    /// <example><code>bitwiseXor (tensor [ 6 ]) (tensor [ 3 ]) // tensor([5])</code></example>
    let bitwiseXor (x: Tensor) (y: Tensor) : Tensor = Op.binary Binary.Xor x y

    /// <summary>All bits the other way (bool: not).</summary>
    /// <example><code>bitwiseNot (tensor [ 6 ]) // tensor([-7])</code></example>
    let bitwiseNot (x: Tensor) : Tensor = Op.unary Unary.Not x

    /// <summary>x 2^count of integers, wrapping around; 0 if the count is beyond the width.</summary>
    /// <example><code>shiftLeft (tensor [ 3 ]) (tensor [ 2 ]) // tensor([12])</code></example>
    let shiftLeft (x: Tensor) (count: Tensor) : Tensor = Op.binary Binary.Shl x count

    /// <summary>x / 2^count of integers, rounded down.</summary>
    /// <example><code>shiftRight (tensor [ 13 ]) (tensor [ 2 ]) // tensor([3])</code></example>
    let shiftRight (x: Tensor) (count: Tensor) : Tensor = Op.binary Binary.Shr x count
