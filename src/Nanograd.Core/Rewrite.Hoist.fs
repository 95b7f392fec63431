namespace Nanograd

open System
open System.Collections.Generic
open LoopRules

/// Laws that move work out of loops, so that it is done for all steps at once: products of what is scanned before the loop, products of
/// what is stacked after it. Passes, as the other laws of loops; every result keeps its bits.
[<RequireQualifiedAccess>]
module internal HoistRules =
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
