namespace Nanograd.CSharp;

/// <summary>
/// An optimizer that moves nothing: its steps add up gradients. So loss, gradients and buffers of a batch are one compiled program,
/// found again as steps of optimizers are, and gradients can be looked at before they move anything.
/// </summary>
internal sealed class GradientSum(IEnumerable<Parameter> parameters) : Optimizer([new ParameterGroup(parameters)], Hyperparameter.Rate(1))
{
    /// <summary>Adds the present gradients, each times a weight.</summary>
    public void Add(double weight)
    {
        LearningRate = weight;
        Step();
    }

    /// <summary>Makes the sums the gradients of their parameters and begins anew. False: something in them is NaN or infinite.</summary>
    public bool Take(out double norm)
    {
        var given = AllSlots.Where(s => s.Steps > 0).ToList();
        var sums = given.Select(s => s.State[0]!).ToArray();
        for (var i = 0; i < sums.Length; i++)
        {
            given[i].Parameter.Grad = new Tensor(sums[i]).To(given[i].Parameter.DType);
            given[i].Reset();
        }

        norm = sums.Length == 0 ? 0 : new Tensor(Zoo.GradientSums.Norm(sums)).Item();
        return double.IsFinite(norm);
    }

    /// <summary>The bytes that adding the present gradients takes, all values included: known without doing it.</summary>
    public long PlannedBytes() => new StepPlan([.. Buckets()]).PlannedBytes;

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup group) => Zoo.GradientSums.Rule();
}
