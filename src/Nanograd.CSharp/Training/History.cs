namespace Nanograd.CSharp;

/// <summary>What one update reports.</summary>
/// <param name="Step">Updates done, this one included.</param>
/// <param name="Epoch">The epoch, counted from 1.</param>
/// <param name="Loss">The loss on the step's batches, before the update.</param>
/// <param name="LearningRate">The rate of the update.</param>
/// <param name="GradientNorm">The norm of all gradients together, before clipping; NaN where nobody asked for it.</param>
/// <param name="Examples">Examples in the step's batches.</param>
/// <param name="Seconds">Seconds of training since the run began, without validation.</param>
public readonly record struct StepRecord(long Step, int Epoch, double Loss, double LearningRate, double GradientNorm, long Examples, double Seconds);

/// <summary>What was measured after some updates.</summary>
/// <param name="Step">Updates done.</param>
/// <param name="Epoch">The epoch, counted from 1.</param>
/// <param name="Values"><c>loss</c> and the metrics over the training batches since the record before; <c>val_loss</c> and <c>val_...</c> over the validation batches.</param>
public sealed record EvaluationRecord(long Step, int Epoch, IReadOnlyDictionary<string, double> Values);

/// <summary>How training went. It plots itself: in a terminal by <see cref="ToString"/>, as a page by <see cref="ToPage"/>.</summary>
public sealed class History
{
    private readonly Nanograd.History _core;

    internal History(Nanograd.History core) => _core = core;

    /// <summary>A record for each update; of more than 20,000, every second one, then every fourth, ...</summary>
    public IReadOnlyList<StepRecord> Steps =>
        [.. _core.Steps.Select(s => new StepRecord(s.Step, s.Epoch, s.Loss, s.Rate, s.GradientNorm, s.Examples, s.Seconds))];

    /// <summary>A record for each evaluation.</summary>
    public IReadOnlyList<EvaluationRecord> Evaluations => [.. _core.Evaluations.Select(e => new EvaluationRecord(e.Step, e.Epoch, e.Values))];

    /// <summary>The names of what was measured.</summary>
    public IReadOnlyList<string> Names => _core.Names;

    /// <summary>All values of a name, in order: <c>loss</c>, <c>val_loss</c>, <c>accuracy</c>, <c>val_accuracy</c>, ...</summary>
    public IReadOnlyList<double> this[string name] => _core[name];

    /// <summary>The losses as a picture for a terminal, metrics below.</summary>
    public string Plot(int width = 100, int height = 14) => _core.Plot(width, height);

    /// <summary>The same.</summary>
    public override string ToString() => Plot();

    /// <summary>A page of its own, without scripts: losses, metrics, rates and norms as pictures, evaluations as a table.</summary>
    public string ToPage(string title = "Training") => _core.ToPage(title);

    /// <summary>Writes the page.</summary>
    public void SavePage(string path) => _core.SavePage(path);

    /// <summary>One line for each update, with what was measured after it.</summary>
    public string ToCsv() => _core.ToCsv();

    /// <summary>Everything as JSON.</summary>
    public string ToJson() => _core.ToJson();

    /// <summary>What <see cref="ToJson"/> gave.</summary>
    public static History FromJson(string json) => new(Nanograd.History.OfJson(json));

    internal int StepCount => _core.Steps.Count;

    internal void Add(StepRecord s) => _core.Add(new Nanograd.StepRecord(s.Step, s.Epoch, s.Loss, s.LearningRate, s.GradientNorm, s.Examples, s.Seconds));

    internal void Add(EvaluationRecord e) => _core.Add(new Nanograd.EvaluationRecord(e.Step, e.Epoch, e.Values));
}
