using System.Runtime.InteropServices;

namespace Nanograd.CSharp;

/// <summary>
/// An immutable n-dimensional array, computed when somebody looks at it. Operations build expressions; reading
/// (<see cref="Item()"/>, <see cref="ToArray{T}"/>, <see cref="ToString"/>) compiles and runs what is needed, and
/// <see cref="Optimizer.Step()"/> runs a whole training step as one program.
/// </summary>
public partial class Tensor
{
    private Node? _expression;
    private Func<Node>? _build;
    private Node? _value;

    internal Tensor(Node expression, Lineage? lineage = null, bool frozen = false)
    {
        _expression = expression;
        Lineage = lineage;
        IsFrozen = frozen;
    }

    /// <summary>A tensor whose expression is made at first use.</summary>
    internal Tensor(Func<Node> build) => _build = build;

    /// <summary>What this tensor is, as the core sees it.</summary>
    internal virtual Node Expression => _expression ??= _build!();

    /// <summary>What the value depends on that gradients can flow to; null: nothing.</summary>
    internal virtual Lineage? Lineage { get; private protected set; }

    /// <summary>True when gradients must not flow into the expression although leaves with gradients occur in it.</summary>
    internal bool IsFrozen { get; private set; }

    /// <summary>The extents, outermost first; empty for a scalar.</summary>
    public IReadOnlyList<int> Shape => Array.AsReadOnly(Expression.Shape);

    /// <summary>The number of axes.</summary>
    public int Rank => Expression.Shape.Length;

    /// <summary>The number of elements.</summary>
    public int Count => Expression.Count;

    /// <summary>The type of the elements.</summary>
    public DType DType => Expression.DType.ToFacade();

    /// <summary>The extent of one axis; negative axes count from the end.</summary>
    public int Size(int dim) => Expression.Shape[Nanograd.Shape.axis("size", Expression, dim)];

    // ------------------------------------------------------------------------------------------------ building

    /// <summary>
    /// The one way in which operations make tensors: applies <paramref name="build"/> to the operands' expressions and
    /// notes what gradients can flow to. Operands that are null stay null.
    /// </summary>
    internal static Tensor Make(Func<Node?[], Node> build, params Tensor?[] operands)
    {
        var (nodes, lineage, frozen) = Operands(operands);
        return new Tensor(Autocast.Applied([build(nodes)], nodes)[0], lineage, frozen);
    }

    /// <summary>The same for functions with several results.</summary>
    internal static Tensor[] MakeAll(Func<Node?[], Node[]> build, params Tensor?[] operands)
    {
        var (nodes, lineage, frozen) = Operands(operands);
        return [.. Autocast.Applied(build(nodes), nodes).Select(result => new Tensor(result, lineage, frozen))];
    }

    /// <summary>Expressions of operands, and what their results come from.</summary>
    private static (Node?[] Nodes, Lineage? Lineage, bool IsFrozen) Operands(Tensor?[] operands)
    {
        bool tracked = false, frozen = false;
        foreach (var operand in operands)
        {
            tracked |= operand?.Lineage is not null;
            frozen |= operand is { IsFrozen: true };
        }

        var recording = tracked && NoGrad.IsOff;
        var nodes = new Node?[operands.Length];
        for (var i = 0; i < nodes.Length; i++)
        {
            var operand = operands[i];
            nodes[i] = operand is null ? null
                : recording && operand.IsFrozen ? Nanograd.Grad.stopGradient(operand.Expression)
                : operand.Expression;
        }

        return (nodes, recording ? Lineage.Join(operands) : null, !recording && (tracked || frozen));
    }

    private static Tensor Make(Func<Node, Node> build, Tensor x) => Make(n => build(n[0]!), [x]);

    private static Tensor Make(Func<Node, Node, Node> build, Tensor x, Tensor y) => Make(n => build(n[0]!, n[1]!), [x, y]);

    /// <summary>The same for functions with two results.</summary>
    private static (Tensor, Tensor) Pair(Func<Node, Tuple<Node, Node>> build, Tensor x) =>
        (Make(n => build(n).Item1, x), Make(n => build(n).Item2, x));

    /// <summary>The same for functions with as many results as the shape of the operand says.</summary>
    private static Tensor[] Many(Func<Node, Node[]> build, Tensor x) =>
        [.. Enumerable.Range(0, build(x.Expression).Length).Select(i => Make(n => build(n)[i], x))];

    // ------------------------------------------------------------------------------------------------ reading

    /// <summary>True when the value has been computed: reading it costs nothing.</summary>
    internal virtual bool HasValue => _value is not null || Expression.Op.IsLiteral;

    /// <summary>Computes the value if it is not there yet. The expression stays: gradients flow through it as before.</summary>
    internal virtual Storage Read()
    {
        if (_value is null)
        {
            try
            {
                Keep(Program.evaluate([Expression])[0]);
            }
            catch (InvalidOperationException e) when (DependsOnOverwritten(Expression))
            {
                throw Overwritten(e);
            }
        }

        var storage = Program.storage(_value);
        return storage.IsDonated ? throw Overwritten(null) : storage;
    }

    private protected virtual void Keep(Node value)
    {
        _value = value;
        if (Lineage is null && !Expression.Op.IsLiteral)
        {
            _expression = value; // nothing flows back through it: what it was made of may go
            IsFrozen = false;
        }
    }

    private static bool DependsOnOverwritten(Node expression) =>
        Graph.topological([expression]).Any(n => n.Op.IsLiteral && Program.storage(n).IsDonated);

    private static InvalidOperationException Overwritten(Exception? inner) => new(
        "This tensor depends on parameters that Optimizer.Step() has overwritten since; read it before Step(), or compute it again.",
        inner);

    /// <summary>Takes a value computed elsewhere; afterwards the tensor is that value and nothing more.</summary>
    internal void Settle(Storage value)
    {
        _value = Ops.literal(value, _build is null || _expression is not null ? Expression.Shape : []);
        _expression = _value;
        _build = null;
        Lineage = null;
        IsFrozen = false;
    }

    /// <summary>Takes another value, as cells do: parameters a literal, buffers an expression, too.</summary>
    private protected void Replace(Node node, bool frozen = false)
    {
        _expression = node;
        _value = node.Op.IsLiteral ? node : null;
        _build = null;
        IsFrozen = frozen;
    }

    /// <summary>The value of a tensor with one element.</summary>
    public double Item()
    {
        if (Count != 1)
        {
            throw new InvalidOperationException($"Item: the tensor must have one element, got {Nanograd.Shape.describe(Expression)}; ToArray reads them all.");
        }

        return Buffers.read(Read(), 0).Float;
    }

    /// <summary>The value of a tensor with one element, as a .NET number.</summary>
    /// <typeparam name="T">A numeric type; the value is converted to it.</typeparam>
    public T Item<T>() where T : unmanaged => Count == 1 ? ToArray<T>()[0] : throw new InvalidOperationException(
        $"Item: the tensor must have one element, got {Nanograd.Shape.describe(Expression)}; ToArray reads them all.");

    /// <summary>The elements in row-major order, as a new array.</summary>
    /// <typeparam name="T">The .NET type to read them as; elements of another type are converted.</typeparam>
    public T[] ToArray<T>() where T : unmanaged
    {
        var wanted = DTypes.Of<T>();
        if (wanted != DType)
        {
            return To(wanted).ToArray<T>();
        }

        var storage = Read();
        var result = new T[storage.Length];
        if (typeof(T) == typeof(bool))
        {
            Buffers.span<byte>(storage).CopyTo(MemoryMarshal.AsBytes(result.AsSpan()));
        }
        else
        {
            Buffers.span<T>(storage).CopyTo(result);
        }

        GC.KeepAlive(storage);
        return result;
    }

    /// <summary>True when variables occur in it (<see cref="Variable"/>): it has no value, and prints as algebra.</summary>
    public bool IsOpen => _value is null && !Graph.isClosed(Expression);

    /// <summary>The value as NumPy and PyTorch print it; of an expression of variables, the algebra.</summary>
    public override string ToString() => IsOpen ? Expression.ToString() : Ops.literal(Read(), Expression.Shape).ToString();

    /// <summary>Computes several tensors together, in one program; reading them afterwards costs nothing.</summary>
    public static void Evaluate(params Tensor[] tensors)
    {
        var pending = tensors.Where(t => t._value is null).ToArray();
        try
        {
            var values = Program.evaluate([.. pending.Select(t => t.Expression)]);
            for (var i = 0; i < pending.Length; i++)
            {
                pending[i].Keep(values[i]);
            }
        }
        catch (InvalidOperationException e) when (pending.Any(t => DependsOnOverwritten(t.Expression)))
        {
            throw Overwritten(e);
        }
    }

    /// <summary>The same value as a tensor of its own, through which no gradient flows.</summary>
    public Tensor Detach()
    {
        if (Lineage is { IsLeaf: true })
        {
            return new Tensor(Copies.Of(this)); // a leaf's memory is reused by Step(): what is detached keeps its own
        }

        var detached = new Tensor(Expression, null, frozen: Lineage is not null || IsFrozen) { _value = _value };
        if (_value is null)
        {
            Lineage?.Follow(this, detached); // a module's result, as a state is that goes on to the next step: Step() computes it, too
        }

        return detached;
    }
}
