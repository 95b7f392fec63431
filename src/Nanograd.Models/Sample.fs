namespace Nanograd

open System
open System.Buffers
open System.Collections.Generic
open System.Numerics

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

/// The indices of numbers in descending order of the numbers, equal ones in ascending order of the indices. They are found as
/// far as somebody asks: few of a large vocabulary are.
[<Sealed>]
type private Ranking(numbers: float32[]) =
    // What stands in the heap, and after it in reverse what has left it: an ascending key for the number, and the index.
    let keys = ArrayPool<uint64>.Shared.Rent numbers.Length
    let mutable size = numbers.Length

    let rec sift (i: int) (key: uint64) =
        let left = 2 * i + 1
        let child = if left + 1 < size && keys[left + 1] < keys[left] then left + 1 else left
        if left < size && keys[child] < key then
            keys[i] <- keys[child]
            sift child key
        else
            keys[i] <- key

    do
        for i in 0 .. numbers.Length - 1 do
            let bits = BitConverter.SingleToInt32Bits(numbers[i] + 0.0f) // there is one zero only
            let ascending = if bits < 0 then ~~~bits else bits ^^^ Int32.MinValue
            keys[i] <- (uint64 (uint32 ~~~ascending) <<< 32) ||| uint64 i
        for i in numbers.Length / 2 - 1 .. -1 .. 0 do
            sift i keys[i]

    /// The index of the number that has this place.
    member _.Item(rank: int) : int =
        while numbers.Length - size <= rank do
            let first = keys[0]
            size <- size - 1
            if size > 0 then sift 0 keys[size]
            keys[size] <- first
        int (uint32 keys[numbers.Length - 1 - rank])

    interface IDisposable with
        member _.Dispose() = ArrayPool<uint64>.Shared.Return keys

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

    /// The index of the largest number, the first one of equals.
    let private largest (logits: float32[]) =
        let mutable most = Vector<float32> logits[0]
        let mutable i = 0
        while i <= logits.Length - Vector<float32>.Count do
            most <- Vector.Max(most, Vector<float32>(logits, i))
            i <- i + Vector<float32>.Count
        let mutable best = logits[0]
        for lane in 0 .. Vector<float32>.Count - 1 do
            best <- max best most[lane]
        for rest in i .. logits.Length - 1 do
            best <- max best logits[rest]
        Array.IndexOf(logits, best)

    let private checkLogits (logits: float32[]) =
        if logits.Length = 0 then raise (ArgumentException "There are no logits to choose from.")
        for x in logits do
            if Single.IsNaN x || Single.IsPositiveInfinity x then
                raise (
                    IO.InvalidDataException
                        "The model's logits are not finite numbers, so no token can be chosen; its weights are damaged."
                )

    /// One of the weights' indices, each with the probability that its weight has among those that count. They come largest
    /// first, and are only asked for as far as needed.
    let private draw (o: SampleOptions) (position: int64) (total: float) (count: int) (weight: int -> float) : int =
        let mutable kept, mass = count, total
        if o.TopP < 1.0 then
            kept <- 0
            mass <- 0.0
            while kept < count && (kept = 0 || mass < o.TopP * total) do
                mass <- mass + weight kept
                kept <- kept + 1
        let target = Counter.uniform (Counter.key o.Seed Counter.tokens position) 0 * mass
        let mutable i, running = 0, weight 0
        while i < kept - 1 && running <= target do
            i <- i + 1
            running <- running + weight i
        i

    /// The next token, from the logits of all tokens. The same logits, options and position give the same token.
    let next (o: SampleOptions) (position: int64) (logits: float32[]) : int =
        check o
        checkLogits logits
        if o.Greedy || o.Temperature = 0.0 then
            largest logits
        else
            use ranking = new Ranking(logits)
            let top = float logits[ranking[0]]
            let weight token = Math.Exp((float logits[token] - top) / o.Temperature)
            let count =
                match o.TopK with
                | Some k when k < logits.Length ->
                    // As nanoGPT: everything at least as large as the k-th, ties included.
                    let least = logits[ranking[k - 1]]
                    let mutable n = k
                    while n < logits.Length && logits[ranking[n]] = least do
                        n <- n + 1
                    n
                | Some _
                | None -> logits.Length
            let mutable total = 0.0
            for i in 0 .. count - 1 do
                total <- total + weight (if count < logits.Length then ranking[i] else i)
            ranking[draw o position total count (fun i -> weight ranking[i])]

    /// The lengths that windows are padded to: 16, 32, ... and the context. A program is compiled for each that is
    /// used.
    let windowLengths (context: int) : int[] = Gpt.windowLengths context

    /// `start` is called for each enumeration, and what it gives for each token.
    let private generated o (start: unit -> List<int> -> float32[]) (tokens: int) (prompt: int[]) : seq<int> =
        check o
        if prompt.Length = 0 then raise (ArgumentException "The prompt must have at least one character.")
        if tokens < 0 then raise (ArgumentException $"The number of tokens must be 0 or more, not {tokens}.")
        seq {
            let logits, text = start (), List<int>(prompt)
            for position in 0 .. tokens - 1 do
                let token = next o (int64 position) (logits text)
                text.Add token
                yield token
        }

    /// Generates tokens after a prompt, lazily, with any model. `forward` gets a window of token ids (its length one of
    /// `windowLengths`, padded with zeros on the right) and the index of its last real token, and gives the logits of
    /// the token that follows. Only the last `context` tokens are looked at.
    let generate
        (o: SampleOptions)
        (context: int)
        (forward: int[] -> int -> float32[])
        (tokens: int)
        (prompt: int[])
        : seq<int> =
        let lengths = windowLengths context
        let logits (text: List<int>) =
            let real = min context text.Count
            let window: int[] = Array.zeroCreate (Array.find (fun n -> n >= real) lengths)
            text.CopyTo(text.Count - real, window, 0, real)
            forward window (real - 1)
        generated o (fun () -> logits) tokens prompt

    /// The forward function of a GPT, compiled once for each window length: what `generate` may use, and computes all
    /// places for every token. `gpt` does not.
    let gptForward (c: GptConfig) (p: Gpt) : int[] -> int -> float32[] =
        let run = jit (fun (p, ids, position) -> Gpt.applyAt c p position ids)
        fun window last ->
            let ids = ofArray DType.I32 [| 1; window.Length |] window
            toArray<float32>(run (p, ids, ofArray DType.I32 [||] [| last |]))

    /// Generates tokens after a prompt, lazily, with a GPT, which reads each token once while they fit into its context;
    /// afterwards all of the last `Context` tokens for every token. The parameters are asked for before each token.
    let gptOf (o: SampleOptions) (c: GptConfig) (parameters: unit -> Gpt) (tokens: int) (prompt: int[]) : seq<int> =
        let start () =
            let reader = GptReader c
            fun text -> reader.Logits(parameters (), text)
        generated o start tokens prompt

    /// Generates tokens after a prompt, lazily, with a GPT, which reads each token once while they fit into its context.
    let gpt (o: SampleOptions) (c: GptConfig) (p: Gpt) (tokens: int) (prompt: int[]) : seq<int> =
        gptOf o c (fun () -> p) tokens prompt
