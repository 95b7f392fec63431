namespace Nanograd.CSharp;

/// <summary>
/// A tensor that training changes: a cell that holds the current immutable value. Modules find their parameters
/// themselves; optimizers put new values into them.
/// </summary>
public sealed class Parameter : Tensor
{
    /// <summary>A parameter with the given initial value.</summary>
    public Parameter(Tensor value, bool requiresGrad = true) : base(Copies.Of(value)) => Adopt(Expression, requiresGrad);

    private Parameter(Node literal) : base(literal) => Adopt(literal, true);

    /// <summary>Parameters for expressions that are computed together, in one program.</summary>
    internal static Parameter[] All(Node[] initial) => [.. Copies.Of(initial).Select(v => new Parameter(v))];

    internal static Parameter Of(Node initial) => All([initial])[0];

    /// <summary>Puts a value into the cell. It is copied; shape and type stay what they are.</summary>
    public void Set(Tensor value)
    {
        if (!value.Shape.SequenceEqual(Shape))
        {
            throw new ArgumentException($"Set: the value must have the shape of the parameter, {Nanograd.Shape.describe(Expression)}, got {Nanograd.Shape.describe(value.Expression)}.");
        }

        Adopt(Copies.Of(value.To(DType)), RequiresGrad);
    }

    /// <summary>Takes a value that nobody else holds.</summary>
    internal void Adopt(Node literal, bool requiresGrad)
    {
        if (requiresGrad)
        {
            BecomeLeaf(literal);
        }
        else
        {
            Replace(literal);
        }
    }
}

/// <summary>Helpers that PyTorch keeps in <c>torch.nn.utils</c>.</summary>
public static class Utils
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
