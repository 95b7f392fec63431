namespace Nanograd.CSharp;

/// <summary>
/// A model with averaged parameters (stochastic weight averaging, Izmailov et al. 2018; or an exponential moving average): call
/// <see cref="UpdateParameters"/> after steps that count, and <see cref="Forward"/> for what the averages predict.
/// <code>
/// var averaged = new AveragedModel(model, AveragedModel.Ema(0.999));
/// ...
/// optimizer.Step();
/// averaged.UpdateParameters(model);
/// </code>
/// </summary>
public sealed class AveragedModel : Module
{
    private readonly Module _module;
    private readonly (string Name, Parameter Average)[] _averages;
    private readonly Func<Tensor, Tensor, Tensor, Tensor> _average;

    /// <summary>Averages that begin as copies of the model's parameters.</summary>
    /// <param name="model">The model; its forward function serves for the averages, too.</param>
    /// <param name="avgFn">
    /// From average, parameter and the number of updates so far (a scalar) to the next average; the mean of all if null. The
    /// first update takes the parameters themselves.
    /// </param>
    public AveragedModel(Module model, Func<Tensor, Tensor, Tensor, Tensor>? avgFn = null)
    {
        _module = model;
        _averages = [.. model.NamedParameters().Select(p => ($"module.{p.Name}", new Parameter(p.Parameter.Detach(), requiresGrad: false)))];
        _average = avgFn ?? ((average, current, count) => average + ((current - average) / (count + 1)));
    }

    /// <summary>How many updates the averages are of.</summary>
    public long NAveraged { get; internal set; }

    /// <summary>The exponential moving average: decay * average + (1 - decay) * parameter.</summary>
    public static Func<Tensor, Tensor, Tensor, Tensor> Ema(double decay = 0.999) => decay is >= 0 and <= 1
        ? (average, current, _) => (average * decay) + (current * (1 - decay))
        : throw new ArgumentException($"The decay must be between 0 and 1, got {decay}.");

    /// <summary>Takes the present parameters of the model into the averages.</summary>
    public void UpdateParameters(Module model)
    {
        var current = model.NamedParameters();
        if (!current.Select(p => "module." + p.Name).SequenceEqual(_averages.Select(a => a.Name)))
        {
            throw new ArgumentException($"UpdateParameters: the model must have the parameters of the averaged one, {_averages.Length}, got {current.Count} or others.");
        }

        using var untracked = new NoGrad();
        var next = Copies.Of([.. _averages.Zip(current, (a, p) => NAveraged == 0
            ? p.Parameter.Expression
            : _average(a.Average, p.Parameter, Tensor.Scalar(NAveraged, p.Parameter.DType)).Expression)]);
        for (var i = 0; i < next.Length; i++)
        {
            _averages[i].Average.Adopt(next[i], requiresGrad: false);
        }

        NAveraged++;
    }

    /// <summary>What the model gives with the averages as its parameters. No gradient flows through it.</summary>
    public override Tensor Forward(Tensor input)
    {
        var own = _module.NamedParameters();
        var before = own.Select(p => (p.Parameter.Expression, p.Parameter.RequiresGrad)).ToArray();
        var modes = _module.NamedModules().Select(m => (m.Module, m.Module.Training)).ToArray();
        using var untracked = new NoGrad();
        try
        {
            _module.Train(Training);
            for (var i = 0; i < own.Count; i++)
            {
                own[i].Parameter.Adopt(_averages[i].Average.Expression, before[i].RequiresGrad);
            }

            return _module.Forward(input);
        }
        finally
        {
            for (var i = 0; i < own.Count; i++)
            {
                own[i].Parameter.Adopt(before[i].Expression, before[i].RequiresGrad);
            }

            foreach (var (module, training) in modes)
            {
                module.Train(training);
            }
        }
    }

    /// <summary>The averages, by the names of PyTorch's AveragedModel: <c>module.NAME</c>.</summary>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _averages.Select(a => new KeyValuePair<string, object?>(a.Name, a.Average));
}
