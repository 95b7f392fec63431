namespace Nanograd.CSharp;

public sealed partial class Trainer
{
    private readonly Dictionary<string, (int Segments, int Recomputed)> _chosen = [];
    private bool MakesSeveralEvaluations => _optimizer is LBFGS or SAM;

    private DType? SixteenBits => Precision switch
    {
        Precision.BFloat16 => DType.BFloat16,
        Precision.Float16 => DType.Float16,
        _ => null,
    };

    /// <summary>Predictions and loss in the run's precision.</summary>
    private (Tensor Output, Tensor Loss) Compute((Tensor Input, Tensor Target) batch)
    {
        using var cast = SixteenBits is { } type ? new Autocast(type) : null;
        var output = _model.Forward(batch.Input).Kept();
        var loss = _lossFunction(output, batch.Target);
        return loss.Rank == 0
            ? (output, loss)
            : throw new ArgumentException($"Trainer: the loss must be a scalar, got {Nanograd.Shape.describe(loss.Expression)}; reduce it with Mean().");
    }

    /// <summary>One update. Gives the mean loss of the batches before it, and the norm of the gradients (NaN if nobody needs it).</summary>
    private (double Loss, double Norm) Update(List<(Tensor Input, Tensor Target)> batches)
    {
        LookAtHessian(batches[0]);
        var result = MakesSeveralEvaluations ? Together(batches[0])
            : NanGuard == NanGuard.Off && batches.Count == 1 && _scaler is null && MemoryBudget is null ? InOne(batches[0])
            : InTwo(batches);
        Average?.UpdateParameters(_model);
        return result;
    }

    /// <summary>Forward, backward and update in one program.</summary>
    private (double Loss, double Norm) InOne((Tensor Input, Tensor Target) batch)
    {
        _optimizer.ZeroGrad();
        var (output, loss) = Compute(batch);
        loss.Backward();
        var norm = Clip();
        _optimizer.Step();
        Note(batch, output, loss.Item());
        return (loss.Item(), norm?.Item() ?? double.NaN);
    }

    /// <summary>Gradients in a program for each batch, looked at, and the update in another one.</summary>
    private (double Loss, double Norm) InTwo(List<(Tensor Input, Tensor Target)> batches)
    {
        var total = batches.Sum(b => (double)Examples(b.Input));
        var before = Buffers();
        var (seed, counter) = (Generator.Default.Seed, Generator.Default.Counter);
        var outputs = new List<(Tensor Output, double Loss)>();
        foreach (var batch in batches)
        {
            _optimizer.ZeroGrad();
            var (output, loss) = Compute(batch);
            var recomputed = Recomputed(batch, loss);
            var scale = _scaler?.GetScale() ?? 1;
            var scaled = _scaler?.Scale(recomputed) ?? recomputed;
            scaled.Backward();
            _gradients.Add(Examples(batch.Input) / total / scale);
            outputs.Add((output, scaled.Item() / scale));
        }

        var mean = outputs.Zip(batches, (o, b) => o.Loss * Examples(b.Input) / total).Sum();
        var fine = _gradients.Take(out var norm) && double.IsFinite(mean);
        _scaler?.Note(fine);
        if (fine || (NanGuard == NanGuard.Off && _scaler is null))
        {
            Clip();
            _optimizer.Step();
            foreach (var (batch, (output, loss)) in batches.Zip(outputs))
            {
                Note(batch, output, loss);
            }
        }
        else
        {
            Refuse(batches, mean, before, (seed, counter));
        }

        return (mean, norm);
    }

    /// <summary>Steps of optimizers that call the loss several times.</summary>
    private (double Loss, double Norm) Together((Tensor Input, Tensor Target) batch)
    {
        var (seed, counter) = (Generator.Default.Seed, Generator.Default.Counter);
        Tensor? first = null;
        var loss = _optimizer.Step(() =>
        {
            Generator.Default.Reset(seed, counter); // the same dropout in every call
            _optimizer.ZeroGrad();
            var (output, loss) = Compute(batch);
            loss.Backward();
            Clip();
            first ??= output;
            return loss;
        });
        var value = loss.Item();
        if (NanGuard != NanGuard.Off && !double.IsFinite(value))
        {
            throw new NonFiniteStepException(_step + 1, value, $"{_optimizer.GetType().Name} may have moved the parameters.");
        }

        Note(batch, first!, value);
        return (value, double.NaN);
    }

    private void LookAtHessian((Tensor Input, Tensor Target) batch)
    {
        if (_optimizer is not SophiaG { IsHessianDue: true } sophia)
        {
            return;
        }

        sophia.ZeroGrad();
        var (logits, _) = Compute(batch);
        SophiaG.SampledLoss(logits).Backward();
        sophia.UpdateHessian(logits.Count / logits.Size(-1));
        sophia.ZeroGrad();
    }

    /// <summary>Bounds the gradients. Gives their norm before, if it is bounded.</summary>
    private Tensor? Clip()
    {
        var parameters = _optimizer.ParamGroups.SelectMany(g => g.Parameters).ToList();
        if (ClipGradValue is { } bound)
        {
            Utils.ClipGradValue(parameters, bound);
        }

        if (ClipGradAdaptive is { } share)
        {
            Utils.ClipGradAdaptive(parameters, share);
        }

        return ClipGradNorm is { } most ? Utils.ClipGradNorm(parameters, most) : null;
    }

    private void Note((Tensor Input, Tensor Target) batch, Tensor output, double loss)
    {
        _lossSum += loss * Examples(batch.Input);
        _examples += Examples(batch.Input);
        foreach (var metric in Metrics)
        {
            metric.Update(output, batch.Target);
        }
    }

    // ------------------------------------------------------------------------------------------------ what is not finite

    /// <summary>The buffers of the model with their values.</summary>
    private List<(Buffer Buffer, Tensor Value)> Buffers() => [.. _model.Buffers().Select(b => (b, b.Detach()))];

    private void Refuse(List<(Tensor Input, Tensor Target)> batches, double loss, List<(Buffer Buffer, Tensor Value)> before, (long Seed, long Counter) generator)
    {
        foreach (var (buffer, value) in before)
        {
            buffer.Set(value);
        }

        _optimizer.ZeroGrad();

        // f16 is expected to overflow now and then; not once its scale is down at 1.
        var isExpected = _scaler is not null && double.IsFinite(loss) && _scaler.GetScale() >= 1;
        if (NanGuard == NanGuard.Stop && !isExpected)
        {
            Generator.Default.Reset(generator.Seed, generator.Counter);
            var report = batches.Select(Diagnose).FirstOrDefault(r => r is not null);
            foreach (var (buffer, value) in before)
            {
                buffer.Set(value);
            }

            _optimizer.ZeroGrad();
            throw new NonFiniteStepException(_step + 1, loss, report ?? "Computed step by step, nothing is: the compiled program overflows in between.");
        }

        SkippedSteps++;
    }

    private string? Diagnose((Tensor Input, Tensor Target) batch)
    {
        var report = Debug.Nans(() =>
        {
            _optimizer.ZeroGrad();
            var (_, loss) = Compute(batch);
            loss.Backward();
            return [loss, .. _optimizer.ParamGroups.SelectMany(g => g.Parameters).Select(p => p.Grad).OfType<Tensor>()];
        });
        return report.IsFinite ? null : report.ToString();
    }

    // ------------------------------------------------------------------------------------------------ memory

    /// <summary>The loss, as much of it in checkpoints as the budget asks for.</summary>
    private Tensor Recomputed((Tensor Input, Tensor Target) batch, Tensor loss)
    {
        if (MemoryBudget is not { } budget)
        {
            return loss;
        }

        var shapes = $"{Nanograd.Shape.describe(batch.Input.Expression)};{Nanograd.Shape.describe(batch.Target.Expression)}";
        if (!_chosen.TryGetValue(shapes, out var chosen))
        {
            // The optimizer's state and the sums are there all the time.
            var held = 4L * _optimizer.StateDict().Values.Sum(t => (long)t.Count);
            var (segments, recomputed) = Zoo.ActivationCheckpoints.Choose(budget - held, (segments, recomputed) =>
            {
                _optimizer.ZeroGrad();
                Checkpointed(loss, segments, recomputed).Backward();
                return _gradients.PlannedBytes();
            });
            _optimizer.ZeroGrad();
            _chosen[shapes] = chosen = (segments, recomputed);
        }

        Recomputation = chosen;
        return Checkpointed(loss, chosen.Segments, chosen.Recomputed);
    }

    private static Tensor Checkpointed(Tensor loss, int segments, int recomputed) =>
        recomputed == 0 ? loss : Tensor.Make(n => Zoo.ActivationCheckpoints.Apply(segments, recomputed, n[0]!), loss);
}
