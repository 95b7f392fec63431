namespace Nanograd

open System

/// Attention of queries to keys and values in several heads, laid out as PyTorch's: one in-projection `InProjWeight [3E; E]`
/// or, for keys and values of other widths, three (`[E; E]`, `[E; kdim]`, `[E; vdim]`); `InProjBias [3E]`; a key and a value
/// that every query sees, `BiasK` and `BiasV [1; 1; E]`.
[<NoComparison>]
type MultiheadAttention =
    { InProjWeight: Tensor option
      QProjWeight: Tensor option
      KProjWeight: Tensor option
      VProjWeight: Tensor option
      InProjBias: Tensor option
      BiasK: Tensor option
      BiasV: Tensor option
      OutProj: Linear }

/// How multi-head attention is computed.
type MultiheadOptions =
    {
        Heads: int
        /// The probability of dropout of weights, in training.
        Dropout: float
        /// Whether tensors are `[B; T; E]` rather than `[T; B; E]`.
        BatchFirst: bool
        /// Whether a key and a value of zeros are added.
        AddZeroAttn: bool
        /// Whether the weights are given, too.
        NeedWeights: bool
        /// Whether they are averaged over the heads.
        AverageAttnWeights: bool
    }

    /// PyTorch's defaults.
    static member Of(heads: int) =
        { Heads = heads
          Dropout = 0.0
          BatchFirst = false
          AddZeroAttn = false
          NeedWeights = true
          AverageAttnWeights = true }

/// Multi-head attention (Vaswani et al. 2017). (PyTorch: nn.MultiheadAttention.)
[<RequireQualifiedAccess>]
module MultiheadAttention =
    let private name = "multiheadAttention"

    /// The weights of queries, keys and values, `[E; ..]` each.
    let private projections (p: MultiheadAttention) (width: int) =
        match p.InProjWeight, p.QProjWeight, p.KProjWeight, p.VProjWeight with
        | Some w, _, _, _ -> splitSizes 0 [ width; width; width ] w
        | None, Some q, Some k, Some v -> [| q; k; v |]
        | None, _, _, _ ->
            raise (
                ArgumentException $"{name}: there must be one in-projection, or one each of queries, keys and values."
            )

    /// A key or value more, the same for all of the batch: `[B; S; E]` to `[B; S + 1; E]`.
    let private withRow (row: Tensor) (x: Tensor) =
        let row = cast x.DType row |> reshape [| 1; 1; x.Shape[2] |]
        concat 1 [ x; broadcastTo [| x.Shape[0]; 1; x.Shape[2] |] row ]

    /// A mask for `extra` keys more, which are not masked.
    let private widened (extra: int) (mask: Tensor) =
        if extra = 0 then
            mask
        else
            concat -1 [ mask; zerosOf mask.DType (Array.append mask.Shape[.. mask.Rank - 2] [| extra |]) ]

    /// Masks for scores `[B; heads; T; S]`: what is excluded, and what is added.
    let private masks (batch, heads, queries, keys) (attnMask: Tensor option) (keyPadding: Tensor option) =
        let lift (m: Tensor) =
            let shown = $"[{queries},{keys}] or [{batch}*{heads},{queries},{keys}]"
            match m.Shape with
            | [| t; s |] when t = queries && s = keys -> m
            | [| n; t; s |] when n = batch * heads && t = queries && s = keys ->
                reshape [| batch; heads; queries; keys |] m
            | _ -> Shape.fail name $"the attention mask must be {shown}" "" [ m ]
        let padding (m: Tensor) =
            if m.Shape <> [| batch; keys |] then
                Shape.fail name $"the key padding mask must be [{batch},{keys}]" "" [ m ]
            reshape [| batch; 1; 1; keys |] m
        let all = [ Option.map lift attnMask; Option.map padding keyPadding ] |> List.choose id
        for m in all do
            if m.DType <> DType.Bool && not (DType.isFloat m.DType) then
                Shape.fail name "masks must be bool (true = excluded) or floats (to be added)" "cast them" [ m ]
        let excluded, added = all |> List.partition (fun m -> m.DType = DType.Bool)
        let sum (masks: Tensor list) = if masks.IsEmpty then None else Some(List.reduce (fun a b -> a + b) masks)
        let any (masks: Tensor list) = if masks.IsEmpty then None else Some(List.reduce (Op.binary Binary.Or) masks)
        any excluded, sum added

    /// All of it for `[B; T; E]`.
    let private batched
        (o: MultiheadOptions)
        key
        attnMask
        keyPadding
        (p: MultiheadAttention)
        (q: Tensor, k: Tensor, v: Tensor)
        =
        let width, batch = q.Shape[2], q.Shape[0]
        let weights = projections p width
        let biases = p.InProjBias |> Option.map (splitSizes 0 [ width; width; width ])
        let project i x = Linear.compute weights[i] (biases |> Option.map (fun b -> b[i])) x
        let zeros = if o.AddZeroAttn then [ zerosOf q.DType [| width |] ] else []
        let more (row: Tensor option) x = Option.toList row @ zeros |> List.fold (fun x row -> withRow row x) x
        let queries, keys, values = project 0 q, more p.BiasK (project 1 k), more p.BiasV (project 2 v)
        let extra = keys.Shape[1] - k.Shape[1]
        let widen = Option.map (widened extra)
        let scores = batch, o.Heads, q.Shape[1], keys.Shape[1]
        let excluded, added = masks scores (widen attnMask) (widen keyPadding)
        let heads = Attention.splitHeads o.Heads
        let attention =
            Attention.weightsWith added excluded (heads queries) (heads keys) |> Dropout.maybe o.Dropout key 0
        let y = Attention.mix attention (heads values) |> Attention.joinHeads |> Linear.apply p.OutProj
        y, attention

    let private check (o: MultiheadOptions) (q: Tensor, k: Tensor, v: Tensor) =
        if q.Rank < 2 || q.Rank > 3 || k.Rank <> q.Rank || v.Rank <> q.Rank then
            Shape.fail name "query, key and value must all be [B,T,E] (or [T,B,E]), or all [T,E]" "" [ q; k; v ]
        if o.Heads < 1 || q.Shape[q.Rank - 1] % o.Heads <> 0 then
            Shape.fail name $"the width of the query must divide into {o.Heads} heads" "" [ q ]

    /// query `[B; T; E]`, key `[B; S; kdim]` and value `[B; S; vdim]` (time first unless `BatchFirst`; or without batch) to
    /// the result, shaped as the query, and the weights `[B; T; S]`, or `[B; heads; T; S]` if they are not averaged. The
    /// attention mask is `[T; S]` or `[B*heads; T; S]`, that of padding keys `[B; S]`: bool, true = excluded, or floats,
    /// which are added to the scores. With a key (training) weights are dropped out.
    let apply
        (o: MultiheadOptions)
        (key: Tensor option)
        (attnMask: Tensor option)
        (keyPadding: Tensor option)
        (p: MultiheadAttention)
        (q: Tensor, k: Tensor, v: Tensor)
        : Tensor * Tensor option =
        check o (q, k, v)
        let single = q.Rank = 2
        let enter (x: Tensor) =
            if single then unsqueeze 0 x
            elif o.BatchFirst then x
            else permute [| 1; 0; 2 |] x
        let leave (x: Tensor) =
            if single then squeeze 0 x
            elif o.BatchFirst then x
            else permute [| 1; 0; 2 |] x
        let row (m: Tensor) = if single && m.Rank = 1 then unsqueeze 0 m else m
        let y, attention = batched o key attnMask (Option.map row keyPadding) p (enter q, enter k, enter v)
        let shown =
            if not o.NeedWeights then
                None
            else
                let w = if o.AverageAttnWeights then meanOver [ 1 ] attention else attention
                Some(if single then squeeze 0 w else w)
        leave y, shown

    let private xavier (key: Tensor) (fanOut: int) (fanIn: int) =
        let bound = Math.Sqrt(6.0 / float (fanOut + fanIn))
        Random.uniform key [| fanOut; fanIn |] * (2.0 * bound) - bound

    /// PyTorch's start for keys and values of their own widths: Xavier-uniform in-projections (one, where all widths agree),
    /// Linear's start for the out-projection, zero biases; `biasKV` adds a key and a value, Xavier-normal.
    let initWith (key: Tensor) (width: int) (kdim: int) (vdim: int) (bias: bool) (biasKV: bool) : MultiheadAttention =
        let keyOf = Random.fold key
        let one = kdim = width && vdim = width
        let single n inputs = if one then None else Some(xavier (keyOf n) width inputs)
        let extra n =
            if biasKV then
                Some(Random.normal (keyOf n) [| 1; 1; width |] * Math.Sqrt(2.0 / float (2 * width)))
            else
                None
        let zero extent = if bias then Some(zeros [| extent |]) else None
        { InProjWeight = if one then Some(xavier (keyOf 0) (3 * width) width) else None
          QProjWeight = single 2 width
          KProjWeight = single 3 kdim
          VProjWeight = single 4 vdim
          InProjBias = zero (3 * width)
          BiasK = extra 5
          BiasV = extra 6
          OutProj = { Linear.init (keyOf 1) width width false with Bias = zero width } }

    /// PyTorch's start, all of one width.
    let init (key: Tensor) (width: int) (bias: bool) : MultiheadAttention = initWith key width width width bias false

/// Attention with fewer heads of keys and values than of queries (Ainslie et al. 2023), as in Llama's checkpoints.
[<NoComparison>]
type GroupedQueryAttention = { QProj: Linear; KProj: Linear; VProj: Linear; OProj: Linear }

/// Grouped-query attention; one head of keys and values is multi-query attention (Shazeer 2019).
[<RequireQualifiedAccess>]
module GroupedQueryAttention =
    /// `[B; T; heads*D]` to `[B; heads; T; D]`.
    let private split (heads: int) (x: Tensor) = Attention.splitHeads heads x

    /// x `[B; T; E]` to `[B; T; E]`; `turn` turns queries and keys `[B; heads; T; D]` by their places, `bias` (floats, to be
    /// added to scores) and `excluded` (bool) broadcast to `[B; heads; T; T]`.
    let applyWith
        (heads: int)
        (kvHeads: int)
        (turn: Tensor -> Tensor)
        (bias: Tensor option)
        (excluded: Tensor option)
        (p: GroupedQueryAttention)
        (x: Tensor)
        : Tensor =
        if heads < 1 || kvHeads < 1 || heads % kvHeads <> 0 then
            raise (
                ArgumentException $"attention: {heads} heads must be a multiple of the {kvHeads} of keys and values."
            )
        let shared t = if heads = kvHeads then t else repeatInterleave (heads / kvHeads) 1 t
        let q = Linear.apply p.QProj x |> split heads |> turn
        let k = Linear.apply p.KProj x |> split kvHeads |> turn |> shared
        let v = Linear.apply p.VProj x |> split kvHeads |> shared
        Attention.mix (Attention.weightsWith bias excluded q k) v |> Attention.joinHeads |> Linear.apply p.OProj

    /// `applyWith` rotary positions (cosines and sines of `Rotary.tables`), or none.
    let apply heads kvHeads (rotary: (Tensor * Tensor) option) (excluded: Tensor option) p (x: Tensor) : Tensor =
        let turn t = rotary |> Option.fold (fun t tables -> Rotary.apply tables t) t
        applyWith heads kvHeads turn None excluded p x

    /// Linear's start, without biases; heads have width / heads channels.
    let init (key: Tensor) (width: int) (heads: int) (kvHeads: int) : GroupedQueryAttention =
        let dense n inputs outputs = Linear.init (Random.fold key n) inputs outputs false
        let kv = width / heads * kvHeads
        { QProj = dense 0 width width
          KProj = dense 1 width kv
          VProj = dense 2 width kv
          OProj = dense 3 width width }
