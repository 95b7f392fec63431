namespace Nanograd.Simd

open System
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

/// What micro-kernels are written with: vector intrinsics as IL, for which the .NET JIT is the assembler.
[<RequireQualifiedAccess>]
module internal MicroCode =

    /// The vector operations of one element type and width, as methods to call.
    type Vectors(isDouble: bool, bits: int) =
        let element = if isDouble then typeof<float> else typeof<float32>

        let generic =
            match bits with
            | 512 -> typedefof<Vector512<int>>
            | 256 -> typedefof<Vector256<int>>
            | _ -> typedefof<Vector128<int>>

        let vector = generic.MakeGenericType element
        // Vector512, Vector256, Vector128: static classes, which F# cannot name in `typeof`.
        let operations =
            match generic.Assembly.GetType($"System.Runtime.Intrinsics.Vector{bits}", true) with
            | null -> invalidOp "no vectors"
            | found -> found

        let method (owner: Type | null) name (parameters: Type[]) =
            match owner with
            | null -> invalidOp "no vectors"
            | owner ->
                match owner.GetMethod(name, BindingFlags.Public ||| BindingFlags.Static, parameters) with
                | null -> invalidOp $"{owner.Name} has no {name}"
                | found -> found

        member val Operations = operations
        member val Element = element
        member val Type = vector
        member val Zero = method vector "get_Zero" [||]
        member val Create = method operations "Create" [| element |]
        member val Fma = method operations "FusedMultiplyAdd" [| vector; vector; vector |]

    /// The instructions the kernels are made of.
    type Code(il: ILGenerator, vectors: Vectors) =
        member _.Vectors = vectors
        member _.Native() = il.DeclareLocal typeof<nativeint>
        member _.Vector() = il.DeclareLocal vectors.Type
        member _.Get(local: LocalBuilder) = il.Emit(OpCodes.Ldloc, local)
        member _.Set(local: LocalBuilder) = il.Emit(OpCodes.Stloc, local)

        member _.Int(value: int) =
            il.Emit(OpCodes.Ldc_I4, value)
            il.Emit OpCodes.Conv_I

        member _.Byte(value: int) = il.Emit(OpCodes.Ldc_I4, value)
        member _.Subtract() = il.Emit OpCodes.Sub

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

        /// local <- local + count * size
        member code.Advance(local: LocalBuilder, count: LocalBuilder, size: int) =
            code.Get local
            code.Get count
            code.Int size
            il.Emit OpCodes.Mul
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

        member _.Call(method: MethodInfo) = il.Emit(OpCodes.Call, method)

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

        /// Jumps to the label whose number is on the stack, a native integer.
        member _.Switch(labels: Label[]) =
            il.Emit OpCodes.Conv_I4
            il.Emit(OpCodes.Switch, labels)

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

    let build (name: string) (isDouble: bool) (bits: int) (write: Code -> unit) : Kernel =
        let method = DynamicMethod(name, typeof<Void>, [| typeof<nativeint> |], typeof<KernelShape>.Module, true)
        let code = Code(method.GetILGenerator(), Vectors(isDouble, bits))
        write code
        code.Return()
        method.CreateDelegate typeof<Kernel> :?> Kernel

    /// The part of a kernel that reads A: one pointer along m; along k one pointer for every three rows, the rows between
    /// at one and two strides from it, which are x86 addresses (base + index + displacement); by table one for each row,
    /// and the entry of k is the index.
    type RowsOfA(code: Code, readA: ReadA, rows: int, size: int) =
        let count =
            match readA with
            | ReadA.AlongM -> 1
            | ReadA.AlongK -> (rows + 2) / 3
            | ReadA.ByTable -> rows

        let pointers = Array.init count (fun _ -> code.Native())
        // The stride, or the place in the table of k and its entry.
        let stride, doubled, tripled = code.Native(), code.Native(), code.Native()
        let table, entry = stride, doubled

        /// Once per kernel.
        member _.Prepare() =
            match readA with
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

            match readA with
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
            if readA = ReadA.ByTable then
                code.Entry(table, ahead)
                code.Set entry

        /// Pushes the address of the element of a row, `ahead` steps of k further.
        member _.At(row: int, ahead: int) =
            match readA with
            | ReadA.AlongM -> code.At(pointers[0], row * size)
            | ReadA.AlongK ->
                match row % 3 with
                | 0 -> code.At(pointers[row / 3], ahead * size)
                | 1 -> code.At(pointers[row / 3], stride, ahead * size)
                | _ -> code.At(pointers[row / 3], doubled, ahead * size)
            | ReadA.ByTable -> code.At(pointers[row], entry, 0)

        /// After each k.
        member _.Step() = if readA = ReadA.AlongM then code.Advance(pointers[0], stride)

        /// Keeps the place in A for others to come back to.
        member _.Remember() =
            if readA = ReadA.AlongM then
                code.Get pointers[0]
                code.Set doubled

        /// Goes back to the place that was remembered.
        member _.Recall() =
            if readA = ReadA.AlongM then
                code.Get doubled
                code.Set pointers[0]

        /// Lets `At` count `ahead` from some k further, or from earlier ones where that is negative. Along m, `ahead` does not count.
        member _.Shift(steps: LocalBuilder) =
            match readA with
            | ReadA.AlongM -> ()
            | ReadA.AlongK ->
                for pointer in pointers do
                    code.Advance(pointer, steps, size)
            | ReadA.ByTable -> code.Advance(table, steps, sizeof<int64>)

        /// After a block of unrolled k.
        member _.StepMany(steps: int) =
            match readA with
            | ReadA.AlongM -> ()
            | ReadA.AlongK ->
                for pointer in pointers do
                    code.Advance(pointer, steps * size)
            | ReadA.ByTable -> code.Advance(table, steps * sizeof<int64>)

    /// A tile of C in registers: the sums, and where they come from and go to.
    type TileOfC(code: Code, rows: int, vectors: int, bytes: int) =
        let c, cRow, cTile, row = code.Native(), code.Native(), code.Native(), code.Native()
        let continues = code.Native()
        let sums = Array2D.init rows vectors (fun _ _ -> code.Vector())

        /// For each row of the tile: the address of its vector j, to act upon.
        let each act =
            code.Get c
            code.Set row

            for i in 0 .. rows - 1 do
                for j in 0 .. vectors - 1 do
                    act (fun () -> code.At(row, j * bytes)) sums[i, j]

                if i < rows - 1 then code.Advance(row, cRow)

        member _.Sums = sums

        /// Once per kernel.
        member _.Prepare() =
            code.Argument(Slot.C, c)
            code.Argument(Slot.CRow, cRow)
            code.Argument(Slot.CTile, cTile)
            code.Argument(Slot.Continue, continues)

        /// The sums at first: zeros, or what C holds.
        member _.Start() =
            let load, ready = code.Label(), code.Label()
            code.Get continues
            code.JumpIfNonZero load
            sums |> Array2D.iter code.Zero
            code.Jump ready
            code.Mark load

            each (fun address sum ->
                address ()
                code.Load()
                code.Set sum)

            code.Mark ready

        /// Stores the sums, and goes to the next tile.
        member _.Finish() =
            each (fun address sum ->
                address ()
                code.Get sum
                code.Store())

            code.Advance(c, cTile)
