// A Transformer that reverses sequences of digits: nn.Transformer with embeddings, a causal mask and greedy decoding.
// Measured after 600 steps: 1000 of 1000 new sequences without a mistake, 27 s on two cores with much other work.
using System.Diagnostics;
using Nanograd.CSharp;

namespace Nanograd.Examples;

internal static class Seq2Seq
{
    private const int Length = 12, Digits = 10, Start = 10, Rows = 64, Steps = 600;

    private sealed class Net : Module
    {
        private readonly Embedding _digits = new(Digits + 1, 64), _places = new(Length, 64);
        private readonly Transformer _transformer = new(64, 4, 2, 2, dimFeedforward: 128, dropout: 0, batchFirst: true);
        private readonly Linear _head = new(64, Digits);

        /// <summary>Logits of each digit of the answer, given the digits before it: [batch, length, digits].</summary>
        public Tensor Forward(Tensor source, Tensor target)
        {
            var mask = Transformer.GenerateSquareSubsequentMask(Length);
            var output = _transformer.Forward(Embed(source), Embed(target), tgtMask: mask, tgtIsCausal: true);
            return _head.Forward(output);
        }

        private Tensor Embed(Tensor ids) => _digits.Forward(ids) + _places.Weight;
    }

    /// <summary>The start token, and all digits but the last.</summary>
    private static Tensor Shifted(Tensor digits) =>
        Tensor.Cat([Tensor.Full([digits.Size(0), 1], Start, DType.Int64), digits[.., ..^1]], 1);

    public static void Run()
    {
        Generator.ManualSeed(1);
        var model = new Net();
        var optimizer = new Adam(model.Parameters(), lr: 2e-3);
        var scheduler = new WarmupCosineLR(optimizer, 50, Steps);
        var watch = Stopwatch.StartNew();
        for (var step = 1; step <= Steps; step++)
        {
            var source = Tensor.RandInt(0, Digits, [Rows, Length]);
            var target = source.Flip(1);
            optimizer.ZeroGrad();
            var loss = F.CrossEntropy(model.Forward(source, Shifted(target)).Flatten(0, 1), target.Flatten());
            loss.Backward();
            optimizer.Step();
            scheduler.Step();
            if (step % 100 == 0)
                Console.WriteLine($"step {step}: loss {loss.Item():F4}, {watch.Elapsed.TotalSeconds:F0} s");
        }

        model.Eval();
        using (new NoGrad())
        {
            var source = Tensor.RandInt(0, Digits, [1000, Length]);
            var answer = Tensor.Zeros(1000, Length).To(DType.Int64);
            for (var i = 0; i < Length; i++)
            {
                answer = model.Forward(source, Shifted(answer)).ArgMax(-1); // each pass makes one more digit final
                Tensor.Evaluate(answer);
            }

            var right = answer.Eq(source.Flip(1)).All(1).Sum().Item();
            Console.WriteLine($"{right} of 1000 new sequences of {Length} digits are reversed without a mistake");
        }
    }
}
