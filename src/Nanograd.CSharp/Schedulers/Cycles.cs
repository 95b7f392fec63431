namespace Nanograd.CSharp;

/// <summary>A schedule that moves momentum against the rate: SGD's momentum, or the first beta of Adam and its like.</summary>
public abstract class CycleLR : LRScheduler
{
    private readonly bool _cycleMomentum;
    private readonly string _momentum;
    private (Zoo.RateSchedule Rate, Zoo.RateSchedule Momentum)[] _cycles = [];

    private protected CycleLR(Optimizer optimizer, int lastEpoch, bool cycleMomentum)
        : base(optimizer, lastEpoch)
    {
        _cycleMomentum = cycleMomentum;
        _momentum = optimizer.Defaults.ContainsKey("momentum") ? "momentum" : "beta1";
        if (cycleMomentum && !optimizer.Defaults.ContainsKey(_momentum))
        {
            throw new ArgumentException($"{GetType().Name}: {optimizer.GetType().Name} has neither momentum nor beta1; pass cycleMomentum: false.");
        }
    }

    private protected void Begin(IEnumerable<(Zoo.RateSchedule, Zoo.RateSchedule)> cycles)
    {
        _cycles = [.. cycles];
        Begin();
    }

    internal override void Apply()
    {
        base.Apply();
        for (var i = 0; i < _cycles.Length && _cycleMomentum; i++)
        {
            Optimizer.ParamGroups[i][_momentum] = _cycles[i].Momentum.At(LastEpoch);
        }
    }

    private protected override double Rate(int group, double current) => _cycles[group].Rate.At(LastEpoch);
}

/// <summary>Up and down between two rates, again and again (Smith 2017); it steps once a batch.</summary>
public sealed class CyclicLR : CycleLR
{
    /// <summary>A schedule with the same rates for all groups.</summary>
    /// <param name="optimizer">Whose rates.</param>
    /// <param name="baseLr">The least rate.</param>
    /// <param name="maxLr">The largest rate.</param>
    /// <param name="stepSizeUp">Steps up.</param>
    /// <param name="stepSizeDown">Steps down; as many as up if null.</param>
    /// <param name="mode"><c>"triangular"</c>: all cycles are alike; <c>"triangular2"</c>: each is half as high as the one before; <c>"exp_range"</c>: gamma^step as high.</param>
    /// <param name="gamma">For exp_range.</param>
    /// <param name="cycleMomentum">Whether momentum moves against the rate.</param>
    /// <param name="baseMomentum">The least momentum.</param>
    /// <param name="maxMomentum">The largest momentum.</param>
    /// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
    public CyclicLR(
        Optimizer optimizer,
        double baseLr,
        double maxLr,
        int stepSizeUp = 2000,
        int? stepSizeDown = null,
        string mode = "triangular",
        double gamma = 1,
        bool cycleMomentum = true,
        double baseMomentum = 0.8,
        double maxMomentum = 0.9,
        int lastEpoch = -1)
        : this(optimizer, [baseLr], [maxLr], stepSizeUp, stepSizeDown, mode, gamma, cycleMomentum, baseMomentum, maxMomentum, lastEpoch)
    {
    }

    /// <summary>A schedule with rates for each group.</summary>
    public CyclicLR(
        Optimizer optimizer,
        IEnumerable<double> baseLr,
        IEnumerable<double> maxLr,
        int stepSizeUp = 2000,
        int? stepSizeDown = null,
        string mode = "triangular",
        double gamma = 1,
        bool cycleMomentum = true,
        double baseMomentum = 0.8,
        double maxMomentum = 0.9,
        int lastEpoch = -1)
        : base(optimizer, lastEpoch, cycleMomentum)
    {
        double[] low = ForEach(optimizer, "baseLr", baseLr), high = ForEach(optimizer, "maxLr", maxLr);
        BaseLrs = low;
        Begin(low.Zip(high, (least, most) =>
        {
            var (rate, momentum) = Zoo.RateSchedule.CyclicLR(least, most, stepSizeUp, stepSizeDown ?? stepSizeUp, mode, gamma, baseMomentum, maxMomentum);
            return (rate, momentum);
        }));
    }
}

/// <summary>Once up to a large rate and down to almost nothing (Smith and Topin 2018); it steps once a batch.</summary>
public sealed class OneCycleLR : CycleLR
{
    private readonly int _total;

    /// <summary>A schedule with the same rates for all groups.</summary>
    /// <param name="optimizer">Whose rates.</param>
    /// <param name="maxLr">The largest rate.</param>
    /// <param name="totalSteps">How many steps the cycle has; or give the next two.</param>
    /// <param name="epochs">The number of epochs.</param>
    /// <param name="stepsPerEpoch">The number of batches in an epoch.</param>
    /// <param name="pctStart">The share of the steps in which the rate rises.</param>
    /// <param name="annealStrategy"><c>"cos"</c> or <c>"linear"</c>.</param>
    /// <param name="cycleMomentum">Whether momentum moves against the rate.</param>
    /// <param name="baseMomentum">The least momentum.</param>
    /// <param name="maxMomentum">The largest momentum.</param>
    /// <param name="divFactor">The first rate is the largest one divided by this.</param>
    /// <param name="finalDivFactor">The last rate is the first one divided by this.</param>
    /// <param name="threePhase">Down to the first rate as fast as up, then on to the last one.</param>
    /// <param name="lastEpoch">The step to go on after; -1: from the start.</param>
    public OneCycleLR(
        Optimizer optimizer,
        double maxLr,
        int? totalSteps = null,
        int? epochs = null,
        int? stepsPerEpoch = null,
        double pctStart = 0.3,
        string annealStrategy = "cos",
        bool cycleMomentum = true,
        double baseMomentum = 0.85,
        double maxMomentum = 0.95,
        double divFactor = 25,
        double finalDivFactor = 1e4,
        bool threePhase = false,
        int lastEpoch = -1)
        : this(optimizer, [maxLr], totalSteps, epochs, stepsPerEpoch, pctStart, annealStrategy, cycleMomentum, baseMomentum, maxMomentum, divFactor, finalDivFactor, threePhase, lastEpoch)
    {
    }

    /// <summary>A schedule with rates for each group.</summary>
    public OneCycleLR(
        Optimizer optimizer,
        IEnumerable<double> maxLr,
        int? totalSteps = null,
        int? epochs = null,
        int? stepsPerEpoch = null,
        double pctStart = 0.3,
        string annealStrategy = "cos",
        bool cycleMomentum = true,
        double baseMomentum = 0.85,
        double maxMomentum = 0.95,
        double divFactor = 25,
        double finalDivFactor = 1e4,
        bool threePhase = false,
        int lastEpoch = -1)
        : base(optimizer, lastEpoch, cycleMomentum)
    {
        _total = totalSteps ?? ((epochs * stepsPerEpoch) ?? throw new ArgumentException("OneCycleLR needs totalSteps, or epochs and stepsPerEpoch."));
        var largest = ForEach(optimizer, "maxLr", maxLr);
        BaseLrs = [.. largest.Select(rate => rate / divFactor)];
        for (var i = 0; i < largest.Length && lastEpoch == -1; i++)
        {
            optimizer.ParamGroups[i].InitialLr = BaseLrs[i];
        }

        Begin(largest.Select(rate =>
        {
            var (lr, momentum) = Zoo.RateSchedule.OneCycleLR(rate, _total, pctStart, annealStrategy, baseMomentum, maxMomentum, divFactor, finalDivFactor, threePhase);
            return (lr, momentum);
        }));
    }

    internal override void Apply()
    {
        if (LastEpoch > _total)
        {
            LastEpoch--;
            throw new InvalidOperationException($"OneCycleLR: its cycle has {_total} steps, and all of them were made.");
        }

        base.Apply();
    }
}
