namespace Nanograd.CSharp;

/// <summary>
/// What becomes of the losses of single elements. PyTorch's words will do, too: <c>reduction: "sum"</c> is
/// <c>reduction: Reduction.Sum</c>.
/// </summary>
public readonly struct Reduction : IEquatable<Reduction>
{
    private readonly string? _name;

    private Reduction(string name) => _name = name;

    /// <summary>Their mean, a scalar: what is meant where nothing is said.</summary>
    public static Reduction Mean { get; } = new("mean");

    /// <summary>Their sum: a scalar.</summary>
    public static Reduction Sum { get; } = new("sum");

    /// <summary>They stay as they are.</summary>
    public static Reduction None { get; } = new("none");

    /// <summary>Their sum divided by the first extent, the batch: a scalar.</summary>
    public static Reduction BatchMean { get; } = new("batchmean");

    /// <summary>"mean", "sum", "none" or "batchmean".</summary>
    /// <exception cref="ArgumentException">Another word.</exception>
    public static implicit operator Reduction(string name) => name is "mean" or "sum" or "none" or "batchmean"
        ? new(name)
        : throw new ArgumentException($"reduction must be mean, sum, none or batchmean, got {name}.");

    /// <summary>Whether both are the same.</summary>
    public static bool operator ==(Reduction left, Reduction right) => left.Equals(right);

    /// <summary>Whether they differ.</summary>
    public static bool operator !=(Reduction left, Reduction right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(Reduction other) => ToString() == other.ToString();

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Reduction other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    /// <summary>PyTorch's word.</summary>
    public override string ToString() => _name ?? "mean";

    internal LossReduction ToCore() => ToString() switch
    {
        "sum" => LossReduction.Sum,
        "none" => LossReduction.None,
        "batchmean" => LossReduction.BatchMean,
        _ => LossReduction.Mean,
    };
}
