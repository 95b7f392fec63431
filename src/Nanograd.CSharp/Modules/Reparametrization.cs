namespace Nanograd.CSharp;

/// <summary>How a parameter is computed from others that are learned in its place.</summary>
internal abstract class Reparametrization
{
    /// <summary>The value, as an expression of what it is computed from now.</summary>
    public abstract Tensor Value { get; }

    /// <summary>What it is computed from: parameters and buffers, with what is appended to the name.</summary>
    public abstract IEnumerable<(string Suffix, object Part)> Parts { get; }

    /// <summary>Called after each Forward of the module.</summary>
    public virtual void Commit()
    {
    }
}

/// <summary>A weight as lengths times directions (Salimans and Kingma 2016).</summary>
internal sealed class WeightNormalized : Reparametrization
{
    private readonly int _axis; // -1: one length
    private readonly Parameter _g;
    private readonly Parameter _v;

    public WeightNormalized(Parameter weight, int? axis)
    {
        _axis = axis is { } a ? Nanograd.Shape.axis("WeightNorm", weight.Expression, a) : -1;
        var lengths = new Tensor(Zoo.Norms.WeightLengths(weight.Expression, _axis));
        _g = new Parameter(_axis < 0 ? lengths.Reshape([]) : lengths);
        _v = new Parameter(weight.Detach());
    }

    public override Tensor Value => Tensor.Make(n => Zoo.Norms.WeightNorm(n[0]!, n[1]!, _axis), _g, _v);

    public override IEnumerable<(string Suffix, object Part)> Parts => [("_g", _g), ("_v", _v)];
}

/// <summary>A weight over its largest singular value, found by power iteration (Miyato et al. 2018).</summary>
internal sealed class SpectrallyNormalized : Reparametrization
{
    private readonly Module _owner;
    private readonly int _axis;
    private readonly int _steps;
    private readonly double _eps;
    private readonly Parameter _original;
    private readonly Buffer _u;
    private readonly Buffer _v;

    public SpectrallyNormalized(Module owner, Parameter weight, int axis, int steps, double eps, Generator? generator)
    {
        _axis = Nanograd.Shape.axis("SpectralNorm", weight.Expression, axis);
        (_owner, _steps, _eps) = (owner, steps, eps);
        _original = new Parameter(weight.Detach());
        var start = Copies.Of(Zoo.Norms.SpectralStart(Generator.NextKey(generator), weight.Expression, _axis));
        (_u, _v) = (new Buffer(new Tensor(start[0])), new Buffer(new Tensor(start[1])));
    }

    /// <summary>In training the steps of this pass count already; they are kept when it is over.</summary>
    private Tensor[] Results =>
        Tensor.MakeAll(n => Zoo.Norms.SpectralNorm(n[0]!, n[1]!, n[2]!, _axis, _owner.Training ? _steps : 0, _eps), _original, _u, _v);

    public override Tensor Value => Results[0];

    public override IEnumerable<(string Suffix, object Part)> Parts => [("_orig", _original), ("_u", _u), ("_v", _v)];

    public override void Commit()
    {
        if (_owner.Training)
        {
            var results = Results;
            _u.Update(results[1]);
            _v.Update(results[2]);
        }
    }
}

public abstract partial class Module
{
    private List<Reparametrization>? _reparametrizations;

    internal void Reparametrize(string what, string name, Func<Parameter, Reparametrization> make)
    {
        var weight = Named(what, name);
        if (weight.Computed is not null)
        {
            throw new ArgumentException($"{what}: '{name}' of {GetType().Name} is normalised already.");
        }

        var computed = make(weight);
        weight.ComputeBy(computed);
        (_reparametrizations ??= []).Add(computed);
    }

    internal void Settle<T>(string what, string name) where T : Reparametrization
    {
        var weight = Named(what, name);
        if (weight.Computed is not T computed)
        {
            throw new ArgumentException($"{what}: '{name}' of {GetType().Name} is not normalised so.");
        }

        weight.ComputeBy(null);
        _reparametrizations!.Remove(computed);
    }

    private Parameter Named(string what, string name) =>
        Parts().Concat(_registered ?? []).SelectMany(p => Flatten(p.Key, p.Value)).FirstOrDefault(p => p.Name == name).Part as Parameter
        ?? throw new ArgumentException($"{what}: {GetType().Name} has no parameter '{name}'.");
}

public static partial class Utils
{
    /// <summary>
    /// From now on a weight is lengths times directions, which are learned in its place, as <c>weight_g</c> and <c>weight_v</c>
    /// (Salimans and Kingma 2016). Make optimizers afterwards.
    /// </summary>
    /// <param name="module">The module; it is returned.</param>
    /// <param name="name">The parameter.</param>
    /// <param name="dim">The axis with a length for each entry; null: one length for all.</param>
    public static T WeightNorm<T>(T module, string name = "weight", int? dim = 0) where T : Module
    {
        module.Reparametrize(nameof(WeightNorm), name, weight => new WeightNormalized(weight, dim));
        return module;
    }

    /// <summary>The weight is a parameter of its own again, with the value that it has.</summary>
    public static T RemoveWeightNorm<T>(T module, string name = "weight") where T : Module
    {
        module.Settle<WeightNormalized>(nameof(RemoveWeightNorm), name);
        return module;
    }

    /// <summary>
    /// From now on a weight is divided by its largest singular value (Miyato et al. 2018). <c>weight_orig</c> is learned in its
    /// place; <c>weight_u</c> and <c>weight_v</c>, the singular vectors, come closer with every pass in training. Make optimizers
    /// afterwards.
    /// </summary>
    /// <param name="module">The module; it is returned.</param>
    /// <param name="name">The parameter.</param>
    /// <param name="nPowerIterations">Steps towards the singular vectors in each pass.</param>
    /// <param name="eps">What norms are at least.</param>
    /// <param name="dim">The axis that becomes the rows of a matrix; null: 1 for transposed convolutions, otherwise 0.</param>
    /// <param name="generator">Where the first vectors come from.</param>
    public static T SpectralNorm<T>(T module, string name = "weight", int nPowerIterations = 1, double eps = 1e-12, int? dim = null, Generator? generator = null)
        where T : Module
    {
        if (nPowerIterations < 1)
        {
            throw new ArgumentException($"SpectralNorm: there must be at least one power iteration, got {nPowerIterations}.");
        }

        var axis = dim ?? (module is ConvolutionTransposeModule ? 1 : 0);
        module.Reparametrize(nameof(SpectralNorm), name, weight => new SpectrallyNormalized(module, weight, axis, nPowerIterations, eps, generator));
        return module;
    }

    /// <summary>The weight is a parameter of its own again, with the value that it has.</summary>
    public static T RemoveSpectralNorm<T>(T module, string name = "weight") where T : Module
    {
        module.Settle<SpectrallyNormalized>(nameof(RemoveSpectralNorm), name);
        return module;
    }
}
