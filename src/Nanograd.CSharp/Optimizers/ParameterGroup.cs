using System.Globalization;

namespace Nanograd.CSharp;

/// <summary>
/// Parameters with hyperparameters of their own: whatever a group does not give is the optimizer's. All of them may be
/// changed between steps; learning rate, momentum and the first beta are inputs of the compiled step, a change of another
/// one compiles the step again.
/// </summary>
/// <example><code>
/// var optimizer = new SGD([new ParameterGroup(body), new ParameterGroup(head, lr: 1e-3) { ["nesterov"] = 1 }], lr: 1e-2, momentum: 0.9);
/// </code></example>
public sealed class ParameterGroup
{
    private readonly Dictionary<string, double> _values = [];
    private Dictionary<string, Hyperparameter>? _known;
    private Hyperparameter? _momentum;

    /// <summary>A group; what is null is taken from the optimizer.</summary>
    public ParameterGroup(
        IEnumerable<Parameter> parameters,
        double? lr = null,
        double? weightDecay = null,
        double? momentum = null,
        (double Beta1, double Beta2)? betas = null,
        double? eps = null)
    {
        Parameters = [.. parameters];
        Give("lr", lr);
        Give("weightDecay", weightDecay);
        Give("momentum", momentum);
        Give("beta1", betas?.Beta1);
        Give("beta2", betas?.Beta2);
        Give("eps", eps);
    }

    /// <summary>The parameters of the group.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>A hyperparameter by the name of the optimizer's argument: <c>group["rho"]</c>. Switches are 1 or 0.</summary>
    public double this[string name]
    {
        get => _values.TryGetValue(name, out var value) ? value : throw Unknown(name);
        set
        {
            if (_known is null)
            {
                _values[name] = value;
                return;
            }

            var known = _known.GetValueOrDefault(name) ?? throw Unknown(name);
            var before = _values[name];
            _values[name] = known.Check(value);
            if (before != value && (!known.Moves || (name == "momentum" && before * value == 0)))
            {
                Version++; // whether there is a momentum at all decides what the state is
            }
        }
    }

    /// <summary>The learning rate.</summary>
    public double LearningRate
    {
        get => this["lr"];
        set => this["lr"] = value;
    }

    /// <summary>The weight decay.</summary>
    public double WeightDecay
    {
        get => this["weightDecay"];
        set => this["weightDecay"] = value;
    }

    /// <summary>The momentum, of optimizers that have one by this name.</summary>
    public double Momentum
    {
        get => this["momentum"];
        set => this["momentum"] = value;
    }

    /// <summary>The weights of the past in the averages of gradients and of their squares.</summary>
    public (double Beta1, double Beta2) Betas
    {
        get => (this["beta1"], this["beta2"]);
        set => (this["beta1"], this["beta2"]) = value;
    }

    /// <summary>The rate before any schedule changed it; null: there is no schedule.</summary>
    public double? InitialLr { get; internal set; }

    /// <summary>The names of all hyperparameters.</summary>
    public IReadOnlyCollection<string> Names => _values.Keys;

    /// <summary>Grows when a number changes that is built into the compiled step.</summary>
    internal int Version { get; private set; }

    internal bool Has(string name) => _values.ContainsKey(name);

    internal bool Is(string name) => this[name] != 0;

    /// <summary>The momentum or first beta, whichever there is; NaN: neither.</summary>
    internal double Moving => _momentum is null ? double.NaN : _values[_momentum.Name];

    /// <summary>What the group does not give, it takes from its optimizer.</summary>
    internal void Join(IReadOnlyList<Hyperparameter> hyperparameters)
    {
        if (_known is not null)
        {
            throw new ArgumentException("The group of parameters belongs to another optimizer already.");
        }

        var known = hyperparameters.ToDictionary(h => h.Name);
        foreach (var (name, value) in _values)
        {
            (known.GetValueOrDefault(name) ?? throw Unknown(name, known.Keys)).Check(value);
        }

        foreach (var h in hyperparameters)
        {
            _values.TryAdd(h.Name, h.Value);
        }

        _momentum = hyperparameters.FirstOrDefault(h => h is { Moves: true, Name: not "lr" });
        _known = known;
    }

    /// <summary>All numbers that are built into the compiled step, as text.</summary>
    internal string Describe()
    {
        var parts = _known!.Values.Select(h => !h.Moves ? h.Name + "=" + _values[h.Name].ToString("R", CultureInfo.InvariantCulture)
            : h.Name == "momentum" && _values[h.Name] == 0 ? "still" : "");
        return string.Join(',', parts);
    }

    private void Give(string name, double? value)
    {
        if (value is { } given)
        {
            _values[name] = given;
        }
    }

    private ArgumentException Unknown(string name, IEnumerable<string>? known = null) =>
        new($"'{name}' is no hyperparameter of this optimizer, which has {string.Join(", ", known ?? _values.Keys)}.");
}
