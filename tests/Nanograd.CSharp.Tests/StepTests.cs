using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class StepTests
{
    private static Parameter Of(params float[] values) => new(Tensor.FromArray(values));

    [Test]
    public void SgdWithMomentumFollowsPyTorch()
    {
        var w = Of(1);
        var optimizer = new SGD([w], lr: 0.1, momentum: 0.9);
        var expected = 1.0;
        var velocity = 0.0;
        for (var step = 0; step < 5; step++)
        {
            optimizer.ZeroGrad();
            w.Square().Sum().Backward();
            optimizer.Step();
            velocity = step == 0 ? 2 * expected : 0.9 * velocity + 2 * expected;
            expected -= 0.1 * velocity;
            Assert.That(w.Item(), Is.EqualTo(expected).Within(1e-5), $"step {step}");
        }
    }

    [Test]
    public void AdamWFollowsItsDefinition()
    {
        var w = Of(0.5f);
        var optimizer = new AdamW([w], lr: 0.01, weightDecay: 0.1);
        double expected = 0.5, m = 0, v = 0;
        for (var step = 1; step <= 5; step++)
        {
            optimizer.ZeroGrad();
            (w * w * w).Sum().Backward();
            optimizer.Step();
            var g = 3 * expected * expected;
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            expected -= 0.01 * 0.1 * expected;
            expected -= 0.01 * (m / (1 - Math.Pow(0.9, step))) / (Math.Sqrt(v / (1 - Math.Pow(0.999, step))) + 1e-8);
            Assert.That(w.Item(), Is.EqualTo(expected).Within(1e-5), $"step {step}");
        }
    }

    [Test]
    public void GroupsHaveTheirOwnRates()
    {
        Parameter a = Of(1), b = Of(1);
        var optimizer = new SGD([new ParameterGroup([a], lr: 0.5), new ParameterGroup([b])], lr: 0.1);
        (a.Sum() + b.Sum()).Backward();
        optimizer.Step();
        Assert.That(a.Item(), Is.EqualTo(0.5).Within(1e-6));
        Assert.That(b.Item(), Is.EqualTo(0.9).Within(1e-6));
        optimizer.LearningRate = 0.2;
        optimizer.ZeroGrad();
        (a.Sum() + b.Sum()).Backward();
        optimizer.Step();
        Assert.That(a.Item(), Is.EqualTo(0.3).Within(1e-6));
    }

    [Test]
    public void LossAndModuleResultsAreFreeAfterStep()
    {
        var model = new Sequential(new Linear(3, 4), new ReLU(), new Linear(4, 2));
        var optimizer = new AdamW(model.Parameters());
        var x = Tensor.RandN(5, 3);
        x.ToArray<float>();
        var before = model.Forward(x).ToArray<float>();
        var logits = model.Forward(x);
        var loss = F.CrossEntropy(logits, Tensor.FromArray([0, 1, 0, 1, 1]));
        loss.Backward();
        optimizer.Step();
        var programs = Engine.Statistics;
        Assert.That(loss.Item(), Is.GreaterThan(0));
        Assert.That(logits.ToArray<float>(), Is.EqualTo(before).Within(1e-6));
        Assert.That(Engine.Statistics, Is.EqualTo(programs), "reading ran something");
    }

    [Test]
    public void WhatDependsOnOverwrittenParametersCannotBeReadAfterStep()
    {
        var w = Of(2);
        var optimizer = new SGD([w], lr: 0.1);
        var unread = w * 100;
        var loss = w.Square().Sum();
        loss.Backward();
        optimizer.Step();
        var e = Assert.Throws<InvalidOperationException>(() => unread.Item())!;
        Assert.That(e.Message, Does.Contain("Step()"));
        Assert.That(() => optimizer.Step(), Throws.InvalidOperationException.With.Message.Contains("Backward()"));
        w.Square().Sum().Backward();
        Assert.That(() => optimizer.Step(), Throws.InvalidOperationException.With.Message.Contains("ZeroGrad()"));
        Assert.That(() => w.Grad!.Item(), Throws.InvalidOperationException.With.Message.Contains("Step()"));
        optimizer.ZeroGrad();
        w.Square().Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(3.2).Within(1e-6));
    }

    [Test]
    public void AGradientThatWasLookedAtSurvivesTheStep()
    {
        var w = Of(2);
        var optimizer = new SGD([w], lr: 0.5);
        w.Square().Sum().Backward();
        var gradient = w.Grad!;
        optimizer.Step();
        Assert.That(gradient.Item(), Is.EqualTo(4));
        Assert.That(w.Item(), Is.EqualTo(0).Within(1e-6));
        (w * 3).Sum().Backward();
        Assert.That(w.Grad!.Item(), Is.EqualTo(7));
    }

    [Test]
    public void TwoOptimizersShareOneBackward()
    {
        Parameter a = Of(2), b = Of(5);
        SGD first = new([a], lr: 0.1), second = new([b], lr: 0.1);
        (a * b).Sum().Backward();
        first.Step();
        second.Step();
        Assert.That(a.Item(), Is.EqualTo(1.5).Within(1e-6));
        Assert.That(b.Item(), Is.EqualTo(4.8).Within(1e-6));
    }

    private sealed class Distance(Parameter weight) : Module
    {
        public Parameter Weight { get; } = weight;

        public override Tensor Forward(Tensor input) => (Weight - input).Square().Sum();
    }

    [Test]
    public void ALossMayBeAModulesResultAndItsOwnGradient()
    {
        var w = Of(3);
        var model = new Sequential(new Distance(w));
        var optimizer = new SGD(model.Parameters(), lr: 0.25);
        var loss = model.Forward(Tensor.Ones(1));
        loss.Backward();
        var seen = w.Grad!;
        optimizer.Step();
        Assert.That(loss.Item(), Is.EqualTo(4));
        Assert.That(seen.Item(), Is.EqualTo(4));
        Assert.That(w.Item(), Is.EqualTo(2));

        // The loss is the parameter itself, and the new parameter is a value that something else asks for, too.
        optimizer.ZeroGrad();
        var same = w.Sum();
        same.Backward();
        optimizer.Step();
        Assert.That(same.Item(), Is.EqualTo(2));
        Assert.That(w.Item(), Is.EqualTo(1.75));
    }

    [Test]
    public void AFailedStepLeavesTheParameters()
    {
        var table = new Embedding(3, 2);
        var optimizer = new AdamW(table.Parameters());
        table.Forward(Tensor.FromArray([0, 1])).Sum().Backward();
        optimizer.Step();
        var before = table.Weight.ToArray<float>();
        optimizer.ZeroGrad();
        table.Forward(Tensor.FromArray([0, 7])).Sum().Backward();
        Assert.That(() => optimizer.Step(), Throws.Exception);
        Assert.That(table.Weight.ToArray<float>(), Is.EqualTo(before));
        optimizer.ZeroGrad();
        table.Forward(Tensor.FromArray([0, 2])).Sum().Backward();
        optimizer.Step();
        Assert.That(table.Weight.ToArray<float>(), Is.Not.EqualTo(before));
    }

    [Test]
    public void SnapshotsStayAsTheyAre()
    {
        var model = new Linear(2, 2);
        var optimizer = new SGD(model.Parameters(), lr: 1);
        var before = model.StateDict();
        var detached = model.Weight.Detach() * 1;
        var values = model.Weight.ToArray<float>();
        model.Forward(Tensor.Ones(1, 2)).Sum().Backward();
        optimizer.Step();
        Assert.That(before["weight"].ToArray<float>(), Is.EqualTo(values));
        Assert.That(detached.ToArray<float>(), Is.EqualTo(values));
        Assert.That(model.Weight.ToArray<float>(), Is.Not.EqualTo(values));
    }

    [Test]
    public void TheStateOfAnOptimizerMovesToAnother()
    {
        Parameter a = Of(1, 2), b = Of(1, 2);
        AdamW first = new([a]), second = new([b]);
        for (var i = 0; i < 3; i++)
        {
            Train(a, first);
        }

        b.Set(a.Detach());
        second.LoadStateDict(first.StateDict());
        Train(a, first);
        Train(b, second);
        Assert.That(b.ToArray<float>(), Is.EqualTo(a.ToArray<float>()));

        static void Train(Parameter p, AdamW optimizer)
        {
            optimizer.ZeroGrad();
            (p * p * p).Sum().Backward();
            optimizer.Step();
        }
    }

    /// <summary>A step builds its loss anew; what that leaves behind is small, and none of it are values.</summary>
    [Test]
    public void AStepLeavesLittleGarbage()
    {
        var model = new Sequential(new Linear(16, 12), new ReLU(), new Linear(12, 8), new ReLU(), new Linear(8, 4));
        var optimizer = new AdamW(model.Parameters());
        var x = Tensor.Rand([32, 16], new Generator(1));
        var y = Tensor.FromArray(Enumerable.Range(0, 32).Select(i => (long)(i % 4)).ToArray());
        for (var i = 0; i < 50; i++)
        {
            Step();
        }

        const int Steps = 50;
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < Steps; i++)
        {
            Step();
        }

        Assert.That((GC.GetAllocatedBytesForCurrentThread() - before) / Steps, Is.LessThan(64 * 1024));

        void Step()
        {
            optimizer.ZeroGrad();
            F.CrossEntropy(model.Forward(x), y).Backward();
            optimizer.Step();
        }
    }

    [Test]
    public void BadHyperparametersAreRefused()
    {
        var w = Of(1);
        Assert.That(() => new AdamW([w], lr: double.NaN), Throws.ArgumentException);
        Assert.That(() => new AdamW([w], betas: (1, 0.9)), Throws.ArgumentException);
        Assert.That(() => new SGD([w], lr: -1), Throws.ArgumentException);
        Assert.That(() => new SGD([w, w]), Throws.ArgumentException);
        Assert.That(() => new SGD([w], nesterov: true), Throws.ArgumentException);
        Assert.That(() => Utils.ClipGradNorm([w], 0), Throws.ArgumentException);
    }
}
