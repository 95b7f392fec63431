namespace Nanograd.Simd

open System.Runtime.CompilerServices
open Microsoft.FSharp.NativeInterop
open Nanograd

/// Pieces of a thread's scratch memory, one after the other.
[<Struct>]
type internal Pieces =
    val mutable private next: nativeint
    new(start: nativeint) = { next = start }

    /// The next piece, for so many floats, aligned to a line of the cache.
    member p.Take(floats: int) : nativeint =
        let piece = p.next
        p.next <- piece + nativeint ((floats * 4 + 63) &&& ~~~63)
        piece

/// Queries of one head, laid out for products: d rows of them side by side.
[<Sealed>]
type internal AcrossQueries(rows: HeadRows, queries: int, width: int) =
    let depth = Axis(Array.init width id)
    let across = Axis(Array.init queries (fun t -> t * rows.Step))
    let mode = if rows.Step = 1 && queries > 1 then PackMode.Copy else PackMode.Transpose

    /// Copies queries t0 .. t0+count-1 of a head.
    member _.Pack(buffer: nativeint, head: int, t0: int, count: int, target: nativeint) =
        let source = buffer + AttentionBlock.bytes rows.Heads[head]
        Pack.Panel(mode, source, depth, 0, width, across, t0, t0 + count, target, AttentionBlock.Queries, 4)

/// Attention at work in one run: a part is a block of queries of one head. Scores exist for one block of keys at a time; when a larger one
/// appears, what was summed so far shrinks (Milakov and Gimelshein 2018; Dao et al. 2022).
[<Sealed>]
type internal AttentionJob(a: StreamedAttention, buffers: nativeint[]) =
    inherit Job()
    let code = AttentionCode.get (Isa.width ())
    let blocks = GemmPlan.ceilDiv a.Queries AttentionBlock.Queries
    let widest = min a.Queries AttentionBlock.Queries
    let scores = BlockProduct(true, widest, AttentionBlock.heights a.Keys AttentionBlock.Keys)
    let mix = BlockProduct(false, a.ValueWidth, AttentionBlock.heights a.Queries AttentionBlock.Queries)
    let queries = AcrossQueries(a.Q, a.Queries, a.Width)
    let values = HeadColumns(a.V, a.ValueWidth, mix.Columns)
    let vectors = nativeint (scores.Columns / (Isa.width () / 32))
    let outVectors = nativeint (mix.Columns / (Isa.width () / 32))
    let outRow = AttentionBlock.bytes mix.Columns
    let block = AttentionBlock.Queries * AttentionBlock.Keys

    let scratch =
        4L
        * int64 (
            AttentionBlock.Queries * (a.Width + mix.Columns + 3)
            + block
            + AttentionBlock.Keys * mix.Columns
            + 16 * 10
            + 64
        )

    member _.Parts = StreamedAttention.heads a * blocks

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    override _.Run part =
        let head, t0 = part / blocks, part % blocks * AttentionBlock.Queries
        let count = min AttentionBlock.Queries (a.Queries - t0)
        let mutable pieces = Pieces(ThreadScratch.Take scratch)
        let across = pieces.Take(AttentionBlock.Queries * a.Width)
        let weights = pieces.Take block
        let result = pieces.Take(AttentionBlock.Queries * mix.Columns)
        let copy = pieces.Take(AttentionBlock.Keys * mix.Columns)
        let tops, sums, factors =
            pieces.Take AttentionBlock.Queries, pieces.Take AttentionBlock.Queries, pieces.Take AttentionBlock.Queries
        let slots = NativePtr.stackalloc<nativeint> Slot.Count
        let words = NativePtr.stackalloc<nativeint> AttentionSlot.Count
        let scale = NativePtr.stackalloc<float32> 1
        NativePtr.write scale a.Scale
        queries.Pack(buffers[a.Q.Buffer], head, t0, count, across)
        let one = NativePtr.toNativeInt scale
        AttentionBlock.scale code.ScaleAll words across AttentionBlock.row a.Width vectors one
        AttentionBlock.fill tops AttentionBlock.Queries -infinityf
        AttentionBlock.fill sums AttentionBlock.Queries 0.0f
        let struct (first, last) = AttentionBlock.visible a t0 count

        for b in first .. last - 1 do
            let s0 = b * AttentionBlock.Keys
            let keys = min AttentionBlock.Keys (a.Keys - s0)
            let k = buffers[a.K.Buffer] + AttentionBlock.bytes (a.K.Heads[head] + s0 * a.K.Step)
            let kStep = AttentionBlock.bytes a.K.Step
            scores.Run(slots, keys, a.Width, k, kStep, across, AttentionBlock.row, weights, AttentionBlock.row, false)
            let mask = if a.Mask.Buffer < 0 then 0n else buffers[a.Mask.Buffer]
            AttentionBlock.mask a mask head weights t0 count s0 keys
            AttentionBlock.place words weights 0n keys
            AttentionBlock.call code.Fold words vectors tops sums factors

            if b > first then AttentionBlock.scale code.ScaleRows words result outRow count outVectors factors

            let v = values.Rows(buffers[a.V.Buffer], head, s0, keys, copy)
            mix.Run(slots, count, keys, weights, AttentionBlock.row, v, values.Step, result, outRow, b > first)

        if last = first then
            AttentionBlock.fill result (count * mix.Columns) nanf
            AttentionBlock.fill factors AttentionBlock.Queries -infinityf
        else
            AttentionBlock.call code.Finish words vectors tops sums factors
            AttentionBlock.scale code.ScaleRows words result outRow count outVectors tops

        let target = buffers[a.Result.Buffer] + AttentionBlock.bytes (a.Result.Heads[head] + t0 * a.Result.Step)

        for t in 0 .. count - 1 do
            let into = target + AttentionBlock.bytes (t * a.Result.Step)
            Pack.CopyBytes(result + nativeint t * outRow, into, a.ValueWidth * 4)

        let logSums = buffers[a.LogSums] + AttentionBlock.bytes (head * a.Queries + t0)
        Pack.CopyBytes(factors, logSums, count * 4)

/// The gradient of attention at work in one run: a part is one head. Blocks of queries come one after the other, and for each the blocks
/// of keys: cotangents of keys and values are sums over queries in increasing order, that of a query a sum over increasing keys.
[<Sealed>]
type internal AttentionGradientJob(g: StreamedGradient, buffers: nativeint[]) =
    inherit Job()
    let a = g.Of
    let code = AttentionCode.get (Isa.width ())
    let widest = min a.Queries AttentionBlock.Queries
    let ofKeys = AttentionBlock.heights a.Keys AttentionBlock.Keys
    let scores = BlockProduct(true, widest, ofKeys)
    let toKeys = BlockProduct(true, a.Width, ofKeys)
    let toValues = BlockProduct(true, a.ValueWidth, ofKeys)
    let toQueries = BlockProduct(false, a.Width, AttentionBlock.heights a.Queries AttentionBlock.Queries)
    let queries = AcrossQueries(a.Q, a.Queries, a.Width)
    let cotangents = AcrossQueries(g.Cotangent, a.Queries, a.ValueWidth)
    let q = HeadColumns(a.Q, a.Width, toKeys.Columns)
    let c = HeadColumns(g.Cotangent, a.ValueWidth, toValues.Columns)
    let k = HeadColumns(a.K, a.Width, toQueries.Columns)
    let vectors = nativeint (scores.Columns / (Isa.width () / 32))
    let keyRow, valueRow = AttentionBlock.bytes toKeys.Columns, AttentionBlock.bytes toValues.Columns
    let block = AttentionBlock.Queries * AttentionBlock.Keys

    let scratch =
        4L
        * (int64 (a.Keys + 1) * int64 (toKeys.Columns + toValues.Columns)
           + int64 (AttentionBlock.Queries * (a.Width + a.ValueWidth + 2))
           + int64 (AttentionBlock.Queries * (3 * toKeys.Columns + toValues.Columns))
           + int64 (2 * block)
           + 16L * 16L)

    /// Rows of a result, from where they were summed.
    let store (rows: HeadRows) head first count width (source: nativeint) (row: nativeint) =
        let target = buffers[rows.Buffer] + AttentionBlock.bytes (rows.Heads[head] + first * rows.Step)

        for i in 0 .. count - 1 do
            Pack.CopyBytes(source + nativeint i * row, target + AttentionBlock.bytes (i * rows.Step), width * 4)

    member _.Parts = StreamedAttention.heads a

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    override _.Run head =
        let mutable pieces = Pieces(ThreadScratch.Take scratch)
        let sumK, sumV = pieces.Take(a.Keys * toKeys.Columns), pieces.Take(a.Keys * toValues.Columns)
        let across, acrossC =
            pieces.Take(AttentionBlock.Queries * a.Width), pieces.Take(AttentionBlock.Queries * a.ValueWidth)
        let weights, changes = pieces.Take block, pieces.Take block
        let result = pieces.Take(AttentionBlock.Queries * toQueries.Columns)
        let copyQ, copyC =
            pieces.Take(AttentionBlock.Queries * toKeys.Columns), pieces.Take(AttentionBlock.Queries * toValues.Columns)
        let copyK = pieces.Take(AttentionBlock.Keys * toQueries.Columns)
        let logSums, deltas = pieces.Take AttentionBlock.Queries, pieces.Take AttentionBlock.Queries
        let slots = NativePtr.stackalloc<nativeint> Slot.Count
        let words = NativePtr.stackalloc<nativeint> AttentionSlot.Count
        let scale = NativePtr.stackalloc<float32> 1
        NativePtr.write scale a.Scale
        let one = NativePtr.toNativeInt scale
        AttentionBlock.fill sumK (a.Keys * toKeys.Columns) 0.0f
        AttentionBlock.fill sumV (a.Keys * toValues.Columns) 0.0f

        let inline rows (r: HeadRows) s0 = buffers[r.Buffer] + AttentionBlock.bytes (r.Heads[head] + s0 * r.Step)
        let mask = if a.Mask.Buffer < 0 then 0n else buffers[a.Mask.Buffer]
        let line = AttentionBlock.row

        for t0 in 0 .. AttentionBlock.Queries .. a.Queries - 1 do
            let count = min AttentionBlock.Queries (a.Queries - t0)
            queries.Pack(buffers[a.Q.Buffer], head, t0, count, across)
            cotangents.Pack(buffers[g.Cotangent.Buffer], head, t0, count, acrossC)
            AttentionBlock.scale code.ScaleAll words across line a.Width vectors one
            let at = AttentionBlock.bytes (head * a.Queries + t0)
            AttentionBlock.fill logSums AttentionBlock.Queries 0.0f
            AttentionBlock.fill deltas AttentionBlock.Queries 0.0f
            Pack.CopyBytes(buffers[a.LogSums] + at, logSums, count * 4)
            Pack.CopyBytes(buffers[g.Deltas] + at, deltas, count * 4)
            let qRows = q.Rows(buffers[a.Q.Buffer], head, t0, count, copyQ)
            let cRows = c.Rows(buffers[g.Cotangent.Buffer], head, t0, count, copyC)
            let struct (first, last) = AttentionBlock.visible a t0 count

            for b in first .. last - 1 do
                let s0 = b * AttentionBlock.Keys
                let keys = min AttentionBlock.Keys (a.Keys - s0)
                scores.Run(
                    slots,
                    keys,
                    a.Width,
                    rows a.K s0,
                    AttentionBlock.bytes a.K.Step,
                    across,
                    line,
                    weights,
                    line,
                    false
                )
                AttentionBlock.mask a mask head weights t0 count s0 keys
                scores.Run(
                    slots,
                    keys,
                    a.ValueWidth,
                    rows a.V s0,
                    AttentionBlock.bytes a.V.Step,
                    acrossC,
                    line,
                    changes,
                    line,
                    false
                )
                AttentionBlock.place words weights changes keys
                AttentionBlock.call code.Weigh words vectors logSums deltas one
                AttentionBlock.maskCotangents a mask head changes t0 count s0 keys
                let intoK, intoV = sumK + nativeint s0 * keyRow, sumV + nativeint s0 * valueRow
                toValues.Run(slots, keys, count, weights, line, cRows, c.Step, intoV, valueRow, true)
                toKeys.Run(slots, keys, count, changes, line, qRows, q.Step, intoK, keyRow, true)
                let kRows = k.Rows(buffers[a.K.Buffer], head, s0, keys, copyK)
                toQueries.Run(slots, count, keys, changes, line, kRows, k.Step, result, keyRow, b > first)

            if last = first then AttentionBlock.fill result (count * toQueries.Columns) 0.0f

            store g.ToQ head t0 count a.Width result keyRow

        store g.ToK head 0 a.Keys a.Width sumK keyRow
        store g.ToV head 0 a.Keys a.ValueWidth sumV valueRow
