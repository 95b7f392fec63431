using System.Reflection;
using System.Text;
using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>docs/torch-parity.md: which names of PyTorch have a twin here, found by reflection.</summary>
internal sealed class TorchParityTests
{
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance;

    private static readonly Dictionary<string, string> Operators = new()
    {
        ["+"] = "op_Addition",
        ["-"] = "op_Subtraction",
        ["*"] = "op_Multiply",
        ["/"] = "op_Division",
    };

    private static readonly Type[] Types = typeof(Tensor).Assembly.GetExportedTypes();

    private static bool IsVisible(MemberInfo member) => member switch
    {
        MethodInfo m => m.IsPublic || m.IsFamily,
        PropertyInfo p => p.GetMethod is { IsPublic: true },
        _ => false,
    };

    /// <summary>Without the number of its type parameters.</summary>
    private static string NameOf(Type type) => type.Name.Split('`')[0];

    private static string Plain(string name) => name[(name.LastIndexOf('.') + 1)..].Replace("_", "").ToUpperInvariant();

    /// <summary>The twin of a name, as users write it, or null.</summary>
    private static string? Twin(TorchSection section, string name)
    {
        if (TorchNames.Renamed.TryGetValue(section.Prefix + name, out var renamed))
        {
            Assert.That(Exists(renamed), $"{section.Prefix}{name} is said to be {renamed}, which does not exist");
            return renamed;
        }

        var plain = Plain(name);
        if (section.Places.Length == 0)
        {
            return Types.FirstOrDefault(t => Plain(NameOf(t)) == plain) is { } type ? NameOf(type) : null;
        }

        return section.Places
            .SelectMany(place => place.GetMembers(All).Where(IsVisible).Where(m => Plain(m.Name) == plain).Select(m => $"{m.DeclaringType!.Name}.{m.Name}").Order(StringComparer.Ordinal))
            .FirstOrDefault();
    }

    private static bool Exists(string twin)
    {
        if (twin.Split(' ') is [var owner, var sign])
        {
            return Types.Where(t => NameOf(t) == owner).SelectMany(t => t.GetMethods()).Any(m => m.Name == Operators[sign]);
        }

        var dot = twin.IndexOf('.');
        return dot < 0
            ? Types.Any(t => NameOf(t) == twin)
            : Types.Where(t => NameOf(t) == twin[..dot]).SelectMany(t => t.GetMembers(All)).Where(IsVisible).Any(m => m.Name == twin[(dot + 1)..]);
    }

    private static (string Text, int Found) Page()
    {
        var body = new StringBuilder();
        var (all, found) = (0, 0);
        foreach (var section in TorchNames.Sections)
        {
            var names = section.Names.Split([' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries);
            var twins = names.Select(n => (Name: n, Twin: Twin(section, n))).ToList();
            var present = twins.Where(t => t.Twin is not null).ToList();
            (all, found) = (all + names.Length, found + present.Count);
            body.Append($"\n## {section.Title}: {present.Count} of {names.Length}\n\n");
            if (present.Count > 0)
            {
                body.AppendJoin(", ", present.Select(t => t.Name == t.Twin ? $"`{t.Twin}`" : $"{t.Name} `{t.Twin}`")).Append(".\n");
            }

            if (present.Count < names.Length)
            {
                body.Append(present.Count > 0 ? "\n" : "").Append("Not here: ").AppendJoin(", ", twins.Where(t => t.Twin is null).Select(t => t.Name)).Append(".\n");
            }
        }

        var head =
            $"""
            # PyTorch's names and their twins in C#

            Written by `TorchParityTests.cs` (NANOGRAD_UPDATE=1), which looks for every twin by reflection: {found} of {all} names. Where only the
            spelling differs (`cross_entropy`, `CrossEntropy`) it is found by itself; what has another name is listed in `TorchNames.cs`. What is
            not here is named, too. Tensors are immutable: what ends with an underscore in PyTorch exists for parameters and buffers alone.

            """;
        return (head + body, found);
    }

    private static string PathOfPage()
    {
        var folder = new DirectoryInfo(TestContext.CurrentContext.TestDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "Nanograd.sln")))
        {
            folder = folder.Parent!;
        }

        return Path.Combine(folder.FullName, "docs", "torch-parity.md");
    }

    [Test]
    public void ThePageIsUpToDate()
    {
        var (text, _) = Page();
        if (Environment.GetEnvironmentVariable("NANOGRAD_UPDATE") == "1")
        {
            File.WriteAllText(PathOfPage(), text);
        }

        Assert.That(File.ReadAllText(PathOfPage()), Is.EqualTo(text), "docs/torch-parity.md is out of date; run the tests with NANOGRAD_UPDATE=1");
    }

    [Test]
    public void AtLeastFourHundredNamesHaveTwins() => Assert.That(Page().Found, Is.GreaterThanOrEqualTo(400));

    [Test]
    public void NoNameIsListedTwice() => Assert.That(
        TorchNames.Sections.SelectMany(s => s.Names.Split([' ', '\n', '\r'], StringSplitOptions.RemoveEmptyEntries).Select(n => s.Prefix + n))
            .GroupBy(n => n).Where(g => g.Count() > 1).Select(g => g.Key),
        Is.Empty);
}
