namespace Nanograd

open System.Collections.Generic

/// How a kernel walks over elements, as far as computing something again in it is concerned.
[<RequireQualifiedAccess>]
type internal Walk =
    /// Over rows of a length (0 where there are no rows).
    | Rows of rowLength: int
    /// Down columns, `inner` of them side by side.
    | Columns of inner: int
    /// Its operands must be in memory.
    | Own

/// A kernel before it is decided what it stores.
[<NoComparison>]
type internal Gathered = { Members: Tensor[]; Walk: Walk; Cost: int }

/// Which values of elementwise kernels are not stored, because whoever reads them computes them again from what is in memory anyway.
/// The backward pass of a GELU needs three functions of its operand: computing them again costs less than keeping three arrays.
/// Bits do not change: the same operations on the same operands.
[<RequireQualifiedAccess>]
module internal Recompute =
    /// The most elementary operations of a kernel, what it computes again included.
    let private budget = 400

    /// Operations that take as long as writing an element and reading it again takes: small arrays come from a cache.
    let private operationsPerTransfer (elements: int) = if elements >= 65536 then 17.0 else 4.0

    /// A store counts more than a load: the memory written to is read first.
    let private storeWeight = 1.5

    let private isStretch (t: Tensor) =
        match t.Op with
        | Op.Movement(Movement.Reshape | Movement.Broadcast) -> true
        | _ -> false

    let private elementsOf (g: Gathered) =
        g.Members
        |> Array.map (fun m ->
            match m.Op with
            | Op.Reduce _ -> m.Inputs[0].Count
            | _ -> m.Count)
        |> Array.max

    /// What it takes to compute values of a kernel again in another one.
    [<NoComparison>]
    type private Closure =
        {
            /// The expressions computed again.
            Again: HashSet<Hash>
            /// What they read: of full size, and values per row or smaller.
            Leaves: Dictionary<Hash, Tensor>
            Small: Dictionary<Hash, Tensor>
            Cost: int
        }

    /// One decision: everything about a program that it needs.
    type private Chooser(works: Gathered[], owner: Tensor -> int, isFree: HashSet<Hash>, outputs: HashSet<Hash>) =
        /// Full-sized values that works read from others: by whom, and whether always as they lie.
        let readers = Dictionary<Hash, HashSet<int>>()
        let apart = HashSet<Hash>() // read through other views than reshapes
        let reads = works |> Array.map (fun _ -> HashSet<Hash>())
        let values = Dictionary<Hash, Tensor>()
        let dropped, pinned = HashSet<Hash>(), HashSet<Hash>()
        let again = HashSet<Hash>()

        do
            works
            |> Array.iteri (fun w g ->
                for m in g.Members do
                    for i in m.Inputs do
                        if not (isFree.Contains i.Hash) then
                            let s, chain = Form.source i
                            let home = owner s
                            if home <> w then
                                reads[w].Add s.Hash |> ignore
                                if home >= 0 then
                                    values[s.Hash] <- s
                                    if not (readers.ContainsKey s.Hash) then readers[s.Hash] <- HashSet()
                                    readers[s.Hash].Add w |> ignore
                                    if Form.readsFromMemory m || not (List.forall Form.isReshape chain) then
                                        apart.Add s.Hash |> ignore)

        let fitsRows (from: Gathered) (reader: Gathered) =
            match from.Walk, reader.Walk with
            | Walk.Rows r, Walk.Rows q -> r <= 1 || q <= 1 || q = r
            | Walk.Rows r, Walk.Columns inner -> r <= 1 || inner = r
            | _ -> false

        let isCandidate (s: Tensor) =
            let home = owner s
            let elements = elementsOf works[home]
            Form.isElementwise s
            && not (outputs.Contains s.Hash || apart.Contains s.Hash || pinned.Contains s.Hash)
            && s.Count = elements
            && readers[s.Hash] |> Seq.forall (fun w -> works[w].Walk <> Walk.Own && fitsRows works[home] works[w])

        /// What must be computed to have `needed`, all of kernel `home`, elsewhere. None where a view stands in between that other
        /// loops cannot follow, or where something is needed that only this kernel has.
        let closure (home: int) (dropping: HashSet<Hash>) (needed: seq<Tensor>) : Closure option =
            let elements = elementsOf works[home]
            let c = { Again = HashSet(); Leaves = Dictionary(); Small = Dictionary(); Cost = 0 }
            let mutable cost, possible = 0, true
            let isStored (s: Tensor) =
                (readers.ContainsKey s.Hash || outputs.Contains s.Hash)
                && not (dropping.Contains s.Hash || dropped.Contains s.Hash)
            let rec again (t: Tensor) =
                if possible && c.Again.Add t.Hash then
                    cost <- cost + Cost.perElement t
                    if cost > budget then possible <- false
                    for i in t.Inputs do
                        if not (isFree.Contains i.Hash) then operand i
            and operand (i: Tensor) =
                let s, chain = Form.source i
                let isFull = s.Count = elements
                let inside = owner s = home
                if isFull && not (List.forall Form.isReshape chain) then possible <- false
                elif not isFull && not (List.forall isStretch chain) then possible <- false
                elif isFull && inside && Form.isElementwise s && not (isStored s) then again s
                elif isFull && not inside && dropped.Contains s.Hash then possible <- false
                elif isFull && (not inside || isStored s) then c.Leaves[s.Hash] <- s
                elif isFull then possible <- false
                elif s.Count * 8 <= elements then c.Small[s.Hash] <- s
                else possible <- false
            Seq.iter again needed
            if possible then Some { c with Cost = cost } else None

        let weightOf (t: Tensor) = float (DType.size t.DType) / 4.0

        /// Would dropping these values of kernel `home`, which the same kernels read, save more than it costs?
        let tryDrop (home: int) (readBy: int[]) (group: Tensor[]) =
            let dropping = HashSet<Hash>(group |> Seq.map (fun t -> t.Hash))
            let closures = readBy |> Array.map (fun w -> w, closure home dropping group)
            if closures |> Array.forall (fun (w, c) -> c.IsSome && works[w].Cost + c.Value.Cost <= budget) then
                let saved = group |> Array.sumBy weightOf
                let leaves =
                    closures |> Seq.collect (fun (_, c) -> c.Value.Leaves.Values) |> Seq.distinct |> Seq.toArray
                let extra =
                    closures
                    |> Array.sumBy (fun (w, c) ->
                        c.Value.Leaves.Values
                        |> Seq.filter (fun l -> not (reads[w].Contains l.Hash))
                        |> Seq.sumBy weightOf)
                let transfers = storeWeight * saved + float readBy.Length * saved - extra
                let cost = closures |> Array.sumBy (fun (_, c) -> float c.Value.Cost)
                let kept =
                    leaves
                    |> Array.filter (fun l -> readBy |> Array.exists (fun w -> not (reads[w].Contains l.Hash)))
                    |> Array.sumBy weightOf
                if kept <= saved && cost <= transfers * operationsPerTransfer (elementsOf works[home]) then
                    dropped.UnionWith dropping
                    for _, c in closures do
                        for l in Seq.append c.Value.Leaves.Values c.Value.Small.Values do
                            pinned.Add l.Hash |> ignore
                    for w, c in closures do
                        again.UnionWith c.Value.Again
                        reads[w].UnionWith c.Value.Leaves.Keys
                        for l in Seq.append c.Value.Leaves.Values c.Value.Small.Values do
                            if owner l >= 0 then
                                values[l.Hash] <- l
                                if not (readers.ContainsKey l.Hash) then readers[l.Hash] <- HashSet()
                                readers[l.Hash].Add w |> ignore

        member _.Choose() : HashSet<Hash> =
            let classes =
                values.Values
                |> Seq.filter isCandidate
                |> Seq.groupBy (fun s -> struct (owner s, System.String.Join(",", readers[s.Hash] |> Seq.sort)))
                |> Seq.map (fun (struct (home, _), group) ->
                    let group = Seq.toArray group
                    home, readers[group[0].Hash] |> Seq.sort |> Seq.toArray, group)
                |> Seq.sortByDescending (fun (_, _, group) -> group.Length)
                |> Seq.toArray
            for home, readBy, group in classes do
                let group = group |> Array.filter (fun s -> not (pinned.Contains s.Hash))
                if group.Length > 0 then tryDrop home readBy group
            again

    /// What readers in other kernels compute again: values that are not stored, and what those are made of within their kernel.
    let choose
        (works: Gathered[])
        (owner: Tensor -> int)
        (isFree: HashSet<Hash>)
        (outputs: HashSet<Hash>)
        : HashSet<Hash> =
        Chooser(works, owner, isFree, outputs).Choose()
