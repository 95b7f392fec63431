namespace Nanograd.Models

open System
open Nanograd

/// Rotary positions.
[<AbstractClass; Sealed>]
type RotaryFunctions =
    /// Cosines and sines `[..; dim/2]` of integer or float positions `[..]`.
    static member Tables(theta: float, dim: int, positions: Tensor) : Tensor[] =
        let cosines, sines = Rotary.tables theta dim positions
        [| cosines; sines |]

    /// x `[..; T; D]` turned by tables `[T; D/2]`: channel i with channel i + D/2, or channel 2i with 2i + 1.
    static member Apply(x: Tensor, cosines: Tensor, sines: Tensor, interleaved: bool) : Tensor =
        if interleaved then Rotary.applyInterleaved (cosines, sines) x else Rotary.apply (cosines, sines) x

/// Attention as functions; arguments that may be null are optional.
[<AbstractClass; Sealed>]
type AttentionFunctions =
    /// True above the diagonal, where a query would look at a later key: `[queries; keys]`.
    static member Future(queries: int, keys: int) : Tensor =
        lt (Op.iota DType.I32 [| queries; keys |] 0) (Op.iota DType.I32 [| queries; keys |] 1)

    /// Attention over split heads: q `[..; heads; T; D]`, k and v `[..; kv heads; S; D]` to `[..; heads; T; D]`. The mask is
    /// bool, true = visible, or floats, which are added to the scores. With `shareHeads` several heads of queries look at one
    /// of keys. Without a scale it is 1/sqrt D.
    static member Scaled
        (
            q: Tensor,
            k: Tensor,
            v: Tensor,
            mask: Tensor,
            causal: bool,
            dropout: float,
            dropoutKey: Tensor,
            scale: Nullable<float>,
            shareHeads: bool
        ) : Tensor =
        let name = "scaledDotProductAttention"
        if q.Rank < 2 || k.Rank <> q.Rank || v.Rank <> q.Rank then
            Shape.fail name "q [..,T,D], k [..,S,D] and v [..,S,V] must have equal rank, at least 2" "" [ q; k; v ]
        if not (isNull mask) && mask.DType <> DType.Bool && not (DType.isFloat mask.DType) then
            Shape.fail name "the mask must be bool (true = visible) or floats (to be added)" "cast it" [ mask ]
        let share (x: Tensor) =
            let heads, own = q.Shape[q.Rank - 3], x.Shape[x.Rank - 3]
            if own = 0 || heads % own <> 0 then
                Shape.fail name "heads of queries must be a multiple of those of keys and values" "" [ q; x ]
            repeatInterleave (heads / own) (x.Rank - 3) x
        let shared (x: Tensor) = if shareHeads && q.Rank > 2 then share x else x
        let k, v = shared k, shared v
        let q = if scale.HasValue then q * (scale.Value * Math.Sqrt(float q.Shape[q.Rank - 1])) else q
        let future = if causal then Some(AttentionFunctions.Future(q.Shape[q.Rank - 2], k.Shape[k.Rank - 2])) else None
        let bias, excluded =
            match Optional.ofNull mask with
            | Some m when m.DType = DType.Bool -> None, AttentionMask.either (Some(logicalNot m)) future
            | bias -> bias, future
        let weights = Attention.weightsWith bias excluded q k
        Attention.mix (Dropout.maybe dropout (Optional.ofNull dropoutKey) 0 weights) v

    /// The start of PyTorch's MultiheadAttention: names and values.
    static member MultiheadInit
        (key: Tensor, width: int, kdim: int, vdim: int, bias: bool, biasKV: bool)
        : NamedTensor[] =
        MultiheadAttention.initWith key width kdim vdim bias biasKV |> StateDict.named |> Array.map NamedTensor

    /// PyTorch's multi_head_attention_forward: the result, and the weights. `projections` are one `[3E; E]` or three; masks are
    /// bool, true = excluded, or floats. Biases, masks and the dropout key may be null.
    static member Multihead
        (
            query: Tensor,
            key: Tensor,
            value: Tensor,
            heads: int,
            projections: Tensor[],
            inProjBias: Tensor,
            biasK: Tensor,
            biasV: Tensor,
            outProjWeight: Tensor,
            outProjBias: Tensor,
            attnMask: Tensor,
            keyPaddingMask: Tensor,
            dropout: float,
            dropoutKey: Tensor,
            batchFirst: bool,
            addZeroAttn: bool,
            average: bool
        ) : Tensor[] =
        let own i = if projections.Length = 3 then Some projections[i] else None
        let p: MultiheadAttention =
            { InProjWeight = (if projections.Length = 1 then Some projections[0] else None)
              QProjWeight = own 0
              KProjWeight = own 1
              VProjWeight = own 2
              InProjBias = Optional.ofNull inProjBias
              BiasK = Optional.ofNull biasK
              BiasV = Optional.ofNull biasV
              OutProj = { Weight = outProjWeight; Bias = Optional.ofNull outProjBias } }
        let o =
            { MultiheadOptions.Of heads with
                Dropout = dropout
                BatchFirst = batchFirst
                AddZeroAttn = addZeroAttn
                AverageAttnWeights = average }
        let mask, padding = Optional.ofNull attnMask, Optional.ofNull keyPaddingMask
        let y, weights = MultiheadAttention.apply o (Optional.ofNull dropoutKey) mask padding p (query, key, value)
        [| y; Option.get weights |]

    /// Grouped-query attention of x `[B; T; E]`: weights (and biases, each may be null) of queries, keys, values and result.
    /// Tables of rotary positions may be null; the mask is bool, true = excluded, or floats, and may be null.
    static member GroupedQuery
        (
            x: Tensor,
            heads: int,
            kvHeads: int,
            weights: Tensor[],
            biases: Tensor[],
            cosines: Tensor,
            sines: Tensor,
            interleaved: bool,
            mask: Tensor,
            causal: bool
        ) : Tensor =
        let linear i : Linear = { Weight = weights[i]; Bias = Optional.ofNull biases[i] }
        let p = { QProj = linear 0; KProj = linear 1; VProj = linear 2; OProj = linear 3 }
        let turn t = if isNull cosines then t else RotaryFunctions.Apply(t, cosines, sines, interleaved)
        let future = if causal then Some(AttentionFunctions.Future(x.Shape[1], x.Shape[1])) else None
        let bias, excluded =
            match Optional.ofNull mask with
            | Some m when m.DType = DType.Bool -> None, AttentionMask.either (Some m) future
            | bias -> bias, future
        GroupedQueryAttention.applyWith heads kvHeads turn bias excluded p x

/// A mixture of experts as a function.
[<AbstractClass; Sealed>]
type MixtureFunctions =
    /// The start: names and values.
    static member Init(key: Tensor, experts: int, width: int, hidden: int) : NamedTensor[] =
        MixtureOfExperts.init key experts width hidden |> StateDict.named |> Array.map NamedTensor

    /// x `[..; C]` to `[..; C]`, and the load-balancing loss. The activation is relu, gelu or silu.
    static member Apply
        (
            x: Tensor,
            parameters: Tensor[],
            topK: int,
            normalise: bool,
            capacityFactor: Nullable<float>,
            activation: string
        ) : Tensor[] =
        let p: MixtureOfExperts =
            { Router = { Weight = parameters[0]; Bias = None }
              W1 = parameters[1]
              B1 = parameters[2]
              W2 = parameters[3]
              B2 = parameters[4] }
        let o =
            { TopK = topK
              Normalise = normalise
              CapacityFactor = Option.ofNullable capacityFactor
              Activation =
                match activation with
                | "relu" -> relu
                | "gelu" -> gelu
                | "silu" -> silu
                | other -> raise (ArgumentException $"The activation must be relu, gelu or silu, not {other}.") }
        let y, loss = MixtureOfExperts.apply o p x
        [| y; loss |]
