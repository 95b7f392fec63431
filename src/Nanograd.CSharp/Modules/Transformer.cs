namespace Nanograd.CSharp;

/// <summary>Layers of an encoder, one after another, and a norm behind them. They start as copies of one layer, as PyTorch's do.</summary>
public sealed class TransformerEncoder : Module
{
    /// <summary>Copies of a layer.</summary>
    /// <param name="encoderLayer">What is copied.</param>
    /// <param name="numLayers">How often.</param>
    /// <param name="norm">Behind all, or null.</param>
    public TransformerEncoder(TransformerEncoderLayer encoderLayer, int numLayers, LayerNorm? norm = null)
    {
        Layers = [.. Enumerable.Range(0, Transformer.AtLeastOne(numLayers)).Select(_ => encoderLayer.Copy())];
        Norm = norm;
    }

    /// <summary>The layers.</summary>
    public IReadOnlyList<TransformerEncoderLayer> Layers { get; }

    /// <summary>The norm behind them, or null.</summary>
    public LayerNorm? Norm { get; }

    /// <summary>Without a mask.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);

    /// <summary>All layers; the shape stays.</summary>
    /// <param name="src">[length, batch, dModel], [batch, length, dModel] or [length, dModel].</param>
    /// <param name="mask">[length, length] or [batch * heads, length, length]: bool, true = excluded, or floats to add.</param>
    /// <param name="srcKeyPaddingMask">[batch, length]: true where there is padding, or floats to add.</param>
    /// <param name="isCausal">Whether no place sees a later one, where no <paramref name="mask"/> says so.</param>
    public Tensor Forward(Tensor src, Tensor? mask, Tensor? srcKeyPaddingMask = null, bool isCausal = false)
    {
        var x = Layers.Aggregate(src, (x, layer) => layer.Forward(x, mask, srcKeyPaddingMask, isCausal));
        return Called(src, Norm?.Forward(x) ?? x);
    }
}

/// <summary>Layers of a decoder, one after another, and a norm behind them. They start as copies of one layer, as PyTorch's do.</summary>
public sealed class TransformerDecoder : Module
{
    /// <summary>Copies of a layer.</summary>
    /// <param name="decoderLayer">What is copied.</param>
    /// <param name="numLayers">How often.</param>
    /// <param name="norm">Behind all, or null.</param>
    public TransformerDecoder(TransformerDecoderLayer decoderLayer, int numLayers, LayerNorm? norm = null)
    {
        Layers = [.. Enumerable.Range(0, Transformer.AtLeastOne(numLayers)).Select(_ => decoderLayer.Copy())];
        Norm = norm;
    }

    /// <summary>The layers.</summary>
    public IReadOnlyList<TransformerDecoderLayer> Layers { get; }

    /// <summary>The norm behind them, or null.</summary>
    public LayerNorm? Norm { get; }

    /// <summary>All layers; the shape stays.</summary>
    /// <param name="tgt">[length, batch, dModel], [batch, length, dModel] or [length, dModel].</param>
    /// <param name="memory">What the encoder gave, in the same layout.</param>
    /// <param name="tgtMask">[length, length] or [batch * heads, length, length]: bool, true = excluded, or floats to add.</param>
    /// <param name="memoryMask">[length, memory] or [batch * heads, length, memory].</param>
    /// <param name="tgtKeyPaddingMask">[batch, length].</param>
    /// <param name="memoryKeyPaddingMask">[batch, memory].</param>
    /// <param name="tgtIsCausal">Whether no place sees a later one, where no <paramref name="tgtMask"/> says so.</param>
    /// <param name="memoryIsCausal">The same for places of the memory.</param>
    public Tensor Forward(
        Tensor tgt, Tensor memory, Tensor? tgtMask = null, Tensor? memoryMask = null, Tensor? tgtKeyPaddingMask = null, Tensor? memoryKeyPaddingMask = null,
        bool tgtIsCausal = false, bool memoryIsCausal = false)
    {
        var x = Layers.Aggregate(
            tgt, (x, layer) => layer.Forward(x, memory, tgtMask, memoryMask, tgtKeyPaddingMask, memoryKeyPaddingMask, tgtIsCausal, memoryIsCausal));
        return Called(tgt, Norm?.Forward(x) ?? x);
    }
}

/// <summary>An encoder and a decoder (Vaswani et al. 2017). All matrices start Xavier-uniform.</summary>
public sealed class Transformer : Module
{
    /// <summary>A transformer over vectors of <paramref name="dModel"/> numbers.</summary>
    /// <param name="dModel">Features.</param>
    /// <param name="nhead">Heads of attention.</param>
    /// <param name="numEncoderLayers">Layers of the encoder.</param>
    /// <param name="numDecoderLayers">Layers of the decoder.</param>
    /// <param name="dimFeedforward">Inner features of the dense parts.</param>
    /// <param name="dropout">The probability of dropout, in training.</param>
    /// <param name="activation">relu or gelu.</param>
    /// <param name="customEncoder">An encoder of one's own, or null.</param>
    /// <param name="customDecoder">A decoder of one's own, or null.</param>
    /// <param name="layerNormEps">What keeps norms from dividing by 0.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
    /// <param name="normFirst">Whether norms stand before attention and dense parts rather than behind the sums.</param>
    /// <param name="bias">Whether linear maps and norms have biases.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public Transformer(
        int dModel = 512, int nhead = 8, int numEncoderLayers = 6, int numDecoderLayers = 6, int dimFeedforward = 2048, double dropout = 0.1,
        string activation = "relu", TransformerEncoder? customEncoder = null, TransformerDecoder? customDecoder = null, double layerNormEps = 1e-5,
        bool batchFirst = false, bool normFirst = false, bool bias = true, Generator? generator = null)
    {
        var form = new TransformerForm(
            dModel, nhead, dimFeedforward, dropout, TransformerForm.Named(activation), layerNormEps, batchFirst, normFirst, bias, generator);
        BatchFirst = batchFirst;
        Encoder = customEncoder ?? new TransformerEncoder(new TransformerEncoderLayer(form), numEncoderLayers, form.Norm());
        Decoder = customDecoder ?? new TransformerDecoder(new TransformerDecoderLayer(form), numDecoderLayers, form.Norm());
        foreach (var matrix in Parameters().Where(p => p.Rank > 1))
        {
            var bound = Math.Sqrt(6.0 / (matrix.Shape[0] + matrix.Shape[1]));
            matrix.Set(new Tensor(Zoo.Layers.Uniform(Generator.NextKey(generator), [.. matrix.Shape], bound)));
        }
    }

    /// <summary>Whether inputs are [batch, length, dModel].</summary>
    public bool BatchFirst { get; }

    /// <summary>From the source to the memory.</summary>
    public TransformerEncoder Encoder { get; }

    /// <summary>From target and memory to the result.</summary>
    public TransformerDecoder Decoder { get; }

    /// <summary>The decoder's result, shaped as the target.</summary>
    /// <param name="src">The source, [length, batch, dModel] (or batch first, or without a batch).</param>
    /// <param name="tgt">The target, in the same layout, with its own length.</param>
    /// <param name="srcMask">[source, source] or [batch * heads, source, source]: bool, true = excluded, or floats to add.</param>
    /// <param name="tgtMask">[target, target] or [batch * heads, target, target].</param>
    /// <param name="memoryMask">[target, source] or [batch * heads, target, source].</param>
    /// <param name="srcKeyPaddingMask">[batch, source].</param>
    /// <param name="tgtKeyPaddingMask">[batch, target].</param>
    /// <param name="memoryKeyPaddingMask">[batch, source].</param>
    /// <param name="srcIsCausal">Whether no place of the source sees a later one, where no mask says so.</param>
    /// <param name="tgtIsCausal">The same for places of the target.</param>
    /// <param name="memoryIsCausal">The same for places of the target and the memory.</param>
    public Tensor Forward(
        Tensor src, Tensor tgt, Tensor? srcMask = null, Tensor? tgtMask = null, Tensor? memoryMask = null, Tensor? srcKeyPaddingMask = null,
        Tensor? tgtKeyPaddingMask = null, Tensor? memoryKeyPaddingMask = null, bool srcIsCausal = false, bool tgtIsCausal = false, bool memoryIsCausal = false)
    {
        var memory = Encoder.Forward(src, srcMask, srcKeyPaddingMask, srcIsCausal);
        return Called(src, Decoder.Forward(tgt, memory, tgtMask, memoryMask, tgtKeyPaddingMask, memoryKeyPaddingMask, tgtIsCausal, memoryIsCausal));
    }

    /// <summary>Zero on and below the diagonal, minus infinity above: [sz, sz], to be added to scores.</summary>
    public static Tensor GenerateSquareSubsequentMask(int sz) => new(Nanograd.TransformerModule.squareSubsequentMask(sz));

    internal static int AtLeastOne(int layers) => layers >= 1
        ? layers
        : throw new ArgumentException($"Transformer: there must be at least one layer, got {layers}.");
}
