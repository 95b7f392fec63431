namespace Nanograd.Simd

open System
open System.Reflection.Emit
open Nanograd

/// What code of a nest of rows does: all of a row, what one part of a row gives to its sums, or the rest, when all parts have.
[<RequireQualifiedAccess>]
type internal RowsRole =
    | Whole
    | Part
    | Close

/// Emits one nest: straight-line sections inside loops over rows, blocks and elements. Whole vectors of the argument `streamed` are
/// stored past the cache, at addresses that are aligned to them; -1 if there is none.
[<Sealed>]
type internal NestEmitter(n: Nest, passes: Passes, il: ILGenerator, target: Target, streamed: int) =
    let w = NestWords(n, il, target)
    let folds = NestFolds(w, il, target)
    let arguments = n.Arguments.Length
    let isColumns = n.Kind = NestKind.Columns
    let scalar, vector, lanes, pool = w.Scalar, w.Vector, w.Lanes, w.Pool
    let index, length, scratch = w.Index, w.Length, w.Scratch
    let pointers, strides, reductions = w.Pointers, w.Strides, w.Reductions
    let rowValues, lookups, spread, savedAt = w.RowValues, w.Lookups, w.Spread, w.SavedAt
    let int64Local () = w.Local()
    let ldc (x: int64) = w.Ldc x
    let ldloc (l: LocalBuilder) = w.Ldloc l
    let stloc (l: LocalBuilder) = w.Stloc l
    let word (i: int) = w.Word i
    let asPointer () = w.AsPointer()
    let increment (l: LocalBuilder) (push: unit -> unit) = w.Increment(l, push)
    let loop (left: unit -> unit) (right: unit -> unit) (body: unit -> unit) = w.Loop(left, right, body)
    let ifLess (left: unit -> unit) (right: unit -> unit) (body: unit -> unit) = w.IfLess(left, right, body)
    let size (d: DType) = w.Size d
    let wide (d: DType) = w.Wide d
    let laneCount (d: DType) = w.LaneCount d
    let lanesOffset k = w.LanesOffset k
    let pushPartials (blocks: LocalBuilder) (k: int) = w.PushPartials(blocks, k)
    let pushPlace (start: LocalBuilder) (a: int) = w.PushPlace(start, a)
    let collect (name: string) (elements: unit -> unit) (d: DType) = w.Collect(name, elements, d)
    let counted (d: DType) = w.Counted d
    let moveByLookups (d: DType) (ls: Lookup[]) (place: unit -> unit) = w.MoveByLookups(d, ls, place)
    let leafScalar (m: Micro) = w.LeafScalar m
    let leafVector v remaining (m: Micro) = w.LeafVector(v, remaining, m)
    let initialise k d r = folds.Initialise(k, d, r)
    let foldLanes k d r = folds.FoldLanes(k, d, r)
    let foldTree count place d r = folds.FoldTree(count, place, d, r)
    let blocksOf count block = folds.BlocksOf(count, block)

    // ---- sections

    let reachRow v = if rowValues.ContainsKey v then ValueSome(MicroOp.Row v) else ValueNone

    let reachElement pass v =
        if n.Values[v].Level = Level.PerRow && not isColumns then ValueSome(MicroOp.Row v)
        elif passes.Saved.Contains v && passes.Stage[v] < pass then ValueSome(MicroOp.Saved v)
        elif lookups.ContainsKey v then ValueSome(MicroOp.Load(-v - 1))
        else ValueNone

    /// Computes per-row values that become known at a stage, once each, in order.
    let rowSection (stage: int) =
        for v in 0 .. n.Values.Length - 1 do
            let value = n.Values[v]
            let isReduction =
                match value.Term with
                | Term.Reduced _ -> true
                | _ -> false
            if value.Level = Level.PerRow && not isReduction && passes.Stage[v] = stage then
                let struct (code, roots) = Micro.build n reachRow [| v |]
                let s = Section(il, scalar, code, pool, (fun m _ -> leafScalar m))
                s.Run roots
                s.Push roots[0]
                rowValues[v] <- il.DeclareLocal(scalar.TypeOf value.DType)
                stloc rowValues[v]

    /// Lookups by per-row indices: the row's elements start at one place, so their loads are plain loads from there.
    let rowLookups () =
        if vector.IsSome then
            n.Values
            |> Array.iteri (fun v value ->
                match value.Term with
                | Term.LoadAt(a, ls) when
                    value.Level = Level.PerElement && ls |> Array.forall (fun l -> rowValues.ContainsKey l.Index)
                    ->
                    for l in ls do
                        ldloc rowValues[l.Index]
                    moveByLookups value.DType ls (fun () -> ldloc pointers[a])
                    lookups[v] <- int64Local ()
                    stloc lookups[v]
                | _ -> ())

    let storeAt (a: int) (push: unit -> unit) (remaining: (unit -> unit) option) =
        let d = n.Arguments[a].DType
        match vector, n.Arguments[a].Advance, remaining with
        | None, _, _ ->
            pushPlace pointers[a] a
            asPointer ()
            push ()
            scalar.Store(il, d)
        | Some v, Advance.Next, None ->
            pushPlace pointers[a] a
            asPointer ()
            push ()
            if a = streamed && DType.size d > 1 then v.Stream(il, d) else w.ToMemory(v, d)
        | Some v, _, _ -> // by way of scratch memory
            ldloc scratch
            asPointer ()
            push ()
            w.ToMemory(v, d)
            ldloc scratch
            asPointer ()
            pushPlace pointers[a] a
            asPointer ()
            if n.Arguments[a].Advance = Advance.Strided then ldloc strides[a] else ldc (size d)
            collect
                "Scatter"
                (match remaining with
                 | Some r -> r
                 | None -> fun () -> ldc (int64 lanes))
                d

    /// Sums are in memory: lane by lane, those beyond the end take the identity.
    let sumInMemory (remaining: (unit -> unit) option) (struct (v, r, _)) (push: unit -> unit) =
        let k = reductions |> Array.findIndex (fun struct (w, _, _) -> w = v)
        let d = wide n.Values[v].DType
        let place () = // lanes + (index mod lanes) * size
            ldloc scratch
            ldc (lanesOffset k)
            il.Emit OpCodes.Add
            ldloc index
            ldc (int64 (laneCount d - 1))
            il.Emit OpCodes.And
            ldc (size d)
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add
            asPointer ()
        place ()
        place ()
        target.Load(il, d)
        match vector, remaining with
        | Some v, Some left ->
            let t = v.Element d
            v.Indices(il, d)
            left ()
            counted (
                if t = typeof<float> then DType.F64
                elif t = typeof<float32> then DType.F32
                elif t = typeof<int64> then DType.I64
                else DType.I32
            )
            v.Broadcast(il, d)
            v.Operation(il, MicroOp.Less, d, DType.Bool)
            v.Mask(il, d)
            push ()
            NestFolds.Identity(il, target, r, d)
            v.Operation(il, MicroOp.Select, d, d)
        | _ -> push ()
        target.Operation(il, NestFolds.Combine r, d, d)
        target.Store(il, d)

    let sumInRegister (struct (v, r, _)) (sum: LocalBuilder) (push: unit -> unit) =
        let d = wide n.Values[v].DType
        ldloc sum
        push ()
        target.Operation(il, NestFolds.Combine r, d, d)
        stloc sum

    /// A vector's (or an element's) worth of a pass, or several vectors', side by side. Sums are in registers, if there are any for
    /// them, or else in memory.
    let elementSection
        (copies: int)
        pass
        (roots: int[])
        (reduce: struct (int * Reduction * int)[])
        (stores: struct (int * int)[])
        (held: LocalBuilder[][])
        (remaining: (unit -> unit) option)
        =
        let struct (code, at) = Micro.build n (reachElement pass) roots
        let ahead copy (act: unit -> unit) =
            let saved = w.Ahead
            w.Ahead <- copy * lanes
            act ()
            w.Ahead <- saved
        let leaf m =
            match vector with
            | Some v -> leafVector v remaining m
            | None -> leafScalar m
        let sections =
            Array.init copies (fun copy -> Section(il, target, code, pool, (fun m _ -> ahead copy (fun () -> leaf m))))
        Section.RunTogether(sections, code, at)
        sections
        |> Array.iteri (fun copy s ->
            let push v () = s.Push at[Array.IndexOf(roots, v)]
            reduce
            |> Array.iteri (fun i (struct (_, _, x) as sum) ->
                if held.Length > 0 then
                    sumInRegister sum held[copy].[i] (push x)
                else
                    sumInMemory remaining sum (push x))
            ahead copy (fun () ->
                for struct (a, v) in stores do
                    storeAt a (push v) remaining
                for v in passes.Saved do
                    if passes.Stage[v] = pass then
                        ldloc savedAt[v]
                        w.MoveByIndex(size n.Values[v].DType)
                        asPointer ()
                        push v ()
                        target.Store(il, n.Values[v].DType)))

    /// How many vectors a pass takes side by side: chains of operations that wait for each other leave room for those of other vectors,
    /// as long as registers hold what is alive. Short code waits for memory only.
    let sideBySide pass (roots: int[]) =
        let struct (code, at) = Micro.build n (reachElement pass) roots
        let operations = code |> Array.filter (fun m -> not (Micro.isConstant m)) |> Array.length
        match vector with
        | Some v when operations >= 12 ->
            let registers = Isa.registers v.Bits * 7 / 8
            max 1 (min (min 4 (300 / operations)) (registers / max 1 (Micro.alive code at)))
        | _ -> 1

    /// Body for `copies` vectors at a time as long as there are so many up to `stop`, then for single ones, and once for what is left.
    let overElements (copies: int) (stop: LocalBuilder) (body: int -> (unit -> unit) option -> unit) =
        let whole copies =
            loop
                (fun () ->
                    ldloc index
                    ldc (int64 (copies * lanes) - 1L)
                    il.Emit OpCodes.Add)
                (fun () -> ldloc stop)
                (fun () ->
                    body copies None
                    increment index (fun () -> ldc (int64 (copies * lanes))))
        if copies > 1 then whole copies
        whole 1
        if lanes > 1 then
            ifLess (fun () -> ldloc index) (fun () -> ldloc stop) (fun () ->
                body
                    1
                    (Some(fun () ->
                        ldloc stop
                        ldloc index
                        il.Emit OpCodes.Sub))
                ldloc stop
                stloc index)

    /// Registers for the sums of a pass, for each vector of its lanes those of all reductions: if they and the code, once for each
    /// vector, are not too much.
    let registersFor pass (roots: int[]) (reduce: struct (int * Reduction * int)[]) : LocalBuilder[][] =
        let typeOf (struct (v, _, _)) = wide n.Values[v].DType
        let counts = reduce |> Array.map (typeOf >> laneCount) |> Array.distinct
        if vector.IsNone || counts.Length <> 1 then
            [||]
        else
            let vectors = counts[0] / lanes
            let struct (code, _) = Micro.build n (reachElement pass) roots
            if vectors * reduce.Length > 8 || vectors * code.Length > 200 then
                [||]
            else
                Array.init vectors (fun _ -> reduce |> Array.map (fun r -> il.DeclareLocal(target.TypeOf(typeOf r))))

    /// As many whole sets of lanes as there are up to `stop`, in registers; then the sums go to memory.
    let overLanes
        copies
        (stop: LocalBuilder)
        (held: LocalBuilder[][])
        (reduce: struct (int * Reduction * int)[])
        section
        =
        let each (act: int -> int -> DType -> Reduction -> LocalBuilder -> unit) =
            held
            |> Array.iteri (fun g sums ->
                reduce
                |> Array.iteri (fun i (struct (v, r, _)) ->
                    let k = reductions |> Array.findIndex (fun struct (w, _, _) -> w = v)
                    act g k (wide n.Values[v].DType) r sums[i]))
        each (fun _ _ d r sum ->
            NestFolds.Identity(il, target, r, d)
            stloc sum)
        loop
            (fun () ->
                ldloc index
                ldc (int64 (held.Length * lanes) - 1L)
                il.Emit OpCodes.Add)
            (fun () -> ldloc stop)
            (fun () ->
                for sums in Array.chunkBySize copies held do
                    section sums.Length sums None
                    increment index (fun () -> ldc (int64 (sums.Length * lanes))))
        each (fun g k d _ sum ->
            ldloc scratch
            ldc (lanesOffset k + int64 (g * lanes) * size d)
            il.Emit OpCodes.Add
            asPointer ()
            ldloc sum
            target.Store(il, d))

    let prologue () =
        for a in 0 .. arguments - 1 do
            word (Frame.bases + a)
            stloc pointers[a]
            if not (isNull strides[a]) then
                word (Frame.strides arguments + a)
                stloc strides[a]
        word Frame.length
        stloc length
        word Frame.scratch
        stloc scratch

    /// Where each reduction's sums start, in new locals.
    let sumsFrom (start: int) =
        reductions
        |> Array.mapi (fun k _ ->
            let place = int64Local ()
            word start
            word Frame.sumsStride
            ldc (int64 k)
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add
            stloc place
            place)

    let pushSum (sums: LocalBuilder) (d: DType) =
        ldloc sums
        ldloc index
        ldc (size d)
        il.Emit OpCodes.Mul
        il.Emit OpCodes.Add
        asPointer ()

    /// Whole vectors, to the end of the columns and past it: sums have room for that.
    let overSums (body: unit -> unit) =
        ldc 0L
        stloc index
        loop (fun () -> ldloc index) (fun () -> ldloc length) (fun () ->
            body ()
            increment index (fun () -> ldc (int64 lanes)))

    /// The address of what a part of a row leaves for others: of reduction k, that of the part whose number is on the stack.
    let pushShared (k: int) (d: DType) =
        ldc (size d)
        il.Emit OpCodes.Mul
        word Frame.sums
        il.Emit OpCodes.Add
        word Frame.sumsStride
        ldc (int64 k)
        il.Emit OpCodes.Mul
        il.Emit OpCodes.Add
        asPointer ()

    /// After the blocks of a pass: the result of a reduction, known to the rest of the row.
    let conclude (role: RowsRole) (blocks: LocalBuilder) (v: int) (r: Reduction) =
        let k = reductions |> Array.findIndex (fun struct (w, _, _) -> w = v)
        let d = wide n.Values[v].DType
        let blocks, place =
            match role with
            | RowsRole.Whole
            | RowsRole.Part -> blocks, (fun () -> pushPartials blocks k)
            | RowsRole.Close ->
                let parts = int64Local ()
                word Frame.others
                stloc parts
                parts,
                fun () ->
                    ldc 0L
                    pushShared k d
        foldTree blocks place d r
        match role with
        | RowsRole.Part ->
            word Frame.others
            pushShared k d
            place ()
            asPointer ()
            scalar.Load(il, d)
            scalar.Store(il, d)
        | RowsRole.Whole
        | RowsRole.Close ->
            place ()
            asPointer ()
            scalar.Load(il, d)
            if d <> n.Values[v].DType then scalar.Operation(il, MicroOp.Convert, d, n.Values[v].DType)
            rowValues[v] <- il.DeclareLocal(scalar.TypeOf n.Values[v].DType)
            stloc rowValues[v]

    /// Per-row values that a pass uses, in all lanes.
    let spreadRows pass (roots: int[]) (v: VectorTarget) =
        let struct (code, _) = Micro.build n (reachElement pass) roots
        for m in code do
            match m.Op with
            | MicroOp.Row r when not (spread.ContainsKey r) ->
                ldloc rowValues[r]
                v.Broadcast(il, m.Type)
                spread[r] <- il.DeclareLocal(v.Vector m.Type)
                stloc spread[r]
            | _ -> ()

    let reductionsOf pass = reductions |> Array.filter (fun struct (_, _, x) -> passes.Stage[x] = pass)
    let storesOf pass =
        n.Stores |> Array.filter (fun struct (a, v) -> Passes.isElementStore n a && passes.Stage[v] = pass)
    /// What a pass computes for every element: for its reductions, its results, and later passes.
    let rootsOf pass =
        Array.concat
            [ reductionsOf pass |> Array.map (fun struct (_, _, x) -> x)
              storesOf pass |> Array.map (fun struct (_, v) -> v)
              passes.Saved |> Seq.filter (fun v -> passes.Stage[v] = pass) |> Seq.toArray ]

    /// Where the arguments that the first pass reads have their next row, in new locals: later passes, which leave memory idle, send
    /// for it.
    let nextRow () =
        let roots = reductionsOf 0 |> Array.map (fun struct (_, _, x) -> x)
        let struct (code, _) = Micro.build n (reachElement 0) roots
        let ahead =
            code
            |> Array.choose (fun m ->
                match m.Op with
                | MicroOp.Load a when n.Arguments[a].Advance = Advance.Next -> Some a
                | _ -> None)
        if passes.Count = 1 then [||] else ahead |> Array.map (fun a -> struct (a, int64Local ()))

    let nextRowFrom (next: struct (int * LocalBuilder)[]) (rows: LocalBuilder) =
        for struct (a, start) in next do
            ldloc pointers[a]
            stloc start
            // A longer row would push itself out of the cache.
            ifLess (fun () -> ldloc length) (fun () -> ldc 32768L) (fun () ->
                ifLess (fun () -> ldc 1L) (fun () -> ldloc rows) (fun () ->
                    increment start (fun () -> word (Frame.rowStrides arguments + a))))

    /// The pass that computes most, after the first.
    let longest () =
        let length pass =
            let struct (code, _) = Micro.build n (reachElement pass) (rootsOf pass)
            code.Length
        if passes.Count = 1 then 0 else List.maxBy length [ 1 .. passes.Count - 1 ]

    /// Sends for what lies in the next row where `copies` vectors at the index lie in this one.
    let prefetch (next: struct (int * LocalBuilder)[]) (copies: int) =
        for copy in 0 .. copies - 1 do
            w.Ahead <- copy * lanes
            for struct (a, start) in next do
                ldloc start
                w.MoveByIndex(size n.Arguments[a].DType)
                asPointer ()
                il.Emit(OpCodes.Call, Methods.find typeof<Widths> "Prefetch" typeof<int> [| typeof<nativeint> |])
        w.Ahead <- 0

    /// Rows: all passes over one row, then the next.
    member _.Rows(role: RowsRole) =
        prologue ()
        let rows, start, stop = int64Local (), int64Local (), int64Local ()
        word Frame.rows
        stloc rows
        let blocks = blocksOf length 4096L
        // Saved rows lie behind the partial results, each padded to a whole number of vectors.
        let rowBytes d (saved: int64) =
            ldloc length
            ldc 16L
            il.Emit OpCodes.Add
            ldc (8L * saved)
            il.Emit OpCodes.Mul
            ignore d
        passes.Saved
        |> Seq.iteri (fun i v ->
            savedAt[v] <- int64Local ()
            pushPartials blocks reductions.Length
            rowBytes n.Values[v].DType (int64 i)
            il.Emit OpCodes.Add
            ldc 63L
            il.Emit OpCodes.Add
            ldc -64L
            il.Emit OpCodes.And
            stloc savedAt[v])
        let next = if role = RowsRole.Whole then nextRow () else [||]
        let busiest = longest ()
        let body () =
            rowValues.Clear()
            spread.Clear()
            lookups.Clear()
            nextRowFrom next rows
            for pass in 0 .. (if role = RowsRole.Part then 0 else passes.Count - 1) do
                rowSection pass
                if pass = 0 then rowLookups ()
                let reduce, stores, roots = reductionsOf pass, storesOf pass, rootsOf pass
                if roots.Length > 0 then
                    Option.iter (spreadRows pass roots) vector
                    ldc 0L
                    stloc index
                    let copies = sideBySide pass roots
                    let section copies held remaining =
                        if pass = busiest && Option.isNone remaining then prefetch next copies
                        elementSection copies pass roots reduce stores held remaining
                    if reduce.Length = 0 then
                        overElements copies length (fun copies -> section copies [||])
                    elif role <> RowsRole.Close then
                        let held = registersFor pass roots reduce
                        ldc 0L
                        stloc start
                        loop (fun () -> ldloc start) (fun () -> ldloc length) (fun () ->
                            ldloc start
                            ldc 4096L
                            il.Emit OpCodes.Add
                            ldloc length
                            il.Emit(
                                OpCodes.Call,
                                Methods.find typeof<Math> "Min" typeof<int64> [| typeof<int64>; typeof<int64> |]
                            )
                            stloc stop
                            if held.Length > 0 then
                                overLanes copies stop held reduce section
                            else
                                for struct (v, r, _) in reduce do
                                    initialise
                                        (reductions |> Array.findIndex (fun struct (w, _, _) -> w = v))
                                        (wide n.Values[v].DType)
                                        r
                            overElements 1 stop (fun copies -> section copies [||])
                            for struct (v, r, _) in reduce do
                                let k = reductions |> Array.findIndex (fun struct (w, _, _) -> w = v)
                                let d = wide n.Values[v].DType
                                foldLanes k d r
                                pushPartials blocks k // + start / 4096 * size
                                ldloc start
                                ldc 4096L
                                il.Emit OpCodes.Div
                                ldc (size d)
                                il.Emit OpCodes.Mul
                                il.Emit OpCodes.Add
                                asPointer ()
                                ldloc scratch
                                ldc (lanesOffset k)
                                il.Emit OpCodes.Add
                                asPointer ()
                                scalar.Load(il, d)
                                scalar.Store(il, d)
                            ldloc stop
                            stloc start)
                    for struct (v, r, _) in reduce do
                        conclude role blocks v r
            ldc 0L
            stloc index
            for struct (a, v) in n.Stores do
                if role <> RowsRole.Part && not (Passes.isElementStore n a) then
                    ldloc pointers[a]
                    asPointer ()
                    ldloc rowValues[v]
                    scalar.Store(il, n.Arguments[a].DType)
            for a in 0 .. arguments - 1 do
                increment pointers[a] (fun () -> word (Frame.rowStrides arguments + a))
            increment rows (fun () -> ldc -1L)
        loop (fun () -> ldc 0L) (fun () -> ldloc rows) body
        if streamed >= 0 then il.Emit(OpCodes.Call, Methods.find typeof<Widths> "StreamsEnd" typeof<int> [||])
        il.Emit OpCodes.Ret

    /// Columns: rows one after the other, each added to the sums of its block, which stay in the cache. `fresh`: the first ones.
    member _.Columns(fresh: bool) =
        prologue ()
        let rows = int64Local ()
        let sums = sumsFrom Frame.sums
        word Frame.rows
        stloc rows
        let perVector (body: int -> DType -> Reduction -> unit) =
            reductions |> Array.iteri (fun k (struct (v, r, _)) -> body k (wide n.Values[v].DType) r)
        let sumType (v: int) = target.TypeOf(wide n.Values[v].DType)
        if fresh then
            overSums (fun () ->
                perVector (fun k d r ->
                    pushSum sums[k] d
                    NestFolds.Identity(il, target, r, d)
                    target.Store(il, d)))
        let struct (code, at) = Micro.build n (reachElement 0) (reductions |> Array.map (fun struct (_, _, x) -> x))
        let first = Array.copy pointers
        let step a = word (Frame.rowStrides arguments + a)
        /// The next vector of the sums, with `count` rows added to it.
        let add (rowPointers: LocalBuilder[][]) (remaining: (unit -> unit) option) =
            let inRegisters = reductions |> Array.map (fun struct (v, _, _) -> il.DeclareLocal(sumType v))
            perVector (fun k d _ ->
                pushSum sums[k] d
                target.Load(il, d)
                stloc inRegisters[k])
            for row in rowPointers do
                Array.blit row 0 pointers 0 arguments
                let leaf m _ =
                    match vector with
                    | Some v -> leafVector v remaining m
                    | None -> leafScalar m
                let s = Section(il, target, code, pool, leaf)
                s.Run at
                perVector (fun k d r ->
                    ldloc inRegisters[k]
                    s.Push at[k]
                    target.Operation(il, NestFolds.Combine r, d, d)
                    stloc inRegisters[k])
            Array.blit first 0 pointers 0 arguments
            perVector (fun k d _ ->
                pushSum sums[k] d
                ldloc inRegisters[k]
                target.Store(il, d))
        /// Goes down the rows, some at a time, as long as so many are left.
        let down (atOnce: int) =
            let later = Array.init (atOnce - 1) (fun _ -> first |> Array.map (fun _ -> int64Local ()))
            let all = Array.append [| first |] later
            loop (fun () -> ldc (int64 atOnce - 1L)) (fun () -> ldloc rows) (fun () ->
                for row in 1 .. atOnce - 1 do
                    for a in 0 .. arguments - 1 do
                        ldloc all[row - 1].[a]
                        step a
                        il.Emit OpCodes.Add
                        stloc all[row].[a]
                ldc 0L
                stloc index
                overElements 1 length (fun _ -> add all)
                for a in 0 .. arguments - 1 do
                    ldloc all[atOnce - 1].[a]
                    step a
                    il.Emit OpCodes.Add
                    stloc first[a]
                increment rows (fun () -> ldc (int64 -atOnce)))
        // Short code takes several rows at once: the sums are loaded and stored less often.
        if code.Length <= 16 && arguments <= 4 then down 4
        down 1
        il.Emit OpCodes.Ret

    /// Columns: takes the sums of later blocks into those of the blocks before them.
    member _.Merge() =
        prologue ()
        let sums, others = sumsFrom Frame.sums, sumsFrom Frame.others
        overSums (fun () ->
            reductions
            |> Array.iteri (fun k (struct (v, r, _)) ->
                let d = wide n.Values[v].DType
                pushSum sums[k] d
                pushSum sums[k] d
                target.Load(il, d)
                pushSum others[k] d
                target.Load(il, d)
                target.Operation(il, NestFolds.Combine r, d, d)
                target.Store(il, d)))
        il.Emit OpCodes.Ret

    /// Columns: stores the sums of all blocks.
    member _.Finish() =
        prologue ()
        let sums = sumsFrom Frame.sums
        let result k (v: int) () =
            let d = wide n.Values[v].DType
            pushSum sums[k] d
            target.Load(il, d)
            if d <> n.Values[v].DType then target.Operation(il, MicroOp.Convert, d, n.Values[v].DType)
        let body remaining =
            reductions
            |> Array.iteri (fun k (struct (v, _, _)) ->
                for struct (a, stored) in n.Stores do
                    if stored = v then storeAt a (result k v) remaining)
        ldc 0L
        stloc index
        overElements 1 length (fun _ -> body)
        il.Emit OpCodes.Ret
