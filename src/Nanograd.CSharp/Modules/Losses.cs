namespace Nanograd.CSharp;

/// <summary>A loss: a function of predictions and targets. One of your own is a class with one line, or just that line.</summary>
/// <example><code>
/// sealed class LogCosh : Loss
/// {
///     public override Tensor Forward(Tensor input, Tensor target) => (input - target).Cosh().Log().Mean();
/// }
/// </code></example>
public abstract class Loss : Module
{
    /// <summary>How far predictions are from targets.</summary>
    /// <param name="input">Predictions.</param>
    /// <param name="target">What they should be.</param>
    public abstract Tensor Forward(Tensor input, Tensor target);
}

/// <summary>Squared differences, as <see cref="F.MseLoss"/>.</summary>
/// <param name="reduction">The mean unless given.</param>
public sealed class MSELoss(Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.MseLoss(input, target, reduction);
}

/// <summary>Absolute differences, as <see cref="F.L1Loss"/>.</summary>
/// <param name="reduction">The mean unless given.</param>
public sealed class L1Loss(Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.L1Loss(input, target, reduction);
}

/// <summary>Huber's loss, as <see cref="F.HuberLoss"/>.</summary>
/// <param name="delta">Where the parabola becomes a line.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class HuberLoss(Reduction reduction = default, double delta = 1) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.HuberLoss(input, target, reduction, delta);
}

/// <summary>A parabola near 0, absolute differences beyond, as <see cref="F.SmoothL1Loss"/>.</summary>
/// <param name="beta">Where the parabola becomes a line; 0 for absolute differences.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class SmoothL1Loss(Reduction reduction = default, double beta = 1) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.SmoothL1Loss(input, target, reduction, beta);
}

/// <summary>log(1 + exp(-target input)) for targets 1 and -1, as <see cref="F.SoftMarginLoss"/>.</summary>
/// <param name="reduction">The mean unless given.</param>
public sealed class SoftMarginLoss(Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.SoftMarginLoss(input, target, reduction);
}

/// <summary>Minus the log-likelihood of counts, as <see cref="F.PoissonNllLoss"/>.</summary>
/// <param name="logInput">Whether the input holds logarithms of rates.</param>
/// <param name="full">Whether Stirling's approximation of log(target!) is added.</param>
/// <param name="eps">What keeps the logarithm of a rate finite.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class PoissonNLLLoss(bool logInput = true, bool full = false, double eps = 1e-8, Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.PoissonNllLoss(input, target, logInput, full, eps, reduction);
}

/// <summary>Minus the log-likelihood under normal distributions, as <see cref="F.GaussianNllLoss"/>.</summary>
/// <param name="full">Whether the constant log(2 pi)/2 is added.</param>
/// <param name="eps">The least variance.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class GaussianNLLLoss(bool full = false, double eps = 1e-6, Reduction reduction = default) : Module
{
    /// <summary>The loss.</summary>
    /// <param name="input">Means, of any shape.</param>
    /// <param name="target">Samples, of the same shape.</param>
    /// <param name="var">Variances: of the same shape, or with the last extent 1, or without the last axis.</param>
    public Tensor Forward(Tensor input, Tensor target, Tensor var) => F.GaussianNllLoss(input, target, var, full, eps, reduction);
}

/// <summary>The divergence from predicted log-probabilities, as <see cref="F.KlDiv"/>.</summary>
/// <param name="logTarget">Whether the target holds logarithms.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class KLDivLoss(Reduction reduction = default, bool logTarget = false) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.KlDiv(input, target, reduction, logTarget);
}

/// <summary>Binary cross-entropy of probabilities, as <see cref="F.BinaryCrossEntropy"/>.</summary>
/// <param name="weight">What each loss is multiplied by (broadcast), or null.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class BCELoss(Tensor? weight = null, Reduction reduction = default) : Loss
{
    /// <summary>The losses' weights, or null.</summary>
    public Buffer? Weight { get; } = weight is null ? null : new Buffer(weight);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.BinaryCrossEntropy(input, target, Weight, reduction);
}

/// <summary>Binary cross-entropy of logits, as <see cref="F.BinaryCrossEntropyWithLogits"/>.</summary>
/// <param name="weight">What each loss is multiplied by (broadcast), or null.</param>
/// <param name="posWeight">How much positive targets count (broadcast), or null.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class BCEWithLogitsLoss(Tensor? weight = null, Reduction reduction = default, Tensor? posWeight = null) : Loss
{
    /// <summary>The losses' weights, or null.</summary>
    public Buffer? Weight { get; } = weight is null ? null : new Buffer(weight);

    /// <summary>How much positive targets count, or null.</summary>
    public Buffer? PosWeight { get; } = posWeight is null ? null : new Buffer(posWeight);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.BinaryCrossEntropyWithLogits(input, target, Weight, reduction, PosWeight);
}

/// <summary>Binary cross-entropy of logits whose easy examples count little, as <see cref="F.FocalLoss"/>.</summary>
/// <param name="alpha">What positives weigh; a negative alpha: all weigh 1.</param>
/// <param name="gamma">How little easy examples count.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class FocalLoss(double alpha = 0.25, double gamma = 2, Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.FocalLoss(input, target, alpha, gamma, reduction);
}

/// <summary>1 minus Dice's overlap, as <see cref="F.DiceLoss"/>.</summary>
/// <param name="smooth">What keeps empty examples from being 0/0.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class DiceLoss(double smooth = 1, Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.DiceLoss(input, target, smooth, reduction);
}
