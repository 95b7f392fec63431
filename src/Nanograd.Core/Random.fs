namespace Nanograd

open System

/// Random tensors from explicit keys (u32[2]): the same key and shape give the same numbers, everywhere and always.
/// Parameters of a distribution come first (tensors of parameters broadcast to the shape), then the key, then the
/// shape. Use a key once: `split` it, or `fold` a number into it. Where samples are functions of their parameters
/// (normal, uniform, gumbel, ... ) gradients flow; rejection (gamma, beta, dirichlet, studentT, poisson) and choice
/// have none.
[<RequireQualifiedAccess>]
module Random =
    // ---- keys

    /// <summary>The key of a seed, u32 `[2]`.</summary>
    /// <example><code>Random.key 7L // tensor([0, 7], dtype=u32)</code></example>
    let key (seed: int64) : Tensor = ofArray DType.U32 [| 2 |] [| uint32 (seed >>> 32); uint32 seed |]

    /// <summary>`count` new keys, u32 `[count; 2]`.</summary>
    /// <example><code>(Random.split 3 (Random.key 7L)).Shape // [3,2]</code></example>
    let split (count: int) (key: Tensor) : Tensor = Op.randomBits key [| count; 2 |]

    /// <summary>A new key from a key and a number (a step, a layer), which may itself be a tensor (an integer
    /// scalar).</summary>
    /// <example><code>(Random.foldIn (Random.key 7L) (scalarOf DType.I64 3.0)).Shape // [2]</code></example>
    let foldIn (key: Tensor) (n: Tensor) : Tensor =
        let word = Op.cast DType.U32 n |> Op.reshape [| 1 |]
        let mark = full DType.U32 [| 1 |] 2654435769.0
        Op.randomBits (Op.binary Binary.Xor key (Op.concat 0 [| word; mark |])) [| 2 |]

    /// <summary>A new key from a key and a number known now.</summary>
    /// <example><code>(Random.fold (Random.key 7L) 3).Shape // [2]</code></example>
    let fold (key: Tensor) (n: int) : Tensor = foldIn key (Op.constant (Constant.ofInt DType.U32 (int64 n)))

    /// <summary>32 random bits per element, u32.</summary>
    /// <example><code>(Random.bits (Random.key 7L) [| 2 |]).DType // u32</code></example>
    let bits (key: Tensor) (shape: int[]) : Tensor = Op.randomBits key shape

    // ---- uniform

    let private unit (bits: Tensor) = // 24 bits as a fraction in [0, 1)
        let shift = Op.constant (Constant.ofInt DType.U32 8L)
        Op.cast DType.F32 (Op.binary Binary.Shr bits shift) * Math.ScaleB(1.0, -24)

    /// Part i of stacked bits.
    let private row i (bits: Tensor) = part 0 i (i + 1) 1 bits |> Op.reshape bits.Shape[1..]

    /// 53 bits of two words as a fraction in [0, 1), f64.
    let private unit64 (key: Tensor) (shape: int[]) =
        let words = Op.randomBits key (Array.append [| 2 |] shape)
        let shifted i (by: int64) =
            Op.cast DType.F64 (Op.binary Binary.Shr (row i words) (Op.constant (Constant.ofInt DType.U32 by)))
        shifted 0 5L * Math.ScaleB(1.0, -27) + shifted 1 6L * Math.ScaleB(1.0, -53)

    /// In (0, 1], and as fine near 0 as floats of 32 bits are: what logarithms are taken of.
    let private positive (bits: Tensor) = (Op.cast DType.F32 bits + 0.5) * Math.ScaleB(1.0, -32)

    /// <summary>Uniform in [0, 1), f32.</summary>
    /// <example><code>(Random.uniform (Random.key 7L) [| 2; 3 |]).Shape // [2,3]</code></example>
    let uniform (key: Tensor) (shape: int[]) : Tensor = unit (Op.randomBits key shape)

    /// <summary>Uniform in [0, 1) of a float type; f64 has 53 random bits.</summary>
    /// <example><code>(Random.uniformOf DType.F64 (Random.key 7L) [| 2 |]).DType // f64</code></example>
    let uniformOf (dtype: DType) (key: Tensor) (shape: int[]) : Tensor =
        if not (DType.isFloat dtype) then
            raise (
                ShapeException("uniformOf", "the type must be a float", string dtype, "integers gives whole numbers")
            )
        elif dtype = DType.F64 then
            unit64 key shape
        else
            Op.cast dtype (uniform key shape)

    /// <summary>Uniform in [low, high), f32. Gradients flow to the bounds.</summary>
    /// <example><code>(Random.uniformIn (scalar -1.0) (scalar 1.0) (Random.key 7L) [| 4 |]).Shape
    /// // [4]</code></example>
    let uniformIn (low: Tensor) (high: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        let u = uniform key shape
        minimum (low + (high - low) * u) high |> broadcastTo shape

    /// <summary>Whole numbers low, ..., high - 1, equally likely: i64.</summary>
    /// <example><code>Random.integers 3 4 (Random.key 7L) [| 2 |] // tensor([3, 3])</code></example>
    let integers (low: int) (high: int) (key: Tensor) (shape: int[]) : Tensor =
        if high <= low then
            raise (ShapeException("Random.integers", "low must be less than high", $"{low} and {high}", ""))
        // The high part of 62 random bits times the range: the bias is at most range / 2^62.
        let one, half = Op.constant (Constant.ofInt DType.U32 1L), Op.constant (Constant.ofInt DType.I64 31L)
        let words = Op.cast DType.I64 (Op.binary Binary.Shr (Op.randomBits key (Array.append [| 2 |] shape)) one)
        let range = Op.constant (Constant.ofInt DType.I64 (int64 high - int64 low))
        let carry = Op.binary Binary.Shr (row 1 words * range) half
        Op.binary Binary.Shr (row 0 words * range + carry) half + Op.constant (Constant.ofInt DType.I64 (int64 low))

    /// <summary>True with probability p.</summary>
    /// <example><code>Random.bernoulli (scalar 1.0) (Random.key 7L) [| 2 |] // tensor([true, true])</code></example>
    let bernoulli (p: Tensor) (key: Tensor) (shape: int[]) : Tensor = lt (uniform key shape) p

    // ---- normal

    /// <summary>Standard normal, f32 (Box and Muller 1958). The radius has 32 random bits: tails reach 6.8.</summary>
    /// <example><code>(Random.normal (Random.key 7L) [| 2; 3 |]).Shape // [2,3]</code></example>
    let normal (key: Tensor) (shape: int[]) : Tensor =
        let words = Op.randomBits key (Array.append [| 2 |] shape)
        let radius = sqrt (log (positive (row 0 words)) * -2.0)
        radius * cos (unit (row 1 words) * (2.0 * Math.PI))

    /// <summary>Standard normal of a float type; in f64 by inversion of 53 random bits, tails reach 8.2.</summary>
    /// <example><code>(Random.normalOf DType.F64 (Random.key 7L) [| 2 |]).DType // f64</code></example>
    let normalOf (dtype: DType) (key: Tensor) (shape: int[]) : Tensor =
        if not (DType.isFloat dtype) then
            raise (ShapeException("normalOf", "the type must be a float", string dtype, ""))
        elif dtype = DType.F64 then
            ndtri (unit64 key shape + Math.ScaleB(1.0, -54))
        else
            Op.cast dtype (normal key shape)

    /// <summary>Normal with a mean and a standard deviation. Gradients flow to both.</summary>
    /// <example><code>(Random.normalWith (scalar 5.0) (scalar 2.0) (Random.key 7L) [| 4 |]).Shape
    /// // [4]</code></example>
    let normalWith (mean: Tensor) (deviation: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        mean + deviation * normal key shape |> broadcastTo shape

    /// <summary>exp of a normal number with that mean and standard deviation.</summary>
    /// <example><code>(Random.logNormal (scalar 0.0) (scalar 1.0) (Random.key 7L) [| 4 |]).Shape
    /// // [4]</code></example>
    let logNormal (mean: Tensor) (deviation: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        exp (normalWith mean deviation key shape)

    /// <summary>Standard normal numbers on condition that they lie between `low` and `high` (which may be infinite), f32,
    /// by inversion in f64.</summary>
    /// <example><code>(Random.truncatedNormal -2.0 2.0 (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let truncatedNormal (low: float) (high: float) (key: Tensor) (shape: int[]) : Tensor =
        if not (low < high) then
            raise (ShapeException("Random.truncatedNormal", "low must be less than high", $"{low} and {high}", ""))
        // In the upper tail probabilities are near 1 and lose their digits: mirrored to the lower one.
        let flipped = low > 0.0
        let a, b = if flipped then -high, -low else low, high
        let below (x: float) = ndtr (constant DType.F64 x)
        let p = below a + (below b - below a) * (unit64 key shape + Math.ScaleB(1.0, -54))
        let x = clamp a b (ndtri p)
        Op.cast DType.F32 (if flipped then -x else x)

    // ---- by inversion

    /// <summary>Exponential with a rate: mean 1 / rate.</summary>
    /// <example><code>(Random.exponential (scalar 2.0) (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let exponential (rate: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        -(log (positive (Op.randomBits key shape))) / rate |> broadcastTo shape

    /// <summary>Standard Gumbel: -log(-log u). `argMax` of logits plus Gumbel noise is a sample of their
    /// softmax.</summary>
    /// <example><code>(Random.gumbel (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let gumbel (key: Tensor) (shape: int[]) : Tensor = -(log (exponential (scalar 1.0) key shape))

    /// <summary>Standard logistic: log(u / (1 - u)).</summary>
    /// <example><code>(Random.logistic (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let logistic (key: Tensor) (shape: int[]) : Tensor =
        // The difference of two Gumbel numbers: both tails are as fine as floats are.
        let words = Op.randomBits key (Array.append [| 2 |] shape)
        let g i = log (-(log (positive (row i words))))
        g 0 - g 1

    /// <summary>Standard Laplace (two-sided exponential): density exp(-|x|) / 2.</summary>
    /// <example><code>(Random.laplace (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let laplace (key: Tensor) (shape: int[]) : Tensor =
        let words = Op.randomBits key (Array.append [| 2 |] shape)
        let size = -(log (positive (row 0 words)))
        Op.select (lt (unit (row 1 words)) (scalar 0.5)) -size size

    /// <summary>Standard Cauchy: density 1 / (pi (1 + x²)).</summary>
    /// <example><code>(Random.cauchy (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let cauchy (key: Tensor) (shape: int[]) : Tensor =
        let u = (unit (Op.randomBits key shape) + Math.ScaleB(1.0, -25) - 0.5) * Math.PI
        tan u

    /// <summary>How many failures before the first success of probability p: 0, 1, ... as f32.</summary>
    /// <example><code>Random.geometric (scalar 1.0) (Random.key 7L) [| 2 |] // tensor([0., 0.])</code></example>
    let geometric (p: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        let sure = ge p (scalar 1.0)
        let q = Op.select sure (scalar 0.5) p
        let n = floor (log (positive (Op.randomBits key shape)) / log1p -q)
        Op.select sure (scalar 0.0) n |> broadcastTo shape

    // ---- by rejection, in a fixed number of rounds

    /// The first of the candidates (along axis 0) that is accepted; the last one if none is.
    let private firstAccepted (accepted: Tensor) (candidates: Tensor) =
        let last = candidates.Shape[0] - 1
        Seq.foldBack
            (fun i other -> Op.select (row i accepted) (row i candidates) other)
            [ 0 .. last - 1 ]
            (row last candidates)

    /// A round accepts with probability 0.95 or more: in 8 rounds all fail once in 10^10 times.
    let private gammaRounds = 8

    /// The logarithm of a gamma number (Marsaglia and Tsang 2000, "A simple method for generating gamma variables").
    let private logGamma (concentration: Tensor) (key: Tensor) (shape: int[]) =
        let a = Grad.stopGradient (broadcastTo shape (Op.cast DType.F32 concentration))
        let isSmall = lt a (scalar 1.0)
        let d = Op.select isSmall (a + 1.0) a - 1.0 / 3.0
        let c = 1.0 / sqrt (d * 9.0)
        let keys = split 3 key
        let rounds = Array.append [| gammaRounds |] shape
        let x = normal (row 0 keys) rounds
        let u = positive (Op.randomBits (row 1 keys) rounds)
        let base' = x * c + 1.0
        let inside = gt base' (scalar 0.0)
        let logV = log (Op.select inside base' (scalar 1.0)) * 3.0
        let v = exp logV
        let accepted = lt (log u) (x * x * 0.5 + d - d * v + d * logV)
        let found = firstAccepted (Op.binary Binary.And inside accepted) (Op.select inside logV (scalar 0.0))
        // Below 1: gamma(a) = gamma(a + 1) u^(1/a).
        let boost = log (positive (Op.randomBits (row 2 keys) shape)) / a
        Grad.stopGradient (log d + found + Op.select isSmall boost (scalar 0.0))

    /// <summary>Gamma with a concentration (shape parameter) and rate 1: divide by a rate, or multiply by a scale. Mean
    /// and variance are the concentration.</summary>
    /// <example><code>(Random.gamma (scalar 2.0) (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let gamma (concentration: Tensor) (key: Tensor) (shape: int[]) : Tensor = exp (logGamma concentration key shape)

    /// <summary>Chi-squared with `freedom` degrees of freedom.</summary>
    /// <example><code>(Random.chiSquared (scalar 3.0) (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let chiSquared (freedom: Tensor) (key: Tensor) (shape: int[]) : Tensor = gamma (freedom * 0.5) key shape * 2.0

    /// <summary>Beta, between 0 and 1: mean a / (a + b).</summary>
    /// <example><code>(Random.beta (scalar 2.0) (scalar 3.0) (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let beta (a: Tensor) (b: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        let keys = split 2 key
        sigmoid (logGamma a (row 0 keys) shape - logGamma b (row 1 keys) shape) // small ones are 0 unless logarithms are taken

    /// <summary>Dirichlet: vectors that add up to 1, for concentrations `[..; n]`; `shape` ends with n.</summary>
    /// <example><code>(Random.dirichlet (ones [| 3 |]) (Random.key 7L) [| 4; 3 |]).Shape // [4,3]</code></example>
    let dirichlet (concentration: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        if
            concentration.Rank = 0
            || shape.Length = 0
            || shape[shape.Length - 1] <> concentration.Shape[concentration.Rank - 1]
        then
            Shape.fail
                "Random.dirichlet"
                $"the shape {Shape.show shape} must end with the last axis of the concentrations"
                ""
                [ concentration ]
        softmax -1 (logGamma concentration key shape)

    /// <summary>Student's t with `freedom` degrees of freedom.</summary>
    /// <example><code>(Random.studentT (scalar 5.0) (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let studentT (freedom: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        let keys = split 2 key
        normal (row 0 keys) shape * exp ((log (freedom * 0.5) - logGamma (freedom * 0.5) (row 1 keys) shape) * 0.5)

    /// Poisson by counting how far the distribution function is below a uniform number: for rates below 10.
    let private poissonSmall (rate: Tensor) (key: Tensor) (shape: int[]) =
        let u = unit64 key shape
        let rate = Op.cast DType.F64 rate
        let step (p: Tensor, total: Tensor, count: Tensor) k =
            let count = count + Op.cast DType.F64 (ge u total)
            let p = p * rate / float k
            p, total + p, count
        let first = exp -rate
        let _, _, count = Seq.fold step (first, first, zerosLike u) [ 1..45 ] // beyond 45: once in 10^15 times
        count

    /// Poisson by transformed rejection (Hörmann 1993, "The transformed rejection method for generating Poisson random
    /// variables", PTRS): for rates of 10 or more. A round accepts with probability 0.85 or more.
    let private poissonLarge (rate: Tensor) (key: Tensor) (shape: int[]) =
        let rounds = Array.append [| 10 |] shape
        let keys = split 2 key
        let u = unit64 (row 0 keys) rounds + Math.ScaleB(1.0, -54) - 0.5
        let v = unit64 (row 1 keys) rounds + Math.ScaleB(1.0, -54)
        let rate = Op.cast DType.F64 rate
        let b = sqrt rate * 2.53 + 0.931
        let a = b * 0.02483 - 0.059
        let inverse = 1.1328 / (b - 3.4) + 1.1239
        let vr = 0.9277 - 3.6224 / (b - 2.0)
        let us = 0.5 - abs u
        let k = floor ((a * 2.0 / us + b) * u + rate + 0.43)
        let quick = Op.binary Binary.And (ge us (constant DType.F64 0.07)) (le v vr)
        let reject =
            Op.binary
                Binary.Or
                (lt k (constant DType.F64 0.0))
                (Op.binary Binary.And (lt us (constant DType.F64 0.013)) (gt v us))
        let inside = maximum k (constant DType.F64 0.0)
        let left = log v + log inverse - log (a / (us * us) + b)
        let right = inside * log rate - rate - lgamma (inside + 1.0)
        let accepted = Op.binary Binary.Or quick (Op.binary Binary.And (logicalNot reject) (le left right))
        firstAccepted accepted inside

    /// <summary>Poisson with a rate (mean and variance), which may be 0: whole numbers as f32.</summary>
    /// <example><code>(Random.poisson (scalar 4.0) (Random.key 7L) [| 4 |]).Shape // [4]</code></example>
    let poisson (rate: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        let rate = broadcastTo shape rate |> Grad.stopGradient
        let isSmall = lt rate (constant rate.DType 10.0)
        let keys = split 2 key
        let small = poissonSmall (Op.select isSmall rate (constant rate.DType 1.0)) (row 0 keys) shape
        let large = poissonLarge (Op.select isSmall (constant rate.DType 10.0) rate) (row 1 keys) shape
        Grad.stopGradient (Op.cast DType.F32 (Op.select isSmall small large))

    // ---- choice

    /// <summary>Indices (i64) of classes, with probabilities softmax(logits): logits `[..; classes]`, whose leading axes
    /// broadcast to the shape of the result. By Gumbel's maximum.</summary>
    /// <example><code>Random.categorical (tensor [ 0.; 100.; 0. ]) (Random.key 7L) [| 2 |]
    /// // tensor([1, 1])</code></example>
    let categorical (logits: Tensor) (key: Tensor) (shape: int[]) : Tensor =
        if logits.Rank = 0 then Shape.fail "Random.categorical" "logits must have an axis of classes" "" [ logits ]
        let full = Array.append shape [| logits.Shape[logits.Rank - 1] |]
        argMax -1 (Op.broadcast full logits + gumbel key full)

    /// <summary>`count` indices (i64, `[..; count]`) of classes with probabilities proportional to `weights` `[..;
    /// classes]` (PyTorch's multinomial); without replacement all are different.</summary>
    /// <example><code>Random.multinomial 2 true (tensor [ 0.; 1. ]) (Random.key 7L) // tensor([1, 1])</code></example>
    let multinomial (count: int) (replacement: bool) (weights: Tensor) (key: Tensor) : Tensor =
        if weights.Rank = 0 then Shape.fail "Random.multinomial" "weights must have an axis of classes" "" [ weights ]
        let classes = weights.Shape[weights.Rank - 1]
        let batch = weights.Shape[.. weights.Rank - 2]
        let logits = log (inFloat weights)
        if replacement then
            categorical (unsqueeze -2 logits) key (Array.append batch [| count |])
        elif count > classes then
            Shape.fail
                "Random.multinomial"
                $"at most {classes} different classes can be drawn, not {count}"
                "draw with replacement?"
                [ weights ]
        else
            snd (topK count -1 true (logits + gumbel key weights.Shape))

    /// <summary>The numbers 0, ..., n - 1 in random order: i64 `[n]`.</summary>
    /// <example><code>fst (sort 0 false (Random.permutation 4 (Random.key 7L)))
    /// // tensor([0, 1, 2, 3])</code></example>
    let permutation (n: int) (key: Tensor) : Tensor =
        let words = Op.cast DType.I64 (Op.randomBits key [| 2; n |])
        let shift = Op.constant (Constant.ofInt DType.I64 32L)
        argSort 0 false (Op.binary Binary.Or (Op.binary Binary.Shl (row 0 words) shift) (row 1 words))

    /// <summary>The slices along an axis in random order.</summary>
    /// <example><code>sum (Random.shuffle 0 (Random.key 7L) (tensor [ 1.; 2.; 3. ])) // tensor(6.)</code></example>
    let shuffle (axis: int) (key: Tensor) (x: Tensor) : Tensor =
        let axis = Shape.axis "Random.shuffle" x axis
        take axis (permutation x.Shape[axis] key) x

    /// <summary>`count` slices of x along axis 0, equally likely; without replacement each at most once.</summary>
    /// <example><code>(Random.choice 2 false (Random.key 7L) (tensor [ 1.; 2.; 3. ])).Shape // [2]</code></example>
    let choice (count: int) (replacement: bool) (key: Tensor) (x: Tensor) : Tensor =
        if x.Rank = 0 then Shape.fail "Random.choice" "the operand must have at least one axis" "" [ x ]
        let n = x.Shape[0]
        if count < 0 || (n = 0 && count > 0) || (not replacement && count > n) then
            Shape.fail "Random.choice" $"{count} slices cannot be drawn" "draw with replacement?" [ x ]
        let picks = if replacement && n > 0 then integers 0 n key [| count |] else part 0 0 count 1 (permutation n key)
        take 0 picks x
