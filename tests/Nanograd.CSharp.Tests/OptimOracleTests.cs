using System.Globalization;
using System.Text.Json;
using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>The classes of optimizers and schedules against PyTorch's and Hugging Face's numbers: every optim.json among the reference numbers.</summary>
[Category("Oracles")]
internal sealed class OptimOracleTests
{
    // ------------------------------------------------------------------------------------------------ reading

    /// <summary>Options by PyTorch's names. Every one must be asked for: an option that nobody reads is one not supported.</summary>
    private sealed class Options(string name, IReadOnlyDictionary<string, JsonElement> values)
    {
        private readonly HashSet<string> _asked = [];

        public static Options Of(string name, JsonElement e) => new(name, e.EnumerateObject().ToDictionary(p => p.Name, p => p.Value));

        private JsonElement? Find(string key)
        {
            _asked.Add(key);
            return values.TryGetValue(key, out var value) && value.ValueKind != JsonValueKind.Null ? value : null;
        }

        public double? Maybe(string key) => Find(key)?.GetDouble();

        public double Number(string key, double otherwise) => Maybe(key) ?? otherwise;

        public int? MaybeWhole(string key) => (int?)Maybe(key);

        public int Whole(string key, int otherwise) => MaybeWhole(key) ?? otherwise;

        public bool Flag(string key, bool otherwise = false) => Find(key)?.GetBoolean() ?? otherwise;

        public string? Text(string key) => Find(key)?.GetString();

        public (double, double)? Pair(string key) => Find(key) is { } pair ? (pair[0].GetDouble(), pair[1].GetDouble()) : null;

        public JsonElement[] List(string key) => [.. Find(key)?.EnumerateArray() ?? default];

        public void Done()
        {
            foreach (var key in values.Keys.Where(k => !_asked.Contains(k)))
            {
                throw new NotSupportedException($"{name}: the option {key} is not supported");
            }
        }
    }

    private static string? Root()
    {
        if (Environment.GetEnvironmentVariable("NANOGRAD_ORACLES") is { Length: > 0 } given)
        {
            return given;
        }

        var folder = new DirectoryInfo(TestContext.CurrentContext.TestDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Nanograd.sln")))
        {
            folder = folder.Parent;
        }

        return folder is null ? null : Path.Combine(folder.FullName, "..", "shared", "oracles");
    }

    private static List<(string Path, JsonElement File)> Files()
    {
        var root = Root();
        if (!Directory.Exists(root))
        {
            Assert.Ignore("the reference numbers are not on this machine");
        }

        var found = Directory.GetFiles(root!, "optim.json", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(path => (path, JsonDocument.Parse(File.ReadAllText(path)).RootElement)).ToList();
        if (found.Count == 0)
        {
            Assert.Ignore("there is no optim.json among the reference numbers");
        }

        return found;
    }

    private static double[] Numbers(JsonElement e) =>
        e.ValueKind == JsonValueKind.Array ? [.. e.EnumerateArray().SelectMany(Numbers)] : [e.GetDouble()];

    private static string Text(JsonElement e, string key) => e.GetProperty(key).GetString()!;

    /// <summary>Does something for every case; a case that differs by more than the tolerance, or cannot be computed, fails.</summary>
    private static void All(IEnumerable<(string Name, Func<double> Deviation)> cases, double tolerance)
    {
        var failures = new List<string>();
        var (count, largest, where) = (0, 0.0, "");
        foreach (var (name, deviation) in cases)
        {
            count++;
            try
            {
                var d = deviation();
                (largest, where) = d > largest ? (d, name) : (largest, where);
                if (!(d <= tolerance))
                {
                    failures.Add($"{name}: {d}");
                }
            }
            catch (Exception e) when (e is not AssertionException)
            {
                failures.Add($"{name}: {e.Message}");
            }
        }

        TestContext.Out.WriteLine($"{count} cases, the largest deviation is {largest} ({where})");
        Assert.That(failures, Is.Empty, string.Join("\n", failures));
    }

    // ------------------------------------------------------------------------------------------------ optimizers

    private static Optimizer OptimizerOf(string name, Options o, Parameter x)
    {
        Parameter[] all = [x];
        double Lr(double otherwise) => o.Number("lr", otherwise);
        double Decay(double otherwise = 0) => o.Number("weight_decay", otherwise);
        return name switch
        {
            "SGD" => new SGD(all, Lr(1e-3), o.Number("momentum", 0), o.Number("dampening", 0), Decay(), o.Flag("nesterov"), o.Flag("maximize")),
            "Adam" => new Adam(all, Lr(1e-3), o.Pair("betas"), o.Number("eps", 1e-8), Decay(), o.Flag("amsgrad"), o.Flag("maximize")),
            "AdamW" => new AdamW(all, Lr(1e-3), o.Pair("betas"), o.Number("eps", 1e-8), Decay(0.01), o.Flag("amsgrad"), o.Flag("maximize")),
            "Adamax" => new Adamax(all, Lr(2e-3), o.Pair("betas"), o.Number("eps", 1e-8), Decay(), o.Flag("maximize")),
            "NAdam" => new NAdam(all, Lr(2e-3), o.Pair("betas"), o.Number("eps", 1e-8), Decay(), o.Number("momentum_decay", 4e-3)),
            "RAdam" => new RAdam(all, Lr(1e-3), o.Pair("betas"), o.Number("eps", 1e-8), Decay(), o.Flag("maximize")),
            "Adagrad" => new Adagrad(all, Lr(1e-2), o.Number("lr_decay", 0), Decay(), o.Number("initial_accumulator_value", 0), o.Number("eps", 1e-10), o.Flag("maximize")),
            "Adadelta" => new Adadelta(all, Lr(1), o.Number("rho", 0.9), o.Number("eps", 1e-6), Decay(), o.Flag("maximize")),
            "RMSprop" => new RMSprop(all, Lr(1e-2), o.Number("alpha", 0.99), o.Number("eps", 1e-8), Decay(), o.Number("momentum", 0), o.Flag("centered"), o.Flag("maximize")),
            "Rprop" => new Rprop(all, Lr(1e-2), o.Pair("etas"), o.Pair("step_sizes"), o.Flag("maximize")),
            "ASGD" => new ASGD(all, Lr(1e-2), o.Number("lambd", 1e-4), o.Number("alpha", 0.75), o.Number("t0", 1e6), Decay(), o.Flag("maximize")),
            "Adafactor" => new Adafactor(
                all,
                o.Maybe("lr"),
                o.Pair("eps"),
                o.Number("clip_threshold", 1),
                o.Number("decay_rate", -0.8),
                o.Maybe("beta1"),
                Decay(),
                o.Flag("scale_parameter", true),
                o.Flag("relative_step", true),
                o.Flag("warmup_init")),
            "LBFGS" => new LBFGS(
                all,
                Lr(1),
                o.Whole("max_iter", 20),
                o.MaybeWhole("max_eval"),
                o.Number("tolerance_grad", 1e-7),
                o.Number("tolerance_change", 1e-9),
                o.Whole("history_size", 100),
                o.Text("line_search_fn")),
            _ => throw new NotSupportedException($"the optimizer {name} is not supported"),
        };
    }

    private static Func<Tensor, Tensor> Objective(DType type, JsonElement file, string problem)
    {
        switch (problem)
        {
            case "quadratic":
                var p = file.GetProperty("problem").GetProperty("quadratic");
                var n = p.GetProperty("b").GetArrayLength();
                var q = Tensor.FromArray(Numbers(p.GetProperty("Q")), n, n).To(type);
                var b = Tensor.FromArray(Numbers(p.GetProperty("b")), n).To(type);
                return x => ((x * q.MatMul(x)).Sum() * 0.5) - (b * x).Sum();
            case "rosenbrock":
                return x => (1 - x[0]).Square() + ((x[1] - x[0].Square()).Square() * 100);
            default:
                throw new NotSupportedException($"the problem {problem} is not supported");
        }
    }

    /// <summary>The largest difference between two trajectories, each point relative to its largest element.</summary>
    private static double Deviation(double[][] expected, double[][] actual) => expected.Zip(actual, (e, a) =>
    {
        var scale = Math.Max(e.Max(Math.Abs), 1e-30);
        return e.Zip(a, (x, y) => double.IsNaN(y) ? double.PositiveInfinity : Math.Abs(x - y) / scale).Max();
    }).Max();

    private static double Walk(DType type, JsonElement file, JsonElement run)
    {
        var problem = Text(run, "problem");
        var expected = run.GetProperty("x_after_step").EnumerateArray().Select(Numbers).ToArray();
        var x = new Parameter(Tensor.FromArray(Numbers(file.GetProperty("problem").GetProperty(problem).GetProperty("x0"))).To(type));
        var options = Options.Of(Text(run, "name"), run.GetProperty("options"));
        var optimizer = OptimizerOf(Text(run, "optimizer"), options, x);
        options.Done();
        var f = Objective(type, file, problem);
        var actual = expected.Select(_ =>
        {
            optimizer.Step(() =>
            {
                optimizer.ZeroGrad();
                var loss = f(x);
                loss.Backward();
                return loss;
            });
            return x.ToArray<double>();
        }).ToArray();
        return Deviation(expected, actual);
    }

    private static IEnumerable<(string, Func<double>)> Walks(DType type, Func<string, string, bool> isMeant) =>
        from file in Files()
        from run in file.File.GetProperty("runs").EnumerateArray()
        let problem = Text(run, "problem")
        where isMeant(Text(run, "optimizer"), problem)
        select ($"{Text(run, "name")} on {problem} in {file.Path}", (Func<double>)(() => Walk(type, file.File, run)));

    [Test]
    public void EveryOptimizerWalksTheReferenceTrajectoriesInF64() => All(Walks(DType.Float64, (_, _) => true), 1e-9);

    /// <summary>In Rosenbrock's valley L-BFGS decides by differences that f32 rounds away: PyTorch's own f32 run is a seventh off.</summary>
    [Test]
    public void EveryOptimizerWalksTheReferenceTrajectoriesInF32() =>
        All(Walks(DType.Float32, (optimizer, problem) => (optimizer, problem) != ("LBFGS", "rosenbrock")), 1e-4);

    // ------------------------------------------------------------------------------------------------ clipping

    private static double Clip(JsonElement c)
    {
        Tensor[] Tensors(string key) =>
        [
            .. c.GetProperty(key).EnumerateArray().Select(g =>
            {
                var values = Numbers(g).Select(v => (float)v).ToArray();
                var rows = g.GetArrayLength();
                return g[0].ValueKind == JsonValueKind.Array ? Tensor.FromArray(values, rows, values.Length / rows) : Tensor.FromArray(values, rows);
            }),
        ];

        static double Difference(Tensor e, Tensor a) => (e - a).Abs().Max().Item() / Math.Max(1e-30, e.Abs().Max().Item());

        var order = Text(c, "norm_type") == "inf" ? double.PositiveInfinity : double.Parse(Text(c, "norm_type"), CultureInfo.InvariantCulture);
        var parameters = Tensors("grads").Select(g => new Parameter(Tensor.ZerosLike(g)) { Grad = g }).ToArray();
        var norm = Utils.ClipGradNorm(parameters, c.GetProperty("max_norm").GetDouble(), order);
        var total = c.GetProperty("total_norm").GetDouble();
        return Tensors("clipped").Zip(parameters, (e, p) => Difference(e, p.Grad!)).Append(Math.Abs(norm.Item() - total) / total).Max();
    }

    [Test]
    public void ClippingByNormsIsPyTorchs() => All(
        from file in Files()
        from c in file.File.GetProperty("clip_grad_norm").EnumerateArray()
        select ($"norm {Text(c, "norm_type")} in {file.Path}", (Func<double>)(() => Clip(c))),
        1e-6);

    // ------------------------------------------------------------------------------------------------ schedules

    private static readonly Dictionary<string, string[]> Orders = new()
    {
        ["LinearLR"] = ["start_factor", "end_factor", "total_iters"],
        ["ConstantLR"] = ["factor", "total_iters"],
        ["ExponentialLR"] = ["gamma"],
        ["StepLR"] = ["step_size", "gamma"],
        ["PolynomialLR"] = ["total_iters", "power"],
        ["CosineAnnealingLR"] = ["T_max", "eta_min"],
        ["CosineAnnealingWarmRestarts"] = ["T_0", "T_mult", "eta_min"],
    };

    /// <summary>"LinearLR(0.1,1.0,total_iters=milestone)": the name and the arguments by name, as options.</summary>
    private static (string, Options) Parsed(int milestone, string text)
    {
        var open = text.IndexOf('(', StringComparison.Ordinal);
        var name = text[..open];
        var arguments = text[(open + 1)..].TrimEnd(')').Replace("milestone", $"{milestone}", StringComparison.Ordinal)
            .Split(',', StringSplitOptions.RemoveEmptyEntries);
        var values = arguments.Select((argument, i) =>
        {
            var parts = argument.Split('=');
            return (Key: parts.Length == 2 ? parts[0].Trim() : Orders[name][i], Value: JsonDocument.Parse(parts[^1].Trim()).RootElement);
        });
        return (name, new Options(text, values.ToDictionary(v => v.Key, v => v.Value)));
    }

    private static SequentialLR Sequence(Optimizer optimizer, Options o)
    {
        var milestones = o.List("milestones").Select(m => m.GetInt32()).ToArray();
        var parts = o.List("schedulers").Select((s, i) =>
        {
            var (name, options) = Parsed(milestones[Math.Min(i, milestones.Length - 1)], s.GetString()!);
            var part = ScheduleOf(optimizer, name, options);
            options.Done();
            return part;
        });
        return new SequentialLR(optimizer, [.. parts], milestones);
    }

    private static LRScheduler ScheduleOf(Optimizer optimizer, string name, Options o)
    {
        bool Starts(string prefix) => name.StartsWith(prefix, StringComparison.Ordinal);
        int Warmup() => o.Whole("num_warmup_steps", 0);
        int Last() => o.Whole("num_training_steps", 0);
        return true switch
        {
            _ when Starts("hf_linear") => new WarmupLinearLR(optimizer, Warmup(), Last()),
            _ when Starts("hf_cosine_hard") => new WarmupCosineHardRestartsLR(optimizer, Warmup(), Last(), o.Whole("num_cycles", 1)),
            _ when Starts("hf_cosine") => new WarmupCosineLR(optimizer, Warmup(), Last(), o.Number("num_cycles", 0.5)),
            _ when Starts("hf_constant") => new WarmupConstantLR(optimizer, Warmup()),
            _ when Starts("hf_polynomial") => new WarmupPolynomialLR(optimizer, Warmup(), Last(), o.Number("lr_end", 1e-7), o.Number("power", 1)),
            _ when Starts("multistep") => new MultiStepLR(optimizer, o.List("milestones").Select(m => m.GetInt32()), o.Number("gamma", 0.1)),
            _ when Starts("step") || name == "StepLR" => new StepLR(optimizer, o.Whole("step_size", 0), o.Number("gamma", 0.1)),
            _ when Starts("exponential") || name == "ExponentialLR" => new ExponentialLR(optimizer, o.Number("gamma", 0)),
            _ when Starts("cosine_restarts") || name == "CosineAnnealingWarmRestarts" =>
                new CosineAnnealingWarmRestarts(optimizer, o.Whole("T_0", 0), o.Whole("T_mult", 1), o.Number("eta_min", 0)),
            _ when Starts("cosine") || name == "CosineAnnealingLR" => new CosineAnnealingLR(optimizer, o.Whole("T_max", 0), o.Number("eta_min", 0)),
            _ when Starts("linear") || name == "LinearLR" =>
                new LinearLR(optimizer, o.Number("start_factor", 1.0 / 3), o.Number("end_factor", 1), o.Whole("total_iters", 5)),
            _ when Starts("constant") || name == "ConstantLR" => new ConstantLR(optimizer, o.Number("factor", 1.0 / 3), o.Whole("total_iters", 5)),
            _ when Starts("polynomial") || name == "PolynomialLR" => new PolynomialLR(optimizer, o.Whole("total_iters", 5), o.Number("power", 1)),
            _ when Starts("sequential") => Sequence(optimizer, o),
            _ when Starts("onecycle") => new OneCycleLR(
                optimizer,
                o.Number("max_lr", 0),
                o.MaybeWhole("total_steps"),
                o.MaybeWhole("epochs"),
                o.MaybeWhole("steps_per_epoch"),
                o.Number("pct_start", 0.3),
                o.Text("anneal_strategy") ?? "cos",
                o.Flag("cycle_momentum", true),
                o.Number("base_momentum", 0.85),
                o.Number("max_momentum", 0.95),
                o.Number("div_factor", 25),
                o.Number("final_div_factor", 1e4),
                o.Flag("three_phase")),
            _ when Starts("cyclic") => new CyclicLR(
                optimizer,
                o.Number("base_lr", 0),
                o.Number("max_lr", 0),
                o.Whole("step_size_up", 2000),
                o.MaybeWhole("step_size_down"),
                o.Text("mode") ?? "triangular",
                o.Number("gamma", 1),
                o.Flag("cycle_momentum", true),
                o.Number("base_momentum", 0.8),
                o.Number("max_momentum", 0.9)),
            _ when Starts("reduce_on_plateau") => new ReduceLROnPlateau(
                optimizer,
                o.Text("mode") ?? "min",
                o.Number("factor", 0.1),
                o.Whole("patience", 10),
                o.Number("threshold", 1e-4),
                o.Text("threshold_mode") ?? "rel",
                o.Whole("cooldown", 0),
                [o.Number("min_lr", 0)],
                o.Number("eps", 1e-8)),
            _ => throw new NotSupportedException($"the schedule {name} is not supported"),
        };
    }

    private static double Rates(double rate, JsonElement table)
    {
        var name = Text(table, "name");
        var optimizer = new SGD([new Parameter(Tensor.Zeros(1))], lr: rate, momentum: 0.9);
        var options = Options.Of(name, table.GetProperty("options"));
        var scheduler = ScheduleOf(optimizer, name, options);
        options.Done();
        var expected = Numbers(table.GetProperty("lr"));
        var momenta = table.TryGetProperty("momentum", out var m) ? Numbers(m) : [];
        var metrics = table.TryGetProperty("metrics", out var given) ? Numbers(given) : [];
        var worst = 0.0;
        for (var i = 0; i < expected.Length; i++)
        {
            worst = Math.Max(worst, Math.Abs(optimizer.LearningRate - expected[i]));
            worst = Math.Max(worst, Math.Abs(scheduler.GetLastLr()[0] - optimizer.LearningRate));
            worst = momenta.Length > 0 ? Math.Max(worst, Math.Abs(optimizer.ParamGroups[0].Momentum - momenta[i])) : worst;
            if (scheduler is ReduceLROnPlateau plateau)
            {
                plateau.Step(metrics[i]);
            }
            else
            {
                scheduler.Step();
            }
        }

        return worst;
    }

    [Test]
    public void EveryScheduleGivesTheReferenceRates() => All(
        from file in Files()
        let schedules = file.File.GetProperty("schedules")
        from table in schedules.GetProperty("tables").EnumerateArray()
        select ($"{Text(table, "name")} in {file.Path}", (Func<double>)(() => Rates(schedules.GetProperty("base_lr").GetDouble(), table))),
        1e-12);
}
