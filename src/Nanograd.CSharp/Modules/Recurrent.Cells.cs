namespace Nanograd.CSharp;

/// <summary>What the cells have in common: one step of one layer, with parameters that start uniform in ±1/sqrt(hiddenSize).</summary>
public abstract class RecurrentCellModule : Module
{
    private readonly string _kind;
    private readonly bool _relu;

    private protected RecurrentCellModule(string kind, bool relu, int inputSize, int hiddenSize, bool bias, Generator? generator)
    {
        var start = Parameter.All([.. Zoo.RecurrentFunctions.InitCell(kind, Generator.NextKey(generator), inputSize, hiddenSize, bias).Select(s => s.Value)]);
        (WeightIh, WeightHh) = (start[0], start[1]);
        (BiasIh, BiasHh) = bias ? (start[2], start[3]) : (null, null);
        (_kind, _relu, InputSize, HiddenSize) = (kind, relu, inputSize, hiddenSize);
    }

    /// <summary>Features of the input.</summary>
    public int InputSize { get; }

    /// <summary>Features of the state.</summary>
    public int HiddenSize { get; }

    /// <summary>[gates * hiddenSize, inputSize].</summary>
    public Parameter WeightIh { get; set; }

    /// <summary>[gates * hiddenSize, hiddenSize].</summary>
    public Parameter WeightHh { get; set; }

    /// <summary>[gates * hiddenSize], or null.</summary>
    public Parameter? BiasIh { get; set; }

    /// <summary>[gates * hiddenSize], or null.</summary>
    public Parameter? BiasHh { get; set; }

    /// <inheritdoc/>
    protected override string ExtraRepr() =>
        $"{InputSize}, {HiddenSize}{(BiasIh is null ? ", bias=False" : "")}{(_relu ? ", nonlinearity=relu" : "")}";

    private protected Tensor[] Next(Tensor input, params Tensor[] states)
    {
        Tensor.Settle(states);
        var results = Tensor.MakeAll(
            n => Zoo.RecurrentFunctions.ApplyCell(_kind, _relu, n[0]!, n[1]!, n[2], n[3], n[5..]!, n[4]!),
            [WeightIh, WeightHh, BiasIh, BiasHh, input, .. states]);
        Tensor.KeepStates(results);
        results[0] = Called(input, results[0]);
        return results;
    }
}

/// <summary>Elman's cell: h' = tanh(W_ih x + b_ih + W_hh h + b_hh).</summary>
/// <param name="inputSize">Features of the input.</param>
/// <param name="hiddenSize">Features of the state.</param>
/// <param name="bias">Whether there are biases.</param>
/// <param name="nonlinearity">tanh or relu.</param>
/// <param name="generator">Where the start comes from.</param>
public sealed class RNNCell(int inputSize, int hiddenSize, bool bias = true, string nonlinearity = "tanh", Generator? generator = null)
    : RecurrentCellModule("RNN", RNN.IsRelu(nonlinearity), inputSize, hiddenSize, bias, generator)
{
    /// <summary>The next state: [batch, hiddenSize] or [hiddenSize].</summary>
    /// <param name="input">[batch, inputSize] or [inputSize].</param>
    /// <param name="hx">The state, [batch, hiddenSize] or [hiddenSize]; zero if null.</param>
    public Tensor Forward(Tensor input, Tensor? hx = null) => Next(input, hx is null ? [] : [hx])[0];

    /// <summary>The state after one step from zero.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);
}

/// <summary>The gated recurrent unit (Cho et al. 2014), gates in the order r, z, n.</summary>
/// <param name="inputSize">Features of the input.</param>
/// <param name="hiddenSize">Features of the state.</param>
/// <param name="bias">Whether there are biases.</param>
/// <param name="generator">Where the start comes from.</param>
public sealed class GRUCell(int inputSize, int hiddenSize, bool bias = true, Generator? generator = null)
    : RecurrentCellModule("GRU", false, inputSize, hiddenSize, bias, generator)
{
    /// <summary>The next state: [batch, hiddenSize] or [hiddenSize].</summary>
    /// <param name="input">[batch, inputSize] or [inputSize].</param>
    /// <param name="hx">The state, [batch, hiddenSize] or [hiddenSize]; zero if null.</param>
    public Tensor Forward(Tensor input, Tensor? hx = null) => Next(input, hx is null ? [] : [hx])[0];

    /// <summary>The state after one step from zero.</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);
}

/// <summary>The long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order i, f, g, o.</summary>
/// <param name="inputSize">Features of the input.</param>
/// <param name="hiddenSize">Features of the state.</param>
/// <param name="bias">Whether there are biases.</param>
/// <param name="generator">Where the start comes from.</param>
public sealed class LSTMCell(int inputSize, int hiddenSize, bool bias = true, Generator? generator = null)
    : RecurrentCellModule("LSTM", false, inputSize, hiddenSize, bias, generator)
{
    /// <summary>The next state, h and c, each [batch, hiddenSize] or [hiddenSize].</summary>
    /// <param name="input">[batch, inputSize] or [inputSize].</param>
    /// <param name="hx">The state, h and c; zero if null.</param>
    public (Tensor H, Tensor C) Forward(Tensor input, (Tensor H, Tensor C)? hx = null)
    {
        var next = Next(input, hx is var (h, c) ? [h, c] : []);
        return (next[0], next[1]);
    }

    /// <summary>The h after one step from zero.</summary>
    public override Tensor Forward(Tensor input) => Next(input)[0];
}
