/// What networks are made of.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.NetworkLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Cases

[<Law 30>]
let ``softmax does not see a shift`` (c: Axes) =
    let shift = c.FloatOf(2, c.Shape |> Array.mapi (fun i e -> if i = c.Axis then 1 else e))
    close (softmax c.Axis (c.Float 1 + shift * 50.0)) (softmax c.Axis (c.Float 1))

[<Law 30>]
let ``softmax rows sum to one, and none is negative`` (c: Axes) =
    let p = softmax c.Axis (c.Float 1 * 100.0)
    close (sumOver [ c.Axis ] p) (full DType.F64 (Array.removeAt c.Axis c.Shape) 1.0)
    equal (ge p (zerosLike p)) (full DType.Bool c.Shape 1.0)

[<Law 30>]
let ``logSoftmax is the logarithm of softmax, also far apart`` (c: Axes) =
    close (logSoftmax c.Axis (c.Float 1)) (log (softmax c.Axis (c.Float 1)))
    let far = logSoftmax c.Axis (c.Float 1 * 1e5)
    equal (eq far far) (full DType.Bool c.Shape 1.0) // no NaN

[<Law 30>]
let ``the gradients of a softmax row sum to zero`` (c: Axes) =
    let x = c.Float 1
    let g = (Grad.gradient (sum (softmax c.Axis x * c.Float 2)) [| x |])[0]
    close (sumOver [ c.Axis ] g) (full DType.F64 (Array.removeAt c.Axis c.Shape) 0.0)

let private attend (q: Tensor) (k: Tensor) (v: Tensor) =
    let scores = matmul q (transpose k)
    let n = q.Shape[q.Rank - 2]
    matmul (softmax -1 (where (causalMask n) scores (Op.constant (Constant.ofFloat DType.F64 -infinity)))) v

[<Law 30>]
let ``causal attention: the future does not change the past`` (c: Axes) =
    let n, past = c.Shape[0] + 1, 1 + c.Random(9).Next c.Shape[0]
    let shape = [| n; 8 |]
    let changed k = concat 0 [ slice 0 0 past (c.FloatOf(k, shape)); c.FloatOf(k + 50, [| n - past; 8 |]) ]
    let a = attend (c.FloatOf(1, shape)) (c.FloatOf(2, shape)) (c.FloatOf(3, shape))
    let b = attend (changed 1) (changed 2) (changed 3)
    close (slice 0 0 past a) (slice 0 0 past b)

[<Law 30>]
let ``causal attention: the first row is its own value`` (c: Axes) =
    let shape = [| c.Shape[0]; 8 |]
    let v = c.FloatOf(3, shape)
    close (slice 0 0 1 (attend (c.FloatOf(1, shape)) (c.FloatOf(2, shape)) v)) (slice 0 0 1 v)

[<Law 30>]
let ``a normalised row has mean 0 and variance 1`` (c: Axes) =
    let x = concat -1 [ c.Float 1; c.Float 1 + 1.0 ]
    let n = (x - meanKeep [ -1 ] x) * rsqrt (varianceKeep [ -1 ] x)
    close (meanOver [ -1 ] n) (full DType.F64 c.Shape[.. c.Rank - 2] 0.0)
    close (meanOver [ -1 ] (square n)) (full DType.F64 c.Shape[.. c.Rank - 2] 1.0)

[<Law 30>]
let ``activations: symmetries`` (c: Case) =
    let x = c.Float 1 * 5.0
    close (sigmoid x + sigmoid (-x)) (full DType.F64 c.Shape 1.0)
    close (gelu x - gelu (-x)) x
    close (silu x - silu (-x)) x
    close (softplus x - softplus (-x)) x
    equal (relu x - relu (-x) + (zerosLike x)) (x + zerosLike x)

[<Law 30>]
let ``jit does not change a function`` (c: Axes) =
    let f (x: Tensor, y: Tensor) = softmax c.Axis (x * y) + tanh y, sum x
    let a, b = jit f (c.Float 1, c.Float 2)
    let a2, b2 = f (c.Float 1, c.Float 2)
    close a a2
    close b b2

[<Law 30>]
let ``variance is the mean of squares without the square of the mean`` (c: Axes) =
    let x = c.Float 1
    close (varianceKeep [ c.Axis ] x) (meanKeep [ c.Axis ] (x * x) - square (meanKeep [ c.Axis ] x))

[<Test>]
let ``a causal mask is a lower triangle`` () =
    equal (cast DType.I64 (causalMask 3)) (i64 [| 3; 3 |] [ 1L; 0L; 0L; 1L; 1L; 0L; 1L; 1L; 1L ])
