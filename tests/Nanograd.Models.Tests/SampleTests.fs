module Nanograd.Models.Tests.SampleTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

let private logits = [| 1.0f; 3.0f; 2.0f; -1.0f |]
let private drawn options logits = [| for i in 0L .. 4999L -> Sample.next options i logits |]

[<Test>]
let ``greedy and temperature zero take the first largest`` () =
    Assert.That(drawn { Sample.defaults with Greedy = true } logits |> Array.distinct, Is.EqualTo<int[]> [| 1 |])
    Assert.That(
        drawn { Sample.defaults with Temperature = 0.0 } [| 2.0f; 2.0f |] |> Array.distinct,
        Is.EqualTo<int[]> [| 0 |]
    )

[<Test>]
let ``shares of the tokens are those of softmax`` () =
    let check temperature =
        let weights = logits |> Array.map (fun x -> Math.Exp(float x / temperature))
        let counts = drawn { Sample.defaults with Temperature = temperature } logits |> Array.countBy id |> dict
        weights
        |> Array.iteri (fun i w ->
            let share =
                match counts.TryGetValue i with
                | true, n -> float n / 5000.0
                | _ -> 0.0
            Assert.That(share, Is.EqualTo(w / Array.sum weights).Within 0.025))
    check 1.0
    check 2.0

[<Test>]
let ``top-k and top-p keep the most likely`` () =
    let kept o = drawn o logits |> Array.distinct |> Array.sort
    Assert.That(kept { Sample.defaults with TopK = Some 2 }, Is.EqualTo<int[]> [| 1; 2 |])
    Assert.That(kept { Sample.defaults with TopK = Some 99; Temperature = 5.0 }, Is.EqualTo<int[]> [| 0..3 |])
    Assert.That(
        kept { Sample.defaults with TopP = 0.5 },
        Is.EqualTo<int[]> [| 1 |],
        "the first alone has more than half"
    )
    Assert.That(kept { Sample.defaults with TopP = 0.7 }, Is.EqualTo<int[]> [| 1; 2 |])
    Assert.That(
        drawn { Sample.defaults with TopK = Some 1 } [| 1.0f; 1.0f |] |> Array.distinct |> Array.length,
        Is.EqualTo 2,
        "ties stay, as in nanoGPT"
    )

[<Property>]
let ``a token depends on seed and position alone`` (seed: int64, position: uint16) =
    let o = { Sample.defaults with Seed = seed }
    let token = Sample.next o (int64 position) logits
    token = Sample.next o (int64 position) logits && token >= 0 && token < 4

[<Test>]
let ``impossible options are refused in one sentence`` () =
    let refuse o parts = raises<ArgumentException> parts (fun () -> Sample.next o 0L logits |> ignore)
    refuse { Sample.defaults with Temperature = -1.0 } [ "temperature"; "-1" ]
    refuse { Sample.defaults with Temperature = nan } [ "temperature" ]
    refuse { Sample.defaults with TopP = 0.0 } [ "top-p" ]
    refuse { Sample.defaults with TopP = 1.5 } [ "top-p"; "1.5" ]
    refuse { Sample.defaults with TopK = Some 0 } [ "top-k"; "0" ]
    raises<System.IO.InvalidDataException> [ "not finite" ] (fun () ->
        Sample.next Sample.defaults 0L [| nanf; 1.0f |] |> ignore)

[<Test>]
let ``windows have few lengths and end with the last real token`` () =
    Assert.That(Sample.windowLengths 64, Is.EqualTo<int[]> [| 16; 32; 64 |])
    Assert.That(Sample.windowLengths 100, Is.EqualTo<int[]> [| 16; 32; 64; 100 |])
    Assert.That(Sample.windowLengths 5, Is.EqualTo<int[]> [| 5 |])
    let seen = Collections.Generic.List<int[] * int>()
    let forward (window: int[]) last =
        seen.Add((Array.copy window, last))
        Array.init 50 (fun i -> if i = (window[last] + 1) % 50 then 9.0f else 0.0f)
    let greedy = { Sample.defaults with Greedy = true }
    let tokens = Sample.generate greedy 20 forward 40 [| 3 |] |> Seq.toArray
    Assert.That(tokens, Is.EqualTo<int[]> [| for i in 4..43 -> i |])
    Assert.That(seen |> Seq.map (fun (w, _) -> w.Length) |> Seq.distinct, Is.EqualTo<int[]> [| 16; 20 |])
    let window, last = seen[39]
    Assert.That(window, Is.EqualTo<int[]> [| 23..42 |])
    Assert.That(last, Is.EqualTo 19)

[<Test>]
let ``generation is lazy and needs a prompt`` () =
    let mutable calls = 0
    let forward _ _ =
        calls <- calls + 1
        [| 1.0f |]
    Sample.generate Sample.defaults 8 forward 1000 [| 0 |] |> Seq.truncate 3 |> Seq.iter ignore
    Assert.That(calls, Is.EqualTo 3)
    raises<ArgumentException> [ "prompt" ] (fun () -> Sample.generate Sample.defaults 8 forward 1 [||] |> ignore)

[<Test>]
let ``a GPT generates the same tokens as without padding`` () =
    let c = { Gpt.small 9 with Context = 20; Layers = 1; Heads = 2; Embd = 8 }
    let p = Gpt.init (Random.key 2L) c |> Tree.map (fun t -> t * 10.0) |> eval
    let forward = Sample.gptForward c p
    let padded = Sample.generate { Sample.defaults with Seed = 4L } c.Context forward 24 [| 1; 2 |] |> Seq.toArray
    let plain (window: int[]) last =
        Gpt.apply c p None (i32 [ 1; last + 1 ] (List.ofArray window[..last]))
        |> slice 1 last (last + 1)
        |> floats
        |> Array.map float32
    let exact = Sample.generate { Sample.defaults with Seed = 4L } c.Context plain 24 [| 1; 2 |] |> Seq.toArray
    Assert.That(padded, Is.EqualTo<int[]> exact)

let private close tolerance expected actual = assertClose tolerance "logits" expected actual

/// A model whose logits differ enough for texts to differ, and its logits after a text without any cache or padding.
let private lively (c: GptConfig) =
    let p = Gpt.init (Random.key 2L) c |> Tree.map (fun t -> t * 5.0) |> eval
    let plain (text: seq<int>) =
        let seen = Seq.toList text |> fun t -> List.skip (max 0 (t.Length - c.Context)) t
        Gpt.apply c p None (i32 [ 1; seen.Length ] seen) |> select 1 -1 |> floats
    p, plain

let private odd =
    { Gpt.small 19 with
        Context = 150
        Layers = 2
        Heads = 3
        Embd = 33
        Bias = true }

[<TestCase(false)>]
[<TestCase(true)>]
let ``a GPT that remembers writes what one writes that does not`` greedy =
    let c = { odd with TiedHead = greedy; TanhGelu = greedy }
    let p, plain = lively c
    let o = { Sample.defaults with Greedy = greedy; Seed = 4L; TopK = Some 12; TopP = 0.9 }
    let recomputed = Sample.generate o c.Context (Sample.gptForward c p) 160 [| 1; 2 |] |> Seq.toArray
    // Through all sizes of the cache, and beyond the context.
    let text = Collections.Generic.List [| 1; 2 |]
    let reader = GptReader c
    for token in Sample.gpt o c p 160 [| 1; 2 |] do
        close 1e-4 (plain text) (reader.Logits(p, text) |> Array.map float)
        text.Add token
    Assert.That(Seq.skip 2 text, Is.EqualTo<int[]> recomputed)

[<Test>]
let ``a reader goes back, jumps, and notices other parameters`` () =
    let p, plain = lively odd
    let q = Tree.map (fun (t: Tensor) -> t * 0.5) p |> eval
    let reader = GptReader odd
    let holds (text: int list) = close 1e-4 (plain text) (reader.Logits(p, text) |> Array.map float)
    for text in
        [ [ 3; 4; 5 ]; [ 3; 4; 5; 6 ]; [ 3; 4; 7 ]; [ 3; 4; 7; 1 ]; [ 9 ]; [ 9 ]; List.init 64 (fun i -> i % 19) ] do
        holds text
    holds (List.init 65 (fun i -> i % 19))
    let other = Gpt.apply odd q None (i32 [ 1; 2 ] [ 3; 4 ]) |> select 1 -1 |> floats
    close 1e-4 other (reader.Logits(q, [ 3; 4 ]) |> Array.map float)
    holds [ 3; 4; 8 ]
    raises<ArgumentException> [ "one token" ] (fun () -> reader.Logits(p, []) |> ignore)

[<Test>]
let ``an id outside the vocabulary is an error that a reader survives`` () =
    let p, plain = lively odd
    let reader = GptReader odd
    reader.Logits(p, [ 3; 4 ]) |> ignore
    raises<IndexException> [ "99" ] (fun () -> reader.Logits(p, [ 3; 4; 99 ]) |> ignore)
    close 1e-4 (plain [ 3; 4; 8 ]) (reader.Logits(p, [ 3; 4; 8 ]) |> Array.map float)

[<Test>]
let ``several texts at once, several tokens at once`` () =
    let p, _ = lively odd
    let ids = i32 [ 3; 14 ] (List.init 42 (fun i -> i * 7 % 19))
    let all = Gpt.apply odd p None ids
    let int (i: int) = i32 [] [ i ]
    let mutable caches, logits = Gpt.prefill odd p 32 (int 6) (slice 1 0 7 ids)
    close 1e-4 (floats (select 1 6 all)) (floats logits)
    let step = jitDonate (fun caches (place, ids) -> Gpt.decode odd p caches place ids)
    caches <- Values.own caches
    for place, count in [ 7, 1; 8, 4; 12, 2 ] do
        let next, logits = step caches (int place, eval (slice 1 place (place + count) ids))
        close 1e-4 (floats (select 1 (place + count - 1) all)) (floats logits)
        caches <- next

[<Test>]
let ``the cache changes where it is, and a step makes hardly any garbage`` () =
    let c = { odd with Vocab = 5000; Embd = 96 }
    let p, _ = lively c
    let reader = GptReader c
    let text = Collections.Generic.List(Seq.init 65 id)
    let read () =
        reader.Logits(p, text) |> ignore
        text.Add 1
    for _ in 1..20 do
        read ()
    let program = Program.last ()
    let before = GC.GetAllocatedBytesForCurrentThread()
    for _ in 1..20 do
        read ()
    let perToken = (GC.GetAllocatedBytesForCurrentThread() - before) / 20L
    Assert.That(perToken, Is.LessThan 40_000L)
    // All that a run adds is small against one cache, 128 places of 96 channels.
    Assert.That(program.PeakBytes, Is.LessThan(int64 (128 * 96 * 4)))

[<Test>]
let ``the order of logits is theirs, equal ones by index`` () =
    let logits = [| 1.0f; -0.0f; 3.0f; 0.0f; -2.0f; 3.0f; -infinityf |]
    let first o = drawn o logits |> Array.countBy id |> Array.sortByDescending snd |> Array.map fst
    Assert.That(first { Sample.defaults with TopK = Some 1 } |> Array.sort, Is.EqualTo<int[]> [| 2; 5 |])
    Assert.That(first { Sample.defaults with TopP = 0.4 }, Is.EqualTo<int[]> [| 2 |])
    Assert.That(first Sample.defaults |> Array.contains 6, Is.False)
    Assert.That(first { Sample.defaults with Temperature = 1e9 } |> Array.sort, Is.EqualTo<int[]> [| 0..5 |])
    let wide = Array.init 100_003 (fun i -> if i = 77_777 then 5.0f else float32 (i % 13) * 0.1f)
    Assert.That(Sample.next { Sample.defaults with Greedy = true } 0L wide, Is.EqualTo 77_777)
