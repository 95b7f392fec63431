namespace Nanograd.Cli.Tests;

internal sealed class GenerateTests
{
    private Cli _cli = null!;

    [OneTimeSetUp]
    public void Begin()
    {
        _cli = new Cli();
        _cli.Train("model");
    }

    [OneTimeTearDown]
    public void End() => _cli.Dispose();

    private Result Generate(params string[] more) => Cli.Run(["generate", "--model", _cli.In("model"), .. more]);

    [Test]
    public void TheSameSeedWritesTheSame()
    {
        var first = Generate("--prompt", "the ", "--tokens", "40", "--seed", "3");
        Assert.That(first.Code, Is.Zero, first.Error);
        Assert.That(first.Out, Does.StartWith("the ").And.EndsWith("\n"));
        Assert.That(first.Out.Length, Is.EqualTo("the ".Length + 40 + 1));
        Assert.That(Generate("--prompt", "the ", "--tokens", "40", "--seed", "3").Out, Is.EqualTo(first.Out));
        Assert.That(Generate("--prompt", "the ", "--tokens", "40", "--seed", "4").Out, Is.Not.EqualTo(first.Out));
    }

    [Test]
    public void JsonHasTextTokensAndSpeed()
    {
        var json = Generate("--tokens", "25", "--json", "--greedy").Json;
        Assert.That(((string)json["text"]!).Length, Is.EqualTo(25));
        Assert.That((int)json["tokens"]!, Is.EqualTo(25));
        Assert.That((double)json["tokens_per_second"]!, Is.GreaterThan(0));
        Assert.That((string)Generate("--tokens", "25", "--json", "--top-k", "1", "--seed", "9").Json["text"]!, Is.EqualTo((string)json["text"]!));
    }

    [Test]
    public void UnknownCharactersAreListed()
    {
        var sentence = Generate("--prompt", "the ZEBRA").Sentence;
        foreach (var character in "ZEBRA")
        {
            Assert.That(sentence, Does.Contain(character.ToString()));
        }

        Assert.That(sentence, Does.Not.Contain("'t'"));
    }

    [TestCase("--temperature -1", "--temperature")]
    [TestCase("--temperature x", "--temperature")]
    [TestCase("--top-k 0", "--top-k")]
    [TestCase("--top-p 0", "--top-p")]
    [TestCase("--top-p 1.5", "--top-p")]
    [TestCase("--tokens -1", "--tokens")]
    [TestCase("--seed pi", "--seed")]
    public void BadOptionsAreNamed(string options, string name) =>
        Assert.That(Generate(options.Split(' ')).Sentence, Does.StartWith(name));

    [Test]
    public void NothingAskedNothingWritten() => Assert.That(Generate("--tokens", "0").Out, Is.EqualTo("\n"));

    [Test]
    public void HelpIsWorthReading()
    {
        var help = Cli.Run("--help");
        Assert.That(help.Code, Is.Zero);
        Assert.That(help.Out, Does.Contain("nanograd train gpt").And.Contain("generate").And.Contain("devices").And.Contain("NANOGRAD_THREADS"));
        var train = Cli.Run("train", "gpt", "--help");
        foreach (var entry in TrainSettings.Entries)
        {
            Assert.That(train.Out, Does.Contain(entry.Name).And.Contain(entry.Help.Split(' ')[0]));
        }

        Assert.That(train.Out, Does.Contain("--resume").And.Contain("bit for bit"));
    }

    [Test]
    public void DevicesAreMeasured()
    {
        var json = Cli.Run("devices", "--json").Json;
        Assert.That((double)json["peak_gflops_per_core"]!, Is.GreaterThan(0.1));
        Assert.That((double)json["copy_bytes_per_second"]!, Is.GreaterThan(1e6));
        Assert.That(Cli.Run("devices").Out, Does.Contain("vectors").And.Contain("GFLOP/s").And.Contain("memory").And.Contain("cores"));
    }
}
