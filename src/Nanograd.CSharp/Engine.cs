namespace Nanograd.CSharp;

/// <summary>Where programs run.</summary>
public enum Device
{
    /// <summary>Compiled to vector kernels on the processor's cores.</summary>
    Simd,

    /// <summary>The reference evaluator: slow, and right by definition.</summary>
    Interpreter,
}

/// <summary>What was compiled and run so far in this process.</summary>
/// <param name="Programs">Programs compiled.</param>
/// <param name="Hits">Runs that found their program in a cache.</param>
/// <param name="Kernels">Kernels turned into machine code.</param>
public readonly record struct EngineStatistics(long Programs, long Hits, long Kernels);

/// <summary>What the machine can do at best, all threads together.</summary>
/// <param name="OperationsPerSecond">Arithmetic on Float32: a fused multiply-add is two operations. Half of it on Float64.</param>
/// <param name="CopiedBytesPerSecond">Bytes read and written by copying what does not fit in caches.</param>
/// <param name="ReadBytesPerSecond">Bytes read of what does not fit in caches.</param>
public readonly record struct MachineLimits(double OperationsPerSecond, double CopiedBytesPerSecond, double ReadBytesPerSecond);

/// <summary>The machine under the tensors.</summary>
public static class Engine
{
    /// <summary>Where programs are compiled for from now on.</summary>
    public static Device Device
    {
        get => Program.currentDevice().IsSimd ? Device.Simd : Device.Interpreter;
        set => Program.useDevice(value == Device.Simd ? Nanograd.Device.Simd : Nanograd.Device.Interpreter);
    }

    /// <summary>What was compiled and run so far.</summary>
    public static EngineStatistics Statistics
    {
        get
        {
            var s = Program.cacheStats();
            return new(s.Programs, s.Hits, s.Kernels);
        }
    }

    /// <summary>
    /// Runs something that computes values, and tells where its time went, kernel by kernel. Run it once before, or compiling
    /// is most of it.
    /// </summary>
    /// <example><code>File.WriteAllText("profile.html", Engine.Profile(() => Step(batch)).ToPage())</code></example>
    public static Profile Profile(Action body) =>
        new(Program.profile(Microsoft.FSharp.Core.FSharpFunc<Microsoft.FSharp.Core.Unit, bool>.FromConverter(_ =>
        {
            body();
            return true;
        })));

    /// <summary>Bytes that values hold now.</summary>
    public static long LiveBytes => Buffers.usage().Item1;

    /// <summary>The most bytes that values held at once.</summary>
    public static long PeakBytes => Buffers.usage().Item2;

    /// <summary>The width in bits of the vectors that kernels use (NANOGRAD_SIMD narrows them).</summary>
    public static int VectorBits => Simd.Isa.width();

    /// <summary>The width in bits of the widest vectors that the processor has.</summary>
    public static int WidestVectorBits => Simd.Isa.widest;

    /// <summary>Whether the processor has fused multiply-add. Without it, results may differ in their last bits from other machines'.</summary>
    public static bool HasFusedMultiplyAdd => Simd.Isa.hasFma;

    /// <summary>Processors that this process may use.</summary>
    public static int Cores => Simd.Isa.cores;

    /// <summary>Threads that programs run on.</summary>
    public static int Threads => Simd.Threads.Count;

    /// <summary>The most arithmetic that one core does now, in billions of operations a second; measured, which takes some milliseconds.</summary>
    public static double MeasurePeak(DType type = DType.Float32) =>
        Simd.Gemm.peak(type == DType.Float64 ? Simd.Element.F64 : Simd.Element.F32);

    /// <summary>What all threads together can do at best now; measured, which takes about a fifth of a second.</summary>
    public static MachineLimits MeasureLimits()
    {
        var limits = Machine.measure();
        return new(limits.OperationsPerSecond, limits.MemoryBytesPerSecond, limits.ReadBytesPerSecond);
    }
}
