namespace Nanograd.Models

open System
open System.Collections.Generic
open System.IO
open Nanograd

/// Arguments that C# may leave null.
module private Optional =
    let ofNull (t: Tensor) = if isNull t then None else Some t

/// Named tensors in files (safetensors).
[<AbstractClass; Sealed>]
type TensorFile =
    /// The tensors of a file by name.
    static member Load(path: string) : IReadOnlyDictionary<string, Tensor> = Safetensors.load path

    /// The metadata of a file; empty when it has none.
    static member LoadMetadata(path: string) : IReadOnlyDictionary<string, string> = Safetensors.metadata path

    /// Writes tensors and metadata (may be null), atomically.
    static member Save
        (path: string, tensors: IReadOnlyDictionary<string, Tensor>, metadata: IReadOnlyDictionary<string, string>)
        : unit =
        let none () = Dictionary<string, string>() :> IReadOnlyDictionary<_, _>
        Safetensors.save path (if isNull (box metadata) then none () else metadata) tensors

    /// The SHA-256 digest of named tensors (name, type, shape, bytes), 64 lower-case hexadecimal digits.
    static member Sha256(tensors: IReadOnlyDictionary<string, Tensor>) : string = Safetensors.sha256 tensors

    /// Writes a file by way of a temporary one: it is there whole, or not at all.
    static member WriteAtomic(path: string, write: Action<Stream>) : unit = AtomicFile.write path write.Invoke

/// Texts in files.
[<AbstractClass; Sealed>]
type TextFile =
    /// The text of a UTF-8 file that is not empty, without byte-order mark.
    static member Read(path: string) : string = Nanograd.TextFile.read path

/// A tokenizer with one token per Unicode scalar value.
[<Sealed>]
type TextTokenizer internal (inner: CharTokenizer) =
    member internal _.Inner = inner

    /// The vocabulary of a text, sorted by code point.
    static member OfText(text: string) = TextTokenizer(CharTokenizer.OfText text)

    /// Reads tokenizer.json.
    static member Load(path: string) = TextTokenizer(CharTokenizer.Load path)

    /// Writes tokenizer.json, atomically.
    member _.Save(path: string) : unit = inner.Save path

    /// The number of tokens.
    member _.VocabularySize: int = inner.VocabularySize

    /// The tokens of a text; unknown characters are an ArgumentException that lists them.
    member _.Encode(text: string) : int[] = inner.Encode text

    /// The text of tokens.
    member _.Decode(tokens: IEnumerable<int>) : string = inner.Decode tokens

    /// The text of one token.
    member _.DecodeToken(token: int) : string = inner.DecodeToken token

/// The built-in corpus and its grammar.
[<AbstractClass; Sealed>]
type StoryCorpus =
    /// Whole stories until there are `bytes` bytes, a pure function of the seed.
    static member Generate(bytes: int, seed: int64) : string = Stories.generate bytes seed

    /// True when the grammar can make the sentence.
    static member Accepts(sentence: string) : bool = Stories.accepts sentence

    /// The complete sentences of a sample; a cut first and last one are dropped.
    static member Sentences(text: string) : string[] = Stories.sentences text

    /// The share of complete sentences that the grammar accepts; 0 when there is none.
    static member AcceptedShare(text: string) : float =
        let all = Stories.sentences text
        if all.Length = 0 then 0.0 else float (all |> Array.filter Stories.accepts |> Array.length) / float all.Length

/// Learning rates by schedule.
[<AbstractClass; Sealed>]
type LearningRates =
    /// nanoGPT's warm-up and cosine, as a number.
    static member WarmupCosine(step: int64, rate: float, minimum: float, warmup: int64, decay: int64) : float =
        LearningRate.at (LearningRate.WarmupCosine(rate, minimum, warmup, decay)) step

    /// nanoGPT's warm-up and cosine, as an f32 scalar computed from a step (an integer scalar).
    static member WarmupCosine(step: Tensor, rate: float, minimum: float, warmup: int64, decay: int64) : Tensor =
        LearningRate.expression (LearningRate.WarmupCosine(rate, minimum, warmup, decay)) step

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
    static member Shapes(options: GptOptions) : int[][] = Tree.leaves (Gpt.template options.Config) |> Array.map (fun t -> t.Shape)

    /// GPT-2's start from a key (u32[2]); expressions.
    static member Init(options: GptOptions, key: Tensor) : Tensor[] = Tree.leaves (Gpt.init key options.Config)

    /// Logits of the next token at every place: `[B; T]` to `[B; T; vocabulary]`. The key (may be null) turns dropout on.
    static member Logits(options: GptOptions, parameters: Tensor[], dropoutKey: Tensor, ids: Tensor) : Tensor =
        Gpt.apply options.Config (GptFunctions.Tree(options, parameters)) (Optional.ofNull dropoutKey) ids

    /// Logits of the token after one place (an i32 scalar): `[B; T]` to `[B; vocabulary]`.
    static member LogitsAt(options: GptOptions, parameters: Tensor[], position: Tensor, ids: Tensor) : Tensor =
        Gpt.applyAt options.Config (GptFunctions.Tree(options, parameters)) position ids

/// The result of multi-head attention.
[<Sealed>]
type MultiheadResult internal (output: Tensor, weights: Tensor) =
    /// `[B; T; E]`.
    member _.Output = output
    /// `[B; T; S]`, averaged over the heads.
    member _.Weights = weights

/// Layers and losses as functions; arguments that may be null are optional.
[<AbstractClass; Sealed>]
type Layers =
    static member private Reduction(name: string) =
        match name with
        | "mean" -> LossReduction.Mean
        | "sum" -> LossReduction.Sum
        | "none" -> LossReduction.None
        | other -> raise (ArgumentException $"The reduction must be mean, sum or none, not {other}.")

    /// x W^T + b: `[..; in]` to `[..; out]`; the bias may be null.
    static member Linear(x: Tensor, weight: Tensor, bias: Tensor) : Tensor = Linear.compute weight (Optional.ofNull bias) x

    /// Rows of the table `[vocabulary; dim]`: integers `[..]` to `[..; dim]`.
    static member Embedding(ids: Tensor, weight: Tensor) : Tensor = take 0 ids weight

    /// Normalised over the last `axes` axes, times weight, plus bias (both may be null).
    static member LayerNorm(x: Tensor, axes: int, weight: Tensor, bias: Tensor, eps: float) : Tensor =
        match Optional.ofNull weight, Optional.ofNull bias with
        | Some w, bias -> LayerNorm.compute eps w bias x
        | None, Some b -> LayerNorm.normalise eps axes x + b
        | None, None -> LayerNorm.normalise eps axes x

    /// Each element 0 with probability p, else x / (1 - p).
    static member Dropout(x: Tensor, p: float, key: Tensor) : Tensor = Dropout.apply p key x

    /// GELU, by erf or by its tanh approximation.
    static member Gelu(x: Tensor, tanh: bool) : Tensor = if tanh then geluTanh x else gelu x

    /// Attention over split heads: q `[..; T; D]`, k and v `[..; S; D]` to `[..; T; D]`; `excluded` (bool, true = excluded) and key may be null.
    static member ScaledDotProductAttention
        (q: Tensor, k: Tensor, v: Tensor, excluded: Tensor, causal: bool, dropout: float, key: Tensor)
        : Tensor =
        let weights = Attention.weights (Layers.Mask(q, excluded, causal)) q k
        Attention.mix (Dropout.maybe dropout (Optional.ofNull key) 0 weights) v

    static member private Mask(q: Tensor, excluded: Tensor, causal: bool) =
        let future = if causal then Some(Attention.future q.Shape[q.Rank - 2]) else None
        match Optional.ofNull excluded, future with
        | Some a, Some b -> Some(Op.binary Binary.Or a b)
        | Some a, None -> Some a
        | None, future -> future

    /// PyTorch's multi_head_attention_forward with batch first: query `[B; T; E]`, key and value `[B; S; E]`. `attnMask` `[T; S]` or
    /// `[B*heads; T; S]` and `keyPaddingMask` `[B; S]` are bool, true = excluded. Biases, masks and the dropout key may be null.
    static member MultiheadAttention
        (
            query: Tensor,
            key: Tensor,
            value: Tensor,
            heads: int,
            inProjWeight: Tensor,
            inProjBias: Tensor,
            outProjWeight: Tensor,
            outProjBias: Tensor,
            attnMask: Tensor,
            keyPaddingMask: Tensor,
            dropout: float,
            dropoutKey: Tensor
        ) : MultiheadResult =
        let ofAttn (m: Tensor) =
            if m.Rank = 3 then reshape [| query.Shape[0]; heads; m.Shape[1]; m.Shape[2] |] m else m
        let ofPadding (m: Tensor) = reshape [| m.Shape[0]; 1; 1; m.Shape[1] |] m
        let excluded =
            match Optional.ofNull attnMask |> Option.map ofAttn, Optional.ofNull keyPaddingMask |> Option.map ofPadding with
            | Some a, Some b -> Some(Op.binary Binary.Or a b)
            | Some a, None -> Some a
            | None, b -> b
        let p =
            { InProj = { Weight = inProjWeight; Bias = Optional.ofNull inProjBias }
              OutProj = { Weight = outProjWeight; Bias = Optional.ofNull outProjBias } }
        MultiheadResult(MultiheadAttention.apply heads dropout (Optional.ofNull dropoutKey) excluded p (query, key, value))

    /// Cross-entropy of logits `[..; classes]` against integer targets `[..]`; reduction mean, sum or none.
    static member CrossEntropy(logits: Tensor, targets: Tensor, reduction: string) : Tensor =
        Loss.crossEntropyOf (Layers.Reduction reduction) logits targets

    /// The same, where places whose target is `ignored` do not count.
    static member CrossEntropyIgnoring(logits: Tensor, targets: Tensor, ignored: int, reduction: string) : Tensor =
        Loss.crossEntropyIgnoring ignored (Layers.Reduction reduction) logits targets

    /// Squared differences; reduction mean, sum or none.
    static member Mse(x: Tensor, y: Tensor, reduction: string) : Tensor = Loss.mseOf (Layers.Reduction reduction) x y

    /// Absolute differences; reduction mean, sum or none.
    static member L1(x: Tensor, y: Tensor, reduction: string) : Tensor = Loss.l1Of (Layers.Reduction reduction) x y

    /// Binary cross-entropy of logits; reduction mean, sum or none.
    static member BceWithLogits(x: Tensor, y: Tensor, reduction: string) : Tensor = Loss.bceWithLogitsOf (Layers.Reduction reduction) x y

    /// Huber's loss; reduction mean, sum or none.
    static member Huber(x: Tensor, y: Tensor, delta: float, reduction: string) : Tensor = Loss.huberOf delta (Layers.Reduction reduction) x y

    /// PyTorch's start for a Linear's weight `[out; in]`: uniform in plus or minus 1/sqrt(in).
    static member LinearInitWeight(key: Tensor, outFeatures: int, inFeatures: int) : Tensor =
        (Linear.init key inFeatures outFeatures false).Weight

    /// PyTorch's start for a Linear's bias `[out]`: uniform in plus or minus 1/sqrt(in).
    static member LinearInitBias(key: Tensor, outFeatures: int, inFeatures: int) : Tensor =
        (Linear.init key inFeatures outFeatures true).Bias.Value

    /// PyTorch's start for MultiheadAttention: in-projection `[3E; E]`, then out-projection `[E; E]`.
    static member MultiheadInitWeights(key: Tensor, width: int) : Tensor[] =
        let p = MultiheadAttention.init key width false
        [| p.InProj.Weight; p.OutProj.Weight |]

    /// Normal numbers of mean 0 and a given deviation.
    static member Normal(key: Tensor, shape: int[], deviation: float) : Tensor = Random.normal key shape * deviation

/// What an update gives.
[<Sealed>]
type UpdateResult internal (parameters: Tensor[], state: Tensor[]) =
    /// The new parameters.
    member _.Parameters = parameters
    /// The new state of the optimizer.
    member _.State = state

/// A pure optimizer over arrays of tensors; its state is one array, slot after slot.
[<Sealed>]
type ParameterUpdate internal (optimizer: Optimizer) =
    /// PyTorch's SGD.
    static member Sgd(momentum: float, dampening: float, weightDecay: float, nesterov: bool) =
        ParameterUpdate(Optim.sgd { Momentum = momentum; Dampening = dampening; WeightDecay = weightDecay; Nesterov = nesterov })

    /// PyTorch's AdamW; decay of all parameters, or of those of rank 2 and more only.
    static member AdamW(beta1: float, beta2: float, eps: float, weightDecay: float, decayMatricesOnly: bool) =
        let decays = if decayMatricesOnly then Optim.matricesOnly else fun _ -> true
        ParameterUpdate(Optim.adamW { Beta1 = beta1; Beta2 = beta2; Eps = eps; WeightDecay = weightDecay; Decays = decays })

    /// The names of the state's tensors: `exp_avg.NAME`, ..., `exp_avg_sq.NAME`, ...
    member _.StateNames(parameterNames: string[]) : string[] =
        optimizer.Slots |> Array.collect (fun slot -> parameterNames |> Array.map (fun name -> slot + "." + name))

    /// The state before the first update: zeros, each in memory of its own.
    member _.Init(parameters: Tensor[]) : Tensor[] = Values.own (Array.concat (Optim.initArrays optimizer parameters))

    /// One update as expressions. `step` is the number of updates done before (an integer scalar), `rate` a float scalar.
    member _.Update(step: Tensor, rate: Tensor, gradients: Tensor[], state: Tensor[], parameters: Tensor[]) : UpdateResult =
        if gradients.Length <> parameters.Length || state.Length <> optimizer.Slots.Length * parameters.Length then
            invalidArg "state" $"{parameters.Length} parameters need as many gradients and {optimizer.Slots.Length} times as many states"
        let slots = if optimizer.Slots.Length = 0 then [||] else Array.chunkBySize parameters.Length state
        let next, slots = optimizer.Update { Step = step; Rate = rate } gradients slots parameters
        UpdateResult(next, Array.concat slots)

    /// PyTorch's clip_grad_norm_.
    static member ClipByGlobalNorm(maximum: float, gradients: Tensor[]) : Tensor[] = Optim.clipByGlobalNorm maximum gradients

    /// The Euclidean norm of all gradients together.
    static member GlobalNorm(gradients: Tensor[]) : Tensor = Optim.globalNorm gradients

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
    static member Next(logits: float32[], options: SamplingOptions, position: int64) : int = Sample.next options.Options position logits

    /// The lengths that windows are padded to: 16, 32, ... and the context.
    static member WindowLengths(context: int) : int[] = Sample.windowLengths context

    /// Tokens after a prompt, lazily. `forward` gets a window of ids (padded on the right with zeros) and the index of its last real token,
    /// and gives the logits of the token that follows.
    static member Generate
        (forward: Func<int[], int, float32[]>, prompt: int[], tokens: int, context: int, options: SamplingOptions)
        : IEnumerable<int> =
        Sample.generate options.Options context (fun window last -> forward.Invoke(window, last)) tokens prompt

/// The state of a training run in one file, `state.safetensors` of a folder.
[<Sealed>]
type TrainingState internal (inner: Checkpoint) =
    /// A state to save.
    new(parameters: IReadOnlyDictionary<string, Tensor>,
        optimizer: IReadOnlyDictionary<string, Tensor>,
        step: int64,
        seed: int64,
        metadata: IReadOnlyDictionary<string, string>) = TrainingState(Checkpoint(parameters, optimizer, step, seed, metadata))

    /// The model's parameters by name.
    member _.Parameters = inner.Parameters
    /// The optimizer's state by name.
    member _.Optimizer = inner.Optimizer
    /// Updates done.
    member _.Step = inner.Step
    /// The seed of the run.
    member _.Seed = inner.Seed
    /// Whatever else the run remembers.
    member _.Metadata = inner.Metadata

    /// Writes the file, atomically.
    member _.Save(directory: string) : unit = inner.Save directory

    /// Reads the file.
    static member Load(directory: string) = TrainingState(Checkpoint.Load directory)

    /// True when the folder has a state.
    static member Exists(directory: string) : bool = Checkpoint.Exists directory

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
