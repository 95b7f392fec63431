/// Every row of the calculus against central differences in f64, first and second order.
module Nanograd.Core.Tests.GradientTests

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck.NUnit
open FSharp.Reflection
open Nanograd
open Nanograd.Core.Tests.Pool
open Nanograd.Core.Tests.Programs

/// A function of tensors with the shapes of its arguments and the range their elements are drawn from.
[<NoEquality; NoComparison>]
type Example = { Function: Tensor[] -> Tensor; Shapes: int[][]; Ranges: (float * float)[] }

let weighted (y: Tensor) = // a scalar that every element counts in, each differently
    sum (reshape [| y.Count |] y * noise DType.F64 5 [| y.Count |])

let private value (t: Tensor) = (interpreted t).[0].Float

let ranged (seed: int) (shape: int[]) (low, high) =
    numbers seed (Shape.count shape) |> Array.map (fun v -> low + (high - low) * (v + 1.0) / 2.0)

/// The derivative of `f` at `at` in a random direction, symbolic against numeric.
let private differentialBy
    (h: float)
    (tolerance: float)
    (what: string)
    (f: Tensor[] -> Tensor)
    (shapes: int[][])
    (at: float[][])
    =
    let xs = Array.map2 f64 shapes at
    let gradients = Grad.gradient (f xs) xs
    for x, g in Array.zip xs gradients do
        Assert.That(Shape.describe g, Is.EqualTo(Shape.describe x), what)
    let directions = at |> Array.mapi (fun i v -> numbers (100 + i) v.Length)
    let moved s = Array.map3 (fun shape v d -> f64 shape (Array.map2 (fun v d -> v + s * d) v d)) shapes at directions
    let y s = value (f (moved s))
    let numeric = (8.0 * (y h - y -h) - (y (2.0 * h) - y (-2.0 * h))) / (12.0 * h)
    let inner (g: Constant[]) (d: float[]) = Array.map2 (fun (c: Constant) d -> c.Float * d) g d |> Array.sum
    let symbolic = Array.map2 inner (gradients |> Array.map interpreted) directions |> Array.sum
    Assert.That(symbolic, Is.EqualTo(numeric).Within(tolerance * (1.0 + abs numeric)), what)
    let compiled = Program.evaluate gradients
    Array.iter2 (fun g c -> assertClose 1e-10 (what + ", compiled") (interpreted g) (interpreted c)) gradients compiled

/// By steps of 1e-4, which two digits of the fourth-order formula allow.
let private differential = differentialBy 1e-4

let private check (what: string) (e: Example) =
    let at = Array.mapi2 (fun i shape range -> ranged (7 + i) shape range) e.Shapes e.Ranges
    let first xs = weighted (e.Function xs)
    differential 1e-7 what first e.Shapes at
    let second (xs: Tensor[]) = Grad.gradient (first xs) xs |> Array.map (sin >> weighted) |> Array.reduce (+)
    differential 1e-5 (what + ", second order") second e.Shapes at

// ------------------------------------------------------------------------------------------------ elementwise

/// Where a function of floats is smooth; None: it has no floats to differentiate.
let unaryRange (u: Unary) =
    match u with
    | Unary.Neg
    | Unary.Sin
    | Unary.Cos
    | Unary.Atan
    | Unary.Tanh
    | Unary.Erf
    | Unary.Exp
    | Unary.Expm1 -> Some(-2.0, 2.0)
    | Unary.Abs
    | Unary.Sign -> Some(-2.0, -0.1)
    | Unary.Log
    | Unary.Sqrt
    | Unary.Rsqrt -> Some(0.3, 2.0)
    | Unary.Log1p -> Some(-0.6, 2.0)
    | Unary.Floor
    | Unary.Ceil
    | Unary.Round -> Some(0.1, 0.4)
    | Unary.Not -> None

let binaryRanges (b: Binary) =
    match b with
    | Binary.Add
    | Binary.Sub
    | Binary.Mul
    | Binary.Max
    | Binary.Min -> Some((-2.0, 2.0), (-2.0, 2.0))
    | Binary.Eq
    | Binary.Ne
    | Binary.Lt
    | Binary.Le
    | Binary.Gt
    | Binary.Ge -> Some((-2.0, 2.0), (-2.0, 2.0))
    | Binary.Div
    | Binary.Pow -> Some((0.3, 2.0), (0.4, 1.8))
    | Binary.Rem -> Some((2.2, 2.8), (1.0, 1.05))
    | Binary.And
    | Binary.Or
    | Binary.Xor
    | Binary.Shl
    | Binary.Shr -> None

let private unaries, binaries = all<Unary>, all<Binary>

[<TestCaseSource(nameof unaries)>]
let ``unary`` (u: Unary) =
    match unaryRange u with
    | None -> Assert.Throws<ShapeException>(fun () -> Op.unary u (f64 [| 1 |] [ 1.0 ]) |> ignore) |> ignore
    | Some range ->
        check
            (string u)
            { Function = (fun x -> Op.unary u x[0] * x[0])
              Shapes = [| [| 2; 3 |] |]
              Ranges = [| range |] }

[<TestCaseSource(nameof binaries)>]
let ``binary`` (b: Binary) =
    match binaryRanges b with
    | None ->
        let x = f64 [| 1 |] [ 1.0 ]
        Assert.Throws<ShapeException>(fun () -> Op.binary b x x |> ignore) |> ignore
    | Some(first, second) ->
        let apply x y = Op.cast DType.F64 (Op.binary b x y)
        let both =
            { Function = (fun x -> apply x[0] x[1] * x[1])
              Shapes = [| [| 2; 3 |]; [| 3 |] |]
              Ranges = [| first; second |] }
        check (string b) both
        check (string b + " with itself") { both with Function = (fun x -> apply x[0] (x[0] * 0.5) + sum x[1] * x[0]) }

[<Test>]
let ``equal operands of max and min get half each`` () =
    let x, y = f64 [| 2 |] [ 1.0; 2.0 ], f64 [| 2 |] [ 1.0; 3.0 ]
    for g in Grad.gradient (sum (maximum x y + minimum x y)) [| x; y |] do
        Assert.That(interpreted g |> Array.map (fun c -> c.Float), Is.EqualTo<float> [| 1.0; 1.0 |])

// ------------------------------------------------------------------------------------------------ everything else

let smooth shapes f =
    { Function = f
      Shapes = shapes
      Ranges = shapes |> Array.map (fun _ -> (-1.0, 1.0)) }
let private places shape (extent: int) = arange DType.I64 (Shape.count shape) * 7 % extent |> reshape shape
let private start (i: int) = Op.constant (Constant.ofInt DType.I64 (int64 i))

let private body (p: Tensor[]) = [| sin p[0] * p[1]; p[0] + p[1] |]
let private lambda = lazy (fst (Lambda.trace [| DType.F64, [| 2; 3 |]; DType.F64, [| 3 |] |] body))

let private contraction lb rb ls rs = { LeftBatch = lb; RightBatch = rb; LeftSum = ls; RightSum = rs }

let private options =
    { Strides = [| 2; 1 |]
      PadLow = [| 1; 0 |]
      PadHigh = [| 0; 2 |]
      LeftDilation = [| 1; 2 |]
      RightDilation = [| 2; 1 |]
      Groups = 2 }

let private loop reverse (x: Tensor[]) =
    let step, captured =
        Lambda.trace [| DType.F64, [| 2 |]; DType.F64, [| 2 |] |] (fun p ->
            let c = tanh (p[0] * x[2] + p[1]) in [| c; c * p[1] |])
    let s =
        { Body = step
          Captured = captured.Length
          Carried = 1
          Length = 4
          Reverse = reverse }
    let r = Op.scan s (Array.append captured [| x[0]; x[1] |])
    r[0] + sumOver [ 0 ] r[1]

let examples: (string * Example) list =
    [ "reshape", smooth [| [| 2; 6 |] |] (fun x -> sin (reshape [| 3; 4 |] x[0]))
      "permute", smooth [| [| 2; 3; 4 |] |] (fun x -> sin (permute [| 2; 0; 1 |] x[0]))
      "broadcast", smooth [| [| 2; 1; 3 |] |] (fun x -> sin (broadcastTo [| 4; 2; 5; 3 |] x[0]))
      "slice", smooth [| [| 7; 5 |] |] (fun x -> sin (Op.slice [| 1; 0 |] [| 6; 4 |] [| 2; 3 |] x[0]))
      "pad", smooth [| [| 2; 3 |]; [||] |] (fun x -> sin (Op.pad [| 1; 0 |] [| 2; 1 |] [| 0; 2 |] x[1] x[0]))
      "reverse", smooth [| [| 2; 3; 4 |] |] (fun x -> sin (Op.reverse [ 0; 2 ] x[0]))
      "concat", smooth [| [| 2; 3 |]; [| 2; 1 |] |] (fun x -> sin (concat 1 [ x[0]; x[1]; x[0] ]))
      "unfold", smooth [| [| 7; 2 |] |] (fun x -> sin (Op.unfold { Axis = 0; Size = 3; Step = 2; Dilation = 1 } x[0]))
      "fold", smooth [| [| 3; 2; 3 |] |] (fun x -> sin (Op.fold { Axis = 0; Size = 3; Step = 2; Dilation = 1 } 7 x[0]))
      "sum", smooth [| [| 2; 3; 4 |] |] (fun x -> sin (sumOver [ 0; 2 ] x[0]))
      "prod", smooth [| [| 2; 3; 4 |] |] (fun x -> sin (Op.reduce Reduction.Prod [ 0; 2 ] x[0]))
      "max", smooth [| [| 2; 3; 4 |] |] (fun x -> sin (amax [ 1 ] x[0]))
      "min", smooth [| [| 2; 3; 4 |] |] (fun x -> sin (amin [ 0; 2 ] x[0]))
      "cumSum", smooth [| [| 3; 4 |] |] (fun x -> sin (Op.cumSum 0 false x[0]) + Op.cumSum 1 true (sin x[0]))
      "select", smooth [| [| 4 |]; [| 4 |] |] (fun x -> where (causalMask 4) x[0] (sin x[1]))
      "cast",
      { smooth [| [| 4 |] |] (fun x -> sin (cast DType.F64 (gt x[0] (scalar 0.3)) + x[0])) with
          Ranges = [| 0.5, 1.0 |] }
      "dot",
      smooth [| [| 2; 3; 4; 2 |]; [| 4; 2; 5; 2 |] |] (fun x ->
          sin (Op.dot (contraction [| 3 |] [| 1 |] [| 0; 2 |] [| 3; 0 |]) x[0] x[1]))
      "outer product", smooth [| [| 2 |]; [| 3 |] |] (fun x -> sin (Op.dot (contraction [||] [||] [||] [||]) x[0] x[1]))
      "matmul", smooth [| [| 2; 1; 3; 4 |]; [| 5; 4; 2 |] |] (fun x -> sin (matmul x[0] x[1]))
      "conv", smooth [| [| 2; 4; 5; 4 |]; [| 4; 2; 2; 3 |] |] (fun x -> sin (Op.conv options x[0] x[1]))
      "gather", smooth [| [| 5; 2 |] |] (fun x -> sin (Op.gather 0 0 x[0] (places [| 2; 3 |] 5)))
      "gather in batches", smooth [| [| 2; 3; 4; 2 |] |] (fun x -> sin (Op.gather 2 1 x[0] (places [| 2; 3 |] 4)))
      "scatterAdd",
      smooth [| [| 2; 3; 4; 2 |]; [| 2; 3; 3; 2 |] |] (fun x ->
          sin (Op.scatterAdd 2 1 x[0] (places [| 2; 3 |] 4) (sin x[1])))
      "dynamicSlice", smooth [| [| 4; 3 |] |] (fun x -> sin (Op.dynamicSlice [| start 1; start 0 |] [| 2; 3 |] x[0]))
      "dynamicUpdate",
      smooth [| [| 4; 3 |]; [| 2; 2 |] |] (fun x -> sin (Op.dynamicUpdate [| start 1; start 1 |] (sin x[1]) x[0]))
      "sort", smooth [| [| 3; 5 |] |] (fun x -> sin (fst (Op.sort 1 true x[0])))
      "topK", smooth [| [| 2; 6 |] |] (fun x -> sin (fst (Op.topK 2 x[0])))
      "scan", smooth [| [| 2 |]; [| 4; 2 |]; [| 2 |] |] (loop false)
      "scan reversed", smooth [| [| 2 |]; [| 4; 2 |]; [| 2 |] |] (loop true)
      "custom",
      smooth [| [| 2; 3 |]; [| 3 |] |] (fun x ->
          let r = Op.custom { Name = "f"; Body = lambda.Value; Gradient = None } [| sin x[0]; x[1] |] in r[0] * r[1])
      "checkpoint",
      smooth [| [| 2; 3 |]; [| 3 |] |] (fun x -> let r = Op.checkpoint lambda.Value [| sin x[0]; x[1] |] in r[0] * r[1])
      "nothing", smooth [| [| 0; 3 |] |] (fun x -> concat 0 [ sin x[0]; x[0] ])
      "softmax", smooth [| [| 3; 4 |] |] (fun x -> softmax -1 x[0] * sin x[0])
      "logSoftmax", smooth [| [| 3; 4 |] |] (fun x -> logSoftmax 0 x[0] * sin x[0])
      "gelu", smooth [| [| 3; 4 |] |] (fun x -> gelu x[0] + geluTanh x[0] + silu x[0] + softplus x[0])
      "variance", smooth [| [| 3; 4 |] |] (fun x -> rsqrt (varianceKeep [ 1 ] x[0] + 0.1)) ]

let exampleNames = examples |> List.map fst
let byName = dict examples

[<TestCaseSource(nameof exampleNames)>]
let ``rule`` (name: string) = check name byName[name]

/// The name of a primitive down to its last union.
let private kind (op: Op) =
    match op with
    | Op.Movement m -> Case.name m
    | Op.Reduce(r, _) -> Case.name r
    | Op.Indexing i -> Case.name i
    | other -> Case.name other

[<Test>]
let ``every primitive with a derivative is among the examples`` () =
    let tested = HashSet<string>()
    for _, e in examples do
        let xs = e.Shapes |> Array.map (Op.input "x" DType.F64)
        for t in Graph.topological [ e.Function xs ] do
            tested.Add(kind t.Op) |> ignore
    let names (t: Type) = FSharpType.GetUnionCases(t, true) |> Array.map (fun c -> c.Name.ToLowerInvariant())
    let elsewhere = [ "movement"; "reduce"; "indexing"; "literal"; "parameter" ] // one by one below; leaves
    let without = [ "randombits"; "bitcast"; "argreduce" ] // not functions of real numbers
    let wanted =
        Array.concat [ names typeof<Op>; names typeof<Movement>; names typeof<Reduction>; names typeof<Indexing> ]
    let missing =
        wanted
        |> Array.filter (fun n -> not (tested.Contains n || List.contains n elsewhere || List.contains n without))
    Assert.That(missing, Is.Empty)

[<Test>]
let ``products with zeros have exact gradients of both orders`` () =
    for zeros in 0..3 do
        let at = Array.init 5 (fun i -> if i < zeros then 0.0 else 0.5 + float i)
        let f (x: Tensor[]) = Op.reduce Reduction.Prod [ 0 ] x[0]
        differential 1e-7 "product" f [| [| 5 |] |] [| at |]
        differential 1e-6 "its gradient" (fun x -> weighted (sin (Grad.gradient (f x) x).[0])) [| [| 5 |] |] [| at |]

[<Test>]
let ``stopGradient stops, and variables that do not occur get zeros`` () =
    let x, y = f64 [| 2 |] [ 2.0; 3.0 ], f64 [| 3 |] [ 1.0; 1.0; 1.0 ]
    let g = Grad.gradient (sum (Grad.stopGradient (x * x) * x)) [| x; y |]
    Assert.That(floatsOf g[0], Is.EqualTo<float> [| 4.0; 9.0 |])
    Assert.That(floatsOf g[1], Is.EqualTo<float> [| 0.0; 0.0; 0.0 |])

[<Test>]
let ``16-bit floats get gradients of their own type`` () =
    for d in [ DType.F16; DType.BF16 ] do
        let a, b = noise d 1 [| 3; 4 |], noise d 2 [| 4; 5 |]
        let y = cast DType.F32 (sum (tanh (matmul a b)) + sum (fst (Op.sort 1 true a)) + sum (amax [ 0 ] b))
        for g, x in Array.zip (Grad.gradient y [| a; b |]) [| a; b |] do
            Assert.That(Shape.describe g, Is.EqualTo(Shape.describe x))

[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Programs> |])>]
type Random() =

    [<Law 60>]
    member _.``the gradient of a random program is its central difference``(p: RealProgram) =
        Differences.gradientIsDifference p |> ignore

    [<Test>]
    member _.``most random programs have a derivative to compare with``() =
        let programs =
            [ for seed in 1..60 -> RealProgram(seed, Maker.makeWithin (Some 200) (Pool.Smooth DType.F64) seed 15) ]
        let functions = programs |> List.filter (fun p -> (Differences.asFunction p).IsSome)
        let compared = functions |> List.filter Differences.gradientIsDifference
        Assert.That(compared.Length, Is.GreaterThan(8 * functions.Length / 10))
