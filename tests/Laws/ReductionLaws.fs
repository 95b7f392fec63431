/// Sums, products, orders and contractions of integers, which no order of summation can change.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.ReductionLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Cases

[<Law 30>]
let ``a sum does not depend on where elements stand`` (c: Case) =
    equal (sum (permute (c.Permutation(2, c.Rank)) (c.Int 1))) (sum (c.Int 1))

[<Law 30>]
let ``sums are linear`` (c: Axes) =
    let total x = sumOver [ c.Axis ] x
    equal (total (c.Int 1 * 3 + c.Int 2)) (total (c.Int 1) * 3 + total (c.Int 2))

[<Law 30>]
let ``axes may be summed in turn`` (c: Axes) =
    equal (sum (sumOver [ c.Axis ] (c.Int 1))) (sum (c.Int 1))
    equal (sum (sumOver [ 0 ] (c.Int 1))) (sumOver [ 0 .. c.Rank - 1 ] (c.Int 1))

[<Law 30>]
let ``the sum of a concatenation is the sum of sums`` (c: Axes) =
    equal
        (sumOver [ c.Axis ] (concat c.Axis [ c.Int 1; c.Int 2 ]))
        (sumOver [ c.Axis ] (c.Int 1) + sumOver [ c.Axis ] (c.Int 2))

[<Law 30>]
let ``summing what was stretched multiplies`` (c: Case) =
    equal (sumOver [ 0 ] (broadcastTo (Array.append [| 7 |] c.Shape) (c.Int 1))) (c.Int 1 * 7)

[<Law 30>]
let ``products multiply`` (c: Axes) =
    let product x = Op.reduce Reduction.Prod [ c.Axis ] x
    equal (product (c.Int 1 * c.Int 2)) (product (c.Int 1) * product (c.Int 2))

[<Law 30>]
let ``the largest of a concatenation is the larger of the largest`` (c: Axes) =
    equal
        (amax [ c.Axis ] (concat c.Axis [ c.Int 1; c.Int 2 ]))
        (maximum (amax [ c.Axis ] (c.Int 1)) (amax [ c.Axis ] (c.Int 2)))

[<Law 30>]
let ``min is the opposite of the max of opposites`` (c: Axes) =
    equal (amin [ c.Axis ] (c.Int 1)) (-(amax [ c.Axis ] (-(c.Int 1))))

[<Law 30>]
let ``argMax points at the first largest element`` (c: Axes) =
    let x = c.Int 1
    let i = argMax c.Axis x
    let top = amaxKeep [ c.Axis ] x
    let isFirst = Op.iota DType.I64 c.Shape c.Axis |> fun at -> where (eq x top) at (full DType.I64 c.Shape 1e6)
    equal i (amin [ c.Axis ] isFirst)

[<Law 30>]
let ``running sums end with the sum, and differ by the elements`` (c: Axes) =
    let n = c.Shape[c.Axis]
    let running = cumSum c.Axis (c.Int 1)
    equal (running |> slice c.Axis (n - 1) n |> squeeze c.Axis) (sumOver [ c.Axis ] (c.Int 1))
    equal (slice c.Axis 1 n running - slice c.Axis 0 (n - 1) running) (slice c.Axis 1 n (c.Int 1))

[<Law 30>]
let ``a running sum from the end is one of the reversed`` (c: Axes) =
    let reversed = Op.reverse [ c.Axis ]
    equal (Op.cumSum c.Axis true (c.Int 1)) (c.Int 1 |> reversed |> cumSum c.Axis |> reversed)

[<Law 30>]
let ``sorting sorts, twice as once, and keeps the elements`` (c: Axes) =
    let n = c.Shape[c.Axis]
    let sorted, places = Op.sort c.Axis false (c.Int 1)
    equal (fst (Op.sort c.Axis false sorted)) sorted
    equal
        (le (slice c.Axis 0 (n - 1) sorted) (slice c.Axis 1 n sorted))
        (full DType.Bool (slice c.Axis 1 n sorted).Shape 1.0)
    equal (sumOver [ c.Axis ] (square sorted)) (sumOver [ c.Axis ] (square (c.Int 1)))
    equal (fst (Op.sort c.Axis false places)) (Op.iota DType.I64 c.Shape c.Axis)

[<Law 30>]
let ``the k largest are the head of the descending order`` (c: Axes) =
    let k = c.Random(5).Next(c.Shape[c.Rank - 1] + 1)
    let values, places = Op.topK k (c.Int 1)
    let all, order = Op.sort (c.Rank - 1) true (c.Int 1)
    equal values (slice -1 0 k all)
    equal places (slice -1 0 k order)

// ------------------------------------------------------------------------------------------------ contraction

[<Law 30>]
let ``matrix products associate`` (m: Matrices) = equal (matmul (matmul m.A m.B) m.C) (matmul m.A (matmul m.B m.C))

[<Law 30>]
let ``matrix products distribute over sums`` (m: Matrices) =
    equal (matmul (m.A + m.A2) m.B) (matmul m.A m.B + matmul m.A2 m.B)

[<Law 30>]
let ``the transpose of a product is the product of transposes`` (m: Matrices) =
    equal (transpose (matmul m.A m.B)) (matmul (transpose m.B) (transpose m.A))

[<Law 30>]
let ``the unit matrix`` (m: Matrices) =
    let unit = oneHot DType.I64 m.Sizes[1] (arange DType.I64 m.Sizes[1])
    equal (matmul m.A unit) m.A
    equal (matmul unit m.B) m.B

[<Law 30>]
let ``a product is a sum of stretched products`` (m: Matrices) =
    equal (matmul m.A m.B) (sumOver [ 1 ] (unsqueeze 2 m.A * unsqueeze 0 m.B))

[<Law 30>]
let ``products of blocks`` (m: Matrices) =
    equal (matmul (concat 1 [ m.A; m.A2 ]) (concat 0 [ m.B; m.B * 2 ])) (matmul m.A m.B + matmul m.A2 m.B * 2)
    equal (matmul (concat 0 [ m.A; m.A2 ]) m.B) (concat 0 [ matmul m.A m.B; matmul m.A2 m.B ])

[<Law 30>]
let ``a batch of products is each product`` (m: Matrices) =
    let batch = matmul (stack 0 [ m.A; m.A2 ]) m.B
    equal (batch |> slice 0 1 2 |> squeeze 0) (matmul m.A2 m.B)

[<Law 30>]
let ``a convolution by a kernel of one element mixes channels`` (c: Axes) =
    let n = c.Shape[0]
    let x, w = c.IntOf(1, [| 2; 3; n |]), c.IntOf(2, [| 4; 3; 1 |])
    let options =
        { Strides = [| 1 |]
          PadLow = [| 0 |]
          PadHigh = [| 0 |]
          LeftDilation = [| 1 |]
          RightDilation = [| 1 |]
          Groups = 1 }
    equal (Op.conv options x w) (matmul (squeeze 2 w) x)

[<Law 30>]
let ``a convolution is a product with windows`` (c: Axes) =
    let n, size = c.Shape[0] + 2, 1 + c.Random(3).Next 3
    let x, w = c.IntOf(1, [| 2; 3; n |]), c.IntOf(2, [| 4; 3; size |])
    let options =
        { Strides = [| 2 |]
          PadLow = [| 0 |]
          PadHigh = [| 0 |]
          LeftDilation = [| 1 |]
          RightDilation = [| 1 |]
          Groups = 1 }
    let windows = Op.unfold { Axis = 2; Size = size; Step = 2; Dilation = 1 } x // [2; 3; places; size]
    let product =
        Op.dot
            { LeftBatch = [||]
              RightBatch = [||]
              LeftSum = [| 1; 3 |]
              RightSum = [| 1; 2 |] }
            windows
            w
    equal (Op.conv options x w) (permute [| 0; 2; 1 |] product)

[<Test>]
let ``sums of nothing`` () =
    Assert.That(item (sum (i64 [| 0; 3 |] [])), Is.Zero)
    equal (matmul (i64 [| 2; 0 |] []) (i64 [| 0; 3 |] [])) (full DType.I64 [| 2; 3 |] 0.0)
