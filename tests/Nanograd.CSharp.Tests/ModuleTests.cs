using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class ModuleTests
{
    private sealed class Block(int width) : Module
    {
        private readonly Linear _fc1 = new(width, width);

        public LayerNorm OutNorm { get; } = new(width);

        public override Tensor Forward(Tensor x) => OutNorm.Forward(_fc1.Forward(x).Relu());
    }

    private sealed class Net : Module
    {
        private readonly Module[] _layers = [new Block(4), new Block(4)];
        private readonly List<Parameter> _scales = [new(Tensor.Ones(4)), new(Tensor.Ones(4))];

        [KeyName("head_1")]
        public Linear Head { get; } = new(4, 2, bias: false);

        public Linear? Nothing { get; }

        public override Tensor Forward(Tensor x)
        {
            for (var i = 0; i < _layers.Length; i++)
            {
                x = _layers[i].Forward(x) * _scales[i];
            }

            return Head.Forward(x);
        }
    }

    [Test]
    public void PartsAreFoundUnderPyTorchsNames()
    {
        var names = new Net().NamedParameters().Select(p => p.Name);
        Assert.That(names, Is.EqualTo(new[]
        {
            "scales.0", "scales.1",
            "layers.0.fc1.weight", "layers.0.fc1.bias", "layers.0.out_norm.weight", "layers.0.out_norm.bias",
            "layers.1.fc1.weight", "layers.1.fc1.bias", "layers.1.out_norm.weight", "layers.1.out_norm.bias",
            "head_1.weight",
        }));
        Assert.That(new Sequential(new ReLU(), new Linear(2, 3)).NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "1.weight", "1.bias" }));
        Assert.That(
            new MultiheadAttention(8, 2).NamedParameters().Select(p => p.Name),
            Is.EqualTo(new[] { "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias" }));
    }

    [Test]
    public void GptHasGpt2sNames()
    {
        var gpt = new Gpt(vocabulary: 11, context: 8, layers: 1, heads: 2, embd: 16, tiedHead: false);
        Assert.That(gpt.NamedParameters().Select(p => p.Name), Is.EquivalentTo(new[]
        {
            "wte.weight", "wpe.weight", "h.0.ln_1.weight", "h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight",
            "h.0.ln_2.weight", "h.0.mlp.c_fc.weight", "h.0.mlp.c_proj.weight", "ln_f.weight", "lm_head.weight",
        }));
        Assert.That(gpt.Forward(Tensor.FromArray([1, 2, 3, 4], 2, 2)).Shape, Is.EqualTo(new[] { 2, 2, 11 }));
        Assert.That(() => new Gpt(11, heads: 3, embd: 16), Throws.ArgumentException);
    }

    [Test]
    public void AStateDictGoesIntoAnEqualModel()
    {
        Net a = new(), b = new();
        var x = Tensor.RandN([3, 4], new Generator(1));
        Assert.That(b.Forward(x).ToArray<float>(), Is.Not.EqualTo(a.Forward(x).ToArray<float>()));
        b.LoadStateDict(a.StateDict());
        Assert.That(b.Forward(x).ToArray<float>(), Is.EqualTo(a.Forward(x).ToArray<float>()));
        var path = Path.Combine(Path.GetTempPath(), $"nanograd-{Guid.NewGuid():N}.safetensors");
        Safetensors.Save(path, a.StateDict());
        var read = Safetensors.Load(path);
        File.Delete(path);
        Assert.That(Safetensors.Sha256(read), Is.EqualTo(Safetensors.Sha256(a.StateDict())));
    }

    [Test]
    public void WhatDoesNotFitIsListed()
    {
        var model = new Net();
        var state = new Dictionary<string, Tensor>(model.StateDict());
        state["head_2.weight"] = state["head_1.weight"];
        state.Remove("head_1.weight");
        state["scales.0"] = Tensor.Ones(5);
        var e = Assert.Throws<ArgumentException>(() => model.LoadStateDict(state))!;
        Assert.That(e.Message, Does.Contain("'head_1.weight' is missing (did you mean 'head_2.weight'?)")
            .And.Contains("'head_2.weight' is unknown").And.Contains("'scales.0' must be f32[4], got f32[5]"));
        state["scales.0"] = Tensor.Ones(4);
        var report = model.LoadStateDict(state, strict: false);
        Assert.That(report.MissingKeys, Is.EqualTo(new[] { "head_1.weight" }));
        Assert.That(report.UnexpectedKeys, Is.EqualTo(new[] { "head_2.weight" }));
    }

    [Test]
    public void TrainAndEvalReachAllParts()
    {
        var model = new Net();
        Assert.That(model.Training);
        model.Eval();
        Assert.That(model.NamedModules().Select(m => m.Module.Training), Is.All.False);
        Assert.That(model.NamedModules().Select(m => m.Name), Does.Contain("layers.1.out_norm"));
        model.Train();
        Assert.That(model.NamedModules().Select(m => m.Module.Training), Is.All.True);
    }

    [Test]
    public void LinearStartsAsPyTorchsDoes()
    {
        var weight = new Linear(100, 200).Weight.ToArray<float>();
        Assert.That(weight.Max(), Is.LessThanOrEqualTo(0.1).And.GreaterThan(0.099));
        Assert.That(weight.Min(), Is.GreaterThanOrEqualTo(-0.1).And.LessThan(-0.099));
    }

    [Test]
    public void AttentionOfOneHeadIsTheFormula()
    {
        var generator = new Generator(5);
        Tensor q = Tensor.RandN([2, 3, 4], generator), k = Tensor.RandN([2, 5, 4], generator), v = Tensor.RandN([2, 5, 4], generator);
        var expected = (q.MatMul(k.T) / 2.0).Softmax(-1).MatMul(v);
        Assert.That(F.ScaledDotProductAttention(q, k, v).ToArray<float>(), Is.EqualTo(expected.ToArray<float>()).Within(1e-5));
        var causal = F.ScaledDotProductAttention(q, q, q, isCausal: true);
        Assert.That(causal[0][0].ToArray<float>(), Is.EqualTo(q[0][0].ToArray<float>()).Within(1e-5));
    }

    [Test]
    public void MultiheadAttentionTakesAllLayouts()
    {
        var attention = new MultiheadAttention(8, 2, batchFirst: true);
        var x = Tensor.RandN([2, 5, 8], new Generator(2));
        var (output, weights) = attention.Forward(x, x, x);
        Assert.That(output.Shape, Is.EqualTo(new[] { 2, 5, 8 }));
        Assert.That(weights.Sum(-1).ToArray<float>(), Is.All.EqualTo(1).Within(1e-5));
        var sequenceFirst = new MultiheadAttention(8, 2);
        sequenceFirst.LoadStateDict(attention.StateDict());
        var y = sequenceFirst.Forward(x.Transpose(0, 1)).Transpose(0, 1);
        Assert.That(y.ToArray<float>(), Is.EqualTo(output.ToArray<float>()).Within(1e-5));
        Assert.That(attention.Forward(x[0]).ToArray<float>(), Is.EqualTo(output[0].ToArray<float>()).Within(1e-5));
        var padded = attention.Forward(x, x, x, keyPaddingMask: Tensor.FromArray([false, false, false, true, true, false, false, false, false, false], 2, 5)).Weights;
        Assert.That(padded[0][0].ToArray<float>()[3..], Is.All.Zero);
    }

    [Test]
    public void LossesReduceAsAsked()
    {
        var logits = Tensor.FromArray(new float[,] { { 0, 0 }, { 0, 0 } });
        var target = Tensor.FromArray([0, 1]);
        Assert.That(F.CrossEntropy(logits, target).Item(), Is.EqualTo(Math.Log(2)).Within(1e-6));
        Assert.That(F.CrossEntropy(logits, target, "sum").Item(), Is.EqualTo(2 * Math.Log(2)).Within(1e-6));
        Assert.That(F.CrossEntropy(logits, target, "none").Shape, Is.EqualTo(new[] { 2 }));
        Assert.That(F.MseLoss(Tensor.Ones(4), Tensor.Zeros(4) - 1).Item(), Is.EqualTo(4));
        Assert.That(() => F.MseLoss(logits, logits, "most"), Throws.ArgumentException);
    }

    /// <summary>Greedy texts by definition: the largest logit after the last tokens that fit into the context.</summary>
    [Test]
    public void AGptWritesWhatItsLogitsSayAlsoAfterAStep()
    {
        var gpt = new Gpt(vocabulary: 11, context: 20, layers: 2, heads: 2, embd: 16, generator: new Generator(3));
        foreach (var parameter in gpt.Parameters())
        {
            parameter.Set((parameter * 8).Detach());
        }

        var optimizer = new SGD(gpt.Parameters(), lr: 1e-4);
        List<int> text = [4, 7];
        foreach (var token in gpt.Generate([4, 7], 30, new Sampling { Greedy = true }))
        {
            Assert.That(token, Is.EqualTo(Largest()), $"token {text.Count}");
            text.Add(token);
            if (text.Count % 6 == 0)
            {
                optimizer.ZeroGrad();
                gpt.Forward(Tensor.FromArray([1L, 2, 3], 1, 3)).Square().Mean().Backward();
                optimizer.Step();
            }
        }

        Assert.That(text, Has.Count.EqualTo(32));

        int Largest()
        {
            Assert.That(gpt.Parameters().All(p => p.ToArray<float>().All(float.IsFinite)), "finite parameters");
            var seen = text.TakeLast(gpt.Context).Select(t => (long)t).ToArray();
            var logits = gpt.Forward(Tensor.FromArray(seen, 1, seen.Length)).ToArray<float>()[^gpt.Vocabulary..];
            return Array.IndexOf(logits, logits.Max());
        }
    }
}
