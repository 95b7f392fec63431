namespace Nanograd.CSharp;

/// <summary>Named tensors in files of the safetensors format.</summary>
public static class Safetensors
{
    /// <summary>The tensors of a file by name.</summary>
    public static IReadOnlyDictionary<string, Tensor> Load(string path) => ToFacade(Zoo.TensorFile.Load(path));

    /// <summary>Writes tensors, and texts beside them, by way of a temporary file.</summary>
    public static void Save(string path, IReadOnlyDictionary<string, Tensor> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        Zoo.TensorFile.Save(path, ToCore(tensors), metadata!);

    /// <summary>The SHA-256 of (name, type, shape, little-endian bytes) in the order of names: 64 hexadecimal digits.</summary>
    public static string Sha256(IReadOnlyDictionary<string, Tensor> tensors) => Zoo.TensorFile.Sha256(ToCore(tensors));

    internal static Dictionary<string, Node> ToCore(IReadOnlyDictionary<string, Tensor> tensors)
    {
        Tensor.Evaluate([.. tensors.Values]);
        return tensors.ToDictionary(t => t.Key, t => Ops.literal(t.Value.Read(), [.. t.Value.Shape]));
    }

    internal static Dictionary<string, Tensor> ToFacade(IReadOnlyDictionary<string, Node> tensors) =>
        tensors.ToDictionary(t => t.Key, t => new Tensor(t.Value));
}

/// <summary>All that a training run needs to go on, in one file that is either the last one or this one, never something between.</summary>
/// <param name="Model">The model's <see cref="Module.StateDict"/>.</param>
/// <param name="Optimizer">The optimizer's <see cref="Optimizer.StateDict"/>.</param>
/// <param name="Step">How many steps were done.</param>
/// <param name="Seed">The seed of the run.</param>
/// <param name="Metadata">Whatever else the run remembers.</param>
public sealed record TrainingState(
    IReadOnlyDictionary<string, Tensor> Model,
    IReadOnlyDictionary<string, Tensor> Optimizer,
    long Step,
    long Seed,
    IReadOnlyDictionary<string, string> Metadata)
{
    /// <summary>Writes state.safetensors into a folder, atomically.</summary>
    public void Save(string folder) =>
        new Zoo.TrainingState(Safetensors.ToCore(Model), Safetensors.ToCore(Optimizer), Step, Seed, Metadata).Save(folder);

    /// <summary>Reads state.safetensors; a missing, damaged or foreign one is an error that says so.</summary>
    public static TrainingState Load(string folder)
    {
        var state = Zoo.TrainingState.Load(folder);
        return new(Safetensors.ToFacade(state.Parameters), Safetensors.ToFacade(state.Optimizer), state.Step, state.Seed, state.Metadata);
    }

    /// <summary>True when the folder has a state.</summary>
    public static bool Exists(string folder) => Zoo.TrainingState.Exists(folder);
}
