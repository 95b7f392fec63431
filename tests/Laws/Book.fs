/// The law book: how a law is written down (once, on its property), how its two sides are compared, and what a person reads
/// when they differ. docs/laws.md is made of the same attributes and of what the properties really compare.
module Nanograd.Laws.Book

open System
open System.Collections.Generic
open System.Reflection
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests

/// A law: its family, its statement as mathematics, and what it means for somebody who uses tensors. The property's name is its name.
/// Tried on 100 cases, or on as many as NANOGRAD_LAWS says.
[<AttributeUsage(AttributeTargets.Method)>]
type LawAttribute(family: string, statement: string, meaning: string) =
    inherit Nanograd.Core.Tests.Common.LawAttribute(100)
    member _.Family = family
    member _.Statement = statement
    member _.Meaning = meaning

/// What a law drew and compared while somebody took notes: its domain and tolerance, as they really are.
[<Sealed; AllowNullLiteral>]
type Notes() =
    [<ThreadStatic; DefaultValue>]
    static val mutable private current: Notes

    let domains, tolerances, expressions = SortedSet<string>(), SortedSet<float>(), List<Tensor>()

    /// Element types and values that were drawn.
    member _.Domains = domains
    /// The tolerances of the comparisons; 0 means bit for bit.
    member _.Tolerances = tolerances
    /// Both sides of every comparison.
    member _.Expressions = expressions

    static member Draw(domain: string) = if not (isNull Notes.current) then Notes.current.Domains.Add domain |> ignore

    static member Compare(tolerance: float, sides: Tensor[]) =
        if not (isNull Notes.current) then
            Notes.current.Tolerances.Add tolerance |> ignore
            Notes.current.Expressions.AddRange sides

    /// What `action` draws and compares.
    static member Of(action: unit -> unit) : Notes =
        let notes = Notes()
        Notes.current <- notes
        try
            action ()
        finally
            Notes.current <- null
        notes

/// The law that a method is, if it is one.
let lawOf (m: MethodInfo) : LawAttribute option =
    m.GetCustomAttributes(typeof<LawAttribute>, false) |> Array.tryHead |> Option.map (fun a -> a :?> LawAttribute)

/// The statement of the law that is being tested.
let private statement () =
    let test = TestContext.CurrentContext.Test
    let method =
        Option.ofObj (Assembly.GetExecutingAssembly().GetType(string test.ClassName))
        |> Option.bind (fun t -> Option.ofObj (t.GetMethod(string test.MethodName)))
    match method |> Option.bind lawOf with
    | Some law -> $"law: {law.Statement}\n"
    | None -> ""

let private letters = [| "x"; "y"; "z"; "u"; "v"; "w"; "a"; "b"; "c"; "d" |]

/// Expressions over named variables, and the variables' values: literals are called x, y, z in the order of their appearance.
let private named (sides: Tensor[]) : (string * Tensor) list * Tensor[] =
    let struct (_, literals, _) = Program.key sides
    let name i = if i < letters.Length then letters[i] else $"x{i}"
    let replacements = Dictionary<Hash, Tensor>()
    literals |> Array.iteri (fun i l -> replacements[l.Hash] <- Op.input (name i) l.DType l.Shape)
    [ for i, l in Array.indexed literals -> name i, l ], Substitute.apply replacements sides

let private layout (t: Tensor) (values: Constant[]) = ValueText.layout t.DType t.Shape (fun i -> values[i])

let private indented (text: string) = "    " + text.Replace("\n", "\n    ")

/// Everything that somebody needs to see why `left` and `right` differ.
let private report (agree: Constant[] -> Constant[] -> string option) (left: Tensor) (right: Tensor) (text: string) =
    let values, sides = named [| left; right |]
    let interpretedLeft, interpretedRight = interpreted left, interpreted right
    let verdict =
        match agree interpretedRight interpretedLeft with
        | Some _ -> "The two sides have different meanings (the interpreter finds different values)."
        | None ->
            let trace = Rewrite.trace sides
            let steps = string trace
            "Both sides mean the same; the compiled program does not. It was rewritten to\n"
            + String.Join("\n", trace.Results |> Array.map (Print.algebra >> indented))
            + (if steps = "" then "" else "\n  by\n" + indented steps)
    let lines =
        [ for name, l in values -> $"  {name}: {Shape.describe l} = {layout l (interpreted l)}" ]
        |> List.map (fun line -> line.Replace("\n", "\n    "))
    String.Join(
        "\n",
        [ ""
          statement () + "  left"
          indented (Print.algebra sides[0])
          "  right"
          indented (Print.algebra sides[1])
          yield! Programs.functions sides |> List.map indented
          yield! lines
          $"  left  = {layout left (computed left)}"
          $"  right = {layout right interpretedRight}"
          "  " + text
          "  " + verdict ]
    )

/// Compares the compiled left side, the compiled right side and the interpreted right side.
let private compare
    (tolerance: float)
    (agree: Constant[] -> Constant -> Constant -> bool)
    (left: Tensor)
    (right: Tensor)
    =
    Notes.Compare(tolerance, [| left; right |])
    if Shape.describe left <> Shape.describe right then
        let _, sides = named [| left; right |]
        failwith (
            $"\n{statement ()}  {Shape.describe left} is not {Shape.describe right}\n"
            + String.Join("\n", sides |> Array.map (Print.algebra >> indented))
        )
    let agreement expected actual = differences (agree expected) expected actual
    let both = Program.evaluate [| left; right |] |> Array.map (Program.storage >> elements)
    let wanted = interpreted right
    match agreement wanted both[0] with
    | Some text -> failwith (report agreement left right text)
    | None ->
        match agreement wanted both[1] with
        | Some text -> failwith (report agreement right right text)
        | None -> ()

/// Both sides have the same type, shape and bits (any NaN is equal to any other).
let equal (left: Tensor) (right: Tensor) = compare 0.0 (fun _ -> same) left right

/// Both sides have the same type and shape, and values within a tolerance, relative to the largest one and to 1.
let closeTo (tolerance: float) (left: Tensor) (right: Tensor) = compare tolerance (within tolerance) left right

/// Both sides agree within the rounding of f64.
let close (left: Tensor) (right: Tensor) = closeTo 1e-12 left right

/// Every element is true.
let holds (condition: Tensor) = equal condition (full DType.Bool condition.Shape 1.0)
