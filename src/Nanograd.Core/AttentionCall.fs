namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic

/// What a mask of attention does to the scores, beside the band.
[<RequireQualifiedAccess>]
type MaskKind =
    | Nothing
    /// A bool: where it is true, the score becomes the fill.
    | Excluded
    /// A bool: where it is false, the score becomes the fill.
    | Kept
    /// Numbers that are added to the scores.
    | Added

/// softmax(mask(scale * q k^T)) v over `Batch` batch axes, q [..,T,D], k [..,S,D], v [..,S,E].
type internal AttentionForm =
    {
        Batch: int
        Scale: float
        /// Query t sees keys s with Low <= s - t <= High; the other scores are -∞.
        Band: Bands.Band
        Kind: MaskKind
        Fill: float
        /// How the axes of the result [..,T,E] are ordered in memory.
        Order: int[]
    }

/// Attention as a function with a name: what users compose of products and softmax is recognised, and becomes a Custom whose body is that
/// composition in one spelling. A back end that has a kernel for it need not look inside; all others run the body. Its gradient is such a
/// function, too, which computes the scores again from the logarithm of the sums of each row.
[<RequireQualifiedAccess>]
module internal AttentionCall =
    [<Literal>]
    let Name = "attention"

    [<Literal>]
    let GradientName = "attentionGradient"

    // ------------------------------------------------------------------------------------------------ the one spelling

    let private axes n = Array.init n id

    let private number (x: float) = Op.constant (Constant.ofFloat DType.F32 x)

    let private dot batch leftSum rightSum x y =
        Op.dot
            { LeftBatch = axes batch
              RightBatch = axes batch
              LeftSum = [| leftSum |]
              RightSum = [| rightSum |] }
            x
            y

    let private times (x: Tensor) (factor: float) = if factor = 1.0 then x else Op.binary Binary.Mul x (number factor)

    /// s - t for all scores of a shape [..,T,S] lies in the band.
    let private inBand (band: Bands.Band) (shape: int[]) =
        let rank = shape.Length
        let index axis = Op.iota DType.I32 shape.[rank - 2 ..] axis
        let difference = Op.binary Binary.Sub (index 1) (index 0)
        let against comparison bound =
            Op.binary comparison difference (Op.constant (Constant.ofInt DType.I32 (int64 (bound: int))))
        let bounds =
            [ if band.Low > Bands.everything.Low then against Binary.Ge band.Low
              if band.High < Bands.everything.High then against Binary.Le band.High ]
        Op.broadcast shape (List.reduce (Op.binary Binary.And) bounds)

    /// What is done to scores that are masked, the band last: `fill` and `outside` stand in place of excluded ones.
    let private masked (f: AttentionForm) (mask: Tensor option) (fill: float) (outside: float) (scores: Tensor) =
        let inside =
            match f.Kind, mask with
            | MaskKind.Excluded, Some m -> Op.select m (number fill) scores
            | MaskKind.Kept, Some m -> Op.select m scores (number fill)
            | MaskKind.Added, Some m -> Op.binary Binary.Add scores m
            | _ -> scores
        if f.Band = Bands.everything then inside else Op.select (inBand f.Band scores.Shape) inside (number outside)

    let private scores (f: AttentionForm) (q: Tensor) (k: Tensor) (mask: Tensor option) =
        times (dot f.Batch (f.Batch + 1) (f.Batch + 1) q k) f.Scale |> masked f mask f.Fill -infinity

    /// The last axis of `like`, over which `x` is the same.
    let private along (like: Tensor) (x: Tensor) = Op.broadcast like.Shape (Op.reshape (Array.append x.Shape [| 1 |]) x)

    let private maskOf (f: AttentionForm) (operands: Tensor[]) =
        if f.Kind = MaskKind.Nothing then None else Some operands[3]

    let private body (f: AttentionForm) (operands: (DType * int[])[]) : Lambda =
        let p = operands |> Array.mapi (fun i (d, s) -> Op.parameter i d s)
        let x = scores f p[0] p[1] (maskOf f p)
        let last = [| x.Rank - 1 |]
        let top = Op.reduce Reduction.Max last x
        let e = Op.unary Unary.Exp (Op.binary Binary.Sub x (along x top))
        let sum = Op.reduce Reduction.Sum last e
        let o = dot f.Batch (f.Batch + 1) f.Batch (Op.binary Binary.Div e (along e sum)) p[2]
        let logSum = Op.binary Binary.Add (Op.unary Unary.Log sum) top
        Lambda.make operands [| Op.permute f.Order o; logSum |]

    /// Attention of operands q, k, v (and a mask): the result, its axes ordered as the form says, and the logarithm of the
    /// sum of the exponentials of each row's scores.
    let apply (f: AttentionForm) (operands: Tensor[]) : Tensor[] =
        let parameters = operands |> Array.map (fun t -> t.DType, t.Shape)
        Op.custom { Name = Name; Body = body f parameters; Gradient = None } operands

    /// Operands q, k, v, the mask if there is one, then: each row's logarithm of its sum; each row's sum of cotangent
    /// times result; the cotangent [..,T,E]. Results: the cotangents of q, k and v, ordered as `orders` say.
    let private gradientBody (f: AttentionForm) (orders: int[][]) (operands: (DType * int[])[]) : Lambda =
        let p = operands |> Array.mapi (fun i (d, s) -> Op.parameter i d s)
        let n = f.Batch
        let mask = maskOf f p
        let x = scores f p[0] p[1] mask
        let logSum, delta, c = p[p.Length - 3], p[p.Length - 2], p[p.Length - 1]
        let weights = Op.unary Unary.Exp (Op.binary Binary.Sub x (along x logSum))
        let toWeights = dot n (n + 1) (n + 1) c p[2]
        let toScores = Op.binary Binary.Mul weights (Op.binary Binary.Sub toWeights (along x delta))
        let plain = if f.Kind = MaskKind.Added then { f with Kind = MaskKind.Nothing } else f
        let toProducts = times (masked plain mask 0.0 0.0 toScores) f.Scale
        let results = [| dot n (n + 1) n toProducts p[1]; dot n n n toProducts p[0]; dot n n n weights c |]
        Lambda.make operands (Array.map2 Op.permute orders results)

    // ------------------------------------------------------------------------------------------------ reading

    /// What reading found: the operands, and everything between them and the result.
    type private Reading(order: HashSet<Hash>) =
        member _.Inside = order
        member _.Add(t: Tensor) = order.Add t.Hash |> ignore

    let private reading () = Reading(HashSet())

    /// Without the stretching that broadcasting wrote.
    let private unstretched (t: Tensor) =
        match t.Op with
        | Op.Movement Movement.Broadcast -> t.Inputs[0]
        | _ -> t

    let private start =
        { Batch = 0
          Scale = 1.0
          Band = Bands.everything
          Kind = MaskKind.Nothing
          Fill = -infinity
          Order = [||] }

    let private meet (a: Bands.Band) (b: Bands.Band) : Bands.Band = { Low = max a.Low b.Low; High = min a.High b.High }

    /// Operands permuted to [batch.., rows, width].
    let private arranged (x: Tensor) (batch: int[]) (rows: int) (width: int) =
        Op.permute (Array.append batch [| rows; width |]) x

    /// A factor that stands everywhere, taken out of an operand.
    let private factored (x: Tensor) : struct (Tensor * float) =
        match x.Op with
        | Op.Binary(Binary.Mul | Binary.Div as op) ->
            match Calculus.uniform x.Inputs[1], Calculus.uniform x.Inputs[0] with
            | ValueSome c, _ -> struct (x.Inputs[0], (if op = Binary.Mul then c.Float else 1.0 / c.Float))
            | _, ValueSome c when op = Binary.Mul -> struct (x.Inputs[1], c.Float)
            | _ -> struct (x, 1.0)
        | _ -> struct (x, 1.0)

    let private without (batch: int[]) (sum: int[]) (t: Tensor) =
        axes t.Rank |> Array.filter (fun a -> not (Array.contains a batch || Array.contains a sum))

    /// Further in than a mask that puts a number in place of scores, a band is not the last word.
    let private takesBand (f: AttentionForm) = f.Kind = MaskKind.Nothing || f.Fill = -infinity

    /// What excludes scores in one step: the band of those that stay, or a mask.
    let private excluding (whereTrue: bool) (condition: Tensor) (fill: float) (f: AttentionForm) (mask: Tensor option) =
        match Bands.ofCondition (not whereTrue) condition with
        | Some band when fill = -infinity && takesBand f -> Some({ f with Band = meet f.Band band }, mask)
        | _ when f.Kind = MaskKind.Nothing ->
            let kind = if whereTrue then MaskKind.Excluded else MaskKind.Kept
            Some({ f with Kind = kind; Fill = fill }, Some(unstretched condition))
        | _ -> None

    /// Reads what was done to the product of q and k, from the outside in.
    let rec private readScores (r: Reading) (depth: int) (x: Tensor) (f: AttentionForm) (mask: Tensor option) =
        let onward (next: Tensor) changed =
            match changed with
            | Some(f, mask) when depth < 16 ->
                let found = readScores r (depth + 1) next f mask
                if Option.isSome found then r.Add x
                found
            | _ -> None
        match x.Op with
        | Op.Dot d when d.LeftSum.Length = 1 && x.DType = DType.F32 ->
            match without d.LeftBatch d.LeftSum x.Inputs[0], without d.RightBatch d.RightSum x.Inputs[1] with
            | [| rows |], [| columns |] ->
                r.Add x
                let struct (q, a) = factored x.Inputs[0]
                let struct (k, b) = factored x.Inputs[1]
                let form = { f with Batch = d.LeftBatch.Length; Scale = f.Scale * a * b }
                let q, k = arranged q d.LeftBatch rows d.LeftSum[0], arranged k d.RightBatch columns d.RightSum[0]
                Some(form, q, k, mask)
            | _ -> None
        | Op.Binary(Binary.Mul | Binary.Div) ->
            let struct (inner, factor) = factored x
            // -∞ stays -∞ only under a positive factor.
            if obj.ReferenceEquals(inner, x) || not (factor > 0.0) then
                None
            else
                onward inner (Some({ f with Scale = f.Scale * factor }, mask))
        | Op.Select ->
            match Calculus.uniform x.Inputs[1], Calculus.uniform x.Inputs[2] with
            | ValueSome fill, _ when f.Scale = 1.0 || fill.Float = -infinity ->
                onward x.Inputs[2] (excluding true x.Inputs[0] fill.Float f mask)
            | _, ValueSome fill when f.Scale = 1.0 || fill.Float = -infinity ->
                onward x.Inputs[1] (excluding false x.Inputs[0] fill.Float f mask)
            | _ -> None
        | Op.Binary Binary.Add when f.Scale = 1.0 ->
            let added (bias: Tensor) =
                match Bands.ofBias bias with
                | Some band when takesBand f -> Some({ f with Band = meet f.Band band }, mask)
                | _ when f.Kind = MaskKind.Nothing && bias.DType = DType.F32 ->
                    Some({ f with Kind = MaskKind.Added }, Some(unstretched bias))
                | _ -> None
            let leads (t: Tensor) =
                match t.Op with
                | Op.Dot _
                | Op.Binary(Binary.Mul | Binary.Div | Binary.Add)
                | Op.Select -> true
                | _ -> false
            let left, right = x.Inputs[0], x.Inputs[1]
            let attempt (inner: Tensor) (bias: Tensor) = if leads inner then onward inner (added bias) else None
            (match attempt left right with
             | None -> attempt right left
             | found -> found)
        | _ -> None

    /// `t` is `source` folded over its last axis, which views put back with the old extent.
    let private isFoldOf (r: Reading) (reduction: Reduction) (source: Tensor) (t: Tensor) =
        let rec follow (t: Tensor) =
            r.Add t
            match t.Op with
            | Op.Movement(Movement.Broadcast | Movement.Reshape) -> follow t.Inputs[0]
            | Op.Item 0 ->
                match t.Inputs[0].Op with
                | Op.Custom c when c.Name = "stopGradient" ->
                    r.Add t.Inputs[0]
                    follow t.Inputs[0].Inputs[0]
                | _ -> false
            | Op.Reduce(kind, [| axis |]) -> kind = reduction && axis = t.Inputs[0].Rank - 1 && t.Inputs[0] = source
            | _ -> false
        source.Rank = t.Rank && follow t

    /// The scores whose softmax along the last axis `w` is.
    let private readSoftmax (r: Reading) (w: Tensor) : Tensor option =
        match w.Op with
        | Op.Binary Binary.Div ->
            let e = w.Inputs[0]
            match e.Op with
            | Op.Unary Unary.Exp when isFoldOf r Reduction.Sum e w.Inputs[1] ->
                let shifted = e.Inputs[0]
                (match shifted.Op with
                 | Op.Binary Binary.Sub when isFoldOf r Reduction.Max shifted.Inputs[0] shifted.Inputs[1] ->
                     Seq.iter r.Add [ w; e; shifted ]
                     Some shifted.Inputs[0]
                 | _ -> None)
            | _ -> None
        | _ -> None

    /// Does every row have a column in the band? Rows that see nothing are NaN, which blocks that are skipped would not pass on.
    let private seesSomething (band: Bands.Band) (rows: int) (columns: int) =
        band.Low <= columns - rows && band.High >= 0

    /// The product of weights and values, if `t` is one: what is inside, the form, its operands, and whether the result has
    /// its last two axes exchanged.
    let private readWhole (t: Tensor) =
        let inOrder (batch: int[]) = batch = axes batch.Length
        let ofWeights exchanged (w: Tensor) (wBatch: int[]) (wSum: int[]) (v: Tensor) (vBatch: int[]) (vSum: int[]) =
            let r = reading ()
            match without vBatch vSum v with
            | [| width |] when inOrder wBatch && wSum = [| w.Rank - 1 |] && wBatch.Length = w.Rank - 2 ->
                match readSoftmax r w |> Option.bind (fun x -> readScores r 0 x start None) with
                | Some(f, q, k, mask) when
                    f.Batch = wBatch.Length && seesSomething f.Band w.Shape[w.Rank - 2] w.Shape[w.Rank - 1]
                    ->
                    r.Add t
                    let operands = [| q; k; arranged v vBatch vSum[0] width; yield! Option.toList mask |]
                    Some(r.Inside, f, operands, exchanged)
                | _ -> None
            | _ -> None
        match t.Op with
        | Op.Dot d when d.LeftSum.Length = 1 && t.DType = DType.F32 ->
            let x, y = t.Inputs[0], t.Inputs[1]
            (match ofWeights false x d.LeftBatch d.LeftSum y d.RightBatch d.RightSum with
             | None -> ofWeights true y d.RightBatch d.RightSum x d.LeftBatch d.LeftSum
             | found -> found)
        | _ -> None

    let private parametersOf (l: Lambda) = Lambda.parameters l

    /// The order of a result's axes, and the result in its own order.
    let private ordered (t: Tensor) : struct (int[] * Tensor) =
        match t.Op with
        | Op.Movement(Movement.Permute p) -> struct (p, t.Inputs[0])
        | _ -> struct (axes t.Rank, t)

    let private forms = ConcurrentDictionary<Hash, AttentionForm voption>()
    let private gradientForms = ConcurrentDictionary<Hash, struct (AttentionForm * int[][]) voption>()

    /// The form of a function that is attention in the one spelling.
    let formOf (c: Custom) : AttentionForm voption =
        let read (l: Lambda) =
            let struct (order, o) = ordered l.Results[0]
            match readWhole o with
            | Some(_, f, operands, false) when operands = parametersOf l ->
                let f = { f with Order = order }
                if (body f l.Params).Hash = l.Hash then ValueSome f else ValueNone
            | _ -> ValueNone
        if c.Name <> Name || c.Body.Results.Length <> 2 then
            ValueNone
        else
            forms.GetOrAdd(c.Body.Hash, (fun _ -> read c.Body))

    /// The form, and the orders of the results, of a function that is the gradient of attention in the one spelling.
    let gradientFormOf (c: Custom) : struct (AttentionForm * int[][]) voption =
        let read (l: Lambda) =
            let orders = l.Results |> Array.map (fun r -> let struct (order, _) = ordered r in order)
            let struct (_, ofValues) = ordered l.Results[2]
            match ofValues.Op, ofValues.Inputs with
            | Op.Dot _, [| weights; _ |] ->
                match weights.Op, weights.Inputs with
                | Op.Unary Unary.Exp, [| shifted |] when shifted.Inputs.Length = 2 ->
                    match readScores (reading ()) 0 shifted.Inputs[0] start None with
                    | Some(f, _, _, _) when (gradientBody f orders l.Params).Hash = l.Hash ->
                        ValueSome(struct (f, orders))
                    | _ -> ValueNone
                | _ -> ValueNone
            | _ -> ValueNone
        if c.Name <> GradientName || c.Body.Results.Length <> 3 then
            ValueNone
        else
            gradientForms.GetOrAdd(c.Body.Hash, (fun _ -> read c.Body))

    /// True of the functions that a back end may have a kernel for.
    let isKnown (c: Custom) = (formOf c).IsSome || (gradientFormOf c).IsSome

    // ------------------------------------------------------------------------------------------------ the gradient

    /// The cotangent of what is added to the scores. It is as large as they are, so it is composed.
    let private ofBias (f: AttentionForm) (operands: Tensor[]) (logSum: Tensor) (delta: Tensor) (cotangent: Tensor) =
        let bias, n = operands[3], f.Batch
        let x = scores f operands[0] operands[1] (Some bias)
        let weights = Op.unary Unary.Exp (Op.binary Binary.Sub x (along x logSum))
        let toWeights = dot n (n + 1) (n + 1) cotangent operands[2]
        let toScores = Op.binary Binary.Mul weights (Op.binary Binary.Sub toWeights (along x delta))
        let rank = toScores.Rank
        let stretched =
            [| for a in 0 .. rank - 1 do
                   if bias.Shape[a] = 1 && toScores.Shape[a] <> 1 then a |]
        if stretched.Length = 0 then toScores else Op.reshape bias.Shape (Op.reduce Reduction.Sum stretched toScores)

    /// The cotangents of q, k, v and the mask from those of the results, if `call` is attention.
    let gradient (c: Custom) (call: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) : Tensor voption[] voption =
        match formOf c with
        | ValueSome f ->
            let results = Op.custom c call.Inputs
            let own = Calculus.inverse f.Order // from the order of the result to [..,T,E]
            let result = Op.permute own results[0]
            let cotangent =
                match cotangents[0] with
                | ValueSome c -> Op.permute own c
                | ValueNone -> Calculus.zeros result
            let delta = Op.reduce Reduction.Sum [| result.Rank - 1 |] (Op.binary Binary.Mul cotangent result)
            let delta =
                match cotangents[1] with
                | ValueSome c -> Op.binary Binary.Sub delta c
                | ValueNone -> delta
            // Cotangents are written as the operands lie in memory, as far as that is known here.
            let orderOf (x: Tensor) =
                match x.Op with
                | Op.Movement(Movement.Permute p) when p[x.Rank - 1] = x.Rank - 1 -> Calculus.inverse p
                | _ -> axes x.Rank
            let orders = call.Inputs[..2] |> Array.map orderOf
            let operands = Array.append call.Inputs [| results[1]; delta; cotangent |]
            let parameters = operands |> Array.map (fun t -> t.DType, t.Shape)
            let f = { f with Order = [||] }
            let toOperands =
                Op.custom
                    { Name = GradientName
                      Body = gradientBody f orders parameters
                      Gradient = None }
                    operands
            let back = Array.map2 (fun order r -> ValueSome(Op.permute (Calculus.inverse order) r)) orders toOperands
            let ofMask =
                if wanted.Length = 3 then [||]
                elif wanted[3] then [| ValueSome(ofBias f call.Inputs results[1] delta cotangent) |]
                else [| ValueNone |]
            ValueSome(Array.append back ofMask)
        | ValueNone -> ValueNone

    // ------------------------------------------------------------------------------------------------ recognising

    /// Where the kernel is not slower than what it takes the place of.
    let private pays (operands: Tensor[]) =
        let q, k, v = operands[0], operands[1], operands[2]
        let extent (t: Tensor) fromEnd = t.Shape[t.Rank - fromEnd]
        extent q 2 >= 8
        && extent k 2 >= 8
        && extent q 1 >= 4
        && extent q 1 <= 512
        && extent v 1 >= 4
        && extent v 1 <= 512
        && q.Count > 0
        && k.Count > 0
        && v.Count > 0

    /// Composed attention in `roots` as calls of the function, wherever nobody else reads what is in between.
    let recognise (roots: Tensor[]) : Tensor[] =
        let order = Graph.topological roots
        let isCandidate (t: Tensor) =
            match t.Op with
            | Op.Dot _ ->
                let divides (x: Tensor) =
                    match x.Op with
                    | Op.Binary Binary.Div -> true
                    | _ -> false
                Array.exists divides t.Inputs
            | _ -> false
        if not (Array.exists isCandidate order) then
            roots
        else
            let users = Dictionary<Hash, List<Tensor>>()
            for t in order do
                users[t.Hash] <- List()
                for i in t.Inputs do
                    users[i.Hash].Add t
            let isRoot = HashSet<Hash>(roots |> Seq.map (fun r -> r.Hash))
            let isPrivate (inside: HashSet<Hash>) (result: Tensor) =
                inside
                |> Seq.forall (fun h ->
                    h = result.Hash
                    || (not (isRoot.Contains h) && users[h] |> Seq.forall (fun u -> inside.Contains u.Hash)))
            /// The only user of a result, if it reorders axes and leaves the last in place.
            let reordering (t: Tensor) =
                if isRoot.Contains t.Hash || users[t.Hash].Count <> 1 then
                    None
                else
                    match users[t.Hash].[0].Op with
                    | Op.Movement(Movement.Permute p) when p[t.Rank - 1] = t.Rank - 1 -> Some(users[t.Hash].[0], p)
                    | _ -> None
            let found = Dictionary<Hash, struct (AttentionForm * Tensor[] * bool)>()
            for t in order do
                if isCandidate t then
                    match readWhole t with
                    | Some(inside, f, operands, exchanged) when isPrivate inside t && pays operands ->
                        (match reordering t with
                         | Some(user, p) when not exchanged ->
                             found[user.Hash] <- struct ({ f with Order = p }, operands, false)
                         | _ -> found[t.Hash] <- struct ({ f with Order = axes t.Rank }, operands, exchanged))
                    | _ -> ()
            if found.Count = 0 then
                roots
            else
                let rebuilt = Dictionary<Hash, Tensor>()
                /// Operands are permuted anew: what they permute was rebuilt.
                let rec again (t: Tensor) =
                    match rebuilt.TryGetValue t.Hash with
                    | true, r -> r
                    | _ -> Op.rebuild t (Array.map again t.Inputs)
                for t in order do
                    rebuilt[t.Hash] <-
                        (match found.TryGetValue t.Hash with
                         | true, struct (f, operands, exchanged) ->
                             let o = (apply f (Array.map again operands)).[0]
                             if exchanged then
                                 Op.permute (Array.append (axes (o.Rank - 2)) [| o.Rank - 1; o.Rank - 2 |]) o
                             else
                                 o
                         | _ -> Op.rebuild t (t.Inputs |> Array.map (fun i -> rebuilt[i.Hash])))
                roots |> Array.map (fun r -> rebuilt[r.Hash])
