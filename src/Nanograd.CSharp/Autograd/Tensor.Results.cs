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
}
