// A small GPT learns to write stories, character by character.
// Run with: dotnet fsi scripts/04-gpt.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open System.Diagnostics
open Nanograd

let clock = Stopwatch.StartNew()

// The text comes from a grammar: the same stories on every machine. A token is a character.
let text = Stories.generate 300_000 1L
let tokenizer = CharTokenizer.OfText text
printfn
    "%d characters, %d different ones; it begins:\n%s\n"
    text.Length
    tokenizer.VocabularySize
    (text.Substring(0, text.IndexOf '\n'))

// nanoGPT's small model with two layers, and its way of training: AdamW, warm-up and cosine, clipped gradients.
let config = { Gpt.small tokenizer.VocabularySize with Layers = 2 }
let data = LanguageData(tokenizer.Encode text, config.Context)
let steps = 400L
let options =
    { Train.nanoGpt with
        Steps = steps
        Rate = Warmup.nanoGpt 4e-3 4e-4 20L steps
        Validate = Due.Steps 100L
        Progress = Progress.Console }

let model = Gpt.init (Random.key options.Seed) config
printfn "%d parameters" (Tree.count model)

let objective = Objective.ofLoss (fun p key (ids, targets) -> Gpt.loss config p key ids targets)
let tensors (b: LanguageBatch) = b.InputTensor, b.TargetTensor
let batches = Train.endless (fun step -> tensors (data.Batch(12, options.Seed, step)))
let result = Train.fit options objective batches (data.Validation 48 |> Seq.map tensors) model
printfn "%O" result.History

// It writes on from the start of a line.
let sampling = { Sample.defaults with Temperature = 0.8; Seed = 7L }
let sample = Sample.gpt sampling config result.Parameters 400 (tokenizer.Encode "\n") |> tokenizer.Decode
let sentences = Stories.sentences ("\n" + sample)
let good = sentences |> Array.filter Stories.accepts |> Array.length
printfn "\n%s\n" (sample.Trim())
printfn "the grammar accepts %d of %d sentences; %.1f s in all" good sentences.Length clock.Elapsed.TotalSeconds

let first, last = result.History.Steps[0].Loss, Array.last result.History["val_loss"]
if last > 1.2 then failwith $"the loss fell only from {first:F2} to {last:F2}"
