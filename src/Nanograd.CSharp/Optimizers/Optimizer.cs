using System.Globalization;

namespace Nanograd.CSharp;

/// <summary>
/// Changes parameters by their gradients. <see cref="Step()"/> compiles the forward and backward passes, clipping and the
/// update to one program, once for all steps of the same shapes.
/// </summary>
public abstract partial class Optimizer
{
    private readonly List<ParameterGroup> _groups;
    private readonly List<Slot[]> _slots;
    private readonly Hyperparameter[] _hyperparameters;
    private readonly Dictionary<ParameterGroup, (int Version, string Key, Zoo.ParameterUpdate Rule)> _rules = [];

    private protected Optimizer(IEnumerable<ParameterGroup> groups, params Hyperparameter[] hyperparameters)
    {
        (_groups, _slots, _hyperparameters) = ([], [], hyperparameters);
        foreach (var h in hyperparameters)
        {
            h.Check(h.Value);
        }

        foreach (var group in groups)
        {
            Add(group);
        }

        if (_slots.Sum(s => s.Length) == 0)
        {
            throw new ArgumentException("The optimizer got no parameters.");
        }
    }

    /// <summary>An optimizer around another one: they share groups and state.</summary>
    private protected Optimizer(Optimizer inner) =>
        (_groups, _slots, _hyperparameters) = (inner._groups, inner._slots, inner._hyperparameters);

    /// <summary>The groups, in the order they were given.</summary>
    public IReadOnlyList<ParameterGroup> ParamGroups => _groups;

    /// <summary>The values of hyperparameters where groups have none of their own, by name.</summary>
    public IReadOnlyDictionary<string, double> Defaults => _hyperparameters.ToDictionary(h => h.Name, h => h.Value);

    /// <summary>The learning rate of the first group; setting it sets it for all groups.</summary>
    public double LearningRate
    {
        get => _groups[0].LearningRate;
        set
        {
            foreach (var group in _groups)
            {
                group.LearningRate = value;
            }
        }
    }

    /// <summary>Another group of parameters, which none of the others has: layers that begin to train later.</summary>
    public virtual void AddParamGroup(ParameterGroup group) => Add(group);

    private void Add(ParameterGroup group)
    {
        var known = new HashSet<Tensor>(_slots.SelectMany(s => s).Select(s => s.Parameter), ReferenceEqualityComparer.Instance);
        if (!group.Parameters.All(known.Add))
        {
            throw new ArgumentException("A parameter may be in one group of an optimizer only, and only once.");
        }

        foreach (var parameter in group.Parameters.Where(p => !p.DType.IsFloat()))
        {
            throw new ArgumentException($"Only floats can be optimized, got {Nanograd.Shape.describe(parameter.Expression)}.");
        }

        group.Join(_hyperparameters);
        CheckRule(group);
        _groups.Add(group);
        _slots.Add([.. group.Parameters.Select(p => new Slot(p))]);
    }

    private protected IEnumerable<Slot> AllSlots => _slots.SelectMany(s => s);

    // ------------------------------------------------------------------------------------------------ steps

    /// <summary>Forgets the gradients of all parameters.</summary>
    /// <param name="setToNone">
    /// False: they become zeros instead, so that a parameter that gets no gradient afterwards is moved by its momentum all
    /// the same.
    /// </param>
    public void ZeroGrad(bool setToNone = true)
    {
        foreach (var slots in _slots)
        {
            foreach (var slot in slots)
            {
                var p = slot.Parameter;
                p.Restart(setToNone || p.Source is null ? null : new GivenSource(new Tensor(Creation.zerosLike(p.Expression))));
            }
        }
    }

    /// <summary>
    /// Updates every parameter that has a gradient. Afterwards the loss and the results of the outermost modules it came
    /// from have values, and reading them is free; anything else that was computed from the old parameters and not read
    /// yet cannot be read any more.
    /// </summary>
    public virtual void Step()
    {
        var buckets = Buckets();
        if (buckets.Count > 0)
        {
            new StepPlan([.. buckets]).Run();
        }
    }

    /// <summary>Calls a function that clears the gradients, computes the loss and calls Backward on it; then updates. Returns the loss.</summary>
    /// <param name="closure">The function; optimizers that look at several points (<see cref="LBFGS"/>, <see cref="SAM"/>) call it several times.</param>
    public virtual Tensor Step(Func<Tensor> closure)
    {
        var loss = closure();
        Step();
        return loss;
    }

    private protected List<Bucket> Buckets()
    {
        var buckets = new List<Bucket>();
        for (var g = 0; g < _slots.Count; g++)
        {
            var (_, key, rule) = RuleOf(_groups[g]);
            var pending = Array.FindAll(_slots[g], s => s.Parameter.Source is not null);
            while (pending.Length > 0)
            {
                var steps = pending[0].Steps;
                var alike = Array.TrueForAll(pending, s => s.Steps == steps) ? pending : Array.FindAll(pending, s => s.Steps == steps);
                pending = alike.Length == pending.Length ? [] : Array.FindAll(pending, s => s.Steps != steps);
                Begin(rule, alike);
                buckets.Add(new Bucket(_groups[g], rule, key, steps, alike));
            }
        }

        return buckets;
    }

    private protected (int Version, string Key, Zoo.ParameterUpdate Rule) RuleOf(ParameterGroup group)
    {
        if (!_rules.TryGetValue(group, out var known) || known.Version != group.Version)
        {
            _rules[group] = known = (group.Version, Name + group.Describe(), Rule(group));
        }

        return known;
    }

    /// <summary>Raises an error if no rule can be made of the numbers of a group.</summary>
    private protected virtual void CheckRule(ParameterGroup group) => RuleOf(group);

    /// <summary>Makes the state of parameters that have none yet.</summary>
    private static void Begin(Zoo.ParameterUpdate rule, Slot[] slots)
    {
        if (Array.TrueForAll(slots, s => s.IsReadyFor(rule)))
        {
            return;
        }

        var fresh = rule.Init([.. slots.Select(s => s.Parameter.Expression)]);
        for (var i = 0; i < slots.Length; i++)
        {
            slots[i].Begin(rule, [.. fresh.Select(slot => (Node?)slot[i])]);
        }
    }

    /// <summary>What the rule is called, with whatever it depends on besides the group.</summary>
    private protected virtual string Name => GetType().Name + ":";

    /// <summary>The update rule of a group.</summary>
    private protected abstract Zoo.ParameterUpdate Rule(ParameterGroup group);

    /// <summary>The same for an optimizer around another one.</summary>
    private protected static Zoo.ParameterUpdate RuleOf(Optimizer inner, ParameterGroup group) => inner.Rule(group);

    private protected static string NameOf(Optimizer inner) => inner.Name;

    private protected static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);
}
