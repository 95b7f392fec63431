namespace Nanograd.CSharp;

/// <summary>
/// Self-attention with fewer heads of keys and values than of queries (Ainslie et al. 2023); one is multi-query attention. Parameter
/// names and layout are those of Llama's checkpoints: <c>q_proj</c>, <c>k_proj</c>, <c>v_proj</c>, <c>o_proj</c>.
/// </summary>
public sealed class GroupedQueryAttention : Module
{
    private readonly RotaryEmbedding? _rotary;

    /// <summary>Attention over vectors of <paramref name="embedDim"/> numbers.</summary>
    /// <param name="embedDim">Features: a multiple of the heads.</param>
    /// <param name="numHeads">Heads of queries.</param>
    /// <param name="numKvHeads">Heads of keys and values: a divisor of the heads of queries.</param>
    /// <param name="bias">Whether projections have biases.</param>
    /// <param name="rotary">What turns queries and keys by their places, or null.</param>
    /// <param name="generator">Where the start comes from.</param>
    public GroupedQueryAttention(
        int embedDim, int numHeads, int numKvHeads, bool bias = false, RotaryEmbedding? rotary = null, Generator? generator = null)
    {
        if (numHeads < 1 || numKvHeads < 1 || numHeads % numKvHeads != 0 || embedDim < 1 || embedDim % numHeads != 0)
        {
            throw new ArgumentException(
                $"GroupedQueryAttention: embedDim must be a multiple of numHeads, and that of numKvHeads, got {embedDim}, {numHeads} and {numKvHeads}.");
        }

        (NumHeads, NumKvHeads, _rotary) = (numHeads, numKvHeads, rotary);
        var width = embedDim / numHeads * numKvHeads;
        QProj = new Linear(embedDim, embedDim, bias, generator);
        KProj = new Linear(embedDim, width, bias, generator);
        VProj = new Linear(embedDim, width, bias, generator);
        OProj = new Linear(embedDim, embedDim, bias, generator);
    }

    /// <summary>Heads of queries.</summary>
    public int NumHeads { get; }

    /// <summary>Heads of keys and values.</summary>
    public int NumKvHeads { get; }

    /// <summary>To queries: [embedDim, embedDim].</summary>
    public Linear QProj { get; }

    /// <summary>To keys: [kvHeads * d, embedDim].</summary>
    public Linear KProj { get; }

    /// <summary>To values: [kvHeads * d, embedDim].</summary>
    public Linear VProj { get; }

    /// <summary>From the joined heads: [embedDim, embedDim].</summary>
    public Linear OProj { get; }

    /// <summary>Self-attention without a mask.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);

    /// <summary>Self-attention.</summary>
    /// <param name="input">[batch, length, embedDim].</param>
    /// <param name="attnMask">Broadcast to [batch, heads, length, length]: bool, true where a query must not look at a key, or floats, which are added to the scores (<see cref="Positions.Alibi"/>).</param>
    /// <param name="isCausal">Whether a query looks at keys up to its own place only.</param>
    public Tensor Forward(Tensor input, Tensor? attnMask, bool isCausal = false)
    {
        Linear[] linear = [QProj, KProj, VProj, OProj];
        return Called(input, Tensor.Make(
            n =>
            {
                if (n[0]!.Rank != 3)
                {
                    throw new ArgumentException($"GroupedQueryAttention: the input must be [batch, length, embedDim], got {Nanograd.Shape.describe(n[0]!)}.");
                }

                var tables = _rotary?.Tables(n[0]!.Shape[1]) ?? [null!, null!];
                return Zoo.AttentionFunctions.GroupedQuery(
                    n[0]!, NumHeads, NumKvHeads, n[2..6]!, n[6..]!, tables[0], tables[1], _rotary is { Interleaved: true }, n[1], isCausal);
            },
            [input, attnMask, .. linear.Select(l => l.Weight), .. linear.Select(l => l.Bias)]));
    }
}
