namespace Nanograd.Simd

open System
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Scratch memory of the calling thread, grown as needed and kept.
[<AbstractClass; Sealed>]
type internal ThreadScratch private () =
    [<ThreadStatic; DefaultValue>]
    static val mutable private block: Block

    static member Take(bytes: int64) : nativeint =
        if isNull ThreadScratch.block || ThreadScratch.block.Bytes < bytes then
            ThreadScratch.block <- Buffers.block (bytes + 4096L)
        ThreadScratch.block.Pointer

/// A loop nest on the buffers of one run: what its code is given.
[<Sealed>]
type internal NestOnBuffers(loop: Loop, buffers: nativeint[], note: nativeint) =
    let code = NestCompiler.get loop.Nest
    let arguments = loop.Nest.Arguments.Length
    let axes = loop.Extents.Length
    let rows = if axes >= 2 then int64 loop.Extents[axes - 2] else 1L
    let outer = loop.Extents |> Seq.truncate (max 0 (axes - 2)) |> Seq.fold (fun n e -> n * int64 e) 1L
    let sizes =
        loop.Nest.Arguments |> Array.map (fun a -> if a.Access = Access.Count then 1L else int64 (DType.size a.DType))
    let scalars =
        loop.Scalars
        |> Array.map (fun c ->
            match c.DType with
            | DType.F32
            | DType.F16
            | DType.BF16 -> int64 (BitConverter.SingleToUInt32Bits(float32 c.Float))
            | DType.F64
            | DType.I64
            | DType.I32
            | DType.U32
            | DType.U8
            | DType.I8
            | DType.Bool -> int64 c.Bits)

    member _.Code = code
    member _.Length = int64 loop.Extents[axes - 1]
    member _.Rows = rows
    /// How often the two inner loops run.
    member _.Outer = outer

    /// How many threads the work is enough for: below this, waking another one costs more than it saves.
    member n.Threads =
        if outer * rows * n.Length * int64 (max 4 loop.Nest.Values.Length) < 60_000L then 1 else Threads.Count

    /// Words of the frame through which the code gets everything.
    member _.FrameSize = Frame.size arguments scalars.Length

    /// Fills in what is the same for all calls.
    member _.Prepare(frame: nativeptr<int64>, scratch: nativeint) =
        NativePtr.set frame Frame.scratch (int64 scratch)
        NativePtr.set frame Frame.note (int64 note)
        for a in 0 .. arguments - 1 do
            let strides = loop.Operands[a].Form.Strides
            NativePtr.set
                frame
                (Frame.rowStrides arguments + a)
                (if axes >= 2 then int64 strides[axes - 2] * sizes[a] else 0L)
            NativePtr.set frame (Frame.strides arguments + a) (int64 strides[axes - 1] * sizes[a])
        for i in 0 .. scalars.Length - 1 do
            NativePtr.set frame (Frame.scalars arguments + i) scalars[i]

    /// Fills in where each argument starts for outer index `o`, row `r` and inner index `c`, and how many rows and elements follow.
    member _.Place(frame: nativeptr<int64>, o: int64, r: int64, c: int64, count: int64, length: int64) =
        NativePtr.set frame Frame.rows count
        NativePtr.set frame Frame.length length
        for a in 0 .. arguments - 1 do
            let form = loop.Operands[a].Form
            let mutable position = int64 form.Offset + c * int64 form.Strides[axes - 1]
            if axes >= 2 then position <- position + r * int64 form.Strides[axes - 2]
            let mutable rest = o
            for d in axes - 3 .. -1 .. 0 do
                let e = int64 loop.Extents[d]
                position <- position + rest % e * int64 form.Strides[d]
                rest <- rest / e
            let b = loop.Operands[a].Buffer
            NativePtr.set frame (Frame.bases + a) (if b < 0 then position else int64 buffers[b] + position * sizes[a])

    /// Runs some rows from a row-major position on, `inner` elements of each. They must lie in one row of the outer axes. Allocates nothing.
    member n.RunFrom(position: int64, count: int64, inner: int64) =
        let frame = NativePtr.stackalloc<int64> n.FrameSize
        n.Prepare(frame, ThreadScratch.Take(code.Scratch n.Length))
        let row = position / n.Length
        n.Place(frame, row / rows, row % rows, position % n.Length, count, inner)
        code.Code.Invoke(NativePtr.toNativeInt frame)

/// A nest of rows at work: parts are ranges of rows, or of elements of all rows.
[<Sealed>]
type internal RowsJob(nest: NestOnBuffers) =
    inherit Job()
    let code, rows, length, outer = nest.Code, nest.Rows, nest.Length, nest.Outer
    let wanted = nest.Threads
    /// Cut along the inner axis, where that is allowed and there are too few rows to share.
    let cutInner = code.Divisible && outer * rows < 4L * int64 wanted && length >= 256L
    let units = if cutInner then (length + 63L) / 64L else outer * rows
    let parts = int (min units (if wanted = 1 then 1L else int64 (wanted * (if cutInner || units < 64L then 1 else 4))))

    member _.Parts = parts

    override _.Run(part) =
        let frame = NativePtr.stackalloc<int64> nest.FrameSize
        nest.Prepare(frame, ThreadScratch.Take(code.Scratch length))
        let from, until = units * int64 part / int64 parts, units * int64 (part + 1) / int64 parts
        if cutInner then
            let c0, c1 = min length (from * 64L), min length (until * 64L)
            if c1 > c0 then
                for o in 0L .. outer - 1L do
                    nest.Place(frame, o, 0L, c0, rows, c1 - c0)
                    code.Code.Invoke(NativePtr.toNativeInt frame)
        else
            let mutable at = from
            while at < until do
                let o, r = at / rows, at % rows
                let count = min (rows - r) (until - at)
                nest.Place(frame, o, r, 0L, count, length)
                code.Code.Invoke(NativePtr.toNativeInt frame)
                at <- at + count

/// A nest of columns at work. A unit is a chunk of the columns under one outer index, narrow enough for its sums to stay in the cache.
/// Parts are ranges of units or, where those are few, groups of blocks of rows in every unit.
[<Sealed>]
type internal ColumnsJob(nest: NestOnBuffers) =
    inherit Job()
    let code, rows, length, outer = nest.Code, nest.Rows, nest.Length, nest.Outer
    let wanted = int64 nest.Threads
    let blockRows = 256L
    let blocks = (rows + blockRows - 1L) / blockRows
    let chunk =
        let largest = max 64L (2048L / int64 code.Reductions / 64L * 64L)
        // Columns are shared first, down to chunks that memory still gives at full speed.
        let each = (length * outer + wanted - 1L) / wanted
        min largest (max 512L ((each + 63L) / 64L * 64L))
    let chunks = (length + chunk - 1L) / chunk
    let units = outer * chunks
    let isShared = units < wanted && blocks > 1L
    /// Groups of a power of two of blocks are whole subtrees, so that their sums are what the tree over all blocks takes.
    let groupBlocks =
        if isShared then
            1L <<< (62 - Numerics.BitOperations.LeadingZeroCount(uint64 (2L * blocks / wanted)))
        else
            blocks
    let groups = (blocks + groupBlocks - 1L) / groupBlocks
    let parts = if isShared then groups else min units (if wanted = 1L then 1L else 4L * wanted)
    /// Sums of one reduction, with room for the last vector; and of all.
    let sumsStride = 8L * ((min chunk length + 63L) / 64L * 64L)
    let sumsBytes = sumsStride * int64 code.Reductions
    /// Sums that wait to be merged: at most one for each size of subtree, and one more.
    let waiting = int64 (66 - Numerics.BitOperations.LeadingZeroCount(uint64 (max groups groupBlocks)))
    let scratch = (code.Scratch 0L + 63L) / 64L * 64L
    /// The sums of all groups, when threads share a unit.
    let shared = if isShared then Buffers.block (units * groups * sumsBytes) else null

    /// Merges the sums in `slots` as the tree does, after its leaf `leaf` was put on top; afterwards, everything if it was the last.
    let settle (frame: nativeptr<int64>) (slots: int64) (top: int64) (leaf: int64) (isLast: bool) : int64 =
        let mutable top, number = top, leaf + 1L
        while top > 1L && (number % 2L = 0L || isLast) do
            NativePtr.set frame Frame.sums (slots + (top - 2L) * sumsBytes)
            NativePtr.set frame Frame.others (slots + (top - 1L) * sumsBytes)
            code.Merge.Invoke(NativePtr.toNativeInt frame)
            top <- top - 1L
            number <- number / 2L
        top

    let width (c: int64) = min chunk (length - c)

    /// The sums of some blocks of a unit, left in the first slot.
    let sum (frame: nativeptr<int64>) (slots: int64) (o: int64) (c: int64) (first: int64) (last: int64) =
        let mutable top = 0L
        for b in first..last do
            nest.Place(frame, o, b * blockRows, c, min blockRows (rows - b * blockRows), width c)
            NativePtr.set frame Frame.sums (slots + top * sumsBytes)
            code.Code.Invoke(NativePtr.toNativeInt frame)
            top <- settle frame slots (top + 1L) (b - first) (b = last)

    let finish (frame: nativeptr<int64>) (sums: int64) (o: int64) (c: int64) =
        nest.Place(frame, o, 0L, c, 1L, width c)
        NativePtr.set frame Frame.sums sums
        code.Finish.Invoke(NativePtr.toNativeInt frame)

    /// Where the sums of a group are.
    let slot (u: int64) (group: int64) = int64 shared.Pointer + (u * groups + group) * sumsBytes

    member _.Parts = int parts

    override _.Run(part) =
        let frame = NativePtr.stackalloc<int64> nest.FrameSize
        let memory = ThreadScratch.Take(scratch + waiting * sumsBytes)
        nest.Prepare(frame, memory)
        NativePtr.set frame Frame.sumsStride sumsStride
        let slots = int64 memory + scratch
        if isShared then
            let first = int64 part * groupBlocks
            let last = min blocks (first + groupBlocks) - 1L
            for u in 0L .. units - 1L do
                sum frame slots (u / chunks) (u % chunks * chunk) first last
                Buffer.MemoryCopy(
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(nativeint slots)),
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(nativeint (slot u (int64 part)))),
                    sumsBytes,
                    sumsBytes
                )
        else
            for u in units * int64 part / parts .. units * int64 (part + 1) / parts - 1L do
                let o, c = u / chunks, u % chunks * chunk
                sum frame slots o c 0L (blocks - 1L)
                finish frame slots o c

    /// Merges what the parts left, where they shared units.
    member _.Complete() =
        if isShared then
            let frame = NativePtr.stackalloc<int64> nest.FrameSize
            nest.Prepare(frame, ThreadScratch.Take scratch)
            NativePtr.set frame Frame.sumsStride sumsStride
            for u in 0L .. units - 1L do
                let o, c = u / chunks, u % chunks * chunk
                nest.Place(frame, o, 0L, c, 1L, width c)
                // Groups are merged where they lie: neighbours, and then neighbours of those.
                let mutable step = 1L
                while step < groups do
                    for g in 0L .. 2L * step .. groups - step - 1L do
                        NativePtr.set frame Frame.sums (slot u g)
                        NativePtr.set frame Frame.others (slot u (g + step))
                        code.Merge.Invoke(NativePtr.toNativeInt frame)
                    step <- 2L * step
                finish frame (slot u 0L) o c

/// Runs a product's epilogue over each part of the result that is finished, on the thread that computed it.
[<Sealed>]
type internal EpilogueTile(loop: Loop, offsets: int[][], buffers: nativeint[], note: nativeint) =
    inherit Tile()
    let nest = NestOnBuffers(loop, buffers, note)
    let axes = loop.Extents.Length
    let rows, length = loop.Extents[axes - 2], loop.Extents[axes - 1]
    let batches, down, across = offsets[0], offsets[1], offsets[2]
    // Where the next place is not the neighbour.
    let runEnds = (Axis across).RunEnds
    let isEven = (Axis down).IsRegular && (down.Length < 2 || down[1] - down[0] = length)

    /// Elements from a position on, cut where a row of the loop ends.
    let rec run (position: int) (count: int) =
        let inRow = min count (length - position % length)
        nest.RunFrom(int64 position, 1L, int64 inRow)
        if inRow < count then run (position + inRow) (count - inRow)

    /// Rows m0 .. m1-1 of `width` elements from column n on: as many at once as are neighbours in the loop.
    let rec runRows (start: int) (m0: int) (m1: int) (width: int) =
        if m0 < m1 then
            let position = start + down[m0]
            if isEven && position % length + width <= length then
                let height = min (m1 - m0) (rows - position / length % rows)
                nest.RunFrom(int64 position, int64 height, int64 width)
                runRows start (m0 + height) m1 width
            else
                run position width
                runRows start (m0 + 1) m1 width

    override _.Finish(batch, m0, m1, n0, n1) =
        let mutable n = n0
        while n < n1 do
            let stop = min n1 runEnds[n]
            runRows (batches[batch] + across[n]) m0 m1 (stop - n)
            n <- stop

/// A matrix product at work in one run.
[<Sealed>]
type internal ProductJob(product: Nanograd.Product, buffers: nativeint[], note: nativeint) =
    let element =
        match product.DType with
        | DType.F64 -> Element.F64
        | DType.F32 -> Element.F32
        | DType.I64 -> Element.I64
        | DType.I32 -> Element.I32
        | DType.U32 -> Element.U32
        | DType.U8 -> Element.U8
        | DType.I8 -> Element.I8
        | DType.F16
        | DType.BF16
        | DType.Bool -> invalidOp $"products of {product.DType} are computed in another type"
    let view (t: int[][]) : View = { Batch = t[0]; Rows = t[1]; Columns = t[2] }
    let plan =
        Gemm.plan
            { Element = element
              M = product.ResultOffsets[1].Length
              N = product.ResultOffsets[2].Length
              K = product.LeftOffsets[2].Length
              Batches = product.ResultOffsets[0].Length
              A = view product.LeftOffsets
              B = view product.RightOffsets
              C = view product.ResultOffsets }

    let tile: Tile =
        match product.Epilogue with
        | ValueSome loop -> EpilogueTile(loop, product.ResultOffsets, buffers, note)
        | ValueNone -> null

    member _.Run() = Gemm.runWith tile plan buffers[product.Left] buffers[product.Right] buffers[product.Result]
