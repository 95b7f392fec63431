using System.Diagnostics;
using System.Text.Json.Nodes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Nanograd.Cli;

/// <summary>What a person (or a program) sees of a training run.</summary>
internal abstract class Reporter(Terminal terminal, IAnsiConsole console, bool json)
{
    private const int PlotHeight = 12;

    protected IAnsiConsole Console { get; } = console;

    protected long Total { get; private set; }

    public static Reporter Create(Terminal terminal, bool json) => terminal.IsLive && !json
        ? new LiveReporter(terminal, terminal.Console())
        : new PlainReporter(terminal, terminal.Console(aside: json), json);

    /// <summary>Says something to the person who waits.</summary>
    public void Say(string line) => Line(line);

    /// <summary>A line as it is: the console would break long ones.</summary>
    private protected void Line(string line) => Console.Profile.Out.Writer.WriteLine(line);

    public void Begin(JsonObject facts, long done, long total)
    {
        Total = total;
        Line(
            $"Training a GPT of {Format.Count(Format.Number(facts["params"]))} parameters on {facts["data"]} ({Format.Count(Format.Number(facts["characters"]))} characters, {facts["vocabulary"]} different); writing to {facts["folder"]}.");
        if (done > 0)
        {
            Line($"Resuming after step {done} of {total}.");
        }
    }

    /// <summary>Runs the training loop while progress is shown.</summary>
    public abstract bool While(Func<bool> loop);

    public abstract void Step(long step, double loss, double validation, double tokensPerSecond);

    public void End(JsonObject result, LossHistory history, int sentences)
    {
        if (history.Training.Count > 1)
        {
            Line("");
            LossPlot.Write(Console, history, Math.Clamp(Console.Profile.Width - 2, 30, 90), PlotHeight);
        }

        Line("");
        Console.Write(new Rule("a sample") { Justification = Justify.Left });
        Line(((string)result["sample"]!).Trim('\n'));
        Console.Write(new Rule());
        if (result["accepted_share"] is { } share)
        {
            Line(FormattableString.Invariant($"Of {sentences} sampled sentences, the corpus's grammar accepts {100 * Format.Number(share):0}%."));
        }

        var speed = result["ms_per_step"] is { } ms
            ? FormattableString.Invariant($", {Format.Number(ms):0.0} ms a step, {Format.Count(Format.Number(result["tokens_per_second"]))} tokens/s") : "";
        Line(
            $"val_loss {Format.Loss(Format.Number(result["val_loss"]))}, train_loss {Format.Loss(Format.Number(result["train_loss"]))} after {result["steps"]} steps{speed}, peak {Format.Bytes(Format.Number(result["peak_bytes"]))}.");
        Line($"weights {result["weights_sha256"]}");
        Line($"Write on with: nanograd generate --model {result["folder"]}");
        if (json)
        {
            terminal.Out.WriteLine(result.ToJsonString(Format.Readable));
            terminal.Out.Flush();
        }
    }

    /// <summary>A line now and then: for files, pipes and --json.</summary>
    private sealed class PlainReporter(Terminal terminal, IAnsiConsole console, bool json) : Reporter(terminal, console, json)
    {
        private readonly Stopwatch _watch = Stopwatch.StartNew();
        private double _next;
        private long _first = -1;

        public override bool While(Func<bool> loop) => loop();

        public override void Step(long step, double loss, double validation, double tokensPerSecond)
        {
            _first = _first < 0 ? step : _first;
            var seconds = _watch.Elapsed.TotalSeconds;
            if (seconds < _next && step < Total)
            {
                return;
            }

            _next = seconds + Math.Min(10, 1 + seconds / 10); // often at first, then less
            // After the first step, which is mostly compilation, nothing is known of the others.
            var left = step > _first || step == Total ? $"  {Format.Time(TimeSpan.FromSeconds(seconds * (Total - step) / (step - _first + 1)))} left" : "";
            Line($"step {step}/{Total}  loss {Format.Loss(loss)}  val {Format.Loss(validation)}  {Format.Count(tokensPerSecond)} tokens/s{left}");
        }
    }

    /// <summary>A moving bar: for people at a terminal. It is drawn by the training loop itself; no thread of its own wakes up.</summary>
    private sealed class LiveReporter(Terminal terminal, IAnsiConsole console) : Reporter(terminal, console, false)
    {
        private const double SecondsBetween = 0.15;

        private readonly Stopwatch _watch = Stopwatch.StartNew();
        private ProgressContext? _context;
        private ProgressTask? _task;
        private FactsColumn? _facts;
        private double _next;

        public override bool While(Func<bool> loop)
        {
            _facts = new FactsColumn();
            return Console.Progress().AutoRefresh(false).AutoClear(false)
                .Columns(new ProgressBarColumn { Width = 30 }, new PercentageColumn(), _facts)
                .Start(context =>
                {
                    _context = context;
                    _task = context.AddTask("training", maxValue: Math.Max(1, Total));
                    var finished = loop();
                    context.Refresh();
                    return finished;
                });
        }

        public override void Step(long step, double loss, double validation, double tokensPerSecond)
        {
            var seconds = _watch.Elapsed.TotalSeconds;
            if (seconds < _next && step < Total)
            {
                return;
            }

            _next = seconds + SecondsBetween;
            _task!.Value = step;
            var left = tokensPerSecond > 0 && _facts!.Update(step, seconds) is var perStep and > 0 ? TimeSpan.FromSeconds(perStep * (Total - step)) : TimeSpan.Zero;
            _facts!.Text = $"step {step}/{Total}  loss {Format.Loss(loss)}  val {Format.Loss(validation)}  {Format.Count(tokensPerSecond)} tok/s  {Format.Time(left)} left";
            _context!.Refresh();
        }

        private sealed class FactsColumn : ProgressColumn
        {
            private (long Step, double Seconds)? _first;

            protected override bool NoWrap => true;

            public string Text { get; set; } = "";

            /// <summary>Seconds for a step, all told.</summary>
            public double Update(long step, double seconds)
            {
                _first ??= (step, seconds);
                return step > _first.Value.Step ? (seconds - _first.Value.Seconds) / (step - _first.Value.Step) : 0;
            }

            public override IRenderable Render(RenderOptions options, ProgressTask task, TimeSpan deltaTime) => new Text(Text);
        }
    }
}
