namespace Nanograd.Models

open System
open Nanograd

/// A metric: sums over a batch, and a number made of the total.
[<Sealed>]
type MetricFunction internal (inner: Metric) =
    /// The share of targets that are the largest prediction.
    static member Accuracy() = MetricFunction Metric.accuracy
    /// The share of targets among the k largest predictions.
    static member TopK(k: int) = MetricFunction(Metric.topK k)
    /// The accuracy of one logit for two classes.
    static member BinaryAccuracy() = MetricFunction Metric.binaryAccuracy
    /// The mean over classes of their F1.
    static member F1(classes: int) = MetricFunction(Metric.f1 classes)
    /// The mean over classes of their precision.
    static member Precision(classes: int) = MetricFunction(Metric.precision classes)
    /// The mean over classes of their recall.
    static member Recall(classes: int) = MetricFunction(Metric.recall classes)
    /// The confusion matrix, whose number is the accuracy.
    static member Confusion(classes: int) =
        let accuracy (m: float[][]) = Array.sum (Array.mapi (fun i row -> Array.item i row) m) / Array.sumBy Array.sum m
        MetricFunction(Metric.ofConfusion "confusion" classes accuracy)
    /// The mean squared difference.
    static member MeanSquaredError() = MetricFunction Metric.meanSquaredError
    /// The mean absolute difference.
    static member MeanAbsoluteError() = MetricFunction Metric.meanAbsoluteError
    /// exp of the mean cross-entropy.
    static member Perplexity() = MetricFunction Metric.perplexity

    /// What it is called.
    member _.Name: string = inner.Name
    /// Whether more is better.
    member _.LargerIsBetter: bool = inner.Better.IsLarger
    /// The sums of a batch, f64.
    member _.Sums(predictions: Tensor, targets: Tensor) : Tensor = cast DType.F64 (inner.Sums predictions targets)
    /// The number from the total.
    member _.Value(sums: float[]) : float = inner.Value sums

/// Gradients that are gathered instead of moving parameters.
[<AbstractClass; Sealed>]
type GradientSums =
    /// An optimizer whose state is the sum of all gradients, each times the rate of its step; parameters stay.
    static member Rule() : ParameterUpdate =
        ParameterUpdate(
            Optimizer.each [ "sum", Optimizer.zeros ] (fun context p g state ->
                zerosLike p, [| state[0] + g * Optimizer.rate context p |])
        )

    /// The Euclidean norm of all tensors together: NaN or infinite if anything in them is.
    static member Norm(tensors: Tensor[]) : Tensor = Clip.norm 2.0 tensors

/// Products in 16 bits.
[<AbstractClass; Sealed>]
type MixedPrecision =
    /// The same expressions with products and convolutions rounded to a type; what stands in `below` is not looked into.
    static member Above(dtype: DType, roots: Tensor[], below: Tensor[]) : Tensor[] =
        let below = below |> Array.distinct
        let variables = below |> Array.map (fun t -> Op.input "x" t.DType t.Shape)
        let replacing (from: Tensor[]) (into: Tensor[]) =
            let replacements = Collections.Generic.Dictionary<Hash, Tensor>()
            Array.iter2 (fun (f: Tensor) t -> replacements[f.Hash] <- t) from into
            Substitute.apply replacements
        roots |> replacing below variables |> Autocast.apply dtype |> replacing variables below

/// Activation checkpointing by a budget.
[<AbstractClass; Sealed>]
type ActivationCheckpoints =
    /// A root with the first `recomputed` of `segments` pieces of its computation in checkpoints.
    static member Apply(segments: int, recomputed: int, root: Tensor) : Tensor =
        (Recomputation.apply { Segments = segments; Recomputed = recomputed } [| root |])[0]

    /// The cheapest choice whose planned bytes, which are asked for by segments and recomputed ones, are within the budget: how
    /// many segments, how many of them recomputed. An InvalidOperationException names the least possible.
    static member Choose(budget: int64, planned: Func<int, int, int64>) : struct (int * int) =
        let r = Recomputation.choose budget (fun r -> planned.Invoke(r.Segments, r.Recomputed))
        struct (r.Segments, r.Recomputed)

/// Progress of a training run, told to a writer; on the console in a line that changes.
[<Sealed>]
type ProgressLines(writer: IO.TextWriter, isConsole: bool) =
    let inner = ProgressWriter(if isConsole then Progress.Console else Progress.Lines writer)
    /// After an update.
    member _.Step(step: StepRecord, total: int64, steps: int64) : unit = inner.Step(step, total, steps)
    /// After an evaluation.
    member _.Evaluation(e: EvaluationRecord) : unit = inner.Evaluation e
    /// A sentence of its own line.
    member _.Say(sentence: string) : unit = inner.Say sentence
