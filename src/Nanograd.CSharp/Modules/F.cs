namespace Nanograd.CSharp;

/// <summary>The functions that modules are made of: PyTorch's <c>torch.nn.functional</c>.</summary>
public static partial class F
{
    /// <summary>x W^T + b.</summary>
    public static Tensor Linear(Tensor input, Tensor weight, Tensor? bias = null) =>
        Tensor.Make(n => Zoo.Layers.Linear(n[0]!, n[1]!, n[2]), input, weight, bias);

    /// <summary>Softmax(q k^T / sqrt(d)) v over the last two axes; all others are batches.</summary>
    /// <param name="query">[..., queries, d].</param>
    /// <param name="key">[..., keys, d].</param>
    /// <param name="value">[..., keys, dv].</param>
    /// <param name="attnMask">True where a query may look at a key (PyTorch's sense here), broadcast to [..., queries, keys].</param>
    /// <param name="dropoutP">The share of weights that is dropped.</param>
    /// <param name="isCausal">Whether a query looks at keys up to its own place only.</param>
    /// <param name="generator">Where the randomness of dropout comes from.</param>
    public static Tensor ScaledDotProductAttention(
        Tensor query, Tensor key, Tensor value, Tensor? attnMask = null, double dropoutP = 0, bool isCausal = false, Generator? generator = null)
    {
        CheckProbability(dropoutP);
        var dropoutKey = dropoutP > 0 ? new Tensor(Generator.NextKey(generator)) : null;
        return Tensor.Make(
            n => Zoo.Layers.ScaledDotProductAttention(
                n[0]!, n[1]!, n[2]!, n[3] is null ? null : Ops.unary(Nanograd.Unary.Not, n[3]!), isCausal, dropoutP, n[4]),
            query, key, value, attnMask, dropoutKey);
    }
}
