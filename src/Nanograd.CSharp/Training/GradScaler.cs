using System.Runtime.CompilerServices;

namespace Nanograd.CSharp;

/// <summary>
/// Scales losses so that small gradients survive in f16, and leaves out steps whose gradients overflow: PyTorch's <c>GradScaler</c>.
/// </summary>
/// <example><code>
/// optimizer.ZeroGrad();
/// using (new Autocast(DType.Float16))
/// {
///     loss = F.CrossEntropy(model.Forward(x), y);
/// }
/// scaler.Scale(loss).Backward();
/// scaler.Step(optimizer);
/// scaler.Update();
/// </code></example>
public sealed class GradScaler
{
    private readonly ConditionalWeakTable<Optimizer, GradientSum> _sums = [];
    private readonly HashSet<Optimizer> _unscaled = new(ReferenceEqualityComparer.Instance);
    private readonly List<(WeakReference<Tensor> Loss, WeakReference<Tensor> Scaled)> _losses = [];
    private readonly double _growthFactor;
    private readonly double _backoffFactor;
    private readonly int _growthInterval;
    private readonly bool _enabled;
    private double _scale;
    private int _good;
    private bool _overflowed;

    /// <summary>A scaler with PyTorch's defaults.</summary>
    /// <param name="initScale">The first scale.</param>
    /// <param name="growthFactor">What it is multiplied with after <paramref name="growthInterval"/> steps without an overflow.</param>
    /// <param name="backoffFactor">What it is multiplied with after an overflow.</param>
    /// <param name="growthInterval">So many good steps let it grow.</param>
    /// <param name="enabled">False: nothing is scaled, and no step is left out.</param>
    public GradScaler(double initScale = 65536, double growthFactor = 2, double backoffFactor = 0.5, int growthInterval = 2000, bool enabled = true)
    {
        if (!(initScale > 0) || !(growthFactor > 1) || backoffFactor is not (> 0 and < 1) || growthInterval < 1)
        {
            throw new ArgumentException(
                $"GradScaler: initScale must be positive, growthFactor above 1, backoffFactor between 0 and 1 and growthInterval at least 1, got {initScale}, {growthFactor}, {backoffFactor} and {growthInterval}.");
        }

        (_scale, _growthFactor, _backoffFactor, _growthInterval, _enabled) = (initScale, growthFactor, backoffFactor, growthInterval, enabled);
    }

    /// <summary>The present scale.</summary>
    public double GetScale() => _enabled ? _scale : 1;

    /// <summary>Whether it does anything.</summary>
    public bool IsEnabled => _enabled;

    /// <summary>The loss times the scale, to call <see cref="Tensor.Backward"/> on.</summary>
    public Tensor Scale(Tensor loss)
    {
        if (!_enabled)
        {
            return loss;
        }

        var scaled = loss.To(DType.Float32) * Tensor.Scalar((float)_scale);
        _losses.Add((new(loss), new(scaled)));
        return scaled;
    }

    /// <summary>Divides the optimizer's gradients by the scale, so that they can be clipped. <see cref="Step"/> does it otherwise.</summary>
    public void Unscale(Optimizer optimizer)
    {
        if (!_enabled)
        {
            return;
        }

        if (!_unscaled.Add(optimizer))
        {
            throw new InvalidOperationException("Unscale: the gradients of this optimizer are unscaled already; call Update() after its step.");
        }

        var sum = _sums.GetValue(optimizer, o => new GradientSum(o.ParamGroups.SelectMany(g => g.Parameters)));
        sum.Add(1 / _scale);
        _overflowed |= !sum.Take(out _);
        Settle();
    }

    /// <summary>The losses themselves get values when the scaled ones have theirs, so that reading them costs nothing.</summary>
    private void Settle()
    {
        foreach (var (loss, scaled) in _losses)
        {
            if (loss.TryGetTarget(out var own) && scaled.TryGetTarget(out var times) && times.HasValue && own is { HasValue: false, DType: DType.Float32 })
            {
                own.Settle(Program.storage(Copies.Scalar((float)(times.Item() / _scale))));
            }
        }

        _losses.Clear();
    }

    /// <summary>Makes the optimizer's step, unless a gradient is NaN or infinite. Tells whether it was made.</summary>
    public bool Step(Optimizer optimizer)
    {
        if (_enabled && !_unscaled.Contains(optimizer))
        {
            Unscale(optimizer);
        }

        if (_overflowed)
        {
            return false;
        }

        optimizer.Step();
        return true;
    }

    /// <summary>After the step: the scale backs off if something overflowed, and grows after enough good steps.</summary>
    public void Update()
    {
        if (!_enabled)
        {
            return;
        }

        Note(!_overflowed);
        _overflowed = false;
        _unscaled.Clear();
        _losses.Clear();
    }

    /// <summary>The same for those who looked at the gradients themselves.</summary>
    internal void Note(bool isFinite)
    {
        if (!isFinite)
        {
            (_scale, _good) = (_scale * _backoffFactor, 0);
        }
        else if (++_good == _growthInterval)
        {
            (_scale, _good) = (_scale * _growthFactor, 0);
        }
    }

    /// <summary>What it remembers: <c>scale</c> and <c>_growth_tracker</c>, scalars.</summary>
    public IReadOnlyDictionary<string, Tensor> StateDict() => new Dictionary<string, Tensor>
    {
        ["scale"] = Tensor.Scalar(_scale, DType.Float64),
        ["_growth_tracker"] = Tensor.Scalar(_good, DType.Float64),
    };

    /// <summary>Takes what <see cref="StateDict"/> gave.</summary>
    public void LoadStateDict(IReadOnlyDictionary<string, Tensor> state)
    {
        if (!state.TryGetValue("scale", out var scale) || !state.TryGetValue("_growth_tracker", out var good))
        {
            throw new ArgumentException($"LoadStateDict into GradScaler: 'scale' and '_growth_tracker' are needed, got {string.Join(", ", state.Keys)}.");
        }

        (_scale, _good) = (scale.Item(), (int)good.Item());
    }
}
