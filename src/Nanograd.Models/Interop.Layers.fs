namespace Nanograd.Models

open System
open Nanograd

/// Arguments that C# may leave null.
module internal Optional =
    let ofNull (t: Tensor) = if isNull t then None else Some t

/// The result of multi-head attention.
[<Sealed>]
type MultiheadResult internal (output: Tensor, weights: Tensor) =
    /// `[B; T; E]`.
    member _.Output = output
    /// `[B; T; S]`, averaged over the heads.
    member _.Weights = weights

/// Layers and losses as functions; arguments that may be null are optional.
[<AbstractClass; Sealed>]
type Layers =
    static member private Reduction(name: string) =
        match name with
        | "mean" -> LossReduction.Mean
        | "sum" -> LossReduction.Sum
        | "none" -> LossReduction.None
        | other -> raise (ArgumentException $"The reduction must be mean, sum or none, not {other}.")

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

    /// Attention over split heads: q `[..; T; D]`, k and v `[..; S; D]` to `[..; T; D]`; `excluded` (bool, true =
    /// excluded) and key may be null.
    static member ScaledDotProductAttention
        (q: Tensor, k: Tensor, v: Tensor, excluded: Tensor, causal: bool, dropout: float, key: Tensor)
        : Tensor =
        let weights = Attention.weights (Layers.Mask(q, excluded, causal)) q k
        Attention.mix (Dropout.maybe dropout (Optional.ofNull key) 0 weights) v

    static member private Mask(q: Tensor, excluded: Tensor, causal: bool) =
        let future = if causal then Some(Attention.future q.Shape[q.Rank - 2]) else None
        match Optional.ofNull excluded, future with
        | Some a, Some b -> Some(Op.binary Binary.Or a b)
        | Some a, None -> Some a
        | None, future -> future

    /// PyTorch's multi_head_attention_forward with batch first: query `[B; T; E]`, key and value `[B; S; E]`.
    /// `attnMask` `[T; S]` or `[B*heads; T; S]` and `keyPaddingMask` `[B; S]` are bool, true = excluded. Biases,
    /// masks and the dropout key may be null.
    static member MultiheadAttention
        (
            query: Tensor,
            key: Tensor,
            value: Tensor,
            heads: int,
            inProjWeight: Tensor,
            inProjBias: Tensor,
            outProjWeight: Tensor,
            outProjBias: Tensor,
            attnMask: Tensor,
            keyPaddingMask: Tensor,
            dropout: float,
            dropoutKey: Tensor
        ) : MultiheadResult =
        let p: MultiheadAttention =
            { InProjWeight = Some inProjWeight
              QProjWeight = None
              KProjWeight = None
              VProjWeight = None
              InProjBias = Optional.ofNull inProjBias
              BiasK = None
              BiasV = None
              OutProj = { Weight = outProjWeight; Bias = Optional.ofNull outProjBias } }
        let options = { MultiheadOptions.Of heads with Dropout = dropout; BatchFirst = true }
        let mask, padding = Optional.ofNull attnMask, Optional.ofNull keyPaddingMask
        let y, weights =
            MultiheadAttention.apply options (Optional.ofNull dropoutKey) mask padding p (query, key, value)
        MultiheadResult(y, Option.get weights)

    /// Cross-entropy of logits `[..; classes]` against integer targets `[..]`; reduction mean, sum or none.
    static member CrossEntropy(logits: Tensor, targets: Tensor, reduction: string) : Tensor =
        Loss.crossEntropyOf (Layers.Reduction reduction) logits targets

    /// The same, where places whose target is `ignored` do not count.
    static member CrossEntropyIgnoring(logits: Tensor, targets: Tensor, ignored: int, reduction: string) : Tensor =
        Loss.crossEntropyIgnoring ignored (Layers.Reduction reduction) logits targets

    /// Squared differences; reduction mean, sum or none.
    static member Mse(x: Tensor, y: Tensor, reduction: string) : Tensor = Loss.mseOf (Layers.Reduction reduction) x y

    /// Absolute differences; reduction mean, sum or none.
    static member L1(x: Tensor, y: Tensor, reduction: string) : Tensor = Loss.l1Of (Layers.Reduction reduction) x y

    /// Binary cross-entropy of logits; reduction mean, sum or none.
    static member BceWithLogits(x: Tensor, y: Tensor, reduction: string) : Tensor =
        Loss.bceWithLogitsOf (Layers.Reduction reduction) x y

    /// Huber's loss; reduction mean, sum or none.
    static member Huber(x: Tensor, y: Tensor, delta: float, reduction: string) : Tensor =
        Loss.huberOf delta (Layers.Reduction reduction) x y

    /// PyTorch's start for a Linear's weight `[out; in]`: uniform in plus or minus 1/sqrt(in).
    static member LinearInitWeight(key: Tensor, outFeatures: int, inFeatures: int) : Tensor =
        (Linear.init key inFeatures outFeatures false).Weight

    /// PyTorch's start for a Linear's bias `[out]`: uniform in plus or minus 1/sqrt(in).
    static member LinearInitBias(key: Tensor, outFeatures: int, inFeatures: int) : Tensor =
        (Linear.init key inFeatures outFeatures true).Bias.Value

    /// PyTorch's start for MultiheadAttention: in-projection `[3E; E]`, then out-projection `[E; E]`.
    static member MultiheadInitWeights(key: Tensor, width: int) : Tensor[] =
        let p = MultiheadAttention.init key width false
        [| Option.get p.InProjWeight; p.OutProj.Weight |]

    /// Normal numbers of mean 0 and a given deviation.
    static member Normal(key: Tensor, shape: int[], deviation: float) : Tensor = Random.normal key shape * deviation

    /// Uniform in plus or minus `bound`.
    static member Uniform(key: Tensor, shape: int[], bound: float) : Tensor =
        Random.uniform key shape * (2.0 * bound) - bound
