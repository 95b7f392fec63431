namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>Sums over <c>axes</c>, which disappear, where NaN counts as 0.</summary>
    public Tensor NanSum(params int[] axes) => Make(x => Reductions.nanSum(Checked(axes), x), this);

    /// <summary>Means over <c>axes</c>, which disappear, of what is not NaN.</summary>
    public Tensor NanMean(params int[] axes) => Make(x => Reductions.nanMean(Checked(axes), x), this);

    /// <summary>How many elements along <c>axes</c>, which disappear, are not 0: i64.</summary>
    public Tensor CountNonzero(params int[] axes) => Make(x => Reductions.countNonzero(Checked(axes), x), this);

    /// <summary>Products over axes, which disappear or (<paramref name="keepDim"/>) stay with extent 1.</summary>
    public Tensor Prod(int[] axes, bool keepDim = false) => Make(x => keepDim ? Reductions.prodKeep(Checked(axes), x) : Reductions.prodOver(Checked(axes), x), this);

    /// <summary>p-norms (sum of |x|^p)^(1/p) over axes, which disappear or (<paramref name="keepDim"/>) stay with extent 1.</summary>
    public Tensor Norm(double p, int[] axes, bool keepDim = false) => Make(x => keepDim ? Reductions.normKeep(p, Checked(axes), x) : Reductions.normOver(p, Checked(axes), x), this);

    /// <summary>Standard deviations, divided by n - <paramref name="correction"/>, over axes, which disappear or (<paramref name="keepDim"/>) stay with extent 1.</summary>
    public Tensor Std(int correction, int[] axes, bool keepDim = false) => Make(x => keepDim ? Reductions.stdKeep(correction, Checked(axes), x) : Reductions.stdOver(correction, Checked(axes), x), this);

    /// <summary>Variances, divided by n - <paramref name="correction"/>, over axes, which disappear or (<paramref name="keepDim"/>) stay with extent 1.</summary>
    public Tensor Var(int correction, int[] axes, bool keepDim = false) => Make(x => keepDim ? Reductions.varKeep(correction, Checked(axes), x) : Reductions.varOver(correction, Checked(axes), x), this);

    /// <summary>The unbiased standard deviation of all elements.</summary>
    public Tensor Std() => Make(Reductions.std, this);

    /// <summary>The unbiased variance of all elements (divided by n - 1).</summary>
    public Tensor Var() => Make(Reductions.var, this);

    /// <summary>The standard deviation over one axis: the root of <see cref="Var(int, bool, bool)"/>.</summary>
    public Tensor Std(int dim, bool unbiased = true, bool keepDim = false) => Std(unbiased ? 1 : 0, [dim], keepDim);

    /// <summary>The largest elements over axes, as <see cref="Max(int[], bool)"/>.</summary>
    public Tensor AMax(params int[] axes) => Max(axes);

    /// <summary>The smallest elements over axes, as <see cref="Min(int[], bool)"/>.</summary>
    public Tensor AMin(params int[] axes) => Min(axes);

    /// <summary>Index (i64) of the first smallest element along an axis, which disappears or (<paramref name="keepDim"/>) stays with extent 1; NaN wins.</summary>
    public Tensor ArgMin(int dim, bool keepDim = false) =>
        Make(x => keepDim ? Moving.unsqueeze(dim, Reductions.argMin(dim, x)) : Reductions.argMin(dim, x), this);

    /// <summary>Whether one element at least is true (not 0): bool <c>[]</c>.</summary>
    public Tensor Any() => Make(Reductions.any, this);

    /// <summary>Whether all elements are true (not 0): bool <c>[]</c>.</summary>
    public Tensor All() => Make(Reductions.all, this);

    /// <summary>Whether one element at least along <c>axes</c>, which disappear, is true (not 0): bool. Of nothing: false.</summary>
    public Tensor Any(params int[] axes) => Make(x => Reductions.anyOver(Checked(axes), x), this);

    /// <summary>Whether all elements along <c>axes</c>, which disappear, are true (not 0): bool. Of nothing: true.</summary>
    public Tensor All(params int[] axes) => Make(x => Reductions.allOver(Checked(axes), x), this);

    /// <summary>Whether x and y are close everywhere, as <c>isClose</c> says: bool <c>[]</c>.</summary>
    public Tensor AllClose(Tensor other, double rtol = 1e-5, double atol = 1e-8) => Make((x, y) => Reductions.allClose(rtol, atol, x, y), this, other);

    /// <summary>log(sum(exp x)) along an axis, which disappears, without overflow; of infinities alone it is that infinity.</summary>
    public Tensor LogSumExp(int dim, bool keepDim = false) => Make(x => keepDim ? Reductions.logSumExpKeep(dim, x) : Reductions.logSumExp(dim, x), this);

    /// <summary>softmax of -x.</summary>
    public Tensor Softmin(int dim) => Make(x => Reductions.softmin(dim, x), this);

    /// <summary>Running products along an axis; the shape stays. Differentiable at zeros, too.</summary>
    public Tensor CumProd(int dim) => Make(x => Reductions.cumProd(dim, x), this);

    /// <summary>Running log(sum(exp x)) along an axis, without overflow.</summary>
    public Tensor LogCumSumExp(int dim) => Make(x => Reductions.logCumSumExp(dim, x), this);

    /// <summary>Running maxima along an axis, and where they stand (i64): the last of equal ones, as in PyTorch.</summary>
    public (Tensor Values, Tensor Indices) CumMax(int dim) => Pair(x => Reductions.cumMax(dim, x), this);

    /// <summary>Running minima along an axis, and where they stand (i64): the last of equal ones, as in PyTorch.</summary>
    public (Tensor Values, Tensor Indices) CumMin(int dim) => Pair(x => Reductions.cumMin(dim, x), this);

    /// <summary>Differences of neighbours along an axis, <c>times</c> times: each time the axis has one element less.</summary>
    public Tensor Diff(int times = 1, int dim = -1) => Make(x => Reductions.diff(times, dim, x), this);

    /// <summary>The integral along an axis, which disappears, of values <c>dx</c> apart: trapezoidal rule.</summary>
    public Tensor Trapezoid(double dx = 1, int dim = -1) => Make(x => Reductions.trapezoid(dx, dim, x), this);

    /// <summary>The value below which a fraction q of the elements along an axis lie; the axis disappears. Between two elements by linear interpolation (PyTorch's and NumPy's default); NaN if there is one.</summary>
    public Tensor Quantile(double q, int dim = -1) => Make(x => Statistics.quantile(q, dim, x), this);

    /// <summary>Several quantiles at once: a new first axis has one entry for each.</summary>
    public Tensor Quantile(double[] qs, int dim = -1) => Make(x => Statistics.quantiles(qs, dim, x), this);

    /// <summary>The median along an axis, which disappears: of an even number the lower of the two in the middle, as PyTorch has it (<c>quantile 0.5</c> is their mean). NaN if there is one.</summary>
    public Tensor Median(int dim = -1) => Make(x => Statistics.median(dim, x), this);

    /// <summary>The most frequent element along an axis, which disappears, and how often it occurs (i64); of equally frequent ones the smallest.</summary>
    public (Tensor Values, Tensor Counts) Mode(int dim = -1) => Pair(x => Statistics.mode(dim, x), this);

    /// <summary>How often each of 0, ..., length - 1 occurs among integers: i64 <c>[length]</c>. Others are an error when the program runs.</summary>
    public Tensor BinCount(int length) => Make(x => Statistics.bincount(length, x), this);

    /// <summary>How many elements lie in each of <c>bins</c> intervals of equal width from <c>low</c> to <c>high</c> (i64 <c>[bins]</c>), and the bounds of the intervals (<c>[bins + 1]</c>). The last interval includes <c>high</c>; what lies outside, and NaN, is not counted.</summary>
    public (Tensor Counts, Tensor Bounds) Histogram(int bins, double low, double high) => Pair(x => Statistics.histogram(bins, low, high, x), this);

    /// <summary>The covariances of variables (rows) over observations (columns): <c>[variables; observations]</c> to <c>[variables; variables]</c>, divided by n - correction (1: unbiased). A vector is one variable.</summary>
    public Tensor Cov(int correction = 1) => Make(x => Statistics.cov(correction, x), this);

    /// <summary>The correlations (Pearson's) of variables (rows) over observations (columns): <c>[variables; observations]</c> to <c>[variables; variables]</c>, from -1 to 1.</summary>
    public Tensor CorrCoef() => Make(Statistics.corrcoef, this);
}
