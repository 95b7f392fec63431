namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>Each channel of [batch, channels, ...] to mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015).</summary>
    /// <param name="input">[batch, channels, ...].</param>
    /// <param name="runningMean">[channels]: what evaluation normalises by. In training it is updated and must be a <see cref="Buffer"/>; null: none is kept.</param>
    /// <param name="runningVar">[channels], likewise.</param>
    /// <param name="weight">[channels]: what the normalised values are multiplied by.</param>
    /// <param name="bias">[channels]: what is added to them.</param>
    /// <param name="training">Whether the batch's own statistics are used, as they are where there are no running ones.</param>
    /// <param name="momentum">The share of this batch in the new running statistics.</param>
    /// <param name="eps">What is added to the variance.</param>
    public static Tensor BatchNorm(
        Tensor input, Tensor? runningMean = null, Tensor? runningVar = null, Tensor? weight = null, Tensor? bias = null,
        bool training = false, double momentum = 0.1, double eps = 1e-5) =>
        BatchNormOf(input, RunningStatistics.Of("BatchNorm", runningMean, runningVar, training), weight, bias, training, momentum, eps);

    internal static Tensor BatchNormOf(Tensor input, RunningStatistics? running, Tensor? weight, Tensor? bias, bool training, double? momentum, double eps)
    {
        if (!training && running is not null)
        {
            return Tensor.Make(
                n => Zoo.Norms.BatchNormEvaluate(n[0]!, n[1]!, n[2]!, n[3]!, n[4]!, eps), input, weight, bias, running.Mean, running.Variance);
        }

        return RunningStatistics.Updating(running, training, (mean, variance, batches) => Tensor.MakeAll(
            n => Zoo.Norms.BatchNormTrain(n[0]!, n[1]!, n[2]!, mean!, variance!, batches!, momentum, eps), input, weight, bias));
    }

    /// <summary>Each channel of each example to mean 0 and variance 1 over its spatial axes (Ulyanov et al. 2016).</summary>
    /// <param name="input">[batch, channels, spatial...].</param>
    /// <param name="runningMean">[channels]: updated, if it is given and <paramref name="useInputStats"/>, and then a <see cref="Buffer"/>.</param>
    /// <param name="runningVar">[channels], likewise.</param>
    /// <param name="weight">[channels]: what the normalised values are multiplied by.</param>
    /// <param name="bias">[channels]: what is added to them.</param>
    /// <param name="useInputStats">False: normalises by the running statistics.</param>
    /// <param name="momentum">The share of this batch in the new running statistics.</param>
    /// <param name="eps">What is added to the variance.</param>
    public static Tensor InstanceNorm(
        Tensor input, Tensor? runningMean = null, Tensor? runningVar = null, Tensor? weight = null, Tensor? bias = null,
        bool useInputStats = true, double momentum = 0.1, double eps = 1e-5) =>
        InstanceNormOf(input, RunningStatistics.Of("InstanceNorm", runningMean, runningVar, useInputStats), weight, bias, useInputStats, momentum, eps);

    internal static Tensor InstanceNormOf(Tensor input, RunningStatistics? running, Tensor? weight, Tensor? bias, bool training, double? momentum, double eps)
    {
        if (!training && running is not null)
        {
            return BatchNormOf(input, running, weight, bias, false, momentum, eps);
        }

        return RunningStatistics.Updating(training ? running : null, training, (mean, variance, batches) => Tensor.MakeAll(
            n => Zoo.Norms.InstanceNorm(n[0]!, n[1]!, n[2]!, mean!, variance!, batches!, momentum, eps), input, weight, bias));
    }

    /// <summary>The channels of each group together to mean 0 and variance 1, for each example (Wu and He 2018).</summary>
    /// <param name="input">[batch, channels, ...].</param>
    /// <param name="numGroups">A divisor of the channels.</param>
    /// <param name="weight">[channels]: what the normalised values are multiplied by.</param>
    /// <param name="bias">[channels]: what is added to them.</param>
    /// <param name="eps">What is added to the variance.</param>
    public static Tensor GroupNorm(Tensor input, int numGroups, Tensor? weight = null, Tensor? bias = null, double eps = 1e-5) =>
        Tensor.Make(n => Zoo.Norms.GroupNorm(n[0]!, numGroups, n[1]!, n[2]!, eps), input, weight, bias);

    /// <summary>Normalises the last axes, which must have the extents <paramref name="normalizedShape"/>.</summary>
    public static Tensor LayerNorm(Tensor input, int[] normalizedShape, Tensor? weight = null, Tensor? bias = null, double eps = 1e-5)
    {
        var axes = LastAxes("LayerNorm", input, normalizedShape);
        return Tensor.Make(n => Zoo.Layers.LayerNorm(n[0]!, axes, n[1], n[2], eps), input, weight, bias);
    }

    /// <summary>x / sqrt(mean(x²) + eps) over the last axes, times the weight (Zhang and Sennrich 2019).</summary>
    /// <param name="input">[..., normalizedShape].</param>
    /// <param name="normalizedShape">The extents of the last axes.</param>
    /// <param name="weight">What the result is multiplied by, of these extents.</param>
    /// <param name="eps">What is added to the mean square; unless given, the distance from 1 to the next number of the input's type.</param>
    public static Tensor RmsNorm(Tensor input, int[] normalizedShape, Tensor? weight = null, double? eps = null)
    {
        var axes = LastAxes("RmsNorm", input, normalizedShape);
        var added = eps ?? input.DType switch
        {
            DType.Float64 => Math.Pow(2, -52),
            DType.Float16 => Math.Pow(2, -10),
            DType.BFloat16 => Math.Pow(2, -7),
            _ => Math.Pow(2, -23),
        };
        return Tensor.Make(n => Zoo.Norms.RmsNorm(n[0]!, axes, n[1]!, added), input, weight);
    }

    /// <summary>x over (k + alpha times the mean square of the channels around)^beta (Krizhevsky et al. 2012).</summary>
    /// <param name="input">[batch, channels, ...].</param>
    /// <param name="size">How many channels around each count.</param>
    /// <param name="alpha">The weight of their mean square.</param>
    /// <param name="beta">The exponent.</param>
    /// <param name="k">What is added.</param>
    public static Tensor LocalResponseNorm(Tensor input, int size, double alpha = 1e-4, double beta = 0.75, double k = 1) =>
        Tensor.Make(n => Zoo.Norms.LocalResponseNorm(n[0]!, size, alpha, beta, k), input);

    internal static int[] CheckNormalized(string what, int[] normalizedShape) => normalizedShape.Length > 0 && normalizedShape.All(n => n > 0)
        ? [.. normalizedShape]
        : throw new ArgumentException($"{what}: normalizedShape must have at least one extent, all positive, got [{string.Join(",", normalizedShape)}].");

    private static int LastAxes(string what, Tensor input, int[] normalizedShape)
    {
        var shape = input.Shape;
        var axes = normalizedShape.Length;
        return axes > 0 && axes <= shape.Count && shape.Skip(shape.Count - axes).SequenceEqual(normalizedShape)
            ? axes
            : throw new ArgumentException(
                $"{what}: the last axes must be [{string.Join(",", normalizedShape)}], got {Nanograd.Shape.describe(input.Expression)}.");
    }
}

/// <summary>Means and variances that go on from batch to batch. Those of modules are buffers, and count the batches.</summary>
internal sealed record RunningStatistics(Tensor Mean, Tensor Variance, Buffer? Batches)
{
    public static RunningStatistics? Of(string what, Tensor? mean, Tensor? variance, bool updating)
    {
        if (mean is null != variance is null)
        {
            throw new ArgumentException($"{what}: give both a running mean and a running variance, or neither.");
        }

        if (updating && mean is not null && (mean is not Buffer || variance is not Buffer))
        {
            throw new ArgumentException($"{what}: running statistics that training updates must be Buffers.");
        }

        return mean is null ? null : new(mean, variance!, null);
    }

    /// <summary>Runs what gives a result and, where there are running statistics, the next ones.</summary>
    public static Tensor Updating(RunningStatistics? running, bool training, Func<Node?, Node?, Node?, Tensor[]> compute)
    {
        if (running is null)
        {
            return compute(null, null, null)[0];
        }

        var before = running.Batches?.Expression ?? Copies.Scalar(0L);
        var results = compute(running.Mean.Expression, running.Variance.Expression, before);
        if (training)
        {
            ((Buffer)running.Mean).Update(results[1]);
            ((Buffer)running.Variance).Update(results[2]);
            running.Batches?.Put(Copies.Scalar(running.Batches.Item<long>() + 1));
        }

        return results[0];
    }
}
