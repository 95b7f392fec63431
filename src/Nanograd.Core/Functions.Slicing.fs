namespace Nanograd

/// One place of `x[1..3, *, 0]`: a single index, which removes its axis, or a range, whose bounds are both included.
[<Struct; RequireQualifiedAccess>]
type internal Subscript =
    | At of index: int
    | Range of first: int voption * last: int voption

/// Parts of tensors in F#'s own syntax: `x[0]`, `x[-1, 2]`, `x[1..3, *]`, `x[*, 0]` (F# writes a whole axis as `*`),
/// `x[2.., ..4]`. Ranges include both bounds, as everywhere in F#. Negative numbers count from the end (`x[-2..]` are
/// the last two), but a range that ends just before it starts is empty, so `x[0 .. n - 1]` has n elements for n = 0,
/// too. `^1` works where F#'s preview has it. Missing places at the end take whole axes. Steps are `sliceStep`'s; a
/// tensor of integers as the index is `take` along axis 0.
[<AutoOpen>]
module Slicing =
    let private resolve (x: Tensor) (places: Subscript[]) =
        if places.Length > x.Rank then
            Shape.fail "slice" $"there must be at most {x.Rank} indices, not {places.Length}" "" [ x ]
        places
        |> Array.mapi (fun axis place ->
            let n = x.Shape[axis]
            match place with
            | Subscript.At i ->
                if i < -n || i >= n then
                    Shape.fail "slice" $"index {i} must be between {-n} and {n - 1} on axis {axis}" "" [ x ]
                let i = if i < 0 then i + n else i
                struct (i, i + 1)
            | Subscript.Range(first, last) ->
                let from (i: int) = if i < 0 then i + n else i
                let start = from (ValueOption.defaultValue 0 first)
                let stop =
                    match last with
                    | ValueNone -> n
                    | ValueSome -1 when start = 0 -> 0
                    | ValueSome i -> from i + 1
                if start < 0 || start > n || stop < 0 || stop > n || stop < start then
                    let show (b: int voption) =
                        match b with
                        | ValueSome i -> string i
                        | ValueNone -> ""
                    Shape.fail
                        "slice"
                        $"{show first}..{show last} must lie in axis {axis} of {n} (both bounds are included)"
                        ""
                        [ x ]
                struct (start, stop))

    /// The part of `x` at the places; single indices remove their axes.
    let internal places (places: Subscript[]) (x: Tensor) =
        let bounds = resolve x places
        let at i whole (f: struct (int * int) -> int) = if i < bounds.Length then f bounds[i] else whole
        let isSingle i =
            i < places.Length
            && (match places[i] with
                | Subscript.At _ -> true
                | Subscript.Range _ -> false)
        let cut =
            Op.slice
                (Array.init x.Rank (fun i -> at i 0 (fun struct (a, _) -> a)))
                (Array.init x.Rank (fun i -> at i x.Shape[i] (fun struct (_, b) -> b)))
                (Array.create x.Rank 1)
                x
        Op.reshape (cut.Shape |> Array.indexed |> Array.filter (fun (i, _) -> not (isSingle i)) |> Array.map snd) cut

    let private range (first: int option) (last: int option) =
        Subscript.Range(ValueOption.ofOption first, ValueOption.ofOption last)

    type Tensor with
        /// What `^offset` means on an axis: places before the last element.
        member x.GetReverseIndex(axis: int, offset: int) : int = x.Shape[axis] - 1 - offset

        /// Element i of the first axis, which disappears.
        member x.Item
            with get (i: int): Tensor = places [| Subscript.At i |] x

        /// Element i, j of the first 2 axes, which disappear.
        member x.Item
            with get (i: int, j: int): Tensor = places [| Subscript.At i; Subscript.At j |] x

        /// Element i, j, k of the first 3 axes, which disappear.
        member x.Item
            with get (i: int, j: int, k: int): Tensor = places [| Subscript.At i; Subscript.At j; Subscript.At k |] x

        /// Element i, j, k, l of the first 4 axes, which disappear.
        member x.Item
            with get (i: int, j: int, k: int, l: int): Tensor =
                places [| Subscript.At i; Subscript.At j; Subscript.At k; Subscript.At l |] x

        /// Slices along axis 0 at integer indices (i32 or i64): `[n; ..]` at `[k..]` gives `[k..; ..]`.
        member x.Item
            with get (indices: Tensor): Tensor =
                if indices.DType = DType.Bool then
                    Shape.fail
                        "slice"
                        "indices must be integers: how many elements a mask picks is not known when the expression is built"
                        "use where or maskedFill, or maskedSelect on values"
                        [ x; indices ]
                Op.gather 0 0 x indices

        /// `x[..]`.
        member x.GetSlice(first0: int option, last0: int option) : Tensor = places [| range first0 last0 |] x

        /// `x[.., ..]`.
        member x.GetSlice(first0: int option, last0: int option, first1: int option, last1: int option) : Tensor =
            places [| range first0 last0; range first1 last1 |] x

        /// `x[.., i]`.
        member x.GetSlice(first0: int option, last0: int option, index1: int) : Tensor =
            places [| range first0 last0; Subscript.At index1 |] x

        /// `x[i, ..]`.
        member x.GetSlice(index0: int, first1: int option, last1: int option) : Tensor =
            places [| Subscript.At index0; range first1 last1 |] x

        /// `x[.., .., ..]`.
        member x.GetSlice
            (
                first0: int option,
                last0: int option,
                first1: int option,
                last1: int option,
                first2: int option,
                last2: int option
            ) : Tensor =
            places [| range first0 last0; range first1 last1; range first2 last2 |] x

        /// `x[.., .., i]`.
        member x.GetSlice
            (first0: int option, last0: int option, first1: int option, last1: int option, index2: int)
            : Tensor =
            places [| range first0 last0; range first1 last1; Subscript.At index2 |] x

        /// `x[.., i, ..]`.
        member x.GetSlice
            (first0: int option, last0: int option, index1: int, first2: int option, last2: int option)
            : Tensor =
            places [| range first0 last0; Subscript.At index1; range first2 last2 |] x

        /// `x[.., i, i]`.
        member x.GetSlice(first0: int option, last0: int option, index1: int, index2: int) : Tensor =
            places [| range first0 last0; Subscript.At index1; Subscript.At index2 |] x

        /// `x[i, .., ..]`.
        member x.GetSlice
            (index0: int, first1: int option, last1: int option, first2: int option, last2: int option)
            : Tensor =
            places [| Subscript.At index0; range first1 last1; range first2 last2 |] x

        /// `x[i, .., i]`.
        member x.GetSlice(index0: int, first1: int option, last1: int option, index2: int) : Tensor =
            places [| Subscript.At index0; range first1 last1; Subscript.At index2 |] x

        /// `x[i, i, ..]`.
        member x.GetSlice(index0: int, index1: int, first2: int option, last2: int option) : Tensor =
            places [| Subscript.At index0; Subscript.At index1; range first2 last2 |] x

        /// `x[.., .., .., ..]`.
        member x.GetSlice
            (
                first0: int option,
                last0: int option,
                first1: int option,
                last1: int option,
                first2: int option,
                last2: int option,
                first3: int option,
                last3: int option
            ) : Tensor =
            places [| range first0 last0; range first1 last1; range first2 last2; range first3 last3 |] x

        /// `x[.., .., .., i]`.
        member x.GetSlice
            (
                first0: int option,
                last0: int option,
                first1: int option,
                last1: int option,
                first2: int option,
                last2: int option,
                index3: int
            ) : Tensor =
            places [| range first0 last0; range first1 last1; range first2 last2; Subscript.At index3 |] x

        /// `x[.., .., i, ..]`.
        member x.GetSlice
            (
                first0: int option,
                last0: int option,
                first1: int option,
                last1: int option,
                index2: int,
                first3: int option,
                last3: int option
            ) : Tensor =
            places [| range first0 last0; range first1 last1; Subscript.At index2; range first3 last3 |] x

        /// `x[.., .., i, i]`.
        member x.GetSlice
            (first0: int option, last0: int option, first1: int option, last1: int option, index2: int, index3: int)
            : Tensor =
            places [| range first0 last0; range first1 last1; Subscript.At index2; Subscript.At index3 |] x

        /// `x[.., i, .., ..]`.
        member x.GetSlice
            (
                first0: int option,
                last0: int option,
                index1: int,
                first2: int option,
                last2: int option,
                first3: int option,
                last3: int option
            ) : Tensor =
            places [| range first0 last0; Subscript.At index1; range first2 last2; range first3 last3 |] x

        /// `x[.., i, .., i]`.
        member x.GetSlice
            (first0: int option, last0: int option, index1: int, first2: int option, last2: int option, index3: int)
            : Tensor =
            places [| range first0 last0; Subscript.At index1; range first2 last2; Subscript.At index3 |] x

        /// `x[.., i, i, ..]`.
        member x.GetSlice
            (first0: int option, last0: int option, index1: int, index2: int, first3: int option, last3: int option)
            : Tensor =
            places [| range first0 last0; Subscript.At index1; Subscript.At index2; range first3 last3 |] x

        /// `x[.., i, i, i]`.
        member x.GetSlice(first0: int option, last0: int option, index1: int, index2: int, index3: int) : Tensor =
            places [| range first0 last0; Subscript.At index1; Subscript.At index2; Subscript.At index3 |] x

        /// `x[i, .., .., ..]`.
        member x.GetSlice
            (
                index0: int,
                first1: int option,
                last1: int option,
                first2: int option,
                last2: int option,
                first3: int option,
                last3: int option
            ) : Tensor =
            places [| Subscript.At index0; range first1 last1; range first2 last2; range first3 last3 |] x

        /// `x[i, .., .., i]`.
        member x.GetSlice
            (index0: int, first1: int option, last1: int option, first2: int option, last2: int option, index3: int)
            : Tensor =
            places [| Subscript.At index0; range first1 last1; range first2 last2; Subscript.At index3 |] x

        /// `x[i, .., i, ..]`.
        member x.GetSlice
            (index0: int, first1: int option, last1: int option, index2: int, first3: int option, last3: int option)
            : Tensor =
            places [| Subscript.At index0; range first1 last1; Subscript.At index2; range first3 last3 |] x

        /// `x[i, .., i, i]`.
        member x.GetSlice(index0: int, first1: int option, last1: int option, index2: int, index3: int) : Tensor =
            places [| Subscript.At index0; range first1 last1; Subscript.At index2; Subscript.At index3 |] x

        /// `x[i, i, .., ..]`.
        member x.GetSlice
            (index0: int, index1: int, first2: int option, last2: int option, first3: int option, last3: int option)
            : Tensor =
            places [| Subscript.At index0; Subscript.At index1; range first2 last2; range first3 last3 |] x

        /// `x[i, i, .., i]`.
        member x.GetSlice(index0: int, index1: int, first2: int option, last2: int option, index3: int) : Tensor =
            places [| Subscript.At index0; Subscript.At index1; range first2 last2; Subscript.At index3 |] x

        /// `x[i, i, i, ..]`.
        member x.GetSlice(index0: int, index1: int, index2: int, first3: int option, last3: int option) : Tensor =
            places [| Subscript.At index0; Subscript.At index1; Subscript.At index2; range first3 last3 |] x
