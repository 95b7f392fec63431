[<AutoOpen>]
module Nanograd.Models.Tests.Common

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open NUnit.Framework
open Nanograd

/// Runs a test in an empty folder, which is removed afterwards.
let inFolder (test: string -> unit) =
    let folder = Path.Combine(Path.GetTempPath(), "nanograd-tests-" + Guid.NewGuid().ToString "N")
    Directory.CreateDirectory folder |> ignore
    try
        test folder
    finally
        Directory.Delete(folder, true)

/// The action must raise exactly this exception, with all of these parts in its message, in one line.
let raises<'e when 'e :> exn> (parts: string list) (action: unit -> unit) =
    let error = Assert.Throws<'e>(Action action)
    for part in parts do
        Assert.That(error.Message, Does.Contain part)
    Assert.That(error.Message, Does.Not.Contain "\n")
    Assert.That(error.Message, Does.Not.Contain "(Parameter")

/// NUnit's equality, of collections element by element, without its overloads.
let equalTo (expected: 'a) = Is.EqualTo(box expected)
let notEqualTo (expected: 'a) = Is.Not.EqualTo(box expected)

/// The elements of a float tensor.
let floats (t: Tensor) : float[] = toArray<float>(cast DType.F64 t)

/// Largest difference, relative to the largest expected value, at most `tolerance`.
let assertClose (tolerance: float) (what: string) (expected: float[]) (actual: float[]) =
    Assert.That(actual.Length, Is.EqualTo expected.Length, what)
    let scale = expected |> Array.fold (fun m x -> max m (abs x)) 1e-30
    Array.iter2
        (fun e a ->
            if not (abs (e - a) <= tolerance * scale) then
                Assert.Fail $"{what}: expected {e}, got {a} (tolerance {tolerance} of {scale})")
        expected
        actual

/// A read-only dictionary of pairs.
let named (pairs: (string * 'v) list) : IReadOnlyDictionary<string, 'v> = Dictionary(dict pairs)

let f32 (shape: int list) (values: float list) =
    ofArray DType.F32 (List.toArray shape) (values |> List.map float32 |> List.toArray)
let f64 (shape: int list) (values: float list) = ofArray DType.F64 (List.toArray shape) (List.toArray values)
let i32 (shape: int list) (values: int list) = ofArray DType.I32 (List.toArray shape) (List.toArray values)

/// The folder that holds the folders of reference numbers: beside the repository, unless NANOGRAD_ORACLES names another;
/// "" where there is none.
let oracleRoot () : string =
    let rec root (folder: DirectoryInfo) =
        if isNull folder then null
        elif File.Exists(Path.Combine(folder.FullName, "Nanograd.sln")) then folder.FullName
        else root folder.Parent
    let start = root (DirectoryInfo TestContext.CurrentContext.TestDirectory)
    match Environment.GetEnvironmentVariable "NANOGRAD_ORACLES" with
    | null when isNull start -> ""
    | null -> Path.Combine(Path.GetDirectoryName start, "shared", "oracles")
    | folder -> folder

/// A file of reference numbers; tests that need it are skipped where it is absent.
let oracle (parts: string list) : string =
    let path = oracleRoot ()
    let full = Path.Combine(List.toArray (path :: parts))
    if path = "" || not (File.Exists full) then
        Assert.Ignore $"the reference numbers {String.Join('/', parts)} are not on this machine"
    full

/// A JSON file of the oracles.
let oracleJson (parts: string list) : JsonElement = JsonDocument.Parse(File.ReadAllText(oracle parts)).RootElement

/// A list of numbers in JSON, nested lists flattened.
let rec numbers (e: JsonElement) : float[] =
    if e.ValueKind = JsonValueKind.Array then
        [| for x in e.EnumerateArray() do
               yield! numbers x |]
    else
        [| e.GetDouble() |]

/// Every file of this name in a folder of the reference numbers, whatever the folder is called; where there are no
/// reference numbers at all, the test is skipped.
let oracleFiles (name: string) : (string * JsonElement)[] =
    let path = oracleRoot ()
    if not (Directory.Exists path) then Assert.Ignore "the reference numbers are not on this machine"
    let found = Directory.GetFiles(path, name, SearchOption.AllDirectories) |> Array.sort
    if found.Length = 0 then Assert.Ignore $"there is no {name} among the reference numbers"
    found |> Array.map (fun path -> path, JsonDocument.Parse(File.ReadAllText path).RootElement)
