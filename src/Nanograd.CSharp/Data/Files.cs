namespace Nanograd.CSharp;

/// <summary>A table in a CSV file, as texts.</summary>
public sealed class CsvTable
{
    private readonly Zoo.CsvFile _file;

    internal CsvTable(Zoo.CsvFile file) => _file = file;

    /// <summary>The names of the columns: those of the header, or numbers from 0.</summary>
    public IReadOnlyList<string> Columns => _file.Columns;

    /// <summary>The cells, row by row.</summary>
    public IReadOnlyList<IReadOnlyList<string>> Rows => _file.Rows;

    /// <summary>Columns as 32-bit floats [rows, columns].</summary>
    /// <param name="columns">Their names.</param>
    /// <param name="fill">What stands for a missing value; null: such a value is an error with its line and column.</param>
    public Tensor Numbers(IEnumerable<string> columns, double? fill = null) => new(_file.Numbers(columns, fill));

    /// <summary>A column as texts.</summary>
    public IReadOnlyList<string> Texts(string column) => _file.Texts(column);

    /// <summary>
    /// A column as classes, 64-bit integers [rows], and their names. Whole numbers are classes as they are; other texts are numbered in their order.
    /// </summary>
    public (Tensor Classes, IReadOnlyList<string> Names) Classes(string column)
    {
        var (classes, names) = _file.Classes(column);
        return (new(classes), names);
    }

    /// <summary>The rows that have values in all of these columns.</summary>
    public CsvTable DropMissing(params string[] columns) => new(_file.DropMissing(columns));
}

/// <summary>Tables in text files. Mistakes in them are errors with the number of the line.</summary>
public static class Csv
{
    /// <summary>The table of a file.</summary>
    public static CsvTable Read(string path, string delimiter = ",", bool header = true) => new(Zoo.CsvFile.Read(path, delimiter, header));

    /// <summary>All columns but the label's as 32-bit floats [rows, columns], and the label's as classes, 64-bit integers [rows].</summary>
    /// <param name="path">The file.</param>
    /// <param name="label">The name of the label's column.</param>
    /// <param name="delimiter">What stands between cells.</param>
    /// <param name="header">Whether the first line has names; otherwise columns are named by their numbers, from 0.</param>
    /// <param name="fill">What stands for a missing value; null: such a value is an error with its line and column.</param>
    /// <param name="dropMissing">Whether rows with missing values are left out.</param>
    public static (Tensor X, Tensor Y) Load(
        string path, string label, string delimiter = ",", bool header = true, double? fill = null, bool dropMissing = false)
    {
        var (x, y) = Zoo.CsvFile.Load(path, label, delimiter, header, fill, dropMissing);
        return (new(x), new(y));
    }

    /// <summary>Writes a matrix [rows, columns], atomically; the numbers are read back exactly.</summary>
    public static void Save(string path, IEnumerable<string> columns, Tensor x, string delimiter = ",", bool header = true) =>
        Zoo.CsvFile.Write(path, columns, Samples.Value(x), delimiter, header);
}

/// <summary>Tensors in IDX files, MNIST's format, compressed by gzip or not.</summary>
public static class Idx
{
    /// <summary>The tensor of a file.</summary>
    public static Tensor Load(string path) => new(Zoo.ArrayFile.ReadIdx(path));

    /// <summary>Writes a tensor, atomically; compressed if the name ends with .gz.</summary>
    public static void Save(string path, Tensor tensor) => Zoo.ArrayFile.WriteIdx(path, Samples.Value(tensor));
}

/// <summary>Tensors in NumPy's .npy files.</summary>
public static class Npy
{
    /// <summary>The tensor of a file; 16-bit integers become 32-bit ones, unsigned 64-bit ones signed where they fit.</summary>
    public static Tensor Load(string path) => new(Zoo.ArrayFile.ReadNpy(path));

    /// <summary>Writes a tensor, atomically.</summary>
    /// <param name="path">The file.</param>
    /// <param name="tensor">The tensor.</param>
    /// <param name="fortranOrder">First axis fastest, as Fortran has it.</param>
    /// <param name="bigEndian">Most significant byte first.</param>
    public static void Save(string path, Tensor tensor, bool fortranOrder = false, bool bigEndian = false) =>
        Zoo.ArrayFile.WriteNpy(path, Samples.Value(tensor), fortranOrder, bigEndian);
}

/// <summary>Named tensors in NumPy's .npz files.</summary>
public static class Npz
{
    /// <summary>The tensors of a file by name.</summary>
    public static IReadOnlyDictionary<string, Tensor> Load(string path) => Safetensors.ToFacade(Zoo.ArrayFile.ReadNpz(path));

    /// <summary>Writes tensors, atomically.</summary>
    public static void Save(string path, IReadOnlyDictionary<string, Tensor> tensors, bool compressed = false) =>
        Zoo.ArrayFile.WriteNpz(path, Safetensors.ToCore(tensors), compressed);
}

/// <summary>The channels that an image is read in.</summary>
public enum ImageReadMode
{
    /// <summary>Those of the file.</summary>
    Unchanged = 0,

    /// <summary>One: grey.</summary>
    Gray = 1,

    /// <summary>Three.</summary>
    Rgb = 3,

    /// <summary>Four: with alpha.</summary>
    RgbAlpha = 4,
}

/// <summary>Images in files: tensors of bytes [channels, height, width].</summary>
public static class ImageFile
{
    /// <summary>The image of a PNG, JPEG, BMP, PPM or PGM file, known by its content.</summary>
    public static Tensor Read(string path, ImageReadMode mode = ImageReadMode.Unchanged) => new(Zoo.Pictures.Read(path, (int)mode));

    /// <summary>Writes an image [channels, height, width] or [height, width], bytes or floats from 0 to 1, as .png, .ppm or .pgm, atomically.</summary>
    public static void Write(string path, Tensor image) => Zoo.Pictures.Write(path, Samples.Value(image));

    /// <summary>Images [n, channels, height, width] side by side in one.</summary>
    /// <param name="images">The images.</param>
    /// <param name="nrow">How many in a row.</param>
    /// <param name="padding">Pixels of 0 around each.</param>
    public static Tensor MakeGrid(Tensor images, int nrow = 8, int padding = 2) => new(Zoo.Pictures.Grid(Samples.Value(images), nrow, padding));
}
