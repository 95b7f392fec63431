/// Compiled functions: what is compiled when, what is reused, what is donated.
module Nanograd.Core.Tests.JitTests

open System
open NUnit.Framework
open Nanograd

[<NoComparison>]
type Net = { W: Tensor; B: Tensor option; More: Map<string, Tensor list> }

let private loss (n: Net, x: Tensor) =
    let h = matmul x n.W
    let h =
        match n.B with
        | Some b -> h + b
        | None -> h
    softmax -1 h |> square |> mean |> fun y -> y + sum n.More["a"].Head

let private net =
    { W = noise DType.F32 1 [| 4; 3 |]
      B = Some(noise DType.F32 2 [| 3 |])
      More = Map [ "a", [ tensor [ 0.5 ] ] ] }

/// What the caches did while `body` ran: programs compiled, programs found, kernels made.
let private counting (body: unit -> unit) =
    let before = Program.cacheStats ()
    body ()
    let after = Program.cacheStats ()
    {| Programs = after.Programs - before.Programs
       Hits = after.Hits - before.Hits
       Kernels = after.Kernels - before.Kernels |}

[<Test>]
let ``jit computes what the function says, on any tree`` () =
    let x = noise DType.F32 3 [| 5; 4 |]
    let step = jit (fun (n: Net, x: Tensor) -> valueAndGrad (fun n -> loss (n, x)) n)
    let value, g = step (net, x)
    let value2, g2 = valueAndGrad (fun n -> loss (n, x)) net
    assertClose 1e-6 "value" (interpreted value2) (computed value)
    for a, b in Array.zip (Tree.leaves g2) (Tree.leaves g) do
        assertClose 1e-6 "gradient" (interpreted a) (computed b)

[<Test>]
let ``a second call with the same shapes compiles nothing`` () =
    let f = jit (fun (n: Net, x: Tensor) -> grad (fun n -> loss (n, x)) n)
    f (net, noise DType.F32 3 [| 5; 4 |]) |> ignore
    let other = Tree.map (fun t -> t * 3.0) net |> eval
    let second = counting (fun () -> f (other, noise DType.F32 10 [| 5; 4 |]) |> ignore)
    Assert.That(second, Is.EqualTo {| Programs = 0L; Hits = 1L; Kernels = 0L |})

[<Test>]
let ``another batch size or sequence length makes no new kernel`` () =
    let attention (p: {| Q: Tensor; X: Tensor |}) =
        let q = matmul p.X p.Q
        let scores = matmul q (transpose q) / 2.0
        let n = p.X.Shape[1]
        let a = softmax -1 (where (causalMask n) scores (scalar -infinity))
        sum (gelu (matmul a q))
    let f = jit (valueAndGrad attention)
    let call batch length =
        f
            {| Q = noise DType.F32 1 [| 8; 8 |]
               X = noise DType.F32 2 [| batch; length; 8 |] |}
        |> ignore
    call 4 16
    for batch, length in [ 5, 16; 4, 24; 12, 64 ] do
        let c = counting (fun () -> call batch length)
        Assert.That(c.Programs, Is.EqualTo 1)
        Assert.That(c.Kernels, Is.Zero, $"batch {batch}, length {length}")

[<Test>]
let ``equal expressions over other values share a program`` () =
    let f (seed: int) = softmax -1 (noise DType.F32 seed [| 7; 9 |] * 3.0) + noise DType.F32 (seed + 1) [| 9 |]
    eval (f 1) |> ignore
    let c = counting (fun () -> assertClose 1e-6 "value" (interpreted (f 5)) (computed (f 5)))
    Assert.That(c.Programs, Is.Zero)
    Assert.That(c.Hits, Is.EqualTo 1)

[<Test>]
let ``f(x, x) is another program than f(x, y)`` () =
    let f (x: Tensor) (y: Tensor) = x * 2.0 - y
    let x, y = tensor [ 1.0; 2.0 ], tensor [ 5.0; 6.0 ]
    Assert.That(floatsOf (f x x), Is.EqualTo<float> [| 1.0; 2.0 |])
    Assert.That(floatsOf (f x y), Is.EqualTo<float> [| -3.0; -2.0 |])

[<Test>]
let ``closures over values and numbers are read when the function is traced`` () =
    let table = tensor [ 10.0; 20.0; 30.0 ]
    let mutable factor = 2.0
    let f = jit (fun (i: Tensor) -> take 0 i table * factor)
    Assert.That(floatsOf (f (i64 [| 2 |] [ 2L; 0L ])), Is.EqualTo<float> [| 60.0; 20.0 |])
    factor <- 3.0
    Assert.That(floatsOf (f (i64 [| 2 |] [ 1L; 1L ])), Is.EqualTo<float> [| 40.0; 40.0 |], "traced with 2")
    Assert.That(floatsOf (f (i64 [| 1 |] [ 1L ])), Is.EqualTo<float> [| 60.0 |], "traced anew for another shape")

[<Test>]
let ``numbers in the argument belong to its structure`` () =
    let f = jit (fun (x: Tensor, k: int) -> x * float k)
    Assert.That(floatsOf (f (tensor [ 1.0 ], 2)), Is.EqualTo<float> [| 2.0 |])
    Assert.That(floatsOf (f (tensor [ 1.0 ], 5)), Is.EqualTo<float> [| 5.0 |])

[<Test>]
let ``jit inside jit and inside grad is one program`` () =
    let inner = jit (fun (x: Tensor) -> sin x * x)
    let outer = jit (grad (fun (x: Tensor) -> sum (inner x)))
    let x = noise DType.F32 1 [| 6 |]
    assertClose 1e-6 "gradient" (interpreted (cos x * x + sin x)) (computed (outer x))

[<Test>]
let ``donation reuses the state, step after step`` () =
    let mutable state = [ noise DType.F32 1 [| 100 |]; noise DType.F32 2 [| 100 |] ]
    let step = jitDonate (fun (s: Tensor list) (g: Tensor) -> [ s[0] * 0.5 + g; s[1] - s[0] ], sum s[1])
    let plain = jit2 (fun (s: Tensor list) (g: Tensor) -> [ s[0] * 0.5 + g; s[1] - s[0] ], sum s[1])
    let mutable copy = state |> List.map (fun t -> eval (t * 1.0))
    for i in 1..5 do
        let g = noise DType.F32 (10 + i) [| 100 |]
        let next, total = step state g
        let next2, total2 = plain copy g
        assertSame "total" (computed total2) (computed total)
        List.iter2 (fun a b -> assertSame $"step {i}" (computed a) (computed b)) next2 next
        Assert.That(state |> List.forall (fun t -> (Program.storage t).IsDonated))
        state <- next
        copy <- next2

[<Test>]
let ``what is donated and read elsewhere in the same call is not written over`` () =
    let start = noise DType.F32 1 [| 1000 |]
    let copy () = eval (start * 1.0)
    let expected = interpreted (start * 2.0 + flip [ 0 ] start)
    let x = copy ()
    let moved, same = jitDonate (fun (s: Tensor) (b: Tensor) -> s * 2.0 + flip [ 0 ] b, b) x x
    assertSame "the other argument" expected (computed moved)
    assertSame "as it was" (interpreted start) (computed same)
    let x = copy ()
    let step = jitDonate (fun (s: Tensor) () -> s * 2.0 + flip [ 0 ] x)
    assertSame "closed over" expected (computed (step x ()))
    let error = Assert.Throws<InvalidOperationException>(fun () -> computed (step (copy ()) ()) |> ignore)
    Assert.That(error.Message, Does.Contain "was donated")

/// Bytes of garbage that `body` makes in each of many calls, all work being done by this thread.
let private garbage (body: unit -> unit) =
    let threads = Simd.Threads.Count
    Simd.Threads.Count <- 1
    try
        for _ in 1..100 do
            body ()
        let before = GC.GetAllocatedBytesForCurrentThread()
        for _ in 1..1000 do
            body ()
        float (GC.GetAllocatedBytesForCurrentThread() - before) / 1000.0
    finally
        Simd.Threads.Count <- threads

[<Test>]
let ``running a program into donated memory allocates nothing`` () =
    let state = [| noise DType.F32 1 [| 200; 100 |]; noise DType.F32 2 [| 100 |] |]
    let x = noise DType.F32 3 [| 300; 200 |]
    let step (s: Tensor[]) (x: Tensor) =
        let factor = matmul x s[0] + s[1] |> softmax -1 |> square |> mean
        s |> Array.map (fun t -> t - t * factor)
    let inputs = Array.append state [| x |] |> Array.mapi (fun i t -> Op.input $"x{i}" t.DType t.Shape)
    let program = Program.compile inputs (step inputs[0..1] inputs[2]) [| true; true; false |]
    let given = Array.append (state |> Array.map (Program.storage >> Buffers.copy)) [| Program.storage x |]
    let results = Array.zeroCreate 2
    Assert.That(garbage (fun () -> program.Run(given, results)), Is.Zero)
    Assert.That(Object.ReferenceEquals(results[0], given[0]) && Object.ReferenceEquals(results[1], given[1]))

[<Test>]
let ``a call of a compiled function allocates little but its results`` () =
    let f = jit (fun (x: Tensor, more: Tensor[]) -> x * 2.0 + more[0] - more[1])
    let argument = noise DType.F32 1 [| 4 |], Array.init 2 (fun i -> noise DType.F32 i [| 4 |])
    Assert.That(garbage (fun () -> f argument |> ignore), Is.LessThan 400.0)
    let mutable state = Array.init 20 (fun i -> noise DType.F32 i [| 4 |])
    let step = jitDonate (fun (s: Tensor[]) (x: Tensor) -> s |> Array.map (fun t -> t * 0.5 + x))
    let perTensor = garbage (fun () -> state <- step state (fst argument)) / 20.0
    Assert.That(perTensor, Is.LessThan 300.0)

[<Test>]
let ``what was donated to a failed call is still there`` () =
    let table, index = noise DType.F32 1 [| 5; 3 |], i64 [| 2 |] [ 1L; 7L ]
    let copy = eval (table * 1.0)
    let step = jitDonate (fun (table: Tensor) (i: Tensor) -> table + sumOver [ 0 ] (take 0 i table))
    Assert.Throws<IndexException>(fun () -> step table index |> ignore) |> ignore
    assertSame "as it was" (interpreted copy) (computed table)
    step table (i64 [| 2 |] [ 1L; 2L ]) |> ignore
    Assert.That((Program.storage table).IsDonated)

[<Test>]
let ``two evaluations give the same bits`` () =
    let t = softmax -1 (matmul (noise DType.F32 1 [| 33; 65 |]) (noise DType.F32 2 [| 65; 129 |])) |> sumOver [ 0 ]
    assertSame "again" (computed t) (computed t)

[<Test>]
let ``the interpreter is a device like another`` () =
    let x = noise DType.F32 1 [| 3; 4 |]
    Program.useDevice Device.Interpreter
    try
        assertSame "value" (interpreted (exp x)) (computed (exp x))
        Assert.That((Program.last ()).Describe(), Does.StartWith "interpreted")
    finally
        Program.useDevice Device.Simd

[<Test>]
let ``a program describes its kernels and knows its memory`` () =
    let x = noise DType.F32 1 [| 64; 64 |]
    jit (fun (x: Tensor) -> matmul (exp x) x) x |> ignore
    let p = Program.last ()
    Assert.That(p.Describe(), Does.Contain "product")
    Assert.That(p.PeakBytes, Is.GreaterThanOrEqualTo(2L * 64L * 64L * 4L))
    Assert.That(p.PeakBytes, Is.LessThan(8L * 64L * 64L * 4L))
