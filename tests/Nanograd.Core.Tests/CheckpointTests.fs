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
