/// Outputs and gradients against PyTorch's, for every case in any folder of reference numbers that has `cases.json` and
/// `tensors.safetensors`.
module Nanograd.Models.Tests.OracleTests

open System
open System.Collections.Generic
open System.IO
open System.Text.Json
open NUnit.Framework
open Nanograd

/// The folder named by NANOGRAD_ORACLES, or shared/oracles beside the repository, if it exists. (A test's source runs before
/// there are tests to skip.)
let private oracles () : string option =
    let rec root (folder: DirectoryInfo) =
        if isNull folder then None
        elif File.Exists(Path.Combine(folder.FullName, "Nanograd.sln")) then Some folder.FullName
        else root folder.Parent
    match Environment.GetEnvironmentVariable "NANOGRAD_ORACLES" with
    | null ->
        root (DirectoryInfo AppContext.BaseDirectory)
        |> Option.map (fun start -> Path.Combine(Path.GetDirectoryName start, "shared", "oracles"))
    | folder -> Some folder
    |> Option.filter Directory.Exists

/// The folders with cases, empty where there are no reference numbers.
let private folders: Lazy<string[]> =
    lazy
        (match oracles () with
         | None -> [||]
         | Some root ->
             Directory.GetFiles(root, "cases.json", SearchOption.AllDirectories)
             |> Array.map Path.GetDirectoryName
             |> Array.filter (fun f -> File.Exists(Path.Combine(f, "tensors.safetensors")))
             |> Array.sort)

let private read (folder: string) : JsonElement[] =
    let whole = JsonDocument.Parse(File.ReadAllText(Path.Combine(folder, "cases.json"))).RootElement
    let list = if whole.ValueKind = JsonValueKind.Array then whole else whole.GetProperty "cases"
    [| for c in list.EnumerateArray() -> c |]

let private cache = Dictionary<string, JsonElement[] * IReadOnlyDictionary<string, Tensor>>()

let private load (folder: string) =
    lock cache (fun () ->
        match cache.TryGetValue folder with
        | true, v -> v
        | _ ->
            let v = read folder, Safetensors.load (Path.Combine(folder, "tensors.safetensors"))
            cache[folder] <- v
            v)

let private text (c: JsonElement) (name: string) = c.GetProperty(name).GetString()

let private keys (c: JsonElement) (kind: string) =
    match c.TryGetProperty kind with
    | true, v -> [ for e in v.EnumerateArray() -> e.GetString() ]
    | _ -> []

let private find (name: string) : Operation =
    match [ OracleLayers.tryFind; OracleLosses.tryFind; OracleFunctions.tryFind ] |> List.tryPick (fun f -> f name) with
    | Some operation -> operation
    | None -> raise (AssertionException $"No operation of this library computes the cases of {name}.")

/// Folder by folder, the operations in it.
let private operations () : TestCaseData[] =
    let all =
        [| for folder in folders.Value do
               for op in read folder |> Array.map (fun c -> text c "op") |> Array.distinct ->
                   TestCaseData(folder, op).SetArgDisplayNames(Path.GetFileName folder, op) |]
    if all.Length = 0 then [| TestCaseData("", "") |] else all

/// How far numbers may be apart, relative to the largest: for outputs, and for gradients.
let private tolerances (operation: string) (name: string) =
    1e-5, (if operation = "ctc_loss" || name.StartsWith "linalg/" then 1e-4 else 1e-5)

let private deviation (expected: float[]) (actual: float[]) =
    let scale = expected |> Array.fold (fun m x -> max m (abs x)) 1e-30
    Array.map2
        (fun e a -> if e = a || (Double.IsNaN e && Double.IsNaN a) then 0.0 else abs (e - a) / scale)
        expected
        actual
    |> Array.fold (fun m d -> if Double.IsNaN d then infinity else max m d) 0.0

let private compare' (tolerance: float) (what: string) (expected: Tensor) (actual: Tensor) =
    Assert.That(actual.Shape, Is.EqualTo<int[]> expected.Shape, what)
    let d = deviation (floats expected) (floats actual)
    Assert.That(d, Is.LessThanOrEqualTo tolerance, what)
    d

/// One case, computed in a float type; the largest deviation.
let private check (dtype: DType) (tensors: IReadOnlyDictionary<string, Tensor>) (c: JsonElement) : float =
    let name, op = text c "name", text c "op"
    let stored key = tensors[name + "/" + key]
    let typed (t: Tensor) =
        if DType.isFloat t.DType then cast dtype t
        elif t.DType = DType.U8 then cast DType.Bool t
        else t
    let operands = keys c "inputs" @ keys c "params"
    let gradients =
        keys c "grads"
        |> List.map (fun g ->
            let own = g.Substring(g.IndexOf '.' + 1)
            g, operands |> List.find (fun o -> o.Substring(o.IndexOf '.' + 1) = own))
    let variables = gradients |> List.map snd |> List.toArray
    let outputs (values: Tensor[]) =
        let lookup key =
            match Array.tryFindIndex ((=) key) variables with
            | Some i -> Some values[i]
            | None when List.contains key operands -> Some(typed (stored key))
            | None -> None
        let results = find op (Arguments(c.GetProperty "attrs", keys c "inputs", lookup))
        keys c "outputs"
        |> List.map (fun key ->
            match results |> List.tryFind (fun (n, _) -> "out." + n = key) with
            | Some(_, t) -> key, t
            | None -> raise (AssertionException $"{name}: there is no {key}"))
    let objective (values: Tensor[]) =
        outputs values
        |> List.filter (fun (_, t) -> DType.isFloat t.DType)
        |> List.choose (fun (key, t) ->
            match tensors.TryGetValue(name + "/" + key.Replace("out.", "cot.")) with
            | true, cot -> Some(sum (t * typed cot))
            | _ -> None)
        |> List.reduce (+)
    let values = variables |> Array.map (stored >> typed)
    let forward, backward = tolerances op name
    let ofOutputs = [ for key, t in outputs values -> compare' forward $"{name} {key} in {dtype}" (stored key) t ]
    let ofGradients =
        if variables.Length = 0 then
            []
        else
            let computed = grad objective values
            gradients |> List.mapi (fun i (g, _) -> compare' backward $"{name} {g} in {dtype}" (stored g) computed[i])
    List.max (0.0 :: ofOutputs @ ofGradients)

[<TestCaseSource(nameof operations); Category "Oracles">]
let ``as PyTorch computes it`` (folder: string, operation: string) =
    if folder = "" then Assert.Ignore "the reference numbers (cases.json, tensors.safetensors) are not on this machine"
    let cases, tensors = load folder
    let mine = cases |> Array.filter (fun c -> text c "op" = operation)
    for dtype in [ DType.F64; DType.F32 ] do
        let worst = mine |> Array.map (check dtype tensors) |> Array.max
        TestContext.Out.WriteLine $"{operation}: {mine.Length} cases in {dtype}, largest deviation {worst:E1}"
