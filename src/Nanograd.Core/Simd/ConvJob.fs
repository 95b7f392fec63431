namespace Nanograd.Simd

open System.Runtime.CompilerServices
open System.Runtime.InteropServices
open System.Runtime.Intrinsics
open System.Runtime.Intrinsics.X86
open Microsoft.FSharp.NativeInterop
open Nanograd

/// The copy of the part of x that a job reads for a block of k: [batch, channel, places], rows of the last axis. Rows are written in the
/// order of their addresses, and what a vector writes behind the end of one belongs to the next.
[<Sealed; AbstractClass>]
type internal ConvCopy private () =

    /// Bytes behind the copy that may be written.
    static member Slack = 128L

    static member inline Zeros(target: nativeint, bytes: int) =
        let mutable at = 0
        while at < bytes do
            Vector512.Store(Vector512<byte>.Zero, NativePtr.ofNativeInt<byte>(target + nativeint at))
            at <- at + 64

    /// Adjacent elements, the last vector over the one before.
    static member inline Row(source: nativeint, target: nativeint, bytes: int) =
        let from, into = NativePtr.ofNativeInt<byte> source, NativePtr.ofNativeInt<byte> target
        if bytes >= 64 then
            let mutable at = 0
            while at + 64 < bytes do
                Vector512.Store(Vector512.Load(NativePtr.add from at), NativePtr.add into at)
                at <- at + 64
            Vector512.Store(Vector512.Load(NativePtr.add from (bytes - 64)), NativePtr.add into (bytes - 64))
        elif bytes >= 32 then
            let low, high = Vector256.Load from, Vector256.Load(NativePtr.add from (bytes - 32))
            Vector256.Store(low, into)
            Vector256.Store(high, NativePtr.add into (bytes - 32))
        elif bytes >= 16 then
            let low, high = Vector128.Load from, Vector128.Load(NativePtr.add from (bytes - 16))
            Vector128.Store(low, into)
            Vector128.Store(high, NativePtr.add into (bytes - 16))
        else
            let mutable at = 0
            while at < bytes do
                NativePtr.write
                    (NativePtr.ofNativeInt<float32>(target + nativeint at))
                    (NativePtr.read (NativePtr.ofNativeInt<float32>(source + nativeint at)))
                at <- at + 4

    /// One channel of one batch, from the places `first` on, `count` along each axis. A channel that comes soon is `ahead` bytes further.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member private Channel
        (
            plan: ConvPlan,
            source: nativeint,
            first: nativeptr<int>,
            count: nativeptr<int>,
            target: nativeint,
            ahead: nativeint
        ) =
        let bytes = plan.Size
        let size = nativeint bytes
        let a, b, c = plan.Axes[0], plan.Axes[1], plan.Axes[2]
        let grain = plan.Grain[2]
        let start, width = NativePtr.get first 2, NativePtr.get count 2
        // The places start + i * grain with low <= i < high are inside.
        let low = min width (max 0 ((grain - 1 - start) / grain))
        let high = max low (min width ((c.Extent - start + grain - 1) / grain))
        let step = nativeint (c.Step * grain) * size
        let inside = (high - low) * bytes
        let left, right = low * bytes, (width - high) * bytes
        for i in 0 .. NativePtr.get count 0 - 1 do
            let deep = NativePtr.get first 0 + i * plan.Grain[0]
            for j in 0 .. NativePtr.get count 1 - 1 do
                let tall = NativePtr.get first 1 + j * plan.Grain[1]
                let into = target + nativeint (i * plan.Strides[0] + j * plan.Strides[1]) * size
                if deep >= 0 && deep < a.Extent && tall >= 0 && tall < b.Extent then
                    let from =
                        source + nativeint (deep * a.Step + tall * b.Step + (start + low * grain) * c.Step) * size
                    if left > 0 then ConvCopy.Zeros(into, left)
                    if step = size then
                        if ahead <> 0n && Sse.IsSupported then
                            let mutable at = 0
                            while at < inside do
                                Sse.Prefetch0(
                                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte>(from + ahead + nativeint at))
                                )
                                at <- at + 64
                        ConvCopy.Row(from, into + nativeint left, inside)
                    else
                        Pack.Every(from, step, into + nativeint left, high - low, bytes)
                    if right > 0 then ConvCopy.Zeros(into + nativeint (left + inside), right)
                else
                    ConvCopy.Zeros(into, width * bytes)

    /// What the positions of `box`, of batches from `batch` on, read of x for the channels and taps of `depth`.
    static member Run(plan: ConvPlan, x: nativeint, batch: int, box: Box, depth: Box, target: nativeint) =
        let first, count = NativePtr.stackalloc<int> 3, NativePtr.stackalloc<int> 3
        let batches, channels = plan.Conv.Of.RightOffsets[0], plan.Conv.Of.RightOffsets[1]
        for i in 0..2 do
            let a = plan.Axes[i]
            let r, t = box.Count[i + 1], depth.Count[i + 1]
            NativePtr.set first i (a.Start + box.Start[i + 1] * a.PerResult + depth.Start[i + 1] * a.PerTap)
            NativePtr.set count i ((r - 1) * plan.PerResult[i] + (t - 1) * plan.PerTap[i] + 1)
        let size = nativeint plan.Size
        for b in 0 .. box.Count[0] - 1 do
            let start = batches[batch + b]
            for i in 0 .. depth.Count[0] - 1 do
                let c = depth.Start[0] + i
                let ahead = if c + 2 < channels.Length then nativeint (channels[c + 2] - channels[c]) * size else 0n
                let into = target + nativeint (b * plan.PerBatch + i * plan.PerChannel) * size
                ConvCopy.Channel(plan, x + nativeint (start + channels[c]) * size, first, count, into, ahead)

/// Chains of sums, added in order.
[<Sealed; AbstractClass>]
type internal ConvSums private () =

    static member inline private AddOf(source: nativeptr<'T>, target: nativeptr<'T>, count: int) =
        for i in 0 .. count - 1 do
            NativePtr.set target i (NativePtr.get target i + NativePtr.get source i)

    /// target <- target + source
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Add(source: nativeint, target: nativeint, count: int, size: int) =
        if size = 4 then
            ConvSums.AddOf(NativePtr.ofNativeInt<float32> source, NativePtr.ofNativeInt<float32> target, count)
        else
            ConvSums.AddOf(NativePtr.ofNativeInt<float> source, NativePtr.ofNativeInt<float> target, count)

/// What a thread needs to compute jobs of convolutions.
[<Sealed>]
type internal ConvThread() =
    let copy, sums, totals = NativeBuffer(), NativeBuffer(), NativeBuffer()
    let weights, words = NativeBuffer(), NativeBuffer()

    member _.Copy(bytes: int64) = copy.Reserve bytes
    member _.Sums(bytes: int64) = sums.Reserve bytes
    member _.Totals(bytes: int64) = totals.Reserve bytes
    member _.Weights(bytes: int64) = weights.Reserve bytes
    /// Asked of the buffer each time, so that the buffer lives as long as this.
    member _.Arguments = words.Reserve(int64 (Slot.Count * sizeof<nativeint>))

/// A convolution at work.
[<Sealed>]
type internal ConvJob(plan: ConvPlan, buffers: nativeint[], tile: Tile) =
    inherit Job()
    let p = plan.Conv.Of
    let size = nativeint plan.Size
    let weightBytes = plan.WeightSize * int64 plan.Size
    let mutable weights = 0n
    let mutable isPacking = false
    /// k that are packed at once.
    let slice = 512
    let slices = Box.ceilDiv plan.Depth slice

    /// Where the weights of a panel start from k on.
    let weightsAt set panel k =
        weights
        + nativeint (int64 set * weightBytes)
        + (nativeint plan.Depth * nativeint (panel * plan.Width) + nativeint k * nativeint (plan.WidthOf panel)) * size

    let pack part =
        let k, part = part % slices * slice, part / slices
        let panel, set = part % plan.Panels, part / plan.Panels
        let width = plan.WidthOf panel
        let first = panel * plan.Width
        let last = min plan.Outputs (first + width)
        let source = buffers[p.Left] + nativeint p.LeftOffsets[0].[set * plan.InSet] * size
        let stop = min plan.Depth (k + slice)
        let target = weightsAt set panel k
        Pack.Panel(plan.PackMode, source, plan.WeightsK, k, stop, plan.WeightsM, first, last, target, width, plan.Size)

    /// The tiles of one panel for one block of k.
    let compute (arguments: nativeint) (block: DepthBlock) set panel count copy (sums: nativeint) =
        let put slot (value: nativeint) = NativePtr.set (NativePtr.ofNativeInt<nativeint> arguments) slot value
        let row = nativeint (plan.WidthOf panel) * size
        let tiles = Box.ceilDiv count plan.Tallest
        put Slot.A copy
        put Slot.AStep (Marshal.UnsafeAddrOfPinnedArrayElement(plan.DepthTable, block.First))
        put Slot.BStep row
        put Slot.CRow row
        put Slot.K (nativeint block.Count)
        put Slot.Tiles 1n
        put Slot.Continue (if block.Opens then 0n else 1n)
        let b = weightsAt set panel block.K
        for t in 0 .. tiles - 1 do
            let first, last = count * t / tiles, count * (t + 1) / tiles
            put Slot.ARow (Marshal.UnsafeAddrOfPinnedArrayElement(plan.RowTable, first))
            put Slot.B b
            put Slot.C (sums + nativeint first * row)
            plan.Kernel(last - first, panel).Invoke arguments

    /// The sums of a panel to where the result lies.
    let store (box: Box) batch panel (sums: nativeint) =
        let m0 = panel * plan.Width
        let m1 = min plan.Outputs (m0 + plan.WidthOf panel)
        let rows, across = plan.RowsOf panel, plan.ResultN
        let n0, count = plan.FirstOf box, box.Count[1] * box.Count[2] * box.Count[3]
        for b in 0 .. box.Count[0] - 1 do
            let target = buffers[p.Result] + nativeint p.ResultOffsets[0].[batch + b] * size
            let first = b * count
            if plan.ResultM.IsRegular && across.RunEnds[n0] >= min (n0 + count) (n0 + 4) then
                let mutable n = n0
                while n < n0 + count do
                    let stop = min (n0 + count) across.RunEnds[n]
                    let into = target + nativeint (across.Offsets[n] + plan.ResultM.Offsets[m0]) * size
                    let j = first + n - n0
                    let step = nativeint plan.ResultM.Step * size
                    Pack.Transpose(sums, plan.Columns, 0, m1 - m0, rows, j, j + stop - n, into, step, plan.Size)
                    n <- stop
            else
                let from = sums + nativeint (first * plan.WidthOf panel) * size
                Pack.Scatter(from, plan.WidthOf panel, m0, m1, plan.ResultM, n0, n0 + count, across, target, plan.Size)

    let report (box: Box) batch p0 p1 =
        match tile with
        | null -> ()
        | tile ->
            let n0, count = plan.FirstOf box, box.Count[1] * box.Count[2] * box.Count[3]
            let m1 = min plan.Outputs (p1 * plan.Width)
            for b in 0 .. box.Count[0] - 1 do
                tile.Finish(batch + b, p0 * plan.Width, m1, n0, n0 + count)

    /// All of k, for some panels of the positions of a box.
    let sum (thread: ConvThread) set (box: Box) p0 p1 =
        let batch, count = set * plan.InSet + box.Start[0], box.Size
        let copy = thread.Copy(plan.CopySize * int64 plan.Size + ConvCopy.Slack)
        let sums = thread.Sums(plan.SumSize * int64 plan.Size)
        let elements = count * (p1 - p0) * plan.Width
        let totals = if plan.Chains = 1 then sums else thread.Totals(plan.SumSize * int64 plan.Size)
        let mutable loaded = -1
        for block in plan.Blocks do
            if block.Box <> loaded then
                loaded <- block.Box
                ConvCopy.Run(plan, buffers[p.Right], batch, box, plan.DepthBoxes[loaded], copy)
            for panel in p0 .. p1 - 1 do
                let from = sums + nativeint ((panel - p0) * count * plan.Width) * size
                compute thread.Arguments block set panel count copy from
            if block.Closes && plan.Chains > 1 then
                if block.K < GemmPlan.Chain then
                    Pack.CopyBytes(sums, totals, elements * plan.Size)
                else
                    ConvSums.Add(sums, totals, elements, plan.Size)
        for panel in p0 .. p1 - 1 do
            store box batch panel (totals + nativeint ((panel - p0) * count * plan.Width) * size)
        report box batch p0 p1

    let fork (job: ConvJob) parts =
        if plan.IsSerial then
            for part in 0 .. parts - 1 do
                job.Run part
        else
            Threads.Run(job, parts)

    override _.Run part =
        if isPacking then
            pack part
        else
            let p0 = part % plan.Shares * plan.JobPanels
            let part = part / plan.Shares
            let box, set = plan.Boxes[part % plan.Boxes.Length], part / plan.Boxes.Length
            let thread = Rental<ConvThread>.Rent()
            try
                sum thread set box p0 (min plan.Panels (p0 + plan.JobPanels))
            finally
                Rental<ConvThread>.Return thread

    /// Packs the weights, then computes.
    member job.RunAll() =
        let packed = Rental<NativeBuffer>.Rent()
        try
            weights <- packed.Reserve(weightBytes * int64 plan.Sets)
            isPacking <- true
            fork job (plan.Sets * plan.Panels * slices)
            isPacking <- false
            fork job plan.Jobs
        finally
            Rental<NativeBuffer>.Return packed
