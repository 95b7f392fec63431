namespace Nanograd.CSharp;

/// <summary>
/// Something measured on predictions and targets, over as many batches as <see cref="Update"/> is called for. Classes are along the
/// last axis of predictions, targets are integers.
/// </summary>
public abstract class Metric
{
    private readonly Zoo.MetricFunction _function;

    private protected Metric(Zoo.MetricFunction function, string? name = null) => (_function, Name) = (function, name ?? function.Name);

    /// <summary>What it is called in a <see cref="History"/>.</summary>
    public string Name { get; }

    /// <summary>Whether more is better.</summary>
    public bool LargerIsBetter => _function.LargerIsBetter;

    /// <summary>The metric over all batches since <see cref="Reset"/>; NaN if there was none.</summary>
    public double Value => Sums.Length == 0 ? double.NaN : _function.Value(Sums);

    /// <summary>The sums so far.</summary>
    internal double[] Sums { get; set; } = [];

    /// <summary>Takes a batch into account.</summary>
    /// <param name="predictions">What the model gave.</param>
    /// <param name="targets">What was right.</param>
    public void Update(Tensor predictions, Tensor targets)
    {
        var fresh = new Tensor(_function.Sums(predictions.Detach().Expression, targets.Detach().Expression)).ToArray<double>();
        Sums = Sums.Length == 0 ? fresh : [.. Sums.Zip(fresh, (a, b) => a + b)];
    }

    /// <summary>Forgets all batches.</summary>
    public void Reset() => Sums = [];
}

/// <summary>The share of targets that are the largest prediction.</summary>
public sealed class Accuracy() : Metric(Zoo.MetricFunction.Accuracy());

/// <summary>The accuracy of one logit for two classes: above 0 means 1.</summary>
public sealed class BinaryAccuracy() : Metric(Zoo.MetricFunction.BinaryAccuracy());

/// <summary>The share of targets among the k largest predictions.</summary>
/// <param name="k">How many predictions count.</param>
public sealed class TopK(int k = 5) : Metric(Zoo.MetricFunction.TopK(k));

/// <summary>The mean over classes of their F1 scores.</summary>
/// <param name="classes">The number of classes.</param>
public sealed class F1Score(int classes) : Metric(Zoo.MetricFunction.F1(classes));

/// <summary>The mean over classes of their precision.</summary>
/// <param name="classes">The number of classes.</param>
public sealed class MacroPrecision(int classes) : Metric(Zoo.MetricFunction.Precision(classes));

/// <summary>The mean over classes of their recall.</summary>
/// <param name="classes">The number of classes.</param>
public sealed class MacroRecall(int classes) : Metric(Zoo.MetricFunction.Recall(classes));

/// <summary>How often each class was taken for each; its number is the accuracy.</summary>
/// <param name="classes">The number of classes.</param>
public sealed class ConfusionMatrix(int classes) : Metric(Zoo.MetricFunction.Confusion(classes))
{
    /// <summary>Counts [classes, classes]: what is of the class of the row and was taken for that of the column.</summary>
    public Tensor Matrix => Tensor.FromArray(Sums.Length == 0 ? new double[classes * classes] : Sums, classes, classes);
}

/// <summary>The mean squared difference.</summary>
public sealed class MeanSquaredError() : Metric(Zoo.MetricFunction.MeanSquaredError());

/// <summary>The mean absolute difference.</summary>
public sealed class MeanAbsoluteError() : Metric(Zoo.MetricFunction.MeanAbsoluteError());

/// <summary>exp of the mean cross-entropy of logits.</summary>
public sealed class Perplexity() : Metric(Zoo.MetricFunction.Perplexity());
