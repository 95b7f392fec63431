namespace Nanograd.CSharp;

/// <summary>
/// Attention with several heads (Vaswani et al. 2017), PyTorch's layout and parameter names. Inputs are [length, batch,
/// embedding], or [batch, length, embedding] when <c>batchFirst</c>; without a batch axis, [length, embedding].
/// </summary>
public sealed class MultiheadAttention : Module
{
    private readonly double _dropout;
    private readonly bool _batchFirst;
    private readonly bool _addZeroAttn;
    private readonly Generator? _generator;

    /// <summary>Attention over vectors of <paramref name="embedDim"/> numbers, divided among the heads.</summary>
    /// <param name="embedDim">Features of queries and of the result: a multiple of the heads.</param>
    /// <param name="numHeads">Heads.</param>
    /// <param name="dropout">The probability of dropout of weights, in training.</param>
    /// <param name="bias">Whether projections have biases.</param>
    /// <param name="addBiasKv">Whether a learned key and a learned value are added, which every query sees.</param>
    /// <param name="addZeroAttn">Whether a key and a value of zeros are added.</param>
    /// <param name="kdim">Features of keys: <paramref name="embedDim"/> unless given.</param>
    /// <param name="vdim">Features of values: <paramref name="embedDim"/> unless given.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, embedding].</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public MultiheadAttention(
        int embedDim, int numHeads, double dropout = 0, bool bias = true, bool addBiasKv = false, bool addZeroAttn = false, int? kdim = null, int? vdim = null,
        bool batchFirst = false, Generator? generator = null)
    {
        if (numHeads < 1 || embedDim < 1 || embedDim % numHeads != 0)
        {
            throw new ArgumentException($"MultiheadAttention: embedDim must be a multiple of numHeads, got {embedDim} and {numHeads}.");
        }

        if (kdim < 1 || vdim < 1)
        {
            throw new ArgumentException($"MultiheadAttention: kdim and vdim must be at least 1, got {kdim ?? embedDim} and {vdim ?? embedDim}.");
        }

        F.CheckProbability(dropout);
        (EmbedDim, NumHeads, _dropout, _batchFirst, _addZeroAttn, _generator) = (embedDim, numHeads, dropout, batchFirst, addZeroAttn, generator);
        var start = Zoo.AttentionFunctions.MultiheadInit(Generator.NextKey(generator), embedDim, kdim ?? embedDim, vdim ?? embedDim, bias, addBiasKv);
        var parameters = start.Zip(Parameter.All([.. start.Select(s => s.Value)])).ToDictionary(p => p.First.Name, p => p.Second);
        InProjWeight = parameters.GetValueOrDefault("in_proj_weight");
        QProjWeight = parameters.GetValueOrDefault("q_proj_weight");
        KProjWeight = parameters.GetValueOrDefault("k_proj_weight");
        VProjWeight = parameters.GetValueOrDefault("v_proj_weight");
        InProjBias = parameters.GetValueOrDefault("in_proj_bias");
        BiasK = parameters.GetValueOrDefault("bias_k");
        BiasV = parameters.GetValueOrDefault("bias_v");
        OutProj = new Linear(embedDim, embedDim, bias, generator)
        {
            Weight = parameters["out_proj.weight"],
            Bias = parameters.GetValueOrDefault("out_proj.bias"),
        };
    }

    /// <summary>Features of queries and of the result.</summary>
    public int EmbedDim { get; }

    /// <summary>Heads.</summary>
    public int NumHeads { get; }

    /// <summary>The projections to queries, keys and values, one below the other: [3 embedDim, embedDim]. Null if there is one each.</summary>
    public Parameter? InProjWeight { get; set; }

    /// <summary>The projection to queries, [embedDim, embedDim], if keys or values have other features; or null.</summary>
    public Parameter? QProjWeight { get; set; }

    /// <summary>The projection to keys, [embedDim, kdim], or null.</summary>
    public Parameter? KProjWeight { get; set; }

    /// <summary>The projection to values, [embedDim, vdim], or null.</summary>
    public Parameter? VProjWeight { get; set; }

    /// <summary>The biases of the projections, [3 embedDim], or null.</summary>
    public Parameter? InProjBias { get; set; }

    /// <summary>A key that every query sees, [1, 1, embedDim], or null.</summary>
    public Parameter? BiasK { get; set; }

    /// <summary>Its value, [1, 1, embedDim], or null.</summary>
    public Parameter? BiasV { get; set; }

    /// <summary>The projection of the joined heads.</summary>
    public Linear OutProj { get; }

    /// <summary>Self-attention without a mask.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, input, input).Output;

    /// <summary>Attends from queries to keys.</summary>
    /// <param name="query">What asks: [queries, batch, embedDim] (or batch first, or without a batch).</param>
    /// <param name="key">What is compared with the queries: [keys, batch, kdim].</param>
    /// <param name="value">What is averaged, with the weights that the comparison gives: [keys, batch, vdim].</param>
    /// <param name="keyPaddingMask">[batch, keys]: bool, true where a key is padding, or floats, which are added to the scores.</param>
    /// <param name="needWeights">PyTorch's switch that saves the weights' cost; here they cost nothing unless they are read.</param>
    /// <param name="attnMask">[queries, keys] or [batch * heads, queries, keys]: bool, true where a query must not look at a key, or floats, which are added to the scores.</param>
    /// <param name="averageAttnWeights">Whether the weights are averaged over the heads.</param>
    /// <param name="isCausal">Whether a query looks at keys up to its own place only, where no <paramref name="attnMask"/> says so.</param>
    /// <returns>The result, shaped as the queries, and the weights: [batch, queries, keys], or [batch, heads, queries, keys].</returns>
    public (Tensor Output, Tensor Weights) Forward(
        Tensor query, Tensor key, Tensor value, Tensor? keyPaddingMask = null, bool needWeights = true, Tensor? attnMask = null, bool averageAttnWeights = true,
        bool isCausal = false)
    {
        _ = needWeights;
        var dropoutKey = Training && _dropout > 0 ? new Tensor(Generator.NextKey(_generator)) : null;
        Parameter[] projections = InProjWeight is null ? [QProjWeight!, KProjWeight!, VProjWeight!] : [InProjWeight];
        if (isCausal && attnMask is null && query.Rank > 1 && key.Rank == query.Rank)
        {
            var axis = _batchFirst && query.Rank == 3 ? 1 : 0;
            attnMask = new Tensor(Zoo.AttentionFunctions.Future(query.Shape[axis], key.Shape[axis]));
        }

        var both = Tensor.MakeAll(
            n => Zoo.AttentionFunctions.Multihead(
                n[0]!, n[1]!, n[2]!, NumHeads, n[11..]!, n[3], n[4], n[5], n[6]!, n[7], n[8], n[9], _dropout, n[10], _batchFirst, _addZeroAttn, averageAttnWeights),
            [query, key, value, InProjBias, BiasK, BiasV, OutProj.Weight, OutProj.Bias, attnMask, keyPaddingMask, dropoutKey, .. projections]);
        return (Called(query, both[0]), both[1]);
    }
}
