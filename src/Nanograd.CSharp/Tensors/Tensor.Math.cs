namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>e to the power of every element.</summary>
    public Tensor Exp() => Unary(Nanograd.Unary.Exp);

    /// <summary>The natural logarithm of every element.</summary>
    public Tensor Log() => Unary(Nanograd.Unary.Log);

    /// <summary>log(1 + x), exact for small x.</summary>
    public Tensor Log1p() => Unary(Nanograd.Unary.Log1p);

    /// <summary>exp(x) - 1, exact for small x.</summary>
    public Tensor Expm1() => Unary(Nanograd.Unary.Expm1);

    /// <summary>The square root of every element.</summary>
    public Tensor Sqrt() => Unary(Nanograd.Unary.Sqrt);

    /// <summary>1 / sqrt(x).</summary>
    public Tensor Rsqrt() => Unary(Nanograd.Unary.Rsqrt);

    /// <summary>The absolute value of every element.</summary>
    public Tensor Abs() => Unary(Nanograd.Unary.Abs);

    /// <summary>-1, 0 or 1.</summary>
    public Tensor Sign() => Unary(Nanograd.Unary.Sign);

    /// <summary>The sine of every element.</summary>
    public Tensor Sin() => Unary(Nanograd.Unary.Sin);

    /// <summary>The cosine of every element.</summary>
    public Tensor Cos() => Unary(Nanograd.Unary.Cos);

    /// <summary>The arc tangent of every element.</summary>
    public Tensor Atan() => Unary(Nanograd.Unary.Atan);

    /// <summary>The hyperbolic tangent of every element.</summary>
    public Tensor Tanh() => Unary(Nanograd.Unary.Tanh);

    /// <summary>The error function of every element.</summary>
    public Tensor Erf() => Unary(Nanograd.Unary.Erf);

    /// <summary>The largest integer that is not larger.</summary>
    public Tensor Floor() => Unary(Nanograd.Unary.Floor);

    /// <summary>The smallest integer that is not smaller.</summary>
    public Tensor Ceil() => Unary(Nanograd.Unary.Ceil);

    /// <summary>The nearest integer, ties to even.</summary>
    public Tensor Round() => Unary(Nanograd.Unary.Round);

    /// <summary>1 / (1 + exp(-x)).</summary>
    public Tensor Sigmoid() => Make(Elementwise.sigmoid, this);

    /// <summary>max(x, 0).</summary>
    public Tensor Relu() => Make(Elementwise.relu, this);

    /// <summary>Every element times itself.</summary>
    public Tensor Square() => Make(Elementwise.square, this);

    /// <summary>Every element to a power.</summary>
    public Tensor Pow(double exponent) => Make(x => Elementwise.pow(x, Creation.full(DTypeModule.isFloat(x.DType) ? x.DType : CoreType.F32, [], exponent)), this);

    /// <summary>Every element to the power of the other's.</summary>
    public Tensor Pow(Tensor exponent) => Make(Elementwise.pow, this, exponent);

    /// <summary>The elementwise larger; NaN wins.</summary>
    public Tensor Maximum(Tensor other) => Make(Elementwise.maximum, this, other);

    /// <summary>The elementwise smaller; NaN wins.</summary>
    public Tensor Minimum(Tensor other) => Make(Elementwise.minimum, this, other);

    /// <summary>Every element held between two bounds.</summary>
    public Tensor Clamp(double min, double max) => Make(
        x => Elementwise.minimum(Elementwise.maximum(x, Creation.full(x.DType, [], min)), Creation.full(x.DType, [], max)), this);

    /// <summary><paramref name="x"/> where the condition holds, else <paramref name="y"/>; all three broadcast.</summary>
    public static Tensor Where(Tensor condition, Tensor x, Tensor y) =>
        Make(n => Elementwise.where(n[0]!, n[1]!, n[2]!), condition, x, y);

    /// <summary>The sum of all elements.</summary>
    public Tensor Sum() => Make(Reductions.sum, this);

    /// <summary>Sums over one axis.</summary>
    public Tensor Sum(int dim, bool keepDim = false) => Sum([dim], keepDim);

    /// <summary>Sums over axes, which disappear or (<paramref name="keepDim"/>) stay with extent 1.</summary>
    public Tensor Sum(int[] axes, bool keepDim = false) => Over(Nanograd.Reduction.Sum, axes, keepDim);

    /// <summary>The product of all elements.</summary>
    public Tensor Prod() => Over(Nanograd.Reduction.Prod, Every, false);

    /// <summary>The mean of all elements.</summary>
    public Tensor Mean() => Make(Reductions.mean, this);

    /// <summary>Means over one axis.</summary>
    public Tensor Mean(int dim, bool keepDim = false) => Mean([dim], keepDim);

    /// <summary>Means over axes, which disappear or (<paramref name="keepDim"/>) stay with extent 1.</summary>
    public Tensor Mean(int[] axes, bool keepDim = false) =>
        Make(x => keepDim ? Reductions.meanKeep(axes, x) : Reductions.meanOver(axes, x), this);

    /// <summary>The variance over one axis: divided by n - 1, or by n when not <paramref name="unbiased"/>.</summary>
    public Tensor Var(int dim, bool unbiased = true, bool keepDim = false)
    {
        var n = Size(dim);
        var variance = Make(x => Reductions.varianceKeep([dim], x), this) * (unbiased ? n / (double)(n - 1) : 1.0);
        return keepDim ? variance : variance.Squeeze(dim);
    }

    /// <summary>The largest element.</summary>
    public Tensor Max() => Over(Nanograd.Reduction.Max, Every, false);

    /// <summary>The largest elements along an axis.</summary>
    public Tensor Max(int dim, bool keepDim = false) => Over(Nanograd.Reduction.Max, [dim], keepDim);

    /// <summary>The largest elements over axes.</summary>
    public Tensor Max(int[] axes, bool keepDim = false) => Over(Nanograd.Reduction.Max, axes, keepDim);

    /// <summary>The smallest element.</summary>
    public Tensor Min() => Over(Nanograd.Reduction.Min, Every, false);

    /// <summary>The smallest elements along an axis.</summary>
    public Tensor Min(int dim, bool keepDim = false) => Over(Nanograd.Reduction.Min, [dim], keepDim);

    /// <summary>The smallest elements over axes.</summary>
    public Tensor Min(int[] axes, bool keepDim = false) => Over(Nanograd.Reduction.Min, axes, keepDim);

    /// <summary>The index (64-bit integer) of the first largest element along an axis, which disappears or (<paramref name="keepDim"/>) stays with extent 1.</summary>
    public Tensor ArgMax(int dim, bool keepDim = false) =>
        Make(x => keepDim ? Moving.unsqueeze(dim, Reductions.argMax(dim, x)) : Reductions.argMax(dim, x), this);

    /// <summary>Running sums along an axis.</summary>
    public Tensor CumSum(int dim) => Make(x => Reductions.cumSum(dim, x), this);

    /// <summary>exp(x) over its sum along an axis.</summary>
    public Tensor Softmax(int dim) => Make(x => Reductions.softmax(dim, x), this);

    /// <summary>The logarithm of <see cref="Softmax"/>, exact for values far apart.</summary>
    public Tensor LogSoftmax(int dim) => Make(x => Reductions.logSoftmax(dim, x), this);

    private int[] Every => [.. Enumerable.Range(0, Rank)];

    private Tensor Unary(Unary function) => Make(x => Ops.unary(function, x), this);

    private Tensor Over(Nanograd.Reduction reduction, int[] axes, bool keepDim) => Make(
        x =>
        {
            var folded = Ops.reduce(reduction, axes, x);
            if (!keepDim)
            {
                return folded;
            }

            var normalised = Nanograd.Shape.axes("reduce", x, axes);
            return Moving.reshape([.. x.Shape.Select((e, i) => normalised.Contains(i) ? 1 : e)], folded);
        },
        this);
}
