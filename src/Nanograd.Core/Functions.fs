namespace Nanograd

open System

/// Making tensors.
[<AutoOpen>]
module Creation =
    /// A vector of f32 (`[n]`) from numbers.
    let tensor (values: seq<float>) : Tensor =
        let a = values |> Seq.map float32 |> Seq.toArray
        Op.literal (Buffers.ofSpan DType.F32 (ReadOnlySpan a)) [| a.Length |]

    /// A matrix of f32 (`[rows; columns]`) from rows of equal length.
    let matrix (rows: seq<#seq<float>>) : Tensor =
        let a = rows |> Seq.map (Seq.map float32 >> Seq.toArray) |> Seq.toArray
        let columns = if a.Length = 0 then 0 else a[0].Length
        match Array.tryFindIndex (fun (r: float32[]) -> r.Length <> columns) a with
        | Some i ->
            raise (
                ShapeException("matrix", "rows must have equal length", $"{columns} and {a[i].Length} (row {i})", "")
            )
        | None -> Op.literal (Buffers.ofSpan DType.F32 (ReadOnlySpan(Array.concat a))) [| a.Length; columns |]

    /// A tensor of any element type over a copy of `values` (row-major); 'T must have the type's size.
    let ofArray<'T when 'T: unmanaged> (dtype: DType) (shape: int[]) (values: 'T[]) : Tensor =
        // Types of one size are not one type: the bits of an int are not a float.
        let isFloat = typeof<'T> = typeof<float> || typeof<'T> = typeof<float32> || typeof<'T> = typeof<Half>
        if sizeof<'T> <> DType.size dtype || (sizeof<'T> > 2 && isFloat <> DType.isFloat dtype) then
            raise (
                ShapeException(
                    "ofArray",
                    $"elements of {dtype} must come from their own .NET type",
                    $"{typeof<'T>.Name}[]",
                    "convert the array, or name another element type"
                )
            )
        Op.literal (Buffers.ofSpan dtype (ReadOnlySpan values)) shape

    /// An f32 scalar that is known when the expression is built.
    let scalar (x: float) : Tensor = Op.constant (Constant.ofFloat DType.F32 x)

    /// A constant of any type and shape.
    let full (dtype: DType) (shape: int[]) (x: float) : Tensor =
        Op.broadcast shape (Op.constant (Constant.ofFloat dtype x))

    /// Zeros, f32.
    let zeros (shape: int[]) = full DType.F32 shape 0.0

    /// Ones, f32.
    let ones (shape: int[]) = full DType.F32 shape 1.0

    /// Zeros of the type and shape of another tensor.
    let zerosLike (x: Tensor) = full x.DType x.Shape 0.0

    /// 0, 1, ..., n - 1 of the given type.
    let arange (dtype: DType) (n: int) = Op.iota dtype [| n |] 0

/// Functions of tensors, by the names that NumPy and PyTorch give them. Axes may be negative; the tensor comes last, so that pipes read well.
[<AutoOpen>]
module Functions =
    // ---- movement

    /// The same elements under another shape; one extent may be -1.
    let reshape (shape: int[]) (x: Tensor) = Op.reshape shape x

    /// Axis i of the result is axis permutation[i] of x.
    let permute (permutation: int[]) (x: Tensor) = Op.permute permutation x

    /// The last two axes exchanged.
    let transpose (x: Tensor) =
        if x.Rank < 2 then Shape.fail "transpose" "the operand must have at least two axes" "" [ x ]
        Op.permute (Array.append [| 0 .. x.Rank - 3 |] [| x.Rank - 1; x.Rank - 2 |]) x

    /// Stretched to `shape` by NumPy's rule.
    let broadcastTo (shape: int[]) (x: Tensor) = Op.broadcast shape x

    /// Elements start, ..., stop - 1 along one axis.
    let slice (axis: int) (start: int) (stop: int) (x: Tensor) =
        let axis = Shape.axis "slice" x axis
        let at i whole part = if i = axis then part else whole
        Op.slice
            (Array.init x.Rank (fun i -> at i 0 start))
            (Array.init x.Rank (fun i -> at i x.Shape[i] stop))
            (Array.create x.Rank 1)
            x

    /// Joined along an axis.
    let concat (axis: int) (xs: seq<Tensor>) = Op.concat axis (Seq.toArray xs)

    /// A new axis of extent 1.
    let unsqueeze (axis: int) (x: Tensor) =
        let axis = if axis < 0 then axis + x.Rank + 1 else axis
        Op.reshape (Array.insertAt axis 1 x.Shape) x

    /// An axis of extent 1 removed.
    let squeeze (axis: int) (x: Tensor) =
        let axis = Shape.axis "squeeze" x axis
        if x.Shape[axis] <> 1 then Shape.fail "squeeze" $"axis {axis} must have extent 1" "" [ x ]
        Op.reshape (Array.removeAt axis x.Shape) x

    /// Joined along a new axis.
    let stack (axis: int) (xs: seq<Tensor>) = xs |> Seq.map (unsqueeze axis) |> concat axis

    /// Values converted to another element type.
    let cast (dtype: DType) (x: Tensor) = Op.cast dtype x

    // ---- elementwise

    /// Elementwise x ** y.
    let pow (x: Tensor) (y: Tensor) = Op.binary Binary.Pow x y

    /// The elementwise larger; NaN wins.
    let maximum (x: Tensor) (y: Tensor) = Op.binary Binary.Max x y

    /// The elementwise smaller; NaN wins.
    let minimum (x: Tensor) (y: Tensor) = Op.binary Binary.Min x y

    /// x = y, elementwise: bool.
    let eq (x: Tensor) (y: Tensor) = Op.binary Binary.Eq x y
    /// x <> y, elementwise: bool; NaN differs from everything.
    let ne (x: Tensor) (y: Tensor) = Op.binary Binary.Ne x y
    /// x < y, elementwise: bool.
    let lt (x: Tensor) (y: Tensor) = Op.binary Binary.Lt x y
    /// x <= y, elementwise: bool.
    let le (x: Tensor) (y: Tensor) = Op.binary Binary.Le x y
    /// x > y, elementwise: bool.
    let gt (x: Tensor) (y: Tensor) = Op.binary Binary.Gt x y
    /// x >= y, elementwise: bool.
    let ge (x: Tensor) (y: Tensor) = Op.binary Binary.Ge x y

    /// `a` where the condition holds, else `b`; all three broadcast.
    let where (condition: Tensor) (a: Tensor) (b: Tensor) = Op.select condition a b

    /// The error function.
    let erf (x: Tensor) = Op.unary Unary.Erf x
    /// log(1 + x), exact near 0.
    let log1p (x: Tensor) = Op.unary Unary.Log1p x
    /// exp(x) - 1, exact near 0.
    let expm1 (x: Tensor) = Op.unary Unary.Expm1 x
    /// 1 / sqrt(x).
    let rsqrt (x: Tensor) = Op.unary Unary.Rsqrt x
    /// x * x.
    let square (x: Tensor) = x * x

    /// max(x, 0).
    let relu (x: Tensor) = maximum x (zerosLike x)

    /// 1 / (1 + exp(-x)), by way of tanh: no overflow anywhere.
    let sigmoid (x: Tensor) = tanh (x * 0.5) * 0.5 + 0.5

    /// x sigmoid(x) (SiLU, swish).
    let silu (x: Tensor) = x * sigmoid x

    /// GELU by its definition (Hendrycks and Gimpel 2016): x Phi(x), Phi by erf.
    let gelu (x: Tensor) = x * 0.5 * (erf (x * Math.Sqrt 0.5) + 1.0)

    /// GELU's tanh approximation, as GPT-2 uses it.
    let geluTanh (x: Tensor) = x * 0.5 * (tanh ((x + x * x * x * 0.044715) * Math.Sqrt(2.0 / Math.PI)) + 1.0)

    /// log(1 + exp x), without overflow.
    let softplus (x: Tensor) = relu x + log1p (exp (-(abs x)))

    // ---- reductions

    /// The sum of all elements.
    let sum (x: Tensor) = Op.reduce Reduction.Sum [ 0 .. x.Rank - 1 ] x

    /// Sums over `axes`, which disappear.
    let sumOver (axes: seq<int>) (x: Tensor) = Op.reduce Reduction.Sum axes x

    let private keeping (axes: seq<int>) (x: Tensor) (reduced: Tensor) =
        let axes = Shape.axes "reduce" x axes
        Op.reshape (x.Shape |> Array.mapi (fun i e -> if Array.contains i axes then 1 else e)) reduced

    /// Sums over `axes`, which stay with extent 1.
    let sumKeep (axes: seq<int>) (x: Tensor) = sumOver axes x |> keeping axes x

    let private inFloat (x: Tensor) = if DType.isFloat x.DType then x else Op.cast DType.F32 x

    let private countOver (axes: seq<int>) (x: Tensor) =
        Shape.axes "mean" x axes |> Array.fold (fun n a -> n * x.Shape[a]) 1

    /// Means over `axes`, which disappear.
    let meanOver (axes: seq<int>) (x: Tensor) = sumOver axes (inFloat x) / float (countOver axes x)

    /// Means over `axes`, which stay with extent 1.
    let meanKeep (axes: seq<int>) (x: Tensor) = sumKeep axes (inFloat x) / float (countOver axes x)

    /// The mean of all elements.
    let mean (x: Tensor) = meanOver [ 0 .. x.Rank - 1 ] x

    /// Population variance over `axes` (divided by n), which stay with extent 1.
    let varianceKeep (axes: seq<int>) (x: Tensor) = square (x - meanKeep axes x) |> meanKeep axes

    /// The largest element along `axes`, which disappear.
    let amax (axes: seq<int>) (x: Tensor) = Op.reduce Reduction.Max axes x

    /// The largest element along `axes`, which stay with extent 1.
    let amaxKeep (axes: seq<int>) (x: Tensor) = amax axes x |> keeping axes x

    /// The smallest element along `axes`, which disappear.
    let amin (axes: seq<int>) (x: Tensor) = Op.reduce Reduction.Min axes x

    /// Index (i64) of the first largest element along an axis, which disappears.
    let argMax (axis: int) (x: Tensor) = Op.argReduce true axis x

    /// Running sums along an axis.
    let cumSum (axis: int) (x: Tensor) = Op.cumSum axis false x

    // ---- contraction, lookup

    /// PyTorch's matmul: the last axis of x with the last but one of y; leading axes are batches that broadcast; vectors are promoted.
    let rec matmul (x: Tensor) (y: Tensor) : Tensor =
        if x.Rank = 0 || y.Rank = 0 then
            Shape.fail "matmul" "operands must have at least one axis" "use * for scalars" [ x; y ]
        elif x.Rank = 1 then
            let r = matmul (Op.reshape [| 1; x.Count |] x) y
            Op.reshape (Array.removeAt (if y.Rank = 1 then 0 else r.Rank - 2) r.Shape) r
        elif y.Rank = 1 then
            let r = matmul x (Op.reshape [| y.Count; 1 |] y)
            Op.reshape (Array.removeAt (r.Rank - 1) r.Shape) r
        else
            let inner, other = x.Shape[x.Rank - 1], y.Shape[y.Rank - 2]
            if inner <> other then
                let hint = if y.Shape[y.Rank - 1] = inner then "transpose the second?" else ""
                Shape.fail "matmul" $"inner axes must agree ({inner} and {other})" hint [ x; y ]
            if y.Rank = 2 then
                Op.dot
                    { LeftBatch = [||]
                      RightBatch = [||]
                      LeftSum = [| x.Rank - 1 |]
                      RightSum = [| 0 |] }
                    x
                    y
            else
                match Shape.tryBroadcast x.Shape[.. x.Rank - 3] y.Shape[.. y.Rank - 3] with
                | Error(_, a, b) -> Shape.fail "matmul" $"batch axes must broadcast ({a} and {b})" "" [ x; y ]
                | Ok batch ->
                    let lift (t: Tensor) = Op.broadcast (Array.append batch t.Shape[t.Rank - 2 ..]) t
                    let axes = Array.init batch.Length id
                    let n = batch.Length
                    Op.dot
                        { LeftBatch = axes
                          RightBatch = axes
                          LeftSum = [| n + 1 |]
                          RightSum = [| n |] }
                        (lift x)
                        (lift y)

    /// Slices of x at integer `indices` along an axis: NumPy's take.
    let take (axis: int) (indices: Tensor) (x: Tensor) = Op.gather axis 0 x indices

    /// 1 at the index, 0 elsewhere: `[..]` integers to `[..; classes]` of the given type.
    let oneHot (dtype: DType) (classes: int) (indices: Tensor) =
        let column = Op.cast DType.I32 indices |> unsqueeze -1
        eq column (arange DType.I32 classes) |> Op.cast dtype

    // ---- composed

    /// exp(x - max) / sum of the same along an axis: rows sum to 1, no overflow.
    let softmax (axis: int) (x: Tensor) =
        let e = exp (x - Grad.stopGradient (amaxKeep [ axis ] x)) // the shift cancels, and so does its gradient
        e / sumKeep [ axis ] e

    /// log(sum(exp x)) along an axis, which stays with extent 1.
    let logSumExpKeep (axis: int) (x: Tensor) =
        let top = Grad.stopGradient (amaxKeep [ axis ] x)
        log (sumKeep [ axis ] (exp (x - top))) + top

    /// x - logSumExp x: the logarithm of softmax, exact for logits far apart.
    let logSoftmax (axis: int) (x: Tensor) = x - logSumExpKeep axis x

    /// True on and below the diagonal: `[n; n]` bool.
    let causalMask (n: int) = ge (Op.iota DType.I32 [| n; n |] 0) (Op.iota DType.I32 [| n; n |] 1)

/// Random tensors from explicit keys (u32[2]): the same key and shape give the same numbers, everywhere and always.
[<RequireQualifiedAccess>]
module Random =
    /// The key of a seed.
    let key (seed: int64) : Tensor = ofArray DType.U32 [| 2 |] [| uint32 (seed >>> 32); uint32 seed |]

    /// `count` new keys, `[count; 2]`.
    let split (count: int) (key: Tensor) = Op.randomBits key [| count; 2 |]

    /// A new key from a key and a number (a step, a layer); the number may itself be a tensor (an integer scalar).
    let foldIn (key: Tensor) (n: Tensor) =
        let word = Op.cast DType.U32 n |> Op.reshape [| 1 |]
        let mark = full DType.U32 [| 1 |] 2654435769.0
        Op.randomBits (Op.binary Binary.Xor key (Op.concat 0 [| word; mark |])) [| 2 |]

    /// A new key from a key and a number known now.
    let fold (key: Tensor) (n: int) = foldIn key (Op.constant (Constant.ofInt DType.U32 (int64 n)))

    let private unit (bits: Tensor) = // 24 bits as a fraction in [0, 1)
        let shift = Op.constant (Constant.ofInt DType.U32 8L)
        Op.cast DType.F32 (Op.binary Binary.Shr bits shift) * Math.ScaleB(1.0, -24)

    /// Uniform in [0, 1), f32.
    let uniform (key: Tensor) (shape: int[]) = unit (Op.randomBits key shape)

    /// Standard normal, f32 (Box and Muller 1958).
    let normal (key: Tensor) (shape: int[]) =
        let bits = Op.randomBits key (Array.append [| 2 |] shape)
        let part i = bits |> slice 0 i (i + 1) |> squeeze 0 |> unit
        sqrt (log (part 0 + Math.ScaleB(1.0, -24)) * -2.0) * cos (part 1 * (2.0 * Math.PI))

    /// True with probability p.
    let bernoulli (p: Tensor) (key: Tensor) (shape: int[]) = lt (uniform key shape) p
