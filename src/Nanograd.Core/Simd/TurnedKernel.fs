namespace Nanograd.Simd

open System
open System.Collections.Concurrent
open System.Reflection
open System.Reflection.Emit
open System.Runtime.Intrinsics.Arm
open System.Runtime.Intrinsics.X86

/// What distinguishes one kernel that turns B over from another.
[<Struct>]
type TurnedShape =
    {
        /// float64 instead of float32.
        Double: bool
        /// The width of a vector.
        Bits: int
        /// Rows of C in a tile.
        Rows: int
        /// Vectors of C in each row of a tile.
        Vectors: int
        /// Columns of the last of these vectors that exist.
        Columns: int
        ReadA: ReadA
    }

    /// Bytes in an element.
    member shape.Size = if shape.Double then 8 else 4
    /// Elements in a vector.
    member shape.Lanes = shape.Bits / 8 / shape.Size

/// Kernels for few rows of A and a B whose columns are contiguous along k, such as a vector and a matrix of weights. Each column is
/// read once, in whole vectors along k; squares of as many columns as a vector has lanes are turned over in registers, so that
/// the chain of each element of C is one lane. What is asked for of memory is all of B in order, and nothing else.
[<RequireQualifiedAccess>]
module TurnedKernel =

    /// Are there the instructions to turn squares over at this width?
    let isSupported (bits: int) =
        match bits with
        | 512 -> Avx512F.IsSupported
        | 256 -> Avx.IsSupported
        | _ -> Sse2.IsSupported || AdvSimd.Arm64.IsSupported

    let private find (owner: Type) name (parameters: Type[]) : MethodInfo =
        match owner.GetMethod(name, parameters) with
        | null -> invalidOp $"{owner.Name} has no {name}"
        | found -> found

    /// The instructions that take two vectors to one.
    type private Pairs(code: MicroCode.Code, vectors: MicroCode.Vectors, bits: int) =
        let own = vectors.Type
        let doubles = own.GetGenericTypeDefinition().MakeGenericType typeof<float>

        let isArm = bits = 128 && not Sse2.IsSupported

        let interleave isLow (t: Type) =
            let owner =
                match bits with
                | 512 -> typeof<Avx512F>
                | 256 -> typeof<Avx>
                | _ when isArm -> typeof<AdvSimd.Arm64>
                | _ -> if t = doubles then typeof<Sse2> else typeof<Sse>

            find owner ((if isArm then "Zip" else "Unpack") + (if isLow then "Low" else "High")) [| t; t |]

        let reinterpret (from: Type) (into: Type) =
            let definition =
                vectors.Operations.GetMethods()
                |> Array.find (fun m -> m.Name = "As" && m.GetGenericArguments().Length = 2)

            definition.MakeGenericMethod [| from.GenericTypeArguments[0]; into.GenericTypeArguments[0] |]

        let get (local: LocalBuilder) isAs =
            code.Get local
            if isAs && own <> doubles then code.Call(reinterpret own doubles)

        /// Within each 128 bits: the lower or higher elements of both, in turn.
        member _.Interleave isLow a b result =
            get a false
            get b false
            code.Call(interleave isLow own)
            code.Set result

        /// The same of pieces of 64 bits.
        member _.InterleaveWide isLow a b result =
            get a true
            get b true
            code.Call(interleave isLow doubles)
            if own <> doubles then code.Call(reinterpret doubles own)
            code.Set result

        /// Pieces of 128 bits as the control says.
        member _.Pieces (control: int) a b result =
            get a false
            get b false
            code.Byte control
            let owner, name = if bits = 512 then typeof<Avx512F>, "Shuffle4x128" else typeof<Avx>, "Permute2x128"
            code.Call(find owner name [| own; own; typeof<byte> |])
            code.Set result

    /// Turns a square over: vectors along k, one for each column, become vectors across the columns, one for each k.
    let private turn (pairs: Pairs) (shape: TurnedShape) (fresh: int -> LocalBuilder[]) (columns: LocalBuilder[]) =
        let piece, pieces = 16 / shape.Size, shape.Bits / 128

        /// Each stage takes pairs of vectors from where `ends` says and puts their combinations in the same two places.
        let stage number (input: LocalBuilder[]) (ends: (int * int * int * int) list) low high =
            let output = fresh number

            for a, b, first, second in ends do
                low input[a] input[b] output[first]
                high input[a] input[b] output[second]

            output

        let within (input: LocalBuilder[]) =
            if shape.Double then
                let ends = [ for i in 0..2 .. shape.Lanes - 1 -> i, i + 1, i, i + 1 ]
                stage 1 input ends (pairs.InterleaveWide true) (pairs.InterleaveWide false)
            else
                let ends = [ for i in 0..2 .. shape.Lanes - 1 -> i, i + 1, i, i + 1 ]
                let halves = stage 0 input ends (pairs.Interleave true) (pairs.Interleave false)

                let ends =
                    [ for i in 0..4 .. shape.Lanes - 1 do
                          i, i + 2, i, i + 1
                          i + 1, i + 3, i + 2, i + 3 ]

                stage 1 halves ends (pairs.InterleaveWide true) (pairs.InterleaveWide false)

        let across (input: LocalBuilder[]) =
            match pieces with
            | 1 -> input
            | 2 ->
                let ends = [ for c in 0 .. piece - 1 -> c, piece + c, c, piece + c ]
                stage 2 input ends (pairs.Pieces 0x20) (pairs.Pieces 0x31)
            | _ ->
                let even, odd = pairs.Pieces 0x88, pairs.Pieces 0xdd

                let ends =
                    [ for c in 0 .. piece - 1 do
                          c, piece + c, c, piece + c
                          2 * piece + c, 3 * piece + c, 2 * piece + c, 3 * piece + c ]

                let halves = stage 2 input ends even odd

                let ends =
                    [ for c in 0 .. piece - 1 do
                          c, 2 * piece + c, c, 2 * piece + c
                          piece + c, 3 * piece + c, piece + c, 3 * piece + c ]

                stage 3 halves ends even odd

        across (within columns)

    let private tileKernel (shape: TurnedShape) (code: MicroCode.Code) =
        let bytes, lanes = shape.Bits / 8, shape.Lanes
        let a = MicroCode.RowsOfA(code, shape.ReadA, shape.Rows, shape.Size)
        let pairs = Pairs(code, code.Vectors, shape.Bits)
        let b, bStep, bTile, bFirst = code.Native(), code.Native(), code.Native(), code.Native()
        let twice, thrice, fourfold = code.Native(), code.Native(), code.Native()
        let c = MicroCode.TileOfC(code, shape.Rows, shape.Vectors, bytes)
        let k, tiles = code.Native(), code.Native()
        let column, back = code.Native(), code.Native()
        let loaded = Array.init lanes (fun _ -> code.Vector())
        let stages = Array.init 4 (fun _ -> lazy (Array.init lanes (fun _ -> code.Vector())))
        let passing = code.Vector()

        let multiple (local: LocalBuilder) (other: LocalBuilder) =
            code.Get bStep
            code.Set local
            code.Advance(local, other)

        /// Vector `i` of columns of the tile; `column` is at the first of them, and ends up behind the last.
        let load i =
            let exist = if i = shape.Vectors - 1 then shape.Columns else lanes

            for j in 0 .. lanes - 1 do
                if j < exist then
                    match j % 4 with
                    | 0 -> code.Get column
                    | 1 -> code.At(column, bStep, 0)
                    | 2 -> code.At(column, twice, 0)
                    | _ -> code.At(column, thrice, 0)

                    code.Load()
                    if j % 4 = 3 then code.Advance(column, fourfold)
                else
                    code.Get loaded[exist - 1]

                code.Set loaded[j]

            if lanes = 2 then code.Advance(column, twice)

            turn pairs shape (fun stage -> stages[stage].Value) loaded

        let multiply i (turned: LocalBuilder[]) step =
            a.Start step

            for r in 0 .. shape.Rows - 1 do
                a.At(r, step)
                code.Broadcast()
                code.Set passing
                code.MultiplyAdd(passing, turned[step], c.Sums[r, i])

            a.Step()

        let square (each: int -> LocalBuilder[] -> unit) =
            code.Get b
            code.Set column
            a.Remember()

            for i in 0 .. shape.Vectors - 1 do
                if i > 0 then a.Recall()
                each i (load i)

        let whole () =
            square (fun i turned ->
                for step in 0 .. lanes - 1 do
                    multiply i turned step)

            a.StepMany lanes
            code.Advance(b, bytes)

        /// The last k, fewer than lanes: columns are read from earlier k on, and those have been summed already.
        let rest () =
            code.Get k
            code.Int lanes
            code.Subtract()
            code.Set back
            a.Shift back
            code.Advance(b, back, shape.Size)

            square (fun i turned ->
                let labels = Array.init lanes (fun _ -> code.Label())
                code.Int 0
                code.Get back
                code.Subtract()
                code.Switch labels

                for step in 0 .. lanes - 1 do
                    code.Mark labels[step]
                    multiply i turned step)

        a.Prepare()
        c.Prepare()

        for slot, local in [ Slot.B, bFirst; Slot.BStep, bStep; Slot.BTile, bTile; Slot.Tiles, tiles ] do
            code.Argument(slot, local)

        multiple twice bStep
        multiple thrice twice
        multiple fourfold thrice

        code.CountDown(
            tiles,
            1,
            fun () ->
                a.Restart()
                code.Get bFirst
                code.Set b
                code.Argument(Slot.K, k)
                c.Start()
                code.CountDown(k, lanes, whole)
                let complete = code.Label()
                code.JumpIfLess(k, 1, complete)
                rest ()
                code.Mark complete
                c.Finish()
                code.Advance(bFirst, bTile)
        )

    let private cache = ConcurrentDictionary<TurnedShape, Kernel>()

    /// The kernel of this shape; emitted at first use, then kept. K must be at least a vector's lanes, or B continue before the first k.
    let get (shape: TurnedShape) : Kernel =
        cache.GetOrAdd(
            shape,
            fun shape ->
                let name = $"turned{(if shape.Double then 64 else 32)}_{shape.Bits}_{shape.Rows}x{shape.Vectors}"
                MicroCode.build name shape.Double shape.Bits (tileKernel shape)
        )
