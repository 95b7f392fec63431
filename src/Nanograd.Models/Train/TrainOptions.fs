namespace Nanograd

open System
open System.IO
open System.Threading

/// How parameters are moved.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Method =
    /// Any optimizer of `Optim` and `Transform`.
    | Of of Optimizer
    /// Sophia-G, which estimates the Hessian's diagonal every k updates. The objective must have logits.
    | Sophia of SophiaOptions
    /// Sharpness-aware minimization with radius rho, then an optimizer.
    | Sam of rho: float * Optimizer
    /// L-BFGS: several evaluations of each batch, which should be the whole data. Its rate is its own.
    | Lbfgs of LbfgsOptions

/// Bounds on gradients.
[<RequireQualifiedAccess>]
type Clipping =
    | Nothing
    /// The norm of all gradients together is at most this.
    | Norm of float
    /// Every element is at most this in size.
    | Value of float
    /// Each unit's gradient is at most this, times the norm of its weights (Brock et al. 2021).
    | Adaptive of float

/// When something is due.
[<RequireQualifiedAccess>]
type Due =
    | Never
    /// After every so many updates, and at the end.
    | Steps of int64
    /// After every so many epochs, and at the end.
    | Epochs of int

/// What happens when a loss or a gradient is NaN or infinite.
[<RequireQualifiedAccess>]
type NanGuard =
    /// Training stops with an error that says where it came from. The parameters are those before the step.
    | Stop
    /// The update is left out.
    | Skip
    /// Nobody looks.
    | Off

/// Stop when a measured value (`val_loss`, `val_accuracy`, `loss`, ...) has not become better for a while.
type EarlyStopping =
    {
        Monitor: string
        Better: Better
        /// So many evaluations without improvement are tolerated.
        Patience: int
        /// By how much a value must be better to count.
        MinDelta: float
    }

/// Which parameters to keep: those that were best by a measured value.
type KeepBest = { Monitor: string; Better: Better }

/// Who is told about progress.
[<RequireQualifiedAccess; NoComparison; NoEquality>]
type Progress =
    | Silent
    /// The console: one line that changes, or, where output is redirected, a line now and then.
    | Console
    /// A line now and then, to a writer.
    | Lines of TextWriter

/// Options of a training run; `Train.defaults` with what is to be different.
[<NoComparison; NoEquality>]
type TrainOptions =
    {
        /// How often to go through the training batches.
        Epochs: int
        /// The most updates, whatever the epochs.
        Steps: int64
        /// The seed of dropout and of everything else that is random in a step.
        Seed: int64
        Method: Method
        Rate: LearningRate
        /// Lowers the rate by a factor when `val_loss` does not fall any more (`loss` without validation).
        Plateau: PlateauOptions option
        Clipping: Clipping
        /// So many batches make one update, with the mean of their gradients, weighted by their examples.
        Accumulate: int
        Precision: Precision
        /// The most bytes that a step may hold at once; what does not fit is computed again in the backward pass.
        Budget: int64 option
        /// The decay of an average of the parameters; it is what validation sees.
        Average: float option
        Validate: Due
        Stopping: EarlyStopping option
        KeepBest: KeepBest option
        /// Where checkpoints go (and the best parameters, in its subfolder `best`).
        Folder: string option
        Save: Due
        /// Go on from the folder's checkpoint, if it has one.
        Resume: bool
        NanGuard: NanGuard
        Progress: Progress
        /// Called after each update.
        OnStep: (StepRecord -> unit) list
        /// Called after each evaluation.
        OnEvaluation: (EvaluationRecord -> unit) list
        /// Stops the run after the step.
        Cancel: CancellationToken
        /// Whether Ctrl-C (and SIGTERM) saves and stops after the step; a second one ends the process.
        HandleInterrupts: bool
    }

/// Why training ended.
[<RequireQualifiedAccess>]
type Ending =
    /// All epochs or steps are done.
    | Finished
    /// What was monitored had not become better for too long.
    | StoppedEarly
    /// Ctrl-C, or the token.
    | Interrupted

/// A loss or gradient that is NaN or infinite: in which step, and where it came from.
[<Sealed>]
type NonFiniteStepException(step: int64, loss: float, report: string) =
    inherit
        ArithmeticException(
            $"Step {step}: the loss is {loss}, and it or a gradient is NaN or infinite. The parameters are those before the step. "
            + report
        )
    /// The update that failed, counted from 1.
    member _.Step = step
    /// Its loss.
    member _.Loss = loss
    /// What `Debug.nans` found.
    member _.Report = report
