namespace Nanograd.CSharp;

/// <summary>The largest element of every window of [batch, channels, length], as <see cref="F.MaxPool1d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side, never the largest: 0 unless given.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class MaxPool1d(Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.MaxPool1d(input, kernelSize, stride, padding, dilation, ceilMode).Kept();
}

/// <summary>The largest element of every window of [batch, channels, height, width], as <see cref="F.MaxPool2d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side, never the largest: 0 unless given.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class MaxPool2d(Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.MaxPool2d(input, kernelSize, stride, padding, dilation, ceilMode).Kept();
}

/// <summary>The largest element of every window of [batch, channels, depth, height, width], as <see cref="F.MaxPool3d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side, never the largest: 0 unless given.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class MaxPool3d(Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.MaxPool3d(input, kernelSize, stride, padding, dilation, ceilMode).Kept();
}

/// <summary>The mean of every window of [batch, channels, length], as <see cref="F.AvgPool1d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
/// <param name="countIncludePad">Whether padding counts among the elements.</param>
public sealed class AvgPool1d(Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AvgPool1d(input, kernelSize, stride, padding, ceilMode, countIncludePad).Kept();
}

/// <summary>The mean of every window of [batch, channels, height, width], as <see cref="F.AvgPool2d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
/// <param name="countIncludePad">Whether padding counts among the elements.</param>
public sealed class AvgPool2d(Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AvgPool2d(input, kernelSize, stride, padding, ceilMode, countIncludePad).Kept();
}

/// <summary>The mean of every window of [batch, channels, depth, height, width], as <see cref="F.AvgPool3d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
/// <param name="countIncludePad">Whether padding counts among the elements.</param>
public sealed class AvgPool3d(Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AvgPool3d(input, kernelSize, stride, padding, ceilMode, countIncludePad).Kept();
}

/// <summary>The largest element of each of so many windows, whatever the extents of [batch, channels, length], as <see cref="F.AdaptiveMaxPool1d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveMaxPool1d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AdaptiveMaxPool1d(input, outputSize).Kept();
}

/// <summary>The mean of each of so many windows, whatever the extents of [batch, channels, length], as <see cref="F.AdaptiveAvgPool1d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveAvgPool1d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AdaptiveAvgPool1d(input, outputSize).Kept();
}

/// <summary>The largest element of each of so many windows, whatever the extents of [batch, channels, height, width], as <see cref="F.AdaptiveMaxPool2d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveMaxPool2d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AdaptiveMaxPool2d(input, outputSize).Kept();
}

/// <summary>The mean of each of so many windows, whatever the extents of [batch, channels, height, width], as <see cref="F.AdaptiveAvgPool2d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveAvgPool2d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AdaptiveAvgPool2d(input, outputSize).Kept();
}

/// <summary>The largest element of each of so many windows, whatever the extents of [batch, channels, depth, height, width], as <see cref="F.AdaptiveMaxPool3d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveMaxPool3d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AdaptiveMaxPool3d(input, outputSize).Kept();
}

/// <summary>The mean of each of so many windows, whatever the extents of [batch, channels, depth, height, width], as <see cref="F.AdaptiveAvgPool3d"/>.</summary>
/// <param name="outputSize">How many windows along each axis: one number for all axes, or one for each.</param>
public sealed class AdaptiveAvgPool3d(Extents outputSize) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.AdaptiveAvgPool3d(input, outputSize).Kept();
}
