namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>Windows of an image as columns: [batch, channels, height, width] to [batch, channels kh kw, windows], or both without a batch.</summary>
    /// <param name="input">[batch, channels, height, width].</param>
    /// <param name="kernelSize">The window: one number for both axes, or one for each.</param>
    /// <param name="dilation">From element to element of a window: 1 unless given.</param>
    /// <param name="padding">Zeros on either side: 0 unless given.</param>
    /// <param name="stride">From window to window: 1 unless given.</param>
    public static Tensor Unfold(Tensor input, Extents kernelSize, Extents dilation = default, Extents padding = default, Extents stride = default)
    {
        int[] kernel = kernelSize.Of(2, 1, nameof(kernelSize)), step = stride.Of(2, 1, nameof(stride));
        int[] around = padding.Of(2, 0, nameof(padding)), apart = dilation.Of(2, 1, nameof(dilation));
        return Batched(input, 4, x => Tensor.Make(n => Columns.im2col(kernel, step, around, apart, n[0]!), x));
    }

    /// <summary>Columns added up where the windows lie: [batch, channels kh kw, windows] to [batch, channels, height, width], or both without a batch.</summary>
    /// <param name="input">[batch, channels kh kw, windows].</param>
    /// <param name="outputSize">Height and width.</param>
    /// <param name="kernelSize">The window: one number for both axes, or one for each.</param>
    /// <param name="dilation">From element to element of a window: 1 unless given.</param>
    /// <param name="padding">Zeros on either side: 0 unless given.</param>
    /// <param name="stride">From window to window: 1 unless given.</param>
    public static Tensor Fold(
        Tensor input, Extents outputSize, Extents kernelSize, Extents dilation = default, Extents padding = default, Extents stride = default)
    {
        int[] size = outputSize.Of(2, 1, nameof(outputSize)), kernel = kernelSize.Of(2, 1, nameof(kernelSize)), step = stride.Of(2, 1, nameof(stride));
        int[] around = padding.Of(2, 0, nameof(padding)), apart = dilation.Of(2, 1, nameof(dilation));
        return Batched(input, 3, x => Tensor.Make(n => Columns.col2im(size, kernel, step, around, apart, n[0]!), x));
    }

    private static Tensor Batched(Tensor input, int rank, Func<Tensor, Tensor> function) =>
        input.Rank == rank - 1 ? function(input.Unsqueeze(0)).Squeeze(0) : function(input);
}

/// <summary>Windows of an image as columns, as <see cref="F.Unfold"/>.</summary>
/// <param name="kernelSize">The window: one number for both axes, or one for each.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="stride">From window to window: 1 unless given.</param>
public sealed class Unfold(Extents kernelSize, Extents dilation = default, Extents padding = default, Extents stride = default) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Unfold(input, kernelSize, dilation, padding, stride));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"kernel_size={kernelSize.Repr(1)}, dilation={dilation.Repr(1)}, padding={padding.Repr(0)}, stride={stride.Repr(1)}";
}

/// <summary>Columns added up where the windows of an image lie, as <see cref="F.Fold"/>.</summary>
/// <param name="outputSize">Height and width.</param>
/// <param name="kernelSize">The window: one number for both axes, or one for each.</param>
/// <param name="dilation">From element to element of a window: 1 unless given.</param>
/// <param name="padding">Zeros on either side: 0 unless given.</param>
/// <param name="stride">From window to window: 1 unless given.</param>
public sealed class Fold(Extents outputSize, Extents kernelSize, Extents dilation = default, Extents padding = default, Extents stride = default) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Fold(input, outputSize, kernelSize, dilation, padding, stride));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"output_size={outputSize.Repr(1)}, kernel_size={kernelSize.Repr(1)}, dilation={dilation.Repr(1)}, padding={padding.Repr(0)}, stride={stride.Repr(1)}";
}
