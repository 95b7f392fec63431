namespace Nanograd.CSharp;

/// <summary>An expression on its way to the processor.</summary>
/// <param name="Path">The result's place in the tree that the function returns; empty for a single tensor.</param>
/// <param name="Kind">Type and shape: <c>f32[32,10]</c>.</param>
/// <param name="Pretty">For readers: names such as softmax, like terms collected.</param>
/// <param name="Latex">The same in LaTeX.</param>
/// <param name="Traced">As the function built it.</param>
/// <param name="Simplified">What the compiler starts from.</param>
public sealed record ExplainedResult(string Path, string Kind, string Pretty, string Latex, string Traced, string Simplified);

/// <summary>
/// What happens to an expression on its way to the processor: the mathematics, the rules that simplified it, the kernels as
/// pseudo-code, where every buffer lives, and how near each kernel comes to the limits of the machine.
/// </summary>
public sealed class Explanation
{
    private readonly Nanograd.Explanation _core;

    internal Explanation(Nanograd.Explanation core) => _core = core;

    /// <summary>The results as expressions, before and after simplification.</summary>
    public IReadOnlyList<ExplainedResult> Results =>
        [.. _core.Results.Select(r => new ExplainedResult(r.Path, r.Kind, r.Pretty, r.Latex, r.Traced, r.Simplified))];

    /// <summary>The rewriting rules that fired, and how often.</summary>
    public IReadOnlyList<(string Rule, int Times)> Rules => [.. _core.Rules.Select(r => (r.Rule, r.Times))];

    /// <summary>All of it as text.</summary>
    public override string ToString() => _core.ToString();

    /// <summary>All of it as HTML with pictures: self-contained, without scripts or links.</summary>
    public string ToHtml() => Html.render(_core);

    /// <summary>The program as a picture in SVG: kernels with their code, and the buffers between them.</summary>
    public string ToSvg() => Show.programSvg(_core);

    /// <summary>The program as Mermaid's flowchart.</summary>
    public string ToMermaid() => Show.programMermaid(_core);
}

public partial class Tensor
{
    /// <summary>What becomes of this tensor's expression: as mathematics, simplified, as kernels. Those are timed, if it has a value.</summary>
    public Explanation Explain() => new(Nanograd.Explain.expressions(Expression));

    /// <summary>The expression behind this tensor as readable algebra, whether or not it has been computed.</summary>
    public string ToAlgebra() => Print.algebra(Expression);

    /// <summary>The expression behind this tensor in LaTeX, without dollar signs.</summary>
    public string ToLatex() => Latex.render(Expression);

    /// <summary>For notebooks: the value as a shaded table, an expression of variables as mathematics. Self-contained HTML.</summary>
    public string ToHtml() => Html.render(IsOpen ? Expression : Ops.literal(Read(), Expression.Shape));

    /// <summary>The expression's graph as a picture in SVG.</summary>
    public string ToSvg() => Show.svg(Expression);

    /// <summary>The expression's graph as Mermaid's flowchart, for Markdown.</summary>
    public string ToMermaid() => Show.mermaid(Expression);
}

public static partial class Functional
{
    /// <summary>What becomes of <c>f(x)</c> when it is compiled; f may be a gradient.</summary>
    /// <example><code>Console.WriteLine(Functional.Explain(Functional.Grad(x => x.Softmax().Square().Sum()), x))</code></example>
    [System.Runtime.CompilerServices.OverloadResolutionPriority(1)]
    public static Explanation Explain(Func<Tensor, Tensor> f, Tensor x) =>
        new(Nanograd.Explain.call(new Trace(x) { CarriesUpdates = true }.Lower(f), Trace.Given([x])[0]));

    /// <summary>The same for a function of trees.</summary>
    public static Explanation Explain<T, U>(Func<T, U> f, T x)
    {
        var leaves = Trees<T>.Leaves(x);
        var trace = new Trace(leaves) { CarriesUpdates = true };
        return new(Nanograd.Explain.call(trace.Lower(f, x, new System.Runtime.CompilerServices.StrongBox<U>()), Trace.Given(leaves)));
    }
}
