/// Losses: laws, closed forms and errors. (Numbers: OracleTests.)
module Nanograd.Models.Tests.LossTests

open System
open NUnit.Framework
open Nanograd

let private near (what: string) (expected: float) (actual: Tensor) =
    Assert.That(item actual, Is.EqualTo(expected).Within(1e-6 * max 1.0 (abs expected)), what)

let private some (seed: int64) (shape: int[]) = Random.normalOf DType.F64 (Random.key seed) shape

// ---- reductions and errors

[<Test>]
let ``reductions are what their names say`` () =
    let losses = f64 [ 2; 3 ] [ 1.0; 2.0; 3.0; 4.0; 5.0; 9.0 ]
    near "mean" 4.0 (Loss.reduce LossReduction.Mean losses)
    near "sum" 24.0 (Loss.reduce LossReduction.Sum losses)
    near "batch mean" 12.0 (Loss.reduce LossReduction.BatchMean losses)
    Assert.That(Loss.reduce LossReduction.None losses, Is.SameAs losses)

[<Test>]
let ``an empty batch has no mean, but a sum`` () =
    let x = zeros [| 0; 3 |]
    raises<ShapeException> [ "mse"; "at least one element"; "f32[0,3]" ] (fun () -> Loss.mse x x |> ignore)
    raises<ShapeException> [ "crossEntropy"; "at least one element" ] (fun () ->
        Loss.crossEntropyWith ClassLossOptions.Default x (i32 [ 0 ] []) |> ignore)
    near "sum" 0.0 (Loss.mseOf LossReduction.Sum x x)

[<Test>]
let ``labels out of range are errors when the loss is written`` () =
    let x = zeros [| 2; 3 |]
    let bad = i32 [ 2 ] [ 0; 3 ]
    raises<IndexException> [ "crossEntropy"; "index 3"; "3 elements" ] (fun () -> Loss.crossEntropy x bad |> ignore)
    raises<IndexException> [ "nll"; "index 3" ] (fun () -> Loss.nll x bad |> ignore)
    raises<IndexException> [ "multiMargin"; "index 3" ] (fun () -> Loss.multiMargin x bad |> ignore)
    let o = { ClassLossOptions.Default with IgnoreIndex = 3 }
    near "ignored" (Math.Log 3.0) (Loss.crossEntropyWith o x bad)

[<Test>]
let ``shapes, types and numbers that do not fit are refused in one sentence`` () =
    let x, y = zeros [| 2; 3 |], zeros [| 3; 2 |]
    raises<ShapeException> [ "smoothL1"; "the same shape"; "f32[2,3]"; "f32[3,2]" ] (fun () ->
        Loss.smoothL1 x y |> ignore)
    raises<ShapeException> [ "crossEntropy"; "integer targets" ] (fun () ->
        Loss.crossEntropyWith ClassLossOptions.Default x (i32 [ 3 ] [ 0; 0; 0 ]) |> ignore)
    raises<ShapeException> [ "crossEntropy"; "one entry for each class" ] (fun () ->
        let o = { ClassLossOptions.Default with Weight = Some(ones [| 4 |]) }
        Loss.crossEntropyWith o x (i32 [ 2 ] [ 0; 0 ]) |> ignore)
    raises<ShapeException> [ "bce"; "between 0 and 1"; "1.5" ] (fun () ->
        Loss.bce (ones [| 2 |] * 1.5 |> eval) (ones [| 2 |]) |> ignore)
    raises<ArgumentException> [ "huber: delta must be positive" ] (fun () ->
        Loss.huberOf 0.0 LossReduction.Mean x x |> ignore)
    raises<ArgumentException> [ "p must be 1 or 2" ] (fun () ->
        Loss.multiMarginOf 3 1.0 None LossReduction.Mean x (i32 [ 2 ] [ 0; 0 ]) |> ignore)

// ---- laws

[<Test>]
let ``cross-entropy against labels is that against their one-hot probabilities`` () =
    let x, y = some 1L [| 4; 5; 3 |], i32 [ 4; 3 ] [ for i in 0..11 -> i * 7 % 5 ]
    let hot = oneHot DType.F64 5 y |> moveAxis -1 1
    for smoothing in [ 0.0; 0.2 ] do
        let o = { ClassLossOptions.Default with LabelSmoothing = smoothing }
        near "equal" (item (Loss.crossEntropyWith o x hot)) (Loss.crossEntropyWith o x y)
    near
        "as classes last"
        (item (Loss.crossEntropy (moveAxis 1 -1 x) y))
        (Loss.crossEntropyWith ClassLossOptions.Default x y)
    near
        "negative log-likelihood"
        (item (Loss.nll (logSoftmax 1 x) y))
        (Loss.crossEntropyWith ClassLossOptions.Default x y)

[<Test>]
let ``binary cross-entropy survives probabilities of 0 and 1, gradient included`` () =
    let x, y = f64 [ 3 ] [ 0.0; 1.0; 0.5 ], f64 [ 3 ] [ 1.0; 1.0; 0.0 ]
    assertClose 1e-12 "values" [| 100.0; 0.0; Math.Log 2.0 |] (floats (Loss.bceOf None LossReduction.None x y))
    let gradient = grad (fun x -> Loss.bceOf None LossReduction.Sum x y) x |> floats
    assertClose 1e-12 "gradient" [| -1e12; 0.0; 2.0 |] gradient

[<Test>]
let ``focal with gamma 0 is half of cross-entropy, and less the surer`` () =
    let x, y = some 3L [| 9 |], f64 [ 9 ] [ for i in 0..8 -> float (i % 2) ]
    near "plain" (item (Loss.bceWithLogits x y) / 2.0) (Loss.focalOf 0.0 0.5 LossReduction.Mean x y)
    near "unbalanced" (item (Loss.bceWithLogits x y)) (Loss.focalOf 0.0 -1.0 LossReduction.Mean x y)
    near
        "a sure one"
        (1e-4 * -Math.Log 0.99)
        (Loss.focalOf 2.0 -1.0 LossReduction.Sum (f64 [ 1 ] [ Math.Log 99.0 ]) (f64 [ 1 ] [ 1.0 ]))

[<Test>]
let ``dice is 0 where both agree and nearly 1 where they do not meet`` () =
    let y = f64 [ 1; 4 ] [ 1.0; 0.0; 1.0; 0.0 ]
    near "same" 0.0 (Loss.dice y y)
    near "apart" (1.0 - 1.0 / 5.0) (Loss.dice y (1.0 - y))

[<Test>]
let ``contrastive losses of vectors at right angles`` () =
    let x = eyeOf DType.F64 4 4
    let expected = Math.Log(1.0 + 3.0 * Math.Exp -2.0)
    near "infoNce" expected (Loss.infoNce 0.5 (x * 3.0) x)
    near "clip" expected (Loss.clip (x * 2.0))

[<Test>]
let ``preferences: no opinion costs log 2, smoothing 1/2 makes both answers equal`` () =
    let a, b = some 4L [| 5 |], some 5L [| 5 |]
    near "indifferent" (Math.Log 2.0) (Loss.dpo (a, b) (a, b))
    let of' x y = item (Loss.dpoOf 0.3 0.5 LossReduction.Mean (x, y) (a * 0.0, b * 0.0))
    Assert.That(of' a b, Is.EqualTo(of' b a).Within 1e-12)

[<Test>]
let ``a loss of one's own is one line and has its gradient`` () =
    let quartic (x: Tensor) (y: Tensor) = mean ((x - y) ** 4.0)
    let x = f64 [ 2 ] [ 1.0; 3.0 ]
    assertClose 1e-12 "gradient" [| 2.0; 54.0 |] (floats (grad (fun x -> quartic x (x * 0.0 |> stopGradient)) x))

// ---- CTC

/// The same by enumeration: all paths of labels that collapse to the target.
let private ctcByPaths (blank: int) (logProbs: float[][]) (target: int list) : float =
    let classes = logProbs[0].Length
    let rec collapse last path =
        match path with
        | [] -> []
        | c :: rest when c = last || c = blank -> collapse c rest
        | c :: rest -> c :: collapse c rest
    let rec paths steps =
        if steps = 0 then
            [ [] ]
        else
            [ for p in paths (steps - 1) do
                  for c in 0 .. classes - 1 -> c :: p ]
    paths logProbs.Length
    |> List.filter (fun p -> collapse -1 p = target)
    |> List.sumBy (fun p -> p |> List.mapi (fun t c -> logProbs[t][c]) |> List.sum |> Math.Exp)
    |> fun total -> -(Math.Log total)

[<Test>]
let ``CTC is the sum over all paths`` () =
    let x = logSoftmax -1 (some 6L [| 4; 3; 3 |]) |> eval
    let rows n steps = [| for t in 0 .. steps - 1 -> floats (select 1 n (select 0 t x |> unsqueeze 0) |> flatten) |]
    for blank in [ 0; 2 ] do
        let a, b = (if blank = 0 then 1 else 0), (if blank = 2 then 1 else 2)
        let targets, lengths, steps = [ [ a; a ]; [ a; b ]; [] ], [ 2; 2; 0 ], [ 4; 3; 4 ]
        let padded = i32 [ 3; 2 ] [ a; a; a; b; blank; blank ]
        let inputs, counts = i32 [ 3 ] steps, i32 [ 3 ] lengths
        let expected = [| for n in 0..2 -> ctcByPaths blank (rows n steps[n]) targets[n] |]
        let loss = Loss.ctcOf blank false LossReduction.None x padded inputs counts
        assertClose 1e-10 "padded" expected (floats loss)
        let joined = i32 [ 4 ] [ a; a; a; b ]
        assertClose 1e-10 "joined" expected (floats (Loss.ctcOf blank false LossReduction.None x joined inputs counts))
        let single =
            Loss.ctcOf blank false LossReduction.None (select 1 1 x) (i32 [ 2 ] [ a; b ]) (i32 [] [ 3 ]) (i32 [] [ 2 ])
        assertClose 1e-10 "single" [| expected[1] |] (floats single)

[<Test>]
let ``CTC's infinities are infinite, or 0 without gradient`` () =
    let x = logSoftmax -1 (some 7L [| 2; 1; 3 |]) |> eval
    let loss zero x = Loss.ctcOf 0 zero LossReduction.Sum x (i32 [ 1; 2 ] [ 1; 1 ]) (i32 [ 1 ] [ 2 ]) (i32 [ 1 ] [ 2 ])
    Assert.That(item (loss false x), Is.EqualTo infinity)
    Assert.That(item (loss true x), Is.EqualTo 0.0)
    Assert.That(grad (loss true) x |> floats, Is.All.EqualTo 0.0)
    raises<ShapeException> [ "ctc"; "input lengths must be between 0 and 2" ] (fun () ->
        Loss.ctc x (i32 [ 1; 2 ] [ 1; 1 ]) (i32 [ 1 ] [ 3 ]) (i32 [ 1 ] [ 2 ]) |> ignore)

[<Test>]
let ``CTC's gradient through logSoftmax is that of differences`` () =
    let logits = some 8L [| 5; 2; 4 |]
    let loss x =
        Loss.ctcOf
            0
            false
            LossReduction.Sum
            (logSoftmax -1 x)
            (i32 [ 2; 2 ] [ 1; 3; 2; 2 ])
            (i32 [ 2 ] [ 5; 4 ])
            (i32 [ 2 ] [ 2; 2 ])
    let direction = some 9L [| 5; 2; 4 |]
    let h = 1e-5
    let numeric = (item (loss (logits + direction * h)) - item (loss (logits - direction * h))) / (2.0 * h)
    Assert.That(item (sum (grad loss logits * direction)), Is.EqualTo(numeric).Within(1e-6 * max 1.0 (abs numeric)))
