using System.CommandLine;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Nanograd.CSharp;
using Spectre.Console;

namespace Nanograd.Cli;

/// <summary><c>nanograd devices</c>: what programs run on here, and how fast that is.</summary>
internal static class DevicesCommand
{
    private const string Summary = "Show what programs run on here: vectors, cores, memory, and measured speeds.";

    private const string Details = """
        Examples:
          nanograd devices
          NANOGRAD_SIMD=256 nanograd devices
        """;

    public static Command Create(Terminal terminal)
    {
        var json = Arguments.Flag("--json", "Print one JSON object.");
        var command = new DocumentedCommand("devices", Summary, Details) { json };
        command.SetAction(result =>
        {
            var limits = Engine.MeasureLimits();
            var facts = new JsonObject
            {
                ["device"] = "simd",
                ["architecture"] = RuntimeInformation.ProcessArchitecture.ToString(),
                ["vector_bits"] = Engine.VectorBits,
                ["widest_vector_bits"] = Engine.WidestVectorBits,
                ["hardware_fma"] = Engine.HasFusedMultiplyAdd,
                ["cores"] = Engine.Cores,
                ["threads"] = Engine.Threads,
                ["memory_bytes"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes,
                ["peak_gflops_per_core"] = Math.Round(Engine.MeasurePeak(), 1),
                ["peak_f64_gflops_per_core"] = Math.Round(Engine.MeasurePeak(DType.Float64), 1),
                ["copy_bytes_per_second"] = Math.Round(limits.CopiedBytesPerSecond),
                ["read_bytes_per_second"] = Math.Round(limits.ReadBytesPerSecond),
            };
            if (result.GetValue(json))
            {
                terminal.Out.WriteLine(facts.ToJsonString());
            }
            else
            {
                Show(terminal.Console(), facts);
            }

            return App.Success;
        });
        return command;
    }

    private static void Show(IAnsiConsole console, JsonObject facts)
    {
        var grid = new Grid().AddColumn(new GridColumn().NoWrap().PadRight(4)).AddColumn();
        var bits = (int)facts["vector_bits"]!;
        var widest = (int)facts["widest_vector_bits"]!;
        var peak = Format.Number(facts["peak_gflops_per_core"]);
        grid.AddRow("device", $"simd ({facts["architecture"]})");
        grid.AddRow("vectors", $"{bits} bits, {bits / 32} floats" + (bits < widest ? $" (the processor has {widest}; NANOGRAD_SIMD narrows them)" : ""));
        grid.AddRow("fused multiply-add", (bool)facts["hardware_fma"]! ? "in hardware" : "not in hardware: slow, and results may differ in their last bits from other machines'");
        grid.AddRow("cores", $"{facts["cores"]}");
        grid.AddRow("threads", $"{facts["threads"]}");
        grid.AddRow("memory", Format.Bytes(Format.Number(facts["memory_bytes"])));
        grid.AddRow("measured peak", FormattableString.Invariant($"{peak:0} GFLOP/s a core in f32 ({peak * (int)facts["threads"]!:0} on all threads), {Format.Number(facts["peak_f64_gflops_per_core"]):0} in f64"));
        grid.AddRow("measured memory", FormattableString.Invariant(
            $"{Format.Number(facts["read_bytes_per_second"]) / 1e9:0.0} GB/s read, {Format.Number(facts["copy_bytes_per_second"]) / 1e9:0.0} GB/s read and written by copying"));
        console.Write(grid);
    }
}
