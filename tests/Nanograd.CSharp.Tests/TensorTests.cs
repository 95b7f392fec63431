using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class TensorTests
{
    private static readonly Tensor Matrix = Tensor.FromArray(new float[,] { { 1, 2, 3 }, { 4, 5, 6 } });

    [Test]
    public void ArithmeticBroadcastsLikeNumPy()
    {
        var y = (Matrix * 2 + Tensor.FromArray([10f, 20f, 30f])) / 2.0 - 1;
        Assert.That(y.ToArray<float>(), Is.EqualTo(new[] { 5f, 11, 17, 8, 14, 20 }));
        Assert.That((1 - Matrix).ToArray<float>(), Is.EqualTo(new[] { 0f, -1, -2, -3, -4, -5 }));
        Assert.That((-Matrix).Sum().Item(), Is.EqualTo(-21));
    }

    [Test]
    public void MatrixProductTransposesAndReshapes()
    {
        var square = Matrix.MatMul(Matrix.T);
        Assert.That(square.ToArray<float>(), Is.EqualTo(new[] { 14f, 32, 32, 77 }));
        Assert.That(Matrix.Reshape(3, -1).Shape, Is.EqualTo(new[] { 3, 2 }));
        Assert.That(Matrix.Permute(1, 0).ToArray<float>(), Is.EqualTo(new[] { 1f, 4, 2, 5, 3, 6 }));
        Assert.That(Matrix.Transpose(0, 1).ToArray<float>(), Is.EqualTo(Matrix.T.ToArray<float>()));
        Assert.That(Matrix.Flatten().Shape, Is.EqualTo(new[] { 6 }));
    }

    [Test]
    public void ReductionsKeepOrDropAxes()
    {
        Assert.That(Matrix.Sum(0).ToArray<float>(), Is.EqualTo(new[] { 5f, 7, 9 }));
        Assert.That(Matrix.Sum(1, keepDim: true).Shape, Is.EqualTo(new[] { 2, 1 }));
        Assert.That(Matrix.Mean().Item(), Is.EqualTo(3.5));
        Assert.That(Matrix.Mean([0, 1]).Item(), Is.EqualTo(3.5));
        Assert.That(Matrix.Max(-1).ToArray<float>(), Is.EqualTo(new[] { 3f, 6 }));
        Assert.That(Matrix.Min().Item(), Is.EqualTo(1));
        Assert.That(Matrix.ArgMax(1).ToArray<long>(), Is.EqualTo(new[] { 2L, 2 }));
        Assert.That(Matrix.ArgMax(1, keepDim: true).Shape, Is.EqualTo(new[] { 2, 1 }));
        Assert.That(Matrix.ArgMin(-2, keepDim: true).Shape, Is.EqualTo(new[] { 1, 3 }));
        Assert.That(Matrix.ViewAs(Tensor.Zeros(3, 2)).ToArray<float>(), Is.EqualTo(Matrix.ToArray<float>()));
        Assert.That(Matrix.Var(1).ToArray<float>(), Is.EqualTo(new[] { 1f, 1 }).Within(1e-6));
    }

    [Test]
    public void IntegersAndChoicesAreDrawnAsInPyTorch()
    {
        var digits = Tensor.RandInt(3, 7, [1000], new Generator(1));
        Assert.That(digits.DType, Is.EqualTo(DType.Int64));
        Assert.That(digits.ToArray<int>().Distinct().Order(), Is.EqualTo(new[] { 3, 4, 5, 6 }));
        var chosen = Tensor.FromArray([0f, 1, 0, 2]).Multinomial(2, generator: new Generator(1));
        Assert.That(chosen.ToArray<int>().Order(), Is.EqualTo(new[] { 1, 3 }));
    }

    [Test]
    public void RowsAndRangesAreIndexed()
    {
        Assert.That(Matrix[1].ToArray<float>(), Is.EqualTo(new[] { 4f, 5, 6 }));
        Assert.That(Matrix[-1][0].Item(), Is.EqualTo(4));
        Assert.That(Matrix[..1].Shape, Is.EqualTo(new[] { 1, 3 }));
        Assert.That(Matrix.IndexSelect(1, Tensor.FromArray([2, 0])).ToArray<float>(), Is.EqualTo(new[] { 3f, 1, 6, 4 }));
    }

    [Test]
    public void ElementTypesConvertBothWays()
    {
        Assert.That(Matrix.DType, Is.EqualTo(DType.Float32));
        Assert.That(Tensor.Arange(3).DType, Is.EqualTo(DType.Int64));
        Assert.That(Tensor.Arange(3).ToArray<double>(), Is.EqualTo(new[] { 0.0, 1, 2 }));
        Assert.That((Matrix > Tensor.Scalar(3)).ToArray<bool>(), Is.EqualTo(new[] { false, false, false, true, true, true }));
        foreach (var type in Enum.GetValues<DType>())
        {
            Assert.That(Tensor.Full([2], 1, type).DType, Is.EqualTo(type));
        }

        Assert.That(Tensor.FromArray([(Half)1.5, (Half)2]).To(DType.BFloat16).Sum().Item(), Is.EqualTo(3.5));
        Assert.That(Tensor.FromArray([true, false]).ToArray<bool>(), Is.EqualTo(new[] { true, false }));
        Assert.That(Tensor.Arange(4, DType.Int32).Item<int>, Throws.InvalidOperationException);
    }

    [Test]
    public void PrintsAsPyTorchDoes()
    {
        Assert.That(Tensor.FromArray([1f, 2f]).ToString(), Is.EqualTo("tensor([1., 2.])"));
        Assert.That((Tensor.FromArray([1f, 2f]) * 2).ToString(), Is.EqualTo("tensor([2., 4.])"));
    }

    [Test]
    public void MistakesSayWhatWasRequired()
    {
        var e = Assert.Throws(Is.InstanceOf<ArgumentException>(), () => Matrix.MatMul(Matrix))!;
        Assert.That(e.Message, Does.StartWith("matmul: inner axes must agree").And.Contains("f32[2,3] x f32[2,3]").And.Contains("transpose"));
    }

    [Test]
    public void RandomNumbersComeFromTheSeed()
    {
        Generator.ManualSeed(7);
        var a = Tensor.RandN(1000);
        var b = Tensor.RandN(1000);
        Generator.ManualSeed(7);
        Assert.That(Tensor.RandN(1000).ToArray<float>(), Is.EqualTo(a.ToArray<float>()));
        Assert.That(b.ToArray<float>(), Is.Not.EqualTo(a.ToArray<float>()));
        Assert.That(a.Mean().Item(), Is.EqualTo(0).Within(0.15));
        Assert.That(a.Var(0).Item(), Is.EqualTo(1).Within(0.15));
        var own = new Generator(3);
        var first = Tensor.Rand([5], own).ToArray<float>();
        own.Reset(3);
        Assert.That(Tensor.Rand([5], own).ToArray<float>(), Is.EqualTo(first));
    }
}
