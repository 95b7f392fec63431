/// The matrix product against its reference, bit for bit: sizes around tiles and vectors, thin ones, any layout of the operands,
/// every vector width, one thread and several; what it writes, what it reports, what it allocates.
module Nanograd.Core.Tests.GemmTests

open System
open System.Runtime.InteropServices
open NUnit.Framework
open FsCheck.NUnit
open Nanograd.Simd

let private widths = [| 128; 256; 512 |] |> Array.filter (fun bits -> bits <= Isa.widest)

/// Runs with the memory of an array held in place.
let private pinned (values: 'T[]) (body: nativeint -> unit) =
    let handle = GCHandle.Alloc(values, GCHandleType.Pinned)
    try
        body (handle.AddrOfPinnedObject())
    finally
        handle.Free()

/// How the matrices of an operand lie in memory.
type private Layout =
    | RowMajor
    | ColumnMajor
    /// Gaps between rows and between batches.
    | Spread
    /// Every second element of a row.
    | Strided

let private layouts = [| RowMajor; ColumnMajor; Spread; Strided |]

/// The view of matrices that lie so, and how many elements hold them.
let private view layout batches rows columns : struct (View * int) =
    let table count step = Array.init count (fun i -> i * step)
    let make row column size : struct (View * int) =
        struct ({ Batch = table batches size
                  Rows = table rows row
                  Columns = table columns column },
                batches * size)
    match layout with
    | RowMajor -> make columns 1 (rows * columns)
    | ColumnMajor -> make 1 rows (rows * columns)
    | Spread -> make (columns + 3) 1 (rows * (columns + 3) + 5)
    | Strided -> make (2 * columns) 2 (2 * rows * columns)

let private problem element batches m n k (a, b, c) : struct (Problem * int[]) =
    let struct (viewA, sizeA) = view a batches m k
    let struct (viewB, sizeB) = view b batches k n
    let struct (viewC, sizeC) = view c batches m n
    let p: Problem =
        { Element = element
          M = m
          N = n
          K = k
          Batches = batches
          A = viewA
          B = viewB
          C = viewC }
    struct (p, [| sizeA; sizeB; sizeC |])

/// Counts how often each element is reported.
type private Counting(p: Problem) =
    inherit Tile()
    let counts = Array3D.zeroCreate<int> p.Batches p.M p.N
    member _.All = counts |> Seq.cast<int>
    override _.Finish(batch, m0, m1, n0, n1) =
        lock counts (fun () ->
            for i in m0 .. m1 - 1 do
                for j in n0 .. n1 - 1 do
                    counts[batch, i, j] <- counts[batch, i, j] + 1)

/// Everything in C's memory afterwards, elements and gaps, must be the reference's.
let private agrees (p: Problem) (sizes: int[]) (bits: int) (threads: int) (seed: int) =
    let random = Random seed
    let width = if p.Element = Element.F64 then 8 else 4
    let numbers count : byte[] =
        let bytes = Array.zeroCreate (count * width)
        for i in 0 .. count - 1 do
            let x = random.NextDouble() * 2.0 - 1.0
            let span = Span<byte>(bytes, i * width, width)
            let written =
                if width = 8 then BitConverter.TryWriteBytes(span, x) else BitConverter.TryWriteBytes(span, float32 x)
            Assert.That written
        bytes
    let a, b = numbers sizes[0], numbers sizes[1]
    let expected = numbers sizes[2]
    let actual = Array.copy expected
    let saved = Threads.Count
    Threads.Count <- threads
    let counting = Counting p
    try
        pinned a (fun a ->
            pinned b (fun b ->
                pinned expected (fun c -> Gemm.reference p a b c)
                pinned actual (fun c -> Isa.withWidth bits (fun () -> Gemm.runWith counting (Gemm.plan p) a b c))))
    finally
        Threads.Count <- saved
    let what = $"{p.Element} {p.Batches} x [{p.M},{p.K}] . [{p.K},{p.N}], {bits} bits, {threads} threads, seed {seed}"
    Assert.That(actual.AsSpan().SequenceEqual(ReadOnlySpan expected), what)
    Assert.That(Seq.forall ((=) 1) counting.All, $"reported once: {what}")

let private sizes = [| 1; 1; 2; 3; 5; 8; 9; 15; 16; 17; 24; 31; 33; 48; 49; 64; 97; 130 |]

[<Property(MaxTest = 150)>]
let ``random products have the reference's bits, are reported once and write nothing else`` (seed: int) =
    let random = Random seed
    let pick (xs: 'T[]) = xs[random.Next xs.Length]
    let element = if random.Next 3 = 0 then Element.F64 else Element.F32
    let batches = pick [| 1; 1; 1; 2; 5; 17 |]
    let m, n, k = pick sizes, pick sizes, pick sizes
    let struct (p, memory) = problem element batches m n k (pick layouts, pick layouts, pick layouts)
    agrees p memory (pick widths) (pick [| 1; 2; 3 |]) seed

[<Test>]
let ``few rows or columns by a large matrix, in every layout`` () =
    for few in [ 1; 2; 7; 16; 17; 40 ] do
        for m, n in [ few, 611; 611, few ] do
            for a, b in [ RowMajor, ColumnMajor; RowMajor, RowMajor; ColumnMajor, RowMajor; Spread, ColumnMajor ] do
                for c in [ RowMajor; ColumnMajor; Spread ] do
                    let element = if few = 7 then Element.F64 else Element.F32
                    let struct (p, memory) = problem element 1 m n 600 (a, b, c)
                    for bits in widths do
                        agrees p memory bits 2 few

[<Test>]
let ``few rows by columns along k: sizes around the lanes, every layout of the few, batches`` () =
    for few in [ 1; 2; 5; 8 ] do
        for n in [ 9; 17; 64; 75 ] do
            for k in [ 3; 16; 31; 100 ] do
                for a in layouts do
                    let element = if (few + n + k) % 2 = 0 then Element.F64 else Element.F32
                    let batches = if k = 16 then 3 else 1
                    let struct (p, memory) = problem element batches few n k (a, ColumnMajor, RowMajor)
                    let struct (turned, turnedMemory) = problem element batches n few k (Spread, a, RowMajor)
                    for bits in widths do
                        agrees p memory bits 2 k
                        agrees turned turnedMemory bits 2 n

[<Test>]
let ``beyond 8192 k the chains' sums are added in order`` () =
    for m, n in [ 1, 300; 300, 1; 2, 3; 5, 40; 33, 20 ] do
        for b in [ RowMajor; ColumnMajor ] do
            for k in [ 8192; 8193; 20001 ] do
                let struct (p, memory) = problem Element.F32 1 m n k (RowMajor, b, RowMajor)
                for bits in widths do
                    agrees p memory bits 2 k

[<Test>]
let ``products allocate nothing once they are warm`` () =
    let saved = Threads.Count
    Threads.Count <- 2
    try
        for m, n, k, batches in [ 64, 64, 64, 1; 1, 500, 768, 1; 200, 200, 200, 1; 16, 16, 16, 64 ] do
            for b in [ RowMajor; ColumnMajor ] do
                let struct (p, memory) = problem Element.F32 batches m n k (RowMajor, b, RowMajor)
                let plan = Gemm.plan p
                let arrays = memory |> Array.map (fun count -> Array.zeroCreate<float32> count)
                pinned arrays[0] (fun a ->
                    pinned arrays[1] (fun b ->
                        pinned arrays[2] (fun c ->
                            for _ in 1..3 do
                                Gemm.run plan a b c
                            let before = GC.GetAllocatedBytesForCurrentThread()
                            for _ in 1..10 do
                                Gemm.run plan a b c
                            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero, $"{m} {n} {k}"))))
    finally
        Threads.Count <- saved
