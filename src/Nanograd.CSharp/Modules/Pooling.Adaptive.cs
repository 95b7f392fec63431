namespace Nanograd.CSharp;

/// <summary>The largest element of each of so many windows, whatever the extents of [batch, channels, length], as <see cref="F.AdaptiveMaxPool1d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveMaxPool1d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AdaptiveMaxPool1d(input, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"output_size={outputSize.Repr(1)}";
}

/// <summary>The largest element of each of so many windows, whatever the extents of [batch, channels, height, width], as <see cref="F.AdaptiveMaxPool2d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveMaxPool2d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AdaptiveMaxPool2d(input, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"output_size={outputSize.Repr(1)}";
}

/// <summary>The largest element of each of so many windows, whatever the extents of [batch, channels, depth, height, width], as <see cref="F.AdaptiveMaxPool3d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveMaxPool3d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AdaptiveMaxPool3d(input, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"output_size={outputSize.Repr(1)}";
}

/// <summary>The mean of each of so many windows, whatever the extents of [batch, channels, length], as <see cref="F.AdaptiveAvgPool1d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveAvgPool1d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AdaptiveAvgPool1d(input, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"output_size={outputSize.Repr(1)}";
}

/// <summary>The mean of each of so many windows, whatever the extents of [batch, channels, height, width], as <see cref="F.AdaptiveAvgPool2d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveAvgPool2d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AdaptiveAvgPool2d(input, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"output_size={outputSize.Repr(1)}";
}

/// <summary>The mean of each of so many windows, whatever the extents of [batch, channels, depth, height, width], as <see cref="F.AdaptiveAvgPool3d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveAvgPool3d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AdaptiveAvgPool3d(input, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"output_size={outputSize.Repr(1)}";
}
