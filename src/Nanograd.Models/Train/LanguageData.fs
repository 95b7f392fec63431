namespace Nanograd

open System
open System.IO

/// Rows of tokens and, for each place, the token that follows.
[<Sealed>]
type LanguageBatch(rows: int, context: int, inputs: int[], targets: int[]) =
    let values (tokens: int[]) = ofArray DType.I32 [| rows; context |] tokens

    /// The number of rows.
    member _.Rows = rows
    /// Tokens in a row.
    member _.Context = context
    /// The tokens, row-major `[Rows; Context]`.
    member _.Inputs = inputs
    /// The tokens that follow each of them, row-major `[Rows; Context]`.
    member _.Targets = targets
    /// The tokens as a value, i32 `[Rows; Context]`.
    member _.InputTensor: Tensor = values inputs
    /// The targets as a value, i32 `[Rows; Context]`.
    member _.TargetTensor: Tensor = values targets

/// A text as tokens for language modelling: the first nine tenths train, the last tenth validates.
[<Sealed>]
type LanguageData(tokens: int[], context: int) =
    let training = int (int64 tokens.Length * 9L / 10L)
    let validation = tokens.Length - training

    do
        if context < 1 then raise (ArgumentException $"The context must be at least 1, not {context}.")
        if validation < context + 1 then
            raise (
                InvalidDataException
                    $"The text is too short: its last tenth has {validation} tokens, the context needs {context + 1}."
            )

    let windows = (validation - 1) / context

    /// Rows that start at the given places of the text.
    let rows (starts: int64[]) =
        let inputs: int[] = Array.zeroCreate (starts.Length * context)
        let targets: int[] = Array.zeroCreate (starts.Length * context)
        starts
        |> Array.iteri (fun row start ->
            Array.blit tokens (int start) inputs (row * context) context
            Array.blit tokens (int start + 1) targets (row * context) context)
        LanguageBatch(starts.Length, context, inputs, targets)

    /// Tokens in a row.
    member _.Context = context
    /// Tokens to train on.
    member _.TrainingTokens = training
    /// Tokens to validate on.
    member _.ValidationTokens = validation
    /// Whole windows of `Context` targets in the validation part; what is left over is not used.
    member _.ValidationWindows = windows

    /// The batch of a step: rows at random places of the training part, a pure function of seed and step.
    member _.Batch(count: int, seed: int64, step: int64) : LanguageBatch =
        if count < 1 then raise (ArgumentException $"The batch must have at least 1 row, not {count}.")
        let places = int64 (training - context)
        let key = Counter.key seed Counter.batches step
        rows (Array.init count (Counter.below places key))

    /// Every validation window once, in order, `count` at a time; the last batch has what is left.
    member _.Validation(count: int) : seq<LanguageBatch> =
        if count < 1 then raise (ArgumentException $"The batch must have at least 1 row, not {count}.")
        seq { 0 .. windows - 1 }
        |> Seq.chunkBySize count
        |> Seq.map (Array.map (fun w -> int64 training + int64 w * int64 context) >> rows)

    /// The mean of a loss over all validation windows, each batch weighted by its rows.
    member d.MeanLoss(count: int, loss: Func<LanguageBatch, float>) : float =
        d.Validation count |> Seq.sumBy (fun b -> loss.Invoke b * float b.Rows) |> fun total -> total / float windows
