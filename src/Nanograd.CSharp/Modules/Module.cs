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

/// <summary>
/// A part of a model. Write a class with parameters, buffers and modules in fields or properties (arrays, lists and dictionaries
/// of them, too) and override <see cref="Forward"/>; they are found by themselves, under PyTorch's names
/// (<c>Layers[0].Weight</c> is <c>layers.0.weight</c>).
/// </summary>
public abstract partial class Module
{
    private static readonly ConcurrentDictionary<Type, (string Name, FieldInfo Field)[]> Fields = new();

    private List<KeyValuePair<string, object?>>? _registered;

    /// <summary>True while the module trains (dropout drops), false while it is used.</summary>
    public bool Training { get; private set; } = true;

    /// <summary>The function of one tensor that this module is.</summary>
    public virtual Tensor Forward(Tensor input) =>
        throw new NotSupportedException($"{GetType().Name} has no Forward of one tensor.");

    // ------------------------------------------------------------------------------------------------ what it is made of

    /// <summary>
    /// The named parts: parameters, buffers, modules, and collections of them. By default all fields and properties, those of base
    /// classes first, each in the order of declaration.
    /// </summary>
    protected virtual IEnumerable<KeyValuePair<string, object?>> Parts()
    {
        foreach (var (name, field) in Fields.GetOrAdd(GetType(), FieldsOf))
        {
            yield return new(name, field.GetValue(this));
        }
    }

    /// <summary>Adds a buffer that is in no field, under a name of its own. It is returned.</summary>
    public Buffer RegisterBuffer(string name, Tensor value, bool persistent = true) => Register(name, new Buffer(value, persistent));

    /// <summary>Adds a parameter that is in no field, under a name of its own. It is returned.</summary>
    public Parameter RegisterParameter(string name, Parameter parameter) => Register(name, parameter);

    /// <summary>Adds a module that is in no field, under a name of its own. It is returned.</summary>
    public T RegisterModule<T>(string name, T module) where T : Module => Register(name, module);

    private T Register<T>(string name, T part) where T : class
    {
        if (name.Length == 0 || name.Contains('.') || OwnParts().Any(p => p.Name == name))
        {
            throw new ArgumentException($"{GetType().Name}: a part needs a name that is new, not empty and without dots, got '{name}'.");
        }

        (_registered ??= []).Add(new(name, part));
        return part;
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

    /// <summary>What it is made of; in place of parameters that are computed, at the end, what those are computed from.</summary>
    private List<(string Name, object Part)> OwnParts()
    {
        List<(string Name, object Part)> given = [.. Parts().Concat(_registered ?? []).SelectMany(p => Flatten(p.Key, p.Value))];
        if (_reparametrizations is null)
        {
            return given;
        }

        var computed = given.Where(p => p.Part is Parameter { Computed: not null }).ToList();
        return
        [
            .. given.Except(computed),
            .. computed.SelectMany(p => ((Parameter)p.Part).Computed!.Parts.Select(part => (p.Name + part.Suffix, part.Part))),
        ];
    }

    private static IEnumerable<(string Name, object Part)> Flatten(string name, object? value)
    {
        switch (value)
        {
            case Parameter or Buffer or Module:
                yield return (name, value);
                break;
            case string or Tensor or null:
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
        .Any(t => t.IsAssignableTo(typeof(Module)) || t.IsAssignableTo(typeof(Tensor)) || t == typeof(object) || HoldsParts(t));

    /// <summary>
    /// Everything inside with its path, as in PyTorch: a module, its own parameters, its own buffers, then its modules. What is
    /// shared appears once, or, if <paramref name="everywhere"/>, under each of its names.
    /// </summary>
    private IEnumerable<(string Path, object Part)> Walk(string prefix, HashSet<object> seen, bool everywhere)
    {
        if (!seen.Add(this))
        {
            yield break;
        }

        yield return (prefix, this);
        var parts = OwnParts();
        foreach (var (name, part) in parts.Where(p => p.Part is Parameter).Concat(parts.Where(p => p.Part is Buffer)))
        {
            if (everywhere || seen.Add(part))
            {
                yield return (Join(prefix, name), part);
            }
        }

        foreach (var (name, part) in parts)
        {
            foreach (var inside in (part as Module)?.Walk(Join(prefix, name), seen, everywhere) ?? [])
            {
                yield return inside;
            }
        }

        if (everywhere)
        {
            seen.Remove(this); // it may appear elsewhere again, but not inside itself
        }
    }

    private IEnumerable<(string Path, object Part)> Everything(bool everywhere = false) =>
        Walk("", new(ReferenceEqualityComparer.Instance), everywhere);

    private IReadOnlyList<(string, T)> Named<T>() where T : class =>
        [.. Everything().Where(p => p.Part is T).Select(p => (p.Path, (T)p.Part))];

    private static string Join(string prefix, string name) => prefix.Length == 0 ? name : $"{prefix}.{name}";

    /// <summary>This module and all modules in it, with their paths (the empty one is this module's).</summary>
    public IReadOnlyList<(string Name, Module Module)> NamedModules() => Named<Module>();

    /// <summary>This module and all modules in it.</summary>
    public IReadOnlyList<Module> Modules() => [.. NamedModules().Select(m => m.Module)];

    /// <summary>The modules that are parts of this one, not of its parts, with their names.</summary>
    public IReadOnlyList<(string Name, Module Module)> NamedChildren() =>
        [.. OwnParts().Where(p => p.Part is Module).DistinctBy(p => p.Part, ReferenceEqualityComparer.Instance).Select(p => (p.Name, (Module)p.Part))];

    /// <summary>The modules that are parts of this one, not of its parts.</summary>
    public IReadOnlyList<Module> Children() => [.. NamedChildren().Select(m => m.Module)];

    /// <summary>All parameters with their paths; one that is shared appears once.</summary>
    public IReadOnlyList<(string Name, Parameter Parameter)> NamedParameters() => Named<Parameter>();

    /// <summary>All parameters; one that is shared appears once.</summary>
    public IReadOnlyList<Parameter> Parameters() => [.. NamedParameters().Select(p => p.Parameter)];

    /// <summary>All buffers with their paths; one that is shared appears once.</summary>
    public IReadOnlyList<(string Name, Buffer Buffer)> NamedBuffers() => Named<Buffer>();

    /// <summary>All buffers; one that is shared appears once.</summary>
    public IReadOnlyList<Buffer> Buffers() => [.. NamedBuffers().Select(b => b.Buffer)];

    /// <summary>The number of numbers in all parameters.</summary>
    public long ParameterCount() => Parameters().Sum(p => (long)p.Count);

    /// <summary>The module at a path, such as <c>layers.0.norm</c>; the empty path is this one's.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public Module GetSubmodule(string path) => At<Module>("module", path);

    /// <summary>The parameter at a path, such as <c>layers.0.weight</c>.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public Parameter GetParameter(string path) => At<Parameter>("parameter", path);

    /// <summary>The buffer at a path, such as <c>bn1.running_mean</c>.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public Buffer GetBuffer(string path) => At<Buffer>("buffer", path);

    private T At<T>(string what, string path) where T : class
    {
        var all = Everything(everywhere: true).Where(p => p.Part is T).ToList();
        return all.Find(p => p.Path == path).Part as T
            ?? throw new KeyNotFoundException($"{GetType().Name} has no {what} '{path}'{Nearest(path, all.Select(p => p.Path))}.");
    }

    /// <summary>Calls a function with every module inside, parts before what they are parts of, and with this one at last.</summary>
    public Module Apply(Action<Module> action)
    {
        foreach (var child in Children())
        {
            child.Apply(action);
        }

        action(this);
        return this;
    }

    // ------------------------------------------------------------------------------------------------ modes

    /// <summary>Switches training behaviour on (or off) here and in all parts.</summary>
    public Module Train(bool mode = true)
    {
        foreach (var module in Modules())
        {
            module.Training = mode;
        }

        if (!mode)
        {
            PendingUpdates.Evaluate(Buffers());
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

    /// <summary>Training leaves all parameters as they are: no gradient flows to them. (PyTorch: <c>requires_grad_(False)</c>.)</summary>
    public Module Freeze() => RequiresGradTo(false);

    /// <summary>Training changes all parameters again.</summary>
    public Module Unfreeze() => RequiresGradTo(true);

    private Module RequiresGradTo(bool value)
    {
        foreach (var parameter in Parameters())
        {
            parameter.RequiresGrad = value;
        }

        return this;
    }

    /// <summary>Parameters and buffers of floats get another type. Optimizers should be made afterwards.</summary>
    /// <param name="dtype">A type of floats.</param>
    public Module To(DType dtype)
    {
        if (!dtype.IsFloat())
        {
            throw new ArgumentException($"To: the parameters of a module must be floats, got {dtype}.");
        }

        PendingUpdates.Evaluate(Buffers());
        foreach (var parameter in Parameters().Where(p => p.DType.IsFloat() && p.DType != dtype))
        {
            parameter.Adopt(Copies.Of(parameter.To(dtype)), parameter.RequiresGrad);
            parameter.Restart(null);
        }

        foreach (var buffer in Buffers().Where(b => b.DType.IsFloat() && b.DType != dtype))
        {
            buffer.Put(Copies.Of(buffer.To(dtype)));
        }

        return this;
    }
}
