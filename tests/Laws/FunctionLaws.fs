/// The functions that are composed of primitives: rearranging, special functions, statistics.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.FunctionLaws

open System
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

// ------------------------------------------------------------------------------------------------ rearranging

[<Law("Rearranging", "roll_m(roll_n(x)) = roll_(m + n)(x)", "rolling is addition of shifts around the axis")>]
let ``rolls add up`` (c: Axes) =
    let m, n = c.Number(5, 9) - 4, c.Number(6, 9) - 4
    equal (c.Int 1 |> roll n c.Axis |> roll m c.Axis) (roll (m + n) c.Axis (c.Int 1))

[<Law("Rearranging", "roll_extent(x) = x", "once around changes nothing")>]
let ``rolling once around`` (c: Axes) = equal (roll c.Extent c.Axis (c.Int 1)) (c.Int 1)

[<Law("Rearranging", "tile(x)[..n] = x,  Σ tile_k(x) = k Σ x", "tiles are copies side by side")>]
let ``tiles are copies`` (c: Axes) =
    let times = Array.init c.Rank (fun i -> if i = c.Axis then 3 else 1)
    equal (tile times (c.Int 1)) (concat c.Axis [ c.Int 1; c.Int 1; c.Int 1 ])

[<Law("Rearranging", "repeatInterleave_k(x)[::k] = x", "each element, so often, in its place")>]
let ``repeated elements`` (c: Axes) =
    let many = repeatInterleave 3 c.Axis (c.Int 1)
    equal (sliceStep c.Axis 1 many.Shape[c.Axis] 3 many) (c.Int 1)

[<Law("Rearranging", "concat(split(x)) = x = concat(chunk(x)) = stack(unbind(x))", "what is cut can be joined")>]
let ``what is cut can be joined`` (c: Axes) =
    equal (concat c.Axis (split c.Axis (1 + c.Number(5, c.Extent)) (c.Int 1))) (c.Int 1)
    equal (concat c.Axis (chunk c.Axis (1 + c.Number(6, c.Extent)) (c.Int 1))) (c.Int 1)
    equal (stack c.Axis (unbind c.Axis (c.Int 1))) (c.Int 1)

[<Law("Rearranging", "moveAxis_ba(moveAxis_ab(x)) = x", "an axis moved there and back")>]
let ``an axis there and back`` (c: Axes) =
    let target = c.Number(5, c.Rank)
    equal (c.Int 1 |> moveAxis c.Axis target |> moveAxis target c.Axis) (c.Int 1)

[<Law("Rearranging", "rot90⁴(x) = x", "four quarter turns are none")>]
let ``four quarter turns`` (c: Axes) =
    let x = c.IntOf(1, [| c.Extent; 3 |])
    let turn x = rot90 1 0 1 x
    equal (x |> turn |> turn |> turn |> turn) x
    equal (x |> turn |> turn) (rot90 2 0 1 x)

[<Law("Rearranging", "tril_k(x) + triu_(k + 1)(x) = x", "the triangles below and above a diagonal make the matrix")>]
let ``triangles make the matrix`` (c: Axes) =
    let x, k = c.IntOf(1, [| c.Extent; 5 |]), c.Number(5, 7) - 3
    equal (tril k x + triu (k + 1) x) x

[<Law("Rearranging", "tril(x)ᵀ = triu(xᵀ)", "a transposed lower triangle is upper")>]
let ``a transposed triangle`` (c: Axes) =
    let x, k = c.IntOf(1, [| c.Extent; 5 |]), c.Number(5, 7) - 3
    equal (transpose (tril k x)) (triu -k (transpose x))

[<Law("Rearranging", "diagonal(diagEmbed(x)) = x", "a vector on a diagonal and back")>]
let ``onto a diagonal and back`` (c: Axes) =
    let k = c.Number(5, 5) - 2
    let x = c.IntOf(1, [| 2; min 9 c.Extent |])
    equal (diagonal k 1 2 (diagEmbed k x)) x

[<Law("Rearranging", "tr x = Σ diagonal x", "the trace is the sum of the diagonal")>]
let ``the trace is the sum of the diagonal`` (c: Axes) =
    let x = c.IntOf(1, [| min 9 c.Extent; 4 |])
    equal (trace x) (sum (diagonal 0 0 1 x))

[<Law("Rearranging", "(A ⊗ B) (C ⊗ D) = (A C) ⊗ (B D)", "Kronecker products multiply part by part")>]
let ``Kronecker products multiply`` (m: Matrices) =
    let c = m.Case
    let a, b = c.IntOf(1, [| 2; 3 |]), c.IntOf(2, [| 3; 2 |])
    let d, e = c.IntOf(3, [| 3; 2 |]), c.IntOf(4, [| 2; 4 |])
    equal (matmul (kron a b) (kron d e)) (kron (matmul a d) (matmul b e))

[<Law("Rearranging", "x × y = -(y × x),  ⟨x, x × y⟩ = 0", "the cross product is alternating and orthogonal")>]
let ``the cross product`` (c: Axes) =
    let x, y = c.IntOf(1, [| c.Extent; 3 |]), c.IntOf(2, [| c.Extent; 3 |])
    equal (cross 1 x y) (-(cross 1 y x))
    equal (sumOver [ 1 ] (x * cross 1 x y)) (full DType.I64 [| c.Extent |] 0.0)

[<Law("Rearranging",
      "x[sort indices] = sorted x;  put(x, i, take(x, i)) = x",
      "takeAlongAxis reads what putAlongAxis writes")>]
let ``along an axis`` (c: Axes) =
    let values, places = sort c.Axis false (c.Int 1)
    equal (takeAlongAxis c.Axis places (c.Int 1)) values
    equal (putAlongAxis c.Axis places values (zerosLike (c.Int 1))) (c.Int 1)

[<Law("Rearranging", "x[1..2, *] = slice(x),  x[*, 0] = select(x)", "F#'s own slicing is slice")>]
let ``slicing in F#'s syntax`` (c: Axes) =
    let x = c.IntOf(1, [| c.Extent + 2; 4 |])
    equal x.[1..2, *] (slice 0 1 3 x)
    equal x.[*, 0] (select 1 0 x)

// ------------------------------------------------------------------------------------------------ more reductions

[<Law("Running sums", "diff(cumsum(x)) = x[1..]", "differences undo running sums, of any order")>]
let ``diff undoes cumSum`` (c: Axes) =
    equal (diff 1 c.Axis (cumSum c.Axis (c.Int 1))) (slice c.Axis 1 c.Extent (c.Int 1))

[<Law("Running sums", "diffᵐ(diffⁿ(x)) = diffᵐ⁺ⁿ(x)", "orders of differences add up")>]
let ``orders of differences add up`` (c: Axes) =
    let x = c.IntOf(1, [| c.Extent + 4 |])
    equal (diff 1 0 (diff 2 0 x)) (diff 3 0 x)

[<Law("Running sums", "cumprod(x)[n - 1] = Π x", "a running product ends with the product")>]
let ``a running product ends with the product`` (c: Axes) =
    let x, n = c.IntOf(1, [| min 12 c.Extent; 3 |]), min 12 c.Extent
    equal (cumProd 0 x |> select 0 (n - 1)) (prodOver [ 0 ] x)

[<Law("Running sums", "cummax(x)[i] = max x[..i];  cummax = -cummin(-x)", "running extremes are extremes of prefixes")>]
let ``running extremes`` (c: Axes) =
    let x, k = c.Int 1, 1 + c.Number(5, c.Extent)
    let values, places = cumMax c.Axis x
    equal (values |> slice c.Axis (k - 1) k |> squeeze c.Axis) (amax [ c.Axis ] (slice c.Axis 0 k x))
    equal (takeAlongAxis c.Axis places x) values
    equal values (-(fst (cumMin c.Axis -x)))

[<Law("Running sums", "logcumsumexp(x) = log cumsum(eˣ)", "running sums of what would overflow")>]
let ``running sums of exponentials`` (c: Axes) =
    closeTo 1e-11 (logCumSumExp c.Axis (c.Float 1)) (log (cumSum c.Axis (exp (c.Float 1))))

[<Law("Reductions", "‖x + y‖ₚ ≤ ‖x‖ₚ + ‖y‖ₚ,  ‖a x‖ = |a| ‖x‖", "norms: the triangle inequality and homogeneity")>]
let ``norms`` (c: Axes) =
    let x, y = c.Float 1, c.Float 2
    for p in [ 1.0; 2.0; 3.0; infinity ] do
        let norm x = normOver p [ c.Axis ] x
        holds (le (norm (x + y)) (norm x + norm y + 1e-9))
        closeTo 1e-10 (norm (x * -3.0)) (norm x * 3.0)

[<Law("Reductions", "any x = ¬ all ¬x,  countNonzero x = Σ [x ≠ 0]", "any and all are dual; counting is summing")>]
let ``any, all and counting`` (c: Axes) =
    let x = c.Bools 1
    equal (anyOver [ c.Axis ] x) (logicalNot (allOver [ c.Axis ] (logicalNot x)))
    equal (countNonzero [ c.Axis ] x) (sumOver [ c.Axis ] (cast DType.I64 x))

// ------------------------------------------------------------------------------------------------ special functions

[<Law("Special functions", "erf⁻¹(erf x) = x,  erf x + erfc x = 1", "the error function, its inverse and its complement")>]
let ``the error function`` (c: Case) =
    let x = c.Float 1 * 2.0
    closeTo 1e-10 (erfinv (erf x)) x
    close (erf x + erfc x) (onesLike x)

[<Law("Special functions", "lgamma(x + 1) = lgamma(x) + log x", "the recurrence of the gamma function")>]
let ``the recurrence of lgamma`` (c: Case) =
    let x = c.Positive 1 * 3.0
    close (lgamma (x + 1.0)) (lgamma x + log x)

[<Law("Special functions", "Γ(x) Γ(1 - x) = π / sin πx", "Euler's reflection")>]
let ``Euler's reflection`` (c: Case) =
    let x = c.Positive 1 * 0.5
    closeTo 1e-11 (lgamma x + lgamma (1.0 - x)) (log (Math.PI / sin (x * Math.PI)))

[<Law("Special functions",
      "ψ(x + 1) = ψ(x) + 1/x,  lgamma' = ψ,  ψ' = ψ₁",
      "digamma is the derivative of lgamma, trigamma of digamma")>]
let ``digamma and trigamma`` (c: Case) =
    let x = eval (c.Positive 1 * 3.0)
    close (digamma (x + 1.0)) (digamma x + 1.0 / x)
    close (derivative lgamma x) (digamma x)
    closeTo 1e-11 (derivative digamma x) (trigamma x)

[<Law("Special functions", "B(x, y) = B(y, x),  B(x, y) = B(x + 1, y) + B(x, y + 1)", "the beta function")>]
let ``the beta function`` (c: Case) =
    let x, y = c.Positive 1, c.Positive 2
    close (beta x y) (beta y x)
    closeTo 1e-11 (beta x y) (beta (x + 1.0) y + beta x (y + 1.0))

[<Law("Special functions", "cosh² - sinh² = 1,  f⁻¹(f x) = x for sinh, tanh, sin", "hyperbolic and inverse functions")>]
let ``hyperbolic and inverse functions`` (c: Case) =
    let x = c.Float 1
    close (square (cosh x) - square (sinh x)) (onesLike x)
    close (asinh (sinh x)) x
    closeTo 1e-11 (atanh (tanh x)) x
    closeTo 1e-11 (asin (sin x)) x

[<Law("Special functions", "sin(atan2(y, x)) = y / √(x² + y²)", "angles of points in the plane")>]
let ``angles of points`` (c: Case) =
    let x, y = c.Float 1, c.Positive 2
    let angle, radius = atan2 y x, hypot x y
    close (sin angle * radius) y
    close (cos angle * radius) x

[<Law("Special functions", "logit(σ(x)) = x,  log σ(x) = logSigmoid x", "log-odds and probabilities")>]
let ``log-odds and probabilities`` (c: Case) =
    let x = c.Float 1 * 3.0
    closeTo 1e-11 (logit (sigmoid x)) x
    close (logSigmoid x) (log (sigmoid x))

[<Law("Special functions", "logaddexp(x, y) = log(eˣ + eʸ)", "sums of what would overflow")>]
let ``sums of exponentials`` (c: Case) =
    close (logaddexp (c.Float 1) (c.Float 2)) (log (exp (c.Float 1) + exp (c.Float 2)))

[<Law("Special functions", "∛(x³) = x,  log₂ 2ˣ = x", "roots and powers")>]
let ``roots and powers`` (c: Case) =
    let x = c.Float 1 * 3.0
    closeTo 1e-11 (cbrt (x * x * x)) x
    close (log2 (exp2 x)) x

[<Law("Special functions",
      "floorDivide(x, y) · y + remainder(x, y) = x",
      "Python's division: the rest has the sign of the divisor")>]
let ``Python's division`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let y = where (eq y (fill c 0.0)) (fill c 4.0) y
    equal (floorDivide x y * y + remainder x y) x
    holds (ge (remainder x y * y) (fill c 0.0))

// ------------------------------------------------------------------------------------------------ statistics

[<Law("Statistics",
      "quantile(0) = min,  quantile(1) = max,  quantile(1/2) of 2k + 1 = median",
      "quantiles run from the smallest to the largest")>]
let ``quantiles run from the smallest to the largest`` (c: Axes) =
    let x = c.FloatOf(1, [| 2 * c.Extent + 1; 2 |])
    equal (quantile 0.0 0 x) (amin [ 0 ] x)
    equal (quantile 1.0 0 x) (amax [ 0 ] x)
    equal (quantile 0.5 0 x) (median 0 x)

[<Law("Statistics", "p ≤ q ⇒ quantile(p) ≤ quantile(q)", "quantiles are monotone")>]
let ``quantiles are monotone`` (c: Axes) =
    let x = c.Float 1
    let p = float (c.Number(5, 11)) / 10.0
    let q = p + (1.0 - p) * float (c.Number(6, 11)) / 10.0
    holds (le (quantile p c.Axis x) (quantile q c.Axis x + 1e-12))

[<Law("Statistics", "median(p(x)) = median(x),  median(-x) of 2k + 1 = -median(x)", "the median does not see an order")>]
let ``the median does not see an order`` (c: Axes) =
    let x = c.FloatOf(1, [| 2 * c.Extent + 1 |])
    equal (median 0 (flip [ 0 ] x)) (median 0 x)
    equal (median 0 -x) (-(median 0 x))

[<Law("Statistics", "Σ bincount(x) = n,  bincount(x) = Σ onehot(x)", "every element is counted once")>]
let ``every element is counted once`` (c: Axes) =
    let x = c.Below(1, 7, [| c.Extent * 2 |])
    equal (sum (bincount 7 x)) (i64 [||] [ int64 (2 * c.Extent) ])
    equal (bincount 7 x) (sumOver [ 0 ] (oneHot DType.I64 7 x))

[<Law("Statistics",
      "cov(x) = cov(x)ᵀ,  diagonal cov(x) = var(x)",
      "covariances are symmetric, with variances on the diagonal")>]
let ``covariances`` (c: Axes) =
    let x = c.FloatOf(1, [| 3; c.Extent + 2 |])
    close (cov 1 x) (transpose (cov 1 x))
    closeTo 1e-11 (diagonal 0 0 1 (cov 1 x)) (varOver 1 [ 1 ] x)

[<Law("Statistics", "corr(a x + b) = corr(x), a > 0;  |corr| ≤ 1", "correlations see neither scale nor shift")>]
let ``correlations`` (c: Axes) =
    let x = c.FloatOf(1, [| 3; c.Extent + 3 |])
    closeTo 1e-10 (corrcoef (x * 3.0 + 2.0)) (corrcoef x)
    holds (le (abs (corrcoef x)) (fullLike (1.0 + 1e-12) (corrcoef x)))

[<Law("Statistics", "searchSorted counts the smaller: Σ [s < v]", "a place in a sorted vector is a count")>]
let ``a place in a sorted vector is a count`` (c: Axes) =
    let s = fst (sort 0 false (c.IntOf(1, [| c.Extent |])))
    let v = c.IntOf(2, [| 6 |])
    let count compare = sumOver [ 1 ] (cast DType.I64 (compare (broadcastTo [| 6; c.Extent |] s) (unsqueeze 1 v)))
    equal (cast DType.I64 (searchSorted false s v)) (count lt)
    equal (cast DType.I64 (searchSorted true s v)) (count le)

[<Test>]
let ``the gamma function of whole numbers`` () =
    closeTo 1e-14 (exp (lgamma (f64 [| 3 |] [ 3.0; 4.0; 5.0 ]))) (f64 [| 3 |] [ 2.0; 6.0; 24.0 ])
