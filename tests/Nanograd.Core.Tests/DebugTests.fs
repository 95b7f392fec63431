/// Planted NaN and infinities must be found where they were planted; debugging must not change a bit.
module Nanograd.Core.Tests.DebugTests

open System
open NUnit.Framework
open Nanograd

// The lines below hold one step each: optimised F# gives the line of a value that is used once to its user.

/// The report on `f`: which expression, the line relative to `line`, and what else must be said.
let private finds (f: unit -> Tensor) (line: int) (algebra: string) (turned: string) (element: string) =
    match (Debug.nans f).First with
    | None -> failwith "nothing was found"
    | Some found ->
        let site = Option.get found.Site
        Assert.Multiple(fun () ->
            Assert.That(found.Algebra, Is.EqualTo algebra)
            Assert.That(found.Turned, Is.EqualTo turned)
            Assert.That(found.Example, Is.EqualTo element)
            Assert.That(IO.Path.GetFileName site.File, Is.EqualTo "DebugTests.fs")
            Assert.That(site.Line, Is.EqualTo line))
        found

let equal (expected: 'a) (actual: 'a) = if expected <> actual then Assert.Fail $"expected %A{expected}, got %A{actual}"

let private x = tensor [ -1.0; 2.0; 3.0 ]

[<Test>]
let ``the logarithm of a negative number`` () =
    let line = int __LINE__
    let f () =
        let logs = log (x * 2.0)
        sum (logs * 0.5)
    let found = finds f (line + 2) "log(v1·2)" "NaN" "[0]: log(-2) = nan"
    Assert.That(found.Operands[0].Expression, Is.EqualTo "v1·2")
    Assert.That(found.Operands[0].Range.Least, Is.EqualTo -2.0)
    Assert.That(found.Operands[0].Range.Greatest, Is.EqualTo 6.0)
    Assert.That(found.Result.NaNs, Is.EqualTo 1)
    Assert.That(found.ReadBy, Does.Contain "·0.5")
    Assert.That(found.DerivativeOf.IsNone)

[<Test>]
let ``zero by zero`` () =
    let line = int __LINE__
    let f () =
        let z = tensor [ 1.0; 0.0 ]
        sum (z / z)
    finds f (line + 3) "v1 / v1" "NaN" "[1]: 0 / 0 = nan" |> ignore

[<Test>]
let ``an exponential that overflows, also where a difference makes NaN of it`` () =
    let line = int __LINE__
    let f () =
        let e = exp (x * 100.0)
        sum (e - e)
    finds f (line + 2) "exp(v1·100)" "infinite" "[1]: exp 200 = inf" |> ignore

[<Test>]
let ``infinity minus infinity`` () =
    let line = int __LINE__
    let f () =
        let given = tensor [ 1.0; infinity ]
        sum (given - given)
    finds f (line + 3) "v1 - v1" "NaN" "[1]: inf - inf = nan" |> ignore

[<Test>]
let ``the derivative of sqrt at zero, only in the backward pass`` () =
    let forward = int __LINE__ + 1
    let loss (x: Tensor) = sum (sqrt (abs x))
    let line = int __LINE__ + 2
    let f () =
        let g = grad loss (tensor [ 4.0; 0.0 ])
        g * 1.0
    Assert.That((Debug.nans (fun () -> sum (loss (tensor [ 4.0; 0.0 ])))).IsFinite)
    let found = finds f line "1 / (2·√...)" "infinite" "[1]: 1 / 0 = inf"
    match found.DerivativeOf with
    | Some(algebra, Some site) ->
        Assert.That(algebra, Is.EqualTo "√|x0|")
        Assert.That(site.Line, Is.EqualTo forward)
    | _ -> Assert.Fail "the expression of the forward pass is missing"
    Assert.That(string found, Does.Contain "it first occurs in the derivative of √|x0|, built at DebugTests.fs:")

[<Test>]
let ``a tangent that is infinite where the function is not`` () =
    let f () =
        let tangent = snd (jvp (fun (x: Tensor) -> sum (sqrt x)) (tensor [ 4.0; 0.0 ]) (ones [| 2 |]))
        tangent * 1.0
    let found = (Debug.nans f).First.Value
    Assert.That(fst found.DerivativeOf.Value, Does.StartWith "√x")
    Assert.That(found.Turned, Is.EqualTo "infinite")

/// 6 - 1 - 1 - ...: below zero at step 6, and so at element 6 of the outputs.
let private loop () =
    let body, captured =
        Lambda.trace [| DType.F32, [||]; DType.F32, [||] |] (fun p ->
            let next = p[0] - p[1]
            let root = sqrt next
            [| next; root |])
    let s: Scan =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = 10
          Reverse = false }
    let results = Op.scan s (Array.append captured [| scalar 6.0; ones [| 10 |] |])
    results[1]

[<Test>]
let ``inside a loop, with the number of the step`` () =
    let found = (Debug.nans (fun () -> sum (loop ()))).First.Value
    equal [ 6 ] found.Steps
    Assert.That(found.Algebra, Is.EqualTo "√(p0 - p1)")
    Assert.That(found.Example, Does.EndWith " = nan")
    Assert.That(
        string found,
        Does.StartWith "√(p0 - p1) turned NaN in step 6 of a loop, although its operands are finite."
    )

[<Test>]
let ``inside a compiled function`` () =
    let line = int __LINE__
    let f () =
        let compiled = jit (fun (x: Tensor) -> log (x - 2.0) + 1.0)
        sum (compiled x)
    finds f (line + 2) "log(v1 - 2)" "NaN" "[0]: log(-3) = nan" |> ignore

[<Test>]
let ``inside a function with its own gradient`` () =
    let found = (Debug.nans (fun () -> sum (softmax 0 (x / zerosLike x)))).First.Value
    Assert.That(found.Algebra, Is.EqualTo "v1 / 0")
    Assert.That(found.Turned, Is.EqualTo "infinite")

[<Test>]
let ``what does not reach a result is harmless`` () =
    let report = Debug.nans (fun () -> sum (where (gt x (scalar 0.0)) (log x) (zerosLike x)))
    Assert.That(report.IsFinite)
    Assert.That(report.Harmless.Length, Is.EqualTo 1)
    Assert.That(report.Harmless[0], Does.StartWith "log v1")
    // The mask of an attention is made of infinities on purpose.
    let masked = where (causalMask 3) (zeros [| 3; 3 |]) (scalar -infinity)
    Assert.That((Debug.nans (fun () -> softmax 1 masked)).IsFinite)

[<Test>]
let ``given values are told from computed ones`` () =
    let found = (Debug.nans (fun () -> sum (tensor [ nan ] * 2.0))).First.Value
    Assert.That(string found, Does.StartWith "nan, a value that was given, holds NaN or infinities.")
    let found = (Debug.nans (fun () -> sum (tensor [ nan; 1.0 ] * 2.0))).First.Value
    Assert.That(string found, Does.StartWith "v1, a value that was given")

[<Test>]
let ``every tensor of a tree is looked at, also an empty one`` () =
    let report = Debug.nans (fun () -> tensor [], [ log (scalar -1.0) ], Some x)
    Assert.That(report.First.Value.Algebra, Is.EqualTo "log(-1)")
    Assert.That((Debug.nans (fun () -> tensor [], x)).IsFinite)

[<Test>]
let ``check raises at the first evaluation, with the same text`` () =
    let build () =
        let logs = log x
        logs * 1.0
    let report = Debug.nans build
    let error = Assert.Throws<NonFiniteException>(fun () -> Debug.check build |> ignore)
    Assert.That(error.Message, Is.EqualTo(string report))
    let error =
        Assert.Throws<NonFiniteException>(fun () ->
            Debug.check (fun () ->
                eval (build ()) |> ignore
                x)
            |> ignore)
    Assert.That(error.Report.First.Value.Algebra, Is.EqualTo "log v1")

[<Test>]
let ``enable checks everything until disable`` () =
    Debug.enable ()
    try
        Assert.Throws<NonFiniteException>(fun () -> item (log (scalar 0.0)) |> ignore) |> ignore
        let jitted = jit (fun (x: Tensor) -> log x * 1.0)
        Assert.Throws<NonFiniteException>(fun () -> jitted x |> ignore) |> ignore
        Assert.That(item (scalar 1.0 + scalar 1.0), Is.EqualTo 2.0)
        Assert.That((Debug.siteOf (x * 3.0)).IsSome)
    finally
        Debug.disable ()
    Assert.That(item (log (scalar 0.0)), Is.EqualTo -infinity)
    Assert.That((Debug.siteOf (x * 3.0)).IsNone)

[<Test>]
let ``a donated state is checked from copies`` () =
    let run () =
        let step =
            jitDonate (fun (state: Tensor) (by: Tensor) ->
                let next = log (state - by)
                next * 1.0)
        let first = eval (tensor [ 10.0; 20.0 ] * 1.0)
        let second = step first (scalar 1.0)
        step second (scalar 2.5)
    let error = Assert.Throws<NonFiniteException>(fun () -> Debug.check run |> ignore)
    Assert.That(error.Report.First.Value.Algebra, Is.EqualTo "log(v1 - 2.5)")
    Assert.That(error.Report.First.Value.Example, Is.EqualTo "[0]: log(-0.30277538) = nan")

[<Test>]
let ``nothing is recorded when nobody debugs`` () =
    Assert.That(Watcher.Current, Is.Null)
    let built = exp x + sin x
    Assert.That(Debug.recorded (), Is.EqualTo 0)
    Debug.check (fun () ->
        Assert.That(Debug.recorded (), Is.EqualTo 0)
        let again = built * 2.0 + cos x
        Assert.That(Debug.recorded (), Is.GreaterThan 2)
        again)
    |> ignore
    Assert.That(Debug.recorded (), Is.EqualTo 0)

[<Test>]
let ``results are the same, bit for bit, while somebody debugs`` () =
    let w = noise DType.F32 1 [| 5; 3 |]
    let loss (w: Tensor) = mean (softmax 1 (tanh (matmul (noise DType.F32 2 [| 7; 5 |]) w)) |> square)
    let run () =
        let step = jitDonate (fun (w: Tensor) (rate: Tensor) -> w - grad loss w * rate)
        let mutable state = eval (w * 1.0)
        for _ in 1..4 do
            state <- step state (scalar 0.5)
        eval (state + loss state)
    let plain = run ()
    let checked' = Debug.check run
    assertSame "under Debug.check" (computed plain) (computed checked')

// ---- gradients

[<NoComparison>]
type Model = { Hidden: Tensor; Bias: Tensor; Out: Tensor; Unused: Tensor }

[<Test>]
let ``gradient flow: norms, zeros and flags by the parameter's name`` () =
    let model =
        { Hidden = noise DType.F32 1 [| 4; 8 |]
          Bias = zeros [| 8 |] - 10.0
          Out = noise DType.F32 2 [| 8; 1 |]
          Unused = ones [| 3 |] }
    let inputs = noise DType.F32 3 [| 16; 4 |]
    let output p bias = matmul (tanh (matmul inputs p.Hidden + bias)) p.Out
    let flow = Debug.gradientFlow (fun p -> sum (output p (p.Bias * 0.0)) * 1e6) model
    let row name = flow.Rows |> Array.find (fun r -> r.Path = name)
    equal [| "Hidden"; "Bias"; "Out"; "Unused" |] (flow.Rows |> Array.map (fun r -> r.Path))
    equal [ FlowFlag.Exploding ] (row "Out").Flags
    equal [ FlowFlag.Dead ] (row "Bias").Flags
    equal [ FlowFlag.Dead ] (row "Unused").Flags
    Assert.That((row "Unused").Zeros, Is.EqualTo 1.0)
    let exact = grad (fun p -> sum (output p (p.Bias * 0.0)) * 1e6) model
    let norm = floatsOf exact.Out |> Array.sumBy (fun g -> g * g) |> sqrt
    Assert.That((row "Out").GradientNorm, Is.EqualTo(norm).Within(1e-9 * norm))
    Assert.That(flow.IsHealthy, Is.False)
    // Saturated: the same model with its bias at -10 lets almost nothing through.
    let saturated = Debug.gradientFlow (fun p -> mean (output p p.Bias)) model
    let hidden = saturated.Rows |> Array.find (fun r -> r.Path = "Hidden")
    Assert.That(hidden.Flags, Does.Contain FlowFlag.Vanishing)
    let broken = Debug.gradientFlow (fun p -> sum (log p.Hidden) + sum p.Out) model
    Assert.That(broken.Rows[0].Flags, Is.Empty) // 1 / x is finite where log x is not
    let broken = Debug.gradientFlow (fun p -> sum (sqrt p.Hidden)) model
    equal [ FlowFlag.NotFinite ] broken.Rows[0].Flags

[<Test>]
let ``gradient flow reads as a table with bars`` () =
    let flow = Debug.gradientFlow (fun (a: Tensor, b: Tensor) -> sum (a * 100.0) + sum (b * 0.01)) (x, ones [| 2; 2 |])
    let lines = (string flow).Split '\n'
    Assert.That(lines[0], Does.StartWith "parameter  shape     |weights|  |gradient|")
    Assert.That(lines[1], Does.StartWith "0          f32[3]")
    let bar (line: string) = line |> Seq.filter ((=) '#') |> Seq.length
    Assert.That(bar lines[1], Is.EqualTo 24)
    Assert.That(bar lines[2], Is.EqualTo 1)
    Assert.That(lines[3], Does.Contain "vanishing: mean |g| below 1e-7")

// ---- the log

[<Test>]
let ``each level of the log says more, and results stay the same`` () =
    let run level =
        let writer = new IO.StringWriter()
        // Another number each time: programs of the cache are not mentioned.
        let f (x: Tensor) = softmax 0 (x * float (level + 2)) * 1.0 - grad (fun x -> sum (square x)) x
        let value = Debug.log level writer (fun () -> eval (f x))
        assertSame $"level {level}" (computed (f x)) (computed value)
        string writer
    let texts = [ for level in 0..6 -> run level ]
    Assert.That(texts[0], Is.Empty)
    let marks =
        [ "kernels, arena"; "  memory:"; "  simplified"; "for i in 0..3"; "  schedule:"; "  rules, in the order" ]
    for level in 1..6 do
        for mark in List.indexed marks do
            let i, text = mark
            Assert.That(texts[level].Contains text, Is.EqualTo((i < level)), $"level {level}: {text}")
    Assert.That(texts[1], Does.Match @"run 1: \d+\.\d{4} ms\n    kernel ")

[<Test>]
let ``the environment variable is a level, nans, or both`` () =
    equal (struct (0, false)) (Log.parse null)
    equal (struct (4, false)) (Log.parse "4")
    equal (struct (0, true)) (Log.parse "nans")
    equal (struct (2, true)) (Log.parse "2,nans")
    raises<InvalidOperationException> "NANOGRAD_DEBUG=loud: a level must be a number from 0 to 6, or nans" (fun () ->
        Log.parse "loud" |> ignore)
