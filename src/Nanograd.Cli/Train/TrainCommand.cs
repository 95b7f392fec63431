using System.CommandLine;
using System.Security.Cryptography;
using System.Text;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary><c>nanograd train gpt</c>: options in, a run to start.</summary>
internal static class TrainCommand
{
    private const string DefaultFolder = "out/gpt";
    private const int StoryBytes = 1_000_000;
    private const long StorySeed = 1;

    private const string Summary = "Train a GPT on the characters of a text, and write a sample.";

    private const string Details = """
        The last tenth of the text is kept for validation; val_loss is the mean over one full pass of it. The folder
        gets model.safetensors, config.json and tokenizer.json (for 'nanograd generate') and the training state. Ctrl-C
        finishes the step and saves; --resume goes on from there, bit for bit, even after kill -9. The same options
        and seed give the same weights on every machine.

        Examples:
          nanograd train gpt
          nanograd train gpt --data tinyshakespeare.txt --out out/shakespeare
          nanograd train gpt --layers 6 --heads 6 --embd 192 --context 128 --steps 5000 --dropout 0.1
          nanograd train gpt --resume out/shakespeare --steps 4000
          nanograd train gpt --steps 500 --json | tail -n 1
          nanograd train gpt --steps 30 --profile profile.html
        """;

    public static Command Create(Terminal terminal, CancellationToken stop)
    {
        var data = Arguments.Text("--data", "FILE", "A UTF-8 text to learn from; without it, about 1 MB of built-in stories.");
        var output = Arguments.Text("--out", "DIR", "The folder to write; a run that is there is replaced.", DefaultFolder);
        var resume = Arguments.Text("--resume", "DIR", "Go on with the run in this folder, with its options and data.");
        var json = Arguments.Flag("--json", "Make the last line on standard output a JSON object; all else goes to standard error.");
        var profile = Arguments.Text("--profile", "FILE", "Write a page that shows where the time of five steps went, kernel by kernel.");
        var command = new DocumentedCommand("gpt", Summary, Details) { data, output };
        var defaults = new TrainSettings();
        var options = new List<(TrainSettings.Entry Entry, Option Option)>();
        foreach (var entry in TrainSettings.Entries)
        {
            Option option = entry.HelpName.Length == 0
                ? Arguments.Flag(entry.Name, entry.Help)
                : Arguments.Text(entry.Name, entry.HelpName, entry.Help, entry.Show(defaults));
            options.Add((entry, option));
            command.Add(option);
        }

        command.Add(resume);
        command.Add(profile);
        command.Add(json);
        command.SetAction(result =>
        {
            var given = options.Where(o => result.GetResult(o.Option) is not null).Select(o =>
                (o.Entry, Text: o.Option is Option<bool> flag ? (result.GetValue(flag) ? "true" : "false") : result.GetValue((Option<string?>)o.Option)!)).ToList();
            var folder = result.GetValue(resume);
            foreach (var (name, value) in new[] { ("--data", result.GetValue(data)), ("--out", result.GetValue(output)), ("--resume", folder), ("--profile", result.GetValue(profile)) })
            {
                if (value is "")
                {
                    throw new UserException($"{name} needs a name, and got an empty one.");
                }
            }

            CheckPage(result.GetValue(profile));
            using var interrupt = new Interrupt(stop);
            return folder is null
                ? Start(given, result.GetValue(data), new RunFolder(result.GetValue(output) ?? DefaultFolder))
                : Continue(given, result.GetValue(data), result.GetValue(output), new RunFolder(folder));

            int Start(List<(TrainSettings.Entry Entry, string Text)> given, string? path, RunFolder run)
            {
                var settings = given.Aggregate(new TrainSettings(), (s, g) => g.Entry.With(s, g.Text));
                settings = settings with { MinLr = settings.MinLr ?? settings.Lr / 10 };
                settings.Check();
                var text = TextOf(path);
                settings = settings with { Data = path is null ? null : Path.GetFullPath(path), DataSha256 = Sha256(text) };
                var corpus = Corpus.Of(text, settings.Context);
                var reporter = Reporter.Create(terminal, result.GetValue(json));
                if (run.HasRun)
                {
                    reporter.Say($"{run.Path} holds another run, which is replaced.");
                }

                run.Begin(settings);
                return new TrainingRun(settings, corpus, run, null, reporter, interrupt, result.GetValue(profile)).Execute();
            }

            int Continue(List<(TrainSettings.Entry Entry, string Text)> given, string? path, string? output, RunFolder run)
            {
                if (output is not null && Path.GetFullPath(output) != Path.GetFullPath(run.Path))
                {
                    throw new UserException($"--resume {run.Path} goes on in its own folder; leave --out away.");
                }

                var (saved, state) = run.Resume();
                var settings = given.Aggregate(saved, (s, g) => g.Entry.With(s, g.Text));
                var conflicts = TrainSettings.Entries.Where(e => !e.MayChange && e.Show(settings) != e.Show(saved))
                    .Select(e => $"{e.Name} {e.Show(settings)} (it was {e.Show(saved)})").ToList();
                if (conflicts.Count > 0)
                {
                    throw new UserException($"a resumed run keeps its options; these differ: {string.Join(", ", conflicts)}.");
                }

                if (settings.Steps < saved.Steps)
                {
                    throw new UserException($"--steps can only be raised when resuming, from {saved.Steps}; got {settings.Steps}.");
                }

                var source = path ?? saved.Data;
                var text = TextOf(source);
                if (Sha256(text) != saved.DataSha256)
                {
                    throw new UserException(source is null
                        ? "the run was started on the built-in stories of another version of nanograd, which cannot be made here."
                        : $"{source} is not the text that the run was started on: its content has changed.");
                }

                settings = settings with { Data = source is null ? null : Path.GetFullPath(source) };
                if (settings != saved)
                {
                    run.WriteSettings(settings);
                }

                var reporter = Reporter.Create(terminal, result.GetValue(json));
                if (state is null)
                {
                    reporter.Say($"{run.Path} has no saved state yet: starting from the first step.");
                }

                return new TrainingRun(settings, Corpus.Of(text, settings.Context), run, state, reporter, interrupt, result.GetValue(profile)).Execute();
            }
        });
        return command;
    }

    /// <summary>A profile that cannot be written is a mistake to be told before the training, not after it.</summary>
    private static void CheckPage(string? path)
    {
        if (path is not null && Directory.Exists(path))
        {
            throw new UserException($"--profile must name a file, and {path} is a folder.");
        }

        if (path is not null && Path.GetDirectoryName(Path.GetFullPath(path)) is { } folder && !Directory.Exists(folder))
        {
            throw new UserException($"--profile cannot write {path}: there is no folder {folder}.");
        }
    }

    private static string TextOf(string? path) => path is null ? Stories.Generate(StoryBytes, StorySeed) : TextFile.Read(path);

    private static string Sha256(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
}

/// <summary>A text as a model reads it.</summary>
internal sealed record Corpus(Tokenizer Tokenizer, LanguageData Data)
{
    public static Corpus Of(string text, int context)
    {
        var tokenizer = Tokenizer.OfText(text);
        return new Corpus(tokenizer, new LanguageData(tokenizer.Encode(text), context));
    }
}
