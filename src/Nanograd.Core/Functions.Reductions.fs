namespace Nanograd

open System

/// Axes folded into one value, running values along an axis, and what is composed of them. `xOver axes` lets the axes
/// disappear, `xKeep axes` leaves them with extent 1, plain `x` takes all of them.
[<AutoOpen>]
module Reductions =
    // ---- sums and products

    /// <summary>The sum of all elements.</summary>
    /// <example><code>sum (tensor [ 1.; 2.; 3. ]) // tensor(6.)</code></example>
    let sum (x: Tensor) : Tensor = Op.reduce Reduction.Sum (allOf x) x

    /// <summary>Sums over `axes`, which disappear.</summary>
    /// <example><code>sumOver [ 0 ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([4., 6.])</code></example>
    let sumOver (axes: seq<int>) (x: Tensor) : Tensor = Op.reduce Reduction.Sum axes x

    /// <summary>Sums over `axes`, which stay with extent 1.</summary>
    /// <example><code>sumKeep [ 1 ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([[3.], [7.]])</code></example>
    let sumKeep (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "sum" x axes
        sumOver axes x |> keeping axes x

    /// <summary>The product of all elements.</summary>
    /// <example><code>prod (tensor [ 2.; 3.; 4. ]) // tensor(24.)</code></example>
    let prod (x: Tensor) : Tensor = Op.reduce Reduction.Prod (allOf x) x

    /// <summary>Products over `axes`, which disappear.</summary>
    /// <example><code>prodOver [ 1 ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([2., 12.])</code></example>
    let prodOver (axes: seq<int>) (x: Tensor) : Tensor = Op.reduce Reduction.Prod axes x

    /// <summary>Products over `axes`, which stay with extent 1.</summary>
    /// <example><code>prodKeep [ 1 ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([[2.], [12.]])</code></example>
    let prodKeep (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "prod" x axes
        prodOver axes x |> keeping axes x

    /// <summary>Sums over `axes`, which disappear, where NaN counts as 0.</summary>
    /// <example><code>nanSum [ 0 ] (tensor [ 1.; nan; 3. ]) // tensor(4.)</code></example>
    let nanSum (axes: seq<int>) (x: Tensor) : Tensor =
        Op.reduce Reduction.Sum (Shape.axes "nanSum" x axes) (Op.select (isNan x) (zerosLike x) x)

    // ---- means

    let private countOver (axes: int[]) (x: Tensor) = axes |> Array.fold (fun n a -> n * x.Shape[a]) 1

    /// <summary>Means over `axes`, which disappear. Integers give f32; the mean of nothing is NaN.</summary>
    /// <example><code>meanOver [ 0 ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([2., 3.])</code></example>
    let meanOver (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "mean" x axes
        sumOver axes (inFloat x) / float (countOver axes x)

    /// <summary>Means over `axes`, which stay with extent 1.</summary>
    /// <example><code>meanKeep [ 1 ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ])
    /// // tensor([[1.5000], [3.5000]])</code></example>
    let meanKeep (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "mean" x axes
        sumKeep axes (inFloat x) / float (countOver axes x)

    /// <summary>The mean of all elements.</summary>
    /// <example><code>mean (tensor [ 1.; 2.; 6. ]) // tensor(3.)</code></example>
    let mean (x: Tensor) : Tensor = meanOver (allOf x) x

    /// <summary>Means over `axes`, which disappear, of what is not NaN.</summary>
    /// <example><code>nanMean [ 0 ] (tensor [ 1.; nan; 3. ]) // tensor(2.)</code></example>
    let nanMean (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "nanMean" x axes
        let present = logicalNot (isNan x)
        nanSum axes (inFloat x) / Op.cast (inFloat x).DType (sumOver axes present)

    // ---- extremes

    /// <summary>The largest element along `axes`, which disappear; NaN wins, equal ones share the gradient.</summary>
    /// <example><code>amax [ 1 ] (matrix [ [ 1.; 5. ]; [ 3.; 4. ] ]) // tensor([5., 4.])</code></example>
    let amax (axes: seq<int>) (x: Tensor) : Tensor = Op.reduce Reduction.Max axes x

    /// <summary>The largest element along `axes`, which stay with extent 1.</summary>
    /// <example><code>amaxKeep [ 1 ] (matrix [ [ 1.; 5. ]; [ 3.; 4. ] ]) // tensor([[5.], [4.]])</code></example>
    let amaxKeep (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "max" x axes
        amax axes x |> keeping axes x

    /// <summary>The smallest element along `axes`, which disappear; NaN wins, equal ones share the gradient.</summary>
    /// <example><code>amin [ 1 ] (matrix [ [ 1.; 5. ]; [ 3.; 4. ] ]) // tensor([1., 3.])</code></example>
    let amin (axes: seq<int>) (x: Tensor) : Tensor = Op.reduce Reduction.Min axes x

    /// <summary>The smallest element along `axes`, which stay with extent 1.</summary>
    /// <example><code>aminKeep [ 1 ] (matrix [ [ 1.; 5. ]; [ 3.; 4. ] ]) // tensor([[1.], [3.]])</code></example>
    let aminKeep (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "min" x axes
        amin axes x |> keeping axes x

    /// <summary>The largest of all elements.</summary>
    /// <example><code>maxAll (tensor [ 1.; 5.; 3. ]) // tensor(5.)</code></example>
    let maxAll (x: Tensor) : Tensor = amax (allOf x) x

    /// <summary>The smallest of all elements.</summary>
    /// <example><code>minAll (tensor [ 1.; 5.; 3. ]) // tensor(1.)</code></example>
    let minAll (x: Tensor) : Tensor = amin (allOf x) x

    /// <summary>Index (i64) of the first largest element along an axis, which disappears; NaN wins.</summary>
    /// <example><code>argMax 1 (matrix [ [ 1.; 5. ]; [ 4.; 4. ] ]) // tensor([1, 0])</code></example>
    let argMax (axis: int) (x: Tensor) : Tensor = Op.argReduce true axis x

    /// <summary>Index (i64) of the first smallest element along an axis, which disappears; NaN wins.</summary>
    /// <example><code>argMin 1 (matrix [ [ 1.; 5. ]; [ 4.; 4. ] ]) // tensor([0, 0])</code></example>
    let argMin (axis: int) (x: Tensor) : Tensor = Op.argReduce false axis x

    // ---- truth

    let private truth (x: Tensor) = Op.cast DType.I32 (Op.cast DType.Bool x)

    /// <summary>Whether one element at least along `axes`, which disappear, is true (not 0): bool. Of nothing:
    /// false.</summary>
    /// <example><code>anyOver [ 1 ] (tensor [ [ true; false ]; [ false; false ] ])
    /// // tensor([true, false])</code></example>
    let anyOver (axes: seq<int>) (x: Tensor) : Tensor =
        Op.cast DType.Bool (Op.reduce Reduction.Sum (Shape.axes "any" x axes) (truth x))

    /// <summary>Whether all elements along `axes`, which disappear, are true (not 0): bool. Of nothing: true.</summary>
    /// <example><code>allOver [ 1 ] (tensor [ [ true; false ]; [ true; true ] ])
    /// // tensor([false, true])</code></example>
    let allOver (axes: seq<int>) (x: Tensor) : Tensor =
        Op.cast DType.Bool (Op.reduce Reduction.Prod (Shape.axes "all" x axes) (truth x))

    /// <summary>Whether one element at least is true (not 0): bool `[]`.</summary>
    /// <example><code>any (tensor [ 0.; 2. ]) // tensor(true)</code></example>
    let any (x: Tensor) : Tensor = anyOver (allOf x) x

    /// <summary>Whether all elements are true (not 0): bool `[]`.</summary>
    /// <example><code>all (tensor [ 0.; 2. ]) // tensor(false)</code></example>
    let all (x: Tensor) : Tensor = allOver (allOf x) x

    /// <summary>How many elements along `axes`, which disappear, are not 0: i64.</summary>
    /// <example><code>countNonzero [ 0 ] (tensor [ 0.; 2.; 3. ]) // tensor(2)</code></example>
    let countNonzero (axes: seq<int>) (x: Tensor) : Tensor =
        Op.reduce Reduction.Sum (Shape.axes "countNonzero" x axes) (Op.cast DType.Bool x)

    /// <summary>Whether x and y are close everywhere, as `isClose` says: bool `[]`.</summary>
    /// <example><code>allClose 1e-5 1e-8 (tensor [ 1. ]) (tensor [ 1.000001 ]) // tensor(true)</code></example>
    let allClose (rtol: float) (atol: float) (x: Tensor) (y: Tensor) : Tensor = all (isClose rtol atol x y)

    // ---- variance

    let private squares op (correction: int) (axes: seq<int>) (x: Tensor) =
        let axes, x = Shape.axes op x axes, inFloat x
        let n = countOver axes x
        sumKeep axes (square (x - meanKeep axes x)) / float (max 0 (n - correction)), axes

    /// <summary>Population variance over `axes` (divided by n), which stay with extent 1.</summary>
    /// <example><code>varianceKeep [ 0 ] (tensor [ 1.; 3. ]) // tensor([1.])</code></example>
    let varianceKeep (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "variance" x axes
        square (x - meanKeep axes x) |> meanKeep axes

    let private without (x: Tensor) (axes: int[]) (kept: Tensor) =
        Op.reshape
            [| for i in 0 .. x.Rank - 1 do
                   if not (Array.contains i axes) then x.Shape[i] |]
            kept

    /// <summary>Variance over `axes`, which disappear: squares divided by n - correction (1: unbiased, PyTorch's default;
    /// 0: of the population).</summary>
    /// <example><code>varOver 1 [ 0 ] (tensor [ 1.; 3. ]) // tensor(2.)</code></example>
    let varOver (correction: int) (axes: seq<int>) (x: Tensor) : Tensor =
        let v, axes = squares "var" correction axes x
        without x axes v

    /// <summary>As `varOver`; the axes stay with extent 1.</summary>
    /// <example><code>varKeep 0 [ 0 ] (tensor [ 1.; 3. ]) // tensor([1.])</code></example>
    let varKeep (correction: int) (axes: seq<int>) (x: Tensor) : Tensor = fst (squares "var" correction axes x)

    /// <summary>The unbiased variance of all elements (divided by n - 1).</summary>
    /// <example><code>var (tensor [ 1.; 2.; 3. ]) // tensor(1.)</code></example>
    let var (x: Tensor) : Tensor = varOver 1 (allOf x) x

    /// The square root, whose gradient at 0 is 0: PyTorch's choice for deviations and norms.
    let private root (x: Tensor) =
        let zero = eq x (zerosLike x)
        Op.select zero (zerosLike x) (sqrt (Op.select zero (onesLike x) x))

    /// <summary>Standard deviation over `axes`, which disappear; `correction` as in `varOver`. Where it is 0, so is its
    /// gradient.</summary>
    /// <example><code>stdOver 1 [ 0 ] (tensor [ 1.; 3. ]) // tensor(1.4142)</code></example>
    let stdOver (correction: int) (axes: seq<int>) (x: Tensor) : Tensor =
        let v, axes = squares "std" correction axes x
        without x axes (root v)

    /// <summary>As `stdOver`; the axes stay with extent 1.</summary>
    /// <example><code>stdKeep 0 [ 0 ] (tensor [ 1.; 3. ]) // tensor([1.])</code></example>
    let stdKeep (correction: int) (axes: seq<int>) (x: Tensor) : Tensor = root (fst (squares "std" correction axes x))

    /// <summary>The unbiased standard deviation of all elements.</summary>
    /// <example><code>std (tensor [ 1.; 2.; 3. ]) // tensor(1.)</code></example>
    let std (x: Tensor) : Tensor = stdOver 1 (allOf x) x

    // ---- norms

    let private powers (p: float) (axes: int[]) (x: Tensor) =
        let size = abs (inFloat x)
        if p = infinity then amax axes size
        elif p = -infinity then amin axes size
        elif p = 0.0 then Op.cast size.DType (sumOver axes (ne size (zerosLike size)))
        elif p = 1.0 then sumOver axes size
        elif p = 2.0 then root (sumOver axes (square (inFloat x)))
        else sumOver axes (size ** p) ** (1.0 / p)

    /// <summary>The p-norm of the vectors along `axes`, which disappear: (sum |x|^p)^(1/p); infinity: the largest |x|; 0:
    /// how many are not 0. Where the 2-norm is 0, so is its gradient. (Norms of matrices are linear algebra's.)</summary>
    /// <example><code>normOver 2.0 [ 1 ] (matrix [ [ 3.; 4. ]; [ 5.; 12. ] ]) // tensor([5., 13.])</code></example>
    let normOver (p: float) (axes: seq<int>) (x: Tensor) : Tensor = powers p (Shape.axes "norm" x axes) x

    /// <summary>As `normOver`; the axes stay with extent 1.</summary>
    /// <example><code>normKeep 1.0 [ 1 ] (matrix [ [ 3.; 4. ]; [ 5.; 12. ] ]) // tensor([[7.], [17.]])</code></example>
    let normKeep (p: float) (axes: seq<int>) (x: Tensor) : Tensor =
        let axes = Shape.axes "norm" x axes
        powers p axes x |> keeping axes x

    // ---- exponentials

    /// The largest number along an axis, as a constant that keeps exponentials in range; 0 where there is none.
    let private top op (axis: int) (x: Tensor) =
        let axis = Shape.axis op x axis
        if x.Shape[axis] = 0 then
            Calculus.fill x.DType (Array.updateAt axis 1 x.Shape) 0.0
        else
            Grad.stopGradient (amaxKeep [ axis ] x)

    /// <summary>exp(x - max) / sum of the same along an axis: rows sum to 1, no overflow. Of an empty axis it is empty.</summary>
    /// <example><code>softmax 0 (tensor [ 0.; 0.; 1. ]) // tensor([0.2119, 0.2119, 0.5761])</code></example>
    let softmax (axis: int) (x: Tensor) : Tensor =
        let x = inFloat x
        let e = exp (x - top "softmax" axis x) // the shift cancels, and so does its gradient
        e / sumKeep [ axis ] e

    /// <summary>log(sum(exp x)) along an axis, which stays with extent 1.</summary>
    /// <example><code>logSumExpKeep 0 (tensor [ 0.; 0. ]) // tensor([0.6931])</code></example>
    let logSumExpKeep (axis: int) (x: Tensor) : Tensor =
        let x = inFloat x
        let top = top "logSumExp" axis x
        log (sumKeep [ axis ] (exp (x - top))) + top

    /// <summary>log(sum(exp x)) along an axis, which disappears, without overflow; of infinities alone it is that
    /// infinity.</summary>
    /// <example><code>logSumExp 0 (tensor [ 1000.; 1000. ]) // tensor(1000.6932)</code></example>
    let logSumExp (axis: int) (x: Tensor) : Tensor =
        let x = inFloat x
        let largest = top "logSumExp" axis x
        let shift = Op.select (isFinite largest) largest (zerosLike largest)
        let axis = Shape.axis "logSumExp" x axis
        log (sumKeep [ axis ] (exp (x - shift))) + shift |> Op.reshape (Array.removeAt axis x.Shape)

    /// <summary>x - logSumExp x: the logarithm of softmax, exact for logits far apart.</summary>
    /// <example><code>logSoftmax 0 (tensor [ 0.; 0. ]) // tensor([-0.6931, -0.6931])</code></example>
    let logSoftmax (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "logSoftmax" x axis
        x - logSumExpKeep axis x

    /// <summary>softmax of -x.</summary>
    /// <example><code>softmin 0 (tensor [ 0.; 0.; 1. ]) // tensor([0.4223, 0.4223, 0.1554])</code></example>
    let softmin (axis: int) (x: Tensor) : Tensor = softmax (Shape.axis "softmin" x axis) -x

    // ---- running values

    /// Running values by doubling: after step k each element holds what was joined over the 2^k elements up to it.
    let private running (join: Tensor -> Tensor -> Tensor) (identity: Tensor) (axis: int) (x: Tensor) =
        let n = x.Shape[axis]
        let along v = Array.init x.Rank (fun i -> if i = axis then v else 0)
        let rec double k (y: Tensor) =
            if k >= n then
                y
            else
                let earlier = part axis 0 (n - k) 1 y |> Op.pad (along k) (along 0) (along 0) identity
                double (2 * k) (join earlier y)
        double 1 x

    /// <summary>Running sums along an axis; the shape stays.</summary>
    /// <example><code>cumSum 0 (tensor [ 1.; 2.; 3. ]) // tensor([1., 3., 6.])</code></example>
    let cumSum (axis: int) (x: Tensor) : Tensor = Op.cumSum axis false x

    /// <summary>Running products along an axis; the shape stays. Differentiable at zeros, too.</summary>
    /// <example><code>cumProd 0 (tensor [ 1.; 2.; 3.; 4. ]) // tensor([1., 2., 6., 24.])</code></example>
    let cumProd (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "cumProd" x axis
        let t = DType.arithmetic x.DType
        running (fun a b -> a * b) (constant t 1.0) axis (Op.cast t x)
        |> fun y -> if x.DType = DType.Bool then y else Op.cast x.DType y

    /// <summary>Running log(sum(exp x)) along an axis, without overflow.</summary>
    /// <example><code>logCumSumExp 0 (tensor [ 0.; 0.; 0. ]) // tensor([0.0000, 0.6931, 1.0986])</code></example>
    let logCumSumExp (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "logCumSumExp" x axis
        let t = (inFloat x).DType
        let wide = Op.cast (DType.arithmetic t) x
        Op.cast t (running logaddexp (constant wide.DType -infinity) axis wide)

    let private runningExtreme op (wins: Tensor -> Tensor -> Tensor) (axis: int) (x: Tensor) =
        let axis = Shape.axis op x axis
        let n = x.Shape[axis]
        let rec double k (y: Tensor) (i: Tensor) =
            if k >= n then
                i
            else
                // The first k elements look at themselves.
                let shift (t: Tensor) = Op.concat axis [| part axis 0 k 1 t; part axis 0 (n - k) 1 t |]
                let earlier = shift y
                let later = Op.binary Binary.Or (wins y earlier) (isNan y)
                double (2 * k) (Op.select later y earlier) (Op.select later i (shift i))
        let indices = if n = 0 then Op.iota DType.I64 x.Shape axis else double 1 x (Op.iota DType.I64 x.Shape axis)
        let order = Array.append (Array.removeAt axis (allOf x)) [| axis |]
        let back = Array.init x.Rank (fun a -> Array.IndexOf(order, a))
        let values = Op.gather (x.Rank - 1) (x.Rank - 1) (Op.permute order x) (Op.permute order indices)
        Op.permute back values, indices

    /// <summary>Running maxima along an axis, and where they stand (i64): the last of equal ones, as in
    /// PyTorch.</summary>
    /// <example><code>fst (cumMax 0 (tensor [ 1.; 3.; 2. ])) // tensor([1., 3., 3.])</code></example>
    let cumMax (axis: int) (x: Tensor) : Tensor * Tensor = runningExtreme "cumMax" ge axis x

    /// <summary>Running minima along an axis, and where they stand (i64): the last of equal ones, as in
    /// PyTorch.</summary>
    /// <example><code>fst (cumMin 0 (tensor [ 3.; 1.; 2. ])) // tensor([3., 1., 1.])</code></example>
    let cumMin (axis: int) (x: Tensor) : Tensor * Tensor = runningExtreme "cumMin" le axis x

    /// <summary>Differences of neighbours along an axis, `times` times: each time the axis has one element
    /// less.</summary>
    /// <example><code>diff 1 0 (tensor [ 1.; 4.; 9. ]) // tensor([3., 5.])</code></example>
    let diff (times: int) (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "diff" x axis
        if times < 0 then Shape.fail "diff" $"the number of times must not be negative, not {times}" "" [ x ]
        let once (x: Tensor) =
            let n = x.Shape[axis]
            if n = 0 then x
            elif x.DType = DType.Bool then Op.binary Binary.Xor (part axis 1 n 1 x) (part axis 0 (n - 1) 1 x)
            else part axis 1 n 1 x - part axis 0 (n - 1) 1 x
        Seq.fold (fun x _ -> once x) x [ 1..times ]

    /// <summary>The integral along an axis, which disappears, of values `dx` apart: trapezoidal rule.</summary>
    /// <example><code>trapezoid 1.0 0 (tensor [ 0.; 1.; 4. ]) // tensor(3.)</code></example>
    let trapezoid (dx: float) (axis: int) (x: Tensor) : Tensor =
        let axis, x = Shape.axis "trapezoid" x axis, inFloat x
        let n = x.Shape[axis]
        if n < 2 then
            sumOver [ axis ] (x * 0.0)
        else
            sumOver [ axis ] ((part axis 1 n 1 x + part axis 0 (n - 1) 1 x) * (dx * 0.5))
