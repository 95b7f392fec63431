namespace Nanograd.Simd

open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.X86
open Microsoft.FSharp.NativeInterop

/// What emitted code calls where elements of several sizes meet: as many elements of 4 bytes beside those of 8, or bytes beside those of 4.
/// Names end with the bits of the wide vector, and for bytes with those of the vector of int32. Beside 128 bits the narrow elements are the
/// lower half of a vector, since smaller ones are not in hardware.
[<AbstractClass; Sealed>]
type internal Widths =
    // ---- 4 bytes to 8

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Widen512(x: Vector256<int>) : Vector512<int64> =
        if Avx512F.IsSupported then
            Avx512F.ConvertToVector512Int64 x
        else
            Vector512.Create(Vector256.WidenLower x, Vector256.WidenUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Widen256(x: Vector128<int>) : Vector256<int64> =
        if Avx2.IsSupported then
            Avx2.ConvertToVector256Int64 x
        else
            Vector256.Create(Vector128.WidenLower x, Vector128.WidenUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Widen128(x: Vector128<int>) : Vector128<int64> = Vector128.WidenLower x

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ToDouble512(x: Vector256<float32>) : Vector512<float> =
        if Avx512F.IsSupported then
            Avx512F.ConvertToVector512Double x
        else
            Vector512.Create(Vector256.WidenLower x, Vector256.WidenUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ToDouble256(x: Vector128<float32>) : Vector256<float> =
        if Avx.IsSupported then
            Avx.ConvertToVector256Double x
        else
            Vector256.Create(Vector128.WidenLower x, Vector128.WidenUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ToDouble128(x: Vector128<float32>) : Vector128<float> = Vector128.WidenLower x

    // ---- 8 bytes to 4: the low bits of integers, floats rounded

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Narrow512(x: Vector512<int64>) : Vector256<int> =
        if Avx512F.IsSupported then
            Avx512F.ConvertToVector256Int32 x
        else
            Vector256.Narrow(Vector512.GetLower x, Vector512.GetUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Narrow256(x: Vector256<int64>) : Vector128<int> =
        if Avx512F.VL.IsSupported then
            Avx512F.VL.ConvertToVector128Int32 x
        else
            Vector128.Narrow(Vector256.GetLower x, Vector256.GetUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Narrow128(x: Vector128<int64>) : Vector128<int> = Vector128.Narrow(x, x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ToSingle512(x: Vector512<float>) : Vector256<float32> =
        if Avx512F.IsSupported then
            Avx512F.ConvertToVector256Single x
        else
            Vector256.Narrow(Vector512.GetLower x, Vector512.GetUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ToSingle256(x: Vector256<float>) : Vector128<float32> =
        if Avx.IsSupported then
            Avx.ConvertToVector128Single x
        else
            Vector128.Narrow(Vector256.GetLower x, Vector256.GetUpper x)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ToSingle128(x: Vector128<float>) : Vector128<float32> = Vector128.Narrow(x, x)

    /// The lower half of a vector to memory.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member WriteHalf(at: nativeint, x: Vector128<int>) =
        NativePtr.write (NativePtr.ofNativeInt at) (Vector128.ToScalar(Vector128.AsInt64 x))

    // ---- bytes in memory, int32 in registers. Loads may read up to 16 bytes, as those of vectors read beyond the end of a row

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member private Bytes(at: nativeint) : Vector128<byte> = NativePtr.read (NativePtr.ofNativeInt at)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Read128(at: nativeint) : Vector128<int> =
        let x = Widths.Bytes at
        if Sse41.IsSupported then
            Sse41.ConvertToVector128Int32 x
        else
            Vector128.AsInt32(Vector128.WidenLower(Vector128.WidenLower x))

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Read256(at: nativeint) : Vector256<int> =
        let x = Widths.Bytes at
        if Avx2.IsSupported then
            Avx2.ConvertToVector256Int32 x
        else
            let s = Vector128.WidenLower x
            Vector256.AsInt32(Vector256.Create(Vector128.WidenLower s, Vector128.WidenUpper s))

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Read512(at: nativeint) : Vector512<int> =
        let x = Widths.Bytes at
        if Avx512F.IsSupported then
            Avx512F.ConvertToVector512Int32 x
        else
            let s = Vector256.Create(Vector128.WidenLower x, Vector128.WidenUpper x)
            Vector512.AsInt32(Vector512.Create(Vector256.WidenLower s, Vector256.WidenUpper s))

    /// The low bytes of four elements.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member private Packed(x: Vector128<int>) : Vector128<sbyte> =
        let s = Vector128.Narrow(x, x)
        Vector128.Narrow(s, s)

    /// Two elements.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Write2(at: nativeint, x: Vector128<int>) =
        NativePtr.write (NativePtr.ofNativeInt at) (Vector128.ToScalar(Vector128.AsInt16(Widths.Packed x)))

    /// Four.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Write4(at: nativeint, x: Vector128<int>) =
        NativePtr.write (NativePtr.ofNativeInt at) (Vector128.ToScalar(Vector128.AsInt32(Widths.Packed x)))

    /// Eight.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Write8(at: nativeint, x: Vector256<int>) =
        let s = Vector128.Narrow(Vector256.GetLower x, Vector256.GetUpper x)
        NativePtr.write (NativePtr.ofNativeInt at) (Vector128.ToScalar(Vector128.AsInt64(Vector128.Narrow(s, s))))

    /// Sixteen.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Write16(at: nativeint, x: Vector512<int>) =
        let packed =
            if Avx512F.IsSupported then
                Vector128.AsSByte(Avx512F.ConvertToVector128Byte x)
            else
                let s = Vector256.Narrow(Vector512.GetLower x, Vector512.GetUpper x)
                Vector128.Narrow(Vector256.GetLower s, Vector256.GetUpper s)
        NativePtr.write (NativePtr.ofNativeInt at) packed

    // ---- past the cache, to aligned addresses

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Stream512(target: nativeint, x: Vector512<int>) =
        Vector512.StoreAlignedNonTemporal(x, NativePtr.ofNativeInt<int> target)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Stream256(target: nativeint, x: Vector256<int>) =
        Vector256.StoreAlignedNonTemporal(x, NativePtr.ofNativeInt<int> target)

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Stream128(target: nativeint, x: Vector128<int>) =
        Vector128.StoreAlignedNonTemporal(x, NativePtr.ofNativeInt<int> target)

    /// What was streamed becomes visible to other threads before what follows.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member StreamsEnd() = if Sse.IsSupported then Sse.StoreFence()

    /// The line at an address, to the cache, if there is memory.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Prefetch(at: nativeint) =
        if Sse.IsSupported then Sse.Prefetch0(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> at))
