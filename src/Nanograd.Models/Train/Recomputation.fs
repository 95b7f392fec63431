namespace Nanograd

open System
open System.Collections.Generic

/// Which part of a forward computation is computed again in the backward pass: it is cut into `Segments` pieces, and of
/// the first `Recomputed` ones only what later pieces read is kept.
[<Struct>]
type Recomputation = { Segments: int; Recomputed: int }

/// Activation checkpointing of any expression (Chen et al. 2016), and its choice by a budget of memory.
[<RequireQualifiedAccess>]
module Recomputation =
    /// Everything is kept.
    let none = { Segments = 1; Recomputed = 0 }

    let private bytes (t: Tensor) = int64 t.Count * int64 (DType.size t.DType)

    /// What takes no memory: leaves, and other views of a tensor.
    let private isFree (t: Tensor) =
        match t.Op with
        | Op.Movement(Movement.Reshape | Movement.Permute _ | Movement.Broadcast | Movement.Slice _ | Movement.Reverse _) ->
            true
        | _ -> t.Inputs.Length = 0

    let private isItem (t: Tensor) =
        match t.Op with
        | Op.Item _ -> true
        | _ -> false

    /// The bytes of a value that must not be cut from its readers.
    let private whole = Int64.MaxValue / 4096L

    /// For each value of an order the place of its last reader; who reads a view reads what it is a view of. Roots are read
    /// after everything.
    let private lastReads (order: Tensor[]) (roots: Tensor[]) : Dictionary<Hash, int> =
        let last = Dictionary<Hash, int>()
        let read (t: Tensor) place =
            match last.TryGetValue t.Hash with
            | true, known -> last[t.Hash] <- max known place
            | _ -> last[t.Hash] <- place
        for t in roots do
            read t order.Length
        for i in order.Length - 1 .. -1 .. 0 do
            let t = order[i]
            let place =
                match last.TryGetValue t.Hash with
                | true, until when isFree t -> until
                | _ -> i
            for x in t.Inputs do
                read x place
        last

    /// For each place in an order, the bytes of values computed before it and read after it: what a cut there keeps.
    /// Between a primitive with several results and those there is no cut.
    let private crossings (order: Tensor[]) (last: Dictionary<Hash, int>) : int64[] =
        let change = Array.zeroCreate (order.Length + 2)
        let calls = HashSet<Hash>(order |> Seq.filter isItem |> Seq.map (fun t -> t.Inputs[0].Hash))
        order
        |> Array.iteri (fun i t ->
            match last.TryGetValue t.Hash with
            | true, until when not (isFree t) ->
                let size = if calls.Contains t.Hash then whole else bytes t
                change[i + 1] <- change[i + 1] + size
                change[min order.Length until + 1] <- change[min order.Length until + 1] - size
            | _ -> ())
        Array.scan (+) 0L change |> Array.skip 1 |> Array.truncate (order.Length + 1)

    /// Where pieces begin: near equal shares of the memory of all values, where least crosses.
    let private cuts (segments: int) (order: Tensor[]) (last: Dictionary<Hash, int>) : int[] =
        let crossing = crossings order last
        let done' = order |> Array.scan (fun total t -> if isFree t then total else total + bytes t) 0L
        let total = Array.last done'
        let reach = total / int64 (3 * segments)
        let cut s =
            let target = total * int64 s / int64 segments
            seq { 1 .. order.Length - 1 }
            |> Seq.filter (fun i -> abs (done'[i] - target) <= reach && crossing[i] < whole)
            |> Seq.sortBy (fun i -> crossing[i], abs (done'[i] - target), i)
            |> Seq.tryHead
        [| 1 .. segments - 1 |] |> Array.choose cut |> Array.distinct |> Array.sort

    /// A node outside of all checkpoints, or a view of one.
    let rec private outer (rebuilt: Dictionary<Hash, Tensor>) (t: Tensor) : Tensor =
        match rebuilt.TryGetValue t.Hash with
        | true, known -> known
        | _ ->
            let again = Op.rebuild t (Array.map (outer rebuilt) t.Inputs)
            rebuilt[t.Hash] <- again
            again

    /// The nodes of one piece as a checkpoint: what later nodes read becomes its results. Views are not results: who reads one
    /// makes it of what it is a view of.
    let private wrap (piece: Tensor[]) (isRead: Tensor -> bool) (rebuilt: Dictionary<Hash, Tensor>) =
        let own = HashSet<Hash>(piece |> Seq.map (fun t -> t.Hash))
        let inside, outside, variables = Dictionary<Hash, Tensor>(), List<Tensor>(), List<Tensor>()
        let rec find (x: Tensor) : Tensor =
            match inside.TryGetValue x.Hash, x.Op with
            | (true, t), _ -> t
            | _, (Op.Const _ | Op.Iota _) -> x
            | _ when own.Contains x.Hash || (isFree x && x.Inputs.Length > 0) ->
                let t = Op.rebuild x (Array.map find x.Inputs)
                inside[x.Hash] <- t
                t
            | _ ->
                let v = Op.input "x" x.DType x.Shape
                inside[x.Hash] <- v
                outside.Add x
                variables.Add v
                v
        let results = piece |> Array.filter isRead
        if results.Length > 0 then
            for t in piece do
                find t |> ignore
            let body = results |> Array.map find |> Lambda.ofVariables (variables.ToArray())
            let operands = outside.ToArray() |> Array.map (outer rebuilt)
            Array.iter2 (fun (t: Tensor) again -> rebuilt[t.Hash] <- again) results (Op.checkpoint body operands)

    /// The same expressions, a part of them in checkpoints. The values are the same; a gradient computes that part twice.
    let apply (r: Recomputation) (roots: Tensor[]) : Tensor[] =
        if r.Segments < 1 || r.Recomputed < 0 || r.Recomputed > r.Segments then
            raise (ArgumentException $"There are no {r.Recomputed} of {r.Segments} segments.")
        if r.Recomputed = 0 then
            roots
        else
            let order = Graph.topological roots
            let last = lastReads order roots
            let bounds = Array.concat [ [| 0 |]; cuts r.Segments order last; [| order.Length |] ]
            let rebuilt = Dictionary<Hash, Tensor>()
            // The last piece is needed again at once: it is never worth a checkpoint.
            Array.pairwise bounds
            |> Array.iteri (fun s (first, after) ->
                let piece = order[first .. after - 1] |> Array.filter (isFree >> not)
                if s < r.Recomputed && after < order.Length then
                    let isRead (t: Tensor) =
                        match last.TryGetValue t.Hash with
                        | true, until -> until >= after
                        | _ -> false
                    wrap piece isRead rebuilt
                else
                    for t in piece do
                        outer rebuilt t |> ignore)
            roots |> Array.map (outer rebuilt)

    /// From the cheapest to the smallest: more and more of eight pieces, then all of more pieces.
    let candidates: Recomputation list =
        [ yield none
          for pieces in 1..7 do
              yield { Segments = 8; Recomputed = pieces }
          for segments in [ 16; 32; 64 ] do
              yield { Segments = segments; Recomputed = segments - 1 } ]

    /// The most bytes at once, known without running: the argument's values, of which the first `donated` are overwritten,
    /// what the function computes, and its results.
    let plannedBytes (donated: int) (f: 'A -> 'R) (argument: 'A) : int64 =
        let values = Tree.leaves argument
        let variables = values |> Array.mapi (fun i v -> Op.input $"x{i}" v.DType v.Shape)
        let results = Tree.leaves (f (Tree.rebuild argument variables))
        let struct (_, literals, _) = Program.key results
        let captured = literals |> Array.mapi (fun i l -> Op.input $"c{i}" l.DType l.Shape)
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (l: Tensor) c -> replacements[l.Hash] <- c) literals captured
        let inputs = Array.append variables captured
        let marks = Array.init inputs.Length (fun i -> i < donated)
        let program = Program.compile inputs (Substitute.apply replacements results) marks
        program.PeakBytes + Array.sumBy bytes inputs

    /// A number of bytes in words.
    let internal inWords (bytes: int64) : string =
        let megabytes = float bytes / 1048576.0
        (if megabytes < 10.0 then
             megabytes.ToString("0.00", Globalization.CultureInfo.InvariantCulture)
         else
             megabytes.ToString("0", Globalization.CultureInfo.InvariantCulture))
        + " MB"

    /// The cheapest candidate whose planned bytes are within the budget. If none is, an InvalidOperationException names the least.
    let choose (budget: int64) (planned: Recomputation -> int64) : Recomputation =
        let tried = List<struct (Recomputation * int64)>()
        let fits candidate =
            let size = planned candidate
            tried.Add(struct (candidate, size))
            size <= budget
        match List.tryFind fits candidates with
        | Some chosen -> chosen
        | None ->
            let least = tried |> Seq.map (fun (struct (_, size)) -> size) |> Seq.min
            let struct (_, plain) = tried[0]
            raise (
                InvalidOperationException
                    $"The memory budget is {inWords budget}, but a step needs at least {inWords least} (without recomputing, {inWords plain}); raise the budget or take smaller batches."
            )
