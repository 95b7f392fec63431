using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Nanograd.CSharp;

namespace Nanograd.Cli;

/// <summary>One training run from its first (or next) step to its report.</summary>
internal sealed class TrainingRun
{
    private const int EstimateBatches = 20;
    private const int TrainLossWindow = 100;
    private const int SettlingSteps = 10;
    private const int ProfiledSteps = 5;
    private const int SampleTokens = 300;
    private const int JudgedTokens = 2000;

    private readonly TrainSettings _settings;
    private readonly Corpus _corpus;
    private readonly RunFolder _folder;
    private readonly Reporter _reporter;
    private readonly Interrupt _interrupt;
    private readonly Gpt _model;
    private readonly AdamW _optimizer;
    private readonly LossHistory _history;
    private readonly string? _page;
    private readonly List<double> _stepSeconds = [];
    private (long Steps, double Seconds) _timed;
    private long _step;
    private bool _saved;
    private string? _profiled;

    /// <param name="settings">What to train.</param>
    /// <param name="corpus">On what.</param>
    /// <param name="folder">Where to write.</param>
    /// <param name="state">Where to go on; null: from the first step.</param>
    /// <param name="reporter">Whom to tell.</param>
    /// <param name="interrupt">Who may stop it.</param>
    /// <param name="page">Where to write a profile of some steps; null: nowhere.</param>
    public TrainingRun(TrainSettings settings, Corpus corpus, RunFolder folder, TrainingState? state, Reporter reporter, Interrupt interrupt, string? page = null)
    {
        (_settings, _corpus, _folder, _reporter, _interrupt, _page) = (settings, corpus, folder, reporter, interrupt, page);
        Engine.Device = settings.Device;
        Generator.ManualSeed(settings.Seed);
        _model = new Gpt(
            corpus.Tokenizer.VocabularySize, settings.Context, settings.Layers, settings.Heads, settings.Embd, settings.Dropout, settings.Bias, settings.TiedHead);
        // As in nanoGPT: matrices decay, biases and norms do not.
        var matrices = _model.Parameters().Where(p => p.Rank >= 2).ToList();
        var vectors = _model.Parameters().Where(p => p.Rank < 2).ToList();
        _optimizer = new AdamW(
            [new ParameterGroup(matrices, weightDecay: settings.WeightDecay), new ParameterGroup(vectors, weightDecay: 0)],
            settings.Lr, (settings.Beta1, settings.Beta2));
        _history = new LossHistory(state is not null && state.Metadata.TryGetValue("history", out var text) ? text : "");
        if (state is not null)
        {
            Restore(state);
        }
    }

    private void Restore(TrainingState state)
    {
        try
        {
            _model.LoadStateDict(state.Model);
            _optimizer.LoadStateDict(state.Optimizer);
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException($"{_folder.Path}/state.safetensors does not fit its own settings: {e.Message}");
        }

        _step = state.Step;
        _saved = true;
    }

    public int Execute()
    {
        var data = _corpus.Data;
        _reporter.Begin(new JsonObject
        {
            ["data"] = _settings.Data ?? "built-in stories",
            ["characters"] = data.TrainingTokens + data.ValidationTokens,
            ["vocabulary"] = _model.Vocabulary,
            ["params"] = _model.ParameterCount(),
            ["folder"] = _folder.Path,
        }, _step, _settings.Steps);
        var finished = _reporter.While(Train);
        if (_page is not null)
        {
            _reporter.Say(_profiled ?? "No step was left to profile.");
        }

        if (!finished)
        {
            _folder.Save(_settings, _model, _corpus.Tokenizer, _optimizer, _step, _history.ToString());
            _reporter.Say($"Stopped after step {_step} of {_settings.Steps} and saved; go on with: nanograd train gpt --resume {_folder.Path}");
            return App.Interrupted;
        }

        _folder.Save(_settings, _model, _corpus.Tokenizer, _optimizer, _step, _history.ToString());
        Report();
        return App.Success;
    }

    // ------------------------------------------------------------------------------------------------ training

    /// <summary>False: interrupted.</summary>
    private bool Train()
    {
        _model.Train();
        while (_step < _settings.Steps)
        {
            if (_interrupt.Requested)
            {
                return false;
            }

            if (_page is not null && _profiled is null && (_stepSeconds.Count >= SettlingSteps || _settings.Steps - _step <= ProfiledSteps))
            {
                Profile(_page);
            }
            else
            {
                Advance();
            }
        }

        return true;
    }

    /// <summary>Some steps, and a page that shows where their time went. If there are enough, they come after those that compile.</summary>
    private void Profile(string page)
    {
        var first = _step + 1;
        var profile = Engine.Profile(() =>
        {
            for (var i = 0; i < ProfiledSteps && _step < _settings.Steps && !_interrupt.Requested; i++)
            {
                Advance();
            }
        });
        TextFile.WriteAtomic(page, profile.ToPage());
        _profiled = $"Where the time of steps {first} to {_step} went: {page}";
    }

    /// <summary>A step, and what is due after it.</summary>
    private void Advance()
    {
        var start = Stopwatch.GetTimestamp();
        var loss = Step();
        Time(Stopwatch.GetElapsedTime(start).TotalSeconds);
        if (!double.IsFinite(loss))
        {
            throw new UserException($"the loss became {Arguments.Show(loss)} at step {_step}; a smaller --lr may help. {(_saved ? "The last save is kept." : "Nothing was saved yet.")}");
        }

        _step++;
        _interrupt.HasWork = true;
        _history.Add(_step, loss);
        var last = _step == _settings.Steps;
        if (!last && _step % _settings.EvalEvery == 0)
        {
            _history.AddValidation(_step, ValidationLoss(Spread(_corpus.Data.Validation(_settings.Batch), EstimateBatches)));
        }

        if (!last && _step % _settings.SaveEvery == 0)
        {
            _saved = true;
            _folder.Save(_settings, _model, _corpus.Tokenizer, _optimizer, _step, _history.ToString());
        }

        _reporter.Step(_step, _history.Recent(TrainLossWindow), _history.LastValidation, TokensPerSecond);
    }

    private double Step()
    {
        Generator.Default.Reset(_settings.Seed, _step + 1); // dropout, too, is a function of seed and step alone
        var batch = _corpus.Data.Batch(_settings.Batch, _settings.Seed, _step);
        _optimizer.LearningRate = Schedules.WarmupCosine(_step, _settings.Lr, _settings.MinLr ?? _settings.Lr / 10, _settings.Warmup, Math.Max(_settings.Steps, 1));
        _optimizer.ZeroGrad();
        var loss = F.CrossEntropy(_model.Forward(batch.Inputs), batch.Targets, dim: -1);
        loss.Backward();
        if (_settings.GradClip > 0)
        {
            Utils.ClipGradNorm(_model.Parameters(), _settings.GradClip);
        }

        _optimizer.Step();
        return loss.Item();
    }

    /// <summary>Of training steps alone, and once they are steady: the first steps of a process compile.</summary>
    private double TokensPerSecond => _timed.Seconds > 0 ? _timed.Steps * (double)_settings.Batch * _settings.Context / _timed.Seconds : 0;

    private void Time(double seconds)
    {
        _stepSeconds.Add(seconds);
        _timed = _stepSeconds.Count == SettlingSteps + 1 ? (1, seconds) : (_timed.Steps + 1, _timed.Seconds + seconds);
    }

    private double ValidationLoss(IEnumerable<LanguageBatch> batches)
    {
        _model.Eval();
        double total = 0;
        long rows = 0;
        using (new NoGrad())
        {
            foreach (var batch in batches)
            {
                total += F.CrossEntropy(_model.Forward(batch.Inputs), batch.Targets, dim: -1).Item() * batch.Rows;
                rows += batch.Rows;
            }
        }

        _model.Train();
        return total / rows;
    }

    /// <summary>At most so many batches, spread evenly.</summary>
    private IEnumerable<LanguageBatch> Spread(IEnumerable<LanguageBatch> batches, int most)
    {
        var count = (_corpus.Data.ValidationWindows + _settings.Batch - 1) / _settings.Batch;
        var stride = Math.Max(1, count / most);
        return batches.Where((_, i) => i % stride == 0 && i / stride < most);
    }

    // ------------------------------------------------------------------------------------------------ reporting

    private void Report()
    {
        _reporter.Say("Validating on the last tenth of the text...");
        var validation = ValidationLoss(_corpus.Data.Validation(_settings.Batch));
        _history.AddValidation(_step, validation);
        _model.Eval();
        var prompt = new[] { Prompts.Default(_corpus.Tokenizer) };
        var builtIn = _settings.Data is null;
        var tokens = _model.Generate(prompt, builtIn ? JudgedTokens : SampleTokens, new Sampling { Temperature = 0.8, Seed = _settings.Seed });
        var sample = _corpus.Tokenizer.Decode(tokens);
        var result = new JsonObject
        {
            ["val_loss"] = validation,
            ["train_loss"] = Finite(_history.Recent(TrainLossWindow)),
            ["steps"] = _step,
            ["tokens_per_second"] = Math.Round(TokensPerSecond, 1),
            ["ms_per_step"] = _stepSeconds.Count == 0 ? null : Math.Round(1000 * Median(_stepSeconds), 3),
            ["peak_bytes"] = Process.GetCurrentProcess().PeakWorkingSet64,
            ["peak_tensor_bytes"] = Engine.PeakBytes,
            ["weights_sha256"] = Safetensors.Sha256(_model.StateDict()),
            ["params"] = _model.ParameterCount(),
            ["accepted_share"] = builtIn ? Math.Round(Stories.AcceptedShare(sample), 4) : null,
            ["sample"] = string.Concat(sample.EnumerateRunes().Take(SampleTokens)),
            ["folder"] = _folder.Path,
        };
        _reporter.End(result, _history, builtIn ? Stories.Sentences(sample).Count : 0);
    }

    private static JsonNode? Finite(double x) => double.IsFinite(x) ? x : null;

    private static double Median(List<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted[sorted.Length / 2];
    }
}

/// <summary>Losses on the way, thinned to what a plot can show; saved with the state, so that resumed runs draw all of it.</summary>
internal sealed class LossHistory
{
    private const int Most = 400;

    private readonly List<(long Step, double Loss)> _train = [];
    private readonly List<(long Step, double Loss)> _validation = [];
    private readonly Queue<double> _recent = new();
    private double _sum;
    private int _count;
    private int _stride = 1;

    public LossHistory(string text)
    {
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            var part = line.Split(' ');
            var (number, value) = (long.Parse(part[1], CultureInfo.InvariantCulture), double.Parse(part[2], CultureInfo.InvariantCulture));
            switch (part[0])
            {
                case "t":
                    _train.Add((number, value));
                    break;
                case "v":
                    _validation.Add((number, value));
                    break;
                case "r":
                    _recent.Enqueue(value);
                    break;
                case "s":
                    (_stride, _sum) = ((int)number, value);
                    break;
                case "c":
                    _count = (int)number;
                    break;
            }
        }
    }

    public IReadOnlyList<(long Step, double Loss)> Training => _train;

    public IReadOnlyList<(long Step, double Loss)> Validation => _validation;

    public double LastValidation => _validation.Count == 0 ? double.NaN : _validation[^1].Loss;

    /// <summary>The mean of the last training losses.</summary>
    public double Recent(int window) =>
        _recent.Count > 0 ? _recent.TakeLast(window).Average() : _train.Count > 0 ? _train[^1].Loss : double.NaN;

    public void Add(long step, double loss)
    {
        _recent.Enqueue(loss);
        if (_recent.Count > 100)
        {
            _recent.Dequeue();
        }

        _sum += loss;
        _count++;
        if (_count < _stride)
        {
            return;
        }

        _train.Add((step, _sum / _count));
        (_sum, _count) = (0, 0);
        if (_train.Count > Most)
        {
            var merged = _train.Chunk(2).Select(c => (c[^1].Step, c.Average(p => p.Loss))).ToList();
            _train.Clear();
            _train.AddRange(merged);
            _stride *= 2;
        }
    }

    public void AddValidation(long step, double loss)
    {
        _validation.RemoveAll(v => v.Step >= step);
        _validation.Add((step, loss));
    }

    /// <summary>All of it, so that a resumed run reports what an uninterrupted one would.</summary>
    public override string ToString()
    {
        IEnumerable<string> lines =
        [
            .. _train.Select(p => Line('t', p.Step, p.Loss)),
            .. _validation.Select(p => Line('v', p.Step, p.Loss)),
            .. _recent.Select(loss => Line('r', 0, loss)),
            Line('s', _stride, _sum),
            Line('c', _count, 0),
        ];
        return string.Join("\n", lines);

        static string Line(char kind, long number, double value) => $"{kind} {Arguments.Show(number)} {Arguments.Show(value)}";
    }
}
