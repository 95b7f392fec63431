/// What networks are made of.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.NetworkLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

// ------------------------------------------------------------------------------------------------ softmax

[<Law("Softmax", "softmax(x + s) = softmax(x)", "softmax does not see a shift: that is why it never overflows")>]
let ``softmax does not see a shift`` (c: Axes) =
    let shift = c.FloatOf(2, c.With 1)
    close (softmax c.Axis (c.Float 1 + shift * 50.0)) (softmax c.Axis (c.Float 1))

[<Law("Softmax", "Σ softmax(x) = 1", "rows are probabilities: they sum to one, also for logits far apart")>]
let ``softmax rows sum to one`` (c: Axes) =
    close (sumOver [ c.Axis ] (softmax c.Axis (c.Float 1 * 100.0))) (full DType.F64 (Array.removeAt c.Axis c.Shape) 1.0)

[<Law("Softmax", "0 ≤ softmax(x) ≤ 1", "no probability is negative or beyond one")>]
let ``softmax lies between zero and one`` (c: Axes) =
    let p = softmax c.Axis (c.Float 1 * 1e4)
    holds (ge p (zerosLike p))
    holds (le p (full DType.F64 c.Shape 1.0))

[<Law("Softmax",
      "xᵢ < xⱼ ⇒ softmax(x)ᵢ ≤ softmax(x)ⱼ",
      "softmax keeps the order: the most probable class is the largest logit")>]
let ``softmax keeps the order`` (c: Axes) =
    let x = c.Float 1
    equal (argMax c.Axis (softmax c.Axis x)) (argMax c.Axis x)

[<Law("Softmax", "softmax(p(x)) = p(softmax(x))", "softmax is permutation equivariant")>]
let ``softmax is permutation equivariant`` (c: Axes) =
    let i = i64 [| c.Extent |] (c.Permutation(3, c.Extent) |> Seq.map int64)
    close (softmax c.Axis (take c.Axis i (c.Float 1))) (take c.Axis i (softmax c.Axis (c.Float 1)))

[<Law("Softmax", "log softmax(x) = logSoftmax(x)", "the logarithm of softmax, and no NaN where logits are far apart")>]
let ``logSoftmax is the logarithm of softmax, also far apart`` (c: Axes) =
    close (logSoftmax c.Axis (c.Float 1)) (log (softmax c.Axis (c.Float 1)))
    let far = logSoftmax c.Axis (c.Float 1 * 1e5)
    holds (eq far far) // no NaN

[<Law("Softmax", "max x ≤ logSumExp(x) ≤ max x + log n", "logSumExp is a smooth maximum")>]
let ``logSumExp is a smooth maximum`` (c: Axes) =
    let x = c.Float 1 * 30.0
    let l, top = logSumExpKeep c.Axis x, amaxKeep [ c.Axis ] x
    holds (le (top - 1e-12) l)
    holds (le l (top + (System.Math.Log(float c.Extent) + 1e-12)))

[<Law("Softmax", "logSumExp(x + s) = logSumExp(x) + s", "shifts pass through")>]
let ``logSumExp of a shifted tensor`` (c: Axes) =
    let s = c.FloatOf(2, c.With 1)
    close (logSumExpKeep c.Axis (c.Float 1 + s)) (logSumExpKeep c.Axis (c.Float 1) + s)

[<Law("Softmax", "∇ logSumExp(x) = softmax(x)", "softmax is the gradient of the smooth maximum")>]
let ``the gradient of logSumExp is softmax`` (c: Axes) =
    close (derivative (logSumExpKeep c.Axis) (c.Float 1)) (softmax c.Axis (c.Float 1))

[<Law("Softmax", "Σ ∇ₓ f(softmax(x)) = 0", "gradients through softmax sum to zero in each row")>]
let ``the gradients of a softmax row sum to zero`` (c: Axes) =
    let g = pullback (softmax c.Axis) (c.Float 1) (c.Float 2)
    close (sumOver [ c.Axis ] g) (full DType.F64 (Array.removeAt c.Axis c.Shape) 0.0)

[<Law("Softmax", "∇ crossEntropy(x, y) = softmax(x) - y", "the gradient of the usual loss")>]
let ``the gradient of cross-entropy`` (c: Axes) =
    let y = softmax c.Axis (c.Float 2)
    close (derivative (fun x -> -(y * logSoftmax c.Axis x)) (c.Float 1)) (softmax c.Axis (c.Float 1) - y)

// ------------------------------------------------------------------------------------------------ attention

let private negative = Op.constant (Constant.ofFloat DType.F64 -infinity)

let private attention (masked: bool) (q: Tensor) (k: Tensor) (v: Tensor) =
    let scores = matmul q (transpose k)
    let scores = if masked then where (causalMask q.Shape[q.Rank - 2]) scores negative else scores
    matmul (softmax -1 scores) v

let private qkv (c: Axes) =
    let shape = [| c.Extent; 8 |]
    c.FloatOf(1, shape), c.FloatOf(2, shape), c.FloatOf(3, shape)

[<Law("Attention",
      "attention(q, p k, p v) = attention(q, k, v)",
      "attention does not see the order of keys: positions must be told")>]
let ``attention does not see the order of keys`` (c: Axes) =
    let q, k, v = qkv c
    let i = i64 [| c.Extent |] (c.Permutation(9, c.Extent) |> Seq.map int64)
    close (attention false q (take 0 i k) (take 0 i v)) (attention false q k v)

[<Law("Attention", "attention(p q, k, v) = p attention(q, k, v)", "attention is permutation equivariant in its queries")>]
let ``attention is permutation equivariant`` (c: Axes) =
    let q, k, v = qkv c
    let i = i64 [| c.Extent |] (c.Permutation(9, c.Extent) |> Seq.map int64)
    close (attention false (take 0 i q) k v) (take 0 i (attention false q k v))

[<Law("Attention", "min v ≤ attention(q, k, v) ≤ max v", "results are averages of values")>]
let ``attention averages values`` (c: Axes) =
    let q, k, v = qkv c
    let a = attention false (q * 10.0) k v
    holds (le (amin [ 0 ] v - 1e-12) a)
    holds (le a (amax [ 0 ] v + 1e-12))

[<Law("Attention",
      "attention(q, k, v + w) = attention(q, k, v) + attention(q, k, w)",
      "attention is linear in its values")>]
let ``attention is linear in its values`` (c: Axes) =
    let q, k, v = qkv c
    let w = c.FloatOf(4, v.Shape)
    close (attention true q k (v + w)) (attention true q k v + attention true q k w)

[<Law("Attention",
      "x[..t] = y[..t] ⇒ causal(x)[..t] = causal(y)[..t]",
      "the future does not change the past, bit for bit: what decoding token by token relies on")>]
let ``causal attention: the future does not change the past`` (c: Axes) =
    let n, past = c.Extent + 1, 1 + c.Number(9, c.Extent)
    let shape = [| n; 8 |]
    let changed k = concat 0 [ slice 0 0 past (c.FloatOf(k, shape)); c.FloatOf(k + 50, [| n - past; 8 |]) ]
    let a = attention true (c.FloatOf(1, shape)) (c.FloatOf(2, shape)) (c.FloatOf(3, shape))
    let b = attention true (changed 1) (changed 2) (changed 3)
    equal (slice 0 0 past a) (slice 0 0 past b)

[<Law("Attention", "∂ causal(x)[t] / ∂ x[s] = 0 for s > t", "no gradient flows from the past to the future")>]
let ``causal attention: no gradient comes from the past`` (c: Axes) =
    let n = c.Extent + 1
    let t = c.Number(9, n)
    let q, k, v = c.FloatOf(1, [| n; 8 |]), c.FloatOf(2, [| n; 8 |]), c.FloatOf(3, [| n; 8 |])
    let _, dk, dv = grad (fun (q, k, v) -> sum (sin (slice 0 t (t + 1) (attention true q k v)))) (q, k, v)
    let later = slice 0 (t + 1) n
    equal (later dk) (full DType.F64 [| n - t - 1; 8 |] 0.0)
    equal (later dv) (full DType.F64 [| n - t - 1; 8 |] 0.0)

[<Law("Attention", "causal(q, k, v)[0] = v[0]", "the first position sees itself only")>]
let ``causal attention: the first row is its own value`` (c: Axes) =
    let q, k, v = qkv c
    close (slice 0 0 1 (attention true q k v)) (slice 0 0 1 v)

[<Law("Attention", "tril: mask[i, j] = [j ≤ i];  mask · 1 = 1, 2, .., n", "row i of a causal mask sees i + 1 positions")>]
let ``a causal mask is a lower triangle`` (c: Axes) =
    equal (sumOver [ 1 ] (cast DType.I64 (causalMask c.Extent))) (arange DType.I64 c.Extent + 1)

// ------------------------------------------------------------------------------------------------ normalisation

let private normalised (axis: int) (x: Tensor) = (x - meanKeep [ axis ] x) * rsqrt (varianceKeep [ axis ] x)
let private spread (c: Axes) = concat -1 [ c.Float 1; c.Float 1 + 1.0 ] // no constant rows

[<Law("Normalisation", "mean(norm x) = 0,  var(norm x) = 1", "a normalised row is standardised")>]
let ``a normalised row has mean 0 and variance 1`` (c: Axes) =
    let n = normalised -1 (spread c)
    close (meanOver [ -1 ] n) (full DType.F64 c.Shape[.. c.Rank - 2] 0.0)
    close (meanOver [ -1 ] (square n)) (full DType.F64 c.Shape[.. c.Rank - 2] 1.0)

[<Law("Normalisation", "norm(a x + b) = norm(x), a > 0", "layer norm sees neither scale nor shift")>]
let ``layer norm sees neither scale nor shift`` (c: Axes) =
    closeTo 1e-10 (normalised -1 (spread c * 3.0 + 2.0)) (normalised -1 (spread c))

[<Law("Normalisation", "norm(norm(x)) = norm(x)", "normalising twice is normalising once")>]
let ``normalising twice`` (c: Axes) =
    closeTo 1e-10 (normalised -1 (normalised -1 (spread c))) (normalised -1 (spread c))

[<Law("Normalisation", "Σ ∇ₓ f(norm(x)) = 0", "gradients through a norm sum to zero: it does not see a shift")>]
let ``gradients through a norm sum to zero`` (c: Axes) =
    let x = spread c
    let g = pullback (normalised -1) (eval x) (c.FloatOf(5, x.Shape))
    let total = sumOver [ -1 ] g
    closeTo 1e-9 total (full DType.F64 total.Shape 0.0)

// ------------------------------------------------------------------------------------------------ activations

[<Law("Activations", "σ(x) + σ(-x) = 1", "the sigmoid is symmetric about 1/2")>]
let ``the sigmoid is symmetric`` (c: Case) =
    let x = c.Float 1 * 5.0
    close (sigmoid x + sigmoid (-x)) (full DType.F64 c.Shape 1.0)

[<Law("Activations", "σ(x) = eˣ / (eˣ + 1) = softmax(x, 0)₀,  σ' = σ (1 - σ)", "a sigmoid is a softmax of two")>]
let ``a sigmoid is a softmax of two`` (c: Case) =
    let x = c.Float 1 * 5.0
    let two = softmax 0 (stack 0 [ x; zerosLike x ])
    close (two |> slice 0 0 1 |> squeeze 0) (sigmoid x)
    close (derivative sigmoid x) (sigmoid x * (1.0 - sigmoid x))

[<Law("Activations",
      "f(x) - f(-x) = x for relu, gelu, silu, softplus",
      "gates: what a negative argument loses, the positive one has")>]
let ``gated activations are odd up to the identity`` (c: Case) =
    let x = c.Float 1 * 5.0
    for f in [ relu; gelu; silu; softplus; geluTanh ] do
        close (f x - f (-x)) x

[<Law("Activations", "relu(relu(x)) = relu(x),  relu(x) = x [x > 0]", "relu is a projection")>]
let ``relu is a projection`` (c: Case) =
    equal (relu (relu (c.Int 1))) (relu (c.Int 1))
    equal (relu (c.Int 1)) (where (gt (c.Int 1) (fill c 0.0)) (c.Int 1) (fill c 0.0))

[<Law("Activations", "tanh(x) = 2 σ(2x) - 1", "tanh is a stretched sigmoid")>]
let ``tanh is a stretched sigmoid`` (c: Case) = close (tanh (c.Float 1 * 3.0)) (sigmoid (c.Float 1 * 6.0) * 2.0 - 1.0)

[<Law("Activations", "softplus' = σ", "the sigmoid is the derivative of softplus")>]
let ``the derivative of softplus`` (c: Case) =
    let x = eval (c.Float 1 * 4.0)
    close (derivative softplus x) (sigmoid x)

[<Test>]
let ``a causal mask of three`` () =
    equal (cast DType.I64 (causalMask 3)) (i64 [| 3; 3 |] [ 1L; 0L; 0L; 1L; 1L; 0L; 1L; 1L; 1L ])
