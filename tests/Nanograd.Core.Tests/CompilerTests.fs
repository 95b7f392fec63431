/// The compiled programs against the interpreter, on random programs: bit for bit without rewriting.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Core.Tests.Programs.Programs> |])>]
module Nanograd.Core.Tests.CompilerTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd
open Nanograd.Simd
open Nanograd.Core.Tests.Programs

let private widths = [| 128; 256; 512 |] |> Array.filter (fun bits -> bits <= Isa.widest)

let private copy (t: Tensor) =
    let s = Program.storage t
    let result = Buffers.allocate s.DType s.Length
    for i in 0 .. s.Length - 1 do
        Buffers.write result i (Buffers.read s i)
    result

/// With so many threads, vectors that wide.
let private on (threads: int) (bits: int) (body: unit -> 'r) : 'r =
    let saved = Threads.Count
    Threads.Count <- threads
    try
        Isa.withWidth bits body
    finally
        Threads.Count <- saved

/// Compiles and runs `roots`, not through the program cache. `donated` says which literals may be overwritten.
let private run (donated: Tensor[] -> bool[]) (roots: Tensor[]) : Constant[][] =
    let literals, inputs, outputs = abstracted roots
    let program = Program.compile inputs outputs (donated literals)
    program.Run(literals |> Array.map copy) |> Array.map elements

let private nothing (literals: Tensor[]) = Array.create literals.Length false

/// Compares every result with what the interpreter says.
let private check
    (agree: Constant[] -> Constant -> Constant -> bool)
    (what: string)
    (expected: Constant[][])
    (actual: Constant[][])
    =
    Array.iteri2
        (fun i e a ->
            match differences (agree e) e a with
            | Some text -> failwith $"{what}, result {i}: {text}"
            | None -> ())
        expected
        actual

let private exactly (_: Constant[]) = same
let private expected (roots: Tensor[]) = roots |> Array.map interpreted

/// With results of this many bytes stored past the cache.
let private streamingFrom (bytes: int64) (body: unit -> 'r) : 'r =
    let saved = NestOnBuffers.StreamsFrom
    NestOnBuffers.StreamsFrom <- bytes
    try
        body ()
    finally
        NestOnBuffers.StreamsFrom <- saved

/// Every width, and with each another number of threads.
let private equals (seed: int) (roots: Tensor[]) =
    let wanted = expected roots
    Program.withoutRewriting (fun () ->
        widths
        |> Array.iteri (fun i bits ->
            let threads = 1 + (seed + i) % 3
            on threads bits (fun () -> check exactly $"{bits} bits, {threads} threads" wanted (run nothing roots))))

let equalsInterpreter (p: Sample) =
    streamingFrom (if p.Seed % 2 = 0 then 0L else Int64.MaxValue) (fun () -> equals p.Seed p.Roots)

[<TestCase(1300, 700)>]
[<TestCase(257, 2500)>]
[<TestCase(256, 1)>]
[<TestCase(5000, 17)>]
[<TestCase(2049, 64)>]
[<TestCase(1, 5000)>]
let ``sums down columns have the interpreter's bits, however they are shared`` (rows: int, columns: int) =
    let x = eval (Random.normal (Random.key 1L) [| rows; columns |])
    let y = eval (Random.normal (Random.key 2L) [| columns |])
    let small = cast DType.I8 (x * 40.0)
    for seed in 0..2 do
        equals
            seed
            [| sumOver [ 0 ] x
               sumOver [ 0 ] (cast DType.F64 x)
               amax [ 0 ] (x * y)
               sumOver [ 0 ] (tanh (x * y) * x - y)
               sumOver [ 0 ] small
               sumOver [ 0 ] (transpose (Op.reshape [| columns; rows |] x)) |]

[<TestCase(3, 300, 70)>]
[<TestCase(70, 513, 5)>]
let ``sums over a middle axis have the interpreter's bits`` (outer: int, rows: int, columns: int) =
    let x = eval (Random.normal (Random.key 1L) [| outer; rows; columns |])
    for seed in 0..2 do
        equals seed [| sumOver [ 1 ] x; amin [ 1 ] x; sumOver [ 1 ] (cast DType.I64 (x * 9.0)) |]

[<TestCase(64, 64, 1)>]
[<TestCase(300, 131, 1)>]
[<TestCase(9, 1000, 3)>]
[<TestCase(77, 8, 5)>]
let ``what lies across a loop has the interpreter's bits`` (rows: int, columns: int, batch: int) =
    let x = eval (Random.normal (Random.key 1L) [| batch; rows; columns |])
    let turned (x: Tensor) = Op.permute [| 0; 2; 1 |] x
    let whole = cast DType.F64 x |> eval
    let small = cast DType.I8 (x * 40.0) |> eval
    for stream in [ 0L; Int64.MaxValue ] do
        streamingFrom stream (fun () ->
            for seed in 0..2 do
                equals
                    seed
                    [| turned x
                       exp (turned x) + Op.reshape [| batch; columns; rows |] x
                       turned whole * turned (cast DType.F64 x)
                       turned small
                       Op.permute [| 2; 1; 0 |] x
                       turned (sliceStep 1 0 rows 2 x) |])

[<TestCase(1, 100003)>]
[<TestCase(1, 16384)>]
[<TestCase(3, 37001)>]
let ``sums of a few long rows have the interpreter's bits, however they are shared`` (rows: int, columns: int) =
    let x = eval (Random.normal (Random.key 1L) [| rows; columns |])
    let y = eval (Random.normal (Random.key 2L) [| rows; 1 |])
    for seed in 0..2 do
        equals
            seed
            [| sumOver [ 1 ] x
               sumOver [ 1 ] (cast DType.F64 x)
               sqrt (sumOver [ 1 ] ((x - y) * x) + 3.0)
               amax [ 1 ] x - amin [ 1 ] x
               sumOver [ 1 ] (cast DType.U8 (x * 9.0))
               softmax -1 x |]

[<TestCase(1)>]
[<TestCase(17)>]
[<TestCase(4097)>]
[<TestCase(100003)>]
let ``what is stored past the cache has the interpreter's bits`` (columns: int) =
    let x = eval (Random.normal (Random.key 1L) [| 3; columns |])
    let wide = cast DType.F64 x
    streamingFrom 0L (fun () ->
        for seed in 0..2 do
            equals seed [| exp x; softmax -1 x; wide * 2.0; cast DType.F32 (wide + x); transpose x; x.[1..] + 1.0 |])

[<Law 60>]
let ``compiled equals interpreted, bit for bit: moderate values`` (p: TameProgram) = equalsInterpreter p

[<Law 60>]
let ``compiled equals interpreted, bit for bit: infinities, NaN, -0, denormals`` (p: WildProgram) = equalsInterpreter p

[<Law 30>]
let ``compiled equals interpreted, bit for bit: integers`` (p: WholeProgram) = equalsInterpreter p

[<Law 40>]
let ``rewriting keeps integers`` (p: WholeProgram) = check exactly "rewritten" (expected p.Roots) (run nothing p.Roots)

[<Law 60>]
let ``rewriting keeps f64 within rounding`` (p: SmoothProgram) =
    check (within 1e-9) "rewritten" (expected p.Roots) (run nothing p.Roots)

[<Law 40>]
let ``rewriting keeps f32 within rounding`` (p: SingleProgram) =
    check (within 2e-3) "rewritten" (expected p.Roots) (run nothing p.Roots)

[<Law 40>]
let ``rewriting keeps infinities and NaN`` (p: SpecialProgram) =
    check (within 1e-9) "rewritten" (expected p.Roots) (run nothing p.Roots)

[<Law 40>]
let ``donated arguments change no result`` (p: TameProgram) =
    let random = Random p.Seed
    let some (literals: Tensor[]) = literals |> Array.map (fun _ -> random.Next 3 > 0)
    Program.withoutRewriting (fun () -> check exactly "donated" (expected p.Roots) (run some p.Roots))

[<Law 30>]
let ``a program gives the same bits again, and on other threads at once`` (p: TameProgram) =
    let literals, inputs, outputs = abstracted p.Roots
    let program = Program.compile inputs outputs (nothing literals)
    let once () = program.Run(literals |> Array.map Program.storage) |> Array.map elements
    let first = once ()
    check exactly "again" first (once ())
    let both = Array.Parallel.map (fun _ -> once ()) [| 1; 2 |]
    check exactly "in parallel" first both[0]
    check exactly "in parallel" first both[1]

[<Law 60>]
let ``every loop nest of a plan obeys the rules of the kernel language`` (p: WildProgram) =
    let _, inputs, outputs = abstracted p.Roots
    let rec check (kernel: Nanograd.Kernel) =
        match kernel with
        | Kernel.Loop l ->
            match Kernel.check l.Nest with
            | [] -> ()
            | wrong -> failwith (String.Join("; ", wrong) + "\n" + Kernel.show kernel)
        | Kernel.Summed s -> Array.iter (Kernel.Loop >> check) (Array.append [| s.Rows |] s.Sums)
        | Kernel.Repeat r -> Array.iter check r.Body.Kernels
        | Kernel.Product _
        | Kernel.Conv _
        | Kernel.Lines _
        | Kernel.Fold _
        | Kernel.Check _
        | Kernel.Scatter _
        | Kernel.Attention _
        | Kernel.AttentionGradient _
        | Kernel.Pool _
        | Kernel.Update _ -> ()
    Array.iter check (Lower.plan inputs outputs).Kernels

/// The kernels of a plan, run by the slow evaluator of the kernel language, against the interpreter.
let kernelsEqualInterpreter (p: Sample) =
    let literals, inputs, outputs = abstracted p.Roots
    let results = KernelEvaluator.run (Lower.plan inputs outputs) (literals |> Array.map Program.storage)
    check exactly "evaluated kernels" (expected p.Roots) (results |> Array.map elements)

[<Law 60>]
let ``kernels mean what the interpreter says: moderate values`` (p: TameProgram) = kernelsEqualInterpreter p

[<Law 60>]
let ``kernels mean what the interpreter says: infinities, NaN, -0, denormals`` (p: WildProgram) =
    kernelsEqualInterpreter p

[<Test>]
let ``this machine has some of the vector widths`` () = Assert.That(widths, Is.Not.Empty)
