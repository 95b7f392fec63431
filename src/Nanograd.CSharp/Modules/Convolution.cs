namespace Nanograd.CSharp;

/// <summary>What convolutions have in common: a weight and a bias that start uniform in ±1/sqrt(fan-in), as PyTorch's do.</summary>
public abstract class ConvolutionBase : Module
{
    private protected ConvolutionBase(
        string kind, int axes, int inChannels, int outChannels, Extents kernelSize, Extents stride, Extents dilation, int groups, bool bias, bool transposed, Generator? generator)
    {
        if (inChannels < 1 || outChannels < 1 || groups < 1 || inChannels % groups != 0 || outChannels % groups != 0)
        {
            throw new ArgumentException($"{kind}: inChannels and outChannels must be positive multiples of groups, got {inChannels}, {outChannels} and {groups}.");
        }

        KernelSize = Positive(kind, "kernelSize", kernelSize.Of(axes, 1, "kernelSize"));
        Stride = Positive(kind, "stride", stride.Of(axes, 1, "stride"));
        Dilation = Positive(kind, "dilation", dilation.Of(axes, 1, "dilation"));
        (InChannels, OutChannels, Groups) = (inChannels, outChannels, groups);
        int[] shape = transposed ? [inChannels, outChannels / groups, .. KernelSize] : [outChannels, inChannels / groups, .. KernelSize];
        // PyTorch takes the second axis for the inputs here, also where it counts outputs.
        var bound = 1 / Math.Sqrt(shape.Skip(1).Aggregate(1.0, (n, extent) => n * extent));
        var weight = Zoo.Layers.Uniform(Generator.NextKey(generator), shape, bound);
        if (bias)
        {
            var both = Parameter.All([weight, Zoo.Layers.Uniform(Generator.NextKey(generator), [outChannels], bound)]);
            (Weight, Bias) = (both[0], both[1]);
        }
        else
        {
            Weight = Parameter.Of(weight);
        }
    }

    /// <summary>Channels of the input.</summary>
    public int InChannels { get; }

    /// <summary>Channels of the result.</summary>
    public int OutChannels { get; }

    /// <summary>The extents of the kernel.</summary>
    public IReadOnlyList<int> KernelSize { get; }

    /// <summary>From window to window.</summary>
    public IReadOnlyList<int> Stride { get; }

    /// <summary>From element to element of the kernel.</summary>
    public IReadOnlyList<int> Dilation { get; }

    /// <summary>Into how many independent groups channels are divided.</summary>
    public int Groups { get; }

    /// <summary>[out, channels / groups, kernel...]; of a transposed convolution [channels, out / groups, kernel...].</summary>
    public Parameter Weight { get; set; }

    /// <summary>[out], or null.</summary>
    public Parameter? Bias { get; set; }

    private protected int Axes => KernelSize.Count;

    private protected string Describe(string padding, string outputPadding = "", string mode = "")
    {
        var unlike = (string name, IReadOnlyList<int> values) => values.All(v => v == 1) ? "" : $", {name}={Repr([.. values])}";
        return $"{InChannels}, {OutChannels}, kernel_size={Repr([.. KernelSize])}, stride={Repr([.. Stride])}{padding}{unlike("dilation", Dilation)}{outputPadding}"
            + (Groups == 1 ? "" : $", groups={Groups}") + (Bias is null ? ", bias=False" : "") + mode;
    }

    private protected static string Nonzero(string name, int[] values) => values.All(v => v == 0) ? "" : $", {name}={Repr(values)}";

    private static int[] Positive(string kind, string name, int[] values) => values.All(v => v > 0)
        ? values
        : throw new ArgumentException($"{kind}: {name} must be positive, got {string.Join(", ", values)}.");
}

/// <summary>A convolution (as everywhere in deep learning, a correlation) over the last axes; see <see cref="F.Conv2d"/>.</summary>
public abstract class ConvolutionModule : ConvolutionBase
{
    private readonly Padding _given;
    private readonly Padding _padding;
    private readonly int[]? _around; // for Pad, where it is not zeros

    private protected ConvolutionModule(
        string kind, int axes, int inChannels, int outChannels, Extents kernelSize, Extents stride, Padding padding, Extents dilation, int groups, bool bias, string paddingMode, Generator? generator)
        : base(kind, axes, inChannels, outChannels, kernelSize, stride, dilation, groups, bias, transposed: false, generator)
    {
        if (paddingMode is not ("zeros" or "reflect" or "replicate" or "circular"))
        {
            throw new ArgumentException($"{kind}: paddingMode must be zeros, reflect, replicate or circular, got {paddingMode}.");
        }

        if (padding.IsSame && Stride.Any(s => s != 1))
        {
            throw new ArgumentException($"{kind}: padding \"same\" needs strides of 1, got {string.Join(", ", Stride)}.");
        }

        PaddingMode = paddingMode;
        _given = padding;
        _padding = paddingMode == "zeros" ? padding : 0;
        _around = paddingMode == "zeros" ? null : Around(padding);
    }

    /// <summary>What is put around the input: zeros, reflect, replicate or circular.</summary>
    public string PaddingMode { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input)
    {
        var padded = _around is null ? input : F.Pad(input, _around, PaddingMode);
        return Called(input, Convolve(padded, _padding));
    }

    /// <inheritdoc/>
    protected override string ExtraRepr()
    {
        var padding = _given.IsSame ? ", padding=same" : Nonzero("padding", _given.Numbers(Axes));
        return Describe(padding, mode: PaddingMode == "zeros" ? "" : $", padding_mode={PaddingMode}");
    }

    private protected override long MultAdds(int[] input, int[] output) => Weight.Count * (Product(output) / OutChannels);

    private protected abstract Tensor Convolve(Tensor input, Padding padding);

    /// <summary>Before and behind, the last axis first.</summary>
    private int[] Around(Padding padding)
    {
        var numbers = padding.IsSame ? null : padding.Numbers(Axes);
        var pairs = new List<int>();
        for (var axis = Axes - 1; axis >= 0; axis--)
        {
            var both = Dilation[axis] * (KernelSize[axis] - 1); // keeps the extent
            pairs.Add(numbers?[axis] ?? (both / 2));
            pairs.Add(numbers?[axis] ?? (both - (both / 2)));
        }

        return [.. pairs];
    }
}

/// <summary>The transpose of a convolution over the last axes; see <see cref="F.ConvTranspose2d"/>.</summary>
public abstract class ConvolutionTransposeModule : ConvolutionBase
{
    private readonly int[] _padding;
    private readonly int[] _outputPadding;

    private protected ConvolutionTransposeModule(
        string kind, int axes, int inChannels, int outChannels, Extents kernelSize, Extents stride, Extents padding, Extents outputPadding, int groups, bool bias, Extents dilation, Generator? generator)
        : base(kind, axes, inChannels, outChannels, kernelSize, stride, dilation, groups, bias, transposed: true, generator)
    {
        _padding = padding.Of(axes, 0, nameof(padding));
        _outputPadding = outputPadding.Of(axes, 0, nameof(outputPadding));
        for (var i = 0; i < axes; i++)
        {
            if (_outputPadding[i] < 0 || _outputPadding[i] >= Math.Max(Stride[i], Dilation[i]))
            {
                throw new ArgumentException($"{kind}: outputPadding must be less than the stride or the dilation, got {_outputPadding[i]}, {Stride[i]} and {Dilation[i]}.");
            }
        }
    }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, Transpose(input, _padding, _outputPadding));

    /// <inheritdoc/>
    protected override string ExtraRepr() => Describe(Nonzero("padding", _padding), Nonzero("output_padding", _outputPadding));

    private protected override long MultAdds(int[] input, int[] output) => Weight.Count * (Product(input) / InChannels);

    /// <summary>With the spatial extents that the result shall have: of those that an input of this size can come from.</summary>
    public Tensor Forward(Tensor input, int[] outputSize)
    {
        if (outputSize.Length != Axes || input.Rank < Axes)
        {
            throw new ArgumentException($"{GetType().Name}: outputSize must have {Axes} entries, got {outputSize.Length}.");
        }

        var extra = new int[Axes];
        for (var i = 0; i < Axes; i++)
        {
            var least = ((input.Shape[input.Rank - Axes + i] - 1) * Stride[i]) - (2 * _padding[i]) + (Dilation[i] * (KernelSize[i] - 1)) + 1;
            extra[i] = outputSize[i] - least;
            if (extra[i] < 0 || extra[i] >= Math.Max(Stride[i], Dilation[i]))
            {
                throw new ArgumentException(
                    $"{GetType().Name}: axis {i} of the result can have {least} to {least + Math.Max(Stride[i], Dilation[i]) - 1} elements, not {outputSize[i]}.");
            }
        }

        return Called(input, Transpose(input, _padding, extra));
    }

    private protected abstract Tensor Transpose(Tensor input, Extents padding, Extents outputPadding);
}

/// <summary>A convolution over length: [batch, channels, length] to [batch, out, ...], as <see cref="F.Conv1d"/>.</summary>
public sealed class Conv1d : ConvolutionModule
{
    /// <summary>A convolution whose weight is [out, channels / groups, k].</summary>
    /// <param name="inChannels">Channels of the input.</param>
    /// <param name="outChannels">Channels of the result.</param>
    /// <param name="kernelSize">One number for all axes, or one for each.</param>
    /// <param name="stride">1 unless given.</param>
    /// <param name="padding">On either side: 0 unless given, numbers, or "same" or "valid".</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="bias">Whether something is added to each channel.</param>
    /// <param name="paddingMode">zeros, reflect, replicate or circular.</param>
    /// <param name="generator">Where the start comes from.</param>
    public Conv1d(
        int inChannels, int outChannels, Extents kernelSize, Extents stride = default, Padding padding = default, Extents dilation = default,
        int groups = 1, bool bias = true, string paddingMode = "zeros", Generator? generator = null)
        : base(nameof(Conv1d), 1, inChannels, outChannels, kernelSize, stride, padding, dilation, groups, bias, paddingMode, generator)
    {
    }

    private protected override Tensor Convolve(Tensor input, Padding padding) =>
        F.Conv1d(input, Weight, Bias, Stride.ToArray(), padding, Dilation.ToArray(), Groups);
}

/// <summary>A convolution over height and width: [batch, channels, height, width] to [batch, out, ...], as <see cref="F.Conv2d"/>.</summary>
public sealed class Conv2d : ConvolutionModule
{
    /// <summary>A convolution whose weight is [out, channels / groups, kh, kw].</summary>
    /// <param name="inChannels">Channels of the input.</param>
    /// <param name="outChannels">Channels of the result.</param>
    /// <param name="kernelSize">One number for all axes, or one for each.</param>
    /// <param name="stride">1 unless given.</param>
    /// <param name="padding">On either side: 0 unless given, numbers, or "same" or "valid".</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="bias">Whether something is added to each channel.</param>
    /// <param name="paddingMode">zeros, reflect, replicate or circular.</param>
    /// <param name="generator">Where the start comes from.</param>
    public Conv2d(
        int inChannels, int outChannels, Extents kernelSize, Extents stride = default, Padding padding = default, Extents dilation = default,
        int groups = 1, bool bias = true, string paddingMode = "zeros", Generator? generator = null)
        : base(nameof(Conv2d), 2, inChannels, outChannels, kernelSize, stride, padding, dilation, groups, bias, paddingMode, generator)
    {
    }

    private protected override Tensor Convolve(Tensor input, Padding padding) =>
        F.Conv2d(input, Weight, Bias, Stride.ToArray(), padding, Dilation.ToArray(), Groups);
}

/// <summary>A convolution over depth, height and width: [batch, channels, depth, height, width] to [batch, out, ...], as <see cref="F.Conv3d"/>.</summary>
public sealed class Conv3d : ConvolutionModule
{
    /// <summary>A convolution whose weight is [out, channels / groups, kd, kh, kw].</summary>
    /// <param name="inChannels">Channels of the input.</param>
    /// <param name="outChannels">Channels of the result.</param>
    /// <param name="kernelSize">One number for all axes, or one for each.</param>
    /// <param name="stride">1 unless given.</param>
    /// <param name="padding">On either side: 0 unless given, numbers, or "same" or "valid".</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="bias">Whether something is added to each channel.</param>
    /// <param name="paddingMode">zeros, reflect, replicate or circular.</param>
    /// <param name="generator">Where the start comes from.</param>
    public Conv3d(
        int inChannels, int outChannels, Extents kernelSize, Extents stride = default, Padding padding = default, Extents dilation = default,
        int groups = 1, bool bias = true, string paddingMode = "zeros", Generator? generator = null)
        : base(nameof(Conv3d), 3, inChannels, outChannels, kernelSize, stride, padding, dilation, groups, bias, paddingMode, generator)
    {
    }

    private protected override Tensor Convolve(Tensor input, Padding padding) =>
        F.Conv3d(input, Weight, Bias, Stride.ToArray(), padding, Dilation.ToArray(), Groups);
}

/// <summary>The transpose of a convolution over length: [batch, channels, length] to [batch, out, ...], as <see cref="F.ConvTranspose1d"/>.</summary>
public sealed class ConvTranspose1d : ConvolutionTransposeModule
{
    /// <summary>A transposed convolution whose weight is [channels, out / groups, k].</summary>
    /// <param name="inChannels">Channels of the input.</param>
    /// <param name="outChannels">Channels of the result.</param>
    /// <param name="kernelSize">One number for all axes, or one for each.</param>
    /// <param name="stride">1 unless given.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputPadding">Added to the end of each axis: 0 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="bias">Whether something is added to each channel.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="generator">Where the start comes from.</param>
    public ConvTranspose1d(
        int inChannels, int outChannels, Extents kernelSize, Extents stride = default, Extents padding = default, Extents outputPadding = default,
        int groups = 1, bool bias = true, Extents dilation = default, Generator? generator = null)
        : base(nameof(ConvTranspose1d), 1, inChannels, outChannels, kernelSize, stride, padding, outputPadding, groups, bias, dilation, generator)
    {
    }

    private protected override Tensor Transpose(Tensor input, Extents padding, Extents outputPadding) =>
        F.ConvTranspose1d(input, Weight, Bias, Stride.ToArray(), padding, outputPadding, Groups, Dilation.ToArray());
}

/// <summary>The transpose of a convolution over height and width: [batch, channels, height, width] to [batch, out, ...], as <see cref="F.ConvTranspose2d"/>.</summary>
public sealed class ConvTranspose2d : ConvolutionTransposeModule
{
    /// <summary>A transposed convolution whose weight is [channels, out / groups, kh, kw].</summary>
    /// <param name="inChannels">Channels of the input.</param>
    /// <param name="outChannels">Channels of the result.</param>
    /// <param name="kernelSize">One number for all axes, or one for each.</param>
    /// <param name="stride">1 unless given.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputPadding">Added to the end of each axis: 0 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="bias">Whether something is added to each channel.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="generator">Where the start comes from.</param>
    public ConvTranspose2d(
        int inChannels, int outChannels, Extents kernelSize, Extents stride = default, Extents padding = default, Extents outputPadding = default,
        int groups = 1, bool bias = true, Extents dilation = default, Generator? generator = null)
        : base(nameof(ConvTranspose2d), 2, inChannels, outChannels, kernelSize, stride, padding, outputPadding, groups, bias, dilation, generator)
    {
    }

    private protected override Tensor Transpose(Tensor input, Extents padding, Extents outputPadding) =>
        F.ConvTranspose2d(input, Weight, Bias, Stride.ToArray(), padding, outputPadding, Groups, Dilation.ToArray());
}

/// <summary>The transpose of a convolution over depth, height and width: [batch, channels, depth, height, width] to [batch, out, ...], as <see cref="F.ConvTranspose3d"/>.</summary>
public sealed class ConvTranspose3d : ConvolutionTransposeModule
{
    /// <summary>A transposed convolution whose weight is [channels, out / groups, kd, kh, kw].</summary>
    /// <param name="inChannels">Channels of the input.</param>
    /// <param name="outChannels">Channels of the result.</param>
    /// <param name="kernelSize">One number for all axes, or one for each.</param>
    /// <param name="stride">1 unless given.</param>
    /// <param name="padding">0 unless given.</param>
    /// <param name="outputPadding">Added to the end of each axis: 0 unless given.</param>
    /// <param name="groups">Into how many independent groups channels are divided.</param>
    /// <param name="bias">Whether something is added to each channel.</param>
    /// <param name="dilation">1 unless given.</param>
    /// <param name="generator">Where the start comes from.</param>
    public ConvTranspose3d(
        int inChannels, int outChannels, Extents kernelSize, Extents stride = default, Extents padding = default, Extents outputPadding = default,
        int groups = 1, bool bias = true, Extents dilation = default, Generator? generator = null)
        : base(nameof(ConvTranspose3d), 3, inChannels, outChannels, kernelSize, stride, padding, outputPadding, groups, bias, dilation, generator)
    {
    }

    private protected override Tensor Transpose(Tensor input, Extents padding, Extents outputPadding) =>
        F.ConvTranspose3d(input, Weight, Bias, Stride.ToArray(), padding, outputPadding, Groups, Dilation.ToArray());
}
