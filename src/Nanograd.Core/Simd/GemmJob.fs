namespace Nanograd.Simd

open System.Runtime.CompilerServices
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

/// The panels of B: tiles' columns, the last of which may be narrower.
[<RequireQualifiedAccess>]
module internal Panels =

    /// Elements in memory.
    let bytes (plan: Plan) (elements: int) = nativeint elements * nativeint plan.Size

    /// How many elements each k has in a panel, padding included.
    let width (plan: Plan) panel = if panel = plan.Panels - 1 then plan.LastN else plan.TileN

    /// The first column of a panel; behind the last panel, N.
    let column (plan: Plan) panel = min plan.N (panel * plan.TileN)

    /// From the first packed panel to this one, in bytes.
    let offset (plan: Plan) first panel depth = bytes plan ((panel - first) * plan.TileN) * nativeint depth

    /// Packs k0 .. k1-1 of a panel to its place behind the panel `first`, which is at `target`.
    let pack (plan: Plan) (b: nativeint) batch first panel k0 k1 (target: nativeint) =
        let source = b + bytes plan plan.BatchB[batch]
        let into = target + offset plan first panel (k1 - k0)
        let j0, j1 = column plan panel, column plan (panel + 1)
        Pack.Panel(plan.PackB, source, plan.DepthB, k0, k1, plan.ColumnsB, j0, j1, into, width plan panel, plan.Size)

/// Takes rows of finished sums from where they were computed to where C lies.
[<Sealed; AbstractClass>]
type internal WriteBack private () =

    static let floats (address: nativeint) = NativePtr.ofNativeInt<float32> address
    static let doubles (address: nativeint) = NativePtr.ofNativeInt<float> address

    /// Columns j0 .. j1-1 of a row of C become the adjacent elements at `source`.
    static member Copy(source: nativeint, target: nativeint, columns: Axis, j0: int, j1: int, size: int) =
        let mutable j = j0

        while j < j1 do
            let stop = min j1 columns.RunEnds[j]
            let from = source + nativeint ((j - j0) * size)
            Pack.CopyBytes(from, target + nativeint columns.Offsets[j] * nativeint size, (stop - j) * size)
            j <- stop

    /// Columns j0 .. j1-1 of a row of C increase by the adjacent elements at `source`.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    static member Add(source: nativeint, target: nativeint, columns: Axis, j0: int, j1: int, size: int) =
        for j in j0 .. j1 - 1 do
            let from = source + nativeint ((j - j0) * size)
            let into = target + nativeint columns.Offsets[j] * nativeint size

            if size = 4 then
                NativePtr.write (floats into) (NativePtr.read (floats into) + NativePtr.read (floats from))
            else
                NativePtr.write (doubles into) (NativePtr.read (doubles into) + NativePtr.read (doubles from))

/// Computes rectangles of C, one after the other, on one thread.
///
/// All panels before `inPlace` are accumulated where C lies, the others in a copy, which is then stored or, for the chains
/// after the first, added.
[<Sealed>]
type internal Rectangle() =
    let panelsA, panelsB, copyC, argumentBlock = NativeBuffer(), NativeBuffer(), NativeBuffer(), NativeBuffer()
    let mutable arguments = 0n
    let mutable plan = Unchecked.defaultof<Plan>
    // The operands, and where in each the current batch starts.
    let mutable a = 0n
    let mutable b = 0n
    let mutable c = 0n
    let mutable batch = 0
    let mutable batchA = 0n
    let mutable batchB = 0n
    let mutable batchC = 0n
    // The current block of k, in the current chain.
    let mutable at = 0
    let mutable stop = 0
    let mutable k0 = 0
    let mutable k1 = 0
    // The packed panels of B, from the panel `first` on.
    let mutable packed = 0n
    let mutable first = 0
    let mutable inPlace = 0
    // The copy holds panels from `copied` on, and starts at row `copyM`.
    let mutable copied = 0
    let mutable copyM = 0
    let mutable copyRow = 0n
    let mutable copy = 0n

    let set (slot: int) (value: nativeint) = NativePtr.set (NativePtr.ofNativeInt<nativeint> arguments) slot value

    let bytes elements = Panels.bytes plan elements

    /// Packs the tiles of rows m0 .. m1-1, a few k at a time: the next tile's elements may lie in the same cache lines.
    let packRows m0 m1 =
        let target = panelsA.Reserve(int64 (bytes (plan.GroupA * plan.TileM)) * int64 plan.BlockK)

        for k in at..16 .. stop - 1 do
            for m in m0 .. plan.TileM .. m1 - 1 do
                let rows = min plan.TileM (m1 - m)
                let into = target + bytes (m - m0) * nativeint (stop - at) + bytes rows * nativeint (k - at)
                let k1 = min stop (k + 16)
                Pack.Panel(plan.PackA, batchA, plan.DepthA, k, k1, plan.RowsA, m, m + rows, into, rows, plan.Size)

    /// Tells the kernel where the rows of the tile at m are; `group` is the first row that was packed.
    let setA group m rows =
        if plan.ReadA = ReadA.ByTable then
            set Slot.A batchA
            set Slot.ARow (Marshal.UnsafeAddrOfPinnedArrayElement(plan.RowTable, m))
            set Slot.AStep (Marshal.UnsafeAddrOfPinnedArrayElement(plan.DepthTable, at))
        elif plan.DirectA then
            set Slot.A (batchA + bytes plan.RowsA.Offsets[m] + bytes plan.DepthA.Offsets[at])
            set Slot.ARow (bytes plan.RowsA.Step)
            set Slot.AStep (bytes plan.DepthA.Step)
        else
            set Slot.A (panelsA.Reserve 0L + bytes (m - group) * nativeint (stop - at))
            set Slot.AStep (bytes rows)

    /// Tells the kernel where a panel of B is, and packs it first if that is left to this thread.
    let setB panel =
        let row = bytes (Panels.width plan panel)

        if plan.Turns then
            let columns = bytes plan.ColumnsB.Offsets[Panels.column plan panel]
            set Slot.B (batchB + bytes plan.DepthB.Offsets[at] + columns)
            set Slot.BStep (bytes plan.ColumnsB.Step)
            set Slot.BTile (bytes plan.ColumnsB.Step * nativeint plan.TileN)
        elif panel < plan.FirstPacked then
            let columns = bytes plan.ColumnsB.Offsets[Panels.column plan panel]
            set Slot.B (batchB + bytes plan.DepthB.Offsets[at] + columns)
            set Slot.BStep (bytes plan.DepthB.Step)
            set Slot.BTile (bytes plan.TileN)
        elif plan.Streams then
            let buffer = panelsB.Reserve(int64 (Panels.offset plan 0 1 plan.BlockK))
            Panels.pack plan b batch panel panel at stop buffer
            set Slot.B buffer
            set Slot.BStep row
        elif plan.Owns then
            set Slot.B (packed + Panels.offset plan first panel (stop - at))
            set Slot.BStep row
            set Slot.BTile (Panels.offset plan 0 1 (stop - at))
        else
            set Slot.B (packed + Panels.offset plan first panel (k1 - k0) + nativeint (at - k0) * row)
            set Slot.BStep row
            set Slot.BTile (Panels.offset plan 0 1 (k1 - k0))

    /// Tells the kernel where the tile of C at row m of a panel is.
    let setC m panel =
        if panel < inPlace then
            let columns = bytes plan.ColumnsC.Offsets[Panels.column plan panel]
            set Slot.C (batchC + bytes plan.RowsC.Offsets[m] + columns)
            set Slot.CRow (bytes plan.RowsC.Step)
        else
            set Slot.C (copy + nativeint (m - copyM) * copyRow + bytes ((panel - copied) * plan.TileN))
            set Slot.CRow copyRow

    /// The first panel after `panel` that cannot be computed by the same call of a kernel.
    let segmentEnd panel last =
        let last = if plan.LastDiffers && panel < plan.Panels - 1 then min last (plan.Panels - 1) else last
        let last = if panel < inPlace then min last inPlace else last

        if panel < plan.FirstPacked then min last plan.FirstPacked
        elif plan.Streams then panel + 1
        else last

    /// One row of tiles.
    let runTiles group m rows p0 p1 =
        setA group m rows
        let mutable panel = p0

        while panel < p1 do
            let last = segmentEnd panel p1
            setB panel
            setC m panel
            set Slot.Tiles (nativeint (last - panel))
            let narrow = plan.LastDiffers && panel = plan.Panels - 1
            let kernel = (if rows < plan.TileM then 2 else 0) + (if narrow then 1 else 0)
            plan.Kernels[kernel].Invoke arguments
            panel <- last

    /// Takes rows of the copy, now final, to where C lies.
    let writeBack m0 m1 p1 =
        let j0, j1 = Panels.column plan copied, Panels.column plan p1

        if plan.TransposesC && k0 = 0 then
            let target = batchC + bytes plan.RowsC.Offsets[m0] + bytes plan.ColumnsC.Offsets[j0]
            let columns, rows = plan.CopyColumns, plan.CopyRows
            Pack.Transpose(
                copy,
                columns,
                0,
                j1 - j0,
                rows,
                m0 - copyM,
                m1 - copyM,
                target,
                bytes plan.ColumnsC.Step,
                plan.Size
            )
        else
            for m in m0 .. m1 - 1 do
                let from = copy + nativeint (m - copyM) * copyRow
                let into = batchC + bytes plan.RowsC.Offsets[m]

                if k0 = 0 then
                    WriteBack.Copy(from, into, plan.ColumnsC, j0, j1, plan.Size)
                else
                    WriteBack.Add(from, into, plan.ColumnsC, j0, j1, plan.Size)

    /// Rows m0 .. m1-1, whose A is packed together if it is packed; B in pieces that stay in the second cache.
    let runGroup m0 m1 p0 p1 =
        if not plan.DirectA then packRows m0 m1

        for p in p0 .. plan.CachePanels .. p1 - 1 do
            for m in m0 .. plan.TileM .. m1 - 1 do
                runTiles m0 m (min plan.TileM (m1 - m)) p (min p1 (p + plan.CachePanels))

        if copied < p1 && stop = k1 then writeBack m0 m1 p1

    /// Packs the current block of k of all panels, for this thread alone.
    let packColumns p0 p1 =
        first <- max p0 plan.FirstPacked
        packed <- panelsB.Reserve(int64 (Panels.offset plan first p1 plan.BlockK))

        for panel in first .. p1 - 1 do
            Panels.pack plan b batch first panel at stop packed

    let place m0 m1 p0 p1 =
        inPlace <- if k0 = 0 then plan.DirectC else 0
        copied <- max p0 inPlace
        copyM <- m0

        if copied < p1 then
            copyRow <- bytes ((if plan.TransposesC then plan.JobPanels else p1 - copied) * plan.TileN)
            copy <- copyC.Reserve(int64 (m1 - m0) * int64 copyRow)

    /// Says which product the next rectangles belong to.
    member _.Begin(newPlan: Plan, newA: nativeint, newB: nativeint, newC: nativeint) =
        plan <- newPlan
        a <- newA
        b <- newB
        c <- newC
        arguments <- argumentBlock.Reserve(int64 (Slot.Count * sizeof<nativeint>))
        set Slot.CTile (bytes plan.TileN)

    member _.SetBatch(next: int) =
        batch <- next
        batchA <- a + bytes plan.BatchA[next]
        batchB <- b + bytes plan.BatchB[next]
        batchC <- c + bytes plan.BatchC[next]

    /// Says which k, all of one chain, the next rectangles sum, and where B's panels are packed.
    member _.SetChain(start: int, finish: int, panels: nativeint, firstPanel: int) =
        k0 <- start
        k1 <- finish
        packed <- panels
        first <- firstPanel

    /// Rows m0 .. m1-1 and panels p0 .. p1-1.
    member _.Compute(m0: int, m1: int, p0: int, p1: int) =
        place m0 m1 p0 p1
        let group = plan.GroupA * plan.TileM

        for block in k0 .. plan.BlockK .. k1 - 1 do
            at <- block
            stop <- min k1 (block + plan.BlockK)
            set Slot.K (nativeint (stop - at))
            set Slot.Continue (nativeint (at - k0))
            if plan.Owns then packColumns p0 p1

            for m in m0..group .. m1 - 1 do
                runGroup m (min m1 (m + group)) p0 p1
