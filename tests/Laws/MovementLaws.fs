/// Where elements stand: compositions and inverses.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.MovementLaws

open System
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Cases

let private inverse (p: int[]) = Array.init p.Length (fun i -> Array.IndexOf(p, i))

[<Law 30>]
let ``a permutation and its inverse cancel`` (c: Case) =
    let p = c.Permutation(2, c.Rank)
    equal (c.Int 1 |> permute p |> permute (inverse p)) (c.Int 1)

[<Law 30>]
let ``permutations compose`` (c: Case) =
    let p, q = c.Permutation(2, c.Rank), c.Permutation(3, c.Rank)
    equal (c.Int 1 |> permute p |> permute q) (permute (q |> Array.map (fun i -> p[i])) (c.Int 1))

[<Law 30>]
let ``reshaping there and back`` (c: Case) =
    equal (c.Int 1 |> reshape [| Shape.count c.Shape |] |> reshape c.Shape) (c.Int 1)

[<Law 30>]
let ``reshaping a permutation and back`` (c: Case) =
    let p = c.Permutation(2, c.Rank)
    let moved = permute p (c.Int 1)
    equal (moved |> reshape [| moved.Count; 1 |] |> reshape moved.Shape |> permute (inverse p)) (c.Int 1)

[<Law 30>]
let ``reversing twice`` (c: Axes) = equal (c.Int 1 |> Op.reverse [ c.Axis ] |> Op.reverse [ c.Axis ]) (c.Int 1)

[<Law 30>]
let ``reversing the first axis of a permutation reverses the axis it came from`` (c: Axes) =
    let p = c.Permutation(2, c.Rank)
    equal (c.Int 1 |> permute p |> Op.reverse [ 0 ]) (c.Int 1 |> Op.reverse [ p[0] ] |> permute p)

[<Law 30>]
let ``slices side by side are the whole`` (c: Axes) =
    let extent = c.Shape[c.Axis]
    let at = c.Random(5).Next(extent + 1)
    equal (concat c.Axis [ slice c.Axis 0 at (c.Int 1); slice c.Axis at extent (c.Int 1) ]) (c.Int 1)

[<Law 30>]
let ``a slice of a concatenation is its operand`` (c: Axes) =
    let extent = c.Shape[c.Axis]
    let both = concat c.Axis [ c.Int 1; c.Int 2 ]
    equal (slice c.Axis extent (2 * extent) both) (c.Int 2)

[<Law 30>]
let ``slices compose`` (c: Axes) =
    let extent = c.Shape[c.Axis]
    let from = c.Random(5).Next extent
    let next = c.Random(6).Next(extent - from)
    equal
        (c.Int 1 |> slice c.Axis from extent |> slice c.Axis next (extent - from))
        (slice c.Axis (from + next) extent (c.Int 1))

[<Law 30>]
let ``what padding adds, a slice removes`` (c: Case) =
    let amounts k = Array.init c.Rank (fun i -> c.Random(k + i).Next 4)
    let low, high, interior = amounts 10, amounts 20, amounts 30
    let padded = Op.pad low high interior (Op.constant (Constant.ofInt DType.I64 7L)) (c.Int 1)
    let used i = if c.Shape[i] = 0 then 0 else (c.Shape[i] - 1) * (interior[i] + 1) + 1
    equal (Op.slice low (Array.init c.Rank (fun i -> low[i] + used i)) (interior |> Array.map ((+) 1)) padded) (c.Int 1)

[<Law 30>]
let ``the padding of zeros adds nothing to a sum`` (c: Case) =
    let one = Array.create c.Rank 1
    equal (sum (Op.pad one one one (Op.constant (Constant.ofInt DType.I64 0L)) (c.Int 1))) (sum (c.Int 1))

[<Law 30>]
let ``elementwise functions pass through movement`` (c: Axes) =
    let p = c.Permutation(2, c.Rank)
    let extent = c.Shape[c.Axis]
    equal (permute p (c.Int 1 * c.Int 2)) (permute p (c.Int 1) * permute p (c.Int 2))
    equal (slice c.Axis (extent / 2) extent (-(c.Int 1))) (-(slice c.Axis (extent / 2) extent (c.Int 1)))

[<Law 30>]
let ``stacking and taking one`` (c: Case) =
    let both = stack 0 [ c.Int 1; c.Int 2 ]
    equal (both |> slice 0 1 2 |> squeeze 0) (c.Int 2)

[<Law 30>]
let ``windows of one element are the axis`` (c: Axes) =
    let w = { Axis = c.Axis; Size = 1; Step = 1; Dilation = 1 }
    equal (Op.unfold w (c.Int 1)) (unsqueeze -1 (c.Int 1))

[<Law 30>]
let ``folding counts how often each element is in a window`` (c: Axes) =
    let extent = c.Shape[c.Axis]
    let w =
        { Axis = c.Axis
          Size = 1 + c.Random(5).Next(min 3 extent)
          Step = 1 + c.Random(6).Next 2
          Dilation = 1 }
    let count = Op.fold w extent (Op.unfold w (full DType.I64 c.Shape 1.0))
    equal (Op.fold w extent (Op.unfold w (c.Int 1))) (count * c.Int 1)

[<Law 30>]
let ``gathering every index in order changes nothing`` (c: Axes) =
    equal (take c.Axis (arange DType.I64 c.Shape[c.Axis]) (c.Int 1)) (c.Int 1)

[<Law 30>]
let ``gathering twice is gathering at gathered indices`` (c: Axes) =
    let i = c.Below(2, c.Shape[c.Axis], [| 5 |])
    let j = c.Below(3, 5, [| 4; 2 |])
    equal (c.Int 1 |> take c.Axis i |> take c.Axis j) (take c.Axis (take 0 j i) (c.Int 1))

[<Law 30>]
let ``gathering is a product with one-hot rows`` (c: Axes) =
    let rows = c.Below(2, c.Shape[0], [| 6 |])
    let flat = reshape [| c.Shape[0]; -1 |] (c.Int 1)
    equal (matmul (oneHot DType.I64 c.Shape[0] rows) flat) (take 0 rows flat)

[<Law 30>]
let ``adding what was gathered counts it`` (c: Axes) =
    let rows = c.Below(2, c.Shape[0], [| 6 |])
    let count =
        sumOver [ 0 ] (oneHot DType.I64 c.Shape[0] rows)
        |> reshape (Array.append [| -1 |] (Array.create (c.Rank - 1) 1))
    let added = Op.scatterAdd 0 0 (zerosLike (c.Int 1)) rows (take 0 rows (c.Int 1))
    equal added (count * c.Int 1)

[<Law 30>]
let ``a dynamic slice is a slice, and writing it back changes nothing`` (c: Axes) =
    let at = c.Shape |> Array.mapi (fun i e -> c.Random(10 + i).Next(e + 1))
    let sizes = Array.map2 (fun e a -> e - a) c.Shape at
    let starts = at |> Array.map (fun a -> i64 [||] [ int64 a ])
    let part = Op.dynamicSlice starts sizes (c.Int 1)
    equal part (Op.slice at c.Shape (Array.create c.Rank 1) (c.Int 1))
    equal (Op.dynamicUpdate starts part (c.Int 1)) (c.Int 1)

[<Test>]
let ``empty tensors move, too`` () =
    let nothing = i64 [| 2; 0; 3 |] []
    equal (nothing |> permute [| 2; 1; 0 |] |> reshape [| 0; 6 |] |> reshape [| 2; 0; 3 |]) nothing
