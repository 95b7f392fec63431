using System.Collections;

namespace Nanograd.CSharp;

/// <summary>Modules in a list, found under their numbers; a class that has one calls them as it likes.</summary>
public sealed class ModuleList : Module, IReadOnlyList<Module>
{
    private readonly List<Module> _modules;

    /// <summary>The given modules.</summary>
    public ModuleList(params IEnumerable<Module> modules) => _modules = [.. modules];

    /// <inheritdoc/>
    public int Count => _modules.Count;

    /// <inheritdoc/>
    public Module this[int index]
    {
        get => _modules[index];
        set => _modules[index] = value;
    }

    /// <summary>One more, behind the others.</summary>
    public ModuleList Append(Module module)
    {
        _modules.Add(module);
        return this;
    }

    /// <summary>More, behind the others.</summary>
    public ModuleList Extend(IEnumerable<Module> modules)
    {
        _modules.AddRange(modules);
        return this;
    }

    /// <summary>One more, before number <paramref name="index"/>.</summary>
    public void Insert(int index, Module module) => _modules.Insert(index, module);

    /// <inheritdoc/>
    public IEnumerator<Module> GetEnumerator() => _modules.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _modules.Select((module, i) => KeyValuePair.Create(i.ToString(), (object?)module));
}

/// <summary>Modules with names, in the order in which they were put in.</summary>
public sealed class ModuleDict : Module, IEnumerable<KeyValuePair<string, Module>>
{
    private readonly List<KeyValuePair<string, Module>> _modules = [];

    /// <summary>The given modules under the given names.</summary>
    public ModuleDict(params IEnumerable<(string Name, Module Module)> modules)
    {
        foreach (var (name, module) in modules)
        {
            Add(name, module);
        }
    }

    /// <summary>How many there are.</summary>
    public int Count => _modules.Count;

    /// <summary>The names in order.</summary>
    public IEnumerable<string> Keys => _modules.Select(m => m.Key);

    /// <summary>The modules in order.</summary>
    public IEnumerable<Module> Values => _modules.Select(m => m.Value);

    /// <summary>The module with a name; a new name is put behind the others.</summary>
    /// <exception cref="KeyNotFoundException">There is no module of that name.</exception>
    public Module this[string name]
    {
        get => Find(name) is var i and >= 0
            ? _modules[i].Value
            : throw new KeyNotFoundException($"ModuleDict has no module '{name}'; it has {string.Join(", ", Keys)}.");
        set
        {
            if (Find(name) is var i and >= 0)
            {
                _modules[i] = new(name, value);
            }
            else
            {
                Add(name, value);
            }
        }
    }

    /// <summary>One more, behind the others.</summary>
    /// <exception cref="ArgumentException">The name is taken, empty, or has a dot.</exception>
    public void Add(string name, Module module)
    {
        if (name.Length == 0 || name.Contains('.') || Find(name) >= 0)
        {
            throw new ArgumentException($"ModuleDict: a name must be new, not empty and without dots, got '{name}'.");
        }

        _modules.Add(new(name, module));
    }

    /// <summary>Whether there is a module of that name.</summary>
    public bool ContainsKey(string name) => Find(name) >= 0;

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, Module>> GetEnumerator() => _modules.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _modules.Select(m => KeyValuePair.Create(m.Key, (object?)m.Value));

    private int Find(string name) => _modules.FindIndex(m => m.Key == name);
}

/// <summary>Parameters in a list, found under their numbers.</summary>
public sealed class ParameterList : Module, IReadOnlyList<Parameter>
{
    private readonly List<Parameter> _parameters;

    /// <summary>The given parameters.</summary>
    public ParameterList(params IEnumerable<Parameter> parameters) => _parameters = [.. parameters];

    /// <inheritdoc/>
    public int Count => _parameters.Count;

    /// <inheritdoc/>
    public Parameter this[int index]
    {
        get => _parameters[index];
        set => _parameters[index] = value;
    }

    /// <summary>One more, behind the others.</summary>
    public ParameterList Append(Parameter parameter)
    {
        _parameters.Add(parameter);
        return this;
    }

    /// <summary>More, behind the others.</summary>
    public ParameterList Extend(IEnumerable<Parameter> parameters)
    {
        _parameters.AddRange(parameters);
        return this;
    }

    /// <inheritdoc/>
    public IEnumerator<Parameter> GetEnumerator() => _parameters.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _parameters.Select((parameter, i) => KeyValuePair.Create(i.ToString(), (object?)parameter));
}

/// <summary>Parameters with names, in the order in which they were put in.</summary>
public sealed class ParameterDict : Module, IEnumerable<KeyValuePair<string, Parameter>>
{
    private readonly OrderedDictionary<string, Parameter> _parameters = [];

    /// <summary>The given parameters under the given names.</summary>
    public ParameterDict(params IEnumerable<(string Name, Parameter Parameter)> parameters)
    {
        foreach (var (name, parameter) in parameters)
        {
            Add(name, parameter);
        }
    }

    /// <summary>How many there are.</summary>
    public int Count => _parameters.Count;

    /// <summary>The names in order.</summary>
    public IEnumerable<string> Keys => _parameters.Keys;

    /// <summary>The parameters in order.</summary>
    public IEnumerable<Parameter> Values => _parameters.Values;

    /// <summary>The parameter with a name; a new name is put behind the others.</summary>
    /// <exception cref="KeyNotFoundException">There is no parameter of that name.</exception>
    public Parameter this[string name]
    {
        get => _parameters.TryGetValue(name, out var parameter)
            ? parameter
            : throw new KeyNotFoundException($"ParameterDict has no parameter '{name}'; it has {string.Join(", ", Keys)}.");
        set => _parameters[name] = value;
    }

    /// <summary>One more, behind the others.</summary>
    /// <exception cref="ArgumentException">The name is taken, empty, or has a dot.</exception>
    public void Add(string name, Parameter parameter)
    {
        if (name.Length == 0 || name.Contains('.') || !_parameters.TryAdd(name, parameter))
        {
            throw new ArgumentException($"ParameterDict: a name must be new, not empty and without dots, got '{name}'.");
        }
    }

    /// <summary>Whether there is a parameter of that name.</summary>
    public bool ContainsKey(string name) => _parameters.ContainsKey(name);

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, Parameter>> GetEnumerator() => _parameters.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _parameters.Select(p => KeyValuePair.Create(p.Key, (object?)p.Value));
}
