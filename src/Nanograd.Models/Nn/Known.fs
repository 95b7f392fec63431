namespace Nanograd

open System

/// What can be checked when an expression is written, because some of its operands are values already.
[<RequireQualifiedAccess>]
module internal Known =
    /// The elements of an integer tensor that is a value, in row-major order.
    let integers (t: Tensor) : int64[] option =
        match t.Op with
        | Op.Literal s when not s.IsDonated && DType.isInteger t.DType ->
            let elements = Array.init s.Length (fun i -> (Buffers.read s i).Int)
            GC.KeepAlive s
            Some elements
        | _ -> None

    /// The elements of a float tensor that is a value, in row-major order.
    let floats (t: Tensor) : float[] option =
        match t.Op with
        | Op.Literal s when not s.IsDonated && DType.isFloat t.DType ->
            let elements = Array.init s.Length (fun i -> (Buffers.read s i).Float)
            GC.KeepAlive s
            Some elements
        | _ -> None

    /// Raises an IndexException if a known label is neither `ignored` nor from 0 to classes - 1.
    let checkLabels (op: string) (classes: int) (ignored: int option) (labels: Tensor) =
        let isFine (label: int64) =
            (label >= 0L && label < int64 classes) || Option.exists (fun i -> int64 i = label) ignored
        integers labels
        |> Option.bind (Array.tryFind (isFine >> not))
        |> Option.iter (fun label -> raise (IndexException(op, label, classes)))

    /// Raises if a known element is not as `required` says.
    let checkFloats (op: string) (required: string) (isFine: float -> bool) (x: Tensor) =
        floats x
        |> Option.bind (Array.tryFind (isFine >> not))
        |> Option.iter (fun v -> Shape.fail op $"{required}, not {v}" "" [ x ])

    /// The same labels, checked: known ones at once, others when the program runs. (Losses find a label's class by comparing,
    /// which would let a label of no class pass; so labels that are not known are looked up among the classes first.)
    let labels (op: string) (classes: int) (ignored: int option) (labels: Tensor) : Tensor =
        checkLabels op classes ignored labels
        match integers labels, ignored with
        | Some _, _ -> labels
        | None, None -> take 0 (cast DType.I64 labels) (arange DType.I64 classes)
        | None, Some ignored ->
            let labels = cast DType.I64 labels
            let counts = ne labels (scalarOf DType.I64 (float ignored))
            where counts (take 0 (where counts labels (zerosLike labels)) (arange DType.I64 classes)) labels
