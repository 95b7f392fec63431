/// Training: what one option promises, checked on small problems.
module Nanograd.Models.Tests.TrainingTests

open System
open System.IO
open System.Threading
open NUnit.Framework
open Nanograd

// ------------------------------------------------------------------------------------------------ a small problem

/// Two classes of points in the plane, 16 to a batch: which side of a curve they are on.
let private count, size = 96, 16

let private points =
    let x = Random.normal (Random.key 3L) [| count; 2 |] |> eval
    let y = cast DType.I32 (gt (select 1 1 x) (square (select 1 0 x) - 0.5)) |> eval
    x, y

let private rows first after (t: Tensor) =
    Op.slice
        (Array.init t.Rank (fun a -> if a = 0 then first else 0))
        (Array.init t.Rank (fun a -> if a = 0 then after else t.Shape[a]))
        (Array.create t.Rank 1)
        t

let private batch size i =
    let x, y = points
    eval (rows (i * size) ((i + 1) * size) x, rows (i * size) ((i + 1) * size) y)

/// An epoch's batches, in an order of its own.
let private batches size (epoch: int) =
    let n = count / size
    Seq.init n (fun i -> batch size ((i * 5 + epoch) % n))

let private validation = [ points ]

[<NoComparison>]
type private Net = { Hidden: Linear; Norm: ChannelNorm; Out: Linear }

let private net () =
    let part = Random.fold (Random.key 8L)
    { Hidden = Linear.init (part 0) 2 16 true
      Norm = BatchNorm.init 16
      Out = Linear.init (part 1) 16 2 true }

let private apply (p: Net) (s: BatchNormState) key x =
    let h = Linear.apply p.Hidden x
    let h, next =
        match key with
        | Some _ ->
            let y, next = BatchNorm1d.train BatchNormOptions.Default p.Norm (Some s) h
            y, next.Value
        | None -> BatchNorm1d.evaluate BatchNormOptions.Default p.Norm s h, s
    Linear.apply p.Out (Dropout.maybe 0.2 key 1 (relu h)), next

/// With batch normalisation and dropout: a state and keys.
let private objective = Objective.ofModel [ Metric.accuracy ] Loss.crossEntropy apply

/// Without: nothing but parameters.
let private plain =
    Objective.supervised [ Metric.accuracy ] Loss.crossEntropy (fun (p: Net) _ x ->
        Linear.apply p.Out (tanh (Linear.apply p.Hidden x)))

let private options = { Train.defaults with Epochs = 4; Rate = LearningRate.constant 1e-2; Seed = 5L }

let private fit o = Train.fitModel o objective (batches size) validation (net ()) (BatchNorm.state 16)
let private fitPlain o = Train.fit o plain (batches size) validation (net ())
let private digest (r: TrainResult<Net, 'S>) =
    Safetensors.sha256 (named (List.ofArray (Tree.named (r.State.Parameters, r.State.Model, r.State.Slots))))
let private values (r: TrainResult<Net, 'S>) = Tree.leaves r.State.Parameters |> Array.collect floats

// ------------------------------------------------------------------------------------------------ the loop

[<Test>]
let ``it learns, and the history has every step and every epoch`` () =
    let r = fit { options with Epochs = 30 }
    Assert.That(r.Ending, Is.EqualTo Ending.Finished)
    Assert.That(r.History.Steps.Count, Is.EqualTo 180)
    Assert.That(r.History.Steps[179].Epoch, Is.EqualTo 30)
    Assert.That(r.History["loss"].Length, Is.EqualTo 30)
    Assert.That(Array.last r.History["val_accuracy"], Is.GreaterThan 0.9)
    Assert.That(Array.last r.History["val_loss"], Is.LessThan(0.5 * r.History["val_loss"].[0]))
    Assert.That(floats r.Model.NumBatchesTracked, Is.EqualTo<float[]> [| 180.0 |])
    raises<Collections.Generic.KeyNotFoundException> [ "'bleu'"; "val_accuracy" ] (fun () ->
        r.History["bleu"] |> ignore)

/// A run that is cut at a step and goes on in another one.
let private cut (o: TrainOptions) (at: int64) fit =
    inFolder (fun folder ->
        let kept = { o with Folder = Some folder; Save = Due.Steps 3L; Resume = true }
        use source = new CancellationTokenSource()
        let stop (s: StepRecord) = if s.Step = at then source.Cancel()
        let part: TrainResult<Net, 'S> = fit { kept with Cancel = source.Token; OnStep = [ stop ] }
        Assert.That(part.Ending, Is.EqualTo Ending.Interrupted)
        Assert.That(part.History.Steps.Count, Is.EqualTo(int at))
        let rest: TrainResult<Net, 'S> = fit kept
        let whole: TrainResult<Net, 'S> = fit o
        Assert.That(digest rest, Is.EqualTo(digest whole))
        let losses (r: TrainResult<Net, 'S>) = [| for s in r.History.Steps -> s.Step, s.Loss, s.Rate |]
        Assert.That(losses rest, Is.EqualTo(losses whole :> obj))
        for name in whole.History.Names do
            Assert.That(rest.History[name], Is.EqualTo<float[]> whole.History[name], name))

let private runs =
    let adamW = Optim.adamW Optim.adamWDefaults
    dict
        [ "plain", options
          "accumulating", { options with Accumulate = 2 }
          "an average",
          { options with
              Average = Some 0.9
              KeepBest = Some { Monitor = "val_loss"; Better = Better.Smaller } }
          "f16",
          { options with
              Precision = Precision.Float16 { LossScaling.Default with Interval = 3 } }
          "bf16 weights", { options with Precision = Precision.BFloat16Weights }
          "a plateau",
          { options with
              Plateau = Some { Plateau.defaults with Patience = 0; Threshold = 10.0; Factor = 0.5 }
              Validate = Due.Steps 2L }
          "sam", { options with Method = Method.Sam(0.05, adamW); Clipping = Clipping.Norm 0.5 }
          "sophia", { options with Method = Method.Sophia { Optim.sophiaDefaults with Every = 3L } } ]

let private names = runs.Keys |> Seq.toArray

[<TestCaseSource(nameof names)>]
let ``a run that is interrupted and resumed ends bit for bit like one without a break`` (name: string) =
    cut runs[name] 10L fit

[<Test>]
let ``L-BFGS is resumed with its history`` () =
    let whole =
        { options with
            Epochs = 12
            Method = Method.Lbfgs { Lbfgs.defaults with Iterations = 3; StrongWolfe = true } }
    cut whole 7L (fun o -> Train.fit o plain (batches count) validation (net ()))

[<Test>]
let ``micro-batches together make the step of one large batch`` () =
    for o in [ options; { options with Clipping = Clipping.Norm 0.1 } ] do
        let o = { o with Epochs = 1; Steps = 2L }
        let whole = Train.fit o plain (fun _ -> Seq.init 2 (batch 48)) [] (net ())
        // 48 = 16 + 16 + 16; and unequal parts count by their examples.
        let three = Train.fit { o with Accumulate = 3 } plain (fun _ -> Seq.init 6 (batch 16)) [] (net ())
        assertClose 1e-5 "three" (values whole) (values three)
        let uneven _ =
            let x, y = points
            [ for a, b in [ 0, 40; 40, 48; 48, 88; 88, 96 ] -> eval (rows a b x, rows a b y) ]
        let two = Train.fit { o with Accumulate = 2 } plain uneven [] (net ())
        assertClose 1e-5 "uneven" (values whole) (values two)
        Assert.That(two.History.Steps[1].Loss, Is.EqualTo(whole.History.Steps[1].Loss).Within 1e-5)

[<Test>]
let ``training stops early, and the best parameters are kept`` () =
    let stopping = { Monitor = "val_loss"; Better = Better.Smaller; Patience = 2; MinDelta = 0.0 }
    let o =
        { options with
            Epochs = 200
            Rate = LearningRate.constant 0.3
            Stopping = Some stopping
            KeepBest = Some { Monitor = "val_loss"; Better = Better.Smaller } }
    let r = fit o
    let losses = r.History["val_loss"]
    let best = Array.min losses
    Assert.That(r.Ending, Is.EqualTo Ending.StoppedEarly)
    Assert.That(losses.Length, Is.EqualTo(Array.findIndex ((=) best) losses + 1 + 3))
    let x, y = points
    let loss = item (Loss.crossEntropy (fst (apply r.Parameters r.Model None x)) y)
    Assert.That(loss, Is.EqualTo(best).Within 1e-6)
    raises<ArgumentException> [ "'val_f1'"; "val_accuracy" ] (fun () ->
        fit { o with Stopping = Some { stopping with Monitor = "val_f1" } } |> ignore)

// ------------------------------------------------------------------------------------------------ numbers

[<Test>]
let ``a loss that turns NaN stops training before it does harm, and says where it came from`` () =
    let broken = Objective.ofLoss (fun (w: Tensor) _ (x: Tensor) -> mean (sqrt (x * w)))
    let data _ = [ tensor [ 1.0; 2.0 ]; tensor [ 1.0; -3.0 ]; tensor [ 2.0; 2.0 ] ]
    let run guard = Train.fit { options with Epochs = 1; NanGuard = guard } broken data [] (tensor [ 1.0; 1.0 ])
    let error = Assert.Throws<NonFiniteStepException>(Action(fun () -> run NanGuard.Stop |> ignore))
    Assert.That(error.Step, Is.EqualTo 2L)
    Assert.That(error.Message, Does.StartWith "Step 2: the loss is NaN")
    Assert.That(error.Report, Does.Contain "sqrt")
    let skipping = run NanGuard.Skip
    Assert.That(skipping.Skipped, Is.EqualTo 1L)
    Assert.That(skipping.History.Steps.Count, Is.EqualTo 3)
    Assert.That(floats skipping.Parameters |> Array.forall Double.IsFinite)
    Assert.That(item skipping.State.Updates, Is.EqualTo 2.0)
    let careless = run NanGuard.Off
    Assert.That(floats careless.Parameters |> Array.forall Double.IsFinite, Is.False)

[<Test>]
let ``the scale of a loss grows while all is well and backs off when something overflows`` () =
    // The gradient in f16 is the scale times x: 1 fits under 65504, 100 does not.
    let objective = Objective.ofLoss (fun (w: Tensor) _ (x: Tensor) -> sum (matmul x w))
    let scaling = { LossScaling.Default with Initial = 1024.0; Interval = 2 }
    let run (xs: float list) =
        let data _ = [ for x in xs -> reshape [| 1; 1 |] (tensor [ x ]) ]
        Train.fit
            { options with Epochs = 1; Precision = Precision.Float16 scaling }
            objective
            data
            []
            (reshape [| 1; 1 |] (tensor [ 1.0 ]))
    let scale (r: TrainResult<Tensor, unit>) = item r.State.Scale.Value.Factor
    Assert.That(scale (run [ 1.0 ]), Is.EqualTo 1024.0)
    Assert.That(scale (run [ 1.0; 1.0 ]), Is.EqualTo 2048.0)
    Assert.That(scale (run [ 1.0; 1.0; 1.0; 1.0 ]), Is.EqualTo 4096.0)
    let burst = run [ 1.0; 100.0; 1.0 ]
    Assert.That(scale burst, Is.EqualTo 512.0)
    Assert.That(burst.Skipped, Is.EqualTo 1L)
    Assert.That(item burst.State.Updates, Is.EqualTo 2.0)

[<Test>]
let ``16-bit training ends near the f32 one`` () =
    let full = fitPlain { options with Epochs = 20 }
    for precision in [ Precision.BFloat16; Precision.Float16 LossScaling.Default; Precision.BFloat16Weights ] do
        let r = fitPlain { options with Epochs = 20; Precision = precision }
        Assert.That(r.Skipped, Is.LessThan 3L, string precision)
        Assert.That(
            Array.last r.History["val_loss"],
            Is.EqualTo(Array.last full.History["val_loss"]).Within 0.05,
            string precision
        )
        let stored = if precision = Precision.BFloat16Weights then DType.BF16 else DType.F32
        Assert.That((Tree.leaves r.State.Parameters).[0].DType, Is.EqualTo stored)

[<Test>]
let ``autocast rounds what products take and give, in loops and checkpoints too`` () =
    let x, w = Random.normal (Random.key 1L) [| 4; 8 |], Random.normal (Random.key 2L) [| 8; 8 |]
    let held (t: Tensor) = cast DType.F32 (cast DType.BF16 t)
    let expected = held (matmul (held x) (held w))
    let after t = (Autocast.apply DType.BF16 [| t |])[0]
    assertClose 0.0 "product" (floats (tanh expected)) (floats (after (tanh (matmul x w))))
    assertClose 0.0 "checkpoint" (floats expected) (floats (after (checkpoint (fun x -> matmul x w) x)))
    let loop x = forLoop 2 (fun _ x -> matmul x w) x
    assertClose 0.0 "loop" (floats (held (matmul (held expected) (held w)))) (floats (after (loop x)))
    raises<ArgumentException> [ "bf16 or f16"; "f64" ] (fun () -> Autocast.apply DType.F64 [| x |] |> ignore)

[<Test>]
let ``stochastic rounding takes a neighbour, and is right in the mean`` () =
    let n = 20000
    let x = 1.0 + 0.3 / 128.0
    for x in [ x; -x; 3e-5; 0.0; 1.0 ] do
        let rounded = floats (StochasticRounding.toBFloat16 (Random.key 4L) (full DType.F32 [| n |] x))
        let step = Math.ScaleB(1.0, (if x = 0.0 then -20 else Math.ILogB x) - 7)
        Assert.That(rounded |> Array.forall (fun r -> abs (r - x) < step))
        Assert.That(Array.average rounded, Is.EqualTo(x).Within(step * 0.02))
    for x in [ infinity; -infinity; nan ] do
        Assert.That(
            floats (StochasticRounding.toBFloat16 (Random.key 4L) (full DType.F32 [| 1 |] x)),
            Is.EqualTo<float[]> [| x |]
        )

// ------------------------------------------------------------------------------------------------ memory

/// A deep narrow net on a large batch: its memory is that of activations.
let private deep =
    Objective.ofLoss (fun (ws: Tensor list) _ (x: Tensor) ->
        mean (square (List.fold (fun x w -> x + tanh (matmul (gelu x) w)) x ws)))

let private deepWeights = List.init 12 (fun i -> Random.normal (Random.fold (Random.key 6L) i) [| 16; 16 |] * 0.2)

[<Test>]
let ``a budget is kept by the plan, and changes no value`` () =
    let x = Random.normal (Random.key 7L) [| 512; 16 |] |> eval
    let o = { options with Epochs = 1; Method = Method.Of(Optim.sgd Optim.sgdDefaults) }
    let run o = Train.fit o deep (fun _ -> [ x; x; x ]) [] deepWeights
    let state = Train.start o deepWeights ()
    let planned r =
        let step (s, x) =
            let transformed =
                { deep with
                    Run =
                        fun p s key b ->
                            let outcome = deep.Run p s key b
                            { outcome with Loss = (Recomputation.apply r [| outcome.Loss |])[0] } }
            Train.step o transformed s x
        Recomputation.plannedBytes (Tree.leaves state).Length step (state, x)
    let all = planned Recomputation.none
    let sizes = Recomputation.candidates |> List.map planned
    TestContext.Out.WriteLine(String.Join(", ", sizes))
    let least = List.min sizes
    Assert.That(float least, Is.LessThan(0.6 * float all))
    let whole = run o
    for budget in [ all; (all + least) / 2L; least + 4096L ] do
        let r = run { o with Budget = Some budget }
        Assert.That(planned r.Recomputation, Is.LessThanOrEqualTo(budget + 4096L))
        assertClose
            1e-6
            "weights"
            (whole.Parameters |> List.toArray |> Array.collect floats)
            (r.Parameters |> List.toArray |> Array.collect floats)
    Assert.That((run { o with Budget = Some(all * 2L) }).Recomputation, Is.EqualTo Recomputation.none)
    raises<InvalidOperationException> [ "The memory budget is 0.01 MB"; "at least"; "MB" ] (fun () ->
        run { o with Budget = Some 10000L } |> ignore)

[<Test>]
let ``recomputation keeps values and gradients of nets with several results, dropout and loops`` () =
    let x = Random.normal (Random.key 7L) [| 6; 8 |] |> eval
    let w = Random.normal (Random.key 8L) [| 8; 8 |] |> eval
    let f (w: Tensor) =
        let h = Dropout.apply 0.3 (Random.key 9L) (matmul x w)
        let top, _ = Op.topK 4 h
        let looped = forLoop 3 (fun _ h -> tanh (matmul h w)) h
        let state, ys = scan (fun c x -> c + x, c * x) (zeros [| 8 |]) looped
        mean (square top) + mean looped + sum (state * mean ys)
    let expected = floats (grad f w)
    for segments, recomputed in [ 2, 1; 3, 2; 8, 7; 30, 29; 64, 63 ] do
        let again w = (Recomputation.apply { Segments = segments; Recomputed = recomputed } [| f w |])[0]
        assertClose 1e-6 $"{segments}" [| item (f w) |] [| item (again w) |]
        assertClose 1e-5 $"{segments}" expected (floats (grad again w))

// ------------------------------------------------------------------------------------------------ metrics and history

[<Test>]
let ``metrics add up over batches`` () =
    let logits = f32 [ 4; 3 ] [ 3.0; 1.0; 2.0; 0.0; 1.0; 2.0; 5.0; 4.0; 0.0; 1.0; 2.0; 3.0 ]
    let targets = i32 [ 4 ] [ 0; 1; 1; 2 ]
    let whole (m: Metric) = m.Value(floats (m.Sums logits targets))
    let parts (m: Metric) =
        let half a b = floats (m.Sums (rows a b logits) (rows a b targets))
        m.Value(Array.map2 (+) (half 0 1) (half 1 4))
    for m in [ Metric.accuracy; Metric.topK 2; Metric.f1 3; Metric.precision 3; Metric.recall 3; Metric.perplexity ] do
        Assert.That(parts m, Is.EqualTo(whole m).Within 1e-9, m.Name)
    Assert.That(whole Metric.accuracy, Is.EqualTo 0.5)
    Assert.That(whole (Metric.topK 2), Is.EqualTo 1.0)
    Assert.That(
        floats (Metric.confusionMatrix 3 logits targets),
        Is.EqualTo<float[]> [| 1.0; 0.0; 0.0; 1.0; 0.0; 1.0; 0.0; 0.0; 1.0 |]
    )
    // scikit-learn: f1_score([0,1,1,2], [0,2,0,2], average="macro")
    Assert.That(whole (Metric.f1 3), Is.EqualTo(4.0 / 9.0).Within 1e-12)
    Assert.That(whole Metric.perplexity, Is.EqualTo(exp (item (Loss.crossEntropy logits targets))).Within 1e-5)
    let p, t = f32 [ 2; 2 ] [ 1.0; 2.0; 3.0; 4.0 ], f32 [ 2; 2 ] [ 1.0; 2.0; 3.0; 2.0 ]
    let value (m: Metric) = m.Value(floats (m.Sums p t))
    Assert.That(value Metric.meanSquaredError, Is.EqualTo 1.0)
    Assert.That(value Metric.meanAbsoluteError, Is.EqualTo 0.5)
    raises<ShapeException> [ "accuracy"; "f32[4,3]"; "i32[3]" ] (fun () ->
        Metric.accuracy.Sums logits (i32 [ 3 ] [ 0; 1; 2 ]) |> ignore)

[<Test>]
let ``a history draws itself, and is written and read again`` () =
    let r = fit options
    let h = r.History
    let text = string h
    Assert.That(text, Does.Contain "loss")
    Assert.That(text, Does.Contain "● validation")
    Assert.That(text, Does.Contain "accuracy")
    Assert.That(text.Split '\n' |> Array.forall (fun line -> line.Length <= 101))
    Assert.That(text |> Seq.exists (fun c -> c > '\u2800' && c <= '\u28FF'))
    let page = h.ToPage "Two classes & more"
    Assert.That(page, Does.StartWith "<!DOCTYPE html>")
    Assert.That(page, Does.Contain "Two classes &amp; more")
    Assert.That(page, Does.Contain "<polyline")
    Assert.That(page, Does.Not.Contain "<script")
    Assert.That(page, Does.Not.Contain "http")
    let again = History.OfJson(h.ToJson())
    Assert.That(again.ToJson(), Is.EqualTo(h.ToJson()))
    Assert.That(again.ToPage "x", Is.EqualTo(h.ToPage "x"))
    let lines = h.ToCsv().TrimEnd('\n').Split '\n'
    Assert.That(lines[0], Does.StartWith "step,epoch,loss,rate,gradient_norm,seconds")
    Assert.That(lines.Length, Is.EqualTo(1 + h.Steps.Count))
    Assert.That(lines |> Array.map (fun l -> l.Split(',').Length) |> Array.distinct |> Array.length, Is.EqualTo 1)
    Assert.That(string (History()), Is.EqualTo "loss: nothing to draw yet")
    raises<InvalidDataException> [ "no training history" ] (fun () -> History.OfJson "{}" |> ignore)

[<Test>]
let ``the history of a long run is thinned, and goes on so when it is read again`` () =
    let long = History()
    let add (h: History) step =
        h.Add
            { Step = step
              Epoch = 1
              Loss = 1.0
              Rate = 0.1
              GradientNorm = nan
              Examples = 1L
              Seconds = 1.0 }
    for step in 1L .. 50_000L do
        add long step
    Assert.That(long.Steps.Count, Is.EqualTo 12_500)
    Assert.That(long.Steps |> Seq.forall (fun s -> s.Step % 4L = 0L))
    let again = History.OfJson(long.ToJson())
    for step in 50_001L .. 50_004L do
        add again step
    Assert.That(again.Steps.Count, Is.EqualTo 12_501)

[<Test>]
let ``progress is written line by line where it is redirected`` () =
    use writer = new StringWriter()
    fit { options with Progress = Progress.Lines writer } |> ignore
    let lines = writer.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries)
    Assert.That(lines[0], Does.StartWith "step 1, epoch 1, loss ")
    Assert.That(lines |> Array.filter (fun l -> l.Contains "val_accuracy") |> Array.length, Is.EqualTo 4)
    Assert.That(writer.ToString(), Does.Not.Contain "\r")

[<Test>]
let ``mistakes are named`` () =
    raises<ArgumentException> [ "at least 1 batch, not 0" ] (fun () -> fit { options with Accumulate = 0 } |> ignore)
    raises<ArgumentException> [ "Checkpoints need a folder" ] (fun () ->
        fit { options with Save = Due.Steps 1L } |> ignore)
    raises<ArgumentException> [ "Epoch 1 has no training batch" ] (fun () ->
        Train.fit options plain (fun _ -> Seq.empty) [] (net ()) |> ignore)
    raises<ArgumentException> [ "A batch is empty" ] (fun () ->
        Train.fit options plain (fun _ -> [ zeros [| 0; 2 |], zerosOf DType.I32 [| 0 |] ]) [] (net ()) |> ignore)
    raises<ArgumentException> [ "Sophia"; "logits" ] (fun () ->
        let o = { options with Method = Method.Sophia Optim.sophiaDefaults }
        Train.fit
            o
            (Objective.ofLoss (fun (w: Tensor) _ (x: Tensor) -> mean (x * w)))
            (fun _ -> [ ones [| 1 |] ])
            []
            (ones [| 1 |])
        |> ignore)
    raises<ShapeException> [ "the loss must be a float scalar"; "f32[2]" ] (fun () ->
        Train.fit
            options
            (Objective.ofLoss (fun (w: Tensor) _ (x: Tensor) -> x * w))
            (fun _ -> [ ones [| 2 |] ])
            []
            (ones [| 2 |])
        |> ignore)
