namespace Nanograd.CSharp;

/// <summary>Between text and integers: one token for each Unicode scalar value of the text it was made from.</summary>
public sealed class Tokenizer
{
    internal Tokenizer(Zoo.TextTokenizer inner) => Inner = inner;

    internal Zoo.TextTokenizer Inner { get; }

    /// <summary>The tokenizer of a text: its characters, sorted by code point.</summary>
    public static Tokenizer OfText(string text) => new(Zoo.TextTokenizer.OfText(text));

    /// <summary>The number of tokens.</summary>
    public int VocabularySize => Inner.VocabularySize;

    /// <summary>The tokens of a text; characters that the tokenizer does not know are an error that lists them.</summary>
    public int[] Encode(string text) => Inner.Encode(text);

    /// <summary>The text of tokens.</summary>
    public string Decode(IEnumerable<int> tokens) => Inner.Decode(tokens);

    /// <summary>The text of one token.</summary>
    public string Decode(int token) => Inner.DecodeToken(token);
}

/// <summary>Small English stories from a grammar of our own: a corpus that is always there, and a judge of what was learned from it.</summary>
public static class Stories
{
    /// <summary>Whole stories until there are so many bytes; a function of the seed alone.</summary>
    public static string Generate(int bytes, long seed) => Zoo.StoryCorpus.Generate(bytes, seed);

    /// <summary>The complete sentences of a text; a cut first and last one are left out.</summary>
    public static IReadOnlyList<string> Sentences(string text) => Zoo.StoryCorpus.Sentences(text);

    /// <summary>True when the grammar can make the sentence.</summary>
    public static bool Accepts(string sentence) => Zoo.StoryCorpus.Accepts(sentence);

    /// <summary>The share of a text's complete sentences that the grammar can make.</summary>
    public static double AcceptedShare(string text) => Zoo.StoryCorpus.AcceptedShare(text);
}

/// <summary>Texts in files.</summary>
public static class TextFile
{
    /// <summary>The text of a UTF-8 file; a missing, empty or otherwise encoded one is an error that says so.</summary>
    public static string Read(string path) => Zoo.TextFile.Read(path);

    /// <summary>Writes a text, by way of a temporary file: afterwards it is there whole, or not at all.</summary>
    public static void WriteAtomic(string path, string text) =>
        Zoo.TensorFile.WriteAtomic(path, stream => stream.Write(System.Text.Encoding.UTF8.GetBytes(text)));
}

/// <summary>Rows of tokens, and for each place the token that follows.</summary>
/// <param name="Inputs">32-bit integers [rows, context].</param>
/// <param name="Targets">32-bit integers [rows, context].</param>
public sealed record LanguageBatch(Tensor Inputs, Tensor Targets)
{
    internal LanguageBatch(Nanograd.LanguageBatch batch) : this(new Tensor(batch.InputTensor), new Tensor(batch.TargetTensor))
    {
    }

    /// <summary>The number of rows.</summary>
    public int Rows => Inputs.Size(0);
}

/// <summary>A text as tokens for language modelling: the first nine tenths train, the last tenth validates.</summary>
public sealed class LanguageData
{
    private readonly Nanograd.LanguageData _inner;

    /// <summary>Data in windows of <paramref name="context"/> tokens; an error if either part is too short for one.</summary>
    public LanguageData(int[] tokens, int context) => _inner = new(tokens, context);

    /// <summary>Tokens to train on.</summary>
    public int TrainingTokens => _inner.TrainingTokens;

    /// <summary>Tokens to validate on.</summary>
    public int ValidationTokens => _inner.ValidationTokens;

    /// <summary>Whole windows in the validation part.</summary>
    public int ValidationWindows => _inner.ValidationWindows;

    /// <summary>The batch of a step: rows from random places, a function of seed and step alone.</summary>
    public LanguageBatch Batch(int rows, long seed, long step) => new(_inner.Batch(rows, seed, step));

    /// <summary>Every window of the validation part once, in order; the last batch may have fewer rows.</summary>
    public IEnumerable<LanguageBatch> Validation(int rows) => _inner.Validation(rows).Select(b => new LanguageBatch(b));
}

/// <summary>Learning rates that change from step to step.</summary>
public static class Schedules
{
    /// <summary>
    /// nanoGPT's: rising in a line during <paramref name="warmup"/> steps, then falling as a cosine to
    /// <paramref name="minimum"/> at step <paramref name="decay"/>.
    /// </summary>
    public static double WarmupCosine(long step, double rate, double minimum, long warmup, long decay) =>
        Zoo.LearningRates.WarmupCosine(step, rate, minimum, warmup, decay);
}
