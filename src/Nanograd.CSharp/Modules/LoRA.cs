namespace Nanograd.CSharp;

/// <summary>
/// A linear map that stays as it is, and a low-rank change that training learns (Hu et al. 2021): x W^T + b + (x A^T) B^T alpha / rank.
/// B starts as zeros, so there is no change at the start.
/// </summary>
public sealed class LoRA : Module
{
    private readonly double _dropout;
    private readonly Generator? _generator;

    /// <summary>A change of a given layer, whose parameters are frozen.</summary>
    /// <param name="layer">The layer.</param>
    /// <param name="rank">How many directions the change has.</param>
    /// <param name="alpha">The change is multiplied by alpha / rank.</param>
    /// <param name="dropout">The probability with which inputs of the change are dropped while training.</param>
    /// <param name="generator">Where initial values and dropout come from.</param>
    public LoRA(Linear layer, int rank = 8, double alpha = 16, double dropout = 0, Generator? generator = null)
    {
        F.CheckProbability(dropout);
        var start = Parameter.All(Zoo.Tables.LoRAStart(Generator.NextKey(generator), layer.InFeatures, layer.OutFeatures, rank));
        (BaseLayer, A, B) = (layer, start[0], start[1]);
        (Rank, Alpha, _dropout, _generator) = (rank, alpha, dropout, generator);
        layer.Freeze();
    }

    /// <summary>The layer that is changed.</summary>
    public Linear BaseLayer { get; }

    /// <summary>[rank, in].</summary>
    [KeyName("lora_A")]
    public Parameter A { get; set; }

    /// <summary>[out, rank].</summary>
    [KeyName("lora_B")]
    public Parameter B { get; set; }

    /// <summary>How many directions the change has.</summary>
    public int Rank { get; }

    /// <summary>The change is multiplied by alpha / rank.</summary>
    public double Alpha { get; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input)
    {
        var key = Training && _dropout > 0 ? new Tensor(Generator.NextKey(_generator)) : null;
        return Called(input, Tensor.Make(
            n => Zoo.Tables.LoRA(n[0]!, n[1]!, n[2]!, n[3]!, n[4]!, Alpha, _dropout, n[5]!), input, BaseLayer.Weight, BaseLayer.Bias, A, B, key));
    }

    /// <summary>A linear map that computes the same, with the change added to its weight.</summary>
    public Linear Merge()
    {
        var merged = new Linear(BaseLayer.InFeatures, BaseLayer.OutFeatures, BaseLayer.Bias is not null);
        merged.Weight.Set(new Tensor(Zoo.Tables.LoRAMerged(BaseLayer.Weight.Expression, A.Expression, B.Expression, Alpha)));
        if (BaseLayer.Bias is { } bias)
        {
            merged.Bias!.Set(bias);
        }

        return merged;
    }

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"rank={Rank}, alpha={Repr(Alpha)}";
}
