namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>One number everywhere, in the type and shape of another tensor.</summary>
    public static Tensor FullLike(Tensor other, double value) => Full([.. other.Shape], value, other.DType);

    /// <summary>Zeros of any type.</summary>
    public static Tensor Zeros(int[] shape, DType type) => Full(shape, 0, type);

    /// <summary>Ones of any type.</summary>
    public static Tensor Ones(int[] shape, DType type) => Full(shape, 1, type);

    /// <summary>A scalar (<c>[]</c>) of any type that is known when the expression is built.</summary>
    public static Tensor Scalar(double value, DType type) => new(Creation.scalarOf(type.ToCore(), value));

    /// <summary>start, start + step, ... before <c>stop</c>, of the given type: each is start + i step, rounded once.</summary>
    public static Tensor Arange(double start, double stop, double step = 1, DType type = DType.Float32) => new(Creation.arangeBy(type.ToCore(), start, stop, step));

    /// <summary><c>count</c> numbers of the given type at equal distances from <c>start</c> to <c>stop</c>, both included.</summary>
    public static Tensor Linspace(double start, double stop, int count, DType type = DType.Float32) => new(Creation.linspaceOf(type.ToCore(), start, stop, count));

    /// <summary><c>count</c> numbers (f32) from 10 ** start to 10 ** stop, both included, at equal ratios.</summary>
    public static Tensor Logspace(double start, double stop, int count) => new(Creation.logspace(start, stop, count));

    /// <summary>The identity matrix, f32 <c>[n; n]</c>.</summary>
    public static Tensor Eye(int n) => new(Creation.eye(n));

    /// <summary>Ones on the diagonal of a matrix of zeros, <c>[rows; columns]</c> of the given type.</summary>
    public static Tensor Eye(int rows, int columns, DType type = DType.Float32) => new(Creation.eyeOf(type.ToCore(), rows, columns));

    /// <summary>True on and below the diagonal: <c>[n; n]</c> bool.</summary>
    public static Tensor CausalMask(int n) => new(Creation.causalMask(n));

    /// <summary>The lower triangle of the last two axes: what is above diagonal <c>offset</c> (0: the main one, 1: the one above) becomes 0. The shape stays.</summary>
    public Tensor Tril(int offset = 0) => Make(x => Creation.tril(offset, x), this);

    /// <summary>The upper triangle of the last two axes: what is below diagonal <c>offset</c> becomes 0. The shape stays.</summary>
    public Tensor Triu(int offset = 0) => Make(x => Creation.triu(offset, x), this);

    /// <summary>Rows and columns (i64, <c>[2; n]</c>) of the elements that <c>tril</c> keeps of a matrix, row by row.</summary>
    public static Tensor TrilIndices(int rows, int columns, int offset = 0) => new(Creation.trilIndices(rows, columns, offset));

    /// <summary>Rows and columns (i64, <c>[2; n]</c>) of the elements that <c>triu</c> keeps of a matrix, row by row.</summary>
    public static Tensor TriuIndices(int rows, int columns, int offset = 0) => new(Creation.triuIndices(rows, columns, offset));

    /// <summary>Grids of coordinates: from vectors <c>[n0]</c>, <c>[n1]</c>, ... as many tensors <c>[n0; n1; ...]</c>, the i-th of which varies along axis i (PyTorch's and NumPy's indexing "ij").</summary>
    public static Tensor[] Meshgrid(params Tensor[] tensors) => [.. tensors.Select((_, i) => Make(xs => Creation.meshgrid(xs!)[i], tensors))];

    /// <summary>The elements of diagonal <c>offset</c> (above the main one if positive) of two axes, which disappear; the diagonal becomes the last axis. It must lie in the matrix or be empty.</summary>
    public Tensor Diagonal(int offset = 0, int dim1 = 0, int dim2 = 1) => Make(x => Creation.diagonal(offset, dim1, dim2, x), this);

    /// <summary>Matrices with the last axis on diagonal <c>offset</c> and zeros elsewhere: <c>[..; n]</c> to <c>[..; n + |offset|; n + |offset|]</c>.</summary>
    public Tensor DiagEmbed(int offset = 0) => Make(x => Creation.diagEmbed(offset, x), this);

    /// <summary>Of a vector the matrix with it on diagonal <c>offset</c>; of a matrix that diagonal, as a vector.</summary>
    public Tensor Diag(int offset = 0) => Make(x => Creation.diag(offset, x), this);
}
