namespace Nanograd.CSharp;

/// <summary>Adagrad (Duchi et al. 2011).</summary>
public sealed class Adagrad : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="lrDecay">The rate falls as 1 / (1 + t * lrDecay).</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="initialAccumulatorValue">Where the sums of squares start.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="maximize">Up instead of down.</param>
    public Adagrad(IEnumerable<Parameter> parameters, double lr = 1e-2, double lrDecay = 0, double weightDecay = 0, double initialAccumulatorValue = 0, double eps = 1e-10, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, lrDecay, weightDecay, initialAccumulatorValue, eps, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Adagrad(IEnumerable<ParameterGroup> groups, double lr = 1e-2, double lrDecay = 0, double weightDecay = 0, double initialAccumulatorValue = 0, double eps = 1e-10, bool maximize = false)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Positive("lrDecay", lrDecay),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Positive("initialAccumulatorValue", initialAccumulatorValue),
            Hyperparameter.Positive("eps", eps),
            Hyperparameter.Switch("maximize", maximize))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Adagrad(g["lrDecay"], g["weightDecay"], g["initialAccumulatorValue"], g["eps"], g.Is("maximize"));
}

/// <summary>Adadelta (Zeiler 2012).</summary>
public sealed class Adadelta : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="rho">The weight of the past in both averages.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="maximize">Up instead of down.</param>
    public Adadelta(IEnumerable<Parameter> parameters, double lr = 1, double rho = 0.9, double eps = 1e-6, double weightDecay = 0, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, rho, eps, weightDecay, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Adadelta(IEnumerable<ParameterGroup> groups, double lr = 1, double rho = 0.9, double eps = 1e-6, double weightDecay = 0, bool maximize = false)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Positive("rho", rho),
            Hyperparameter.Positive("eps", eps),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Switch("maximize", maximize))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Adadelta(g["rho"], g["eps"], g["weightDecay"], g.Is("maximize"));
}

/// <summary>RMSprop (Hinton 2012).</summary>
public sealed class RMSprop : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="alpha">The weight of the past in the average of squares.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="momentum">How much of the last step goes into the next one.</param>
    /// <param name="centered">Divides by the deviation of the gradients instead of their root mean square.</param>
    /// <param name="maximize">Up instead of down.</param>
    public RMSprop(IEnumerable<Parameter> parameters, double lr = 1e-2, double alpha = 0.99, double eps = 1e-8, double weightDecay = 0, double momentum = 0, bool centered = false, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, alpha, eps, weightDecay, momentum, centered, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public RMSprop(IEnumerable<ParameterGroup> groups, double lr = 1e-2, double alpha = 0.99, double eps = 1e-8, double weightDecay = 0, double momentum = 0, bool centered = false, bool maximize = false)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Positive("alpha", alpha),
            Hyperparameter.Positive("eps", eps),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Momentum(momentum),
            Hyperparameter.Switch("centered", centered),
            Hyperparameter.Switch("maximize", maximize))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.RmsProp(g["alpha"], g["eps"], g["weightDecay"], g["momentum"], g.Is("centered"), g.Is("maximize"));
}

/// <summary>Rprop (Riedmiller and Braun 1993), for full batches: only the signs of gradients count.</summary>
public sealed class Rprop : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The first step size of every element.</param>
    /// <param name="etas">What step sizes are multiplied with where the gradient changed its sign, and where it kept it; (0.5, 1.2) if null.</param>
    /// <param name="stepSizes">The least and the largest step size; (1e-6, 50) if null.</param>
    /// <param name="maximize">Up instead of down.</param>
    public Rprop(IEnumerable<Parameter> parameters, double lr = 1e-2, (double Minus, double Plus)? etas = null, (double Least, double Largest)? stepSizes = null, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, etas, stepSizes, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Rprop(IEnumerable<ParameterGroup> groups, double lr = 1e-2, (double Minus, double Plus)? etas = null, (double Least, double Largest)? stepSizes = null, bool maximize = false)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Positive("etaMinus", etas?.Minus ?? 0.5),
            Hyperparameter.Positive("etaPlus", etas?.Plus ?? 1.2),
            Hyperparameter.Positive("leastStep", stepSizes?.Least ?? 1e-6),
            Hyperparameter.Positive("largestStep", stepSizes?.Largest ?? 50),
            Hyperparameter.Switch("maximize", maximize))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Rprop(g["etaMinus"], g["etaPlus"], g["leastStep"], g["largestStep"], g.Is("maximize"));
}

/// <summary>Averaged stochastic gradient descent (Polyak and Juditsky 1992); the averages are the state <c>ax</c>.</summary>
public sealed class ASGD : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="lambd">The decay of the parameters, and of the rate.</param>
    /// <param name="alpha">The rate falls as (1 + lambd * lr * t)^-alpha.</param>
    /// <param name="t0">The step at which averaging starts.</param>
    /// <param name="weightDecay">An L2 penalty: this times the parameter is added to its gradient.</param>
    /// <param name="maximize">Up instead of down.</param>
    public ASGD(IEnumerable<Parameter> parameters, double lr = 1e-2, double lambd = 1e-4, double alpha = 0.75, double t0 = 1e6, double weightDecay = 0, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, lambd, alpha, t0, weightDecay, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public ASGD(IEnumerable<ParameterGroup> groups, double lr = 1e-2, double lambd = 1e-4, double alpha = 0.75, double t0 = 1e6, double weightDecay = 0, bool maximize = false)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Positive("lambd", lambd),
            Hyperparameter.Any("alpha", alpha),
            Hyperparameter.Positive("t0", t0),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Switch("maximize", maximize))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Asgd(g["lambd"], g["alpha"], g["t0"], g["weightDecay"], g.Is("maximize"));
}
