namespace Nanograd.CSharp;

/// <summary>Which elements an epoch visits, and in which order: a function of the number of the epoch.</summary>
public abstract class Sampler
{
    /// <summary>How many elements an epoch has.</summary>
    public abstract int Count { get; }

    /// <summary>The indices of an epoch, in order.</summary>
    /// <param name="epoch">The number of the epoch, from 0.</param>
    public abstract IReadOnlyList<int> Indices(int epoch);
}

/// <summary>A sampler of the core.</summary>
public abstract class OrderedSampler : Sampler
{
    private readonly Zoo.IndexOrder _order;

    private protected OrderedSampler(Zoo.IndexOrder order) => _order = order;

    /// <inheritdoc/>
    public override int Count => _order.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<int> Indices(int epoch) => _order.Of(epoch);
}

/// <summary>0, 1, 2, ...</summary>
/// <param name="source">What is visited.</param>
public sealed class SequentialSampler(IDataset source) : OrderedSampler(Zoo.IndexOrder.Sequential(source.Count));

/// <summary>Every index once in random order, or independent draws.</summary>
/// <param name="source">What is visited.</param>
/// <param name="replacement">Whether the draws are independent, so that an index may occur again.</param>
/// <param name="numSamples">How many draws an epoch has; 0: as many as there are elements. Only with replacement.</param>
/// <param name="generator">Where the seed comes from; null: <see cref="Generator.Default"/>.</param>
public sealed class RandomSampler(IDataset source, bool replacement = false, int numSamples = 0, Generator? generator = null)
    : OrderedSampler(Order(source.Count, replacement, numSamples, Samples.Seed(generator)))
{
    private static Zoo.IndexOrder Order(int length, bool replacement, int numSamples, long seed) =>
        replacement ? Zoo.IndexOrder.WithReplacement(seed, numSamples == 0 ? length : numSamples, length)
            : numSamples is 0 || numSamples == length ? Zoo.IndexOrder.Random(seed, length)
            : throw new ArgumentException($"RandomSampler: without replacement an epoch has all {length} elements, not {numSamples}.");
}

/// <summary>The given indices, each once, in random order.</summary>
/// <param name="indices">What is visited.</param>
/// <param name="generator">Where the seed comes from; null: <see cref="Generator.Default"/>.</param>
public sealed class SubsetRandomSampler(IEnumerable<int> indices, Generator? generator = null)
    : OrderedSampler(Zoo.IndexOrder.Subset(Samples.Seed(generator), indices));

/// <summary>Random indices with probabilities proportional to weights.</summary>
/// <param name="weights">One for each element; they need not add up to 1.</param>
/// <param name="numSamples">How many draws an epoch has.</param>
/// <param name="replacement">Whether an index may be drawn again.</param>
/// <param name="generator">Where the seed comes from; null: <see cref="Generator.Default"/>.</param>
public sealed class WeightedRandomSampler(IEnumerable<double> weights, int numSamples, bool replacement = true, Generator? generator = null)
    : OrderedSampler(Zoo.IndexOrder.Weighted(Samples.Seed(generator), numSamples, weights, replacement));

/// <summary>An order, cut into batches.</summary>
public class BatchSampler
{
    private readonly Sampler? _sampler;

    /// <summary>Batches of a sampler's indices.</summary>
    /// <param name="sampler">The order.</param>
    /// <param name="batchSize">Indices in a batch.</param>
    /// <param name="dropLast">Whether indices at the end that do not fill a batch are left out.</param>
    public BatchSampler(Sampler sampler, int batchSize, bool dropLast)
    {
        _sampler = sampler;
        BatchSize = batchSize >= 1 ? batchSize : throw new ArgumentException($"BatchSampler: the batch size must be at least 1, not {batchSize}.");
        DropLast = dropLast;
    }

    /// <summary>For classes that override <see cref="Count"/> and <see cref="Batches"/>.</summary>
    protected BatchSampler()
    {
    }

    /// <summary>Indices in a batch.</summary>
    public int BatchSize { get; }

    /// <summary>Whether indices at the end that do not fill a batch are left out.</summary>
    public bool DropLast { get; }

    /// <summary>How many batches an epoch has.</summary>
    public virtual int Count => DropLast ? Order.Count / BatchSize : (Order.Count + BatchSize - 1) / BatchSize;

    private Sampler Order => _sampler ?? throw new NotSupportedException("A batch sampler of your own overrides Count and Batches.");

    /// <summary>The batches of an epoch.</summary>
    /// <param name="epoch">The number of the epoch, from 0.</param>
    public virtual IReadOnlyList<int[]> Batches(int epoch) => [.. Order.Indices(epoch).Chunk(BatchSize).Take(Count)];
}
