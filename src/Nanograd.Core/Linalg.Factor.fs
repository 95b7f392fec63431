namespace Nanograd

/// Triangular systems, and the factorisations of Cholesky, Gauss and Householder, on stacks of matrices. `level` says how
/// often a function has a gradient of its own (Matrices.top outside of gradients).
[<RequireQualifiedAccess>]
module internal Factor =
    let private where c a b = Op.select c a b
    let private is comparison (a: Tensor) (b: Tensor) = Op.binary comparison a b
    let private isZero (x: Tensor) = is Binary.Eq x (Matrices.number x 0.0)
    let private dot = Matrices.product
    let private transposed = Matrices.transposed
    let private sumKeep axis (x: Tensor) =
        Op.reshape (Array.mapi (fun i e -> if i = axis then 1 else e) x.Shape) (Op.reduce Reduction.Sum [ axis ] x)

    /// Slices of a loop over columns, and the vectors that come out of one, as columns `[batch; n; 1]`.
    let private upright (v: Tensor) = Op.reshape [| v.Shape[0]; v.Shape[1]; 1 |] v
    let private flatten (v: Tensor) = Op.reshape [| v.Shape[0]; v.Shape[1] |] v

    // ------------------------------------------------------------------------------------------------ triangular systems

    /// X of L X = B: row j of X is ready after j steps, and its share is taken from the rows below.
    let private substitute (l: Tensor) (b: Tensor) =
        let numbers = Matrices.rowNumbers b
        let step (j: Tensor) (carries: Tensor[]) (slices: Tensor[]) =
            let x, l = carries[0], upright slices[0]
            let solved = Matrices.row j x / Matrices.row j l
            let below = where (is Binary.Gt numbers j) (x - l * solved) x
            [| where (is Binary.Eq numbers j) solved below |], [||]
        let columns = Op.permute [| 2; 0; 1 |] l
        if Matrices.rows b = 0 || Matrices.columns b = 0 then
            b
        else
            Matrices.only (fst (Matrices.loop (Matrices.rows b) false [| b |] [| columns |] step))

    /// Lower triangular systems, `[batch; n; n]` and `[batch; n; k]`; what is above the diagonal is not read. B's cotangent
    /// solves the transposed system, L's is minus the lower part of that times X transposed (Giles 2008).
    let rec private solveLower level (l: Tensor) (b: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "triangularSolve"
              Body = fun xs -> [| substitute xs[0] xs[1] |]
              Gradient =
                fun level xs cs ->
                    let x = solveLower level xs[0] xs[1]
                    let db = solveTriangular level true true xs[0] cs[0]
                    [| -(Matrices.lower (dot db (transposed x))); db |] }
        Matrices.only (Matrices.apply rule level [| l; b |])

    /// X of T X = B or, transposed, T^T X = B. An upper triangle is a lower one with rows and columns in opposite order.
    and solveTriangular level (isLower: bool) (isTransposed: bool) (t: Tensor) (b: Tensor) : Tensor =
        let m = if isTransposed then transposed t else t
        if isLower <> isTransposed then
            solveLower level m b
        else
            Op.reverse [ 1 ] (solveLower level (Op.reverse [ 1; 2 ] m) (Op.reverse [ 1 ] b))

    /// X of X T^T = B.
    let private solveRight level isLower (t: Tensor) (b: Tensor) =
        transposed (solveTriangular level isLower false t (transposed b))

    // ------------------------------------------------------------------------------------------------ Cholesky

    /// Column j of L is column j of what remains, divided by the root of the pivot; its outer product is taken away. NaN
    /// everywhere where a pivot is not positive.
    let private choleskyBody (a: Tensor) =
        let n, batch = Matrices.rows a, a.Shape[0]
        let numbers = Matrices.rowNumbers a
        let step (j: Tensor) (carries: Tensor[]) (_: Tensor[]) =
            let column = Matrices.column j carries[0]
            let l = where (is Binary.Ge numbers j) (column / sqrt (Matrices.row j column)) (Matrices.zeros column)
            [| carries[0] - l * transposed l |], [| flatten l |]
        if n = 0 then
            a
        else
            let _, columns = Matrices.loop n false [| a |] [||] step
            let l = Op.permute [| 1; 2; 0 |] columns[0]
            let total = Op.reduce Reduction.Sum [ 1 ] (Matrices.diagonal l) |> Op.reshape [| batch; 1; 1 |]
            where (is Binary.Eq total total) l (Calculus.fill l.DType l.Shape nan)

    /// L of a symmetric matrix. Gradient: L^-T (P + P^T) L^-1 / 2 with P the lower part of L^T dL, its diagonal halved
    /// (Murray 2016).
    let rec cholesky level (a: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "cholesky"
              Body = fun xs -> [| choleskyBody xs[0] |]
              Gradient =
                fun level xs cs ->
                    let l = cholesky level xs[0]
                    let p = dot (transposed l) (Matrices.lower cs[0])
                    let both = Matrices.lower p + transposed (Matrices.strictlyLower p)
                    let half = solveTriangular level true true l both
                    [| solveTriangular level true true l (transposed half) * 0.5 |] }
        Matrices.only (Matrices.apply rule level [| a |])

    // ------------------------------------------------------------------------------------------------ LU

    /// Gauss's elimination with partial pivoting, in place: multipliers below the diagonal, U on and above. Column by column:
    /// the row with the largest magnitude is exchanged for row j. A column of zeros is left as it is.
    let private luBody (a: Tensor) =
        let m, n, batch = Matrices.rows a, Matrices.columns a, a.Shape[0]
        let rows, columns = Matrices.rowNumbers a, Matrices.columnNumbers a
        let order = Op.broadcast [| batch; m; 1 |] rows
        let step (j: Tensor) (carries: Tensor[]) (_: Tensor[]) =
            let a, order = carries[0], carries[1]
            let column = Matrices.column j a
            let size = where (is Binary.Ge rows j) (abs column) (Calculus.fill a.DType column.Shape -1.0)
            let pivot = Matrices.firstLargest 1 size // [batch; 1]
            let found (x: Tensor) = Op.gather 1 1 x pivot // row `pivot` of each matrix
            let here = Op.reshape [| batch; 1; 1 |] pivot
            let exchanged (x: Tensor) =
                where (is Binary.Eq rows j) (found x) (where (is Binary.Eq rows here) (Matrices.row j x) x)
            let top, column = found a, exchanged column
            let head = found (Matrices.column j a)
            let divisor = where (isZero head) (Matrices.number head 1.0) head
            let below = is Binary.Gt rows j
            let factor = where below (column / divisor) (Matrices.zeros column)
            let moved = exchanged a
            let rest =
                where (is Binary.Gt columns j) (moved - factor * top) (where (is Binary.Eq columns j) factor moved)
            let isSwap = is Binary.Ne here j
            [| where below rest moved; exchanged order |], [| Op.reshape [| batch |] isSwap |]
        if m = 0 || n = 0 then
            [| a; flatten order; Calculus.fill a.DType [| batch |] 1.0 |]
        else
            let carries, swaps = Matrices.loop (min m n) false [| a; order |] [||] step
            let sign = where swaps[0] (Matrices.number a -1.0) (Matrices.number a 1.0)
            [| carries[0]; flatten carries[1]; Op.reduce Reduction.Prod [ 0 ] sign |]

    /// Rows in the given order, and put back from it.
    let permuteRows (order: Tensor) (x: Tensor) = Op.gather 1 1 x order
    let unpermuteRows (order: Tensor) (x: Tensor) = Op.gather 1 1 x (snd (Op.sort 1 false order))

    let private square k (x: Tensor) = x |> Matrices.slice 1 0 k |> Matrices.slice 2 0 k

    /// L, with ones on the diagonal, and U out of the packed form of an m by n matrix: `[m; k]` and `[k; n]`.
    let unpackLu (packed: Tensor) =
        let m, n = Matrices.rows packed, Matrices.columns packed
        let k = min m n
        let ones = Matrices.identity packed.DType packed.Shape[0] m k
        Matrices.strictlyLower (Matrices.slice 2 0 k packed) + ones, Matrices.upper (Matrices.slice 1 0 k packed)

    /// The cotangent of the rows in their new order, from that of the packed factors. Square: L^-T (low (L^T dL) +
    /// up (dU U^T)) U^-T. What is more than square is a triangular solution: L2 = A2 U^-1, or U2 = L^-1 A2.
    let private luGradient level (packed: Tensor) (c: Tensor) =
        let m, n = Matrices.rows packed, Matrices.columns packed
        let k = min m n
        let l, u = unpackLu packed
        let core, l, u = square k c, Matrices.slice 1 0 k l, Matrices.slice 2 0 k u
        let inSquare dl du =
            let inner = Matrices.strictlyLower (dot (transposed l) dl) + Matrices.upper (dot du (transposed u))
            solveRight level false u (solveTriangular level true true l inner)
        let dl, du = Matrices.strictlyLower core, Matrices.upper core
        if m > n then
            let a2 = solveRight level false u (Matrices.slice 1 k m c)
            let du = du - Matrices.upper (dot (transposed (Matrices.slice 1 k m packed)) a2)
            Op.concat 1 [| inSquare dl du; a2 |]
        elif m < n then
            let a2 = solveTriangular level true true l (Matrices.slice 2 k n c)
            let dl = dl - Matrices.strictlyLower (dot a2 (transposed (Matrices.slice 2 k n packed)))
            Op.concat 2 [| inSquare dl du; a2 |]
        else
            inSquare dl du

    /// The packed factors, the order of rows (i64 `[batch; m]`) and its parity (1 or -1, `[batch]`).
    let rec lu level (a: Tensor) : Tensor[] =
        let rule: Matrices.Rule =
            { Name = "lu"
              Body = fun xs -> luBody xs[0]
              Gradient =
                fun level xs cs ->
                    let r = lu level xs[0]
                    [| unpermuteRows r[1] (luGradient level r[0] cs[0]) |] }
        Matrices.apply rule level [| a |]

    /// X of A X = B (or A^T X = B), given A's factors, as they come from lu. The gradient is written with A and these same
    /// factors, dB = A^-T dX and dA = -dB X^T, and none flows into them; at level 0 all of it flows through them instead of A.
    let rec solveFactored level (isTransposed: bool) (a: Tensor) (packed: Tensor) (order: Tensor) (b: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = if isTransposed then "solveTransposed" else "solve"
              Body =
                fun xs ->
                    let packed, order, b = xs[1], xs[2], xs[3]
                    let l, u = unpackLu packed
                    let solve = solveTriangular Matrices.top
                    if isTransposed then
                        [| unpermuteRows order (solve true true l (solve false true u b)) |]
                    else
                        [| solve false false u (solve true false l (permuteRows order b)) |]
              Gradient =
                fun level xs cs ->
                    let solve isTransposed b = solveFactored level isTransposed xs[0] xs[1] xs[2] b
                    let x, db = solve isTransposed xs[3], solve (not isTransposed) cs[0]
                    let da = if isTransposed then dot x (transposed db) else dot db (transposed x)
                    [| -da; Matrices.zeros xs[1]; Matrices.zeros xs[2]; db |] }
        Matrices.only (Matrices.apply rule level [| a; packed; order; b |])

    let private inverseTransposed level (a: Tensor) packed order =
        let one = Matrices.identity a.DType a.Shape[0] (Matrices.rows a) (Matrices.rows a)
        solveFactored level true a packed order one

    /// log |det A| of each matrix. Gradient: A^-T.
    let logDet level (a: Tensor) (packed: Tensor) (order: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "logDet"
              Body = fun xs -> [| Op.reduce Reduction.Sum [ 1 ] (log (abs (Matrices.diagonal xs[1]))) |]
              Gradient =
                fun level xs cs ->
                    let scale = Op.reshape [| xs[0].Shape[0]; 1; 1 |] cs[0]
                    [| scale * inverseTransposed level xs[0] xs[1] xs[2]; Matrices.zeros xs[1]; Matrices.zeros xs[2] |] }
        Matrices.only (Matrices.apply rule level [| a; packed; order |])

    /// A pivot of zero is moved by the root of the type's precision, relative to the largest pivot: derivatives of the determinant
    /// at a singular matrix are those of a neighbour that is not.
    let private regular (packed: Tensor) =
        if Matrices.rows packed = 0 then
            packed
        else
            let d = Matrices.diagonal packed
            let small = if d.DType = DType.F64 then 1.5e-8 else 3.5e-4
            let largest = Op.reduce Reduction.Max [ 1 ] (abs d) |> Op.reshape [| d.Shape[0]; 1 |]
            let size = where (isZero largest) (Matrices.number d small) (largest * small)
            packed + Matrices.onto (where (isZero d) (Op.broadcast d.Shape size) (Matrices.zeros d))

    /// The determinant, from the factors and the parity. Gradient: det A A^-T.
    let rec det level (a: Tensor) (packed: Tensor) (order: Tensor) (parity: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "det"
              Body = fun xs -> [| Op.reduce Reduction.Prod [ 1 ] (Matrices.diagonal xs[1]) * xs[3] |]
              Gradient =
                fun level xs cs ->
                    let packed = regular xs[1]
                    let scale = det level xs[0] packed xs[2] xs[3] * cs[0] |> Op.reshape [| xs[0].Shape[0]; 1; 1 |]
                    let da = scale * inverseTransposed level xs[0] packed xs[2]
                    [| da; Matrices.zeros xs[1]; Matrices.zeros xs[2]; Matrices.zeros xs[3] |] }
        Matrices.only (Matrices.apply rule level [| a; packed; order; parity |])

    // ------------------------------------------------------------------------------------------------ QR

    /// The column with the largest part below row j, exchanged with column j; of R, and of the order of columns.
    let private exchangeColumns (j: Tensor) (r: Tensor) (order: Tensor) =
        let numbers = Matrices.columnNumbers r
        let remaining = where (is Binary.Ge (Matrices.rowNumbers r) j) r (Matrices.zeros r)
        let sizes = sumKeep 1 (remaining * remaining)
        let candidates = where (is Binary.Ge numbers j) sizes (Calculus.fill r.DType sizes.Shape -1.0)
        let best = Matrices.firstLargest 2 candidates // [batch; 1]
        let here = Op.reshape [| r.Shape[0]; 1; 1 |] best
        let exchanged (x: Tensor) =
            where
                (is Binary.Eq numbers j)
                (Op.gather 2 1 x best)
                (where (is Binary.Eq numbers here) (Matrices.column j x) x)
        exchanged r, exchanged order

    /// Reflections that clear one column after the other below the diagonal, as vectors v of about unit size and 2 / v.v. A column
    /// of zeros has v = 0 and the identity for a reflection.
    let private reflections isPivoted (a: Tensor) =
        let n, batch = Matrices.columns a, a.Shape[0]
        let rows = Matrices.rowNumbers a
        let step (j: Tensor) (carries: Tensor[]) (_: Tensor[]) =
            let r, order = if isPivoted then exchangeColumns j carries[0] carries[1] else carries[0], carries[1]
            let column = Matrices.column j r
            let x = where (is Binary.Ge rows j) column (Matrices.zeros column)
            let x = x / Matrices.scaleOf x
            let head = Matrices.row j x
            let length = sqrt (sumKeep 1 (x * x)) * Matrices.signOf head
            let v = x + where (is Binary.Eq rows j) length (Matrices.zeros length)
            let size = sumKeep 1 (v * v)
            let safe = where (isZero size) (Matrices.number size 1.0) size
            let two = where (isZero size) (Matrices.zeros size) (2.0 / safe)
            let reflected = r - v * two * dot (transposed v) r
            [| reflected; order |], [| flatten v; Op.reshape [| batch |] two |]
        let order = Op.broadcast [| batch; 1; n |] (Matrices.columnNumbers a)
        Matrices.loop (min (Matrices.rows a) n) false [| a; order |] [||] step

    /// Q, with `count` columns, R, with as many rows, and the order of columns. The diagonal of R is made nonnegative, which
    /// makes both unique for matrices of full column rank.
    let qrBody isPivoted count (a: Tensor) =
        let m, n, batch = Matrices.rows a, Matrices.columns a, a.Shape[0]
        let k = min m n
        let step (_: Tensor) (carries: Tensor[]) (slices: Tensor[]) =
            let q, v, two = carries[0], upright slices[0], Op.reshape [| batch; 1; 1 |] slices[1]
            [| q - v * two * dot (transposed v) q |], [||]
        let one = Matrices.identity a.DType batch m count
        if k = 0 then
            [| one; Matrices.slice 1 0 count a; Op.broadcast [| batch; n |] (Op.iota DType.I64 [| n |] 0) |]
        else
            let last, vectors = reflections isPivoted a
            let q, _ = Matrices.loop k true [| one |] vectors step
            let r = Matrices.upper (Matrices.slice 1 0 count last[0])
            let signs = Matrices.signOf (Matrices.diagonal (square k r))
            let signs = Op.concat 1 [| signs; Calculus.fill a.DType [| batch; count - k |] 1.0 |]
            [| Matrices.scaleColumns q[0] signs
               Matrices.upper (Matrices.scaleRows signs r)
               Op.reshape [| batch; n |] last[1] |]

    /// For at least as many rows as columns: (dQ + Q S) R^-T, S the symmetric matrix with the lower half of R dR^T - dQ^T Q
    /// (Walter and Lehmann 2010). The columns of a wide matrix beyond the square are Q^T times those of R (Roberts and
    /// Roberts 2020).
    let private qrGradient level (a: Tensor) (q: Tensor) (r: Tensor) (dq: Tensor) (dr: Tensor) =
        let m, n = Matrices.rows a, Matrices.columns a
        let inTall dq r dr =
            let half = dot r (transposed dr) - dot (transposed dq) q
            let full = Matrices.lower half + transposed (Matrices.strictlyLower half)
            solveRight level false r (dq + dot q full)
        let dr = Matrices.upper dr
        if m >= n then
            inTall dq r dr
        else
            let left, right = Matrices.slice 2 0 m, Matrices.slice 2 m n
            let dq = dq + dot (right a) (transposed (right dr))
            Op.concat 2 [| inTall dq (left r) (left dr); dot q (right dr) |]

    /// Q `[m; k]` and R `[k; n]`, k the smaller extent.
    let rec qr level (a: Tensor) : Tensor[] =
        let rule: Matrices.Rule =
            { Name = "qr"
              Body = fun xs -> (qrBody false (min (Matrices.rows xs[0]) (Matrices.columns xs[0])) xs[0])[..1]
              Gradient =
                fun level xs cs ->
                    let r = qr level xs[0]
                    [| qrGradient level xs[0] r[0] r[1] cs[0] cs[1] |] }
        Matrices.apply rule level [| a |]

    /// Q `[m; m]` and R `[m; n]`. The columns of Q beyond the rank are those that the reflections make; derivatives go through
    /// the reflections.
    let qrComplete (a: Tensor) : Tensor[] =
        let m, n = Matrices.rows a, Matrices.columns a
        if m <= n then qr Matrices.top a else (qrBody false m a)[..1]
