namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>Rows of <paramref name="weight"/> at integer places: [...] to [..., dim].</summary>
    /// <param name="input">Integers of any shape.</param>
    /// <param name="weight">[rows, dim].</param>
    /// <param name="paddingIdx">A row that gets no gradient; negative numbers count from the end.</param>
    /// <param name="maxNorm">If given, rows that are looked up are first scaled down to this norm, in place: the table must be a <see cref="Parameter"/>.</param>
    /// <param name="normType">Which norm.</param>
    public static Tensor Embedding(Tensor input, Tensor weight, int? paddingIdx = null, double? maxNorm = null, double normType = 2)
    {
        Renormalise("Embedding", input, weight, maxNorm, normType);
        return Tensor.Make(n => Zoo.Tables.Embedding(n[0]!, n[1]!, paddingIdx), input, weight);
    }

    /// <summary>Rows of a table, a bag of them at a time, summed, averaged, or the largest of each column.</summary>
    /// <param name="input">Integers: [bags, length], or [n] with <paramref name="offsets"/>.</param>
    /// <param name="weight">[rows, dim].</param>
    /// <param name="offsets">[bags]: where each bag begins, the first at 0.</param>
    /// <param name="maxNorm">As <see cref="Embedding"/>.</param>
    /// <param name="normType">Which norm.</param>
    /// <param name="mode">"mean", "sum" or "max".</param>
    /// <param name="perSampleWeights">What rows are multiplied by, of the shape of the input; for sums only.</param>
    /// <param name="includeLastOffset">Whether the last offset is the end of the last bag.</param>
    /// <param name="paddingIdx">A row that does not count.</param>
    public static Tensor EmbeddingBag(
        Tensor input, Tensor weight, Tensor? offsets = null, double? maxNorm = null, double normType = 2, string mode = "mean",
        Tensor? perSampleWeights = null, bool includeLastOffset = false, int? paddingIdx = null)
    {
        Renormalise("EmbeddingBag", input, weight, maxNorm, normType);
        var starts = offsets is not null && includeLastOffset ? offsets[..^1] : offsets;
        return Tensor.Make(n => Zoo.Tables.EmbeddingBag(n[0]!, n[1]!, n[2]!, mode, paddingIdx, n[3]!), input, weight, starts, perSampleWeights);
    }

    private static void Renormalise(string what, Tensor input, Tensor weight, double? maxNorm, double normType)
    {
        if (maxNorm is not { } limit)
        {
            return;
        }

        if (weight is not Parameter table)
        {
            throw new ArgumentException($"{what}: maxNorm changes the table, which must be a Parameter then.");
        }

        table.Set(new Tensor(Zoo.Tables.Renormalised(table.Expression, input.Expression, limit, normType)));
    }

    /// <summary>A bilinear form: [..., in1] and [..., in2] to [..., out], x W y + b.</summary>
    public static Tensor Bilinear(Tensor input1, Tensor input2, Tensor weight, Tensor? bias = null) =>
        Tensor.Make(n => Zoo.Tables.Bilinear(n[0]!, n[1]!, n[2]!, n[3]!), input1, input2, weight, bias);
}

/// <summary>A table of vectors, looked up by integers. The vectors start standard normal.</summary>
public sealed class Embedding : Module
{
    /// <summary>A table of <paramref name="numEmbeddings"/> vectors of <paramref name="embeddingDim"/> numbers.</summary>
    /// <param name="numEmbeddings">The rows.</param>
    /// <param name="embeddingDim">The columns.</param>
    /// <param name="paddingIdx">A row that starts as zeros and gets no gradient.</param>
    /// <param name="maxNorm">If given, rows that are looked up are scaled down to this norm, in place.</param>
    /// <param name="normType">Which norm.</param>
    /// <param name="generator">Where initial values come from.</param>
    public Embedding(int numEmbeddings, int embeddingDim, int? paddingIdx = null, double? maxNorm = null, double normType = 2, Generator? generator = null)
        : this(Start(numEmbeddings, embeddingDim, paddingIdx, generator), paddingIdx, maxNorm, normType)
    {
    }

    private Embedding(Parameter weight, int? paddingIdx, double? maxNorm, double normType)
    {
        (Weight, PaddingIdx, MaxNorm, NormType) = (weight, paddingIdx, maxNorm, normType);
        (NumEmbeddings, EmbeddingDim) = (weight.Size(0), weight.Size(1));
    }

    private static Parameter Start(int rows, int columns, int? paddingIdx, Generator? generator) => rows < 1 || columns < 1
        ? throw new ArgumentException($"Embedding: both extents must be at least 1, got {rows} and {columns}.")
        : Parameter.Of(Zoo.Tables.EmbeddingStart(Generator.NextKey(generator), rows, columns, paddingIdx));

    /// <summary>A table with given vectors [rows, columns], which training leaves as they are unless told otherwise.</summary>
    public static Embedding FromPretrained(Tensor embeddings, bool freeze = true, int? paddingIdx = null, double? maxNorm = null, double normType = 2) =>
        embeddings.Rank == 2
            ? new(new Parameter(embeddings, requiresGrad: !freeze), paddingIdx, maxNorm, normType)
            : throw new ArgumentException($"FromPretrained: the table must be [rows, columns], got {Nanograd.Shape.describe(embeddings.Expression)}.");

    /// <summary>The rows.</summary>
    public int NumEmbeddings { get; }

    /// <summary>The columns.</summary>
    public int EmbeddingDim { get; }

    /// <summary>The row that gets no gradient, or null.</summary>
    public int? PaddingIdx { get; }

    /// <summary>The norm that rows which are looked up are scaled down to, or null.</summary>
    public double? MaxNorm { get; }

    /// <summary>Which norm that is.</summary>
    public double NormType { get; }

    /// <summary>[numEmbeddings, embeddingDim].</summary>
    public Parameter Weight { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Embedding(input, Weight, PaddingIdx, MaxNorm, NormType));

    private protected override long MultAdds(int[] input, int[] output) => 0; // looked up, not multiplied

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{NumEmbeddings}, {EmbeddingDim}" + EmbeddingBag.Options(PaddingIdx, MaxNorm, NormType, Repr);
}

/// <summary>A table of vectors of which bags are looked up, and summed, averaged, or the largest of each column taken.</summary>
public sealed class EmbeddingBag : Module
{
    private readonly double? _maxNorm;
    private readonly double _normType;
    private readonly string _mode;
    private readonly bool _includeLastOffset;
    private readonly int? _paddingIdx;

    /// <summary>A table of <paramref name="numEmbeddings"/> vectors of <paramref name="embeddingDim"/> numbers, which start standard normal.</summary>
    /// <param name="numEmbeddings">The rows.</param>
    /// <param name="embeddingDim">The columns.</param>
    /// <param name="maxNorm">If given, rows that are looked up are scaled down to this norm, in place.</param>
    /// <param name="normType">Which norm.</param>
    /// <param name="mode">"mean", "sum" or "max".</param>
    /// <param name="includeLastOffset">Whether the last offset is the end of the last bag.</param>
    /// <param name="paddingIdx">A row that starts as zeros and does not count.</param>
    /// <param name="generator">Where initial values come from.</param>
    public EmbeddingBag(
        int numEmbeddings, int embeddingDim, double? maxNorm = null, double normType = 2, string mode = "mean", bool includeLastOffset = false,
        int? paddingIdx = null, Generator? generator = null)
    {
        if (mode is not ("mean" or "sum" or "max"))
        {
            throw new ArgumentException($"EmbeddingBag: mode must be mean, sum or max, got {mode}.");
        }

        Weight = new Embedding(numEmbeddings, embeddingDim, paddingIdx, generator: generator).Weight;
        (_maxNorm, _normType, _mode, _includeLastOffset, _paddingIdx) = (maxNorm, normType, mode, includeLastOffset, paddingIdx);
    }

    /// <summary>[numEmbeddings, embeddingDim].</summary>
    public Parameter Weight { get; set; }

    /// <summary>Integers [bags, length] to [bags, embeddingDim].</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);

    /// <summary>Integers [bags, length], or [n] with the places at which bags begin, to [bags, embeddingDim].</summary>
    public Tensor Forward(Tensor input, Tensor? offsets, Tensor? perSampleWeights = null) =>
        Called(input, F.EmbeddingBag(input, Weight, offsets, _maxNorm, _normType, _mode, perSampleWeights, _includeLastOffset, _paddingIdx));

    private protected override long MultAdds(int[] input, int[] output) => 0; // looked up, not multiplied

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{Weight.Size(0)}, {Weight.Size(1)}{Options(_paddingIdx, _maxNorm, _normType, Repr)}, mode='{_mode}'";

    internal static string Options(int? paddingIdx, double? maxNorm, double normType, Func<double, string> repr) =>
        (paddingIdx is null ? "" : $", padding_idx={paddingIdx}")
        + (maxNorm is { } limit ? $", max_norm={repr(limit)}" : "")
        + (normType == 2 ? "" : $", norm_type={repr(normType)}");
}
