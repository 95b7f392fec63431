namespace Nanograd.CSharp;

/// <summary>The type of a tensor's elements.</summary>
public enum DType
{
    /// <summary>64-bit float: <see cref="double"/>.</summary>
    Float64,

    /// <summary>32-bit float: <see cref="float"/>; what everything is unless it says otherwise.</summary>
    Float32,

    /// <summary>16-bit float: <see cref="Half"/>. A storage type: arithmetic on it is done in <see cref="Float32"/>.</summary>
    Float16,

    /// <summary>bfloat16. A storage type: arithmetic on it is done in <see cref="Float32"/>.</summary>
    BFloat16,

    /// <summary>64-bit integer: <see cref="long"/>.</summary>
    Int64,

    /// <summary>32-bit integer: <see cref="int"/>.</summary>
    Int32,

    /// <summary>32-bit integer without sign: <see cref="uint"/>.</summary>
    UInt32,

    /// <summary>8-bit integer without sign: <see cref="byte"/>.</summary>
    UInt8,

    /// <summary>8-bit integer: <see cref="sbyte"/>.</summary>
    Int8,

    /// <summary>Truth values: <see cref="bool"/>.</summary>
    Bool,
}

/// <summary>Between the facade's element types, the core's, and .NET's.</summary>
internal static class DTypes
{
    public static CoreType ToCore(this DType type) => type switch
    {
        DType.Float64 => CoreType.F64,
        DType.Float32 => CoreType.F32,
        DType.Float16 => CoreType.F16,
        DType.BFloat16 => CoreType.BF16,
        DType.Int64 => CoreType.I64,
        DType.Int32 => CoreType.I32,
        DType.UInt32 => CoreType.U32,
        DType.UInt8 => CoreType.U8,
        DType.Int8 => CoreType.I8,
        DType.Bool => CoreType.Bool,
        _ => throw new ArgumentOutOfRangeException(nameof(type), type, "This is no element type."),
    };

    // The core's cases stand in the same order.
    public static DType ToFacade(this CoreType type) => (DType)type.Tag;

    /// <summary>The element type that the .NET type <typeparamref name="T"/> holds.</summary>
    public static DType Of<T>() where T : unmanaged
    {
        var type = typeof(T);
        return type == typeof(float) ? DType.Float32
            : type == typeof(double) ? DType.Float64
            : type == typeof(Half) ? DType.Float16
            : type == typeof(long) ? DType.Int64
            : type == typeof(int) ? DType.Int32
            : type == typeof(uint) ? DType.UInt32
            : type == typeof(byte) ? DType.UInt8
            : type == typeof(sbyte) ? DType.Int8
            : type == typeof(bool) ? DType.Bool
            : throw new NotSupportedException($"A tensor cannot hold {type.Name}; use float, double, Half, long, int, uint, byte, sbyte or bool.");
    }

    public static bool IsFloat(this DType type) =>
        type is DType.Float64 or DType.Float32 or DType.Float16 or DType.BFloat16;
}
