/// What shares a kernel, and what is stored between kernels.
module Nanograd.Core.Tests.ScheduleTests

open System
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests.Programs

/// The plan of a function's gradient by all of its arguments, rewritten as programs are.
let private gradientPlan (f: Tensor[] -> Tensor) (shapes: int[][]) =
    let variables = shapes |> Array.mapi (fun i s -> Op.input $"x{i}" DType.F32 s)
    Lower.plan variables (Rewrite.simplify (Grad.gradient (f variables) variables))

[<Test>]
let ``the backward pass of a GELU reads its operand, not functions of it`` () =
    let network (p: Tensor[]) = sum (square (matmul (gelu (matmul p[0] p[1])) p[2]))
    let plan = gradientPlan network [| [| 768; 64 |]; [| 64; 128 |]; [| 128; 32 |] |]
    let hidden = plan.Buffers |> Array.filter (fun b -> b.Length = 768 * 128) |> Array.length
    // before and after the GELU, and the gradient before it
    Assert.That(hidden, Is.EqualTo 3)

let private normal (seed: int) (shape: int[]) =
    let random = Random seed
    valueOf
        DType.F32
        shape
        (Array.init (Shape.count shape) (fun _ -> Constant.ofFloat DType.F32 (random.NextDouble() - 0.5)))

let private product (p: Kernel) =
    match p with
    | Kernel.Product p
    | Kernel.Conv { Of = p } -> Some p
    | _ -> None

/// Nothing but products, all of which but the first `plain` have an epilogue, and the bits are the interpreter's.
let private joins (plain: int) (roots: Tensor list) =
    let _, inputs, outputs = abstracted (List.toArray roots)
    let plan = Lower.plan inputs outputs
    let products = plan.Kernels |> Array.choose product
    Assert.That(products.Length, Is.EqualTo plan.Kernels.Length, String.Join("", Array.map Kernel.show plan.Kernels))
    Assert.That(products |> Array.filter (fun p -> p.Epilogue.IsNone) |> Array.length, Is.EqualTo plain)
    CompilerTests.equalsInterpreter (TameProgram(roots.Length, List.toArray roots))

let private row (shape: int[]) (x: Tensor) = Op.broadcast shape (Op.reshape [| 1; x.Count |] x)

[<TestCase(2, 1, 1); TestCase(3, 17, 5); TestCase(64, 48, 96); TestCase(131, 67, 257); TestCase(300, 700, 33)>]
let ``bias, activation and residual join a product`` (m: int, n: int, k: int) =
    let dot = matmul (normal 1 [| m; k |]) (normal 2 [| k; n |])
    let biased = dot + row [| m; n |] (normal 3 [| n |])
    // (An update of an argument would wait for the argument's other readers, so the sum is not a result.)
    joins 1 [ matmul (tanh biased + normal 4 [| m; n |]) (normal 7 [| n; 2 |]) ]
    // What is read elsewhere, too, is kept.
    joins 0 [ dot; relu biased; biased ]
    // The other way round, the product is computed transposed.
    let transposed = matmul (permute [| 1; 0 |] (normal 5 [| k; m |])) (permute [| 1; 0 |] (normal 6 [| n; k |]))
    joins 1 [ transposed * dot ]

[<Test>]
let ``an epilogue reads what a view of another shape has`` () =
    let x, w = normal 1 [| 4; 6; 8 |], normal 2 [| 8; 10 |]
    let dot = matmul x w
    let scaled = reshape [| 24; 10 |] dot * Op.broadcast [| 24; 10 |] (normal 3 [| 24; 1 |])
    joins 0 [ reshape [| 4; 6; 10 |] scaled + Op.broadcast [| 4; 6; 10 |] (normal 4 [| 4; 1; 10 |]) ]

[<TestCase(1); TestCase(2)>]
let ``bias and activation join a convolution`` (stride: int) =
    let x, w, bias = normal 1 [| 3; 4; 19; 23 |], normal 2 [| 6; 4; 3; 3 |], normal 3 [| 6 |]
    let options = { ConvOptions.Default with Stride = [| stride |] }
    joins 0 [ relu (conv2d options w (Some bias) x) ]

[<Test>]
let ``a batch of products has one epilogue`` () =
    let dot = matmul (normal 1 [| 5; 37; 16 |]) (normal 2 [| 5; 16; 41 |])
    joins 0 [ exp dot * 0.5 ]
