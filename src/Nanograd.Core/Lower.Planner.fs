namespace Nanograd

open System
open System.Collections.Generic

/// A plan in the making: its buffers, where every expression lives, and the kernels so far.
type internal Planner(inputs: Tensor[], isFree: HashSet<Hash>, again: HashSet<Hash>) =
    let buffers, kernels = List<PlanBuffer>(), List<Kernel>()
    let home = Dictionary<Hash, int>() // where a stored expression lives
    let contents = Dictionary<struct (int * string), Tensor>()
    let calls = Dictionary<Hash, int[]>() // the same for primitives with several results

    /// Constants may also come up while planning.
    let isFreeOf (t: Tensor) =
        isFree.Contains t.Hash
        || (match t.Op with
            | Op.Const _ -> true
            | _ -> false)

    let newBuffer dtype length place =
        buffers.Add { DType = dtype; Length = length; Place = place }
        buffers.Count - 1

    do inputs |> Array.iteri (fun i t -> home[t.Hash] <- newBuffer t.DType t.Count (Place.Input i))

    /// Reshaped, the elements of a buffer are the same in the same order.
    let rec memory (t: Tensor) : int voption =
        match t.Op with
        | Op.Item i ->
            (match calls.TryGetValue t.Inputs[0].Hash with
             | true, results -> ValueSome results[i]
             | _ -> ValueNone)
        | _ ->
            match home.TryGetValue t.Hash with
            | true, b -> ValueSome b
            | _ ->
                match t.Op with
                | Op.Movement Movement.Reshape -> memory t.Inputs[0]
                | _ -> ValueNone

    /// Other extents over the same elements in the same order are the same buffer.
    let rec underReshapes (t: Tensor) =
        match memory t, t.Op with
        | ValueNone, Op.Movement Movement.Reshape -> underReshapes t.Inputs[0]
        | found, _ -> found

    member _.Buffers = buffers
    member _.Kernels = kernels
    member _.Memory(t: Tensor) = memory t

    /// From now on `t` is found in buffer `b`.
    member _.Keep(t: Tensor, b: int) = home[t.Hash] <- b
    /// The same for a primitive with several results.
    member _.KeepAll(t: Tensor, results: int[]) = calls[t.Hash] <- results
    member _.NewBuffer(dtype, length, place) = newBuffer dtype length place

    member _.Temporary(t: Tensor) =
        let b = newBuffer t.DType t.Count Place.Temporary
        home[t.Hash] <- b
        b

    /// Builds a nest, splitting axes and copying views until every access is a form. `build` gets the extents of the loops and the
    /// row-major index as a form over them.
    member p.Nest
        (kind, extents: int[], fixedAxes, computes: HashSet<Hash>, build: NestBuilder -> int[] -> Form -> unit, label)
        =
        let mayCompute (t: Tensor) = computes.Contains t.Hash || again.Contains t.Hash || isFreeOf t || Form.isView t
        let rec attempt (extents: int[]) (whole: Form) tries : Loop =
            if tries > 200 then invalidOp $"lower: {label} keeps asking for other loops (this is a mistake in Nanograd)"
            let b = NestBuilder(kind, extents, fixedAxes, memory, mayCompute)
            let next =
                try
                    build b extents whole
                    None
                with
                | SplitAxis(axis, inner) ->
                    let extents = Form.splitExtents axis inner extents
                    let whole = Form.split axis inner whole
                    Some(
                        extents,
                        { whole with
                            Strides = Array.map2 (fun s e -> if e = 1 then 0 else s) whole.Strides extents }
                    )
                | NeedsCopy t ->
                    p.Realise t |> ignore
                    Some(extents, whole)
            match next with
            | Some(extents, whole) -> attempt extents whole (tries + 1)
            | None -> b.Finish label
        if Array.forall (fun e -> e > 0) extents then
            let loop = attempt extents (Form.identity extents) 0
            let loop =
                match LoopOrder.better loop with
                | ValueSome order when fixedAxes = 0 ->
                    let along (xs: int[]) = order |> Array.map (fun d -> xs[d])
                    attempt (along loop.Extents) { Offset = 0; Strides = along (Form.identity loop.Extents).Strides } 0
                | _ -> loop
            kernels.Add(Kernel.Loop loop)

    /// A nest over these loops, or some of them cut in two, for parts of `awaited`, which is not in memory before. None where a view asks
    /// for others.
    member p.NestOverParts
        (extents: int[], awaited: Tensor, computes: HashSet<Hash>, build: NestBuilder -> Form -> unit, label: string)
        : Loop option =
        let mayCompute (t: Tensor) = computes.Contains t.Hash || again.Contains t.Hash || isFreeOf t || Form.isView t
        let rec attempt (extents: int[]) (whole: Form) tries : Loop option =
            let b = NestBuilder(NestKind.Rows, extents, 0, memory, mayCompute)
            let next =
                try
                    build b whole
                    None
                with
                | SplitAxis(axis, inner) ->
                    Some(Choice1Of2(Form.splitExtents axis inner extents, Form.split axis inner whole))
                | NeedsCopy t -> Some(Choice2Of2 t)
            match next with
            | None -> Some(b.FinishAsIs label)
            | _ when tries > 20 -> None
            | Some(Choice1Of2(extents, whole)) ->
                let still = Array.map2 (fun s e -> if e = 1 then 0 else s) whole.Strides extents
                attempt extents { whole with Strides = still } (tries + 1)
            | Some(Choice2Of2 t) when (fst (Form.source t)).Hash = awaited.Hash -> None
            | Some(Choice2Of2 t) ->
                p.Realise t |> ignore
                attempt extents whole (tries + 1)
        attempt extents (Form.identity extents) 0

    /// A buffer with the elements of `t` in row-major order.
    member p.Realise(t: Tensor) : int =
        match underReshapes t with
        | ValueSome b ->
            match t.Op with
            | Op.Movement Movement.Reshape -> home[t.Hash] <- b
            | _ -> ()
            b
        | ValueNone ->
            match t.Op with
            | Op.Indexing _ -> ()
            | _ when Form.isView t || isFreeOf t -> ()
            | _ ->
                invalidOp
                    $"lower: {Print.name t} {Shape.describe t} is used before it is computed (this is a mistake in Nanograd)"
            let length = t.Count
            let target = newBuffer t.DType length Place.Temporary
            let itself = HashSet<Hash>([ t.Hash ])
            p.Nest(
                NestKind.Rows,
                [| length |],
                0,
                itself,
                (fun b _ f -> b.Store(b.Lower(t, f), target, f)),
                Print.name t
            )
            home[t.Hash] <- target
            target

    /// A buffer that holds `t`, and the offset in it for every index of each axis of `t`.
    member p.Offsets(t: Tensor) : int * int[][] =
        let origin = Array.init t.Rank id
        let rec follow (extents: int[]) (axisOf: int[]) (f: Form) (node: Tensor) =
            match memory node with
            | ValueSome b -> Some(b, extents, axisOf, f)
            | ValueNone when not (Form.isView node) || isFreeOf node -> None
            | ValueNone ->
                match Form.follow extents node f with
                | Mapped.To next -> follow extents axisOf next node.Inputs[0]
                | Mapped.Split(axis, inner) ->
                    follow
                        (Form.splitExtents axis inner extents)
                        (Array.insertAt axis axisOf[axis] axisOf)
                        (Form.split axis inner f)
                        node
                | Mapped.Impossible -> None
        match (if t.Rank = 0 then None else follow t.Shape origin (Form.identity t.Shape) t) with
        | None ->
            let b = p.Realise t
            b, Array.map2 (fun s e -> Array.init e (fun i -> i * s)) (Shape.strides t.Shape) t.Shape
        | Some(b, extents, axisOf, f) ->
            let table axis =
                let parts =
                    [| for d in 0 .. extents.Length - 1 do
                           if axisOf[d] = axis then extents[d], f.Strides[d] |]
                let start = if axis = 0 then f.Offset else 0
                Array.fold
                    (fun (offsets: int[]) (e, s) -> Array.collect (fun o -> Array.init e (fun i -> o + i * s)) offsets)
                    [| start |]
                    parts
            b, Array.init t.Rank table

    /// Writes `x` into a region of `target`: element i along each axis stands at low + i * step.
    member p.Place(x: Tensor, target: int, shape: int[], low: int[], step: int[]) =
        let build (b: NestBuilder) (extents: int[]) (whole: Form) =
            match Form.indices extents x.Shape whole with
            | Error(Mapped.Split(axis, inner)) -> raise (SplitAxis(axis, inner))
            | Error _ -> invalidOp "lower: a contiguous tensor has indices"
            | Ok i ->
                let moved =
                    i |> Array.mapi (fun a f -> Form.add (Form.constant extents.Length low[a]) (Form.scale step[a] f))
                b.Store(b.Lower(x, whole), target, Form.linear extents.Length shape moved)
        p.Nest(NestKind.Rows, [| x.Count |], 0, HashSet(), build, Print.name x)

    /// The expression that stands for what is in a buffer.
    member p.Content(buffer: int, shape: int[]) : Tensor =
        let key = struct (buffer, Shape.show shape)
        match contents.TryGetValue key with
        | true, t -> t
        | _ ->
            let t = Op.input $"b{buffer}" buffers[buffer].DType shape
            contents[key] <- t
            home[t.Hash] <- buffer
            t

    /// The buffer of a Pad, which is written now if it was not before.
    member p.Padded(t: Tensor) : int =
        match memory t, t.Op with
        | ValueSome b, _ -> b
        | ValueNone, Op.Movement(Movement.Pad(low, _, interior)) ->
            let target = p.Temporary t
            p.Place(Op.broadcast t.Shape t.Inputs[1], target, t.Shape, Array.zeroCreate t.Rank, Array.create t.Rank 1)
            p.Place(t.Inputs[0], target, t.Shape, low, interior |> Array.map ((+) 1))
            target
        | ValueNone, _ -> invalidArg "t" "not a pad"
