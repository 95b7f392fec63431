namespace Nanograd.CSharp;

/// <summary>What functions along an axis have in common.</summary>
/// <param name="dim">The axis; null: as in PyTorch, 0 for tensors of 0, 1 and 3 axes, otherwise 1.</param>
public abstract class AxisActivation(int? dim) : Module
{
    private protected int Axis(Tensor input) => dim ?? (input.Rank is 0 or 1 or 3 ? 0 : 1);

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"dim={(dim is { } axis ? axis : "None")}";
}

/// <summary>exp(x) over its sum along an axis.</summary>
/// <param name="dim">The axis; null: as in PyTorch, 0 for tensors of 0, 1 and 3 axes, otherwise 1.</param>
public sealed class Softmax(int? dim = null) : AxisActivation(dim)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Softmax(input, Axis(input)));
}

/// <summary>The logarithm of softmax.</summary>
/// <param name="dim">The axis; null: as in PyTorch, 0 for tensors of 0, 1 and 3 axes, otherwise 1.</param>
public sealed class LogSoftmax(int? dim = null) : AxisActivation(dim)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LogSoftmax(input, Axis(input)));
}

/// <summary>Softmax of -x.</summary>
/// <param name="dim">The axis; null: as in PyTorch, 0 for tensors of 0, 1 and 3 axes, otherwise 1.</param>
public sealed class Softmin(int? dim = null) : AxisActivation(dim)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Softmin(input, Axis(input)));
}

/// <summary>Softmax over the channels of [batch, channels, height, width] or [channels, height, width].</summary>
public sealed class Softmax2d : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Softmax2d(input));
}

/// <summary>What gated units have in common: one linear map to twice the features, of which one half gates the other (Shazeer 2020).</summary>
public abstract class GatedUnit : Module
{
    private protected GatedUnit(int inFeatures, int outFeatures, bool bias, Generator? generator) =>
        Proj = new Linear(inFeatures, 2 * outFeatures, bias, generator);

    /// <summary>From inFeatures to 2 outFeatures.</summary>
    public Linear Proj { get; }
}

/// <summary>A linear map whose second half is gated by SiLU of the first: [..., in] to [..., out], as in Llama.</summary>
/// <param name="inFeatures">The features of the input.</param>
/// <param name="outFeatures">The features of the result.</param>
/// <param name="bias">Whether the map has a bias.</param>
/// <param name="generator">Where initial weights come from.</param>
public sealed class SwiGLU(int inFeatures, int outFeatures, bool bias = true, Generator? generator = null) : GatedUnit(inFeatures, outFeatures, bias, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.SwiGLU(Proj.Forward(input)));
}

/// <summary>A linear map whose first half is gated by GELU of the second: [..., in] to [..., out], as in Stable Diffusion.</summary>
/// <param name="inFeatures">The features of the input.</param>
/// <param name="outFeatures">The features of the result.</param>
/// <param name="bias">Whether the map has a bias.</param>
/// <param name="generator">Where initial weights come from.</param>
public sealed class GEGLU(int inFeatures, int outFeatures, bool bias = true, Generator? generator = null) : GatedUnit(inFeatures, outFeatures, bias, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.GEGLU(Proj.Forward(input)));
}

/// <summary>A linear map whose first half is gated by ReLU of the second: [..., in] to [..., out].</summary>
/// <param name="inFeatures">The features of the input.</param>
/// <param name="outFeatures">The features of the result.</param>
/// <param name="bias">Whether the map has a bias.</param>
/// <param name="generator">Where initial weights come from.</param>
public sealed class ReGLU(int inFeatures, int outFeatures, bool bias = true, Generator? generator = null) : GatedUnit(inFeatures, outFeatures, bias, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.ReGLU(Proj.Forward(input)));
}
