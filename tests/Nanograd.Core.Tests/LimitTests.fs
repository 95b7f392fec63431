/// Deep expressions and much memory. No timing: only that it works.
module Nanograd.Core.Tests.LimitTests

open System
open System.Runtime.CompilerServices
open System.Threading
open NUnit.Framework
open Nanograd

/// Runs on a thread with 1 MB of stack, whatever the test runner has.
let private onSmallStack (body: unit -> unit) =
    let mutable failure: exn = null
    let run () =
        try
            body ()
        with e ->
            failure <- e
    let thread = Thread(run, 1 <<< 20)
    thread.Start()
    thread.Join()
    if not (isNull failure) then raise (AggregateException failure)

let private chain (n: int) (x: Tensor) (y: Tensor) = Seq.fold (fun acc _ -> acc + y) x (seq { 1..n })

[<Test>]
let ``a chain of a million additions is built, differentiated, printed and evaluated`` () =
    onSmallStack (fun () ->
        let x, y = Op.input "x" DType.F32 [| 2 |], Op.input "y" DType.F32 [| 2 |]
        let long = chain 1_000_000 x y
        Assert.That((string long).Length, Is.LessThan 2000)
        Assert.That(string long, Does.Contain "more)")
        let g = Grad.gradient (sum long) [| x; y |]
        Assert.That(Graph.isClosed g[0])
        Assert.That(floatsOf g[0], Is.EqualTo<float> [| 1.0; 1.0 |])
        let closed = chain 1_000_000 (tensor [ 0.0; 1.0 ]) (tensor [ 0.5; 0.0 ])
        Assert.That(floatsOf closed, Is.EqualTo<float> [| 500000.0; 1.0 |])
        Assert.That(interpreted closed |> Array.map (fun c -> c.Float), Is.EqualTo<float> [| 500000.0; 1.0 |]))

[<Test>]
let ``a long chain of functions has a gradient`` () =
    onSmallStack (fun () ->
        let x = tensor [ 0.3 ]
        let long = Seq.fold (fun acc _ -> sin acc + x) x (seq { 1..5_000 })
        let g = Grad.gradient (sum long) [| x |]
        Assert.That(Double.IsFinite (floatsOf g[0]).[0]))

[<MethodImpl(MethodImplOptions.NoInlining)>]
let private make (seed: int) =
    let big = eval (zeros [| 262144 |] + float seed) // 1 MB
    Assert.That((Buffers.read (Program.storage big) 262143).Float, Is.EqualTo(float seed))

[<Test>]
let ``dropped tensors give their memory back`` () =
    let struct (before, _) = Buffers.usage ()
    let mutable most = 0L
    for i in 1..2000 do
        make i
        let struct (live, _) = Buffers.usage ()
        most <- max most (live - before)
    Assert.That(most, Is.LessThan(700L <<< 20), "2000 tensors of 1 MB were made, and few of them are alive")

[<Test>]
let ``a tensor keeps its memory while it is in use`` () =
    let kept = [| for i in 1..50 -> eval (zeros [| 1000 |] + float i) |]
    for i in 1..300 do
        make i
    GC.Collect()
    GC.WaitForPendingFinalizers()
    kept |> Array.iteri (fun i t -> Assert.That(item (mean t), Is.EqualTo(float (i + 1))))

/// Pages that this process touched for the first time.
let private firstTouches () =
    let stat = IO.File.ReadAllText "/proc/self/stat"
    int64 (stat.Substring(stat.LastIndexOf ')' + 2).Split ' ').[7]

[<MethodImpl(MethodImplOptions.NoInlining)>]
let private drop (f: Tensor -> Tensor) (x: Tensor) = f x |> ignore

[<TestCase(16)>]
[<TestCase(300)>]
[<TestCase(4096)>]
let ``a loop that drops its results runs in memory that it used before`` kilobytes =
    let x = eval (zeros [| kilobytes * 256 |])
    let f = jit (fun (x: Tensor) -> x + 1.0)
    let calls = 200_000 / kilobytes
    for _ in 1..calls do
        drop f x
    let struct (before, _) = Buffers.usage ()
    let mutable most = 0L
    let touched = if OperatingSystem.IsLinux() then firstTouches () else 0L
    for _ in 1..calls do
        drop f x
        let struct (live, _) = Buffers.usage ()
        most <- max most (live - before)
    Assert.That(most, Is.LessThan(256L <<< 20), "dropped results that nobody has collected")
    if OperatingSystem.IsLinux() then
        let results = int64 calls * int64 kilobytes / 4L
        Assert.That(firstTouches () - touched, Is.LessThan(results / 5L), $"of {results} pages of results")

[<Test>]
let ``a loop that drops large results stays small`` () =
    let x = eval (zeros [| 16 <<< 20 |])
    let f = jit (fun (x: Tensor) -> x + 1.0)
    drop f x
    let struct (before, _) = Buffers.usage ()
    for _ in 1..40 do
        drop f x
        let struct (live, _) = Buffers.usage ()
        Assert.That(live - before, Is.LessThan(512L <<< 20), "one result of 64 MB is needed at a time")

/// Two values of x's size are alive at once in it.
let private withArena (x: Tensor) =
    let y = cumSum 0 (x * 2.0)
    sum (matmul y (transpose y)) + sum y

[<Test>]
let ``programs that rest share one arena`` () =
    let struct (before, _) = Buffers.usage ()
    for n in [ 2048; 2050; 2052; 2054; 2056; 2058 ] do
        jit withArena (eval (ones [| n; n |])) |> ignore
        Assert.That((Program.last ()).PeakBytes, Is.GreaterThan(30L <<< 20))
    GC.Collect()
    GC.WaitForPendingFinalizers()
    let struct (live, _) = Buffers.usage ()
    Assert.That(
        live - before,
        Is.LessThan(100L <<< 20),
        "of six programs, each with 32 MB or more, one has left its arena"
    )

[<Test>]
let ``runs at the same time have arenas of their own`` () =
    let f = jit withArena
    let run (i: int) =
        let x = eval (full DType.F32 [| 700; 700 |] (float i))
        [| for _ in 1..4 -> item (f x) |]
    let alone = [| for i in 1..6 -> (run i).[0] |]
    let together = Array.Parallel.map run [| 1..6 |]
    Assert.That((Program.last ()).PeakBytes, Is.GreaterThan(1L <<< 20))
    Array.iter2 (fun (x: float) (ys: float[]) -> Assert.That(ys, Is.All.EqualTo x)) alone together
