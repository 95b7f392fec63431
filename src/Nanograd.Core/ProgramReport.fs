namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Text

/// A buffer of a program: what it holds, where it lives, and for how long.
[<NoComparison>]
type BufferReport =
    {
        Name: string
        /// `f32[32,10]`.
        Kind: string
        Bytes: int64
        /// "input", "result" or "temporary".
        Role: string
        /// Where it lives: `arena + 128`, `fresh memory`, `in place of w`.
        Home: string
        /// The first and the last kernel that touch it; -1 where none does.
        First: int
        Last: int
        /// Earlier buffers whose memory it takes over.
        Reuses: string list
    }

/// A kernel of a program: what it computes, how, and how much work that is.
[<NoComparison>]
type KernelReport =
    {
        Number: int
        /// "loop", "product", "scatter", "repeat" or "reference".
        Kind: string
        /// The primitives in it.
        Label: string
        /// What it does, in the words of layers, with shapes.
        Name: string
        /// As pseudo-code.
        Code: string
        Reads: string list
        Writes: string list
        /// Bytes that it must read and write at least.
        Bytes: int64
        /// Floating-point (or integer) operations: a multiply-add is 2, an exponential about 16.
        Operations: int64
        /// Whether it computes in f64.
        IsDouble: bool
        /// Milliseconds of one run; NaN where it was not measured.
        Milliseconds: float
    }

/// A compiled program, ready to be read.
[<NoComparison; StructuredFormatDisplay("{Text}")>]
type ProgramReport =
    {
        Kernels: KernelReport[]
        Buffers: BufferReport[]
        /// Memory that temporaries share.
        ArenaBytes: int64
        /// The most that a run adds to what its inputs hold.
        PeakBytes: int64
    }

    member r.Text = string r

    override r.ToString() =
        let text = StringBuilder()
        for k in r.Kernels do
            text
                .Append($"kernel {k.Number}: {k.Kind} {k.Label}\n    ")
                .Append(k.Code.TrimEnd().Replace("\n", "\n    "))
                .Append
                '\n'
            |> ignore
        text.ToString()

/// Text in columns.
[<RequireQualifiedAccess>]
module internal Columns =
    /// Rows of cells, padded; columns named in `right` are aligned at the right.
    let layout (right: int list) (rows: string[][]) : string[] =
        let count = rows |> Array.map Array.length |> Array.fold max 0
        let cell (row: string[]) c = if c < row.Length then row[c] else ""
        let widths = Array.init count (fun c -> rows |> Array.map (fun r -> (cell r c).Length) |> Array.fold max 0)
        let pad row c =
            if List.contains c right then (cell row c).PadLeft widths[c] else (cell row c).PadRight widths[c]
        rows |> Array.map (fun row -> String.Join("  ", Array.init count (pad row)).TrimEnd())

    /// 1234567 bytes as people say it.
    let bytes (n: int64) =
        let show (x: float) unit = x.ToString("0.##", CultureInfo.InvariantCulture) + " " + unit
        if n < 1024L then $"{n} B"
        elif n < (1L <<< 20) then show (float n / 1024.0) "KiB"
        elif n < (1L <<< 30) then show (float n / 1048576.0) "MiB"
        else show (float n / 1073741824.0) "GiB"

    /// A count with a letter for thousands, millions, billions.
    let count (n: int64) =
        let show (x: float) (letter: string) =
            x.ToString((if x < 100.0 then "0.0" else "0"), CultureInfo.InvariantCulture) + letter
        if n < 10_000L then string n
        elif n < 1_000_000L then show (float n / 1e3) "k"
        elif n < 1_000_000_000L then show (float n / 1e6) "M"
        else show (float n / 1e9) "G"

/// Plans as reports: names for buffers, pseudo-code, work.
[<RequireQualifiedAccess>]
module internal ProgramReport =
    // ---- work

    let private costOf (op: Op) (dtype: DType) = int64 (Schedule.cost (Tensor(op, [||], dtype, [||])))

    let private termCost (v: Value) =
        match v.Term with
        | Term.Unary(u, _) -> costOf (Op.Unary u) v.DType
        | Term.Binary(b, _, _) -> costOf (Op.Binary b) v.DType
        | Term.RandomBits _ -> costOf Op.RandomBits v.DType
        | Term.Select _
        | Term.Cast _
        | Term.Reduced _ -> 1L
        | Term.Scalar _
        | Term.Fixed _
        | Term.Load _
        | Term.LoadAt _
        | Term.Count _
        | Term.BitCast _ -> 0L

    let private loopOperations (l: Loop) =
        let elements = l.Extents |> Array.fold (fun n e -> n * int64 e) 1L
        let inner =
            match l.Nest.Kind with
            | NestKind.Rows -> l.Extents[l.Extents.Length - 1]
            | NestKind.Columns -> 1
        let rows = elements / int64 (max 1 inner)
        l.Nest.Values
        |> Array.sumBy (fun v ->
            let perElement =
                match v.Term with
                | Term.Reduced _ -> true
                | _ -> v.Level = Level.PerElement
            termCost v * (if perElement then elements else rows))

    /// The least that a loop moves: the elements that each argument reaches.
    let private loopBytes (lengthOf: int -> int) (l: Loop) =
        let ofArgument i (a: Argument) =
            let o = l.Operands[i]
            let reached = Array.fold2 (fun n e s -> if s = 0 then n else n * int64 e) 1L l.Extents o.Form.Strides
            match a.Access with
            | Access.Count -> 0L
            | Access.Read
            | Access.Write -> min reached (int64 (lengthOf o.Buffer)) * int64 (DType.size a.DType)
        let lookedUp =
            l.Nest.Values
            |> Array.choose (fun v ->
                match v.Term with
                | Term.LoadAt(a, _) -> Some a
                | _ -> None)
            |> HashSet
        let elements = l.Extents |> Array.fold (fun n e -> n * int64 e) 1L
        l.Nest.Arguments
        |> Array.mapi (fun i a -> if lookedUp.Contains i then elements * int64 (DType.size a.DType) else ofArgument i a)
        |> Array.sum

    let private product (shape: seq<int>) = shape |> Seq.fold (fun n e -> n * int64 e) 1L

    let private lineOperations (l: Lines) =
        let elements = int64 l.Outer * int64 l.Length * int64 l.Inner
        match l.Work with
        | LineWork.Sort(_, count) ->
            let deep = if count * 8 < l.Length then count else l.Length
            elements * int64 (Math.Ceiling(Math.Log2(float (max 2 deep))))
        | LineWork.ArgReduce _
        | LineWork.CumSum _ -> elements

    /// What a product's epilogue adds: all products of one result share it.
    let private finishing (p: Product) (work: Loop -> int64) =
        match p.Epilogue with
        | ValueSome l -> work l * product (p.ResultOffsets |> Seq.map Array.length) / product l.Extents
        | ValueNone -> 0L

    /// Operations of one run of a kernel.
    let rec operations (k: Kernel) : int64 =
        match k with
        | Kernel.Loop l -> loopOperations l
        | Kernel.Summed s -> loopOperations s.Rows + Array.sumBy loopOperations s.Sums
        | Kernel.Product p
        | Kernel.Conv { Of = p } ->
            2L * product (Seq.append (p.ResultOffsets |> Seq.map Array.length) [ p.LeftOffsets[2].Length ])
            + finishing p loopOperations
        | Kernel.Repeat r -> int64 r.Length * Array.sumBy operations r.Body.Kernels
        | Kernel.Lines l -> lineOperations l
        | Kernel.Fold f -> product [ f.Outer; f.Windows; f.Inner; f.Window.Size ]
        | Kernel.Scatter s -> product [ s.Batches; s.Outer; s.Count; s.Inner ]
        | Kernel.Attention a -> 2L * StreamedAttention.scores a * int64 (a.Width + a.ValueWidth)
        | Kernel.AttentionGradient g ->
            2L * StreamedAttention.scores g.Of * int64 (3 * g.Of.Width + 2 * g.Of.ValueWidth)
        | Kernel.Pool p -> Pool.operations p
        | Kernel.Check _
        | Kernel.Update _ -> 0L

    let private bytesOf (b: PlanBuffer) = int64 b.Length * int64 (DType.size b.DType)

    /// What an epilogue moves beside the part of the result, which is at hand.
    let private epilogueBytes (plan: Plan) (p: Product) (l: Loop) =
        max 0L (loopBytes (fun b -> if b = p.Result then 0 else plan.Buffers[b].Length) l)

    /// The bytes that one run of a kernel must read and write at least.
    let bytes (plan: Plan) (k: Kernel) : int64 =
        let whole (buffers: int[]) = buffers |> Array.sumBy (fun b -> bytesOf plan.Buffers[b])
        let distinct (tables: int[][]) = tables |> Array.fold (fun n t -> n * int64 (Array.distinct t).Length) 1L
        match k with
        | Kernel.Loop l -> loopBytes (fun b -> plan.Buffers[b].Length) l
        | Kernel.Product p
        | Kernel.Conv { Of = p } ->
            let side b tables = min (distinct tables) (int64 plan.Buffers[b].Length)
            let right =
                match k with
                | Kernel.Conv c ->
                    let places = c.Axes |> Array.fold (fun n a -> n * int64 a.Extent) 1L
                    min (places * distinct p.RightOffsets) (int64 plan.Buffers[p.Right].Length)
                | _ -> side p.Right p.RightOffsets
            let own = side p.Left p.LeftOffsets + right + distinct p.ResultOffsets
            own * int64 (DType.size p.DType) + finishing p (epilogueBytes plan p)
        | _ ->
            let struct (reads, writes) = Kernel.touches k
            whole reads + whole writes

    /// Whether it computes in f64.
    let rec isDouble (k: Kernel) : bool =
        match k with
        | Kernel.Loop l -> l.Nest.Values |> Array.exists (fun v -> v.DType = DType.F64)
        | Kernel.Summed s -> isDouble (Kernel.Loop s.Rows)
        | Kernel.Product p
        | Kernel.Conv { Of = p } -> p.DType = DType.F64
        | Kernel.Lines l -> l.DType = DType.F64
        | Kernel.Fold f -> f.DType = DType.F64
        | Kernel.Scatter s -> s.DType = DType.F64
        | Kernel.Update u -> u.DType = DType.F64
        | Kernel.Attention _
        | Kernel.AttentionGradient _
        | Kernel.Pool _
        | Kernel.Check _ -> false
        | Kernel.Repeat r -> Array.exists isDouble r.Body.Kernels

    /// What sort of kernel it is.
    let kind (k: Kernel) : string =
        match k with
        | Kernel.Loop _ -> "loop"
        | Kernel.Summed _ -> "loop with sums"
        | Kernel.Product _ -> "product"
        | Kernel.Conv _ -> "conv"
        | Kernel.Lines _ -> "lines"
        | Kernel.Fold _ -> "fold"
        | Kernel.Check _ -> "check"
        | Kernel.Scatter _ -> "scatter"
        | Kernel.Update _ -> "update"
        | Kernel.Attention _ -> "attention"
        | Kernel.AttentionGradient _ -> "attention gradient"
        | Kernel.Pool _ -> "pool"
        | Kernel.Repeat _ -> "repeat"

    let private label (k: Kernel) =
        match k with
        | Kernel.Loop l -> l.Label
        | Kernel.Summed s -> $"{s.Rows.Label}, then {s.Sums.Length} x down columns"
        | Kernel.Product p
        | Kernel.Conv { Of = p } ->
            match p.Epilogue with
            | ValueSome l -> $"{p.Label}, then {l.Label}"
            | ValueNone -> p.Label
        | Kernel.Repeat r -> $"{r.Length} x {r.Label}"
        | Kernel.Lines l -> LineWork.name l.Work
        | Kernel.Fold f -> $"windows of {f.Window.Size}"
        | Kernel.Check c -> c.Operation
        | Kernel.Scatter _ -> "scatterAdd"
        | Kernel.Update _ -> "dynamicUpdate"
        | Kernel.Attention a -> StreamedAttention.describe a
        | Kernel.AttentionGradient g -> StreamedAttention.describe g.Of
        | Kernel.Pool p -> Pool.describe p

    // ---- buffers

    /// The shape in which a kernel writes a buffer, where it shows.
    let private writtenShape (plan: Plan) (b: int) : int[] =
        let length = plan.Buffers[b].Length
        let ofLoop (l: Loop) =
            Seq.zip l.Nest.Arguments l.Operands
            |> Seq.tryPick (fun (a, o) ->
                if a.Access = Access.Write && o.Buffer = b then
                    let axes = Array.zip l.Extents o.Form.Strides |> Array.filter (fun (_, s) -> s <> 0)
                    Some(axes |> Array.sortBy (fun (_, s) -> -abs s) |> Array.map fst)
                else
                    None)
        let found =
            plan.Kernels
            |> Array.tryPick (fun k ->
                match k with
                | Kernel.Loop l -> ofLoop l
                | Kernel.Product { Epilogue = ValueSome l }
                | Kernel.Conv { Of = { Epilogue = ValueSome l } } when (ofLoop l).IsSome -> ofLoop l
                | Kernel.Product p
                | Kernel.Conv { Of = p } when p.Result = b ->
                    Some(p.ResultOffsets |> Array.map Array.length |> Array.filter (fun e -> e > 1))
                | _ -> None)
        match found with
        | Some shape when product shape = int64 length -> shape
        | _ -> [| length |]

    /// The name of every buffer: those of inputs and results are given.
    let names (plan: Plan) (inputs: string[]) (outputs: string[]) : string[] =
        let mutable temporaries = 0
        plan.Buffers
        |> Array.map (fun b ->
            match b.Place with
            | Place.Input i -> inputs[i]
            | Place.Output o -> outputs[o]
            | Place.Temporary ->
                temporaries <- temporaries + 1
                $"b{temporaries}")

    let private lifetimes (plan: Plan) =
        let first, last = Array.create plan.Buffers.Length -1, Array.create plan.Buffers.Length -1
        plan.Kernels
        |> Array.iteri (fun k kernel ->
            let struct (reads, writes) = Kernel.touches kernel
            for b in Seq.append reads writes do
                if b >= 0 then
                    if first[b] < 0 then first[b] <- k
                    last[b] <- k)
        first, last

    let private bufferReports (plan: Plan) (memory: MemoryPlan) (names: string[]) (inputs: int[][]) (outputs: int[][]) =
        let first, last = lifetimes plan
        let range b =
            match memory.Homes[b] with
            | Home.Arena offset -> Some(offset, offset + bytesOf plan.Buffers[b])
            | _ -> None
        let reuses b =
            match range b with
            | None -> []
            | Some(start, stop) ->
                [ for e in 0 .. plan.Buffers.Length - 1 do
                      match range e with
                      | Some(s, t) when e <> b && last[e] < first[b] && s < stop && start < t -> names[e]
                      | _ -> () ]
        plan.Buffers
        |> Array.mapi (fun b buffer ->
            let shape, role =
                match buffer.Place with
                | Place.Input i -> inputs[i], "input"
                | Place.Output o -> outputs[o], "result"
                | Place.Temporary -> writtenShape plan b, "temporary"
            { Name = names[b]
              Kind = string buffer.DType + Shape.show shape
              Bytes = bytesOf buffer
              Role = role
              Home =
                match memory.Homes[b] with
                | Home.Input _ -> "caller's memory"
                | Home.InPlace i -> $"in place of input {i}"
                | Home.Fresh _ -> "fresh memory"
                | Home.Arena offset -> $"arena + {offset}"
                | Home.SameAs other -> $"in place of {names[other]}"
                | Home.Nowhere -> "nowhere: nobody reads it"
              First = first[b]
              Last = last[b]
              Reuses = reuses b })

    /// A plan as a report. Inputs and outputs are given by name and shape.
    let make
        (plan: Plan)
        (memory: MemoryPlan)
        (inputs: (string * int[])[])
        (outputs: (string * int[])[])
        (milliseconds: float[])
        =
        let names = names plan (Array.map fst inputs) (Array.map fst outputs)
        let nameOf b = if b < 0 then "" else names[b]
        let kernel i (k: Kernel) =
            let struct (reads, writes) = Kernel.touches k
            let list (buffers: int[]) =
                [ for b in buffers do
                      if b >= 0 then names[b] ]
            { Number = i
              Kind = kind k
              Label = label k
              Name = KernelNames.describe plan k
              IsDouble = isDouble k
              Code = PseudoCode.write nameOf (fun b -> plan.Buffers[b].Length) k
              Reads = list reads
              Writes = list writes
              Bytes = bytes plan k
              Operations = operations k
              Milliseconds = if i < milliseconds.Length then milliseconds[i] else nan }
        { Kernels = plan.Kernels |> Array.mapi kernel
          Buffers = bufferReports plan memory names (Array.map snd inputs) (Array.map snd outputs)
          ArenaBytes = memory.ArenaBytes
          PeakBytes = memory.PeakBytes }

    /// The memory plan as a table.
    let memoryRows (r: ProgramReport) : string[][] =
        [| [| "buffer"; "holds"; "size"; "role"; "lives"; "in kernels"; "" |]
           for b in r.Buffers do
               let kernels =
                   if b.First < 0 then "none"
                   elif b.First = b.Last then string b.First
                   else $"{b.First} to {b.Last}"
               let reuse =
                   if b.Reuses.IsEmpty then
                       ""
                   else
                       "takes over the memory of " + String.Join(", ", List.truncate 3 b.Reuses)
               [| b.Name; b.Kind; Columns.bytes b.Bytes; b.Role; b.Home; kernels; reuse |] |]
