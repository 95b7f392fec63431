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
    /// Queries, keys and values of `[B; T; C]`, each `[B; heads; T; C/heads]`.
    let split (heads: int) (p: CausalSelfAttention) (x: Tensor) : struct (Tensor * Tensor * Tensor) =
        let channels = x.Shape[x.Rank - 1]
        let all = Linear.apply p.CAttn x
        let part i = all |> slice -1 (i * channels) ((i + 1) * channels) |> Attention.splitHeads heads
        part 0, part 1, part 2

    /// What the heads have mixed, `[B; heads; T; C/heads]`, to `[B; T; C]`.
    let join (p: CausalSelfAttention) (mixed: Tensor) : Tensor = mixed |> Attention.joinHeads |> Linear.apply p.CProj

    /// `[B; T; C]` to `[B; T; C]`; with a key, weights and result are dropped out with probability `dropout`.
    let apply (heads: int) (dropout: float) (key: Tensor option) (p: CausalSelfAttention) (x: Tensor) : Tensor =
        let struct (q, k, v) = split heads p x
        let weights = Attention.weights (Some(Attention.future x.Shape[1])) q k
        Attention.mix (Dropout.maybe dropout key 0 weights) v |> join p |> Dropout.maybe dropout key 1

/// What a block's attention remembers of the places that it has read: keys and values `[B; heads; room; C/heads]`. Places
/// that are not read yet hold finite numbers, which nothing looks at.
[<NoComparison>]
type KvCache = { Keys: Tensor; Values: Tensor }

/// Self-attention that goes on where it stopped.
[<RequireQualifiedAccess>]
module KvCache =
    /// So many places fit.
    let room (cache: KvCache) : int = cache.Keys.Shape[2]

    /// The same with room for more places.
    let grow (room: int) (cache: KvCache) : KvCache =
        let widen (x: Tensor) = pad [ 0; 0; 0; room - x.Shape[2] ] 0.0 x
        { Keys = widen cache.Keys; Values = widen cache.Values }

    /// The first `T` places: `[B; T; C]` to `[B; T; C]`, as causal self-attention does it, and a cache with room for `room`.
    let start (heads: int) (room: int) (p: CausalSelfAttention) (x: Tensor) : struct (Tensor * KvCache) =
        let struct (q, k, v) = CausalSelfAttention.split heads p x
        let mixed = Attention.mix (Attention.weights (Some(Attention.future x.Shape[1])) q k) v
        CausalSelfAttention.join p mixed, grow room { Keys = k; Values = v }

    /// The `T` places that follow the first `place` (an integer scalar): `[B; T; C]` to `[B; T; C]`, and the cache with
    /// them. One that does not fit is an error when the program runs. A donated cache changes where it is.
    let extend (heads: int) (cache: KvCache) (place: Tensor) (p: CausalSelfAttention) (x: Tensor) =
        let struct (q, k, v) = CausalSelfAttention.split heads p x
        let zero = zerosLike place
        let write row old = Op.dynamicUpdate [| zero; zero; place; zero |] row old
        let cache = { Keys = write k cache.Keys; Values = write v cache.Values }
        let places axis = Op.iota place.DType [| x.Shape[1]; room cache |] axis
        let future = gt (places 1) (places 0 + place)
        let mixed = Attention.mix (Attention.weights (Some future) q cache.Keys) cache.Values
        struct (CausalSelfAttention.join p mixed, cache)
