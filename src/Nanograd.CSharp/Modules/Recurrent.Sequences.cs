namespace Nanograd.CSharp;

/// <summary>
/// Sequences of different lengths, side by side. RNN, LSTM and GRU take it and give it back; <see cref="RnnUtils.PadPackedSequence"/>
/// makes a tensor of it. (It holds the sequences padded, with their lengths, in the order in which they were given.)
/// </summary>
public sealed class PackedSequence
{
    internal PackedSequence(Tensor padded, IReadOnlyList<int> lengths, Tensor lengthsTensor) =>
        (Padded, Lengths, LengthsTensor) = (padded, lengths, lengthsTensor);

    /// <summary>How many steps each sequence has.</summary>
    public IReadOnlyList<int> Lengths { get; }

    /// <summary>How many sequences have a first step, a second one, ...: as long as the longest.</summary>
    public IReadOnlyList<int> BatchSizes => [.. Enumerable.Range(0, Lengths.Max()).Select(t => Lengths.Count(n => n > t))];

    /// <summary>The places of the sequences ordered by length, the longest first.</summary>
    public IReadOnlyList<int> SortedIndices => [.. Enumerable.Range(0, Lengths.Count).OrderByDescending(i => Lengths[i])];

    /// <summary>All first steps, the longest sequence's first, then all second ones, ...: [sum of lengths, ...].</summary>
    public Tensor Data
    {
        get
        {
            var places = from t in Enumerable.Range(0, Lengths.Max())
                         from i in SortedIndices
                         where Lengths[i] > t
                         select (t * Lengths.Count) + i;
            return Tensor.Make(n => Zoo.SequenceFunctions.Packed(n[0]!, n[1]!), Padded, Tensor.FromArray(places.ToArray()));
        }
    }

    /// <summary>[longest, batch, ...].</summary>
    internal Tensor Padded { get; }

    /// <summary>The lengths as integers, [batch].</summary>
    internal Tensor LengthsTensor { get; }

    internal PackedSequence With(Tensor padded) => new(padded, Lengths, LengthsTensor);
}

/// <summary>Helpers for sequences of different lengths: PyTorch's <c>torch.nn.utils.rnn</c>.</summary>
public static class RnnUtils
{
    /// <summary>Sequences as one tensor.</summary>
    /// <param name="sequences">[steps, ...] each, with their own numbers of steps.</param>
    /// <param name="batchFirst">Whether the result is [batch, longest, ...] rather than [longest, batch, ...].</param>
    /// <param name="paddingValue">What stands behind their ends.</param>
    public static Tensor PadSequence(IReadOnlyList<Tensor> sequences, bool batchFirst = false, double paddingValue = 0)
    {
        if (sequences.Count == 0)
        {
            throw new ArgumentException("PadSequence: there must be at least one sequence.");
        }

        var padded = Tensor.Make(n => Zoo.SequenceFunctions.Pad(n!, paddingValue), [.. sequences]);
        return batchFirst ? padded.Transpose(0, 1) : padded;
    }

    /// <summary>The sequences of a padded tensor, [steps, ...] each.</summary>
    /// <param name="paddedSequences">[longest, batch, ...], or [batch, longest, ...] if <paramref name="batchFirst"/>.</param>
    /// <param name="lengths">How many steps each has.</param>
    /// <param name="batchFirst">Whether the batch is the first axis.</param>
    public static Tensor[] UnpadSequence(Tensor paddedSequences, int[] lengths, bool batchFirst = false)
    {
        var steps = TimeFirst("UnpadSequence", paddedSequences, lengths, batchFirst);
        return [.. lengths.Select((n, i) => steps[..n, i])];
    }

    /// <summary>Packs a padded tensor, so that networks stop at the ends of its sequences.</summary>
    /// <param name="input">[longest, batch, ...], or [batch, longest, ...] if <paramref name="batchFirst"/>.</param>
    /// <param name="lengths">How many steps each has, at least 1.</param>
    /// <param name="batchFirst">Whether the batch is the first axis.</param>
    /// <param name="enforceSorted">Whether the longest must come first. (Nothing here needs that; PyTorch demands it for export.)</param>
    public static PackedSequence PackPaddedSequence(Tensor input, int[] lengths, bool batchFirst = false, bool enforceSorted = true)
    {
        var steps = TimeFirst("PackPaddedSequence", input, lengths, batchFirst);
        if (enforceSorted && lengths.Zip(lengths.Skip(1)).Any(pair => pair.First < pair.Second))
        {
            throw new ArgumentException(
                $"PackPaddedSequence: the longest sequences must come first, got lengths {string.Join(", ", lengths)}; say enforceSorted: false for any order.");
        }

        var longest = lengths.Max();
        return new PackedSequence(longest == steps.Shape[0] ? steps : steps[..longest], [.. lengths], Tensor.FromArray([.. lengths]));
    }

    /// <summary>The same with lengths as a tensor of integers.</summary>
    /// <param name="input">[longest, batch, ...], or [batch, longest, ...] if <paramref name="batchFirst"/>.</param>
    /// <param name="lengths">How many steps each has, at least 1: integers [batch].</param>
    /// <param name="batchFirst">Whether the batch is the first axis.</param>
    /// <param name="enforceSorted">Whether the longest must come first.</param>
    public static PackedSequence PackPaddedSequence(Tensor input, Tensor lengths, bool batchFirst = false, bool enforceSorted = true) =>
        PackPaddedSequence(input, lengths.ToArray<int>(), batchFirst, enforceSorted);

    /// <summary>Packs sequences, [steps, ...] each.</summary>
    /// <param name="sequences">With their own numbers of steps.</param>
    /// <param name="enforceSorted">Whether the longest must come first.</param>
    public static PackedSequence PackSequence(IReadOnlyList<Tensor> sequences, bool enforceSorted = true) =>
        PackPaddedSequence(PadSequence(sequences), [.. sequences.Select(s => s.Shape[0])], enforceSorted: enforceSorted);

    /// <summary>A tensor of packed sequences, and their lengths.</summary>
    /// <param name="sequence">What was packed.</param>
    /// <param name="batchFirst">Whether the result is [batch, longest, ...] rather than [longest, batch, ...].</param>
    /// <param name="paddingValue">What stands behind their ends.</param>
    /// <param name="totalLength">How many steps the result has: those of the longest unless given.</param>
    public static (Tensor Padded, Tensor Lengths) PadPackedSequence(
        PackedSequence sequence, bool batchFirst = false, double paddingValue = 0, int? totalLength = null)
    {
        var longest = sequence.Lengths.Max();
        if (totalLength < longest)
        {
            throw new ArgumentException($"PadPackedSequence: totalLength must be at least the {longest} steps of the longest sequence, got {totalLength}.");
        }

        var padded = Tensor.Make(
            n => Zoo.SequenceFunctions.Fill(n[0]!, n[1]!, paddingValue, totalLength ?? longest), sequence.Padded, sequence.LengthsTensor);
        return (batchFirst ? padded.Transpose(0, 1) : padded, sequence.LengthsTensor);
    }

    /// <summary>The sequences that were packed, [steps, ...] each.</summary>
    public static Tensor[] UnpackSequence(PackedSequence packedSequences) =>
        UnpadSequence(packedSequences.Padded, [.. packedSequences.Lengths]);

    private static Tensor TimeFirst(string function, Tensor input, int[] lengths, bool batchFirst)
    {
        if (input.Rank < 2)
        {
            throw new ArgumentException($"{function}: the input must have axes for steps and batch, got {Nanograd.Shape.describe(input.Expression)}.");
        }

        var steps = batchFirst ? input.Transpose(0, 1) : input;
        return lengths.Length == steps.Shape[1] && lengths.Length > 0 && lengths.All(n => n >= 1 && n <= steps.Shape[0])
            ? steps
            : throw new ArgumentException(
                $"{function}: there must be {steps.Shape[1]} lengths between 1 and {steps.Shape[0]}, got {string.Join(", ", lengths)}.");
    }
}
