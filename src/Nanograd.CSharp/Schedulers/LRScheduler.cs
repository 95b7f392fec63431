using System.Globalization;

namespace Nanograd.CSharp;

/// <summary>
/// Changes the learning rates of an optimizer's groups. <see cref="Step()"/> comes after the optimizer's, once an epoch or once
/// a step, whatever the schedule counts. Schedulers of one optimizer multiply what they do, as PyTorch's do: each changes the
/// rate it finds. A rate is an input of the compiled step, so that its changes cost nothing.
/// </summary>
public abstract class LRScheduler
{
    private double[] _last = [];

    private protected LRScheduler(Optimizer optimizer, int lastEpoch)
    {
        Optimizer = optimizer;
        LastEpoch = lastEpoch;
        foreach (var group in optimizer.ParamGroups)
        {
            if (lastEpoch == -1)
            {
                group.InitialLr ??= group.LearningRate;
            }
            else if (group.InitialLr is null)
            {
                throw new ArgumentException(
                    $"A schedule that goes on at epoch {lastEpoch} needs to know the first rates: load the optimizer's StateDict before, or begin with lastEpoch: -1.");
            }
        }

        BaseLrs = [.. optimizer.ParamGroups.Select(g => g.InitialLr!.Value)];
    }

    /// <summary>The optimizer whose rates are changed.</summary>
    public Optimizer Optimizer { get; }

    /// <summary>The rates of all groups before any schedule changed them.</summary>
    public IReadOnlyList<double> BaseLrs { get; private protected set; }

    /// <summary>How many times <see cref="Step()"/> was called.</summary>
    public int LastEpoch { get; internal set; }

    /// <summary>The rates that this schedule set last, group by group.</summary>
    public IReadOnlyList<double> GetLastLr() => _last;

    /// <summary>Goes on to the next epoch: sets the rates of the steps that follow.</summary>
    public virtual void Step()
    {
        LastEpoch++;
        Apply();
    }

    /// <summary>Sets the rates of the present epoch.</summary>
    internal virtual void Apply() => Set([.. Optimizer.ParamGroups.Select((g, i) => Rate(i, g.LearningRate))]);

    /// <summary>What a constructor ends with: the rates of the first steps.</summary>
    internal void Begin() => Step();

    /// <summary>The rates of an epoch as if it were the first thing that happens: what SequentialLR begins a part with.</summary>
    internal virtual void Jump(int epoch)
    {
        LastEpoch = epoch;
        Apply();
    }

    /// <summary>The rate of one group in the present epoch.</summary>
    private protected abstract double Rate(int group, double current);

    private protected void Set(double[] rates)
    {
        for (var i = 0; i < rates.Length; i++)
        {
            Optimizer.ParamGroups[i].LearningRate = rates[i];
        }

        Note();
    }

    /// <summary>Remembers the rates of the optimizer as those set last.</summary>
    private protected void Note() => _last = [.. Optimizer.ParamGroups.Select(g => g.LearningRate)];

    /// <summary>One number for all groups, or one for each.</summary>
    private protected static double[] ForEach(Optimizer optimizer, string name, IEnumerable<double> values)
    {
        double[] given = [.. values];
        var count = optimizer.ParamGroups.Count;
        return given.Length == count ? given
            : given.Length == 1 ? [.. Enumerable.Repeat(given[0], count)]
            : throw new ArgumentException($"{name} must have one value for each of the {count} groups, got {given.Length}.");
    }

    // ------------------------------------------------------------------------------------------------ state

    /// <summary>The numbers that the schedule remembers, as scalars by PyTorch's names: <c>last_epoch</c>, <c>base_lrs.0</c>, <c>_last_lr.0</c>, ...</summary>
    public IReadOnlyDictionary<string, Tensor> StateDict()
    {
        var numbers = new Dictionary<string, double>();
        Save(numbers, "");
        return numbers.ToDictionary(e => e.Key, e => Tensor.Scalar(e.Value, DType.Float64));
    }

    /// <summary>Takes the state that <see cref="StateDict"/> of an equal schedule gave. The rates themselves belong to the optimizer's state.</summary>
    public void LoadStateDict(IReadOnlyDictionary<string, Tensor> state)
    {
        var numbers = state.ToDictionary(e => e.Key, e => e.Value.Item());
        var known = new Dictionary<string, double>();
        Save(known, "");
        var missing = known.Keys.Where(k => !numbers.ContainsKey(k)).ToList();
        var unknown = numbers.Keys.Where(k => !known.ContainsKey(k)).ToList();
        if (missing.Count + unknown.Count > 0)
        {
            throw new ArgumentException(
                $"LoadStateDict into {GetType().Name}: {string.Join("; ", missing.Select(k => $"'{k}' is missing").Concat(unknown.Select(k => $"'{k}' is unknown")))}.");
        }

        Load(numbers, "");
    }

    internal virtual void Save(Dictionary<string, double> state, string prefix)
    {
        state[prefix + "last_epoch"] = LastEpoch;
        SaveAll(state, prefix + "base_lrs", BaseLrs);
        SaveAll(state, prefix + "_last_lr", _last);
    }

    internal virtual void Load(IReadOnlyDictionary<string, double> state, string prefix)
    {
        LastEpoch = (int)state[prefix + "last_epoch"];
        BaseLrs = LoadAll(state, prefix + "base_lrs", BaseLrs.Count);
        _last = LoadAll(state, prefix + "_last_lr", _last.Length);
    }

    private static void SaveAll(Dictionary<string, double> state, string name, IReadOnlyList<double> values)
    {
        for (var i = 0; i < values.Count; i++)
        {
            state[Item(name, i)] = values[i];
        }
    }

    private static double[] LoadAll(IReadOnlyDictionary<string, double> state, string name, int count) =>
        [.. Enumerable.Range(0, count).Select(i => state[Item(name, i)])];

    private static string Item(string name, int i) => string.Create(CultureInfo.InvariantCulture, $"{name}.{i}");
}

/// <summary>A schedule that is a formula: the same in F#, where it can also be part of a compiled step.</summary>
public abstract class FormulaLR : LRScheduler
{
    private readonly Func<double, Zoo.RateSchedule> _ofRate;
    private Zoo.RateSchedule[] _schedules;

    private protected FormulaLR(Optimizer optimizer, int lastEpoch, Func<double, Zoo.RateSchedule> ofRate)
        : base(optimizer, lastEpoch)
    {
        _ofRate = ofRate;
        _schedules = [.. BaseLrs.Select(ofRate)];
        Begin();
    }

    private protected override double Rate(int group, double current) =>
        LastEpoch == 0 ? _schedules[group].Start(current) : _schedules[group].Next(current, LastEpoch);

    private protected double At(int group, double epoch) => _schedules[group].At(epoch);

    internal override void Jump(int epoch)
    {
        LastEpoch = epoch;
        Set([.. _schedules.Select(s => s.At(epoch))]);
    }
    internal override void Load(IReadOnlyDictionary<string, double> state, string prefix)
    {
        base.Load(state, prefix);
        _schedules = [.. BaseLrs.Select(_ofRate)];
    }
}
