namespace Nanograd

open System.Collections.Generic

/// Reverse mode, as the rules of calls need it for their bodies: outputs, their cotangents, variables; zeros where
/// nothing flows.
type internal Vjp = Tensor[] -> Tensor[] -> Tensor[] -> Tensor[]

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

    let private parametersOf (l: Lambda) = l.Params |> Array.mapi (fun i (d, s) -> Op.parameter i d s)

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
        let parameters = parametersOf l
        let given = chosen cotangents |> Array.mapi (fun i c -> Op.parameter (parameters.Length + i) c.DType c.Shape)
        let outputs = l.Results |> wherever (cotangents |> Array.map (fun c -> c.IsSome))
        let results = vjp outputs given (wherever wanted parameters)
        Lambda.make (Array.append l.Params (given |> Array.map (fun c -> c.DType, c.Shape))) results

    let private custom (vjp: Vjp) (f: Custom) (t: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) =
        match f.Gradient with
        | None ->
            Lambda.apply (backward vjp f.Body wanted cotangents) (Array.append t.Inputs (chosen cotangents))
            |> scatter wanted
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

    // ------------------------------------------------------------------------------------------------ loops

    /// The parameters of a loop's body through which something wanted reaches its results: wanted operands, and the
    /// carries they feed.
    let private active (s: Scan) (wanted: bool[]) =
        let flags = Array.copy wanted
        let order = Graph.topological s.Body.Results
        let mutable grew = true
        while grew do
            grew <- false
            let reached = HashSet<Hash>()
            for t in order do
                let isReached =
                    match t.Op with
                    | Op.Parameter i -> flags[i]
                    | _ -> Array.exists (fun (i: Tensor) -> reached.Contains i.Hash) t.Inputs
                if isReached then reached.Add t.Hash |> ignore
            for i in 0 .. s.Carried - 1 do
                let r = s.Body.Results[i]
                if not flags[s.Captured + i] && DType.isFloat r.DType && reached.Contains r.Hash then
                    flags[s.Captured + i] <- true
                    grew <- true
        flags

    /// Values worth keeping from the forward loop; everything else is cheap enough to be computed again.
    let private isWorthKeeping (t: Tensor) =
        match t.Op with
        | Op.Dot _
        | Op.Conv _
        | Op.Item _
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Indexing _ -> true
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
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _ -> false

    /// A cotangent that a loop would add up over its steps, as one operation after the loop: per-step values to stack,
    /// and what to do with the stacks. A sum over steps of products of matrices is one product with the steps among the
    /// summed axes.
    let rec private afterLoop (length: int) (g: Tensor) : (Tensor list * (Tensor list -> Tensor)) option =
        let later = Array.map ((+) 1)
        match g.Op with
        | Op.Dot d ->
            let outer =
                { LeftBatch = later d.LeftBatch
                  RightBatch = later d.RightBatch
                  LeftSum = Array.append [| 0 |] (later d.LeftSum)
                  RightSum = Array.append [| 0 |] (later d.RightSum) }
            Some([ g.Inputs[0]; g.Inputs[1] ], (fun stacks -> Op.dot outer stacks[0] stacks[1]))
        | Op.Reduce(Reduction.Sum, axes) ->
            let x = g.Inputs[0]
            Some([ x ], (fun stacks -> Op.reduce Reduction.Sum (Array.append [| 0 |] (later axes)) stacks[0]))
        | Op.Movement(Movement.Permute p) ->
            afterLoop length g.Inputs[0] |> Option.map (fun (parts, finish) -> parts, finish >> Op.permute p)
        | Op.Movement Movement.Reshape ->
            afterLoop length g.Inputs[0] |> Option.map (fun (parts, finish) -> parts, finish >> Op.reshape g.Shape)
        | Op.Binary Binary.Add ->
            match afterLoop length g.Inputs[0], afterLoop length g.Inputs[1] with
            | Some(xs, fx), Some(ys, fy) ->
                Some(xs @ ys, (fun stacks -> let x, y = List.splitAt xs.Length stacks in fx x + fy y))
            | _ -> None
        | _ ->
            if Calculus.uniform g = ValueSome(Constant.ofFloat g.DType 0.0) then
                Some([], (fun _ -> Calculus.zeros g))
            else
                None

    /// The cut: from the results of a backward step down to values of the forward step, which are kept or computed
    /// again. What does not vary from step to step is neither: it is captured.
    let private cut (captured: int) (variables: seq<Tensor>) (results: Tensor[]) : Tensor[] =
        let backwardNodes, varying = HashSet<Hash>(variables |> Seq.map (fun v -> v.Hash)), HashSet<Hash>()
        let order = Graph.topological results
        for n in order do
            let has (set: HashSet<Hash>) = Array.exists (fun (i: Tensor) -> set.Contains i.Hash) n.Inputs
            if has backwardNodes then backwardNodes.Add n.Hash |> ignore
            match n.Op with
            | Op.Parameter i -> if i >= captured then varying.Add n.Hash |> ignore
            | _ -> if has varying then varying.Add n.Hash |> ignore
        let kept, needed = List<Tensor>(), HashSet<Hash>(results |> Seq.map (fun r -> r.Hash))
        for n in Array.rev order do
            if needed.Contains n.Hash then
                let isParameter =
                    match n.Op with
                    | Op.Parameter _ -> true
                    | _ -> false
                let isForward = varying.Contains n.Hash && not (backwardNodes.Contains n.Hash)
                if isForward && (isParameter || isWorthKeeping n) then
                    kept.Add n
                else
                    for i in n.Inputs do
                        needed.Add i.Hash |> ignore
        kept.ToArray()

    /// Backwards through a loop: a loop in the other direction that carries the cotangents of the carries. What the
    /// backward step needs of the forward step (carries, products, reductions) is stacked by a forward loop with more
    /// outputs; it has the operands and the carries of the original, so that Rewrite makes one loop of the two.
    let private scan (vjp: Vjp) (s: Scan) (t: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) =
        let captured, carried = s.Captured, s.Carried
        let isCarry i = i >= captured && i < captured + carried
        let parameters = parametersOf s.Body
        let flags = active s wanted
        let targets =
            [| for i in 0 .. parameters.Length - 1 do
                   if flags[i] then i |]
        // One step backwards, on fresh variables for the cotangents of carries and outputs.
        let fresh name (r: Tensor) = Op.input name r.DType r.Shape
        let carries = targets |> Array.filter isCarry
        let carryIn = carries |> Array.map (fun i -> fresh "dc" parameters[i])
        let outputs =
            [| for i in carried .. cotangents.Length - 1 do
                   if cotangents[i].IsSome then i |]
        let outputIn = outputs |> Array.map (fun i -> fresh "dy" s.Body.Results[i])
        let stepOutputs =
            Array.append
                (carries |> Array.map (fun i -> s.Body.Results[i - captured]))
                (outputs |> Array.map (fun i -> s.Body.Results[i]))
        let gradients = vjp stepOutputs (Array.append carryIn outputIn) (targets |> Array.map (fun i -> parameters[i]))
        let gradientOf = Dictionary<int, Tensor>(Array.map2 (fun i g -> KeyValuePair(i, g)) targets gradients)
        // Captured operands: added up after the loop where possible, else in a carry.
        let isWanted =
            [| for i in 0 .. captured - 1 do
                   if wanted[i] then i |]
        let plans = isWanted |> Array.map (fun i -> i, afterLoop s.Length gradientOf[i])
        let summed = plans |> Array.choose (fun (i, plan) -> if plan.IsNone then Some i else None)
        let totals = summed |> Array.map (fun i -> fresh "total" parameters[i])
        let stacked =
            plans
            |> Array.collect (fun (_, plan) ->
                match plan with
                | Some(parts, _) -> List.toArray parts
                | None -> [||])
            |> Array.distinct
        let scanned = targets |> Array.filter (fun i -> i >= captured + carried)
        let backCarries =
            Array.append
                (carries |> Array.map (fun i -> gradientOf[i]))
                (Array.map2 (fun (a: Tensor) i -> a + gradientOf[i]) totals summed)
        let results = Array.concat [ backCarries; scanned |> Array.map (fun i -> gradientOf[i]); stacked ]
        let kept = cut captured (Seq.concat [ carryIn; outputIn; totals ]) results
        // Forward again, with the kept values as outputs; scanned parameters are stacks already.
        let isScanned (n: Tensor) =
            match n.Op with
            | Op.Parameter i -> i >= captured + carried
            | _ -> false
        let residuals = kept |> Array.filter (isScanned >> not)
        let forward =
            if residuals.Length = 0 then
                [||]
            else
                let body = Lambda.make s.Body.Params (Array.append s.Body.Results residuals)
                (Op.scan { s with Body = body } t.Inputs)[s.Body.Results.Length ..]
        let residualOf =
            Dictionary<Hash, Tensor>(
                Array.map2 (fun (r: Tensor) stack -> KeyValuePair(r.Hash, stack)) residuals forward
            )
        let stackOf (n: Tensor) =
            match n.Op with
            | Op.Parameter i when isScanned n -> t.Inputs[i]
            | _ -> residualOf[n.Hash]
        let keptIn = kept |> Array.map (fresh "r")
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (n: Tensor) v -> replacements[n.Hash] <- v) kept keptIn
        for i in 0 .. captured - 1 do
            replacements[parameters[i].Hash] <- t.Inputs[i]
        // Stacked parts that are kept values or cotangents themselves are read where they already are.
        let stackedAt = Dictionary<Hash, Tensor>()
        let cotangent i =
            match cotangents[i] with
            | ValueSome c -> c
            | ValueNone -> Calculus.zeros s.Body.Results[i]
        for n in kept do
            stackedAt[n.Hash] <- stackOf n
        Array.iter2 (fun (v: Tensor) i -> stackedAt[v.Hash] <- cotangent i) outputIn outputs
        let computed = stacked |> Array.filter (fun n -> not (stackedAt.ContainsKey n.Hash))
        let step = Substitute.apply replacements (Array.append results[.. results.Length - stacked.Length - 1] computed)
        // The loop: only the slices that the step still reads are scanned.
        let read = HashSet<Hash>(Graph.topological step |> Seq.map (fun n -> n.Hash))
        let slices =
            Array.append
                (Array.map2 (fun v n -> v, stackOf n) keptIn kept)
                (Array.map2 (fun v i -> v, cotangent i) outputIn outputs)
            |> Array.filter (fun (v: Tensor, _) -> read.Contains v.Hash)
        let body, outer = Lambda.close (Array.concat [ carryIn; totals; Array.map fst slices ]) step
        let starts =
            Array.append (carries |> Array.map (fun i -> cotangent (i - captured))) (Array.map Calculus.zeros totals)
        let loop =
            { Body = body
              Captured = outer.Length
              Carried = backCarries.Length
              Length = s.Length
              Reverse = not s.Reverse }
        let out = if step.Length = 0 then [||] else Op.scan loop (Array.concat [ outer; starts; Array.map snd slices ])
        computed |> Array.iteri (fun k n -> stackedAt[n.Hash] <- out[backCarries.Length + scanned.Length + k])
        let result = Array.create t.Inputs.Length ValueNone
        carries |> Array.iteri (fun k i -> if wanted[i] then result[i] <- ValueSome out[k])
        summed |> Array.iteri (fun k i -> result[i] <- ValueSome out[carries.Length + k])
        scanned |> Array.iteri (fun k i -> result[i] <- ValueSome out[backCarries.Length + k])
        for i, plan in plans do
            match plan with
            | Some(parts, finish) -> result[i] <- ValueSome(finish (parts |> List.map (fun p -> stackedAt[p.Hash])))
            | None -> ()
        result

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
        | Op.Scan s -> scan vjp s t wanted cotangents
        | Op.Custom f -> custom vjp f t wanted cotangents
        | Op.Checkpoint l ->
            Op.checkpoint (backward vjp l wanted cotangents) (Array.append t.Inputs (chosen cotangents))
            |> scatter wanted
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
