using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class ReparametrizationTests
{
    private static Tensor X => Tensor.RandN([5, 3], new Generator(7));

    private static float[] Norms(Tensor weight) => weight.Norm(2, [1]).ToArray<float>();

    [Test]
    public void WeightNormKeepsTheFunctionAndLearnsLengthsAndDirections()
    {
        var linear = new Linear(3, 4, generator: new Generator(1));
        var before = linear.Forward(X).ToArray<float>();
        Utils.WeightNorm(linear);
        Assert.That(linear.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "bias", "weight_g", "weight_v" }));
        Assert.That(linear.GetParameter("weight_g").Shape, Is.EqualTo(new[] { 4, 1 }));
        Assert.That(linear.Forward(X).ToArray<float>(), Is.EqualTo(before).Within(1e-6));
        var optimizer = new SGD(linear.Parameters(), lr: 0.1);
        var weight = linear.Weight.ToArray<float>();
        for (var step = 0; step < 3; step++)
        {
            optimizer.ZeroGrad();
            linear.Forward(X).Square().Sum().Backward();
            optimizer.Step();
        }

        Assert.That(linear.Weight.ToArray<float>(), Is.Not.EqualTo(weight), "the weight follows what it is computed from");
        Assert.That(Norms(linear.Weight), Is.EqualTo(linear.GetParameter("weight_g").ToArray<float>().Select(Math.Abs)).Within(1e-5), "g is the length");
        var after = linear.Forward(X).ToArray<float>();
        Utils.RemoveWeightNorm(linear);
        Assert.That(linear.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "weight", "bias" }));
        Assert.That(linear.Forward(X).ToArray<float>(), Is.EqualTo(after).Within(1e-6));
    }

    /// <summary>The gradient of a length is the gradient of the weight along its direction.</summary>
    [Test]
    public void GradientsReachLengths()
    {
        Linear plain = new(3, 2, generator: new Generator(1)), normed = Utils.WeightNorm(new Linear(3, 2, generator: new Generator(1)));
        plain.Forward(X).Square().Sum().Backward();
        normed.Forward(X).Square().Sum().Backward();
        var along = (plain.Weight.Grad! * plain.Weight.Detach()).Sum(1) / plain.Weight.Detach().Norm(2, [1]);
        Assert.That(normed.GetParameter("weight_g").Grad!.ToArray<float>(), Is.EqualTo(along.ToArray<float>()).Within(1e-4));
    }

    [Test]
    public void OneLengthForAllIsAScalar()
    {
        var conv = Utils.WeightNorm(new Conv1d(2, 3, 2), dim: null);
        Assert.That(conv.StateDict()["weight_g"].Shape, Is.Empty);
        Assert.That(conv.Weight.Square().Sum().Item(), Is.EqualTo(Math.Pow(conv.StateDict()["weight_g"].Item(), 2)).Within(1e-5));
    }

    [Test]
    public void SpectralNormHasLargestSingularValueOne()
    {
        var linear = Utils.SpectralNorm(new Linear(3, 4, generator: new Generator(1)), generator: new Generator(2));
        Assert.That(linear.StateDict().Keys, Is.EqualTo(new[] { "bias", "weight_orig", "weight_u", "weight_v" }));
        var optimizer = new SGD(linear.Parameters(), lr: 0.01);
        for (var step = 0; step < 20; step++)
        {
            optimizer.ZeroGrad();
            linear.Forward(X).Square().Sum().Backward();
            optimizer.Step();
        }

        Assert.That(Linalg.Svd(linear.Weight.Detach()).Item2.Max().Item(), Is.EqualTo(1).Within(1e-3));
        var u = linear.GetBuffer("weight_u").ToArray<float>();
        linear.Eval();
        linear.Forward(X).ToArray<float>();
        Assert.That(linear.GetBuffer("weight_u").ToArray<float>(), Is.EqualTo(u), "evaluation does not iterate");
    }

    /// <summary>A pass in training takes its own step before it uses the vectors, as PyTorch's does.</summary>
    [Test]
    public void APassUsesTheVectorsThatItLeaves()
    {
        var linear = Utils.SpectralNorm(new Linear(3, 4, generator: new Generator(1)), generator: new Generator(2));
        var other = Tensor.RandN([4], new Generator(9));
        linear.GetBuffer("weight_u").Set(other / other.Norm(2, [0]));
        var training = linear.Forward(X).ToArray<float>();
        linear.Eval();
        Assert.That(linear.Forward(X).ToArray<float>(), Is.EqualTo(training).Within(1e-6));
    }

    [Test]
    public void MistakesAreNamed()
    {
        var linear = Utils.WeightNorm(new Linear(3, 4));
        Assert.That(() => Utils.WeightNorm(linear), Throws.ArgumentException.With.Message.Contains("already"));
        Assert.That(() => Utils.SpectralNorm(new ReLU()), Throws.ArgumentException.With.Message.Contains("no parameter 'weight'"));
        Assert.That(() => Utils.RemoveSpectralNorm(linear), Throws.ArgumentException);
        Assert.That(() => linear.Weight.Set(Tensor.Ones(4, 3)), Throws.InvalidOperationException);
    }
}
