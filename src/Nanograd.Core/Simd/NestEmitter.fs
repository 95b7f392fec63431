namespace Nanograd.Simd

open System
open System.Collections.Generic
open System.Reflection.Emit
open Nanograd

/// Emits one nest: straight-line sections inside loops over rows, blocks and elements.
[<Sealed>]
type internal NestEmitter(n: Nest, passes: Passes, il: ILGenerator, target: Target) =
    let scalar = ScalarTarget()
    let vector =
        match target with
        | :? VectorTarget as v -> Some v
        | _ -> None
    let lanes = target.Lanes
    let arguments = n.Arguments.Length
    let isColumns = n.Kind = NestKind.Columns
    let pool = Dictionary<Type, Stack<LocalBuilder>>()
    let int64Local () = il.DeclareLocal typeof<int64>
    let pointers = n.Arguments |> Array.map (fun _ -> int64Local ())
    let strides = n.Arguments |> Array.map (fun a -> if a.Advance = Advance.Strided then int64Local () else null)
    let index, length, scratch = int64Local (), int64Local (), int64Local ()
    let rowValues = Dictionary<int, LocalBuilder>() // per-row values, scalars
    let lookups = Dictionary<int, LocalBuilder>() // where this row's elements of a lookup start
    let spread = Dictionary<int, LocalBuilder>() // per-row values in all lanes
    let reductions =
        [| for i in 0 .. n.Values.Length - 1 do
               match n.Values[i].Term with
               | Term.Reduced(r, x) -> struct (i, r, x)
               | _ -> () |]
    let savedAt = Dictionary<int, LocalBuilder>()

    // ---- the smallest words

    let ldc (x: int64) = il.Emit(OpCodes.Ldc_I8, x)
    let ldloc (l: LocalBuilder) = il.Emit(OpCodes.Ldloc, l)
    let stloc (l: LocalBuilder) = il.Emit(OpCodes.Stloc, l)
    let word (i: int) = // frame word i as int64
        il.Emit OpCodes.Ldarg_0
        il.Emit(OpCodes.Ldc_I4, 8 * i)
        il.Emit OpCodes.Conv_I
        il.Emit OpCodes.Add
        il.Emit OpCodes.Ldind_I8
    let size d = int64 (DType.size d)
    /// Reductions hold small integers as int32.
    let wide (d: DType) =
        match d with
        | DType.U8
        | DType.I8 -> DType.I32
        | _ -> d
    let laneCount (d: DType) = if DType.size d = 8 then 32 else 64
    let case (x: 'u) = Case.number x
    let asPointer () = il.Emit OpCodes.Conv_I

    let increment (l: LocalBuilder) (push: unit -> unit) =
        ldloc l
        push ()
        il.Emit OpCodes.Add
        stloc l

    /// while left < right do body
    let loop (left: unit -> unit) (right: unit -> unit) (body: unit -> unit) =
        let test, start = il.DefineLabel(), il.DefineLabel()
        il.Emit(OpCodes.Br, test)
        il.MarkLabel start
        body ()
        il.MarkLabel test
        left ()
        right ()
        il.Emit(OpCodes.Blt, start)

    let ifLess (left: unit -> unit) (right: unit -> unit) (body: unit -> unit) =
        let skip = il.DefineLabel()
        left ()
        right ()
        il.Emit(OpCodes.Bge, skip)
        body ()
        il.MarkLabel skip

    // ---- addresses

    /// Scratch: 64 bytes for the ends of rows, then per reduction 512 bytes of lanes, then partial results, then saved rows.
    let lanesOffset k = 64L + 512L * int64 k
    let partialOffset k = 64L + 512L * int64 reductions.Length, int64 k

    let pushPartials (blocks: LocalBuilder) (k: int) = // scratch + fixed + k * blocks * 64
        let fixedPart, k = partialOffset k
        ldloc scratch
        ldc fixedPart
        il.Emit OpCodes.Add
        ldloc blocks
        ldc (64L * k)
        il.Emit OpCodes.Mul
        il.Emit OpCodes.Add

    /// The address (or count) of argument a at the current index.
    let pushPlace (start: LocalBuilder) (a: int) =
        ldloc start
        match n.Arguments[a].Advance with
        | Advance.Still -> ()
        | Advance.Next ->
            ldloc index
            ldc (size n.Arguments[a].DType)
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add
        | Advance.Strided ->
            ldloc index
            ldloc strides[a]
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add

    let collect (name: string) (elements: unit -> unit) (d: DType) = // on the stack: source, target; then stride
        elements ()
        il.Emit(OpCodes.Ldc_I4, DType.size d)
        il.Emit(
            OpCodes.Call,
            Methods.runtime name [| typeof<nativeint>; typeof<nativeint>; typeof<int64>; typeof<int64>; typeof<int> |]
        )

    // ---- leaves

    let scalarWord (d: DType) (i: int) =
        il.Emit OpCodes.Ldarg_0
        il.Emit(OpCodes.Ldc_I4, 8 * (Frame.scalars arguments + i))
        il.Emit OpCodes.Conv_I
        il.Emit OpCodes.Add
        scalar.Load(
            il,
            (match d with
             | DType.F16
             | DType.BF16 -> DType.F32
             | DType.U8
             | DType.I8
             | DType.Bool -> DType.I32
             | _ -> d)
        )

    let counted (d: DType) = // an int64 count on the stack as a value of type d
        match d with
        | DType.F64 -> il.Emit OpCodes.Conv_R8
        | DType.F32 -> il.Emit OpCodes.Conv_R4
        | DType.I64 -> ()
        | DType.U8 -> il.Emit OpCodes.Conv_U1
        | DType.I8 -> il.Emit OpCodes.Conv_I1
        | DType.I32
        | DType.U32
        | DType.F16
        | DType.BF16
        | DType.Bool -> il.Emit OpCodes.Conv_I4

    /// Moves the address on the stack by the lookups, whose indices were pushed before it.
    let moveByLookups (d: DType) (ls: Lookup[]) (place: unit -> unit) =
        let indices = ls |> Array.map (fun _ -> int64Local ())
        for i in ls.Length - 1 .. -1 .. 0 do
            il.Emit OpCodes.Conv_I8
            stloc indices[i]
        place ()
        ls
        |> Array.iteri (fun i l ->
            ldloc indices[i]
            scalarWord DType.I64 l.Bound
            word Frame.note
            asPointer ()
            il.Emit(OpCodes.Call, Methods.runtime "Check" [| typeof<int64>; typeof<int64>; typeof<nativeint> |])
            scalarWord DType.I64 l.Stride
            il.Emit OpCodes.Mul
            ldc (size d)
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add)

    let leafScalar (m: Micro) =
        match m.Op with
        | MicroOp.Row v -> ldloc rowValues[v]
        | MicroOp.Scalar i -> scalarWord m.Type i
        | MicroOp.Load a ->
            pushPlace pointers[a] a
            asPointer ()
            scalar.Load(il, m.Type)
        | MicroOp.LoadAt(a, ls) ->
            moveByLookups m.Type ls (fun () -> pushPlace pointers[a] a)
            asPointer ()
            scalar.Load(il, m.Type)
        | MicroOp.Count a ->
            pushPlace pointers[a] a
            counted m.Type
        | MicroOp.Saved v ->
            ldloc savedAt[v]
            ldloc index
            ldc (size m.Type)
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add
            asPointer ()
            scalar.Load(il, m.Type)
        | _ -> invalidOp "not a leaf"

    /// Masks in registers, bytes in memory: source and target are on the stack.
    let convertBools (name: string) (v: VectorTarget) (remaining: (unit -> unit) option) =
        match remaining with
        | Some push -> push ()
        | None -> ldc (int64 lanes)
        il.Emit(OpCodes.Ldc_I4, (if v.Element DType.Bool = typeof<int> then 4 else 8))
        il.Emit(
            OpCodes.Call,
            Methods.runtime name [| typeof<nativeint>; typeof<nativeint>; typeof<int64>; typeof<int> |]
        )

    /// `remaining` pushes how many elements are left when the vector is not full.
    let leafVector (v: VectorTarget) (remaining: (unit -> unit) option) (m: Micro) =
        match m.Op with
        | MicroOp.Row r -> ldloc spread[r]
        | MicroOp.Scalar i ->
            scalarWord m.Type i
            v.Broadcast(il, m.Type)
        | MicroOp.Saved _ ->
            (match m.Op with
             | MicroOp.Saved s -> ldloc savedAt[s]
             | _ -> ())
            ldloc index
            ldc (size m.Type)
            il.Emit OpCodes.Mul
            il.Emit OpCodes.Add
            asPointer ()
            v.Load(il, m.Type)
        | MicroOp.Load a ->
            // A negative number names a lookup whose start was found for this row.
            let start, a =
                if a >= 0 then
                    pointers[a], a
                else
                    lookups[-a - 1],
                    (match n.Values[-a - 1].Term with
                     | Term.LoadAt(b, _) -> b
                     | _ -> 0)
            match n.Arguments[a].Advance with
            | Advance.Still ->
                ldloc start
                asPointer ()
                scalar.Load(il, m.Type)
                v.Broadcast(il, m.Type)
            | Advance.Next when m.Type = DType.Bool ->
                pushPlace start a
                asPointer ()
                ldloc scratch
                asPointer ()
                convertBools "SpreadBools" v remaining
                ldloc scratch
                asPointer ()
                v.Load(il, m.Type)
            | Advance.Next ->
                pushPlace start a
                asPointer ()
                v.Load(il, m.Type)
            | Advance.Strided ->
                pushPlace start a
                asPointer ()
                ldloc scratch
                asPointer ()
                ldloc strides[a]
                collect
                    "Collect"
                    (match remaining with
                     | Some r -> r
                     | None -> fun () -> ldc (int64 lanes))
                    m.Type
                ldloc scratch
                asPointer ()
                v.Load(il, m.Type)
        | MicroOp.Count a ->
            let integer =
                match m.Type with
                | DType.F64 -> DType.F64
                | DType.I64 -> DType.I64
                | DType.F32
                | DType.U32 -> DType.I32
                | d -> d
            pushPlace pointers[a] a
            counted integer
            v.Broadcast(il, integer)
            if n.Arguments[a].Advance = Advance.Strided then
                v.Indices(il, integer)
                ldloc strides[a]
                counted integer
                v.Broadcast(il, integer)
                v.Operation(il, MicroOp.Mul, integer, integer)
                v.Operation(il, MicroOp.Add, integer, integer)
            if integer <> m.Type then
                v.Operation(il, (if m.Type = DType.F32 then MicroOp.Convert else MicroOp.Reinterpret), integer, m.Type)
        | _ -> invalidOp "not a leaf"

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
        | Some v, _, _ when d = DType.Bool ->
            ldloc scratch
            asPointer ()
            push ()
            v.Store(il, d)
            ldloc scratch
            asPointer ()
            pushPlace pointers[a] a
            asPointer ()
            convertBools "PackBools" v remaining
        | Some v, Advance.Next, None ->
            pushPlace pointers[a] a
            asPointer ()
            push ()
            v.Store(il, d)
        | Some v, _, _ -> // by way of scratch memory
            ldloc scratch
            asPointer ()
            push ()
            v.Store(il, d)
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

    /// One vector's (or element's) worth of a pass.
    let elementSection
        pass
        (roots: int[])
        (reduce: struct (int * Reduction * int)[])
        (stores: struct (int * int)[])
        (remaining: (unit -> unit) option)
        =
        let struct (code, at) = Micro.build n (reachElement pass) roots
        let leaf m _ =
            match vector with
            | Some v -> leafVector v remaining m
            | None -> leafScalar m
        let s = Section(il, target, code, pool, leaf)
        s.Run at
        let rootOf v = at[Array.IndexOf(roots, v)]
        let mutable root = 0
        for struct (v, r, x) in reduce do
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
            let combine =
                match r with
                | Reduction.Sum -> MicroOp.Add
                | Reduction.Prod -> MicroOp.Mul
                | Reduction.Max -> MicroOp.Max
                | Reduction.Min -> MicroOp.Min
            place ()
            place ()
            target.Load(il, d)
            match vector, remaining with
            | Some v, Some left -> // lanes beyond the end take the identity
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
                s.Push(rootOf x)
                NestEmitter.Identity(il, target, r, d)
                v.Operation(il, MicroOp.Select, d, d)
            | _ -> s.Push(rootOf x)
            target.Operation(il, combine, d, d)
            target.Store(il, d)
            root <- root + 1
        for struct (a, v) in stores do
            storeAt a (fun () -> s.Push(rootOf v)) remaining
        for v in passes.Saved do
            if passes.Stage[v] = pass then
                ldloc savedAt[v]
                ldloc index
                ldc (size n.Values[v].DType)
                il.Emit OpCodes.Mul
                il.Emit OpCodes.Add
                asPointer ()
                s.Push(rootOf v)
                target.Store(il, n.Values[v].DType)

    /// Body for full vectors up to `stop`, then once for what is left.
    let overElements (stop: LocalBuilder) (body: (unit -> unit) option -> unit) =
        let advance () = increment index (fun () -> ldc (int64 lanes))
        loop
            (fun () ->
                ldloc index
                ldc (int64 lanes - 1L)
                il.Emit OpCodes.Add)
            (fun () -> ldloc stop)
            (fun () ->
                body None
                advance ())
        if lanes > 1 then
            ifLess (fun () -> ldloc index) (fun () -> ldloc stop) (fun () ->
                body (
                    Some(fun () ->
                        ldloc stop
                        ldloc index
                        il.Emit OpCodes.Sub)
                )
                ldloc stop
                stloc index)

    let initialise (k: int) (d: DType) (r: Reduction) =
        for l in 0..lanes .. laneCount d - 1 do
            ldloc scratch
            ldc (lanesOffset k + int64 l * size d)
            il.Emit OpCodes.Add
            asPointer ()
            NestEmitter.Identity(il, target, r, d)
            target.Store(il, d)

    /// lanes i and i + half, down to one: with narrower vectors as the halves shrink.
    let foldLanes (k: int) (d: DType) (r: Reduction) =
        match vector with
        | None ->
            ldloc scratch
            ldc (lanesOffset k)
            il.Emit OpCodes.Add
            asPointer ()
            il.Emit(OpCodes.Ldc_I4, laneCount d)
            il.Emit(OpCodes.Ldc_I4, case r)
            il.Emit(OpCodes.Ldc_I4, case d)
            il.Emit(
                OpCodes.Call,
                Methods.runtime "FoldLanes" [| typeof<nativeint>; typeof<int>; typeof<int>; typeof<int> |]
            )
        | Some _ ->
            let bytes = int (size d)
            let combine =
                match r with
                | Reduction.Sum -> MicroOp.Add
                | Reduction.Prod -> MicroOp.Mul
                | Reduction.Max -> MicroOp.Max
                | Reduction.Min -> MicroOp.Min
            let mutable half = laneCount d / 2
            while half >= 1 do
                let bits = min (8 * lanes * bytes) (8 * half * bytes)
                let t: Target = if bits >= 128 then VectorTarget(bits, bytes) else scalar
                for j in 0 .. t.Lanes .. half - 1 do
                    let place lane =
                        ldloc scratch
                        ldc (lanesOffset k + int64 (lane * bytes))
                        il.Emit OpCodes.Add
                        asPointer ()
                    place j
                    place j
                    t.Load(il, d)
                    place (j + half)
                    t.Load(il, d)
                    t.Operation(il, combine, d, d)
                    t.Store(il, d)
                half <- half / 2

    let foldTree (blocks: LocalBuilder) (k: int) (d: DType) (r: Reduction) (group: int) =
        ifLess (fun () -> ldc 1L) (fun () -> ldloc blocks) (fun () ->
            pushPartials blocks k
            asPointer ()
            ldloc blocks
            il.Emit(OpCodes.Ldc_I4, group)
            il.Emit(OpCodes.Ldc_I4, case r)
            il.Emit(OpCodes.Ldc_I4, case d)
            il.Emit(
                OpCodes.Call,
                Methods.runtime
                    "FoldTree"
                    [| typeof<nativeint>; typeof<int64>; typeof<int>; typeof<int>; typeof<int> |]
            ))

    let blocksOf (count: LocalBuilder) (block: int64) =
        let blocks = int64Local ()
        ldloc count
        ldc (block - 1L)
        il.Emit OpCodes.Add
        ldc block
        il.Emit OpCodes.Div
        stloc blocks
        blocks

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

    /// The value that changes nothing.
    static member Identity(il: ILGenerator, target: Target, r: Reduction, d: DType) =
        let bits (single: float32) (double: float) (i32: int) (i64: int64) (u32: uint32) =
            match d with
            | DType.F64 -> BitConverter.DoubleToUInt64Bits double
            | DType.F32
            | DType.F16
            | DType.BF16 -> uint64 (BitConverter.SingleToUInt32Bits single)
            | DType.I64 -> uint64 i64
            | DType.U32 -> uint64 u32
            | DType.I32
            | DType.U8
            | DType.I8
            | DType.Bool -> uint64 (uint32 i32)
        let value =
            match r with
            | Reduction.Sum -> bits -0.0f -0.0 0 0L 0u
            | Reduction.Prod -> bits 1.0f 1.0 1 1L 1u
            | Reduction.Max -> bits Single.NegativeInfinity Double.NegativeInfinity Int32.MinValue Int64.MinValue 0u
            | Reduction.Min ->
                bits Single.PositiveInfinity Double.PositiveInfinity Int32.MaxValue Int64.MaxValue UInt32.MaxValue
        target.Constant(il, d, value)

    /// Rows: all passes over one row, then the next.
    member _.Rows() =
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
        let body () =
            rowValues.Clear()
            spread.Clear()
            lookups.Clear()
            for pass in 0 .. passes.Count - 1 do
                rowSection pass
                if pass = 0 then rowLookups ()
                let reduce = reductions |> Array.filter (fun struct (_, _, x) -> passes.Stage[x] = pass)
                let stores =
                    n.Stores |> Array.filter (fun struct (a, v) -> Passes.isElementStore n a && passes.Stage[v] = pass)
                let saved = passes.Saved |> Seq.filter (fun v -> passes.Stage[v] = pass) |> Seq.toArray
                let roots =
                    Array.concat
                        [ reduce |> Array.map (fun struct (_, _, x) -> x)
                          stores |> Array.map (fun struct (_, v) -> v)
                          saved ]
                if roots.Length > 0 then
                    match vector with
                    | Some v -> // per-row values that this pass uses, in all lanes
                        let struct (code, _) = Micro.build n (reachElement pass) roots
                        for m in code do
                            match m.Op with
                            | MicroOp.Row r when not (spread.ContainsKey r) ->
                                ldloc rowValues[r]
                                v.Broadcast(il, m.Type)
                                spread[r] <- il.DeclareLocal(v.Vector m.Type)
                                stloc spread[r]
                            | _ -> ()
                    | None -> ()
                    ldc 0L
                    stloc index
                    if reduce.Length = 0 then
                        overElements length (elementSection pass roots reduce stores)
                    else
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
                            for struct (v, r, _) in reduce do
                                initialise
                                    (reductions |> Array.findIndex (fun struct (w, _, _) -> w = v))
                                    (wide n.Values[v].DType)
                                    r
                            overElements stop (elementSection pass roots reduce stores)
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
                            let k = reductions |> Array.findIndex (fun struct (w, _, _) -> w = v)
                            let d = wide n.Values[v].DType
                            foldTree blocks k d r 1
                            pushPartials blocks k
                            asPointer ()
                            scalar.Load(il, d)
                            if d <> n.Values[v].DType then scalar.Operation(il, MicroOp.Convert, d, n.Values[v].DType)
                            rowValues[v] <- il.DeclareLocal(scalar.TypeOf n.Values[v].DType)
                            stloc rowValues[v]
            ldc 0L
            stloc index
            for struct (a, v) in n.Stores do
                if not (Passes.isElementStore n a) then
                    ldloc pointers[a]
                    asPointer ()
                    ldloc rowValues[v]
                    scalar.Store(il, n.Arguments[a].DType)
            for a in 0 .. arguments - 1 do
                increment pointers[a] (fun () -> word (Frame.rowStrides arguments + a))
            increment rows (fun () -> ldc -1L)
        loop (fun () -> ldc 0L) (fun () -> ldloc rows) body
        il.Emit OpCodes.Ret

    /// Columns: a vector of columns at a time, down the rows in blocks of 256.
    member _.Columns() =
        prologue ()
        let rows, row, stop = int64Local (), int64Local (), int64Local ()
        let starts = pointers |> Array.map (fun _ -> int64Local ())
        word Frame.rows
        stloc rows
        let blocks = blocksOf rows 256L
        let sums =
            reductions |> Array.map (fun struct (v, _, _) -> il.DeclareLocal(target.TypeOf(wide n.Values[v].DType)))
        let body (remaining: (unit -> unit) option) =
            for a in 0 .. arguments - 1 do
                ldloc pointers[a]
                stloc starts[a]
            ldc 0L
            stloc row
            loop (fun () -> ldloc row) (fun () -> ldloc rows) (fun () ->
                ldloc row
                ldc 256L
                il.Emit OpCodes.Add
                ldloc rows
                il.Emit(OpCodes.Call, Methods.find typeof<Math> "Min" typeof<int64> [| typeof<int64>; typeof<int64> |])
                stloc stop
                let block = int64Local ()
                ldloc row
                ldc 256L
                il.Emit OpCodes.Div
                stloc block
                reductions
                |> Array.iteri (fun k (struct (v, r, _)) ->
                    NestEmitter.Identity(il, target, r, wide n.Values[v].DType)
                    stloc sums[k])
                loop (fun () -> ldloc row) (fun () -> ldloc stop) (fun () ->
                    let roots = reductions |> Array.map (fun struct (_, _, x) -> x)
                    let struct (code, at) = Micro.build n (reachElement 0) roots
                    let leaf m _ =
                        match vector with
                        | Some v -> leafVector v remaining m
                        | None -> leafScalar m
                    let s = Section(il, target, code, pool, leaf)
                    s.Run at
                    reductions
                    |> Array.iteri (fun k (struct (v, r, _)) ->
                        let d = wide n.Values[v].DType
                        let combine =
                            match r with
                            | Reduction.Sum -> MicroOp.Add
                            | Reduction.Prod -> MicroOp.Mul
                            | Reduction.Max -> MicroOp.Max
                            | Reduction.Min -> MicroOp.Min
                        ldloc sums[k]
                        s.Push at[k]
                        target.Operation(il, combine, d, d)
                        stloc sums[k])
                    for a in 0 .. arguments - 1 do
                        if n.Arguments[a].Access <> Access.Write then
                            increment pointers[a] (fun () -> word (Frame.rowStrides arguments + a))
                    increment row (fun () -> ldc 1L))
                reductions
                |> Array.iteri (fun k (struct (v, _, _)) ->
                    pushPartials blocks k
                    ldloc block
                    ldc (int64 lanes * size (wide n.Values[v].DType))
                    il.Emit OpCodes.Mul
                    il.Emit OpCodes.Add
                    asPointer ()
                    ldloc sums[k]
                    target.Store(il, wide n.Values[v].DType)))
            for a in 0 .. arguments - 1 do
                ldloc starts[a]
                stloc pointers[a]
            reductions
            |> Array.iteri (fun k (struct (v, r, _)) ->
                let d = wide n.Values[v].DType
                foldTree blocks k d r lanes
                for struct (a, stored) in n.Stores do
                    if stored = v then
                        storeAt
                            a
                            (fun () ->
                                pushPartials blocks k
                                asPointer ()
                                target.Load(il, d)
                                if d <> n.Values[v].DType then
                                    target.Operation(il, MicroOp.Convert, d, n.Values[v].DType))
                            remaining)
        ldc 0L
        stloc index
        overElements length body
        il.Emit OpCodes.Ret
