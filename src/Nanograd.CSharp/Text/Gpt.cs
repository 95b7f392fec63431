namespace Nanograd.CSharp;

/// <summary>
/// A GPT-2 (Radford et al. 2019) with nanoGPT's options and initialisation. Its parameters have the names that they have
/// there: <c>wte.weight</c>, <c>wpe.weight</c>, <c>h.0.ln_1.weight</c>, <c>h.0.attn.c_attn.weight</c> and so on.
/// </summary>
public sealed class Gpt : Module
{
    private readonly Zoo.GptOptions _options;
    private readonly string[] _names;
    private readonly Parameter[] _parameters;
    private readonly Generator? _generator;

    /// <summary>A model with random weights.</summary>
    /// <param name="vocabulary">The number of tokens.</param>
    /// <param name="context">The longest sequence.</param>
    /// <param name="layers">Transformer blocks.</param>
    /// <param name="heads">Attention heads in each block; they divide <paramref name="embd"/>.</param>
    /// <param name="embd">Channels.</param>
    /// <param name="dropout">The probability of dropout while training.</param>
    /// <param name="bias">Whether linear maps and norms have biases.</param>
    /// <param name="tiedHead">Whether the head is the token embedding.</param>
    /// <param name="generator">Where initial weights and dropout come from; null: <see cref="Generator.Default"/>.</param>
    public Gpt(int vocabulary, int context = 64, int layers = 4, int heads = 4, int embd = 128, double dropout = 0, bool bias = false, bool tiedHead = true, Generator? generator = null)
        : this(OptionsOf(vocabulary, context, layers, heads, embd, dropout, bias, tiedHead), generator, null)
    {
    }

    private Gpt(Zoo.GptOptions options, Generator? generator, Node[]? values)
    {
        options.Check();
        _options = options;
        _generator = generator;
        _names = Zoo.GptFunctions.Names(options);
        _parameters = Parameter.All(values ?? Zoo.GptFunctions.Init(options, Generator.NextKey(generator)));
    }

    private static Zoo.GptOptions OptionsOf(int vocabulary, int context, int layers, int heads, int embd, double dropout, bool bias, bool tiedHead) => new()
    {
        Vocabulary = vocabulary,
        Context = context,
        Layers = layers,
        Heads = heads,
        Embd = embd,
        Dropout = dropout,
        Bias = bias,
        TiedHead = tiedHead,
    };

    /// <summary>Raises an <see cref="ArgumentException"/> of one sentence if no model can have these options.</summary>
    public static void CheckOptions(int vocabulary, int context, int layers, int heads, int embd, double dropout) =>
        OptionsOf(vocabulary, context, layers, heads, embd, dropout, false, true).Check();

    /// <summary>The number of tokens.</summary>
    public int Vocabulary => _options.Vocabulary;

    /// <summary>The longest sequence.</summary>
    public int Context => _options.Context;

    /// <summary>Transformer blocks.</summary>
    public int Layers => _options.Layers;

    /// <summary>Attention heads.</summary>
    public int Heads => _options.Heads;

    /// <summary>Channels.</summary>
    public int Embd => _options.Embd;

    /// <inheritdoc/>
    protected override IEnumerable<KeyValuePair<string, object?>> Parts() =>
        _names.Select((name, i) => KeyValuePair.Create(name, (object?)_parameters[i]));

    /// <summary>Logits of the next token at every place: integers [batch, length] to [batch, length, vocabulary].</summary>
    public override Tensor Forward(Tensor input)
    {
        var dropoutKey = Training && _options.Dropout > 0 ? new Tensor(Generator.NextKey(_generator)) : null;
        return Tensor.Make(
            n => Zoo.GptFunctions.Logits(_options, n[2..]!, n[1], n[0]!), [input, dropoutKey, .. _parameters]).Kept();
    }

    /// <summary>
    /// Tokens after a prompt, one by one, as they are wanted. Dropout is off. Each token is read once, as long as all fit into
    /// the context; afterwards every token takes a pass over the last <see cref="Context"/> ones.
    /// </summary>
    public IEnumerable<int> Generate(IReadOnlyList<int> prompt, int tokens, Sampling? sampling = null)
    {
        var options = (sampling ?? new Sampling()).Checked();
        Node[] known = [];
        return Zoo.Sampling.Generate(_options, Current, [.. prompt], tokens, options);

        // A new array only when a parameter has changed since the last token.
        Node[] Current()
        {
            if (known.Length != _parameters.Length || !known.Zip(_parameters).All(both => ReferenceEquals(both.First, both.Second.Expression)))
            {
                known = [.. _parameters.Select(p => p.Expression)];
            }

            return known;
        }
    }

    // ------------------------------------------------------------------------------------------------ files

    /// <summary>Writes config.json and tokenizer.json into a folder, each atomically.</summary>
    public void SaveDescription(string folder, Tokenizer tokenizer) => Zoo.GptFolder.SaveDescription(folder, _options, tokenizer.Inner);

    /// <summary>Writes model.safetensors into a folder, atomically.</summary>
    public void SaveWeights(string folder) =>
        Zoo.GptFolder.SaveWeights(folder, Safetensors.ToCore(StateDict()));

    /// <summary>Reads a model and its tokenizer from a folder; a missing, damaged or foreign one is an error that says so.</summary>
    public static (Gpt Model, Tokenizer Tokenizer) Load(string folder)
    {
        var found = Zoo.GptFolder.Load(folder);
        return (new Gpt(found.Options, null, found.Ordered), new Tokenizer(found.Tokenizer));
    }
}

/// <summary>How tokens are chosen from logits.</summary>
public sealed class Sampling
{
    /// <summary>Logits are divided by it: below 1 the likely gets likelier.</summary>
    public double Temperature { get; set; } = 1;

    /// <summary>Only the k largest logits count; 0 for all.</summary>
    public int TopK { get; set; }

    /// <summary>Only the most likely tokens that together reach this probability count; 1 for all.</summary>
    public double TopP { get; set; } = 1;

    /// <summary>Always the most likely token.</summary>
    public bool Greedy { get; set; }

    /// <summary>The same seed chooses the same tokens.</summary>
    public long Seed { get; set; }

    internal Zoo.SamplingOptions Checked()
    {
        var options = new Zoo.SamplingOptions { Temperature = Temperature, TopK = TopK, TopP = TopP, Greedy = Greedy, Seed = Seed };
        options.Check();
        return options;
    }
}
