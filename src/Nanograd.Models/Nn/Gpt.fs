namespace Nanograd

open System
open System.Text

/// Two dense layers with GELU between them: `CFc` `[4C; C]`, `CProj` `[C; 4C]`.
[<NoComparison>]
type Mlp = { CFc: Linear; CProj: Linear }

/// The feed-forward half of a transformer block.
[<RequireQualifiedAccess>]
module Mlp =
    /// `[..; C]` to `[..; C]`; `tanhGelu` takes GPT-2's approximation of GELU.
    let apply (tanhGelu: bool) (p: Mlp) (x: Tensor) : Tensor =
        x |> Linear.apply p.CFc |> (if tanhGelu then geluTanh else gelu) |> Linear.apply p.CProj

/// A pre-norm transformer block.
[<NoComparison>]
type Block = { Ln1: LayerNorm; Attn: CausalSelfAttention; Ln2: LayerNorm; Mlp: Mlp }

/// The shape of a GPT and how it is trained.
type GptConfig =
    {
        /// The number of tokens.
        Vocab: int
        /// The longest sequence.
        Context: int
        /// Transformer blocks.
        Layers: int
        /// Attention heads; they divide Embd.
        Heads: int
        /// Channels.
        Embd: int
        /// The probability of dropout, in training.
        Dropout: float
        /// Whether dense layers and norms have biases.
        Bias: bool
        /// Whether the head is the token embedding.
        TiedHead: bool
        /// GPT-2's tanh form of GELU instead of GELU itself.
        TanhGelu: bool
    }

/// The parameters of a GPT (Radford et al. 2019). Paths in this tree become names as in the published checkpoints.
[<NoComparison>]
type Gpt =
    { Wte: Embedding
      Wpe: Embedding
      H: Block[]
      LnF: LayerNorm
      LmHead: Linear option }

/// A causal language model.
[<RequireQualifiedAccess>]
module Gpt =
    /// nanoGPT's small configuration, for a vocabulary: 4 layers, 4 heads, 128 channels, context 64, no biases, tied
    /// head.
    let small (vocab: int) : GptConfig =
        { Vocab = vocab
          Context = 64
          Layers = 4
          Heads = 4
          Embd = 128
          Dropout = 0.0
          Bias = false
          TiedHead = true
          TanhGelu = false }

    /// The lengths that texts are padded to: 16, 32, ... and the context. A program is compiled for each that is used.
    let windowLengths (context: int) : int[] =
        if context < 1 then raise (ArgumentException $"The context must be at least 1, not {context}.")
        [| yield! Seq.initInfinite (fun i -> 16L <<< i) |> Seq.takeWhile (fun n -> n < int64 context) |> Seq.map int
           context |]

    /// Raises an ArgumentException with one sentence if the configuration makes no sense.
    let check (c: GptConfig) : unit =
        let positive name value = if value < 1 then raise (ArgumentException $"{name} must be at least 1, not {value}.")
        positive "The vocabulary" c.Vocab
        positive "The context" c.Context
        positive "The number of layers" c.Layers
        positive "The number of heads" c.Heads
        positive "The embedding size" c.Embd
        if c.Embd % c.Heads <> 0 then
            raise (
                ArgumentException $"The embedding size {c.Embd} must be a multiple of the number of heads, {c.Heads}."
            )
        if not (c.Dropout >= 0.0 && c.Dropout < 1.0) then
            raise (ArgumentException $"The dropout must be at least 0 and below 1, not {c.Dropout}.")

    /// GPT-2's start: normal of deviation 0.02, residual projections 0.02/sqrt(2 Layers), zero biases, unit norms.
    /// Expressions; `eval` them.
    let init (key: Tensor) (c: GptConfig) : Gpt =
        check c
        let mutable used = 0
        let next () =
            used <- used + 1
            Random.fold key (used - 1)
        let dense inputs outputs = Linear.normal 0.02 (next ()) inputs outputs c.Bias
        let residual inputs outputs =
            Linear.normal (0.02 / Math.Sqrt(2.0 * float c.Layers)) (next ()) inputs outputs c.Bias
        let norm () = LayerNorm.init c.Embd c.Bias
        let block _ : Block =
            { Ln1 = norm ()
              Attn = { CAttn = dense c.Embd (3 * c.Embd); CProj = residual c.Embd c.Embd }
              Ln2 = norm ()
              Mlp = { CFc = dense c.Embd (4 * c.Embd); CProj = residual (4 * c.Embd) c.Embd } }
        { Wte = Embedding.init 0.02 (next ()) c.Vocab c.Embd
          Wpe = Embedding.init 0.02 (next ()) c.Context c.Embd
          H = Array.init c.Layers block
          LnF = norm ()
          LmHead =
            if c.TiedHead then None else Some { Linear.normal 0.02 (next ()) c.Embd c.Vocab false with Bias = None } }

    let private checkIds (c: GptConfig) (ids: Tensor) =
        if ids.Rank <> 2 || ids.Shape[1] > c.Context then
            Shape.fail "gpt" $"ids must be [B,T] with T at most the context, {c.Context}" "" [ ids ]

    /// The last hidden states: integers `[B; T]` to `[B; T; C]`, T at most the context. With a key (training) there
    /// is dropout.
    let hidden (c: GptConfig) (p: Gpt) (dropoutKey: Tensor option) (ids: Tensor) : Tensor =
        checkIds c ids
        let keyOf n = dropoutKey |> Option.map (fun key -> Random.fold key n)
        let block x (n, b: Block) =
            let key = keyOf (n + 1)
            let x = x + CausalSelfAttention.apply c.Heads c.Dropout key b.Attn (LayerNorm.apply b.Ln1 x)
            x + (Mlp.apply c.TanhGelu b.Mlp (LayerNorm.apply b.Ln2 x) |> Dropout.maybe c.Dropout key 2)
        let places = slice 0 0 ids.Shape[1] p.Wpe.Weight
        let start = Embedding.apply p.Wte ids + places |> Dropout.maybe c.Dropout (keyOf 0) 0
        Array.fold block start (Array.indexed p.H) |> LayerNorm.apply p.LnF

    /// The last hidden states of embedded tokens, without dropout. `attend` is the attention of a block, and gives what the
    /// block is to remember.
    let private remembering
        c
        (p: Gpt)
        (attend: int -> CausalSelfAttention -> Tensor -> struct (Tensor * KvCache))
        embedded
        =
        let block x (n, b: Block) =
            let struct (y, cache) = attend n b.Attn (LayerNorm.apply b.Ln1 x)
            let x = x + y
            cache, x + Mlp.apply c.TanhGelu b.Mlp (LayerNorm.apply b.Ln2 x)
        let caches, x = Array.mapFold block embedded (Array.indexed p.H)
        caches, LayerNorm.apply p.LnF x

    let private head (p: Gpt) (x: Tensor) =
        match p.LmHead with
        | Some linear -> Linear.apply linear x
        | None -> Linear.compute p.Wte.Weight None x

    /// The logits of one place (an integer scalar) of hidden states `[B; T; C]`.
    let private headAt (p: Gpt) (position: Tensor) (x: Tensor) =
        let zero = zerosLike position
        let row = Op.dynamicSlice [| zero; position; zero |] [| x.Shape[0]; 1; x.Shape[2] |] x
        head p (reshape [| x.Shape[0]; x.Shape[2] |] row)

    /// Logits of the next token at every place: integers `[B; T]` to `[B; T; vocab]`.
    let apply (c: GptConfig) (p: Gpt) (dropoutKey: Tensor option) (ids: Tensor) : Tensor =
        head p (hidden c p dropoutKey ids)

    /// Logits of the token after place `position` (an i32 or i64 scalar): integers `[B; T]` to `[B; vocab]`. What
    /// stands right of the place does not matter, so sequences may be padded there.
    let applyAt (c: GptConfig) (p: Gpt) (position: Tensor) (ids: Tensor) : Tensor =
        headAt p position (hidden c p None ids)

    /// Reads the beginning of texts: as `applyAt`, and what the blocks remember of it, with room for `room` places in all.
    /// What stands right of the position is remembered too, until `decode` writes over it.
    let prefill (c: GptConfig) (p: Gpt) (room: int) (position: Tensor) (ids: Tensor) : KvCache[] * Tensor =
        checkIds c ids
        if room < ids.Shape[1] || room > c.Context then
            Shape.fail
                "gpt"
                $"there must be room for the ids, and at most for the context, {c.Context}, not {room}"
                ""
                [ ids ]
        let embedded = Embedding.apply p.Wte ids + slice 0 0 ids.Shape[1] p.Wpe.Weight
        let caches, x = remembering c p (fun _ -> KvCache.start c.Heads room) embedded
        caches, headAt p position x

    /// Reads on: the ids `[B; T]` stand at `place` (an integer scalar) and after it, and the caches hold what stands before.
    /// The caches with them, and the logits of the token that follows the last, `[B; vocab]`. Compile it with
    /// `jitDonate`, so that the caches change where they are.
    let decode (c: GptConfig) (p: Gpt) (caches: KvCache[]) (place: Tensor) (ids: Tensor) : KvCache[] * Tensor =
        checkIds c ids
        let length = ids.Shape[1]
        let places = Op.dynamicSlice [| place; zerosLike place |] [| length; c.Embd |] p.Wpe.Weight
        let attend n = KvCache.extend c.Heads caches[n] place
        let caches, x = remembering c p attend (Embedding.apply p.Wte ids + places)
        caches, head p (select 1 -1 x)

    /// The mean cross-entropy of predicting targets `[B; T]` from ids `[B; T]`: a scalar.
    let loss (c: GptConfig) (p: Gpt) (dropoutKey: Tensor option) (ids: Tensor) (targets: Tensor) : Tensor =
        Loss.crossEntropy (apply c p dropoutKey ids) targets

    /// `H.0.Attn.CAttn.Weight` as `h.0.attn.c_attn.weight`, `LnF` as `ln_f`, `Ln1` as `ln_1`.
    let private checkpointName (path: string) =
        let text = StringBuilder()
        path
        |> Seq.iteri (fun i c ->
            let starts = i = 0 || path[i - 1] = '.'
            if not starts && (Char.IsUpper c || (Char.IsDigit c && Char.IsLetter path[i - 1])) then
                text.Append '_' |> ignore
            text.Append(Char.ToLowerInvariant c) |> ignore)
        text.ToString()

    /// The parameters with their names in checkpoints: `wte.weight`, `h.0.attn.c_attn.weight`, ..., `ln_f.weight`.
    /// The names are those of GPT-2; dense weights are `[out; in]`, as nanoGPT keeps them.
    let named (p: Gpt) : (string * Tensor)[] = Tree.named p |> Array.map (fun (path, t) -> checkpointName path, t)

    /// A GPT whose parameters are variables: what names, order and shapes a configuration has.
    let template (c: GptConfig) : Gpt = init (Op.input "key" DType.U32 [| 2 |]) c
