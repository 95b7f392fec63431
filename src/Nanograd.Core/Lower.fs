namespace Nanograd

open System
open System.Collections.Generic
/// Expressions to loop nests: what every primitive becomes.
[<RequireQualifiedAccess>]
module Lower =
    // ---- preparing the graph: calls inlined, reductions in the two forms that nests have

    /// Windows that do not overlap go back side by side: nothing is added up, but +0 to each element.
    let private sideBySide (t: Tensor) (w: Window) (length: int) : Tensor =
        let x, axis = t.Inputs[0], w.Axis
        let last = x.Rank - 1
        let zero = Op.constant (Constant.ofInt t.DType 0L)
        let only a v = Array.init x.Rank (fun i -> if i = a then v else 0)
        let fitted (axis: int) (length: int) (y: Tensor) =
            let none = Array.zeroCreate y.Rank
            let high = Array.init y.Rank (fun i -> if i = axis then max 0 (length - y.Shape[i]) else 0)
            let padded = Op.pad none high none zero y
            let stops = Array.init y.Rank (fun i -> if i = axis then length else y.Shape[i])
            Op.slice none stops (Array.create y.Rank 1) padded
        let steps = Op.pad (Array.zeroCreate x.Rank) (only last (w.Step - w.Size)) (Array.zeroCreate x.Rank) zero x
        let moved = Op.permute (Array.concat [ [| 0..axis |]; [| last |]; [| axis + 1 .. last - 1 |] ]) steps
        let shape = t.Shape |> Array.mapi (fun i e -> if i = axis then x.Shape[axis] * w.Step else e)
        Op.binary Binary.Add zero (fitted axis length (Op.reshape shape moved))

    let private canonical (streams: bool) (t: Tensor) : Tensor option =
        match t.Op with
        | Op.Reduce(r, axes) ->
            let x = t.Inputs[0]
            let length = axes |> Array.fold (fun n a -> n * x.Shape[a]) 1
            let last = axes[axes.Length - 1]
            if length = 1 then
                Some(Op.reshape t.Shape x)
            elif length = 0 then
                let identity =
                    match r with
                    | Reduction.Prod -> 1.0
                    | Reduction.Sum
                    | Reduction.Max
                    | Reduction.Min -> 0.0
                Some(Op.broadcast t.Shape (Op.constant (Constant.ofFloat t.DType identity)))
            elif last < x.Rank - 1 && last - axes[0] + 1 <> axes.Length then
                let kept = [| 0 .. x.Rank - 1 |] |> Array.filter (fun a -> not (Array.contains a axes))
                let before = kept |> Array.filter (fun a -> a < last)
                let moved = Op.permute (Array.concat [ before; axes; kept |> Array.filter (fun a -> a > last) ]) x
                Some(Op.reduce r [ before.Length .. before.Length + axes.Length - 1 ] moved)
            else
                None
        | Op.Movement(Movement.Fold(w, length)) when w.Dilation = 1 && w.Step >= w.Size && t.Count > 0 ->
            Some(sideBySide t w length)
        | Op.Dot d when d.LeftSum |> Array.exists (fun a -> t.Inputs[0].Shape[a] = 0) ->
            Some(Op.broadcast t.Shape (Op.constant (Constant.ofInt t.DType 0L)))
        | Op.Item i ->
            match t.Inputs[0].Op with
            | Op.Custom c when streams && LowerAttention.isKnown c -> None
            | Op.Custom c when LowerPooling.isKnown c -> None
            | Op.Custom c -> Some (Lambda.apply c.Body t.Inputs[0].Inputs).[i]
            | Op.Checkpoint l -> Some (Lambda.apply l t.Inputs[0].Inputs).[i]
            | Op.Scan s when s.Length = 0 ->
                let nothing () = Op.broadcast t.Shape (Op.constant (Constant.ofInt t.DType 0L))
                Some(if i < s.Carried then t.Inputs[0].Inputs[s.Captured + i] else nothing ())
            | _ -> None
        | _ -> None

    let private isLoop (t: Tensor) =
        match t.Op with
        | Op.Scan _ -> true
        | _ -> false

    /// Custom and Checkpoint replaced by their bodies (but those with kernels: pooling and, if it `streams`, attention), and reductions put into the forms
    /// that nests have. Loops hold only what is read. Also the topological order.
    let rec prepare (streams: bool) (roots: Tensor[]) : Tensor[] * Tensor[] =
        let order = Graph.topological roots
        if order |> Array.exists (fun t -> (canonical streams t).IsSome) then
            prepare streams (Substitute.rewrite (canonical streams) roots)
        elif Array.exists isLoop order then
            let tidied = roots |> LoopRules.tidy LoopRules.silent |> LoopRules.arrange
            tidied, Graph.topological tidied
        else
            roots, order

    // ---- kernels of many expressions

    let private hashes (members: Tensor[]) = HashSet<Hash>(members |> Seq.map (fun m -> m.Hash))

    /// What the members of a kernel leave in memory, each in a buffer of its own.
    let private targetsOf (p: Planner) (stored: HashSet<Hash>) (members: Tensor[]) =
        members
        |> Array.filter (fun m -> stored.Contains m.Hash)
        |> Array.map (fun m -> m, p.NewBuffer(m.DType, m.Count, Place.Temporary))

    let private labelOf (members: Tensor[]) =
        String.Join(" ", members |> Seq.map Print.name |> Seq.truncate 6) + (if members.Length > 6 then " ..." else "")

    let private rows (p: Planner) (targets: (Tensor * int)[]) (members: Tensor[]) (rowLength: int) =
        let elements =
            members
            |> Array.map (fun m ->
                match m.Op with
                | Op.Reduce _ -> m.Inputs[0].Count
                | _ -> m.Count)
            |> Array.max
        let r = max 1 rowLength
        let extents = if r > 1 then [| elements / r; r |] else [| elements |]
        let build (b: NestBuilder) (extents: int[]) (whole: Form) =
            for m, target in targets do
                let perRow = r > 1 && m.Count * r = elements
                let f =
                    if perRow then
                        { whole with
                            Strides =
                                whole.Strides |> Array.mapi (fun d s -> if d = extents.Length - 1 then 0 else s / r) }
                    else
                        whole
                b.Store(b.Lower(m, f), target, f)
        if targets.Length > 0 then
            p.Nest(NestKind.Rows, extents, (if r > 1 then 1 else 0), hashes members, build, labelOf members)
        for m, target in targets do
            p.Keep(m, target)

    /// A product whose parts go through elementwise expressions; where views or dilations forbid that, one after the other. The product
    /// itself is not kept if nobody else reads it: its place becomes that of a result.
    let private finished (p: Planner) (stored: HashSet<Hash>) (t: Tensor) (members: Tensor[]) isKept addProduct =
        let targets = targetsOf p stored members
        let inPlace = targets |> Array.tryFind (fun (m, _) -> not isKept && m.DType = t.DType)
        let home =
            match inPlace with
            | Some(_, target) -> target
            | None -> p.NewBuffer(t.DType, t.Count, Place.Temporary)
        p.Keep(t, home)
        let build (b: NestBuilder) (whole: Form) =
            for m, target in targets do
                b.Store(b.Lower(m, whole), target, whole)
        let epilogue =
            OwnKernels.parts t
            |> Option.filter (fun extents -> targets.Length > 0 && Array.forall (fun e -> e > 0) extents)
            |> Option.bind (fun extents -> p.NestOverParts(extents, t, hashes members, build, labelOf members))
        match epilogue with
        | Some loop ->
            OwnKernels.addFinished p t home loop
            for m, target in targets do
                p.Keep(m, target)
        | None ->
            addProduct t
            rows p targets members 0

    let private columns (p: Planner) (t: Tensor) (inside: Tensor[]) =
        match t.Op with
        | Op.Reduce(r, axes) ->
            let x = t.Inputs[0]
            let product (s: int[]) = Array.fold (*) 1 s
            let first, last = axes[0], axes[axes.Length - 1]
            let extents =
                [| product x.Shape[.. first - 1]; product x.Shape[first..last]; product x.Shape[last + 1 ..] |]
            let computes = HashSet<Hash>(inside |> Seq.map (fun m -> m.Hash))
            let target = p.NewBuffer(t.DType, t.Count, Place.Temporary)
            let build (b: NestBuilder) (extents: int[]) (whole: Form) =
                let n = extents.Length
                let columns, length = extents[n - 1], extents[n - 2]
                let strides =
                    whole.Strides
                    |> Array.mapi (fun d s ->
                        if d = n - 2 then 0
                        elif d = n - 1 then (if columns = 1 then 0 else 1)
                        else s / length)
                b.Store(b.Column(r, x), target, { Offset = 0; Strides = strides })
            p.Nest(NestKind.Columns, extents, 2, computes, build, Print.name t)
            p.Keep(t, target)
        | _ -> invalidArg "t" "not a reduction"

    /// The buffer of a result of the program: its own, so that nobody else writes or shares it.
    let private result (p: Planner) (t: Tensor) (index: int) =
        let s, chain = Form.source t
        let plain =
            chain
            |> List.forall (fun v ->
                match v.Op with
                | Op.Movement Movement.Reshape -> true
                | _ -> false)
        match p.Memory s with
        | ValueSome b when plain && p.Buffers[b].Place = Place.Temporary ->
            p.Buffers[b] <- { p.Buffers[b] with Place = Place.Output index }
            b
        | _ ->
            let target = p.NewBuffer(t.DType, t.Count, Place.Output index)
            p.Nest(
                NestKind.Rows,
                [| t.Count |],
                0,
                HashSet(),
                (fun b _ f -> b.Store(b.Lower(t, f), target, f)),
                "result"
            )
            target

    /// Checks move up to where their indices are computed.
    let private checksFirst (kernels: Kernel[]) : Kernel[] =
        let result = List<Kernel>()
        for kernel in kernels do
            match kernel with
            | Kernel.Check c ->
                let writes k =
                    let struct (_, written) = Kernel.touches k
                    Array.contains c.Indices written
                let mutable place = 1 + result.FindLastIndex(fun k -> writes k)
                while place < result.Count && result[place].IsCheck do
                    place <- place + 1
                result.Insert(place, kernel)
            | _ -> result.Add kernel
        result.ToArray()

    let rec private planWith
        (streams: bool)
        (bodies: Dictionary<Hash, LoopKernel.Body>)
        (inputs: Tensor[])
        (outputs: Tensor[])
        : Plan =
        let outputs, order = prepare streams outputs
        let isFree = Schedule.free order
        let schedule = Schedule.make order isFree outputs
        /// Equal bodies, as of equal layers, are lowered once.
        let bodyOf (s: Scan) =
            let key = (Op.Scan { s with Length = 1; Reverse = false }).Hash
            match bodies.TryGetValue key with
            | true, known -> known
            | _ ->
                let body = LoopKernel.body (planWith streams bodies) s
                bodies[key] <- body
                body
        let planner = Planner(inputs, isFree, schedule.Again)
        for work in Epilogues.attach outputs schedule do
            match work with
            | Work.Rows(members, length) -> rows planner (targetsOf planner schedule.Stored members) members length
            | Work.Columns(t, inside) -> columns planner t inside
            | Work.Single t -> OwnKernels.add planner bodyOf t
            | Work.Finished(t, members, isKept) ->
                finished planner schedule.Stored t members isKept (OwnKernels.add planner bodyOf)
        let results = outputs |> Array.mapi (fun i o -> result planner o i)
        { Buffers = planner.Buffers.ToArray()
          Kernels = planner.Kernels.ToArray() |> Summing.join results |> checksFirst
          Results = results }

    /// The plan that computes `outputs` from `inputs` (variables), to the last bit as the interpreter does.
    let plan (inputs: Tensor[]) (outputs: Tensor[]) : Plan = planWith false (Dictionary()) inputs outputs

    /// The same with attention in kernels of its own, which differ from its composition by rounding.
    let streamed (inputs: Tensor[]) (outputs: Tensor[]) : Plan = planWith true (Dictionary()) inputs outputs
