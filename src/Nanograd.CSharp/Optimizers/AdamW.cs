namespace Nanograd.CSharp;

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter 2019): PyTorch's rule and defaults.</summary>
public sealed class AdamW : Optimizer
{
    private readonly double _beta1;
    private readonly double _beta2;
    private readonly double _eps;

    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    public AdamW(IEnumerable<Parameter> parameters, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weightDecay = 0.01)
        : this([new ParameterGroup(parameters)], lr, beta1, beta2, eps, weightDecay)
    {
    }

    /// <summary>An optimizer for groups of parameters, each with its own rate and decay.</summary>
    public AdamW(IEnumerable<ParameterGroup> groups, double lr = 1e-3, double beta1 = 0.9, double beta2 = 0.999, double eps = 1e-8, double weightDecay = 0.01)
        : base(groups, lr, weightDecay)
    {
        _beta1 = Beta("beta1", beta1);
        _beta2 = Beta("beta2", beta2);
        _eps = Check("eps", eps);
    }

    private static double Beta(string name, double value) => value is >= 0 and < 1
        ? value
        : throw new ArgumentException($"{name} must be at least 0 and less than 1, got {value}.");

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup group) =>
        Zoo.ParameterUpdate.AdamW(_beta1, _beta2, _eps, group.WeightDecay, false);

    private protected override string Describe(ParameterGroup group) => Describe("adamw", _beta1, _beta2, _eps, group.WeightDecay);
}
