namespace Nanograd

open System
open System.Collections.Generic

/// A loop axis must be split before a view can be followed.
exception private SplitAxis of axis: int * inner: int

/// A view cannot be followed from here: its elements must be in memory, in order.
exception private NeedsCopy of Tensor

/// Expressions to loop nests: what every primitive becomes.
[<RequireQualifiedAccess>]
module Lower =
    // ---- preparing the graph: calls inlined, reductions in the two forms that nests have

    let private canonical (t: Tensor) : Tensor option =
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
        | Op.Dot d when d.LeftSum |> Array.exists (fun a -> t.Inputs[0].Shape[a] = 0) ->
            Some(Op.broadcast t.Shape (Op.constant (Constant.ofInt t.DType 0L)))
        | Op.Item i ->
            match t.Inputs[0].Op with
            | Op.Custom c -> Some (Lambda.apply c.Body t.Inputs[0].Inputs).[i]
            | Op.Checkpoint l -> Some (Lambda.apply l t.Inputs[0].Inputs).[i]
            | _ -> None
        | _ -> None

    /// Custom and Checkpoint replaced by their bodies, and reductions put into the forms that nests have.
    /// Also their topological order.
    let rec prepare (roots: Tensor[]) : Tensor[] * Tensor[] =
        let order = Graph.topological roots
        if order |> Array.exists (fun t -> (canonical t).IsSome) then
            prepare (Substitute.rewrite canonical roots)
        else
            roots, order

    // ---- one nest

    /// What nests can load from: the buffer of everything that is in memory.
    type private Memory = Tensor -> int voption

    /// Builds the values of one nest. `rowAxes` axes at the end must stay whole.
    type private NestBuilder(kind: NestKind, extents: int[], fixedAxes: int, memory: Memory, mayCompute: Tensor -> bool)
        =
        let arguments, operands = List<Argument>(), List<Operand>()
        let checks = List<Tensor>()
        let scalars, values = List<Constant>(), List<Value>()
        let known = Dictionary<struct (Hash * Form), int>()
        let terms = Dictionary<struct (Term * DType), int>()
        let accesses = Dictionary<struct (int * Form * DType), int>()
        let stores = List<struct (int * int)>()
        let last = extents.Length - 1

        let mapped (view: Tensor) m =
            match m with
            | Mapped.To f -> f
            | Mapped.Split(axis, inner) ->
                if axis < extents.Length - fixedAxes then raise (SplitAxis(axis, inner)) else raise (NeedsCopy view)
            | Mapped.Impossible -> raise (NeedsCopy view)

        let indices (t: Tensor) f =
            match Form.indices extents t.Shape f with
            | Ok i -> i
            | Error m -> [| mapped t m |]

        let advance (f: Form) =
            match f.Strides[last] with
            | 0 -> Advance.Still
            | 1 -> Advance.Next
            | _ -> Advance.Strided

        let access dtype (kind: Access) buffer (f: Form) =
            match accesses.TryGetValue(struct (buffer, f, dtype)) with
            | true, a when kind <> Access.Write -> a
            | _ ->
                arguments.Add
                    { DType = dtype
                      Access = kind
                      Advance = (if kind = Access.Count && f.Strides[last] <> 0 then Advance.Strided else advance f) }
                operands.Add { Buffer = buffer; Form = f }
                if kind <> Access.Write then accesses[struct (buffer, f, dtype)] <- arguments.Count - 1
                arguments.Count - 1

        let define dtype term (level: Level) =
            match terms.TryGetValue(struct (term, dtype)) with
            | true, v -> v
            | _ ->
                values.Add { DType = dtype; Level = level; Term = term }
                terms[struct (term, dtype)] <- values.Count - 1
                values.Count - 1

        let levelOf (uses: int seq) (own: Level) =
            if own = Level.PerElement || Seq.exists (fun v -> values[v].Level = Level.PerElement) uses then
                Level.PerElement
            else
                Level.PerRow

        let compute dtype term =
            define
                dtype
                term
                (levelOf (Kernel.operands term) (if kind = NestKind.Columns then Level.PerElement else Level.PerRow))

        let still argument =
            if kind = NestKind.Rows && arguments[argument].Advance = Advance.Still then
                Level.PerRow
            else
                Level.PerElement

        let number (c: Constant) =
            scalars.Add c
            scalars.Count - 1

        member _.Values = values

        /// The value of `t` at position `f`.
        member b.Lower(t: Tensor, f: Form) : int =
            match known.TryGetValue(struct (t.Hash, f)) with
            | true, v -> v
            | _ ->
                let v =
                    match memory t with
                    | ValueSome buffer ->
                        let a = access t.DType Access.Read buffer f
                        define t.DType (Term.Load a) (still a)
                    | ValueNone -> b.Compute(t, f)
                known[struct (t.Hash, f)] <- v
                v

        member private b.Compute(t: Tensor, f: Form) : int =
            let operand i = b.Lower(t.Inputs[i], f)
            if not (mayCompute t) then raise (NeedsCopy t)
            match t.Op with
            | Op.Const c ->
                define
                    t.DType
                    (Term.Scalar(number c))
                    (if kind = NestKind.Columns then Level.PerElement else Level.PerRow)
            | Op.Iota axis ->
                let a = access t.DType Access.Count -1 (indices t f).[axis]
                define t.DType (Term.Count a) (still a)
            | Op.RandomBits ->
                let at i = b.Lower(t.Inputs[0], Form.constant extents.Length i)
                let a = access DType.U32 Access.Count -1 f
                let counter = define DType.U32 (Term.Count a) (still a)
                compute DType.U32 (Term.RandomBits(at 0, at 1, counter))
            | Op.Unary u -> compute t.DType (Term.Unary(u, operand 0))
            | Op.Binary(Binary.Shl | Binary.Shr as op) ->
                let rec count (t: Tensor) =
                    match t.Op with
                    | Op.Const c -> Some c
                    | Op.Movement Movement.Broadcast
                    | Op.Movement Movement.Reshape -> count t.Inputs[0]
                    | _ -> None
                match count t.Inputs[1] with
                | Some c -> compute t.DType (Term.Binary(op, operand 0, compute t.DType (Term.Fixed c)))
                | None -> compute t.DType (Term.Binary(op, operand 0, operand 1))
            | Op.Binary op -> compute t.DType (Term.Binary(op, operand 0, operand 1))
            | Op.Select -> compute t.DType (Term.Select(operand 0, operand 1, operand 2))
            | Op.Cast -> compute t.DType (Term.Cast(operand 0))
            | Op.BitCast -> compute t.DType (Term.BitCast(operand 0))
            | Op.Reduce(r, _) -> b.Reduce(t, r, f)
            | Op.Indexing(Indexing.Gather(axis, batch)) ->
                let i = indices t f
                let x, picks = t.Inputs[0], t.Inputs[1]
                let extra = picks.Rank - batch
                let ofPicks = Array.append i[.. batch - 1] i[axis .. axis + extra - 1]
                let place = Array.concat [ i[.. axis - 1]; [| Form.constant extents.Length 0 |]; i[axis + extra ..] ]
                let index = b.Lower(picks, Form.linear extents.Length picks.Shape ofPicks)
                b.Lookup(t, x, Form.linear extents.Length x.Shape place, [| index, axis, x.Shape[axis] |])
            | Op.Indexing Indexing.DynamicSlice ->
                let x = t.Inputs[0]
                let start d = b.Lower(t.Inputs[d + 1], Form.constant extents.Length 0)
                let lookups = Array.init x.Rank (fun d -> start d, d, x.Shape[d] - t.Shape[d] + 1)
                b.Lookup(t, x, Form.linear extents.Length x.Shape (indices t f), lookups)
            | Op.Movement m ->
                match m with
                | Movement.Reshape
                | Movement.Permute _
                | Movement.Broadcast
                | Movement.Slice _
                | Movement.Reverse _
                | Movement.Unfold _ -> b.Lower(t.Inputs[0], mapped t (Form.follow extents t f))
                | Movement.Pad _
                | Movement.Concat _
                | Movement.Fold _ -> raise (NeedsCopy t)
            // These have kernels to themselves: a nest reads what they left in memory.
            | Op.Literal _
            | Op.Input _
            | Op.Parameter _
            | Op.ArgReduce _
            | Op.CumSum _
            | Op.Dot _
            | Op.Conv _
            | Op.Indexing(Indexing.ScatterAdd _ | Indexing.DynamicUpdate)
            | Op.Sort _
            | Op.TopK _
            | Op.Scan _
            | Op.Custom _
            | Op.Checkpoint _
            | Op.Item _ -> raise (NeedsCopy t)

        member private b.Lookup(t: Tensor, x: Tensor, f: Form, lookups: (int * int * int)[]) =
            match memory x with
            | ValueNone -> raise (NeedsCopy x)
            | ValueSome buffer ->
                let a = access t.DType Access.Read buffer f
                checks.Add t
                let strides = Shape.strides x.Shape
                let whole n = number (Constant.ofInt DType.I64 (int64 (n: int)))
                let lookup (index, axis, bound) = { Index = index; Stride = whole strides[axis]; Bound = whole bound }
                let term = Term.LoadAt(a, lookups |> Array.map lookup)
                define t.DType term (levelOf (Kernel.operands term) (still a))

        /// A row reduction reads the row that `f` names, element by element.
        member private b.Reduce(t: Tensor, r: Reduction, f: Form) =
            let length = Schedule.rowLength t
            if kind = NestKind.Columns || f.Strides[last] <> 0 || extents[last] <> length then raise (NeedsCopy t)
            let along =
                { Form.scale length f with
                    Strides =
                        Form.scale length f |> fun g -> Array.mapi (fun d s -> if d = last then 1 else s) g.Strides }
            let x = b.Lower(t.Inputs[0], along)
            define t.DType (Term.Reduced(r, x)) Level.PerRow

        /// Folds `x` (at the identity) down the columns.
        member b.Column(r: Reduction, x: Tensor) =
            let v = b.Lower(x, Form.identity extents)
            define x.DType (Term.Reduced(r, v)) Level.PerRow

        member _.Store(value: int, buffer: int, f: Form) =
            stores.Add(struct (access values[value].DType Access.Write buffer f, value))

        /// The finished loop, its axes merged wherever every access allows it.
        member _.Finish(label: string) : Loop =
            let rec join (extents: int[]) (forms: Form[]) d =
                let keep = if kind = NestKind.Columns then 2 else (if fixedAxes > 0 then 1 else 0)
                if d < 1 then
                    extents, forms
                elif
                    extents[d - 1] = 1
                    && d - 1 < extents.Length - 1
                    && d <= extents.Length - 1
                    && (keep = 0 || d < extents.Length - keep + 1)
                then
                    join
                        (Array.removeAt (d - 1) extents)
                        (forms |> Array.map (fun f -> { f with Strides = Array.removeAt (d - 1) f.Strides }))
                        (d - 1)
                elif
                    (keep = 0 || d < extents.Length - keep)
                    && forms
                       |> Array.forall (fun f -> f.Strides[d - 1] = f.Strides[d] * extents[d] && (extents[d] <> 1))
                then
                    let merged = Array.removeAt (d - 1) extents
                    merged[d - 1] <- extents[d - 1] * extents[d]
                    join
                        merged
                        (forms |> Array.map (fun f -> { f with Strides = Array.removeAt (d - 1) f.Strides }))
                        (d - 1)
                else
                    join extents forms (d - 1)
            let extents, forms = join extents (operands |> Seq.map (fun o -> o.Form) |> Seq.toArray) last
            let nest =
                { Kind = kind
                  Arguments = arguments.ToArray()
                  Scalars = scalars |> Seq.map (fun c -> c.DType) |> Seq.toArray
                  Values = values.ToArray()
                  Stores = stores.ToArray() }
            { Nest = nest
              Extents = extents
              Operands = Seq.map2 (fun (o: Operand) f -> { o with Form = f }) operands forms |> Seq.toArray
              Scalars = scalars.ToArray()
              Checks = checks.ToArray()
              Label = label }

    // ---- a whole program

    type private Planner(inputs: Tensor[], isFree: HashSet<Hash>, stored: HashSet<Hash>) =
        let buffers, kernels = List<PlanBuffer>(), List<Kernel>()
        let home = Dictionary<Hash, int>() // where a stored expression lives
        let calls = Dictionary<Hash, int[]>() // the same for primitives with several results

        let newBuffer dtype length place =
            buffers.Add { DType = dtype; Length = length; Place = place }
            buffers.Count - 1

        do inputs |> Array.iteri (fun i t -> home[t.Hash] <- newBuffer t.DType t.Count (Place.Input i))

        let memory (t: Tensor) : int voption =
            match t.Op with
            | Op.Item i ->
                (match calls.TryGetValue t.Inputs[0].Hash with
                 | true, results -> ValueSome results[i]
                 | _ -> ValueNone)
            | _ ->
                (match home.TryGetValue t.Hash with
                 | true, b -> ValueSome b
                 | _ -> ValueNone)

        member _.Buffers = buffers
        member _.Kernels = kernels
        member _.Memory(t: Tensor) = memory t

        member _.Temporary(t: Tensor) =
            let b = newBuffer t.DType t.Count Place.Temporary
            home[t.Hash] <- b
            b

        /// Builds a nest, splitting axes and copying views until every access is a form.
        member p.Nest
            (kind, extents: int[], fixedAxes, computes: HashSet<Hash>, build: NestBuilder -> int[] -> unit, label)
            =
            let mayCompute (t: Tensor) = computes.Contains t.Hash || isFree.Contains t.Hash || Form.isView t
            let rec attempt (extents: int[]) tries =
                if tries > 200 then
                    invalidOp $"lower: {label} keeps asking for other loops (this is a mistake in Nanograd)"
                let b = NestBuilder(kind, extents, fixedAxes, memory, mayCompute)
                let next =
                    try
                        build b extents
                        None
                    with
                    | SplitAxis(axis, inner) -> Some(Form.splitExtents axis inner extents)
                    | NeedsCopy t ->
                        p.Realise t |> ignore
                        Some extents
                match next with
                | Some extents -> attempt extents (tries + 1)
                | None -> kernels.Add(Kernel.Loop(b.Finish label))
            if Array.forall (fun e -> e > 0) extents then attempt extents 0

        /// A buffer with the elements of `t` in row-major order.
        member p.Realise(t: Tensor) : int =
            match memory t with
            | ValueSome b -> b
            | ValueNone ->
                match t.Op with
                | Op.Indexing _ -> ()
                | _ when Form.isView t || isFree.Contains t.Hash -> ()
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
                    (fun b extents ->
                        let f = Form.identity extents
                        b.Store(b.Lower(t, f), target, f)),
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
                | ValueNone when not (Form.isView node) || isFree.Contains node.Hash -> None
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
                        (fun (offsets: int[]) (e, s) ->
                            Array.collect (fun o -> Array.init e (fun i -> o + i * s)) offsets)
                        [| start |]
                        parts
                b, Array.init t.Rank table

        member p.Rows(members: Tensor[], rowLength: int) =
            let elements =
                members
                |> Array.map (fun m ->
                    match m.Op with
                    | Op.Reduce _ -> m.Inputs[0].Count
                    | _ -> m.Count)
                |> Array.max
            let r = max 1 rowLength
            let extents = if r > 1 then [| elements / r; r |] else [| elements |]
            let computes = HashSet<Hash>(members |> Seq.map (fun m -> m.Hash))
            let wanted = members |> Array.filter (fun m -> stored.Contains m.Hash)
            let targets = wanted |> Array.map (fun m -> m, newBuffer m.DType m.Count Place.Temporary)
            let build (b: NestBuilder) (extents: int[]) =
                let whole = Form.identity extents
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
                let label =
                    String.Join(" ", members |> Seq.map Print.name |> Seq.truncate 6)
                    + (if members.Length > 6 then " ..." else "")
                p.Nest(NestKind.Rows, extents, (if r > 1 then 1 else 0), computes, build, label)
            for m, target in targets do
                home[m.Hash] <- target

        member p.Columns(t: Tensor, inside: Tensor[]) =
            match t.Op with
            | Op.Reduce(r, axes) ->
                let x = t.Inputs[0]
                let product (s: int[]) = Array.fold (*) 1 s
                let first, last = axes[0], axes[axes.Length - 1]
                let extents =
                    [| product x.Shape[.. first - 1]; product x.Shape[first..last]; product x.Shape[last + 1 ..] |]
                let computes = HashSet<Hash>(inside |> Seq.map (fun m -> m.Hash))
                let target = newBuffer t.DType t.Count Place.Temporary
                let build (b: NestBuilder) (extents: int[]) =
                    let whole = Form.identity extents
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
                home[t.Hash] <- target
            | _ -> invalidArg "t" "not a reduction"

        /// Writes `x` into a region of `target`: element i along each axis stands at low + i * step.
        member private p.Place(x: Tensor, target: int, shape: int[], low: int[], step: int[]) =
            let build (b: NestBuilder) (extents: int[]) =
                let whole = Form.identity extents
                match Form.indices extents x.Shape whole with
                | Error(Mapped.Split(axis, inner)) -> raise (SplitAxis(axis, inner))
                | Error _ -> invalidOp "lower: a contiguous tensor has indices"
                | Ok i ->
                    let moved =
                        i
                        |> Array.mapi (fun a f -> Form.add (Form.constant extents.Length low[a]) (Form.scale step[a] f))
                    b.Store(b.Lower(x, whole), target, Form.linear extents.Length shape moved)
            p.Nest(NestKind.Rows, [| x.Count |], 0, HashSet(), build, Print.name x)

        member private p.Product(t: Tensor, d: Contraction) =
            let x, y = t.Inputs[0], t.Inputs[1]
            let free (t: Tensor) batch sum =
                [| 0 .. t.Rank - 1 |] |> Array.filter (fun a -> not (Array.contains a batch || Array.contains a sum))
            let sums (axes: int[]) (tables: int[][]) =
                axes
                |> Array.fold (fun (acc: int[]) a -> Array.collect (fun o -> Array.map ((+) o) tables[a]) acc) [| 0 |]
            let left, leftTables = p.Offsets x
            let right, rightTables = p.Offsets y
            // A table's start offset sits in axis 0 and must count once, whichever group of axes that axis belongs to.
            let m, n = free x d.LeftBatch d.LeftSum, free y d.RightBatch d.RightSum
            let target = p.Temporary t
            let own = Array.map2 (fun s e -> Array.init e (fun i -> i * s)) (Shape.strides t.Shape) t.Shape
            let batch = d.LeftBatch.Length
            if t.Count > 0 then
                kernels.Add(
                    Kernel.Product
                        { DType = t.DType
                          Left = left
                          Right = right
                          Result = target
                          LeftOffsets = [| sums d.LeftBatch leftTables; sums m leftTables; sums d.LeftSum leftTables |]
                          RightOffsets =
                            [| sums d.RightBatch rightTables; sums d.RightSum rightTables; sums n rightTables |]
                          ResultOffsets =
                            [| sums [| 0 .. batch - 1 |] own
                               sums [| batch .. batch + m.Length - 1 |] own
                               sums [| batch + m.Length .. t.Rank - 1 |] own |]
                          Label = Shape.describe x + " . " + Shape.describe y }
                )

        member private p.Reference(t: Tensor) =
            let operands = t.Inputs |> Array.map p.Realise
            let results =
                Op.results t |> Array.map (fun (dtype, shape) -> newBuffer dtype (Shape.count shape) Place.Temporary)
            kernels.Add(Kernel.Reference(t, operands, results))
            match t.Op with
            | Op.Sort _
            | Op.TopK _
            | Op.Scan _ -> calls[t.Hash] <- results
            | _ -> home[t.Hash] <- results[0]

        member p.Single(t: Tensor) =
            match t.Op with
            | Op.Dot d -> p.Product(t, d)
            | Op.Movement(Movement.Concat axis) ->
                let target = p.Temporary t
                let mutable at = 0
                for x in t.Inputs do
                    let low = Array.init t.Rank (fun a -> if a = axis then at else 0)
                    p.Place(x, target, t.Shape, low, Array.create t.Rank 1)
                    at <- at + x.Shape[axis]
            | Op.Movement(Movement.Pad(low, _, interior)) ->
                let target = p.Temporary t
                p.Place(
                    Op.broadcast t.Shape t.Inputs[1],
                    target,
                    t.Shape,
                    Array.zeroCreate t.Rank,
                    Array.create t.Rank 1
                )
                p.Place(t.Inputs[0], target, t.Shape, low, interior |> Array.map ((+) 1))
            | Op.Indexing(Indexing.ScatterAdd(0, 0)) ->
                let x, picks, updates = p.Realise t.Inputs[0], p.Realise t.Inputs[1], p.Realise t.Inputs[2]
                let inner = t.Count / max 1 t.Shape[0]
                kernels.Add(
                    Kernel.Scatter(
                        x,
                        picks,
                        updates,
                        p.Temporary t,
                        struct (t.Shape[0], t.Inputs[1].Count, inner, 0),
                        t
                    )
                )
            // No kernel of their own yet: the interpreter's row, shown as `reference`.
            | Op.Movement(Movement.Fold _)
            | Op.Indexing(Indexing.ScatterAdd _ | Indexing.DynamicUpdate)
            | Op.ArgReduce _
            | Op.CumSum _
            | Op.Conv _
            | Op.Sort _
            | Op.TopK _
            | Op.Scan _ -> p.Reference t
            // Nests compute these, or the graph was prepared so that they do not occur.
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
            | Op.Movement(Movement.Reshape | Movement.Permute _ | Movement.Broadcast | Movement.Slice _ | Movement.Reverse _ | Movement.Unfold _)
            | Op.Reduce _
            | Op.Indexing(Indexing.Gather _ | Indexing.DynamicSlice)
            | Op.Custom _
            | Op.Checkpoint _
            | Op.Item _ -> invalidOp $"lower: {Print.name t} has no kernel to itself (this is a mistake in Nanograd)"

        /// The buffer of a result of the program: its own, so that nobody else writes or shares it.
        member p.Result(t: Tensor, index: int) =
            let s, chain = Schedule.source t
            let plain =
                chain
                |> List.forall (fun v ->
                    match v.Op with
                    | Op.Movement Movement.Reshape -> true
                    | _ -> false)
            match memory s with
            | ValueSome b when plain && buffers[b].Place = Place.Temporary ->
                buffers[b] <- { buffers[b] with Place = Place.Output index }
                b
            | _ ->
                let target = newBuffer t.DType t.Count (Place.Output index)
                p.Nest(
                    NestKind.Rows,
                    [| t.Count |],
                    0,
                    HashSet(),
                    (fun b extents ->
                        let f = Form.identity extents
                        b.Store(b.Lower(t, f), target, f)),
                    "result"
                )
                target

    /// The plan that computes `outputs` from `inputs` (variables).
    let plan (inputs: Tensor[]) (outputs: Tensor[]) : Plan =
        let outputs, order = prepare outputs
        let isFree = Schedule.free order
        let schedule = Schedule.make order isFree outputs
        let planner = Planner(inputs, isFree, schedule.Stored)
        for work in schedule.Works do
            match work with
            | Work.Rows(members, length) -> planner.Rows(members, length)
            | Work.Columns(t, inside) -> planner.Columns(t, inside)
            | Work.Single t -> planner.Single t
        let results = outputs |> Array.mapi (fun i o -> planner.Result(o, i))
        { Buffers = planner.Buffers.ToArray()
          Kernels = planner.Kernels.ToArray()
          Results = results }
