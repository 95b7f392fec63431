namespace Nanograd

open System
open System.Diagnostics

/// Everything that training changes: a tree of tensors, so that it can be donated, saved and restored.
[<NoComparison>]
type TrainState<'P> =
    {
        Parameters: 'P
        /// The optimizer's state.
        Slots: OptimizerState
        /// Updates done: an i32 scalar.
        Step: Tensor
    }

/// Options of a training run.
[<NoComparison; NoEquality>]
type TrainOptions =
    {
        Steps: int64
        Rows: int
        Seed: int64
        Rate: LearningRate
        Optimizer: Optimizer
        /// The largest global norm of the gradients; infinity for no clipping.
        ClipNorm: float
        /// Validate every so many steps (and at the end); 0 for never.
        EvaluateEvery: int64
    }

/// What one step reports.
[<Struct>]
type StepReport =
    {
        /// Updates done, this one included.
        Step: int64
        /// The loss on the step's batch, before the update.
        Loss: float
        /// The validation loss after the update, NaN when this step does not validate.
        ValidationLoss: float
        /// Training tokens per second, since the start and without validation.
        TokensPerSecond: float
    }

/// Training loops for scripts.
[<RequireQualifiedAccess>]
module Train =
    /// nanoGPT's options for its small configuration: 2000 steps of 12 rows, 1e-3 falling to 1e-4, warm-up 100, AdamW
    /// (0.9, 0.99), decay 0.1, clipping at 1.
    let defaults =
        { Steps = 2000L
          Rows = 12
          Seed = 1337L
          Rate = Warmup.nanoGpt 1e-3 1e-4 100L 2000L
          Optimizer =
            Optim.adamW
                { Optim.adamWDefaults with
                    Beta2 = 0.99
                    WeightDecay = 0.1
                    Decays = Choose.matrices }
          ClipNorm = 1.0
          EvaluateEvery = 250L }

    /// The state before the first step, in memory of its own.
    let start (optimizer: Optimizer) (parameters: 'P) : TrainState<'P> =
        Values.own
            { Parameters = parameters
              Slots = Optim.init optimizer parameters
              Step = Op.constant (Constant.ofInt DType.I32 0L) }

    /// One step as an expression: the loss of a batch, its gradient, clipped, and the optimizer's update. `loss` gets
    /// the parameters, a key that differs from step to step, and the batch.
    let step
        (options: TrainOptions)
        (loss: 'P -> Tensor -> 'B -> Tensor)
        (state: TrainState<'P>)
        (batch: 'B)
        : TrainState<'P> * Tensor =
        let key = Random.foldIn (Random.key options.Seed) state.Step
        let value, gradient = valueAndGrad (fun p -> loss p key batch) state.Parameters
        let clipped =
            if Double.IsPositiveInfinity options.ClipNorm then
                gradient
            else
                Tree.rebuild gradient (Clip.byNorm 2.0 options.ClipNorm (Tree.leaves gradient))
        let context = UpdateContext.Of(state.Step, LearningRate.expression options.Rate state.Step)
        let parameters, slots = Optim.update options.Optimizer context clipped state.Slots state.Parameters
        { Parameters = parameters; Slots = slots; Step = state.Step + 1 }, value

    /// Trains from `state` until `options.Steps` updates are done. `loss` is the training loss (it gets a key for
    /// dropout, None in validation). The whole step is one compiled program, and the state is donated to it: use the
    /// returned one. Returns the last state and all reports.
    let fit
        options
        (loss: 'P -> Tensor option -> Tensor * Tensor -> Tensor)
        (data: LanguageData)
        report
        (state: TrainState<'P>)
        =
        let run = jitDonate (fun state batch -> step options (fun p key b -> loss p (Some key) b) state batch)
        let evaluate = jit2 (fun p batch -> loss p None batch)
        let tensors (b: LanguageBatch) = b.InputTensor, b.TargetTensor
        let validate (p: 'P) =
            data.MeanLoss(max 1 (4 * options.Rows), Func<_, _>(fun b -> item (evaluate p (tensors b))))
        let first = int64 (item state.Step)
        let clock = Stopwatch()
        let mutable current = state
        let reports =
            [| for i in first .. options.Steps - 1L do
                   clock.Start()
                   let next, value = run current (tensors (data.Batch(options.Rows, options.Seed, i)))
                   current <- next
                   let value = item value
                   clock.Stop()
                   let due =
                       options.EvaluateEvery > 0L && ((i + 1L) % options.EvaluateEvery = 0L || i + 1L = options.Steps)
                   let done' = float (i + 1L - first) * float (options.Rows * data.Context)
                   let entry =
                       { Step = i + 1L
                         Loss = value
                         ValidationLoss = if due then validate current.Parameters else nan
                         TokensPerSecond = done' / clock.Elapsed.TotalSeconds }
                   report entry
                   entry |]
        current, reports
