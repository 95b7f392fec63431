using System.Globalization;

namespace Nanograd.CSharp;

/// <summary>Parameters with hyperparameters of their own.</summary>
public sealed class ParameterGroup
{
    /// <summary>A group; what is null is taken from the optimizer.</summary>
    public ParameterGroup(IEnumerable<Parameter> parameters, double? lr = null, double? weightDecay = null)
    {
        Parameters = [.. parameters];
        GivenRate = lr;
        GivenDecay = weightDecay;
    }

    /// <summary>The parameters of the group.</summary>
    public IReadOnlyList<Parameter> Parameters { get; }

    /// <summary>The learning rate. It may be set before every step: it is an input of the compiled step.</summary>
    public double LearningRate { get; set; }

    /// <summary>The weight decay.</summary>
    public double WeightDecay { get; set; }

    internal double? GivenRate { get; }

    internal double? GivenDecay { get; }
}

/// <summary>
/// Changes parameters by their gradients. <see cref="Step"/> compiles the forward and backward passes, clipping and the
/// update to one program, once for all steps of the same shapes.
/// </summary>
public abstract class Optimizer
{
    private readonly Slot[][] _slots;
    private readonly Dictionary<ParameterGroup, (string Key, Zoo.ParameterUpdate Rule)> _rules = [];

    private protected Optimizer(IEnumerable<ParameterGroup> groups, double lr, double weightDecay)
    {
        ParameterGroups = [.. groups];
        var all = ParameterGroups.SelectMany(g => g.Parameters).ToList();
        if (all.Count == 0)
        {
            throw new ArgumentException("The optimizer got no parameters.");
        }

        if (all.Distinct<Parameter>(ReferenceEqualityComparer.Instance).Count() != all.Count)
        {
            throw new ArgumentException("A parameter may be in one group of an optimizer only, and only once.");
        }

        foreach (var group in ParameterGroups)
        {
            group.LearningRate = Check("lr", group.GivenRate ?? lr);
            group.WeightDecay = Check("weightDecay", group.GivenDecay ?? weightDecay);
        }

        _slots = [.. ParameterGroups.Select(g => g.Parameters.Select(p => new Slot(p)).ToArray())];
    }

    /// <summary>The groups, in the order they were given.</summary>
    public IReadOnlyList<ParameterGroup> ParameterGroups { get; }

    /// <summary>The learning rate of the first group; setting it sets it for all groups.</summary>
    public double LearningRate
    {
        get => ParameterGroups[0].LearningRate;
        set
        {
            foreach (var group in ParameterGroups)
            {
                group.LearningRate = Check("LearningRate", value);
            }
        }
    }

    /// <summary>Forgets the gradients of all parameters.</summary>
    public void ZeroGrad()
    {
        foreach (var slot in _slots.SelectMany(s => s))
        {
            slot.Parameter.Restart(null);
        }
    }

    /// <summary>
    /// Updates every parameter that has a gradient. Afterwards the loss and the results of the outermost modules it came
    /// from have values, and reading them is free; anything else that was computed from the old parameters and not read
    /// yet cannot be read any more.
    /// </summary>
    public void Step()
    {
        var buckets = Buckets();
        if (buckets.Length > 0)
        {
            new StepPlan(buckets).Run();
        }
    }

    private Bucket[] Buckets()
    {
        var buckets = new List<Bucket>();
        for (var g = 0; g < _slots.Length; g++)
        {
            var group = ParameterGroups[g];
            var key = Describe(group);
            if (!_rules.TryGetValue(group, out var known) || known.Key != key)
            {
                _rules[group] = known = (key, Rule(group));
            }

            foreach (var alike in _slots[g].Where(s => s.Parameter.Source is not null).GroupBy(s => s.Steps))
            {
                buckets.Add(new Bucket(group, known.Rule, key, alike.Key, [.. alike]));
            }
        }

        foreach (var bucket in buckets)
        {
            Begin(bucket);
        }

        return [.. buckets];
    }

    /// <summary>Makes the state of parameters that have none yet.</summary>
    private static void Begin(Bucket bucket)
    {
        if (bucket.State.Length == 0 || bucket.State.All(s => s.Slot.State.ContainsKey(s.Kind)))
        {
            return;
        }

        var fresh = bucket.Rule.Init([.. bucket.Slots.Select(s => s.Parameter.Expression)]);
        for (var i = 0; i < fresh.Length; i++)
        {
            bucket.State[i].Slot.State.TryAdd(bucket.State[i].Kind, fresh[i]);
        }
    }

    /// <summary>The update rule of a group.</summary>
    private protected abstract Zoo.ParameterUpdate Rule(ParameterGroup group);

    /// <summary>Everything that the rule depends on, as text.</summary>
    private protected abstract string Describe(ParameterGroup group);

    private protected static string Describe(string name, params double[] numbers) =>
        name + string.Join(",", numbers.Select(n => n.ToString("R", CultureInfo.InvariantCulture)));

    private protected static double Check(string name, double value) => value >= 0 && double.IsFinite(value)
        ? value
        : throw new ArgumentException($"{name} must be a finite number that is not negative, got {value.ToString(CultureInfo.InvariantCulture)}.");

    /// <summary>
    /// The state of the optimizer as named tensors: for parameter i (counted through all groups) its number of updates,
    /// <c>step.i</c>, and the rule's own, such as <c>exp_avg.i</c>.
    /// </summary>
    public IReadOnlyDictionary<string, Tensor> StateDict()
    {
        var result = new Dictionary<string, Tensor>();
        var i = 0;
        foreach (var slot in _slots.SelectMany(s => s))
        {
            if (slot.Steps > 0)
            {
                result.Add($"step.{i}", Tensor.FromArray([slot.Steps], 1));
            }

            foreach (var (kind, value) in slot.State)
            {
                result.Add($"{kind}.{i}", new Tensor(Ops.literal(Copies.Of(Program.storage(value)), value.Shape)));
            }

            i++;
        }

        return result;
    }

    /// <summary>Takes the state that <see cref="StateDict"/> of an equal optimizer gave.</summary>
    public void LoadStateDict(IReadOnlyDictionary<string, Tensor> state)
    {
        var slots = _slots.SelectMany(s => s).ToArray();
        var parsed = new List<(Slot Slot, string Kind, Tensor Value)>();
        foreach (var (name, value) in state)
        {
            var dot = name.LastIndexOf('.');
            if (dot < 0 || !int.TryParse(name[(dot + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var i) || i >= slots.Length)
            {
                throw new ArgumentException($"LoadStateDict: '{name}' belongs to no parameter of this optimizer, which has {slots.Length}.");
            }

            var kind = name[..dot];
            if (kind != "step" && !value.Shape.SequenceEqual(slots[i].Parameter.Shape))
            {
                throw new ArgumentException($"LoadStateDict: '{name}' must have the shape of its parameter, {Nanograd.Shape.describe(slots[i].Parameter.Expression)}, got {Nanograd.Shape.describe(value.Expression)}.");
            }

            parsed.Add((slots[i], kind, value));
        }

        foreach (var slot in slots)
        {
            slot.Steps = 0;
            slot.State.Clear();
        }

        foreach (var (slot, kind, value) in parsed)
        {
            if (kind == "step")
            {
                slot.Steps = value.Item<long>();
            }
            else
            {
                slot.State[kind] = Copies.Of(value);
            }
        }
    }
}
