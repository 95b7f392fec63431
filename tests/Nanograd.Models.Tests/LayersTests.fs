module Nanograd.Models.Tests.LayersTests

open System
open NUnit.Framework
open Nanograd

/// A deterministic tensor of moderate numbers.
let private sample (seed: int) (shape: int list) : Tensor =
    let count = List.fold (*) 1 shape
    f32 shape [ for i in 0 .. count - 1 -> Math.Sin(float (seed * 31 + i) * 1.7) ]

[<Test>]
let ``linear is x times the transposed weight plus the bias`` () =
    let p: Linear =
        { Weight = f32 [ 2; 3 ] [ 1.0; 2.0; 3.0; 4.0; 5.0; 6.0 ]
          Bias = Some(f32 [ 2 ] [ 10.0; 20.0 ]) }
    let y = Linear.apply p (f32 [ 1; 1; 3 ] [ 1.0; 0.0; -1.0 ])
    Assert.That(y.Shape, Is.EqualTo<int[]> [| 1; 1; 2 |])
    assertClose 0.0 "linear" [| 8.0; 18.0 |] (floats y)
    raises<ShapeException> [ "linear"; "f32[4]"; "f32[2,3]" ] (fun () ->
        Linear.apply p (f32 [ 4 ] [ 1.0; 2.0; 3.0; 4.0 ]) |> ignore)

[<Test>]
let ``layer norm has mean zero and variance one before weight and bias`` () =
    let y = LayerNorm.apply (LayerNorm.init 8 true) (sample 1 [ 3; 8 ] * 5.0 + 2.0) |> floats
    for row in Array.chunkBySize 8 y do
        Assert.That(Array.average row, Is.EqualTo(0.0).Within 1e-6)
        Assert.That(row |> Array.averageBy (fun v -> v * v), Is.EqualTo(1.0).Within 1e-4)

[<Test>]
let ``dropout zeroes a share p and scales the rest`` () =
    let x = ones [| 100; 100 |]
    Assert.That(Dropout.apply 0.0 (Random.key 1L) x, Is.EqualTo x)
    let y = Dropout.apply 0.25 (Random.key 1L) x |> floats
    let zeros = y |> Array.filter ((=) 0.0) |> Array.length
    Assert.That(float zeros / 10000.0, Is.EqualTo(0.25).Within 0.02)
    Assert.That(y |> Array.filter ((<>) 0.0) |> Array.distinct, Is.EqualTo<float[]> [| float (float32 (1.0 / 0.75)) |])
    Assert.That(Dropout.apply 0.25 (Random.key 1L) x |> floats, Is.EqualTo<float[]> y)
    raises<ArgumentException> [ "between 0 and 1" ] (fun () -> Dropout.apply 1.5 (Random.key 1L) x |> ignore)

[<Test>]
let ``cross-entropy of equal logits is the logarithm of the classes`` () =
    let loss = Loss.crossEntropy (zeros [| 2; 3; 7 |]) (i32 [ 2; 3 ] [ 0; 1; 2; 3; 4; 6 ])
    Assert.That(item loss, Is.EqualTo(Math.Log 7.0).Within 1e-6)

[<Test>]
let ``cross-entropy's gradient is softmax minus the target`` () =
    let x, y = sample 2 [ 3; 5 ], i32 [ 3 ] [ 4; 0; 2 ]
    let gradient = grad (fun x -> Loss.crossEntropyOf LossReduction.Sum x y) x
    assertClose 1e-6 "gradient" (floats (softmax -1 x - oneHot DType.F32 5 y)) (floats gradient)

[<Test>]
let ``cross-entropy wants integer targets without the class axis`` () =
    raises<ShapeException> [ "crossEntropy"; "integer targets" ] (fun () ->
        Loss.crossEntropy (zeros [| 2; 3 |]) (zeros [| 2 |]) |> ignore)
    raises<ShapeException> [ "crossEntropy" ] (fun () ->
        Loss.crossEntropy (zeros [| 2; 3 |]) (i32 [ 3 ] [ 0; 0; 0 ]) |> ignore)

let private tiny = { Gpt.small 11 with Context = 8; Layers = 2; Heads = 2; Embd = 8 }

[<Test>]
let ``a GPT has GPT-2's names and the right number of parameters`` () =
    let p = Gpt.init (Random.key 1L) { tiny with Bias = true; TiedHead = false }
    let names = Gpt.named p |> Array.map fst
    let expected =
        [| "wte.weight"
           "wpe.weight"
           "h.0.ln_1.weight"
           "h.0.ln_1.bias"
           "h.0.attn.c_attn.weight"
           "h.0.attn.c_attn.bias"
           "h.0.attn.c_proj.weight"
           "h.0.attn.c_proj.bias"
           "h.0.ln_2.weight"
           "h.0.ln_2.bias"
           "h.0.mlp.c_fc.weight"
           "h.0.mlp.c_fc.bias"
           "h.0.mlp.c_proj.weight"
           "h.0.mlp.c_proj.bias" |]
    Assert.That(names[..13], Is.EqualTo<string[]> expected)
    Assert.That(Array.last names, Is.EqualTo "lm_head.weight")
    // nanoGPT: 12 L C^2 + 2 L C of norms + C of the last one + (V + T) C.
    Assert.That(Tree.count (Gpt.init (Random.key 1L) tiny), Is.EqualTo(int64 (12 * 2 * 64 + 2 * 2 * 8 + 8 + 19 * 8)))

[<Test>]
let ``a GPT starts with GPT-2's deviations`` () =
    let p = eval (Gpt.init (Random.key 1L) { tiny with Layers = 8; Embd = 64; Vocab = 200 })
    let deviation (t: Tensor) = Math.Sqrt(floats t |> Array.averageBy (fun v -> v * v))
    Assert.That(deviation p.Wte.Weight, Is.EqualTo(0.02).Within 0.001)
    Assert.That(deviation p.H[3].Attn.CAttn.Weight, Is.EqualTo(0.02).Within 0.001)
    Assert.That(deviation p.H[3].Mlp.CProj.Weight, Is.EqualTo(0.02 / 4.0).Within 0.0003)
    Assert.That(floats p.LnF.Weight |> Array.distinct, Is.EqualTo<float[]> [| 1.0 |])

[<Test>]
let ``a GPT does not see the future, and reads one place as all places`` () =
    let p = eval (Gpt.init (Random.key 1L) tiny)
    let run = jit (fun ids -> Gpt.apply tiny p None ids)
    let a = run (i32 [ 1; 6 ] [ 1; 2; 3; 4; 5; 6 ]) |> floats
    let b = run (i32 [ 1; 6 ] [ 1; 2; 3; 9; 9; 9 ]) |> floats
    Assert.That(a[.. 3 * 11 - 1], Is.EqualTo<float[]> b[.. 3 * 11 - 1])
    Assert.That(a[3 * 11 ..], Is.Not.EqualTo<float[]> b[3 * 11 ..])
    let at = Gpt.applyAt tiny p (i32 [] [ 2 ]) (i32 [ 1; 6 ] [ 1; 2; 3; 4; 5; 6 ])
    Assert.That(at.Shape, Is.EqualTo<int[]> [| 1; 11 |])
    assertClose 1e-6 "one place" a[2 * 11 .. 3 * 11 - 1] (floats at)
    raises<ShapeException> [ "gpt"; "at most the context, 8" ] (fun () ->
        Gpt.apply tiny p None (i32 [ 1; 9 ] [ for i in 0..8 -> i ]) |> ignore)

[<Test>]
let ``a GPT with dropout depends on its key only in training`` () =
    let c = { tiny with Dropout = 0.5 }
    let p = eval (Gpt.init (Random.key 1L) c)
    let ids = i32 [ 1; 4 ] [ 1; 2; 3; 4 ]
    let run key = Gpt.apply c p key ids |> floats
    Assert.That(run (Some(Random.key 1L)), Is.EqualTo<float[]>(run (Some(Random.key 1L))))
    Assert.That(run (Some(Random.key 1L)), Is.Not.EqualTo<float[]>(run (Some(Random.key 2L))))
    Assert.That(run None, Is.EqualTo<float[]>(Gpt.apply tiny p None ids |> floats))

[<Test>]
let ``the GPT loss's gradient is that of central differences`` () =
    let c = { tiny with Bias = true; Layers = 1; TiedHead = false }
    let p = Gpt.init (Random.key 3L) c |> Tree.map (fun t -> cast DType.F64 t * 10.0) |> eval
    let ids, targets = i32 [ 2; 4 ] [ 1; 2; 3; 4; 5; 6; 7; 8 ], i32 [ 2; 4 ] [ 2; 3; 4; 5; 6; 7; 8; 9 ]
    let loss = jit (fun p -> Gpt.loss c p None ids targets)
    let gradient = jit (fun p -> grad (fun p -> Gpt.loss c p None ids targets) p)
    let direction =
        p
        |> Tree.map (fun t ->
            let n = t.Count in ofArray DType.F64 t.Shape (Array.init n (fun i -> Math.Sin(float i * 1.3))))
        |> eval
    let h = 1e-5
    let shifted s = Tree.map2 (fun p d -> p + d * s) p direction |> eval
    let numeric = (item (loss (shifted h)) - item (loss (shifted -h))) / (2.0 * h)
    let along =
        Array.map2 (fun g d -> item (sum (g * d))) (Tree.leaves (gradient p)) (Tree.leaves direction) |> Array.sum
    Assert.That(along, Is.EqualTo(numeric).Within(1e-6 * abs numeric + 1e-8))

[<Test>]
let ``impossible configurations are refused in one sentence`` () =
    raises<ArgumentException> [ "multiple of the number of heads" ] (fun () -> Gpt.check { tiny with Heads = 3 })
    raises<ArgumentException> [ "The number of layers must be at least 1, not 0." ] (fun () ->
        Gpt.check { tiny with Layers = 0 })
    raises<ArgumentException> [ "below 1" ] (fun () -> Gpt.check { tiny with Dropout = 1.0 })
