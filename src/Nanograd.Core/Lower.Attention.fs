namespace Nanograd

/// Attention and its gradient as kernels: where the heads of each operand and result lie.
[<RequireQualifiedAccess>]
module internal LowerAttention =
    /// All sums of one offset of each axis, the last axis fastest.
    let private sums (tables: int[][]) =
        tables |> Array.fold (fun (acc: int[]) table -> Array.collect (fun o -> Array.map ((+) o) table) acc) [| 0 |]

    let private regular (table: int[]) = table |> Array.pairwise |> Array.map (fun (a, b) -> b - a) |> Array.distinct

    let private step (table: int[]) = if table.Length < 2 then 0 else table[1] - table[0]

    let private relative (table: int[]) = if table.Length = 0 then 0 else table[0]

    let private ofTables (buffer: int) (tables: int[][]) : HeadRows =
        let rank = tables.Length
        // The start of a buffer's view sits in its first axis, which may be the rows.
        let start = relative tables[rank - 2] + relative tables[rank - 1]
        { Buffer = buffer
          Heads = sums tables[.. rank - 3] |> Array.map ((+) start)
          Step = step tables[rank - 2] }

    /// An operand [..,rows,width] where it lies, if its rows are evenly spaced and whole; else a copy.
    let private operand (p: Planner) (x: Tensor) : HeadRows =
        let buffer, tables = p.Offsets x
        let rows, width = regular tables[x.Rank - 2], regular tables[x.Rank - 1]
        if rows.Length <= 1 && (width.Length = 0 || width = [| 1 |]) then
            ofTables buffer tables
        else
            let copy = p.Realise x
            ofTables copy (Array.map2 (fun s e -> Array.init e (fun i -> i * s)) (Shape.strides x.Shape) x.Shape)

    /// A new buffer for a result [..,rows,width] whose axes are in this order in memory.
    let private result (p: Planner) (shape: int[]) (order: int[]) : HeadRows =
        let stored = order |> Array.map (fun a -> shape[a])
        let strides = Shape.strides stored
        let buffer = p.NewBuffer(DType.F32, Shape.count stored, Place.Temporary)
        let table a = Array.init shape[a] (fun i -> i * strides[System.Array.IndexOf(order, a)])
        ofTables buffer (Array.init shape.Length table)

    let private mask (p: Planner) (f: AttentionForm) (x: Tensor) (scores: int[]) : HeadMask =
        let none =
            { Kind = MaskKind.Nothing
              Buffer = -1
              Heads = [||]
              ByQuery = 0
              ByKey = 0
              Fill = float32 f.Fill }
        if f.Kind = MaskKind.Nothing then
            none
        else
            let own = p.Realise x
            let strides = Shape.strides x.Shape
            let table a = Array.init scores[a] (fun i -> if x.Shape[a] = 1 then 0 else i * strides[a])
            let rank = scores.Length
            { none with
                Kind = f.Kind
                Buffer = own
                Heads = sums (Array.init (rank - 2) table)
                ByQuery = step (table (rank - 2))
                ByKey = step (table (rank - 1)) }

    /// The operands that attention and its gradient share; there is no result yet.
    let private shared (p: Planner) (f: AttentionForm) (t: Tensor) : StreamedAttention =
        let q, k, v = t.Inputs[0], t.Inputs[1], t.Inputs[2]
        let rank = q.Rank
        let scores = Array.append q.Shape[.. rank - 2] [| k.Shape[rank - 2] |]
        let nowhere = { Buffer = -1; Heads = [||]; Step = 0 }
        { Queries = q.Shape[rank - 2]
          Keys = k.Shape[rank - 2]
          Width = q.Shape[rank - 1]
          ValueWidth = v.Shape[rank - 1]
          Scale = float32 f.Scale
          Low = f.Band.Low
          High = f.Band.High
          Mask = mask p f (if f.Kind = MaskKind.Nothing then q else t.Inputs[3]) scores
          Q = operand p q
          K = operand p k
          V = operand p v
          Result = nowhere
          LogSums = -1 }

    let private forward (p: Planner) (f: AttentionForm) (t: Tensor) =
        let q, v = t.Inputs[0], t.Inputs[2]
        let rows = q.Shape[.. q.Rank - 2]
        let a = shared p f t
        let o = result p (Array.append rows [| v.Shape[v.Rank - 1] |]) f.Order
        let logSums = p.NewBuffer(DType.F32, Shape.count rows, Place.Temporary)
        p.Kernels.Add(Kernel.Attention { a with Result = o; LogSums = logSums })
        p.KeepAll(t, [| o.Buffer; logSums |])

    let private backward (p: Planner) (f: AttentionForm) (orders: int[][]) (t: Tensor) =
        let own = t.Inputs.Length - 3
        let a = { shared p f t with LogSums = p.Realise t.Inputs[own] }
        let results = Array.map2 (fun (x: Tensor) order -> result p x.Shape order) t.Inputs[..2] orders
        p.Kernels.Add(
            Kernel.AttentionGradient
                { Of = a
                  Deltas = p.Realise t.Inputs[own + 1]
                  Cotangent = operand p t.Inputs[own + 2]
                  ToQ = results[0]
                  ToK = results[1]
                  ToV = results[2] }
        )
        p.KeepAll(t, results |> Array.map (fun r -> r.Buffer))

    /// True of the functions that `add` knows.
    let isKnown (c: Custom) = AttentionCall.isKnown c

    /// Adds the kernel of a call whose operands are in memory.
    let add (p: Planner) (t: Tensor) (c: Custom) =
        match AttentionCall.formOf c, AttentionCall.gradientFormOf c with
        | ValueSome f, _ -> forward p f t
        | _, ValueSome(struct (f, orders)) -> backward p f orders t
        | _ -> invalidOp $"lower: {c.Name} has no kernel (this is a mistake in Nanograd)"
