namespace Nanograd.CSharp;

/// <summary>
/// One number for all spatial axes, or one for each: <c>2</c>, <c>(1, 2)</c>, <c>(1, 2, 3)</c>, or an array. What is not given
/// is what the function says.
/// </summary>
public readonly struct Extents
{
    private readonly int[]? _values;

    private Extents(int[] values) => _values = values;

    /// <summary>The same for all axes.</summary>
    public static implicit operator Extents(int all) => new([all]);

    /// <summary>Those of two axes.</summary>
    public static implicit operator Extents((int First, int Second) each) => new([each.First, each.Second]);

    /// <summary>Those of three axes.</summary>
    public static implicit operator Extents((int First, int Second, int Third) each) => new([each.First, each.Second, each.Third]);

    /// <summary>One for all axes, or one for each.</summary>
    public static implicit operator Extents(int[] each) => new([.. each]);

    /// <summary>The numbers with commas between.</summary>
    public override string ToString() => string.Join(", ", _values ?? []);

    /// <summary>As Python writes it.</summary>
    internal string Repr(int otherwise) => _values switch
    {
        null => $"{otherwise}",
        [var all] => $"{all}",
        _ => $"({this})",
    };

    internal int[] Of(int axes, int otherwise, string name) => _values switch
    {
        null => [.. Enumerable.Repeat(otherwise, axes)],
        [var all] => [.. Enumerable.Repeat(all, axes)],
        _ when _values.Length == axes => [.. _values],
        _ => throw new ArgumentException($"{name} must have 1 entry or {axes}, got {this}."),
    };
}

/// <summary>
/// What is added around the spatial axes before a convolution: as many zeros on either side as numbers say (see
/// <see cref="Extents"/>), "same" for as many as keep the extents (strides must be 1; an odd one goes behind), or "valid" for none.
/// </summary>
public readonly struct Padding
{
    private readonly Extents _numbers;
    private readonly bool _same;

    private Padding(Extents numbers, bool same) => (_numbers, _same) = (numbers, same);

    /// <summary>The same for all axes.</summary>
    public static implicit operator Padding(int all) => new(all, false);

    /// <summary>Those of two axes.</summary>
    public static implicit operator Padding((int First, int Second) each) => new(each, false);

    /// <summary>Those of three axes.</summary>
    public static implicit operator Padding((int First, int Second, int Third) each) => new(each, false);

    /// <summary>One for all axes, or one for each.</summary>
    public static implicit operator Padding(int[] each) => new(each, false);

    /// <summary>"same" or "valid".</summary>
    /// <exception cref="ArgumentException">Another word.</exception>
    public static implicit operator Padding(string name) => name is "same" or "valid"
        ? new(default, name == "same")
        : throw new ArgumentException($"padding must be same, valid or numbers, got {name}.");

    /// <summary>"same", or the numbers.</summary>
    public override string ToString() => _same ? "same" : _numbers.ToString();

    internal bool IsSame => _same;

    internal int[] Numbers(int axes) => _numbers.Of(axes, 0, "padding");

    internal Nanograd.Padding Of(int axes) => _same ? Nanograd.Padding.Same : Nanograd.Padding.NewBy(_numbers.Of(axes, 0, "padding"));
}
