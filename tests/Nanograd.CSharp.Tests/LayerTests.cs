using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Modules without state of their own beside parameters: that they do what their functions do, with PyTorch's layout.</summary>
internal sealed class LayerTests
{
    private static readonly Generator Seed = new(7);

    private static float[] Floats(Tensor t) => t.ToArray<float>();

    [Test]
    public void ConvolutionsHavePyTorchsLayoutAndStart()
    {
        var conv = new Conv2d(6, 9, (3, 5), groups: 3, generator: Seed);
        Assert.That(conv.Weight.Shape, Is.EqualTo(new[] { 9, 2, 3, 5 }));
        Assert.That(conv.Bias!.Shape, Is.EqualTo(new[] { 9 }));
        var bound = 1 / Math.Sqrt(2 * 3 * 5);
        Assert.That(Floats(conv.Weight), Is.All.InRange(-bound, bound));
        Assert.That(Floats(conv.Weight).Max(), Is.GreaterThan(0.95 * bound));
        Assert.That(new Conv1d(2, 3, 4, bias: false).NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "weight" }));
        Assert.That(new Conv3d(2, 3, 4).Weight.Shape, Is.EqualTo(new[] { 3, 2, 4, 4, 4 }));
        Assert.That(new ConvTranspose2d(4, 6, 3, groups: 2).Weight.Shape, Is.EqualTo(new[] { 4, 3, 3, 3 }));
        Assert.That(() => new Conv2d(4, 6, 3, groups: 3), Throws.ArgumentException.With.Message.Contains("multiples of groups, got 4, 6 and 3"));
        Assert.That(() => new Conv2d(4, 6, 3, stride: 0), Throws.ArgumentException.With.Message.Contains("stride must be positive"));
        Assert.That(() => new Conv2d(4, 6, 3, stride: 2, padding: "same"), Throws.ArgumentException.With.Message.Contains("strides of 1"));
        Assert.That(() => new Conv2d(4, 6, 3, paddingMode: "mirror"), Throws.ArgumentException.With.Message.Contains("got mirror"));
    }

    [Test]
    public void AConvolutionIsItsFunction()
    {
        var x = Tensor.RandN([2, 4, 7, 6], Seed);
        var conv = new Conv2d(4, 6, 3, stride: 2, padding: (1, 2), dilation: (1, 2), groups: 2, generator: Seed);
        Assert.That(Floats(conv.Forward(x)), Is.EqualTo(Floats(F.Conv2d(x, conv.Weight, conv.Bias, 2, (1, 2), (1, 2), 2))));
        var up = new ConvTranspose2d(4, 2, 3, stride: 2, padding: 1, generator: Seed);
        Assert.That(up.Forward(x).Shape, Is.EqualTo(new[] { 2, 2, 13, 11 }));
        Assert.That(Floats(up.Forward(x, [14, 12])), Is.EqualTo(Floats(F.ConvTranspose2d(x, up.Weight, up.Bias, 2, 1, 1))));
        Assert.That(() => up.Forward(x, [15, 12]), Throws.ArgumentException.With.Message.Contains("13 to 14 elements, not 15"));
        Assert.That(() => new ConvTranspose1d(1, 1, 3, stride: 2, outputPadding: 2), Throws.ArgumentException.With.Message.Contains("outputPadding"));
    }

    [Test]
    public void WhatSurroundsTheInputIsChosen()
    {
        var x = Tensor.RandN([1, 1, 5, 4], Seed);
        foreach (var mode in new[] { "reflect", "replicate", "circular" })
        {
            var conv = new Conv2d(1, 2, (3, 2), padding: (2, 1), paddingMode: mode, generator: Seed);
            Assert.That(Floats(conv.Forward(x)), Is.EqualTo(Floats(F.Conv2d(F.Pad(x, [1, 1, 2, 2], mode), conv.Weight, conv.Bias))));
        }

        var same = new Conv2d(1, 2, (3, 2), padding: "same", dilation: (1, 3), paddingMode: "replicate", generator: Seed);
        Assert.That(same.Forward(x).Shape, Is.EqualTo(new[] { 1, 2, 5, 4 }));
        Assert.That(Floats(same.Forward(x)), Is.EqualTo(Floats(F.Conv2d(F.Pad(x, [1, 2, 1, 1], "replicate"), same.Weight, same.Bias, dilation: (1, 3)))));
    }

    [Test]
    public void PoolingAndPadding()
    {
        var x = Tensor.RandN([2, 3, 7, 6], Seed);
        Assert.That(Floats(new MaxPool2d(3, 2, 1).Forward(x)), Is.EqualTo(Floats(F.MaxPool2d(x, 3, 2, 1))));
        Assert.That(Floats(new AvgPool2d((2, 3), padding: 1, countIncludePad: false).Forward(x)), Is.EqualTo(Floats(F.AvgPool2d(x, (2, 3), null, 1, false, false))));
        Assert.That(new AdaptiveAvgPool2d((1, 2)).Forward(x).Shape, Is.EqualTo(new[] { 2, 3, 1, 2 }));
        Assert.That(new AdaptiveMaxPool1d(3).Forward(x.Reshape(6, 7, 6)).Shape, Is.EqualTo(new[] { 6, 7, 3 }));
        Assert.That(new ZeroPad2d([1, 0, 0, 2]).Forward(x).Shape, Is.EqualTo(new[] { 2, 3, 9, 7 }));
        Assert.That(Floats(new ConstantPad1d(1, 0.5).Forward(Tensor.Zeros(1, 2))), Is.EqualTo(new[] { 0.5f, 0, 0, 0.5f }));
        Assert.That(Floats(new ReflectionPad1d(2).Forward(Tensor.Arange(3, DType.Float32).Reshape(1, 3))), Is.EqualTo(new float[] { 2, 1, 0, 1, 2, 1, 0 }));
        Assert.That(Floats(new CircularPad1d([1, 2]).Forward(Tensor.Arange(3, DType.Float32).Reshape(1, 3))), Is.EqualTo(new float[] { 2, 0, 1, 2, 0, 1 }));
        Assert.That(() => new ReplicationPad2d([1, 2]), Throws.ArgumentException.With.Message.Contains("one number or 4"));
        Assert.That(() => F.Pad(x, [1, 1], "edge"), Throws.ArgumentException.With.Message.Contains("got edge"));
    }

    [Test]
    public void PixelsAndChannels()
    {
        var x = Tensor.Arange(16, DType.Float32).Reshape(1, 4, 2, 2);
        var shuffled = new PixelShuffle(2).Forward(x);
        Assert.That(Floats(shuffled), Is.EqualTo(new float[] { 0, 4, 1, 5, 8, 12, 9, 13, 2, 6, 3, 7, 10, 14, 11, 15 }));
        Assert.That(Floats(new PixelUnshuffle(2).Forward(shuffled)), Is.EqualTo(Floats(x)));
        Assert.That(Floats(new ChannelShuffle(2).Forward(x)).Where((_, i) => i % 4 == 0), Is.EqualTo(new float[] { 0, 8, 4, 12 }));
        Assert.That(() => F.PixelShuffle(x, 3), Throws.ArgumentException.With.Message.Contains("3 x 3"));
        Assert.That(new Flatten().Forward(x).Shape, Is.EqualTo(new[] { 1, 16 }));
        Assert.That(new Unflatten(1, [2, -1]).Forward(x).Shape, Is.EqualTo(new[] { 1, 2, 2, 2, 2 }));
        Assert.That(new Upsample(scaleFactor: [2]).Forward(x).Shape, Is.EqualTo(new[] { 1, 4, 4, 4 }));
        Assert.That(new Upsample([3, 5], mode: "bilinear", alignCorners: true).Forward(x).Shape, Is.EqualTo(new[] { 1, 4, 3, 5 }));
        Assert.That(() => new Upsample(), Throws.ArgumentException.With.Message.Contains("either size or scaleFactor"));
        Assert.That(Floats(new Identity(1, "ignored").Forward(x)), Is.EqualTo(Floats(x)));
    }

    [Test]
    public void ContainersNameTheirModules()
    {
        var list = new ModuleList(new Linear(2, 3), new ReLU()).Append(new Linear(3, 1, bias: false));
        Assert.That(list.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "0.weight", "0.bias", "2.weight" }));
        Assert.That(list.Aggregate(Tensor.Ones(1, 2), (x, module) => module.Forward(x)).Shape, Is.EqualTo(new[] { 1, 1 }));
        var dict = new ModuleDict(("encoder", new Linear(2, 3)), ("head", new Linear(3, 1)));
        Assert.That(dict.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "encoder.weight", "encoder.bias", "head.weight", "head.bias" }));
        dict["head"] = new Identity();
        Assert.That(dict.Keys, Is.EqualTo(new[] { "encoder", "head" }));
        Assert.That(() => dict["tail"], Throws.TypeOf<KeyNotFoundException>().With.Message.Contains("encoder, head"));
        Assert.That(() => dict.Add("a.b", new ReLU()), Throws.ArgumentException);
    }

    [Test]
    public void ASmallConvolutionalNetLearns()
    {
        Generator.ManualSeed(3);
        var model = new Sequential(
            new Conv2d(1, 4, 3, padding: 1), new ReLU(), new MaxPool2d(2), new Conv2d(4, 8, 3), new ReLU(), new AdaptiveAvgPool2d(1), new Flatten(), new Linear(8, 2));
        var optimizer = new AdamW(model.Parameters(), lr: 1e-2);
        var x = Tensor.RandN([16, 1, 8, 8], new Generator(5));
        var y = (x.Mean([1, 2, 3]) > 0).To(DType.Int64);
        double first = 0, last = 0;
        for (var step = 0; step < 60; step++)
        {
            optimizer.ZeroGrad();
            var loss = F.CrossEntropy(model.Forward(x), y);
            loss.Backward();
            optimizer.Step();
            last = loss.Item();
            first = step == 0 ? last : first;
        }

        Assert.That(last, Is.LessThan(0.5 * first));
    }
}
