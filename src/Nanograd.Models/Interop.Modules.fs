namespace Nanograd.Models

open System
open Nanograd

/// Normalisations of PyTorch, for languages that have no options: weights and biases may be null.
[<AbstractClass; Sealed>]
type Norms =
    static member private Affine(weight: Tensor, bias: Tensor) : ChannelNorm =
        { Weight = Optional.ofNull weight; Bias = Optional.ofNull bias }

    static member private State(mean: Tensor, variance: Tensor, batches: Tensor) : BatchNormState =
        { RunningMean = mean; RunningVar = variance; NumBatchesTracked = batches }

    static member private Options(momentum: Nullable<float>, eps: float) : BatchNormOptions =
        { Eps = eps; Momentum = Option.ofNullable momentum }

    /// In training: x `[N; C; ..]` normalised by its own statistics; with running statistics (which may be null) also the next
    /// ones, `[| y; mean; variance |]`. `batches` counts the batches before, for a momentum of null.
    static member BatchNormTrain
        (
            x: Tensor,
            weight: Tensor,
            bias: Tensor,
            mean: Tensor,
            variance: Tensor,
            batches: Tensor,
            momentum: Nullable<float>,
            eps: float
        ) : Tensor[] =
        let state = Optional.ofNull mean |> Option.map (fun mean -> Norms.State(mean, variance, batches))
        let options = Norms.Options(momentum, eps)
        match BatchNorm.train [ max 2 x.Rank ] options (Norms.Affine(weight, bias)) state x with
        | y, Some next -> [| y; next.RunningMean; next.RunningVar |]
        | y, None -> [| y |]

    /// In evaluation: x `[N; C; ..]` normalised by running statistics `[C]`.
    static member BatchNormEvaluate
        (x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float)
        : Tensor =
        let state = Norms.State(mean, variance, zerosOf DType.I64 [||])
        BatchNorm.evaluate [ max 2 x.Rank ] (Norms.Options(Nullable(), eps)) (Norms.Affine(weight, bias)) state x

    /// Each channel of each example of x `[N; C; spatial..]` normalised by itself; with running statistics also the next ones, as
    /// `BatchNormTrain`.
    static member InstanceNorm
        (
            x: Tensor,
            weight: Tensor,
            bias: Tensor,
            mean: Tensor,
            variance: Tensor,
            batches: Tensor,
            momentum: Nullable<float>,
            eps: float
        ) : Tensor[] =
        let affine = Norms.Affine(weight, bias)
        match Optional.ofNull mean with
        | None -> [| InstanceNorm.apply eps affine x |]
        | Some mean ->
            let state = Norms.State(mean, variance, batches)
            let y, next = InstanceNorm.train (Norms.Options(momentum, eps)) affine state x
            [| y; next.RunningMean; next.RunningVar |]

    /// The channels of each group of x `[N; C; ..]` normalised together.
    static member GroupNorm(x: Tensor, groups: int, weight: Tensor, bias: Tensor, eps: float) : Tensor =
        GroupNorm.apply eps groups (Norms.Affine(weight, bias)) x

    /// x over its root mean square along the last axes, times the weight (of their extents; may be null).
    static member RmsNorm(x: Tensor, axes: int, weight: Tensor, eps: float) : Tensor =
        let y = RMSNorm.normalise eps axes x
        Optional.ofNull weight |> Option.fold (fun y w -> y * w) y

    /// x `[N; C; ..]` divided by a power of what the channels around have.
    static member LocalResponseNorm(x: Tensor, size: int, alpha: float, beta: float, k: float) : Tensor =
        LocalResponseNorm.apply size alpha beta k x

    /// A direction v scaled to lengths g; axis -1: to one length.
    static member WeightNorm(g: Tensor, v: Tensor, axis: int) : Tensor =
        WeightNorm.weight (if axis = -1 then None else Some axis) { G = g; V = v }

    /// The lengths of a weight's entries along an axis; -1: of all together.
    static member WeightLengths(weight: Tensor, axis: int) : Tensor =
        (WeightNorm.ofWeight (if axis = -1 then None else Some axis) weight).G

    /// Steps of power iteration, and the weight over its largest singular value: `[| weight; u; v |]`.
    static member SpectralNorm(weight: Tensor, u: Tensor, v: Tensor, axis: int, steps: int, eps: float) : Tensor[] =
        let s = SpectralNorm.iterate steps eps axis weight { U = u; V = v }
        [| SpectralNorm.weight axis s weight; s.U; s.V |]

    /// Random unit vectors `[| u; v |]` and 15 steps, to begin with.
    static member SpectralStart(key: Tensor, weight: Tensor, axis: int) : Tensor[] =
        let s = SpectralNorm.init key axis weight
        [| s.U; s.V |]
