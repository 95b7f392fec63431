/// What explain, pictures and HTML show must be true, complete and well formed.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Core.Tests.Programs.Programs> |])>]
module Nanograd.Core.Tests.SeeingTests

open System
open System.Globalization
open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open NUnit.Framework
open FsCheck.NUnit
open Nanograd
open Nanograd.Core.Tests.Programs

/// Texts in which the width of vectors does not show.
let private withoutSteps (code: string) = Regex.Replace(code, @" step \d+", "")

let private lines (text: string) = text.Split '\n' |> List.ofArray

let private expect (expected: string list) (actual: string) =
    Assert.That(withoutSteps actual, Is.EqualTo(String.Join("\n", expected) + "\n"))

let private kernels f x = (Explain.call f x).Program.Kernels

// ---- pseudo-code

[<Test>]
let ``a softmax is one kernel of three passes over a row`` () =
    let found = kernels (softmax 1) (noise DType.F32 1 [| 8; 100 |])
    Assert.That(found.Length, Is.EqualTo 1)
    Assert.That(found[0].Kind, Is.EqualTo "loop")
    expect
        [ "for row in 0..8:"
          "    for i in 0..100:"
          "        max = max(max, x[row, i])"
          "    for i in 0..100:"
          "        kept[i] = exp(x[row, i] - max)    # kept in cache for the next pass"
          "        sum += kept[i]"
          "    for i in 0..100:"
          "        result[row, i] = kept[i] / sum" ]
        found[0].Code

[<Test>]
let ``a product names its axes, also those of a transposed operand`` () =
    let a, b = noise DType.F32 1 [| 5; 7 |], noise DType.F32 2 [| 6; 7 |]
    let found = kernels (fun (a, b) -> matmul a (transpose b)) (a, b)
    let code = lines found[0].Code
    Assert.That(code[0], Is.EqualTo "for m in 0..5, n in 0..6:")
    Assert.That(code[1], Is.EqualTo "    result[m, n] = sum over k in 0..7 of x0[m, k] * x1[n, k]")
    Assert.That(found[0].Operations, Is.EqualTo(2L * 5L * 6L * 7L))
    Assert.That(found[0].Bytes, Is.EqualTo(4L * (35L + 42L + 30L)))

[<Test>]
let ``views, constants and lookups read as what they are`` () =
    let x = noise DType.F32 1 [| 4; 6 |]
    let code f x = (kernels f x).[0].Code
    expect
        [ "for row in 0..6, i in 0..4:"; "    result[row, i] = x[i, row]·2 + 1" ]
        (code (fun x -> transpose x * 2.0 + 1.0) x)
    expect
        [ "for i in 0..6:"; "    result[i] = x[6 + i] - x[i]" ]
        (code (fun x -> slice 0 1 2 x - slice 0 0 1 x |> reshape [| 6 |]) x)
    expect
        [ "for column in 0..6:"; "    for row in 0..4:"; "        sum += x[row, column]"; "    result[column] = sum" ]
        (code (sumOver [ 0 ]) x)
    let table, ids = noise DType.F32 1 [| 10; 8 |], ofInts DType.I64 [| 3 |] [ 1L; 5L; 9L ]
    expect
        [ "for row in 0..3, i in 0..8:"; "    result[row, i] = x0[x1[row], i]·3" ]
        (code (fun (table, ids) -> take 0 ids table * 3.0) (table, ids))
    expect [ "for row in 0..3, i in 0..3:"; "    result[row, i] = row ≥ i" ] (code (fun (_: Tensor) -> causalMask 3) x)

[<Test>]
let ``statistics of a row are computed once`` () =
    let layerNorm x =
        let m = meanKeep [ 1 ] x
        (x - m) * rsqrt (meanKeep [ 1 ] (square (x - m)) + 1e-5)
    let found = kernels layerNorm (noise DType.F32 1 [| 4; 50 |])
    Assert.That(found.Length, Is.EqualTo 1)
    let code = found[0].Code
    Assert.That(code, Does.Contain "sum += x[row, i]")
    Assert.That(Regex.Matches(code, "√").Count, Is.EqualTo 1)
    Assert.That(Regex.Matches(code, "for i in").Count, Is.EqualTo 3)

// ---- the ladder

[<NoComparison>]
type Mlp = { Hidden: Tensor; Bias: Tensor; Out: Tensor }

let private mlp =
    { Hidden = noise DType.F32 1 [| 10; 32 |]
      Bias = noise DType.F32 2 [| 32 |]
      Out = noise DType.F32 3 [| 32; 4 |] }

let private inputs, targets = noise DType.F32 4 [| 16; 10 |], noise DType.F32 5 [| 16; 4 |]

let private loss (p: Mlp) = mean (square (matmul (tanh (matmul inputs p.Hidden + p.Bias)) p.Out - targets))

let private step (p: Mlp) = Tree.map2 (fun w g -> w - g * 0.1) p (grad loss p)

/// What must hold of every program that is shown.
let private isSound (p: ProgramReport) =
    let names = p.Buffers |> Array.map (fun b -> b.Name)
    if (Array.distinct names).Length <> names.Length then failwith $"names occur twice: %A{names}"
    let written =
        Collections.Generic.HashSet<string>(
            p.Buffers |> Seq.filter (fun b -> b.Role = "input") |> Seq.map (fun b -> b.Name)
        )
    for k in p.Kernels do
        for r in k.Reads do
            if not (written.Contains r) then failwith $"kernel {k.Number} reads {r} before it is written:\n{p}"
        for w in k.Writes do
            written.Add w |> ignore
            // What a loop keeps for itself between its steps need not be named.
            let isScratch =
                k.Kind = "repeat"
                && (p.Buffers |> Array.find (fun b -> b.Name = w)).Role = "temporary"
                && not (p.Kernels |> Array.exists (fun other -> List.contains w other.Reads))
            if not isScratch && not (k.Code.Contains w) then
                failwith $"kernel {k.Number} does not say that it writes {w}:\n{k.Code}"
        if k.Bytes < 0L || k.Operations < 0L then failwith "negative work"
    for b in p.Buffers do
        for r in b.Reuses do
            let other = p.Buffers |> Array.find (fun o -> o.Name = r)
            if other.Last >= b.First then failwith $"{b.Name} takes over {r}, which is still alive"

[<Test>]
let ``a training step: every rung is there and every kernel is measured`` () =
    let e = Explain.call step mlp
    isSound e.Program
    Assert.That(e.Results |> Array.map (fun r -> r.Path) |> String.concat " ", Is.EqualTo "Hidden Bias Out")
    Assert.That(e.Program.Buffers |> Array.exists (fun b -> b.Name = "Hidden'" && b.Role = "result"))
    let limits = e.Limits.Value
    Assert.That(limits.OperationsPerSecond, Is.GreaterThan 1e8)
    Assert.That(limits.MemoryBytesPerSecond, Is.GreaterThan 1e8)
    for k in e.Program.Kernels do
        Assert.That(k.Milliseconds, Is.GreaterThan(0.0).And.LessThan 1000.0)
    let text = lines (string e)
    let rung n = text |> List.exists (fun l -> l.StartsWith($"{n}. ", StringComparison.Ordinal))
    Assert.That(List.forall rung [ 1..6 ])
    let head = text |> List.find (fun l -> l.Contains "of limit")
    for column in [ "kernel"; "ms"; "share"; "moved"; "operations"; "GB/s"; "Gop/s"; "limited by" ] do
        Assert.That(head, Does.Contain column)
    let table = Explanation.Measurements e
    Assert.That(table.Length, Is.EqualTo(e.Program.Kernels.Length + 2))
    let percent (s: string) = Double.Parse(s.TrimEnd '%', CultureInfo.InvariantCulture)
    let shares = table[1 .. table.Length - 2] |> Array.sumBy (fun row -> percent row[2])
    Assert.That(shares, Is.EqualTo(100.0).Within(float e.Program.Kernels.Length))

[<Test>]
let ``compiled functions, gradients, open and closed expressions explain alike`` () =
    let x = noise DType.F32 1 [| 6 |]
    let f x = sum (exp x * x)
    Assert.That(
        (Explain.call (jit (grad f)) x).Results[0].Pretty,
        Is.EqualTo (Explain.call (grad f) x).Results[0].Pretty
    )
    Assert.That((Explain.call (grad f) x).Results[0].Pretty, Does.Contain "exp x")
    let v = Op.input "t" DType.F32 [| 6 |]
    let open' = Explain.expressions (grad f v)
    Assert.That(open'.Limits.IsNone)
    Assert.That(string open', Does.Not.Contain "6. ")
    Assert.That(Double.IsNaN open'.Program.Kernels[0].Milliseconds)
    let closed = Explain.expressions [ f x; sin x |> sum ]
    Assert.That(closed.Limits.IsSome)
    Assert.That(closed.Results.Length, Is.EqualTo 2)
    // Values that the function closes over are inputs too, and rules are named.
    let e = Explain.call (fun (y: Tensor) -> softmax 0 (y + x)) x
    Assert.That(e.Arguments |> Array.map fst |> String.concat " ", Is.EqualTo "x v1")
    Assert.That(e.Rules |> List.exists (fun r -> r.Example = "stopGradient(max(x + v1)) = max(x + v1)" && r.Times = 1))

[<Test>]
let ``nothing to compute explains, too`` () =
    for f in [ id; (fun x -> x * 2.0); (fun _ -> scalar 3.0); sum ] do
        for x in [ tensor []; scalar 1.0; zeros [| 2; 0; 3 |] ] do
            let e = Explain.call f x
            isSound e.Program
            Assert.That(string e, Does.Contain "1. What it is")
            XDocument.Parse(Html.render e) |> ignore

[<Test>]
let ``gradients through loops explain`` () =
    let body, captured =
        Lambda.trace [| DType.F32, [| 3 |]; DType.F32, [| 3 |] |] (fun p ->
            let next = tanh (p[0] + p[1]) in [| next; next * 2.0 |])
    let s: Scan =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = 5
          Reverse = false }
    let f (x: Tensor) =
        let r = Op.scan s (Array.append captured [| zeros [| 3 |]; x |])
        sum r[0] + sum r[1]
    let forward = Explain.call f (noise DType.F32 1 [| 5; 3 |])
    isSound forward.Program
    let loop = forward.Program.Kernels |> Array.find (fun k -> k.Kind = "repeat")
    expect
        [ "carry = b1"
          "for step in 0..5:"
          "    for i in 0..3:"
          "        t = tanh(carry[i] + x[step, i])"
          "        next_carry[i] = t"
          "        b3[step, i] = t·2"
          "    carry = next_carry"
          "b2 = carry" ]
        loop.Code
    let e = Explain.call (grad f) (noise DType.F32 1 [| 5; 3 |])
    isSound e.Program
    Assert.That(e.Program.Kernels |> Array.exists (fun k -> k.Code.Contains "for step in 4..0, backwards:"))
    XDocument.Parse(Show.programSvg e) |> ignore

// ---- pictures

let private svgOf (text: string) =
    let ns = XNamespace.Get "http://www.w3.org/2000/svg"
    let root = (XDocument.Parse text).Root
    let number (e: XElement) (name: string) =
        Double.Parse(e.Attribute(XName.Get name).Value, CultureInfo.InvariantCulture)
    let boxes =
        [ for r in root.Elements(ns + "rect") do
              if not (isNull (r.Attribute(XName.Get "rx"))) then
                  number r "x", number r "y", number r "width", number r "height" ]
    let texts = [ for t in root.Elements(ns + "text") -> number t "x", number t "y", t.Value ]
    boxes, texts, [ for p in root.Elements(ns + "path") -> p ]

/// Boxes lie apart, and every text is inside a box.
let private isReadable (svg: string) =
    let boxes, texts, _ = svgOf svg
    for i, (x, y, w, h) in List.indexed boxes do
        for x2, y2, w2, h2 in boxes[i + 1 ..] do
            if x < x2 + w2 && x2 < x + w && y < y2 + h2 && y2 < y + h then failwith "two boxes overlap"
    for x, y, s in texts do
        let inside =
            boxes
            |> List.exists (fun (bx, by, w, h) ->
                x >= bx && x <= bx + w && y >= by && y <= by + h && 7.22 * float s.Length <= w)
        if not inside then failwith $"'{s}' sticks out of its box"

[<Test>]
let ``the picture of an expression has a box for every node`` () =
    let x = Op.input "x" DType.F32 [| 8; 10 |]
    let svg = Show.svg (softmax 1 x)
    isReadable svg
    let boxes, texts, edges = svgOf svg
    Assert.That(boxes.Length, Is.EqualTo 7) // x, max, stopGradient, -, exp, sum, /
    let titles = texts |> List.map (fun (_, _, s) -> s)
    for wanted in [ "x"; "max[1](□)"; "stopGradient(□)"; "□ - □"; "exp □"; "sum[1](□)"; "□ / □"; "f32[8,10]"; "f32[8]" ] do
        Assert.That(List.contains wanted titles, wanted)
    Assert.That(edges.Length, Is.EqualTo 8)
    isReadable (
        Show.svg (
            step
                { Hidden = Op.input "Hidden" DType.F32 [| 10; 32 |]
                  Bias = Op.input "Bias" DType.F32 [| 32 |]
                  Out = Op.input "Out" DType.F32 [| 32; 4 |] }
        )
    )

[<Test>]
let ``long graphs are cut, deep ones do not overflow the stack`` () =
    let deep = Seq.fold (fun c _ -> sin c + c) (Op.input "x" DType.F32 [| 3 |]) (seq { 1..20_000 })
    let svg = Show.svg deep
    isReadable svg
    let boxes, texts, _ = svgOf svg
    Assert.That(boxes.Length, Is.EqualTo 151)
    Assert.That(texts |> List.exists (fun (_, _, s) -> s = "... 39851 more"))

[<Test>]
let ``the picture of a program has its kernels and buffers`` () =
    let e = Explain.call step mlp
    let svg = Show.programSvg e
    isReadable svg
    let boxes, texts, _ = svgOf svg
    Assert.That(boxes.Length, Is.EqualTo(e.Program.Kernels.Length + e.Program.Buffers.Length))
    let titles = texts |> List.map (fun (_, _, s) -> s)
    for b in e.Program.Buffers do
        Assert.That(List.contains b.Name titles, b.Name)

[<Test>]
let ``Mermaid names nodes once and escapes them`` () =
    let nasty = Op.input "<b>\"x\"&#" DType.F32 [| 2 |]
    let text = Show.mermaid (exp nasty + nasty)
    Assert.That(text, Does.StartWith "flowchart TD\n")
    Assert.That(text, Does.Contain "n0[\"#lt;b#gt;#quot;x#quot;&#35;<br>f32[2]\"]:::leaf")
    Assert.That(Regex.Matches(text, "-->").Count, Is.EqualTo 3)
    Assert.That(text, Does.Contain "classDef elementwise")
    Assert.That(Show.programMermaid (Explain.call step mlp), Does.Contain "[0] product")

[<Test>]
let ``saving replaces a file whole, and says when there is no folder`` () =
    let folder = Directory.CreateTempSubdirectory "nanograd"
    try
        let path = Path.Combine(folder.FullName, "x.svg")
        Show.save path "one"
        Show.save path "two"
        Assert.That(File.ReadAllText path, Is.EqualTo "two")
        Assert.That(folder.GetFiles().Length, Is.EqualTo 1)
        Assert.Throws<DirectoryNotFoundException>(fun () ->
            Show.save (Path.Combine(folder.FullName, "none", "x.svg")) "")
        |> ignore
    finally
        folder.Delete true

// ---- mathematics and HTML

let private mathOf (t: Tensor) = XDocument.Parse(MathMl.render (Rewrite.pretty t)).Root

[<Test>]
let ``LaTeX reads as MathML`` () =
    let math latex =
        (MathMl.ofLatex latex).Replace(" xmlns=\"http://www.w3.org/1998/Math/MathML\" display=\"block\"", "")
    let row s = $"<math><mrow>{s}</mrow></math>"
    Assert.That(math "x^{2} + 1", Is.EqualTo(row "<msup><mi>x</mi><mrow><mn>2</mn></mrow></msup><mo>+</mo><mn>1</mn>"))
    Assert.That(math "\\frac{1}{x}", Is.EqualTo(row "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>x</mi></mrow></mfrac>"))
    Assert.That(
        math "\\sum_{0} x_{1}",
        Is.EqualTo(
            row "<munder><mo>∑</mo><mrow><mn>0</mn></mrow></munder><msub><mi>x</mi><mrow><mn>1</mn></mrow></msub>"
        )
    )
    Assert.That(math "a < b", Is.EqualTo(row "<mi>a</mi><mo>&lt;</mo><mi>b</mi>"))
    Assert.That(math "\\alpha \\leq \\infty", Is.EqualTo(row "<mi>α</mi><mo>≤</mo><mo>∞</mo>"))
    Assert.That(math "\\operatorname{a\\_b}", Is.EqualTo(row "<mi mathvariant=\"normal\">a_b</mi>"))
    // What is not known or not closed shows all the same.
    Assert.That(math "\\unheard", Is.EqualTo(row "<mi mathvariant=\"normal\">unheard</mi>"))
    for broken in
        [ "{"
          "}"
          "\\"
          "\\frac{1"
          "\\left("
          "\\right)"
          "\\begin{cases} 1 & 2"
          "&"
          "\\\\"
          "x_"
          "\\end{cases}"
          "^"
          "" ] do
        XDocument.Parse(MathMl.ofLatex broken) |> ignore

[<Test>]
let ``expressions are mathematics in notebooks`` () =
    let x = Op.input "x" DType.F32 [||]
    for t in
        [ sqrt x / (1.0 + x)
          where (gt x (scalar 0.0)) (sin x) (log x)
          x ** 2.5
          abs x
          gelu x
          grad (fun x -> tanh x * exp x) x ] do
        let root = mathOf t
        Assert.That(root.Name.LocalName, Is.EqualTo "math")
        Assert.That(root.Value, Does.Contain "x")
    let html = Html.render (sqrt x)
    Assert.That(html, Does.Contain "<msqrt><mrow><mi>x</mi></mrow></msqrt>")

[<Test>]
let ``HTML is self-contained, escaped and well formed`` () =
    let nasty = Op.input "<script>alert(1)</script>" DType.F32 [| 2 |]
    let pages: string list =
        [ Html.render (tensor [ 1.0; nan; -infinity ])
          Html.render (noise DType.F32 1 [| 3; 20; 30 |])
          Html.render (tensor [])
          Html.render (scalar 2.0)
          Html.render (gt (tensor [ 1.0; 3.0 ]) (scalar 2.0))
          Html.render mlp
          Html.render (exp nasty)
          Html.render [ exp nasty; tensor [ 1.0 ] ]
          Html.render (Explain.expressions (exp nasty * 2.0))
          Html.render (Explain.call step mlp)
          Html.render (Debug.gradientFlow loss mlp)
          Html.render (Debug.nans (fun () -> log (scalar -1.0)))
          Html.render "a < b" ]
    for html in pages do
        XDocument.Parse html |> ignore
        Assert.That(html, Does.Not.Contain "<script")
        Assert.That(html, Does.Not.Contain "<link")
        Assert.That(Regex.Matches(html, "https?://(?!www\.w3\.org/(1998/Math/MathML|2000/svg))").Count, Is.EqualTo 0)
    Assert.That(pages[0], Does.Contain ">nan</td>")
    Assert.That(pages[1], Does.Contain "[2, :, :]")
    Assert.That(pages[1], Does.Contain "…")
    Assert.That(pages[5], Does.Contain "Hidden")
    Assert.That(Html.page "a <b>" (scalar 1.0), Does.Contain "<title>a &lt;b&gt;</title>")

// ---- anything at all

[<Law 60>]
let ``every program can be shown`` (p: WildProgram) =
    let e = Explain.expressions (p.Roots |> List.ofArray)
    isSound e.Program
    isReadable (Show.svg (p.Roots |> List.ofArray))
    isReadable (Show.programSvg e)
    XDocument.Parse(Html.render e) |> ignore
    for r in e.Results do
        XDocument.Parse(MathMl.ofLatex r.Latex) |> ignore
