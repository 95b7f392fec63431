/// Attention as one kernel, against the composition that it stands for.
module Nanograd.Core.Tests.AttentionTests

open System
open NUnit.Framework
open Nanograd
open Nanograd.Simd

// ------------------------------------------------------------------------------------------------ compositions

/// What is done to the scores `[..; T; S]`.
type private Masking =
    | Plain
    | Causal
    /// At most so many keys back.
    | Sliding of int
    /// A bool `[B; 1; 1; S]`: true = not seen.
    | Padding
    /// A bool for every score, true = seen.
    | General
    /// The same with a number that is not -∞.
    | Finite
    /// Numbers that are added, the same for all batches.
    | Bias
    | CausalPadding

let private masked (m: Masking) (seed: int) (x: Tensor) : Tensor =
    let t, s = x.Shape[x.Rank - 2], x.Shape[x.Rank - 1]
    let flags shape = gt (noise DType.F32 seed shape) (scalar 0.4)
    let nothing = full DType.F32 [||] -infinity
    let row, column = Op.iota DType.I32 [| t; s |] 0, Op.iota DType.I32 [| t; s |] 1
    let padding () = flags [| x.Shape[0]; 1; 1; s |] &&& (gt (Op.iota DType.I32 [| s |] 0) (scalarOf DType.I32 0.0))
    match m with
    | Plain -> x
    | Causal -> where (gt column row) nothing x
    | Sliding width -> where ((le column row) &&& (lt (row - column) (scalarOf DType.I32 (float width)))) x nothing
    | Padding -> where (padding ()) nothing x
    | General -> where (flags x.Shape ||| eq column (scalarOf DType.I32 0.0)) x nothing
    | Finite -> where (flags x.Shape) x (full DType.F32 [||] -50.0)
    | Bias -> x + noise DType.F32 seed [| x.Shape[1]; t; s |]
    | CausalPadding -> where (padding () ||| gt column row) nothing x

let private composed (m: Masking) (q: Tensor) (k: Tensor) (v: Tensor) =
    let scores = matmul q (permute [| 0; 1; 3; 2 |] k) * (1.0 / sqrt (float q.Shape[3]))
    matmul (softmax -1 (masked m 7 scores)) v

let private operands (b, h, t, s, d, e) =
    noise DType.F32 1 [| b; h; t; d |], noise DType.F32 2 [| b; h; s; d |], noise DType.F32 3 [| b; h; s; e |]

let private shapes =
    [ 1, 2, 64, 64, 32, 32
      2, 3, 100, 100, 17, 17
      1, 1, 130, 130, 64, 64
      2, 1, 65, 65, 48, 80
      3, 2, 9, 9, 4, 5
      1, 2, 70, 133, 16, 16
      1, 2, 150, 140, 20, 20
      1, 1, 128, 128, 128, 40 ]

let private maskings = [ Plain; Causal; Sliding 20; Padding; General; Finite; Bias; CausalPadding ]

let private kernels () = Program.last().Describe()

/// Compiled with the kernel, and to the last bit as the interpreter does.
let private both (name: string) (f: Tensor[] -> Tensor[]) (xs: Tensor[]) =
    let fast = jit f xs
    Assert.That(kernels (), Does.Contain name, "recognised")
    let slow = Program.withoutRewriting (fun () -> jit f xs)
    Array.iter2 (fun (y: Tensor) x -> assertClose 2e-6 (Shape.describe y) (computed x) (computed y)) fast slow

// ------------------------------------------------------------------------------------------------ values

[<Test>]
let ``every mask and shape has the values of the composition`` () =
    for shape in shapes do
        for m in maskings do
            let q, k, v = operands shape
            both "attention b" (fun x -> [| composed m x[0] x[1] x[2] |]) [| q; k; v |]

[<Test>]
let ``gradients of all operands are those of the composition`` () =
    for shape in shapes do
        for m in maskings do
            let q, k, v = operands shape
            let b, h, t, _, _, e = shape
            let c = noise DType.F32 4 [| b; h; t; e |]
            let f (x: Tensor[]) = grad (fun (y: Tensor[]) -> sum (composed m y[0] y[1] y[2] * c)) x
            both "attention gradient b" f [| q; k; v |]

[<Test>]
let ``a bias that is learned gets its gradient, also where it is stretched`` () =
    let q, k, v = operands (2, 2, 20, 33, 8, 8)
    for shape in [ [| 2; 2; 20; 33 |]; [| 2; 20; 33 |]; [| 1; 2; 1; 33 |] ] do
        let f (x: Tensor[]) =
            grad
                (fun (y: Tensor[]) ->
                    let scores = matmul y[0] (permute [| 0; 1; 3; 2 |] y[1]) * 0.3 + y[3]
                    sum (square (matmul (softmax -1 scores) y[2])))
                x
        both "attention gradient b" f [| q; k; v; noise DType.F32 9 shape |]

[<Test>]
let ``second derivatives go through the composition`` () =
    let q, k, v = operands (1, 1, 12, 12, 8, 8)
    let f (x: Tensor) = sum (sin (composed Causal x k v))
    let second x = grad (fun x -> sum (square (grad f x))) x
    let fast = jit second q
    let slow = Program.withoutRewriting (fun () -> jit second q)
    assertClose 2e-5 "second derivative" (computed slow) (computed fast)

[<Test>]
let ``forward mode and batching agree with the composition`` () =
    let q, k, v = operands (3, 2, 16, 16, 8, 8)
    let tangent = noise DType.F32 5 q.Shape
    let forward (q, tangent) = snd (jvp (fun q -> composed Causal q k v) q tangent)
    let slow = Program.withoutRewriting (fun () -> jit forward (q, tangent))
    assertClose 2e-6 "jvp" (computed slow) (computed (jit forward (q, tangent)))
    let stacked = stack 0 [ q; q * 0.5; -q ]
    let mapped (x: Tensor) = vmap (fun q -> grad (fun q -> sum (square (composed Causal q k v))) q) x
    let slow = Program.withoutRewriting (fun () -> jit mapped stacked)
    assertClose 2e-6 "vmap" (computed slow) (computed (jit mapped stacked))

[<Test>]
let ``a window that leaves rows nothing to see is left to the composition`` () =
    let q, k, v = operands (1, 2, 150, 31, 20, 20)
    let f (x: Tensor[]) = grad (fun (y: Tensor[]) -> sum (square (composed (Sliding 20) y[0] y[1] y[2]))) x
    let fast, slow = jit f [| q; k; v |], Program.withoutRewriting (fun () -> jit f [| q; k; v |])
    Array.iter2 (fun y x -> assertClose 2e-5 "gradient" (computed x) (computed y)) fast slow

[<Test>]
let ``rows that see nothing are NaN, as in the composition`` () =
    let q, k, v = operands (1, 1, 70, 70, 8, 8)
    let f (x: Tensor) =
        let column, row = Op.iota DType.I32 [| 70; 70 |] 1, Op.iota DType.I32 [| 70; 70 |] 0
        let scores =
            where
                (lt (column - row) (scalarOf DType.I32 66.0))
                (full DType.F32 [||] -infinity)
                (matmul x (permute [| 0; 1; 3; 2 |] k))
        matmul (softmax -1 scores) v
    let fast, slow = jit f q, Program.withoutRewriting (fun () -> jit f q)
    assertClose 2e-6 "rows" (computed slow) (computed fast)
    Assert.That(floatsOf fast |> Array.filter Double.IsNaN |> Array.length, Is.EqualTo(66 * 8))

// ------------------------------------------------------------------------------------------------ bits

let private step (x: Tensor[]) =
    let f (y: Tensor[]) = composed Causal y[0] y[1] y[2]
    Array.append [| f x |] (grad (fun y -> sum (square (f y))) x)

[<Test>]
let ``bits depend neither on threads nor on the width of vectors`` () =
    for shape in [ 2, 3, 100, 100, 17, 17; 1, 2, 130, 70, 64, 48 ] do
        let q, k, v = operands shape
        let expected = jit step [| q; k; v |] |> Array.map computed
        let check what = Array.iter2 (fun e x -> assertSame what e (computed x)) expected (jit step [| q; k; v |])
        let saved = Threads.Count
        for threads in [ 1; 2; 5 ] do
            Threads.Count <- threads
            try
                check $"{threads} threads"
            finally
                Threads.Count <- saved
        for bits in [ 128; 256; 512 ] do
            if bits <= Isa.widest then Isa.withWidth bits (fun () -> check $"{bits} bits")

[<Test>]
let ``an example has the bits in a batch that it has alone`` () =
    let q, k, v = operands (3, 2, 80, 80, 24, 24)
    let whole = jit step [| q; k; v |]
    for i in 0..2 do
        let part (x: Tensor) = eval (slice 0 i (i + 1) x)
        let alone = jit step (Array.map part [| q; k; v |])
        Array.iter2 (fun w a -> assertSame $"example {i}" (computed a) (computed (part w))) whole alone

// ------------------------------------------------------------------------------------------------ recognising

let private isRecognised (f: Tensor[] -> Tensor[]) =
    let q, k, v = operands (2, 2, 32, 32, 16, 16)
    jit f [| q; k; v |] |> ignore
    (kernels ()).Contains "attention b"

let private transposed (k: Tensor) = permute [| 0; 1; 3; 2 |] k

[<Test>]
let ``spellings of attention are recognised`` () =
    let spelled (scores: Tensor[] -> Tensor) (x: Tensor[]) = [| matmul (softmax -1 (scores x)) x[2] |]
    let upper = triu 1 (ones [| 32; 32 |])
    let spellings =
        [ "scaled query", (fun (x: Tensor[]) -> matmul (x[0] * 0.25) (transposed x[1]))
          "divided", (fun x -> matmul x[0] (transposed x[1]) / scalar 4.0)
          "scale after the mask",
          (fun x ->
              where (gt upper (scalar 0.5)) (full DType.F32 [||] -infinity) (matmul x[0] (transposed x[1])) * 0.25)
          "no scale", (fun x -> matmul x[0] (transposed x[1])) ]
    for name, scores in spellings do
        Assert.That(isRecognised (spelled scores), name)
    let bands =
        spelled (fun x ->
            where
                (eq (tril 0 (ones [| 32; 32 |])) (scalar 0.0))
                (full DType.F32 [||] -infinity)
                (matmul x[0] (transposed x[1])))
    Assert.That(isRecognised bands)
    Assert.That(kernels (), Does.Contain("keys to 0 from the query").And.Not.Contain "masked", "a triangle is a band")
    Assert.That(
        isRecognised (fun x ->
            [| einsum "bhts,bhsd->bthd" [ softmax -1 (einsum "bhtd,bhsd->bhts" [ x[0]; x[1] ] * 0.25); x[2] ] |]),
        "einsum"
    )

[<Test>]
let ``a band within a mask of numbers has the values of the composition`` () =
    let f (x: Tensor[]) =
        let row, column = Op.iota DType.I32 [| 40; 40 |] 0, Op.iota DType.I32 [| 40; 40 |] 1
        let scores = where (gt column row) (full DType.F32 [||] -infinity) (matmul x[0] (transposed x[1]))
        let other = gt (noise DType.F32 3 [| 40; 40 |]) (scalar 0.2)
        [| matmul (softmax -1 (where other (full DType.F32 [||] -3.0) scores)) x[2] |]
    let q, k, v = operands (1, 2, 40, 40, 8, 8)
    let fast, slow = jit f [| q; k; v |], Program.withoutRewriting (fun () -> jit f [| q; k; v |])
    assertClose 2e-6 "values" (computed slow[0]) (computed fast[0])

[<Test>]
let ``weights that somebody reads stay a composition`` () =
    let weights (x: Tensor[]) = softmax -1 (matmul x[0] (transposed x[1]))
    Assert.That(isRecognised (fun x -> let w = weights x in [| matmul w x[2]; w |]), Is.False, "a result")
    Assert.That(isRecognised (fun x -> let w = weights x in [| matmul w x[2]; sum (square w) |]), Is.False, "read")
    let key = Random.key 1L
    Assert.That(
        isRecognised (fun x ->
            [| matmul (where (Random.bernoulli (scalar 0.5) key [| 2; 2; 32; 32 |]) (weights x) (scalar 0.0)) x[2] |]),
        Is.False,
        "dropped out"
    )

[<Test>]
let ``scores are nowhere in memory`` () =
    let q, k, v = operands (1, 1, 1024, 1024, 16, 16)
    jit step [| q; k; v |] |> ignore
    Assert.That(Program.last().PeakBytes, Is.LessThan(1024L * 1024L * 4L / 4L))
