namespace Nanograd

open System
open System.Collections.Concurrent
open System.Collections.Generic

/// What a reader knows after a text: what the blocks remember, and the logits of the token that follows.
[<NoComparison>]
type private Memory = { Caches: KvCache[]; Logits: Tensor }

/// A configuration's compiled steps, which all readers share.
[<Sealed>]
type private GptPrograms(c: GptConfig) =
    static let made = ConcurrentDictionary<GptConfig, GptPrograms>()
    let lengths = Gpt.windowLengths c.Context

    /// Room for at least so many places: 64, 128, ... or the context.
    let roomFor places = lengths |> Array.find (fun n -> n >= min c.Context (max places 64))

    static member Of(c: GptConfig) = made.GetOrAdd(c, GptPrograms)
    member _.Lengths = lengths
    member _.RoomFor(places) = roomFor places

    /// Parameters, a window, the place of its last token.
    member val Start =
        jit (fun (p, ids: Tensor, position) ->
            let caches, logits = Gpt.prefill c p (roomFor ids.Shape[1]) position ids
            { Caches = caches; Logits = cast DType.F32 logits })

    /// Memory, and parameters, a token, its place. The logits before are donated too: their memory becomes that of the new
    /// ones.
    member val Next =
        jitDonate (fun memory (p, ids, place) ->
            let caches, logits = Gpt.decode c p memory.Caches place ids
            { Caches = caches; Logits = cast DType.F32 logits })

    /// As `Start`, with nothing remembered.
    member val Anew = jit (fun (p, ids, position) -> cast DType.F32 (Gpt.applyAt c p position ids))

/// Reads texts that grow: a text that is the last one, or a beginning of it, and one token more costs the work of one token,
/// because keys and values of what was read are kept, in memory that each step changes where it is. The room for them doubles when it is
/// full, and a program is compiled for each size. A text longer than the context is computed anew from its last `Context`
/// tokens, because all its places move. Not for two threads at once.
[<Sealed>]
type GptReader(c: GptConfig) =
    let programs = GptPrograms.Of c
    let logits: float32[] = Array.zeroCreate c.Vocab
    let read = List<int>()
    let mutable memory: Memory voption = ValueNone
    let mutable given, values = Unchecked.defaultof<Gpt>, Unchecked.defaultof<Gpt>

    let scalar (i: int) = ofArray DType.I32 [||] [| i |]

    /// The last tokens of a text, with zeros behind them.
    let window (text: IReadOnlyList<int>) =
        let count = min c.Context text.Count
        let ids = Array.zeroCreate (Array.find (fun n -> n >= count) programs.Lengths)
        for i in 0 .. count - 1 do
            ids[i] <- text[text.Count - count + i]
        struct (ofArray DType.I32 [| 1; ids.Length |] ids, scalar (count - 1))

    /// Has all but the last token been read? Then what was read after those is forgotten.
    let goesOn (text: IReadOnlyList<int>) =
        let mutable common = 0
        while common < read.Count && common < text.Count - 1 && read[common] = text[common] do
            common <- common + 1
        read.RemoveRange(common, read.Count - common)
        common = text.Count - 1

    let roomy memory =
        if read.Count < KvCache.room memory.Caches[0] then
            memory
        else
            { memory with
                Caches = memory.Caches |> Array.map (KvCache.grow (programs.RoomFor(read.Count + 1))) |> eval }

    let compute (text: IReadOnlyList<int>) : Tensor =
        let known = memory
        memory <- ValueNone // until the step has succeeded
        if text.Count > c.Context then
            let struct (ids, position) = window text
            programs.Anew(values, ids, position)
        else
            let after =
                match known with
                | ValueSome before when goesOn text ->
                    let token = ofArray DType.I32 [| 1; 1 |] [| text[read.Count] |]
                    programs.Next (roomy before) (values, token, scalar read.Count)
                | ValueSome _
                | ValueNone ->
                    let struct (ids, position) = window text
                    read.Clear()
                    read.AddRange(Seq.truncate (text.Count - 1) text)
                    programs.Start(values, ids, position)
            read.Add text[text.Count - 1]
            memory <- ValueSome after
            after.Logits

    /// The logits of the token that follows a text, which has at least one token. The next call overwrites the array.
    member _.Logits(p: Gpt, text: IReadOnlyList<int>) : float32[] =
        if text.Count = 0 then raise (ArgumentException "There must be at least one token to read.")
        if not (Object.ReferenceEquals(p, given)) then
            memory <- ValueNone
            values <- eval p
            given <- p
        let result = compute text
        (Buffers.span<float32>(Program.storage result)).CopyTo(Span logits)
        GC.KeepAlive result
        logits
