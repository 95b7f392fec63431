namespace Nanograd

open System

/// Batches mixed with themselves: every example meets its neighbour (the last one the first). Labels become shares, f32 `[n; classes]`.
[<RequireQualifiedAccess>]
module Mix =
    let private fail op what got hint : 'a = raise (ShapeException(op, what, got, hint))

    /// A number of the gamma distribution of shape `a` (Marsaglia and Tsang 2000), a function of the key.
    let rec private gamma (key: Threefry.Key) (a: float) : float =
        if a < 1.0 then
            gamma key (a + 1.0) * Math.Pow(1.0 - Counter.uniform (Threefry.fold key 0u) 0, 1.0 / a)
        else
            let d = a - 1.0 / 3.0
            let c = 1.0 / sqrt (9.0 * d)
            let attempt n =
                let u i = 1.0 - Counter.uniform key (3 * n + i)
                let x = sqrt (-2.0 * log (u 0)) * cos (2.0 * Math.PI * u 1)
                let v = Math.Pow(1.0 + c * x, 3.0)
                if v > 0.0 && log (u 2) < 0.5 * x * x + d - d * v + d * log v then Some(d * v) else None
            Seq.pick attempt (Seq.initInfinite id)

    /// A number of Beta(alpha, alpha), a function of the key.
    let beta (alpha: float) (key: Threefry.Key) : float =
        let a, b = gamma (Threefry.fold key 1u) alpha, gamma (Threefry.fold key 2u) alpha
        // Both underflow for tiny alphas, where the distribution is a coin.
        if a + b > 0.0 then a / (a + b) else float (Counter.bits key 0 &&& 1u)

    let private check op (alpha: float) (classes: int) (x: Tensor) (y: Tensor) =
        if not (alpha > 0.0) then fail op "alpha above 0" (string alpha) ""
        if x.DType <> DType.F32 || x.Rank < 1 then Shape.fail op "a batch [n,..] of f32" "use toTensor before" [ x ]
        let isClasses = DType.isInteger y.DType && y.Rank = 1
        let isShares = y.DType = DType.F32 && y.Rank = 2 && y.Shape[1] = classes
        if not (isClasses || isShares) || y.Shape[0] <> x.Shape[0] then
            Shape.fail op $"classes [n] (integers), or shares f32[n,{classes}], for the n examples" "" [ x; y ]

    /// Classes as shares: one-hot rows.
    let private shares op (classes: int) (y: Tensor) : float32[] =
        let s = Host.storage y
        if y.Rank = 2 then
            (Buffers.span<float32> s).ToArray()
        else
            let result = Array.zeroCreate<float32>(s.Length * classes)
            for i in 0 .. s.Length - 1 do
                let c = (Buffers.read s i).Int
                if c < 0L || c >= int64 classes then raise (IndexException(op, c, classes))
                result[i * classes + int c] <- 1.0f
            result

    /// share * row i + (1 - share) * row i - 1, of rows of the given length.
    let private withNeighbours (share: float32) (length: int) (values: float32[]) =
        let count = values.Length
        Array.init count (fun k -> share * values[k] + (1.0f - share) * values[(k - length + count) % count])

    let private labels op classes (share: float) (y: Tensor) =
        let mixed = withNeighbours (float32 share) classes (shares op classes y)
        Host.float32s [| y.Shape[0]; classes |] mixed

    /// mixup (Zhang et al. 2018): each example is a mean of itself and its neighbour, weighted by one number of Beta(alpha, alpha) for the
    /// batch; so are the labels. x f32 `[n; ..]`, y classes `[n]` or shares `[n; classes]`.
    let mixup (alpha: float) (classes: int) (key: Threefry.Key) (x: Tensor, y: Tensor) : Tensor * Tensor =
        check "mixup" alpha classes x y
        let share = beta alpha key
        let length = if x.Shape[0] = 0 then 1 else x.Count / x.Shape[0]
        let mixed = withNeighbours (float32 share) length ((Buffers.span<float32>(Host.storage x)).ToArray())
        Host.float32s x.Shape mixed, labels "mixup" classes share y

    /// CutMix (Yun et al. 2019): a rectangle of each image is its neighbour's, of a share of the area that comes from Beta(alpha, alpha);
    /// labels are weighted by the areas. x f32 `[n; ..; height; width]`, y classes `[n]` or shares `[n; classes]`.
    let cutmix (alpha: float) (classes: int) (key: Threefry.Key) (x: Tensor, y: Tensor) : Tensor * Tensor =
        check "cutmix" alpha classes x y
        if x.Rank < 3 then Shape.fail "cutmix" "images [n,..,height,width]" "" [ x ]
        let h, w = x.Shape[x.Rank - 2], x.Shape[x.Rank - 1]
        let reach = 0.5 * sqrt (1.0 - beta alpha key)
        let cy, cx = int (Counter.below (int64 h) key 1), int (Counter.below (int64 w) key 2)
        let half extent = int (reach * float extent)
        let top, bottom = max 0 (cy - half h), min h (cy + half h)
        let left, right = max 0 (cx - half w), min w (cx + half w)
        let share = 1.0 - float ((bottom - top) * (right - left)) / float (h * w)
        let source = Host.storage x
        let target = Buffers.copy source
        let rows = if h * w = 0 then 0 else x.Count / (h * w) // planes of all images
        let planes = if x.Shape[0] = 0 then 0 else rows / x.Shape[0]
        for p in 0 .. rows - 1 do
            let neighbour = (p - planes + rows) % rows
            for r in top .. bottom - 1 do
                Host.copy source ((neighbour * h + r) * w + left) target ((p * h + r) * w + left) (right - left)
        Op.literal target x.Shape, labels "cutmix" classes share y
