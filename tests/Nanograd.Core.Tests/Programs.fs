/// Random programs for FsCheck, and smaller ones like them when one fails.
module Nanograd.Core.Tests.Programs

open System
open System.Collections.Generic
open FsCheck
open FsCheck.FSharp
open Nanograd
open Nanograd.Core.Tests.Pool

/// Programs with fewer nodes: one result of several, an operand of a result, or some node replaced by its value.
let smaller (roots: Tensor[]) : seq<Tensor[]> =
    let isLeaf (t: Tensor) =
        match t.Op with
        | Op.Literal _ -> true
        | _ -> false
    let isWhole (t: Tensor) =
        (Op.results t).Length = 1
        || (match t.Op with
            | Op.Item _ -> true
            | _ -> false)
    let isCall (t: Tensor) =
        match t.Op with
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _ -> true
        | _ -> false
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
                |> Array.filter (fun t -> not (isLeaf t || isCall t || t = roots[0]) && isWhole t)
            for t in Array.rev inner do
                match
                    (try
                        Some(Op.literal (Interpreter.run t) t.Shape)
                     with _ ->
                         None)
                with
                | None -> ()
                | Some value ->
                    let replacements = Dictionary<Hash, Tensor>()
                    replacements[t.Hash] <- value
                    Substitute.apply replacements roots
    }

/// Expressions as text, with the literals that they mention.
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
    String.Join("\n", Array.append (Graph.topological roots |> Array.choose literal) results)

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

/// What FsCheck makes programs with.
type Programs =
    static member private Of(flavour, wrap: int * Tensor[] -> 's when 's :> Sample) : Arbitrary<'s> =
        let generator =
            Gen.sized (fun size ->
                Gen.choose (0, Int32.MaxValue - 1)
                |> Gen.map (fun seed -> wrap (seed, Maker.make flavour seed (4 + size / 4))))
        Arb.fromGenShrink (generator, (fun (s: 's) -> smaller s.Roots |> Seq.map (fun r -> wrap (s.Seed, r))))

    static member Wild() = Programs.Of(Wild, WildProgram)
    static member Tame() = Programs.Of(Tame, TameProgram)
    static member Smooth() = Programs.Of(Smooth DType.F64, SmoothProgram)
    static member Single() = Programs.Of(Smooth DType.F32, SingleProgram)
    static member Special() = Programs.Of(Special, SpecialProgram)
    static member Whole() = Programs.Of(Whole, WholeProgram)
