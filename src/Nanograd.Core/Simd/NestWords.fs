namespace Nanograd.Simd

open System
open System.Collections.Generic
open System.Reflection.Emit
open Nanograd

/// What the code of a nest is written with: its locals, the smallest instructions, addresses, and the loads of arguments.
[<Sealed>]
type internal NestWords(n: Nest, il: ILGenerator, target: Target) =
    let scalar = ScalarTarget()
    let vector =
        match target with
        | :? VectorTarget as v -> Some v
        | _ -> None
    let lanes = target.Lanes
    let arguments = n.Arguments.Length
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
    let mutable ahead = 0

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

    /// Adds index * bytes to the address on the stack.
    let moveByIndex (bytes: int64) =
        ldloc index
        ldc bytes
        il.Emit OpCodes.Mul
        il.Emit OpCodes.Add
        if ahead > 0 then
            ldc (int64 ahead * bytes)
            il.Emit OpCodes.Add

    /// The address (or count) of argument a at the current index.
    let pushPlace (start: LocalBuilder) (a: int) =
        ldloc start
        match n.Arguments[a].Advance with
        | Advance.Still -> ()
        | Advance.Next -> moveByIndex (size n.Arguments[a].DType)
        | Advance.Strided ->
            ldloc index
            if ahead > 0 then
                ldc (int64 ahead)
                il.Emit OpCodes.Add
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
            moveByIndex (size m.Type)
            asPointer ()
            scalar.Load(il, m.Type)
        | _ -> invalidOp "not a leaf"

    let fromMemory (v: VectorTarget) (d: DType) = if DType.size d = 1 then v.LoadBytes(il, d) else v.Load(il, d)

    let toMemory (v: VectorTarget) (d: DType) = if DType.size d = 1 then v.StoreBytes(il, d) else v.Store(il, d)

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
            moveByIndex (size m.Type)
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
            | Advance.Next ->
                pushPlace start a
                asPointer ()
                fromMemory v m.Type
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
                fromMemory v m.Type
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

    member _.Scalar = scalar
    member _.Vector = vector
    member _.Lanes = lanes
    member _.Pool = pool
    member _.Pointers = pointers
    member _.Strides = strides
    member _.Index = index
    /// How many elements beyond the index the code that is emitted now works on.
    member _.Ahead
        with get () = ahead
        and set (elements: int) = ahead <- elements
    member _.Length = length
    member _.Scratch = scratch
    /// Per-row values and scalars.
    member _.RowValues = rowValues
    /// Where this row's elements of a lookup start.
    member _.Lookups = lookups
    /// Per-row values in all lanes.
    member _.Spread = spread
    /// Value, kind and operand of every reduction.
    member _.Reductions = reductions
    member _.SavedAt = savedAt
    member _.Local() = int64Local ()
    member _.Ldc(x: int64) = ldc x
    member _.Ldloc(l: LocalBuilder) = ldloc l
    member _.Stloc(l: LocalBuilder) = stloc l
    member _.Word(i: int) = word i
    member _.AsPointer() = asPointer ()
    member _.Increment(l: LocalBuilder, push: unit -> unit) = increment l push
    member _.Loop(left: unit -> unit, right: unit -> unit, body: unit -> unit) = loop left right body
    member _.IfLess(left: unit -> unit, right: unit -> unit, body: unit -> unit) = ifLess left right body
    member _.LanesOffset(k: int) = lanesOffset k
    member _.PushPartials(blocks: LocalBuilder, k: int) = pushPartials blocks k
    member _.MoveByIndex(bytes: int64) = moveByIndex bytes
    member _.PushPlace(start: LocalBuilder, a: int) = pushPlace start a
    member _.Collect(name: string, elements: unit -> unit, d: DType) = collect name elements d
    member _.Counted(d: DType) = counted d
    member _.MoveByLookups(d: DType, ls: Lookup[], place: unit -> unit) = moveByLookups d ls place
    /// A vector on the stack, above its address, to an argument's memory.
    member _.ToMemory(v: VectorTarget, d: DType) = toMemory v d
    member _.LeafScalar(m: Micro) = leafScalar m
    member _.LeafVector(v: VectorTarget, remaining: (unit -> unit) option, m: Micro) = leafVector v remaining m
    member _.Size(d: DType) = size d
    /// Reductions hold small integers as int32.
    member _.Wide(d: DType) = wide d
    member _.LaneCount(d: DType) = laneCount d
