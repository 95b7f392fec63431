namespace Nanograd

open System

/// Which norm of a matrix.
[<RequireQualifiedAccess>]
type MatrixNorm =
    /// The root of the sum of squares.
    | Frobenius
    /// The sum of the singular values.
    | Nuclear
    /// The largest (smallest) column sum of magnitudes.
    | One
    | MinusOne
    /// The largest (smallest) singular value.
    | Two
    | MinusTwo
    /// The largest (smallest) row sum of magnitudes.
    | Infinity
    | MinusInfinity

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

    /// The factors are not constants: derivatives of a high order, which go through bodies, go through them.
    let private factored (a: Tensor) =
        let r = Factor.lu Matrices.top a
        r[0], r[1], r[2]

    // ------------------------------------------------------------------------------------------------ systems

    /// Which system `triangularSolveWith` solves: whether T is lower, is transposed, has ones on its diagonal (what stands there
    /// is not read), and stands to the left of the unknown.
    type Triangle = { Lower: bool; Transposed: bool; UnitDiagonal: bool; Left: bool }

    /// A lower triangle to the left.
    let lower = { Lower = true; Transposed = false; UnitDiagonal = false; Left = true }

    /// An upper triangle to the left.
    let upper = { lower with Lower = false }

    /// <summary>X of T X = B (or T^T X = B; not Left: X T = B), with T `[..; n; n]` and B `[..; n; k]` (`[..; k; n]`)
    /// or vectors `[n]`, `[..; n]`. Only the named triangle of T is read. A zero on the diagonal gives infinities or
    /// NaN. By substitution; gradient: Giles (2008), "Collected matrix derivative results".</summary>
    /// <example><code>Linalg.triangularSolveWith { Linalg.lower with Transposed = true } (matrix [ [ 2.; 0. ]; [ 1.; 4. ] ]) (tensor [ 4.; 8. ]) // tensor([1., 2.])</code></example>
    let triangularSolveWith (options: Triangle) (t: Tensor) (b: Tensor) : Tensor =
        system "triangularSolve" options.Left t b (fun t b ->
            let one = Matrices.number t 1.0
            let t = if options.UnitDiagonal then Op.select (Matrices.onDiagonal (Matrices.rows t)) one t else t
            let solve = Factor.solveTriangular Matrices.top options.Lower
            if options.Left then
                solve options.Transposed t b
            else
                Matrices.transposed (solve (not options.Transposed) t (Matrices.transposed b)))

    /// <summary>X of T X = B for a lower triangular T: `[..; n; n]` and `[..; n; k]`, or vectors. See
    /// triangularSolveWith for the other systems.</summary>
    /// <example><code>Linalg.triangularSolve (matrix [ [ 2.; 0. ]; [ 1.; 4. ] ]) (tensor [ 2.; 9. ]) // tensor([1., 2.])</code></example>
    let triangularSolve (t: Tensor) (b: Tensor) : Tensor = triangularSolveWith lower t b

    /// <summary>X of A X = B: `[..; n; n]` and `[..; n; k]`, or vectors `[n]`, `[..; n]`. A singular A gives infinities
    /// or NaN. By LU with partial pivoting; gradient: dB = A^-T dX, dA = -dB X^T.</summary>
    /// <example><code>Linalg.solve (matrix [ [ 2.; 1. ]; [ 0.; 4. ] ]) (tensor [ 4.; 8. ]) // tensor([1., 2.])</code></example>
    let solve (a: Tensor) (b: Tensor) : Tensor =
        system "solve" true a b (fun a b ->
            let packed, order, _ = factored a
            Factor.solveFactored Matrices.top false a packed order b)

    /// <summary>The inverse, `[..; n; n]`. A singular matrix gives infinities or NaN. By LU with partial
    /// pivoting.</summary>
    /// <example><code>Linalg.inv (matrix [ [ 2.; 0. ]; [ 0.; 4. ] ]) // tensor([[0.5000, 0.0000], [0.0000, 0.2500]])</code></example>
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

    /// <summary>The determinant, `[..; n; n]` to `[..]`; that of a matrix without elements is 1. By LU with partial
    /// pivoting; gradient: det A A^-T. Where a pivot is exactly 0 the gradient is that of a matrix nearby (1.5e-8 away,
    /// relative to the largest pivot; f32: 3.5e-4), and second derivatives of nearly singular matrices lose as many
    /// digits as their condition number has.</summary>
    /// <example><code>Linalg.det (matrix [ [ 2.; 1. ]; [ 1.; 3. ] ]) // tensor(5.)</code></example>
    let det (a: Tensor) : Tensor =
        a
        |> each "det" (fun a ->
            let packed, order, parity = factored a
            [| Factor.det Matrices.top a packed order parity |])
        |> Matrices.only

    /// <summary>Sign and logarithm of the absolute value of the determinant, `[..; n; n]` to `[..]` each; 0 and
    /// -infinity for a singular matrix. Neither overflows where the determinant would. Gradient: A^-T.</summary>
    /// <example><code>Linalg.slogdet (matrix [ [ 0.; 2. ]; [ 1.; 0. ] ]) // (tensor(-1.), tensor(0.6931))</code></example>
    let slogdet (a: Tensor) : Tensor * Tensor =
        let rs =
            a
            |> each "slogdet" (fun a ->
                let packed, order, parity = factored a
                let signs = Op.unary Unary.Sign (Matrices.diagonal packed)
                [| Op.reduce Reduction.Prod [ 1 ] signs * parity; Factor.logDet Matrices.top a packed order |])
        rs[0], rs[1]

    /// <summary>The lower triangular L with a positive diagonal and A = L L^T, for a symmetric positive definite A
    /// `[..; n; n]`. Of any other A the symmetric part (A + A^T) / 2 counts, so that derivatives are symmetric. Where
    /// that is not positive definite, the whole factor is NaN: `isPositiveDefinite` says where. Gradient: Murray
    /// (2016), "Differentiation of the Cholesky decomposition".</summary>
    /// <example><code>Linalg.cholesky (matrix [ [ 4.; 2. ]; [ 2.; 5. ] ]) // tensor([[2., 0.], [1., 2.]])</code></example>
    let cholesky (a: Tensor) : Tensor =
        Matrices.checkSquare "cholesky" a
        a |> Matrices.batched (fun a -> [| Factor.cholesky Matrices.top (Matrices.symmetric a) |]) |> Matrices.only

    /// <summary>The upper triangular factor U with A = U^T U: the transpose of `cholesky`.</summary>
    /// <example><code>Linalg.choleskyUpper (matrix [ [ 4.; 2. ]; [ 2.; 5. ] ]) // tensor([[2., 1.], [0., 2.]])</code></example>
    let choleskyUpper (a: Tensor) : Tensor =
        Matrices.checkSquare "choleskyUpper" a
        transpose (cholesky a)

    /// <summary>Whether the symmetric part of each matrix is positive definite, `[..; n; n]` to bool `[..]`: whether
    /// `cholesky` has a factor without NaN.</summary>
    /// <example><code>Linalg.isPositiveDefinite (matrix [ [ 1.; 2. ]; [ 2.; 1. ] ]) // tensor(false)</code></example>
    let isPositiveDefinite (a: Tensor) : Tensor =
        Matrices.checkSquare "isPositiveDefinite" a
        let total = sumOver [ -2; -1 ] (cholesky a)
        eq total total

    /// <summary>X of A X = B, given A's lower Cholesky factor: `[..; n; n]` and `[..; n; k]`, or vectors.</summary>
    /// <example><code>Linalg.choleskySolve (Linalg.cholesky (matrix [ [ 4.; 2. ]; [ 2.; 5. ] ])) (tensor [ 8.; 12. ]) // tensor([1., 2.])</code></example>
    let choleskySolve (l: Tensor) (b: Tensor) : Tensor =
        system "choleskySolve" true l b (fun l b ->
            let solve isTransposed = Factor.solveTriangular Matrices.top true isTransposed l
            solve true (solve false b))

    /// <summary>P, L and U with P A = L U for A `[..; m; n]`: P permutes rows (`[..; m; m]`), L `[..; m; k]` is lower
    /// triangular with ones on its diagonal and no larger elements, U `[..; k; n]` upper triangular, k the smaller of m
    /// and n. Partial pivoting; of equal candidates the first. A singular matrix has zeros on U's diagonal, and no
    /// derivative. (torch.linalg.lu's P is the transpose of this one.)</summary>
    /// <example><code>Linalg.lu (matrix [ [ 1.; 2. ]; [ 4.; 4. ] ]) // (tensor([[0., 1.], [1., 0.]]), tensor([[1.0000, 0.0000], [0.2500, 1.0000]]), tensor([[4., 4.], [0., 1.]]))</code></example>
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

    /// <summary>Q and R with A = Q R for A `[..; m; n]`: Q `[..; m; k]` has orthonormal columns, R `[..; k; n]` is
    /// upper triangular with a nonnegative diagonal, k the smaller of m and n. By Householder's reflections; gradient:
    /// Walter and Lehmann (2010), Roberts and Roberts (2020). The first k columns of A must be independent for the
    /// gradient to exist.</summary>
    /// <example><code>snd (Linalg.qr (matrix [ [ 3.; 0. ]; [ 4.; 5. ] ])) // tensor([[5., 4.], [0., 3.]])</code></example>
    let qr (a: Tensor) : Tensor * Tensor =
        Matrices.checkMatrix "qr" a
        let rs = Matrices.batched (Factor.qr Matrices.top) a
        rs[0], rs[1]

    /// <summary>The same with Q `[..; m; m]` square and R `[..; m; n]` of A's shape. Columns of Q beyond the smaller
    /// extent are not unique; these are the ones that the reflections make, and derivatives are theirs.</summary>
    /// <example><code>(fst (Linalg.qrComplete (matrix [ [ 3. ]; [ 4. ] ]))).Shape // [2,2]</code></example>
    let qrComplete (a: Tensor) : Tensor * Tensor =
        Matrices.checkMatrix "qrComplete" a
        let rs = Matrices.batched Factor.qrComplete a
        rs[0], rs[1]

    // ------------------------------------------------------------------------------------------------ eigenvalues

    /// <summary>Eigenvalues, ascending (`[..; n]`), and orthonormal eigenvectors, as columns (`[..; n; n]`), of a
    /// symmetric matrix; of any other the symmetric part (A + A^T) / 2 counts. In each eigenvector the component of
    /// largest magnitude (the first of equal ones) is positive. By Jacobi's rotations, a fixed number of sweeps.
    /// Gradient: Giles (2008). Where eigenvalues are equal up to rounding, the eigenvectors are not functions of the
    /// matrix: what turns them among themselves is left out of the gradient, which is right for functions that do not
    /// depend on it, and finite for all.</summary>
    /// <example><code>fst (Linalg.eigh (matrix [ [ 2.; 1. ]; [ 1.; 2. ] ])) // tensor([1.0000, 3.0000])</code></example>
    let eigh (a: Tensor) : Tensor * Tensor =
        Matrices.checkSquare "eigh" a
        let rs = a |> Matrices.batched (fun a -> Spectral.eigh Matrices.top (Matrices.symmetric a))
        rs[0], rs[1]

    /// <summary>The eigenvalues of a symmetric matrix, ascending, `[..; n; n]` to `[..; n]`. Their gradient is finite
    /// everywhere; where eigenvalues are equal it is that of one order of them.</summary>
    /// <example><code>Linalg.eigvalsh (matrix [ [ 3.; 0. ]; [ 0.; -1. ] ]) // tensor([-1., 3.])</code></example>
    let eigvalsh (a: Tensor) : Tensor =
        Matrices.checkSquare "eigvalsh" a
        a |> Matrices.batched (fun a -> [| Spectral.eigvalsh Matrices.top (Matrices.symmetric a) |]) |> Matrices.only

    // ------------------------------------------------------------------------------------------------ singular values

    /// <summary>U, S and V^T with A = U diag(S) V^T for A `[..; m; n]`: U `[..; m; k]` and V `[..; n; k]` have
    /// orthonormal columns, S `[..; k]` is descending and not negative, k the smaller of m and n. In each column of U
    /// the component of largest magnitude (the first of equal ones) is positive. By Jacobi's rotations of one side, a
    /// fixed number of sweeps; gradient: Townsend (2016), "Differentiating the singular value decomposition". For equal
    /// singular values see `eigh`; zeros count as equal to each other.</summary>
    /// <example><code>(let u, s, vt = Linalg.svd (matrix [ [ 0.; 2. ]; [ -3.; 0. ] ]) in matmul (u * s) vt) // tensor([[0., 2.], [-3., 0.]])</code></example>
    let svd (a: Tensor) : Tensor * Tensor * Tensor =
        Matrices.checkMatrix "svd" a
        let rs = Matrices.batched (Spectral.svd Matrices.top false) a
        rs[0], rs[1], rs[2]

    /// <summary>The same with U `[..; m; m]` and V^T `[..; n; n]` square. Columns beyond k only span what is left;
    /// gradients are for functions that see no more than that.</summary>
    /// <example><code>(let u, _, _ = Linalg.svdFull (matrix [ [ 3. ]; [ 4. ] ]) in u.Shape) // [2,2]</code></example>
    let svdFull (a: Tensor) : Tensor * Tensor * Tensor =
        Matrices.checkMatrix "svdFull" a
        let rs = Matrices.batched (Spectral.svd Matrices.top true) a
        rs[0], rs[1], rs[2]

    /// <summary>The singular values, descending, `[..; m; n]` to `[..; k]`. Their gradient U diag(dS) V^T is finite
    /// everywhere.</summary>
    /// <example><code>Linalg.svdvals (matrix [ [ 3.; 0. ]; [ 0.; -4. ] ]) // tensor([4., 3.])</code></example>
    let svdvals (a: Tensor) : Tensor =
        Matrices.checkMatrix "svdvals" a
        a |> Matrices.batched (fun a -> [| Spectral.svdvals Matrices.top a |]) |> Matrices.only

    // ------------------------------------------------------------------------------------------------ pseudoinverse

    let private precision (a: Tensor) =
        let one = if a.DType = DType.F64 then 2.220446049250313e-16 else 1.1920929e-7
        one * float (max (Matrices.rows a) (Matrices.columns a))

    /// <summary>The pseudoinverse of Moore and Penrose, `[..; m; n]` to `[..; n; m]`. Singular values of at most
    /// `tolerance` times the largest count as zeros. Gradient: Golub and Pereyra (1973), for matrices whose rank does
    /// not change nearby.</summary>
    /// <example><code>Linalg.pinvWith 1e-3 (matrix [ [ 1.; 0. ]; [ 0.; 1e-6 ] ]) // tensor([[1., 0.], [0., 0.]])</code></example>
    let pinvWith (tolerance: float) (a: Tensor) : Tensor =
        Matrices.checkMatrix "pinv" a
        a |> Matrices.batched (fun a -> [| MatrixFunctions.pinv tolerance Matrices.top a |]) |> Matrices.only

    /// <summary>The pseudoinverse, with a tolerance of the larger extent times the precision of the type.</summary>
    /// <example><code>Linalg.pinv (matrix [ [ 2.; 0. ]; [ 0.; 0. ]; [ 0.; 4. ] ]) // tensor([[0.5000, 0.0000, 0.0000], [0.0000, 0.0000, 0.2500]])</code></example>
    let pinv (a: Tensor) : Tensor =
        Matrices.checkMatrix "pinv" a
        pinvWith (precision a) a

    /// <summary>The X of least norm among those that make |A X - B| least: `[..; m; n]` and `[..; m; k]` (or vectors
    /// `[m]`, `[..; m]`) to `[..; n; k]` (`[n]`, `[..; n]`). Any shape and rank of A.</summary>
    /// <example><code>Linalg.lstsq (matrix [ [ 1.; 0. ]; [ 1.; 1. ]; [ 1.; 2. ] ]) (tensor [ 1.; 3.; 5. ]) // tensor([1.0000, 2.0000])</code></example>
    let lstsq (a: Tensor) (b: Tensor) : Tensor =
        Matrices.checkMatrix "lstsq" a
        let isVector = b.Rank = 1 || (b.Rank = a.Rank - 1 && b.Shape = a.Shape[.. a.Rank - 2])
        let sides = if isVector then unsqueeze -1 b else b
        if b.Rank = 0 || Matrices.rows sides <> Matrices.rows a then
            fail "lstsq" $"the right sides must have {Matrices.rows a} rows" "" [ a; b ]
        let x = matmul (pinv a) sides
        if isVector then squeeze -1 x else x

    /// <summary>The number of singular values above `tolerance` times the largest, `[..; m; n]` to i64
    /// `[..]`.</summary>
    /// <example><code>Linalg.matrixRankWith 1e-3 (matrix [ [ 1.; 0. ]; [ 0.; 1e-6 ] ]) // tensor(1)</code></example>
    let matrixRankWith (tolerance: float) (a: Tensor) : Tensor =
        Matrices.checkMatrix "matrixRank" a
        let s = svdvals a
        let k = s.Shape[s.Rank - 1]
        if k = 0 then
            full DType.I64 s.Shape[.. s.Rank - 2] 0.0
        else
            gt s (slice -1 0 1 s * tolerance) |> cast DType.I64 |> sumOver [ -1 ]

    /// <summary>The rank, with a tolerance of the larger extent times the precision of the type.</summary>
    /// <example><code>Linalg.matrixRank (matrix [ [ 1.; 2. ]; [ 2.; 4. ] ]) // tensor(1)</code></example>
    let matrixRank (a: Tensor) : Tensor =
        Matrices.checkMatrix "matrixRank" a
        matrixRankWith (precision a) a

    // ------------------------------------------------------------------------------------------------ functions of matrices

    let private identityLike (a: Tensor) =
        let n = Matrices.rows a
        Op.broadcast a.Shape (Op.reshape [| n; n |] (Matrices.identity a.DType 1 n n))

    /// <summary>A A ... A, `exponent` times, by repeated squaring, `[..; n; n]`. The 0th power is the identity;
    /// negative powers are those of the inverse.</summary>
    /// <example><code>Linalg.matrixPower 10 (matrix [ [ 1.; 1. ]; [ 1.; 0. ] ]) // tensor([[89., 55.], [55., 34.]])</code></example>
    let matrixPower (exponent: int) (a: Tensor) : Tensor =
        Matrices.checkSquare "matrixPower" a
        let rec power (n: uint32) (square: Tensor) =
            if n = 1u then square
            elif n % 2u = 0u then power (n / 2u) (matmul square square)
            else matmul square (power (n / 2u) (matmul square square))
        if exponent = 0 then identityLike a
        elif exponent > 0 then power (uint32 exponent) a
        else power (uint32 -(int64 exponent)) (inv a)

    /// <summary>exp of a matrix, `[..; n; n]`: I + A + A A / 2 + ... By scaling, a Pade approximant, and squaring
    /// (Higham 2005, "The scaling and squaring method for the matrix exponential revisited"); gradient: Mathias (1996).
    /// A 1-norm above 10^10 gives NaN.</summary>
    /// <example><code>Linalg.matrixExp (matrix [ [ 0.; 1. ]; [ 0.; 0. ] ]) // tensor([[1., 1.], [0., 1.]])</code></example>
    let matrixExp (a: Tensor) : Tensor =
        Matrices.checkSquare "matrixExp" a
        a |> Matrices.batched (fun a -> [| MatrixFunctions.exponential Matrices.top a |]) |> Matrices.only

    /// <summary>The sum of the diagonal, `[..; n; m]` to `[..]`; any element type.</summary>
    /// <example><code>Linalg.trace (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor(5.)</code></example>
    let trace (a: Tensor) : Tensor = Contractions.trace a

    /// <summary>The product of a chain of matrices in the order that needs the fewest multiplications. The first may be
    /// a vector (a row), the last, too (a column).</summary>
    /// <example><code>Linalg.multiDot [ ones [| 3; 2 |]; ones [| 2; 9 |]; ones [| 9 |] ] // tensor([18., 18., 18.])</code></example>
    let multiDot (chain: Tensor list) : Tensor =
        let xs = Array.ofList chain
        let last = xs.Length - 1
        let isEnd i = i = 0 || i = last
        match Array.tryFindIndex id (xs |> Array.mapi (fun i x -> not (x.Rank = 2 || (x.Rank = 1 && isEnd i)))) with
        | _ when xs.Length < 2 ->
            raise (ShapeException("multiDot", "at least two matrices are needed", string xs.Length, ""))
        | Some i -> fail "multiDot" $"operand {i} must be a matrix" "the first and the last may be vectors" chain
        | None ->
            let wide =
                xs
                |> Array.mapi (fun i x ->
                    if x.Rank = 2 then x
                    elif i = 0 then Op.reshape [| 1; x.Count |] x
                    else Op.reshape [| x.Count; 1 |] x)
            for i in 1..last do
                let left, right = wide[i - 1].Shape[1], wide[i].Shape[0]
                if left <> right then
                    fail "multiDot" $"inner axes of operands {i - 1} and {i} must agree ({left} and {right})" "" chain
            let cuts =
                MatrixFunctions.chainCuts (
                    Array.append [| wide[0].Shape[0] |] (wide |> Array.map (fun x -> x.Shape[1]))
                )
            let rec product i j = if i = j then wide[i] else matmul (product i cuts[i, j]) (product (cuts[i, j] + 1) j)
            let ends =
                [| if xs[0].Rank = 2 then xs[0].Shape[0]
                   if xs[last].Rank = 2 then xs[last].Shape[1] |]
            Op.reshape ends (product 0 last)

    // ------------------------------------------------------------------------------------------------ norms

    /// sqrt with derivative 0 at 0, where the root has none: the norm of zeros has subgradient 0.
    let private rootOf (x: Tensor) =
        let isZero = eq x (zerosLike x)
        where isZero (zerosLike x) (sqrt (where isZero (Calculus.fill x.DType x.Shape 1.0) x))

    let private checkFloat op (x: Tensor) =
        if not (DType.isFloat x.DType) then fail op "the elements must be floats" "cast them first" [ x ]

    /// <summary>The p-norm over `axes`, which disappear: (sum of |x|^p)^(1/p), for any p. infinity: the largest
    /// magnitude; -infinity: the smallest; 0: how many elements are not 0. The gradient at zeros is 0.</summary>
    /// <example><code>Linalg.vectorNorm 1.0 [ 0 ] (tensor [ 3.; -4. ]) // tensor(7.)</code></example>
    let vectorNorm (p: float) (axes: seq<int>) (x: Tensor) : Tensor =
        checkFloat "vectorNorm" x
        if Double.IsNaN p then raise (ShapeException("vectorNorm", "p must be a number", "nan", ""))
        let size = abs x
        if p = 2.0 then
            rootOf (sumOver axes (x * x))
        elif p = 1.0 then
            sumOver axes size
        elif p = 0.0 then
            ne x (zerosLike x) |> cast x.DType |> sumOver axes
        elif Double.IsPositiveInfinity p then
            if x.Count = 0 then sumOver axes size else amax axes size
        elif Double.IsNegativeInfinity p then
            amin axes size
        else
            // Powers of 0 have no finite derivative for p < 1: they are made constants.
            let isZero = eq x (zerosLike x)
            let one = Calculus.fill x.DType x.Shape 1.0
            let power = where isZero (zerosLike x) ((where isZero one size) ** p)
            if p > 0.0 then
                let total = sumOver axes power
                let isNothing = eq total (zerosLike total)
                let safe = where isNothing (Calculus.fill total.DType total.Shape 1.0) total
                where isNothing (zerosLike total) (safe ** (1.0 / p))
            else
                // A zero among the elements makes the norm 0, as 1 / infinity.
                let someZero = gt (sumOver axes (cast x.DType isZero)) (Op.constant (Constant.ofFloat x.DType 0.0))
                let total = sumOver axes power
                where
                    someZero
                    (zerosLike total)
                    (where someZero (Calculus.fill total.DType total.Shape 1.0) total ** (1.0 / p))

    /// <summary>The Euclidean norm of all elements: for a matrix the Frobenius norm. The gradient at zeros is
    /// 0.</summary>
    /// <example><code>Linalg.norm (tensor [ 3.; -4. ]) // tensor(5.)</code></example>
    let norm (x: Tensor) : Tensor =
        checkFloat "norm" x
        rootOf (sum (x * x))

    /// <summary>A norm of matrices, `[..; m; n]` to `[..]`.</summary>
    /// <example><code>Linalg.matrixNorm MatrixNorm.Infinity (matrix [ [ 1.; -2. ]; [ 3.; 4. ] ]) // tensor(7.)</code></example>
    let matrixNorm (order: MatrixNorm) (x: Tensor) : Tensor =
        Matrices.checkMatrix "matrixNorm" x
        let sums axis = sumOver [ axis ] (abs x)
        let largest (s: Tensor) = if s.Shape[s.Rank - 1] = 0 then sumOver [ -1 ] s else amax [ -1 ] s
        match order with
        | MatrixNorm.Frobenius -> rootOf (sumOver [ -2; -1 ] (x * x))
        | MatrixNorm.Nuclear -> sumOver [ -1 ] (svdvals x)
        | MatrixNorm.One -> largest (sums -2)
        | MatrixNorm.MinusOne -> amin [ -1 ] (sums -2)
        | MatrixNorm.Two -> largest (svdvals x)
        | MatrixNorm.MinusTwo -> amin [ -1 ] (svdvals x)
        | MatrixNorm.Infinity -> largest (sums -1)
        | MatrixNorm.MinusInfinity -> amin [ -1 ] (sums -1)

    /// <summary>The condition number by a norm: |A| |A^-1| for square matrices, for the norms Two and MinusTwo the
    /// ratio of the extreme singular values, of any shape. Infinity (Two) for a singular matrix.</summary>
    /// <example><code>Linalg.condBy MatrixNorm.One (matrix [ [ 2.; 0. ]; [ 0.; 0.5 ] ]) // tensor(4.)</code></example>
    let condBy (order: MatrixNorm) (a: Tensor) : Tensor =
        let extremes () =
            Matrices.checkMatrix "cond" a
            let s = svdvals a
            amax [ -1 ] s, amin [ -1 ] s
        match order with
        | MatrixNorm.Two -> let top, bottom = extremes () in top / bottom
        | MatrixNorm.MinusTwo -> let top, bottom = extremes () in bottom / top
        | MatrixNorm.Frobenius
        | MatrixNorm.Nuclear
        | MatrixNorm.One
        | MatrixNorm.MinusOne
        | MatrixNorm.Infinity
        | MatrixNorm.MinusInfinity ->
            Matrices.checkSquare "cond" a
            matrixNorm order a * matrixNorm order (inv a)

    /// <summary>The condition number: the largest singular value divided by the smallest, `[..; m; n]` to
    /// `[..]`.</summary>
    /// <example><code>Linalg.cond (matrix [ [ 2.; 0. ]; [ 0.; 0.5 ] ]) // tensor(4.)</code></example>
    let cond (a: Tensor) : Tensor = condBy MatrixNorm.Two a

    // ------------------------------------------------------------------------------------------------ vectors

    /// <summary>The cross product of vectors of three elements along an axis; other axes broadcast.</summary>
    /// <example><code>Linalg.cross 0 (tensor [ 1.; 0.; 0. ]) (tensor [ 0.; 1.; 0. ]) // tensor([0., 0., 1.])</code></example>
    let cross (axis: int) (x: Tensor) (y: Tensor) : Tensor =
        match Shape.tryBroadcast x.Shape y.Shape with
        | Error(_, a, b) -> fail "cross" $"shapes must broadcast ({a} and {b})" "" [ x; y ]
        | Ok shape ->
            let x, y = Op.broadcast shape x, Op.broadcast shape y
            let axis = Shape.axis "cross" x axis
            if shape[axis] <> 3 then fail "cross" $"axis {axis} must have 3 elements" "" [ x; y ]
            let part (t: Tensor) i = slice axis (i % 3) (i % 3 + 1) t
            concat axis [ for i in 0..2 -> part x (i + 1) * part y (i + 2) - part x (i + 2) * part y (i + 1) ]

    /// <summary>Powers 0, 1, ..., count - 1 of each element, `[..; n]` to `[..; n; count]` (Vandermonde's
    /// matrix).</summary>
    /// <example><code>Linalg.vander 3 (tensor [ 1.; 2.; 3. ]) // tensor([[1., 1., 1.], [1., 2., 4.], [1., 3., 9.]])</code></example>
    let vander (count: int) (x: Tensor) : Tensor =
        if x.Rank = 0 then fail "vander" "the operand must have at least one axis" "" [ x ]
        if count < 0 then fail "vander" $"the count must not be negative, and is {count}" "" [ x ]
        let power (last: Tensor) = last * x
        let powers =
            List.unfold
                (fun (i, p) -> if i = count then None else Some(p, (i + 1, power p)))
                (0, Calculus.fill x.DType x.Shape 1.0)
        if count = 0 then full x.DType (Array.append x.Shape [| 0 |]) 0.0 else stack -1 powers

    /// <summary>A random matrix with orthonormal columns (rows, if there are fewer of them), f32, uniform over all
    /// such: the Q of a normal matrix whose R has a positive diagonal (Mezzadri 2007). Of more than two axes the first
    /// stays and the others count as one, as for weights of layers.</summary>
    /// <example><code>(Linalg.orthogonal (Random.key 1L) [| 3; 2 |]).Shape // [3,2]</code></example>
    let orthogonal (key: Tensor) (shape: int[]) : Tensor =
        if shape.Length < 2 then
            raise (ShapeException("orthogonal", "the shape must have at least two axes", Shape.show shape, ""))
        let rows, columns = shape[0], Shape.count shape[1..]
        let q, _ = qr (Random.normal key [| max rows columns; min rows columns |])
        Op.reshape shape (if rows < columns then transpose q else q)
