using System.Collections;

namespace Nanograd.CSharp;

/// <summary>Modules applied one after another: the first gets the input, the last gives the output.</summary>
/// <example><code>new Sequential(new Linear(2, 32), new ReLU()); new Sequential(("conv1", new Conv2d(1, 8, 3)), ("relu", new ReLU()))</code></example>
public sealed class Sequential : Module, IReadOnlyList<Module>
{
    private readonly List<(string? Name, Module Module)> _modules = [];

    /// <summary>No modules yet.</summary>
    public Sequential()
    {
    }

    /// <summary>Modules under their numbers.</summary>
    public Sequential(params Module[] modules) => Extend(modules);

    /// <summary>Modules under names of their own.</summary>
    public Sequential(params (string Name, Module Module)[] modules)
    {
        foreach (var (name, module) in modules)
        {
            Add(name, module);
        }
    }

    /// <summary>The number of modules.</summary>
    public int Count => _modules.Count;

    /// <summary>Module <paramref name="index"/>; negative numbers count from the end.</summary>
    public Module this[int index]
    {
        get => _modules[At(index)].Module;
        set => _modules[At(index)] = (_modules[At(index)].Name, value);
    }

    /// <summary>Some of the modules, in a new Sequential that shares them: <c>net[..^1]</c>.</summary>
    public Sequential this[Range range]
    {
        get
        {
            var (offset, length) = range.GetOffsetAndLength(Count);
            var part = new Sequential();
            part._modules.AddRange(_modules.GetRange(offset, length));
            return part;
        }
    }

    /// <summary>The module with a name.</summary>
    /// <exception cref="KeyNotFoundException">There is none.</exception>
    public Module this[string name] => Named().FirstOrDefault(m => m.Name == name).Module
        ?? throw new KeyNotFoundException($"Sequential has no module '{name}'; it has {string.Join(", ", Named().Select(m => m.Name))}.");

    private int At(int index) => index >= -Count && index < Count
        ? (index + Count) % Count
        : throw new ArgumentOutOfRangeException(nameof(index), $"Sequential has {Count} modules, so there is no module {index}.");

    /// <summary>One more, behind the others.</summary>
    public void Add(Module module) => _modules.Add((null, module));

    /// <summary>One more with a name, behind the others.</summary>
    /// <exception cref="ArgumentException">The name is taken, empty, or has a dot.</exception>
    public void Add(string name, Module module)
    {
        if (name.Length == 0 || name.Contains('.') || Named().Any(m => m.Name == name))
        {
            throw new ArgumentException($"Sequential: a name must be new, not empty and without dots, got '{name}'.");
        }

        _modules.Add((name, module));
    }

    /// <summary>One more, behind the others.</summary>
    public Sequential Append(Module module)
    {
        Add(module);
        return this;
    }

    /// <summary>More, behind the others.</summary>
    public Sequential Extend(IEnumerable<Module> modules)
    {
        _modules.AddRange(modules.Select(m => ((string?)null, m)));
        return this;
    }

    /// <summary>One more, before number <paramref name="index"/>.</summary>
    public Sequential Insert(int index, Module module)
    {
        _modules.Insert(index, (null, module));
        return this;
    }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, _modules.Aggregate(input, (x, m) => m.Module.Forward(x)));

    /// <inheritdoc/>
    public IEnumerator<Module> GetEnumerator() => _modules.Select(m => m.Module).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    private IEnumerable<(string Name, Module Module)> Named() => _modules.Select((m, i) => (m.Name ?? i.ToString(), m.Module));

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() => Named().Select(m => KeyValuePair.Create(m.Name, (object?)m.Module));
}
