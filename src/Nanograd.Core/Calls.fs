namespace Nanograd

open System.Collections.Generic

/// The calculus of the primitives with several results: sorting, functions, loops. A rule takes the cotangents of the
/// results (none where nothing flows) to the cotangents of the operands that are wanted.
[<RequireQualifiedAccess>]
module internal Calls =
    let private chosen (xs: 'a voption[]) =
        xs
        |> Array.choose (fun x ->
            match x with
            | ValueSome v -> Some v
            | ValueNone -> None)

    let private wherever (flags: bool[]) (xs: 'a[]) = Array.zip flags xs |> Array.filter fst |> Array.map snd

    /// Results for the wanted operands, in order, put where they belong.
    let private scatter (wanted: bool[]) (results: Tensor[]) =
        let mutable next = -1
        wanted
        |> Array.map (fun w ->
            if w then
                (next <- next + 1
                 ValueSome results[next])
            else
                ValueNone)

    // ------------------------------------------------------------------------------------------------ order

    /// Each cotangent goes back to where its value came from.
    let private unsort (x: Tensor) axis (indices: Tensor) (c: Tensor) =
        let order = Array.append (Array.removeAt axis [| 0 .. x.Rank - 1 |]) [| axis |]
        let batch = x.Rank - 1
        let wide = DType.arithmetic x.DType
        let empty = Calculus.fill wide (order |> Array.map (fun a -> x.Shape[a])) 0.0
        Op.scatterAdd batch batch empty (Op.permute order indices) (Op.cast wide (Op.permute order c))
        |> Op.permute (Calculus.inverse order)
        |> Op.cast x.DType

    // ------------------------------------------------------------------------------------------------ functions

    /// From operands and cotangents of a body to the cotangents of the wanted operands: forward and backward in one
    /// function.
    let private backward (vjp: Vjp) (l: Lambda) (wanted: bool[]) (cotangents: Tensor voption[]) =
        let parameters = Lambda.parameters l
        let given = chosen cotangents |> Array.mapi (fun i c -> Op.parameter (parameters.Length + i) c.DType c.Shape)
        let outputs = l.Results |> wherever (cotangents |> Array.map (fun c -> c.IsSome))
        let results = vjp outputs given (wherever wanted parameters)
        Lambda.make (Array.append l.Params (given |> Array.map (fun c -> c.DType, c.Shape))) results

    let private custom (vjp: Vjp) (f: Custom) (t: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) =
        match f.Gradient with
        | None ->
            (match AttentionCall.gradient f t wanted cotangents with
             | ValueSome found -> found
             | ValueNone ->
                 Lambda.apply (backward vjp f.Body wanted cotangents) (Array.append t.Inputs (chosen cotangents))
                 |> scatter wanted)
        | Some gradient ->
            let full =
                Array.map2
                    (fun r c ->
                        match c with
                        | ValueSome c -> c
                        | ValueNone -> Calculus.zeros r)
                    f.Body.Results
                    cotangents
            let results = Lambda.apply gradient (Array.append t.Inputs full)
            Array.map2 (fun w g -> if w then ValueSome g else ValueNone) wanted results

    /// The inside is computed again. A loop of one step keeps the copy apart from the original, whose values it would find by
    /// their hashes, and waits for the cotangents; in it is again a checkpoint, for gradients of gradients.
    let private checkpoint (vjp: Vjp) (l: Lambda) (t: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) =
        let operands = Array.append t.Inputs (chosen cotangents)
        let again = backward vjp l wanted cotangents
        let once =
            { Body = Lambda.make again.Params (Op.checkpoint again (Lambda.parameters again))
              Captured = operands.Length
              Carried = 0
              Length = 1
              Reverse = false }
        Op.scan once operands |> Array.map (fun r -> Op.reshape r.Shape[1..] r) |> scatter wanted

    // ------------------------------------------------------------------------------------------------ the table

    /// The cotangents of the wanted operands of a node with several results, from those of its results.
    let operands (vjp: Vjp) (t: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) : Tensor voption[] =
        let first f =
            match cotangents[0] with
            | ValueSome c -> [| ValueSome(f c) |]
            | ValueNone -> [| ValueNone |]
        match t.Op with
        | Op.Sort(axis, descending) -> first (unsort t.Inputs[0] axis (snd (Op.sort axis descending t.Inputs[0])))
        | Op.TopK k -> first (unsort t.Inputs[0] (t.Inputs[0].Rank - 1) (snd (Op.topK k t.Inputs[0])))
        | Op.Scan s -> ScanGradient.operands vjp s t wanted cotangents
        | Op.Custom f -> custom vjp f t wanted cotangents
        | Op.Checkpoint l -> checkpoint vjp l t wanted cotangents
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
        | Op.Movement _
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Dot _
        | Op.Conv _
        | Op.Indexing _
        | Op.Item _ -> Array.create t.Inputs.Length ValueNone // see Calculus.operand

    /// True of the primitives whose rule is here: their results are read by Item.
    let isCall (t: Tensor) =
        match t.Op with
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _ -> true
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
        | Op.Movement _
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Dot _
        | Op.Conv _
        | Op.Indexing _
        | Op.Item _ -> false
