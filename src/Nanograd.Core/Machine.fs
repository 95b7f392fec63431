namespace Nanograd

#nowarn "9" // memory is streamed through native pointers

open System
open System.Diagnostics
open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open System.Threading.Tasks
open Microsoft.FSharp.NativeInterop
open Nanograd.Simd

/// What this machine can do at best, all threads together.
type MachineLimits =
    {
        /// Threads that share a kernel.
        Threads: int
        /// Bits of a vector.
        VectorBits: int
        /// Arithmetic of all threads together on f32, operations a second (a fused multiply-add is two). Half of it on f64.
        OperationsPerSecond: float
        /// Bytes read and written a second by copying what does not fit in caches, and past them.
        MemoryBytesPerSecond: float
        /// Bytes read a second of what does not fit in caches.
        ReadBytesPerSecond: float
        /// Bytes read and written a second by copying what fits (128 KiB a thread).
        CacheBytesPerSecond: float
    }

/// Measuring the machine.
[<RequireQualifiedAccess>]
module Machine =
    let private floats (address: nativeint) : nativeptr<float32> = NativePtr.ofNativeInt address

    /// Writes past the caches, 256 bytes at a time.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private stream (source: nativeint) (target: nativeint) (length: int64) =
        let mutable i = 0L
        while i < length do
            let at, into = source + nativeint i, target + nativeint i
            let a = Vector512.LoadAligned(floats at)
            let b = Vector512.LoadAligned(floats (at + 64n))
            let c = Vector512.LoadAligned(floats (at + 128n))
            let d = Vector512.LoadAligned(floats (at + 192n))
            a.StoreAlignedNonTemporal(floats into)
            b.StoreAlignedNonTemporal(floats (into + 64n))
            c.StoreAlignedNonTemporal(floats (into + 128n))
            d.StoreAlignedNonTemporal(floats (into + 192n))
            i <- i + 256L

    /// The sum, so that no load is dropped.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private read (source: nativeint) (length: int64) : float32 =
        let mutable i = 0L
        let mutable a, b, c, d =
            Vector512<float32>.Zero, Vector512<float32>.Zero, Vector512<float32>.Zero, Vector512<float32>.Zero
        while i < length do
            let at = source + nativeint i
            a <- a + Vector512.LoadAligned(floats at)
            b <- b + Vector512.LoadAligned(floats (at + 64n))
            c <- c + Vector512.LoadAligned(floats (at + 128n))
            d <- d + Vector512.LoadAligned(floats (at + 192n))
            i <- i + 256L
        Vector512.Sum(a + b + c + d)

    let private copy (source: nativeint) (target: nativeint) (length: int64) =
        Buffer.MemoryCopy(NativePtr.toVoidPtr (floats source), NativePtr.toVoidPtr (floats target), length, length)

    /// Bytes a second when each thread handles `bytes` in a part of its own; the best of some rounds.
    let private speed (rounds: int) (bytes: int64) (part: int -> unit) : float =
        let mutable least = infinity
        for _ in 0..rounds do // one more, which warms up
            let start = Stopwatch.GetTimestamp()
            Parallel.For(0, Threads.Count, part) |> ignore
            least <- min least (Stopwatch.GetElapsedTime(start).TotalSeconds)
        float bytes * float Threads.Count / least

    let private peak () =
        let ofThreads = Array.zeroCreate<float> Threads.Count
        Parallel.For(0, ofThreads.Length, fun i -> ofThreads[i] <- Gemm.peak Element.F32) |> ignore
        1e9 * Array.sum ofThreads

    /// What this machine can do now: about a fifth of a second.
    let measure () : MachineLimits =
        let part = (128L <<< 20) / int64 Threads.Count / 4096L * 4096L
        let small, repeats = 64L <<< 10, 200
        let bytes = part * int64 Threads.Count
        let source, target = Pages.take bytes, Pages.take bytes
        try
            let at (memory: nativeint) i = memory + nativeint (int64 i * part)
            let fill i =
                NativePtr.initBlock (NativePtr.ofNativeInt<byte>(at source i)) 0uy (uint32 part)
                NativePtr.initBlock (NativePtr.ofNativeInt<byte>(at target i)) 0uy (uint32 part)
            Parallel.For(0, Threads.Count, fill) |> ignore
            { Threads = Threads.Count
              VectorBits = Isa.width ()
              OperationsPerSecond = peak ()
              MemoryBytesPerSecond = speed 6 (2L * part) (fun i -> stream (at source i) (at target i) part)
              ReadBytesPerSecond = speed 6 part (fun i -> read (at source i) part |> ignore)
              CacheBytesPerSecond =
                speed 5 (2L * small * int64 repeats) (fun i ->
                    for _ in 1..repeats do
                        copy (at source i) (at target i) small) }
        finally
            Pages.giveBack source bytes
            Pages.giveBack target bytes

    let private measured = lazy (measure ())

    /// What this machine can do; measured at the first call.
    let limits () : MachineLimits = measured.Value

    /// The time that arithmetic and memory alone would take, in milliseconds, and which of them is longer.
    let ideal (limits: MachineLimits) (isDouble: bool) (bytes: int64) (operations: int64) : struct (float * string) =
        let isSmall = bytes <= int64 limits.Threads * (256L <<< 10)
        let bandwidth = if isSmall then limits.CacheBytesPerSecond else limits.MemoryBytesPerSecond
        let peak = if isDouble then limits.OperationsPerSecond / 2.0 else limits.OperationsPerSecond
        let memory, arithmetic = 1e3 * float bytes / bandwidth, 1e3 * float operations / peak
        if arithmetic > memory then
            struct (arithmetic, "arithmetic")
        else
            struct (memory, (if isSmall then "cache" else "memory"))
