using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class DebugTests
{
    private static readonly Tensor X = Tensor.FromArray([1f, 2f]);

    [Test]
    public void ExpressionsAreExplainedAndDrawn()
    {
        var explanation = (X * X).Sum().Explain();
        Assert.That(explanation.Results[0].Kind, Is.EqualTo("f32[]"));
        Assert.That(explanation.ToString(), Is.Not.Empty);
        Assert.That(explanation.ToHtml(), Does.Contain("<svg"));
        Assert.That(explanation.ToSvg(), Does.StartWith("<svg"));
        Assert.That(explanation.ToMermaid(), Does.StartWith("flowchart"));
        var gradient = Functional.Explain(Functional.Grad(x => (x * x).Sum()), X);
        Assert.That(gradient.Results[0].Pretty, Is.EqualTo("2·x"));
        Assert.That(gradient.Rules, Is.Not.Null);
        var both = Functional.Explain(p => (p.Item1 + p.Item2, p.Item1), (X, X));
        Assert.That(both.Results.Select(r => r.Path), Is.EqualTo(new[] { "0", "1" }));
    }

    [Test]
    public void TensorsAreShown()
    {
        var v = Tensor.Variable("v", 2);
        Assert.That((v * v).ToAlgebra(), Is.EqualTo((v * v).ToString()));
        Assert.That(v.Exp().ToSvg(), Does.StartWith("<svg").And.Contain("exp"));
        Assert.That(v.Exp().ToMermaid(), Does.StartWith("flowchart"));
        Assert.That(v.Exp().ToHtml(), Does.Contain("<math"));
        Assert.That(X.ToHtml(), Does.Contain("<table"));
    }

    [Test]
    public void NansAreTracedToTheirLine()
    {
        var report = Debug.Nans(() => (X - 1.5f).Log().Sum());
        Assert.That(report.IsFinite, Is.False);
        Assert.That(report.Turned, Is.EqualTo("NaN"));
        Assert.That(report.Expression, Does.Contain("log"));
        Assert.That(report.Line, Does.Contain("DebugTests.cs"));
        Assert.That(report.ToString(), Does.Contain("turned NaN"));
        Assert.That(report.ToHtml(), Does.Contain("log"));
        Assert.That(Debug.Nans(() => [X, X.Log()]).IsFinite, Is.True);
        Assert.That(Debug.Check(() => X * 2f).ToArray<float>(), Is.EqualTo(new[] { 2f, 4 }));
        Assert.That(() => Debug.Check(() => (X - 3f).Sqrt()), Throws.InstanceOf<Exception>().With.Message.Contains("turned NaN"));
    }

    [Test]
    public void ProfilesTellWhereTheTimeWent()
    {
        var w = Tensor.RandN([48, 32], new Generator(1));
        void Run() => Tensor.Evaluate((w.MatMul(w.T) * 1.5f).Exp());
        Run();
        var profile = Engine.Profile(Run);
        var product = profile.Groups.Single(k => k.Family == KernelFamily.Product);
        Assert.That(product.Name, Does.StartWith("matmul [48,32]·[32,48]"));
        Assert.That(product.Calls, Is.EqualTo(1));
        Assert.That(product.Milliseconds, Is.GreaterThan(0).And.LessThanOrEqualTo(profile.InKernels));
        Assert.That(profile.Programs.Single().Runs, Is.EqualTo(1));
        Assert.That(profile.ToString(), Does.Contain(product.Name).And.Contain("of limit"));
        Assert.That(profile.ToPage(), Does.StartWith("<!DOCTYPE html>").And.Contain("matmul [48,32]"));
        Assert.That(() => Engine.Profile(() => throw new InvalidDataException("stop")), Throws.InstanceOf<InvalidDataException>());
    }

    [Test]
    public void TheCompilerIsLogged()
    {
        var writer = new StringWriter();
        Assert.That(Debug.Log(1, writer, () => (X * 3.25f + X.Exp()).Sum().Item()), Is.EqualTo(3 * 3.25 + Math.E + Math.E * Math.E).Within(1e-5));
        Assert.That(writer.ToString(), Is.Not.Empty);
    }

    [Test]
    public void GradientsFlowToEveryParameter()
    {
        var model = new Sequential(new Linear(2, 3, generator: new Generator(1)), new ReLU(), new Linear(3, 1, generator: new Generator(2)));
        var x = Tensor.FromArray(new float[,] { { 1, 2 }, { 3, -1 } });
        var flow = Debug.GradientFlow(model, () => F.MseLoss(model.Forward(x), Tensor.Ones(2, 1)));
        var loss = F.MseLoss(model.Forward(x), Tensor.Ones(2, 1));
        loss.Backward();
        Assert.That(flow.Loss, Is.EqualTo(loss.Item()).Within(1e-6));
        Assert.That(flow.Rows.Select(r => r.Name), Is.EqualTo(model.NamedParameters().Select(p => p.Name)));
        foreach (var (row, parameter) in flow.Rows.Zip(model.Parameters()))
        {
            Assert.That(row.GradientNorm, Is.EqualTo(parameter.Grad!.Square().Sum().Sqrt().Item()).Within(1e-5));
        }

        Assert.That(flow.ToString(), Does.Contain("0.weight"));
        var dead = Debug.GradientFlow(model, () => (model.Forward(x) * 0f).Sum());
        Assert.That(dead.IsHealthy, Is.False);
        Assert.That(dead.Rows[0].Flags, Is.EqualTo(FlowFlags.Dead));
    }
}
