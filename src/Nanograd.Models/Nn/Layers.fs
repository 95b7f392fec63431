namespace Nanograd

open System

/// A dense layer: `Weight [out; in]`, `Bias [out]`.
[<NoComparison>]
type Linear = { Weight: Tensor; Bias: Tensor option }

/// Linear maps of the last axis.
[<RequireQualifiedAccess>]
module Linear =
    /// x W^T + b: `[..; in]` to `[..; out]`.
    let compute (weight: Tensor) (bias: Tensor option) (x: Tensor) : Tensor =
        if weight.Rank <> 2 || x.Rank = 0 || x.Shape[x.Rank - 1] <> weight.Shape[1] then
            Shape.fail "linear" "the last axis of x must be the in-features of the weight [out,in]" "" [ x; weight ]
        let product =
            Op.dot
                { LeftBatch = [||]
                  RightBatch = [||]
                  LeftSum = [| x.Rank - 1 |]
                  RightSum = [| 1 |] }
                x
                weight
        match bias with
        | Some b -> product + b
        | None -> product

    /// x W^T + b: `[..; in]` to `[..; out]`.
    let apply (p: Linear) (x: Tensor) : Tensor = compute p.Weight p.Bias x

    /// Uniform in plus or minus 1/sqrt(in), weight and bias: what PyTorch's Linear starts with.
    let init (key: Tensor) (inFeatures: int) (outFeatures: int) (bias: bool) : Linear =
        let bound = 1.0 / Math.Sqrt(float (max 1 inFeatures))
        let uniform n shape = Random.uniform (Random.fold key n) shape * (2.0 * bound) - bound
        { Weight = uniform 0 [| outFeatures; inFeatures |]
          Bias = if bias then Some(uniform 1 [| outFeatures |]) else None }

    /// Normal weights of a given deviation, zero bias: what GPT-2 starts with.
    let normal (deviation: float) (key: Tensor) (inFeatures: int) (outFeatures: int) (bias: bool) : Linear =
        { Weight = Random.normal key [| outFeatures; inFeatures |] * deviation
          Bias = if bias then Some(zeros [| outFeatures |]) else None }

/// A table of vectors: `Weight [vocabulary; dim]`.
[<NoComparison>]
type Embedding = { Weight: Tensor }

/// Vectors looked up by integers.
[<RequireQualifiedAccess>]
module Embedding =
    /// Row ids[..] of the table: integers `[..]` to `[..; dim]`. An id outside the table is an error when the program
    /// runs.
    let apply (p: Embedding) (ids: Tensor) : Tensor = take 0 ids p.Weight

    /// The row that a padding index names; negative ones count from the end.
    let internal paddingRow (op: string) (padding: int) (p: Embedding) : int =
        let vocabulary = p.Weight.Shape[0]
        let row = if padding < 0 then padding + vocabulary else padding
        if row < 0 || row >= vocabulary then raise (IndexException(op, int64 padding, vocabulary))
        row

    /// As `apply`; the row of `padding` gets no gradient from here. (PyTorch: padding_idx, whose row starts as zeros.)
    let applyPadded (padding: int) (p: Embedding) (ids: Tensor) : Tensor =
        let row = paddingRow "embedding" padding p
        let rows = apply p ids
        where (unsqueeze -1 (eq ids (scalarOf ids.DType (float row)))) (stopGradient rows) rows

    /// The table with those rows that ids name scaled down to p-norm `limit` where theirs is larger, without gradient. (PyTorch:
    /// max_norm and norm_type, where looking up changes the table.)
    let renormalise (limit: float) (p: float) (ids: Tensor) (table: Embedding) : Embedding =
        if not (limit > 0.0) then
            raise (ArgumentException $"embedding: the largest norm must be greater than 0, not {limit}.")
        let w = stopGradient table.Weight
        let ids = reshape [| ids.Count |] ids
        let uses = zerosOf w.DType [| w.Shape[0] |] |> scatterAdd 0 ids (full w.DType ids.Shape 1.0)
        let norms = normKeep p [ 1 ] w
        let isLong = logicalAnd (gt norms (scalarOf w.DType limit)) (unsqueeze 1 (gt uses (scalarOf w.DType 0.0)))
        { Weight = where isLong (w * (scalarOf w.DType limit / (norms + 1e-7))) w }

    /// Normal of a given deviation (PyTorch: 1, GPT-2: 0.02).
    let init (deviation: float) (key: Tensor) (vocabulary: int) (dim: int) : Embedding =
        { Weight = Random.normal key [| vocabulary; dim |] * deviation }

/// Normalisation over the last axes: `Weight` and `Bias` have their extents.
[<NoComparison>]
type LayerNorm = { Weight: Tensor; Bias: Tensor option }

/// Layer normalisation (Ba, Kiros and Hinton 2016).
[<RequireQualifiedAccess>]
module LayerNorm =
    /// The usual epsilon.
    [<Literal>]
    let Eps = 1e-5

    /// (x - mean) / sqrt(variance + eps) over the last `axes` axes; the variance is the population's. The shape stays.
    let normalise (eps: float) (axes: int) (x: Tensor) : Tensor =
        if axes < 1 || axes > x.Rank then
            Shape.fail "layerNorm" $"there must be at least {max 1 axes} axes to normalise over" "" [ x ]
        let last = [ -axes .. -1 ]
        let centred = x - meanKeep last x
        centred * rsqrt (meanKeep last (square centred) + eps)

    /// Normalised, times weight, plus bias; the weight says over how many last axes. The shape stays.
    let compute (eps: float) (weight: Tensor) (bias: Tensor option) (x: Tensor) : Tensor =
        if weight.Rank > x.Rank || weight.Shape <> x.Shape[x.Rank - weight.Rank ..] then
            Shape.fail "layerNorm" "the weight must have the extents of the last axes of x" "" [ x; weight ]
        let scaled = normalise eps weight.Rank x * weight
        match bias with
        | Some b -> scaled + b
        | None -> scaled

    /// Normalised, times weight, plus bias. The shape stays.
    let apply (p: LayerNorm) (x: Tensor) : Tensor = compute Eps p.Weight p.Bias x

    /// Weight one, bias zero.
    let init (extent: int) (bias: bool) : LayerNorm =
        { Weight = ones [| extent |]
          Bias = if bias then Some(zeros [| extent |]) else None }

/// Elements set to zero at random (Srivastava et al. 2014).
[<RequireQualifiedAccess>]
module Dropout =
    /// Each element is 0 with probability p, else x / (1 - p); p = 0 gives x itself. The key says which. The shape
    /// stays.
    let apply (p: float) (key: Tensor) (x: Tensor) : Tensor =
        if not (p >= 0.0 && p <= 1.0) then
            raise (ArgumentException $"dropout: the probability must be between 0 and 1, not {p}.")
        if p = 0.0 then
            x
        elif p = 1.0 then
            zerosLike x
        else
            let kept = lt (Random.uniform key x.Shape) (scalar (1.0 - p))
            where kept (x * (1.0 / (1.0 - p))) (zerosLike x)

    /// Dropout with key number n of `key`, if there is a key (training); otherwise (evaluation) x itself.
    let maybe (p: float) (key: Tensor option) (n: int) (x: Tensor) : Tensor =
        match key with
        | Some key when p > 0.0 -> apply p (Random.fold key n) x
        | Some _
        | None -> x
