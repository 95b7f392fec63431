namespace Nanograd.CSharp;

/// <summary>
/// Sophia-G (Liu et al. 2023): momentum divided by an estimate of the Hessian's diagonal, clipped. Every few steps the estimate
/// must be renewed:
/// <code>
/// if (optimizer.IsHessianDue)
/// {
///     optimizer.ZeroGrad();
///     SophiaG.SampledLoss(model.Forward(x)).Backward();
///     optimizer.UpdateHessian(rows);
/// }
/// optimizer.ZeroGrad();
/// F.CrossEntropy(model.Forward(x), y).Backward();
/// optimizer.Step();
/// </code>
/// </summary>
public sealed class SophiaG : Optimizer
{
    private const string Hessian = "hessian";

    /// <summary>An optimizer for parameters that are all treated alike.</summary>
    /// <param name="parameters">What it moves.</param>
    /// <param name="lr">The learning rate.</param>
    /// <param name="betas">The weights of the past in the averages of gradients and of Hessians; (0.96, 0.99) if null.</param>
    /// <param name="gamma">Steps are clipped where the momentum exceeds gamma times the curvature.</param>
    /// <param name="eps">The least curvature.</param>
    /// <param name="weightDecay">The parameters shrink by lr * weightDecay, whatever their gradients.</param>
    /// <param name="every">After how many steps an estimate of the Hessian is due.</param>
    public SophiaG(IEnumerable<Parameter> parameters, double lr = 1e-4, (double Beta1, double Beta2)? betas = null, double gamma = 0.05, double eps = 1e-12, double weightDecay = 0.2, int every = 10)
        : this([new ParameterGroup(parameters)], lr, betas, gamma, eps, weightDecay, every)
    {
    }

    /// <summary>An optimizer for groups of parameters, with these values where a group has none of its own.</summary>
    public SophiaG(IEnumerable<ParameterGroup> groups, double lr = 1e-4, (double Beta1, double Beta2)? betas = null, double gamma = 0.05, double eps = 1e-12, double weightDecay = 0.2, int every = 10)
        : base(
            groups,
            [
                Hyperparameter.Rate(lr),
                .. Hyperparameter.Betas(betas, 0.96, 0.99),
                Hyperparameter.Positive("gamma", gamma),
                Hyperparameter.Positive("eps", eps),
                Hyperparameter.Positive("weightDecay", weightDecay),
            ])
    {
        Every = every > 0 ? every : throw new ArgumentException($"every must be at least 1, got {every}.");
    }

    /// <summary>After how many steps an estimate of the Hessian is due.</summary>
    public int Every { get; }

    /// <summary>True before the first step, and after every <see cref="Every"/> steps.</summary>
    public bool IsHessianDue => AllSlots.Max(s => s.Steps) % Every == 0;

    /// <summary>
    /// The cross-entropy of predictions with labels that are sampled from the predictions themselves, its mean: what to
    /// differentiate before <see cref="UpdateHessian"/>. Logits: [..; classes]; the result is a scalar.
    /// </summary>
    public static Tensor SampledLoss(Tensor logits, Generator? generator = null)
    {
        int[] shape = [.. logits.Shape.Take(logits.Rank - 1)];
        var labels = Tensor.Categorical(logits.Detach(), shape, generator);
        return -logits.LogSoftmax(-1).Gather(logits.Rank - 1, labels.Unsqueeze(-1)).Mean();
    }

    /// <summary>
    /// Takes the present gradients, of a mean loss over <paramref name="batchSize"/> labels sampled from the model, for an
    /// estimate of the Hessian's diagonal (Gauss-Newton-Bartlett): h = beta2 h + (1 - beta2) batchSize g². The parameters
    /// stay.
    /// </summary>
    public void UpdateHessian(long batchSize)
    {
        if (batchSize < 1)
        {
            throw new ArgumentException($"UpdateHessian: the batch size must be at least 1, got {batchSize}.");
        }

        var buckets = Buckets();
        if (buckets.Count == 0)
        {
            throw new InvalidOperationException("UpdateHessian: there are no gradients; call Backward() on SampledLoss(logits) first.");
        }

        var next = Copies.Of([.. buckets.SelectMany(b => Zoo.ParameterUpdate.SophiaHessian(
            b.Group["beta2"],
            batchSize,
            [.. b.Slots.Select(s => s.Find(Hessian)!)],
            [.. b.Slots.Select(s => s.Parameter.Source!.Expression)]))]);
        foreach (var (slot, hessian) in buckets.SelectMany(b => b.Slots).Zip(next))
        {
            slot.State[Array.IndexOf(slot.Kinds, Hessian)] = hessian;
        }
    }

    private protected override Zoo.ParameterUpdate Rule(ParameterGroup g) =>
        Zoo.ParameterUpdate.Sophia(g["beta1"], g["beta2"], g["gamma"], g["eps"], g["weightDecay"]);
}
