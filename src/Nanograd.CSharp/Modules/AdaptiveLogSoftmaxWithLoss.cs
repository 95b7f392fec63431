namespace Nanograd.CSharp;

/// <summary>
/// A softmax over many classes, the frequent ones first (Grave et al. 2016): labels are numbered by how often they occur. Classes
/// below the first cutoff have outputs of their own; the others are in clusters, of which the later have fewer inner features.
/// </summary>
public sealed class AdaptiveLogSoftmaxWithLoss : Module
{
    /// <summary>A softmax over <paramref name="nClasses"/> classes.</summary>
    /// <param name="inFeatures">Features of the input.</param>
    /// <param name="nClasses">How many classes there are.</param>
    /// <param name="cutoffs">Where clusters begin: increasing, below the number of classes.</param>
    /// <param name="divValue">Cluster i has inFeatures / divValue^(i + 1) inner features.</param>
    /// <param name="headBias">Whether the head has a bias.</param>
    /// <param name="generator">Where the start comes from.</param>
    public AdaptiveLogSoftmaxWithLoss(
        int inFeatures, int nClasses, int[] cutoffs, double divValue = 4, bool headBias = false, Generator? generator = null)
    {
        var start = Zoo.AdaptiveSoftmaxFunctions.Init(Generator.NextKey(generator), inFeatures, nClasses, cutoffs, divValue, headBias);
        Cutoffs = [.. cutoffs, nClasses];
        Head = Of(start[0], start[1]);
        Tail = [.. start[2..].Chunk(2).Select(pair => new Sequential(Of(pair[0]), Of(pair[1])))];

        Linear Of(Node weight, Node? bias = null)
        {
            var linear = new Linear(weight.Shape[1], weight.Shape[0], bias is not null, generator);
            linear.Weight = Parameter.Of(weight);
            linear.Bias = bias is null ? null : Parameter.Of(bias);
            return linear;
        }
    }

    /// <summary>Where clusters begin, and the number of classes.</summary>
    public IReadOnlyList<int> Cutoffs { get; }

    /// <summary>[inFeatures] to the frequent classes and one entry for each cluster.</summary>
    public Linear Head { get; }

    /// <summary>The clusters, each two linear maps.</summary>
    public IReadOnlyList<Sequential> Tail { get; }

    private Tensor?[] Weights => [Head.Weight, Head.Bias, .. Tail.SelectMany(t => new[] { ((Linear)t[0]).Weight, ((Linear)t[1]).Weight })];

    /// <summary>The log-probability of each label, and minus their mean.</summary>
    /// <param name="input">[batch, inFeatures] or [inFeatures].</param>
    /// <param name="target">Integers, [batch] or [].</param>
    /// <returns>[batch] or [], and a scalar.</returns>
    public (Tensor Output, Tensor Loss) Forward(Tensor input, Tensor target)
    {
        var both = Tensor.MakeAll(n => Zoo.AdaptiveSoftmaxFunctions.Apply(n[0]!, n[1]!, n[2]!, n[3], n[4..]!), [input.Kept(), target, .. Weights]);
        return (Called(input, both[0]), both[1]);
    }

    /// <summary>Log-probabilities of all classes: [batch, inFeatures] to [batch, nClasses].</summary>
    public Tensor LogProb(Tensor input) =>
        Tensor.Make(n => Zoo.AdaptiveSoftmaxFunctions.LogProb(n[0]!, n[1]!, n[2], n[3..]!), [input, .. Weights]);

    /// <summary>The likeliest class of each row: [batch, inFeatures] to integers, [batch].</summary>
    public Tensor Predict(Tensor input) =>
        Tensor.Make(n => Zoo.AdaptiveSoftmaxFunctions.Predict(n[0]!, n[1]!, n[2], n[3..]!), [input, .. Weights]);
}
