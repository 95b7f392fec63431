using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary>What bounds a piece of work from below on any machine.</summary>
internal enum Bound
{
    /// <summary>Fused multiply-adds in registers; the amount of work is operations.</summary>
    Arithmetic,

    /// <summary>Memory read and written; the amount is bytes.</summary>
    Copying,

    /// <summary>Memory read; the amount is bytes.</summary>
    Reading,
}

/// <summary>A piece of work to be timed.</summary>
/// <param name="Name">Short, for --case.</param>
/// <param name="Work">What it is, with shapes.</param>
/// <param name="Bound">What bounds it.</param>
/// <param name="Amount">Operations of its products, or bytes that must move at least: operands once, results once.</param>
/// <param name="Prepare">Makes the operands, and what is run again and again.</param>
internal sealed record BenchCase(string Name, string Work, Bound Bound, double Amount, Func<Action> Prepare)
{
    private const double FloatBytes = 4;

    /// <summary>One of each kind: what a program does most of the time.</summary>
    public static IReadOnlyList<BenchCase> All { get; } =
    [
        Product("matmul_256", 256, 256, 256),
        Product("matmul_1024", 1024, 1024, 1024),
        Reads("matvec", "[4096,4096] @ [4096]", 4096 * 4096, () => Of(x => x[0].MatMul(x[1]), [4096, 4096], [4096])),
        Copies("gelu", "of [4096,1024]", () => Of(x => F.GELU(x[0]), [4096, 1024])),
        Copies("softmax", "of the rows of [4096,1024]", () => Of(x => F.Softmax(x[0]), [4096, 1024])),
        Copies("layer_norm", "of the rows of [4096,1024]", () => Of(x => F.LayerNorm(x[0], [1024], x[1], x[2]), [4096, 1024], [1024], [1024])),
        Reads("sum", "of [4096,4096]", 4096 * 4096, () => Of(x => x[0].Sum(), [4096, 4096])),
        new("conv", "[8,64,28,28] * [64,64,3,3], padded", Bound.Arithmetic, 2.0 * 8 * 28 * 28 * 64 * 64 * 9, () =>
            Of(x => F.Conv2d(x[0], x[1], padding: 1), [8, 64, 28, 28], [64, 64, 3, 3])),
        MlpStep(),
        GptStep(),
    ];

    private static BenchCase Product(string name, int m, int k, int n) =>
        new(name, $"[{m},{k}] @ [{k},{n}]", Bound.Arithmetic, 2.0 * m * k * n, () => Of(x => x[0].MatMul(x[1]), [m, k], [k, n]));

    private static BenchCase Reads(string name, string work, double floats, Func<Action> prepare) =>
        new(name, work, Bound.Reading, FloatBytes * floats, prepare);

    /// <summary>A function of [4096,1024] whose result has the same shape.</summary>
    private static BenchCase Copies(string name, string work, Func<Action> prepare) =>
        new(name, work, Bound.Copying, 2 * FloatBytes * 4096 * 1024, prepare);

    /// <summary>A compiled function of random operands.</summary>
    private static Action Of(Func<Tensor[], Tensor> f, params int[][] shapes)
    {
        var operands = shapes.Select((shape, i) => Tensor.RandN(shape, new Generator(i))).ToArray();
        var run = Functional.Jit(f);
        return () => run(operands);
    }

    /// <summary>Zero, forward, backward, update; the same batch each time.</summary>
    private static Action Training(Module model, Func<Tensor> loss)
    {
        var optimizer = new AdamW(model.Parameters(), lr: 1e-3);
        return () =>
        {
            optimizer.ZeroGrad();
            loss().Backward();
            optimizer.Step();
        };
    }

    private static BenchCase MlpStep()
    {
        const int rows = 64;
        // Backward, each product has two gradients; the first layer's input has none.
        const double products = 2.0 * rows * (2 * 784 * 256 + 3 * (256 * 128 + 128 * 10));
        return new("mlp_step", "training step of 784-256-128-10 relu, 64 rows, AdamW", Bound.Arithmetic, products, () =>
        {
            var generator = new Generator(1);
            var model = new Sequential(new Linear(784, 256, true, generator), new ReLU(), new Linear(256, 128, true, generator), new ReLU(), new Linear(128, 10, true, generator));
            var (x, y) = (Tensor.Rand([rows, 784], generator), Tensor.Integers(0, 10, [rows], generator));
            return Training(model, () => F.CrossEntropy(model.Forward(x), y));
        });
    }

    private static BenchCase GptStep()
    {
        const int layers = 2, embd = 128, context = 64, batch = 12, vocabulary = 65;
        // A token meets the matrices of all layers, the head, and on average half of the context twice; backward twice as much.
        const double products = 3 * 2.0 * batch * context * (layers * (12.0 * embd * embd + context * embd) + embd * vocabulary);
        return new("gpt_step", "training step of 2 layers of 128, 4 heads, 12 x 64 tokens, AdamW", Bound.Arithmetic, products, () =>
        {
            var generator = new Generator(1);
            var model = new Gpt(vocabulary, context, layers, heads: 4, embd, generator: generator);
            var (ids, next) = (Tensor.Integers(0, vocabulary, [batch, context], generator), Tensor.Integers(0, vocabulary, [batch, context], generator));
            return Training(model, () => F.CrossEntropy(model.Forward(ids), next, dim: -1));
        });
    }
}
