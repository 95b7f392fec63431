namespace Nanograd.CSharp;

/// <summary>Stochastic gradient descent, with momentum if asked for: PyTorch's rule.</summary>
public sealed class SGD : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="momentum">How much of the last step goes into the next one.</param>
    /// <param name="dampening">The share of a gradient that does not go into the momentum.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="nesterov">Nesterov's momentum, which looks ahead; it needs a momentum and no dampening.</param>
    /// <param name="maximize">Up instead of down.</param>
    public SGD(IEnumerable<Parameter> parameters, double lr = 1e-3, double momentum = 0, double dampening = 0, double weightDecay = 0, bool nesterov = false, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, momentum, dampening, weightDecay, nesterov, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public SGD(IEnumerable<ParameterGroup> groups, double lr = 1e-3, double momentum = 0, double dampening = 0, double weightDecay = 0, bool nesterov = false, bool maximize = false)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Momentum(momentum),
            Hyperparameter.Any("dampening", dampening),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Switch("nesterov", nesterov),
            Hyperparameter.Switch("maximize", maximize))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Sgd(g["momentum"], g["dampening"], g["weightDecay"], g.Is("nesterov"), g.Is("maximize"));
}
