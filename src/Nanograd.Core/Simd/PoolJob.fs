namespace Nanograd.Simd

open System.Runtime.CompilerServices
open System.Runtime.Intrinsics
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Rows of a plane sorted by the remainder of their place by the stride, so that an element of all windows is a run of memory: phase r
/// holds the places r, r + stride, r + 2 stride, ... of the padded row.
[<Sealed; AbstractClass>]
type internal PhasedRows private () =
    static let at (address: nativeint) (index: int) = NativePtr.ofNativeInt<float32>(address + nativeint index * 4n)

    /// Elements that one vector holds.
    static member Lanes = 8

    static member inline Load(address: nativeint, index: int) : Vector256<float32> =
        Vector256.Load(NativePtr.ofNativeInt<float32>(address + nativeint index * 4n))

    static member inline Store(value: Vector256<float32>, address: nativeint, index: int) =
        Vector256.Store(value, NativePtr.ofNativeInt<float32>(address + nativeint index * 4n))

    /// `count` elements, a multiple of the lanes, become one number.
    static member Fill(address: nativeint, count: int, value: float32) =
        for i in 0 .. PhasedRows.Lanes .. count - 1 do
            PhasedRows.Store(Vector256.Create value, address, i)

    /// Phases of `length` elements, one after the other, from a row of length * stride.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Split(row: nativeint, stride: int, length: int, phases: nativeint) =
        if stride = 2 then
            let odd = phases + nativeint length * 4n

            for j in 0 .. PhasedRows.Lanes .. length - 1 do
                let low = PhasedRows.Load(row, 2 * j).AsUInt64()
                let high = PhasedRows.Load(row, 2 * j + PhasedRows.Lanes).AsUInt64()
                PhasedRows.Store(Vector256.Narrow(low, high).AsSingle(), phases, j)
                let low, high = Vector256.ShiftRightLogical(low, 32), Vector256.ShiftRightLogical(high, 32)
                PhasedRows.Store(Vector256.Narrow(low, high).AsSingle(), odd, j)
        else
            for r in 0 .. stride - 1 do
                for j in 0 .. length - 1 do
                    NativePtr.write (at phases (r * length + j)) (NativePtr.read (at row (j * stride + r)))

    /// The row of these phases.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Join(phases: nativeint, stride: int, length: int, row: nativeint) =
        if stride = 2 then
            let odd = phases + nativeint length * 4n

            for j in 0 .. PhasedRows.Lanes .. length - 1 do
                let even, odd = PhasedRows.Load(phases, j).AsUInt32(), PhasedRows.Load(odd, j).AsUInt32()
                let low, high = Vector256.WidenLower even, Vector256.WidenUpper even
                let low = low ||| Vector256.ShiftLeft(Vector256.WidenLower odd, 32)
                let high = high ||| Vector256.ShiftLeft(Vector256.WidenUpper odd, 32)
                PhasedRows.Store(low.AsSingle(), row, 2 * j)
                PhasedRows.Store(high.AsSingle(), row, 2 * j + PhasedRows.Lanes)
        else
            for r in 0 .. stride - 1 do
                for j in 0 .. length - 1 do
                    NativePtr.write (at row (j * stride + r)) (NativePtr.read (at phases (r * length + j)))

/// The loops over a row of windows.
[<Sealed; AbstractClass>]
type internal PoolRows private () =

    /// The largest elements; element t of window j is at taps[t] + j. Where `places` is not null, also their numbers.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Max(taps: nativeptr<nativeint>, count: int, windows: int, values: nativeint, places: nativeint) =
        for j in 0 .. PhasedRows.Lanes .. windows - 1 do
            let mutable best = PhasedRows.Load(NativePtr.read taps, j)
            let mutable place = Vector256<float32>.Zero

            for t in 1 .. count - 1 do
                let x = PhasedRows.Load(NativePtr.get taps t, j)
                let wins = Vector256.GreaterThan(x, best) ||| Vector256.OnesComplement(Vector256.Equals(x, x))
                best <- Vector256.ConditionalSelect(wins, x, best)

                if places <> 0n then place <- Vector256.ConditionalSelect(wins, Vector256.Create(t).AsSingle(), place)

            PhasedRows.Store(best, values, j)
            if places <> 0n then PhasedRows.Store(place, places, j)

    /// The sums, in the order of the taps.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Sum(taps: nativeptr<nativeint>, count: int, windows: int, values: nativeint) =
        for j in 0 .. PhasedRows.Lanes .. windows - 1 do
            let mutable sum = PhasedRows.Load(NativePtr.read taps, j)

            for t in 1 .. count - 1 do
                sum <- sum + PhasedRows.Load(NativePtr.get taps t, j)

            PhasedRows.Store(sum, values, j)

    /// Adds to one phase of a row what windows hand back: their cotangents where tap `numbers[t]` is the chosen one, for the windows
    /// `backs[t]` before place j. Without places, every tap is.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Share
        (
            numbers: nativeptr<int>,
            backs: nativeptr<int>,
            count: int,
            start: float32,
            cotangents: nativeint,
            places: nativeint,
            length: int,
            phase: nativeint
        ) =
        for j in 0 .. PhasedRows.Lanes .. length - 1 do
            let mutable sum = Vector256.Create start

            for t in 0 .. count - 1 do
                let from = j - NativePtr.get backs t
                let c = PhasedRows.Load(cotangents, from)

                if places = 0n then
                    sum <- sum + c
                else
                    let place = PhasedRows.Load(places, from).AsInt32()
                    let wins = Vector256.Equals(place, Vector256.Create(NativePtr.get numbers t))
                    sum <- sum + (c.AsInt32() &&& wins).AsSingle()

            PhasedRows.Store(PhasedRows.Load(phase, j) + sum, phase, j)

/// Pooling or its gradient at work, some planes a part. The rows that a row of windows covers are in a ring, by their place in the padded
/// plane.
[<Sealed>]
type internal PoolJob(p: Pool, buffers: nativeint[]) =
    inherit Job()
    let down, across = p.Down, p.Across
    let stride, count = across.Stride, down.Size * across.Size
    let isGradient = Pool.isGradient p
    /// How many windows earlier the first window of an element may start.
    let back = across.Dilation * (across.Size - 1) / stride
    let used = across.Windows + back
    let round n = (n + PhasedRows.Lanes - 1) / PhasedRows.Lanes * PhasedRows.Lanes
    let length = round used + 2 * PhasedRows.Lanes
    let ring = down.Span
    let rowBytes = nativeint (length * stride) * 4n
    let bytes n = nativeint n * 4n
    /// Of the padded axes, what windows cover.
    let covered (a: PoolAxis) = (a.Windows - 1) * a.Stride + a.Span
    let padding = if p.IsMax then -infinityf else 0.0f
    // +0 + -0 is +0, and the only share of an element is what it is.
    let start = if p.IsMax && Pool.isSideBySide p then -0.0f else 0.0f
    let parts = min p.Planes (8 * Threads.Count)
    /// Cotangents and places have as many elements before them as windows reach back.
    let before = round back
    let sideBytes = bytes (before + length + PhasedRows.Lanes)
    let scratch = 2L * int64 (nativeint ring * rowBytes) + int64 rowBytes * 2L + 3L * int64 sideBytes

    /// The taps of each phase, the last first, so that windows add up in their order: numbers and windows back.
    let shares =
        Array.init stride (fun r ->
            [| for k in across.Size - 1 .. -1 .. 0 do
                   let place = k * across.Dilation
                   if place % stride = r then struct (k, place / stride) |])

    let isInside row = row >= down.Padding && row < down.Padding + down.Extent

    /// A padded row to its place in the ring, through `line`, whose ends stay as they are.
    let load (source: nativeint) (line: nativeint) (rows: nativeint) (row: int) =
        let target = rows + nativeint (row % ring) * rowBytes

        if isInside row then
            let from = source + bytes ((row - down.Padding) * across.Extent)
            let room = min across.Extent (length * stride - across.Padding)
            let into = if stride = 1 then target else line
            Pack.CopyBytes(from, into + bytes across.Padding, int (bytes room))
            if stride > 1 then PhasedRows.Split(line, stride, length, target)
        else
            PhasedRows.Fill(target, length * stride, padding)

    /// Where the elements of a row of windows are.
    let tapsOf (taps: nativeptr<nativeint>) (rows: nativeint) y =
        for i in 0 .. down.Size - 1 do
            let row = rows + nativeint ((y * down.Stride + i * down.Dilation) % ring) * rowBytes

            for j in 0 .. across.Size - 1 do
                let place = j * across.Dilation
                NativePtr.set taps (i * across.Size + j) (row + bytes (place % stride * length + place / stride))

    /// Loads what a row of windows needs and the ones before it did not.
    let loadFor source line rows y =
        let first = if y = 0 then 0 else max (y * down.Stride) ((y - 1) * down.Stride + down.Span)

        for row in first .. y * down.Stride + down.Span - 1 do
            load source line rows row

    let forward (memory: nativeint) (source: nativeint) (target: nativeint) =
        let line = memory + nativeint ring * rowBytes
        let values = line + rowBytes
        let taps = NativePtr.stackalloc<nativeint> count

        for y in 0 .. down.Windows - 1 do
            loadFor source line memory y
            tapsOf taps memory y

            if p.IsMax then
                PoolRows.Max(taps, count, across.Windows, values, 0n)
            else
                PoolRows.Sum(taps, count, across.Windows, values)

            Pack.CopyBytes(values, target + bytes (y * across.Windows), int (bytes across.Windows))

    /// A finished row of the gradient to where it belongs.
    let flush (sums: nativeint) (line: nativeint) (target: nativeint) row =
        let phases = sums + nativeint (row % ring) * rowBytes

        if isInside row then
            let into = target + bytes ((row - down.Padding) * across.Extent)
            if stride > 1 then PhasedRows.Join(phases, stride, length, line)
            let known = max 0 (min across.Extent (covered across - across.Padding))
            Pack.CopyBytes((if stride > 1 then line else phases) + bytes across.Padding, into, int (bytes known))
            Pack.ZeroBytes(into + bytes known, int (bytes (across.Extent - known)))

        PhasedRows.Fill(phases, length * stride, start)

    /// What a row of windows hands back to the rows that it covers.
    let share (sums: nativeint) (cotangents: nativeint) (places: nativeint) y =
        let numbers, backs = NativePtr.stackalloc<int> across.Size, NativePtr.stackalloc<int> across.Size

        for i in 0 .. down.Size - 1 do
            let phases = sums + nativeint ((y * down.Stride + i * down.Dilation) % ring) * rowBytes

            for r in 0 .. stride - 1 do
                let own = shares[r]

                for t in 0 .. own.Length - 1 do
                    let struct (k, windows) = own[t]
                    NativePtr.set numbers t (i * across.Size + k)
                    NativePtr.set backs t windows

                if own.Length > 0 then
                    let phase = phases + bytes (r * length)
                    PoolRows.Share(numbers, backs, own.Length, start, cotangents, places, used, phase)

    let backward (memory: nativeint) (source: nativeint) (given: nativeint) (target: nativeint) =
        let sums = memory + nativeint ring * rowBytes
        let line = sums + nativeint ring * rowBytes
        let joined = line + rowBytes
        let cotangents = joined + rowBytes + bytes before
        let places, values = cotangents + sideBytes, cotangents + 2n * sideBytes
        let taps = NativePtr.stackalloc<nativeint> count
        // Behind the last window as before the first: nothing is handed back.
        PhasedRows.Fill(cotangents - bytes before, before + length, 0.0f)
        PhasedRows.Fill(places - bytes before, before + length, 0.0f)
        PhasedRows.Fill(sums, ring * length * stride, start)

        for y in 0 .. down.Windows - 1 do
            if p.IsMax then
                loadFor source line memory y
                tapsOf taps memory y
                PoolRows.Max(taps, count, across.Windows, values, places)

            Pack.CopyBytes(given + bytes (y * across.Windows), cotangents, int (bytes across.Windows))
            share sums cotangents (if p.IsMax then places else 0n) y
            let isLast = y = down.Windows - 1

            for row in y * down.Stride .. (if isLast then covered down else (y + 1) * down.Stride) - 1 do
                flush sums joined target row

        let known = max 0 (min down.Extent (covered down - down.Padding))
        let rest = (down.Extent - known) * across.Extent
        Pack.ZeroBytes(target + bytes (known * across.Extent), int (bytes rest))

    member _.Parts = parts

    override _.Run part =
        let memory = ThreadScratch.Take scratch
        let plane (a: int) = nativeint (down.Extent * across.Extent * a) * 4n
        let windows (a: int) = nativeint (down.Windows * across.Windows * a) * 4n
        let source = if p.Source < 0 then 0n else buffers[p.Source]
        PhasedRows.Fill(
            memory,
            int (int64 (if isGradient then 2 * ring + 1 else ring + 1) * int64 (length * stride)),
            padding
        )

        for a in p.Planes * part / parts .. p.Planes * (part + 1) / parts - 1 do
            if isGradient then
                backward memory (source + plane a) (buffers[p.Cotangent] + windows a) (buffers[p.Result] + plane a)
            else
                forward memory (source + plane a) (buffers[p.Result] + windows a)
