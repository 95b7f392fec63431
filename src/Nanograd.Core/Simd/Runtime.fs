namespace Nanograd.Simd

open System
open System.Runtime.CompilerServices
open Microsoft.FSharp.NativeInterop
open Nanograd

/// What emitted code calls: scalar functions that are more than an instruction, and the ends of rows. Values of small types travel as
/// int32, 16-bit floats as float32. The meanings are those of docs/semantics.md.
[<AbstractClass; Sealed>]
type internal Runtime =
    // ---- choices

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Select(c: int, x: int, y: int) = if c <> 0 then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Select(c: int, x: int64, y: int64) = if c <> 0 then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Select(c: int, x: float32, y: float32) = if c <> 0 then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Select(c: int, x: float, y: float) = if c <> 0 then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member MaxSecond(x: float32, y: float32) = if x > y then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member MaxSecond(x: float, y: float) = if x > y then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member MinSecond(x: float32, y: float32) = if x < y then x else y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member MinSecond(x: float, y: float) = if x < y then x else y

    // ---- integers

    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Abs(x: int) = if x < 0 then 0 - x else x
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Abs(x: int64) = if x < 0L then 0L - x else x
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member DivI32(x: int, y: int) =
        if y = 0 then 0
        elif y = -1 then 0 - x
        else x / y
    static member DivI64(x: int64, y: int64) =
        if y = 0L then 0L
        elif y = -1L then 0L - x
        else x / y
    static member DivU32(x: int, y: int) = if y = 0 then 0 else int (uint32 x / uint32 y)
    static member RemI32(x: int, y: int) = if y = 0 || y = -1 then 0 else x % y
    static member RemI64(x: int64, y: int64) = if y = 0L || y = -1L then 0L else x % y
    static member RemU32(x: int, y: int) = if y = 0 then 0 else int (uint32 x % uint32 y)
    static member RemF32(x: float32, y: float32) = x % y
    static member RemF64(x: float, y: float) = x % y

    static member PowI64(x: int64, y: int64) : int64 =
        if y < 0L then
            (if x = 1L || (x = -1L && y % 2L = 0L) then 1L
             elif x = -1L then -1L
             else 0L)
        else
            let mutable result, b, e = 1L, x, y
            while e > 0L do
                if e &&& 1L = 1L then result <- result * b
                b <- b * b
                e <- e >>> 1
            result

    static member PowI32(x: int, y: int) = int (Runtime.PowI64(int64 x, int64 y))
    static member PowU32(x: int, y: int) = int (Runtime.PowI64(int64 (uint32 x), int64 (uint32 y)))
    static member PowF32(x: float32, y: float32) = float32 (Math.Pow(float x, float y))
    static member PowF64(x: float, y: float) = Math.Pow(x, y)

    // Counts are unsigned; beyond the width nothing of the number is left but, in signed right shifts, its sign.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Shl(x: int, y: int, width: int) = if uint32 y >= uint32 width then 0 else x <<< y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Shl(x: int64, y: int64, width: int) = if uint64 y >= uint64 width then 0L else x <<< int y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Shr(x: int, y: int, width: int) = if uint32 y >= uint32 width then x >>> 31 else x >>> y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Shr(x: int64, y: int64, width: int) = if uint64 y >= uint64 width then x >>> 63 else x >>> int y
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member ShrUnsigned(x: int, y: int, width: int) = if uint32 y >= uint32 width then 0 else int (uint32 x >>> y)

    // ---- conversions

    /// Not inlined: the JIT of .NET 10 turns the bits of a widened byte into a load of four bytes.
    [<MethodImpl(MethodImplOptions.NoInlining)>]
    static member SingleOfBits(bits: int) = BitConverter.Int32BitsToSingle bits

    static member private Saturate(x: float, low: float, high: float) =
        if Double.IsNaN x then 0.0 else Math.Truncate(Math.Max(low, Math.Min(high, x)))
    static member ToI8(x: float) = int (Runtime.Saturate(x, -128.0, 127.0))
    static member ToU8(x: float) = int (Runtime.Saturate(x, 0.0, 255.0))
    static member ToI32(x: float) = int (Runtime.Saturate(x, -2147483648.0, 2147483647.0))
    static member ToU32(x: float) = int (uint32 (Runtime.Saturate(x, 0.0, 4294967295.0)))
    static member ToI64(x: float) =
        if Double.IsNaN x then 0L
        elif x >= 9.2233720368547758E18 then Int64.MaxValue
        elif x <= -9.2233720368547758E18 then Int64.MinValue
        else int64 x
    static member OfHalf(bits: int) : float32 = Half.op_Explicit (BitConverter.UInt16BitsToHalf(uint16 bits))
    static member ToHalf(x: float32) = int (BitConverter.HalfToUInt16Bits(Half.op_Explicit x))
    static member RoundHalf(x: float32) : float32 = Half.op_Explicit (Half.op_Explicit x: Half)
    static member RoundHalf(x: float) : float32 = Half.op_Explicit (Half.op_Explicit x: Half)
    static member OfBrain(bits: int) = Constant.ofBfloat16Bits (uint16 bits)
    static member ToBrain(x: float32) = int (Constant.bfloat16Bits x)
    static member RoundBrain(x: float32) = Constant.ofBfloat16Bits (Constant.bfloat16Bits x)
    static member HalfAsBrain(x: float32) = Runtime.OfBrain(Runtime.ToHalf x)
    static member BrainAsHalf(x: float32) = Runtime.OfHalf(Runtime.ToBrain x)

    // ---- memory

    /// The index if it is below the bound; otherwise the mistake is noted for the caller of the kernel, and 0 is read instead.
    [<MethodImpl(MethodImplOptions.AggressiveInlining)>]
    static member Check(index: int64, bound: int64, note: nativeint) : int64 =
        if uint64 index < uint64 bound then
            index
        else
            let note = NativePtr.ofNativeInt<int64> note
            NativePtr.set note 1 index
            NativePtr.set note 2 bound
            NativePtr.set note 0 1L
            0L

    /// `count` elements of `size` bytes from consecutive places to places `stride` bytes apart.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>] // fast from the first call on
    static member Scatter(source: nativeint, target: nativeint, stride: int64, count: int64, size: int) =
        for i in 0L .. count - 1L do
            let s, t = source + nativeint (i * int64 size), target + nativeint (i * stride)
            if size = 4 then
                NativePtr.write (NativePtr.ofNativeInt<int> t) (NativePtr.read (NativePtr.ofNativeInt<int> s))
            elif size = 1 then
                NativePtr.write (NativePtr.ofNativeInt<byte> t) (NativePtr.read (NativePtr.ofNativeInt<byte> s))
            else
                NativePtr.write (NativePtr.ofNativeInt<int64> t) (NativePtr.read (NativePtr.ofNativeInt<int64> s))

    /// The opposite of Scatter.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>] // fast from the first call on
    static member Collect(source: nativeint, target: nativeint, stride: int64, count: int64, size: int) =
        for i in 0L .. count - 1L do
            let s, t = source + nativeint (i * stride), target + nativeint (i * int64 size)
            if size = 4 then
                NativePtr.write (NativePtr.ofNativeInt<int> t) (NativePtr.read (NativePtr.ofNativeInt<int> s))
            elif size = 1 then
                NativePtr.write (NativePtr.ofNativeInt<byte> t) (NativePtr.read (NativePtr.ofNativeInt<byte> s))
            else
                NativePtr.write (NativePtr.ofNativeInt<int64> t) (NativePtr.read (NativePtr.ofNativeInt<int64> s))

    // ---- folding what reductions leave behind (values of small integer types are int32 here)

    static member private Combine(r: Reduction, x: float32, y: float32) =
        match r with
        | Reduction.Sum -> x + y
        | Reduction.Prod -> x * y
        | Reduction.Max -> MathF.Max(x, y)
        | Reduction.Min -> MathF.Min(x, y)

    static member private Combine(r: Reduction, x: float, y: float) =
        match r with
        | Reduction.Sum -> x + y
        | Reduction.Prod -> x * y
        | Reduction.Max -> Math.Max(x, y)
        | Reduction.Min -> Math.Min(x, y)

    static member private Combine(r: Reduction, x: int, y: int) =
        match r with
        | Reduction.Sum -> x + y
        | Reduction.Prod -> x * y
        | Reduction.Max -> max x y
        | Reduction.Min -> min x y

    static member private Combine(r: Reduction, x: uint32, y: uint32) =
        match r with
        | Reduction.Sum -> x + y
        | Reduction.Prod -> x * y
        | Reduction.Max -> max x y
        | Reduction.Min -> min x y

    static member private Combine(r: Reduction, x: int64, y: int64) =
        match r with
        | Reduction.Sum -> x + y
        | Reduction.Prod -> x * y
        | Reduction.Max -> max x y
        | Reduction.Min -> min x y

    /// a[i] = a[i] op a[j], elements of a reduction's type.
    static member private Join(r: Reduction, dtype: DType, at: nativeint, i: int, j: int) =
        match dtype with
        | DType.F64 ->
            let p = NativePtr.ofNativeInt<float> at
            NativePtr.set p i (Runtime.Combine(r, NativePtr.get p i, NativePtr.get p j))
        | DType.I64 ->
            let p = NativePtr.ofNativeInt<int64> at
            NativePtr.set p i (Runtime.Combine(r, NativePtr.get p i, NativePtr.get p j))
        | DType.F32
        | DType.F16
        | DType.BF16 ->
            let p = NativePtr.ofNativeInt<float32> at
            NativePtr.set p i (Runtime.Combine(r, NativePtr.get p i, NativePtr.get p j))
        | DType.U32 ->
            let p = NativePtr.ofNativeInt<uint32> at
            NativePtr.set p i (Runtime.Combine(r, NativePtr.get p i, NativePtr.get p j))
        | DType.I32
        | DType.U8
        | DType.I8
        | DType.Bool ->
            let p = NativePtr.ofNativeInt<int> at
            NativePtr.set p i (Runtime.Combine(r, NativePtr.get p i, NativePtr.get p j))

    static member private Move(dtype: DType, at: nativeint, target: int, source: int) =
        if DType.size dtype = 8 then
            let p = NativePtr.ofNativeInt<int64> at
            NativePtr.set p target (NativePtr.get p source)
        else
            let p = NativePtr.ofNativeInt<int> at
            NativePtr.set p target (NativePtr.get p source)

    static member val internal Reductions = [| Reduction.Sum; Reduction.Prod; Reduction.Max; Reduction.Min |]
    static member val internal Types = List.toArray DType.all

    /// The lanes of a row's fold: i with i + half, and so on down to lane 0.
    static member FoldLanes(at: nativeint, lanes: int, reduction: int, dtype: int) =
        let mutable half = lanes / 2
        while half >= 1 do
            for i in 0 .. half - 1 do
                Runtime.Join(Runtime.Reductions[reduction], Runtime.Types[dtype], at, i, i + half)
            half <- half / 2

    /// `count` values are folded as a tree: neighbours first, an odd last one carried. The result is the first.
    static member FoldTree(at: nativeint, count: int64, reduction: int, dtype: int) =
        let r, d = Runtime.Reductions[reduction], Runtime.Types[dtype]
        let mutable count = int count
        while count > 1 do
            for i in 0 .. count / 2 - 1 do
                Runtime.Move(d, at, i, 2 * i)
                Runtime.Join(r, d, at, i, 2 * i + 1)
            if count % 2 = 1 then Runtime.Move(d, at, count / 2, count - 1)
            count <- (count + 1) / 2

/// The layout of the block of words through which a nest's code gets everything: all words are 64 bits.
[<RequireQualifiedAccess>]
module internal Frame =
    let rows = 0
    let length = 1
    let scratch = 2
    let note = 3
    /// Columns: where the sums of the first reduction are, those they are merged with, and how far it is to the next reduction's.
    let sums = 4
    let others = 5
    let sumsStride = 6
    let bases = 7
    /// Movement from row to row, in bytes (counting arguments: in units), then along the row.
    let rowStrides arguments = bases + arguments
    let strides arguments = bases + 2 * arguments
    let scalars arguments = bases + 3 * arguments
    let size arguments scalarCount = bases + 3 * arguments + scalarCount

/// The emitted function: its argument is the address of a frame.
type internal NestCode = delegate of nativeint -> unit
