using System.Text.Json;

namespace Nanograd.CSharp;

/// <summary>What <see cref="Module.LoadStateDict"/> did not find a partner for.</summary>
/// <param name="MissingKeys">Parameters and buffers of the module that the dictionary does not have.</param>
/// <param name="UnexpectedKeys">Entries of the dictionary that the module does not have.</param>
public sealed record LoadReport(IReadOnlyList<string> MissingKeys, IReadOnlyList<string> UnexpectedKeys);

public abstract partial class Module
{
    private const int MostProblems = 40;

    private static readonly JsonSerializerOptions Json = new() { WriteIndented = true };

    /// <summary>Parameters and persistent buffers under all their names.</summary>
    private IEnumerable<(string Path, Tensor Cell)> State() =>
        Everything(everywhere: true).Where(p => p.Part is Parameter or Buffer { Persistent: true }).Select(p => (p.Path, (Tensor)p.Part));

    /// <summary>
    /// The values of all parameters and persistent buffers now, by path. They are copies: training does not change them. What is
    /// shared is there under each of its names.
    /// </summary>
    public IReadOnlyDictionary<string, Tensor> StateDict()
    {
        PendingUpdates.Evaluate(Buffers());
        var copies = new Dictionary<Tensor, Tensor>(ReferenceEqualityComparer.Instance);
        return State().ToDictionary(s => s.Path, s =>
            copies.TryGetValue(s.Cell, out var copy) ? copy : copies[s.Cell] = s.Cell.Detach());
    }

    /// <summary>
    /// Puts values into parameters and buffers: all or, when one has the wrong shape or names differ, none. What is shared stays
    /// shared, and one of its names is enough.
    /// </summary>
    /// <param name="state">Values by path.</param>
    /// <param name="strict">False: missing and unknown names are reported, not refused.</param>
    /// <exception cref="ArgumentException">Names differ or shapes are wrong; all of them are listed.</exception>
    public LoadReport LoadStateDict(IReadOnlyDictionary<string, Tensor> state, bool strict = true)
    {
        var own = State().ToList();
        var names = own.Select(s => s.Path).ToHashSet();
        var given = own.Where(s => state.ContainsKey(s.Path)).Select(s => s.Cell).ToHashSet<Tensor>(ReferenceEqualityComparer.Instance);
        var missing = own.Where(s => !given.Contains(s.Cell)).Select(s => s.Path).ToList();
        var unexpected = state.Keys.Where(k => !names.Contains(k)).ToList();
        var problems = new List<string>();
        if (strict)
        {
            problems.AddRange(missing.Select(k => $"'{k}' is missing{Nearest(k, unexpected)}"));
            problems.AddRange(unexpected.Select(k => $"'{k}' is unknown{Nearest(k, missing)}"));
        }

        problems.AddRange(own.Where(s => state.TryGetValue(s.Path, out var value) && !value.Shape.SequenceEqual(s.Cell.Shape)).Select(s =>
            $"'{s.Path}' must be {Nanograd.Shape.describe(s.Cell.Expression)}, got {Nanograd.Shape.describe(state[s.Path].Expression)}"));
        if (problems.Count > 0)
        {
            var shown = string.Join("; ", problems.Take(MostProblems))
                + (problems.Count > MostProblems ? $"; and {problems.Count - MostProblems} more" : "");
            throw new ArgumentException($"LoadStateDict into {GetType().Name}: {shown}.");
        }

        foreach (var (path, cell) in own)
        {
            if (state.TryGetValue(path, out var value))
            {
                (cell as Parameter)?.Set(value);
                (cell as Buffer)?.Set(value);
            }
        }

        return new LoadReport(missing, unexpected);
    }

    /// <summary>
    /// Writes the state as safetensors, to a file or, as <c>model.safetensors</c>, to a folder; and a configuration as JSON beside it:
    /// <c>config.json</c> in the folder, NAME.json beside NAME.safetensors. Each file is the old one or the new one, never something between.
    /// </summary>
    /// <param name="path">A file that ends with .safetensors, or a folder.</param>
    /// <param name="config">What the model is to be built from again: any object that System.Text.Json can write.</param>
    public void Save(string path, object? config = null)
    {
        var (weights, beside) = Files(path);
        if (config is not null)
        {
            AtomicFile.writeText(beside, JsonSerializer.Serialize(config, Json));
        }

        Safetensors.Save(weights, StateDict());
    }

    /// <summary>Reads the state that <see cref="Save"/> wrote, or a state_dict of PyTorch in the safetensors format, as <see cref="LoadStateDict"/>.</summary>
    public LoadReport Load(string path, bool strict = true) => LoadStateDict(Safetensors.Load(Files(path).Weights), strict);

    /// <summary>Reads the configuration beside the weights.</summary>
    /// <exception cref="InvalidDataException">It is no JSON, or not of this form.</exception>
    public static T LoadConfig<T>(string path)
    {
        var file = Files(path).Config;
        try
        {
            return JsonSerializer.Deserialize<T>(File.ReadAllText(file)) ?? throw new InvalidDataException($"{file}: there is no configuration in it.");
        }
        catch (JsonException e)
        {
            throw new InvalidDataException($"{file}: {e.Message}", e);
        }
    }

    private static (string Weights, string Config) Files(string path) => path.EndsWith(".safetensors", StringComparison.Ordinal)
        ? (path, Path.ChangeExtension(path, ".json"))
        : (Path.Combine(path, "model.safetensors"), Path.Combine(path, "config.json"));

    private static string Nearest(string key, IEnumerable<string> candidates)
    {
        var best = candidates.Select(c => (Name: c, Distance: Distance(key, c))).OrderBy(c => c.Distance).FirstOrDefault();
        return best.Name is not null && best.Distance <= Math.Max(2, key.Length / 3) ? $" (did you mean '{best.Name}'?)" : "";
    }

    /// <summary>How many letters must be inserted, removed or replaced (Levenshtein 1966).</summary>
    private static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var above = row[j];
                row[j] = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = above;
            }
        }

        return row[b.Length];
    }
}
