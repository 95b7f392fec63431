namespace Nanograd.Simd

open System
open System.Numerics
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Copies between buffers.
[<RequireQualifiedAccess>]
module internal Move =
    let copy (source: nativeint) (target: nativeint) (bytes: int64) =
        Buffer.MemoryCopy(
            NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> source),
            NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> target),
            bytes,
            bytes
        )

    /// All of one buffer to another, unless they are the same memory.
    let whole (buffers: nativeint[]) (source: int) (target: int) (buffer: PlanBuffer) =
        if buffers[source] <> buffers[target] then
            copy buffers[source] buffers[target] (int64 buffer.Length * int64 (DType.size buffer.DType))

    let integer (dtype: DType) (at: nativeint) (i: int) : int64 =
        if dtype = DType.I64 then
            NativePtr.get (NativePtr.ofNativeInt<int64> at) i
        else
            int64 (NativePtr.get (NativePtr.ofNativeInt<int> at) i)

    /// The update's rows to their places.
    let box (u: Update) (starts: DType[]) (buffers: nativeint[]) =
        let rank = u.Shape.Length
        // Axes that the box fills are one with what is inside them.
        let mutable inner = rank - 1
        while inner > 0 && u.Box[inner] = u.Shape[inner] do
            inner <- inner - 1
        let size = int64 (DType.size u.DType)
        let strides = Shape.strides u.Shape
        let mutable origin = 0L
        for d in 0 .. rank - 1 do
            origin <- origin + integer starts[d] buffers[u.Starts[d]] 0 * int64 strides[d]
        let outer = Array.truncate (max 0 inner) u.Box
        let rows = Array.fold (*) 1 outer
        let run = Array.fold (fun n e -> n * int64 e) 1L u.Box[max 0 inner ..]
        for row in 0 .. rows - 1 do
            let mutable rest, place = row, origin
            for d in outer.Length - 1 .. -1 .. 0 do
                place <- place + int64 (rest % outer[d]) * int64 strides[d]
                rest <- rest / outer[d]
            copy
                (buffers[u.Update] + nativeint (int64 row * run * size))
                (buffers[u.Result] + nativeint (place * size))
                (run * size)

/// Indices are checked before anything is written.
[<RequireQualifiedAccess>]
module internal Checks =
    let run (c: Check) (dtype: DType) (count: int) (buffers: nativeint[]) =
        let limit = uint64 (max 0L (int64 c.Size - int64 c.Taken + 1L))
        for i in 0 .. count - 1 do
            let index = Move.integer dtype buffers[c.Indices] i
            if uint64 index >= limit then raise (IndexException(c.Operation, index, c.Size, c.Taken))

/// Rows added to a table at places that are data. A part is a range of columns of all tables together, so that each element
/// has one adder, which goes through the updates in their order.
[<Sealed>]
type internal ScatterJob<'T
    when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> INumber<'T>>
    (s: Scatter, indexType: DType, parts: int, buffers: nativeint[]) =
    inherit Job()

    let addRow (target: nativeptr<'T>) (update: nativeptr<'T>) (count: int) =
        let width = Vector<'T>.Count
        let mutable c = 0
        while c + width <= count do
            let sum = Vector.Load(NativePtr.add target c) + Vector.Load(NativePtr.add update c)
            Vector.Store(sum, NativePtr.add target c)
            c <- c + width
        while c < count do
            NativePtr.set target c ('T.op_Addition (NativePtr.get target c, NativePtr.get update c))
            c <- c + 1

    override _.Run(part) =
        let all = int64 s.Batches * int64 s.Outer * int64 s.Inner
        let from, until = all * int64 part / int64 parts, all * int64 (part + 1) / int64 parts
        let target, updates = NativePtr.ofNativeInt<'T> buffers[s.Result], NativePtr.ofNativeInt<'T> buffers[s.Updates]
        let mutable at = from
        while at < until do
            let table = int (at / int64 s.Inner)
            let column = int (at % int64 s.Inner)
            let count = int (min (until - at) (int64 (s.Inner - column)))
            let picks = table / s.Outer * s.Count
            for j in 0 .. s.Count - 1 do
                let index = int (Move.integer indexType buffers[s.Indices] (picks + j))
                addRow
                    (NativePtr.add target ((table * s.Size + index) * s.Inner + column))
                    (NativePtr.add updates ((table * s.Count + j) * s.Inner + column))
                    count
            at <- at + int64 count

[<RequireQualifiedAccess>]
module internal ScatterJob =
    let parts (s: Scatter) : int =
        let columns = int64 s.Batches * int64 s.Outer * int64 s.Inner
        if columns * int64 s.Count < 20_000L then 1 else int (max 1L (min (columns / 16L) (int64 Threads.Count)))

    let make (s: Scatter) (indexType: DType) (buffers: nativeint[]) : Job =
        OnNumber.on
            s.DType
            { new OnNumber<Job> with
                member _.Of<'T
                    when 'T: unmanaged
                    and 'T: struct
                    and 'T: (new: unit -> 'T)
                    and 'T :> ValueType
                    and 'T :> INumber<'T>>
                    ()
                    =
                    ScatterJob<'T>(s, indexType, parts s, buffers) :> Job }

/// Overlapping windows added back: every element collects what the windows that cover it hold, window after window.
[<Sealed>]
type internal FoldJob<'T
    when 'T: unmanaged and 'T: struct and 'T: (new: unit -> 'T) and 'T :> ValueType and 'T :> INumber<'T>>
    (f: FoldWindows, parts: int, buffers: nativeint[]) =
    inherit Job()
    let w = f.Window

    override _.Run(part) =
        let rows = int64 f.Outer * int64 f.Length
        let from, until = rows * int64 part / int64 parts, rows * int64 (part + 1) / int64 parts
        let source, target = NativePtr.ofNativeInt<'T> buffers[f.Source], NativePtr.ofNativeInt<'T> buffers[f.Result]
        for row in from .. until - 1L do
            let o, l = int (row / int64 f.Length), int (row % int64 f.Length)
            let into = NativePtr.add target (int row * f.Inner)
            for i in 0 .. f.Inner - 1 do
                NativePtr.set into i 'T.Zero
            // The first window whose span reaches l, and the last that starts at or before it.
            let first = max 0 ((l - (w.Size - 1) * w.Dilation + w.Step - 1) / w.Step)
            for window in first .. min (f.Windows - 1) (l / w.Step) do
                let inside = l - window * w.Step
                if inside % w.Dilation = 0 then
                    let mutable from = ((o * f.Windows + window) * f.Inner) * w.Size + inside / w.Dilation
                    for i in 0 .. f.Inner - 1 do
                        NativePtr.set into i ('T.op_Addition (NativePtr.get into i, NativePtr.get source from))
                        from <- from + w.Size

[<RequireQualifiedAccess>]
module internal FoldJob =
    let parts (f: FoldWindows) : int =
        let rows = int64 f.Outer * int64 f.Length
        if rows * int64 f.Inner < 10_000L then 1 else int (min rows (int64 (4 * Threads.Count)))

    let make (f: FoldWindows) (buffers: nativeint[]) : Job =
        OnNumber.on
            f.DType
            { new OnNumber<Job> with
                member _.Of<'T
                    when 'T: unmanaged
                    and 'T: struct
                    and 'T: (new: unit -> 'T)
                    and 'T :> ValueType
                    and 'T :> INumber<'T>>
                    ()
                    =
                    FoldJob<'T>(f, parts f, buffers) :> Job }
