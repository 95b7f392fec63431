// An LSTM that learns Shakespeare's characters (A. Karpathy's char-rnn): one layer of 256, windows of 100 characters.
// Measured after 600 steps of 32 windows: 1.706 nats a character on the last tenth of the text, 59 s on two cores with other work.
// Run with: dotnet fsi scripts/15-char-lstm.fsx   (after dotnet build -c Release; it reads ../shared/data/tinyshakespeare.txt)
#load "nanograd.fsx"

open System.IO
open Nanograd

let file = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "shared", "data", "tinyshakespeare.txt")
if not (File.Exists file) then
    printfn "%s is not there: nothing to learn from." file
    exit 0
let text = File.ReadAllText file
let tokenizer = CharTokenizer.OfText text
let data = LanguageData(tokenizer.Encode text, 100) // the first nine tenths train, the last one validates
let tensors (b: LanguageBatch) = b.InputTensor, b.TargetTensor
let steps, hidden = 600L, 256

type Net = { Embedding: Embedding; Cells: Recurrent; Head: Linear }

let lstm = { RecurrentOptions.Of(64, hidden) with BatchFirst = true }
let init key =
    { Embedding = Embedding.init 1.0 (Random.fold key 0) tokenizer.VocabularySize 64
      Cells = LSTM.init (Random.fold key 1) lstm
      Head = Linear.init (Random.fold key 2) hidden tokenizer.VocabularySize true }

/// Logits of the next characters `[B; T; vocabulary]`, and the state to go on from.
let run (p: Net) key state ids =
    let outputs, last = Embedding.apply p.Embedding ids |> LSTM.apply lstm p.Cells key state None
    Linear.apply p.Head outputs, last

let options =
    { Train.defaults with
        Steps = steps
        Rate = Warmup.nanoGpt 5e-3 2e-4 0L steps
        Clipping = Clipping.Norm 1.0
        Validate = Due.Steps 200L
        OnEvaluation = [ fun e -> printfn "step %d: validation loss %.3f" e.Step e.Values["val_loss"] ] }
let objective = Objective.supervised [] Loss.crossEntropy (fun p key ids -> fst (run p key None ids))
let batches = Train.endless (fun step -> tensors (data.Batch(32, 1L, step)))
let result = Train.fit options objective batches (data.Validation 223 |> Seq.map tensors) (init (Random.key 1L))
let loss = Array.last result.History["val_loss"]
printfn "%.3f nats a character after %.0f s" loss (Seq.last result.History.Steps).Seconds

// ---- it writes: one compiled program for a character, from the state after the last one

let next =
    jit (fun (p: Net) (key: Tensor, id: Tensor, h: Tensor, c: Tensor) ->
        let logits, (h, c) = run p None (Some(h, c)) id
        Random.categorical logits key [| 1; 1 |], h, c)
let write count =
    let start = ofArray DType.I64 [| 1; 1 |] [| int64 (Array.head (tokenizer.Encode "\n")) |]
    let step (id, h, c) i = next result.Parameters (eval (Random.fold (Random.key 2L) i), id, h, c)
    let state = zeros [| 1; 1; hidden |] |> eval
    let ids = Seq.scan step (start, state, state) [ 1..count ] |> Seq.map (fun (id, _, _) -> int (item id))
    tokenizer.Decode(Seq.toArray ids)
printfn "%s" (write 300)
if loss > 1.75 then failwith "not learnt"
