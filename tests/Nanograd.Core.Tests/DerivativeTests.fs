/// What users call: derivatives of all kinds, batches, and their nestings, against closed forms and differences.
module Nanograd.Core.Tests.DerivativeTests

open System
open NUnit.Framework
open Nanograd

let private f64s (xs: float list) = f64 [| xs.Length |] xs
let private number x = f64 [||] [ x ]
let private noise64 seed shape = noise DType.F64 seed shape

/// The values, by the interpreter and by compiled programs with and without rewriting, are within `tolerance` of the
/// expected.
let private isNear (tolerance: float) (what: string) (expected: Tensor) (actual: Tensor) =
    Assert.That(Shape.describe actual, Is.EqualTo(Shape.describe expected), what)
    let e, a = interpreted expected, interpreted actual
    assertClose tolerance what e a
    assertSame (what + ", compiled") a (Program.withoutRewriting (fun () -> computed actual))
    assertClose tolerance (what + ", rewritten") e (computed actual)

/// Central differences of fourth order along every element of x: `y.Shape ++ x.Shape`.
let private differences (f: Tensor -> Tensor) (x: Tensor) =
    let at, h = interpreted x |> Array.map (fun c -> c.Float), 1e-3
    let y = f x
    let difference (a: Constant) (b: Constant) = a.Float - b.Float
    let column i =
        let moved s = interpreted (f (f64 x.Shape (Array.mapi (fun k v -> if k = i then v + s * h else v) at)))
        let near, far = Array.map2 difference (moved 1.0) (moved -1.0), Array.map2 difference (moved 2.0) (moved -2.0)
        Array.map2 (fun near far -> (8.0 * near - far) / (12.0 * h)) near far
    let columns = Array.init x.Count column
    f64
        (Array.append y.Shape x.Shape)
        [ for k in 0 .. y.Count - 1 do
              for c in columns -> c[k] ]

let private w2 = f64 [| 3; 2 |] [ 0.3; -1.1; 0.7; 0.2; -0.4; 0.9 ]
let private w3 = f64 [| 3; 3 |] [ 0.3; -1.1; 0.7; 0.2; -0.4; 0.9; -0.6; 0.5; 0.1 ]
let private w25, w35 = noise64 31 [| 2; 5 |], noise64 32 [| 3; 5 |]

/// A function [3] to [2] without symmetries.
let private field2 (x: Tensor) = tanh (matmul x w2) * sum (x * x) + sin (x |> slice 0 0 2)

/// A function [3] to [3].
let private field3 (x: Tensor) = sin (matmul x w3) * x + exp (sumOver [ 0 ] x) * 0.2

let private potential (x: Tensor) = sum (field3 x * noise64 4 [| 3 |])
let private point = f64s [ 0.3; -0.7; 1.1 ]

// ------------------------------------------------------------------------------------------------ orders

/// The fifth derivative of tanh as a polynomial in t = tanh x (each differentiation multiplies by 1 - t²).
let private fifthOfTanh (x: float) =
    let t = Math.Tanh x
    16.0 - 136.0 * t ** 2.0 + 240.0 * t ** 4.0 - 120.0 * t ** 6.0

[<Test>]
let ``the fifth derivative of tanh is exact`` () =
    let points = [ -2.0; -0.4; 0.0; 0.4; 1.3 ]
    let expected = points |> List.map fifthOfTanh |> f64s
    let reverse = tanh |> grad |> grad |> grad |> grad |> grad
    let forward f x = snd (jvp f x (f64 [||] [ 1.0 ]))
    let mixed = tanh |> grad |> forward |> grad |> forward |> grad
    let ways = [ "forward", derivative 5 tanh; "reverse", reverse; "mixed", mixed ]
    for name, f in ways do
        isNear 1e-12 name expected (vmap f (f64s points))
        isNear 1e-12 (name + ", one by one") expected (stack 0 [ for x in points -> f (number x) ])
        isNear 1e-12 (name + ", compiled") expected (jit (vmap f) (f64s points))

[<Test>]
let ``derivative: any order, any shape of the result`` () =
    let x = number 0.8
    isNear 1e-15 "order 0" (exp x) (derivative 0 exp x)
    let curve (t: Tensor) = stack 0 [ cos t; sin t; t * t ]
    isNear 1e-14 "velocity" (stack 0 [ -(sin x); cos x; 2.0 * x ]) (derivative 1 curve x)
    isNear 1e-14 "acceleration" (stack 0 [ -(cos x); -(sin x); number 2.0 ]) (derivative 2 curve x)
    isNear 1e-14 "of a constant" (number 0.0) (derivative 3 (fun _ -> number 5.0) x)
    raises<ShapeException> "derivative: the argument must be a scalar, got f64[1]; use vmap for many" (fun () ->
        derivative 1 exp (f64s [ 1.0 ]) |> ignore)
    raises<ShapeException> "derivative: the order must not be negative, got -1" (fun () ->
        derivative -1 exp x |> ignore)

[<Test>]
let ``nested derivatives do not confuse their perturbations`` () =
    let x = number 3.0
    // d/dx (x * d/dy (x + y)) = d/dx (x * 1) = 1; forward mode that mixes up tangents says 2.
    isNear 0.0 "grad of grad" (number 1.0) (grad (fun x -> x * grad (fun y -> x + y) x) x)
    let along f x = snd (jvp f x (number 1.0))
    isNear 0.0 "jvp of jvp" (number 1.0) (along (fun x -> x * along (fun y -> x + y) x) x)
    isNear 0.0 "grad of jvp" (number 1.0) (grad (fun x -> x * along (fun y -> x + y) x) x)
    isNear 0.0 "jvp of grad" (number 1.0) (along (fun x -> x * grad (fun y -> x + y) x) x)
    // d/dx (x * d/dy (x * y²) at y = x) = d/dx 2x³ = 6x².
    isNear 1e-15 "through both" (number 54.0) (grad (fun x -> x * along (fun y -> x * y * y) x) x)
    // The same inside a compiled function and inside a batch.
    let f x = grad (fun x -> x * grad (fun y -> x * y * y) x) x
    isNear 1e-15 "jit" (number 54.0) (jit f x)
    isNear 1e-15 "vmap" (f64s [ 6.0; 24.0; 54.0 ]) (vmap f (f64s [ 1.0; 2.0; 3.0 ]))
    // An inner function of another variable, differentiated at a point that depends on the outer one.
    let g x = grad (fun y -> y * y * y) (x * x) // 3x⁴
    isNear 1e-13 "at a point" (number 324.0) (grad g x)

// ------------------------------------------------------------------------------------------------ vjp, jvp, linearize

[<NoComparison>]
type private Model = { W: Tensor; B: Tensor; Steps: Tensor; Scale: float }

let private model =
    { W = noise64 1 [| 3; 2 |]
      B = noise64 2 [| 2 |]
      Steps = ofInts DType.I32 [||] [ 7L ]
      Scale = 0.5 }

let private apply (m: Model, x: Tensor) =
    let y = tanh (matmul x m.W + m.B) * m.Scale
    [ y; sum y ], m.Steps + 1

[<Test>]
let ``vjp and jvp take and give trees, and are adjoint`` () =
    let x = noise64 3 [| 4; 3 |]
    let (ys, steps), pullback = vjp apply (model, x)
    let direction = { model with W = noise64 4 [| 3; 2 |]; B = noise64 5 [| 2 |] }, noise64 6 [| 4; 3 |]
    let (zs, _), (dys, dsteps) = jvp apply (model, x) direction
    List.iter2 (fun (y: Tensor) z -> assertSame "values" (interpreted y) (interpreted z)) ys zs
    Assert.That((interpreted steps).[0].Int, Is.EqualTo 8L)
    Assert.That((interpreted dsteps).[0].Int, Is.EqualTo 0L)
    let weights = [ noise64 7 [| 4; 2 |]; noise64 8 [||] ]
    let dmodel, dx = pullback (weights, steps)
    Assert.That((interpreted dmodel.Steps).[0].Int, Is.EqualTo 0L)
    Assert.That(dmodel.Scale, Is.EqualTo 0.5)
    let inner a b = List.map2 (fun a b -> sum (a * b)) a b |> List.reduce (+)
    let vector, v = direction
    isNear 1e-13 "adjoint" (inner weights dys) (inner [ vector.W; vector.B; v ] [ dmodel.W; dmodel.B; dx ])

[<Test>]
let ``wrong tangents and cotangents are errors`` () =
    let x, y = f64s [ 1.0; 2.0 ], f64s [ 1.0; 2.0; 3.0 ]
    raises<ShapeException> "jvp: a tangent must have the type and shape of its tensor, got f64[2] x f64[3]" (fun () ->
        jvp sin x y |> ignore)
    raises<ShapeException> "vjp: a cotangent must have the type and shape of its tensor, got f64[] x f64[2]" (fun () ->
        (snd (vjp sum x)) x |> ignore)
    raises<ArgumentException> "jvp: there are 2 tensors, and 1 tangents (Parameter 'tangent')" (fun () ->
        jvp List.head [ x; x ] [ x ] |> ignore)

[<Test>]
let ``linearize computes the function once`` () =
    let x, v, u = noise64 1 [| 3 |], noise64 2 [| 3 |], noise64 3 [| 3 |]
    let f (x: Tensor) = field3 (field3 x)
    let y, push = linearize f x
    let expected, along = jvp f x v
    isNear 1e-15 "value" expected y
    isNear 1e-14 "along v" along (push v)
    isNear 1e-14 "linear" (push (v * 2.0 + u)) (push v * 2.0 + push u)
    // What is left is linear: no sine is computed again.
    let isElementary (t: Tensor) =
        match t.Op with
        | Op.Unary(Unary.Sin | Unary.Cos | Unary.Exp | Unary.Tanh) -> true
        | _ -> false
    Assert.That(Graph.topological [ y; push v ] |> Array.exists isElementary, Is.False)
    // Inside other transforms it is an expression like all others.
    let second x = snd (linearize f x) v
    isNear 1e-13 "jit" along (jit second x)
    isNear 1e-12 "grad" (grad (fun x -> sum (snd (jvp f x v))) x) (grad (second >> sum) x)

// ------------------------------------------------------------------------------------------------ Jacobians

[<Test>]
let ``Jacobians of both modes are the differences`` () =
    for f, x in
        [ field2, point
          field3, point
          (fun (x: Tensor) -> softmax -1 x), noise64 1 [| 2; 3 |]
          (fun (x: Tensor) -> matmul x (transpose x)), noise64 2 [| 2; 3 |]
          sum, noise64 3 [| 2; 2 |]
          (fun x -> x * noise64 4 [| 2; 1; 3 |]), noise64 5 [||] ] do
        let expected = differences f x
        isNear 1e-10 "jacobian" expected (jacobian f x)
        isNear 1e-10 "forward" expected (jacobianForward f x)
        isNear 1e-10 "reverse" expected (jacobianReverse f x)

[<Test>]
let ``Jacobians of nothing are empty`` () =
    for m, n in [ 0, 3; 3, 0; 0, 0 ] do
        let f (x: Tensor) = matmul (noise64 1 [| m; n |]) x
        let x = noise64 2 [| n |]
        for j in [ jacobian f x; jacobianForward f x; jacobianReverse f x ] do
            Assert.That(j.Shape, Is.EqualTo<int> [| m; n |])
            Assert.That(computed j, Is.Empty)

[<Test>]
let ``the Jacobian takes the mode with fewer passes`` () =
    let x, y = noise64 1 [| 3 |], noise64 2 [| 5 |]
    let narrow (x: Tensor) = tanh (matmul w25 x)
    Assert.That(jacobian field2 x, Is.EqualTo(jacobianReverse field2 x), "3 to 2")
    Assert.That(jacobian narrow y, Is.EqualTo(jacobianReverse narrow y), "5 to 2")
    Assert.That(jacobian field3 x, Is.EqualTo(jacobianForward field3 x), "3 to 3")
    let wide (x: Tensor) = matmul x w35
    Assert.That(jacobian wide x, Is.EqualTo(jacobianForward wide x), "3 to 5")

[<Test>]
let ``integers have no Jacobian`` () =
    let n = ofInts DType.I32 [| 2 |] [ 1L; 2L ]
    raises<ShapeException> "jacobian: the argument must be a float tensor, got i32[2]; cast it first" (fun () ->
        jacobian id n |> ignore)
    raises<ShapeException> "jacobian: the function must return floats, got i64[]" (fun () ->
        jacobian (argMax 0) (f64s [ 1.0; 2.0 ]) |> ignore)

[<Test>]
let ``Hessians are symmetric, and the differences of gradients`` () =
    for f, x in
        [ potential, point
          (fun (x: Tensor) -> sum (logSumExpKeep -1 x * sumKeep [ -1 ] (x * x))), noise64 1 [| 2; 3 |]
          (fun (x: Tensor) -> exp (x * x)), number 0.4 ] do
        let h = hessian f x
        isNear 1e-9 "differences" (differences (grad f) x) h
        let n = x.Count
        let square = reshape [| n; n |] h
        isNear 1e-13 "symmetric" (transpose square) square
        isNear 1e-12 "forward over forward" (jacobianForward (jacobianForward f) x) h
        isNear 1e-12 "reverse over reverse" (jacobianReverse (jacobianReverse f) x) h
        isNear 1e-12 "reverse over forward" (jacobianReverse (jacobianForward f) x) h
        let v = noise64 9 x.Shape
        isNear 1e-12 "hvp" (reshape x.Shape (matmul square (reshape [| n |] v))) (hvp f x v)

[<Test>]
let ``hvp of a tree`` () =
    let f (w: Tensor, b: Tensor) = sum (tanh (matmul w b) * b)
    let w, b = noise64 1 [| 3; 3 |], noise64 2 [| 3 |]
    let v, u = noise64 3 [| 3; 3 |], noise64 4 [| 3 |]
    let hw, hb = hvp f (w, b) (v, u)
    // The same by one vector of all parameters.
    let flat (w: Tensor, b: Tensor) = concat 0 [ reshape [| 9 |] w; b ]
    let whole x = f (x |> slice 0 0 9 |> reshape [| 3; 3 |], slice 0 9 12 x)
    isNear 1e-12 "hvp" (matmul (hessian whole (flat (w, b))) (flat (v, u))) (flat (hw, hb))

// ------------------------------------------------------------------------------------------------ fields

let private trace (m: Tensor) =
    sum (where (eq (arange DType.I64 m.Shape[0] |> unsqueeze 1) (arange DType.I64 m.Shape[0])) m (zerosLike m))

[<Test>]
let ``laplacian, divergence and curl are what the Jacobian says`` () =
    isNear 1e-12 "laplacian" (trace (hessian potential point)) (laplacian potential point)
    isNear 1e-12 "divergence" (trace (jacobian field3 point)) (divergence field3 point)
    isNear 1e-12 "div grad" (laplacian potential point) (divergence (grad potential) point)
    // Of every element of the result, and of points of any shape.
    let each = stack 0 [ for i in 0..1 -> laplacian (fun x -> field2 x |> slice 0 i (i + 1) |> squeeze 0) point ]
    isNear 1e-12 "laplacian of a field" each (laplacian field2 point)
    let x = noise64 1 [| 2; 3 |]
    isNear 1e-12 "of a matrix" (6.0 * sum x) (laplacian (fun x -> sum (x * x * x)) x)
    isNear 1e-12 "divergence of a matrix" (2.0 * sum x) (divergence (fun x -> x * x) x)

[<Test>]
let ``curl: known fields, and the identities of vector calculus`` () =
    let at (x: Tensor) i = x |> slice 0 i (i + 1) |> squeeze 0
    let rotation (x: Tensor) = stack 0 [ -(at x 1); at x 0; number 5.0 ]
    isNear 0.0 "rotation" (f64s [ 0.0; 0.0; 2.0 ]) (curl rotation point)
    let shear (x: Tensor) = stack 0 [ at x 1 * at x 2; at x 2 * 3.0; at x 0 * at x 0 ]
    // (dFz/dy - dFy/dz, dFx/dz - dFz/dx, dFy/dx - dFx/dy)
    isNear 1e-15 "shear" (stack 0 [ number -3.0; at point 1 - 2.0 * at point 0; -(at point 2) ]) (curl shear point)
    let plane = f64s [ 0.4; -0.9 ]
    isNear 0.0 "in the plane" (number 2.0) (curl (fun x -> stack 0 [ -(at x 1); at x 0 ]) plane)
    isNear 1e-12 "curl grad" (f64s [ 0.0; 0.0; 0.0 ]) (curl (grad potential) point)
    isNear 1e-12 "div curl" (number 0.0) (divergence (curl field3) point)
    let points = noise64 2 [| 5; 3 |]
    isNear 1e-12 "at many points" (f64 [| 5 |] (Seq.replicate 5 0.0)) (vmap (divergence (curl field3)) points)

[<Test>]
let ``fields of wrong shapes are errors`` () =
    raises<ShapeException>
        "divergence: the result must have the shape of the argument: a vector at each point, got f64[3] x f64[2]"
        (fun () -> divergence field2 point |> ignore)
    raises<ShapeException>
        "curl: the point must be a vector of 2 or 3 elements, got f64[4]; use vmap for many points"
        (fun () -> curl id (noise64 1 [| 4 |]) |> ignore)

// ------------------------------------------------------------------------------------------------ nesting

let private loss (w: Tensor, b: Tensor) (x: Tensor, y: Tensor) =
    let p = matmul (tanh (matmul x w + b)) (noise64 9 [| 4 |])
    square (p - y)

let private parameters = noise64 1 [| 3; 4 |], noise64 2 [| 4 |]
let private batch = noise64 3 [| 6; 3 |], noise64 4 [| 6 |]
let private row i (t: Tensor) = t |> slice 0 i (i + 1) |> squeeze 0

[<Test>]
let ``per-example gradients are those of a loop, to the bit`` () =
    let each = vmap (fun example -> grad (fun p -> loss p example) parameters) batch
    let one i = grad (fun p -> loss p (row i (fst batch), row i (snd batch))) parameters
    for i in 0..5 do
        let w, b = one i
        assertSame "w" (interpreted w) (interpreted (row i (fst each)))
        assertSame "b" (interpreted b) (interpreted (row i (snd each)))
    let exact = Program.withoutRewriting (fun () -> eval each)
    assertSame "compiled" (interpreted (fst each)) (interpreted (fst exact))
    // Their mean is the gradient of the mean.
    let w, _ = grad (fun p -> mean (vmap (loss p) batch)) parameters
    isNear 1e-13 "mean" w (meanOver [ 0 ] (fst each))

[<Test>]
let ``transforms nest in any order`` () =
    let f (x: Tensor) = sum (sin x * cumSum 0 (x * x))
    let xs = noise64 1 [| 4; 3 |]
    let one i = row i xs
    let stacked g = stack 0 [ for i in 0..3 -> g (one i) ]
    isNear 1e-12 "jit of vmap of hessian" (stacked (hessian f)) (jit (vmap (hessian f)) xs)
    isNear 1e-12 "vmap of jit of hessian" (stacked (hessian f)) (vmap (jit (hessian f)) xs)
    isNear 1e-12 "vmap of laplacian" (stacked (laplacian f)) (vmap (laplacian f) xs)
    isNear 1e-12 "grad of vmap" (stacked (grad f)) (grad (vmap f >> sum) xs)
    let v = noise64 2 [| 3 |]
    let pulled x = snd (vjp (fun x -> sin x * x) x) v
    isNear 1e-12 "jvp of vjp" (differences pulled (one 0) |> fun j -> matmul j v) (snd (jvp pulled (one 0) v))
    isNear 1e-12 "jacobian of vmap" (differences (vmap f) xs) (jacobian (vmap f) xs)
    let rows = vmap (fun x -> vmap (fun y -> sum (x * y)) xs) xs
    isNear 1e-14 "vmap of vmap" (matmul xs (transpose xs)) rows
    let kernel x y = exp (-(sum (square (x - y))))
    let mixed = vmap (fun x -> vmap (fun y -> grad (fun x -> kernel x y) x) xs) xs
    isNear 1e-13 "vmap of vmap of grad" (grad (fun x -> kernel x (one 2)) (one 1)) (row 2 (row 1 mixed))
    isNear 1e-12 "linearize of vmap" (stacked (grad f) * xs |> sumOver [ 1 ]) (snd (linearize (vmap f) xs) xs)

let private unrolled (w: Tensor) (xs: Tensor) =
    Seq.fold (fun h i -> tanh (matmul h w + row i xs)) (row 0 xs) (seq { 0..3 })

let private scanned (w: Tensor) (xs: Tensor) =
    let vector = DType.F64, [| 3 |]
    let body, captured = Lambda.trace [| vector; vector |] (fun p -> [| tanh (matmul p[0] w + p[1]) |])
    (Op.scan
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = 4
          Reverse = false }
        (Array.concat [ captured; [| row 0 xs; xs |] ]))[0]

[<Test>]
let ``loops in batches, with derivatives of both modes`` () =
    let w, many = noise64 1 [| 3; 3 |], noise64 2 [| 5; 4; 3 |]
    let compare (what: string) (transform: (Tensor -> Tensor) -> Tensor -> Tensor) =
        isNear 1e-11 what (transform (unrolled w) many) (transform (scanned w) many)
    compare "vmap" vmap
    compare "vmap of grad" (fun f -> vmap (grad (f >> sum)))
    compare "vmap of jacobian" (fun f -> vmap (jacobianForward f))
    compare "grad of vmap" (fun f -> grad (vmap f >> square >> sum))
    compare "vmap of hvp" (fun f -> vmap (fun x -> hvp (f >> square >> sum) x (sin x)))
    let weights f = grad (fun w -> sum (vmap (f w) many)) w
    isNear 1e-11 "a shared weight" (weights unrolled) (weights scanned)
    let own f = vmap (fun w -> grad (fun w -> sum (f w (row 0 many))) w) (noise64 3 [| 2; 3; 3 |])
    isNear 1e-11 "batched weights" (own unrolled) (own scanned)

/// Every primitive of the expressions, those inside bodies too.
let rec private deep (roots: Tensor[]) : Op list =
    [ for t in Graph.topological roots do
          t.Op
          match t.Op with
          | Op.Scan s -> yield! deep s.Body.Results
          | Op.Custom c -> yield! deep c.Body.Results
          | Op.Checkpoint l -> yield! deep l.Results
          | _ -> () ]

[<Test>]
let ``linearize computes loops once`` () =
    let w, xs, v = noise64 1 [| 3; 3 |], noise64 2 [| 4; 3 |], noise64 3 [| 3; 3 |]
    let f w = scanned w xs
    let y, push = linearize f w
    let expected, along = jvp f w v
    isNear 1e-14 "value" expected y
    isNear 1e-13 "along v" along (push v)
    // The loop's own product is not computed again: what is left are those of each factor with the other's tangent.
    let products roots =
        deep roots
        |> List.filter (fun op ->
            match op with
            | Op.Dot _ -> true
            | _ -> false)
    Assert.That(products [| along |] |> List.length, Is.EqualTo 3)
    Assert.That(products [| push v |] |> List.length, Is.EqualTo 2)
    isNear 1e-12 "jit" along (jit (fun w -> snd (linearize f w) v) w)
    isNear 1e-11 "vmap" (stack 0 [ along; along ]) (vmap push (stack 0 [ v; v ]))

[<Test>]
let ``a gradient through steps of an optimizer`` () =
    let x, y = noise64 3 [| 8; 3 |], noise64 4 [| 8 |]
    let objective w = mean (square (matmul (tanh x) w - y))
    /// Momentum, and a rate that is learnt: the loss after three steps as a function of both.
    let after (settings: Tensor) =
        let rate, momentum = row 0 settings, row 1 settings
        let step (w, m) =
            let m = momentum * m + grad objective w
            w - rate * m, m
        let w, _ = (noise64 5 [| 3 |], f64s [ 0.0; 0.0; 0.0 ]) |> step |> step |> step
        objective w
    let settings = f64s [ 0.1; 0.9 ]
    isNear 1e-10 "by the rate and the momentum" (differences after settings) (grad after settings)
    isNear 1e-10 "forward" (differences after settings) (jacobianForward after settings)
    isNear 1e-8 "its Hessian" (differences (grad after) settings) (hessian after settings)
    isNear 1e-10 "jit" (differences after settings) (jit (grad after) settings)

[<Test>]
let ``random numbers from batched keys are those of each key`` () =
    let keys = eval (Random.split 4 (Random.key 3L))
    let many = vmap (fun k -> Random.normal k [| 5; 3 |]) keys
    for i in 0..3 do
        assertSame "normal" (interpreted (Random.normal (row i keys) [| 5; 3 |])) (interpreted (row i many))
    let noisy (k, x) = sum (where (Random.bernoulli (scalar 0.5) k [| 3 |]) (x * x) (zerosLike x))
    let gradients = vmap (fun (k, x) -> grad (fun x -> noisy (k, x)) x) (keys, noise64 1 [| 4; 3 |])
    let one i = grad (fun x -> noisy (row i keys, x)) (row i (noise64 1 [| 4; 3 |]))
    for i in 0..3 do
        assertSame "dropout" (interpreted (one i)) (interpreted (row i gradients))
