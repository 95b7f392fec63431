using System.Globalization;
using System.Text;

namespace Nanograd.CSharp;

/// <summary>One line of a <see cref="ModelSummary"/>.</summary>
/// <param name="Name">The path of the module; empty for the model itself.</param>
/// <param name="Type">The kind of module.</param>
/// <param name="Depth">How many modules it is inside of.</param>
/// <param name="Index">Its number among those of the same depth, from 1.</param>
/// <param name="OutputShape">The shape of what it gave in its last call; null: it was not called, or did not say so.</param>
/// <param name="Parameters">The numbers in its own parameters, without those of its parts.</param>
/// <param name="MultAdds">Multiplications with additions that its own weights cost, all calls together.</param>
public sealed record SummaryRow(
    string Name, string Type, int Depth, int Index, IReadOnlyList<int>? OutputShape, long Parameters, long MultAdds);

/// <summary>What a model is made of, as torchinfo shows it. <see cref="ToString"/> gives the table.</summary>
/// <param name="Rows">The model and all modules in it.</param>
/// <param name="TotalParameters">The numbers in all parameters; what is shared counts once.</param>
/// <param name="TrainableParameters">Those that training changes.</param>
/// <param name="MultAdds">Multiplications with additions of all weights.</param>
/// <param name="InputBytes">The size of the input.</param>
/// <param name="OutputBytes">The size of what modules with parameters give, twice: forward and backward.</param>
/// <param name="ParameterBytes">The size of the parameters.</param>
public sealed record ModelSummary(
    IReadOnlyList<SummaryRow> Rows, long TotalParameters, long TrainableParameters, long MultAdds, long InputBytes, long OutputBytes, long ParameterBytes)
{
    /// <summary>The table.</summary>
    public override string ToString()
    {
        string[][] cells = [.. Rows.Select(r => new[] { Label(r), Shape(r), r.Parameters == 0 ? "--" : Grouped(r.Parameters), r.MultAdds == 0 ? "--" : Grouped(r.MultAdds) })];
        string[] heads = ["Layer (type:depth-idx)", "Output Shape", "Param #", "Mult-Adds"];
        int[] widths = [.. heads.Select((h, i) => Math.Max(cells.Max(c => c[i].Length), h.Length) + 4)];
        var line = new string('=', widths.Sum());
        var text = new StringBuilder().AppendLine(line).AppendLine(Row(heads)).AppendLine(line);
        foreach (var row in cells)
        {
            text.AppendLine(Row(row));
        }

        text.AppendLine(line);
        text.AppendLine($"Total params: {Grouped(TotalParameters)}");
        text.AppendLine($"Trainable params: {Grouped(TrainableParameters)}");
        text.AppendLine($"Non-trainable params: {Grouped(TotalParameters - TrainableParameters)}");
        text.AppendLine($"Total mult-adds (M): {Millions(MultAdds)}");
        text.AppendLine(line);
        text.AppendLine($"Input size (MB): {Millions(InputBytes)}");
        text.AppendLine($"Forward/backward pass size (MB): {Millions(OutputBytes)}");
        text.AppendLine($"Params size (MB): {Millions(ParameterBytes)}");
        text.AppendLine($"Estimated Total Size (MB): {Millions(InputBytes + OutputBytes + ParameterBytes)}");
        return text.Append(line).ToString();

        string Row(string[] row) => string.Concat(row.Select((cell, i) => cell.PadRight(widths[i]))).TrimEnd();
    }

    private static string Label(SummaryRow row) => row.Depth == 0
        ? row.Type
        : $"{string.Concat(Enumerable.Repeat("│    ", row.Depth - 1))}├─{row.Type} ({row.Name[(row.Name.LastIndexOf('.') + 1)..]}): {row.Depth}-{row.Index}";

    private static string Shape(SummaryRow row) => row.OutputShape is null ? "--" : $"[{string.Join(", ", row.OutputShape)}]";

    private static string Grouped(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    private static string Millions(long number) => (number / 1e6).ToString("F2", CultureInfo.InvariantCulture);
}

public abstract partial class Module
{
    /// <summary>
    /// A table of all modules: kind, shape of the result, parameters, multiplications with additions. The model is applied to zeros of
    /// the given shape, in evaluation mode; nothing is computed.
    /// </summary>
    /// <param name="inputShape">The shape of the input, with the batch.</param>
    /// <example><code>Console.WriteLine(model.Summary(1, 3, 224, 224))</code></example>
    public ModelSummary Summary(params int[] inputShape) => Summary(Tensor.Zeros(inputShape));

    /// <summary>The same for an input that is no float, such as token ids.</summary>
    public ModelSummary Summary(int[] inputShape, DType dtype) => Summary(Tensor.Zeros(inputShape, dtype));

    /// <summary>The same for a given input.</summary>
    public ModelSummary Summary(Tensor input)
    {
        Tensor? result = null;
        var modes = Modules().Select(m => (Module: m, m.Training)).ToList();
        List<ModuleCall> calls;
        try
        {
            modes.ForEach(m => m.Module.Training = false);
            calls = Recorded(() => result = Forward(input));
        }
        finally
        {
            modes.ForEach(m => m.Module.Training = m.Training);
        }

        return Summarised(input, result!, calls);
    }

    private ModelSummary Summarised(Tensor input, Tensor result, List<ModuleCall> calls)
    {
        var byModule = calls.ToLookup<ModuleCall, Module>(c => c.Module, ReferenceEqualityComparer.Instance);
        var numbers = new Dictionary<int, int>();
        var counted = new HashSet<object>(ReferenceEqualityComparer.Instance);
        var rows = new List<SummaryRow>();
        foreach (var (name, module) in NamedModules())
        {
            var depth = name.Length == 0 ? 0 : Depth(name);
            numbers[depth] = numbers.GetValueOrDefault(depth) + 1;
            var own = module.OwnParts().Select(p => p.Part).OfType<Parameter>().Where(p => counted.Add(p)).Sum(p => (long)p.Count);
            var shape = byModule[module].LastOrDefault()?.Output ?? (depth == 0 ? [.. result.Shape] : null);
            rows.Add(new(name, module.GetType().Name, depth, numbers[depth], shape, own, byModule[module].Sum(c => module.MultAdds(c.Input, c.Output))));
        }

        var parameters = Parameters();
        var outputs = calls.Where(c => c.Module.OwnParts().Any(p => p.Part is Parameter)).Sum(c => Product(c.Output));
        return new(
            rows, parameters.Sum(p => (long)p.Count), parameters.Where(p => p.RequiresGrad).Sum(p => (long)p.Count), rows.Sum(r => r.MultAdds),
            Bytes(input), 2 * outputs * DTypeModule.size(result.Expression.DType), parameters.Sum(Bytes));
    }

    /// <summary>Elements of arrays and lists have names with a dot, but no module of their own above them.</summary>
    private int Depth(string name)
    {
        var module = this;
        var depth = 0;
        while (name.Length > 0)
        {
            var (head, child) = module.NamedChildren().Where(c => name == c.Name || name.StartsWith(c.Name + ".", StringComparison.Ordinal)).MaxBy(c => c.Name.Length);
            (module, depth) = (child, depth + 1);
            name = name.Length > head.Length ? name[(head.Length + 1)..] : "";
        }

        return depth;
    }

    /// <summary>What a call costs: each weight of at least two axes meets every vector along the last axis of the result.</summary>
    private protected virtual long MultAdds(int[] input, int[] output)
    {
        var weights = OwnParts().Select(p => p.Part).OfType<Parameter>().Where(p => p.Rank >= 2).Sum(p => (long)p.Count);
        return weights == 0 || output.Length == 0 ? weights : weights * (Product(output) / Math.Max(1, output[^1]));
    }

    private static long Bytes(Tensor tensor) => (long)tensor.Count * DTypeModule.size(tensor.Expression.DType);

    private protected static long Product(int[] extents) => extents.Aggregate(1L, (n, extent) => n * extent);
}
