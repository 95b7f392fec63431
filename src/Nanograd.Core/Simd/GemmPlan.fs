namespace Nanograd.Simd

open System

/// The element types of a matrix product.
[<RequireQualifiedAccess>]
type Element =
    | F32
    | F64
    | I32
    | I64
    | U32
    | U8
    | I8

/// A batch of matrices somewhere in memory: element (b, i, j) lies `Batch[b] + Rows[i] + Columns[j]` elements from the
/// base. Any strided, transposed, reversed or broadcast view is one, and so are the patches of a convolution.
type View = { Batch: int[]; Rows: int[]; Columns: int[] }

/// C[b,m,n] = sum over k of A[b,m,k] * B[b,k,n], with B's rows along k. C must not overlap itself, A or B.
type Problem =
    { Element: Element
      M: int
      N: int
      K: int
      Batches: int
      A: View
      B: View
      C: View }

/// How a product is to be computed: everything that can be known before the addresses are.
[<ReferenceEquality>]
type Plan =
    internal
        {
            /// As the caller gave it.
            Problem: Problem
            /// The roles of A and B are exchanged, and C is transposed. (See GemmPlan.)
            Swapped: bool
            Size: int
            Lanes: int
            M: int
            N: int
            BatchA: int[]
            BatchB: int[]
            BatchC: int[]
            RowsA: Axis
            DepthA: Axis
            DepthB: Axis
            ColumnsB: Axis
            RowsC: Axis
            ColumnsC: Axis
            /// A is read where it lies, else panel by panel through a copy in this mode.
            DirectA: bool
            ReadA: ReadA
            /// For kernels by table: the places of the rows and the k of A, in bytes, pinned.
            RowTable: int64[]
            DepthTable: int64[]
            /// Tiles of A that are packed together.
            GroupA: int
            PackA: PackMode
            PackB: PackMode
            /// B is the same in all batches.
            SharedB: bool
            /// Columns of B are read where they lie along k, and turned over in registers.
            Turns: bool
            /// Rows and columns of a full tile; columns of the last tile, a multiple of the vector.
            TileM: int
            TileN: int
            LastN: int
            Panels: int
            /// The last panel needs a kernel to itself.
            LastDiffers: bool
            /// Panels from here on are packed, those before are read where they lie.
            FirstPacked: int
            /// Panels that are written where C lies; the others through a copy.
            DirectC: int
            /// C is contiguous along its rows' axis: finished copies are transposed on their way to it. The axes of such a copy.
            TransposesC: bool
            CopyRows: Axis
            CopyColumns: Axis
            /// k in one pass over the panels of a job.
            BlockK: int
            /// Rows and panels of a job; panels that are packed together.
            JobM: int
            JobPanels: int
            SlabPanels: int
            /// Panels that the tiles of one group use one after the other, while they are in the second cache.
            CachePanels: int
            JobBatches: int
            /// Panels of B are packed by the job that uses them, a block of k at a time: there is one row of tiles.
            Streams: bool
            /// The same for all panels of a job at once.
            Owns: bool
            /// The work is too small to share.
            Serial: bool
            /// Full rows and full columns, full and last, last and full, last and last.
            Kernels: Kernel[]
        }

/// Decides how a product is computed.
[<RequireQualifiedAccess>]
module GemmPlan =

    /// K is summed in chains of this length; their results are added in order. Part of the language's definition.
    [<Literal>]
    let Chain = 8192

    // Sizes in bytes, for caches of 32 KiB or more, 512 KiB or more for each core.
    let private blockBytes = 384L * 1024L
    let private slabBytes = 16L * 1024L * 1024L
    let private localBytes = 256L * 1024L
    let private smallBytes = 64 * 1024
    let private depth = 512
    let private streamDepth = 64

    // Multiply-adds: a job that is worth handing out, a product that is worth forking for.
    let private grain = 200_000L
    let private serialWork = 1_000_000L

    let internal ceilDiv a b = (a + b - 1) / b

    /// The size of each piece if `total` is cut evenly into the fewest pieces of at most `limit`.
    let private evenly total limit = if total = 0 then limit else ceilDiv total (ceilDiv total limit)

    let private lacks (length: int) (offsets: int[]) = offsets.Length <> length

    /// Raises unless each table has one offset for each index.
    let check (p: Problem) =
        let view name (view: View) rows columns =
            if lacks p.Batches view.Batch || lacks rows view.Rows || lacks columns view.Columns then
                let got = $"[{view.Batch.Length},{view.Rows.Length},{view.Columns.Length}]"
                invalidArg (nameof p) $"gemm: view {name} must be [{p.Batches},{rows},{columns}], got {got}"

        view (nameof p.A) p.A p.M p.K
        view (nameof p.B) p.B p.K p.N
        view (nameof p.C) p.C p.M p.N

    let private transpose (view: View) = { view with Rows = view.Columns; Columns = view.Rows }

    /// Sums so long that what happens to C once in a chain does not matter.
    let private longSum = 4096

    /// About how many cycles a k of a long sum takes if a, with m rows, is read element by element, and b, with n columns,
    /// by vectors: the arithmetic, and the packing of what cannot be read where it lies.
    let private cycles (a: View) m (b: View) n lanes =
        let pack (k: Axis) (across: Axis) =
            match Pack.Mode(k, across) with
            | PackMode.Copy -> 0.1
            | PackMode.Transpose -> 0.5
            | PackMode.Gather -> 1.5

        let depthA, depthB, columnsB = Axis a.Columns, Axis b.Rows, Axis b.Columns
        let arithmetic = float (m * ceilDiv n lanes) / 2.0
        let packA = if depthA.IsNear lanes then 0.0 else float m * pack depthA (Axis a.Rows)
        arithmetic + packA + float n * pack depthB columnsB

    /// A large matrix whose rows lie along k is read where it lies as A, but would be transposed into panels as B. That is worth
    /// packing the small matrix and transposing the result.
    let private isThin (depth: int) (few: int) (many: int) =
        int64 depth * int64 few + 4L * int64 few * int64 many <= int64 depth * int64 many

    let private liesAlong (depth: Axis) (across: Axis) =
        depth.IsContiguous && across.IsRegular && not across.IsContiguous

    /// The most rows of A for which columns of B are turned over: with more of them, elements of A would not find registers.
    let private mostTurned = 8

    /// Is A, with few rows, to be multiplied by columns of B that are turned over? They are read once, in order, which is all that
    /// matters where B is large.
    let private turns few many k lanes (depth: Axis) (across: Axis) =
        few <= mostTurned
        && few <= many
        && k >= lanes
        && liesAlong depth across
        && TurnedKernel.isSupported (Isa.width ())

    /// Rows and columns of a tile whose columns are turned over. One more vector hides the latency of the chains, but columns
    /// a multiple of 4 KiB apart share few sets of the first cache, and memory gives most along few columns at once.
    let private turnedTile lanes m n (across: Axis) size =
        let tileM = evenly m mostTurned
        let widest = if tileM > 2 || across.Step * size % 4096 = 0 then 1 else 2
        tileM, lanes * evenly (ceilDiv n lanes) widest

    /// C' = B' A' is the same product, and a * b = b * a bit by bit (but for which of two NaNs survives). The columns of
    /// the exchanged product should be the axis along which C is contiguous, or the one that fills vectors; where sums are
    /// long, the less work decides.
    let private wantsSwap (p: Problem) (lanes: int) =
        let rows, columns = Axis p.C.Rows, Axis p.C.Columns

        /// Of the work as it is, how much is left if the roles are exchanged.
        let share () = cycles (transpose p.B) p.N (transpose p.A) p.M lanes / cycles p.A p.M p.B p.N lanes

        let share = if p.K >= longSum then share () else 1.0

        if turns p.M p.N p.K lanes (Axis p.B.Rows) (Axis p.B.Columns) then false
        elif turns p.N p.M p.K lanes (Axis p.A.Columns) (Axis p.A.Rows) then true
        elif share < 0.9 then true
        elif share > 1.1 then false
        elif isThin p.K p.N p.M && liesAlong (Axis p.A.Columns) (Axis p.A.Rows) then false
        elif isThin p.K p.M p.N && liesAlong (Axis p.B.Rows) (Axis p.B.Columns) then true
        elif columns.IsContiguous && rows.IsContiguous then p.M > p.N
        elif p.N * 2 <= lanes && p.M > p.N then true
        elif p.M * 2 <= lanes && p.N > p.M then false
        else rows.IsContiguous && not columns.IsContiguous

    /// Low tiles are wide, to keep enough chains going at once; where rows of B are read in place, wide also for the sake
    /// of long runs of memory.
    let private tile (bits: int) (lanes: int) (longRuns: bool) m n =
        let tallest = if n <= lanes then MicroKernel.maxRowsOfOne bits else MicroKernel.maxRows bits
        let tileM = evenly m tallest
        let widest = min (if longRuns then 16 else 8) (MicroKernel.accumulators bits / max 1 tileM)
        let vectors = ceilDiv n lanes
        let tileN = lanes * evenly vectors widest
        tileM, tileN

    let private kernels isDouble bits readA m tileM tileN lastN =
        let lanes = bits / 8 / (if isDouble then 8 else 4)
        let lastM = m - (ceilDiv m tileM - 1) * tileM

        [| for rows in [ tileM; lastM ] do
               for columns in [ tileN; lastN ] do
                   MicroKernel.get
                       { Double = isDouble
                         Bits = bits
                         Rows = rows
                         Vectors = columns / lanes
                         ReadA = readA } |]

    /// The same of kernels that turn columns over, of which the last vector's may be fewer.
    let private turnedKernels isDouble bits readA m tileM n tileN =
        let lanes = bits / 8 / (if isDouble then 8 else 4)
        let last count each = count - (ceilDiv count each - 1) * each
        let lastN = last n tileN

        [| for rows in [ tileM; last m tileM ] do
               for columns in [ tileN; lastN ] do
                   TurnedKernel.get
                       { Double = isDouble
                         Bits = bits
                         Rows = rows
                         Vectors = ceilDiv columns lanes
                         Columns = last columns lanes
                         ReadA = readA } |]

    /// The places of an axis in bytes, where native code can read them.
    let private table (axis: Axis) size =
        let places = GC.AllocateUninitializedArray<int64>(axis.Length, true)

        for i in 0 .. axis.Length - 1 do
            places[i] <- int64 axis.Offsets[i] * int64 size

        places

    /// How the roles are cast and the tiles are cut.
    let private layout (p: Problem) : Plan =
        let isDouble = p.Element = Element.F64
        let bits = Isa.width ()
        let size = if isDouble then 8 else 4
        let lanes = bits / 8 / size
        let swapped = wantsSwap p lanes
        let m, n = if swapped then p.N, p.M else p.M, p.N
        let a, b = if swapped then transpose p.B, transpose p.A else p.A, p.B
        let c = if swapped then transpose p.C else p.C
        let rowsA, depthA, depthB, columnsB = Axis a.Rows, Axis a.Columns, Axis b.Rows, Axis b.Columns
        let rowsC, columnsC = Axis c.Rows, Axis c.Columns
        let turned = turns m n p.K lanes depthB columnsB
        let tileM, tileN =
            if turned then turnedTile lanes m n columnsB size else tile bits lanes columnsB.IsContiguous m n
        let panels = ceilDiv n tileN
        let lastN = lanes * ceilDiv (n - (panels - 1) * tileN) lanes
        let wholePanels = if n % lanes = 0 then panels else panels - 1
        let alongK = depthA.IsContiguous && rowsA.IsRegular
        // Far steps along k share few sets of the first cache; a copy pays if it is read more than twice.
        let far = abs depthA.Step * size >= 2048 && p.K > 64 && panels > 2
        let alongM = rowsA.IsContiguous && depthA.IsRegular && not far
        // Shorter sums pack A once and read it often.
        let byTable = p.K >= longSum && not alongK && not alongM && depthA.IsNear(64 / size)
        let readA =
            if alongK then ReadA.AlongK
            elif byTable then ReadA.ByTable
            else ReadA.AlongM
        let directA = alongK || alongM || byTable
        let fits = m <= 8 * tileM || (abs depthB.Step * size <= 1024 && p.K * n * size <= smallBytes)
        let directB = columnsB.IsContiguous && depthB.IsRegular && fits
        let directC = columnsC.IsContiguous && rowsC.IsRegular

        { Problem = p
          Swapped = swapped
          Size = size
          Lanes = lanes
          M = m
          N = n
          BatchA = a.Batch
          BatchB = b.Batch
          BatchC = c.Batch
          RowsA = rowsA
          DepthA = depthA
          DepthB = depthB
          ColumnsB = columnsB
          RowsC = rowsC
          ColumnsC = columnsC
          DirectA = directA
          ReadA = readA
          RowTable = if readA = ReadA.ByTable then table rowsA size else [||]
          DepthTable = if readA = ReadA.ByTable then table depthA size else [||]
          Turns = turned
          LastDiffers = lastN <> tileN || (turned && n % lanes <> 0)
          GroupA = if directA || turned then 1 else 8
          PackA = Pack.Mode(depthA, rowsA)
          PackB = Pack.Mode(depthB, columnsB)
          SharedB = b.Batch |> Array.forall (fun offset -> offset = b.Batch[0])
          TileM = tileM
          TileN = tileN
          LastN = lastN
          Panels = panels
          FirstPacked =
            if turned then panels
            elif directB then wholePanels
            else 0
          DirectC = if directC then wholePanels else 0
          TransposesC = rowsC.IsContiguous && columnsC.IsRegular && (n = 1 || not columnsC.IsContiguous)
          CopyRows = Axis [||]
          CopyColumns = Axis [||]
          BlockK = 0
          JobM = 0
          JobPanels = 0
          SlabPanels = 0
          CachePanels = 0
          Streams = false
          Owns = false
          JobBatches = 1
          Serial = true
          Kernels =
            if turned then
                turnedKernels isDouble bits readA m tileM n tileN
            else
                kernels isDouble bits readA m tileM tileN lastN }

    let private atMost (limit: int64) (each: int64) = int (max 1L (limit / each))

    /// How many batches make a job that is worth handing out and still leave every thread several jobs.
    let private together (threads: int) (plan: Plan) =
        let one = int64 plan.M * int64 plan.N * int64 plan.Problem.K
        max 1 (min (int (grain / max 1L one)) (plan.Problem.Batches / (4 * threads)))

    /// Products each of which one thread computes alone, B packed for itself, some batches at a time.
    let private divideBatches (threads: int) (plan: Plan) =
        { plan with
            Owns = true
            JobM = plan.M
            JobPanels = plan.Panels
            SlabPanels = plan.Panels
            CachePanels = plan.Panels
            JobBatches = together threads plan }

    /// Products that all threads compute together: small enough jobs that every thread gets several, large enough that
    /// they reuse what is in cache.
    let private divideProduct (threads: int) (plan: Plan) =
        let batches = plan.Problem.Batches
        let panelBytes = int64 plan.TileN * int64 plan.Size
        let chain = int64 (min plan.Problem.K Chain)
        let slab =
            if plan.Streams || plan.Turns then
                plan.Panels
            else
                evenly plan.Panels (atMost slabBytes (chain * panelBytes))
        let cached = if plan.Turns then slab else evenly slab (atMost blockBytes (int64 plan.BlockK * panelBytes))
        // Every block of columns would pack A again.
        let across = if plan.DirectA then cached else slab
        let wanted = if threads = 1 then 1 else 6 * threads
        let tiles = ceilDiv plan.M plan.TileM
        let high = evenly tiles (256 / plan.TileM)
        let high = min high (max 2 (tiles / ceilDiv wanted (batches * ceilDiv slab across)))
        let across = min across (max 1 (slab / ceilDiv wanted (batches * ceilDiv tiles high)))
        let isWhole = high >= tiles && across = plan.Panels

        { plan with
            JobM = high * plan.TileM
            JobPanels = across
            SlabPanels = slab
            CachePanels = min across cached
            JobBatches = if isWhole then together threads plan else 1 }

    /// Each job does a share of the rows, whose sums stay in the second cache, and packs B for itself, a block of k at a
    /// time. B is packed as often as there are shares, so that these should not be low.
    let private divideRows (threads: int) (plan: Plan) =
        let wanted = max 128 (atMost (2L * localBytes) (int64 plan.N * int64 plan.Size))
        let shares = threads * ceilDiv (ceilDiv plan.M wanted) threads
        let block = min depth (atMost localBytes (int64 plan.N * int64 plan.Size))

        { plan with
            Owns = true
            BlockK = 4 * ceilDiv (evenly (min plan.Problem.K Chain) block) 4
            JobM = plan.TileM * ceilDiv (ceilDiv plan.M plan.TileM) shares
            JobPanels = plan.Panels
            SlabPanels = plan.Panels
            CachePanels = plan.Panels }

    /// The axes of the copy that a job makes of its part of C, if it will be transposed.
    let private withCopy (plan: Plan) =
        if plan.TransposesC then
            let row = plan.JobPanels * plan.TileN
            { plan with
                CopyRows = Axis(Array.init (min plan.M plan.JobM) (fun i -> i * row))
                CopyColumns = Axis [| 0 .. row - 1 |] }
        else
            plan

    /// The plan of a product of floats that is not empty.
    let internal ofFloats (p: Problem) : Plan =
        let plan = layout p
        let total = int64 p.Batches * int64 plan.M * int64 plan.N * int64 p.K
        let bytesB = int64 p.K * int64 plan.N * int64 plan.Size
        // Where B is read once, reading it is the work.
        let serial = total < serialWork && not (plan.Turns && bytesB > localBytes)
        let threads = if serial then 1 else Threads.Count
        let streams = plan.M <= plan.TileM && plan.FirstPacked < plan.Panels
        let deepest =
            if plan.Turns then Chain
            elif streams then streamDepth
            else depth
        let block = 4 * ceilDiv (evenly (min p.K Chain) deepest) 4
        let plan = { plan with BlockK = block; Serial = serial; Streams = streams }
        let apart = p.Batches > 1 && p.Batches >= 2 * threads && not plan.SharedB
        let isLong = plan.ReadA = ReadA.ByTable && plan.FirstPacked = 0 && p.K >= longSum && plan.N <= 1024

        let divided =
            if streams then divideProduct threads plan
            elif apart && bytesB <= localBytes then divideBatches threads plan
            elif isLong then divideRows threads plan
            else divideProduct threads plan

        withCopy divided

    /// The plan of a product that needs no kernels: of integers, or without elements.
    let internal plain (p: Problem) : Plan =
        let none = Axis [||]

        { Problem = p
          Swapped = false
          Size = 0
          Lanes = 0
          M = p.M
          N = p.N
          BatchA = [||]
          BatchB = [||]
          BatchC = [||]
          RowsA = none
          DepthA = none
          DepthB = none
          ColumnsB = none
          RowsC = none
          ColumnsC = none
          DirectA = false
          ReadA = ReadA.AlongM
          RowTable = [||]
          DepthTable = [||]
          GroupA = 0
          PackA = PackMode.Gather
          PackB = PackMode.Gather
          SharedB = false
          Turns = false
          LastDiffers = false
          TileM = 0
          TileN = 0
          LastN = 0
          Panels = 0
          FirstPacked = 0
          DirectC = 0
          TransposesC = false
          CopyRows = none
          CopyColumns = none
          BlockK = 0
          JobM = 0
          JobPanels = 0
          SlabPanels = 0
          CachePanels = 0
          Streams = false
          Owns = false
          JobBatches = 0
          Serial = true
          Kernels = [||] }
