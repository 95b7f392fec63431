// The adding problem (S. Hochreiter and J. Schmidhuber, 1997): which two of 50 numbers are marked, and what is their sum?
// Who guesses the mean has a squared error of 0.167.
// Measured on 1024 new sequences: LSTM 0.0035 after 1500 steps, GRU 0.0008 after 1000; 49 s on two cores with much other work.
using System.Diagnostics;
using Nanograd.CSharp;

namespace Nanograd.Examples;

internal static class Adding
{
    private const int Length = 50, Rows = 128, Hidden = 64;

    private sealed class Net(Module cells) : Module
    {
        private readonly Module _cells = cells;
        private readonly Linear _head = new(Hidden, 1);

        public override Tensor Forward(Tensor x)
        {
            var outputs = _cells is LSTM lstm ? lstm.Forward(x).Output : ((GRU)_cells).Forward(x).Output;
            return _head.Forward(outputs[^1]).Squeeze(1);
        }
    }

    /// <summary>Sequences [length, rows, 2] of a number and a mark, one in either half, and the sums of the marked numbers.</summary>
    private static (Tensor X, Tensor Y) Problem()
    {
        var values = Tensor.Rand(Length, Rows);
        var marks = Mark(0, Length / 2) + Mark(Length / 2, Length);
        return (Tensor.Stack([values, marks], 2), (values * marks).Sum(0));

        static Tensor Mark(int low, int high) =>
            Tensor.Arange(Length).Unsqueeze(1).Eq(Tensor.RandInt(low, high, [1, Rows])).To(DType.Float32);
    }

    public static void Run()
    {
        Train("LSTM", 1500, () => new LSTM(2, Hidden));
        Train("GRU", 1000, () => new GRU(2, Hidden));
    }

    private static void Train(string name, int steps, Func<Module> cells)
    {
        Generator.ManualSeed(3);
        var model = new Net(cells());
        var optimizer = new AdamW(model.Parameters(), lr: 5e-3);
        var scheduler = new NanoGptLR(optimizer, 50, steps, minLr: 5e-4);
        var watch = Stopwatch.StartNew();
        for (var step = 0; step < steps; step++)
        {
            var (x, y) = Problem();
            optimizer.ZeroGrad();
            F.MseLoss(model.Forward(x), y).Backward();
            Utils.ClipGradNorm(model.Parameters(), 1);
            optimizer.Step();
            scheduler.Step();
        }

        model.Eval();
        using var _ = new NoGrad();
        var error = Enumerable.Range(0, 8).Select(_ => Problem()).Average(p => F.MseLoss(model.Forward(p.X), p.Y).Item());
        Console.WriteLine($"{name}: squared error {error:F4} on 1024 new sequences, {watch.Elapsed.TotalSeconds:F0} s");
    }
}
