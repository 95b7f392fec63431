using System.Text.Json.Nodes;

namespace Nanograd.Cli.Tests;

/// <summary>Runs the command inside this process, in a folder of its own.</summary>
internal sealed class Cli : IDisposable
{
    /// <summary>A model that trains in a moment.</summary>
    public static readonly string[] Tiny =
        ["--layers", "2", "--heads", "2", "--embd", "16", "--context", "8", "--batch", "4", "--steps", "12", "--warmup", "2", "--save-every", "4", "--eval-every", "5"];

    public Cli()
    {
        Directory.CreateDirectory(Folder);
        var lines = Enumerable.Range(0, 120).Select(i => $"the {(i % 3 == 0 ? "cat" : "dog")} ran {i * 7 % 11} miles and slept.");
        File.WriteAllText(Text, string.Join("\n", lines));
    }

    public string Folder { get; } = Path.Combine(Path.GetTempPath(), $"nanograd-cli-{Guid.NewGuid():N}");

    public string Text => Path.Combine(Folder, "text.txt");

    public string In(string name) => Path.Combine(Folder, name);

    public static Result Run(params string[] args) => Run(default, args);

    public static Result Run(CancellationToken stop, params string[] args)
    {
        using StringWriter output = new(), error = new();
        var code = App.Run(args, new Terminal(output, error, redirected: true), stop);
        return new Result(code, output.ToString(), error.ToString());
    }

    /// <summary>Trains the tiny model on the text into a folder, and expects that to work.</summary>
    public JsonObject Train(string folder, params string[] more)
    {
        var result = Run(["train", "gpt", "--data", Text, "--out", In(folder), "--json", .. Tiny, .. more]);
        return result.Json;
    }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}

/// <summary>What a run of the command left.</summary>
internal sealed record Result(int Code, string Out, string Error)
{
    /// <summary>The object in the last line of standard output.</summary>
    public JsonObject Json
    {
        get
        {
            Assert.That(Code, Is.Zero, Error);
            return JsonNode.Parse(Out.TrimEnd('\n').Split('\n')[^1])!.AsObject();
        }
    }

    /// <summary>The last line of standard error, which must be the one error sentence there.</summary>
    public string Sentence
    {
        get
        {
            Assert.That(Code, Is.Not.Zero, Out);
            var errors = Error.Split('\n').Where(l => l.StartsWith("error: ", StringComparison.Ordinal)).ToArray();
            Assert.That(errors, Has.Length.EqualTo(1), Error);
            Assert.That(Error, Does.Not.Contain("   at "), "a stack trace");
            return errors[0]["error: ".Length..];
        }
    }
}
