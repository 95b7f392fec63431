namespace Nanograd

open System

/// Statistics of samples.
[<AutoOpen>]
module Statistics =
    /// The element at a fraction of the way along a sorted axis, between neighbours by linear interpolation; NaN if
    /// there is one.
    let private between (q: float) (axis: int) (sorted: Tensor) =
        let n = sorted.Shape[axis]
        let place = q * float (n - 1)
        let low = int (Math.Floor place)
        let high = min (n - 1) (low + 1)
        let weight = place - float low
        let a, b = select axis low sorted, select axis high sorted
        let value = if weight = 0.0 then a else lerp a b (constant sorted.DType weight)
        let last = select axis (n - 1) sorted // NaN sorts last
        Op.select (isNan last) last value

    let private sorted op (axis: int) (x: Tensor) =
        let axis, x = Shape.axis op x axis, inFloat x
        if x.Shape[axis] = 0 then Shape.fail op $"axis {axis} must not be empty" "" [ x ]
        axis, fst (Op.sort axis false x)

    let private checkFraction op (x: Tensor) (q: float) =
        if not (q >= 0.0 && q <= 1.0) then Shape.fail op $"q must be between 0 and 1, not {q}" "" [ x ]

    /// <summary>The value below which a fraction q of the elements along an axis lie; the axis disappears. Between two
    /// elements by linear interpolation (PyTorch's and NumPy's default); NaN if there is one.</summary>
    /// <example><code>quantile 0.5 0 (tensor [ 1.; 2.; 3.; 10. ]) // tensor(2.5000)</code></example>
    let quantile (q: float) (axis: int) (x: Tensor) : Tensor =
        checkFraction "quantile" x q
        let axis, s = sorted "quantile" axis x
        between q axis s

    /// <summary>Several quantiles at once: a new first axis has one entry for each.</summary>
    /// <example><code>quantiles [ 0.25; 0.75 ] 0 (tensor [ 1.; 2.; 3.; 4.; 5. ]) // tensor([2., 4.])</code></example>
    let quantiles (qs: seq<float>) (axis: int) (x: Tensor) : Tensor =
        Seq.iter (checkFraction "quantiles" x) qs
        let axis, s = sorted "quantiles" axis x
        qs |> Seq.map (fun q -> between q axis s) |> stack 0

    /// <summary>The median along an axis, which disappears: of an even number the lower of the two in the middle, as
    /// PyTorch has it (`quantile 0.5` is their mean). NaN if there is one.</summary>
    /// <example><code>median 0 (tensor [ 3.; 1.; 2.; 10. ]) // tensor(2.)</code></example>
    let median (axis: int) (x: Tensor) : Tensor =
        let place = Shape.axis "median" x axis
        if x.Shape[place] = 0 then Shape.fail "median" $"axis {place} must not be empty" "" [ x ]
        let n = x.Shape[place]
        let s = fst (Op.sort place false x)
        let last = select place (n - 1) s
        Op.select (isNan last) last (select place ((n - 1) / 2) s)

    /// <summary>The most frequent element along an axis, which disappears, and how often it occurs (i64); of equally
    /// frequent ones the smallest.</summary>
    /// <example><code>fst (mode 0 (tensor [ 2.; 1.; 2.; 3. ])) // tensor(2.)</code></example>
    let mode (axis: int) (x: Tensor) : Tensor * Tensor =
        let axis = Shape.axis "mode" x axis
        if x.Shape[axis] = 0 then Shape.fail "mode" $"axis {axis} must not be empty" "" [ x ]
        let s = moveAxis axis -1 (fst (Op.sort axis false x))
        let counts = Op.reduce Reduction.Sum [ -1 ] (eq (unsqueeze -1 s) (unsqueeze -2 s))
        let best = argMax -1 counts |> unsqueeze -1
        squeeze -1 (gather -1 best s), squeeze -1 (gather -1 best counts)

    /// <summary>How often each of 0, ..., length - 1 occurs among integers: i64 `[length]`. Others are an error when the
    /// program runs.</summary>
    /// <example><code>bincount 4 (tensor [ 1; 3; 1 ]) // tensor([0, 2, 0, 1])</code></example>
    let bincount (length: int) (x: Tensor) : Tensor =
        if x.DType <> DType.I32 && x.DType <> DType.I64 then
            Shape.fail "bincount" "the operand must be i32 or i64" "cast it" [ x ]
        Op.scatterAdd
            0
            0
            (full DType.I64 [| length |] 0.0)
            (Op.reshape [| x.Count |] x)
            (full DType.I64 [| x.Count |] 1.0)

    /// <summary>How many elements lie in each of `bins` intervals of equal width from `low` to `high` (i64 `[bins]`), and
    /// the bounds of the intervals (`[bins + 1]`). The last interval includes `high`; what lies outside, and NaN, is not
    /// counted.</summary>
    /// <example><code>fst (histogram 2 0.0 4.0 (tensor [ 0.; 1.; 2.; 4.; 9. ])) // tensor([2, 2])</code></example>
    let histogram (bins: int) (low: float) (high: float) (x: Tensor) : Tensor * Tensor =
        if bins < 1 || not (low < high) || not (Double.IsFinite(high - low)) then
            Shape.fail
                "histogram"
                $"there must be at least one bin, and low < high be finite, not {bins} from {low} to {high}"
                ""
                [ x ]
        let x = Op.reshape [| x.Count |] (inFloat x)
        let wide = Op.cast DType.F64 x
        let inside = Op.binary Binary.And (ge wide (constant DType.F64 low)) (le wide (constant DType.F64 high))
        let bin = clamp 0.0 (float (bins - 1)) (floor ((wide - low) * (float bins / (high - low))))
        // What lies outside is counted in a bin of its own, which is cut off.
        let index = Op.select inside (Op.cast DType.I64 bin) (constant DType.I64 (float bins))
        part 0 0 bins 1 (bincount (bins + 1) index), Op.cast x.DType (linspaceOf DType.F64 low high (bins + 1))

    /// <summary>The covariances of variables (rows) over observations (columns): `[variables; observations]` to
    /// `[variables; variables]`, divided by n - correction (1: unbiased). A vector is one variable.</summary>
    /// <example><code>cov 1 (matrix [ [ 1.; 2.; 3. ]; [ 2.; 4.; 6. ] ])
    /// // tensor([[1., 2.], [2., 4.]])</code></example>
    let cov (correction: int) (x: Tensor) : Tensor =
        if x.Rank > 2 || x.Rank = 0 then
            Shape.fail "cov" "the operand must be a matrix [variables; observations], or a vector" "" [ x ]
        let m = inFloat (if x.Rank = 1 then Op.reshape [| 1; x.Count |] x else x)
        let d = m - meanKeep [ 1 ] m
        let c = matmul d (transpose d) / float (max 0 (m.Shape[1] - correction))
        if x.Rank = 1 then Op.reshape [||] c else c

    /// <summary>The correlations (Pearson's) of variables (rows) over observations (columns): `[variables; observations]`
    /// to `[variables; variables]`, from -1 to 1.</summary>
    /// <example><code>corrcoef (matrix [ [ 1.; 2.; 3. ]; [ 3.; 2.; 1. ] ])
    /// // tensor([[1., -1.], [-1., 1.]])</code></example>
    let corrcoef (x: Tensor) : Tensor =
        if x.Rank > 2 || x.Rank = 0 then
            Shape.fail "corrcoef" "the operand must be a matrix [variables; observations], or a vector" "" [ x ]
        if x.Rank = 1 then
            let v = var x
            v / v
        else
            let c = cov 1 x
            let deviation = sqrt (diagonal 0 0 1 c)
            clamp -1.0 1.0 (c / unsqueeze 1 deviation / unsqueeze 0 deviation)
