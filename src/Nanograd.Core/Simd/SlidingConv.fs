namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Runtime.CompilerServices
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop
open Nanograd

/// What distinguishes one sliding kernel from another: rows of vectors of adjacent positions.
[<Struct>]
type internal SlidingShape = { Double: bool; Bits: int; Rows: int; Vectors: int }

/// Tiles of some rows of some vectors of positions, for one output channel: each k meets one weight, and a run of x for every row. In the
/// argument block, A is the first row of x, ARow the way to the next, AStep the table of k, B the weights.
[<RequireQualifiedAccess>]
module internal SlidingKernel =
    let private tile (shape: SlidingShape) (code: MicroCode.Code) =
        let bytes, size = shape.Bits / 8, (if shape.Double then 8 else 4)
        let c = MicroCode.TileOfC(code, shape.Rows, shape.Vectors, bytes)
        let x, row, table, weights, k = code.Native(), code.Native(), code.Native(), code.Native(), code.Native()
        let at, weight, passing = code.Native(), code.Vector(), code.Vector()
        for slot, local in [ Slot.A, x; Slot.ARow, row; Slot.AStep, table; Slot.B, weights; Slot.K, k ] do
            code.Argument(slot, local)
        c.Prepare()
        c.Start()
        let oneK ahead =
            code.Entry(table, ahead)
            code.Get x
            code.Sum at
            code.At(weights, ahead * size)
            code.Broadcast()
            code.Set weight
            for i in 0 .. shape.Rows - 1 do
                if i > 0 then code.Advance(at, row)
                for j in 0 .. shape.Vectors - 1 do
                    code.At(at, j * bytes)
                    code.Load()
                    code.Set passing
                    code.MultiplyAdd(weight, passing, c.Sums[i, j])
        let unrolled steps =
            code.CountDown(
                k,
                steps,
                fun () ->
                    for ahead in 0 .. steps - 1 do
                        oneK ahead
                    code.Advance(table, steps * sizeof<int64>)
                    code.Advance(weights, steps * size)
            )
        unrolled 3
        unrolled 1
        c.Finish()

    let private cache = ConcurrentDictionary<SlidingShape, Nanograd.Simd.Kernel>()

    /// The kernel of this shape; emitted at first use, then kept.
    let get (shape: SlidingShape) : Nanograd.Simd.Kernel =
        cache.GetOrAdd(
            shape,
            fun shape ->
                let name = $"slide{(if shape.Double then 64 else 32)}_{shape.Bits}_{shape.Rows}x{shape.Vectors}"
                MicroCode.build name shape.Double shape.Bits (tile shape)
        )

/// One axis of what positions and taps meet. Places are sorted by their remainder by the step of the positions, so that what a tap meets
/// at neighbouring positions is neighbours, too.
type internal SlidingAxis(axis: WindowAxis) =
    let step =
        if axis.Results > 1 then axis.PerResult
        elif axis.Taps > 1 then axis.PerTap
        else 1
    let remainder t = t * axis.PerTap % step
    let remainders = Seq.init axis.Taps remainder |> Seq.distinct |> Seq.sort |> Array.ofSeq

    member _.Axis = axis
    member _.Step = step
    /// The remainders that occur.
    member _.Remainders = remainders
    /// Of a tap: which remainder, and how many positions further.
    member _.Of(tap: int) = struct (Array.IndexOf(remainders, remainder tap), tap * axis.PerTap / step)
    /// Places of one remainder that some positions and taps meet.
    member _.Places(results: int, taps: int) = results + (taps - 1) * axis.PerTap / step

/// How a convolution with few output channels for each channel of x is computed: vectors run over positions. The part of x that a job
/// reads is copied beside its padding, sorted by remainders.
[<Sealed>]
type internal SlidingPlan(conv: Conv) =
    let p = conv.Of
    let isDouble = p.DType = DType.F64
    let size = DType.size p.DType
    let outputs, depth = p.ResultOffsets[1].Length, p.LeftOffsets[2].Length
    let channels, batches = p.RightOffsets[1].Length, p.ResultOffsets[0].Length
    let axes = WindowAxis.three conv.Axes |> Array.map SlidingAxis
    let results = axes |> Array.map (fun a -> a.Axis.Results)
    let positions = WindowAxis.results conv.Axes
    let work = int64 batches * int64 positions * int64 outputs * int64 depth
    let isSerial = work < 500_000L
    let wanted = if isSerial then 1 else 4 * Threads.Count

    // ---- jobs: a batch each, or some of its positions

    let boxes =
        let share = Box.ceilDiv positions (max 1 (Box.ceilDiv wanted batches))
        Box.cut results (min (64 * 1024 / (outputs * size)) (max 256 share))
    let largest = boxes[0].Count

    // ---- depth

    let depthBoxes = Box.cut [| channels; axes[0].Axis.Taps; axes[1].Axis.Taps; axes[2].Axis.Taps |] 32768
    let deepest = depthBoxes[0].Count
    let blocks = DepthBlock.cut depthBoxes depth

    // ---- the copy of x: [channel, remainders of three axes, places of three axes]

    let places = Array.init 3 (fun i -> axes[i].Places(largest[i], deepest[i + 1]))
    let strides = [| places[1] * places[2]; places[2]; 1 |]
    let plane = places[0] * strides[0]
    let kinds = axes |> Array.map (fun a -> a.Remainders.Length)
    let perKind = [| kinds[1] * kinds[2] * plane; kinds[2] * plane; plane |]
    let perChannel = kinds[0] * perKind[0]

    /// Of the k of the deepest box, where in the copy, in bytes.
    let depthTable =
        let result = GC.AllocateUninitializedArray<int64>(Array.fold (*) 1 deepest, true)
        for i in 0 .. result.Length - 1 do
            let mutable rest, at = i, 0
            for axis in 2..-1..0 do
                let struct (kind, ahead) = axes[axis].Of(rest % deepest[axis + 1])
                at <- at + kind * perKind[axis] + ahead * strides[axis]
                rest <- rest / deepest[axis + 1]
            result[i] <- int64 (at + rest * perChannel) * int64 size
        result

    // ---- tiles: the narrowest vectors that need no more of them than wider ones

    let bits =
        let count bits = Box.ceilDiv largest[2] (bits / 8 / size)
        let widths = [| 128; 256; 512 |] |> Array.filter (fun bits -> bits <= Isa.width ())
        widths |> Array.minBy (fun bits -> struct (count bits, bits))
    let lanes = bits / 8 / size
    let vectors = Box.ceilDiv largest[2] lanes
    let accumulators = MicroKernel.accumulators bits
    let tileVectors = Box.ceilDiv vectors (Box.ceilDiv vectors (if largest[1] = 1 then accumulators / 2 else 4))
    let tileRows = max 1 (min largest[1] (accumulators / tileVectors))
    /// Those that were asked for, by rows and vectors.
    let kernels: Nanograd.Simd.Kernel[,] = Array2D.zeroCreate (tileRows + 1) (tileVectors + 1)

    member _.Conv = conv
    member _.Size = size
    member _.IsSerial = isSerial
    member _.Outputs = outputs
    member _.Depth = depth
    member _.Axes = axes
    member _.Boxes = boxes
    member _.DepthBoxes = depthBoxes
    member _.Blocks = blocks
    member _.Strides = strides
    member _.PerKind = perKind
    member _.PerChannel = perChannel
    member _.DepthTable = depthTable
    member _.Lanes = lanes
    member _.TileRows = tileRows
    member _.TileVectors = tileVectors
    member _.Vectors = vectors
    /// Elements of a row of sums.
    member _.Width = vectors * lanes
    member _.CopySize = deepest[0] * perChannel
    member _.SumSize = outputs * largest[0] * largest[1] * vectors * lanes
    member _.WeightSize = outputs * (blocks |> Array.fold (fun most b -> max most b.Count) 0)
    member val WeightsK = Axis p.LeftOffsets[2]
    member val ResultN = Axis p.ResultOffsets[2]
    member _.Kernel(rows: int, vectors: int) : Nanograd.Simd.Kernel =
        match kernels[rows, vectors] with
        | null ->
            kernels[rows, vectors] <-
                SlidingKernel.get { Double = isDouble; Bits = bits; Rows = rows; Vectors = vectors }
            kernels[rows, vectors]
        | kernel -> kernel
    /// The number of the first position of a box.
    member _.FirstOf(box: Box) = (box.Start[0] * results[1] + box.Start[1]) * results[2] + box.Start[2]
    member _.Chains = Box.ceilDiv depth GemmPlan.Chain
    member _.Jobs = batches * boxes.Length

    /// Is this a convolution for vectors of positions? `outputs` of a group, and how many results lie side by side.
    static member Suits(conv: Conv) = conv.Of.ResultOffsets[1].Length < WindowAxis.fewOutputs

/// Loops over rows, apart from what decides about them.
[<Sealed; AbstractClass>]
type internal SlidingRows private () =
    /// Rows of `left` bytes of zeros, `inside` bytes of x whose elements are `step` bytes apart, `right` bytes of zeros.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Load
        (
            source: nativeint,
            sourceRow: nativeint,
            step: nativeint,
            size: int,
            target: nativeint,
            targetRow: nativeint,
            rows: int,
            left: int,
            inside: int,
            right: int
        ) =
        let mutable from, into = source, target
        for _ in 1..rows do
            if left > 0 then ConvCopy.Zeros(into, left)
            if step = nativeint size then
                ConvCopy.Row(from, into + nativeint left, inside)
            else
                Pack.Every(from, step, into + nativeint left, inside / size, size)
            if right > 0 then ConvCopy.Zeros(into + nativeint (left + inside), right)
            from <- from + sourceRow
            into <- into + targetRow

    /// Rows of `bytes` bytes.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Store(source: nativeint, sourceRow: nativeint, target: nativeint, rows: int, bytes: int) =
        let mutable from, into = source, target
        for _ in 1..rows do
            ConvCopy.Row(from, into, bytes)
            from <- from + sourceRow
            into <- into + nativeint bytes

/// Such a convolution at work.
[<Sealed>]
type internal SlidingJob(plan: SlidingPlan, buffers: nativeint[], tile: Tile) =
    inherit Job()
    let p = plan.Conv.Of
    let bytes (elements: int) = nativeint elements * nativeint plan.Size

    /// Of `count` places from `first` on, by steps: from which on and up to which they are inside.
    let inside (axis: SlidingAxis) (first: int) (count: int) =
        let low = min count (max 0 ((axis.Step - 1 - first) / axis.Step))
        struct (low, max low (min count ((axis.Axis.Extent - first + axis.Step - 1) / axis.Step)))

    /// The rows of one remainder of each axis, in the order of their addresses: what a vector writes behind one belongs to the next.
    let copyRows (source: nativeint) (firsts: nativeptr<int>) (counts: int[]) (target: nativeint) =
        let first axis = NativePtr.get firsts axis
        let a, b, c = plan.Axes[0], plan.Axes[1], plan.Axes[2]
        let struct (low, high) = inside c (first 2) counts[2]
        let struct (top, bottom) = inside b (first 1) counts[1]
        let zeros (into: nativeint) rows = if rows > 0 then ConvCopy.Zeros(into, int (bytes (rows * plan.Strides[1])))
        for d in 0 .. counts[0] - 1 do
            let deep = first 0 + d * a.Step
            let into = target + bytes (d * plan.Strides[0])
            if deep >= 0 && deep < a.Axis.Extent then
                let tall, wide = first 1 + top * b.Step, first 2 + low * c.Step
                let from = source + bytes (deep * a.Axis.Step + tall * b.Axis.Step + wide * c.Axis.Step)
                zeros into top
                SlidingRows.Load(
                    from,
                    bytes (b.Step * b.Axis.Step),
                    bytes (c.Step * c.Axis.Step),
                    plan.Size,
                    into + bytes (top * plan.Strides[1]),
                    bytes plan.Strides[1],
                    bottom - top,
                    int (bytes low),
                    int (bytes (high - low)),
                    int (bytes (counts[2] - high))
                )
                zeros (into + bytes (bottom * plan.Strides[1])) (counts[1] - bottom)
            else
                zeros into counts[1]

    let copyChannel (source: nativeint) (firsts: int[]) (counts: int[]) (target: nativeint) =
        let a, b, c = plan.Axes[0].Remainders, plan.Axes[1].Remainders, plan.Axes[2].Remainders
        let starts = NativePtr.stackalloc<int> 3
        for i in 0 .. a.Length - 1 do
            for j in 0 .. b.Length - 1 do
                for k in 0 .. c.Length - 1 do
                    NativePtr.set starts 0 (firsts[0] + a[i])
                    NativePtr.set starts 1 (firsts[1] + b[j])
                    NativePtr.set starts 2 (firsts[2] + c[k])
                    let kind = i * plan.PerKind[0] + j * plan.PerKind[1] + k * plan.PerKind[2]
                    copyRows source starts counts (target + bytes kind)

    let copy batch (box: Box) (part: Box) (target: nativeint) =
        let first i =
            let a = plan.Axes[i].Axis
            a.Start + box.Start[i] * a.PerResult + part.Start[i + 1] * a.PerTap
        let firsts = Array.init 3 first
        let counts = Array.init 3 (fun i -> plan.Axes[i].Places(box.Count[i], part.Count[i + 1]))
        for c in 0 .. part.Count[0] - 1 do
            let from = p.RightOffsets[0].[batch] + p.RightOffsets[1].[part.Start[0] + c]
            copyChannel (buffers[p.Right] + bytes from) firsts counts (target + bytes (c * plan.PerChannel))

    /// The weights of a block, those of an output side by side.
    let pack batch (block: DepthBlock) (target: nativeint) =
        let offsets, ends = plan.WeightsK.Offsets, plan.WeightsK.RunEnds
        for m in 0 .. plan.Outputs - 1 do
            let source = buffers[p.Left] + bytes (p.LeftOffsets[0].[batch] + p.LeftOffsets[1].[m])
            let target = target + bytes (m * block.Count)
            let mutable k = block.K
            while k < block.K + block.Count do
                let stop = min ends[k] (block.K + block.Count)
                Pack.CopyBytes(source + bytes offsets[k], target + bytes (k - block.K), int (bytes (stop - k)))
                k <- stop

    /// The tiles of one block of k, for all positions of a box and one output.
    let compute (arguments: nativeint) (block: DepthBlock) (box: Box) (x: nativeint) (weights: nativeint) sums =
        let put slot (value: nativeint) = NativePtr.set (NativePtr.ofNativeInt<nativeint> arguments) slot value
        put Slot.ARow (bytes plan.Strides[1])
        put Slot.AStep (Marshal.UnsafeAddrOfPinnedArrayElement(plan.DepthTable, block.First))
        put Slot.B weights
        put Slot.CRow (bytes plan.Width)
        put Slot.K (nativeint block.Count)
        put Slot.Continue (if block.Opens then 0n else 1n)
        let height = box.Count[1]
        let across = Box.ceilDiv box.Count[2] plan.Lanes
        for deep in 0 .. box.Count[0] - 1 do
            for first in 0 .. plan.TileRows .. height - 1 do
                for v in 0 .. plan.TileVectors .. across - 1 do
                    put Slot.A (x + bytes (deep * plan.Strides[0] + first * plan.Strides[1] + v * plan.Lanes))
                    put Slot.C (sums + bytes ((deep * height + first) * plan.Width + v * plan.Lanes))
                    let kernel = plan.Kernel(min plan.TileRows (height - first), min plan.TileVectors (across - v))
                    kernel.Invoke arguments

    /// The sums of an output to where the result lies.
    let store batch m (box: Box) (sums: nativeint) =
        let n = plan.FirstOf box
        let target = buffers[p.Result] + bytes (p.ResultOffsets[0].[batch] + p.ResultOffsets[1].[m])
        let rows, wide = box.Count[0] * box.Count[1], box.Count[2]
        if plan.ResultN.RunEnds[n] >= n + rows * wide then
            let into = target + bytes plan.ResultN.Offsets[n]
            SlidingRows.Store(sums, bytes plan.Width, into, rows, int (bytes wide))
        else
            for row in 0 .. rows - 1 do
                let from, first = sums + bytes (row * plan.Width), n + row * wide
                let mutable at = first
                while at < first + wide do
                    let next = min (first + wide) plan.ResultN.RunEnds[at]
                    let into = target + bytes plan.ResultN.Offsets[at]
                    Pack.CopyBytes(from + bytes (at - first), into, int (bytes (next - at)))
                    at <- next

    let sum (thread: ConvThread) batch (box: Box) =
        let size = int64 plan.Size
        // Behind the copy, vectors read and write what nobody uses.
        let x = thread.Copy(int64 plan.CopySize * size + ConvCopy.Slack)
        let weights = thread.Weights(int64 plan.WeightSize * size)
        let sums = thread.Sums(int64 plan.SumSize * size)
        let totals = if plan.Chains = 1 then sums else thread.Totals(int64 plan.SumSize * size)
        let each = box.Count[0] * box.Count[1] * plan.Width
        let mutable loaded = -1
        for block in plan.Blocks do
            if block.Box <> loaded then
                loaded <- block.Box
                copy batch box plan.DepthBoxes[loaded] x
            pack batch block weights
            for m in 0 .. plan.Outputs - 1 do
                compute thread.Arguments block box x (weights + bytes (m * block.Count)) (sums + bytes (m * each))
            if block.Closes && plan.Chains > 1 then
                let elements = plan.Outputs * each
                if block.K < GemmPlan.Chain then
                    Pack.CopyBytes(sums, totals, int (bytes elements))
                else
                    ConvSums.Add(sums, totals, elements, plan.Size)
        for m in 0 .. plan.Outputs - 1 do
            store batch m box (totals + bytes (m * each))
        match tile with
        | null -> ()
        | tile ->
            let n = plan.FirstOf box
            tile.Finish(batch, 0, plan.Outputs, n, n + box.Size)

    override _.Run part =
        let thread = Rental<ConvThread>.Rent()
        try
            sum thread (part / plan.Boxes.Length) plan.Boxes[part % plan.Boxes.Length]
        finally
            Rental<ConvThread>.Return thread

    member job.RunAll() =
        if plan.IsSerial then
            for part in 0 .. plan.Jobs - 1 do
                job.Run part
        else
            Threads.Run(job, plan.Jobs)
