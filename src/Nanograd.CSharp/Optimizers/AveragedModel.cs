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
    private readonly Module _model;
    private readonly (string Name, Parameter Average)[] _parameters;
    private readonly (string Name, Buffer Average)[] _buffers;
    private readonly Buffer _count = new(Tensor.Zeros([], DType.Int64));
    private readonly Func<Tensor, Tensor, Tensor, Tensor> _average;
    private readonly bool _useBuffers;

    /// <summary>Averages that begin as copies of the model's parameters and buffers.</summary>
    /// <param name="model">The model; its forward function serves for the averages, too.</param>
    /// <param name="avgFn">
    /// From average, parameter and the number of updates so far (a scalar) to the next average; the mean of all if null. The
    /// first update takes the parameters themselves.
    /// </param>
    /// <param name="useBuffers">Averages buffers, too, such as running statistics; otherwise they are the model's at the last update.</param>
    public AveragedModel(Module model, Func<Tensor, Tensor, Tensor, Tensor>? avgFn = null, bool useBuffers = false)
    {
        _model = model;
        _parameters = [.. model.NamedParameters().Select(p => (Inside(p.Name), new Parameter(p.Parameter.Detach(), requiresGrad: false)))];
        _buffers = [.. model.NamedBuffers().Select(b => (Inside(b.Name), new Buffer(b.Buffer, b.Buffer.Persistent)))];
        _average = avgFn ?? ((average, current, count) => average + ((current - average) / (count + 1)));
        _useBuffers = useBuffers;
    }

    /// <summary>How many updates the averages are of.</summary>
    public long NAveraged
    {
        get => _count.Item<long>();
        internal set => _count.Set(Tensor.Scalar(value, DType.Int64));
    }

    /// <summary>The exponential moving average: decay * average + (1 - decay) * parameter.</summary>
    public static Func<Tensor, Tensor, Tensor, Tensor> Ema(double decay = 0.999) => decay is >= 0 and <= 1
        ? (average, current, _) => (average * decay) + (current * (1 - decay))
        : throw new ArgumentException($"The decay must be between 0 and 1, got {decay}.");

    private static string Inside(string name) => "module." + name;

    // ------------------------------------------------------------------------------------------------ averaging

    /// <summary>Takes the present parameters of the model into the averages.</summary>
    public void UpdateParameters(Module model)
    {
        var (parameters, buffers) = (model.NamedParameters(), model.NamedBuffers());
        if (!parameters.Select(p => Inside(p.Name)).SequenceEqual(_parameters.Select(a => a.Name))
            || !buffers.Select(b => Inside(b.Name)).SequenceEqual(_buffers.Select(a => a.Name)))
        {
            throw new ArgumentException($"UpdateParameters: the model must have the parameters of the averaged one, {_parameters.Length}, got {parameters.Count} or others.");
        }

        using var untracked = new NoGrad();
        PendingUpdates.Evaluate(buffers.Select(b => b.Buffer));
        var count = NAveraged;
        var next = Copies.Of(
        [
            .. _parameters.Zip(parameters, (a, p) => Next(a.Average, p.Parameter, count)),
            .. _buffers.Zip(buffers, (a, b) => Next(a.Average, b.Buffer, _useBuffers && b.Buffer.DType.IsFloat() ? count : 0)),
        ]);
        for (var i = 0; i < _parameters.Length; i++)
        {
            _parameters[i].Average.Adopt(next[i], requiresGrad: false);
        }

        for (var i = 0; i < _buffers.Length; i++)
        {
            _buffers[i].Average.Put(next[_parameters.Length + i]);
        }

        NAveraged = count + 1;
    }

    /// <summary>The first value is taken as it is.</summary>
    private Node Next(Tensor average, Tensor current, long count) =>
        count == 0 ? current.Expression : _average(average, current, Tensor.Scalar(count, current.DType)).Expression;

    // ------------------------------------------------------------------------------------------------ using

    /// <summary>What the model gives with the averages as its parameters. No gradient flows through it.</summary>
    public override Tensor Forward(Tensor input) => InPlace(() =>
    {
        _model.Train(Training);
        return _model.Forward(input);
    });

    /// <summary>
    /// Computes the running statistics of all batch norms anew, as the plain mean over the inputs: those of a model whose parameters
    /// are averages are of no model that was ever trained.
    /// </summary>
    /// <param name="loader">Inputs, batch by batch.</param>
    /// <param name="model">An averaged model, or any other.</param>
    public static void UpdateBn(IEnumerable<Tensor> loader, Module model)
    {
        if (model is AveragedModel averaged)
        {
            averaged.InPlace(() =>
            {
                UpdateBn(loader, averaged._model);
                return averaged._count;
            });
            return;
        }

        var norms = model.Modules().OfType<BatchNorm>().Where(n => n.RunningMean is not null).Select(n => (Norm: n, n.Momentum)).ToArray();
        if (norms.Length == 0)
        {
            return;
        }

        var modes = Modes(model);
        using var untracked = new NoGrad();
        try
        {
            model.Train();
            foreach (var (norm, _) in norms)
            {
                norm.ResetRunningStats();
                norm.Momentum = null;
            }

            foreach (var input in loader)
            {
                model.Forward(input);
                PendingUpdates.Evaluate(model.Buffers());
            }
        }
        finally
        {
            foreach (var (norm, momentum) in norms)
            {
                norm.Momentum = momentum;
            }

            Restore(modes);
        }
    }

    /// <summary>Does something with the averages in the place of the model's own parameters and buffers.</summary>
    private Tensor InPlace(Func<Tensor> body)
    {
        var (parameters, buffers) = (_model.Parameters(), _model.Buffers());
        PendingUpdates.Evaluate(buffers);
        var ofParameters = parameters.Select(p => (p.Expression, p.RequiresGrad)).ToArray();
        var ofBuffers = buffers.Select(b => b.Expression).ToArray();
        var modes = Modes(_model);
        using var untracked = new NoGrad();
        try
        {
            for (var i = 0; i < parameters.Count; i++)
            {
                parameters[i].Adopt(_parameters[i].Average.Expression, ofParameters[i].RequiresGrad);
            }

            for (var i = 0; i < buffers.Count; i++)
            {
                buffers[i].Put(_buffers[i].Average.Expression);
            }

            var result = body();
            PendingUpdates.Evaluate(buffers);
            for (var i = 0; i < buffers.Count; i++)
            {
                _buffers[i].Average.Put(Ops.literal(buffers[i].Read(), [.. buffers[i].Shape]));
            }

            return result;
        }
        finally
        {
            for (var i = 0; i < parameters.Count; i++)
            {
                parameters[i].Adopt(ofParameters[i].Expression, ofParameters[i].RequiresGrad);
            }

            for (var i = 0; i < buffers.Count; i++)
            {
                buffers[i].Put(ofBuffers[i]);
            }

            Restore(modes);
        }
    }

    private static (Module Module, bool Training)[] Modes(Module model) => [.. model.Modules().Select(m => (m, m.Training))];

    /// <summary>Modules come before their parts, so that what is set last is each one's own mode.</summary>
    private static void Restore((Module Module, bool Training)[] modes) => Array.ForEach(modes, m => m.Module.Train(m.Training));

    /// <summary>By the names of PyTorch's AveragedModel: <c>n_averaged</c>, <c>module.NAME</c>.</summary>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
    [
        new("n_averaged", _count),
        .. _parameters.Select(a => new KeyValuePair<string, object?>(a.Name, a.Average)),
        .. _buffers.Select(a => new KeyValuePair<string, object?>(a.Name, a.Average)),
    ];
}
