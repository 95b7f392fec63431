namespace Nanograd.CSharp;

/// <summary>max(x, 0).</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class ReLU(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.ReLU(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>Held between 0 and 6.</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class ReLU6(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.ReLU6(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>Held between two bounds; on them and beyond, the gradient is 0.</summary>
/// <param name="minVal">The lower bound.</param>
/// <param name="maxVal">The upper bound.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class Hardtanh(double minVal = -1, double maxVal = 1, bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Hardtanh(input, minVal, maxVal));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"min_val={Repr(minVal)}, max_val={Repr(maxVal)}" + (inplace ? ", inplace=True" : "");
}

/// <summary>x above 0, alpha (exp(x) - 1) below (Clevert et al. 2015).</summary>
/// <param name="alpha">The limit far below 0, negated.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class ELU(double alpha = 1, bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.ELU(input, alpha));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"alpha={Repr(alpha)}" + (inplace ? ", inplace=True" : "");
}

/// <summary>x above 0, alpha (exp(x / alpha) - 1) below (Barron 2017).</summary>
/// <param name="alpha">The limit far below 0, negated.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class CELU(double alpha = 1, bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.CELU(input, alpha));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"alpha={Repr(alpha)}" + (inplace ? ", inplace=True" : "");
}

/// <summary>ELU scaled so that activations keep mean 0 and variance 1 (Klambauer et al. 2017).</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class SELU(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.SELU(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>x above 0, a fraction of it below.</summary>
/// <param name="negativeSlope">The fraction.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class LeakyReLU(double negativeSlope = 0.01, bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LeakyReLU(input, negativeSlope));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"negative_slope={Repr(negativeSlope)}" + (inplace ? ", inplace=True" : "");
}

/// <summary>0 up to -3, 1 from 3, x / 6 + 1/2 between.</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class Hardsigmoid(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Hardsigmoid(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>x times <see cref="F.Hardsigmoid"/> (Howard et al. 2019).</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class Hardswish(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Hardswish(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>x, but 0 from -lambda to lambda.</summary>
/// <param name="lambd">Lambda.</param>
public sealed class Hardshrink(double lambd = 0.5) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Hardshrink(input, lambd));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{Repr(lambd)}";
}

/// <summary>x moved towards 0 by lambda; 0 from -lambda to lambda.</summary>
/// <param name="lambd">Lambda.</param>
public sealed class Softshrink(double lambd = 0.5) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Softshrink(input, lambd));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"{Repr(lambd)}";
}

/// <summary>x - tanh(x).</summary>
public sealed class Tanhshrink : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Tanhshrink(input));
}

/// <summary>x / (1 + |x|).</summary>
public sealed class Softsign : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Softsign(input));
}

/// <summary>log(1 + exp(beta x)) / beta; x itself where beta x is above a threshold.</summary>
/// <param name="beta">How sharp the bend is.</param>
/// <param name="threshold">From where on it is x.</param>
public sealed class Softplus(double beta = 1, double threshold = 20) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Softplus(input, beta, threshold));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"beta={Repr(beta)}, threshold={Repr(threshold)}";
}

/// <summary>x above a threshold, a value elsewhere.</summary>
/// <param name="threshold">The threshold.</param>
/// <param name="value">The value.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class Threshold(double threshold, double value, bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Threshold(input, threshold, value));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"threshold={Repr(threshold)}, value={Repr(value)}" + (inplace ? ", inplace=True" : "");
}

/// <summary>x sigmoid(x) (swish; Elfwing et al. 2017).</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class SiLU(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.SiLU(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>x tanh(softplus(x)) (Misra 2019).</summary>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
public sealed class Mish(bool inplace = false) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Mish(input));

    /// <inheritdoc/>
    protected override string ExtraRepr() => inplace ? "inplace=True" : "";
}

/// <summary>1 / (1 + exp(-x)).</summary>
public sealed class Sigmoid : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Sigmoid(input));
}

/// <summary>The logarithm of <see cref="F.Sigmoid"/>.</summary>
public sealed class LogSigmoid : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.LogSigmoid(input));
}

/// <summary>The hyperbolic tangent.</summary>
public sealed class Tanh : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.Tanh(input));
}

/// <summary>The first half of an axis times the sigmoid of the second (Dauphin et al. 2016).</summary>
/// <param name="dim">The axis; its extent is even.</param>
public sealed class GLU(int dim = -1) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.GLU(input, dim));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"dim={dim}";
}

/// <summary>x Phi(x) (Hendrycks and Gimpel 2016).</summary>
public sealed class GELU : Module
{
    private readonly string _approximate;

    /// <summary>The exact function ("none") or GPT-2's approximation ("tanh").</summary>
    public GELU(string approximate = "none")
    {
        F.CheckApproximate(approximate);
        _approximate = approximate;
    }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.GELU(input, _approximate));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"approximate='{_approximate}'";
}

/// <summary>x above 0, a learned fraction of it below (He et al. 2015).</summary>
/// <param name="numParameters">1: the same fraction everywhere; or the number of channels.</param>
/// <param name="init">Where the fractions start.</param>
public sealed class PReLU(int numParameters = 1, double init = 0.25) : Module
{
    /// <summary>[numParameters].</summary>
    public Parameter Weight { get; set; } = new(Tensor.Full([numParameters], init));

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.PReLU(input, Weight));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"num_parameters={Weight.Count}";
}

/// <summary>x above 0, x times a slope below: a random one while training, otherwise the mean of both bounds (Xu et al. 2015).</summary>
/// <param name="lower">The lower bound of the slope.</param>
/// <param name="upper">The upper bound.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class RReLU(double lower = 1.0 / 8, double upper = 1.0 / 3, bool inplace = false, Generator? generator = null) : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, F.RReLU(input, lower, upper, Training, generator));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"lower={Repr(lower)}, upper={Repr(upper)}" + (inplace ? ", inplace=True" : "");
}
