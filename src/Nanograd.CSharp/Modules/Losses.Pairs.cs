namespace Nanograd.CSharp;

/// <summary>Which of two scores should be larger, as <see cref="F.MarginRankingLoss"/>.</summary>
/// <param name="margin">By how much.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class MarginRankingLoss(double margin = 0, Reduction reduction = default) : Module
{
    /// <summary>The loss.</summary>
    /// <param name="input1">The first.</param>
    /// <param name="input2">The second, of the same shape.</param>
    /// <param name="target">1 or -1.</param>
    public Tensor Forward(Tensor input1, Tensor input2, Tensor target) => F.MarginRankingLoss(input1, input2, target, margin, reduction);
}

/// <summary>Distances that should be small or large, as <see cref="F.HingeEmbeddingLoss"/>.</summary>
/// <param name="margin">How far apart those of target -1 should be.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class HingeEmbeddingLoss(double margin = 1, Reduction reduction = default) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.HingeEmbeddingLoss(input, target, margin, reduction);
}

/// <summary>Vectors that should point the same way or not, as <see cref="F.CosineEmbeddingLoss"/>.</summary>
/// <param name="margin">Which cosine does not hurt yet.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class CosineEmbeddingLoss(double margin = 0, Reduction reduction = default) : Module
{
    /// <summary>The loss.</summary>
    /// <param name="input1">The first.</param>
    /// <param name="input2">The second, of the same shape.</param>
    /// <param name="target">1 or -1.</param>
    public Tensor Forward(Tensor input1, Tensor input2, Tensor target) => F.CosineEmbeddingLoss(input1, input2, target, margin, reduction);
}

/// <summary>Near and far vectors, as <see cref="F.TripletMarginLoss"/>.</summary>
/// <param name="margin">By how much farther the negative should be.</param>
/// <param name="p">The norm.</param>
/// <param name="eps">Added to the differences.</param>
/// <param name="swap">Whether d(positive, negative) is taken where it is smaller.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class TripletMarginLoss(double margin = 1, double p = 2, double eps = 1e-6, bool swap = false, Reduction reduction = default) : Module
{
    /// <summary>The loss.</summary>
    /// <param name="anchor">What the others are compared with: vectors, [..., d].</param>
    /// <param name="positive">What should be near.</param>
    /// <param name="negative">What should be far.</param>
    public Tensor Forward(Tensor anchor, Tensor positive, Tensor negative) => F.TripletMarginLoss(anchor, positive, negative, margin, p, eps, swap, reduction);
}

/// <summary>Near and far with a distance of one's own, as <see cref="F.TripletMarginWithDistanceLoss"/>.</summary>
/// <param name="distanceFunction">How far two are apart; null: Euclid's distance along the last axis.</param>
/// <param name="margin">By how much farther the negative should be.</param>
/// <param name="swap">Whether d(positive, negative) is taken where it is smaller.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class TripletMarginWithDistanceLoss(Func<Tensor, Tensor, Tensor>? distanceFunction = null, double margin = 1, bool swap = false, Reduction reduction = default) : Module
{
    /// <summary>The loss.</summary>
    /// <param name="anchor">What the others are compared with: vectors, [..., d].</param>
    /// <param name="positive">What should be near.</param>
    /// <param name="negative">What should be far.</param>
    public Tensor Forward(Tensor anchor, Tensor positive, Tensor negative) =>
        F.TripletMarginWithDistanceLoss(anchor, positive, negative, distanceFunction, margin, swap, reduction);
}

/// <summary>Rows that belong together should be nearest, as <see cref="F.InfoNce"/>.</summary>
/// <param name="temperature">What cosines are divided by.</param>
public sealed class InfoNCELoss(double temperature = 0.07) : Loss
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input, Tensor target) => F.InfoNce(input, target, temperature);
}

/// <summary>
/// InfoNCE both ways, of images and texts (Radford et al. 2021): cosines times exp(logit_scale), which is learned and starts as
/// log(1/0.07).
/// </summary>
public sealed class CLIPLoss : Module
{
    /// <summary>The logarithm of what cosines are multiplied by: [].</summary>
    public Parameter LogitScale { get; set; } = new(Tensor.Scalar((float)Math.Log(1 / 0.07)));

    /// <summary>The loss.</summary>
    /// <param name="imageFeatures">Vectors, [batch, d].</param>
    /// <param name="textFeatures">Vectors, [batch, d]: row i belongs to image i.</param>
    public Tensor Forward(Tensor imageFeatures, Tensor textFeatures)
    {
        var cosines = F.Normalize(imageFeatures.Kept()).MatMul(F.Normalize(textFeatures.Kept()).Transpose(0, 1));
        return Called(imageFeatures, F.ClipLoss(cosines * LogitScale.Exp()));
    }
}

/// <summary>Direct preference optimisation, as <see cref="F.DpoLoss"/>.</summary>
/// <param name="beta">How strongly the model is held to the reference.</param>
/// <param name="labelSmoothing">The share of preferences taken to be wrong.</param>
/// <param name="reduction">The mean unless given.</param>
public sealed class DPOLoss(double beta = 0.1, double labelSmoothing = 0, Reduction reduction = default) : Module
{
    /// <summary>The loss, from log-probabilities of answers, [batch] each.</summary>
    /// <param name="policyChosen">Of the preferred answers under the model.</param>
    /// <param name="policyRejected">Of the others under the model.</param>
    /// <param name="referenceChosen">Of the preferred answers under the reference.</param>
    /// <param name="referenceRejected">Of the others under the reference.</param>
    public Tensor Forward(Tensor policyChosen, Tensor policyRejected, Tensor referenceChosen, Tensor referenceRejected) =>
        F.DpoLoss(policyChosen, policyRejected, referenceChosen, referenceRejected, beta, labelSmoothing, reduction);
}
