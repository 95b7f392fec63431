namespace Nanograd

open System

/// How the elements of a batch become one.
[<RequireQualifiedAccess>]
module Collate =
    let private describe (t: Tensor) = Shape.describe t

    /// Tensors of one shape `[..]` and type as one, `[n; ..]`; `place` says what they are, in messages.
    let internal tensors (place: string) (parts: Tensor[]) : Tensor =
        let values = if Array.forall (fun (t: Tensor) -> t.Op.IsLiteral) parts then parts else Program.evaluate parts
        let first = values[0]
        values
        |> Array.iteri (fun i t ->
            if t.DType <> first.DType || not (MemoryExtensions.SequenceEqual(t.Shape.AsSpan(), first.Shape)) then
                let where = if place = "" then "" else $" at '{place}'"
                raise (
                    ShapeException(
                        "collate",
                        $"the elements of a batch must have one type and shape{where}",
                        $"{describe first} first and {describe t} as number {i} of the batch",
                        "resize, crop or pad them, or give the loader a function that puts them together"
                    )
                ))
        let count = first.Count
        let total = int64 count * int64 values.Length
        if total > int64 Int32.MaxValue then
            raise (
                ShapeException(
                    "collate",
                    $"at most {Int32.MaxValue} elements in a batch",
                    string total,
                    "take fewer at once"
                )
            )
        let target = Buffers.allocate first.DType (int total)
        values |> Array.iteri (fun i t -> Host.copy (Program.storage t) 0 target (i * count) count)
        Op.literal target (Array.append [| values.Length |] first.Shape)

    /// Trees of tensors (a tensor, tuple, record, list, array, ...) as one tree of the same form, in which every tensor has a new first
    /// axis, the batch. Everything else in the trees (numbers, texts) must be equal in all of them.
    let stack (elements: 'T[]) : 'T =
        if elements.Length = 0 then raise (ShapeException("collate", "a batch needs an element", "none", ""))
        let leaves, structure = Tree.flatten elements[0]
        let rows =
            elements
            |> Array.mapi (fun i e ->
                let tensors, form = Tree.flatten e
                if form <> structure then
                    raise (
                        ShapeException(
                            "collate",
                            "the elements of a batch must be alike in all but the values of their tensors",
                            $"another structure in number {i} of the batch than in the first",
                            "numbers and texts are structure: make tensors of them (Dataset.map), or use Collate.labelled"
                        )
                    )
                tensors)
        if leaves.Length = 0 then
            let got = $"elements of type {typeof<'T>.Name} without any"
            raise (
                ShapeException(
                    "collate",
                    "there must be a tensor to stack",
                    got,
                    "Collate.none leaves arrays as they are"
                )
            )
        let names = Tree.named elements[0] |> Array.map fst
        Tree.rebuild
            elements[0]
            (Array.init leaves.Length (fun k -> tensors names[k] (rows |> Array.map (fun r -> r[k]))))

    /// Pairs of a tensor and a class: the tensors stacked, the classes as i64 `[n]`.
    let labelled (elements: (Tensor * int)[]) : Tensor * Tensor =
        tensors "0" (Array.map fst elements), Host.int64s [| elements.Length |] (elements |> Array.map (snd >> int64))

    /// Nothing: the batch is the array of its elements.
    let none (elements: 'T[]) : 'T[] = elements

    /// Tensors `[n_i; ..]` of different first extents, filled up at the end to the longest: `[batch; longest; ..]`, and the lengths, i64 `[batch]`.
    let padded (value: float) (elements: Tensor[]) : Tensor * Tensor =
        if elements.Length = 0 then raise (ShapeException("collate", "a batch needs an element", "none", ""))
        for t in elements do
            if t.Rank = 0 then Shape.fail "collate" "sequences must have an axis" "" [ t ]
        let lengths = elements |> Array.map (fun t -> t.Shape[0])
        let longest = Array.max lengths
        let pad (t: Tensor) =
            let shape = Array.append [| longest |] t.Shape[1..]
            let s = Buffers.allocate t.DType (Shape.count shape)
            Host.copy (Host.storage t) 0 s 0 t.Count
            let fill = Constant.ofFloat t.DType value
            for i in t.Count .. s.Length - 1 do
                Buffers.write s i fill
            Op.literal s shape
        tensors "" (Array.map pad elements), Host.int64s [| lengths.Length |] (Array.map int64 lengths)
