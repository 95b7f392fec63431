// A GPT whose blocks have experts, against dense ones. Two experts of four see each token, so that a token meets as many
// multiplications as in the narrow dense net; the library computes all four, which is the cost of the wide one.
// Measured after 600 steps of 1024 characters, validation loss: dense 2.287, experts 2.282 (they cost 1.4 times the time), wide
// dense 2.289 (1.2 times). So early, capacity is not what is missing: the three are equal within noise.
// Run with: dotnet fsi scripts/17-moe.fsx   (after dotnet build -c Release; it reads ../shared/data/tinyshakespeare.txt)
#load "nanograd.fsx"

open System.IO
open Nanograd

let file = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "shared", "data", "tinyshakespeare.txt")
if not (File.Exists file) then
    printfn "%s is not there: nothing to learn from." file
    exit 0
let text = File.ReadAllText file
let tokenizer = CharTokenizer.OfText text
let context, width, heads, layers, steps = 64, 96, 4, 3, 600L
let data = LanguageData(tokenizer.Encode text, context)
let tensors (b: LanguageBatch) = b.InputTensor, b.TargetTensor
type Block =
    { Ln1: LayerNorm
      Attn: CausalSelfAttention
      Ln2: LayerNorm
      Mlp: MixtureOfExperts }
type Net =
    { Tokens: Embedding
      Places: Embedding
      Blocks: Block[]
      LnF: LayerNorm
      Head: Linear }

let init experts hidden key = // one expert is a dense net
    let part = Random.fold key
    let block i =
        let part = Random.fold (part (10 + i))
        let dense n outputs = Linear.init (part n) width outputs true
        { Ln1 = LayerNorm.init width true
          Attn = { CAttn = dense 0 (3 * width); CProj = dense 1 width }
          Ln2 = LayerNorm.init width true
          Mlp = MixtureOfExperts.init (part 2) experts width hidden }
    { Tokens = Embedding.init 1.0 (part 0) tokenizer.VocabularySize width
      Places = Embedding.init 0.02 (part 1) context width
      Blocks = Array.init layers block
      LnF = LayerNorm.init width true
      Head = Linear.init (part 2) width tokenizer.VocabularySize true }

/// Logits, and how uneven the experts' work is (1: even).
let run topK (p: Net) ids =
    let block (x, uneven) b =
        let x = x + CausalSelfAttention.apply heads 0.0 None b.Attn (LayerNorm.apply b.Ln1 x)
        let y, more = MixtureOfExperts.apply { MixtureOptions.Default with TopK = topK } b.Mlp (LayerNorm.apply b.Ln2 x)
        x + y, uneven + more / float layers
    let x, uneven = Array.fold block (Embedding.apply p.Tokens ids + p.Places.Weight, scalar 0.0) p.Blocks
    Linear.apply p.Head (LayerNorm.apply p.LnF x), uneven

let train name experts topK hidden =
    let loss p (key: Tensor option) (ids, targets) =
        let logits, uneven = run topK p ids
        let loss = Loss.crossEntropy logits targets
        if key.IsSome then loss + 0.01 * uneven else loss // there is a key in training
    let options =
        { Train.nanoGpt with
            Steps = steps
            Rate = Warmup.cosine 2e-3 50L steps 0.5
            Clipping = Clipping.Nothing
            Validate = Due.Steps steps }
    let batches = Train.endless (fun step -> tensors (data.Batch(16, 1L, step)))
    let start = init experts hidden (Random.key 1L)
    let result = Train.fit options (Objective.ofLoss loss) batches (data.Validation 128 |> Seq.map tensors) start
    let loss = Array.last result.History["val_loss"]
    let ms = 1000.0 * (Seq.last result.History.Steps).Seconds / float steps
    let size = Tree.leaves start |> Array.sumBy _.Count
    printfn "%s: %d parameters, validation loss %.3f, %.0f ms a step" name size loss ms
    loss

let narrow = train "dense, hidden 384" 1 1 384
let mixture = train "two of four experts, hidden 192" 4 2 192
let wide = train "dense, hidden 768" 1 1 768
if List.max [ narrow; mixture; wide ] > 2.4 then failwith "not learnt"
