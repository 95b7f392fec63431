namespace Nanograd.CSharp;

/// <summary>What kind of work a kernel is.</summary>
public enum KernelFamily
{
    /// <summary>Matrix products, convolutions, attention.</summary>
    Product,

    /// <summary>Reductions, softmax, norms.</summary>
    Rows,

    /// <summary>Functions of elements.</summary>
    Elementwise,

    /// <summary>Nothing but moving.</summary>
    Copy,

    /// <summary>Lookups, scatters, updates of parts.</summary>
    Indexing,

    /// <summary>Sorting, running sums, overlapping windows.</summary>
    Lines,

    /// <summary>A loop over steps, with kernels of its own.</summary>
    Loop,
}

/// <summary>What a kernel took in a profile. Work and bytes are those of one call.</summary>
/// <param name="Program">The program it belongs to.</param>
/// <param name="Path">Its place there: "3", or "3.0" for the first kernel of the loop that is kernel 3.</param>
/// <param name="Depth">Loops around it.</param>
/// <param name="Name">What it does, with shapes: equal work has equal names.</param>
/// <param name="Inputs">The program's inputs that it reads, by name.</param>
/// <param name="Family">What kind of work it is.</param>
/// <param name="Calls">How often it ran.</param>
/// <param name="Median">Milliseconds of the median call.</param>
/// <param name="Milliseconds">Milliseconds of all calls together.</param>
/// <param name="Operations">Floating-point (or integer) operations: a multiply-add is 2, an exponential about 16.</param>
/// <param name="Bytes">Bytes that it must read and write at least.</param>
/// <param name="Ideal">Milliseconds that one call would take at the limit of the machine.</param>
/// <param name="LimitedBy">What limits it: arithmetic, memory, or cache.</param>
/// <param name="Threads">Threads at work, on average.</param>
/// <param name="GigaOperationsPerSecond">10⁹ operations a second.</param>
/// <param name="GigabytesPerSecond">10⁹ bytes a second.</param>
/// <param name="OfLimit">The part of the machine's limit that was reached: 1 at best.</param>
public sealed record KernelProfile(
    int Program,
    string Path,
    int Depth,
    string Name,
    IReadOnlyList<string> Inputs,
    KernelFamily Family,
    int Calls,
    double Median,
    double Milliseconds,
    long Operations,
    long Bytes,
    double Ideal,
    string LimitedBy,
    double Threads,
    double GigaOperationsPerSecond,
    double GigabytesPerSecond,
    double OfLimit)
{
    internal static KernelProfile Of(Nanograd.KernelProfile k) => new(
        k.Program, k.Path, k.Depth, k.Name, k.Inputs, Enum.Parse<KernelFamily>(k.Family.ToString()), k.Calls, k.Median, k.Milliseconds,
        k.Operations, k.Bytes, k.Ideal, k.LimitedBy, k.Threads, k.GigaOperationsPerSecond, k.GigabytesPerSecond, k.OfLimit);
}

/// <summary>A program in a profile.</summary>
/// <param name="Number">By which kernels name it.</param>
/// <param name="Runs">How often it ran.</param>
/// <param name="Milliseconds">Milliseconds of all runs together.</param>
/// <param name="InputBytes">What its inputs hold.</param>
/// <param name="ArenaBytes">Memory that its temporaries share.</param>
/// <param name="AddedBytes">The most that a run adds to what its inputs hold, as planned before it ran.</param>
public sealed record ProgramProfile(int Number, int Runs, double Milliseconds, long InputBytes, long ArenaBytes, long AddedBytes);

/// <summary>Where the time went while something ran: <see cref="Engine.Profile"/>.</summary>
public sealed class Profile
{
    private readonly Nanograd.Profile _core;

    internal Profile(Nanograd.Profile core) => _core = core;

    /// <summary>From beginning to end.</summary>
    public double Milliseconds => _core.Milliseconds;

    /// <summary>Of which compiling took so many.</summary>
    public double Compiling => _core.Compiling;

    /// <summary>Milliseconds in kernels, those of loops counted once.</summary>
    public double InKernels => _core.InKernels;

    /// <summary>Milliseconds in running programs.</summary>
    public double InPrograms => _core.InPrograms;

    /// <summary>Times that a kernel was shared among threads.</summary>
    public int Forks => _core.Forks;

    /// <summary>Bytes of live values before.</summary>
    public long BytesBefore => _core.BytesBefore;

    /// <summary>Bytes of live values at most meanwhile.</summary>
    public long PeakBytes => _core.PeakBytes;

    /// <summary>What the process had in memory at the end.</summary>
    public long ResidentBytes => _core.ResidentBytes;

    /// <summary>The programs that ran.</summary>
    public IReadOnlyList<ProgramProfile> Programs =>
        [.. _core.Programs.Select(p => new ProgramProfile(p.Number, p.Runs, p.Milliseconds, p.InputBytes, p.ArenaBytes, p.AddedBytes))];

    /// <summary>Every kernel, in the order of programs and their kernels.</summary>
    public IReadOnlyList<KernelProfile> Kernels => [.. _core.Kernels.Select(KernelProfile.Of)];

    /// <summary>Kernels that do the same, together; those that took most first. Loops come with their kernels below them.</summary>
    public IReadOnlyList<KernelProfile> Groups => [.. _core.Groups.Select(KernelProfile.Of)];

    /// <summary>A table of the groups, and of what went elsewhere.</summary>
    public override string ToString() => _core.ToString();

    /// <summary>A page of its own for any browser: what every thread did when, what memory held, and the table.</summary>
    public string ToPage() => Timeline.page(_core);
}
