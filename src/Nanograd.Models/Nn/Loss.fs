namespace Nanograd

open System

/// What becomes of the losses of the single elements.
[<RequireQualifiedAccess>]
type LossReduction =
    /// Their mean: a scalar.
    | Mean
    /// Their sum: a scalar.
    | Sum
    /// They stay as they are.
    | None
    /// Their sum divided by the first extent, the batch: a scalar.
    | BatchMean

/// What losses share.
[<RequireQualifiedAccess>]
module internal Losses =
    let sameShape name (x: Tensor) (y: Tensor) =
        if x.Shape <> y.Shape then Shape.fail name "both must have the same shape" "" [ x; y ]

    /// A mean of nothing would be NaN: an empty batch is a mistake.
    let reduce (name: string) (reduction: LossReduction) (losses: Tensor) : Tensor =
        match reduction with
        | LossReduction.Mean
        | LossReduction.BatchMean when losses.Count = 0 ->
            Shape.fail name "the mean needs at least one element" "is the batch empty? reduce by Sum" [ losses ]
        | LossReduction.Mean -> mean losses
        | LossReduction.BatchMean when losses.Rank = 0 -> losses
        | LossReduction.BatchMean -> sum losses / float losses.Shape[0]
        | LossReduction.Sum -> sum losses
        | LossReduction.None -> losses

    /// A number of x's type.
    let number (x: Tensor) (value: float) = scalarOf x.DType value

    let positive name what (value: float) =
        if not (value > 0.0) then raise (ArgumentException $"{name}: {what} must be positive, not {value}.")

    /// Logits in PyTorch's layout, `[C]` or `[N; C; d...]`, with the classes last.
    let classesLast name (logits: Tensor) =
        if logits.Rank = 0 then Shape.fail name "there must be an axis of classes: [C] or [N,C,d...]" "" [ logits ]
        if logits.Rank <= 2 then logits else moveAxis 1 -1 logits

    /// Elements along the last axis where the class is the label, summed: `[..; C]` and labels `[..]` to `[..]`. A label
    /// of no class gives 0. By comparison, not by indices: one pass.
    let pick (labels: Tensor) (x: Tensor) =
        let classes = Op.iota DType.I32 x.Shape (x.Rank - 1)
        let isTarget = eq (unsqueeze -1 (cast DType.I32 labels)) classes
        sumOver [ -1 ] (where isTarget x (zerosLike x))

/// Losses, by PyTorch's definitions. Predictions come first, then targets. Names without `Of` or `With` take PyTorch's
/// defaults.
[<RequireQualifiedAccess>]
module Loss =
    /// Losses `[..]` to a scalar, or as they are.
    let reduce (reduction: LossReduction) (losses: Tensor) : Tensor = Losses.reduce "loss" reduction losses

    let private checkPlaces (logits: Tensor) (targets: Tensor) =
        if
            logits.Rank = 0 || logits.Shape[.. logits.Rank - 2] <> targets.Shape || not (DType.isInteger targets.DType)
        then
            Shape.fail "crossEntropy" "logits [..,classes] need integer targets [..]" "" [ logits; targets ]

    /// The loss of each place: logits `[..; classes]` and targets `[..]` (integers below `classes`) to `[..]`.
    /// Written as logSumExp minus the target's logit, picked by comparison: one pass over each row, no indexing.
    let private perPlace (logits: Tensor) (targets: Tensor) =
        reshape targets.Shape (logSumExpKeep -1 logits) - Losses.pick targets logits

    /// Cross-entropy of logits `[..; classes]` against integer targets `[..]`; a known target out of range is an error.
    let crossEntropyOf (reduction: LossReduction) (logits: Tensor) (targets: Tensor) : Tensor =
        checkPlaces logits targets
        let targets = Known.labels "crossEntropy" logits.Shape[logits.Rank - 1] None targets
        let losses = perPlace logits targets
        Losses.reduce "crossEntropy" reduction losses

    /// The mean cross-entropy of logits `[..; classes]` against integer targets `[..]`: a scalar.
    let crossEntropy (logits: Tensor) (targets: Tensor) : Tensor = crossEntropyOf LossReduction.Mean logits targets

    /// Cross-entropy where places whose target is `ignored` do not count (the mean is over the others): PyTorch's
    /// ignore_index.
    let crossEntropyIgnoring (ignored: int) (reduction: LossReduction) (logits: Tensor) (targets: Tensor) : Tensor =
        checkPlaces logits targets
        let targets = Known.labels "crossEntropy" logits.Shape[logits.Rank - 1] (Some ignored) targets
        let counts = ne targets (full targets.DType targets.Shape (float ignored))
        let losses = perPlace logits targets
        let kept = where counts losses (zerosLike losses)
        match reduction with
        | LossReduction.Mean when losses.Count > 0 -> sum kept / sum (cast losses.DType counts)
        | LossReduction.Mean
        | LossReduction.Sum
        | LossReduction.BatchMean
        | LossReduction.None -> Losses.reduce "crossEntropy" reduction kept

    // ---- numbers against numbers

    /// Squared differences of tensors of one shape. (PyTorch: MSELoss.)
    let mseOf (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "mse" x y
        Losses.reduce "mse" reduction (square (x - y))

    /// The mean squared difference: a scalar.
    let mse (x: Tensor) (y: Tensor) : Tensor = mseOf LossReduction.Mean x y

    /// Absolute differences of tensors of one shape. (PyTorch: L1Loss.)
    let l1Of (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "l1" x y
        Losses.reduce "l1" reduction (abs (x - y))

    /// The mean absolute difference: a scalar.
    let l1 (x: Tensor) (y: Tensor) : Tensor = l1Of LossReduction.Mean x y

    /// Huber's loss: d²/2 up to `delta`, linear beyond. (PyTorch: HuberLoss.)
    let huberOf (delta: float) (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "huber" x y
        Losses.positive "huber" "delta" delta
        let d = abs (x - y)
        let isSmall = le d (full d.DType d.Shape delta)
        Losses.reduce "huber" reduction (where isSmall (square d * 0.5) ((d - 0.5 * delta) * delta))

    /// Huber's loss with delta = 1, the mean: a scalar.
    let huber (x: Tensor) (y: Tensor) : Tensor = huberOf 1.0 LossReduction.Mean x y

    /// d² / (2 beta) below `beta`, d - beta/2 beyond; with beta = 0 the absolute difference. (PyTorch: SmoothL1Loss,
    /// Girshick 2015.)
    let smoothL1Of (beta: float) (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "smoothL1" x y
        if not (beta >= 0.0) then raise (ArgumentException $"smoothL1: beta must not be negative, not {beta}.")
        let d = abs (x - y)
        let losses =
            if beta = 0.0 then d else where (lt d (Losses.number d beta)) (square d * (0.5 / beta)) (d - 0.5 * beta)
        Losses.reduce "smoothL1" reduction losses

    /// SmoothL1 with beta = 1, the mean: a scalar.
    let smoothL1 (x: Tensor) (y: Tensor) : Tensor = smoothL1Of 1.0 LossReduction.Mean x y

    /// Minus the log-likelihood of counts under Poisson distributions whose rates (or their logarithms, `logInput`) are
    /// predicted; `full` adds Stirling's approximation of log(y!) where y is above 1. `eps` keeps log(x) finite. (PyTorch:
    /// PoissonNLLLoss.)
    let poissonNllOf
        (logInput: bool)
        (full: bool)
        (eps: float)
        (reduction: LossReduction)
        (x: Tensor)
        (y: Tensor)
        : Tensor =
        Losses.sameShape "poissonNll" x y
        let losses = if logInput then exp x - y * x else x - y * log (x + eps)
        let stirling () =
            let isLarge = gt y (Losses.number y 1.0)
            let safe = where isLarge y (onesLike y)
            where isLarge (safe * log safe - safe + 0.5 * log (2.0 * Math.PI * safe)) (zerosLike y)
        Losses.reduce "poissonNll" reduction (if full then losses + stirling () else losses)

    /// Minus the log-likelihood of Poisson distributions whose logarithmic rates are predicted, the mean: a scalar.
    let poissonNll (x: Tensor) (y: Tensor) : Tensor = poissonNllOf true false 1e-8 LossReduction.Mean x y

    /// Minus the log-likelihood of y under normal distributions of mean x and a predicted variance, which is at least
    /// `eps` (its gradient passes all the same); `full` adds the constant log(2 pi)/2. The variance `[..]` has the shape of
    /// x, with the last extent 1 or without the last axis. (PyTorch: GaussianNLLLoss, Nix and Weigend 1994.)
    let gaussianNllOf
        (full: bool)
        (eps: float)
        (reduction: LossReduction)
        (x: Tensor)
        (y: Tensor)
        (variance: Tensor)
        : Tensor =
        Losses.sameShape "gaussianNll" x y
        Losses.positive "gaussianNll" "eps" eps
        let last = x.Rank - 1
        let variance =
            if variance.Shape = x.Shape then variance
            elif last >= 0 && variance.Shape = Array.append x.Shape[.. last - 1] [| 1 |] then variance
            elif last >= 0 && variance.Shape = x.Shape[.. last - 1] then unsqueeze -1 variance
            else Shape.fail "gaussianNll" "the variance must have x's shape, but for the last axis" "" [ x; variance ]
        Known.checkFloats "gaussianNll" "variances must not be negative" (fun v -> not (v < 0.0)) variance
        let held = stopGradient (clampMin eps variance) + (variance - stopGradient variance)
        let losses = (log held + square (x - y) / held) * 0.5
        Losses.reduce "gaussianNll" reduction (if full then losses + 0.5 * Math.Log(2.0 * Math.PI) else losses)

    /// Minus the log-likelihood under normal distributions, the mean: a scalar.
    let gaussianNll (x: Tensor) (y: Tensor) (variance: Tensor) : Tensor =
        gaussianNllOf false 1e-6 LossReduction.Mean x y variance

    // ---- probabilities

    /// Kullback and Leibler's divergence of predicted log-probabilities x from probabilities y (or their logarithms,
    /// `logTarget`), elementwise: y (log y - x). `Mean` divides by the number of elements, as in PyTorch; the divergence
    /// itself is `BatchMean`. (PyTorch: KLDivLoss.)
    let klDivOf (logTarget: bool) (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "klDiv" x y
        Losses.reduce "klDiv" reduction (if logTarget then exp y * (y - x) else xlogy y y - y * x)

    /// The divergence of predicted log-probabilities from probabilities, the mean over all elements: a scalar.
    let klDiv (x: Tensor) (y: Tensor) : Tensor = klDivOf false LossReduction.Mean x y

    let private weighted (weight: Tensor option) (losses: Tensor) =
        match weight with
        | Some w -> losses * w
        | None -> losses

    /// Binary cross-entropy of probabilities x against targets in [0, 1]; logarithms are at least -100, and the gradient
    /// is PyTorch's, (x - y) / (x (1 - x)) with a denominator of at least 1e-12. The weight broadcasts. (PyTorch: BCELoss.)
    let bceOf (weight: Tensor option) (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "bce" x y
        Known.checkFloats "bce" "probabilities must be between 0 and 1" (fun v -> v >= 0.0 && v <= 1.0) x
        let logs (x: Tensor) = clampMin -100.0 (log x), clampMin -100.0 (log1p -x)
        let value (x: Tensor, y: Tensor) =
            let yes, no = logs x
            (y - 1.0) * no - y * yes
        let gradient (x: Tensor, y: Tensor) c =
            let yes, no = logs x
            c * (x - y) / clampMin 1e-12 (x * (1.0 - x)), c * (no - yes)
        Losses.reduce "bce" reduction (weighted weight (customGradient "bce" value gradient (x, y)))

    /// Binary cross-entropy of probabilities against targets in [0, 1], the mean: a scalar.
    let bce (x: Tensor) (y: Tensor) : Tensor = bceOf None LossReduction.Mean x y

    /// Binary cross-entropy of logits against targets in [0, 1] without overflow, times a weight; positive targets count
    /// `positiveWeight` times. Both broadcast. (PyTorch: BCEWithLogitsLoss.)
    let bceWithLogitsWith
        (weight: Tensor option)
        (positiveWeight: Tensor option)
        (reduction: LossReduction)
        (logits: Tensor)
        (targets: Tensor)
        : Tensor =
        Losses.sameShape "bceWithLogits" logits targets
        let losses =
            match positiveWeight with
            | None -> softplus logits - logits * targets
            | Some w -> (1.0 - targets) * logits + ((w - 1.0) * targets + 1.0) * softplus -logits
        Losses.reduce "bceWithLogits" reduction (weighted weight losses)

    /// Binary cross-entropy of logits against targets in [0, 1]: softplus(x) - x y, without overflow.
    let bceWithLogitsOf (reduction: LossReduction) (logits: Tensor) (targets: Tensor) : Tensor =
        bceWithLogitsWith None None reduction logits targets

    /// Mean binary cross-entropy of logits against targets in [0, 1]: a scalar.
    let bceWithLogits (logits: Tensor) (targets: Tensor) : Tensor = bceWithLogitsOf LossReduction.Mean logits targets

    /// log(1 + exp(-y x)) for targets 1 and -1. (PyTorch: SoftMarginLoss.)
    let softMarginOf (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        Losses.sameShape "softMargin" x y
        Losses.reduce "softMargin" reduction (softplus -(x * y))

    /// log(1 + exp(-y x)) for targets 1 and -1, the mean: a scalar.
    let softMargin (x: Tensor) (y: Tensor) : Tensor = softMarginOf LossReduction.Mean x y
