namespace Nanograd.Simd

open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.Arm
open System.Runtime.Intrinsics.X86
open Microsoft.FSharp.NativeInterop

/// One axis of a strided view, as a table of offsets in elements, and what is regular about it.
[<Sealed>]
type Axis(offsets: int[]) =
    let length = offsets.Length
    let step = if length > 1 then offsets[1] - offsets[0] else 1

    let regular =
        let mutable same = true

        for i in 2 .. length - 1 do
            same <- same && offsets[i] - offsets[i - 1] = step

        same

    let runEnds =
        let ends = Array.create length length

        for i in length - 2 .. -1 .. 0 do
            ends[i] <- if offsets[i + 1] = offsets[i] + 1 then ends[i + 1] else i + 1

        ends

    let runs =
        let mutable count = min length 1

        for i in 1 .. length - 1 do
            if offsets[i] <> offsets[i - 1] + 1 then count <- count + 1

        count

    /// The offset of each index.
    member _.Offsets = offsets
    /// How many indices there are.
    member _.Length = length
    /// All steps are the same.
    member _.IsRegular = regular
    /// The step of a regular axis; 1 where there is at most one index.
    member _.Step = step
    /// For each index, the end of the run of adjacent elements it lies in.
    member _.RunEnds = runEnds
    /// All elements are adjacent.
    member _.IsContiguous = regular && step = 1
    /// Three steps of four at least are shorter than this, so that most neighbours share a cache line.
    member _.IsNear(limit: int) =
        let mutable near = 0

        for i in 1 .. length - 1 do
            if abs (offsets[i] - offsets[i - 1]) < limit then near <- near + 1

        4 * near >= 3 * (length - 1)

    /// The mean length of a run of adjacent elements.
    member _.MeanRun = if runs = 0 then 0 else length / runs

/// How a panel is read.
[<RequireQualifiedAccess>]
type PackMode =
    /// In runs along the panel's width: rows are copied.
    | Copy
    /// In runs along k: blocks are transposed.
    | Transpose
    /// Element by element.
    | Gather

/// Copies pieces of strided views into panels: for each k, `width` adjacent elements, the last ones zeros where the view
/// ends sooner. Elements are 4 or 8 bytes; their type does not matter.
[<Sealed; AbstractClass>]
type Pack private () =

    static let bytesAt (address: nativeint) = NativePtr.ofNativeInt<byte> address
    static let floatsAt (address: nativeint) = NativePtr.ofNativeInt<float32> address
    static let doublesAt (address: nativeint) = NativePtr.ofNativeInt<float> address

    /// The mode for a view with this axis along k and this axis along the width.
    static member Mode(k: Axis, across: Axis) =
        if across.MeanRun >= 4 && across.MeanRun >= min k.MeanRun 64 then PackMode.Copy
        elif k.MeanRun >= 4 then PackMode.Transpose
        else PackMode.Gather

    static member inline private CopyInline(source: nativeint, target: nativeint, bytes: int) =
        let mutable i = 0

        if Vector512.IsHardwareAccelerated then
            while i + 64 <= bytes do
                Vector512.Store(Vector512.Load(bytesAt (source + nativeint i)), bytesAt (target + nativeint i))
                i <- i + 64

        if Vector256.IsHardwareAccelerated then
            while i + 32 <= bytes do
                Vector256.Store(Vector256.Load(bytesAt (source + nativeint i)), bytesAt (target + nativeint i))
                i <- i + 32

        while i + 16 <= bytes do
            Vector128.Store(Vector128.Load(bytesAt (source + nativeint i)), bytesAt (target + nativeint i))
            i <- i + 16

        while i < bytes do
            NativePtr.write (floatsAt (target + nativeint i)) (NativePtr.read (floatsAt (source + nativeint i)))
            i <- i + 4

    /// Copies bytes (a multiple of 4) that do not overlap.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member CopyBytes(source: nativeint, target: nativeint, bytes: int) = Pack.CopyInline(source, target, bytes)

    /// Makes bytes (a multiple of 4) zero.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member ZeroBytes(target: nativeint, bytes: int) =
        let mutable i = 0

        while i + 16 <= bytes do
            Vector128.Store(Vector128<byte>.Zero, bytesAt (target + nativeint i))
            i <- i + 16

        while i < bytes do
            NativePtr.write (floatsAt (target + nativeint i)) 0.0f
            i <- i + 4

    static member inline private Low(a: Vector128<float32>, b: Vector128<float32>) =
        if Sse.IsSupported then Sse.UnpackLow(a, b) else AdvSimd.Arm64.ZipLow(a, b)

    static member inline private High(a: Vector128<float32>, b: Vector128<float32>) =
        if Sse.IsSupported then Sse.UnpackHigh(a, b) else AdvSimd.Arm64.ZipHigh(a, b)

    static member inline private Low(a: Vector128<float>, b: Vector128<float>) =
        if Sse2.IsSupported then Sse2.UnpackLow(a, b) else AdvSimd.Arm64.ZipLow(a, b)

    static member inline private High(a: Vector128<float>, b: Vector128<float>) =
        if Sse2.IsSupported then Sse2.UnpackHigh(a, b) else AdvSimd.Arm64.ZipHigh(a, b)

    /// Four k of four 4-byte columns, whose starts are `s0` .. `s3`.
    static member inline private Square4(s0: nativeint, s1, s2, s3, target: nativeint, row: nativeint) =
        let r0, r1 = Vector128.Load(floatsAt s0), Vector128.Load(floatsAt s1)
        let r2, r3 = Vector128.Load(floatsAt s2), Vector128.Load(floatsAt s3)
        let t0, t1 = Pack.Low(r0, r1).AsDouble(), Pack.High(r0, r1).AsDouble()
        let t2, t3 = Pack.Low(r2, r3).AsDouble(), Pack.High(r2, r3).AsDouble()
        Vector128.Store(Pack.Low(t0, t2), doublesAt target)
        Vector128.Store(Pack.High(t0, t2), doublesAt (target + row))
        Vector128.Store(Pack.Low(t1, t3), doublesAt (target + row + row))
        Vector128.Store(Pack.High(t1, t3), doublesAt (target + row + row + row))

    /// Two k of two 8-byte columns.
    static member inline private Square2(s0: nativeint, s1: nativeint, target: nativeint, row: nativeint) =
        let r0, r1 = Vector128.Load(doublesAt s0), Vector128.Load(doublesAt s1)
        Vector128.Store(Pack.Low(r0, r1), doublesAt target)
        Vector128.Store(Pack.High(r0, r1), doublesAt (target + row))

    /// Sixteen bytes of each of four columns, `ahead` bytes from their starts, side by side.
    static member inline private Four(s0: nativeint, s1: nativeint, s2: nativeint, s3: nativeint, ahead: nativeint) =
        let low = Vector256.Create(Vector128.Load(floatsAt (s0 + ahead)), Vector128.Load(floatsAt (s1 + ahead)))
        let high = Vector256.Create(Vector128.Load(floatsAt (s2 + ahead)), Vector128.Load(floatsAt (s3 + ahead)))
        Vector512.Create(low, high)

    /// The column `first` and those `apart` from it.
    static member inline private Four(starts: nativeptr<nativeint>, first: int, apart: int, ahead: nativeint) =
        let at k = NativePtr.get starts (first + k * apart)
        Pack.Four(at 0, at 1, at 2, at 3, ahead)

    /// Four k of sixteen 4-byte columns: transposed within each 128-bit lane, which holds four columns.
    static member inline private Wide4
        (starts: nativeptr<nativeint>, ahead: nativeint, target: nativeint, row: nativeint)
        =
        let r0, r1 = Pack.Four(starts, 0, 4, ahead), Pack.Four(starts, 1, 4, ahead)
        let r2, r3 = Pack.Four(starts, 2, 4, ahead), Pack.Four(starts, 3, 4, ahead)
        let t0, t1 = Avx512F.UnpackLow(r0, r1).AsDouble(), Avx512F.UnpackHigh(r0, r1).AsDouble()
        let t2, t3 = Avx512F.UnpackLow(r2, r3).AsDouble(), Avx512F.UnpackHigh(r2, r3).AsDouble()
        Vector512.Store(Avx512F.UnpackLow(t0, t2), doublesAt target)
        Vector512.Store(Avx512F.UnpackHigh(t0, t2), doublesAt (target + row))
        let target = target + row + row
        Vector512.Store(Avx512F.UnpackLow(t1, t3), doublesAt target)
        Vector512.Store(Avx512F.UnpackHigh(t1, t3), doublesAt (target + row))

    /// Two k of eight 8-byte columns.
    static member inline private Wide2
        (starts: nativeptr<nativeint>, ahead: nativeint, target: nativeint, row: nativeint)
        =
        let r0 = Pack.Four(starts, 0, 2, ahead).AsDouble()
        let r1 = Pack.Four(starts, 1, 2, ahead).AsDouble()
        Vector512.Store(Avx512F.UnpackLow(r0, r1), doublesAt target)
        Vector512.Store(Avx512F.UnpackHigh(r0, r1), doublesAt (target + row))

    /// One element, of 4 or 8 bytes.
    static member inline private One(source: nativeint, target: nativeint, size: int) =
        if size = 4 then
            NativePtr.write (floatsAt target) (NativePtr.read (floatsAt source))
        else
            NativePtr.write (doublesAt target) (NativePtr.read (doublesAt source))

    static member private Elements
        (source: nativeint, across: Axis, j0: int, j1: int, count: int, target, row: nativeint, size)
        =
        for j in j0 .. j1 - 1 do
            let from = source + nativeint across.Offsets[j] * nativeint size

            for i in 0 .. count - 1 do
                Pack.One(from + nativeint (i * size), target + nativeint i * row + nativeint ((j - j0) * size), size)

    /// `count` adjacent k of the columns j0 .. j1-1, all of 4 bytes; `source` is the address of offset 0 at the first k.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private Transpose4
        (source: nativeint, across: Axis, j0: int, j1: int, count: int, target, row: nativeint)
        =
        let offsets = across.Offsets
        let even = count &&& ~~~3
        let mutable j = j0

        while j + 4 <= j1 do
            let s0, s1 = source + nativeint offsets[j] * 4n, source + nativeint offsets[j + 1] * 4n
            let s2, s3 = source + nativeint offsets[j + 2] * 4n, source + nativeint offsets[j + 3] * 4n
            let column = target + nativeint ((j - j0) * 4)
            let mutable i = 0

            while i < even do
                let ahead = nativeint i * 4n
                Pack.Square4(s0 + ahead, s1 + ahead, s2 + ahead, s3 + ahead, column + nativeint i * row, row)
                i <- i + 4

            let rest = column + nativeint even * row
            Pack.Elements(source + nativeint even * 4n, across, j, j + 4, count - even, rest, row, 4)
            j <- j + 4

        Pack.Elements(source, across, j, j1, count, target + nativeint ((j - j0) * 4), row, 4)

    /// The same for elements of 8 bytes.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private Transpose8
        (source: nativeint, across: Axis, j0: int, j1: int, count: int, target, row: nativeint)
        =
        let offsets = across.Offsets
        let even = count &&& ~~~1
        let mutable j = j0

        while j + 2 <= j1 do
            let s0, s1 = source + nativeint offsets[j] * 8n, source + nativeint offsets[j + 1] * 8n
            let column = target + nativeint ((j - j0) * 8)
            let mutable i = 0

            while i < even do
                let ahead = nativeint i * 8n
                Pack.Square2(s0 + ahead, s1 + ahead, column + nativeint i * row, row)
                i <- i + 2

            let rest = column + nativeint even * row
            Pack.Elements(source + nativeint even * 8n, across, j, j + 2, count - even, rest, row, 8)
            j <- j + 2

        Pack.Elements(source, across, j, j1, count, target + nativeint ((j - j0) * 8), row, 8)

    /// As Transpose4 and Transpose8, 64 bytes of columns at a time; the number of columns done.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private TransposeWide
        (source: nativeint, across: Axis, j0: int, j1: int, count: int, target, row: nativeint, size)
        =
        if not Avx512F.IsSupported || not Vector512.IsHardwareAccelerated then
            0
        else
            let columns, square = 64 / size, 16 / size
            let offsets = across.Offsets
            let starts = NativePtr.stackalloc<nativeint> 16
            let even = count - count % square
            let mutable j = j0

            while j + columns <= j1 do
                for k in 0 .. columns - 1 do
                    NativePtr.set starts k (source + nativeint offsets[j + k] * nativeint size)

                let column = target + nativeint ((j - j0) * size)
                let mutable i = 0

                if size = 4 then
                    while i < even do
                        Pack.Wide4(starts, nativeint i * 4n, column + nativeint i * row, row)
                        i <- i + 4
                else
                    while i < even do
                        Pack.Wide2(starts, nativeint i * 8n, column + nativeint i * row, row)
                        i <- i + 2

                let rest = source + nativeint (even * size)
                Pack.Elements(rest, across, j, j + columns, count - even, column + nativeint even * row, row, size)
                j <- j + columns

            j - j0

    /// Blocks of at most 64 k, so that the rows of the panel written again and again stay in the first cache.
    static member private TransposePanel
        (source: nativeint, k: Axis, k0, k1, across: Axis, j0, j1, target, row: nativeint, size)
        =
        let mutable at = k0

        while at < k1 do
            let count = min 64 ((min k1 k.RunEnds[at]) - at)
            let from = source + nativeint k.Offsets[at] * nativeint size
            let block = target + nativeint (at - k0) * row

            if not (Sse2.IsSupported || AdvSimd.Arm64.IsSupported) then
                Pack.Elements(from, across, j0, j1, count, block, row, size)
            else
                let wide = Pack.TransposeWide(from, across, j0, j1, count, block, row, size)
                let block = block + nativeint (wide * size)

                if size = 4 then
                    Pack.Transpose4(from, across, j0 + wide, j1, count, block, row)
                else
                    Pack.Transpose8(from, across, j0 + wide, j1, count, block, row)

            at <- at + count

    /// `count` elements that are `step` bytes apart become adjacent.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Every(source: nativeint, step: nativeint, target: nativeint, count: int, size: int) =
        for i in 0 .. count - 1 do
            Pack.One(source + nativeint i * step, target + nativeint (i * size), size)

    /// Columns m0 .. m1-1 of a matrix, from column m0 on with rows of `width` elements for n0 .. n1-1, to their places.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Scatter
        (
            source: nativeint,
            width: int,
            m0: int,
            m1: int,
            m: Axis,
            n0: int,
            n1: int,
            n: Axis,
            target: nativeint,
            size: int
        ) =
        for i in m0 .. m1 - 1 do
            let into = target + nativeint m.Offsets[i] * nativeint size

            for j in n0 .. n1 - 1 do
                let from = source + nativeint ((j - n0) * width + i - m0) * nativeint size
                Pack.One(from, into + nativeint n.Offsets[j] * nativeint size, size)

    /// The same run of 16 to 192 bytes of every k: whole vectors, the last of which overlaps the one before. No loop in the loop.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private CopyRuns
        (from: nativeint, offsets: int[], k0: int, k1: int, size: int, bytes: int, target: nativeint, row: nativeint)
        =
        let mutable into = target

        if bytes >= 64 then
            let last = nativeint (bytes - 64)

            for at in k0 .. k1 - 1 do
                let here = from + nativeint offsets[at] * nativeint size
                Vector512.Store(Vector512.Load(bytesAt here), bytesAt into)

                if bytes > 128 then Vector512.Store(Vector512.Load(bytesAt (here + 64n)), bytesAt (into + 64n))

                Vector512.Store(Vector512.Load(bytesAt (here + last)), bytesAt (into + last))
                into <- into + row
        elif bytes >= 32 then
            let last = nativeint (bytes - 32)

            for at in k0 .. k1 - 1 do
                let here = from + nativeint offsets[at] * nativeint size
                Vector256.Store(Vector256.Load(bytesAt here), bytesAt into)
                Vector256.Store(Vector256.Load(bytesAt (here + last)), bytesAt (into + last))
                into <- into + row
        else
            let last = nativeint (bytes - 16)

            for at in k0 .. k1 - 1 do
                let here = from + nativeint offsets[at] * nativeint size
                Vector128.Store(Vector128.Load(bytesAt here), bytesAt into)
                Vector128.Store(Vector128.Load(bytesAt (here + last)), bytesAt (into + last))
                into <- into + row

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private CopyPanel
        (source: nativeint, k: Axis, k0, k1, across: Axis, j0, j1, target: nativeint, row: nativeint, size)
        =
        let mutable j = j0

        while j < j1 do
            let stop = min j1 across.RunEnds[j]
            let from = source + nativeint across.Offsets[j] * nativeint size
            let mutable into = target + nativeint ((j - j0) * size)

            let bytes = (stop - j) * size
            let offsets = k.Offsets

            // 32 bytes are a row of the tallest tile of A: worth a loop without inner loops.
            if bytes = 32 && Vector256.IsHardwareAccelerated then
                for at in k0 .. k1 - 1 do
                    let here = from + nativeint offsets[at] * nativeint size
                    Vector256.Store(Vector256.Load(bytesAt here), bytesAt into)
                    into <- into + row
            elif bytes >= 16 && bytes <= 192 && Vector512.IsHardwareAccelerated then
                Pack.CopyRuns(from, offsets, k0, k1, size, bytes, into, row)
            else
                for at in k0 .. k1 - 1 do
                    Pack.CopyInline(from + nativeint offsets[at] * nativeint size, into, bytes)
                    into <- into + row

            j <- stop

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private GatherPanel
        (source: nativeint, k: Axis, k0, k1, across: Axis, j0, j1, target: nativeint, row: nativeint, size)
        =
        for at in k0 .. k1 - 1 do
            let from = source + nativeint k.Offsets[at] * nativeint size
            let into = target + nativeint (at - k0) * row

            for j in j0 .. j1 - 1 do
                Pack.One(from + nativeint across.Offsets[j] * nativeint size, into + nativeint ((j - j0) * size), size)

    /// The transpose of a matrix whose elements lie along k: for each k, elements j0 .. j1-1 side by side; `row` is the way in bytes
    /// from one k's to the next one's.
    static member Transpose
        (source: nativeint, k: Axis, k0: int, k1: int, across: Axis, j0: int, j1: int, target: nativeint, row, size: int) =
        Pack.TransposePanel(source, k, k0, k1, across, j0, j1, target, row, size)

    /// Packs rows k0 .. k1-1 and columns j0 .. j1-1 into a panel of rows of `width` elements.
    static member Panel
        (
            mode: PackMode,
            source: nativeint,
            k: Axis,
            k0: int,
            k1: int,
            across: Axis,
            j0: int,
            j1: int,
            target: nativeint,
            width: int,
            size: int
        ) =
        let row = nativeint (width * size)

        match mode with
        | PackMode.Copy -> Pack.CopyPanel(source, k, k0, k1, across, j0, j1, target, row, size)
        | PackMode.Transpose -> Pack.TransposePanel(source, k, k0, k1, across, j0, j1, target, row, size)
        | PackMode.Gather -> Pack.GatherPanel(source, k, k0, k1, across, j0, j1, target, row, size)

        if j1 - j0 < width then
            let padding = target + nativeint ((j1 - j0) * size)

            for i in 0 .. k1 - k0 - 1 do
                Pack.ZeroBytes(padding + nativeint i * row, (width - (j1 - j0)) * size)
