namespace Nanograd

open System
open System.Collections.Generic

/// The orders of summation: which additions a sum is made of, and so which bits it has (docs/semantics.md).
[<RequireQualifiedAccess>]
module internal Sums =
    /// Elements of one block of a reduction over last axes, of one over other axes, and of a contraction.
    let rowBlock, chainBlock, dotBlock = 4096, 256, 8192

    /// Neighbours are combined until one is left; an odd last one is carried to the next round.
    let rec tree (combine: 'T -> 'T -> 'T) (xs: 'T[]) : 'T =
        if xs.Length = 1 then
            xs[0]
        else
            let pair i = if 2 * i + 1 < xs.Length then combine xs[2 * i] xs[2 * i + 1] else xs[2 * i]
            tree combine (Array.init ((xs.Length + 1) / 2) pair)

    /// Element r goes to lane r mod `count`; then their upper half is folded onto the lower until one is left.
    let lanes (count: int) (f: Folding<'T>) (xs: 'T[]) : 'T =
        let lane = Array.create count f.Identity
        xs |> Array.iteri (fun r x -> lane[r % count] <- f.Combine lane[r % count] x)
        let rec halve h =
            for i in 0 .. h - 1 do
                lane[i] <- f.Combine lane[i] lane[i + h]
            if h > 1 then halve (h / 2)
        halve (count / 2)
        lane[0]

    /// A row (a run of last axes): blocks by lanes, then the tree.
    let row<'T when 'T: unmanaged> (f: Folding<'T>) (xs: 'T[]) =
        let count = if sizeof<'T> = 8 then 32 else 64
        if xs.Length = 0 then
            f.Empty
        else
            xs |> Array.chunkBySize rowBlock |> Array.map (lanes count f) |> tree f.Combine

    /// Axes before the last: blocks as chains, then the tree.
    let chains (f: Folding<'T>) (xs: 'T[]) =
        if xs.Length = 0 then
            f.Empty
        else
            xs |> Array.chunkBySize chainBlock |> Array.map (Array.reduce f.Combine) |> tree f.Combine

    /// A contraction of x 0, x 1, ... with y 0, y 1, ...: each block a multiply-add chain from +0, blocks summed up.
    let contract (n: Numbers<'T>) (count: int) (x: int -> 'T) (y: int -> 'T) : 'T =
        let chain start =
            let mutable acc = n.Zero
            for k in start .. min count (start + dotBlock) - 1 do
                acc <- n.MultiplyAdd (x k) (y k) acc
            acc
        let mutable total = chain 0
        for block in 1 .. (count - 1) / dotBlock do
            total <- n.Add total (chain (block * dotBlock))
        total

/// The meaning of what computes on numbers: elementwise functions, reductions and contractions.
[<RequireQualifiedAccess>]
module internal Compute =
    let private without (axes: int[]) (shape: int[]) =
        [| 0 .. shape.Length - 1 |] |> Array.filter (fun a -> not (Array.contains a axes))

    let unary (u: Unary) (d: DType) (x: Array) : Array =
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) = Array.map (n.Unary u) (x :?> 'T[]) }

    let binary (b: Binary) (d: DType) (x: Array) (y: Array) : Array =
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let xs, ys = x :?> 'T[], y :?> 'T[]
                    match n.Binary b with
                    | Value f -> Array.map2 f xs ys
                    | Test f -> Array.map2 (fun x y -> if f x y then 1uy else 0uy) xs ys }

    let select (d: DType) (condition: Array) (a: Array) (b: Array) : Array =
        Elements.on
            d
            { new OnElements<Array> with
                member _.Of<'T when 'T: unmanaged>() =
                    let choose c x y = if c <> 0uy then x else y
                    Array.map3 choose (condition :?> byte[]) (a :?> 'T[]) (b :?> 'T[]) }

    let reduce (r: Reduction) (axes: int[]) (d: DType) (shape: int[]) (x: Array) : Array =
        let kept, folded = Places.ofAxes shape (without axes shape), Places.ofAxes shape axes
        let isRow = axes[0] = shape.Length - axes.Length
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let xs, f = x :?> 'T[], n.Folding r
                    let fold = if isRow then Sums.row f else Sums.chains f
                    kept |> Array.map (fun p -> folded |> Array.map (fun q -> xs[p + q]) |> fold) :> Array }

    let cumSum axis reverse (d: DType) (shape: int[]) (x: Array) : Array =
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let result = Array.copy (x :?> 'T[])
                    for line in Places.lines shape axis do
                        let line = if reverse then Array.rev line else line
                        for i in 1 .. line.Length - 1 do
                            result[line[i]] <- n.Add result[line[i - 1]] result[line[i]]
                    result }

    let dot (c: Contraction) (d: DType) (left: int[]) (right: int[]) (x: Array) (y: Array) : Array =
        let free shape batch sum = Places.ofAxes shape (without (Array.append batch sum) shape)
        let leftBatch, rightBatch = Places.ofAxes left c.LeftBatch, Places.ofAxes right c.RightBatch
        let leftFree, rightFree = free left c.LeftBatch c.LeftSum, free right c.RightBatch c.RightSum
        let leftSum, rightSum = Places.ofAxes left c.LeftSum, Places.ofAxes right c.RightSum
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let xs, ys = x :?> 'T[], y :?> 'T[]
                    let element p q =
                        Sums.contract n leftSum.Length (fun k -> xs[p + leftSum[k]]) (fun k -> ys[q + rightSum[k]])
                    [| for b in 0 .. leftBatch.Length - 1 do
                           for p in leftFree do
                               for q in rightFree do
                                   element (leftBatch[b] + p) (rightBatch[b] + q) |] }

    /// For every position of the result: the positions of the kernel that take part, each with the place in x's spatial axes
    /// that it meets, or -1 beyond x's borders, where x counts as +0. What falls between the elements of a dilated x has no part.
    let private taps (c: Convolution) (x: int[]) (kernel: int[]) (result: int[]) : struct (int * int)[][] =
        let along axis o =
            [| for k in 0 .. kernel[axis] - 1 do
                   let p = o * c.Strides[axis] + k * c.RightDilation[axis] - c.PadLow[axis]
                   if p % c.LeftDilation[axis] = 0 then
                       let place = p / c.LeftDilation[axis]
                       struct (k, (if place >= 0 && place < x[axis] then place else -1)) |]
        let extend (outer: struct (int * int)[][]) axis =
            [| for line in outer do
                   for o in 0 .. result[axis] - 1 do
                       [| for struct (before, place) in line do
                              for struct (k, p) in along axis o do
                                  let inside = place >= 0 && p >= 0
                                  struct (before * kernel[axis] + k, (if inside then place * x[axis] + p else -1)) |] |]
        Array.fold extend [| [| struct (0, 0) |] |] [| 0 .. x.Length - 1 |]

    let conv (c: Convolution) (d: DType) (left: int[]) (right: int[]) (result: int[]) (x: Array) (w: Array) : Array =
        let positions = taps c left[2..] right[2..] result[2..]
        let space, kernel = Shape.count left[2..], Shape.count right[2..]
        let channels, outputs = right[1], right[0] / c.Groups // of one group
        Numbers.on
            d
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let xs, ws = x :?> 'T[], w :?> 'T[]
                    let element b o (taps: struct (int * int)[]) =
                        let first = b * left[1] + o / outputs * channels
                        let input i =
                            let struct (_, place) = taps[i % taps.Length]
                            if place < 0 then n.Zero else xs[(first + i / taps.Length) * space + place]
                        let weight i =
                            let struct (k, _) = taps[i % taps.Length]
                            ws[(o * channels + i / taps.Length) * kernel + k]
                        Sums.contract n (channels * taps.Length) input weight
                    [| for b in 0 .. left[0] - 1 do
                           for o in 0 .. right[0] - 1 do
                               for places in positions do
                                   element b o places |] }

    let randomBits (count: int) (key: Array) : Array =
        let key = key :?> uint32[]
        Array.init count (fun i -> Threefry.bits (struct (key[0], key[1])) (uint64 i)) :> Array

/// The meaning of the language: slow, obviously right, never optimised. All else is tested against it, bit for bit.
[<RequireQualifiedAccess>]
module Interpreter =
    /// What is to be computed: nodes in order, where their operands are, how often each is read, and which are results.
    [<NoComparison>]
    type private Plan = { Order: Tensor[]; Operands: int[][]; Uses: int[]; Roots: int[] }

    let private plan (roots: Tensor[]) : Plan =
        let order = Graph.topological roots
        let positions = Dictionary<Hash, int>(order.Length)
        order |> Array.iteri (fun i t -> positions[t.Hash] <- i)
        let operands = order |> Array.map (fun t -> t.Inputs |> Array.map (fun x -> positions[x.Hash]))
        let results = roots |> Array.map (fun r -> positions[r.Hash])
        let uses = Array.zeroCreate order.Length
        for p in Seq.append (Seq.concat operands) results do
            uses[p] <- uses[p] + 1
        { Order = order; Operands = operands; Uses = uses; Roots = results }

    let private released: Array = [||]: byte[]

    /// The value of a node from those of its operands. A primitive with several results gives an array of arrays.
    let rec private value (leaf: Tensor -> Array) (t: Tensor) (xs: Array[]) : Array =
        let source i = t.Inputs[i].DType
        match t.Op with
        | Op.Literal s -> Elements.ofStorage s
        | Op.Input _
        | Op.Parameter _ -> leaf t
        | Op.Const c ->
            Elements.narrow c.DType (if DType.isFloat c.DType then Floats [| c.Float |] else Integers [| c.Int |])
        | Op.Iota axis ->
            let along = Array.init t.Rank (fun i -> if i = axis then 1 else 0)
            Elements.narrow t.DType (Integers(Places.ofView t.Shape 0 along |> Array.map int64))
        | Op.RandomBits -> Compute.randomBits t.Count xs[0]
        | Op.Unary u -> Compute.unary u t.DType xs[0]
        | Op.Binary b -> Compute.binary b (source 0) xs[0] xs[1]
        | Op.Select -> Compute.select t.DType xs[0] xs[1] xs[2]
        | Op.Cast -> Elements.narrow t.DType (Elements.widen (source 0) xs[0])
        | Op.BitCast -> Elements.reinterpret (source 0) t.DType xs[0]
        | Op.Movement m -> Movements.evaluate m t xs
        | Op.Reduce(r, axes) -> Compute.reduce r axes t.DType t.Inputs[0].Shape xs[0]
        | Op.ArgReduce(largest, axis) -> Order.argReduce (source 0) t.Inputs[0].Shape largest axis xs[0]
        | Op.CumSum(axis, reverse) -> Compute.cumSum axis reverse t.DType t.Shape xs[0]
        | Op.Dot c -> Compute.dot c t.DType t.Inputs[0].Shape t.Inputs[1].Shape xs[0] xs[1]
        | Op.Conv c -> Compute.conv c t.DType t.Inputs[0].Shape t.Inputs[1].Shape t.Shape xs[0] xs[1]
        | Op.Indexing i -> Indices.evaluate i t xs
        | Op.Sort(axis, descending) -> Order.sort t.DType t.Shape axis descending xs[0]
        | Op.TopK k -> Order.topK t.DType t.Inputs[0].Shape k xs[0]
        | Op.Scan s -> scan s xs
        | Op.Custom c -> call (plan c.Body.Results) xs
        | Op.Checkpoint l -> call (plan l.Results) xs
        | Op.Item i -> (xs[0] :?> Array[])[i]

    /// Runs a plan; every value is let go after its last use.
    and private execute (p: Plan) (leaf: Tensor -> Array) : Array[] =
        let values = Array.create p.Order.Length released
        let remaining = Array.copy p.Uses
        for i in 0 .. p.Order.Length - 1 do
            let operands = p.Operands[i]
            values[i] <- value leaf p.Order[i] (operands |> Array.map (fun o -> values[o]))
            for o in operands do
                remaining[o] <- remaining[o] - 1
                if remaining[o] = 0 then values[o] <- released
        p.Roots |> Array.map (fun r -> values[r])

    /// The body of a closed function on the values of its parameters.
    and private call (body: Plan) (operands: Array[]) : Array[] =
        execute body (fun t ->
            match t.Op with
            | Op.Parameter i -> operands[i]
            | _ ->
                let message = $"the variable {Print.name t} occurs in a closed function; pass it as an operand"
                raise (InvalidOperationException message))

    and private scan (s: Scan) (xs: Array[]) : Array[] =
        let body = plan s.Body.Results
        let captured, inputs = xs[.. s.Captured - 1], xs[s.Captured + s.Carried ..]
        let mutable carries = xs[s.Captured .. s.Captured + s.Carried - 1]
        let outputs = s.Body.Results[s.Carried ..]
        let rows = Array.init s.Length (fun _ -> Array.create outputs.Length released)
        for step in 0 .. s.Length - 1 do
            let i = if s.Reverse then s.Length - 1 - step else step
            let slice k (x: Array) =
                let dtype, shape = s.Body.Params[s.Captured + s.Carried + k]
                let count = Shape.count shape
                Elements.sub dtype x (i * count) count
            let results = call body (Array.concat [ captured; carries; Array.mapi slice inputs ])
            carries <- results[.. s.Carried - 1]
            rows[i] <- results[s.Carried ..]
        let stacks = outputs |> Array.mapi (fun k r -> Elements.join r.DType (rows |> Array.map (fun row -> row[k])))
        Array.append carries stacks

    /// The values of `roots`. Variables (and parameters) have the values that `bindings` gives to their nodes' hashes.
    let evaluate (bindings: IReadOnlyDictionary<Hash, Storage>) (roots: Tensor[]) : Storage[] =
        let leaf (t: Tensor) =
            match bindings.TryGetValue t.Hash with
            | true, s when s.DType = t.DType && s.Length = t.Count -> Elements.ofStorage s
            | true, s ->
                let given = $"{s.Length} elements of {s.DType}"
                invalidArg "bindings" $"{Print.name t} is {Shape.describe t} and cannot have {given} as its value"
            | _ -> invalidArg "bindings" $"{Print.name t} ({Shape.describe t}) has no value; bind it before evaluating"
        Array.map2 (fun (r: Tensor) v -> Elements.toStorage r.DType v) roots (execute (plan roots) leaf)

    /// The value of an expression without variables.
    let run (t: Tensor) : Storage = (evaluate (Dictionary()) [| t |])[0]
