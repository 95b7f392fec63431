namespace Nanograd

/// Products that sum over axes.
[<AutoOpen>]
module Contractions =
    /// <summary>PyTorch's matmul: the last axis of x with the last but one of y; leading axes are batches that broadcast;
    /// vectors are promoted.</summary>
    /// <example><code>matmul (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) (tensor [ 1.; 1. ])
    /// // tensor([3., 7.])</code></example>
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

    let private contracted op (left: int[]) (right: int[]) (x: Tensor) (y: Tensor) =
        if left.Length <> right.Length then
            Shape.fail
                op
                $"as many axes of the one as of the other must be summed, not {left.Length} and {right.Length}"
                ""
                [ x; y ]
        Array.iter2
            (fun a b ->
                if x.Shape[a] <> y.Shape[b] then
                    Shape.fail op $"summed axes {a} and {b} must agree ({x.Shape[a]} and {y.Shape[b]})" "" [ x; y ])
            left
            right
        Op.dot { LeftBatch = [||]; RightBatch = [||]; LeftSum = left; RightSum = right } x y

    /// <summary>The sum of products of two vectors of one length: a scalar `[]`.</summary>
    /// <example><code>dot (tensor [ 1.; 2. ]) (tensor [ 3.; 4. ]) // tensor(11.)</code></example>
    let dot (x: Tensor) (y: Tensor) : Tensor =
        if x.Rank <> 1 || y.Rank <> 1 then
            Shape.fail "dot" "operands must be vectors" "matmul and inner take more axes" [ x; y ]
        contracted "dot" [| 0 |] [| 0 |] x y

    /// <summary>NumPy's vdot: the sum of products of all elements, whatever the shapes; the counts must agree.</summary>
    /// <example><code>vdot (matrix [ [ 1.; 2. ] ]) (tensor [ 3.; 4. ]) // tensor(11.)</code></example>
    let vdot (x: Tensor) (y: Tensor) : Tensor =
        if x.Count <> y.Count then
            Shape.fail "vdot" $"operands must have as many elements ({x.Count} and {y.Count})" "" [ x; y ]
        contracted "vdot" [| 0 |] [| 0 |] (Op.reshape [| x.Count |] x) (Op.reshape [| y.Count |] y)

    /// <summary>Sums of products over the last axis of both: `[a..; n]` and `[b..; n]` to `[a..; b..]`.</summary>
    /// <example><code>inner (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) (tensor [ 1.; 10. ])
    /// // tensor([21., 43.])</code></example>
    let inner (x: Tensor) (y: Tensor) : Tensor =
        if x.Rank = 0 || y.Rank = 0 then x * y else contracted "inner" [| x.Rank - 1 |] [| y.Rank - 1 |] x y

    /// <summary>All products of elements of two vectors: `[n]` and `[m]` to `[n; m]`; more axes are flattened.</summary>
    /// <example><code>outer (tensor [ 1.; 2. ]) (tensor [ 3.; 4. ]) // tensor([[3., 4.], [6., 8.]])</code></example>
    let outer (x: Tensor) (y: Tensor) : Tensor = Op.reshape [| x.Count; 1 |] x * Op.reshape [| 1; y.Count |] y

    /// <summary>Sums of products over the axes `left` of x and `right` of y, in pairs (NumPy's and PyTorch's tensordot):
    /// the free axes of x, then those of y.</summary>
    /// <example><code>tensordot [ 1 ] [ 0 ] (matrix [ [ 1.; 2. ] ]) (matrix [ [ 3. ]; [ 4. ] ])
    /// // tensor([[11.]])</code></example>
    let tensordot (left: seq<int>) (right: seq<int>) (x: Tensor) (y: Tensor) : Tensor =
        let axes t = Seq.map (Shape.axis "tensordot" t) >> Seq.toArray
        contracted "tensordot" (axes x left) (axes y right) x y

    /// <summary>Kronecker's product: every element of x times the whole of y, `[a; b]` and `[c; d]` to `[a c; b d]`;
    /// missing axes are put in front.</summary>
    /// <example><code>kron (tensor [ 1.; 10. ]) (tensor [ 1.; 2. ]) // tensor([1., 2., 10., 20.])</code></example>
    let kron (x: Tensor) (y: Tensor) : Tensor =
        let rank = max x.Rank y.Rank
        let lift (t: Tensor) = Array.append (Array.create (rank - t.Rank) 1) t.Shape
        let a, b = lift x, lift y
        let outer = Array.collect (fun e -> [| e; 1 |]) a
        let inner = Array.collect (fun e -> [| 1; e |]) b
        Op.reshape outer x * Op.reshape inner y |> Op.reshape (Array.map2 (*) a b)

    /// <summary>The vector product along an axis of 3; the other axes broadcast.</summary>
    /// <example><code>cross 0 (tensor [ 1.; 0.; 0. ]) (tensor [ 0.; 1.; 0. ]) // tensor([0., 0., 1.])</code></example>
    let cross (axis: int) (x: Tensor) (y: Tensor) : Tensor =
        let a, b = Shape.axis "cross" x axis, Shape.axis "cross" y axis
        if x.Shape[a] <> 3 || y.Shape[b] <> 3 then Shape.fail "cross" "the axis must have extent 3 in both" "" [ x; y ]
        x * roll -1 b y - roll -1 a x * y
        |> fun z -> roll -1 (if axis < 0 then axis else z.Rank - max x.Rank y.Rank + a) z

    /// <summary>The sum of the main diagonal of the last two axes, which disappear.</summary>
    /// <example><code>trace (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor(5.)</code></example>
    let trace (x: Tensor) : Tensor =
        if x.Rank < 2 then Shape.fail "trace" "the operand must have at least two axes" "" [ x ]
        sumOver [ -1 ] (diagonal 0 -2 -1 x)
