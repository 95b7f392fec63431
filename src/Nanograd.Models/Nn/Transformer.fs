namespace Nanograd

open System

/// A layer of an encoder.
[<NoComparison>]
type TransformerEncoderLayer =
    { SelfAttn: MultiheadAttention
      Linear1: Linear
      Linear2: Linear
      Norm1: LayerNorm
      Norm2: LayerNorm }

/// A layer of a decoder: it also looks at the memory, the encoder's result.
[<NoComparison>]
type TransformerDecoderLayer =
    { SelfAttn: MultiheadAttention
      MultiheadAttn: MultiheadAttention
      Linear1: Linear
      Linear2: Linear
      Norm1: LayerNorm
      Norm2: LayerNorm
      Norm3: LayerNorm }

/// Layers of an encoder, and a norm behind them.
[<NoComparison>]
type TransformerEncoder = { Layers: TransformerEncoderLayer[]; Norm: LayerNorm option }

/// Layers of a decoder, and a norm behind them.
[<NoComparison>]
type TransformerDecoder = { Layers: TransformerDecoderLayer[]; Norm: LayerNorm option }

/// An encoder and a decoder.
[<NoComparison>]
type Transformer = { Encoder: TransformerEncoder; Decoder: TransformerDecoder }

/// How a transformer is computed.
[<NoComparison; NoEquality>]
type TransformerOptions =
    {
        Heads: int
        /// The probability of dropout, in training.
        Dropout: float
        /// Between the two dense layers.
        Activation: Tensor -> Tensor
        /// Whether norms stand before attention and dense layers rather than behind the sums.
        NormFirst: bool
        /// Whether tensors are `[B; T; E]` rather than `[T; B; E]`.
        BatchFirst: bool
        LayerNormEps: float
    }

    /// PyTorch's defaults: dropout 0.1, relu, norms behind, time first, eps 1e-5.
    static member Of(heads: int) =
        { Heads = heads
          Dropout = 0.1
          Activation = relu
          NormFirst = false
          BatchFirst = false
          LayerNormEps = 1e-5 }

/// Masks of a sequence and of another it looks at: bool (true = excluded) or floats to add.
[<NoComparison>]
type TransformerMasks =
    {
        /// Of the sequence itself: `[T; T]` or `[B*heads; T; T]`.
        Self: Tensor option
        /// Of the memory: `[T; S]` or `[B*heads; T; S]`.
        Memory: Tensor option
        /// Padding of the sequence: `[B; T]`.
        SelfPadding: Tensor option
        /// Padding of the memory: `[B; S]`.
        MemoryPadding: Tensor option
    }

    /// Everything is seen.
    static member None =
        { Self = Option.None
          Memory = Option.None
          SelfPadding = Option.None
          MemoryPadding = Option.None }

/// What the layers share.
[<RequireQualifiedAccess>]
module internal TransformerParts =
    let private attention (o: TransformerOptions) =
        { MultiheadOptions.Of o.Heads with
            Dropout = o.Dropout
            BatchFirst = o.BatchFirst
            NeedWeights = false }

    let keyOf (key: Tensor option) n = key |> Option.map (fun k -> Random.fold k n)

    let attend (o: TransformerOptions) key n mask padding p (x, memory) =
        MultiheadAttention.apply (attention o) (keyOf key n) mask padding p (x, memory, memory)
        |> fst
        |> Dropout.maybe o.Dropout key (n + 1)

    let dense (o: TransformerOptions) key n (linear1: Linear) (linear2: Linear) x =
        Linear.apply linear1 x
        |> o.Activation
        |> Dropout.maybe o.Dropout key n
        |> Linear.apply linear2
        |> Dropout.maybe o.Dropout key (n + 1)

    let norm (o: TransformerOptions) (p: LayerNorm) x = LayerNorm.compute o.LayerNormEps p.Weight p.Bias x

    /// x plus a branch of it, normalised before or after.
    let residual (o: TransformerOptions) (p: LayerNorm) (branch: Tensor -> Tensor) (x: Tensor) =
        if o.NormFirst then x + branch (norm o p x) else norm o p (x + branch x)

    /// Parameters with more than one axis drawn anew, Xavier-uniform: how PyTorch's Transformer starts.
    let xavier (key: Tensor) (model: 'T) : 'T =
        let mutable n = -1
        model
        |> Tree.map (fun t ->
            n <- n + 1
            if t.Rank < 2 then
                t
            else
                let fan = t.Count / t.Shape[0] + t.Count / t.Shape[1]
                let bound = Math.Sqrt(6.0 / float fan)
                Random.uniform (Random.fold key n) t.Shape * (2.0 * bound) - bound)

/// A layer of an encoder (Vaswani et al. 2017; norms first: Xiong et al. 2020). (PyTorch: nn.TransformerEncoderLayer.)
[<RequireQualifiedAccess>]
module TransformerEncoderLayer =
    /// x `[B; T; E]` (time first unless `BatchFirst`) to the same shape. With a key (training) there is dropout.
    let apply
        (o: TransformerOptions)
        (key: Tensor option)
        (mask: Tensor option)
        (padding: Tensor option)
        (p: TransformerEncoderLayer)
        (x: Tensor)
        : Tensor =
        let attend x = TransformerParts.attend o key 0 mask padding p.SelfAttn (x, x)
        let dense = TransformerParts.dense o key 2 p.Linear1 p.Linear2
        x |> TransformerParts.residual o p.Norm1 attend |> TransformerParts.residual o p.Norm2 dense

    /// PyTorch's start: width, and the width of the inner dense layer.
    let init (key: Tensor) (width: int) (feedForward: int) : TransformerEncoderLayer =
        let keyOf = Random.fold key
        { SelfAttn = MultiheadAttention.init (keyOf 0) width true
          Linear1 = Linear.init (keyOf 1) width feedForward true
          Linear2 = Linear.init (keyOf 2) feedForward width true
          Norm1 = LayerNorm.init width true
          Norm2 = LayerNorm.init width true }

/// A layer of a decoder. (PyTorch: nn.TransformerDecoderLayer.)
[<RequireQualifiedAccess>]
module TransformerDecoderLayer =
    /// x `[B; T; E]` and memory `[B; S; E]` (time first unless `BatchFirst`) to the shape of x.
    let apply
        (o: TransformerOptions)
        (key: Tensor option)
        (masks: TransformerMasks)
        (p: TransformerDecoderLayer)
        (memory: Tensor)
        (x: Tensor)
        : Tensor =
        let self x = TransformerParts.attend o key 0 masks.Self masks.SelfPadding p.SelfAttn (x, x)
        let cross x = TransformerParts.attend o key 2 masks.Memory masks.MemoryPadding p.MultiheadAttn (x, memory)
        let dense = TransformerParts.dense o key 4 p.Linear1 p.Linear2
        x
        |> TransformerParts.residual o p.Norm1 self
        |> TransformerParts.residual o p.Norm2 cross
        |> TransformerParts.residual o p.Norm3 dense

    /// PyTorch's start: width, and the width of the inner dense layer.
    let init (key: Tensor) (width: int) (feedForward: int) : TransformerDecoderLayer =
        let keyOf = Random.fold key
        { SelfAttn = MultiheadAttention.init (keyOf 0) width true
          MultiheadAttn = MultiheadAttention.init (keyOf 3) width true
          Linear1 = Linear.init (keyOf 1) width feedForward true
          Linear2 = Linear.init (keyOf 2) feedForward width true
          Norm1 = LayerNorm.init width true
          Norm2 = LayerNorm.init width true
          Norm3 = LayerNorm.init width true }

/// A stack of encoder layers. (PyTorch: nn.TransformerEncoder.)
[<RequireQualifiedAccess>]
module TransformerEncoder =
    /// x `[B; T; E]` to the same shape.
    let apply o (key: Tensor option) mask padding (p: TransformerEncoder) (x: Tensor) : Tensor =
        let layer x (i, layer) = TransformerEncoderLayer.apply o (TransformerParts.keyOf key i) mask padding layer x
        let y = Array.fold layer x (Array.indexed p.Layers)
        p.Norm |> Option.fold (fun y n -> TransformerParts.norm o n y) y

    /// Layers that start differently, each as PyTorch's layer (whose Encoder starts with copies of one); `norm` adds one
    /// behind.
    let init (key: Tensor) (layers: int) (width: int) (feedForward: int) (norm: bool) : TransformerEncoder =
        { Layers = Array.init layers (fun i -> TransformerEncoderLayer.init (Random.fold key i) width feedForward)
          Norm = if norm then Some(LayerNorm.init width true) else None }

/// A stack of decoder layers. (PyTorch: nn.TransformerDecoder.)
[<RequireQualifiedAccess>]
module TransformerDecoder =
    /// x `[B; T; E]` and memory `[B; S; E]` to the shape of x.
    let apply o (key: Tensor option) masks (p: TransformerDecoder) (memory: Tensor) (x: Tensor) : Tensor =
        let layer x (i, layer) = TransformerDecoderLayer.apply o (TransformerParts.keyOf key i) masks layer memory x
        let y = Array.fold layer x (Array.indexed p.Layers)
        p.Norm |> Option.fold (fun y n -> TransformerParts.norm o n y) y

    /// As `TransformerEncoder.init`.
    let init (key: Tensor) (layers: int) (width: int) (feedForward: int) (norm: bool) : TransformerDecoder =
        { Layers = Array.init layers (fun i -> TransformerDecoderLayer.init (Random.fold key i) width feedForward)
          Norm = if norm then Some(LayerNorm.init width true) else None }

/// The whole transformer. (PyTorch: nn.Transformer.)
[<RequireQualifiedAccess>]
module Transformer =
    /// source `[B; S; E]` and target `[B; T; E]` to the shape of the target. Masks of the source, and of the target and the
    /// memory.
    let apply
        (o: TransformerOptions)
        (key: Tensor option)
        (sourceMask: Tensor option)
        (sourcePadding: Tensor option)
        (masks: TransformerMasks)
        (p: Transformer)
        (source: Tensor)
        (target: Tensor)
        : Tensor =
        let keyOf = TransformerParts.keyOf key
        let memory = TransformerEncoder.apply o (keyOf 0) sourceMask sourcePadding p.Encoder source
        TransformerDecoder.apply o (keyOf 1) masks p.Decoder memory target

    /// PyTorch's start: all matrices Xavier-uniform, norms behind both stacks. (PyTorch's sizes: 6 and 6 layers of width 512,
    /// inner width 2048.)
    let init (key: Tensor) (encoders: int) (decoders: int) (width: int) (feedForward: int) : Transformer =
        { Encoder = TransformerEncoder.init (Random.fold key 0) encoders width feedForward true
          Decoder = TransformerDecoder.init (Random.fold key 1) decoders width feedForward true }
        |> TransformerParts.xavier (Random.fold key 2)

    /// Zero on and below the diagonal, minus infinity above: `[n; n]`, to be added to scores.
    let squareSubsequentMask (n: int) : Tensor =
        where (Attention.future n) (full DType.F32 [| n; n |] -infinity) (zeros [| n; n |])
