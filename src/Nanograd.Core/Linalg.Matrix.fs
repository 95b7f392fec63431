namespace Nanograd

open System

/// Functions of whole matrices, on stacks of them: the pseudoinverse and the exponential.
[<RequireQualifiedAccess>]
module internal MatrixFunctions =
    let private where c a b = Op.select c a b
    let private dot = Matrices.product
    let private transposed = Matrices.transposed

    // ------------------------------------------------------------------------------------------------ pseudoinverse

    /// Singular values above `tolerance` times the largest are inverted, the others are zeros.
    let private pinvBody (tolerance: float) (a: Tensor) =
        let r = Spectral.svd Matrices.top false a
        let s = r[1]
        if s.Shape[1] = 0 then
            transposed a
        else
            let counts = Op.binary Binary.Gt s (Matrices.slice 1 0 1 s * tolerance)
            let inverse = where counts (1.0 / where counts s (Matrices.number s 1.0)) (Matrices.zeros s)
            dot (Matrices.scaleColumns (transposed r[2]) inverse) (transposed r[0])

    /// Gradient: that of dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P, for matrices of constant rank (Golub and
    /// Pereyra 1973).
    let rec pinv (tolerance: float) level (a: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "pinv " + tolerance.ToString("R", Globalization.CultureInfo.InvariantCulture)
              Body = fun xs -> [| pinvBody tolerance xs[0] |]
              Gradient =
                fun level xs cs ->
                    let a, c = xs[0], transposed cs[0]
                    let p = pinv tolerance level a
                    let pt = transposed p
                    let through = dot (dot pt cs[0]) pt
                    let left = let x = dot c (dot p pt) in x - dot a (dot p x)
                    let right = let x = dot (dot pt p) c in x - dot (dot x p) a
                    [| left + right - through |] }
        Matrices.only (Matrices.apply rule level [| a |])

    // ------------------------------------------------------------------------------------------------ exponential

    /// Coefficients of the diagonal Pade approximants of exp, and the 1-norm up to which they are exact to rounding
    /// (Higham 2005, table 2.3; for f32 the degree 7).
    let private pade (dtype: DType) =
        if dtype = DType.F64 then
            [| 64764752532480000.0
               32382376266240000.0
               7771770303897600.0
               1187353796428800.0
               129060195264000.0
               10559470521600.0
               670442572800.0
               33522128640.0
               1323241920.0
               40840800.0
               960960.0
               16380.0
               182.0
               1.0 |],
            5.371920351148152
        else
            [| 17297280.0; 8648640.0; 1995840.0; 277200.0; 25200.0; 1512.0; 56.0; 1.0 |], 3.925724783138660

    /// Squarings beyond this would be for norms above 10^10, whose exponentials overflow or are rounding errors.
    let private mostSquarings = 32

    /// Scaling and squaring. How often is squared depends on the norm: the loop runs over the most there can be, and steps
    /// that are not due change nothing.
    let private expBody (a: Tensor) =
        let n, batch = Matrices.rows a, a.Shape[0]
        let number = Matrices.number a
        let coefficients, theta = pade a.DType
        let norm = Op.reduce Reduction.Max [ 1 ] (Op.reduce Reduction.Sum [ 1 ] (abs a))
        let wanted = Op.unary Unary.Ceil (log (norm / theta) * (1.0 / Math.Log 2.0))
        let count = Op.binary Binary.Max wanted (number 0.0)
        let count = where (Op.binary Binary.Gt count (number (float mostSquarings))) (number nan) count
        let count = Op.reshape [| batch; 1; 1 |] count
        let x = a * Op.binary Binary.Pow (number 2.0) (-count)
        let x2 = dot x x
        let one = Matrices.identity a.DType batch n n
        // Even and odd powers: the approximant is (V + U) / (V - U), U the odd part. Powers of x^2 by Horner's rule.
        let polynomial start =
            let last = coefficients.Length - 1 - (coefficients.Length - 1 - start) % 2
            List.fold
                (fun (p: Tensor) i -> dot x2 p + one * coefficients[i])
                (one * coefficients[last])
                [ last - 2 .. -2 .. start ]
        let even, odd = polynomial 0, dot x (polynomial 1)
        let p, q = even + odd, even - odd
        let f = Factor.lu Matrices.top q
        let r = Factor.solveFactored Matrices.top false q f[0] f[1] p
        let step (k: Tensor) (carries: Tensor[]) (_: Tensor[]) =
            let r = carries[0]
            let isDue = Op.binary Binary.Lt (Op.cast a.DType k) count
            [| where isDue (dot r r) r |], [||]
        let r = Matrices.only (fst (Matrices.loop mostSquarings false [| r |] [||] step))
        where (Op.binary Binary.Eq count count) r (number nan)

    /// Gradient: the derivative of exp at A^T in the direction C stands to the right above in exp [[A^T; C]; [0; A^T]] (Mathias
    /// 1996). C is scaled, so that it does not add squarings.
    let rec exponential level (a: Tensor) : Tensor =
        let rule: Matrices.Rule =
            { Name = "matrixExp"
              Body = fun xs -> [| expBody xs[0] |]
              Gradient =
                fun level xs cs ->
                    let n = Matrices.rows xs[0]
                    let at, scale = transposed xs[0], Matrices.scaleOf cs[0]
                    let above = Op.concat 2 [| at; cs[0] / scale |]
                    let below = Op.concat 2 [| Matrices.zeros at; at |]
                    let whole = exponential level (Op.concat 1 [| above; below |])
                    [| (whole |> Matrices.slice 1 0 n |> Matrices.slice 2 n (2 * n)) * scale |] }
        if Matrices.rows a = 0 then a else Matrices.only (Matrices.apply rule level [| a |])

    // ------------------------------------------------------------------------------------------------ chains

    /// The cheapest way to multiply a chain of matrices whose extents are `sizes[0]`, `sizes[1]`, ...: from the first and the last
    /// matrix of a part to where it is cut (dynamic programming over all parts; Cormen et al., section 15.2).
    let chainCuts (sizes: int[]) : int[,] =
        let n = sizes.Length - 1
        let cost, cut = Array2D.zeroCreate<float> n n, Array2D.zeroCreate<int> n n
        for length in 2..n do
            for i in 0 .. n - length do
                let j = i + length - 1
                let candidate k = cost[i, k] + cost[k + 1, j] + float sizes[i] * float sizes[k + 1] * float sizes[j + 1]
                let best = Seq.minBy candidate (seq { i .. j - 1 })
                cut[i, j] <- best
                cost[i, j] <- candidate best
        cut
