namespace Nanograd

open System

/// The shape of a recurrent network and how it reads its input.
type RecurrentOptions =
    {
        /// Features of an input step.
        InputSize: int
        /// Features of the state.
        HiddenSize: int
        /// Layers, each reading the outputs of the one before.
        NumLayers: int
        /// Whether cells have biases.
        Bias: bool
        /// Whether x is `[B; T; input]` rather than `[T; B; input]`.
        BatchFirst: bool
        /// The probability of dropout between layers, in training.
        Dropout: float
        /// Whether a second network reads from the end; outputs are joined.
        Bidirectional: bool
        /// Features that an LSTM's outputs are projected to; 0: none (Sak et al. 2014).
        ProjSize: int
    }

    /// PyTorch's defaults: one layer, biases, time first, one direction.
    static member Of(inputSize: int, hiddenSize: int) =
        { InputSize = inputSize
          HiddenSize = hiddenSize
          NumLayers = 1
          Bias = true
          BatchFirst = false
          Dropout = 0.0
          Bidirectional = false
          ProjSize = 0 }

/// One layer: a cell, and one that reads from the end.
[<NoComparison>]
type RecurrentLayer = { Forward: RecurrentCell; Reverse: RecurrentCell option }

/// The parameters of a recurrent network. In checkpoints they are `weight_ih_l0`, `bias_hh_l1_reverse`, ...: see
/// `StateDict.named`.
[<NoComparison>]
type Recurrent = { Layers: RecurrentLayer[] }

/// What RNN, LSTM and GRU share: layers and directions over a scan.
[<RequireQualifiedAccess>]
module Recurrent =
    /// The features of an output in one direction.
    let private outputSize (o: RecurrentOptions) = if o.ProjSize > 0 then o.ProjSize else o.HiddenSize

    let private directions (o: RecurrentOptions) = if o.Bidirectional then 2 else 1

    /// Raises an ArgumentException with one sentence if the options make no sense.
    let check (o: RecurrentOptions) : unit =
        let fail text = raise (ArgumentException $"recurrent: {text}.")
        if o.InputSize < 1 || o.HiddenSize < 1 || o.NumLayers < 1 then
            fail
                $"sizes and layers must be at least 1, not input {o.InputSize}, hidden {o.HiddenSize}, layers {o.NumLayers}"
        if not (o.Dropout >= 0.0 && o.Dropout <= 1.0) then fail $"dropout must be between 0 and 1, not {o.Dropout}"
        if o.ProjSize < 0 || (o.ProjSize > 0 && o.ProjSize >= o.HiddenSize) then
            fail $"the projection must be smaller than the hidden size {o.HiddenSize}, not {o.ProjSize}"

    let internal init (gates: int) (key: Tensor) (o: RecurrentOptions) : Recurrent =
        check o
        let cell layer direction =
            let input = if layer = 0 then o.InputSize else outputSize o * directions o
            let key = Random.fold (Random.fold key layer) direction
            RecurrentCell.init key gates input o.HiddenSize o.ProjSize o.Bias
        { Layers =
            Array.init o.NumLayers (fun i ->
                { Forward = cell i 0
                  Reverse = if o.Bidirectional then Some(cell i 1) else None }) }

    /// One direction of one layer: x `[T; B; input]`, states `[B; ..]` to outputs `[T; B; ..]` and last states. Where
    /// `running` `[T; B; 1]` is false the state stays and the output is 0.
    let private run
        (next: RecurrentCell -> Tensor -> Tensor[] -> Tensor[])
        (isReverse: bool)
        (running: Tensor option)
        (p: RecurrentCell)
        (states: Tensor[])
        (x: Tensor)
        : Tensor * Tensor[] =
        let inputs = RecurrentCell.ofInput p x // the inputs' products of all steps are one
        let step (s: Tensor[]) input = Array.map2 (fun (old: Tensor) t -> cast old.DType t) s (next p input s)
        let masked (s: Tensor[]) (input, isRunning) =
            let fresh = step s input
            let kept = Array.map2 (where isRunning) fresh s
            kept, where isRunning fresh[0] (zerosLike fresh[0])
        let plain s input = let fresh = step s input in fresh, fresh[0]
        let last, outputs =
            match running, isReverse with
            | None, false -> scan plain states inputs
            | None, true -> scanReverse plain states inputs
            | Some r, false -> scan masked states (inputs, r)
            | Some r, true -> scanReverse masked states (inputs, r)
        outputs, last

    /// The states that the network starts with: `[layers*directions; B; features]` each, zeros by default.
    let private start name (o: RecurrentOptions) (sizes: int list) (given: Tensor list option) (x: Tensor) =
        let shape size = [| o.NumLayers * directions o; x.Shape[1]; size |]
        match given with
        | None -> sizes |> List.map (fun size -> zerosOf x.DType (shape size))
        | Some states ->
            List.iter2
                (fun size (s: Tensor) ->
                    if s.Shape <> shape size then
                        Shape.fail name $"initial states must be {Shape.show (shape size)}" "" [ x; s ])
                sizes
                states
            states

    let private masks name (lengths: Tensor option) (x: Tensor) =
        let mask (lengths: Tensor) =
            if lengths.Shape <> [| x.Shape[1] |] || not (DType.isInteger lengths.DType) then
                Shape.fail name "lengths must be integers, one for each sequence" "" [ x; lengths ]
            let isOutside n = n < 1L || n > int64 x.Shape[0]
            match Known.integers lengths |> Option.bind (Array.tryFind isOutside) with
            | Some n ->
                Shape.fail name $"lengths must be between 1 and the {x.Shape[0]} steps, not {n}" "" [ x; lengths ]
            | None -> ()
            lt (arange DType.I64 x.Shape[0] |> unsqueeze 1) (unsqueeze 0 (cast DType.I64 lengths)) |> unsqueeze 2
        Option.map mask lengths

    /// Layer upon layer on `[T; B; input]`: outputs, and last states `[layers*directions; B; ..]`.
    let private layers o next running (key: Tensor option) (p: Recurrent) (states: Tensor list) (x: Tensor) =
        let at i = states |> List.map (select 0 i) |> List.toArray
        let layer (x: Tensor, lasts: Tensor[] list) (i, layer: RecurrentLayer) =
            let x = if i = 0 then x else Dropout.maybe o.Dropout key i x
            match layer.Reverse with
            | None ->
                let y, last = run next false running layer.Forward (at i) x
                y, last :: lasts
            | Some reverse ->
                let y, last = run next false running layer.Forward (at (2 * i)) x
                let z, first = run next true running reverse (at (2 * i + 1)) x
                concat -1 [ y; z ], first :: last :: lasts
        let y, lasts = Array.fold layer (x, []) (Array.indexed p.Layers)
        let lasts = List.rev lasts
        y, List.init states.Length (fun k -> stack 0 (lasts |> List.map (fun s -> s[k])))

    let internal apply
        name
        next
        sizes
        o
        (p: Recurrent)
        (key: Tensor option)
        given
        (lengths: Tensor option)
        (x: Tensor)
        =
        check o
        if x.Rank < 2 || x.Rank > 3 || x.Shape[x.Rank - 1] <> o.InputSize then
            let order = if o.BatchFirst then "[B,T" else "[T,B"
            Shape.fail name $"x must be {order},{o.InputSize}] or, without a batch, [T,{o.InputSize}]" "" [ x ]
        if p.Layers.Length <> o.NumLayers then
            raise (
                ArgumentException $"{name}: there must be parameters for {o.NumLayers} layers, not {p.Layers.Length}."
            )
        let single = x.Rank = 2
        let timeFirst =
            if single then unsqueeze 1 x
            elif o.BatchFirst then permute [| 1; 0; 2 |] x
            else x
        if timeFirst.Shape[0] = 0 || timeFirst.Shape[1] = 0 then
            Shape.fail name "there must be at least one step and one sequence" "" [ x ]
        let given = given |> Option.map (List.map (fun s -> if single then unsqueeze 1 s else s))
        let states = start name o sizes given timeFirst
        let y, lasts = layers o next (masks name lengths timeFirst) key p states timeFirst
        if single then squeeze 1 y, List.map (squeeze 1) lasts
        elif o.BatchFirst then permute [| 1; 0; 2 |] y, lasts
        else y, lasts

/// Elman's network in layers. (PyTorch: nn.RNN.)
[<RequireQualifiedAccess>]
module RNN =
    /// x `[T; B; input]` (or batch first, or `[T; input]`) to the outputs `[T; B; directions*hidden]` and the last state
    /// `[layers*directions; B; hidden]`. The first state is zero if none is given. With `lengths` `[B]` (PyTorch's packed
    /// sequences) outputs after a sequence's end are 0, and its last state is that of its own last step. With a key
    /// (training) there is dropout between layers.
    let apply
        (f: Nonlinearity)
        (o: RecurrentOptions)
        (p: Recurrent)
        (key: Tensor option)
        (h0: Tensor option)
        (lengths: Tensor option)
        (x: Tensor)
        : Tensor * Tensor =
        let next p input (s: Tensor[]) = [| RNNCell.next f p input s[0] |]
        let given = Option.map List.singleton h0
        let y, last = Recurrent.apply "rnn" next [ o.HiddenSize ] o p key given lengths x
        y, List.head last

    /// PyTorch's start: all uniform in plus or minus 1/sqrt(hidden).
    let init (key: Tensor) (o: RecurrentOptions) : Recurrent = Recurrent.init 1 key o

/// Long short-term memory in layers. (PyTorch: nn.LSTM.)
[<RequireQualifiedAccess>]
module LSTM =
    /// x `[T; B; input]` (or batch first, or `[T; input]`) to the outputs `[T; B; directions*hidden]` and the last state h
    /// `[layers*directions; B; hidden]`, c likewise. With a projection, outputs and h have its size. State, lengths and
    /// key as in `RNN.apply`.
    let apply
        (o: RecurrentOptions)
        (p: Recurrent)
        (key: Tensor option)
        (state: (Tensor * Tensor) option)
        (lengths: Tensor option)
        (x: Tensor)
        : Tensor * (Tensor * Tensor) =
        let next p input (s: Tensor[]) =
            let h, c = LSTMCell.next p input s[0] s[1]
            [| h; c |]
        let sizes = [ (if o.ProjSize > 0 then o.ProjSize else o.HiddenSize); o.HiddenSize ]
        let given = state |> Option.map (fun (h, c) -> [ h; c ])
        let y, last = Recurrent.apply "lstm" next sizes o p key given lengths x
        y, (last[0], last[1])

    /// PyTorch's start: all uniform in plus or minus 1/sqrt(hidden).
    let init (key: Tensor) (o: RecurrentOptions) : Recurrent = Recurrent.init 4 key o

/// Gated recurrent units in layers. (PyTorch: nn.GRU.)
[<RequireQualifiedAccess>]
module GRU =
    /// As `RNN.apply`.
    let apply
        (o: RecurrentOptions)
        (p: Recurrent)
        (key: Tensor option)
        (h0: Tensor option)
        (lengths: Tensor option)
        (x: Tensor)
        : Tensor * Tensor =
        let next p input (s: Tensor[]) = [| GRUCell.next p input s[0] |]
        let given = Option.map List.singleton h0
        let y, last = Recurrent.apply "gru" next [ o.HiddenSize ] o p key given lengths x
        y, List.head last

    /// PyTorch's start: all uniform in plus or minus 1/sqrt(hidden).
    let init (key: Tensor) (o: RecurrentOptions) : Recurrent = Recurrent.init 3 key o
