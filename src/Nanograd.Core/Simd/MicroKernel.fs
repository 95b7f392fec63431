namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Reflection
open System.Reflection.Emit
open System.Runtime.Intrinsics

/// Where in its argument block a micro-kernel finds what: native integers; addresses, and strides in bytes.
[<RequireQualifiedAccess>]
module Slot =
    /// The first row of A.
    [<Literal>]
    let A = 0

    /// From a row of A to the next (kernels along k), or the table of the tile's rows (kernels by table).
    [<Literal>]
    let ARow = 1

    /// From a k of A to the next (kernels along m), or the table of the k (kernels by table).
    [<Literal>]
    let AStep = 2

    /// The first tile of B.
    [<Literal>]
    let B = 3

    /// From a k of B to the next.
    [<Literal>]
    let BStep = 4

    /// From a tile of B to the next.
    [<Literal>]
    let BTile = 5

    /// The first tile of C.
    [<Literal>]
    let C = 6

    /// From a row of C to the next.
    [<Literal>]
    let CRow = 7

    /// From a tile of C to the next.
    [<Literal>]
    let CTile = 8

    /// How many k.
    [<Literal>]
    let K = 9

    /// How many tiles side by side, at least one.
    [<Literal>]
    let Tiles = 10

    /// 0: chains start at zero. Otherwise they continue from what C holds.
    [<Literal>]
    let Continue = 11

    /// How many slots there are.
    [<Literal>]
    let Count = 12

/// Runs a row of tiles; the argument is the address of the argument block.
type Kernel = delegate of nativeint -> unit

/// How a micro-kernel finds the elements of A, each of which meets a row of B.
[<RequireQualifiedAccess>]
type ReadA =
    /// Contiguous along m, with any stride from k to k.
    | AlongM
    /// Contiguous along k, with any stride from row to row.
    | AlongK
    /// Anywhere: the place is the sum of an entry for the row and one for k, both from tables of bytes (int64). So are the
    /// patches of a convolution.
    | ByTable

/// What distinguishes one micro-kernel from another.
[<Struct>]
type KernelShape =
    {
        /// float64 instead of float32.
        Double: bool
        /// The width of a vector.
        Bits: int
        /// Rows of C in a tile.
        Rows: int
        /// Vectors of C in each row of a tile.
        Vectors: int
        ReadA: ReadA
    }

    /// Bytes in an element.
    member shape.Size = if shape.Double then 8 else 4
    /// Elements in a vector.
    member shape.Lanes = shape.Bits / 8 / shape.Size

/// The innermost loops of the matrix product: tiles of C held in registers while k runs, as IL over vector intrinsics, for
/// which the .NET JIT is the assembler. Each element of C is one chain of fused multiply-adds in increasing k.
[<RequireQualifiedAccess>]
module MicroKernel =

    /// The vector operations of one element type and width, as methods to call.
    type private Vectors(isDouble: bool, bits: int) =
        let element = if isDouble then typeof<float> else typeof<float32>

        let generic =
            match bits with
            | 512 -> typedefof<Vector512<int>>
            | 256 -> typedefof<Vector256<int>>
            | _ -> typedefof<Vector128<int>>

        let vector = generic.MakeGenericType element
        // Vector512, Vector256, Vector128: static classes, which F# cannot name in `typeof`.
        let operations = generic.Assembly.GetType($"System.Runtime.Intrinsics.Vector{bits}", true)

        let method (owner: Type | null) name (parameters: Type[]) =
            match owner with
            | null -> invalidOp "no vectors"
            | owner ->
                match owner.GetMethod(name, BindingFlags.Public ||| BindingFlags.Static, parameters) with
                | null -> invalidOp $"{owner.Name} has no {name}"
                | found -> found

        member val Element = element
        member val Type = vector
        member val Zero = method vector "get_Zero" [||]
        member val Create = method operations "Create" [| element |]
        member val Fma = method operations "FusedMultiplyAdd" [| vector; vector; vector |]

    /// The instructions the kernels are made of.
    type private Code(il: ILGenerator, vectors: Vectors) =
        member _.Native() = il.DeclareLocal typeof<nativeint>
        member _.Vector() = il.DeclareLocal vectors.Type
        member _.Get(local: LocalBuilder) = il.Emit(OpCodes.Ldloc, local)
        member _.Set(local: LocalBuilder) = il.Emit(OpCodes.Stloc, local)

        member _.Int(value: int) =
            il.Emit(OpCodes.Ldc_I4, value)
            il.Emit OpCodes.Conv_I

        /// local <- argument
        member code.Argument(slot: int, local: LocalBuilder) =
            il.Emit OpCodes.Ldarg_0
            code.Int(slot * sizeof<nativeint>)
            il.Emit OpCodes.Add
            il.Emit OpCodes.Ldind_I
            code.Set local

        /// local <- local + step
        member code.Advance(local: LocalBuilder, step: LocalBuilder) =
            code.Get local
            code.Get step
            il.Emit OpCodes.Add
            code.Set local

        /// local <- local + step
        member code.Advance(local: LocalBuilder, step: int) =
            code.Get local
            code.Int step
            il.Emit OpCodes.Add
            code.Set local

        /// Pushes an entry of a table of native integers.
        member code.Entry(table: LocalBuilder, index: int) =
            code.At(table, index * sizeof<int64>)
            il.Emit OpCodes.Ldind_I

        /// local <- the sum of the two native integers on the stack
        member code.Sum(local: LocalBuilder) =
            il.Emit OpCodes.Add
            code.Set local

        /// Pushes pointer + displacement.
        member code.At(pointer: LocalBuilder, displacement: int) =
            code.Get pointer

            if displacement <> 0 then
                code.Int displacement
                il.Emit OpCodes.Add

        /// Pushes pointer + stride + displacement.
        member code.At(pointer: LocalBuilder, stride: LocalBuilder, displacement: int) =
            code.Get pointer
            code.Get stride
            il.Emit OpCodes.Add

            if displacement <> 0 then
                code.Int displacement
                il.Emit OpCodes.Add

        /// Address on the stack -> vector on the stack.
        member _.Load() =
            il.Emit(OpCodes.Unaligned, 1uy)
            il.Emit(OpCodes.Ldobj, vectors.Type)

        /// Address and vector on the stack -> memory.
        member _.Store() =
            il.Emit(OpCodes.Unaligned, 1uy)
            il.Emit(OpCodes.Stobj, vectors.Type)

        /// Address on the stack -> the element there, in every lane.
        member _.Broadcast() =
            il.Emit(if vectors.Element = typeof<float> then OpCodes.Ldind_R8 else OpCodes.Ldind_R4)
            il.Emit(OpCodes.Call, vectors.Create)

        /// sum <- a * b + sum, rounded once
        member code.MultiplyAdd(a: LocalBuilder, b: LocalBuilder, sum: LocalBuilder) =
            code.Get a
            code.Get b
            code.Get sum
            il.Emit(OpCodes.Call, vectors.Fma)
            code.Set sum

        member code.Zero(local: LocalBuilder) =
            il.Emit(OpCodes.Call, vectors.Zero)
            code.Set local

        member _.Label() = il.DefineLabel()
        member _.Mark(label: Label) = il.MarkLabel label
        member _.Jump(label: Label) = il.Emit(OpCodes.Br, label)

        /// Native integer on the stack -> jumps if it is not zero.
        member _.JumpIfNonZero(label: Label) = il.Emit(OpCodes.Brtrue, label)

        /// Jumps if local < limit.
        member code.JumpIfLess(local: LocalBuilder, limit: int, label: Label) =
            code.Get local
            code.Int limit
            il.Emit(OpCodes.Blt, label)

        /// Repeats the body while local, lowered by `step` each time, is at least `step`.
        member code.CountDown(local: LocalBuilder, step: int, body: unit -> unit) =
            let again, finish = code.Label(), code.Label()
            code.JumpIfLess(local, step, finish)
            code.Mark again
            body ()
            code.Advance(local, -step)
            code.Get local
            code.Int step
            il.Emit(OpCodes.Bge, again)
            code.Mark finish

        member _.Return() = il.Emit OpCodes.Ret

    let private build (name: string) (isDouble: bool) (bits: int) (write: Code -> unit) : Kernel =
        let method = DynamicMethod(name, typeof<Void>, [| typeof<nativeint> |], typeof<KernelShape>.Module, true)
        let code = Code(method.GetILGenerator(), Vectors(isDouble, bits))
        write code
        code.Return()
        method.CreateDelegate typeof<Kernel> :?> Kernel

    /// The part of a kernel that reads A: one pointer along m; along k one pointer for every three rows, the rows between
    /// at one and two strides from it, which are x86 addresses (base + index + displacement); by table one for each row,
    /// and the entry of k is the index.
    type private RowsOfA(code: Code, shape: KernelShape) =
        let count =
            match shape.ReadA with
            | ReadA.AlongM -> 1
            | ReadA.AlongK -> (shape.Rows + 2) / 3
            | ReadA.ByTable -> shape.Rows

        let pointers = Array.init count (fun _ -> code.Native())
        // The stride, or the place in the table of k and its entry.
        let stride, doubled, tripled = code.Native(), code.Native(), code.Native()
        let table, entry = stride, doubled

        /// Once per kernel.
        member _.Prepare() =
            match shape.ReadA with
            | ReadA.AlongM -> code.Argument(Slot.AStep, stride)
            | ReadA.AlongK ->
                code.Argument(Slot.ARow, stride)
                code.Get stride
                code.Set doubled
                code.Advance(doubled, stride)
                code.Get doubled
                code.Set tripled
                code.Advance(tripled, stride)
            | ReadA.ByTable -> ()

        /// Once per tile.
        member _.Restart() =
            code.Argument(Slot.A, pointers[0])

            match shape.ReadA with
            | ReadA.AlongM -> ()
            | ReadA.AlongK ->
                for i in 1 .. pointers.Length - 1 do
                    code.Get pointers[i - 1]
                    code.Set pointers[i]
                    code.Advance(pointers[i], tripled)
            | ReadA.ByTable ->
                code.Argument(Slot.ARow, table)

                for i in pointers.Length - 1 .. -1 .. 0 do
                    code.Entry(table, i)
                    code.Get pointers[0]
                    code.Sum pointers[i]

                code.Argument(Slot.AStep, table)

        /// Before each k.
        member _.Start(ahead: int) =
            if shape.ReadA = ReadA.ByTable then
                code.Entry(table, ahead)
                code.Set entry

        /// Pushes the address of the element of a row, `ahead` steps of k further.
        member _.At(row: int, ahead: int) =
            match shape.ReadA with
            | ReadA.AlongM -> code.At(pointers[0], row * shape.Size)
            | ReadA.AlongK ->
                match row % 3 with
                | 0 -> code.At(pointers[row / 3], ahead * shape.Size)
                | 1 -> code.At(pointers[row / 3], stride, ahead * shape.Size)
                | _ -> code.At(pointers[row / 3], doubled, ahead * shape.Size)
            | ReadA.ByTable -> code.At(pointers[row], entry, 0)

        /// After each k.
        member _.Step() = if shape.ReadA = ReadA.AlongM then code.Advance(pointers[0], stride)

        /// After a block of unrolled k.
        member _.StepMany(steps: int) =
            match shape.ReadA with
            | ReadA.AlongM -> ()
            | ReadA.AlongK ->
                for pointer in pointers do
                    code.Advance(pointer, steps * shape.Size)
            | ReadA.ByTable -> code.Advance(table, steps * sizeof<int64>)

    let private tileKernel (shape: KernelShape) (code: Code) =
        let bytes = shape.Bits / 8
        let a = RowsOfA(code, shape)
        let b, bStep, bTile, bFirst = code.Native(), code.Native(), code.Native(), code.Native()
        let c, cRow, cTile, row = code.Native(), code.Native(), code.Native(), code.Native()
        let k, tiles, continues = code.Native(), code.Native(), code.Native()
        let sums = Array2D.init shape.Rows shape.Vectors (fun _ _ -> code.Vector())
        let held = Array.init (min shape.Rows shape.Vectors) (fun _ -> code.Vector())
        let passing = code.Vector()

        let readA i ahead local =
            a.At(i, ahead)
            code.Broadcast()
            code.Set local

        let readB j local =
            code.At(b, j * bytes)
            code.Load()
            code.Set local

        /// The shorter side of the tile is held in registers while the longer one streams through a single register.
        let oneK ahead =
            a.Start ahead

            if shape.Rows < shape.Vectors then
                held |> Array.iteri (fun i local -> readA i ahead local)

                for j in 0 .. shape.Vectors - 1 do
                    readB j passing
                    held |> Array.iteri (fun i local -> code.MultiplyAdd(local, passing, sums[i, j]))
            else
                held |> Array.iteri readB

                for i in 0 .. shape.Rows - 1 do
                    readA i ahead passing
                    held |> Array.iteri (fun j local -> code.MultiplyAdd(passing, local, sums[i, j]))

            a.Step()
            code.Advance(b, bStep)

        let unrolled steps =
            code.CountDown(
                k,
                steps,
                fun () ->
                    for ahead in 0 .. steps - 1 do
                        oneK ahead

                    a.StepMany steps
            )

        /// For each row of the tile of C: the address of its vector j, to act upon.
        let eachOfC act =
            code.Get c
            code.Set row

            for i in 0 .. shape.Rows - 1 do
                for j in 0 .. shape.Vectors - 1 do
                    act (fun () -> code.At(row, j * bytes)) sums[i, j]

                if i < shape.Rows - 1 then code.Advance(row, cRow)

        let start () =
            let load, ready = code.Label(), code.Label()
            code.Get continues
            code.JumpIfNonZero load
            sums |> Array2D.iter code.Zero
            code.Jump ready
            code.Mark load

            eachOfC (fun address sum ->
                address ()
                code.Load()
                code.Set sum)

            code.Mark ready

        let finish () =
            eachOfC (fun address sum ->
                address ()
                code.Get sum
                code.Store())

        a.Prepare()

        for slot, local in
            [ Slot.B, bFirst; Slot.BStep, bStep; Slot.BTile, bTile; Slot.C, c; Slot.CRow, cRow; Slot.CTile, cTile ] do
            code.Argument(slot, local)

        code.Argument(Slot.Tiles, tiles)
        code.Argument(Slot.Continue, continues)

        code.CountDown(
            tiles,
            1,
            fun () ->
                a.Restart()
                code.Get bFirst
                code.Set b
                code.Argument(Slot.K, k)
                start ()
                unrolled 4
                unrolled 1
                finish ()
                code.Advance(bFirst, bTile)
                code.Advance(c, cTile)
        )

    let private cache = ConcurrentDictionary<KernelShape, Kernel>()

    /// The kernel of this shape; emitted at first use, then kept.
    let get (shape: KernelShape) : Kernel =
        cache.GetOrAdd(
            shape,
            fun shape ->
                let name = $"gemm{(if shape.Double then 64 else 32)}_{shape.Bits}_{shape.Rows}x{shape.Vectors}"
                build name shape.Double shape.Bits (tileKernel shape)
        )

    /// How many accumulators a kernel keeps: what leaves room for the operands in the registers.
    let accumulators (bits: int) = if Isa.registers bits = 32 then 24 else 12

    /// Rows of the tallest tile.
    let maxRows (bits: int) = if Isa.registers bits = 32 then 8 else 6

    /// Rows of the tallest tile of one vector: many, because each k costs a load of that vector too.
    let maxRowsOfOne (bits: int) = accumulators bits * 2 / 3

    /// A kernel that multiplies registers, `K` times once for each accumulator: what the units can do at most.
    let peak (isDouble: bool) (bits: int) : Kernel =
        build "peak" isDouble bits (fun code ->
            let sums = Array.init (accumulators bits) (fun _ -> code.Vector())
            let x, y, k = code.Vector(), code.Vector(), code.Native()
            code.Argument(Slot.K, k)
            Array.append sums [| x; y |] |> Array.iter code.Zero
            code.CountDown(k, 1, (fun () -> sums |> Array.iter (fun sum -> code.MultiplyAdd(x, y, sum))))

            // Stored, so that the JIT cannot drop them.
            for sum in sums do
                code.Argument(Slot.C, k)
                code.Get k
                code.Get sum
                code.Store())
