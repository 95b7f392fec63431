using System.Runtime.CompilerServices;
using Microsoft.FSharp.Core;

namespace Nanograd.CSharp;

/// <summary>
/// One application of a function to variables: what the core's transforms do with it. What the function closes over keeps
/// its gradients, and what it cuts off (Detach, NoGrad) stays cut off.
/// </summary>
internal sealed class Trace
{
    private readonly Lineage _variable = Lineage.OfVariable();
    private readonly HashSet<Lineage> _closedOver = new(ReferenceEqualityComparer.Instance);
    private readonly List<(Buffer Buffer, Node Before)> _updates = [];
    private readonly Tensor[] _operands;

    /// <summary>The innermost one whose function this thread is in.</summary>
    [ThreadStatic]
    private static Trace? _current;

    public static Trace? Current => _current;

    /// <summary>
    /// Whether the function may update buffers: its results are then followed by the new values of <see cref="Updated"/>.
    /// Otherwise an update is an error, because its value would be an expression of the function's variables.
    /// </summary>
    public bool CarriesUpdates { get; init; }

    /// <summary>The buffers that the function updated.</summary>
    public Buffer[] Updated { get; private set; } = [];

    public Trace(params Tensor[] operands) => _operands = operands;

    /// <summary>The operands' expressions.</summary>
    public static Node[] Given(Tensor[] operands) => [.. operands.Select(Cut)];

    private static Node Cut(Tensor t) => t.IsFrozen ? Nanograd.Grad.stopGradient(t.Expression) : t.Expression;

    /// <summary>Calls a function of tensors with variables in their place.</summary>
    public Node[] Call(Node[] variables, Func<Tensor[], Tensor[]> f)
    {
        // Whoever calls a transform under NoGrad does not want the derivatives inside it to be zero.
        var depth = NoGrad.Suspend();
        var outer = _current;
        _current = this;
        try
        {
            var results = f([.. variables.Select(v => new Tensor(v, _variable))]);
            foreach (var result in results.Where(r => r.Lineage is not null))
            {
                _closedOver.UnionWith(result.Lineage!.Sources());
            }

            Updated = [.. _updates.Select(u => u.Buffer).Distinct<Buffer>(ReferenceEqualityComparer.Instance)];
            return [.. Given(results), .. Updated.Select(b => Nanograd.Grad.stopGradient(b.Expression))];
        }
        finally
        {
            NoGrad.Resume(depth);
            _current = outer;
            foreach (var (buffer, before) in Enumerable.Reverse(_updates))
            {
                buffer.Restore(before);
            }

            _updates.Clear();
        }
    }

    /// <summary>Notes that the function is about to update a buffer.</summary>
    public void Take(Buffer buffer)
    {
        if (!CarriesUpdates)
        {
            throw new InvalidOperationException(
                "A buffer cannot be updated inside a function that Functional transforms; call Eval() on the module before, or make it without running statistics.");
        }

        _updates.Add((buffer, buffer.Expression));
    }

    /// <summary>A function of one tensor, as the core takes it.</summary>
    public FSharpFunc<Node, Node> Lower(Func<Tensor, Tensor> f) =>
        FSharpFunc<Node, Node>.FromConverter(x => Call([x], t => [f(t[0])])[0]);

    /// <summary>A function of trees, as the core takes it: of arrays. The form of its result is noted.</summary>
    public FSharpFunc<Node[], Node[]> Lower<T, U>(Func<T, U> f, T like, StrongBox<U> form) =>
        FSharpFunc<Node[], Node[]>.FromConverter(x => Call(x, t =>
        {
            form.Value = f(Trees<T>.Rebuild(like, t));
            return Trees<U>.Leaves(form.Value);
        }));

    /// <summary>A scalar function of a tree, as the core takes it: of an array.</summary>
    public FSharpFunc<Node[], Node> LowerScalar<T>(Func<T, Tensor> f, T like) =>
        FSharpFunc<Node[], Node>.FromConverter(x => Call(x, t => [f(Trees<T>.Rebuild(like, t))])[0]);

    /// <summary>Results of a transform, of which gradients flow to the operands and to what the function closes over.</summary>
    public Tensor[] Results(Node[] nodes, params Tensor[] others)
    {
        _closedOver.Remove(_variable);
        Tensor[] operands = [.. _operands, .. others];
        var lineage = Lineage.Join([.. operands.Select(o => o.Lineage).OfType<Lineage>(), .. _closedOver]);
        var recording = lineage is not null && NoGrad.IsOff;
        var frozen = !recording && (lineage is not null || operands.Any(o => o.IsFrozen));
        return [.. nodes.Select(n => new Tensor(n, recording ? lineage : null, frozen))];
    }

    /// <summary>The same where the transform may have computed the results: then no gradient can flow through them.</summary>
    public static Tensor[] Computed(Node[] nodes, Trace trace) =>
        nodes.All(n => n.Op.IsLiteral) ? [.. nodes.Select(n => new Tensor(n))] : trace.Results(nodes);

    public Tensor Result(Node node, params Tensor[] others) => Results([node], others)[0];
}
