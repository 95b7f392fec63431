using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

/// <summary>Sharing, freezing, types, looking inside, files.</summary>
internal sealed class ModuleStateTests
{
    /// <summary>A head that is the table.</summary>
    private sealed class Tied : Module
    {
        public Tied() => Head.Weight = Table.Weight;

        public Embedding Table { get; } = new(5, 3);

        public Linear Head { get; } = new(3, 5, bias: false);

        public override Tensor Forward(Tensor input) => Called(input, Head.Forward(Table.Forward(input)));
    }

    private static readonly Tensor Ids = Tensor.FromArray([0, 1, 2, 3]);

    [Test]
    public void ASharedParameterIsOneParameter()
    {
        var model = new Tied();
        Assert.That(model.NamedParameters().Select(p => p.Name), Is.EqualTo(new[] { "table.weight" }));
        Assert.That(model.ParameterCount(), Is.EqualTo(15));
        Assert.That(model.StateDict().Keys, Is.EqualTo(new[] { "table.weight", "head.weight" }), "PyTorch writes both names");
        var optimizer = new SGD(model.Parameters(), lr: 0.1);
        var before = model.Table.Weight.ToArray<float>();
        F.CrossEntropy(model.Forward(Ids), Ids).Backward();
        var gradient = model.Table.Weight.Grad!.ToArray<float>();
        optimizer.Step();
        Assert.That(model.Head.Weight, Is.SameAs(model.Table.Weight));
        Assert.That(model.Head.Weight.ToArray<float>(), Is.EqualTo(before.Zip(gradient, (w, g) => w - (0.1f * g))).Within(1e-6));
    }

    [Test]
    public void LoadingKeepsTheTie()
    {
        Tied from = new(), to = new();
        to.LoadStateDict(from.StateDict());
        Assert.That(to.Head.Weight, Is.SameAs(to.Table.Weight));
        Assert.That(to.Head.Weight.ToArray<float>(), Is.EqualTo(from.Table.Weight.ToArray<float>()));
        var one = from.StateDict().Where(p => p.Key == "table.weight").ToDictionary();
        Assert.That(new Tied().LoadStateDict(one).MissingKeys, Is.Empty, "one of its names is enough");
    }

    [Test]
    public void FrozenPartsStayAsTheyAre()
    {
        var net = new Sequential(new Linear(3, 4), new ReLU(), new Linear(4, 1));
        net[0].Freeze();
        var optimizer = new SGD(net.Parameters(), lr: 0.1);
        float[] first = ((Linear)net[0]).Weight.ToArray<float>(), last = ((Linear)net[2]).Bias!.ToArray<float>();
        net.Forward(Tensor.Ones(2, 3)).Sum().Backward();
        optimizer.Step();
        Assert.That(((Linear)net[0]).Weight.ToArray<float>(), Is.EqualTo(first));
        Assert.That(((Linear)net[0]).Weight.Grad, Is.Null);
        Assert.That(((Linear)net[2]).Bias!.ToArray<float>(), Is.Not.EqualTo(last));
        net.Unfreeze();
        Init.Ones(((Linear)net[0]).Weight);
        optimizer.ZeroGrad();
        net.Forward(Tensor.Ones(2, 3)).Sum().Backward();
        optimizer.Step();
        Assert.That(((Linear)net[0]).Weight.ToArray<float>(), Has.Some.Not.EqualTo(1));
    }

    [Test]
    public void TypesChangeTogether()
    {
        var net = new Sequential(new Linear(3, 4), new BatchNorm1d(4));
        var single = net.Forward(Tensor.RandN([6, 3], new Generator(1))).ToArray<float>();
        net.To(DType.Float64);
        Assert.That(net.Parameters().Select(p => p.DType), Has.All.EqualTo(DType.Float64));
        Assert.That(net.NamedBuffers().Select(b => b.Buffer.DType), Is.EqualTo(new[] { DType.Float64, DType.Float64, DType.Int64 }));
        var result = net.Forward(Tensor.RandN([6, 3], new Generator(1)).To(DType.Float64));
        Assert.That(result.DType, Is.EqualTo(DType.Float64));
        Assert.That(result.ToArray<float>(), Is.EqualTo(single).Within(1e-5));
        Assert.That(() => net.To(DType.Int32), Throws.ArgumentException);
    }

    [Test]
    public void PartsAreFoundByPath()
    {
        var net = new Sequential(("conv", new Conv2d(1, 2, 3)), ("norm", new BatchNorm2d(2)), ("rest", new Sequential(new ReLU(), new Flatten())));
        Assert.That(net.GetSubmodule("rest.1"), Is.InstanceOf<Flatten>());
        Assert.That(net.GetSubmodule(""), Is.SameAs(net));
        Assert.That(net.GetParameter("norm.bias").Shape, Is.EqualTo(new[] { 2 }));
        Assert.That(net.GetBuffer("norm.running_var").ToArray<float>(), Has.All.EqualTo(1));
        Assert.That(() => net.GetParameter("norm.bais"), Throws.InstanceOf<KeyNotFoundException>().With.Message.Contains("did you mean 'norm.bias'"));
        Assert.That(net.NamedChildren().Select(c => c.Name), Is.EqualTo(new[] { "conv", "norm", "rest" }));
        Assert.That(net["norm"], Is.InstanceOf<BatchNorm2d>());
        Assert.That(net[^1], Is.SameAs(net[-1]));
        Assert.That(net[..2].Count, Is.EqualTo(2));
        Assert.That(net.Modules(), Has.Count.EqualTo(6));
        var visited = new List<string>();
        net.Apply(m => visited.Add(m.GetType().Name));
        Assert.That(visited, Is.EqualTo(new[] { "Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Sequential", "Sequential" }));
    }

    [Test]
    public void SequentialGrows()
    {
        var net = new Sequential { new Linear(2, 3), { "act", new ReLU() } };
        net.Append(new Linear(3, 1)).Insert(0, new Identity());
        Assert.That(net.NamedChildren().Select(c => c.Name), Is.EqualTo(new[] { "0", "1", "act", "3" }));
        Assert.That(net.Forward(Tensor.Ones(4, 2)).Shape, Is.EqualTo(new[] { 4, 1 }));
        Assert.That(() => net.Add("act", new ReLU()), Throws.ArgumentException);
        Assert.That(() => net[7], Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => net["relu"], Throws.InstanceOf<KeyNotFoundException>());
    }

    [Test]
    public void HooksSeeAndReplaceResults()
    {
        var net = new Sequential(new Linear(2, 2), new ReLU());
        var seen = new List<string>();
        using (net[0].RegisterForwardHook((module, input, output) =>
        {
            seen.Add($"{module.GetType().Name} {string.Join(",", input.Shape)}");
            return output * 0 + 3;
        }))
        {
            Assert.That(net.Forward(Tensor.Ones(4, 2)).ToArray<float>(), Has.All.EqualTo(3));
        }

        net.Forward(Tensor.Ones(4, 2));
        Assert.That(seen, Is.EqualTo(new[] { "Linear 4,2" }));
    }

    private sealed record Shape(int Width, string Activation);

    [TestCase("weights.safetensors", "weights.json")]
    [TestCase("model", "model/config.json")]
    public void FilesHoldStateAndConfiguration(string name, string config)
    {
        var folder = Path.Combine(Path.GetTempPath(), $"nanograd-{Guid.NewGuid():N}");
        try
        {
            var net = new Sequential(new Linear(3, 4), new BatchNorm1d(4));
            net.Forward(Tensor.RandN([6, 3], new Generator(1)));
            net.Save(Path.Combine(folder, name), new Shape(4, "relu"));
            Assert.That(File.Exists(Path.Combine(folder, config)));
            Assert.That(Module.LoadConfig<Shape>(Path.Combine(folder, name)), Is.EqualTo(new Shape(4, "relu")));
            var other = new Sequential(new Linear(3, 4), new BatchNorm1d(4));
            other.Load(Path.Combine(folder, name));
            Assert.That(((BatchNorm1d)other[1]).RunningMean!.ToArray<float>(), Is.EqualTo(((BatchNorm1d)net[1]).RunningMean!.ToArray<float>()));
            Assert.That(((BatchNorm1d)other[1]).NumBatchesTracked!.Item(), Is.EqualTo(1));
            var wrong = new Sequential(("0", new Linear(3, 5)), ("norm", new BatchNorm1d(4)));
            Assert.That(() => wrong.Load(Path.Combine(folder, name)), Throws.ArgumentException.With.Message.Contains("'norm.running_mean' is missing")
                .And.Message.Contains("'1.running_mean' is unknown").And.Message.Contains("'0.weight' must be"));
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [Test]
    public void SummariesCountWhatTorchinfoCounts()
    {
        var net = new Sequential(new Conv2d(1, 8, 3, padding: 1), new BatchNorm2d(8), new ReLU(), new MaxPool2d(2), new Flatten(), new Linear(8 * 4 * 4, 10));
        net[5].Freeze();
        var programs = Engine.Statistics;
        var summary = net.Summary(2, 1, 8, 8);
        Assert.That(Engine.Statistics, Is.EqualTo(programs), "nothing is computed");
        Assert.That(net.Training && ((BatchNorm2d)net[1]).NumBatchesTracked!.Item() == 0);
        Assert.That(summary.Rows.Select(r => r.Parameters), Is.EqualTo(new[] { 0, 80, 16, 0, 0, 0, 1290 }));
        Assert.That(summary.Rows[4].OutputShape, Is.EqualTo(new[] { 2, 8, 4, 4 }));
        Assert.That(summary.TotalParameters, Is.EqualTo(1386));
        Assert.That(summary.TrainableParameters, Is.EqualTo(96));
        Assert.That(summary.MultAdds, Is.EqualTo((72 * 2 * 64) + (1280 * 2)));
        Assert.That(summary.InputBytes, Is.EqualTo(2 * 64 * 4));
        var text = summary.ToString();
        Assert.That(text, Does.Contain("├─Conv2d (0): 1-1").And.Contain("[2, 8, 8, 8]").And.Contain("Total params: 1,386").And.Contain("Non-trainable params: 1,290"));
        Assert.That(new Tied().Summary([4], DType.Int64).TotalParameters, Is.EqualTo(15));
    }

    [Test]
    public void ParametersAreAVectorAndBack()
    {
        Linear from = new(3, 2), to = new(3, 2);
        var vector = Utils.ParametersToVector(from.Parameters());
        Assert.That(vector.Shape, Is.EqualTo(new[] { 8 }));
        Utils.VectorToParameters(vector, to.Parameters());
        Assert.That(to.Weight.ToArray<float>(), Is.EqualTo(from.Weight.ToArray<float>()));
        Assert.That(to.Bias!.ToArray<float>(), Is.EqualTo(from.Bias!.ToArray<float>()));
        Assert.That(() => Utils.VectorToParameters(vector[..7], to.Parameters()), Throws.ArgumentException.With.Message.Contains("[8]"));
    }
}
