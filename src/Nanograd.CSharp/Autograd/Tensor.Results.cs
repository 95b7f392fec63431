namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>
    /// Marks states that go on to the next step: Step() computes them all, whichever of them the loss depends on, or if it depends on
    /// what was computed along with them.
    /// </summary>
    internal static void KeepStates(Tensor[] states, params Tensor[] others)
    {
        if (states[0].Lineage is { IsLeaf: false } origin && states.Concat(others).All(t => ReferenceEquals(t.Lineage, origin)))
        {
            var kept = Lineage.OfStates(states, origin);
            foreach (var tensor in states.Concat(others))
            {
                tensor.Lineage = kept;
            }
        }
    }

    /// <summary>
    /// Computes states that no gradient flows to, before a step starts from them: otherwise each step of a loop that generates
    /// would compute all the steps before it once more. Constants, and what is made of variables, stay expressions.
    /// </summary>
    internal static void Settle(Tensor[] states)
    {
        Tensor[] pending = [.. states.Where(s => s is { Lineage: null, HasValue: false, IsOpen: false } && s.IsOfValues())];
        if (pending.Length > 0)
        {
            Evaluate(pending);
        }
    }

    private bool IsOfValues() => Graph.topological([Expression]).Any(n => n.Op.IsLiteral);
}
