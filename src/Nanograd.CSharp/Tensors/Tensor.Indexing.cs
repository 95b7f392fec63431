namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>Slices of x at integer <c>indices</c> along an axis: <c>[..; n; ..]</c> at <c>[k..]</c> gives <c>[..; k..; ..]</c> (NumPy's take).</summary>
    public Tensor Take(int dim, Tensor indices) => Make((x, y) => Lookups.take(dim, y, x), this, indices);

    /// <summary>Elements of x at <c>indices</c> along an axis, one index per element of the result (PyTorch's gather): out[i; j] = x[i; indices[i; j]] for axis 1. The result has the shape of the indices.</summary>
    public Tensor Gather(int dim, Tensor indices) => Make((x, y) => Lookups.gather(dim, y, x), this, indices);

    /// <summary>As <c>gather</c>, where the other axes of indices and x broadcast (NumPy's take_along_axis).</summary>
    public Tensor TakeAlongAxis(int dim, Tensor indices) => Make((x, y) => Lookups.takeAlongAxis(dim, y, x), this, indices);

    /// <summary>x with each element of <c>updates</c> added at its index along an axis (PyTorch's scatter_add): for axis 1, out[i; indices[i; j]] += updates[i; j]. Repeated indices add up, in order.</summary>
    public Tensor ScatterAdd(int dim, Tensor indices, Tensor updates) => Make(n => Lookups.scatterAdd(dim, n[1]!, n[2]!, n[0]!), this, indices, updates);

    /// <summary>x with slices of <c>updates</c> added at a vector of indices along an axis (PyTorch's index_add). Repeated indices add up, in order.</summary>
    public Tensor IndexAdd(int dim, Tensor indices, Tensor updates) => Make(n => Lookups.indexAdd(dim, n[1]!, n[2]!, n[0]!), this, indices, updates);

    /// <summary>x with <c>updates</c> written at their indices along an axis (PyTorch's scatter, NumPy's put_along_axis). Of repeated indices the last one counts. The gradient of what is overwritten is 0.</summary>
    public Tensor PutAlongAxis(int dim, Tensor indices, Tensor updates) => Make(n => Lookups.putAlongAxis(dim, n[1]!, n[2]!, n[0]!), this, indices, updates);

    /// <summary>Sorted along an axis: values and their former indices (i64). Stable; NaN is the largest.</summary>
    public (Tensor Values, Tensor Indices) Sort(int dim = -1, bool descending = false) => Pair(x => Lookups.sort(dim, descending, x), this);

    /// <summary>The indices (i64) that sort an axis, stably.</summary>
    public Tensor ArgSort(int dim = -1, bool descending = false) => Make(x => Lookups.argSort(dim, descending, x), this);

    /// <summary>The k largest (or smallest) elements along an axis, the first first: values and indices (i64). Of equal elements the one of smaller index comes first.</summary>
    public (Tensor Values, Tensor Indices) TopK(int k, int dim = -1, bool largest = true) => Pair(x => Lookups.topK(k, dim, largest, x), this);

    /// <summary>The k-th smallest element along an axis, which disappears (k = 1: the smallest): value and index (i64).</summary>
    public (Tensor Values, Tensor Indices) KthValue(int k, int dim = -1) => Pair(x => Lookups.kthValue(k, dim, x), this);

    /// <summary>Where to insert <c>values</c> into a sorted last axis so that it stays sorted (i64, the shape of <c>values</c>): the first such place, or the last (<c>right</c>). <c>sorted</c> is a vector, or has the leading axes of <c>values</c>.</summary>
    public Tensor SearchSorted(Tensor values, bool right = false) => Make((x, y) => Lookups.searchSorted(right, x, y), this, values);

    /// <summary>The number of the interval between <c>boundaries</c> (a sorted vector) that each value lies in: i64. A value on a boundary belongs to the interval below it, or above (<c>right</c>).</summary>
    public Tensor Bucketize(Tensor boundaries, bool right = false) => Make((x, y) => Lookups.bucketize(right, y, x), this, boundaries);

    /// <summary>1 at the index, 0 elsewhere: <c>[..]</c> integers to <c>[..; classes]</c> of the given type; an index outside gives zeros.</summary>
    public Tensor OneHot(int classes, DType type = DType.Float32) => Make(x => Lookups.oneHot(type.ToCore(), classes, x), this);

    /// <summary>x[i0, i1, ...] for integer tensors that broadcast together: one index per leading axis of x (NumPy's and PyTorch's indexing by arrays). <c>[n0; n1; rest..]</c> at two <c>[k..]</c> gives <c>[k..; rest..]</c>.</summary>
    public Tensor IndexAt(params Tensor[] indices) => Make(n => Lookups.indexAt(n[1..]!, n[0]!), [this, .. indices]);
}
