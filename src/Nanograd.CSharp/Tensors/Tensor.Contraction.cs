using Microsoft.FSharp.Collections;

namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>The sum of products of two vectors of one length: a scalar <c>[]</c>.</summary>
    public Tensor Dot(Tensor other) => Make(Contractions.dot, this, other);

    /// <summary>NumPy's vdot: the sum of products of all elements, whatever the shapes; the counts must agree.</summary>
    public Tensor Vdot(Tensor other) => Make(Contractions.vdot, this, other);

    /// <summary>Sums of products over the last axis of both: <c>[a..; n]</c> and <c>[b..; n]</c> to <c>[a..; b..]</c>.</summary>
    public Tensor Inner(Tensor other) => Make(Contractions.inner, this, other);

    /// <summary>All products of elements of two vectors: <c>[n]</c> and <c>[m]</c> to <c>[n; m]</c>; more axes are flattened.</summary>
    public Tensor Outer(Tensor other) => Make(Contractions.outer, this, other);

    /// <summary>Kronecker's product: every element of x times the whole of y, <c>[a; b]</c> and <c>[c; d]</c> to <c>[a c; b d]</c>; missing axes are put in front.</summary>
    public Tensor Kron(Tensor other) => Make(Contractions.kron, this, other);

    /// <summary>The sum of the main diagonal of the last two axes, which disappear.</summary>
    public Tensor Trace() => Make(Contractions.trace, this);

    /// <summary>Sums of products over the axes <c>left</c> of x and <c>right</c> of y, in pairs (NumPy's and PyTorch's tensordot): the free axes of x, then those of y.</summary>
    public Tensor TensorDot(int[] left, int[] right, Tensor other) => Make((x, y) => Contractions.tensordot(Checked(left), Checked(right), x, y), this, other);

    /// <summary>The vector product along an axis of 3; the other axes broadcast.</summary>
    public Tensor Cross(Tensor other, int dim = -1) => Make((x, y) => Contractions.cross(dim, x, y), this, other);

    /// <summary>Sums of products of tensors whose axes have labels: <c>einsum "bij,bjk-&gt;bik" [ x; y ]</c> is a batched matrix product. Each operand has a term of letters, one for each axis, upper or lower case. Labels that the output does not mention are summed. Without <c>-&gt;</c> the output has the labels that occur once, in alphabetical order (capitals first). A label that is repeated in a term means the diagonal of those axes. <c>...</c> stands for the axes that have no label; they are aligned at the last one and broadcast; the output begins with them unless it says otherwise, and an explicit output without <c>...</c> sums them. An extent of 1 broadcasts under any label, as in NumPy and PyTorch. Three or more operands are contracted two at a time, in the order that <c>einsumPath</c> shows. Integer and bool operands are allowed; 16-bit floats are added in f32.</summary>
    public static Tensor Einsum(string equation, params Tensor[] operands) => Make(n => Nanograd.Einsum.einsum(equation, ListModule.OfSeq(n!)), operands);
}
