namespace Nanograd

open System

/// <summary>What the elementary functions are written in: a floating-point type 'f, the integers 'i of the same width,
/// and truth values 'b. An instance computes (the two of module Scalar), emits vector IL, or prints OpenCL C.
/// </summary>
/// <remarks>Every operation is the IEEE 754 one, rounded to nearest even. So one definition gives the same bits on all
/// instances, as long as they keep subnormal numbers and contract nothing. A member is one or two vector instructions.
/// </remarks>
[<AbstractClass>]
type Arithmetic<'f, 'i, 'b>() =
    /// True for f64 with int64, false for f32 with int32.
    abstract Double: bool
    /// A constant, rounded to the type.
    abstract Const: value: float -> 'f
    abstract Add: x: 'f * y: 'f -> 'f
    abstract Sub: x: 'f * y: 'f -> 'f
    abstract Mul: x: 'f * y: 'f -> 'f
    abstract Div: x: 'f * y: 'f -> 'f
    /// x·y + z with one rounding.
    abstract Fma: x: 'f * y: 'f * z: 'f -> 'f
    abstract Abs: x: 'f -> 'f
    abstract Sqrt: x: 'f -> 'f
    /// If x &lt; y then x else y, hence y where one is NaN: minps on x86, elsewhere a comparison and a selection.
    abstract Min: x: 'f * y: 'f -> 'f
    /// If x &gt; y then x else y, hence y where one is NaN: maxps on x86, elsewhere a comparison and a selection.
    abstract Max: x: 'f * y: 'f -> 'f
    /// False where one is NaN.
    abstract Less: x: 'f * y: 'f -> 'b
    /// False where one is NaN; -0 equals 0.
    abstract Equal: x: 'f * y: 'f -> 'b
    abstract Select: condition: 'b * yes: 'f * no: 'f -> 'f
    /// The representation; free in vector registers.
    abstract Bits: x: 'f -> 'i
    /// The number with this representation; free in vector registers.
    abstract OfBits: n: 'i -> 'f
    /// A constant: the low bits of the value.
    abstract IntConst: value: int64 -> 'i
    abstract IntAdd: m: 'i * n: 'i -> 'i
    abstract IntSub: m: 'i * n: 'i -> 'i
    abstract IntAnd: m: 'i * n: 'i -> 'i
    abstract IntOr: m: 'i * n: 'i -> 'i
    abstract IntXor: m: 'i * n: 'i -> 'i
    abstract ShiftLeft: n: 'i * count: int -> 'i
    /// Shifts zeros in: AVX2 has no arithmetic shift of 64-bit lanes.
    abstract ShiftRight: n: 'i * count: int -> 'i

/// <summary>The elementary functions: one definition each, for the interpreter and for every back end. They are
/// straight-line programs over <see cref="T:Nanograd.Arithmetic`3"/>: no branches on data, no tables, no conversions.
/// </summary>
/// <remarks>Errors are the largest ones seen, in units in the last place (ulp) of the exact result: over all 2^32
/// numbers in f32, over millions of numbers of all magnitudes against binary128 in f64. NaN gives NaN; functions that
/// are 0 at 0 keep the sign of zero. Operations are calls of members, but for constants, Bits and OfBits.</remarks>
[<RequireQualifiedAccess>]
module Scalar =

    // ---- Formats ----------------------------------------------------------------------------------------------------

    /// What the definitions need to know of a format. Polynomials have the lowest power first. They are minimax fits
    /// (by Remez exchange in 150 digits), where one coefficient at a time was rounded and the others were fitted
    /// again.
    [<NoComparison; NoEquality>]
    type private Format =
        {
            /// Bits of the stored significand; below the exponent, which is below the sign bit.
            Width: int
            SignBit: int
            /// The representation of 2/3.
            TwoThirds: int64
            /// The smallest normal number, and the binary logarithm of a factor that makes the subnormal ones normal.
            Tiny: float
            Lift: int
            /// exp is 0 below the first and infinite above the second; expm1 is -1 below the third.
            ExpLow: float
            ExpHigh: float
            Expm1Low: float
            /// tanh and erf are 1 from here on.
            TanhHigh: float
            ErfHigh: float
            /// Constants as unevaluated sums of numbers of the format, largest first.
            TwoLn2: struct (float * float)
            HalfPi: struct (float * float)
            Pi: struct (float * float * float)
            /// (exp r - 1 - r) / r² on |r| ≤ ln 2, for the relative error of expm1.
            Exp: float[]
            /// (log (1 + f) - f) / f² on |f| ≤ 1/3, for the relative error of log1p.
            Log: float[]
            /// (sin r - r) / r³ in r², on |r| ≤ 1.02 π/2, for the relative error of sin.
            Sin: float[]
            /// (tanh r - r) / r³ in r², on |r| ≤ ln 2, for the relative error of tanh.
            Tanh: float[]
            /// (atan t - t) / t³ in t², on |t| ≤ 1, for the relative error of atan.
            Atan: float[]
            /// log(1 - erf y) = y (ErfSlope + Erf(y)) on 0 ≤ y ≤ ErfHigh, for the relative error of erf. ErfSlope is
            /// -2/√π rounded, and the first coefficient what the rounding left.
            ErfSlope: float
            Erf: float[]
        }

        /// The representation of the sign alone, and of 1.
        member format.Sign = 1L <<< format.SignBit
        member format.One = (format.Wrap / 2L - 1L) <<< format.Width
        /// The sign and exponent fields.
        member format.Fields = -1L <<< format.Width
        /// Half the number of values of these fields.
        member format.Wrap = 1L <<< (format.SignBit - format.Width)
        /// 2^Width, whose last place is 1: or-ing an integer into it and subtracting it again converts the integer.
        member format.Unit = float (1L <<< format.Width)
        /// Adding 1.5·2^Width rounds to an integer and leaves that, modulo 2^(Width-1), in the low bits of the sum. So
        /// nothing needs a rounding or conversion instruction, which AVX2 lacks for 64-bit lanes.
        member format.Shifter = 1.5 * format.Unit

    let private rows (coefficients: float[] list) = Array.concat coefficients

    let private format32: Format =
        { Width = 23
          SignBit = 31
          TwoThirds = 0x3F2AAAABL
          Tiny = 1.1754943508222875e-38
          Lift = 24
          ExpLow = -105.0
          ExpHigh = 89.0
          Expm1Low = -20.0
          TanhHigh = 9.25
          ErfHigh = 3.93
          TwoLn2 = struct (1.38629436493, -3.80930842e-09)
          HalfPi = struct (1.57079637051, -4.37113883e-08)
          Pi = struct (3.14159274101, -8.74227766e-08, -3.43024902e-15)
          Exp = [| 0.5; 0.166666716; 0.0416666456; 0.00833266135; 0.0013889767; 0.0002009124; 2.48365905e-05 |]
          Log =
            rows
                [ [| -0.5; 0.333332151; -0.249998048; 0.200104311; -0.166802496; 0.140056267; -0.121868469 |]
                  [| 0.139852241; -0.128824919 |] ]
          Sin = [| -0.166666582; 0.00833303016; -0.00019806849; 2.59950411e-06 |]
          Tanh = [| -0.333333254; 0.133330077; -0.0539235286; 0.0215829164; -0.00790788978; 0.00191447081 |]
          Atan =
            rows
                [ [| -0.333331525; 0.199937671; -0.14211002; 0.106657684; -0.0755166337; 0.0432049446 |]
                  [| -0.0163635109; 0.00291956635 |] ]
          ErfSlope = -1.128379225730896
          Erf =
            rows
                [ [| 5.86353828e-08; -0.636619508; -0.102776885; 0.0191499889; 0.000165635065; -0.00167198712 |]
                  [| 0.000635427888; -0.000118334858; 9.33037336e-06 |] ] }

    let private format64: Format =
        { Width = 52
          SignBit = 63
          TwoThirds = 0x3FE5555555555555L
          Tiny = 2.2250738585072014e-308
          Lift = 54
          ExpLow = -747.0
          ExpHigh = 710.0
          Expm1Low = -40.0
          TanhHigh = 20.0
          ErfHigh = 5.93
          TwoLn2 = struct (1.3862943611198906, 4.638093627692599e-17)
          HalfPi = struct (1.5707963267948966, 6.123233995736766e-17)
          Pi = struct (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33)
          Exp =
            rows
                [ [| 0.5; 0.1666666666666666; 0.041666666666666755; 0.008333333333336168; 0.0013888888888869226 |]
                  [| 0.00019841269837288372; 2.480158731672736e-05; 2.755732175626021e-06; 2.7557314187742384e-07 |]
                  [| 2.50513007377236e-08; 2.087741162211275e-09; 1.6185078709304392e-10; 1.1472595641011837e-11 |] ]
          Log =
            rows
                [ [| -0.5; 0.3333333333333323; -0.25000000000013345; 0.20000000000055196; -0.16666666662931592 |]
                  [| 0.1428571427647706; -0.12500000388960025; 0.11111111842748131; -0.09999979279486747 |]
                  [| 0.09090876499849643; -0.08333973265765938; 0.07693192869082745; -0.07130762675514778 |]
                  [| 0.06651503969863645; -0.06391289111622084; 0.06046000027207714; -0.04571011291245254 |]
                  [| 0.0419648560649809; -0.08631231341570703; 0.08468137453090284 |] ]
          Sin =
            rows
                [ [| -0.16666666666666666; 0.008333333333333193; -0.00019841269841204683; 2.7557319209930812e-06 |]
                  [| -2.5052106735222317e-08; 1.6058931796352487e-10; -7.642766082667163e-13 |]
                  [| 2.7186416478599348e-15 |] ]
          Tanh =
            rows
                [ [| -0.3333333333333313; 0.13333333333304567; -0.05396825395393855; 0.021869488178219525 |]
                  [| -0.008863230270536723; 0.0035920786397056286; -0.0014555232267051603; 0.0005886783074573543 |]
                  [| -0.00023506435724047147; 8.844959888259131e-05; -2.7334711517661615e-05 |]
                  [| 4.896248736894735e-06 |] ]
          Atan =
            rows
                [ [| -0.3333333333333307; 0.1999999999995175; -0.14285714282588194; 0.11111111007345327 |]
                  [| -0.09090907007856142; 0.0769227988955514; -0.06666404428371711; 0.05880529837377215 |]
                  [| -0.05253526911136368; 0.047223488056370735; -0.04219244741481851; 0.03664318331203679 |]
                  [| -0.029905782718370105; 0.02198711714119672; -0.013902608377907454; 0.007197899983012453 |]
                  [| -0.0028856124351847815; 0.0008315587981710524; -0.0001522105553700494 |]
                  [| 1.3229898871981669e-05 |] ]
          ErfSlope = -1.1283791670955126
          Erf =
            rows
                [ [| -1.533545961316588e-17; -0.6366197723675876; -0.10277260330144485; 0.019128446995358775 |]
                  [| 0.00020919483161345519; -0.0016962075307910586; 0.000590131840233248 |]
                  [| -2.5902711165379184e-05; -6.44244858136902e-05; 2.9582505153411806e-05 |]
                  [| -3.1786785769534643e-06; -3.1236645349673927e-06; 2.0295966351617284e-06 |]
                  [| -5.657006581418305e-07; 9.152855465099696e-09; 6.678879461763224e-08; -3.493064728973603e-08 |]
                  [| 1.0862491298946039e-08; -2.3783339375353866e-09; 3.7877175170834925e-10 |]
                  [| -4.331728849351218e-11; 3.3872281342325114e-12; -1.6256270278694416e-13 |]
                  [| 3.615634430090346e-15 |] ] }

    let private formatOf (a: Arithmetic<'f, 'i, 'b>) = if a.Double then format64 else format32

    // ---- Pieces -----------------------------------------------------------------------------------------------------

    /// Horner's rule: one fused multiply-add per coefficient after the first.
    let private polynomial (a: Arithmetic<'f, 'i, 'b>) (coefficients: float[]) (x: 'f) : 'f =
        let mutable sum = a.Const coefficients[coefficients.Length - 1]
        for i = coefficients.Length - 2 downto 0 do
            sum <- a.Fma(sum, x, a.Const coefficients[i])
        sum

    /// y, NaN or not negative, with the sign of x.
    let private withSignOf (a: Arithmetic<'f, 'i, 'b>) (x: 'f) (y: 'f) : 'f =
        a.OfBits(a.IntOr(a.IntAnd(a.Bits x, a.IntConst (formatOf a).Sign), a.Bits y))

    /// x = 2k ln 2 + r with |r| ≤ ln 2: k in the low bits of an integer, and r. Twice ln 2, so that exp can scale by
    /// 2^k and 2^k again, each of them a normal number.
    let private splitExp (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : struct ('i * 'f) =
        let format = formatOf a
        let struct (high, low) = format.TwoLn2
        let shifted = a.Fma(x, a.Const(1.0 / high), a.Const format.Shifter)
        let k = a.Sub(shifted, a.Const format.Shifter)
        // x - k·high is exact: a multiple of the last place of `high` or of x, and too small to need more bits.
        struct (a.Bits shifted, a.Fma(k, a.Const -low, a.Fma(k, a.Const -high, x)))

    /// one·2^(k·2^doublings), where k is in the low bits and `one` represents 1 or -1.
    let private scale (a: Arithmetic<'f, 'i, 'b>) (one: int64) (doublings: int) (k: 'i) : 'f =
        a.OfBits(a.IntAdd(a.ShiftLeft(k, (formatOf a).Width + doublings), a.IntConst one))

    /// e^r - 1 for |r| ≤ ln 2, but for the sign of 0.
    let private expm1Near0 (a: Arithmetic<'f, 'i, 'b>) (r: 'f) : 'f =
        a.Fma(a.Mul(r, r), polynomial a (formatOf a).Exp r, r)

    /// x = 2^k m with 2/3 ≤ m &lt; 4/3 for normal x > 0: k in the sign and exponent fields, and m. Finite for all x.
    let private splitLog (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : struct ('i * 'f) =
        let format = formatOf a
        let k = a.IntAnd(a.IntSub(a.Bits x, a.IntConst format.TwoThirds), a.IntConst format.Fields)
        struct (k, a.OfBits(a.IntSub(a.Bits x, k)))

    /// log x = (k - lift) ln 2 + log (1 + f), with k from splitLog, if 0 &lt; x &lt; ∞; x decides the special cases.
    let private joinLog (a: Arithmetic<'f, 'i, 'b>) (x: 'f) (k: 'i) (lift: float -> 'f) (f: 'f) : 'f =
        let format = formatOf a
        // The fields hold k modulo 2·Wrap. Flipping their top bit gives k + Wrap; the bits of 2^Width convert it.
        let offset = format.One + (int64 format.Width <<< format.Width) ||| format.Wrap
        let biased = a.OfBits(a.IntXor(a.ShiftRight(k, format.Width), a.IntConst offset))
        let exponent = a.Sub(biased, lift (format.Unit + float format.Wrap))
        let zero = a.Const 0.0
        let edge = a.Select(a.Equal(x, zero), a.Const Double.NegativeInfinity, a.Const Double.NaN)
        let tail = a.Fma(a.Mul(f, f), polynomial a format.Log f, a.Select(a.Less(zero, x), zero, edge))
        // ln 2 has one word: its rounding error is at most 1/10 of an ulp of the sum, for any exponent.
        let sum = a.Fma(exponent, a.Const(Math.Log 2.0), a.Add(f, tail))
        a.Select(a.Less(x, a.Const Double.PositiveInfinity), sum, x)

    /// r = x - nπ, given n as a number.
    let private lessPi (a: Arithmetic<'f, 'i, 'b>) (n: 'f) (x: 'f) : 'f =
        let struct (high, middle, low) = (formatOf a).Pi
        // As in splitExp the first difference is exact; the second and third round to an ulp of r, however near 0.
        a.Fma(n, a.Const -low, a.Fma(n, a.Const -middle, a.Fma(n, a.Const -high, x)))

    /// (-1)^n sin r for |r| ≤ π/2, with the parity of n in the low bit, times the sign bit of an integer.
    let private sinNear0 (a: Arithmetic<'f, 'i, 'b>) (r: 'f) (n: 'i) (sign: 'i) : 'f =
        let format = formatOf a
        let square = a.Mul(r, r)
        let value = a.Fma(a.Mul(square, r), polynomial a format.Sin square, r)
        // Rounding can step over 1; and where n is so large that it has lost its last bits, r is anything.
        let sine = a.Max(a.Const -1.0, a.Min(a.Const 1.0, value))
        a.OfBits(a.IntXor(a.IntXor(a.Bits sine, a.ShiftLeft(n, format.SignBit)), sign))

    // ---- Functions --------------------------------------------------------------------------------------------------

    /// <summary>e^x. Errors to 1.5 ulp, subnormal results included; 18 operations in f32 and 24 in f64.</summary>
    /// <remarks>2^k 2^k p(r) with x = 2k ln 2 + r. 2^k is always a normal number, and only the last product can round
    /// or overflow.</remarks>
    let exp (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let one = a.Const 1.0
        let struct (k, r) = splitExp a (a.Max(a.Const format.ExpLow, a.Min(a.Const format.ExpHigh, x)))
        let power = scale a format.One 0 k
        let value = a.Fma(a.Fma(polynomial a format.Exp r, r, one), r, one)
        a.Mul(a.Mul(value, power), power)

    /// <summary>e^x - 1. Errors to 1.5 ulp; 22 operations in f32 and 28 in f64.</summary>
    /// <remarks>2^k (2^k (p(r) - 1) + (2^k - 2^-k)) with x = 2k ln 2 + r: 4^k by itself can overflow.</remarks>
    let expm1 (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let struct (k, r) = splitExp a (a.Max(a.Const format.Expm1Low, a.Min(a.Const format.ExpHigh, x)))
        let bits = a.ShiftLeft(k, format.Width)
        let power = a.OfBits(a.IntAdd(a.IntConst format.One, bits))
        let inverse = a.OfBits(a.IntSub(a.IntConst format.One, bits))
        let value = a.Fma(expm1Near0 a r, power, a.Sub(power, inverse))
        withSignOf a x (a.Mul(value, power))

    /// <summary>Natural logarithm; -∞ at ±0 and NaN below. Errors to 1.0 ulp in f32 and 1.3 in f64; 29 and 40
    /// operations.</summary>
    /// <remarks>k ln 2 + (f + f² p(f)) with x = 2^k (1 + f), |f| ≤ 1/3. To divide, for series in (x - 1) / (x + 1),
    /// costs more than the terms that it saves. Subnormal arguments are scaled up first.</remarks>
    let log (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let subnormal = a.Less(x, a.Const format.Tiny)
        let lift = float format.Lift
        let struct (k, m) = splitLog a (a.Select(subnormal, a.Mul(x, a.Const(Math.Pow(2.0, lift))), x))
        let offset value = a.Select(subnormal, a.Const(value + lift), a.Const value)
        joinLog a x k offset (a.Sub(m, a.Const 1.0))

    /// <summary>log(1 + x); -∞ at -1 and NaN below. Errors to 1.7 ulp in f32 and 1.9 in f64; 33 and 44
    /// operations.</summary>
    /// <remarks>As the logarithm of u = 1 + x = 2^k m, but f = (m - 1) + 2^-k (x - (u - 1)) has back what
    /// rounding of the sum took.</remarks>
    let log1p (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let one = a.Const 1.0
        let u = a.Add(one, x)
        let struct (k, m) = splitLog a u
        // From 2^127 on (2^1023 in f64) there is no 2^-k, but nothing is lost there either: 0 or -∞ become 0.
        let inverse = a.Max(a.OfBits(a.IntSub(a.IntConst (formatOf a).One, k)), a.Const 0.0)
        let f = a.Fma(a.Sub(x, a.Sub(u, one)), inverse, a.Sub(m, one))
        withSignOf a x (joinLog a u k a.Const f)

    /// <summary>Sine. Errors to 1.8 ulp in f32 for |x| ≤ 2^18 and to 1.7 in f64 for |x| ≤ 1e14; 18 and 22
    /// operations.</summary>
    /// <remarks>(-1)^n sin r with |x| = nπ + r, by subtraction of nπ in three words (Cody and Waite). Beyond these
    /// bounds |r| slowly outgrows the interval of the polynomial: in f32 the absolute error is 2e-5 at 1.3e7, and from
    /// there on (4e15 in f64) the result is only some number in [-1, 1].</remarks>
    let sin (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let struct (pi, _, _) = format.Pi
        let size = a.Abs x
        let shifted = a.Fma(size, a.Const(1.0 / pi), a.Const format.Shifter)
        let n = a.Sub(shifted, a.Const format.Shifter)
        sinNear0 a (lessPi a n size) (a.Bits shifted) (a.IntAnd(a.Bits x, a.IntConst format.Sign))

    /// <summary>Cosine. Errors to 2.0 ulp in f32 for |x| ≤ 2^18 and to 1.7 in f64 for |x| ≤ 1e14; 19 and 23
    /// operations.</summary>
    /// <remarks>(-1)^(n+1) sin r with |x| = (n + 1/2)π + r; otherwise as sin, with an absolute error of 2e-4 at
    /// 1.3e7.</remarks>
    let cos (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let struct (pi, _, _) = format.Pi
        let size = a.Abs x
        let shifted = a.Add(a.Fma(size, a.Const(1.0 / pi), a.Const -0.5), a.Const format.Shifter)
        let n = a.Sub(shifted, a.Const format.Shifter)
        sinNear0 a (lessPi a (a.Add(n, a.Const 0.5)) size) (a.Bits shifted) (a.IntConst format.Sign)

    /// <summary>Arc tangent. Errors to 1.4 ulp in f32 and 1.3 in f64; 20 and 32 operations.</summary>
    /// <remarks>t + t³ p(t²) with t = |x| up to 1, and π/2 in two words plus that with t = -1/|x| above.</remarks>
    let atan (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let struct (high, low) = format.HalfPi
        let size = a.Abs x
        let zero = a.Const 0.0
        let outside = a.Less(a.Const 1.0, size)
        let t = a.Select(outside, a.Div(a.Const -1.0, size), size)
        let square = a.Mul(t, t)
        let low = a.Select(outside, a.Const low, zero)
        let tail = a.Fma(a.Mul(t, square), polynomial a format.Atan square, low)
        withSignOf a x (a.Add(a.Select(outside, a.Const high, zero), a.Add(t, tail)))

    /// <summary>Hyperbolic tangent. Errors to 2.0 ulp in f32 and 2.1 in f64; 24 and 30 operations.</summary>
    /// <remarks>|x| = 2k ln 2 + r. With T = tanh r and tanh(2k ln 2) = (16^k - 1) / (16^k + 1) the addition theorem
    /// is (T (16^k + 1) + (16^k - 1)) / (T (16^k - 1) + (16^k + 1)), which is exactly T for k = 0.</remarks>
    let tanh (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let one = a.Const 1.0
        let struct (k, r) = splitExp a (a.Min(a.Const format.TanhHigh, a.Abs x))
        let square = a.Mul(r, r)
        let t = a.Fma(a.Mul(square, r), polynomial a format.Tanh square, r)
        let power = scale a format.One 2 k
        let above = a.Fma(t, a.Add(power, one), a.Sub(power, one))
        // The denominator is 2 (1 - T) more: so written, it shares the rounding error of the numerator.
        let below = a.Fma(a.Const 2.0, a.Sub(one, t), above)
        withSignOf a x (a.Div(above, below))

    /// <summary>Error function, 2/√π times the integral of e^-t² from 0 to x. Errors to 1.7 ulp; 30 operations
    /// in f32 and 51 in f64.</summary>
    /// <remarks>1 - e^w with w = log(1 - erf |x|), which is smooth on the whole interval up to where erf rounds to 1.
    /// A relative error of w comes out no larger, because |w| e^w ≤ 1 - e^w.</remarks>
    let erf (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f =
        let format = formatOf a
        let size = a.Min(a.Const format.ErfHigh, a.Abs x)
        let w = a.Fma(size, a.Const format.ErfSlope, a.Mul(size, polynomial a format.Erf size))
        let struct (k, r) = splitExp a w
        let power = scale a (format.One ||| format.Sign) 1 k
        withSignOf a x (a.Fma(expm1Near0 a r, power, a.Add(a.Const 1.0, power)))

    /// <summary>1/√x; ±∞ at ±0. Errors to 1.5 ulp in f32 and f64; 2 operations, each correctly rounded.</summary>
    let rsqrt (a: Arithmetic<'f, 'i, 'b>) (x: 'f) : 'f = a.Div(a.Const 1.0, a.Sqrt x)

    // ---- Instances --------------------------------------------------------------------------------------------------

    /// f32, as the interpreter computes it.
    let single: Arithmetic<float32, int32, bool> =
        { new Arithmetic<float32, int32, bool>() with
            member _.Double = false
            member _.Const value = float32 value
            member _.Add(x, y) = x + y
            member _.Sub(x, y) = x - y
            member _.Mul(x, y) = x * y
            member _.Div(x, y) = x / y
            member _.Fma(x, y, z) = MathF.FusedMultiplyAdd(x, y, z)
            member _.Abs x = MathF.Abs x
            member _.Sqrt x = MathF.Sqrt x
            member _.Min(x, y) = if x < y then x else y
            member _.Max(x, y) = if x > y then x else y
            member _.Less(x, y) = x < y
            member _.Equal(x, y) = (x = y)
            member _.Select(condition, yes, no) = if condition then yes else no
            member _.Bits x = BitConverter.SingleToInt32Bits x
            member _.OfBits n = BitConverter.Int32BitsToSingle n
            member _.IntConst value = int32 value
            member _.IntAdd(m, n) = m + n
            member _.IntSub(m, n) = m - n
            member _.IntAnd(m, n) = m &&& n
            member _.IntOr(m, n) = m ||| n
            member _.IntXor(m, n) = m ^^^ n
            member _.ShiftLeft(n, count) = n <<< count
            member _.ShiftRight(n, count) = int32 (uint32 n >>> count) }

    /// f64, as the interpreter computes it.
    let double: Arithmetic<float, int64, bool> =
        { new Arithmetic<float, int64, bool>() with
            member _.Double = true
            member _.Const value = value
            member _.Add(x, y) = x + y
            member _.Sub(x, y) = x - y
            member _.Mul(x, y) = x * y
            member _.Div(x, y) = x / y
            member _.Fma(x, y, z) = Math.FusedMultiplyAdd(x, y, z)
            member _.Abs x = Math.Abs x
            member _.Sqrt x = Math.Sqrt x
            member _.Min(x, y) = if x < y then x else y
            member _.Max(x, y) = if x > y then x else y
            member _.Less(x, y) = x < y
            member _.Equal(x, y) = (x = y)
            member _.Select(condition, yes, no) = if condition then yes else no
            member _.Bits x = BitConverter.DoubleToInt64Bits x
            member _.OfBits n = BitConverter.Int64BitsToDouble n
            member _.IntConst value = value
            member _.IntAdd(m, n) = m + n
            member _.IntSub(m, n) = m - n
            member _.IntAnd(m, n) = m &&& n
            member _.IntOr(m, n) = m ||| n
            member _.IntXor(m, n) = m ^^^ n
            member _.ShiftLeft(n, count) = n <<< count
            member _.ShiftRight(n, count) = int64 (uint64 n >>> count) }
