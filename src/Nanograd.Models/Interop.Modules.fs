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

/// Layers of PyTorch that look up, combine and rearrange, for languages that have no options: what is optional may be null.
[<AbstractClass; Sealed>]
type Tables =
    static member private Padded(op: string, padding: Nullable<int>, weight: Tensor) =
        Option.ofNullable padding |> Option.map (fun p -> Embedding.paddingRow op p { Weight = weight })

    /// Rows of the table `[vocabulary; dim]`: integers `[..]` to `[..; dim]`. The row of `padding` gets no gradient.
    static member Embedding(ids: Tensor, weight: Tensor, padding: Nullable<int>) : Tensor =
        match Tables.Padded("embedding", padding, weight) with
        | Some row -> Embedding.applyPadded row { Weight = weight } ids
        | None -> Embedding.apply { Weight = weight } ids

    /// PyTorch's start of a table: normal, the row of `padding` zeros.
    static member EmbeddingStart(key: Tensor, vocabulary: int, dim: int, padding: Nullable<int>) : Tensor =
        let table = (Embedding.init 1.0 key vocabulary dim).Weight
        match Tables.Padded("embedding", padding, table) with
        | Some row ->
            let isRow = eq (arange DType.I64 vocabulary) (scalarOf DType.I64 (float row))
            where (unsqueeze 1 isRow) (zerosLike table) table
        | None -> table

    /// The table with the rows that `ids` name scaled down to p-norm `limit` where theirs is larger.
    static member Renormalised(weight: Tensor, ids: Tensor, limit: float, p: float) : Tensor =
        (Embedding.renormalise limit p ids { Weight = weight }).Weight

    /// Table rows of bags, pooled: mode sum, mean or max.
    static member EmbeddingBag
        (ids: Tensor, weight: Tensor, offsets: Tensor, mode: string, padding: Nullable<int>, weights: Tensor)
        : Tensor =
        let mode =
            match mode with
            | "sum" -> BagMode.Sum
            | "mean" -> BagMode.Mean
            | "max" -> BagMode.Max
            | other -> raise (ArgumentException $"embeddingBag: the mode must be sum, mean or max, not {other}.")
        let padding = Tables.Padded("embeddingBag", padding, weight)
        EmbeddingBag.apply mode padding { Weight = weight } (Optional.ofNull offsets) (Optional.ofNull weights) ids

    /// x^T W y + b: `[..; in1]` and `[..; in2]` to `[..; out]`.
    static member Bilinear(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) : Tensor =
        Bilinear.apply { Weight = weight; Bias = Optional.ofNull bias } x y

    /// PyTorch's start of a bilinear form: the weight, and the bias if there is one.
    static member BilinearStart(key: Tensor, in1: int, in2: int, outFeatures: int, bias: bool) : Tensor[] =
        let p = Bilinear.init key in1 in2 outFeatures bias
        Array.append [| p.Weight |] (Option.toArray p.Bias)

    /// A dense layer, which gets no gradient, and its low-rank change (A `[r; in]`, B `[out; r]`); with a key the change's input
    /// is dropped out.
    static member LoRA
        (x: Tensor, weight: Tensor, bias: Tensor, a: Tensor, b: Tensor, alpha: float, dropout: float, key: Tensor)
        : Tensor =
        let layer: Linear = { Weight = weight; Bias = Optional.ofNull bias }
        LoRA.apply alpha dropout (Optional.ofNull key) { A = a; B = b } layer x

    /// The start of a low-rank change, `[| A; B |]`: B is zero.
    static member LoRAStart(key: Tensor, inFeatures: int, outFeatures: int, rank: int) : Tensor[] =
        let p = LoRA.init key inFeatures outFeatures rank
        [| p.A; p.B |]

    /// The dense layer's weight with its low-rank change added.
    static member LoRAMerged(weight: Tensor, a: Tensor, b: Tensor, alpha: float) : Tensor =
        (LoRA.merge alpha { A = a; B = b } { Weight = weight; Bias = None }).Weight

/// Starts of weights by PyTorch's words.
[<AbstractClass; Sealed>]
type Inits =
    static member private GainOf(nonlinearity: string, slope: float) : GainOf =
        match nonlinearity with
        | "linear"
        | "conv1d"
        | "conv2d"
        | "conv3d"
        | "conv_transpose1d"
        | "conv_transpose2d"
        | "conv_transpose3d" -> GainOf.Linear
        | "sigmoid" -> GainOf.Sigmoid
        | "tanh" -> GainOf.Tanh
        | "relu" -> GainOf.Relu
        | "leaky_relu" -> GainOf.LeakyRelu slope
        | "selu" -> GainOf.Selu
        | other ->
            raise (
                ArgumentException
                    $"The nonlinearity must be linear, conv1d to conv3d, conv_transpose1d to conv_transpose3d, sigmoid, tanh, relu, leaky_relu or selu, not {other}."
            )

    static member private Fan(mode: string) : Fan =
        match mode with
        | "fan_in" -> Fan.In
        | "fan_out" -> Fan.Out
        | other -> raise (ArgumentException $"The mode must be fan_in or fan_out, not {other}.")

    /// The factor recommended for a nonlinearity; the slope is leaky_relu's.
    static member Gain(nonlinearity: string, slope: float) : float = Init.gain (Inits.GainOf(nonlinearity, slope))

    /// Uniform between two bounds.
    static member Uniform(key: Tensor, shape: int[], low: float, high: float) : Tensor = Init.uniform low high key shape

    /// Normal.
    static member Normal(key: Tensor, shape: int[], mean: float, deviation: float) : Tensor =
        Init.normal mean deviation key shape

    /// Normal within two bounds.
    static member TruncNormal
        (key: Tensor, shape: int[], mean: float, deviation: float, low: float, high: float)
        : Tensor =
        Init.truncNormal mean deviation low high key shape

    /// The identity, as far as a matrix can be it.
    static member Eye(shape: int[]) : Tensor = Init.eye shape

    /// A convolution that gives its input back.
    static member Dirac(shape: int[], groups: int) : Tensor = Init.dirac groups shape

    /// Uniform with variance 2 gain² / (fan in + fan out).
    static member XavierUniform(key: Tensor, shape: int[], gain: float) : Tensor = Init.xavierUniform gain key shape

    /// Normal with variance 2 gain² / (fan in + fan out).
    static member XavierNormal(key: Tensor, shape: int[], gain: float) : Tensor = Init.xavierNormal gain key shape

    /// Uniform with variance gain² / fan.
    static member KaimingUniform(key: Tensor, shape: int[], nonlinearity: string, slope: float, mode: string) : Tensor =
        Init.kaimingUniform (Inits.Fan mode) (Inits.GainOf(nonlinearity, slope)) key shape

    /// Normal with variance gain² / fan.
    static member KaimingNormal(key: Tensor, shape: int[], nonlinearity: string, slope: float, mode: string) : Tensor =
        Init.kaimingNormal (Inits.Fan mode) (Inits.GainOf(nonlinearity, slope)) key shape

    /// Orthonormal rows or columns, times a gain.
    static member Orthogonal(key: Tensor, shape: int[], gain: float) : Tensor = Init.orthogonal gain key shape

    /// Normal, with a share of zeros in each column.
    static member Sparse(key: Tensor, shape: int[], sparsity: float, deviation: float) : Tensor =
        Init.sparse sparsity deviation key shape
