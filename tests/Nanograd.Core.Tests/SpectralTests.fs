/// Eigenvalues, singular values, and what is made of them: laws, derivatives, degenerate cases.
module Nanograd.Core.Tests.SpectralTests

open System
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests.LinalgTests

let private onDiagonal (d: Tensor) = unsqueeze -1 d * eye d.Shape[d.Rank - 1]
let private isSorted descending (w: Tensor) =
    let xs = floatsOf w
    xs = (if descending then Array.sortDescending xs else Array.sort xs)

/// In each column the first component of largest magnitude is positive.
let private hasPositivePeaks (v: Tensor) =
    let peaks = item (sum (Op.cast DType.I64 (lt (amax [ 0 ] v) (-(amin [ 0 ] v)))))
    Assert.That(peaks, Is.EqualTo 0.0, "the largest component of each column is positive")

let private symmetricPart (a: Tensor) = a * 0.5 + transpose a * 0.5

// ------------------------------------------------------------------------------------------------ eigenvalues

[<Test>]
let ``A = V diag(w) V^T with w ascending and V orthogonal`` () =
    let decaying =
        f64
            [| 20; 20 |]
            [ for i in 0..19 do
                  for j in 0..19 -> 1.0 / float (i + j + 1) ]
    for name, a in ("large Hilbert", decaying) :: nasty do
        let w, v = Linalg.eigh a
        near 3e-14 name (symmetricPart a) (matmul (matmul v (onDiagonal w)) (transpose v))
        isOrthonormal name v
        hasPositivePeaks v
        Assert.That(isSorted false w, name)
        near 0.0 (name + ": values alone") w (Linalg.eigvalsh a)

[<Test>]
let ``eigenvalues that are known`` () =
    let find name = nasty |> List.find (fun (n, _) -> n = name) |> snd
    Assert.That(floatsOf (Linalg.eigvalsh (find "diagonal")), Is.EqualTo<float[]> [| -1.0; 0.0; 3.0; 3.0 |])
    Assert.That(floatsOf (Linalg.eigvalsh (find "exchange")), Is.EqualTo<float[]>([| -1.0; 1.0 |]).Within 1e-15)
    Assert.That(floatsOf (snd (Linalg.eigh (eye 3))), Is.EqualTo<float[]>(floatsOf (eye 3)))
    let n = 12 // the second difference: 2 - 2 cos(k pi / (n + 1))
    let a =
        f64
            [| n; n |]
            [ for i in 1..n do
                  for j in 1..n ->
                      if i = j then 2.0
                      elif abs (i - j) = 1 then -1.0
                      else 0.0 ]
    let expected = [| for k in 1..n -> 2.0 - 2.0 * cos (float k * Math.PI / float (n + 1)) |]
    Assert.That(floatsOf (Linalg.eigvalsh a), Is.EqualTo<float[]>(expected).Within 1e-14)

[<Test>]
let ``derivatives of eigenvalues and eigenvectors`` () =
    for n in [ 1; 2; 4 ] do
        let a = positive n n + random 5 [ n; n ]
        derivatives $"eigh {n}" (fun xs -> let w, v = Linalg.eigh xs[0] in [ w; v ]) [ a ]
        derivatives $"eigvalsh {n}" (fun xs -> [ Linalg.eigvalsh xs[0] ]) [ a ]
    derivatives "stack" (fun xs -> [ Linalg.eigvalsh xs[0] ]) [ stack 0 [ positive 6 3; positive 7 3 ] ]

[<Test>]
let ``functions that treat equal eigenvalues alike have their derivatives`` () =
    let repeated = nasty |> List.find (fun (n, _) -> n = "repeated") |> snd
    for a in [ eye 3; eye 3 * 0.0; repeated ] do
        let n = a.Shape[0]
        let trace x = sum (Linalg.eigvalsh x)
        Assert.That(largest (grad trace a - eye n), Is.LessThan 1e-13, "the sum of eigenvalues is the trace")
        let squares x = let w, v = Linalg.eigh x in sum (square w) + sum (square (matmul v (transpose v)))
        near
            1e-12
            "the sum of their squares is that of the elements"
            (symmetricPart a * 2.0 + eye n * 1e-30)
            (grad squares a + eye n * 1e-30)
        let wild x = let w, v = Linalg.eigh x in sum (w * random 3 [ n ]) + sum (v * random 4 [ n; n ])
        Assert.That(Double.IsFinite(largest (grad wild a)), "others have a finite gradient")

// ------------------------------------------------------------------------------------------------ singular values

[<Test>]
let ``A = U diag(S) V^T with S descending and orthonormal columns, for every shape`` () =
    for name, square in nasty do
        for a in
            [ square; slice 1 0 (max 1 (square.Shape[1] - 2)) square; slice 0 0 (max 1 (square.Shape[0] - 2)) square ] do
            let m, n = a.Shape[0], a.Shape[1]
            let k = min m n
            let what = $"{name} {Shape.show a.Shape}"
            let u, s, vt = Linalg.svd a
            Assert.That((u.Shape, s.Shape, vt.Shape), Is.EqualTo(([| m; k |], [| k |], [| k; n |])), what)
            near 2e-14 what a (matmul (u * s) vt)
            isOrthonormal what u
            isOrthonormal what (transpose vt)
            hasPositivePeaks u
            Assert.That(isSorted true s && Array.forall (fun x -> x >= 0.0) (floatsOf s), what)
            near 0.0 (what + ": values alone") s (Linalg.svdvals a)
            let wide, values, tall = Linalg.svdFull a
            Assert.That((wide.Shape, tall.Shape), Is.EqualTo(([| m; m |], [| n; n |])), what)
            isOrthonormal (what + ", full") wide
            isOrthonormal (what + ", full") tall
            near 1e-14 (what + ", full") s values
            near 2e-14 (what + ", full") a (matmul (slice 1 0 k wide * values) (slice 0 0 k tall))

[<Test>]
let ``singular values that are known`` () =
    let find name = nasty |> List.find (fun (n, _) -> n = name) |> snd
    Assert.That(floatsOf (Linalg.svdvals (find "diagonal")), Is.EqualTo<float[]> [| 3.0; 3.0; 1.0; 0.0 |])
    Assert.That(floatsOf (Linalg.svdvals (find "permutation")), Is.EqualTo<float[]> [| 1.0; 1.0; 1.0; 1.0 |])
    Assert.That(floatsOf (Linalg.svdvals (find "zero")), Is.EqualTo<float[]> [| 0.0; 0.0; 0.0 |])
    // Small singular values are found to high relative accuracy where the columns differ in size only.
    let graded = f64 [| 2; 2 |] [ 1.0; 1e-20; 1.0; -1e-20 ]
    Assert.That(
        floatsOf (Linalg.svdvals graded) |> Array.map (fun s -> s / sqrt 2.0),
        Is.EqualTo<float[]>([| 1.0; 1e-20 |]).Within(1e-12).Percent
    )

[<Test>]
let ``derivatives of singular values and vectors`` () =
    for shape in [ [ 3; 3 ]; [ 4; 2 ]; [ 2; 4 ]; [ 1; 1 ]; [ 3; 1 ]; [ 1; 3 ] ] do
        let a = random 90 shape
        derivatives $"svd {shape}" (fun xs -> let u, s, vt = Linalg.svd xs[0] in [ u; s; vt ]) [ a ]
        derivatives $"svdvals {shape}" (fun xs -> [ Linalg.svdvals xs[0] ]) [ a ]
        // Of the columns beyond the smaller extent only the space that they span is a function of the matrix.
        let spaces (xs: Tensor list) =
            let u, s, vt = Linalg.svdFull xs[0]
            let k = s.Shape[0]
            let beyond (q: Tensor) = let rest = slice 1 k q.Shape[1] q in matmul rest (transpose rest)
            [ slice 1 0 k u; s; beyond u; beyond (transpose vt) ]
        derivatives $"svdFull {shape}" spaces [ a ]

[<Test>]
let ``gradients through equal and vanishing singular values are finite`` () =
    for a in [ eye 3; eye 3 * 0.0; matmul (random 1 [ 4; 1 ]) (random 2 [ 1; 3 ]) ] do
        let nuclear x = sum (Linalg.svdvals x)
        Assert.That(Double.IsFinite(largest (grad nuclear a)))
        let wild x =
            let u, s, vt = Linalg.svd x in sum (u * random 3 [ u.Shape[0]; u.Shape[1] ]) + sum s + sum (square vt)
        Assert.That(Double.IsFinite(largest (grad wild a)))
    let squares x = let _, s, _ = Linalg.svd x in sum (square s)
    near 1e-13 "the sum of squares" (eye 3 * 2.0) (grad squares (eye 3))

// ------------------------------------------------------------------------------------------------ batches, edges

[<Test>]
let ``a batch of spectra is a loop, and compiled code the interpreter`` () =
    let alone = [ [ random 70 [ 4; 4 ] ]; [ random 71 [ 4; 4 ] ]; [ eye 4 ] ]
    batchedAsLoop "eigh" (fun xs -> let w, v = Linalg.eigh xs[0] in [ w; v ]) alone
    batchedAsLoop "svd" (fun xs -> let u, s, vt = Linalg.svd xs[0] in [ u; s; vt ]) alone

[<Test>]
let ``spectra of nothing`` () =
    for batch in [ [||]; [| 2 |] ] do
        let none m n = f64 (Array.append batch [| m; n |]) []
        let w, v = Linalg.eigh (none 0 0)
        Assert.That(
            ((eval w).Shape, (eval v).Shape),
            Is.EqualTo((Array.append batch [| 0 |], Array.append batch [| 0; 0 |]))
        )
        let u, s, vt = Linalg.svdFull (none 3 0)
        Assert.That(
            ((eval u).Shape, (eval s).Shape, (eval vt).Shape),
            Is.EqualTo((Array.append batch [| 3; 3 |], Array.append batch [| 0 |], Array.append batch [| 0; 0 |]))
        )
    let _, v = Linalg.eigh (f64 [| 0; 3; 3 |] [])
    Assert.That((eval v).Shape, Is.EqualTo<int[]> [| 0; 3; 3 |])
    let _, _, vt = Linalg.svd (f64 [| 0; 2; 3 |] [])
    Assert.That((eval vt).Shape, Is.EqualTo<int[]> [| 0; 2; 3 |])

[<Test>]
let ``spectra in single precision`` () =
    for name, a in nasty |> List.filter (fun (n, _) -> n <> "tiny" && n <> "huge") do
        let single = cast DType.F32 a
        let a = cast DType.F64 single
        let w, v = Linalg.eigh single
        Assert.That(w.DType, Is.EqualTo DType.F32)
        let w, v = cast DType.F64 w, cast DType.F64 v
        near 1e-5 name (symmetricPart a) (matmul (matmul v (onDiagonal w)) (transpose v))
        let u, s, vt = Linalg.svd single
        near 1e-5 name a (matmul (cast DType.F64 (u * s)) (cast DType.F64 vt))

[<Test>]
let ``spectra and gradients agree with the reference`` () =
    let check op f =
        for c in Oracles.ofFunction op do
            Oracles.check 1e-5 1e-4 c f
    check "eigvalsh" (fun xs -> [ Linalg.eigvalsh xs[0] ])
    check "svdvals" (fun xs -> [ Linalg.svdvals xs[0] ])
