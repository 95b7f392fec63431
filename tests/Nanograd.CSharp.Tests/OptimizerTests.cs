using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Laws that hold of every optimizer, then what is particular to some.</summary>
internal sealed class OptimizerTests
{
    /// <summary>Every class with a rule for single parameters, with all its state in use.</summary>
    private static readonly Dictionary<string, Func<IEnumerable<ParameterGroup>, Optimizer>> Makers = new()
    {
        ["SGD"] = g => new SGD(g, lr: 0.05, momentum: 0.9, dampening: 0.1, weightDecay: 0.01),
        ["Adam"] = g => new Adam(g, lr: 0.05, amsgrad: true),
        ["AdamW"] = g => new AdamW(g, lr: 0.05, betas: (0.8, 0.9)),
        ["Adamax"] = g => new Adamax(g, lr: 0.05),
        ["NAdam"] = g => new NAdam(g, lr: 0.05),
        ["RAdam"] = g => new RAdam(g, lr: 0.05),
        ["Adagrad"] = g => new Adagrad(g, lr: 0.05, lrDecay: 0.1),
        ["Adadelta"] = g => new Adadelta(g),
        ["RMSprop"] = g => new RMSprop(g, lr: 0.05, momentum: 0.5, centered: true),
        ["Rprop"] = g => new Rprop(g, lr: 0.05),
        ["ASGD"] = g => new ASGD(g, lr: 0.05, t0: 2),
        ["Adafactor"] = g => new Adafactor(g, beta1: 0.9),
        ["Lion"] = g => new Lion(g, lr: 0.05),
        ["Lamb"] = g => new Lamb(g, lr: 0.05),
        ["Muon"] = g => new Muon(g, lr: 0.05, weightDecay: 0.1),
        ["SophiaG"] = g => new SophiaG(g, lr: 0.05),
        ["Lookahead"] = g => new Lookahead(new AdamW(g, lr: 0.05), k: 3),
    };

    private static IEnumerable<string> Names => Makers.Keys;

    private static float[] Start(int seed, int count) =>
        [.. Enumerable.Range(0, count).Select(i => (float)Math.Sin((seed * 7.3) + (i * 1.7)))];

    /// <summary>Two matrices, because Muon moves only those.</summary>
    private static Parameter[] Matrices() => [new(Tensor.FromArray(Start(1, 12), 3, 4)), new(Tensor.FromArray(Start(2, 10), 5, 2))];

    private static Tensor Loss(Parameter[] p) => ((p[0].Square() * 0.7) + p[0]).Sum() + (p[1] * p[1] * p[1]).Sin().Mean();

    private static void Train(Optimizer optimizer, Parameter[] p, int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            optimizer.ZeroGrad();
            Loss(p).Backward();
            optimizer.Step();
        }
    }

    private static float[] Values(Parameter[] p) => [.. p.SelectMany(x => x.ToArray<float>())];

    // ------------------------------------------------------------------------------------------------ laws

    /// <summary>One program makes all steps, also while rate and momentum change in each of them.</summary>
    [TestCaseSource(nameof(Names))]
    public void ASteadyLoopCompilesNothing(string name)
    {
        var p = Matrices();
        var optimizer = Makers[name]([new ParameterGroup(p)]);
        Train(optimizer, p, 3);
        var before = Engine.Statistics.Programs;
        for (var i = 1; i <= 5; i++)
        {
            optimizer.LearningRate = 0.05 / i;
            foreach (var moving in new[] { "momentum", "beta1" }.Where(optimizer.Defaults.ContainsKey))
            {
                optimizer.ParamGroups[0][moving] = 0.5 + (0.05 * i);
            }

            Train(optimizer, p, 1);
        }

        Assert.That(Engine.Statistics.Programs, Is.EqualTo(before));
    }

    /// <summary>Parameters, state and numbers put into another optimizer: both go on to the same bits.</summary>
    [TestCaseSource(nameof(Names))]
    public void StateMovesToAnotherOptimizer(string name)
    {
        Parameter[] p = Matrices(), q = Matrices();
        var first = Makers[name]([new ParameterGroup(p, lr: 0.03)]);
        var second = Makers[name]([new ParameterGroup(q)]);
        Train(first, p, 4);
        foreach (var (from, to) in p.Zip(q))
        {
            to.Set(from.Detach());
        }

        var state = first.StateDict();
        var snapshot = state.ToDictionary(e => e.Key, e => e.Value.ToArray<double>());
        second.LoadStateDict(state);
        Train(first, p, 3);
        Train(second, q, 3);
        Assert.That(Values(q), Is.EqualTo(Values(p)));
        Assert.That(second.LearningRate, Is.EqualTo(0.03));
        Assert.That(state.All(e => e.Value.ToArray<double>().SequenceEqual(snapshot[e.Key])), "training changed what was saved");
    }

    /// <summary>Groups are what optimizers of their own would be.</summary>
    [TestCaseSource(nameof(Names))]
    public void GroupsAreOptimizersOfTheirOwn(string name)
    {
        Parameter[] p = Matrices(), q = Matrices();
        var together = Makers[name]([new ParameterGroup([p[0]], lr: 0.02), new ParameterGroup([p[1]])]);
        Optimizer[] apart = [Makers[name]([new ParameterGroup([q[0]], lr: 0.02)]), Makers[name]([new ParameterGroup([q[1]])])];
        for (var i = 0; i < 4; i++)
        {
            Train(together, p, 1);
            Array.ForEach(apart, o => o.ZeroGrad());
            Loss(q).Backward();
            Array.ForEach(apart, o => o.Step());
        }

        Assert.That(Values(p), Is.EqualTo(Values(q)).Within(2e-6f));
    }

    /// <summary>Several calls of Backward before a step add their gradients.</summary>
    [TestCaseSource(nameof(Names))]
    public void GradientsAccumulate(string name)
    {
        Parameter[] p = Matrices(), q = Matrices();
        Optimizer several = Makers[name]([new ParameterGroup(p)]), once = Makers[name]([new ParameterGroup(q)]);
        for (var i = 0; i < 3; i++)
        {
            several.ZeroGrad();
            Loss(p).Backward();
            (p[0].Sum() * p[1].Sum()).Backward();
            several.Step();
            once.ZeroGrad();
            (Loss(q) + (q[0].Sum() * q[1].Sum())).Backward();
            once.Step();
        }

        Assert.That(Values(p), Is.EqualTo(Values(q)).Within(1e-4f));
    }

    /// <summary>A step leaves little garbage, whatever the optimizer; none of it are values, which are donated.</summary>
    [TestCaseSource(nameof(Names))]
    public void StepsLeaveLittleGarbage(string name)
    {
        var p = Matrices();
        var optimizer = Makers[name]([new ParameterGroup(p)]);
        Train(optimizer, p, 50);
        var before = GC.GetAllocatedBytesForCurrentThread();
        Train(optimizer, p, 50);
        Assert.That((GC.GetAllocatedBytesForCurrentThread() - before) / 50, Is.LessThan(32 * 1024));
    }

    [TestCaseSource(nameof(Names))]
    public void StateThatDoesNotFitIsRefusedAndChangesNothing(string name)
    {
        var p = Matrices();
        var optimizer = Makers[name]([new ParameterGroup(p)]);
        Train(optimizer, p, 2);
        var before = optimizer.StateDict();
        var kind = before.Keys.First(k => k.EndsWith(".0", StringComparison.Ordinal) && !k.StartsWith("step", StringComparison.Ordinal));
        Refuse(Without(kind), $"'{kind}' is missing");
        Refuse(With(kind, Tensor.Zeros(7)), kind);
        Refuse(With("nothing.1", Tensor.Zeros(7)), "nothing");
        Refuse(With("step.2", Tensor.Ones(1)), "step.2");
        Refuse(With("param_groups.0.nothing", Tensor.Scalar(1)), "nothing");
        Refuse(With("param_groups.1.lr", Tensor.Scalar(1)), "param_groups.1.lr");
        Refuse(With("param_groups.0.lr", Tensor.Scalar(-1)), "lr");

        Dictionary<string, Tensor> Without(string key) => before.Where(e => e.Key != key).ToDictionary();

        Dictionary<string, Tensor> With(string key, Tensor value) => new(Without(key)) { [key] = value };

        void Refuse(Dictionary<string, Tensor> state, string reason)
        {
            Assert.That(() => optimizer.LoadStateDict(state), Throws.ArgumentException.With.Message.Contains(reason));
            var after = optimizer.StateDict();
            Assert.That(after.Keys, Is.EquivalentTo(before.Keys));
            Assert.That(after.Where(e => !e.Value.ToArray<double>().SequenceEqual(before[e.Key].ToArray<double>())), Is.Empty);
        }
    }

    // ------------------------------------------------------------------------------------------------ groups

    [Test]
    public void EveryNumberOfAGroupMayDifferAndChange()
    {
        Parameter a = new(Tensor.Ones(1)), b = new(Tensor.Ones(1));
        var optimizer = new SGD([new ParameterGroup([a], momentum: 0.5) { ["nesterov"] = 1 }, new ParameterGroup([b], weightDecay: 1)], lr: 0.1);
        Step();
        Assert.That(a.Item(), Is.EqualTo(1 - (0.1 * 1.5)).Within(1e-6)); // g + momentum g
        Assert.That(b.Item(), Is.EqualTo(0.8).Within(1e-6)); // 1 + decay
        optimizer.ParamGroups[0]["nesterov"] = 0;
        optimizer.ParamGroups[1].WeightDecay = 0;
        Step();
        Assert.That(a.Item(), Is.EqualTo(0.85 - (0.1 * 1.5)).Within(1e-6)); // 0.5 * 1 + 1
        Assert.That(b.Item(), Is.EqualTo(0.7).Within(1e-6));
        optimizer.ParamGroups[1].Momentum = 0.5; // there was none: its state begins now
        Step();
        Assert.That(b.Item(), Is.EqualTo(0.6).Within(1e-6));
        Step();
        Assert.That(b.Item(), Is.EqualTo(0.45).Within(1e-6));

        void Step()
        {
            optimizer.ZeroGrad();
            (a.Sum() + b.Sum()).Backward();
            optimizer.Step();
        }
    }

    [Test]
    public void GroupsMayComeLater()
    {
        var p = Matrices();
        var optimizer = new AdamW([p[0]], lr: 0.1);
        Train(optimizer, p, 2);
        var still = p[1].ToArray<float>();
        Assert.That(still, Is.EqualTo(Start(2, 10)));
        optimizer.AddParamGroup(new ParameterGroup([p[1]], lr: 0.01));
        Train(optimizer, p, 1);
        Assert.That(p[1].ToArray<float>(), Is.Not.EqualTo(still));
        Assert.That(optimizer.State[p[0]]["step"].Item(), Is.EqualTo(3));
        Assert.That(optimizer.State[p[1]]["step"].Item(), Is.EqualTo(1));
        Assert.That(() => optimizer.AddParamGroup(new ParameterGroup([p[1]])), Throws.ArgumentException);
        Assert.That(() => optimizer.AddParamGroup(optimizer.ParamGroups[0]), Throws.ArgumentException);
    }

    [Test]
    public void BadNumbersAreRefused()
    {
        var p = Matrices();
        ParameterGroup[] Group(string name, double value) => [new ParameterGroup(p) { [name] = value }];
        Assert.That(() => new Adam(Group("rho", 1)), Throws.ArgumentException.With.Message.Contains("rho"));
        Assert.That(() => new Adam(Group("beta2", 1)), Throws.ArgumentException.With.Message.Contains("beta2"));
        Assert.That(() => new SGD(p, momentum: 0.9, dampening: 0.5, nesterov: true), Throws.ArgumentException);
        Assert.That(() => new Rprop(p, etas: (1.5, 2)), Throws.ArgumentException);
        Assert.That(() => new Adafactor(p, lr: 0.1), Throws.ArgumentException.With.Message.Contains("relativeStep"));
        Assert.That(() => new Adafactor(p, relativeStep: false), Throws.ArgumentException);
        Assert.That(() => new Adafactor(p, warmupInit: true, relativeStep: false, lr: 1), Throws.ArgumentException);
        Assert.That(() => new SophiaG(p, every: 0), Throws.ArgumentException);
        Assert.That(() => new LBFGS(p, lineSearchFn: "wolfe"), Throws.ArgumentException.With.Message.Contains("strong_wolfe"));
        Assert.That(() => new Adam(Array.Empty<Parameter>()), Throws.ArgumentException);
        Assert.That(() => new Adam([new Parameter(Tensor.FromArray([1]), requiresGrad: false)]), Throws.ArgumentException.With.Message.Contains("float"));
        var adam = new Adam(p);
        Assert.That(() => adam.ParamGroups[0].Betas = (2, 0.9), Throws.ArgumentException);
        Assert.That(() => adam.ParamGroups[0].Momentum, Throws.ArgumentException.With.Message.Contains("momentum"));
        Assert.That(() => adam.LearningRate = double.NaN, Throws.ArgumentException);
        var vector = new Parameter(Tensor.Ones(3));
        var muon = new Muon([vector]);
        vector.Sum().Backward();
        Assert.That(() => muon.Step(), Throws.ArgumentException.With.Message.Contains("matrices"));
        Assert.That(vector.ToArray<float>(), Is.EqualTo(new float[] { 1, 1, 1 }));
    }

    [Test]
    public void ZerosInsteadOfNoGradientsLetMomentumGoOn()
    {
        Parameter a = new(Tensor.Ones(1)), b = new(Tensor.Ones(1));
        Optimizer none = new SGD([a], lr: 0.1, momentum: 0.5), zeros = new SGD([b], lr: 0.1, momentum: 0.5);
        (a.Sum() + b.Sum()).Backward();
        none.Step();
        zeros.Step();
        none.ZeroGrad();
        zeros.ZeroGrad(setToNone: false);
        Assert.That(a.Grad, Is.Null);
        Assert.That(b.Grad!.Item(), Is.Zero);
        none.Step();
        zeros.Step();
        Assert.That(a.Item(), Is.EqualTo(0.9).Within(1e-6));
        Assert.That(b.Item(), Is.EqualTo(0.85).Within(1e-6));
    }

    // ------------------------------------------------------------------------------------------------ clipping

    [Test]
    public void GradientsAreClippedByValueAndByUnit()
    {
        var a = new Parameter(Tensor.FromArray(new float[] { 3, 4, 0, 0 }, 2, 2)) { Grad = Tensor.FromArray(new float[] { 0, 10, 0.0001f, 0 }, 2, 2) };
        Utils.ClipGradAdaptive([a], clipping: 0.1);
        Assert.That(a.Grad!.ToArray<float>(), Is.EqualTo(new float[] { 0, 0.5f, 0.0001f, 0 }).Within(1e-7f));
        a.Grad = Tensor.FromArray(new float[] { 1, -7, 0.5f, 3 }, 2, 2);
        Utils.ClipGradValue([a], 2);
        Assert.That(a.Grad!.ToArray<float>(), Is.EqualTo(new float[] { 1, -2, 0.5f, 2 }));
        Assert.That(() => Utils.ClipGradValue([a], double.NaN), Throws.ArgumentException);
        Assert.That(() => Utils.ClipGradAdaptive([a], -1), Throws.ArgumentException);
    }

    [Test]
    public void ANormThatIsNoNumberIsAnErrorIfAskedFor()
    {
        var a = new Parameter(Tensor.Ones(2)) { Grad = Tensor.FromArray(new[] { float.NaN, 1 }) };
        Assert.That(() => Utils.ClipGradNorm([a], 1, errorIfNonfinite: true), Throws.InvalidOperationException.With.Message.Contains("NaN"));
        Assert.That(Utils.ClipGradNorm([a], 1).Item(), Is.NaN);
        a.Grad = Tensor.FromArray(new float[] { 3, -4 });
        Assert.That(Utils.ClipGradNorm([a], 1, double.PositiveInfinity, errorIfNonfinite: true).Item(), Is.EqualTo(4));
        Assert.That(a.Grad!.ToArray<float>(), Is.EqualTo(new[] { 0.75f, -1 }).Within(1e-5f));
        Assert.That(() => Utils.ClipGradNorm([a], 1, normType: 0), Throws.ArgumentException);
    }

    /// <summary>Clipping is part of the step: what it does to the step is what it does to gradients that are read.</summary>
    [Test]
    public void ClippingIsPartOfTheStep()
    {
        Parameter[] p = Matrices(), q = Matrices();
        SGD fused = new(p, lr: 1), read = new(q, lr: 1);
        Loss(p).Backward();
        Clip(p);
        fused.Step();
        Loss(q).Backward();
        Clip(q);
        Array.ForEach(q, x => x.Grad = x.Grad!.Detach() * 1);
        read.Step();
        Assert.That(Values(p), Is.EqualTo(Values(q)).Within(1e-6f));

        static void Clip(Parameter[] all)
        {
            Utils.ClipGradAdaptive(all, 0.5);
            Utils.ClipGradValue(all, 0.4);
            Utils.ClipGradNorm(all, 0.9, 3);
        }
    }

    // ------------------------------------------------------------------------------------------------ particular ones

    [Test]
    public void LookaheadMeetsItsSlowWeights()
    {
        var w = new Parameter(Tensor.Ones(1));
        var optimizer = new Lookahead(new SGD([w], lr: 0.1), k: 2, alpha: 0.5);
        double[] expected = [0.9, 0.9, 0.8, 0.8]; // 1 - 0.2 meets 1 at 0.9; then 0.8, and 0.7 meets 0.9 at 0.8
        foreach (var value in expected)
        {
            optimizer.ZeroGrad();
            w.Sum().Backward();
            optimizer.Step();
            Assert.That(w.Item(), Is.EqualTo(value).Within(1e-6));
        }

        Assert.That(() => new Lookahead(new LBFGS([w])), Throws.ArgumentException);
        Assert.That(() => new Lookahead(new SGD([w]), k: 0), Throws.ArgumentException);
    }

    [Test]
    public void SharpnessAwareStepsUseTheGradientAtTheWorstPointNear()
    {
        Parameter[] p = Matrices(), q = Matrices(), r = Matrices();
        const double Rho = 0.3;
        var byHand = new SAM(new SGD(p, lr: 0.1, momentum: 0.9), Rho);
        var byClosure = new SAM(new SGD(r, lr: 0.1, momentum: 0.9), Rho);
        var plain = new SGD(q, lr: 0.1, momentum: 0.9);
        for (var i = 0; i < 3; i++)
        {
            byHand.ZeroGrad();
            Loss(p).Backward();
            byHand.FirstStep(zeroGrad: true);
            Loss(p).Backward();
            byHand.SecondStep(zeroGrad: true);

            var loss = byClosure.Step(() =>
            {
                byClosure.ZeroGrad();
                var l = Loss(r);
                l.Backward();
                return l;
            });
            Assert.That(loss.Item(), Is.EqualTo(Loss(q).Item()).Within(1e-4));

            plain.ZeroGrad();
            Loss(q).Backward();
            var g = q.Select(x => x.Grad!.ToArray<float>()).ToArray();
            var norm = Math.Sqrt(g.Sum(x => x.Sum(v => (double)v * v)));
            var here = q.Select(x => x.Detach()).ToArray();
            for (var k = 0; k < q.Length; k++)
            {
                q[k].Set(here[k] + (Tensor.FromArray(g[k].Select(v => (float)(v * Rho / norm)).ToArray(), [.. q[k].Shape])));
            }

            plain.ZeroGrad();
            Loss(q).Backward();
            var worst = q.Select(x => x.Grad!.Detach() * 1).ToArray();
            Tensor.Evaluate(worst);
            for (var k = 0; k < q.Length; k++)
            {
                q[k].Set(here[k]);
                q[k].Grad = worst[k];
            }

            plain.Step();
            Assert.That(Values(p), Is.EqualTo(Values(q)).Within(1e-5f));
            Assert.That(Values(r), Is.EqualTo(Values(q)).Within(1e-5f));
        }

        Assert.That(() => byHand.Step(), Throws.InvalidOperationException);
        Assert.That(() => byHand.SecondStep(), Throws.InvalidOperationException);
        Assert.That(() => byHand.FirstStep(), Throws.InvalidOperationException);
    }

    [Test]
    public void SophiaDividesByTheHessianItWasShown()
    {
        var w = new Parameter(Tensor.FromArray(new float[] { 1, -2 }));
        var optimizer = new SophiaG([w], lr: 0.1, betas: (0.5, 0.75), gamma: 0.5, weightDecay: 0);
        Assert.That(optimizer.IsHessianDue);
        Assert.That(() => optimizer.UpdateHessian(4), Throws.InvalidOperationException.With.Message.Contains("SampledLoss"));
        w.Grad = Tensor.FromArray(new float[] { 2, 3 });
        optimizer.UpdateHessian(4); // h = (1 - 0.75) 4 g² = (4, 9)
        Assert.That(optimizer.IsHessianDue);
        w.Grad = Tensor.FromArray(new float[] { 1, 60 });
        optimizer.Step(); // m = (0.5, 30), m / (0.5 h) = (0.25, 6.7) clipped to (0.25, 1)
        Assert.That(w.ToArray<float>(), Is.EqualTo(new[] { 0.975f, -2.1f }).Within(1e-6f));
        Assert.That(optimizer.State[w]["hessian"].ToArray<float>(), Is.EqualTo(new float[] { 4, 9 }).Within(1e-5f));
        Assert.That(optimizer.IsHessianDue, Is.False);
    }

    /// <summary>Far from certain, the loss of sampled labels is about the entropy of the predictions.</summary>
    [Test]
    public void SampledLossesAreOfTheModelsOwnLabels()
    {
        var logits = Tensor.FromArray(Start(3, 4)).Unsqueeze(0).Expand(4000, 4);
        var entropy = -(logits[0].Softmax(-1) * logits[0].LogSoftmax(-1)).Sum().Item();
        Assert.That(SophiaG.SampledLoss(logits, new Generator(3)).Item(), Is.EqualTo(entropy).Within(0.05));
    }

    [Test]
    public void QuasiNewtonStepsGoOnAfterLoading()
    {
        Parameter[] p = Matrices(), q = Matrices();
        LBFGS first = new(p, maxIter: 3, lineSearchFn: "strong_wolfe"), second = new(q, maxIter: 3, lineSearchFn: "strong_wolfe");
        Tensor Closure(Optimizer optimizer, Parameter[] all)
        {
            optimizer.ZeroGrad();
            var loss = (all[0].Square() + (all[0] * 0.3).Exp()).Sum() + (all[1] - 2).Square().Square().Sum();
            loss.Backward();
            return loss;
        }

        var start = first.Step(() => Closure(first, p)).Item();
        Array.ForEach(p.Zip(q).ToArray(), x => x.Second.Set(x.First.Detach()));
        second.LoadStateDict(first.StateDict());
        var middle = first.Step(() => Closure(first, p)).Item();
        second.Step(() => Closure(second, q));
        Assert.That(middle, Is.LessThan(start));
        Assert.That(Values(q), Is.EqualTo(Values(p)));
        Assert.That(() => first.Step(), Throws.InvalidOperationException.With.Message.Contains("closure"));
        Assert.That(
            () => second.LoadStateDict(new Dictionary<string, Tensor>(first.StateDict()) { ["state.d"] = Tensor.Zeros(3) }),
            Throws.ArgumentException.With.Message.Contains("state.d"));
    }

    // ------------------------------------------------------------------------------------------------ averages

    [Test]
    public void AveragedModelsPredictWithTheMeanOfTheParameters()
    {
        var model = new Sequential(new Linear(3, 2));
        var averaged = new AveragedModel(model);
        var ema = new AveragedModel(model, AveragedModel.Ema(0.75));
        var optimizer = new SGD(model.Parameters(), lr: 0.3);
        var x = Tensor.FromArray(Start(5, 6), 2, 3);
        var seen = new List<float[]>();
        for (var i = 0; i < 3; i++)
        {
            optimizer.ZeroGrad();
            model.Forward(x).Square().Sum().Backward();
            optimizer.Step();
            averaged.UpdateParameters(model);
            ema.UpdateParameters(model);
            seen.Add([.. model.Parameters().SelectMany(p => p.ToArray<float>())]);
        }

        var mean = seen[0].Select((_, k) => seen.Average(s => s[k])).ToArray();
        var moving = seen[0].Select((v, k) => (0.75 * ((0.75 * v) + (0.25 * seen[1][k]))) + (0.25 * seen[2][k])).ToArray();
        Assert.That(averaged.Parameters().SelectMany(p => p.ToArray<float>()), Is.EqualTo(mean).Within(1e-6f));
        Assert.That(ema.Parameters().SelectMany(p => p.ToArray<float>()), Is.EqualTo(moving).Within(1e-6f));
        Assert.That(averaged.StateDict().Keys, Is.EquivalentTo(new[] { "n_averaged", "module.0.weight", "module.0.bias" }));
        Assert.That(averaged.NAveraged, Is.EqualTo(3));

        var predicted = averaged.Forward(x);
        var own = model.Forward(x).ToArray<float>();
        model.LoadStateDict(averaged.StateDict().Where(e => e.Key != "n_averaged").ToDictionary(e => e.Key["module.".Length..], e => e.Value));
        Assert.That(predicted.ToArray<float>(), Is.EqualTo(model.Forward(x).ToArray<float>()));
        Assert.That(predicted.ToArray<float>(), Is.Not.EqualTo(own));
        Assert.That(() => averaged.UpdateParameters(new Linear(3, 2)), Throws.ArgumentException);
    }
    [Test]
    public void RunningStatisticsOfAveragesAreComputedAnew()
    {
        var norm = new BatchNorm1d(2, momentum: 0.3);
        var model = new Sequential(new Linear(3, 2), norm);
        var averaged = new AveragedModel(model);
        Tensor[] batches = [Tensor.FromArray(Start(5, 12), 4, 3), Tensor.FromArray(Start(6, 12), 4, 3)];
        var optimizer = new SGD(model.Parameters(), lr: 0.3);
        foreach (var x in batches)
        {
            optimizer.ZeroGrad();
            (model.Forward(x) - 1).Square().Sum().Backward();
            optimizer.Step();
            averaged.UpdateParameters(model);
        }

        Assert.That(averaged.GetBuffer("module.1.running_mean").ToArray<float>(), Is.EqualTo(norm.RunningMean!.ToArray<float>()));
        var own = model.StateDict().ToDictionary(e => e.Key, e => e.Value.ToArray<double>());
        AveragedModel.UpdateBn(batches, averaged);
        var weight = averaged.GetParameter("module.0.weight");
        var bias = averaged.GetParameter("module.0.bias");
        var mean = batches.Select(x => (x.MatMul(weight.T) + bias).Mean(0)).Aggregate((a, b) => a + b) / 2;
        Assert.That(averaged.GetBuffer("module.1.running_mean").ToArray<float>(), Is.EqualTo(mean.ToArray<float>()).Within(1e-6f));
        Assert.That(averaged.GetBuffer("module.1.num_batches_tracked").Item(), Is.EqualTo(2));
        Assert.That(norm.Momentum, Is.EqualTo(0.3));
        Assert.That(model.StateDict().Where(e => !e.Value.ToArray<double>().SequenceEqual(own[e.Key])), Is.Empty, "the model itself changed");

        averaged.Eval();
        var predicted = averaged.Forward(batches[0]).ToArray<float>();
        model.LoadStateDict(averaged.StateDict().Where(e => e.Key != "n_averaged").ToDictionary(e => e.Key["module.".Length..], e => e.Value));
        Assert.That(model.Training);
        model.Eval();
        Assert.That(predicted, Is.EqualTo(model.Forward(batches[0]).ToArray<float>()).Within(1e-6f));
        AveragedModel.UpdateBn([batches[1]], model);
        Assert.That(norm.NumBatchesTracked!.Item(), Is.EqualTo(1));
    }
}
