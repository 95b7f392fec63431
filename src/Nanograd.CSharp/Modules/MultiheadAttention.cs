namespace Nanograd.CSharp;

/// <summary>
/// Attention with several heads (Vaswani et al. 2017), PyTorch's layout and parameter names. Inputs are [length, batch,
/// embedding], or [batch, length, embedding] when <c>batchFirst</c>; without a batch axis, [length, embedding].
/// </summary>
public sealed class MultiheadAttention : Module
{
    private readonly int _heads;
    private readonly double _dropout;
    private readonly bool _batchFirst;
    private readonly Generator? _generator;

    /// <summary>Attention over vectors of <paramref name="embedDim"/> numbers, divided among the heads.</summary>
    public MultiheadAttention(int embedDim, int numHeads, double dropout = 0, bool bias = true, bool batchFirst = false, Generator? generator = null)
    {
        if (numHeads < 1 || embedDim < 1 || embedDim % numHeads != 0)
        {
            throw new ArgumentException($"MultiheadAttention: embedDim must be a multiple of numHeads, got {embedDim} and {numHeads}.");
        }

        F.CheckProbability(dropout);
        (_heads, _dropout, _batchFirst, _generator) = (numHeads, dropout, batchFirst, generator);
        InProjWeight = Parameter.Of(Zoo.Layers.MultiheadInitWeights(Generator.NextKey(generator), embedDim)[0]);
        InProjBias = bias ? new Parameter(Tensor.Zeros(3 * embedDim)) : null;
        OutProj = new Linear(embedDim, embedDim, bias, generator);
        OutProj.Bias?.Set(Tensor.Zeros(embedDim));
    }

    /// <summary>The projections to queries, keys and values, one below the other: [3 embedDim, embedDim].</summary>
    public Parameter InProjWeight { get; set; }

    /// <summary>Their biases, or null.</summary>
    public Parameter? InProjBias { get; set; }

    /// <summary>The projection of the joined heads.</summary>
    public Linear OutProj { get; }

    /// <summary>Self-attention without a mask.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, input, input).Output;

    /// <summary>Attends from queries to keys; returns the result and the weights, averaged over the heads.</summary>
    /// <param name="query">What asks.</param>
    /// <param name="key">What is compared with the queries.</param>
    /// <param name="value">What is averaged, with the weights that the comparison gives.</param>
    /// <param name="keyPaddingMask">[batch, keys], true where a key is padding.</param>
    /// <param name="attnMask">[queries, keys], true where a query must not look at a key.</param>
    public (Tensor Output, Tensor Weights) Forward(Tensor query, Tensor key, Tensor value, Tensor? keyPaddingMask = null, Tensor? attnMask = null)
    {
        var single = query.Rank == 2;
        var dropping = Training && _dropout > 0;
        var dropoutKey = dropping ? new Tensor(Generator.NextKey(_generator)) : null;
        Tensor? weights = null;
        var output = Tensor.Make(
            n =>
            {
                var result = Zoo.Layers.MultiheadAttention(
                    n[0]!, n[1]!, n[2]!, _heads, n[3]!, n[4], n[5]!, n[6], n[7], n[8], dropping ? _dropout : 0, n[9]);
                weights = new Tensor(result.Weights, null, frozen: true);
                return result.Output;
            },
            In(query), In(key), In(value), InProjWeight, InProjBias, OutProj.Weight, OutProj.Bias, attnMask, In(keyPaddingMask, mask: true), dropoutKey);
        return (Out(output).Kept(), single ? weights!.Squeeze(0) : weights!);

        Tensor Out(Tensor x) => single ? x.Squeeze(0) : _batchFirst ? x : x.Transpose(0, 1);
        [return: System.Diagnostics.CodeAnalysis.NotNullIfNotNull(nameof(x))]
        Tensor? In(Tensor? x, bool mask = false) =>
            x is null ? null : single ? x.Unsqueeze(0) : _batchFirst || mask ? x : x.Transpose(0, 1);
    }
}
