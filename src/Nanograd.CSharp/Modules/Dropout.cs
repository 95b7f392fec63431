namespace Nanograd.CSharp;

public static partial class F
{
    /// <summary>Zeroes numbers with probability p and scales the others by 1/(1-p); does nothing when not <paramref name="training"/>.</summary>
    public static Tensor Dropout(Tensor input, double p = 0.5, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.Dropout.apply, input, p, training, generator);

    /// <summary>Zeroes whole channels of [batch, channels, length] or [channels, length] with probability p and scales the others by 1/(1-p); does nothing when not <paramref name="training"/>.</summary>
    public static Tensor Dropout1d(Tensor input, double p = 0.5, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.Dropout1d.apply, input, p, training, generator);

    /// <summary>Zeroes whole channels of [batch, channels, height, width] or [channels, height, width] with probability p and scales the others by 1/(1-p); does nothing when not <paramref name="training"/>.</summary>
    public static Tensor Dropout2d(Tensor input, double p = 0.5, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.Dropout2d.apply, input, p, training, generator);

    /// <summary>Zeroes whole channels of [batch, channels, depth, height, width] or [channels, depth, height, width] with probability p and scales the others by 1/(1-p); does nothing when not <paramref name="training"/>.</summary>
    public static Tensor Dropout3d(Tensor input, double p = 0.5, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.Dropout3d.apply, input, p, training, generator);

    /// <summary>Replaces numbers by the lower limit of SELU with probability p, and keeps mean and variance (Klambauer et al. 2017); does nothing when not <paramref name="training"/>.</summary>
    public static Tensor AlphaDropout(Tensor input, double p = 0.5, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.AlphaDropout.apply, input, p, training, generator);

    /// <summary>Replaces whole channels of [batch, channels, ...] by the lower limit of SELU with probability p, and keeps mean and variance; does nothing when not <paramref name="training"/>.</summary>
    public static Tensor FeatureAlphaDropout(Tensor input, double p = 0.5, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.FeatureAlphaDropout.apply, input, p, training, generator);

    /// <summary>Zeroes whole examples of [batch, ...] with probability p and scales the others by 1/(1-p): stochastic depth for a residual branch (Huang et al. 2016); does nothing when not <paramref name="training"/>.</summary>
    public static Tensor DropPath(Tensor input, double p = 0, bool training = true, Generator? generator = null) =>
        Dropped(Nanograd.DropPath.apply, input, p, training, generator);

    private static Tensor Dropped(Func<double, Node, Node, Node> drop, Tensor input, double p, bool training, Generator? generator)
    {
        CheckProbability(p);
        return !training || p == 0 ? input : Tensor.Make(n => drop(p, n[1]!, n[0]!), input, new Tensor(Generator.NextKey(generator)));
    }

    internal static void CheckProbability(double p)
    {
        if (!(p is >= 0 and <= 1))
        {
            throw new ArgumentException($"dropout: the probability must be between 0 and 1, got {p}.");
        }
    }
}

/// <summary>What dropouts have in common: they drop while training, otherwise they do nothing.</summary>
public abstract class DropoutModule : Module
{
    private readonly double _p;
    private readonly bool _inplace;
    private readonly Generator? _generator;

    private protected DropoutModule(double p, bool inplace, Generator? generator)
    {
        F.CheckProbability(p);
        (_p, _inplace, _generator) = (p, inplace, generator);
    }

    private protected delegate Tensor Drop(Tensor input, double p, bool training, Generator? generator);

    private protected Tensor Apply(Drop drop, Tensor input) => Called(input, drop(input, _p, Training, _generator));

    /// <inheritdoc/>
    protected override string ExtraRepr() => $"p={Repr(_p)}, inplace={Repr(_inplace)}";
}

/// <summary>While training, zeroes numbers with probability p and scales the others by 1/(1-p); otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class Dropout(double p = 0.5, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.Dropout, input);
}

/// <summary>While training, zeroes whole channels of [batch, channels, length] or [channels, length] with probability p and scales the others by 1/(1-p); otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class Dropout1d(double p = 0.5, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.Dropout1d, input);
}

/// <summary>While training, zeroes whole channels of [batch, channels, height, width] or [channels, height, width] with probability p and scales the others by 1/(1-p); otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class Dropout2d(double p = 0.5, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.Dropout2d, input);
}

/// <summary>While training, zeroes whole channels of [batch, channels, depth, height, width] or [channels, depth, height, width] with probability p and scales the others by 1/(1-p); otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class Dropout3d(double p = 0.5, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.Dropout3d, input);
}

/// <summary>While training, replaces numbers by the lower limit of SELU with probability p, and keeps mean and variance (Klambauer et al. 2017); otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class AlphaDropout(double p = 0.5, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.AlphaDropout, input);
}

/// <summary>While training, replaces whole channels of [batch, channels, ...] by the lower limit of SELU with probability p, and keeps mean and variance; otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class FeatureAlphaDropout(double p = 0.5, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.FeatureAlphaDropout, input);
}

/// <summary>While training, zeroes whole examples of [batch, ...] with probability p and scales the others by 1/(1-p): stochastic depth for a residual branch (Huang et al. 2016); otherwise does nothing.</summary>
/// <param name="p">The probability.</param>
/// <param name="inplace">As in PyTorch; tensors never change here, so it makes no difference.</param>
/// <param name="generator">Where the randomness comes from.</param>
public sealed class DropPath(double p = 0, bool inplace = false, Generator? generator = null) : DropoutModule(p, inplace, generator)
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Apply(F.DropPath, input);
}
