namespace Nanograd

open System

/// What a plan of kernels means, said slowly: every value of a nest is an array over all positions of its loops. Compilers of kernels are
/// tested against it, and it against the interpreter.
[<RequireQualifiedAccess>]
module KernelEvaluator =
    /// The position that a form gives at every step of the loops, in their order.
    let private positions (extents: int[]) (f: Form) : int[] =
        Array.fold2
            (fun (at: int[]) e s -> Array.collect (fun p -> Array.init e (fun i -> p + i * s)) at)
            [| f.Offset |]
            extents
            f.Strides

    let private integers (d: DType) (x: Array) : int64[] =
        match Elements.widen d x with
        | Integers xs -> xs
        | Floats xs -> Array.map int64 xs

    /// Reads elements at places that may depend on data, checked against the bounds.
    let private lookUp (l: Loop) (value: int -> Array) (at: int[]) (lookups: Lookup[]) : int[] =
        let number i = int l.Scalars[i].Int
        let moved (at: int[]) (k: Lookup) =
            let index = integers l.Nest.Values[k.Index].DType (value k.Index)
            let move p (i: int64) =
                if i < 0L || i >= int64 (number k.Bound) then raise (IndexException("gather", i, number k.Bound))
                p + int i * number k.Stride
            Array.map2 move at index
        Array.fold moved at lookups

    /// One value per row (or column) from one per element, repeated where it was folded.
    let private reduce (l: Loop) (r: Reduction) (d: DType) (x: Array) : Array =
        let axes = l.Extents.Length
        let axis = if l.Nest.Kind = NestKind.Rows then axes - 1 else axes - 2
        let shape = l.Extents |> Array.mapi (fun i e -> if i = axis then 1 else e)
        let folded = Compute.reduce r [| axis |] d l.Extents x
        let back =
            positions
                l.Extents
                { Form.identity shape with
                    Strides = (Form.identity shape).Strides |> Array.mapi (fun i s -> if i = axis then 0 else s) }
        Elements.pick d folded back

    let private empty (d: DType) (count: int) : Array =
        Elements.pick d (Elements.ofStorage (Buffers.allocate d 1)) (Array.zeroCreate count)

    let private values (l: Loop) (buffers: Array[]) : Array[] =
        let count = Shape.count l.Extents
        let result = Array.zeroCreate<Array> l.Nest.Values.Length
        let places a = positions l.Extents l.Operands[a].Form
        let repeat (c: Constant) =
            let one = Buffers.allocate c.DType 1
            Buffers.write one 0 c
            Elements.pick c.DType (Elements.ofStorage one) (Array.zeroCreate count)
        let typeOf v = l.Nest.Values[v].DType
        l.Nest.Values
        |> Array.iteri (fun i v ->
            let operand o = result[o]
            result[i] <-
                match v.Term with
                | Term.Scalar s -> repeat { l.Scalars[s] with DType = v.DType }
                | Term.Fixed c -> repeat c
                | Term.Load a -> Elements.pick v.DType buffers[l.Operands[a].Buffer] (places a)
                | Term.LoadAt(a, lookups) ->
                    Elements.pick v.DType buffers[l.Operands[a].Buffer] (lookUp l operand (places a) lookups)
                | Term.Count a -> Elements.narrow v.DType (Integers(places a |> Array.map int64))
                | Term.Unary(u, x) -> Compute.unary u v.DType (operand x)
                | Term.Binary(b, x, y) -> Compute.binary b (typeOf x) (operand x) (operand y)
                | Term.Select(c, x, y) -> Compute.select v.DType (operand c) (operand x) (operand y)
                | Term.Cast x -> Elements.narrow v.DType (Elements.widen (typeOf x) (operand x))
                | Term.BitCast x -> Elements.reinterpret (typeOf x) v.DType (operand x)
                | Term.RandomBits(x, y, c) ->
                    let k0, k1, counter = operand x :?> uint32[], operand y :?> uint32[], operand c :?> uint32[]
                    Array.init count (fun p -> Threefry.bits (struct (k0[p], k1[p])) (uint64 counter[p])) :> Array
                | Term.Reduced(r, x) -> reduce l r (typeOf x) (operand x))
        result

    let private product (p: Product) (buffers: Array[]) : Array =
        Numbers.on
            p.DType
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let x, y, z = buffers[p.Left] :?> 'T[], buffers[p.Right] :?> 'T[], buffers[p.Result] :?> 'T[]
                    p.ResultOffsets[0]
                    |> Array.iteri (fun b start ->
                        p.ResultOffsets[1]
                        |> Array.iteri (fun i row ->
                            p.ResultOffsets[2]
                            |> Array.iteri (fun j column ->
                                let left k = x[p.LeftOffsets[0].[b] + p.LeftOffsets[1].[i] + p.LeftOffsets[2].[k]]
                                let right k =
                                    y[p.RightOffsets[0].[b] + p.RightOffsets[1].[k] + p.RightOffsets[2].[j]]
                                z[start + row + column] <- Sums.contract n p.LeftOffsets[2].Length left right)))
                    z }

    let private conv (c: Conv) (buffers: Array[]) : Array =
        let p, taps = c.Of, WindowAxis.taps c.Axes
        Numbers.on
            p.DType
            { new OnNumbers<Array> with
                member _.Of<'T when 'T: unmanaged>(n: Numbers<'T>) =
                    let w, x, z = buffers[p.Left] :?> 'T[], buffers[p.Right] :?> 'T[], buffers[p.Result] :?> 'T[]
                    let element batch position k =
                        match WindowAxis.place c.Axes position (k % taps) with
                        | ValueSome at -> x[p.RightOffsets[0].[batch] + p.RightOffsets[1].[k / taps] + at]
                        | ValueNone -> n.Zero
                    p.ResultOffsets[0]
                    |> Array.iteri (fun b start ->
                        p.ResultOffsets[1]
                        |> Array.iteri (fun i row ->
                            p.ResultOffsets[2]
                            |> Array.iteri (fun j column ->
                                let weight k = w[p.LeftOffsets[0].[b] + p.LeftOffsets[1].[i] + p.LeftOffsets[2].[k]]
                                z[start + row + column] <-
                                    Sums.contract n p.LeftOffsets[2].Length weight (element b j))))
                    z }

    /// The places of the result that a product writes.
    let private written (p: Product) : int[] =
        Array.fold
            (fun (at: int[]) (table: int[]) -> Array.collect (fun o -> Array.map ((+) o) table) at)
            [| 0 |]
            p.ResultOffsets

    /// Runs a loop, or the steps of it whose row-major numbers are given.
    let private loop (l: Loop) (steps: int[] option) (buffers: Array[]) =
        let computed = values l buffers
        for struct (a, v) in l.Nest.Stores do
            let dtype, b = l.Nest.Arguments[a].DType, l.Operands[a].Buffer
            let places = positions l.Extents l.Operands[a].Form
            let places, results =
                match steps with
                | None -> places, computed[v]
                | Some some -> some |> Array.map (fun s -> places[s]), Elements.pick dtype computed[v] some
            buffers[b] <- Elements.put dtype buffers[b] places results

    let private lines (l: Lines) (x: Array) : Array[] =
        let shape = [| l.Outer; l.Length; l.Inner |]
        match l.Work with
        | LineWork.Sort(descending, count) ->
            let values = Order.sort l.DType shape 1 descending x
            let kept = Places.ofBox shape [| 0; 0; 0 |] [| 1; 1; 1 |] [| l.Outer; count; l.Inner |]
            [| Elements.pick l.DType values[0] kept; Elements.pick DType.I64 values[1] kept |]
        | LineWork.ArgReduce largest -> [| Order.argReduce l.DType shape largest 1 x |]
        | LineWork.CumSum reverse -> [| Compute.cumSum 1 reverse l.DType shape x |]

    let private zeros (d: DType) (count: int) = Elements.narrow d (Integers(Array.zeroCreate count))

    let private fold (f: FoldWindows) (x: Array) : Array =
        let shape = [| f.Outer; f.Length; f.Inner |]
        let unfolded = [| f.Outer; f.Windows; f.Inner; f.Window.Size |]
        let places = Places.ofWindows { f.Window with Axis = 1 } shape unfolded
        Elements.addAt f.DType (zeros f.DType (Shape.count shape)) places x

    let private scatter (s: Scatter) (indices: DType) (buffers: Array[]) : Array =
        let picks = integers indices buffers[s.Indices] |> Array.map int
        let places = Indices.places s.Batches s.Outer s.Size s.Inner picks
        Elements.addAt s.DType buffers[s.Target] places buffers[s.Updates]

    let private update (u: Update) (starts: int[]) (buffers: Array[]) : Array =
        let places = Places.ofBox u.Shape starts (Array.create u.Shape.Length 1) u.Box
        Elements.put u.DType buffers[u.Target] places buffers[u.Update]

    /// Runs a plan on the elements of its inputs.
    let rec private execute (plan: Plan) (inputs: Array[]) : Array[] =
        let buffers =
            plan.Buffers
            |> Array.map (fun b ->
                match b.Place with
                | Place.Input i -> inputs[i]
                | Place.Output _
                | Place.Temporary -> empty b.DType b.Length)
        for kernel in plan.Kernels do
            match kernel with
            | Kernel.Loop l -> loop l None buffers
            | Kernel.Summed s ->
                loop s.Rows None buffers
                for l in s.Sums do
                    loop l None buffers
            | Kernel.Product p
            | Kernel.Conv { Of = p } ->
                buffers[p.Result] <-
                    match kernel with
                    | Kernel.Conv c -> conv c buffers
                    | _ -> product p buffers
                match p.Epilogue with
                | ValueSome l -> loop l (Some(written p)) buffers
                | ValueNone -> ()
            | Kernel.Lines l -> Array.iter2 (fun b x -> buffers[b] <- x) l.Results (lines l buffers[l.Source])
            | Kernel.Fold f -> buffers[f.Result] <- fold f buffers[f.Source]
            | Kernel.Check c ->
                for i in integers plan.Buffers[c.Indices].DType buffers[c.Indices] do
                    Indices.check c.Operation c.Size c.Taken i |> ignore
            | Kernel.Scatter s -> buffers[s.Result] <- scatter s plan.Buffers[s.Indices].DType buffers
            | Kernel.Update u ->
                let start b = int (integers plan.Buffers[b].DType buffers[b]).[0]
                buffers[u.Result] <- update u (Array.map start u.Starts) buffers
            | Kernel.Attention a -> AttentionMeaning.forward a buffers
            | Kernel.AttentionGradient g -> AttentionMeaning.backward g buffers
            | Kernel.Pool p -> PoolMeaning.run p buffers
            | Kernel.Repeat r ->
                let computed = repeat r (r.Operands |> Array.map (fun b -> buffers[b]))
                Array.iter2 (fun b x -> if b >= 0 then buffers[b] <- x) r.Results computed
        plan.Results |> Array.map (fun b -> buffers[b])

    /// The final carries and the stacked outputs of a loop.
    and private repeat (r: Repeat) (operands: Array[]) : Array[] =
        let first = r.Captured + r.Carried
        let slice row (k: int) =
            let b = r.Body.Buffers |> Array.find (fun b -> b.Place = Place.Input(first + k))
            Elements.sub b.DType operands[first + k] (row * b.Length) b.Length
        let mutable carries = operands[r.Captured .. first - 1]
        let rows = Array.zeroCreate<Array[]> r.Length
        for step in 0 .. r.Length - 1 do
            let row = if r.Reverse then r.Length - 1 - step else step
            let slices = Array.init (operands.Length - first) (slice row)
            let results = execute r.Body (Array.concat [ operands[.. r.Captured - 1]; carries; slices ])
            carries <- results[.. r.Carried - 1]
            rows[row] <- results[r.Carried ..]
        let stack k =
            let dtype = r.Body.Buffers[r.Body.Results[r.Carried + k]].DType
            Elements.join dtype (rows |> Array.map (fun row -> row[k]))
        Array.append carries (Array.init (r.Body.Results.Length - r.Carried) stack)

    /// Runs a plan on the values of its inputs.
    let run (plan: Plan) (inputs: Storage[]) : Storage[] =
        let results = execute plan (inputs |> Array.map Elements.ofStorage)
        Array.map2 (fun b x -> Elements.toStorage plan.Buffers[b].DType x) plan.Results results
