namespace Nanograd

open System

/// Functions whose result has a shape that depends on values. They compute what they need at once, so that operand must be closed
/// (have no variables): inside `jit` or `grad` they take values from outside, not arguments.
[<RequireQualifiedAccess>]
module Values =
    let private read op (x: Tensor) : Constant[] =
        if not (Graph.isClosed x) then
            Shape.fail op "the operand must be a value" "in an expression use where, maskedFill or a fixed length" [ x ]
        let s = Program.storage (Program.evaluate [| x |]).[0]
        let elements = Array.init s.Length (Buffers.read s)
        GC.KeepAlive s
        elements

    let private vector (values: int64[]) =
        Op.literal (Buffers.ofSpan DType.I64 (ReadOnlySpan values)) [| values.Length |]

    /// Row-major positions of what is not 0.
    let private positions op (mask: Tensor) =
        read op mask |> Array.indexed |> Array.filter (fun (_, c) -> c.Float <> 0.0) |> Array.map fst

    /// <summary>The indices (i64, `[n; rank]`) of the elements that are not 0, in row-major order.</summary>
    /// <example><code>Values.nonzero (tensor [ 0.; 3.; 4. ]) // tensor([[1], [2]])</code></example>
    let nonzero (x: Tensor) : Tensor =
        let strides = Shape.strides x.Shape
        let found = positions "nonzero" x
        let index = found |> Array.collect (fun p -> Array.mapi (fun axis s -> int64 (p / s % x.Shape[axis])) strides)
        Op.literal (Buffers.ofSpan DType.I64 (ReadOnlySpan index)) [| found.Length; x.Rank |]

    /// <summary>The elements of x where the mask (of its shape) is true, as a vector. The mask must be a value; x may be any
    /// expression, and its gradient is right.</summary>
    /// <example><code>Values.maskedSelect (tensor [ true; false; true ]) (tensor [ 1.; 2.; 3. ]) // tensor([1., 3.])</code></example>
    let maskedSelect (mask: Tensor) (x: Tensor) : Tensor =
        if mask.DType <> DType.Bool || Shape.tryBroadcast mask.Shape x.Shape <> Ok x.Shape then
            Shape.fail "maskedSelect" "the mask must be bool and broadcast to the operand" "" [ mask; x ]
        let found = positions "maskedSelect" (Op.broadcast x.Shape mask)
        take 0 (vector (Array.map int64 found)) (flatten x)

    /// <summary>The different elements, sorted; for each element of x (in its shape) which of them it is (i64); and how often each
    /// occurs (i64). NaNs are one element.</summary>
    /// <example><code>(let u, _, _ = Values.unique (tensor [ 3.; 1.; 3. ]) in u) // tensor([1., 3.])</code></example>
    let unique (x: Tensor) : Tensor * Tensor * Tensor =
        let elements = read "unique" x
        let key (c: Constant) = if DType.isFloat x.DType then c.Float + 0.0 else 0.0 // -0 is 0
        let compare (i: int) (j: int) =
            if DType.isFloat x.DType then
                let a, b = key elements[i], key elements[j]
                // NaN last
                if Double.IsNaN a || Double.IsNaN b then compare (Double.IsNaN a) (Double.IsNaN b) else compare a b
            else
                compare elements[i].Int elements[j].Int
        let order = Array.sortWith compare [| 0 .. elements.Length - 1 |]
        let firsts = Collections.Generic.List<int>()
        let places, counts = Array.zeroCreate<int64> elements.Length, Collections.Generic.List<int64>()
        for i in order do
            if firsts.Count = 0 || compare firsts[firsts.Count - 1] i <> 0 then
                firsts.Add i
                counts.Add 0L
            places[i] <- int64 (firsts.Count - 1)
            counts[counts.Count - 1] <- counts[counts.Count - 1] + 1L
        let found = Op.gather 0 0 (flatten x) (vector (firsts.ToArray() |> Array.map int64))
        found, Op.reshape x.Shape (vector places), vector (counts.ToArray())
