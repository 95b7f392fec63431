namespace Nanograd.CSharp;

/// <summary>What normalisations of channels share: scales and shifts, and running statistics.</summary>
public abstract class ChannelNorm : Module
{
    private protected ChannelNorm(int numFeatures, double eps, double? momentum, bool affine, bool trackRunningStats)
    {
        if (numFeatures < 1)
        {
            throw new ArgumentException($"{GetType().Name}: the number of features must be at least 1, got {numFeatures}.");
        }

        (NumFeatures, Eps, Momentum) = (numFeatures, eps, momentum);
        if (affine)
        {
            Weight = new Parameter(Tensor.Ones(numFeatures));
            Bias = new Parameter(Tensor.Zeros(numFeatures));
        }

        if (trackRunningStats)
        {
            RunningMean = new Buffer(Tensor.Zeros(numFeatures));
            RunningVar = new Buffer(Tensor.Ones(numFeatures));
            NumBatchesTracked = new Buffer(Tensor.Zeros([], DType.Int64));
        }
    }

    /// <summary>The number of channels.</summary>
    public int NumFeatures { get; }

    /// <summary>What is added to variances.</summary>
    public double Eps { get; }

    /// <summary>The share of the newest batch in the running statistics; null: they are the averages of all batches.</summary>
    public double? Momentum { get; set; }

    /// <summary>[channels]: what the normalised values are multiplied by, or null.</summary>
    public Parameter? Weight { get; set; }

    /// <summary>[channels]: what is added to them, or null.</summary>
    public Parameter? Bias { get; set; }

    /// <summary>[channels]: the mean that evaluation uses, or null.</summary>
    public Buffer? RunningMean { get; }

    /// <summary>[channels]: the (unbiased) variance that evaluation uses, or null.</summary>
    public Buffer? RunningVar { get; }

    /// <summary>How many batches training has seen, an integer; or null.</summary>
    public Buffer? NumBatchesTracked { get; }

    /// <summary>Puts the running statistics back to mean 0 and variance 1.</summary>
    public void ResetRunningStats()
    {
        RunningMean?.Set(Tensor.Zeros(NumFeatures));
        RunningVar?.Set(Tensor.Ones(NumFeatures));
        NumBatchesTracked?.Set(Tensor.Zeros([], DType.Int64));
    }

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"{NumFeatures}, eps={Repr(Eps)}, momentum={(Momentum is { } m ? Repr(m) : "None")}, affine={Repr(Weight is not null)}, track_running_stats={Repr(RunningMean is not null)}";

    private protected void Check(Tensor input, int channelAxis, string shapes, params int[] ranks)
    {
        if (!ranks.Contains(input.Rank) || input.Size(channelAxis) != NumFeatures)
        {
            throw new ArgumentException(
                $"{GetType().Name}({NumFeatures}): the input must be {shapes} with {NumFeatures} channels, got {Nanograd.Shape.describe(input.Expression)}.");
        }
    }
}

/// <summary>Batch normalisation: each channel to mean 0 and variance 1 over the batch; in evaluation, by running statistics.</summary>
public abstract class BatchNorm : ChannelNorm
{
    private protected BatchNorm(int numFeatures, double eps, double? momentum, bool affine, bool trackRunningStats)
        : base(numFeatures, eps, momentum, affine, trackRunningStats)
    {
    }

    private protected Tensor Apply(Tensor input, string shapes, params int[] ranks)
    {
        Check(input, Math.Min(1, input.Rank - 1), shapes, ranks);
        var running = RunningMean is null ? null : new RunningStatistics(RunningMean, RunningVar!, NumBatchesTracked);
        return Called(input, F.BatchNormOf(input, running, Weight, Bias, Training, Momentum, Eps));
    }
}

/// <summary>Batch normalisation of [batch, channels] or [batch, channels, length] (Ioffe and Szegedy 2015).</summary>
/// <param name="numFeatures">The channels.</param>
/// <param name="eps">What is added to variances.</param>
/// <param name="momentum">The share of the newest batch in the running statistics; null: they are the averages of all batches.</param>
/// <param name="affine">Whether there are scales and shifts.</param>
/// <param name="trackRunningStats">False: the batch's own statistics are used always.</param>
public sealed class BatchNorm1d(int numFeatures, double eps = 1e-5, double? momentum = 0.1, bool affine = true, bool trackRunningStats = true)
    : BatchNorm(numFeatures, eps, momentum, affine, trackRunningStats)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(input, "[batch,channels] or [batch,channels,length]", 2, 3);
}

/// <summary>Batch normalisation of [batch, channels, height, width] (Ioffe and Szegedy 2015).</summary>
/// <param name="numFeatures">The channels.</param>
/// <param name="eps">What is added to variances.</param>
/// <param name="momentum">The share of the newest batch in the running statistics; null: they are the averages of all batches.</param>
/// <param name="affine">Whether there are scales and shifts.</param>
/// <param name="trackRunningStats">False: the batch's own statistics are used always.</param>
public sealed class BatchNorm2d(int numFeatures, double eps = 1e-5, double? momentum = 0.1, bool affine = true, bool trackRunningStats = true)
    : BatchNorm(numFeatures, eps, momentum, affine, trackRunningStats)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(input, "[batch,channels,height,width]", 4);
}

/// <summary>Batch normalisation of [batch, channels, depth, height, width] (Ioffe and Szegedy 2015).</summary>
/// <param name="numFeatures">The channels.</param>
/// <param name="eps">What is added to variances.</param>
/// <param name="momentum">The share of the newest batch in the running statistics; null: they are the averages of all batches.</param>
/// <param name="affine">Whether there are scales and shifts.</param>
/// <param name="trackRunningStats">False: the batch's own statistics are used always.</param>
public sealed class BatchNorm3d(int numFeatures, double eps = 1e-5, double? momentum = 0.1, bool affine = true, bool trackRunningStats = true)
    : BatchNorm(numFeatures, eps, momentum, affine, trackRunningStats)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(input, "[batch,channels,depth,height,width]", 5);
}
