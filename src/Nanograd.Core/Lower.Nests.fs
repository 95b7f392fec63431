namespace Nanograd

open System.Collections.Generic

/// A loop axis must be split before a view can be followed.
exception internal SplitAxis of axis: int * inner: int

/// A view cannot be followed from here: its elements must be in memory, in order.
exception internal NeedsCopy of Tensor
/// What nests can load from: the buffer of everything that is in memory.
type internal Memory = Tensor -> int voption

/// Builds the values of one nest. `rowAxes` axes at the end must stay whole.
type internal NestBuilder(kind: NestKind, extents: int[], fixedAxes: int, memory: Memory, mayCompute: Tensor -> bool) =
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
        if kind = NestKind.Rows && arguments[argument].Advance = Advance.Still then Level.PerRow else Level.PerElement

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
            define t.DType (Term.Scalar(number c)) (if kind = NestKind.Columns then Level.PerElement else Level.PerRow)
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
                Strides = Form.scale length f |> fun g -> Array.mapi (fun d s -> if d = last then 1 else s) g.Strides }
        let x = b.Lower(t.Inputs[0], along)
        define t.DType (Term.Reduced(r, x)) Level.PerRow

    /// Folds `x` (at the identity) down the columns.
    member b.Column(r: Reduction, x: Tensor) =
        let v = b.Lower(x, Form.identity extents)
        define x.DType (Term.Reduced(r, v)) Level.PerRow

    member _.Store(value: int, buffer: int, f: Form) =
        stores.Add(struct (access values[value].DType Access.Write buffer f, value))

    member private _.Loop(extents: int[], forms: Form[], label: string) : Loop =
        { Nest =
            { Kind = kind
              Arguments = arguments.ToArray()
              Scalars = scalars |> Seq.map (fun c -> c.DType) |> Seq.toArray
              Values = values.ToArray()
              Stores = stores.ToArray() }
          Extents = extents
          Operands = Seq.map2 (fun (o: Operand) f -> { o with Form = f }) operands forms |> Seq.toArray
          Scalars = scalars.ToArray()
          Checks = checks.ToArray()
          Label = label }

    /// The finished loop over the axes as they are.
    member b.FinishAsIs(label: string) : Loop =
        b.Loop(extents, operands |> Seq.map (fun o -> o.Form) |> Seq.toArray, label)

    /// The finished loop, its axes merged wherever every access allows it.
    member b.Finish(label: string) : Loop =
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
                && forms |> Array.forall (fun f -> f.Strides[d - 1] = f.Strides[d] * extents[d] && (extents[d] <> 1))
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
        b.Loop(extents, forms, label)

/// The order of loops.
[<RequireQualifiedAccess>]
module internal LoopOrder =
    /// Machine cycles of one element, roughly: a row's start is shared by its elements; elements that do not lie side by side
    /// are moved one by one, and those of long rows that lie far apart come from far away each time.
    let private cost (l: Loop) (d: int) =
        let extent = l.Extents[d]
        let access (o: Operand) =
            let stride = if o.Buffer < 0 then 1 else abs o.Form.Strides[d]
            if stride <= 1 then 0.2
            elif stride < 16 then 1.5
            elif extent <= 1024 then 3.0
            else 15.0
        100.0 / float extent + Array.sumBy access l.Operands

    /// Where nothing is folded, loops may run in any order: the innermost should be the one that costs least.
    let better (l: Loop) : int[] voption =
        let last = l.Extents.Length - 1
        let folds =
            l.Nest.Values
            |> Array.exists (fun v ->
                match v.Term with
                | Term.Reduced _ -> true
                | _ -> false)
        let few = Array.fold (fun n e -> n * int64 e) 1L l.Extents < 2048L
        if folds || few || last < 1 || l.Extents[last] >= 16 then
            ValueNone
        else
            let inner = Array.minBy (cost l) (Array.rev [| 0..last |])
            if cost l inner > 0.7 * cost l last then
                ValueNone
            else
                ValueSome(Array.append (Array.filter ((<>) inner) [| 0..last |]) [| inner |])
