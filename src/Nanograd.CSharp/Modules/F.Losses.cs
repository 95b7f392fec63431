using ElementLoss = Nanograd.Loss;

namespace Nanograd.CSharp;

/// <remarks>Losses of elements: numbers against numbers, probabilities against probabilities.</remarks>
public static partial class F
{
    /// <summary>Squared differences (input - target)².</summary>
    /// <param name="input">Predictions, of any shape.</param>
    /// <param name="target">What they should be, of the same shape.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor MseLoss(Tensor input, Tensor target, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ElementLoss.mseOf(reduction.ToCore(), x, y));

    /// <summary>Absolute differences |input - target|.</summary>
    /// <param name="input">Predictions, of any shape.</param>
    /// <param name="target">What they should be, of the same shape.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor L1Loss(Tensor input, Tensor target, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ElementLoss.l1Of(reduction.ToCore(), x, y));

    /// <summary>Huber's loss: d²/2 up to <paramref name="delta"/>, linear beyond.</summary>
    /// <param name="input">Predictions, of any shape.</param>
    /// <param name="target">What they should be, of the same shape.</param>
    /// <param name="reduction">The mean unless given.</param>
    /// <param name="delta">Where the parabola becomes a line.</param>
    public static Tensor HuberLoss(Tensor input, Tensor target, Reduction reduction = default, double delta = 1) =>
        Elements(input, target, (x, y) => ElementLoss.huberOf(delta, reduction.ToCore(), x, y));

    /// <summary>d² / (2 beta) below <paramref name="beta"/>, |d| - beta/2 beyond (Girshick 2015).</summary>
    /// <param name="input">Predictions, of any shape.</param>
    /// <param name="target">What they should be, of the same shape.</param>
    /// <param name="reduction">The mean unless given.</param>
    /// <param name="beta">Where the parabola becomes a line; 0 for absolute differences.</param>
    public static Tensor SmoothL1Loss(Tensor input, Tensor target, Reduction reduction = default, double beta = 1) =>
        Elements(input, target, (x, y) => ElementLoss.smoothL1Of(beta, reduction.ToCore(), x, y));

    /// <summary>log(1 + exp(-target input)) for targets 1 and -1.</summary>
    /// <param name="input">Scores, of any shape.</param>
    /// <param name="target">1 or -1, of the same shape.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor SoftMarginLoss(Tensor input, Tensor target, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ElementLoss.softMarginOf(reduction.ToCore(), x, y));

    /// <summary>Minus the log-likelihood of counts under Poisson distributions.</summary>
    /// <param name="input">Logarithms of the rates, or the rates themselves, of any shape.</param>
    /// <param name="target">Counts, of the same shape.</param>
    /// <param name="logInput">Whether the input holds logarithms.</param>
    /// <param name="full">Whether Stirling's approximation of log(target!) is added.</param>
    /// <param name="eps">What keeps the logarithm of a rate finite.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor PoissonNllLoss(
        Tensor input, Tensor target, bool logInput = true, bool full = false, double eps = 1e-8, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ElementLoss.poissonNllOf(logInput, full, eps, reduction.ToCore(), x, y));

    /// <summary>Minus the log-likelihood under normal distributions (Nix and Weigend 1994).</summary>
    /// <param name="input">Means, of any shape.</param>
    /// <param name="target">Samples, of the same shape.</param>
    /// <param name="var">Variances: of the same shape, or with the last extent 1, or without the last axis.</param>
    /// <param name="full">Whether the constant log(2 pi)/2 is added.</param>
    /// <param name="eps">The least variance.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor GaussianNllLoss(
        Tensor input, Tensor target, Tensor var, bool full = false, double eps = 1e-6, Reduction reduction = default) =>
        Tensor.Make(n => ElementLoss.gaussianNllOf(full, eps, reduction.ToCore(), n[0]!, n[1]!, n[2]!), input.Kept(), target, var.Kept());

    /// <summary>Kullback and Leibler's divergence from predicted log-probabilities, elementwise: target (log target - input).</summary>
    /// <param name="input">Log-probabilities, of any shape.</param>
    /// <param name="target">Probabilities (or their logarithms), of the same shape.</param>
    /// <param name="reduction">The mean over all elements unless given; <see cref="Reduction.BatchMean"/> is the divergence itself.</param>
    /// <param name="logTarget">Whether the target holds logarithms.</param>
    public static Tensor KlDiv(Tensor input, Tensor target, Reduction reduction = default, bool logTarget = false) =>
        Elements(input, target, (x, y) => ElementLoss.klDivOf(logTarget, reduction.ToCore(), x, y));

    /// <summary>Binary cross-entropy of probabilities; logarithms are at least -100.</summary>
    /// <param name="input">Probabilities, of any shape.</param>
    /// <param name="target">Between 0 and 1, of the same shape.</param>
    /// <param name="weight">What each loss is multiplied by (broadcast), or null.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor BinaryCrossEntropy(Tensor input, Tensor target, Tensor? weight = null, Reduction reduction = default) =>
        Tensor.Make(n => Zoo.LossFunctions.Bce(n[0]!, n[1]!, n[2], reduction.ToCore()), input.Kept(), target, weight);

    /// <summary>Binary cross-entropy of logits, without overflow.</summary>
    /// <param name="input">Logits, of any shape.</param>
    /// <param name="target">Between 0 and 1, of the same shape.</param>
    /// <param name="weight">What each loss is multiplied by (broadcast), or null.</param>
    /// <param name="reduction">The mean unless given.</param>
    /// <param name="posWeight">How much positive targets count (broadcast), or null.</param>
    public static Tensor BinaryCrossEntropyWithLogits(
        Tensor input, Tensor target, Tensor? weight = null, Reduction reduction = default, Tensor? posWeight = null) =>
        Tensor.Make(n => Zoo.LossFunctions.BceWithLogits(n[0]!, n[1]!, n[2], reduction.ToCore(), n[3]), input.Kept(), target, weight, posWeight);

    /// <summary>
    /// Binary cross-entropy of logits whose easy examples count little, (1 - q)^gamma times it, q the probability of the right
    /// answer (Lin et al. 2017). (torchvision: <c>sigmoid_focal_loss</c>, which does not reduce.)
    /// </summary>
    /// <param name="input">Logits, of any shape.</param>
    /// <param name="target">Between 0 and 1, of the same shape.</param>
    /// <param name="alpha">What positives weigh (negatives: 1 - alpha); a negative alpha: all weigh 1.</param>
    /// <param name="gamma">How little easy examples count; 0: as much as others.</param>
    /// <param name="reduction">The mean unless given.</param>
    public static Tensor FocalLoss(Tensor input, Tensor target, double alpha = 0.25, double gamma = 2, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ClassLosses.Loss.focalOf(gamma, alpha, reduction.ToCore(), x, y));

    /// <summary>1 minus Dice's overlap of each example: 1 - (2 sum(x y) + smooth) / (sum x + sum y + smooth) (Milletari et al. 2016).</summary>
    /// <param name="input">Probabilities, [batch, ...].</param>
    /// <param name="target">0 or 1, of the same shape.</param>
    /// <param name="smooth">What keeps empty examples from being 0/0.</param>
    /// <param name="reduction">The mean over the batch unless given.</param>
    public static Tensor DiceLoss(Tensor input, Tensor target, double smooth = 1, Reduction reduction = default) =>
        Elements(input, target, (x, y) => ClassLosses.Loss.diceOf(smooth, reduction.ToCore(), x, y));

    private static Tensor Elements(Tensor input, Tensor target, Func<Node, Node, Node> loss) =>
        Tensor.Make(n => loss(n[0]!, n[1]!), input.Kept(), target);
}
