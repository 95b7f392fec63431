namespace Nanograd.CSharp;

/// <summary>
/// Transforms of images [..., channels, height, width] (bytes, or 32-bit floats between 0 and 1), with torchvision's names, defaults and meaning.
/// Each is a function, so that lambdas fit in between. What is random depends, in a loader, on its seed, the epoch and the index, and not
/// on the number of workers; elsewhere on <see cref="Generator.Default"/>.
/// </summary>
/// <example><code>
/// var transform = Transforms.Compose(Transforms.ToTensor(), Transforms.RandomCrop(28, padding: 2), Transforms.Normalize([0.1307], [0.3081]));
/// </code></example>
public static class Transforms
{
    private static Func<Tensor, Tensor> Step(Zoo.ImageStep step) => image => new(step.Apply(Samples.NextKey(), Samples.Value(image)));

    /// <summary>One transform after the other.</summary>
    public static Func<Tensor, Tensor> Compose(params Func<Tensor, Tensor>[] transforms) =>
        image => transforms.Aggregate(image, (result, transform) => transform(result));

    /// <summary>A number of the uniform distribution, for random transforms of one's own: in a loader, of the element that is being made.</summary>
    public static double Uniform(double low = 0, double high = 1) => low + (high - low) * Counter.uniform(Samples.NextKey(), 0);

    /// <summary>The transforms, one after the other, with probability <paramref name="p"/>, else nothing.</summary>
    public static Func<Tensor, Tensor> RandomApply(Func<Tensor, Tensor>[] transforms, double p = 0.5)
    {
        var all = Compose(transforms);
        return image => Uniform() < p ? all(image) : image;
    }

    /// <summary>One of the transforms, each equally often.</summary>
    public static Func<Tensor, Tensor> RandomChoice(params Func<Tensor, Tensor>[] transforms) =>
        image => transforms[(int)Uniform(0, transforms.Length)](image);

    /// <summary>Bytes as 32-bit floats from 0 to 1; an image [height, width] gets a channel.</summary>
    public static Func<Tensor, Tensor> ToTensor() => Step(Zoo.ImageStep.ToTensor());

    /// <summary>(x - mean) / std for each channel.</summary>
    public static Func<Tensor, Tensor> Normalize(double[] mean, double[] std) => Step(Zoo.ImageStep.Normalize([.. mean], [.. std]));

    /// <summary>(x - mean) / std, the same for all channels.</summary>
    public static Func<Tensor, Tensor> Normalize(double mean, double std) => Normalize([mean], [std]);

    /// <summary>Another size: the shorter side gets this one, the other keeps the ratio.</summary>
    /// <param name="size">The shorter side.</param>
    /// <param name="bilinear">Between pixels; otherwise the nearest one.</param>
    /// <param name="antialias">Whether a smaller image is a mean of all pixels.</param>
    public static Func<Tensor, Tensor> Resize(int size, bool bilinear = true, bool antialias = true) => Step(Zoo.ImageStep.Resize([size], bilinear, antialias));

    /// <summary>Another size.</summary>
    /// <param name="size">Height and width.</param>
    /// <param name="bilinear">Between pixels; otherwise the nearest one.</param>
    /// <param name="antialias">Whether a smaller image is a mean of all pixels.</param>
    public static Func<Tensor, Tensor> Resize((int Height, int Width) size, bool bilinear = true, bool antialias = true) =>
        Step(Zoo.ImageStep.Resize([size.Height, size.Width], bilinear, antialias));

    /// <summary>The middle square; zeros around what is too small.</summary>
    public static Func<Tensor, Tensor> CenterCrop(int size) => CenterCrop((size, size));

    /// <summary>The middle part; zeros around what is too small.</summary>
    public static Func<Tensor, Tensor> CenterCrop((int Height, int Width) size) => Step(Zoo.ImageStep.CenterCrop([size.Height, size.Width]));

    /// <summary>Pixels added on all sides.</summary>
    /// <param name="padding">How many.</param>
    /// <param name="fill">The value of mode "constant".</param>
    /// <param name="paddingMode">"constant", "edge", "reflect" or "symmetric".</param>
    public static Func<Tensor, Tensor> Pad(int padding, double fill = 0, string paddingMode = "constant") =>
        Pad((padding, padding, padding, padding), fill, paddingMode);

    /// <summary>Pixels added on each side.</summary>
    /// <param name="padding">How many.</param>
    /// <param name="fill">The value of mode "constant".</param>
    /// <param name="paddingMode">"constant", "edge", "reflect" or "symmetric".</param>
    public static Func<Tensor, Tensor> Pad((int Left, int Top, int Right, int Bottom) padding, double fill = 0, string paddingMode = "constant") =>
        Step(Zoo.ImageStep.Pad(padding.Left, padding.Top, padding.Right, padding.Bottom, fill, paddingMode));

    /// <summary>A square at a random place.</summary>
    /// <param name="size">Its side.</param>
    /// <param name="padding">Pixels added on all sides before.</param>
    /// <param name="padIfNeeded">Whether an image that is too small is padded until it is not.</param>
    /// <param name="fill">The value of mode "constant".</param>
    /// <param name="paddingMode">"constant", "edge", "reflect" or "symmetric".</param>
    public static Func<Tensor, Tensor> RandomCrop(int size, int padding = 0, bool padIfNeeded = false, double fill = 0, string paddingMode = "constant") =>
        RandomCrop((size, size), padding, padIfNeeded, fill, paddingMode);

    /// <summary>A part at a random place.</summary>
    /// <param name="size">Its height and width.</param>
    /// <param name="padding">Pixels added on all sides before.</param>
    /// <param name="padIfNeeded">Whether an image that is too small is padded until it is not.</param>
    /// <param name="fill">The value of mode "constant".</param>
    /// <param name="paddingMode">"constant", "edge", "reflect" or "symmetric".</param>
    public static Func<Tensor, Tensor> RandomCrop(
        (int Height, int Width) size, int padding = 0, bool padIfNeeded = false, double fill = 0, string paddingMode = "constant") =>
        Step(Zoo.ImageStep.RandomCrop([size.Height, size.Width], [padding], padIfNeeded, fill, paddingMode));

    /// <summary>Left and right exchanged with probability <paramref name="p"/>.</summary>
    public static Func<Tensor, Tensor> RandomHorizontalFlip(double p = 0.5) => Step(Zoo.ImageStep.RandomHorizontalFlip(p));

    /// <summary>Top and bottom exchanged with probability <paramref name="p"/>.</summary>
    public static Func<Tensor, Tensor> RandomVerticalFlip(double p = 0.5) => Step(Zoo.ImageStep.RandomVerticalFlip(p));

    /// <summary>A random part in a given size.</summary>
    /// <param name="size">The side of the result.</param>
    /// <param name="scale">The least and the greatest share of the area; 0.08 to 1 unless given.</param>
    /// <param name="ratio">The least and the greatest ratio of width to height; 3/4 to 4/3 unless given.</param>
    public static Func<Tensor, Tensor> RandomResizedCrop(int size, (double Low, double High)? scale = null, (double Low, double High)? ratio = null) =>
        Step(Zoo.ImageStep.RandomResizedCrop([size, size], scale ?? (0.08, 1), ratio ?? (3.0 / 4, 4.0 / 3)));

    /// <summary>Rotation about the centre by a random angle.</summary>
    /// <param name="degrees">From minus this to this.</param>
    /// <param name="bilinear">Between pixels; otherwise the nearest one.</param>
    /// <param name="fill">What comes in from outside.</param>
    public static Func<Tensor, Tensor> RandomRotation(double degrees, bool bilinear = false, double fill = 0) =>
        RandomRotation((-degrees, degrees), bilinear, fill);

    /// <summary>Rotation about the centre by a random angle.</summary>
    /// <param name="degrees">From the one to the other.</param>
    /// <param name="bilinear">Between pixels; otherwise the nearest one.</param>
    /// <param name="fill">What comes in from outside.</param>
    public static Func<Tensor, Tensor> RandomRotation((double Low, double High) degrees, bool bilinear = false, double fill = 0) =>
        image => Step(Zoo.ImageStep.Rotate(Uniform(degrees.Low, degrees.High), bilinear, fill))(image);

    /// <summary>A random rotation, shift, scaling and shear about the centre.</summary>
    /// <param name="degrees">Angles from minus this to this.</param>
    /// <param name="translate">The greatest shifts, in fractions of width and height; none unless given.</param>
    /// <param name="scale">The least and the greatest scale; none unless given.</param>
    /// <param name="shear">Shear along x from minus this to this, in degrees.</param>
    /// <param name="bilinear">Between pixels; otherwise the nearest one.</param>
    /// <param name="fill">What comes in from outside.</param>
    public static Func<Tensor, Tensor> RandomAffine(
        double degrees, (double X, double Y)? translate = null, (double Low, double High)? scale = null, double shear = 0, bool bilinear = false, double fill = 0) =>
        Step(Zoo.ImageStep.RandomAffine((-degrees, degrees), translate ?? (0, 0), scale ?? (1, 1), (-shear, shear), (0, 0), bilinear, fill));

    /// <summary>Grey, in one channel or in three equal ones.</summary>
    public static Func<Tensor, Tensor> Grayscale(int numOutputChannels = 1) => Step(Zoo.ImageStep.Grayscale(numOutputChannels));

    /// <summary>Grey with probability <paramref name="p"/>; the number of channels stays.</summary>
    public static Func<Tensor, Tensor> RandomGrayscale(double p = 0.1) => Step(Zoo.ImageStep.RandomGrayscale(p));

    /// <summary>Random brightness, contrast, saturation (factors from max(0, 1 - x) to 1 + x) and hue (turns from -x to x), in random order.</summary>
    public static Func<Tensor, Tensor> ColorJitter(double brightness = 0, double contrast = 0, double saturation = 0, double hue = 0) =>
        Step(Zoo.ImageStep.ColorJitter(brightness, contrast, saturation, hue));

    /// <summary>Times a factor.</summary>
    public static Func<Tensor, Tensor> AdjustBrightness(double factor) => Step(Zoo.ImageStep.AdjustBrightness(factor));

    /// <summary>Away from the mean grey (above 1) or towards it (below).</summary>
    public static Func<Tensor, Tensor> AdjustContrast(double factor) => Step(Zoo.ImageStep.AdjustContrast(factor));

    /// <summary>Away from each pixel's grey (above 1) or towards it (below).</summary>
    public static Func<Tensor, Tensor> AdjustSaturation(double factor) => Step(Zoo.ImageStep.AdjustSaturation(factor));

    /// <summary>Hues turned by a part of the circle, from -0.5 to 0.5.</summary>
    public static Func<Tensor, Tensor> AdjustHue(double factor) => Step(Zoo.ImageStep.AdjustHue(factor));

    /// <summary>A random rectangle becomes one value.</summary>
    /// <param name="p">How often.</param>
    /// <param name="scale">The least and the greatest share of the area; 0.02 to 0.33 unless given.</param>
    /// <param name="ratio">The least and the greatest ratio; 0.3 to 3.3 unless given.</param>
    /// <param name="value">The value.</param>
    public static Func<Tensor, Tensor> RandomErasing(
        double p = 0.5, (double Low, double High)? scale = null, (double Low, double High)? ratio = null, double value = 0) =>
        Step(Zoo.ImageStep.RandomErasing(p, scale ?? (0.02, 0.33), ratio ?? (0.3, 3.3), value));

    /// <summary>
    /// mixup of a batch (Zhang et al. 2018): each example is a mean of itself and its neighbour, weighted by one number of
    /// Beta(alpha, alpha); so are the labels, which become shares [n, classes].
    /// </summary>
    /// <param name="numClasses">The number of classes.</param>
    /// <param name="alpha">The parameter of the beta distribution.</param>
    public static Func<(Tensor X, Tensor Y), (Tensor X, Tensor Y)> MixUp(int numClasses, double alpha = 1) => batch =>
    {
        var (x, y) = Zoo.Loading.Mixup(alpha, numClasses, Samples.NextKey(), Samples.Value(batch.X), Samples.Value(batch.Y));
        return (new(x), new(y));
    };

    /// <summary>
    /// CutMix of a batch (Yun et al. 2019): a rectangle of each image is its neighbour's; labels are weighted by the areas and become
    /// shares [n, classes].
    /// </summary>
    /// <param name="numClasses">The number of classes.</param>
    /// <param name="alpha">The parameter of the beta distribution.</param>
    public static Func<(Tensor X, Tensor Y), (Tensor X, Tensor Y)> CutMix(int numClasses, double alpha = 1) => batch =>
    {
        var (x, y) = Zoo.Loading.Cutmix(alpha, numClasses, Samples.NextKey(), Samples.Value(batch.X), Samples.Value(batch.Y));
        return (new(x), new(y));
    };
}
