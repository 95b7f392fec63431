/// How values and expressions read.
module Nanograd.Core.Tests.PrintTests

open System
open NUnit.Framework
open Nanograd

let private values: (Tensor * string) list =
    [ tensor [ 1.0; 2.5; -3.25 ], "tensor([ 1.0000,  2.5000, -3.2500])"
      matrix [ [ 1.0; 2.0 ]; [ 3.0; 4.0 ] ], "tensor([[1., 2.],\n        [3., 4.]])"
      zeros [| 2; 2; 1 |], "tensor([[[0.],\n         [0.]],\n\n        [[0.],\n         [0.]]])"
      scalar 3.0, "tensor(3.)"
      tensor [], "tensor([], shape=[0])"
      tensor [ nan; infinity; -infinity; 1.5 ], "tensor([   nan,    inf,   -inf, 1.5000])"
      tensor [ 1e-7; 1.0; 1e8 ], "tensor([1.0000e-07, 1.0000e+00, 1.0000e+08])"
      i64 [| 2 |] [ 1L; 20L ], "tensor([ 1, 20])"
      gt (tensor [ 1.0; 2.0 ]) (scalar 1.5), "tensor([false,  true])"
      f64 [| 1 |] [ 0.5 ], "tensor([0.5000], dtype=f64)"
      arange DType.I32 5, "tensor([0, 1, 2, 3, 4], dtype=i32)"
      arange DType.F32 1500,
      "tensor([0.0000e+00, 1.0000e+00, 2.0000e+00,  ..., 1.4970e+03, 1.4980e+03,\n        1.4990e+03])"
      arange DType.I64 1500, "tensor([   0,    1,    2,  ..., 1497, 1498, 1499])"
      arange DType.I64 30 * 1000,
      "tensor([    0,  1000,  2000,  3000,  4000,  5000,  6000,  7000,  8000,  9000,\n        10000, 11000, 12000, 13000, 14000, 15000, 16000, 17000, 18000, 19000,\n"
      + "        20000, 21000, 22000, 23000, 24000, 25000, 26000, 27000, 28000, 29000])"
      tensor [ 0.5; -0.0 ], "tensor([ 0.5000, -0.0000])"
      tensor [ 12345.678; 0.1 ], "tensor([1.2346e+04, 1.0000e-01])"
      tensor [ 1e8; 1.0 ], "tensor([1.0000e+08, 1.0000e+00])"
      scalar 1e30, "tensor(1.0000e+30)"
      scalar nan, "tensor(nan)"
      zeros [| 2; 0 |], "tensor([], shape=[2,0])"
      full DType.BF16 [| 1 |] 1.5, "tensor([1.5000], dtype=bf16)"
      Op.iota DType.F32 [| 40; 50 |] 0,
      "tensor([[ 0.,  0.,  0.,  ...,  0.,  0.,  0.],\n        [ 1.,  1.,  1.,  ...,  1.,  1.,  1.],\n        [ 2.,  2.,  2.,  ...,  2.,  2.,  2.],\n"
      + "        ...,\n        [37., 37., 37.,  ..., 37., 37., 37.],\n        [38., 38., 38.,  ..., 38., 38., 38.],\n        [39., 39., 39.,  ..., 39., 39., 39.]])" ]

[<Test>]
let ``values print as PyTorch prints them`` () =
    for t, text in values do
        Assert.That(string t, Is.EqualTo text)

let private a, b = Op.input "a" DType.F32 [| 2; 3 |], Op.input "b" DType.F32 [| 2; 3 |]

let private expressions: (Tensor * string) list =
    [ a + b * 2.0, "a + b·2"
      (a + b) * 2.0, "(a + b)·2"
      a * b * 2.0, "a·b·2"
      -a * b, "-a·b"
      a * -b, "a·(-b)"
      -(a * b), "-a·b"
      -(a + b), "-(a + b)"
      a + (b + a), "a + (b + a)"
      a - (b - a), "a - (b - a)"
      a - b - a, "a - b - a"
      a / (b / a), "a / (b / a)"
      a / (b * a), "a / (b·a)"
      a * b / a, "a·b / a"
      a * (b / a), "a·(b / a)"
      a / b * a, "(a / b)·a"
      -(a * a), "-a²"
      (-a) ** 3.0, "(-a)³"
      a ** (2.0 * b), "a^(2·b)"
      a ** -2.0, "a⁻²"
      a ** 0.25, "a^0.25"
      sin a * b, "sin a·b"
      sin (a * b), "sin(a·b)"
      sin a * sin a, "sin² a"
      exp (a * a), "exp(a²)"
      sqrt (a + b), "√(a + b)"
      a / sqrt b, "a / √b"
      abs (a - b), "|a - b|"
      sin (sin a), "sin(sin a)"
      a * Math.PI, "a·π"
      a * (-2.0), "a·(-2)"
      (let e = exp (a - b * 20.0) in e / sumKeep [ 1 ] e), "let t1 = exp(a - b·20)\nt1 / sum[1](t1)"
      (let e = exp a in e / sumKeep [ 1 ] e), "exp a / sum[1](exp a)"
      matmul a (transpose b), "a @ bᵀ"
      matmul (a * b) (transpose b), "a·b @ bᵀ"
      matmul a (transpose b) * 2.0, "(a @ bᵀ)·2"
      2.0 * matmul a (transpose b), "2·a @ bᵀ"
      matmul (transpose a) (matmul b (transpose a)), "aᵀ @ (b @ aᵀ)"
      where (gt a b) a b, "where(a > b, a, b)"
      where (ne a b) a b, "where(a ≠ b, a, b)"
      sum (a * b) / 3.0, "sum(a·b) / 3"
      concat 0 [ slice 1 0 2 a; slice 1 1 3 b ], "concat[0](slice[0..1, 0..1](a), slice[0..1, 1..2](b))"
      cast DType.I32 a, "i32(a)"
      maximum a b, "max(a, b)" ]

[<Test>]
let ``expressions print as algebra, shared parts as lets`` () =
    for t, text in expressions do
        Assert.That(Print.algebra t, Is.EqualTo text)

[<Test>]
let ``open expressions show simplified, as they would be written`` () =
    let x = symbol "x"
    let shown: (Tensor * string) list =
        [ x + x, "2·x"
          x * x * sin x * 3.0, "3·x²·sin x"
          grad (fun x -> x ** 3) x, "3·x²"
          grad (grad sin) x, "-sin x"
          grad sigmoid x, "σ(x)·(1 - σ(x))" ]
    for t, text in shown do
        Assert.That(string t, Is.EqualTo text)
        // Rows of several lines start on a line of their own, so that they stay aligned.
        Assert.That(sprintf "%A" t, Is.EqualTo((if text.Contains '\n' then "\n" + text else text)))

[<Test>]
let ``long expressions are elided in the middle`` () =
    let long = Seq.fold (fun c _ -> sin c + a) a (seq { 1..300 })
    let lines = (Print.algebra long).Split '\n'
    Assert.That(lines.Length, Is.EqualTo 12)
    Assert.That(lines[0], Is.EqualTo "let t1 = sin a")
    Assert.That(lines[5], Is.EqualTo "... (589 more)")

/// On a thread with a small stack: no printer may recurse over the depth of an expression.
let private onSmallStack (body: unit -> unit) =
    let mutable failure: exn = null
    let thread =
        Threading.Thread(
            (fun () ->
                try
                    body ()
                with e ->
                    failure <- e),
            1 <<< 19
        )
    thread.Start()
    thread.Join()
    if not (isNull failure) then raise (AggregateException failure)

[<Test>]
let ``deep expressions print in parts`` () =
    onSmallStack (fun () ->
        let x = variable "x" [| 1; 3 |]
        let deep = Seq.fold (fun c i -> if i % 2 = 0 then sin c else c * x) x (seq { 1..100_000 })
        for t in [ deep; grad (fun x -> sum (Seq.fold (fun c _ -> sin c) x (seq { 1..20_000 }))) x ] do
            for text in [ string t; Print.algebra t; Latex.render t ] do
                Assert.That(text.Length, Is.LessThan 20_000))

/// The root of a product is the product of roots only where nothing is negative.
[<Test>]
let ``roots are not taken of negative factors`` () =
    let x, y = symbol "x", symbol "y"
    let show (t: Tensor) = string t
    Assert.That(show (sqrt (-2.0 * log x)), Does.Not.Contain "nan")
    Assert.That(show (sqrt (x * x)), Is.EqualTo "√(x²)")
    Assert.That(show (sqrt (x * y) / y), Is.EqualTo "√(x·y) / y")

/// F# Interactive hides exceptions of printing, so its text is the message.
[<Test>]
let ``what cannot be computed shows why`` () =
    let x = Op.gather 0 0 (f32 [| 2 |] [ 1.0; 2.0 ]) (i64 [| 1 |] [| 7L |])
    Assert.That(sprintf "%A" x, Does.StartWith "error: gather: index 7 is out of range")
    Assert.Throws<IndexException>(fun () -> string x |> ignore) |> ignore

[<Test>]
let ``small numbers stay where like terms are added`` () =
    let x, y = symbol "x", symbol "y"
    Assert.That(string (x * 5.9604645e-08 + y), Does.Contain "x")
    Assert.That(string (x * 1e-9 + y * 3.0 - x * 1e-9), Is.EqualTo "3·y")

// ------------------------------------------------------------------------------------------------ attributes

/// What primitives are called with: where two of a list differ, a reader must see it.
let private attributes: (string * Tensor list) list =
    let x, y = variable "x" [| 4; 4; 4 |], variable "y" [| 4; 4; 4 |]
    let spread f = [ for a in 0..2 -> f a ]
    let one, zero, two = [| 1; 1 |], [| 0; 0 |], [| 2; 2 |]
    let plain =
        { Strides = one
          PadLow = zero
          PadHigh = zero
          LeftDilation = one
          RightDilation = one
          Groups = 1 }
    let image, weight = variable "x" [| 1; 4; 7; 7 |], variable "w" [| 4; 4; 2; 2 |]
    let conv c = Op.conv c image weight
    let window = { Axis = 1; Size = 2; Step = 1; Dilation = 1 }
    let windows = Op.unfold window x
    let indices = Op.input "i" DType.I64 [| 4 |]
    let rows = Op.input "i" DType.I64 [| 4; 4 |]
    let start = List.init 3 (fun k -> Op.input $"s{k}" DType.I64 [||]) |> Array.ofList
    let contraction lb rb ls rs = { LeftBatch = lb; RightBatch = rb; LeftSum = ls; RightSum = rs }
    let loop captured carried reverse =
        let a, b = variable "a" [| 4; 4; 4 |], variable "b" [| 4; 4; 4 |]
        let results = if carried = 2 then [| b; a |] else [| b |]
        Op.scan
            { Body = Lambda.ofVariables [| a; b |] results
              Captured = captured
              Carried = carried
              Length = 3
              Reverse = reverse }
            [| x; y |]
    [ "reshape", [ Op.reshape [| 8; 8 |] x; Op.reshape [| 64 |] x ]
      "permute", [ for p in [ [| 0; 2; 1 |]; [| 2; 1; 0 |]; [| 1; 2; 0 |] ] -> Op.permute p x ]
      "slice",
      [ for s, e, d in [ 0, 4, 1; 1, 4, 1; 0, 4, 2; 0, 4, 3; 2, 2, 1; 1, 1, 1 ] ->
            Op.slice [| s; 0; 0 |] [| e; 4; 4 |] [| d; 1; 1 |] x ]
      "pad",
      [ for l, h, i in [ 1, 0, 0; 0, 1, 0; 0, 0, 1; 1, 1, 0; 1, 1, 2 ] ->
            Op.pad [| l; 0; 0 |] [| h; 0; 0 |] [| i; 0; 0 |] (Op.constant (Constant.ofFloat DType.F32 0.0)) x ]
      "reverse", spread (fun a -> Op.reverse [| a |] x)
      "concat", spread (fun a -> Op.concat a [| x; y |])
      "unfold",
      [ for axis in [ 0; 1 ] do
            for size in [ 1; 2 ] do
                for step in [ 1; 2 ] do
                    for dilation in [ 1; 2 ] do
                        Op.unfold { Axis = axis; Size = size; Step = step; Dilation = dilation } x ]
      "fold",
      [ Op.fold window 4 windows
        Op.fold { window with Axis = 0 } 5 windows
        Op.fold { window with Axis = 2 } 5 windows
        Op.fold { window with Step = 2 } 6 windows
        Op.fold { window with Step = 2 } 7 windows
        Op.fold { window with Dilation = 2 } 5 windows ]
      "reduce",
      [ for r in Pool.all<Reduction> do
            yield! spread (fun a -> Op.reduce r [ a ] x) ]
      "argReduce",
      [ for largest in [ true; false ] do
            yield! spread (fun a -> Op.argReduce largest a x) ]
      "cumSum",
      [ for reverse in [ true; false ] do
            yield! spread (fun a -> Op.cumSum a reverse x) ]
      "sort",
      [ for descending in [ true; false ] do
            yield! spread (fun a -> fst (Op.sort a descending x)) ]
      "results", [ fst (Op.sort 0 false x); snd (Op.sort 0 false x) ]
      "topK", [ for k in 1..3 -> fst (Op.topK k x) ]
      "dot",
      [ for c in
            [ contraction [||] [||] [| 2 |] [| 0 |]
              contraction [||] [||] [| 1 |] [| 0 |]
              contraction [||] [||] [| 2; 1 |] [| 0; 1 |]
              contraction [| 0 |] [| 0 |] [| 2 |] [| 1 |]
              contraction [| 0 |] [| 0 |] [| 1 |] [| 1 |]
              contraction [| 0 |] [| 1 |] [| 2 |] [| 2 |]
              contraction [| 1 |] [| 0 |] [| 2 |] [| 2 |]
              contraction [| 0; 1 |] [| 0; 1 |] [| 2 |] [| 2 |]
              contraction [| 0; 1 |] [| 0; 1 |] [||] [||] ] -> Op.dot c x y ]
      "conv",
      [ conv plain
        conv { plain with Strides = two }
        conv { plain with Strides = [| 2; 1 |] }
        conv { plain with PadLow = two }
        conv { plain with PadHigh = two }
        conv { plain with PadLow = two; PadHigh = two }
        conv { plain with LeftDilation = two }
        conv { plain with RightDilation = two }
        conv { plain with RightDilation = [| 1; 2 |] } ]
      "gather", [ Op.gather 0 0 x indices; Op.gather 1 0 x indices; Op.gather 2 0 x indices ]
      "gather of batches", [ Op.gather 1 0 x rows; Op.gather 1 1 x rows; Op.gather 2 1 x rows; Op.gather 2 2 x rows ]
      "scatterAdd", [ for a in 0..2 -> Op.scatterAdd a 0 x indices y ]
      "dynamicSlice", [ for size in [ [| 1; 2; 2 |]; [| 2; 1; 2 |] ] -> Op.dynamicSlice start size x ]
      "random bits",
      [ for shape in [ [| 2; 3 |]; [| 3; 2 |] ] -> Op.randomBits (Op.input "key" DType.U32 [| 2 |]) shape ]
      "iota", [ for a in 0..2 -> Op.iota DType.F32 [| 4; 4; 4 |] a ]
      "cast", [ for d in [ DType.F64; DType.I32; DType.BF16 ] -> Op.cast d x ]
      "bitCast", [ for d in [ DType.I32; DType.U32 ] -> Op.bitCast d x ]
      "scan",
      [ for captured, carried in [ 0, 2; 1, 1 ] do
            for reverse in [ true; false ] do
                (loop captured carried reverse)[0] ] ]

[<Test>]
let ``nodes that differ in an attribute print differently`` () =
    for primitive, nodes in attributes do
        let texts = nodes |> List.map Print.algebra
        Assert.That(nodes, Is.Unique, primitive)
        Assert.That(texts, Is.Unique, primitive)

[<Test>]
let ``a node's name says which primitive it is, with all attributes`` () =
    let isNamed (t: Tensor) =
        match t.Op with
        | Op.Literal _
        | Op.Input _
        | Op.Const _ // the type of a number is not shown
        | Op.Scan _ // nor what functions do
        | Op.Custom _
        | Op.Checkpoint _ -> false
        | _ -> true
    let known = Collections.Generic.Dictionary<string, Tensor>()
    for seed in 1..400 do
        for t in Graph.topological (Maker.make Pool.Wild seed 20) |> Array.filter isNamed do
            let text = Print.name t + " of " + String.Join(", ", t.Inputs |> Array.map Shape.describe)
            match known.TryGetValue text with
            | true, other -> Assert.That(t.Op, Is.EqualTo other.Op, text)
            | _ -> known[text] <- t
    Assert.That(known.Count, Is.GreaterThan 1000)
