namespace Nanograd.Models

open System
open Nanograd

/// A schedule at work: the rate at any time from its formula, and the rate that follows another one, as PyTorch's
/// schedulers compute it, so that several of them multiply what they do to one rate.
[<Sealed>]
type RateSchedule private (formula: LearningRate, start: float -> float, next: float -> float -> float) =
    static let at (formula: LearningRate) (t: float) =
        LearningRate.at (LearningRate.Of(formula, LearningRate.Number t)) 0L
    static let ofText name text (options: (string * 'a) list) : 'a =
        match List.tryFind (fun (key, _) -> key = text) options with
        | Some(_, value) -> value
        | None ->
            let known = String.Join(", ", List.map fst options)
            raise (ArgumentException $"{name} must be one of {known}, not {text}.")
    static let anneal text = ofText "annealStrategy" text [ "cos", Anneal.Cosine; "linear", Anneal.Linear ]
    /// Sets the rate, whatever it was.
    static let setting formula = RateSchedule(formula, (fun _ -> at formula 0.0), (fun _ t -> at formula t))
    /// Multiplies what is above a floor as the formula's is. From the floor itself it rises as the formula does.
    static let scaling (rate: float) (floor: float) formula =
        let next (current: float) t =
            let before, now = at formula (t - 1.0) - floor, at formula t - floor
            if before = 0.0 then current + (now - before) else floor + (current - floor) * (now / before)
        RateSchedule(formula, (fun current -> if rate = 0.0 then current else current * (at formula 0.0 / rate)), next)

    /// The rate at a time, in updates done; it may be between two.
    member _.At(t: float) : float = at formula t

    /// The rate at time 0, where it is `current` without this schedule.
    member _.Start(current: float) : float = start current

    /// The rate at time t, where it is `current` at time t - 1; other schedules may have changed it, too.
    member _.Next(current: float, t: float) : float = next current t

    static member StepLR(rate, stepSize: int64, gamma) = scaling rate 0.0 (Schedulers.step rate stepSize gamma)
    static member MultiStepLR(rate, milestones: int64[], gamma) =
        scaling rate 0.0 (Schedulers.multiStep rate milestones gamma)
    static member ConstantLR(rate, factor, totalIters: int64) =
        scaling rate 0.0 (Schedulers.constant rate factor totalIters)
    static member LinearLR(rate, startFactor, endFactor, totalIters: int64) =
        scaling rate 0.0 (Schedulers.linear rate startFactor endFactor totalIters)
    static member ExponentialLR(rate, gamma) = scaling rate 0.0 (Schedulers.exponential rate gamma)
    static member PolynomialLR(rate, totalIters: int64, power) =
        scaling rate 0.0 (Schedulers.polynomial rate totalIters power)
    static member CosineAnnealingLR(rate, tMax: int64, etaMin) =
        scaling rate etaMin (Schedulers.cosineAnnealing rate tMax etaMin)
    static member CosineAnnealingWarmRestarts(rate, t0: int64, tMult: int64, etaMin) =
        setting (Schedulers.cosineWarmRestarts rate t0 tMult etaMin)

    /// CyclicLR's rate and momentum. `mode` is triangular, triangular2 or exp_range.
    static member CyclicLR
        (baseLr, maxLr, stepSizeUp: int64, stepSizeDown: int64, mode: string, gamma, baseMomentum, maxMomentum)
        : struct (RateSchedule * RateSchedule) =
        let modes =
            [ "triangular", CyclicMode.Triangular
              "triangular2", CyclicMode.Triangular2
              "exp_range", CyclicMode.ExpRange gamma ]
        let options =
            { StepSizeUp = stepSizeUp
              StepSizeDown = stepSizeDown
              Mode = ofText "mode" mode modes
              BaseMomentum = baseMomentum
              MaxMomentum = maxMomentum }
        let cycle = Schedulers.cyclic options baseLr maxLr
        struct (setting cycle.Rate, setting cycle.Momentum)

    /// OneCycleLR's rate and momentum. `annealStrategy` is cos or linear.
    static member OneCycleLR
        (
            maxLr,
            totalSteps: int64,
            pctStart,
            annealStrategy: string,
            baseMomentum,
            maxMomentum,
            divFactor,
            finalDivFactor,
            threePhase: bool
        ) : struct (RateSchedule * RateSchedule) =
        let options =
            { PctStart = pctStart
              Anneal = anneal annealStrategy
              BaseMomentum = baseMomentum
              MaxMomentum = maxMomentum
              DivFactor = divFactor
              FinalDivFactor = finalDivFactor
              ThreePhase = threePhase }
        let cycle = Schedulers.oneCycle options maxLr totalSteps
        struct (setting cycle.Rate, setting cycle.Momentum)

    /// nanoGPT's warm-up and cosine.
    static member NanoGpt(rate, minimum, warmup: int64, decay: int64) =
        setting (Warmup.nanoGpt rate minimum warmup decay)

    static member WarmupConstant(rate, warmup: int64) = setting (Warmup.constant rate warmup)
    static member WarmupLinear(rate, warmup: int64, total: int64) = setting (Warmup.linear rate warmup total)
    static member WarmupCosine(rate, warmup: int64, total: int64, cycles) =
        setting (Warmup.cosine rate warmup total cycles)
    static member WarmupCosineHardRestarts(rate, warmup: int64, total: int64, cycles: int) =
        setting (Warmup.cosineHardRestarts rate warmup total cycles)
    static member WarmupPolynomial(rate, minimum, power, warmup: int64, total: int64) =
        setting (Warmup.polynomial rate minimum power warmup total)

    /// Warm-up, stable, decay. `cooldown` is linear, cosine or 1-sqrt.
    static member WarmupStableDecay(cooldown: string, rate, minimum, warmup: int64, stable: int64, decay: int64) =
        let cooldowns = [ "linear", Cooldown.Linear; "cosine", Cooldown.Cosine; "1-sqrt", Cooldown.InverseRoot ]
        setting (Warmup.stableDecay (ofText "decayType" cooldown cooldowns) rate minimum warmup stable decay)

    static member Noam(factor, width: int, warmup: int64) = setting (Warmup.noam factor width warmup)

    /// SWALR: `annealStrategy` is cos or linear. From whatever the rate is when it begins to `swaLr`.
    static member SwaLR(rate, swaLr: float, annealEpochs: int64, annealStrategy: string) =
        let kind = anneal annealStrategy
        let left = at (Schedulers.swa kind 1.0 0.0 annealEpochs)
        let next (current: float) t =
            let before = left (t - 1.0)
            if before = 0.0 then swaLr else swaLr + (current - swaLr) * (left t / before)
        let start current = swaLr + (current - swaLr) * left 0.0
        RateSchedule(Schedulers.swa kind rate swaLr annealEpochs, start, next)

/// ReduceLROnPlateau for several rates, which fall together.
[<Sealed>]
type PlateauRates(mode: string, factor, patience: int, threshold, thresholdMode: string, cooldown: int, eps) =
    let check name text known =
        if not (List.contains text known) then
            let all = String.Join(" or ", known)
            raise (ArgumentException $"{name} must be {all}, not {text}.")
    do check "mode" mode [ "min"; "max" ]
    do check "thresholdMode" thresholdMode [ "rel"; "abs" ]
    let options =
        { Better = (if mode = "max" then Better.Larger else Better.Smaller)
          Factor = factor
          Patience = patience
          Threshold = threshold
          Relative = (thresholdMode = "rel")
          Cooldown = cooldown
          Minimum = 0.0
          Eps = eps }
    let mutable plateau = Plateau.start options 0.0

    /// The rates after an epoch, with the metric measured in it and the least rates.
    member _.Next(metric: float, rates: float[], minima: float[]) : float[] =
        let before = plateau
        let next rate minimum = Plateau.next { options with Minimum = minimum } metric { before with Rate = rate }
        plateau <- next 0.0 0.0
        Array.map2 (fun rate minimum -> (next rate minimum).Rate) rates minima

    member _.Best
        with get () = plateau.Best
        and set x = plateau <- { plateau with Best = x }

    member _.BadEpochs
        with get () = plateau.BadEpochs
        and set x = plateau <- { plateau with BadEpochs = x }

    member _.CooldownLeft
        with get () = plateau.CooldownLeft
        and set x = plateau <- { plateau with CooldownLeft = x }
