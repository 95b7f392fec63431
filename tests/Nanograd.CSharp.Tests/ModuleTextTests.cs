using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Modules print as PyTorch's do.</summary>
internal sealed class ModuleTextTests
{
    private static readonly (Module Module, string Text)[] Known =
    [
        (new Linear(2, 32), "Linear(in_features=2, out_features=32, bias=True)"),
        (new Bilinear(2, 3, 4, bias: false), "Bilinear(in1_features=2, in2_features=3, out_features=4, bias=False)"),
        (new Conv2d(1, 32, 3), "Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1))"),
        (new Conv1d(4, 8, 3, stride: 2, padding: 1, dilation: 2, groups: 2, bias: false, paddingMode: "reflect"),
            "Conv1d(4, 8, kernel_size=(3,), stride=(2,), padding=(1,), dilation=(2,), groups=2, bias=False, padding_mode=reflect)"),
        (new Conv2d(3, 8, (3, 5), padding: "same"), "Conv2d(3, 8, kernel_size=(3, 5), stride=(1, 1), padding=same)"),
        (new ConvTranspose2d(16, 8, 4, stride: 2, padding: 1, outputPadding: 1), "ConvTranspose2d(16, 8, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1), output_padding=(1, 1))"),
        (new MaxPool2d(2), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"),
        (new AvgPool2d((2, 3), stride: 2), "AvgPool2d(kernel_size=(2, 3), stride=2, padding=0)"),
        (new AdaptiveAvgPool2d(1), "AdaptiveAvgPool2d(output_size=1)"),
        (new LPPool1d(2, 3), "LPPool1d(norm_type=2.0, kernel_size=3, stride=3, ceil_mode=False)"),
        (new BatchNorm2d(64), "BatchNorm2d(64, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"),
        (new BatchNorm1d(4, momentum: null), "BatchNorm1d(4, eps=1e-05, momentum=None, affine=True, track_running_stats=True)"),
        (new InstanceNorm2d(3), "InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)"),
        (new GroupNorm(2, 8), "GroupNorm(2, 8, eps=1e-05, affine=True)"),
        (new LayerNorm(10), "LayerNorm((10,), eps=1e-05, elementwise_affine=True)"),
        (new RMSNorm([2, 3], eps: 1e-6), "RMSNorm((2, 3), eps=1e-06, elementwise_affine=True)"),
        (new LocalResponseNorm(5), "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=1.0)"),
        (new Embedding(10, 3, paddingIdx: 0), "Embedding(10, 3, padding_idx=0)"),
        (new EmbeddingBag(10, 3, mode: "sum"), "EmbeddingBag(10, 3, mode='sum')"),
        (new Dropout(0.2), "Dropout(p=0.2, inplace=False)"),
        (new ReLU(), "ReLU()"),
        (new ReLU(inplace: true), "ReLU(inplace=True)"),
        (new GELU("tanh"), "GELU(approximate='tanh')"),
        (new ELU(), "ELU(alpha=1.0)"),
        (new LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (new Hardtanh(), "Hardtanh(min_val=-1.0, max_val=1.0)"),
        (new Hardshrink(), "Hardshrink(0.5)"),
        (new Softplus(), "Softplus(beta=1.0, threshold=20.0)"),
        (new PReLU(), "PReLU(num_parameters=1)"),
        (new Softmax(dim: 1), "Softmax(dim=1)"),
        (new LogSoftmax(), "LogSoftmax(dim=None)"),
        (new GLU(), "GLU(dim=-1)"),
        (new Threshold(0.1, 20), "Threshold(threshold=0.1, value=20.0)"),
        (new Flatten(), "Flatten(start_dim=1, end_dim=-1)"),
        (new Unflatten(1, [2, 3]), "Unflatten(dim=1, unflattened_size=(2, 3))"),
        (new PixelShuffle(2), "PixelShuffle(upscale_factor=2)"),
        (new ZeroPad2d(2), "ZeroPad2d((2, 2, 2, 2))"),
        (new ConstantPad1d(2, 3.5), "ConstantPad1d(padding=(2, 2), value=3.5)"),
        (new Upsample(scaleFactor: [2], mode: "bilinear"), "Upsample(scale_factor=2.0, mode='bilinear')"),
        (new Unfold((2, 3)), "Unfold(kernel_size=(2, 3), dilation=1, padding=0, stride=1)"),
        (new Identity(), "Identity()"),
    ];

    private static IEnumerable<TestCaseData> Cases => Known.Select(k => new TestCaseData(k.Module, k.Text).SetName(k.Text));

    [TestCaseSource(nameof(Cases))]
    public void PrintsAsInPyTorch(Module module, string text) => Assert.That(module.ToString(), Is.EqualTo(text));

    [Test]
    public void PartsAreIndented()
    {
        var net = new Sequential(new Linear(2, 4), new Sequential(("act", new ReLU()), ("out", new Linear(4, 1))));
        Assert.That(net.ToString(), Is.EqualTo(
            """
            Sequential(
              (0): Linear(in_features=2, out_features=4, bias=True)
              (1): Sequential(
                (act): ReLU()
                (out): Linear(in_features=4, out_features=1, bias=True)
              )
            )
            """));
    }
}
