using Nanograd.CSharp;

namespace FacadeTests.Oracles;

/// <summary>Operations of the reference numbers that are layers.</summary>
internal static class OracleLayers
{
    private static readonly Dictionary<string, OracleOperation> Named = new()
    {
        ["linear"] = c => One(c.Loaded(new Linear(c.Param("weight").Shape[1], c.Param("weight").Shape[0], c.HasParam("bias"))).Forward(c["x"])),
        ["layer_norm"] = c =>
        {
            var shape = c.Ints("normalized_shape", c.HasParam("weight") ? [.. c.Param("weight").Shape] : [c["x"].Shape[^1]]);
            return One(c.Loaded(new LayerNorm(shape, c.Float("eps", 1e-5), c.HasParam("weight"), c.HasParam("bias"))).Forward(c["x"]));
        },
        ["pixel_shuffle"] = c => One(new PixelShuffle(c.Int("upscale_factor", 1)).Forward(c["x"])),
        ["pixel_unshuffle"] = c => One(new PixelUnshuffle(c.Int("downscale_factor", 1)).Forward(c["x"])),
        ["channel_shuffle"] = c => One(new ChannelShuffle(c.Int("groups", 1)).Forward(c["x"])),
        ["interpolate"] = Interpolate,
        ["pad"] = c => One(F.Pad(c["x"], c.Ints("pad"), c.Text("mode", "constant"), c.Float("value", 0))),
        ["max_pool1d"] = c => One(new MaxPool1d(Sizes(c), Stride(c), c.Ints("padding", 0), c.Ints("dilation", 1), c.Bool("ceil_mode")).Forward(c["x"])),
        ["max_pool2d"] = c => One(new MaxPool2d(Sizes(c), Stride(c), c.Ints("padding", 0), c.Ints("dilation", 1), c.Bool("ceil_mode")).Forward(c["x"])),
        ["max_pool3d"] = c => One(new MaxPool3d(Sizes(c), Stride(c), c.Ints("padding", 0), c.Ints("dilation", 1), c.Bool("ceil_mode")).Forward(c["x"])),
        ["avg_pool1d"] = c => One(new AvgPool1d(Sizes(c), Stride(c), c.Ints("padding", 0), c.Bool("ceil_mode"), c.Bool("count_include_pad", true)).Forward(c["x"])),
        ["avg_pool2d"] = c => One(new AvgPool2d(Sizes(c), Stride(c), c.Ints("padding", 0), c.Bool("ceil_mode"), c.Bool("count_include_pad", true)).Forward(c["x"])),
        ["avg_pool3d"] = c => One(new AvgPool3d(Sizes(c), Stride(c), c.Ints("padding", 0), c.Bool("ceil_mode"), c.Bool("count_include_pad", true)).Forward(c["x"])),
        ["adaptive_max_pool1d"] = c => One(new AdaptiveMaxPool1d(c.Ints("output_size", 1)).Forward(c["x"])),
        ["adaptive_max_pool2d"] = c => One(new AdaptiveMaxPool2d(c.Ints("output_size", 1)).Forward(c["x"])),
        ["adaptive_max_pool3d"] = c => One(new AdaptiveMaxPool3d(c.Ints("output_size", 1)).Forward(c["x"])),
        ["adaptive_avg_pool1d"] = c => One(new AdaptiveAvgPool1d(c.Ints("output_size", 1)).Forward(c["x"])),
        ["adaptive_avg_pool2d"] = c => One(new AdaptiveAvgPool2d(c.Ints("output_size", 1)).Forward(c["x"])),
        ["adaptive_avg_pool3d"] = c => One(new AdaptiveAvgPool3d(c.Ints("output_size", 1)).Forward(c["x"])),
        ["conv1d"] = c => Convolved(c, (i, o, k) => new Conv1d(i, o, k, c.Ints("stride", 1), Around(c), c.Ints("dilation", 1), Groups(c), c.HasParam("bias"), Mode(c))),
        ["conv2d"] = c => Convolved(c, (i, o, k) => new Conv2d(i, o, k, c.Ints("stride", 1), Around(c), c.Ints("dilation", 1), Groups(c), c.HasParam("bias"), Mode(c))),
        ["conv3d"] = c => Convolved(c, (i, o, k) => new Conv3d(i, o, k, c.Ints("stride", 1), Around(c), c.Ints("dilation", 1), Groups(c), c.HasParam("bias"), Mode(c))),
        ["conv_transpose1d"] = c => Transposed(c, (i, o, k) => new ConvTranspose1d(
            i, o, k, c.Ints("stride", 1), c.Ints("padding", 0), c.Ints("output_padding", 0), Groups(c), c.HasParam("bias"), c.Ints("dilation", 1))),
        ["conv_transpose2d"] = c => Transposed(c, (i, o, k) => new ConvTranspose2d(
            i, o, k, c.Ints("stride", 1), c.Ints("padding", 0), c.Ints("output_padding", 0), Groups(c), c.HasParam("bias"), c.Ints("dilation", 1))),
        ["conv_transpose3d"] = c => Transposed(c, (i, o, k) => new ConvTranspose3d(
            i, o, k, c.Ints("stride", 1), c.Ints("padding", 0), c.Ints("output_padding", 0), Groups(c), c.HasParam("bias"), c.Ints("dilation", 1))),
    };

    private static readonly Dictionary<string, OracleOperation> Norms = new()
    {
        ["batch_norm"] = BatchNorm,
        ["group_norm"] = c => One(c.Loaded(new GroupNorm(c.Int("num_groups", 1), c["x"].Shape[1], c.Float("eps", 1e-5), c.HasParam("weight"))).Forward(c["x"])),
        ["instance_norm"] = c =>
        {
            var (features, eps, affine) = (c["x"].Shape[1], c.Float("eps", 1e-5), c.HasParam("weight"));
            return One(c.Loaded<Module>(c["x"].Rank switch
            {
                3 => new InstanceNorm1d(features, eps, affine: affine),
                4 => new InstanceNorm2d(features, eps, affine: affine),
                _ => new InstanceNorm3d(features, eps, affine: affine),
            }, training: true).Forward(c["x"]));
        },
        ["rms_norm"] = c => One(c.Loaded(new RMSNorm([c["x"].Shape[^1]], c.Float("eps", 1e-6), c.HasParam("weight"))).Forward(c["x"])),
        ["local_response_norm"] = c =>
            One(new LocalResponseNorm(c.Int("size", 1), c.Float("alpha", 1e-4), c.Float("beta", 0.75), c.Float("k", 1)).Forward(c["x"])),
    };

    private static readonly Dictionary<string, OracleOperation> Tables = new()
    {
        ["bilinear"] = c =>
        {
            var weight = c.Param("weight").Shape;
            return One(c.Loaded(new Bilinear(weight[1], weight[2], weight[0], c.HasParam("bias"))).Forward(c["a"], c["b"]));
        },
        ["embedding"] = c =>
            One(c.Loaded(new Embedding(c.Param("weight").Shape[0], c.Param("weight").Shape[1], c.TryInt("padding_idx"))).Forward(c["ids"])),
        ["embedding_bag"] = c =>
        {
            var bag = new EmbeddingBag(
                c.Param("weight").Shape[0], c.Param("weight").Shape[1], mode: c.Text("mode", "mean"), includeLastOffset: c.Bool("include_last_offset"),
                paddingIdx: c.TryInt("padding_idx"));
            return One(c.Loaded(bag).Forward(c["ids"], c.TryInput("offsets"), c.TryInput("per_sample_weights", "weights")));
        },
        ["unfold"] = c => One(new Unfold(c.Ints("kernel_size", 1), c.Ints("dilation", 1), c.Ints("padding", 0), c.Ints("stride", 1)).Forward(c["x"])),
        ["fold"] = c =>
            One(new Fold(c.Ints("output_size", 1), c.Ints("kernel_size", 1), c.Ints("dilation", 1), c.Ints("padding", 0), c.Ints("stride", 1)).Forward(c["x"])),
        ["lp_pool1d"] = c => One(new LPPool1d(c.Float("norm_type", 2), Sizes(c), Stride(c), c.Bool("ceil_mode")).Forward(c["x"])),
        ["lp_pool2d"] = c => One(new LPPool2d(c.Float("norm_type", 2), Sizes(c), Stride(c), c.Bool("ceil_mode")).Forward(c["x"])),
        ["lp_pool3d"] = c => One(new LPPool3d(c.Float("norm_type", 2), Sizes(c), Stride(c), c.Bool("ceil_mode")).Forward(c["x"])),
        ["prelu"] = c => One(c.Loaded(new PReLU(c.Param("weight").Count)).Forward(c["x"])),
    };

    private static (string, Tensor)[] BatchNorm(OracleCase c)
    {
        var (features, eps, momentum, affine) = (c["x"].Shape[1], c.Float("eps", 1e-5), c.TryFloat("momentum"), c.HasParam("weight"));
        ChannelNorm norm = c["x"].Rank switch
        {
            4 => new BatchNorm2d(features, eps, momentum, affine),
            5 => new BatchNorm3d(features, eps, momentum, affine),
            _ => new BatchNorm1d(features, eps, momentum, affine),
        };
        var buffers = new Dictionary<string, Tensor>
        {
            ["running_mean"] = c["running_mean"],
            ["running_var"] = c["running_var"],
            ["num_batches_tracked"] = c.TryInput("num_batches_tracked") ?? Tensor.Zeros([], DType.Int64),
        };
        var output = c.Loaded(norm, c.Bool("training"), buffers).Forward(c["x"]);
        return
        [
            ("output", output), ("new_running_mean", norm.RunningMean!), ("new_running_var", norm.RunningVar!),
            ("new_num_batches_tracked", norm.NumBatchesTracked!),
        ];
    }

    private static (string, Tensor)[] One(Tensor output) => [("output", output)];

    private static Extents Sizes(OracleCase c) => c.Ints("kernel_size", 1);

    private static Extents? Stride(OracleCase c) => c.HasAttribute("stride") ? c.Ints("stride") : default(Extents?);

    private static Padding Around(OracleCase c) => c.Text("padding", "") is { Length: > 0 } word ? word : c.Ints("padding", 0);

    private static int Groups(OracleCase c) => c.Int("groups", 1);

    private static string Mode(OracleCase c) => c.Text("padding_mode", "zeros");

    private static (string, Tensor)[] Convolved(OracleCase c, Func<int, int, int[], Module> make)
    {
        var weight = c.Param("weight").Shape; // [out, in / groups, kernel...]
        return One(c.Loaded(make(weight[1] * Groups(c), weight[0], [.. weight.Skip(2)])).Forward(c["x"]));
    }

    private static (string, Tensor)[] Transposed(OracleCase c, Func<int, int, int[], Module> make)
    {
        var weight = c.Param("weight").Shape; // [in, out / groups, kernel...]
        return One(c.Loaded(make(weight[0], weight[1] * Groups(c), [.. weight.Skip(2)])).Forward(c["x"]));
    }

    private static (string, Tensor)[] Interpolate(OracleCase c)
    {
        var axes = c["x"].Rank - 2;
        int[]? size = c.HasAttribute("size") ? c.Ints("size") : null;
        var sizes = size is [var all] ? [.. Enumerable.Repeat(all, axes)] : size;
        var factors = size is null ? c.TryFloats("scale_factor", axes) : null;
        return One(new Upsample(sizes, factors, c.Text("mode", "nearest"), c.Bool("align_corners")).Forward(c["x"]));
    }

    public static OracleOperation? TryFind(string name) =>
        Named.GetValueOrDefault(name) ?? Norms.GetValueOrDefault(name) ?? Tables.GetValueOrDefault(name);
}
