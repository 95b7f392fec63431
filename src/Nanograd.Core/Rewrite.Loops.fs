namespace Nanograd

open System
open System.Collections.Generic

/// Laws of loops. They look at a whole loop and at who reads its results, so they are passes over the graph, not rules.
/// Every result keeps its bits: what moves out of a loop is computed in the same order outside.
[<RequireQualifiedAccess>]
module internal LoopRules =
    let private names =
        {| Merge = "loop-merge: loops over the same operands with the same carries = one loop"
           Dead = "loop-dead: what no result needs leaves the loop"
           Still = "loop-still: a carry that never changes = a captured value"
           Slice = "loop-slice: the stack of a scanned slice = what is scanned"
           Last = "loop-last: a carry that is stacked ends as the last row"
           View = "loop-view: a stretched operand is stretched inside"
           Early = "loop-early: what needs no carry is computed before the loop, for all steps at once"
           Late = "loop-late: what no carry needs is computed after the loop, for all steps at once" |}

    /// What a loop's results become: given the loop, its operands and which results are read; null where not.
    type private Rewriting = (string -> unit) -> Scan -> Tensor[] -> bool[] -> Tensor[]

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
    let private overLoops (note: Note) (replace: Rewriting) (roots: Tensor[]) : Tensor[] =
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
    let private repeated (length: int) (x: Tensor) = Op.broadcast (Array.append [| length |] x.Shape) x

    let private parameters (s: Scan) = s.Body.Params |> Array.mapi (fun i (d, e) -> Op.parameter i d e)

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

    // ------------------------------------------------------------------------------------------------ all steps at once

    /// An expression of a body outside the loop: one value, or one for every step, along a new first axis.
    [<RequireQualifiedAccess; NoComparison>]
    type private Lifted =
        | Once of Tensor
        | Stack of Tensor

    let private later = Array.map ((+) 1)

    /// A primitive over a new first axis; none where there is no such form. The order of every sum stays.
    let private lift (length: int) (t: Tensor) (xs: Lifted[]) : Tensor voption =
        let stack i =
            match xs[i] with
            | Lifted.Stack x -> x
            | Lifted.Once x -> repeated length x
        let shape = Array.append [| length |] t.Shape
        let elementwise () = ValueSome(Tensor(t.Op, Array.init xs.Length stack, t.DType, shape))
        match t.Op with
        | _ when int64 length * int64 t.Count > int64 Int32.MaxValue -> ValueNone
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast -> elementwise ()
        | Op.Movement m ->
            match m, xs with
            | Movement.Reshape, _ -> ValueSome(Op.reshape shape (stack 0))
            | Movement.Permute p, _ -> ValueSome(Op.permute (Array.append [| 0 |] (later p)) (stack 0))
            | Movement.Broadcast, _ -> ValueSome(Op.broadcast shape (stack 0))
            | Movement.Slice(starts, steps), _ ->
                ValueSome(sliceOf (Array.append [| 0 |] starts) (Array.append [| 1 |] steps) shape (stack 0))
            | Movement.Pad(low, high, interior), [| _; Lifted.Once value |] ->
                let front = Array.append [| 0 |]
                ValueSome(Op.pad (front low) (front high) (front interior) value (stack 0))
            | Movement.Pad _, _ -> ValueNone
            | Movement.Reverse axes, _ -> ValueSome(Op.reverse (later axes) (stack 0))
            | Movement.Concat axis, _ -> ValueSome(Op.concat (axis + 1) (Array.init xs.Length stack))
            | Movement.Unfold w, _ -> ValueSome(Op.unfold { w with Axis = w.Axis + 1 } (stack 0))
            | Movement.Fold(w, n), _ -> ValueSome(Op.fold { w with Axis = w.Axis + 1 } n (stack 0))
        | Op.Reduce(r, axes) -> ValueSome(Op.reduce r (later axes) (stack 0))
        | Op.Dot d ->
            match xs with
            | [| Lifted.Stack x; Lifted.Once y |] when d.LeftBatch.Length = 0 ->
                ValueSome(Op.dot { d with LeftSum = later d.LeftSum } x y)
            | _ ->
                let batch axes = Array.append [| 0 |] (later axes)
                let outer =
                    { LeftBatch = batch d.LeftBatch
                      RightBatch = batch d.RightBatch
                      LeftSum = later d.LeftSum
                      RightSum = later d.RightSum }
                ValueSome(Op.dot outer (stack 0) (stack 1))
        | Op.Indexing(Indexing.Gather(axis, batch)) ->
            match xs with
            | [| Lifted.Once x; Lifted.Stack picks |] when batch = 0 && axis = 0 -> ValueSome(Op.gather 0 0 x picks)
            | _ -> ValueSome(Op.gather (axis + 1) (batch + 1) (stack 0) (stack 1))
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.RandomBits
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Conv _
        | Op.Indexing _
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _
        | Op.Item _ -> ValueNone

    /// What is worth computing once for all steps: a large product instead of many small ones.
    let private isProduct (t: Tensor) =
        match t.Op with
        | Op.Dot d -> d.LeftSum.Length > 0
        | _ -> false

    /// What is worth computing once instead of in every step, beside products.
    let private isWork (t: Tensor) =
        match t.Op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.Movement _ -> false
        | _ -> true

    /// What is computed for all steps at once may be so many times larger than what it is made of.
    let private growth = 16L

    /// A loop's body, and what of it can be outside of the loop.
    type private Body(s: Scan, operands: Tensor[]) =
        let known = Dictionary<Hash, Lifted>()
        let heavy = HashSet<Hash>() // worth leaving the loop
        let feeds = Dictionary<Hash, int64>() // elements of the largest parameter below; of the largest slice, for stacks

        let isStack h =
            match known.TryGetValue h with
            | true, Lifted.Stack _ -> true
            | _ -> false

        let note (t: Tensor) (lifted: Lifted) (isOwnWork: bool) =
            let isAlike (i: Tensor) =
                match lifted with
                | Lifted.Stack _ -> isStack i.Hash
                | Lifted.Once _ -> true
            let below = t.Inputs |> Array.filter isAlike
            let fed = below |> Array.fold (fun n i -> max n feeds[i.Hash]) 0L
            let isSmall = int64 t.Count <= growth * fed
            let isStacked =
                match lifted with
                | Lifted.Stack _ -> true
                | Lifted.Once _ -> false
            if isSmall || not isStacked then
                known[t.Hash] <- lifted
                feeds[t.Hash] <- fed
                if
                    isSmall && fed > 0L && (isOwnWork || Array.exists (fun (i: Tensor) -> heavy.Contains i.Hash) below)
                then
                    heavy.Add t.Hash |> ignore

        let parameter (t: Tensor) (lifted: Lifted) =
            known[t.Hash] <- lifted
            feeds[t.Hash] <- int64 t.Count

        do
            for t in Graph.topological s.Body.Results do
                match t.Op with
                | Op.Parameter i when i < s.Captured -> parameter t (Lifted.Once operands[i])
                | Op.Parameter i when i >= s.Captured + s.Carried -> parameter t (Lifted.Stack operands[i])
                | Op.Parameter _ -> ()
                | _ when t.Inputs |> Array.forall (fun i -> known.ContainsKey i.Hash) ->
                    let xs = t.Inputs |> Array.map (fun i -> known[i.Hash])
                    let alone =
                        xs
                        |> Array.choose (fun x ->
                            match x with
                            | Lifted.Once x -> Some x
                            | Lifted.Stack _ -> None)
                    if alone.Length = xs.Length then
                        note t (Lifted.Once(Op.rebuild t alone)) (isWork t)
                    else
                        match lift s.Length t xs with
                        | ValueSome x -> note t (Lifted.Stack x) (isProduct t)
                        | ValueNone -> ()
                | _ -> ()

        /// The same value outside the loop, if it depends on no carry.
        member _.Outside(t: Tensor) =
            match known.TryGetValue t.Hash with
            | true, x -> ValueSome x
            | _ -> ValueNone

        member _.IsHeavy(t: Tensor) = heavy.Contains t.Hash

    /// Where a value is taken from outside: below what only moves elements, which costs nothing inside.
    let rec private point (b: Body) (t: Tensor) =
        match t.Op with
        | Op.Movement _ when t.Inputs.Length = 1 && b.IsHeavy t.Inputs[0] -> point b t.Inputs[0]
        | _ -> t

    /// The largest parts of `results` that are worth computing before the loop.
    let private earlyParts (b: Body) (results: Tensor[]) : Tensor[] =
        let parts, seen, stack = List<Tensor>(), HashSet<Hash>(), Stack<Tensor>(results)
        while stack.Count > 0 do
            let t = stack.Pop()
            if seen.Add t.Hash then
                if b.IsHeavy t then
                    let p = point b t
                    if not (parts.Contains p) then parts.Add p
                else
                    for i in t.Inputs do
                        stack.Push i
        parts.ToArray()

    /// The loop of `results`, with `parts` handed in from outside.
    let private withOperands (s: Scan) (operands: Tensor[]) (b: Body) (parts: Tensor[]) (results: Tensor[]) : Tensor[] =
        let values choose =
            parts
            |> Array.choose (fun t ->
                match b.Outside t with
                | ValueSome x -> choose x |> Option.map (fun x -> t, x)
                | ValueNone -> None)
        let once =
            values (fun x ->
                match x with
                | Lifted.Once x -> Some x
                | Lifted.Stack _ -> None)
        let stacks =
            values (fun x ->
                match x with
                | Lifted.Stack x -> Some x
                | Lifted.Once _ -> None)
        let old = parameters s
        let inside = Dictionary<Hash, Tensor>()
        let place (t: Tensor) index = inside[t.Hash] <- Op.parameter index t.DType t.Shape
        old |> Array.iteri (fun i p -> place p (if i < s.Captured then i else i + once.Length))
        once |> Array.iteri (fun k (t, _) -> place t (s.Captured + k))
        stacks |> Array.iteri (fun k (t, _) -> place t (old.Length + once.Length + k))
        let types = Array.map (fun (t: Tensor, _) -> t.DType, t.Shape)
        let around xs first last = Array.concat [ Array.truncate s.Captured xs; first; Array.skip s.Captured xs; last ]
        let body = Lambda.make (around s.Body.Params (types once) (types stacks)) (Substitute.apply inside results)
        Op.scan
            { s with Body = body; Captured = s.Captured + once.Length }
            (around operands (Array.map snd once) (Array.map snd stacks))

    /// Computes before the loop what depends on no carry: outputs altogether, products of what is scanned, and what is the same in
    /// every step. The loop then reads the results.
    let private earlyLoop (count: string -> unit) (s: Scan) (operands: Tensor[]) : Tensor[] =
        let b = Body(s, operands)
        let outside i r =
            if i < s.Carried then
                ValueNone
            else
                match b.Outside r with
                | ValueSome(Lifted.Stack x) -> ValueSome x
                | ValueSome(Lifted.Once x) -> ValueSome(repeated s.Length x)
                | ValueNone -> ValueNone
        let outputs = s.Body.Results |> Array.mapi outside
        let inLoop = [| 0 .. outputs.Length - 1 |] |> Array.filter (fun i -> outputs[i].IsNone)
        let results = inLoop |> Array.map (fun i -> s.Body.Results[i])
        let parts = earlyParts b results
        if parts.Length = 0 && inLoop.Length = outputs.Length then
            Op.scan s operands
        else
            count names.Early
            let loop = if inLoop.Length = 0 then [||] else withOperands s operands b parts results
            outputs
            |> Array.mapi (fun i o ->
                match o with
                | ValueSome x -> x
                | ValueNone -> loop[Array.IndexOf(inLoop, i)])

    /// How an output can be made after the loop: an expression of the loop's operands and of stacks of values of its body.
    [<NoComparison>]
    type private Late = { Value: Tensor; Stacks: (Tensor * Tensor)[]; Outer: (Tensor * Tensor)[] }

    let private late (s: Scan) (operands: Tensor[]) (isCore: Tensor -> bool) (isStacked: Tensor -> bool) (r: Tensor) =
        let known = Dictionary<Hash, Lifted>()
        let stacks, outer = List<Tensor * Tensor>(), List<Tensor * Tensor>() // stand-ins
        let standIn (list: List<Tensor * Tensor>) (key: Tensor) shape =
            let v = Op.input "late" key.DType shape
            list.Add((key, v))
            v
        let stacked (t: Tensor) = known[t.Hash] <- Lifted.Stack(standIn stacks t (Array.append [| s.Length |] t.Shape))
        for t in Graph.topological [ r ] do
            match t.Op with
            | Op.Parameter i when i < s.Captured -> known[t.Hash] <- Lifted.Once(standIn outer operands[i] t.Shape)
            | Op.Parameter i when i >= s.Captured + s.Carried ->
                known[t.Hash] <- Lifted.Stack(standIn outer operands[i] operands[i].Shape)
            | Op.Parameter _ -> stacked t
            | _ ->
                let xs = t.Inputs |> Array.map (fun i -> known[i.Hash])
                let alone =
                    xs
                    |> Array.choose (fun x ->
                        match x with
                        | Lifted.Once x -> Some x
                        | Lifted.Stack _ -> None)
                if alone.Length = xs.Length then
                    known[t.Hash] <- Lifted.Once(Op.rebuild t alone)
                elif isCore t then
                    stacked t
                else
                    match lift s.Length t xs with
                    | ValueSome x -> known[t.Hash] <- Lifted.Stack x
                    | ValueNone -> stacked t
        match known[r.Hash] with
        | Lifted.Once _ -> ValueNone
        | Lifted.Stack value ->
            let region = Graph.topological [ value ]
            let used = HashSet<Hash>(region |> Seq.map (fun t -> t.Hash))
            let needed = stacks |> Seq.filter (fun (_, v) -> used.Contains v.Hash) |> Seq.toArray
            let count (ts: seq<Tensor>) = ts |> Seq.sumBy (fun t -> int64 t.Count)
            let extra = needed |> Seq.map fst |> Seq.filter (isStacked >> not) |> count
            let largest = region |> Seq.filter isProduct |> Seq.fold (fun n t -> max n (int64 t.Count)) 0L
            let made = int64 s.Length * max (int64 r.Count) (count (Seq.map fst needed))
            if
                needed.Length > 0 && Array.exists isProduct region && extra <= int64 r.Count && largest <= growth * made
            then
                ValueSome { Value = value; Stacks = needed; Outer = outer.ToArray() }
            else
                ValueNone

    /// Computes after the loop outputs that are products of what it stacks anyway (or of less than they are themselves).
    let private lateLoop (count: string -> unit) (s: Scan) (operands: Tensor[]) : Tensor[] =
        let carries, outputs = Array.splitAt s.Carried s.Body.Results
        let core = HashSet<Hash>(Graph.topological carries |> Seq.map (fun t -> t.Hash))
        let isCore (t: Tensor) = core.Contains t.Hash
        let isStacked t = isCore t && Array.contains t outputs
        let plans = outputs |> Array.map (fun r -> if isCore r then ValueNone else late s operands isCore isStacked r)
        if Array.forall (fun (p: Late voption) -> p.IsNone) plans then
            Op.scan s operands
        else
            count names.Late
            let needed =
                Array.map2
                    (fun r (p: Late voption) ->
                        match p with
                        | ValueSome p -> Array.map fst p.Stacks
                        | ValueNone -> [| r |])
                    outputs
                    plans
                |> Array.concat
                |> Array.distinct
            let loop = Op.scan { s with Body = Lambda.make s.Body.Params (Array.append carries needed) } operands
            let stackOf t = loop[s.Carried + Array.IndexOf(needed, t)]
            let output r (plan: Late voption) =
                match plan with
                | ValueNone -> stackOf r
                | ValueSome p ->
                    let inPlace = Dictionary<Hash, Tensor>()
                    for o, v in p.Outer do
                        inPlace[v.Hash] <- o
                    for t, v in p.Stacks do
                        inPlace[v.Hash] <- stackOf t
                    (Substitute.apply inPlace [| p.Value |])[0]
            Array.append loop[.. s.Carried - 1] (Array.map2 output outputs plans)

    /// Moves work out of loops, so that it is done for all steps at once. A loop of one step stays as it is: it marks what is to be
    /// computed in its own time (see the gradient of checkpoints).
    let split (note: Note) (roots: Tensor[]) : Tensor[] =
        let each move : Rewriting =
            fun count s operands _ -> if s.Length < 2 then Op.scan s operands else move count s operands
        roots |> overLoops note (each earlyLoop) |> overLoops note (each lateLoop)
