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

/// Elementwise functions that are computed in floats, or not at all, when their operands are integers.
let private floatsOnly () =
    let n = Op.constant (Constant.ofInt DType.I64 1L)
    let isOf (op: Op) (t: Tensor) = t.Op = op && not (DType.isFloat t.DType)
    [ for u in all<Unary> do
          if not (isOf (Op.Unary u) (Op.unary u n)) then Case.name u
      for b in all<Binary> do
          if not (isOf (Op.Binary b) (Op.binary b n n)) then Case.name b ]

/// Primitives that no program of the flavour has. A new one changes what is drawn: rare ones may come late.
let private missing (without: string list) (flavour: Flavour) =
    let wanted = HashSet<string>(every |> Seq.filter (fun n -> not (List.contains n without)))
    let mutable seed = 0
    while wanted.Count > 0 && seed < 4000 do
        seed <- seed + 1
        for t in everything (Maker.make flavour seed 20) do
            wanted.Remove(kind t.Op) |> ignore
    wanted

[<Test>]
let ``random programs contain every primitive, type and strange shape`` () =
    for flavour in [ Wild; Tame ] do
        let found = nodes flavour
        Assert.That(missing [] flavour, Is.Empty, $"primitives in no program ({flavour}): Steps.fs makes them")
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
    let floatsOnly = floatsOnly ()
    Assert.That(missing floatsOnly Whole, Is.Empty, "primitives in no program of integers: let Steps.fs make them")
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
    Assert.That(
        missing rough (Smooth DType.F64),
        Is.Empty,
        "primitives in no program: let Steps.fs make them, or say in `rough` that such programs have none"
    )

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
