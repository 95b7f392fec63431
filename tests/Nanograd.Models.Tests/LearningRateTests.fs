module Nanograd.Models.Tests.LearningRateTests

open System
open NUnit.Framework
open Nanograd

/// Every kind of schedule, with a name.
let private all: (string * LearningRate) list =
    let cycle = Schedulers.oneCycle Schedulers.oneCycleDefaults 0.5 60L
    let phases =
        Schedulers.oneCycle { Schedulers.oneCycleDefaults with ThreePhase = true; Anneal = Anneal.Linear } 0.5 60L
    let cyclic mode =
        Schedulers.cyclic
            { Schedulers.cyclicDefaults with
                StepSizeUp = 4L
                StepSizeDown = 7L
                Mode = mode }
            0.01
            0.1
    [ "lambda", Schedulers.lambda 0.1 (fun t -> 1.0 / (1.0 + t))
      "multiplicative", Schedulers.multiplicative 0.1 30 (fun t -> 1.0 / (1.0 + float t))
      "step", Schedulers.step 0.1 7L 0.5
      "multi step", Schedulers.multiStep 0.1 [ 3L; 3L; 20L ] 0.3
      "constant", Schedulers.constant 0.1 0.25 5L
      "linear", Schedulers.linear 0.1 0.2 0.9 11L
      "exponential", Schedulers.exponential 0.1 0.93
      "polynomial", Schedulers.polynomial 0.1 20L 2.0
      "cosine", Schedulers.cosineAnnealing 0.1 13L 0.01
      "restarts", Schedulers.cosineWarmRestarts 0.1 5L 1L 0.01
      "growing restarts", Schedulers.cosineWarmRestarts 0.1 3L 2L 0.01
      "one cycle", cycle.Rate
      "one cycle's momentum", cycle.Momentum
      "three phases", phases.Rate
      "triangular", (cyclic CyclicMode.Triangular).Rate
      "triangular2", (cyclic CyclicMode.Triangular2).Rate
      "exp range", (cyclic (CyclicMode.ExpRange 0.97)).Momentum
      "sequential",
      Schedulers.sequential [ Schedulers.linear 0.1 0.1 1.0 6L; Schedulers.cosineAnnealing 0.1 20L 0.0 ] [ 6L ]
      "chained", Schedulers.chained 0.1 [ Schedulers.constant 0.1 0.5 4L; Schedulers.exponential 0.1 0.9 ]
      "swa", Schedulers.swa Anneal.Cosine 0.1 0.02 10L
      "nanoGPT", Warmup.nanoGpt 0.1 0.01 6L 40L
      "Hugging Face's linear", Warmup.linear 0.1 5L 35L
      "Hugging Face's cosine", Warmup.cosine 0.1 5L 35L 0.5
      "hard restarts", Warmup.cosineHardRestarts 0.1 5L 35L 3
      "warm constant", Warmup.constant 0.1 5L
      "warm polynomial", Warmup.polynomial 0.1 1e-4 2.0 5L 35L
      "stable, then linear", Warmup.stableDecay Cooldown.Linear 0.1 0.01 5L 20L 10L
      "stable, then a cosine", Warmup.stableDecay Cooldown.Cosine 0.1 0.01 5L 20L 10L
      "stable, then a root", Warmup.stableDecay Cooldown.InverseRoot 0.1 0.01 5L 20L 10L
      "Noam", Warmup.noam 1.0 64 12L ]

[<Test>]
let ``the number on the host and the expression of a step agree`` () =
    let compiled = jit (fun step -> all |> List.map (fun (_, rate) -> LearningRate.expression rate step))
    for step in [ 0..45 ] @ [ 100; 1000; 123457 ] do
        for (name, rate), expression in List.zip all (compiled (i32 [] [ step ])) do
            let host = LearningRate.at rate (int64 step)
            Assert.That(item expression, Is.EqualTo(host).Within(1e-12), $"{name}, step {step}")

let private rates count rate = [ for i in 0..count -> LearningRate.at rate (int64 i) ]
let private isClose (expected: float list) actual =
    assertClose 1e-12 "rates" (List.toArray expected) (List.toArray actual)

[<Test>]
let ``schedules at points worked out by hand`` () =
    isClose [ 1.0; 1.0; 0.5; 0.5; 0.25 ] (rates 4 (Schedulers.step 1.0 2L 0.5))
    isClose [ 1.0; 0.5; 0.5; 0.125 ] (rates 3 (Schedulers.multiStep 1.0 [ 1L; 3L; 3L ] 0.5))
    isClose
        [ 1.0; 0.5; 1.0 / 6.0; 1.0 / 6.0 ]
        (rates 3 (Schedulers.multiplicative 1.0 3 (fun i -> 1.0 / float (i + 1))))
    isClose [ 1.0; 0.5; 0.0; 0.5; 1.0 ] (rates 4 (Schedulers.cosineAnnealing 1.0 2L 0.0))
    isClose [ 1.0; 0.5; 1.0; 0.5; 1.0 ] (rates 4 (Schedulers.cosineWarmRestarts 1.0 2L 1L 0.0))
    isClose [ 1.0; 1.0; 0.5; 1.0 ] (rates 3 (Schedulers.cosineWarmRestarts 1.0 1L 2L 0.0))
    isClose [ 0.5; 1.0; 1.0; 1.0; 0.5; 0.0; 0.0 ] (rates 6 (Warmup.stableDecay Cooldown.Linear 1.0 0.0 1L 2L 2L))
    isClose [ 1.0 / 8.0; 1.0 / 4.0; 3.0 / 8.0; 0.5; 1.0 / sqrt 5.0 ] (rates 4 (Warmup.noam 1.0 1 4L))
    isClose
        [ 1.0; 0.25; 0.125 ]
        (rates
            2
            (Schedulers.lambda 1.0 (fun t ->
                LearningRate.ifLess t (LearningRate.constant 1.0) (LearningRate.constant 1.0) (1.0 / (4.0 * t)))))

[<Test>]
let ``nanoGPT's schedule`` () =
    let schedule = Warmup.nanoGpt 1e-3 1e-4 100L 2000L
    isClose [ 1e-3 / 101.0 ] [ LearningRate.at schedule 0L ]
    isClose [ 1e-3; 1e-4; 1e-4 ] [ for step in [ 100L; 2000L; 5000L ] -> LearningRate.at schedule step ]
    isClose [ 1.0 ] [ LearningRate.at (Warmup.nanoGpt 1.0 0.1 5L 5L) 5L ]

[<Test>]
let ``a plateau lowers the rate only when patience is over`` () =
    let options =
        { Plateau.defaults with
            Factor = 0.5
            Patience = 1
            Cooldown = 1
            Minimum = 0.3 }
    let rates metrics =
        Seq.scan (fun p m -> Plateau.next options m p) (Plateau.start options 1.0) metrics |> Seq.map (fun p -> p.Rate)
    Assert.That(rates [ 1.0; 0.9; 0.8; 0.7 ], Has.All.EqualTo 1.0)
    // Two bad epochs, one that only cools, two bad ones more: the rate stops at the minimum.
    Assert.That(
        rates [ 1.0; 1.0; 1.0; 1.0; 1.0; 1.0 ] |> Seq.toList,
        Is.EqualTo<float list> [ 1.0; 1.0; 1.0; 0.5; 0.5; 0.5; 0.3 ]
    )

[<Test>]
let ``impossible schedules are refused`` () =
    raises<ArgumentException> [ "step size"; "at least 1" ] (fun () -> Schedulers.step 0.1 0L 0.5 |> ignore)
    raises<ArgumentException> [ "The rate must be at least 0, not -0.1." ] (fun () ->
        Schedulers.step -0.1 3L 0.5 |> ignore)
    raises<ArgumentException> [ "The rate must be at least 0, not NaN." ] (fun () ->
        Warmup.nanoGpt nan 0.0 10L 100L |> ignore)
    raises<ArgumentException> [ "Gamma" ] (fun () -> Schedulers.exponential 0.1 -0.5 |> ignore)
    raises<ArgumentException> [ "first factor"; "between 0 and 1" ] (fun () ->
        Schedulers.linear 0.1 2.0 1.0 5L |> ignore)
    raises<ArgumentException> [ "2 milestones need 3 schedules, not 1" ] (fun () ->
        Schedulers.sequential [ LearningRate.constant 1.0 ] [ 1L; 2L ] |> ignore)
    raises<ArgumentException> [ "before its warm-up of 10" ] (fun () -> Warmup.linear 0.1 10L 5L |> ignore)
    raises<ArgumentException> [ "PctStart" ] (fun () ->
        Schedulers.oneCycle { Schedulers.oneCycleDefaults with PctStart = 1.5 } 0.1 10L |> ignore)
    raises<ArgumentException> [ "factor"; "below 1" ] (fun () ->
        Plateau.start { Plateau.defaults with Factor = 1.0 } 0.1 |> ignore)
