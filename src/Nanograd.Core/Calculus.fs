namespace Nanograd

open System

/// The derivative of an elementwise function with respect to one operand.
[<RequireQualifiedAccess; NoEquality; NoComparison>]
type Partial =
    /// Locally constant: the derivative is zero wherever it exists.
    | Zero
    /// The result is not a real number (comparisons, bits): there is no derivative.
    | Discrete
    /// A product with the derivative. Being elementwise, it is its own transpose: it maps tangents and cotangents
    /// alike.
    | Scale of (Tensor -> Tensor)

/// The calculus of the primitives: one row each. Elementwise functions have partial derivatives, which forward and
/// reverse mode share; everything else has a rule that takes the cotangent of the result to that of an operand. All
/// rules build ordinary expressions of differentiable primitives, so they can be differentiated again.
[<RequireQualifiedAccess>]
module Calculus =
    let private op b x y = Op.binary b x y
    let private scalar (beside: Tensor) (v: float) = Op.constant (Constant.ofFloat beside.DType v)

    /// One number everywhere.
    let fill (dtype: DType) (shape: int[]) (v: float) = Op.broadcast shape (Op.constant (Constant.ofFloat dtype v))

    /// Zeros like `x`.
    let zeros (x: Tensor) = fill x.DType x.Shape 0.0

    /// The number that stands everywhere in `x`, when that shows (constants appear reshaped and stretched).
    let rec uniform (x: Tensor) =
        match x.Op with
        | Op.Const c -> ValueSome c
        | Op.Movement(Movement.Reshape | Movement.Broadcast) -> uniform x.Inputs[0]
        | _ -> ValueNone

    // ------------------------------------------------------------------------------------------------ elementwise

    /// The derivative of `y = u x`.
    let unary (u: Unary) (x: Tensor) (y: Tensor) : Partial =
        match u with
        | Unary.Neg   -> Partial.Scale(fun c -> -c)
        | Unary.Abs   -> Partial.Scale(fun c -> c * Op.unary Unary.Sign x)
        | Unary.Sign  -> Partial.Zero
        | Unary.Exp   -> Partial.Scale(fun c -> c * y)
        | Unary.Log   -> Partial.Scale(fun c -> c / x)
        | Unary.Log1p -> Partial.Scale(fun c -> c / (1.0 + x))
        | Unary.Expm1 -> Partial.Scale(fun c -> c * (y + 1.0))
        | Unary.Sqrt  -> Partial.Scale(fun c -> c / (2.0 * y))
        | Unary.Rsqrt -> Partial.Scale(fun c -> c * (-0.5 * (y * y * y)))
        | Unary.Sin   -> Partial.Scale(fun c -> c * cos x)
        | Unary.Cos   -> Partial.Scale(fun c -> -(c * sin x))
        | Unary.Atan  -> Partial.Scale(fun c -> c / (1.0 + x * x))
        | Unary.Tanh  -> Partial.Scale(fun c -> c * (1.0 - y * y))
        | Unary.Erf   -> Partial.Scale(fun c -> c * (2.0 / sqrt Math.PI * exp (-(x * x))))
        | Unary.Floor -> Partial.Zero
        | Unary.Ceil  -> Partial.Zero
        | Unary.Round -> Partial.Zero
        | Unary.Not   -> Partial.Discrete

    /// All to the winner, half to each of two equal operands (and all to both, if one is NaN).
    let private unlessLoses (loses: Binary) (x: Tensor) (y: Tensor) =
        Partial.Scale(fun c -> Op.select (op Binary.Eq x y) (0.5 * c) (Op.select (op loses x y) (zeros c) c))

    /// y * x ** (y - 1), and 0 where y is 0.
    let private powBase (x: Tensor) (y: Tensor) =
        match uniform y with
        | ValueSome n when n.Float = 0.0 -> Partial.Zero
        | ValueSome n when n.Float = 1.0 -> Partial.Scale id
        | ValueSome n when n.Float = 2.0 -> Partial.Scale(fun c -> c * (2.0 * x))
        | ValueSome n -> Partial.Scale(fun c -> c * (n.Float * x ** (n.Float - 1.0)))
        | ValueNone ->
            // The exponent is made harmless where y is 0: 0 * 0 ** -1 would be NaN.
            let isZero = op Binary.Eq y (scalar y 0.0)
            Partial.Scale(fun c -> c * (y * x ** Op.select isZero (zeros y) (y - 1.0)))

    /// x ** y * log x, and 0 where x is 0 and y is not negative.
    let private powExponent (x: Tensor) (y: Tensor) (z: Tensor) =
        let vanishes = op Binary.And (op Binary.Eq x (scalar x 0.0)) (op Binary.Ge y (scalar y 0.0))
        Partial.Scale(fun c -> c * (z * log (Op.select vanishes (scalar x 1.0) x)))

    /// How often y was taken away from x in z = x % y.
    let private quotient (x: Tensor) (y: Tensor) (z: Tensor) = Op.unary Unary.Round ((x - z) / y)

    /// The derivatives of `z = b x y` with respect to x and to y.
    let binary (b: Binary) (x: Tensor) (y: Tensor) (z: Tensor) : struct (Partial * Partial) =
        let both p = struct (p, p)
        match b with
        | Binary.Add -> both (Partial.Scale id)
        | Binary.Sub -> struct (Partial.Scale id,                   Partial.Scale(fun c -> -c))
        | Binary.Mul -> struct (Partial.Scale(fun c -> c * y),      Partial.Scale(fun c -> c * x))
        | Binary.Div -> struct (Partial.Scale(fun c -> c / y),      Partial.Scale(fun c -> -(c / y * z)))
        | Binary.Pow -> struct (powBase x y,                        powExponent x y z)
        | Binary.Max -> struct (unlessLoses Binary.Lt x y,          unlessLoses Binary.Gt x y)
        | Binary.Min -> struct (unlessLoses Binary.Gt x y,          unlessLoses Binary.Lt x y)
        | Binary.Rem -> struct (Partial.Scale id,                   Partial.Scale(fun c -> -(c * quotient x y z)))
        | Binary.Eq  -> both Partial.Discrete
        | Binary.Ne  -> both Partial.Discrete
        | Binary.Lt  -> both Partial.Discrete
        | Binary.Le  -> both Partial.Discrete
        | Binary.Gt  -> both Partial.Discrete
        | Binary.Ge  -> both Partial.Discrete
        | Binary.And -> both Partial.Discrete
        | Binary.Or  -> both Partial.Discrete
        | Binary.Xor -> both Partial.Discrete
        | Binary.Shl -> both Partial.Discrete
        | Binary.Shr -> both Partial.Discrete

    // ------------------------------------------------------------------------------------------------ movement

    let internal inverse (p: int[]) = Array.init p.Length (fun i -> Array.IndexOf(p, i))

    /// What Slice took goes back to its place, zeros elsewhere.
    let private unslice (x: Tensor) (starts: int[]) (steps: int[]) (c: Tensor) =
        let low = Array.init x.Rank (fun i -> if c.Shape[i] = 0 then x.Shape[i] else starts[i])
        let used i = if c.Shape[i] = 0 then 0 else (c.Shape[i] - 1) * steps[i] + 1
        let high = Array.init x.Rank (fun i -> x.Shape[i] - low[i] - used i)
        Op.pad low high (steps |> Array.map (fun s -> s - 1)) (scalar x 0.0) c

    let private unpad (x: Tensor) (low: int[]) (interior: int[]) (c: Tensor) =
        let extent i = if x.Shape[i] = 0 then 0 else (x.Shape[i] - 1) * (interior[i] + 1) + 1
        let stops = Array.init x.Rank (fun i -> low[i] + extent i)
        Op.slice low stops (interior |> Array.map ((+) 1)) c

    /// The sum of a cotangent over the places that padding filled.
    let private paddingSum (x: Tensor) low high interior (c: Tensor) =
        let flag v = Op.constant (Constant.ofInt DType.Bool v)
        let inside = Op.pad low high interior (flag 0L) (Op.broadcast x.Shape (flag 1L))
        Op.reduce Reduction.Sum [ 0 .. c.Rank - 1 ] (Op.select inside (zeros c) c)

    /// The part of a concatenation that operand `i` is.
    let private part (t: Tensor) axis i (c: Tensor) =
        let start = Array.sumBy (fun (x: Tensor) -> x.Shape[axis]) t.Inputs[.. i - 1]
        let at v other = Array.init t.Rank (fun k -> if k = axis then v else other k)
        let stops = at (start + t.Inputs[i].Shape[axis]) (fun k -> t.Shape[k])
        Op.slice (at start (fun _ -> 0)) stops (Array.create t.Rank 1) c

    let private unstretch (x: Tensor) (c: Tensor) =
        let stretched = [ for i in 0 .. x.Rank - 1 do if x.Shape[i] <> c.Shape[i] then i ]
        Op.reshape x.Shape (Op.reduce Reduction.Sum stretched c)

    /// The cotangent of operand `i` of a movement `t`.
    let private movement (m: Movement) (t: Tensor) (i: int) (c: Tensor) : Tensor =
        let x = t.Inputs[i]
        match m with
        | Movement.Reshape                   -> Op.reshape x.Shape c
        | Movement.Permute p                 -> Op.permute (inverse p) c
        | Movement.Broadcast                 -> unstretch x c
        | Movement.Slice(starts, steps)      -> unslice x starts steps c
        | Movement.Pad(low, _, interior) when i = 0 -> unpad x low interior c
        | Movement.Pad(low, high, interior)  -> paddingSum t.Inputs[0] low high interior c
        | Movement.Reverse axes              -> Op.reverse axes c
        | Movement.Concat axis               -> part t axis i c
        | Movement.Unfold w                  -> Op.fold w x.Shape[w.Axis] c
        | Movement.Fold(w, _)                -> Op.unfold w c

    // ------------------------------------------------------------------------------------------------ reductions

    /// A reduced tensor, stretched again to the shape before the reduction.
    let internal restore (x: Tensor) (axes: int[]) (c: Tensor) =
        let kept = x.Shape |> Array.mapi (fun i e -> if Array.contains i axes then 1 else e)
        c |> Op.reshape kept |> Op.broadcast x.Shape

    /// The extreme elements share the cotangent evenly.
    let private extreme (x: Tensor) (axes: int[]) (t: Tensor) (c: Tensor) =
        let attained = op Binary.Eq x (restore x axes t)
        let count = Op.reduce Reduction.Sum axes (Op.cast x.DType attained)
        Op.select attained (restore x axes (c / count)) (zeros x)

    /// The product of all elements before each one along the last axis, by doubling: no division, so zeros need no care
    /// at any order.
    let private productBefore (x: Tensor) =
        let last, n = x.Rank - 1, x.Shape[x.Rank - 1]
        let along v = Array.init x.Rank (fun i -> if i = last then v else 0)
        let shift k (y: Tensor) =
            let stops = Array.init x.Rank (fun i -> if i = last then n - k else x.Shape[i])
            y
            |> Op.slice (along 0) stops (Array.create x.Rank 1)
            |> Op.pad (along k) (along 0) (along 0) (scalar x 1.0)
        let rec double k y = if k >= n then y else double (2 * k) (y * shift k y)
        if n = 0 then x else double 1 (shift 1 x)

    /// For every element the product of all others that are reduced with it.
    let internal productOfOthers (x: Tensor) (axes: int[]) =
        let kept = [| for i in 0 .. x.Rank - 1 do if not (Array.contains i axes) then i |]
        let order = Array.append kept axes
        let moved = Op.permute order x
        let extent (axes: int[]) = axes |> Array.fold (fun n a -> n * x.Shape[a]) 1
        let flat = Op.reshape [| extent kept; extent axes |] moved
        let others = productBefore flat * Op.reverse [ 1 ] (productBefore (Op.reverse [ 1 ] flat))
        Op.permute (inverse order) (Op.reshape moved.Shape others)

    let private product (x: Tensor) (axes: int[]) (c: Tensor) = restore x axes c * productOfOthers x axes

    let private reduction (r: Reduction) (x: Tensor) (axes: int[]) (t: Tensor) (c: Tensor) : Tensor =
        match r with
        | Reduction.Sum  -> restore x axes c
        | Reduction.Prod -> product x axes c
        | Reduction.Max  -> extreme x axes t c
        | Reduction.Min  -> extreme x axes t c

    // ------------------------------------------------------------------------------------------------ contraction

    let private free rank (batch: int[]) (sum: int[]) =
        [| for i in 0 .. rank - 1 do if not (Array.contains i batch || Array.contains i sum) then i |]

    /// The free axes of the other operand are summed; what was summed comes back as its free axes, in its order.
    let private dot (d: Contraction) (t: Tensor) (i: int) (c: Tensor) : Tensor =
        let x, y = t.Inputs[0], t.Inputs[1]
        let batches = d.LeftBatch.Length
        let left, right = free x.Rank d.LeftBatch d.LeftSum, free y.Rank d.RightBatch d.RightSum
        let batch = Array.init batches id
        // Where each axis of the operand stands in the result of the transposed contraction.
        let place (batch: int[]) (sum: int[]) (free: int[]) (otherSum: int[]) freeStart sumStart axis =
            let summed = Array.IndexOf(sum, axis)
            if Array.contains axis batch then Array.IndexOf(batch, axis)
            elif summed < 0 then freeStart + Array.IndexOf(free, axis)
            else sumStart + Array.IndexOf(Array.sort otherSum, otherSum[summed])
        if i = 0 then
            let summed = Array.init right.Length (fun k -> batches + left.Length + k)
            Op.dot { LeftBatch = batch; RightBatch = d.RightBatch; LeftSum = summed; RightSum = right } c y
            |> Op.permute (
                Array.init x.Rank (place d.LeftBatch d.LeftSum left d.RightSum batches (batches + left.Length))
            )
        else
            let summed = Array.init left.Length (fun k -> batches + k)
            Op.dot { LeftBatch = d.LeftBatch; RightBatch = batch; LeftSum = left; RightSum = summed } x c
            |> Op.permute (
                Array.init y.Rank (place d.RightBatch d.RightSum right d.LeftSum (batches + d.LeftSum.Length) batches)
            )

    /// Splits axis `axis` into [groups; rest], moves axes, and merges the axes `merged` and the next one.
    let private regroup axis groups (order: int[]) merged (x: Tensor) =
        let split = Array.concat [ x.Shape[.. axis - 1]; [| groups; x.Shape[axis] / groups |]; x.Shape[axis + 1 ..] ]
        let moved = x |> Op.reshape split |> Op.permute (Array.append order [| order.Length .. split.Length - 1 |])
        let s = moved.Shape
        Op.reshape (Array.concat [ s[.. merged - 1]; [| s[merged] * s[merged + 1] |]; s[merged + 2 ..] ]) moved

    /// For x: the cotangent, dilated by the strides, meets the reversed kernel. For w: batch and channels change
    /// places, so that the cotangent is the kernel; the groups go along with the batch. Padding is chosen so that
    /// exactly the operand's shape comes out.
    let private conv (v: Convolution) (t: Tensor) (i: int) (c: Tensor) : Tensor =
        let x, w = t.Inputs[0], t.Inputs[1]
        let n = x.Rank - 2
        let spatial f = Array.init n f
        let spread (s: Tensor) (dilation: int[]) k = (s.Shape[k + 2] - 1) * dilation[k] + 1
        let kernel k = spread w v.RightDilation k
        if x.Count = 0 || w.Count = 0 then zeros t.Inputs[i]
        elif i = 0 then
            let low = spatial (fun k -> kernel k - 1 - v.PadLow[k])
            let high = spatial (fun k -> spread x v.LeftDilation k - 1 + kernel k - low[k] - spread t v.Strides k)
            w
            |> regroup 0 v.Groups [| 0; 2; 1 |] 0
            |> Op.reverse [ 2 .. n + 1 ]
            |> Op.conv { v with Strides = v.LeftDilation; LeftDilation = v.Strides; PadLow = low; PadHigh = high } c
        else
            let room k = kernel k - 1 + spread t v.Strides k
            let high = spatial (fun k -> room k - spread x v.LeftDilation k - v.PadLow[k])
            let swap = Op.permute (Array.append [| 1; 0 |] [| 2 .. n + 1 |])
            let options = { v with Strides = v.RightDilation; RightDilation = v.Strides; PadHigh = high }
            swap (Op.conv options (regroup 1 v.Groups [| 2; 1; 0 |] 1 x) (swap c))

    // ------------------------------------------------------------------------------------------------ indexing

    let private indexing (g: Indexing) (t: Tensor) (i: int) (c: Tensor) : Tensor voption =
        let x = t.Inputs[0]
        match g, i with
        | Indexing.Gather(axis, batch), 0 ->
            let wide = DType.arithmetic x.DType // updates are added in the arithmetic type
            ValueSome(Op.cast x.DType (Op.scatterAdd axis batch (fill wide x.Shape 0.0) t.Inputs[1] (Op.cast wide c)))
        | Indexing.Gather _, _ -> ValueNone
        | Indexing.ScatterAdd _, 0 -> ValueSome c
        | Indexing.ScatterAdd(axis, batch), 2 -> ValueSome(Op.gather axis batch c t.Inputs[1])
        | Indexing.ScatterAdd _, _ -> ValueNone
        | Indexing.DynamicSlice, 0 -> ValueSome(Op.dynamicUpdate t.Inputs[1..] c (zeros x))
        | Indexing.DynamicSlice, _ -> ValueNone
        | Indexing.DynamicUpdate, 0 -> ValueSome(Op.dynamicUpdate t.Inputs[2..] (zeros t.Inputs[1]) c)
        | Indexing.DynamicUpdate, 1 -> ValueSome(Op.dynamicSlice t.Inputs[2..] t.Inputs[1].Shape c)
        | Indexing.DynamicUpdate, _ -> ValueNone

    // ------------------------------------------------------------------------------------------------ one result

    let private scaled p c =
        match p with
        | Partial.Zero | Partial.Discrete -> ValueNone
        | Partial.Scale f -> ValueSome(f c)

    /// The cotangent of operand `i` of `t`, from that of `t`; none where nothing flows. For primitives with several
    /// results see Calls.
    let operand (t: Tensor) (i: int) (c: Tensor) : Tensor voption =
        match t.Op with
        | Op.Unary u -> scaled (unary u t.Inputs[0] t) c
        | Op.Binary b ->
            let struct (dx, dy) = binary b t.Inputs[0] t.Inputs[1] t
            scaled (if i = 0 then dx else dy) c
        | Op.Select ->
            let none = zeros c
            if i = 1 then ValueSome(Op.select t.Inputs[0] c none)
            elif i = 2 then ValueSome(Op.select t.Inputs[0] none c)
            else ValueNone
        | Op.Cast -> ValueSome(Op.cast t.Inputs[0].DType c)
        | Op.Movement m -> ValueSome(movement m t i c)
        | Op.Reduce(r, axes) -> ValueSome(reduction r t.Inputs[0] axes t c)
        | Op.CumSum(axis, reverse) -> ValueSome(Op.cumSum axis (not reverse) c)
        | Op.Dot d -> ValueSome(dot d t i c)
        | Op.Conv v -> ValueSome(conv v t i c)
        | Op.Indexing g -> indexing g t i c
        | Op.Literal _ | Op.Input _ | Op.Parameter _ | Op.Const _ | Op.Iota _ | Op.RandomBits -> ValueNone
        | Op.BitCast | Op.ArgReduce _ -> ValueNone
        | Op.Sort _ | Op.TopK _ | Op.Scan _ | Op.Custom _ | Op.Checkpoint _ | Op.Item _ -> ValueNone // see Calls
