using PairLoss = Nanograd.PairLosses.Loss;

namespace Nanograd.CSharp;

/// <remarks>Losses of pairs and triplets.</remarks>
public static partial class F
{
    /// <summary>max(0, margin - target (input1 - input2)): with target 1 the first should be larger, with -1 the second.</summary>
    /// <param name="input1">Scores, of any shape.</param>
    /// <param name="input2">Scores, of the same shape.</param>
    /// <param name="target">1 or -1, of the same shape.</param>
    /// <param name="margin">By how much.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor MarginRankingLoss(Tensor input1, Tensor input2, Tensor target, double margin = 0, Reduction reduction = default) =>
        Tensor.Make(n => PairLoss.marginRankingOf(margin, reduction.ToCore(), n[0]!, n[1]!, n[2]!), input1.Kept(), input2.Kept(), target);

    /// <summary>The input where the target is 1, max(0, margin - input) where it is -1.</summary>
    /// <param name="input">Distances, of any shape.</param>
    /// <param name="target">1 or -1, of the same shape.</param>
    /// <param name="margin">How far apart those of target -1 should be.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor HingeEmbeddingLoss(Tensor input, Tensor target, double margin = 1, Reduction reduction = default) =>
        Elements(input, target, (x, y) => PairLoss.hingeEmbeddingOf(margin, reduction.ToCore(), x, y));

    /// <summary>1 - cos(input1, input2) where the target is 1, max(0, cos - margin) where it is -1.</summary>
    /// <param name="input1">Vectors, [batch, d] or [d].</param>
    /// <param name="input2">Vectors, of the same shape.</param>
    /// <param name="target">1 or -1: [batch] or [].</param>
    /// <param name="margin">Which cosine does not hurt yet.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor CosineEmbeddingLoss(Tensor input1, Tensor input2, Tensor target, double margin = 0, Reduction reduction = default) =>
        Tensor.Make(n => PairLoss.cosineEmbeddingOf(margin, reduction.ToCore(), n[0]!, n[1]!, n[2]!), input1.Kept(), input2.Kept(), target);

    /// <summary>max(0, d(anchor, positive) - d(anchor, negative) + margin), d the p-norm of differences (plus eps) of vectors.</summary>
    /// <param name="anchor">Vectors, [..., d].</param>
    /// <param name="positive">What should be near, of the same shape.</param>
    /// <param name="negative">What should be far, of the same shape.</param>
    /// <param name="margin">By how much farther.</param>
    /// <param name="p">The norm.</param>
    /// <param name="eps">Added to the differences.</param>
    /// <param name="swap">Whether d(positive, negative) is taken where it is smaller (Balntas et al. 2016).</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor TripletMarginLoss(
        Tensor anchor, Tensor positive, Tensor negative, double margin = 1, double p = 2, double eps = 1e-6, bool swap = false, Reduction reduction = default) =>
        TripletMarginWithDistanceLoss(anchor, positive, negative, (x, y) => PairwiseDistance(x, y, p, eps), margin, swap, reduction);

    /// <summary>The same with a distance of one's own.</summary>
    /// <param name="anchor">What the others are compared with.</param>
    /// <param name="positive">What should be near.</param>
    /// <param name="negative">What should be far.</param>
    /// <param name="distanceFunction">How far two are apart; null: Euclid's distance along the last axis.</param>
    /// <param name="margin">By how much farther.</param>
    /// <param name="swap">Whether the distance from positive to negative is taken where it is smaller.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor TripletMarginWithDistanceLoss(
        Tensor anchor, Tensor positive, Tensor negative, Func<Tensor, Tensor, Tensor>? distanceFunction = null, double margin = 1, bool swap = false, Reduction reduction = default)
    {
        var distance = distanceFunction ?? ((x, y) => PairwiseDistance(x, y));
        (anchor, positive, negative) = (anchor.Kept(), positive.Kept(), negative.Kept());
        return Tensor.Make(
            n => Zoo.LossFunctions.TripletMargin(n[0]!, n[1]!, n[2], margin, reduction.ToCore()),
            distance(anchor, positive), distance(anchor, negative), swap ? distance(positive, negative) : null);
    }

    /// <summary>
    /// Row i of the one should be nearest to row i of the other: the mean cross-entropy of cosines over the temperature (van den
    /// Oord et al. 2018).
    /// </summary>
    /// <param name="query">Vectors, [batch, d].</param>
    /// <param name="positive">Vectors, [batch, d].</param>
    /// <param name="temperature">What the cosines are divided by.</param>
    public static Tensor InfoNce(Tensor query, Tensor positive, double temperature = 0.07) =>
        Tensor.Make(n => PairLoss.infoNce(temperature, n[0]!, n[1]!), query.Kept(), positive.Kept());

    /// <summary>InfoNCE both ways, from given scores (Radford et al. 2021).</summary>
    /// <param name="scores">[batch, batch], of images and texts: row i and column i belong together.</param>
    public static Tensor ClipLoss(Tensor scores) => Tensor.Make(n => PairLoss.clip(n[0]!), scores.Kept());

    /// <summary>Direct preference optimisation (Rafailov et al. 2023), from log-probabilities of answers.</summary>
    /// <param name="policyChosen">Of the preferred answers under the model, [batch].</param>
    /// <param name="policyRejected">Of the others under the model, [batch].</param>
    /// <param name="referenceChosen">Of the preferred answers under the reference, [batch].</param>
    /// <param name="referenceRejected">Of the others under the reference, [batch].</param>
    /// <param name="beta">How strongly the model is held to the reference.</param>
    /// <param name="labelSmoothing">The share of preferences taken to be wrong.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor DpoLoss(
        Tensor policyChosen, Tensor policyRejected, Tensor referenceChosen, Tensor referenceRejected, double beta = 0.1, double labelSmoothing = 0, Reduction reduction = default) =>
        Tensor.Make(
            n => Zoo.LossFunctions.Dpo(n[0]!, n[1]!, n[2]!, n[3]!, beta, labelSmoothing, reduction.ToCore()),
            policyChosen.Kept(), policyRejected.Kept(), referenceChosen, referenceRejected);
}
