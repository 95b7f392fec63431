/// Random programs for FsCheck, and smaller ones like them when one fails.
module Nanograd.Core.Tests.Programs

open System
open System.Collections.Generic
open FsCheck
open FsCheck.FSharp
open Nanograd
open Nanograd.Core.Tests.Pool

let private isLeaf (t: Tensor) =
    match t.Op with
    | Op.Literal _ -> true
    | _ -> false

let private isCall (t: Tensor) =
    match t.Op with
    | Op.Sort _
    | Op.TopK _
    | Op.Scan _
    | Op.Custom _
    | Op.Checkpoint _ -> true
    | _ -> false

let private isItem (t: Tensor) =
    match t.Op with
    | Op.Item _ -> true
    | _ -> false

let private isWhole (t: Tensor) = (Op.results t).Length = 1 || isItem t

/// The function that a primitive holds, and how to hold another one.
let private bodyOf (t: Tensor) : (Lambda * (Lambda -> Op)) option =
    match t.Op with
    | Op.Scan s -> Some(s.Body, (fun l -> Op.Scan { s with Body = l }))
    | Op.Custom c -> Some(c.Body, (fun l -> Op.Custom { c with Body = l; Gradient = None }))
    | Op.Checkpoint l -> Some(l, Op.Checkpoint)
    | _ -> None

let private replaced (old: Tensor) (by: Tensor) (roots: Tensor[]) =
    let replacements = Dictionary<Hash, Tensor>()
    replacements[old.Hash] <- by
    Substitute.apply replacements roots

let private tryTo f =
    try
        Some(f ())
    with _ ->
        None

/// The same roots with one node replaced by an operand of its type and shape, by zeros, or with a simpler body.
let rec private simpler (roots: Tensor[]) : seq<Tensor[]> =
    seq {
        for t in Graph.topological roots |> Array.rev do
            match bodyOf t with
            | Some(l, rebuilt) ->
                for results in simpler l.Results do
                    let call = Tensor(rebuilt (Lambda.make l.Params results), t.Inputs, t.DType, t.Shape)
                    replaced t call roots
            | None -> ()
            match t.Op, (if isItem t then bodyOf t.Inputs[0] else None) with
            | Op.Item i, Some(l, _) when not (t.Inputs[0].Op.IsScan) -> // the function written out
                match tryTo (fun () -> replaced t (Lambda.apply l t.Inputs[0].Inputs).[i] roots) with
                | Some simple -> simple
                | None -> ()
            | _ -> ()
            if not (isCall t || t.Inputs.Length = 0) then
                for x in t.Inputs do
                    if x.DType = t.DType && x.Shape = t.Shape && not (isCall x) then replaced t x roots
                if (Calculus.uniform t).IsNone then replaced t (zerosLike t) roots
    }

/// Programs with fewer nodes: one result of several, an operand of a result, or some node replaced by its value, an operand or zeros.
let smaller (roots: Tensor[]) : seq<Tensor[]> =
    let rec operands (t: Tensor) = t.Inputs |> Array.collect (fun i -> if isCall i then operands i else [| i |])
    seq {
        if roots.Length > 1 then
            for r in roots do
                [| r |]
        else
            for x in operands roots[0] |> Array.sortByDescending (fun x -> (Graph.topological [ x ]).Length) do
                [| x |]
            let inner =
                Graph.topological roots
                |> Array.filter (fun t ->
                    not (isLeaf t || isCall t || t = roots[0]) && isWhole t && t.Inputs.Length > 0)
            for t in Array.rev inner do
                match tryTo (fun () -> Op.literal (Interpreter.run t) t.Shape) with
                | None -> ()
                | Some value -> replaced t value roots
            yield! simpler roots
    }

/// Functions inside an expression, as text: what a loop, a custom function or a checkpoint does.
let rec private bodies (indent: string) (roots: Tensor[]) : string list =
    [ for t in Graph.topological roots do
          match bodyOf t with
          | None -> ()
          | Some(l, _) ->
              let kind =
                  match t.Op with
                  | Op.Scan s -> $"{Print.name t} ({s.Captured} captured, {s.Carried} carried)"
                  | _ -> Print.name t
              let parameters = l.Params |> Array.mapi (fun i (d, shape) -> $"p{i}: {d}{Shape.show shape}")
              $"{indent}{kind} of " + String.Join(", ", parameters)
              for r in l.Results do
                  $"{indent}  => " + (Print.algebra r).Replace("\n", "\n" + indent + "     ") + $" : {Shape.describe r}"
              yield! bodies (indent + "  ") l.Results ]

/// What the loops, custom functions and checkpoints of an expression do, one line or more for each.
let functions (roots: Tensor[]) : string list = bodies "" roots |> List.distinct

/// Expressions as text, with the literals that they mention and the functions that they call.
let describe (roots: Tensor[]) =
    let literal (t: Tensor) =
        match t.Op with
        | Op.Literal s ->
            let few = Array.init (min s.Length 12) (fun i -> show (Buffers.read s i))
            Some(
                $"{Print.name t}: {Shape.describe t} = "
                + String.Join(", ", few)
                + (if s.Length > 12 then ", ..." else "")
            )
        | _ -> None
    let results = roots |> Array.map (fun r -> Print.algebra r + $"\n   : {Shape.describe r}")
    let functions = Array.ofList (functions roots)
    String.Join("\n", Array.concat [ Graph.topological roots |> Array.choose literal; functions; results ])

/// A random program with its flavour in its type, so that a law says what it is about.
[<AbstractClass>]
type Sample(seed: int, roots: Tensor[]) =
    member _.Seed = seed
    member _.Roots = roots
    override _.ToString() = $"seed {seed}:\n{describe roots}\n"

type WildProgram(seed, roots) =
    inherit Sample(seed, roots)
type TameProgram(seed, roots) =
    inherit Sample(seed, roots)
type SmoothProgram(seed, roots) =
    inherit Sample(seed, roots)
type SingleProgram(seed, roots) =
    inherit Sample(seed, roots)
type SpecialProgram(seed, roots) =
    inherit Sample(seed, roots)
type WholeProgram(seed, roots) =
    inherit Sample(seed, roots)
/// A smooth program of few elements: derivatives are compared with differences on it.
type RealProgram(seed, roots) =
    inherit Sample(seed, roots)

/// What FsCheck makes programs with.
type Programs =
    static member private Within(limit, flavour, wrap: int * Tensor[] -> 's when 's :> Sample) : Arbitrary<'s> =
        let generator =
            Gen.sized (fun size ->
                Gen.choose (0, Int32.MaxValue - 1)
                |> Gen.map (fun seed -> wrap (seed, Maker.makeWithin limit flavour seed (4 + size / 4))))
        Arb.fromGenShrink (generator, (fun (s: 's) -> smaller s.Roots |> Seq.map (fun r -> wrap (s.Seed, r))))

    static member private Of(flavour, wrap) = Programs.Within(None, flavour, wrap)

    static member Wild() = Programs.Of(Wild, WildProgram)
    static member Tame() = Programs.Of(Tame, TameProgram)
    static member Smooth() = Programs.Of(Smooth DType.F64, SmoothProgram)
    static member Single() = Programs.Of(Smooth DType.F32, SingleProgram)
    static member Special() = Programs.Of(Special, SpecialProgram)
    static member Whole() = Programs.Of(Whole, WholeProgram)
    static member Real() = Programs.Within(Some 200, Smooth DType.F64, RealProgram)
