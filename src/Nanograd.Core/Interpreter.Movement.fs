namespace Nanograd

open System

/// An index that a program computed points outside its axis.
[<Sealed>]
type IndexException(operation: string, index: int64, size: int, taken: int) =
    inherit
        Exception(
            match size, taken with
            | 0, 1 -> $"{operation}: index {index} is out of range for an axis without elements"
            | _, 1 ->
                $"{operation}: index {index} is out of range for an axis of {size} elements "
                + $"(indices run from 0 to {size - 1})"
            | _ ->
                $"{operation}: start {index} is out of range for {taken} elements on an axis of {size} "
                + $"(starts run from 0 to {size - taken})"
        )

    /// An index that picks one element.
    new(operation, index, size) = IndexException(operation, index, size, 1)

    /// The primitive that was given the index.
    member _.Operation = operation
    /// The index.
    member _.Index = index
    /// The extent of the axis.
    member _.Size = size
    /// How many elements were to be taken from the index on.
    member _.Taken = taken

/// Where elements stand. Every movement is an array of places: those of a strided view, in row-major order.
[<RequireQualifiedAccess>]
module internal Places =
    /// start + sum of index * stride, for every index of `shape` in row-major order. Strides may be 0 or negative.
    let ofView (shape: int[]) (start: int) (strides: int[]) : int[] =
        let extend (places: int[]) extent stride =
            let result = Array.zeroCreate (places.Length * extent)
            for p in 0 .. places.Length - 1 do
                for i in 0 .. extent - 1 do
                    result[p * extent + i] <- places[p] + i * stride
            result
        // An empty view has no places, though the product of its outer extents may be beyond any array.
        if Array.contains 0 shape then [||] else Array.fold2 extend [| start |] shape strides

    /// The places of some axes of a row-major array, relative to its first element.
    let ofAxes (shape: int[]) (axes: int[]) : int[] =
        let strides = Shape.strides shape
        ofView (axes |> Array.map (fun a -> shape[a])) 0 (axes |> Array.map (fun a -> strides[a]))

    /// The lines along an axis, in the row-major order of the other axes.
    let lines (shape: int[]) (axis: int) : int[][] =
        let line = ofAxes shape [| axis |]
        let others = ofAxes shape (Array.removeAt axis [| 0 .. shape.Length - 1 |])
        others |> Array.map (fun p -> line |> Array.map (fun i -> p + i))

    let private dot (xs: int[]) (ys: int[]) = Array.fold2 (fun acc x y -> acc + x * y) 0 xs ys

    /// Windows along an axis of an array of `shape`: [..; windows; ..; size].
    let ofWindows (w: Window) (shape: int[]) (unfolded: int[]) =
        let strides = Shape.strides shape
        let windows = strides |> Array.mapi (fun i s -> if i = w.Axis then s * w.Step else s)
        ofView unfolded 0 (Array.append windows [| strides[w.Axis] * w.Dilation |])

    /// A box of `shape` inside an array of shape `outer`, its elements `steps` apart.
    let ofBox (outer: int[]) (starts: int[]) (steps: int[]) (shape: int[]) =
        let strides = Shape.strides outer
        ofView shape (dot starts strides) (Array.map2 (*) steps strides)

/// The meaning of Movement: no element is computed (but in Fold, which adds).
[<RequireQualifiedAccess>]
module internal Movements =
    let private zeros (d: DType) (shape: int[]) = Elements.narrow d (Integers(Array.zeroCreate (Shape.count shape)))

    let private concat (t: Tensor) axis (xs: Array[]) =
        let mutable start = 0
        let mutable result = zeros t.DType t.Shape
        let ones = Array.create t.Rank 1
        for i in 0 .. xs.Length - 1 do
            let part = t.Inputs[i].Shape
            let starts = Array.init t.Rank (fun a -> if a = axis then start else 0)
            result <- Elements.put t.DType result (Places.ofBox t.Shape starts ones part) xs[i]
            start <- start + part[axis]
        result

    /// The value of a movement `t` from the values of its operands.
    let evaluate (m: Movement) (t: Tensor) (xs: Array[]) : Array =
        let d, shape, source = t.DType, t.Shape, t.Inputs[0].Shape
        let strides = Shape.strides source
        let pick = Elements.pick d xs[0]
        match m with
        | Movement.Reshape -> xs[0]
        | Movement.Permute p -> pick (Places.ofView shape 0 (p |> Array.map (fun a -> strides[a])))
        | Movement.Broadcast ->
            let stretched = strides |> Array.mapi (fun i s -> if source[i] = 1 then 0 else s)
            pick (Places.ofView shape 0 stretched)
        | Movement.Slice(starts, steps) -> pick (Places.ofBox source starts steps shape)
        | Movement.Pad(low, _, interior) ->
            let around = Elements.pick d xs[1] (Array.zeroCreate t.Count)
            Elements.put d around (Places.ofBox shape low (interior |> Array.map (fun n -> n + 1)) source) xs[0]
        | Movement.Reverse axes ->
            let last = source |> Array.mapi (fun i e -> if Array.contains i axes then e - 1 else 0)
            let steps = source |> Array.mapi (fun i _ -> if Array.contains i axes then -1 else 1)
            pick (Places.ofBox source last steps shape)
        | Movement.Concat axis -> concat t axis xs
        | Movement.Unfold w -> pick (Places.ofWindows w source shape)
        // In row-major order the windows that meet in an element come one after the other.
        | Movement.Fold(w, _) -> Elements.addAt d (zeros d shape) (Places.ofWindows w shape source) xs[0]

/// The meaning of Indexing. All indices are checked before anything else happens, also those that would pick nothing.
[<RequireQualifiedAccess>]
module internal Indices =
    let private integers (t: Tensor) (x: Array) =
        match Elements.widen t.DType x with
        | Integers xs -> xs
        | Floats _ -> raise (InvalidOperationException $"indices are integers, not {t.DType}")

    /// The index, if `taken` elements from there on lie on an axis of `size`.
    let check operation size taken (index: int64) =
        if index < 0L || index > int64 size - int64 taken then raise (IndexException(operation, index, size, taken))
        int index

    /// The places of x[batches, outer, size, inner] that picks[batches, each] name, in row-major order.
    let places (batches: int) (outer: int) (size: int) (inner: int) (picks: int[]) : int[] =
        let each = picks.Length / max 1 batches
        [| for b in 0 .. batches - 1 do
               for o in 0 .. outer - 1 do
                   for j in 0 .. each - 1 do
                       let line = (b * outer + o) * size + picks[b * each + j]
                       for i in 0 .. inner - 1 do
                           line * inner + i |]

    /// The places of x that a gather reads, in the row-major order of its result.
    let private gathered operation axis batch (x: int[]) (t: Tensor) (indices: Array) : int[] =
        let chosen = integers t indices |> Array.map (check operation x[axis] 1)
        let count = Shape.count
        places (count x[.. batch - 1]) (count x[batch .. axis - 1]) x[axis] (count x[axis + 1 ..]) chosen

    let private box operation (x: int[]) (size: int[]) (starts: Tensor[]) (values: Array[]) =
        let starts = Array.map2 integers starts values |> Array.mapi (fun i s -> check operation x[i] size[i] s[0])
        Places.ofBox x starts (Array.create x.Length 1) size

    /// The value of an indexing `t` from the values of its operands.
    let evaluate (i: Indexing) (t: Tensor) (xs: Array[]) : Array =
        let x = t.Inputs[0].Shape
        match i with
        | Indexing.Gather(axis, batch) -> Elements.pick t.DType xs[0] (gathered "gather" axis batch x t.Inputs[1] xs[1])
        | Indexing.ScatterAdd(axis, batch) ->
            Elements.addAt t.DType xs[0] (gathered "scatterAdd" axis batch x t.Inputs[1] xs[1]) xs[2]
        | Indexing.DynamicSlice -> Elements.pick t.DType xs[0] (box "dynamicSlice" x t.Shape t.Inputs[1..] xs[1..])
        | Indexing.DynamicUpdate ->
            Elements.put t.DType xs[0] (box "dynamicUpdate" x t.Inputs[1].Shape t.Inputs[2..] xs[2..]) xs[1]

/// The meaning of what depends on order: Sort, TopK and ArgReduce.
[<RequireQualifiedAccess>]
module internal Order =
    let private compareFloats (x: float) (y: float) =
        match Double.IsNaN x, Double.IsNaN y with
        | true, true -> 0
        | true, false -> 1
        | false, true -> -1
        | false, false ->
            if x < y then -1
            elif x > y then 1
            else 0

    /// How the elements at two places compare: NaN is the largest and equals itself, -0 equals +0.
    let private comparer (d: DType) (x: Array) : int -> int -> int =
        match Elements.widen d x with
        | Floats xs -> fun p q -> compareFloats xs[p] xs[q]
        | Integers xs -> fun p q -> compare xs[p] xs[q]

    /// The positions 0, 1, ... along a line, sorted; equal elements keep their order in either direction.
    let private sorted (compareAt: int -> int -> int) descending (line: int[]) : int[] =
        let before (i: int) (j: int) =
            match compareAt line[i] line[j] with
            | 0 -> compare i j
            | c -> if descending then -c else c
        let positions = Array.init line.Length id
        Array.Sort(positions, Comparison before)
        positions

    /// Values and positions of the first `count` elements of every sorted line.
    let private select (d: DType) (x: Array) descending (lines: int[][]) (results: int[][]) : Array[] =
        let compareAt = comparer d x
        let total = results |> Array.sumBy Array.length
        let places, positions = Array.zeroCreate<int> total, Array.zeroCreate<int64> total
        for l in 0 .. lines.Length - 1 do
            let order = sorted compareAt descending lines[l]
            results[l]
            |> Array.iteri (fun j place ->
                places[place] <- lines[l][order[j]]
                positions[place] <- int64 order[j])
        [| Elements.pick d x places; positions |]

    /// Sorted values and their former positions.
    let sort (d: DType) (shape: int[]) axis descending (x: Array) : Array[] =
        let lines = Places.lines shape axis
        select d x descending lines lines

    /// The k largest of every last line, and their positions.
    let topK (d: DType) (shape: int[]) k (x: Array) : Array[] =
        let last = shape.Length - 1
        select d x true (Places.lines shape last) (Places.lines (Array.append shape[.. last - 1] [| k |]) last)

    /// The first position of the largest or smallest element of every line; the first NaN, if there is one.
    let argReduce (d: DType) (shape: int[]) largest axis (x: Array) : Array =
        let isNaN =
            match Elements.widen d x with
            | Floats xs -> fun p -> Double.IsNaN xs[p]
            | Integers _ -> fun _ -> false
        let compareAt = comparer d x
        let beats p q =
            if isNaN q then false
            elif isNaN p then true
            elif largest then compareAt p q > 0
            else compareAt p q < 0
        let winner (line: int[]) =
            Seq.fold (fun best i -> if beats line[i] line[best] then i else best) 0 (seq { 1 .. line.Length - 1 })
        Places.lines shape axis |> Array.map (winner >> int64) :> Array
