namespace Nanograd.CSharp;

/// <summary>Stochastic gradient descent, with momentum if asked for: PyTorch's rule.</summary>
public sealed class SGD : Optimizer
{
    private readonly double _momentum;
    private readonly double _dampening;
    private readonly bool _nesterov;

    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    public SGD(IEnumerable<Parameter> parameters, double lr = 1e-3, double momentum = 0, double dampening = 0, double weightDecay = 0, bool nesterov = false)
        : this([new ParameterGroup(parameters)], lr, momentum, dampening, weightDecay, nesterov)
    {
    }

    /// <summary>An optimizer for groups of parameters.</summary>
    public SGD(IEnumerable<ParameterGroup> groups, double lr = 1e-3, double momentum = 0, double dampening = 0, double weightDecay = 0, bool nesterov = false)
        : base(groups, lr, weightDecay)
    {
        _momentum = Check("momentum", momentum);
        _dampening = double.IsFinite(dampening) ? dampening : throw new ArgumentException("dampening must be a finite number.");
        if (nesterov && (momentum == 0 || dampening != 0))
        {
            throw new ArgumentException("Nesterov momentum requires a momentum and zero dampening.");
        }

        _nesterov = nesterov;
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup group) =>
        Zoo.ParameterUpdate.Sgd(_momentum, _dampening, group.WeightDecay, _nesterov);

    private protected override string Describe(ParameterGroup group) =>
        Describe("sgd", _momentum, _dampening, group.WeightDecay, _nesterov ? 1 : 0);
}
