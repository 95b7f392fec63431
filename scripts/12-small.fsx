// What helps when there is little to learn from: 200 digits for a net of four hidden layers.
// Measured on the other 1597, means of five splits: plain 88.7 %, batch normalisation 91.7 %, dropout 90.9 %, mixup (H. Zhang
// et al., 2018) 91.4 %, all three 93.1 %. 9 s on two cores.
// Run with: dotnet fsi scripts/12-small.fsx   (after dotnet build -c Release; it reads ../shared/data/digits.csv)
#load "nanograd.fsx"

open System.IO
open Nanograd

let file = Path.Combine(__SOURCE_DIRECTORY__, "..", "..", "shared", "data", "digits.csv")
if not (File.Exists file) then
    printfn "%s is not there: nothing to learn from." file
    exit 0
let table = File.ReadAllLines file |> Array.skip 1 |> Array.map (fun line -> line.Split ',' |> Array.map float32)
let digits (rows: int[]) =
    let pixels = rows |> Array.collect (fun i -> table[i][..63] |> Array.map (fun x -> x / 16f))
    let classes = rows |> Array.map (fun i -> int table[i].[64])
    ofArray DType.F32 [| rows.Length; 64 |] pixels, ofArray DType.I32 [| rows.Length |] classes
let shuffled (seed: int) (rows: int[]) =
    let order = toArray<int64>(cast DType.I64 (Random.permutation rows.Length (Random.key (int64 seed))))
    order |> Array.map (fun i -> rows[int i])
/// 200 images to train, in batches of 20, and the others to test.
let split seed =
    let training, test = Array.splitAt 200 (shuffled seed [| 0 .. table.Length - 1 |])
    (fun epoch -> shuffled (1000 * seed + epoch) training |> Seq.chunkBySize 20 |> Seq.map digits), [ digits test ]
type Net = { Layers: (Linear * ChannelNorm) list; Out: Linear }
type Habits = { BatchNorm: bool; Dropout: float; Mixup: bool }

let depth, width = 4, 128
let init key =
    let dense n inputs outputs = Linear.init (Random.fold key n) inputs outputs true
    let layer n = dense n (if n = 0 then 64 else width) width, BatchNorm.init width
    { Layers = List.init depth layer; Out = dense 99 width 10 }

/// Logits, and the layers' running statistics after the batch. There is a key in training.
let apply habits (p: Net) (statistics: BatchNormState list) key x =
    let norm scale state y =
        match key with
        | _ when not habits.BatchNorm -> y, state
        | None -> BatchNorm1d.evaluate BatchNormOptions.Default scale state y, state
        | Some _ -> BatchNorm1d.train BatchNormOptions.Default scale (Some state) y |> fun (y, next) -> y, next.Value
    let step (x, later) (n, ((dense, scale), state)) =
        let y, next = Linear.apply dense x |> norm scale state
        Dropout.maybe habits.Dropout key n (relu y), later @ [ next ]
    let x, later = List.zip p.Layers statistics |> List.indexed |> List.fold step (x, [])
    Linear.apply p.Out x, later

let objective habits =
    let plain = Objective.ofModel [ Metric.accuracy ] Loss.crossEntropy (apply habits)
    /// Each image is mixed with another one, and so are their losses.
    let mixed p s (key: Tensor option) (x: Tensor, y: Tensor) =
        match key with
        | Some k when habits.Mixup ->
            let share, order = Random.uniform (Random.fold k 50) [||], Random.permutation x.Shape[0] (Random.fold k 51)
            let logits, state = apply habits p s key (x * share + take 0 order x * (1.0 - share))
            let loss = share * Loss.crossEntropy logits y + (1.0 - share) * Loss.crossEntropy logits (take 0 order y)
            { Loss = loss; State = state; Measured = [| Metric.accuracy.Sums logits y |] }
        | _ -> plain.Run p s key (x, y)
    { plain with Run = mixed }

/// The mean accuracy of five splits in percent.
let accuracy name habits =
    let train seed =
        let training, test = split seed
        let options = { Train.defaults with Epochs = 60; Seed = int64 seed; Validate = Due.Epochs 60 }
        let statistics = List.replicate depth (BatchNorm.state width)
        let result = Train.fitModel options (objective habits) training test (init (Random.key (int64 seed))) statistics
        100.0 * Array.last result.History["val_accuracy"]
    let mean = List.averageBy train [ 1..5 ]
    printfn "%-20s %.1f %%" name mean
    mean

let plain = accuracy "plain" { BatchNorm = false; Dropout = 0.0; Mixup = false }
let norm = accuracy "batch normalisation" { BatchNorm = true; Dropout = 0.0; Mixup = false }
let drop = accuracy "dropout" { BatchNorm = false; Dropout = 0.3; Mixup = false }
let mix = accuracy "mixup" { BatchNorm = false; Dropout = 0.0; Mixup = true }
let all = accuracy "all three" { BatchNorm = true; Dropout = 0.3; Mixup = true }
if List.min [ norm; drop; mix ] < plain + 1.0 || all < norm then failwith "it should have helped"
