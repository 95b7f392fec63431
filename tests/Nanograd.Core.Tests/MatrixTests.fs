/// Functions of whole matrices and their norms.
module Nanograd.Core.Tests.MatrixTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd
open Nanograd.Core.Tests.LinalgTests

let private value (t: Tensor) = item t

// ------------------------------------------------------------------------------------------------ pseudoinverse

[<Test>]
let ``the pseudoinverse meets Penrose's four conditions, for every rank and shape`` () =
    for name, square in nasty |> List.filter (fun (n, _) -> n <> "graded" && n <> "Hilbert") do
        for a in
            [ square; slice 1 0 (max 1 (square.Shape[1] - 2)) square; slice 0 0 (max 1 (square.Shape[0] - 2)) square ] do
            let p, what = Linalg.pinv a, $"{name} {Shape.show a.Shape}"
            let close expected actual = near 2e-12 what expected actual
            close a (matmul (matmul a p) a)
            close p (matmul (matmul p a) p)
            let left, right = matmul a p, matmul p a
            Assert.That(largest (left - transpose left), Is.LessThan 1e-12, what)
            Assert.That(largest (right - transpose right), Is.LessThan 1e-12, what)

[<Test>]
let ``derivatives of the pseudoinverse and of least squares`` () =
    for shape in [ [ 3; 3 ]; [ 4; 2 ]; [ 2; 4 ] ] do
        let a = if shape[0] = shape[1] then random 60 shape + eye 3 * 2.0 else random 60 shape // well conditioned
        derivatives $"pinv {shape}" (fun xs -> [ Linalg.pinv xs[0] ]) [ a ]
        derivatives $"lstsq {shape}" (fun xs -> [ Linalg.lstsq xs[0] xs[1] ]) [ a; random 61 [ shape[0]; 2 ] ]
    // Of constant rank, but not of full rank: a product of factors.
    let product (xs: Tensor list) = [ Linalg.pinvWith 1e-9 (matmul xs[0] xs[1]) ]
    derivatives "rank one" product [ random 62 [ 3; 1 ]; random 63 [ 1; 3 ] ]

[<Test>]
let ``least squares: the residual is orthogonal to the columns, and the solution is shortest`` () =
    let a, b = random 64 [ 6; 3 ], random 65 [ 6 ]
    let x = Linalg.lstsq a b
    Assert.That(x.Shape, Is.EqualTo<int[]> [| 3 |])
    Assert.That(largest (matmul (transpose a) (matmul a x - b)), Is.LessThan 1e-13)
    let wide = transpose a
    let x = Linalg.lstsq wide (random 66 [ 3; 2 ])
    near 1e-13 "exact" (random 66 [ 3; 2 ]) (matmul wide x)
    near 1e-13 "no part outside of the rows" x (matmul (Linalg.pinv wide) (matmul wide x))

[<Test>]
let ``rank and condition`` () =
    let rank (a: Tensor) = (computed (Linalg.matrixRank a)).[0].Int
    for name, expected in
        [ "identity", 4L
          "zero", 0L
          "rank one", 1L
          "rank two", 2L
          "diagonal", 3L
          "nilpotent", 3L
          "count", 2L
          "Hilbert", 6L ] do
        Assert.That(rank (nasty |> List.find (fun (n, _) -> n = name) |> snd), Is.EqualTo expected, name)
    Assert.That(rank (f64 [| 3; 0 |] []), Is.EqualTo 0L)
    let a = f64 [| 2; 2 |] [ 4.0; 0.0; 0.0; -0.5 ]
    Assert.That(value (Linalg.cond a), Is.EqualTo(8.0).Within 1e-14)
    Assert.That(value (Linalg.condBy MatrixNorm.MinusTwo a), Is.EqualTo(0.125).Within 1e-15)
    Assert.That(value (Linalg.condBy MatrixNorm.Infinity a), Is.EqualTo(8.0).Within 1e-14)
    Assert.That(
        value (Linalg.cond (eye 2 * 0.0 + f64 [| 2; 2 |] [ 1.0; 0.0; 0.0; 0.0 ])),
        Is.EqualTo Double.PositiveInfinity
    )

// ------------------------------------------------------------------------------------------------ powers, exponential

[<Test>]
let ``powers`` () =
    let a = random 70 [ 3; 3 ] + eye 3
    near 0.0 "0" (eye 3) (Linalg.matrixPower 0 a)
    near 1e-13 "7" (List.reduce matmul (List.replicate 7 a)) (Linalg.matrixPower 7 a)
    near 1e-12 "-3" (Linalg.inv (matmul a (matmul a a))) (Linalg.matrixPower -3 a)
    derivatives "power" (fun xs -> [ Linalg.matrixPower 3 xs[0]; Linalg.matrixPower -2 xs[0] ]) [ a ]
    let fibonacci = Linalg.matrixPower 10 (i64 [| 2; 2 |] [ 1L; 1L; 1L; 0L ] |> cast DType.F64)
    Assert.That(floatsOf fibonacci, Is.EqualTo<float[]> [| 89.0; 55.0; 55.0; 34.0 |])

[<Test>]
let ``exp A exp -A = I, exp of a sum that commutes, and what is known`` () =
    for scale in [ 1e-3; 0.3; 2.0; 20.0 ] do
        let a = random 71 [ 4; 4 ] * scale
        let e = Linalg.matrixExp a
        let condition = largest e * largest (Linalg.matrixExp (-a))
        Assert.That(largest (matmul e (Linalg.matrixExp (-a)) - eye 4) / condition, Is.LessThan 1e-13, $"{scale}")
        near 1e-12 $"{scale}: exp 2A" (matmul e e) (Linalg.matrixExp (a * 2.0))
    near 0.0 "zero" (eye 3) (Linalg.matrixExp (eye 3 * 0.0))
    let diagonal = f64 [| 3; 3 |] [ 1; 0; 0; 0; -20; 0; 0; 0; 3 ]
    near 1e-13 "diagonal" (eye 3 * exp (f64 [| 3 |] [ 1; -20; 3 ])) (Linalg.matrixExp diagonal)
    let nilpotent = f64 [| 3; 3 |] [ 0; 1; 2; 0; 0; 3; 0; 0; 0 ]
    near 1e-15 "nilpotent" (f64 [| 3; 3 |] [ 1.0; 1.0; 3.5; 0.0; 1.0; 3.0; 0.0; 0.0; 1.0 ]) (Linalg.matrixExp nilpotent)
    for angle in [ 0.1; 1.0; 30.0 ] do
        let rotation = Linalg.matrixExp (f64 [| 2; 2 |] [ 0.0; -angle; angle; 0.0 ])
        near 1e-13 "rotation" (f64 [| 2; 2 |] [ cos angle; -(sin angle); sin angle; cos angle ]) rotation
    let symmetric = positive 72 4
    let w, v = Linalg.eigh symmetric
    near 1e-13 "by eigenvalues" (matmul (v * exp w) (transpose v)) (Linalg.matrixExp symmetric)

[<Test>]
let ``matrices of a batch are squared each as often as they need`` () =
    let matrices = [ random 73 [ 3; 3 ] * 1e-3; random 74 [ 3; 3 ] * 30.0; eye 3 * -1e4 ]
    batchedAsLoop "matrixExp" (fun xs -> [ Linalg.matrixExp xs[0] ]) (List.map List.singleton matrices)
    Assert.That(floatsOf (Linalg.matrixExp (eye 2 * 1e12)) |> Array.forall Double.IsNaN, "too large")
    let single = Linalg.matrixExp (cast DType.F32 (random 75 [ 3; 3 ] * 3.0))
    near 3e-6 "f32" (Linalg.matrixExp (random 75 [ 3; 3 ] * 3.0)) (cast DType.F64 single)

[<Test>]
let ``derivatives of the exponential`` () =
    derivatives "matrixExp" (fun xs -> [ Linalg.matrixExp xs[0] ]) [ random 76 [ 3; 3 ] ]
    derivatives "with squarings" (fun xs -> [ Linalg.matrixExp xs[0] ]) [ random 77 [ 2; 2 ] * 9.0 - eye 2 * 9.0 ]
    derivatives "stack" (fun xs -> [ Linalg.matrixExp xs[0] ]) [ random 78 [ 2; 2; 2 ] ]

// ------------------------------------------------------------------------------------------------ norms

let private orders = [ 0.5; 1.0; 1.7; 2.0; 3.0; -1.0; -2.0; infinity; -infinity ]

[<Law 60>]
let ``norms are homogeneous, and obey the triangle inequality from 1 on`` (seed: int) =
    let x, y, c = random seed [ 5 ], random (seed + 1) [ 5 ], (numbers seed 1).[0] * 3.0
    for p in orders do
        let norm v = value (Linalg.vectorNorm p [ 0 ] v)
        Assert.That(norm (x * c), Is.EqualTo(norm x * abs c).Within(1e-12 * (1.0 + norm x)), $"p = {p}")
        if p >= 1.0 then Assert.That(norm (x + y), Is.LessThanOrEqualTo((norm x + norm y) * (1.0 + 1e-14)), $"p = {p}")
    let a, b = random (seed + 2) [ 3; 4 ], random (seed + 3) [ 4; 2 ]
    for order in [ MatrixNorm.Frobenius; MatrixNorm.Nuclear; MatrixNorm.One; MatrixNorm.Two; MatrixNorm.Infinity ] do
        let norm m = value (Linalg.matrixNorm order m)
        Assert.That(
            norm (matmul a b),
            Is.LessThanOrEqualTo(norm a * norm b * (1.0 + 1e-13)),
            $"{order}: submultiplicative"
        )
        Assert.That(norm (a * c), Is.EqualTo(norm a * abs c).Within 1e-12, $"{order}: homogeneous")

[<Test>]
let ``norms that are known`` () =
    let x = f64 [| 2; 2 |] [ 3.0; -4.0; 0.0; 12.0 ]
    for p, expected in
        [ 0.0, 3.0
          1.0, 19.0
          2.0, 13.0
          infinity, 12.0
          -infinity, 0.0
          -1.0, 0.0
          0.5, (sqrt 3.0 + 2.0 + sqrt 12.0) ** 2.0 ] do
        Assert.That(value (Linalg.vectorNorm p [ 0; 1 ] x), Is.EqualTo(expected).Within 1e-12, $"{p}")
    Assert.That(value (Linalg.vectorNorm -1.0 [ 0 ] (f64 [| 2 |] [ 2.0; 2.0 ])), Is.EqualTo 1.0)
    Assert.That(value (Linalg.norm x), Is.EqualTo 13.0)
    for order, expected in
        [ MatrixNorm.Frobenius, 13.0
          MatrixNorm.One, 16.0
          MatrixNorm.MinusOne, 3.0
          MatrixNorm.Infinity, 12.0
          MatrixNorm.MinusInfinity, 7.0
          MatrixNorm.Nuclear, sqrt (169.0 + 2.0 * 36.0) ] do
        Assert.That(value (Linalg.matrixNorm order x), Is.EqualTo(expected).Within 1e-12, $"{order}")
    let top, bottom = value (Linalg.matrixNorm MatrixNorm.Two x), value (Linalg.matrixNorm MatrixNorm.MinusTwo x)
    Assert.That(top * bottom, Is.EqualTo(36.0).Within 1e-12)
    Assert.That(floatsOf (Linalg.vectorNorm 2.0 [ 1 ] x), Is.EqualTo<float[]> [| 5.0; 12.0 |])
    for order in [ MatrixNorm.Frobenius; MatrixNorm.Nuclear; MatrixNorm.One; MatrixNorm.Two; MatrixNorm.Infinity ] do
        Assert.That(value (Linalg.matrixNorm order (f64 [| 0; 0 |] [])), Is.EqualTo 0.0, $"{order} of nothing")

[<Test>]
let ``derivatives of norms, and finite gradients at zeros`` () =
    for p in orders do
        derivatives $"vectorNorm {p}" (fun xs -> [ Linalg.vectorNorm p [ 0 ] xs[0] ]) [ random 80 [ 4 ] ]
        for x in [ f64 [| 3 |] [ 0.0; 0.0; 0.0 ]; f64 [| 3 |] [ 1.0; 0.0; 2.0 ] ] do
            let gradient = floatsOf (grad (Linalg.vectorNorm p [ 0 ]) x)
            Assert.That(gradient |> Array.forall Double.IsFinite, $"{p}")
    for order in
        [ MatrixNorm.Frobenius
          MatrixNorm.Nuclear
          MatrixNorm.One
          MatrixNorm.MinusOne
          MatrixNorm.Two
          MatrixNorm.MinusTwo
          MatrixNorm.Infinity
          MatrixNorm.MinusInfinity ] do
        derivatives $"matrixNorm {order}" (fun xs -> [ Linalg.matrixNorm order xs[0] ]) [ random 81 [ 3; 3 ] ]
    derivatives
        "cond"
        (fun xs -> [ Linalg.cond xs[0]; Linalg.condBy MatrixNorm.One xs[0] ])
        [ random 82 [ 3; 3 ] + eye 3 ]

// ------------------------------------------------------------------------------------------------ chains, vectors

[<Law 40>]
let ``a chain is multiplied in the cheapest order`` (seed: int) =
    let choose = Random seed
    let sizes = Array.init (3 + choose.Next 4) (fun _ -> choose.Next(1, 6))
    let chain = [ for i in 0 .. sizes.Length - 2 -> random (seed + i) [ sizes[i]; sizes[i + 1] ] ]
    let y = Linalg.multiDot chain
    near 1e-12 "product" (List.reduce matmul chain) y
    let flops =
        Graph.topological [ y ]
        |> Array.sumBy (fun t ->
            match t.Op with
            | Op.Dot d -> t.Count * t.Inputs[0].Shape[d.LeftSum[0]]
            | _ -> 0)
    let rec cheapest i j =
        if i = j then
            0
        else
            Seq.min (
                seq {
                    for k in i .. j - 1 -> cheapest i k + cheapest (k + 1) j + sizes[i] * sizes[k + 1] * sizes[j + 1]
                }
            )
    Assert.That(flops, Is.EqualTo(cheapest 0 (sizes.Length - 2)))

[<Test>]
let ``chains may begin and end with vectors`` () =
    let a, b, c = random 1 [ 3 ], random 2 [ 3; 4 ], random 3 [ 4 ]
    Assert.That((Linalg.multiDot [ a; b; c ]).Shape, Is.Empty)
    Assert.That(value (Linalg.multiDot [ a; b; c ]), Is.EqualTo(value (sum (matmul (matmul a b) c))).Within 1e-14)
    Assert.That((Linalg.multiDot [ a; b ]).Shape, Is.EqualTo<int[]> [| 4 |])
    Assert.That((Linalg.multiDot [ b; c ]).Shape, Is.EqualTo<int[]> [| 3 |])

[<Test>]
let ``trace, cross product, Vandermonde's matrix`` () =
    let a = f64 [| 2; 3 |] [ 1; 2; 3; 4; 5; 6 ]
    Assert.That(value (Linalg.trace a), Is.EqualTo 6.0)
    Assert.That(floatsOf (Linalg.trace (stack 0 [ a; a * 2.0 ])), Is.EqualTo<float[]> [| 6.0; 12.0 |])
    let x, y = random 4 [ 2; 3 ], random 5 [ 3 ]
    let z = Linalg.cross 1 x y
    Assert.That(
        largest (sumOver [ 1 ] (z * x)) + largest (sumOver [ 1 ] (z * y)),
        Is.LessThan 1e-15,
        "orthogonal to both"
    )
    near 1e-15 "swapped" (-z) (Linalg.cross -1 y x)
    derivatives "cross" (fun xs -> [ Linalg.cross 1 xs[0] xs[1] ]) [ x; y ]
    Assert.That(
        floatsOf (Linalg.vander 3 (f64 [| 2 |] [ 2.0; 3.0 ])),
        Is.EqualTo<float[]> [| 1.0; 2.0; 4.0; 1.0; 3.0; 9.0 |]
    )
    Assert.That((Linalg.vander 0 y).Shape, Is.EqualTo<int[]> [| 3; 0 |])

[<Test>]
let ``random orthogonal matrices`` () =
    for shape in [ [| 4; 4 |]; [| 5; 2 |]; [| 2; 5 |]; [| 3; 2; 2 |] ] do
        let q = Linalg.orthogonal (Random.key 3L) shape
        Assert.That(q.Shape, Is.EqualTo<int[]> shape)
        let m = reshape [| shape[0]; -1 |] q
        let gram = if m.Shape[0] < m.Shape[1] then matmul m (transpose m) else matmul (transpose m) m
        Assert.That(largest (gram - cast DType.F32 (eye gram.Shape[0])), Is.LessThan 1e-6)
    // No column is preferred: signs on the diagonal are both.
    let corner seed = value (Linalg.orthogonal (Random.key seed) [| 2; 2 |] |> slice 0 0 1 |> slice 1 0 1 |> sum)
    let corners = [ for seed in 1L .. 40L -> corner seed ]
    Assert.That(corners |> List.filter (fun c -> c > 0.0) |> List.length, Is.InRange(10, 30))

[<Test>]
let ``mistakes of shape are named`` () =
    let x (shape: int list) = Op.input "x" DType.F32 (List.toArray shape)
    for message, action in
        [ "multiDot: inner axes of operands 0 and 1 must agree (3 and 2), got f32[2,3] x f32[2,3]",
          (fun () -> Linalg.multiDot [ x [ 2; 3 ]; x [ 2; 3 ] ])
          "multiDot: operand 1 must be a matrix, got f32[2,3] x f32[3] x f32[3]; the first and the last may be vectors",
          (fun () -> Linalg.multiDot [ x [ 2; 3 ]; x [ 3 ]; x [ 3 ] ])
          "multiDot: at least two matrices are needed, got 1", (fun () -> Linalg.multiDot [ x [ 2; 3 ] ])
          "lstsq: the right sides must have 4 rows, got f32[4,2] x f32[3]",
          (fun () -> Linalg.lstsq (x [ 4; 2 ]) (x [ 3 ]))
          "cross: axis 0 must have 3 elements, got f32[2] x f32[2]", (fun () -> Linalg.cross 0 (x [ 2 ]) (x [ 2 ]))
          "matrixExp: the matrix must be square (2 and 3), got f32[2,3]", (fun () -> Linalg.matrixExp (x [ 2; 3 ]))
          "cond: the matrix must be square (2 and 3), got f32[2,3]",
          (fun () -> Linalg.condBy MatrixNorm.One (x [ 2; 3 ]))
          "orthogonal: the shape must have at least two axes, got [3]",
          (fun () -> Linalg.orthogonal (Random.key 1L) [| 3 |]) ] do
        raises<ShapeException> message (action >> ignore)

// ------------------------------------------------------------------------------------------------ other transforms

/// Functions of one square matrix, all of whose results are smooth at a generic one.
let private smooth: (string * (Tensor -> Tensor)) list =
    let joined (ts: Tensor list) = concat 0 [ for t in ts -> reshape [| -1 |] t ]
    let definite (a: Tensor) = matmul a (transpose a) + eye a.Shape[0]
    [ "cholesky", definite >> Linalg.cholesky
      "triangularSolve", (fun a -> Linalg.triangularSolve a a)
      "solve", (fun a -> Linalg.solve a (sin a))
      "inv", Linalg.inv
      "det", Linalg.det
      "slogdet", Linalg.slogdet >> snd
      "lu", (fun a -> let _, l, u = Linalg.lu a in joined [ l; u ])
      "qr", (fun a -> let q, r = Linalg.qr a in joined [ q; r ])
      "eigh", (fun a -> let w, v = Linalg.eigh a in joined [ w; v ])
      "svd", (fun a -> let u, s, vt = Linalg.svd a in joined [ u; s; vt ])
      "pinv", Linalg.pinv
      "matrixExp", Linalg.matrixExp
      "matrixPower", Linalg.matrixPower 3
      "nuclear norm", Linalg.matrixNorm MatrixNorm.Nuclear ]

let private names = smooth |> List.map fst

[<TestCaseSource(nameof names)>]
let ``forward mode is reverse mode transposed`` (name: string) =
    let f = smooth |> List.find (fun (n, _) -> n = name) |> snd
    let a, d = random 90 [ 3; 3 ] + eye 3, random 91 [ 3; 3 ]
    let y, tangent = jvp f a d
    let c = noise DType.F64 92 y.Shape
    let forward, reverse = value (sum (c * tangent)), value (sum (snd (vjp f a) c * d))
    Assert.That(forward, Is.EqualTo(reverse).Within(1e-11 * (1.0 + abs reverse)))

[<TestCaseSource(nameof names)>]
let ``vmap is a stack of single results, also of gradients`` (name: string) =
    let f = smooth |> List.find (fun (n, _) -> n = name) |> snd
    let matrices = [ random 93 [ 3; 3 ] + eye 3; random 94 [ 3; 3 ] + eye 3 ]
    let both g = near 1e-12 name (stack 0 (List.map g matrices)) (vmap g (stack 0 matrices))
    both f
    both (grad (f >> sin >> sum))

[<Test>]
let ``Hessians of matrix functions are symmetric`` () =
    for f in [ Linalg.det; Linalg.slogdet >> snd; Linalg.matrixNorm MatrixNorm.Nuclear ] do
        let h = hessian f (random 95 [ 3; 3 ] + eye 3) |> reshape [| 9; 9 |]
        near 1e-10 "Hessian" h (transpose h)
