using System.Collections;

namespace Nanograd.CSharp;

/// <summary>Something with a number of elements.</summary>
public interface IDataset
{
    /// <summary>The number of elements.</summary>
    int Count { get; }
}

/// <summary>
/// Elements that are made when somebody asks for them, as <c>torch.utils.data.Dataset</c>: a class of one's own says how many
/// there are and what each is. Loaders with workers ask from several threads at once.
/// </summary>
/// <typeparam name="T">What an element is: a tensor, a value tuple of tensors, or anything with a function that puts a batch together.</typeparam>
/// <example><code>
/// sealed class Squares : Dataset&lt;(Tensor X, Tensor Y)&gt;
/// {
///     public override int Count => 100;
///     public override (Tensor X, Tensor Y) this[int index] => (Tensor.Scalar(index), Tensor.Scalar(index * index));
/// }
/// </code></example>
public abstract class Dataset<T> : IDataset, IReadOnlyList<T>
{
    /// <inheritdoc/>
    public abstract int Count { get; }

    /// <summary>The element at an index, from 0.</summary>
    public abstract T this[int index] { get; }

    /// <summary>A function of each element, whenever it is asked for.</summary>
    public Dataset<TResult> Map<TResult>(Func<T, TResult> f) => new MappedDataset<T, TResult>(this, f);

    /// <summary>All elements, in order.</summary>
    public IEnumerator<T> GetEnumerator()
    {
        for (var i = 0; i < Count; i++)
        {
            yield return this[i];
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal int Checked(int index) =>
        index >= 0 && index < Count ? index
            : throw new ArgumentOutOfRangeException(nameof(index), index, $"The index must be from 0 to {Count - 1}.");
}

/// <summary>A stream of elements that are read one after the other, as <c>torch.utils.data.IterableDataset</c>.</summary>
/// <typeparam name="T">What an element is.</typeparam>
public abstract class IterableDataset<T> : IEnumerable<T>
{
    /// <summary>The elements from the first one on.</summary>
    public abstract IEnumerator<T> GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

internal sealed class MappedDataset<T, TResult>(Dataset<T> source, Func<T, TResult> f) : Dataset<TResult>
{
    public override int Count => source.Count;

    public override TResult this[int index] => f(source[index]);
}

/// <summary>The rows of tensors with one first extent.</summary>
/// <typeparam name="T">A value tuple (or array) of tensors; an element is the same of their rows.</typeparam>
public class TensorDataset<T> : Dataset<T>
{
    private readonly T _tensors;
    private readonly Node[] _values;

    /// <summary>A data set over the rows of tensors, which are computed now.</summary>
    /// <exception cref="ArgumentException">The first extents differ.</exception>
    public TensorDataset(T tensors)
    {
        var leaves = Trees<T>.Leaves(tensors);
        Tensor.Evaluate(leaves);
        if (leaves.Length == 0 || leaves.Any(t => t.Rank == 0 || t.Size(0) != leaves[0].Size(0)))
        {
            throw new ArgumentException(
                $"TensorDataset: all tensors must have one first extent, got {string.Join(", ", leaves.Select(t => Nanograd.Shape.describe(t.Expression)))}.");
        }

        _tensors = tensors;
        _values = [.. leaves.Select(Samples.Value)];
        Count = leaves[0].Size(0);
    }

    /// <inheritdoc/>
    public override int Count { get; }

    /// <inheritdoc/>
    public override T this[int index]
    {
        get
        {
            var i = Checked(index);
            return Trees<T>.Rebuild(_tensors, [.. _values.Select(v => new Tensor(Zoo.Loading.Row(v, i)))]);
        }
    }
}

/// <summary>The rows of inputs and targets.</summary>
/// <param name="x">Inputs [n, ...].</param>
/// <param name="y">Targets [n, ...].</param>
public sealed class TensorDataset(Tensor x, Tensor y) : TensorDataset<(Tensor X, Tensor Y)>((x, y));

/// <summary>Chosen elements of a data set.</summary>
/// <typeparam name="T">What an element is.</typeparam>
public sealed class Subset<T> : Dataset<T>
{
    private readonly int[] _indices;

    /// <summary>The elements at these indices, in this order.</summary>
    public Subset(Dataset<T> dataset, IEnumerable<int> indices)
    {
        Dataset = dataset;
        _indices = [.. indices.Select(dataset.Checked)];
    }

    /// <summary>What they are chosen from.</summary>
    public Dataset<T> Dataset { get; }

    /// <summary>Where they are there.</summary>
    public IReadOnlyList<int> Indices => _indices;

    /// <inheritdoc/>
    public override int Count => _indices.Length;

    /// <inheritdoc/>
    public override T this[int index] => Dataset[_indices[Checked(index)]];
}

/// <summary>One data set after the other.</summary>
/// <typeparam name="T">What an element is.</typeparam>
public sealed class ConcatDataset<T> : Dataset<T>
{
    private readonly Dataset<T>[] _parts;

    /// <summary>The elements of all.</summary>
    public ConcatDataset(params IEnumerable<Dataset<T>> datasets)
    {
        _parts = [.. datasets];
        Count = checked(_parts.Sum(p => p.Count));
    }

    /// <inheritdoc/>
    public override int Count { get; }

    /// <inheritdoc/>
    public override T this[int index]
    {
        get
        {
            var i = Checked(index);
            foreach (var part in _parts)
            {
                if (i < part.Count)
                {
                    return part[i];
                }

                i -= part.Count;
            }

            throw new InvalidOperationException("A part of this ConcatDataset has become shorter.");
        }
    }
}

/// <summary>Functions of data sets, those of <c>torch.utils.data</c>.</summary>
public static class Data
{
    /// <summary>Disjoint random parts of the given lengths, which add up to the whole.</summary>
    /// <param name="dataset">The whole.</param>
    /// <param name="lengths">How many elements each part has.</param>
    /// <param name="generator">What decides; null: <see cref="Generator.Default"/>.</param>
    /// <exception cref="ArgumentException">The lengths do not add up.</exception>
    public static Subset<T>[] RandomSplit<T>(Dataset<T> dataset, int[] lengths, Generator? generator = null) =>
        [.. Zoo.Loading.Split(Samples.Seed(generator), lengths, dataset.Count).Select(part => new Subset<T>(dataset, part))];

    /// <summary>
    /// Disjoint random parts, each a fraction of the whole, rounded down; what is left over goes to the first parts, one element each.
    /// </summary>
    /// <param name="dataset">The whole.</param>
    /// <param name="fractions">They add up to 1.</param>
    /// <param name="generator">What decides; null: <see cref="Generator.Default"/>.</param>
    /// <exception cref="ArgumentException">The fractions do not add up.</exception>
    public static Subset<T>[] RandomSplit<T>(Dataset<T> dataset, double[] fractions, Generator? generator = null) =>
        [.. Zoo.Loading.Split(Samples.Seed(generator), fractions, dataset.Count).Select(part => new Subset<T>(dataset, part))];
}
