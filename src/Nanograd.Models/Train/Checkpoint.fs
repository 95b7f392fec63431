namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.IO

/// All that a training run needs to go on: one value, one file.
[<Sealed>]
type Checkpoint
    (
        parameters: IReadOnlyDictionary<string, Tensor>,
        optimizer: IReadOnlyDictionary<string, Tensor>,
        step: int64,
        seed: int64,
        metadata: IReadOnlyDictionary<string, string>
    ) =
    static let fileName = "state.safetensors"
    static let format = "nanograd-training-state"

    static let withPrefix (prefix: string) (pairs: IReadOnlyDictionary<string, 'v>) (target: Dictionary<string, 'v>) =
        for pair in pairs do
            target[prefix + pair.Key] <- pair.Value

    static let underPrefix (prefix: string) (pairs: IReadOnlyDictionary<string, 'v>) : IReadOnlyDictionary<string, 'v> =
        let found = Dictionary<string, 'v>()
        for pair in pairs do
            if pair.Key.StartsWith(prefix, StringComparison.Ordinal) then
                found[pair.Key.Substring prefix.Length] <- pair.Value
        found

    /// The model's parameters by name.
    member _.Parameters = parameters
    /// The optimizer's state by name.
    member _.Optimizer = optimizer
    /// Updates done.
    member _.Step = step
    /// The seed of the run: with the step it gives the random keys and the place in the data.
    member _.Seed = seed
    /// Whatever else the run wants to remember.
    member _.Metadata = metadata

    /// Where a folder's checkpoint is.
    static member PathIn(folder: string) : string = Path.Combine(folder, fileName)

    /// True when the folder has a checkpoint.
    static member Exists(folder: string) : bool = File.Exists(Checkpoint.PathIn folder)

    /// Writes everything into one file, atomically: a process killed at any moment leaves either the last checkpoint
    /// or this one.
    member _.Save(folder: string) : unit =
        let tensors = Dictionary<string, Tensor>()
        withPrefix "model." parameters tensors
        withPrefix "optimizer." optimizer tensors
        let texts = Dictionary<string, string>()
        texts["format"] <- format
        texts["version"] <- "1"
        texts["step"] <- step.ToString CultureInfo.InvariantCulture
        texts["seed"] <- seed.ToString CultureInfo.InvariantCulture
        withPrefix "run." metadata texts
        Safetensors.save (Checkpoint.PathIn folder) texts tensors

    /// Reads a folder's checkpoint; a missing, damaged or foreign one is an error that says so.
    static member Load(folder: string) : Checkpoint =
        let path = Checkpoint.PathIn folder
        let bad (what: string) : 'a = raise (InvalidDataException $"{path}: {what}.")
        if File.Exists folder then raise (InvalidDataException $"{folder} is a file, not a folder.")
        if not (Directory.Exists folder) then raise (DirectoryNotFoundException $"There is no folder {folder}.")
        if not (File.Exists path) then
            raise (FileNotFoundException $"{folder} has no training state to resume (no {fileName}).")
        let struct (tensors, texts) = Safetensors.loadAll path
        let text name =
            match texts.TryGetValue name with
            | true, value -> value
            | _ -> bad $"is not a training state (its metadata has no '{name}')"
        if text "format" <> format then bad "is not a training state of Nanograd"
        if text "version" <> "1" then bad "its version is not 1, so a newer Nanograd wrote it"
        let number name =
            match Int64.TryParse(text name, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture) with
            | true, n -> n
            | _ -> bad $"its '{name}' is not a whole number"
        Checkpoint(
            underPrefix "model." tensors,
            underPrefix "optimizer." tensors,
            number "step",
            number "seed",
            underPrefix "run." texts
        )

/// Checkpoints of the state of `Train`.
[<RequireQualifiedAccess>]
module TrainState =
    /// The state of a run as a checkpoint. `named` gives the parameters their names (such as `Gpt.named` or
    /// `Tree.named`).
    let checkpoint named (o: TrainOptions) metadata (state: TrainState<'P>) : Checkpoint =
        let pairs (xs: seq<string * Tensor>) = Dictionary(dict xs) :> IReadOnlyDictionary<_, _>
        let parameters = named state.Parameters
        let slots = Optimizer.named o.Optimizer (Array.map fst parameters) state.Slots
        Checkpoint(pairs parameters, pairs slots, int64 (item state.Step), o.Seed, metadata)

    /// The state that a checkpoint holds, for a model like `template` (its values do not matter).
    let restore (named: 'P -> (string * Tensor)[]) (o: TrainOptions) (template: 'P) (c: Checkpoint) : TrainState<'P> =
        let names = named template
        let find (what: string) (tensors: IReadOnlyDictionary<string, Tensor>) (name: string, t: Tensor) =
            match tensors.TryGetValue name with
            | true, value when value.Shape = t.Shape && value.DType = t.DType -> value
            | true, value ->
                raise (
                    InvalidDataException $"The {what} '{name}' is {Shape.describe value} there, not {Shape.describe t}."
                )
            | _ -> raise (InvalidDataException $"The checkpoint has no {what} '{name}'.")
        let slots = Optim.init o.Optimizer template
        let slotNames = Optimizer.named o.Optimizer (Array.map fst names) slots
        { Parameters = Tree.rebuild template (names |> Array.map (find "parameter" c.Parameters))
          Slots = Tree.rebuild slots (slotNames |> Array.map (find "optimizer state" c.Optimizer))
          Step = ofArray DType.I32 [||] [| int32 c.Step |] }
