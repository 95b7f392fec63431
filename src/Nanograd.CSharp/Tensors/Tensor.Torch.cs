namespace Nanograd.CSharp;

/// <content>Names that PyTorch's users look for and that are short for something else here.</content>
public partial class Tensor
{
    /// <summary>Integers (i64) from 0 on and below <paramref name="high"/>.</summary>
    public static Tensor RandInt(int high, int[] shape, Generator? generator = null) => RandInt(0, high, shape, generator);

    /// <summary>The numbers 0 .. n-1 (i64, <c>[n]</c>) in random order.</summary>
    public static Tensor RandPerm(int n, Generator? generator = null) => Permutation(n, generator).To(DType.Int64);

    /// <summary>Numbers between 0 and 1 in the shape and type of another tensor.</summary>
    public static Tensor RandLike(Tensor other, Generator? generator = null) => Rand([.. other.Shape], generator).To(other.DType);

    /// <summary>Normally distributed numbers in the shape and type of another tensor.</summary>
    public static Tensor RandNLike(Tensor other, Generator? generator = null) => RandN([.. other.Shape], generator).To(other.DType);

    /// <summary>This tensor: nothing can change it, so it needs no copy. Gradients flow through it.</summary>
    public Tensor Clone() => Make(x => x, this);

    /// <summary>This tensor: how it lies in memory is the compiler's business.</summary>
    public Tensor Contiguous() => this;

    /// <summary>The elements in single precision.</summary>
    public Tensor Float() => To(DType.Float32);

    /// <summary>The elements in double precision.</summary>
    public Tensor Double() => To(DType.Float64);

    /// <summary>The elements as 64-bit integers.</summary>
    public Tensor Long() => To(DType.Int64);

    /// <summary>The elements as 32-bit integers.</summary>
    public Tensor Int() => To(DType.Int32);

    /// <summary>The number of axes: <see cref="Rank"/>.</summary>
    public int Dim() => Rank;

    /// <summary>A whole power.</summary>
    public Tensor Pow(int exponent) => Pow((double)exponent);

    /// <summary>No less than <paramref name="min"/> and no more than <paramref name="max"/>, where they are given.</summary>
    public Tensor Clamp(double? min = null, double? max = null) => Clamp(min ?? double.NegativeInfinity, max ?? double.PositiveInfinity);

    /// <summary>The index (i64) of the first largest of all elements, in row-major order.</summary>
    public Tensor ArgMax() => Flatten().ArgMax(0);

    /// <summary>The index (i64) of the first smallest of all elements, in row-major order.</summary>
    public Tensor ArgMin() => Flatten().ArgMin(0);

    /// <summary>The p-norm of all elements.</summary>
    public Tensor Norm(double p = 2) => Flatten().Norm(p, [0]);

    /// <summary>Where a mask (bool) is true, the elements; at integers, the slices along the first axis.</summary>
    [System.Runtime.CompilerServices.IndexerName("At")]
    public Tensor this[Tensor index] => index.DType == DType.Bool ? MaskedSelect(index) : Take(0, index);

    /// <summary>The last two axes swapped.</summary>
    public Tensor MT => SwapAxes(-2, -1);

    /// <summary>The product of two matrices.</summary>
    public Tensor Mm(Tensor other) => Ranked("Mm", this, 2).MatMul(Ranked("Mm", other, 2));

    /// <summary>The products of stacks of matrices: <c>[b; n; k]</c> and <c>[b; k; m]</c> to <c>[b; n; m]</c>.</summary>
    public Tensor Bmm(Tensor other) => Ranked("Bmm", this, 3).MatMul(Ranked("Bmm", other, 3));

    /// <summary>The product of a matrix and a vector.</summary>
    public Tensor Mv(Tensor vector) => Ranked("Mv", this, 2).MatMul(Ranked("Mv", vector, 1));

    /// <summary>beta this + alpha a b, of matrices.</summary>
    public Tensor AddMm(Tensor a, Tensor b, double beta = 1, double alpha = 1) => (this * beta) + (a.Mm(b) * alpha);

    /// <summary>beta this + alpha a b, of stacks of matrices.</summary>
    public Tensor BAddBmm(Tensor a, Tensor b, double beta = 1, double alpha = 1) => (this * beta) + (a.Bmm(b) * alpha);

    /// <summary>beta this + alpha a x, of a matrix and a vector.</summary>
    public Tensor AddMv(Tensor a, Tensor x, double beta = 1, double alpha = 1) => (this * beta) + (a.Mv(x) * alpha);

    /// <summary>this + value a b, element by element.</summary>
    public Tensor AddCMul(Tensor a, Tensor b, double value = 1) => this + (a * b * value);

    /// <summary>this + value a / b, element by element.</summary>
    public Tensor AddCDiv(Tensor a, Tensor b, double value = 1) => this + (a / b * value);

    /// <summary>2 to the power of <paramref name="exponent"/>, times this.</summary>
    public Tensor LdExp(Tensor exponent) => this * exponent.To(DType.IsFloat() ? DType : DType.Float32).Exp2();

    /// <summary>The smallest and the largest along an axis.</summary>
    public (Tensor Min, Tensor Max) AMinMax(int dim) => (AMin(dim), AMax(dim));

    /// <summary>Variance and mean along an axis.</summary>
    public (Tensor Var, Tensor Mean) VarMean(int dim, bool unbiased = true, bool keepDim = false) =>
        (Var(dim, unbiased, keepDim), Mean(dim, keepDim));

    /// <summary>Standard deviation and mean along an axis.</summary>
    public (Tensor Std, Tensor Mean) StdMean(int dim, bool unbiased = true, bool keepDim = false) =>
        (Std(dim, unbiased, keepDim), Mean(dim, keepDim));

    /// <summary>Whether shape and all elements are the same. It reads both.</summary>
    public bool Equal(Tensor other) => Shape.SequenceEqual(other.Shape) && Eq(other).All().Item() != 0;

    /// <summary>Which elements are among those of <paramref name="others"/>: bool, in the shape of this.</summary>
    public Tensor IsIn(Tensor others) => Unsqueeze(-1).Eq(others.Flatten()).Any(-1);

    /// <summary>The indices (i64, <c>[n; rank]</c>) of the elements that are not 0, in row-major order. It reads the tensor.</summary>
    public Tensor NonZero() => new(Nanograd.Values.nonzero(Expression));

    /// <summary>The same as <see cref="NonZero"/>.</summary>
    public Tensor ArgWhere() => NonZero();

    /// <summary>The elements where the mask (bool, broadcast to this) is true, as a vector. It reads the mask; gradients flow.</summary>
    public Tensor MaskedSelect(Tensor mask) => Make(x => Nanograd.Values.maskedSelect(mask.Expression, x), this);

    /// <summary>
    /// The different elements, sorted; which of them each element is (i64, in its shape); how often each occurs (i64). It reads
    /// the tensor.
    /// </summary>
    public (Tensor Values, Tensor Inverse, Tensor Counts) Unique()
    {
        var (values, inverse, counts) = Nanograd.Values.unique(Expression);
        return (new(values), new(inverse), new(counts));
    }

    /// <summary>Distances of all pairs of rows in the p-norm: <c>[..; n; d]</c> and <c>[..; m; d]</c> to <c>[..; n; m]</c>.</summary>
    public static Tensor CDist(Tensor x, Tensor y, double p = 2) => (x.Unsqueeze(-2) - y.Unsqueeze(-3)).Norm(p, [-1]);

    /// <summary>The p-norm of the difference.</summary>
    public Tensor Dist(Tensor other, double p = 2) => (this - other).Flatten().Norm(p, [0]);

    /// <summary>As many parts as asked for along an axis, the first ones an element longer if it does not divide.</summary>
    public Tensor[] TensorSplit(int sections, int dim = 0)
    {
        var extent = Size(dim);
        return sections < 1
            ? throw new ArgumentException($"TensorSplit: there must be at least 1 section, got {sections}.")
            : Split(dim, [.. Enumerable.Range(0, sections).Select(i => (extent / sections) + (i < extent % sections ? 1 : 0))]);
    }

    /// <summary>Vectors become columns; matrices stay side by side.</summary>
    public static Tensor ColumnStack(params IEnumerable<Tensor> tensors) => Cat(tensors.Select(t => t.Rank < 2 ? t.Reshape(-1, 1) : t), 1);

    /// <summary>Side by side along a third axis.</summary>
    public static Tensor DStack(params IEnumerable<Tensor> tensors) => Cat(
        tensors.Select(t => t.Rank switch
        {
            0 or 1 => t.Reshape(1, -1, 1),
            2 => t.Unsqueeze(-1),
            _ => t,
        }),
        2);

    /// <summary>Matrices along the diagonal of a larger one, with zeros elsewhere.</summary>
    public static Tensor BlockDiag(params IEnumerable<Tensor> matrices)
    {
        Tensor[] all = [.. matrices.Select(m => Ranked("BlockDiag", m, 2))];
        var columns = all.Sum(m => m.Size(1));
        var before = 0;
        var rows = new List<Tensor>();
        foreach (var m in all)
        {
            rows.Add(m.Pad([before, columns - before - m.Size(1)]));
            before += m.Size(1);
        }

        return Cat(rows);
    }

    private static Tensor Ranked(string name, Tensor tensor, int rank) => tensor.Rank == rank
        ? tensor
        : throw new ArgumentException($"{name}: the operand must have {rank} axes, got {Nanograd.Shape.describe(tensor.Expression)}; MatMul takes any number.");
}
