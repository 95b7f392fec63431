namespace Nanograd

open System.Collections.Generic

/// Automatic batching: a program for one example becomes a program for many. The driver knows no primitive; the table
/// has one row for each. What does not depend on the batched variables is not touched, and operands that are the same
/// for all examples stay so where the primitive can share them. Every example keeps its own bits: no rule changes
/// the order in which anything is summed.
[<RequireQualifiedAccess>]
module Vmap =
    /// A tensor with the batch in front, or one that all examples share.
    [<Struct; NoEquality; NoComparison>]
    type internal Operand = { Value: Tensor; IsBatched: bool }

    let private batched x = { Value = x; IsBatched = true }
    let private shared x = { Value = x; IsBatched = false }

    let private later (axes: int[]) = Array.map ((+) 1) axes
    let private inFront (e: int) (shape: int[]) = Array.append [| e |] shape

    /// With the batch in front, whatever it was.
    let private lift (n: int) (x: Operand) =
        if x.IsBatched then x.Value else Op.broadcast (inFront n x.Value.Shape) x.Value

    /// Axis `axis` moved to the front.
    let private toFront axis (x: Tensor) = Op.permute (inFront axis (Array.removeAt axis [| 0 .. x.Rank - 1 |])) x

    /// The first axis moved to `axis`.
    let private fromFront axis (x: Tensor) = Op.permute (Array.insertAt axis 0 [| 1 .. x.Rank - 1 |]) x

    let private whole (x: int) = Op.constant (Constant.ofInt DType.I64 (int64 x))

    // ------------------------------------------------------------------------------------------------ leaves

    let private words =
        { new Words<Tensor>() with
            member _.Const value = Op.constant (Constant.ofInt DType.U32 (int64 value))
            member _.Add(x, y) = Op.binary Binary.Add x y
            member _.Xor(x, y) = Op.binary Binary.Xor x y
            member w.RotateLeft(x, count) =
                let by n = w.Const(uint32 n)
                Op.binary Binary.Or (Op.binary Binary.Shl x (by count)) (Op.binary Binary.Shr x (by (32 - count))) }

    /// The bits that RandomBits gives for each key: the same cipher, as arithmetic on words.
    let private randomBits (shape: int[]) (keys: Tensor) =
        let n, count = keys.Shape[0], Shape.count shape
        let word i = Op.slice [| 0; i |] [| n; i + 1 |] [| 1; 1 |] keys
        let low = Op.iota DType.U32 [| 1; count |] 1
        let bits = Threefry.bitsAt words (struct (word 0, word 1)) (struct (low, words.Const 0u)) // the high word is 0
        Op.reshape (inFront n shape) bits

    // ------------------------------------------------------------------------------------------------ movement

    /// Padding whose value is another one for each example.
    let private pad low high interior (value: Tensor) (x: Tensor) =
        let flag v = Op.constant (Constant.ofInt DType.Bool v)
        let zero = Op.constant (Constant.ofInt x.DType 0L)
        let inside = Op.pad low high interior (flag 0L) (Op.broadcast x.Shape (flag 1L))
        let column = Op.reshape (inFront value.Count (Array.create (x.Rank - 1) 1)) value
        Op.select inside (Op.pad low high interior zero x) (Op.broadcast inside.Shape column)

    let private movement (n: int) (m: Movement) (t: Tensor) (xs: Operand[]) : Tensor =
        let x = lift n xs[0]
        match m with
        | Movement.Reshape -> Op.reshape (inFront n t.Shape) x
        | Movement.Permute p -> Op.permute (inFront 0 (later p)) x
        | Movement.Broadcast -> Op.broadcast (inFront n t.Shape) x
        | Movement.Slice(starts, steps) ->
            let stop i = if t.Shape[i] = 0 then starts[i] else starts[i] + (t.Shape[i] - 1) * steps[i] + 1
            Op.slice (inFront 0 starts) (inFront n (Array.init t.Rank stop)) (inFront 1 steps) x
        | Movement.Pad(low, high, interior) ->
            let low, high, interior = inFront 0 low, inFront 0 high, inFront 0 interior
            if xs[1].IsBatched then pad low high interior xs[1].Value x else Op.pad low high interior xs[1].Value x
        | Movement.Reverse axes -> Op.reverse (later axes) x
        | Movement.Concat axis -> Op.concat (axis + 1) (Array.map (lift n) xs)
        | Movement.Unfold w -> Op.unfold { w with Axis = w.Axis + 1 } x
        | Movement.Fold(w, length) -> Op.fold { w with Axis = w.Axis + 1 } length x

    // ------------------------------------------------------------------------------------------------ contraction

    /// A batch on one side only is one more free axis of that side: one product of larger matrices, not many.
    let private dot (d: Contraction) (x: Operand) (y: Operand) =
        let left (d: Contraction) = { d with LeftBatch = later d.LeftBatch; LeftSum = later d.LeftSum }
        let right (d: Contraction) = { d with RightBatch = later d.RightBatch; RightSum = later d.RightSum }
        let batches = d.LeftBatch.Length
        match x.IsBatched, y.IsBatched with
        | true, true ->
            let d = left (right d)
            let d =
                { d with
                    LeftBatch = inFront 0 d.LeftBatch
                    RightBatch = inFront 0 d.RightBatch }
            Op.dot d x.Value y.Value
        | true, false -> Op.dot (left d) x.Value y.Value |> toFront batches
        | false, _ ->
            let free = x.Value.Rank - batches - d.LeftSum.Length
            Op.dot (right d) x.Value y.Value |> toFront (batches + free)

    /// Axes `axis` and `axis + 1` as one.
    let private merge axis (x: Tensor) =
        let s = x.Shape
        Op.reshape (Array.concat [ s[.. axis - 1]; [| s[axis] * s[axis + 1] |]; s[axis + 2 ..] ]) x

    /// Axis `axis` as [outer; inner].
    let private split axis outer inner (x: Tensor) =
        Op.reshape (Array.concat [ x.Shape[.. axis - 1]; [| outer; inner |]; x.Shape[axis + 1 ..] ]) x

    /// Batched images are more images; batched kernels are more output channels, of each group; both together are more
    /// groups.
    let private conv (n: int) (v: Convolution) (t: Tensor) (x: Operand) (w: Operand) =
        let outputs = t.Shape[1]
        match x.IsBatched, w.IsBatched with
        | true, false ->
            let images = x.Value.Shape[1]
            Op.conv v (merge 0 x.Value) w.Value |> split 0 n images
        | true, true when n = 0 -> Calculus.fill t.DType (inFront 0 t.Shape) 0.0 // there are no zero groups
        | true, true ->
            Op.conv { v with Groups = n * v.Groups } (merge 1 (fromFront 1 x.Value)) (merge 0 w.Value)
            |> split 1 n outputs
            |> toFront 1
        | false, _ ->
            let each = outputs / v.Groups
            let kernels = split 1 v.Groups each w.Value |> fromFront 1 // [groups; n; outputs of the group; ...]
            Op.conv v x.Value (merge 0 (merge 0 kernels))
            |> split 1 v.Groups (n * each)
            |> split 2 n each
            |> toFront 2
            |> merge 2

    // ------------------------------------------------------------------------------------------------ indexing

    let private gather axis batch (x: Operand) (indices: Operand) =
        match x.IsBatched, indices.IsBatched with
        | true, true -> Op.gather (axis + 1) (batch + 1) x.Value indices.Value
        | true, false -> Op.gather (axis + 1) batch (fromFront batch x.Value) indices.Value |> toFront batch
        | false, _ -> Op.gather axis batch x.Value (fromFront batch indices.Value) |> toFront axis

    let private scatterAdd (n: int) axis batch (target: Operand) (indices: Operand) (updates: Operand) =
        let target, updates = lift n target, lift n updates
        if indices.IsBatched then
            Op.scatterAdd (axis + 1) (batch + 1) target indices.Value updates
        else
            Op.scatterAdd (axis + 1) batch (fromFront batch target) indices.Value (fromFront batch updates)
            |> toFront batch

    /// Starts as indices, `[n]`.
    let private starts (n: int) (xs: Operand[]) = xs |> Array.map (fun s -> Op.cast DType.I64 (lift n s))

    /// For each example its own box: shared starts cut at once, then each other axis is gathered from its start on.
    let private dynamicSlice (n: int) (sizes: int[]) (x: Operand) (places: Operand[]) : Tensor =
        let sharedStarts = places |> Array.map (fun s -> if s.IsBatched then whole 0 else s.Value)
        let extent axis = x.Value.Shape[if x.IsBatched then axis + 1 else axis]
        let cut = places |> Array.mapi (fun i s -> if s.IsBatched then extent i else sizes[i])
        let start =
            if x.IsBatched then
                batched (Op.dynamicSlice (Array.append [| whole 0 |] sharedStarts) (inFront n cut) x.Value)
            elif Array.forall (fun s -> s.IsBatched) places then
                x
            else
                shared (Op.dynamicSlice sharedStarts cut x.Value)
        let ownStarts = starts n places
        let own (x: Operand) axis =
            let indices = Op.iota DType.I64 [| 1; sizes[axis] |] 1 + Op.reshape [| n; 1 |] ownStarts[axis]
            batched (gather axis 0 x (batched indices))
        let result =
            [ for axis in 0 .. sizes.Length - 1 do
                  if places[axis].IsBatched then axis ]
            |> List.fold own start
        result.Value

    /// Writes each example's update at its own place: elements in the box are read from the update, the others stay.
    /// Starts are looked up among those that are allowed, so that one out of range is still an error.
    let private ownUpdate (n: int) (x: Tensor) (update: Tensor) (places: Operand[]) : Tensor =
        let starts = starts n places
        let step (values: Tensor, inside: Tensor) axis =
            let extent, size = x.Shape[axis], update.Shape[axis]
            let isAll = size = extent && Calculus.uniform starts[axis - 1] = ValueSome(Constant.ofInt DType.I64 0L)
            if isAll then
                values, inside
            else
                let start = Op.gather 0 0 (Op.iota DType.I64 [| extent - size + 1 |] 0) starts[axis - 1]
                let place = Op.iota DType.I64 [| 1; extent |] 1 - Op.reshape [| n; 1 |] start
                let isAfter, isBelow = Op.binary Binary.Ge place (whole 0), Op.binary Binary.Lt place (whole size)
                let isInside = Op.binary Binary.And isAfter isBelow
                let column = Array.init x.Rank (fun i -> if i = 0 || i = axis then x.Shape[i] else 1)
                let values =
                    if size = 1 then Op.broadcast (Array.updateAt axis extent values.Shape) values
                    elif size = 0 || size = extent then values
                    else Op.gather axis 1 values (Op.select isInside place (whole 0))
                values, Op.binary Binary.And inside (Op.reshape column isInside)
        let yes = Op.constant (Constant.ofInt DType.Bool 1L)
        let values, inside = List.fold step (update, yes) [ 1 .. x.Rank - 1 ]
        Op.select inside (if update.Count = 0 then x else values) x

    let private indexing (n: int) (g: Indexing) (t: Tensor) (xs: Operand[]) : Tensor =
        let isBatched (xs: Operand[]) = Array.exists (fun x -> x.IsBatched) xs
        match g with
        | Indexing.Gather(axis, batch) -> gather axis batch xs[0] xs[1]
        | Indexing.ScatterAdd(axis, batch) -> scatterAdd n axis batch xs[0] xs[1] xs[2]
        | Indexing.DynamicSlice -> dynamicSlice n t.Shape xs[0] xs[1..]
        | Indexing.DynamicUpdate when isBatched xs[2..] -> ownUpdate n (lift n xs[0]) (lift n xs[1]) xs[2..]
        | Indexing.DynamicUpdate ->
            let starts = xs[2..] |> Array.map (fun s -> s.Value)
            Op.dynamicUpdate (Array.append [| whole 0 |] starts) (lift n xs[1]) (lift n xs[0])

    // ------------------------------------------------------------------------------------------------ calls

    /// Batching itself, as the rules of calls need it for their bodies: the number of examples, outputs, variables, and
    /// what takes their place, with the batch in front.
    type private Run = int -> Tensor[] -> Tensor[] -> Tensor[] -> Operand[]

    /// A body over fresh variables, the flagged ones of them batched; those variables, and the results.
    let private enter (run: Run) (n: int) (l: Lambda) (flags: bool[]) : struct (Tensor[] * Operand[]) =
        let one = l.Params |> Array.map (fun (dtype, shape) -> Op.input "p" dtype shape)
        let many = Array.map2 (fun f (v: Tensor) -> if f then Op.input "p" v.DType (inFront n v.Shape) else v) flags one
        let chosen (ts: Tensor[]) = Array.zip flags ts |> Array.filter fst |> Array.map snd
        struct (many, run n (Lambda.apply l one) (chosen one) (chosen many))

    let private flagsOf (xs: Operand[]) = xs |> Array.map (fun x -> x.IsBatched)
    let private valuesOf (xs: Operand[]) = xs |> Array.map (fun x -> x.Value)

    let private checkpoint (run: Run) n (l: Lambda) (xs: Operand[]) : Operand[] =
        let struct (variables, results) = enter run n l (flagsOf xs)
        Op.checkpoint (Lambda.ofVariables variables (valuesOf results)) (valuesOf xs)
        |> Array.map2 (fun (r: Operand) y -> { r with Value = y }) results

    /// Both the body and the gradient are batched. All results are: a cotangent for all examples at once would be taken
    /// for one of each. An operand that all examples share gets the sum of their cotangents.
    let private custom (run: Run) n (f: Custom) (xs: Operand[]) : Operand[] =
        let flags = flagsOf xs
        let struct (variables, results) = enter run n f.Body flags
        let gradient (g: Lambda) =
            let struct (variables, cotangents) = enter run n g (Array.append flags (Array.map (fun _ -> true) results))
            let finish isBatched (c: Operand) =
                if isBatched then lift n c else Op.cast c.Value.DType (Op.reduce Reduction.Sum [ 0 ] (lift n c))
            Lambda.ofVariables variables (Array.map2 finish flags cotangents)
        let whole =
            { f with
                Body = Lambda.ofVariables variables (Array.map (lift n) results)
                Gradient = Option.map gradient f.Gradient }
        Op.custom whole (valuesOf xs) |> Array.map batched

    /// Which carries are batched is a fixed point: those that start so, and those that a step makes so. Scanned inputs
    /// and outputs have the steps in front of the batch.
    let private scan (run: Run) n (s: Scan) (xs: Operand[]) : Operand[] =
        let isScanned i = i >= s.Captured + s.Carried
        let flags = flagsOf xs
        let rec settle () =
            let (struct (_, results) as step) = enter run n s.Body flags
            let grown =
                [ for i in 0 .. s.Carried - 1 do
                      if results[i].IsBatched && not flags[s.Captured + i] then s.Captured + i ]
            if grown.IsEmpty then
                step
            else
                for i in grown do
                    flags[i] <- true
                settle ()
        let struct (variables, results) = settle ()
        let isBatched i (r: Operand) = if i < s.Carried then flags[s.Captured + i] else r.IsBatched
        let results = results |> Array.mapi (fun i r -> if isBatched i r then batched (lift n r) else r)
        let operand i (x: Operand) =
            if not flags[i] then x.Value
            elif isScanned i then fromFront 1 x.Value
            else lift n x
        Op.scan { s with Body = Lambda.ofVariables variables (valuesOf results) } (Array.mapi operand xs)
        |> Array.mapi (fun i y ->
            if not results[i].IsBatched then shared y
            elif i < s.Carried then batched y
            else batched (toFront 1 y))

    // ------------------------------------------------------------------------------------------------ the table

    /// The results of a primitive, of whose operands one at least is batched.
    let private row (run: Run) (n: int) (t: Tensor) (xs: Operand[]) : Operand[] =
        let x () = lift n xs[0]
        let one y = [| batched y |]
        match t.Op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _ -> [| shared t |] // without operands: the same for all
        | Op.RandomBits -> one (randomBits t.Shape (x ()))
        // Elementwise functions stretch an operand that all examples share by NumPy's rule.
        | Op.Unary u -> one (Op.unary u xs[0].Value)
        | Op.Binary b -> one (Op.binary b xs[0].Value xs[1].Value)
        | Op.Select -> one (Op.select xs[0].Value xs[1].Value xs[2].Value)
        | Op.Cast -> one (Op.cast t.DType xs[0].Value)
        | Op.BitCast -> one (Op.bitCast t.DType xs[0].Value)
        | Op.Movement m -> one (movement n m t xs)
        | Op.Reduce(r, axes) -> one (Op.reduce r (later axes) (x ()))
        | Op.ArgReduce(largest, axis) -> one (Op.argReduce largest (axis + 1) (x ()))
        | Op.CumSum(axis, reverse) -> one (Op.cumSum (axis + 1) reverse (x ()))
        | Op.Dot d -> one (dot d xs[0] xs[1])
        | Op.Conv v -> one (conv n v t xs[0] xs[1])
        | Op.Indexing g -> one (indexing n g t xs)
        | Op.Sort(axis, descending) -> (let v, i = Op.sort (axis + 1) descending (x ()) in [| batched v; batched i |])
        | Op.TopK k -> (let v, i = Op.topK k (x ()) in [| batched v; batched i |])
        | Op.Scan s -> scan run n s xs
        | Op.Custom f -> custom run n f xs
        | Op.Checkpoint l -> checkpoint run n l xs
        | Op.Item _ -> xs // the driver picks it out of the results of its operand

    // ------------------------------------------------------------------------------------------------ the driver

    let rec internal run (n: int) (outputs: Tensor[]) (variables: Tensor[]) (values: Tensor[]) : Operand[] =
        let results = Dictionary<Hash, Operand[]>() // of what depends on a variable
        Array.iter2 (fun (v: Tensor) x -> results[v.Hash] <- [| batched x |]) variables values
        let operand (t: Tensor) =
            match results.TryGetValue t.Hash with
            | true, r -> r[0]
            | _ -> shared t
        for t in Graph.topological outputs do
            if
                not (results.ContainsKey t.Hash)
                && Array.exists (fun (i: Tensor) -> results.ContainsKey i.Hash) t.Inputs
            then
                match t.Op with
                | Op.Item k -> results[t.Hash] <- [| results[t.Inputs[0].Hash].[k] |]
                | _ ->
                    let xs = Array.map operand t.Inputs
                    // Some results of a call do not depend on the batch though it has others that do.
                    results[t.Hash] <-
                        if Array.exists (fun x -> x.IsBatched) xs then row run n t xs
                        elif Calls.isCall t then Array.map shared (Op.items (Op.rebuild t (valuesOf xs)))
                        else [| shared (Op.rebuild t (valuesOf xs)) |]
        Array.map operand outputs

    /// <summary>The outputs for `n` examples: each variable becomes the tensor in its place, which has one more axis in
    /// front, of extent `n`; so do the outputs.</summary>
    /// <remarks>Example i is, bit for bit, what the outputs are when the variables have slice i of their
    /// values.</remarks>
    let vmap (n: int) (outputs: Tensor[]) (variables: Tensor[]) (values: Tensor[]) : Tensor[] =
        if variables.Length <> values.Length then
            invalidArg "values" $"vmap: {variables.Length} variables need as many values, not {values.Length}"
        Array.iter2
            (fun (v: Tensor) (x: Tensor) ->
                if v.DType <> x.DType || inFront n v.Shape <> x.Shape then
                    Shape.fail "vmap" $"a value must be like its variable, with {n} examples in front" "" [ v; x ])
            variables
            values
        run n outputs variables values |> Array.map (lift n)
