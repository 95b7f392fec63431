/// Language models: training, reading a prompt, writing on.
module Nanograd.Bench.Cases.Language

open System.Collections.Generic
open Nanograd
open Nanograd.Bench
open Nanograd.Bench.Make

/// Operations of a forward pass over rows of a full context. Attention counts all places, also those that are masked.
let private flop (c: GptConfig) rows context =
    let embd = float c.Embd
    let perToken = float c.Layers * (24.0 * embd * embd + 4.0 * float context * embd) + 2.0 * embd * float c.Vocab
    float (rows * context) * perToken

/// GPT-2's start, but no norm is one and no bias zero, so that mistakes in them show.
let private start (c: GptConfig) : Gpt =
    let shifted n (t: Tensor) = if t.Rank = 1 then t + 0.02 * Random.normal (Random.key (100L + int64 n)) t.Shape else t
    let p = Gpt.init (Random.key 1L) c
    eval (Tree.rebuild p (Array.mapi shifted (Tree.leaves p)))

let private training name (c: GptConfig) rows context options =
    let config = $"training step, {c.Layers} layers of {c.Embd}, {c.Heads} heads, {rows} x {context} tokens, AdamW"
    arithmetic name config (3.0 * flop c rows context) (fun () ->
        let tokens n = below c.Vocab n [| rows; context |]
        let loss p (ids, targets) = Gpt.loss c p None ids targets
        ofTraining options loss (start c) (tokens 2L, tokens 3L))
    |> afterAdam

/// nanoGPT's models of characters: no biases, exact gelu, decay 0.1, gradients clipped at a norm of 1.
let private chars name layers heads embd context =
    let c =
        { Gpt.small 65 with
            Layers = layers
            Heads = heads
            Embd = embd
            Context = context }
    training
        name
        c
        12
        context
        { Train.nanoGpt with
            Rate = LearningRate.constant 1e-3
            NanGuard = NanGuard.Off }

/// GPT-2 of 124 M parameters.
let private gpt2 =
    { Vocab = 50257
      Context = 1024
      Layers = 12
      Heads = 12
      Embd = 768
      Dropout = 0.0
      Bias = true
      TiedHead = true
      TanhGelu = true }

/// The logits of all places of a prompt.
let private prefill =
    let length = 256
    arithmetic "gpt2_prefill256" "GPT-2 124M reads 256 tokens, all logits" (flop gpt2 1 length) (fun () ->
        ofFunction (fun (p, ids) -> Gpt.apply gpt2 p None ids) (start gpt2, below gpt2.Vocab 2L [| 1; length |]))

/// Writing on, one token after another, with the keys and values of all places before kept.
module private Decode =
    let prompt, tokens = 16, 32

    let prepare () : Work =
        let p, ids = start gpt2, below gpt2.Vocab 2L [| prompt |]
        let given = toArray<int64> ids |> Array.map int
        let reader = GptReader gpt2
        let read (text: List<int>) = reader.Logits(p, text)
        let largest logits = Sample.next { Sample.defaults with Greedy = true } 0L logits
        /// Once more from the places after the prompt, beginning with its first token, as the peer does.
        let write () =
            let text = List<int>(given)
            text.Add given[0]
            for _ in 2..tokens do
                text.Add(largest (read text))
            read text
        { Operands = Array.append (Tree.leaves p) [| ids |]
          First = fun () -> [| ofArray DType.F32 [| gpt2.Vocab |] (write ()) |]
          Again = write >> ignore }

    let case =
        let weights = 12 * 12 * 768 * 768 + 50257 * 768
        { reading "gen_gpt2" "GPT-2 124M writes 32 tokens after 16, one at a time; ms per token" (float weights) prepare with
            Flop = 2.0 * float weights
            Units = tokens }

let all =
    [ chars "gpt_char_small" 4 4 128 64
      chars "gpt_char_full" 6 6 384 256
      chars "gpt_char_1head" 3 1 96 100
      chars "gpt_char_16heads" 3 16 240 77
      training "gpt2_train_b4t64" gpt2 4 64 { adam with Rate = LearningRate.constant 1e-4 }
      prefill
      Decode.case ]
