/// What a case of the reference numbers gives to the function that computes it.
[<AutoOpen>]
module Nanograd.Models.Tests.OracleArguments

open System.Text.Json
open Nanograd

/// The attributes of a case and its tensors: inputs `in.NAME`, parameters `param.NAME`.
type Arguments(attributes: JsonElement, inputs: string list, find: string -> Tensor option) =
    let property (name: string) =
        match attributes.TryGetProperty name with
        | true, v when v.ValueKind <> JsonValueKind.Null -> Some v
        | _ -> None
    let required name =
        match find name with
        | Some t -> t
        | None -> failwith $"the case has no tensor {name}"
    member _.Input(name: string) = required ("in." + name)
    member _.TryInput(name: string) = find ("in." + name)
    member _.Param(name: string) = required ("param." + name)
    member _.TryParam(name: string) = find ("param." + name)
    /// All inputs, in the order of the case.
    member _.Inputs = inputs |> List.map required
    member _.Has(name: string) = (property name).IsSome
    member _.Float(name: string, otherwise: float) =
        property name |> Option.map _.GetDouble() |> Option.defaultValue otherwise
    member _.TryFloat(name: string) = property name |> Option.map _.GetDouble()
    member _.Int(name: string, otherwise: int) =
        property name |> Option.map _.GetInt32() |> Option.defaultValue otherwise
    member _.TryInt(name: string) = property name |> Option.map _.GetInt32()
    member _.Bool(name: string, otherwise: bool) =
        property name |> Option.map _.GetBoolean() |> Option.defaultValue otherwise
    member _.Text(name: string, otherwise: string) =
        match property name with
        | Some v when v.ValueKind = JsonValueKind.String -> v.GetString()
        | _ -> otherwise
    /// A number for each of n axes, given as a list or once.
    member _.Floats(name: string, n: int, otherwise: float) : float[] =
        match property name with
        | Some v when v.ValueKind = JsonValueKind.Array -> [| for e in v.EnumerateArray() -> e.GetDouble() |]
        | Some v -> Array.create n (v.GetDouble())
        | None -> Array.create n otherwise
    /// One number or a list of them.
    member _.Ints(name: string, otherwise: int list) : int[] =
        match property name with
        | Some v when v.ValueKind = JsonValueKind.Array -> [| for e in v.EnumerateArray() -> e.GetInt32() |]
        | Some v when v.ValueKind = JsonValueKind.Number -> [| v.GetInt32() |]
        | _ -> List.toArray otherwise
    /// The same, one for each of n axes.
    member a.Spread(name: string, n: int, otherwise: int) : int[] =
        let values = a.Ints(name, [ otherwise ])
        if values.Length = 1 then Array.create n values[0] else values
    member a.Dim = a.Int("dim", -1)
    member a.Reduction =
        match a.Text("reduction", "mean") with
        | "mean" -> LossReduction.Mean
        | "sum" -> LossReduction.Sum
        | "none" -> LossReduction.None
        | "batchmean" -> LossReduction.BatchMean
        | other -> failwith $"reduction {other}"

/// From arguments to the outputs, by their names.
type Operation = Arguments -> (string * Tensor) list

/// An operation with one output of the usual name.
let single (f: Arguments -> Tensor) : Operation = fun a -> [ "output", f a ]
