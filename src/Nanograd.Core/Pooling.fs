namespace Nanograd

/// Windows over the last axes of a tensor: as many axes as `Size` has entries. The other arrays have one entry for each, or one
/// for all; no stride means the size.
type PoolOptions =
    {
        Size: int[]
        Stride: int[]
        Padding: int[]
        Dilation: int[]
        /// A last window that starts inside but ends outside counts too.
        CeilMode: bool
        /// Averages divide by the elements of a window with (true) or without the padding in it.
        CountIncludePad: bool
    }

    /// Windows of this size side by side.
    static member Of(size: int[]) =
        { Size = size
          Stride = [||]
          Padding = [| 0 |]
          Dilation = [| 1 |]
          CeilMode = false
          CountIncludePad = true }

/// Pooling with the arguments and the meaning of PyTorch's `torch.nn.functional`, composed of windows and elementwise functions.
[<AutoOpen>]
module Poolings =
    /// One size for several spatial axes would silently pool the last one alone.
    let private checkRank op n (x: Tensor) =
        if x.Rank > n + 2 then
            let required = $"{n} sizes pool over {n} axes of [channels; spatial...] or [batch; channels; spatial...]"
            Shape.fail op required $"give {x.Rank - 2} sizes, one for each spatial axis" [ x ]

    let private plan op (o: PoolOptions) (x: Tensor) : PoolWindows =
        let n = o.Size.Length
        if n = 0 || x.Rank < n then
            Shape.fail op $"x must have the {n} axes to pool over, and there must be one" "" [ x ]
        checkRank op n x
        let spread what values = spread op what n values x
        let stride = if o.Stride.Length = 0 then o.Size else spread "stride" o.Stride
        let padding, dilation, first = spread "padding" o.Padding, spread "dilation" o.Dilation, x.Rank - n
        for i in 0 .. n - 1 do
            if o.Size[i] < 1 || stride[i] < 1 || dilation[i] < 1 then
                Shape.fail op "sizes, strides and dilations must be at least 1" "" [ x ]
            if padding[i] < 0 || 2 * padding[i] > dilation[i] * (o.Size[i] - 1) + 1 then
                Shape.fail
                    op
                    $"padding must be at most half the window ({padding[i]} and {o.Size[i]} on axis {first + i})"
                    ""
                    [ x ]
        let span i = dilation[i] * (o.Size[i] - 1) + 1
        let windows i =
            let extent = x.Shape[first + i]
            let room = extent + 2 * padding[i] - span i
            if room < 0 && not (o.CeilMode && room + stride[i] > 0) then
                Shape.fail
                    op
                    $"a window of {span i} must fit the padded axis {first + i} of {extent + 2 * padding[i]}"
                    ""
                    [ x ]
            let count = (if o.CeilMode then room + stride[i] - 1 else room) / stride[i] + 1
            // No window starts in the padding behind.
            if o.CeilMode && (count - 1) * stride[i] >= extent + padding[i] then count - 1 else count
        let windows = Array.init n windows
        { First = first
          Size = o.Size
          Stride = stride
          Padding = padding
          Dilation = dilation
          Windows = windows
          Needed = Array.init n (fun i -> (windows[i] - 1) * stride[i] + span i) }

    let private least (dtype: DType) =
        let lowest =
            match dtype with
            | DType.I64 -> Constant.ofInt dtype System.Int64.MinValue
            | DType.I32 -> Constant.ofInt dtype (int64 System.Int32.MinValue)
            | DType.I8 -> Constant.ofInt dtype -128L
            | DType.U32
            | DType.U8
            | DType.Bool -> Constant.ofInt dtype 0L
            | DType.F64
            | DType.F32
            | DType.F16
            | DType.BF16 -> Constant.ofFloat dtype -infinity
        Op.constant lowest

    let private maxOf (p: PoolWindows) (x: Tensor) =
        let least = least x.DType
        let count = Shape.count p.Size
        if count <= PoolCall.unrolled then
            PoolCall.max p least x
        else
            let u = PoolCall.unfolded p (PoolCall.fitted p least x)
            let flat = Op.reshape (Array.append u.Shape[.. u.Rank - p.Size.Length - 1] [| count |]) u
            let last = flat.Rank - 1
            Op.gather last last flat (Op.argReduce true last flat)

    /// <summary>The largest element of every window over the last axes: `[...; spatial...]` to `[...; windows...]`. Padding never
    /// wins; of equal elements the first (row by row) takes the whole gradient, as in PyTorch; a NaN wins.</summary>
    /// <exception cref="T:Nanograd.ShapeException">A window does not fit.</exception>
    /// <example><code>maxPool (PoolOptions.Of [| 2 |]) (tensor [ 1.; 3.; 2.; 0. ]) // tensor([3., 2.])</code></example>
    let maxPool (o: PoolOptions) (x: Tensor) : Tensor =
        let p = plan "maxPool" o x
        let t = DType.arithmetic x.DType
        let wide = Op.cast t x
        Op.cast x.DType (maxOf p wide)

    /// How many elements each window's average divides by, along one axis: those before the end of the padding, or of x.
    let private counts (p: PoolWindows) (o: PoolOptions) (x: Tensor) i : Tensor =
        let extent = x.Shape[p.First + i]
        let low, high = if o.CountIncludePad then -p.Padding[i], extent + p.Padding[i] else 0, extent
        let dtype = DType.arithmetic x.DType
        let number (v: int) = Op.constant (Constant.ofInt dtype (int64 v))
        let start = Op.iota dtype [| p.Windows[i] |] 0 * number p.Stride[i] - number p.Padding[i]
        let stop = Op.binary Binary.Min (start + number p.Size[i]) (number high)
        stop - Op.binary Binary.Max start (number low)

    /// <summary>The mean of every window over the last axes: `[...; spatial...]` to `[...; windows...]`. (Dilation must be 1.)
    /// </summary>
    /// <exception cref="T:Nanograd.ShapeException">A window does not fit, or x is no float.</exception>
    /// <example><code>avgPool { PoolOptions.Of [| 2 |] with Stride = [| 1 |] } (tensor [ 1.; 3.; 5.; 1. ]) // tensor([2., 4., 3.])</code></example>
    let avgPool (o: PoolOptions) (x: Tensor) : Tensor =
        let p = plan "avgPool" o x
        if not (DType.isFloat x.DType) then Shape.fail "avgPool" "x must be a float" "cast it first" [ x ]
        if Array.exists ((<>) 1) p.Dilation then Shape.fail "avgPool" "windows have no dilation" "" [ x ]
        let t = DType.arithmetic x.DType
        let wide = Op.cast t x
        let sums = PoolCall.sum p wide
        let divided (y: Tensor) i =
            let along = Array.init y.Rank (fun a -> if a = p.First + i then p.Windows[i] else 1)
            y / Op.reshape along (counts p o wide i)
        let whole =
            Array.forall (fun i -> p.Padding[i] = 0 && p.Needed[i] <= x.Shape[p.First + i]) [| 0 .. p.Size.Length - 1 |]
        if whole then sums / float (Shape.count p.Size) else Seq.fold divided sums (seq { 0 .. p.Size.Length - 1 })
        |> Op.cast x.DType

    // ---- a number of windows instead of a size

    let private checkAdaptive op (size: int[]) (x: Tensor) =
        let n = size.Length
        if n = 0 || x.Rank < n || Array.exists (fun s -> s < 1) size then
            Shape.fail op $"sizes must be at least 1, for each of the last {n} axes" "" [ x ]
        checkRank op n x
        if Array.exists (fun e -> e = 0) x.Shape[x.Rank - n ..] then
            Shape.fail op "the axes to pool over must not be empty" "" [ x ]

    let private divides (size: int[]) (x: Tensor) =
        Array.forall2 (fun s e -> e % s = 0) size x.Shape[x.Rank - size.Length ..]

    let private evenly (size: int[]) (x: Tensor) =
        PoolOptions.Of(Array.map2 (fun s e -> e / s) size x.Shape[x.Rank - size.Length ..])

    /// Window i of `count` on an axis of `extent`: from floor (i extent / count) to ceil ((i + 1) extent / count).
    let private bounds count extent i = i * extent / count, ((i + 1) * extent + count - 1) / count

    /// The same for a tensor of window numbers.
    let private ends (o: Tensor) (count: int) (extent: int) : struct (Tensor * Tensor) =
        let wholes (x: Tensor) = Op.binary Binary.Div x (Op.constant (Constant.ofInt o.DType (int64 count)))
        struct (wholes (o * extent), wholes ((o + 1) * extent + (count - 1)))

    /// <summary>The largest elements of `size` windows that cover the last axes: `[...; spatial...]` to `[...; size...]`.</summary>
    /// <exception cref="T:Nanograd.ShapeException">A number of windows is less than 1, or an axis is empty.</exception>
    /// <example><code>adaptiveMaxPool [| 2 |] (tensor [ 1.; 3.; 2.; 0.; 5. ]) // tensor([3., 5.])</code></example>
    let adaptiveMaxPool (size: int[]) (x: Tensor) : Tensor =
        checkAdaptive "adaptiveMaxPool" size x
        if divides size x then
            maxPool (evenly size x) x
        else
            // Windows of all axes as wide as the widest, the last element of a narrower one repeated: the first of equals wins.
            let n, first = size.Length, x.Rank - size.Length
            let along (y: Tensor) i =
                let axis, extent = first + i, x.Shape[first + i]
                let limits = Array.init size[i] (bounds size[i] extent)
                let widest = limits |> Array.map (fun (a, b) -> b - a) |> Array.max
                let j = Op.iota DType.I64 [| size[i]; widest |] 1
                let o = Op.iota DType.I64 [| size[i]; widest |] 0
                let struct (start, stop) = ends o size[i] extent
                let picks = Op.binary Binary.Min (start + j) (stop - 1)
                let g = Op.gather axis 0 y picks
                // The window's elements go to the end, behind those of the axes before.
                Op.permute (Array.concat [ [| 0..axis |]; [| axis + 2 .. g.Rank - 1 |]; [| axis + 1 |] ]) g
            let u = Seq.fold along x (seq { 0 .. n - 1 })
            let flat = Op.reshape (Array.append u.Shape[.. x.Rank - 1] [| -1 |]) u
            Op.gather x.Rank x.Rank flat (Op.argReduce true x.Rank flat)

    /// <summary>The means of `size` windows that cover the last axes: `[...; spatial...]` to `[...; size...]`.</summary>
    /// <exception cref="T:Nanograd.ShapeException">A number of windows is less than 1, an axis is empty, or x is no float.</exception>
    /// <example><code>adaptiveAvgPool [| 2 |] (tensor [ 1.; 3.; 5. ]) // tensor([2., 4.])</code></example>
    let adaptiveAvgPool (size: int[]) (x: Tensor) : Tensor =
        checkAdaptive "adaptiveAvgPool" size x
        if not (DType.isFloat x.DType) then Shape.fail "adaptiveAvgPool" "x must be a float" "cast it first" [ x ]
        if divides size x then
            avgPool (evenly size x) x
        else
            let first, t = x.Rank - size.Length, DType.arithmetic x.DType
            let along (y: Tensor) i =
                let axis, extent = first + i, x.Shape[first + i]
                let shape = [| size[i]; extent |]
                let o, at = Op.iota DType.I64 shape 0, Op.iota DType.I64 shape 1
                let struct (start, stop) = ends o size[i] extent
                let inside = Op.binary Binary.And (Op.binary Binary.Ge at start) (Op.binary Binary.Lt at stop)
                let weights = Op.cast t inside / Op.cast t (stop - start)
                let c =
                    { LeftBatch = [||]
                      RightBatch = [||]
                      LeftSum = [| axis |]
                      RightSum = [| 1 |] }
                let moved = Op.dot c y weights // the axis is now the last
                Op.permute (Array.concat [ [| 0 .. axis - 1 |]; [| y.Rank - 1 |]; [| axis .. y.Rank - 2 |] ]) moved
            Seq.fold along (Op.cast t x) (seq { 0 .. size.Length - 1 }) |> Op.cast x.DType
