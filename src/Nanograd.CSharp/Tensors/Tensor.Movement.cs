namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>One axis split into several of the given extents; one of them may be -1.</summary>
    public Tensor Unflatten(int dim, int[] shape) => Make(x => Moving.unflatten(dim, Checked(shape), x), this);

    /// <summary>All axes of extent 1 removed.</summary>
    public Tensor Squeeze() => Make(Moving.squeezeAll, this);

    /// <summary>Two axes exchanged.</summary>
    public Tensor SwapAxes(int dim1, int dim2) => Make(x => Moving.swapAxes(dim1, dim2, x), this);

    /// <summary>An axis moved to another place; the others keep their order.</summary>
    public Tensor MoveAxis(int source, int target) => Make(x => Moving.moveAxis(source, target, x), this);

    /// <summary>Elements start, start + step, ... before <c>stop</c> along one axis. Negative bounds count from the end.</summary>
    public Tensor Slice(int dim, int start, int stop, int step) => Make(x => Moving.sliceStep(dim, start, stop, step, x), this);

    /// <summary>Elements start, ..., stop - 1 along one axis. Negative bounds count from the end; bounds outside the axis are errors.</summary>
    public Tensor Slice(int dim, int start, int stop) => Make(x => Moving.slice(dim, start, stop, x), this);

    /// <summary>Element <c>index</c> of one axis, which disappears; negative indices count from the end.</summary>
    public Tensor Select(int dim, int index) => Make(x => Moving.select(dim, index, x), this);

    /// <summary>At most <c>count</c> parts of equal extent along one axis; the last may be smaller (PyTorch's chunk).</summary>
    public Tensor[] Chunk(int dim, int count) => Many(x => Moving.chunk(dim, count, x), this);

    /// <summary>The slices along one axis, which disappears.</summary>
    public Tensor[] Unbind(int dim) => Many(x => Moving.unbind(dim, x), this);

    /// <summary>Windows of <c>size</c> elements, <c>step</c> apart, along one axis: <c>[..; n; ..]</c> to <c>[..; windows; ..; size]</c>.</summary>
    public Tensor Unfold(int dim, int size, int step) => Make(x => Moving.unfold(dim, size, step, x), this);

    /// <summary>Each element along an axis <c>count</c> times in a row.</summary>
    public Tensor RepeatInterleave(int count, int dim) => Make(x => Moving.repeatInterleave(count, dim, x), this);

    /// <summary>Elements moved <c>shift</c> places along an axis; those that leave at one end come in at the other.</summary>
    public Tensor Roll(int shift, int dim) => Make(x => Moving.roll(shift, dim, x), this);

    /// <summary>Turned by <c>times</c> quarter turns in the plane of two axes, from the first towards the second.</summary>
    public Tensor Rot90(int times, int dim1, int dim2) => Make(x => Moving.rot90(times, dim1, dim2, x), this);

    /// <summary>Padding by what stands inside, mirrored at the first and the last element, which are not repeated. Amounts as in <c>pad</c>, each less than the axis.</summary>
    public Tensor PadReflect(int[] pairs) => Make(x => Moving.padReflect(Checked(pairs), x), this);

    /// <summary>Padding by the first and the last element. Amounts as in <c>pad</c>.</summary>
    public Tensor PadReplicate(int[] pairs) => Make(x => Moving.padReplicate(Checked(pairs), x), this);

    /// <summary>Padding as if the axis went round in a circle. Amounts as in <c>pad</c>, none larger than the axis.</summary>
    public Tensor PadCircular(int[] pairs) => Make(x => Moving.padCircular(Checked(pairs), x), this);

    /// <summary>The elements in opposite order along the axes.</summary>
    public Tensor Flip(params int[] axes) => Make(x => Moving.flip(Checked(axes), x), this);

    /// <summary>The whole tensor repeated along each axis (PyTorch's repeat): <c>repeats</c> has one count per axis, more of them add axes in front.</summary>
    public Tensor Repeat(params int[] repeats) => Make(x => Moving.repeat(Checked(repeats), x), this);

    /// <summary>NumPy's tile: as <c>repeat</c>, but missing counts in front are 1.</summary>
    public Tensor Tile(params int[] repeats) => Make(x => Moving.tile(Checked(repeats), x), this);

    /// <summary>PyTorch's constant padding: <c>value</c> before and after, in pairs of amounts, the last axis first. Negative amounts take elements away.</summary>
    public Tensor Pad(int[] pairs, double value = 0) => Make(x => Moving.pad(Checked(pairs), value, x), this);

    /// <summary>Parts of <c>size</c> elements along one axis; the last may be smaller.</summary>
    public Tensor[] Split(int dim, int size) => Many(x => Moving.split(dim, size, x), this);

    /// <summary>Parts of the given extents along one axis, which they must fill.</summary>
    public Tensor[] Split(int dim, int[] sizes) => Many(x => Moving.splitSizes(dim, Checked(sizes), x), this);

    /// <summary>Stretched to <c>shape</c> by NumPy's rule: new axes in front, axes of extent 1 repeated.</summary>
    public Tensor BroadcastTo(int[] shape) => Make(x => Moving.broadcastTo(Checked(shape), x), this);

    /// <summary>All elements as a matrix transposed: the last two axes exchanged, as <see cref="T"/>.</summary>
    public Tensor Transpose() => T;

    /// <summary>Tensors joined along an axis; types and the other extents must agree.</summary>
    public static Tensor Concat(IEnumerable<Tensor> tensors, int dim = 0) => Cat(tensors, dim);

    /// <summary>Tensors joined side by side: along axis 1, vectors along axis 0.</summary>
    public static Tensor HStack(params IEnumerable<Tensor> tensors) => Make(xs => Moving.hstack(xs!), [.. tensors]);

    /// <summary>Tensors joined one below the other: along axis 0, vectors as rows.</summary>
    public static Tensor VStack(params IEnumerable<Tensor> tensors) => Make(xs => Moving.vstack(xs!), [.. tensors]);
}
