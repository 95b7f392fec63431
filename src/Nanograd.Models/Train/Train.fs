namespace Nanograd

open System
open System.Threading

/// Training loops.
[<RequireQualifiedAccess>]
module Train =
    /// One epoch of AdamW with a rate of 1e-3, validated after each epoch; it says nothing, and stops at NaN.
    let defaults: TrainOptions =
        { Epochs = 1
          Steps = Int64.MaxValue
          Seed = 0L
          Method = Method.Of(Optim.adamW Optim.adamWDefaults)
          Rate = LearningRate.constant 1e-3
          Plateau = None
          Clipping = Clipping.Nothing
          Accumulate = 1
          Precision = Precision.Full
          Budget = None
          Average = None
          Validate = Due.Epochs 1
          Stopping = None
          KeepBest = None
          Folder = None
          Save = Due.Never
          Resume = false
          NanGuard = NanGuard.Stop
          Progress = Progress.Silent
          OnStep = []
          OnEvaluation = []
          Cancel = CancellationToken.None
          HandleInterrupts = true }

    /// nanoGPT's options for its small configuration: 2000 steps, 1e-3 falling to 1e-4, warm-up 100, AdamW (0.9, 0.99),
    /// decay 0.1 of matrices, clipping at 1.
    let nanoGpt: TrainOptions =
        { defaults with
            Steps = 2000L
            Seed = 1337L
            Rate = Warmup.nanoGpt 1e-3 1e-4 100L 2000L
            Method =
                Method.Of(
                    Optim.adamW
                        { Optim.adamWDefaults with
                            Beta2 = 0.99
                            WeightDecay = 0.1
                            Decays = Choose.matrices }
                )
            Clipping = Clipping.Norm 1.0
            Validate = Due.Steps 250L }

    /// The state before the first step, in memory of its own.
    let start (options: TrainOptions) (parameters: 'P) (model: 'S) : TrainState<'P, 'S> =
        Values.own (TrainStep.start options parameters model)

    /// One step on one batch as an expression, to compile by oneself: the next state and the loss before the update.
    let step (options: TrainOptions) (objective: Objective<'P, 'S, 'B>) (state: TrainState<'P, 'S>) (batch: 'B) =
        let one = scalar 1.0
        let index = TrainStep.zero ()
        let next, measured =
            TrainStep.update options Recomputation.none objective (state, None) (one, index, one, one, batch)
        next, measured.Loss

    /// Batches that are a function of their number, without an end: an epoch by the options' number of steps.
    let endless (batch: int64 -> 'B) (_epoch: int) : seq<'B> = Seq.initInfinite (fun i -> batch (int64 i))

    /// Trains on the batches of each epoch (counted from 0; equal ones for equal numbers, if a run is to be resumed), and
    /// validates on batches that may be read again and again (none: no validation). Each step is one compiled program for
    /// each shape of a batch, which gets the state's memory. The state that is given stays as it is.
    let fitFrom
        (options: TrainOptions)
        (objective: Objective<'P, 'S, 'B>)
        (training: int -> #seq<'B>)
        (validation: seq<'B>)
        (state: TrainState<'P, 'S>)
        : TrainResult<'P, 'S> =
        TrainRun(options, objective, (fun epoch -> training epoch :> seq<'B>), validation, state).Execute()

    /// Trains a model with a state (running statistics) from its first parameters.
    let fitModel options (objective: Objective<'P, 'S, 'B>) training validation (parameters: 'P) (model: 'S) =
        fitFrom options objective training validation (start options parameters model)

    /// Trains a model without a state from its first parameters.
    let fit options (objective: Objective<'P, unit, 'B>) training validation (parameters: 'P) =
        fitModel options objective training validation parameters ()
