namespace Nanograd.CSharp;

/// <summary>
/// L-BFGS (Liu and Nocedal 1989), PyTorch's: for few parameters and losses that are the same at every call. It calls the closure
/// as often as it needs.
/// </summary>
public sealed class LBFGS : Optimizer
{
    private const string Prefix = "state.";

    private readonly Zoo.LbfgsUpdate _update;

    /// <summary>An optimizer for all of these parameters together; it has no groups.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The length of a step; with a line search, of its first trial.</param>
    /// <param name="maxIter">Iterations in one call of Step.</param>
    /// <param name="maxEval">Evaluations of the closure in one call of Step, about; a quarter more than iterations if null.</param>
    /// <param name="toleranceGrad">The largest element of a gradient that counts as zero.</param>
    /// <param name="toleranceChange">The least change of parameters or loss.</param>
    /// <param name="historySize">How many pairs of steps and gradient changes are remembered.</param>
    /// <param name="lineSearchFn"><c>"strong_wolfe"</c>, or null for steps of the given length.</param>
    public LBFGS(
        IEnumerable<Parameter> parameters,
        double lr = 1,
        int maxIter = 20,
        int? maxEval = null,
        double toleranceGrad = 1e-7,
        double toleranceChange = 1e-9,
        int historySize = 100,
        string? lineSearchFn = null)
        : base([new ParameterGroup(parameters)], Hyperparameter.Rate(lr))
    {
        if (lineSearchFn is not (null or "strong_wolfe"))
        {
            throw new ArgumentException($"lineSearchFn must be null or 'strong_wolfe', got '{lineSearchFn}'.");
        }

        if (maxIter < 1 || maxEval < 1 || historySize < 1)
        {
            throw new ArgumentException($"maxIter, maxEval and historySize must be at least 1, got {maxIter}, {maxEval ?? (maxIter * 5 / 4)} and {historySize}.");
        }

        _update = new(maxIter, maxEval ?? (maxIter * 5 / 4), toleranceGrad, toleranceChange, historySize, lineSearchFn is not null);
    }

    /// <summary>Not possible: the loss is needed at several points.</summary>
    public override void Step() => throw new InvalidOperationException(
        "LBFGS looks at the loss at several points: call Step(closure), with a function that calls ZeroGrad(), computes the loss and calls Backward() on it.");

    /// <summary>Up to <c>maxIter</c> iterations. The result is the loss before them.</summary>
    public override Tensor Step(Func<Tensor> closure)
    {
        Parameter[] parameters = [.. AllSlots.Select(s => s.Parameter)];
        Tensor? first = null;
        var (_, moved) = _update.Step(LearningRate, Evaluate, [.. parameters.Select(p => p.Expression)]);
        Put(moved);
        return first!;

        void Put(Node[] values)
        {
            for (var i = 0; i < parameters.Length; i++)
            {
                parameters[i].Adopt(Ops.literal(Copies.Of(Program.storage(values[i])), values[i].Shape), requiresGrad: true);
            }
        }

        (Node, Node[]) Evaluate(Node[] values)
        {
            Put(values);
            var loss = closure();
            var results = Program.evaluate([loss.Expression, .. parameters.Select(p => p.Source?.Expression ?? Creation.zerosLike(p.Expression))]);
            loss.Settle(Program.storage(results[0]));
            first ??= loss;
            return (results[0], results[1..]);
        }
    }

    /// <summary>Not possible: all parameters are one group.</summary>
    public override void AddParamGroup(ParameterGroup group) => throw new InvalidOperationException("LBFGS has one group of parameters only.");

    /// <summary>What it remembers, as vectors over all parameters: <c>state.d</c>, <c>state.old_dirs.i</c>, ..., and <c>param_groups.0.lr</c>.</summary>
    public override IReadOnlyDictionary<string, Tensor> StateDict()
    {
        var result = base.StateDict().ToDictionary();
        foreach (var (name, value) in _update.State)
        {
            result.Add(Prefix + name, new Tensor(value));
        }

        return result;
    }

    /// <summary>Takes the state that <see cref="StateDict"/> of an equal optimizer gave.</summary>
    public override void LoadStateDict(IReadOnlyDictionary<string, Tensor> state)
    {
        var count = AllSlots.Sum(s => s.Parameter.Count);
        var own = state.Where(e => e.Key.StartsWith(Prefix, StringComparison.Ordinal)).ToDictionary(e => e.Key[Prefix.Length..], e => e.Value);
        foreach (var (name, value) in own.Where(e => e.Key is not ("t" or "H_diag") && !e.Value.Shape.SequenceEqual([count])))
        {
            throw new ArgumentException($"LoadStateDict: '{Prefix}{name}' must be a vector over all parameters, [{count}], got {Nanograd.Shape.describe(value.Expression)}.");
        }

        base.LoadStateDict(state.Where(e => !e.Key.StartsWith(Prefix, StringComparison.Ordinal)).ToDictionary());
        _update.State = own.ToDictionary(e => e.Key, e => Copies.Of(e.Value));
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        throw new InvalidOperationException("LBFGS has no rule for single parameters.");

    private protected override void CheckRule(ParameterGroup group)
    {
    }
}
