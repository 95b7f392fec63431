// Handwritten digits, 8x8 pixels: a dense net in f32 and in bf16, and a convolutional one, with Trainer.
// Measured on a fifth that was not trained on: dense 97.38 %, with products in bf16 97.33 % (means of five splits), convolutional
// 99.16 %; 23 s on two cores with other work.
using Nanograd.CSharp;

namespace Nanograd.Examples;

internal static class Digits
{
    public static void Run()
    {
        if (!Shared.Find("digits.csv", out var file))
            return;
        var digits = Datasets.Digits(file);
        Console.WriteLine($"dense {Mean(Precision.Full):F2} %, with products in bf16 {Mean(Precision.BFloat16):F2} % (means of five splits)");
        Console.WriteLine($"convolutional {Train(digits, 1, 12, Precision.Full, Cnn):F2} %");

        double Mean(Precision precision) => Enumerable.Range(1, 5).Average(seed => Train(digits, seed, 60, precision, Mlp));
    }

    private static Sequential Mlp() => new(new Flatten(), new Linear(64, 256), new ReLU(), new Dropout(0.2), new Linear(256, 10));

    private static Sequential Cnn() => new(
        new Conv2d(1, 32, 3, padding: 1), new ReLU(), new Conv2d(32, 64, 3, padding: 1), new ReLU(), new MaxPool2d(2), new Dropout(0.25),
        new Flatten(), new Linear(1024, 128), new ReLU(), new Dropout(0.5), new Linear(128, 10));

    /// <summary>The accuracy in percent on a fifth of the images, after training on the others.</summary>
    private static double Train(Dataset<(Tensor X, Tensor Y)> digits, int seed, int epochs, Precision precision, Func<Module> create)
    {
        Generator.ManualSeed(seed);
        var parts = Data.RandomSplit(digits, [0.8, 0.2]);
        var model = create();
        var optimizer = new AdamW(model.Parameters(), lr: 3e-3);
        var trainer = new Trainer(model, optimizer, (logits, labels) => F.CrossEntropy(logits, labels))
        {
            Metrics = [new Accuracy()],
            Scheduler = new CosineAnnealingLR(optimizer, tMax: epochs),
            Precision = precision,
            Seed = seed,
        };
        var history = trainer.Fit(
            new DataLoader(parts[0], batchSize: 32, shuffle: true), new DataLoader(parts[1], batchSize: 400), epochs);
        return 100 * history["val_accuracy"][^1];
    }
}
