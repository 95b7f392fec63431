namespace Nanograd

open System

/// Reading and writing at places that are data, and order. Indices are i32 or i64, not negative; out of range they are
/// errors when the program runs, which name the index and the size.
[<AutoOpen>]
module Lookups =
    /// An axis moved to the end and back.
    let private toEnd (axis: int) (x: Tensor) = Op.permute (Array.append (Array.removeAt axis (allOf x)) [| axis |]) x
    let private fromEnd (axis: int) (x: Tensor) = Op.permute (Array.insertAt axis (x.Rank - 1) [| 0 .. x.Rank - 2 |]) x

    let private checkIntegers op (indices: Tensor) =
        if indices.DType <> DType.I32 && indices.DType <> DType.I64 then
            Shape.fail op "indices must be i32 or i64" "cast them" [ indices ]

    // ---- reading

    /// <summary>Slices of x at integer `indices` along an axis: `[..; n; ..]` at `[k..]` gives `[..; k..; ..]` (NumPy's
    /// take).</summary>
    /// <example><code>take 0 (tensor [ 2; 0 ]) (tensor [ 10.; 20.; 30. ]) // tensor([30., 10.])</code></example>
    let take (axis: int) (indices: Tensor) (x: Tensor) : Tensor =
        let axis = Shape.axis "take" x axis
        Op.gather axis 0 x indices

    /// <summary>Slices of x at a vector of `indices` along an axis (PyTorch's index_select).</summary>
    /// <example><code>indexSelect 1 (tensor [ 1; 1 ]) (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ])
    /// // tensor([[2., 2.], [4., 4.]])</code></example>
    let indexSelect (axis: int) (indices: Tensor) (x: Tensor) : Tensor =
        if indices.Rank <> 1 then
            Shape.fail "indexSelect" "indices must be a vector" "take allows any shape" [ indices ]
        let axis = Shape.axis "indexSelect" x axis
        Op.gather axis 0 x indices

    /// Indices and operand with the axis last and the other axes equal, for one Gather or ScatterAdd.
    let private aligned op (axis: int) (indices: Tensor) (x: Tensor) =
        checkIntegers op indices
        let axis = Shape.axis op x axis
        let fits = indices.Rank = x.Rank && Array.forall (fun i -> i = axis || indices.Shape[i] <= x.Shape[i]) (allOf x)
        if not fits then
            Shape.fail
                op
                $"indices must have the operand's rank, and no larger extents but on axis {axis}"
                ""
                [ x; indices ]
        axis, Array.init x.Rank (fun i -> if i = axis then x.Shape[i] else indices.Shape[i])

    /// <summary>Elements of x at `indices` along an axis, one index per element of the result (PyTorch's gather): out[i;
    /// j] = x[i; indices[i; j]] for axis 1. The result has the shape of the indices.</summary>
    /// <example><code>gather 1 (tensor [ [ 1 ]; [ 0 ] ]) (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ])
    /// // tensor([[2.], [3.]])</code></example>
    let gather (axis: int) (indices: Tensor) (x: Tensor) : Tensor =
        let axis, shape = aligned "gather" axis indices x
        let source = Op.slice (Array.zeroCreate x.Rank) shape (Array.create x.Rank 1) x
        Op.gather (x.Rank - 1) (x.Rank - 1) (toEnd axis source) (toEnd axis indices) |> fromEnd axis

    /// <summary>As `gather`, where the other axes of indices and x broadcast (NumPy's take_along_axis).</summary>
    /// <example><code>takeAlongAxis 1 (tensor [ [ 1 ] ]) (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ])
    /// // tensor([[2.], [4.]])</code></example>
    let takeAlongAxis (axis: int) (indices: Tensor) (x: Tensor) : Tensor =
        let axis = Shape.axis "takeAlongAxis" x axis
        if indices.Rank <> x.Rank then
            Shape.fail "takeAlongAxis" "indices must have the operand's rank" "" [ x; indices ]
        let rest (t: Tensor) = Array.updateAt axis 1 t.Shape
        match Shape.tryBroadcast (rest x) (rest indices) with
        | Error(i, a, b) ->
            Shape.fail "takeAlongAxis" $"the other axes must broadcast (axis {i}: {a} and {b})" "" [ x; indices ]
        | Ok shape ->
            let lift (t: Tensor) = Op.broadcast (Array.updateAt axis t.Shape[axis] shape) t
            gather axis (lift indices) (lift x)

    /// <summary>x[i0, i1, ...] for integer tensors that broadcast together: one index per leading axis of x (NumPy's and
    /// PyTorch's indexing by arrays). `[n0; n1; rest..]` at two `[k..]` gives `[k..; rest..]`.</summary>
    /// <example><code>indexAt [ tensor [ 0; 1 ]; tensor [ 1; 0 ] ] (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ])
    /// // tensor([2., 3.])</code></example>
    let indexAt (indices: seq<Tensor>) (x: Tensor) : Tensor =
        let indices = Seq.toArray indices
        if indices.Length = 0 || indices.Length > x.Rank then
            Shape.fail "indexAt" $"there must be between 1 and {x.Rank} index tensors, not {indices.Length}" "" [ x ]
        Array.iter (checkIntegers "indexAt") indices
        let join (a: int[]) (t: Tensor) =
            match Shape.tryBroadcast a t.Shape with
            | Ok shape -> shape
            | Error(i, p, q) ->
                Shape.fail "indexAt" $"indices must broadcast (axis {i}: {p} and {q})" "" (List.ofArray indices)
        let shape = Array.fold join [||] indices
        let count = Shape.count shape
        let flat = indices |> Array.map (fun i -> Op.reshape [| count |] (Op.broadcast shape i))
        // Axis by axis, so that an index out of range is named with its own axis.
        let first = Op.gather 0 0 x flat[0]
        let picked = flat[1..] |> Array.fold (fun y i -> Op.gather 1 1 y i) first
        Op.reshape (Array.append shape x.Shape[indices.Length ..]) picked

    // ---- writing

    /// <summary>x with each element of `updates` added at its index along an axis (PyTorch's scatter_add): for axis 1,
    /// out[i; indices[i; j]] += updates[i; j]. Repeated indices add up, in order.</summary>
    /// <example><code>scatterAdd 0 (tensor [ 1; 1 ]) (tensor [ 5.; 6. ]) (zeros [| 3 |])
    /// // tensor([0., 11., 0.])</code></example>
    let scatterAdd (axis: int) (indices: Tensor) (updates: Tensor) (x: Tensor) : Tensor =
        let axis, shape = aligned "scatterAdd" axis indices x
        if
            updates.DType <> x.DType
            || updates.Rank <> x.Rank
            || Array.exists2 (fun u i -> u < i) updates.Shape indices.Shape
        then
            Shape.fail
                "scatterAdd"
                "updates must have the operand's type, and an element for each index"
                ""
                [ x; indices; updates ]
        let updates = Op.slice (Array.zeroCreate x.Rank) indices.Shape (Array.create x.Rank 1) updates
        let t = DType.arithmetic x.DType
        let added (x: Tensor) =
            Op.scatterAdd
                (x.Rank - 1)
                (x.Rank - 1)
                (toEnd axis (Op.cast t x))
                (toEnd axis indices)
                (toEnd axis (Op.cast t updates))
            |> fromEnd axis
            |> Op.cast x.DType
        if shape = x.Shape then
            added x
        else
            // What lies outside of the indices' other axes takes no part.
            let inside = added (Op.slice (Array.zeroCreate x.Rank) shape (Array.create x.Rank 1) x)
            let high = Array.map2 (-) x.Shape shape
            let zero = Array.zeroCreate x.Rank
            let mask = Op.pad zero high zero (constant DType.Bool 0.0) (full DType.Bool shape 1.0)
            Op.select mask (Op.pad zero high zero (constant x.DType 0.0) inside) x

    /// <summary>x with slices of `updates` added at a vector of indices along an axis (PyTorch's index_add). Repeated
    /// indices add up, in order.</summary>
    /// <example><code>indexAdd 0 (tensor [ 2; 2 ]) (matrix [ [ 1. ]; [ 2. ] ]) (zeros [| 3; 1 |])
    /// // tensor([[0.], [0.], [3.]])</code></example>
    let indexAdd (axis: int) (indices: Tensor) (updates: Tensor) (x: Tensor) : Tensor =
        checkIntegers "indexAdd" indices
        let axis = Shape.axis "indexAdd" x axis
        let wanted = if indices.Rank = 1 then Array.updateAt axis indices.Count x.Shape else [||]
        if indices.Rank <> 1 || updates.DType <> x.DType || updates.Shape <> wanted then
            Shape.fail
                "indexAdd"
                "indices must be a vector, and updates have the operand's type and a slice for each"
                ""
                [ x; indices; updates ]
        let t = DType.arithmetic x.DType
        Op.cast x.DType (Op.scatterAdd axis 0 (Op.cast t x) indices (Op.cast t updates))

    /// <summary>Sorted along an axis: values and their former indices (i64). Stable; NaN is the largest.</summary>
    /// <example><code>fst (sort 0 true (tensor [ 1.; 3.; 2. ])) // tensor([3., 2., 1.])</code></example>
    let sort (axis: int) (descending: bool) (x: Tensor) : Tensor * Tensor = Op.sort axis descending x

    /// <summary>The indices (i64) that sort an axis, stably.</summary>
    /// <example><code>argSort 0 false (tensor [ 3.; 1.; 2. ]) // tensor([1, 2, 0])</code></example>
    let argSort (axis: int) (descending: bool) (x: Tensor) : Tensor =
        snd (Op.sort (Shape.axis "argSort" x axis) descending x)

    /// <summary>x with `updates` written at their indices along an axis (PyTorch's scatter, NumPy's put_along_axis). Of
    /// repeated indices the last one counts. The gradient of what is overwritten is 0.</summary>
    /// <example><code>putAlongAxis 0 (tensor [ 2; 0 ]) (tensor [ 5.; 6. ]) (tensor [ 1.; 2.; 3. ])
    /// // tensor([6., 2., 5.])</code></example>
    let putAlongAxis (axis: int) (indices: Tensor) (updates: Tensor) (x: Tensor) : Tensor =
        let axis, shape = aligned "putAlongAxis" axis indices x
        if updates.DType <> x.DType || updates.Shape <> indices.Shape then
            Shape.fail
                "putAlongAxis"
                "updates must have the operand's type and the shape of the indices"
                ""
                [ x; indices; updates ]
        // Sorted stably, equal indices stand together in their old order: all but the last of them are dropped.
        let places, order = Op.sort axis false indices
        let n = indices.Shape[axis]
        let isLast =
            if n < 2 then
                full DType.Bool indices.Shape 1.0
            else
                let differs = ne (part axis 1 n 1 places) (part axis 0 (n - 1) 1 places)
                Op.concat axis [| differs; full DType.Bool (Array.updateAt axis 1 indices.Shape) 1.0 |]
        let t = DType.arithmetic x.DType
        let values = Op.select isLast (Op.cast t (gather axis order updates)) (constant t 0.0)
        let onto (dtype: DType) (v: Tensor) = scatterAdd axis places v (full dtype x.Shape 0.0)
        let hit = onto DType.I32 (Op.cast DType.I32 isLast)
        if shape.Length = 0 then x else Op.select (gt hit (constant DType.I32 0.0)) (Op.cast x.DType (onto t values)) x

    /// <summary>1 at the index, 0 elsewhere: `[..]` integers to `[..; classes]` of the given type; an index outside gives
    /// zeros.</summary>
    /// <example><code>oneHot DType.F32 3 (tensor [ 0; 2 ]) // tensor([[1., 0., 0.], [0., 0., 1.]])</code></example>
    let oneHot (dtype: DType) (classes: int) (indices: Tensor) : Tensor =
        let column = Op.cast DType.I32 indices |> unsqueeze -1
        eq column (arange DType.I32 classes) |> Op.cast dtype

    // ---- order

    /// <summary>The k largest (or smallest) elements along an axis, the first first: values and indices (i64). Of equal
    /// elements the one of smaller index comes first.</summary>
    /// <example><code>fst (topK 2 0 true (tensor [ 1.; 3.; 2. ])) // tensor([3., 2.])</code></example>
    let topK (k: int) (axis: int) (largest: bool) (x: Tensor) : Tensor * Tensor =
        let axis = Shape.axis "topK" x axis
        if k < 0 || k > x.Shape[axis] then
            Shape.fail "topK" $"k = {k} must be between 0 and the extent of axis {axis} ({x.Shape[axis]})" "" [ x ]
        if largest && axis = x.Rank - 1 then
            Op.topK k x
        else
            let values, indices = Op.sort axis largest x
            part axis 0 k 1 values, part axis 0 k 1 indices

    /// <summary>The k-th smallest element along an axis, which disappears (k = 1: the smallest): value and index
    /// (i64).</summary>
    /// <example><code>fst (kthValue 2 0 (tensor [ 3.; 1.; 2. ])) // tensor(2.)</code></example>
    let kthValue (k: int) (axis: int) (x: Tensor) : Tensor * Tensor =
        let axis = Shape.axis "kthValue" x axis
        if k < 1 || k > x.Shape[axis] then
            Shape.fail "kthValue" $"k = {k} must be between 1 and the extent of axis {axis} ({x.Shape[axis]})" "" [ x ]
        let values, indices = Op.sort axis false x
        select axis (k - 1) values, select axis (k - 1) indices

    /// <summary>Where to insert `values` into a sorted last axis so that it stays sorted (i64, the shape of `values`):
    /// the first such place, or the last (`right`). `sorted` is a vector, or has the leading axes of `values`.</summary>
    /// <example><code>searchSorted false (tensor [ 1.; 3.; 5. ]) (tensor [ 0.; 3.; 9. ])
    /// // tensor([0, 1, 3])</code></example>
    let searchSorted (right: bool) (sorted: Tensor) (values: Tensor) : Tensor =
        let batch = sorted.Rank - 1
        if
            sorted.Rank = 0
            || (batch > 0 && (values.Rank <> sorted.Rank || values.Shape[.. batch - 1] <> sorted.Shape[.. batch - 1]))
        then
            Shape.fail
                "searchSorted"
                "the sorted operand must be a vector, or have the leading axes of the values"
                ""
                [ sorted; values ]
        let n = sorted.Shape[batch]
        let zero = full DType.I64 values.Shape 0.0
        // Bisection: the answer is in low..high.
        let rec search steps (low: Tensor) (high: Tensor) =
            if steps = 0 then
                low
            else
                let middle = shiftRight (low + high) (constant DType.I64 1.0)
                let inside = minimum middle (constant DType.I64 (float (n - 1)))
                let pivot = Op.gather batch batch sorted inside
                // NaN counts as the largest, as in sort.
                let before =
                    if right then
                        logicalNot (lt values pivot)
                    else
                        Op.binary
                            Binary.Or
                            (lt pivot values)
                            (Op.binary Binary.And (isNan values) (logicalNot (isNan pivot)))
                let above = Op.binary Binary.And before (lt low high)
                search (steps - 1) (Op.select above (middle + 1) low) (Op.select above high (minimum middle high))
        if n = 0 then
            zero
        else
            search (int (Math.Ceiling(Math.Log2(float n + 1.0)))) zero (full DType.I64 values.Shape (float n))

    /// <summary>The number of the interval between `boundaries` (a sorted vector) that each value lies in: i64. A value
    /// on a boundary belongs to the interval below it, or above (`right`).</summary>
    /// <example><code>bucketize false (tensor [ 1.; 3. ]) (tensor [ 0.; 1.; 2.; 9. ])
    /// // tensor([0, 0, 1, 2])</code></example>
    let bucketize (right: bool) (boundaries: Tensor) (values: Tensor) : Tensor =
        if boundaries.Rank <> 1 then Shape.fail "bucketize" "boundaries must be a vector" "" [ boundaries; values ]
        searchSorted right boundaries values
