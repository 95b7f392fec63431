using System.Globalization;

namespace Nanograd.CSharp;

public abstract partial class Optimizer
{
    private const string OfGroups = "param_groups";

    /// <summary>
    /// What the optimizer remembers of each parameter that it has moved: the number of its updates, <c>step</c>, and the rule's
    /// own, such as <c>exp_avg</c>. They are copies: training does not change them.
    /// </summary>
    public IReadOnlyDictionary<Parameter, IReadOnlyDictionary<string, Tensor>> State
    {
        get
        {
            var result = new Dictionary<Parameter, IReadOnlyDictionary<string, Tensor>>(ReferenceEqualityComparer.Instance);
            foreach (var slot in AllSlots.Where(s => s.Steps > 0))
            {
                result.Add(slot.Parameter, Entries(slot).ToDictionary(e => e.Kind, e => e.Value));
            }

            return result;
        }
    }

    private static IEnumerable<(string Kind, Tensor Value)> Entries(Slot slot)
    {
        if (slot.Steps > 0)
        {
            yield return ("step", Tensor.FromArray([slot.Steps], 1));
        }

        for (var k = 0; k < slot.Kinds.Length; k++)
        {
            if (slot.State[k] is { } value)
            {
                yield return (slot.Kinds[k], Own(value));
            }
        }
    }

    private static Tensor Own(Node value) => new(Ops.literal(Copies.Of(Program.storage(value)), value.Shape));

    /// <summary>
    /// The state of the optimizer as named tensors: for parameter i (counted through all groups) its number of updates,
    /// <c>step.i</c>, and the rule's own, such as <c>exp_avg.i</c>; for group g its hyperparameters, such as <c>param_groups.g.lr</c>.
    /// </summary>
    public virtual IReadOnlyDictionary<string, Tensor> StateDict()
    {
        var result = new Dictionary<string, Tensor>();
        foreach (var (slot, i) in AllSlots.Select((s, i) => (s, i)))
        {
            foreach (var (kind, value) in Entries(slot))
            {
                result.Add($"{kind}.{i}", value);
            }
        }

        for (var g = 0; g < _groups.Count; g++)
        {
            foreach (var h in _hyperparameters)
            {
                result.Add($"{OfGroups}.{g}.{h.Name}", Tensor.Scalar(_groups[g][h.Name], DType.Float64));
            }

            if (_groups[g].InitialLr is { } rate)
            {
                result.Add($"{OfGroups}.{g}.initial_lr", Tensor.Scalar(rate, DType.Float64));
            }
        }

        return result;
    }

    /// <summary>
    /// Takes the state that <see cref="StateDict"/> of an equal optimizer gave, all of it or (when something does not fit)
    /// nothing. Hyperparameters that it does not have stay what they are.
    /// </summary>
    public virtual void LoadStateDict(IReadOnlyDictionary<string, Tensor> state)
    {
        var slots = AllSlots.ToArray();
        var ofSlots = slots.Select(_ => new Dictionary<string, Tensor>()).ToArray();
        var ofGroups = new List<(ParameterGroup Group, string Name, double Value)>();
        foreach (var (name, value) in state)
        {
            if (name.StartsWith(OfGroups + ".", StringComparison.Ordinal))
            {
                ofGroups.Add(ParseGroup(name, value));
                continue;
            }

            var dot = name.LastIndexOf('.');
            if (dot < 0 || !int.TryParse(name[(dot + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var i) || i >= slots.Length)
            {
                throw new ArgumentException($"LoadStateDict: '{name}' belongs to no parameter of this optimizer, which has {slots.Length}.");
            }

            ofSlots[i].Add(name[..dot], value);
        }

        // Hyperparameters first: whether there is a momentum decides what the state of a parameter is.
        var before = ofGroups.Select(g => (g.Group, g.Name, Value: g.Name == "initial_lr" ? g.Group.InitialLr ?? double.NaN : g.Group[g.Name])).ToArray();
        try
        {
            ofGroups.ForEach(g => Put(g.Group, g.Name, g.Value));
            var parsed = ParseSlots(ofSlots);
            for (var i = 0; i < slots.Length; i++)
            {
                slots[i].Reset();
                if (parsed[i] is { } entry)
                {
                    slots[i].Put(entry.Rule, entry.State);
                    slots[i].Steps = entry.Steps;
                }
            }
        }
        catch
        {
            Array.ForEach(before, g => Put(g.Group, g.Name, g.Value));
            throw;
        }
    }

    private static void Put(ParameterGroup group, string name, double value)
    {
        if (name == "initial_lr")
        {
            group.InitialLr = double.IsNaN(value) ? null : value;
        }
        else
        {
            group[name] = value;
        }
    }

    private (ParameterGroup, string, double) ParseGroup(string name, Tensor value)
    {
        var parts = name.Split('.');
        if (parts.Length != 3 || !int.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var g) || g >= _groups.Count)
        {
            throw new ArgumentException($"LoadStateDict: '{name}' belongs to no group of this optimizer, which has {_groups.Count}.");
        }

        if (parts[2] != "initial_lr" && !_groups[g].Has(parts[2]))
        {
            throw new ArgumentException($"LoadStateDict: '{name}' is no hyperparameter of {GetType().Name}, which has {string.Join(", ", _groups[g].Names)}.");
        }

        return (_groups[g], parts[2], value.Item());
    }

    private (Zoo.ParameterUpdate Rule, Node?[] State, long Steps)?[] ParseSlots(Dictionary<string, Tensor>[] entries)
    {
        var result = new (Zoo.ParameterUpdate, Node?[], long)?[entries.Length];
        var first = 0;
        for (var g = 0; g < _groups.Count; g++)
        {
            if (entries.Skip(first).Take(_slots[g].Length).All(e => e.Count == 0))
            {
                first += _slots[g].Length;
                continue;
            }

            var rule = RuleOf(_groups[g]).Rule;
            var start = rule.Start([.. _slots[g].Select(s => s.Parameter.Expression)]);
            for (var i = 0; i < _slots[g].Length; i++)
            {
                var own = entries[first + i];
                if (own.Count > 0)
                {
                    result[first + i] = (rule, ParseSlot(first + i, own, rule.Slots, [.. start.Select(s => s[i])]), own.TryGetValue("step", out var steps) ? steps.Item<long>() : 0);
                }
            }

            first += _slots[g].Length;
        }

        return result;
    }

    /// <summary>The state of one parameter, compared with what it is at the start.</summary>
    private Node?[] ParseSlot(int i, Dictionary<string, Tensor> entries, string[] kinds, Node?[] start)
    {
        var state = new Node?[kinds.Length];
        for (var k = 0; k < kinds.Length; k++)
        {
            if (start[k] is not { } expected)
            {
                continue;
            }

            var name = $"{kinds[k]}.{i}";
            if (!entries.TryGetValue(kinds[k], out var value))
            {
                throw new ArgumentException($"LoadStateDict: '{name}' is missing; there is {string.Join(", ", entries.Keys.Select(e => $"'{e}.{i}'"))}.");
            }

            if (!value.Shape.SequenceEqual(expected.Shape))
            {
                throw new ArgumentException($"LoadStateDict: '{name}' must be {Nanograd.Shape.describe(expected)}, got {Nanograd.Shape.describe(value.Expression)}.");
            }

            state[k] = Copies.Of(value.To(expected.DType.ToFacade()));
        }

        var unknown = entries.Keys.Where(e => e != "step" && !(Array.IndexOf(kinds, e) is var k and >= 0 && start[k] is not null)).ToList();
        return unknown.Count == 0 ? state : throw new ArgumentException(
            $"LoadStateDict: '{unknown[0]}.{i}' is no state of {GetType().Name} for this parameter, which has {string.Join(", ", kinds.Where((_, k) => start[k] is not null))}.");
    }
}
