/// Where elements stand: compositions and inverses; reading and writing at places that are data.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.MovementLaws

open System
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

let private inverse (p: int[]) = Array.init p.Length (fun i -> Array.IndexOf(p, i))
let private int64Constant v = Op.constant (Constant.ofInt DType.I64 v)
let private amounts (c: Case) most k = Array.init c.Rank (fun i -> c.Number(k + i, most + 1))

// ------------------------------------------------------------------------------------------------ movement

[<Law("Movement", "p⁻¹(p(x)) = x", "every permutation of axes can be undone")>]
let ``a permutation and its inverse cancel`` (c: Case) =
    let p = c.Permutation(2, c.Rank)
    equal (c.Int 1 |> permute p |> permute (inverse p)) (c.Int 1)

[<Law("Movement", "q(p(x)) = (p ∘ q)(x)", "two permutations are one: views cost nothing")>]
let ``permutations compose`` (c: Case) =
    let p, q = c.Permutation(2, c.Rank), c.Permutation(3, c.Rank)
    equal (c.Int 1 |> permute p |> permute q) (permute (q |> Array.map (fun i -> p[i])) (c.Int 1))

[<Law("Movement", "reshape_s(reshape_t(x)) = reshape_s(x)", "only the last shape counts")>]
let ``reshaping there and back`` (c: Case) =
    equal (c.Int 1 |> reshape [| Shape.count c.Shape |] |> reshape c.Shape) (c.Int 1)

[<Law("Movement", "flatten(x)[i] = x at row-major place i", "reshaping keeps row-major order")>]
let ``reshaping keeps row-major order`` (c: Case) =
    let strides = Shape.strides c.Shape
    let places =
        Seq.fold (fun sum axis -> sum + Op.iota DType.I64 c.Shape axis * strides[axis]) (fill c 0.0) [ 0 .. c.Rank - 1 ]
    equal (reshape [| -1; 1 |] places |> reshape [| places.Count |]) (arange DType.I64 places.Count)

[<Law("Movement", "p⁻¹(reshape⁻¹(reshape(p(x)))) = x", "a permuted tensor may be flattened and restored")>]
let ``reshaping a permutation and back`` (c: Case) =
    let p = c.Permutation(2, c.Rank)
    let moved = permute p (c.Int 1)
    equal (moved |> reshape [| moved.Count; 1 |] |> reshape moved.Shape |> permute (inverse p)) (c.Int 1)

[<Law("Movement", "xᵀᵀ = x", "a transpose is its own inverse")>]
let ``transposing twice`` (c: Axes) =
    let x = unsqueeze 0 (c.Int 1)
    equal (transpose (transpose x)) x

[<Law("Movement", "rev(rev(x)) = x", "reversal is its own inverse")>]
let ``reversing twice`` (c: Axes) = equal (c.Int 1 |> Op.reverse [ c.Axis ] |> Op.reverse [ c.Axis ]) (c.Int 1)

[<Law("Movement", "rev_a(rev_b(x)) = rev_ab(x)", "axes are reversed independently")>]
let ``reversals of several axes compose`` (c: Axes) =
    let all = [ 0 .. c.Rank - 1 ]
    equal (all |> List.fold (fun x a -> Op.reverse [ a ] x) (c.Int 1)) (Op.reverse all (c.Int 1))

[<Law("Movement", "rev_0(p(x)) = p(rev_p(0)(x))", "reversal and permutation commute, with axes renamed")>]
let ``reversing an axis of a permutation reverses the axis it came from`` (c: Axes) =
    let p = c.Permutation(2, c.Rank)
    equal (c.Int 1 |> permute p |> Op.reverse [ 0 ]) (c.Int 1 |> Op.reverse [ p[0] ] |> permute p)

[<Law("Movement", "x[..k] ++ x[k..] = x", "a tensor is the join of its parts")>]
let ``slices side by side are the whole`` (c: Axes) =
    let at = c.Number(5, c.Extent + 1)
    equal (concat c.Axis [ slice c.Axis 0 at (c.Int 1); slice c.Axis at c.Extent (c.Int 1) ]) (c.Int 1)

[<Law("Movement", "(x ++ y)[n..] = y,  (x ++ y)[..n] = x", "what was joined can be split again")>]
let ``a slice of a concatenation is its operand`` (c: Axes) =
    let both = concat c.Axis [ c.Int 1; c.Int 2 ]
    equal (slice c.Axis c.Extent (2 * c.Extent) both) (c.Int 2)
    equal (slice c.Axis 0 c.Extent both) (c.Int 1)

[<Law("Movement", "x[a..][b..] = x[a + b..]", "slices of slices are slices")>]
let ``slices compose`` (c: Axes) =
    let from = c.Number(5, c.Extent)
    let next = c.Number(6, c.Extent - from)
    equal
        (c.Int 1 |> slice c.Axis from c.Extent |> slice c.Axis next (c.Extent - from))
        (slice c.Axis (from + next) c.Extent (c.Int 1))

[<Law("Movement", "x[a::s][b::t] = x[a + s b :: s t]", "slices of slices are slices: starts are scaled, steps multiply")>]
let ``slices with steps compose`` (c: Case) =
    let s, t = amounts c 2 10 |> Array.map ((+) 1), amounts c 2 20 |> Array.map ((+) 1)
    let a = c.Shape |> Array.mapi (fun i e -> c.Number(30 + i, e + 1))
    let once = Op.slice a c.Shape s (c.Int 1)
    let b = once.Shape |> Array.mapi (fun i e -> c.Number(40 + i, e + 1))
    let start = Array.init c.Rank (fun i -> min c.Shape[i] (a[i] + s[i] * b[i]))
    equal (Op.slice b once.Shape t once) (Op.slice start c.Shape (Array.map2 (*) s t) (c.Int 1))

[<Law("Movement", "rev(x)[a..b] = rev(x[n - b..n - a])", "a slice of a reversal is the reversal of a slice")>]
let ``slices of reversals`` (c: Axes) =
    let n = c.Extent
    let a = c.Number(5, n + 1)
    let b = a + c.Number(6, n - a + 1)
    let reversed = Op.reverse [ c.Axis ]
    equal (reversed (c.Int 1) |> slice c.Axis a b) (slice c.Axis (n - b) (n - a) (c.Int 1) |> reversed)

[<Law("Movement", "slice(pad(x)) = x", "what padding adds, a slice removes, holes included")>]
let ``what padding adds, a slice removes`` (c: Case) =
    let low, high, interior = amounts c 3 10, amounts c 3 20, amounts c 3 30
    let padded = Op.pad low high interior (int64Constant 7L) (c.Int 1)
    let used i = if c.Shape[i] = 0 then 0 else (c.Shape[i] - 1) * (interior[i] + 1) + 1
    equal (Op.slice low (Array.init c.Rank (fun i -> low[i] + used i)) (interior |> Array.map ((+) 1)) padded) (c.Int 1)

[<Law("Movement", "pad_m(pad_n(x)) = pad_(m + n)(x)", "paddings of one value add up")>]
let ``paddings add up`` (c: Case) =
    let none = Array.create c.Rank 0
    let a, b, d, e = amounts c 3 10, amounts c 3 20, amounts c 3 30, amounts c 3 40
    let pad low high = Op.pad low high none (int64Constant 7L)
    equal (c.Int 1 |> pad a b |> pad d e) (c.Int 1 |> pad (Array.map2 (+) a d) (Array.map2 (+) b e))

[<Law("Movement", "pad_low(x) = v ++ x", "padding is joining with a constant")>]
let ``padding is joining with a constant`` (c: Axes) =
    let at (v: int) = Array.init c.Rank (fun i -> if i = c.Axis then v else 0)
    let part = full DType.I64 (c.With 2) 7.0
    equal (Op.pad (at 2) (at 0) (at 0) (int64Constant 7L) (c.Int 1)) (concat c.Axis [ part; c.Int 1 ])

[<Law("Movement", "Σ pad₀(x) = Σ x", "zeros around a tensor add nothing to its sum")>]
let ``the padding of zeros adds nothing to a sum`` (c: Case) =
    let one = Array.create c.Rank 1
    equal (sum (Op.pad one one one (int64Constant 0L) (c.Int 1))) (sum (c.Int 1))

[<Law("Movement", "spread(x[::2]) + shift(spread(x[1::2])) = x", "even and odd elements, dilated, interleave")>]
let ``even and odd elements interleave`` (c: Axes) =
    let x = c.IntOf(1, [| 2 * c.Extent |])
    let every start = Op.slice [| start |] [| 2 * c.Extent |] [| 2 |] x
    let spread low high = Op.pad [| low |] [| high |] [| 1 |] (int64Constant 0L)
    equal (spread 0 1 (every 0) + spread 1 0 (every 1)) x

[<Law("Movement", "(x ++ y) ++ z = x ++ (y ++ z)", "joining associates")>]
let ``joining associates`` (c: Axes) =
    let x, y, z = c.Int 1, c.IntOf(2, c.With 2), c.IntOf(3, c.With 0)
    let join a b = concat c.Axis [ a; b ]
    equal (join (join x y) z) (join x (join y z))

[<Law("Movement", "x ++ ∅ = x", "an empty part adds nothing")>]
let ``joining with nothing`` (c: Axes) = equal (concat c.Axis [ c.IntOf(2, c.With 0); c.Int 1 ]) (c.Int 1)

[<Law("Movement", "rev(x ++ y) = rev(y) ++ rev(x)", "reversal turns a join round")>]
let ``the reversal of a join`` (c: Axes) =
    let reversed = Op.reverse [ c.Axis ]
    let y = c.IntOf(2, c.With 3)
    equal (reversed (concat c.Axis [ c.Int 1; y ])) (concat c.Axis [ reversed y; reversed (c.Int 1) ])

[<Law("Movement", "p(x ++_a y) = p(x) ++_p⁻¹(a) p(y)", "a permutation of a join is a join of permutations")>]
let ``the permutation of a join`` (c: Axes) =
    let p = c.Permutation(2, c.Rank)
    equal
        (permute p (concat c.Axis [ c.Int 1; c.Int 2 ]))
        (concat (inverse p).[c.Axis] [ permute p (c.Int 1); permute p (c.Int 2) ])

[<Law("Movement", "f(x ++ y) = f(x) ++ f(y)", "elementwise functions work on parts")>]
let ``elementwise functions pass through joins`` (c: Axes) =
    let f (x: Tensor) = x * x - x
    equal (f (concat c.Axis [ c.Int 1; c.Int 2 ])) (concat c.Axis [ f (c.Int 1); f (c.Int 2) ])

[<Law("Movement", "m(f(x)) = f(m(x)) for every movement m", "elements are the same wherever they stand")>]
let ``elementwise functions pass through movement`` (c: Axes) =
    let p = c.Permutation(2, c.Rank)
    equal (permute p (c.Int 1 * c.Int 2)) (permute p (c.Int 1) * permute p (c.Int 2))
    equal (slice c.Axis (c.Extent / 2) c.Extent (-(c.Int 1))) (-(slice c.Axis (c.Extent / 2) c.Extent (c.Int 1)))
    equal (Op.reverse [ c.Axis ] (abs (c.Int 1))) (abs (Op.reverse [ c.Axis ] (c.Int 1)))

[<Law("Movement", "stack(x, y)[i] = i-th of x, y", "stacking and taking one")>]
let ``stacking and taking one`` (c: Case) =
    let both = stack 0 [ c.Int 1; c.Int 2 ]
    equal (both |> slice 0 1 2 |> squeeze 0) (c.Int 2)

[<Law("Movement", "squeeze(unsqueeze(x)) = x", "an axis of extent 1 comes and goes")>]
let ``an axis of extent 1 comes and goes`` (c: Case) =
    let axis = c.Number(3, c.Rank + 1)
    equal (c.Int 1 |> unsqueeze axis |> squeeze axis) (c.Int 1)

// ------------------------------------------------------------------------------------------------ windows

let private window (c: Axes) =
    { Axis = c.Axis
      Size = 1 + c.Number(5, min 3 c.Extent)
      Step = 1 + c.Number(6, 3)
      Dilation = 1 }

[<Law("Windows", "unfold_1(x) = x", "windows of one element are the axis")>]
let ``windows of one element are the axis`` (c: Axes) =
    let w = { Axis = c.Axis; Size = 1; Step = 1; Dilation = 1 }
    equal (Op.unfold w (c.Int 1)) (unsqueeze -1 (c.Int 1))

[<Law("Windows", "unfold(x)[.., j] = x[j d :: s]", "the j-th element of all windows is a slice with steps")>]
let ``the elements of windows are slices with steps`` (c: Axes) =
    let w = { window c with Dilation = 1 + c.Number(7, 2) }
    let w = if (w.Size - 1) * w.Dilation + 1 > c.Extent then { w with Dilation = 1 } else w
    let windows = Op.unfold w (c.Int 1)
    let count, j = windows.Shape[c.Axis], c.Number(8, w.Size)
    let start = j * w.Dilation
    let along v other = Array.init c.Rank (fun i -> if i = c.Axis then v else other i)
    equal
        (windows |> slice -1 j (j + 1) |> squeeze -1)
        (Op.slice
            (along start (fun _ -> 0))
            (along (start + (count - 1) * w.Step + 1) (fun i -> c.Shape[i]))
            (along w.Step (fun _ -> 1))
            (c.Int 1))

[<Law("Windows", "fold(unfold(x)) = count · x", "folding counts how often each element is in a window")>]
let ``folding counts how often each element is in a window`` (c: Axes) =
    let w = window c
    let count = Op.fold w c.Extent (Op.unfold w (full DType.I64 c.Shape 1.0))
    equal (Op.fold w c.Extent (Op.unfold w (c.Int 1))) (count * c.Int 1)

[<Law("Windows", "unfold_s,s(x) = reshape(x)", "windows that touch and do not overlap only split the axis")>]
let ``windows side by side split the axis`` (c: Axes) =
    let x = c.IntOf(1, [| 2; c.Extent * 3 |])
    let w = { Axis = 1; Size = 3; Step = 3; Dilation = 1 }
    equal (Op.unfold w x) (reshape [| 2; c.Extent; 3 |] x)
    equal (Op.fold w (3 * c.Extent) (Op.unfold w x)) x

// ------------------------------------------------------------------------------------------------ indexing

[<Law("Indexing", "x[0, 1, .., n - 1] = x", "gathering every index in order changes nothing")>]
let ``gathering every index in order changes nothing`` (c: Axes) =
    equal (take c.Axis (arange DType.I64 c.Extent) (c.Int 1)) (c.Int 1)

[<Law("Indexing", "x[i][j] = x[i[j]]", "lookups compose")>]
let ``gathering twice is gathering at gathered indices`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 5 |])
    let j = c.Below(3, 5, [| 4; 2 |])
    equal (c.Int 1 |> take c.Axis i |> take c.Axis j) (take c.Axis (take 0 j i) (c.Int 1))

[<Law("Indexing", "x[i] = onehot(i) x", "an embedding is a matrix product with one-hot rows")>]
let ``gathering is a product with one-hot rows`` (c: Axes) =
    let rows = c.Below(2, c.Shape[0], [| 6 |])
    let flat = reshape [| c.Shape[0]; -1 |] (c.Int 1)
    equal (matmul (oneHot DType.I64 c.Shape[0] rows) flat) (take 0 rows flat)

[<Law("Indexing", "f(x)[i] = f(x[i])", "elementwise functions may be done after a lookup: on fewer elements")>]
let ``functions pass through lookups`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 3 |])
    equal (take c.Axis i (c.Int 1 * c.Int 2)) (take c.Axis i (c.Int 1) * take c.Axis i (c.Int 2))

[<Law("Indexing", "x[n - 1, .., 0] = rev(x)", "reversal is a lookup")>]
let ``reversal is a lookup`` (c: Axes) =
    let backwards = (c.Extent - 1) - arange DType.I64 c.Extent
    equal (take c.Axis backwards (c.Int 1)) (Op.reverse [ c.Axis ] (c.Int 1))

[<Law("Indexing", "gather over batches = each batch gathered", "batched lookups are lookups")>]
let ``a batched lookup looks up in each batch`` (c: Axes) =
    let n = c.Extent
    let x, i = c.IntOf(1, [| 3; n; 2 |]), c.Below(2, n, [| 3; 4 |])
    let each b = take 0 (i |> slice 0 b (b + 1) |> squeeze 0) (x |> slice 0 b (b + 1) |> squeeze 0)
    equal (Op.gather 1 1 x i) (stack 0 [ each 0; each 1; each 2 ])

[<Law("Indexing", "scatter(0, i, x[i]) = count(i) · x", "adding what was gathered counts how often it was")>]
let ``adding what was gathered counts it`` (c: Axes) =
    let rows = c.Below(2, c.Shape[0], [| 6 |])
    let count =
        sumOver [ 0 ] (oneHot DType.I64 c.Shape[0] rows)
        |> reshape (Array.append [| -1 |] (Array.create (c.Rank - 1) 1))
    let added = Op.scatterAdd 0 0 (zerosLike (c.Int 1)) rows (take 0 rows (c.Int 1))
    equal added (count * c.Int 1)

[<Law("Indexing",
      "scatter(x, i, u) = x + onehot(i)ᵀ u",
      "adding at indices is a product with one-hot columns; repeats add up")>]
let ``adding at indices is a product with one-hot columns`` (c: Axes) =
    let n = c.Extent
    let x, i, u = c.IntOf(1, [| n; 3 |]), c.Below(2, n, [| 7 |]), c.IntOf(3, [| 7; 3 |])
    equal (Op.scatterAdd 0 0 x i u) (x + matmul (transpose (oneHot DType.I64 n i)) u)

[<Law("Indexing", "Σ scatter(x, i, u) = Σ x + Σ u", "nothing is lost when updates are added")>]
let ``adding at indices keeps the total`` (c: Axes) =
    let i = c.Below(2, c.Extent, [| 5 |])
    let u = c.IntOf(3, c.With 5)
    equal (sum (Op.scatterAdd c.Axis 0 (c.Int 1) i u)) (sum (c.Int 1) + sum u)

[<Law("Indexing",
      "scatter(scatter(x, i, u), j, v) = scatter(scatter(x, j, v), i, u)",
      "integer updates may come in any order")>]
let ``updates may come in any order`` (c: Axes) =
    let i, j = c.Below(2, c.Extent, [| 5 |]), c.Below(3, c.Extent, [| 4 |])
    let u, v = c.IntOf(4, c.With 5), c.IntOf(5, c.With 4)
    let add i u x = Op.scatterAdd c.Axis 0 x i u
    equal (c.Int 1 |> add i u |> add j v) (c.Int 1 |> add j v |> add i u)

let private box (c: Axes) =
    let at = c.Shape |> Array.mapi (fun i e -> c.Number(10 + i, e + 1))
    let sizes = Array.map2 (fun e a -> e - a) c.Shape at
    at, sizes, at |> Array.map (fun a -> i64 [||] [ int64 a ])

[<Law("Indexing", "dynamicSlice(x, s) = x[s..]", "a slice whose start is data is a slice")>]
let ``a dynamic slice is a slice`` (c: Axes) =
    let at, sizes, starts = box c
    equal (Op.dynamicSlice starts sizes (c.Int 1)) (Op.slice at c.Shape (Array.create c.Rank 1) (c.Int 1))

[<Law("Indexing", "update(x, s, x[s..]) = x", "writing back what was read changes nothing")>]
let ``writing back what was read`` (c: Axes) =
    let _, sizes, starts = box c
    equal (Op.dynamicUpdate starts (Op.dynamicSlice starts sizes (c.Int 1)) (c.Int 1)) (c.Int 1)

[<Law("Indexing", "update(x, s, u)[s..] = u", "what was written can be read")>]
let ``reading back what was written`` (c: Axes) =
    let _, sizes, starts = box c
    let u = c.IntOf(2, sizes)
    equal (c.Int 1 |> Op.dynamicUpdate starts u |> Op.dynamicSlice starts sizes) u

[<Law("Indexing", "update(update(x, s, u), s, v) = update(x, s, v)", "the last write wins: what a KV cache relies on")>]
let ``the last write wins`` (c: Axes) =
    let _, sizes, starts = box c
    let u, v = c.IntOf(2, sizes), c.IntOf(3, sizes)
    equal (c.Int 1 |> Op.dynamicUpdate starts u |> Op.dynamicUpdate starts v) (Op.dynamicUpdate starts v (c.Int 1))

[<Test>]
let ``empty tensors move, too`` () =
    let nothing = i64 [| 2; 0; 3 |] []
    equal (nothing |> permute [| 2; 1; 0 |] |> reshape [| 0; 6 |] |> reshape [| 2; 0; 3 |]) nothing
