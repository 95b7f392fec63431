namespace Nanograd

open System

/// Something measured on predictions and targets. It adds up over batches: each gives a vector of sums, the metric is a
/// number made of their total.
[<NoComparison; NoEquality>]
type Metric =
    {
        Name: string
        Better: Better
        /// Predictions and targets of a batch to a vector of sums.
        Sums: Tensor -> Tensor -> Tensor
        /// The metric from the sums over all batches.
        Value: float[] -> float
    }

/// The usual metrics. Classes are along the last axis of predictions (logits or probabilities), and targets are integers.
[<RequireQualifiedAccess>]
module Metric =
    let private ratio (sums: float[]) = sums[0] / sums[1]

    let private vector (parts: Tensor list) = parts |> List.map (cast DType.F64 >> reshape [| 1 |]) |> concat 0

    let private labelled name (predictions: Tensor) (targets: Tensor) =
        let classes = predictions.Rank - 1
        if classes < 0 || predictions.Shape[.. classes - 1] <> targets.Shape || not (DType.isInteger targets.DType) then
            Shape.fail name "predictions [..,classes] need integer targets [..]" "" [ predictions; targets ]

    let private share name (isRight: Tensor -> Tensor -> Tensor) =
        { Name = name
          Better = Better.Larger
          Sums =
            fun predictions targets ->
                labelled name predictions targets
                let right = isRight predictions targets
                vector [ sum (cast DType.F32 right); scalar (float targets.Count) ]
          Value = ratio }

    let private predicted (predictions: Tensor) = cast DType.I32 (argMax -1 predictions)

    /// The share of targets that are the largest prediction.
    let accuracy: Metric =
        share "accuracy" (fun predictions targets -> eq (predicted predictions) (cast DType.I32 targets))

    /// The share of targets among the k largest predictions. (A target is counted by how many predictions are larger.)
    let topK (k: int) : Metric =
        if k < 1 then raise (ArgumentException $"topK: k must be at least 1, not {k}.")
        share $"top{k}" (fun predictions targets ->
            let own = unsqueeze -1 (cast DType.I32 targets)
            let isTarget = eq own (Op.iota DType.I32 predictions.Shape (predictions.Rank - 1))
            let score = sumKeep [| predictions.Rank - 1 |] (where isTarget predictions (zerosLike predictions))
            let larger = sumOver [ -1 ] (cast DType.F32 (gt predictions score))
            lt larger (scalar (float k)))

    /// The accuracy of one logit for two classes: above 0 means 1. Targets are 0 or 1, of any type, in the shape of the predictions.
    let binaryAccuracy: Metric =
        { Name = "accuracy"
          Better = Better.Larger
          Sums =
            fun predictions targets ->
                if predictions.Shape <> targets.Shape then
                    Shape.fail "binaryAccuracy" "both must have the same shape" "" [ predictions; targets ]
                let said, meant = gt predictions (zerosLike predictions), ne targets (zerosLike targets)
                vector [ sum (cast DType.F32 (eq said meant)); scalar (float targets.Count) ]
          Value = ratio }

    /// How often class i (rows) was taken for class j (columns): f64 `[classes; classes]`.
    let confusionMatrix (classes: int) (predictions: Tensor) (targets: Tensor) : Tensor =
        if classes < 1 then raise (ArgumentException $"confusionMatrix: there must be a class, not {classes}.")
        labelled "confusionMatrix" predictions targets
        let oneHot (labels: Tensor) =
            let flat = reshape [| labels.Count; 1 |] (cast DType.I32 labels)
            cast DType.F32 (eq flat (Op.iota DType.I32 [| labels.Count; classes |] 1))
        cast DType.F64 (matmul (transpose (oneHot targets)) (oneHot (predicted predictions)))

    /// A number made of the confusion matrix, which is given by rows.
    let ofConfusion (name: string) (classes: int) (value: float[][] -> float) : Metric =
        { Name = name
          Better = Better.Larger
          Sums = fun predictions targets -> flatten (confusionMatrix classes predictions targets)
          Value = Array.chunkBySize classes >> value }

    /// Precision, recall and F1 of class c. What is undefined, because nothing was taken for the class or nothing is of it, is 0.
    let private scores (m: float[][]) (c: int) =
        let hits, said, meant = m[c][c], m |> Array.sumBy (fun row -> row[c]), Array.sum m[c]
        let over part whole = if whole = 0.0 then 0.0 else part / whole
        over hits said, over hits meant, over (2.0 * hits) (said + meant)

    let private macro (pick: float * float * float -> float) (m: float[][]) =
        Array.init m.Length (fun c -> pick (scores m c)) |> Array.average

    /// The mean over classes of their precision.
    let precision (classes: int) : Metric = ofConfusion "precision" classes (macro (fun (p, _, _) -> p))
    /// The mean over classes of their recall.
    let recall (classes: int) : Metric = ofConfusion "recall" classes (macro (fun (_, r, _) -> r))
    /// The mean over classes of their F1 (macro F1).
    let f1 (classes: int) : Metric = ofConfusion "f1" classes (macro (fun (_, _, f) -> f))

    let private difference name (f: Tensor -> Tensor) (value: float[] -> float) =
        { Name = name
          Better = Better.Smaller
          Sums =
            fun predictions targets ->
                if predictions.Shape <> targets.Shape then
                    Shape.fail name "both must have the same shape" "" [ predictions; targets ]
                vector [ sum (f (predictions - targets)); scalar (float targets.Count) ]
          Value = value }

    /// The mean squared difference.
    let meanSquaredError: Metric = difference "mse" square ratio
    /// The root of the mean squared difference.
    let rootMeanSquaredError: Metric = difference "rmse" square (ratio >> sqrt)
    /// The mean absolute difference.
    let meanAbsoluteError: Metric = difference "mae" abs ratio

    /// exp of the mean cross-entropy of logits.
    let perplexity: Metric =
        { Name = "perplexity"
          Better = Better.Smaller
          Sums =
            fun logits targets ->
                labelled "perplexity" logits targets
                vector [ Loss.crossEntropyOf LossReduction.Sum logits targets; scalar (float targets.Count) ]
          Value = ratio >> exp }
