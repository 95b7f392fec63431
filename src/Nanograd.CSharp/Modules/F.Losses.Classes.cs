using ClassLoss = Nanograd.ClassLosses.Loss;

namespace Nanograd.CSharp;

/// <remarks>Losses of classes.</remarks>
public static partial class F
{
    /// <summary>
    /// Cross-entropy of logits: -log softmax(input)[target], or against probabilities -sum(target log softmax(input)). The mean
    /// over labels is weighted by the weights of their classes.
    /// </summary>
    /// <param name="input">Logits, [classes], [batch, classes] or [batch, classes, ...].</param>
    /// <param name="target">Integers of the input's shape without the axis of classes, or probabilities of the input's shape.</param>
    /// <param name="weight">How much each class counts, [classes], or null.</param>
    /// <param name="ignoreIndex">The label of places that do not count.</param>
    /// <param name="reduction">The mean unless given.</param>
    /// <param name="labelSmoothing">The share of each target that is spread over all classes evenly.</param>
    /// <param name="dim">
    /// The axis of classes. If it is not given, it is PyTorch's, axis 1; but the last, if labels [batch, ...] fit logits [batch, ...,
    /// classes] and PyTorch's layout not. Say -1 for logits such as a language model's.
    /// </param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    /// <exception cref="IndexException">A label is no class (at the latest when the loss is computed).</exception>
    /// <example><code>F.CrossEntropy(model.Forward(x), labels, labelSmoothing: 0.1)</code></example>
    public static Tensor CrossEntropy(
        Tensor input, Tensor target, Tensor? weight = null, int ignoreIndex = -100, Reduction reduction = default, double labelSmoothing = 0, int? dim = null) =>
        Tensor.Make(
            n => Zoo.LossFunctions.CrossEntropy(n[0]!, n[1]!, n[2], ignoreIndex, reduction.ToCore(), labelSmoothing, dim),
            input.Kept(), target, weight);

    /// <summary>The same with a reduction, and otherwise what is meant where nothing is said.</summary>
    /// <param name="input">Logits, [classes], [batch, classes] or [batch, classes, ...].</param>
    /// <param name="target">Integers of the input's shape without the axis of classes, or probabilities of the input's shape.</param>
    /// <param name="reduction">Mean, sum or none.</param>
    public static Tensor CrossEntropy(Tensor input, Tensor target, Reduction reduction) =>
        CrossEntropy(input, target, weight: null, reduction: reduction);

    /// <summary>Minus the log-probability of the labels.</summary>
    /// <param name="input">Log-probabilities, [classes], [batch, classes] or [batch, classes, ...].</param>
    /// <param name="target">Integers, of the same shape without the axis of classes.</param>
    /// <param name="weight">How much each class counts, [classes], or null.</param>
    /// <param name="ignoreIndex">The label of places that do not count.</param>
    /// <param name="reduction">The mean, weighted by the labels' weights, unless given.</param>
    public static Tensor NllLoss(
        Tensor input, Tensor target, Tensor? weight = null, int ignoreIndex = -100, Reduction reduction = default) =>
        Tensor.Make(n => Zoo.LossFunctions.Nll(n[0]!, n[1]!, n[2], ignoreIndex, reduction.ToCore()), input.Kept(), target, weight);

    /// <summary>The sum over wrong classes i of max(0, margin - input[target] + input[i])^p, over the number of classes.</summary>
    /// <param name="input">Scores, [classes] or [batch, classes].</param>
    /// <param name="target">Integers, [] or [batch].</param>
    /// <param name="p">1 or 2.</param>
    /// <param name="margin">By how much the right score should be larger.</param>
    /// <param name="weight">How much each class counts, [classes], or null.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor MultiMarginLoss(
        Tensor input, Tensor target, int p = 1, double margin = 1, Tensor? weight = null, Reduction reduction = default) =>
        Tensor.Make(n => Zoo.LossFunctions.MultiMargin(n[0]!, n[1]!, p, margin, n[2], reduction.ToCore()), input.Kept(), target, weight);

    /// <summary>Several labels a row: the sum over labels j and other classes i of max(0, 1 - (input[j] - input[i])), over the number of classes.</summary>
    /// <param name="input">Scores, [classes] or [batch, classes].</param>
    /// <param name="target">Integers of the same shape; those before the first -1 of a row count.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor MultilabelMarginLoss(Tensor input, Tensor target, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ClassLoss.multiLabelMarginOf(reduction.ToCore(), x, y));

    /// <summary>Binary cross-entropies of logits, their mean over the classes.</summary>
    /// <param name="input">Logits, [..., classes].</param>
    /// <param name="target">Between 0 and 1, of the same shape.</param>
    /// <param name="weight">How much each class counts, [classes], or null.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor MultilabelSoftMarginLoss(Tensor input, Tensor target, Tensor? weight = null, Reduction reduction = default) =>
        Tensor.Make(n => Zoo.LossFunctions.MultiLabelSoftMargin(n[0]!, n[1]!, n[2], reduction.ToCore()), input.Kept(), target, weight);

    /// <summary>
    /// Connectionist temporal classification (Graves et al. 2006): minus the log-probability that the steps, with repetitions
    /// and blanks taken out, spell the targets.
    /// </summary>
    /// <param name="logProbs">Log-probabilities, [steps, batch, classes] or [steps, classes].</param>
    /// <param name="targets">Integers, [batch, longest], or all sequences one after the other, [sum of lengths].</param>
    /// <param name="inputLengths">How many steps each sequence has: integers, [batch] or [].</param>
    /// <param name="targetLengths">How many targets each sequence has: integers, [batch] or [].</param>
    /// <param name="blank">The class that stands for nothing.</param>
    /// <param name="reduction">The mean of the losses, each divided by its target's length, unless given.</param>
    /// <param name="zeroInfinity">Whether what cannot be spelled in its time has loss 0 rather than infinity.</param>
    public static Tensor CtcLoss(
        Tensor logProbs, Tensor targets, Tensor inputLengths, Tensor targetLengths, int blank = 0, Reduction reduction = default, bool zeroInfinity = false) =>
        Tensor.Make(
            n => CtcLosses.Loss.ctcOf(blank, zeroInfinity, reduction.ToCore(), n[0]!, n[1]!, n[2]!, n[3]!),
            logProbs.Kept(), targets, inputLengths, targetLengths);

    /// <summary>The same with lengths as arrays.</summary>
    /// <param name="logProbs">Log-probabilities, [steps, batch, classes].</param>
    /// <param name="targets">Integers, [batch, longest], or all sequences one after the other, [sum of lengths].</param>
    /// <param name="inputLengths">How many steps each sequence has.</param>
    /// <param name="targetLengths">How many targets each sequence has.</param>
    /// <param name="blank">The class that stands for nothing.</param>
    /// <param name="reduction">The mean of the losses, each divided by its target's length, unless given.</param>
    /// <param name="zeroInfinity">Whether what cannot be spelled in its time has loss 0 rather than infinity.</param>
    public static Tensor CtcLoss(
        Tensor logProbs, Tensor targets, int[] inputLengths, int[] targetLengths, int blank = 0, Reduction reduction = default, bool zeroInfinity = false) =>
        CtcLoss(logProbs, targets, Tensor.FromArray(inputLengths), Tensor.FromArray(targetLengths), blank, reduction, zeroInfinity);
}
