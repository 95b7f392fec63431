using System.Text.Json;
using Nanograd.CSharp;

namespace FacadeTests.Oracles;

/// <summary>
/// A case of the reference numbers, in one float type: its attributes and tensors (inputs <c>in.NAME</c>, parameters
/// <c>param.NAME</c>) for the operation that computes it, and the leaves whose gradients the case has.
/// </summary>
internal sealed class OracleCase
{
    private readonly JsonElement _case;
    private readonly JsonElement _attributes;
    private readonly IReadOnlyDictionary<string, Tensor> _tensors;
    private readonly Dictionary<string, Tensor> _operands;
    private readonly Dictionary<string, Tensor> _leaves = [];

    public OracleCase(JsonElement entry, IReadOnlyDictionary<string, Tensor> tensors, DType type)
    {
        (_case, _attributes, _tensors, Type) = (entry, entry.GetProperty("attrs"), tensors, type);
        var wanted = Keys("grads").Select(Own).ToHashSet();
        _operands = Keys("inputs").Concat(Keys("params")).ToDictionary(key => key, key =>
        {
            var value = Typed(Stored(key));
            if (wanted.Contains(Own(key)))
            {
                value.RequiresGrad = true;
                _leaves[Own(key)] = value;
            }

            return value;
        });
    }

    public DType Type { get; }

    public string Name => _case.GetProperty("name").GetString()!;

    public string Operation => _case.GetProperty("op").GetString()!;

    public IReadOnlyList<string> Keys(string kind) =>
        _case.TryGetProperty(kind, out var list) ? [.. list.EnumerateArray().Select(e => e.GetString()!)] : [];

    /// <summary><c>in.x</c> and <c>grad.x</c> are both x's.</summary>
    private static string Own(string key) => key[(key.IndexOf('.', StringComparison.Ordinal) + 1)..];

    public bool Has(string key) => _tensors.ContainsKey($"{Name}/{key}");

    /// <summary>A tensor as the file has it.</summary>
    public Tensor Stored(string key) => _tensors[$"{Name}/{key}"];

    private static bool IsFloat(Tensor t) => t.DType is DType.Float64 or DType.Float32 or DType.Float16 or DType.BFloat16;

    /// <summary>Floats in the type of this run; bytes are truth values.</summary>
    public Tensor Typed(Tensor t) => IsFloat(t) ? t.To(Type) : t.DType == DType.UInt8 ? t.To(DType.Bool) : t;

    // ------------------------------------------------------------------------------------------------ operands

    public Tensor this[string input] => TryInput(input) ?? throw new KeyNotFoundException($"the case has no input {input}");

    public Tensor? TryInput(params string[] names) =>
        names.Select(n => _operands.GetValueOrDefault("in." + n)).FirstOrDefault(t => t is not null);

    public Tensor[] Inputs => [.. Keys("inputs").Select(k => _operands[k])];

    public Tensor Param(string name) => _operands.GetValueOrDefault("param." + name) ?? throw new KeyNotFoundException($"the case has no parameter {name}");

    public bool HasParam(string name) => _operands.ContainsKey("param." + name);

    /// <summary>
    /// A module with the case's parameters, all of them and in this run's type, and with given buffers. The parameters' gradients are
    /// the case's.
    /// </summary>
    public T Loaded<T>(T module, bool training = false, IReadOnlyDictionary<string, Tensor>? buffers = null) where T : Module
    {
        module.To(Type);
        var parameters = Keys("params").Select(key => KeyValuePair.Create(Own(key), _operands[key]));
        module.LoadStateDict(parameters.Concat(buffers ?? new Dictionary<string, Tensor>()).ToDictionary());
        foreach (var (name, parameter) in module.NamedParameters())
        {
            if (_leaves.ContainsKey(name))
            {
                _leaves[name] = parameter;
            }
        }

        module.Train(training);
        return module;
    }

    /// <summary>The leaf whose gradient the case calls so.</summary>
    public Tensor Leaf(string gradient) => _leaves[Own(gradient)];

    // ------------------------------------------------------------------------------------------------ attributes

    private JsonElement? Attribute(string name) =>
        _attributes.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;

    public double? TryFloat(string name) => Attribute(name)?.GetDouble();

    public double Float(string name, double otherwise) => TryFloat(name) ?? otherwise;

    public int? TryInt(string name) => Attribute(name)?.GetInt32();

    public int Int(string name, int otherwise) => TryInt(name) ?? otherwise;

    public bool Bool(string name, bool otherwise = false) => Attribute(name)?.GetBoolean() ?? otherwise;

    public string Text(string name, string otherwise) => Attribute(name) is { ValueKind: JsonValueKind.String } text ? text.GetString()! : otherwise;

    public Reduction Reduction => Text("reduction", "mean");

    /// <summary>One number or a list of them.</summary>
    public int[] Ints(string name, params int[] otherwise) => Attribute(name) switch
    {
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(e => e.GetInt32())],
        { ValueKind: JsonValueKind.Number } number => [number.GetInt32()],
        _ => otherwise,
    };

    /// <summary>A number for each of n axes, given as a list or once.</summary>
    public double[]? TryFloats(string name, int axes) => Attribute(name) switch
    {
        { ValueKind: JsonValueKind.Array } list => [.. list.EnumerateArray().Select(e => e.GetDouble())],
        { ValueKind: JsonValueKind.Number } number => [.. Enumerable.Repeat(number.GetDouble(), axes)],
        _ => null,
    };

    public bool HasAttribute(string name) => Attribute(name) is not null;
}

/// <summary>From a case to its outputs by name.</summary>
internal delegate (string Name, Tensor Value)[] OracleOperation(OracleCase c);
