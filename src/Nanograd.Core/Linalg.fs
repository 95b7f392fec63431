namespace Nanograd

open System

/// Linear algebra, by the names of torch.linalg. Everything works on the last two axes and over any leading axes, in f32 or f64
/// (16-bit floats are computed in f32), with derivatives of any order. Signs are fixed by rules, so results are
/// deterministic.
[<RequireQualifiedAccess>]
module Linalg =
    let private fail = Shape.fail

    // ------------------------------------------------------------------------------------------------ systems: operands

    /// Leading axes of two operands, broadcast against each other.
    let private together (op: string) (a: Tensor) (b: Tensor) =
        match Shape.tryBroadcast a.Shape[.. a.Rank - 3] b.Shape[.. b.Rank - 3] with
        | Error(_, x, y) -> fail op $"leading axes must broadcast ({x} and {y})" "" [ a; b ]
        | Ok leading ->
            let lift (t: Tensor) = Op.broadcast (Array.append leading t.Shape[t.Rank - 2 ..]) t
            leading, lift a, lift b

    /// Applies a function of stacks to a square matrix and right sides, a vector as one column (or one row) of them.
    let private system op isLeft (a: Tensor) (b: Tensor) (f: Tensor -> Tensor -> Tensor) =
        Matrices.checkSquare op a
        if not (DType.isFloat b.DType) then fail op "the elements must be floats" "cast them first" [ a; b ]
        let isVector = b.Rank = 1 || (b.Rank = a.Rank - 1 && b.Shape = a.Shape[.. a.Rank - 2])
        let axis = if isLeft then b.Rank else b.Rank - 1
        let sides = if isVector then Op.reshape (Array.insertAt axis 1 b.Shape) b else b
        let n = Matrices.rows a
        let extent = sides.Shape[sides.Rank - (if isLeft then 2 else 1)]
        if extent <> n then
            fail
                op
                $"""the right sides must have {n} {if isLeft then "rows" else "columns"}, not {extent}"""
                ""
                [ a; b ]
        let dtype = DType.promote a.DType b.DType
        let leading, a, sides = together op a sides
        let wide (t: Tensor) = Matrices.flat (Op.cast (DType.arithmetic dtype) t)
        let x = f (wide a) (wide sides)
        let x = Op.cast dtype (Op.reshape (Array.append leading x.Shape[1..]) x)
        if isVector then Op.reshape (Array.removeAt (if isLeft then x.Rank - 1 else x.Rank - 2) x.Shape) x else x

    let private factored (a: Tensor) =
        let r = Factor.lu Matrices.top a
        let still = Array.map Grad.stopGradient r
        still[0], r[1], still[2]

    // ------------------------------------------------------------------------------------------------ systems

    /// Which system `triangularSolveWith` solves: whether T is lower, is transposed, has ones on its diagonal (what stands there
    /// is not read), and stands to the left of the unknown.
    type Triangle = { Lower: bool; Transposed: bool; UnitDiagonal: bool; Left: bool }

    /// A lower triangle to the left.
    let lower = { Lower = true; Transposed = false; UnitDiagonal = false; Left = true }

    /// An upper triangle to the left.
    let upper = { lower with Lower = false }

    /// X of T X = B (or T^T X = B; not Left: X T = B), with T `[..; n; n]` and B `[..; n; k]` (`[..; k; n]`) or vectors
    /// `[n]`, `[..; n]`. Only the named triangle of T is read. A zero on the diagonal gives infinities or NaN. By
    /// substitution; gradient: Giles (2008), "Collected matrix derivative results".
    /// <example><code>
    /// let t = matrix [ [ 2.0; 0.0 ]; [ 1.0; 4.0 ] ]
    /// Linalg.triangularSolveWith { Linalg.lower with Transposed = true } t (tensor [ 4.0; 8.0 ]) // [1; 2]
    /// </code></example>
    let triangularSolveWith (options: Triangle) (t: Tensor) (b: Tensor) : Tensor =
        system "triangularSolve" options.Left t b (fun t b ->
            let one = Matrices.number t 1.0
            let t = if options.UnitDiagonal then Op.select (Matrices.onDiagonal (Matrices.rows t)) one t else t
            let solve = Factor.solveTriangular Matrices.top options.Lower
            if options.Left then
                solve options.Transposed t b
            else
                Matrices.transposed (solve (not options.Transposed) t (Matrices.transposed b)))

    /// X of T X = B for a lower triangular T: `[..; n; n]` and `[..; n; k]`, or vectors. See triangularSolveWith for the
    /// other systems.
    /// <example><code>
    /// let t = matrix [ [ 2.0; 0.0 ]; [ 1.0; 4.0 ] ]
    /// Linalg.triangularSolve t (tensor [ 2.0; 9.0 ]) // [1; 2]
    /// </code></example>
    let triangularSolve (t: Tensor) (b: Tensor) : Tensor = triangularSolveWith lower t b

    /// X of A X = B: `[..; n; n]` and `[..; n; k]`, or vectors `[n]`, `[..; n]`. A singular A gives infinities or NaN. By LU
    /// with partial pivoting; gradient: dB = A^-T dX, dA = -dB X^T.
    /// <example><code>
    /// let a = matrix [ [ 2.0; 1.0 ]; [ 1.0; 3.0 ] ]
    /// Linalg.solve a (tensor [ 4.0; 7.0 ]) // [1; 2]
    /// </code></example>
    let solve (a: Tensor) (b: Tensor) : Tensor =
        system "solve" true a b (fun a b ->
            let packed, order, _ = factored a
            Factor.solveFactored Matrices.top false a packed order b)

    /// The inverse, `[..; n; n]`. A singular matrix gives infinities or NaN. By LU with partial pivoting.
    /// <example><code>
    /// Linalg.inv (matrix [ [ 2.0; 0.0 ]; [ 0.0; 4.0 ] ])
    /// </code></example>
    let inv (a: Tensor) : Tensor =
        Matrices.checkSquare "inv" a
        a
        |> Matrices.batched (fun a ->
            let packed, order, _ = factored a
            let one = Matrices.identity a.DType a.Shape[0] (Matrices.rows a) (Matrices.rows a)
            [| Factor.solveFactored Matrices.top false a packed order one |])
        |> Matrices.only

    /// `[batch]` as scalars of a stack of matrices: `batched` needs at least one axis.
    let private each (op: string) (f: Tensor -> Tensor[]) (a: Tensor) : Tensor[] =
        Matrices.checkSquare op a
        Matrices.batched f a

    /// The determinant, `[..; n; n]` to `[..]`; that of a matrix without elements is 1. By LU with partial pivoting; gradient:
    /// det A A^-T. Where a pivot is exactly 0 the gradient is that of a matrix nearby (1.5e-8 away, relative to the
    /// largest pivot; f32: 3.5e-4), and second derivatives of nearly singular matrices lose as many digits as their
    /// condition number has.
    /// <example><code>
    /// Linalg.det (matrix [ [ 2.0; 1.0 ]; [ 1.0; 3.0 ] ]) // 5
    /// </code></example>
    let det (a: Tensor) : Tensor =
        a
        |> each "det" (fun a ->
            let packed, order, parity = factored a
            [| Factor.det Matrices.top a packed order parity |])
        |> Matrices.only

    /// Sign and logarithm of the absolute value of the determinant, `[..; n; n]` to `[..]` each; 0 and -infinity for a
    /// singular matrix. Neither overflows where the determinant would. Gradient: A^-T.
    /// <example><code>
    /// let sign, logarithm = Linalg.slogdet (matrix [ [ 0.0; 2.0 ]; [ 1.0; 0.0 ] ])
    /// sign * exp logarithm // -2
    /// </code></example>
    let slogdet (a: Tensor) : Tensor * Tensor =
        let rs =
            a
            |> each "slogdet" (fun a ->
                let packed, order, parity = factored a
                let signs = Op.unary Unary.Sign (Matrices.diagonal packed)
                [| Op.reduce Reduction.Prod [ 1 ] signs * parity; Factor.logDet Matrices.top a packed order |])
        rs[0], rs[1]

    /// The lower triangular L with a positive diagonal and A = L L^T, for a symmetric positive definite A `[..; n; n]`. Of any other
    /// A the symmetric part (A + A^T) / 2 counts, so that derivatives are symmetric. Where that is not positive
    /// definite, the whole factor is NaN: `isPositiveDefinite` says where. Gradient: Murray (2016), "Differentiation of the
    /// Cholesky decomposition".
    /// <example><code>
    /// Linalg.cholesky (matrix [ [ 4.0; 2.0 ]; [ 2.0; 5.0 ] ]) // [[2; 0]; [1; 2]]
    /// </code></example>
    let cholesky (a: Tensor) : Tensor =
        Matrices.checkSquare "cholesky" a
        a |> Matrices.batched (fun a -> [| Factor.cholesky Matrices.top (Matrices.symmetric a) |]) |> Matrices.only

    /// The upper triangular factor U with A = U^T U: the transpose of `cholesky`.
    /// <example><code>
    /// Linalg.choleskyUpper (matrix [ [ 4.0; 2.0 ]; [ 2.0; 5.0 ] ]) // [[2; 1]; [0; 2]]
    /// </code></example>
    let choleskyUpper (a: Tensor) : Tensor =
        Matrices.checkSquare "choleskyUpper" a
        transpose (cholesky a)

    /// Whether the symmetric part of each matrix is positive definite, `[..; n; n]` to bool `[..]`: whether `cholesky` has a
    /// factor without NaN.
    /// <example><code>
    /// Linalg.isPositiveDefinite (matrix [ [ 1.0; 2.0 ]; [ 2.0; 1.0 ] ]) // false
    /// </code></example>
    let isPositiveDefinite (a: Tensor) : Tensor =
        Matrices.checkSquare "isPositiveDefinite" a
        let total = sumOver [ -2; -1 ] (cholesky a)
        eq total total

    /// X of A X = B, given A's lower Cholesky factor: `[..; n; n]` and `[..; n; k]`, or vectors.
    /// <example><code>
    /// let l = Linalg.cholesky (matrix [ [ 4.0; 2.0 ]; [ 2.0; 5.0 ] ])
    /// Linalg.choleskySolve l (tensor [ 8.0; 12.0 ]) // [1; 2]
    /// </code></example>
    let choleskySolve (l: Tensor) (b: Tensor) : Tensor =
        system "choleskySolve" true l b (fun l b ->
            let solve isTransposed = Factor.solveTriangular Matrices.top true isTransposed l
            solve true (solve false b))

    /// P, L and U with P A = L U for A `[..; m; n]`: P permutes rows (`[..; m; m]`), L `[..; m; k]` is lower triangular with ones
    /// on its diagonal and no larger elements, U `[..; k; n]` upper triangular, k the smaller of m and n. Partial
    /// pivoting; of equal candidates the first. A singular matrix has zeros on U's diagonal, and no derivative.
    /// (torch.linalg.lu's P is the transpose of this one.)
    /// <example><code>
    /// let a = matrix [ [ 1.0; 2.0 ]; [ 4.0; 4.0 ] ]
    /// let p, l, u = Linalg.lu a
    /// matmul l u // rows of a, the second first
    /// </code></example>
    let lu (a: Tensor) : Tensor * Tensor * Tensor =
        Matrices.checkMatrix "lu" a
        let rs =
            a
            |> Matrices.batched (fun a ->
                let r = Factor.lu Matrices.top a
                let l, u = Factor.unpackLu r[0]
                let m = Matrices.rows a
                let one = Matrices.identity a.DType a.Shape[0] m m
                [| Factor.permuteRows r[1] one; l; u |])
        rs[0], rs[1], rs[2]

    /// Q and R with A = Q R for A `[..; m; n]`: Q `[..; m; k]` has orthonormal columns, R `[..; k; n]` is upper triangular with a
    /// nonnegative diagonal, k the smaller of m and n. By Householder's reflections; gradient: Walter and Lehmann
    /// (2010), Roberts and Roberts (2020). The first k columns of A must be independent for the gradient to exist.
    /// <example><code>
    /// let q, r = Linalg.qr (matrix [ [ 3.0; 1.0 ]; [ 4.0; 2.0 ] ])
    /// r // [[5; 2.2]; [0; 0.4]]
    /// </code></example>
    let qr (a: Tensor) : Tensor * Tensor =
        Matrices.checkMatrix "qr" a
        let rs = Matrices.batched (Factor.qr Matrices.top) a
        rs[0], rs[1]

    /// The same with Q `[..; m; m]` square and R `[..; m; n]` of A's shape. Columns of Q beyond the smaller extent are not unique;
    /// these are the ones that the reflections make, and derivatives are theirs.
    /// <example><code>
    /// let q, r = Linalg.qrComplete (matrix [ [ 3.0 ]; [ 4.0 ] ])
    /// matmul q r
    /// </code></example>
    let qrComplete (a: Tensor) : Tensor * Tensor =
        Matrices.checkMatrix "qrComplete" a
        let rs = Matrices.batched Factor.qrComplete a
        rs[0], rs[1]

    // ------------------------------------------------------------------------------------------------ eigenvalues

    /// Eigenvalues, ascending (`[..; n]`), and orthonormal eigenvectors, as columns (`[..; n; n]`), of a symmetric matrix; of any other
    /// the symmetric part (A + A^T) / 2 counts. In each eigenvector the component of largest magnitude (the first of equal
    /// ones) is positive. By Jacobi's rotations, a fixed number of sweeps. Gradient: Giles (2008). Where eigenvalues are equal up
    /// to rounding, the eigenvectors are not functions of the matrix: what turns them among themselves is left out
    /// of the gradient, which is right for functions that do not depend on it, and finite for all.
    /// <example><code>
    /// let w, v = Linalg.eigh (matrix [ [ 2.0; 1.0 ]; [ 1.0; 2.0 ] ])
    /// w // [1; 3]
    /// </code></example>
    let eigh (a: Tensor) : Tensor * Tensor =
        Matrices.checkSquare "eigh" a
        let rs = a |> Matrices.batched (fun a -> Spectral.eigh Matrices.top (Matrices.symmetric a))
        rs[0], rs[1]

    /// The eigenvalues of a symmetric matrix, ascending, `[..; n; n]` to `[..; n]`. Their gradient is finite everywhere; where
    /// eigenvalues are equal it is that of one order of them.
    /// <example><code>
    /// Linalg.eigvalsh (matrix [ [ 2.0; 1.0 ]; [ 1.0; 2.0 ] ]) // [1; 3]
    /// </code></example>
    let eigvalsh (a: Tensor) : Tensor =
        Matrices.checkSquare "eigvalsh" a
        a |> Matrices.batched (fun a -> [| Spectral.eigvalsh Matrices.top (Matrices.symmetric a) |]) |> Matrices.only

    // ------------------------------------------------------------------------------------------------ singular values

    /// U, S and V^T with A = U diag(S) V^T for A `[..; m; n]`: U `[..; m; k]` and V `[..; n; k]` have orthonormal columns, S `[..; k]` is
    /// descending and not negative, k the smaller of m and n. In each column of U the component of largest magnitude (the
    /// first of equal ones) is positive. By Jacobi's rotations of one side, a fixed number of sweeps; gradient: Townsend
    /// (2016), "Differentiating the singular value decomposition". For equal singular values see `eigh`; zeros count
    /// as equal to each other.
    /// <example><code>
    /// let u, s, vt = Linalg.svd (matrix [ [ 3.0; 0.0 ]; [ 4.0; 5.0 ] ])
    /// s * s // [45; 5]
    /// </code></example>
    let svd (a: Tensor) : Tensor * Tensor * Tensor =
        Matrices.checkMatrix "svd" a
        let rs = Matrices.batched (Spectral.svd Matrices.top false) a
        rs[0], rs[1], rs[2]

    /// The same with U `[..; m; m]` and V^T `[..; n; n]` square. Columns beyond k only span what is left; gradients are for functions
    /// that see no more than that.
    /// <example><code>
    /// let u, s, vt = Linalg.svdFull (matrix [ [ 3.0 ]; [ 4.0 ] ])
    /// u
    /// </code></example>
    let svdFull (a: Tensor) : Tensor * Tensor * Tensor =
        Matrices.checkMatrix "svdFull" a
        let rs = Matrices.batched (Spectral.svd Matrices.top true) a
        rs[0], rs[1], rs[2]

    /// The singular values, descending, `[..; m; n]` to `[..; k]`. Their gradient U diag(dS) V^T is finite everywhere.
    /// <example><code>
    /// Linalg.svdvals (matrix [ [ 3.0; 0.0 ]; [ 0.0; -4.0 ] ]) // [4; 3]
    /// </code></example>
    let svdvals (a: Tensor) : Tensor =
        Matrices.checkMatrix "svdvals" a
        a |> Matrices.batched (fun a -> [| Spectral.svdvals Matrices.top a |]) |> Matrices.only
