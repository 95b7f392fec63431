namespace Nanograd.CSharp;

/// <summary>Adam (Kingma and Ba 2015): PyTorch's rule and defaults.</summary>
public sealed class Adam : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.999) if null.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="amsgrad">The largest second moment so far instead of the latest (Reddi et al. 2018).</param>
    /// <param name="maximize">Up instead of down.</param>
    public Adam(IEnumerable<Parameter> parameters, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, bool amsgrad = false, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, betas, eps, weightDecay, amsgrad, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Adam(IEnumerable<ParameterGroup> groups, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, bool amsgrad = false, bool maximize = false)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.9, 0.999),
                Hyperparameter.Positive("eps", eps),
                Hyperparameter.Positive("weightDecay", weightDecay),
                Hyperparameter.Switch("amsgrad", amsgrad),
                Hyperparameter.Switch("maximize", maximize),
            ])
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Adam(g["beta1"], g["beta2"], g["eps"], g["weightDecay"], g.Is("amsgrad"), g.Is("maximize"));
}

/// <summary>Adam with decoupled weight decay (Loshchilov and Hutter 2019): PyTorch's rule and defaults.</summary>
public sealed class AdamW : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.999) if null.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">The parameters shrink by lr * weightDecay, whatever their gradients.</param>
    /// <param name="amsgrad">The largest second moment so far instead of the latest (Reddi et al. 2018).</param>
    /// <param name="maximize">Up instead of down.</param>
    public AdamW(IEnumerable<Parameter> parameters, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0.01, bool amsgrad = false, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, betas, eps, weightDecay, amsgrad, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public AdamW(IEnumerable<ParameterGroup> groups, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0.01, bool amsgrad = false, bool maximize = false)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.9, 0.999),
                Hyperparameter.Positive("eps", eps),
                Hyperparameter.Positive("weightDecay", weightDecay),
                Hyperparameter.Switch("amsgrad", amsgrad),
                Hyperparameter.Switch("maximize", maximize),
            ])
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.AdamW(g["beta1"], g["beta2"], g["eps"], g["weightDecay"], g.Is("amsgrad"), g.Is("maximize"));
}

/// <summary>Adamax (Kingma and Ba 2015): Adam with the largest gradient in place of a second moment.</summary>
public sealed class Adamax : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.999) if null.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="maximize">Up instead of down.</param>
    public Adamax(IEnumerable<Parameter> parameters, double lr = 2e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, betas, eps, weightDecay, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Adamax(IEnumerable<ParameterGroup> groups, double lr = 2e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, bool maximize = false)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.9, 0.999),
                Hyperparameter.Positive("eps", eps),
                Hyperparameter.Positive("weightDecay", weightDecay),
                Hyperparameter.Switch("maximize", maximize),
            ])
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Adamax(g["beta1"], g["beta2"], g["eps"], g["weightDecay"], g.Is("maximize"));
}

/// <summary>NAdam (Dozat 2016): Adam with Nesterov's momentum.</summary>
public sealed class NAdam : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.999) if null.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="momentumDecay">How fast the momentum grows to the first beta.</param>
    public NAdam(IEnumerable<Parameter> parameters, double lr = 2e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, double momentumDecay = 4e-3)
        : this([new ParameterGroup(parameters)], lr, betas, eps, weightDecay, momentumDecay)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public NAdam(IEnumerable<ParameterGroup> groups, double lr = 2e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, double momentumDecay = 4e-3)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.9, 0.999),
                Hyperparameter.Positive("eps", eps),
                Hyperparameter.Positive("weightDecay", weightDecay),
                Hyperparameter.Positive("momentumDecay", momentumDecay),
            ])
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.NAdam(g["beta1"], g["beta2"], g["eps"], g["weightDecay"], g["momentumDecay"]);
}

/// <summary>RAdam (Liu et al. 2020): Adam whose second moment counts once enough of it was seen.</summary>
public sealed class RAdam : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.999) if null.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="maximize">Up instead of down.</param>
    public RAdam(IEnumerable<Parameter> parameters, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, betas, eps, weightDecay, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public RAdam(IEnumerable<ParameterGroup> groups, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-8, double weightDecay = 0, bool maximize = false)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.9, 0.999),
                Hyperparameter.Positive("eps", eps),
                Hyperparameter.Positive("weightDecay", weightDecay),
                Hyperparameter.Switch("maximize", maximize),
            ])
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.RAdam(g["beta1"], g["beta2"], g["eps"], g["weightDecay"], g.Is("maximize"));
}
