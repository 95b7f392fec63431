using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>How schedules act on optimizers, together and after a restart; their tables are held to PyTorch's in OptimOracleTests.</summary>
internal sealed class SchedulerTests
{
    private static SGD Of(params double[] rates) =>
        new(rates.Select(rate => new ParameterGroup([new Parameter(Tensor.Zeros(1))], lr: rate)), lr: 0.1, momentum: 0.9);

    /// <summary>Every schedule that has no metric.</summary>
    private static readonly Dictionary<string, Func<Optimizer, LRScheduler>> Makers = new()
    {
        ["LambdaLR"] = o => new LambdaLR(o, t => 1 / (1.0 + t)),
        ["MultiplicativeLR"] = o => new MultiplicativeLR(o, t => 1 - (0.01 * t)),
        ["StepLR"] = o => new StepLR(o, 3, 0.5),
        ["MultiStepLR"] = o => new MultiStepLR(o, [2, 5, 5], 0.3),
        ["ConstantLR"] = o => new ConstantLR(o),
        ["LinearLR"] = o => new LinearLR(o),
        ["ExponentialLR"] = o => new ExponentialLR(o, 0.9),
        ["PolynomialLR"] = o => new PolynomialLR(o, 8, 2),
        ["CosineAnnealingLR"] = o => new CosineAnnealingLR(o, 4, 0.01),
        ["CosineAnnealingWarmRestarts"] = o => new CosineAnnealingWarmRestarts(o, 2, 2),
        ["CyclicLR"] = o => new CyclicLR(o, 0.01, 0.2, 3),
        ["OneCycleLR"] = o => new OneCycleLR(o, 0.3, 14),
        ["SWALR"] = o => new SWALR(o, 0.02, 4),
        ["WarmupConstantLR"] = o => new WarmupConstantLR(o, 3),
        ["WarmupLinearLR"] = o => new WarmupLinearLR(o, 3, 9),
        ["WarmupCosineLR"] = o => new WarmupCosineLR(o, 3, 9),
        ["WarmupCosineHardRestartsLR"] = o => new WarmupCosineHardRestartsLR(o, 3, 9, 2),
        ["WarmupPolynomialLR"] = o => new WarmupPolynomialLR(o, 3, 9),
        ["NanoGptLR"] = o => new NanoGptLR(o, 3, 9, 0.01),
        ["WarmupStableDecayLR"] = o => new WarmupStableDecayLR(o, 3, 3, 4),
        ["NoamLR"] = o => new NoamLR(o, 64, 4),
        ["SequentialLR"] = o => new SequentialLR(o, [new ConstantLR(o, 0.1, 2), new ExponentialLR(o, 0.9), new StepLR(o, 2)], [3, 7]),
        ["ChainedScheduler"] = o => new ChainedScheduler([new ConstantLR(o, 0.1, 2), new ExponentialLR(o, 0.9)]),
    };

    private static IEnumerable<string> Names => Makers.Keys;

    private static double[][] Rates(Optimizer optimizer, LRScheduler scheduler, int steps) =>
    [
        .. Enumerable.Range(0, steps).Select(_ =>
        {
            scheduler.Step();
            Assert.That(scheduler.GetLastLr(), Is.EqualTo(optimizer.ParamGroups.Select(g => g.LearningRate)));
            return optimizer.ParamGroups.SelectMany(g => new[] { g.LearningRate, g.Momentum }).ToArray();
        }),
    ];

    /// <summary>Saved and loaded in the middle, with its optimizer, a schedule goes on as if nothing had happened.</summary>
    [TestCaseSource(nameof(Names))]
    public void SchedulesGoOnAfterLoading(string name)
    {
        Optimizer whole = Of(0.1, 0.4), half = Of(0.1, 0.4), other = Of(0.7, 0.7);
        var expected = Rates(whole, Makers[name](whole), 12);
        var first = Makers[name](half);
        var before = Rates(half, first, 5);
        var second = Makers[name](other);
        other.LoadStateDict(half.StateDict());
        second.LoadStateDict(first.StateDict());
        Assert.That(second.LastEpoch, Is.EqualTo(5));
        Assert.That(second.GetLastLr(), Is.EqualTo(first.GetLastLr()));
        Assert.That(before.Concat(Rates(other, second, 7)), Is.EqualTo(expected));
        var bad = first.StateDict().Where(e => e.Key != "last_epoch").ToDictionary();
        Assert.That(() => second.LoadStateDict(bad), Throws.ArgumentException.With.Message.Contains("last_epoch"));
    }

    /// <summary>The same, where the schedule is made anew at the epoch, for the loaded optimizer.</summary>
    [TestCase("StepLR")]
    [TestCase("CosineAnnealingLR")]
    public void SchedulesBeginAtALaterEpoch(string name)
    {
        Optimizer half = Of(0.1), other = Of(0.7);
        LRScheduler Make(Optimizer o, int lastEpoch) => name == "StepLR" ? new StepLR(o, 3, 0.5, lastEpoch) : new CosineAnnealingLR(o, 6, 0.01, lastEpoch);
        var whole = Rates(half, Make(half, -1), 4);
        other.LoadStateDict(half.StateDict());
        var later = Make(other, 4);
        half = Of(0.1);
        var longer = Rates(half, Make(half, -1), 5);
        Assert.That(other.LearningRate, Is.EqualTo(longer[4][0]).Within(1e-15));
        Assert.That(later.LastEpoch, Is.EqualTo(5));
        Assert.That(whole, Is.EqualTo(longer[..4]));
        Assert.That(() => Make(Of(0.1), 4), Throws.ArgumentException.With.Message.Contains("lastEpoch"));
    }

    /// <summary>Schedules on one optimizer multiply, whether they step one by one or chained; the order is all the same.</summary>
    [Test]
    public void SchedulesMultiply()
    {
        Optimizer apart = Of(0.1, 0.3), chained = Of(0.1, 0.3);
        LRScheduler[] schedulers = [new LinearLR(apart, 0.2, 1, 6), new StepLR(apart, 4, 0.5), new CosineAnnealingLR(apart, 20)];
        var together = new ChainedScheduler([new CosineAnnealingLR(chained, 20), new LinearLR(chained, 0.2, 1, 6), new StepLR(chained, 4, 0.5)]);
        for (var t = 0; t < 20; t++)
        {
            var factor = (0.2 + (0.8 * Math.Min(t, 6) / 6)) * Math.Pow(0.5, t / 4) * (1 + Math.Cos(Math.PI * t / 20)) / 2;
            foreach (var optimizer in new[] { apart, chained })
            {
                Assert.That(optimizer.ParamGroups[0].LearningRate, Is.EqualTo(0.1 * factor).Within(1e-14), $"{t}");
                Assert.That(optimizer.ParamGroups[1].LearningRate, Is.EqualTo(0.3 * factor).Within(1e-14), $"{t}");
            }

            Array.ForEach(schedulers, s => s.Step());
            together.Step();
        }
    }

    /// <summary>A rate that somebody changes by hand goes on from there, where the schedule is a factor.</summary>
    [Test]
    public void SchedulesTakeTheRateTheyFind()
    {
        Optimizer step = Of(0.1), lambda = Of(0.1);
        LRScheduler halves = new StepLR(step, 1, 0.5), absolute = new LambdaLR(lambda, t => Math.Pow(0.5, t));
        foreach (var (optimizer, scheduler) in new[] { (step, halves), (lambda, absolute) })
        {
            scheduler.Step();
            optimizer.LearningRate *= 10;
            scheduler.Step();
        }

        Assert.That(step.LearningRate, Is.EqualTo(0.25).Within(1e-15));
        Assert.That(lambda.LearningRate, Is.EqualTo(0.025).Within(1e-15));
    }

    [Test]
    public void WarmRestartsStepBetweenEpochs()
    {
        var optimizer = Of(0.2);
        var scheduler = new CosineAnnealingWarmRestarts(optimizer, 4, 2);
        foreach (var (epoch, share) in new[] { (0.5, 0.5 / 4), (3.75, 3.75 / 4), (4, 0), (7.0, 3.0 / 8), (12.5, 0.5 / 16) })
        {
            scheduler.Step(epoch);
            Assert.That(optimizer.LearningRate, Is.EqualTo(0.1 * (1 + Math.Cos(Math.PI * share))).Within(1e-15));
        }

        scheduler.Step();
        Assert.That(optimizer.LearningRate, Is.EqualTo(0.1 * (1 + Math.Cos(Math.PI * 1.5 / 16))).Within(1e-15));
        Assert.That(() => scheduler.Step(-1.0), Throws.ArgumentException);
    }

    [Test]
    public void CyclesMoveTheFirstBetaOfAdam()
    {
        var w = new Parameter(Tensor.Ones(1));
        var optimizer = new Adam([w]);
        var scheduler = new OneCycleLR(optimizer, maxLr: 0.1, totalSteps: 10);
        Assert.That(optimizer.ParamGroups[0].Betas, Is.EqualTo((0.95, 0.999)));
        Assert.That(optimizer.LearningRate, Is.EqualTo(0.004).Within(1e-15));
        for (var i = 0; i < 10; i++)
        {
            scheduler.Step();
        }

        Assert.That(() => scheduler.Step(), Throws.InvalidOperationException.With.Message.Contains("10 steps"));
        Assert.That(() => new OneCycleLR(optimizer, 0.1), Throws.ArgumentException);
        Assert.That(() => new OneCycleLR(new Adagrad([w]), 0.1, 10), Throws.ArgumentException.With.Message.Contains("cycleMomentum"));
        Assert.That(() => new CyclicLR(optimizer, 0.1, 0.2, mode: "square"), Throws.ArgumentException.With.Message.Contains("triangular2"));
    }

    [Test]
    public void APlateauLowersEveryGroupToItsLeastRate()
    {
        var optimizer = Of(0.1, 0.4);
        var scheduler = new ReduceLROnPlateau(optimizer, factor: 0.5, patience: 1, minLr: [0.04, 0.1]);
        double[] metrics = [1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5];
        var rates = metrics.Select(m =>
        {
            scheduler.Step(Tensor.Scalar((float)m));
            return (optimizer.ParamGroups[0].LearningRate, optimizer.ParamGroups[1].LearningRate);
        }).ToArray();
        Assert.That(rates[2], Is.EqualTo((0.1, 0.4)));
        Assert.That(rates[3], Is.EqualTo((0.05, 0.2)));
        Assert.That(rates[5], Is.EqualTo((0.04, 0.1)));
        Assert.That(rates[7], Is.EqualTo((0.04, 0.1)));
        var other = new ReduceLROnPlateau(Of(0.1, 0.4), factor: 0.5, patience: 1);
        other.LoadStateDict(scheduler.StateDict());
        Assert.That((other.Best, other.NumBadEpochs, other.LastEpoch), Is.EqualTo((0.5, scheduler.NumBadEpochs, 8)));
        Assert.That(() => scheduler.Step(), Throws.InvalidOperationException);
        Assert.That(() => new ReduceLROnPlateau(optimizer, factor: 1), Throws.ArgumentException);
        Assert.That(() => new ReduceLROnPlateau(optimizer, mode: "least"), Throws.ArgumentException);
        Assert.That(() => new ReduceLROnPlateau(optimizer, minLr: [1, 2, 3]), Throws.ArgumentException);
    }

    [Test]
    public void SchedulesThatDoNotFitTogetherAreRefused()
    {
        Optimizer a = Of(0.1), b = Of(0.1);
        Assert.That(() => new SequentialLR(a, [new StepLR(a, 1), new StepLR(b, 1)], [3]), Throws.ArgumentException.With.Message.Contains("same optimizer"));
        Assert.That(() => new SequentialLR(a, [new StepLR(a, 1)], [3]), Throws.ArgumentException.With.Message.Contains("milestones"));
        Assert.That(() => new ChainedScheduler([new StepLR(a, 1), new StepLR(b, 1)]), Throws.ArgumentException);
        Assert.That(() => new ChainedScheduler([]), Throws.ArgumentException);
        Assert.That(() => new SequentialLR(a, [new StepLR(a, 1), new ReduceLROnPlateau(a)], [3]), Throws.ArgumentException.With.Message.Contains("metric"));
        Assert.That(() => new StepLR(a, 0), Throws.ArgumentException);
        Assert.That(() => new LambdaLR(a, [t => 1, t => 2]), Throws.ArgumentException);
    }
}
