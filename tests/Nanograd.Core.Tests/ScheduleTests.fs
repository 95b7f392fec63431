/// What shares a kernel, and what is stored between kernels.
module Nanograd.Core.Tests.ScheduleTests

open NUnit.Framework
open Nanograd

/// The plan of a function's gradient by all of its arguments, rewritten as programs are.
let private gradientPlan (f: Tensor[] -> Tensor) (shapes: int[][]) =
    let variables = shapes |> Array.mapi (fun i s -> Op.input $"x{i}" DType.F32 s)
    Lower.plan variables (Rewrite.simplify (Grad.gradient (f variables) variables))

[<Test>]
let ``the backward pass of a GELU reads its operand, not functions of it`` () =
    let network (p: Tensor[]) = sum (square (matmul (gelu (matmul p[0] p[1])) p[2]))
    let plan = gradientPlan network [| [| 768; 64 |]; [| 64; 128 |]; [| 128; 32 |] |]
    let hidden = plan.Buffers |> Array.filter (fun b -> b.Length = 768 * 128) |> Array.length
    // before and after the GELU, and the same two of the gradient
    Assert.That(hidden, Is.EqualTo 4)
