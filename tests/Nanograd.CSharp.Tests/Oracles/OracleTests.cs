using System.Collections.Concurrent;
using System.Text.Json;
using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests.Oracles;

/// <summary>
/// Outputs and gradients against PyTorch's through modules and functions of the facade, for every case in any folder of reference
/// numbers that has <c>cases.json</c> and <c>tensors.safetensors</c>.
/// </summary>
[Category("Oracles")]
internal sealed class OracleTests
{
    private static readonly ConcurrentDictionary<string, (JsonElement[] Cases, IReadOnlyDictionary<string, Tensor> Tensors)> Known = new();

    private static readonly Func<string, OracleOperation?>[] Tables =
        [OracleLayers.TryFind, OracleAttention.TryFind, OracleLosses.TryFind, OracleFunctions.TryFind];

    /// <summary>The folder named by NANOGRAD_ORACLES, or shared/oracles beside the repository; null if it does not exist.</summary>
    private static string? Root()
    {
        var named = Environment.GetEnvironmentVariable("NANOGRAD_ORACLES");
        var repository = new DirectoryInfo(AppContext.BaseDirectory);
        while (repository is not null && !File.Exists(Path.Combine(repository.FullName, "Nanograd.sln")))
        {
            repository = repository.Parent;
        }

        var root = named ?? (repository is null ? null : Path.Combine(repository.Parent!.FullName, "shared", "oracles"));
        return Directory.Exists(root) ? root : null;
    }

    private static (JsonElement[] Cases, IReadOnlyDictionary<string, Tensor> Tensors) Load(string folder) => Known.GetOrAdd(folder, f =>
        (Read(f), Safetensors.Load(Path.Combine(f, "tensors.safetensors"))));

    private static JsonElement[] Read(string folder)
    {
        var whole = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "cases.json"))).RootElement;
        return [.. (whole.ValueKind == JsonValueKind.Array ? whole : whole.GetProperty("cases")).EnumerateArray()];
    }

    private static string Operation(JsonElement c) => c.GetProperty("op").GetString()!;

    /// <summary>Folder by folder, the operations in it.</summary>
    public static IEnumerable<TestCaseData> Operations()
    {
        var all = from root in new[] { Root() }.OfType<string>()
                  from file in Directory.GetFiles(root, "cases.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
                  let folder = Path.GetDirectoryName(file)!
                  where File.Exists(Path.Combine(folder, "tensors.safetensors"))
                  from operation in Read(folder).Select(Operation).Distinct()
                  select new TestCaseData(folder, operation).SetArgDisplayNames(Path.GetFileName(folder), operation);
        return all.DefaultIfEmpty(new TestCaseData("", ""));
    }

    [TestCaseSource(nameof(Operations))]
    public void AsPyTorchComputesIt(string folder, string operation)
    {
        if (folder.Length == 0)
        {
            Assert.Ignore("the reference numbers (cases.json, tensors.safetensors) are not on this machine");
        }

        var compute = Tables.Select(find => find(operation)).FirstOrDefault(found => found is not null);
        Assert.That(compute, Is.Not.Null, $"No operation of the facade computes the cases of {operation}.");
        var (cases, tensors) = Load(folder);
        foreach (var type in new[] { DType.Float64, DType.Float32 })
        {
            var mine = cases.Where(c => Operation(c) == operation).ToArray();
            var worst = mine.Max(c => Deviation(new OracleCase(c, tensors, type), compute!));
            TestContext.Out.WriteLine($"{operation}: {mine.Length} cases in {type}, largest deviation {worst:E1}");
        }
    }

    /// <summary>How far numbers may be apart, relative to the largest: for outputs, and for gradients.</summary>
    private static (double Forward, double Backward) Tolerances(OracleCase c) =>
        (1e-5, c.Operation == "ctc_loss" || c.Name.StartsWith("linalg/", StringComparison.Ordinal) ? 1e-4 : 1e-5);

    /// <summary>One case: the largest deviation of outputs and gradients.</summary>
    private static double Deviation(OracleCase c, OracleOperation compute)
    {
        var (forward, backward) = Tolerances(c);
        var results = compute(c).ToDictionary(r => "out." + r.Name, r => r.Value);
        var worst = 0.0;
        foreach (var key in c.Keys("outputs"))
        {
            Assert.That(results, Contains.Key(key), $"{c.Name}: there is no {key}");
            worst = Math.Max(worst, Compare(forward, $"{c.Name} {key} in {c.Type}", c.Stored(key), results[key]));
        }

        if (c.Keys("grads").Count == 0)
        {
            return worst;
        }

        c.Keys("outputs").Where(key => c.Has(Cotangent(key)))
            .Select(key => (results[key] * c.Typed(c.Stored(Cotangent(key)))).Sum())
            .Aggregate((a, b) => a + b)
            .Backward();
        foreach (var key in c.Keys("grads"))
        {
            var gradient = c.Leaf(key).Grad;
            Assert.That(gradient, Is.Not.Null, $"{c.Name}: there is no {key}");
            worst = Math.Max(worst, Compare(backward, $"{c.Name} {key} in {c.Type}", c.Stored(key), gradient!));
        }

        return worst;
    }

    private static string Cotangent(string output) => output.Replace("out.", "cot.", StringComparison.Ordinal);

    private static double Compare(double tolerance, string what, Tensor expected, Tensor actual)
    {
        Assert.That(actual.Shape, Is.EqualTo(expected.Shape), what);
        double[] e = expected.ToArray<double>(), a = actual.ToArray<double>();
        var scale = e.Select(Math.Abs).Append(1e-30).Max();
        var deviation = e.Zip(a)
            .Select(p => p.First.Equals(p.Second) ? 0 : Math.Abs(p.First - p.Second) / scale)
            .Select(d => double.IsNaN(d) ? double.PositiveInfinity : d)
            .Append(0).Max();
        Assert.That(deviation, Is.LessThanOrEqualTo(tolerance), what);
        return deviation;
    }
}
