namespace Nanograd

/// The primitives that have a kernel to themselves.
[<RequireQualifiedAccess>]
module internal OwnKernels =
    let private product (p: Planner) (t: Tensor) (d: Contraction) (target: int) (epilogue: Loop voption) =
        let x, y = t.Inputs[0], t.Inputs[1]
        let free (t: Tensor) batch sum =
            [| 0 .. t.Rank - 1 |] |> Array.filter (fun a -> not (Array.contains a batch || Array.contains a sum))
        let sums (axes: int[]) (tables: int[][]) =
            axes |> Array.fold (fun (acc: int[]) a -> Array.collect (fun o -> Array.map ((+) o) tables[a]) acc) [| 0 |]
        let left, leftTables = p.Offsets x
        let right, rightTables = p.Offsets y
        // A table's start offset sits in axis 0 and must count once, whichever group of axes that axis belongs to.
        let m, n = free x d.LeftBatch d.LeftSum, free y d.RightBatch d.RightSum
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
                      Epilogue = epilogue
                      Label = Shape.describe x + " . " + Shape.describe y }
            )

    let private lines (p: Planner) (t: Tensor) (work: LineWork) (axis: int) (results: (DType * int)[]) : int[] =
        let x = t.Inputs[0]
        let source = p.Realise x
        let results = results |> Array.map (fun (dtype, count) -> p.NewBuffer(dtype, count, Place.Temporary))
        if t.Count > 0 then
            p.Kernels.Add(
                Kernel.Lines
                    { Work = work
                      DType = x.DType
                      Source = source
                      Results = results
                      Outer = Shape.count x.Shape[.. axis - 1]
                      Length = x.Shape[axis]
                      Inner = Shape.count x.Shape[axis + 1 ..] }
            )
        results

    let private fold (p: Planner) (t: Tensor) (w: Window) (length: int) =
        let x = t.Inputs[0]
        let source = p.Realise x
        let target = p.Temporary t
        if t.Count > 0 then
            p.Kernels.Add(
                Kernel.Fold
                    { DType = t.DType
                      Source = source
                      Result = target
                      Outer = Shape.count t.Shape[.. w.Axis - 1]
                      Inner = Shape.count t.Shape[w.Axis + 1 ..]
                      Windows = x.Shape[w.Axis]
                      Length = length
                      Window = w }
            )

    /// Checks come as early as their indices are known, so that nothing is lost when they fail.
    let private check (p: Planner) operation (indices: int) size taken =
        p.Kernels.Add(Kernel.Check { Operation = operation; Indices = indices; Size = size; Taken = taken })

    let private scatter (p: Planner) (t: Tensor) axis batch =
        let x, picks = t.Inputs[0], t.Inputs[1]
        let indices = p.Realise picks
        check p "scatterAdd" indices x.Shape[axis] 1
        let target, updates = p.Realise x, p.Realise t.Inputs[2]
        p.Kernels.Add(
            Kernel.Scatter
                { DType = t.DType
                  Target = target
                  Indices = indices
                  Updates = updates
                  Result = p.Temporary t
                  Batches = Shape.count x.Shape[.. batch - 1]
                  Outer = Shape.count x.Shape[batch .. axis - 1]
                  Size = x.Shape[axis]
                  Inner = Shape.count x.Shape[axis + 1 ..]
                  Count = Shape.count picks.Shape[batch..] }
        )

    let private update (p: Planner) (t: Tensor) =
        let x, box = t.Inputs[0], t.Inputs[1]
        let starts = t.Inputs[2..] |> Array.map p.Realise
        starts |> Array.iteri (fun i b -> check p "dynamicUpdate" b x.Shape[i] box.Shape[i])
        let target, source = p.Realise x, p.Realise box
        p.Kernels.Add(
            Kernel.Update
                { DType = t.DType
                  Target = target
                  Update = source
                  Starts = starts
                  Result = p.Temporary t
                  Shape = x.Shape
                  Box = box.Shape }
        )

    /// The axes of an epilogue over the elements of a product: those of the product, as its parts are ranges of them. None where parts
    /// of the result come from elsewhere.
    let parts (t: Tensor) : int[] option =
        match t.Op with
        | Op.Dot d ->
            let batch = d.LeftBatch.Length
            let rows = t.Inputs[0].Rank - batch - d.LeftSum.Length
            Some
                [| Shape.count t.Shape[.. batch - 1]
                   Shape.count t.Shape[batch .. batch + rows - 1]
                   Shape.count t.Shape[batch + rows ..] |]
        | Op.Conv c when LowerConv.isWhole c t -> Some [| t.Shape[0]; t.Shape[1]; Shape.count t.Shape[2..] |]
        | _ -> None

    /// Adds a product or convolution whose result goes to `target` and through an epilogue.
    let addFinished (p: Planner) (t: Tensor) (target: int) (epilogue: Loop) =
        match t.Op with
        | Op.Dot d -> product p t d target (ValueSome epilogue)
        | Op.Conv c -> LowerConv.add p c t target (ValueSome epilogue)
        | _ -> invalidArg "t" "not a product"

    /// Adds the kernels of one such expression, whose operands are in memory. `bodyOf` lowers the bodies of loops.
    let add (p: Planner) (bodyOf: Scan -> LoopKernel.Body) (t: Tensor) =
        match t.Op with
        | Op.Scan s -> LoopKernel.add p t s (bodyOf s)
        | Op.Custom c when LowerAttention.isKnown c -> LowerAttention.add p t c
        | Op.Custom c when LowerPooling.isKnown c -> LowerPooling.add p t c
        | Op.Dot d -> product p t d (p.Temporary t) ValueNone
        | Op.Movement(Movement.Concat axis) ->
            let target = p.Temporary t
            let mutable at = 0
            for x in t.Inputs do
                let low = Array.init t.Rank (fun a -> if a = axis then at else 0)
                p.Place(x, target, t.Shape, low, Array.create t.Rank 1)
                at <- at + x.Shape[axis]
        | Op.Movement(Movement.Pad _) -> p.Padded t |> ignore
        | Op.Conv c -> LowerConv.add p c t (p.Temporary t) ValueNone
        | Op.Indexing(Indexing.ScatterAdd(axis, batch)) -> scatter p t axis batch
        | Op.Indexing Indexing.DynamicUpdate -> update p t
        | Op.Movement(Movement.Fold(w, length)) -> fold p t w length
        | Op.ArgReduce(largest, axis) ->
            p.Keep(t, (lines p t (LineWork.ArgReduce largest) axis [| DType.I64, t.Count |]).[0])
        | Op.CumSum(axis, reverse) -> p.Keep(t, (lines p t (LineWork.CumSum reverse) axis [| t.DType, t.Count |]).[0])
        | Op.Sort(axis, descending) ->
            let count = t.Shape[axis]
            p.KeepAll(t, lines p t (LineWork.Sort(descending, count)) axis [| t.DType, t.Count; DType.I64, t.Count |])
        | Op.TopK k ->
            let work = LineWork.Sort(true, k)
            p.KeepAll(t, lines p t work (t.Rank - 1) [| t.DType, t.Count; DType.I64, t.Count |])
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
