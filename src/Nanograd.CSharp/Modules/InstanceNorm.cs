namespace Nanograd.CSharp;

/// <summary>Instance normalisation: each channel of each example to mean 0 and variance 1 over its spatial axes.</summary>
/// <remarks>As in PyTorch, its batches are not counted, and without a momentum the running statistics stay as they are.</remarks>
public abstract class InstanceNorm : ChannelNorm
{
    private protected InstanceNorm(int numFeatures, double eps, double? momentum, bool affine, bool trackRunningStats)
        : base(numFeatures, eps, momentum, affine, trackRunningStats)
    {
    }

    /// <summary>With or without an axis of examples.</summary>
    private protected Tensor Apply(Tensor input, string spatial, int axes)
    {
        Check(input, Math.Max(-axes - 1, -input.Rank), $"[batch,channels,{spatial}] or [channels,{spatial}]", axes + 1, axes + 2);
        var batched = input.Rank == axes + 2;
        var running = RunningMean is null ? null : new RunningStatistics(RunningMean, RunningVar!, null);
        var result = F.InstanceNormOf(batched ? input : input.Unsqueeze(0), running, Weight, Bias, Training || running is null, Momentum ?? 0, Eps);
        return Called(input, batched ? result : result.Squeeze(0));
    }
}

/// <summary>Instance normalisation of [batch, channels, length] (Ulyanov et al. 2016).</summary>
/// <param name="numFeatures">The channels.</param>
/// <param name="eps">What is added to variances.</param>
/// <param name="momentum">The share of the newest batch in the running statistics; null: they are the averages of all batches.</param>
/// <param name="affine">Whether there are scales and shifts.</param>
/// <param name="trackRunningStats">Whether there are running statistics, for evaluation.</param>
public sealed class InstanceNorm1d(int numFeatures, double eps = 1e-5, double? momentum = 0.1, bool affine = false, bool trackRunningStats = false)
    : InstanceNorm(numFeatures, eps, momentum, affine, trackRunningStats)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(input, "length", 1);
}

/// <summary>Instance normalisation of [batch, channels, height, width] (Ulyanov et al. 2016).</summary>
/// <param name="numFeatures">The channels.</param>
/// <param name="eps">What is added to variances.</param>
/// <param name="momentum">The share of the newest batch in the running statistics; null: they are the averages of all batches.</param>
/// <param name="affine">Whether there are scales and shifts.</param>
/// <param name="trackRunningStats">Whether there are running statistics, for evaluation.</param>
public sealed class InstanceNorm2d(int numFeatures, double eps = 1e-5, double? momentum = 0.1, bool affine = false, bool trackRunningStats = false)
    : InstanceNorm(numFeatures, eps, momentum, affine, trackRunningStats)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(input, "height,width", 2);
}

/// <summary>Instance normalisation of [batch, channels, depth, height, width] (Ulyanov et al. 2016).</summary>
/// <param name="numFeatures">The channels.</param>
/// <param name="eps">What is added to variances.</param>
/// <param name="momentum">The share of the newest batch in the running statistics; null: they are the averages of all batches.</param>
/// <param name="affine">Whether there are scales and shifts.</param>
/// <param name="trackRunningStats">Whether there are running statistics, for evaluation.</param>
public sealed class InstanceNorm3d(int numFeatures, double eps = 1e-5, double? momentum = 0.1, bool affine = false, bool trackRunningStats = false)
    : InstanceNorm(numFeatures, eps, momentum, affine, trackRunningStats)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(input, "depth,height,width", 3);
}
