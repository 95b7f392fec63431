using System.CommandLine;
using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary><c>nanograd generate</c>: a trained model writes on.</summary>
internal static class GenerateCommand
{
    private const int DefaultTokens = 200;

    private const string Summary = "Let a trained model write on, character by character.";

    private const string Details = """
        Examples:
          nanograd generate --model out/gpt
          nanograd generate --model out/gpt --prompt "ROMEO:" --tokens 500 --temperature 0.8
          nanograd generate --model out/gpt --top-k 10 --seed 7
          nanograd generate --model out/gpt --greedy --json
        """;

    public static Command Create(Terminal terminal, CancellationToken stop)
    {
        var model = Arguments.Text("--model", "DIR", "The folder that 'nanograd train gpt' wrote.");
        model.Required = true;
        var prompt = Arguments.Text("--prompt", "TEXT", "What to write on from; without it, the model starts a new line.");
        var tokens = Arguments.Text("--tokens", "N", "Characters to write.", Arguments.Show(DefaultTokens));
        var temperature = Arguments.Text("--temperature", "X", "Below 1 the likely gets likelier, above 1 the unlikely.", "1");
        var topK = Arguments.Text("--top-k", "K", "Choose among the K most likely characters only.");
        var topP = Arguments.Text("--top-p", "P", "Choose among the most likely characters that together reach this probability only.");
        var greedy = Arguments.Flag("--greedy", "Always choose the most likely character.");
        var seed = Arguments.Text("--seed", "S", "The same seed writes the same text.", "another one each time");
        var json = Arguments.Flag("--json", "Print one JSON object: text, tokens, tokens_per_second and more.");
        var command = new DocumentedCommand("generate", Summary, Details) { model, prompt, tokens, temperature, topK, topP, greedy, seed, json };
        command.SetAction(result =>
        {
            var sampling = new Sampling { Greedy = result.GetValue(greedy) };
            sampling.Temperature = result.GetValue(temperature) is { } t ? Arguments.Number("--temperature", t, 0) : 1;
            sampling.TopK = result.GetValue(topK) is { } k ? Arguments.Whole("--top-k", k, 1) : 0;
            sampling.TopP = result.GetValue(topP) is { } p ? Arguments.Number("--top-p", p, 0, 1) : 1;
            sampling.Seed = result.GetValue(seed) is { } s ? Arguments.Long("--seed", s) : Random.Shared.NextInt64(1L << 53);
            if (result.GetValue(topP) is { } given && sampling.TopP == 0)
            {
                throw new UserException($"--top-p must be greater than 0, got {given}.");
            }

            var count = result.GetValue(tokens) is { } n ? Arguments.Whole("--tokens", n, 0) : DefaultTokens;
            using var interrupt = new Interrupt(stop);
            return Generate(result.GetValue(model)!, result.GetValue(prompt), count, sampling, result.GetValue(json), terminal, interrupt);
        });
        return command;
    }

    private static int Generate(string folder, string? prompt, int count, Sampling sampling, bool json, Terminal terminal, Interrupt interrupt)
    {
        Engine.Device = Device.Simd;
        var (model, tokenizer) = Gpt.Load(folder);
        model.Eval();
        int[] start = string.IsNullOrEmpty(prompt) ? [Prompts.Default(tokenizer)] : tokenizer.Encode(prompt);
        if (!json && !string.IsNullOrEmpty(prompt))
        {
            Emit(prompt);
        }

        var text = new StringBuilder();
        var written = 0;
        var watch = Stopwatch.StartNew();
        foreach (var token in model.Generate(start, count, sampling))
        {
            var character = tokenizer.Decode(token);
            text.Append(character);
            written++;
            if (!json)
            {
                Emit(character);
            }

            interrupt.HasWork = true;
            if (interrupt.Requested)
            {
                break;
            }
        }

        var speed = written / Math.Max(watch.Elapsed.TotalSeconds, 1e-9);
        terminal.Out.WriteLine(!json ? "" : new JsonObject
        {
            ["prompt"] = prompt ?? "",
            ["text"] = text.ToString(),
            ["tokens"] = written,
            ["tokens_per_second"] = Math.Round(speed, 1),
            ["seed"] = sampling.Seed,
        }.ToJsonString(Format.Readable));
        terminal.Out.Flush();
        return interrupt.Requested ? App.Interrupted : App.Success;

        void Emit(string piece)
        {
            terminal.Out.Write(piece);
            terminal.Out.Flush();
        }
    }
}
