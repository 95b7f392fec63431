namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>The same elements in row-major order under another shape; one extent may be -1.</summary>
    public Tensor Reshape(params int[] shape) => Make(x => Moving.reshape(Checked(shape), x), this);

    /// <summary>The same elements under another shape: <see cref="Reshape"/>, as nothing here is a view.</summary>
    public Tensor View(params int[] shape) => Reshape(shape);

    /// <summary>The same elements under the shape of another tensor.</summary>
    public Tensor ViewAs(Tensor other) => Reshape([.. other.Shape]);

    /// <summary>The same elements under the shape of another tensor.</summary>
    public Tensor ReshapeAs(Tensor other) => ViewAs(other);

    /// <summary>Axis i of the result is axis <c>axes[i]</c> of this tensor.</summary>
    public Tensor Permute(params int[] axes) => Make(x => Moving.permute(Checked(axes), x), this);

    /// <summary>Two axes exchanged.</summary>
    public Tensor Transpose(int first, int second) => Make(
        x =>
        {
            var order = Enumerable.Range(0, x.Rank).ToArray();
            int a = Nanograd.Shape.axis("transpose", x, first), b = Nanograd.Shape.axis("transpose", x, second);
            (order[a], order[b]) = (order[b], order[a]);
            return Moving.permute(order, x);
        },
        this);

    /// <summary>The last two axes exchanged.</summary>
    public Tensor T => Make(Moving.transpose, this);

    /// <summary>Axes <paramref name="start"/> to <paramref name="end"/> joined into one.</summary>
    public Tensor Flatten(int start = 0, int end = -1) => Make(
        x =>
        {
            if (x.Rank == 0)
            {
                return Moving.reshape([1], x);
            }

            int a = Nanograd.Shape.axis("flatten", x, start), b = Nanograd.Shape.axis("flatten", x, end);
            return Moving.reshape([.. x.Shape[..a], x.Shape[a..(b + 1)].Aggregate(1, (m, n) => m * n), .. x.Shape[(b + 1)..]], x);
        },
        this);

    /// <summary>Stretched to a shape: axes of extent 1 are repeated, new ones come in front; -1 leaves an axis as it is.</summary>
    public Tensor Expand(params int[] shape)
    {
        var before = shape.Length - Rank;
        return Make(x => Moving.broadcastTo(Checked([.. shape.Select((n, i) => n == -1 && i >= before ? x.Shape[i - before] : n)]), x), this);
    }

    /// <summary>A new axis of extent 1.</summary>
    public Tensor Unsqueeze(int dim) => Make(x => Moving.unsqueeze(dim, x), this);

    /// <summary>An axis of extent 1 removed.</summary>
    public Tensor Squeeze(int dim) => Make(x => Moving.squeeze(dim, x), this);

    /// <summary><paramref name="length"/> elements of an axis from <paramref name="start"/> on.</summary>
    public Tensor Narrow(int dim, int start, int length) => Make(x => Moving.slice(dim, start, start + length, x), this);

    /// <summary>Slices at the places that <paramref name="indices"/> (integers, any shape) name along an axis.</summary>
    public Tensor IndexSelect(int dim, Tensor indices) => Make((x, i) => Lookups.take(dim, i, x), this, indices);

    /// <summary>Tensors joined along an axis.</summary>
    public static Tensor Cat(IEnumerable<Tensor> tensors, int dim = 0) => Make(xs => Moving.concat(dim, xs!), [.. tensors]);

    /// <summary>Tensors joined along a new axis.</summary>
    public static Tensor Stack(IEnumerable<Tensor> tensors, int dim = 0) => Make(xs => Moving.stack(dim, xs!), [.. tensors]);

    /// <summary>Values converted to another element type.</summary>
    public Tensor To(DType type) => Make(x => Elementwise.cast(type.ToCore(), x), this);
}
