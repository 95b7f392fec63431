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
    /// A pooling along the last axes, one entry per axis: how many windows, and what must lie before and behind.
    type private Plan =
        {
            First: int
            Size: int[]
            Stride: int[]
            Padding: int[]
            Dilation: int[]
            Windows: int[]
            /// Extents of the padded axes, no more than the windows need.
            Needed: int[]
        }

    /// One size for several spatial axes would silently pool the last one alone.
    let private checkRank op n (x: Tensor) =
        if x.Rank > n + 2 then
            let required = $"{n} sizes pool over {n} axes of [channels; spatial...] or [batch; channels; spatial...]"
            Shape.fail op required $"give {x.Rank - 2} sizes, one for each spatial axis" [ x ]

    let private plan op (o: PoolOptions) (x: Tensor) : Plan =
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

    /// Exactly what the windows cover, `value` in the padding.
    let private fitted (p: Plan) (value: Tensor) (x: Tensor) =
        let at f = Array.init x.Rank (fun a -> if a < p.First then 0 else f (a - p.First))
        let high = at (fun i -> max 0 (p.Needed[i] - x.Shape[p.First + i] - p.Padding[i]))
        let padded = Op.pad (at (fun i -> p.Padding[i])) high (Array.zeroCreate x.Rank) value x
        let stops = Array.init x.Rank (fun a -> if a < p.First then x.Shape[a] else p.Needed[a - p.First])
        Op.slice (Array.zeroCreate x.Rank) stops (Array.create x.Rank 1) padded

    let private window (p: Plan) i =
        { Axis = p.First + i
          Size = p.Size[i]
          Step = p.Stride[i]
          Dilation = p.Dilation[i] }

    /// `[...; windows...; size...]`.
    let private unfolded (p: Plan) (x: Tensor) =
        Seq.fold (fun y i -> Op.unfold (window p i) y) x (seq { 0 .. p.Size.Length - 1 })

    let private refolded (p: Plan) (u: Tensor) =
        Seq.foldBack (fun i y -> Op.fold (window p i) p.Needed[i] y) (seq { 0 .. p.Size.Length - 1 }) u

    /// The cotangent of what was fitted, as that of x.
    let private unfitted (p: Plan) (x: Tensor) (c: Tensor) =
        let starts = Array.init x.Rank (fun a -> if a < p.First then 0 else p.Padding[a - p.First])
        let kept a = if a < p.First then x.Shape[a] else min x.Shape[a] (c.Shape[a] - starts[a])
        let inner = Op.slice starts (Array.init x.Rank (fun a -> starts[a] + kept a)) (Array.create x.Rank 1) c
        let high = Array.init x.Rank (fun a -> x.Shape[a] - kept a)
        let none = Array.zeroCreate x.Rank
        Op.pad none high none (Op.constant (Constant.ofInt c.DType 0L)) inner

    /// Element j of every window, for each j in row-major order.
    let private elements (p: Plan) (u: Tensor) : Tensor[] =
        let n = p.Size.Length
        let flat = Op.reshape (Array.append u.Shape[.. u.Rank - n - 1] [| Shape.count p.Size |]) u
        let last = flat.Rank - 1
        Array.init flat.Shape[last] (fun j ->
            let at v other = Array.init flat.Rank (fun a -> if a = last then v else other a)
            Op.slice (at j (fun _ -> 0)) (at (j + 1) (fun a -> flat.Shape[a])) (Array.create flat.Rank 1) flat
            |> Op.reshape flat.Shape[.. last - 1])

    /// Windows up to this size are unrolled: vectors run across windows instead of along each.
    let private unrolled = 36

    /// The largest element and its number, the first one of equals; NaN wins over numbers.
    let private leader (parts: Tensor[]) : struct (Tensor * Tensor) =
        let number j = Op.broadcast parts[0].Shape (Op.constant (Constant.ofInt DType.I32 (int64 j)))
        let mutable best, place = parts[0], number 0
        for j in 1 .. parts.Length - 1 do
            let x = parts[j]
            let wins = Op.binary Binary.Or (Op.binary Binary.Gt x best) (Op.binary Binary.Ne x x)
            best <- Op.select wins x best
            place <- Op.select wins (number j) place
        struct (best, place)

    /// `[...; windows...]` to `[...; windows...; 1...]`, as wide as the windows.
    let private over (p: Plan) (c: Tensor) =
        c
        |> Op.reshape (Array.append c.Shape (Array.map (fun _ -> 1) p.Size))
        |> Op.broadcast (Array.append c.Shape p.Size)

    let private isSideBySide (p: Plan) = p.Stride = p.Size && Array.forall ((=) 1) p.Dilation

    /// `[...; windows...; size...]` of windows side by side, as the axis that they cover: no more than a view.
    let private joined (p: Plan) (u: Tensor) =
        let n, lead = p.Size.Length, [| 0 .. p.First - 1 |]
        let pairs = Array.init n (fun i -> [| p.First + i; p.First + n + i |]) |> Array.concat
        Op.permute (Array.append lead pairs) u |> Op.reshape (Array.append u.Shape[.. p.First - 1] p.Needed)

    /// A function of one tensor with its own gradient, from x and the cotangent.
    let private withGradient name (x: Tensor) (body: Tensor -> Tensor) (gradient: Tensor -> Tensor -> Tensor) =
        let v = Op.input "x" x.DType x.Shape
        let y = body v
        let c = Op.input "c" y.DType y.Shape
        let custom =
            { Name = name
              Body = Lambda.ofVariables [| v |] [| y |]
              Gradient = Some(Lambda.ofVariables [| v; c |] [| gradient v c |]) }
        (Op.custom custom [| x |]).[0]

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

    let private maxOf (p: Plan) (x: Tensor) =
        let count = Shape.count p.Size
        if count > unrolled then
            let u = unfolded p x
            let flat = Op.reshape (Array.append u.Shape[.. u.Rank - p.Size.Length - 1] [| count |]) u
            let last = flat.Rank - 1
            Op.gather last last flat (Op.argReduce true last flat)
        else
            withGradient
                "maxPool"
                x
                (fun x ->
                    let struct (best, _) = leader (elements p (unfolded p x))
                    best)
                (fun x c ->
                    let struct (_, place) = leader (elements p (unfolded p x))
                    let number = Op.reshape p.Size (Op.iota DType.I32 [| count |] 0)
                    let number = Op.broadcast (Array.append c.Shape p.Size) number
                    // Views first, so that what is computed stands where x does.
                    let view = if isSideBySide p then joined p else id
                    let wide = view (over p c)
                    let wins = Op.binary Binary.Eq (view (over p place)) (view number)
                    let shares = Op.select wins wide (Calculus.zeros wide)
                    if isSideBySide p then shares else refolded p shares)

    /// <summary>The largest element of every window over the last axes: `[...; spatial...]` to `[...; windows...]`. Padding never
    /// wins; of equal elements the first (row by row) takes the whole gradient, as in PyTorch; a NaN wins.</summary>
    /// <exception cref="T:Nanograd.ShapeException">A window does not fit.</exception>
    /// <example><code>maxPool (PoolOptions.Of [| 2 |]) (tensor [ 1.; 3.; 2.; 0. ]) // tensor([3., 2.])</code></example>
    let maxPool (o: PoolOptions) (x: Tensor) : Tensor =
        let p = plan "maxPool" o x
        let t = DType.arithmetic x.DType
        let wide = Op.cast t x
        Op.cast x.DType (maxOf p (fitted p (least t) wide))

    /// How many elements each window's average divides by, along one axis: those before the end of the padding, or of x.
    let private counts (p: Plan) (o: PoolOptions) (x: Tensor) i : Tensor =
        let extent = x.Shape[p.First + i]
        let low, high = if o.CountIncludePad then -p.Padding[i], extent + p.Padding[i] else 0, extent
        let dtype = DType.arithmetic x.DType
        let number (v: int) = Op.constant (Constant.ofInt dtype (int64 v))
        let start = Op.iota dtype [| p.Windows[i] |] 0 * number p.Stride[i] - number p.Padding[i]
        let stop = Op.binary Binary.Min (start + number p.Size[i]) (number high)
        stop - Op.binary Binary.Max start (number low)

    let private averageOf (p: Plan) (x: Tensor) =
        let n = p.Size.Length
        let sums (x: Tensor) =
            let u = unfolded p x
            if Shape.count p.Size > unrolled then
                Op.reduce Reduction.Sum [ u.Rank - n .. u.Rank - 1 ] u
            else
                elements p u |> Array.reduce (fun a b -> a + b)
        withGradient "sumPool" x sums (fun _ c -> (if isSideBySide p then joined p else refolded p) (over p c))

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
        let sums = averageOf p (fitted p (Op.constant (Constant.ofInt t 0L)) wide)
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
