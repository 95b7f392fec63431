namespace Nanograd.CSharp;

/// <summary>How values between the elements of a grid are found.</summary>
public enum InterpolationMode
{
    /// <summary>The element to the left (PyTorch's "nearest").</summary>
    Nearest,

    /// <summary>The element whose middle is nearest (PyTorch's "nearest-exact").</summary>
    NearestExact,

    /// <summary>Between neighbours along each axis: linear, bilinear, trilinear.</summary>
    Linear,

    /// <summary>A cubic through four neighbours along each axis.</summary>
    Cubic,
}

public partial class Tensor
{
    /// <summary>
    /// The spatial axes of <c>[batch; channels; spatial...]</c> resized. <paramref name="alignCorners"/> puts the corner
    /// elements of both grids onto each other; otherwise the corners of their cells.
    /// </summary>
    public Tensor Interpolate(int[] size, InterpolationMode mode = InterpolationMode.Nearest, bool alignCorners = false) =>
        Make(x => Resizing.interpolate(Core(mode), alignCorners, Checked(size), x), this);

    /// <summary>As <see cref="Interpolate(int[], InterpolationMode, bool)"/>, by a factor for each spatial axis.</summary>
    public Tensor Interpolate(double[] scales, InterpolationMode mode = InterpolationMode.Nearest, bool alignCorners = false) =>
        Make(x => Resizing.interpolateBy(Core(mode), alignCorners, [.. scales], x), this);

    private static Interpolation Core(InterpolationMode mode) => mode switch
    {
        InterpolationMode.Nearest => Interpolation.Nearest,
        InterpolationMode.NearestExact => Interpolation.NearestExact,
        InterpolationMode.Linear => Interpolation.Linear,
        InterpolationMode.Cubic => Interpolation.Cubic,
        _ => throw new ArgumentOutOfRangeException(nameof(mode), mode, "interpolate: no such mode"),
    };
}
