namespace Nanograd

open System
open System.Text

/// How often a value of a loop nest is computed.
[<RequireQualifiedAccess>]
type Level =
    | PerRow
    | PerElement

/// How an argument of a nest moves along the innermost loop: not at all, by one element, or by a stride known when it runs.
[<RequireQualifiedAccess>]
type Advance =
    | Still
    | Next
    | Strided

/// What a nest does with an argument.
[<RequireQualifiedAccess>]
type Access =
    | Read
    | Write
    /// No memory: the position itself is the value (an iota).
    | Count

type Argument = { DType: DType; Access: Access; Advance: Advance }

/// One index that is data: the position moves by value * stride; the value must be below the bound. Both are scalars of the nest.
type Lookup = { Index: int; Stride: int; Bound: int }

/// One definition of a nest; operands are numbers of earlier values.
[<RequireQualifiedAccess>]
type Term =
    /// A number passed when the nest runs: constants, so that equal code serves other numbers.
    | Scalar of int
    /// A number that is part of the code: shift counts.
    | Fixed of Constant
    | Load of argument: int
    | LoadAt of argument: int * Lookup[]
    | Count of argument: int
    | Unary of Unary * int
    | Binary of Binary * int * int
    | Select of int * int * int
    | Cast of int
    | BitCast of int
    /// Threefry2x32-20 of two key words and a counter.
    | RandomBits of int * int * int
    /// A value per element folded over the innermost loop, or over the loop around it in a Columns nest.
    | Reduced of Reduction * int

type Value = { DType: DType; Level: Level; Term: Term }

/// What the two innermost loops of a nest are.
[<RequireQualifiedAccess>]
type NestKind =
    /// Reductions fold the innermost loop; what follows them uses the result in the same row.
    | Rows
    /// Reductions fold the second innermost loop, column by column; they are stored and nothing follows.
    | Columns

/// A loop nest as code: what is computed in each row and each element. Extents, strides, addresses and numbers are not part of it,
/// so that equal layers and other batch sizes share it.
type Nest =
    {
        Kind: NestKind
        Arguments: Argument[]
        Scalars: DType[]
        Values: Value[]
        /// argument, value
        Stores: struct (int * int)[]
    }

/// A nest's argument at work: where it starts in which buffer and how it moves along each loop (in elements).
[<NoComparison>]
type Operand = { Buffer: int; Form: Form }

/// A nest with everything that it runs on.
[<NoComparison>]
type Loop =
    {
        Nest: Nest
        Extents: int[]
        Operands: Operand[]
        Scalars: Constant[]
        /// The lookups whose indices are checked while it runs.
        Checks: Tensor[]
        /// The expression it came from, for people.
        Label: string
    }

/// A matrix product: result[b, m, n] = sum over k of left[b, m, k] * right[b, k, n], operands addressed by offset tables (in elements).
[<NoComparison>]
type Product =
    {
        DType: DType
        Left: int
        Right: int
        Result: int
        LeftOffsets: int[][] // batch, m, k
        RightOffsets: int[][] // batch, k, n
        ResultOffsets: int[][] // batch, m, n
        /// What becomes of each part of the result while it is in cache: a loop whose row-major index is the place in the
        /// result. It reads the part in Result, where it may leave one of its own results instead.
        Epilogue: Loop voption
        Label: string
    }

/// A convolution, as a product of the weights (left) and x: k are the channels and inside them the taps, n the positions of the result. x is
/// read where it lies, with zeros around it: RightOffsets are those of batches and channels, and the axes tell the rest.
[<NoComparison>]
type Conv = { Of: Product; Axes: WindowAxis[] }

/// Where the elements of a buffer come from or go to.
[<RequireQualifiedAccess>]
type Place =
    | Input of int
    | Output of int
    | Temporary

type PlanBuffer = { DType: DType; Length: int; Place: Place }

/// Where a buffer is while a program runs.
[<RequireQualifiedAccess>]
type Home =
    /// In the memory of input i, which the caller owns.
    | Input of int
    /// In the memory of donated input i: the result takes its place.
    | InPlace of input: int
    /// In fresh memory, which becomes result i.
    | Fresh of output: int
    /// At an offset (in bytes) of the program's arena.
    | Arena of offset: int64
    /// In the memory of another buffer, of which this one is another state.
    | SameAs of buffer: int
    /// Nowhere: nobody reads it.
    | Nowhere

/// Where all buffers of a program live, known before it runs.
type MemoryPlan =
    {
        Homes: Home[]
        ArenaBytes: int64
        /// Arena and fresh results together: the most a run adds to what its inputs hold.
        PeakBytes: int64
    }

/// Where a loop keeps a carry from one step to the next. The first step reads the operand, the last one leaves the result.
[<RequireQualifiedAccess>]
type Carry =
    /// In the result's buffer: a step is done with what it read before it writes there.
    | InPlace
    /// By turns in the result's buffer and in this one.
    | Alternating of other: int
    /// Row i of this output is what step i leaves, and there it stays.
    | Stacked of output: int
    /// Row i of this output is what step i finds.
    | StackedBefore of output: int

/// What is done to every line of an array along one axis.
[<RequireQualifiedAccess>]
type LineWork =
    /// The first `count` of the sorted elements, and the positions they had (i64).
    | Sort of descending: bool * count: int
    /// The position (i64) of the largest or smallest element.
    | ArgReduce of largest: bool
    | CumSum of reverse: bool

/// Names of what is done to lines.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module LineWork =
    /// As a reader would say it.
    let name (w: LineWork) : string =
        match w with
        | LineWork.Sort(descending, count) ->
            $"first {count} sorted " + (if descending then "descending" else "ascending")
        | LineWork.ArgReduce largest -> if largest then "argMax" else "argMin"
        | LineWork.CumSum reverse -> if reverse then "cumSum from the end" else "cumSum"

/// Work on the lines of source[outer, length, inner] along its middle axis.
type Lines =
    {
        Work: LineWork
        DType: DType
        Source: int
        /// Values and positions, or the one that there is.
        Results: int[]
        Outer: int
        Length: int
        Inner: int
    }

/// result[outer, l, inner] = the sum of source[outer, window, inner, i] where window and i meet l, window after window, from +0.
type FoldWindows =
    { DType: DType
      Source: int
      Result: int
      Outer: int
      Inner: int
      Windows: int
      Length: int
      Window: Window }

/// Raises unless all indices in a buffer lie where `taken` elements fit an axis of `size`. Comes before everything that relies on it.
type Check = { Operation: string; Indices: int; Size: int; Taken: int }

/// result = target[batches, outer, size, inner] with updates[batches, outer, count, inner] added at indices[batches, count], in order.
type Scatter =
    { DType: DType
      Target: int
      Indices: int
      Updates: int
      Result: int
      Batches: int
      Outer: int
      Size: int
      Inner: int
      Count: int }

/// result = target with a box of it replaced; one start for each axis.
type Update =
    { DType: DType
      Target: int
      Update: int
      Starts: int[]
      Result: int
      Shape: int[]
      Box: int[] }

/// A loop over rows, and nests of columns over the same elements that read what it reads or writes, where it reads or writes it. A band
/// of a few rows goes through all of them while it is in cache.
[<NoComparison>]
type SummedRows =
    {
        /// Over [rows, columns], as each of the sums.
        Rows: Loop
        Sums: Loop[]
        /// What Rows writes and only Sums read: no more of it than a band ever exists.
        Passing: int[]
    }

/// A program's unit of work.
[<RequireQualifiedAccess; NoComparison>]
type Kernel =
    | Loop of Loop
    | Summed of SummedRows
    | Product of Product
    | Conv of Conv
    | Lines of Lines
    | Fold of FoldWindows
    | Check of Check
    | Scatter of Scatter
    | Update of Update
    | Attention of StreamedAttention
    | AttentionGradient of StreamedGradient
    | Pool of Pool
    /// A plan that runs again and again, on moving slices.
    | Repeat of Repeat

/// A program of kernels over numbered buffers, in the order in which they run.
and [<NoComparison>] Plan =
    {
        Buffers: PlanBuffer[]
        Kernels: Kernel[]
        /// For each result of the program, its buffer.
        Results: int[]
    }

/// A loop of at least one step. The body's inputs are captured values, carries and slices, its results the next carries and a row of
/// each output; one of its buffers may serve two of these.
and [<NoComparison>] Repeat =
    {
        Body: Plan
        /// Where the body's buffers are; its arena is the buffer Scratch.
        Memory: MemoryPlan
        Captured: int
        Carried: int
        Length: int
        Reverse: bool
        /// Buffers of the captured values, the initial carries and the scanned inputs.
        Operands: int[]
        /// Buffers of the final carries and the outputs.
        Results: int[]
        Carries: Carry[]
        /// The body's arena; -1 where it needs none.
        Scratch: int
        Label: string
    }

/// The kernel language: small, typed, and silent about vectors, threads and .NET.
[<RequireQualifiedAccess>]
module Kernel =
    /// The values that a term uses.
    let operands (t: Term) =
        match t with
        | Term.Scalar _
        | Term.Fixed _
        | Term.Load _
        | Term.Count _ -> [||]
        | Term.LoadAt(_, lookups) -> lookups |> Array.map (fun l -> l.Index)
        | Term.Unary(_, a)
        | Term.Cast a
        | Term.BitCast a
        | Term.Reduced(_, a) -> [| a |]
        | Term.Binary(_, a, b) -> [| a; b |]
        | Term.Select(a, b, c)
        | Term.RandomBits(a, b, c) -> [| a; b; c |]

    let private having (access: Access) (l: Loop) =
        Array.zip l.Nest.Arguments l.Operands
        |> Array.filter (fun (a, _) -> a.Access = access)
        |> Array.map (fun (_, o) -> o.Buffer)
        |> Array.distinct

    /// Buffers that a kernel reads and writes.
    let touches (k: Kernel) : struct (int[] * int[]) =
        match k with
        | Kernel.Loop l -> struct (having Access.Read l, having Access.Write l)
        | Kernel.Summed s ->
            let all access =
                s.Sums |> Array.collect (having access) |> Array.append (having access s.Rows) |> Array.distinct
            let inside = having Access.Write s.Rows
            struct (Array.except inside (all Access.Read), Array.except s.Passing (all Access.Write))
        | Kernel.Product p
        | Kernel.Conv { Of = p } ->
            let reads, writes =
                match p.Epilogue with
                | ValueSome l -> having Access.Read l |> Array.filter ((<>) p.Result), having Access.Write l
                | ValueNone -> [||], [||]
            struct (Array.append [| p.Left; p.Right |] reads, Array.distinct (Array.append [| p.Result |] writes))
        | Kernel.Lines l -> struct ([| l.Source |], l.Results)
        | Kernel.Fold f -> struct ([| f.Source |], [| f.Result |])
        | Kernel.Check c -> struct ([| c.Indices |], [||])
        | Kernel.Scatter s -> struct ([| s.Target; s.Indices; s.Updates |], [| s.Result |])
        | Kernel.Update u -> struct (Array.append [| u.Target; u.Update |] u.Starts, [| u.Result |])
        | Kernel.Attention a -> struct (StreamedAttention.reads a, [| a.Result.Buffer; a.LogSums |])
        | Kernel.AttentionGradient g ->
            let others = [| g.Of.LogSums; g.Deltas; g.Cotangent.Buffer |]
            struct (Array.append (StreamedAttention.reads g.Of) others, [| g.ToQ.Buffer; g.ToK.Buffer; g.ToV.Buffer |])
        | Kernel.Pool p -> struct (Pool.reads p, [| p.Result |])
        | Kernel.Repeat r ->
            let others =
                r.Carries
                |> Array.choose (fun c ->
                    match c with
                    | Carry.Alternating other -> Some other
                    | Carry.InPlace
                    | Carry.Stacked _
                    | Carry.StackedBefore _ -> None)
            let written = Array.concat [ r.Results; others; [| r.Scratch |] ] |> Array.filter (fun b -> b >= 0)
            struct (Array.distinct r.Operands, Array.distinct written)

    /// The operand that the result may take the place of, if nobody else needs it: then only what changes is written.
    let replaces (k: Kernel) : struct (int * int) voption =
        match k with
        | Kernel.Scatter s when s.Target <> s.Updates && s.Target <> s.Indices -> ValueSome(struct (s.Target, s.Result))
        | Kernel.Update u when u.Target <> u.Update && not (Array.contains u.Target u.Starts) ->
            ValueSome(struct (u.Target, u.Result))
        | Kernel.Scatter _
        | Kernel.Update _
        | Kernel.Loop _
        | Kernel.Summed _
        | Kernel.Product _
        | Kernel.Conv _
        | Kernel.Lines _
        | Kernel.Fold _
        | Kernel.Check _
        | Kernel.Attention _
        | Kernel.AttentionGradient _
        | Kernel.Pool _
        | Kernel.Repeat _ -> ValueNone

    /// May it find an index out of range?
    let rec mayFail (k: Kernel) =
        match k with
        | Kernel.Loop l -> l.Checks.Length > 0
        | Kernel.Summed s -> s.Rows.Checks.Length > 0
        | Kernel.Check _ -> true
        | Kernel.Repeat r -> Array.exists mayFail r.Body.Kernels
        | Kernel.Product _
        | Kernel.Conv _
        | Kernel.Lines _
        | Kernel.Fold _
        | Kernel.Scatter _
        | Kernel.Attention _
        | Kernel.AttentionGradient _
        | Kernel.Pool _
        | Kernel.Update _ -> false

    let private word (i: int) = "v" + string i

    let private showTerm (n: Nest) (term: Term) =
        let join (parts: string list) = String.Join(" ", parts)
        match term with
        | Term.Scalar i -> join [ "scalar"; string i ]
        | Term.Fixed c -> string c.Int
        | Term.Load a -> join [ "load"; string a ]
        | Term.LoadAt(a, lookups) ->
            let at (l: Lookup) = join [ word l.Index; "* s" + string l.Stride; "< s" + string l.Bound ]
            join [ "load"; string a; "at"; String.Join(", ", lookups |> Array.map at) ]
        | Term.Count a -> join [ "count"; string a ]
        | Term.Unary(u, x) -> join [ Case.name u; word x ]
        | Term.Binary(b, x, y) -> join [ Case.name b; word x; word y ]
        | Term.Select(c, x, y) -> join [ "select"; word c; word x; word y ]
        | Term.Cast x -> join [ "cast"; word x ]
        | Term.BitCast x -> join [ "bits"; word x ]
        | Term.RandomBits(x, y, c) -> join [ "randomBits"; word x; word y; word c ]
        | Term.Reduced(r, x) ->
            join [ Case.name r; word x; (if n.Kind = NestKind.Rows then "" else "down the columns") ]

    /// A nest as text: arguments, then one definition a line (`row` for those computed once a row), then the stores.
    /// Equal nests have equal texts, so that the text is also the key under which compiled nests are found again.
    let showNest (n: Nest) =
        let text = StringBuilder()
        let line (parts: string list) =
            for p in parts do
                text.Append(p) |> ignore
            text.Append '\n' |> ignore
        line [ (if n.Kind = NestKind.Rows then "rows" else "columns"); " with "; string n.Scalars.Length; " scalars" ]
        n.Arguments
        |> Array.iteri (fun i a ->
            line [ "  "; string i; ": "; Case.name a.Access; " "; Case.name a.DType; " "; Case.name a.Advance ])
        n.Values
        |> Array.iteri (fun i v ->
            line
                [ (if v.Level = Level.PerRow then "  row v" else "  v")
                  string i
                  ": "
                  Case.name v.DType
                  " = "
                  showTerm n v.Term ])
        for struct (a, v) in n.Stores do
            line [ "  store "; string a; " = v"; string v ]
        text.ToString()

    let private showCarries (carries: Carry[]) =
        let one (c: Carry) =
            match c with
            | Carry.InPlace -> "in place"
            | Carry.Alternating other -> $"by turns with b{other}"
            | Carry.Stacked output -> $"in output {output}"
            | Carry.StackedBefore output -> $"ahead in output {output}"
        "[" + String.Join(", ", Array.map one carries) + "]"

    let private showScratch (b: int) = if b < 0 then "none" else $"b{b}"

    let private showLoop (l: Loop) =
        let operand i (o: Operand) = $"{i}:b{o.Buffer}+{o.Form.Offset}{Shape.show o.Form.Strides}"
        $"loop {Shape.show l.Extents} {l.Label}: "
        + String.Join(" ", Array.mapi operand l.Operands)
        + "\n"
        + showNest l.Nest

    /// A kernel with what it runs on, in one line and (loops) its code below.
    let rec show (k: Kernel) =
        match k with
        | Kernel.Loop l -> showLoop l
        | Kernel.Summed s ->
            let sums = s.Sums |> Array.map (fun l -> $"  and, band by band, {showLoop l}")
            showLoop s.Rows + String.Join("", sums)
        | Kernel.Product p
        | Kernel.Conv { Of = p } ->
            let size (t: int[][]) = Shape.show (t |> Array.map Array.length)
            let epilogue =
                match p.Epilogue with
                | ValueSome l -> $"  then, part by part, {showLoop l}"
                | ValueNone -> ""
            let word, right = if k.IsConv then "conv", "" else "product", size p.RightOffsets
            $"{word} b{p.Result}{size p.ResultOffsets} = b{p.Left}{size p.LeftOffsets} x b{p.Right}{right}: {p.Label}\n"
            + epilogue
        | Kernel.Lines l ->
            $"lines b{Shape.show l.Results} = {LineWork.name l.Work} b{l.Source}{Shape.show [| l.Outer; l.Length; l.Inner |]} {l.DType}\n"
        | Kernel.Fold f ->
            let w = f.Window
            $"fold b{f.Result}{Shape.show [| f.Outer; f.Length; f.Inner |]} = b{f.Source}, {f.Windows} windows of {w.Size} (step {w.Step}, dilation {w.Dilation})\n"
        | Kernel.Check c -> $"check b{c.Indices}: {c.Operation} of {c.Taken} on an axis of {c.Size}\n"
        | Kernel.Scatter s ->
            $"scatter b{s.Result} = b{s.Target}{Shape.show [| s.Batches; s.Outer; s.Size; s.Inner |]} + b{s.Updates} at b{s.Indices}[{s.Count}]\n"
        | Kernel.Update u ->
            $"update b{u.Result} = b{u.Target}{Shape.show u.Shape} with b{u.Update}{Shape.show u.Box} at b{Shape.show u.Starts}\n"
        | Kernel.Attention a ->
            $"attention b{a.Result.Buffer}, b{a.LogSums} of b{Shape.show (StreamedAttention.reads a)}: {StreamedAttention.describe a}\n"
        | Kernel.AttentionGradient g ->
            let struct (reads, writes) = touches k
            $"attention gradient b{Shape.show writes} of b{Shape.show reads}: {StreamedAttention.describe g.Of}\n"
        | Kernel.Pool p ->
            let gradient = if Pool.isGradient p then " gradient" else ""
            $"{Pool.name p}{gradient} b{p.Result} of b{Shape.show (Pool.reads p)}: {Pool.describe p}\n"
        | Kernel.Repeat r ->
            let indent (text: string) = "  | " + text.TrimEnd('\n').Replace("\n", "\n  | ") + "\n"
            let direction = if r.Reverse then " from the last" else ""
            $"repeat {r.Length} times{direction} {r.Label}: b{Shape.show r.Results} of b{Shape.show r.Operands}, "
            + $"carries {showCarries r.Carries}, arena {showScratch r.Scratch}\n"
            + String.Join("", r.Body.Kernels |> Array.map (show >> indent))

    /// Checks a nest's rules: operands come before uses, types fit, levels are consistent, stores go to written arguments. Returns what is wrong.
    let check (n: Nest) : string list =
        let wrong = ResizeArray<string>()
        let level i = n.Values[i].Level
        let dtype i = n.Values[i].DType
        n.Values
        |> Array.iteri (fun i v ->
            let need condition (what: string) = if not condition then wrong.Add $"v{i}: {what}"
            for o in operands v.Term do
                need (o >= 0 && o < i) $"operand v{o} is not defined before it"
            let uses = operands v.Term |> Array.filter (fun o -> o >= 0 && o < i)
            let spills = uses |> Array.exists (fun o -> level o = Level.PerElement)
            match v.Term with
            | Term.Reduced(_, x) ->
                need (v.Level = Level.PerRow) "a reduction is a value per row"
                need (dtype x = v.DType) "a reduction keeps the type"
            | Term.Scalar s -> need (s < n.Scalars.Length && n.Scalars[s] = v.DType) "no such scalar"
            | Term.Load a
            | Term.LoadAt(a, _) ->
                need
                    (n.Arguments[a].Access = Access.Read && n.Arguments[a].DType = v.DType)
                    "loads need a read argument of their type"
                need
                    (n.Kind = NestKind.Columns || v.Level = Level.PerElement || n.Arguments[a].Advance = Advance.Still)
                    "a value per row cannot read a moving argument"
            | Term.Count a -> need (n.Arguments[a].Access = Access.Count) "counting needs a counting argument"
            | Term.Binary(b, x, y) ->
                need (dtype x = dtype y) "operands must have one type"
                match b with
                | Binary.Eq
                | Binary.Ne
                | Binary.Lt
                | Binary.Le
                | Binary.Gt
                | Binary.Ge -> need (v.DType = DType.Bool) "comparisons are bool"
                | _ -> need (v.DType = dtype x) "the type must not change"
            | Term.Select(c, x, y) ->
                need
                    (dtype c = DType.Bool && dtype x = v.DType && dtype y = v.DType)
                    "select needs a bool and two values of its type"
            | Term.Unary(_, x) -> need (dtype x = v.DType) "the type must not change"
            | Term.BitCast x -> need (DType.size (dtype x) = DType.size v.DType) "sizes must agree"
            | Term.Fixed _
            | Term.Cast _
            | Term.RandomBits _ -> ()
            match v.Term with
            | Term.Reduced _ -> ()
            | _ -> need (not spills || v.Level = Level.PerElement) "a value per row cannot depend on one per element")
        for struct (a, v) in n.Stores do
            if n.Arguments[a].Access <> Access.Write || n.Arguments[a].DType <> dtype v then
                wrong.Add $"store {a}: not a written argument of the type of v{v}"
        List.ofSeq wrong

/// A kernel of a plan, or of the body of a loop in it.
[<NoComparison>]
type PlacedKernel =
    {
        Kernel: Kernel
        /// The plan whose buffers it works on.
        Plan: Plan
        /// Loops around it.
        Depth: int
        /// Its place: `3`, or `3.0` for the first kernel of the loop that is kernel 3.
        Path: string
        /// How often a run of the whole plan runs it.
        Times: int64
    }

/// Plans with the bodies of their loops.
[<RequireQualifiedAccess>]
module Plans =
    /// All kernels in the order in which they stand, those of a loop after the loop itself.
    let rec private within (depth: int) (path: string) (times: int64) (plan: Plan) : seq<PlacedKernel> =
        plan.Kernels
        |> Seq.indexed
        |> Seq.collect (fun (i, k) ->
            seq {
                { Kernel = k; Plan = plan; Depth = depth; Path = $"{path}{i}"; Times = times }
                match k with
                | Kernel.Repeat r -> yield! within (depth + 1) $"{path}{i}." (times * int64 r.Length) r.Body
                | _ -> ()
            })

    /// All kernels of a plan, in the order in which they stand; those of a loop come after the loop itself.
    let kernels (plan: Plan) : PlacedKernel[] = within 0 "" 1L plan |> Seq.toArray
