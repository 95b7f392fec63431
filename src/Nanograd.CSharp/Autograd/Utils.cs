namespace Nanograd.CSharp;

/// <summary>Helpers that PyTorch keeps in <c>torch.nn.utils</c>.</summary>
public static partial class Utils
{
    /// <summary>
    /// Scales the gradients of all parameters together so that their norm, taken as one vector, is at most
    /// <paramref name="maxNorm"/>. Returns the norm before that; like everything, it is computed when read or by Step().
    /// </summary>
    public static Tensor ClipGradNorm(IEnumerable<Parameter> parameters, double maxNorm)
    {
        if (!(maxNorm > 0))
        {
            throw new ArgumentException($"ClipGradNorm: the largest norm must be greater than 0, got {maxNorm}.");
        }

        var given = parameters.Where(p => p.Source is not null).ToArray();
        if (given.Length == 0)
        {
            return Tensor.Scalar(0);
        }

        var clipping = new Clipping([.. given.Select(p => p.Source!)], maxNorm);
        for (var i = 0; i < given.Length; i++)
        {
            given[i].Restart(new ClippedSource(clipping, i));
        }

        return clipping.Norm;
    }
}
