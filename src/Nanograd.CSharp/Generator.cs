namespace Nanograd.CSharp;

/// <summary>
/// A source of randomness: a seed and a counter. The n-th draw is a function of the two alone, so that a run continues
/// exactly where it stopped when both are restored. Draws reach programs as inputs: they never cause recompilation.
/// </summary>
public sealed class Generator
{
    private long _counter;

    /// <summary>A generator of its own.</summary>
    public Generator(long seed = 0, long counter = 0)
    {
        Seed = seed;
        _counter = counter;
    }

    /// <summary>The generator that is used where none is given (initialisation, dropout).</summary>
    public static Generator Default { get; } = new();

    /// <summary>The seed.</summary>
    public long Seed { get; private set; }

    /// <summary>How often something was drawn.</summary>
    public long Counter => Interlocked.Read(ref _counter);

    /// <summary>Starts <see cref="Default"/> anew, as <c>torch.manual_seed</c> does.</summary>
    public static void ManualSeed(long seed) => Default.Reset(seed);

    /// <summary>Starts anew from a seed, or continues from a seed and a counter.</summary>
    public void Reset(long seed, long counter = 0)
    {
        Seed = seed;
        Interlocked.Exchange(ref _counter, counter);
    }

    /// <summary>A key for one use, as a value of the core: u32[2].</summary>
    internal static Node NextKey(Generator? generator)
    {
        var g = generator ?? Default;
        var n = (ulong)Interlocked.Increment(ref g._counter);
        var bits = Mix(Mix((ulong)g.Seed) + n * 0x9E3779B97F4A7C15UL);
        return Creation.ofArray(CoreType.U32, [2], new[] { (uint)(bits >> 32), (uint)bits });
    }

    /// <summary>SplitMix64's finaliser: a bijection that spreads every bit (Steele, Lea and Flood 2014).</summary>
    private static ulong Mix(ulong x)
    {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9UL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBUL;
        return x ^ (x >> 31);
    }
}
