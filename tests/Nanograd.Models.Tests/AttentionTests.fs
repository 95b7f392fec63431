/// Attention, positions and transformers: laws, closed forms and names. (Numbers: OracleTests.)
module Nanograd.Models.Tests.AttentionTests

open System
open NUnit.Framework
open Nanograd

let private some (seed: int64) (shape: int[]) = Random.normalOf DType.F64 (Random.key seed) shape |> eval
let private same (what: string) (expected: Tensor) (actual: Tensor) =
    Assert.That(actual.Shape, Is.EqualTo<int[]> expected.Shape, what)
    assertClose 1e-9 what (floats expected) (floats actual)
let private wide (model: 'T) : 'T = Tree.map (cast DType.F64) model |> eval
let private batchFirst = { MultiheadOptions.Of 2 with BatchFirst = true }

/// x with other numbers from place `t` on.
let private changed (t: int) (x: Tensor) = concat 1 [ slice 1 0 t x; slice 1 t x.Shape[1] x * 2.0 + 1.0 ] |> eval

// ---- masks

[<Test>]
let ``later tokens do not change earlier outputs, bit for bit`` () =
    let x = Random.normal (Random.key 1L) [| 2; 7; 8 |] |> eval
    let unchanged (name: string) (run: Tensor -> Tensor) =
        let run = jit run
        let a, b = run x |> slice 1 0 4 |> floats, run (changed 4 x) |> slice 1 0 4 |> floats
        Assert.That(b, Is.EqualTo<float[]> a, name)
    let mask = Some(AttentionMask.causal 7)
    let heads = MultiheadAttention.init (Random.key 2L) 8 true |> eval
    unchanged "multi-head" (fun x -> MultiheadAttention.apply batchFirst None mask None heads (x, x, x) |> fst)
    let grouped = GroupedQueryAttention.init (Random.key 3L) 8 4 2 |> eval
    let tables = Rotary.tables 10000.0 2 (arange DType.I64 7)
    unchanged "grouped" (GroupedQueryAttention.apply 4 2 (Some tables) mask grouped)
    unchanged "window" (GroupedQueryAttention.apply 4 2 None (Some(AttentionMask.slidingWindow 3 7)) grouped)
    let layer = TransformerEncoderLayer.init (Random.key 4L) 8 16 |> eval
    let o = { TransformerOptions.Of 2 with BatchFirst = true }
    unchanged "encoder layer" (TransformerEncoderLayer.apply o None mask None layer)

[<Test>]
let ``masks exclude what their names say`` () =
    let show (t: Tensor) = floats (cast DType.F64 t) |> Array.map int
    Assert.That(show (AttentionMask.slidingWindow 2 3), Is.EqualTo<int[]> [| 0; 1; 1; 0; 0; 1; 1; 0; 0 |])
    Assert.That(show (AttentionMask.local 1 3), Is.EqualTo<int[]> [| 0; 0; 1; 0; 0; 0; 1; 0; 0 |])
    Assert.That(show (AttentionMask.padding 3 (i32 [ 2 ] [ 1; 3 ])), Is.EqualTo<int[]> [| 0; 1; 1; 0; 0; 0 |])
    let blocks = AttentionMask.blockSparse 2 (tensor [ [ true; false ]; [ true; true ] ])
    Assert.That(show blocks, Is.EqualTo<int[]> [| 0; 0; 1; 1; 0; 0; 1; 1; 0; 0; 0; 0; 0; 0; 0; 0 |])

[<Test>]
let ``masks of numbers and of booleans mean the same`` () =
    let p = MultiheadAttention.init (Random.key 2L) 8 true |> wide
    let x = some 1L [| 2; 5; 8 |]
    let run mask = MultiheadAttention.apply batchFirst None (Some mask) None p (x, x, x)
    let ofNumbers, weights = run (Transformer.squareSubsequentMask 5)
    let ofBooleans, _ = run (AttentionMask.causal 5)
    same "outputs" ofBooleans ofNumbers
    same "rows sum to 1" (onesOf DType.F64 [| 2; 5 |]) (sumOver [ -1 ] (Option.get weights))

[<Test>]
let ``attention without positions does not know the order of keys`` () =
    let p = MultiheadAttention.init (Random.key 2L) 8 true |> wide
    let q, k, v = some 1L [| 1; 3; 8 |], some 2L [| 1; 6; 8 |], some 3L [| 1; 6; 8 |]
    let order = i32 [ 6 ] [ 3; 0; 5; 1; 4; 2 ]
    let run k v = MultiheadAttention.apply batchFirst None None None p (q, k, v) |> fst
    same "shuffled" (run k v) (run (take 1 order k) (take 1 order v))

[<Test>]
let ``layouts of multi-head attention agree, and what was asked for is given`` () =
    let p = MultiheadAttention.initWith (Random.key 2L) 8 6 10 true true |> wide
    let q, k, v = some 1L [| 2; 3; 8 |], some 2L [| 2; 5; 6 |], some 3L [| 2; 5; 10 |]
    let o = { batchFirst with AddZeroAttn = true; AverageAttnWeights = false }
    let y, w = MultiheadAttention.apply o None None None p (q, k, v)
    Assert.That((Option.get w).Shape, Is.EqualTo<int[]> [| 2; 2; 3; 7 |])
    let turn = permute [| 1; 0; 2 |]
    let timeFirst, none =
        MultiheadAttention.apply
            { o with BatchFirst = false; NeedWeights = false }
            None
            None
            None
            p
            (turn q, turn k, turn v)
    same "time first" (turn y) timeFirst
    Assert.That(none.IsNone)
    let alone, _ = MultiheadAttention.apply o None None None p (select 0 1 q, select 0 1 k, select 0 1 v)
    same "without batch" (select 0 1 y) alone
    raises<ShapeException> [ "multiheadAttention"; "3 heads" ] (fun () ->
        MultiheadAttention.apply { o with Heads = 3 } None None None p (q, k, v) |> ignore)

[<Test>]
let ``grouped queries with as many heads of keys are multi-head attention`` () =
    let g = GroupedQueryAttention.init (Random.key 1L) 8 2 2 |> wide
    let p: MultiheadAttention =
        { InProjWeight = Some(concat 0 [ g.QProj.Weight; g.KProj.Weight; g.VProj.Weight ])
          QProjWeight = None
          KProjWeight = None
          VProjWeight = None
          InProjBias = None
          BiasK = None
          BiasV = None
          OutProj = g.OProj }
    let x = some 2L [| 2; 5; 8 |]
    let expected = MultiheadAttention.apply batchFirst None None None p (x, x, x) |> fst
    same "equal" expected (GroupedQueryAttention.apply 2 2 None None g x)

// ---- positions

[<Test>]
let ``rotary scores depend on the distance alone`` () =
    let q, k = some 1L [| 1; 8 |], some 2L [| 1; 8 |]
    for turn in [ Rotary.apply; Rotary.applyInterleaved ] do
        let score (m: int) (n: int) =
            let at (place: int) x = turn (Rotary.tables 10000.0 8 (i32 [ 1 ] [ place ])) x
            item (sum (at m q * at n k))
        Assert.That(score 12 9, Is.EqualTo(score 5 2).Within 1e-5)
        Assert.That(score 3 3, Is.EqualTo(item (sum (q * k))).Within 1e-5)
        Assert.That(abs (score 12 9 - score 12 3), Is.GreaterThan 1e-3)

[<Test>]
let ``sinusoids and slopes have their closed forms`` () =
    let table = Positions.sinusoidal 20 6
    let expected =
        [| for t in 0..19 do
               for c in 0..5 do
                   let angle = float t / Math.Pow(10000.0, float (c / 2 * 2) / 6.0)
                   if c % 2 = 0 then Math.Sin angle else Math.Cos angle |]
    assertClose 1e-6 "sinusoids" expected (floats table)
    Assert.That(floats (Positions.alibiSlopes 8), Is.EqualTo<float[]> [| for i in 1..8 -> Math.Pow(2.0, -float i) |])
    let three = [| 1.0 / 16.0; 1.0 / 256.0; 0.25 |]
    assertClose 1e-7 "three heads" three (floats (Positions.alibiSlopes 3))
    assertClose 1e-7 "bias" [| 0.0; -0.5; -0.5; 0.0 |] (floats (Positions.alibi 8 2 2 |> select 0 0))

// ---- transformers

[<Test>]
let ``a transformer has PyTorch's names`` () =
    let p = Transformer.init (Random.key 1L) 1 1 8 16
    let names = StateDict.named p |> Array.map fst
    let attention prefix =
        [| for n in [ "in_proj_weight"; "in_proj_bias"; "out_proj.weight"; "out_proj.bias" ] -> $"{prefix}.{n}" |]
    let pairs prefix (layers: string list) =
        [| for l in layers do
               $"{prefix}.{l}.weight"
               $"{prefix}.{l}.bias" |]
    let encoder, decoder = "encoder.layers.0", "decoder.layers.0"
    let expected =
        Array.concat
            [ attention $"{encoder}.self_attn"
              pairs encoder [ "linear1"; "linear2"; "norm1"; "norm2" ]
              [| "encoder.norm.weight"; "encoder.norm.bias" |]
              attention $"{decoder}.self_attn"
              attention $"{decoder}.multihead_attn"
              pairs decoder [ "linear1"; "linear2"; "norm1"; "norm2"; "norm3" ]
              [| "decoder.norm.weight"; "decoder.norm.bias" |] ]
    Assert.That(names, Is.EqualTo<string[]> expected)

[<Test>]
let ``branches that start at zero leave the input as it is`` () =
    let zero (l: Linear) : Linear = { Weight = zerosLike l.Weight; Bias = Option.map zerosLike l.Bias }
    let p = TransformerEncoderLayer.init (Random.key 1L) 8 16
    let p =
        { p with
            SelfAttn = { p.SelfAttn with OutProj = zero p.SelfAttn.OutProj }
            Linear2 = zero p.Linear2 }
    let x = Random.normal (Random.key 2L) [| 2; 5; 8 |] |> eval
    let o = { TransformerOptions.Of 2 with BatchFirst = true; NormFirst = true }
    Assert.That(floats (TransformerEncoderLayer.apply o None None None p x), Is.EqualTo<float[]>(floats x))

[<Test>]
let ``a whole transformer runs, and dropout needs a key`` () =
    let o = { TransformerOptions.Of 2 with BatchFirst = true; Dropout = 0.5 }
    let p = Transformer.init (Random.key 1L) 2 2 8 16 |> eval
    let source, target = Random.normal (Random.key 2L) [| 2; 5; 8 |], Random.normal (Random.key 3L) [| 2; 4; 8 |]
    let masks = { TransformerMasks.None with Self = Some(AttentionMask.causal 4) }
    let run key = Transformer.apply o key None None masks p source target
    let y = run None
    Assert.That(y.Shape, Is.EqualTo<int[]> target.Shape)
    Assert.That(floats (run None), Is.EqualTo<float[]>(floats y))
    Assert.That(floats (run (Some(Random.key 4L))), Is.Not.EqualTo<float[]>(floats y))
