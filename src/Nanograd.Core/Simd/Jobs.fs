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

    /// The results with one element after the other.
    let streamed =
        [| for a in 0 .. arguments - 1 do
               let argument = loop.Nest.Arguments[a]
               if argument.Access = Access.Write && argument.Advance = Advance.Next then a |]

    member _.Code = code
    member _.Length = int64 loop.Extents[axes - 1]
    member _.Rows = rows
    /// How often the two inner loops run.
    member _.Outer = outer

    /// How many threads the work is enough for: below this, waking another one costs more than it saves.
    member n.Threads =
        if outer * rows * n.Length * int64 (max 4 loop.Nest.Values.Length) < 60_000L then 1 else Threads.Count

    /// Results of more bytes than that are not found in the caches by whoever reads them next.
    static member val StreamsFrom = 16L <<< 20 with get, set

    /// The code that stores a result past the cache, or none; results in some buffers stay in the cache in any case. Only where rows start
    /// at multiples of 64 bytes if the first one does, and for one result: three at once took a quarter longer than through the cache.
    member n.Streaming(cached: int[]) : NestCode =
        let streamed = streamed |> Array.filter (fun a -> not (Array.contains loop.Operands[a].Buffer cached))
        let aligned a =
            let strides, last = loop.Operands[a].Form.Strides, axes - 1
            Array.forall (fun d -> d = last || int64 strides[d] * sizes[a] % 64L = 0L) [| 0..last |]
        let bytes = streamed |> Array.sumBy (fun a -> outer * rows * n.Length * sizes[a])
        let isLarge = bytes >= NestOnBuffers.StreamsFrom
        if streamed.Length = 1 && code.Lanes > 1 && isLarge && aligned streamed[0] then
            code.Stream streamed[0]
        else
            null

    /// Do these results of a placed frame start at multiples of 64 bytes?
    member _.IsAligned(frame: nativeptr<int64>) =
        let mutable aligned = true
        for a in streamed do
            if NativePtr.get frame (Frame.bases + a) % 64L <> 0L then aligned <- false
        aligned

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

    /// Where an argument is (or the number that it counts) at outer index `o`, row `r` and inner index `c`.
    member _.Address(a: int, o: int64, r: int64, c: int64) : int64 =
        let form = loop.Operands[a].Form
        let mutable position = int64 form.Offset + c * int64 form.Strides[axes - 1]
        if axes >= 2 then position <- position + r * int64 form.Strides[axes - 2]
        let mutable rest = o
        for d in axes - 3 .. -1 .. 0 do
            let e = int64 loop.Extents[d]
            position <- position + rest % e * int64 form.Strides[d]
            rest <- rest / e
        let b = loop.Operands[a].Buffer
        if b < 0 then position else int64 buffers[b] + position * sizes[a]

    /// Fills in where each argument starts, and how many rows and elements follow.
    member n.Place(frame: nativeptr<int64>, o: int64, r: int64, c: int64, count: int64, length: int64) =
        NativePtr.set frame Frame.rows count
        NativePtr.set frame Frame.length length
        for a in 0 .. arguments - 1 do
            NativePtr.set frame (Frame.bases + a) (n.Address(a, o, r, c))

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
    let stream = nest.Streaming [||]

    let call (frame: nativeptr<int64>) =
        let chosen = if isNull stream || not (nest.IsAligned frame) then code.Code else stream
        chosen.Invoke(NativePtr.toNativeInt frame)

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
                    call frame
        else
            let mutable at = from
            while at < until do
                let o, r = at / rows, at % rows
                let count = min (rows - r) (until - at)
                nest.Place(frame, o, r, 0L, count, length)
                call frame
                at <- at + count

/// Operands of a loop that lie across it: their elements follow each other along another loop than the innermost.
[<NoComparison>]
type internal Crossing =
    {
        /// The loop with that other one just around the innermost.
        Loop: Loop
        /// The loop when those operands are turned over: along the innermost loop, too.
        Turned: Loop
        Arguments: int[]
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal Crossing =
    let private least = 8

    /// The operands that lie across a loop of elementwise work, if there are some.
    let find (loop: Loop) : Crossing voption =
        let axes, nest = loop.Extents.Length, loop.Nest
        let hasLookups =
            nest.Values
            |> Array.exists (fun v ->
                match v.Term with
                | Term.LoadAt _ -> true
                | _ -> false)
        let along a =
            let argument, strides = nest.Arguments[a], loop.Operands[a].Form.Strides
            if argument.Access = Access.Read && argument.Advance = Advance.Strided then
                [ 0 .. axes - 2 ] |> List.tryFind (fun d -> strides[d] = 1 && loop.Extents[d] >= least)
            else
                None
        let code = lazy (NestCompiler.get nest)
        match [ 0 .. nest.Arguments.Length - 1 ] |> List.tryPick along with
        | Some axis when
            not hasLookups && loop.Extents[axes - 1] >= least && code.Value.Divisible && code.Value.Lanes > 1
            ->
            let order =
                [| for d in 0 .. axes - 2 do
                       if d <> axis then d
                   axis
                   axes - 1 |]
            let reorder (xs: int[]) = order |> Array.map (fun d -> xs[d])
            let operands =
                loop.Operands |> Array.map (fun o -> { o with Form = { o.Form with Strides = reorder o.Form.Strides } })
            let ordered = { loop with Extents = reorder loop.Extents; Operands = operands }
            let crossing = [| 0 .. nest.Arguments.Length - 1 |] |> Array.filter (fun a -> along a = Some axis)
            let isCrossing a = Array.contains a crossing
            let turn (a: int) (argument: Argument) =
                if isCrossing a then { argument with Advance = Advance.Next } else argument
            ValueSome
                { Loop = ordered
                  Turned = { ordered with Nest = { nest with Arguments = Array.mapi turn nest.Arguments } }
                  Arguments = crossing }
        | _ -> ValueNone

/// A nest whose operands lie across it, at work: they are turned over a tile at a time, and stay in the cache for that. Parts are
/// ranges of tiles.
[<Sealed>]
type internal CrossingJob(crossing: Crossing, buffers: nativeint[], note: nativeint) =
    inherit Job()
    let tile = 64L
    let nest = NestOnBuffers(crossing.Turned, buffers, note)
    let axes = crossing.Loop.Extents.Length
    let code, rows, length = nest.Code, nest.Rows, nest.Length
    let down, across = (rows + tile - 1L) / tile, (length + tile - 1L) / tile
    let tiles = nest.Outer * down * across
    let parts = min tiles (if nest.Threads = 1 then 1L else 4L * int64 nest.Threads)
    let scratch = (code.Scratch tile + 63L) / 64L * 64L
    let room = tile * tile * 8L
    let stream = nest.Streaming [||]
    let arguments = crossing.Loop.Nest.Arguments.Length
    let sizes = crossing.Loop.Nest.Arguments |> Array.map (fun a -> int64 (DType.size a.DType))
    let strideOf a = int64 crossing.Loop.Operands[a].Form.Strides[axes - 1] * sizes[a]

    member _.Parts = int parts

    override _.Run(part) =
        let frame = NativePtr.stackalloc<int64> nest.FrameSize
        let memory = ThreadScratch.Take(scratch + room * int64 crossing.Arguments.Length)
        nest.Prepare(frame, memory)
        for t in tiles * int64 part / parts .. tiles * int64 (part + 1) / parts - 1L do
            let o, r, c = t / (down * across), t / across % down * tile, t % across * tile
            let height, width = min tile (rows - r), min tile (length - c)
            nest.Place(frame, o, r, c, height, width)
            for i in 0 .. crossing.Arguments.Length - 1 do
                let a = crossing.Arguments[i]
                let turned = int64 memory + scratch + room * int64 i
                Tiles.transpose
                    (int sizes[a])
                    (nest.Address(a, o, r, c))
                    (strideOf a)
                    turned
                    (tile * sizes[a])
                    height
                    width
                NativePtr.set frame (Frame.bases + a) turned
                NativePtr.set frame (Frame.rowStrides arguments + a) (tile * sizes[a])
            let chosen = if isNull stream || not (nest.IsAligned frame) then code.Code else stream
            chosen.Invoke(NativePtr.toNativeInt frame)

/// A nest that folds a few long rows: parts are ranges of blocks of a row, whole subtrees of the tree that adds up blocks.
[<Sealed>]
type internal FoldedRowsJob(nest: NestOnBuffers) =
    inherit Job()
    let code, length = nest.Code, nest.Length
    let rows = nest.Outer * nest.Rows
    let block = 4096L
    let blocks = (length + block - 1L) / block
    let partBlocks =
        let wanted = max 1L (blocks * rows / (4L * int64 nest.Threads))
        1L <<< (63 - Numerics.BitOperations.LeadingZeroCount(uint64 (min blocks wanted)))
    let each = (blocks + partBlocks - 1L) / partBlocks
    let part, close = code.Part.Value, code.Close.Value
    let sumsStride = 8L * each
    let sums = Buffers.block (rows * int64 code.Reductions * sumsStride)

    let prepare (frame: nativeptr<int64>) (row: int64) (number: int64) =
        nest.Prepare(frame, ThreadScratch.Take(code.Scratch(partBlocks * block)))
        NativePtr.set frame Frame.sums (int64 sums.Pointer + row * int64 code.Reductions * sumsStride)
        NativePtr.set frame Frame.sumsStride sumsStride
        NativePtr.set frame Frame.others number

    /// Is there enough in few enough rows?
    static member Suits(nest: NestOnBuffers) =
        nest.Code.Foldable
        && nest.Threads > 1
        && nest.Outer * nest.Rows < 2L * int64 nest.Threads
        && nest.Length >= 16384L

    member _.Parts = int (rows * each)

    override _.Run(index) =
        let frame = NativePtr.stackalloc<int64> nest.FrameSize
        let row, number = int64 index / each, int64 index % each
        let first = number * partBlocks * block
        prepare frame row number
        nest.Place(frame, row / nest.Rows, row % nest.Rows, first, 1L, min (partBlocks * block) (length - first))
        part.Invoke(NativePtr.toNativeInt frame)

    /// Ends all rows, when their parts are done.
    member _.Complete() =
        let frame = NativePtr.stackalloc<int64> nest.FrameSize
        for row in 0L .. rows - 1L do
            prepare frame row each
            nest.Place(frame, row / nest.Rows, row % nest.Rows, 0L, 1L, length)
            close.Invoke(NativePtr.toNativeInt frame)

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

    /// The one of a product; null: it has none.
    static member Of(product: Nanograd.Product, buffers: nativeint[], note: nativeint) : Tile =
        match product.Epilogue with
        | ValueSome loop -> EpilogueTile(loop, product.ResultOffsets, buffers, note)
        | ValueNone -> null

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

    let tile = EpilogueTile.Of(product, buffers, note)

    member _.Run() = Gemm.runWith tile plan buffers[product.Left] buffers[product.Right] buffers[product.Result]
