namespace Nanograd.CSharp;

/// <summary>
/// A tensor of a module that is no parameter but belongs to its state, as running statistics do: a cell that holds the current
/// value. Modules find their buffers themselves. (PyTorch: <c>register_buffer</c>, <c>nn.Buffer</c>. Where <c>System.Buffer</c> is in
/// the way: <c>using Buffer = Nanograd.CSharp.Buffer;</c>.)
/// </summary>
/// <remarks>
/// <see cref="Update"/> computes nothing. What it was given is computed by the next <see cref="Optimizer.Step()"/> along with
/// everything else, or when somebody reads the buffer, saves the module or switches it to evaluation.
/// </remarks>
public sealed class Buffer : Tensor
{
    /// <summary>So many updates of one buffer may wait: as many passes without a step keep their inputs alive.</summary>
    internal const int LongestChain = 16;

    private Node _settled;
    private Hash? _was;
    private int _chain;

    /// <summary>A buffer with the given initial value; one that is not persistent is left out of state dictionaries.</summary>
    public Buffer(Tensor value, bool persistent = true)
        : base(Copies.Of(value))
    {
        Persistent = persistent;
        _settled = Expression;
    }

    /// <summary>Whether state dictionaries contain it.</summary>
    public bool Persistent { get; }

    /// <summary>The thread that wrote the pending update.</summary>
    internal int Thread { get; private set; }

    /// <summary>Whether it is among <see cref="PendingUpdates"/>, which may know of it longer than it is pending.</summary>
    internal bool IsListed { get; set; }

    /// <summary>Puts a value into the cell, now. It is copied; shape and type stay what they are.</summary>
    public void Set(Tensor value)
    {
        Check("Set", value);
        Put(Copies.Of(value.To(DType)));
    }

    /// <summary>Takes a value that nobody else holds.</summary>
    internal void Put(Node literal)
    {
        Replace(literal);
        _settled = literal;
        (_chain, _was) = (0, null);
    }

    /// <summary>
    /// Says what the value is from now on, usually something made of the present one: <c>mean.Update(mean * 0.9 + x.Mean(0) * 0.1)</c>.
    /// It is computed later (see the remarks on the class). No gradient flows through a buffer.
    /// </summary>
    /// <param name="value">A tensor of the same shape.</param>
    public void Update(Tensor value)
    {
        Check("Update", value);
        var next = value.Detach().To(DType);
        var node = next.HasValue ? Ops.literal(next.Read(), [.. next.Shape]) : next.Expression;
        if (CSharp.Trace.Current is { } trace)
        {
            trace.Take(this);
            Replace(node, frozen: true);
            return;
        }

        if (!HasValue && (_chain >= LongestChain || !NoGrad.IsOff))
        {
            PendingUpdates.Evaluate(); // where no step comes, the updates of one pass are computed when the next pass begins
        }

        if (_was is { } hash)
        {
            node = Substitute.apply(new Dictionary<Hash, Node> { [hash] = _settled }, [node])[0];
            _was = null;
        }

        if (HasValue)
        {
            (_settled, _chain) = (Ops.literal(Read(), Expression.Shape), 0);
        }

        Replace(node, frozen: true);
        _chain++;
        Thread = Environment.CurrentManagedThreadId;
        PendingUpdates.Add(this);
    }

    /// <summary>Puts back what was there before a traced function wrote here.</summary>
    internal void Restore(Node node) => Replace(node, frozen: !node.Op.IsLiteral);

    /// <summary>After an evaluation: expressions written before it may contain the old expression in place of the value.</summary>
    internal void Evaluated(Hash old)
    {
        _was = old;
        (_settled, _chain) = (Ops.literal(Read(), Expression.Shape), 0);
    }

    /// <summary>Goes back to the last value: the update could not be computed.</summary>
    internal void Abandon() => Put(_settled);

    private void Check(string what, Tensor value)
    {
        if (!value.Shape.SequenceEqual(Shape))
        {
            throw new ArgumentException(
                $"{what}: the value must have the shape of the buffer, {Nanograd.Shape.describe(Expression)}, got {Nanograd.Shape.describe(value.Expression)}.");
        }
    }
}

/// <summary>The buffers whose value is still an expression, in the order in which they were updated.</summary>
internal static class PendingUpdates
{
    private static readonly Lock Gate = new();
    private static readonly List<WeakReference<Buffer>> All = [];

    public static void Add(Buffer buffer)
    {
        lock (Gate)
        {
            if (!buffer.IsListed)
            {
                buffer.IsListed = true;
                All.Add(new WeakReference<Buffer>(buffer));
            }
        }
    }

    /// <summary>
    /// What a step has to compute before it overwrites values: the updates of its own thread, whose passes are its own, and any
    /// others that are made of these values.
    /// </summary>
    public static Buffer[] Before(IEnumerable<Node> overwritten)
    {
        lock (Gate)
        {
            var pending = Alive();
            if (pending.Count == 0)
            {
                return [];
            }

            var thread = Environment.CurrentManagedThreadId;
            var lost = new Lazy<HashSet<Hash>>(() => [.. overwritten.Select(n => n.Hash)]);
            return [.. pending.Where(b => b.Thread == thread
                || Graph.topological([b.Expression]).Any(n => n.Op.IsLiteral && lost.Value.Contains(n.Hash)))];
        }
    }

    /// <summary>Computes the updates of this thread in one program.</summary>
    public static void Evaluate()
    {
        Buffer[] pending;
        lock (Gate)
        {
            pending = [.. Alive().Where(b => b.Thread == Environment.CurrentManagedThreadId)];
        }

        Evaluate(pending);
    }

    /// <summary>Computes what is pending of some buffers in one program.</summary>
    public static void Evaluate(IEnumerable<Buffer> buffers)
    {
        Buffer[] pending = [.. buffers.Where(b => !b.HasValue)];
        Hash[] old = [.. pending.Select(b => b.Expression.Hash)];
        try
        {
            Tensor.Evaluate(pending);
        }
        catch
        {
            foreach (var buffer in pending)
            {
                buffer.Abandon();
            }

            throw;
        }

        for (var i = 0; i < pending.Length; i++)
        {
            pending[i].Evaluated(old[i]);
        }
    }

    private static List<Buffer> Alive()
    {
        var alive = new List<Buffer>(All.Count);
        All.RemoveAll(reference =>
        {
            var isPending = reference.TryGetTarget(out var buffer) && !buffer.HasValue;
            if (isPending)
            {
                alive.Add(buffer!);
            }
            else if (buffer is not null)
            {
                buffer.IsListed = false;
            }

            return !isPending;
        });
        return alive;
    }
}
