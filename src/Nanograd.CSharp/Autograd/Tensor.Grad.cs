namespace Nanograd.CSharp;

public partial class Tensor
{
    private Tensor? _grad;

    /// <summary>What gradients have flowed here since ZeroGrad; null: none.</summary>
    internal GradSource? Source { get; private protected set; }

    /// <summary>A gradient that somebody has looked at: Step() computes it too.</summary>
    internal Tensor? SeenGrad => _grad;

    /// <summary>
    /// True when gradients flow to or through this tensor. Setting it to true makes a tensor a leaf: <see cref="Backward"/>
    /// will leave its derivative in <see cref="Grad"/>.
    /// </summary>
    public bool RequiresGrad
    {
        get => Lineage is not null;
        set
        {
            if (value == RequiresGrad)
            {
                return;
            }

            if (!value && !Lineage!.IsLeaf)
            {
                throw new InvalidOperationException("RequiresGrad can be switched off on leaves only; use Detach() to get a tensor through which no gradient flows.");
            }

            if (value && !DType.IsFloat())
            {
                throw new InvalidOperationException($"RequiresGrad: only floats have gradients, got {Nanograd.Shape.describe(Expression)}.");
            }

            if (value)
            {
                BecomeLeaf(Copies.Of(this));
            }
            else
            {
                Lineage = null;
            }
        }
    }

    /// <summary>Takes a value of its own that gradients can flow to.</summary>
    private protected void BecomeLeaf(Node literal)
    {
        Replace(literal);
        Lineage = Lineage.OfLeaf(this, literal);
    }

    /// <summary>
    /// The derivative of what <see cref="Backward"/> was called on with respect to this leaf: the sum over all calls since
    /// the last ZeroGrad; null when there was none. It is an expression, computed when it is read.
    /// </summary>
    public Tensor? Grad
    {
        get
        {
            if (Source is null)
            {
                return null;
            }

            return _grad ??= new Tensor(Source.Expression, null, frozen: true);
        }

        set
        {
            if (value is not null && !value.Shape.SequenceEqual(Shape))
            {
                throw new ArgumentException($"Grad: the gradient must have the shape of the tensor, {Nanograd.Shape.describe(Expression)}, got {Nanograd.Shape.describe(value.Expression)}.");
            }

            _grad = value;
            Source = value is null ? null : new GivenSource(value);
        }
    }

    /// <summary>
    /// Records the derivatives of this scalar with respect to every leaf it depends on: they are added to their
    /// <see cref="Grad"/>. Nothing is computed yet; <see cref="Optimizer.Step()"/> compiles forward, backward and update together.
    /// </summary>
    /// <param name="gradient">For tensors that are no scalars: what flows into each element.</param>
    public void Backward(Tensor? gradient = null)
    {
        if (Lineage is null)
        {
            throw new InvalidOperationException("Backward: this tensor depends on nothing with RequiresGrad, or Step() has already used it.");
        }

        if (gradient is null && Rank != 0)
        {
            throw new InvalidOperationException($"Backward: only scalars can be differentiated, got {Nanograd.Shape.describe(Expression)}; reduce it with Sum() or Mean(), or pass a gradient.");
        }

        var root = gradient is null ? Expression : Reductions.sum(Expression * Nanograd.Grad.stopGradient(gradient.Expression));
        var (leaves, results) = Lineage.Collect();
        var pass = new BackwardPass(this, root, [.. leaves], [.. results]);
        for (var i = 0; i < leaves.Count; i++)
        {
            leaves[i].Leaf!.Receive(new PassSource(pass, i));
        }
    }

    /// <summary>
    /// Adds to what flowed here before. Where a step has used that and not kept it, the sum is lost, too: an error for whoever reads
    /// or steps it, not for those whose passes only go through here.
    /// </summary>
    private void Receive(GradSource source) => Restart(Source is null ? source : new SumSource(Source, source));

    /// <summary>Puts another gradient in the place of the present one.</summary>
    internal void Restart(GradSource? source)
    {
        Source = source;
        _grad = null;
    }

    /// <summary>After a step: what was looked at stays, everything else is gone.</summary>
    internal void UseUp()
    {
        if (Source is not GivenSource)
        {
            Source = _grad is null ? UsedUpSource.Instance : new GivenSource(_grad);
        }
    }

    /// <summary>Marks the result of a module or the input of a loss: Step() computes it along with the loss.</summary>
    internal Tensor Kept()
    {
        if (Lineage is { IsLeaf: false, Result: null } or { IsState: true })
        {
            Lineage = Lineage.OfResult(this, Lineage);
        }

        return this;
    }
}
