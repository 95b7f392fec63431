namespace Nanograd

/// The primitives that have a kernel to themselves.
[<RequireQualifiedAccess>]
module internal OwnKernels =
    let private product (p: Planner) (t: Tensor) (d: Contraction) =
        let x, y = t.Inputs[0], t.Inputs[1]
        let free (t: Tensor) batch sum =
            [| 0 .. t.Rank - 1 |] |> Array.filter (fun a -> not (Array.contains a batch || Array.contains a sum))
        let sums (axes: int[]) (tables: int[][]) =
            axes |> Array.fold (fun (acc: int[]) a -> Array.collect (fun o -> Array.map ((+) o) tables[a]) acc) [| 0 |]
        let left, leftTables = p.Offsets x
        let right, rightTables = p.Offsets y
        // A table's start offset sits in axis 0 and must count once, whichever group of axes that axis belongs to.
        let m, n = free x d.LeftBatch d.LeftSum, free y d.RightBatch d.RightSum
        let target = p.Temporary t
        let own = Array.map2 (fun s e -> Array.init e (fun i -> i * s)) (Shape.strides t.Shape) t.Shape
        let batch = d.LeftBatch.Length
        if t.Count > 0 then
            p.Kernels.Add(
                Kernel.Product
                    { DType = t.DType
                      Left = left
                      Right = right
                      Result = target
                      LeftOffsets = [| sums d.LeftBatch leftTables; sums m leftTables; sums d.LeftSum leftTables |]
                      RightOffsets =
                        [| sums d.RightBatch rightTables; sums d.RightSum rightTables; sums n rightTables |]
                      ResultOffsets =
                        [| sums [| 0 .. batch - 1 |] own
                           sums [| batch .. batch + m.Length - 1 |] own
                           sums [| batch + m.Length .. t.Rank - 1 |] own |]
                      Label = Shape.describe x + " . " + Shape.describe y }
            )

    let private reference (p: Planner) (t: Tensor) =
        let operands = t.Inputs |> Array.map p.Realise
        let results =
            Op.results t |> Array.map (fun (dtype, shape) -> p.NewBuffer(dtype, Shape.count shape, Place.Temporary))
        p.Kernels.Add(Kernel.Reference(t, operands, results))
        match t.Op with
        | Op.Sort _
        | Op.TopK _ -> p.KeepAll(t, results)
        | _ -> p.Keep(t, results[0])

    /// Adds the kernels of one such expression, whose operands are in memory. `bodyOf` lowers the bodies of loops.
    let add (p: Planner) (bodyOf: Scan -> LoopKernel.Body) (t: Tensor) =
        match t.Op with
        | Op.Scan s -> LoopKernel.add p t s (bodyOf s)
        | Op.Dot d -> product p t d
        | Op.Movement(Movement.Concat axis) ->
            let target = p.Temporary t
            let mutable at = 0
            for x in t.Inputs do
                let low = Array.init t.Rank (fun a -> if a = axis then at else 0)
                p.Place(x, target, t.Shape, low, Array.create t.Rank 1)
                at <- at + x.Shape[axis]
        | Op.Movement(Movement.Pad _) -> p.Padded t |> ignore
        | Op.Conv c -> LowerConv.add p c t
        | Op.Indexing(Indexing.ScatterAdd(0, 0)) ->
            let x, picks, updates = p.Realise t.Inputs[0], p.Realise t.Inputs[1], p.Realise t.Inputs[2]
            let inner = t.Count / max 1 t.Shape[0]
            p.Kernels.Add(
                Kernel.Scatter(x, picks, updates, p.Temporary t, struct (t.Shape[0], t.Inputs[1].Count, inner, 0), t)
            )
        // No kernel of their own yet: the interpreter's row, shown as `reference`.
        | Op.Movement(Movement.Fold _)
        | Op.Indexing(Indexing.ScatterAdd _ | Indexing.DynamicUpdate)
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Sort _
        | Op.TopK _ -> reference p t
        // Nests compute these, or the graph was prepared so that they do not occur.
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.RandomBits
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast
        | Op.Movement(Movement.Reshape | Movement.Permute _ | Movement.Broadcast | Movement.Slice _ | Movement.Reverse _ | Movement.Unfold _)
        | Op.Reduce _
        | Op.Indexing(Indexing.Gather _ | Indexing.DynamicSlice)
        | Op.Custom _
        | Op.Checkpoint _
        | Op.Item _ -> invalidOp $"lower: {Print.name t} has no kernel to itself (this is a mistake in Nanograd)"
