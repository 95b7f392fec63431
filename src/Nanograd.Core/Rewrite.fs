namespace Nanograd

open System
open System.Collections.Generic

/// Simplification by the rule tables: bottom-up to a fixed point, without recursion.
[<RequireQualifiedAccess>]
module Rewrite =
    /// Every rule, family after family. Rules are independent: any of them may be left out.
    let rules: Rule list =
        // Names come before collecting, which would take their patterns apart.
        AlgebraRules.rules @ MovementRules.rules @ ContractionRules.rules @ NamingRules.rules @ CollectingRules.rules

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
                || r.Name.StartsWith("stop-gradient", StringComparison.Ordinal)
            )
        Array.map2 Array.append (table isForReaders) (table isKept)

    /// How often each rule fired.
    type private Counts = Dictionary<string, int>

    /// The number of users of each node.
    let private usesOf (roots: Tensor[]) =
        let uses = Dictionary<Hash, int>()
        let count (t: Tensor) =
            uses[t.Hash] <-
                1
                + (match uses.TryGetValue t.Hash with
                   | true, n -> n
                   | _ -> 0)
        for t in Graph.topological roots do
            Array.iter count t.Inputs
        Array.iter count roots
        uses

    let private firstMatch (rules: Rule[]) (isSole: Tensor -> bool) (counts: Counts) (t: Tensor) : Tensor voption =
        let mutable result, i = ValueNone, 0
        while i < rules.Length do
            let r = rules[i]
            i <- i + 1
            if not r.Sole || isSole t.Inputs[0] then
                match r.Apply t with
                | ValueSome y when y <> t ->
                    counts[r.Name] <-
                        1
                        + (match counts.TryGetValue r.Name with
                           | true, n -> n
                           | _ -> 0)
                    result <- ValueSome y
                    i <- rules.Length
                | _ -> ()
        result

    /// One descent: every node gets its normal form once; what a rule makes is brought to normal form before its users
    /// see it. Notes the kinds of nodes in `seen`.
    let private descend
        (table: Table)
        (isSole: Tensor -> bool)
        (inner: Tensor -> Tensor)
        (counts: Counts)
        (seen: bool[])
        (roots: Tensor[])
        =
        let normal, becomes = Dictionary<Hash, Tensor>(), Dictionary<Hash, Tensor>()
        let stack = Stack<Tensor>()
        let find h =
            match normal.TryGetValue h with
            | true, n -> ValueSome n
            | _ -> ValueNone
        let settle (t: Tensor) (same: Tensor) =
            seen[head same.Op] <- true
            normal[same.Hash] <- same
            if not (obj.ReferenceEquals(t, same)) then normal[t.Hash] <- same
        let step (t: Tensor) (operands: Tensor[]) = // t is on top; its operands are normal
            let same = inner (Op.rebuild t operands)
            match (if obj.ReferenceEquals(t, same) then ValueNone else find same.Hash) with
            | ValueSome known -> normal[t.Hash] <- known
            | ValueNone ->
                match firstMatch table[head same.Op] isSole counts same with
                | ValueSome y when normal.ContainsKey y.Hash || not (becomes.ContainsKey y.Hash) ->
                    becomes[t.Hash] <- y
                    becomes[same.Hash] <- y
                    stack.Push y
                | _ -> settle t same // no rule, or one that undoes another: the later one is not heard
        let visit (t: Tensor) =
            match becomes.TryGetValue t.Hash with
            | true, y ->
                (match find y.Hash with
                 | ValueSome n -> normal[t.Hash] <- n
                 | ValueNone -> stack.Push y)
            | _ ->
                let operands = Array.zeroCreate t.Inputs.Length
                let mutable isReady = true
                for i in 0 .. operands.Length - 1 do
                    match find t.Inputs[i].Hash with
                    | ValueSome n -> operands[i] <- n
                    | ValueNone ->
                        isReady <- false
                        stack.Push t.Inputs[i]
                if isReady then step t operands
        for root in roots do
            stack.Push root
            while stack.Count > 0 do
                let t = stack.Peek()
                if normal.ContainsKey t.Hash then stack.Pop() |> ignore else visit t
        roots |> Array.map (fun r -> normal[r.Hash])

    // ------------------------------------------------------------------------------------------------ loops

    /// What two loops must share to be one: operands, extents and the way their carries go.
    let private loopKey (t: Tensor) (s: Scan) =
        let h = (Hash.Zero.Add [| s.Captured; s.Carried; s.Length; (if s.Reverse then 1 else 0) |])
        let h = t.Inputs |> Array.fold (fun (h: Hash) i -> h.Add i.Hash) h
        s.Body.Results[.. s.Carried - 1] |> Array.fold (fun (h: Hash) r -> h.Add r.Hash) h

    /// Loops over the same operands with the same carries become one with the outputs of all; outputs that nobody reads
    /// go. The gradient of a loop runs it again for the values that it needs: this makes the two runs one.
    let private mergeLoops (counts: Counts) (roots: Tensor[]) : Tensor[] =
        let order = Graph.topological roots
        let groups = Dictionary<Hash, List<Tensor>>() // results that are read, by loop key
        for t in order do
            match t.Op with
            | Op.Item i ->
                match t.Inputs[0].Op with
                | Op.Scan s when i >= s.Carried ->
                    let key = loopKey t.Inputs[0] s
                    if not (groups.ContainsKey key) then groups[key] <- List()
                    let r = s.Body.Results[i]
                    if not (groups[key].Contains r) then groups[key].Add r
                | _ -> ()
            | _ -> ()
        let merged = Dictionary<Hash, Tensor[]>()
        let rebuilt = Dictionary<Hash, Tensor>()
        for t in order do
            let inputs () = t.Inputs |> Array.map (fun i -> rebuilt[i.Hash])
            rebuilt[t.Hash] <-
                match t.Op with
                | Op.Item i ->
                    match t.Inputs[0].Op with
                    | Op.Scan s ->
                        let call = t.Inputs[0]
                        let key = loopKey call s
                        let outputs =
                            match groups.TryGetValue key with
                            | true, o -> o.ToArray()
                            | _ -> [||]
                        if not (merged.ContainsKey key) then
                            let results = Array.append s.Body.Results[.. s.Carried - 1] outputs
                            if results.Length <> s.Body.Results.Length then
                                counts["loops: one loop of several, without unread outputs"] <- 1
                            let body = if results = s.Body.Results then s.Body else Lambda.make s.Body.Params results
                            merged[key] <-
                                Op.scan { s with Body = body } (call.Inputs |> Array.map (fun x -> rebuilt[x.Hash]))
                        let all = merged[key]
                        if i < s.Carried then all[i] else all[s.Carried + Array.IndexOf(outputs, s.Body.Results[i])]
                    | _ -> Op.rebuild t (inputs ())
                | _ -> Op.rebuild t (inputs ())
        roots |> Array.map (fun r -> rebuilt[r.Hash])

    // ------------------------------------------------------------------------------------------------ the driver

    let private solePasses = 4
    let private soleHeads = rules |> List.filter (fun r -> r.Sole) |> List.map (fun r -> r.Head) |> Array.ofList

    let rec private run (enter: bool) (table: Table) (counts: Counts) (roots: Tensor[]) : Tensor[] =
        let bodies = Dictionary<Hash, Lambda>()
        let simplified (l: Lambda) =
            match bodies.TryGetValue l.Hash with
            | true, known -> known
            | _ ->
                let results = run enter table counts l.Results
                let body =
                    if Array.forall2 (fun (a: Tensor) b -> a = b) results l.Results then
                        l
                    else
                        Lambda.make l.Params results
                bodies[l.Hash] <- body
                body
        let withOp (t: Tensor) op = Tensor(op, t.Inputs, t.DType, t.Shape)
        let inner (t: Tensor) =
            match t.Op with
            | _ when not enter -> t // names for readers stand for their bodies
            | Op.Scan s -> withOp t (Op.Scan { s with Body = simplified s.Body })
            | Op.Custom c -> withOp t (Op.Custom { c with Body = simplified c.Body })
            | Op.Checkpoint l -> withOp t (Op.Checkpoint(simplified l))
            | _ -> t
        // Rules that redo their operand fire only where nobody else uses it; whether so is seen between descents.
        let rec passes n (roots: Tensor[]) =
            let uses = usesOf roots
            let isSole (t: Tensor) =
                match uses.TryGetValue t.Hash with
                | true, 1 -> true
                | _ -> false
            let next = descend table isSole inner counts (Array.zeroCreate heads) roots
            if n = 1 || Array.forall2 (fun (a: Tensor) b -> a = b) next roots then next else passes (n - 1) next
        let seen = Array.zeroCreate heads
        let first = descend table (fun _ -> false) inner counts seen roots
        let merged = if seen[loopHead] then mergeLoops counts first else first
        if Array.exists (fun h -> seen[h]) soleHeads then passes solePasses merged else merged

    /// Graphs beyond this are long chains that somebody evaluates once: rewriting them would take longer than running them.
    let private worthwhile = 250_000

    /// The same values (within rounding) by a program that is nowhere slower: what the compiler starts from.
    let simplify (roots: Tensor[]) : Tensor[] =
        if (Graph.topological roots).Length > worthwhile then roots else run true compiling (Counts()) roots

    /// `simplify`, and the rules that fired, with how often each did.
    let trace (roots: Tensor[]) : Tensor[] * (string * int) list =
        let counts = Counts()
        let results = run true compiling counts roots
        results, [ for pair in counts -> pair.Key, pair.Value ] |> List.sortByDescending snd

    /// The expression as a person would write it, for printing. It may differ for infinities and NaN; long expressions
    /// are only simplified.
    let pretty (t: Tensor) : Tensor =
        let isShort = (Graph.topological [ t ]).Length <= 5000
        (run false (if isShort then displaying else compiling) (Counts()) [| t |])[0]
