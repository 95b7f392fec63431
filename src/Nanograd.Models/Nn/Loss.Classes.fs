namespace Nanograd

open System

/// Options of `Loss.crossEntropyWith` and `Loss.nllWith`.
[<NoComparison>]
type ClassLossOptions =
    {
        Reduction: LossReduction
        /// How much each class counts: `[C]`.
        Weight: Tensor option
        /// The label of places that do not count.
        IgnoreIndex: int
        /// The share of each target that is spread over all classes evenly (Szegedy et al. 2016).
        LabelSmoothing: float
    }

    /// PyTorch's: the mean, no weights, -100 ignored, no smoothing.
    static member Default =
        { Reduction = LossReduction.Mean
          Weight = None
          IgnoreIndex = -100
          LabelSmoothing = 0.0 }

/// Losses of classes. (A second part of the module `Loss`.)
[<AutoOpen>]
module ClassLosses =
    /// The labels of logits with the classes last, checked.
    let private labels name (o: ClassLossOptions) (logits: Tensor) (targets: Tensor) =
        if targets.Shape <> logits.Shape[.. logits.Rank - 2] || not (DType.isInteger targets.DType) then
            Shape.fail name "[N,C,d...] needs integer targets [N,d...], and [C] a scalar" "" [ logits; targets ]
        Known.labels name logits.Shape[logits.Rank - 1] (Some o.IgnoreIndex) targets

    let private checkWeight name (weight: Tensor option) (logits: Tensor) =
        match weight with
        | Some w when w.Shape <> [| logits.Shape[logits.Rank - 1] |] ->
            Shape.fail name "the weight must have one entry for each class" "" [ logits; w ]
        | Some _
        | None -> ()

    /// Losses of single places, and what each weighs in the mean; places that are ignored weigh nothing.
    let private reduceWeighted name (o: ClassLossOptions) (targets: Tensor) (losses: Tensor) (weights: Tensor) =
        let counts = ne targets (full targets.DType targets.Shape (float o.IgnoreIndex))
        let kept = where counts losses (zerosLike losses)
        match o.Reduction with
        | LossReduction.Mean when losses.Count > 0 -> sum kept / sum (where counts weights (zerosLike weights))
        | LossReduction.Mean
        | LossReduction.Sum
        | LossReduction.BatchMean
        | LossReduction.None -> Losses.reduce name o.Reduction kept

    /// The weight of each place's class, 1 without weights.
    let private weightOf (o: ClassLossOptions) (logits: Tensor) (targets: Tensor) =
        match o.Weight with
        | None -> full logits.DType targets.Shape 1.0
        | Some w -> Losses.pick targets (broadcastTo logits.Shape (cast logits.DType w))

    let private againstLabels name (o: ClassLossOptions) (logProbs: Tensor) (targets: Tensor) =
        let targets = labels name o logProbs targets
        let weights = weightOf o logProbs targets
        let plain = -(Losses.pick targets logProbs) * weights
        let classes = float logProbs.Shape[logProbs.Rank - 1]
        let spread () =
            match o.Weight with
            | None -> -(sumOver [ -1 ] logProbs)
            | Some w -> -(sumOver [ -1 ] (logProbs * w))
        let s = o.LabelSmoothing
        let losses = if s = 0.0 then plain else plain * (1.0 - s) + spread () * (s / classes)
        reduceWeighted name o targets losses weights

    let private againstProbabilities name (o: ClassLossOptions) (logProbs: Tensor) (targets: Tensor) =
        let s, classes = o.LabelSmoothing, float logProbs.Shape[logProbs.Rank - 1]
        let targets = if s = 0.0 then targets else targets * (1.0 - s) + s / classes
        let terms = logProbs * targets
        let losses =
            match o.Weight with
            | None -> -(sumOver [ -1 ] terms)
            | Some w -> -(sumOver [ -1 ] (terms * w))
        Losses.reduce name o.Reduction losses

    /// Losses of classes.
    [<RequireQualifiedAccess>]
    module Loss =
        /// Cross-entropy in PyTorch's layout: logits `[C]`, `[N; C]` or `[N; C; d...]` against labels (integers `[]`, `[N]`,
        /// `[N; d...]`) or probabilities (floats of the logits' shape). The mean over labels is weighted by their classes'
        /// weights; over probabilities it is plain. (PyTorch: CrossEntropyLoss.)
        let crossEntropyWith (o: ClassLossOptions) (logits: Tensor) (targets: Tensor) : Tensor =
            let name = "crossEntropy"
            if not (o.LabelSmoothing >= 0.0 && o.LabelSmoothing <= 1.0) then
                raise (ArgumentException $"{name}: label smoothing must be between 0 and 1, not {o.LabelSmoothing}.")
            let x = Losses.classesLast name logits
            checkWeight name o.Weight x
            if DType.isFloat targets.DType then
                if targets.Shape <> logits.Shape then
                    let required = "targets must be integer labels, or probabilities of the logits' shape"
                    Shape.fail name required "cast labels to integers" [ logits; targets ]
                againstProbabilities name o (logSoftmax -1 x) (Losses.classesLast name targets)
            else
                againstLabels name o (logSoftmax -1 x) targets

        /// Minus the log-probability of the labels: log-probabilities `[C]`, `[N; C]` or `[N; C; d...]` and integers `[]`,
        /// `[N]` or `[N; d...]`. (Smoothing does not apply.) (PyTorch: NLLLoss.)
        let nllWith (o: ClassLossOptions) (logProbs: Tensor) (targets: Tensor) : Tensor =
            let x = Losses.classesLast "nll" logProbs
            checkWeight "nll" o.Weight x
            againstLabels "nll" { o with LabelSmoothing = 0.0 } x targets

        /// The mean of minus the labels' log-probabilities: a scalar.
        let nll (logProbs: Tensor) (targets: Tensor) : Tensor = nllWith ClassLossOptions.Default logProbs targets

        /// For each wrong class i of a row with label y, max(0, margin - x[y] + x[i]) to the power p (1 or 2) times y's
        /// weight; their sum over C. Scores `[C]` or `[N; C]`, labels `[]` or `[N]`. (PyTorch: MultiMarginLoss.)
        let multiMarginOf (p: int) (margin: float) (weight: Tensor option) reduction (x: Tensor) (y: Tensor) : Tensor =
            let name = "multiMargin"
            if p <> 1 && p <> 2 then raise (ArgumentException $"{name}: p must be 1 or 2, not {p}.")
            if x.Rank > 2 then Shape.fail name "scores must be [C] or [N,C]" "" [ x ]
            let o = { ClassLossOptions.Default with Weight = weight; IgnoreIndex = 0 } // a label like others: none is ignored
            let x = Losses.classesLast name x
            checkWeight name weight x
            let y = labels name o x y
            let gaps = relu (x - unsqueeze -1 (Losses.pick y x) + margin)
            let isLabel = eq (unsqueeze -1 (cast DType.I32 y)) (Op.iota DType.I32 x.Shape (x.Rank - 1))
            let terms = where isLabel (zerosLike gaps) (if p = 1 then gaps else square gaps)
            let losses = sumOver [ -1 ] terms * weightOf o x y / float x.Shape[x.Rank - 1]
            Losses.reduce name reduction losses

        /// `multiMarginOf` with p = 1, margin 1 and no weights, the mean: a scalar.
        let multiMargin (x: Tensor) (y: Tensor) : Tensor = multiMarginOf 1 1.0 None LossReduction.Mean x y

        /// Several labels a row: sum over labels j and other classes i of max(0, 1 - (x[j] - x[i])), over C. Scores `[C]` or
        /// `[N; C]`; labels of the same shape, of which those before the first -1 count. (PyTorch: MultiLabelMarginLoss.)
        let multiLabelMarginOf (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
            let name = "multiLabelMargin"
            Losses.sameShape name x y
            if x.Rank <> 1 && x.Rank <> 2 then Shape.fail name "scores must be [C] or [N,C]" "" [ x ]
            if not (DType.isInteger y.DType) then Shape.fail name "labels must be integers" "cast them" [ y ]
            let classes = x.Shape[x.Rank - 1]
            let y = Known.labels name classes (Some -1) y |> cast DType.I32
            let ends = cumSum -1 (cast DType.I32 (lt y (scalarOf DType.I32 0.0)))
            let isLabel = eq ends (zerosLike ends) // [..; label j]
            let isClass = // [..; label j; class i]
                logicalAnd (unsqueeze -1 isLabel) (eq (unsqueeze -1 y) (arange DType.I32 classes))
            let wanted = anyOver [ -2 ] isClass // [..; class i]
            let scores = where isClass (unsqueeze -2 x) (scalarOf x.DType 0.0) |> sumKeep [ -1 ] // [..; label j; 1]
            let gaps = relu (1.0 - (scores - unsqueeze -2 x))
            let pairs = logicalAnd (unsqueeze -1 isLabel) (logicalNot (unsqueeze -2 wanted))
            let losses = sumOver [ -2; -1 ] (where pairs gaps (zerosLike gaps)) / float (max 1 classes)
            Losses.reduce name reduction losses

        /// Several labels a row, the mean: a scalar.
        let multiLabelMargin (x: Tensor) (y: Tensor) : Tensor = multiLabelMarginOf LossReduction.Mean x y

        /// Binary cross-entropies of logits `[..; C]` against targets in [0, 1], times a weight (`[C]`, broadcast), their
        /// mean over the classes. (PyTorch: MultiLabelSoftMarginLoss.)
        let multiLabelSoftMarginOf (weight: Tensor option) reduction (x: Tensor) (y: Tensor) : Tensor =
            let name = "multiLabelSoftMargin"
            Losses.sameShape name x y
            if x.Rank = 0 then Shape.fail name "there must be an axis of classes, the last" "" [ x ]
            let losses = softplus x - x * y
            let losses =
                match weight with
                | Some w -> losses * w
                | None -> losses
            Losses.reduce name reduction (meanOver [ -1 ] losses)

        /// Binary cross-entropies of logits against targets, the mean: a scalar.
        let multiLabelSoftMargin (x: Tensor) (y: Tensor) : Tensor = multiLabelSoftMarginOf None LossReduction.Mean x y

        /// Binary cross-entropy of logits whose easy examples count little: (1 - q)^gamma times it, q the probability of the
        /// right answer; positives weigh `alpha`, negatives 1 - alpha (a negative alpha: all 1). (Lin et al. 2017, "Focal
        /// loss for dense object detection": gamma 2, alpha 0.25.)
        let focalOf (gamma: float) (alpha: float) reduction (logits: Tensor) (targets: Tensor) : Tensor =
            Losses.sameShape "focal" logits targets
            let entropy = softplus logits - logits * targets
            let p = sigmoid logits
            let wrong = p * (1.0 - targets) + (1.0 - p) * targets
            let losses = if gamma = 0.0 then entropy else entropy * wrong ** gamma
            let balance = if alpha < 0.0 then losses else losses * (targets * alpha + (1.0 - targets) * (1.0 - alpha))
            Losses.reduce "focal" reduction balance

        /// The focal loss with gamma 2 and alpha 0.25, the mean: a scalar.
        let focal (logits: Tensor) (targets: Tensor) : Tensor = focalOf 2.0 0.25 LossReduction.Mean logits targets

        /// 1 minus Dice's overlap of probabilities x and targets y `[N; ...]`, for each of the N: 1 - (2 sum(x y) + smooth) /
        /// (sum x + sum y + smooth). (Milletari et al. 2016, "V-Net", with plain sums.)
        let diceOf (smooth: float) reduction (x: Tensor) (y: Tensor) : Tensor =
            Losses.sameShape "dice" x y
            if x.Rank < 2 then Shape.fail "dice" "both must be [N,...], with more than the batch" "" [ x; y ]
            let total (t: Tensor) = sumOver [ 1 .. t.Rank - 1 ] t
            let losses = 1.0 - (total (x * y) * 2.0 + smooth) / (total x + total y + smooth)
            Losses.reduce "dice" reduction losses

        /// 1 minus Dice's overlap with smooth = 1, the mean: a scalar.
        let dice (x: Tensor) (y: Tensor) : Tensor = diceOf 1.0 LossReduction.Mean x y
