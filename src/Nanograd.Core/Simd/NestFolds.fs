namespace Nanograd.Simd

open System
open System.Reflection.Emit
open Nanograd

/// The ends of reductions in the code of a nest: lanes folded in halves, blocks as a tree.
[<Sealed>]
type internal NestFolds(w: NestWords, il: ILGenerator, target: Target) =
    let scalar, vector, lanes = w.Scalar, w.Vector, w.Lanes
    let scratch = w.Scratch
    let int64Local () = w.Local()
    let ldc (x: int64) = w.Ldc x
    let ldloc (l: LocalBuilder) = w.Ldloc l
    let stloc (l: LocalBuilder) = w.Stloc l
    let asPointer () = w.AsPointer()
    let ifLess (left: unit -> unit) (right: unit -> unit) (body: unit -> unit) = w.IfLess(left, right, body)
    let size (d: DType) = w.Size d
    let laneCount (d: DType) = w.LaneCount d
    let lanesOffset k = w.LanesOffset k
    let case (x: 'u) = Case.number x

    let initialise (k: int) (d: DType) (r: Reduction) =
        for l in 0..lanes .. laneCount d - 1 do
            ldloc scratch
            ldc (lanesOffset k + int64 l * size d)
            il.Emit OpCodes.Add
            asPointer ()
            NestFolds.Identity(il, target, r, d)
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
            let combine = NestFolds.Combine r
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

    let foldTree (count: LocalBuilder) (place: unit -> unit) (d: DType) (r: Reduction) =
        ifLess (fun () -> ldc 1L) (fun () -> ldloc count) (fun () ->
            place ()
            asPointer ()
            ldloc count
            il.Emit(OpCodes.Ldc_I4, case r)
            il.Emit(OpCodes.Ldc_I4, case d)
            il.Emit(
                OpCodes.Call,
                Methods.runtime "FoldTree" [| typeof<nativeint>; typeof<int64>; typeof<int>; typeof<int> |]
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

    /// What a reduction does to two values.
    static member Combine(r: Reduction) =
        match r with
        | Reduction.Sum -> MicroOp.Add
        | Reduction.Prod -> MicroOp.Mul
        | Reduction.Max -> MicroOp.Max
        | Reduction.Min -> MicroOp.Min

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

    member _.Initialise(k: int, d: DType, r: Reduction) = initialise k d r
    member _.FoldLanes(k: int, d: DType, r: Reduction) = foldLanes k d r
    /// Folds so many values at a place.
    member _.FoldTree(count: LocalBuilder, place: unit -> unit, d: DType, r: Reduction) = foldTree count place d r
    /// How many blocks of a size cover a count, in a new local.
    member _.BlocksOf(count: LocalBuilder, block: int64) = blocksOf count block
