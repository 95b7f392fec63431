namespace Nanograd.CSharp;

/// <summary>max(x, 0).</summary>
public sealed class ReLU : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.ReLU(input).Kept();
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
    public override Tensor Forward(Tensor input) => F.GELU(input, _approximate).Kept();
}

/// <summary>The hyperbolic tangent.</summary>
public sealed class Tanh : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Tanh().Kept();
}

/// <summary>1 / (1 + exp(-x)).</summary>
public sealed class Sigmoid : Module
{
    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => input.Sigmoid().Kept();
}

/// <summary>While training, zeroes each number with probability p and scales the others by 1/(1-p); otherwise does nothing.</summary>
public sealed class Dropout : Module
{
    private readonly double _p;
    private readonly Generator? _generator;

    /// <summary>A dropout with its probability.</summary>
    public Dropout(double p = 0.5, Generator? generator = null)
    {
        F.CheckProbability(p);
        _p = p;
        _generator = generator;
    }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => F.Dropout(input, _p, Training, _generator).Kept();
}

/// <summary>Modules applied one after another.</summary>
public sealed class Sequential : Module
{
    private readonly Module[] _modules;

    /// <summary>The first module gets the input, the last gives the output.</summary>
    public Sequential(params Module[] modules) => _modules = [.. modules];

    /// <summary>The number of modules.</summary>
    public int Count => _modules.Length;

    /// <summary>Module <paramref name="index"/>.</summary>
    public Module this[int index] => _modules[index];

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => _modules.Aggregate(input, (x, module) => module.Forward(x)).Kept();

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _modules.Select((module, i) => KeyValuePair.Create(i.ToString(), (object?)module));
}
