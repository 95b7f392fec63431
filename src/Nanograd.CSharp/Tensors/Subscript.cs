namespace Nanograd.CSharp;

/// <summary>One place of <c>x[1..3, .., 0]</c>: a number (negative ones count from the end), an index such as <c>^1</c>, or a range.</summary>
public readonly struct Subscript
{
    private readonly int _number;
    private readonly Index _index;
    private readonly Range _range;
    private readonly Kind _kind;

    private Subscript(Kind kind, int number, Index index, Range range) => (_kind, _number, _index, _range) = (kind, number, index, range);

    private enum Kind
    {
        Whole,
        Number,
        Index,
        Range,
    }

    /// <summary>One element; negative numbers count from the end.</summary>
    public static implicit operator Subscript(int number) => new(Kind.Number, number, default, default);

    /// <summary>One element.</summary>
    public static implicit operator Subscript(Index index) => new(Kind.Index, 0, index, default);

    /// <summary>A part, its end excluded.</summary>
    public static implicit operator Subscript(Range range) => new(Kind.Range, 0, default, range);

    /// <summary>As it is written.</summary>
    public override string ToString() => _kind switch
    {
        Kind.Number => $"{_number}",
        Kind.Index => $"{_index}",
        Kind.Range => $"{_range}",
        _ => "..",
    };

    /// <summary>From where to before where, and whether the axis disappears.</summary>
    private (int Start, int Stop, bool IsSingle) On(int axis, Node x)
    {
        var extent = x.Shape[axis];
        var single = _kind switch
        {
            Kind.Number => _number < 0 ? _number + extent : _number,
            Kind.Index => _index.GetOffset(extent),
            _ => -1,
        };
        var isSingle = _kind is Kind.Number or Kind.Index;
        var range = _kind == Kind.Range ? _range : Range.All;
        var (start, stop) = isSingle ? (single, single + 1) : (range.Start.GetOffset(extent), range.End.GetOffset(extent));
        return start < 0 || stop > extent || stop < start
            ? throw new ArgumentOutOfRangeException("places", $"index: {this} must lie in axis {axis} of {extent}, got {Nanograd.Shape.describe(x)}")
            : (start, stop, isSingle);
    }

    internal static Node Part(Subscript[] places, Node x)
    {
        if (places.Length > x.Rank)
        {
            throw new ArgumentException($"index: there must be at most {x.Rank} indices, not {places.Length}, got {Nanograd.Shape.describe(x)}");
        }

        var bounds = places.Select((p, axis) => p.On(axis, x)).ToList();
        bounds.AddRange(x.Shape[places.Length..].Select(extent => (0, extent, false)));
        var cut = Ops.slice([.. bounds.Select(b => b.Start)], [.. bounds.Select(b => b.Stop)], [.. x.Shape.Select(_ => 1)], x);
        return Ops.reshape([.. cut.Shape.Where((_, axis) => !bounds[axis].IsSingle)], cut);
    }
}
