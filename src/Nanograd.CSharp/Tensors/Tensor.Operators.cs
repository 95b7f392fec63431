using System.Runtime.CompilerServices;

namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>Elementwise sum; shapes broadcast as in NumPy.</summary>
    public static Tensor operator +(Tensor x, Tensor y) => Make((a, b) => a + b, x, y);

    /// <summary>A number added to every element.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator +(Tensor x, double y) => Make(a => a + y, x);

    /// <summary>A number added to every element.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator +(double x, Tensor y) => Make(b => x + b, y);

    /// <summary>An integer added to every element; integers stay integers.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator +(Tensor x, int y) => Make(a => a + y, x);

    /// <summary>An integer added to every element; integers stay integers.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator +(int x, Tensor y) => Make(b => x + b, y);

    /// <summary>Elementwise difference; shapes broadcast as in NumPy.</summary>
    public static Tensor operator -(Tensor x, Tensor y) => Make((a, b) => a - b, x, y);

    /// <summary>A number subtracted from every element.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator -(Tensor x, double y) => Make(a => a - y, x);

    /// <summary>Every element subtracted from a number.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator -(double x, Tensor y) => Make(b => x - b, y);

    /// <summary>An integer subtracted from every element; integers stay integers.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator -(Tensor x, int y) => Make(a => a - y, x);

    /// <summary>Every element subtracted from an integer; integers stay integers.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator -(int x, Tensor y) => Make(b => x - b, y);

    /// <summary>Elementwise product (for the matrix product see <see cref="MatMul"/>); shapes broadcast as in NumPy.</summary>
    public static Tensor operator *(Tensor x, Tensor y) => Make((a, b) => a * b, x, y);

    /// <summary>Every element times a number.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator *(Tensor x, double y) => Make(a => a * y, x);

    /// <summary>Every element times a number.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator *(double x, Tensor y) => Make(b => x * b, y);

    /// <summary>Every element times an integer; integers stay integers.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator *(Tensor x, int y) => Make(a => a * y, x);

    /// <summary>Every element times an integer; integers stay integers.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator *(int x, Tensor y) => Make(b => x * b, y);

    /// <summary>Elementwise quotient; integers divide as 32-bit floats. Shapes broadcast as in NumPy.</summary>
    public static Tensor operator /(Tensor x, Tensor y) => Make((a, b) => a / b, x, y);

    /// <summary>Every element divided by a number.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator /(Tensor x, double y) => Make(a => a / y, x);

    /// <summary>A number divided by every element.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator /(double x, Tensor y) => Make(b => x / b, y);

    /// <summary>Every element divided by an integer, as floats.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator /(Tensor x, int y) => Make(a => a / y, x);

    /// <summary>An integer divided by every element, as floats.</summary>
    [OverloadResolutionPriority(1)]
    public static Tensor operator /(int x, Tensor y) => Make(b => x / b, y);

    /// <summary>Every element with its sign changed.</summary>
    public static Tensor operator -(Tensor x) => Make(a => -a, x);

    /// <summary>True where x is less than y.</summary>
    public static Tensor operator <(Tensor x, Tensor y) => Make(Elementwise.lt, x, y);

    /// <summary>True where x is greater than y.</summary>
    public static Tensor operator >(Tensor x, Tensor y) => Make(Elementwise.gt, x, y);

    /// <summary>True where x is at most y.</summary>
    public static Tensor operator <=(Tensor x, Tensor y) => Make(Elementwise.le, x, y);

    /// <summary>True where x is at least y.</summary>
    public static Tensor operator >=(Tensor x, Tensor y) => Make(Elementwise.ge, x, y);

    /// <summary>True where the elements are equal (<c>==</c> compares references, as everywhere in .NET).</summary>
    public Tensor Eq(Tensor other) => Make(Elementwise.eq, this, other);

    /// <summary>True where the elements differ.</summary>
    public Tensor Ne(Tensor other) => Make(Elementwise.ne, this, other);

    /// <summary>
    /// The matrix product: the last axis with the other's last but one; leading axes are batches that broadcast, and
    /// vectors are promoted.
    /// </summary>
    public Tensor MatMul(Tensor other) => Make(Contractions.matmul, this, other);

    /// <summary>Item or slice <paramref name="index"/> of the first axis; negative ones count from the end.</summary>
    [IndexerName("At")]
    public Tensor this[int index] => Make(a =>
    {
        var dim = Nanograd.Shape.axis("index", a, 0);
        var extent = a.Shape[dim];
        if (index < -extent || index >= extent)
        {
            throw new ArgumentOutOfRangeException(nameof(index), $"index: {index} must be between {-extent} and {extent - 1}, got {Nanograd.Shape.describe(a)}");
        }

        var at = index < 0 ? index + extent : index;
        return Moving.squeeze(0, Moving.slice(0, at, at + 1, a));
    }, this);

    /// <summary>
    /// A part: <c>x[1..3, ..]</c>, <c>x[.., 0]</c>, <c>x[^1]</c>, <c>x[..^1, 2]</c>. A number removes its axis, a range keeps it,
    /// from its start to before its end, as everywhere in C#. <c>^1</c> and -1 are the last. Missing places at the end take
    /// whole axes.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">A place is outside its axis.</exception>
    /// <exception cref="ArgumentException">There are more places than axes.</exception>
    [IndexerName("At")]
    public Tensor this[params Subscript[] places] => Make(x => Subscript.Part(places, x), this);
}
