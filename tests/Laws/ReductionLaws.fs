/// Sums, products and orders, mostly of integers, which no order of summation can change.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.ReductionLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

// ------------------------------------------------------------------------------------------------ reductions

[<Law("Reductions", "Σ p(x) = Σ x", "a sum does not depend on where elements stand")>]
let ``a sum does not see a permutation`` (c: Case) =
    equal (sum (permute (c.Permutation(2, c.Rank)) (c.Int 1))) (sum (c.Int 1))

[<Law("Reductions", "Σ_a p(x) = p'(Σ_p(a) x)", "summing a permuted tensor is permuting a summed one")>]
let ``sums pass through permutations`` (c: Axes) =
    let p = c.Permutation(2, c.Rank)
    let rest = p[1..] |> Array.map (fun a -> if a > p[0] then a - 1 else a)
    equal (sumOver [ 0 ] (permute p (c.Int 1))) (permute rest (sumOver [ p[0] ] (c.Int 1)))

[<Law("Reductions", "Σ (a x + y) = a Σ x + Σ y", "sums are linear: constants may be taken out")>]
let ``sums are linear`` (c: Axes) =
    let total x = sumOver [ c.Axis ] x
    equal (total (c.Int 1 * 3 + c.Int 2)) (total (c.Int 1) * 3 + total (c.Int 2))

[<Law("Reductions", "Σ_b Σ_a x = Σ_ab x", "axes may be summed in turn or at once")>]
let ``axes may be summed in turn`` (c: Axes) =
    equal (sum (sumOver [ c.Axis ] (c.Int 1))) (sum (c.Int 1))
    equal (sum (sumOver [ 0 ] (c.Int 1))) (sumOver [ 0 .. c.Rank - 1 ] (c.Int 1))

[<Law("Reductions", "Σ (x ++ y) = Σ x + Σ y", "a sum may be split: over batches, blocks, machines")>]
let ``the sum of a join is the sum of sums`` (c: Axes) =
    let y = c.IntOf(2, c.With 3)
    equal (sumOver [ c.Axis ] (concat c.Axis [ c.Int 1; y ])) (sumOver [ c.Axis ] (c.Int 1) + sumOver [ c.Axis ] y)

[<Law("Reductions", "Σ rev(x) = Σ x", "the direction of a sum does not matter")>]
let ``the direction of a sum`` (c: Axes) =
    equal (sumOver [ c.Axis ] (Op.reverse [ c.Axis ] (c.Int 1))) (sumOver [ c.Axis ] (c.Int 1))

[<Law("Reductions", "Σ stretchₙ(x) = n x", "summing what was stretched multiplies")>]
let ``summing what was stretched multiplies`` (c: Case) =
    equal (sumOver [ 0 ] (broadcastTo (Array.append [| 7 |] c.Shape) (c.Int 1))) (c.Int 1 * 7)

[<Law("Reductions", "(Σ x) (Σ y) = Σ Σ (x ⊗ y)", "a product of sums is the sum of all products")>]
let ``a product of sums`` (c: Axes) =
    let x, y = c.IntOf(1, [| c.Extent |]), c.IntOf(2, [| 5 |])
    equal (sum x * sum y) (sum (unsqueeze 1 x * y))

[<Law("Reductions", "Π (x y) = (Π x) (Π y)", "products multiply")>]
let ``products multiply`` (c: Axes) =
    let product x = Op.reduce Reduction.Prod [ c.Axis ] x
    equal (product (c.Int 1 * c.Int 2)) (product (c.Int 1) * product (c.Int 2))

[<Law("Reductions", "Π (x ++ y) = Π x · Π y", "a product may be split")>]
let ``the product of a join`` (c: Axes) =
    let product x = Op.reduce Reduction.Prod [ c.Axis ] x
    let y = c.IntOf(2, c.With 2)
    equal (product (concat c.Axis [ c.Int 1; y ])) (product (c.Int 1) * product y)

[<Law("Reductions", "log Π x = Σ log x", "for positive numbers, within rounding")>]
let ``the logarithm of a product`` (c: Axes) =
    let x = c.Positive 1
    close (log (Op.reduce Reduction.Prod [ c.Axis ] x)) (sumOver [ c.Axis ] (log x))

[<Law("Reductions", "max(x ++ y) = max(max x, max y)", "the largest of a join is the larger of the largest")>]
let ``the largest of a join`` (c: Axes) =
    equal
        (amax [ c.Axis ] (concat c.Axis [ c.Special 1; c.Special 2 ]))
        (maximum (amax [ c.Axis ] (c.Special 1)) (amax [ c.Axis ] (c.Special 2)))

[<Law("Reductions", "max p(x) = max x", "a maximum is exact in any order, NaN and zeros of either sign included")>]
let ``a maximum does not see an order`` (c: Axes) =
    let x = c.Special 1
    equal (amax [ c.Axis ] (Op.reverse [ c.Axis ] x)) (amax [ c.Axis ] x)
    equal (amax [ 0 .. c.Rank - 1 ] (permute (c.Permutation(2, c.Rank)) x)) (amax [ 0 .. c.Rank - 1 ] x)

[<Law("Reductions", "max(x ++ x) = max x", "repeating elements changes no maximum")>]
let ``a maximum does not count`` (c: Axes) =
    equal (amax [ c.Axis ] (concat c.Axis [ c.Special 1; c.Special 1 ])) (amax [ c.Axis ] (c.Special 1))

[<Law("Reductions", "min x = -max(-x)", "min is the dual of max")>]
let ``the smallest is the opposite of the largest of opposites`` (c: Axes) =
    equal (amin [ c.Axis ] (c.Special 1)) (-(amax [ c.Axis ] (-(c.Special 1))))

[<Law("Reductions", "max(x + s) = max x + s,  max(2x) = 2 max x", "shifts and positive factors pass through a maximum")>]
let ``a maximum of a shifted tensor`` (c: Axes) =
    let shift = c.IntOf(2, c.With 1)
    equal (amaxKeep [ c.Axis ] (c.Int 1 + shift)) (amaxKeep [ c.Axis ] (c.Int 1) + shift)
    equal (amax [ c.Axis ] (c.Int 1 * 2)) (amax [ c.Axis ] (c.Int 1) * 2)

[<Law("Reductions", "min x ≤ mean x ≤ max x", "a mean lies between the extremes (within rounding)")>]
let ``a mean lies between the extremes`` (c: Axes) =
    let x = c.Float 1
    let m = meanOver [ c.Axis ] x
    holds (le (amin [ c.Axis ] x - 1e-12) m)
    holds (le m (amax [ c.Axis ] x + 1e-12))

[<Law("Reductions", "var x = mean(x²) - (mean x)²", "variance two ways, within rounding")>]
let ``variance is the mean of squares without the square of the mean`` (c: Axes) =
    let x = c.Float 1
    close (varianceKeep [ c.Axis ] x) (meanKeep [ c.Axis ] (x * x) - square (meanKeep [ c.Axis ] x))

[<Law("Reductions", "var(a x + b) = a² var x", "variance does not see a shift and squares a factor")>]
let ``the variance of an affine map`` (c: Axes) =
    close (varianceKeep [ c.Axis ] (c.Float 1 * 3.0 + 2.0)) (varianceKeep [ c.Axis ] (c.Float 1) * 9.0)

[<Law("Reductions", "(Σ x y)² ≤ Σ x² · Σ y²", "Cauchy and Schwarz, in integers")>]
let ``Cauchy and Schwarz`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    holds (le (square (inner x y)) (inner x x * inner y y))

// ------------------------------------------------------------------------------------------------ running sums

[<Law("Running sums", "cumsum(x)[n - 1] = Σ x", "a running sum ends with the sum")>]
let ``a running sum ends with the sum`` (c: Axes) =
    let n = c.Extent
    equal (cumSum c.Axis (c.Int 1) |> slice c.Axis (n - 1) n |> squeeze c.Axis) (sumOver [ c.Axis ] (c.Int 1))

[<Law("Running sums", "cumsum(x)[1..] - cumsum(x)[..n - 1] = x[1..]", "differences undo running sums")>]
let ``differences undo running sums`` (c: Axes) =
    let n = c.Extent
    let running = cumSum c.Axis (c.Int 1)
    equal (slice c.Axis 1 n running - slice c.Axis 0 (n - 1) running) (slice c.Axis 1 n (c.Int 1))

[<Law("Running sums", "cumsum_rev(x) = rev(cumsum(rev(x)))", "a running sum from the end is one of the reversed")>]
let ``a running sum from the end is one of the reversed`` (c: Axes) =
    let reversed = Op.reverse [ c.Axis ]
    equal (Op.cumSum c.Axis true (c.Int 1)) (c.Int 1 |> reversed |> cumSum c.Axis |> reversed)

[<Law("Running sums", "cumsum(x) + cumsum_rev(x) = Σ x + x", "from both ends, each element is counted twice")>]
let ``running sums from both ends`` (c: Axes) =
    let x = c.Int 1
    equal (cumSum c.Axis x + Op.cumSum c.Axis true x) (sumKeep [ c.Axis ] x + x)

[<Law("Running sums", "cumsum(x) = L x,  L lower triangular", "a running sum is a product with a triangle of ones")>]
let ``a running sum is a product with a triangle`` (c: Axes) =
    let x = c.IntOf(1, [| c.Extent; 3 |])
    equal (cumSum 0 x) (matmul (cast DType.I64 (causalMask c.Extent)) x)

[<Law("Running sums",
      "cumsum_a(cumsum_b(x)) = cumsum_b(cumsum_a(x))",
      "running sums of different axes commute: integral images")>]
let ``running sums of two axes commute`` (c: Axes) =
    equal (c.Int 1 |> cumSum 0 |> cumSum -1) (c.Int 1 |> cumSum -1 |> cumSum 0)

[<Law("Running sums",
      "cumsum(x ++ y) = cumsum(x) ++ (Σ x + cumsum(y))",
      "a running sum may be continued: what a stream does")>]
let ``a running sum may be continued`` (c: Axes) =
    let y = c.IntOf(2, c.With 3)
    equal
        (cumSum c.Axis (concat c.Axis [ c.Int 1; y ]))
        (concat c.Axis [ cumSum c.Axis (c.Int 1); sumKeep [ c.Axis ] (c.Int 1) + cumSum c.Axis y ])

// ------------------------------------------------------------------------------------------------ sorting

let private sorted (c: Axes) x = fst (Op.sort c.Axis false x)
let private order (c: Axes) x = snd (Op.sort c.Axis false x)
let private iota (c: Axes) = Op.iota DType.I64 c.Shape c.Axis

[<Law("Sorting", "sort(x)[i] ≤ sort(x)[i + 1]", "sorted is ascending")>]
let ``sorted is ascending`` (c: Axes) =
    let s = sorted c (c.Int 1)
    holds (le (slice c.Axis 0 (c.Extent - 1) s) (slice c.Axis 1 c.Extent s))

[<Law("Sorting", "sort(sort(x)) = sort(x)", "sorting is idempotent, NaN and -0 included (it is stable)")>]
let ``sorting is idempotent`` (c: Axes) = equal (sorted c (sorted c (c.Special 1))) (sorted c (c.Special 1))

[<Law("Sorting", "sort(x) = x[argsort(x)]", "the indices say where the values came from")>]
let ``values are those at the indices`` (c: Axes) =
    let x = c.IntOf(1, [| c.Extent |])
    let values, places = Op.sort 0 false x
    equal values (take 0 places x)

[<Law("Sorting", "argsort(x) is a permutation: sort(argsort(x)) = 0, 1, .., n - 1", "every element is kept exactly once")>]
let ``indices are a permutation`` (c: Axes) = equal (sorted c (order c (c.Special 1))) (iota c)

[<Law("Sorting",
      "argsort(argsort(argsort(x))) = argsort(x)",
      "ranks: the inverse of the inverse of a permutation is itself")>]
let ``ranks of ranks`` (c: Axes) = equal (order c (order c (order c (c.Int 1)))) (order c (c.Int 1))

[<Law("Sorting", "sort(p(x)) = sort(x) along the sorted axis", "sorting forgets the order")>]
let ``sorting forgets the order`` (c: Axes) = equal (sorted c (Op.reverse [ c.Axis ] (c.Int 1))) (sorted c (c.Int 1))

[<Law("Sorting",
      "x[i] = x[j], i < j ⇒ i before j",
      "sorting is stable in both directions: equal elements keep their order")>]
let ``sorting is stable`` (c: Axes) =
    let x = c.Int 1 % 3
    for descending in [ false; true ] do
        let values, places = Op.sort c.Axis descending x
        let head t = slice c.Axis 0 (c.Extent - 1) t
        let tail t = slice c.Axis 1 c.Extent t
        let differ = ne (head values) (tail values)
        holds (Op.binary Binary.Or differ (lt (head places) (tail places)))

[<Law("Sorting", "sort_desc(x) = -sort(-x)", "descending is ascending of opposites")>]
let ``descending is ascending of opposites`` (c: Axes) =
    equal (fst (Op.sort c.Axis true (c.Int 1))) (-(sorted c (-(c.Int 1))))
    equal (snd (Op.sort c.Axis true (c.Int 1))) (order c (-(c.Int 1)))

[<Law("Sorting", "sort(2x + 1) = 2 sort(x) + 1", "monotone functions pass through sorting")>]
let ``monotone functions pass through sorting`` (c: Axes) =
    equal (sorted c (c.Int 1 * 2 + 1)) (sorted c (c.Int 1) * 2 + 1)

[<Law("Sorting", "sort(x)[0] = min x,  sort(x)[n - 1] = max x", "the ends of a sorted axis are its extremes")>]
let ``the ends are the extremes`` (c: Axes) =
    let s, n = sorted c (c.Int 1), c.Extent
    equal (s |> slice c.Axis 0 1 |> squeeze c.Axis) (amin [ c.Axis ] (c.Int 1))
    equal (s |> slice c.Axis (n - 1) n |> squeeze c.Axis) (amax [ c.Axis ] (c.Int 1))

[<Law("Sorting", "topK(x, k) = sort_desc(x)[..k]", "the k largest are the head of the descending order")>]
let ``the k largest are the head of the descending order`` (c: Axes) =
    let k = c.Number(5, c.Shape[c.Rank - 1] + 1)
    let values, places = Op.topK k (c.Special 1)
    let all, order = Op.sort (c.Rank - 1) true (c.Special 1)
    equal values (slice -1 0 k all)
    equal places (slice -1 0 k order)

[<Law("Sorting", "topK(topK(x, m), k) = topK(x, k),  k ≤ m", "the best of the best")>]
let ``the best of the best`` (c: Axes) =
    let m = 1 + c.Number(5, c.Shape[c.Rank - 1])
    let k = c.Number(6, m + 1)
    equal (fst (Op.topK k (fst (Op.topK m (c.Int 1))))) (fst (Op.topK k (c.Int 1)))

[<Law("Sorting", "argmax x = min { i : x[i] = max x }", "argMax points at the first largest element")>]
let ``argMax points at the first largest element`` (c: Axes) =
    let x = c.Int 1
    let first = where (eq x (amaxKeep [ c.Axis ] x)) (iota c) (full DType.I64 c.Shape 1e6)
    equal (argMax c.Axis x) (amin [ c.Axis ] first)

[<Law("Sorting", "argmin x = argmax(-x)", "the place of the smallest is that of the largest opposite")>]
let ``argMin is argMax of opposites`` (c: Axes) =
    equal (Op.argReduce false c.Axis (c.Int 1)) (argMax c.Axis (-(c.Int 1)))

[<Law("Sorting", "argmax x = topK(x, 1) indices", "the largest is the first of the k largest, NaN included")>]
let ``argMax is the first of the k largest`` (c: Axes) =
    let x = c.Special 1
    equal (argMax -1 x) (snd (Op.topK 1 x) |> squeeze -1)

[<Law("Sorting", "argmax(onehot(i)) = i", "argMax undoes oneHot: classes and back")>]
let ``argMax undoes oneHot`` (c: Axes) =
    let i = c.Below(1, c.Extent, [| 4; 3 |])
    equal (argMax -1 (oneHot DType.I64 c.Extent i)) i

[<Test>]
let ``sums of nothing`` () =
    Assert.That(item (sum (i64 [| 0; 3 |] [])), Is.Zero)
    equal (matmul (i64 [| 2; 0 |] []) (i64 [| 0; 3 |] [])) (full DType.I64 [| 2; 3 |] 0.0)
