namespace Nanograd.CSharp;

/// <summary>Times <c>factor</c> when a metric has not improved for a while. It steps once an epoch, with the metric.</summary>
public sealed class ReduceLROnPlateau : LRScheduler
{
    private readonly Zoo.PlateauRates _plateau;
    private readonly double[] _least;

    /// <summary>A schedule for all groups.</summary>
    /// <param name="optimizer">Whose rates.</param>
    /// <param name="mode"><c>"min"</c>: less is better; <c>"max"</c>: more is.</param>
    /// <param name="factor">What the rate is multiplied with, from 0 to less than 1.</param>
    /// <param name="patience">How many epochs without improvement are tolerated.</param>
    /// <param name="threshold">By how much a metric must be better to count.</param>
    /// <param name="thresholdMode"><c>"rel"</c>: as a share of the best one; <c>"abs"</c>: as a difference to it.</param>
    /// <param name="cooldown">How many epochs after a reduction do not count.</param>
    /// <param name="minLr">The least rate; one, or one for each group. 0 if null.</param>
    /// <param name="eps">Smaller changes of the rate are not made.</param>
    public ReduceLROnPlateau(
        Optimizer optimizer,
        string mode = "min",
        double factor = 0.1,
        int patience = 10,
        double threshold = 1e-4,
        string thresholdMode = "rel",
        int cooldown = 0,
        IEnumerable<double>? minLr = null,
        double eps = 1e-8)
        : base(optimizer, -1)
    {
        _least = ForEach(optimizer, "minLr", minLr ?? [0]);
        _plateau = new(mode, factor, patience, threshold, thresholdMode, cooldown, eps);
        LastEpoch = 0;
        Note();
    }

    /// <summary>The best metric so far.</summary>
    public double Best => _plateau.Best;

    /// <summary>Epochs since then that count.</summary>
    public int NumBadEpochs => _plateau.BadEpochs;

    /// <summary>After an epoch, with the metric that was measured in it.</summary>
    public void Step(double metrics)
    {
        LastEpoch++;
        Set(_plateau.Next(metrics, [.. Optimizer.ParamGroups.Select(g => g.LearningRate)], _least));
    }

    /// <summary>After an epoch, with the metric that was measured in it: a scalar.</summary>
    public void Step(Tensor metrics) => Step(metrics.Item());

    /// <summary>Not possible: the rate depends on a metric.</summary>
    public override void Step() => throw new InvalidOperationException("ReduceLROnPlateau needs the metric of the epoch: Step(loss).");

    private protected override double Rate(int group, double current) => current;

    internal override void Save(Dictionary<string, double> state, string prefix)
    {
        base.Save(state, prefix);
        state[prefix + "best"] = _plateau.Best;
        state[prefix + "num_bad_epochs"] = _plateau.BadEpochs;
        state[prefix + "cooldown_counter"] = _plateau.CooldownLeft;
    }

    internal override void Load(IReadOnlyDictionary<string, double> state, string prefix)
    {
        base.Load(state, prefix);
        _plateau.Best = state[prefix + "best"];
        _plateau.BadEpochs = (int)state[prefix + "num_bad_epochs"];
        _plateau.CooldownLeft = (int)state[prefix + "cooldown_counter"];
    }
}
