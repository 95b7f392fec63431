using Microsoft.FSharp.Core;

namespace Nanograd.CSharp;

public static partial class F
{
    // Null converts to Some(null) by itself.
    private static FSharpOption<Node>? Bias(Node? bias) => bias is null ? null : FSharpOption<Node>.Some(bias);

    private static ConvOptions Options(int axes, Extents stride, Padding padding, Extents dilation, int groups) =>
        new(stride.Of(axes, 1, nameof(stride)), padding.Of(axes), dilation.Of(axes, 1, nameof(dilation)), groups);

    private static Node Transposed(
        int axes, Node x, Node weight, Node? bias, Extents stride, Extents padding, Extents outputPadding, int groups, Extents dilation)
    {
        if (weight.Rank != axes + 2)
        {
            throw new ArgumentException($"ConvTranspose{axes}d: the weight must be [channels, out / groups] and {axes} spatial axes, got {Nanograd.Shape.describe(weight)}.");
        }

        var options = new ConvTransposeOptions(
            stride.Of(axes, 1, nameof(stride)), padding.Of(axes, 0, nameof(padding)), outputPadding.Of(axes, 0, nameof(outputPadding)),
            dilation.Of(axes, 1, nameof(dilation)), groups);
        return Convolutions.convTranspose(options, weight, Bias(bias), x);
    }

    private static PoolOptions Options(
        int axes, Extents kernelSize, Extents? stride, Extents padding, Extents dilation, bool ceilMode, bool countIncludePad)
    {
        var size = kernelSize.Of(axes, 1, nameof(kernelSize));
        return new(
            size, stride?.Of(axes, 1, nameof(stride)) ?? size, padding.Of(axes, 0, nameof(padding)),
            dilation.Of(axes, 1, nameof(dilation)), ceilMode, countIncludePad);
    }

    /// <summary>
    /// A convolution (as everywhere in deep learning, a correlation): [batch, channels, length] or the same without a batch, with
    /// a weight, to [batch, out, ...]. An extent becomes (extent + 2 padding - dilation (k - 1) - 1) / stride + 1.
    /// </summary>
    /// <param name="input">[batch, channels, length].</param>
    /// <param name="weight">[out, channels / groups, k].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="stride">1 unless given: one number for all axes, or one for each.</param>
    /// <param name="padding">Zeros on either side: 0 unless given, numbers, or "same" or "valid".</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    /// <example><code>F.Conv1d(x, weight, stride: 2, padding: 1)</code></example>
    public static Tensor Conv1d(
        Tensor input, Tensor weight, Tensor? bias = null, Extents stride = default, Padding padding = default, Extents dilation = default, int groups = 1) =>
        Tensor.Make(n => Convolutions.conv1d(Options(1, stride, padding, dilation, groups), n[1]!, Bias(n[2]), n[0]!), input, weight, bias);

    /// <summary>
    /// A convolution (as everywhere in deep learning, a correlation): [batch, channels, height, width] or the same without a batch, with
    /// a weight, to [batch, out, ...]. An extent becomes (extent + 2 padding - dilation (k - 1) - 1) / stride + 1.
    /// </summary>
    /// <param name="input">[batch, channels, height, width].</param>
    /// <param name="weight">[out, channels / groups, kh, kw].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="stride">1 unless given: one number for all axes, or one for each.</param>
    /// <param name="padding">Zeros on either side: 0 unless given, numbers, or "same" or "valid".</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    /// <example><code>F.Conv2d(x, weight, stride: 2, padding: 1)</code></example>
    public static Tensor Conv2d(
        Tensor input, Tensor weight, Tensor? bias = null, Extents stride = default, Padding padding = default, Extents dilation = default, int groups = 1) =>
        Tensor.Make(n => Convolutions.conv2d(Options(2, stride, padding, dilation, groups), n[1]!, Bias(n[2]), n[0]!), input, weight, bias);

    /// <summary>
    /// A convolution (as everywhere in deep learning, a correlation): [batch, channels, depth, height, width] or the same without a batch, with
    /// a weight, to [batch, out, ...]. An extent becomes (extent + 2 padding - dilation (k - 1) - 1) / stride + 1.
    /// </summary>
    /// <param name="input">[batch, channels, depth, height, width].</param>
    /// <param name="weight">[out, channels / groups, kd, kh, kw].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="stride">1 unless given: one number for all axes, or one for each.</param>
    /// <param name="padding">Zeros on either side: 0 unless given, numbers, or "same" or "valid".</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    /// <example><code>F.Conv3d(x, weight, stride: 2, padding: 1)</code></example>
    public static Tensor Conv3d(
        Tensor input, Tensor weight, Tensor? bias = null, Extents stride = default, Padding padding = default, Extents dilation = default, int groups = 1) =>
        Tensor.Make(n => Convolutions.conv3d(Options(3, stride, padding, dilation, groups), n[1]!, Bias(n[2]), n[0]!), input, weight, bias);

    /// <summary>
    /// The transpose of <see cref="Conv1d"/> with the same options: [batch, channels, length] or the same without a batch to
    /// [batch, out, ...]. An extent becomes (extent - 1) stride - 2 padding + dilation (k - 1) + outputPadding + 1.
    /// </summary>
    /// <param name="input">[batch, channels, length].</param>
    /// <param name="weight">[channels, out / groups, k].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="stride">1 unless given: one number for all axes, or one for each.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputPadding">Added to the end of each axis: 0 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    public static Tensor ConvTranspose1d(
        Tensor input, Tensor weight, Tensor? bias = null, Extents stride = default, Extents padding = default, Extents outputPadding = default, int groups = 1, Extents dilation = default) =>
        Tensor.Make(n => Transposed(1, n[0]!, n[1]!, n[2], stride, padding, outputPadding, groups, dilation), input, weight, bias);

    /// <summary>
    /// The transpose of <see cref="Conv2d"/> with the same options: [batch, channels, height, width] or the same without a batch to
    /// [batch, out, ...]. An extent becomes (extent - 1) stride - 2 padding + dilation (k - 1) + outputPadding + 1.
    /// </summary>
    /// <param name="input">[batch, channels, height, width].</param>
    /// <param name="weight">[channels, out / groups, kh, kw].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="stride">1 unless given: one number for all axes, or one for each.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputPadding">Added to the end of each axis: 0 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    public static Tensor ConvTranspose2d(
        Tensor input, Tensor weight, Tensor? bias = null, Extents stride = default, Extents padding = default, Extents outputPadding = default, int groups = 1, Extents dilation = default) =>
        Tensor.Make(n => Transposed(2, n[0]!, n[1]!, n[2], stride, padding, outputPadding, groups, dilation), input, weight, bias);

    /// <summary>
    /// The transpose of <see cref="Conv3d"/> with the same options: [batch, channels, depth, height, width] or the same without a batch to
    /// [batch, out, ...]. An extent becomes (extent - 1) stride - 2 padding + dilation (k - 1) + outputPadding + 1.
    /// </summary>
    /// <param name="input">[batch, channels, depth, height, width].</param>
    /// <param name="weight">[channels, out / groups, kd, kh, kw].</param>
    /// <param name="bias">[out], or null.</param>
    /// <param name="stride">1 unless given: one number for all axes, or one for each.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputPadding">Added to the end of each axis: 0 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <exception cref="ArgumentException">Shapes or options do not fit.</exception>
    public static Tensor ConvTranspose3d(
        Tensor input, Tensor weight, Tensor? bias = null, Extents stride = default, Extents padding = default, Extents outputPadding = default, int groups = 1, Extents dilation = default) =>
        Tensor.Make(n => Transposed(3, n[0]!, n[1]!, n[2], stride, padding, outputPadding, groups, dilation), input, weight, bias);

    /// <summary>The largest element of every window over the last axis. Padding never wins; of equal elements the first takes the whole gradient.</summary>
    /// <param name="input">[..., length].</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given; at most half the window.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="ceilMode">Whether a last window that starts inside but ends outside counts.</param>
    /// <exception cref="ArgumentException">A window does not fit.</exception>
    /// <example><code>F.MaxPool1d(x, 2)</code></example>
    public static Tensor MaxPool1d(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false) =>
        Tensor.Make(n => Poolings.maxPool(Options(1, kernelSize, stride, padding, dilation, ceilMode, true), n[0]!), input);

    /// <summary>The largest element of every window over the last two axes. Padding never wins; of equal elements the first takes the whole gradient.</summary>
    /// <param name="input">[..., height, width].</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given; at most half the window.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="ceilMode">Whether a last window that starts inside but ends outside counts.</param>
    /// <exception cref="ArgumentException">A window does not fit.</exception>
    /// <example><code>F.MaxPool2d(x, 2)</code></example>
    public static Tensor MaxPool2d(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false) =>
        Tensor.Make(n => Poolings.maxPool(Options(2, kernelSize, stride, padding, dilation, ceilMode, true), n[0]!), input);

    /// <summary>The largest element of every window over the last three axes. Padding never wins; of equal elements the first takes the whole gradient.</summary>
    /// <param name="input">[..., depth, height, width].</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given; at most half the window.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="ceilMode">Whether a last window that starts inside but ends outside counts.</param>
    /// <exception cref="ArgumentException">A window does not fit.</exception>
    /// <example><code>F.MaxPool3d(x, 2)</code></example>
    public static Tensor MaxPool3d(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false) =>
        Tensor.Make(n => Poolings.maxPool(Options(3, kernelSize, stride, padding, dilation, ceilMode, true), n[0]!), input);

    /// <summary>The mean of every window over the last axis.</summary>
    /// <param name="input">[..., length], floats.</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given; at most half the window.</param>
    /// <param name="ceilMode">Whether a last window that starts inside but ends outside counts.</param>
    /// <param name="countIncludePad">Whether means divide by the padding in a window, too.</param>
    /// <exception cref="ArgumentException">A window does not fit, or the input is no float.</exception>
    public static Tensor AvgPool1d(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true) =>
        Tensor.Make(n => Poolings.avgPool(Options(1, kernelSize, stride, padding, default, ceilMode, countIncludePad), n[0]!), input);

    /// <summary>The mean of every window over the last two axes.</summary>
    /// <param name="input">[..., height, width], floats.</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given; at most half the window.</param>
    /// <param name="ceilMode">Whether a last window that starts inside but ends outside counts.</param>
    /// <param name="countIncludePad">Whether means divide by the padding in a window, too.</param>
    /// <exception cref="ArgumentException">A window does not fit, or the input is no float.</exception>
    public static Tensor AvgPool2d(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true) =>
        Tensor.Make(n => Poolings.avgPool(Options(2, kernelSize, stride, padding, default, ceilMode, countIncludePad), n[0]!), input);

    /// <summary>The mean of every window over the last three axes.</summary>
    /// <param name="input">[..., depth, height, width], floats.</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given; at most half the window.</param>
    /// <param name="ceilMode">Whether a last window that starts inside but ends outside counts.</param>
    /// <param name="countIncludePad">Whether means divide by the padding in a window, too.</param>
    /// <exception cref="ArgumentException">A window does not fit, or the input is no float.</exception>
    public static Tensor AvgPool3d(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, bool ceilMode = false, bool countIncludePad = true) =>
        Tensor.Make(n => Poolings.avgPool(Options(3, kernelSize, stride, padding, default, ceilMode, countIncludePad), n[0]!), input);

    /// <summary>The largest elements of as many windows as asked for, which cover the last axis: [..., length] to [..., <paramref name="outputSize"/>].</summary>
    /// <exception cref="ArgumentException">A number of windows is less than 1, or an axis is empty.</exception>
    public static Tensor AdaptiveMaxPool1d(Tensor input, Extents outputSize) =>
        Tensor.Make(n => Poolings.adaptiveMaxPool(outputSize.Of(1, 1, nameof(outputSize)), n[0]!), input);

    /// <summary>The largest elements of as many windows as asked for, which cover the last two axes: [..., height, width] to [..., <paramref name="outputSize"/>].</summary>
    /// <exception cref="ArgumentException">A number of windows is less than 1, or an axis is empty.</exception>
    public static Tensor AdaptiveMaxPool2d(Tensor input, Extents outputSize) =>
        Tensor.Make(n => Poolings.adaptiveMaxPool(outputSize.Of(2, 1, nameof(outputSize)), n[0]!), input);

    /// <summary>The largest elements of as many windows as asked for, which cover the last three axes: [..., depth, height, width] to [..., <paramref name="outputSize"/>].</summary>
    /// <exception cref="ArgumentException">A number of windows is less than 1, or an axis is empty.</exception>
    public static Tensor AdaptiveMaxPool3d(Tensor input, Extents outputSize) =>
        Tensor.Make(n => Poolings.adaptiveMaxPool(outputSize.Of(3, 1, nameof(outputSize)), n[0]!), input);

    /// <summary>The means of as many windows as asked for, which cover the last axis: [..., length] to [..., <paramref name="outputSize"/>].</summary>
    /// <exception cref="ArgumentException">A number of windows is less than 1, or an axis is empty.</exception>
    public static Tensor AdaptiveAvgPool1d(Tensor input, Extents outputSize) =>
        Tensor.Make(n => Poolings.adaptiveAvgPool(outputSize.Of(1, 1, nameof(outputSize)), n[0]!), input);

    /// <summary>The means of as many windows as asked for, which cover the last two axes: [..., height, width] to [..., <paramref name="outputSize"/>].</summary>
    /// <exception cref="ArgumentException">A number of windows is less than 1, or an axis is empty.</exception>
    public static Tensor AdaptiveAvgPool2d(Tensor input, Extents outputSize) =>
        Tensor.Make(n => Poolings.adaptiveAvgPool(outputSize.Of(2, 1, nameof(outputSize)), n[0]!), input);

    /// <summary>The means of as many windows as asked for, which cover the last three axes: [..., depth, height, width] to [..., <paramref name="outputSize"/>].</summary>
    /// <exception cref="ArgumentException">A number of windows is less than 1, or an axis is empty.</exception>
    public static Tensor AdaptiveAvgPool3d(Tensor input, Extents outputSize) =>
        Tensor.Make(n => Poolings.adaptiveAvgPool(outputSize.Of(3, 1, nameof(outputSize)), n[0]!), input);
}
