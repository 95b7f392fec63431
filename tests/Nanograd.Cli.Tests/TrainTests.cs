namespace Nanograd.Cli.Tests;

internal sealed class TrainTests
{
    private Cli _cli = null!;

    [SetUp]
    public void Begin() => _cli = new Cli();

    [TearDown]
    public void End() => _cli.Dispose();

    [Test]
    public void JsonHasWhatProgramsNeed()
    {
        var json = _cli.Train("a");
        Assert.That((double)json["val_loss"]!, Is.InRange(1.0, 4.0));
        Assert.That((double)json["train_loss"]!, Is.InRange(1.0, 4.0));
        Assert.That((long)json["steps"]!, Is.EqualTo(12));
        Assert.That((double)json["tokens_per_second"]!, Is.GreaterThan(0));
        Assert.That((long)json["peak_bytes"]!, Is.GreaterThan(1 << 20));
        Assert.That((string)json["weights_sha256"]!, Does.Match("^[0-9a-f]{64}$"));
        Assert.That(
            Directory.GetFiles(_cli.In("a")).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "model.safetensors", "config.json", "tokenizer.json", "state.safetensors", "training.json" }));
    }

    [Test]
    public void TheSameSeedGivesTheSameWeights()
    {
        var first = (string)_cli.Train("a", "--dropout", "0.2")["weights_sha256"]!;
        Assert.That((string)_cli.Train("b", "--dropout", "0.2")["weights_sha256"]!, Is.EqualTo(first));
        Assert.That((string)_cli.Train("a", "--dropout", "0.2")["weights_sha256"]!, Is.EqualTo(first), "in a folder that was used before");
        Assert.That((string)_cli.Train("c", "--dropout", "0.2", "--seed", "2")["weights_sha256"]!, Is.Not.EqualTo(first));
    }

    [Test]
    public void TheReportIsForPeopleWithoutJson()
    {
        var result = Cli.Run(["train", "gpt", "--data", _cli.Text, "--out", _cli.In("a"), .. Cli.Tiny]);
        Assert.That(result.Code, Is.Zero, result.Error);
        Assert.That(result.Out, Does.Contain("step 12/12").And.Contain("val_loss").And.Contain("● validation").And.Contain("a sample"));
        Assert.That(result.Out, Does.Not.Contain("\u001b"), "an escape sequence in redirected output");
        Assert.That(result.Error, Is.Empty);
    }

    [Test]
    public void BuiltInStoriesAreJudgedByTheirGrammar()
    {
        var json = Cli.Run(["train", "gpt", "--out", _cli.In("a"), "--json", .. Cli.Tiny, "--steps", "1"]).Json;
        Assert.That((double)json["accepted_share"]!, Is.InRange(0.0, 1.0));
    }

    [Test]
    public void NoStepsAreATrainedModelToo()
    {
        Assert.That((long)_cli.Train("a", "--steps", "0")["steps"]!, Is.Zero);
        Assert.That(Cli.Run("generate", "--model", _cli.In("a"), "--tokens", "3").Code, Is.Zero);
    }

    [Test]
    public void AProfileIsAPageAndChangesNothing()
    {
        var weights = (string)_cli.Train("a", "--steps", "20")["weights_sha256"]!;
        var result = Cli.Run(["train", "gpt", "--data", _cli.Text, "--out", _cli.In("b"), "--json", .. Cli.Tiny, "--steps", "20", "--profile", _cli.In("p.html")]);
        Assert.That((string)result.Json["weights_sha256"]!, Is.EqualTo(weights));
        Assert.That(result.Error, Does.Contain($"steps 11 to 15 went: {_cli.In("p.html")}"));
        Assert.That(File.ReadAllText(_cli.In("p.html")), Does.StartWith("<!DOCTYPE html>").And.Contain("matmul ["));
        Assert.That(_cli.Train("c", "--steps", "3", "--profile", _cli.In("q.html")).ContainsKey("val_loss"));
        Assert.That(File.ReadAllText(_cli.In("q.html")), Does.Contain("matmul ["), "of a run shorter than what is profiled");
    }

    [Test]
    public void TheReferenceEvaluatorTrainsAlike()
    {
        var simd = (double)_cli.Train("a", "--steps", "2")["val_loss"]!;
        Assert.That((double)_cli.Train("b", "--steps", "2", "--device", "interpreter")["val_loss"]!, Is.EqualTo(simd).Within(1e-4));
    }

    [TestCase("--bias")]
    [TestCase("--tied-head")]
    [TestCase("--grad-clip 0")]
    public void OtherModelsTrainToo(string options) =>
        Assert.That((double)_cli.Train("a", options.Split(' '))["val_loss"]!, Is.LessThan(4));

    [Test]
    public void AnyTextWillDo()
    {
        File.WriteAllText(_cli.Text, string.Concat(Enumerable.Repeat("Привет, мир! 😀🎉 naïve ", 30)));
        _cli.Train("a");
        var json = Cli.Run("generate", "--model", _cli.In("a"), "--prompt", "мир 😀", "--tokens", "20", "--json").Json;
        Assert.That((string)json["text"]!, Is.Not.Empty.And.Not.Contain("\uFFFD"));
        Assert.That(Cli.Run("generate", "--model", _cli.In("a"), "--tokens", "3").Code, Is.Zero, "a text of one line");
    }
}
