namespace Nanograd.CSharp;

/// <summary>Parameters that one update rule treats alike: same group, same number of updates so far.</summary>
internal sealed record Bucket(ParameterGroup Group, Zoo.ParameterUpdate Rule, string RuleKey, long Steps, Slot[] Slots)
{
    /// <summary>How many numbers of a bucket go into a step: updates done, learning rate, momentum.</summary>
    public const int Numbers = 3;
}

/// <summary>What an optimizer knows of one parameter.</summary>
internal sealed class Slot(Parameter parameter)
{
    private Zoo.ParameterUpdate? _rule;

    public Parameter Parameter { get; } = parameter;

    public long Steps { get; set; }

    /// <summary>What the entries of the state are, as "exp_avg".</summary>
    public string[] Kinds { get; private set; } = [];

    /// <summary>The state: values that nobody else holds; null where this parameter has nothing of a kind.</summary>
    public Node?[] State { get; private set; } = [];

    public bool IsReadyFor(Zoo.ParameterUpdate rule) => ReferenceEquals(_rule, rule);

    /// <summary>Takes the state of a rule; where there was something of a kind already, it stays.</summary>
    public void Begin(Zoo.ParameterUpdate rule, Node?[] fresh)
    {
        var kinds = rule.Slots;
        for (var k = 0; k < kinds.Length; k++)
        {
            if (fresh[k] is not null && Find(kinds[k]) is { } before)
            {
                fresh[k] = before;
            }
        }

        Put(rule, fresh);
    }

    public void Put(Zoo.ParameterUpdate rule, Node?[] state) => (_rule, Kinds, State) = (rule, rule.Slots, state);

    public Node? Find(string kind)
    {
        var k = Array.IndexOf(Kinds, kind);
        return k < 0 ? null : State[k];
    }

    public void Reset()
    {
        (_rule, Kinds, State) = (null, [], []);
        Steps = 0;
    }
}
