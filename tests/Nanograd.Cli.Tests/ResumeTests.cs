using System.Diagnostics;

namespace Nanograd.Cli.Tests;

internal sealed class ResumeTests
{
    private sealed class Killed : Exception;

    private Cli _cli = null!;

    [SetUp]
    public void Begin() => _cli = new Cli();

    [TearDown]
    public void End()
    {
        RunFolder.Saved = null;
        _cli.Dispose();
    }

    private string Uninterrupted => (string)_cli.Train("whole", "--dropout", "0.1")["weights_sha256"]!;

    private string Resume(string folder, params string[] more) =>
        (string)Cli.Run(["train", "gpt", "--resume", _cli.In(folder), "--json", .. more]).Json["weights_sha256"]!;

    private void TrainUntil(string folder, Func<string, bool> dies)
    {
        RunFolder.Saved = file =>
        {
            if (dies(file))
            {
                throw new Killed();
            }
        };
        var result = Cli.Run(["train", "gpt", "--data", _cli.Text, "--out", _cli.In(folder), .. Cli.Tiny, "--dropout", "0.1"]);
        RunFolder.Saved = null;
        Assert.That(result.Code, Is.EqualTo(App.Unexpected));
    }

    [TestCase("state.safetensors", 1)]
    [TestCase("tokenizer.json", 1)]
    [TestCase("model.safetensors", 1)]
    [TestCase("state.safetensors", 2)]
    [TestCase("tokenizer.json", 3)]
    public void ARunThatDiesBetweenTwoFilesGoesOnBitForBit(string file, int time)
    {
        var expected = Uninterrupted;
        var count = 0;
        TrainUntil("cut", f => f == file && ++count == time);
        Assert.That(Resume("cut"), Is.EqualTo(expected));
    }

    [Test]
    public void TheStateAloneIsEnough()
    {
        var expected = Uninterrupted;
        TrainUntil("cut", f => f == "model.safetensors");
        Directory.CreateDirectory(_cli.In("alone"));
        File.Copy(Path.Combine(_cli.In("cut"), "state.safetensors"), Path.Combine(_cli.In("alone"), "state.safetensors"));
        Assert.That(Resume("alone"), Is.EqualTo(expected));
    }

    [Test]
    public void ARunWithoutAStateStartsOver()
    {
        var expected = Uninterrupted;
        TrainUntil("cut", f => f == "state.safetensors");
        File.Delete(Path.Combine(_cli.In("cut"), "state.safetensors"));
        Assert.That(Resume("cut"), Is.EqualTo(expected));
    }

    [Test]
    public void AStateOfAnEarlierRunIsNotMistaken()
    {
        var expected = Uninterrupted;
        _cli.Train("used", "--seed", "5");
        var old = File.ReadAllBytes(Path.Combine(_cli.In("used"), "state.safetensors"));
        TrainUntil("used", _ => true);
        File.WriteAllBytes(Path.Combine(_cli.In("used"), "state.safetensors"), old); // killed before the first save
        Assert.That(Resume("used"), Is.EqualTo(expected));
    }

    [Test]
    public void CtrlCFinishesTheStepAndSaves()
    {
        var expected = Uninterrupted;
        using var stop = new CancellationTokenSource();
        RunFolder.Saved = _ => stop.Cancel();
        var result = Cli.Run(stop.Token, ["train", "gpt", "--data", _cli.Text, "--out", _cli.In("cut"), .. Cli.Tiny, "--dropout", "0.1"]);
        RunFolder.Saved = null;
        Assert.That(result.Code, Is.EqualTo(130), result.Error);
        Assert.That(result.Out, Does.Contain("Stopped after step 4 of 12"));
        Assert.That(Resume("cut"), Is.EqualTo(expected));
    }

    [Test]
    public void AFinishedRunHasNothingLeftToDo() => Assert.That(Uninterrupted, Is.EqualTo(Resume("whole")));

    [Test]
    public void StepsMayBeAdded()
    {
        _cli.Train("a");
        var json = Cli.Run("train", "gpt", "--resume", _cli.In("a"), "--steps", "15", "--json").Json;
        Assert.That((long)json["steps"]!, Is.EqualTo(15));
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("a"), "--steps", "3").Sentence, Does.Contain("raised"));
    }

    [Test]
    public void OtherOptionsMayNotChange()
    {
        _cli.Train("a");
        var sentence = Cli.Run("train", "gpt", "--resume", _cli.In("a"), "--lr", "0.5", "--embd", "32", "--heads", "2").Sentence;
        Assert.That(sentence, Does.Contain("--lr 0.5 (it was 0.001)").And.Contain("--embd 32 (it was 16)").And.Not.Contain("--heads"));
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("a"), "--out", _cli.In("b")).Sentence, Does.Contain("--out"));
    }

    [Test]
    public void ChangedDataIsAnError()
    {
        _cli.Train("a");
        File.AppendAllText(_cli.Text, "more");
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("a")).Sentence, Does.Contain("changed"));
        File.Delete(_cli.Text);
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("a")).Sentence, Does.Contain("text.txt"));
    }

    [Test]
    public void FoldersThatHoldNoRunAreErrors()
    {
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("nowhere")).Sentence, Does.Contain("no folder"));
        Directory.CreateDirectory(_cli.In("empty"));
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("empty")).Sentence, Does.Contain("no training run"));
        File.WriteAllText(Path.Combine(_cli.In("empty"), "training.json"), "{}");
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("empty")).Sentence, Does.Contain("training.json"));
        _cli.Train("a");
        var state = Path.Combine(_cli.In("a"), "state.safetensors");
        File.WriteAllBytes(state, File.ReadAllBytes(state)[..5000]);
        Assert.That(Cli.Run("train", "gpt", "--resume", _cli.In("a")).Sentence, Does.Contain("state.safetensors"));
    }

    /// <summary>The real thing: a process, kill -9 at some moment, and resuming until it is done.</summary>
    [Test]
    public void KilledProcessesGoOnBitForBit()
    {
        string[] options = [.. Cli.Tiny, "--dropout", "0.1", "--steps", "60", "--save-every", "3"];
        var expected = (string)_cli.Train("whole", options[Cli.Tiny.Length..])["weights_sha256"]!;
        string[] start = ["train", "gpt", "--data", _cli.Text, "--out", _cli.In("killed"), .. options];
        string[] resume = ["train", "gpt", "--resume", _cli.In("killed")];
        for (var i = 0; i < 3; i++)
        {
            var settings = Path.Combine(_cli.In("killed"), "training.json");
            var begun = File.Exists(settings);
            using var process = Process.Start(new ProcessStartInfo("dotnet", [typeof(App).Assembly.Location, .. begun ? resume : start])
            {
                RedirectStandardOutput = true,
                RedirectStandardError = true,
            })!;
            var reading = process.StandardOutput.ReadToEndAsync();
            var errors = process.StandardError.ReadToEndAsync();
            SpinWait.SpinUntil(() => File.Exists(settings) || process.HasExited, 20_000);
            Thread.Sleep(100 + 170 * i);
            process.Kill();
            process.WaitForExit();
            Task.WaitAll(reading, errors);
            Assert.That(errors.Result, Is.Empty);
        }

        Assert.That(Resume("killed"), Is.EqualTo(expected));
    }
}
