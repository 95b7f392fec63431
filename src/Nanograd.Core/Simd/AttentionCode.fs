namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Collections.Generic
open System.Reflection.Emit
open Nanograd

/// Where in their argument block the functions of attention find what: native integers.
[<RequireQualifiedAccess>]
module internal AttentionSlot =
    /// A block of numbers: rows of keys, queries side by side.
    [<Literal>]
    let Block = 0

    /// A second block like it.
    [<Literal>]
    let Other = 1

    /// From a row to the next, in bytes.
    [<Literal>]
    let Row = 2

    [<Literal>]
    let Rows = 3

    /// Vectors in a row.
    [<Literal>]
    let Vectors = 4

    /// One number for each query: three such rows.
    [<Literal>]
    let First = 5

    [<Literal>]
    let Second = 6

    [<Literal>]
    let Third = 7

    [<Literal>]
    let Count = 8

/// What attention does between its products, as machine code of one vector width. Vectors run across queries, so each query's numbers are
/// folded one key after the other: in the same order whatever the width.
[<NoComparison; NoEquality>]
type internal AttentionCode =
    {
        /// Block becomes exp(Block - largest so far). First holds the largest so far, Second the sum so far, Third gets the
        /// factor that both the old sum and the old result shrink by.
        Fold: Simd.Kernel
        /// First becomes 1 / Second, and Third the logarithm of Second, plus the old First.
        Finish: Simd.Kernel
        /// Block becomes the weights, exp(Block - First), and Other the cotangents of the products,
        /// (Other - Second) * weight * Third[0].
        Weigh: Simd.Kernel
        /// Row i of Block is multiplied by First[i].
        ScaleRows: Simd.Kernel
        /// All of Block is multiplied by First[0].
        ScaleAll: Simd.Kernel
    }

/// The words that those functions are written in.
[<Sealed>]
type private AttentionWords(il: ILGenerator, target: VectorTarget) =
    let pool = Dictionary<Type, Stack<LocalBuilder>>()
    let f32 = DType.F32

    member _.Bytes = target.Lanes * 4
    member _.Native() = il.DeclareLocal typeof<nativeint>
    member _.Vector() = il.DeclareLocal(target.Vector f32)

    member w.Int(value: int) =
        il.Emit(OpCodes.Ldc_I4, value)
        il.Emit OpCodes.Conv_I

    /// A fresh local with what an argument is.
    member w.Argument(slot: int) : LocalBuilder =
        let local = w.Native()
        il.Emit OpCodes.Ldarg_0
        w.Int(slot * sizeof<nativeint>)
        il.Emit OpCodes.Add
        il.Emit OpCodes.Ldind_I
        il.Emit(OpCodes.Stloc, local)
        local

    member _.Copy(source: LocalBuilder, target: LocalBuilder) =
        il.Emit(OpCodes.Ldloc, source)
        il.Emit(OpCodes.Stloc, target)

    member w.Advance(local: LocalBuilder, bytes: int) =
        il.Emit(OpCodes.Ldloc, local)
        w.Int bytes
        il.Emit OpCodes.Add
        il.Emit(OpCodes.Stloc, local)

    member _.Advance(local: LocalBuilder, step: LocalBuilder) =
        il.Emit(OpCodes.Ldloc, local)
        il.Emit(OpCodes.Ldloc, step)
        il.Emit OpCodes.Add
        il.Emit(OpCodes.Stloc, local)

    /// The body as often as the local says, at least once.
    member w.Repeat(count: LocalBuilder, body: unit -> unit) =
        let left, again = w.Native(), il.DefineLabel()
        w.Copy(count, left)
        il.MarkLabel again
        body ()
        w.Advance(left, -1)
        il.Emit(OpCodes.Ldloc, left)
        il.Emit(OpCodes.Brtrue, again)

    member _.Load(pointer: LocalBuilder, into: LocalBuilder) =
        il.Emit(OpCodes.Ldloc, pointer)
        target.Load(il, f32)
        il.Emit(OpCodes.Stloc, into)

    /// One number in all lanes.
    member _.Spread(pointer: LocalBuilder, into: LocalBuilder) =
        il.Emit(OpCodes.Ldloc, pointer)
        il.Emit OpCodes.Ldind_R4
        target.Broadcast(il, f32)
        il.Emit(OpCodes.Stloc, into)

    /// Straight-line code: `build` gets the locals as operands, and gives results, each with the local or the address it
    /// goes to.
    member _.Compute
        (
            operands: LocalBuilder list,
            build: MicroBuilder -> int[] -> int list,
            results: Choice<LocalBuilder, LocalBuilder> list
        ) =
        let b = MicroBuilder()
        let leaves = operands |> List.mapi (fun i _ -> b.Add(MicroOp.Row i, f32)) |> List.toArray
        let roots = build b leaves |> List.toArray
        let leaf (m: Micro) _ =
            match m.Op with
            | MicroOp.Row i -> il.Emit(OpCodes.Ldloc, operands[i])
            | _ -> invalidOp "only locals are operands"
        let section = Section(il, target, b.Code.ToArray(), pool, leaf)
        section.Run roots
        List.iteri
            (fun i result ->
                match result with
                | Choice1Of2(local: LocalBuilder) ->
                    section.Push roots[i]
                    il.Emit(OpCodes.Stloc, local)
                | Choice2Of2(pointer: LocalBuilder) ->
                    il.Emit(OpCodes.Ldloc, pointer)
                    section.Push roots[i]
                    target.Store(il, f32))
            results

/// The emitting of those functions, once for each vector width.
[<RequireQualifiedAccess>]
module internal AttentionCode =
    let private f32 = DType.F32

    let private build (name: string) (bits: int) (write: AttentionWords -> unit) : Simd.Kernel =
        let method = DynamicMethod(name, typeof<Void>, [| typeof<nativeint> |], typeof<Runtime>.Module, true)
        let il = method.GetILGenerator()
        write (AttentionWords(il, VectorTarget(bits, 4)))
        il.Emit OpCodes.Ret
        method.CreateDelegate typeof<Simd.Kernel> :?> Simd.Kernel

    let private exp (b: MicroBuilder) x = Scalar.exp (CodeArithmetic(b, false)) x

    /// For each vector of a row of the block, with pointers to it that move along.
    let private columns (w: AttentionWords) (pointers: LocalBuilder list) (body: unit -> unit) =
        w.Repeat(
            w.Argument AttentionSlot.Vectors,
            fun () ->
                body ()
                for p in pointers do
                    w.Advance(p, w.Bytes)
        )

    /// The rows of a block below `column`: the body finds the current place in a pointer.
    let private down (w: AttentionWords) (rows: LocalBuilder) (row: LocalBuilder) (at: LocalBuilder list) body =
        w.Repeat(
            rows,
            fun () ->
                body ()
                for p in at do
                    w.Advance(p, row)
        )

    let private fold (w: AttentionWords) =
        let block, row, rows =
            w.Argument AttentionSlot.Block, w.Argument AttentionSlot.Row, w.Argument AttentionSlot.Rows
        let tops, sums, factors =
            w.Argument AttentionSlot.First, w.Argument AttentionSlot.Second, w.Argument AttentionSlot.Third
        let at, x, top, before, shift, sum = w.Native(), w.Vector(), w.Vector(), w.Vector(), w.Vector(), w.Vector()
        columns w [ block; tops; sums; factors ] (fun () ->
            w.Load(tops, before)
            w.Copy(before, top)
            w.Copy(block, at)
            down w rows row [ at ] (fun () ->
                w.Load(at, x)
                // NaN may be lost here; its exponential is NaN all the same.
                w.Compute([ top; x ], (fun b v -> [ b.Add(MicroOp.MaxSecond, f32, v[0], v[1]) ]), [ Choice1Of2 top ]))
            w.Load(sums, sum)
            w.Compute(
                [ top; before; sum ],
                (fun b v ->
                    // Where nothing was seen yet, the largest is -∞, and -∞ - -∞ is no number.
                    let isNothing = b.Add(MicroOp.Equal, DType.Bool, v[0], b.Number(f32, -infinity))
                    let shift = b.Add(MicroOp.Select, f32, isNothing, b.Number(f32, 0.0), v[0])
                    let factor = exp b (b.Add(MicroOp.Sub, f32, v[1], shift))
                    [ shift; v[0]; factor; b.Add(MicroOp.Mul, f32, v[2], factor) ]),
                [ Choice1Of2 shift; Choice2Of2 tops; Choice2Of2 factors; Choice1Of2 sum ]
            )
            w.Copy(block, at)
            down w rows row [ at ] (fun () ->
                w.Load(at, x)
                w.Compute(
                    [ x; shift; sum ],
                    (fun b v ->
                        let e = exp b (b.Add(MicroOp.Sub, f32, v[0], v[1]))
                        [ e; b.Add(MicroOp.Add, f32, v[2], e) ]),
                    [ Choice2Of2 at; Choice1Of2 sum ]
                ))
            w.Compute([ sum ], (fun _ v -> [ v[0] ]), [ Choice2Of2 sums ]))

    let private finish (w: AttentionWords) =
        let tops, sums, logs =
            w.Argument AttentionSlot.First, w.Argument AttentionSlot.Second, w.Argument AttentionSlot.Third
        let top, sum = w.Vector(), w.Vector()
        columns w [ tops; sums; logs ] (fun () ->
            w.Load(tops, top)
            w.Load(sums, sum)
            w.Compute(
                [ top; sum ],
                (fun b v ->
                    let log = Scalar.log (CodeArithmetic(b, false)) v[1]
                    [ b.Add(MicroOp.Div, f32, b.Number(f32, 1.0), v[1]); b.Add(MicroOp.Add, f32, log, v[0]) ]),
                [ Choice2Of2 tops; Choice2Of2 logs ]
            ))

    let private weigh (w: AttentionWords) =
        let block, other = w.Argument AttentionSlot.Block, w.Argument AttentionSlot.Other
        let row, rows = w.Argument AttentionSlot.Row, w.Argument AttentionSlot.Rows
        let logSums, deltas, scales =
            w.Argument AttentionSlot.First, w.Argument AttentionSlot.Second, w.Argument AttentionSlot.Third
        let at, otherAt = w.Native(), w.Native()
        let x, y, logSum, delta, scale = w.Vector(), w.Vector(), w.Vector(), w.Vector(), w.Vector()
        w.Spread(scales, scale)
        columns w [ block; other; logSums; deltas ] (fun () ->
            w.Load(logSums, logSum)
            w.Load(deltas, delta)
            w.Copy(block, at)
            w.Copy(other, otherAt)
            down w rows row [ at; otherAt ] (fun () ->
                w.Load(at, x)
                w.Load(otherAt, y)
                w.Compute(
                    [ x; y; logSum; delta; scale ],
                    (fun b v ->
                        let weight = exp b (b.Add(MicroOp.Sub, f32, v[0], v[2]))
                        let change = b.Add(MicroOp.Sub, f32, v[1], v[3])
                        let scaled = b.Add(MicroOp.Mul, f32, weight, v[4])
                        // No score, no gradient: also in rows that see nothing, whose weights are NaN.
                        let isMasked = b.Add(MicroOp.Equal, DType.Bool, v[0], b.Number(f32, -infinity))
                        let gradient = b.Add(MicroOp.Mul, f32, change, scaled)
                        [ weight; b.Add(MicroOp.Select, f32, isMasked, b.Number(f32, 0.0), gradient) ]),
                    [ Choice2Of2 at; Choice2Of2 otherAt ]
                )))

    let private scaleRows (isOne: bool) (w: AttentionWords) =
        let block, row, rows =
            w.Argument AttentionSlot.Block, w.Argument AttentionSlot.Row, w.Argument AttentionSlot.Rows
        let factors, vectors = w.Argument AttentionSlot.First, w.Argument AttentionSlot.Vectors
        let at, x, factor = w.Native(), w.Vector(), w.Vector()
        w.Spread(factors, factor)
        down w rows row [ block ] (fun () ->
            if not isOne then
                w.Spread(factors, factor)
                w.Advance(factors, 4)
            w.Copy(block, at)
            w.Repeat(
                vectors,
                fun () ->
                    w.Load(at, x)
                    w.Compute([ x; factor ], (fun b v -> [ b.Add(MicroOp.Mul, f32, v[0], v[1]) ]), [ Choice2Of2 at ])
                    w.Advance(at, w.Bytes)
            ))

    let private cache = ConcurrentDictionary<int, AttentionCode>()

    let private make (bits: int) : AttentionCode =
        { Fold = build "attentionFold" bits fold
          Finish = build "attentionFinish" bits finish
          Weigh = build "attentionWeigh" bits weigh
          ScaleRows = build "attentionScaleRows" bits (scaleRows false)
          ScaleAll = build "attentionScaleAll" bits (scaleRows true) }

    /// The code for vectors of so many bits.
    let get (bits: int) : AttentionCode = cache.GetOrAdd(bits, make)
