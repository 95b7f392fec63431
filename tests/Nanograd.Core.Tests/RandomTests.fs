/// Random tensors: reproducible, independent of what they are computed with, and distributed as they say (seeded keys; the bounds
/// are those of tests at a level of about 1e-4 for the given number of samples).
module Nanograd.Core.Tests.RandomTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

let private key = Random.key 20261L
let private count = 20000
let private of' (x: float) = scalar x

/// The normal distribution function: its series (Abramowitz and Stegun 26.2.11), or in the tails the continued fraction (26.2.14).
let private phi (x: float) =
    let a = abs x
    let density = exp (-a * a / 2.0) / sqrt (2.0 * Math.PI)
    let upper =
        if a > 40.0 then
            0.0
        elif a > 3.5 then
            density / Seq.foldBack (fun k acc -> a + float k / acc) [ 1..120 ] a
        else
            let mutable term, total, n = a, a, 1.0
            while abs term > 1e-17 * total do
                n <- n + 2.0
                term <- term * a * a / n
                total <- total + term
            0.5 - density * total
    if x < 0.0 then upper else 1.0 - upper

/// Samples, and the distribution function of each.
let private continuous: (string * (Tensor -> int[] -> Tensor) * (float -> float)) list =
    [ "uniform", Random.uniform, id
      "uniformOf f64", Random.uniformOf DType.F64, id
      "uniformIn", Random.uniformIn (of' -2.0) (of' 3.0), (fun x -> (x + 2.0) / 5.0)
      "normal", Random.normal, phi
      "normalOf f64", Random.normalOf DType.F64, phi
      "normalWith", Random.normalWith (of' 5.0) (of' 2.0), (fun x -> phi ((x - 5.0) / 2.0))
      "logNormal", Random.logNormal (of' 0.0) (of' 1.0), (fun x -> phi (log x))
      "truncatedNormal", Random.truncatedNormal -1.0 2.0, (fun x -> (phi x - phi -1.0) / (phi 2.0 - phi -1.0))
      "truncatedNormal in the tail", Random.truncatedNormal 6.0 infinity, (fun x -> 1.0 - phi -x / phi -6.0)
      "exponential", Random.exponential (of' 2.0), (fun x -> 1.0 - exp (-2.0 * x))
      "gumbel", Random.gumbel, (fun x -> exp (-exp -x))
      "logistic", Random.logistic, (fun x -> 1.0 / (1.0 + exp -x))
      "laplace", Random.laplace, (fun x -> if x < 0.0 then 0.5 * exp x else 1.0 - 0.5 * exp -x)
      "cauchy", Random.cauchy, (fun x -> 0.5 + Math.Atan x / Math.PI)
      "gamma 1", Random.gamma (of' 1.0), (fun x -> 1.0 - exp -x)
      "gamma 3", Random.gamma (of' 3.0), (fun x -> 1.0 - exp -x * (1.0 + x + x * x / 2.0))
      "gamma 1/2", Random.gamma (of' 0.5), (fun x -> 2.0 * phi (sqrt (2.0 * x)) - 1.0)
      "chiSquared 2", Random.chiSquared (of' 2.0), (fun x -> 1.0 - exp (-x / 2.0))
      "beta 2 3", Random.beta (of' 2.0) (of' 3.0), (fun x -> x * x * (6.0 - 8.0 * x + 3.0 * x * x))
      "beta 1/2 1/2", Random.beta (of' 0.5) (of' 0.5), (fun x -> 2.0 / Math.PI * Math.Asin(sqrt x))
      "studentT 1", Random.studentT (of' 1.0), (fun x -> 0.5 + Math.Atan x / Math.PI)
      "studentT 2", Random.studentT (of' 2.0), (fun x -> 0.5 + x / (2.0 * sqrt (2.0 + x * x)))
      "one of dirichlet",
      (fun key shape -> select -1 0 (Random.dirichlet (tensor [ 1.0; 1.0; 2.0 ]) key (Array.append shape [| 3 |]))),
      (fun x -> 1.0 - Math.Pow(1.0 - x, 3.0)) ]

let private continuousNames = continuous |> List.map (fun (n, _, _) -> n)

[<TestCaseSource(nameof continuousNames)>]
let ``Kolmogorov and Smirnov find nothing`` (name: string) =
    let _, sample, distribution = continuous |> List.find (fun (n, _, _) -> n = name)
    let xs = floatsOf (sample key [| count |]) |> Array.sort
    let n = float count
    let distance =
        xs
        |> Array.mapi (fun i x ->
            let p = distribution x
            max (abs (p - float i / n)) (abs (p - float (i + 1) / n)))
        |> Array.max
    Assert.That(Array.forall Double.IsFinite xs, "all finite")
    // P(sqrt n D > 2.2) = 2 exp(-2 2.2²) = 1.3e-4.
    Assert.That(sqrt n * distance, Is.LessThan 2.2)

let private poissonMass (rate: float) (k: int) =
    exp (float k * log rate - rate - Seq.sumBy (fun i -> log (float i)) [ 1..k ])

/// Samples, and the probability of each of the numbers 0, 1, ...
let private discrete: (string * (Tensor -> int[] -> Tensor) * float[]) list =
    [ "bernoulli", Random.bernoulli (of' 0.3), [| 0.7; 0.3 |]
      "integers", Random.integers 0 7, Array.create 7 (1.0 / 7.0)
      "categorical", Random.categorical (log (tensor [ 0.1; 0.2; 0.7 ])), [| 0.1; 0.2; 0.7 |]
      "multinomial",
      (fun key shape -> Random.multinomial shape[0] true (tensor [ 1.0; 0.0; 3.0 ]) key),
      [| 0.25; 0.0; 0.75 |]
      "geometric", Random.geometric (of' 0.4), Array.init 20 (fun k -> 0.4 * Math.Pow(0.6, float k))
      "poisson 0.7", Random.poisson (of' 0.7), Array.init 12 (poissonMass 0.7)
      "poisson 6", Random.poisson (of' 6.0), Array.init 30 (poissonMass 6.0)
      "poisson 10", Random.poisson (of' 10.0), Array.init 45 (poissonMass 10.0)
      "poisson 40", Random.poisson (of' 40.0), Array.init 110 (poissonMass 40.0)
      "poisson of mixed rates",
      (fun key shape -> Random.poisson (tensor [ 3.0; 25.0 ]) key [| shape[0] / 2; 2 |]),
      Array.init 80 (fun k -> (poissonMass 3.0 k + poissonMass 25.0 k) / 2.0) ]

let private discreteNames = discrete |> List.map (fun (n, _, _) -> n)

[<TestCaseSource(nameof discreteNames)>]
let ``chi-squared finds nothing`` (name: string) =
    let _, sample, mass = discrete |> List.find (fun (n, _, _) -> n = name)
    let xs = floatsOf (sample key [| count |])
    let seen = xs |> Array.countBy int |> Map.ofArray
    let expected = mass |> Array.map (fun p -> p * float count)
    let observed = Array.init mass.Length (fun k -> float (Map.tryFind k seen |> Option.defaultValue 0))
    Assert.That(Array.forall (fun x -> x >= 0.0 && x < float mass.Length && x = floor x) xs, "whole numbers in range")
    // Rare numbers are one class.
    let common =
        [| for k in 0 .. mass.Length - 1 do
               if expected[k] >= 10.0 then k |]
    let rest (v: float[]) = Array.sum v - Array.sumBy (fun k -> v[k]) common
    let statistic =
        (common |> Array.sumBy (fun k -> (observed[k] - expected[k]) ** 2.0 / expected[k]))
        + (if rest expected > 1.0 then (rest observed - rest expected) ** 2.0 / rest expected else rest observed)
    let freedom = float (max 1 (common.Length - 1))
    // Wilson and Hilferty: the cube root is nearly normal; 4 deviations.
    let bound = freedom * Math.Pow(1.0 - 2.0 / (9.0 * freedom) + 4.0 * sqrt (2.0 / (9.0 * freedom)), 3.0)
    Assert.That(statistic, Is.LessThan bound)

/// Mean and variance of what has no simple distribution function.
let private moments: (string * (Tensor -> int[] -> Tensor) * float * float) list =
    [ "gamma 0.1", Random.gamma (of' 0.1), 0.1, 0.1
      "gamma 7.5", Random.gamma (of' 7.5), 7.5, 7.5
      "gamma 1000", Random.gamma (of' 1000.0), 1000.0, 1000.0
      "beta 5 0.7", Random.beta (of' 5.0) (of' 0.7), 5.0 / 5.7, 5.0 * 0.7 / (5.7 * 5.7 * 6.7)
      "poisson 1000", Random.poisson (of' 1000.0), 1000.0, 1000.0
      "poisson 1e6", Random.poisson (of' 1e6), 1e6, 1e6
      "poisson 0", Random.poisson (of' 0.0), 0.0, 0.0
      "studentT 10", Random.studentT (of' 10.0), 0.0, 1.25 ]

let private momentNames = moments |> List.map (fun (n, _, _, _) -> n)

[<TestCaseSource(nameof momentNames)>]
let ``means and variances`` (name: string) =
    let _, sample, mean, variance = moments |> List.find (fun (n, _, _, _) -> n = name)
    let xs = floatsOf (sample key [| count |])
    let found = Array.average xs
    Assert.That(found, Is.EqualTo(mean).Within(4.0 * sqrt (variance / float count) + 1e-9))
    Assert.That(xs |> Array.averageBy (fun x -> (x - found) ** 2.0), Is.EqualTo(variance).Within(0.1 * variance + 1e-9))

[<Test>]
let ``key and shape decide, whatever computes`` () =
    for name, sample, _ in continuous do
        let x = sample key [| 3; 5 |]
        Assert.That(x.Shape, Is.EqualTo<int[]> [| 3; 5 |], name)
        Program.withoutRewriting (fun () -> assertSame name (interpreted x) (computed x))
        Assert.That(floatsOf (sample (Random.fold key 1) [| 3; 5 |]), Is.Not.EqualTo<float[]>(floatsOf x), name)
        Assert.That((sample key [||] |> eval).Shape, Is.Empty, name)
        Assert.That((sample key [| 2; 0 |] |> eval).Count, Is.EqualTo 0, name)

[<Test>]
let ``gradients flow to the parameters of location and scale`` () =
    let slope f = grad f (of' 1.5) |> item
    let z = floatsOf (Random.normal key [| 4 |])
    Assert.That(slope (fun d -> sum (Random.normalWith (of' 0.0) d key [| 4 |])), Is.EqualTo(Array.sum z).Within 1e-5)
    Assert.That(slope (fun m -> sum (Random.normalWith m (of' 2.0) key [| 4 |])), Is.EqualTo(4.0).Within 1e-6)
    let u = floatsOf (Random.uniform key [| 4 |])
    Assert.That(slope (fun h -> sum (Random.uniformIn (of' 0.0) h key [| 4 |])), Is.EqualTo(Array.sum u).Within 1e-5)
    Assert.That(slope (fun r -> sum (Random.exponential r key [| 4 |])), Is.LessThan 0.0)
    Assert.That(slope (fun a -> sum (Random.gamma a key [| 4 |])), Is.EqualTo 0.0)

[<Test>]
let ``permutations hold every number once, in every order alike`` () =
    let orders =
        [ for i in 0..1199 -> floatsOf (Random.permutation 3 (Random.fold key i)) |> Array.toList ] |> List.countBy id
    Assert.That(orders.Length, Is.EqualTo 6)
    for _, n in orders do
        Assert.That(n, Is.EqualTo(200).Within 52) // 4 deviations
    let big = floatsOf (Random.permutation 5000 key) |> Array.sort
    Assert.That(big, Is.EqualTo<float[]>(Array.init 5000 float))

[<Test>]
let ``choice without replacement takes each once`` () =
    let x = arange DType.I64 10
    for i in 0..20 do
        let picks = floatsOf (Random.choice 10 false (Random.fold key i) x) |> Array.sort
        Assert.That(picks, Is.EqualTo<float[]>(Array.init 10 float))
        let drawn = floatsOf (Random.multinomial 3 false (ones [| 4 |]) (Random.fold key i))
        Assert.That((Array.distinct drawn).Length, Is.EqualTo 3)
    raises<ShapeException> "Random.choice: 11 slices cannot be drawn, got i64[10]; draw with replacement?" (fun () ->
        Random.choice 11 false key x |> ignore)

[<Test>]
let ``the tails of the normal are there`` () =
    let x = floatsOf (Random.normal key [| 2000000 |])
    for bound in [ 3.0; 4.0; 4.5 ] do
        let expected = 4.0e6 * phi -bound
        let seen = x |> Array.filter (fun v -> abs v > bound) |> Array.length |> float
        Assert.That(seen, Is.EqualTo(expected).Within(4.5 * sqrt expected), $"beyond {bound}")

[<Test>]
let ``integers of wide ranges`` () =
    let x = floatsOf (Random.integers Int32.MinValue Int32.MaxValue key [| 4000 |])
    Assert.That(Array.average x, Is.EqualTo(0.0).Within(4.0 * 4294967296.0 / sqrt (12.0 * 4000.0)))
    Assert.That(Array.min x, Is.LessThan -2.1e9)
    Assert.That(Array.max x, Is.GreaterThan 2.1e9)
