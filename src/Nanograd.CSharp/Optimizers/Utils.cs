using System.Globalization;

namespace Nanograd.CSharp;

/// <summary>Bounds on gradients, which PyTorch keeps in <c>torch.nn.utils</c>. Parameters without a gradient are passed over.</summary>
public static partial class Utils
{
    /// <summary>
    /// Scales the gradients of all parameters together so that their norm, taken as one vector, is at most
    /// <paramref name="maxNorm"/>. Returns the norm before that; like everything, it is computed when read or by Step().
    /// </summary>
    /// <param name="parameters">Whose gradients.</param>
    /// <param name="maxNorm">The largest norm.</param>
    /// <param name="normType">The p of the p-norm; infinity: the largest magnitude.</param>
    /// <param name="errorIfNonfinite">
    /// Raises an error if the norm is NaN or infinite. That needs the norm now, so that the gradients are computed twice:
    /// here and by Step().
    /// </param>
    public static Tensor ClipGradNorm(IEnumerable<Parameter> parameters, double maxNorm, double normType = 2, bool errorIfNonfinite = false)
    {
        if (!(maxNorm > 0))
        {
            throw new ArgumentException($"ClipGradNorm: the largest norm must be greater than 0, got {Text(maxNorm)}.");
        }

        if (!(normType > 0))
        {
            throw new ArgumentException($"ClipGradNorm: the order of the norm must be greater than 0, got {Text(normType)}.");
        }

        var (given, sources) = Given(parameters);
        if (given.Length == 0)
        {
            return Tensor.Scalar(0);
        }

        var change = new GradientChange(sources, ("norm", maxNorm, normType), g => Zoo.GradientChange.ByNorm(normType, maxNorm, g))
        {
            Measure = new Tensor(() => Zoo.GradientChange.Norm(normType, [.. sources.Select(s => s.Expression)])),
        };
        if (errorIfNonfinite && !double.IsFinite(change.Measure.Item()))
        {
            throw new InvalidOperationException(
                $"ClipGradNorm: the norm of the gradients is {Text(change.Measure.Item())}, so they cannot be clipped by it; pass errorIfNonfinite: false to scale them all the same.");
        }

        change.Apply(given);
        return change.Measure;
    }

    /// <summary>Holds every element of the gradients between -<paramref name="clipValue"/> and <paramref name="clipValue"/>.</summary>
    public static void ClipGradValue(IEnumerable<Parameter> parameters, double clipValue)
    {
        if (!(clipValue >= 0))
        {
            throw new ArgumentException($"ClipGradValue: the bound must be at least 0, got {Text(clipValue)}.");
        }

        var (given, sources) = Given(parameters);
        new GradientChange(sources, ("value", clipValue, 0), g => Zoo.GradientChange.ByValue(clipValue, g)).Apply(given);
    }

    /// <summary>
    /// Adaptive clipping (Brock et al. 2021): the gradient of a unit (a row of a matrix, an output channel of a convolution) is
    /// at most <paramref name="clipping"/> times the norm of its weights, or of <paramref name="eps"/>.
    /// </summary>
    public static void ClipGradAdaptive(IEnumerable<Parameter> parameters, double clipping = 0.01, double eps = 1e-3)
    {
        if (!(clipping >= 0) || !(eps >= 0))
        {
            throw new ArgumentException($"ClipGradAdaptive: clipping and eps must be at least 0, got {Text(clipping)} and {Text(eps)}.");
        }

        var (given, sources) = Given(parameters);
        Node[] values = [.. given.Select(p => p.Expression)];
        new GradientChange(sources, ("adaptive", clipping, eps), g => Zoo.GradientChange.Adaptive(clipping, eps, g, values)) { Read = values }.Apply(given);
    }

    private static (Parameter[] Parameters, GradSource[] Sources) Given(IEnumerable<Parameter> parameters)
    {
        Parameter[] given = [.. parameters.Where(p => p.Source is not null).Distinct(ReferenceEqualityComparer.Instance).Cast<Parameter>()];
        return (given, [.. given.Select(p => p.Source!)]);
    }

    private static string Text(double number) => number.ToString(CultureInfo.InvariantCulture);
}
