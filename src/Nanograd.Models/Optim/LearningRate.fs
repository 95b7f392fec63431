namespace Nanograd

open System

/// A number that changes while a model trains: a formula in the number of updates done. Written once, it is a number on
/// the host (`LearningRate.at`) and a scalar in a compiled step (`LearningRate.expression`). Rates add and multiply like
/// numbers, and `floor`, `cos` and `**` take them: `0.1 / (1.0 + LearningRate.step) ** 0.5`.
[<RequireQualifiedAccess; NoComparison>]
type LearningRate =
    /// The number of updates done.
    | Step
    /// Always the same.
    | Number of float
    /// The entry at the number of updates done; the last one afterwards.
    | Table of float[]
    | Sum of LearningRate * LearningRate
    | Difference of LearningRate * LearningRate
    | Product of LearningRate * LearningRate
    | Quotient of LearningRate * LearningRate
    | Power of LearningRate * LearningRate
    | RoundedDown of LearningRate
    | Cosine of LearningRate
    /// `yes` where `left` is less than `right`, else `no`.
    | IfLess of left: LearningRate * right: LearningRate * yes: LearningRate * no: LearningRate
    /// A formula that counts other steps than those done.
    | Of of formula: LearningRate * step: LearningRate

    static member (+)(a: LearningRate, b: LearningRate) = LearningRate.Sum(a, b)
    static member (+)(a: LearningRate, b: float) = LearningRate.Sum(a, LearningRate.Number b)
    static member (+)(a: float, b: LearningRate) = LearningRate.Sum(LearningRate.Number a, b)
    static member (-)(a: LearningRate, b: LearningRate) = LearningRate.Difference(a, b)
    static member (-)(a: LearningRate, b: float) = LearningRate.Difference(a, LearningRate.Number b)
    static member (-)(a: float, b: LearningRate) = LearningRate.Difference(LearningRate.Number a, b)
    static member (*)(a: LearningRate, b: LearningRate) = LearningRate.Product(a, b)
    static member (*)(a: LearningRate, b: float) = LearningRate.Product(a, LearningRate.Number b)
    static member (*)(a: float, b: LearningRate) = LearningRate.Product(LearningRate.Number a, b)
    static member (/)(a: LearningRate, b: LearningRate) = LearningRate.Quotient(a, b)
    static member (/)(a: LearningRate, b: float) = LearningRate.Quotient(a, LearningRate.Number b)
    static member (/)(a: float, b: LearningRate) = LearningRate.Quotient(LearningRate.Number a, b)
    static member Pow(a: LearningRate, b: LearningRate) = LearningRate.Power(a, b)
    static member Pow(a: LearningRate, b: float) = LearningRate.Power(a, LearningRate.Number b)
    static member Floor(a: LearningRate) = LearningRate.RoundedDown a
    static member Cos(a: LearningRate) = LearningRate.Cosine a

/// Rates as numbers and as expressions, and how larger ones are made of smaller ones.
[<RequireQualifiedAccess>]
module LearningRate =
    let rec private evaluate (step: float) (rate: LearningRate) : float =
        let value = evaluate step
        match rate with
        | LearningRate.Step -> step
        | LearningRate.Number x -> x
        | LearningRate.Table xs -> xs[int (max 0.0 (min (float (xs.Length - 1)) step))]
        | LearningRate.Sum(a, b) -> value a + value b
        | LearningRate.Difference(a, b) -> value a - value b
        | LearningRate.Product(a, b) -> value a * value b
        | LearningRate.Quotient(a, b) -> value a / value b
        | LearningRate.Power(a, b) -> Math.Pow(value a, value b)
        | LearningRate.RoundedDown a -> Math.Floor(value a)
        | LearningRate.Cosine a -> Math.Cos(value a)
        | LearningRate.IfLess(a, b, yes, no) -> if value a < value b then value yes else value no
        | LearningRate.Of(formula, other) -> evaluate (value other) formula

    let rec private compute (step: Tensor) (rate: LearningRate) : Tensor =
        let value = compute step
        match rate with
        | LearningRate.Step -> step
        | LearningRate.Number x -> scalarOf DType.F64 x
        | LearningRate.Table xs ->
            let index = cast DType.I32 (clamp 0.0 (float (xs.Length - 1)) step)
            take 0 index (ofArray DType.F64 [| xs.Length |] xs)
        | LearningRate.Sum(a, b) -> value a + value b
        | LearningRate.Difference(a, b) -> value a - value b
        | LearningRate.Product(a, b) -> value a * value b
        | LearningRate.Quotient(a, b) -> value a / value b
        | LearningRate.Power(a, b) -> pow (value a) (value b)
        | LearningRate.RoundedDown a -> floor (value a)
        | LearningRate.Cosine a -> cos (value a)
        | LearningRate.IfLess(a, b, yes, no) -> where (lt (value a) (value b)) (value yes) (value no)
        | LearningRate.Of(formula, other) -> compute (value other) formula

    /// The rate of the update after `step` updates.
    let at (rate: LearningRate) (step: int64) : float = evaluate (float step) rate

    /// The same as an expression of the number of updates done (an integer scalar): an f64 scalar, because an f32 one
    /// would lose the last digits of long schedules. Optimizers convert it to the type they compute with.
    let expression (rate: LearningRate) (step: Tensor) : Tensor = compute (cast DType.F64 step) rate

    /// The number of updates done.
    let step = LearningRate.Step

    /// Always the same.
    let constant (rate: float) : LearningRate =
        if not (rate >= 0.0) then raise (ArgumentException $"The rate must be at least 0, not {rate}.")
        LearningRate.Number rate

    /// `yes` where a < b, else `no`.
    let ifLess (a: LearningRate) (b: LearningRate) yes no : LearningRate = LearningRate.IfLess(a, b, yes, no)

    /// The smaller of a rate and a number.
    let atMost (bound: float) (rate: LearningRate) : LearningRate =
        ifLess (LearningRate.Number bound) rate (LearningRate.Number bound) rate

    /// The larger of a rate and a number.
    let atLeast (bound: float) (rate: LearningRate) : LearningRate =
        ifLess rate (LearningRate.Number bound) (LearningRate.Number bound) rate

    /// `before` in the first `count` updates, then `after`, which counts its own steps from 0.
    let andThen (count: int64) (after: LearningRate) (before: LearningRate) : LearningRate =
        let start = LearningRate.Number(float count)
        ifLess step start before (LearningRate.Of(after, step - start))

    /// Any function of the number of updates done, as a table of its first `count` values; afterwards the last one.
    let tabulate (count: int) (f: int -> float) : LearningRate =
        if count < 1 then raise (ArgumentException $"A table of rates needs at least one entry, not {count}.")
        LearningRate.Table(Array.init count f)
