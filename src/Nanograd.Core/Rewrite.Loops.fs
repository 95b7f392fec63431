namespace Nanograd

open System
open System.Collections.Generic

/// Laws of loops. They look at a whole loop and at who reads its results, so they are passes over the graph, not rules.
/// Every result keeps its bits: what moves out of a loop is computed in the same order outside.
module internal LoopRules =
    let names =
        {| Merge = "loop-merge: loops over the same operands with the same carries = one loop"
           Dead = "loop-dead: what no result needs leaves the loop"
           Still = "loop-still: a carry that never changes = a captured value"
           Slice = "loop-slice: the stack of a scanned slice = what is scanned"
           Last = "loop-last: a carry that is stacked ends as the last row"
           View = "loop-view: a stretched operand is stretched inside"
           Early = "loop-early: what needs no carry is computed before the loop, for all steps at once"
           Late = "loop-late: what no carry needs is computed after the loop, for all steps at once" |}

    /// What a loop's results become: given the loop, its operands and which results are read; null where not.
    type Rewriting = (string -> unit) -> Scan -> Tensor[] -> bool[] -> Tensor[]

    /// What is told of each law that fired: its name, a result before and after.
    type Note = string -> Tensor -> Tensor -> unit

    /// For those who do not want to know.
    let silent: Note = fun _ _ _ -> ()

    /// What two loops must share to be one: operands, extents and the way their carries go.
    let private loopKey (t: Tensor) (s: Scan) =
        let h = Hash.Zero.Add [| s.Captured; s.Carried; s.Length; (if s.Reverse then 1 else 0) |]
        let h = t.Inputs |> Array.fold (fun (h: Hash) i -> h.Add i.Hash) h
        s.Body.Results[.. s.Carried - 1] |> Array.fold (fun (h: Hash) r -> h.Add r.Hash) h

    /// Loops that become one, with the outputs of all that are read, each once.
    type private Group(s: Scan) =
        let outputs = List<Tensor>()
        let carriesRead = Array.create s.Carried false
        member val Members = 0 with get, set
        member val Results: Tensor[] = null with get, set
        member _.Read(s: Scan, i: int) =
            if i < s.Carried then carriesRead[i] <- true
            elif not (outputs.Contains s.Body.Results[i]) then outputs.Add s.Body.Results[i]
        member _.Scan =
            let results = Array.append s.Body.Results[.. s.Carried - 1] (outputs.ToArray())
            if results = s.Body.Results then s else { s with Body = Lambda.make s.Body.Params results }
        member g.Carried = carriesRead
        member _.Index(s: Scan, i: int) = if i < s.Carried then i else s.Carried + outputs.IndexOf s.Body.Results[i]

    /// Rebuilds a graph, operands first, with the results of every group of loops made by `replace`.
    let overLoops (note: Note) (replace: Rewriting) (roots: Tensor[]) : Tensor[] =
        let order = Graph.topological roots
        let groups, keys = Dictionary<Hash, Group>(), Dictionary<Hash, Hash>()
        for t in order do
            match t.Op with
            | Op.Scan s ->
                let key = loopKey t s
                keys[t.Hash] <- key
                if not (groups.ContainsKey key) then groups[key] <- Group s
                groups[key].Members <- groups[key].Members + 1
            | Op.Item i ->
                match t.Inputs[0].Op with
                | Op.Scan s -> groups[keys[t.Inputs[0].Hash]].Read(s, i)
                | _ -> ()
            | _ -> ()
        if groups.Count = 0 then
            roots
        else
            let rebuilt = Dictionary<Hash, Tensor>()
            let fired = List<string>()
            let result (call: Tensor) (s: Scan) i =
                let g = groups[keys[call.Hash]]
                if isNull g.Results then
                    let merged = g.Scan
                    if g.Members > 1 then fired.Add names.Merge
                    elif merged.Body.Results.Length < s.Body.Results.Length then fired.Add names.Dead
                    let read = Array.append g.Carried (Array.create (merged.Body.Results.Length - s.Carried) true)
                    g.Results <- replace fired.Add merged (call.Inputs |> Array.map (fun x -> rebuilt[x.Hash])) read
                g.Results[g.Index(s, i)]
            for t in order do
                match t.Op with
                | Op.Scan _ -> ()
                | Op.Item i ->
                    rebuilt[t.Hash] <-
                        (match t.Inputs[0].Op with
                         | Op.Scan s -> result t.Inputs[0] s i
                         | _ -> Op.rebuild t [| rebuilt[t.Inputs[0].Hash] |])
                    for law in Seq.distinct fired do
                        note law t rebuilt[t.Hash]
                    fired.Clear()
                | _ -> rebuilt[t.Hash] <- Op.rebuild t (t.Inputs |> Array.map (fun i -> rebuilt[i.Hash]))
            roots |> Array.map (fun r -> rebuilt[r.Hash])

    /// One value for every step.
    let repeated (length: int) (x: Tensor) = Op.broadcast (Array.append [| length |] x.Shape) x

    let parameters (s: Scan) = s.Body.Params |> Array.mapi (fun i (d, e) -> Op.parameter i d e)

    /// The parameters that occur in expressions.
    let private mentioned (count: int) (results: seq<Tensor>) : bool[] =
        let found = Array.create count false
        for t in Graph.topological results do
            match t.Op with
            | Op.Parameter i -> found[i] <- true
            | _ -> ()
        found

    // ------------------------------------------------------------------------------------------------ tidying

    /// The operand that is handed in instead, and what the parameter is inside then: constants and stretching move in.
    let private moveIn (operand: Tensor) : Tensor voption * (Tensor -> Tensor) =
        let rec follow (t: Tensor) chain stretched =
            match t.Op with
            | Op.Movement Movement.Broadcast -> follow t.Inputs[0] (t :: chain) true
            | Op.Movement Movement.Reshape -> follow t.Inputs[0] (t :: chain) stretched
            | _ -> t, chain, stretched
        let source, chain, stretched = follow operand [] false
        match source.Op with
        | Op.Const _ -> ValueNone, (fun _ -> operand)
        | _ when stretched -> ValueSome source, (fun p -> List.fold (fun x v -> Op.rebuild v [| x |]) p chain)
        | _ -> ValueSome operand, id

    /// The carries that the read results need; those that never change are none.
    let private liveCarries (s: Scan) (isStill: bool[]) (read: bool[]) : bool[] =
        let live = Array.init s.Carried (fun k -> read[k] && not isStill[k])
        let mutable grew = true
        while grew do
            let roots =
                s.Body.Results |> Seq.indexed |> Seq.filter (fun (i, _) -> if i < s.Carried then live[i] else read[i])
            let used = mentioned s.Body.Params.Length (Seq.map snd roots)
            grew <- false
            for k in 0 .. s.Carried - 1 do
                if used[s.Captured + k] && not live[k] && not isStill[k] then
                    live[k] <- true
                    grew <- true
        live

    /// The loop of the parts that are left: results (carries `live`, then `outputs`) over the operands that they need.
    let private rebuildLoop
        (count: string -> unit)
        (s: Scan)
        (operands: Tensor[])
        (isStill: bool[])
        (live: bool[])
        (outputs: Tensor[])
        : Tensor[] =
        let old = parameters s
        let carries = [| 0 .. s.Carried - 1 |] |> Array.filter (fun k -> live[k])
        let results = Array.append (carries |> Array.map (fun k -> s.Body.Results[k])) outputs
        let used = mentioned old.Length results
        let inside = Dictionary<Hash, Tensor>() // old parameters to what they are now
        let captured, scanned = List<Tensor>(), List<Tensor>()
        let number (list: List<Tensor>) (t: Tensor) =
            if not (list.Contains t) then list.Add t
            list.IndexOf t
        let isStillAt i = i >= s.Captured && i < s.Captured + s.Carried && isStill[i - s.Captured]
        let isCapturedAt i = i < s.Captured || isStillAt i
        let moved = operands |> Array.mapi (fun i o -> if isCapturedAt i then moveIn o else ValueSome o, id)
        moved
        |> Array.iteri (fun i (source, _) ->
            match source with
            | ValueSome o when used[i] ->
                if isCapturedAt i then number captured o |> ignore
                elif i >= s.Captured + s.Carried then number scanned o |> ignore
            | _ -> ())
        let parameter index (t: Tensor) shape = Op.parameter index t.DType shape
        old
        |> Array.iteri (fun i p ->
            if used[i] then
                let source, rebuild = moved[i]
                inside[p.Hash] <-
                    match source with
                    | ValueNone -> rebuild p
                    | ValueSome o when isCapturedAt i ->
                        if o <> operands[i] then count names.View
                        rebuild (parameter (captured.IndexOf o) o o.Shape)
                    | ValueSome o when i >= s.Captured + s.Carried ->
                        parameter (captured.Count + carries.Length + scanned.IndexOf o) o p.Shape
                    | ValueSome _ -> parameter (captured.Count + Array.IndexOf(carries, i - s.Captured)) p p.Shape)
        let body = Substitute.apply inside results
        let starts = carries |> Array.map (fun k -> operands[s.Captured + k])
        let inner (t: Tensor) = t.DType, t.Shape
        let types =
            Array.concat
                [ captured |> Seq.map inner |> Seq.toArray
                  starts |> Array.map inner
                  scanned |> Seq.map (fun t -> t.DType, t.Shape[1..]) |> Seq.toArray ]
        let isSame =
            body.Length = s.Body.Results.Length && Array.forall2 (fun (a: Tensor) b -> a = b) body s.Body.Results
        let lambda = if isSame && types = s.Body.Params then s.Body else Lambda.make types body
        if body.Length = 0 then
            [||]
        else
            Op.scan
                { s with Body = lambda; Captured = captured.Count; Carried = carries.Length }
                (Array.concat [ captured.ToArray(); starts; scanned.ToArray() ])

    /// A loop without what nobody needs, each part in its simplest role.
    let private tidyLoop: Rewriting =
        fun count s operands read ->
            let old = parameters s
            let isStill = Array.init s.Carried (fun k -> s.Body.Results[k] = old[s.Captured + k])
            let simple (r: Tensor) = // outputs that need no loop
                match r.Op with
                | Op.Parameter i when i >= s.Captured + s.Carried ->
                    count names.Slice
                    ValueSome operands[i]
                | Op.Parameter i when i < s.Captured || isStill[i - s.Captured] ->
                    ValueSome(repeated s.Length operands[i])
                | _ ->
                    match Calculus.uniform r with
                    | ValueSome c -> ValueSome(repeated s.Length (Op.broadcast r.Shape (Op.constant c)))
                    | ValueNone -> ValueNone
            let outputs = s.Body.Results[s.Carried ..] |> Array.map (fun r -> struct (r, simple r))
            let inLoop = outputs |> Array.choose (fun struct (r, o) -> if o.IsSome then None else Some r)
            let stackOf k = Array.IndexOf(inLoop, s.Body.Results[k])
            // A carry that is read where it is stacked need not be read as a carry.
            let carryRead = Array.init s.Carried (fun k -> read[k] && stackOf k < 0)
            let live =
                liveCarries s isStill (Array.append carryRead (outputs |> Array.map (fun struct (_, o) -> o.IsNone)))
            let loop = rebuildLoop count s operands isStill live inLoop
            let alive = [| 0 .. s.Carried - 1 |] |> Array.filter (fun k -> live[k])
            if alive.Length + Seq.length (Seq.filter id isStill) < s.Carried then count names.Dead
            let last (stack: Tensor) =
                let row = if s.Reverse then 0 else s.Length - 1
                let starts = Array.init stack.Rank (fun a -> if a = 0 then row else 0)
                let stops = Array.init stack.Rank (fun a -> if a = 0 then row + 1 else stack.Shape[a])
                Op.reshape stack.Shape[1..] (Op.slice starts stops (Array.create stack.Rank 1) stack)
            let carry k =
                if not read[k] then
                    null
                elif isStill[k] then
                    count names.Still
                    operands[s.Captured + k]
                elif stackOf k >= 0 then
                    count names.Last
                    last loop[alive.Length + stackOf k]
                else
                    loop[Array.IndexOf(alive, k)]
            let mutable next = alive.Length - 1
            let output struct (_, simple) =
                match simple with
                | ValueSome o -> o
                | ValueNone ->
                    next <- next + 1
                    loop[next]
            Array.append (Array.init s.Carried carry) (Array.map output outputs)

    /// Loops that can be one are one, and hold nothing that no result of the graph needs.
    let tidy (note: Note) (roots: Tensor[]) : Tensor[] =
        let each: Rewriting =
            fun count s operands read -> if s.Length = 0 then Op.scan s operands else tidyLoop count s operands read
        overLoops note each roots

    /// A loop whose large matrices lie as its products read them: those summed along their last axis are transposed once, before
    /// the loop, where each step would have packed them. No sum changes.
    let private arrangeLoop: Rewriting =
        fun _ s operands _ ->
            let old = parameters s
            let order = Graph.topological s.Body.Results
            let isSummedLast (p: Tensor) (user: Tensor) =
                match user.Op with
                | Op.Dot c ->
                    user.Inputs[0] <> p
                    && user.Inputs[1] = p
                    && c.RightBatch.Length = 0
                    && c.RightSum = [| 1 |]
                    && user.Inputs[0].Count > p.Shape[1] // vectors read a matrix along its rows
                | _ -> false
            let isTurned =
                old
                |> Array.mapi (fun i p ->
                    i < s.Captured
                    && s.Length >= 4
                    && p.Rank = 2
                    && (p.DType = DType.F32 || p.DType = DType.F64)
                    && p.Count * DType.size p.DType > 65536
                    && not (Array.contains p s.Body.Results)
                    && order |> Array.forall (fun t -> not (Array.contains p t.Inputs) || isSummedLast p t)
                    && order |> Array.exists (isSummedLast p))
            if not (Array.contains true isTurned) then
                Op.scan s operands
            else
                let turn (t: Tensor) = Op.permute [| 1; 0 |] t
                let inside = Dictionary<Hash, Tensor>()
                let types =
                    s.Body.Params
                    |> Array.mapi (fun i (dtype, shape) ->
                        let shape = if isTurned[i] then Array.rev shape else shape
                        if isTurned[i] then inside[old[i].Hash] <- turn (Op.parameter i dtype shape)
                        dtype, shape)
                let body = Lambda.make types (Substitute.apply inside s.Body.Results)
                Op.scan { s with Body = body } (operands |> Array.mapi (fun i o -> if isTurned[i] then turn o else o))

    /// For the back ends, after `tidy`: captured matrices that are laid out for the products of the loop.
    let arrange (roots: Tensor[]) : Tensor[] = overLoops silent arrangeLoop roots
