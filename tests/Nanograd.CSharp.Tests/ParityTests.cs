using System.Reflection;
using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Both languages have the same functions: what F# calls <c>logSumExp</c>, C# calls <c>LogSumExp</c>.</summary>
internal sealed class ParityTests
{
    /// <summary>F# has several names where C# has overloads and optional arguments.</summary>
    private static readonly string[] Suffixes = ["Over", "Keep", "Of", "By", "With", "In", "All", "Sizes", "Step"];

    private static readonly Dictionary<string, string> Renamed = new()
    {
        ["tensor"] = "FromArray",
        ["matrix"] = "FromArray",
        ["ofArray"] = "FromArray",
        ["amaxKeep"] = "Max",
        ["aminKeep"] = "Min",
        ["varianceKeep"] = "Var",
        ["flattenAxes"] = "Flatten",
        ["quantiles"] = "Quantile",
    };

    /// <summary>What has another place in C#, and where.</summary>
    private static readonly Dictionary<string, string> Elsewhere = new()
    {
        ["Random.key"] = "Generator",
        ["Random.split"] = "Generator",
        ["Random.fold"] = "Generator",
        ["Random.foldIn"] = "Generator",
        ["Einsum.einsumPath"] = "for looking at contraction orders, in F#",
    };

    /// <summary>What F# writes as operators and as its own mathematical functions: static members of the F# tensor.</summary>
    private static IEnumerable<string> Operators() =>
        Assembly.Load("Nanograd.Core").GetType("Nanograd.Tensor")!
            .GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(m => !m.Name.StartsWith("op_", StringComparison.Ordinal))
            .Select(m => m.Name == "Ceiling" ? "Ceil" : m.Name);

    /// <summary>What belongs to the facade alone: mutation, gradients, looking at values, C#'s spellings.</summary>
    private static readonly string[] FacadeOnly =
    [
        "Backward", "Detach", "Evaluate", "Explain", "Item", "ToArray", "ToString", "Size", "To", "View", "T", "Rand", "RandN",
        "IsFinished", "FromArray", "Max", "Min", "ZeroGrad", "RequiresGradTo",
    ];

    private static readonly (string[] Modules, Type Facade)[] Places =
    [
        (["Creation", "Elementwise", "Moving", "Lookups", "Reductions", "Special", "Statistics", "Resizing", "Contractions", "Einsum", "Random"], typeof(Tensor)),
        (["Linalg"], typeof(Linalg)),
    ];

    private static IEnumerable<string> Functions(string module)
    {
        var type = Assembly.Load("Nanograd.Core").GetType("Nanograd." + module) ?? throw new InvalidOperationException($"no module {module}");
        return type.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(m => !m.IsSpecialName && !m.Name.Contains('$', StringComparison.Ordinal))
            .Select(m => m.Name)
            .Distinct();
    }

    private static HashSet<string> Methods(Type facade) =>
        facade.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly)
            .Where(m => !m.IsSpecialName)
            .Select(m => m.Name)
            .ToHashSet();

    private static IEnumerable<string> Names(string function)
    {
        yield return Renamed.GetValueOrDefault(function, function);
        foreach (var suffix in Suffixes.Where(s => function.EndsWith(s, StringComparison.Ordinal)))
        {
            var name = function[..^suffix.Length];
            yield return Renamed.GetValueOrDefault(name, name);
        }
    }

    [Test]
    public void EveryFunctionOfFSharpIsInCSharp()
    {
        var missing =
            from place in Places
            let methods = Methods(place.Facade).Select(m => m.ToUpperInvariant()).ToHashSet()
            from module in place.Modules
            from function in Functions(module)
            where !Elsewhere.ContainsKey($"{module}.{function}")
            where !Names(function).Any(n => methods.Contains(n.ToUpperInvariant()))
            select $"{place.Facade.Name} has no {module}.{function}";
        Assert.That(missing, Is.Empty);
    }

    [Test]
    public void EveryFunctionOfCSharpIsInFSharp()
    {
        var missing =
            from place in Places
            let functions = place.Modules.SelectMany(Functions).SelectMany(Names).Concat(Operators()).Concat(FacadeOnly)
                .Select(n => n.ToUpperInvariant()).ToHashSet()
            from method in Methods(place.Facade)
            where !functions.Contains(method.ToUpperInvariant())
            select $"F# has no {place.Facade.Name}.{method}";
        Assert.That(missing, Is.Empty);
    }

    [Test]
    public void NamesArePascalCase() =>
        Assert.That(Places.SelectMany(p => Methods(p.Facade)).Where(m => !char.IsAsciiLetterUpper(m[0]) || m.Contains('_')), Is.Empty);
}
