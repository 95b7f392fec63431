using System.Security.Cryptography;
using System.Text;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary>Everything that a training run depends on. The defaults are nanoGPT's for characters on a small CPU.</summary>
internal sealed record TrainSettings
{
    public string? Data { get; init; }
    public string DataSha256 { get; init; } = "";
    public int Layers { get; init; } = 4;
    public int Heads { get; init; } = 4;
    public int Embd { get; init; } = 128;
    public int Context { get; init; } = 64;
    public int Batch { get; init; } = 12;
    public int Steps { get; init; } = 2000;
    public double Lr { get; init; } = 1e-3;
    public double? MinLr { get; init; }
    public int Warmup { get; init; } = 100;
    public double Beta1 { get; init; } = 0.9;
    public double Beta2 { get; init; } = 0.99;
    public double WeightDecay { get; init; } = 0.1;
    public double GradClip { get; init; } = 1.0;
    public double Dropout { get; init; }
    public bool Bias { get; init; }
    public bool TiedHead { get; init; }
    public long Seed { get; init; } = 1337;
    public Device Device { get; init; } = Device.Simd;
    public int EvalEvery { get; init; } = 250;
    public int SaveEvery { get; init; } = 250;

    /// <summary>One option of the command: how it is read, shown and compared.</summary>
    /// <param name="Name">With its dashes.</param>
    /// <param name="HelpName">What stands for the value in help.</param>
    /// <param name="Help">What it does.</param>
    /// <param name="Show">Its value as text.</param>
    /// <param name="With">Settings with another value.</param>
    /// <param name="MayChange">Whether a resumed run may have another one.</param>
    internal sealed record Entry(
        string Name, string HelpName, string Help, Func<TrainSettings, string> Show, Func<TrainSettings, string, TrainSettings> With, bool MayChange = false)
    {
        public string Key => Name[2..].Replace('-', '_');
    }

    public static readonly Entry[] Entries =
    [
        Whole("--layers", "Transformer blocks.", 1, s => s.Layers, (s, v) => s with { Layers = v }),
        Whole("--heads", "Attention heads in a block; they divide --embd.", 1, s => s.Heads, (s, v) => s with { Heads = v }),
        Whole("--embd", "Channels.", 1, s => s.Embd, (s, v) => s with { Embd = v }),
        Whole("--context", "Characters that the model sees at once.", 1, s => s.Context, (s, v) => s with { Context = v }),
        Whole("--batch", "Pieces of text in a step.", 1, s => s.Batch, (s, v) => s with { Batch = v }),
        Whole("--steps", "Steps of training; may be raised when resuming.", 0, s => s.Steps, (s, v) => s with { Steps = v }, mayChange: true),
        Number("--lr", "The learning rate after warm-up.", 0, s => s.Lr, (s, v) => s with { Lr = v }),
        Number("--min-lr", "The learning rate at the end of the cosine; a tenth of --lr unless given.", 0, s => s.MinLr ?? s.Lr / 10, (s, v) => s with { MinLr = v }),
        Whole("--warmup", "Steps in which the learning rate rises.", 0, s => s.Warmup, (s, v) => s with { Warmup = v }),
        Number("--beta1", "AdamW's mean of gradients.", 0, s => s.Beta1, (s, v) => s with { Beta1 = v }, 1, open: true),
        Number("--beta2", "AdamW's mean of squared gradients.", 0, s => s.Beta2, (s, v) => s with { Beta2 = v }, 1, open: true),
        Number("--weight-decay", "AdamW's decay of matrices.", 0, s => s.WeightDecay, (s, v) => s with { WeightDecay = v }),
        Number("--grad-clip", "The largest norm of all gradients together; 0 for no limit.", 0, s => s.GradClip, (s, v) => s with { GradClip = v }),
        Number("--dropout", "The share of activations dropped in training.", 0, s => s.Dropout, (s, v) => s with { Dropout = v }, 1, open: true),
        Truth("--bias", "Give linear maps and norms biases.", s => s.Bias, (s, v) => s with { Bias = v }),
        Truth("--tied-head", "Share the head's weights with the embedding, as GPT-2 does.", s => s.TiedHead, (s, v) => s with { TiedHead = v }),
        new("--seed", "N", "Decides initial weights, batches and dropout.", s => Arguments.Show(s.Seed), (s, v) => s with { Seed = Arguments.Long("--seed", v) }),
        new("--device", "simd|interpreter", "Vector kernels, or the slow reference evaluator.", s => s.Device.ToString().ToLowerInvariant(), (s, v) => s with { Device = DeviceOf(v) }),
        Whole("--eval-every", "Steps between estimates of the validation loss.", 1, s => s.EvalEvery, (s, v) => s with { EvalEvery = v }, mayChange: true),
        Whole("--save-every", "Steps between saves.", 1, s => s.SaveEvery, (s, v) => s with { SaveEvery = v }, mayChange: true),
    ];

    private static Entry Whole(string name, string help, int least, Func<TrainSettings, int> get, Func<TrainSettings, int, TrainSettings> with, bool mayChange = false) =>
        new(name, "N", help, s => Arguments.Show(get(s)), (s, v) => with(s, Arguments.Whole(name, v, least)), mayChange);

    private static Entry Number(string name, string help, double least, Func<TrainSettings, double> get, Func<TrainSettings, double, TrainSettings> with, double most = double.PositiveInfinity, bool open = false) =>
        new(name, "X", help, s => Arguments.Show(get(s)), (s, v) => with(s, Arguments.Number(name, v, least, most, open)));

    private static Entry Truth(string name, string help, Func<TrainSettings, bool> get, Func<TrainSettings, bool, TrainSettings> with) =>
        new(name, "", help, s => get(s) ? "true" : "false", (s, v) => with(s, Arguments.Truth(name, v)));

    private static Device DeviceOf(string text) => text switch
    {
        "simd" => Device.Simd,
        "interpreter" => Device.Interpreter,
        _ => throw new UserException($"--device must be simd or interpreter, got '{text}'."),
    };

    /// <summary>What no single option shows to be wrong.</summary>
    public void Check()
    {
        if (Embd % Heads != 0)
        {
            throw new UserException($"--embd must be a multiple of --heads, got {Embd} and {Heads}.");
        }

        if (MinLr > Lr)
        {
            throw new UserException($"--min-lr must be at most --lr, got {Arguments.Show(MinLr.Value)} and {Arguments.Show(Lr)}.");
        }

        Gpt.CheckOptions(1, Context, Layers, Heads, Embd, Dropout);
        CheckMemory();
    }

    /// <summary>An estimate from below of what training holds at once: a clear error now is better than a killed process.</summary>
    private void CheckMemory()
    {
        double embd = Embd, rows = (double)Batch * Context;
        var parameters = 12 * embd * embd * Layers + Context * embd;
        var activations = Layers * (rows * embd * 8 + rows * Context * Heads);
        var needed = parameters * 4 * 4 + activations * 4;
        var available = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        if (needed > available)
        {
            throw new UserException(
                $"this model needs at least {Format.Bytes(needed)} of memory and the machine has {Format.Bytes(available)}; smaller --batch, --context, --embd or --layers need less.");
        }
    }

    /// <summary>What identifies the run: everything that decides the weights but the number of steps.</summary>
    public string Digest => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(
        string.Join(";", Entries.Where(e => !e.MayChange).Select(e => $"{e.Key}={e.Show(this)}").Append($"data={DataSha256}")))));
}
