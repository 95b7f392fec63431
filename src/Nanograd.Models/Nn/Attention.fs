namespace Nanograd

open System

/// Scaled dot-product attention (Vaswani et al. 2017), composed from products and softmax.
[<RequireQualifiedAccess>]
module Attention =
    /// The batch axes of `[..; time; dim]`, for products over the others.
    let private batches (x: Tensor) = Array.init (x.Rank - 2) id

    /// softmax(q k^T / sqrt D + bias) along the last axis, `excluded` places (bool, true = excluded, broadcast) getting 0:
    /// q `[..; T; D]` and k `[..; S; D]` to `[..; T; S]`, to which the bias (floats) broadcasts, too.
    let weightsWith (bias: Tensor option) (excluded: Tensor option) (q: Tensor) (k: Tensor) : Tensor =
        if q.Rank < 2 || k.Rank <> q.Rank then
            Shape.fail "attention" "q [..,T,D] and k [..,S,D] must have equal rank, at least 2" "" [ q; k ]
        let axes = batches q
        let last = q.Rank - 1
        let scores =
            Op.dot
                { LeftBatch = axes
                  RightBatch = axes
                  LeftSum = [| last |]
                  RightSum = [| last |] }
                q
                k
            * (1.0 / Math.Sqrt(float q.Shape[last]))
        let scores = bias |> Option.fold (fun scores b -> scores + cast scores.DType b) scores
        let masked =
            match excluded with
            | Some mask -> where mask (full scores.DType [||] Double.NegativeInfinity) scores
            | None -> scores
        softmax -1 masked

    /// `weightsWith` no bias.
    let weights (excluded: Tensor option) (q: Tensor) (k: Tensor) : Tensor = weightsWith None excluded q k

    /// Weighted sums of the values: weights `[..; T; S]` and v `[..; S; D]` to `[..; T; D]`.
    let mix (weights: Tensor) (v: Tensor) : Tensor =
        let axes = batches v
        Op.dot
            { LeftBatch = axes
              RightBatch = axes
              LeftSum = [| v.Rank - 1 |]
              RightSum = [| v.Rank - 2 |] }
            weights
            v

    /// True above the diagonal, where a place would look at its future: `[n; n]` bool.
    let future (n: int) : Tensor = lt (Op.iota DType.I32 [| n; n |] 0) (Op.iota DType.I32 [| n; n |] 1)

    /// `[B; T; C]` to `[B; heads; T; C/heads]`.
    let splitHeads (heads: int) (x: Tensor) : Tensor =
        if x.Rank <> 3 || heads < 1 || x.Shape[2] % heads <> 0 then
            Shape.fail "attention" $"x [B,T,C] must have channels that divide into {heads} heads" "" [ x ]
        x |> reshape [| x.Shape[0]; x.Shape[1]; heads; x.Shape[2] / heads |] |> permute [| 0; 2; 1; 3 |]

    /// `[B; heads; T; D]` to `[B; T; heads*D]`.
    let joinHeads (x: Tensor) : Tensor =
        x |> permute [| 0; 2; 1; 3 |] |> reshape [| x.Shape[0]; x.Shape[2]; x.Shape[1] * x.Shape[3] |]

/// Causal self-attention with one product for queries, keys and values: `CAttn` `[3C; C]`, `CProj` `[C; C]`.
[<NoComparison>]
type CausalSelfAttention = { CAttn: Linear; CProj: Linear }

/// Self-attention in which no place sees a later one.
[<RequireQualifiedAccess>]
module CausalSelfAttention =
    /// `[B; T; C]` to `[B; T; C]`; with a key, weights and result are dropped out with probability `dropout`.
    let apply (heads: int) (dropout: float) (key: Tensor option) (p: CausalSelfAttention) (x: Tensor) : Tensor =
        let channels = x.Shape[x.Rank - 1]
        let all = Linear.apply p.CAttn x
        let part i = all |> slice -1 (i * channels) ((i + 1) * channels) |> Attention.splitHeads heads
        let weights = Attention.weights (Some(Attention.future x.Shape[1])) (part 0) (part 1)
        Attention.mix (Dropout.maybe dropout key 0 weights) (part 2)
        |> Attention.joinHeads
        |> Linear.apply p.CProj
        |> Dropout.maybe dropout key 1
