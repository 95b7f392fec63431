using System.Collections;
using System.Collections.Concurrent;
using System.Reflection;
using System.Text;

namespace Nanograd.CSharp;

/// <summary>Gives a field or property of a module another name in state dictionaries than its own in snake_case.</summary>
/// <param name="name">The name, as in <c>ln_1</c>.</param>
[AttributeUsage(AttributeTargets.Field | AttributeTargets.Property)]
public sealed class KeyNameAttribute(string name) : Attribute
{
    /// <summary>The name.</summary>
    public string Name { get; } = name;
}

/// <summary>What <see cref="Module.LoadStateDict"/> did not find a partner for.</summary>
/// <param name="MissingKeys">Parameters of the module that the dictionary does not have.</param>
/// <param name="UnexpectedKeys">Entries of the dictionary that the module does not have.</param>
public sealed record LoadReport(IReadOnlyList<string> MissingKeys, IReadOnlyList<string> UnexpectedKeys);

/// <summary>
/// A part of a model. Write a class with parameters and modules in fields or properties (arrays, lists and dictionaries of
/// them, too) and override <see cref="Forward"/>; they are found by themselves, under PyTorch's names
/// (<c>Layers[0].Weight</c> is <c>layers.0.weight</c>).
/// </summary>
public abstract class Module
{
    private static readonly ConcurrentDictionary<Type, (string Name, FieldInfo Field)[]> Fields = new();

    /// <summary>True while the module trains (dropout drops), false while it is used.</summary>
    public bool Training { get; private set; } = true;

    /// <summary>The function of one tensor that this module is.</summary>
    public virtual Tensor Forward(Tensor input) =>
        throw new NotSupportedException($"{GetType().Name} has no Forward of one tensor.");

    // ------------------------------------------------------------------------------------------------ what it is made of

    /// <summary>
    /// The named parts: parameters, modules, and collections of them. By default all fields and properties, those of base
    /// classes first, each in the order of declaration.
    /// </summary>
    protected virtual IEnumerable<KeyValuePair<string, object?>> Parts()
    {
        foreach (var (name, field) in Fields.GetOrAdd(GetType(), FieldsOf))
        {
            yield return new(name, field.GetValue(this));
        }
    }

    private static (string, FieldInfo)[] FieldsOf(Type type)
    {
        var found = new List<(string, FieldInfo)>();
        for (Type? t = type; t is not null && t != typeof(Module); t = t.BaseType)
        {
            const BindingFlags declared = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
            found.InsertRange(0, t.GetFields(declared).OrderBy(f => f.MetadataToken).Select(f => (KeyOf(t, f), f)));
        }

        return [.. found];
    }

    private static string KeyOf(Type type, FieldInfo field)
    {
        var name = field.Name;
        MemberInfo member = field;
        if (name.StartsWith('<')) // the field behind an automatic property: <Weight>k__BackingField
        {
            name = name[1..name.IndexOf('>')];
            member = type.GetProperty(name, BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly) ?? member;
        }

        return member.GetCustomAttribute<KeyNameAttribute>()?.Name ?? SnakeCase(name.TrimStart('_'));
    }

    /// <summary>InProjWeight to in_proj_weight, CAttn to c_attn, Fc1 to fc1.</summary>
    internal static string SnakeCase(string name)
    {
        var text = new StringBuilder();
        for (var i = 0; i < name.Length; i++)
        {
            var starts = char.IsUpper(name[i]) && i > 0 && name[i - 1] != '_'
                && (!char.IsUpper(name[i - 1]) || (i + 1 < name.Length && char.IsLower(name[i + 1])));
            text.Append(starts ? "_" : "").Append(char.ToLowerInvariant(name[i]));
        }

        return text.ToString();
    }

    private static IEnumerable<(string Name, object Part)> Flatten(string name, object? value)
    {
        switch (value)
        {
            case Parameter or Module:
                yield return (name, value);
                break;
            case string or null:
                break;
            case IDictionary dictionary:
                foreach (DictionaryEntry entry in dictionary)
                {
                    foreach (var part in Flatten($"{name}.{entry.Key}", entry.Value))
                    {
                        yield return part;
                    }
                }

                break;
            case IEnumerable items when HoldsParts(items.GetType()):
                var i = 0;
                foreach (var item in items)
                {
                    foreach (var part in Flatten($"{name}.{i}", item))
                    {
                        yield return part;
                    }

                    i++;
                }

                break;
        }
    }

    private static bool HoldsParts(Type type) => type.GetInterfaces().Append(type)
        .Where(t => t.IsGenericType && t.GetGenericTypeDefinition() == typeof(IEnumerable<>))
        .Select(t => t.GetGenericArguments()[0])
        .Any(t => t.IsAssignableTo(typeof(Module)) || t == typeof(Parameter) || t == typeof(object) || HoldsParts(t));

    private void Visit(string prefix, HashSet<object> seen, Action<string, Module>? onModule, Action<string, Parameter>? onParameter)
    {
        if (!seen.Add(this))
        {
            return;
        }

        onModule?.Invoke(prefix, this);
        var parts = Parts().SelectMany(p => Flatten(p.Key, p.Value)).ToList();
        foreach (var (name, part) in parts) // as in PyTorch: a module's own parameters come before those of its parts
        {
            if (part is Parameter parameter && seen.Add(parameter))
            {
                onParameter?.Invoke(Join(prefix, name), parameter);
            }
        }

        foreach (var (name, part) in parts)
        {
            (part as Module)?.Visit(Join(prefix, name), seen, onModule, onParameter);
        }
    }

    private static string Join(string prefix, string name) => prefix.Length == 0 ? name : $"{prefix}.{name}";

    /// <summary>This module and all modules in it, with their paths (the empty one is this module's).</summary>
    public IReadOnlyList<(string Name, Module Module)> NamedModules()
    {
        var result = new List<(string, Module)>();
        Visit("", new(ReferenceEqualityComparer.Instance), (name, module) => result.Add((name, module)), null);
        return result;
    }

    /// <summary>All parameters with their paths; one that is shared appears once.</summary>
    public IReadOnlyList<(string Name, Parameter Parameter)> NamedParameters()
    {
        var result = new List<(string, Parameter)>();
        Visit("", new(ReferenceEqualityComparer.Instance), null, (name, parameter) => result.Add((name, parameter)));
        return result;
    }

    /// <summary>All parameters; one that is shared appears once.</summary>
    public IReadOnlyList<Parameter> Parameters() => [.. NamedParameters().Select(p => p.Parameter)];

    /// <summary>The number of numbers in all parameters.</summary>
    public long ParameterCount() => Parameters().Sum(p => (long)p.Count);

    // ------------------------------------------------------------------------------------------------ state

    /// <summary>Switches training behaviour on (or off) here and in all parts.</summary>
    public Module Train(bool mode = true)
    {
        foreach (var (_, module) in NamedModules())
        {
            module.Training = mode;
        }

        return this;
    }

    /// <summary>Switches training behaviour off.</summary>
    public Module Eval() => Train(false);

    /// <summary>Forgets the gradients of all parameters.</summary>
    public void ZeroGrad()
    {
        foreach (var parameter in Parameters())
        {
            parameter.Restart(null);
        }
    }

    /// <summary>The values of all parameters now, by path. They are copies: training does not change them.</summary>
    public IReadOnlyDictionary<string, Tensor> StateDict() =>
        NamedParameters().ToDictionary(p => p.Name, p => p.Parameter.Detach());

    /// <summary>Puts values into the parameters, all or (when one has the wrong shape, or names differ) none.</summary>
    /// <param name="state">Values by path.</param>
    /// <param name="strict">False: missing and unknown names are reported, not refused.</param>
    public LoadReport LoadStateDict(IReadOnlyDictionary<string, Tensor> state, bool strict = true)
    {
        var parameters = NamedParameters().ToDictionary(p => p.Name, p => p.Parameter);
        var missing = parameters.Keys.Where(k => !state.ContainsKey(k)).ToList();
        var unexpected = state.Keys.Where(k => !parameters.ContainsKey(k)).ToList();
        var misshaped = parameters.Where(p => state.TryGetValue(p.Key, out var value) && !value.Shape.SequenceEqual(p.Value.Shape)).ToList();
        var problems = new List<string>();
        if (strict)
        {
            problems.AddRange(missing.Select(k => $"'{k}' is missing{Nearest(k, unexpected)}"));
            problems.AddRange(unexpected.Select(k => $"'{k}' is unknown{Nearest(k, missing)}"));
        }

        problems.AddRange(misshaped.Select(p =>
            $"'{p.Key}' must be {Nanograd.Shape.describe(p.Value.Expression)}, got {Nanograd.Shape.describe(state[p.Key].Expression)}"));
        if (problems.Count > 0)
        {
            var shown = string.Join("; ", problems.Take(10)) + (problems.Count > 10 ? $"; and {problems.Count - 10} more" : "");
            throw new ArgumentException($"LoadStateDict into {GetType().Name}: {shown}.");
        }

        foreach (var (name, parameter) in parameters)
        {
            if (state.TryGetValue(name, out var value))
            {
                parameter.Set(value);
            }
        }

        return new LoadReport(missing, unexpected);
    }

    private static string Nearest(string key, List<string> candidates)
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
