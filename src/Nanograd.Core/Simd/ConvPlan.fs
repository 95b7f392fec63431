namespace Nanograd.Simd

open System
open Nanograd

/// A box of indices: where it starts and how far it reaches along each axis.
[<Struct>]
type internal Box =
    { Start: int[]
      Count: int[] }

    member box.Size = Array.fold (*) 1 box.Count

/// Row-major indices cut into boxes.
[<RequireQualifiedAccess>]
module internal Box =
    let ceilDiv a b = (a + b - 1) / b

    /// Boxes of about `limit` indices or fewer, each of them a range of row-major indices: single ones of the first axes, some of the
    /// next, all of the last. The first box is the largest.
    let cut (extents: int[]) (limit: int) : Box[] =
        let inner axis = Array.fold (*) 1 extents[axis + 1 ..]
        let axis =
            Seq.find (fun axis -> axis = extents.Length - 1 || inner axis <= limit) (seq { 0 .. extents.Length - 1 })
        let each = max 1 (limit / inner axis)
        let each = ceilDiv extents[axis] (ceilDiv extents[axis] each)
        let before = Array.fold (*) 1 extents[.. axis - 1]
        [| for outer in 0 .. before - 1 do
               let start = Array.zeroCreate extents.Length
               let mutable rest = outer
               for i in axis - 1 .. -1 .. 0 do
                   start[i] <- rest % extents[i]
                   rest <- rest / extents[i]
               for first in 0..each .. extents[axis] - 1 do
                   let start, count = Array.copy start, Array.mapi (fun i e -> if i < axis then 1 else e) extents
                   start[axis] <- first
                   count[axis] <- min each (extents[axis] - first)
                   { Start = start; Count = count } |]

/// A range of k that is summed at once: part of a box of channels and taps.
[<Struct>]
type internal DepthBlock =
    {
        Box: int
        /// Of the box, these.
        First: int
        Count: int
        /// The number of its first k in the whole sum.
        K: int
        /// It starts or ends a chain.
        Opens: bool
        Closes: bool
    }

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module internal DepthBlock =
    /// Boxes of k, cut where chains of sums end.
    let cut (boxes: Box[]) (depth: int) : DepthBlock[] =
        [| let mutable k = 0
           for b in 0 .. boxes.Length - 1 do
               let first, stop = k, k + boxes[b].Size
               while k < stop do
                   let chainEnd = min depth ((k / GemmPlan.Chain + 1) * GemmPlan.Chain)
                   let next = min stop chainEnd
                   { Box = b
                     First = k - first
                     Count = next - k
                     K = k
                     Opens = k % GemmPlan.Chain = 0
                     Closes = next = chainEnd }
                   k <- next |]

/// How a convolution is computed: tiles of some positions times some vectors of output channels. Each k of a tile meets one element of x
/// per position, wherever it lies, and a run of packed weights. The part of x that a job reads for a block of k is copied beside its
/// padding, so that places are the same in every job; nothing is repeated for the taps.
[<Sealed>]
type internal ConvPlan(conv: Conv) =
    let p = conv.Of
    let isDouble = p.DType = DType.F64
    let size = DType.size p.DType
    let bits = Isa.width ()
    let lanes = bits / 8 / size
    let outputs, depth = p.ResultOffsets[1].Length, p.LeftOffsets[2].Length
    let channels = p.RightOffsets[1].Length
    let evenly total limit = if total = 0 then limit else Box.ceilDiv total (Box.ceilDiv total limit)

    let axes = WindowAxis.three conv.Axes

    // ---- tiles

    let accumulators = MicroKernel.accumulators bits
    let vectors = Box.ceilDiv outputs lanes
    let tileVectors = evenly vectors (if accumulators >= 24 then 4 else 2)
    let width = tileVectors * lanes
    let panels = Box.ceilDiv vectors tileVectors
    let lastWidth = (vectors - (panels - 1) * tileVectors) * lanes
    let tallest = min (MicroKernel.maxRows bits) (accumulators / tileVectors)

    // ---- jobs

    let positions = WindowAxis.results axes
    let batches = p.ResultOffsets[0].Length
    /// Batches that share weights follow each other.
    let sets = (Array.distinct p.LeftOffsets[0]).Length
    let inSet = batches / sets
    let work = int64 batches * int64 positions * int64 outputs * int64 depth
    let isSerial = work < 1_000_000L
    let threads = if isSerial then 1 else Threads.Count
    let wanted = if threads = 1 then 1 else 4 * threads

    // Sums of a panel at work stay in the second cache, together with x; so do the weights of a block, better in the first.
    let most = 128 * 1024 / (width * size)
    let boxes =
        let total = batches * positions
        let share = Box.ceilDiv total (max 1 (Box.ceilDiv wanted panels))
        Box.cut [| inSet; axes[0].Results; axes[1].Results; axes[2].Results |] (min most (max 48 share))
    let jobPanels =
        let fits = max 1 (256 * 1024 / (boxes[0].Size * width * size))
        // Every share copies x again.
        let shares = Box.ceilDiv (Box.ceilDiv wanted 2) (sets * boxes.Length)
        evenly panels (max 1 (min fits (panels / shares)))

    // ---- depth

    let blockK = max 16 (72 * 1024 / (width * size))
    let depthBoxes = Box.cut [| channels; axes[0].Taps; axes[1].Taps; axes[2].Taps |] blockK
    let blocks = DepthBlock.cut depthBoxes depth

    // ---- the copy of x that a block reads: [batch, channel, places of three axes], each axis with the places that are read

    let largest, deepest = boxes[0].Count, depthBoxes[0].Count
    let rec gcd a b = if b = 0 then a else gcd b (a % b)
    /// Of each axis, how far apart the places are that are read at all.
    let grain =
        axes
        |> Array.map (fun a ->
            match a.Results, a.Taps with
            | 1, 1 -> 1
            | 1, _ -> a.PerTap
            | _, 1 -> a.PerResult
            | _ -> gcd a.PerResult a.PerTap)
    let perResult = Array.map2 (fun (a: WindowAxis) g -> if a.Results = 1 then 0 else a.PerResult / g) axes grain
    let perTap = Array.map2 (fun (a: WindowAxis) g -> if a.Taps = 1 then 0 else a.PerTap / g) axes grain
    let placesOf (results: int) (taps: int) i = (results - 1) * perResult[i] + (taps - 1) * perTap[i] + 1
    let places = Array.init 3 (fun i -> placesOf largest[i + 1] deepest[i + 1] i)
    let strides = [| places[1] * places[2]; places[2]; 1 |]
    let perChannel = places[0] * strides[0]
    let perBatch = deepest[0] * perChannel

    /// Offsets in bytes of the row-major indices of a box, where native code can read them.
    let table (counts: int[]) (first: int) (steps: int[]) : int64[] =
        let result = GC.AllocateUninitializedArray<int64>(Array.fold (*) 1 counts, true)
        for i in 0 .. result.Length - 1 do
            let mutable rest, at = i, 0
            for axis in 2..-1..0 do
                at <- at + rest % counts[axis + 1] * steps[axis] * strides[axis]
                rest <- rest / counts[axis + 1]
            result[i] <- int64 (at + rest * first) * int64 size
        result

    let rowTable = table largest perBatch perResult
    let depthTable = table deepest perChannel perTap

    // ---- kernels: of each height that occurs, for whole panels and for the last one

    let heights =
        boxes
        |> Array.collect (fun b ->
            let tiles = Box.ceilDiv b.Size tallest
            [| b.Size / tiles; Box.ceilDiv b.Size tiles |])
        |> Array.distinct
    let kernels =
        Array.init (2 * (tallest + 1)) (fun i ->
            let rows, columns = i / 2, (if i % 2 = 0 then width else lastWidth)
            if Array.contains rows heights then
                MicroKernel.get
                    { Double = isDouble
                      Bits = bits
                      Rows = rows
                      Vectors = columns / lanes
                      ReadA = ReadA.ByTable }
            else
                Unchecked.defaultof<Nanograd.Simd.Kernel>)

    let rows = Axis(Array.init boxes[0].Size (fun i -> i * width))
    let lastRows = Axis(Array.init boxes[0].Size (fun i -> i * lastWidth))
    let weightsK, weightsM = Axis p.LeftOffsets[2], Axis p.LeftOffsets[1]

    member _.Conv = conv
    member _.Size = size
    member _.IsSerial = isSerial
    member _.Axes = axes
    member _.Outputs = outputs
    member _.Depth = depth
    member _.Positions = positions
    member _.Width = width
    member _.Panels = panels
    member _.JobPanels = jobPanels
    member _.Tallest = tallest
    member _.Sets = sets
    member _.InSet = inSet
    member _.Boxes = boxes
    member _.DepthBoxes = depthBoxes
    member _.Blocks = blocks
    member _.Grain = grain
    member _.PerResult = perResult
    member _.PerTap = perTap
    member _.Strides = strides
    member _.PerChannel = perChannel
    member _.PerBatch = perBatch
    member _.RowTable = rowTable
    member _.DepthTable = depthTable
    member _.WeightsK = weightsK
    member _.WeightsM = weightsM
    member val PackMode = Pack.Mode(weightsK, weightsM)
    member val ResultM = Axis p.ResultOffsets[1]
    member val ResultN = Axis p.ResultOffsets[2]
    /// The sums of a panel: rows of channels, one for each position.
    member val Columns = Axis(Array.init width id)
    member _.RowsOf panel = if panel = panels - 1 then lastRows else rows
    /// The number of the first position of a box.
    member _.FirstOf(box: Box) = (box.Start[1] * axes[1].Results + box.Start[2]) * axes[2].Results + box.Start[3]
    /// Elements of the copy of x, of the sums of a job, of the packed weights of a set.
    member _.CopySize = int64 largest[0] * int64 perBatch
    member _.SumSize = int64 boxes[0].Size * int64 (jobPanels * width)
    member _.WeightSize = int64 depth * int64 ((panels - 1) * width + lastWidth)
    /// Elements in a row of a panel.
    member _.WidthOf panel = if panel = panels - 1 then lastWidth else width
    member _.Kernel(rows: int, panel: int) = kernels[2 * rows + (if panel = panels - 1 then 1 else 0)]
    member _.Chains = Box.ceilDiv depth GemmPlan.Chain
    /// Shares of the panels among the jobs of a box, and all jobs.
    member _.Shares = Box.ceilDiv panels jobPanels
    member plan.Jobs = sets * boxes.Length * plan.Shares
