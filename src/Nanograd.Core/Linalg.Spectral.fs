namespace Nanograd

/// Eigenvalues and singular values by Jacobi's rotations, on stacks of matrices. All rotations of a round act on pairs of rows
/// that are disjoint, so a round is a few elementwise operations; after a sweep of rounds every pair has met once.
[<RequireQualifiedAccess>]
module internal Spectral =
    let private where c a b = Op.select c a b
    let private is comparison (a: Tensor) (b: Tensor) = Op.binary comparison a b
    let private whole (n: int) = Op.constant (Constant.ofInt DType.I64 (int64 n))
    let private number = Matrices.number
    let private dot = Matrices.product
    let private transposed = Matrices.transposed
    let private column (v: Tensor) = Op.reshape [| v.Shape[0]; v.Shape[1]; 1 |] v
    let private across (v: Tensor) = Op.reshape [| v.Shape[0]; 1; v.Shape[1] |] v

    // ------------------------------------------------------------------------------------------------ rounds

    /// Rounds in which n players meet in pairs, each pair once (the round robin of chess tournaments).
    let private rounds n = if n % 2 = 0 then n - 1 else n

    /// Sweeps until nothing but rounding is left: convergence is quadratic at the end, and takes about log n sweeps to begin.
    /// Decaying spectra would take many more, were it not for a factorisation with pivots before the first sweep, which brings
    /// them into order (Drmac and Veselic 2008).
    let private sweeps (x: Tensor) n =
        let bits = int (System.Math.Ceiling(System.Math.Log2(float n)))
        (if x.DType = DType.F64 then 6 else 5) + bits

    /// All sweeps of a round's function on two carried stacks.
    let private turnings (round: int -> Tensor -> Tensor[] -> Tensor[]) (start: Tensor[]) =
        let n = Matrices.rows start[0]
        let body step carries _ = round n (step % whole (rounds n)) carries, [||]
        if n = 1 then start else fst (Matrices.loop (sweeps start[0] n * rounds n) false start [||] body)

    /// The partner of each row in round k: rows whose numbers add up to k, modulo the number of rounds; a row that would meet
    /// itself rests, or meets the last one where n is even.
    let private partners n (k: Tensor) =
        let modulus = rounds n
        let i = Op.iota DType.I64 [| n |] 0
        let other = (k - i + whole modulus) % whole modulus
        if n % 2 <> 0 then
            other
        else
            let last = k * whole (n / 2) % whole modulus // twice this is k
            where (is Binary.Eq i (whole (n - 1))) last (where (is Binary.Eq other i) (whole (n - 1)) other)

    /// Tangents of the rotations that make the off-diagonal elements of [[d; off]; [off; partner]] vanish, of angles of at
    /// most 45 degrees, and their cosines. A row's tangent is exactly minus its partner's, so that both see one rotation.
    let private rotation n (others: Tensor) (d: Tensor) (partner: Tensor) (off: Tensor) =
        let zero, one = number d 0.0, number d 1.0
        let still = is Binary.Eq off zero
        let ratio = (partner - d) / (2.0 * where still one off)
        let isFirst = is Binary.Lt (Op.iota DType.I64 [| n |] 0) others
        let side = where isFirst one (number d -1.0)
        let sign = where (is Binary.Eq ratio zero) side (where (is Binary.Lt ratio zero) (number d -1.0) one)
        let tangent = where still zero (sign / (abs ratio + sqrt (1.0 + ratio * ratio)))
        let rests = is Binary.Eq (Op.iota DType.I64 [| n |] 0) others
        let tangent = where rests zero tangent
        tangent, 1.0 / sqrt (1.0 + tangent * tangent)

    let private turn (others: Tensor) (cosine: Tensor) (sine: Tensor) (x: Tensor) =
        column cosine * x - column sine * Op.gather 1 0 x others

    // ------------------------------------------------------------------------------------------------ symmetric matrices

    /// One round on A (both sides) and on the rows of V^T. The elements that vanish are set to 0, and the diagonal is updated by
    /// differences, which loses less than the products would (Rutishauser 1966).
    let private eighRound n (k: Tensor) (carries: Tensor[]) =
        let a, v = carries[0], carries[1]
        let batch = a.Shape[0]
        let i, others = Op.iota DType.I64 [| n |] 0, partners n k
        let d = Matrices.diagonal a
        // Both of a pair read the same element.
        let place = Op.binary Binary.Min i others * whole n + Op.binary Binary.Max i others
        let off = Op.gather 1 0 (Op.reshape [| batch; n * n |] a) place
        let tangent, cosine = rotation n others d (Op.gather 1 0 d others) off
        let sine = tangent * cosine
        let rows = turn others cosine sine a
        let both = across cosine * rows - across sine * Op.gather 2 0 rows others
        let isPair = is Binary.Eq (Op.iota DType.I64 [| n; n |] 1) (Op.reshape [| n; 1 |] others)
        let turned = where isPair (number a 0.0) both
        let exact = Op.broadcast a.Shape (column (d - tangent * off))
        [| where (Matrices.onDiagonal n) exact turned; turn others cosine sine v |]

    /// Each row of a stack times the sign of its first element of largest magnitude.
    let private signsOf (x: Tensor) = // [batch; rows]
        let place = Matrices.firstLargest 2 (abs x)
        Matrices.signOf (Op.gather 2 2 x place)

    /// Eigenvalues, ascending, and rows of eigenvectors of a symmetric matrix.
    let private eighBody (a: Tensor) =
        let n, batch = Matrices.rows a, a.Shape[0]
        if n = 0 then
            [| Op.reshape [| batch; 0 |] a; a |]
        else
            let scale = Matrices.scaleOf a
            let q = (Factor.qrBody true n (a / scale))[0]
            let r = turnings eighRound [| Matrices.symmetric (dot (transposed q) (dot (a / scale) q)); transposed q |]
            let values, order = Op.sort 1 false (Matrices.diagonal r[0])
            let vectors = Op.gather 1 1 r[1] order
            [| values * Op.reshape [| batch; 1 |] scale; transposed (Matrices.scaleRows (signsOf vectors) vectors) |]

    /// 1 / (y_j - y_i), and 0 where the difference is no more than rounding: functions that treat equal values alike have no
    /// use for it there.
    let private inverseDifferences (y: Tensor) (difference: Tensor) (scale: Tensor) =
        let n = y.Shape[1]
        let precision = if y.DType = DType.F64 then 2.3e-16 else 1.2e-7
        let largest = Op.reduce Reduction.Max [ 1 ] (abs y) |> Op.reshape [| y.Shape[0]; 1; 1 |]
        let none = is Binary.Le (abs difference) (largest * (float n * precision))
        let safe = where none (number y 1.0) (difference * scale)
        where none (number y 0.0) (1.0 / safe)

    /// Eigenvalues `[batch; n]` and eigenvectors (columns). Gradient: V (diag dw + F o V^T dV) V^T, F_ij = 1 / (w_j - w_i) (Giles
    /// 2008).
    let rec eigh level (a: Tensor) : Tensor[] =
        let rule: Matrices.Rule =
            { Name = "eigh"
              Body = fun xs -> eighBody xs[0]
              Gradient =
                fun level xs cs ->
                    let r = eigh level xs[0]
                    let w, v = r[0], r[1]
                    if Matrices.rows v = 0 then
                        [| xs[0] |]
                    else
                        let f = inverseDifferences w (across w - column w) (number w 1.0)
                        let inner = Matrices.onto cs[0] + f * dot (transposed v) cs[1]
                        [| dot (dot v inner) (transposed v) |] }
        Matrices.apply rule level [| a |]

    /// The eigenvalues alone: their gradient V diag(dw) V^T needs no differences.
    let eigvalsh level (a: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "eigvalsh"
              Body = fun xs -> [| (eighBody xs[0])[0] |]
              Gradient =
                fun level xs cs ->
                    let v = (eigh level xs[0])[1]
                    [| dot (Matrices.scaleColumns v cs[0]) (transposed v) |] }
        Matrices.only (Matrices.apply rule level [| a |])

    // ------------------------------------------------------------------------------------------------ singular values

    /// One round on the rows of W = U^T A and of U^T: pairs of rows of W become orthogonal (Hestenes 1958).
    let private svdRound n (k: Tensor) (carries: Tensor[]) =
        let w, u = carries[0], carries[1]
        let others = partners n k
        let partner = Op.gather 1 0 w others
        let size, meeting = Op.reduce Reduction.Sum [ 2 ] (w * w), Op.reduce Reduction.Sum [ 2 ] (w * partner)
        let tangent, cosine = rotation n others size (Op.gather 1 0 size others) meeting
        let sine = tangent * cosine
        [| column cosine * w - column sine * partner; turn others cosine sine u |]

    /// For at least as many rows as columns, n: U with `count` columns, singular values, and V. A is reduced to its triangle R
    /// with pivots, whose rows become W: singular values times rows of V^T. Making V by QR keeps it orthonormal also where
    /// they are zero.
    let private tallBody count (a: Tensor) =
        let n, batch = Matrices.columns a, a.Shape[0]
        let outer = Factor.qrBody true count a
        let r = turnings svdRound [| Matrices.slice 1 0 n outer[1]; Matrices.identity a.DType batch n n |]
        let norms = sqrt (Op.reduce Reduction.Sum [ 2 ] (r[0] * r[0]))
        let values, order = Op.sort 1 true norms
        let sorted (x: Tensor) = transposed (Op.gather 1 1 x order)
        let v = (Factor.qrBody false n (sorted r[0]))[0]
        let u = dot (Matrices.slice 2 0 n outer[0]) (sorted r[1])
        let u = if count = n then u else Op.concat 2 [| u; Matrices.slice 2 n count outer[0] |]
        u, values, Factor.unpermuteRows outer[2] v

    /// U, S and V^T: reduced to the smaller extent k, or with U and V square. The component of largest magnitude in each column
    /// of U is positive; columns of V go with theirs, those beyond k have the same rule for themselves.
    let private svdBody (isFull: bool) (a: Tensor) =
        let m, n, batch = Matrices.rows a, Matrices.columns a, a.Shape[0]
        let k = min m n
        if k = 0 then
            let one size count = Matrices.identity a.DType batch size count
            let extent size = if isFull then size else 0
            [| one m (extent m); Calculus.fill a.DType [| batch; 0 |] 0.0; one (extent n) n |]
        else
            let scale = Matrices.scaleOf a
            let scaled = a / scale
            let left, s, right =
                if m >= n then
                    let u, s, v = tallBody (if isFull then m else n) scaled
                    transposed u, s, transposed v
                else
                    let v, s, u = tallBody (if isFull then n else m) (transposed scaled)
                    transposed u, s, transposed v
            let signs = signsOf left
            let own (x: Tensor) = if x.Shape[1] = k then [||] else [| signsOf (Matrices.slice 1 k x.Shape[1] x) |]
            let shared = Matrices.slice 1 0 k signs
            let ofRight = Op.concat 1 (Array.append [| shared |] (own right))
            [| transposed (Matrices.scaleRows signs left)
               s * Op.reshape [| batch; 1 |] scale
               Matrices.scaleRows ofRight right |]

    /// The gradient by Townsend (2016): U ((F o skew(U^T dU)) S + S (F o skew(V^T dV)) + diag dS) V^T with F_ij = 1 / (s_j^2 -
    /// s_i^2) and skew X = X - X^T, and what moves U and V out of the spaces that they span.
    let private svdGradient (u: Tensor) (s: Tensor) (vt: Tensor) (du: Tensor) (ds: Tensor) (dv: Tensor) =
        let v = transposed vt
        let k = s.Shape[1]
        let f = inverseDifferences s (across s - column s) (across s + column s)
        let skew x = x - transposed x
        let uu, vv = dot (transposed u) du, dot (transposed v) dv
        let inner = Matrices.scaleColumns (f * skew uu) s + Matrices.scaleRows s (f * skew vv) + Matrices.onto ds
        let inside = dot (dot u inner) vt
        let inverse = Op.reshape s.Shape (inverseDifferences s (across s) (number s 1.0))
        let outOf (x: Tensor) (dx: Tensor) (xx: Tensor) = Matrices.scaleColumns (dx - dot x xx) inverse
        let withU = if Matrices.rows u > k then inside + dot (outOf u du uu) vt else inside
        if Matrices.rows v > k then withU + dot u (transposed (outOf v dv vv)) else withU

    /// U `[m; k]` or `[m; m]`, S `[k]`, V^T `[k; n]` or `[n; n]`. Columns beyond k are free to turn among themselves; functions that do
    /// not see that have their gradient through the space that is left for them: dU1 - U2 dU2^T U1.
    let rec svd level (isFull: bool) (a: Tensor) : Tensor[] =
        let rule: Matrices.Rule =
            { Name = if isFull then "svdFull" else "svd"
              Body = fun xs -> svdBody isFull xs[0]
              Gradient =
                fun level xs cs ->
                    let r = svd level isFull xs[0]
                    let k = r[1].Shape[1]
                    if k = 0 then
                        [| Matrices.zeros xs[0] |]
                    else
                        let first, rest =
                            Matrices.slice 2 0 k, (fun (x: Tensor) -> Matrices.slice 2 k (Matrices.columns x) x)
                        let fold (x: Tensor) (dx: Tensor) =
                            if Matrices.columns x = k then
                                x, dx
                            else
                                first x, first dx - dot (rest x) (dot (transposed (rest dx)) (first x))
                        let u, du = fold r[0] cs[0]
                        let v, dv = fold (transposed r[2]) (transposed cs[2])
                        [| svdGradient u r[1] (transposed v) du cs[1] dv |] }
        Matrices.apply rule level [| a |]

    /// The singular values alone: their gradient U diag(dS) V^T needs no differences.
    let svdvals level (a: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "svdvals"
              Body = fun xs -> [| (svdBody false xs[0])[1] |]
              Gradient =
                fun level xs cs ->
                    let r = svd level false xs[0]
                    [| dot (Matrices.scaleColumns r[0] cs[0]) r[2] |] }
        Matrices.only (Matrices.apply rule level [| a |])
