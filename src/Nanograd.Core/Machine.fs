namespace Nanograd

open System
open System.Diagnostics
open System.Runtime.InteropServices
open System.Threading.Tasks
open Nanograd.Simd

/// What this machine can do at best, measured once in a process.
type MachineLimits =
    {
        /// Threads that share a kernel.
        Threads: int
        /// Bits of a vector.
        VectorBits: int
        /// Arithmetic of all threads together on f32, operations a second (a fused multiply-add is two). Half of it on f64.
        OperationsPerSecond: float
        /// Bytes read and written a second by copying what does not fit in caches.
        MemoryBytesPerSecond: float
        /// The same for what fits (128 KiB a thread).
        CacheBytesPerSecond: float
    }

/// Measuring the machine: about a tenth of a second, when somebody asks for the first time.
[<RequireQualifiedAccess>]
module Machine =
    /// Bytes that all threads copy a second, each within its own part; the best of some rounds.
    let private copySpeed (partBytes: int64) (repeats: int) (rounds: int) =
        let threads = Threads.Count
        let bytes = partBytes * int64 threads
        let allocate () = NativeMemory.AlignedAlloc(unativeint bytes, 64un)
        let source, target = allocate (), allocate ()
        try
            NativeMemory.Fill(source, unativeint bytes, 1uy)
            NativeMemory.Fill(target, unativeint bytes, 1uy)
            let at (p: voidptr) i =
                NativeInterop.NativePtr.toVoidPtr (
                    NativeInterop.NativePtr.ofNativeInt<byte>(
                        NativeInterop.NativePtr.toNativeInt (NativeInterop.NativePtr.ofVoidPtr<byte> p)
                        + nativeint (int64 i * partBytes)
                    )
                )
            let sources, targets =
                Array.init threads (at source >> NativeInterop.NativePtr.ofVoidPtr<byte>),
                Array.init threads (at target >> NativeInterop.NativePtr.ofVoidPtr<byte>)
            let part i =
                for _ in 1..repeats do
                    Buffer.MemoryCopy(
                        NativeInterop.NativePtr.toVoidPtr sources[i],
                        NativeInterop.NativePtr.toVoidPtr targets[i],
                        partBytes,
                        partBytes
                    )
            let mutable best = 0.0
            for _ in 1..rounds do
                let start = Stopwatch.GetTimestamp()
                Parallel.For(0, threads, part) |> ignore
                let seconds = Stopwatch.GetElapsedTime(start).TotalSeconds
                best <- max best (2.0 * float bytes * float repeats / seconds)
            best
        finally
            NativeMemory.AlignedFree source
            NativeMemory.AlignedFree target

    let private measured =
        lazy
            (let peaks = Array.zeroCreate<float> Threads.Count
             Parallel.For(0, peaks.Length, fun i -> peaks[i] <- Gemm.peak Element.F32) |> ignore
             { Threads = Threads.Count
               VectorBits = Isa.width ()
               OperationsPerSecond = 1e9 * Array.sum peaks
               MemoryBytesPerSecond = copySpeed ((64L <<< 20) / int64 Threads.Count) 1 5
               CacheBytesPerSecond = copySpeed (64L <<< 10) 200 5 })

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
