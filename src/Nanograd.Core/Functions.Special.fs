namespace Nanograd

open System

/// The polynomials behind the special functions: interpolations at Chebyshev nodes, computed in 60 digits, lowest power
/// first, of an argument from -1 to 1. Errors are below 1e-15 of the value.
module private Polynomial =
    /// (1 + 2x) exp(x²) erfc(x) with x = 3.75 (1 + t) / (1 - t), the argument of Shepherd and Laframboise (1981).
    let erfcx =
        Array.concat
            [ [| 1.2375126308378275
                 -0.14024059858554702
                 0.003585415485479575
                 0.08227673849014977
                 -0.10880393014246645 |]
              [| 0.09230432116025894
                 -0.05869339857631061
                 0.028362277420377335
                 -0.00974657968596217
                 0.001755625843431864 |]
              [| 0.000293714390578856
                 -0.00029015404203352704
                 5.164649341002877e-05
                 2.2384138525656757e-05
                 -1.1437980374495534e-05 |]
              [| -9.733875167494142e-07
                 1.7419011945194367e-06
                 -5.741076073013916e-08
                 -2.4851108650210706e-07
                 2.3398534313040898e-08 |]
              [| 3.195398612057818e-08; -3.798189797736207e-09; -2.618520156503145e-09; 3.2052623379289157e-10 |] ]

    /// erfinv(x) / x as a function of w = -log(1 - x²), from 0 to 6.25: the variables of Giles (2010, "Approximating
    /// the erfinv function").
    let inverseCentral =
        Array.concat
            [ [| 1.6536545626831027
                 0.7504943200799635
                 -0.0589225671037876
                 -0.022604447453444733
                 0.0178083618187569 |]
              [| -0.004137314377547895
                 -0.0012716922769885114
                 0.0012324855702994214
                 -0.00026439358646646055
                 -0.0001168888508125076 |]
              [| 9.336692787624058e-05
                 -1.5027665773117194e-05
                 -1.1255653983969421e-05
                 7.12993974314695e-06
                 -6.87655180725494e-07 |]
              [| -1.0591188098187532e-06
                 5.456420572209782e-07
                 -1.0412692841159635e-08
                 -1.0514990713371436e-07
                 3.931511157646558e-08 |]
              [| 9.07207594789291e-09; -8.627191009014394e-09; -8.577966939639941e-11; 7.801712199036253e-10 |] ]

    /// The same as a function of s = sqrt w, from 2.5 to 4.
    let inverseMiddle =
        Array.concat
            [ [| 3.0838856104922208
                 0.7539442257706239
                 0.00302113943638407
                 -0.0015825410894034398
                 0.0007883078509981353 |]
              [| -0.0004006356984211825
                 0.00016966502592018017
                 -4.739182677882865e-05
                 2.4058391918338327e-06
                 5.127314470348767e-06 |]
              [| -2.6646983082852556e-06
                 5.264680305425013e-07
                 9.267642775523117e-08
                 -9.46984593753811e-08
                 2.6703991718481456e-08 |]
              [| -3.6086983146965074e-10
                 -2.7195823537882847e-09
                 9.85047133124713e-10
                 3.929056598182976e-12
                 -6.385846404875191e-11 |] ]

    /// The same from s = 4 to 6.5.
    let inverseOuter =
        Array.concat
            [ [| 5.102469766505421
                 1.2627439715993543
                 -0.0004286291993963737
                 -0.0002930585976318151
                 0.00013464044613478927 |]
              [| -4.2795204731041615e-05
                 1.189726676350743e-05
                 -3.086799399545122e-06
                 7.803867041965297e-07
                 -2.0976020997964968e-07 |]
              [| 7.26243807960451e-08
                 -3.730325372812e-08
                 2.4196261759640532e-08
                 -1.5085329452566386e-08
                 7.808821367829328e-09 |]
              [| -3.915316278708613e-09
                 2.1325466107954736e-09
                 -5.623439737184413e-10
                 -2.4452506375365856e-10
                 1.4042029017111946e-10 |] ]

    /// erfinv(x) / (x s) as a function of 1 / s, for s from 6.5 to 28.
    let inverseTail =
        Array.concat
            [ [| 0.9899337432944424
                 -0.00976353004711012
                 -0.0013123762428347444
                 0.00035659437993248284
                 -5.67820653168652e-05 |]
              [| 1.3802922266601492e-05
                 -4.382012038168452e-06
                 1.5666897996113646e-06
                 -6.099497248900159e-07
                 2.5329054523787653e-07 |]
              [| -1.09934249005303e-07
                 4.9761474440057985e-08
                 -2.476496536442491e-08
                 1.1972407695920045e-08
                 -3.041860600323269e-09 |]
              [| 1.3823003435071984e-09
                 -4.077381433501523e-09
                 2.1994163313617017e-09
                 1.370479178377017e-09
                 -7.669684830749506e-10 |]
              [| -6.501640003965325e-10; 3.564219874030849e-10 |] ]

    /// lgamma(1 + u) / (u (u - 1)) for u from 0 to 1.
    let lgamma =
        Array.concat
            [ [| 0.4831289505409809
                 -0.07297994795715304
                 0.01572785026864542
                 -0.003913560937627712
                 0.0010498186643114226 |]
              [| -0.00029455070147065866
                 8.510090557578434e-05
                 -2.5094329288815257e-05
                 7.511379855481206e-06
                 -2.274243403133106e-06 |]
              [| 6.948877197562772e-07
                 -2.138781508158277e-07
                 6.613648184278213e-08
                 -2.0587178010528767e-08
                 6.5744295616983814e-09 |]
              [| -2.0645205106753336e-09
                 5.338892309612246e-10
                 -1.6832632347974095e-10
                 1.0811060848639768e-10
                 -3.44138388395326e-11 |] ]

    /// Horner's rule.
    let at (coefficients: float[]) (t: Tensor) =
        let last = coefficients.Length - 1
        let mutable sum = constant t.DType coefficients[last]
        for i in last - 1 .. -1 .. 0 do
            sum <- sum * t + coefficients[i]
        sum

/// Special functions. They are computed in f64, whatever the type, and rounded once: results in f32 are within an ulp.
/// Each is a named function (`Custom`) with its own derivative, so gradients read as in tables.
[<AutoOpen>]
module Special =
    let private f64 (v: float) = constant DType.F64 v
    let private lt x y = Op.binary Binary.Lt x y

    /// In f64, and back.
    let private wide (f: Tensor -> Tensor) (x: Tensor) =
        let x = inFloat x
        Op.cast x.DType (f (Op.cast DType.F64 x))

    // ---- the error function and its kin

    /// <summary>The error function: 2 / sqrt(pi) times the integral of exp(-t²) from 0 to x.</summary>
    /// <example><code>erf (tensor [ 0.; 1. ]) // tensor([0.0000, 0.8427])</code></example>
    let erf (x: Tensor) : Tensor = Op.unary Unary.Erf x

    /// exp(-share x²), for a share that is a power of two: the square is split, because its rounding error would grow
    /// with x².
    let private gauss (share: float) (x: Tensor) =
        let high = floor (x * 16.0 + 0.5) / 16.0
        exp (high * high * -share) * exp ((high - x) * (high + x) * share)

    /// exp(x²) erfc(x) for x >= 0.
    let private scaledTail (x: Tensor) =
        let t = 1.0 - 7.5 / (x + 3.75) // at infinity 1
        Polynomial.at Polynomial.erfcx t / (x * 2.0 + 1.0)

    let private erfcBody (x: Tensor) =
        let size = minimum (abs x) (f64 30.0) // it is 0 from 27.3 on
        let tail = gauss 1.0 size * scaledTail size
        Op.select (Op.binary Binary.Ne x x) x (Op.select (lt x (f64 0.0)) (2.0 - tail) tail)

    let private twoOverRootPi = 2.0 / Math.Sqrt Math.PI

    /// <summary>1 - erf x, exact in its tail too (to 27.2 in f64, where it runs out of numbers).</summary>
    /// <example><code>erfc (tensor [ 0.; 5. ]) // tensor([1.0000e+00, 1.5375e-12])</code></example>
    let erfc (x: Tensor) : Tensor = wide (smooth "erfc" erfcBody (fun x -> exp -(x * x) * -twoOverRootPi)) x

    /// <summary>exp(x²) erfc(x): the tail of the error function without its exponential; infinite where that overflows
    /// (below -26.6).</summary>
    /// <example><code>erfcx (tensor [ 0.; 100. ]) // tensor([1.0000, 0.0056])</code></example>
    let erfcx (x: Tensor) : Tensor =
        let body (x: Tensor) =
            let size = abs x
            let negative = lt x (f64 0.0)
            let tail = scaledTail size
            let y = Op.select negative size (f64 0.0)
            Op.select (Op.binary Binary.Ne x x) x (Op.select negative (exp (y * y) * 2.0 - tail) tail)
        wide (smooth "erfcx" body (fun x -> x * named "erfcx" body x * 2.0 - twoOverRootPi)) x

    /// erfinv(x) / x from w = -log(1 - x²).
    let private inverse (w: Tensor) =
        let s = sqrt (maximum w (f64 6.25))
        let scaled low high (v: Tensor) = (minimum v (f64 high) - (low + high) / 2.0) * (2.0 / (high - low))
        let central = Polynomial.at Polynomial.inverseCentral (scaled 0.0 6.25 w)
        let middle = Polynomial.at Polynomial.inverseMiddle (scaled 2.5 4.0 s)
        let outer = Polynomial.at Polynomial.inverseOuter (scaled 4.0 6.5 (maximum s (f64 4.0)))
        let far = maximum s (f64 6.5)
        let tail = far * Polynomial.at Polynomial.inverseTail (scaled (1.0 / 28.0) (1.0 / 6.5) (1.0 / far))
        Op.select (lt w (f64 6.25)) central (Op.select (lt s (f64 4.0)) middle (Op.select (lt s (f64 6.5)) outer tail))

    let private erfinvBody (x: Tensor) =
        let rest = (1.0 - x) * (1.0 + x)
        let edge = Op.binary Binary.Eq (abs x) (f64 1.0)
        let y = x * inverse -(log (Op.select edge (f64 1.0) rest))
        Op.select edge (Op.select (lt x (f64 0.0)) (f64 -infinity) (f64 infinity)) y

    /// <summary>The number whose error function is x: ±infinity at ±1, NaN beyond.</summary>
    /// <example><code>erfinv (tensor [ 0.; 0.5; 1. ]) // tensor([0.0000, 0.4769, inf])</code></example>
    let erfinv (x: Tensor) : Tensor =
        let slope (x: Tensor) =
            let y = named "erfinv" erfinvBody x
            exp (y * y) / twoOverRootPi
        wide (smooth "erfinv" erfinvBody slope) x

    let private density (x: Tensor) = exp (x * x * -0.5) / Math.Sqrt(2.0 * Math.PI)

    /// <summary>The distribution function of the standard normal: the probability of less than x. Exact in the lower
    /// tail.</summary>
    /// <example><code>ndtr (tensor [ 0.; -3. ]) // tensor([0.5000, 0.0013])</code></example>
    let ndtr (x: Tensor) : Tensor =
        let body (x: Tensor) =
            let size = minimum (abs x) (f64 40.0)
            let tail = gauss 0.5 size * scaledTail (size * Math.Sqrt 0.5) * 0.5
            Op.select (Op.binary Binary.Ne x x) x (Op.select (lt x (f64 0.0)) tail (1.0 - tail))
        wide (smooth "ndtr" body density) x

    let private ndtriBody (p: Tensor) =
        let edge = Op.binary Binary.Or (Op.binary Binary.Eq p (f64 0.0)) (Op.binary Binary.Eq p (f64 1.0))
        let q = Op.select edge (f64 0.5) p
        // 1 - (2p - 1)² = 4p(1 - p), of which nothing is lost however small p is.
        let w = -(log (q * 4.0 * (1.0 - q)))
        let y = (q * 2.0 - 1.0) * inverse w * Math.Sqrt 2.0
        Op.select edge (Op.select (lt p (f64 0.5)) (f64 -infinity) (f64 infinity)) y

    /// <summary>The quantile of the standard normal: the inverse of `ndtr`. Exact in the lower tail.</summary>
    /// <example><code>ndtri (tensor [ 0.5; 0.975 ]) // tensor([0.0000, 1.9600])</code></example>
    let ndtri (p: Tensor) : Tensor =
        wide (smooth "ndtri" ndtriBody (fun p -> 1.0 / density (named "ndtri" ndtriBody p))) p

    // ---- the gamma function and its kin

    /// x - round x, and sin and cos of pi times it.
    let private turn (x: Tensor) =
        let r = (x - round x) * Math.PI
        sin r, cos r

    /// B(2k) / (2k (2k - 1)), the coefficients of Stirling's series (Abramowitz and Stegun 6.1.40).
    let private stirling =
        [ 1.0 / 12.0; -1.0 / 360.0; 1.0 / 1260.0; -1.0 / 1680.0; 1.0 / 1188.0; -691.0 / 360360.0; 1.0 / 156.0 ]

    /// log gamma for x >= 0: a polynomial up to 3, where it has its zeros; beyond, Stirling's series at 10 or more.
    let private lgammaPositive (x: Tensor) =
        let isSmall = lt x (f64 3.0)
        let s = Op.select isSmall x (f64 1.5)
        let first, last = lt s (f64 1.0), lt (f64 2.0) s
        let u = Op.select first s (Op.select last (s - 2.0) (s - 1.0)) // exact
        let near = u * (u - 1.0) * Polynomial.at Polynomial.lgamma (u * 2.0 - 1.0)
        let near =
            near
            + Op.select first -(log (Op.select first s (f64 1.0))) (Op.unary Unary.Log1p (Op.select last u (f64 0.0)))
        let y = Op.select isSmall (f64 10.0) x
        let isShifted = lt y (f64 10.0)
        let z = Op.select isShifted (y + 7.0) y
        let product = Seq.fold (fun p k -> p * (y + float k)) y [ 1..6 ]
        let v = 1.0 / (z * z)
        let series = List.foldBack (fun c (sum: Tensor) -> sum * v + c) stirling (f64 0.0) / z
        let far = (z - 0.5) * (log z - 1.0) + (0.5 * Math.Log(2.0 * Math.PI) - 0.5) + series
        let far = far - Op.select isShifted (log (Op.select isShifted product (f64 1.0))) (f64 0.0)
        Op.select isSmall near far

    let private lgammaBody (x: Tensor) =
        let negative = lt x (f64 0.0)
        let positive = lgammaPositive (Op.select negative (1.0 - x) x)
        let s, _ = turn (Op.select negative x (f64 0.5))
        // The reflection formula (6.1.17).
        let mirrored = Math.Log Math.PI - log (abs s) - positive
        let infinite = Op.binary Binary.Eq (abs x) (f64 infinity)
        Op.select infinite (abs x) (Op.select negative mirrored positive)

    /// The polygamma function of order n >= 0 (6.3.5, 6.4.6; asymptotic series 6.3.18, 6.4.11 at 10 or more). Reflected for n < 2.
    let private bernoulli =
        [ 1.0 / 6.0; -1.0 / 30.0; 1.0 / 42.0; -1.0 / 30.0; 5.0 / 66.0; -691.0 / 2730.0; 7.0 / 6.0; -3617.0 / 510.0 ]

    let private factorial (n: int) = Seq.fold (fun p k -> p * float k) 1.0 [ 1..n ]

    let private polygammaPositive (n: int) (x: Tensor) =
        let isShifted = lt x (f64 10.0)
        let y = Op.select isShifted x (f64 1.0)
        let z = Op.select isShifted (x + 10.0) x
        let power (t: Tensor) (k: int) = Seq.fold (fun p _ -> p * t) t [ 2..k ]
        let shifts =
            Seq.fold (fun (sum: Tensor) k -> sum + 1.0 / power (y + float k) (n + 1)) (1.0 / power y (n + 1)) [ 1..9 ]
        let v = 1.0 / (z * z)
        let coefficients = bernoulli |> List.mapi (fun i b -> b * factorial (2 * i + 1 + n) / factorial (2 * i + 2))
        let series = List.foldBack (fun c (sum: Tensor) -> sum * v + c) coefficients (f64 0.0) * v
        let dropped = Op.select isShifted (shifts * factorial n) (f64 0.0)
        if n = 0 then
            log z - 0.5 / z - series - dropped
        else
            let head = factorial (n - 1) + factorial n * 0.5 / z + series
            let sum = head / power z n + dropped
            if n % 2 = 1 then sum else -sum

    let private trigammaBody (x: Tensor) =
        let negative = lt x (f64 0.5)
        let positive = polygammaPositive 1 (Op.select negative (1.0 - x) x)
        let s, _ = turn (Op.select negative x (f64 0.5))
        Op.select negative (Math.PI * Math.PI / (s * s) - positive) positive

    let private trigamma64 (x: Tensor) = named "trigamma" trigammaBody x

    let private digammaBody (x: Tensor) =
        let negative = lt x (f64 0.0)
        let zero = Op.binary Binary.Eq x (f64 0.0)
        let positive = polygammaPositive 0 (Op.select negative (1.0 - x) (Op.select zero (f64 1.0) x))
        let s, c = turn (Op.select negative x (f64 0.5))
        let pole = Op.binary Binary.Eq s (f64 0.0)
        let mirrored = positive - Math.PI * c / Op.select pole (f64 nan) s
        Op.select
            zero
            (Op.select (Analytic.isSigned x) (f64 infinity) (f64 -infinity))
            (Op.select negative mirrored positive)

    /// <summary>The logarithm of |gamma(x)|; infinite at 0, -1, -2, ... Its derivative is `digamma`.</summary>
    /// <example><code>lgamma (tensor [ 1.; 0.5; 10. ]) // tensor([0.0000, 0.5724, 12.8018])</code></example>
    let lgamma (x: Tensor) : Tensor = wide (smooth "lgamma" lgammaBody (smooth "digamma" digammaBody trigamma64)) x

    /// <summary>The derivative of lgamma; -infinity at 0, NaN at -1, -2, ... Its derivative is `trigamma`.</summary>
    /// <example><code>digamma (tensor [ 1.; 0.5; 10. ]) // tensor([-0.5772, -1.9635, 2.2518])</code></example>
    let digamma (x: Tensor) : Tensor = wide (smooth "digamma" digammaBody trigamma64) x

    /// <summary>The derivative of digamma; infinite at 0, -1, -2, ...</summary>
    /// <example><code>trigamma (tensor [ 1.; 0.5; 10. ]) // tensor([1.6449, 4.9348, 0.1052])</code></example>
    let trigamma (x: Tensor) : Tensor = wide trigamma64 x

    /// The n-th derivative of cot(pi x), divided by pi^n, as a polynomial of c = cot(pi x): each is -(1 + c²) times the derivative of the one before.
    let private cotangents (n: int) =
        let next (p: float[]) =
            let slope = Array.init (p.Length - 1) (fun k -> float (k + 1) * p[k + 1])
            Array.init (p.Length + 1) (fun k ->
                let at i = if i >= 0 && i < slope.Length then slope[i] else 0.0
                -(at k + at (k - 2)))
        Seq.fold (fun p _ -> next p) [| 0.0; 1.0 |] [ 1..n ]

    /// <summary>The n-th derivative of digamma (0: digamma itself, 1: trigamma); at 0, -1, -2, ... infinite or NaN.</summary>
    /// <example><code>polygamma 2 (tensor [ 1.; 2. ]) // tensor([-2.4041, -0.4041])</code></example>
    let polygamma (n: int) (x: Tensor) : Tensor =
        match n with
        | 0 -> digamma x
        | 1 -> trigamma x
        | _ when n < 0 -> Shape.fail "polygamma" $"the order must not be negative, not {n}" "" [ x ]
        | _ ->
            let body (x: Tensor) =
                let negative = lt x (f64 0.0)
                let positive = polygammaPositive n (Op.select negative (1.0 - x) x)
                let s, c = turn (Op.select negative x (f64 0.5))
                let derivative = Polynomial.at (cotangents n) (c / s) * Math.Pow(Math.PI, float (n + 1))
                Op.select negative ((if n % 2 = 0 then positive else -positive) - derivative) positive
            wide (named $"polygamma{n}" body) x

    /// <summary>The logarithm of the beta function of positive numbers: lgamma a + lgamma b - lgamma(a + b). The two
    /// broadcast.</summary>
    /// <example><code>betaln (scalar 2.0) (scalar 3.0) // tensor(-2.4849)</code></example>
    let betaln (a: Tensor) (b: Tensor) : Tensor =
        let a, b, t = together a b
        let a, b = Op.cast DType.F64 a, Op.cast DType.F64 b
        Op.cast t (lgamma a + lgamma b - lgamma (a + b))

    /// <summary>The beta function of positive numbers: gamma(a) gamma(b) / gamma(a + b). The two broadcast.</summary>
    /// <example><code>beta (scalar 2.0) (scalar 3.0) // tensor(0.0833)</code></example>
    let beta (a: Tensor) (b: Tensor) : Tensor =
        let a, b, t = together a b
        Op.cast t (exp (betaln (Op.cast DType.F64 a) (Op.cast DType.F64 b)))

    // ---- entropy and odds

    /// <summary>x log y, and 0 where x is 0 (unless y is NaN). The two broadcast.</summary>
    /// <example><code>xlogy (tensor [ 0.; 2. ]) (tensor [ 0.; 3. ]) // tensor([0.0000, 2.1972])</code></example>
    let xlogy (x: Tensor) (y: Tensor) : Tensor =
        let x, y, t = together x y
        let zero = constant x.DType 0.0
        let vanishes = Op.binary Binary.And (Op.binary Binary.Eq x zero) (Op.binary Binary.Eq y y)
        Op.cast t (Op.select vanishes zero (x * log (Op.select vanishes (constant x.DType 1.0) y)))

    /// <summary>x log(1 + y), and 0 where x is 0 (unless y is NaN). The two broadcast.</summary>
    /// <example><code>xlog1py (tensor [ 0.; 2. ]) (tensor [ -1.; 1e-8 ])
    /// // tensor([0.0000e+00, 2.0000e-08])</code></example>
    let xlog1py (x: Tensor) (y: Tensor) : Tensor =
        let x, y, t = together x y
        let zero = constant x.DType 0.0
        let vanishes = Op.binary Binary.And (Op.binary Binary.Eq x zero) (Op.binary Binary.Eq y y)
        Op.cast t (Op.select vanishes zero (x * Op.unary Unary.Log1p (Op.select vanishes zero y)))

    /// <summary>-x log x: the part of an entropy. 0 at 0, -infinity below.</summary>
    /// <example><code>entr (tensor [ 0.; 0.5; -1. ]) // tensor([0.0000, 0.3466, -inf])</code></example>
    let entr (x: Tensor) : Tensor =
        let body (x: Tensor) =
            let positive = lt (constant x.DType 0.0) x
            let edge = Op.select (lt x (constant x.DType 0.0)) (constant x.DType -infinity) x // 0, or NaN
            Op.select positive -(x * log (Op.select positive x (constant x.DType 1.0))) edge
        computing body x

    /// <summary>log(x / (1 - x)): the inverse of sigmoid. Infinite at 0 and 1, NaN beyond.</summary>
    /// <example><code>logit (tensor [ 0.5; 0.9 ]) // tensor([0.0000, 2.1972])</code></example>
    let logit (x: Tensor) : Tensor = computing (fun x -> log x - Op.unary Unary.Log1p -x) x

    /// <summary>`sigmoid` under SciPy's name.</summary>
    /// <example><code>expit (tensor [ 0.; 2. ]) // tensor([0.5000, 0.8808])</code></example>
    let expit (x: Tensor) : Tensor = sigmoid x
