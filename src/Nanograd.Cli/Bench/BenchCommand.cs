using System.CommandLine;
using System.Diagnostics;
using System.Text.Json.Nodes;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary><c>nanograd bench</c>: how fast this machine runs what programs do most, beside what it could do at best.</summary>
internal static class BenchCommand
{
    private const string DefaultSeconds = "0.8";
    private const int LeastRuns = 5;

    private const string Summary = "Time a few pieces of work, beside the limits of this machine.";

    private static readonly string Details = $"""
        Times are medians. The limits are measured just before each piece of work: fused multiply-adds in registers, memory
        copied, memory read. Work that fits into a cache can exceed those of memory. Against PyTorch, with many more cases:
        dotnet run -c Release --project bench -- vs-torch

        Cases: {string.Join(", ", BenchCase.All.Select(c => c.Name))}

        Examples:
          nanograd bench
          nanograd bench --case matmul_1024,gpt_step --seconds 5
          NANOGRAD_THREADS=1 nanograd bench --json
        """;

    public static Command Create(Terminal terminal)
    {
        var names = Arguments.Text("--case", "NAME[,NAME]", "Only these.", "all");
        var seconds = Arguments.Text("--seconds", "S", "How long each is run.", DefaultSeconds);
        var json = Arguments.Flag("--json", "Print one JSON object a line, for each case.");
        var command = new DocumentedCommand("bench", Summary, Details) { names, seconds, json };
        command.SetAction(result =>
        {
            var cases = Chosen(result.GetValue(names));
            var budget = Arguments.Number("--seconds", result.GetValue(seconds) ?? DefaultSeconds, 0, 3600);
            if (result.GetValue(json))
            {
                foreach (var c in cases)
                {
                    terminal.Out.WriteLine(Json(Measurement.Of(c, budget)).ToJsonString());
                    terminal.Out.Flush();
                }
            }
            else
            {
                Show(terminal.Out, cases, budget);
            }

            return App.Success;
        });
        return command;
    }

    private static IReadOnlyList<BenchCase> Chosen(string? names) => names is null ? BenchCase.All :
    [
        .. names.Split(',').Select(name => BenchCase.All.FirstOrDefault(c => c.Name == name)
            ?? throw new UserException($"--case: there is no '{name}'; there are {string.Join(", ", BenchCase.All.Select(c => c.Name))}.")),
    ];

    private static void Show(TextWriter output, IReadOnlyList<BenchCase> cases, double budget)
    {
        Line("case", "ms", "rate", "of limit", "work");
        var limits = new List<MachineLimits>();
        foreach (var c in cases)
        {
            var m = Measurement.Of(c, budget);
            limits.Add(m.Limits);
            Line(c.Name, FormattableString.Invariant($"{m.Seconds * 1e3:0.000}"), FormattableString.Invariant($"{m.Rate / 1e9:0.0} {(c.Bound == Bound.Arithmetic ? "GFLOP/s" : "GB/s   ")}"), FormattableString.Invariant($"{100 * m.Share:0}%"), c.Work);
            output.Flush();
        }

        double Giga(Func<MachineLimits, double> of) => Measurement.Median(limits.Select(of)) / 1e9;
        output.WriteLine();
        output.WriteLine(FormattableString.Invariant(
            $"Limits: {Giga(l => l.OperationsPerSecond):0} GFLOP/s, {Giga(l => l.CopiedBytesPerSecond):0.0} GB/s copied, {Giga(l => l.ReadBytesPerSecond):0.0} GB/s read. {Engine.Threads} threads, vectors of {Engine.VectorBits} bits."));

        void Line(string name, string ms, string rate, string share, string work) =>
            output.WriteLine($"{name,-12}{ms,10}{rate,17}{share,11}   {work}");
    }

    private static JsonObject Json(Measurement m) => new()
    {
        ["case"] = m.Case.Name,
        ["work"] = m.Case.Work,
        ["ms"] = Math.Round(m.Seconds * 1e3, 5),
        ["runs"] = m.Runs,
        [m.Case.Bound == Bound.Arithmetic ? "gflops" : "gbs"] = Math.Round(m.Rate / 1e9, 3),
        ["limit"] = m.Case.Bound.ToString().ToLowerInvariant(),
        ["limit_share"] = Math.Round(m.Share, 4),
        ["limit_gflops"] = Math.Round(m.Limits.OperationsPerSecond / 1e9, 1),
        ["limit_copy_gbs"] = Math.Round(m.Limits.CopiedBytesPerSecond / 1e9, 1),
        ["limit_read_gbs"] = Math.Round(m.Limits.ReadBytesPerSecond / 1e9, 1),
        ["threads"] = Engine.Threads,
        ["vector_bits"] = Engine.VectorBits,
    };

    /// <summary>The median run of a case, and what the machine could do just before.</summary>
    private sealed record Measurement(BenchCase Case, double Seconds, int Runs, MachineLimits Limits)
    {
        public double Rate => Case.Amount / Seconds;

        public double Share => Rate / Case.Bound switch
        {
            Bound.Arithmetic => Limits.OperationsPerSecond,
            Bound.Copying => Limits.CopiedBytesPerSecond,
            Bound.Reading => Limits.ReadBytesPerSecond,
            _ => throw new InvalidOperationException($"no limit for {Case.Bound}"),
        };

        /// <summary>A quarter of the time warms up; at least five runs of each.</summary>
        public static Measurement Of(BenchCase c, double budget)
        {
            var run = c.Prepare();
            var limits = Engine.MeasureLimits();
            Repeat(budget / 4, run);
            var times = Repeat(budget, run);
            return new(c, Median(times), times.Count, limits);
        }

        public static double Median(IEnumerable<double> values)
        {
            var sorted = values.Order().ToArray();
            return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
        }

        private static List<double> Repeat(double budget, Action run)
        {
            var (times, watch) = (new List<double>(), Stopwatch.StartNew());
            while (times.Count < LeastRuns || watch.Elapsed.TotalSeconds < budget)
            {
                var start = Stopwatch.GetTimestamp();
                run();
                times.Add(Stopwatch.GetElapsedTime(start).TotalSeconds);
            }

            return times;
        }
    }
}
