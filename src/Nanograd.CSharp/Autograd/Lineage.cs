namespace Nanograd.CSharp;

/// <summary>
/// Where a tensor comes from, as far as gradients care: the leaves it was computed from, and the results of modules on
/// the way. It mirrors the calls of the program and holds no values.
/// </summary>
internal sealed class Lineage
{
    private readonly Lineage[] _parents;
    private readonly List<Tensor> _results = [];

    private Lineage(Lineage[] parents) => _parents = parents;

    /// <summary>The leaf itself, when this is one.</summary>
    public Tensor? Leaf { get; private init; }

    /// <summary>The leaf's value when it was used.</summary>
    public Node? Value { get; private init; }

    /// <summary>A tensor that Step() computes too, because the program's author will want to see it.</summary>
    public Tensor? Result => _results.FirstOrDefault();

    public bool IsLeaf => Leaf is not null;

    /// <summary>Whether the results are states.</summary>
    public bool IsState { get; private init; }

    public static Lineage OfLeaf(Tensor leaf, Node value) => new([]) { Leaf = leaf, Value = value };

    public static Lineage OfResult(Tensor result, Lineage origin)
    {
        var lineage = new Lineage([origin]);
        lineage._results.Add(result);
        return lineage;
    }

    /// <summary>
    /// States, which go on to the next step: whatever a loss depends on that was computed with them, all are computed, also if
    /// other results were made of them.
    /// </summary>
    public static Lineage OfStates(Tensor[] states, Lineage origin)
    {
        var lineage = new Lineage([origin]) { IsState = true };
        lineage._results.AddRange(states);
        return lineage;
    }

    /// <summary>One more tensor that is computed when a result here is, if that is one.</summary>
    public void Follow(Tensor result, Tensor follower)
    {
        if (_results.Any(r => ReferenceEquals(r, result)))
        {
            _results.Add(follower);
        }
    }

    /// <summary>Where the variables of a traced function come from: their expressions are operands like others.</summary>
    public static Lineage OfVariable() => new([]);

    public static Lineage? Join(Lineage[] parts) => parts.Length switch
    {
        0 => null,
        1 => parts[0],
        _ => new Lineage(parts),
    };

    /// <summary>Everything below that comes from nothing else: leaves, and variables of traced functions.</summary>
    public IEnumerable<Lineage> Sources()
    {
        var seen = new HashSet<Lineage>(ReferenceEqualityComparer.Instance) { this };
        var pending = new Queue<Lineage>([this]);
        while (pending.TryDequeue(out var lineage))
        {
            if (lineage._parents.Length == 0)
            {
                yield return lineage;
            }

            foreach (var parent in lineage._parents.Where(seen.Add))
            {
                pending.Enqueue(parent);
            }
        }
    }

    public static Lineage? Join(Tensor?[] operands)
    {
        Lineage? only = null;
        List<Lineage>? several = null;
        foreach (var operand in operands)
        {
            if (operand?.Lineage is not { } lineage || ReferenceEquals(lineage, only))
            {
                continue;
            }

            if (only is null)
            {
                only = lineage;
            }
            else
            {
                several ??= [only];
                several.Add(lineage);
            }
        }

        return several is null ? only : new Lineage([.. several]);
    }

    /// <summary>
    /// The leaves below, and the outermost results: those that no other result on the way to here was made of; and all states.
    /// Both in an order that depends on the program alone.
    /// </summary>
    public (List<Lineage> Leaves, List<Tensor> Results) Collect()
    {
        List<Lineage> leaves = [];
        List<Tensor> results = [];
        var seen = new HashSet<Lineage>(ReferenceEqualityComparer.Instance);
        var queue = new Queue<Lineage>();
        var below = new Queue<Lineage>();
        Walk(queue, this, inside: false);
        Walk(below, null, inside: true);
        return (leaves, results);

        void Walk(Queue<Lineage> pending, Lineage? start, bool inside)
        {
            if (start is not null && seen.Add(start))
            {
                pending.Enqueue(start);
            }

            while (pending.TryDequeue(out var lineage))
            {
                if (lineage.IsLeaf)
                {
                    leaves.Add(lineage);
                }

                var hidden = inside || (lineage.Result is not null && !lineage.IsState);
                if (!inside || lineage.IsState)
                {
                    results.AddRange(lineage._results);
                }

                foreach (var parent in lineage._parents)
                {
                    if (seen.Add(parent))
                    {
                        (hidden ? below : queue).Enqueue(parent);
                    }
                }
            }
        }
    }
}

/// <summary>While one of these is not disposed, this thread's operations are not tracked for gradients, as under <c>torch.no_grad()</c>.</summary>
public sealed class NoGrad : IDisposable
{
    [ThreadStatic]
    private static int _depth;

    private bool _disposed;

    /// <summary>Switches tracking off until <see cref="Dispose"/>: <c>using (new NoGrad()) { ... }</c>.</summary>
    public NoGrad() => _depth++;

    internal static bool IsOff => _depth == 0;

    /// <summary>Switches tracking on whatever there was before, which <see cref="Resume"/> brings back.</summary>
    internal static int Suspend()
    {
        var depth = _depth;
        _depth = 0;
        return depth;
    }

    internal static void Resume(int depth) => _depth = depth;

    /// <summary>Switches tracking on again.</summary>
    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _depth--;
        }
    }
}
