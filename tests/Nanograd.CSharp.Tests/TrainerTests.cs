using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

[NonParallelizable]
internal sealed class TrainerTests
{
    private const int Count = 96;

    private static readonly (Tensor X, Tensor Y) Points = Circle();

    private static (Tensor, Tensor) Circle()
    {
        var x = Tensor.Rand([Count, 2], new Generator(3)) * 2 - 1;
        var y = (x.Square().Sum(1) < 0.6f).To(DType.Int64);
        Tensor.Evaluate(x, y);
        return (x, y);
    }

    private static (Tensor, Tensor) Rows(int first, int after) => (Points.X[first..after], Points.Y[first..after]);

    /// <summary>Batches of 16 in an order that the epoch decides.</summary>
    private static IEnumerable<(Tensor, Tensor)> Batches(int epoch) =>
        Enumerable.Range(0, 6).Select(i => Rows((i * 5 + epoch) % 6 * 16, ((i * 5 + epoch) % 6 * 16) + 16));

    private static readonly (Tensor, Tensor)[] Validation = [Points];

    private static Sequential Net()
    {
        Generator.ManualSeed(7);
        return new(new Linear(2, 16), new BatchNorm1d(16), new ReLU(), new Dropout(0.2), new Linear(16, 2));
    }

    private static Sequential Plain()
    {
        Generator.ManualSeed(7);
        return new(new Linear(2, 16), new Tanh(), new Linear(16, 2));
    }

    private static Tensor Loss(Tensor logits, Tensor labels) => F.CrossEntropy(logits, labels);

    private static string Digest(Module model, Optimizer optimizer) =>
        Safetensors.Sha256(model.StateDict()) + Safetensors.Sha256(optimizer.StateDict());

    private static void InFolder(Action<string> test)
    {
        var folder = Directory.CreateTempSubdirectory("nanograd-trainer-").FullName;
        try
        {
            test(folder);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    // ------------------------------------------------------------------------------------------------ the loop

    [Test]
    public void ItLearnsAndTheHistoryHasEveryStepAndEpoch()
    {
        var model = Net();
        var trainer = new Trainer(model, new AdamW(model.Parameters(), lr: 1e-2), Loss) { Metrics = [new Accuracy(), new F1Score(2)], Seed = 1 };
        var history = trainer.Fit(Batches, Validation, epochs: 40);
        Assert.That(trainer.Ending, Is.EqualTo(Ending.Finished));
        Assert.That(history.Steps, Has.Count.EqualTo(240));
        Assert.That(history.Steps[^1].Epoch, Is.EqualTo(40));
        Assert.That(history["loss"], Has.Count.EqualTo(40));
        Assert.That(history["val_accuracy"][^1], Is.GreaterThan(0.9));
        Assert.That(history["val_loss"][^1], Is.LessThan(0.6 * history["val_loss"][0]));
        Assert.That(model.Training, Is.False);
        var again = trainer.Evaluate(Validation);
        Assert.That(again["loss"], Is.EqualTo(history["val_loss"][^1]).Within(1e-12));
        Assert.That(again["f1"], Is.EqualTo(history["val_f1"][^1]));
        Assert.That(history.ToString(), Does.Contain("● validation"));
        Assert.That(history.ToPage("Circle"), Does.StartWith("<!DOCTYPE html>").And.Contain("<polyline").And.Not.Contain("<script"));
        Assert.That(History.FromJson(history.ToJson()).ToJson(), Is.EqualTo(history.ToJson()));
    }

    [Test]
    public void ALoaderShufflesByEpochAndASecondCallGoesOn()
    {
        History Fit(params int[] epochs)
        {
            var model = Plain();
            var loader = new DataLoader(new TensorDataset(Points.X, Points.Y), batchSize: 32, shuffle: true, generator: new Generator(5));
            var trainer = new Trainer(model, new AdamW(model.Parameters()), Loss) { Seed = 1 };
            foreach (var n in epochs)
            {
                trainer.Fit(loader, epochs: n);
            }

            return trainer.History;
        }

        var twice = Fit(2, 3);
        Assert.That(twice.Steps, Has.Count.EqualTo(15));
        Assert.That(twice.Steps[^1].Epoch, Is.EqualTo(5));
        Assert.That(twice.Steps.Select(s => s.Loss), Is.EqualTo(Fit(5).Steps.Select(s => s.Loss)));
        Assert.That(twice.Steps.Select(s => s.Loss).Distinct().Count(), Is.EqualTo(15));
    }

    [Test]
    public void StepsAreThoseOfALoopByHand()
    {
        var byHand = Net();
        var optimizer = new SGD(byHand.Parameters(), 0.1, momentum: 0.9);
        Generator.ManualSeed(1);
        foreach (var (x, y) in Batches(0))
        {
            optimizer.ZeroGrad();
            Loss(byHand.Forward(x), y).Backward();
            optimizer.Step();
        }

        foreach (var guard in new[] { NanGuard.Off, NanGuard.Stop })
        {
            var model = Net();
            new Trainer(model, new SGD(model.Parameters(), 0.1, momentum: 0.9), Loss) { Seed = 1, NanGuard = guard }.Fit(Batches);
            foreach (var (name, value) in byHand.StateDict())
            {
                Assert.That(model.StateDict()[name].To(DType.Float64).ToArray<double>(), Is.EqualTo(value.To(DType.Float64).ToArray<double>()).Within(1e-5), $"{guard} {name}");
            }
        }
    }

    private sealed record Case(string Name, Func<Module, Optimizer> Optimizer, Func<Module, Optimizer, Trainer> Trainer)
    {
        public override string ToString() => Name;
    }

    private static Case Of(string name, Func<Module, Optimizer, Trainer> trainer) => new(name, m => new AdamW(m.Parameters(), lr: 1e-2), trainer);

    private static readonly Case[] Runs =
    [
        Of("plain", (m, o) => new(m, o, Loss)),
        Of("in one program", (m, o) => new(m, o, Loss) { NanGuard = NanGuard.Off, ClipGradNorm = 0.5 }),
        Of("accumulating", (m, o) => new(m, o, Loss) { AccumulateGradients = 2 }),
        Of("f16", (m, o) => new(m, o, Loss) { Precision = Precision.Float16, GradScaler = new(initScale: 1024, growthInterval: 3) }),
        Of("a schedule", (m, o) => new(m, o, Loss) { Scheduler = new CosineAnnealingLR(o, 24), SchedulerInterval = Interval.Step }),
        Of("a plateau", (m, o) => new(m, o, Loss) { Scheduler = new ReduceLROnPlateau(o, patience: 0, threshold: 10) }),
        Of("an average", (m, o) => new(m, o, Loss) { Average = new(m, AveragedModel.Ema(0.9)), KeepBest = "val_loss" }),
        new("sophia", m => new SophiaG(m.Parameters(), lr: 1e-2, every: 3), (m, o) => new(m, o, Loss)),
        new("sam", m => new SAM(new SGD(m.Parameters(), 0.1)), (m, o) => new(m, o, Loss)),
    ];

    /// <summary>The same trainer with more options: they are only set at birth.</summary>
    private static Trainer With(Trainer t, Module m, Optimizer o, string? folder, Action<StepRecord>? onStep, CancellationToken token) => new(m, o, Loss)
    {
        Metrics = [new Accuracy()],
        Seed = 1,
        Scheduler = t.Scheduler,
        SchedulerInterval = t.SchedulerInterval,
        AccumulateGradients = t.AccumulateGradients,
        ClipGradNorm = t.ClipGradNorm,
        Precision = t.Precision,
        GradScaler = t.GradScaler,
        NanGuard = t.NanGuard,
        Average = t.Average,
        KeepBest = t.KeepBest,
        Folder = folder,
        SaveEverySteps = folder is null ? 0 : 3,
        Resume = folder is not null,
        OnStep = onStep,
        Cancellation = token,
    };

    [TestCaseSource(nameof(Runs))]
    public void AResumedRunEndsBitForBitLikeOneWithoutABreak(object run) => InFolder(folder =>
    {
        var @case = (Case)run;
        (string, History) Fit(string? folder, int stop)
        {
            var model = Net();
            var optimizer = @case.Optimizer(model);
            using var source = new CancellationTokenSource();
            var trainer = With(@case.Trainer(model, optimizer), model, optimizer, folder, s => { if (s.Step == stop) { source.Cancel(); } }, source.Token);
            var history = trainer.Fit(Batches, Validation, epochs: 4);
            Assert.That(trainer.Ending, Is.EqualTo(stop > 0 ? Ending.Interrupted : Ending.Finished));
            return (Digest(model, optimizer), history);
        }

        var (_, part) = Fit(folder, 10);
        Assert.That(part.Steps, Has.Count.EqualTo(10));
        var (resumed, rest) = Fit(folder, 0);
        var (expected, whole) = Fit(null, 0);
        Assert.That(rest.Steps.Select(s => (s.Step, s.Loss, s.LearningRate)), Is.EqualTo(whole.Steps.Select(s => (s.Step, s.Loss, s.LearningRate))));
        Assert.That(resumed, Is.EqualTo(expected));
        foreach (var name in whole.Names)
        {
            Assert.That(rest[name], Is.EqualTo(whole[name]), name);
        }
    });

    [Test]
    public void MicroBatchesTogetherMakeTheStepOfOneLargeBatch()
    {
        static double[] Weights(int accumulate, params (int, int)[] parts)
        {
            var model = Plain();
            var optimizer = new SGD(model.Parameters(), 0.1);
            new Trainer(model, optimizer, Loss) { AccumulateGradients = accumulate }.Fit(_ => parts.Select(p => Rows(p.Item1, p.Item2)));
            return [.. model.Parameters().SelectMany(p => p.ToArray<double>())];
        }

        var expected = Weights(1, (0, 48), (48, 96));
        Assert.That(Weights(3, (0, 16), (16, 32), (32, 48), (48, 64), (64, 80), (80, 96)), Is.EqualTo(expected).Within(1e-6));
        Assert.That(Weights(2, (0, 40), (40, 48), (48, 88), (88, 96)), Is.EqualTo(expected).Within(1e-6));
    }

    [Test]
    public void TrainingStopsEarlyAndTheBestParametersAreKept()
    {
        var model = Plain();
        var trainer = new Trainer(model, new AdamW(model.Parameters(), lr: 0.5), Loss)
        {
            EarlyStopping = new(Patience: 2),
            KeepBest = "val_loss",
            Metrics = [new Accuracy()],
        };
        var history = trainer.Fit(Batches, Validation, epochs: 300);
        var losses = history["val_loss"].ToList();
        Assert.That(trainer.Ending, Is.EqualTo(Ending.StoppedEarly));
        Assert.That(losses, Has.Count.EqualTo(losses.IndexOf(losses.Min()) + 1 + 3));
        Assert.That(trainer.Evaluate(Validation)["loss"], Is.EqualTo(losses.Min()).Within(1e-9));
        var error = Assert.Throws<ArgumentException>(() => new Trainer(model, new SGD(model.Parameters(), 0.1), Loss) { KeepBest = "val_bleu" }.Fit(Batches, Validation));
        Assert.That(error!.Message, Does.Contain("'val_bleu'").And.Contain("val_loss"));
    }

    // ------------------------------------------------------------------------------------------------ numbers

    private sealed class Root : Module
    {
        public Parameter Weight { get; } = new(Tensor.FromArray([1f, 1f]));

        public Nanograd.CSharp.Buffer Seen { get; } = new(Tensor.Zeros([1]));

        public override Tensor Forward(Tensor input)
        {
            if (Training)
            {
                Seen.Update(Seen + input.Sum());
            }

            return (input * Weight).Sqrt();
        }
    }

    private static readonly (Tensor, Tensor)[] Broken =
        [.. new[] { new[] { 1f, 2f }, [1f, -3f], [2f, 2f] }.Select(x => (Tensor.FromArray(x), Tensor.Scalar(0f)))];

    [Test]
    public void ALossThatTurnsNanStopsTrainingBeforeItDoesHarm()
    {
        (Root, Trainer) Make(NanGuard guard)
        {
            var model = new Root();
            return (model, new Trainer(model, new SGD(model.Parameters(), 0.1), (y, _) => y.Mean()) { NanGuard = guard });
        }

        var (stopping, trainer) = Make(NanGuard.Stop);
        var error = Assert.Throws<NonFiniteStepException>(() => trainer.Fit(Broken));
        Assert.That(error!.Step, Is.EqualTo(2));
        Assert.That(error!.Message, Does.StartWith("Step 2: the loss is NaN"));
        Assert.That(error!.Report, Does.Contain("sqrt"));
        Assert.That(stopping.Weight.ToArray<float>().All(float.IsFinite));
        Assert.That(stopping.Seen.ToArray<float>(), Is.EqualTo(new[] { 3f }));

        var (skipping, careful) = Make(NanGuard.Skip);
        careful.Fit(Broken);
        Assert.That(careful.SkippedSteps, Is.EqualTo(1));
        Assert.That(skipping.Weight.ToArray<float>().All(float.IsFinite));
        Assert.That(skipping.Seen.ToArray<float>(), Is.EqualTo(new[] { 7f }));

        var (broken, careless) = Make(NanGuard.Off);
        careless.Fit(Broken);
        Assert.That(broken.Weight.ToArray<float>().All(float.IsFinite), Is.False);
    }

    [Test]
    public void AScalerGrowsAndBacksOffAsPyTorchs()
    {
        var w = new Parameter(Tensor.FromArray([1f], 1, 1));
        var optimizer = new SGD([w], 0.0);
        var scaler = new GradScaler(initScale: 1024, growthInterval: 2);
        bool Step(float x)
        {
            optimizer.ZeroGrad();
            Tensor loss;
            using (new Autocast(DType.Float16))
            {
                loss = Tensor.FromArray([x], 1, 1).MatMul(w).Sum();
            }

            scaler.Scale(loss).Backward();
            var done = scaler.Step(optimizer);
            scaler.Update();
            Assert.That(loss.Item(), Is.EqualTo(x)); // weight and rate are such that the loss is the input
            return done;
        }

        Assert.That(Step(1), Is.True);
        Assert.That(scaler.GetScale(), Is.EqualTo(1024));
        Assert.That(Step(1), Is.True);
        Assert.That(scaler.GetScale(), Is.EqualTo(2048));
        Assert.That(Step(100), Is.False, "100 * 2048 is beyond f16");
        Assert.That(scaler.GetScale(), Is.EqualTo(1024));
        var other = new GradScaler();
        other.LoadStateDict(scaler.StateDict());
        Assert.That(other.GetScale(), Is.EqualTo(1024));
        optimizer.ZeroGrad();
        scaler.Scale((w * 3f).Sum()).Backward();
        scaler.Unscale(optimizer);
        Assert.That(w.Grad!.ToArray<float>(), Is.EqualTo(new[] { 3f }));
        Assert.Throws<InvalidOperationException>(() => scaler.Unscale(optimizer));
    }

    [Test]
    public void AutocastRoundsWhatProductsTakeAndGive()
    {
        var x = Tensor.RandN([4, 8], new Generator(1));
        var w = new Parameter(Tensor.RandN([8, 8], new Generator(2)));
        static Tensor Held(Tensor t) => t.To(DType.BFloat16).To(DType.Float32);
        Tensor y;
        using (new Autocast(DType.BFloat16))
        {
            y = x.MatMul(w).Tanh();
            using (new Autocast(enabled: false))
            {
                Assert.That(x.MatMul(w).ToArray<float>(), Is.Not.EqualTo(Held(x).MatMul(Held(w)).ToArray<float>()));
            }
        }

        Assert.That(y.ToArray<float>(), Is.EqualTo(Held(Held(x).MatMul(Held(w))).Tanh().ToArray<float>()));
        Assert.That(y.DType, Is.EqualTo(DType.Float32));
        y.Sum().Backward();
        Assert.That(w.Grad!.DType, Is.EqualTo(DType.Float32));
        Assert.Throws<ArgumentException>(() => new Autocast(DType.Int32));
    }

    [TestCase(Precision.BFloat16)]
    [TestCase(Precision.Float16)]
    public void SixteenBitTrainingEndsNearTheFullOne(Precision precision)
    {
        static double Train(Precision precision)
        {
            var model = Plain();
            return new Trainer(model, new AdamW(model.Parameters(), lr: 1e-2), Loss) { Precision = precision }.Fit(Batches, Validation, 20)["val_loss"][^1];
        }

        var full = Train(Precision.Full);
        var half = Train(precision);
        Assert.That(half, Is.EqualTo(full).Within(0.03).And.Not.EqualTo(full));
    }

    // ------------------------------------------------------------------------------------------------ memory, progress, mistakes

    private sealed class Deep : Module
    {
        public List<Linear> Layers { get; } = [.. Enumerable.Range(0, 12).Select(_ => new Linear(16, 16))];

        public override Tensor Forward(Tensor input) => Layers.Aggregate(input, (x, layer) => x + layer.Forward(F.GELU(x)).Tanh());
    }

    [Test]
    public void ABudgetIsKeptAndChangesNoValue()
    {
        var x = Tensor.RandN([512, 16], new Generator(4));
        (double[] Weights, Trainer Trainer) Train(long? budget)
        {
            Generator.ManualSeed(5);
            var model = new Deep();
            var trainer = new Trainer(model, new SGD(model.Parameters(), 0.1), (y, _) => y.Square().Mean()) { MemoryBudget = budget };
            trainer.Fit([(x, x), (x, x)]);
            return ([.. model.Parameters().SelectMany(p => p.ToArray<double>())], trainer);
        }

        var (expected, plain) = Train(null);
        Assert.That(Train(1L << 30).Trainer.Recomputation, Is.EqualTo((1, 0)));
        var (weights, careful) = Train(1_100_000);
        Assert.That(careful.Recomputation.Recomputed, Is.GreaterThan(0));
        Assert.That(weights, Is.EqualTo(expected).Within(1e-6));
        var error = Assert.Throws<InvalidOperationException>(() => Train(10_000));
        Assert.That(error!.Message, Does.Contain("at least").And.Contain("MB"));
    }

    [Test]
    public void ProgressIsWrittenLineByLine()
    {
        var model = Plain();
        using var writer = new StringWriter();
        new Trainer(model, new SGD(model.Parameters(), 0.1), Loss) { Progress = writer, Metrics = [new Accuracy()] }.Fit(Batches, Validation, 2);
        var lines = writer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.That(lines[0], Does.StartWith("step 1, epoch 1, loss "));
        Assert.That(lines.Count(l => l.Contains("val_accuracy", StringComparison.Ordinal)), Is.EqualTo(2));
    }

    [Test]
    public void MistakesAreNamed()
    {
        var model = Plain();
        Trainer Make(int accumulate = 1, bool resume = false, Func<Tensor, Tensor, Tensor>? loss = null) =>
            new(model, new SGD(model.Parameters(), 0.1), loss ?? Loss) { AccumulateGradients = accumulate, Resume = resume };
        Assert.That(Assert.Throws<ArgumentException>(() => Make(0).Fit(Batches))!.Message, Does.Contain("at least 1 batch"));
        Assert.That(Assert.Throws<ArgumentException>(() => Make(resume: true).Fit(Batches))!.Message, Does.Contain("Folder"));
        Assert.That(Assert.Throws<ArgumentException>(() => Make().Fit([]))!.Message, Does.Contain("epoch 1 has no training batch"));
        Assert.That(Assert.Throws<ArgumentException>(() => Make().Fit([Rows(0, 0)]))!.Message, Does.Contain("a batch is empty"));
        Assert.That(Assert.Throws<ArgumentException>(() => Make(loss: (y, _) => y).Fit(Batches))!.Message, Does.Contain("the loss must be a scalar, got f32[16,2]"));
    }

    [Test]
    public void MetricsAddUpOverBatches()
    {
        var logits = Tensor.FromArray([3f, 1, 2, 0, 1, 2, 5, 4, 0, 1, 2, 3], 4, 3);
        var targets = Tensor.FromArray([0, 1, 1, 2]);
        foreach (var (metric, expected) in new (Metric, double)[] { (new Accuracy(), 0.5), (new TopK(2), 1), (new F1Score(3), 4.0 / 9), (new ConfusionMatrix(3), 0.5) })
        {
            metric.Update(logits[..1], targets[..1]);
            metric.Update(logits[1..], targets[1..]);
            Assert.That(metric.Value, Is.EqualTo(expected).Within(1e-12), metric.Name);
            metric.Reset();
            Assert.That(metric.Value, Is.NaN);
        }

        var confusion = new ConfusionMatrix(3);
        confusion.Update(logits, targets);
        Assert.That(confusion.Matrix.ToArray<double>(), Is.EqualTo(new double[] { 1, 0, 0, 1, 0, 1, 0, 0, 1 }));
    }

    [Test]
    public void WhatCannotBeWatchedIsAnError()
    {
        var model = new Linear(2, 1);
        (Tensor, Tensor)[] batches = [(Tensor.Ones(4, 2), Tensor.Ones(4, 1))];
        var trainer = new Trainer(model, new SGD(model.Parameters(), 0.1), (y, t) => F.MseLoss(y, t)) { EarlyStopping = new() };
        Assert.That(() => trainer.Fit(batches), Throws.ArgumentException.With.Message.Contains("no validation batches"));
        Assert.That(() => trainer.Fit(batches, batches, epochs: -1), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }
}
