using Nanograd.CSharp;
using NUnit.Framework;

namespace FacadeTests;

internal sealed class DataTests
{
    private sealed class Squares(int count) : Dataset<(Tensor X, Tensor Y)>
    {
        public override int Count => count;

        public override (Tensor X, Tensor Y) this[int index] => (Tensor.Scalar(index), Tensor.Scalar(index * index));
    }

    private sealed class Labelled : Dataset<(Tensor X, int Y)>
    {
        public override int Count => 5;

        public override (Tensor X, int Y) this[int index] => (Tensor.Ones(2) * index, index % 3);
    }

    private sealed class Naturals(int count) : IterableDataset<Tensor>
    {
        public override IEnumerator<Tensor> GetEnumerator()
        {
            for (var i = 0; i < count; i++)
            {
                yield return Tensor.Scalar(i);
            }
        }
    }

    private static float[] Values(Tensor t) => t.ToArray<float>();

    private static void InFolder(Action<string> test)
    {
        var folder = Directory.CreateTempSubdirectory("nanograd-tests-").FullName;
        try
        {
            test(folder);
        }
        finally
        {
            Directory.Delete(folder, true);
        }
    }

    [Test]
    public void EveryElementOncePerEpochInTheSameBatchesForAnyNumberOfWorkers()
    {
        List<float[]> Read(int workers)
        {
            var loader = new DataLoader(new Squares(23), batchSize: 4, shuffle: true, numWorkers: workers, generator: new Generator(3));
            var batches = new List<float[]>();
            foreach (var (x, y) in loader)
            {
                Assert.That(Values(y), Is.EqualTo(Values(x).Select(v => v * v)));
                batches.Add(Values(x));
            }

            Assert.That(batches, Has.Count.EqualTo(loader.Count));
            return batches;
        }

        var first = Read(0);
        Assert.That(first.SelectMany(b => b).Order(), Is.EqualTo(Enumerable.Range(0, 23).Select(i => (float)i)));
        for (var workers = 1; workers <= 4; workers++)
        {
            Assert.That(Read(workers), Is.EqualTo(first));
        }
    }

    [Test]
    public void EveryForeachIsTheNextEpoch()
    {
        var loader = new DataLoader<(Tensor X, Tensor Y)>(new Squares(30), batchSize: 30, shuffle: true);
        var epochs = Enumerable.Range(0, 3).Select(_ => Values(loader.Single().X)).ToArray();
        Assert.That(epochs[1], Is.Not.EqualTo(epochs[0]));
        Assert.That(loader.NextEpoch, Is.EqualTo(3));
        Assert.That(Values(loader.Epoch(1).Single().X), Is.EqualTo(epochs[1]));
        loader.NextEpoch = 2;
        Assert.That(Values(loader.Single().X), Is.EqualTo(epochs[2]));
    }

    [Test]
    public void ClassesMayBeNumbers()
    {
        var (x, y) = new DataLoader(new Labelled(), batchSize: 5, dropLast: true).Single();
        Assert.That(x.Shape, Is.EqualTo(new[] { 5, 2 }));
        Assert.That(y.DType, Is.EqualTo(DType.Int64));
        Assert.That(y.ToArray<long>(), Is.EqualTo(new[] { 0, 1, 2, 0, 1 }));
    }

    [Test]
    public void ElementsOfOtherTypesHaveACollateFn()
    {
        var words = new Squares(4).Map(p => new string('x', (int)p.X.Item()));
        var loader = new DataLoader<string, int>(words, all => all.Sum(w => w.Length), batchSize: 2);
        Assert.That(loader.ToArray(), Is.EqualTo(new[] { 1, 5 }));
        var error = Assert.Throws<InvalidOperationException>(() => new DataLoader<string>(words, batchSize: 2).ToArray());
        Assert.That(error!.Message, Does.Contain("batch 0").And.Contain("A tree is a tensor"));
    }

    [Test]
    public void StreamsAreReadInTheirOrder()
    {
        foreach (var workers in new[] { 0, 1 })
        {
            var loader = new DataLoader<Tensor>(new Naturals(7), batchSize: 3, numWorkers: workers);
            Assert.That(loader.Select(Values), Is.EqualTo(new[] { new[] { 0f, 1, 2 }, [3f, 4, 5], [6f] }));
            Assert.That(loader.Take(1).Select(Values), Is.EqualTo(new[] { new[] { 0f, 1, 2 } }));
            Assert.Throws<NotSupportedException>(() => _ = loader.Count);
            Assert.Throws<NotSupportedException>(() => _ = loader.Dataset);
        }
    }

    [Test]
    public void ErrorsOfWorkersNameTheElement()
    {
        var fragile = new Squares(9).Map(p => p.X.Item() == 7 ? throw new FileNotFoundException("image 7 is gone") : p);
        foreach (var workers in new[] { 0, 3 })
        {
            var loader = new DataLoader<(Tensor X, Tensor Y)>(fragile, batchSize: 2, numWorkers: workers);
            var read = 0;
            var error = Assert.Throws<InvalidOperationException>(() =>
            {
                foreach (var _ in loader)
                {
                    read++;
                }
            });
            Assert.That(error!.Message, Is.EqualTo("The data loader could not make element 7: image 7 is gone"));
            Assert.That(error.InnerException, Is.InstanceOf<FileNotFoundException>());
            Assert.That(read, Is.EqualTo(3));
        }
    }

    [Test]
    public void RowsSubsetsAndConcatenations()
    {
        var x = Tensor.Arange(12, DType.Float32).Reshape(6, 2);
        var rows = new TensorDataset(x, Tensor.Arange(6));
        Assert.That(rows, Has.Count.EqualTo(6));
        Assert.That(Values(rows[4].X), Is.EqualTo(new[] { 8f, 9f }));
        var some = new Subset<(Tensor X, Tensor Y)>(rows, [5, 0]);
        var all = new ConcatDataset<(Tensor X, Tensor Y)>(some, rows, some);
        Assert.That(all.Select(p => p.Y.Item<long>()), Is.EqualTo(new[] { 5, 0, 0, 1, 2, 3, 4, 5, 5, 0 }));
        Assert.Throws<ArgumentOutOfRangeException>(() => _ = all[10]);
        var three = new TensorDataset<(Tensor, Tensor, Tensor[])>((x, x, [x, x]));
        Assert.That(three[1].Item3[1].Shape, Is.EqualTo(new[] { 2 }));
        Assert.That(Assert.Throws<ArgumentException>(() => new TensorDataset(x, Tensor.Arange(5)))!.Message, Does.Contain("f32[6,2], i64[5]"));
    }

    [Test]
    public void RandomSplitsArePartitions()
    {
        var whole = new Squares(11);
        var parts = Data.RandomSplit(whole, [0.5, 0.3, 0.2], new Generator(1));
        Assert.That(parts.Select(p => p.Count), Is.EqualTo(new[] { 6, 3, 2 }));
        Assert.That(parts.SelectMany(p => p.Indices).Order(), Is.EqualTo(Enumerable.Range(0, 11)));
        Assert.That(Data.RandomSplit(whole, [6, 3, 2], new Generator(1))[1].Indices, Is.EqualTo(parts[1].Indices));
        Assert.That(Assert.Catch<ArgumentException>(() => Data.RandomSplit(whole, [6, 3]))!.Message, Does.Contain("add up to 11"));
    }

    [Test]
    public void SamplersDecideTheOrder()
    {
        var data = new Squares(6);
        float[] Order(Sampler sampler) => Values(new DataLoader(data, batchSize: 100, sampler: sampler).Single().X);
        Assert.That(Order(new SequentialSampler(data)), Is.EqualTo(new[] { 0f, 1, 2, 3, 4, 5 }));
        Assert.That(Order(new RandomSampler(data)).Order(), Is.EqualTo(new[] { 0f, 1, 2, 3, 4, 5 }));
        Assert.That(Order(new RandomSampler(data, replacement: true, numSamples: 50)), Has.Length.EqualTo(50));
        Assert.That(Order(new SubsetRandomSampler([2, 4])).Order(), Is.EqualTo(new[] { 2f, 4f }));
        Assert.That(Order(new WeightedRandomSampler([0, 0, 1, 0, 0, 0], 3)), Is.EqualTo(new[] { 2f, 2f, 2f }));
        var pairs = new DataLoader(data, batchSampler: new BatchSampler(new SequentialSampler(data), 4, dropLast: true));
        Assert.That(pairs.Select(b => Values(b.X)), Is.EqualTo(new[] { new[] { 0f, 1, 2, 3 } }));
        Assert.Catch<ArgumentException>(() => new DataLoader(data, shuffle: true, sampler: new SequentialSampler(data)));
        Assert.Catch<ArgumentException>(() => new DataLoader(data, batchSize: 0));
        Assert.Throws<ArgumentException>(() => new DataLoader(data, batchSize: 2, batchSampler: new BatchSampler(new SequentialSampler(data), 4, false)));
        Assert.Throws<ArgumentException>(() => new RandomSampler(data, numSamples: 3));
    }

    [Test]
    public void TransformsInALoaderDependOnSeedEpochAndIndexAlone()
    {
        var images = Enumerable.Range(0, 12).Select(i => Tensor.Arange(64).To(DType.UInt8).Reshape(1, 8, 8) + i).ToArray();
        Tensor.Evaluate(images);
        var transform = Transforms.Compose(
            Transforms.RandomCrop(8, padding: 2),
            Transforms.RandomHorizontalFlip(),
            Transforms.ToTensor(),
            Transforms.RandomRotation(20, bilinear: true),
            x => x * (float)Transforms.Uniform(0.5, 1.5),
            Transforms.Normalize([0.5], [0.25]),
            Transforms.RandomErasing());
        var data = new TensorDataset<Tensor>(Tensor.Stack(images)).Map(transform);
        float[][] Read(int workers, int epoch) =>
            [.. new DataLoader<Tensor>(data, batchSize: 5, numWorkers: workers, generator: new Generator(9)).Epoch(epoch).Select(Values)];
        var first = Read(0, 0);
        Assert.That(Read(3, 0), Is.EqualTo(first));
        Assert.That(Read(3, 1), Is.Not.EqualTo(first));
        Assert.That(first.Sum(b => b.Length), Is.EqualTo(12 * 64));
    }

    [Test]
    public void TransformsOutsideALoaderFollowTheGenerator()
    {
        var image = Tensor.Rand([3, 9, 9], new Generator(1));
        Generator.ManualSeed(5);
        var once = Values(Transforms.RandomResizedCrop(4)(image));
        var again = Values(Transforms.RandomResizedCrop(4)(image));
        Generator.ManualSeed(5);
        Assert.That(Values(Transforms.RandomResizedCrop(4)(image)), Is.EqualTo(once));
        Assert.That(again, Is.Not.EqualTo(once));
    }

    [Test]
    public void TransformsHaveTheShapesOfTorchvision()
    {
        var image = Tensor.Rand([3, 20, 30], new Generator(1));
        var shapes = new (Func<Tensor, Tensor> Transform, int[] Shape)[]
        {
            (Transforms.Resize(10), [3, 10, 15]),
            (Transforms.Resize((7, 8)), [3, 7, 8]),
            (Transforms.CenterCrop(6), [3, 6, 6]),
            (Transforms.CenterCrop((40, 10)), [3, 40, 10]),
            (Transforms.Pad(2, paddingMode: "reflect"), [3, 24, 34]),
            (Transforms.Pad((1, 2, 3, 4)), [3, 26, 34]),
            (Transforms.RandomCrop(12), [3, 12, 12]),
            (Transforms.RandomCrop((21, 5), padIfNeeded: true), [3, 21, 5]),
            (Transforms.RandomVerticalFlip(), [3, 20, 30]),
            (Transforms.RandomAffine(10, translate: (0.1, 0.1), scale: (0.9, 1.1), shear: 5), [3, 20, 30]),
            (Transforms.Grayscale(), [1, 20, 30]),
            (Transforms.RandomGrayscale(1), [3, 20, 30]),
            (Transforms.ColorJitter(0.2, 0.2, 0.2, 0.1), [3, 20, 30]),
            (Transforms.AdjustHue(0.1), [3, 20, 30]),
            (Transforms.RandomApply([Transforms.AdjustBrightness(0.5), Transforms.AdjustContrast(0.5)], 1), [3, 20, 30]),
            (Transforms.RandomChoice(Transforms.AdjustSaturation(2)), [3, 20, 30]),
            (Transforms.Normalize(0.5, 0.5), [3, 20, 30]),
        };
        foreach (var (transform, shape) in shapes)
        {
            Assert.That(transform(image).Shape, Is.EqualTo(shape));
        }

        Assert.That(Values(Transforms.Normalize([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])(image)), Is.EqualTo(Values((image - 0.5f) / 0.5f)).Within(1e-6));
        Assert.Throws<ArgumentException>(() => Transforms.Pad(1, paddingMode: "wrap"));
    }

    [Test]
    public void MixedBatchesHaveSharesForLabels()
    {
        var x = Tensor.Rand([4, 1, 8, 8], new Generator(1));
        foreach (var mix in new[] { Transforms.MixUp(3), Transforms.CutMix(3) })
        {
            var (mixed, shares) = mix((x, Tensor.FromArray([0L, 1, 2, 1])));
            Assert.That(mixed.Shape, Is.EqualTo(x.Shape));
            Assert.That(Values(shares.Sum(1)), Is.EqualTo(new[] { 1f, 1, 1, 1 }).Within(1e-6));
        }
    }

    [Test]
    public void FilesGiveBackWhatWasWritten() => InFolder(folder =>
    {
        string In(string name) => Path.Combine(folder, name);
        var x = Tensor.RandN([3, 4], new Generator(1));
        Npy.Save(In("a.npy"), x, fortranOrder: true, bigEndian: true);
        Assert.That(Values(Npy.Load(In("a.npy"))), Is.EqualTo(Values(x)));
        Npz.Save(In("a.npz"), new Dictionary<string, Tensor> { ["x"] = x, ["y"] = x * 2 }, compressed: true);
        Assert.That(Values(Npz.Load(In("a.npz"))["y"]), Is.EqualTo(Values(x * 2)));
        Idx.Save(In("a.gz"), x);
        Assert.That(Values(Idx.Load(In("a.gz"))), Is.EqualTo(Values(x)));
        Csv.Save(In("a.csv"), ["a", "b", "c", "d"], x);
        Assert.That(Values(Csv.Read(In("a.csv")).Numbers(["a", "b", "c", "d"])), Is.EqualTo(Values(x)));
        var image = Tensor.Arange(48).To(DType.UInt8).Reshape(3, 4, 4);
        ImageFile.Write(In("a.png"), image);
        Assert.That(ImageFile.Read(In("a.png")).ToArray<byte>(), Is.EqualTo(image.ToArray<byte>()));
        Assert.That(ImageFile.Read(In("a.png"), ImageReadMode.Gray).Shape, Is.EqualTo(new[] { 1, 4, 4 }));
        Assert.That(ImageFile.MakeGrid(Tensor.Ones(5, 3, 4, 4), nrow: 3).Shape, Is.EqualTo(new[] { 3, 14, 20 }));
    });

    [Test]
    public void TablesHaveNumbersTextsAndClasses() => InFolder(folder =>
    {
        var path = Path.Combine(folder, "a.csv");
        File.WriteAllText(path, "a;kind\n1.5;cat\n;dog\n3;cat\n");
        var table = Csv.Read(path, ";");
        Assert.That(table.Columns, Is.EqualTo(new[] { "a", "kind" }));
        Assert.That(Values(table.Numbers(["a"], fill: 0)), Is.EqualTo(new[] { 1.5f, 0, 3 }));
        Assert.That(Values(table.DropMissing("a").Numbers(["a"])), Is.EqualTo(new[] { 1.5f, 3 }));
        var (classes, names) = table.Classes("kind");
        Assert.That(classes.ToArray<long>(), Is.EqualTo(new[] { 0, 1, 0 }));
        Assert.That(names, Is.EqualTo(new[] { "cat", "dog" }));
        var (x, y) = Csv.Load(path, "kind", ";", dropMissing: true);
        Assert.That((x.Shape[0], y.Shape[0]), Is.EqualTo((2, 2)));
        Assert.That(Assert.Throws<InvalidDataException>(() => Csv.Load(path, "kind", ";"))!.Message, Is.EqualTo($"{path}: line 3, column 'a': a value is missing."));
    });

    [Test]
    public void FoldersAndKnownSetsAreDatasets() => InFolder(folder =>
    {
        foreach (var (name, value) in new[] { ("dog", 9), ("cat", 3) })
        {
            ImageFile.Write(Path.Combine(folder, "images", name, "1.png"), Tensor.Zeros(4, 4).To(DType.UInt8) + value);
        }

        var images = new ImageFolder(Path.Combine(folder, "images"), Transforms.ToTensor());
        Assert.That(images.Classes, Is.EqualTo(new[] { "cat", "dog" }));
        var (x, y) = new DataLoader(images, batchSize: 2).Single();
        Assert.That(x.Shape, Is.EqualTo(new[] { 2, 3, 4, 4 }));
        Assert.That(y.ToArray<long>(), Is.EqualTo(new[] { 0, 1 }));

        Idx.Save(Path.Combine(folder, "t10k-images-idx3-ubyte.gz"), Tensor.Ones(3, 28, 28).To(DType.UInt8));
        Idx.Save(Path.Combine(folder, "t10k-labels-idx1-ubyte"), Tensor.FromArray(new byte[] { 7, 8, 9 }));
        var mnist = Datasets.Mnist(folder, train: false, Transforms.Compose(Transforms.ToTensor(), Transforms.Normalize([0.1307], [0.3081])));
        Assert.That(mnist, Has.Count.EqualTo(3));
        Assert.That(mnist[1].X.Shape, Is.EqualTo(new[] { 1, 28, 28 }));
        Assert.That(mnist[1].Y.Item<long>(), Is.EqualTo(8));
        Assert.That(Assert.Throws<FileNotFoundException>(() => Datasets.Mnist(folder))!.Message, Does.Contain("train-images-idx3-ubyte"));

        File.WriteAllText(Path.Combine(folder, "a.txt"), "abcabcab");
        var (tokenizer, windows) = Datasets.Text(Path.Combine(folder, "a.txt"), context: 3);
        Assert.That(windows, Has.Count.EqualTo(2));
        Assert.That(tokenizer.Decode(windows[0].Y.ToArray<int>()), Is.EqualTo("bca"));
    });

    /// <summary>The loop of PyTorch's tutorials.</summary>
    [Test]
    public void ALoaderTrainsAModel()
    {
        Generator.ManualSeed(1);
        var x = Tensor.RandN([256, 4], new Generator(2));
        var y = (x.Sum(1) > 0).To(DType.Int64);
        var parts = Data.RandomSplit(new TensorDataset(x, y), [0.75, 0.25], new Generator(3));
        var training = new DataLoader(parts[0], batchSize: 32, shuffle: true, numWorkers: 2);
        var model = new Linear(4, 2);
        var optimizer = new AdamW(model.Parameters(), lr: 0.05);
        for (var epoch = 0; epoch < 15; epoch++)
        {
            foreach (var (inputs, targets) in training)
            {
                optimizer.ZeroGrad();
                F.CrossEntropy(model.Forward(inputs), targets).Backward();
                optimizer.Step();
            }
        }

        var (testInputs, testTargets) = new DataLoader(parts[1], batchSize: 64).Single();
        var right = model.Forward(testInputs).ArgMax(1).ToArray<long>().Zip(testTargets.ToArray<long>()).Count(p => p.First == p.Second);
        Assert.That(right, Is.GreaterThanOrEqualTo(60));
    }
}
