using System.Reflection;
using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class SurfaceTests
{
    private static IEnumerable<Type> Inside(Type type)
    {
        if (type.HasElementType)
        {
            return Inside(type.GetElementType()!);
        }

        return type.IsGenericType ? type.GetGenericArguments().SelectMany(Inside).Append(type) : [type];
    }

    private static IEnumerable<Type> Mentioned(MemberInfo member) => member switch
    {
        MethodInfo m => m.GetParameters().Select(p => p.ParameterType).Append(m.ReturnType),
        ConstructorInfo c => c.GetParameters().Select(p => p.ParameterType),
        PropertyInfo p => [p.PropertyType],
        FieldInfo f => [f.FieldType],
        EventInfo e => [e.EventHandlerType!],
        Type t => [t.BaseType ?? t, .. t.GetInterfaces()],
        _ => [],
    };

    private static bool IsVisible(MemberInfo member) => member switch
    {
        MethodBase m => m.IsPublic || m.IsFamily || m.IsFamilyOrAssembly,
        FieldInfo f => f.IsPublic || f.IsFamily || f.IsFamilyOrAssembly,
        PropertyInfo p => p.GetAccessors(true).Any(IsVisible),
        _ => true,
    };

    /// <summary>Nobody needs to know that there is F# underneath: only .NET's own types and the facade's show.</summary>
    [Test]
    public void NoTypeOfFSharpOrOfTheCoreIsPublic()
    {
        const BindingFlags all = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        var facade = typeof(Tensor).Assembly;
        var foreign =
            from type in facade.GetExportedTypes()
            from member in type.GetMembers(all).Where(IsVisible).Append(type)
            from mentioned in Mentioned(member).SelectMany(Inside)
            let assembly = mentioned.Assembly
            where assembly != facade && !mentioned.IsGenericParameter
            where !(mentioned.Namespace ?? "").StartsWith("System", StringComparison.Ordinal) || (mentioned.FullName ?? "").StartsWith("System.Tuple", StringComparison.Ordinal)
            select $"{type.Name}.{member.Name} mentions {mentioned}";
        Assert.That(foreign.Distinct(), Is.Empty);
    }

    [Test]
    public void EverythingIsInOneNamespace() =>
        Assert.That(typeof(Tensor).Assembly.GetExportedTypes().Select(t => t.Namespace).Distinct(), Is.EqualTo(new[] { "Nanograd.CSharp" }));
}
