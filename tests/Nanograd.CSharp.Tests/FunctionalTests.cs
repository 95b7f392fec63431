using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class FunctionalTests
{
    private static Tensor Of(params float[] values) => Tensor.FromArray(values);

    private static void Is(Tensor found, params float[] wanted) => Assert.That(found.ToArray<float>(), NUnit.Framework.Is.EqualTo(wanted).Within(1e-5));

    private static Tensor Cubes(Tensor x) => (x * x * x).Sum();

    [Test]
    public void ArgumentsOfCompiledFunctionsAreComputedOnce()
    {
        var x = Tensor.RandN([64, 32], new Generator(1));
        var run = Functional.Jit(t => t.Sum());
        var first = run(x).Item();
        Assert.That(run(x).Item(), NUnit.Framework.Is.EqualTo(first));
        var profile = Engine.Profile(() => run(x));
        Assert.That(profile.Programs.Sum(p => p.Runs), NUnit.Framework.Is.EqualTo(1), profile.ToString());
    }

    [Test]
    public void GradientsOfOneTensorOfTwoAndOfTrees()
    {
        Is(Functional.Grad(Cubes)(Of(1, 2)), 3, 12);
        Is(Functional.Grad(x => Functional.Grad(Cubes)(x).Sum())(Of(1, 2)), 6, 12);
        var (dx, dy) = Functional.Grad((x, y) => x * y * y)(2f, 3f);
        Is(dx, 9);
        Is(dy, 12);
        var gradients = Functional.Grad((Tensor[] p) => p[0] * p[1])([2f, 5f]);
        Is(gradients[0], 5);
        Is(gradients[1], 2);
        var (value, gradient) = Functional.ValueAndGrad(p => (p.W * p.X).Sum(), (W: Of(1, 2), X: Of(3, 4)));
        Is(value, 11);
        Is(gradient.W, 3, 4);
        Is(gradient.X, 1, 2);
    }

    [Test]
    public void BothModesOfDerivatives()
    {
        var (value, tangent) = Functional.Jvp(x => x * x, Of(1, 2), Of(1, 10));
        Is(value, 1, 4);
        Is(tangent, 2, 40);
        var product = Functional.Jvp(p => p.Item1 * p.Item2, ((Tensor)2f, (Tensor)3f), ((Tensor)1f, (Tensor)10f));
        Is(product.Tangent, 23);
        Is(Functional.Vjp(x => x * x, Of(1, 2)).Pullback(Of(1, 10)), 2, 40);
        var pulled = Functional.Vjp(p => new[] { p[0] * p[1], p[0] }, new Tensor[] { 2f, 3f });
        Is(pulled.Value[0], 6);
        Is(pulled.Pullback([1f, 10f])[0], 13);
        Is(pulled.Pullback([1f, 10f])[1], 2);
        Is(Functional.Linearize(x => x.Exp(), Tensor.Scalar(0)).Push(3f), 3);
        Is(Functional.Jacobian(x => x * x.Sum())(Of(1, 2)), 4, 1, 2, 5);
        Is(Functional.JacobianForward(x => x * x.Sum())(Of(1, 2)), 4, 1, 2, 5);
        Is(Functional.JacobianReverse(x => x * x.Sum())(Of(1, 2)), 4, 1, 2, 5);
        Is(Functional.Hessian(Cubes)(Of(1, 2)), 6, 0, 0, 12);
        Is(Functional.Hvp(Cubes, Of(1, 2), Of(1, 10)), 6, 120);
        Is(Functional.Hvp(p => p.Item1 * p.Item2, (Tensor.Scalar(2), Tensor.Scalar(3)), (Tensor.Scalar(1), Tensor.Scalar(10))).Item1, 10);
        Is(Functional.Laplacian(Cubes)(Of(1, 2)), 18);
        Is(Functional.Divergence(x => x * x)(Of(1, 2)), 6);
        Is(Functional.Curl(p => Tensor.Stack([-p[1], p[0]]))(Of(3, 4)), 2);
        Is(Functional.Derivative(2, x => x * x * x)(5f), 30);
    }

    [Test]
    public void BatchesOverAxesOfChoice()
    {
        var rows = Tensor.FromArray(new float[,] { { 1, 2 }, { 3, 4 } });
        Is(Functional.Vmap(Functional.Grad(Cubes))(rows), 3, 12, 27, 48);
        Is(Functional.Vmap(x => x.Sum(), inAxes: [1])(rows), 4, 6);
        Is(Functional.Vmap(x => x * 2f, outAxis: 1)(rows), 2, 6, 4, 8);
        Is(Functional.Vmap((x, w) => (x * w).Sum(), inAxes: [0, null])(rows, Of(10, 1)), 12, 34);
        var (sums, products) = Functional.Vmap((Tensor[] p) => (p[0] + p[1], p[0] * p[1]))([Of(1, 2), Of(3, 4)]);
        Is(sums, 4, 6);
        Is(products, 3, 8);
        Assert.That(() => Functional.Vmap((x, y) => x * y)(Of(1, 2), Of(1, 2, 3)), Throws.InstanceOf<ArgumentException>().With.Message.Contains("same extent"));
    }

    [Test]
    public void LoopsCarryTensorsAndTrees()
    {
        var (last, sums) = Functional.Scan((s, x) => (s + x, s + x), 0f, Of(1, 2, 3));
        Is(last, 6);
        Is(sums, 1, 3, 6);
        Is(Functional.ScanReverse((s, x) => (s + x, s + x), 0f, Of(1, 2, 3)).Outputs, 6, 5, 3);
        Is(Functional.ScanCheckpointed(2, (s, x) => (s + x, s + x), 0f, Of(1, 2, 3)).Outputs, 1, 3, 6);
        var fibonacci = Functional.Scan((s, x) => ((s.B, s.A + s.B), s.A), (A: Tensor.Scalar(0), B: Tensor.Scalar(1)), Tensor.Zeros(7));
        Is(fibonacci.Outputs, 0, 1, 1, 2, 3, 5, 8);
        Is(fibonacci.Last.B, 21);
        var (_, pairs) = Functional.Scan((Tensor s, Tensor[] x) => (s + x[0], new[] { s * x[1], x[1] }), Tensor.Scalar(1), [Of(1, 2), Of(3, 4)]);
        Is(pairs[0], 3, 8);
        Is(pairs[1], 3, 4);
        Is(Functional.FoldRows((a, x) => 2f * a + x, 0f, Of(1, 0, 1)), 5);
        Is(Functional.MapRows(x => x - x.Sum(), Tensor.FromArray(new float[,] { { 1, 2 }, { 3, 4 } })), -2, -1, -4, -3);
        Is(Functional.ForLoop(5, (i, x) => x + i.To(DType.Float32), 0f), 10);
        var swapped = Functional.ForLoop(3, (_, p) => (p.Item2, p.Item1), (Tensor.Scalar(1), Tensor.Scalar(2)));
        Is(swapped.Item1, 2);
        Is(Functional.Grad(w => Functional.Scan((s, x) => (s * w + x, s), 0f, Of(1, 1, 1)).Last)(2f), 5); // w^2 + w + 1
        Assert.That(() => Functional.ForLoop(2, (_, x) => x.Unsqueeze(0), 0f), Throws.InstanceOf<ArgumentException>().With.Message.Contains("must stay"));
    }

    [Test]
    public void CheckpointsAndGradientsOfOnesOwn()
    {
        Is(Functional.Grad(x => Functional.Checkpoint(Cubes, x))(Of(1, 2)), 3, 12);
        var (sum, product) = Functional.Checkpoint(p => (p.Item1 + p.Item2, p.Item1 * p.Item2), (Of(1), Of(5)));
        Is(sum, 6);
        Is(product, 5);
        Is(Functional.Grad(x => Functional.CustomGradient("roundThrough", y => y.Round(), (_, c) => c, x).Sum())(Of(1.4f, 2.6f)), 1, 1);
        var halves = Functional.Grad((Tensor[] p) =>
            Functional.CustomGradient("product", q => q[0] * q[1], (q, c) => [c * q[1] / 2f, c * q[0] / 2f], p));
        Is(halves([2f, 3f])[0], 1.5f);
    }

    [Test]
    public void GradientsAreCheckedAgainstDifferences()
    {
        Assert.That(Functional.CheckGradient(x => (x.Sin() * x).Sum(), Of(1, 2)).Error, NUnit.Framework.Is.LessThan(1e-8));
        var wrong = Functional.CheckGradient(
            p => p.A.Sum() + Functional.CustomGradient("wrong", x => x * x, (x, c) => c * x, p.B).Sum(), (A: Of(1), B: Of(0, 3)));
        Assert.That((wrong.Path, wrong.Index[0]), NUnit.Framework.Is.EqualTo(("1", 1)));
        Assert.That(wrong.Numeric, NUnit.Framework.Is.EqualTo(6).Within(1e-6));
        Assert.That(wrong.ToString(), Does.Contain("1[1]: 3"));
    }

    [Test]
    public void CompiledFunctionsOfTrees()
    {
        Is(Functional.Jit(Functional.Grad(Cubes))(Of(1, 2)), 3, 12);
        Is(Functional.Jit((x, y) => x * y)(2f, 3f), 6);
        var sums = Functional.Jit((Tensor[] p) => p.Aggregate((a, b) => a + b));
        Is(sums([1f, 2f]), 3);
        Is(sums([1f, 2f, 3f]), 6);
    }

    [Test]
    public void BackwardFlowsThroughToArgumentsAndWhatIsClosedOver()
    {
        Parameter w = new(Of(2)), v = new(Of(3));
        Functional.Checkpoint(x => x * x * w, (Tensor)v).Sum().Backward(); // v^2 w
        Is(w.Grad!, 9);
        Is(v.Grad!, 12);

        w.Grad = null;
        var slope = Functional.Grad(x => (x * x * w).Sum())(Of(5)); // 2 x w
        slope.Sum().Backward();
        Is(w.Grad!, 10);

        var linear = new Linear(2, 2, generator: new Generator(1));
        var optimizer = new SGD(linear.Parameters(), lr: 0.1);
        var loss = Functional.Checkpoint(h => F.MseLoss(linear.Forward(h), Tensor.Zeros(3, 2)), Tensor.Ones(3, 2));
        var before = loss.Item();
        loss.Backward();
        optimizer.Step();
        Assert.That(F.MseLoss(linear.Forward(Tensor.Ones(3, 2)), Tensor.Zeros(3, 2)).Item(), NUnit.Framework.Is.LessThan(before));
    }

    [Test]
    public void WhatIsCutOffInsideHasNoDerivativeAndWhatIsOutsideHas()
    {
        Is(Functional.Grad(x => (x * x.Detach()).Sum())(Of(3)), 3);
        Is(Functional.Grad(x => x.Detach().Sum())(Of(3)), 0);
        var w = new Parameter(Of(2));
        Is(Functional.Grad(x => (x * (w * w).Detach() * w).Sum())(Of(3)), 8);
        using (new NoGrad())
        {
            Is(Functional.Grad(Cubes)(Of(1, 2)), 3, 12);
            Assert.That(Functional.Vmap(x => x * w)(Tensor.Ones(2, 1)).RequiresGrad, NUnit.Framework.Is.False);
        }

        Assert.That(Functional.Grad(Cubes)(Of(1, 2)).RequiresGrad, NUnit.Framework.Is.False);
        Assert.That(Functional.Vmap(x => x * w)(Tensor.Ones(2, 1)).RequiresGrad, NUnit.Framework.Is.True);
    }

    [Test]
    public void DerivativesAtVariablesPrintAsAlgebra()
    {
        var x = Tensor.Variable("x", 3);
        Assert.That(x.IsOpen, NUnit.Framework.Is.True);
        Assert.That(Functional.Grad(x => (x * x * x).Sum())(x).ToString(), NUnit.Framework.Is.EqualTo("3·x²"));
        Assert.That(Functional.Grad(v => (v * v * v.Sin()).Sum())(x).ToString(), NUnit.Framework.Is.EqualTo("x²·cos x + 2·x·sin x"));
        Assert.That(Functional.Derivative(1, x => x.Sin())(Tensor.Symbol("t")).ToString(), NUnit.Framework.Is.EqualTo("cos t"));
        Assert.That(x.Exp().ToLatex(), Does.Contain("e^"));
        Assert.That(() => x.Sum().Item(), Throws.InstanceOf<Exception>());
    }

    [Test]
    public void OtherTreesAreRefused()
    {
        Assert.That(() => Functional.Grad((List<Tensor> p) => p[0])([1f]), Throws.ArgumentException.With.Message.Contains("value tuple"));
        Assert.That(() => Functional.Grad((Tensor[] p) => p[0])([null!]), Throws.ArgumentException.With.Message.Contains("null at 0"));
    }
}
