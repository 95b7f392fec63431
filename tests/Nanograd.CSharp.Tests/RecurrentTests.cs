using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>RNN, GRU, LSTM, their cells and packed sequences: laws and PyTorch's calls. (Numbers: OracleTests.)</summary>
internal sealed class RecurrentTests
{
    private static Generator Seeded => new(5);

    private static float[] Floats(Tensor t) => t.ToArray<float>();

    private static void Same(Tensor expected, Tensor actual, string what = "")
    {
        Assert.That(actual.Shape, Is.EqualTo(expected.Shape), what);
        Assert.That(Floats(actual), Is.EqualTo(Floats(expected)).Within(1e-5), what);
    }

    [Test]
    public void ParametersHavePyTorchsNames()
    {
        var lstm = new LSTM(3, 5, numLayers: 2, bidirectional: true, projSize: 2);
        Assert.That(lstm.NamedParameters().Select(p => p.Name), Is.EqualTo(new[]
        {
            "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight_hr_l0",
            "weight_ih_l0_reverse", "weight_hh_l0_reverse", "bias_ih_l0_reverse", "bias_hh_l0_reverse", "weight_hr_l0_reverse",
            "weight_ih_l1", "weight_hh_l1", "bias_ih_l1", "bias_hh_l1", "weight_hr_l1",
            "weight_ih_l1_reverse", "weight_hh_l1_reverse", "bias_ih_l1_reverse", "bias_hh_l1_reverse", "weight_hr_l1_reverse",
        }));
        Assert.That(lstm["weight_ih_l1"].Shape, Is.EqualTo(new[] { 20, 4 }));
        Assert.That(new GRUCell(3, 5).NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "weight_ih", "weight_hh", "bias_ih", "bias_hh" }));
        Assert.That(new RNN(3, 5, bias: false).NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "weight_ih_l0", "weight_hh_l0" }));
        Assert.That(Floats(new GRU(3, 25)["weight_hh_l0"]), Is.All.InRange(-0.2f, 0.2f));
        Assert.That(lstm.ToString(), Is.EqualTo("LSTM(3, 5, proj_size=2, num_layers=2, bidirectional=True)"));
        Assert.That(new RNNCell(3, 5, bias: false, nonlinearity: "relu").ToString(), Is.EqualTo("RNNCell(3, 5, bias=False, nonlinearity=relu)"));
        Assert.That(() => lstm["weight"], Throws.TypeOf<KeyNotFoundException>().With.Message.Contains("weight_ih_l0"));
    }

    [Test]
    public void ALayerIsItsCellStepByStep()
    {
        var g = Seeded;
        var x = Tensor.RandN([4, 2, 3], g);
        var lstm = new LSTM(3, 5, generator: g);
        var cell = new LSTMCell(3, 5);
        cell.LoadStateDict(lstm.StateDict().ToDictionary(p => p.Key[..^3], p => p.Value));
        var (output, (hn, cn)) = lstm.Forward(x);
        (Tensor H, Tensor C)? state = null;
        for (var t = 0; t < 4; t++)
        {
            state = cell.Forward(x[t], state);
            Same(output[t], state.Value.H, $"step {t}");
        }

        Same(hn[0], state!.Value.H);
        Same(cn[0], state.Value.C);
        var rnn = new RNN(3, 5, nonlinearity: "relu", generator: g);
        var elman = new RNNCell(3, 5, nonlinearity: "relu");
        elman.LoadStateDict(rnn.StateDict().ToDictionary(p => p.Key[..^3], p => p.Value));
        Same(rnn.Forward(x[..1]).HN[0], elman.Forward(x[0]));
        var gru = new GRU(3, 5, generator: g);
        var unit = new GRUCell(3, 5);
        unit.LoadStateDict(gru.StateDict().ToDictionary(p => p.Key[..^3], p => p.Value));
        Same(gru.Forward(x).HN[0], Enumerable.Range(0, 4).Aggregate((Tensor?)null, (h, t) => unit.Forward(x[t], h))!);
    }

    [Test]
    public void LayoutsAreViewsOfTheSame()
    {
        var g = Seeded;
        var x = Tensor.RandN([6, 3, 4], g);
        var gru = new GRU(4, 5, numLayers: 2, bidirectional: true, generator: g);
        var first = new GRU(4, 5, numLayers: 2, batchFirst: true, bidirectional: true);
        first.LoadStateDict(gru.StateDict());
        var (output, hn) = gru.Forward(x);
        var (turned, same) = first.Forward(x.Transpose(0, 1));
        Same(output, turned.Transpose(0, 1));
        Same(hn, same);
        var (alone, last) = gru.Forward(x.Select(1, 2)); // without a batch
        Same(output.Select(1, 2), alone);
        Same(hn.Select(1, 2), last);
        var (halfway, h) = new RNN(4, 5, generator: g) is var rnn ? rnn.Forward(x[..2]) : default;
        Same(rnn.Forward(x).Output[2..], rnn.Forward(x[2..], h).Output, "the state is all that is remembered");
        Assert.That(halfway.Shape, Is.EqualTo(new[] { 2, 3, 5 }));
        Assert.That(new Sequential(gru, new Linear(10, 1)).Forward(x).Shape, Is.EqualTo(new[] { 6, 3, 1 }));
    }

    [Test]
    public void PackedSequencesAreComputedEachAsIfAlone([Values] bool batchFirst)
    {
        var g = Seeded;
        int[] lengths = [2, 5, 3];
        Tensor[] sequences = [.. lengths.Select(n => Tensor.RandN([n, 4], g))];
        var lstm = new LSTM(4, 3, numLayers: 2, batchFirst: batchFirst, bidirectional: true, generator: g);
        var packed = RnnUtils.PackPaddedSequence(RnnUtils.PadSequence(sequences, batchFirst, 7), lengths, batchFirst, enforceSorted: false);
        var (output, (hn, cn)) = lstm.Forward(packed);
        var (padded, sizes) = RnnUtils.PadPackedSequence(output, batchFirst, paddingValue: -1, totalLength: 6);
        Assert.That(sizes.ToArray<int>(), Is.EqualTo(lengths));
        Assert.That(padded.Shape, Is.EqualTo(batchFirst ? [3, 6, 6] : new[] { 6, 3, 6 }));
        for (var i = 0; i < 3; i++)
        {
            var (alone, (h, c)) = lstm.Forward(sequences[i]);
            Same(alone, RnnUtils.UnpackSequence(output)[i], $"sequence {i}");
            Same(h, hn.Select(1, i));
            Same(c, cn.Select(1, i));
            Assert.That(Floats((batchFirst ? padded[i] : padded.Select(1, i))[lengths[i]..]), Is.All.EqualTo(-1));
        }

        Same(RnnUtils.PadPackedSequence(output, batchFirst).Padded, lstm.Forward(RnnUtils.PadSequence(sequences, batchFirst), lengths: sizes).Output, "lengths mean the same");
    }

    /// <summary>A program of a step knows nothing of the steps before it, however long the loop runs.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void StatesOfAGeneratingLoopAreComputedStepByStep(bool isCell)
    {
        var g = Seeded;
        var lstm = new LSTM(3, 5, generator: g);
        var cell = new LSTMCell(3, 5);
        cell.LoadStateDict(lstm.StateDict().ToDictionary(p => p.Key[..^3], p => p.Value));
        Tensor[] xs = [.. Enumerable.Range(0, 40).Select(_ => Tensor.FromArray(Tensor.RandN([3], g).ToArray<float>(), 1, 3))];
        var expected = lstm.Forward(Tensor.Stack(xs)).Output[-1].ToArray<float>();
        using var noGrad = new NoGrad();
        (Tensor H, Tensor C)? state = null;
        var (programs, last) = (0L, Tensor.Scalar(0));
        for (var t = 0; t < 40; t++)
        {
            if (isCell)
            {
                state = cell.Forward(xs[t], state);
                last = state.Value.H;
            }
            else
            {
                (var output, state) = lstm.Forward(xs[t].Unsqueeze(0), state);
                last = output[0];
            }

            last.ToArray<float>();
            programs = t == 5 ? Engine.Statistics.Programs : programs;
        }

        Assert.That(Engine.Statistics.Programs, Is.EqualTo(programs));
        Assert.That(last.ToArray<float>(), Is.EqualTo(expected).Within(1e-6));
    }

    [Test]
    public void PackingIsPyTorchs()
    {
        Tensor[] sequences = [Tensor.FromArray(new float[] { 1, 2, 3 }), Tensor.FromArray(new float[] { 4, 5 }), Tensor.FromArray(new float[] { 6 })];
        var packed = RnnUtils.PackSequence(sequences);
        Assert.That(Floats(packed.Data), Is.EqualTo(new float[] { 1, 4, 6, 2, 5, 3 }));
        Assert.That(packed.BatchSizes, Is.EqualTo(new[] { 3, 2, 1 }));
        Assert.That(Floats(RnnUtils.PadSequence(sequences, batchFirst: true)), Is.EqualTo(new float[] { 1, 2, 3, 4, 5, 0, 6, 0, 0 }));
        Assert.That(RnnUtils.UnpadSequence(RnnUtils.PadSequence(sequences), [3, 2, 1]).Select(s => s.Shape[0]), Is.EqualTo(new[] { 3, 2, 1 }));
        Assert.That(() => RnnUtils.PackSequence([sequences[2], sequences[0]]), Throws.ArgumentException.With.Message.Contains("enforceSorted: false"));
        Assert.That(() => RnnUtils.PackPaddedSequence(Tensor.Ones(3, 2, 1), [4, 1]), Throws.ArgumentException.With.Message.Contains("2 lengths between 1 and 3, got 4, 1"));
        Assert.That(() => RnnUtils.PadPackedSequence(packed, totalLength: 2), Throws.ArgumentException.With.Message.Contains("at least the 3 steps"));
        Assert.That(() => RnnUtils.PadSequence([]), Throws.ArgumentException);
        Assert.That(() => RnnUtils.PadSequence([Tensor.Ones(2, 3), Tensor.Ones(2, 4)]), Throws.Exception.With.Message.Contains("agree in all axes but the first"));
    }

    [Test]
    public void DropoutIsBetweenLayersAndInTrainingOnly()
    {
        var x = Tensor.RandN([3, 2, 4], Seeded);
        LSTM New(double dropout, int layers = 2) => new(4, 5, layers, dropout: dropout, generator: new Generator(3));
        Tensor Run(LSTM lstm) => lstm.Forward(x).Output;
        Assert.That(Floats(Run(New(0.5))), Is.Not.EqualTo(Floats(Run(New(0)))));
        Assert.That(Floats(Run(New(0.5))), Is.EqualTo(Floats(Run(New(0.5)))), "the generator decides");
        var trained = New(0.5);
        trained.Eval();
        Assert.That(Floats(Run(trained)), Is.EqualTo(Floats(Run(New(0)))));
        Assert.That(Floats(Run(New(0.5, 1))), Is.EqualTo(Floats(Run(New(0, 1)))), "one layer has nothing between");
    }

    /// <summary>Truncated backpropagation through time: the state of a step is where the next one starts.</summary>
    [Test]
    public void AStateOutlivesAStep([Values] bool detachedBefore)
    {
        var g = Seeded;
        var model = new LSTM(2, 4, generator: g);
        var head = new Linear(4, 1, generator: g);
        var optimizer = new SGD([.. model.Parameters(), .. head.Parameters()], 0.1);
        (Tensor H, Tensor C)? state = null;
        var sums = new List<double>();
        for (var i = 0; i < 3; i++)
        {
            var (output, (h, c)) = model.Forward(Tensor.RandN([3, 1, 2], g), state);
            state = detachedBefore ? (h.Detach(), c.Detach()) : (h, c);
            var loss = F.MseLoss(head.Forward(output), Tensor.Zeros(3, 1, 1));
            optimizer.ZeroGrad();
            loss.Backward();
            optimizer.Step();
            state = (state.Value.H.Detach(), state.Value.C.Detach());
            sums.Add(state.Value.H.Sum().Item() + state.Value.C.Sum().Item());
        }

        Assert.That(sums, Is.Unique);
        Assert.That(sums.All(double.IsFinite));
    }

    [Test]
    public void WhatDoesNotFitIsSaid()
    {
        var lstm = new LSTM(3, 5);
        Assert.That(() => lstm.Forward(Tensor.Ones(4, 2, 2)), Throws.Exception.With.Message.Contains("[T,B,3]").And.Message.Contains("f32[4,2,2]"));
        Assert.That(() => lstm.Forward(Tensor.Ones(4, 2, 3), (Tensor.Ones(1, 2, 4), Tensor.Ones(1, 2, 5))), Throws.Exception.With.Message.Contains("initial states must be [1,2,5]"));
        Assert.That(() => lstm.Forward(Tensor.Ones(0, 2, 3)), Throws.Exception.With.Message.Contains("at least one step"));
        Assert.That(() => lstm.Forward(Tensor.Ones(4, 2, 3), lengths: Tensor.FromArray([5, 1])), Throws.Exception.With.Message.Contains("between 1 and the 4 steps, not 5"));
        Assert.That(() => new LSTM(3, 5, projSize: 5), Throws.ArgumentException.With.Message.Contains("smaller than the hidden size 5"));
        Assert.That(() => new RNN(3, 5, nonlinearity: "sine"), Throws.ArgumentException.With.Message.Contains("tanh or relu, got sine"));
        Assert.That(() => new GRU(0, 5), Throws.ArgumentException);
        Assert.That(() => new GRUCell(3, 5).Forward(Tensor.Ones(2, 3), Tensor.Ones(3, 5)), Throws.Exception.With.Message.Contains("as x is"));
        Assert.That(() => new RNNCell(3, 5).Forward(Tensor.Ones(2, 4)), Throws.Exception.With.Message.Contains("as wide as the weight"));
    }
}
