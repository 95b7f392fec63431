namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>
    /// Marks the results of a module whose state goes on: Step() computes the states, so that the next step can begin with them,
    /// and the output as it does with those of other modules.
    /// </summary>
    internal static void Keep(Tensor? output, params Tensor[] states)
    {
        if (states[0].Lineage is { IsLeaf: false, Result: null } origin && states.All(s => ReferenceEquals(s.Lineage, origin)))
        {
            var kept = Lineage.OfStates(states, origin);
            foreach (var state in states)
            {
                state.Lineage = kept;
            }

            if (output is not null)
            {
                output.Lineage = Lineage.OfResult(output, kept);
            }
        }
    }
}

/// <summary>Parameters that take another's place.</summary>
internal static class ParameterCopies
{
    /// <summary>Takes a copy of a value, and its type.</summary>
    public static void Become(this Parameter parameter, Tensor value) => parameter.Adopt(Copies.Of(value), parameter.RequiresGrad);
}
