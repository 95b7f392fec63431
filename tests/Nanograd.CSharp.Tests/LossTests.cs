using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Losses: laws, PyTorch's calls, and what they refuse. (Numbers: OracleTests.)</summary>
internal sealed class LossTests
{
    private static Generator Seeded => new(11);

    private static float[] Floats(Tensor t) => t.ToArray<float>();

    private static Tensor Labels(params int[] labels) => Tensor.FromArray(labels);

    [Test]
    public void ReductionsAreOfTheSameLosses()
    {
        var g = Seeded;
        Tensor x = Tensor.RandN([4, 3], g), y = Tensor.RandN([4, 3], g);
        Func<Reduction, Tensor>[] losses =
        [
            r => F.MseLoss(x, y, r), r => F.L1Loss(x, y, r), r => F.HuberLoss(x, y, r, 0.5), r => F.SmoothL1Loss(x, y, r, 0.3),
            r => F.KlDiv(x, y.Softmax(1), r), r => F.BinaryCrossEntropyWithLogits(x, y.Sigmoid(), reduction: r), r => F.PoissonNllLoss(x, y.Abs(), reduction: r),
        ];
        foreach (var loss in losses)
        {
            var single = Floats(loss("none"));
            Assert.That(loss(Reduction.Sum).Item(), Is.EqualTo(single.Sum()).Within(1e-5));
            Assert.That(loss(default).Item(), Is.EqualTo(single.Average()).Within(1e-6));
            Assert.That(loss("batchmean").Item(), Is.EqualTo(single.Sum() / 4).Within(1e-5));
        }

        Assert.That(Reduction.Sum == "sum" && Reduction.Mean == default, Is.True);
        Assert.That(() => F.MseLoss(x, y, "average"), Throws.ArgumentException.With.Message.Contains("mean, sum, none or batchmean, got average"));
    }

    [Test]
    public void ModulesAreTheirFunctions()
    {
        var g = Seeded;
        Tensor x = Tensor.RandN([5, 3], g), y = Labels(0, 2, 1, 1, 0), w = Tensor.FromArray(new float[] { 1, 2, 3 });
        var module = new CrossEntropyLoss(weight: w, ignoreIndex: 2, reduction: "sum", labelSmoothing: 0.1);
        Assert.That(module.Forward(x, y).Item(), Is.EqualTo(F.CrossEntropy(x, y, w, 2, Reduction.Sum, 0.1).Item()));
        Assert.That(new NLLLoss().Forward(x.LogSoftmax(1), y).Item(), Is.EqualTo(new CrossEntropyLoss().Forward(x, y).Item()).Within(1e-6));
        Assert.That(module.NamedParameters(), Is.Empty);
        Assert.That(module.StateDict().Keys, Is.EqualTo(new[] { "weight" }));
        Loss[] all = [new MSELoss(), new L1Loss(), new BCEWithLogitsLoss(), new SoftMarginLoss()];
        Assert.That(all.Select(loss => loss.Forward(x, x.Sigmoid()).Rank), Is.All.Zero);
    }

    [Test]
    public void ClassesAreWherePyTorchHasThemOrLast()
    {
        var x = Tensor.RandN([2, 5, 3, 4], Seeded); // [batch, classes, height, width]
        var y = Tensor.Integers(0, 5, [2, 3, 4], Seeded);
        var expected = F.CrossEntropy(x, y).Item();
        var last = x.MoveAxis(1, -1);
        Assert.That(F.CrossEntropy(last, y).Item(), Is.EqualTo(expected).Within(1e-6));
        Assert.That(F.CrossEntropy(last, y, dim: -1, labelSmoothing: 0).Item(), Is.EqualTo(expected).Within(1e-6));
        Assert.That(F.CrossEntropy(last.Reshape(-1, 5), y.Reshape(-1)).Item(), Is.EqualTo(expected).Within(1e-6));
        var weighted = F.CrossEntropy(x, y, Tensor.Ones(5) * 2, labelSmoothing: 0.2).Item();
        Assert.That(F.CrossEntropy(last, y, Tensor.Ones(5) * 2, labelSmoothing: 0.2).Item(), Is.EqualTo(weighted).Within(1e-6));

        var square = Tensor.RandN([2, 3, 3], Seeded); // either would fit: PyTorch's it is
        var labels = Tensor.Integers(0, 3, [2, 3], Seeded);
        Assert.That(F.CrossEntropy(square, labels).Item(), Is.EqualTo(F.CrossEntropy(square.MoveAxis(1, -1), labels, dim: -1).Item()).Within(1e-6));
    }

    [Test]
    public void LabelsAreProbabilitiesOfOne()
    {
        var x = Tensor.RandN([4, 3], Seeded);
        var y = Labels(2, 0, 1, 1);
        foreach (var smoothing in new[] { 0, 0.3 })
        {
            var ofProbabilities = F.CrossEntropy(x, y.OneHot(3), labelSmoothing: smoothing).Item();
            Assert.That(ofProbabilities, Is.EqualTo(F.CrossEntropy(x, y, labelSmoothing: smoothing).Item()).Within(1e-6));
        }
    }

    [Test]
    public void LabelsOfNoClassAreErrors()
    {
        var x = Tensor.RandN([3, 4], Seeded);
        foreach (var wrong in new[] { 4, -1 })
        {
            Assert.That(() => F.CrossEntropy(x, Labels(0, wrong, 1)), Throws.Exception.With.Message.Contains($"{wrong} is out of range for an axis of 4"));
            Assert.That(() => F.NllLoss(x, Labels(0, wrong, 1)), Throws.Exception.With.Message.Contains($"{wrong} is out of range"));
            var computed = Labels(0, wrong - 1, 1) + Labels(0, 1, 0); // not known when the loss is written
            foreach (var loss in new[] { F.CrossEntropy(x, computed), F.NllLoss(x, computed), F.MultiMarginLoss(x, computed), F.CrossEntropy(x, computed, Tensor.Ones(4)) })
            {
                Assert.That(() => loss.Item(), Throws.Exception.With.Message.Contains($"{wrong} is out of range for an axis of 4"));
            }
        }

        var ignored = Labels(0, -50, 1) * 2;
        Assert.That(F.CrossEntropy(x, ignored).Item(), Is.EqualTo(F.CrossEntropy(x[new Subscript[] { 0..3 }], Labels(0, -100, 2)).Item()).Within(1e-6));
    }

    [Test]
    public void WhatDoesNotFitIsSaid()
    {
        Tensor x = Tensor.Ones(3, 4), wrong = Tensor.Ones(4, 3);
        Assert.That(() => F.MseLoss(x, wrong), Throws.Exception.With.Message.Contains("same shape").And.Message.Contains("f32[3,4]"));
        Assert.That(() => F.CrossEntropy(x, Labels(0, 1)), Throws.Exception.With.Message.Contains("integer targets").And.Message.Contains("i32[2]"));
        Assert.That(() => F.CrossEntropy(x, Tensor.Ones(3)), Throws.Exception.With.Message.Contains("cast labels to integers"));
        Assert.That(() => F.CrossEntropy(x, Labels(0, 1, 2), Tensor.Ones(3)), Throws.Exception.With.Message.Contains("one entry for each class"));
        Assert.That(() => F.CrossEntropy(x, Labels(0, 1, 2), labelSmoothing: 2), Throws.ArgumentException.With.Message.Contains("between 0 and 1, not 2"));
        Assert.That(() => F.CrossEntropy(Tensor.Ones(0, 4), Tensor.FromArray(Array.Empty<int>())), Throws.Exception.With.Message.Contains("is the batch empty?"));
        Assert.That(() => F.MseLoss(Tensor.Ones(0, 4), Tensor.Ones(0, 4)), Throws.Exception.With.Message.Contains("is the batch empty?"));
        Assert.That(() => F.BinaryCrossEntropy(x * 1 - 3, x), Throws.Nothing);
        Assert.That(() => F.BinaryCrossEntropy(Tensor.FromArray(new float[] { 0.5f, 2 }), Tensor.Ones(2)), Throws.Exception.With.Message.Contains("between 0 and 1"));
        Assert.That(() => F.HuberLoss(x, x, delta: 0), Throws.ArgumentException.With.Message.Contains("delta"));
        Assert.That(() => F.MultiMarginLoss(x, Labels(0, 1, 2), p: 3), Throws.ArgumentException.With.Message.Contains("p must be 1 or 2"));
        Assert.That(() => F.CtcLoss(Tensor.Ones(5, 2, 3), Tensor.Ones(2, 2).To(DType.Int64), [6, 5], [2, 2]), Throws.Exception.With.Message.Contains("between 0 and 5"));
    }

    [Test]
    public void ADistanceOfOnesOwn()
    {
        var g = Seeded;
        Tensor a = Tensor.RandN([4, 6], g), p = Tensor.RandN([4, 6], g), n = Tensor.RandN([4, 6], g);
        var euclid = new TripletMarginWithDistanceLoss((x, y) => (x - y + 1e-6f).Square().Sum(1).Sqrt(), margin: 0.5, swap: true);
        var builtIn = new TripletMarginLoss(margin: 0.5, swap: true);
        Assert.That(euclid.Forward(a, p, n).Item(), Is.EqualTo(builtIn.Forward(a, p, n).Item()).Within(1e-6));
        var anchor = a * 1;
        anchor.RequiresGrad = true;
        new TripletMarginWithDistanceLoss((x, y) => 1 - F.CosineSimilarity(x, y), margin: 3).Forward(anchor, p, n).Backward();
        Assert.That(Floats(anchor.Grad!).Any(v => v != 0));
    }

    /// <summary>One line; gradient, LaTeX and the readable form come with it.</summary>
    [Test]
    public void ALossOfOnesOwn()
    {
        static Tensor LogCosh(Tensor x, Tensor y) => (x - y).Cosh().Log().Mean();

        Tensor x = Tensor.FromArray(new float[] { 1, -2, 0.5f }), y = Tensor.FromArray(new float[] { 0, 1, 0.5f });
        x.RequiresGrad = true;
        LogCosh(x, y).Backward();
        Assert.That(Floats(x.Grad!), Is.EqualTo(new[] { Math.Tanh(1) / 3, Math.Tanh(-3) / 3, 0 }).Within(1e-6));

        Tensor a = Tensor.Variable("x", 3), b = Tensor.Variable("y", 3);
        var loss = LogCosh(a, b);
        Assert.That(loss.ToLatex(), Does.Contain(@"\log").And.Contain("x - y"));
        Assert.That(loss.ToAlgebra(), Does.Contain("cosh").Or.Contain("exp"));
        var gradient = Functional.Grad(v => LogCosh(v, b))(a);
        TestContext.Out.WriteLine($"{loss.ToAlgebra()}\n{loss.ToLatex()}\n{gradient.ToAlgebra()}\n{gradient.ToLatex()}");
        Assert.That(gradient.ToLatex(), Does.Contain("x - y"));
    }

    private sealed class LogCosh : Loss
    {
        public override Tensor Forward(Tensor input, Tensor target) => (input - target).Cosh().Log().Mean();
    }

    [Test]
    public void ALossOfOnesOwnIsAModule()
    {
        Loss loss = new LogCosh();
        Assert.That(loss.Forward(Tensor.Ones(2), Tensor.Zeros(2)).Item(), Is.EqualTo(Math.Log(Math.Cosh(1))).Within(1e-6));
    }

    [Test]
    public void ContrastAndPreference()
    {
        var g = Seeded;
        Tensor a = Tensor.RandN([4, 8], g), b = Tensor.RandN([4, 8], g);
        Assert.That(F.InfoNce(a, a * 3, 0.01).Item(), Is.LessThan(1e-3), "rows are nearest to themselves, whatever their length");
        var clip = new CLIPLoss();
        Assert.That(clip.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "logit_scale" }));
        var half = (F.InfoNce(a, b).Item() + F.InfoNce(b, a).Item()) / 2;
        Assert.That(clip.Forward(a, b).Item(), Is.EqualTo(half).Within(1e-4));
        Tensor zero = Tensor.Zeros(3), better = Tensor.Ones(3) * 2;
        Assert.That(F.DpoLoss(zero, zero, zero, zero).Item(), Is.EqualTo(Math.Log(2)).Within(1e-6));
        Assert.That(new DPOLoss(beta: 0.5).Forward(better, zero, zero, zero).Item(), Is.EqualTo(Math.Log(1 + Math.Exp(-1))).Within(1e-6));
        Assert.That(F.FocalLoss(a, b.Sigmoid(), alpha: -1, gamma: 0).Item(), Is.EqualTo(F.BinaryCrossEntropyWithLogits(a, b.Sigmoid()).Item()).Within(1e-6));
        Assert.That(F.DiceLoss(Tensor.Ones(2, 5), Tensor.Ones(2, 5)).Item(), Is.Zero.Within(1e-6));
    }

    [Test]
    public void TheAdaptiveSoftmaxIsADistribution()
    {
        var g = Seeded;
        var softmax = new AdaptiveLogSoftmaxWithLoss(16, 20, [4, 10], divValue: 2, headBias: true, generator: g);
        Assert.That(softmax.NamedParameters().Select(p => (p.Name, string.Join(",", p.Parameter.Shape))), Is.EqualTo(new[]
        {
            ("head.weight", "6,16"), ("head.bias", "6"), ("tail.0.0.weight", "8,16"), ("tail.0.1.weight", "6,8"), ("tail.1.0.weight", "4,16"), ("tail.1.1.weight", "10,4"),
        }));
        var x = Tensor.RandN([5, 16], g);
        var labels = Labels(0, 3, 4, 9, 19);
        var all = softmax.LogProb(x);
        Assert.That(all.Shape, Is.EqualTo(new[] { 5, 20 }));
        Assert.That(Floats(all.Exp().Sum(1)), Is.All.EqualTo(1).Within(1e-5));
        var (output, loss) = softmax.Forward(x, labels);
        Assert.That(Floats(output), Is.EqualTo(Floats(all.Gather(1, labels.Unsqueeze(1)).Squeeze(1))).Within(1e-5));
        Assert.That(loss.Item(), Is.EqualTo(-Floats(output).Average()).Within(1e-6));
        Assert.That(softmax.Predict(x).ToArray<int>(), Is.EqualTo(all.ArgMax(1).ToArray<int>()));
        loss.Backward();
        Assert.That(softmax.Parameters().Select(p => p.Grad), Is.All.Not.Null);
        Assert.That(() => softmax.Forward(x, Labels(0, 3, 4, 9, 20)), Throws.Exception.With.Message.Contains("20 is out of range"));
        Assert.That(() => new AdaptiveLogSoftmaxWithLoss(16, 20, [4, 4]), Throws.ArgumentException.With.Message.Contains("increase"));
        Assert.That(() => new AdaptiveLogSoftmaxWithLoss(16, 20, [20]), Throws.ArgumentException);
        Assert.That(() => new AdaptiveLogSoftmaxWithLoss(3, 20, [4]), Throws.ArgumentException.With.Message.Contains("leave none"));
    }
}
