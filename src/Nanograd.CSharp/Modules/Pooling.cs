namespace Nanograd.CSharp;

/// <summary>What pooling modules have in common: windows.</summary>
public abstract class PoolingModule : Module
{
    private protected PoolingModule(Extents kernelSize, Extents? stride, Extents padding, Extents dilation, bool ceilMode) =>
        (KernelSize, Stride, Padding, Dilation, CeilMode) = (kernelSize, stride ?? kernelSize, padding, dilation, ceilMode);

    private protected Extents KernelSize { get; }

    private protected Extents Stride { get; }

    private protected Extents Padding { get; }

    private protected Extents Dilation { get; }

    private protected bool CeilMode { get; }
}

/// <summary>The largest element of every window of [batch, channels, length], as <see cref="F.MaxPool1d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side, never the largest: 0 unless given.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class MaxPool1d(Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false)
    : PoolingModule(kernelSize, stride, padding, dilation, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.MaxPool1d(input, KernelSize, Stride, Padding, Dilation, CeilMode));

    /// <summary>The largest elements, and their places, as <see cref="MaxUnpool1d"/> wants them (PyTorch: return_indices=True).</summary>
    public (Tensor Output, Tensor Indices) ForwardWithIndices(Tensor input)
    {
        var (output, indices) = F.MaxPool1dWithIndices(input, KernelSize, Stride, Padding, Dilation, CeilMode);
        return (Called(input, output), indices);
    }

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}, dilation={Dilation.Repr(1)}, ceil_mode={Repr(CeilMode)}";
}

/// <summary>The largest element of every window of [batch, channels, height, width], as <see cref="F.MaxPool2d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side, never the largest: 0 unless given.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class MaxPool2d(Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false)
    : PoolingModule(kernelSize, stride, padding, dilation, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.MaxPool2d(input, KernelSize, Stride, Padding, Dilation, CeilMode));

    /// <summary>The largest elements, and their places, as <see cref="MaxUnpool2d"/> wants them (PyTorch: return_indices=True).</summary>
    public (Tensor Output, Tensor Indices) ForwardWithIndices(Tensor input)
    {
        var (output, indices) = F.MaxPool2dWithIndices(input, KernelSize, Stride, Padding, Dilation, CeilMode);
        return (Called(input, output), indices);
    }

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}, dilation={Dilation.Repr(1)}, ceil_mode={Repr(CeilMode)}";
}

/// <summary>The largest element of every window of [batch, channels, depth, height, width], as <see cref="F.MaxPool3d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side, never the largest: 0 unless given.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class MaxPool3d(Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false)
    : PoolingModule(kernelSize, stride, padding, dilation, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.MaxPool3d(input, KernelSize, Stride, Padding, Dilation, CeilMode));

    /// <summary>The largest elements, and their places, as <see cref="MaxUnpool3d"/> wants them (PyTorch: return_indices=True).</summary>
    public (Tensor Output, Tensor Indices) ForwardWithIndices(Tensor input)
    {
        var (output, indices) = F.MaxPool3dWithIndices(input, KernelSize, Stride, Padding, Dilation, CeilMode);
        return (Called(input, output), indices);
    }

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}, dilation={Dilation.Repr(1)}, ceil_mode={Repr(CeilMode)}";
}

/// <summary>Puts elements back to where <see cref="MaxPool1d.ForwardWithIndices"/> found them, zeros elsewhere.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side: 0 unless given.</param>
public sealed class MaxUnpool1d(Extents kernelSize, Extents? stride = null, Extents padding = default)
    : PoolingModule(kernelSize, stride, padding, default, false)
{
    /// <summary>Elements and their places, to the extents that the pooled tensor had: the least of those possible, or <paramref name="outputSize"/>.</summary>
    public Tensor Forward(Tensor input, Tensor indices, int[]? outputSize = null) =>
        Called(input, F.MaxUnpool1d(input, indices, KernelSize, Stride, Padding, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}";
}

/// <summary>Puts elements back to where <see cref="MaxPool2d.ForwardWithIndices"/> found them, zeros elsewhere.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side: 0 unless given.</param>
public sealed class MaxUnpool2d(Extents kernelSize, Extents? stride = null, Extents padding = default)
    : PoolingModule(kernelSize, stride, padding, default, false)
{
    /// <summary>Elements and their places, to the extents that the pooled tensor had: the least of those possible, or <paramref name="outputSize"/>.</summary>
    public Tensor Forward(Tensor input, Tensor indices, int[]? outputSize = null) =>
        Called(input, F.MaxUnpool2d(input, indices, KernelSize, Stride, Padding, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}";
}

/// <summary>Puts elements back to where <see cref="MaxPool3d.ForwardWithIndices"/> found them, zeros elsewhere.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">On either side: 0 unless given.</param>
public sealed class MaxUnpool3d(Extents kernelSize, Extents? stride = null, Extents padding = default)
    : PoolingModule(kernelSize, stride, padding, default, false)
{
    /// <summary>Elements and their places, to the extents that the pooled tensor had: the least of those possible, or <paramref name="outputSize"/>.</summary>
    public Tensor Forward(Tensor input, Tensor indices, int[]? outputSize = null) =>
        Called(input, F.MaxUnpool3d(input, indices, KernelSize, Stride, Padding, outputSize));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}";
}

/// <summary>The mean of every window of [batch, channels, length], as <see cref="F.AvgPool1d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
/// <param name="countIncludePad">Whether padding counts among the elements.</param>
public sealed class AvgPool1d(Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true)
    : PoolingModule(kernelSize, stride, padding, default, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AvgPool1d(input, KernelSize, Stride, Padding, CeilMode, countIncludePad));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}";
}

/// <summary>The mean of every window of [batch, channels, height, width], as <see cref="F.AvgPool2d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
/// <param name="countIncludePad">Whether padding counts among the elements.</param>
public sealed class AvgPool2d(Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true)
    : PoolingModule(kernelSize, stride, padding, default, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AvgPool2d(input, KernelSize, Stride, Padding, CeilMode, countIncludePad));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}";
}

/// <summary>The mean of every window of [batch, channels, depth, height, width], as <see cref="F.AvgPool3d"/>.</summary>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
/// <param name="countIncludePad">Whether padding counts among the elements.</param>
public sealed class AvgPool3d(Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true)
    : PoolingModule(kernelSize, stride, padding, default, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.AvgPool3d(input, KernelSize, Stride, Padding, CeilMode, countIncludePad));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, padding={Padding.Repr(0)}";
}

/// <summary>The p-norm of every window of [batch, channels, length], as <see cref="F.LPPool1d"/>.</summary>
/// <param name="normType">p.</param>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class LPPool1d(double normType, Extents kernelSize, Extents? stride = null, bool ceilMode = false)
    : PoolingModule(kernelSize, stride, default, default, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LPPool1d(input, normType, KernelSize, Stride, CeilMode));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"norm_type={Repr(normType)}, kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, ceil_mode={Repr(CeilMode)}";
}

/// <summary>The p-norm of every window of [batch, channels, height, width], as <see cref="F.LPPool2d"/>.</summary>
/// <param name="normType">p.</param>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class LPPool2d(double normType, Extents kernelSize, Extents? stride = null, bool ceilMode = false)
    : PoolingModule(kernelSize, stride, default, default, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LPPool2d(input, normType, KernelSize, Stride, CeilMode));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"norm_type={Repr(normType)}, kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, ceil_mode={Repr(CeilMode)}";
}

/// <summary>The p-norm of every window of [batch, channels, depth, height, width], as <see cref="F.LPPool3d"/>.</summary>
/// <param name="normType">p.</param>
/// <param name="kernelSize">The extents of a window: one number for all axes, or one for each.</param>
/// <param name="stride">From window to window: those of the window unless given.</param>
/// <param name="ceilMode">Whether windows may reach over the end.</param>
public sealed class LPPool3d(double normType, Extents kernelSize, Extents? stride = null, bool ceilMode = false)
    : PoolingModule(kernelSize, stride, default, default, ceilMode)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LPPool3d(input, normType, KernelSize, Stride, CeilMode));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"norm_type={Repr(normType)}, kernel_size={KernelSize.Repr(1)}, stride={Stride.Repr(1)}, ceil_mode={Repr(CeilMode)}";
}
