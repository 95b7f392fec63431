namespace Nanograd

#nowarn "9" // memory is copied through native pointers

open System
open System.IO
open Microsoft.FSharp.NativeInterop

/// Values in the memory of the host, read, made and copied without a program: what samples of a data set are.
[<RequireQualifiedAccess>]
module internal Host =
    /// The memory of a tensor; an expression is evaluated first.
    let storage (t: Tensor) : Storage =
        match t.Op with
        | Op.Literal s -> s
        | _ -> Program.storage (Program.evaluate [| t |]).[0]

    /// A vector or scalar of 64-bit integers, or a tensor of 32-bit floats, over a copy of an array.
    let int64s (shape: int[]) (values: int64[]) : Tensor =
        Op.literal (Buffers.ofSpan DType.I64 (ReadOnlySpan values)) shape

    let float32s (shape: int[]) (values: float32[]) : Tensor =
        Op.literal (Buffers.ofSpan DType.F32 (ReadOnlySpan values)) shape

    /// Copies `count` elements between storages of one element type.
    let copy (source: Storage) (from: int) (target: Storage) (at: int) (count: int) : unit =
        let size = int64 (DType.size source.DType)
        let address (s: Storage) (element: int) =
            NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(s.Pointer + nativeint (int64 element * size)))
        Buffer.MemoryCopy(address source from, address target at, int64 (target.Length - at) * size, int64 count * size)
        GC.KeepAlive source
        GC.KeepAlive target

    /// Part `index` of the first axis, in memory of its own.
    let row (t: Tensor) (index: int) : Tensor =
        let source = storage t
        let shape = t.Shape[1..]
        let count = Shape.count shape
        let target = Buffers.allocate t.DType count
        copy source (index * count) target 0 count
        Op.literal target shape

    /// All bytes of a storage, row-major and in the machine's order.
    let bytes (s: Storage) : Span<byte> =
        Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> s.Pointer), s.Length * DType.size s.DType)

    /// How many random numbers of one kind are told from those of another: what a seed is used for.
    [<RequireQualifiedAccess>]
    module Purpose =
        let shuffle = 16u
        let sample = 17u
        let split = 18u
        let weights = 19u
        let batch = 20u

    /// 0, 1, ..., n - 1 in an order that the key decides (Fisher and Yates).
    let permutation (key: Threefry.Key) (n: int) : int[] =
        let order = Array.init n id
        for i in n - 1 .. -1 .. 1 do
            let j = int (Counter.below (int64 (i + 1)) key i)
            let other = order[j]
            order[j] <- order[i]
            order[i] <- other
        order

/// Files as bytes, with errors that name them.
[<RequireQualifiedAccess>]
module internal DataFile =
    /// What is wrong with the content of a file.
    let bad (path: string) (what: string) : 'a = raise (InvalidDataException $"{path}: {what}.")

    /// All bytes of a file; `kind` is what it should be, for the message when it is not there.
    let read (kind: string) (path: string) : byte[] =
        if Directory.Exists path then raise (IOException $"{path} is a folder, not {kind}.")
        if not (File.Exists path) then raise (FileNotFoundException($"There is no file {path}.", path))
        File.ReadAllBytes path
