namespace Nanograd

open System

/// Connectionist temporal classification. (A fourth part of the module `Loss`.)
[<AutoOpen>]
module CtcLosses =
    /// The logarithm of a probability of nothing: finite, so that differences of two are numbers.
    let private never = -1e30

    let private number (x: Tensor) value = scalarOf x.DType value

    /// Labels `[N; S]` from PyTorch's two layouts: padded `[N; S]`, or one after the other `[sum of lengths]`.
    /// What stands behind a sequence's end means nothing, and becomes a blank.
    let private padded (blank: int) (targets: Tensor) (lengths: Tensor) : Tensor =
        if targets.Rank = 2 then
            let isIn = lt (arange DType.I64 targets.Shape[1]) (unsqueeze 1 (cast DType.I64 lengths))
            where isIn targets (full targets.DType targets.Shape (float blank))
        else
            let longest =
                match Known.integers lengths with
                | Some known -> Array.fold max 0L known |> int
                | None -> targets.Count
            let lengths = cast DType.I64 lengths
            let starts = cumSum 0 lengths - lengths
            let places = unsqueeze 1 starts + arange DType.I64 longest
            let held = minimum places (scalarOf DType.I64 (float (max 0 (targets.Count - 1))))
            if longest = 0 then zerosOf DType.I64 [| lengths.Count; 0 |] else take 0 held targets

    /// Blanks around every label: `[N; S]` to `[N; 2S + 1]`.
    let private extended (blank: int) (labels: Tensor) : Tensor =
        let blanks = full labels.DType labels.Shape (float blank)
        let pairs = stack 2 [ blanks; labels ] |> reshape [| labels.Shape[0]; 2 * labels.Shape[1] |]
        concat 1 [ pairs; full labels.DType [| labels.Shape[0]; 1 |] (float blank) ]

    /// log(exp a + exp b + exp c), of numbers that may all be `never`.
    let private logSum (parts: Tensor list) =
        let top = stopGradient (List.reduce maximum parts)
        log (parts |> List.map (fun p -> exp (p - top)) |> List.reduce (+)) + top

    /// The logarithm of the probability of each sequence: forward variables (Graves et al. 2006, section 4.1), one step of
    /// a scan for each time. Log-probabilities `[T; N; C]`, labels with blanks `[N; L]`.
    let private logLikelihood (blank: int) (logProbs: Tensor) (labels: Tensor) (inputs: Tensor) (lengths: Tensor) =
        let steps, batch, length = logProbs.Shape[0], logProbs.Shape[1], labels.Shape[1]
        let places = arange DType.I64 length
        let at (x: Tensor) (n: int) = pad [ n; 0 ] never (slice 1 0 (max 0 (length - n)) x) |> slice 1 0 length
        let before = slice 1 0 length (pad [ 2; 0 ] (float blank) labels)
        let isSkippable = logicalAnd (ne labels (scalarOf labels.DType (float blank))) (ne labels before)
        let emitted = takeAlongAxis 2 (unsqueeze 0 labels) logProbs // [T; N; L]
        let isRunning = lt (arange DType.I64 steps |> unsqueeze 1) (unsqueeze 0 inputs) |> unsqueeze 2 // [T; N; 1]
        let none = full logProbs.DType [| batch; length |] never
        let step (alpha: Tensor) (emission: Tensor, running: Tensor) =
            let skipped = where isSkippable (at alpha 2) none
            where running (maximum (logSum [ alpha; at alpha 1; skipped ] + emission) none) alpha
        // Before the first step nothing but the leading blank has been seen.
        let start = where (eq places (scalarOf DType.I64 0.0)) (zerosLike none) none
        let alpha = foldRows step start (emitted, isRunning)
        let last = unsqueeze 1 (lengths * 2)
        let isEnd = logicalOr (eq places last) (eq places (last - 1))
        logSumExp 1 (where isEnd alpha none)

    let private check (targets: Tensor) (inputs: Tensor) (lengths: Tensor) (logProbs: Tensor) (blank: int) =
        let fail required operands = Shape.fail "ctc" required "" operands
        if logProbs.Rank <> 3 then fail "log-probabilities must be [T,N,C] or [T,C]" [ logProbs ]
        let batch, classes = logProbs.Shape[1], logProbs.Shape[2]
        if inputs.Shape <> [| batch |] || lengths.Shape <> [| batch |] then
            fail "there must be one input length and one target length for each of the batch" [ inputs; lengths ]
        if targets.Rank <> 1 && (targets.Rank <> 2 || targets.Shape[0] <> batch) then
            fail "targets must be [N,S] or [sum of lengths]" [ logProbs; targets ]
        if not (List.forall (fun (t: Tensor) -> DType.isInteger t.DType) [ targets; inputs; lengths ]) then
            fail "targets and lengths must be integers" [ targets; inputs; lengths ]
        if blank < 0 || blank >= classes then raise (IndexException("ctc", int64 blank, classes))
        let isLong (limit: int) = Option.exists (Array.exists (fun n -> n < 0L || n > int64 limit))
        if isLong logProbs.Shape[0] (Known.integers inputs) then
            fail $"input lengths must be between 0 and {logProbs.Shape[0]}" [ inputs ]
        if targets.Rank = 2 && isLong targets.Shape[1] (Known.integers lengths) then
            fail $"target lengths must be between 0 and {targets.Shape[1]}" [ lengths ]

    /// Connectionist temporal classification.
    [<RequireQualifiedAccess>]
    module Loss =
        /// Minus the log-probability that log-probabilities `[T; N; C]` (or `[T; C]`) spell the targets: integers `[N; S]`
        /// or, one sequence after the other, `[sum of lengths]`; lengths `[N]`. `Mean` divides each loss by its target's
        /// length first. A sequence that cannot be spelled in its time has loss infinity, or 0 (`zeroInfinity`). The
        /// gradient is PyTorch's: that of log-probabilities which come from logSoftmax. (PyTorch: CTCLoss.)
        let ctcOf
            (blank: int)
            (zeroInfinity: bool)
            (reduction: LossReduction)
            (logProbs: Tensor)
            (targets: Tensor)
            (inputLengths: Tensor)
            (targetLengths: Tensor)
            : Tensor =
            let single = logProbs.Rank = 2
            let row (t: Tensor) = if t.Rank = 0 then unsqueeze 0 t else t
            let x = if single then unsqueeze 1 logProbs else logProbs
            let inputs, lengths = row inputLengths, row targetLengths
            let targets = if single && targets.Rank = 1 then unsqueeze 0 targets else targets
            check targets inputs lengths x blank
            let wide = cast DType.I64
            let labels = extended blank (padded blank (wide targets) lengths)
            let lengths = wide lengths
            let loss = -(logLikelihood blank x labels (wide inputs) lengths)
            let isPossible = lt loss (number loss 1e29)
            // The sum of probabilities is 1 and its gradient what differentiating through logSoftmax takes away again.
            let counted = lt (arange DType.I64 x.Shape[0] |> unsqueeze 1) (unsqueeze 0 (wide inputs))
            let total = sumOver [ 0 ] (where counted (sumOver [ 2 ] (exp x)) (number x 0.0))
            let loss = loss + (total - stopGradient total)
            let loss = where isPossible loss (number loss (if zeroInfinity then 0.0 else infinity))
            match reduction with
            | LossReduction.Mean ->
                let divisor = cast loss.DType (maximum lengths (scalarOf DType.I64 1.0))
                Losses.reduce "ctc" reduction (loss / divisor)
            | LossReduction.None when single -> reshape [||] loss
            | LossReduction.None
            | LossReduction.Sum
            | LossReduction.BatchMean -> Losses.reduce "ctc" reduction loss

        /// CTC with blank 0, the mean: a scalar.
        let ctc logProbs targets inputLengths targetLengths : Tensor =
            ctcOf 0 false LossReduction.Mean logProbs targets inputLengths targetLengths
