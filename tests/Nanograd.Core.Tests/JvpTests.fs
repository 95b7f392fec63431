/// Forward mode against central differences, against reverse mode, and to higher orders.
module Nanograd.Core.Tests.JvpTests

open System
open System.Collections.Generic
open System.Threading
open NUnit.Framework
open FsCheck.NUnit
open Nanograd
open Nanograd.Core.Tests.Pool
open Nanograd.Core.Tests.Programs

let private value (t: Tensor) = (interpreted t).[0].Float
let private inner (a: Tensor[]) (b: Tensor[]) = Array.map2 (fun a b -> sum (a * b)) a b |> Array.reduce (+)

/// A number for `what` by each way of computing it: all must agree.
let private agree (tolerance: float) (what: string) (expected: Tensor) (actual: Tensor) =
    let e, a = value expected, value actual
    Assert.That(a, Is.EqualTo(e).Within(tolerance * (1.0 + abs e)), what)

let private directions seed (xs: Tensor[]) = xs |> Array.mapi (fun i x -> noise DType.F64 (seed + i) x.Shape)

/// The tangents are what reverse mode is the transpose of, and the derivative in their direction, at first and second
/// order; the compiled programs have the interpreter's bits.
let private check (what: string) (f: Tensor[] -> Tensor) (shapes: int[][]) (at: float[][]) =
    let xs = Array.map2 f64 shapes at
    let v, y = directions 100 xs, f xs
    let w = noise DType.F64 200 y.Shape
    let d = (Jvp.jvp [| y |] xs v).[0]
    Assert.That(Shape.describe d, Is.EqualTo(Shape.describe y), what)
    // Against differences, element by element (fourth order).
    let h = 1e-4
    let moved s =
        Array.map3
            (fun shape p (v: Tensor) ->
                f64 shape (Array.map2 (fun p (c: Constant) -> p + s * c.Float) p (interpreted v)))
            shapes
            at
            v
    let values s = interpreted (f (moved s)) |> Array.map (fun c -> c.Float)
    let numeric =
        Array.map2
            (fun near far -> (8.0 * near - far) / (12.0 * h))
            (Array.map2 (-) (values h) (values -h))
            (Array.map2 (-) (values (2.0 * h)) (values (-2.0 * h)))
    assertClose 1e-7 (what + ", differences") (numeric |> Array.map (Constant.ofFloat DType.F64)) (interpreted d)
    // Against reverse mode.
    agree 1e-12 (what + ", jvp . w = v . vjp") (inner v (Grad.vjp [| y |] [| w |] xs)) (sum (d * w))
    // Second order: all four nestings of the two modes.
    let scalar = sum (y * w)
    let along s = (Jvp.jvp [| s |] xs v).[0]
    let gradient s = inner (Grad.gradient s xs) v
    let all = [| along (along scalar); along (gradient scalar); gradient (along scalar); gradient (gradient scalar) |]
    for i in 1..3 do
        agree 1e-10 $"{what}, second order, {i}" all[0] all[i]
    let roots = Array.append [| d |] all
    let exact = Program.withoutRewriting (fun () -> Program.evaluate roots)
    Array.iter2 (fun r c -> assertSame (what + ", compiled") (interpreted r) (interpreted c)) roots exact
    let rewritten = Program.evaluate roots
    Array.iter2 (fun r c -> assertClose 1e-10 (what + ", rewritten") (interpreted r) (interpreted c)) roots rewritten

let private checkRanges what (f: Tensor[] -> Tensor) shapes (ranges: (float * float)[]) =
    check what f shapes (Array.mapi2 (fun i shape range -> GradientTests.ranged (7 + i) shape range) shapes ranges)

// ------------------------------------------------------------------------------------------------ every rule

let private unaries, binaries = all<Unary>, all<Binary>

[<TestCaseSource(nameof unaries)>]
let ``unary`` (u: Unary) =
    match GradientTests.unaryRange u with
    | None -> () // no floats to differentiate, see GradientTests
    | Some range -> checkRanges (string u) (fun x -> Op.unary u x[0] * x[0]) [| [| 2; 3 |] |] [| range |]

[<TestCaseSource(nameof binaries)>]
let ``binary`` (b: Binary) =
    match GradientTests.binaryRanges b with
    | None -> ()
    | Some(first, second) ->
        let apply x y = Op.cast DType.F64 (Op.binary b x y)
        let shapes = [| [| 2; 3 |]; [| 3 |] |]
        checkRanges (string b) (fun x -> apply x[0] x[1] * x[1]) shapes [| first; second |]
        checkRanges (string b + ", first alone") (fun x -> apply x[0] x[1] * x[0]) shapes [| first; second |]

let private names = GradientTests.examples |> List.map fst

[<TestCaseSource(nameof names)>]
let ``rule`` (name: string) =
    let e = GradientTests.byName[name]
    checkRanges name e.Function e.Shapes e.Ranges

let private vector = DType.F64, [| 2 |]

let private nest (reverse: bool) (x: Tensor[]) =
    let scan body captured carried scanned length =
        Op.scan
            { Body = body
              Captured = Array.length captured
              Carried = Array.length carried
              Length = length
              Reverse = reverse }
            (Array.concat [ captured; carried; scanned ])
    let body, captured =
        Lambda.trace [| vector; vector; vector |] (fun p ->
            let inner, own =
                Lambda.trace [| vector; vector |] (fun q ->
                    let h = tanh (q[0] * x[1] + q[1] + p[0])
                    [| h; h * p[2] |])
            let r = scan inner own [| p[1] |] [| x[2] |] 3
            [| p[0] * 0.5 + r[0]; sin r[0] + p[1]; sumOver [ 0 ] r[1] * p[2] |])
    let r = scan body captured [| x[0]; x[0] * 0.5 |] [| x[3] |] 2
    r[0] * r[1] + sumOver [ 0 ] r[2]

let private doubled = // the sine with a gradient that is twice too large: forward mode must agree with it
    lazy
        (let body, _ = Lambda.trace [| vector |] (fun p -> [| sin p[0] |])
         let gradient, _ = Lambda.trace [| vector; vector |] (fun p -> [| p[1] * 2.0 * cos p[0] |])
         fun (x: Tensor) -> (Op.custom { Name = "doubled"; Body = body; Gradient = Some gradient } [| x |])[0])

/// A product of two, with its own (right) gradient.
let private product =
    lazy
        (let matrix = DType.F64, [| 3; 3 |]
         let body, _ = Lambda.trace [| matrix; matrix |] (fun p -> [| matmul p[0] p[1]; p[0] + p[1] |])
         let gradient, _ =
             Lambda.trace (Array.create 4 matrix) (fun p ->
                 [| matmul p[2] (transpose p[1]) + p[3]; matmul (transpose p[0]) p[2] + p[3] |])
         fun x -> Op.custom { Name = "product"; Body = body; Gradient = Some gradient } x)

let private checkpointed (x: Tensor[]) =
    let body, captured =
        Lambda.trace [| vector; vector |] (fun p ->
            let step, own = Lambda.trace [| vector |] (fun q -> [| tanh (q[0] * p[1] + x[2]) |])
            let r =
                Op.scan
                    { Body = step; Captured = own.Length; Carried = 1; Length = 3; Reverse = false }
                    (Array.append own [| p[0] |])
            [| r[0] * p[0]; Op.iota DType.F64 [| 2 |] 0 |])
    let r = Op.checkpoint body (Array.append captured [| x[0]; x[1] |])
    r[0] + r[1]

let private more: (string * (int[] list * (Tensor[] -> Tensor))) list =
    let four = [ [| 2 |]; [| 2 |]; [| 3; 2 |]; [| 2; 2 |] ]
    [ "nested scans", (four, nest false)
      "nested scans, reversed", (four, nest true)
      "scan with one active operand",
      (four, (fun x -> nest false [| f64 [| 2 |] [ 0.1; 0.2 ]; x[1]; x[2] * 0.0; x[3] |]))
      "sort along the first axis", ([ [| 4; 3 |] ], (fun x -> sin (fst (Op.sort 0 false x[0])) * x[0]))
      "custom with its own gradient",
      ([ [| 3; 3 |]; [| 3; 3 |] ], (fun x -> let r = product.Value [| sin x[0]; x[1] |] in r[0] * r[1]))
      "custom with one active operand",
      ([ [| 3; 3 |] ], (fun x -> (product.Value [| noise DType.F64 3 [| 3; 3 |]; x[0] * x[0] |])[0]))
      "custom inside a scan",
      ([ [| 3; 3 |]; [| 3; 3 |] ],
       fun x ->
           let matrix = DType.F64, [| 3; 3 |]
           let body, own = Lambda.trace [| matrix |] (fun p -> [| (product.Value [| p[0]; x[1] |])[0] |])
           (Op.scan
               { Body = body; Captured = own.Length; Carried = 1; Length = 3; Reverse = false }
               (Array.append own [| x[0] |]))[0])
      "checkpoint around a scan", ([ [| 2 |]; [| 2 |]; [| 2 |] ], checkpointed)
      "a function without its own gradient around a scan",
      ([ [| 2 |]; [| 2 |]; [| 3; 2 |]; [| 2; 2 |] ],
       fun x ->
           let types = x |> Array.map (fun t -> t.DType, t.Shape)
           let body, _ = Lambda.trace types (fun p -> [| nest false p; sin p[0] |])
           let r = Op.custom { Name = "around"; Body = body; Gradient = None } x
           r[0] * r[1])
      "an operand made of another",
      ([ [| 2 |] ],
       (fun x ->
           (Op.checkpoint (fst (Lambda.trace [| vector; vector |] (fun p -> [| p[0] * p[1] |]))) [| x[0]; sin x[0] |])[0])) ]

let private moreNames = more |> List.map fst

[<TestCaseSource(nameof moreNames)>]
let ``calls`` (name: string) =
    let shapes, f = (dict more)[name]
    checkRanges name f (Array.ofList shapes) (Array.create shapes.Length (-1.0, 1.0))

[<Test>]
let ``shared extremes, products with zeros: still the transpose of reverse mode`` () =
    let x = f64 [| 2; 4 |] [ 1.0; 1.0; 0.0; 1.0; 0.0; 0.0; 2.0; 2.0 ]
    for r in all<Reduction> do
        for axes in [ [ 0 ]; [ 1 ]; [ 0; 1 ] ] do
            let y = Op.reduce r axes x
            let v, w = noise DType.F64 1 x.Shape, noise DType.F64 2 y.Shape
            let d = (Jvp.jvp [| y |] [| x |] [| v |]).[0]
            agree 1e-14 (string r) (inner [| v |] (Grad.vjp [| y |] [| w |] [| x |])) (sum (d * w))
    // Three elements share the maximum, and pass a third of their tangents each.
    let x, v = f64 [| 4 |] [ 5.0; 5.0; 1.0; 5.0 ], f64 [| 4 |] [ 1.0; 2.0; 3.0; 6.0 ]
    Assert.That(value (Jvp.jvp [| amax [ 0 ] x |] [| x |] [| v |]).[0], Is.EqualTo(3.0).Within 1e-15)

[<Test>]
let ``a function's own gradient is what forward mode follows`` () =
    let x, v = f64 [| 2 |] [ 0.3; 0.7 ], f64 [| 2 |] [ 1.0; -2.0 ]
    let d = Jvp.jvp [| doubled.Value x |] [| x |] [| v |]
    assertClose 1e-15 "doubled" (interpreted (v * 2.0 * cos x)) (interpreted d[0])
    // A gradient that only scales what passes is a linear function of it; one that stops gives nothing.
    let stopped = Jvp.jvp [| Grad.stopGradient (x * x) * x |] [| x |] [| v |]
    assertSame "stopped" (interpreted (x * x * v)) (interpreted stopped[0])

// ------------------------------------------------------------------------------------------------ what is not there

[<Test>]
let ``tangents that are zero stay out of the expression`` () =
    let variable name shape = Op.input name DType.F32 shape
    let x, w, v = variable "x" [| 2; 3 |], variable "w" [| 3; 3 |], variable "v" [| 2; 3 |]
    let count (kind: Op -> bool) t = Graph.topological [ t ] |> Array.filter (fun n -> kind n.Op) |> Array.length
    let isDot op =
        match op with
        | Op.Dot _ -> true
        | _ -> false
    let isSelect op = op = Op.Select
    let d = (Jvp.jvp [| matmul x w |] [| x |] [| v |]).[0]
    Assert.That(d, Is.EqualTo(matmul v w))
    let deep = matmul (matmul w w) (matmul w w)
    let d = (Jvp.jvp [| matmul x deep + Grad.stopGradient (matmul x w) |] [| x |] [| v |]).[0]
    Assert.That(d, Is.EqualTo(matmul v deep))
    // Integers, steps and comparisons have no tangents.
    let steps = floor x + cast DType.F32 (argMax 0 x) + cast DType.F32 (gt x (scalar 0.0))
    let d = (Jvp.jvp [| steps |] [| x |] [| v |]).[0]
    Assert.That(d, Is.EqualTo(zeros [| 2; 3 |]))
    // Zeros that are given are not computed with.
    let d = (Jvp.jvp [| matmul x w |] [| x; w |] [| v; zeros [| 3; 3 |] |]).[0]
    Assert.That(count isDot d, Is.EqualTo 1)
    let d = (Jvp.jvp [| where (gt x (scalar 0.0)) x (zeros [| 2; 3 |]) |] [| w |] [| w |]).[0]
    Assert.That(count isSelect d, Is.EqualTo 0)

[<Test>]
let ``a loop computes values and tangents together`` () =
    let x = Array.init 4 (fun i -> Op.input "x" DType.F64 [ [| 2 |]; [| 2 |]; [| 3; 2 |]; [| 2; 2 |] ].[i])
    let y, d = Jvp.both [| nest false x |] [| x[1] |] [| Op.input "v" DType.F64 [| 2 |] |]
    let isScan (t: Tensor) =
        match t.Op with
        | Op.Scan _ -> true
        | _ -> false
    Assert.That(Graph.topological (Array.append y d) |> Array.filter isScan |> Array.length, Is.EqualTo 1)

[<Test>]
let ``a carry without a tangent stays without one`` () =
    let body, _ = Lambda.trace [| vector; vector; vector |] (fun p -> [| p[0] * 0.5; p[1] + p[0] * p[2]; p[2] |])
    let a, b, c = Op.input "a" DType.F64 [| 2 |], Op.input "b" DType.F64 [| 2 |], Op.input "c" DType.F64 [| 2 |]
    let loop = { Body = body; Captured = 0; Carried = 3; Length = 4; Reverse = false }
    let r = Op.scan loop [| a; b; c |]
    let d = Jvp.jvp r [| c |] [| c |]
    let carried (t: Tensor) =
        match t.Op with
        | Op.Scan s -> Some s.Carried
        | _ -> None
    // c has a tangent, and gives one to b; a has none.
    Assert.That(Graph.topological d |> Array.choose carried, Is.EqualTo<int> [| 5 |])
    Assert.That(d[0], Is.EqualTo(Calculus.zeros a))

[<Test>]
let ``a loop of no steps passes the tangents of its carries on`` () =
    let body, _ = Lambda.trace [| vector; vector |] (fun p -> [| f64 [| 2 |] [ 1.0; 2.0 ]; p[1] |])
    for length in [ 0; 1 ] do
        let loop = { Body = body; Captured = 1; Carried = 1; Length = length; Reverse = false }
        let constant, x, y =
            f64 [| 2 |] [ 1.0; 2.0 ], f64 [| 2 |] [ 3.0; 4.0 ], f64 [| length; 2 |] (numbers 1 (2 * length))
        let r = Op.scan loop [| constant; x; y |]
        let d = Jvp.jvp [| r[0] |] [| x |] [| x |]
        let expected = if length = 0 then x else f64 [| 2 |] [ 0.0; 0.0 ]
        assertSame $"{length} steps" (interpreted expected) (interpreted d[0])

[<Test>]
let ``wrong tangents are errors`` () =
    let x, n = Op.input "x" DType.F32 [| 2 |], Op.input "n" DType.I32 [| 2 |]
    raises<ShapeException> "jvp: a tangent must have the type and shape of its variable, got f32[2] x f32[3]" (fun () ->
        Jvp.jvp [| x |] [| x |] [| zeros [| 3 |] |] |> ignore)
    raises<ShapeException> "jvp: the variables must be floats, got i32[2]; cast them before they are used" (fun () ->
        Jvp.jvp [| x |] [| n |] [| n |] |> ignore)

// ------------------------------------------------------------------------------------------------ higher orders

/// A loop in a loop as a function of one number, and the same without loops.
let private loops (t: Tensor) (unrolled: bool) =
    let step (h: Tensor) (k: Tensor) = sin (h * t) + k * 0.3
    let inner (h: Tensor) =
        if unrolled then
            let h1 = step h t
            let h2 = step h1 t
            h2 * h1
        else
            let body, own = Lambda.trace [| DType.F64, [||] |] (fun p -> let n = step p[0] t in [| n; n |])
            let r =
                Op.scan
                    { Body = body; Captured = own.Length; Carried = 1; Length = 2; Reverse = false }
                    (Array.append own [| h |])
            r[0] * reshape [||] (slice 0 0 1 r[1])
    let outer (h: Tensor) = tanh (inner h + t)
    if unrolled then
        outer (outer (outer (t * t)))
    else
        let body, own = Lambda.trace [| DType.F64, [||] |] (fun p -> [| outer p[0] |])
        (Op.scan
            { Body = body; Captured = own.Length; Carried = 1; Length = 3; Reverse = false }
            (Array.append own [| t * t |]))[0]

[<Test>]
let ``derivatives through nested loops are right to third order, in any nesting of the modes`` () =
    let t, one = f64 [||] [ 0.7 ], f64 [||] [ 1.0 ]
    let forward (y: Tensor) = (Jvp.jvp [| y |] [| t |] [| one |]).[0]
    let reverse (y: Tensor) = (Grad.gradient y [| t |])[0]
    let flat = loops t true
    let expected = flat |> forward |> forward |> forward
    let modes = [ "forward", forward; "reverse", reverse ]
    for a, first in modes do
        for b, second in modes do
            for c, third in modes do
                let y = loops t false |> first |> second |> third
                agree 1e-9 $"{a}, {b}, {c}" expected y
                let compiled = Program.withoutRewriting (fun () -> computed y)
                assertSame $"{a}, {b}, {c}, compiled" (interpreted y) compiled
                assertClose 1e-9 $"{a}, {b}, {c}, rewritten" (interpreted y) (computed y)

[<Test>]
let ``a chain of a million has tangents and examples`` () =
    let mutable failure: exn = null
    let run () =
        try
            let x = Op.input "x" DType.F32 [| 2 |]
            let chain n = Seq.fold (fun y _ -> y + x) x (seq { 1..n })
            let v, many = tensor [ 1.0; 2.0 ], tensor [ 1.0; 2.0; 3.0; 4.0 ] |> reshape [| 2; 2 |]
            let transformed n =
                let y = [| chain n |]
                (Jvp.jvp y [| x |] [| v |]).[0], (Vmap.vmap 2 y [| x |] [| many |]).[0]
            let tangent, examples = transformed 1_000_000
            Assert.That(Graph.isClosed tangent && Graph.isClosed examples)
            let tangent, examples = transformed 20_000
            Assert.That(floatsOf tangent, Is.EqualTo<float> [| 20001.0; 40002.0 |])
            Assert.That(floatsOf examples, Is.EqualTo<float> [| for i in 1..4 -> 20001.0 * float i |])
        with e ->
            failure <- e
    let thread = Thread(run, 1 <<< 20)
    thread.Start()
    thread.Join()
    if not (isNull failure) then raise (AggregateException failure)

// ------------------------------------------------------------------------------------------------ random operands

let private sampleNames = VmapTests.samples |> List.map fst |> List.filter (fun n -> n <> "bitCast") // of f32 only

/// The samples of batching again (extents 0 and 1 among them), as functions of f64.
[<TestCaseSource(nameof sampleNames)>]
let ``jvp . w = v . vjp on random shapes`` (name: string) =
    for seed in 0..15 do
        let random = Random(2000 + seed)
        let s = (dict VmapTests.samples)[name] random
        let operand (e: VmapTests.Elements, shape: int[]) =
            let count = Shape.count shape
            match e with
            | VmapTests.Number d when DType.isFloat d ->
                ofFloats DType.F64 shape (Array.init count (fun _ -> 0.2 + random.NextDouble()))
            | VmapTests.Number d -> ofInts d shape (Array.init count (fun _ -> random.NextInt64 9L))
            | VmapTests.Below(d, bound) ->
                ofInts d shape (Array.init count (fun _ -> random.NextInt64(int64 (max 1 bound))))
        let operands = s.Operands |> Array.map operand
        let xs = operands |> Array.filter (fun x -> x.DType = DType.F64)
        let ys = s.Function operands |> Array.filter (fun y -> y.DType = DType.F64 && y.Op <> Op.BitCast)
        if xs.Length > 0 && ys.Length > 0 && xs.Length < 5 then
            let v, w = directions 300 xs, directions 400 ys
            let d = Jvp.jvp ys xs v
            agree 1e-11 name (inner v (Grad.vjp ys w xs)) (inner d w)

[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Programs> |])>]
type Random() =

    [<Law 60>]
    member _.``jvp . w = v . vjp for random programs``(p: SmoothProgram) =
        let leaves =
            Graph.topological p.Roots
            |> Array.filter (fun t ->
                match t.Op with
                | Op.Literal _ -> t.DType = DType.F64
                | _ -> false)
        let roots = p.Roots |> Array.filter (fun r -> r.DType = DType.F64)
        if leaves.Length > 0 && roots.Length > 0 then
            let v, w = directions 500 leaves, directions 600 roots
            let d = Jvp.jvp roots leaves v
            // Both are sums of many terms: agreement is relative to those, not to their sum.
            let forward, reverse = inner d w, inner v (Grad.vjp roots w leaves)
            let scale = value (inner (Array.map abs d) (Array.map abs w))
            Assert.That(value forward, Is.EqualTo(value reverse).Within(1e-9 * (1.0 + scale)))
