// What helps when there is little to learn from: 200 digits for a net of four hidden layers.
// Measured on the other 1597: plain 88.7 %, batch normalisation 92.6 %, dropout 90.5 %, mixup 91.2 %, all three 93.0 %.
using Nanograd.CSharp;

namespace Nanograd.Examples;

internal static class Small
{
    private const int Depth = 4, Width = 128, Epochs = 60;

    public static void Run()
    {
        if (!Shared.Find("digits.csv", out var file))
            return;
        var digits = Datasets.Digits(file);
        Report("plain", false, 0, false);
        Report("batch normalisation", true, 0, false);
        Report("dropout", false, 0.3, false);
        Report("mixup", false, 0, true);
        Report("all three", true, 0.3, true);

        void Report(string name, bool norm, double dropout, bool mixup) => Console.WriteLine(
            $"{name,-20} {Enumerable.Range(1, 5).Average(seed => Train(digits, seed, Net(norm, dropout), mixup)):F1} % (mean of five splits)");
    }

    private static Func<Sequential> Net(bool norm, double dropout) => () =>
    {
        var modules = new List<Module> { new Flatten() };
        for (var i = 0; i < Depth; i++)
        {
            modules.Add(new Linear(i == 0 ? 64 : Width, Width));
            if (norm)
                modules.Add(new BatchNorm1d(Width));
            modules.Add(new ReLU());
            if (dropout > 0)
                modules.Add(new Dropout(dropout));
        }

        return new Sequential([.. modules, new Linear(Width, 10)]);
    };

    /// <summary>The accuracy in percent on the images that were not among the 200.</summary>
    private static double Train(Dataset<(Tensor X, Tensor Y)> digits, int seed, Func<Sequential> create, bool mixup)
    {
        Generator.ManualSeed(seed);
        var parts = Data.RandomSplit(digits, [200, digits.Count - 200]);
        var loader = new DataLoader(parts[0], batchSize: 20, shuffle: true);
        var mix = Transforms.MixUp(10);
        var model = create();
        var optimizer = new AdamW(model.Parameters(), lr: 1e-3);
        for (var epoch = 0; epoch < Epochs; epoch++)
        {
            foreach (var batch in loader)
            {
                var (x, y) = mixup ? mix(batch) : batch;
                optimizer.ZeroGrad();
                F.CrossEntropy(model.Forward(x), y).Backward();
                optimizer.Step();
            }
        }

        model.Eval();
        using var _ = new NoGrad();
        var right = new DataLoader(parts[1], batchSize: 1597).Sum(batch => model.Forward(batch.X).ArgMax(1).Eq(batch.Y).Sum().Item());
        return 100 * right / parts[1].Count;
    }
}
