namespace Nanograd

open System

/// The weights of one recurrent cell, gates one below the other: `WeightIh [gates*hidden; input]`, `WeightHh [gates*hidden;
/// hidden]` (or `[..; projected]`), biases `[gates*hidden]`, `WeightHr [projected; hidden]` for an LSTM that projects.
[<NoComparison>]
type RecurrentCell =
    { WeightIh: Tensor
      WeightHh: Tensor
      BiasIh: Tensor option
      BiasHh: Tensor option
      WeightHr: Tensor option }

/// What cells share.
[<RequireQualifiedAccess>]
module RecurrentCell =
    /// All uniform in plus or minus 1/sqrt(hidden), PyTorch's start; `projected` 0 means none.
    let init (key: Tensor) (gates: int) (input: int) (hidden: int) (projected: int) (bias: bool) : RecurrentCell =
        if gates < 1 || input < 1 || hidden < 1 || projected < 0 || (projected > 0 && projected >= hidden) then
            raise (
                ArgumentException
                    $"recurrent: sizes must be at least 1 and the projection below the hidden size, not input {input}, hidden {hidden}, projection {projected}."
            )
        let bound = 1.0 / Math.Sqrt(float hidden)
        let uniform n shape = Random.uniform (Random.fold key n) shape * (2.0 * bound) - bound
        let recurrent = if projected > 0 then projected else hidden
        { WeightIh = uniform 0 [| gates * hidden; input |]
          WeightHh = uniform 1 [| gates * hidden; recurrent |]
          BiasIh = if bias then Some(uniform 2 [| gates * hidden |]) else None
          BiasHh = if bias then Some(uniform 3 [| gates * hidden |]) else None
          WeightHr = if projected > 0 then Some(uniform 4 [| projected; hidden |]) else None }

    /// The input's share of all gates, of one step or of all steps at once: `[..; input]` to `[..; gates*hidden]`.
    let internal ofInput (p: RecurrentCell) (x: Tensor) = Linear.compute p.WeightIh p.BiasIh x

    /// The state's share of all gates: `[B; hidden]` to `[B; gates*hidden]`.
    let internal ofState (p: RecurrentCell) (h: Tensor) = Linear.compute p.WeightHh p.BiasHh h

    let internal gate (count: int) (i: int) (x: Tensor) =
        let size = x.Shape[x.Rank - 1] / count
        slice -1 (i * size) ((i + 1) * size) x

    /// Runs a cell on `[B; input]`, or on `[input]` as a batch of one.
    let internal batched name (p: RecurrentCell) (x: Tensor) (states: Tensor[]) (step: Tensor -> Tensor[] -> Tensor[]) =
        if x.Rank < 1 || x.Rank > 2 || x.Shape[x.Rank - 1] <> p.WeightIh.Shape[1] then
            Shape.fail
                name
                "x must be [B,input] or [input], as wide as the weight [gates*hidden,input]"
                ""
                [ x; p.WeightIh ]
        for s in states do
            if s.Rank <> x.Rank || s.Shape[.. s.Rank - 2] <> x.Shape[.. x.Rank - 2] then
                Shape.fail name "the state must be [B,hidden] or [hidden], as x is" "" [ x; s ]
        if x.Rank = 2 then
            step x states
        else
            step (unsqueeze 0 x) (Array.map (unsqueeze 0) states) |> Array.map (squeeze 0)

/// What an Elman network bends its sums with.
[<RequireQualifiedAccess>]
type Nonlinearity =
    | Tanh
    | Relu

/// Elman's cell: h' = tanh(W x + b + U h + c), or relu.
[<RequireQualifiedAccess>]
module RNNCell =
    let internal next (f: Nonlinearity) (p: RecurrentCell) (input: Tensor) (h: Tensor) =
        let sums = input + RecurrentCell.ofState p h
        match f with
        | Nonlinearity.Tanh -> tanh sums
        | Nonlinearity.Relu -> relu sums

    /// x `[B; input]` (or `[input]`) and h `[B; hidden]` to the next h.
    let apply (f: Nonlinearity) (p: RecurrentCell) (h: Tensor) (x: Tensor) : Tensor =
        (RecurrentCell.batched "rnnCell" p x [| h |] (fun x s -> [| next f p (RecurrentCell.ofInput p x) s[0] |])).[0]

    /// PyTorch's start.
    let init (key: Tensor) (input: int) (hidden: int) (bias: bool) : RecurrentCell =
        RecurrentCell.init key 1 input hidden 0 bias

/// The long short-term memory (Hochreiter and Schmidhuber 1997), gates in the order i, f, g, o.
[<RequireQualifiedAccess>]
module LSTMCell =
    let internal next (p: RecurrentCell) (input: Tensor) (h: Tensor) (c: Tensor) =
        let sums = input + RecurrentCell.ofState p h
        let gate = RecurrentCell.gate 4
        let kept = sigmoid (gate 1 sums) * c + sigmoid (gate 0 sums) * tanh (gate 2 sums)
        let out = sigmoid (gate 3 sums) * tanh kept
        match p.WeightHr with
        | Some w -> Linear.compute w None out, kept
        | None -> out, kept

    /// x `[B; input]` (or `[input]`) and the state h, c `[B; hidden]` to the next h, c.
    let apply (p: RecurrentCell) (h: Tensor, c: Tensor) (x: Tensor) : Tensor * Tensor =
        let step x (s: Tensor[]) =
            let h, c = next p (RecurrentCell.ofInput p x) s[0] s[1]
            [| h; c |]
        let s = RecurrentCell.batched "lstmCell" p x [| h; c |] step
        s[0], s[1]

    /// PyTorch's start.
    let init (key: Tensor) (input: int) (hidden: int) (bias: bool) : RecurrentCell =
        RecurrentCell.init key 4 input hidden 0 bias

/// The gated recurrent unit (Cho et al. 2014), gates in the order r, z, n; as in PyTorch r scales U h + c, not h.
[<RequireQualifiedAccess>]
module GRUCell =
    let internal next (p: RecurrentCell) (input: Tensor) (h: Tensor) =
        let state = RecurrentCell.ofState p h
        let both i = sigmoid (RecurrentCell.gate 3 i input + RecurrentCell.gate 3 i state)
        let fresh = tanh (RecurrentCell.gate 3 2 input + both 0 * RecurrentCell.gate 3 2 state)
        fresh + both 1 * (h - fresh)

    /// x `[B; input]` (or `[input]`) and h `[B; hidden]` to the next h.
    let apply (p: RecurrentCell) (h: Tensor) (x: Tensor) : Tensor =
        (RecurrentCell.batched "gruCell" p x [| h |] (fun x s -> [| next p (RecurrentCell.ofInput p x) s[0] |])).[0]

    /// PyTorch's start.
    let init (key: Tensor) (input: int) (hidden: int) (bias: bool) : RecurrentCell =
        RecurrentCell.init key 3 input hidden 0 bias
