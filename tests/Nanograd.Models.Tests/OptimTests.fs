module Nanograd.Models.Tests.OptimTests

open System
open NUnit.Framework
open Nanograd

/// Two parameters by name, and gradients for them.
[<NoComparison>]
type private Net = { Weight: Tensor; Bias: Tensor }

let private net =
    { Weight = f64 [ 2; 3 ] [ 1.0; -2.0; 0.5; 3.0; 0.25; -1.0 ]
      Bias = f64 [ 2 ] [ 0.5; -1.5 ] }
let private gradients =
    { Weight = f64 [ 2; 3 ] [ 0.1; 0.2; -0.3; 0.4; -0.5; 0.6 ]
      Bias = f64 [ 2 ] [ -1.0; 2.0 ] }
let private context step rate = UpdateContext.Of(i32 [] [ step ], f64 [] [ rate ])
let private all (p: Net) = Array.append (floats p.Weight) (floats p.Bias)

/// The parameters after some updates with gradients that are a function of the parameters; and the last state.
let private run o rate steps (gradient: Net -> Net) (start: Net) =
    let step = jit (fun (p, s, n, r) -> Optim.update o (UpdateContext.Of(n, r)) (gradient p) s p)
    let mutable p, s = start, eval (Optim.init o start)
    for i in 0 .. steps - 1 do
        let nextP, nextS = step (p, s, i32 [] [ i ], f64 [] [ rate ])
        p <- nextP
        s <- nextS
    p, s

let private constantly _ = gradients
/// Gradients that depend on the parameters, so that paths differ where rules do.
let private pull (p: Net) = Tree.map2 (fun (x: Tensor) (g: Tensor) -> x * 0.5 + g) p gradients
let private ended o rate steps gradient = all (fst (run o rate steps gradient net))
let private zip3 f a b c = Array.map3 f a b c

// ------------------------------------------------------------------------------------------------ laws

[<Test>]
let ``the first step of Adam is the rate`` () =
    let expected = Array.map2 (fun p g -> p - 0.1 * float (Math.Sign(g: float))) (all net) (all gradients)
    let free = { Optim.adamWDefaults with WeightDecay = 0.0; Eps = 0.0 }
    for o in
        [ Optim.adam { Optim.adamDefaults with Eps = 0.0 }
          Optim.adamW free
          Optim.adam { Optim.adamDefaults with Eps = 0.0; Amsgrad = true } ] do
        assertClose 1e-12 "first step" expected (ended o 0.1 1 constantly)

[<Test>]
let ``decay in SGD is an L2 penalty in the loss`` () =
    let decayed = Optim.sgd { Optim.sgdDefaults with WeightDecay = 0.3; Momentum = 0.9; Nesterov = true }
    let plain = Optim.sgd { Optim.sgdDefaults with Momentum = 0.9; Nesterov = true }
    let penalized (p: Net) = Tree.map2 (fun (g: Tensor) (x: Tensor) -> g + x * 0.3) (pull p) p
    assertClose 1e-12 "penalty" (ended plain 0.1 7 penalized) (ended decayed 0.1 7 pull)

[<Test>]
let ``chain is associative, and identity its unit`` () =
    let a, b, c = Transform.clipByGlobalNorm 0.7, Transform.trace 0.9 0.1 false, Transform.scaleByAdam 0.8 0.9 1e-6 true
    let ways =
        [ Transform.chain [ a; b; c; Transform.scaleByRate ]
          Transform.chain [ Transform.chain [ a; b ]; Transform.chain [ c; Transform.scaleByRate ] ]
          Transform.chain [ a; Transform.chain [ b; Transform.chain [ c; Transform.scaleByRate ] ] ]
          Transform.chain [ Transform.identity; a; b; Transform.identity; c; Transform.scaleByRate ] ]
    let results = ways |> List.map (fun o -> o.Slots, ended o 0.1 5 pull)
    for r in results.Tail do
        Assert.That(r, Is.EqualTo results.Head)

[<Test>]
let ``up is down with the gradient's sign changed`` () =
    let down (p: Net) = Tree.map (fun (g: Tensor) -> -g) (pull p)
    for up, plain in
        [ Optim.sgd { Optim.sgdDefaults with Maximize = true }, Optim.sgd Optim.sgdDefaults
          Optim.adam { Optim.adamDefaults with Maximize = true }, Optim.adam Optim.adamDefaults
          Optim.adamW { Optim.adamWDefaults with Maximize = true }, Optim.adamW Optim.adamWDefaults
          Optim.rprop { Optim.rpropDefaults with Maximize = true }, Optim.rprop Optim.rpropDefaults ] do
        assertClose 1e-14 "maximize" (ended plain 0.1 4 down) (ended up 0.1 4 pull)

[<Test>]
let ``a schedule in the chain is that rate in the context`` () =
    let schedule = Warmup.nanoGpt 0.1 0.01 2L 6L
    let rule = Transform.scaleByAdam 0.9 0.99 1e-8 false
    let inside = Transform.chain [ rule; Transform.scaleBySchedule schedule ]
    let around = Transform.withSchedule schedule (Transform.chain [ rule; Transform.scaleByRate ])
    let mutable p, s = net, Optim.init around net
    for i in 0..6 do
        let rate = LearningRate.at schedule (int64 i)
        let later, next =
            Optim.update (Transform.chain [ rule; Transform.scaleByRate ]) (context i rate) (pull p) s p |> eval
        p <- later
        s <- next
    assertClose 1e-13 "inside" (all p) (ended inside 5.0 7 pull)
    assertClose 1e-13 "around" (all p) (ended around 5.0 7 pull)

[<Test>]
let ``a momentum that does not move is the momentum of the options`` () =
    let still = { Rate = LearningRate.constant 0.1; Momentum = LearningRate.constant 0.7 }
    for moved, fixed' in
        [ Optim.sgd { Optim.sgdDefaults with Momentum = 0.2 }, Optim.sgd { Optim.sgdDefaults with Momentum = 0.7 }
          Optim.adam { Optim.adamDefaults with Beta1 = 0.2 }, Optim.adam { Optim.adamDefaults with Beta1 = 0.7 } ] do
        assertClose 1e-13 "momentum" (ended fixed' 0.1 6 pull) (ended (Transform.withCycle still moved) 9.0 6 pull)

// ------------------------------------------------------------------------------------------------ groups

[<Test>]
let ``frozen parameters do not move, have no state, and do not mind broken gradients`` () =
    let o = Optim.adam Optim.adamDefaults |> Transform.freeze (Choose.under "Weight")
    let broken _ = { gradients with Weight = gradients.Weight * nan }
    let p, state = run o 0.1 3 broken net
    Assert.That(floats p.Weight, Is.EqualTo<float[]>(floats net.Weight))
    Assert.That(floats p.Bias, Is.Not.EqualTo<float[]>(floats net.Bias))
    let names = Optimizer.named o [| "Weight"; "Bias" |] state |> Array.map fst
    Assert.That(names, Is.EqualTo<string[]> [| "exp_avg.Bias"; "exp_avg_sq.Bias" |])

[<Test>]
let ``each group moves as it would alone`` () =
    let adam = Optim.adam Optim.adamDefaults
    let sgd = Optim.sgd { Optim.sgdDefaults with Momentum = 0.9 }
    let o = Transform.groups [ Choose.matrices, Transform.withRateScaled 0.5 adam ] sgd
    let p, _ = run o 0.1 4 pull net
    let weight, bias = fst (run adam 0.05 4 pull net), fst (run sgd 0.1 4 pull net)
    assertClose 1e-13 "weight" (floats weight.Weight) (floats p.Weight)
    assertClose 1e-13 "bias" (floats bias.Bias) (floats p.Bias)

[<Test>]
let ``choices by name`` () =
    let names = [ "encoder"; "encoder.0.bias"; "encoders.bias"; "head.weight" ]
    let chosen choice = names |> List.filter (fun n -> choice n net.Bias)
    Assert.That(chosen (Choose.under "encoder"), Is.EqualTo<string list> [ "encoder"; "encoder.0.bias" ])
    Assert.That(chosen (Choose.like "*.bias"), Is.EqualTo<string list> [ "encoder.0.bias"; "encoders.bias" ])
    Assert.That(chosen (Choose.others (Choose.like "enc*")), Is.EqualTo<string list> [ "head.weight" ])
    Assert.That(chosen Choose.matrices, Is.Empty)

[<Test>]
let ``decay can leave vectors alone`` () =
    let o = Optim.adamW { Optim.adamWDefaults with WeightDecay = 0.5; Decays = Choose.matrices }
    let p, _ = run o 0.1 1 (Tree.map zerosLike) net
    assertClose 1e-12 "matrix" (floats net.Weight |> Array.map (fun x -> x * 0.95)) (floats p.Weight)
    Assert.That(floats p.Bias, Is.EqualTo<float[]>(floats net.Bias))

// ------------------------------------------------------------------------------------------------ around optimizers

[<Test>]
let ``averages`` () =
    let sgd = Optim.sgd Optim.sgdDefaults
    let still = Transform.chain [ Transform.zero; Averages.ema 0.9 ]
    let p, s = run still 0.1 5 pull net
    Assert.That(all (Optim.slot "ema" still s p), Is.EqualTo<float[]>(all net), "the average of a constant")
    let path = [ for steps in 1..4 -> ended sgd 0.1 steps constantly ]
    let average f = path.Tail |> List.fold f path.Head
    let ema = Transform.chain [ sgd; Averages.ema 0.75 ]
    let p, s = run ema 0.1 4 constantly net
    assertClose 1e-13 "ema" (average (Array.map2 (fun a x -> 0.75 * a + 0.25 * x))) (all (Optim.slot "ema" ema s p))
    assertClose 1e-13 "parameters go on" path[3] (all p)
    let swa = Transform.chain [ sgd; Averages.swa 1L 2L ]
    let p, s = run swa 0.1 4 constantly net
    let expected = Array.map2 (fun a b -> (a + b) / 2.0) path[1] path[3]
    assertClose 1e-13 "swa" expected (all (Optim.slot "swa" swa s p))
    let p, s = run swa 0.1 1 constantly net
    assertClose 1e-13 "swa before its start" path[0] (all (Optim.slot "swa" swa s p))

[<Test>]
let ``slow weights meet the fast ones`` () =
    let sgd = Optim.sgd Optim.sgdDefaults
    let o = Averages.lookahead 2L 0.25 sgd
    let fast steps = ended sgd 0.1 steps constantly
    let meeting = Array.map2 (fun s f -> s + 0.25 * (f - s)) (all net) (fast 2)
    assertClose 1e-13 "first step" (fast 1) (ended o 0.1 1 constantly)
    assertClose 1e-13 "meeting" meeting (ended o 0.1 2 constantly)
    assertClose 1e-13 "after" (zip3 (fun m a b -> m + a - b) meeting (fast 1) (all net)) (ended o 0.1 3 constantly)

[<Test>]
let ``k gathered gradients are one update with their mean`` () =
    let adam = Optim.adamW Optim.adamWDefaults
    let o = Averages.every 3L adam
    let s = eval (Optim.init o net)
    let mutable p, s = net, s
    for i in 0..5 do
        let g = Tree.map (fun (g: Tensor) -> g * float (1 + i % 3)) gradients // in the mean twice the gradients
        let later, next = Optim.update o (context i 0.1) g s p |> eval
        if i % 3 < 2 then Assert.That(all later, Is.EqualTo<float[]>(all p), $"call {i}")
        p <- later
        s <- next
    let twice _ = Tree.map (fun (g: Tensor) -> g * 2.0) gradients
    assertClose 1e-13 "gathered" (ended adam 0.1 2 twice) (all p)

[<Test>]
let ``gradients over batches in a loop are those of all rows`` () =
    let loss (p: Net) (x: Tensor) = mean (square (matmul x (transpose p.Weight) + p.Bias))
    let x = Random.normalOf DType.F64 (Random.key 1L) [| 4; 5; 3 |] |> eval
    let value, gradient = Averages.valueAndGradOver loss net x |> eval
    let expected, whole = valueAndGrad (fun p -> loss p (reshape [| 20; 3 |] x)) net |> eval
    Assert.That(item value, Is.EqualTo(item expected).Within 1e-13)
    assertClose 1e-13 "gradient" (all whole) (all gradient)

[<Test>]
let ``SAM's gradient is that of the worst point near by`` () =
    let loss (p: Net) = sum (square p.Weight) * 0.5 + sum (p.Bias * p.Bias * p.Bias)
    let value, gradient = Sam.valueAndGrad 0.5 loss net |> eval
    let g = Array.append (floats net.Weight) (floats net.Bias |> Array.map (fun b -> 3.0 * b * b))
    let size = sqrt (Array.sumBy (fun x -> x * x) g)
    let worst = Array.map2 (fun p g -> p + 0.5 * g / size) (all net) g
    let expected = worst |> Array.mapi (fun i x -> if i < 6 then x else 3.0 * x * x)
    Assert.That(item value, Is.EqualTo(item (loss net)).Within 1e-14)
    assertClose 1e-11 "gradient" expected (all gradient)

// ------------------------------------------------------------------------------------------------ rules by hand

[<Test>]
let ``SGD with Nesterov's momentum, two steps by hand`` () =
    let o = Optim.sgd { Optim.sgdDefaults with Momentum = 0.5; Nesterov = true }
    // b: g, then 1.5 g; steps: 1.5 g, then 1.75 g.
    assertClose
        1e-13
        "nesterov"
        (Array.map2 (fun p g -> p - 0.325 * g) (all net) (all gradients))
        (ended o 0.1 2 constantly)

[<Test>]
let ``Lion steps by signs`` () =
    let o = Optim.lion { Optim.lionDefaults with WeightDecay = 0.1 }
    let expected =
        Array.map2 (fun (p: float) (g: float) -> p - 0.1 * (float (Math.Sign g) + 0.1 * p)) (all net) (all gradients)
    assertClose 1e-13 "lion" expected (ended o 0.1 1 constantly)

[<Test>]
let ``LAMB's step has the rate times the parameter's norm`` () =
    let p, _ = run (Optim.lamb Optim.lambDefaults) 0.1 1 pull net
    let length (t: Tensor) = sqrt (Array.sumBy (fun x -> x * x) (floats t))
    Assert.That(length (p.Weight - net.Weight), Is.EqualTo(0.1 * length net.Weight).Within 1e-12)
    Assert.That(length (p.Bias - net.Bias), Is.EqualTo(0.1 * length net.Bias).Within 1e-12)

[<Test>]
let ``Muon's steps are almost orthogonal, and on a diagonal matrix its quintic`` () =
    let quintic x = 3.4445 * x - 4.7750 * Math.Pow(x, 3.0) + 2.0315 * Math.Pow(x, 5.0)
    let five x = Seq.fold (fun x _ -> quintic x) x [ 1..5 ]
    let o = Muon.orthogonalize 5 (f64 [ 2; 2 ] [ 3.0; 0.0; 0.0; 4.0 ])
    assertClose 1e-6 "diagonal" [| five 0.6; 0.0; 0.0; five 0.8 |] (floats o)
    let g = Random.normalOf DType.F64 (Random.key 3L) [| 20; 8 |]
    let values = floats (Linalg.svdvals (Muon.orthogonalize 5 g))
    Assert.That(values, Has.All.InRange(0.6, 1.3))
    let weights = { net with Bias = f64 [ 3; 1 ] [ 1.0; 2.0; 3.0 ] }
    let g = { gradients with Bias = f64 [ 3; 1 ] [ 0.0; 3.0; 4.0 ] }
    let p, _ = run (Optim.muon Optim.muonDefaults) 0.1 1 (fun _ -> g) weights
    // A column: its direction times the fifth iterate of 1, times sqrt(rows / columns).
    let step = 0.1 * five 1.0 * sqrt 3.0
    assertClose 1e-6 "column" [| 1.0; 2.0 - 0.6 * step; 3.0 - 0.8 * step |] (floats p.Bias)

[<Test>]
let ``Sophia's step is the paper's`` () =
    let options = { Optim.sophiaDefaults with WeightDecay = 0.1; Gamma = 0.5 }
    let o = Optim.sophia options
    let curvature =
        { Weight = f64 [ 2; 3 ] [ 0.0; 0.1; 1.0; 10.0; 100.0; 1.0 ]
          Bias = f64 [ 2 ] [ 0.01; 50.0 ] }
    let state = Optim.init o net |> Sophia.observe options o curvature
    let p, _ = Optim.update o (context 0 0.1) gradients state net |> eval
    let expected =
        zip3
            (fun p g h ->
                let m = 0.04 * g
                p - 0.1 * 0.1 * p - 0.1 * max -1.0 (min 1.0 (m / max (0.5 * 0.01 * h) 1e-12)))
            (all net)
            (all gradients)
            (all curvature)
    assertClose 1e-12 "sophia" expected (all p)
    Assert.That(Sophia.isDue options 0L && Sophia.isDue options 10L && not (Sophia.isDue options 9L))

[<Test>]
let ``Sophia's estimate is B times the squared gradient with sampled labels`` () =
    let x = f64 [ 4; 3 ] [ 1.0; 0.0; 2.0; -1.0; 1.0; 0.5; 0.0; 3.0; 1.0; 0.5; -0.5; 1.0 ]
    let logits (p: Net) = matmul x (transpose p.Weight) + p.Bias
    let estimate = Sophia.estimate (Random.key 9L) logits net |> eval
    let labels = floats (Random.categorical (logits net) (Random.key 9L) [| 4 |])
    let p = floats (softmax -1 (logits net))
    // The gradient by the bias: the mean of probability less label.
    let expected =
        [| for c in 0..1 ->
               let g = Seq.average [ for i in 0..3 -> p[2 * i + c] - (if labels[i] = float c then 1.0 else 0.0) ]
               4.0 * g * g |]
    assertClose 1e-12 "estimate" expected (floats estimate.Bias)

[<Test>]
let ``Adafactor factors matrices`` () =
    let o =
        Optim.adafactor
            { Optim.adafactorDefaults with
                RelativeStep = false
                ScaleParameter = false
                ClipThreshold = 1e9 }
    let p, state = run o 0.1 1 constantly net
    let g = floats gradients.Weight
    let rows = [| for i in 0..1 -> Seq.average [ for j in 0..2 -> g[3 * i + j] * g[3 * i + j] ] |]
    let columns = [| for j in 0..2 -> Seq.average [ for i in 0..1 -> g[3 * i + j] * g[3 * i + j] ] |]
    let expected =
        floats net.Weight
        |> Array.mapi (fun k w -> w - 0.1 * g[k] / sqrt (rows[k / 3] * columns[k % 3] / Array.average rows))
    assertClose 1e-12 "weight" expected (floats p.Weight)
    let shapes = Optimizer.named o [| "Weight"; "Bias" |] state |> Array.map (fun (n, t) -> n, List.ofArray t.Shape)
    Assert.That(
        shapes,
        Is.EqualTo<(string * int list)[]>
            [| "exp_avg_sq_row.Weight", [ 2 ]; "exp_avg_sq_col.Weight", [ 3 ]; "exp_avg_sq.Bias", [ 2 ] |]
    )

[<Test>]
let ``L-BFGS finds the bottom of Rosenbrock's valley`` () =
    let f (x: Tensor, y: Tensor) = sum (square (1.0 - x) + square (y - square x) * 100.0)
    let evaluate = jit (fun p -> valueAndGrad f p)
    let options =
        { Lbfgs.defaults with
            StrongWolfe = true
            Iterations = 60
            Evaluations = 100
            ChangeTolerance = 1e-14 }
    let before, (x, y), state = Lbfgs.step options evaluate Lbfgs.start (f64 [ 1 ] [ -1.2 ], f64 [ 1 ] [ 1.0 ])
    Assert.That(before, Is.EqualTo(24.2).Within 1e-12)
    assertClose 1e-5 "minimum" [| 1.0; 1.0 |] [| item x; item y |]
    let again, _, _ = Lbfgs.step options evaluate state (x, y)
    Assert.That(again, Is.LessThan 1e-10)

[<Test>]
let ``every optimizer trains`` () =
    let x = Random.normalOf DType.F64 (Random.key 1L) [| 32; 3 |] |> eval
    let y = eval (matmul x (f64 [ 3; 2 ] [ 1.0; -1.0; 0.5; 2.0; -2.0; 0.0 ]) + f64 [ 2 ] [ 0.3; -0.7 ])
    let loss (p: Net) = mean (square (matmul x (transpose p.Weight) + p.Bias - y))
    let muon = Transform.groups [ Choose.matrices, Optim.muon Optim.muonDefaults ] (Optim.adam Optim.adamDefaults)
    let before = item (loss net)
    let optimizers =
        [ "sgd", 0.1, Optim.sgd { Optim.sgdDefaults with Momentum = 0.9 }
          "adam", 0.1, Optim.adam Optim.adamDefaults
          "adamW", 0.1, Optim.adamW Optim.adamWDefaults
          "adamax", 0.1, Optim.adamax Optim.momentDefaults
          "nadam", 0.1, Optim.nadam Optim.nadamDefaults
          "radam", 0.1, Optim.radam Optim.momentDefaults
          "adagrad", 0.5, Optim.adagrad Optim.adagradDefaults
          "adadelta", 10.0, Optim.adadelta Optim.adadeltaDefaults
          "rmsProp", 0.05, Optim.rmsProp Optim.rmsPropDefaults
          "rprop", 0.05, Optim.rprop Optim.rpropDefaults
          "asgd", 0.1, Optim.asgd Optim.asgdDefaults
          "adafactor", 0.1, Optim.adafactor { Optim.adafactorDefaults with RelativeStep = false }
          "lion", 0.05, Optim.lion Optim.lionDefaults
          "lamb", 0.1, Optim.lamb Optim.lambDefaults
          "muon", 0.05, muon
          "sam", 0.1, Optim.sgd Optim.sgdDefaults ]
    let slow =
        [ for name, rate, o in optimizers do
              let gradient p = if name = "sam" then snd (Sam.valueAndGrad 0.05 loss p) else grad loss p
              let after = item (loss (fst (run o rate 300 gradient net)))
              if not (after < 0.1 * before) then $"{name}: {after} of {before}" ]
    Assert.That(slow, Is.Empty)

[<Test>]
let ``Sophia trains, with a new Hessian every few steps`` () =
    let x = Random.normalOf DType.F64 (Random.key 1L) [| 64; 3 |] |> eval
    let classes = eval (cast DType.I64 (gt (sumOver [ 1 ] x) (zerosOf DType.F64 [| 64 |])))
    let logits (p: Net) = matmul x (transpose p.Weight) + p.Bias
    let loss p = Loss.crossEntropy (logits p) classes
    let options = { Optim.sophiaDefaults with Every = 5L; WeightDecay = 0.0 }
    let o = Optim.sophia options
    let step = jit (fun (p, s, n) -> Optim.update o (UpdateContext.Of(n, f64 [] [ 0.05 ])) (grad loss p) s p)
    let observe =
        jit (fun (p, s, n) -> Sophia.observe options o (Sophia.estimate (Random.foldIn (Random.key 2L) n) logits p) s)
    let mutable p, s = net, eval (Optim.init o net)
    for i in 0..99 do
        let n = i32 [] [ i ]
        if Sophia.isDue options (int64 i) then s <- observe (p, s, n)
        let later, next = step (p, s, n)
        p <- later
        s <- next
    Assert.That(item (loss p), Is.LessThan(0.2 * item (loss net)))

[<Test>]
let ``16-bit parameters stay 16-bit, their moments are f32`` () =
    let p = [| cast DType.BF16 (f32 [ 2 ] [ 1.0; 2.0 ]) |> eval |]
    let o = Optim.adamW Optim.adamWDefaults
    let next, state = Optim.update o (UpdateContext.Of(i32 [] [ 0 ], f32 [] [ 0.5 ])) p (Optim.init o p) p |> eval
    Assert.That(next[0].DType, Is.EqualTo DType.BF16)
    Assert.That(state |> Array.map (fun s -> s[0].Value.DType), Has.All.EqualTo DType.F32)
    assertClose 1e-2 "step" [| 0.495; 1.49 |] (floats next[0])

// ------------------------------------------------------------------------------------------------ clipping

[<Test>]
let ``clipping`` () =
    let g = [| f32 [ 2 ] [ 0.3; 0.4 ] |]
    Assert.That(floats (Array.head (Clip.byNorm 2.0 1.0 g)), Is.EqualTo<float[]>(floats g[0]), "small ones stay")
    assertClose 1e-5 "half" [| 0.15; 0.2 |] (floats (Array.head (Clip.byNorm 2.0 0.25 g)))
    assertClose 1e-6 "value" [| 0.3; 0.35 |] (floats (Array.head (Clip.byValue 0.35 g)))
    Assert.That(item (Clip.norm 3.0 g), Is.EqualTo(Math.Pow(0.027 + 0.064, 1.0 / 3.0)).Within 1e-6)
    Assert.That(Clip.byNorm 2.0 1.0 [||], Is.Empty)
    // Rows of norm 5 and 0.5 with gradients of norm 1: at most a tenth of the row.
    let w, g = f64 [ 2; 2 ] [ 3.0; 4.0; 0.3; 0.4 ], f64 [ 2; 2 ] [ 0.6; 0.8; 0.0; 1.0 ]
    let o = Clip.adaptive 0.1 1e-3
    let steps, _ = o.Update (context 0 1.0) [| g |] [||] [| "w", w |]
    assertClose 1e-12 "adaptive" [| 0.3; 0.4; 0.0; 0.05 |] (floats steps[0])

[<Test>]
let ``impossible options are refused`` () =
    raises<ArgumentException> [ "first beta"; "below 1" ] (fun () ->
        Optim.adamW { Optim.adamWDefaults with Beta1 = 1.0 } |> ignore)
    raises<ArgumentException> [ "Nesterov" ] (fun () -> Optim.sgd { Optim.sgdDefaults with Nesterov = true } |> ignore)
    raises<ArgumentException> [ "largest norm" ] (fun () -> Clip.byNorm 2.0 -1.0 [||] |> ignore)
    raises<ArgumentException> [ "order of a norm" ] (fun () -> Clip.norm 0.0 [||] |> ignore)
    raises<ArgumentException> [ "weight decay"; "at least 0, not -1" ] (fun () ->
        Optim.radam { Optim.momentDefaults with WeightDecay = -1.0 } |> ignore)
    raises<ArgumentException> [ "epsilon" ] (fun () -> Optim.adam { Optim.adamDefaults with Eps = -1.0 } |> ignore)
    raises<ArgumentException> [ "Rho" ] (fun () -> Optim.adadelta { Optim.adadeltaDefaults with Rho = 1.5 } |> ignore)
    raises<ArgumentException> [ "EtaMinus" ] (fun () ->
        Optim.rprop { Optim.rpropDefaults with EtaMinus = 1.5 } |> ignore)
    raises<ArgumentException> [ "relative steps" ] (fun () ->
        Optim.adafactor { Optim.adafactorDefaults with RelativeStep = false; WarmupInit = true } |> ignore)
    raises<ArgumentException> [ "matrices"; "f64[2]"; "Transform.groups" ] (fun () ->
        run (Optim.muon Optim.muonDefaults) 0.1 1 pull net |> ignore)
    raises<ArgumentException> [ "no slot 'ema'"; "exp_avg, exp_avg_sq" ] (fun () ->
        let o = Optim.adam Optim.adamDefaults
        Optim.slot "ema" o (Optim.init o net) net |> ignore)
    raises<ArgumentException> [ "history" ] (fun () ->
        Lbfgs.step { Lbfgs.defaults with History = 0 } (fun p -> p, p) Lbfgs.start net.Bias |> ignore)
    raises<ArgumentException> [ "not Sophia" ] (fun () ->
        let o = Optim.sgd Optim.sgdDefaults
        Sophia.observe Optim.sophiaDefaults o net (Optim.init o net) |> ignore)

[<Test>]
let ``ASGD's rate is that of the update before, as PyTorch's`` () =
    let rates = [ 0.1; 0.05; 0.2 ]
    let o = Optim.asgd { Optim.asgdDefaults with Lambda = 0.1 }
    let mutable p, s = net, Optim.init o net
    for i, rate in List.indexed rates do
        let later, next = Optim.update o (context i rate) gradients s p |> eval
        p <- later
        s <- next
    let etas =
        float (float32 rates[0])
        :: [ for i in 0..1 -> float (float32 (rates[i] / Math.Pow(1.0 + 0.1 * rates[i] * float (i + 1), 0.75))) ]
    let move g p eta = p * (1.0 - 0.1 * eta) - eta * g
    assertClose 1e-13 "asgd" (Array.map2 (fun p g -> List.fold (move g) p etas) (all net) (all gradients)) (all p)
