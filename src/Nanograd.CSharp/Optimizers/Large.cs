namespace Nanograd.CSharp;

/// <summary>Lion (Chen et al. 2023): steps are signs; its rate is a third to a tenth of AdamW's, its decay as much larger.</summary>
public sealed class Lion : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.99) if null.</param>
    /// <param name="weightDecay">The parameters shrink by lr * weightDecay, whatever their gradients.</param>
    public Lion(IEnumerable<Parameter> parameters, double lr = 1e-4, (double Beta1, double Beta2)? betas = null, double weightDecay = 0)
        : this([new ParameterGroup(parameters)], lr, betas, weightDecay)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Lion(IEnumerable<ParameterGroup> groups, double lr = 1e-4, (double Beta1, double Beta2)? betas = null, double weightDecay = 0)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.9, 0.99),
                Hyperparameter.Positive("weightDecay", weightDecay),
            ])
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Lion(g["beta1"], g["beta2"], g["weightDecay"]);
}

/// <summary>LAMB (You et al. 2020), for large batches: Adam's step with decay, in units of the parameter's norm.</summary>
public sealed class Lamb : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of their squares; (0.9, 0.999) if null.</param>
    /// <param name="eps">Keeps denominators from 0.</param>
    /// <param name="weightDecay">This times the parameter is added to the step.</param>
    /// <param name="maximize">Up instead of down.</param>
    public Lamb(IEnumerable<Parameter> parameters, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-6, double weightDecay = 0.01, bool maximize = false)
        : this([new ParameterGroup(parameters)], lr, betas, eps, weightDecay, maximize)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Lamb(IEnumerable<ParameterGroup> groups, double lr = 1e-3, (double Beta1, double Beta2)? betas = null, double eps = 1e-6, double weightDecay = 0.01, bool maximize = false)
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
        Zoo.ParameterUpdate.Lamb(g["beta1"], g["beta2"], g["eps"], g["weightDecay"], g.Is("maximize"));
}

/// <summary>Muon (Jordan 2024): momentum whose steps are made orthogonal. For matrices of hidden layers; embeddings, heads and
/// vectors need another optimizer beside it.</summary>
public sealed class Muon : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="weightDecay">The parameters shrink by lr * weightDecay, whatever their gradients.</param>
    /// <param name="momentum">How much of the last step goes into the next one.</param>
    /// <param name="nesterov">Nesterov's momentum, which looks ahead.</param>
    /// <param name="nsSteps">Newton-Schulz iterations.</param>
    public Muon(IEnumerable<Parameter> parameters, double lr = 1e-3, double weightDecay = 0.1, double momentum = 0.95, bool nesterov = true, int nsSteps = 5)
        : this([new ParameterGroup(parameters)], lr, weightDecay, momentum, nesterov, nsSteps)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Muon(IEnumerable<ParameterGroup> groups, double lr = 1e-3, double weightDecay = 0.1, double momentum = 0.95, bool nesterov = true, int nsSteps = 5)
        : base(
            groups,
            Hyperparameter.Rate(lr),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Momentum(momentum),
            Hyperparameter.Switch("nesterov", nesterov),
            Hyperparameter.Positive("nsSteps", nsSteps))
    {
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Muon(g["momentum"], g.Is("nesterov"), (int)g["nsSteps"], g["weightDecay"]);
}

/// <summary>
/// Adafactor (Shazeer and Stern 2018), as in Hugging Face's transformers: of matrices only the means of rows and columns of
/// the second moment are kept.
/// </summary>
public sealed class Adafactor : Optimizer
{
    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate, if steps are not relative.</param>
    /// <param name="eps">What is added to squared gradients, and the least root mean square of a parameter that scales its rate; (1e-30, 1e-3) if null.</param>
    /// <param name="clipThreshold">The largest root mean square of an update.</param>
    /// <param name="decayRate">The second moment's beta is 1 - t^decayRate.</param>
    /// <param name="beta1">The first moment's beta; null: there is none.</param>
    /// <param name="weightDecay">The parameters shrink by their rate times this, whatever their gradients.</param>
    /// <param name="scaleParameter">The rate times the root mean square of the parameter.</param>
    /// <param name="relativeStep">min(1e-2, 1 / sqrt(t)) instead of <paramref name="lr"/>.</param>
    /// <param name="warmupInit">min(1e-6 t, 1 / sqrt(t)) then.</param>
    public Adafactor(IEnumerable<Parameter> parameters, double? lr = null, (double, double)? eps = null, double clipThreshold = 1, double decayRate = -0.8, double? beta1 = null, double weightDecay = 0, bool scaleParameter = true, bool relativeStep = true, bool warmupInit = false)
        : this([new ParameterGroup(parameters)], lr, eps, clipThreshold, decayRate, beta1, weightDecay, scaleParameter, relativeStep, warmupInit)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public Adafactor(IEnumerable<ParameterGroup> groups, double? lr = null, (double, double)? eps = null, double clipThreshold = 1, double decayRate = -0.8, double? beta1 = null, double weightDecay = 0, bool scaleParameter = true, bool relativeStep = true, bool warmupInit = false)
        : base(
            groups,
            Hyperparameter.Rate(Given(lr, relativeStep)),
            Hyperparameter.Positive("eps1", eps?.Item1 ?? 1e-30),
            Hyperparameter.Positive("eps2", eps?.Item2 ?? 1e-3),
            Hyperparameter.Positive("clipThreshold", clipThreshold),
            Hyperparameter.Any("decayRate", decayRate),
            Hyperparameter.Switch("hasMoment", beta1 is not null),
            new Hyperparameter("momentBeta", beta1 ?? 0, 0, 1, Moves: false),
            Hyperparameter.Positive("weightDecay", weightDecay),
            Hyperparameter.Switch("scaleParameter", scaleParameter),
            Hyperparameter.Switch("relativeStep", relativeStep),
            Hyperparameter.Switch("warmupInit", warmupInit))
    {
    }

    private static double Given(double? lr, bool relativeStep) => (lr, relativeStep) switch
    {
        (not null, true) => throw new ArgumentException("Adafactor: a learning rate and relative steps exclude each other; pass relativeStep: false."),
        (null, false) => throw new ArgumentException("Adafactor: without relative steps it needs a learning rate."),
        _ => lr ?? 0,
    };

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) => Zoo.ParameterUpdate.Adafactor(
        g["eps1"],
        g["eps2"],
        g["clipThreshold"],
        g["decayRate"],
        g.Is("hasMoment") ? g["momentBeta"] : double.NaN,
        g["weightDecay"],
        g.Is("scaleParameter"),
        g.Is("relativeStep"),
        g.Is("warmupInit"));
}
