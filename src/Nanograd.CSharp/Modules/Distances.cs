namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>The cosine of the angles between vectors along an axis, which disappears.</summary>
    /// <param name="x1">Vectors.</param>
    /// <param name="x2">Others; the two broadcast.</param>
    /// <param name="dim">The axis.</param>
    /// <param name="eps">What norms are at least.</param>
    public static Tensor CosineSimilarity(Tensor x1, Tensor x2, int dim = 1, double eps = 1e-8) =>
        Tensor.Make(n => Similarities.cosineSimilarity(dim, eps, n[0]!, n[1]!), x1, x2);

    /// <summary>The p-norm of x1 - x2 + eps over the last axis, which disappears unless <paramref name="keepdim"/>.</summary>
    public static Tensor PairwiseDistance(Tensor x1, Tensor x2, double p = 2, double eps = 1e-6, bool keepdim = false)
    {
        var distances = Tensor.Make(n => Similarities.pairwiseDistance(p, eps, n[0]!, n[1]!), x1, x2);
        return keepdim ? distances.Unsqueeze(-1) : distances;
    }

    /// <summary>Vectors along an axis divided by their p-norm, which counts as at least eps.</summary>
    public static Tensor Normalize(Tensor input, double p = 2, int dim = 1, double eps = 1e-12) =>
        Tensor.Make(n => Similarities.normalize(p, dim, eps, n[0]!), input);
}

/// <summary>The cosine of the angles between vectors along an axis, as <see cref="F.CosineSimilarity"/>.</summary>
/// <param name="dim">The axis.</param>
/// <param name="eps">What norms are at least.</param>
public sealed class CosineSimilarity(int dim = 1, double eps = 1e-8) : Module
{
    /// <summary>Two tensors that broadcast, to their cosines.</summary>
    public Tensor Forward(Tensor x1, Tensor x2) => Called(x1, F.CosineSimilarity(x1, x2, dim, eps));
}

/// <summary>The p-norm of differences over the last axis, as <see cref="F.PairwiseDistance"/>.</summary>
/// <param name="p">Which norm.</param>
/// <param name="eps">What is added to differences.</param>
/// <param name="keepdim">Whether the axis stays, with extent 1.</param>
public sealed class PairwiseDistance(double p = 2, double eps = 1e-6, bool keepdim = false) : Module
{
    /// <summary>Two tensors that broadcast, to their distances.</summary>
    public Tensor Forward(Tensor x1, Tensor x2) => Called(x1, F.PairwiseDistance(x1, x2, p, eps, keepdim));
}
