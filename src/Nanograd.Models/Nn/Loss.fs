namespace Nanograd

open System

/// What becomes of the losses of the single elements.
[<RequireQualifiedAccess>]
type LossReduction =
    /// Their mean: a scalar.
    | Mean
    /// Their sum: a scalar.
    | Sum
    /// They stay as they are.
    | None

/// Losses, by PyTorch's definitions.
[<RequireQualifiedAccess>]
module Loss =
    /// Losses `[..]` to a scalar, or as they are.
    let reduce (reduction: LossReduction) (losses: Tensor) : Tensor =
        match reduction with
        | LossReduction.Mean -> mean losses
        | LossReduction.Sum -> sum losses
        | LossReduction.None -> losses

    /// The loss of each place: logits `[..; classes]` and targets `[..]` (integers below `classes`) to `[..]`.
    /// Written as logSumExp minus the target's logit, picked by comparison: one pass over each row, no indexing.
    let private perPlace (logits: Tensor) (targets: Tensor) =
        if
            logits.Rank = 0 || logits.Shape[.. logits.Rank - 2] <> targets.Shape || not (DType.isInteger targets.DType)
        then
            Shape.fail "crossEntropy" "logits [..,classes] need integer targets [..]" "" [ logits; targets ]
        let classes = Op.iota DType.I32 logits.Shape (logits.Rank - 1)
        let isTarget = eq (unsqueeze -1 (cast DType.I32 targets)) classes
        let picked = sumOver [ -1 ] (where isTarget logits (zerosLike logits))
        reshape targets.Shape (logSumExpKeep -1 logits) - picked

    /// Targets that are known when the loss is written are checked then; no logit belongs to one out of range.
    let private checkRange (logits: Tensor) (targets: Tensor) =
        match targets.Op with
        | Op.Literal s when not s.IsDonated && logits.Rank > 0 && DType.isInteger s.DType ->
            let classes = int64 logits.Shape[logits.Rank - 1]
            for i in 0 .. s.Length - 1 do
                let target = (Buffers.read s i).Int
                if target < 0L || target >= classes then raise (IndexException("crossEntropy", target, int classes))
        | _ -> ()

    /// Cross-entropy of logits `[..; classes]` against integer targets `[..]`; a known target out of range is an error.
    let crossEntropyOf (reduction: LossReduction) (logits: Tensor) (targets: Tensor) : Tensor =
        checkRange logits targets
        reduce reduction (perPlace logits targets)

    /// The mean cross-entropy of logits `[..; classes]` against integer targets `[..]`: a scalar.
    let crossEntropy (logits: Tensor) (targets: Tensor) : Tensor = crossEntropyOf LossReduction.Mean logits targets

    /// Cross-entropy where places whose target is `ignored` do not count (the mean is over the others): PyTorch's
    /// ignore_index.
    let crossEntropyIgnoring (ignored: int) (reduction: LossReduction) (logits: Tensor) (targets: Tensor) : Tensor =
        let counts = ne targets (full targets.DType targets.Shape (float ignored))
        let losses = perPlace logits targets
        let kept = where counts losses (zerosLike losses)
        match reduction with
        | LossReduction.Mean -> sum kept / sum (cast losses.DType counts)
        | LossReduction.Sum -> sum kept
        | LossReduction.None -> kept

    let private sameShape name (x: Tensor) (y: Tensor) =
        if x.Shape <> y.Shape then Shape.fail name "both must have the same shape" "" [ x; y ]

    /// Squared differences of tensors of one shape.
    let mseOf (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        sameShape "mse" x y
        reduce reduction (square (x - y))

    /// The mean squared difference: a scalar.
    let mse (x: Tensor) (y: Tensor) : Tensor = mseOf LossReduction.Mean x y

    /// Absolute differences of tensors of one shape.
    let l1Of (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        sameShape "l1" x y
        reduce reduction (abs (x - y))

    /// The mean absolute difference: a scalar.
    let l1 (x: Tensor) (y: Tensor) : Tensor = l1Of LossReduction.Mean x y

    /// Huber's loss: d²/2 up to `delta`, linear beyond.
    let huberOf (delta: float) (reduction: LossReduction) (x: Tensor) (y: Tensor) : Tensor =
        sameShape "huber" x y
        if not (delta > 0.0) then raise (ArgumentException $"huber: delta must be positive, not {delta}.")
        let d = abs (x - y)
        let isSmall = le d (full d.DType d.Shape delta)
        reduce reduction (where isSmall (square d * 0.5) ((d - 0.5 * delta) * delta))

    /// Binary cross-entropy of logits against targets in [0, 1]: softplus(x) - x y, without overflow.
    let bceWithLogitsOf (reduction: LossReduction) (logits: Tensor) (targets: Tensor) : Tensor =
        sameShape "bceWithLogits" logits targets
        reduce reduction (softplus logits - logits * targets)

    /// Mean binary cross-entropy of logits against targets in [0, 1]: a scalar.
    let bceWithLogits (logits: Tensor) (targets: Tensor) : Tensor = bceWithLogitsOf LossReduction.Mean logits targets
