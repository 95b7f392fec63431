namespace Nanograd.CSharp;

/// <remarks>Attention.</remarks>
public static partial class F
{
    /// <summary>Softmax(q k^T scale + mask) v over the last two axes; all others are batches.</summary>
    /// <param name="query">[..., queries, d].</param>
    /// <param name="key">[..., keys, d].</param>
    /// <param name="value">[..., keys, dv].</param>
    /// <param name="attnMask">
    /// Broadcast to [..., queries, keys]: bool, true where a query may look at a key (PyTorch's sense here; masks of modules say the
    /// opposite), or floats, which are added to the scores.
    /// </param>
    /// <param name="dropoutP">The share of weights that is dropped.</param>
    /// <param name="isCausal">Whether a query looks at keys up to its own place only.</param>
    /// <param name="scale">What scores are multiplied by: 1/sqrt(d) unless given.</param>
    /// <param name="enableGqa">Whether keys and values, [..., kvHeads, keys, d], may have fewer heads than queries, of which each serves several.</param>
    /// <param name="generator">Where the randomness of dropout comes from.</param>
    public static Tensor ScaledDotProductAttention(
        Tensor query, Tensor key, Tensor value, Tensor? attnMask = null, double dropoutP = 0, bool isCausal = false, double? scale = null, bool enableGqa = false,
        Generator? generator = null)
    {
        CheckProbability(dropoutP);
        var dropoutKey = dropoutP > 0 ? new Tensor(Generator.NextKey(generator)) : null;
        return Tensor.Make(
            n => Zoo.AttentionFunctions.Scaled(n[0]!, n[1]!, n[2]!, n[3], isCausal, dropoutP, n[4], scale, enableGqa),
            query, key, value, attnMask, dropoutKey);
    }
}
