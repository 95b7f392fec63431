namespace Nanograd.CSharp;

/// <summary>What numbers a model is trained with.</summary>
public enum Precision
{
    /// <summary>The types that parameters and batches have.</summary>
    Full,

    /// <summary>Products and convolutions take and give bf16, everything else is f32: see <see cref="Autocast"/>.</summary>
    BFloat16,

    /// <summary>The same with f16, whose range is small: losses are scaled by a <see cref="GradScaler"/>.</summary>
    Float16,
}

/// <summary>What happens when a loss or a gradient is NaN or infinite.</summary>
public enum NanGuard
{
    /// <summary>Training stops with an error that says where it came from. The parameters are those before the step.</summary>
    Stop,

    /// <summary>The update is left out.</summary>
    Skip,

    /// <summary>Nobody looks: gradients and update are one program.</summary>
    Off,
}

/// <summary>How often something is due.</summary>
public enum Interval
{
    /// <summary>After each epoch.</summary>
    Epoch,

    /// <summary>After each update.</summary>
    Step,
}

/// <summary>Why training ended.</summary>
public enum Ending
{
    /// <summary>All epochs or steps are done.</summary>
    Finished,

    /// <summary>What was monitored had not become better for too long.</summary>
    StoppedEarly,

    /// <summary>Ctrl-C, or the token.</summary>
    Interrupted,
}

/// <summary>Stop when a measured value has not become better for a while.</summary>
/// <param name="Monitor"><c>val_loss</c>, <c>val_accuracy</c>, <c>loss</c>, ...</param>
/// <param name="Patience">So many evaluations without improvement are tolerated.</param>
/// <param name="MinDelta">By how much a value must be better to count.</param>
public sealed record EarlyStopping(string Monitor = "val_loss", int Patience = 10, double MinDelta = 0);

/// <summary>A loss or gradient that is NaN or infinite: in which step, and where it came from.</summary>
/// <param name="step">The update that failed, counted from 1.</param>
/// <param name="loss">Its loss.</param>
/// <param name="report">What <see cref="Debug"/> found.</param>
public sealed class NonFiniteStepException(long step, double loss, string report) : ArithmeticException(
    $"Step {step}: the loss is {loss}, and it or a gradient is NaN or infinite. The parameters are those before the step. {report}")
{
    /// <summary>The update that failed, counted from 1.</summary>
    public long Step { get; } = step;

    /// <summary>Its loss.</summary>
    public double Loss { get; } = loss;

    /// <summary>Where it came from.</summary>
    public string Report { get; } = report;
}

/// <summary>The best value of something monitored, and how long ago it was.</summary>
internal record struct Watch(double Best, int Since)
{
    /// <summary>Before the first evaluation.</summary>
    public static Watch Start => new(double.NaN, 0);

    /// <summary>After an evaluation. True: it is the best so far.</summary>
    public bool Next(double value, bool largerIsBetter, double minDelta)
    {
        var improves = !double.IsNaN(value)
            && (double.IsNaN(Best) || (largerIsBetter ? value > Best + minDelta : value < Best - minDelta));
        (Best, Since) = improves ? (value, 0) : (Best, Since + 1);
        return improves;
    }
}
