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

/// One loop nest at work in one run: parts are ranges of rows (or of columns).
[<Sealed>]
type internal LoopJob(loop: Loop, buffers: nativeint[], note: nativeint) =
    inherit Job()
    let code = NestCompiler.get loop.Nest
    let arguments = loop.Nest.Arguments.Length
    let axes = loop.Extents.Length
    let length = int64 loop.Extents[axes - 1]
    let isColumns = loop.Nest.Kind = NestKind.Columns
    let rows = if axes >= 2 then int64 loop.Extents[axes - 2] else 1L
    let outer = loop.Extents |> Seq.truncate (max 0 (axes - 2)) |> Seq.fold (fun n e -> n * int64 e) 1L
    let sizes =
        loop.Nest.Arguments |> Array.map (fun a -> if a.Access = Access.Count then 1L else int64 (DType.size a.DType))
    let work = outer * rows * length * int64 (max 4 loop.Nest.Values.Length)
    /// Below this, waking another thread costs more than it saves.
    let wanted = if work < 60_000L then 1 else Threads.Count
    /// Cut along the inner axis, where that is allowed and there are too few rows to share.
    let cutInner =
        if isColumns then outer < int64 wanted else code.Divisible && outer * rows < 4L * int64 wanted && length >= 256L
    let units =
        if cutInner then (length + 63L) / 64L
        elif isColumns then outer
        else outer * rows
    let parts = int (min units (if wanted = 1 then 1L else int64 (wanted * (if cutInner || units < 64L then 1 else 4))))
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

    let frameSize = Frame.size arguments scalars.Length

    /// Fills in where each argument starts for outer index `o`, row `r` and inner index `c`.
    let place (frame: nativeptr<int64>) (o: int64) (r: int64) (c: int64) =
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

    let call (frame: nativeptr<int64>) (count: int64) (inner: int64) =
        NativePtr.set frame Frame.rows count
        NativePtr.set frame Frame.length inner
        code.Code.Invoke(NativePtr.toNativeInt frame)

    /// Fills in what is the same wherever the loop starts.
    let prepare (frame: nativeptr<int64>) =
        let scratch = ThreadScratch.Take(code.Scratch length rows)
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

    member _.Parts = parts
    member _.Lanes = code.Lanes

    /// Runs some rows from a row-major position on, `inner` elements of each. They must lie in one row of the outer axes. Allocates nothing.
    member _.RunFrom(position: int64, count: int64, inner: int64) =
        let frame = NativePtr.stackalloc<int64> frameSize
        prepare frame
        let row = position / length
        place frame (row / rows) (row % rows) (position % length)
        call frame count inner

    override _.Run(part) =
        let frame = NativePtr.stackalloc<int64> frameSize
        prepare frame
        let from, until = units * int64 part / int64 parts, units * int64 (part + 1) / int64 parts
        if cutInner then
            let c0, c1 = min length (from * 64L), min length (until * 64L)
            if c1 > c0 then
                for o in 0L .. outer - 1L do
                    place frame o 0L c0
                    call frame rows (c1 - c0)
        elif isColumns then
            for o in from .. until - 1L do
                place frame o 0L 0L
                call frame rows length
        else
            let mutable at = from
            while at < until do
                let o, r = at / rows, at % rows
                let count = min (rows - r) (until - at)
                place frame o r 0L
                call frame count length
                at <- at + count

/// Runs a product's epilogue over each part of the result that is finished, on the thread that computed it.
[<Sealed>]
type internal EpilogueTile(loop: Loop, offsets: int[][], buffers: nativeint[], note: nativeint) =
    inherit Tile()
    let job = LoopJob(loop, buffers, note)
    let axes = loop.Extents.Length
    let rows, length = loop.Extents[axes - 2], loop.Extents[axes - 1]
    let batches, down, across = offsets[0], offsets[1], offsets[2]
    // Where the next place is not the neighbour.
    let runEnds = (Axis across).RunEnds
    let isEven = (Axis down).IsRegular && (down.Length < 2 || down[1] - down[0] = length)

    /// Elements from a position on, cut where a row of the loop ends.
    let rec run (position: int) (count: int) =
        let inRow = min count (length - position % length)
        job.RunFrom(int64 position, 1L, int64 inRow)
        if inRow < count then run (position + inRow) (count - inRow)

    /// Rows m0 .. m1-1 of `width` elements from column n on: as many at once as are neighbours in the loop.
    let rec runRows (start: int) (m0: int) (m1: int) (width: int) =
        if m0 < m1 then
            let position = start + down[m0]
            if isEven && position % length + width <= length then
                let height = min (m1 - m0) (rows - position / length % rows)
                job.RunFrom(int64 position, int64 height, int64 width)
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
