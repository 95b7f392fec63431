/// Einsum and linear algebra.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.AlgebraLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

// ------------------------------------------------------------------------------------------------ einsum

[<Law("Einsum", "einsum ij,jk->ik (A, B) = A B", "a matrix product")>]
let ``einsum of a matrix product`` (m: Matrices) = equal (einsum "ij,jk->ik" [ m.A; m.B ]) (matmul m.A m.B)

[<Law("Einsum", "einsum ij,jk,kl->il (A, B, C) = A B C", "products of several, in the cheapest order")>]
let ``einsum of three matrices`` (m: Matrices) =
    equal (einsum "ij,jk,kl->il" [ m.A; m.B; m.C ]) (matmul (matmul m.A m.B) m.C)

[<Law("Einsum", "einsum(a, b -> c)(x, y) = einsum(b, a -> c)(y, x)", "operands may be exchanged with their terms")>]
let ``operands of einsum may be exchanged`` (m: Matrices) =
    equal (einsum "ij,jk->ik" [ m.A; m.B ]) (einsum "jk,ij->ik" [ m.B; m.A ])

[<Law("Einsum", "einsum does not see the names of labels", "labels are bound")>]
let ``labels are bound`` (m: Matrices) = equal (einsum "ij,jk->ki" [ m.A; m.B ]) (einsum "bZ,ZA->Ab" [ m.A; m.B ])

[<Law("Einsum", "einsum ij->ji = transpose,  ij-> = Σ,  ij->i = Σⱼ", "one operand: permutations and sums")>]
let ``einsum of one operand`` (m: Matrices) =
    equal (einsum "ij->ji" [ m.A ]) (transpose m.A)
    equal (einsum "ij->" [ m.A ]) (sum m.A)
    equal (einsum "ij->i" [ m.A ]) (sumOver [ 1 ] m.A)

[<Law("Einsum",
      "einsum i,j->ij = x ⊗ y,  ij,ij->ij = A ∘ A',  ij,ij-> = ⟨A, A'⟩",
      "outer, elementwise and inner products")>]
let ``outer, elementwise and inner products`` (m: Matrices) =
    equal (einsum "ij,ij->ij" [ m.A; m.A2 ]) (m.A * m.A2)
    equal (einsum "ij,ij->" [ m.A; m.A2 ]) (sum (m.A * m.A2))
    let x, y = sumOver [ 1 ] m.A, sumOver [ 0 ] m.B
    equal (einsum "i,j->ij" [ x; y ]) (unsqueeze 1 x * y)

[<Law("Einsum", "einsum ii (A) = tr A,  ii->i (A) = diag A", "a repeated label is a diagonal")>]
let ``a repeated label is a diagonal`` (m: Matrices) =
    let n = m.Sizes[0]
    let square = matmul m.A (transpose m.A2)
    let diagonal = square * oneHot DType.I64 n (arange DType.I64 n)
    equal (einsum "ii" [ square ]) (sum diagonal)
    equal (einsum "ii->i" [ square ]) (sumOver [ 1 ] diagonal)

[<Law("Einsum", "einsum is linear in each operand", "factors and sums pass through")>]
let ``einsum is linear in each operand`` (m: Matrices) =
    let f a b = einsum "ij,jk->k" [ a; b ]
    equal (f (m.A * 3 + m.A2) m.B) (f m.A m.B * 3 + f m.A2 m.B)

[<Law("Einsum", "einsum ...ij,...jk->...ik = matmul", "axes without labels are batches and broadcast")>]
let ``einsum with an ellipsis`` (m: Matrices) =
    equal (einsum "...ij,...jk->...ik" [ stack 0 [ m.A; m.A2 ]; m.B ]) (matmul (stack 0 [ m.A; m.A2 ]) m.B)

[<Law("Einsum", "⟨einsum(x, b), y⟩ = ⟨x, einsumᵀ(y, b)⟩", "the gradient of an einsum is an einsum with labels exchanged")>]
let ``the gradient of an einsum is an einsum`` (m: Matrices) =
    let real (t: Tensor) = eval (cast DType.F64 t)
    let a, b, y = real m.A, real m.B, real (matmul m.A2 m.B)
    close (pullback (fun a -> einsum "ij,jk->ik" [ a; b ]) a y) (einsum "ik,jk->ij" [ y; b ])

// ------------------------------------------------------------------------------------------------ linear algebra

let private lowerOf (x: Tensor) = where (causalMask x.Shape[0]) x (zerosLike x)

[<Law("Linear algebra", "L Lᵀ = A", "Cholesky's factor, for symmetric positive definite A")>]
let ``Cholesky's factor`` (s: Squares) =
    let l = Linalg.cholesky s.Positive
    closeTo 1e-11 (matmul l (transpose l)) s.Positive
    equal (lowerOf l) l

[<Law("Linear algebra", "P A = L U", "the LU decomposition with pivots")>]
let ``the LU decomposition`` (s: Squares) =
    let a = s.Case.FloatOf(5, [| s.Size; s.Size |])
    let p, l, u = Linalg.lu a
    closeTo 1e-11 (matmul l u) (matmul p a)
    equal (lowerOf l) l
    equal (transpose (lowerOf (transpose u))) u

[<Law("Linear algebra", "Q R = A,  Qᵀ Q = I", "the QR decomposition: orthonormal columns and a triangle")>]
let ``the QR decomposition`` (s: Squares) =
    let q, r = Linalg.qr s.A
    closeTo 1e-11 (matmul q r) s.A
    closeTo 1e-11 (matmul (transpose q) q) s.Unit
    equal (transpose (lowerOf (transpose r))) r

[<Law("Linear algebra", "A solve(A, B) = B", "solving a system")>]
let ``solving a system`` (s: Squares) = closeTo 1e-11 (matmul s.A (Linalg.solve s.A s.B)) s.B

[<Law("Linear algebra", "A A⁻¹ = I = A⁻¹ A", "the inverse")>]
let ``the inverse`` (s: Squares) =
    closeTo 1e-11 (matmul s.A (Linalg.inv s.A)) s.Unit
    closeTo 1e-11 (matmul (Linalg.inv s.A) s.A) s.Unit

[<Law("Linear algebra", "(A B)⁻¹ = B⁻¹ A⁻¹,  (Aᵀ)⁻¹ = (A⁻¹)ᵀ", "inverses of products and transposes")>]
let ``inverses of products and transposes`` (s: Squares) =
    closeTo 1e-10 (Linalg.inv (matmul s.A s.A2)) (matmul (Linalg.inv s.A2) (Linalg.inv s.A))
    closeTo 1e-11 (Linalg.inv (transpose s.A)) (transpose (Linalg.inv s.A))

[<Law("Linear algebra", "det(A B) = det A · det B,  det Aᵀ = det A", "determinants multiply")>]
let ``determinants multiply`` (s: Squares) =
    closeTo 1e-10 (Linalg.det (matmul s.A s.A2)) (Linalg.det s.A * Linalg.det s.A2)
    closeTo 1e-10 (Linalg.det (transpose s.A)) (Linalg.det s.A)

[<Law("Linear algebra", "det A = sign · e^log|det|", "slogdet is the determinant that does not overflow")>]
let ``slogdet is the determinant`` (s: Squares) =
    let sign, logarithm = Linalg.slogdet s.A
    closeTo 1e-11 (sign * exp logarithm) (Linalg.det s.A)

[<Law("Linear algebra", "∇ log|det A| = A⁻ᵀ", "Jacobi's formula")>]
let ``Jacobi's formula`` (s: Squares) =
    closeTo 1e-10 (grad (fun a -> snd (Linalg.slogdet a)) s.A) (transpose (Linalg.inv s.A))

[<Law("Linear algebra", "⟨∂(A⁻¹ B), Y⟩ = -⟨A⁻ᵀ Y (A⁻¹ B)ᵀ, ∂A⟩", "the gradient of a solution")>]
let ``the gradient of a solution`` (s: Squares) =
    let x = eval (Linalg.solve s.A s.B)
    let y = s.Case.FloatOf(6, x.Shape)
    let expected = -(matmul (Linalg.solve (transpose s.A) y) (transpose x))
    closeTo 1e-10 (pullback (fun a -> Linalg.solve a s.B) s.A y) expected

[<Law("Linear algebra", "T triangularSolve(T, B) = B", "substitution")>]
let ``substitution`` (s: Squares) =
    let t = eval (lowerOf s.A)
    closeTo 1e-11 (matmul t (Linalg.triangularSolve t s.B)) s.B

[<Law("Linear algebra", "vmap cholesky = cholesky of a stack", "factorisations work on stacks, matrix by matrix")>]
let ``factorisations of stacks`` (s: Squares) =
    let both = eval (stack 0 [ s.Positive; s.Positive * 2.0 + s.Unit ])
    close (vmap Linalg.cholesky both) (Linalg.cholesky both)

// ------------------------------------------------------------------------------------------------ spectra

[<Law("Spectra",
      "A V = V Λ,  Vᵀ V = I,  λ₁ ≤ λ₂ ≤ ..",
      "a symmetric matrix has orthonormal eigenvectors and real eigenvalues")>]
let ``eigenvalues of a symmetric matrix`` (s: Squares) =
    let a = s.Positive
    let values, vectors = Linalg.eigh a
    closeTo 1e-10 (matmul a vectors) (vectors * values)
    closeTo 1e-11 (matmul (transpose vectors) vectors) s.Unit
    holds (le (slice 0 0 (s.Size - 1) values) (slice 0 1 s.Size values))

[<Law("Spectra", "tr A = Σ λ,  det A = Π λ", "trace and determinant are sum and product of the eigenvalues")>]
let ``trace and determinant of eigenvalues`` (s: Squares) =
    let values = Linalg.eigvalsh s.Positive
    closeTo 1e-10 (sum values) (trace s.Positive)
    closeTo 1e-10 (prod values) (Linalg.det s.Positive)

[<Law("Spectra", "λ(A + c I) = λ(A) + c", "a multiple of the unit matrix shifts all eigenvalues")>]
let ``shifted eigenvalues`` (s: Squares) =
    closeTo 1e-10 (Linalg.eigvalsh (s.Positive + s.Unit * 3.0)) (Linalg.eigvalsh s.Positive + 3.0)

[<Law("Spectra", "∇ Σ λ(A) = I", "the gradient of the trace, by way of the eigenvalues")>]
let ``the gradient of the sum of eigenvalues`` (s: Squares) =
    closeTo 1e-9 (grad (fun a -> sum (Linalg.eigvalsh a)) s.Positive) s.Unit

let private wide (s: Squares) = s.Case.FloatOf(7, [| s.Size; s.Columns + 1 |])

[<Law("Spectra", "U Σ Vᵀ = A,  Uᵀ U = I = Vᵀ V,  σ₁ ≥ σ₂ ≥ .. ≥ 0", "the singular value decomposition of any matrix")>]
let ``the singular value decomposition`` (s: Squares) =
    let a = wide s
    let u, sigma, vt = Linalg.svd a
    let unit = eyeOf DType.F64 sigma.Count sigma.Count
    closeTo 1e-10 (matmul (u * sigma) vt) a
    closeTo 1e-10 (matmul (transpose u) u) unit
    closeTo 1e-10 (matmul vt (transpose vt)) unit
    holds (ge (slice 0 0 (sigma.Count - 1) sigma) (slice 0 1 sigma.Count sigma))
    holds (ge sigma (zerosLike sigma))

[<Law("Spectra", "Σ σ² = ‖A‖²_F,  σ(Aᵀ) = σ(A),  |det A| = Π σ", "singular values measure size")>]
let ``singular values measure size`` (s: Squares) =
    let a = wide s
    closeTo 1e-10 (sum (square (Linalg.svdvals a))) (sum (square a))
    closeTo 1e-10 (Linalg.svdvals (transpose a)) (Linalg.svdvals a)
    closeTo 1e-10 (prod (Linalg.svdvals s.A)) (abs (Linalg.det s.A))

[<Law("Spectra", "A A⁺ A = A,  A⁺ A A⁺ = A⁺,  (A A⁺)ᵀ = A A⁺,  (A⁺ A)ᵀ = A⁺ A", "Penrose's four equations")>]
let ``Penrose's equations`` (s: Squares) =
    let a = wide s
    let p = eval (Linalg.pinv a)
    // The condition of a random matrix enters with its square.
    let scale = 1e-8 * (1.0 + item (maxAll (abs p)))
    closeTo scale (matmul (matmul a p) a) a
    closeTo scale (matmul (matmul p a) p) p
    closeTo scale (transpose (matmul a p)) (matmul a p)
    closeTo scale (transpose (matmul p a)) (matmul p a)

[<Law("Spectra", "Aᵀ (A x - b) = 0", "least squares: the rest is orthogonal to the columns")>]
let ``least squares`` (s: Squares) =
    let a, b = eval (concat 0 [ s.A; s.A2 ]), s.Case.FloatOf(8, [| 2 * s.Size; s.Columns |])
    let rest = matmul a (Linalg.lstsq a b) - b
    let projected = matmul (transpose a) rest
    closeTo 1e-9 projected (zerosLike projected)

[<Law("Spectra", "e⁰ = I,  e^A e^-A = I,  det e^A = e^(tr A)", "the matrix exponential")>]
let ``the matrix exponential`` (s: Squares) =
    let a = s.Case.FloatOf(9, [| s.Size; s.Size |])
    close (Linalg.matrixExp (zerosLike a)) s.Unit
    closeTo 1e-9 (matmul (Linalg.matrixExp a) (Linalg.matrixExp -a)) s.Unit
    closeTo 1e-9 (Linalg.det (Linalg.matrixExp a)) (exp (trace a))

[<Law("Spectra", "Aᵐ Aⁿ = Aᵐ⁺ⁿ,  A⁻ⁿ = (A⁻¹)ⁿ", "powers of matrices")>]
let ``powers of matrices`` (s: Squares) =
    let a = s.Case.FloatOf(9, [| s.Size; s.Size |])
    let m, n = s.Case.Number(10, 4), s.Case.Number(11, 4)
    closeTo 1e-11 (matmul (Linalg.matrixPower m a) (Linalg.matrixPower n a)) (Linalg.matrixPower (m + n) a)
    closeTo 1e-10 (Linalg.matrixPower -2 s.A) (Linalg.matrixPower 2 (Linalg.inv s.A))

[<Law("Spectra", "(A B) C = A (B C) in the cheapest order", "a chain of products is their product")>]
let ``a chain of products`` (m: Matrices) =
    let real (t: Tensor) = eval (cast DType.F64 t)
    equal (Linalg.multiDot [ real m.A; real m.B; real m.C ]) (matmul (matmul (real m.A) (real m.B)) (real m.C))

[<Test>]
let ``the determinant of two by two`` () =
    closeTo 1e-14 (Linalg.det (f64 [| 2; 2 |] [ 1.0; 2.0; 3.0; 4.0 ])) (f64 [||] [ -2.0 ])
