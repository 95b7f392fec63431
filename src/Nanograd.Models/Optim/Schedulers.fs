namespace Nanograd

open System

/// A learning rate, and the momentum (SGD's, or the first beta of Adam) that moves against it.
[<NoComparison>]
type Cycle = { Rate: LearningRate; Momentum: LearningRate }

/// How a rate goes from one number to another.
[<RequireQualifiedAccess>]
type Anneal =
    | Cosine
    | Linear

/// Options of the one-cycle policy; the defaults are PyTorch's.
type OneCycleOptions =
    {
        /// The share of the steps in which the rate rises.
        PctStart: float
        Anneal: Anneal
        /// The least and the largest momentum.
        BaseMomentum: float
        MaxMomentum: float
        /// The first rate is the largest divided by this.
        DivFactor: float
        /// The last rate is the first divided by this.
        FinalDivFactor: float
        /// Down to the first rate as fast as up, then on to the last one, instead of down to it at once.
        ThreePhase: bool
    }

/// How the height of a cyclic rate changes.
[<RequireQualifiedAccess>]
type CyclicMode =
    /// Not at all.
    | Triangular
    /// Half of it after every cycle.
    | Triangular2
    /// gamma^step.
    | ExpRange of gamma: float

/// Options of cyclic rates; the defaults are PyTorch's.
type CyclicOptions =
    { StepSizeUp: int64
      StepSizeDown: int64
      Mode: CyclicMode
      BaseMomentum: float
      MaxMomentum: float }

/// The schedulers of torch.optim.lr_scheduler, by their names. `rate` is the optimizer's own rate; t below is the number
/// of updates done. (`Plateau`, which depends on a metric, stands apart.)
[<RequireQualifiedAccess>]
module Schedulers =
    let internal t = LearningRate.step
    let internal number (x: float) = LearningRate.Number x
    let internal least what (low: float) (value: float) =
        if not (value >= low) then raise (ArgumentException $"{what} must be at least {low}, not {value}.")
    let internal fraction what (value: float) =
        if not (value >= 0.0 && value <= 1.0) then
            raise (ArgumentException $"{what} must be between 0 and 1, not {value}.")

    /// A rate, which cannot be negative, as a formula.
    let internal rated (rate: float) : LearningRate = LearningRate.constant rate

    /// `x` where t is at most `bound`, else `y`.
    let internal upTo (bound: float) x y = LearningRate.ifLess (number bound) t y x

    /// LambdaLR: rate * factor(t). The factor is written with the operations of `LearningRate`: `fun t -> 1.0 / (1.0 + t)`;
    /// other functions go through `LearningRate.tabulate`.
    let lambda (rate: float) (factor: LearningRate -> LearningRate) : LearningRate = rated rate * factor t

    /// MultiplicativeLR: rate * factor(1) * ... * factor(t), for the first `steps` updates, then as the last of them.
    let multiplicative (rate: float) (steps: int) (factor: int -> float) : LearningRate =
        let products = Array.scan (fun product i -> product * factor i) rate [| 1 .. steps - 1 |]
        LearningRate.tabulate steps (fun i -> products[i])

    /// StepLR: rate * gamma^(floor(t / size)).
    let step (rate: float) (size: int64) (gamma: float) : LearningRate =
        least "The step size" 1.0 (float size)
        least "Gamma" 0.0 gamma
        rated rate * number gamma ** floor (t / float size)

    /// MultiStepLR: times gamma at each milestone.
    let multiStep (rate: float) (milestones: seq<int64>) (gamma: float) : LearningRate =
        least "Gamma" 0.0 gamma
        let passed =
            milestones
            |> Seq.map (fun m -> LearningRate.ifLess t (number (float m)) (number 0.0) (number 1.0))
            |> Seq.fold (+) (number 0.0)
        rated rate * number gamma ** passed

    /// ConstantLR: rate * factor in the first `count` updates, then rate. PyTorch's defaults: a third, 5.
    let constant (rate: float) (factor: float) (count: int64) : LearningRate =
        fraction "The factor" factor
        LearningRate.ifLess t (number (float count)) (rated rate * factor) (rated rate)

    /// LinearLR: rate times a factor that goes from `first` to `last` in `count` updates. PyTorch's defaults: a third,
    /// 1, 5.
    let linear (rate: float) (first: float) (last: float) (count: int64) : LearningRate =
        fraction "The first factor" first
        fraction "The last factor" last
        least "The number of steps" 1.0 (float count)
        rated rate * (first + (last - first) * LearningRate.atMost (float count) t / float count)

    /// ExponentialLR: rate * gamma^t.
    let exponential (rate: float) (gamma: float) : LearningRate =
        least "Gamma" 0.0 gamma
        rated rate * number gamma ** t

    /// PolynomialLR: rate * (1 - t / count)^power, 0 after `count` updates. PyTorch's defaults: 5, 1.
    let polynomial (rate: float) (count: int64) (power: float) : LearningRate =
        least "The number of steps" 1.0 (float count)
        least "The power" 0.0 power
        rated rate * (1.0 - LearningRate.atMost (float count) t / float count) ** power

    let private cosine (rate: float) (minimum: float) (phase: LearningRate) : LearningRate =
        least "The rate" 0.0 rate
        least "The least rate" 0.0 minimum
        minimum + (rate - minimum) * (1.0 + cos (Math.PI * phase)) / 2.0

    /// CosineAnnealingLR (Loshchilov and Hutter 2017, SGDR): minimum + (rate - minimum) (1 + cos(pi t / half)) / 2. After
    /// `half` updates it rises again.
    let cosineAnnealing (rate: float) (half: int64) (minimum: float) : LearningRate =
        least "The half period" 1.0 (float half)
        cosine rate minimum (t / float half)

    /// CosineAnnealingWarmRestarts (SGDR): a cosine from rate to minimum in `first` updates, then anew in `first * factor`,
    /// `first * factor^2`, ... updates.
    let cosineWarmRestarts (rate: float) (first: int64) (factor: int64) (minimum: float) : LearningRate =
        least "The first period" 1.0 (float first)
        least "The factor of the periods" 1.0 (float factor)
        if factor = 1L then
            let period = float first
            cosine rate minimum ((t - period * floor (t / period)) / period)
        else
            // The starts of all periods that a count of 32 bits can reach.
            let starts = (0.0, float first) |> Seq.unfold (fun (s, n) -> Some((s, n), (s + n, n * float factor)))
            let pieces = starts |> Seq.takeWhile (fun (s, _) -> s < float Int32.MaxValue) |> Seq.toList
            let phase (s: float, n: float) = (t - s) / n
            let choose later (s, n) = LearningRate.ifLess t (number (s + n)) (phase (s, n)) later
            let phases = List.rev pieces
            cosine rate minimum (List.fold choose (phase phases.Head) phases.Tail)

    /// PyTorch's defaults of OneCycleLR.
    let oneCycleDefaults: OneCycleOptions =
        { PctStart = 0.3
          Anneal = Anneal.Cosine
          BaseMomentum = 0.85
          MaxMomentum = 0.95
          DivFactor = 25.0
          FinalDivFactor = 1e4
          ThreePhase = false }

    let private anneal kind (first: float) (last: float) (share: LearningRate) : LearningRate =
        match kind with
        | Anneal.Cosine -> last + (first - last) / 2.0 * (cos (Math.PI * share) + 1.0)
        | Anneal.Linear -> (last - first) * share + first

    /// Pieces between the steps where they end: from one number to the next.
    let private pieces kind (ends: float list) (values: float list) =
        let parts = List.zip3 (0.0 :: List.take (ends.Length - 1) ends) ends (List.pairwise values)
        let piece (first, last, (a, b)) = anneal kind a b ((t - first) / (last - first))
        let choose (first, last, ab) later = upTo last (piece (first, last, ab)) later
        List.foldBack choose (List.take (parts.Length - 1) parts) (piece (List.last parts))

    /// OneCycleLR (Smith and Topin 2018): up from maximum / DivFactor to `maximum`, and down to
    /// maximum / (DivFactor FinalDivFactor) at the last of `count` steps, where it stays; the momentum goes the other way.
    let oneCycle (options: OneCycleOptions) (maximum: float) (count: int64) : Cycle =
        least "The number of steps" 1.0 (float count)
        fraction "PctStart" options.PctStart
        least "The largest rate" 0.0 maximum
        let first = maximum / options.DivFactor
        let last = first / options.FinalDivFactor
        let low, high = options.BaseMomentum, options.MaxMomentum
        let up = options.PctStart * float count - 1.0
        let finish = float (count - 1L)
        let ends, rates, momenta =
            if options.ThreePhase then
                [ up; 2.0 * options.PctStart * float count - 2.0; finish ],
                [ first; maximum; first; last ],
                [ high; low; high; high ]
            else
                [ up; finish ], [ first; maximum; last ], [ high; low; high ]
        let held (rate: LearningRate) = LearningRate.Of(rate, LearningRate.atMost finish t)
        { Rate = held (pieces options.Anneal ends rates)
          Momentum = held (pieces options.Anneal ends momenta) }

    /// PyTorch's defaults of CyclicLR.
    let cyclicDefaults =
        { StepSizeUp = 2000L
          StepSizeDown = 2000L
          Mode = CyclicMode.Triangular
          BaseMomentum = 0.8
          MaxMomentum = 0.9 }

    /// CyclicLR (Smith 2017): up from `minimum` to `maximum` in StepSizeUp updates, down again in StepSizeDown, and so on;
    /// the momentum goes the other way.
    let cyclic (options: CyclicOptions) (minimum: float) (maximum: float) : Cycle =
        least "The least rate" 0.0 minimum
        least "The largest rate" minimum maximum
        least "StepSizeUp" 1.0 (float options.StepSizeUp)
        least "StepSizeDown" 1.0 (float options.StepSizeDown)
        let total = float options.StepSizeUp + float options.StepSizeDown
        let ratio = float options.StepSizeUp / total
        let cycle = floor (1.0 + t / total)
        let x = 1.0 + t / total - cycle
        let height = LearningRate.ifLess (number ratio) x ((x - 1.0) / (ratio - 1.0)) (x / ratio)
        let scale =
            match options.Mode with
            | CyclicMode.Triangular -> number 1.0
            | CyclicMode.Triangular2 -> 1.0 / number 2.0 ** (cycle - 1.0)
            | CyclicMode.ExpRange gamma -> number gamma ** t
        { Rate = minimum + (maximum - minimum) * height * scale
          Momentum = options.MaxMomentum - (options.MaxMomentum - options.BaseMomentum) * height * scale }

    /// SequentialLR: the first schedule up to the first milestone, then the second, which counts its steps from there,
    /// and so on: one schedule more than milestones.
    let sequential (schedules: LearningRate list) (milestones: int64 list) : LearningRate =
        if schedules.Length <> milestones.Length + 1 then
            raise (
                ArgumentException
                    $"{milestones.Length} milestones need {milestones.Length + 1} schedules, not {schedules.Length}."
            )
        let later = List.zip (0L :: milestones) schedules
        let shifted (start: int64, rate) = LearningRate.Of(rate, t - float start)
        let choose (current: LearningRate) (start, rate) =
            LearningRate.ifLess t (number (float start)) current (shifted (start, rate))
        List.fold choose schedules.Head later.Tail

    /// ChainedScheduler: rate times all the factors by which the schedules change it. Each schedule is given for the same
    /// rate.
    let chained (rate: float) (schedules: LearningRate list) : LearningRate =
        if rate = 0.0 then raise (ArgumentException "Schedules cannot be chained for a rate of 0.")
        schedules |> List.fold (fun product s -> product * (s / rate)) (number rate)

    /// SWALR: from rate to `average`, the rate of averaging (Izmailov et al. 2018), in `count` updates. PyTorch's default:
    /// 10 and a cosine.
    let swa (kind: Anneal) (rate: float) (average: float) (count: int64) : LearningRate =
        least "The number of steps" 0.0 (float count)
        if count = 0L then
            number average
        else
            let share = LearningRate.atMost 1.0 (t / float count)
            anneal kind rate average share
