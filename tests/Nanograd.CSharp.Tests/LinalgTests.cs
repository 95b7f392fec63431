using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class LinalgTests
{
    private static readonly Tensor A = Tensor.FromArray([4f, 2f, 2f, 5f], 2, 2);

    private static void AreClose(Tensor expected, Tensor actual) =>
        Assert.That(actual.ToArray<float>(), Is.EqualTo(expected.ToArray<float>()).Within(1e-5f));

    [Test]
    public void FactorsMultiplyToTheMatrix()
    {
        var l = Linalg.Cholesky(A);
        AreClose(A, l.MatMul(l.Transpose()));
        var (q, r) = Linalg.Qr(A);
        AreClose(A, q.MatMul(r));
        var (p, lower, upper) = Linalg.Lu(A);
        AreClose(p.MatMul(A), lower.MatMul(upper));
        var (values, vectors) = Linalg.Eigh(A);
        AreClose(A, (vectors * values).MatMul(vectors.Transpose()));
        var (u, s, vt) = Linalg.Svd(A);
        AreClose(A, (u * s).MatMul(vt));
    }

    [Test]
    public void SystemsAndTheirGradients()
    {
        var b = Tensor.FromArray([8f, 12f], 2);
        AreClose(Tensor.FromArray([1f, 2f], 2), Linalg.Solve(A, b));
        AreClose(Tensor.FromArray([2f, 2f], 2), Linalg.TriangularSolve(A, Tensor.FromArray([12f, 10f], 2), lower: false));
        var x = new Parameter(A);
        Linalg.Slogdet(x).LogAbs.Backward();
        AreClose(Linalg.Inv(A), x.Grad!); // A is symmetric
    }

    [Test]
    public void NormsByTheirNames()
    {
        Assert.That(Linalg.MatrixNorm(A, MatrixNorm.Infinity).Item(), Is.EqualTo(7.0));
        Assert.That(Linalg.VectorNorm(A, 1.0, 0, 1).Item(), Is.EqualTo(13.0));
        Assert.That(Linalg.MatrixRank(A).Item(), Is.EqualTo(2.0));
        Assert.That(Linalg.MatrixRank(A, 0.9).Item(), Is.EqualTo(1.0));
        Assert.Throws<ArgumentOutOfRangeException>(() => Linalg.MatrixNorm(A, (MatrixNorm)99));
    }

    [Test]
    public void RandomOrthogonalMatrices()
    {
        var q = Linalg.Orthogonal([3, 3], new Generator(1));
        AreClose(Tensor.Eye(3), q.MatMul(q.Transpose()));
    }
}
