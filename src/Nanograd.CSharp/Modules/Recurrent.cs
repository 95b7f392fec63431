namespace Nanograd.CSharp;

/// <summary>
/// What RNN, LSTM and GRU have in common: layers and directions over steps. Their parameters have PyTorch's names
/// (<c>weight_ih_l0</c>, <c>bias_hh_l1_reverse</c>, ...) and start uniform in ±1/sqrt(hiddenSize).
/// </summary>
public abstract class RecurrentModule : Module
{
    private readonly Zoo.RecurrentFunctions _functions;
    private readonly string[] _names;
    private readonly Parameter[] _parameters;
    private readonly Generator? _generator;

    private protected RecurrentModule(
        string kind, bool relu, int inputSize, int hiddenSize, int numLayers, bool bias, bool batchFirst, double dropout, bool bidirectional, int projSize, Generator? generator)
    {
        _functions = Zoo.RecurrentFunctions.Of(kind, relu, inputSize, hiddenSize, numLayers, bias, batchFirst, dropout, bidirectional, projSize);
        var start = _functions.Init(Generator.NextKey(generator));
        _names = [.. start.Select(s => s.Name)];
        _parameters = Parameter.All([.. start.Select(s => s.Value)]);
        (InputSize, HiddenSize, NumLayers, Bias, BatchFirst) = (inputSize, hiddenSize, numLayers, bias, batchFirst);
        (Dropout, Bidirectional, ProjSize, _generator) = (dropout, bidirectional, projSize, generator);
    }

    /// <summary>Features of an input step.</summary>
    public int InputSize { get; }

    /// <summary>Features of the state.</summary>
    public int HiddenSize { get; }

    /// <summary>Layers, each reading the outputs of the one before.</summary>
    public int NumLayers { get; }

    /// <summary>Whether there are biases.</summary>
    public bool Bias { get; }

    /// <summary>Whether inputs are [batch, steps, features] rather than [steps, batch, features].</summary>
    public bool BatchFirst { get; }

    /// <summary>The probability of dropout between layers, in training.</summary>
    public double Dropout { get; }

    /// <summary>Whether a second network reads from the end; outputs are joined.</summary>
    public bool Bidirectional { get; }

    /// <summary>Features that an LSTM's outputs are projected to; 0: none.</summary>
    public int ProjSize { get; }

    /// <summary>A parameter by its name, as <c>weight_ih_l0</c>.</summary>
    /// <exception cref="KeyNotFoundException">There is none of that name.</exception>
    public Parameter this[string name]
    {
        get => _parameters[Find(name)];
        set => _parameters[Find(name)] = value;
    }

    /// <summary>The outputs, without the last state: what the network is in a <see cref="Sequential"/>.</summary>
    public override Tensor Forward(Tensor input) => Run(input, [], null)[0];

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _names.Select((name, i) => KeyValuePair.Create(name, (object?)_parameters[i]));

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"{InputSize}, {HiddenSize}"
        + (ProjSize == 0 ? "" : $", proj_size={ProjSize}")
        + (NumLayers == 1 ? "" : $", num_layers={NumLayers}")
        + (Bias ? "" : ", bias=False")
        + (BatchFirst ? ", batch_first=True" : "")
        + (Dropout == 0 ? "" : $", dropout={Repr(Dropout)}")
        + (Bidirectional ? ", bidirectional=True" : "");

    private int Find(string name) => Array.IndexOf(_names, name) is var i and >= 0
        ? i
        : throw new KeyNotFoundException($"{GetType().Name} has no parameter '{name}'; it has {string.Join(", ", _names)}.");

    /// <summary>The outputs and the last states.</summary>
    private protected Tensor[] Run(Tensor input, Tensor[] states, Tensor? lengths)
    {
        var key = Training && Dropout > 0 && NumLayers > 1 ? new Tensor(Generator.NextKey(_generator)) : null;
        Tensor.Settle(states);
        var count = _parameters.Length;
        var results = Tensor.MakeAll(
            n => _functions.Apply(n[..count]!, n[count], n[(count + 3)..]!, n[count + 1], n[count + 2]!),
            [.. _parameters, key, lengths, input, .. states]);
        Tensor.KeepStates(results[1..], results[0]);
        results[0] = Called(input, results[0]);
        return results;
    }

    /// <summary>The same for packed sequences, whose layout is their own.</summary>
    private protected (PackedSequence Output, Tensor[] States) Run(PackedSequence input, Tensor[] states)
    {
        var steps = BatchFirst ? input.Padded.Transpose(0, 1) : input.Padded;
        var results = Run(steps, states, input.LengthsTensor);
        return (input.With(BatchFirst ? results[0].Transpose(0, 1) : results[0]), results[1..]);
    }
}

/// <summary>
/// Elman's network in layers: h' = tanh(W_ih x + b_ih + W_hh h + b_hh). Inputs are [steps, batch, inputSize], or [batch, steps,
/// inputSize] if <c>batchFirst</c>, or [steps, inputSize].
/// </summary>
public sealed class RNN : RecurrentModule
{
    /// <summary>A network over steps of <paramref name="inputSize"/> features.</summary>
    /// <param name="inputSize">Features of an input step.</param>
    /// <param name="hiddenSize">Features of the state.</param>
    /// <param name="numLayers">Layers, each reading the outputs of the one before.</param>
    /// <param name="nonlinearity">tanh or relu.</param>
    /// <param name="bias">Whether there are biases.</param>
    /// <param name="batchFirst">Whether inputs are [batch, steps, features].</param>
    /// <param name="dropout">The probability of dropout between layers, in training.</param>
    /// <param name="bidirectional">Whether a second network reads from the end.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public RNN(
        int inputSize, int hiddenSize, int numLayers = 1, string nonlinearity = "tanh", bool bias = true, bool batchFirst = false, double dropout = 0,
        bool bidirectional = false, Generator? generator = null)
        : base("RNN", IsRelu(nonlinearity), inputSize, hiddenSize, numLayers, bias, batchFirst, dropout, bidirectional, 0, generator)
    {
    }

    internal static bool IsRelu(string nonlinearity) => nonlinearity is "tanh" or "relu"
        ? nonlinearity == "relu"
        : throw new ArgumentException($"nonlinearity must be tanh or relu, got {nonlinearity}.");

    /// <summary>The outputs and the last state.</summary>
    /// <param name="input">[steps, batch, inputSize], [batch, steps, inputSize] or [steps, inputSize].</param>
    /// <param name="hx">The first state, [layers * directions, batch, hiddenSize] (without a batch: no such axis); zero if null.</param>
    /// <param name="lengths">How many steps each sequence has, integers [batch]: outputs behind its end are 0, and its last state is that of its own last step.</param>
    /// <returns>Outputs like the input with directions * hiddenSize features, and the last state like the first.</returns>
    public (Tensor Output, Tensor HN) Forward(Tensor input, Tensor? hx = null, Tensor? lengths = null)
    {
        var results = Run(input, hx is null ? [] : [hx], lengths);
        return (results[0], results[1]);
    }

    /// <summary>The outputs and the last state of packed sequences.</summary>
    public (PackedSequence Output, Tensor HN) Forward(PackedSequence input, Tensor? hx = null)
    {
        var (output, states) = Run(input, hx is null ? [] : [hx]);
        return (output, states[0]);
    }
}

/// <summary>
/// Gated recurrent units in layers (Cho et al. 2014), gates in the order r, z, n. Inputs are [steps, batch, inputSize], or [batch,
/// steps, inputSize] if <c>batchFirst</c>, or [steps, inputSize].
/// </summary>
public sealed class GRU : RecurrentModule
{
    /// <summary>A network over steps of <paramref name="inputSize"/> features.</summary>
    /// <param name="inputSize">Features of an input step.</param>
    /// <param name="hiddenSize">Features of the state.</param>
    /// <param name="numLayers">Layers, each reading the outputs of the one before.</param>
    /// <param name="bias">Whether there are biases.</param>
    /// <param name="batchFirst">Whether inputs are [batch, steps, features].</param>
    /// <param name="dropout">The probability of dropout between layers, in training.</param>
    /// <param name="bidirectional">Whether a second network reads from the end.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public GRU(
        int inputSize, int hiddenSize, int numLayers = 1, bool bias = true, bool batchFirst = false, double dropout = 0, bool bidirectional = false,
        Generator? generator = null)
        : base("GRU", false, inputSize, hiddenSize, numLayers, bias, batchFirst, dropout, bidirectional, 0, generator)
    {
    }

    /// <summary>The outputs and the last state.</summary>
    /// <param name="input">[steps, batch, inputSize], [batch, steps, inputSize] or [steps, inputSize].</param>
    /// <param name="hx">The first state, [layers * directions, batch, hiddenSize] (without a batch: no such axis); zero if null.</param>
    /// <param name="lengths">How many steps each sequence has, integers [batch]: outputs behind its end are 0, and its last state is that of its own last step.</param>
    /// <returns>Outputs like the input with directions * hiddenSize features, and the last state like the first.</returns>
    public (Tensor Output, Tensor HN) Forward(Tensor input, Tensor? hx = null, Tensor? lengths = null)
    {
        var results = Run(input, hx is null ? [] : [hx], lengths);
        return (results[0], results[1]);
    }

    /// <summary>The outputs and the last state of packed sequences.</summary>
    public (PackedSequence Output, Tensor HN) Forward(PackedSequence input, Tensor? hx = null)
    {
        var (output, states) = Run(input, hx is null ? [] : [hx]);
        return (output, states[0]);
    }
}

/// <summary>
/// Long short-term memory in layers (Hochreiter and Schmidhuber 1997), gates in the order i, f, g, o. Inputs are [steps, batch,
/// inputSize], or [batch, steps, inputSize] if <c>batchFirst</c>, or [steps, inputSize].
/// </summary>
public sealed class LSTM : RecurrentModule
{
    /// <summary>A network over steps of <paramref name="inputSize"/> features.</summary>
    /// <param name="inputSize">Features of an input step.</param>
    /// <param name="hiddenSize">Features of the state.</param>
    /// <param name="numLayers">Layers, each reading the outputs of the one before.</param>
    /// <param name="bias">Whether there are biases.</param>
    /// <param name="batchFirst">Whether inputs are [batch, steps, features].</param>
    /// <param name="dropout">The probability of dropout between layers, in training.</param>
    /// <param name="bidirectional">Whether a second network reads from the end.</param>
    /// <param name="projSize">Features that outputs are projected to (Sak et al. 2014), fewer than <paramref name="hiddenSize"/>; 0: none.</param>
    /// <param name="generator">Where the start and dropout come from.</param>
    public LSTM(
        int inputSize, int hiddenSize, int numLayers = 1, bool bias = true, bool batchFirst = false, double dropout = 0, bool bidirectional = false,
        int projSize = 0, Generator? generator = null)
        : base("LSTM", false, inputSize, hiddenSize, numLayers, bias, batchFirst, dropout, bidirectional, projSize, generator)
    {
    }

    /// <summary>The outputs and the last state: <c>var (output, (hn, cn)) = lstm.Forward(input, (h0, c0))</c>.</summary>
    /// <param name="input">[steps, batch, inputSize], [batch, steps, inputSize] or [steps, inputSize].</param>
    /// <param name="hx">
    /// The first state, h [layers * directions, batch, hiddenSize or projSize] and c [layers * directions, batch, hiddenSize] (without a
    /// batch: no such axis); zero if null.
    /// </param>
    /// <param name="lengths">How many steps each sequence has, integers [batch]: outputs behind its end are 0, and its last state is that of its own last step.</param>
    /// <returns>Outputs like the input with directions * hiddenSize (or projSize) features, and the last state like the first.</returns>
    public (Tensor Output, (Tensor HN, Tensor CN) State) Forward(Tensor input, (Tensor H0, Tensor C0)? hx = null, Tensor? lengths = null)
    {
        var results = Run(input, hx is var (h, c) ? [h, c] : [], lengths);
        return (results[0], (results[1], results[2]));
    }

    /// <summary>The outputs and the last state of packed sequences.</summary>
    public (PackedSequence Output, (Tensor HN, Tensor CN) State) Forward(PackedSequence input, (Tensor H0, Tensor C0)? hx = null)
    {
        var (output, states) = Run(input, hx is var (h, c) ? [h, c] : []);
        return (output, (states[0], states[1]));
    }
}
