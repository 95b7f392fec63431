using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class TrainingTests
{
    /// <summary>Points inside and outside a circle.</summary>
    private static (Tensor X, Tensor Y) Circle(int count, long seed)
    {
        var x = Tensor.Rand([count, 2], new Generator(seed)) * 2 - 1;
        var y = (x.Square().Sum(1) < 0.5f).To(DType.Int64);
        return (x, y);
    }

    [Test]
    public void AnMlpLearnsACircle()
    {
        Generator.ManualSeed(1);
        var model = new Sequential(new Linear(2, 32), new ReLU(), new Linear(32, 2));
        var optimizer = new AdamW(model.Parameters(), lr: 1e-2);
        for (var step = 0; step < 200; step++)
        {
            var (x, y) = Circle(64, step);
            optimizer.ZeroGrad();
            var loss = F.CrossEntropy(model.Forward(x), y);
            loss.Backward();
            optimizer.Step();
        }

        var (testX, testY) = Circle(500, 12345);
        model.Eval();
        var accuracy = model.Forward(testX).ArgMax(1).Eq(testY).To(DType.Float32).Mean().Item();
        Assert.That(accuracy, Is.GreaterThan(0.93));
    }

    [Test]
    public void ASteadyStepIsOneProgramFoundAgain()
    {
        var model = new Sequential(new Linear(4, 16), new GELU(), new Dropout(0.2), new Linear(16, 3));
        var optimizer = new AdamW(model.Parameters());
        void Step(int i)
        {
            optimizer.ZeroGrad();
            optimizer.LearningRate = 1e-3 / (1 + i);
            var x = Tensor.FromArray(Enumerable.Range(0, 32).Select(n => (float)(n + i) / 32).ToArray(), 8, 4);
            var loss = F.CrossEntropy(model.Forward(x), Tensor.FromArray([0, 1, 2, 0, 1, 2, 0, i % 3]));
            loss.Backward();
            Utils.ClipGradNorm(model.Parameters(), 1.0);
            optimizer.Step();
            Assert.That(double.IsFinite(loss.Item()));
        }

        var before = Engine.Statistics;
        Step(0);
        var compiled = Engine.Statistics.Programs - before.Programs;
        Step(1);
        before = Engine.Statistics;
        for (var i = 2; i < 22; i++)
        {
            Step(i);
        }

        var after = Engine.Statistics;
        Assert.That(compiled, Is.LessThanOrEqualTo(2), "the first step compiles itself and the optimizer's zeros");
        Assert.That(after.Programs, Is.EqualTo(before.Programs), "programs compiled later");
        Assert.That(after.Kernels, Is.EqualTo(before.Kernels), "kernels compiled later");
        Assert.That(after.Hits - before.Hits, Is.EqualTo(20), "one program a step");
    }

    [Test]
    public void AnotherBatchSizeCompilesNoNewKernel()
    {
        var model = new Sequential(new Linear(20, 24), new Tanh(), new Linear(24, 20));
        var optimizer = new SGD(model.Parameters(), lr: 0.1);
        void Step(int rows)
        {
            optimizer.ZeroGrad();
            F.MseLoss(model.Forward(Tensor.Ones(rows, 20) * 1), Tensor.Zeros(rows, 20)).Backward();
            optimizer.Step();
        }

        Step(64);
        var kernels = Engine.Statistics.Kernels;
        Step(48);
        Assert.That(Engine.Statistics.Kernels, Is.EqualTo(kernels));
    }

    [Test]
    public void MemoryIsFlatOverAThousandSteps()
    {
        var model = new Sequential(new Linear(64, 128), new ReLU(), new Linear(128, 64));
        var optimizer = new AdamW(model.Parameters());
        var losses = new List<Tensor>();
        long Run(int steps)
        {
            for (var i = 0; i < steps; i++)
            {
                optimizer.ZeroGrad();
                var x = Tensor.FromArray(new float[64 * 64], 64, 64) + 1;
                var loss = F.MseLoss(model.Forward(x), x);
                loss.Backward();
                optimizer.Step();
                losses.Add(loss); // a habit of many programs; it must not keep whole graphs alive
            }

            GC.Collect();
            GC.WaitForPendingFinalizers();
            GC.Collect();
            return Engine.LiveBytes;
        }

        var start = Run(100);
        var end = Run(1000);
        Assert.That(end - start, Is.LessThan(2 << 20), $"from {start} to {end} bytes");
        Assert.That(losses[^1].Item(), Is.LessThan(losses[0].Item()));
    }

    [Test]
    public void DropoutDropsInTrainingOnly()
    {
        Generator.ManualSeed(3);
        var dropout = new Dropout(0.25);
        var x = Tensor.Ones(10000);
        var y = dropout.Forward(x).ToArray<float>();
        Assert.That(y.Count(v => v == 0) / 10000.0, Is.EqualTo(0.25).Within(0.03));
        Assert.That(y.Where(v => v != 0), Is.All.EqualTo(1 / 0.75).Within(1e-5));
        Assert.That(dropout.Forward(x).ToArray<float>(), Is.Not.EqualTo(y));
        dropout.Eval();
        Assert.That(dropout.Forward(x).ToArray<float>(), Is.All.EqualTo(1f));
    }
}
