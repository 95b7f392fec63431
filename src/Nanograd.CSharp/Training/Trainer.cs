using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Nanograd.CSharp;

/// <summary>
/// Trains a module: epochs of batches with validation, and what one wants of a training run besides. What is not set is not done.
/// </summary>
/// <example><code>
/// var trainer = new Trainer(model, new AdamW(model.Parameters()), (logits, labels) => F.CrossEntropy(logits, labels))
/// {
///     Metrics = [new Accuracy()],
///     EarlyStopping = new(Patience: 3),
///     KeepBest = "val_accuracy",
/// };
/// Console.WriteLine(trainer.Fit(trainLoader, validationLoader, epochs: 20));
/// </code></example>
public sealed partial class Trainer
{
    private readonly Module _model;
    private readonly Optimizer _optimizer;
    private readonly Func<Tensor, Tensor, Tensor> _lossFunction;
    private readonly GradientSum _gradients;
    private readonly Stopwatch _clock = new();
    private GradScaler? _scaler;

    /// <summary>A trainer of a model.</summary>
    /// <param name="model">The model: a function from the inputs of a batch to predictions.</param>
    /// <param name="optimizer">What moves its parameters.</param>
    /// <param name="lossFunction">The mean loss of predictions and targets: <c>new CrossEntropyLoss().Forward</c>, or a lambda.</param>
    public Trainer(Module model, Optimizer optimizer, Func<Tensor, Tensor, Tensor> lossFunction)
    {
        (_model, _optimizer, _lossFunction) = (model, optimizer, lossFunction);
        _gradients = new(optimizer.ParamGroups.SelectMany(g => g.Parameters));
    }

    // ------------------------------------------------------------------------------------------------ options

    /// <summary>What is measured on training and validation batches.</summary>
    public IReadOnlyList<Metric> Metrics { get; init; } = [];

    /// <summary>Moves the learning rate. A <see cref="ReduceLROnPlateau"/> gets <c>val_loss</c> (<c>loss</c> without validation).</summary>
    public LRScheduler? Scheduler { get; init; }

    /// <summary>How often the scheduler steps.</summary>
    public Interval SchedulerInterval { get; init; } = Interval.Epoch;

    /// <summary>So many batches make one update, with the mean of their gradients, weighted by their examples.</summary>
    public int AccumulateGradients { get; init; } = 1;

    /// <summary>The largest norm of all gradients together.</summary>
    public double? ClipGradNorm { get; init; }

    /// <summary>The largest size of an element of a gradient.</summary>
    public double? ClipGradValue { get; init; }

    /// <summary>The largest norm of a unit's gradient, over that of its weights (Brock et al. 2021).</summary>
    public double? ClipGradAdaptive { get; init; }

    /// <summary>What numbers the model is trained with.</summary>
    public Precision Precision { get; init; } = Precision.Full;

    /// <summary>Scales the losses of <see cref="Precision.Float16"/>; PyTorch's defaults if null.</summary>
    public GradScaler? GradScaler { get; init; }

    /// <summary>The most bytes that computing gradients may take; what does not fit is computed again in the backward pass.</summary>
    public long? MemoryBudget { get; init; }

    /// <summary>Averages that take every update into account; validation is theirs.</summary>
    public AveragedModel? Average { get; init; }

    /// <summary>Stops when a value does not become better any more.</summary>
    public EarlyStopping? EarlyStopping { get; init; }

    /// <summary>The value whose best parameters the model has in the end: <c>val_loss</c>, <c>val_accuracy</c>, ...</summary>
    public string? KeepBest { get; init; }

    /// <summary>Validates after every so many updates, too; 0: after epochs only.</summary>
    public long ValidateEverySteps { get; init; }

    /// <summary>Where checkpoints go (and the best parameters, in its subfolder <c>best</c>).</summary>
    public string? Folder { get; init; }

    /// <summary>Writes a checkpoint after every so many updates; 0: after each epoch.</summary>
    public long SaveEverySteps { get; init; }

    /// <summary>Goes on from the folder's checkpoint, if it has one. Loaders must give the same batches again.</summary>
    public bool Resume { get; init; }

    /// <summary>The most updates, whatever the epochs.</summary>
    public long MaxSteps { get; init; } = long.MaxValue;

    /// <summary>What <see cref="Generator.ManualSeed"/> is called with when training begins; null: it is not.</summary>
    public long? Seed { get; init; }

    /// <summary>What happens when a loss or gradient is NaN or infinite.</summary>
    public NanGuard NanGuard { get; init; } = NanGuard.Stop;

    /// <summary>Where progress is written: <c>Console.Out</c> for a line that moves where output is a terminal; null: nowhere.</summary>
    public TextWriter? Progress { get; init; }

    /// <summary>Called after each update.</summary>
    public Action<StepRecord>? OnStep { get; init; }

    /// <summary>Called after each evaluation.</summary>
    public Action<EvaluationRecord>? OnEvaluation { get; init; }

    /// <summary>Stops the run after the step.</summary>
    public CancellationToken Cancellation { get; init; }

    /// <summary>Whether Ctrl-C (and SIGTERM) saves and stops after the step; a second one ends the process.</summary>
    public bool HandleInterrupts { get; init; } = true;

    // ------------------------------------------------------------------------------------------------ results

    /// <summary>What happened so far.</summary>
    public History History { get; private set; } = new(new Nanograd.History());

    /// <summary>Why the last <c>Fit</c> ended.</summary>
    public Ending Ending { get; private set; }

    /// <summary>Updates that were left out because something was not finite.</summary>
    public long SkippedSteps { get; private set; }

    /// <summary>Of how many pieces of the computation how many are computed again in the backward pass.</summary>
    public (int Segments, int Recomputed) Recomputation { get; private set; } = (1, 0);

    // ------------------------------------------------------------------------------------------------ the loop

    private int _epoch;
    private int _position;
    private long _step;
    private long _first;
    private long _stepsInEpoch;
    private long _epochStart;
    private double _lossSum;
    private long _examples;
    private bool _stopped;
    private ProgressLine _progress = new(null);

    /// <summary>Trains on batches of inputs and targets that are enumerated once an epoch.</summary>
    /// <param name="train">The training batches.</param>
    /// <param name="validation">Batches to validate on; null: no validation.</param>
    /// <param name="epochs">How often to go through the training batches, those before a resumed checkpoint included. A second call goes on with as many more.</param>
    public History Fit(
        IEnumerable<(Tensor Input, Tensor Target)> train, IEnumerable<(Tensor Input, Tensor Target)>? validation = null, int epochs = 1) =>
        Fit(epoch => train is Loader<(Tensor, Tensor)> loader ? loader.Epoch(epoch) : train, validation, epochs);

    /// <summary>The same with batches that depend on the epoch, which is counted from 0.</summary>
    public History Fit(
        Func<int, IEnumerable<(Tensor Input, Tensor Target)>> train, IEnumerable<(Tensor Input, Tensor Target)>? validation = null, int epochs = 1)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(epochs);
        foreach (var name in new[] { EarlyStopping?.Monitor, KeepBest })
        {
            if (validation is null && name is not null && name.StartsWith("val_", StringComparison.Ordinal))
            {
                throw new ArgumentException($"Fit: {name} is to be watched, but there are no validation batches; pass some, or watch a value without val_.");
            }
        }

        epochs += Begin();
        using var interruption = new Interruption(HandleInterrupts);
        try
        {
            _model.Train();
            while (_epoch < epochs && !IsOver)
            {
                RunEpoch(train, validation, interruption, epochs);
            }

            if (Ending != Ending.Interrupted)
            {
                Report(validation); // what a limit of steps left
            }
        }
        finally
        {
            _model.Eval();
        }

        if (Folder is not null && (_stepsSaved != _step || Ending == Ending.Interrupted))
        {
            Save();
        }

        if (Ending == Ending.Interrupted)
        {
            _progress.Say($"Stopped after step {_step}{(Folder is null ? "" : $" and saved in {Folder}")}.");
        }
        else
        {
            RestoreBest();
        }

        return History;
    }

    /// <summary>The loss (<c>loss</c>) and the metrics on batches, in evaluation.</summary>
    public IReadOnlyDictionary<string, double> Evaluate(IEnumerable<(Tensor Input, Tensor Target)> batches)
    {
        var values = new Dictionary<string, double>();
        var training = _model.Training;
        Measure(batches, "", values);
        _model.Train(training);
        return values;
    }

    private bool IsOver => _stopped || _step >= MaxSteps;

    /// <summary>Gives the epochs that calls before went through.</summary>
    private int Begin()
    {
        Check();
        var before = _epoch;
        (_stopped, _stopping) = (false, Watch.Start);
        Ending = Ending.Finished;
        _scaler = Precision == Precision.Float16 ? GradScaler ?? _scaler ?? new() : null;
        _progress = new(Progress);
        if (Seed is { } seed && _step == 0)
        {
            Generator.ManualSeed(seed);
        }

        if (Resume && _step == 0 && TrainingState.Exists(Folder!))
        {
            Load();
        }

        _first = _step;
        return before;
    }

    private void Check()
    {
        if (AccumulateGradients < 1)
        {
            throw new ArgumentException($"Trainer: an update needs at least 1 batch, got {AccumulateGradients}.");
        }

        if (Folder is null && (Resume || SaveEverySteps > 0))
        {
            throw new ArgumentException("Trainer: checkpoints need a Folder.");
        }

        if (MakesSeveralEvaluations && (AccumulateGradients > 1 || Precision == Precision.Float16 || MemoryBudget is not null))
        {
            throw new ArgumentException($"Trainer: {_optimizer.GetType().Name} evaluates the loss itself: no accumulation, no f16, no memory budget.");
        }
    }

    private void RunEpoch(
        Func<int, IEnumerable<(Tensor, Tensor)>> train, IEnumerable<(Tensor, Tensor)>? validation, Interruption interruption, int epochs)
    {
        using var batches = Enumerate(train);
        var whole = _position == 0;
        while (!IsOver)
        {
            var taken = Next(batches);
            if (taken.Count == 0)
            {
                EndEpoch(validation, whole);
                return;
            }

            Advance(taken, epochs);
            if (ValidateEverySteps > 0 && _step % ValidateEverySteps == 0)
            {
                Report(validation);
            }

            if (interruption.Requested || Cancellation.IsCancellationRequested)
            {
                (_stopped, Ending) = (true, Ending.Interrupted);
            }
            else if (SaveEverySteps > 0 && _step % SaveEverySteps == 0 && !IsOver)
            {
                Save();
            }
        }
    }

    /// <summary>The batches of the epoch that were not used yet, with the generator as it was when they were.</summary>
    private IEnumerator<(Tensor, Tensor)> Enumerate(Func<int, IEnumerable<(Tensor, Tensor)>> train)
    {
        var generator = Generator.Default;
        var (seed, now) = (generator.Seed, generator.Counter);
        if (_position == 0)
        {
            _epochStart = now;
        }
        else
        {
            generator.Reset(seed, _epochStart);
        }

        var batches = train(_epoch).GetEnumerator();
        for (var i = 0; i < _position; i++)
        {
            if (!batches.MoveNext())
            {
                throw new InvalidOperationException($"Trainer: the checkpoint was made after {_position} batches of an epoch, which now has {i}.");
            }
        }

        if (_position > 0)
        {
            generator.Reset(seed, now);
        }

        return batches;
    }

    private List<(Tensor Input, Tensor Target)> Next(IEnumerator<(Tensor, Tensor)> batches)
    {
        var taken = new List<(Tensor, Tensor)>();
        while (taken.Count < AccumulateGradients && batches.MoveNext())
        {
            taken.Add(batches.Current);
        }

        return taken;
    }

    private void EndEpoch(IEnumerable<(Tensor, Tensor)>? validation, bool whole)
    {
        if (_position == 0)
        {
            throw new ArgumentException($"Trainer: epoch {_epoch + 1} has no training batch.");
        }

        if (whole)
        {
            _stepsInEpoch = (_position + AccumulateGradients - 1) / AccumulateGradients;
        }

        Report(validation);
        if (SchedulerInterval == Interval.Epoch && Scheduler is not (null or ReduceLROnPlateau))
        {
            Scheduler.Step();
        }

        (_epoch, _position) = (_epoch + 1, 0);
        if (Folder is not null && SaveEverySteps == 0)
        {
            Save();
        }
    }

    private void Advance(List<(Tensor Input, Tensor Target)> batches, int epochs)
    {
        _clock.Start();
        var rate = _optimizer.LearningRate;
        var (loss, norm) = Update(batches);
        _clock.Stop();
        _step++;
        _position += batches.Count;
        if (SchedulerInterval == Interval.Step && Scheduler is not (null or ReduceLROnPlateau))
        {
            Scheduler.Step();
        }

        var record = new StepRecord(_step, _epoch + 1, loss, rate, norm, batches.Sum(b => (long)Examples(b.Input)), _clock.Elapsed.TotalSeconds);
        History.Add(record);
        var total = MaxSteps < long.MaxValue ? MaxSteps : _stepsInEpoch * epochs;
        _progress.Step(record, total, _step - _first);
        OnStep?.Invoke(record);
    }

    private static int Examples(Tensor input) => input.Rank == 0 ? 1 : input.Size(0) > 0 ? input.Size(0)
        : throw new ArgumentException($"Trainer: a batch is empty: {Nanograd.Shape.describe(input.Expression)}.");

    /// <summary>Ctrl-C and SIGTERM, while a run lives: the first asks it to stop, a second one ends the process.</summary>
    private sealed class Interruption : IDisposable
    {
        private readonly PosixSignalRegistration[] _registrations;

        public Interruption(bool listens) => _registrations = listens
            ? [PosixSignalRegistration.Create(PosixSignal.SIGINT, Ask), PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ask)]
            : [];

        public bool Requested { get; private set; }

        private void Ask(PosixSignalContext context)
        {
            if (!Requested)
            {
                (context.Cancel, Requested) = (true, true);
            }
        }

        public void Dispose()
        {
            foreach (var registration in _registrations)
            {
                registration.Dispose();
            }
        }
    }
}
