using System.Diagnostics;
using System.Runtime.InteropServices;

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

    /// <summary>How fast memory is copied by all threads together, in bytes read and written a second; measured, which takes about a second.</summary>
    public static unsafe double MeasureCopyBandwidth()
    {
        const long bytes = 256L << 20;
        var workers = Threads;
        var part = bytes / workers / 64 * 64;
        byte* from = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64), to = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 64);
        try
        {
            var best = 0.0;
            NativeMemory.Fill(from, (nuint)bytes, 1);
            NativeMemory.Fill(to, (nuint)bytes, 1);
            for (var round = 0; round < 6; round++)
            {
                var start = Stopwatch.GetTimestamp();
                Parallel.For(0, workers, new ParallelOptions { MaxDegreeOfParallelism = workers }, i => Buffer.MemoryCopy(from + i * part, to + i * part, part, part));
                best = Math.Max(best, 2.0 * part * workers / Stopwatch.GetElapsedTime(start).TotalSeconds);
            }

            return best;
        }
        finally
        {
            NativeMemory.AlignedFree(from);
            NativeMemory.AlignedFree(to);
        }
    }
}
