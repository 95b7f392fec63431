using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class GradientTests
{
    private static Parameter Of(params float[] values) => new(Tensor.FromArray(values));

    [Test]
    public void GradientsAreThoseComputedByHand()
    {
        var w = Of(1, 2, 3);
        var x = Tensor.FromArray([2f, 0, -1]);
        var loss = ((w * x).Sum() - 4).Square();   // (w.x - 4)^2, w.x = -1
        loss.Backward();
        Assert.That(loss.Item(), Is.EqualTo(25));
        Assert.That(w.Grad!.ToArray<float>(), Is.EqualTo(new[] { -20f, 0, 10 })); // 2 (w.x - 4) x
    }

    [Test]
    public void GradientsAccumulateUntilZeroGrad()
    {
        var w = Of(3);
        w.Square().Sum().Backward();
        (w * 2).Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(8));
        var module = new Holder(w);
        module.ZeroGrad();
        Assert.That(w.Grad, Is.Null);
        w.Square().Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(6));
    }

    [Test]
    public void TensorsCanBeLeavesToo()
    {
        var x = Tensor.FromArray([1f, 2f]);
        x.RequiresGrad = true;
        (x * x * x).Sum().Backward();
        Assert.That(x.Grad!.ToArray<float>(), Is.EqualTo(new[] { 3f, 12 }));
    }

    [Test]
    public void NothingFlowsThroughDetachAndNoGrad()
    {
        var w = Of(2);
        (w * w.Detach()).Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(2));

        w.Grad = null;
        Tensor frozen;
        using (new NoGrad())
        {
            frozen = w * 10;
        }

        Assert.That(frozen.RequiresGrad, Is.False);
        (frozen * w).Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(20));

        w.Grad = null;
        var middle = w * w;
        (middle.Detach() * w).Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(4));
        Assert.That(() => frozen.Sum().Backward(), Throws.InvalidOperationException.With.Message.Contains("RequiresGrad"));
    }

    [Test]
    public void ReadingAnActivationDoesNotCutTheGradient()
    {
        var w = Of(2);
        var h = w * 3;
        Assert.That(h.Item(), Is.EqualTo(6));
        h.Square().Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(36));
    }

    [Test]
    public void ClippingScalesAllGradientsTogether()
    {
        Parameter a = Of(3), b = Of(4);
        (a.Square().Sum() / 2 + b.Square().Sum() / 2).Backward();   // gradients 3 and 4, norm 5
        var norm = Utils.ClipGradNorm([a, b], 1);
        Assert.That(norm.Item(), Is.EqualTo(5).Within(1e-6));
        Assert.That(a.Grad!.Item(), Is.EqualTo(0.6).Within(1e-5));
        Assert.That(b.Grad!.Item(), Is.EqualTo(0.8).Within(1e-5));
        Utils.ClipGradNorm([a, b], 10);
        Assert.That(a.Grad!.Item(), Is.EqualTo(0.6).Within(1e-5));
    }

    [Test]
    public void ClippingMeansTheSameInsideAStep()
    {
        Parameter a = Of(3), b = Of(4);
        var optimizer = new SGD([a, b], lr: 1);
        (a.Square().Sum() / 2 + b.Square().Sum() / 2).Backward();
        var norm = Utils.ClipGradNorm([a, b], 1);
        optimizer.Step();
        Assert.That(norm.Item(), Is.EqualTo(5).Within(1e-6));
        Assert.That(a.Item(), Is.EqualTo(2.4).Within(1e-5));
        Assert.That(b.Item(), Is.EqualTo(3.2).Within(1e-5));
    }

    [Test]
    public void ScalarsOnlyUnlessAGradientIsGiven()
    {
        var w = Of(1, 2);
        Assert.That(() => (w * 2).Backward(), Throws.InvalidOperationException.With.Message.Contains("Sum()"));
        (w * w).Backward(Tensor.FromArray([1f, 10f]));
        Assert.That(w.Grad!.ToArray<float>(), Is.EqualTo(new[] { 2f, 40 }));
    }

    private sealed class Holder(Parameter weight) : Module
    {
        public Parameter Weight { get; } = weight;
    }
}
