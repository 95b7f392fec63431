/// Every linear primitive has a transpose, and the vector-Jacobian product is it: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.AdjointLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

/// The inner products of A x with y and of x with A' y agree for a linear A and its transpose A', the vector-Jacobian product.
let private adjoint (linear: Tensor -> Tensor) (x: Tensor) (seed: int) =
    let image = linear x
    let y = noise DType.F64 seed image.Shape
    close (inner image y) (inner x (Grad.vjp [| image |] [| y |] [| x |]).[0])

let private zero = Op.constant (Constant.ofFloat DType.F64 0.0)
let private amounts (c: Case) most k = Array.init c.Rank (fun i -> c.Number(k + i, most + 1))

[<Law("Adjoints", "⟨reshape x, y⟩ = ⟨x, reshape⁻¹ y⟩", "the gradient of a reshape is the reshape back")>]
let ``adjoint of reshape`` (c: Case) = adjoint (reshape [| 1; Shape.count c.Shape |]) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨p x, y⟩ = ⟨x, p⁻¹ y⟩", "the gradient of a permutation is its inverse")>]
let ``adjoint of permute`` (c: Case) =
    adjoint (permute (c.Permutation(2, c.Rank))) (c.Float 1) c.Seed
    adjoint (permute [| 1; 2; 0 |]) (c.FloatOf(1, [| 2; 2; 2 |])) c.Seed // no shape shows a wrong axis

[<Law("Adjoints", "⟨stretch x, y⟩ = ⟨x, Σ y⟩", "what was stretched gets the sum")>]
let ``adjoint of broadcast`` (c: Case) = adjoint (broadcastTo (Array.append [| 3 |] c.Shape)) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨stretch x, y⟩ = ⟨x, Σ y⟩ inside", "an axis of extent 1 that was stretched gets the sum over it")>]
let ``adjoint of broadcast of an axis`` (c: Axes) = adjoint (broadcastTo c.Shape) (c.FloatOf(1, c.With 1)) c.Seed

[<Law("Adjoints", "⟨Σ x, y⟩ = ⟨x, stretch y⟩", "every summand gets the gradient of the sum")>]
let ``adjoint of sum`` (c: Axes) =
    adjoint (sumOver [ c.Axis ]) (c.Float 1) c.Seed
    adjoint sum (c.Float 1) c.Seed

[<Law("Adjoints", "⟨x[a..b..s], y⟩ = ⟨x, pad y⟩", "slices and paddings with zeros are adjoint, steps and holes included")>]
let ``adjoint of slice`` (c: Case) =
    let starts = c.Shape |> Array.mapi (fun i e -> c.Number(10 + i, e + 1))
    let stops = Array.map2 (fun a e -> a + c.Number(20, e - a + 1)) starts c.Shape
    adjoint (Op.slice starts stops (amounts c 2 30 |> Array.map ((+) 1))) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨pad x, y⟩ = ⟨x, slice y⟩", "the gradient of padding forgets the padding")>]
let ``adjoint of pad`` (c: Case) =
    adjoint (Op.pad (amounts c 3 10) (amounts c 3 20) (amounts c 2 30) zero) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨pad₀(v), y⟩ = v Σ y outside", "the padding value gets the sum of what it filled")>]
let ``adjoint of pad in its value`` (c: Case) =
    let nothing = full DType.F64 c.Shape 0.0
    adjoint (fun v -> Op.pad (amounts c 3 10) (amounts c 3 20) (amounts c 2 30) v nothing) (c.FloatOf(1, [||])) c.Seed

[<Law("Adjoints", "⟨rev x, y⟩ = ⟨x, rev y⟩", "reversal is its own adjoint")>]
let ``adjoint of reverse`` (c: Axes) = adjoint (Op.reverse [ c.Axis ]) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨x ++ a ++ x, y⟩ = ⟨x, y₁ + y₃⟩", "each part of a join gets its part, and a part used twice the sum")>]
let ``adjoint of concat`` (c: Axes) =
    adjoint (fun x -> concat c.Axis [ x; c.FloatOf(2, c.With 2) * 0.0; x * 2.0 ]) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨cumsum x, y⟩ = ⟨x, cumsum_rev y⟩", "running sums from the start and from the end are adjoint")>]
let ``adjoint of cumSum`` (c: Axes) =
    adjoint (cumSum c.Axis) (c.Float 1) c.Seed
    adjoint (Op.cumSum c.Axis true) (c.Float 1) c.Seed

let private window (c: Axes) =
    let w =
        { Axis = c.Axis
          Size = 1 + c.Number(5, min 3 c.Extent)
          Step = 1 + c.Number(6, 3)
          Dilation = 1 + c.Number(7, 2) }
    if (w.Size - 1) * w.Dilation + 1 > c.Extent then { w with Dilation = 1 } else w

[<Law("Adjoints",
      "⟨unfold x, y⟩ = ⟨x, fold y⟩",
      "windows and their overlapping sum are adjoint: pooling, local attention")>]
let ``adjoint of unfold`` (c: Axes) = adjoint (Op.unfold (window c)) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨fold x, y⟩ = ⟨x, unfold y⟩", "the gradient of an overlapping sum reads the windows")>]
let ``adjoint of fold`` (c: Axes) =
    let w = window c
    adjoint (Op.fold w c.Extent) (c.FloatOf(1, (Op.unfold w (c.Float 1)).Shape)) c.Seed

[<Law("Adjoints", "⟨A X, Y⟩ = ⟨X, Aᵀ Y⟩,  ⟨X B, Y⟩ = ⟨X, Y Bᵀ⟩", "the gradient of a linear layer, in input and weights")>]
let ``adjoint of matmul`` (m: Matrices) =
    let real (t: Tensor) = eval (cast DType.F64 t)
    adjoint (fun x -> matmul x (real m.B)) (real m.A) 5
    adjoint (fun x -> matmul (real m.A) x) (real m.B) 6

/// A contraction with batches, summed and free axes in any order, in both operands.
let private contracted (c: Case) =
    let extents = [| 2; 3; 4; 2; 3 |] // batch, summed, summed, free, free of the other
    let p, q = c.Permutation(3, 4), c.Permutation(4, 4)
    let place (p: int[]) k = System.Array.IndexOf(p, k)
    let left, right = [| 0; 1; 2; 3 |], [| 0; 1; 2; 4 |]
    let x = c.FloatOf(1, p |> Array.map (fun i -> extents[left[i]]))
    let y = c.FloatOf(2, q |> Array.map (fun i -> extents[right[i]]))
    let d =
        { LeftBatch = [| place p 0 |]
          RightBatch = [| place q 0 |]
          LeftSum = [| place p 1; place p 2 |]
          RightSum = [| place q 1; place q 2 |] }
    d, x, y

[<Law("Adjoints",
      "⟨dot(x, b), y⟩ = ⟨x, dot'(y, b)⟩",
      "any contraction, with batches and axes in any order: left operand")>]
let ``adjoint of dot on the left`` (c: Case) =
    let d, x, y = contracted c
    adjoint (fun x -> Op.dot d x y) x c.Seed

[<Law("Adjoints",
      "⟨dot(a, x), y⟩ = ⟨x, dot'(a, y)⟩",
      "any contraction, with batches and axes in any order: right operand")>]
let ``adjoint of dot on the right`` (c: Case) =
    let d, x, y = contracted c
    adjoint (fun y -> Op.dot d x y) y c.Seed

[<Law("Adjoints", "⟨x * w, y⟩ = ⟨x, y *ᵀ w⟩", "convolution in its input, with every attribute: transposed convolution")>]
let ``adjoint of conv in the input`` (c: Convolving) =
    let x, w = c.Case.FloatOf(1, c.XShape), c.Case.FloatOf(2, c.WShape)
    adjoint (fun x -> Op.conv c.Options x w) x c.Case.Seed

[<Law("Adjoints", "⟨x * w, y⟩ = ⟨w, x *ᵀ y⟩", "convolution in its kernel, with every attribute")>]
let ``adjoint of conv in the kernel`` (c: Convolving) =
    let x, w = c.Case.FloatOf(1, c.XShape), c.Case.FloatOf(2, c.WShape)
    adjoint (fun w -> Op.conv c.Options x w) w c.Case.Seed

[<Law("Adjoints", "⟨x[i], y⟩ = ⟨x, scatter(0, i, y)⟩", "the gradient of a lookup adds at the indices, repeats included")>]
let ``adjoint of gather`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 5 |])
    adjoint (take c.Axis i) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨gather_batch(x, i), y⟩ = ⟨x, scatter_batch(0, i, y)⟩", "lookups in batches")>]
let ``adjoint of gather in batches`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 3; 4 |])
    adjoint (fun x -> Op.gather 1 1 x i) (c.FloatOf(1, [| 3; c.Extent; 2 |])) c.Seed

[<Law("Adjoints", "⟨scatter(0, i, u), y⟩ = ⟨u, y[i]⟩", "the gradient of adding at indices looks up")>]
let ``adjoint of scatterAdd in the updates`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 5 |])
    adjoint (Op.scatterAdd c.Axis 0 (full DType.F64 c.Shape 0.0) i) (c.FloatOf(3, c.With 5)) c.Seed

[<Law("Adjoints", "⟨scatter(x, i, 0), y⟩ = ⟨x, y⟩", "what is added onto passes through")>]
let ``adjoint of scatterAdd in the target`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 5 |])
    adjoint (fun x -> Op.scatterAdd c.Axis 0 x i (full DType.F64 (c.With 5) 0.0)) (c.Float 1) c.Seed

let private box (c: Axes) =
    let at = c.Shape |> Array.mapi (fun i e -> c.Number(10 + i, e + 1))
    let sizes = Array.mapi2 (fun i e a -> c.Number(20 + i, e - a + 1)) c.Shape at
    sizes, at |> Array.map (fun a -> i64 [||] [ int64 a ])

[<Law("Adjoints", "⟨x[s..], y⟩ = ⟨x, update(0, s, y)⟩", "slices whose start is data")>]
let ``adjoint of dynamicSlice`` (c: Axes) =
    let sizes, starts = box c
    adjoint (Op.dynamicSlice starts sizes) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨update(x, s, 0), y⟩ = ⟨x, update(y, s, 0)⟩", "what was overwritten gets no gradient")>]
let ``adjoint of dynamicUpdate in the target`` (c: Axes) =
    let sizes, starts = box c
    adjoint (Op.dynamicUpdate starts (full DType.F64 sizes 0.0)) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨update(0, s, u), y⟩ = ⟨u, y[s..]⟩", "what was written gets the gradient of its place")>]
let ``adjoint of dynamicUpdate in the update`` (c: Axes) =
    let sizes, starts = box c
    adjoint (fun u -> Op.dynamicUpdate starts u (full DType.F64 c.Shape 0.0)) (c.FloatOf(2, sizes)) c.Seed

[<Law("Adjoints",
      "⟨where(c, x, 0), y⟩ = ⟨x, where(c, y, 0)⟩",
      "a mask is its own adjoint; the two branches share the gradient out")>]
let ``adjoint of select`` (c: Case) =
    let nothing = full DType.F64 c.Shape 0.0
    adjoint (fun x -> where (c.Bools 2) x nothing) (c.Float 1) c.Seed
    adjoint (fun x -> where (c.Bools 2) nothing x) (c.Float 1) c.Seed

[<Law("Adjoints", "⟨f64(x), y⟩ = ⟨x, f32(y)⟩", "conversions between floats are linear; the gradient is converted back")>]
let ``adjoint of cast`` (c: Case) =
    let x = eval (cast DType.F32 (c.Float 1))
    let y = eval (cast DType.F64 (cast DType.F32 (c.Float 2)))
    let image = cast DType.F64 x
    let back = (Grad.vjp [| image |] [| y |] [| x |])[0]
    equal back (cast DType.F32 y)
    close (inner image y) (inner (cast DType.F64 x) (cast DType.F64 back))

[<Law("Adjoints",
      "⟨-x, y⟩ = ⟨x, -y⟩,  ⟨a x + x / b, y⟩ = ⟨x, a y + y / b⟩",
      "elementwise linear functions are their own adjoints")>]
let ``adjoint of elementwise linear functions`` (c: Case) =
    adjoint (fun x -> -x) (c.Float 1) c.Seed
    adjoint (fun x -> x * c.Float 2 + x / c.Positive 3 - x) (c.Float 1) c.Seed

[<Law("Adjoints",
      "⟨sort x, y⟩ = ⟨x, sort⁻¹ y⟩ near x",
      "sorting is a permutation where nothing is equal: the gradient goes back where it came from")>]
let ``adjoint of sort and topK`` (c: Axes) =
    adjoint (fun x -> fst (Op.sort c.Axis true x)) (c.Float 1) c.Seed
    adjoint (fun x -> fst (Op.topK (1 + c.Number(5, c.Shape[c.Rank - 1])) x)) (c.Float 1) c.Seed

[<Law("Adjoints",
      "⟨scan_A x, y⟩ = ⟨x, scan_Aᵀ y⟩",
      "the adjoint of a linear loop is a linear loop in the other direction")>]
let ``adjoint of a linear loop`` (l: Loops) =
    let body, captured =
        Lambda.trace [| DType.F64, [| l.Width |]; DType.F64, [| l.Width |] |] (fun p ->
            let h = matmul p[0] l.Matrix * 0.5 + p[1] in [| h; h * 2.0 - p[1] |])
    for reverse in [ false; true ] do
        let s =
            { Body = body
              Captured = captured.Length
              Carried = 1
              Length = l.Length
              Reverse = reverse }
        let run start xs = Op.scan s (Array.append captured [| start; xs |])
        let both (r: Tensor[]) = concat 0 [ r[0]; reshape [| -1 |] r[1] ]
        adjoint (fun xs -> both (run (full DType.F64 [| l.Width |] 0.0) xs)) l.Xs 3
        adjoint (fun start -> both (run start (full DType.F64 l.Xs.Shape 0.0))) l.Start 4

[<Test>]
let ``the adjoint of a sum is a stretch, by numbers`` () =
    let x = f64 [| 3 |] [ 1.0; 2.0; 3.0 ]
    equal (pullback sum x (f64 [||] [ 5.0 ])) (f64 [| 3 |] [ 5.0; 5.0; 5.0 ])
