namespace Nanograd.CSharp;

/// <summary>Cross-entropy of logits against labels or probabilities, as <see cref="F.CrossEntropy(Tensor, Tensor, Tensor?, int, Reduction, double, int?)"/>.</summary>
/// <param name="weight">How much each class counts, [classes], or null.</param>
/// <param name="ignoreIndex">The label of places that do not count.</param>
/// <param name="labelSmoothing">The share of each target that is spread over all classes evenly.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class CrossEntropyLoss(Tensor? weight = null, int ignoreIndex = -100, Reduction reduction = default, double labelSmoothing = 0) : Loss
{
    /// <summary>The weights of classes, [classes], or null.</summary>
    public Buffer? Weight { get; } = weight is null ? null : new Buffer(weight);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.CrossEntropy(input, target, Weight, ignoreIndex, reduction, labelSmoothing);
}

/// <summary>Minus the log-probability of the labels, as <see cref="F.NllLoss"/>.</summary>
/// <param name="weight">How much each class counts, [classes], or null.</param>
/// <param name="ignoreIndex">The label of places that do not count.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class NLLLoss(Tensor? weight = null, int ignoreIndex = -100, Reduction reduction = default) : Loss
{
    /// <summary>The weights of classes, [classes], or null.</summary>
    public Buffer? Weight { get; } = weight is null ? null : new Buffer(weight);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.NllLoss(input, target, Weight, ignoreIndex, reduction);
}

/// <summary>Hinges of all wrong classes, as <see cref="F.MultiMarginLoss"/>.</summary>
/// <param name="p">1 or 2.</param>
/// <param name="margin">By how much the right score should be larger.</param>
/// <param name="weight">How much each class counts, [classes], or null.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class MultiMarginLoss(int p = 1, double margin = 1, Tensor? weight = null, Reduction reduction = default) : Loss
{
    /// <summary>The weights of classes, [classes], or null.</summary>
    public Buffer? Weight { get; } = weight is null ? null : new Buffer(weight);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.MultiMarginLoss(input, target, p, margin, Weight, reduction);
}

/// <summary>Hinges of several labels a row, as <see cref="F.MultilabelMarginLoss"/>.</summary>
/// <param name="reduction">The mean unless given.</param>
public sealed class MultiLabelMarginLoss(Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.MultilabelMarginLoss(input, target, reduction);
}

/// <summary>Binary cross-entropies of logits, as <see cref="F.MultilabelSoftMarginLoss"/>.</summary>
/// <param name="weight">How much each class counts, [classes], or null.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class MultiLabelSoftMarginLoss(Tensor? weight = null, Reduction reduction = default) : Loss
{
    /// <summary>The weights of classes, [classes], or null.</summary>
    public Buffer? Weight { get; } = weight is null ? null : new Buffer(weight);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.MultilabelSoftMarginLoss(input, target, Weight, reduction);
}

/// <summary>Connectionist temporal classification, as <see cref="F.CtcLoss(Tensor, Tensor, Tensor, Tensor, int, Reduction, bool)"/>.</summary>
/// <param name="blank">The class that stands for nothing.</param>
/// <param name="reduction">The mean unless given.</param>
/// <param name="zeroInfinity">Whether what cannot be spelled in its time has loss 0 rather than infinity.</param>
public sealed class CTCLoss(int blank = 0, Reduction reduction = default, bool zeroInfinity = false) : Module
{
    /// <summary>The loss.</summary>
    /// <param name="logProbs">Log-probabilities, [steps, batch, classes] or [steps, classes].</param>
    /// <param name="targets">Integers, [batch, longest], or all sequences one after the other, [sum of lengths].</param>
    /// <param name="inputLengths">How many steps each sequence has: integers, [batch] or [].</param>
    /// <param name="targetLengths">How many targets each sequence has: integers, [batch] or [].</param>
    public Tensor Forward(Tensor logProbs, Tensor targets, Tensor inputLengths, Tensor targetLengths) =>
        F.CtcLoss(logProbs, targets, inputLengths, targetLengths, blank, reduction, zeroInfinity);

    /// <summary>The loss, with lengths as arrays.</summary>
    /// <param name="logProbs">Log-probabilities, [steps, batch, classes].</param>
    /// <param name="targets">Integers, [batch, longest], or all sequences one after the other, [sum of lengths].</param>
    /// <param name="inputLengths">How many steps each sequence has.</param>
    /// <param name="targetLengths">How many targets each sequence has.</param>
    public Tensor Forward(Tensor logProbs, Tensor targets, int[] inputLengths, int[] targetLengths) =>
        F.CtcLoss(logProbs, targets, inputLengths, targetLengths, blank, reduction, zeroInfinity);
}
