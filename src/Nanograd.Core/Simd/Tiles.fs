namespace Nanograd.Simd

open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.X86
open Microsoft.FSharp.NativeInterop

/// Small pieces of matrices, turned over in registers.
[<RequireQualifiedAccess>]
module internal Tiles =
    let inline private at (start: int64) (i: int64) = NativePtr.ofNativeInt<byte>(nativeint (start + i))
    let inline private load4 start i = Vector256.Load(at start i).AsSingle()
    let inline private load8 start i = Vector256.Load(at start i).AsDouble()

    /// 8 x 8 elements of 4 bytes.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>] // fast from the first call on
    let private eights (source: int64) (sourceStride: int64) (target: int64) (targetStride: int64) =
        let inline row i = load4 source (i * sourceStride)
        let inline low i = Avx.UnpackLow(row i, row (i + 1L))
        let inline high i = Avx.UnpackHigh(row i, row (i + 1L))
        let inline store i (x: Vector256<float32>) = Vector256.Store(x.AsByte(), at target (i * targetStride))
        let a0, a1, a2, a3 = low 0L, high 0L, low 2L, high 2L
        let a4, a5, a6, a7 = low 4L, high 4L, low 6L, high 6L
        let b0, b1 = Avx.Shuffle(a0, a2, 0x44uy), Avx.Shuffle(a0, a2, 0xEEuy)
        let b2, b3 = Avx.Shuffle(a1, a3, 0x44uy), Avx.Shuffle(a1, a3, 0xEEuy)
        let b4, b5 = Avx.Shuffle(a4, a6, 0x44uy), Avx.Shuffle(a4, a6, 0xEEuy)
        let b6, b7 = Avx.Shuffle(a5, a7, 0x44uy), Avx.Shuffle(a5, a7, 0xEEuy)
        store 0L (Avx.Permute2x128(b0, b4, 0x20uy))
        store 1L (Avx.Permute2x128(b1, b5, 0x20uy))
        store 2L (Avx.Permute2x128(b2, b6, 0x20uy))
        store 3L (Avx.Permute2x128(b3, b7, 0x20uy))
        store 4L (Avx.Permute2x128(b0, b4, 0x31uy))
        store 5L (Avx.Permute2x128(b1, b5, 0x31uy))
        store 6L (Avx.Permute2x128(b2, b6, 0x31uy))
        store 7L (Avx.Permute2x128(b3, b7, 0x31uy))

    /// 4 x 4 elements of 8 bytes.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>] // fast from the first call on
    let private fours (source: int64) (sourceStride: int64) (target: int64) (targetStride: int64) =
        let inline row i = load8 source (i * sourceStride)
        let inline store i (x: Vector256<float>) = Vector256.Store(x.AsByte(), at target (i * targetStride))
        let t0, t1, t2, t3 = row 0L, row 1L, row 2L, row 3L
        let a0, a1 = Avx.UnpackLow(t0, t1), Avx.UnpackHigh(t0, t1)
        let a2, a3 = Avx.UnpackLow(t2, t3), Avx.UnpackHigh(t2, t3)
        store 0L (Avx.Permute2x128(a0, a2, 0x20uy))
        store 1L (Avx.Permute2x128(a1, a3, 0x20uy))
        store 2L (Avx.Permute2x128(a0, a2, 0x31uy))
        store 3L (Avx.Permute2x128(a1, a3, 0x31uy))

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private one (size: int) (source: int64) (target: int64) =
        if size = 4 then
            NativePtr.write
                (NativePtr.ofNativeInt<int>(nativeint target))
                (NativePtr.read (NativePtr.ofNativeInt<int>(nativeint source)))
        elif size = 1 then
            NativePtr.write (at target 0L) (NativePtr.read (at source 0L))
        else
            NativePtr.write
                (NativePtr.ofNativeInt<int64>(nativeint target))
                (NativePtr.read (NativePtr.ofNativeInt<int64>(nativeint source)))

    /// target[r, c] = source[c, r] for elements of `size` bytes. Strides are in bytes, of the rows of each.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>] // fast from the first call on
    let transpose
        (size: int)
        (source: int64)
        (sourceStride: int64)
        (target: int64)
        (targetStride: int64)
        (rows: int64)
        (columns: int64)
        =
        let bytes = int64 size
        let step = if not Avx.IsSupported || size = 1 then 1L else 32L / bytes
        // Whole blocks: every line of the source is used up before the next ones are read.
        let wholeRows, wholeColumns = (if step = 1L then 0L else rows / step * step), columns / step * step
        let mutable c = 0L
        while c < wholeColumns && wholeRows > 0L do
            let mutable r = 0L
            while r < wholeRows do
                let s, t = source + c * sourceStride + r * bytes, target + r * targetStride + c * bytes
                if size = 4 then eights s sourceStride t targetStride else fours s sourceStride t targetStride
                r <- r + step
            c <- c + step
        for c in 0L .. columns - 1L do
            for r in (if c < wholeColumns then wholeRows else 0L) .. rows - 1L do
                one size (source + c * sourceStride + r * bytes) (target + r * targetStride + c * bytes)
