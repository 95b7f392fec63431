using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class InitTests
{
    private static Parameter Matrix(int rows = 200, int columns = 300) => new(Tensor.Zeros(rows, columns));

    private static Generator Seeded => new(5);

    private static double Deviation(Tensor t) => t.Std().Item();

    [Test]
    public void VariancesAreThoseOfTheFormulas()
    {
        Assert.That(Deviation(Init.XavierUniform(Matrix(), generator: Seeded)), Is.EqualTo(Math.Sqrt(2.0 / 500)).Within(0.001));
        Assert.That(Deviation(Init.XavierNormal(Matrix(), gain: 2, generator: Seeded)), Is.EqualTo(2 * Math.Sqrt(2.0 / 500)).Within(0.002));
        Assert.That(Deviation(Init.KaimingNormal(Matrix(), nonlinearity: "relu", generator: Seeded)), Is.EqualTo(Math.Sqrt(2.0 / 300)).Within(0.001));
        Assert.That(Deviation(Init.KaimingUniform(Matrix(), a: Math.Sqrt(5), generator: Seeded)), Is.EqualTo(Math.Sqrt(1.0 / 900)).Within(0.001));
        Assert.That(Deviation(Init.KaimingUniform(Matrix(), mode: "fan_out", nonlinearity: "linear", generator: Seeded)), Is.EqualTo(Math.Sqrt(1.0 / 200)).Within(0.001));
        Assert.That(Deviation(Init.Normal(Matrix(), 1, 3, Seeded)), Is.EqualTo(3).Within(0.03));
        Assert.That(Init.Uniform(Matrix(), -2, 4, Seeded).Mean().Item(), Is.EqualTo(1).Within(0.03));
    }

    [Test]
    public void TruncatedNumbersStayWithinTheirBounds()
    {
        var w = Init.TruncNormal(Matrix(), std: 2, a: -1, b: 3, generator: Seeded);
        Assert.That(w.Min().Item(), Is.GreaterThanOrEqualTo(-1));
        Assert.That(w.Max().Item(), Is.LessThanOrEqualTo(3).And.GreaterThan(2.5));
    }

    [TestCase(4, 7)]
    [TestCase(7, 4)]
    public void OrthogonalRowsOrColumnsAreOrthonormal(int rows, int columns)
    {
        Tensor w = Init.Orthogonal(Matrix(rows, columns), gain: 2, generator: Seeded).Detach();
        var small = rows < columns ? w.MatMul(w.T) : w.T.MatMul(w);
        Assert.That(small.ToArray<float>(), Is.EqualTo((Tensor.Eye(4) * 4).ToArray<float>()).Within(1e-5));
    }

    [Test]
    public void DiracAndEyeGiveTheirInputBack()
    {
        var conv = new Conv2d(3, 3, 3, padding: 1, bias: false);
        Init.Dirac(conv.Weight);
        var x = Tensor.RandN([2, 3, 5, 5], new Generator(1));
        Assert.That(conv.Forward(x).ToArray<float>(), Is.EqualTo(x.ToArray<float>()).Within(1e-6));
        Assert.That(Init.Eye(Matrix(2, 3)).ToArray<float>(), Is.EqualTo(new[] { 1f, 0, 0, 0, 1, 0 }));
    }

    [Test]
    public void EachColumnOfASparseMatrixHasItsShareOfZeros()
    {
        var w = Init.Sparse(Matrix(20, 6), sparsity: 0.3, generator: Seeded);
        Assert.That(w.ToArray<float>().Select((v, i) => (v, i % 6)).GroupBy(p => p.Item2).Select(g => g.Count(p => p.v == 0)), Has.All.EqualTo(6));
    }

    [Test]
    public void ValuesArePutInPlace()
    {
        var linear = new Linear(2, 3);
        var optimizer = new SGD(linear.Parameters(), lr: 1);
        Init.Ones(linear.Weight);
        Init.Constant(linear.Bias!, 0.5);
        Assert.That(linear.Forward(Tensor.Ones(1, 2)).ToArray<float>(), Has.All.EqualTo(2.5f));
        linear.Forward(Tensor.Ones(1, 2)).Sum().Backward();
        optimizer.Step();
        Assert.That(linear.Weight.ToArray<float>(), Has.All.EqualTo(0));
        Assert.That(Init.Zeros(new Parameter(Tensor.Ones([2], DType.Float64))).DType, Is.EqualTo(DType.Float64));
    }

    [Test]
    public void GainsArePyTorchs()
    {
        Assert.That(Init.CalculateGain("tanh"), Is.EqualTo(5.0 / 3));
        Assert.That(Init.CalculateGain("relu"), Is.EqualTo(Math.Sqrt(2)));
        Assert.That(Init.CalculateGain("leaky_relu", 0.2), Is.EqualTo(Math.Sqrt(2 / 1.04)));
        Assert.That(Init.CalculateGain("leaky_relu"), Is.EqualTo(Math.Sqrt(2 / 1.0001)));
        Assert.That(Init.CalculateGain("selu"), Is.EqualTo(0.75));
        Assert.That(Init.CalculateGain("conv2d"), Is.EqualTo(1));
        Assert.That(() => Init.CalculateGain("swish"), Throws.ArgumentException.With.Message.Contains("swish"));
        Assert.That(() => Init.KaimingNormal(new Parameter(Tensor.Ones(3))), Throws.Exception.With.Message.Contains("two axes"));
        Assert.That(() => Init.KaimingNormal(Matrix(), mode: "fan_avg"), Throws.ArgumentException.With.Message.Contains("fan_avg"));
    }
}
