using System.Reflection;
using System.Text.RegularExpressions;
using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Both languages have the same functions: what F# calls <c>logSumExp</c>, C# calls <c>LogSumExp</c>.</summary>
internal sealed partial class ParityTests
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
        ["vmapAxes"] = "Vmap",
        ["jit2"] = "Jit",
    };

    /// <summary>What has another place in C#, and where.</summary>
    private static readonly Dictionary<string, string> Elsewhere = new()
    {
        ["Random.key"] = "Generator",
        ["Random.split"] = "Generator",
        ["Random.fold"] = "Generator",
        ["Random.foldIn"] = "Generator",
        ["Transforms.eval"] = "Tensor.Evaluate",
        ["Transforms.item"] = "Tensor.Item",
        ["Transforms.toArray"] = "Tensor.ToArray",
        ["Transforms.jitDonate"] = "Optimizer.Step",
        ["Loops.stopGradient"] = "Tensor.Detach",
        ["Einsum.einsumPath"] = "for looking at contraction orders, in F#",
    };

    /// <summary>What F# writes as operators and as its own mathematical functions: static members of the F# tensor.</summary>
    private static IEnumerable<string> Operators() =>
        Assembly.Load("Nanograd.Core").GetType("Nanograd.Tensor")!
            .GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(m => !m.Name.StartsWith("op_", StringComparison.Ordinal))
            .Select(m => m.Name == "Ceiling" ? "Ceil" : m.Name);

    /// <summary>PyTorch's names for what is short to write otherwise.</summary>
    private static readonly string[] TorchOnly =
    [
        "RandInt", "RandPerm", "RandLike", "RandNLike", "Clone", "Contiguous", "Mm", "Bmm", "Mv", "AddMm", "BAddBmm", "AddMv", "AddCMul",
        "AddCDiv", "LdExp", "AMinMax", "VarMean", "StdMean", "Equal", "IsIn", "CDist", "Dist", "TensorSplit", "ColumnStack", "DStack", "BlockDiag",
        "Float", "Double", "Long", "Int", "Dim",
    ];

    /// <summary>What belongs to the facade alone: mutation, gradients, looking at values, C#'s spellings.</summary>
    private static readonly string[] FacadeOnly =
    [
        "Backward", "Detach", "Evaluate", "Explain", "Item", "ToArray", "ToString", "Size", "To", "View", "ViewAs", "ReshapeAs", "T", "Rand", "RandN", "RandInt",
        "IsFinished", "FromArray", "Max", "Min", "ZeroGrad", "RequiresGradTo",
        "ToAlgebra", "ToLatex", "ToHtml", "ToSvg", "ToMermaid", // Explain, Show, Html and Latex of F#
        "NonZero", "ArgWhere", "MaskedSelect", "Unique", // Values of F#
        .. TorchOnly,
    ];

    /// <summary>What F has of the layers: their functions belong to the models.</summary>
    private static readonly string[] OfLayers =
    [
        "Linear", "Embedding", "LayerNorm", "Dropout", "ScaledDotProductAttention", "Tanh",
        "Pad", "PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "Interpolate",
        "Unfold", "Fold", // im2col, col2im
        "MaxPoolWithIndices", // maxPoolIndices beside maxPool
    ];

    /// <summary>The layers of the models by name, and their functions: F has them, or is made of them.</summary>
    private static IEnumerable<string> Layers() =>
        from type in Assembly.Load("Nanograd.Models").GetExportedTypes()
        where type.Namespace == "Nanograd" && type.IsAbstract && type.IsSealed
        from name in type.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly).Select(m => m.Name)
            .Prepend(type.Name.EndsWith("Module", StringComparison.Ordinal) ? type.Name[..^"Module".Length] : type.Name)
        select name;

    /// <summary>Losses and what they are made of, by their short F# names: <c>nll</c>, <c>huber</c>, <c>normalize</c>.</summary>
    private static IEnumerable<string> Losses()
    {
        string[] longer = ["Of", "With", "Ignoring", "OfDistances"];
        var models = Assembly.Load("Nanograd.Models");
        var functions = new[] { "Loss", "ClassLosses+Loss", "PairLosses+Loss", "CtcLosses+Loss", "Similarities" }
            .SelectMany(name => models.GetType("Nanograd." + name)!.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly))
            .Select(m => m.Name).Where(n => n is not ("reduce" or "tripletMarginWith")).ToHashSet();
        return functions.Where(n => !longer.Any(s => n.EndsWith(s, StringComparison.Ordinal) && functions.Contains(n[..^s.Length])));
    }

    /// <summary>What F calls a loss: <c>NllLoss</c>, or in PyTorch's own way.</summary>
    private static IEnumerable<string> LossNames(string function) => function switch
    {
        "bce" => ["BinaryCrossEntropy"],
        "bceWithLogits" => ["BinaryCrossEntropyWithLogits"],
        "tripletMargin" => ["TripletMarginLoss", "TripletMarginWithDistanceLoss"],
        _ => [function, function + "Loss"],
    };

    [Test]
    public void LossesAreInCSharp()
    {
        var methods = Methods(typeof(F)).Select(m => m.ToUpperInvariant()).ToHashSet();
        Assert.That(Losses().Where(f => !LossNames(f).Any(n => methods.Contains(n.ToUpperInvariant()))), Is.Empty);
        Assert.That(Losses().Count(), Is.GreaterThan(25));
    }

    private static readonly (string[] Modules, Type Facade)[] Places =
    [
        (["Creation", "Elementwise", "Moving", "Lookups", "Reductions", "Special", "Statistics", "Resizing", "Contractions", "Einsum", "Random", "Symbols"], typeof(Tensor)),
        (["Linalg"], typeof(Linalg)),
        (["Derivatives", "Batching", "Transforms", "Loops", "GradientChecks"], typeof(Functional)),
        (["Convolutions", "Poolings"], typeof(F)),
    ];

    private static IEnumerable<string> Functions(string module)
    {
        var core = Assembly.Load("Nanograd.Core");
        var type = core.GetType("Nanograd." + module + "Module") ?? core.GetType("Nanograd." + module) ?? throw new InvalidOperationException($"no module {module}");
        return type.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.DeclaredOnly)
            .Where(m => !m.IsSpecialName && !m.Name.Contains('$', StringComparison.Ordinal))
            .Select(m => m.Name)
            .Distinct();
    }

    private static HashSet<string> Methods(Type facade) =>
        facade.GetMethods(BindingFlags.Public | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly)
            .Where(m => !m.IsSpecialName)
            .Select(m => facade == typeof(F) ? Stem(m.Name) : m.Name)
            .ToHashSet();

    /// <summary>F# reads the number of spatial axes from the options or the weight: F has one function for each number.</summary>
    private static string Stem(string name) =>
        ConvolutionName().IsMatch(name) ? name : AxesInName().Replace(name, "");

    [GeneratedRegex("^Conv[123]d$")]
    private static partial Regex ConvolutionName();

    [GeneratedRegex("[123]d")]
    private static partial Regex AxesInName();

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
                .Concat(place.Facade == typeof(F) ? [.. Functions("Elementwise"), .. Functions("Reductions"), .. Layers().SelectMany(Names), .. OfLayers, .. Losses().SelectMany(LossNames)] : [])
                .Concat(place.Facade == typeof(Functional) ? ["Explain"] : [])
                .Select(n => n.ToUpperInvariant()).ToHashSet()
            from method in Methods(place.Facade)
            where !functions.Contains(method.ToUpperInvariant())
            select $"F# has no {place.Facade.Name}.{method}";
        Assert.That(missing, Is.Empty);
    }

    /// <summary>1 to 3 spatial axes, each.</summary>
    [Test]
    public void ConvolutionsAndPoolingsAreThereForEveryNumberOfAxes()
    {
        var names = typeof(F).GetMethods().Select(m => m.Name).ToHashSet();
        string[] stems = ["Conv", "ConvTranspose", "MaxPool", "AvgPool", "AdaptiveMaxPool", "AdaptiveAvgPool"];
        Assert.That(stems.SelectMany(s => new[] { $"{s}1d", $"{s}2d", $"{s}3d" }).Where(n => !names.Contains(n)), Is.Empty);
    }

    /// <summary>Debug has the same functions; what they report has a type of its own in C#.</summary>
    [Test]
    public void DebugIsTheSame()
    {
        var ofFSharp = Functions("Debug").Where(n => n != "siteOf").Select(n => char.ToUpperInvariant(n[0]) + n[1..]); // sites are in the reports
        Assert.That(Methods(typeof(Debug)), Is.EquivalentTo(ofFSharp));
    }

    /// <summary>A profile tells the same; plans and spans are what its page is drawn from.</summary>
    [TestCase("Profile", typeof(Profile), "Spans", "Plans", "Limits", "Text")]
    [TestCase("KernelProfile", typeof(KernelProfile))]
    [TestCase("ProgramProfile", typeof(ProgramProfile))]
    public void ProfilesTellTheSame(string name, Type facade, params string[] inside)
    {
        static IEnumerable<string> Names(Type type) =>
            type.GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly).Select(p => p.Name);
        Assert.That(Names(facade), Is.EquivalentTo(Names(Assembly.Load("Nanograd.Core").GetType("Nanograd." + name)!).Except(inside)));
    }

    [Test]
    public void KernelsHaveTheSameFamilies() =>
        Assert.That(Enum.GetNames<KernelFamily>(), Is.EqualTo(Assembly.Load("Nanograd.Core").GetType("Nanograd.KernelFamily+Tags")!.GetFields().Select(f => f.Name)));

    [Test]
    public void NamesArePascalCase() =>
        Assert.That(Places.SelectMany(p => Methods(p.Facade)).Where(m => !char.IsAsciiLetterUpper(m[0]) || m.Contains('_')), Is.Empty);
}
