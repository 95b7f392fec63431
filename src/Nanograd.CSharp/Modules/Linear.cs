namespace Nanograd.CSharp;

/// <summary>x W^T + b. Weights start uniform in ±1/sqrt(inFeatures), as PyTorch's do.</summary>
public sealed class Linear : Module
{
    /// <summary>A linear map from the last axis of its input.</summary>
    public Linear(int inFeatures, int outFeatures, bool bias = true, Generator? generator = null)
    {
        if (inFeatures < 1 || outFeatures < 1)
        {
            throw new ArgumentException($"Linear: the numbers of features must be at least 1, got {inFeatures} and {outFeatures}.");
        }

        (InFeatures, OutFeatures) = (inFeatures, outFeatures);
        var weight = Zoo.Layers.LinearInitWeight(Generator.NextKey(generator), outFeatures, inFeatures);
        if (bias)
        {
            var both = Parameter.All([weight, Zoo.Layers.LinearInitBias(Generator.NextKey(generator), outFeatures, inFeatures)]);
            (Weight, Bias) = (both[0], both[1]);
        }
        else
        {
            Weight = Parameter.Of(weight);
        }
    }

    /// <summary>The extent of the input's last axis.</summary>
    public int InFeatures { get; }

    /// <summary>The extent of the result's last axis.</summary>
    public int OutFeatures { get; }

    /// <summary>[outFeatures, inFeatures].</summary>
    public Parameter Weight { get; set; }

    /// <summary>[outFeatures], or null.</summary>
    public Parameter? Bias { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Linear(input, Weight, Bias));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"in_features={InFeatures}, out_features={OutFeatures}, bias={Repr(Bias is not null)}";
}

/// <summary>A bilinear form of two vectors, x W y + b. Weights start uniform in ±1/sqrt(in1Features), as PyTorch's do.</summary>
public sealed class Bilinear : Module
{
    private readonly int _in1;
    private readonly int _in2;
    private readonly int _out;

    /// <summary>A bilinear map from the last axes of two inputs.</summary>
    public Bilinear(int in1Features, int in2Features, int outFeatures, bool bias = true, Generator? generator = null)
    {
        if (in1Features < 1 || in2Features < 1 || outFeatures < 1)
        {
            throw new ArgumentException($"Bilinear: the numbers of features must be at least 1, got {in1Features}, {in2Features} and {outFeatures}.");
        }

        (_in1, _in2, _out) = (in1Features, in2Features, outFeatures);
        var start = Parameter.All(Zoo.Tables.BilinearStart(Generator.NextKey(generator), in1Features, in2Features, outFeatures, bias));
        Weight = start[0];
        Bias = bias ? start[1] : null;
    }

    /// <summary>[outFeatures, in1Features, in2Features].</summary>
    public Parameter Weight { get; set; }

    /// <summary>[outFeatures], or null.</summary>
    public Parameter? Bias { get; set; }

    /// <summary>[..., in1Features] and [..., in2Features] to [..., outFeatures].</summary>
    public Tensor Forward(Tensor input1, Tensor input2) => Called(input1, F.Bilinear(input1, input2, Weight, Bias));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"in1_features={_in1}, in2_features={_in2}, out_features={_out}, bias={Repr(Bias is not null)}";
}
