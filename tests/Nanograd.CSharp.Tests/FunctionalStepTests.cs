using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Transforms, loops and convolutions inside training steps.</summary>
internal sealed class FunctionalStepTests
{
    [Test]
    public void NetworksOfConvolutionsCheckpointsAndLoopsAreTrained()
    {
        var generator = new Generator(3);
        var filter = new Parameter(Tensor.RandN([4, 1, 3], generator) * 0.5);
        var head = new Linear(4, 1, generator: generator);
        var decay = new Parameter(Tensor.Scalar(0.5f));
        var optimizer = new AdamW([filter, decay, .. head.Parameters()], lr: 0.02);
        var x = Tensor.RandN([8, 1, 12], generator);
        var y = x[.., 0, 2..].Sum(1, keepDim: true);
        var losses = new List<double>();
        for (var step = 0; step < 60; step++)
        {
            optimizer.ZeroGrad();
            var features = Functional.Checkpoint(h => F.MaxPool1d(F.Conv1d(h, filter, padding: "same"), 2), x); // [8, 4, 6]
            var state = Functional.FoldRows((s, f) => s * decay + f, Tensor.Zeros(8, 4), features.Permute(2, 0, 1));
            var loss = F.MseLoss(head.Forward(state), y);
            loss.Backward();
            optimizer.Step();
            losses.Add(loss.Item());
        }

        Assert.That(losses[^1], Is.LessThan(losses[0] / 2));
    }

    [Test]
    public void DerivativesInsideALossAreTrained()
    {
        // u' = -u with u(0) = 1, by a small network.
        var model = new Sequential(new Linear(1, 16, generator: new Generator(1)), new Tanh(), new Linear(16, 1, generator: new Generator(2)));
        var optimizer = new AdamW(model.Parameters(), lr: 0.01);
        Tensor U(Tensor t) => model.Forward(t.Reshape(1))[0];
        var times = Tensor.FromArray([0f, 0.25f, 0.5f, 0.75f, 1f]);
        for (var step = 0; step < 400; step++)
        {
            optimizer.ZeroGrad();
            var residual = Functional.Vmap(t => Functional.Derivative(1, U)(t) + U(t))(times);
            (residual.Square().Mean() + (U(0f) - 1).Square()).Backward();
            optimizer.Step();
        }

        Assert.That(U(1f).Item(), Is.EqualTo(Math.Exp(-1)).Within(0.05));
    }
}
