namespace Nanograd

open System

/// Where elements stand: shapes, parts, joining, order along axes. Axes may be negative; the tensor comes last, so that
/// pipes read well.
[<AutoOpen>]
module Moving =
    // ---- shapes

    /// <summary>The same elements in row-major order under another shape; one extent may be -1.</summary>
    /// <example><code>reshape [| 2; -1 |] (arange DType.I64 6) // tensor([[0, 1, 2], [3, 4, 5]])</code></example>
    let reshape (shape: int[]) (x: Tensor) : Tensor = Op.reshape shape x

    /// <summary>Axes `first` to `last` (both included) become one.</summary>
    /// <example><code>(flattenAxes 1 2 (zeros [| 2; 3; 4 |])).Shape // [2,12]</code></example>
    let flattenAxes (first: int) (last: int) (x: Tensor) : Tensor =
        if x.Rank = 0 then
            Op.reshape [| 1 |] x
        else
            let first, last = Shape.axis "flattenAxes" x first, Shape.axis "flattenAxes" x last
            if first > last then
                Shape.fail "flattenAxes" $"the first axis ({first}) must not be after the last ({last})" "" [ x ]
            let middle = Shape.count x.Shape[first..last]
            Op.reshape (Array.concat [ x.Shape[.. first - 1]; [| middle |]; x.Shape[last + 1 ..] ]) x

    /// <summary>All elements as a vector, in row-major order.</summary>
    /// <example><code>flatten (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([1., 2., 3., 4.])</code></example>
    let flatten (x: Tensor) : Tensor = Op.reshape [| x.Count |] x

    /// <summary>One axis split into several of the given extents; one of them may be -1.</summary>
    /// <example><code>(unflatten 0 [| 2; -1 |] (zeros [| 6; 4 |])).Shape // [2,3,4]</code></example>
    let unflatten (axis: int) (shape: int[]) (x: Tensor) : Tensor =
        let axis = Shape.axis "unflatten" x axis
        let known = Array.fold (fun n e -> if e = -1 then n else n * e) 1 shape
        let holes = shape |> Array.filter ((=) -1) |> Array.length
        let whole = x.Shape[axis]
        let fits = if holes = 0 then known = whole else holes = 1 && known > 0 && whole % known = 0
        if not fits then
            Shape.fail
                "unflatten"
                $"{Shape.show shape} must have as many elements as axis {axis} ({whole})"
                "one extent may be -1"
                [ x ]
        let parts = shape |> Array.map (fun e -> if e = -1 then whole / known else e)
        Op.reshape (Array.concat [ x.Shape[.. axis - 1]; parts; x.Shape[axis + 1 ..] ]) x

    /// <summary>A new axis of extent 1 at place `axis` of the result.</summary>
    /// <example><code>unsqueeze 1 (tensor [ 1.; 2. ]) // tensor([[1.], [2.]])</code></example>
    let unsqueeze (axis: int) (x: Tensor) : Tensor = insertAxis "unsqueeze" axis x

    /// <summary>An axis of extent 1 removed.</summary>
    /// <example><code>squeeze 0 (matrix [ [ 1.; 2. ] ]) // tensor([1., 2.])</code></example>
    let squeeze (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "squeeze" x axis
        if x.Shape[axis] <> 1 then Shape.fail "squeeze" $"axis {axis} must have extent 1" "" [ x ]
        Op.reshape (Array.removeAt axis x.Shape) x

    /// <summary>All axes of extent 1 removed.</summary>
    /// <example><code>(squeezeAll (zeros [| 1; 3; 1 |])).Shape // [3]</code></example>
    let squeezeAll (x: Tensor) : Tensor = Op.reshape (Array.filter ((<>) 1) x.Shape) x

    /// <summary>Stretched to `shape` by NumPy's rule: new axes in front, axes of extent 1 repeated.</summary>
    /// <example><code>broadcastTo [| 2; 3 |] (tensor [ 1.; 2.; 3. ])
    /// // tensor([[1., 2., 3.], [1., 2., 3.]])</code></example>
    let broadcastTo (shape: int[]) (x: Tensor) : Tensor = Op.broadcast shape x

    /// <summary>As `broadcastTo`, where -1 keeps an extent.</summary>
    /// <example><code>expand [| 2; -1 |] (tensor [ 1.; 2. ]) // tensor([[1., 2.], [1., 2.]])</code></example>
    let expand (shape: int[]) (x: Tensor) : Tensor =
        let fresh = shape.Length - x.Rank
        let extent i e =
            if e <> -1 then e
            elif i >= fresh then x.Shape[i - fresh]
            else Shape.fail "expand" "a new axis must have its extent given, not -1" "" [ x ]
        Op.broadcast (Array.mapi extent shape) x

    // ---- order of axes

    /// <summary>Axis i of the result is axis permutation[i] of x.</summary>
    /// <example><code>(permute [| 2; 0; 1 |] (zeros [| 2; 3; 4 |])).Shape // [4,2,3]</code></example>
    let permute (permutation: int[]) (x: Tensor) : Tensor = Op.permute permutation x

    /// <summary>The last two axes exchanged.</summary>
    /// <example><code>transpose (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([[1., 3.], [2., 4.]])</code></example>
    let transpose (x: Tensor) : Tensor =
        if x.Rank < 2 then Shape.fail "transpose" "the operand must have at least two axes" "" [ x ]
        Op.permute (Array.append [| 0 .. x.Rank - 3 |] [| x.Rank - 1; x.Rank - 2 |]) x

    /// <summary>Two axes exchanged.</summary>
    /// <example><code>(swapAxes 0 2 (zeros [| 2; 3; 4 |])).Shape // [4,3,2]</code></example>
    let swapAxes (axis1: int) (axis2: int) (x: Tensor) : Tensor =
        let a, b = Shape.axis "swapAxes" x axis1, Shape.axis "swapAxes" x axis2
        Op.permute
            (allOf x
             |> Array.map (fun i ->
                 if i = a then b
                 elif i = b then a
                 else i))
            x

    /// <summary>An axis moved to another place; the others keep their order.</summary>
    /// <example><code>(moveAxis 0 -1 (zeros [| 2; 3; 4 |])).Shape // [3,4,2]</code></example>
    let moveAxis (source: int) (target: int) (x: Tensor) : Tensor =
        let source, target = Shape.axis "moveAxis" x source, Shape.axis "moveAxis" x target
        Op.permute (allOf x |> Array.removeAt source |> Array.insertAt target source) x

    // ---- parts

    /// <summary>Elements start, start + step, ... before `stop` along one axis. Negative bounds count from the
    /// end.</summary>
    /// <example><code>sliceStep 0 0 5 2 (arange DType.I64 5) // tensor([0, 2, 4])</code></example>
    let sliceStep (axis: int) (start: int) (stop: int) (step: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "slice" x axis
        let from (i: int) = if i < 0 then i + x.Shape[axis] else i
        part axis (from start) (from stop) step x

    /// <summary>Elements start, ..., stop - 1 along one axis. Negative bounds count from the end; bounds outside the axis
    /// are errors.</summary>
    /// <example><code>slice 0 1 3 (tensor [ 1.; 2.; 3.; 4. ]) // tensor([2., 3.])</code></example>
    let slice (axis: int) (start: int) (stop: int) (x: Tensor) : Tensor = sliceStep axis start stop 1 x

    /// <summary>`length` elements from `start` along one axis.</summary>
    /// <example><code>narrow 0 1 2 (tensor [ 1.; 2.; 3.; 4. ]) // tensor([2., 3.])</code></example>
    let narrow (axis: int) (start: int) (length: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "narrow" x axis
        let start = if start < 0 then start + x.Shape[axis] else start
        if start < 0 || length < 0 || start + length > x.Shape[axis] then
            Shape.fail "narrow" $"{length} elements from {start} must lie in axis {axis} of {x.Shape[axis]}" "" [ x ]
        part axis start (start + length) 1 x

    /// <summary>Element `index` of one axis, which disappears; negative indices count from the end.</summary>
    /// <example><code>select 0 -1 (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([3., 4.])</code></example>
    let select (axis: int) (index: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "select" x axis
        let n = x.Shape[axis]
        if index < -n || index >= n then
            Shape.fail "select" $"index {index} must be between {-n} and {n - 1} on axis {axis}" "" [ x ]
        let i = if index < 0 then index + n else index
        part axis i (i + 1) 1 x |> Op.reshape (Array.removeAt axis x.Shape)

    /// <summary>Parts of the given extents along one axis, which they must fill.</summary>
    /// <example><code>(splitSizes 0 [ 1; 2 ] (tensor [ 1.; 2.; 3. ]))[1] // tensor([2., 3.])</code></example>
    let splitSizes (axis: int) (sizes: seq<int>) (x: Tensor) : Tensor[] =
        let axis = Shape.axis "splitSizes" x axis
        let sizes = Seq.toArray sizes
        if Array.exists (fun s -> s < 0) sizes || Array.sum sizes <> x.Shape[axis] then
            Shape.fail "splitSizes" $"sizes {Shape.show sizes} must add up to axis {axis} ({x.Shape[axis]})" "" [ x ]
        let starts = Array.scan (+) 0 sizes
        sizes |> Array.mapi (fun i size -> part axis starts[i] (starts[i] + size) 1 x)

    /// <summary>Parts of `size` elements along one axis; the last may be smaller.</summary>
    /// <example><code>(split 0 2 (tensor [ 1.; 2.; 3. ]))[1] // tensor([3.])</code></example>
    let split (axis: int) (size: int) (x: Tensor) : Tensor[] =
        let axis = Shape.axis "split" x axis
        if size < 1 then Shape.fail "split" $"the size of the parts must be at least 1, not {size}" "" [ x ]
        let n = x.Shape[axis]
        if n = 0 then [| x |] else [| for start in 0..size .. n - 1 -> part axis start (min n (start + size)) 1 x |]

    /// <summary>At most `count` parts of equal extent along one axis; the last may be smaller (PyTorch's
    /// chunk).</summary>
    /// <example><code>(chunk 0 2 (tensor [ 1.; 2.; 3. ]))[0] // tensor([1., 2.])</code></example>
    let chunk (axis: int) (count: int) (x: Tensor) : Tensor[] =
        let axis = Shape.axis "chunk" x axis
        if count < 1 then Shape.fail "chunk" $"the number of parts must be at least 1, not {count}" "" [ x ]
        split axis (max 1 ((x.Shape[axis] + count - 1) / count)) x

    /// <summary>The slices along one axis, which disappears.</summary>
    /// <example><code>(unbind 0 (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]))[1] // tensor([3., 4.])</code></example>
    let unbind (axis: int) (x: Tensor) : Tensor[] =
        let axis = Shape.axis "unbind" x axis
        Array.init x.Shape[axis] (fun i -> select axis i x)

    /// <summary>Windows of `size` elements, `step` apart, along one axis: `[..; n; ..]` to `[..; windows; ..;
    /// size]`.</summary>
    /// <example><code>unfold 0 3 1 (tensor [ 1.; 2.; 3.; 4. ]) // tensor([[1., 2., 3.], [2., 3., 4.]])</code></example>
    let unfold (axis: int) (size: int) (step: int) (x: Tensor) : Tensor =
        Op.unfold { Axis = Shape.axis "unfold" x axis; Size = size; Step = step; Dilation = 1 } x

    // ---- joining

    /// <summary>Joined along an axis; types and the other extents must agree.</summary>
    /// <example><code>concat 0 [ tensor [ 1. ]; tensor [ 2.; 3. ] ] // tensor([1., 2., 3.])</code></example>
    let concat (axis: int) (xs: seq<Tensor>) : Tensor = Op.concat axis (Seq.toArray xs)

    /// <summary>`concat` under PyTorch's name.</summary>
    /// <example><code>cat 0 [ tensor [ 1. ]; tensor [ 2.; 3. ] ] // tensor([1., 2., 3.])</code></example>
    let cat (axis: int) (xs: seq<Tensor>) : Tensor = concat axis xs

    /// <summary>Joined along a new axis; shapes and types must agree.</summary>
    /// <example><code>stack 0 [ tensor [ 1.; 2. ]; tensor [ 3.; 4. ] ] // tensor([[1., 2.], [3., 4.]])</code></example>
    let stack (axis: int) (xs: seq<Tensor>) : Tensor =
        let xs = Seq.toArray xs
        if xs.Length = 0 then raise (ShapeException("stack", "at least one operand is needed", "none", ""))
        match Array.tryFindIndex (fun (x: Tensor) -> x.Shape <> xs[0].Shape || x.DType <> xs[0].DType) xs with
        | Some i -> Shape.fail "stack" $"types and shapes must agree (operands 0 and {i})" "" [ xs[0]; xs[i] ]
        | None ->
            let place = if axis < 0 then axis + xs[0].Rank + 1 else axis
            xs |> Array.map (insertAxis "stack" axis) |> Op.concat place

    /// <summary>Joined side by side: along axis 1, vectors along axis 0.</summary>
    /// <example><code>hstack [ tensor [ 1. ]; tensor [ 2.; 3. ] ] // tensor([1., 2., 3.])</code></example>
    let hstack (xs: seq<Tensor>) : Tensor =
        let xs = xs |> Seq.map (fun x -> if x.Rank = 0 then Op.reshape [| 1 |] x else x) |> Seq.toArray
        concat (if xs.Length > 0 && xs[0].Rank > 1 then 1 else 0) xs

    /// <summary>Joined one below the other: along axis 0, vectors as rows.</summary>
    /// <example><code>vstack [ tensor [ 1.; 2. ]; tensor [ 3.; 4. ] ] // tensor([[1., 2.], [3., 4.]])</code></example>
    let vstack (xs: seq<Tensor>) : Tensor =
        xs |> Seq.map (fun x -> if x.Rank < 2 then Op.reshape [| 1; x.Count |] x else x) |> concat 0

    // ---- repetition

    /// <summary>The whole tensor repeated along each axis (PyTorch's repeat): `repeats` has one count per axis, more of
    /// them add axes in front.</summary>
    /// <example><code>repeat [| 2; 2 |] (tensor [ 1.; 2. ])
    /// // tensor([[1., 2., 1., 2.], [1., 2., 1., 2.]])</code></example>
    let repeat (repeats: int[]) (x: Tensor) : Tensor =
        if repeats.Length < x.Rank || Array.exists (fun r -> r < 0) repeats then
            Shape.fail "repeat" $"{Shape.show repeats} must have a count of at least 0 for each axis" "" [ x ]
        let shape = Array.append (Array.create (repeats.Length - x.Rank) 1) x.Shape
        // Each axis becomes (count, extent): the copies are views until they are written.
        let paired = Array.collect (fun e -> [| 1; e |]) shape
        let stretched = Array.collect (fun (r, e) -> [| r; e |]) (Array.zip repeats shape)
        x |> Op.reshape paired |> Op.broadcast stretched |> Op.reshape (Array.map2 (*) repeats shape)

    /// <summary>NumPy's tile: as `repeat`, but missing counts in front are 1.</summary>
    /// <example><code>tile [| 2 |] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ])
    /// // tensor([[1., 2., 1., 2.], [3., 4., 3., 4.]])</code></example>
    let tile (repeats: int[]) (x: Tensor) : Tensor =
        repeat (Array.append (Array.create (max 0 (x.Rank - repeats.Length)) 1) repeats) x

    /// <summary>Each element along an axis `count` times in a row.</summary>
    /// <example><code>repeatInterleave 2 0 (tensor [ 1.; 2. ]) // tensor([1., 1., 2., 2.])</code></example>
    let repeatInterleave (count: int) (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "repeatInterleave" x axis
        if count < 0 then Shape.fail "repeatInterleave" $"the count must not be negative, not {count}" "" [ x ]
        let wide =
            x
            |> Op.reshape (Array.insertAt (axis + 1) 1 x.Shape)
            |> Op.broadcast (Array.insertAt (axis + 1) count x.Shape)
        Op.reshape (x.Shape |> Array.mapi (fun i e -> if i = axis then e * count else e)) wide

    // ---- order of elements

    /// <summary>The elements in opposite order along the axes.</summary>
    /// <example><code>flip [ 0 ] (tensor [ 1.; 2.; 3. ]) // tensor([3., 2., 1.])</code></example>
    let flip (axes: seq<int>) (x: Tensor) : Tensor = Op.reverse (Shape.axes "flip" x axes) x

    /// <summary>Elements moved `shift` places along an axis; those that leave at one end come in at the other.</summary>
    /// <example><code>roll 1 0 (tensor [ 1.; 2.; 3. ]) // tensor([3., 1., 2.])</code></example>
    let roll (shift: int) (axis: int) (x: Tensor) : Tensor =
        let axis = Shape.axis "roll" x axis
        let n = x.Shape[axis]
        let s = if n = 0 then 0 else ((shift % n) + n) % n
        if s = 0 then x else Op.concat axis [| part axis (n - s) n 1 x; part axis 0 (n - s) 1 x |]

    /// <summary>Turned by `times` quarter turns in the plane of two axes, from the first towards the second.</summary>
    /// <example><code>rot90 1 0 1 (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([[2., 4.], [1., 3.]])</code></example>
    let rot90 (times: int) (axis1: int) (axis2: int) (x: Tensor) : Tensor =
        let a, b = Shape.axis "rot90" x axis1, Shape.axis "rot90" x axis2
        if a = b then Shape.fail "rot90" $"the two axes must differ, not both be {a}" "" [ x ]
        match ((times % 4) + 4) % 4 with
        | 0 -> x
        | 1 -> x |> flip [ b ] |> swapAxes a b
        | 2 -> flip [ a; b ] x
        | _ -> x |> swapAxes a b |> flip [ b ]

    // ---- padding

    /// Amounts before and after each axis, from PyTorch's list: pairs, the last axis first.
    let private amounts (op: string) (pairs: seq<int>) (x: Tensor) =
        let pairs = Seq.toArray pairs
        if pairs.Length % 2 <> 0 || pairs.Length > 2 * x.Rank then
            Shape.fail op $"{Shape.show pairs} must be pairs of amounts, the last axis first" "" [ x ]
        Array.init x.Rank (fun i ->
            let k = 2 * (x.Rank - 1 - i)
            if k < pairs.Length then struct (pairs[k], pairs[k + 1]) else struct (0, 0))

    /// <summary>PyTorch's constant padding: `value` before and after, in pairs of amounts, the last axis first. Negative
    /// amounts take elements away.</summary>
    /// <example><code>pad [ 1; 2 ] 0.0 (tensor [ 5.; 6. ]) // tensor([0., 5., 6., 0., 0.])</code></example>
    let pad (pairs: seq<int>) (value: float) (x: Tensor) : Tensor =
        let each = amounts "pad" pairs x
        for i in 0 .. x.Rank - 1 do
            let struct (low, high) = each[i]
            if x.Shape[i] + min low 0 + min high 0 < 0 then
                Shape.fail
                    "pad"
                    $"axis {i} must have the {-(min low 0) - min high 0} elements that are taken away"
                    ""
                    [ x ]
        let starts = each |> Array.map (fun struct (low, _) -> max 0 -low)
        let stops = each |> Array.mapi (fun i struct (_, high) -> x.Shape[i] + min high 0)
        let cut = Op.slice starts stops (Array.create x.Rank 1) x
        let low = each |> Array.map (fun struct (low, _) -> max 0 low)
        let high = each |> Array.map (fun struct (_, high) -> max 0 high)
        Op.pad low high (Array.zeroCreate x.Rank) (constant x.DType value) cut

    /// Padding of each axis in turn by parts of itself.
    let private padBy
        op
        (check: Tensor -> int -> int -> int -> unit)
        (before: int -> int -> Tensor -> Tensor)
        (after: int -> int -> Tensor -> Tensor)
        pairs
        (x: Tensor)
        =
        let each = amounts op pairs x
        Array.fold
            (fun (y: Tensor) axis ->
                let struct (low, high) = each[axis]
                if low < 0 || high < 0 then
                    Shape.fail op "amounts must not be negative" "use slice to remove elements" [ x ]
                if low = 0 && high = 0 then
                    y
                else
                    check y axis low high
                    let parts =
                        [| if low > 0 then before axis low y
                           y
                           if high > 0 then after axis high y |]
                    Op.concat axis parts)
            x
            (allOf x)

    /// <summary>Padding by what stands inside, mirrored at the first and the last element, which are not repeated.
    /// Amounts as in `pad`, each less than the axis.</summary>
    /// <example><code>padReflect [ 2; 1 ] (tensor [ 1.; 2.; 3. ]) // tensor([3., 2., 1., 2., 3., 2.])</code></example>
    let padReflect (pairs: seq<int>) (x: Tensor) : Tensor =
        let check (y: Tensor) axis low high =
            if max low high >= y.Shape[axis] then
                Shape.fail
                    "padReflect"
                    $"amounts must be less than axis {axis} ({y.Shape[axis]}), not {low} and {high}"
                    ""
                    [ x ]
        let before axis n y = part axis 1 (n + 1) 1 y |> Op.reverse [ axis ]
        let after axis n (y: Tensor) = part axis (y.Shape[axis] - 1 - n) (y.Shape[axis] - 1) 1 y |> Op.reverse [ axis ]
        padBy "padReflect" check before after pairs x

    /// <summary>Padding by the first and the last element. Amounts as in `pad`.</summary>
    /// <example><code>padReplicate [ 2; 1 ] (tensor [ 1.; 2.; 3. ])
    /// // tensor([1., 1., 1., 2., 3., 3.])</code></example>
    let padReplicate (pairs: seq<int>) (x: Tensor) : Tensor =
        let check (y: Tensor) axis _ _ =
            if y.Shape[axis] = 0 then Shape.fail "padReplicate" $"axis {axis} must not be empty" "" [ x ]
        let stretch axis n (y: Tensor) = Op.broadcast (Array.updateAt axis n y.Shape) y
        let before axis n y = part axis 0 1 1 y |> stretch axis n
        let after axis n (y: Tensor) = part axis (y.Shape[axis] - 1) y.Shape[axis] 1 y |> stretch axis n
        padBy "padReplicate" check before after pairs x

    /// <summary>Padding as if the axis went round in a circle. Amounts as in `pad`, none larger than the axis.</summary>
    /// <example><code>padCircular [ 2; 1 ] (tensor [ 1.; 2.; 3. ]) // tensor([2., 3., 1., 2., 3., 1.])</code></example>
    let padCircular (pairs: seq<int>) (x: Tensor) : Tensor =
        let check (y: Tensor) axis low high =
            if max low high > y.Shape[axis] then
                Shape.fail
                    "padCircular"
                    $"amounts must not be larger than axis {axis} ({y.Shape[axis]}), not {low} and {high}"
                    ""
                    [ x ]
        let before axis n (y: Tensor) = part axis (y.Shape[axis] - n) y.Shape[axis] 1 y
        let after axis n y = part axis 0 n 1 y
        padBy "padCircular" check before after pairs x
