namespace Nanograd

/// What a model makes of a batch.
[<NoComparison>]
type Outcome<'S> =
    {
        /// The mean loss over the batch: a scalar.
        Loss: Tensor
        /// The model's state after the batch (running statistics); in evaluation the one before.
        State: 'S
        /// The sums of each metric.
        Measured: Tensor[]
    }

/// What is to be learnt: parameters 'P and a state 'S of the model (trees of tensors; `unit` where there is no state), on
/// batches 'B (a tree of tensors whose first axis counts examples).
[<NoComparison; NoEquality>]
type Objective<'P, 'S, 'B> =
    {
        Metrics: Metric list
        /// Parameters, state, a key (None: evaluation, without dropout), and a batch.
        Run: 'P -> 'S -> Tensor option -> 'B -> Outcome<'S>
        /// The logits alone, for Sophia's estimates of the Hessian.
        Logits: ('P -> 'S -> Tensor option -> 'B -> Tensor) option
        /// The parameters' names in checkpoints.
        Named: 'P -> (string * Tensor)[]
    }

/// Objectives from functions.
[<RequireQualifiedAccess>]
module Objective =
    /// A loss of parameters, a key (None in evaluation) and a batch.
    let ofLoss (loss: 'P -> Tensor option -> 'B -> Tensor) : Objective<'P, unit, 'B> =
        { Metrics = []
          Run = fun p () key batch -> { Loss = loss p key batch; State = (); Measured = [||] }
          Logits = None
          Named = StateDict.named }

    /// A model with a state, and a loss of its predictions and the targets; batches are pairs of inputs and targets, and
    /// metrics measure the predictions.
    let ofModel
        (metrics: Metric list)
        (loss: Tensor -> Tensor -> Tensor)
        (apply: 'P -> 'S -> Tensor option -> 'X -> Tensor * 'S)
        : Objective<'P, 'S, 'X * Tensor> =
        { Metrics = metrics
          Run =
            fun p s key (x, y) ->
                let predictions, state = apply p s key x
                { Loss = loss predictions y
                  State = state
                  Measured = [| for m in metrics -> m.Sums predictions y |] }
          Logits = Some(fun p s key (x, _) -> fst (apply p s key x))
          Named = StateDict.named }

    /// The same for a model without a state.
    let supervised
        (metrics: Metric list)
        (loss: Tensor -> Tensor -> Tensor)
        (apply: 'P -> Tensor option -> 'X -> Tensor)
        : Objective<'P, unit, 'X * Tensor> =
        ofModel metrics loss (fun p () key x -> apply p key x, ())

    /// With other names in checkpoints than PyTorch's (`StateDict.named`), such as `Gpt.named`.
    let withNames (named: 'P -> (string * Tensor)[]) (o: Objective<'P, 'S, 'B>) = { o with Named = named }
