namespace Nanograd

open System

/// Convolutions as matrix products without patches in memory: where an element of x meets which element of w is the sum of
/// an offset for the position of the result and one for the position of the kernel, and that is all a product asks for.
[<RequireQualifiedAccess>]
module internal LowerConv =
    let rec private gcd a b = if b = 0 then a else gcd b (a % b)

    /// What a spatial axis looks like to the results phase, phase + period, ...: all of them meet the same positions of the
    /// kernel (first, first + step, ...), at places of x that move evenly.
    [<Struct>]
    type private Phase =
        {
            Results: int
            ResultStart: int
            ResultStep: int
            Taps: int
            TapStart: int
            TapStep: int
            /// The place in x of the first tap at the first result; how it moves from result to result, from tap to tap.
            Place: int
            PlacePerResult: int
            PlacePerTap: int
        }

    let private ceilDiv a b = (a + b - 1) / b

    /// The phases of one axis: as many as there are ways in which the steps of the results fall on a dilated x.
    let private phases (c: Convolution) (axis: int) (kernel: int) (results: int) : Phase[] =
        let stride, low = c.Strides[axis], c.PadLow[axis]
        let left, right = c.LeftDilation[axis], c.RightDilation[axis]
        let period, step = left / gcd stride left, left / gcd right left
        [| for phase in 0 .. min period results - 1 do
               let at k = phase * stride + k * right - low
               let tap = Seq.tryFind (fun k -> at k % left = 0) (seq { 0 .. min step kernel - 1 })
               { Results = ceilDiv (results - phase) period
                 ResultStart = phase
                 ResultStep = period
                 Taps =
                   (match tap with
                    | Some k -> ceilDiv (kernel - k) step
                    | None -> 0)
                 TapStart = Option.defaultValue 0 tap
                 TapStep = step
                 Place =
                   (match tap with
                    | Some k -> at k / left
                    | None -> 0)
                 PlacePerResult = period * stride / left
                 PlacePerTap = step * right / left } |]

    /// One choice from each.
    let private choices (sets: 'a[][]) : 'a[][] =
        Array.foldBack
            (fun set tails ->
                [| for x in set do
                       for tail in tails -> Array.append [| x |] tail |])
            sets
            [| [||] |]

    /// How far before and behind x the places of an axis reach.
    let private reach (phases: Phase[]) (extent: int) =
        let used = phases |> Array.filter (fun p -> p.Taps > 0)
        let last (p: Phase) = p.Place + (p.Results - 1) * p.PlacePerResult + (p.Taps - 1) * p.PlacePerTap
        let low = used |> Array.fold (fun low p -> max low -p.Place) 0
        let high = used |> Array.fold (fun high p -> max high (last p - extent + 1)) 0
        low, high

    let private steps count step = Array.init count (fun i -> i * step)

    /// All sums of one offset from each table, the last table fastest.
    let private sums (tables: int[][]) =
        Array.fold (fun (acc: int[]) (t: int[]) -> Array.collect (fun o -> Array.map ((+) o) t) acc) [| 0 |] tables

    /// An axis of positions: where each lies in x and in the result.
    [<Struct>]
    type private Positions = { InX: int[]; InResult: int[] }

    /// The positions that one job packs: as many of the last axes as keep its patches in the second cache. The axis before
    /// is cut evenly; what is left over of it is a second cut.
    let private cut (positions: Positions[]) (limit: int) : struct (Positions[] * Positions[])[] =
        let mutable size, first = 1, positions.Length
        // Several images only where one has too few positions to fill tiles: the result is written best in long runs.
        let fits () = size * positions[first - 1].InX.Length <= limit && (first > 1 || size < 192)
        while first > 0 && fits () do
            first <- first - 1
            size <- size * positions[first].InX.Length
        if first = 0 then
            [| struct ([||], positions) |]
        else
            let axis = positions[first - 1]
            let extent = axis.InX.Length
            let wanted = if first > 1 then limit else min limit (max size 256)
            let each = max 1 (min extent (wanted / size))
            let each = ceilDiv extent (ceilDiv extent each)
            let whole = extent / each
            let part from count =
                { InX = Array.sub axis.InX from count
                  InResult = Array.sub axis.InResult from count }
            let starts =
                { InX = Array.init whole (fun i -> axis.InX[i * each] - axis.InX[0])
                  InResult = Array.init whole (fun i -> axis.InResult[i * each] - axis.InResult[0]) }
            let before, inner = positions[.. first - 2], positions[first..]
            [| struct (Array.append before [| starts |], Array.append [| part 0 each |] inner)
               if whole * each < extent then
                   struct (before, Array.append [| part (whole * each) (extent - whole * each) |] inner) |]

    /// Patches of a job, in bytes.
    let private patchBytes = 256 * 1024

    /// Where an operand is: a buffer, and the offset of every index of its first two axes (the start is in the first table)
    /// and of one step along each spatial axis.
    type private Located = { Buffer: int; Tables: int[][]; Strides: int[] }

    let private isEven (table: int[]) =
        table
        |> Array.forall2
            (fun expected o -> o = expected)
            (Array.init table.Length (fun i -> if i < 2 then table[i] else table[0] + i * (table[1] - table[0])))

    /// Are all groups of `size` indices alike?
    let private isGrouped (table: int[]) size =
        table |> Array.indexed |> Array.forall (fun (i, o) -> o = table[i / size * size] + table[i % size] - table[0])

    /// Views are followed as far as their offsets are sums; otherwise the operand is copied. Axis `grouped` consists of groups.
    let private locate (p: Planner) (t: Tensor) (grouped: int) (size: int) : Located =
        let rec from (t: Tensor) =
            let buffer, tables = p.Offsets t
            if Array.forall isEven tables[2..] && (size = 0 || isGrouped tables[grouped] size) then
                let step (table: int[]) = if table.Length > 1 then table[1] - table[0] else 0
                { Buffer = buffer; Tables = tables[..1]; Strides = Array.map step tables[2..] }
            else
                p.Realise t |> ignore
                from t
        from t

    /// x with zeros around its spatial axes. Inputs that share memory share the copy, and so do a convolution and its gradient.
    let private padded (p: Planner) (t: Tensor) (x: Tensor) (low: int[]) (high: int[]) (size: int) : Located =
        let source = locate p x 1 size
        let spatial = x.Shape[2..]
        let space = Shape.count spatial
        let wide = Array.init spatial.Length (fun i -> spatial[i] + low[i] + high[i])
        let natural =
            x.Count > 0
            && Array.forall2
                (fun s (extent, stride) -> extent = 1 || s = stride)
                source.Strides
                (Array.zip spatial (Shape.strides spatial))
            && Array.forall (fun o -> o % space = 0) source.Tables[0]
            && Array.forall (fun o -> o % space = 0) source.Tables[1]
            && p.Buffers[source.Buffer].Length % space = 0
        let zero = Op.constant (Constant.ofInt t.DType 0L)
        let around (lead: int[]) amounts = Array.append (Array.map (fun _ -> 0) lead) amounts
        let pad (lead: int[]) (x: Tensor) =
            Op.pad (around lead low) (around lead high) (around lead (Array.map (fun _ -> 0) low)) zero x
        if natural then
            let lead = [| p.Buffers[source.Buffer].Length / space |]
            let whole = p.Content(source.Buffer, Array.append lead spatial)
            let scale = Array.map (fun o -> o / space * Shape.count wide)
            { Buffer = p.Padded(pad lead whole)
              Tables = Array.map scale source.Tables
              Strides = Shape.strides wide }
        else
            let all = pad x.Shape[..1] x
            let b = p.Padded all
            let strides = Shape.strides all.Shape
            { Buffer = b
              Tables = Array.init 2 (fun i -> steps x.Shape[i] strides[i])
              Strides = strides[2..] }

    /// Of the weights, those whose taps a combination of phases meets.
    let private taken (w: Tensor) (phases: Phase[]) =
        let per f = Array.map f phases
        let stops = per (fun f -> f.TapStart + (f.Taps - 1) * f.TapStep + 1)
        Op.slice
            (Array.append [| 0; 0 |] (per (fun f -> f.TapStart)))
            (Array.append w.Shape[..1] stops)
            (Array.append [| 1; 1 |] (per (fun f -> f.TapStep)))
            w

    /// The products of one combination of phases; place 0 of x is at offset `origin`.
    let private products
        (p: Planner)
        (c: Convolution)
        (t: Tensor)
        (target: int)
        (epilogue: Loop voption)
        (x: Located)
        (origin: int)
        (phases: Phase[])
        =
        let spatial = phases.Length
        let channels, outputs = t.Inputs[1].Shape[1], t.Shape[1] / c.Groups
        let own = Shape.strides t.Shape
        let start = Array.fold2 (fun at (f: Phase) s -> at + f.Place * s) origin phases x.Strides
        let positions =
            Array.init (spatial + 1) (fun i ->
                if i = 0 then
                    { InX = Array.map ((+) start) x.Tables[0]; InResult = steps t.Shape[0] own[0] }
                else
                    let f = phases[i - 1]
                    { InX = steps f.Results (f.PlacePerResult * x.Strides[i - 1])
                      InResult = Array.init f.Results (fun o -> (f.ResultStart + o * f.ResultStep) * own[i + 1]) })
        let taps = Array.map2 (fun (f: Phase) s -> steps f.Taps (f.PlacePerTap * s)) phases x.Strides
        let inX = sums (Array.append [| Array.truncate channels x.Tables[1] |] taps)
        let limit = patchBytes / max 1 (inX.Length * DType.size t.DType)
        // Where patches of a few positions fill the cache, all jobs share them.
        let cuts = if limit < 48 then [| struct ([||], positions) |] else cut positions limit
        let isCut = Array.exists (fun (struct (before: Positions[], _)) -> before.Length > 0) cuts
        let wTensor = taken t.Inputs[1] phases
        // Every job of a cut reads all of w: a row of it should be one run of memory.
        if isCut then p.Realise wTensor |> ignore
        let w = locate p wTensor 0 outputs
        let inW =
            sums (Array.append [| w.Tables[1] |] (Array.map2 (fun (f: Phase) s -> steps f.Taps s) phases w.Strides))
        let ofGroups (table: int[]) size =
            Array.init c.Groups (fun g -> if table.Length = 0 then 0 else table[g * size])
        for struct (batches, columns) in cuts do
            let sum (first: int[]) (of': Positions -> int[]) (rest: Positions[]) =
                sums (Array.append [| first |] (Array.map of' rest))
            let none (a: Positions) = Array.create a.InX.Length 0
            p.Kernels.Add(
                Kernel.Product
                    { DType = t.DType
                      Left = w.Buffer
                      Right = x.Buffer
                      Result = target
                      LeftOffsets =
                        [| sum (ofGroups w.Tables[0] outputs) none batches
                           Array.init outputs (fun o -> w.Tables[0].[o] - w.Tables[0].[0])
                           inW |]
                      RightOffsets =
                        [| sum (ofGroups x.Tables[1] channels) (fun a -> a.InX) batches
                           inX
                           sums (columns |> Array.map (fun a -> a.InX)) |]
                      ResultOffsets =
                        [| sum (steps c.Groups (outputs * own[1])) (fun a -> a.InResult) batches
                           steps outputs own[1]
                           sums (columns |> Array.map (fun a -> a.InResult)) |]
                      Epilogue = epilogue
                      Label = $"conv {Shape.describe t.Inputs[0]} * {Shape.describe t.Inputs[1]}" }
            )

    /// Is it work for the kernel that reads x in place? That one fills vectors with output channels, and its sums should be long; very
    /// long ones over few positions read x and the weights too often.
    let private fills (c: Convolution) (t: Tensor) (phases: Phase[]) =
        let isSpread = phases |> Array.exists (fun f -> f.ResultStep > 1)
        let taps = phases |> Array.fold (fun n f -> n * f.Taps) 1
        let depth = t.Inputs[1].Shape[1] * taps
        let positions = t.Shape[0] * Shape.count t.Shape[2..]
        let outputs = t.Shape[1] / c.Groups
        let isEnough =
            taps > 1 && depth >= 64 && outputs >= WindowAxis.fewOutputs && (depth < 4096 || positions >= 1024)
        DType.isFloat t.DType && not isSpread && isEnough

    /// Or for the one that fills vectors with positions?
    let private slides (c: Convolution) (t: Tensor) (phases: Phase[]) =
        let taps = phases |> Array.fold (fun n f -> n * f.Taps) 1
        let isRow = phases.Length > 0 && phases[phases.Length - 1].Results >= 3
        DType.isFloat t.DType && taps > 1 && isRow && t.Shape[1] / c.Groups < WindowAxis.fewOutputs

    /// The same in one kernel that reads x where it lies, with zeros around it.
    let private windows
        (p: Planner)
        (c: Convolution)
        (t: Tensor)
        (target: int)
        (epilogue: Loop voption)
        (x: Located)
        (phases: Phase[])
        =
        let channels, outputs = t.Inputs[1].Shape[1], t.Shape[1] / c.Groups
        let own = Shape.strides t.Shape
        let w = locate p (taken t.Inputs[1] phases) 0 outputs
        let inW =
            sums (Array.append [| w.Tables[1] |] (Array.map2 (fun (f: Phase) s -> steps f.Taps s) phases w.Strides))
        let groups (table: int[]) size = Array.init c.Groups (fun g -> table[g * size])
        let inGroup table (first: int[]) = sums [| first; table |]
        let batch = x.Tables[0]
        let result (i: int) (f: Phase) = Array.init f.Results (fun o -> (f.ResultStart + o * f.ResultStep) * own[i + 2])
        let axis (f: Phase) extent step : WindowAxis =
            { Extent = extent
              Step = step
              Results = f.Results
              Taps = f.Taps
              Start = f.Place
              PerResult = f.PlacePerResult
              PerTap = f.PlacePerTap }
        p.Kernels.Add(
            Kernel.Conv
                { Of =
                    { DType = t.DType
                      Left = w.Buffer
                      Right = x.Buffer
                      Result = target
                      LeftOffsets =
                        [| inGroup (Array.create batch.Length 0) (groups w.Tables[0] outputs)
                           Array.init outputs (fun o -> w.Tables[0].[o] - w.Tables[0].[0])
                           inW |]
                      RightOffsets =
                        [| inGroup batch (groups x.Tables[1] channels)
                           Array.init channels (fun i -> x.Tables[1].[i] - x.Tables[1].[0])
                           [| 0 |] |]
                      ResultOffsets =
                        [| inGroup (steps t.Shape[0] own[0]) (steps c.Groups (outputs * own[1]))
                           steps outputs own[1]
                           sums (Array.mapi result phases) |]
                      Epilogue = epilogue
                      Label = $"conv {Shape.describe t.Inputs[0]} * {Shape.describe t.Inputs[1]}" }
                  Axes = Array.init phases.Length (fun i -> axis phases[i] t.Inputs[0].Shape[i + 2] x.Strides[i]) }
        )

    let private phasesOf (c: Convolution) (t: Tensor) =
        Array.init c.Strides.Length (fun i -> phases c i t.Inputs[1].Shape[i + 2] t.Shape[i + 2])

    let private hasTaps (t: Tensor) (f: Phase[]) =
        t.Inputs[1].Shape[1] > 0 && t.Inputs[0].Rank >= 2 && Array.forall (fun f -> f.Taps > 0) f

    /// Is every element of the result the sum of some products? With dilation, some may be zero for want of any.
    let isWhole (c: Convolution) (t: Tensor) : bool = choices (phasesOf c t) |> Array.forall (hasTaps t)

    /// Adds the products of a convolution, which go to the buffer `target` and through an epilogue if there is one.
    let add (p: Planner) (c: Convolution) (t: Tensor) (target: int) (epilogue: Loop voption) =
        let x, w = t.Inputs[0], t.Inputs[1]
        let phases = phasesOf c t
        let combinations = choices phases
        let hasTaps = hasTaps t
        if t.Count > 0 then
            if not (Array.forall hasTaps combinations) then
                p.Place(
                    Op.broadcast t.Shape (Op.constant (Constant.ofInt t.DType 0L)),
                    target,
                    t.Shape,
                    Array.zeroCreate t.Rank,
                    Array.create t.Rank 1
                )
            let some = combinations |> Array.filter hasTaps
            if some.Length > 0 then
                let low, high = Array.map2 reach phases x.Shape[2..] |> Array.unzip
                let isInside = Array.forall ((=) 0) low && Array.forall ((=) 0) high
                // Without padding, products read x in place, too.
                let isFor f = slides c t f || not isInside && fills c t f
                if Array.forall isFor some then
                    let located = locate p x 1 w.Shape[1]
                    for f in some do
                        windows p c t target epilogue located f
                else
                    let located = if isInside then locate p x 1 w.Shape[1] else padded p t x low high w.Shape[1]
                    let origin = Array.fold2 (fun at l s -> at + l * s) 0 low located.Strides
                    for f in some do
                        products p c t target epilogue located origin f
