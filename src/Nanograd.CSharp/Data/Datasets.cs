namespace Nanograd.CSharp;

/// <summary>Images in folders, one for each class, and their classes (64-bit integers); files are read when their elements are asked for.</summary>
public sealed class ImageFolder : Dataset<(Tensor X, Tensor Y)>
{
    private readonly (string Path, int Label)[] _files;
    private readonly Func<Tensor, Tensor>? _transform;
    private readonly ImageReadMode _mode;

    /// <summary>The images of a folder.</summary>
    /// <param name="root">The folder that has the folders of the classes.</param>
    /// <param name="transform">What becomes of an image, bytes [channels, height, width]; see <see cref="Transforms"/>.</param>
    /// <param name="mode">The channels.</param>
    public ImageFolder(string root, Func<Tensor, Tensor>? transform = null, ImageReadMode mode = ImageReadMode.Rgb)
    {
        Classes = Zoo.Pictures.Classes(root);
        _files = Zoo.Pictures.Files(root);
        (_transform, _mode) = (transform, mode);
    }

    /// <summary>The names of the classes: those of the folders, in order.</summary>
    public IReadOnlyList<string> Classes { get; }

    /// <inheritdoc/>
    public override int Count => _files.Length;

    /// <inheritdoc/>
    public override (Tensor X, Tensor Y) this[int index]
    {
        get
        {
            var (path, label) = _files[Checked(index)];
            var image = ImageFile.Read(path, _mode);
            return (_transform is null ? image : _transform(image), Datasets.Class(label));
        }
    }
}

/// <summary>Data sets in files that are there; nothing is downloaded.</summary>
public static class Datasets
{
    internal static Tensor Class(long label) => new(Nanograd.Creation.ofArray(CoreType.I64, [], new[] { label }));

    private static Dataset<(Tensor X, Tensor Y)> Of((Node X, Node Y) tensors, Func<Tensor, Tensor>? transform)
    {
        var all = new TensorDataset(new(tensors.X), new(tensors.Y));
        return transform is null ? all : all.Map(p => (transform(p.X), p.Y));
    }

    /// <summary>
    /// MNIST, or a set in its files (train-images-idx3-ubyte, ..., with or without .gz): images, bytes [1, 28, 28], and classes, 64-bit integers.
    /// </summary>
    /// <param name="root">The folder of the files.</param>
    /// <param name="train">The training part (train-...) or the test part (t10k-...).</param>
    /// <param name="transform">What becomes of an image; see <see cref="Transforms"/>.</param>
    public static Dataset<(Tensor X, Tensor Y)> Mnist(string root, bool train = true, Func<Tensor, Tensor>? transform = null) =>
        Of(Zoo.KnownData.Mnist(root, train), transform);

    /// <summary>The handwritten digits of UCI in scikit-learn's CSV: images, floats [1, 8, 8] from 0 to 1, and classes.</summary>
    /// <param name="path">The file.</param>
    /// <param name="transform">What becomes of an image.</param>
    public static Dataset<(Tensor X, Tensor Y)> Digits(string path, Func<Tensor, Tensor>? transform = null) => Of(Zoo.KnownData.Digits(path), transform);

    /// <summary>A table of numbers with a column of classes: rows, floats [columns], and classes.</summary>
    /// <param name="path">The file.</param>
    /// <param name="label">The name of the label's column.</param>
    public static Dataset<(Tensor X, Tensor Y)> FromCsv(string path, string label)
    {
        var (x, y) = Csv.Load(path, label);
        return new TensorDataset(x, y);
    }

    /// <summary>
    /// A text in windows of characters and, for each, the characters that follow: 64-bit integers [context] twice, and the tokenizer of the text.
    /// </summary>
    /// <param name="path">A UTF-8 file.</param>
    /// <param name="context">Characters in a window; windows do not overlap.</param>
    public static (Tokenizer Tokenizer, Dataset<(Tensor X, Tensor Y)> Windows) Text(string path, int context)
    {
        var (tokenizer, x, y) = Zoo.KnownData.Text(path, context);
        return (new(tokenizer), Of((x, y), null));
    }
}
