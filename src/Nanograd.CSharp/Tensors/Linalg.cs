using Microsoft.FSharp.Collections;
using FSharpLinalg = Nanograd.Linalg;
using FSharpNorm = Nanograd.MatrixNorm;
using Order = Nanograd.CSharp.MatrixNorm;

namespace Nanograd.CSharp;

/// <summary>Which norm of a matrix.</summary>
public enum MatrixNorm
{
    /// <summary>The root of the sum of squares.</summary>
    Frobenius,

    /// <summary>The sum of the singular values.</summary>
    Nuclear,

    /// <summary>The largest column sum of magnitudes.</summary>
    One,

    /// <summary>The smallest column sum of magnitudes.</summary>
    MinusOne,

    /// <summary>The largest singular value.</summary>
    Two,

    /// <summary>The smallest singular value.</summary>
    MinusTwo,

    /// <summary>The largest row sum of magnitudes.</summary>
    Infinity,

    /// <summary>The smallest row sum of magnitudes.</summary>
    MinusInfinity,
}

/// <summary>
/// Linear algebra, by the names of torch.linalg. Everything works on the last two axes and over any leading axes, in f32
/// or f64, with gradients of any order. Signs are fixed by rules, so results are deterministic.
/// </summary>
public static class Linalg
{
    private static Tensor Of(Func<Node, Node> f, Tensor x) => Tensor.Make(n => f(n[0]!), x);

    private static Tensor Of(Func<Node, Node, Node> f, Tensor x, Tensor y) => Tensor.Make(n => f(n[0]!, n[1]!), x, y);

    private static (Tensor, Tensor) Pair(Func<Node, Tuple<Node, Node>> f, Tensor x) =>
        (Of(n => f(n).Item1, x), Of(n => f(n).Item2, x));

    private static (Tensor, Tensor, Tensor) Triple(Func<Node, Tuple<Node, Node, Node>> f, Tensor x) =>
        (Of(n => f(n).Item1, x), Of(n => f(n).Item2, x), Of(n => f(n).Item3, x));

    private static FSharpNorm Core(Order order) => order switch
    {
        Order.Frobenius => FSharpNorm.Frobenius,
        Order.Nuclear => FSharpNorm.Nuclear,
        Order.One => FSharpNorm.One,
        Order.MinusOne => FSharpNorm.MinusOne,
        Order.Two => FSharpNorm.Two,
        Order.MinusTwo => FSharpNorm.MinusTwo,
        Order.Infinity => FSharpNorm.Infinity,
        Order.MinusInfinity => FSharpNorm.MinusInfinity,
        _ => throw new ArgumentOutOfRangeException(nameof(order), order, "no such norm"),
    };

    /// <summary>
    /// X of T X = B for a triangular T <c>[..; n; n]</c> and B <c>[..; n; k]</c> or vectors: lower or upper, transposed,
    /// with ones on the diagonal, to the left or (X T = B) to the right of the unknown.
    /// </summary>
    public static Tensor TriangularSolve(Tensor t, Tensor b, bool lower = true, bool transposed = false, bool unitDiagonal = false, bool left = true) =>
        Of((x, y) => FSharpLinalg.triangularSolveWith(new FSharpLinalg.Triangle(lower, transposed, unitDiagonal, left), x, y), t, b);

    /// <summary>X of A X = B: <c>[..; n; n]</c> and <c>[..; n; k]</c>, or vectors. A singular A gives infinities or NaN.</summary>
    public static Tensor Solve(Tensor a, Tensor b) => Of(FSharpLinalg.solve, a, b);

    /// <summary>The inverse. A singular matrix gives infinities or NaN.</summary>
    public static Tensor Inv(Tensor a) => Of(FSharpLinalg.inv, a);

    /// <summary>The determinant, <c>[..; n; n]</c> to <c>[..]</c>.</summary>
    public static Tensor Det(Tensor a) => Of(FSharpLinalg.det, a);

    /// <summary>Sign and logarithm of the absolute value of the determinant; 0 and -infinity for a singular matrix.</summary>
    public static (Tensor Sign, Tensor LogAbs) Slogdet(Tensor a) => Pair(FSharpLinalg.slogdet, a);

    /// <summary>
    /// The lower triangular L with A = L L^T, for the symmetric part of A; NaN where that is not positive definite.
    /// </summary>
    public static Tensor Cholesky(Tensor a) => Of(FSharpLinalg.cholesky, a);

    /// <summary>The upper triangular U with A = U^T U.</summary>
    public static Tensor CholeskyUpper(Tensor a) => Of(FSharpLinalg.choleskyUpper, a);

    /// <summary>Whether the symmetric part of each matrix is positive definite: bool <c>[..]</c>.</summary>
    public static Tensor IsPositiveDefinite(Tensor a) => Of(FSharpLinalg.isPositiveDefinite, a);

    /// <summary>X of A X = B, given A's lower Cholesky factor.</summary>
    public static Tensor CholeskySolve(Tensor l, Tensor b) => Of(FSharpLinalg.choleskySolve, l, b);

    /// <summary>P, L and U with P A = L U, by partial pivoting.</summary>
    public static (Tensor P, Tensor L, Tensor U) Lu(Tensor a) => Triple(FSharpLinalg.lu, a);

    /// <summary>Q with orthonormal columns and R, upper triangular with a nonnegative diagonal, with A = Q R.</summary>
    public static (Tensor Q, Tensor R) Qr(Tensor a) => Pair(FSharpLinalg.qr, a);

    /// <summary>The same with Q square and R of A's shape.</summary>
    public static (Tensor Q, Tensor R) QrComplete(Tensor a) => Pair(FSharpLinalg.qrComplete, a);

    /// <summary>Eigenvalues, ascending, and eigenvectors (columns) of the symmetric part of A.</summary>
    public static (Tensor Values, Tensor Vectors) Eigh(Tensor a) => Pair(FSharpLinalg.eigh, a);

    /// <summary>The eigenvalues alone.</summary>
    public static Tensor Eigvalsh(Tensor a) => Of(FSharpLinalg.eigvalsh, a);

    /// <summary>U, S (descending) and V^T with A = U diag(S) V^T.</summary>
    public static (Tensor U, Tensor S, Tensor Vt) Svd(Tensor a) => Triple(FSharpLinalg.svd, a);

    /// <summary>The same with U and V square.</summary>
    public static (Tensor U, Tensor S, Tensor Vt) SvdFull(Tensor a) => Triple(FSharpLinalg.svdFull, a);

    /// <summary>The singular values, descending.</summary>
    public static Tensor Svdvals(Tensor a) => Of(FSharpLinalg.svdvals, a);

    /// <summary>The pseudoinverse; singular values of at most <paramref name="tolerance"/> times the largest count as zeros.</summary>
    public static Tensor Pinv(Tensor a, double? tolerance = null) =>
        Of(x => tolerance is { } t ? FSharpLinalg.pinvWith(t, x) : FSharpLinalg.pinv(x), a);

    /// <summary>The X of least norm among those that make |A X - B| least.</summary>
    public static Tensor Lstsq(Tensor a, Tensor b) => Of(FSharpLinalg.lstsq, a, b);

    /// <summary>The number of singular values above <paramref name="tolerance"/> times the largest: i64 <c>[..]</c>.</summary>
    public static Tensor MatrixRank(Tensor a, double? tolerance = null) =>
        Of(x => tolerance is { } t ? FSharpLinalg.matrixRankWith(t, x) : FSharpLinalg.matrixRank(x), a);

    /// <summary>A A ... A; the 0th power is the identity, negative powers are those of the inverse.</summary>
    public static Tensor MatrixPower(Tensor a, int exponent) => Of(x => FSharpLinalg.matrixPower(exponent, x), a);

    /// <summary>exp of a matrix: I + A + A A / 2 + ...</summary>
    public static Tensor MatrixExp(Tensor a) => Of(FSharpLinalg.matrixExp, a);

    /// <summary>The sum of the diagonal.</summary>
    public static Tensor Trace(Tensor a) => Of(FSharpLinalg.trace, a);

    /// <summary>The product of a chain of matrices in the cheapest order; the ends may be vectors.</summary>
    public static Tensor MultiDot(params Tensor[] chain) => Tensor.Make(n => FSharpLinalg.multiDot(ListModule.OfSeq(n!)), chain);

    /// <summary>(sum of |x|^p)^(1/p) over <paramref name="axes"/>, for any p, the infinities and 0 included.</summary>
    public static Tensor VectorNorm(Tensor x, double p, params int[] axes) => Of(n => FSharpLinalg.vectorNorm(p, axes, n), x);

    /// <summary>The Euclidean norm of all elements.</summary>
    public static Tensor Norm(Tensor x) => Of(FSharpLinalg.norm, x);

    /// <summary>A norm of matrices, <c>[..; m; n]</c> to <c>[..]</c>.</summary>
    public static Tensor MatrixNorm(Tensor x, Order order) => Of(n => FSharpLinalg.matrixNorm(Core(order), n), x);

    /// <summary>The condition number by a norm: by default the ratio of the extreme singular values.</summary>
    public static Tensor Cond(Tensor a, Order order = Order.Two) => Of(n => FSharpLinalg.condBy(Core(order), n), a);

    /// <summary>The cross product of vectors of three elements along an axis.</summary>
    public static Tensor Cross(Tensor x, Tensor y, int axis = -1) => Of((a, b) => FSharpLinalg.cross(axis, a, b), x, y);

    /// <summary>Powers 0, 1, ..., count - 1 of each element, <c>[..; n]</c> to <c>[..; n; count]</c>.</summary>
    public static Tensor Vander(Tensor x, int count) => Of(n => FSharpLinalg.vander(count, n), x);

    /// <summary>A random matrix with orthonormal columns (rows, if there are fewer of them), f32.</summary>
    /// <param name="shape">Two extents; of more, the first stays and the others count as one.</param>
    /// <param name="generator">Where the randomness comes from; null: <see cref="Generator.Default"/>.</param>
    public static Tensor Orthogonal(int[] shape, Generator? generator = null)
    {
        ArgumentNullException.ThrowIfNull(shape);
        return new(FSharpLinalg.orthogonal(Generator.NextKey(generator), shape));
    }
}
