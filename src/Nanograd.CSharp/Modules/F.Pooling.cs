namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary><see cref="MaxPool1d"/>, and the places of the elements: integers that count through the last axis of the input.</summary>
    public static (Tensor Output, Tensor Indices) MaxPool1dWithIndices(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false)
    {
        var options = Options(1, kernelSize, stride, padding, dilation, ceilMode, true);
        return (
            Tensor.Make(n => Poolings.maxPool(options, n[0]!), input),
            Tensor.Make(n => Unpooling.maxPoolIndices(options, n[0]!), input.Detach()));
    }

    /// <summary><see cref="MaxPool2d"/>, and the places of the elements: integers that count through the last two axes of the input.</summary>
    public static (Tensor Output, Tensor Indices) MaxPool2dWithIndices(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false)
    {
        var options = Options(2, kernelSize, stride, padding, dilation, ceilMode, true);
        return (
            Tensor.Make(n => Poolings.maxPool(options, n[0]!), input),
            Tensor.Make(n => Unpooling.maxPoolIndices(options, n[0]!), input.Detach()));
    }

    /// <summary><see cref="MaxPool3d"/>, and the places of the elements: integers that count through the last three axes of the input.</summary>
    public static (Tensor Output, Tensor Indices) MaxPool3dWithIndices(
        Tensor input, Extents kernelSize, Extents? stride = null, Extents padding = default, Extents dilation = default, bool ceilMode = false)
    {
        var options = Options(3, kernelSize, stride, padding, dilation, ceilMode, true);
        return (
            Tensor.Make(n => Poolings.maxPool(options, n[0]!), input),
            Tensor.Make(n => Unpooling.maxPoolIndices(options, n[0]!), input.Detach()));
    }

    /// <summary>Elements [batch, channels, windows...] at the places <paramref name="indices"/> of [batch, channels, length], zeros elsewhere.</summary>
    /// <param name="input">[batch, channels, windows...].</param>
    /// <param name="indices">Of the same shape, as <see cref="MaxPool1dWithIndices"/> gives them.</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputSize">The spatial extents of the result; null: the least that windows like these cover.</param>
    public static Tensor MaxUnpool1d(
        Tensor input, Tensor indices, Extents kernelSize, Extents? stride = null, Extents padding = default, int[]? outputSize = null) =>
        Unpool(1, input, indices, Options(1, kernelSize, stride, padding, default, false, true), outputSize);

    /// <summary>Elements [batch, channels, windows...] at the places <paramref name="indices"/> of [batch, channels, height, width], zeros elsewhere.</summary>
    /// <param name="input">[batch, channels, windows...].</param>
    /// <param name="indices">Of the same shape, as <see cref="MaxPool2dWithIndices"/> gives them.</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputSize">The spatial extents of the result; null: the least that windows like these cover.</param>
    public static Tensor MaxUnpool2d(
        Tensor input, Tensor indices, Extents kernelSize, Extents? stride = null, Extents padding = default, int[]? outputSize = null) =>
        Unpool(2, input, indices, Options(2, kernelSize, stride, padding, default, false, true), outputSize);

    /// <summary>Elements [batch, channels, windows...] at the places <paramref name="indices"/> of [batch, channels, depth, height, width], zeros elsewhere.</summary>
    /// <param name="input">[batch, channels, windows...].</param>
    /// <param name="indices">Of the same shape, as <see cref="MaxPool3dWithIndices"/> gives them.</param>
    /// <param name="kernelSize">The window: one number for all axes, or one for each.</param>
    /// <param name="stride">From window to window; null: the size of one.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputSize">The spatial extents of the result; null: the least that windows like these cover.</param>
    public static Tensor MaxUnpool3d(
        Tensor input, Tensor indices, Extents kernelSize, Extents? stride = null, Extents padding = default, int[]? outputSize = null) =>
        Unpool(3, input, indices, Options(3, kernelSize, stride, padding, default, false, true), outputSize);

    /// <summary>The p-norm of every window over the last axis: (sum of x^p)^(1/p), 0 where the sum is not positive.</summary>
    public static Tensor LPPool1d(Tensor input, double normType, Extents kernelSize, Extents? stride = null, bool ceilMode = false) =>
        Tensor.Make(n => Shuffles.lpPool(normType, Options(1, kernelSize, stride, default, default, ceilMode, true), n[0]!), input);

    /// <summary>The p-norm of every window over the last two axes: (sum of x^p)^(1/p), 0 where the sum is not positive.</summary>
    public static Tensor LPPool2d(Tensor input, double normType, Extents kernelSize, Extents? stride = null, bool ceilMode = false) =>
        Tensor.Make(n => Shuffles.lpPool(normType, Options(2, kernelSize, stride, default, default, ceilMode, true), n[0]!), input);

    /// <summary>The p-norm of every window over the last three axes: (sum of x^p)^(1/p), 0 where the sum is not positive.</summary>
    public static Tensor LPPool3d(Tensor input, double normType, Extents kernelSize, Extents? stride = null, bool ceilMode = false) =>
        Tensor.Make(n => Shuffles.lpPool(normType, Options(3, kernelSize, stride, default, default, ceilMode, true), n[0]!), input);

    private static Tensor Unpool(int axes, Tensor input, Tensor indices, PoolOptions options, int[]? outputSize)
    {
        if (input.Rank < axes)
        {
            throw new ArgumentException($"MaxUnpool{axes}d: the input must have {axes} spatial axes, got {Nanograd.Shape.describe(input.Expression)}.");
        }

        int[] size = outputSize is null
            ? [.. Enumerable.Range(0, axes).Select(i => ((input.Size(i - axes) - 1) * options.Stride[i]) - (2 * options.Padding[i]) + options.Size[i])]
            : [.. outputSize.TakeLast(axes)];
        return Tensor.Make(n => Unpooling.maxUnpool(size, n[1]!, n[0]!), input, indices);
    }
}
