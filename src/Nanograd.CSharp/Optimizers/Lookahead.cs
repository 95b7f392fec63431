namespace Nanograd.CSharp;

/// <summary>
/// Lookahead (Zhang et al. 2019) around another optimizer: after every k steps, slow weights go <c>alpha</c> of the way to the
/// fast ones, which go on from there. Groups and state are the inner optimizer's; step with this one only.
/// </summary>
public sealed class Lookahead : Optimizer
{
    private readonly Optimizer _inner;
    private readonly int _k;
    private readonly double _alpha;

    /// <summary>Slow weights around an optimizer: <c>new Lookahead(new SGD(model.Parameters(), 0.1))</c>.</summary>
    public Lookahead(Optimizer optimizer, int k = 5, double alpha = 0.5)
        : base(optimizer)
    {
        _inner = optimizer is LBFGS or SAM ? throw new ArgumentException($"Lookahead cannot be around {optimizer.GetType().Name}, which makes several steps in one.") : optimizer;
        _k = k >= 1 ? k : throw new ArgumentException($"k must be at least 1, got {k}.");
        _alpha = alpha is >= 0 and <= 1 ? alpha : throw new ArgumentException($"alpha must be between 0 and 1, got {Text(alpha)}.");
    }

    private protected override string Name => $"Lookahead {_k} {Text(_alpha)} {NameOf(_inner)}";

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) => RuleOf(_inner, g).Lookahead(_k, _alpha);
}
