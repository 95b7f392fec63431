namespace Nanograd

open System

/// A softmax over many classes, the frequent ones first (Grave et al. 2016): the head gives those below the first cutoff and
/// one entry for each cluster of the others, `[cutoff + clusters; in]`; a cluster's tail is two dense layers, by way of fewer
/// features.
[<NoComparison>]
type AdaptiveLogSoftmax = { Head: Linear; Tail: Linear[][] }

/// PyTorch's AdaptiveLogSoftmaxWithLoss.
[<RequireQualifiedAccess>]
module AdaptiveLogSoftmax =
    let private name = "adaptiveLogSoftmax"

    /// Bounds of head and clusters: the cutoffs and, last, the number of classes.
    let private bounds (cutoffs: int list) (classes: int) : int list =
        let all = cutoffs @ [ classes ]
        if cutoffs.IsEmpty || cutoffs.Head < 1 || List.pairwise all |> List.exists (fun (a, b) -> a >= b) then
            let text = String.Join(", ", cutoffs)
            raise (
                ArgumentException
                    $"{name}: cutoffs must be positive, increase and end below the {classes} classes, not [{text}]."
            )
        all

    let private check (p: AdaptiveLogSoftmax) (x: Tensor) =
        if x.Rank < 1 || x.Rank > 2 || x.Shape[x.Rank - 1] <> p.Head.Weight.Shape[1] then
            Shape.fail name "x must be [N,in] or [in], as wide as the head" "" [ x; p.Head.Weight ]

    /// Log-probabilities of the head's entries, and of the classes of each cluster among themselves.
    let private parts (p: AdaptiveLogSoftmax) (x: Tensor) =
        let tail (layers: Linear[]) = logSoftmax -1 (Array.fold (fun x layer -> Linear.apply layer x) x layers)
        logSoftmax -1 (Linear.apply p.Head x), Array.map tail p.Tail

    let private shortlist (p: AdaptiveLogSoftmax) = p.Head.Weight.Shape[0] - p.Tail.Length

    /// The log-probability that a class is in cluster i: `[..; 1]`.
    let private ofCluster (p: AdaptiveLogSoftmax) (head: Tensor) (i: int) =
        let n = shortlist p + i in slice -1 n (n + 1) head

    /// Log-probabilities of all classes: x `[N; in]` or `[in]` to `[N; classes]` or `[classes]`.
    let logProb (p: AdaptiveLogSoftmax) (x: Tensor) : Tensor =
        check p x
        let head, tails = parts p x
        let clusters = tails |> Array.mapi (fun i tail -> tail + ofCluster p head i) |> Array.toList
        concat -1 (slice -1 0 (shortlist p) head :: clusters)

    /// The log-probability of each label, and minus their mean: x `[N; in]` and integers `[N]` (or `[in]` and a scalar) to `[N]`
    /// and a scalar. No row of all classes is made.
    let apply (p: AdaptiveLogSoftmax) (x: Tensor) (targets: Tensor) : Tensor * Tensor =
        check p x
        if targets.Shape <> x.Shape[.. x.Rank - 2] || not (DType.isInteger targets.DType) then
            Shape.fail name "x [N,in] needs integer targets [N], and [in] a scalar" "" [ x; targets ]
        let head, tails = parts p x
        let classes = shortlist p + Array.sumBy (fun (t: Tensor) -> t.Shape[t.Rank - 1]) tails
        let targets = Known.labels name classes None targets |> cast DType.I64
        let first = Losses.pick targets (slice -1 0 (shortlist p) head)
        let add (sum: Tensor, low: int) (i, tail: Tensor) =
            let size = tail.Shape[tail.Rank - 1]
            let inside = targets - scalarOf DType.I64 (float low) // of no class here: picks 0
            sum + Losses.pick inside (tail + ofCluster p head i), low + size
        let output, _ = Array.fold add (first, shortlist p) (Array.indexed tails)
        output, -(Losses.reduce name LossReduction.Mean output)

    /// The likeliest class of each row: x `[N; in]` to i64 `[N]`.
    let predict (p: AdaptiveLogSoftmax) (x: Tensor) : Tensor = argMax -1 (logProb p x)

    /// PyTorch's start: Linear's, a cluster's inner features `inFeatures / divValue^(i + 1)`; `headBias` for the head only.
    let init (key: Tensor) inFeatures (classes: int) (cutoffs: int list) (divValue: float) (headBias: bool) =
        let all = bounds cutoffs classes
        let clusters = List.pairwise all |> List.toArray
        let tail i (low, high) =
            let inner = int (Math.Floor(float inFeatures / Math.Pow(divValue, float (i + 1))))
            if inner < 1 then
                raise (ArgumentException $"{name}: {inFeatures} features divided by {divValue}^{i + 1} leave none.")
            let keyOf n = Random.fold (Random.fold key (i + 1)) n
            [| Linear.init (keyOf 0) inFeatures inner false; Linear.init (keyOf 1) inner (high - low) false |]
        { Head = Linear.init (Random.fold key 0) inFeatures (all.Head + clusters.Length) headBias
          Tail = Array.mapi tail clusters }
