namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Text

/// What the elements of a value are like.
type ValueRange =
    {
        Count: int
        /// Of the finite elements; NaN where there are none.
        Least: float
        Greatest: float
        NaNs: int
        PositiveInfinities: int
        NegativeInfinities: int
    }

    /// No NaN and no infinity.
    member r.IsFinite = r.NaNs = 0 && r.PositiveInfinities = 0 && r.NegativeInfinities = 0

    override r.ToString() =
        let number (x: float) = x.ToString("G5", CultureInfo.InvariantCulture).ToLowerInvariant()
        let some count what = if count = 0 then [] else [ $"{count} {what}" ]
        let finite =
            if r.Count = 0 then [ "no elements" ]
            elif Double.IsNaN r.Least then []
            elif r.Least = r.Greatest then [ $"all {number r.Least}" ]
            else [ $"{number r.Least} to {number r.Greatest}" ]
        let finite = if not r.IsFinite then finite |> List.map (fun f -> "the rest " + f) else finite
        [ some r.NaNs "NaN"; some r.PositiveInfinities "inf"; some r.NegativeInfinities "-inf"; finite ]
        |> List.concat
        |> fun parts -> String.Join(", ", parts)

/// One operand of an expression that turned NaN or infinite.
type OperandRange = { Expression: string; Kind: string; Range: ValueRange }

/// The first expression that turned NaN or infinite although its operands were not.
[<NoComparison; ReferenceEquality; StructuredFormatDisplay("{Text}")>]
type NonFinite =
    {
        /// The expression, as it was built.
        Node: Tensor
        /// The same as algebra, its far operands elided.
        Algebra: string
        /// "NaN" or "infinite".
        Turned: string
        Result: ValueRange
        Operands: OperandRange list
        /// Given values that the text names without being operands.
        Values: OperandRange list
        /// One element as arithmetic: `[2]: log(-1) = nan`.
        Example: string
        /// The steps of the loops that it happened in, outermost first.
        Steps: int list
        /// Its place in evaluation order, from 1, and how many expressions there are.
        Position: int
        Of: int
        /// The expression that reads it first; "" for a result.
        ReadBy: string
        Site: Site option
        /// When it first occurs in the backward pass: the expression whose derivative it is, and that one's line.
        DerivativeOf: (string * Site option) option
        /// What to do about it; "" where nothing is known.
        Hint: string
    }

    /// The report, as `string` gives it.
    member f.Text = string f

    override f.ToString() =
        let text = StringBuilder()
        let line (label: string) (s: string) =
            if s <> "" then text.Append("\n    ").Append(label.PadRight 11).Append(s) |> ignore
        let steps = String.Join("", f.Steps |> List.map (fun s -> $" in step {s} of a loop"))
        let isFinite = f.Operands |> List.forall (fun o -> o.Range.IsFinite)
        let operands = if isFinite then "although its operands are finite" else "from infinite operands"
        (if f.Operands.IsEmpty then
             text.Append $"{f.Algebra}, a value that was given, holds NaN or infinities."
         else
             text.Append $"{f.Algebra} turned {f.Turned}{steps}, {operands}.")
        |> ignore
        (match f.DerivativeOf with
         | Some(forward, site) ->
             let at =
                 match site with
                 | Some s -> $", built at {s}"
                 | None -> ""
             line "derivative" $"it first occurs in the derivative of {forward}{at}; the function itself is finite"
         | None -> ())
        line
            "line"
            (match f.Site with
             | Some s -> string s
             | None -> "")
        line "element" f.Example
        line "result" $"{Shape.describe f.Node}: {f.Result}"
        for o in f.Operands do
            line "operand" $"{o.Expression}: {o.Kind}: {o.Range}"
        for v in f.Values do
            line "value" $"{v.Expression}: {v.Kind}: {v.Range}"
        line
            "place"
            ($"expression {f.Position} of {f.Of}" + (if f.ReadBy = "" then ", a result" else $", read by {f.ReadBy}"))
        line "hint" f.Hint
        text.ToString()

/// What looking for NaN and infinities found.
[<NoComparison; ReferenceEquality; StructuredFormatDisplay("{Text}")>]
type NonFiniteReport =
    {
        /// The first expression that turned NaN or infinite, if a result is.
        First: NonFinite option
        /// Expressions that are NaN or infinite somewhere, but do not reach a result.
        Harmless: string list
        /// How many expressions were looked at.
        Expressions: int
    }

    /// True when every result is finite.
    member r.IsFinite = r.First.IsNone

    member r.Text = string r

    override r.ToString() =
        let harmless =
            if r.Harmless.IsEmpty then
                ""
            else
                "\nnot finite, but without effect on the results: " + String.Join("; ", List.truncate 5 r.Harmless)
        match r.First with
        | Some f -> string f + harmless
        | None -> $"All results are finite ({r.Expressions} expressions looked at)." + harmless

/// A result is NaN or infinite, and somebody asked to be told.
[<Sealed>]
type NonFiniteException(report: NonFiniteReport, message: string) =
    inherit ArithmeticException(message)
    /// What was found.
    member _.Report = report

/// Finding where NaN and infinities come from: every node is computed on its own, without rewriting or fusion.
[<RequireQualifiedAccess>]
module internal NonFinite =
    // ---- looking at values

    let private rangeOf (s: Storage) : ValueRange =
        let mutable least, greatest = Double.PositiveInfinity, Double.NegativeInfinity
        let mutable nans, positive, negative = 0, 0, 0
        let inline see (x: float) =
            if Double.IsFinite x then
                if x < least then least <- x
                if x > greatest then greatest <- x
            elif Double.IsNaN x then
                nans <- nans + 1
            elif x > 0.0 then
                positive <- positive + 1
            else
                negative <- negative + 1
        if s.DType = DType.F32 then
            let xs = Buffers.span<float32> s
            for i in 0 .. xs.Length - 1 do
                see (float xs[i])
        else
            for i in 0 .. s.Length - 1 do
                see (Buffers.read s i).Float
        GC.KeepAlive s
        { Count = s.Length
          Least = if least > greatest then nan else least
          Greatest = if least > greatest then nan else greatest
          NaNs = nans
          PositiveInfinities = positive
          NegativeInfinities = negative }

    let isFinite (s: Storage) = not (DType.isFloat s.DType) || (rangeOf s).IsFinite

    let private isElementwise (t: Tensor) =
        match t.Op with
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast -> true
        | _ -> false

    let private isBad (c: Constant) = DType.isFloat c.DType && not (Double.IsFinite c.Float)

    // ---- computing one node

    /// Products and loops are compiled; the rest is done at once by the interpreter. Both have the same bits.
    let private isHeavy (t: Tensor) =
        match t.Op with
        | Op.Dot _
        | Op.Conv _
        | Op.Scan _ -> true
        | _ -> t.Count > 4096 || Array.exists (fun (i: Tensor) -> i.Count > 4096) t.Inputs

    let private compute (t: Tensor) (operands: Tensor[]) : Tensor[] =
        let again = if t.Inputs.Length = 0 then t else Op.rebuild t operands
        let outputs = if Calls.isCall t then Op.items again else [| again |]
        if isHeavy t then
            Program.withoutRewriting (fun () -> Program.evaluate outputs)
        else
            let values = Interpreter.evaluate (Dictionary()) outputs
            Array.map2 (fun (o: Tensor) s -> Op.literal s o.Shape) outputs values

    // ---- as text

    /// A literal as it is written in a report: scalars by value, the rest by a short name.
    type private Names() =
        let names = Dictionary<Hash, string>()
        let given = List<struct (string * Tensor)>()
        member _.Given = given
        member _.Of(t: Tensor) =
            match names.TryGetValue t.Hash with
            | true, n -> n
            | _ ->
                names[t.Hash] <- $"v{names.Count + 1}"
                given.Add(struct (names[t.Hash], t))
                names[t.Hash]

    /// The node with operands to depth 3.
    let private brief (names: Names) (t: Tensor) : string =
        let rec cut depth views (t: Tensor) =
            match t.Op with
            | Op.Literal s when t.Count = 1 -> Op.constant (Buffers.read s 0)
            | Op.Literal _ -> Op.input (names.Of t) t.DType t.Shape
            | _ when t.Inputs.Length = 0 -> t
            | _ when depth = 0 || views = 0 -> Op.input "..." t.DType t.Shape
            | Op.Movement(Movement.Broadcast | Movement.Reshape)
            | Op.Item _ -> Op.rebuild t (t.Inputs |> Array.map (cut depth (views - 1)))
            | _ -> Op.rebuild t (t.Inputs |> Array.map (cut (depth - 1) (views - 1)))
        (Print.algebra (cut 3 12 t)).Replace("\n", "; ")

    let private indexText (shape: int[]) (p: int) =
        let index = Shape.strides shape |> Array.mapi (fun i s -> p / s % shape[i])
        Shape.show index

    /// The first bad element of the result, with the elements of the operands that it was computed from.
    let private example (t: Tensor) (operands: Storage[]) (result: Storage) : string =
        match Seq.tryFind (fun i -> isBad (Buffers.read result i)) (seq { 0 .. result.Length - 1 }) with
        | None -> ""
        | Some p ->
            let short (text: string) = text.Replace("infinity", "inf")
            let value = short (Print.digits (Buffers.read result p))
            let at = if t.Rank = 0 then "" else indexText t.Shape p + ": "
            if isElementwise t && operands |> Array.forall (fun o -> o.Length = result.Length) then
                let numbers = operands |> Array.map (fun o -> Op.constant (Buffers.read o p))
                $"{at}{short (Print.algebra (Tensor(t.Op, numbers, t.DType, [||])))} = {value}"
            else
                $"{at}{value}"

    /// What usually helps.
    let private hint (t: Tensor) (operands: ValueRange[]) (turned: string) =
        let negative i = operands[i].Least < 0.0
        let zero i = operands[i].Least <= 0.0 && operands[i].Greatest >= 0.0
        let isF32 = t.DType = DType.F32
        match t.Op with
        | Op.Unary Unary.Log when negative 0 ->
            "log of a negative number is NaN, of 0 it is -inf; keep the operand positive: log (maximum x (scalar 1e-6))"
        | Op.Unary Unary.Log ->
            "log of 0 is -inf; keep the operand positive: log (maximum x (scalar 1e-6)); of a softmax, use logSoftmax"
        | Op.Unary Unary.Log1p -> "log1p needs operands above -1"
        | Op.Unary Unary.Sqrt -> "sqrt of a negative number is NaN; clamp it first: sqrt (maximum x (scalar 0.0))"
        | Op.Unary Unary.Rsqrt ->
            "1 / sqrt x needs positive operands; add a small number, as layer norms do: rsqrt (x + 1e-5)"
        | Op.Unary(Unary.Exp | Unary.Expm1) ->
            (if isF32 then "exp overflows f32 above 88.7" else "exp overflows f64 above 709.7")
            + "; subtract the largest element first, as softmax and logSumExpKeep do"
        | Op.Binary Binary.Div when zero 1 && turned = "NaN" ->
            "0 / 0 is NaN; add a small number to the denominator, or choose with where *before* dividing"
        | Op.Binary Binary.Div when zero 1 ->
            "division by 0; add a small number to the denominator, or choose with where *before* dividing"
        | Op.Binary Binary.Pow -> "a negative number to a fractional power is NaN, 0 to a negative one is inf"
        | Op.Binary Binary.Sub when turned = "NaN" -> "inf - inf is NaN: see where the infinities come from"
        | Op.Binary Binary.Mul when turned = "NaN" -> "0 * inf is NaN: see where the infinity comes from"
        | Op.Binary(Binary.Add | Binary.Sub | Binary.Mul | Binary.Div)
        | Op.Reduce _
        | Op.Dot _ when turned = "infinite" ->
            "the result is beyond the largest number of its type: smaller values, a smaller learning rate, or f64"
        | _ -> ""

    /// What usually helps when a derivative is to blame.
    let private backwardHint (forward: Tensor) =
        let safe = "; where after it does not help, choose a safe operand *before*: log (where c x (scalar 1.0))"
        match forward.Op with
        | Op.Unary Unary.Sqrt -> "the derivative of sqrt at 0 is infinite; add a small number: sqrt (x + 1e-12)"
        | Op.Unary Unary.Log -> "the derivative of log is infinite at 0" + safe
        | Op.Unary Unary.Rsqrt -> "the derivative of rsqrt is infinite at 0" + safe.Replace("log", "rsqrt")
        | Op.Binary Binary.Div ->
            "the derivative of x / y is infinite at y = 0"
            + safe.Replace("log (where c x (scalar 1.0))", "x / where c y (scalar 1.0)")
        | Op.Binary Binary.Pow ->
            "the derivative of x ** n is infinite at x = 0 for n < 1"
            + safe.Replace("log (where c x (scalar 1.0))", "where c x (scalar 1.0) ** n")
        | _ -> ""

    // ---- the search

    /// A node that is NaN or infinite.
    [<NoComparison; NoEquality>]
    type private Bad =
        {
            Node: Tensor
            /// All operands are finite.
            Born: bool
            /// The operands that its bad elements come from.
            From: Tensor[]
            Describe: Lazy<NonFinite>
        }

    /// Custom and Checkpoint are looked into.
    let rec private expand (roots: Tensor[]) =
        let body (t: Tensor) =
            match t.Op with
            | Op.Item i ->
                match t.Inputs[0].Op with
                | Op.Custom c -> Some (Lambda.apply c.Body t.Inputs[0].Inputs).[i]
                | Op.Checkpoint l -> Some (Lambda.apply l t.Inputs[0].Inputs).[i]
                | _ -> None
            | _ -> None
        if Graph.topological roots |> Array.exists (fun t -> (body t).IsSome) then
            expand (Substitute.rewrite body roots)
        else
            roots

    /// Which operands bad elements of the result come from: elementwise, those that are bad at the same element (of a choice, the chosen).
    let private sources (t: Tensor) (operands: Storage[]) (ranges: ValueRange[]) (result: Storage) : bool[] =
        if not (isElementwise t) || operands |> Array.exists (fun o -> o.Length <> result.Length) then
            ranges |> Array.map (fun r -> not r.IsFinite)
        else
            let chosen k p =
                match t.Op with
                | Op.Select -> k = (if (Buffers.read operands[0] p).Int <> 0L then 1 else 2)
                | _ -> true
            let comes k p = isBad (Buffers.read result p) && chosen k p && isBad (Buffers.read operands[k] p)
            operands
            |> Array.mapi (fun k _ -> not ranges[k].IsFinite && Seq.exists (comes k) (seq { 0 .. result.Length - 1 }))

    let private describe
        (recorder: Recorder)
        (names: Names)
        (order: Tensor[])
        position
        (t: Tensor)
        inputs
        operands
        ranges
        result
        range
        =
        let fresh = range.NaNs > 0 && Array.forall (fun (r: ValueRange) -> r.NaNs = 0) ranges
        let turned = if fresh then "NaN" else "infinite"
        let describeOperand (o: Tensor) r = { Expression = brief names o; Kind = Shape.describe o; Range = r }
        let algebra = brief names t
        let occurs name = Text.RegularExpressions.Regex.IsMatch(algebra, $@"\b{name}\b")
        let forward = recorder.Forward t
        { Node = t
          Algebra = algebra
          Turned = turned
          Result = range
          Operands = Array.map2 describeOperand inputs ranges |> Array.distinct |> List.ofArray
          Values =
            [ for struct (name, v) in names.Given do
                  if occurs name && not (Array.contains v inputs) && v <> t then
                      { Expression = name
                        Kind = Shape.describe v
                        Range = rangeOf (Program.storage v) } ]
          Example = example t operands result
          Steps = []
          Position = position + 1
          Of = order.Length
          ReadBy =
            match order |> Array.tryFind (fun u -> Array.contains t u.Inputs) with
            | Some u -> brief names u
            | None -> ""
          Site = recorder.Site t
          DerivativeOf = forward |> Option.map (fun f -> brief (Names()) f, recorder.Site f)
          Hint =
            match Option.map backwardHint forward with
            | None
            | Some "" -> hint t ranges turned
            | Some text -> text }

    /// Where the bad elements of `roots` come from: back from the results along bad operands.
    let private reachable (bad: Dictionary<Hash, Bad>) (roots: Tensor[]) : HashSet<Hash> =
        let reached, stack = HashSet<Hash>(), Stack<Tensor>(roots)
        while stack.Count > 0 do
            let t = stack.Pop()
            match bad.TryGetValue t.Hash with
            | true, b when reached.Add t.Hash -> Array.iter stack.Push b.From
            | _ -> ()
        reached

    let private report (bad: Dictionary<Hash, Bad>) (order: Tensor[]) (roots: Tensor[]) : NonFiniteReport =
        let reached = reachable bad roots
        let inOrder = order |> Array.filter (fun t -> bad.ContainsKey t.Hash) |> Array.map (fun t -> bad[t.Hash])
        let reaching, harmless = inOrder |> Array.partition (fun b -> reached.Contains b.Node.Hash)
        // Of finite operands if there is one; else where infinities became NaN; else what was given.
        let first =
            [ (fun b -> b.Born); (fun b -> b.Describe.IsValueCreated); (fun _ -> true) ]
            |> List.tryPick (fun isFirst -> Array.tryFind isFirst reaching)
        let place (f: NonFinite) =
            match f.Site with
            | Some s -> $"{f.Algebra} at {s}"
            | None -> f.Algebra
        { First = first |> Option.map (fun b -> b.Describe.Value)
          Harmless =
            [ for b in harmless do
                  if b.Born then place b.Describe.Value ]
          Expressions = order.Length }

    /// Computes `roots` node by node. `values` holds what variables and parameters stand for.
    let rec private search
        (recorder: Recorder)
        (values: Dictionary<Hash, Tensor[]>)
        (roots: Tensor[])
        : Tensor[] * NonFiniteReport =
        let order = Graph.topological roots
        let readers = Dictionary<Hash, int>()
        for t in Seq.append (order |> Seq.collect (fun t -> t.Inputs)) roots do
            readers[t.Hash] <- 1 + (if readers.ContainsKey t.Hash then readers[t.Hash] else 0)
        let bad, names, loops = Dictionary<Hash, Bad>(), Names(), Dictionary<Hash, NonFinite option>()
        let look
            position
            (t: Tensor)
            (inputs: Tensor[])
            (operands: Storage[])
            (result: Storage)
            (inner: NonFinite option)
            =
            let range = rangeOf result
            if not range.IsFinite then
                let ranges = operands |> Array.map rangeOf
                let isBorn = inputs.Length > 0 && ranges |> Array.forall (fun r -> r.IsFinite)
                let isTurned = range.NaNs > 0 && ranges |> Array.forall (fun r -> r.NaNs = 0)
                let found =
                    match inner with
                    | Some f -> lazy f
                    | None -> lazy (describe recorder names order position t inputs operands ranges result range)
                // Texts are made now where they may be wanted: the values are let go.
                if isBorn || isTurned then found.Force() |> ignore
                let from = Array.zip inputs (sources t operands ranges result) |> Array.filter snd |> Array.map fst
                bad[t.Hash] <- { Node = t; Born = isBorn; From = from; Describe = found }
        let visit position (t: Tensor) =
            let value (x: Tensor) = values[x.Hash].[0]
            match t.Op with
            | Op.Item i ->
                let call = t.Inputs[0]
                let operands = call.Inputs |> Array.map value
                values[t.Hash] <- [| values[call.Hash].[i] |]
                let result = Program.storage (value t)
                let inner =
                    match call.Op with
                    | Op.Scan s when not (isFinite result) ->
                        if not (loops.ContainsKey call.Hash) then loops[call.Hash] <- openLoop recorder s operands
                        loops[call.Hash]
                    | _ -> None
                if DType.isFloat t.DType then
                    look position t call.Inputs (Array.map Program.storage operands) result inner
            | _ ->
                let operands = t.Inputs |> Array.map value
                if not (values.ContainsKey t.Hash) then values[t.Hash] <- compute t operands
                if DType.isFloat t.DType && not (Calls.isCall t) then
                    look position t t.Inputs (Array.map Program.storage operands) (Program.storage (value t)) None
        // A call's operands are looked at with its results, so they stay as long as it does.
        let rec release (t: Tensor) =
            readers[t.Hash] <- readers[t.Hash] - 1
            if readers[t.Hash] = 0 then
                if Calls.isCall t then Array.iter release t.Inputs
                if t.Inputs.Length > 0 then values.Remove t.Hash |> ignore
        order
        |> Array.iteri (fun position t ->
            visit position t
            if not (Calls.isCall t) then Array.iter release t.Inputs)
        roots |> Array.map (fun r -> values[r.Hash].[0]), report bad order roots

    /// The first step of a loop in which something turns bad, and what.
    and private openLoop (recorder: Recorder) (s: Scan) (operands: Tensor[]) : NonFinite option =
        let body = expand s.Body.Results
        let parameters = s.Body.Params |> Array.mapi (fun i (d, shape) -> Op.parameter i d shape)
        let first = s.Captured + s.Carried
        let sliceOf i (x: Tensor) (_, shape) =
            Op.literal (Interpreter.evaluate (Dictionary()) [| slice 0 i (i + 1) x |]).[0] shape
        let rec step n (carries: Tensor[]) =
            if n = s.Length then
                None
            else
                let i = if s.Reverse then s.Length - 1 - n else n
                let slices = Array.map2 (sliceOf i) operands[first..] s.Body.Params[first..]
                let values = Dictionary<Hash, Tensor[]>()
                Array.concat [ operands[.. s.Captured - 1]; carries; slices ]
                |> Array.iter2 (fun (p: Tensor) v -> values[p.Hash] <- [| v |]) parameters
                let results, report = search recorder values body
                match report.First with
                | Some f -> Some { f with Steps = i :: f.Steps }
                | None -> step (n + 1) results[.. s.Carried - 1]
        step 0 operands[s.Captured .. first - 1]

    /// The report for expressions without variables. The recorder knows the lines; nothing is recorded meanwhile.
    let find (recorder: Recorder) (roots: Tensor[]) : NonFiniteReport =
        let roots = expand roots // copies inherit the lines of their originals
        let listening = Watcher.Current
        Watcher.Current <- null
        try
            snd (search recorder (Dictionary()) roots)
        finally
            Watcher.Current <- listening
