namespace Nanograd.CSharp;

/// <summary>One schedule after the other: each counts its epochs from the milestone where it begins.</summary>
public sealed class SequentialLR : LRScheduler
{
    private readonly LRScheduler[] _schedulers;
    private readonly int[] _milestones;

    /// <summary>Schedules of the same optimizer, one more than milestones.</summary>
    /// <param name="optimizer">Whose rates.</param>
    /// <param name="schedulers">The schedules.</param>
    /// <param name="milestones">The epochs at which the second and later ones begin.</param>
    public SequentialLR(Optimizer optimizer, IEnumerable<LRScheduler> schedulers, IEnumerable<int> milestones)
        : base(optimizer, -1)
    {
        _schedulers = [.. schedulers];
        _milestones = [.. milestones];
        if (_schedulers.Length != _milestones.Length + 1)
        {
            throw new ArgumentException($"SequentialLR: {_milestones.Length} milestones need {_milestones.Length + 1} schedules, got {_schedulers.Length}.");
        }

        if (_schedulers.Any(s => s is ReduceLROnPlateau))
        {
            throw new ArgumentException("SequentialLR: ReduceLROnPlateau cannot be one of its schedules, because it needs a metric.");
        }

        ChainedScheduler.Check("SequentialLR", optimizer, _schedulers);

        // The schedules have begun when they were made: that is undone, and the first one begins again.
        foreach (var group in optimizer.ParamGroups)
        {
            group.LearningRate = group.InitialLr!.Value;
        }

        foreach (var scheduler in _schedulers)
        {
            scheduler.LastEpoch--;
        }

        LastEpoch = 0;
        _schedulers[0].Begin();
        Note();
    }

    /// <summary>Goes on to the next epoch.</summary>
    public override void Step()
    {
        LastEpoch++;
        var i = _milestones.Count(m => m <= LastEpoch);
        if (i > 0 && _milestones[i - 1] == LastEpoch)
        {
            _schedulers[i].Jump(0);
        }
        else
        {
            _schedulers[i].Step();
        }

        Note();
    }

    private protected override double Rate(int group, double current) => current;

    internal override void Save(Dictionary<string, double> state, string prefix)
    {
        base.Save(state, prefix);
        ChainedScheduler.Save(_schedulers, state, prefix);
    }

    internal override void Load(IReadOnlyDictionary<string, double> state, string prefix)
    {
        base.Load(state, prefix);
        ChainedScheduler.Load(_schedulers, state, prefix);
    }
}

/// <summary>Several schedules that step together: they multiply what they do.</summary>
public sealed class ChainedScheduler : LRScheduler
{
    private readonly LRScheduler[] _schedulers;

    /// <summary>Schedules of one optimizer.</summary>
    public ChainedScheduler(IEnumerable<LRScheduler> schedulers)
        : this([.. schedulers])
    {
    }

    private ChainedScheduler(LRScheduler[] schedulers)
        : base(schedulers.Length > 0 ? schedulers[0].Optimizer : throw new ArgumentException("ChainedScheduler got no schedules."), -1)
    {
        _schedulers = schedulers;
        if (schedulers.Any(s => s is ReduceLROnPlateau))
        {
            throw new ArgumentException("ChainedScheduler: ReduceLROnPlateau cannot be one of its schedules, because it needs a metric.");
        }

        Check("ChainedScheduler", Optimizer, schedulers);
        LastEpoch = 0;
        Note();
    }

    /// <summary>Goes on to the next epoch, in all schedules.</summary>
    public override void Step()
    {
        LastEpoch++;
        foreach (var scheduler in _schedulers)
        {
            scheduler.Step();
        }

        Note();
    }

    private protected override double Rate(int group, double current) => current;

    internal static void Check(string name, Optimizer optimizer, LRScheduler[] schedulers)
    {
        if (schedulers.Any(s => !ReferenceEquals(s.Optimizer, optimizer)))
        {
            throw new ArgumentException($"{name}: all schedules must be of the same optimizer.");
        }
    }

    internal static void Save(LRScheduler[] schedulers, Dictionary<string, double> state, string prefix)
    {
        for (var i = 0; i < schedulers.Length; i++)
        {
            schedulers[i].Save(state, $"{prefix}_schedulers.{i}.");
        }
    }

    internal static void Load(LRScheduler[] schedulers, IReadOnlyDictionary<string, double> state, string prefix)
    {
        for (var i = 0; i < schedulers.Length; i++)
        {
            schedulers[i].Load(state, $"{prefix}_schedulers.{i}.");
        }
    }

    internal override void Save(Dictionary<string, double> state, string prefix)
    {
        base.Save(state, prefix);
        Save(_schedulers, state, prefix);
    }

    internal override void Load(IReadOnlyDictionary<string, double> state, string prefix)
    {
        base.Load(state, prefix);
        Load(_schedulers, state, prefix);
    }
}
