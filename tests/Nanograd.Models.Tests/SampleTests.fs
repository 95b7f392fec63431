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
