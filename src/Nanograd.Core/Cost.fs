namespace Nanograd

/// How much an expression costs, roughly: what rules are accepted by, and what decides whether a kernel is full.
[<RequireQualifiedAccess>]
module internal Cost =
    /// Rough number of machine operations for one element.
    let perElement (t: Tensor) =
        match t.Op with
        | Op.Unary u ->
            match u with
            | Unary.Exp -> 16
            | Unary.Log
            | Unary.Expm1
            | Unary.Log1p -> 24
            | Unary.Sin
            | Unary.Cos
            | Unary.Atan
            | Unary.Tanh -> 28
            | Unary.Erf -> 40
            | Unary.Sqrt
            | Unary.Rsqrt
            | Unary.Sign -> 4
            | Unary.Neg
            | Unary.Abs
            | Unary.Floor
            | Unary.Ceil
            | Unary.Round
            | Unary.Not -> 1
        | Op.RandomBits -> 130
        | Op.Binary b ->
            match b with
            | Binary.Pow
            | Binary.Rem -> 30
            | Binary.Add
            | Binary.Sub
            | Binary.Mul
            | Binary.Div
            | Binary.Max
            | Binary.Min
            | Binary.Eq
            | Binary.Ne
            | Binary.Lt
            | Binary.Le
            | Binary.Gt
            | Binary.Ge
            | Binary.And
            | Binary.Or
            | Binary.Xor
            | Binary.Shl
            | Binary.Shr -> 1
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.Select
        | Op.Cast
        | Op.BitCast
        | Op.Movement _
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Dot _
        | Op.Conv _
        | Op.Indexing _
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _
        | Op.Item _ -> 1

    /// Machine operations, and bytes of the results that have memory of their own however kernels are cut: those of
    /// reductions, products, copies, lookups and loops. Elementwise results can always live inside the kernel that
    /// reads them, and views are no results.
    let rec ofNode (t: Tensor) : struct (float * float) =
        let count = float t.Count
        let bytes = count * float (DType.size t.DType)
        let stored work = struct (work, bytes)
        let sorted () =
            let x = t.Inputs[0] in float x.Count * log (2.0 + float (if x.Rank = 0 then 1 else Array.max x.Shape))
        let results () = Op.results t |> Array.sumBy (fun (d, s) -> float (Shape.count s) * float (DType.size d))
        match t.Op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.Item _ -> struct (0.0, 0.0)
        | Op.RandomBits
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast -> struct (count * float (perElement t), 0.0)
        | Op.Movement m ->
            match m with
            | Movement.Reshape
            | Movement.Permute _
            | Movement.Broadcast
            | Movement.Slice _
            | Movement.Reverse _ -> struct (0.0, 0.0)
            | Movement.Pad _
            | Movement.Concat _
            | Movement.Unfold _ -> stored count
            | Movement.Fold _ -> stored (float t.Inputs[0].Count)
        | Op.Reduce _
        | Op.ArgReduce _ -> stored (float t.Inputs[0].Count)
        | Op.CumSum _
        | Op.Indexing(Indexing.Gather _ | Indexing.DynamicSlice) -> stored count
        | Op.Indexing(Indexing.ScatterAdd _) -> stored (count + float t.Inputs[2].Count)
        | Op.Indexing Indexing.DynamicUpdate -> stored (count + float t.Inputs[1].Count)
        | Op.Dot d -> stored (2.0 * count * (d.LeftSum |> Array.fold (fun n a -> n * float t.Inputs[0].Shape[a]) 1.0))
        | Op.Conv _ -> let w = t.Inputs[1] in stored (2.0 * count * float w.Count / float (max 1 w.Shape[0]))
        | Op.Sort _
        | Op.TopK _ -> struct (sorted (), results ())
        | Op.Scan s -> // every step writes
            let struct (work, inside) = ofAll s.Body.Results
            let steps = float s.Length
            struct (steps * work, results () + steps * inside)
        | Op.Custom c -> ofAll c.Body.Results
        | Op.Checkpoint l -> ofAll l.Results

    /// The same for all that `roots` are made of, each expression once.
    and ofAll (roots: Tensor[]) : struct (float * float) =
        let mutable work, bytes = 0.0, 0.0
        for t in Graph.topological roots do
            let struct (w, b) = ofNode t
            work <- work + w
            bytes <- bytes + b
        struct (work, bytes)
