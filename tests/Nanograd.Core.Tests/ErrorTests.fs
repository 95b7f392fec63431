/// What wrong programs are told: op, what was required, what was got, and a hint, in one line.
module Nanograd.Core.Tests.ErrorTests

open System
open NUnit.Framework
open Nanograd

let private x = Op.input "x" DType.F32 [| 2; 3 |]
let private y = Op.input "y" DType.F32 [| 4; 5 |]
let private i = Op.input "i" DType.I64 [| 3 |]
let private of' shape = Op.input "z" DType.F32 shape
let private convolution =
    { Strides = [| 1 |]
      PadLow = [| 0 |]
      PadHigh = [| 0 |]
      LeftDilation = [| 1 |]
      RightDilation = [| 1 |]
      Groups = 1 }
let private contraction = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 0 |]; RightSum = [| 0 |] }

let private wrong: (string * (unit -> Tensor)) list =
    [ "add: shapes must broadcast (axis -1: 3 and 5), got f32[2,3] x f32[4,5]", (fun () -> x + y)
      "add: shapes must broadcast (axis -1: 3 and 4), got f32[2,3] x f32[4]; axes are aligned at the last one; reshape to line them up",
      (fun () -> x + of' [| 4 |])
      "matmul: inner axes must agree (3 and 4), got f32[2,3] x f32[4,3]; transpose the second?",
      (fun () -> matmul x (of' [| 4; 3 |]))
      "matmul: operands must have at least one axis, got f32[] x f32[2,3]; use * for scalars",
      (fun () -> matmul (scalar 1.0) x)
      "dot: summed axes 0 and 0 must agree (2 and 4), got f32[2,3] x f32[4,5]", (fun () -> Op.dot contraction x y)
      "reshape: [4,2] must have as many elements as the operand (6), got f32[2,3]; one extent may be -1",
      (fun () -> reshape [| 4; 2 |] x)
      "permute: [0,0] must name every axis once, got f32[2,3]", (fun () -> permute [| 0; 0 |] x)
      "broadcast: each extent must be 1 or equal that of [3,3], aligned at the last axis, got f32[2,3]",
      (fun () -> broadcastTo [| 3; 3 |] x)
      "slice: 0 <= start <= stop <= 2 and step >= 1 on axis 0, not 1..5 by 1, got f32[2,3]", (fun () -> slice 0 1 5 x)
      "pad: amounts must not be negative, got f32[2,3]; use slice to remove elements",
      (fun () -> Op.pad [| -1; 0 |] [| 0; 0 |] [| 0; 0 |] (scalar 0.0) x)
      "concat: types and all extents but that of axis 0 must agree (operands 0 and 1), got f32[2,3] x f32[4,5]",
      (fun () -> concat 0 [ x; y ])
      "concat: at least one operand is needed, got none", (fun () -> concat 0 [])
      "sum: axis 2 must be between -2 and 1, got f32[2,3]", (fun () -> sumOver [ 2 ] x)
      "sum: axes must be distinct, not [0,0], got f32[2,3]", (fun () -> sumOver [ 0; -2 ] x)
      "max: axes [0] must not be empty, got f32[0,3]; an empty set has no largest element",
      (fun () -> amax [ 0 ] (of' [| 0; 3 |]))
      "argMax: axis 1 must not be empty, got f32[3,0]", (fun () -> argMax 1 (of' [| 3; 0 |]))
      "not: the operand must be bool or an integer, got f32[2,3]", (fun () -> Op.unary Unary.Not x)
      "neg: the operand must be a number, got bool[2,3]; cast it first", (fun () -> -(gt x x))
      "shl: operands must be integers, got f32[2,3] x f32[2,3]", (fun () -> Op.binary Binary.Shl x x)
      "select: the condition must be bool, got f32[2,3] x f32[2,3] x f32[2,3]; compare it with something",
      (fun () -> where x x x)
      "gather: indices must be i32 or i64, got f32[2,3] x f32[2,3]; cast them", (fun () -> take 0 x x)
      "conv: the kernel (5) must fit the padded input (3) on spatial axis 0, got f32[1,2,3] x f32[1,2,5]; add padding?",
      (fun () -> Op.conv convolution (of' [| 1; 2; 3 |]) (of' [| 1; 2; 5 |]))
      "unfold: windows of 4 (dilation 1, step 1) must fit an axis of 3, got f32[2,3]",
      (fun () -> Op.unfold { Axis = 1; Size = 4; Step = 1; Dilation = 1 } x)
      "topK: k = 4 must be between 0 and the last extent, got f32[2,3]", (fun () -> fst (Op.topK 4 x))
      "bitCast: both types must have the same size and not be bool, not i64, got f32[2,3]; use cast to convert values",
      (fun () -> Op.bitCast DType.I64 x)
      "iota: type must be f32, f64 or an integer, got bool", (fun () -> Op.iota DType.Bool [| 2 |] 0)
      "randomBits: the key must be u32[2], got f32[2,3]; make keys with Random.key", (fun () -> Op.randomBits x [| 2 |])
      "grad: the function must return a scalar, got f32[2,3]; use sum or mean to make one",
      (fun () -> (Grad.gradient x [| x |])[0])
      "grad: the variables must be floats, got i64[3]; cast them before they are used",
      (fun () -> (Grad.gradient (sum x) [| i |])[0])
      "matrix: rows must have equal length, got 1 and 2 (row 1)", (fun () -> matrix [ [ 1.0 ]; [ 1.0; 2.0 ] ])
      "literal: [3] needs 3 elements, got 2", (fun () -> Op.literal (Buffers.allocate DType.F32 2) [| 3 |]) ]

let private messages = wrong |> List.map fst
let private byMessage = dict wrong

[<TestCaseSource(nameof messages)>]
let ``message`` (text: string) =
    let error = Assert.Throws<ShapeException>(Action(fun () -> byMessage[text]() |> ignore))
    Assert.That(error.Message, Is.EqualTo text)
    Assert.That(text, Does.StartWith(error.Operation + ": " + error.Required + ", got " + error.Got))

[<Test>]
let ``an expression with variables has no value`` () =
    raises<InvalidOperationException>
        "eval: the expression has free variables (x), so it has no value yet; give them values, or compile it with jit. Functions given to grad, jit and vmap see variables: choose with `where`, not with the value."
        (fun () -> eval (x + 1.0) |> ignore)

[<Test>]
let ``variables of another trace cannot be captured`` () =
    raises<InvalidOperationException>
        "jit: the function uses variables of another trace (x); pass them as arguments."
        (fun () -> jit (fun (a: Tensor) -> a + x) (noise DType.F32 1 [| 2; 3 |]) |> ignore)

[<Test>]
let ``item needs one element`` () =
    raises<ShapeException> "item: the tensor must have one element, got f32[2]; toArray reads them all" (fun () ->
        item (tensor [ 1.0; 2.0 ]) |> ignore)

let private table = noise DType.F32 2 [| 65; 2 |]

let private outOfRange: (string * Tensor) list =
    [ "gather: index 70 is out of range for an axis of 65 elements (indices run from 0 to 64)",
      take 0 (i64 [| 2 |] [ 3L; 70L ]) table
      "gather: index -1 is out of range for an axis of 65 elements (indices run from 0 to 64)",
      take 0 (i64 [| 1 |] [ -1L ]) table
      "gather: index 4294967296 is out of range for an axis of 65 elements (indices run from 0 to 64)",
      take 0 (i64 [| 1 |] [ 4294967296L ]) table
      "scatterAdd: index 65 is out of range for an axis of 65 elements (indices run from 0 to 64)",
      Op.scatterAdd 0 0 table (i64 [| 1 |] [ 65L ]) (noise DType.F32 3 [| 1; 2 |])
      "dynamicSlice: start 3 is out of range for 63 elements on an axis of 65 (starts run from 0 to 2)",
      Op.dynamicSlice [| i64 [||] [ 3L ]; i64 [||] [ 0L ] |] [| 63; 2 |] table
      "dynamicUpdate: start -1 is out of range for 2 elements on an axis of 65 (starts run from 0 to 63)",
      Op.dynamicUpdate [| i64 [||] [ -1L ]; i64 [||] [ 0L ] |] (noise DType.F32 4 [| 2; 2 |]) table ]

let private outOfRangeMessages = outOfRange |> List.map fst

[<TestCaseSource(nameof outOfRangeMessages)>]
let ``indices out of range`` (text: string) =
    let t = (dict outOfRange)[text]
    raises<IndexException> text (fun () -> Interpreter.run t |> ignore)
    raises<IndexException> text (fun () -> eval t |> ignore)

[<Test>]
let ``a donated tensor is gone, and says where to`` () =
    let step = jitDonate (fun (s: Tensor) (b: Tensor) -> s + b)
    let state = eval (tensor [ 1.0; 2.0 ] + 1.0)
    let next = step state (tensor [ 1.0; 1.0 ])
    Assert.That(floatsOf next, Is.EqualTo<float> [| 3.0; 4.0 |])
    let text =
        "This tensor was donated to a jit-compiled function, which reused its memory; use that program's results, or do not donate."
    raises<InvalidOperationException> text (fun () -> eval (state * 2.0) |> ignore)
    raises<InvalidOperationException> text (fun () -> Interpreter.run (state * 2.0) |> ignore)
    raises<InvalidOperationException> text (fun () -> step state (tensor [ 1.0; 1.0 ]) |> ignore)
