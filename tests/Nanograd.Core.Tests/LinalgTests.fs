/// Linear algebra: the laws that define each function, on ordinary and nasty matrices; derivatives to the second order;
/// batches; edges and errors.
module Nanograd.Core.Tests.LinalgTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

// ------------------------------------------------------------------------------------------------ matrices

let internal random seed (shape: int list) = noise DType.F64 seed (List.toArray shape)
let internal eye n = Op.cast DType.F64 (eq (Op.iota DType.I64 [| n; n |] 0) (Op.iota DType.I64 [| n; n |] 1))
let private byRule rows columns (f: int -> int -> float) =
    f64
        [| rows; columns |]
        [ for i in 0 .. rows - 1 do
              for j in 0 .. columns - 1 -> f i j ]

/// Symmetric positive definite, of condition about 10.
let internal positive seed n = let a = random seed [ n; n ] in matmul a (transpose a) + eye n * 0.5

/// Square matrices of every kind that factorisations find hard, with names.
let internal nasty: (string * Tensor) list =
    [ "random", random 1 [ 5; 5 ]
      "one by one", random 2 [ 1; 1 ]
      "identity", eye 4
      "zero", eye 3 * 0.0
      "negative", eye 3 * -2.0
      "diagonal", byRule 4 4 (fun i j -> if i = j then float [| 3; -1; 3; 0 |].[i] else 0.0)
      "permutation", byRule 4 4 (fun i j -> if j = [| 2; 0; 3; 1 |].[i] then 1.0 else 0.0)
      "exchange", byRule 2 2 (fun i j -> if i = j then 0.0 else 1.0)
      "rank one", matmul (random 3 [ 5; 1 ]) (random 4 [ 1; 5 ])
      "rank two", matmul (random 5 [ 6; 2 ]) (random 6 [ 2; 6 ])
      "nilpotent", byRule 4 4 (fun i j -> if j = i + 1 then 1.0 else 0.0)
      "graded", byRule 5 5 (fun i j -> Math.Pow(10.0, -3.0 * float (i + j)) * (1.0 + float ((i * 7 + j * 3) % 5)))
      "Hilbert", byRule 6 6 (fun i j -> 1.0 / float (i + j + 1))
      "tiny", random 7 [ 4; 4 ] * 1e-160
      "huge", random 8 [ 4; 4 ] * 1e140
      "symmetric", positive 9 5
      "repeated", eye 6 + matmul (random 10 [ 6; 1 ]) (transpose (random 10 [ 6; 1 ]))
      "count", byRule 3 3 (fun i j -> float (3 * i + j + 1))
      "even", random 11 [ 6; 6 ]
      "larger", random 12 [ 17; 17 ] ]

let internal largest (t: Tensor) =
    floatsOf t |> Array.fold (fun m v -> if Double.IsNaN v then nan else max m (abs v)) 0.0

/// Equal within `tolerance` of a scale (default: the larger of the two).
let internal near (tolerance: float) (what: string) (expected: Tensor) (actual: Tensor) =
    Assert.That(actual.Shape, Is.EqualTo<int[]> expected.Shape, what)
    let scale = max (largest expected) 1e-300
    let scaled = largest ((actual - expected) / scale)
    Assert.That(scaled, Is.LessThanOrEqualTo tolerance, what)

let internal isOrthonormal what (q: Tensor) = // columns
    near 2e-14 (what + ": orthonormal columns") (eye q.Shape[q.Rank - 1]) (matmul (transpose q) q)

let internal lowerPart (x: Tensor) =
    let n, m = x.Shape[0], x.Shape[1] in
    where (ge (Op.iota DType.I64 [| n; m |] 0) (Op.iota DType.I64 [| n; m |] 1)) x (zerosLike x)

// ------------------------------------------------------------------------------------------------ derivatives

let private weighted (ys: Tensor list) =
    ys
    |> List.mapi (fun i y -> sum (reshape [| y.Count |] y * noise DType.F64 (50 + i) [| y.Count |]))
    |> List.reduce (+)

/// The derivative of a scalar function in a random direction: symbolic against central differences of fourth order.
let private differential tolerance (what: string) (f: Tensor list -> Tensor) (at: Tensor list) =
    let variables = at |> List.map (fun x -> Op.input "x" x.DType x.Shape)
    let y = f variables
    let gradients = Grad.gradient y (List.toArray variables)
    let directions = at |> List.mapi (fun i x -> noise DType.F64 (80 + i) x.Shape)
    let bind (values: Tensor list) t =
        let replacements = Collections.Generic.Dictionary<Hash, Tensor>()
        List.iter2 (fun (v: Tensor) x -> replacements[v.Hash] <- x) variables values
        (Substitute.apply replacements [| t |])[0]
    let inner = List.map2 (fun g d -> sum (g * d)) (List.ofArray gradients) directions |> List.reduce (+)
    let symbolic = item (bind at inner)
    let h = 1e-4
    let moved s = item (bind (List.map2 (fun x (d: Tensor) -> x + d * (s * h)) at directions) y)
    let numeric = (8.0 * (moved 1.0 - moved -1.0) - (moved 2.0 - moved -2.0)) / (12.0 * h)
    Assert.That(symbolic, Is.EqualTo(numeric).Within(tolerance * (1.0 + abs numeric)), what)

/// First and second derivatives of a function of tensors.
let internal derivatives (what: string) (f: Tensor list -> Tensor list) (at: Tensor list) =
    let first xs = weighted (f xs)
    differential 1e-7 what first at
    let second (xs: Tensor list) =
        Grad.gradient (first xs) (List.toArray xs) |> Array.map (fun g -> sin g) |> List.ofArray |> weighted
    differential 1e-5 (what + ", second order") second at

/// The compiled program gives the interpreter's bits, and a batch those of its members.
let internal batchedAsLoop (what: string) (f: Tensor list -> Tensor list) (members: Tensor list list) =
    let stacked = members |> List.transpose |> List.map (stack 0)
    let together = f stacked
    let apart = members |> List.map f
    together
    |> List.iteri (fun k y ->
        let expected = apart |> List.map (fun ys -> interpreted ys[k]) |> Array.concat
        assertSame $"{what}, result {k}: batch and loop" expected (interpreted y)
        let compiled = Program.withoutRewriting (fun () -> Program.evaluate [| y |])
        assertSame $"{what}, result {k}: compiled" expected (elements (Program.storage compiled[0])))

// ------------------------------------------------------------------------------------------------ triangular systems

[<TestCase(true, false, false)>]
[<TestCase(true, true, false)>]
[<TestCase(false, false, false)>]
[<TestCase(false, true, false)>]
[<TestCase(true, false, true)>]
[<TestCase(true, true, true)>]
[<TestCase(false, false, true)>]
[<TestCase(false, true, true)>]
let ``triangular systems of every kind`` (isLower: bool, isTransposed: bool, isUnit: bool) =
    for left in [ true; false ] do
        let options: Linalg.Triangle =
            { Lower = isLower
              Transposed = isTransposed
              UnitDiagonal = isUnit
              Left = left }
        let full = random 20 [ 4; 4 ] + eye 4 * 2.0 // the other triangle must not be read
        let part = if isLower then lowerPart full else transpose (lowerPart (transpose full))
        let part = if isUnit then where (eq (eye 4) (ones [| 1 |] |> cast DType.F64)) (eye 4) part else part
        let t = if isTransposed then transpose part else part
        let b = if left then random 21 [ 4; 3 ] else random 21 [ 3; 4 ]
        let x = Linalg.triangularSolveWith options full b
        near 1e-13 $"{options}" b (if left then matmul t x else matmul x t)
        derivatives $"{options}" (fun xs -> [ Linalg.triangularSolveWith options xs[0] xs[1] ]) [ full; b ]
        let vector = Linalg.triangularSolveWith options full (slice (if left then 1 else 0) 0 1 b |> reshape [| 4 |])
        near 0.0 "vector" (slice (if left then 1 else 0) 0 1 x |> reshape [| 4 |]) vector

[<Test>]
let ``right sides broadcast against stacks`` () =
    let t = stack 0 [ positive 30 3; positive 31 3 ]
    let b = random 32 [ 3 ]
    let x = Linalg.solve t b
    Assert.That(x.Shape, Is.EqualTo<int[]> [| 2; 3 |])
    near 1e-13 "solution" (stack 0 [ b; b ]) (einsum "bij,bj->bi" [ t; x ])
    let many = random 33 [ 5; 1; 3; 2 ]
    let x = Linalg.solve t many
    Assert.That(x.Shape, Is.EqualTo<int[]> [| 5; 2; 3; 2 |])
    near 1e-13 "many" (broadcastTo [| 5; 2; 3; 2 |] many) (matmul (broadcastTo [| 5; 2; 3; 3 |] t) x)

// ------------------------------------------------------------------------------------------------ Cholesky

[<Test>]
let ``Cholesky: A = L L^T, L lower with a positive diagonal`` () =
    for n in [ 1; 2; 5; 16 ] do
        let a = positive n n
        let l = Linalg.cholesky a
        near 1e-14 "product" a (matmul l (transpose l))
        near 0.0 "lower" (lowerPart l) l
        Assert.That(floatsOf (einsum "ii->i" [ l ]) |> Array.min, Is.GreaterThan 0.0)
        near 0.0 "upper" (transpose l) (Linalg.choleskyUpper a)
        let b = random 3 [ n; 2 ]
        near 1e-12 "system" b (matmul a (Linalg.choleskySolve l b))

[<Test>]
let ``what is not positive definite has a factor of NaN, alone in its batch`` () =
    let bad = [ eye 3 * -1.0; eye 3 * 0.0; f64 [| 3; 3 |] [ 1; 2; 0; 2; 1; 0; 0; 0; 1 ]; eye 3 * nan ]
    let a = stack 0 (positive 1 3 :: bad)
    Assert.That(
        computed (Linalg.isPositiveDefinite a) |> Array.map (fun c -> c.Int),
        Is.EqualTo<int64[]> [| 1L; 0L; 0L; 0L; 0L |]
    )
    let l = floatsOf (Linalg.cholesky a)
    Assert.That(l[..8] |> Array.forall Double.IsFinite)
    Assert.That(l[9..] |> Array.forall Double.IsNaN)

[<Test>]
let ``derivatives of Cholesky, also for matrices that are not symmetric`` () =
    derivatives "cholesky" (fun xs -> [ Linalg.cholesky xs[0] ]) [ positive 1 4 + random 2 [ 4; 4 ] * 0.1 ]
    derivatives "one by one" (fun xs -> [ Linalg.cholesky xs[0] ]) [ positive 1 1 ]
    let log (xs: Tensor list) = [ log (einsum "ii->i" [ Linalg.cholesky xs[0] ]) ]
    derivatives "log of the diagonal" log [ positive 3 3 ]

// ------------------------------------------------------------------------------------------------ LU, systems, determinants

let private shapesOf (a: Tensor) = [ a; slice 1 0 (max 1 (a.Shape[1] - 2)) a; slice 0 0 (max 1 (a.Shape[0] - 2)) a ]

[<Test>]
let ``LU: P A = L U with small multipliers, for every kind and shape of matrix`` () =
    for name, square in nasty do
        for a in shapesOf square do
            let what = name + Shape.show a.Shape
            let p, l, u = Linalg.lu a
            near 4e-15 what (matmul p a) (matmul l u)
            near 0.0 (what + ": P is a permutation") (eye a.Shape[0]) (matmul p (transpose p))
            near 0.0 (what + ": L is lower") (lowerPart l) l
            near 0.0 (what + ": U is upper") (lowerPart (transpose u)) (transpose u)
            Assert.That(largest l, Is.EqualTo 1.0, what + ": multipliers")

[<Test>]
let ``derivatives of LU, square, tall and wide`` () =
    for shape in [ [ 3; 3 ]; [ 4; 2 ]; [ 2; 4 ]; [ 1; 1 ]; [ 3; 1 ]; [ 1; 3 ] ] do
        let f (xs: Tensor list) = let _, l, u = Linalg.lu xs[0] in [ l; u ]
        derivatives $"lu {shape}" f [ random 40 shape ]

let private regular =
    nasty
    |> List.filter (fun (name, _) ->
        List.contains
            name
            [ "random"
              "one by one"
              "identity"
              "negative"
              "permutation"
              "exchange"
              "tiny"
              "huge"
              "symmetric"
              "repeated"
              "even"
              "larger" ])

[<Test>]
let ``solutions and inverses`` () =
    for name, a in regular do
        let n = a.Shape[0]
        let b = random 41 [ n; 2 ]
        near 1e-12 name b (matmul a (Linalg.solve a b))
        near 1e-12 (name + ": inverse") (eye n) (matmul (Linalg.inv a) a)
    let hilbert = nasty |> List.find (fun (n, _) -> n = "Hilbert") |> snd
    let b = matmul hilbert (random 42 [ 6; 1 ])
    near 1e-14 "a badly conditioned system has a small residual" b (matmul hilbert (Linalg.solve hilbert b))

[<Law 40>]
let ``det (A B) = det A det B, and slogdet is its logarithm`` (seed: int) =
    let n = 1 + abs (seed % 5)
    let a, b = random seed [ n; n ], random (seed + 1) [ n; n ]
    let value x = item (Linalg.det x)
    Assert.That(value (matmul a b), Is.EqualTo(value a * value b).Within 1e-13)
    let sign, logarithm = Linalg.slogdet a
    Assert.That(item (sign * exp logarithm), Is.EqualTo(value a).Within 1e-13)
    Assert.That(value (transpose a), Is.EqualTo(value a).Within 1e-13)

[<Test>]
let ``determinants that are known`` () =
    for name, expected in
        [ "identity", 1.0
          "zero", 0.0
          "negative", -8.0
          "diagonal", 0.0
          "permutation", -1.0
          "exchange", -1.0
          "nilpotent", 0.0 ] do
        let a = nasty |> List.find (fun (n, _) -> n = name) |> snd
        Assert.That(item (Linalg.det a), Is.EqualTo expected, name)
        let sign, logarithm = Linalg.slogdet a
        Assert.That(item sign, Is.EqualTo(float (Math.Sign expected)), name)
        Assert.That(item logarithm, Is.EqualTo(log (abs expected)).Within 1e-15, name)
    let wide = eye 40 * 1e10 // 10^400 is no double
    Assert.That(item (snd (Linalg.slogdet wide)), Is.EqualTo(400.0 * log 10.0).Within 1e-9)

[<Test>]
let ``derivatives of solutions, inverses and determinants`` () =
    let a, b = random 50 [ 3; 3 ] + eye 3, random 51 [ 3; 2 ]
    derivatives "solve" (fun xs -> [ Linalg.solve xs[0] xs[1] ]) [ a; b ]
    derivatives "solve, vector" (fun xs -> [ Linalg.solve xs[0] xs[1] ]) [ a; random 52 [ 3 ] ]
    derivatives "inv" (fun xs -> [ Linalg.inv xs[0] ]) [ a ]
    derivatives "det" (fun xs -> [ Linalg.det xs[0] ]) [ a ]
    derivatives "slogdet" (fun xs -> [ snd (Linalg.slogdet xs[0]) ]) [ a ]
    derivatives "stack" (fun xs -> [ Linalg.inv xs[0]; Linalg.det xs[0] ]) [ stack 0 [ a; transpose a ] ]

[<Test>]
let ``the determinant of a singular matrix has the gradient of its cofactors`` () =
    for values, cofactors in
        [ [ 1; 2; 3; 4; 5; 6; 7; 8; 9 ], [ -3; 6; -3; 6; -12; 6; -3; 6; -3 ]
          [ 0; 1; 0; 0; 0; 0; 0; 0; 1 ], [ 0; 0; 0; -1; 0; 0; 0; 0; 0 ]
          [ 1; 0; 0; 0; 1; 0; 0; 0; 0 ], [ 0; 0; 0; 0; 0; 0; 0; 0; 1 ]
          [ 1; 0; 0; 0; 0; 0; 0; 0; 0 ], [ 0; 0; 0; 0; 0; 0; 0; 0; 0 ] ] do
        let a = f64 [| 3; 3 |] (List.map float values)
        let expected = f64 [| 3; 3 |] (List.map float cofactors)
        let actual = grad Linalg.det a
        Assert.That(largest (actual - expected), Is.LessThan 1e-7, $"{values}")

[<Test>]
let ``third derivatives, too`` () =
    let third f (x: Tensor) =
        let along g (x: Tensor) = Grad.gradient (g x) [| x |] |> Array.exactlyOne |> sum
        along (along f) x
    let cubic (x: Tensor) = Linalg.det (x * eye 3) // x^3 for a scalar x
    let x = Op.input "x" DType.F64 [||]
    Assert.That(
        floatsOf (
            (Substitute.apply
                (dict [ x.Hash, f64 [||] [ 2.0 ] ] |> Collections.Generic.Dictionary)
                (Grad.gradient (third cubic x) [| x |]))[0]
        ),
        Is.EqualTo<float[]>([| 6.0 |]).Within 1e-10
    )

// ------------------------------------------------------------------------------------------------ QR

[<Test>]
let ``QR: orthonormal columns times an upper triangle with a nonnegative diagonal`` () =
    for name, square in nasty do
        for a in shapesOf square do
            for complete in [ false; true ] do
                let what = $"{name} {Shape.show a.Shape} {complete}"
                let q, r = if complete then Linalg.qrComplete a else Linalg.qr a
                let m, n = a.Shape[0], a.Shape[1]
                Assert.That(q.Shape, Is.EqualTo<int[]> [| m; (if complete then m else min m n) |])
                near 4e-15 what a (matmul q r)
                isOrthonormal what q
                near 0.0 (what + ": upper") (lowerPart (transpose r)) (transpose r)
                let k = min m n
                let d = floatsOf (einsum "ii->i" [ r |> slice 0 0 k |> slice 1 0 k ])
                Assert.That(d |> Array.forall (fun v -> v >= 0.0), what)

[<Test>]
let ``derivatives of QR, square, tall, wide and complete`` () =
    for shape in [ [ 3; 3 ]; [ 4; 2 ]; [ 2; 4 ]; [ 1; 1 ]; [ 3; 1 ]; [ 1; 3 ] ] do
        derivatives $"qr {shape}" (fun xs -> let q, r = Linalg.qr xs[0] in [ q; r ]) [ random 60 shape ]
        derivatives $"complete {shape}" (fun xs -> let q, r = Linalg.qrComplete xs[0] in [ q; r ]) [ random 60 shape ]

// ------------------------------------------------------------------------------------------------ batches, edges, errors

[<Test>]
let ``a batch is a loop, and compiled code the interpreter, bit for bit`` () =
    let matrices = [ random 70 [ 4; 4 ]; random 71 [ 4; 4 ]; positive 72 4 ]
    let alone = matrices |> List.map List.singleton
    batchedAsLoop "lu" (fun xs -> let p, l, u = Linalg.lu xs[0] in [ p; l; u ]) alone
    batchedAsLoop "qr" (fun xs -> let q, r = Linalg.qr xs[0] in [ q; r ]) alone
    batchedAsLoop "det" (fun xs -> [ Linalg.det xs[0] ]) alone
    batchedAsLoop "inv" (fun xs -> [ Linalg.inv xs[0] ]) alone
    batchedAsLoop "cholesky" (fun xs -> [ Linalg.cholesky xs[0] ]) [ [ positive 1 4 ]; [ positive 2 4 ] ]
    let systems = [ for i in 0..2 -> [ matrices[i]; random (73 + i) [ 4; 2 ] ] ]
    batchedAsLoop "solve" (fun xs -> [ Linalg.solve xs[0] xs[1] ]) systems
    batchedAsLoop "triangularSolve" (fun xs -> [ Linalg.triangularSolve xs[0] xs[1] ]) systems

[<Test>]
let ``matrices without elements, and no matrices at all`` () =
    let none n batch = f64 (Array.append batch [| n; n |]) []
    for batch in [ [||]; [| 2 |] ] do
        let empty = none 0 batch
        let count = Array.fold (*) 1 batch
        Assert.That(floatsOf (Linalg.det empty), Is.EqualTo<float[]>(Array.create count 1.0))
        Assert.That(floatsOf (snd (Linalg.slogdet empty)), Is.EqualTo<float[]>(Array.create count 0.0))
        for t in [ Linalg.inv empty; Linalg.cholesky empty; Linalg.solve empty empty; fst (Linalg.qr empty) ] do
            Assert.That((eval t).Shape, Is.EqualTo<int[]> empty.Shape)
    let empty = none 3 [| 0 |]
    for t in
        [ Linalg.inv empty
          Linalg.cholesky empty
          Linalg.solve empty empty
          fst (Linalg.qr empty)
          Linalg.triangularSolve empty empty ] do
        Assert.That((eval t).Shape, Is.EqualTo<int[]> [| 0; 3; 3 |])
    Assert.That((eval (Linalg.det empty)).Shape, Is.EqualTo<int[]> [| 0 |])
    let q, r = Linalg.qr (f64 [| 3; 0 |] [])
    Assert.That((q.Shape, r.Shape), Is.EqualTo(([| 3; 0 |], [| 0; 0 |])))
    near 0.0 "complete" (eye 3) (fst (Linalg.qrComplete (f64 [| 3; 0 |] [])))

[<Test>]
let ``single and half precision`` () =
    let a = positive 80 4
    for dtype, tolerance in [ DType.F32, 2e-6; DType.F16, 1e-2; DType.BF16, 6e-2 ] do
        let inv = Linalg.inv (cast dtype a)
        Assert.That(inv.DType, Is.EqualTo dtype)
        near tolerance $"{dtype}" (Linalg.inv a) (cast DType.F64 inv)
        let l = Linalg.cholesky (cast dtype a)
        near tolerance $"{dtype}" (Linalg.cholesky a) (cast DType.F64 l)

[<Test>]
let ``mistakes are named`` () =
    let x (shape: int list) = Op.input "x" DType.F32 (List.toArray shape)
    for message, action in
        [ "inv: the matrix must be square (2 and 3), got f32[2,3]", (fun () -> Linalg.inv (x [ 2; 3 ]))
          "cholesky: the operand must be a matrix or a stack of them, [..; rows; columns], got f32[2]",
          (fun () -> Linalg.cholesky (x [ 2 ]))
          "det: the elements must be floats, got i64[1,1]; cast it first",
          (fun () -> Linalg.det (i64 [| 1; 1 |] [ 1L ]))
          "solve: the right sides must have 3 rows, not 2, got f32[3,3] x f32[2,4]",
          (fun () -> Linalg.solve (x [ 3; 3 ]) (x [ 2; 4 ]))
          "solve: leading axes must broadcast (2 and 3), got f32[2,3,3] x f32[3,3,1]",
          (fun () -> Linalg.solve (x [ 2; 3; 3 ]) (x [ 3; 3; 1 ]))
          "triangularSolve: the matrix must be square (3 and 2), got f32[3,2]",
          (fun () -> Linalg.triangularSolve (x [ 3; 2 ]) (x [ 3 ])) ] do
        raises<ShapeException> message (action >> ignore)

[<Test>]
let ``derivatives of the fifth order are right in both modes, where the formulas of a factorisation are used up`` () =
    let forward f (x: Tensor) = snd (jvp f x (onesLike x))
    let backward f (x: Tensor) = sum (grad f x)
    let check what expected (f: Tensor -> Tensor) (x: Tensor) =
        for mode in [ forward; backward ] do
            let mutable g = f
            for order in 1..5 do
                g <- mode g
                let e: float = expected order
                Assert.That(item (g x), Is.EqualTo(e).Within(1e-9 * (1.0 + abs e)), $"{what}, order {order}")
    let factorial n = Seq.fold (*) 1.0 [ 1.0 .. float n ]
    let sign n = if n % 2 = 0 then 1.0 else -1.0
    let two, v = f64 [| 1; 1 |] [ 2.0 ], f64 [| 2; 2 |] [ 1.0; 0.5; 0.2; -1.0 ]
    check "inv" (fun n -> sign n * factorial n / 2.0 ** float (n + 1)) (Linalg.inv >> sum) two
    check
        "solve"
        (fun n -> sign n * factorial n / 2.0 ** float (n + 1))
        (fun a -> sum (Linalg.solve a (onesLike two)))
        two
    check "slogdet" (fun n -> -(sign n) * factorial (n - 1) / 2.0 ** float n) (Linalg.slogdet >> snd >> sum) two
    // Along ones, the determinant of a 2 by 2 matrix is linear: a + d - b - c.
    check "det" (fun n -> if n = 1 then -0.7 else 0.0) Linalg.det v

// ------------------------------------------------------------------------------------------------ the reference

[<Test>]
let ``values and gradients agree with the reference`` () =
    let check op f =
        for c in Oracles.ofFunction op do
            Oracles.check 1e-5 1e-4 c f
    check "inv" (fun xs -> [ Linalg.inv xs[0] ])
    check "solve" (fun xs -> [ Linalg.solve xs[0] xs[1] ])
    check "det" (fun xs -> [ Linalg.det xs[0] ])
    check "slogdet" (fun xs -> [ snd (Linalg.slogdet xs[0]) ])
    check "cholesky" (fun xs -> [ Linalg.cholesky xs[0] ])
