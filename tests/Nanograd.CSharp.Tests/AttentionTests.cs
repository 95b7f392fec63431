using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Attention, positions, transformers and mixtures: laws and PyTorch's calls. (Numbers: OracleTests.)</summary>
internal sealed class AttentionTests
{
    private static Generator Seeded => new(9);

    private static float[] Floats(Tensor t) => t.ToArray<float>();

    private static void Same(Tensor expected, Tensor actual, string what = "")
    {
        Assert.That(actual.Shape, Is.EqualTo(expected.Shape), what);
        Assert.That(Floats(actual), Is.EqualTo(Floats(expected)).Within(1e-5), what);
    }

    [Test]
    public void MasksOfFloatsAndOfBooleansMeanTheSame()
    {
        var g = Seeded;
        Tensor q = Tensor.RandN([2, 4, 5, 8], g), k = Tensor.RandN([2, 4, 7, 8], g), v = Tensor.RandN([2, 4, 7, 3], g);
        var visible = Tensor.Ones(5, 7).Tril().To(DType.Bool);
        var added = Tensor.Zeros(5, 7).MaskedFill(visible.LogicalNot(), double.NegativeInfinity);
        var expected = F.ScaledDotProductAttention(q, k, v, isCausal: true);
        Same(expected, F.ScaledDotProductAttention(q, k, v, visible), "bool");
        Same(expected, F.ScaledDotProductAttention(q, k, v, added), "floats");
        Same(expected, F.ScaledDotProductAttention(q * 2, k, v, visible, scale: 0.5 / Math.Sqrt(8)), "scale");
        var few = k[.., ..2];
        Same(
            F.ScaledDotProductAttention(q, few.RepeatInterleave(2, 1), v[.., ..2].RepeatInterleave(2, 1)),
            F.ScaledDotProductAttention(q, few, v[.., ..2], enableGqa: true), "shared heads");
        Assert.That(() => F.ScaledDotProductAttention(q, k, v, Tensor.Ones(5, 7).To(DType.Int64)), Throws.Exception.With.Message.Contains("bool (true = visible) or floats"));
        Assert.That(() => F.ScaledDotProductAttention(q, k[.., ..3], v[.., ..3], enableGqa: true), Throws.Exception.With.Message.Contains("multiple"));
    }

    [Test]
    public void MultiheadAttentionHasAllOfPyTorchsOptions()
    {
        var g = Seeded;
        var all = new MultiheadAttention(8, 2, addBiasKv: true, addZeroAttn: true, kdim: 5, vdim: 6, batchFirst: true, generator: g);
        Assert.That(all.NamedParameters().Select(p => p.Name), Is.EqualTo(new[]
        {
            "q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj.weight", "out_proj.bias",
        }));
        Tensor q = Tensor.RandN([3, 4, 8], g), k = Tensor.RandN([3, 6, 5], g), v = Tensor.RandN([3, 6, 6], g);
        var (output, weights) = all.Forward(q, k, v);
        Assert.That(output.Shape, Is.EqualTo(new[] { 3, 4, 8 }));
        Assert.That(weights.Shape, Is.EqualTo(new[] { 3, 4, 8 }), "two keys more");
        Assert.That(Floats(weights.Sum(-1)), Is.All.EqualTo(1).Within(1e-5));
        var (_, single) = all.Forward(q, k, v, averageAttnWeights: false);
        Same(weights, single.Mean(1));
        var self = new MultiheadAttention(8, 2, bias: false, generator: g);
        var x = Tensor.RandN([5, 3, 8], g);
        Same(self.Forward(x, x, x, attnMask: AttentionMask.Causal(5)).Output, self.Forward(x, x, x, isCausal: true).Output);
        Same(self.Forward(x, x, x, attnMask: Transformer.GenerateSquareSubsequentMask(5)).Output, self.Forward(x, x, x, isCausal: true).Output);
        var lengths = Tensor.FromArray([5, 2, 3]);
        var (padded, seen) = self.Forward(x, x, x, AttentionMask.Padding(5, lengths));
        Assert.That(Floats(seen[1, .., 2..]), Is.All.Zero);
        Same(padded.Select(1, 1)[..2], self.Forward(x.Select(1, 1)[..2]), "padding is as if it were not there");
    }

    [Test]
    public void WeightsHaveGradients()
    {
        var g = Seeded;
        var attention = new MultiheadAttention(4, 2, generator: g);
        var x = Tensor.RandN([3, 1, 4], g);
        attention.Forward(x, x, x).Weights.Square().Sum().Backward();
        Assert.That(Floats(attention.InProjWeight!.Grad!).Any(v => v != 0));
    }

    [Test]
    public void WhatDoesNotFitIsSaid()
    {
        var attention = new MultiheadAttention(8, 2, batchFirst: true);
        var x = Tensor.Ones(2, 5, 8);
        Assert.That(() => attention.Forward(x, x, x, attnMask: AttentionMask.Causal(4)), Throws.Exception.With.Message.Contains("must be [5,5] or [2*2,5,5]"));
        Assert.That(() => attention.Forward(x, x, x, Tensor.Ones(5, 2).To(DType.Bool)), Throws.Exception.With.Message.Contains("must be [2,5]"));
        Assert.That(() => attention.Forward(x, x, x, attnMask: Tensor.Ones(5, 5).To(DType.Int32)), Throws.Exception.With.Message.Contains("masks must be bool (true = excluded) or floats"));
        Assert.That(() => attention.Forward(Tensor.Ones(2, 5, 6)), Throws.Exception);
        Assert.That(() => new MultiheadAttention(8, 3), Throws.ArgumentException.With.Message.Contains("multiple of numHeads, got 8 and 3"));
        Assert.That(() => new TransformerEncoderLayer(8, 2, activation: "tanh"), Throws.ArgumentException.With.Message.Contains("relu, gelu or a function, got tanh"));
        Assert.That(() => new TransformerEncoder(new TransformerEncoderLayer(8, 2), 0), Throws.ArgumentException);
        Assert.That(() => new GroupedQueryAttention(8, 4, 3), Throws.ArgumentException);
        Assert.That(() => new RotaryEmbedding(3), Throws.ArgumentException.With.Message.Contains("even"));
        Assert.That(() => new PositionalEncoding(8, maxLen: 4).Forward(Tensor.Ones(5, 1, 8)), Throws.ArgumentException.With.Message.Contains("at most 4 places"));
        Assert.That(() => new MixtureOfExperts(4, 8, experts: 2, topK: 3), Throws.ArgumentException);
    }

    [Test]
    public void StacksStartAsCopies()
    {
        var layer = new TransformerEncoderLayer(8, 2, dimFeedforward: 16, dropout: 0, generator: Seeded);
        var encoder = new TransformerEncoder(layer, 2, new LayerNorm(8));
        Assert.That(encoder.NamedParameters().Count, Is.EqualTo((2 * 12) + 2));
        Assert.That(encoder.NamedParameters()[0].Name, Is.EqualTo("layers.0.self_attn.in_proj_weight"));
        var x = Tensor.RandN([5, 3, 8], Seeded);
        Same(encoder.Norm!.Forward(layer.Forward(layer.Forward(x))), encoder.Forward(x));
        var optimizer = new SGD(encoder.Parameters(), 0.1);
        F.MseLoss(encoder.Forward(x), x).Backward();
        optimizer.Step();
        Assert.That(Floats(encoder.Layers[0].Linear1.Weight), Is.Not.EqualTo(Floats(encoder.Layers[1].Linear1.Weight)), "but copies they are no more");
        Assert.That(Floats(encoder.Layers[0].Linear1.Weight), Is.Not.EqualTo(Floats(layer.Linear1.Weight)));
    }

    [Test]
    public void LaterTokensDoNotChangeEarlierOutputs([Values] bool normFirst, [Values] bool batchFirst)
    {
        var g = Seeded;
        var transformer = new Transformer(8, 2, 2, 2, 16, activation: "gelu", batchFirst: batchFirst, normFirst: normFirst, bias: false, generator: g);
        transformer.Eval();
        Tensor source = Tensor.RandN([4, 2, 8], g), target = Tensor.RandN([6, 2, 8], g);
        var changed = Tensor.Cat([target[..3], target[3..] * 2 + 1]);
        Tensor Run(Tensor t) => batchFirst
            ? transformer.Forward(source.Transpose(0, 1), t.Transpose(0, 1), tgtMask: Transformer.GenerateSquareSubsequentMask(6)).Transpose(0, 1)
            : transformer.Forward(source, t, tgtIsCausal: true);
        Assert.That(Run(target).Shape, Is.EqualTo(new[] { 6, 2, 8 }));
        Assert.That(Floats(Run(target)[..3]), Is.EqualTo(Floats(Run(changed)[..3])));
        Assert.That(Floats(Run(target)[3..]), Is.Not.EqualTo(Floats(Run(changed)[3..])));
        Assert.That(transformer.NamedParameters().Where(p => p.Name.EndsWith("bias", StringComparison.Ordinal)), Is.Empty);
        var bound = Math.Sqrt(6.0 / 24);
        Assert.That(Floats(transformer.Encoder.Layers[0].Linear1.Weight), Is.All.InRange(-bound, bound), "Xavier");
    }

    [Test]
    public void AnActivationOfOnesOwn()
    {
        var own = new TransformerDecoderLayer(8, 2, x => x.Relu(), 16, dropout: 0, generator: Seeded);
        var named = new TransformerDecoderLayer(8, 2, 16, dropout: 0, generator: Seeded);
        Tensor x = Tensor.RandN([3, 2, 8], Seeded), memory = Tensor.RandN([4, 2, 8], Seeded);
        Same(named.Forward(x, memory), own.Forward(x, memory));
        var dropping = new TransformerEncoderLayer(8, 2, 16, generator: Seeded);
        Assert.That(Floats(dropping.Forward(x)), Is.Not.EqualTo(Floats(dropping.Forward(x))), "dropout is 0.1");
    }

    [Test]
    public void RotaryProductsDependOnDistances([Values] bool interleaved)
    {
        var rotary = new RotaryEmbedding(6, maxSeqLen: 32, interleaved: interleaved);
        var g = Seeded;
        Tensor q = Tensor.RandN([1, 6], g), k = Tensor.RandN([1, 6], g);
        double Product(int i, int j) => (rotary.Forward(q, Tensor.FromArray([i])) * rotary.Forward(k, Tensor.FromArray([j]))).Sum().Item();
        Assert.That(Product(7, 4), Is.EqualTo(Product(23, 20)).Within(1e-4));
        Assert.That(Product(7, 4), Is.Not.EqualTo(Product(4, 7)).Within(1e-4));
        var x = Tensor.RandN([2, 5, 6], Seeded);
        Same(rotary.Forward(x), rotary.Forward(x, Tensor.FromArray([0, 1, 2, 3, 4])));
        Assert.That(() => rotary.Forward(Tensor.Ones(33, 6)), Throws.ArgumentException.With.Message.Contains("maxSeqLen: 33"));
    }

    [Test]
    public void GroupedQueriesShareKeys()
    {
        var g = Seeded;
        var grouped = new GroupedQueryAttention(8, 4, 2, rotary: new RotaryEmbedding(2), generator: g);
        Assert.That(grouped.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "q_proj.weight", "k_proj.weight", "v_proj.weight", "o_proj.weight" }));
        Assert.That(grouped.KProj.Weight.Shape, Is.EqualTo(new[] { 4, 8 }));
        var x = Tensor.RandN([2, 6, 8], g);
        Same(grouped.Forward(x, AttentionMask.Causal(6)), grouped.Forward(x, null, isCausal: true));
        Same(grouped.Forward(x, null, isCausal: true), grouped.Forward(x, AttentionMask.SlidingWindow(6, 6)), "a window as long as the text");
        Assert.That(Floats(grouped.Forward(x, Positions.Alibi(4, 6, 6))), Is.Not.EqualTo(Floats(grouped.Forward(x))).Within(1e-4));
        var blocks = AttentionMask.BlockSparse(2, Tensor.FromArray([true, false, true, true], 2, 2));
        Assert.That(blocks.ToArray<bool>().Count(excluded => excluded), Is.EqualTo(4));
        Assert.That(() => grouped.Forward(Tensor.Ones(6, 8)), Throws.ArgumentException.With.Message.Contains("[batch, length, embedDim]"));
    }

    [Test]
    public void PositionsAreAdded()
    {
        var x = Tensor.RandN([5, 2, 8], Seeded);
        var encoding = new PositionalEncoding(8, dropout: 0);
        Same(x + Positions.Sinusoidal(5, 8).Unsqueeze(1), encoding.Forward(x));
        Same(encoding.Forward(x), new PositionalEncoding(8, 0, batchFirst: true).Forward(x.Transpose(0, 1)).Transpose(0, 1));
        var learned = new LearnedPositionalEmbedding(16, 8);
        Same(x + learned.Weight[..5].Unsqueeze(1), learned.Forward(x));
        Assert.That(Floats(Positions.AlibiSlopes(8)), Is.EqualTo(Enumerable.Range(1, 8).Select(i => Math.Pow(2, -i))).Within(1e-7));
    }

    [Test]
    public void ExpertsShareTheWork()
    {
        var g = Seeded;
        var x = Tensor.RandN([3, 5, 4], g);
        var all = new MixtureOfExperts(4, 8, experts: 3, topK: 3, generator: g);
        Assert.That(all.NamedParameters().Select(p => p.Name), Is.EquivalentTo(new[] { "router.weight", "w1", "b1", "w2", "b2" }));
        var (output, balance) = all.ForwardWithLoss(x);
        Assert.That(balance.Item(), Is.EqualTo(1).Within(1e-5), "everybody gets everything");
        var gates = all.Router.Forward(x).Softmax(-1);
        var experts = Enumerable.Range(0, 3)
            .Select(e => F.Linear(F.Linear(x, all.W1[e], all.B1[e]).Gelu(), all.W2[e], all.B2[e]) * gates.Slice(-1, e, e + 1));
        Same(experts.Aggregate((a, b) => a + b), output);
        var one = new MixtureOfExperts(4, 8, experts: 3, topK: 1, generator: g);
        Assert.That(one.ForwardWithLoss(x).BalanceLoss.Item(), Is.GreaterThan(0.5));
        var limited = new MixtureOfExperts(4, 8, experts: 3, topK: 1, capacityFactor: 0.2) { B2 = one.B2 };
        limited.LoadStateDict(one.StateDict());
        var kept = Floats(limited.Forward(x).Abs().Sum(-1)).Count(v => v > 0);
        Assert.That(kept, Is.InRange(1, 3), "an even share of 15 tokens is 5, and a fifth of it 1");
        var (y, load) = limited.ForwardWithLoss(x);
        (y.Square().Mean() + (load * 0.01f)).Backward();
        Assert.That(limited.Router.Weight.Grad, Is.Not.Null);
        new SGD(limited.Parameters(), 0.1).Step();
        Assert.That(load.Item(), Is.GreaterThan(0.5), "still there after the step");
    }
}
