// An LSTM that learns Shakespeare's characters (A. Karpathy's char-rnn), in PyTorch's words.
// Measured after 600 steps: 1.720 nats a character on the last tenth of the text, 63 s on two cores with much other work.
using System.Diagnostics;
using Nanograd.CSharp;

namespace Nanograd.Examples;

internal static class CharLstm
{
    private const int Context = 100, Rows = 32, Hidden = 256, Steps = 600;

    private sealed class Net(int vocabulary) : Module
    {
        private readonly Embedding _embedding = new(vocabulary, 64);
        private readonly LSTM _lstm = new(64, Hidden, batchFirst: true);
        private readonly Linear _head = new(Hidden, vocabulary);

        public override Tensor Forward(Tensor ids) => _head.Forward(_lstm.Forward(_embedding.Forward(ids)).Output);

        /// <summary>The logits of the next character, and the state to go on from.</summary>
        public (Tensor Logits, (Tensor H, Tensor C) State) Next(Tensor id, (Tensor H, Tensor C)? state)
        {
            var (output, next) = _lstm.Forward(_embedding.Forward(id), state);
            return (_head.Forward(output[.., ^1]), next);
        }
    }

    public static void Run()
    {
        if (!Shared.Find("tinyshakespeare.txt", out var file))
            return;
        Generator.ManualSeed(1);
        var text = File.ReadAllText(file);
        var tokenizer = Tokenizer.OfText(text);
        var data = new LanguageData(tokenizer.Encode(text), Context); // the first nine tenths train, the last one validates
        var model = new Net(tokenizer.VocabularySize);
        var optimizer = new Adam(model.Parameters(), lr: 5e-3);
        var scheduler = new CosineAnnealingLR(optimizer, tMax: Steps, etaMin: 2e-4);
        var watch = Stopwatch.StartNew();
        for (var step = 1; step <= Steps; step++)
        {
            optimizer.ZeroGrad();
            var loss = Loss(model, data.Batch(Rows, seed: 1, step));
            loss.Backward();
            Utils.ClipGradNorm(model.Parameters(), 1);
            optimizer.Step();
            scheduler.Step();
            if (step % 100 == 0)
                Console.WriteLine($"step {step}: loss {loss.Item():F3}, {watch.Elapsed.TotalSeconds:F0} s");
        }

        model.Eval();
        using (new NoGrad())
        {
            var losses = data.Validation(223).Select(batch => Loss(model, batch).Item() * batch.Rows);
            Console.WriteLine($"validation loss {losses.Sum() / data.ValidationWindows:F3} nats a character");
            (var id, (Tensor H, Tensor C)? state) = (tokenizer.Encode("\n")[0], null);
            for (var i = 0; i < 300; i++)
            {
                var (logits, next) = model.Next(Tensor.FromArray([(long)id], 1, 1), state);
                Tensor.Evaluate(logits, next.H, next.C); // the next state starts from values, not from their long history
                (id, state) = (logits.Softmax(-1).Multinomial(1).Item<int>(), next);
                Console.Write(tokenizer.Decode(id));
            }

            Console.WriteLine();
        }
    }

    private static Tensor Loss(Net model, LanguageBatch batch) =>
        F.CrossEntropy(model.Forward(batch.Inputs).Flatten(0, 1), batch.Targets.Flatten());
}
