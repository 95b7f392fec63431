namespace Nanograd.CSharp;

/// <summary>What the layers have in common: how they are computed, and a dense part.</summary>
/// <param name="DModel">Features.</param>
/// <param name="Heads">Heads of attention.</param>
/// <param name="DimFeedforward">Inner features of the dense part.</param>
/// <param name="Dropout">The probability of dropout, in training.</param>
/// <param name="Activation">Between the two linear maps.</param>
/// <param name="LayerNormEps">What keeps norms from dividing by 0.</param>
/// <param name="BatchFirst">Whether inputs are [batch, length, features].</param>
/// <param name="NormFirst">Whether norms stand before attention and dense part rather than behind the sums.</param>
/// <param name="Bias">Whether linear maps and norms have biases.</param>
/// <param name="Generator">Where starts and dropout come from.</param>
internal sealed record TransformerForm(
    int DModel, int Heads, int DimFeedforward, double Dropout, Func<Tensor, Tensor> Activation, double LayerNormEps, bool BatchFirst, bool NormFirst, bool Bias,
    Generator? Generator)
{
    public static Func<Tensor, Tensor> Named(string activation) => activation switch
    {
        "relu" => F.ReLU,
        "gelu" => x => F.GELU(x),
        _ => throw new ArgumentException($"activation must be relu, gelu or a function, got {activation}."),
    };

    public MultiheadAttention Attention() => new(DModel, Heads, Dropout, Bias, batchFirst: BatchFirst, generator: Generator);

    public LayerNorm Norm() => new(DModel, LayerNormEps, bias: Bias);

    public Linear Linear1() => new(DModel, DimFeedforward, Bias, Generator);

    public Linear Linear2() => new(DimFeedforward, DModel, Bias, Generator);

    public Dropout Dropping() => new(Dropout, generator: Generator);

    /// <summary>The input plus a branch of it, normalised before or after.</summary>
    public Tensor Residual(Tensor x, LayerNorm norm, Func<Tensor, Tensor> branch) =>
        NormFirst ? x + branch(norm.Forward(x)) : norm.Forward(x + branch(x));

    /// <summary>Parameters with the values of another module of the same form.</summary>
    public static T Copied<T>(T source, T copy) where T : Module
    {
        foreach (var (mine, theirs) in copy.Parameters().Zip(source.Parameters()))
        {
            mine.Adopt(Copies.Of(theirs), theirs.RequiresGrad);
        }

        copy.Train(source.Training);
        return copy;
    }
}

/// <summary>A layer of an encoder: self-attention and a dense part (Vaswani et al. 2017; norms first: Xiong et al. 2020).</summary>
public sealed class TransformerEncoderLayer : Module
{
    private readonly TransformerForm _form;
    private readonly Dropout _dropout;
    private readonly Dropout _dropout1;
    private readonly Dropout _dropout2;

    /// <summary>A layer over vectors of <paramref name="dModel"/> numbers.</summary>
    /// <param name="dModel">Features.</param>
    /// <param name="nhead">Heads of attention.</param>
    /// <param name="dimFeedforward">Inner features of the dense part.</param>
    /// <param name="dropout">The probability of dropout, in training.</param>
    /// <param name="activation">relu or gelu.</param>
    /// <param name="layerNormEps">What keeps norms from dividing by 0.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
    /// <param name="normFirst">Whether norms stand before attention and dense part rather than behind the sums.</param>
    /// <param name="bias">Whether linear maps and norms have biases.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public TransformerEncoderLayer(
        int dModel, int nhead, int dimFeedforward = 2048, double dropout = 0.1, string activation = "relu", double layerNormEps = 1e-5, bool batchFirst = false,
        bool normFirst = false, bool bias = true, Generator? generator = null)
        : this(new TransformerForm(dModel, nhead, dimFeedforward, dropout, TransformerForm.Named(activation), layerNormEps, batchFirst, normFirst, bias, generator))
    {
    }

    /// <summary>The same with an activation of one's own.</summary>
    /// <param name="dModel">Features.</param>
    /// <param name="nhead">Heads of attention.</param>
    /// <param name="activation">Between the two linear maps.</param>
    /// <param name="dimFeedforward">Inner features of the dense part.</param>
    /// <param name="dropout">The probability of dropout, in training.</param>
    /// <param name="layerNormEps">What keeps norms from dividing by 0.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
    /// <param name="normFirst">Whether norms stand before attention and dense part rather than behind the sums.</param>
    /// <param name="bias">Whether linear maps and norms have biases.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public TransformerEncoderLayer(
        int dModel, int nhead, Func<Tensor, Tensor> activation, int dimFeedforward = 2048, double dropout = 0.1, double layerNormEps = 1e-5, bool batchFirst = false,
        bool normFirst = false, bool bias = true, Generator? generator = null)
        : this(new TransformerForm(dModel, nhead, dimFeedforward, dropout, activation, layerNormEps, batchFirst, normFirst, bias, generator))
    {
    }

    internal TransformerEncoderLayer(TransformerForm form)
    {
        _form = form;
        SelfAttn = form.Attention();
        (Linear1, Linear2) = (form.Linear1(), form.Linear2());
        (Norm1, Norm2) = (form.Norm(), form.Norm());
        (_dropout, _dropout1, _dropout2) = (form.Dropping(), form.Dropping(), form.Dropping());
    }

    /// <summary>Attention of all places to all.</summary>
    public MultiheadAttention SelfAttn { get; }

    /// <summary>[dimFeedforward, dModel].</summary>
    public Linear Linear1 { get; }

    /// <summary>[dModel, dimFeedforward].</summary>
    public Linear Linear2 { get; }

    /// <summary>The norm of the attention.</summary>
    public LayerNorm Norm1 { get; }

    /// <summary>The norm of the dense part.</summary>
    public LayerNorm Norm2 { get; }

    /// <summary>Without a mask.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);

    /// <summary>One layer further; the shape stays.</summary>
    /// <param name="src">[length, batch, dModel], [batch, length, dModel] or [length, dModel].</param>
    /// <param name="srcMask">[length, length] or [batch * heads, length, length]: bool, true = excluded, or floats to add.</param>
    /// <param name="srcKeyPaddingMask">[batch, length]: true where there is padding, or floats to add.</param>
    /// <param name="isCausal">Whether no place sees a later one, where no <paramref name="srcMask"/> says so.</param>
    public Tensor Forward(Tensor src, Tensor? srcMask, Tensor? srcKeyPaddingMask = null, bool isCausal = false)
    {
        var x = _form.Residual(src, Norm1, y => _dropout1.Forward(SelfAttn.Forward(y, y, y, srcKeyPaddingMask, false, srcMask, isCausal: isCausal).Output));
        return Called(src, _form.Residual(x, Norm2, y => _dropout2.Forward(Linear2.Forward(_dropout.Forward(_form.Activation(Linear1.Forward(y)))))));
    }

    internal TransformerEncoderLayer Copy() => TransformerForm.Copied(this, new TransformerEncoderLayer(_form));
}

/// <summary>A layer of a decoder: self-attention, attention to the memory (the encoder's result), and a dense part.</summary>
public sealed class TransformerDecoderLayer : Module
{
    private readonly TransformerForm _form;
    private readonly Dropout _dropout;
    private readonly Dropout _dropout1;
    private readonly Dropout _dropout2;
    private readonly Dropout _dropout3;

    /// <summary>A layer over vectors of <paramref name="dModel"/> numbers.</summary>
    /// <param name="dModel">Features.</param>
    /// <param name="nhead">Heads of attention.</param>
    /// <param name="dimFeedforward">Inner features of the dense part.</param>
    /// <param name="dropout">The probability of dropout, in training.</param>
    /// <param name="activation">relu or gelu.</param>
    /// <param name="layerNormEps">What keeps norms from dividing by 0.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
    /// <param name="normFirst">Whether norms stand before attention and dense part rather than behind the sums.</param>
    /// <param name="bias">Whether linear maps and norms have biases.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public TransformerDecoderLayer(
        int dModel, int nhead, int dimFeedforward = 2048, double dropout = 0.1, string activation = "relu", double layerNormEps = 1e-5, bool batchFirst = false,
        bool normFirst = false, bool bias = true, Generator? generator = null)
        : this(new TransformerForm(dModel, nhead, dimFeedforward, dropout, TransformerForm.Named(activation), layerNormEps, batchFirst, normFirst, bias, generator))
    {
    }

    /// <summary>The same with an activation of one's own.</summary>
    /// <param name="dModel">Features.</param>
    /// <param name="nhead">Heads of attention.</param>
    /// <param name="activation">Between the two linear maps.</param>
    /// <param name="dimFeedforward">Inner features of the dense part.</param>
    /// <param name="dropout">The probability of dropout, in training.</param>
    /// <param name="layerNormEps">What keeps norms from dividing by 0.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
    /// <param name="normFirst">Whether norms stand before attention and dense part rather than behind the sums.</param>
    /// <param name="bias">Whether linear maps and norms have biases.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public TransformerDecoderLayer(
        int dModel, int nhead, Func<Tensor, Tensor> activation, int dimFeedforward = 2048, double dropout = 0.1, double layerNormEps = 1e-5, bool batchFirst = false,
        bool normFirst = false, bool bias = true, Generator? generator = null)
        : this(new TransformerForm(dModel, nhead, dimFeedforward, dropout, activation, layerNormEps, batchFirst, normFirst, bias, generator))
    {
    }

    internal TransformerDecoderLayer(TransformerForm form)
    {
        _form = form;
        (SelfAttn, MultiheadAttn) = (form.Attention(), form.Attention());
        (Linear1, Linear2) = (form.Linear1(), form.Linear2());
        (Norm1, Norm2, Norm3) = (form.Norm(), form.Norm(), form.Norm());
        (_dropout, _dropout1, _dropout2, _dropout3) = (form.Dropping(), form.Dropping(), form.Dropping(), form.Dropping());
    }

    /// <summary>Attention of all places to all.</summary>
    public MultiheadAttention SelfAttn { get; }

    /// <summary>Attention to the memory.</summary>
    public MultiheadAttention MultiheadAttn { get; }

    /// <summary>[dimFeedforward, dModel].</summary>
    public Linear Linear1 { get; }

    /// <summary>[dModel, dimFeedforward].</summary>
    public Linear Linear2 { get; }

    /// <summary>The norm of the self-attention.</summary>
    public LayerNorm Norm1 { get; }

    /// <summary>The norm of the attention to the memory.</summary>
    public LayerNorm Norm2 { get; }

    /// <summary>The norm of the dense part.</summary>
    public LayerNorm Norm3 { get; }

    /// <summary>One layer further; the shape stays.</summary>
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
        var x = _form.Residual(
            tgt, Norm1, y => _dropout1.Forward(SelfAttn.Forward(y, y, y, tgtKeyPaddingMask, false, tgtMask, isCausal: tgtIsCausal).Output));
        x = _form.Residual(
            x, Norm2, y => _dropout2.Forward(MultiheadAttn.Forward(y, memory, memory, memoryKeyPaddingMask, false, memoryMask, isCausal: memoryIsCausal).Output));
        return Called(tgt, _form.Residual(x, Norm3, y => _dropout3.Forward(Linear2.Forward(_dropout.Forward(_form.Activation(Linear1.Forward(y)))))));
    }

    internal TransformerDecoderLayer Copy() => TransformerForm.Copied(this, new TransformerDecoderLayer(_form));
}
