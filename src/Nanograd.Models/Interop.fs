namespace Nanograd.Models

open System
open System.Collections.Generic
open Nanograd

/// Learning rates by schedule.
[<AbstractClass; Sealed>]
type LearningRates =
    /// nanoGPT's warm-up and cosine, as a number.
    static member WarmupCosine(step: int64, rate: float, minimum: float, warmup: int64, decay: int64) : float =
        LearningRate.at (Warmup.nanoGpt rate minimum warmup decay) step

    /// nanoGPT's warm-up and cosine, as an f32 scalar computed from a step (an integer scalar).
    static member WarmupCosine(step: Tensor, rate: float, minimum: float, warmup: int64, decay: int64) : Tensor =
        cast DType.F32 (LearningRate.expression (Warmup.nanoGpt rate minimum warmup decay) step)

/// The shape of a GPT; the defaults are nanoGPT's small configuration.
[<Sealed>]
type GptOptions() =
    /// The number of tokens.
    member val Vocabulary = 0 with get, set
    /// The longest sequence.
    member val Context = 64 with get, set
    /// Transformer blocks.
    member val Layers = 4 with get, set
    /// Attention heads; they divide Embd.
    member val Heads = 4 with get, set
    /// Channels.
    member val Embd = 128 with get, set
    /// The probability of dropout in training.
    member val Dropout = 0.0 with get, set
    /// Whether dense layers and norms have biases.
    member val Bias = false with get, set
    /// Whether the head is the token embedding.
    member val TiedHead = true with get, set
    /// GPT-2's tanh form of GELU instead of GELU itself.
    member val TanhGelu = false with get, set

    member internal o.Config: GptConfig =
        { Vocab = o.Vocabulary
          Context = o.Context
          Layers = o.Layers
          Heads = o.Heads
          Embd = o.Embd
          Dropout = o.Dropout
          Bias = o.Bias
          TiedHead = o.TiedHead
          TanhGelu = o.TanhGelu }

    static member internal Of(c: GptConfig) =
        GptOptions(
            Vocabulary = c.Vocab,
            Context = c.Context,
            Layers = c.Layers,
            Heads = c.Heads,
            Embd = c.Embd,
            Dropout = c.Dropout,
            Bias = c.Bias,
            TiedHead = c.TiedHead,
            TanhGelu = c.TanhGelu
        )

    /// Raises an ArgumentException with one sentence if the options make no sense.
    member o.Check() : unit = Gpt.check o.Config

/// A GPT as functions of arrays of parameters, in the order of Names.
[<AbstractClass; Sealed>]
type GptFunctions =
    static member private Tree(options: GptOptions, parameters: Tensor[]) =
        Tree.rebuild (Gpt.template options.Config) parameters

    /// The names of the parameters: `wte.weight`, `wpe.weight`, `h.0.ln_1.weight`, ...
    static member Names(options: GptOptions) : string[] = Gpt.named (Gpt.template options.Config) |> Array.map fst

    /// The shapes of the parameters.
    static member Shapes(options: GptOptions) : int[][] =
        Tree.leaves (Gpt.template options.Config) |> Array.map (fun t -> t.Shape)

    /// GPT-2's start from a key (u32[2]); expressions.
    static member Init(options: GptOptions, key: Tensor) : Tensor[] = Tree.leaves (Gpt.init key options.Config)

    /// Logits of the next token at every place: `[B; T]` to `[B; T; vocabulary]`. The key (may be null) turns dropout
    /// on.
    static member Logits(options: GptOptions, parameters: Tensor[], dropoutKey: Tensor, ids: Tensor) : Tensor =
        Gpt.apply options.Config (GptFunctions.Tree(options, parameters)) (Optional.ofNull dropoutKey) ids

    /// Logits of the token after one place (an i32 scalar): `[B; T]` to `[B; vocabulary]`.
    static member LogitsAt(options: GptOptions, parameters: Tensor[], position: Tensor, ids: Tensor) : Tensor =
        Gpt.applyAt options.Config (GptFunctions.Tree(options, parameters)) position ids

/// Values in memory of their own.
[<AbstractClass; Sealed>]
type OwnValues =
    /// The values of expressions, each in memory that nothing else uses, so that they may be donated.
    static member Of(tensors: Tensor[]) : Tensor[] = Values.own tensors

/// How the next token is chosen.
[<Sealed>]
type SamplingOptions() =
    /// Logits are divided by it; 0 is greedy.
    member val Temperature = 1.0 with get, set
    /// Only the k largest logits count; 0 for all.
    member val TopK = 0 with get, set
    /// Only the most likely tokens that together reach this probability count; 1 for all.
    member val TopP = 1.0 with get, set
    /// Always the largest logit.
    member val Greedy = false with get, set
    /// The same seed chooses the same tokens.
    member val Seed = 0L with get, set

    member internal o.Options: SampleOptions =
        { Temperature = o.Temperature
          TopK = (if o.TopK = 0 then None else Some o.TopK)
          TopP = o.TopP
          Greedy = o.Greedy
          Seed = o.Seed }

    /// Raises an ArgumentException with one sentence if an option makes no sense.
    member o.Check() : unit = Sample.check o.Options

/// Choosing tokens and generating texts.
[<AbstractClass; Sealed>]
type Sampling =
    /// The next token from logits, the same for the same seed and position.
    static member Next(logits: float32[], options: SamplingOptions, position: int64) : int =
        Sample.next options.Options position logits

    /// The lengths that windows are padded to: 16, 32, ... and the context.
    static member WindowLengths(context: int) : int[] = Sample.windowLengths context

    /// Tokens after a prompt, lazily. `forward` gets a window of ids (padded on the right with zeros) and the index
    /// of its last real token, and gives the logits of the token that follows.
    static member Generate
        (forward: Func<int[], int, float32[]>, prompt: int[], tokens: int, context: int, options: SamplingOptions)
        : IEnumerable<int> =
        Sample.generate options.Options context (fun window last -> forward.Invoke(window, last)) tokens prompt

    /// Tokens after a prompt, lazily, by a GPT that reads each token once while they fit into its context. The
    /// parameters, in the order of GptFunctions.Names, are asked for before each token; the same array means the same
    /// values.
    static member Generate
        (gpt: GptOptions, parameters: Func<Tensor[]>, prompt: int[], tokens: int, options: SamplingOptions)
        : IEnumerable<int> =
        let template = Gpt.template gpt.Config
        let mutable array, tree = [||], template
        let current () =
            let now = parameters.Invoke()
            if not (Object.ReferenceEquals(now, array)) then
                array <- now
                tree <- Tree.rebuild template now
            tree
        Sample.gptOf options.Options gpt.Config current tokens prompt

/// A GPT in a folder: config.json, tokenizer.json, model.safetensors.
[<Sealed>]
type GptFolder private (options: GptOptions, tokenizer: TextTokenizer, parameters: Gpt) =
    /// The configuration.
    member _.Options = options
    /// The tokenizer.
    member _.Tokenizer = tokenizer
    /// The parameters by name.
    member _.Parameters: IReadOnlyDictionary<string, Tensor> = GptFiles.toNamed parameters
    /// The parameters in the order of GptFunctions.Names.
    member _.Ordered: Tensor[] = Tree.leaves parameters

    /// Writes config.json and tokenizer.json.
    static member SaveDescription(directory: string, options: GptOptions, tokenizer: TextTokenizer) : unit =
        GptFiles.saveDescription directory options.Config tokenizer.Inner

    /// Writes model.safetensors.
    static member SaveWeights(directory: string, parameters: IReadOnlyDictionary<string, Tensor>) : unit =
        GptFiles.saveWeights directory parameters

    /// Reads the folder; a missing, damaged or foreign one is an error that says so.
    static member Load(directory: string) : GptFolder =
        let struct (config, tokenizer, parameters) = GptFiles.load directory
        GptFolder(GptOptions.Of config, TextTokenizer tokenizer, parameters)
