namespace Nanograd

open System.Collections.Generic

/// An expression as the rewriter sees it. At every moment the entries that have users are the program.
[<Sealed; AllowNullLiteral>]
type internal Entry(node: Tensor) =
    let mutable cost = struct (-1.0, -1.0)
    member _.Node = node
    member val Operands: Entry[] = null with get, set
    /// How often it is read by the program of this moment; 0 when it is not part of it.
    member val Users = 0 with get, set
    /// Its normal form, once known.
    member val Normal: Entry = null with get, set
    /// What it was replaced by, before that has a normal form.
    member val Becomes: Entry = null with get, set
    /// It waits for the normal form of an operand: what it is made of must not become it.
    member val IsOpen = false with get, set

    member _.Cost =
        let struct (work, _) = cost
        if work < 0.0 then cost <- Cost.ofNode node
        cost

    /// What stands in its place in the program of this moment.
    member e.Now =
        let mutable r = e
        let mutable moves = true
        while moves do
            if not (isNull r.Normal) then
                moves <- not (obj.ReferenceEquals(r.Normal, r))
                r <- r.Normal
            elif not (isNull r.Becomes) then
                r <- r.Becomes
            else
                moves <- false
        r

/// One descent of the rewriter: every node gets its normal form once, operands first; what a rule makes is brought to
/// normal form before its users see it. Users are counted while the program changes, so that it is known, at each
/// step, what would be computed anew and what would not be computed any more. With `thrifty`, a rule is heard only if
/// the first is not more than the second, in operations and in bytes: so no program becomes costlier, whoever else
/// reads the operands that a rule takes apart.
[<Sealed>]
type internal Descent
    (rules: Rule[][], thrifty: bool, inner: Tensor -> Tensor, fired: Rule -> Tensor -> Tensor -> unit, roots: Tensor[])
    =
    let entries = Dictionary<Hash, Entry>()
    let stack = Stack<Entry>()
    let mutable refused = 0

    let entry (t: Tensor) =
        match entries.TryGetValue t.Hash with
        | true, e -> e
        | _ ->
            let e = Entry t
            entries[t.Hash] <- e
            e

    let operands (e: Entry) =
        if isNull e.Operands then e.Operands <- Array.map entry e.Node.Inputs
        e.Operands

    // ---- who is part of the program

    /// One entry more is read `times`; it, and what it reads, becomes part of the program.
    let hold (e: Entry) (times: int) =
        let waiting = Stack<struct (Entry * int)>()
        waiting.Push(struct (e, times))
        while waiting.Count > 0 do
            let struct (e, times) = waiting.Pop()
            let e = e.Now
            if e.Users = 0 then
                for o in operands e do
                    waiting.Push(struct (o, 1))
            e.Users <- e.Users + times

    /// The opposite of `hold`.
    let drop (e: Entry) (times: int) =
        let waiting = Stack<struct (Entry * int)>()
        waiting.Push(struct (e, times))
        while waiting.Count > 0 do
            let struct (e, times) = waiting.Pop()
            e.Users <- e.Users - times
            if e.Users = 0 then
                for o in operands e do
                    waiting.Push(struct (o.Now, 1))

    /// From now on `b` stands wherever `a` stood.
    let replace (a: Entry) (b: Entry) =
        let users = a.Users
        if users > 0 && not (obj.ReferenceEquals(a, b)) then
            hold b users
            drop a users

    // ---- what a step costs

    let trialLimit = 64

    /// Would the program with `y` in place of `e` cost no more? Found by a trial that follows only what comes and what
    /// goes; one that would have to go far is answered with no.
    let pays (e: Entry) (y: Entry) =
        let mutable work, bytes, isKept = 0.0, 0.0, false
        let changes = Dictionary<Entry, int>(HashIdentity.Reference)
        let changeOf (e: Entry) =
            match changes.TryGetValue e with
            | true, n -> n
            | _ -> 0
        let change (e: Entry) by =
            let n = changeOf e + by
            changes[e] <- n
            e.Users + n
        let waiting = Stack<Entry>()
        // What comes.
        let come (o: Entry) =
            let o = o.Now
            if obj.ReferenceEquals(o, e) then isKept <- true
            if change o 1 = 1 then waiting.Push o
        come y
        while waiting.Count > 0 do
            let n = waiting.Pop()
            let struct (w, b) = n.Cost
            work <- work + w
            bytes <- bytes + b
            Array.iter come (operands n)
        // What goes.
        let gain (e: Entry) =
            let struct (w, b) = e.Cost
            work <- work - w
            bytes <- bytes - b
        if not isKept then
            gain e
            if (work > 0.0 || bytes > 0.0) && e.Users > 0 then
                let mutable visited = 0
                waiting.Push e
                while waiting.Count > 0 && (work > 0.0 || bytes > 0.0) && visited < trialLimit do
                    visited <- visited + 1
                    for o in operands (waiting.Pop()) do
                        let o = o.Now
                        if change o -1 = 0 then
                            gain o
                            waiting.Push o
        work <= 0.0 && bytes <= 0.0

    let isHeard (e: Entry) (y: Entry) = not thrifty || y.Users > 0 || pays e y // y is there already, or pays

    // ---- the descent

    /// The first rule that says something new, is heard, and pays.
    let firstMatch (e: Entry) =
        let t = e.Node
        let candidates = rules[Patterns.head t.Op]
        let mutable result, i = null, 0
        while i < candidates.Length do
            let r = candidates[i]
            i <- i + 1
            match r.Apply t with
            | ValueSome y when y <> t ->
                let target = (entry y).Now
                // Not one that undoes another, nor one that leads back to what waits for this node.
                if not (obj.ReferenceEquals(target, e) || target.IsOpen) then
                    if isHeard e target then
                        fired r t y
                        result <- target
                        i <- candidates.Length
                    else
                        refused <- refused + 1
            | _ -> ()
        result

    let turnInto (e: Entry) (target: Entry) =
        replace e target
        e.Becomes <- target
        if not (isNull target.Normal) then e.Normal <- target.Normal else stack.Push target

    /// `e` is on top of the stack, and its operands have normal forms.
    let step (e: Entry) (normal: Tensor[]) =
        let same = inner (Op.rebuild e.Node normal)
        let s = if obj.ReferenceEquals(same, e.Node) then e else (entry same).Now
        if not (obj.ReferenceEquals(s, e)) then
            turnInto e s
        else
            match firstMatch e with
            | null -> e.Normal <- e
            | target -> turnInto e target

    let visit (e: Entry) =
        if not (isNull e.Becomes) then
            match e.Now with
            | n when not (isNull n.Normal) -> e.Normal <- n.Normal
            | n -> stack.Push n
        else
            let own = operands e
            let normal = Array.zeroCreate own.Length
            let mutable isReady = true
            for i in 0 .. own.Length - 1 do
                match own[i].Now.Normal with
                | null ->
                    isReady <- false
                    stack.Push own[i].Now
                | n -> normal[i] <- n.Node
            if isReady then
                e.IsOpen <- false
                step e normal
            else
                e.IsOpen <- true

    let results =
        for t in Graph.topological roots do
            for o in operands (entry t) do
                o.Users <- o.Users + 1
        for r in roots do
            let e = entry r
            e.Users <- e.Users + 1
        for r in roots do
            stack.Push(entry r)
            while stack.Count > 0 do
                let e = stack.Peek()
                if isNull e.Normal then visit e else stack.Pop() |> ignore
        roots |> Array.map (fun r -> (entry r).Normal.Node)

    /// The normal forms of the roots.
    member _.Results: Tensor[] = results

    /// How many steps were not taken because they would have cost more.
    member _.Refused = refused

    /// What the counts of users say the program is made of: for tests.
    member _.Live =
        [| for e in entries.Values do
               if e.Users > 0 then e.Node |]
