namespace Nanograd.Simd

/// Told about each finished rectangle of C by the thread that computed it, while it is hot in that thread's cache.
[<AbstractClass; AllowNullLiteral>]
type Tile() =
    /// Rows m0 .. m1-1 and columns n0 .. n1-1 of one batch are final. Every element is reported exactly once.
    abstract Finish: batch: int * m0: int * m1: int * n0: int * n1: int -> unit

/// What a product is doing with its parts.
type internal Phase =
    /// Each part packs a panel of B.
    | Pack = 0
    /// Each part is a job of the plan.
    | Compute = 1

/// One run of a plan over floats. Rented and returned, so that running allocates nothing.
[<Sealed>]
type internal Product() =
    inherit Job()

    let shared = NativeBuffer()
    let mutable plan = Unchecked.defaultof<Plan>
    let mutable a = 0n
    let mutable b = 0n
    let mutable c = 0n
    let mutable tile: Tile = null
    let mutable phase = Phase.Compute
    // The batches, panels and k that are being worked on, and where their packed B is.
    let mutable batch0 = 0
    let mutable batch1 = 0
    let mutable panel0 = 0
    let mutable panel1 = 0
    let mutable k0 = 0
    let mutable k1 = 0
    let mutable packed = 0n

    let blocksM () = GemmPlan.ceilDiv plan.M plan.JobM

    let blocksN () = GemmPlan.ceilDiv (panel1 - panel0) plan.JobPanels

    let groups () = GemmPlan.ceilDiv (batch1 - batch0) plan.JobBatches

    let firstPacked () = max panel0 plan.FirstPacked

    let report batch m0 m1 p0 p1 =
        let n0, n1 = Panels.column plan p0, Panels.column plan p1

        match tile with
        | null -> ()
        | tile when plan.Swapped -> tile.Finish(batch, n0, n1, m0, m1)
        | tile -> tile.Finish(batch, m0, m1, n0, n1)

    let runBatch (rectangle: Rectangle) batch m0 m1 p0 p1 =
        rectangle.SetBatch batch
        rectangle.SetChain(k0, k1, packed, firstPacked ())
        rectangle.Compute(m0, m1, p0, p1)

        if k1 = plan.Problem.K then report batch m0 m1 p0 p1

    let runJob (rectangle: Rectangle) part =
        let m0 = part % blocksM () * plan.JobM
        let part = part / blocksM ()
        let p0 = panel0 + part % blocksN () * plan.JobPanels
        let batch = batch0 + part / blocksN () * plan.JobBatches
        let m1, p1 = min plan.M (m0 + plan.JobM), min panel1 (p0 + plan.JobPanels)
        rectangle.Begin(plan, a, b, c)

        for batch in batch .. min batch1 (batch + plan.JobBatches) - 1 do
            runBatch rectangle batch m0 m1 p0 p1

    member private product.Fork(next: Phase, parts: int) =
        phase <- next

        if plan.Serial then
            for part in 0 .. parts - 1 do
                product.Run part
        else
            Threads.Run(product, parts)

    /// Computes the current batches, panels and k: packs what of B all jobs need, then does the jobs.
    member private product.Step() =
        let toPack = panel1 - firstPacked ()

        if toPack > 0 && not plan.Owns && not plan.Streams then
            packed <- shared.Reserve(int64 (Panels.offset plan 0 toPack (k1 - k0)))
            product.Fork(Phase.Pack, toPack)

        product.Fork(Phase.Compute, groups () * blocksN () * blocksM ())

    /// Slab after slab; within a slab chain after chain, whose sums are added in this order.
    member private product.Steps() =
        let together = plan.Owns || plan.Streams || plan.SharedB || plan.FirstPacked = plan.Panels
        let batches = if together then plan.Problem.Batches else 1

        for batch in 0..batches .. plan.Problem.Batches - 1 do
            batch0 <- batch
            batch1 <- batch + batches

            for panel in 0 .. plan.SlabPanels .. plan.Panels - 1 do
                panel0 <- panel
                panel1 <- min plan.Panels (panel + plan.SlabPanels)

                for k in 0 .. GemmPlan.Chain .. plan.Problem.K - 1 do
                    k0 <- k
                    k1 <- min plan.Problem.K (k + GemmPlan.Chain)
                    product.Step()

    override _.Run part =
        if phase = Phase.Pack then
            Panels.pack plan b batch0 (firstPacked ()) (firstPacked () + part) k0 k1 packed
        else
            let rectangle = Rental<Rectangle>.Rent()

            try
                runJob rectangle part
            finally
                Rental<Rectangle>.Return rectangle

    member private product.RunAll(newPlan: Plan, newA: nativeint, newB: nativeint, newC: nativeint, newTile: Tile) =
        plan <- newPlan
        a <- (if newPlan.Swapped then newB else newA)
        b <- (if newPlan.Swapped then newA else newB)
        c <- newC
        tile <- newTile
        product.Steps()

    /// Runs a plan of floats that is not empty.
    static member Run(plan: Plan, a: nativeint, b: nativeint, c: nativeint, tile: Tile) =
        let product = Rental<Product>.Rent()

        try
            product.RunAll(plan, a, b, c, tile)
        finally
            Rental<Product>.Return product
