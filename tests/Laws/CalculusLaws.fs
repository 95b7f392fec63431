/// Derivatives are linear, follow the chain rule, and are adjoint to what they transpose.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.CalculusLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Cases

let private derivative (f: Tensor -> Tensor) (x: Tensor) = (Grad.gradient (sum (f x)) [| x |])[0]

/// The inner products of A x with y and of x with A' y agree for a linear A and its transpose A', the vector-Jacobian product.
let private adjoint (linear: Tensor -> Tensor) (x: Tensor) (seed: int) =
    let image = linear x
    let y = noise DType.F64 seed image.Shape
    close (inner image y) (inner x (Grad.vjp [| image |] [| y |] [| x |]).[0])

[<Law 30>]
let ``adjoint: permutations and reshapes`` (c: Axes) =
    adjoint (permute (c.Permutation(2, c.Rank))) (c.Float 1) c.Seed
    adjoint (reshape [| -1 |]) (c.Float 1) c.Seed

[<Law 30>]
let ``adjoint: slices and padding`` (c: Axes) =
    let n = c.Shape[c.Axis]
    let one = Array.create c.Rank 1
    adjoint (slice c.Axis (n / 3) n) (c.Float 1) c.Seed
    adjoint (Op.slice (Array.create c.Rank 0) c.Shape (Array.create c.Rank 2)) (c.Float 1) c.Seed
    adjoint (Op.pad one one one (Op.constant (Constant.ofFloat DType.F64 0.0))) (c.Float 1) c.Seed

[<Law 30>]
let ``adjoint: broadcasting and sums`` (c: Axes) =
    adjoint (broadcastTo (Array.append [| 3 |] c.Shape)) (c.Float 1) c.Seed
    adjoint (sumOver [ c.Axis ]) (c.Float 1) c.Seed

[<Law 30>]
let ``adjoint: reversal, concatenation, running sums`` (c: Axes) =
    adjoint (Op.reverse [ c.Axis ]) (c.Float 1) c.Seed
    adjoint (fun x -> concat c.Axis [ x; c.Float 2 * 0.0; x * 2.0 ]) (c.Float 1) c.Seed
    adjoint (cumSum c.Axis) (c.Float 1) c.Seed

[<Law 30>]
let ``adjoint: windows`` (c: Axes) =
    let n = c.Shape[c.Axis]
    let w = { Axis = c.Axis; Size = 1 + c.Random(5).Next(min 3 n); Step = 2; Dilation = 1 }
    adjoint (Op.unfold w) (c.Float 1) c.Seed
    adjoint (Op.fold w n) (c.FloatOf(1, (Op.unfold w (c.Float 1)).Shape)) c.Seed

[<Law 30>]
let ``adjoint: lookups`` (c: Axes) =
    let i = c.Below(2, c.Shape[c.Axis], [| 5 |])
    adjoint (take c.Axis i) (c.Float 1) c.Seed
    adjoint (Op.scatterAdd c.Axis 0 (zerosLike (c.Float 1)) i) (c.FloatOf(3, (take c.Axis i (c.Float 1)).Shape)) c.Seed

[<Law 30>]
let ``adjoint: products`` (m: Matrices) =
    let real (t: Tensor) = cast DType.F64 t
    adjoint (fun x -> matmul x (real m.B)) (eval (real m.A)) 5
    adjoint (fun x -> matmul (real m.A) x) (eval (real m.B)) 6

[<Law 30>]
let ``adjoint: convolutions in both arguments`` (c: Axes) =
    let x, w = c.FloatOf(1, [| 2; 4; c.Shape[0] + 3 |]), c.FloatOf(2, [| 6; 2; 3 |])
    let options =
        { Strides = [| 1 + c.Random(3).Next 2 |]
          PadLow = [| c.Random(4).Next 3 |]
          PadHigh = [| c.Random(5).Next 3 |]
          LeftDilation = [| 1 + c.Random(6).Next 2 |]
          RightDilation = [| 1 |]
          Groups = 2 }
    adjoint (fun x -> Op.conv options x w) x c.Seed
    adjoint (fun w -> Op.conv options x w) w c.Seed

[<Law 30>]
let ``the derivative of a sum is the sum of derivatives`` (c: Case) =
    let f (x: Tensor) = sin x * 3.0
    let g (x: Tensor) = exp x
    close (derivative (fun x -> f x + g x) (c.Float 1)) (derivative f (c.Float 1) + derivative g (c.Float 1))

[<Law 30>]
let ``the product rule`` (c: Case) =
    let x = c.Float 1
    close (derivative (fun x -> sin x * exp x) x) (cos x * exp x + sin x * exp x)

[<Law 30>]
let ``the chain rule`` (c: Case) =
    let x = c.Float 1
    let f, g = (fun (x: Tensor) -> tanh x), (fun (x: Tensor) -> x * x + 0.5)
    close (derivative (g >> f) x) (derivative f (g x) * derivative g x)

[<Law 30>]
let ``the vector-Jacobian product is linear in the vector`` (c: Case) =
    let x = c.Float 1
    let y = sin x * x
    let pull v = (Grad.vjp [| y |] [| v |] [| x |])[0]
    close (pull (c.Float 2 * 2.0 + c.Float 3)) (pull (c.Float 2) * 2.0 + pull (c.Float 3))

[<Law 30>]
let ``the second derivative of a sine is its opposite`` (c: Case) =
    close (derivative (derivative sin) (c.Float 1)) (-(sin (c.Float 1)))

[<Law 30>]
let ``mixed derivatives commute`` (c: Case) =
    let x, y = c.Float 1, c.Float 2
    let z = sum (sin (x * y) + x * x * y)
    let dx, dy = (Grad.gradient z [| x |])[0], (Grad.gradient z [| y |])[0]
    close (Grad.gradient (sum dx) [| y |]).[0] (Grad.gradient (sum dy) [| x |]).[0]

[<Law 30>]
let ``checkpoints change neither values nor gradients`` (c: Axes) =
    let x = c.Float 1
    let f (x: Tensor) = softmax -1 (sin x * x)
    let lambda, captured = Lambda.trace [| x.DType, x.Shape |] (fun p -> [| f p[0] |])
    let g (x: Tensor) = (Op.checkpoint lambda (Array.append captured [| x |]))[0] * x
    close (g x) (f x * x)
    close (derivative g x) (derivative (fun x -> f x * x) x)

[<Law 30>]
let ``a loop of additions is a running sum, in value and gradient`` (c: Axes) =
    let x = c.Float 1
    let slice = c.Shape[1..]
    let body, captured =
        Lambda.trace [| DType.F64, slice; DType.F64, slice |] (fun p -> let s = p[0] + p[1] in [| s; s |])
    let scan =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = c.Shape[0]
          Reverse = false }
    let loop (x: Tensor) = (Op.scan scan (Array.concat [ captured; [| full DType.F64 slice 0.0; x |] ]))[1]
    close (loop x) (cumSum 0 x)
    close (derivative (fun x -> sin (loop x)) x) (derivative (fun x -> sin (cumSum 0 x)) x)

[<Test>]
let ``the derivative of a constant is zero`` () =
    equal (derivative (fun _ -> f64 [| 2 |] [ 1.0; 2.0 ]) (f64 [| 3 |] [ 1.0; 2.0; 3.0 ])) (full DType.F64 [| 3 |] 0.0)
