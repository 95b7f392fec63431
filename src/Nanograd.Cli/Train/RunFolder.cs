using System.Text.Json;
using System.Text.Json.Nodes;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary>
/// A run on disk. training.json says what was asked for and is written before the first step; state.safetensors is all
/// that a run needs to go on, settings included; config.json, tokenizer.json and model.safetensors are for generate.
/// Each file is replaced atomically, and no two of them have to agree: the state alone decides how a run goes on.
/// </summary>
internal sealed class RunFolder(string path)
{
    private const string Format = "nanograd-run";

    public string Path { get; } = path;

    private string SettingsPath => System.IO.Path.Combine(Path, "training.json");

    /// <summary>Makes the folder of a new run.</summary>
    public void Begin(TrainSettings settings)
    {
        if (File.Exists(Path))
        {
            throw new UserException($"--out must be a folder, and {Path} is a file.");
        }

        try
        {
            Directory.CreateDirectory(Path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UserException($"the folder {Path} cannot be made here: {e.Message}");
        }

        string[] ours = ["state.safetensors", "model.safetensors", "config.json", "tokenizer.json"];
        if (!HasRun && ours.FirstOrDefault(name => File.Exists(System.IO.Path.Combine(Path, name))) is { } foreign)
        {
            throw new UserException($"{Path} holds a {foreign} that is not of a run of 'train gpt'; choose another folder with --out.");
        }

        // State and model of an earlier run would no longer belong to the configuration that is written now.
        File.Delete(System.IO.Path.Combine(Path, "state.safetensors"));
        File.Delete(System.IO.Path.Combine(Path, "model.safetensors"));
        WriteSettings(settings);
    }

    public bool HasRun => TrainingState.Exists(Path) || File.Exists(SettingsPath);

    public void WriteSettings(TrainSettings settings) => TextFile.WriteAtomic(SettingsPath, ToJson(settings));

    /// <summary>What to go on with: settings, and the state if there is one that belongs to them.</summary>
    public (TrainSettings Settings, TrainingState? State) Resume()
    {
        if (!Directory.Exists(Path))
        {
            throw new UserException($"there is no folder {Path} to resume.");
        }

        if (!HasRun)
        {
            throw new UserException($"{Path} holds no training run to resume (neither state.safetensors nor training.json).");
        }

        var state = TrainingState.Exists(Path) ? TrainingState.Load(Path) : null;
        var saved = state is null ? null
            : state.Metadata.TryGetValue("settings", out var text) ? OfJson(text, "state.safetensors")
            : throw new InvalidDataException($"{Path}/state.safetensors is not of a run of 'train gpt': it has no settings");
        TrainSettings? asked = null;
        try
        {
            asked = File.Exists(SettingsPath) ? OfJson(TextFile.Read(SettingsPath), SettingsPath) : null;
        }
        catch (Exception e) when (saved is not null && e is InvalidDataException or IOException)
        {
            // The state has all that is needed.
        }

        if (saved is null)
        {
            return (asked!, null);
        }

        // A state of an earlier, different run in the same folder: killed before the new one was saved for the first time.
        return asked is null ? (saved, state) : asked.Digest == saved.Digest ? (asked, state) : (asked, null);
    }

    /// <summary>Saves the run: first what it goes on from, then what it is good for.</summary>
    public void Save(TrainSettings settings, Gpt model, Tokenizer tokenizer, Optimizer optimizer, long step, string history)
    {
        var metadata = new Dictionary<string, string> { ["settings"] = ToJson(settings), ["history"] = history };
        new TrainingState(model.StateDict(), optimizer.StateDict(), step, settings.Seed, metadata).Save(Path);
        Saved?.Invoke("state.safetensors");
        model.SaveDescription(Path, tokenizer);
        Saved?.Invoke("tokenizer.json");
        model.SaveWeights(Path);
        Saved?.Invoke("model.safetensors");
    }

    /// <summary>Called after a file was written: tests stop the run there.</summary>
    internal static Action<string>? Saved { get; set; }

    private static string ToJson(TrainSettings settings)
    {
        var options = new JsonObject();
        foreach (var entry in TrainSettings.Entries)
        {
            options.Add(entry.Key, entry.Show(settings));
        }

        return new JsonObject
        {
            ["format"] = Format,
            ["version"] = 1,
            ["data"] = settings.Data,
            ["data_sha256"] = settings.DataSha256,
            ["options"] = options,
        }.ToJsonString(new JsonSerializerOptions { WriteIndented = true });
    }

    private static TrainSettings OfJson(string text, string source)
    {
        try
        {
            var json = JsonNode.Parse(text)!.AsObject();
            if ((string?)json["format"] != Format || (int?)json["version"] != 1)
            {
                throw new InvalidDataException($"{source} does not describe a training run that this version of nanograd knows");
            }

            var options = json["options"]!.AsObject();
            return TrainSettings.Entries.Aggregate(
                new TrainSettings { Data = (string?)json["data"], DataSha256 = (string)json["data_sha256"]! },
                (settings, entry) => entry.With(settings, (string)options[entry.Key]!));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentNullException or NullReferenceException or FormatException or UserException)
        {
            throw new InvalidDataException($"{source} is damaged: it does not describe a training run");
        }
    }
}
