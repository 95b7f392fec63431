namespace Nanograd

open System

/// How a bag of vectors becomes one.
[<RequireQualifiedAccess>]
type BagMode =
    | Sum
    | Mean
    | Max

/// Sums, means or maxima of vectors looked up by bags of integers.
[<RequireQualifiedAccess>]
module EmbeddingBag =
    /// Bags `[B; longest]` of a list `[n]` cut at `offsets [B]`: places in the list, and whether they are in the bag.
    let private table (offsets: Tensor) (n: int) =
        let known = Known.integers offsets |> Option.map (fun starts -> Array.append starts [| int64 n |])
        let isOrdered (bounds: int64[]) = bounds[0] = 0L && Array.pairwise bounds |> Array.forall (fun (a, b) -> a <= b)
        if known |> Option.exists (isOrdered >> not) then
            Shape.fail "embeddingBag" $"offsets must begin with 0 and not decrease, up to the {n} ids" "" [ offsets ]
        let starts = cast DType.I64 offsets
        let ends = concat 0 [ slice 0 1 offsets.Count starts; full DType.I64 [| 1 |] (float n) ]
        let longest =
            match known with
            | Some bounds -> Array.pairwise bounds |> Array.map (fun (a, b) -> int (b - a)) |> Array.max
            | None -> n
        let places = unsqueeze 1 starts + arange DType.I64 (max 1 longest)
        minimum places (scalarOf DType.I64 (float (max 0 (n - 1)))), lt places (unsqueeze 1 ends)

    let private pool (mode: BagMode) (isIn: Tensor) (rows: Tensor) =
        let inside = unsqueeze -1 isIn
        let total = sumOver [ 1 ] (where inside rows (zerosLike rows))
        match mode with
        | BagMode.Sum -> total
        | BagMode.Mean -> total / clampMin 1.0 (sumOver [ 1 ] (cast rows.DType inside))
        | BagMode.Max ->
            let masked = where inside rows (full rows.DType rows.Shape -infinity)
            let best = gather 1 (argMax 1 masked |> unsqueeze 1) rows |> squeeze 1
            where (anyOver [ 1 ] inside) best (zerosLike best)

    /// Table rows of bags, pooled: ids `[B; L]` (each row a bag), or `[n]` with the `offsets [B]` at which bags start (the
    /// first is 0), to `[B; dim]`. Weights (of the ids' shape) are for sums only. Rows of `paddingIdx` do not count. An empty
    /// bag is 0. (PyTorch: nn.EmbeddingBag.)
    let apply
        (mode: BagMode)
        (paddingIdx: int option)
        (p: Embedding)
        (offsets: Tensor option)
        (weights: Tensor option)
        (ids: Tensor)
        : Tensor =
        let name = "embeddingBag"
        if not (DType.isInteger ids.DType) then Shape.fail name "ids must be integers" "cast them" [ ids ]
        Known.checkLabels name p.Weight.Shape[0] None ids
        weights
        |> Option.iter (fun w ->
            if w.Shape <> ids.Shape then Shape.fail name "weights must have the shape of the ids" "" [ ids; w ]
            if mode <> BagMode.Sum then raise (ArgumentException $"{name}: weights are for sums only."))
        let spread, isIn =
            match offsets with
            | None when ids.Rank = 2 -> id, full DType.Bool ids.Shape 1.0
            | Some o when ids.Rank = 1 && o.Rank = 1 && ids.Count > 0 && o.Count > 0 ->
                let places, isIn = table o ids.Count
                take 0 places, isIn
            | Some o -> Shape.fail name "ids [n] need offsets [B], and both must not be empty" "" [ ids; o ]
            | None -> Shape.fail name "ids must be [B,L], or [n] with offsets" "" [ ids ]
        let ids = spread ids
        let isIn =
            match paddingIdx with
            | Some padding ->
                logicalAnd isIn (ne ids (scalarOf ids.DType (float (Embedding.paddingRow name padding p))))
            | None -> isIn
        let rows = Embedding.apply p ids
        let rows = weights |> Option.fold (fun rows w -> rows * unsqueeze -1 (spread w)) rows
        pool mode isIn rows

    /// Normal of deviation 1.
    let init (key: Tensor) (vocabulary: int) (dim: int) : Embedding = Embedding.init 1.0 key vocabulary dim

/// A bilinear form of two vectors: `Weight [out; in1; in2]`, `Bias [out]`.
[<NoComparison>]
type Bilinear = { Weight: Tensor; Bias: Tensor option }

/// Bilinear forms.
[<RequireQualifiedAccess>]
module Bilinear =
    /// x^T W y + b: `[..; in1]` and `[..; in2]` to `[..; out]`.
    let apply (p: Bilinear) (x: Tensor) (y: Tensor) : Tensor =
        let w = p.Weight
        let fits =
            w.Rank = 3
            && x.Rank > 0
            && y.Rank > 0
            && x.Shape[.. x.Rank - 2] = y.Shape[.. y.Rank - 2]
            && x.Shape[x.Rank - 1] = w.Shape[1]
            && y.Shape[y.Rank - 1] = w.Shape[2]
        if not fits then Shape.fail "bilinear" "[..,in1] and [..,in2] need the weight [out,in1,in2]" "" [ x; y; w ]
        let product = einsum "...i,oij,...j->...o" [ x; w; y ]
        p.Bias |> Option.fold (fun z b -> z + b) product

    /// Uniform in plus or minus 1/sqrt(in1), weight and bias: PyTorch's start.
    let init (key: Tensor) (in1: int) (in2: int) (outFeatures: int) (bias: bool) : Bilinear =
        let bound = 1.0 / Math.Sqrt(float (max 1 in1))
        let uniform n shape = Random.uniform (Random.fold key n) shape * (2.0 * bound) - bound
        { Weight = uniform 0 [| outFeatures; in1; in2 |]
          Bias = if bias then Some(uniform 1 [| outFeatures |]) else None }

/// Dropout of whole channels, rows or branches. All take a probability p, a key and x; the shape stays.
[<RequireQualifiedAccess>]
module internal DropoutKinds =
    let internal checkP name (p: float) =
        if not (p >= 0.0 && p <= 1.0) then
            raise (ArgumentException $"{name}: the probability must be between 0 and 1, not {p}.")

    /// 1 with probability 1 - p, for each entry of the first `axes` axes.
    let internal mask (p: float) (key: Tensor) (axes: int) (x: Tensor) =
        let shape = Array.init x.Rank (fun i -> if i < axes then x.Shape[i] else 1)
        cast x.DType (lt (Random.uniform key shape) (scalar (1.0 - p)))

    let internal scaled name (p: float) (key: Tensor) (axes: int) (x: Tensor) =
        checkP name p
        if p = 0.0 then x
        elif p = 1.0 then zerosLike x
        else x * (mask p key axes x * (1.0 / (1.0 - p)))

    let internal channels name n (p: float) (key: Tensor) (x: Tensor) =
        if x.Rank <> n + 1 && x.Rank <> n + 2 then
            Shape.fail name $"x must be [N,C,..] or [C,..] with {n} spatial axes" "" [ x ]
        scaled name p key (x.Rank - n) x

    /// SELU's own dropout: dropped elements become its lower limit, and mean and variance stay (Klambauer et al. 2017).
    let internal alpha name (p: float) (key: Tensor) (axes: int) (x: Tensor) =
        checkP name p
        let limit = 1.7580993408473766
        if p = 0.0 then
            x
        elif p = 1.0 then
            zerosLike x
        else
            let a = 1.0 / Math.Sqrt((limit * limit * p + 1.0) * (1.0 - p))
            let kept = mask p key axes x
            x * (kept * a) + ((kept - 1.0) * (limit * a) + limit * a * p)

/// Whole channels of `[N; C; L]` or `[C; L]` set to zero (Tompson et al. 2014).
[<RequireQualifiedAccess>]
module Dropout1d =
    /// Each channel is 0 with probability p, else x / (1 - p).
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor = DropoutKinds.channels "dropout1d" 1 p key x

/// Whole channels of `[N; C; H; W]` or `[C; H; W]` set to zero.
[<RequireQualifiedAccess>]
module Dropout2d =
    /// Each channel is 0 with probability p, else x / (1 - p).
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor = DropoutKinds.channels "dropout2d" 2 p key x

/// Whole channels of `[N; C; D; H; W]` or `[C; D; H; W]` set to zero.
[<RequireQualifiedAccess>]
module Dropout3d =
    /// Each channel is 0 with probability p, else x / (1 - p).
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor = DropoutKinds.channels "dropout3d" 3 p key x

/// Dropout that keeps SELU's mean and variance.
[<RequireQualifiedAccess>]
module AlphaDropout =
    /// Each element becomes SELU's lower limit with probability p; all are then scaled and shifted.
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor = DropoutKinds.alpha "alphaDropout" p key x.Rank x

/// Alpha dropout of whole channels of `[N; C; ..]`.
[<RequireQualifiedAccess>]
module FeatureAlphaDropout =
    /// As `AlphaDropout.apply`, each channel as a whole.
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor =
        if x.Rank < 2 then Shape.fail "featureAlphaDropout" "x must be [N,C,..]" "" [ x ]
        DropoutKinds.alpha "featureAlphaDropout" p key 2 x

/// Stochastic depth (Huang et al. 2016): whole examples `[N; ..]` of a residual branch set to zero.
[<RequireQualifiedAccess>]
module DropPath =
    /// Each example is 0 with probability p, else x / (1 - p).
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor =
        if x.Rank < 1 then Shape.fail "dropPath" "x must be [N,..]" "" [ x ]
        DropoutKinds.scaled "dropPath" p key 1 x
