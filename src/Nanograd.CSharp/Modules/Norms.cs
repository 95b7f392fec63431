namespace Nanograd.CSharp;

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
        _shape = F.CheckNormalized(nameof(LayerNorm), normalizedShape);
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
    public override Tensor Forward(Tensor input) => Called(input, F.LayerNorm(input, _shape, Weight, Bias, _eps));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{Repr(_shape)}, eps={Repr(_eps)}, elementwise_affine={Repr(Weight is not null)}";
}

/// <summary>Divides the last axes by their root mean square, then scales them by learned weights (Zhang and Sennrich 2019).</summary>
public sealed class RMSNorm : Module
{
    private readonly int[] _shape;
    private readonly double? _eps;

    /// <summary>A normalisation of the last axis.</summary>
    public RMSNorm(int normalizedShape, double? eps = null, bool elementwiseAffine = true)
        : this([normalizedShape], eps, elementwiseAffine)
    {
    }

    /// <summary>A normalisation of the last axes, which must have these extents. Without an eps it is that of the input's type.</summary>
    public RMSNorm(int[] normalizedShape, double? eps = null, bool elementwiseAffine = true)
    {
        _shape = F.CheckNormalized(nameof(RMSNorm), normalizedShape);
        _eps = eps;
        Weight = elementwiseAffine ? new Parameter(Tensor.Ones(_shape)) : null;
    }

    /// <summary>What the normalised values are multiplied by, or null.</summary>
    public Parameter? Weight { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.RmsNorm(input, _shape, Weight, _eps));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"{Repr(_shape)}, eps={(_eps is { } eps ? Repr(eps) : "None")}, elementwise_affine={Repr(Weight is not null)}";
}

/// <summary>The channels of each group of [batch, channels, ...] together to mean 0 and variance 1, then scales and shifts (Wu and He 2018).</summary>
public sealed class GroupNorm : Module
{
    private readonly int _groups;
    private readonly int _channels;
    private readonly double _eps;

    /// <summary>A normalisation of so many channels in so many groups.</summary>
    /// <exception cref="ArgumentException">The channels are no multiple of the groups.</exception>
    public GroupNorm(int numGroups, int numChannels, double eps = 1e-5, bool affine = true)
    {
        if (numGroups < 1 || numChannels < 1 || numChannels % numGroups != 0)
        {
            throw new ArgumentException($"GroupNorm: the channels must be a positive multiple of the groups, got {numChannels} and {numGroups}.");
        }

        (_groups, _channels, _eps) = (numGroups, numChannels, eps);
        if (affine)
        {
            Weight = new Parameter(Tensor.Ones(numChannels));
            Bias = new Parameter(Tensor.Zeros(numChannels));
        }
    }

    /// <summary>[channels]: what the normalised values are multiplied by, or null.</summary>
    public Parameter? Weight { get; set; }

    /// <summary>[channels]: what is added to them, or null.</summary>
    public Parameter? Bias { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input)
    {
        if (input.Rank < 2 || input.Size(1) != _channels)
        {
            throw new ArgumentException($"GroupNorm: the input must be [batch, {_channels} channels, ...], got {Nanograd.Shape.describe(input.Expression)}.");
        }

        return Called(input, F.GroupNorm(input, _groups, Weight, Bias, _eps));
    }

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{_groups}, {_channels}, eps={Repr(_eps)}, affine={Repr(Weight is not null)}";
}

/// <summary>Divides by a power of what the channels around have (Krizhevsky et al. 2012).</summary>
/// <param name="size">How many channels around each count.</param>
/// <param name="alpha">The weight of their mean square.</param>
/// <param name="beta">The exponent.</param>
/// <param name="k">What is added.</param>
public sealed class LocalResponseNorm(int size, double alpha = 1e-4, double beta = 0.75, double k = 1) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LocalResponseNorm(input, size, alpha, beta, k));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{size}, alpha={Repr(alpha)}, beta={Repr(beta)}, k={Repr(k)}";
}
