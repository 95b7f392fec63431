/// Operations of the reference numbers that are functions of tensors.
module Nanograd.Models.Tests.OracleFunctions

open System.Text.RegularExpressions
open Nanograd

let private x (a: Arguments) = a.Input "x"

/// The number in names such as `elu_a05` (0.5), `leaky_relu_02` (0.2) and `softplus_beta2` (2).
let private suffix = Regex @"^(.*?)_(?:a|beta|b|l)?(\d+)$"

let private parameter (digits: string) =
    let text = if digits.Length > 1 && digits[0] = '0' then "0." + digits.Substring 1 else digits
    System.Double.Parse(text, System.Globalization.CultureInfo.InvariantCulture)

/// Activations with one number: attribute names, PyTorch's default.
let private families: Map<string, string list * float * (float -> Tensor -> Tensor)> =
    Map
        [ "elu", ([ "alpha" ], 1.0, elu)
          "celu", ([ "alpha" ], 1.0, celu)
          "leaky_relu", ([ "negative_slope"; "slope" ], 0.01, leakyRelu)
          "hardshrink", ([ "lambd"; "lambda" ], 0.5, hardshrink)
          "softshrink", ([ "lambd"; "lambda" ], 0.5, softshrink) ]

let private ofFamily (number: float option) (names, otherwise, f: float -> Tensor -> Tensor) : Operation =
    single (fun a ->
        let given = names |> List.tryPick a.TryFloat
        f (given |> Option.orElse number |> Option.defaultValue otherwise) (x a))

let private softplusOp (number: float option) : Operation =
    single (fun a -> softplusOf (a.Float("beta", Option.defaultValue 1.0 number)) (a.Float("threshold", 20.0)) (x a))

let private interpolateOp: Operation =
    single (fun a ->
        let mode =
            match a.Text("mode", "nearest") with
            | "nearest" -> Interpolation.Nearest
            | "nearest-exact" -> Interpolation.NearestExact
            | "linear"
            | "bilinear"
            | "trilinear" -> Interpolation.Linear
            | "bicubic" -> Interpolation.Cubic
            | other -> failwith $"mode {other}"
        let n = (x a).Rank - 2
        let aligned = a.Bool("align_corners", false)
        if a.Has "size" then
            interpolate mode aligned (a.Spread("size", n, 1)) (x a)
        else
            interpolateBy mode aligned (a.Floats("scale_factor", n, 1.0)) (x a))

let private padOp: Operation =
    single (fun a ->
        let amounts = a.Ints("pad", [])
        match a.Text("mode", "constant") with
        | "constant" -> pad amounts (a.Float("value", 0.0)) (x a)
        | "reflect" -> padReflect amounts (x a)
        | "replicate" -> padReplicate amounts (x a)
        | "circular" -> padCircular amounts (x a)
        | other -> failwith $"mode {other}")

let private correction (a: Arguments) = a.Int("correction", (if a.Bool("unbiased", true) then 1 else 0))

/// Functions of x alone.
let private plain: (string * (Tensor -> Tensor)) list =
    [ "erf", erf
      "erfc", erfc
      "sin", sin
      "cos", cos
      "atan", atan
      "sinh_small", (fun x -> sinh (x / 4.0))
      "asinh", asinh
      "exp_small", (fun x -> exp (x / 4.0))
      "expm1_small", (fun x -> expm1 (x / 4.0))
      "log1p_abs", (fun x -> log1p (abs x))
      "rsqrt_abs1", (fun x -> rsqrt (abs x + 1.0))
      "square", square
      "abs", abs
      "sigmoid", sigmoid
      "tanh", tanh
      "logsigmoid", logSigmoid
      "relu", relu
      "relu6", relu6
      "silu", silu
      "gelu_tanh", geluTanh
      "selu", selu
      "mish", mish
      "hardsigmoid", hardsigmoid
      "hardswish", hardswish
      "tanhshrink", tanhshrink
      "softsign", softsign
      "det", Linalg.det
      "inv", Linalg.inv
      "slogdet", (fun x -> snd (Linalg.slogdet x))
      "cholesky", Linalg.cholesky
      "eigvalsh", Linalg.eigvalsh
      "svdvals", Linalg.svdvals ]

let private along: (string * (int -> Tensor -> Tensor)) list =
    [ "softmax", softmax
      "log_softmax", logSoftmax
      "softmin", softmin
      "logsumexp", logSumExp
      "cumsum", cumSum
      "cumprod", cumProd
      "glu", (fun dim x -> glu dim (slice dim 0 (x.Shape[Shape.axis "glu" x dim] / 2 * 2) x)) // an odd last element is left out
      "max", (fun dim x -> amax [ dim ] x)
      "min", (fun dim x -> amin [ dim ] x)
      "norm2", (fun dim x -> normOver 2.0 [ dim ] x) ]

let private others: (string * Operation) list =
    [ "gelu", single (fun a -> if a.Text("approximate", "none") = "tanh" then geluTanh (x a) else gelu (x a))
      "hardtanh", single (fun a -> hardtanh (a.Float("min_val", -1.0)) (a.Float("max_val", 1.0)) (x a))
      "threshold", single (fun a -> threshold (a.Float("threshold", 0.1)) (a.Float("value", -1.0)) (x a))
      "prelu", single (fun a -> prelu (a.Param "weight") (x a))
      "var", single (fun a -> varOver (correction a) [ a.Dim ] (x a))
      "std", single (fun a -> stdOver (correction a) [ a.Dim ] (x a))
      "gather", single (fun a -> gather a.Dim (a.Input "index") (x a))
      "scatter_add", single (fun a -> scatterAdd a.Dim (a.Input "index") (a.Input "src") (x a))
      "index_select", single (fun a -> indexSelect a.Dim (a.Input "index") (x a))
      "where", single (fun a -> where (a.Input "mask") (a.Input "a") (a.Input "b"))
      "topk",
      (fun a ->
          let values, indices = topK (a.Int("k", 1)) a.Dim (a.Bool("largest", true)) (x a)
          [ "values", values; "indices", indices ])
      "sort",
      (fun a ->
          let values, indices = sort a.Dim (a.Bool("descending", false)) (x a)
          [ "values", values; "indices", indices ])
      "tril", single (fun a -> tril (a.Int("diagonal", 0)) (x a))
      "triu", single (fun a -> triu (a.Int("diagonal", 0)) (x a))
      "pad", padOp
      "interpolate", interpolateOp
      "einsum", single (fun a -> einsum (a.Text("equation", "")) a.Inputs)
      "solve", single (fun a -> Linalg.solve (a.Input "a") (a.Input "b"))
      "normalize", single (fun a -> normalize (a.Float("p", 2.0)) (a.Int("dim", 1)) (a.Float("eps", 1e-12)) (x a))
      "cosine_similarity",
      single (fun a -> cosineSimilarity (a.Int("dim", 1)) (a.Float("eps", 1e-8)) (a.Input "a") (a.Input "b"))
      "pairwise_distance",
      single (fun a ->
          let y = pairwiseDistance (a.Float("p", 2.0)) (a.Float("eps", 1e-6)) (a.Input "a") (a.Input "b")
          if a.Bool("keepdim", false) then unsqueeze -1 y else y)
      "pixel_shuffle", single (fun a -> pixelShuffle (a.Int("upscale_factor", 1)) (x a))
      "pixel_unshuffle", single (fun a -> pixelUnshuffle (a.Int("downscale_factor", 1)) (x a))
      "channel_shuffle", single (fun a -> channelShuffle (a.Int("groups", 1)) (x a))
      "unfold",
      single (fun a ->
          im2col
              (a.Ints("kernel_size", [ 1 ]))
              (a.Ints("stride", [ 1 ]))
              (a.Ints("padding", [ 0 ]))
              (a.Ints("dilation", [ 1 ]))
              (x a))
      "fold",
      single (fun a ->
          col2im
              (a.Ints("output_size", [ 1 ]))
              (a.Ints("kernel_size", [ 1 ]))
              (a.Ints("stride", [ 1 ]))
              (a.Ints("padding", [ 0 ]))
              (a.Ints("dilation", [ 1 ]))
              (x a)) ]

let private named: Map<string, Operation> =
    Map(
        [ for name, f in plain -> name, single (fun a -> f (x a))
          for name, f in along -> name, single (fun a -> f a.Dim (x a)) ]
        @ others
    )

/// The operation of this name, if it is a function.
let tryFind (name: string) : Operation option =
    let matched = suffix.Match name
    let number () = Some(parameter matched.Groups[2].Value)
    match Map.tryFind name named, Map.tryFind name families with
    | Some f, _ -> Some f
    | None, Some family -> Some(ofFamily None family)
    | None, None when name = "softplus" -> Some(softplusOp None)
    | None, None when not matched.Success -> None
    | None, None when matched.Groups[1].Value = "softplus" -> Some(softplusOp (number ()))
    | None, None -> Map.tryFind matched.Groups[1].Value families |> Option.map (ofFamily (number ()))
