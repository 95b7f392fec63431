/// The documentation of the functions is true: every one has a summary and an example, every example gives what it says, and
/// docs/functions.md lists them all. Examples.fs and that page are written from the XML documentation: NANOGRAD_UPDATE=1 writes them anew.
module Nanograd.Core.Tests.ExampleTests

open System
open System.Collections.Generic
open System.IO
open System.Reflection
open System.Text
open System.Text.RegularExpressions
open System.Xml.Linq
open NUnit.Framework
open Nanograd

/// The modules of functions, by subject.
let private subjects =
    [ "Creation", "Making tensors"
      "Elementwise", "Functions of each element"
      "Moving", "Shapes, parts, joining"
      "Lookups", "Indexing and order"
      "Reductions", "Reductions and running values"
      "Contractions", "Products"
      "Einsum", "Einstein's summation convention"
      "Convolutions", "Convolutions"
      "Poolings", "Pooling"
      "Linalg", "Linear algebra (`Linalg.`)"
      "Special", "Special functions"
      "Statistics", "Statistics"
      "Resizing", "Resizing"
      "Values", "On values, whose results have shapes that depend on them (`Values.`)"
      "Random", "Random tensors (`Random.`)"
      "Derivatives", "Derivatives, besides `grad` and `valueAndGrad`"
      "Batching", "One example to many"
      "Loops", "Loops, checkpoints, gradients of one's own"
      "GradientChecks", "Checking gradients" ]

[<NoEquality; NoComparison>]
type private Entry =
    { Module: string
      Method: MethodInfo
      Summary: string
      Expression: string
      Value: string }

let private assembly = typeof<Tensor>.Assembly

let private moduleType (name: string) =
    [ name; name + "Module" ]
    |> List.map (fun n -> assembly.GetType("Nanograd." + n))
    |> List.find (fun t -> not (isNull t) && t.IsAbstract && t.IsSealed)

let private words (text: string) = Regex.Replace(text, @"\s+", " ").Trim()

/// As the examples write values: on one line, without the blanks that align columns.
let private flat (value: string) = (words value).Replace("[ ", "[").Replace("( ", "(")

let private entries =
    lazy
        (let path = Path.ChangeExtension(assembly.Location, ".xml")
         let members = Dictionary<string, XElement>()
         for m in (XDocument.Load path).Descendants(XName.Get "member") do
             let name = m.Attribute(XName.Get "name").Value
             members[Regex.Match(name, @"^\w:[\w.]+").Value] <- m
         [ for name, _ in subjects do
               let kind = moduleType name
               let methods = kind.GetMethods(BindingFlags.Static ||| BindingFlags.Public)
               for f in methods |> Array.sortBy (fun m -> m.Name) do
                   if not (f.IsSpecialName || f.Name.Contains '$') then // sign$W: what inline functions call
                       let text (tag: string) =
                           match members.TryGetValue $"M:{kind.FullName}.{f.Name}" with
                           | true, m -> m.Descendants(XName.Get tag) |> Seq.map (fun e -> e.Value) |> Seq.tryHead
                           | _ -> None
                       let code =
                           Regex.Match(defaultArg (text "code") "", @"^\s*(.*?)\s*// (.*)$", RegexOptions.Singleline)
                       { Module = name
                         Method = f
                         Summary = words (defaultArg (text "summary") "")
                         Expression = words code.Groups[1].Value
                         Value = flat code.Groups[2].Value } ])

/// What a page may be compared with: the file itself, and what it should be.
let private checkFile (parts: string list) (wanted: string) =
    let rec root (folder: DirectoryInfo) =
        if File.Exists(Path.Combine(folder.FullName, "Nanograd.sln")) then folder.FullName else root folder.Parent
    let path = Path.Combine(List.toArray (root (DirectoryInfo TestContext.CurrentContext.TestDirectory) :: parts))
    if Environment.GetEnvironmentVariable "NANOGRAD_UPDATE" = "1" then
        File.WriteAllText(path, wanted)
    else
        let found = if File.Exists path then File.ReadAllText(path).ReplaceLineEndings "\n" else ""
        let name = String.Join('/', parts)
        Assert.That(
            found,
            Is.EqualTo wanted,
            $"{name} is not what the documentation says; write it anew with NANOGRAD_UPDATE=1"
        )

[<Test>]
let ``every function has a summary and an example`` () =
    let missing =
        entries.Value
        |> List.filter (fun e -> e.Summary = "" || e.Expression = "" || e.Value = "")
        |> List.map (fun e -> $"{e.Module}.{e.Method.Name}")
    Assert.That(entries.Value.Length, Is.GreaterThan 250)
    Assert.That(missing, Is.Empty)

[<Test>]
let ``the compiled examples are those of the documentation`` () =
    let text = StringBuilder()
    let line (s: string) = text.Append(s).Append '\n' |> ignore
    line "/// The examples of the functions' documentation. Written by ExampleTests (NANOGRAD_UPDATE=1), not by hand."
    line "module Nanograd.Core.Tests.Examples"
    line ""
    line "open Nanograd"
    line ""
    line "let all: (string * string * (unit -> obj)) list ="
    line "    ["
    for e in entries.Value do
        let quoted = e.Value.Replace("\\", "\\\\").Replace("\"", "\\\"")
        line $"        \"{e.Module}.{e.Method.Name}\", \"{quoted}\", (fun () -> box ({e.Expression}))"
    line "    ]"
    checkFile [ "tests"; "Nanograd.Core.Tests"; "Examples.fs" ] (text.ToString())

let private names = Examples.all |> List.map (fun (name, _, _) -> name)

[<TestCaseSource(nameof names)>]
let ``example`` (name: string) =
    let _, wanted, compute = Examples.all |> List.find (fun (n, _, _) -> n = name)
    let text =
        match compute () with
        | :? (int[]) as shape -> Shape.show shape
        | value -> value.ToString()
    Assert.That(flat text, Is.EqualTo wanted)

[<Test>]
let ``docs functions.md lists all functions`` () =
    let text = StringBuilder()
    let line (s: string) = text.Append(s).Append '\n' |> ignore
    line "# Functions"
    line ""
    line
        "By subject, the tensor last. Written from the XML documentation by `ExampleTests` (`NANOGRAD_UPDATE=1`), where each has"
    line
        "an example, too. F#'s own functions take tensors as well: `abs exp log log10 sqrt sin cos tan asin acos atan atan2 sinh"
    line
        "cosh tanh floor ceil round truncate`, and the operators `+ - * / % **`. Parts are written in F#'s syntax: `x[0]`, `x[-1, 2]`,"
    line "`x[1..3, *]` (both bounds included, `*` is a whole axis)."
    for name, title in subjects do
        line ""
        line $"## {title}"
        line ""
        line "| function | |"
        line "|---|---|"
        for e in entries.Value |> List.filter (fun e -> e.Module = name) do
            let parameters = String.Join(' ', e.Method.GetParameters() |> Array.map (fun p -> p.Name))
            line $"""| `{e.Method.Name} {parameters}` | {e.Summary.Replace("|", "\\|")} |"""
    checkFile [ "docs"; "functions.md" ] (text.ToString())
