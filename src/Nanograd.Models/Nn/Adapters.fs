namespace Nanograd

open System

/// A low-rank change of a dense layer (Hu et al. 2021): `A [r; in]`, `B [out; r]`.
[<NoComparison>]
type LoRA = { A: Tensor; B: Tensor }

/// Fine-tuning few parameters beside a model that stays as it is.
[<RequireQualifiedAccess>]
module LoRA =
    let private rank (p: LoRA) = float p.A.Shape[0]

    /// x W^T + b + (x A^T) B^T alpha / r: `[..; in]` to `[..; out]`. With a key (training) the adapter's input is dropped out
    /// with probability `dropout`. The dense layer gets no gradient.
    let apply (alpha: float) (dropout: float) (key: Tensor option) (p: LoRA) (layer: Linear) (x: Tensor) : Tensor =
        if p.A.Rank <> 2 || p.B.Rank <> 2 || p.B.Shape[1] <> p.A.Shape[0] then
            Shape.fail "lora" "A must be [r,in] and B [out,r]" "" [ p.A; p.B ]
        let inside = Dropout.maybe dropout key 0 x |> Linear.compute p.A None
        let change = Linear.compute p.B None inside * (alpha / rank p)
        Linear.compute (stopGradient layer.Weight) (Option.map stopGradient layer.Bias) x + change

    /// The dense layer with its change added: what `apply` computes, without its cost.
    let merge (alpha: float) (p: LoRA) (layer: Linear) : Linear =
        { layer with Weight = layer.Weight + matmul p.B p.A * (alpha / rank p) }

    /// A Kaiming-uniform as a Linear's weight, B zero: no change at the start.
    let init (key: Tensor) (inFeatures: int) (outFeatures: int) (rank: int) : LoRA =
        if rank < 1 then raise (ArgumentException $"lora: the rank must be at least 1, not {rank}.")
        { A = (Linear.init key inFeatures rank false).Weight
          B = zeros [| outFeatures; rank |] }

/// Feed-forward experts and a router: `Router [E; C]`, `W1 [E; H; C]`, `B1 [E; H]`, `W2 [E; C; H]`, `B2 [E; C]`.
[<NoComparison>]
type MixtureOfExperts = { Router: Linear; W1: Tensor; B1: Tensor; W2: Tensor; B2: Tensor }

/// How tokens find their experts.
[<NoComparison; NoEquality>]
type MixtureOptions =
    {
        /// Experts for each token.
        TopK: int
        /// Whether the chosen experts' weights are made to sum to 1.
        Normalise: bool
        /// Tokens an expert takes at most, as a multiple of an even share; those behind are left out. None: all.
        CapacityFactor: float option
        /// Between the two dense layers.
        Activation: Tensor -> Tensor
    }

    /// Two experts, weights that sum to 1, no limit, gelu.
    static member Default = { TopK = 2; Normalise = true; CapacityFactor = None; Activation = gelu }

/// A sparse mixture of experts (Shazeer et al. 2017; Fedus et al. 2021, "Switch transformers").
[<RequireQualifiedAccess>]
module MixtureOfExperts =
    /// How much each expert counts for each token, 0 for those not chosen: logits `[N; E]` to `[N; E]`, and which are chosen.
    let private route (o: MixtureOptions) (logits: Tensor) =
        let experts = logits.Shape[1]
        if o.TopK < 1 || o.TopK > experts then
            raise (
                ArgumentException $"mixture: the experts for each token must be between 1 and {experts}, not {o.TopK}."
            )
        let probabilities = softmax -1 logits
        let _, best = topK o.TopK -1 true (stopGradient probabilities)
        let isChosen = anyOver [ 1 ] (oneHot DType.Bool experts best)
        let gates = where isChosen probabilities (zerosLike probabilities)
        let gates = if o.Normalise then gates / sumKeep [ 1 ] gates else gates
        probabilities, gates, isChosen

    /// Chosen places up to each expert's capacity, first come, first served.
    let private limited (o: MixtureOptions) (isChosen: Tensor) =
        match o.CapacityFactor with
        | None -> isChosen
        | Some factor ->
            let tokens, experts = isChosen.Shape[0], isChosen.Shape[1]
            let capacity = Math.Ceiling(factor * float (tokens * o.TopK) / float experts)
            let arrivals = cumSum 0 (cast DType.I32 isChosen)
            logicalAnd isChosen (le arrivals (scalarOf DType.I32 (max 1.0 capacity)))

    /// E times the sum over experts of the share of choices it gets times its mean probability: 1 if all get the same, more
    /// otherwise. Its gradient flows through the probabilities.
    let private balance (probabilities: Tensor) (isChosen: Tensor) =
        let chosen = cast probabilities.DType isChosen
        let share = sumOver [ 0 ] chosen / sum chosen
        sum (share * meanOver [ 0 ] probabilities) * float probabilities.Shape[1]

    /// x `[..; C]` to `[..; C]`, and the load-balancing loss, a scalar. Every expert computes every token, and what is not
    /// chosen counts nothing: right for few experts, wasteful for many.
    let apply (o: MixtureOptions) (p: MixtureOfExperts) (x: Tensor) : Tensor * Tensor =
        if x.Rank = 0 || p.W1.Rank <> 3 || x.Shape[x.Rank - 1] <> p.W1.Shape[2] || x.Count = 0 then
            Shape.fail "mixture" "x must be [..,C], not empty, and W1 [E,H,C]" "" [ x; p.W1 ]
        let tokens = reshape [| -1; x.Shape[x.Rank - 1] |] x
        let probabilities, gates, isChosen = route o (Linear.apply p.Router tokens)
        let gates = where (limited o isChosen) gates (zerosLike gates)
        let inside = einsum "nc,ehc->enh" [ tokens; p.W1 ] + unsqueeze 1 p.B1 |> o.Activation
        let outputs = einsum "enh,ech->enc" [ inside; p.W2 ] + unsqueeze 1 p.B2
        let y = einsum "ne,enc->nc" [ gates; outputs ]
        reshape x.Shape y, balance probabilities isChosen

    /// Each expert as two Linear layers, the router without bias.
    let init (key: Tensor) (experts: int) (width: int) (hidden: int) : MixtureOfExperts =
        if experts < 1 then raise (ArgumentException $"mixture: there must be at least one expert, not {experts}.")
        let uniform n inputs shape =
            let b = 1.0 / Math.Sqrt(float inputs) in Init.uniform -b b (Random.fold key n) shape
        { Router = Linear.init (Random.fold key 0) width experts false
          W1 = uniform 1 width [| experts; hidden; width |]
          B1 = uniform 2 width [| experts; hidden |]
          W2 = uniform 3 hidden [| experts; width; hidden |]
          B2 = uniform 4 hidden [| experts; width |] }
