namespace Nanograd.CSharp;

/// <summary>
/// Which keys a query must not see: bool, true = excluded, as the masks of <see cref="MultiheadAttention"/> say it. (Those of
/// <see cref="F.ScaledDotProductAttention"/> say the opposite, as PyTorch's do: use <c>mask.LogicalNot()</c>.)
/// </summary>
public static class AttentionMask
{
    /// <summary>No place sees a later one: [n, n].</summary>
    public static Tensor Causal(int n) => new(Nanograd.AttentionMask.causal(n));

    /// <summary>A place sees itself and the <paramref name="window"/> - 1 before it: [n, n].</summary>
    public static Tensor SlidingWindow(int window, int n) => new(Nanograd.AttentionMask.slidingWindow(window, n));

    /// <summary>Places see those at most <paramref name="reach"/> away on either side: [n, n].</summary>
    public static Tensor Local(int reach, int n) => new(Nanograd.AttentionMask.local(reach, n));

    /// <summary>Blocks of places see blocks of places.</summary>
    /// <param name="size">Places in a block.</param>
    /// <param name="visible">bool, [query blocks, key blocks], true = visible.</param>
    /// <returns>[queries, keys].</returns>
    public static Tensor BlockSparse(int size, Tensor visible) => Tensor.Make(n => Nanograd.AttentionMask.blockSparse(size, n[0]!), visible);

    /// <summary>Keys behind the end of each sequence: a key padding mask, [batch, keys].</summary>
    /// <param name="keys">How many keys there are.</param>
    /// <param name="lengths">How many of them each sequence has: integers, [batch].</param>
    public static Tensor Padding(int keys, Tensor lengths) => Tensor.Make(n => Nanograd.AttentionMask.padding(keys, n[0]!), lengths);
}

/// <summary>Where tokens stand.</summary>
public static class Positions
{
    /// <summary>Sines in even channels and cosines in odd ones, of wavelengths from 2 pi to 10000 * 2 pi (Vaswani et al. 2017): [n, dim].</summary>
    public static Tensor Sinusoidal(int n, int dim) => new(Nanograd.Positions.sinusoidal(n, dim));

    /// <summary>ALiBi's slopes (Press et al. 2021): [heads].</summary>
    public static Tensor AlibiSlopes(int heads) => new(Nanograd.Positions.alibiSlopes(heads));

    /// <summary>ALiBi's bias of scores, minus slope times distance, a mask of floats: [heads, queries, keys]. The last query stands at the last key.</summary>
    public static Tensor Alibi(int heads, int queries, int keys) => new(Nanograd.Positions.alibi(heads, queries, keys));
}
