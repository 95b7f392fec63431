namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>The input with something around its last axes.</summary>
    /// <param name="input">Any tensor.</param>
    /// <param name="pad">Before and behind, the last axis first: [left, right], or [left, right, top, bottom], and so on. Negative numbers cut.</param>
    /// <param name="mode">constant, reflect, replicate or circular.</param>
    /// <param name="value">The constant.</param>
    /// <exception cref="ArgumentException">Another mode, or more padding than there are elements to reflect.</exception>
    /// <example><code>F.Pad(x, [1, 1, 2, 2], "reflect")</code></example>
    public static Tensor Pad(Tensor input, int[] pad, string mode = "constant", double value = 0) => mode switch
    {
        "constant" => input.Pad(pad, value),
        "reflect" => input.PadReflect(pad),
        "replicate" => input.PadReplicate(pad),
        "circular" => input.PadCircular(pad),
        _ => throw new ArgumentException($"Pad: mode must be constant, reflect, replicate or circular, got {mode}."),
    };
}

/// <summary>What padding modules have in common: something around the last axes.</summary>
public abstract class PaddingModule : Module
{
    private readonly int[] _pad;
    private readonly string _mode;
    private readonly double _value;

    private protected PaddingModule(int axes, int[] pad, string mode, double value = 0)
    {
        if (pad.Length != 1 && pad.Length != 2 * axes)
        {
            throw new ArgumentException($"{GetType().Name}: the padding must be one number or {2 * axes} (before and behind, the last axis first), got {pad.Length}.");
        }

        _pad = pad.Length == 1 ? [.. Enumerable.Repeat(pad[0], 2 * axes)] : [.. pad];
        (_mode, _value) = (mode, value);
    }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Pad(input, _pad, _mode, _value));

    /// <inheritdoc/>
    protected override string ExtraRepr() => GetType().Name.StartsWith("Constant", StringComparison.Ordinal)
        ? $"padding={Repr(_pad)}, value={Repr(_value)}"
        : Repr(_pad);
}

/// <summary>Zeros around the last axis.</summary>
public sealed class ZeroPad1d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ZeroPad1d(int padding) : base(1, [padding], "constant")
    {
    }

    /// <summary>Each side by itself: [left, right].</summary>
    /// <param name="padding">How much.</param>
    public ZeroPad1d(int[] padding) : base(1, padding, "constant")
    {
    }
}

/// <summary>Zeros around the last two axes.</summary>
public sealed class ZeroPad2d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ZeroPad2d(int padding) : base(2, [padding], "constant")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom].</summary>
    /// <param name="padding">How much.</param>
    public ZeroPad2d(int[] padding) : base(2, padding, "constant")
    {
    }
}

/// <summary>Zeros around the last three axes.</summary>
public sealed class ZeroPad3d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ZeroPad3d(int padding) : base(3, [padding], "constant")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom, front, back].</summary>
    /// <param name="padding">How much.</param>
    public ZeroPad3d(int[] padding) : base(3, padding, "constant")
    {
    }
}

/// <summary>One number around the last axis.</summary>
public sealed class ConstantPad1d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    /// <param name="value">What is put there.</param>
    public ConstantPad1d(int padding, double value) : base(1, [padding], "constant", value)
    {
    }

    /// <summary>Each side by itself: [left, right].</summary>
    /// <param name="padding">How much.</param>
    /// <param name="value">What is put there.</param>
    public ConstantPad1d(int[] padding, double value) : base(1, padding, "constant", value)
    {
    }
}

/// <summary>One number around the last two axes.</summary>
public sealed class ConstantPad2d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    /// <param name="value">What is put there.</param>
    public ConstantPad2d(int padding, double value) : base(2, [padding], "constant", value)
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom].</summary>
    /// <param name="padding">How much.</param>
    /// <param name="value">What is put there.</param>
    public ConstantPad2d(int[] padding, double value) : base(2, padding, "constant", value)
    {
    }
}

/// <summary>One number around the last three axes.</summary>
public sealed class ConstantPad3d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    /// <param name="value">What is put there.</param>
    public ConstantPad3d(int padding, double value) : base(3, [padding], "constant", value)
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom, front, back].</summary>
    /// <param name="padding">How much.</param>
    /// <param name="value">What is put there.</param>
    public ConstantPad3d(int[] padding, double value) : base(3, padding, "constant", value)
    {
    }
}

/// <summary>The input mirrored, without repeating its edge, around the last axis.</summary>
public sealed class ReflectionPad1d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ReflectionPad1d(int padding) : base(1, [padding], "reflect")
    {
    }

    /// <summary>Each side by itself: [left, right].</summary>
    /// <param name="padding">How much.</param>
    public ReflectionPad1d(int[] padding) : base(1, padding, "reflect")
    {
    }
}

/// <summary>The input mirrored, without repeating its edge, around the last two axes.</summary>
public sealed class ReflectionPad2d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ReflectionPad2d(int padding) : base(2, [padding], "reflect")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom].</summary>
    /// <param name="padding">How much.</param>
    public ReflectionPad2d(int[] padding) : base(2, padding, "reflect")
    {
    }
}

/// <summary>The input mirrored, without repeating its edge, around the last three axes.</summary>
public sealed class ReflectionPad3d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ReflectionPad3d(int padding) : base(3, [padding], "reflect")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom, front, back].</summary>
    /// <param name="padding">How much.</param>
    public ReflectionPad3d(int[] padding) : base(3, padding, "reflect")
    {
    }
}

/// <summary>The edge repeated around the last axis.</summary>
public sealed class ReplicationPad1d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ReplicationPad1d(int padding) : base(1, [padding], "replicate")
    {
    }

    /// <summary>Each side by itself: [left, right].</summary>
    /// <param name="padding">How much.</param>
    public ReplicationPad1d(int[] padding) : base(1, padding, "replicate")
    {
    }
}

/// <summary>The edge repeated around the last two axes.</summary>
public sealed class ReplicationPad2d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ReplicationPad2d(int padding) : base(2, [padding], "replicate")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom].</summary>
    /// <param name="padding">How much.</param>
    public ReplicationPad2d(int[] padding) : base(2, padding, "replicate")
    {
    }
}

/// <summary>The edge repeated around the last three axes.</summary>
public sealed class ReplicationPad3d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public ReplicationPad3d(int padding) : base(3, [padding], "replicate")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom, front, back].</summary>
    /// <param name="padding">How much.</param>
    public ReplicationPad3d(int[] padding) : base(3, padding, "replicate")
    {
    }
}

/// <summary>The other end of the input around the last axis.</summary>
public sealed class CircularPad1d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public CircularPad1d(int padding) : base(1, [padding], "circular")
    {
    }

    /// <summary>Each side by itself: [left, right].</summary>
    /// <param name="padding">How much.</param>
    public CircularPad1d(int[] padding) : base(1, padding, "circular")
    {
    }
}

/// <summary>The other end of the input around the last two axes.</summary>
public sealed class CircularPad2d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public CircularPad2d(int padding) : base(2, [padding], "circular")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom].</summary>
    /// <param name="padding">How much.</param>
    public CircularPad2d(int[] padding) : base(2, padding, "circular")
    {
    }
}

/// <summary>The other end of the input around the last three axes.</summary>
public sealed class CircularPad3d : PaddingModule
{
    /// <summary>The same on all sides.</summary>
    /// <param name="padding">How much.</param>
    public CircularPad3d(int padding) : base(3, [padding], "circular")
    {
    }

    /// <summary>Each side by itself: [left, right, top, bottom, front, back].</summary>
    /// <param name="padding">How much.</param>
    public CircularPad3d(int[] padding) : base(3, padding, "circular")
    {
    }
}
