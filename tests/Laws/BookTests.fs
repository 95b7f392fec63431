/// The law book as a document: docs/laws.md is made of the laws' own attributes and of what they really draw and compare.
module Nanograd.Laws.BookTests

open System
open System.Collections.Generic
open System.IO
open System.Reflection
open System.Text
open FSharp.Reflection
open FsCheck
open FsCheck.FSharp
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

let private laws =
    [ for t in Assembly.GetExecutingAssembly().GetTypes() |> Array.sortBy (fun t -> t.MetadataToken) do
          for m in t.GetMethods(BindingFlags.Public ||| BindingFlags.Static) |> Array.sortBy (fun m -> m.MetadataToken) do
              match lawOf m with
              | None -> ()
              | Some law -> m, law ]

/// The order of the document.
let private families =
    [ "Ring"
      "Order"
      "Boolean algebra"
      "Broadcasting"
      "Types"
      "Movement"
      "Rearranging"
      "Windows"
      "Indexing"
      "Reductions"
      "Running sums"
      "Sorting"
      "Statistics"
      "Special functions"
      "Contraction"
      "Convolution"
      "Einsum"
      "Linear algebra"
      "Spectra"
      "Adjoints"
      "Calculus"
      "Transforms"
      "Batching"
      "Structure"
      "Loops"
      "Programs"
      "Softmax"
      "Attention"
      "Normalisation"
      "Activations"
      "Random numbers" ]

let private argument (m: MethodInfo) = m.GetParameters() |> Array.head |> (fun p -> p.ParameterType)

/// One case of a law's argument: the same on every machine.
let private example (t: Type) : obj =
    if typeof<Programs.Sample>.IsAssignableFrom t then
        let roots = Maker.make Pool.Tame 20261 8
        Activator.CreateInstance(t, [| box 20261; box roots |])
    else
        let draw =
            typeof<Draw>.GetMethods(BindingFlags.Public ||| BindingFlags.Static)
            |> Array.find (fun m -> m.ReturnType.GetGenericArguments()[0] = t)
        let arbitrary = draw.Invoke(null, [||])
        let sample (a: Arbitrary<'a>) = box (Gen.sampleWithSeed (Rnd 20261UL) 10 3 a.Generator |> Seq.last)
        match arbitrary with
        | :? Arbitrary<Case> as a -> sample a
        | :? Arbitrary<Axes> as a -> sample a
        | :? Arbitrary<Matrices> as a -> sample a
        | :? Arbitrary<Convolving> as a -> sample a
        | :? Arbitrary<Functions> as a -> sample a
        | :? Arbitrary<Loops> as a -> sample a
        | :? Arbitrary<Squares> as a -> sample a
        | other -> failwith $"no example of {other}"

/// What each argument type ranges over.
let private range (t: Type) =
    if t = typeof<Case> then "any shape, of rank 0 and empty ones too"
    elif t = typeof<Axes> then "any shape with an axis"
    elif t = typeof<Matrices> then "matrices of any size, empty ones too"
    elif t = typeof<Convolving> then "1, 2 and 3 spatial axes, every attribute"
    elif t = typeof<Functions> then "random compositions of functions"
    elif t = typeof<Programs.WildProgram> then "random programs, wild values"
    elif t = typeof<Programs.TameProgram> then "random programs, moderate values"
    elif t = typeof<Programs.WholeProgram> then "random programs of integers"
    elif t = typeof<Programs.SmoothProgram> then "random programs of smooth functions"
    elif t = typeof<Programs.RealProgram> then "random programs of smooth functions and of those with kinks"
    elif t = typeof<Programs.SpecialProgram> then "random programs with NaN and infinities"
    elif t = typeof<Loops> then "0 to 6 steps"
    elif t = typeof<Squares> then "matrices of 1 to 7 rows, far from singular"
    else t.Name

let private notes =
    lazy (dict [ for m, _ in laws -> m.Name, Notes.Of(fun () -> m.Invoke(null, [| example (argument m) |]) |> ignore) ])

let private tolerance (n: Notes) =
    if n.Tolerances.Count = 0 then "checked by numbers"
    elif n.Tolerances.Max = 0.0 then "bit for bit"
    elif n.Tolerances.Min = 0.0 then $"bit for bit, or within {n.Tolerances.Max:g1}"
    else $"within {n.Tolerances.Max:g1}"

let private document () =
    let text = StringBuilder()
    let line (s: string) = text.Append(s).Append('\n') |> ignore
    line "# The law book"
    line ""
    line
        "What holds for tensors, whatever their values and shapes. Every law is a property in `tests/Laws`, tried on 100 random cases in every"
    line
        "test run (`NANOGRAD_LAWS=1000` tries more, `NANOGRAD_SEED` others). Both sides are compiled, rewriting included, and compared with"
    line
        "what the reference interpreter finds for the right side. A case that fails is shrunk and printed as a small program."
    line ""
    line
        "This page is generated from the properties (`NANOGRAD_WRITE_LAWS=1 dotnet test tests/Laws`); a test fails when it is out of date."
    line "Tolerances are relative to the largest element, and to 1. Integers are i64 unless said otherwise."
    line ""
    line $"{laws.Length} laws in {families.Length} families:"
    line (String.Join(", ", families |> List.map (fun f -> f.ToLowerInvariant())) + ".")
    for family in families do
        line ""
        line $"## {family}"
        for m, law in laws |> List.filter (fun (_, law) -> law.Family = family) do
            let n = notes.Value[m.Name]
            let domain = String.Join(", ", n.Domains)
            let domain = if domain = "" then "" else domain + "; "
            line ""
            line $"**{m.Name}**"
            line ""
            line $"    {law.Statement}"
            line ""
            line $"{law.Meaning}  "
            line $"*{domain}{range (argument m)}; {tolerance n}*"
    text.ToString()

/// The root of the repository.
let private root =
    lazy
        (let rec up (d: DirectoryInfo) =
            if File.Exists(Path.Combine(d.FullName, "Nanograd.sln")) then d.FullName else up d.Parent
         up (DirectoryInfo(TestContext.CurrentContext.TestDirectory)))

[<Test>]
let ``docs/laws.md says what the laws say`` () =
    let path = Path.Combine(root.Value, "docs", "laws.md")
    let current = document ()
    if Environment.GetEnvironmentVariable "NANOGRAD_WRITE_LAWS" = "1" then File.WriteAllText(path, current)
    let written = if File.Exists path then File.ReadAllText(path).Replace("\r\n", "\n") else ""
    Assert.That(
        (written = current),
        "docs/laws.md is out of date: NANOGRAD_WRITE_LAWS=1 dotnet test tests/Laws writes it again"
    )

[<Test>]
let ``there are at least 120 laws, each with a statement, a meaning and a name of its own`` () =
    Assert.That(laws.Length, Is.GreaterThanOrEqualTo 120)
    Assert.That(laws |> List.map (fun (m, _) -> m.Name), Is.Unique)
    Assert.That(laws |> List.map (fun (_, law) -> law.Family) |> List.distinct, Is.EquivalentTo families)
    for m, law in laws do
        Assert.That(String.IsNullOrWhiteSpace law.Statement || String.IsNullOrWhiteSpace law.Meaning, Is.False, m.Name)

/// The name of a primitive down to its last union.
let private kind (op: Op) =
    match op with
    | Op.Movement m -> Case.name m
    | Op.Reduce(r, _) -> Case.name r
    | Op.Indexing i -> Case.name i
    | Op.Unary u -> Case.name u
    | Op.Binary b -> Case.name b
    | other -> Case.name other

let private kindsIn (notes: seq<Notes>) =
    let found = HashSet<string>()
    let rec visit (roots: seq<Tensor>) =
        for t in Graph.topological roots do
            found.Add(kind t.Op) |> ignore
            match t.Op with
            | Op.Scan s -> visit s.Body.Results
            | Op.Custom c -> visit c.Body.Results
            | Op.Checkpoint l -> visit l.Results
            | _ -> ()
    for n in notes do
        visit n.Expressions
    found

let private names (t: Type) = FSharpType.GetUnionCases(t, true) |> Array.map (fun c -> c.Name.ToLowerInvariant())

[<Test>]
let ``every primitive is the subject of a law`` () =
    let found = kindsIn notes.Value.Values
    let classes = [ "movement"; "reduce"; "indexing"; "unary"; "binary"; "input" ] // unions of their own; a law has no variables
    let wanted =
        [ typeof<Op>; typeof<Movement>; typeof<Reduction>; typeof<Indexing>; typeof<Unary>; typeof<Binary> ]
        |> Seq.collect names
        |> Seq.filter (fun n -> not (List.contains n classes))
    let missing = wanted |> Seq.filter (found.Contains >> not) |> Seq.toArray
    Assert.That(
        missing,
        Is.Empty,
        "primitives in no law: write one, such as those in AlgebraLaws.fs and MovementLaws.fs"
    )

[<Test>]
let ``every linear primitive has a law of its adjoint`` () =
    let found =
        kindsIn
            [ for m, law in laws do
                  if law.Family = "Adjoints" then notes.Value[m.Name] ]
    let linear =
        [ "reduce"; "cumsum"; "dot"; "conv"; "select"; "cast"; "sort"; "topk"; "scan"; "neg"; "add"; "sub"; "sum" ]
        |> List.filter ((<>) "reduce")
    let wanted =
        Seq.concat [ Seq.ofArray (names typeof<Movement>); Seq.ofArray (names typeof<Indexing>); Seq.ofList linear ]
    let missing = wanted |> Seq.filter (found.Contains >> not) |> Seq.toArray
    Assert.That(missing, Is.Empty, "linear primitives without a law of their adjoint: write one in AdjointLaws.fs")
