using Microsoft.FSharp.Core;
using CoreFlag = Nanograd.FlowFlag;

namespace Nanograd.CSharp;

/// <summary>Where NaN or infinities come from.</summary>
public sealed class NonFiniteReport
{
    private readonly Nanograd.NonFiniteReport _core;

    internal NonFiniteReport(Nanograd.NonFiniteReport core) => _core = core;

    /// <summary>True when every result is finite.</summary>
    public bool IsFinite => _core.IsFinite;

    /// <summary>The first expression that turned NaN or infinite although its operands were not, as algebra; null: none did.</summary>
    public string? Expression => _core.First?.Value.Algebra;

    /// <summary>"NaN" or "infinite"; null: neither.</summary>
    public string? Turned => _core.First?.Value.Turned;

    /// <summary>The line that built that expression, if it is known.</summary>
    public string? Line => _core.First?.Value.Site?.Value.ToString();

    /// <summary>What to do about it, if that is known.</summary>
    public string? Hint => _core.First?.Value.Hint is { Length: > 0 } hint ? hint : null;

    /// <summary>All of it: the expression, its line, its operands' ranges, an element as arithmetic.</summary>
    public override string ToString() => _core.ToString();

    /// <summary>The same as HTML.</summary>
    public string ToHtml() => Html.render(_core);
}

/// <summary>What may be wrong with the gradient of a parameter.</summary>
[Flags]
public enum FlowFlags
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>NaN or infinities in the gradient.</summary>
    NotFinite = 1,

    /// <summary>Zero everywhere: nothing flows here.</summary>
    Dead = 2,

    /// <summary>The mean of |gradient| is below 1e-7, or below a millionth of that of the largest.</summary>
    Vanishing = 4,

    /// <summary>The norm of the gradient is above 1000, or above 100 times that of the weights.</summary>
    Exploding = 8,

    /// <summary>More than nine tenths of the elements are exactly zero.</summary>
    Sparse = 16,
}

/// <summary>How the gradient reaches one parameter.</summary>
/// <param name="Name">The parameter's name in the module: <c>layers.0.weight</c>.</param>
/// <param name="WeightNorm">The norm of the parameter.</param>
/// <param name="GradientNorm">The norm of its gradient.</param>
/// <param name="MeanAbsolute">The mean of |gradient|.</param>
/// <param name="Zeros">Which part of the gradient is exactly zero, 0 to 1.</param>
/// <param name="Flags">What may be wrong.</param>
public sealed record FlowRow(string Name, double WeightNorm, double GradientNorm, double MeanAbsolute, double Zeros, FlowFlags Flags);

/// <summary>How the gradient of a loss flows to every parameter.</summary>
public sealed class GradientFlow
{
    private readonly Nanograd.GradientFlow _core;

    internal GradientFlow(Nanograd.GradientFlow core) => _core = core;

    /// <summary>The loss.</summary>
    public double Loss => _core.Loss;

    /// <summary>True when no parameter has a flag.</summary>
    public bool IsHealthy => _core.IsHealthy;

    /// <summary>One row for each parameter, in the order of the module.</summary>
    public IReadOnlyList<FlowRow> Rows =>
        [.. _core.Rows.Select(r => new FlowRow(r.Path, r.WeightNorm, r.GradientNorm, r.MeanAbsolute, r.Zeros, r.Flags.Aggregate(FlowFlags.None, (all, f) => all | Flag(f))))];

    private static FlowFlags Flag(CoreFlag flag) =>
        flag.IsNotFinite ? FlowFlags.NotFinite
        : flag.IsDead ? FlowFlags.Dead
        : flag.IsVanishing ? FlowFlags.Vanishing
        : flag.IsExploding ? FlowFlags.Exploding
        : FlowFlags.Sparse;

    /// <summary>A table with bars on a logarithmic scale.</summary>
    public override string ToString() => _core.ToString();

    /// <summary>The same as HTML.</summary>
    public string ToHtml() => Html.render(_core);
}

/// <summary>Trouble-shooting: where NaN and infinities come from, and how gradients flow.</summary>
public static class Debug
{
    private static FSharpFunc<Unit, T> Lower<T>(Func<T> f) => FSharpFunc<Unit, T>.FromConverter(_ => f());

    /// <summary>
    /// Runs a function and says which expression first turned NaN or infinite, the ranges of its operands and the line that
    /// built it. Every expression is computed on its own: slow, but nothing is hidden.
    /// </summary>
    /// <example><code>Console.WriteLine(Debug.Nans(() => (x - 1f).Log().Sum()))</code></example>
    public static NonFiniteReport Nans(Func<Tensor> f) => new(Nanograd.Debug.nans(Lower(() => f().Expression)));

    /// <summary>The same where the results are several, such as a loss and a gradient.</summary>
    public static NonFiniteReport Nans(Func<Tensor[]> f) => new(Nanograd.Debug.nans(Lower(() => Trees<Tensor[]>.Leaves(f()).Select(t => t.Expression).ToArray())));

    /// <summary>Runs a function, and raises an exception with the report of <see cref="Nans(Func{Tensor})"/> at the first value in it that is NaN or infinite.</summary>
    /// <exception cref="Exception">A value is NaN or infinite.</exception>
    public static Tensor Check(Func<Tensor> f)
    {
        Tensor? result = null;
        Nanograd.Debug.check(Lower(() => (result = f()).Expression));
        return result!;
    }

    /// <summary>From now on every value is checked, as by <see cref="Check"/>, until <see cref="Disable"/>.</summary>
    public static void Enable() => Nanograd.Debug.enable();

    /// <summary>Ends what <see cref="Enable"/> began.</summary>
    public static void Disable() => Nanograd.Debug.disable();

    /// <summary>
    /// Runs a function and writes what the compiler does meanwhile: level 1 kernels and milliseconds, 2 schedule and memory, 3
    /// expressions, 4 kernels as pseudo-code, 5 what each pass leaves, 6 every rule that fires.
    /// </summary>
    /// <exception cref="ArgumentException">The level is not between 0 and 6.</exception>
    public static T Log<T>(int level, TextWriter writer, Func<T> f) => Nanograd.Debug.log(level, writer, Lower(f));

    /// <summary>
    /// How the gradient of a scalar loss flows to each parameter of a module: norms, the part of zeros, and what looks wrong.
    /// </summary>
    /// <param name="model">Whose parameters.</param>
    /// <param name="loss">Computes the loss with them.</param>
    /// <exception cref="ArgumentException">The loss is no scalar.</exception>
    /// <example><code>Console.WriteLine(Debug.GradientFlow(model, () => F.CrossEntropy(model.Forward(x), y)))</code></example>
    public static GradientFlow GradientFlow(Module model, Func<Tensor> loss)
    {
        var named = model.NamedParameters().Where(p => p.Parameter.DType.IsFloat()).ToArray();
        var values = named.Select(p => p.Parameter.Expression).ToArray();
        var root = loss().Expression;
        var f = FSharpFunc<Node[], Node>.FromConverter(variables =>
            Substitute.apply(values.Zip(variables).ToDictionary(p => p.First.Hash, p => p.Second), [root])[0]);
        var found = Nanograd.Debug.gradientFlow(f, values);
        return new(new(
            found.Loss,
            [.. found.Rows.Select((r, i) => new Nanograd.FlowRow(
                named[i].Name, r.Kind, r.WeightNorm, r.GradientNorm, r.Ratio, r.MeanAbsolute, r.Zeros, r.Flags))]));
    }
}
