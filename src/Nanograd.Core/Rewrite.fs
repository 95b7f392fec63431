namespace Nanograd

open System
open System.Collections.Generic

/// One step of the rewriter: a rule, and the expression before and after it.
[<NoComparison>]
type RewriteStep = { Rule: string; Before: Tensor; After: Tensor }

/// What the rewriter did: the results, and every step in order. Printed, it is a derivation.
[<NoComparison; StructuredFormatDisplay("{Text}")>]
type RewriteTrace =
    { Results: Tensor[]
      Steps: RewriteStep[] }

    /// The rules that fired, with how often each did, the most frequent first.
    member t.Counts = t.Steps |> Array.countBy (fun s -> s.Rule) |> Array.sortByDescending snd

    override t.ToString() =
        let limit = 100
        let text (x: Tensor) = (Print.algebra x).Replace("\n", "\n        ")
        let lines =
            t.Steps
            |> Seq.truncate limit
            |> Seq.mapi (fun i s -> $"{i + 1}. {s.Rule}\n        {text s.Before}\n      = {text s.After}")
        let more = if t.Steps.Length > limit then [ $"... ({t.Steps.Length - limit} more steps)" ] else []
        String.Join("\n", Seq.append lines more)

    /// The derivation, for F# Interactive and %A.
    member t.Text = "\n" + t.ToString()

/// Simplification by the rule tables: bottom-up to a fixed point, without recursion.
[<RequireQualifiedAccess>]
module Rewrite =
    /// Every rule, family after family. Rules are independent: any of them may be left out.
    let rules: Rule list =
        // Names come before collecting, which would take their patterns apart.
        AlgebraRules.rules
        @ MovementRules.rules
        @ ContractionRules.rules
        @ StructureRules.rules
        @ ReadingRules.rules
        @ NamingRules.rules
        @ CollectingRules.rules

    /// Rules by the kind of node that they rewrite.
    type private Table = Rule[][]

    let private table (chosen: Rule -> bool) : Table =
        let all = rules |> List.filter chosen |> Array.ofList
        Array.init heads (fun h -> all |> Array.filter (fun r -> r.Head = h))

    let private compiling = table (fun r -> r.Stage <> Stage.Relaxed)

    // What is only for readers goes first; 1 / 3 stays a fraction; a stopped gradient is part of the expression.
    let private displaying =
        let isForReaders r = r.Stage = Stage.Relaxed
        let isKept r =
            r.Stage = Stage.Always
            && not (
                r.Name.StartsWith("fold-div", StringComparison.Ordinal)
                || r.Name.StartsWith("custom-operand", StringComparison.Ordinal)
            )
        Array.map2 Array.append (table isForReaders) (table isKept)

    // ------------------------------------------------------------------------------------------------ the driver

    /// A step that is refused now may pay when others have been taken: so often is that looked for.
    let private passes = 8

    let private isLoop (t: Tensor) =
        match t.Op with
        | Op.Scan _ -> true
        | _ -> false

    /// What is told of each step: the law, and the expression before and after.
    type private Note = string -> Tensor -> Tensor -> unit

    let rec private run (isForReaders: bool) (table: Table) (note: Note) (roots: Tensor[]) =
        let fired (r: Rule) = note r.Name
        let bodies = Dictionary<Hash, Lambda>()
        let simplified (l: Lambda) =
            match bodies.TryGetValue l.Hash with
            | true, known -> known
            | _ ->
                let results: Tensor[] = run isForReaders table note l.Results
                let body = if results = l.Results then l else Lambda.make l.Params results
                bodies[l.Hash] <- body
                bodies[body.Hash] <- body
                body
        let withOp (t: Tensor) (l: Lambda) (op: Lambda -> Op) =
            let body = simplified l
            if obj.ReferenceEquals(body, l) then t else Tensor(op body, t.Inputs, t.DType, t.Shape)
        let inner (t: Tensor) =
            match t.Op with
            | _ when isForReaders -> t // names for readers stand for their bodies
            | Op.Scan s -> withOp t s.Body (fun body -> Op.Scan { s with Body = body })
            | Op.Custom c when AttentionCall.isKnown c || PoolCall.isKnown c -> t // its body is how kernels are found for it
            | Op.Custom c -> withOp t c.Body (fun body -> Op.Custom { c with Body = body })
            | Op.Checkpoint l -> withOp t l Op.Checkpoint
            | _ -> t
        let rec settle n (roots: Tensor[]) =
            let descent = Descent(table, not isForReaders, inner, fired, roots)
            let next = descent.Results
            let hasLoops = not isForReaders && Array.exists isLoop (Graph.topological next)
            let moved =
                if hasLoops then next |> LoopRules.tidy note |> HoistRules.split note |> LoopRules.tidy note else next
            let isDone = moved = roots || (descent.Refused = 0 && moved = next)
            if isDone || n = 1 then moved else settle (n - 1) moved
        // Loops are made one while their bodies are still as they were written.
        settle passes (if isForReaders then roots else roots |> AttentionCall.recognise |> LoopRules.tidy note)

    /// One descent over programs without loops, to look at: for tests.
    let internal descend (roots: Tensor[]) = Descent(compiling, true, id, (fun _ _ _ -> ()), roots)

    let private silent (_: string) (_: Tensor) (_: Tensor) = ()

    /// The same values (within rounding) by a program that is nowhere slower: what the compiler starts from.
    let simplify (roots: Tensor[]) : Tensor[] = run false compiling silent roots

    /// `simplify`, and every step of it.
    let trace (roots: Tensor[]) : RewriteTrace =
        let steps = List<RewriteStep>()
        let note law before after = steps.Add { Rule = law; Before = before; After = after }
        let results = run false compiling note roots
        { Results = results; Steps = steps.ToArray() }

    /// The expression as a person would write it, for printing. It may differ for infinities and NaN; long expressions
    /// are only simplified.
    let pretty (t: Tensor) : Tensor =
        let isShort = (Graph.topological [ t ]).Length <= 5000
        (run true (if isShort then displaying else compiling) silent [| t |])[0]
