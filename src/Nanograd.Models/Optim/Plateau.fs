namespace Nanograd

open System

/// What counts as better.
[<RequireQualifiedAccess>]
type Better =
    | Smaller
    | Larger

/// Options of ReduceLROnPlateau; the defaults are PyTorch's.
type PlateauOptions =
    {
        Better: Better
        /// What the rate is multiplied with.
        Factor: float
        /// How many epochs without improvement are tolerated.
        Patience: int
        /// By how much a metric must be better to count.
        Threshold: float
        /// Whether the threshold is a share of the best metric, or a difference to it.
        Relative: bool
        /// How many epochs after a reduction do not count.
        Cooldown: int
        /// The least rate.
        Minimum: float
        /// Smaller changes of the rate are not made.
        Eps: float
    }

/// What a plateau remembers; plain numbers on the host.
type Plateau = { Rate: float; Best: float; BadEpochs: int; CooldownLeft: int }

/// ReduceLROnPlateau: the rate falls when a metric has not improved for a while. It depends on what was measured, so it
/// lives on the host, and the rate goes into the step as a tensor.
[<RequireQualifiedAccess>]
module Plateau =
    /// PyTorch's defaults.
    let defaults =
        { Better = Better.Smaller
          Factor = 0.1
          Patience = 10
          Threshold = 1e-4
          Relative = true
          Cooldown = 0
          Minimum = 0.0
          Eps = 1e-8 }

    /// Before the first epoch.
    let start (options: PlateauOptions) (rate: float) : Plateau =
        if not (options.Factor > 0.0 && options.Factor < 1.0) then
            raise (ArgumentException $"The factor must be above 0 and below 1, not {options.Factor}.")
        let worst =
            match options.Better with
            | Better.Smaller -> infinity
            | Better.Larger -> -infinity
        { Rate = rate; Best = worst; BadEpochs = 0; CooldownLeft = 0 }

    let private isBetter (o: PlateauOptions) (metric: float) (best: float) =
        match o.Better, o.Relative with
        | Better.Smaller, true -> metric < best * (1.0 - o.Threshold)
        | Better.Smaller, false -> metric < best - o.Threshold
        | Better.Larger, true -> metric > best * (1.0 + o.Threshold)
        | Better.Larger, false -> metric > best + o.Threshold

    /// After an epoch, with the metric measured in it.
    let next (options: PlateauOptions) (metric: float) (p: Plateau) : Plateau =
        let improved = isBetter options metric p.Best
        let best = if improved then metric else p.Best
        let cooling = p.CooldownLeft > 0
        let bad = if improved || cooling then 0 else p.BadEpochs + 1
        let cooldown = if cooling then p.CooldownLeft - 1 else p.CooldownLeft
        if bad > options.Patience then
            let lower = max (p.Rate * options.Factor) options.Minimum
            { Rate = (if p.Rate - lower > options.Eps then lower else p.Rate)
              Best = best
              BadEpochs = 0
              CooldownLeft = options.Cooldown }
        else
            { p with Best = best; BadEpochs = bad; CooldownLeft = cooldown }
