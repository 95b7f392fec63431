namespace Nanograd

open System
open System.Collections.Generic
open System.Runtime.InteropServices
open System.Threading

/// One piece of unmanaged memory, aligned to 64 bytes. Dropping it gives the memory back to the pool.
[<Sealed; AllowNullLiteral>]
type internal Block(pointer: nativeint, bytes: int64, giveBack: Action<nativeint, int64>) =
    member _.Pointer = pointer
    member _.Bytes = bytes
    override _.Finalize() = giveBack.Invoke(pointer, bytes)

/// Memory for values. The garbage collector does not see it, so the pool counts what it hands out and asks for a collection when
/// much was handed out since the last one; freed blocks are kept for reuse, because touching fresh pages is slow.
[<RequireQualifiedAccess>]
module Buffers =
    let private free = Dictionary<int64, Stack<nativeint>>()
    let private gate = obj ()
    let mutable private live = 0L // bytes inside blocks that somebody holds
    let mutable private kept = 0L // bytes waiting in `free`
    let mutable private settled = 0L // live bytes after the last collection that the pool asked for
    let mutable private handedOut = 0L // since the last collection that the pool asked for
    let mutable private peak = 0L

    /// Blocks waiting for reuse hold at most this much; more is returned to the system.
    let private keepLimit = 1L <<< 30

    /// Sizes are rounded up to an eighth of their power of two, so that blocks fit again.
    let private sizeClass (bytes: int64) =
        if bytes <= 256L then
            256L
        else
            let step = (1L <<< (63 - Numerics.BitOperations.LeadingZeroCount(uint64 (bytes - 1L)))) / 8L |> max 64L
            (bytes + step - 1L) / step * step

    let private giveBack =
        Action<nativeint, int64>(fun pointer bytes ->
            lock gate (fun () ->
                live <- live - bytes
                if kept + bytes > keepLimit then
                    NativeMemory.AlignedFree(
                        NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<byte> pointer)
                    )
                else
                    kept <- kept + bytes
                    match free.TryGetValue bytes with
                    | true, stack -> stack.Push pointer
                    | _ ->
                        let stack = Stack()
                        stack.Push pointer
                        free[bytes] <- stack))

    let private collectIfDue bytes =
        let due =
            lock gate (fun () ->
                handedOut <- handedOut + bytes
                let due = handedOut > max (256L <<< 20) settled
                if due then handedOut <- 0L
                due)
        if due then
            // Most dropped blocks are young; if hardly any were, the old ones are looked through too.
            let before = lock gate (fun () -> live)
            GC.Collect 1
            GC.WaitForPendingFinalizers()
            if lock gate (fun () -> live > before / 2L && live > 2L * settled + (256L <<< 20)) then
                GC.Collect()
                GC.WaitForPendingFinalizers()
            lock gate (fun () -> settled <- live)

    /// An uninitialised block of at least `bytes` bytes.
    let internal block (bytes: int64) : Block =
        let size = sizeClass (bytes + 64L) // vector loads may read, and ignore, up to 64 bytes past the end
        collectIfDue size
        let reused =
            lock gate (fun () ->
                live <- live + size
                peak <- max peak live
                match free.TryGetValue size with
                | true, stack when stack.Count > 0 ->
                    kept <- kept - size
                    stack.Pop()
                | _ -> 0n)
        let pointer =
            if reused <> 0n then
                reused
            else
                try
                    NativeInterop.NativePtr.toNativeInt (
                        NativeInterop.NativePtr.ofVoidPtr<byte>(NativeMemory.AlignedAlloc(unativeint size, 64un))
                    )
                with :? OutOfMemoryException ->
                    lock gate (fun () -> live <- live - size)
                    raise (
                        OutOfMemoryException
                            $"Nanograd needs {size} more bytes for a value and the system has none; live values hold {live} bytes."
                    )
        Block(pointer, size, giveBack)

    /// Uninitialised memory for `length` elements. Whoever asks fills it before anybody else sees it.
    let allocate (dtype: DType) (length: int) =
        let b = block (int64 length * int64 (DType.size dtype))
        Storage(dtype, length, b.Pointer, b)

    /// Bytes held by live values now, and the most there ever were.
    let usage () = lock gate (fun () -> struct (live, peak))

    /// The elements as a span of their .NET type; 'T must have the size of the storage's type.
    let span<'T when 'T: unmanaged> (s: Storage) =
        if sizeof<'T> <> DType.size s.DType then
            invalidArg
                "s"
                $"elements of {s.DType} cannot be read as {typeof<'T>.Name}; name their own .NET type (f32: float32, f64: float, i64: int64, ...), or cast the tensor first"
        let result =
            Span<'T>(NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<byte> s.Pointer), s.Length)
        GC.KeepAlive s
        result

    /// A storage with a copy of the elements.
    let ofSpan<'T when 'T: unmanaged> (dtype: DType) (values: ReadOnlySpan<'T>) =
        let s = allocate dtype values.Length
        values.CopyTo(span<'T> s)
        s

    /// The same elements in memory of their own.
    let copy (s: Storage) : Storage =
        let result = allocate s.DType s.Length
        let bytes = int64 s.Length * int64 (DType.size s.DType)
        let address p = NativeInterop.NativePtr.toVoidPtr (NativeInterop.NativePtr.ofNativeInt<byte> p)
        Buffer.MemoryCopy(address s.Pointer, address result.Pointer, bytes, bytes)
        GC.KeepAlive s
        result

    /// Element i, whatever the type.
    let read (s: Storage) (i: int) : Constant =
        match s.DType with
        | DType.F64 -> Constant.ofFloat DType.F64 (span<float> s).[i]
        | DType.F32 -> Constant.ofFloat DType.F32 (float (span<float32> s).[i])
        | DType.F16 -> Constant.ofFloat DType.F16 (float (Half.op_Explicit (span<Half> s).[i]: float32))
        | DType.BF16 -> Constant.ofFloat DType.BF16 (float (Constant.ofBfloat16Bits (span<uint16> s).[i]))
        | DType.I64 -> Constant.ofInt DType.I64 (span<int64> s).[i]
        | DType.I32 -> Constant.ofInt DType.I32 (int64 (span<int32> s).[i])
        | DType.U32 -> Constant.ofInt DType.U32 (int64 (span<uint32> s).[i])
        | DType.U8 -> Constant.ofInt DType.U8 (int64 (span<byte> s).[i])
        | DType.I8 -> Constant.ofInt DType.I8 (int64 (span<sbyte> s).[i])
        | DType.Bool -> Constant.ofInt DType.Bool (int64 (span<byte> s).[i])

    /// Sets element i of a storage that nobody else has seen yet.
    let write (s: Storage) (i: int) (c: Constant) =
        match s.DType with
        | DType.F64 -> (span<float> s).[i] <- c.Float
        | DType.F32 -> (span<float32> s).[i] <- float32 c.Float
        | DType.F16 -> (span<Half> s).[i] <- Half.op_Explicit c.Float
        | DType.BF16 -> (span<uint16> s).[i] <- Constant.bfloat16Bits (float32 c.Float)
        | DType.I64 -> (span<int64> s).[i] <- c.Int
        | DType.I32 -> (span<int32> s).[i] <- int32 c.Int
        | DType.U32 -> (span<uint32> s).[i] <- uint32 c.Int
        | DType.U8 -> (span<byte> s).[i] <- byte c.Int
        | DType.I8 -> (span<sbyte> s).[i] <- sbyte c.Int
        | DType.Bool -> (span<byte> s).[i] <- (if c.Int = 0L then 0uy else 1uy)
