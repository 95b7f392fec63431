namespace Nanograd.CSharp;

public static partial class F
{
    private static Tensor Core(Func<Node, Node> function, Tensor input) => Tensor.Make(n => function(n[0]!), input);

    /// <summary>max(x, 0).</summary>
    public static Tensor ReLU(Tensor input) => input.Relu();

    /// <summary>Held between 0 and 6.</summary>
    public static Tensor ReLU6(Tensor input) => Core(Activations.relu6, input);

    /// <summary>Held between two bounds; on them and beyond, the gradient is 0.</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="minVal">The lower bound.</param>
    /// <param name="maxVal">The upper bound.</param>
    public static Tensor Hardtanh(Tensor input, double minVal = -1, double maxVal = 1) => Core(x => Activations.hardtanh(minVal, maxVal, x), input);

    /// <summary>x above 0, alpha (exp(x) - 1) below (Clevert et al. 2015).</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="alpha">The limit far below 0, negated.</param>
    public static Tensor ELU(Tensor input, double alpha = 1) => Core(x => Activations.elu(alpha, x), input);

    /// <summary>x above 0, alpha (exp(x / alpha) - 1) below (Barron 2017).</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="alpha">The limit far below 0, negated.</param>
    public static Tensor CELU(Tensor input, double alpha = 1) => Core(x => Activations.celu(alpha, x), input);

    /// <summary>ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017).</summary>
    public static Tensor SELU(Tensor input) => Core(Activations.selu, input);

    /// <summary>x above 0, a fraction of it below.</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="negativeSlope">The fraction.</param>
    public static Tensor LeakyReLU(Tensor input, double negativeSlope = 0.01) => Core(x => Activations.leakyRelu(negativeSlope, x), input);

    /// <summary>0 up to -3, 1 from 3, x / 6 + 1/2 between.</summary>
    public static Tensor Hardsigmoid(Tensor input) => Core(Activations.hardsigmoid, input);

    /// <summary>x times <see cref="Hardsigmoid"/> (Howard et al. 2019).</summary>
    public static Tensor Hardswish(Tensor input) => Core(Activations.hardswish, input);

    /// <summary>x, but 0 from -lambda to lambda.</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="lambd">Lambda.</param>
    public static Tensor Hardshrink(Tensor input, double lambd = 0.5) => Core(x => Activations.hardshrink(lambd, x), input);

    /// <summary>x moved towards 0 by lambda; 0 from -lambda to lambda.</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="lambd">Lambda.</param>
    public static Tensor Softshrink(Tensor input, double lambd = 0.5) => Core(x => Activations.softshrink(lambd, x), input);

    /// <summary>x - tanh(x).</summary>
    public static Tensor Tanhshrink(Tensor input) => Core(Activations.tanhshrink, input);

    /// <summary>x / (1 + |x|).</summary>
    public static Tensor Softsign(Tensor input) => Core(Activations.softsign, input);

    /// <summary>log(1 + exp(beta x)) / beta; x itself where beta x is above a threshold.</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="beta">How sharp the bend is.</param>
    /// <param name="threshold">From where on it is x.</param>
    public static Tensor Softplus(Tensor input, double beta = 1, double threshold = 20) => Core(x => Activations.softplusOf(beta, threshold, x), input);

    /// <summary>x above a threshold, a value elsewhere.</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="threshold">The threshold.</param>
    /// <param name="value">The value.</param>
    public static Tensor Threshold(Tensor input, double threshold, double value) => Core(x => Activations.threshold(threshold, value, x), input);

    /// <summary>x sigmoid(x) (swish; Elfwing et al. 2017).</summary>
    public static Tensor SiLU(Tensor input) => Core(Elementwise.silu, input);

    /// <summary>x tanh(softplus(x)) (Misra 2019).</summary>
    public static Tensor Mish(Tensor input) => Core(Activations.mish, input);

    /// <summary>1 / (1 + exp(-x)).</summary>
    public static Tensor Sigmoid(Tensor input) => input.Sigmoid();

    /// <summary>The logarithm of <see cref="Sigmoid"/>.</summary>
    public static Tensor LogSigmoid(Tensor input) => Core(Elementwise.logSigmoid, input);

    /// <summary>The hyperbolic tangent.</summary>
    public static Tensor Tanh(Tensor input) => input.Tanh();

    /// <summary>The first half of an axis times the sigmoid of the second (Dauphin et al. 2016).</summary>
    /// <param name="input">Floats of any shape.</param>
    /// <param name="dim">The axis; its extent is even.</param>
    public static Tensor GLU(Tensor input, int dim = -1) => Core(x => Activations.glu(dim, x), input);

    /// <summary>x Phi(x) (Hendrycks and Gimpel 2016); <paramref name="approximate"/> is "none" or "tanh", GPT-2's approximation.</summary>
    public static Tensor GELU(Tensor input, string approximate = "none")
    {
        CheckApproximate(approximate);
        return Tensor.Make(n => Zoo.Layers.Gelu(n[0]!, approximate == "tanh"), input);
    }

    /// <summary>x above 0, <paramref name="weight"/> x below: one learned slope [1], or one for each channel (He et al. 2015).</summary>
    public static Tensor PReLU(Tensor input, Tensor weight) => Tensor.Make(n => Activations.prelu(n[1]!, n[0]!), input, weight);

    /// <summary>x above 0, x times a random slope between two bounds below; when not training, times their mean (Xu et al. 2015).</summary>
    public static Tensor RReLU(Tensor input, double lower = 1.0 / 8, double upper = 1.0 / 3, bool training = false, Generator? generator = null)
    {
        if (!(lower <= upper))
        {
            throw new ArgumentException($"RReLU: lower must be at most upper, got {lower} and {upper}.");
        }

        return Tensor.Make(
            n => Activations.rrelu(lower, upper, Bias(n[1]), n[0]!), input, training ? new Tensor(Generator.NextKey(generator)) : null);
    }

    /// <summary>exp(x) over its sum along an axis.</summary>
    public static Tensor Softmax(Tensor input, int dim = -1) => input.Softmax(dim);

    /// <summary>The logarithm of <see cref="Softmax"/>.</summary>
    public static Tensor LogSoftmax(Tensor input, int dim = -1) => input.LogSoftmax(dim);

    /// <summary><see cref="Softmax"/> of -x: small elements get large shares.</summary>
    public static Tensor Softmin(Tensor input, int dim = -1) => (-input).Softmax(dim);

    /// <summary>Softmax over the channels of [batch, channels, height, width] or [channels, height, width].</summary>
    public static Tensor Softmax2d(Tensor input) => Core(Activations.softmax2d, input);

    /// <summary>A sample of a softmax that gradients flow through (Jang et al. 2016): softmax((logits + Gumbel noise) / tau).</summary>
    /// <param name="logits">Unnormalised log-probabilities.</param>
    /// <param name="tau">The temperature: the lower, the nearer to one-hot.</param>
    /// <param name="hard">Whether the result is one-hot, with the gradient of the soft one.</param>
    /// <param name="dim">The axis of the classes.</param>
    /// <param name="generator">Where the noise comes from.</param>
    public static Tensor GumbelSoftmax(Tensor logits, double tau = 1, bool hard = false, int dim = -1, Generator? generator = null) =>
        Tensor.Make(n => Activations.gumbelSoftmax(tau, hard, dim, n[1]!, n[0]!), logits, new Tensor(Generator.NextKey(generator)));

    /// <summary>SiLU of the first half of the last axis, times the second (Shazeer 2020).</summary>
    public static Tensor SwiGLU(Tensor input) => Core(Activations.swiGlu, input);

    /// <summary>The first half of the last axis times GELU of the second (Shazeer 2020).</summary>
    public static Tensor GEGLU(Tensor input) => Core(Activations.geGlu, input);

    /// <summary>The first half of the last axis times ReLU of the second (Shazeer 2020).</summary>
    public static Tensor ReGLU(Tensor input) => Core(Activations.reGlu, input);

    internal static void CheckApproximate(string approximate)
    {
        if (approximate is not ("none" or "tanh"))
        {
            throw new ArgumentException($"GELU: approximate must be none or tanh, got {approximate}.");
        }
    }
}
