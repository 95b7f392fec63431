namespace Nanograd

open System

/// The last part of a warm-up, stable, decay schedule; s goes from 0 to 1.
[<RequireQualifiedAccess>]
type Cooldown =
    /// 1 - s.
    | Linear
    /// (1 + cos(pi s)) / 2.
    | Cosine
    /// 1 - sqrt s (Hägele et al. 2024).
    | InverseRoot

/// Schedules that begin with small rates. t is the number of updates done.
[<RequireQualifiedAccess>]
module Warmup =
    let private t = Schedulers.t
    let private number = Schedulers.number
    let private before (count: int64) yes no = LearningRate.ifLess t (number (float count)) yes no
    let private rising (rate: float) (warmup: int64) = Schedulers.rated rate * t / float (max 1L warmup)

    /// The share of the way from the end of the warm-up to `last`.
    let private progress (warmup: int64) (last: int64) = (t - float warmup) / float (max 1L (last - warmup))

    let private check (warmup: int64) (last: int64) =
        Schedulers.least "The warm-up" 0.0 (float warmup)
        if last < warmup then
            raise (ArgumentException $"The schedule ends after {last} steps, before its warm-up of {warmup}.")

    /// nanoGPT's get_lr: linear warm-up to `rate` over `warmup` steps (never 0), a cosine to `minimum` at step `decay`, then
    /// `minimum`.
    let nanoGpt (rate: float) (minimum: float) (warmup: int64) (decay: int64) : LearningRate =
        Schedulers.least "The warm-up" 0.0 (float warmup)
        let rising = Schedulers.rated rate * (t + 1.0) / float (warmup + 1L)
        let falling = minimum + 0.5 * (1.0 + cos (Math.PI * progress warmup decay)) * (rate - minimum)
        before warmup rising (Schedulers.upTo (float decay) falling (number minimum))

    /// Hugging Face's get_constant_schedule_with_warmup: rate * t / warmup, then `rate`.
    let constant (rate: float) (warmup: int64) : LearningRate =
        check warmup warmup
        before warmup (rising rate warmup) (number rate)

    /// Hugging Face's get_linear_schedule_with_warmup: up in `warmup` steps, down to 0 at step `last`.
    let linear (rate: float) (warmup: int64) (last: int64) : LearningRate =
        check warmup last
        let falling = rate * LearningRate.atLeast 0.0 (float last - t) / float (max 1L (last - warmup))
        before warmup (rising rate warmup) falling

    /// Hugging Face's get_cosine_schedule_with_warmup: up in `warmup` steps, then `cycles` periods of a cosine (1/2: down
    /// to 0 at step `last`).
    let cosine (rate: float) (warmup: int64) (last: int64) (cycles: float) : LearningRate =
        check warmup last
        let wave = 0.5 * (1.0 + cos (Math.PI * (cycles * 2.0) * progress warmup last))
        before warmup (rising rate warmup) (rate * LearningRate.atLeast 0.0 wave)

    /// Hugging Face's get_cosine_with_hard_restarts_schedule_with_warmup: `cycles` times from `rate` to 0 along a cosine.
    let cosineHardRestarts (rate: float) (warmup: int64) (last: int64) (cycles: int) : LearningRate =
        check warmup last
        let turns = float cycles * progress warmup last
        let wave = 0.5 * (1.0 + cos (Math.PI * (turns - floor turns)))
        let falling = LearningRate.ifLess t (number (float last)) (rate * LearningRate.atLeast 0.0 wave) (number 0.0)
        before warmup (rising rate warmup) falling

    /// Hugging Face's get_polynomial_decay_schedule_with_warmup: up in `warmup` steps, then
    /// minimum + (rate - minimum) (1 - s)^power, s the share of the way to step `last`.
    let polynomial (rate: float) (minimum: float) (power: float) (warmup: int64) (last: int64) : LearningRate =
        check warmup last
        if minimum > rate then raise (ArgumentException $"The last rate {minimum} is larger than the first, {rate}.")
        let falling = (rate - minimum) * (1.0 - LearningRate.atMost 1.0 (progress warmup last)) ** power + minimum
        before warmup (rising rate warmup) falling

    /// Warm-up, stable, decay (Hu et al. 2024, MiniCPM): up to `rate` in `warmup` steps (never 0), `rate` for `stable` steps,
    /// down to `minimum` in `decay` steps, where it stays.
    let stableDecay
        (cooldown: Cooldown)
        (rate: float)
        (minimum: float)
        (warmup: int64)
        (stable: int64)
        (decay: int64)
        : LearningRate =
        Schedulers.least "The warm-up" 0.0 (float warmup)
        Schedulers.least "The rate" 0.0 rate
        Schedulers.least "The stable part" 0.0 (float stable)
        Schedulers.least "The decay" 1.0 (float decay)
        let s = LearningRate.atMost 1.0 ((t - float (warmup + stable)) / float decay)
        let left =
            match cooldown with
            | Cooldown.Linear -> 1.0 - s
            | Cooldown.Cosine -> 0.5 * (1.0 + cos (Math.PI * s))
            | Cooldown.InverseRoot -> 1.0 - LearningRate.atLeast 0.0 s ** 0.5
        let falling = minimum + (rate - minimum) * left
        before warmup (rate * (t + 1.0) / float (warmup + 1L)) (before (warmup + stable) (number rate) falling)

    /// Noam (Vaswani et al. 2017): factor * width^-1/2 * min(s^-1/2, s * warmup^-3/2), s = t + 1.
    let noam (factor: float) (width: int) (warmup: int64) : LearningRate =
        Schedulers.least "The width" 1.0 (float width)
        Schedulers.least "The warm-up" 1.0 (float warmup)
        let s = t + 1.0
        let peak = factor / sqrt (float width)
        LearningRate.ifLess s (number (float warmup)) (peak * s * Math.Pow(float warmup, -1.5)) (peak * s ** -0.5)
