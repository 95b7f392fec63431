using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class ConvolutionTests
{
    private static Tensor Count(params int[] shape) => Tensor.Arange(shape.Aggregate(1, (a, b) => a * b), DType.Float32).Reshape(shape);

    private static void Is(Tensor found, int[] shape, params float[] wanted)
    {
        Assert.That(found.Shape, NUnit.Framework.Is.EqualTo(shape));
        Assert.That(found.ToArray<float>(), NUnit.Framework.Is.EqualTo(wanted).Within(1e-5));
    }

    [Test]
    public void Convolutions()
    {
        var pair = Tensor.FromArray([1f, 10f], 1, 1, 2);
        Is(F.Conv1d(Count(1, 1, 4), pair), [1, 1, 3], 10, 21, 32);
        Is(F.Conv1d(Count(1, 4), pair, Tensor.FromArray([0.5f], 1), stride: 2), [1, 2], 10.5f, 32.5f);
        Is(F.Conv1d(Count(1, 4), pair, padding: 1, dilation: 2), [1, 4], 10, 20, 31, 2);
        Is(F.Conv1d(Count(1, 4), pair, padding: "same"), [1, 4], 10, 21, 32, 3);
        Is(F.Conv1d(Count(2, 2), Tensor.Ones(2, 1, 2), groups: 2), [2, 1], 1, 5);
        Is(F.Conv2d(Count(1, 1, 3, 3), Tensor.Ones(1, 1, 2, 2)), [1, 1, 2, 2], 8, 12, 20, 24);
        Is(F.Conv2d(Count(1, 1, 3, 3), Tensor.Ones(1, 1, 2, 2), null, (2, 1), (1, 0)), [1, 1, 2, 2], 1, 3, 20, 24);
        Is(F.Conv3d(Count(1, 2, 2, 2), Tensor.Ones(1, 1, 2, 2, 2)), [1, 1, 1, 1], 28);
        Assert.That(() => F.Conv2d(Count(1, 1, 3, 3), Tensor.Ones(1, 1, 2, 2), padding: "full"), Throws.ArgumentException.With.Message.Contains("same, valid"));
        Assert.That(() => F.Conv2d(Count(1, 1, 3, 3), Tensor.Ones(1, 1, 2, 2), stride: (1, 1, 1)), Throws.ArgumentException.With.Message.Contains("1 entry or 2"));
    }

    [Test]
    public void TransposedConvolutions()
    {
        var pair = Tensor.FromArray([1f, 10f], 1, 1, 2);
        Is(F.ConvTranspose1d(Count(1, 1, 3), pair), [1, 1, 4], 0, 1, 12, 20);
        Is(F.ConvTranspose1d(Count(1, 3), pair, stride: 3, outputPadding: 1), [1, 9], 0, 0, 0, 1, 10, 0, 2, 20, 0);
        Is(F.ConvTranspose2d(Count(1, 1, 2), Tensor.Ones(1, 1, 2, 2), Tensor.FromArray([1f], 1)), [1, 2, 3], 1, 2, 2, 1, 2, 2);
        Is(F.ConvTranspose3d(Tensor.Ones(1, 1, 1, 1), Count(1, 1, 1, 2, 2)), [1, 1, 2, 2], 0, 1, 2, 3);
        Assert.That(() => F.ConvTranspose2d(Count(1, 1, 3), pair), Throws.ArgumentException.With.Message.Contains("2 spatial axes"));
    }

    [Test]
    public void Pooling()
    {
        Is(F.MaxPool1d(Count(1, 5), 2), [1, 2], 1, 3);
        Is(F.MaxPool1d(Count(1, 5), 2, ceilMode: true), [1, 3], 1, 3, 4);
        Is(F.MaxPool1d(Count(1, 5), 3, stride: 2, padding: 1), [1, 3], 1, 3, 4);
        Is(F.MaxPool1d(Count(1, 5), 2, 1, dilation: 2), [1, 3], 2, 3, 4);
        Is(F.MaxPool2d(Count(1, 1, 4, 4), 2), [1, 1, 2, 2], 5, 7, 13, 15);
        Is(F.MaxPool2d(Count(1, 2, 4), (2, 1)), [1, 1, 4], 4, 5, 6, 7);
        Is(F.MaxPool3d(Count(1, 2, 2, 2), 2), [1, 1, 1, 1], 7);
        Is(F.AvgPool1d(Count(1, 4), 2), [1, 2], 0.5f, 2.5f);
        Is(F.AvgPool1d(Count(1, 4), 2, padding: 1), [1, 3], 0, 1.5f, 1.5f);
        Is(F.AvgPool1d(Count(1, 4), 2, padding: 1, countIncludePad: false), [1, 3], 0, 1.5f, 3);
        Is(F.AvgPool2d(Count(1, 2, 2), 2), [1, 1, 1], 1.5f);
        Is(F.AvgPool3d(Count(1, 2, 2, 2), 2), [1, 1, 1, 1], 3.5f);
        Is(F.AdaptiveMaxPool1d(Count(1, 5), 2), [1, 2], 2, 4);
        Is(F.AdaptiveMaxPool2d(Count(1, 2, 4), (1, 2)), [1, 1, 2], 5, 7);
        Is(F.AdaptiveMaxPool3d(Count(1, 2, 2, 2), 1), [1, 1, 1, 1], 7);
        Is(F.AdaptiveAvgPool1d(Count(1, 5), 2), [1, 2], 1, 3);
        Is(F.AdaptiveAvgPool2d(Count(1, 2, 2), 1), [1, 1, 1], 1.5f);
        Is(F.AdaptiveAvgPool3d(Count(1, 2, 2, 2), (2, 1, 1)), [1, 2, 1, 1], 1.5f, 5.5f);
    }

    [Test]
    public void GradientsFlowToTheWeights()
    {
        var weight = new Parameter(Tensor.Ones(1, 1, 2));
        F.MaxPool1d(F.Conv1d(Count(1, 4), weight), 3).Sum().Backward(); // the last window: 2 w0 + 3 w1
        Is(weight.Grad!, [1, 1, 2], 2, 3);
    }

    [Test]
    public void PartsByNumbersIndicesAndRanges()
    {
        var x = Count(2, 3, 4);
        Is(x[1, 2, 3], [], 23);
        Is(x[^1, -1], [4], 20, 21, 22, 23);
        Is(x[^1][^1][^2], [], 22);
        Is(x[0, 1..3, 0], [2], 4, 8);
        Is(x[.., 0, ^1], [2], 3, 15);
        Is(x[1, .., ..^3], [3, 1], 12, 16, 20);
        Is(x[..1, 1..1], [1, 0, 4]);
        Is(x.Reshape(2, 3, 2, 2)[1, 0, .., 1], [2], 13, 15);
        Is(Count(4)[1..3], [2], 1, 2);
        Assert.That(() => x[2], Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => x[.., 3], Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("axis 1 of 3"));
        Assert.That(() => x[.., 1..5], Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => x[0, 0, 0, 0], Throws.ArgumentException.With.Message.Contains("at most 3"));
        Is(Functional.Grad(y => y[1..].Sum())(Count(3)), [3], 0, 1, 1);
    }
}
