namespace Nanograd.CSharp;

/// <summary>
/// A tensor that training changes: a cell that holds the current immutable value. Modules find their parameters
/// themselves; optimizers put new values into them.
/// </summary>
public sealed class Parameter : Tensor
{
    /// <summary>A parameter with the given initial value.</summary>
    public Parameter(Tensor value, bool requiresGrad = true) : base(Copies.Of(value)) => Adopt(Expression, requiresGrad);

    private Parameter(Node literal) : base(literal) => Adopt(literal, true);

    /// <summary>Parameters for expressions that are computed together, in one program.</summary>
    internal static Parameter[] All(Node[] initial) => [.. Copies.Of(initial).Select(v => new Parameter(v))];

    internal static Parameter Of(Node initial) => All([initial])[0];

    /// <summary>What the value is computed from, if it is not learned itself (<see cref="Utils.WeightNorm"/>).</summary>
    internal Reparametrization? Computed { get; private set; }

    /// <summary>From now on the value is computed whenever somebody uses it; or (null) it is that of the cell again.</summary>
    internal void ComputeBy(Reparametrization? computed)
    {
        var now = Expression;
        (Computed, Source) = (null, null);
        if (computed is null)
        {
            Adopt(Copies.Of(new Tensor(now)), requiresGrad: true);
            return;
        }

        Replace(now);
        Lineage = null;
        Computed = computed;
    }

    internal override Node Expression => Computed is null ? base.Expression : Computed.Value.Expression;

    internal override Lineage? Lineage
    {
        get => Computed is null ? base.Lineage : Computed.Value.Lineage;
        private protected set => base.Lineage = value;
    }

    internal override bool HasValue => Computed is null && base.HasValue;

    internal override Storage Read() => Computed is null ? base.Read() : Computed.Value.Read();

    private protected override void Keep(Node value)
    {
        if (Computed is null)
        {
            base.Keep(value);
        }
    }

    /// <summary>Puts a value into the cell. It is copied; shape and type stay what they are.</summary>
    public void Set(Tensor value)
    {
        if (Computed is not null)
        {
            throw new InvalidOperationException("Set: this parameter is computed from others (WeightNorm, SpectralNorm); set those.");
        }

        if (!value.Shape.SequenceEqual(Shape))
        {
            throw new ArgumentException($"Set: the value must have the shape of the parameter, {Nanograd.Shape.describe(Expression)}, got {Nanograd.Shape.describe(value.Expression)}.");
        }

        Adopt(Copies.Of(value.To(DType)), RequiresGrad);
    }

    /// <summary>Takes a value that nobody else holds.</summary>
    internal void Adopt(Node literal, bool requiresGrad)
    {
        if (requiresGrad)
        {
            BecomeLeaf(literal);
        }
        else
        {
            Replace(literal);
        }
    }
}
