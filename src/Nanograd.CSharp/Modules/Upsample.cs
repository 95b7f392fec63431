namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>[batch, channels, spatial...] with the spatial axes resized.</summary>
    /// <param name="input">[batch, channels, spatial...].</param>
    /// <param name="size">The extents of the result: one number for all axes, or one for each.</param>
    /// <param name="scaleFactor">Or by how much they grow, likewise.</param>
    /// <param name="mode">nearest, nearest-exact, linear, bilinear, trilinear, bicubic or area.</param>
    /// <param name="alignCorners">Whether the corner elements of both grids lie on each other.</param>
    /// <exception cref="ArgumentException">Both or neither of size and factor, or another mode.</exception>
    public static Tensor Interpolate(Tensor input, int[]? size = null, double[]? scaleFactor = null, string mode = "nearest", bool alignCorners = false)
    {
        CheckResizing("Interpolate", size, scaleFactor);
        var axes = Math.Max(input.Rank - 2, 1);
        if (mode == "area")
        {
            int[] extents = size is not null
                ? ForAll(size, axes)
                : [.. ForAll(scaleFactor!, axes).Select((f, i) => (int)Math.Floor(input.Size(i + 2) * f))];
            return Tensor.Make(n => Poolings.adaptiveAvgPool(extents, n[0]!), input);
        }

        var known = ModeOf("Interpolate", mode);
        return size is not null
            ? input.Interpolate(ForAll(size, axes), known, alignCorners)
            : input.Interpolate(ForAll(scaleFactor!, axes), known, alignCorners);
    }

    internal static void CheckResizing(string what, int[]? size, double[]? scaleFactor)
    {
        if (size is null == scaleFactor is null)
        {
            throw new ArgumentException($"{what}: give either size or scaleFactor.");
        }
    }

    internal static InterpolationMode ModeOf(string what, string mode) => mode switch
    {
        "nearest" or "area" => InterpolationMode.Nearest,
        "nearest-exact" => InterpolationMode.NearestExact,
        "linear" or "bilinear" or "trilinear" => InterpolationMode.Linear,
        "bicubic" => InterpolationMode.Cubic,
        _ => throw new ArgumentException($"{what}: mode must be nearest, nearest-exact, linear, bilinear, trilinear, bicubic or area, got {mode}."),
    };

    private static T[] ForAll<T>(T[] values, int axes) => values.Length == 1 ? [.. Enumerable.Repeat(values[0], axes)] : values;
}

/// <summary>[batch, channels, spatial...] with the spatial axes resized.</summary>
public class Upsample : Module
{
    private readonly int[]? _size;
    private readonly double[]? _factors;
    private readonly string _mode;
    private readonly bool _alignCorners;

    /// <summary>To given extents, or by given factors: one number for all axes, or one for each.</summary>
    /// <param name="size">The extents of the result.</param>
    /// <param name="scaleFactor">By how much they grow.</param>
    /// <param name="mode">nearest, nearest-exact, linear, bilinear, trilinear or bicubic.</param>
    /// <param name="alignCorners">Whether the corner elements of both grids lie on each other.</param>
    /// <exception cref="ArgumentException">Both or neither of size and factor, or another mode.</exception>
    public Upsample(int[]? size = null, double[]? scaleFactor = null, string mode = "nearest", bool alignCorners = false)
    {
        F.CheckResizing(nameof(Upsample), size, scaleFactor);
        F.ModeOf(nameof(Upsample), mode);
        _size = size is null ? null : [.. size];
        _factors = scaleFactor is null ? null : [.. scaleFactor];
        (_mode, _alignCorners) = (mode, alignCorners);
    }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Interpolate(input, _size, _factors, _mode, _alignCorners));

    /// <inheritdoc/>
    protected override string ExtraRepr()
    {
        var by = _size is not null
            ? $"size={(_size.Length == 1 ? _size[0] : Repr(_size))}"
            : $"scale_factor={(_factors!.Length == 1 ? Repr(_factors[0]) : $"({string.Join(", ", _factors.Select(f => Repr(f)))})")}";
        return $"{by}, mode='{_mode}'";
    }
}

/// <summary>[batch, channels, height, width] resized, each pixel the nearest one.</summary>
/// <param name="size">The extents of the result.</param>
/// <param name="scaleFactor">By how much they grow.</param>
public sealed class UpsamplingNearest2d(int[]? size = null, double[]? scaleFactor = null) : Upsample(size, scaleFactor, "nearest");

/// <summary>[batch, channels, height, width] resized linearly, the corners on each other.</summary>
/// <param name="size">The extents of the result.</param>
/// <param name="scaleFactor">By how much they grow.</param>
public sealed class UpsamplingBilinear2d(int[]? size = null, double[]? scaleFactor = null) : Upsample(size, scaleFactor, "bilinear", alignCorners: true);
