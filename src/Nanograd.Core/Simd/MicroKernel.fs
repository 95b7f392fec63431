namespace Nanograd.Simd

open System.Collections.Concurrent
open System.Reflection.Emit

/// The innermost loops of the matrix product: tiles of C held in registers while k runs, as IL over vector intrinsics, for
/// which the .NET JIT is the assembler. Each element of C is one chain of fused multiply-adds in increasing k.
[<RequireQualifiedAccess>]
module MicroKernel =

    let private tileKernel (shape: KernelShape) (code: MicroCode.Code) =
        let bytes = shape.Bits / 8
        let a = MicroCode.RowsOfA(code, shape.ReadA, shape.Rows, shape.Size)
        let b, bStep, bTile, bFirst = code.Native(), code.Native(), code.Native(), code.Native()
        let c = MicroCode.TileOfC(code, shape.Rows, shape.Vectors, bytes)
        let k, tiles = code.Native(), code.Native()
        let sums = c.Sums
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

        a.Prepare()
        c.Prepare()

        for slot, local in [ Slot.B, bFirst; Slot.BStep, bStep; Slot.BTile, bTile; Slot.Tiles, tiles ] do
            code.Argument(slot, local)

        code.CountDown(
            tiles,
            1,
            fun () ->
                a.Restart()
                code.Get bFirst
                code.Set b
                code.Argument(Slot.K, k)
                c.Start()
                unrolled 4
                unrolled 1
                c.Finish()
                code.Advance(bFirst, bTile)
        )

    let private cache = ConcurrentDictionary<KernelShape, Kernel>()

    /// The kernel of this shape; emitted at first use, then kept.
    let get (shape: KernelShape) : Kernel =
        cache.GetOrAdd(
            shape,
            fun shape ->
                let name = $"gemm{(if shape.Double then 64 else 32)}_{shape.Bits}_{shape.Rows}x{shape.Vectors}"
                MicroCode.build name shape.Double shape.Bits (tileKernel shape)
        )

    /// How many accumulators a kernel keeps: what leaves room for the operands in the registers.
    let accumulators (bits: int) = if Isa.registers bits = 32 then 24 else 12

    /// Rows of the tallest tile.
    let maxRows (bits: int) = if Isa.registers bits = 32 then 8 else 6

    /// Rows of the tallest tile of one vector: many, because each k costs a load of that vector too.
    let maxRowsOfOne (bits: int) = accumulators bits * 2 / 3

    /// A kernel that multiplies registers, `K` times once for each accumulator: what the units can do at most.
    let peak (isDouble: bool) (bits: int) : Kernel =
        MicroCode.build "peak" isDouble bits (fun code ->
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
