namespace Nanograd

open System
open System.Collections.Generic

/// How the next token is chosen.
type SampleOptions =
    {
        /// Logits are divided by it; 0 is greedy.
        Temperature: float
        /// Only the k largest logits count; None for all.
        TopK: int option
        /// Only the most likely tokens that together reach this probability count; 1 for all.
        TopP: float
        /// Always the largest logit.
        Greedy: bool
        Seed: int64
    }

/// Choosing tokens from logits, and generating texts.
[<RequireQualifiedAccess>]
module Sample =
    /// Temperature 1, everything allowed, seed 0.
    let defaults = { Temperature = 1.0; TopK = None; TopP = 1.0; Greedy = false; Seed = 0L }

    /// Raises an ArgumentException with one sentence if an option makes no sense.
    let check (o: SampleOptions) : unit =
        if not (o.Temperature >= 0.0 && Double.IsFinite o.Temperature) then
            raise (ArgumentException $"The temperature must be 0 or more, not {o.Temperature}.")
        if not (o.TopP > 0.0 && o.TopP <= 1.0) then
            raise (ArgumentException $"top-p must be above 0 and at most 1, not {o.TopP}.")
        match o.TopK with
        | Some k when k < 1 -> raise (ArgumentException $"top-k must be at least 1, not {k}.")
        | Some _
        | None -> ()

    let private largest (logits: float32[]) =
        let mutable best = 0
        for i in 1 .. logits.Length - 1 do
            if logits[i] > logits[best] then best <- i
        best

    /// The next token, from the logits of all tokens. The same logits, options and position give the same token.
    let next (o: SampleOptions) (position: int64) (logits: float32[]) : int =
        check o
        if logits.Length = 0 then raise (ArgumentException "There are no logits to choose from.")
        if logits |> Array.exists (fun x -> Single.IsNaN x || Single.IsPositiveInfinity x) then
            raise (
                IO.InvalidDataException
                    "The model's logits are not finite numbers, so no token can be chosen; its weights are damaged."
            )
        if o.Greedy || o.Temperature = 0.0 then
            largest logits
        else
            // Largest first; ties by index, so that the order is the same everywhere.
            let order = Array.init logits.Length id
            Array.Sort(
                order,
                Comparison(fun a b ->
                    match compare logits[b] logits[a] with
                    | 0 -> compare a b
                    | c -> c)
            )
            let most =
                match o.TopK with
                | Some k when k < order.Length ->
                    // As nanoGPT: everything at least as large as the k-th, ties included.
                    let least = logits[order[k - 1]]
                    order |> Array.takeWhile (fun t -> logits[t] >= least)
                | Some _
                | None -> order
            let top = float logits[most[0]]
            let weights = most |> Array.map (fun t -> Math.Exp((float logits[t] - top) / o.Temperature))
            let total = Array.sum weights
            let mutable kept, mass = 0, 0.0
            while kept < weights.Length && (kept = 0 || mass < o.TopP * total) do
                mass <- mass + weights[kept]
                kept <- kept + 1
            let target = Counter.uniform (Counter.key o.Seed Counter.tokens position) 0 * mass
            let mutable i, running = 0, weights[0]
            while i < kept - 1 && running <= target do
                i <- i + 1
                running <- running + weights[i]
            most[i]

    /// The lengths that windows are padded to: 16, 32, ... and the context. A program is compiled for each that is
    /// used.
    let windowLengths (context: int) : int[] =
        if context < 1 then raise (ArgumentException $"The context must be at least 1, not {context}.")
        [| yield! Seq.initInfinite (fun i -> 16L <<< i) |> Seq.takeWhile (fun n -> n < int64 context) |> Seq.map int
           context |]

    /// Generates tokens after a prompt, lazily. `forward` gets a window of token ids (its length one of
    /// `windowLengths`, padded with zeros on the right) and the index of its last real token, and gives the logits of
    /// the token that follows. Only the last `context` tokens are looked at.
    let generate
        (o: SampleOptions)
        (context: int)
        (forward: int[] -> int -> float32[])
        (tokens: int)
        (prompt: int[])
        : seq<int> =
        check o
        if prompt.Length = 0 then raise (ArgumentException "The prompt must have at least one character.")
        if tokens < 0 then raise (ArgumentException $"The number of tokens must be 0 or more, not {tokens}.")
        let lengths = windowLengths context
        seq {
            let all = List<int>(prompt)
            for position in 0 .. tokens - 1 do
                let real = min context all.Count
                let window: int[] = Array.zeroCreate (Array.find (fun n -> n >= real) lengths)
                all.CopyTo(all.Count - real, window, 0, real)
                let token = next o (int64 position) (forward window (real - 1))
                all.Add token
                yield token
        }

    /// The forward function of a GPT, compiled once for each window length.
    let gptForward (c: GptConfig) (p: Gpt) : int[] -> int -> float32[] =
        let run = jit (fun (p, ids, position) -> Gpt.applyAt c p position ids)
        fun window last ->
            let ids = ofArray DType.I32 [| 1; window.Length |] window
            toArray<float32>(run (p, ids, ofArray DType.I32 [||] [| last |]))
