/// Functions of functions: forward mode, reverse mode, batching, compilation, and how they commute.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.TransformLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

let private push (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) = snd (jvp f x v)
let private row i (x: Tensor) = x |> slice 0 i (i + 1) |> squeeze 0
let private flat (x: Tensor) = reshape [| -1 |] x

// ------------------------------------------------------------------------------------------------ forward and reverse mode

[<Law("Transforms", "⟨J v, w⟩ = ⟨v, Jᵀ w⟩", "forward and reverse mode are adjoint: jvp · w = v · vjp, for any function")>]
let ``forward and reverse mode are adjoint`` (c: Functions) =
    let x, v, w = c.Float 1, c.Float 2, c.Float 3
    let f = c.F >> c.G
    closeTo 1e-9 (inner (push f x v) w) (inner v (pullback f x w))

[<Law("Transforms", "fst (jvp f x v) = f x = fst (vjp f x)", "derivatives come with the value")>]
let ``derivatives come with the value`` (c: Functions) =
    let x = c.Float 1
    closeTo 1e-9 (fst (jvp c.F x (c.Float 2))) (c.F x)
    closeTo 1e-9 (fst (vjp c.F x)) (c.F x)

[<Law("Transforms", "J (a v + w) = a J v + J w", "the Jacobian-vector product is linear in the vector")>]
let ``forward mode is linear in the vector`` (c: Functions) =
    let push = push c.F (c.Float 1)
    closeTo 1e-9 (push (c.Float 2 * 2.0 + c.Float 3)) (push (c.Float 2) * 2.0 + push (c.Float 3))

[<Law("Transforms", "J_{f∘g}(x) v = J_f(g x) (J_g(x) v)", "the chain rule, forward")>]
let ``the chain rule in forward mode`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    let y, dy = jvp c.G x v
    closeTo 1e-9 (push (c.G >> c.F) x v) (push c.F (eval y) (eval dy))

[<Law("Transforms", "J_{f g} v = (J_f v) g + f (J_g v)", "the product rule, forward")>]
let ``the product rule in forward mode`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    closeTo 1e-9 (push (fun x -> c.F x * c.G x) x v) (push c.F x v * c.G x + c.F x * push c.G x v)

[<Law("Transforms", "A linear ⇒ J_A v = A v", "the derivative of a linear function is the function")>]
let ``the derivative of a linear function is the function`` (c: Axes) =
    let linear (x: Tensor) = cumSum c.Axis (x * 3.0) - Op.reverse [ c.Axis ] x + sumKeep [ c.Axis ] x
    close (push linear (c.Float 1) (c.Float 2)) (linear (c.Float 2))

[<Law("Transforms",
      "f(x + h v) = f(x) + h J v + O(h²)",
      "the derivative is what its definition says: central differences")>]
let ``forward mode is the limit of differences`` (c: Functions) =
    // max and sort have kinks, where differences say something else: the functions here have none.
    let f (x: Tensor) = sin (x * 1.5) * exp (tanh (sumKeep [ 0 ] x)) + softmax -1 x
    let x, v, h = c.Float 1, c.Float 2, 1e-5
    closeTo 1e-7 (push f x v) ((f (x + v * h) - f (x - v * h)) / (2.0 * h))

[<Law("Transforms", "linearize f x v = J v", "linearising once and applying often is the Jacobian-vector product")>]
let ``linearize is the Jacobian-vector product`` (c: Functions) =
    let x = c.Float 1
    let y, map = linearize c.F x
    closeTo 1e-9 y (c.F x)
    closeTo 1e-9 (map (c.Float 2)) (push c.F x (c.Float 2))
    closeTo 1e-9 (map (c.Float 3)) (push c.F x (c.Float 3))

let private small (c: Functions) = c.FloatOf(1, [| min 4 c.Shape[0]; 3 |])

[<Law("Transforms", "jacobian f x · v = J v,  wᵀ · jacobian f x = Jᵀ w", "the Jacobian as a tensor holds both products")>]
let ``the Jacobian holds both products`` (c: Functions) =
    let x = small c
    let v, w = c.FloatOf(2, x.Shape), c.FloatOf(3, x.Shape)
    let j = reshape [| x.Count; x.Count |] (jacobian c.F x)
    closeTo 1e-9 (matmul j (flat v)) (flat (push c.F x v))
    closeTo 1e-9 (matmul (flat w) j) (flat (pullback c.F x w))

[<Law("Transforms", "jacobian by rows = jacobian by columns", "forward and reverse mode make the same Jacobian")>]
let ``both modes make the same Jacobian`` (c: Functions) =
    let x = small c
    closeTo 1e-9 (jacobianForward c.F x) (jacobianReverse c.F x)

[<Law("Transforms", "jacobian (f ∘ g) = jacobian f · jacobian g", "the chain rule, in matrices")>]
let ``the chain rule in matrices`` (c: Functions) =
    let x = small c
    let matrix f (x: Tensor) = reshape [| x.Count; x.Count |] (jacobian f x)
    closeTo 1e-8 (matrix (c.G >> c.F) x) (matmul (matrix c.F (eval (c.G x))) (matrix c.G x))

let private potential (c: Functions) (x: Tensor) = sum (sin (c.F x) * 2.0) + sum (x * x * x)

[<Law("Transforms", "H = Hᵀ", "Hessians are symmetric")>]
let ``a Hessian is symmetric`` (c: Functions) =
    let x = small c
    let h = reshape [| x.Count; x.Count |] (hessian (potential c) x)
    closeTo 1e-8 h (transpose h)

[<Law("Transforms", "hvp f x v = H v = ∇⟨∇f, v⟩", "a Hessian-vector product needs no Hessian, in either mode")>]
let ``Hessian-vector products`` (c: Functions) =
    let x = small c
    let v = c.FloatOf(2, x.Shape)
    let h = reshape [| x.Count; x.Count |] (hessian (potential c) x)
    closeTo 1e-8 (flat (hvp (potential c) x v)) (matmul h (flat v))
    closeTo 1e-8 (hvp (potential c) x v) (grad (fun x -> inner (grad (potential c) x) v) x)

[<Law("Transforms", "Δf = tr H = div ∇f", "the Laplacian is the trace of the Hessian and the divergence of the gradient")>]
let ``the Laplacian`` (c: Functions) =
    let x = flat (small c) |> eval
    let f (x: Tensor) = potential c (reshape [| -1; 3 |] x)
    let h = hessian f x
    let trace = sum (h * oneHot DType.F64 x.Count (arange DType.I64 x.Count))
    closeTo 1e-8 (laplacian f x) trace
    closeTo 1e-8 (divergence (grad f) x) trace

[<Law("Transforms", "curl ∇f = 0,  div curl F = 0", "gradients have no curl and curls no sources")>]
let ``curl of gradients and divergence of curls`` (c: Case) =
    let x, a = c.FloatOf(1, [| 3 |]), c.FloatOf(2, [| 3; 3 |])
    let field (x: Tensor) = sin (matmul a x) * exp (x * 0.5)
    let scalarField (x: Tensor) = sum (field x) * sum (x * x)
    closeTo 1e-9 (curl (grad scalarField) x) (full DType.F64 [| 3 |] 0.0)
    closeTo 1e-9 (divergence (curl field) x) (full DType.F64 [||] 0.0)

[<Law("Transforms", "jvp ∘ vjp = vjp ∘ jvp", "second derivatives in any order of the modes")>]
let ``second derivatives in any order of the modes`` (c: Functions) =
    let x, v = c.Float 1, c.Float 2
    let f (x: Tensor) = sum (sin (c.F x) * c.Float 3)
    let forwardOverReverse = push (grad f) x v
    let reverseOverForward = grad (fun x -> push f x v) x
    let reverseOverReverse = grad (fun x -> inner (grad f x) v) x
    closeTo 1e-8 forwardOverReverse reverseOverReverse
    closeTo 1e-8 reverseOverForward reverseOverReverse

[<Law("Transforms", "∇ through jit, checkpoint and vmap = ∇", "transforms nest in any order")>]
let ``transforms nest in any order`` (c: Functions) =
    let xs = c.FloatOf(1, Array.append [| 3 |] c.Shape)
    let f x = sum (sin (c.F x))
    let all = vmap (grad f) xs
    closeTo 1e-9 (jit (vmap (grad f)) xs) all
    closeTo 1e-9 (vmap (jit (grad f)) xs) all
    closeTo 1e-9 (grad (fun xs -> sum (vmap f xs)) xs) all

[<Law("Transforms", "J of a loop = J of its steps", "forward mode through loops: carries, inputs, captured values")>]
let ``forward mode through loops`` (l: Loops) =
    let vector = DType.F64, [| l.Width |]
    let step (w: Tensor) (h: Tensor) (x: Tensor) = tanh (matmul h w * 0.5 + x)
    let looped (w: Tensor, start: Tensor, xs: Tensor) =
        let body, captured = Lambda.trace [| vector; vector |] (fun p -> [| step w p[0] p[1] |])
        let s =
            { Body = body
              Captured = captured.Length
              Carried = 1
              Length = l.Length
              Reverse = false }
        (Op.scan s (Array.append captured [| start; xs |]))[0]
    let written (w: Tensor, start: Tensor, xs: Tensor) =
        Seq.fold (fun h i -> step w h (row i xs)) start (seq { 0 .. l.Length - 1 })
    let at = l.Matrix, l.Start, l.Xs
    let along = l.Case.FloatOf(5, l.Matrix.Shape), l.Case.FloatOf(6, l.Start.Shape), l.Case.FloatOf(7, l.Xs.Shape)
    closeTo 1e-11 (snd (jvp looped at along)) (snd (jvp written at along))

// ------------------------------------------------------------------------------------------------ batching

/// A batch of three examples.
let private batch (c: Case) k = c.FloatOf(k, Array.append [| 3 |] c.Shape)

[<Law("Batching", "vmap f = stack ∘ map f", "a batch is each of its examples, for any function")>]
let ``a batch is each of its examples`` (c: Functions) =
    let xs = batch c 1
    let f = c.F >> c.G
    closeTo 1e-9 (vmap f xs) (stack 0 [ for i in 0..2 -> f (row i xs) ])

[<Law("Batching", "vmap f (xs, ys) = stack (f xᵢ yᵢ)", "trees are batched leaf by leaf")>]
let ``functions of several tensors`` (c: Functions) =
    let xs, ys = batch c 1, batch c 2
    let f (x, y) = c.F x * sin y + sumKeep [ 0 ] (x * y)
    closeTo 1e-9 (vmap f (xs, ys)) (stack 0 [ for i in 0..2 -> f (row i xs, row i ys) ])

[<Law("Batching", "vmap (f ∘ g) = vmap f ∘ vmap g", "batching is a functor: compositions are batched part by part")>]
let ``batching is a functor`` (c: Functions) =
    let xs = batch c 1
    closeTo 1e-9 (vmap (c.G >> c.F) xs) (xs |> vmap c.G |> vmap c.F)

[<Law("Batching", "vmap id = id", "batching nothing")>]
let ``batching the identity`` (c: Case) = equal (vmap id (batch c 1)) (batch c 1)

[<Law("Batching", "vmap (vmap f) x = unflatten (vmap f (flatten x))", "batches of batches are one batch")>]
let ``batches of batches are one batch`` (c: Functions) =
    let xs = c.FloatOf(1, Array.append [| 2; 3 |] c.Shape)
    let one = reshape (Array.append [| 6 |] c.Shape) xs
    closeTo 1e-9 (vmap (vmap c.F) xs) (reshape xs.Shape (vmap c.F one))

[<Law("Batching", "vmap f (p xs) = p (vmap f xs)", "the examples of a batch do not see each other: bit for bit")>]
let ``examples do not see each other`` (c: Functions) =
    let xs = batch c 1
    let order = i64 [| 3 |] [ 2L; 0L; 1L ]
    equal (vmap c.F (take 0 order xs)) (take 0 order (vmap c.F xs))

[<Law("Batching",
      "vmap f xs [0] does not depend on xs[1..]",
      "a result depends on its own example only: bit for bit, at any batch size")>]
let ``a result depends on its own example only`` (c: Functions) =
    let xs, ys = batch c 1, batch c 2
    let mixed = concat 0 [ slice 0 0 1 xs; slice 0 1 3 ys ]
    equal (row 0 (vmap c.F mixed)) (row 0 (vmap c.F xs))

[<Law("Batching", "vmapAxes in a, out b = transpose ∘ vmap f ∘ transpose", "any axis may be the batch")>]
let ``any axis may be the batch`` (c: Functions) =
    let xs = batch c 1
    let last = permute (Array.append [| 1 .. xs.Rank - 1 |] [| 0 |]) xs
    closeTo 1e-9 (vmapAxes [ Some -1 ] 0 c.F (eval last)) (vmap c.F xs)

[<Law("Batching", "vmap (x ↦ f x w) = rows of f, w shared", "what is not batched is shared by all examples")>]
let ``what is not batched is shared`` (l: Loops) =
    let xs = l.Xs
    if l.Length > 0 then
        close (vmapAxes [ Some 0; None ] 0 (fun (x, w) -> matmul x w) (xs, l.Matrix)) (matmul xs l.Matrix)

[<Law("Batching", "vmap (∇f) xs = ∇(Σ vmap f) xs", "per-example gradients: rows of the gradient of the sum")>]
let ``per-example gradients`` (c: Functions) =
    let xs = batch c 1
    let f x = sum (sin (c.F x))
    closeTo 1e-9 (vmap (grad f) xs) (stack 0 [ for i in 0..2 -> grad f (row i xs) ])

[<Law("Batching", "J_{vmap f} vs = vmap (J_f v)", "forward mode and batching commute")>]
let ``forward mode and batching commute`` (c: Functions) =
    let xs, vs = batch c 1, batch c 2
    closeTo 1e-9 (push (vmap c.F) xs vs) (vmap (fun (x, v) -> push c.F x v) (xs, vs))

[<Law("Batching", "vmap (jit f) = jit (vmap f)", "compiling and batching commute")>]
let ``compiling and batching commute`` (c: Functions) =
    let xs = batch c 1
    closeTo 1e-9 (vmap (jit c.F) xs) (vmap c.F xs)
    closeTo 1e-9 (jit (vmap c.F) xs) (vmap c.F xs)

[<Law("Batching", "vmap (scan f) = scan (vmap f)", "a batch of loops is a loop over batches")>]
let ``a batch of loops is a loop of batches`` (l: Loops) =
    let vector = DType.F64, [| l.Width |]
    let body, captured =
        Lambda.trace [| vector; vector |] (fun p -> let h = sin (matmul p[0] l.Matrix) + p[1] in [| h; h * p[1] |])
    let s =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = l.Length
          Reverse = false }
    let loop (start, xs) = let r = Op.scan s (Array.append captured [| start; xs |]) in r[0], r[1]
    let starts = l.Case.FloatOf(5, [| 3; l.Width |])
    let xs = l.Case.FloatOf(6, [| 3; l.Length; l.Width |])
    let last, all = vmap loop (starts, xs)
    let each = [ for i in 0..2 -> loop (row i starts, row i xs) ]
    closeTo 1e-11 last (stack 0 (List.map fst each))
    closeTo 1e-11 all (stack 0 (List.map snd each))

[<Law("Batching",
      "vmap (x ↦ x[i]) with an index for each example",
      "lookups, sorting and random bits are batched example by example")>]
let ``lookups, order and random bits in batches`` (c: Axes) =
    let xs = batch c 1
    let i = c.Below(2, c.Extent, [| 3; 4 |])
    equal (vmap (fun (x, i) -> take c.Axis i x) (xs, i)) (stack 0 [ for k in 0..2 -> take c.Axis (row k i) (row k xs) ])
    equal
        (vmap (fun x -> snd (Op.sort c.Axis true x)) xs)
        (stack 0 [ for k in 0..2 -> snd (Op.sort c.Axis true (row k xs)) ])
    let keys = Random.split 3 (Random.key (int64 c.Seed))
    equal
        (vmap (fun k -> Op.randomBits k [| 5 |]) keys)
        (stack 0 [ for k in 0..2 -> Op.randomBits (row k keys) [| 5 |] ])

[<Test>]
let ``the Jacobian of a matrix product is the matrix`` () =
    let a, x = f64 [| 2; 3 |] [ 1.0; 2.0; 3.0; 4.0; 5.0; 6.0 ], f64 [| 3 |] [ 1.0; 1.0; 1.0 ]
    equal (jacobian (fun x -> matmul a x) x) a
