/// Functions and their gradients against PyTorch's (the `layers` oracles).
module Nanograd.Models.Tests.FunctionOracleTests

open System.Text.Json
open NUnit.Framework
open Nanograd

let private layers =
    lazy
        (let cases = (oracleJson [ "layers"; "cases.json" ]).GetProperty("cases").EnumerateArray() |> Seq.toArray
         cases, Safetensors.load (oracle [ "layers"; "tensors.safetensors" ]))

let private dimension (a: JsonElement) = a.GetProperty("dim").GetInt32()
let private list (a: JsonElement) (name: string) = [ for e in a.GetProperty(name).EnumerateArray() -> e.GetInt32() ]

/// What each operation of the oracles is called here: attributes, inputs, outputs in order.
let private functions: Map<string, JsonElement -> Tensor[] -> Tensor list> =
    Map
        [ "softmax", (fun a x -> [ softmax (dimension a) x[0] ])
          "log_softmax", (fun a x -> [ logSoftmax (dimension a) x[0] ])
          "softmin", (fun a x -> [ softmin (dimension a) x[0] ])
          "logsumexp", (fun a x -> [ logSumExp (dimension a) x[0] ])
          "cumsum", (fun a x -> [ cumSum (dimension a) x[0] ])
          "cumprod", (fun a x -> [ cumProd (dimension a) x[0] ])
          "max", (fun a x -> [ amax [ dimension a ] x[0] ])
          "norm2", (fun a x -> [ normOver 2.0 [ dimension a ] x[0] ])
          "var", (fun a x -> [ varOver (if a.GetProperty("unbiased").GetBoolean() then 1 else 0) [ dimension a ] x[0] ])
          "std", (fun a x -> [ stdOver (if a.GetProperty("unbiased").GetBoolean() then 1 else 0) [ dimension a ] x[0] ])
          "gather", (fun a x -> [ gather (dimension a) x[1] x[0] ])
          "scatter_add", (fun a x -> [ scatterAdd (dimension a) x[1] x[2] x[0] ])
          "index_select", (fun a x -> [ indexSelect (dimension a) x[1] x[0] ])
          "where", (fun _ x -> [ where x[0] x[1] x[2] ])
          "topk",
          (fun a x ->
              let values, indices = topK (a.GetProperty("k").GetInt32()) (dimension a) true x[0]
              [ values; indices ])
          "sort",
          (fun a x ->
              let values, indices = sort (dimension a) (a.GetProperty("descending").GetBoolean()) x[0]
              [ values; indices ])
          "tril", (fun a x -> [ tril (a.GetProperty("diagonal").GetInt32()) x[0] ])
          "pad",
          (fun a x ->
              let amounts = list a "pad"
              match a.GetProperty("mode").GetString() with
              | "constant" -> [ pad amounts (a.GetProperty("value").GetDouble()) x[0] ]
              | "reflect" -> [ padReflect amounts x[0] ]
              | "replicate" -> [ padReplicate amounts x[0] ]
              | "circular" -> [ padCircular amounts x[0] ]
              | other -> failwith other)
          "interpolate",
          (fun a x ->
              let mode =
                  match a.GetProperty("mode").GetString() with
                  | "nearest" -> Interpolation.Nearest
                  | "bilinear" -> Interpolation.Linear
                  | "bicubic" -> Interpolation.Cubic
                  | other -> failwith other
              let aligned =
                  match a.TryGetProperty "align_corners" with
                  | true, v -> v.GetBoolean()
                  | _ -> false
              [ interpolate mode aligned (list a "size") x[0] ])
          "erf", (fun _ x -> [ erf x[0] ])
          "erfc", (fun _ x -> [ erfc x[0] ])
          "sin", (fun _ x -> [ sin x[0] ])
          "cos", (fun _ x -> [ cos x[0] ])
          "atan", (fun _ x -> [ atan x[0] ])
          "sinh_small", (fun _ x -> [ sinh (x[0] / 4.0) ])
          "asinh", (fun _ x -> [ asinh x[0] ])
          "exp_small", (fun _ x -> [ exp (x[0] / 4.0) ])
          "expm1_small", (fun _ x -> [ expm1 (x[0] / 4.0) ])
          "log1p_abs", (fun _ x -> [ log1p (abs x[0]) ])
          "rsqrt_abs1", (fun _ x -> [ rsqrt (abs x[0] + 1.0) ])
          "square", (fun _ x -> [ square x[0] ])
          "abs", (fun _ x -> [ abs x[0] ])
          "sigmoid", (fun _ x -> [ sigmoid x[0] ])
          "tanh", (fun _ x -> [ tanh x[0] ])
          "logsigmoid", (fun _ x -> [ logSigmoid x[0] ])
          "softplus", (fun _ x -> [ softplus x[0] ])
          "relu", (fun _ x -> [ relu x[0] ])
          "silu", (fun _ x -> [ silu x[0] ])
          "gelu", (fun _ x -> [ gelu x[0] ])
          "gelu_tanh", (fun _ x -> [ geluTanh x[0] ]) ]

let private operations = functions |> Map.toList |> List.map fst

[<TestCaseSource(nameof operations)>]
let ``as PyTorch computes it`` (operation: string) =
    let cases, tensors = layers.Value
    let mine = cases |> Array.filter (fun c -> c.GetProperty("op").GetString() = operation)
    Assert.That(mine, Is.Not.Empty)
    for c in mine do
        let name = c.GetProperty("name").GetString()
        let keys (kind: string) = [ for e in c.GetProperty(kind).EnumerateArray() -> e.GetString() ]
        let named (key: string) = tensors[name + "/" + key]
        // Reference numbers are f32: this side computes in f64, so that the difference is theirs.
        let wide (x: Tensor) = if DType.isFloat x.DType then cast DType.F64 x else x
        let inputs = keys "inputs" |> List.map (named >> wide) |> List.toArray
        let masks (x: Tensor) = if x.DType = DType.U8 then cast DType.Bool x else x
        let apply = functions[operation](c.GetProperty "attrs")
        let compute (xs: Tensor[]) = apply (Array.map masks xs)
        let outputs = keys "outputs"
        for key, got in List.zip outputs (compute inputs) do
            Assert.That(got.Shape, Is.EqualTo<int[]> (named key).Shape, name)
            assertClose 1e-5 $"{name} {key}" (floats (named key)) (floats got)
        let total (xs: Tensor[]) =
            List.zip outputs (compute xs)
            |> List.filter (fun (_, y) -> DType.isFloat y.DType)
            |> List.map (fun (key, y) -> sum (y * wide (named (key.Replace("out.", "cot.")))))
            |> List.reduce (+)
        let gradients = grad total inputs
        for key in keys "grads" do
            let place = keys "inputs" |> List.findIndex (fun k -> k.Replace("in.", "grad.") = key)
            assertClose 1e-5 $"{name} {key}" (floats (named key)) (floats gradients[place])
