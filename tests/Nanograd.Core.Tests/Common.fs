/// What all tests share: values from numbers, comparison bit by bit, and how often a law is tried.
[<AutoOpen>]
module Nanograd.Core.Tests.Common

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

/// Cases per law: the environment variable NANOGRAD_LAWS, or what the law itself asks for.
let cases (usual: int) =
    match Int32.TryParse(Environment.GetEnvironmentVariable "NANOGRAD_LAWS") with
    | true, n when n > 0 -> n
    | _ -> usual

/// A property that always tries the same cases (NANOGRAD_SEED changes them), 100 of them unless it says otherwise.
[<AttributeUsage(AttributeTargets.Method)>]
type LawAttribute(usual: int) as this =
    inherit PropertyAttribute()

    do
        let seed = Environment.GetEnvironmentVariable "NANOGRAD_SEED"
        this.MaxTest <- cases usual
        this.Replay <- if String.IsNullOrEmpty seed then "20261,7777" else $"{seed},7777"
        this.QuietOnSuccess <- true

    new() = LawAttribute 100

/// A value of any type, from numbers that are rounded (or wrapped) to it.
let valueOf (dtype: DType) (shape: int[]) (numbers: Constant[]) : Tensor =
    let s = Buffers.allocate dtype numbers.Length
    numbers |> Array.iteri (fun i c -> Buffers.write s i c)
    Op.literal s shape

/// A value of any type from floats.
let ofFloats (dtype: DType) (shape: int[]) (xs: seq<float>) =
    valueOf dtype shape (xs |> Seq.map (Constant.ofFloat dtype) |> Seq.toArray)

/// A value of any type from integers.
let ofInts (dtype: DType) (shape: int[]) (xs: seq<int64>) =
    valueOf dtype shape (xs |> Seq.map (Constant.ofInt dtype) |> Seq.toArray)

let f32 (shape: int[]) (xs: seq<float>) = ofFloats DType.F32 shape xs
let f64 (shape: int[]) (xs: seq<float>) = ofFloats DType.F64 shape xs
let i64 (shape: int[]) (xs: seq<int64>) = ofInts DType.I64 shape xs

/// Numbers from -1 to 1 that depend on the seed only.
let numbers (seed: int) (count: int) =
    let random = Random seed
    Array.init count (fun _ -> 2.0 * random.NextDouble() - 1.0)

/// A tensor of such numbers.
let noise (dtype: DType) (seed: int) (shape: int[]) = ofFloats dtype shape (numbers seed (Shape.count shape))

let elements (s: Storage) : Constant[] =
    let result = Array.init s.Length (Buffers.read s)
    GC.KeepAlive s
    result

/// The elements by the interpreter.
let interpreted (t: Tensor) = elements (Interpreter.run t)

/// The elements by the compiled program.
let computed (t: Tensor) = elements (Program.storage (Program.evaluate [| t |]).[0])

let floatsOf (t: Tensor) = computed t |> Array.map (fun c -> c.Float)

/// Equal bits, but any NaN equals any other.
let same (a: Constant) (b: Constant) =
    a.DType = b.DType && (a.Bits = b.Bits || (Double.IsNaN a.Float && Double.IsNaN b.Float))

let show (c: Constant) =
    if DType.isFloat c.DType then $"""{c.Float.ToString "R"} (0x{c.Bits.ToString "x16"})""" else string c.Int

/// Where two values differ by `agree`, as text.
let differences (agree: Constant -> Constant -> bool) (expected: Constant[]) (actual: Constant[]) : string option =
    if expected.Length <> actual.Length then
        Some $"{expected.Length} elements expected, {actual.Length} found"
    else
        let wrong =
            [ for i in 0 .. expected.Length - 1 do
                  if not (agree expected[i] actual[i]) then i ]
        let line i = $"  [{i}]: expected {show expected[i]}, got {show actual[i]}"
        if wrong.IsEmpty then
            None
        else
            Some(
                $"{wrong.Length} of {expected.Length} elements differ\n"
                + String.Join("\n", wrong |> List.truncate 5 |> List.map line)
            )

/// Within `tolerance` of the largest expected number (or of 1); what is not finite must agree in kind.
let within (tolerance: float) (expected: Constant[]) =
    let finite = expected |> Array.map (fun c -> abs c.Float) |> Array.filter Double.IsFinite
    let scale = Array.fold max 1.0 finite
    fun (a: Constant) (b: Constant) ->
        a.DType = b.DType
        && (a.Float = b.Float
            || (Double.IsNaN a.Float && Double.IsNaN b.Float)
            || abs (a.Float - b.Float) <= tolerance * scale)

let assertSame (what: string) (expected: Constant[]) (actual: Constant[]) =
    match differences same expected actual with
    | Some text -> Assert.Fail $"{what}: {text}"
    | None -> ()

let assertClose (tolerance: float) (what: string) (expected: Constant[]) (actual: Constant[]) =
    match differences (within tolerance expected) expected actual with
    | Some text -> Assert.Fail $"{what}: {text}"
    | None -> ()

/// The action must raise this exception with this message.
let raises<'e when 'e :> exn> (message: string) (action: unit -> unit) =
    let error = Assert.Throws<'e>(Action action)
    Assert.That(error.Message, Is.EqualTo message)

/// A number for every literal among `roots`, and the same expressions over variables: what a compiled program takes.
let abstracted (roots: Tensor[]) : Tensor[] * Tensor[] * Tensor[] =
    let struct (_, literals, _) = Program.key roots
    let inputs = literals |> Array.mapi (fun i l -> Op.input $"v{i}" l.DType l.Shape)
    let replacements = Dictionary<Hash, Tensor>()
    Array.iter2 (fun (l: Tensor) i -> replacements[l.Hash] <- i) literals inputs
    literals, inputs, Substitute.apply replacements roots
