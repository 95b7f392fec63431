/// Derivatives read as a textbook has them: as text, as LaTeX, and as F# source that has the same values.
module Nanograd.Core.Tests.TextbookTests

open System
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.RegularExpressions
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests.Textbook

let private names = rows |> List.map (fun r -> r.Name)
let private byName = rows |> List.map (fun r -> r.Name, r) |> dict

[<Test>]
let ``there are 50 functions and more, each once`` () =
    Assert.That(names, Is.Unique)
    Assert.That(names.Length, Is.GreaterThan 50)

[<TestCaseSource(nameof names)>]
let ``text`` (name: string) =
    let r = byName[name]
    Assert.That(Print.algebra (Rewrite.pretty r.Gradient), Is.EqualTo r.Text)
    if not (Graph.isClosed r.Gradient) then Assert.That(string r.Gradient, Is.EqualTo r.Text)

[<TestCaseSource(nameof names)>]
let ``latex`` (name: string) =
    let r = byName[name]
    Assert.That(Latex.render (Rewrite.pretty r.Gradient), Is.EqualTo r.Latex)

// ------------------------------------------------------------------------------------------------ LaTeX

/// Braces, \left and \right, environments: each closed, in order.
let private isBalanced (latex: string) =
    let marks = Regex.Matches(latex, @"\\begin\{(\w+)\}|\\end\{(\w+)\}|\\left|\\right|\\[{}]|[{}]")
    let rec follow (waiting: string list) (marks: Match list) =
        match marks, waiting with
        | [], _ -> waiting.IsEmpty
        | m :: rest, _ ->
            match m.Value, waiting with
            | @"\{", _
            | @"\}", _ -> follow waiting rest
            | "{", _ -> follow ("}" :: waiting) rest
            | @"\left", _ -> follow (@"\right" :: waiting) rest
            | s, _ when s.StartsWith @"\begin" -> follow (s.Replace("begin", "end") :: waiting) rest
            | s, top :: others -> s = top && follow others rest
            | _, [] -> false
    follow [] (List.ofSeq marks)

[<Test>]
let ``the check of LaTeX finds what is open`` () =
    for good in [ @"\frac{1}{x}"; @"\left(x\right)"; @"\begin{cases} 1 \end{cases}"; "" ] do
        Assert.That(isBalanced good, good)
    for bad in [ @"\frac{1}{x"; @"\left(x"; @"x\right)"; @"\begin{cases} 1"; @"{\left(x}\right)" ] do
        Assert.That(isBalanced bad, Is.False, bad)

[<Test>]
let ``LaTeX is balanced, of every primitive`` () =
    for name, t in primitives do
        for latex in [ Latex.render t; Latex.render (Rewrite.pretty t) ] do
            Assert.That(isBalanced latex, $"{name}: {latex}")

[<Test>]
let ``LaTeX is balanced, of random programs`` () =
    for seed in 1 .. cases 200 do
        for t in Maker.make Pool.Tame seed 20 do
            let latex = Latex.render t
            Assert.That(isBalanced latex, latex)

// ------------------------------------------------------------------------------------------------ F#

let private slug (name: string) = Regex.Replace(name, @"\W+(\w)", fun m -> m.Groups[1].Value.ToUpperInvariant())

/// The expressions whose source is in Textbook.Sources.fs: each gradient as it is and simplified, and the primitives.
let private written =
    [ for r in rows do
          slug $"raw {r.Name}", r.Gradient
          slug $"pretty {r.Name}", Rewrite.pretty r.Gradient
      for name, t in primitives do
          slug $"primitive {name}", t ]

let private sourceFile () =
    let text = StringBuilder()
    let line (s: string) = text.Append(s).Append('\n') |> ignore
    line "/// Written by the test of the same name in TextbookTests.fs: what Source.render makes of expressions."
    line "module Nanograd.Core.Tests.TextbookSources"
    line ""
    line "#nowarn \"1182\" // unused"
    line ""
    line "open Nanograd"
    line ""
    for name, t in written do
        line (Source.render name t)
    line "let all: (string * (Tensor[] -> Tensor)) list ="
    line "    ["
    for name, t in written do
        let arguments = Source.inputs t |> Array.mapi (fun i _ -> $"v[{i}]")
        let argument = if arguments.Length = 0 then "_" else "v"
        let call = String.Join(" ", Array.append [| name |] arguments)
        line $"      \"{name}\", (fun {argument} -> {call})"
    line "    ]"
    text.ToString()

let private root () =
    let rec up (d: DirectoryInfo) =
        if isNull d then Assert.Ignore "the sources are not here"
        if File.Exists(Path.Combine(d.FullName, "Nanograd.sln")) then d.FullName else up d.Parent
    up (DirectoryInfo AppContext.BaseDirectory)

/// Compares a generated file with what it should be; NANOGRAD_UPDATE=1 writes it instead.
let generated (path: string) (text: string) =
    let path = Path.Combine(root (), path)
    if Environment.GetEnvironmentVariable "NANOGRAD_UPDATE" = "1" then File.WriteAllText(path, text)
    let current = if File.Exists path then File.ReadAllText path else ""
    Assert.That(
        current,
        Is.EqualTo text,
        $"{Path.GetFileName path} is out of date; run the tests with NANOGRAD_UPDATE=1"
    )

[<Test>]
let ``the sources are those that are compiled`` () =
    generated "tests/Nanograd.Core.Tests/Textbook.Sources.fs" (sourceFile ())

let private bind (t: Tensor) (seed: int) =
    let random = Random seed
    let bindings = Dictionary<Hash, Storage>()
    let values =
        [| for v in Source.inputs t do
               match v.Op with
               | Op.Input _ ->
                   let numbers =
                       if DType.isFloat v.DType then
                           Array.init v.Count (fun _ -> Constant.ofFloat v.DType (0.2 + 1.5 * random.NextDouble()))
                       else
                           Array.init v.Count (fun _ -> Constant.ofInt v.DType (int64 (random.Next 2)))
                   let value = valueOf v.DType v.Shape numbers
                   bindings[v.Hash] <- Program.storage value
                   value
               | _ -> v |]
    bindings, values

let private valueAt (bindings: Dictionary<Hash, Storage>) (t: Tensor) =
    elements (Interpreter.evaluate bindings [| t |]).[0]

[<Test>]
let ``the sources have the values of the expressions`` () =
    let compiled = dict TextbookSources.all
    for name, t in written do
        for seed in 1..3 do
            let bindings, values = bind t seed
            let expected = valueAt bindings t
            assertClose 1e-6 $"{name}: {Print.algebra t}" expected (interpreted (compiled[name] values))

[<Test>]
let ``simplified derivatives have the values of the derivatives`` () =
    for r in rows do
        for seed in 1..20 do
            let bindings, _ = bind r.Gradient seed
            let expected = valueAt bindings r.Gradient
            assertClose 3e-5 r.Name expected (valueAt bindings (Rewrite.pretty r.Gradient))

[<Test>]
let ``docs/textbook.md holds the table`` () =
    let text = StringBuilder()
    let line (s: string) = text.Append(s).Append('\n') |> ignore
    line "# Derivatives, as a textbook has them"
    line ""
    line "Written by `TextbookTests.fs` (NANOGRAD_UPDATE=1). How to get one:"
    line ""
    line "```fsharp"
    line "let x = symbol \"x\"                        // a scalar variable; variable \"x\" [| 3 |] is a vector"
    line "let g = grad (fun x -> x * sin x) x       // prints: x·cos x + sin x"
    line "Latex.render (Rewrite.pretty g)           // x \\, \\cos x + \\sin x"
    line "Source.render \"g\" (Rewrite.pretty g)      // let g (x: Tensor) : Tensor = ..."
    line "Print.algebra g                           // the graph as it is, unsimplified"
    line "```"
    line ""
    line
        "What F# Interactive, `%A` and `ToString` show is simplified by `Rewrite.pretty`: algebra that holds for finite numbers,"
    line "but for single points (ties of `max`, 0 ** 0) and rounding. What is computed is never simplified in this way."
    line ""
    line "| | function | derivative | LaTeX |"
    line "|---|---|---|---|"
    let cell (s: string) = s.Replace("|", "\\|").Replace("\n", "; ")
    for r in rows do
        line $"| {r.Name} | `{cell (string r.Function)}` | `{cell r.Text}` | ${cell r.Latex}$ |"
    generated "docs/textbook.md" (text.ToString())

[<Test>]
let ``docs/ARCHITECTURE.md says of every file once what it is for`` () =
    let read (path: string) = File.ReadAllText(Path.Combine(root (), path))
    let named (text: string) (pattern: string) =
        [ for m in Regex.Matches(text, pattern) -> Array.last (m.Groups[1].Value.Split '/') ]
    let text = read "docs/ARCHITECTURE.md"
    let from = text.IndexOf "## The files"
    let section = text.Substring(from, text.IndexOf("\n## ", from + 1) - from)
    let described = named (section.Substring(section.IndexOf "**")) "`([^`]*\\.fs)`"
    let compiled = named (read "src/Nanograd.Core/Nanograd.Core.fsproj") "Compile Include=\"([^\"]*)\""
    Assert.That(described, Is.EquivalentTo compiled)
