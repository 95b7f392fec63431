namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>Zeros.</summary>
    public static Tensor Zeros(params int[] shape) => Full(shape, 0);

    /// <summary>Ones.</summary>
    public static Tensor Ones(params int[] shape) => Full(shape, 1);

    /// <summary>One value everywhere.</summary>
    public static Tensor Full(int[] shape, double value, DType type = DType.Float32) =>
        new(Creation.full(type.ToCore(), Checked(shape), value));

    /// <summary>Zeros of the shape and type of another tensor.</summary>
    public static Tensor ZerosLike(Tensor other) => Full([.. other.Shape], 0, other.DType);

    /// <summary>Ones of the shape and type of another tensor.</summary>
    public static Tensor OnesLike(Tensor other) => Full([.. other.Shape], 1, other.DType);

    /// <summary>A tensor over a copy of <paramref name="values"/>, row-major; without a shape it is a vector.</summary>
    /// <typeparam name="T">float, double, Half, long, int, uint, byte, sbyte or bool; it decides the element type.</typeparam>
    public static Tensor FromArray<T>(T[] values, params int[] shape) where T : unmanaged
    {
        var type = DTypes.Of<T>().ToCore();
        return new(Creation.ofArray(type, shape.Length == 0 ? [values.Length] : Checked(shape), values));
    }

    /// <summary>A matrix over a copy of <paramref name="rows"/>.</summary>
    /// <typeparam name="T">float, double, Half, long, int, uint, byte, sbyte or bool; it decides the element type.</typeparam>
    public static Tensor FromArray<T>(T[,] rows) where T : unmanaged =>
        FromArray(rows.Cast<T>().ToArray(), rows.GetLength(0), rows.GetLength(1));

    /// <summary>A scalar of 32-bit float.</summary>
    public static Tensor Scalar(float value) => new(Copies.Scalar(value));

    /// <summary>0, 1, ..., count - 1, as 64-bit integers unless another type is asked for.</summary>
    public static Tensor Arange(int count, DType type = DType.Int64) => new(Creation.arange(type.ToCore(), count));

    /// <summary>Independent standard normal numbers.</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="generator">Where the randomness comes from; null: <see cref="Generator.Default"/>.</param>
    public static Tensor RandN(int[] shape, Generator? generator = null) =>
        new(Nanograd.Random.normal(Generator.NextKey(generator), Checked(shape)));

    /// <summary>Independent standard normal numbers from <see cref="Generator.Default"/>.</summary>
    public static Tensor RandN(params int[] shape) => RandN(shape, null);

    /// <summary>Independent numbers, uniform in [0, 1).</summary>
    /// <param name="shape">The extents.</param>
    /// <param name="generator">Where the randomness comes from; null: <see cref="Generator.Default"/>.</param>
    public static Tensor Rand(int[] shape, Generator? generator = null) =>
        new(Nanograd.Random.uniform(Generator.NextKey(generator), Checked(shape)));

    /// <summary>Independent numbers, uniform in [0, 1), from <see cref="Generator.Default"/>.</summary>
    public static Tensor Rand(params int[] shape) => Rand(shape, null);

    /// <summary>Independent 64-bit integers, uniform from <paramref name="low"/> to before <paramref name="high"/>.</summary>
    /// <param name="low">The least.</param>
    /// <param name="high">One more than the largest.</param>
    /// <param name="shape">The extents.</param>
    /// <param name="generator">Where the randomness comes from; null: <see cref="Generator.Default"/>.</param>
    public static Tensor RandInt(int low, int high, int[] shape, Generator? generator = null) => Integers(low, high, shape, generator).To(DType.Int64);

    /// <summary>
    /// Indices (64-bit integers [..., numSamples]) of classes with probabilities proportional to this tensor [..., classes]; without
    /// replacement all are different.
    /// </summary>
    public Tensor Multinomial(int numSamples, bool replacement = false, Generator? generator = null) => Multinomial(numSamples, replacement, this, generator);

    /// <summary>
    /// A new variable of 32-bit floats: expressions of it print as algebra, and so do derivatives at it.
    /// </summary>
    /// <example><code>Functional.Grad(x => (x * x).Sum())(Tensor.Variable("x", 3)).ToString() // 2·x</code></example>
    public static Tensor Variable(string name, params int[] shape) => new(Symbols.variable(name, Checked(shape)));

    /// <summary>A new scalar variable of 32-bit float.</summary>
    public static Tensor Symbol(string name) => new(Symbols.symbol(name));

    /// <summary>A bare number is a 32-bit scalar.</summary>
    public static implicit operator Tensor(float value) => Scalar(value);

    private static int[] Checked(int[] shape) => [.. shape]; // the caller may change his array later
}
