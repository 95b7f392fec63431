using Nanograd.CSharp;
using NUnit.Framework;
using Buffer = Nanograd.CSharp.Buffer;

namespace FacadeTests;

internal sealed class BufferTests
{
    private static Tensor Batch(long seed, int rows = 6, int columns = 3) => Tensor.RandN([rows, columns], new Generator(seed)) * 2 + 1;

    private static Tensor Labels(int rows = 6) => Tensor.FromArray([.. Enumerable.Range(0, rows).Select(i => i % 2)]);

    private static Sequential Net() => new(new Linear(3, 4, generator: new Generator(1)), new BatchNorm1d(4), new ReLU(), new Linear(4, 2, generator: new Generator(2)));

    private static BatchNorm1d NormOf(Sequential net) => (BatchNorm1d)net[1];

    private static void Step(Module net, Optimizer optimizer, Tensor x)
    {
        optimizer.ZeroGrad();
        F.CrossEntropy(net.Forward(x), Labels(x.Size(0))).Backward();
        optimizer.Step();
    }

    /// <summary>What running statistics are by definition, from the activations of each batch.</summary>
    private static void Follow(double[] mean, double[] variance, double[][] rows, double share)
    {
        for (var c = 0; c < mean.Length; c++)
        {
            var column = rows.Select(r => r[c]).ToArray();
            var average = column.Average();
            mean[c] = ((1 - share) * mean[c]) + (share * average);
            variance[c] = ((1 - share) * variance[c]) + (share * column.Sum(v => (v - average) * (v - average)) / (column.Length - 1));
        }
    }

    private static double[][] Rows(Tensor x) => [.. x.ToArray<double>().Chunk(x.Size(-1))];

    private static void AssertStatistics(BatchNorm1d norm, double[] mean, double[] variance)
    {
        Assert.That(norm.RunningMean!.ToArray<double>(), Is.EqualTo(mean).Within(1e-5));
        Assert.That(norm.RunningVar!.ToArray<double>(), Is.EqualTo(variance).Within(1e-5));
    }

    [TestCase(0.1)]
    [TestCase(null)]
    public void TrainingFollowsTheDefinition(double? momentum)
    {
        var norm = new BatchNorm1d(3, momentum: momentum);
        var optimizer = new SGD(norm.Parameters(), lr: 0.1);
        double[] mean = new double[3], variance = [1, 1, 1];
        for (var step = 1; step <= 4; step++)
        {
            var x = Batch(step);
            optimizer.ZeroGrad();
            norm.Forward(x).Square().Sum().Backward();
            optimizer.Step();
            Follow(mean, variance, Rows(x), momentum ?? 1.0 / step);
            AssertStatistics(norm, mean, variance);
            Assert.That(norm.NumBatchesTracked!.Item<long>(), Is.EqualTo(step));
        }
    }

    [Test]
    public void ReadingIsFreeAfterAStep()
    {
        var net = Net();
        Step(net, new AdamW(net.Parameters()), Batch(1));
        var before = Engine.Statistics;
        Assert.That(NormOf(net).RunningMean!.ToArray<float>(), Has.Some.Not.Zero);
        Assert.That(NormOf(net).RunningVar!.ToArray<float>(), Has.All.Not.EqualTo(1));
        Assert.That(Engine.Statistics, Is.EqualTo(before), "reading ran something");
    }

    [Test]
    public void TwoPassesBeforeAStepAreTwoUpdates()
    {
        Sequential together = Net(), apart = Net();
        var optimizer = new SGD(together.Parameters(), lr: 0.1);
        Tensor x = Batch(1), y = Batch(2);
        (F.CrossEntropy(together.Forward(x), Labels()) + F.CrossEntropy(together.Forward(y), Labels())).Backward();
        optimizer.Step();
        apart.Forward(x);
        var once = NormOf(apart).RunningMean!.ToArray<float>();
        apart.Forward(y);
        Assert.That(NormOf(together).RunningMean!.ToArray<float>(), Is.EqualTo(NormOf(apart).RunningMean!.ToArray<float>()).Within(1e-6));
        Assert.That(NormOf(apart).RunningMean!.ToArray<float>(), Is.Not.EqualTo(once));
    }

    /// <summary>A pass without Backward() counts, too, and is not lost when Step() overwrites the parameters it was made of.</summary>
    [Test]
    public void PassesWithoutBackwardAreComputedBeforeParametersChange()
    {
        var net = Net();
        var expected = Net();
        expected.Forward(Batch(1));
        expected.Forward(Batch(2));
        net.Forward(Batch(1));
        Step(net, new SGD(net.Parameters(), lr: 0.5), Batch(2));
        Assert.That(NormOf(net).RunningMean!.ToArray<float>(), Is.EqualTo(NormOf(expected).RunningMean!.ToArray<float>()).Within(1e-6));
    }

    [Test]
    public void TrainingFindsItsProgramAgainAndHoldsItsMemory()
    {
        var net = Net();
        var optimizer = new AdamW(net.Parameters());
        for (var step = 0; step < 20; step++)
        {
            Step(net, optimizer, Batch(step));
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        var (programs, bytes) = (Engine.Statistics.Programs, Engine.LiveBytes);
        for (var step = 0; step < 300; step++)
        {
            Step(net, optimizer, Batch(step));
        }

        GC.Collect();
        GC.WaitForPendingFinalizers();
        Assert.That(Engine.Statistics.Programs, Is.EqualTo(programs), "compiled again");
        Assert.That(Engine.LiveBytes, Is.LessThanOrEqualTo(bytes + 4096), "memory grew");
    }

    /// <summary>Where no step comes, updates are computed by and by, in the same few programs.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void PassesWithoutStepsDoNotPileUp(bool tracked)
    {
        var net = Net();
        double[] mean = new double[4], variance = [1, 1, 1, 1];
        var programs = 0L;
        const int passes = 3 * Buffer.LongestChain;
        for (var i = 0; i < passes; i++)
        {
            using var off = tracked ? null : new NoGrad();
            net.Forward(Batch(i));
            Follow(mean, variance, Rows(net[0].Forward(Batch(i))), 0.1);
            programs = i == (passes / 2) + 1 ? Engine.Statistics.Programs : programs;
        }

        Assert.That(Engine.Statistics.Programs, Is.EqualTo(programs), "each pass is another program");
        AssertStatistics(NormOf(net), mean, variance);
        Assert.That(NormOf(net).NumBatchesTracked!.Item<long>(), Is.EqualTo(passes));
    }

    [Test]
    public void EvaluationUsesTheStatisticsAndLeavesThem()
    {
        var net = Net();
        Step(net, new SGD(net.Parameters(), lr: 0.1), Batch(1));
        net.Forward(Batch(2));
        net.Eval();
        var programs = Engine.Statistics;
        var mean = NormOf(net).RunningMean!.ToArray<float>();
        Assert.That(Engine.Statistics, Is.EqualTo(programs), "Eval() has computed what was pending");
        var norm = NormOf(net);
        var x = Batch(3, columns: 4);
        var expected = ((x - norm.RunningMean!) / (norm.RunningVar! + 1e-5).Sqrt() * norm.Weight! + norm.Bias!).ToArray<float>();
        Assert.That(norm.Forward(x).ToArray<float>(), Is.EqualTo(expected).Within(1e-5));
        Assert.That(norm.RunningMean!.ToArray<float>(), Is.EqualTo(mean));
        Assert.That(net.Forward(x[.., ..3][..1]).Shape, Is.EqualTo(new[] { 1, 2 }), "one example is enough");
    }

    [Test]
    public void CheckpointsCarryUpdatesOut()
    {
        Sequential plain = Net(), saving = Net();
        Tensor x = Batch(1), y = Batch(2);
        foreach (var batch in new[] { x, y })
        {
            F.CrossEntropy(plain.Forward(batch), Labels()).Backward();
            F.CrossEntropy(Functional.Checkpoint(saving.Forward, batch), Labels()).Backward();
        }

        Assert.That(NormOf(saving).RunningMean!.ToArray<float>(), Is.EqualTo(NormOf(plain).RunningMean!.ToArray<float>()).Within(1e-6));
        Assert.That(((Linear)saving[0]).Weight.Grad!.ToArray<float>(), Is.EqualTo(((Linear)plain[0]).Weight.Grad!.ToArray<float>()).Within(1e-5));
        Step(saving, new SGD(saving.Parameters(), lr: 0.1), x);
        Step(plain, new SGD(plain.Parameters(), lr: 0.1), x);
        Assert.That(NormOf(saving).RunningVar!.ToArray<float>(), Is.EqualTo(NormOf(plain).RunningVar!.ToArray<float>()).Within(1e-6));
    }

    [Test]
    public void TransformedFunctionsCannotUpdate()
    {
        var net = Net();
        var before = NormOf(net).RunningMean!.ToArray<float>();
        var e = Assert.Throws<InvalidOperationException>(() => Functional.Grad(x => net.Forward(x).Sum())(Batch(1)))!;
        Assert.That(e.Message, Does.Contain("Eval()"));
        Assert.That(NormOf(net).RunningMean!.ToArray<float>(), Is.EqualTo(before));
        net.Eval();
        Assert.That(Functional.Grad(x => net.Forward(x).Sum())(Batch(1)).Shape, Is.EqualTo(new[] { 6, 3 }));
        net.Train();
        Assert.That(Functional.Explain(net.Forward, Batch(1)).ToString(), Is.Not.Empty);
        Assert.That(NormOf(net).RunningMean!.ToArray<float>(), Is.EqualTo(before));
    }

    /// <summary>A module of one's own.</summary>
    private sealed class Average : Module
    {
        public Buffer Mean { get; } = new(Tensor.Zeros(3));

        public Buffer Scratch { get; } = new(Tensor.Ones(2), persistent: false);

        public Parameter Scale { get; } = new(Tensor.Ones(3));

        public override Tensor Forward(Tensor input)
        {
            if (Training)
            {
                Mean.Update(Mean * 0.5 + input.Mean(0) * 0.5);
            }

            return (input - Mean) * Scale;
        }
    }

    [Test]
    public void BuffersAreStateButNoParameters()
    {
        var module = new Average();
        module.RegisterBuffer("count", Tensor.Scalar(3));
        Assert.That(module.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "scale" }));
        Assert.That(module.NamedBuffers().Select(p => p.Name), Is.EqualTo(new[] { "mean", "scratch", "count" }));
        Assert.That(module.StateDict().Keys, Is.EqualTo(new[] { "scale", "mean", "count" }));
        module.Forward(Tensor.Ones(2, 3));
        var state = module.StateDict();
        Assert.That(state["mean"].ToArray<float>(), Is.EqualTo(new[] { 0.5f, 0.5f, 0.5f }));
        var other = new Average();
        other.RegisterBuffer("count", Tensor.Scalar(0));
        other.LoadStateDict(state);
        Assert.That(other.Mean.ToArray<float>(), Is.EqualTo(state["mean"].ToArray<float>()));
        Assert.That(other.GetBuffer("count").Item(), Is.EqualTo(3));
        Assert.That(() => module.RegisterBuffer("mean", Tensor.Scalar(0)), Throws.ArgumentException);
        Assert.That(() => module.Mean.Update(Tensor.Ones(2)), Throws.ArgumentException.With.Message.Contains("[3]"));
        Assert.That(() => other.LoadStateDict(new Dictionary<string, Tensor> { ["scale"] = Tensor.Ones(3), ["meen"] = Tensor.Ones(3) }),
            Throws.ArgumentException.With.Message.Contains("did you mean 'mean'").And.Message.Contains("'count' is missing"));
    }

    [Test]
    public void GradientsDoNotFlowThroughBuffers()
    {
        var module = new Average();
        var x = Tensor.RandN([4, 3], new Generator(3));
        x.RequiresGrad = true;
        module.Forward(x).Sum().Backward();
        Assert.That(x.Grad!.ToArray<float>(), Has.All.EqualTo(1));
    }

    /// <summary>A step that finds a wrong index changes nothing, buffers neither.</summary>
    [Test]
    public void AStepThatFailsLeavesTheStatistics()
    {
        var net = Net();
        var optimizer = new SGD(net.Parameters(), lr: 0.1);
        Step(net, optimizer, Batch(1));
        var mean = NormOf(net).RunningMean!.ToArray<float>();
        var table = new Embedding(4, 3);
        var ids = Tensor.FromArray([0, 1, 2, 3, 4, 0]) * 2;
        optimizer.ZeroGrad();
        F.CrossEntropy(net.Forward(table.Forward(ids)), Labels()).Backward();
        Assert.That(optimizer.Step, Throws.Exception);
        Assert.That(NormOf(net).RunningMean!.ToArray<float>(), Is.EqualTo(mean));
        Step(net, optimizer, Batch(2));
        Assert.That(NormOf(net).RunningMean!.ToArray<float>(), Is.Not.EqualTo(mean));
    }

    [Test]
    public void OneValueForEachChannelIsTooFewToTrainOn()
    {
        Assert.That(() => new BatchNorm1d(3).Forward(Tensor.Ones(1, 3)), Throws.Exception.With.Message.Contains("more than one value"));
        Assert.That(() => new BatchNorm1d(3).Forward(Tensor.Ones(2, 4)), Throws.ArgumentException.With.Message.Contains("3 channels"));
        Assert.That(() => new BatchNorm2d(3).Forward(Tensor.Ones(2, 3)), Throws.ArgumentException.With.Message.Contains("[batch,channels,height,width]"));
        Assert.That(() => new BatchNorm2d(0), Throws.ArgumentException);
        Assert.That(new BatchNorm1d(3).Eval().Forward(Tensor.Ones(1, 3)).Shape, Is.EqualTo(new[] { 1, 3 }));
    }
}
