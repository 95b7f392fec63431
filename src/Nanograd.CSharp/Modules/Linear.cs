namespace Nanograd.CSharp;

/// <summary>x W^T + b. Weights start uniform in ±1/sqrt(inFeatures), as PyTorch's do.</summary>
public sealed class Linear : Module
{
    /// <summary>A linear map from the last axis of its input.</summary>
    public Linear(int inFeatures, int outFeatures, bool bias = true, Generator? generator = null)
    {
        if (inFeatures < 1 || outFeatures < 1)
        {
            throw new ArgumentException($"Linear: the numbers of features must be at least 1, got {inFeatures} and {outFeatures}.");
        }

        var weight = Zoo.Layers.LinearInitWeight(Generator.NextKey(generator), outFeatures, inFeatures);
        if (bias)
        {
            var both = Parameter.All([weight, Zoo.Layers.LinearInitBias(Generator.NextKey(generator), outFeatures, inFeatures)]);
            (Weight, Bias) = (both[0], both[1]);
        }
        else
        {
            Weight = Parameter.Of(weight);
        }
    }

    /// <summary>[outFeatures, inFeatures].</summary>
    public Parameter Weight { get; set; }

    /// <summary>[outFeatures], or null.</summary>
    public Parameter? Bias { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.Linear(input, Weight, Bias).Kept();
}

/// <summary>A table of vectors, looked up by integers. The vectors start standard normal.</summary>
public sealed class Embedding : Module
{
    /// <summary>A table of <paramref name="numEmbeddings"/> vectors of <paramref name="embeddingDim"/> numbers.</summary>
    public Embedding(int numEmbeddings, int embeddingDim, Generator? generator = null)
    {
        if (numEmbeddings < 1 || embeddingDim < 1)
        {
            throw new ArgumentException($"Embedding: both extents must be at least 1, got {numEmbeddings} and {embeddingDim}.");
        }

        Weight = Parameter.Of(Zoo.Layers.Normal(Generator.NextKey(generator), [numEmbeddings, embeddingDim], 1));
    }

    /// <summary>[numEmbeddings, embeddingDim].</summary>
    public Parameter Weight { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.Embedding(input, Weight).Kept();
}

/// <summary>Shifts and scales the last axes to mean 0 and variance 1, then by learned weights (Ba, Kiros and Hinton 2016).</summary>
public sealed class LayerNorm : Module
{
    private readonly int[] _shape;
    private readonly double _eps;

    /// <summary>A normalisation of the last axis.</summary>
    public LayerNorm(int normalizedShape, double eps = 1e-5, bool elementwiseAffine = true, bool bias = true)
        : this([normalizedShape], eps, elementwiseAffine, bias)
    {
    }

    /// <summary>A normalisation of the last axes, which must have these extents.</summary>
    public LayerNorm(int[] normalizedShape, double eps = 1e-5, bool elementwiseAffine = true, bool bias = true)
    {
        _shape = [.. normalizedShape];
        _eps = eps;
        if (elementwiseAffine)
        {
            Weight = new Parameter(Tensor.Ones(_shape));
            Bias = bias ? new Parameter(Tensor.Zeros(_shape)) : null;
        }
    }

    /// <summary>What the normalised values are multiplied by, or null.</summary>
    public Parameter? Weight { get; set; }

    /// <summary>What is added to them, or null.</summary>
    public Parameter? Bias { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.LayerNorm(input, _shape, Weight, Bias, _eps).Kept();
}
