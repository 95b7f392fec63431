namespace Nanograd.CSharp;

/// <summary>
/// A sparse mixture of experts (Shazeer et al. 2017; Fedus et al. 2021): a router chooses for each token some of several dense
/// networks. Parameters are <c>router.weight</c> [experts, width], <c>w1</c> [experts, hidden, width], <c>b1</c>, <c>w2</c> [experts,
/// width, hidden] and <c>b2</c>.
/// </summary>
public sealed class MixtureOfExperts : Module
{
    private readonly int _topK;
    private readonly bool _normalize;
    private readonly double? _capacityFactor;
    private readonly string _activation;

    /// <summary>Experts over vectors of <paramref name="width"/> numbers.</summary>
    /// <param name="width">Features of a token.</param>
    /// <param name="hidden">Inner features of an expert.</param>
    /// <param name="experts">How many there are.</param>
    /// <param name="topK">How many see each token.</param>
    /// <param name="normalize">Whether the chosen experts' weights are made to sum to 1.</param>
    /// <param name="capacityFactor">How many tokens an expert takes at most, as a multiple of an even share; those behind are left out. Null: all.</param>
    /// <param name="activation">relu, gelu or silu, between an expert's two layers.</param>
    /// <param name="generator">Where the start comes from.</param>
    public MixtureOfExperts(
        int width, int hidden, int experts, int topK = 2, bool normalize = true, double? capacityFactor = null, string activation = "gelu", Generator? generator = null)
    {
        if (topK < 1 || topK > experts || width < 1 || hidden < 1)
        {
            throw new ArgumentException(
                $"MixtureOfExperts: width, hidden and topK must be at least 1 and topK at most the number of experts, got {width}, {hidden}, {topK} and {experts}.");
        }

        if (activation is not ("relu" or "gelu" or "silu"))
        {
            throw new ArgumentException($"MixtureOfExperts: activation must be relu, gelu or silu, got {activation}.");
        }

        (_topK, _normalize, _capacityFactor, _activation) = (topK, normalize, capacityFactor, activation);
        var start = Parameter.All([.. Zoo.MixtureFunctions.Init(Generator.NextKey(generator), experts, width, hidden).Select(s => s.Value)]);
        Router = new Linear(width, experts, bias: false, generator) { Weight = start[0] };
        (W1, B1, W2, B2) = (start[1], start[2], start[3], start[4]);
    }

    /// <summary>From tokens to the logits of experts.</summary>
    public Linear Router { get; }

    /// <summary>The experts' first layers: [experts, hidden, width].</summary>
    public Parameter W1 { get; set; }

    /// <summary>Their biases: [experts, hidden].</summary>
    public Parameter B1 { get; set; }

    /// <summary>The experts' second layers: [experts, width, hidden].</summary>
    public Parameter W2 { get; set; }

    /// <summary>Their biases: [experts, width].</summary>
    public Parameter B2 { get; set; }

    /// <summary>[..., width] to [..., width].</summary>
    public override Tensor Forward(Tensor input) => ForwardWithLoss(input).Output;

    /// <summary>
    /// The same, and the load-balancing loss: 1 if all experts get the same, more otherwise. Add a little of it (0.01 times) to what
    /// is trained.
    /// </summary>
    /// <param name="input">[..., width].</param>
    public (Tensor Output, Tensor BalanceLoss) ForwardWithLoss(Tensor input)
    {
        var both = Tensor.MakeAll(
            n => Zoo.MixtureFunctions.Apply(n[0]!, n[1..]!, _topK, _normalize, _capacityFactor, _activation), input, Router.Weight, W1, B1, W2, B2);
        Tensor.KeepStates([both[1]], both[0]); // the loss is not what is trained, and read all the same
        return (Called(input, both[0]), both[1]);
    }
}
