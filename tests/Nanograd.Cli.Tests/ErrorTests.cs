namespace Nanograd.Cli.Tests;

internal sealed class ErrorTests
{
    private Cli _cli = null!;

    [SetUp]
    public void Begin() => _cli = new Cli();

    [TearDown]
    public void End() => _cli.Dispose();

    private string Refused(params string[] more)
    {
        var sentence = Cli.Run(["train", "gpt", "--data", _cli.Text, "--out", _cli.In("out"), .. Cli.Tiny, .. more]).Sentence;
        Assert.That(Directory.Exists(_cli.In("out")), Is.False, "something was written");
        return sentence;
    }

    [TestCase("--heads 0", "--heads must be at least 1, got 0.")]
    [TestCase("--heads 3", "--embd must be a multiple of --heads, got 16 and 3.")]
    [TestCase("--lr -1", "--lr must be at least 0, got -1.")]
    [TestCase("--lr NaN", "--lr must be a finite number, got 'NaN'.")]
    [TestCase("--lr 1e400", "--lr must be a finite number, got '1e400'.")]
    [TestCase("--steps -5", "--steps must be at least 0, got -5.")]
    [TestCase("--steps 1.5", "--steps must be a whole number, got '1.5'.")]
    [TestCase("--steps 9999999999", "--steps must be at most 2147483647, got 9999999999.")]
    [TestCase("--dropout 1", "--dropout must be less than 1, got 1.")]
    [TestCase("--beta2 1", "--beta2 must be less than 1, got 1.")]
    [TestCase("--batch 0", "--batch must be at least 1, got 0.")]
    [TestCase("--device gpu", "--device must be simd or interpreter, got 'gpu'.")]
    [TestCase("--profile ", "--profile needs a name, and got an empty one.")]
    [TestCase("--profile /", "--profile must name a file, and / is a folder.")]
    [TestCase("--profile /no/such/p.html", "--profile cannot write /no/such/p.html: there is no folder /no/such.")]
    [TestCase("--min-lr 1", "--min-lr must be at most --lr, got 1 and 0.001.")]
    public void BadOptionsAreNamed(string options, string expected) => Assert.That(Refused(options.Split(' ')), Is.EqualTo(expected));

    [Test]
    public void ModelsThatCannotFitAreRefused() =>
        Assert.That(Refused("--embd", "1000000", "--heads", "1"), Does.Contain("memory"));

    [Test]
    public void UnknownOptionsAndCommandsAreWrongUsage()
    {
        var result = Cli.Run("train", "gpt", "--layer", "3");
        Assert.That(result.Code, Is.EqualTo(App.WrongUsage));
        Assert.That(result.Sentence, Does.Contain("--layer").And.Contain("nanograd train gpt --help"));
        Assert.That(Cli.Run("tarin").Sentence, Does.Contain("tarin"));
        Assert.That(Cli.Run("generate").Sentence, Does.Contain("--model"));
        Assert.That(Cli.Run("train", "gpt", "--data").Sentence, Does.Contain("--data"));
    }

    [Test]
    public void BadTextsAreExplained()
    {
        File.WriteAllText(_cli.Text, "");
        Assert.That(Refused(), Does.Contain("empty"));
        File.WriteAllBytes(_cli.Text, [0x61, 0xFF, 0xFE, 0x62]);
        Assert.That(Refused(), Does.Contain("UTF-8"));
        File.WriteAllText(_cli.Text, "too short");
        Assert.That(Refused(), Does.Contain("short"));
        File.Delete(_cli.Text);
        Assert.That(Refused(), Does.Contain("text.txt"));
        Directory.CreateDirectory(_cli.Text);
        Assert.That(Refused(), Does.Contain("text.txt"));
        Directory.Delete(_cli.Text);
    }

    [Test]
    public void ATextMustReachForValidationToo()
    {
        File.WriteAllText(_cli.Text, new string('a', 89)); // nine for validation: one window of eight and its target
        _cli.Train("enough");
        File.WriteAllText(_cli.Text, new string('a', 80));
        Assert.That(Refused(), Does.Contain("short"));
    }

    [Test]
    public void AFileIsNoFolder()
    {
        File.WriteAllText(_cli.In("out"), "");
        Assert.That(Cli.Run(["train", "gpt", "--data", _cli.Text, "--out", _cli.In("out"), .. Cli.Tiny]).Sentence, Does.Contain("must be a folder"));
    }

    [Test]
    public void AFullDiskIsOneSentence()
    {
        if (!File.Exists("/dev/full"))
        {
            Assert.Ignore("no /dev/full here");
        }

        Directory.CreateDirectory(_cli.In("out"));
        File.CreateSymbolicLink(Path.Combine(_cli.In("out"), "training.json.tmp"), "/dev/full");
        var result = Cli.Run(["train", "gpt", "--data", _cli.Text, "--out", _cli.In("out"), .. Cli.Tiny]);
        Assert.That(result.Sentence, Does.Contain("space").IgnoreCase);
        Assert.That(File.Exists(Path.Combine(_cli.In("out"), "training.json")), Is.False);
    }

    [Test]
    public void ForeignAndDamagedModelsAreExplained()
    {
        Assert.That(Cli.Run("generate", "--model", _cli.In("nowhere")).Sentence, Does.Contain("nowhere"));
        Directory.CreateDirectory(_cli.In("empty"));
        Assert.That(Cli.Run("generate", "--model", _cli.In("empty")).Sentence, Does.Contain("config.json"));
        _cli.Train("a");
        var weights = Path.Combine(_cli.In("a"), "model.safetensors");
        var bytes = File.ReadAllBytes(weights);
        File.WriteAllBytes(weights, bytes[..(bytes.Length / 2)]);
        Assert.That(Cli.Run("generate", "--model", _cli.In("a")).Sentence, Does.Contain("model.safetensors"));
        File.WriteAllText(Path.Combine(_cli.In("a"), "config.json"), """{"model_type":"llama"}""");
        Assert.That(Cli.Run("generate", "--model", _cli.In("a")).Sentence, Does.Contain("llama"));
    }
}
