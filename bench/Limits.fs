namespace Nanograd.Bench

#nowarn "9" // memory is streamed through native pointers

open System
open System.Runtime.InteropServices
open System.Runtime.Intrinsics
open System.Threading.Tasks
open Microsoft.FSharp.NativeInterop
open Nanograd.Simd

/// The most that all threads together did just now.
type Limits =
    {
        /// Fused multiply-adds in registers, operations a second.
        Arithmetic: float
        /// Memory read and written past the caches, bytes a second.
        Copying: float
        /// Memory read, bytes a second.
        Reading: float
    }

    member l.Of(limit: Limit) : float option =
        match limit with
        | Limit.Arithmetic -> Some l.Arithmetic
        | Limit.Copying -> Some l.Copying
        | Limit.Reading -> Some l.Reading
        | Limit.Overhead -> None

module Limits =
    let private floats (address: nativeint) : nativeptr<float32> = NativePtr.ofNativeInt address

    /// Each thread does its part of `bytes`; the seconds of the best round.
    let private together (bytes: int64) (part: int64 -> int64 -> unit) =
        let each = bytes / int64 Threads.Count / 4096L * 4096L
        let round () = Parallel.For(0, Threads.Count, fun i -> part (int64 i * each) each) |> ignore
        round ()
        float (each * int64 Threads.Count) / Clock.best 8 round

    let private copy (source: nativeint) (target: nativeint) (start: int64) (length: int64) =
        let mutable i = start
        while i < start + length do
            let at k = floats (source + nativeint (i + k))
            let vector k = Vector512.LoadAligned(at k)
            let a, b, c, d = vector 0L, vector 64L, vector 128L, vector 192L
            let into k = floats (target + nativeint (i + k))
            a.StoreAlignedNonTemporal(into 0L)
            b.StoreAlignedNonTemporal(into 64L)
            c.StoreAlignedNonTemporal(into 128L)
            d.StoreAlignedNonTemporal(into 192L)
            i <- i + 256L

    let mutable private sink = 0.0f

    let private read (source: nativeint) (start: int64) (length: int64) =
        let mutable i = start
        let mutable a, b, c, d =
            Vector512<float32>.Zero, Vector512<float32>.Zero, Vector512<float32>.Zero, Vector512<float32>.Zero
        while i < start + length do
            a <- a + Vector512.LoadAligned(floats (source + nativeint i))
            b <- b + Vector512.LoadAligned(floats (source + nativeint (i + 64L)))
            c <- c + Vector512.LoadAligned(floats (source + nativeint (i + 128L)))
            d <- d + Vector512.LoadAligned(floats (source + nativeint (i + 192L)))
            i <- i + 256L
        sink <- Vector512.Sum(a + b + c + d) // or the loads would be dropped

    let private peak () =
        let ofThreads = Array.zeroCreate<float> Threads.Count
        Parallel.For(0, ofThreads.Length, fun i -> ofThreads[i] <- Gemm.peak Element.F32) |> ignore
        1e9 * Array.sum ofThreads

    /// Takes about a quarter of a second.
    let measure () : Limits =
        let bytes = 128L <<< 20
        let allocate () =
            let p = NativeMemory.AlignedAlloc(unativeint bytes, 4096un)
            NativeMemory.Fill(p, unativeint bytes, 0uy)
            p
        let source, target = allocate (), allocate ()
        try
            let address (p: voidptr) = NativePtr.toNativeInt (NativePtr.ofVoidPtr<byte> p)
            { Arithmetic = peak ()
              Copying = 2.0 * together bytes (copy (address source) (address target))
              Reading = together bytes (read (address source)) }
        finally
            NativeMemory.AlignedFree source
            NativeMemory.AlignedFree target
