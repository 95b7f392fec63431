namespace Nanograd

open System.Collections.Generic

/// Expressions that are computed together, in one kernel.
[<RequireQualifiedAccess; NoComparison>]
type Work =
    /// Elementwise expressions and reductions of rows, all over the same elements in the same order.
    | Rows of members: Tensor[] * rowLength: int
    /// Reductions down the columns, with the elementwise expressions that only they use.
    | Columns of reduction: Tensor * members: Tensor[]
    /// A primitive that has a kernel to itself.
    | Single of Tensor
    /// A product or convolution, and elementwise expressions over its elements, computed part by part while they are in cache.
    /// The product itself is kept if others read it.
    | Finished of product: Tensor * members: Tensor[] * isKept: bool

/// What is computed together, in order, and which expressions need memory of their own.
[<NoComparison>]
type Schedule =
    {
        Works: Work[]
        /// The values that each of them reads from others.
        Reads: HashSet<Hash>[]
        Stored: HashSet<Hash>
        /// Expressions that other kernels than their own compute again.
        Again: HashSet<Hash>
    }

/// Deciding which primitives share a kernel. An elementwise expression joins the kernel of an operand when both run over the same
/// elements in the same order; a reduction over rows joins too, and what uses its result row by row follows it into the same kernel:
/// a softmax or a layer norm becomes one. Two kernels merge when an expression needs both and neither waits for the other.
[<RequireQualifiedAccess>]
module Schedule =
    /// The most elementary operations in one kernel: code beyond a few hundred is compiled badly.
    let private budget = 400

    /// Rough number of machine operations per element.
    let cost (t: Tensor) = Cost.perElement t

    /// Elementwise expressions and lookups: what a loop body can hold. Reductions of rows come with them.
    let isLight (t: Tensor) =
        match t.Op with
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast
        | Op.RandomBits -> true
        | Op.Indexing(Indexing.Gather _ | Indexing.DynamicSlice) -> true
        | Op.Reduce(_, axes) -> axes[axes.Length - 1] = t.Inputs[0].Rank - 1
        | _ -> false

    let private isRowReduction (t: Tensor) =
        match t.Op with
        | Op.Reduce _ -> isLight t
        | _ -> false

    let rowLength (t: Tensor) =
        match t.Op with
        | Op.Reduce(_, axes) -> axes |> Array.fold (fun n a -> n * t.Inputs[0].Shape[a]) 1
        | _ -> 0

    /// Expressions of constants and iotas: computed wherever they are used, never stored for their own sake.
    let free (order: Tensor[]) : HashSet<Hash> =
        let result = HashSet<Hash>()
        for t in order do
            let isFree =
                match t.Op with
                | Op.Const _
                | Op.Iota _ -> true
                | Op.Unary _
                | Op.Binary _
                | Op.Select
                | Op.Cast
                | Op.BitCast -> t.Inputs |> Array.forall (fun i -> result.Contains i.Hash)
                | _ -> Form.isView t && result.Contains t.Inputs[0].Hash
            if isFree then result.Add t.Hash |> ignore
        result

    /// A set of small numbers, as bits: kernels ask often, and in large programs there are thousands of them.
    type private Numbers() =
        let mutable words = Array.zeroCreate<uint64> 4

        let reach (word: int) =
            if word >= words.Length then System.Array.Resize(&words, max (word + 1) (2 * words.Length))

        member _.Words = words
        member _.Contains(n: int) = n >>> 6 < words.Length && words[n >>> 6] &&& (1UL <<< (n &&& 63)) <> 0UL

        /// True if it was not there before.
        member b.Add(n: int) =
            let fresh = not (b.Contains n)
            reach (n >>> 6)
            words[n >>> 6] <- words[n >>> 6] ||| (1UL <<< (n &&& 63))
            fresh

        /// True if it was there.
        member b.Remove(n: int) =
            let there = b.Contains n
            if there then words[n >>> 6] <- words[n >>> 6] &&& ~~~(1UL <<< (n &&& 63))
            there

        member _.UnionWith(other: Numbers) =
            let theirs = other.Words
            reach (theirs.Length - 1)
            for w in 0 .. theirs.Length - 1 do
                words[w] <- words[w] ||| theirs[w]

        member b.ToSeq() = seq { 0 .. 64 * words.Length - 1 } |> Seq.filter b.Contains

    /// A kernel in the making.
    type private Group(number: int, elements: int) =
        member val Number = number
        member val Elements = elements with get, set
        member val RowLength = 0 with get, set
        member val Cost = 0 with get, set
        member val Members = List<Tensor>()
        /// Groups that must run before this one.
        member val Before = Numbers()
        member val Alive = true with get, set
        member val HasMerged = false with get, set

    type private Builder(isFree: HashSet<Hash>, taken: HashSet<Hash>) =
        let groups = List<Group>()
        let groupOf = Dictionary<Hash, int>()
        let perRow = HashSet<Hash>() // members that are one value a row

        let fresh elements =
            let g = Group(groups.Count, elements)
            groups.Add g
            g

        /// Does the reader, at level `rowReader`, find in `chain` the operand's own row and element?
        let aligned (g: Group) rowReader (chain: Tensor list) rowOperand =
            if
                chain
                |> List.forall (fun v ->
                    match v.Op with
                    | Op.Movement Movement.Reshape -> true
                    | _ -> false)
            then
                rowReader = rowOperand
            elif rowReader then
                false
            else
                let r = max 1 g.RowLength
                let rec follow (extents: int[]) inRow (f: Form) (chain: Tensor list) =
                    match chain with
                    | [] ->
                        let whole = Form.identity extents
                        let own = Array.map2 (fun s e -> if e = 1 then 0 else s) whole.Strides extents
                        let expected =
                            if rowOperand then
                                own |> Array.mapi (fun d s -> if d >= extents.Length - inRow then 0 else s / r)
                            else
                                own
                        f.Offset = 0 && f.Strides = expected
                    | v :: rest ->
                        match Form.follow extents v f with
                        | Mapped.To next -> follow extents inRow next rest
                        | Mapped.Impossible -> false
                        | Mapped.Split(axis, _) when axis >= extents.Length - inRow && g.RowLength > 1 -> false // rows stay whole
                        | Mapped.Split(axis, inner) ->
                            let inRow = if axis >= extents.Length - inRow then inRow + 1 else inRow
                            follow (Form.splitExtents axis inner extents) inRow (Form.split axis inner f) chain
                let extents = [| g.Elements / r; r |]
                follow extents 1 (Form.identity extents) chain

        /// Can these views of another kernel's result be read row by row, the rows staying whole? Otherwise they would be copied.
        let readable (g: Group) (chain: Tensor list) =
            let r = g.RowLength
            let rec follow (extents: int[]) (f: Form) (chain: Tensor list) =
                match chain with
                | [] -> true
                | v :: rest ->
                    match Form.follow extents v f with
                    | Mapped.To next -> follow extents next rest
                    | Mapped.Impossible -> true // copied in any case
                    | Mapped.Split(axis, _) when axis = extents.Length - 1 -> false
                    | Mapped.Split(axis, inner) ->
                        follow (Form.splitExtents axis inner extents) (Form.split axis inner f) chain
            r <= 1
            || List.isEmpty chain
            || chain.Head.Count <> g.Elements
            || (let extents = [| g.Elements / r; r |] in follow extents (Form.identity extents) chain)

        /// Too few rows to share among cores: elementwise work must not be tied to such a reduction.
        let narrow (g: Group) = g.RowLength > 0 && g.Elements / g.RowLength < 8 && g.Elements > 4096

        /// What `t` reads from other kernels, through views and through what its own kernel has swallowed.
        let rec operands (t: Tensor) : (Tensor * Tensor list)[] =
            t.Inputs
            |> Array.filter (fun i -> not (isFree.Contains i.Hash))
            |> Array.collect (fun i ->
                let s, chain = Form.source i
                if taken.Contains s.Hash then
                    operands s
                else
                    [| (match s.Op with
                        | Op.Item _ -> s.Inputs[0]
                        | _ -> s),
                       chain |])

        let waitsFor (g: Group) =
            for later in groups do
                if later.Alive && later.Before.Contains g.Number then later.Before.UnionWith g.Before

        let need (g: Group) (others: seq<int>) =
            let mutable changed = false
            for o in others do
                if o <> g.Number && g.Before.Add o then
                    changed <- true
                    g.Before.UnionWith groups[o].Before
            if changed then waitsFor g

        let levelIn (g: Group) (t: Tensor) =
            if isRowReduction t then
                if (g.RowLength = 0 || g.RowLength = rowLength t) && t.Inputs[0].Count = g.Elements then
                    ValueSome true
                else
                    ValueNone
            elif t.Count = g.Elements then
                ValueSome false
            elif g.RowLength > 1 && t.Count * g.RowLength = g.Elements then
                ValueSome true
            else
                ValueNone

        let fitsRows (g: Group) (t: Tensor) (reads: (Tensor * Tensor list)[]) =
            g.Cost + cost t <= budget
            && match levelIn g t with
               | ValueNone -> false
               | ValueSome row ->
                   reads
                   |> Array.forall (fun (s, chain) ->
                       match groupOf.TryGetValue s.Hash with
                       | true, other when other = g.Number ->
                           let reader = row && not (isRowReduction t)
                           let operand = perRow.Contains s.Hash
                           not (Form.readsFromMemory t)
                           && aligned g reader chain operand
                           && not (operand && not row && narrow g)
                       | true, other -> not (groups[other].Before.Contains g.Number) && readable g chain
                       | _ -> readable g chain)

        /// Would rows of this length keep every member beside what it reads? Rows stay whole, so views that were fine before may not be.
        let staysAligned (g: Group) (rowLength: int) =
            let saved = g.RowLength
            g.RowLength <- rowLength
            let fine =
                g.Members
                |> Seq.forall (fun m ->
                    operands m
                    |> Array.forall (fun (s, chain) ->
                        match groupOf.TryGetValue s.Hash with
                        | true, home when home = g.Number ->
                            aligned
                                g
                                (perRow.Contains m.Hash && not (isRowReduction m))
                                chain
                                (perRow.Contains s.Hash)
                        | _ -> readable g chain))
            g.RowLength <- saved
            fine

        /// May `t` be computed in `g`, given what it reads?
        let fits (g: Group) (t: Tensor) (reads: (Tensor * Tensor list)[]) =
            let firstRows = g.RowLength = 0 && isRowReduction t && t.Inputs[0].Count = g.Elements
            if firstRows then g.RowLength <- rowLength t
            let fine = fitsRows g t reads && (not firstRows || staysAligned g g.RowLength)
            if firstRows then g.RowLength <- 0
            fine

        let merge (into: Group) (other: Group) =
            other.Alive <- false
            into.HasMerged <- true
            for m in other.Members do
                groupOf[m.Hash] <- into.Number
                into.Members.Add m
            into.RowLength <- max into.RowLength other.RowLength
            into.Cost <- into.Cost + other.Cost
            for g in groups do
                if g.Alive && g.Before.Remove other.Number && g.Number <> into.Number then
                    g.Before.Add into.Number |> ignore
                    g.Before.UnionWith into.Before
            need into (Seq.toArray (other.Before.ToSeq()))
            waitsFor into

        let mergeable (a: Group) (b: Group) =
            a.Elements = b.Elements
            && (a.RowLength = b.RowLength || a.RowLength = 0 || b.RowLength = 0)
            && a.Cost + b.Cost <= budget
            && not (a.Before.Contains b.Number)
            && not (b.Before.Contains a.Number)

        let add (g: Group) (t: Tensor) =
            if isRowReduction t then
                g.RowLength <- rowLength t
                perRow.Add t.Hash |> ignore
            elif t.Count <> g.Elements then
                perRow.Add t.Hash |> ignore
            g.Members.Add t
            g.Cost <- g.Cost + cost t
            groupOf[t.Hash] <- g.Number

        /// The common case, decided quickly: an elementwise expression whose operands are of one kernel, or of none. -1 if it is another case.
        let plainHome (t: Tensor) =
            let mutable home, plain = -1, isLight t && not (Form.readsFromMemory t) && not (isRowReduction t)
            for i in t.Inputs do
                if plain && not (isFree.Contains i.Hash) then
                    if Form.isView i || taken.Contains i.Hash || perRow.Contains i.Hash then
                        plain <- false
                    else
                        match i.Op with
                        | Op.Input _
                        | Op.Literal _ -> ()
                        | _ ->
                            match groupOf.TryGetValue i.Hash with
                            | true, g when home = -1 || home = g -> home <- g
                            | _ -> plain <- false
            if plain && home >= 0 && groups[home].Elements = t.Count && groups[home].Cost + cost t <= budget then
                home
            else
                -1

        member _.Groups = groups
        member _.GroupOf = groupOf

        /// Puts `t` into the kernel of an operand if one takes it, else into a new one.
        member b.Place(t: Tensor) =
            match plainHome t with
            | -1 -> b.PlaceAmong t
            | home -> add groups[home] t

        member private _.PlaceAmong(t: Tensor) =
            let reads = operands t
            let dependencies =
                reads
                |> Array.choose (fun (s, _) ->
                    match groupOf.TryGetValue s.Hash with
                    | true, g -> Some g
                    | _ -> None)
                |> Array.distinct
            let light = isLight t
            let candidates =
                if light then
                    dependencies |> Array.map (fun g -> groups[g]) |> Array.filter (fun g -> g.Elements >= 0)
                else
                    [||]
            match candidates |> Array.tryFind (fun g -> fits g t reads) with
            | None ->
                let g =
                    fresh (
                        if not light then -1
                        elif isRowReduction t then t.Inputs[0].Count
                        else t.Count
                    )
                add g t
                need g dependencies
            | Some g ->
                // Other kernels it reads may become one with this one: what they compute is then at hand.
                for other in candidates do
                    if other.Alive && other.Number <> g.Number && mergeable g other then
                        let saved = g.RowLength
                        g.RowLength <- max g.RowLength other.RowLength
                        let joins =
                            reads
                            |> Array.forall (fun (s, chain) ->
                                match groupOf.TryGetValue s.Hash with
                                | true, home when home = other.Number || home = g.Number ->
                                    aligned g false chain (perRow.Contains s.Hash)
                                | _ -> true)
                            && (saved = g.RowLength || staysAligned g g.RowLength)
                            && (other.RowLength = g.RowLength || staysAligned other g.RowLength)
                        let alone =
                            (match levelIn g t with
                             | ValueSome row -> not row
                             | ValueNone -> false)
                        g.RowLength <- saved
                        let later =
                            dependencies
                            |> Array.exists (fun d -> groups[d].Before.Contains other.Number && d <> g.Number)
                        if joins && alone && not later then merge g other
                add g t
                need g (dependencies |> Array.map (fun d -> if groups[d].Alive then d else g.Number))

    /// Elementwise expressions that only `reduction` uses move into its kernel.
    let private absorb
        (users: Dictionary<Hash, List<Tensor>>)
        (isOutput: Hash -> bool)
        (isFree: HashSet<Hash>)
        (reduction: Tensor)
        =
        let inside = HashSet<Hash>([ reduction.Hash ])
        let absorbed = List<Tensor>()
        let rec visit (t: Tensor) =
            if not (isFree.Contains t.Hash) && not (inside.Contains t.Hash) then
                let elementwise =
                    match t.Op with
                    | Op.Unary _
                    | Op.Binary _
                    | Op.Select
                    | Op.Cast
                    | Op.BitCast -> true
                    | _ -> false
                let onlyHere = not (isOutput t.Hash) && users[t.Hash] |> Seq.forall (fun u -> inside.Contains u.Hash)
                if elementwise && onlyHere && absorbed.Count < 60 && t.Count >= reduction.Inputs[0].Count then
                    inside.Add t.Hash |> ignore
                    absorbed.Add t
                    Array.iter visit t.Inputs
        visit reduction.Inputs[0]
        absorbed.ToArray()

    /// How many columns a reduction leaves side by side.
    let private innerOf (t: Tensor) =
        match t.Op with
        | Op.Reduce(_, axes) -> Shape.count t.Inputs[0].Shape[axes[axes.Length - 1] + 1 ..]
        | _ -> 0

    /// Which expressions of `outputs` are computed together, in an order that respects what needs what. `order` is their topological order,
    /// `isFree` what needs no kernel.
    let make (order: Tensor[]) (isFree: HashSet<Hash>) (outputs: Tensor[]) : Schedule =
        let taken = HashSet<Hash>()
        let b = Builder(isFree, taken)
        let isColumns (t: Tensor) =
            match t.Op with
            | Op.Reduce _ -> not (isLight t)
            | _ -> false
        let users = Dictionary<Hash, List<Tensor>>()
        if Array.exists isColumns order then
            for t in order do
                users[t.Hash] <- List()
                for i in t.Inputs do
                    users[i.Hash].Add t
        let outputSources = HashSet<Hash>(outputs |> Seq.map (fun o -> (fst (Form.source o)).Hash))
        // Reductions of columns take their private producers before anybody else can.
        let columns = Dictionary<Hash, Tensor[]>()
        for t in order do
            if isColumns t then
                let inside = absorb users outputSources.Contains isFree t
                columns[t.Hash] <- inside
                for i in inside do
                    taken.Add i.Hash |> ignore
        let isLeaf (t: Tensor) =
            match t.Op with
            | Op.Input _
            | Op.Literal _
            | Op.Item _ -> true
            | _ -> false
        for t in order do
            if not (isLeaf t || isFree.Contains t.Hash || Form.isView t || taken.Contains t.Hash) then b.Place t
        // What column kernels swallowed depends on other kernels all the same; that is settled by ordering below.
        let position =
            lazy
                (let table = Dictionary<Hash, int>(order.Length)
                 order |> Array.iteri (fun i t -> table[t.Hash] <- i)
                 table)
        let workOf = Dictionary<int, int>()
        let works = List<int * Tensor[] * Work>()
        for g in b.Groups do
            if g.Alive then
                // Members come in order, but for those that came with another kernel.
                let members = g.Members.ToArray()
                if g.HasMerged then Array.sortInPlaceBy (fun (m: Tensor) -> position.Value[m.Hash]) members
                workOf[g.Number] <- works.Count
                let first = members[0]
                match columns.TryGetValue first.Hash with
                | true, inside -> works.Add((g.Number, Array.append inside members, Work.Columns(first, inside)))
                | _ when g.Elements < 0 -> works.Add((g.Number, members, Work.Single first))
                | _ -> works.Add((g.Number, members, Work.Rows(members, g.RowLength)))
        let owner (t: Tensor) =
            match b.GroupOf.TryGetValue t.Hash with
            | true, g -> workOf[g]
            | _ -> -1
        let gathered =
            works
            |> Seq.map (fun (_, members, work) ->
                { Members = members
                  Cost = Array.sumBy cost members
                  Walk =
                    match work with
                    | Work.Rows(_, length) -> Walk.Rows length
                    | Work.Columns(t, _) -> Walk.Columns(innerOf t)
                    | Work.Single _
                    | Work.Finished _ -> Walk.Own })
            |> Seq.toArray
        let again = Recompute.choose gathered owner isFree outputSources
        // The sources that each kernel reads from others: those are stored.
        let stored = HashSet<Hash>()
        let needs = works |> Seq.map (fun _ -> HashSet<int>()) |> Seq.toArray
        let sources = works |> Seq.map (fun _ -> HashSet<Hash>()) |> Seq.toArray
        let rec reads (w: int) (seen: HashSet<Hash>) (m: Tensor) =
            for i in m.Inputs do
                let s, _ = Form.source i
                let s =
                    match s.Op with
                    | Op.Item _ -> s.Inputs[0]
                    | _ -> s
                let other = owner s
                if other >= 0 && other <> w then
                    if not (again.Contains s.Hash) then
                        stored.Add s.Hash |> ignore
                        sources[w].Add s.Hash |> ignore
                        needs[w].Add other |> ignore
                    elif seen.Add s.Hash then
                        reads w seen s
        works |> Seq.iteri (fun w (_, members, _) -> Array.iter (reads w (HashSet())) members)
        for o in outputs do
            stored.Add((fst (Form.source o)).Hash) |> ignore
        // Kahn's order, the earliest expression first.
        let remaining = needs |> Array.map (fun n -> n.Count)
        let waiting = works |> Seq.map (fun _ -> List<int>()) |> Seq.toArray
        needs
        |> Array.iteri (fun w n ->
            for other in n do
                waiting[other].Add w)
        let key w = let number, _, _ = works[w] in number
        let ready = PriorityQueue<int, int>()
        remaining |> Array.iteri (fun w n -> if n = 0 then ready.Enqueue(w, key w))
        let sorted = List<int>()
        while ready.Count > 0 do
            let w = ready.Dequeue()
            sorted.Add w
            for later in waiting[w] do
                remaining[later] <- remaining[later] - 1
                if remaining[later] = 0 then ready.Enqueue(later, key later)
        if sorted.Count <> works.Count then
            invalidOp "schedule: kernels wait for each other (this is a mistake in Nanograd; please report the program)"
        { Works = sorted |> Seq.map (fun w -> let _, _, work = works[w] in work) |> Seq.toArray
          Reads = sorted |> Seq.map (fun w -> sources[w]) |> Seq.toArray
          Stored = stored
          Again = again }
