namespace Nanograd

open System
open System.Collections.Generic
open System.Threading

/// One piece of unmanaged memory, aligned to 64 bytes. Dropping it gives the memory back to the pool.
[<Sealed; AllowNullLiteral>]
type internal Block(pointer: nativeint, bytes: int64, giveBack: Action<nativeint, int64>) =
    member _.Pointer = pointer
    member _.Bytes = bytes
    override _.Finalize() = giveBack.Invoke(pointer, bytes)

/// One generation of the garbage collector, asked for dead blocks when fresh memory has cost as much as asking: so neither costs more
/// than twice what it must. Where it finds nothing, patience grows.
[<Sealed>]
type private Collector(generation: int, milliseconds: float) =
    let mutable owed = 0L // ticks that fresh memory was worth since the last collection
    let mutable bytes = 0L // and how much it was
    let mutable price = int64 (milliseconds * float Diagnostics.Stopwatch.Frequency / 1000.0)
    let mutable patience = 1L

    /// The most fresh memory between two collections, next to half of what is alive.
    static member val Slack = 256L <<< 20

    /// Somebody needs this much, and no free block fits. Is it time to collect?
    member _.IsDue(size: int64, worth: int64, live: int64) =
        owed <- owed + worth
        bytes <- bytes + size
        owed >= patience * price || bytes >= max Collector.Slack (live / 2L)

    /// Collects, and says what it took.
    member _.Collect() : int64 =
        let start = Diagnostics.Stopwatch.GetTimestamp()
        GC.Collect generation
        GC.WaitForPendingFinalizers()
        price <- Diagnostics.Stopwatch.GetTimestamp() - start
        owed <- 0L
        bytes <- 0L
        price

    member _.Found(found: bool) = patience <- if found then 1L else min 64L (2L * patience)

/// Blocks of one size that wait for reuse.
[<Sealed; AllowNullLiteral>]
type private FreeBlocks(size: int64) =
    member _.Size = size
    member val Waiting = Stack<nativeint>()
    /// When the last one was asked for, counted in requests.
    member val Asked = 0L with get, set

/// Memory for values. The garbage collector does not see it, so the pool asks for collections. Freed blocks are kept for reuse,
/// because touching fresh pages is slow: a loop that drops its results soon runs in memory that is warm.
[<RequireQualifiedAccess>]
module Buffers =
    let private free = Dictionary<int64, FreeBlocks>()
    let private gate = obj ()
    let mutable private live = 0L // bytes inside blocks that somebody holds
    let mutable private kept = 0L // bytes waiting in `free`
    let mutable private peak = 0L
    let mutable private recentPeak = 0L // since somebody began to watch
    let mutable private requests = 0L

    let private collecting = obj ()
    /// Most dropped blocks are young. What got old needs a look through everything.
    let private young = Collector(1, 0.2)
    let private all = Collector(2, 5.0)
    let mutable private asking = 0L // ticks spent on collections since the pool last grew instead
    let mutable private handedOut = 0L // bytes since the last collection

    /// Sizes are rounded up so that blocks fit again: to an eighth of their power of two, large ones to a 32nd.
    let private sizeClass (bytes: int64) =
        if bytes <= 256L then
            256L
        else
            let power = 1L <<< (63 - Numerics.BitOperations.LeadingZeroCount(uint64 (bytes - 1L)))
            let step = power / (if power >= (1L <<< 20) then 32L else 8L) |> max 64L
            (bytes + step - 1L) / step * step

    /// What is alive and what waits for reuse are together hardly more than was ever alive at once.
    let private slack () = max Collector.Slack (peak / 8L)

    /// Fresh blocks of this size cost so much that what they take the place of is given back first.
    let private huge = 64L <<< 20

    /// Returns blocks to the system until all hold at most `limit` bytes, or none waits; those first that nobody asked for in a long time.
    let private trim (limit: int64) =
        while kept > 0L && live + kept > limit do
            let oldest = free.Values |> Seq.filter (fun f -> f.Waiting.Count > 0) |> Seq.minBy (fun f -> f.Asked)
            Pages.giveBack (oldest.Waiting.Pop()) oldest.Size
            kept <- kept - oldest.Size

    let private blocksOf (size: int64) =
        match free.TryGetValue size with
        | true, f -> f
        | _ ->
            let f = FreeBlocks size
            free[size] <- f
            f

    let private giveBack =
        Action<nativeint, int64>(fun pointer size ->
            lock gate (fun () ->
                live <- live - size
                kept <- kept + size
                (blocksOf size).Waiting.Push pointer
                trim (peak + slack ())))

    /// A free block of this size or a little more, or null.
    let private reuse (size: int64) : Block =
        lock gate (fun () ->
            requests <- requests + 1L
            let mutable result: Block = null
            let mutable candidate = size
            while isNull result && candidate <= size + size / 4L do
                match free.TryGetValue candidate with
                | true, f ->
                    f.Asked <- requests
                    if f.Waiting.Count > 0 then
                        kept <- kept - candidate
                        live <- live + candidate
                        peak <- max peak live
                        recentPeak <- max recentPeak live
                        handedOut <- handedOut + candidate
                        result <- Block(f.Waiting.Pop(), candidate, giveBack)
                | _ -> ()
                candidate <- sizeClass (candidate + 1L)
            result)

    /// What it costs to fill fresh memory for the first time, roughly, in ticks.
    let private worth (size: int64) = size * Diagnostics.Stopwatch.Frequency / 1_000_000_000L

    /// Looks for dead blocks of this size, if that is likely to be cheaper than fresh memory.
    let private reclaim (size: int64) : Block =
        let worth = worth size
        // Many collections for few blocks: one block more makes them rarer.
        if asking > worth && handedOut < Collector.Slack then
            asking <- 0L
            null
        else
            let ask (c: Collector) =
                if c.IsDue(size, worth, live) then
                    asking <- asking + c.Collect()
                    handedOut <- 0L
                    let found = reuse size
                    c.Found(not (isNull found))
                    found
                else
                    null
            match ask young with
            | null -> ask all
            | found -> found

    /// Large arenas between two runs, and the number of requests when they were last used.
    let private idle = List<struct (Block * int64)>()

    /// Returns the idle arenas to the system that were last used before this many requests.
    let private dropIdle (before: int64) =
        let drop (struct (arena: Block, used: int64)) =
            used <= before
            && (GC.SuppressFinalize arena
                lock gate (fun () -> live <- live - arena.Bytes)
                Pages.giveBack arena.Pointer arena.Bytes
                true)
        lock idle (fun () -> idle.RemoveAll drop |> ignore)

    /// An arena that was not used while so many values were made is in the way of fresh memory.
    let private patience = 32L

    let private fresh (size: int64) : Block =
        dropIdle (requests - patience)
        lock gate (fun () ->
            peak <- max peak (live + size)
            trim (peak - size + (if size < huge then slack () else 0L)))
        let pointer =
            try
                Pages.take size
            with :? OutOfMemoryException ->
                dropIdle requests
                GC.Collect()
                GC.WaitForPendingFinalizers()
                lock gate (fun () -> trim 0L)
                try
                    Pages.take size
                with :? OutOfMemoryException ->
                    raise (
                        OutOfMemoryException
                            $"Nanograd needs {size} more bytes for a value and the system has none; live values hold {live} bytes."
                    )
        lock gate (fun () ->
            live <- live + size
            peak <- max peak live
            recentPeak <- max recentPeak live
            handedOut <- handedOut + size)
        Block(pointer, size, giveBack)

    /// An uninitialised block of at least `bytes` bytes.
    let internal block (bytes: int64) : Block =
        let size = sizeClass (bytes + 64L) // vector loads may read, and ignore, up to 64 bytes past the end
        match reuse size with
        | null ->
            // One thread at a time asks; others, and finalizers that compute something, take fresh memory meanwhile.
            let mutable found: Block = null
            if Monitor.TryEnter collecting then
                try
                    found <- reclaim size
                finally
                    Monitor.Exit collecting
            if isNull found then fresh size else found
        | found -> found

    /// Programs keep arenas smaller than this for themselves.
    let internal sharedArena = 1L <<< 20

    /// An arena for a run. A program that rests has none: the memory goes from one run to the next, of whichever program.
    let internal rentArena (bytes: int64) : Block =
        let found =
            lock idle (fun () ->
                let mutable best = -1
                let mutable least = Int64.MaxValue
                for i in 0 .. idle.Count - 1 do
                    let struct (arena, _) = idle[i]
                    if arena.Bytes >= bytes + 64L && arena.Bytes < least then
                        best <- i
                        least <- arena.Bytes
                if best < 0 then
                    null
                else
                    let struct (arena, _) = idle[best]
                    idle.RemoveAt best
                    arena)
        if isNull found then
            dropIdle requests // too small, and so they would be again
            block bytes
        else
            found

    let internal giveBackArena (arena: Block) = lock idle (fun () -> idle.Add(struct (arena, requests)))

    /// Uninitialised memory for `length` elements. Whoever asks fills it before anybody else sees it.
    let allocate (dtype: DType) (length: int) =
        let b = block (int64 length * int64 (DType.size dtype))
        Storage(dtype, length, b.Pointer, b)

    /// Bytes held by live values now, and the most there ever were.
    let usage () = lock gate (fun () -> struct (live, peak))

    /// Begins to watch for `peakSince`.
    let internal watchPeak () = lock gate (fun () -> recentPeak <- live)

    /// The most bytes that live values held since `watchPeak`.
    let internal peakSince () = lock gate (fun () -> recentPeak)

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
