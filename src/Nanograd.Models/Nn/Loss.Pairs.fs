namespace Nanograd

open System

/// How alike vectors are.
[<AutoOpen>]
module Similarities =
    /// <summary>x divided by its p-norm along an axis, which is taken to be at least `eps`. (PyTorch: F.normalize; p 2, axis 1,
    /// eps 1e-12.)</summary>
    let normalize (p: float) (axis: int) (eps: float) (x: Tensor) : Tensor = x / clampMin eps (normKeep p [ axis ] x)

    /// <summary>The cosine of the angles between vectors along an axis, which disappears; norms are at least `eps`. The two
    /// broadcast. (PyTorch: F.cosine_similarity; axis 1, eps 1e-8.)</summary>
    let cosineSimilarity (axis: int) (eps: float) (x: Tensor) (y: Tensor) : Tensor =
        let shape =
            match Shape.tryBroadcast x.Shape y.Shape with
            | Ok shape -> shape
            | Error(_, a, b) -> Shape.fail "cosineSimilarity" $"shapes must broadcast ({a} and {b})" "" [ x; y ]
        let x, y = broadcastTo shape x, broadcastTo shape y
        sumOver [ axis ] (normalize 2.0 axis eps x * normalize 2.0 axis eps y)

    /// <summary>The p-norm of x - y + eps along the last axis, which disappears. The two broadcast. (PyTorch:
    /// F.pairwise_distance; p 2, eps 1e-6.)</summary>
    let pairwiseDistance (p: float) (eps: float) (x: Tensor) (y: Tensor) : Tensor = normOver p [ -1 ] (x - y + eps)

/// Losses of pairs and triplets. (A third part of the module `Loss`.)
[<AutoOpen>]
module PairLosses =
    let private is (value: float) (y: Tensor) = eq y (scalarOf y.DType value)
    let private orZero (condition: Tensor) (x: Tensor) = where condition x (zerosLike x)

    /// Losses of pairs and triplets.
    [<RequireQualifiedAccess>]
    module Loss =
        /// max(0, margin - y (a - b)): with y = 1, a should be above b; with y = -1, below. All broadcast. (PyTorch:
        /// MarginRankingLoss.)
        let marginRankingOf (margin: float) reduction (a: Tensor) (b: Tensor) (y: Tensor) : Tensor =
            Losses.reduce "marginRanking" reduction (clampMin 0.0 (margin - y * (a - b)))

        /// max(0, -y (a - b)), the mean: a scalar.
        let marginRanking (a: Tensor) (b: Tensor) (y: Tensor) : Tensor = marginRankingOf 0.0 LossReduction.Mean a b y

        /// Distances x where y is 1, max(0, margin - x) where y is -1. (PyTorch: HingeEmbeddingLoss.)
        let hingeEmbeddingOf (margin: float) reduction (x: Tensor) (y: Tensor) : Tensor =
            Losses.sameShape "hingeEmbedding" x y
            let near = orZero (logicalNot (is -1.0 y)) x
            let far = orZero (logicalNot (is 1.0 y)) (clampMin 0.0 (margin - x))
            Losses.reduce "hingeEmbedding" reduction (near + far)

        /// Distances of positives, hinges of negatives with margin 1, the mean: a scalar.
        let hingeEmbedding (x: Tensor) (y: Tensor) : Tensor = hingeEmbeddingOf 1.0 LossReduction.Mean x y

        /// 1 - cos(a, b) where y is 1, max(0, cos(a, b) - margin) where y is -1: vectors `[D]` or `[N; D]`, y `[]` or `[N]`.
        /// (PyTorch: CosineEmbeddingLoss.)
        let cosineEmbeddingOf (margin: float) reduction (a: Tensor) (b: Tensor) (y: Tensor) : Tensor =
            Losses.sameShape "cosineEmbedding" a b
            if a.Rank < 1 || a.Rank > 2 || y.Shape <> a.Shape[.. a.Rank - 2] then
                Shape.fail "cosineEmbedding" "vectors [N,D] need targets [N], and [D] a scalar" "" [ a; b; y ]
            let squares (t: Tensor) = sumOver [ -1 ] (square t) + 1e-12
            let cosine = sumOver [ -1 ] (a * b) / sqrt (squares a * squares b)
            let losses = orZero (is 1.0 y) (1.0 - cosine) + orZero (is -1.0 y) (clampMin 0.0 (cosine - margin))
            Losses.reduce "cosineEmbedding" reduction losses

        /// 1 - cos of positives, max(0, cos) of negatives, the mean: a scalar.
        let cosineEmbedding (a: Tensor) (b: Tensor) (y: Tensor) : Tensor =
            cosineEmbeddingOf 0.0 LossReduction.Mean a b y

        /// max(0, near - far + margin) of distances of the anchor to positive and negative, or where that is smaller, of the
        /// distance between those two (`swapped`; Balntas et al. 2016). All of one shape.
        let tripletMarginOfDistances (margin: float) reduction (near: Tensor) (far: Tensor) (swapped: Tensor option) =
            Losses.positive "tripletMargin" "the margin" margin
            Losses.sameShape "tripletMargin" near far
            let far = swapped |> Option.fold minimum far
            Losses.reduce "tripletMargin" reduction (clampMin 0.0 (near - far + margin))

        /// max(0, d(anchor, positive) - d(anchor, negative) + margin); `swap` takes d(positive, negative) where it is
        /// smaller. (PyTorch: TripletMarginWithDistanceLoss.)
        let tripletMarginWith
            (distance: Tensor -> Tensor -> Tensor)
            (margin: float)
            (swap: bool)
            (reduction: LossReduction)
            (anchor: Tensor)
            (positive: Tensor)
            (negative: Tensor)
            : Tensor =
            let swapped = if swap then Some(distance positive negative) else None
            tripletMarginOfDistances margin reduction (distance anchor positive) (distance anchor negative) swapped

        /// `tripletMarginWith` the p-norm of differences (plus eps) of vectors `[..; D]`. (PyTorch: TripletMarginLoss.)
        let tripletMarginOf (margin: float) (p: float) (eps: float) (swap: bool) reduction anchor positive negative =
            tripletMarginWith (pairwiseDistance p eps) margin swap reduction anchor positive negative

        /// Triplets with margin 1 and Euclidean distances, the mean: a scalar.
        let tripletMargin (anchor: Tensor) (positive: Tensor) (negative: Tensor) : Tensor =
            tripletMarginOf 1.0 2.0 1e-6 false LossReduction.Mean anchor positive negative

        // ---- contrast

        let private scores name (temperature: float) (x: Tensor) (y: Tensor) =
            Losses.sameShape name x y
            if x.Rank <> 2 then Shape.fail name "both must be [N,D]" "" [ x; y ]
            Losses.positive name "the temperature" temperature
            matmul (normalize 2.0 1 1e-12 x) (transpose (normalize 2.0 1 1e-12 y)) / temperature

        /// Row i of x should be nearest to row i of y: the mean cross-entropy of cosines over the temperature. Vectors `[N;
        /// D]` to a scalar. (van den Oord et al. 2018, "Representation learning with contrastive predictive coding".)
        let infoNce (temperature: float) (x: Tensor) (y: Tensor) : Tensor =
            Loss.crossEntropy (scores "infoNce" temperature x y) (arange DType.I64 x.Shape[0])

        /// InfoNCE both ways, from given scores `[N; N]` of images and texts: a scalar. (Radford et al. 2021, "CLIP".)
        let clip (scores: Tensor) : Tensor =
            if scores.Rank <> 2 || scores.Shape[0] <> scores.Shape[1] then
                Shape.fail "clip" "the scores must be [N,N]" "" [ scores ]
            let labels = arange DType.I64 scores.Shape[0]
            (Loss.crossEntropy scores labels + Loss.crossEntropy (transpose scores) labels) * 0.5

        /// Direct preference optimisation from the log-probabilities of chosen and rejected answers under the model and the
        /// reference, `[N]` each; `smoothing` is the share of preferences taken to be wrong. (Rafailov et al. 2023; Mitchell
        /// 2023 for the smoothing.)
        let dpoOf
            (beta: float)
            (smoothing: float)
            (reduction: LossReduction)
            (chosen: Tensor, rejected: Tensor)
            (refChosen: Tensor, refRejected: Tensor)
            : Tensor =
            Losses.sameShape "dpo" chosen rejected
            Losses.positive "dpo" "beta" beta
            let gain = ((chosen - rejected) - (refChosen - refRejected)) * beta
            let losses =
                if smoothing = 0.0 then
                    softplus -gain
                else
                    softplus -gain * (1.0 - smoothing) + softplus gain * smoothing
            Losses.reduce "dpo" reduction losses

        /// Direct preference optimisation with beta = 0.1, the mean: a scalar.
        let dpo (chosen: Tensor, rejected: Tensor) (refChosen: Tensor, refRejected: Tensor) : Tensor =
            dpoOf 0.1 0.0 LossReduction.Mean (chosen, rejected) (refChosen, refRejected)
