namespace Nanograd

open System

/// A scale and a shift for each channel or feature.
[<NoComparison>]
type ChannelNorm = { Weight: Tensor option; Bias: Tensor option }

/// Scales and shifts of channels.
[<RequireQualifiedAccess>]
module ChannelNorm =
    /// Weight one and bias zero, or neither.
    let init (extent: int) (isAffine: bool) : ChannelNorm =
        { Weight = if isAffine then Some(ones [| extent |]) else None
          Bias = if isAffine then Some(zeros [| extent |]) else None }

    /// x `[N; C; ..]` times the weights `[C]`, plus the biases.
    let internal channels name (p: ChannelNorm) (x: Tensor) : Tensor =
        let along (t: Tensor) =
            if t.Shape <> [| x.Shape[1] |] then
                Shape.fail name $"weight and bias must have one entry for each of the {x.Shape[1]} channels" "" [ x; t ]
            reshape (Array.init x.Rank (fun i -> if i = 1 then x.Shape[1] else 1)) t
        let scaled = p.Weight |> Option.fold (fun y w -> y * along w) x
        p.Bias |> Option.fold (fun y b -> y + along b) scaled

/// The running statistics of a batch normalisation: no parameters, but a state. `NumBatchesTracked` counts training batches.
[<NoComparison>]
type BatchNormState = { RunningMean: Tensor; RunningVar: Tensor; NumBatchesTracked: Tensor }

/// How a batch normalisation computes.
type BatchNormOptions =
    {
        /// What is added to variances.
        Eps: float
        /// The share of the newest batch in the running statistics; None: the average of all batches.
        Momentum: float option
    }

    /// PyTorch's: eps 1e-5, momentum 0.1.
    static member Default = { Eps = 1e-5; Momentum = Some 0.1 }

/// Batch normalisation (Ioffe and Szegedy 2015): each channel to mean 0 and variance 1 over the batch.
[<RequireQualifiedAccess>]
module BatchNorm =
    /// Mean 0, variance 1, no batches.
    let state (channels: int) : BatchNormState =
        { RunningMean = zeros [| channels |]
          RunningVar = ones [| channels |]
          NumBatchesTracked = zerosOf DType.I64 [||] }

    /// Weight one, bias zero.
    let init (channels: int) : ChannelNorm = ChannelNorm.init channels true

    let private check (ranks: int list) (x: Tensor) =
        if not (List.contains x.Rank ranks) then
            let one rank = "[" + String.Join(",", Array.append [| "N"; "C" |] (Array.create (rank - 2) "d")) + "]"
            Shape.fail "batchNorm" ("x must be " + String.Join(" or ", List.map one ranks)) "" [ x ]

    let private along (x: Tensor) (t: Tensor) =
        if t.Shape <> [| x.Shape[1] |] then
            Shape.fail "batchNorm" $"statistics must have one entry for each of the {x.Shape[1]} channels" "" [ x; t ]
        reshape (Array.init x.Rank (fun i -> if i = 1 then x.Shape[1] else 1)) t

    let private normalise (o: BatchNormOptions) p (x: Tensor) (mean: Tensor) (variance: Tensor) =
        (x - mean) * rsqrt (variance + o.Eps) |> ChannelNorm.channels "batchNorm" p

    /// Running statistics after a batch with this mean and (unbiased) variance `[C]`.
    let internal next (o: BatchNormOptions) (s: BatchNormState) (mean: Tensor) (variance: Tensor) : BatchNormState =
        let batches = s.NumBatchesTracked + 1
        let mix (old: Tensor) (fresh: Tensor) =
            if old.Shape <> fresh.Shape then
                Shape.fail "batchNorm" "statistics must have one entry for each channel" "" [ old; fresh ]
            let fresh = cast old.DType (stopGradient fresh)
            match o.Momentum with
            | Some m -> old * (1.0 - m) + fresh * m
            | None -> old + (fresh - old) / cast old.DType batches
        { RunningMean = mix s.RunningMean mean
          RunningVar = mix s.RunningVar variance
          NumBatchesTracked = batches }

    let internal evaluate ranks (o: BatchNormOptions) (p: ChannelNorm) (s: BatchNormState) (x: Tensor) : Tensor =
        check ranks x
        normalise o p x (along x s.RunningMean) (along x s.RunningVar)

    let internal train ranks (o: BatchNormOptions) (p: ChannelNorm) (s: BatchNormState option) (x: Tensor) =
        check ranks x
        let axes = [ 0 .. x.Rank - 1 ] |> List.filter ((<>) 1)
        let count = if x.Shape[1] = 0 then 0 else x.Count / x.Shape[1]
        if count < 2 then
            Shape.fail
                "batchNorm"
                $"training needs more than one value for each channel, not {count}"
                "take a larger batch, or evaluate"
                [ x ]
        let unbiased = float count / float (count - 1)
        let mean = meanKeep axes x
        let variance = meanKeep axes (square (x - mean))
        let y = normalise o p x mean variance
        let next s = next o s (reshape [| x.Shape[1] |] mean) (reshape [| x.Shape[1] |] (variance * unbiased))
        y, Option.map next s

/// Batch normalisation of `[N; C]` or `[N; C; L]`.
[<RequireQualifiedAccess>]
module BatchNorm1d =
    /// In training: x normalised by its own mean and (population's) variance, and the next running statistics, whose
    /// variance is the unbiased one. Without a state none are kept.
    let train (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState option) (x: Tensor) =
        BatchNorm.train [ 2; 3 ] o p state x
    /// In evaluation: x normalised by the running statistics.
    let evaluate (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState) (x: Tensor) : Tensor =
        BatchNorm.evaluate [ 2; 3 ] o p state x

/// Batch normalisation of `[N; C; H; W]`.
[<RequireQualifiedAccess>]
module BatchNorm2d =
    /// As `BatchNorm1d.train`.
    let train (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState option) (x: Tensor) =
        BatchNorm.train [ 4 ] o p state x
    /// As `BatchNorm1d.evaluate`.
    let evaluate (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState) (x: Tensor) : Tensor =
        BatchNorm.evaluate [ 4 ] o p state x

/// Batch normalisation of `[N; C; D; H; W]`.
[<RequireQualifiedAccess>]
module BatchNorm3d =
    /// As `BatchNorm1d.train`.
    let train (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState option) (x: Tensor) =
        BatchNorm.train [ 5 ] o p state x
    /// As `BatchNorm1d.evaluate`.
    let evaluate (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState) (x: Tensor) : Tensor =
        BatchNorm.evaluate [ 5 ] o p state x

/// Group normalisation (Wu and He 2018).
[<RequireQualifiedAccess>]
module GroupNorm =
    /// x `[N; C; ..]`: the channels of each group together to mean 0 and variance 1, times weight, plus bias `[C]`.
    let apply (eps: float) (groups: int) (p: ChannelNorm) (x: Tensor) : Tensor =
        if x.Rank < 2 || groups < 1 || x.Shape[1] % groups <> 0 then
            Shape.fail "groupNorm" $"x must be [N,C,..] with channels that divide into {groups} groups" "" [ x ]
        let grouped = reshape [| x.Shape[0]; groups; x.Count / max 1 (x.Shape[0] * groups) |] x
        LayerNorm.normalise eps 1 grouped |> reshape x.Shape |> ChannelNorm.channels "groupNorm" p

    /// Weight one, bias zero.
    let init (channels: int) : ChannelNorm = ChannelNorm.init channels true

/// Instance normalisation (Ulyanov et al. 2016).
[<RequireQualifiedAccess>]
module InstanceNorm =
    /// x `[N; C; spatial..]`: each channel of each example to mean 0 and variance 1 over its spatial axes, times weight,
    /// plus bias `[C]`, if there are any.
    let apply (eps: float) (p: ChannelNorm) (x: Tensor) : Tensor =
        let count = if x.Rank < 3 then 0 else x.Shape[2..] |> Array.fold (*) 1
        if count < 2 then
            Shape.fail "instanceNorm" "x must be [N,C,spatial..] with more than one spatial element" "" [ x ]
        GroupNorm.apply eps x.Shape[1] { Weight = None; Bias = None } x |> ChannelNorm.channels "instanceNorm" p

    /// PyTorch's start: no weight and no bias.
    let init () : ChannelNorm = { Weight = None; Bias = None }

    /// In training with running statistics: what `apply` gives, and the next statistics, from the means over the batch of
    /// each example's mean and unbiased variance.
    let train (o: BatchNormOptions) (p: ChannelNorm) (state: BatchNormState) (x: Tensor) : Tensor * BatchNormState =
        let y = apply o.Eps p x
        let spatial = [ 2 .. x.Rank - 1 ]
        let mean = meanOver [ 0 ] (meanOver spatial x)
        let variance = meanOver [ 0 ] (varOver 1 spatial x)
        y, BatchNorm.next o state mean variance

    /// With running statistics, in evaluation: as batch normalisation there.
    let evaluate (eps: float) (p: ChannelNorm) (state: BatchNormState) (x: Tensor) : Tensor =
        BatchNorm.evaluate [ x.Rank ] { BatchNormOptions.Default with Eps = eps } p state x

/// Scaling by the root mean square: the weight has the extents of the last axes.
[<NoComparison>]
type RMSNorm = { Weight: Tensor option }

/// RMS normalisation (Zhang and Sennrich 2019).
[<RequireQualifiedAccess>]
module RMSNorm =
    /// x / sqrt(mean(x²) + eps) over the last `axes` axes. The shape stays.
    let normalise (eps: float) (axes: int) (x: Tensor) : Tensor =
        if axes < 1 || axes > x.Rank then
            Shape.fail "rmsNorm" $"there must be at least {max 1 axes} axes to normalise over" "" [ x ]
        x * rsqrt (meanKeep [ -axes .. -1 ] (square x) + eps)

    /// Over the axes that the weight has (without one, the last), times the weight. The shape stays. (PyTorch's eps is that
    /// of the type; Llama's 1e-6.)
    let apply (eps: float) (p: RMSNorm) (x: Tensor) : Tensor =
        match p.Weight with
        | None -> normalise eps 1 x
        | Some w when w.Rank > x.Rank || w.Shape <> x.Shape[x.Rank - w.Rank ..] ->
            Shape.fail "rmsNorm" "the weight must have the extents of the last axes of x" "" [ x; w ]
        | Some w -> normalise eps w.Rank x * w

    /// Weight one.
    let init (shape: int[]) : RMSNorm = { Weight = Some(ones shape) }

/// Local response normalisation (Krizhevsky et al. 2012).
[<RequireQualifiedAccess>]
module LocalResponseNorm =
    /// x `[N; C; ..]` divided by (k + alpha mean(x²))^beta, the mean over the `size` channels around each, zeros outside:
    /// size / 2 before, (size - 1) / 2 behind. (PyTorch: alpha 1e-4, beta 0.75, k 1.)
    let apply (size: int) (alpha: float) (beta: float) (k: float) (x: Tensor) : Tensor =
        if x.Rank < 2 || size < 1 then
            Shape.fail "localResponseNorm" $"x must be [N,C,..] and the size at least 1, not {size}" "" [ x ]
        let squares = moveAxis 1 -1 (square x) |> pad [ size / 2; (size - 1) / 2 ] 0.0
        let means = unfold (x.Rank - 1) size 1 squares |> meanOver [ -1 ] |> moveAxis -1 1
        x / (means * alpha + k) ** beta
