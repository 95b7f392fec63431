namespace Nanograd.CSharp;

/// <summary>
/// Sharpness-aware minimization (Foret et al. 2021) around another optimizer: its steps follow the gradient at the worst point
/// near, p + rho g / |g|, with the norm over all parameters. Give <see cref="Step(Func{Tensor})"/> a closure, or make both
/// halves of a step by hand:
/// <code>
/// F.CrossEntropy(model.Forward(x), y).Backward();
/// optimizer.FirstStep(zeroGrad: true);
/// F.CrossEntropy(model.Forward(x), y).Backward();
/// optimizer.SecondStep(zeroGrad: true);
/// </code>
/// </summary>
public sealed class SAM : Optimizer
{
    private static readonly Zoo.ParameterUpdate Ascent = Zoo.ParameterUpdate.Ascent();

    private readonly Optimizer _inner;
    private readonly double _rho;
    private Dictionary<Parameter, Node>? _before;

    /// <summary>Sharpness-aware steps of an optimizer: <c>new SAM(new SGD(model.Parameters(), 0.1), rho: 0.05)</c>.</summary>
    public SAM(Optimizer optimizer, double rho = 0.05)
        : base(optimizer)
    {
        _inner = optimizer is LBFGS or SAM ? throw new ArgumentException($"SAM cannot be around {optimizer.GetType().Name}, which makes several steps in one.") : optimizer;
        _rho = rho >= 0 && double.IsFinite(rho) ? rho : throw new ArgumentException($"rho must be a finite number that is not negative, got {Text(rho)}.");
    }

    /// <summary>Goes from the parameters to the worst point near, by the present gradients.</summary>
    public void FirstStep(bool zeroGrad = false)
    {
        if (_before is not null)
        {
            throw new InvalidOperationException("SAM: FirstStep() was called twice; SecondStep() comes after it.");
        }

        Slot[] slots = [.. AllSlots.Where(s => s.Parameter.Source is not null).Select(s => new Slot(s.Parameter))];
        if (slots.Length == 0)
        {
            throw new InvalidOperationException("SAM: there are no gradients; call Backward() on the loss before FirstStep().");
        }

        var change = new GradientChange([.. slots.Select(s => s.Parameter.Source!)], ("length", _rho, 0), g => Zoo.GradientChange.OfLength(_rho, g));
        change.Apply([.. slots.Select(s => s.Parameter)]);
        foreach (var slot in slots)
        {
            slot.Begin(Ascent, [Copies.Of(slot.Parameter)]);
        }

        new StepPlan([new Bucket(ParamGroups[0], Ascent, "SAM", 0, slots)]).Run();
        _before = slots.ToDictionary(s => s.Parameter, s => s.State[0]!, (IEqualityComparer<Parameter>)ReferenceEqualityComparer.Instance);
        if (zeroGrad)
        {
            ZeroGrad();
        }
    }

    /// <summary>Goes back, and makes a step of the inner optimizer with the present gradients, those at the worst point.</summary>
    public void SecondStep(bool zeroGrad = false)
    {
        if (_before is null)
        {
            throw new InvalidOperationException("SAM: FirstStep() comes before SecondStep().");
        }

        foreach (var (parameter, value) in _before)
        {
            parameter.Adopt(value, requiresGrad: true);
        }

        _before = null;
        _inner.Step();
        if (zeroGrad)
        {
            ZeroGrad();
        }
    }

    /// <summary>Not possible: the gradient is needed at two points.</summary>
    public override void Step() => throw new InvalidOperationException(
        "SAM needs the gradient at two points: call Step(closure), or FirstStep() and SecondStep() with a Backward() before each.");

    /// <summary>Both halves of a step. The closure is called twice; the result is the loss at the parameters themselves.</summary>
    public override Tensor Step(Func<Tensor> closure)
    {
        var loss = closure();
        FirstStep(zeroGrad: true);
        closure();
        SecondStep();
        return loss;
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) => RuleOf(_inner, g);
}
