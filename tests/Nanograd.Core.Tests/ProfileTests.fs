/// What a profile tells must be what ran, and looking must change nothing.
module Nanograd.Core.Tests.ProfileTests

open System
open NUnit.Framework
open Nanograd

let private named (name: string) (p: Profile) =
    match p.Groups |> Array.filter (fun k -> k.Name.StartsWith(name, StringComparison.Ordinal)) with
    | [| k |] -> k
    | found -> failwith $"{found.Length} kernels are called {name}:\n{p}"

[<Test>]
let ``kernels have names, calls, work and times`` () =
    let x, w = noise DType.F32 1 [| 48; 64 |], noise DType.F32 2 [| 64; 32 |]
    let run = jit (fun (x, w) -> softmax -1 (matmul x w))
    let expected = computed (run (x, w))
    let mutable result = x
    let p =
        Program.profile (fun () ->
            for _ in 1..5 do
                result <- run (x, w))
    assertSame "watched or not" expected (computed result)
    let product, rows = named "matmul [48,64]·[64,32]" p, named "softmax of rows of 32 [48,32]" p
    Assert.That(product.Calls, Is.EqualTo 5)
    Assert.That(rows.Calls, Is.EqualTo 5)
    Assert.That(product.Operations, Is.EqualTo(2L * 48L * 64L * 32L))
    Assert.That(product.Bytes, Is.EqualTo(4L * (48L * 64L + 64L * 32L + 48L * 32L)))
    Assert.That(product.Milliseconds, Is.GreaterThanOrEqualTo(3.0 * product.Median))
    Assert.That(product.Threads, Is.InRange(1.0, float Simd.Threads.Count))
    Assert.That(p.InKernels, Is.LessThanOrEqualTo p.InPrograms)
    Assert.That(p.InPrograms, Is.LessThanOrEqualTo p.Milliseconds)
    Assert.That(p.Programs.Length, Is.EqualTo 1)
    Assert.That(p.Programs[0].Runs, Is.EqualTo 5)
    let text = string p
    for part in [ "matmul [48,64]·[64,32]"; "of limit"; "compiling"; "arena"; "forks"; "together" ] do
        Assert.That(text, Does.Contain part)

[<Test>]
let ``the kernels of a loop are shown with it, all steps together`` () =
    let x, w = noise DType.F32 1 [| 7; 5; 16 |], noise DType.F32 2 [| 16; 16 |]
    let step h x =
        let h = tanh (matmul h w + x)
        h, h
    let run = jit (fun x -> scan step (zeros [| 5; 16 |]) x)
    run x |> ignore
    let p = Program.profile (fun () -> run x)
    let loop = p.Kernels |> Array.find (fun k -> k.Family = KernelFamily.Loop)
    Assert.That(loop.Calls, Is.EqualTo 1)
    let inside = p.Kernels |> Array.filter (fun k -> k.Depth = 1)
    Assert.That(inside, Is.Not.Empty)
    for k in inside do
        Assert.That(k.Calls, Is.EqualTo 7)
        Assert.That(k.Path, Does.StartWith(loop.Path + "."))
    Assert.That(inside |> Array.sumBy (fun k -> k.Milliseconds), Is.LessThanOrEqualTo loop.Milliseconds)
    let shown = p.Groups |> Array.map (fun k -> k.Depth)
    Assert.That(
        shown[1 + Array.findIndex (fun (k: KernelProfile) -> k.Family = KernelFamily.Loop) p.Groups],
        Is.EqualTo 1
    )

[<Test>]
let ``compiling is told apart, and what fails ends the profile`` () =
    let x = noise DType.F32 1 [| 33; 17 |]
    let p = Program.profile (fun () -> computed (exp x * 1.25 + sumKeep [ 1 ] (sin x)))
    Assert.That(p.Compiling, Is.GreaterThan 0.0)
    Assert.That(p.Compiling, Is.LessThanOrEqualTo p.Milliseconds)
    Assert.Throws<InvalidOperationException>(fun () -> Program.profile (fun () -> invalidOp "stop") |> ignore) |> ignore
    Assert.That(isNull Simd.Recording.Current)

[<Test>]
let ``memory is what the plan says`` () =
    let state, batch = noise DType.F32 1 [| 512; 1024 |], noise DType.F32 2 [| 256; 512 |]
    let run =
        jitDonate (fun (w: Tensor) x -> w - transpose (matmul (transpose w) (matmul (transpose x) x)) * 0.001, sum w)
    let mutable w = state * 1.0 |> eval
    for _ in 1..2 do
        w <- fst (run w batch)
    let p = Program.profile (fun () -> w <- fst (run w batch))
    let program = p.Programs[0]
    Assert.That(program.InputBytes, Is.EqualTo(4L * (512L * 1024L + 256L * 512L)))
    Assert.That(program.AddedBytes, Is.GreaterThanOrEqualTo program.ArenaBytes)
    Assert.That(p.PeakBytes, Is.GreaterThanOrEqualTo(program.InputBytes + program.ArenaBytes))
