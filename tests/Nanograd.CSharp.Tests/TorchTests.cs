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
