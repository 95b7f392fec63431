/// Derivatives: linear, by the chain rule, of every order; loops, checkpoints and functions with gradients of their own.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.CalculusLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

let private ones (x: Tensor) = full x.DType x.Shape 1.0

// ------------------------------------------------------------------------------------------------ rules

[<Law("Calculus", "(f + g)' = f' + g'", "the derivative of a sum is the sum of derivatives")>]
let ``the sum rule`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    closeTo 1e-9 (pullback (fun x -> c.F x + c.G x) x v) (pullback c.F x v + pullback c.G x v)

[<Law("Calculus", "(a f)' = a f'", "constant factors pass through")>]
let ``the factor rule`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    closeTo 1e-9 (pullback (fun x -> c.F x * 3.0) x v) (pullback c.F x v * 3.0)

[<Law("Calculus", "(f g)'ᵀ v = f'ᵀ (g v) + g'ᵀ (f v)", "the product rule (Leibniz), for any two functions")>]
let ``the product rule`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    let y, z = c.F x, c.G x
    closeTo 1e-9 (pullback (fun x -> c.F x * c.G x) x v) (pullback c.F x (z * v) + pullback c.G x (y * v))

[<Law("Calculus", "(f ∘ g)'ᵀ v = g'ᵀ (f'ᵀ v)", "the chain rule, for any two functions: what back-propagation is")>]
let ``the chain rule`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    let y = eval (c.G x)
    closeTo 1e-9 (pullback (c.G >> c.F) x v) (pullback c.G x (pullback c.F y v))

[<Law("Calculus", "(f / g)' = (f' g - f g') / g²", "the quotient rule")>]
let ``the quotient rule`` (c: Case) =
    let x = c.Positive 1
    let f, g = (fun (x: Tensor) -> sin x), (fun (x: Tensor) -> x * x + 1.0)
    close (derivative (fun x -> f x / g x) x) ((derivative f x * g x - f x * derivative g x) / square (g x))

[<Law("Calculus", "(f⁻¹)'(f x) f'(x) = 1", "the derivative of an inverse: log after exp, √ after square, tan after atan")>]
let ``the derivative of an inverse`` (c: Case) =
    let x = c.Positive 1
    for f, inverse in [ exp, log; square, sqrt; atan, (fun y -> sin y / cos y); expm1, log1p ] do
        let f: Tensor -> Tensor = f
        close (derivative inverse (eval (f x)) * derivative f x) (ones x)

[<Law("Calculus", "f'ᵀ (a v + w) = a f'ᵀ v + f'ᵀ w", "the vector-Jacobian product is linear in the vector")>]
let ``the vector-Jacobian product is linear in the vector`` (c: Functions) =
    let x = c.Float 1
    let pull = pullback c.F x
    closeTo 1e-9 (pull (c.Float 2 * 2.0 + c.Float 3)) (pull (c.Float 2) * 2.0 + pull (c.Float 3))

[<Law("Calculus", "A linear ⇒ ∇⟨v, A x⟩ does not depend on x", "the gradient of a linear function is constant")>]
let ``the gradient of a linear function is constant`` (c: Axes) =
    let linear (x: Tensor) = cumSum c.Axis (x * 3.0) + meanKeep [ c.Axis ] x
    equal (pullback linear (c.Float 1) (c.Float 3)) (pullback linear (c.Float 2) (c.Float 3))

[<Law("Calculus", "f(t x) = tᵏ f(x) ⇒ ⟨∇f(x), x⟩ = k f(x)", "Euler's theorem on homogeneous functions")>]
let ``Euler's theorem`` (c: Axes) =
    let x = c.Positive 1
    let cubic (x: Tensor) = sum (x * square (sumKeep [ c.Axis ] x))
    let first (x: Tensor) = sum (sqrt (sumKeep [ c.Axis ] (x * x)) + amaxKeep [ c.Axis ] x)
    closeTo 1e-11 (inner (grad cubic x) x) (cubic x * 3.0)
    closeTo 1e-11 (inner (grad first x) x) (first x)

[<Law("Calculus", "∇ₓ f(x, y) at y = c  is  ∇ f(·, c)", "other arguments are constants")>]
let ``partial derivatives`` (c: Case) =
    let x, y = c.Float 1, c.Float 2
    let dx, dy = grad (fun (x, y) -> sum (sin (x * y))) (x, y)
    close dx (cos (x * y) * y)
    close dy (cos (x * y) * x)

[<Law("Calculus", "f(x, x)' = ∂₁f + ∂₂f", "a variable used twice gets the sum")>]
let ``a variable used twice gets the sum`` (c: Case) =
    let x = c.Float 1
    let f (a: Tensor) (b: Tensor) = sum (a * sin b)
    close (grad (fun x -> f x x) x) (grad (fun a -> f a x) x + grad (fun b -> f x b) x)

[<Law("Calculus", "∂²f/∂x∂y = ∂²f/∂y∂x", "mixed derivatives commute: Hessians are symmetric")>]
let ``mixed derivatives commute`` (c: Functions) =
    let x, y = c.Float 1, c.Float 2
    let z = sum (c.F x * sin (c.G y) + sin (x * y))
    let dx, dy = (Grad.gradient z [| x |])[0], (Grad.gradient z [| y |])[0]
    let u, v = c.Float 3, c.Float 4
    closeTo 1e-9 (inner (Grad.gradient (inner dx u) [| y |]).[0] v) (inner (Grad.gradient (inner dy v) [| x |]).[0] u)

[<Law("Calculus", "⟨H u, v⟩ = ⟨u, H v⟩", "the Hessian of any function is symmetric, seen through two vectors")>]
let ``Hessians are symmetric`` (c: Functions) =
    let x, u, v = c.Float 1, c.Float 2, c.Float 3
    let gradient x = grad (fun x -> sum (sin (c.F x) * c.Float 4)) x
    let times w = grad (fun x -> inner (gradient x) w) x
    closeTo 1e-8 (inner (times u) v) (inner u (times v))

[<Law("Calculus", "sin'' = -sin,  exp' = exp,  tanh' = 1 - tanh²", "derivatives of derivatives are derivatives")>]
let ``known derivatives`` (c: Case) =
    let x = c.Float 1
    close (derivative (derivative sin) x) (-(sin x))
    close (derivative (derivative (derivative exp)) x) (exp x)
    close (derivative tanh x) (1.0 - square (tanh x))

[<Law("Calculus", "tanh⁽⁵⁾ = 16 - 136 t² + 240 t⁴ - 120 t⁶,  t = tanh x", "the fifth derivative is exact to rounding")>]
let ``the fifth derivative of tanh`` (c: Case) =
    let x = c.Float 1
    let t2 = square (tanh x)
    close
        ((derivative >> derivative >> derivative >> derivative >> derivative) tanh x)
        (16.0 - t2 * 136.0 + square t2 * 240.0 - t2 * t2 * t2 * 120.0)

[<Law("Calculus", "max' goes to the winner; Σ max'(x) = 1", "the gradient of a maximum is shared out, never lost")>]
let ``the gradient of a maximum is shared out`` (c: Axes) =
    let x = cast DType.F64 (c.Int 1) |> eval // with ties
    let g = derivative (amax [ c.Axis ]) x
    close (sumOver [ c.Axis ] g) (full DType.F64 (Array.removeAt c.Axis c.Shape) 1.0)
    holds (Op.binary Binary.Or (eq g (zerosLike g)) (eq x (amaxKeep [ c.Axis ] x)))

[<Law("Calculus", "max(x, y)' : ∂₁ + ∂₂ = 1", "equal operands share the gradient evenly")>]
let ``equal operands of max share the gradient`` (c: Case) =
    let x, y = eval (cast DType.F64 (c.Int 1)), eval (cast DType.F64 (c.Int 2))
    let dx, dy = grad (fun (x, y) -> sum (maximum x y)) (x, y)
    equal (dx + dy) (ones x)

[<Law("Calculus", "∇ Π x = Π x / x where x ≠ 0", "the gradient of a product; with zeros it is exact, too")>]
let ``the gradient of a product`` (c: Axes) =
    let x = c.Positive 1
    let p = Op.reduce Reduction.Prod [ c.Axis ]
    let kept = Op.reshape (c.With 1) (p x)
    closeTo 1e-11 (derivative p x) (kept / x)

// ------------------------------------------------------------------------------------------------ structure

[<Law("Structure", "∇ stop(f(x)) = 0,  stop(x) = x", "a stopped gradient is a constant with the same value")>]
let ``a stopped gradient is a constant`` (c: Functions) =
    let x = c.Float 1
    closeTo 1e-9 (Grad.stopGradient (c.F x)) (c.F x)
    equal (pullback (c.F >> Grad.stopGradient) x (c.Float 2)) (full DType.F64 c.Shape 0.0)

[<Law("Structure", "(stop(f) g)' = f g'", "only the other factor is differentiated")>]
let ``a stopped factor is a constant factor`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    closeTo 1e-9 (pullback (fun x -> Grad.stopGradient (c.F x) * c.G x) x v) (pullback c.G x (c.F x * v))

let private checkpointed (f: Tensor -> Tensor) (x: Tensor) =
    let lambda, captured = Lambda.trace [| x.DType, x.Shape |] (fun p -> [| f p[0] |])
    (Op.checkpoint lambda (Array.append captured [| x |]))[0]

[<Law("Structure", "checkpoint(f) = f", "a checkpoint changes no value")>]
let ``checkpoints change no value`` (c: Functions) =
    let x = c.Float 1
    closeTo 1e-9 (checkpointed c.F x * x) (c.F x * x)

[<Law("Structure", "checkpoint(f)' = f',  checkpoint(f)'' = f''", "a checkpoint changes no gradient, of either order")>]
let ``checkpoints change no gradient`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    let first f = pullback (fun x -> f x * x) x v
    closeTo 1e-9 (first (checkpointed c.F)) (first c.F)
    let second f = grad (fun x -> inner (grad (fun x -> sum (sin (f x))) x) v) x
    closeTo 1e-8 (second (checkpointed c.F)) (second c.F)

[<Law("Structure", "checkpoint(checkpoint(f)) = f", "checkpoints nest")>]
let ``checkpoints nest`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    closeTo 1e-9 (pullback (checkpointed (checkpointed c.F >> c.G)) x v) (pullback (c.F >> c.G) x v)

[<Law("Structure", "custom(f, f') = f with gradient f'", "a function may bring its own gradient, and it is used")>]
let ``a custom gradient is used`` (c: Case) =
    let x, v = c.Float 1, c.Float 2
    let one = DType.F64, c.Shape
    let p i = Op.parameter i DType.F64 c.Shape
    let straight = // rounds, but passes the gradient as if it did not: the straight-through estimator
        { Name = "straightThrough"
          Body = Lambda.make [| one |] [| round (p 0) |]
          Gradient = Some(Lambda.make [| one; one |] [| p 1 |]) }
    let f x = (Op.custom straight [| x |])[0]
    equal (f (x * 5.0)) (round (x * 5.0))
    equal (pullback f x v) v

[<Law("Structure", "custom(f) without gradient = f", "without a gradient of its own, a function is its body")>]
let ``a custom function without gradient is its body`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    let lambda, captured = Lambda.trace [| DType.F64, c.Shape |] (fun p -> [| c.F p[0] |])
    let f x = (Op.custom { Name = "f"; Body = lambda; Gradient = None } (Array.append captured [| x |]))[0]
    closeTo 1e-9 (f x) (c.F x)
    closeTo 1e-9 (pullback f x v) (pullback c.F x v)

[<Law("Structure", "jit(f) = f", "compiling changes no function of trees")>]
let ``jit does not change a function`` (c: Axes) =
    let f (x: Tensor, y: Tensor) = softmax c.Axis (x * y) + tanh y, sum x
    let a, b = jit f (c.Float 1, c.Float 2)
    let a2, b2 = f (c.Float 1, c.Float 2)
    close a a2
    close b b2

[<Law("Structure", "jit(∇f) = ∇(jit f) = ∇f", "compiling and differentiating commute")>]
let ``jit and grad commute`` (c: Functions) =
    let x = c.Float 1
    let f x = sum (sin (c.F x) * c.Float 2)
    closeTo 1e-9 (jit (grad f) x) (grad f x)
    closeTo 1e-9 (grad (jit f) x) (grad f x)

// ------------------------------------------------------------------------------------------------ loops

/// A nonlinear recurrence with a matrix from outside: h' = tanh(h W / 2 + x), y = h' x.
let private step (w: Tensor) (h: Tensor) (x: Tensor) =
    let h = tanh (matmul h w * 0.5 + x)
    h, h * x + 0.5 * x

let private scan (l: Loops) (reverse: bool) (w: Tensor) (start: Tensor) (xs: Tensor) =
    let vector = DType.F64, [| l.Width |]
    let body, captured = Lambda.trace [| vector; vector |] (fun p -> let h, y = step w p[0] p[1] in [| h; y |])
    let s =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = xs.Shape[0]
          Reverse = reverse }
    let r = Op.scan s (Array.append captured [| start; xs |])
    r[0], r[1]

let private unrolled (l: Loops) (w: Tensor) (start: Tensor) (xs: Tensor) =
    let mutable h = start
    let ys =
        [ for i in 0 .. xs.Shape[0] - 1 do
              let next, y = step w h (xs |> slice 0 i (i + 1) |> squeeze 0)
              h <- next
              unsqueeze 0 y ]
    h, (if ys.IsEmpty then full DType.F64 [| 0; l.Width |] 0.0 else concat 0 ys)

let private joined (h: Tensor, ys: Tensor) = concat 0 [ h; reshape [| -1 |] ys ]

[<Law("Loops", "scan(f, h₀, x) = f(.. f(f(h₀, x₀), x₁) .., xₙ₋₁)", "a loop is its steps written out")>]
let ``a loop is its steps written out`` (l: Loops) =
    close (joined (scan l false l.Matrix l.Start l.Xs)) (joined (unrolled l l.Matrix l.Start l.Xs))

[<Law("Loops", "scan' = (unrolled)'", "the gradient of a loop is that of its steps: carries, inputs and captured values")>]
let ``the gradient of a loop is that of its steps`` (l: Loops) =
    let f run (w, start, xs) = sum (sin (joined (run w start xs)))
    let a, b, d = grad (f (scan l false)) (l.Matrix, l.Start, l.Xs)
    let a2, b2, d2 = grad (f (unrolled l)) (l.Matrix, l.Start, l.Xs)
    closeTo 1e-11 a a2
    closeTo 1e-11 b b2
    closeTo 1e-11 d d2

[<Law("Loops", "scan'' = (unrolled)''", "second derivatives of loops")>]
let ``the second derivative of a loop`` (l: Loops) =
    let f run w = sum (sin (joined (run w l.Start l.Xs)))
    let second run = grad (fun w -> sum (square (grad (f run) w))) l.Matrix
    closeTo 1e-9 (second (scan l false)) (second (unrolled l))

[<Law("Loops",
      "scan(f, h₀, x ++ y) = let h, a = scan(f, h₀, x) in a ++ scan(f, h, y)",
      "a loop may be interrupted and continued: streaming, truncated back-propagation")>]
let ``a loop may be interrupted and continued`` (l: Loops) =
    let n = l.Length
    let k = n / 2
    let h, first = scan l false l.Matrix l.Start (slice 0 0 k l.Xs)
    let h, second = scan l false l.Matrix h (slice 0 k n l.Xs)
    close (joined (scan l false l.Matrix l.Start l.Xs)) (joined (h, concat 0 [ first; second ]))

[<Law("Loops",
      "scan_rev(f, h₀, x) = rev(scan(f, h₀, rev x))",
      "a loop in reverse reads from the last slice; rows stay where they belong")>]
let ``a loop in reverse`` (l: Loops) =
    let h, ys = scan l false l.Matrix l.Start (Op.reverse [ 0 ] l.Xs)
    close (joined (scan l true l.Matrix l.Start l.Xs)) (joined (h, Op.reverse [ 0 ] ys))

[<Law("Loops", "scan_rev' = (scan ∘ rev)'", "gradients of loops in reverse")>]
let ``the gradient of a loop in reverse`` (l: Loops) =
    let f xs = sum (sin (joined (scan l true l.Matrix l.Start xs)))
    let g xs =
        let h, ys = scan l false l.Matrix l.Start (Op.reverse [ 0 ] xs)
        sum (sin (joined (h, Op.reverse [ 0 ] ys)))
    closeTo 1e-11 (grad f l.Xs) (grad g l.Xs)

[<Law("Loops", "scan(+, 0, x) = cumsum(x)", "a loop of additions is a running sum, in value and gradient")>]
let ``a loop of additions is a running sum`` (c: Axes) =
    let x, slice = c.Float 1, c.Shape[1..]
    let body, captured =
        Lambda.trace [| DType.F64, slice; DType.F64, slice |] (fun p -> let s = p[0] + p[1] in [| s; s |])
    let s =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = c.Shape[0]
          Reverse = false }
    let loop (x: Tensor) = (Op.scan s (Array.concat [ captured; [| full DType.F64 slice 0.0; x |] ]))[1]
    close (loop x) (cumSum 0 x)
    close (derivative (fun x -> sin (loop x)) x) (derivative (fun x -> sin (cumSum 0 x)) x)

[<Law("Loops", "scan without carries = map", "a loop that carries nothing maps over slices")>]
let ``a loop that carries nothing maps`` (l: Loops) =
    let body, captured = Lambda.trace [| DType.F64, [| l.Width |] |] (fun p -> [| sin p[0] * sum p[0] |])
    let s =
        { Body = body
          Captured = captured.Length
          Carried = 0
          Length = l.Length
          Reverse = false }
    let mapped = (Op.scan s (Array.append captured [| l.Xs |]))[0]
    close mapped (sin l.Xs * sumKeep [ 1 ] l.Xs)

[<Law("Loops",
      "∇ of a loop in a loop = ∇ of both written out",
      "nested loops that read outer values, to the second order")>]
let ``nested loops`` (l: Loops) =
    let inner (w: Tensor) (h: Tensor) = fst (scan l false w h (slice 0 0 (min 2 l.Length) l.Xs))
    let vector = DType.F64, [| l.Width |]
    let looped w =
        let body, captured = Lambda.trace [| vector; vector |] (fun p -> [| inner w (p[0] * p[1]) + p[0] |])
        let s =
            { Body = body
              Captured = captured.Length
              Carried = 1
              Length = min 3 l.Length
              Reverse = false }
        (Op.scan s (Array.append captured [| l.Start; slice 0 0 (min 3 l.Length) l.Xs |]))[0]
    let written w =
        let mutable h = l.Start
        for i in 0 .. min 3 l.Length - 1 do
            let x = l.Xs |> slice 0 i (i + 1) |> squeeze 0
            h <- fst (unrolled l w (h * x) (slice 0 0 (min 2 l.Length) l.Xs)) + h
        h
    close (looped l.Matrix) (written l.Matrix)
    let gradient f = grad (fun w -> sum (sin (f w)))
    closeTo 1e-11 (gradient looped l.Matrix) (gradient written l.Matrix)
    let second f = grad (fun w -> sum (square (gradient f w)))
    closeTo 1e-9 (second looped l.Matrix) (second written l.Matrix)

[<Test>]
let ``the derivative of a constant is zero`` () =
    equal (derivative (fun _ -> f64 [| 2 |] [ 1.0; 2.0 ]) (f64 [| 3 |] [ 1.0; 2.0; 3.0 ])) (full DType.F64 [| 3 |] 0.0)
