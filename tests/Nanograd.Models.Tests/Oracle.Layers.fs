/// Operations of the reference numbers that are layers.
module Nanograd.Models.Tests.OracleLayers

open Nanograd

let private x (a: Arguments) = a.Input "x"

/// Spatial axes, from the last digit but one of names such as `conv2d`.
let private spatial (name: string) = int name[name.Length - 2] - int '0'

// ---- convolutions and pooling

let private paddingMode (a: Arguments) =
    match a.Text("padding_mode", "zeros") with
    | "zeros" -> PaddingMode.Zeros
    | "reflect" -> PaddingMode.Reflect
    | "replicate" -> PaddingMode.Replicate
    | "circular" -> PaddingMode.Circular
    | other -> failwith $"padding_mode {other}"

let private weights (a: Arguments) : Conv = { Weight = a.Param "weight"; Bias = a.TryParam "bias" }

let private conv (apply: ConvOptions -> PaddingMode -> Conv -> Tensor -> Tensor) : Operation =
    single (fun a ->
        let padding =
            match a.Text("padding", "") with
            | "same" -> Padding.Same
            | "valid" -> Padding.By [| 0 |]
            | _ -> Padding.By(a.Ints("padding", [ 0 ]))
        let o: ConvOptions =
            { Stride = a.Ints("stride", [ 1 ])
              Padding = padding
              Dilation = a.Ints("dilation", [ 1 ])
              Groups = a.Int("groups", 1) }
        apply o (paddingMode a) (weights a) (x a))

let private convTransposed (n: int) : Operation =
    single (fun a ->
        let o: ConvTransposeOptions =
            { Stride = a.Ints("stride", [ 1 ])
              Padding = a.Ints("padding", [ 0 ])
              OutputPadding = a.Ints("output_padding", [ 0 ])
              Dilation = a.Ints("dilation", [ 1 ])
              Groups = a.Int("groups", 1) }
        let apply =
            match n with
            | 1 -> ConvTranspose1d.apply
            | 2 -> ConvTranspose2d.apply
            | _ -> ConvTranspose3d.apply
        apply o (weights a) (x a))

let private pooling (n: int) (pool: PoolOptions -> Tensor -> Tensor) : Operation =
    single (fun a ->
        let o: PoolOptions =
            { Size = a.Spread("kernel_size", n, 1)
              Stride = a.Ints("stride", [])
              Padding = a.Ints("padding", [ 0 ])
              Dilation = a.Ints("dilation", [ 1 ])
              CeilMode = a.Bool("ceil_mode", false)
              CountIncludePad = a.Bool("count_include_pad", true) }
        pool o (x a))

let private lp (n: int) : Operation = fun a -> pooling n (lpPool (a.Float("norm_type", 2.0))) a

// ---- normalisation

let private channelNorm (a: Arguments) : ChannelNorm = { Weight = a.TryParam "weight"; Bias = a.TryParam "bias" }

let private batchNorm: Operation =
    fun a ->
        let state: BatchNormState =
            { RunningMean = a.Input "running_mean"
              RunningVar = a.Input "running_var"
              NumBatchesTracked = a.TryInput "num_batches_tracked" |> Option.defaultValue (zerosOf DType.I64 [||]) }
        let o: BatchNormOptions = { Eps = a.Float("eps", 1e-5); Momentum = a.TryFloat "momentum" }
        let train, evaluate =
            match (x a).Rank with
            | 4 -> BatchNorm2d.train, BatchNorm2d.evaluate
            | 5 -> BatchNorm3d.train, BatchNorm3d.evaluate
            | _ -> BatchNorm1d.train, BatchNorm1d.evaluate
        if a.Bool("training", false) then
            let y, next = train o (channelNorm a) (Some state) (x a)
            let next = Option.get next
            [ "output", y
              "new_running_mean", next.RunningMean
              "new_running_var", next.RunningVar
              "new_num_batches_tracked", next.NumBatchesTracked ]
        else
            [ "output", evaluate o (channelNorm a) state (x a) ]

let private layerNorm (a: Arguments) =
    let eps = a.Float("eps", 1e-5)
    match a.TryParam "weight" with
    | Some w -> LayerNorm.compute eps w (a.TryParam "bias") (x a)
    | None -> LayerNorm.normalise eps (a.Ints("normalized_shape", [ 0 ])).Length (x a)

// ---- recurrent networks

let private cell (suffix: string) (a: Arguments) : RecurrentCell =
    { WeightIh = a.Param("weight_ih" + suffix)
      WeightHh = a.Param("weight_hh" + suffix)
      BiasIh = a.TryParam("bias_ih" + suffix)
      BiasHh = a.TryParam("bias_hh" + suffix)
      WeightHr = a.TryParam("weight_hr" + suffix) }

let private options (a: Arguments) =
    { RecurrentOptions.Of(a.Int("input_size", 1), a.Int("hidden_size", 1)) with
        NumLayers = a.Int("num_layers", 1)
        Bidirectional = a.Bool("bidirectional", false)
        Bias = a.Bool("bias", true)
        BatchFirst = a.Bool("batch_first", false)
        ProjSize = a.Int("proj_size", 0) }

let private recurrent (a: Arguments) : Recurrent =
    let layer i =
        { Forward = cell $"_l{i}" a
          Reverse = if a.Bool("bidirectional", false) then Some(cell $"_l{i}_reverse" a) else None }
    { Layers = Array.init (a.Int("num_layers", 1)) layer }

let private nonlinearity (a: Arguments) =
    if a.Text("nonlinearity", "tanh") = "relu" then Nonlinearity.Relu else Nonlinearity.Tanh

let private hidden (y, last) = [ "output", y; "h_n", last ]

let private lstm (a: Arguments) =
    let state = a.TryInput "h0" |> Option.map (fun h -> h, a.Input "c0")
    let y, (h, c) = LSTM.apply (options a) (recurrent a) None state (a.TryInput "lengths") (x a)
    [ "output", y; "h_n", h; "c_n", c ]

let private lstmCell (a: Arguments) =
    let h, c = LSTMCell.apply (cell "" a) (a.Input "h", a.Input "c") (x a)
    [ "h", h; "c", c ]

// ---- attention

let private linear (prefix: string) (a: Arguments) : Linear =
    { Weight = a.Param(prefix + "weight"); Bias = a.TryParam(prefix + "bias") }

let private attention (prefix: string) (a: Arguments) : MultiheadAttention =
    let find name = a.TryParam(prefix + name)
    { InProjWeight = find "in_proj_weight"
      QProjWeight = find "q_proj_weight"
      KProjWeight = find "k_proj_weight"
      VProjWeight = find "v_proj_weight"
      InProjBias = find "in_proj_bias"
      BiasK = find "bias_k"
      BiasV = find "bias_v"
      OutProj = linear (prefix + "out_proj.") a }

let private multihead (a: Arguments) =
    let o =
        { MultiheadOptions.Of(a.Int("num_heads", 1)) with
            BatchFirst = a.Bool("batch_first", false)
            AddZeroAttn = a.Bool("add_zero_attn", false)
            NeedWeights = a.Bool("need_weights", true)
            AverageAttnWeights = a.Bool("average_attn_weights", true) }
    let qkv = a.Input "q", a.Input "k", a.Input "v"
    let y, w =
        MultiheadAttention.apply o None (a.TryInput "attn_mask") (a.TryInput "key_padding_mask") (attention "" a) qkv
    ("output", y) :: [ for w in Option.toList w -> "attn_weights", w ]

let private norm (name: string) (a: Arguments) : LayerNorm =
    { Weight = a.Param(name + ".weight"); Bias = a.TryParam(name + ".bias") }

let private transformer (a: Arguments) =
    { TransformerOptions.Of(a.Int("nhead", 1)) with
        Dropout = 0.0
        Activation = if a.Text("activation", "relu") = "gelu" then gelu else relu
        NormFirst = a.Bool("norm_first", false)
        BatchFirst = a.Bool("batch_first", false)
        LayerNormEps = a.Float("layer_norm_eps", 1e-5) }

let private first (a: Arguments) names = List.tryPick (fun (n: string) -> a.TryInput n) names

let private encoderLayer (a: Arguments) =
    let p: TransformerEncoderLayer =
        { SelfAttn = attention "self_attn." a
          Linear1 = linear "linear1." a
          Linear2 = linear "linear2." a
          Norm1 = norm "norm1" a
          Norm2 = norm "norm2" a }
    let mask = first a [ "src_mask"; "mask"; "attn_mask" ]
    TransformerEncoderLayer.apply
        (transformer a)
        None
        mask
        (first a [ "src_key_padding_mask"; "key_padding_mask" ])
        p
        (x a)

let private decoderLayer (a: Arguments) =
    let p: TransformerDecoderLayer =
        { SelfAttn = attention "self_attn." a
          MultiheadAttn = attention "multihead_attn." a
          Linear1 = linear "linear1." a
          Linear2 = linear "linear2." a
          Norm1 = norm "norm1" a
          Norm2 = norm "norm2" a
          Norm3 = norm "norm3" a }
    let masks: TransformerMasks =
        { Self = first a [ "tgt_mask"; "mask"; "attn_mask" ]
          Memory = a.TryInput "memory_mask"
          SelfPadding = first a [ "tgt_key_padding_mask"; "key_padding_mask" ]
          MemoryPadding = a.TryInput "memory_key_padding_mask" }
    TransformerDecoderLayer.apply (transformer a) None masks p (a.Input "memory") (x a)

// ---- lookups

let private embedding (a: Arguments) =
    let p: Embedding = { Weight = a.Param "weight" }
    match a.TryInt "padding_idx" with
    | Some padding -> Embedding.applyPadded padding p (a.Input "ids")
    | None -> Embedding.apply p (a.Input "ids")

let private embeddingBag (a: Arguments) =
    let mode =
        match a.Text("mode", "mean") with
        | "sum" -> BagMode.Sum
        | "max" -> BagMode.Max
        | _ -> BagMode.Mean
    let weights = first a [ "per_sample_weights"; "weights" ]
    let isWhole = a.Bool("include_last_offset", false)
    let offsets = a.TryInput "offsets" |> Option.map (fun o -> if isWhole then slice 0 0 (o.Count - 1) o |> eval else o)
    EmbeddingBag.apply mode (a.TryInt "padding_idx") { Weight = a.Param "weight" } offsets weights (a.Input "ids")

let private named: Map<string, Operation> =
    Map
        [ "linear", single (fun a -> Linear.compute (a.Param "weight") (a.TryParam "bias") (x a))
          "bilinear",
          single (fun a ->
              Bilinear.apply { Weight = a.Param "weight"; Bias = a.TryParam "bias" } (a.Input "a") (a.Input "b"))
          "embedding", single embedding
          "embedding_bag", single embeddingBag
          "conv1d", conv Conv1d.apply
          "conv2d", conv Conv2d.apply
          "conv3d", conv Conv3d.apply
          "batch_norm", batchNorm
          "layer_norm", single layerNorm
          "group_norm",
          single (fun a -> GroupNorm.apply (a.Float("eps", 1e-5)) (a.Int("num_groups", 1)) (channelNorm a) (x a))
          "instance_norm", single (fun a -> InstanceNorm.apply (a.Float("eps", 1e-5)) (channelNorm a) (x a))
          "rms_norm", single (fun a -> RMSNorm.apply (a.Float("eps", 1e-6)) { Weight = a.TryParam "weight" } (x a))
          "local_response_norm",
          single (fun a ->
              LocalResponseNorm.apply
                  (a.Int("size", 1))
                  (a.Float("alpha", 1e-4))
                  (a.Float("beta", 0.75))
                  (a.Float("k", 1.0))
                  (x a))
          "rnn",
          (fun a ->
              RNN.apply (nonlinearity a) (options a) (recurrent a) None (a.TryInput "h0") (a.TryInput "lengths") (x a)
              |> hidden)
          "gru",
          (fun a -> GRU.apply (options a) (recurrent a) None (a.TryInput "h0") (a.TryInput "lengths") (x a) |> hidden)
          "lstm", lstm
          "rnn_cell", single (fun a -> RNNCell.apply (nonlinearity a) (cell "" a) (a.Input "h") (x a))
          "gru_cell", single (fun a -> GRUCell.apply (cell "" a) (a.Input "h") (x a))
          "lstm_cell", lstmCell
          "multihead_attention", multihead
          "transformer_encoder_layer", single encoderLayer
          "transformer_decoder_layer", single decoderLayer ]

let private isOf (kind: string) (name: string) =
    name.Length = kind.Length + 2 && name.StartsWith kind && name.EndsWith 'd' && System.Char.IsDigit name[kind.Length]

/// The operation of this name, if it is a layer.
let tryFind (name: string) : Operation option =
    let n = if name.Length > 2 then spatial name else 0
    let adaptive (f: int[] -> Tensor -> Tensor) = single (fun a -> f (a.Spread("output_size", n, 1)) (x a))
    match name with
    | _ when Map.containsKey name named -> Some named[name]
    | _ when isOf "conv_transpose" name -> Some(convTransposed n)
    | _ when isOf "max_pool" name -> Some(pooling n maxPool)
    | _ when isOf "avg_pool" name -> Some(pooling n avgPool)
    | _ when isOf "lp_pool" name -> Some(lp n)
    | _ when isOf "adaptive_max_pool" name -> Some(adaptive adaptiveMaxPool)
    | _ when isOf "adaptive_avg_pool" name -> Some(adaptive adaptiveAvgPool)
    | _ -> None
