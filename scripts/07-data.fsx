// From files to batches: tables, images, augmentation, loaders whose batches do not depend on the number of workers.
// Run with: dotnet fsi scripts/07-data.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open System
open System.IO
open Nanograd

let folder = Directory.CreateTempSubdirectory("nanograd-data-").FullName
let file name = Path.Combine(folder, name)

// ---- images: discs and squares somewhere on a small field, written as PNG, a folder for each class

let side = 16

/// Picture number i: an even one has a disc, an odd one a square.
let picture i =
    let draw = Counter.uniform (Counter.key 1L 100u (int64 i))
    let x, y, radius = 4.0 + 8.0 * draw 0, 4.0 + 8.0 * draw 1, 2.5 + 1.5 * draw 2
    let isInside row column =
        let dx, dy = abs (float column - x), abs (float row - y)
        if i % 2 = 0 then dx * dx + dy * dy <= radius * radius else max dx dy <= radius * 0.886 // of equal area
    ofArray
        DType.U8
        [| 1; side; side |]
        (Array.init (side * side) (fun k -> if isInside (k / side) (k % side) then 255uy else 30uy))

for i in 0..399 do
    ImageFile.write (file $"""shapes/{if i % 2 = 0 then "disc" else "square"}/{i:D3}.png""") (picture i)

let shapes = ImageFolder.dataset ImageMode.Gray (file "shapes") |> Dataset.cache
printfn "classes %A: %s" (ImageFolder.classes (file "shapes")) (Dataset.report shapes)

// ---- splitting, augmenting, loading

let parts = Dataset.randomSplit 7L [ 0.75; 0.25 ] shapes
let training, validation = parts[0], parts[1]

let augmentation =
    Image.compose
        [ Image.toTensor
          Image.randomCrop [| side |] 2
          Image.randomHorizontalFlip 0.5
          Image.normalize [ 0.3 ] [ 0.4 ] ]
let plain = Image.compose [ Image.toTensor; Image.normalize [ 0.3 ] [ 0.4 ] ]

let loader workers =
    training
    |> Dataset.augment (Image.first augmentation)
    |> DataLoader.create
        { DataLoader.defaults with
            BatchSize = 30
            Shuffle = true
            Seed = 3L
            Workers = workers }

/// What an epoch holds, as two numbers per batch.
let sums workers epoch = [ for x: Tensor, y: Tensor in (loader workers).Epoch epoch -> item (sum x), item (sum y) ]

printfn "an epoch is %d batches" (loader 2).Count
if sums 0 5 <> sums 2 5 then failwith "the number of workers changed a batch"
if sums 0 5 = sums 0 6 then failwith "two epochs are alike"

// ---- a network of composed layers learns from it

let net =
    Layer.conv2d { ConvOptions.Default with Padding = Padding.By [| 1 |] } 1 8 [| 3; 3 |]
    >-> relu
    >-> maxPool (PoolOptions.Of [| 2; 2 |])
    >-> Layer.conv2d { ConvOptions.Default with Padding = Padding.By [| 1 |] } 8 16 [| 3; 3 |]
    >-> relu
    >-> amax [ 2; 3 ]
    >-> Layer.linear 16 2

let evaluation =
    validation
    |> Dataset.map (fun (x, y) -> Image.run 0L plain x, y)
    |> DataLoader.create { DataLoader.defaults with BatchSize = validation.Length }
let x, y = evaluation.Epoch 0 |> Seq.head

let objective = Objective.ofLoss (fun p key (x, y) -> Loss.crossEntropy (net.Apply key p x) y)
let options =
    { Train.defaults with
        Epochs = 30
        Rate = LearningRate.constant 5e-3
        Validate = Due.Epochs 30 }
let trained = Train.fit options objective (loader 2).Epoch (evaluation.Epoch 0) (Layer.init (Random.key 1L) net)
let parameters = trained.Parameters

let accuracy = item (mean (cast DType.F32 (eq (argMax 1 (Layer.apply net parameters x)) y)))
printfn "right on %d new pictures: %.1f %%" validation.Length (accuracy * 100.0)

// ---- tables and arrays

Csv.write
    Csv.defaults
    (file "points.csv")
    [ "x"; "y"; "class" ]
    (stack 1 [ tensor [ 1.; 2.; 3. ]; tensor [ 4.; 5.; 6. ]; tensor [ 0.; 1.; 0. ] ])
File.AppendAllText(file "points.csv", "7,,1\n")
let features, classes = Csv.load Csv.defaults Missing.Drop "class" (file "points.csv")
printfn "%O\n%O" features classes
try
    Csv.load Csv.defaults Missing.Fail "class" (file "points.csv") |> ignore
with :? InvalidDataException as e ->
    printfn "%s" (e.Message.Replace(folder, "")) // the file, the line, the column

Npy.write (file "features.npy") features
if toArray<float32>(Npy.read (file "features.npy")) <> toArray<float32> features then failwith "NPY lost something"
Directory.Delete(folder, true)
if accuracy < 0.95 then failwith $"only {accuracy:P1} of the pictures are classified rightly"
