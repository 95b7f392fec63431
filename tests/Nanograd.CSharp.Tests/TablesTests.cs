using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class TablesTests
{
    [Test]
    public void UnpoolingPutsTheLargestBack()
    {
        var x = Tensor.Rand([2, 3, 4, 6], new Generator(1)) + 1;
        var pool = new MaxPool2d(2);
        var (y, places) = pool.ForwardWithIndices(x);
        Assert.That(y.ToArray<float>(), Is.EqualTo(pool.Forward(x).ToArray<float>()));
        var spread = new MaxUnpool2d(2).Forward(y, places);
        Assert.That(spread.Shape, Is.EqualTo(x.Shape));
        Assert.That(spread.ToArray<float>().Zip(x.ToArray<float>()).All(p => p.First == 0 || p.First == p.Second));
        Assert.That(spread.Sum().Item(), Is.EqualTo(y.Sum().Item()).Within(1e-3));
        Assert.That(F.MaxUnpool2d(y, places, 2, outputSize: [5, 6]).Shape, Is.EqualTo(new[] { 2, 3, 5, 6 }));
    }

    [Test]
    public void PaddingIdxStartsAtZeroAndStays()
    {
        var table = new Embedding(5, 3, paddingIdx: -5);
        Assert.That(table.Weight[0].ToArray<float>(), Has.All.Zero);
        var optimizer = new SGD(table.Parameters(), lr: 1);
        (table.Forward(Tensor.FromArray([0, 1, 0, 2])) + 1).Square().Sum().Backward();
        optimizer.Step();
        Assert.That(table.Weight[0].ToArray<float>(), Has.All.Zero);
        Assert.That(() => new Embedding(5, 3, paddingIdx: 5), Throws.Exception);
    }

    [Test]
    public void MaxNormShortensTheRowsThatAreLookedUp()
    {
        var table = new Embedding(4, 3, maxNorm: 1);
        Init.Constant(table.Weight, 2);
        var found = table.Forward(Tensor.FromArray([1, 3]));
        Assert.That(found.Norm(2, [1]).ToArray<float>(), Has.All.EqualTo(1).Within(1e-5));
        Assert.That(table.Weight.Norm(2, [1]).ToArray<float>(), Is.EqualTo(new[] { Math.Sqrt(12), 1, Math.Sqrt(12), 1 }).Within(1e-5));
        found.Sum().Backward();
        new SGD(table.Parameters(), lr: 1).Step();
        Assert.That(table.Weight[2].ToArray<float>(), Has.All.EqualTo(2));
        Assert.That(() => F.Embedding(Tensor.FromArray([1]), Tensor.Ones(2, 2), maxNorm: 1), Throws.ArgumentException.With.Message.Contains("Parameter"));
    }

    [Test]
    public void PretrainedTablesAreFrozenUnlessToldOtherwise()
    {
        var frozen = Embedding.FromPretrained(Tensor.Ones(4, 3));
        Assert.That(frozen.Weight.RequiresGrad, Is.False);
        Assert.That(Embedding.FromPretrained(Tensor.Ones(4, 3), freeze: false).Weight.RequiresGrad);
        Assert.That(frozen.Forward(Tensor.FromArray([3])).ToArray<float>(), Has.All.EqualTo(1));
        Assert.That(() => Embedding.FromPretrained(Tensor.Ones(4)), Throws.ArgumentException);
    }

    [TestCase("sum")]
    [TestCase("mean")]
    [TestCase("max")]
    public void BagsArePooledRows(string mode)
    {
        var bag = new EmbeddingBag(6, 2, mode: mode);
        var rows = F.Embedding(Tensor.FromArray([5, 1, 1, 4]), bag.Weight);
        Tensor Pooled(Tensor part) => mode == "sum" ? part.Sum(0) : mode == "mean" ? part.Mean(0) : part.Max(0);
        var expected = Pooled(rows[..3]).ToArray<float>().Concat(Pooled(rows[3..]).ToArray<float>());
        Assert.That(bag.Forward(Tensor.FromArray([5, 1, 1, 4]), Tensor.FromArray([0, 3])).ToArray<float>(), Is.EqualTo(expected).Within(1e-6));
        Assert.That(() => new EmbeddingBag(6, 2, mode: "median"), Throws.ArgumentException);
        Assert.That(() => bag.Forward(Tensor.FromArray([5, 1])), Throws.Exception.With.Message.Contains("offsets"));
    }

    /// <summary>What windows overlap is counted as often.</summary>
    [Test]
    public void FoldingIsTheAdjointOfUnfolding()
    {
        var x = Tensor.RandN([2, 3, 5, 6], new Generator(1));
        var columns = new Unfold((2, 3), padding: 1).Forward(x);
        var other = Tensor.RandN([.. columns.Shape], new Generator(2));
        var back = new Fold((5, 6), (2, 3), padding: 1).Forward(other);
        Assert.That(back.Shape, Is.EqualTo(x.Shape));
        Assert.That((back * x).Sum().Item(), Is.EqualTo((columns * other).Sum().Item()).Within(1e-3));
        Assert.That(F.Unfold(x[0], 2).Shape, Is.EqualTo(new[] { 12, 20 }), "without a batch");
    }

    [Test]
    public void LoRALearnsAChangeBesideAFrozenLayer()
    {
        var layer = new Linear(4, 3);
        var before = layer.Weight.ToArray<float>();
        var lora = new LoRA(layer, rank: 2, alpha: 4);
        var x = Tensor.RandN([5, 4], new Generator(1));
        Assert.That(lora.Forward(x).ToArray<float>(), Is.EqualTo(layer.Forward(x).ToArray<float>()).Within(1e-6), "no change at the start");
        Assert.That(lora.NamedParameters().Where(p => p.Parameter.RequiresGrad).Select(p => p.Name), Is.EqualTo(new[] { "lora_A", "lora_B" }));
        var optimizer = new SGD(lora.Parameters(), lr: 0.1);
        for (var step = 0; step < 5; step++)
        {
            optimizer.ZeroGrad();
            (lora.Forward(x) - 1).Square().Mean().Backward();
            optimizer.Step();
        }

        Assert.That(layer.Weight.ToArray<float>(), Is.EqualTo(before));
        Assert.That(lora.Forward(x).ToArray<float>(), Is.Not.EqualTo(layer.Forward(x).ToArray<float>()));
        Assert.That(lora.Merge().Forward(x).ToArray<float>(), Is.EqualTo(lora.Forward(x).ToArray<float>()).Within(1e-5));
    }

    private static IEnumerable<(Module Drop, int[] Shape, int Axes)> Drops =>
    [
        (new Dropout(0.4, generator: new Generator(1)), [40, 50], 2),
        (new Dropout1d(0.4, generator: new Generator(1)), [40, 50, 3], 2),
        (new Dropout2d(0.4, generator: new Generator(1)), [40, 50, 3, 2], 2),
        (new Dropout3d(0.4, generator: new Generator(1)), [40, 50, 3, 2, 2], 2),
        (new DropPath(0.4, generator: new Generator(1)), [2000, 3], 1),
    ];

    [TestCaseSource(nameof(Drops))]
    public void WholePartsAreDropped((Module Drop, int[] Shape, int Axes) c)
    {
        var x = Tensor.Ones(c.Shape);
        var each = c.Shape.Skip(c.Axes).Aggregate(1, (n, e) => n * e);
        var parts = c.Drop.Forward(x).ToArray<float>().Chunk(each).ToList();
        Assert.That(parts.All(p => p.Distinct().Count() == 1), "a part stays or goes as a whole");
        Assert.That(parts.Average(p => p[0]), Is.EqualTo(1).Within(0.06), "the mean stays");
        Assert.That(parts.Select(p => p[0]).Distinct().Order(), Is.EqualTo(new[] { 0, 1 / 0.6 }).Within(1e-6));
        Assert.That(c.Drop.Eval().Forward(x).ToArray<float>(), Has.All.EqualTo(1));
    }

    [Test]
    public void AlphaDropoutKeepsMeanAndVariance()
    {
        var x = Tensor.RandN([200, 200], new Generator(3));
        foreach (var y in new[] { F.AlphaDropout(x, 0.3, generator: new Generator(4)), F.FeatureAlphaDropout(x, 0.3, generator: new Generator(4)) })
        {
            Assert.That(y.Mean().Item(), Is.EqualTo(0).Within(0.03));
            Assert.That(y.Std().Item(), Is.EqualTo(1).Within(0.03));
        }

        Assert.That(() => new AlphaDropout(1.5), Throws.ArgumentException);
    }

    [Test]
    public void RandomSlopesLieBetweenTheirBounds()
    {
        var layer = new RReLU(0.2, 0.4, generator: new Generator(1));
        var slopes = layer.Forward(Tensor.Full([1000], -1)).ToArray<float>().Select(v => -v).ToArray();
        Assert.That(slopes, Is.All.InRange(0.2f, 0.4f));
        Assert.That(slopes.Max() - slopes.Min(), Is.GreaterThan(0.19));
        Assert.That(layer.Eval().Forward(Tensor.Full([3], -1)).ToArray<float>(), Has.All.EqualTo(-0.3f).Within(1e-6));
    }

    [Test]
    public void GatedUnitsHaveOneMap()
    {
        var x = Tensor.RandN([2, 3], new Generator(1));
        SwiGLU swi = new(3, 4);
        var halves = F.Linear(x, swi.Proj.Weight, swi.Proj.Bias);
        Assert.That(swi.Forward(x).ToArray<float>(), Is.EqualTo((F.SiLU(halves[.., ..4]) * halves[.., 4..]).ToArray<float>()).Within(1e-6));
        Assert.That(new GEGLU(3, 4).StateDict().Keys, Is.EqualTo(new[] { "proj.weight", "proj.bias" }));
        Assert.That(new ReGLU(3, 4, bias: false).Forward(x).Shape, Is.EqualTo(new[] { 2, 4 }));
    }
}
