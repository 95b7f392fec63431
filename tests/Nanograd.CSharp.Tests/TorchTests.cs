using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>PyTorch's short names mean what they stand for.</summary>
internal sealed class TorchTests
{
    private static readonly Tensor A = Tensor.FromArray([1f, 2, 3, 4, 5, 6], 2, 3);
    private static readonly Tensor B = Tensor.FromArray([1f, 0, 2, -1, 0, 3], 3, 2);

    private static float[] Floats(Tensor t) => t.ToArray<float>();

    [Test]
    public void Products()
    {
        var c = Tensor.FromArray([1f, 2, 3, 4], 2, 2);
        Assert.That(Floats(A.Mm(B)), Is.EqualTo(new[] { 5f, 7, 14, 13 }));
        Assert.That(Floats(c.AddMm(A, B, beta: 2, alpha: 0.5)), Is.EqualTo(new[] { 4.5f, 7.5f, 13, 14.5f }));
        Assert.That(Floats(A.Unsqueeze(0).Bmm(B.Unsqueeze(0))), Is.EqualTo(Floats(A.Mm(B))));
        Assert.That(Floats(A.Mv(Tensor.FromArray([1f, 0, -1]))), Is.EqualTo(new[] { -2f, -2 }));
        Assert.That(Assert.Throws<ArgumentException>(() => A.Bmm(B))!.Message, Does.Contain("3 axes"));
    }

    [Test]
    public void Parts()
    {
        Assert.That(Tensor.Arange(7).TensorSplit(3).Select(p => p.Count), Is.EqualTo(new[] { 3, 2, 2 }));
        Assert.That(Floats(Tensor.BlockDiag(Tensor.Ones(1, 2), Tensor.Full([2, 1], 3))), Is.EqualTo(new[] { 1f, 1, 0, 0, 0, 3, 0, 0, 3 }));
        Assert.That(Tensor.ColumnStack(Tensor.Arange(3), Tensor.Arange(3)).Shape, Is.EqualTo(new[] { 3, 2 }));
        Assert.That(Tensor.DStack(A, A).Shape, Is.EqualTo(new[] { 2, 3, 2 }));
        Assert.That(A.MT.Shape, Is.EqualTo(new[] { 3, 2 }));
    }

    [Test]
    public void WhatReadsValues()
    {
        var x = Tensor.FromArray([3f, 0, 3, 1]);
        Assert.That(x.NonZero().ToArray<long>(), Is.EqualTo(new long[] { 0, 2, 3 }));
        var (values, inverse, counts) = x.Unique();
        Assert.That(Floats(values), Is.EqualTo(new[] { 0f, 1, 3 }));
        Assert.That(inverse.ToArray<long>(), Is.EqualTo(new long[] { 2, 0, 2, 1 }));
        Assert.That(counts.ToArray<long>(), Is.EqualTo(new long[] { 1, 1, 2 }));
        x.RequiresGrad = true;
        x.MaskedSelect(x > 0.5f).Square().Sum().Backward();
        Assert.That(Floats(x.Grad!), Is.EqualTo(new[] { 6f, 0, 6, 2 }));
        Assert.That(A.Equal(A.Clone()) && !A.Equal(A + 1) && !A.Equal(B), Is.True);
        Assert.That(x.Detach().IsIn(Tensor.FromArray([1f, 3f])).ToArray<bool>(), Is.EqualTo(new[] { true, false, true, true }));
    }

    [Test]
    public void ShortForms()
    {
        Assert.That(Floats(A.Pow(2)), Is.EqualTo(new[] { 1f, 4, 9, 16, 25, 36 }));
        Assert.That(Floats(A.Clamp(min: 3)), Is.EqualTo(new[] { 3f, 3, 3, 4, 5, 6 }));
        Assert.That(Floats(A.Clamp(max: 2)), Is.EqualTo(new[] { 1f, 2, 2, 2, 2, 2 }));
        Assert.That(A.ArgMax().Item(), Is.EqualTo(5));
        Assert.That(Tensor.FromArray([3f, 4]).Norm().Item(), Is.EqualTo(5));
        Assert.That(A[A > 4].Long().ToArray<long>(), Is.EqualTo(new long[] { 5, 6 }));
        Assert.That(Floats(A[Tensor.FromArray([1L])]), Is.EqualTo(new[] { 4f, 5, 6 }));
        Assert.That(Tensor.Ones(1, 1, 4).Expand(3, -1, -1).Shape, Is.EqualTo(new[] { 3, 1, 4 }));
        Assert.That(Tensor.Ones(4).Expand(2, -1).Shape, Is.EqualTo(new[] { 2, 4 }));
    }

    /// <summary>The usual loop of a generative adversarial net: the second loss goes through a net whose gradients a step has used.</summary>
    [Test]
    public void TwoOptimizersInTurn()
    {
        Generator.ManualSeed(1);
        var (g, d) = (new Linear(2, 3), new Linear(3, 1));
        var (og, od) = (new SGD(g.Parameters(), 0.1), new SGD(d.Parameters(), 0.1));
        for (var i = 0; i < 3; i++)
        {
            var fake = g.Forward(Tensor.RandN(4, 2));
            od.ZeroGrad();
            d.Forward(Tensor.RandN(4, 3)).Mean().Backward();
            d.Forward(fake.Detach()).Square().Mean().Backward();
            od.Step();
            og.ZeroGrad();
            var before = g.Weight.Detach();
            var loss = d.Forward(fake).Square().Mean();
            loss.Backward();
            og.Step();
            Assert.That(g.Weight.Equal(before), Is.False);
            Assert.That(loss.Item(), Is.GreaterThan(0));
        }

        Assert.That(Assert.Throws<InvalidOperationException>(od.Step)!.Message, Does.Contain("ZeroGrad"));
    }

    [Test]
    public void Distances()
    {
        var x = Tensor.FromArray([0f, 0, 3, 4], 2, 2);
        Assert.That(Floats(Tensor.CDist(x, x)), Is.EqualTo(new[] { 0f, 5, 5, 0 }));
        Assert.That(x.Dist(Tensor.ZerosLike(x)).Item(), Is.EqualTo(5));
        Assert.That(Floats(Tensor.CDist(x, x, 1)), Is.EqualTo(new[] { 0f, 7, 7, 0 }));
    }

    [Test]
    public void RandomNumbersInRange()
    {
        var integers = Tensor.RandInt(-2, 3, [1000], new Generator(1)).ToArray<long>();
        Assert.That(integers.Min() == -2 && integers.Max() == 2, Is.True);
        Assert.That(Tensor.RandPerm(50, new Generator(2)).ToArray<long>().Order(), Is.EqualTo(Enumerable.Range(0, 50).Select(i => (long)i)));
        Assert.That(Tensor.RandNLike(A.To(DType.Float64)).DType, Is.EqualTo(DType.Float64));
    }
}
