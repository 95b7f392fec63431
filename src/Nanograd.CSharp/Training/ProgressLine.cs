namespace Nanograd.CSharp;

/// <summary>Tells how far training is: on a terminal in one line that changes, elsewhere in a line now and then.</summary>
internal sealed class ProgressLine(TextWriter? writer)
{
    private readonly Zoo.ProgressLines? _lines = writer is null ? null : new(writer, ReferenceEquals(writer, Console.Out));

    public void Step(StepRecord step, long total, long done) =>
        _lines?.Step(new Nanograd.StepRecord(step.Step, step.Epoch, step.Loss, step.LearningRate, step.GradientNorm, step.Examples, step.Seconds), total, done);

    public void Evaluation(EvaluationRecord e) => _lines?.Evaluation(new Nanograd.EvaluationRecord(e.Step, e.Epoch, e.Values));

    public void Say(string sentence) => _lines?.Say(sentence);
}
