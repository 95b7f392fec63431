namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>
    /// Channels become pixels: [..., c r², h, w] to [..., c, h r, w r] (Shi et al. 2016). Of r² neighbouring channels, each becomes one
    /// place of an r by r square.
    /// </summary>
    /// <param name="input">[..., channels, height, width].</param>
    /// <param name="upscaleFactor">r, whose square divides the channels.</param>
    /// <exception cref="ArgumentException">The channels are no multiple of r².</exception>
    public static Tensor PixelShuffle(Tensor input, int upscaleFactor)
    {
        var r = upscaleFactor;
        if (r < 1 || input.Rank < 3 || input.Size(-3) % (r * r) != 0)
        {
            throw new ArgumentException($"PixelShuffle: the channels of [..., channels, height, width] must be a multiple of {r} x {r}, got {Nanograd.Shape.describe(input.Expression)}.");
        }

        int[] batch = [.. input.Shape.SkipLast(3)];
        int channels = input.Size(-3) / (r * r), height = input.Size(-2), width = input.Size(-1), n = batch.Length;
        return input.Reshape([.. batch, channels, r, r, height, width])
            .Permute([.. Enumerable.Range(0, n), n, n + 3, n + 1, n + 4, n + 2])
            .Reshape([.. batch, channels, height * r, width * r]);
    }

    /// <summary>The opposite of <see cref="PixelShuffle"/>: [..., c, h r, w r] to [..., c r², h, w].</summary>
    /// <param name="input">[..., channels, height, width].</param>
    /// <param name="downscaleFactor">r, which divides height and width.</param>
    /// <exception cref="ArgumentException">Height or width is no multiple of r.</exception>
    public static Tensor PixelUnshuffle(Tensor input, int downscaleFactor)
    {
        var r = downscaleFactor;
        if (r < 1 || input.Rank < 3 || input.Size(-2) % r != 0 || input.Size(-1) % r != 0)
        {
            throw new ArgumentException($"PixelUnshuffle: height and width of [..., channels, height, width] must be multiples of {r}, got {Nanograd.Shape.describe(input.Expression)}.");
        }

        int[] batch = [.. input.Shape.SkipLast(3)];
        int channels = input.Size(-3), height = input.Size(-2) / r, width = input.Size(-1) / r, n = batch.Length;
        return input.Reshape([.. batch, channels, height, r, width, r])
            .Permute([.. Enumerable.Range(0, n), n, n + 2, n + 4, n + 1, n + 3])
            .Reshape([.. batch, channels * r * r, height, width]);
    }

    /// <summary>Channels take turns: those of all groups in order, the first of each, then the second, ... (Zhang et al. 2018).</summary>
    /// <param name="input">[batch, channels, ...].</param>
    /// <param name="groups">How many groups; it divides the channels.</param>
    /// <exception cref="ArgumentException">The channels are no multiple of the groups.</exception>
    public static Tensor ChannelShuffle(Tensor input, int groups)
    {
        if (groups < 1 || input.Rank < 2 || input.Shape[1] % groups != 0)
        {
            throw new ArgumentException($"ChannelShuffle: the channels of [batch, channels, ...] must be a multiple of {groups}, got {Nanograd.Shape.describe(input.Expression)}.");
        }

        int[] shape = [.. input.Shape];
        return input.Reshape([shape[0], groups, shape[1] / groups, .. shape[2..]]).SwapAxes(1, 2).Reshape(shape);
    }
}

/// <summary>The input itself; arguments of any kind are accepted and ignored, as in PyTorch.</summary>
public sealed class Identity : Module
{
    /// <summary>The identity.</summary>
    public Identity(params object?[] ignored) => _ = ignored;

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, input);
}

/// <summary>Neighbouring axes become one: all but the first, unless told otherwise.</summary>
/// <param name="startDim">The first of them.</param>
/// <param name="endDim">The last of them.</param>
public sealed class Flatten(int startDim = 1, int endDim = -1) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, input.Flatten(startDim, endDim));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"start_dim={startDim}, end_dim={endDim}";
}

/// <summary>One axis becomes several.</summary>
/// <param name="dim">The axis.</param>
/// <param name="unflattenedSize">The extents that it is divided into; one may be -1, for the rest.</param>
public sealed class Unflatten(int dim, int[] unflattenedSize) : Module
{
    private readonly int[] _sizes = [.. unflattenedSize];

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, input.Unflatten(dim, _sizes));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"dim={dim}, unflattened_size={Repr(_sizes)}";
}

/// <summary>Channels become pixels, as <see cref="F.PixelShuffle"/>.</summary>
/// <param name="upscaleFactor">By how much height and width grow.</param>
public sealed class PixelShuffle(int upscaleFactor) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.PixelShuffle(input, upscaleFactor));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"upscale_factor={upscaleFactor}";
}

/// <summary>Pixels become channels, as <see cref="F.PixelUnshuffle"/>.</summary>
/// <param name="downscaleFactor">By how much height and width shrink.</param>
public sealed class PixelUnshuffle(int downscaleFactor) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.PixelUnshuffle(input, downscaleFactor));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"downscale_factor={downscaleFactor}";
}

/// <summary>Channels take turns, as <see cref="F.ChannelShuffle"/>.</summary>
/// <param name="groups">How many groups.</param>
public sealed class ChannelShuffle(int groups) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.ChannelShuffle(input, groups));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"groups={groups}";
}
