namespace Nanograd.CSharp;

/// <summary>What loaders and transforms share: values on the host, and the randomness of the element that is being made.</summary>
internal static class Samples
{
    // Set while a thread makes an element of a loader: the key of the element, and how often somebody drew from it.
    [ThreadStatic]
    private static (uint, uint)? _key;

    [ThreadStatic]
    private static uint _draws;

    /// <summary>A tensor as a value of the core.</summary>
    public static Node Value(Tensor tensor) => Ops.literal(tensor.Read(), [.. tensor.Shape]);

    /// <summary>A seed, drawn from a generator.</summary>
    public static long Seed(Generator? generator)
    {
        var (high, low) = Words(generator);
        return ((long)high << 32) | low;
    }

    private static (uint High, uint Low) Words(Generator? generator)
    {
        var words = Buffers.span<uint>(Program.storage(Generator.NextKey(generator)));
        return (words[0], words[1]);
    }

    /// <summary>
    /// A key for one draw: of the element that a loader is making, so that it is the same on any thread; elsewhere of
    /// <see cref="Generator.Default"/>.
    /// </summary>
    public static (uint, uint) NextKey() => _key is { } key ? Threefry.fold(key, _draws++) : Words(null);

    /// <summary>Makes one element under its key.</summary>
    public static T Make<T>((uint, uint) key, Func<T> make)
    {
        var (outerKey, outerDraws) = (_key, _draws);
        (_key, _draws) = (key, 0);
        try
        {
            return make();
        }
        finally
        {
            (_key, _draws) = (outerKey, outerDraws);
        }
    }

    /// <summary>Trees of tensors of one form as one, whose tensors have a new first axis.</summary>
    public static T Stack<T>(T[] elements)
    {
        var rows = elements.Select(Trees<T>.Leaves).ToArray();
        var names = Trees<T>.Paths(elements[0]);
        if (rows.Any(r => r.Length != names.Length))
        {
            throw new ArgumentException("collate: the elements of a batch must have equally many tensors; give the loader a collateFn of your own.");
        }

        return Trees<T>.Rebuild(elements[0], [.. names.Select((name, k) => StackTensors(name, rows.Select(r => r[k])))]);
    }

    public static Tensor StackTensors(string place, IEnumerable<Tensor> tensors) =>
        new(Zoo.Loading.Stack(place, [.. tensors.Select(Value)]));
}
