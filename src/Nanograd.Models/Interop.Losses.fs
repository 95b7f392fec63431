namespace Nanograd.Models

open System
open Nanograd

/// Losses whose F# form takes options, tuples or functions. Arguments that may be null are optional.
[<AbstractClass; Sealed>]
type LossFunctions =
    /// Where the classes are: the axis that is given, else PyTorch's (1, or 0 without a batch), or, for labels that fit only
    /// there, the last.
    static member private ClassAxis(logits: Tensor, targets: Tensor, axis: Nullable<int>) =
        let without n = Array.append logits.Shape[.. n - 1] logits.Shape[n + 1 ..]
        if axis.HasValue then Shape.axis "crossEntropy" logits axis.Value
        elif logits.Rank < 3 || DType.isFloat targets.DType then min 1 (logits.Rank - 1)
        elif targets.Shape <> without 1 && targets.Shape = without (logits.Rank - 1) then logits.Rank - 1
        else 1

    /// Cross-entropy with the classes on some axis (null: PyTorch's). Where there is nothing but labels it is one pass over
    /// each row.
    static member CrossEntropy
        (
            logits: Tensor,
            targets: Tensor,
            weight: Tensor,
            ignoreIndex: int,
            reduction: LossReduction,
            smoothing: float,
            axis: Nullable<int>
        ) : Tensor =
        if logits.Rank = 0 then
            Shape.fail "crossEntropy" "there must be an axis of classes: [C] or [N,C,d...]" "" [ logits; targets ]
        let classes = LossFunctions.ClassAxis(logits, targets, axis)
        let last = logits.Rank - 1
        if isNull weight && smoothing = 0.0 && not (DType.isFloat targets.DType) then
            let x = if classes = last then logits else moveAxis classes last logits
            Loss.crossEntropyIgnoring ignoreIndex reduction x targets
        else
            let place (t: Tensor) = if classes = min 1 last then t else moveAxis classes (min 1 last) t
            let targets = if DType.isFloat targets.DType then place targets else targets
            let o =
                { Reduction = reduction
                  Weight = Optional.ofNull weight
                  IgnoreIndex = ignoreIndex
                  LabelSmoothing = smoothing }
            Loss.crossEntropyWith o (place logits) targets

    /// Minus the log-probability of the labels.
    static member Nll
        (logProbs: Tensor, targets: Tensor, weight: Tensor, ignoreIndex: int, reduction: LossReduction)
        : Tensor =
        let o =
            { ClassLossOptions.Default with
                Reduction = reduction
                Weight = Optional.ofNull weight
                IgnoreIndex = ignoreIndex }
        Loss.nllWith o logProbs targets

    /// Hinges of all wrong classes.
    static member MultiMargin
        (x: Tensor, targets: Tensor, p: int, margin: float, weight: Tensor, reduction: LossReduction)
        : Tensor =
        Loss.multiMarginOf p margin (Optional.ofNull weight) reduction x targets

    /// Binary cross-entropies of logits, their mean over the classes.
    static member MultiLabelSoftMargin(x: Tensor, y: Tensor, weight: Tensor, reduction: LossReduction) : Tensor =
        Loss.multiLabelSoftMarginOf (Optional.ofNull weight) reduction x y

    /// Binary cross-entropy of probabilities.
    static member Bce(x: Tensor, y: Tensor, weight: Tensor, reduction: LossReduction) : Tensor =
        Loss.bceOf (Optional.ofNull weight) reduction x y

    /// Binary cross-entropy of logits.
    static member BceWithLogits
        (x: Tensor, y: Tensor, weight: Tensor, reduction: LossReduction, positiveWeight: Tensor)
        : Tensor =
        Loss.bceWithLogitsWith (Optional.ofNull weight) (Optional.ofNull positiveWeight) reduction x y

    /// Hinges of differences of distances; `swapped` (may be null) is the distance from positive to negative.
    static member TripletMargin
        (near: Tensor, far: Tensor, swapped: Tensor, margin: float, reduction: LossReduction)
        : Tensor =
        Loss.tripletMarginOfDistances margin reduction near far (Optional.ofNull swapped)

    /// Direct preference optimisation from log-probabilities.
    static member Dpo
        (
            chosen: Tensor,
            rejected: Tensor,
            refChosen: Tensor,
            refRejected: Tensor,
            beta: float,
            smoothing: float,
            reduction: LossReduction
        ) : Tensor =
        Loss.dpoOf beta smoothing reduction (chosen, rejected) (refChosen, refRejected)

/// A softmax over many classes: a head and clusters of two matrices each, one after the other.
[<AbstractClass; Sealed>]
type AdaptiveSoftmaxFunctions =
    static member private Of(headWeight: Tensor, headBias: Tensor, tail: Tensor[]) : AdaptiveLogSoftmax =
        { Head = { Weight = headWeight; Bias = Optional.ofNull headBias }
          Tail = tail |> Array.map (fun w -> { Linear.Weight = w; Bias = None }) |> Array.chunkBySize 2 }

    /// PyTorch's start: the head's weight and bias (null without one), then the clusters' matrices.
    static member Init
        (key: Tensor, inFeatures: int, classes: int, cutoffs: int[], divValue: float, headBias: bool)
        : Tensor[] =
        let p = AdaptiveLogSoftmax.init key inFeatures classes (List.ofArray cutoffs) divValue headBias
        let tail = p.Tail |> Array.concat |> Array.map _.Weight
        Array.append [| p.Head.Weight; p.Head.Bias |> Option.toObj |] tail

    /// The log-probability of each label, and minus their mean.
    static member Apply(x: Tensor, targets: Tensor, headWeight: Tensor, headBias: Tensor, tail: Tensor[]) : Tensor[] =
        let output, loss = AdaptiveLogSoftmax.apply (AdaptiveSoftmaxFunctions.Of(headWeight, headBias, tail)) x targets
        [| output; loss |]

    /// Log-probabilities of all classes.
    static member LogProb(x: Tensor, headWeight: Tensor, headBias: Tensor, tail: Tensor[]) : Tensor =
        AdaptiveLogSoftmax.logProb (AdaptiveSoftmaxFunctions.Of(headWeight, headBias, tail)) x

    /// The likeliest class of each row.
    static member Predict(x: Tensor, headWeight: Tensor, headBias: Tensor, tail: Tensor[]) : Tensor =
        AdaptiveLogSoftmax.predict (AdaptiveSoftmaxFunctions.Of(headWeight, headBias, tail)) x
