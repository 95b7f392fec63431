/// What random programs are made of: every primitive, type and strange shape must occur, or the laws on them say less than they seem to.
module Nanograd.Core.Tests.GeneratorTests

open System
open System.Collections.Generic
open FSharp.Reflection
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests.Pool

/// The name of a primitive down to its last union.
let private kind (op: Op) =
    match op with
    | Op.Movement m -> Case.name m
    | Op.Reduce(r, _) -> Case.name r
    | Op.Indexing i -> Case.name i
    | Op.Unary u -> Case.name u
    | Op.Binary b -> Case.name b
    | other -> Case.name other

let rec private everything (roots: seq<Tensor>) : seq<Tensor> =
    seq {
        for t in Graph.topological roots do
            t
            match t.Op with
            | Op.Scan s -> yield! everything s.Body.Results
            | Op.Custom c -> yield! everything c.Body.Results
            | Op.Checkpoint l -> yield! everything l.Results
            | _ -> ()
    }

let private nodes (flavour: Flavour) =
    [ for seed in 1..400 do
          yield! everything (Maker.make flavour seed 20) ]

let private names (t: Type) = FSharpType.GetUnionCases(t, true) |> Array.map (fun c -> c.Name.ToLowerInvariant())

let private every =
    [ typeof<Op>; typeof<Movement>; typeof<Reduction>; typeof<Indexing>; typeof<Unary>; typeof<Binary> ]
    |> Seq.collect names
    // Unions of their own; programs of values have no variables.
    |> Seq.filter (fun n -> not (List.contains n [ "movement"; "reduce"; "indexing"; "unary"; "binary"; "input" ]))
    |> Seq.toArray

let private missing (without: string list) (found: seq<Tensor>) =
    let kinds = HashSet<string>(found |> Seq.map (fun t -> kind t.Op))
    every |> Array.filter (fun n -> not (kinds.Contains n || List.contains n without))

[<Test>]
let ``random programs contain every primitive, type and strange shape`` () =
    for flavour in [ Wild; Tame ] do
        let found = nodes flavour
        Assert.That(missing [] found, Is.Empty)
        Assert.That(found |> Seq.map (fun t -> t.DType) |> Seq.distinct |> Seq.length, Is.EqualTo DType.all.Length)
        Assert.That(found |> Seq.exists (fun t -> t.Rank = 0 && t.Inputs.Length > 0))
        Assert.That(found |> Seq.exists (fun t -> t.Count = 0 && t.Inputs.Length > 0))
        for count in [ 1; 2; 3 ] do // results of loops and functions
            Assert.That(found |> Seq.exists (fun t -> t.Op.IsScan && (Op.results t).Length = count), $"{count} results")

[<Test>]
let ``loops are nested, capture values and run both ways`` () =
    let scans =
        nodes Tame
        |> List.choose (fun t ->
            match t.Op with
            | Op.Scan s -> Some s
            | _ -> None)
    let holds (f: Scan -> bool) = Assert.That(scans |> List.exists f)
    holds (fun s -> everything s.Body.Results |> Seq.exists (fun t -> t.Op.IsScan))
    holds (fun s -> s.Captured > 0)
    holds (fun s -> s.Reverse)
    holds (fun s -> not s.Reverse)
    holds (fun s -> s.Length = 0)
    holds (fun s -> s.Carried = 0)
    holds (fun s -> s.Carried = 2)

[<Test>]
let ``random programs of integers and of smooth functions contain what such programs can`` () =
    let floatsOnly =
        [ "exp"
          "log"
          "log1p"
          "expm1"
          "sqrt"
          "rsqrt"
          "sin"
          "cos"
          "atan"
          "tanh"
          "erf"
          "floor"
          "ceil"
          "round" ]
    Assert.That(missing floatsOnly (nodes Whole), Is.Empty)
    let rough =
        [ "floor"
          "ceil"
          "round"
          "sign"
          "not"
          "rem"
          "eq"
          "ne"
          "le"
          "gt"
          "and"
          "or"
          "xor"
          "shl"
          "bitcast"
          "argreduce" ]
    Assert.That(missing rough (nodes (Smooth DType.F64)), Is.Empty)

[<Test>]
let ``wild values include infinities, NaN, zeros of both signs and denormal numbers`` () =
    let values =
        nodes Wild
        |> Seq.collect (fun t ->
            match t.Op with
            | Op.Literal s when t.DType = DType.F32 || t.DType = DType.F64 -> elements s |> Seq.map (fun c -> c.Float)
            | _ -> Seq.empty)
        |> Seq.truncate 200_000
        |> Seq.toArray
    let has (what: string) (f: float -> bool) = Assert.That(Array.exists f values, what)
    has "inf" Double.IsPositiveInfinity
    has "-inf" Double.IsNegativeInfinity
    has "nan" Double.IsNaN
    has "0" (fun v -> v = 0.0 && not (Double.IsNegative v))
    has "-0" (fun v -> v = 0.0 && Double.IsNegative v)
    has "denormal" Double.IsSubnormal
