namespace Nanograd.CSharp;

/// <summary>
/// Where a gradient comes from, before anybody has written it down: what Backward() and ClipGradNorm() did, in order. Its
/// expression is built at most once, and only if no compiled step is known for it.
/// </summary>
internal abstract class GradSource
{
    private Node? _expression;

    /// <summary>The gradient as an expression.</summary>
    public Node Expression => _expression ??= Build();

    protected abstract Node Build();

    /// <summary>Tells the plan of a step what this gradient is made of.</summary>
    public abstract void Describe(StepPlan plan);

    /// <summary>True when Step() has overwritten what this gradient would be computed from.</summary>
    public virtual bool IsUsedUp => false;
}

/// <summary>One call of Backward().</summary>
internal sealed class BackwardPass(Tensor loss, Node root, Lineage[] leaves, Tensor[] results)
{
    private Node[]? _gradients;

    public Tensor Loss { get; } = loss;

    /// <summary>The scalar that is differentiated.</summary>
    public Node Root { get; } = root;

    public Lineage[] Leaves { get; } = leaves;

    /// <summary>Module results that the step computes along with the loss.</summary>
    public Tensor[] Results { get; } = results;

    /// <summary>The gradients of all leaves together: the backward part is built once for all of them.</summary>
    public Node[] Gradients => _gradients ??= Nanograd.Grad.gradient(Root, [.. Leaves.Select(l => l.Value!)]);

    public void Describe(StepPlan plan)
    {
        plan.Note(1);
        plan.Root(Root);
        plan.Root(Loss.Expression);
        foreach (var leaf in Leaves)
        {
            plan.Root(leaf.Value!);
        }

        plan.Note(Results.Length);
        foreach (var result in Results)
        {
            plan.Root(result.Expression);
        }

        plan.Pass(this);
    }
}

/// <summary>What one call of Backward() gave one leaf.</summary>
internal sealed class PassSource(BackwardPass pass, int leaf) : GradSource
{
    protected override Node Build() => pass.Gradients[leaf];

    public override void Describe(StepPlan plan)
    {
        plan.Visit(pass, pass.Describe);
        plan.Note(leaf);
    }
}

/// <summary>What several calls of Backward() gave one leaf.</summary>
internal sealed class SumSource(GradSource first, GradSource second) : GradSource
{
    protected override Node Build() => first.Expression + second.Expression;

    public override void Describe(StepPlan plan)
    {
        plan.Note(2);
        plan.Visit(first);
        plan.Visit(second);
    }

    public override bool IsUsedUp => first.IsUsedUp || second.IsUsedUp;
}

/// <summary>A gradient that is a tensor: assigned by the user, or computed already.</summary>
internal sealed class GivenSource(Tensor tensor) : GradSource
{
    protected override Node Build() => tensor.Expression;

    public override void Describe(StepPlan plan)
    {
        plan.Note(3);
        plan.Root(tensor.Expression);
    }
}

/// <summary>Gradients changed together: one call of ClipGradNorm() and its like.</summary>
/// <param name="sources">The gradients before.</param>
/// <param name="key">Tells what is done from everything else that may be done to gradients.</param>
/// <param name="change">From gradients to gradients.</param>
internal sealed class GradientChange(GradSource[] sources, (string Name, double A, double B) key, Func<Node[], Node[]> change)
{
    private Node[]? _changed;

    /// <summary>A number that the step computes along with the change: the norm before clipping.</summary>
    public Tensor? Measure { get; init; }

    /// <summary>Parameters that the change reads.</summary>
    public Node[] Read { get; init; } = [];

    public Node[] Before => [.. sources.Select(s => s.Expression)];

    public Node[] Changed => _changed ??= change(Before);

    /// <summary>Puts a change in the place of the gradients of parameters.</summary>
    public void Apply(IReadOnlyList<Parameter> parameters)
    {
        for (var i = 0; i < parameters.Count; i++)
        {
            parameters[i].Restart(new ChangedSource(this, i));
        }
    }

    public void Describe(StepPlan plan)
    {
        plan.Note(4);
        plan.Note(key.Name);
        plan.Note(key.A);
        plan.Note(key.B);
        plan.Note(sources.Length);
        foreach (var source in sources)
        {
            plan.Visit(source);
        }

        foreach (var node in Read)
        {
            plan.Root(node);
        }

        plan.Change(this);
    }
}

/// <summary>A gradient changed together with others.</summary>
internal sealed class ChangedSource(GradientChange change, int index) : GradSource
{
    protected override Node Build() => change.Changed[index];

    public override void Describe(StepPlan plan)
    {
        plan.Visit(change, change.Describe);
        plan.Note(index);
    }
}

/// <summary>A gradient that Step() used and nobody looked at.</summary>
internal sealed class UsedUpSource : GradSource
{
    public static readonly UsedUpSource Instance = new();

    private static InvalidOperationException Error => new(
        "This gradient was used by Optimizer.Step() and not kept: call ZeroGrad() and Backward() again, or read Grad before Step().");

    protected override Node Build() => throw Error;

    public override void Describe(StepPlan plan) => throw Error;

    public override bool IsUsedUp => true;
}
