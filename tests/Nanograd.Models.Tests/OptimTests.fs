module Nanograd.Models.Tests.OptimTests

open System
open System.Text.Json
open NUnit.Framework
open Nanograd

let private optimizerOf (name: string) (options: JsonElement) : Optimizer option =
    let number (key: string) otherwise =
        match options.TryGetProperty key with
        | true, v -> v.GetDouble()
        | _ -> otherwise
    let flag (key: string) =
        match options.TryGetProperty key with
        | true, v -> v.GetBoolean()
        | _ -> false
    let beta i otherwise =
        match options.TryGetProperty "betas" with
        | true, v -> v[i].GetDouble()
        | _ -> otherwise
    match name with
    | "SGD" when not (flag "maximize") ->
        Some(
            Optim.sgd
                { Momentum = number "momentum" 0.0
                  Dampening = number "dampening" 0.0
                  WeightDecay = number "weight_decay" 0.0
                  Nesterov = flag "nesterov" }
        )
    | "AdamW" when not (flag "amsgrad") && not (flag "maximize") ->
        Some(
            Optim.adamW
                { Beta1 = beta 0 0.9
                  Beta2 = beta 1 0.999
                  Eps = number "eps" 1e-8
                  WeightDecay = number "weight_decay" 0.01
                  Decays = fun _ -> true }
        )
    | _ -> None

[<Test>]
let ``SGD and AdamW walk PyTorch's trajectories in f64`` () =
    let file = oracleJson [ "optim"; "optim.json" ]
    let quadratic = file.GetProperty("problem").GetProperty "quadratic"
    let n = quadratic.GetProperty("b").GetArrayLength()
    let q, b =
        ofArray DType.F64 [| n; n |] (numbers (quadratic.GetProperty "Q")),
        ofArray DType.F64 [| n |] (numbers (quadratic.GetProperty "b"))
    let objective problem (x: Tensor) =
        match problem with
        | "quadratic" -> sum (x * matmul q x) * 0.5 - sum (b * x)
        | _ ->
            let x0, x1 = slice 0 0 1 x, slice 0 1 2 x
            sum (square (1.0 - x0) + square (x1 - square x0) * 100.0)
    let mutable runs = 0
    for run in (file.GetProperty "runs").EnumerateArray() do
        let options = run.GetProperty "options"
        match optimizerOf (run.GetProperty("optimizer").GetString()) options with
        | None -> ()
        | Some o ->
            runs <- runs + 1
            let problem = run.GetProperty("problem").GetString()
            let start = numbers (file.GetProperty("problem").GetProperty(problem).GetProperty "x0")
            let step =
                jit (fun (x: Tensor, state: Tensor[], n, rate) ->
                    Optim.update o { Step = n; Rate = rate } (grad (objective problem) x) state x)
            let rate = f64 [] [ options.GetProperty("lr").GetDouble() ]
            let mutable x = ofArray DType.F64 [| start.Length |] start
            let mutable state = eval (Optim.init o x)
            for i, expected in Seq.indexed ((run.GetProperty "x_after_step").EnumerateArray()) do
                let nextX, nextState = step (x, state, i32 [] [ i ], rate)
                x <- nextX
                state <- nextState
                assertClose 1e-9 $"""{run.GetProperty "name"} {problem} step {i}""" (numbers expected) (floats x)
    Assert.That(runs, Is.GreaterThanOrEqualTo 14)

[<Test>]
let ``clipping by the global norm is PyTorch's`` () =
    let case = (oracleJson [ "optim"; "optim.json" ]).GetProperty("clip_grad_norm")[0]
    let tensors (key: string) =
        [| for g in (case.GetProperty key).EnumerateArray() ->
               let values = numbers g |> Array.map float32
               let rows = g.GetArrayLength()
               ofArray
                   DType.F32
                   (if g[0].ValueKind = JsonValueKind.Array then [| rows; values.Length / rows |] else [| rows |])
                   values |]
    let gradients = tensors "grads"
    Assert.That(item (Optim.globalNorm gradients), Is.EqualTo(case.GetProperty("total_norm").GetDouble()).Within 1e-6)
    let clipped = Optim.clipByGlobalNorm (case.GetProperty("max_norm").GetDouble()) gradients
    Array.iter2
        (fun (e: Tensor) (a: Tensor) -> assertClose 1e-6 "clipped" (floats e) (floats a))
        (tensors "clipped")
        clipped

[<Test>]
let ``small gradients are not clipped`` () =
    let g = [| f32 [ 2 ] [ 0.3; 0.4 ] |]
    Assert.That(floats (Array.head (Optim.clipByGlobalNorm 1.0 g)), Is.EqualTo<float[]>(floats g[0]))

[<Test>]
let ``decay leaves vectors alone by default`` () =
    let o = Optim.adamW { Optim.adamWDefaults with WeightDecay = 0.5 }
    let p = [| f32 [ 2 ] [ 1.0; 2.0 ]; f32 [ 1; 2 ] [ 1.0; 2.0 ] |]
    let zero = p |> Array.map zerosLike
    let next, _ = o.Update { Step = i32 [] [ 0 ]; Rate = f32 [] [ 0.1 ] } zero [| zero; zero |] p
    Assert.That(floats next[0], Is.EqualTo<float[]> [| 1.0; 2.0 |])
    assertClose 1e-6 "matrix" [| 0.95; 1.9 |] (floats next[1])

[<Test>]
let ``the number on the host and the expression of a step agree`` () =
    let schedule = WarmupCosine(1e-3, 1e-4, 100L, 2000L)
    let compiled = jit (LearningRate.expression schedule)
    for step in [ 0; 1; 50; 99; 100; 101; 1000; 1999; 2000; 2001; 5000 ] do
        let expected = LearningRate.at schedule (int64 step)
        Assert.That(item (compiled (i32 [] [ step ])), Is.EqualTo(expected).Within(1e-9), $"step {step}")
    Assert.That(LearningRate.at schedule 0L, Is.EqualTo(1e-3 / 101.0).Within 1e-15)
    Assert.That(LearningRate.at schedule 100L, Is.EqualTo(1e-3).Within 1e-15)
    Assert.That(LearningRate.at schedule 2000L, Is.EqualTo(1e-4).Within 1e-15)
    Assert.That(
        LearningRate.at (WarmupCosine(1.0, 0.1, 5L, 5L)) 5L,
        Is.EqualTo(1.0).Within 1e-15,
        "decay at the end of the warm-up"
    )

[<Test>]
let ``the cosine is PyTorch's, and Hugging Face's after its warm-up`` () =
    let schedules = (oracleJson [ "optim"; "optim.json" ]).GetProperty "schedules"
    let rate = schedules.GetProperty("base_lr").GetDouble()
    for table in (schedules.GetProperty "tables").EnumerateArray() do
        let options = table.GetProperty "options"
        let expect schedule first last =
            numbers (table.GetProperty "lr")
            |> Array.iteri (fun i lr ->
                if i >= first && i <= last then
                    Assert.That(LearningRate.at schedule (int64 i), Is.EqualTo(lr).Within 1e-12))
        match table.GetProperty("name").GetString() with
        | "cosine" ->
            expect
                (WarmupCosine(
                    rate,
                    options.GetProperty("eta_min").GetDouble(),
                    0L,
                    options.GetProperty("T_max").GetInt64()
                ))
                0
                25
        | "hf_cosine_warmup" ->
            expect
                (WarmupCosine(
                    rate,
                    0.0,
                    options.GetProperty("num_warmup_steps").GetInt64(),
                    options.GetProperty("num_training_steps").GetInt64()
                ))
                6
                38
        | _ -> ()

[<Test>]
let ``impossible options are refused`` () =
    raises<ArgumentException> [ "first beta" ] (fun () ->
        Optim.adamW { Optim.adamWDefaults with Beta1 = 1.0 } |> ignore)
    raises<ArgumentException> [ "Nesterov" ] (fun () -> Optim.sgd { Optim.sgdDefaults with Nesterov = true } |> ignore)
    raises<ArgumentException> [ "largest norm" ] (fun () -> Optim.clipByGlobalNorm -1.0 [||] |> ignore)
