/// Checkpoints: the same gradients, bit for bit, in less memory.
module Nanograd.Core.Tests.CheckpointTests

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck
open FsCheck.NUnit
open Nanograd

/// Compiled without rewriting or with it: results, and the bytes of the memory plan.
let private compiled (rewriting: bool) (inputs: Tensor[]) (values: Tensor[]) (outputs: Tensor[]) =
    let run () =
        let program = Program.compile inputs outputs (Array.create inputs.Length false)
        program.Run(values |> Array.map Program.storage) |> Array.map elements, program.PeakBytes
    if rewriting then run () else Program.withoutRewriting run

let private checkpointed (f: Tensor[] -> Tensor[]) (xs: Tensor[]) : Tensor[] =
    let l, captured = Lambda.trace (xs |> Array.map (fun x -> x.DType, x.Shape)) f
    Op.checkpoint l (Array.append captured xs)

/// A block of a deep network: its inside is four times as wide as what goes from block to block.
let private block (x: Tensor[]) : Tensor[] =
    let h = matmul x[0] x[1]
    [| x[0] + matmul (gelu h * tanh h) x[2] |]

/// The gradients of a chain of blocks with respect to all weights.
let private chain (wrap: (Tensor[] -> Tensor[]) -> Tensor[] -> Tensor[]) depth batch width =
    let variable name shape = Op.input name DType.F32 shape
    let x = variable "x" [| batch; width |]
    let weights =
        Array.init depth (fun i -> variable $"a{i}" [| width; 4 * width |], variable $"b{i}" [| 4 * width; width |])
    let y = Array.fold (fun x (a, b) -> (wrap block [| x; a; b |])[0]) x weights
    let inputs = Array.append [| x |] (weights |> Array.collect (fun (a, b) -> [| a; b |]))
    inputs, Array.append [| sum (y * y) |] (Grad.gradient (sum (y * y)) inputs[1..])

let private depth, batch, width = 8, 64, 8

[<TestCase true>]
[<TestCase false>]
let ``the gradient of a deep chain takes less memory, and has the same bits`` (rewriting: bool) =
    let values (inputs: Tensor[]) = inputs |> Array.mapi (fun i t -> noise t.DType (i + 1) t.Shape)
    let inputs, plain = chain (fun f x -> f x) depth batch width
    let expected, kept = compiled rewriting inputs (values inputs) plain
    let inputs, again = chain checkpointed depth batch width
    let actual, recomputed = compiled rewriting inputs (values inputs) again
    TestContext.Out.WriteLine $"{kept} bytes without, {recomputed} bytes with checkpoints"
    Array.iteri2
        (fun i e a -> if rewriting then assertClose 1e-6 $"gradient {i}" e a else assertSame $"gradient {i}" e a)
        expected
        actual
    // Each block keeps two products of 4 * width columns; checkpointed, all keep what goes from block to block, one its inside.
    Assert.That(float recomputed, Is.LessThan(0.5 * float kept))

[<Test>]
let ``checkpoints work on trees, in one another, and to third order`` () =
    let inner (x: Tensor, s: Tensor) = checkpoint (fun (x: Tensor, s: Tensor) -> sin x * s, s * s) (x, s)
    let nest wrap (a: Tensor) =
        let x, s =
            wrap (fun (x: Tensor, s: Tensor) -> let x, s = inner (x * s, s) in inner (x + s, cos s)) (sin a, a * 0.5)
        x * s + x
    let at = f64 [||] [ 0.6 ]
    let third wrap = computed (grad (grad (grad (nest wrap))) at)
    assertClose 1e-12 "third derivative" (third (fun f x -> f x)) (third checkpoint)

// ------------------------------------------------------------------------------------------------ gradients of one's own

[<Test>]
let ``a gradient of one's own is used, batched operands and captured values included`` () =
    let scale = f64 [| 3 |] [ 1.0; 2.0; 3.0 ]
    let f =
        customGradient "clipped" (fun (x: Tensor, y: Tensor) -> x * y * scale) (fun (x, y) c ->
            c * y * scale * 10.0, minimum c (x * 0.0))
    let x, y = f64 [| 3 |] [ 0.5; -1.0; 2.0 ], f64 [| 3 |] [ 1.0; 1.5; -0.5 ]
    assertSame "value" (computed (x * y * scale)) (computed (f (x, y)))
    let gx, gy = grad (fun (x, y) -> sum (f (x, y) * y)) (x, y)
    assertSame "x" (computed (y * y * scale * 10.0)) (computed gx)
    assertSame "y" (computed (x * y * scale + minimum y (x * 0.0))) (computed gy)

[<Test>]
let ``the straight-through estimator rounds, and lets gradients through`` () =
    let through = customGradient "roundThrough" (fun (x: Tensor) -> round x) (fun _ c -> c)
    let x = f64 [| 3 |] [ 0.4; 1.6; -2.2 ]
    assertSame "value" (computed (round x)) (computed (through x))
    assertSame "gradient" (computed (f64 [| 3 |] [ 1.0; 1.0; 1.0 ])) (computed (grad (fun x -> sum (through x)) x))

[<Test>]
let ``checkGradient finds the wrong element`` () =
    let square = customGradient "square" (fun (x: Tensor) -> x * x) (fun x c -> 2.0 * x * c)
    let x = tensor [ 0.5; -1.0; 2.0 ]
    Assert.That((checkGradient square x).Error, Is.LessThan 1e-9)
    let mistaken = f64 [| 3 |] [ 2.0; 2.0; 2.5 ]
    let wrong = customGradient "square" (fun (_: Tensor, x: Tensor) -> x * x) (fun (k, x) c -> k, mistaken * x * c)
    let found = checkGradient wrong (i64 [||] [ 3L ], x)
    Assert.That(found.Error, Is.GreaterThan 0.1)
    Assert.That(found.Path, Is.EqualTo "1")
    Assert.That(found.Index, Is.EqualTo<int[]> [| 2 |])

[<Test>]
let ``mistakes in gradients of one's own are named`` () =
    let f = customGradient "f" (fun (x: Tensor, y: Tensor) -> x * y) (fun (x, _) c -> x * c, sum c)
    raises<ShapeException> "f: the gradient of the argument 1 must be f32[2], got f32[]" (fun () ->
        f (zeros [| 2 |], zeros [| 2 |]) |> ignore)
