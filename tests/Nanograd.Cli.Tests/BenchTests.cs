using System.Text.Json.Nodes;

namespace Nanograd.Cli.Tests;

internal sealed class BenchTests
{
    [Test]
    public void EveryCaseRunsAndIsReported()
    {
        var result = Cli.Run("bench", "--json", "--seconds", "0.01");
        Assert.That(result.Code, Is.Zero, result.Error);
        var lines = result.Out.TrimEnd('\n').Split('\n').Select(l => JsonNode.Parse(l)!.AsObject()).ToArray();
        Assert.That(lines.Select(l => (string)l["case"]!), Is.EqualTo(BenchCase.All.Select(c => c.Name)));
        foreach (var line in lines)
        {
            Assert.That((double)line["ms"]!, Is.GreaterThan(0));
            Assert.That((int)line["runs"]!, Is.GreaterThanOrEqualTo(5));
            Assert.That((double)line["limit_share"]!, Is.GreaterThan(0).And.LessThan(20));
            Assert.That((double)line["limit_copy_gbs"]!, Is.GreaterThan(0.1));
            Assert.That(line.ContainsKey((string)line["limit"]! == "arithmetic" ? "gflops" : "gbs"));
        }
    }

    [Test]
    public void PeopleGetATableOfWhatTheyAskedFor()
    {
        var result = Cli.Run("bench", "--case", "mlp_step,matmul_256", "--seconds", "0.01");
        Assert.That(result.Code, Is.Zero, result.Error);
        var lines = result.Out.TrimEnd('\n').Split('\n');
        Assert.That(lines, Has.Length.EqualTo(5));
        Assert.That(lines[0], Does.StartWith("case"));
        Assert.That(lines[1], Does.StartWith("mlp_step").And.Contain("GFLOP/s").And.Contain("%"));
        Assert.That(lines[2], Does.StartWith("matmul_256"));
        Assert.That(lines[4], Does.StartWith("Limits: ").And.Contain("GB/s copied"));
    }

    [TestCase("--case matmul", "--case: there is no 'matmul'; there are matmul_256, matmul_1024,")]
    [TestCase("--seconds soon", "--seconds must be a finite number, got 'soon'.")]
    [TestCase("--seconds -1", "--seconds must be at least 0, got -1.")]
    public void MistakesAreExplained(string options, string expected) =>
        Assert.That(Cli.Run(["bench", .. options.Split(' ')]).Sentence, Does.StartWith(expected));
}
