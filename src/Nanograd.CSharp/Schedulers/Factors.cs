namespace Nanograd.CSharp;

/// <summary>The first rate times a function of the epoch.</summary>
public sealed class LambdaLR : LRScheduler
{
    private readonly Func<int, double>[] _factors;

    /// <summary>A schedule for all groups.</summary>
    /// <param name="optimizer">Whose rates.</param>
    /// <param name="lrLambda">From the epoch to the factor.</param>
    /// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
    public LambdaLR(Optimizer optimizer, Func<int, double> lrLambda, int lastEpoch = -1)
        : this(optimizer, [.. optimizer.ParamGroups.Select(_ => lrLambda)], lastEpoch)
    {
    }

    /// <summary>A schedule with a function for each group.</summary>
    public LambdaLR(Optimizer optimizer, IEnumerable<Func<int, double>> lrLambda, int lastEpoch = -1)
        : base(optimizer, lastEpoch)
    {
        _factors = PerGroup(optimizer, lrLambda);
        Begin();
    }

    internal static Func<int, double>[] PerGroup(Optimizer optimizer, IEnumerable<Func<int, double>> functions)
    {
        Func<int, double>[] given = [.. functions];
        return given.Length == optimizer.ParamGroups.Count ? given
            : throw new ArgumentException($"lrLambda must have one function for each of the {optimizer.ParamGroups.Count} groups, got {given.Length}.");
    }

    private protected override double Rate(int group, double current) => BaseLrs[group] * _factors[group](LastEpoch);
}

/// <summary>Every rate times a function of the epoch.</summary>
public sealed class MultiplicativeLR : LRScheduler
{
    private readonly Func<int, double>[] _factors;

    /// <summary>A schedule for all groups.</summary>
    /// <param name="optimizer">Whose rates.</param>
    /// <param name="lrLambda">From the epoch to the factor.</param>
    /// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
    public MultiplicativeLR(Optimizer optimizer, Func<int, double> lrLambda, int lastEpoch = -1)
        : this(optimizer, [.. optimizer.ParamGroups.Select(_ => lrLambda)], lastEpoch)
    {
    }

    /// <summary>A schedule with a function for each group.</summary>
    public MultiplicativeLR(Optimizer optimizer, IEnumerable<Func<int, double>> lrLambda, int lastEpoch = -1)
        : base(optimizer, lastEpoch)
    {
        _factors = LambdaLR.PerGroup(optimizer, lrLambda);
        Begin();
    }

    private protected override double Rate(int group, double current) => LastEpoch > 0 ? current * _factors[group](LastEpoch) : current;
}

/// <summary>Times <c>gamma</c> every <c>stepSize</c> epochs.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="stepSize">Epochs between two changes.</param>
/// <param name="gamma">The factor.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class StepLR(Optimizer optimizer, int stepSize, double gamma = 0.1, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.StepLR(rate, stepSize, gamma));

/// <summary>Times <c>gamma</c> at each milestone.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="milestones">Epochs.</param>
/// <param name="gamma">The factor.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class MultiStepLR(Optimizer optimizer, IEnumerable<int> milestones, double gamma = 0.1, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.MultiStepLR(rate, [.. milestones.Select(m => (long)m)], gamma));

/// <summary>Times <c>factor</c> in the first epochs, then not.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="factor">The factor, from 0 to 1.</param>
/// <param name="totalIters">How many epochs.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class ConstantLR(Optimizer optimizer, double factor = 1.0 / 3, int totalIters = 5, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.ConstantLR(rate, factor, totalIters));

/// <summary>Times a factor that changes by the same amount every epoch: a warm-up.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="startFactor">The first factor, from 0 to 1.</param>
/// <param name="endFactor">The last factor, from 0 to 1.</param>
/// <param name="totalIters">How many epochs it takes.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class LinearLR(Optimizer optimizer, double startFactor = 1.0 / 3, double endFactor = 1, int totalIters = 5, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.LinearLR(rate, startFactor, endFactor, totalIters));

/// <summary>Times <c>gamma</c> every epoch.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="gamma">The factor.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class ExponentialLR(Optimizer optimizer, double gamma, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.ExponentialLR(rate, gamma));

/// <summary>Times (1 - epoch / totalIters)^power; then 0.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="totalIters">How many epochs it takes.</param>
/// <param name="power">The power.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class PolynomialLR(Optimizer optimizer, int totalIters = 5, double power = 1, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.PolynomialLR(rate, totalIters, power));

/// <summary>Down along a cosine (Loshchilov and Hutter 2017), and up again after <c>tMax</c> epochs.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="tMax">Epochs until the least rate.</param>
/// <param name="etaMin">The least rate.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class CosineAnnealingLR(Optimizer optimizer, int tMax, double etaMin = 0, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.CosineAnnealingLR(rate, tMax, etaMin));

/// <summary>Down along a cosine, and then from the top again, in t0, t0 * tMult, t0 * tMult², ... epochs (Loshchilov and Hutter 2017).</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="t0">Epochs until the first restart.</param>
/// <param name="tMult">By what the epochs between restarts are multiplied.</param>
/// <param name="etaMin">The least rate.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class CosineAnnealingWarmRestarts(Optimizer optimizer, int t0, int tMult = 1, double etaMin = 0, int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.CosineAnnealingWarmRestarts(rate, t0, tMult, etaMin))
{
    private double _between;

    /// <summary>Goes to a point between epochs: <c>Step(epoch + i / (double)batches)</c>. Step() goes on from there, an epoch further.</summary>
    public void Step(double epoch)
    {
        if (!(epoch >= 0))
        {
            throw new ArgumentException($"Step: the epoch must be at least 0, got {epoch}.");
        }

        (LastEpoch, _between) = ((int)Math.Floor(epoch), epoch - Math.Floor(epoch));
        Apply();
    }

    private protected override double Rate(int group, double current) => At(group, LastEpoch + _between);

    internal override void Jump(int epoch) => Step((double)epoch);

    internal override void Save(Dictionary<string, double> state, string prefix)
    {
        base.Save(state, prefix);
        state[prefix + "T_cur"] = LastEpoch + _between;
    }

    internal override void Load(IReadOnlyDictionary<string, double> state, string prefix)
    {
        base.Load(state, prefix);
        _between = state[prefix + "T_cur"] - LastEpoch;
    }
}

/// <summary>From whatever the rate is to the rate of averaging, in some epochs (Izmailov et al. 2018): see <see cref="AveragedModel"/>.</summary>
/// <param name="optimizer">Whose rates.</param>
/// <param name="swaLr">The rate of averaging.</param>
/// <param name="annealEpochs">How many epochs it takes.</param>
/// <param name="annealStrategy"><c>"cos"</c> or <c>"linear"</c>.</param>
/// <param name="lastEpoch">The epoch to go on after; -1: from the start.</param>
public sealed class SWALR(Optimizer optimizer, double swaLr, int annealEpochs = 10, string annealStrategy = "cos", int lastEpoch = -1)
    : FormulaLR(optimizer, lastEpoch, rate => Zoo.RateSchedule.SwaLR(rate, swaLr, annealEpochs, annealStrategy));
