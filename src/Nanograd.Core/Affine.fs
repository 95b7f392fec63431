namespace Nanograd

/// A position as an affine function of loop indices: Offset + sum of Strides[d] * index[d].
[<Struct; CustomEquality; NoComparison>]
type Form =
    { Offset: int
      Strides: int[] }

    override f.GetHashCode() = Array.fold (fun h (s: int) -> h * 31 + s) f.Offset f.Strides
    override f.Equals(o) =
        match o with
        | :? Form as g -> f.Offset = g.Offset && f.Strides = g.Strides
        | _ -> false

/// What following a movement came to.
[<RequireQualifiedAccess; NoComparison>]
type Mapped =
    | To of Form
    /// The loop axis must first be split, its inner part having this extent.
    | Split of axis: int * inner: int
    /// Not an affine function of any split of the axes: the operand must be copied.
    | Impossible

/// Movement as arithmetic on positions. A position is the row-major index of an element, so a reshape changes nothing, and any chain of
/// permutes, broadcasts, slices and reversals is followed from the result down to the operand without moving an element.
[<RequireQualifiedAccess>]
module Form =
    let constant (rank: int) (offset: int) = { Offset = offset; Strides = Array.zeroCreate rank }

    /// The row-major index over axes of these extents.
    let identity (extents: int[]) =
        { Offset = 0
          Strides = Array.map2 (fun s e -> if e = 1 then 0 else s) (Shape.strides extents) extents }

    let add (a: Form) (b: Form) = { Offset = a.Offset + b.Offset; Strides = Array.map2 (+) a.Strides b.Strides }

    let scale (factor: int) (a: Form) = { Offset = a.Offset * factor; Strides = Array.map ((*) factor) a.Strides }

    /// The same form after loop axis `axis` was split in two.
    let split (axis: int) (inner: int) (f: Form) =
        let s = f.Strides[axis]
        { f with
            Strides = Array.concat [ f.Strides[.. axis - 1]; [| s * inner; s |]; f.Strides[axis + 1 ..] ] }

    /// Loop extents after such a split.
    let splitExtents (axis: int) (inner: int) (extents: int[]) =
        Array.concat [ extents[.. axis - 1]; [| extents[axis] / inner; inner |]; extents[axis + 1 ..] ]

    let private floorMod a b = ((a % b) + b) % b

    /// The index along each axis of `shape`, from the row-major index `f` over loops of `extents`.
    let indices (extents: int[]) (shape: int[]) (f: Form) : Result<Form[], Mapped> =
        let rank = extents.Length
        let result = Array.create shape.Length (constant rank 0)
        let shape = if Array.contains 0 shape then [||] else shape // no element, so any index is right
        let mutable rest = f
        let mutable failure = ValueNone
        for j in shape.Length - 1 .. -1 .. 0 do
            if failure.IsNone then
                let e = shape[j]
                if j = 0 then
                    result[0] <- rest
                elif e <> 1 then
                    let isHigh d = rest.Strides[d] % e = 0
                    let low =
                        { Offset = floorMod rest.Offset e
                          Strides = Array.init rank (fun d -> if isHigh d then 0 else rest.Strides[d]) }
                    let reach choose =
                        Seq.sum (seq { for d in 0 .. rank - 1 -> choose (low.Strides[d] * (extents[d] - 1)) 0 })
                    if low.Offset + reach min >= 0 && low.Offset + reach max < e then
                        result[j] <- low
                        rest <-
                            { Offset = (rest.Offset - low.Offset) / e
                              Strides = Array.init rank (fun d -> if isHigh d then rest.Strides[d] / e else 0) }
                    else
                        // An axis that runs over the boundary: cut it there, if the boundary falls between its steps.
                        let cut d =
                            let s = abs low.Strides[d]
                            s > 0 && e % s = 0 && extents[d] > e / s && extents[d] % (e / s) = 0
                        failure <-
                            match Seq.tryFind cut (seq { 0 .. rank - 1 }) with
                            | Some d -> ValueSome(Mapped.Split(d, e / abs low.Strides[d]))
                            | None -> ValueSome Mapped.Impossible
        match failure with
        | ValueSome m -> Error m
        | ValueNone -> Ok result

    /// The row-major index into `shape` of per-axis indices.
    let linear (rank: int) (shape: int[]) (indices: Form[]) =
        let strides = Shape.strides shape
        Array.fold2 (fun acc s i -> add acc (scale s i)) (constant rank 0) strides indices

    let private isSorted (xs: int[]) = xs |> Array.pairwise |> Array.forall (fun (a, b) -> a < b)

    /// Axes 0 .. rank - 1 in runs of neighbours that belong together.
    let private runsOf (joined: int -> bool) (rank: int) : int[][] =
        let runs = System.Collections.Generic.List<int list>()
        for a in 0 .. rank - 1 do
            if a > 0 && joined a then runs[runs.Count - 1] <- a :: runs[runs.Count - 1] else runs.Add [ a ]
        runs |> Seq.map (List.rev >> List.toArray) |> Seq.toArray

    let private extentOf (shape: int[]) (run: int[]) = run |> Array.fold (fun n a -> n * shape[a]) 1

    /// Where in its operand a movement finds the element that stands at `f` in the node: loops have these extents.
    let follow (extents: int[]) (node: Tensor) (f: Form) : Mapped =
        let operand = node.Inputs[0].Shape
        let throughShapes (shape: int[]) (operand: int[]) (map: Form[] -> Form[]) =
            match indices extents shape f with
            | Error m -> m
            | Ok i -> Mapped.To(linear extents.Length operand (map i))
        let through map = throughShapes node.Shape operand map
        let along (m: Movement) =
            match m with
            | Movement.Reshape -> Mapped.To f
            | Movement.Permute p when isSorted (p |> Array.filter (fun a -> operand[a] <> 1)) -> Mapped.To f
            | Movement.Unfold w when w.Size = 1 && w.Step = 1 -> Mapped.To f
            | Movement.Permute p ->
                // Axes that stay neighbours are one axis; where only axes of extent 1 move, nothing does.
                let runs = runsOf (fun a -> p[a] = p[a - 1] + 1) p.Length
                let shape = runs |> Array.map (fun run -> extentOf node.Shape run)
                let order = runs |> Array.mapi (fun k run -> p[run[0]], k) |> Array.sortBy fst |> Array.map snd
                throughShapes shape (order |> Array.map (fun k -> shape[k])) (fun i ->
                    order |> Array.map (fun k -> i[k]))
            | Movement.Broadcast ->
                // Neighbours that are both stretched, or both not, are one axis.
                let stretched a = operand[a] = 1 && node.Shape[a] <> 1
                let runs = runsOf (fun a -> stretched a = stretched (a - 1)) operand.Length
                let still = constant extents.Length 0
                throughShapes
                    (runs |> Array.map (extentOf node.Shape))
                    (runs |> Array.map (extentOf operand))
                    (Array.mapi (fun k i -> if stretched runs[k].[0] then still else i))
            | Movement.Slice(starts, steps) ->
                through (Array.mapi (fun a i -> add (constant extents.Length starts[a]) (scale steps[a] i)))
            | Movement.Reverse axes ->
                through (
                    Array.mapi (fun a i ->
                        if Array.contains a axes then
                            add (constant extents.Length (operand[a] - 1)) (scale -1 i)
                        else
                            i)
                )
            | Movement.Unfold w ->
                through (fun i ->
                    let inWindow = scale w.Dilation i[i.Length - 1]
                    Array.init operand.Length (fun a -> if a = w.Axis then add (scale w.Step i[a]) inWindow else i[a]))
            | Movement.Pad _
            | Movement.Concat _
            | Movement.Fold _ -> Mapped.Impossible
        match node.Op with
        | Op.Movement m -> along m
        | _ -> Mapped.Impossible // computed, not moved

    /// True of the movements that `follow` can follow.
    let isView (t: Tensor) =
        match t.Op with
        | Op.Movement m ->
            match m with
            | Movement.Reshape
            | Movement.Permute _
            | Movement.Broadcast
            | Movement.Slice _
            | Movement.Reverse _
            | Movement.Unfold _ -> true
            | Movement.Pad _
            | Movement.Concat _
            | Movement.Fold _ -> false
        | _ -> false

    /// True of the movement that leaves every element in its place.
    let isReshape (t: Tensor) =
        match t.Op with
        | Op.Movement Movement.Reshape -> true
        | _ -> false

    /// True of functions of the elements at one place.
    let isElementwise (t: Tensor) =
        match t.Op with
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast -> true
        | _ -> false

    /// True of lookups: they read their operands wherever the indices say, so those must be in memory.
    let readsFromMemory (t: Tensor) =
        match t.Op with
        | Op.Indexing _
        | Op.RandomBits -> true
        | _ -> false

    /// The expression that a chain of views reads, and the chain from the reader's side.
    let source (t: Tensor) : Tensor * Tensor list =
        let mutable s, chain = t, []
        while isView s do
            chain <- s :: chain
            s <- s.Inputs[0]
        s, List.rev chain
