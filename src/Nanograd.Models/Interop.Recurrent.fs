namespace Nanograd.Models

open System
open Nanograd

/// A tensor and its name in PyTorch's state dictionaries.
[<Sealed>]
type NamedTensor internal (name: string, value: Tensor) =
    /// As `weight_ih_l0`.
    member _.Name = name
    /// Its start.
    member _.Value = value

/// What RNN, GRU and LSTM compute, over flat arrays of parameters. Arguments that may be null are optional.
[<Sealed>]
type RecurrentFunctions private (kind: string, relu: bool, o: RecurrentOptions) =
    static let gates (kind: string) =
        match kind with
        | "RNN" -> 1
        | "GRU" -> 3
        | "LSTM" -> 4
        | other -> invalidArg "kind" $"there is no recurrent network {other}"
    static let nonlinearity relu = if relu then Nonlinearity.Relu else Nonlinearity.Tanh
    static let named model = StateDict.named model |> Array.map NamedTensor
    let init key = Recurrent.init (gates kind) key o
    let template = lazy init (zerosOf DType.U32 [| 2 |]) // its numbers do not matter

    /// A network of a kind (RNN, GRU or LSTM), whose options are checked.
    static member Of
        (
            kind: string,
            relu: bool,
            inputSize: int,
            hiddenSize: int,
            numLayers: int,
            bias: bool,
            batchFirst: bool,
            dropout: float,
            bidirectional: bool,
            projSize: int
        ) : RecurrentFunctions =
        let o =
            { InputSize = inputSize
              HiddenSize = hiddenSize
              NumLayers = numLayers
              Bias = bias
              BatchFirst = batchFirst
              Dropout = dropout
              Bidirectional = bidirectional
              ProjSize = projSize }
        Recurrent.check o
        RecurrentFunctions(kind, relu, o)

    /// The parameters' names and PyTorch's start.
    member _.Init(key: Tensor) : NamedTensor[] = named (init key)

    /// The output and the last states: h, and for an LSTM c. The initial `states` may be empty; lengths and the dropout key may
    /// be null.
    member _.Apply(parameters: Tensor[], key: Tensor, states: Tensor[], lengths: Tensor, x: Tensor) : Tensor[] =
        let p = Tree.rebuild template.Value parameters
        let key, lengths = Optional.ofNull key, Optional.ofNull lengths
        match kind with
        | "LSTM" ->
            let state = if states.Length = 2 then Some(states[0], states[1]) else None
            let y, (h, c) = LSTM.apply o p key state lengths x
            [| y; h; c |]
        | "GRU" ->
            let y, h = GRU.apply o p key (Array.tryHead states) lengths x
            [| y; h |]
        | _ ->
            let y, h = RNN.apply (nonlinearity relu) o p key (Array.tryHead states) lengths x
            [| y; h |]

    /// The names of a cell's parameters and PyTorch's start.
    static member InitCell(kind: string, key: Tensor, inputSize: int, hiddenSize: int, bias: bool) : NamedTensor[] =
        named (RecurrentCell.init key (gates kind) inputSize hiddenSize 0 bias)

    /// The next state or states of a cell from x `[B; input]` or `[input]`; without states they are zero. Biases may be null.
    static member ApplyCell
        (
            kind: string,
            relu: bool,
            weightIh: Tensor,
            weightHh: Tensor,
            biasIh: Tensor,
            biasHh: Tensor,
            states: Tensor[],
            x: Tensor
        ) : Tensor[] =
        let p =
            { WeightIh = weightIh
              WeightHh = weightHh
              BiasIh = Optional.ofNull biasIh
              BiasHh = Optional.ofNull biasHh
              WeightHr = None }
        let state i =
            if i < states.Length then
                states[i]
            else
                zerosOf x.DType (Array.append x.Shape[.. x.Rank - 2] [| weightHh.Shape[1] |])
        match kind with
        | "LSTM" ->
            let h, c = LSTMCell.apply p (state 0, state 1) x
            [| h; c |]
        | "GRU" -> [| GRUCell.apply p (state 0) x |]
        | _ -> [| RNNCell.apply (nonlinearity relu) p (state 0) x |]

/// Sequences of different lengths, side by side.
[<AbstractClass; Sealed>]
type SequenceFunctions =
    /// Sequences `[T_i; ..]` as one tensor `[longest; B; ..]`, `value` behind the ends.
    static member Pad(sequences: Tensor[], value: float) : Tensor =
        let first = sequences[0]
        if first.Rank < 1 || sequences |> Array.exists (fun s -> s.Rank < 1 || s.Shape[1..] <> first.Shape[1..]) then
            Shape.fail
                "padSequence"
                "sequences [T,...] must agree in all axes but the first"
                ""
                (List.ofArray sequences)
        let longest = sequences |> Array.map (fun s -> s.Shape[0]) |> Array.max
        let behind (s: Tensor) =
            let rest = full s.DType (Array.append [| longest - s.Shape[0] |] s.Shape[1..]) value
            if s.Shape[0] = longest then s else concat 0 [ s; rest ]
        sequences |> Array.map behind |> Array.toList |> stack 1

    /// x `[T; B; ..]` with `value` behind the lengths `[B]`, and `steps` of them (at least T).
    static member Fill(x: Tensor, lengths: Tensor, value: float, steps: int) : Tensor =
        let ones = Array.create (x.Rank - 2) 1
        let isIn = lt (arange DType.I64 x.Shape[0] |> unsqueeze 1) (unsqueeze 0 (cast DType.I64 lengths))
        let kept = where (reshape (Array.append isIn.Shape ones) isIn) x (full x.DType x.Shape value)
        if steps = x.Shape[0] then
            kept
        else
            concat 0 [ kept; full x.DType (Array.append [| steps - x.Shape[0] |] x.Shape[1..]) value ]

    /// The steps of x `[T; B; ..]` that are in their sequence, in the order of `places` (t * B + b): `[sum of lengths; ..]`.
    static member Packed(x: Tensor, places: Tensor) : Tensor =
        take 0 places (reshape (Array.append [| x.Shape[0] * x.Shape[1] |] x.Shape[2..]) x)
