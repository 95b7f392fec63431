namespace Nanograd.CSharp;

/// <summary>
/// Rotary positions (Su et al. 2021): pairs of channels turned by angles that grow with the place, so that products of queries and
/// keys depend on how far they are apart.
/// </summary>
public sealed class RotaryEmbedding : Module
{
    private readonly Node[] _tables;
    private readonly double _base;
    private readonly int _dim;

    /// <summary>Rotations of vectors of <paramref name="dim"/> channels.</summary>
    /// <param name="dim">Channels of a head: even.</param>
    /// <param name="maxSeqLen">Places for which there are tables.</param>
    /// <param name="base">What wavelengths grow with, from 2 pi to 2 pi base.</param>
    /// <param name="interleaved">Whether channel 2i is turned with 2i + 1 (the paper, GPT-J) rather than i with i + dim/2 (GPT-NeoX, Llama).</param>
    public RotaryEmbedding(int dim, int maxSeqLen = 4096, double @base = 10000, bool interleaved = false)
    {
        (_dim, _base, Interleaved) = (dim, @base, interleaved);
        _tables = Copies.Of(Zoo.RotaryFunctions.Tables(@base, dim, Creation.arange(CoreType.I64, maxSeqLen)));
    }

    /// <summary>Whether channel 2i is turned with channel 2i + 1.</summary>
    public bool Interleaved { get; }

    /// <summary>Turns vectors at places 0, 1, ...: [..., length, dim].</summary>
    public override Tensor Forward(Tensor input) => Forward(input, null);

    /// <summary>Turns vectors at given places.</summary>
    /// <param name="input">[..., length, dim].</param>
    /// <param name="positions">Integers [length]; 0, 1, ... if null.</param>
    public Tensor Forward(Tensor input, Tensor? positions) => Called(input, Tensor.Make(
        n =>
        {
            if (n[0]!.Rank < 2)
            {
                throw new ArgumentException($"RotaryEmbedding: the input must be [..., length, {_dim}], got {Nanograd.Shape.describe(n[0]!)}.");
            }

            var tables = n[1] is null ? Tables(n[0]!.Shape[^2]) : Zoo.RotaryFunctions.Tables(_base, _dim, n[1]!);
            return Zoo.RotaryFunctions.Apply(n[0]!, tables[0], tables[1], Interleaved);
        },
        input, positions));

    /// <summary>Cosines and sines of places 0, 1, ...</summary>
    internal Node[] Tables(int length) => length <= _tables[0].Shape[0]
        ? [.. _tables.Select(t => Moving.slice(0, 0, length, t))]
        : throw new ArgumentException($"RotaryEmbedding: there are tables for {_tables[0].Shape[0]} places, not {length}; say maxSeqLen: {length}.");
}

/// <summary>Adds sines and cosines of the places to vectors (Vaswani et al. 2017), then drops out.</summary>
/// <param name="dModel">Features.</param>
/// <param name="dropout">The probability of dropout, in training.</param>
/// <param name="maxLen">Places for which there are vectors.</param>
/// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
/// <param name="generator">Where dropout comes from.</param>
public sealed class PositionalEncoding(int dModel, double dropout = 0.1, int maxLen = 5000, bool batchFirst = false, Generator? generator = null) : Module
{
    private readonly Dropout _dropout = new(dropout, generator: generator);
    private readonly Tensor _table = new(Copies.Of([Nanograd.Positions.sinusoidal(maxLen, dModel)])[0]);

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, _dropout.Forward(input + At(input, _table, batchFirst)));

    /// <summary>The first vectors of a table, for all steps of an input: [length, dim], or [length, 1, dim].</summary>
    internal static Tensor At(Tensor input, Tensor table, bool batchFirst)
    {
        var axis = input.Rank == 3 && batchFirst ? 1 : 0;
        if (input.Rank is not (2 or 3) || input.Shape[^1] != table.Shape[1] || input.Shape[axis] > table.Shape[0])
        {
            throw new ArgumentException(
                $"positions: the input must be {(batchFirst ? "[batch, length" : "[length, batch")}, {table.Shape[1]}] with at most {table.Shape[0]} places, got {Nanograd.Shape.describe(input.Expression)}.");
        }

        var rows = table[..input.Shape[axis]];
        return input.Rank == 3 && !batchFirst ? rows.Unsqueeze(1) : rows;
    }
}

/// <summary>Adds a learned vector for each place, which starts normal of deviation 0.02.</summary>
public sealed class LearnedPositionalEmbedding : Module
{
    private readonly bool _batchFirst;

    /// <summary>Vectors for <paramref name="maxLen"/> places.</summary>
    /// <param name="maxLen">Places for which there are vectors.</param>
    /// <param name="dModel">Features.</param>
    /// <param name="batchFirst">Whether inputs are [batch, length, dModel] rather than [length, batch, dModel].</param>
    /// <param name="generator">Where the start comes from.</param>
    public LearnedPositionalEmbedding(int maxLen, int dModel, bool batchFirst = false, Generator? generator = null)
    {
        _batchFirst = batchFirst;
        Weight = Parameter.Of(Zoo.Layers.Normal(Generator.NextKey(generator), [maxLen, dModel], 0.02));
    }

    /// <summary>[maxLen, dModel].</summary>
    public Parameter Weight { get; set; }

    /// <inheritdoc/>
    public override Tensor Forward(Tensor input) => Called(input, input + PositionalEncoding.At(input, Weight, _batchFirst));
}
