/// Golden cases: what a public reference implementation gives for single functions and their gradients. They lie beside the
/// project, in shared/oracles/layers; tests that need them are skipped where they are absent.
module Nanograd.Core.Tests.Oracles

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open NUnit.Framework
open Nanograd

/// One case: its attributes, and its tensors by their keys (`in.x`, `out.output`, `grad.x`, `cot.output`).
[<NoEquality; NoComparison>]
type Case =
    { Name: string
      Op: string
      Attributes: JsonElement
      Inputs: string[]
      Parameters: string[]
      Outputs: string[]
      Gradients: string[]
      Tensor: string -> Tensor }

let private folder =
    lazy
        (let rec root (d: DirectoryInfo) =
            if isNull d then ""
            elif File.Exists(Path.Combine(d.FullName, "Nanograd.sln")) then Path.GetDirectoryName d.FullName
            else root d.Parent
         match Environment.GetEnvironmentVariable "NANOGRAD_ORACLES" with
         | null ->
             Path.Combine(root (DirectoryInfo TestContext.CurrentContext.TestDirectory), "shared", "oracles", "layers")
         | folder -> Path.Combine(folder, "layers"))

let private tensors =
    lazy
        (let bytes = File.ReadAllBytes(Path.Combine(folder.Value, "tensors.safetensors"))
         let header = int (BitConverter.ToInt64(bytes, 0))
         let entries = (JsonDocument.Parse(ReadOnlyMemory(bytes, 8, header))).RootElement
         let result = Dictionary<string, unit -> Tensor>()
         for e in entries.EnumerateObject() do
             if e.Name <> "__metadata__" then
                 let shape =
                     e.Value.GetProperty("shape").EnumerateArray() |> Seq.map (fun n -> n.GetInt32()) |> Seq.toArray
                 let start = e.Value.GetProperty("data_offsets").[0].GetInt32() + 8 + header
                 let read size (one: int -> float) = Array.init (Shape.count shape) (fun i -> one (start + i * size))
                 result[e.Name] <-
                     match e.Value.GetProperty("dtype").GetString() with
                     | "F32" -> fun () -> f32 shape (read 4 (fun at -> float (BitConverter.ToSingle(bytes, at))))
                     | "F64" -> fun () -> f64 shape (read 8 (fun at -> BitConverter.ToDouble(bytes, at)))
                     | "I64" ->
                         fun () ->
                             i64 shape (read 8 (fun at -> float (BitConverter.ToInt64(bytes, at))) |> Seq.map int64)
                     | "BOOL" -> fun () -> ofInts DType.Bool shape (read 1 (fun at -> float bytes[at]) |> Seq.map int64)
                     | other -> fun () -> failwith $"{e.Name} has elements of type {other}"
         result)

/// The cases of one function; the test is skipped where there are no files.
let ofFunction (op: string) : Case list =
    let file = Path.Combine(folder.Value, "cases.json")
    if not (File.Exists file) then Assert.Ignore "the reference numbers layers/cases.json are not on this machine"
    let root = (JsonDocument.Parse(File.ReadAllText file)).RootElement
    let names (c: JsonElement) (key: string) =
        match c.TryGetProperty key with
        | true, list -> list.EnumerateArray() |> Seq.map (fun n -> n.GetString()) |> Seq.toArray
        | _ -> [||]
    [ for c in root.GetProperty("cases").EnumerateArray() do
          if c.GetProperty("op").GetString() = op then
              let name = c.GetProperty("name").GetString()
              { Name = name
                Op = op
                Attributes = c.GetProperty "attrs"
                Inputs = names c "inputs"
                Parameters = names c "params"
                Outputs = names c "outputs"
                Gradients = names c "grads"
                Tensor = fun key -> tensors.Value[name + "/" + key]() } ]

/// The function's results, and its gradients for the case's cotangents, against the case. Errors are relative to the largest
/// element.
let check (outputs: float) (gradients: float) (c: Case) (f: Tensor list -> Tensor list) =
    let relative (tolerance: float) (what: string) (expected: Tensor) (actual: Tensor) =
        Assert.That(actual.Shape, Is.EqualTo<int[]> expected.Shape, what)
        let e, a = floatsOf expected, floatsOf actual
        let scale = e |> Array.fold (fun m v -> max m (abs v)) 1e-30
        let worst = Array.fold2 (fun m x y -> max m (abs (x - y))) 0.0 e a
        Assert.That(worst / scale, Is.LessThanOrEqualTo tolerance, what)
    let values = c.Inputs |> Array.map c.Tensor
    let results = f (List.ofArray values)
    Array.iter2
        (fun key r -> relative outputs $"{c.Name}: {key}" (c.Tensor key) r)
        c.Outputs
        (Array.truncate c.Outputs.Length (Array.ofList results))
    let variables = values |> Array.map (fun v -> Op.input "x" v.DType v.Shape)
    let results = f (List.ofArray variables)
    let cotangents = c.Outputs |> Array.map (fun key -> c.Tensor(key.Replace("out.", "cot.")))
    let found = Grad.vjp (Array.truncate c.Outputs.Length (Array.ofList results)) cotangents variables
    let replacements = Dictionary<Hash, Tensor>()
    Array.iter2 (fun (v: Tensor) x -> replacements[v.Hash] <- x) variables values
    let found = Substitute.apply replacements found
    for key in c.Gradients do
        let i = Array.IndexOf(c.Inputs, key.Replace("grad.", "in."))
        relative gradients $"{c.Name}: {key}" (c.Tensor key) found[i]
