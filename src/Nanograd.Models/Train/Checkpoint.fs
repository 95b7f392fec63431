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

/// States of training as named tensors.
[<RequireQualifiedAccess>]
module internal TrainTensors =
    let private pairs (items: (string * Tensor)[]) = Dictionary(dict items) :> IReadOnlyDictionary<_, _>

    let private under (prefix: string) (items: (string * Tensor)[]) =
        items |> Array.map (fun (name, t) -> prefix + name, t)

    /// Everything but the parameters: the optimizer's slots by name, and the rest.
    let private others named (optimizer: Optimizer) (state: TrainState<'P, 'S>) =
        Array.concat
            [ Optimizer.named optimizer (Array.map fst (named state.Parameters)) state.Slots
              under "state." (StateDict.named state.Model)
              under "scale." (Tree.named state.Scale)
              under "curvature." (Tree.named state.Curvature)
              [| "step", state.Step; "updates", state.Updates |] ]

    /// The state as a checkpoint.
    let save named (o: TrainOptions) metadata (state: TrainState<'P, 'S>) : Checkpoint =
        let rest = others named (TrainStep.optimizer o) state
        Checkpoint(pairs (named state.Parameters), pairs rest, int64 (item state.Step), o.Seed, metadata)

    let private find (what: string) (tensors: IReadOnlyDictionary<string, Tensor>) (name: string, t: Tensor) =
        match tensors.TryGetValue name with
        | true, value when value.Shape = t.Shape && value.DType = t.DType -> value
        | true, value ->
            raise (InvalidDataException $"The {what} '{name}' is {Shape.describe value} there, not {Shape.describe t}.")
        | _ -> raise (InvalidDataException $"The checkpoint has no {what} '{name}'.")

    /// What L-BFGS remembers has as many tensors as it has made steps.
    let private curvature (tensors: IReadOnlyDictionary<string, Tensor>) : LbfgsState =
        let all (field: string) =
            Seq.initInfinite (fun i -> $"curvature.{field}.{i}")
            |> Seq.takeWhile tensors.ContainsKey
            |> Seq.map (fun name -> tensors[name])
            |> Seq.toArray
        let one field = find "optimizer state" tensors ($"curvature.{field}", Lbfgs.start.Length)
        { GradientChanges = all "GradientChanges"
          Steps = all "Steps"
          Direction = all "Direction"
          Gradient = all "Gradient"
          Length = one "Length"
          Scale = one "Scale" }

    /// The state that a checkpoint holds, for a run that would begin with `start` (whose values do not matter).
    let restore
        (named: 'P -> (string * Tensor)[])
        (o: TrainOptions)
        (start: TrainState<'P, 'S>)
        (c: Checkpoint)
        : TrainState<'P, 'S> =
        let optimizer = TrainStep.optimizer o
        let names = named start.Parameters
        let slots = Optimizer.named optimizer (Array.map fst names) start.Slots
        let kept = find "optimizer state" c.Optimizer
        let rebuild prefix (items: (string * Tensor)[]) (tree: 'T) : 'T =
            Tree.rebuild tree (under prefix items |> Array.map kept)
        { Parameters = Tree.rebuild start.Parameters (names |> Array.map (find "parameter" c.Parameters))
          Slots = rebuild "" slots start.Slots
          Model = rebuild "state." (StateDict.named start.Model) start.Model
          Scale = rebuild "scale." (Tree.named start.Scale) start.Scale
          Curvature = start.Curvature |> Option.map (fun _ -> curvature c.Optimizer)
          Step = kept ("step", start.Step)
          Updates = kept ("updates", start.Updates) }
