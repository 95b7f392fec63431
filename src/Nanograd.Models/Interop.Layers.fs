namespace Nanograd.Models

open System
open Nanograd

/// Arguments that C# may leave null.
module internal Optional =
    let ofNull (t: Tensor) = if isNull t then None else Some t

/// Layers as functions; arguments that may be null are optional.
[<AbstractClass; Sealed>]
type Layers =
    /// x W^T + b: `[..; in]` to `[..; out]`; the bias may be null.
    static member Linear(x: Tensor, weight: Tensor, bias: Tensor) : Tensor =
        Linear.compute weight (Optional.ofNull bias) x

    /// Rows of the table `[vocabulary; dim]`: integers `[..]` to `[..; dim]`.
    static member Embedding(ids: Tensor, weight: Tensor) : Tensor = take 0 ids weight

    /// Normalised over the last `axes` axes, times weight, plus bias (both may be null).
    static member LayerNorm(x: Tensor, axes: int, weight: Tensor, bias: Tensor, eps: float) : Tensor =
        match Optional.ofNull weight, Optional.ofNull bias with
        | Some w, bias -> LayerNorm.compute eps w bias x
        | None, Some b -> LayerNorm.normalise eps axes x + b
        | None, None -> LayerNorm.normalise eps axes x

    /// Each element 0 with probability p, else x / (1 - p).
    static member Dropout(x: Tensor, p: float, key: Tensor) : Tensor = Dropout.apply p key x

    /// GELU, by erf or by its tanh approximation.
    static member Gelu(x: Tensor, tanh: bool) : Tensor = if tanh then geluTanh x else gelu x

    /// PyTorch's start for a Linear's weight `[out; in]`: uniform in plus or minus 1/sqrt(in).
    static member LinearInitWeight(key: Tensor, outFeatures: int, inFeatures: int) : Tensor =
        (Linear.init key inFeatures outFeatures false).Weight

    /// PyTorch's start for a Linear's bias `[out]`: uniform in plus or minus 1/sqrt(in).
    static member LinearInitBias(key: Tensor, outFeatures: int, inFeatures: int) : Tensor =
        (Linear.init key inFeatures outFeatures true).Bias.Value

    /// Normal numbers of mean 0 and a given deviation.
    static member Normal(key: Tensor, shape: int[], deviation: float) : Tensor = Random.normal key shape * deviation

    /// Uniform in plus or minus `bound`.
    static member Uniform(key: Tensor, shape: int[], bound: float) : Tensor =
        Random.uniform key shape * (2.0 * bound) - bound
