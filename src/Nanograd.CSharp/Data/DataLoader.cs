using System.Collections;

namespace Nanograd.CSharp;

/// <summary>Batches, epoch after epoch: each <c>foreach</c> goes through the next epoch.</summary>
/// <typeparam name="TBatch">What a batch is.</typeparam>
public abstract class Loader<TBatch> : IReadOnlyCollection<TBatch>
{
    private int _next = -1;

    private protected Loader()
    {
    }

    /// <summary>The number of batches in an epoch.</summary>
    public abstract int Count { get; }

    /// <summary>
    /// The number of the epoch that the next <c>foreach</c> goes through; setting it goes back or forward, as a resumed run does.
    /// </summary>
    public int NextEpoch
    {
        get => _next + 1;
        set => _next = value >= 0 ? value - 1 : throw new ArgumentException($"NextEpoch: epochs are numbered from 0, not {value}.");
    }

    /// <summary>
    /// The batches of one epoch, a function of its number: the same order and augmentation whenever it is read, for any number of
    /// workers. Threads run while somebody enumerates, and have ended when the enumeration is left.
    /// </summary>
    public abstract IEnumerable<TBatch> Epoch(int epoch, CancellationToken cancellationToken = default);

    /// <summary>The batches of the next epoch.</summary>
    public IEnumerator<TBatch> GetEnumerator() => Epoch(Interlocked.Increment(ref _next)).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>Batches of a data set, as <c>torch.utils.data.DataLoader</c> makes them.</summary>
/// <typeparam name="TSample">What an element is.</typeparam>
/// <typeparam name="TBatch">What a batch is.</typeparam>
public class DataLoader<TSample, TBatch> : Loader<TBatch>
{
    private readonly Dataset<TSample>? _dataset;
    private readonly Zoo.BatchSource<TBatch>? _source;
    private readonly Func<IEnumerable<TBatch>>? _stream;

    /// <summary>A loader.</summary>
    /// <param name="dataset">The elements.</param>
    /// <param name="collateFn">Makes a batch of elements.</param>
    /// <param name="batchSize">Elements in a batch.</param>
    /// <param name="shuffle">Whether every epoch has an order of its own.</param>
    /// <param name="sampler">Another order.</param>
    /// <param name="batchSampler">Other batches; it excludes the options before.</param>
    /// <param name="numWorkers">Threads that make batches ahead; 0: they are made when they are read.</param>
    /// <param name="dropLast">Whether elements at the end that do not fill a batch are left out.</param>
    /// <param name="prefetchFactor">Batches that each worker may be ahead.</param>
    /// <param name="generator">Where the seed of order and augmentation comes from, once, now; null: <see cref="Generator.Default"/>.</param>
    /// <exception cref="ArgumentException">Options exclude each other, or make no sense.</exception>
    public DataLoader(
        Dataset<TSample> dataset, Func<TSample[], TBatch> collateFn, int batchSize = 1, bool shuffle = false, Sampler? sampler = null,
        BatchSampler? batchSampler = null, int numWorkers = 0, bool dropLast = false, int prefetchFactor = 2, Generator? generator = null)
    {
        var options = new Zoo.LoadingOptions
        {
            BatchSize = batchSize,
            Shuffle = shuffle,
            Seed = Samples.Seed(generator),
            DropLast = dropLast,
            Workers = numWorkers,
            Prefetch = prefetchFactor,
        };
        if (sampler is not null)
        {
            (options.OrderLength, options.Order) = (sampler.Count, epoch => [.. sampler.Indices(epoch)]);
        }

        if (batchSampler is not null)
        {
            if (batchSize != 1 || dropLast)
            {
                throw new ArgumentException("DataLoader: a batch sampler excludes batchSize, shuffle, sampler and dropLast.");
            }

            (options.BatchCount, options.Batches) = (batchSampler.Count, epoch => [.. batchSampler.Batches(epoch)]);
        }

        _dataset = dataset;
        _source = Zoo.Loading.Over<TSample, TBatch>(dataset.Count, (key, i) => Samples.Make(key, () => dataset[i]), collateFn, options);
    }

    /// <summary>A loader of a stream, in its order.</summary>
    /// <param name="dataset">The stream.</param>
    /// <param name="collateFn">Makes a batch of elements.</param>
    /// <param name="batchSize">Elements in a batch.</param>
    /// <param name="numWorkers">0: batches are made when they are read. A stream has one order, so one thread reads it, whatever more is given.</param>
    /// <param name="dropLast">Whether elements at the end that do not fill a batch are left out.</param>
    /// <param name="prefetchFactor">Batches that each worker may be ahead.</param>
    public DataLoader(
        IterableDataset<TSample> dataset, Func<TSample[], TBatch> collateFn, int batchSize = 1, int numWorkers = 0, bool dropLast = false,
        int prefetchFactor = 2)
    {
        _ = batchSize >= 1 ? batchSize : throw new ArgumentException($"DataLoader: the batch size must be at least 1, not {batchSize}.");
        _stream = () => Zoo.Loading.Stream<TSample, TBatch>(batchSize, dropLast, Math.Max(0, numWorkers) * prefetchFactor, collateFn, dataset);
    }

    /// <summary>What is loaded.</summary>
    /// <exception cref="NotSupportedException">The loader reads a stream.</exception>
    public Dataset<TSample> Dataset => _dataset ?? throw new NotSupportedException("DataLoader: a stream is no data set that could be counted or indexed.");

    /// <inheritdoc/>
    public override int Count => _source?.Count ?? throw new NotSupportedException("DataLoader: the number of batches in a stream is not known.");

    /// <inheritdoc/>
    public override IEnumerable<TBatch> Epoch(int epoch, CancellationToken cancellationToken = default) =>
        _source is not null ? _source.Epoch(epoch, cancellationToken) : _stream!();
}

/// <summary>
/// Batches of a data set, as <c>torch.utils.data.DataLoader</c> makes them: the tensors of the elements are stacked, and a batch has the form
/// of an element.
/// </summary>
/// <typeparam name="T">A tensor, or a value tuple or array of tensors; other types need a collateFn.</typeparam>
/// <example><code>
/// var loader = new DataLoader&lt;(Tensor X, Tensor Y)&gt;(dataset, batchSize: 64, shuffle: true, numWorkers: 2);
/// foreach (var (x, y) in loader) { ... }
/// </code></example>
public class DataLoader<T> : DataLoader<T, T>
{
    /// <summary>A loader.</summary>
    /// <param name="dataset">The elements.</param>
    /// <param name="batchSize">Elements in a batch.</param>
    /// <param name="shuffle">Whether every epoch has an order of its own.</param>
    /// <param name="sampler">Another order.</param>
    /// <param name="batchSampler">Other batches; it excludes the options before.</param>
    /// <param name="numWorkers">Threads that make batches ahead; 0: they are made when they are read.</param>
    /// <param name="collateFn">Makes a batch of elements; null: tensors are stacked.</param>
    /// <param name="dropLast">Whether elements at the end that do not fill a batch are left out.</param>
    /// <param name="prefetchFactor">Batches that each worker may be ahead.</param>
    /// <param name="generator">Where the seed of order and augmentation comes from, once, now; null: <see cref="Generator.Default"/>.</param>
    public DataLoader(
        Dataset<T> dataset, int batchSize = 1, bool shuffle = false, Sampler? sampler = null, BatchSampler? batchSampler = null, int numWorkers = 0,
        Func<T[], T>? collateFn = null, bool dropLast = false, int prefetchFactor = 2, Generator? generator = null)
        : base(dataset, collateFn ?? Samples.Stack, batchSize, shuffle, sampler, batchSampler, numWorkers, dropLast, prefetchFactor, generator)
    {
    }

    /// <summary>A loader of a stream, in its order.</summary>
    /// <param name="dataset">The stream.</param>
    /// <param name="batchSize">Elements in a batch.</param>
    /// <param name="numWorkers">0: batches are made when they are read; else one thread reads ahead.</param>
    /// <param name="collateFn">Makes a batch of elements; null: tensors are stacked.</param>
    /// <param name="dropLast">Whether elements at the end that do not fill a batch are left out.</param>
    /// <param name="prefetchFactor">Batches that each worker may be ahead.</param>
    public DataLoader(
        IterableDataset<T> dataset, int batchSize = 1, int numWorkers = 0, Func<T[], T>? collateFn = null, bool dropLast = false, int prefetchFactor = 2)
        : base(dataset, collateFn ?? Samples.Stack, batchSize, numWorkers, dropLast, prefetchFactor)
    {
    }
}

/// <summary>Batches of inputs and targets, the usual case of <see cref="DataLoader{T}"/>.</summary>
/// <example><code>
/// var loader = new DataLoader(Datasets.Mnist("mnist"), batchSize: 64, shuffle: true);
/// foreach (var (x, y) in loader) { ... }
/// </code></example>
public sealed class DataLoader : DataLoader<(Tensor X, Tensor Y)>
{
    /// <summary>A loader.</summary>
    /// <param name="dataset">Pairs of an input and a target.</param>
    /// <param name="batchSize">Elements in a batch.</param>
    /// <param name="shuffle">Whether every epoch has an order of its own.</param>
    /// <param name="sampler">Another order.</param>
    /// <param name="batchSampler">Other batches; it excludes the options before.</param>
    /// <param name="numWorkers">Threads that make batches ahead; 0: they are made when they are read.</param>
    /// <param name="collateFn">Makes a batch of elements; null: tensors are stacked.</param>
    /// <param name="dropLast">Whether elements at the end that do not fill a batch are left out.</param>
    /// <param name="prefetchFactor">Batches that each worker may be ahead.</param>
    /// <param name="generator">Where the seed of order and augmentation comes from, once, now; null: <see cref="Generator.Default"/>.</param>
    public DataLoader(
        Dataset<(Tensor X, Tensor Y)> dataset, int batchSize = 1, bool shuffle = false, Sampler? sampler = null, BatchSampler? batchSampler = null,
        int numWorkers = 0, Func<(Tensor X, Tensor Y)[], (Tensor X, Tensor Y)>? collateFn = null, bool dropLast = false, int prefetchFactor = 2,
        Generator? generator = null)
        : base(dataset, batchSize, shuffle, sampler, batchSampler, numWorkers, collateFn, dropLast, prefetchFactor, generator)
    {
    }

    /// <summary>A loader of inputs with classes: the classes of a batch are 64-bit integers [batch].</summary>
    /// <param name="dataset">Pairs of an input and a class.</param>
    /// <param name="batchSize">Elements in a batch.</param>
    /// <param name="shuffle">Whether every epoch has an order of its own.</param>
    /// <param name="sampler">Another order.</param>
    /// <param name="batchSampler">Other batches; it excludes the options before.</param>
    /// <param name="numWorkers">Threads that make batches ahead; 0: they are made when they are read.</param>
    /// <param name="dropLast">Whether elements at the end that do not fill a batch are left out.</param>
    /// <param name="prefetchFactor">Batches that each worker may be ahead.</param>
    /// <param name="generator">Where the seed of order and augmentation comes from, once, now; null: <see cref="Generator.Default"/>.</param>
    public DataLoader(
        Dataset<(Tensor X, int Y)> dataset, int batchSize = 1, bool shuffle = false, Sampler? sampler = null, BatchSampler? batchSampler = null,
        int numWorkers = 0, bool dropLast = false, int prefetchFactor = 2, Generator? generator = null)
        : this(dataset.Map(p => (p.X, Y: Datasets.Class(p.Y))), batchSize, shuffle, sampler, batchSampler, numWorkers, null, dropLast, prefetchFactor, generator)
    {
    }
}
