namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Text
open Nanograd.Simd

/// An expression at one rung of the ladder.
type ExpressionReport =
    {
        /// The result's place in the tree that the function returns; "" for a single tensor.
        Path: string
        /// `f32[32,10]`.
        Kind: string
        /// For readers: names such as softmax, like terms collected.
        Pretty: string
        /// The same in LaTeX.
        Latex: string
        /// As the function built it.
        Traced: string
        TracedNodes: int
        /// What the compiler starts from.
        Simplified: string
        SimplifiedNodes: int
    }

/// A rewriting rule that fired.
type RuleReport =
    {
        /// Its name and law.
        Rule: string
        Times: int
        /// What it did first, as an equation; "" where that is long.
        Example: string
    }

/// Everything that happens to an expression on its way to the processor. `string` gives the text that `explain` prints.
[<NoComparison; StructuredFormatDisplay("{Text}")>]
type Explanation =
    {
        Results: ExpressionReport[]
        /// The rewriting rules that fired, and how often.
        Rules: RuleReport list
        /// Kernels, with times if the arguments were values.
        Program: ProgramReport
        /// What the machine can do; None where nothing was measured.
        Limits: MachineLimits option
        /// The results as expressions of named variables, for pictures.
        Expressions: Tensor[]
        /// What goes in: names and kinds.
        Arguments: (string * string)[]
    }

    member e.Text = string e

    override e.ToString() = Explanation.Write e

    /// The time that arithmetic and memory alone would take, in milliseconds, and which of them is longer.
    static member internal Ideal (limits: MachineLimits) (k: KernelReport) : struct (float * string) =
        Machine.ideal limits k.IsDouble k.Bytes k.Operations

    /// The table of measurements: time, share, bytes, operations, speeds, and the part of the limit that was reached.
    static member internal Measurements(e: Explanation) : string[][] =
        match e.Limits with
        | None -> [||]
        | Some limits ->
            let f (format: string) (x: float) = x.ToString(format, CultureInfo.InvariantCulture)
            let total = e.Program.Kernels |> Array.sumBy (fun k -> k.Milliseconds)
            let row (name: string) (ms: float) bytes (operations: int64) (ideal: float) bound =
                [| name
                   f "0.0000" ms
                   f "0" (100.0 * ms / total) + "%"
                   Columns.bytes bytes
                   Columns.count operations
                   f "0.0" (float bytes / ms / 1e6)
                   f "0.0" (float operations / ms / 1e6)
                   f "0" (100.0 * ideal / ms) + "%"
                   bound |]
            let rows =
                e.Program.Kernels
                |> Array.map (fun k ->
                    let struct (ideal, bound) = Explanation.Ideal limits k
                    let bound = if k.Milliseconds < 0.003 then "start-up" else bound
                    row $"{k.Number} {k.Kind}" k.Milliseconds k.Bytes k.Operations ideal bound)
            let ideal =
                e.Program.Kernels |> Array.sumBy (fun k -> let struct (ideal, _) = Explanation.Ideal limits k in ideal)
            let sumOf (value: KernelReport -> int64) = Array.sumBy value e.Program.Kernels
            [| [| "kernel"; "ms"; "share"; "moved"; "operations"; "GB/s"; "Gop/s"; "of limit"; "limited by" |]
               yield! rows
               if rows.Length > 1 then
                   row "together" total (sumOf (fun k -> k.Bytes)) (sumOf (fun k -> k.Operations)) ideal "" |]

    static member private Write(e: Explanation) : string =
        let text = StringBuilder()
        let line (indent: int) (s: string) =
            for part in s.Split '\n' do
                text.Append((String(' ', indent) + part).TrimEnd()).Append '\n' |> ignore
        let heading (n: int) (s: string) =
            if n > 1 then line 0 ""
            line 0 $"{n}. {s}"
        let name (r: ExpressionReport) = if r.Path = "" then "result" else r.Path
        let shown = Array.truncate 12 e.Results
        let each (what: ExpressionReport -> string) =
            for r in shown do
                if e.Results.Length = 1 then
                    line 4 (what r)
                else
                    line 4 $"{name r}: {r.Kind}"
                    line 8 (what r)
            if e.Results.Length > shown.Length then line 4 $"... and {e.Results.Length - shown.Length} more results"
        let arguments = e.Arguments |> Array.truncate 8 |> Array.map (fun (name, kind) -> $"{name}: {kind}")
        let more = if e.Arguments.Length > 8 then ", ..." else ""
        let results = shown |> Array.map (fun r -> if r.Path = "" then r.Kind else $"{r.Path}: {r.Kind}")
        line 0 ("From " + String.Join(", ", arguments) + more + " to " + String.Join(", ", results))
        line 0 ""
        heading 1 "What it is, as mathematics"
        each (fun r -> r.Pretty)
        heading 2 "What you wrote, as an expression: a let names what is used more than once"
        each (fun r -> r.Traced)
        let nodes = e.Results |> Array.map (fun r -> r.TracedNodes, r.SimplifiedNodes)
        let fired = e.Rules |> List.sumBy (fun r -> r.Times)
        let before, after = Array.sumBy fst nodes, Array.sumBy snd nodes
        if fired = 0 then
            heading 3 $"What the compiler makes of it: no rule applies, the {before} nodes stay"
        else
            let rules = if fired = 1 then "one rule fires" else $"rules fire {fired} times"
            heading 3 $"What the compiler makes of it: {before} nodes become {after}, as {rules}"
            each (fun r -> r.Simplified)
        for r in List.truncate 12 e.Rules do
            line 6 $"{r.Times} x {r.Rule}"
            if r.Example <> "" then line 14 r.Example
        if e.Rules.Length > 12 then line 6 $"... and {e.Rules.Length - 12} other rules"
        let kernels = e.Program.Kernels
        let mutable isTold = false
        let plural n (what: string) = if n = 1 then $"1 {what}" else $"{n} {what}s"
        heading
            4
            ("The program: "
             + plural kernels.Length "kernel"
             + (if kernels.Length > 1 then ", in this order." else ".")
             + " What one loop holds is computed together; `step 16` means 16 numbers at a time")
        for k in Array.truncate 40 kernels do
            let reads, writes = String.Join(", ", k.Reads), String.Join(", ", k.Writes)
            line 4 $"[{k.Number}] {k.Kind}: {k.Label}"
            let reads = if k.Reads.IsEmpty then [] else [ $"reads {reads}" ]
            let writes = if k.Writes.IsEmpty then [] else [ $"writes {writes}" ]
            line 8 (String.Join("; ", reads @ writes))
            if k.Kind = "product" && not isTold then
                isTold <- true
                line 8 "# a product keeps a tile of its result in registers and packed blocks of its operands in caches"
            line 8 (k.Code.TrimEnd())
        if kernels.Length > 40 then line 4 $"... and {kernels.Length - 40} more kernels"
        heading
            5
            $"Where it lives: temporaries share {Columns.bytes e.Program.ArenaBytes}; a run adds {Columns.bytes e.Program.PeakBytes} at most"
        for row in ProgramReport.memoryRows e.Program |> Columns.layout [ 2 ] |> Array.truncate 60 do
            line 4 row
        match e.Limits with
        | None -> ()
        | Some limits ->
            let f (format: string) (x: float) = x.ToString(format, CultureInfo.InvariantCulture)
            heading 6 "How fast it is"
            for row in Explanation.Measurements e |> Columns.layout [ 1; 2; 3; 4; 5; 6; 7 ] |> Array.truncate 60 do
                line 4 row
            let billions (x: float) = f "0.#" (x / 1e9)
            let peak, memory = billions limits.OperationsPerSecond, billions limits.MemoryBytesPerSecond
            line
                4
                $"Limits, measured now: {peak} Gop/s on f32 ({limits.Threads} threads, {limits.VectorBits}-bit vectors);"
            line 4 $"copying moves {memory} GB/s in memory and {billions limits.CacheBytesPerSecond} in caches."
        text.ToString()

/// What happens to a function: from mathematics to measured kernels.
[<RequireQualifiedAccess>]
module Explain =
    /// Kernel times in milliseconds: the least of some rounds, each the mean of enough runs.
    let private measure (executable: Executable) (inputs: Storage[]) (kernels: int) : float[] =
        let run () = executable.Run inputs |> ignore
        let round (runs: int) =
            executable.Profile(fun () ->
                for _ in 1..runs do
                    run ())
            |> Array.map (fun struct (_, ms) -> ms / float runs)
        let first = round 2
        let runs = Math.Clamp(int (10.0 / max 0.01 (Array.sum first)), 1, 500)
        let rounds = Array.init (if runs > 1 then 5 else 2) (fun _ -> round runs)
        Array.init kernels (fun k -> rounds |> Array.map (fun r -> r[k]) |> Array.min)

    /// Each rule once, the most frequent first, with the first place where it fired.
    let private ruleReports (trace: RewriteTrace) =
        let example (rule: string) =
            let step = trace.Steps |> Array.find (fun s -> s.Rule = rule)
            let text = Print.algebra step.Before + " = " + Print.algebra step.After
            if text.Contains '\n' || text.Length > 90 then "" else text
        [ for rule, times in trace.Counts -> { Rule = rule; Times = times; Example = example rule } ]

    let private nodes (t: Tensor) = (Graph.topological [ t ]).Length

    /// The ladder of expressions `outputs` of variables `inputs`; with `values` it is also run and timed.
    let private ladder (inputs: Tensor[]) (outputs: (string * Tensor)[]) (values: Storage[] option) : Explanation =
        let roots = outputs |> Array.map snd
        let trace = Rewrite.trace roots
        let simplified = trace.Results
        let plan = Lower.streamed inputs simplified
        let keep = Array.create inputs.Length false
        let executable = SimdExecutable(plan, keep, inputs |> Array.map Print.name)
        let milliseconds =
            match values with
            | Some v -> measure executable v plan.Kernels.Length
            | None -> [||]
        let taken = HashSet<string>(inputs |> Seq.map Print.name)
        let named (path: string) =
            let name =
                if path = "" then "result"
                elif Char.IsDigit path[0] then "result" + path
                else path
            if taken.Contains name then name + "'" else name // w' is what becomes of w
        let expression (path: string, traced: Tensor) (simple: Tensor) =
            { Path = path
              Kind = Shape.describe traced
              Pretty = Print.algebra (Rewrite.pretty traced)
              Latex = Latex.render (Rewrite.pretty traced)
              Traced = Print.algebra traced
              TracedNodes = nodes traced
              Simplified = Print.algebra simple
              SimplifiedNodes = nodes simple }
        { Results = Array.map2 expression outputs simplified
          Rules = ruleReports trace
          Program =
            ProgramReport.make
                plan
                (MemoryPlan.make plan keep)
                (inputs |> Array.map (fun i -> Print.name i, i.Shape))
                (outputs |> Array.map (fun (path, t) -> named path, t.Shape))
                milliseconds
          Limits = values |> Option.map (fun _ -> Machine.limits ())
          Expressions = roots
          Arguments = inputs |> Array.map (fun i -> Print.name i, Shape.describe i) }

    /// Values that the expressions mention become variables `v1`, `v2`, ...
    let private abstracted (outputs: (string * Tensor)[]) : Tensor[] * Tensor[] * (string * Tensor)[] =
        let struct (_, literals, variables) = Program.key (Array.map snd outputs)
        let named = literals |> Array.mapi (fun i l -> Op.input $"v{i + 1}" l.DType l.Shape)
        let bound = Jit.bind literals named (Array.map snd outputs)
        literals, Array.append named variables, Array.map2 (fun (path, _) t -> path, t) outputs bound

    /// The ladder of an expression, or of a tree of them: what `eval` would do with it. Variables in it are left open; then
    /// nothing is measured.
    let expressions (tree: 'T) : Explanation =
        let literals, inputs, outputs = abstracted (Tree.named tree)
        let isClosed = literals.Length = inputs.Length
        ladder inputs outputs (if isClosed then Some(literals |> Array.map Program.storage) else None)

    /// The ladder of a function at an argument (any tree of tensors): what `jit f` would compile. Variables are named by
    /// their places in the tree.
    let call (f: 'T -> 'U) (x: 'T) : Explanation =
        let leaves = Tree.named x
        let isOpen = leaves |> Array.exists (fun (_, t) -> not (Graph.isClosed t))
        let nameOf (path: string) =
            if path = "" then "x"
            elif Char.IsDigit path[0] then "x" + path
            else path
        let values = if isOpen then Array.map snd leaves else Program.evaluate (Array.map snd leaves)
        let variables = Array.map2 (fun (path, _) (v: Tensor) -> Op.input (nameOf path) v.DType v.Shape) leaves values
        let literals, inputs, outputs = abstracted (Tree.named (f (Tree.rebuild x variables)))
        let others = inputs |> Array.filter (fun i -> not (Array.contains i variables))
        let all = Array.append variables others
        if isOpen || others.Length > literals.Length then
            ladder all outputs None
        else
            ladder all outputs (Some(Array.append values literals |> Array.map Program.storage))

/// The ladder, printed.
[<AutoOpen>]
module Explaining =
    /// Prints what happens to `f x` on its way to the processor: the mathematics, the expression as written, the rules that
    /// simplified it, the kernels as pseudo-code, where every buffer lives, and how near each kernel comes to the limits of the
    /// machine. `x` may be any tree of tensors, `f` may be a gradient or a compiled function. Explain.call gives the same as data.
    let explain (f: 'T -> 'U) (x: 'T) : unit = Console.Out.Write(string (Explain.call f x))

    /// `explain` for an expression instead of a function.
    let explainTensor (x: Tensor) : unit = Console.Out.Write(string (Explain.expressions x))
