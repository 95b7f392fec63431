namespace Nanograd.CSharp;

/// <summary>Values in memory of their own.</summary>
internal static class Copies
{
    public static Storage Of(Storage source)
    {
        var copy = Buffers.allocate(source.DType, source.Length);
        unsafe
        {
            var bytes = (long)source.Length * DTypeModule.size(source.DType);
            System.Buffer.MemoryCopy((void*)source.Pointer, (void*)copy.Pointer, bytes, bytes);
        }

        GC.KeepAlive(source);
        return copy;
    }

    public static Node Of(Tensor tensor) => Ops.literal(Of(tensor.Read()), [.. tensor.Shape]);

    /// <summary>Several values, computed together, each in memory that nobody else holds.</summary>
    public static Node[] Of(Node[] expressions)
    {
        var values = Program.evaluate(expressions);
        var seen = new HashSet<Storage>(ReferenceEqualityComparer.Instance);
        return [.. values.Select((v, i) =>
            expressions[i].Op.IsLiteral || !seen.Add(Program.storage(v)) ? Ops.literal(Of(Program.storage(v)), v.Shape) : v)];
    }

    public static Node Scalar(float value) => Creation.ofArray(CoreType.F32, [], new[] { value });

    public static Node Scalar(long value) => Creation.ofArray(CoreType.I64, [], new[] { value });

    public static Node Scalar(int value) => Creation.ofArray(CoreType.I32, [], new[] { value });
}
