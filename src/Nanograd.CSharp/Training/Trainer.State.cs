using System.Globalization;

namespace Nanograd.CSharp;

public sealed partial class Trainer
{
    private const string Own = "trainer.";

    private Watch _stopping = Watch.Start;
    private Watch _keeping = Watch.Start;
    private long _stepsSaved = -1;
    private IReadOnlyDictionary<string, Tensor>? _best;

    /// <summary>The parameters and buffers that were best by <see cref="KeepBest"/>; null: there are none yet.</summary>
    public IReadOnlyDictionary<string, Tensor>? BestState => _best;

    private string? BestFolder => Folder is null ? null : Path.Combine(Folder, "best");

    // ------------------------------------------------------------------------------------------------ evaluations

    /// <summary>Notes what the batches since the last time gave, and a validation.</summary>
    private void Report(IEnumerable<(Tensor, Tensor)>? validation)
    {
        if (_examples == 0)
        {
            return;
        }

        var values = new Dictionary<string, double> { ["loss"] = _lossSum / _examples };
        foreach (var metric in Metrics)
        {
            values[metric.Name] = metric.Value;
        }

        if (validation is not null)
        {
            Measure(validation, "val_", values);
            _model.Train();
        }

        Forget();
        var record = new EvaluationRecord(_step, _epoch + 1, values);
        History.Add(record);
        _progress.Evaluation(record);
        if (KeepBest is { } kept && Monitored(kept, values) is { } value && _keeping.Next(value, IsLargerBetter(kept), 0))
        {
            _best = (Average is null ? _model : (Module)Average).StateDict();
            if (BestFolder is { } folder)
            {
                new TrainingState(_best, new Dictionary<string, Tensor>(), _step, Seed ?? 0, new Dictionary<string, string>()).Save(folder);
            }
        }

        if (EarlyStopping is { } stopping && Monitored(stopping.Monitor, values) is { } monitored)
        {
            _stopping.Next(monitored, IsLargerBetter(stopping.Monitor), stopping.MinDelta);
            if (_stopping.Since > stopping.Patience)
            {
                (_stopped, Ending) = (true, Ending.StoppedEarly);
            }
        }

        (Scheduler as ReduceLROnPlateau)?.Step(values.TryGetValue("val_loss", out var loss) ? loss : values["loss"]);
        OnEvaluation?.Invoke(record);
    }

    private void Forget()
    {
        (_lossSum, _examples) = (0, 0);
        foreach (var metric in Metrics)
        {
            metric.Reset();
        }
    }

    /// <summary>Loss and metrics on batches, in evaluation.</summary>
    private void Measure(IEnumerable<(Tensor Input, Tensor Target)> batches, string prefix, Dictionary<string, double> values)
    {
        var training = Metrics.Select(m => m.Sums).ToArray();
        foreach (var metric in Metrics)
        {
            metric.Reset();
        }

        double sum = 0;
        long count = 0;
        _model.Eval();
        Average?.Eval();
        using (new NoGrad())
        {
            foreach (var (input, target) in batches)
            {
                using var cast = SixteenBits is { } type ? new Autocast(type) : null;
                var output = (Average ?? _model).Forward(input);
                var loss = _lossFunction(output, target);
                Tensor.Evaluate(output, loss);
                sum += loss.Item() * Examples(input);
                count += Examples(input);
                foreach (var metric in Metrics)
                {
                    metric.Update(output, target);
                }
            }
        }

        if (count > 0)
        {
            values[prefix + "loss"] = sum / count;
            foreach (var metric in Metrics)
            {
                values[prefix + metric.Name] = metric.Value;
            }
        }

        for (var i = 0; i < Metrics.Count && prefix.Length > 0; i++)
        {
            Metrics[i].Sums = training[i];
        }
    }

    private static double? Monitored(string name, Dictionary<string, double> values) =>
        values.TryGetValue(name, out var value) ? value
        : name.StartsWith("val_", StringComparison.Ordinal) && !values.ContainsKey("val_loss") ? null
        : throw new ArgumentException($"Trainer: nothing of the name '{name}' is measured, only: {string.Join(", ", values.Keys)}.");

    private bool IsLargerBetter(string name) =>
        Metrics.FirstOrDefault(m => m.Name == name || "val_" + m.Name == name)?.LargerIsBetter ?? false;

    private void RestoreBest()
    {
        if (_best is not null)
        {
            (Average is null ? _model : (Module)Average).LoadStateDict(_best);
        }
    }

    // ------------------------------------------------------------------------------------------------ checkpoints

    private void Save()
    {
        var tensors = new Dictionary<string, Tensor>(_optimizer.StateDict());
        Put("scheduler.", Scheduler?.StateDict());
        Put("scaler.", _scaler?.StateDict());
        Put("average.", Average?.StateDict());
        var texts = new Dictionary<string, string>
        {
            ["epoch"] = Text(_epoch),
            ["batch"] = Text(_position),
            ["skipped"] = Text(SkippedSteps),
            ["generator"] = $"{Text(Generator.Default.Seed)} {Text(Generator.Default.Counter)} {Text(_epochStart)}",
            ["stopping"] = $"{Text(_stopping.Best)} {Text(_stopping.Since)}",
            ["keeping"] = $"{Text(_keeping.Best)} {Text(_keeping.Since)}",
            ["loss"] = $"{Text(_lossSum)} {Text(_examples)}",
            ["history"] = History.ToJson(),
        };
        for (var i = 0; i < Metrics.Count; i++)
        {
            texts[$"metric.{i}"] = string.Join(' ', Metrics[i].Sums.Select(Text));
        }

        if (Average is not null)
        {
            texts["averaged"] = Text(Average.NAveraged);
        }

        new TrainingState(_model.StateDict(), tensors, _step, Generator.Default.Seed, texts).Save(Folder!);
        _stepsSaved = _step;

        void Put(string prefix, IReadOnlyDictionary<string, Tensor>? state)
        {
            foreach (var (name, value) in state ?? new Dictionary<string, Tensor>())
            {
                tensors[Own + prefix + name] = value;
            }
        }
    }

    private void Load()
    {
        var state = TrainingState.Load(Folder!);
        _model.LoadStateDict(state.Model);
        _optimizer.LoadStateDict(state.Optimizer.Where(e => !e.Key.StartsWith(Own, StringComparison.Ordinal)).ToDictionary());
        Scheduler?.LoadStateDict(Of("scheduler."));
        _scaler?.LoadStateDict(Of("scaler."));
        if (Average is not null)
        {
            Average.LoadStateDict(Of("average."));
            Average.NAveraged = long.Parse(Text("averaged"), CultureInfo.InvariantCulture);
        }

        _step = _stepsSaved = state.Step;
        _epoch = (int)Numbers("epoch")[0];
        _position = (int)Numbers("batch")[0];
        SkippedSteps = (long)Numbers("skipped")[0];
        var generator = Text("generator").Split(' ').Select(p => long.Parse(p, CultureInfo.InvariantCulture)).ToArray();
        Generator.Default.Reset(generator[0], generator[1]);
        _epochStart = generator[2];
        _stopping = new(Numbers("stopping")[0], (int)Numbers("stopping")[1]);
        _keeping = new(Numbers("keeping")[0], (int)Numbers("keeping")[1]);
        (_lossSum, _examples) = (Numbers("loss")[0], (long)Numbers("loss")[1]);
        for (var i = 0; i < Metrics.Count; i++)
        {
            Metrics[i].Sums = Numbers($"metric.{i}");
        }

        History = History.FromJson(Text("history"));
        if (KeepBest is not null && TrainingState.Exists(BestFolder!))
        {
            _best = TrainingState.Load(BestFolder!).Model;
        }

        Dictionary<string, Tensor> Of(string prefix) => state.Optimizer
            .Where(e => e.Key.StartsWith(Own + prefix, StringComparison.Ordinal))
            .ToDictionary(e => e.Key[(Own.Length + prefix.Length)..], e => e.Value);

        string Text(string name) => state.Metadata.TryGetValue(name, out var text)
            ? text
            : throw new InvalidDataException($"The checkpoint in {Folder} does not say its '{name}': it is not a Trainer's, or of one with other metrics.");

        double[] Numbers(string name) =>
            [.. Text(name).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(p => double.Parse(p, CultureInfo.InvariantCulture))];
    }

    private static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
