// A Transformer that reverses sequences of digits: embeddings, an encoder, a decoder that sees what it has said so far.
// Measured after 600 steps of 64 sequences: 1000 of 1000 new ones are reversed without a mistake; 19 s on two cores with other work.
// Run with: dotnet fsi scripts/16-seq2seq.fsx   (after dotnet build -c Release)
#load "nanograd.fsx"

open Nanograd

let length, digits, width, rows, steps = 12, 10, 64, 64, 600L

type Net =
    { Digits: Embedding // the last row is the start sign
      Places: Embedding
      Transformer: Transformer
      Head: Linear }

let init key =
    let part = Random.fold key
    { Digits = Embedding.init 1.0 (part 0) (digits + 1) width
      Places = Embedding.init 1.0 (part 1) length width
      Transformer = Transformer.init (part 2) 2 2 width 128
      Head = Linear.init (part 3) width digits true }

let options = { TransformerOptions.Of 4 with BatchFirst = true; Dropout = 0.0 }
let masks = { TransformerMasks.None with Self = Some(AttentionMask.causal length) }

/// The start sign, and all digits but the last.
let shifted (answer: Tensor) =
    concat 1 [ full answer.DType [| answer.Shape[0]; 1 |] (float digits); slice 1 0 (length - 1) answer ]

/// Logits `[B; T; 10]` of each digit of the answer, given the source and the digits before it.
let apply (p: Net) key (source, before) =
    let embed ids = Embedding.apply p.Digits ids + p.Places.Weight
    Transformer.apply options key None None masks p.Transformer (embed source) (embed before) |> Linear.apply p.Head

/// Sequences `[rows; length]`, and their mirror images.
let problem rows key =
    let source = Random.integers 0 digits key [| rows; length |]
    source, flip [ 1 ] source

let batch =
    jit (fun key ->
        let source, target = problem rows key
        (source, shifted target), target)

let result =
    let options =
        { Train.defaults with
            Steps = steps
            Method = Method.Of(Optim.adam Optim.adamDefaults)
            Rate = Warmup.cosine 2e-3 50L steps 0.5
            Validate = Due.Steps 200L
            OnEvaluation = [ fun e -> printfn "step %d: accuracy %.4f" e.Step e.Values["val_accuracy"] ] }
    let objective = Objective.supervised [ Metric.accuracy ] Loss.crossEntropy apply
    let at seed (i: int64) = batch (eval (Random.fold (Random.key seed) (int i)))
    Train.fit options objective (Train.endless (at 1L)) [ at 2L 0L ] (init (Random.key 3L))

/// Greedy answers: each pass over the whole answer makes one more of its digits final.
let reply =
    jit (fun (p: Net) (source: Tensor) ->
        let improve _ answer = cast source.DType (argMax -1 (apply p None (source, shifted answer)))
        forLoop length improve (zerosLike source))

let source, target = problem 1000 (Random.key 4L)
let right = allOver [ 1 ] (eq (reply result.Parameters (eval source)) target) |> cast DType.F32 |> sum |> item
let seconds = (Seq.last result.History.Steps).Seconds
printfn "%g of 1000 new sequences are reversed without a mistake, after %.0f s" right seconds
if right < 1000.0 then failwith "not all"
