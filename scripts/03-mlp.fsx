// A small network learns two moons: a model is a record, a training step is one compiled program.
// Run with: dotnet fsi scripts/03-mlp.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open System
open Nanograd

// ---- data: two half circles that hold each other, with noise, as a function of a key

/// `count` points `[count; 2]` and their classes, i32 `[count]`: the upper moon is 0, the lower 1.
let moons key count =
    let part = Random.fold key
    let angle = Random.uniform (part 0) [| count |] * Math.PI
    let isLower = Random.bernoulli (scalar 0.5) (part 1) [| count |]
    let x = where isLower (1 - cos angle) (cos angle)
    let y = where isLower (0.5 - sin angle) (sin angle)
    stack 1 [ x; y ] + Random.normal (part 2) [| count; 2 |] * 0.1, cast DType.I32 isLower

// ---- the model: parameters are a record, the network is a function of them

type Mlp = { Hidden: Linear; Middle: Linear; Out: Linear }

let apply (p: Mlp) x = x |> Linear.apply p.Hidden |> gelu |> Linear.apply p.Middle |> gelu |> Linear.apply p.Out

let init key =
    let layer n inputs outputs = Linear.init (Random.fold key n) inputs outputs true
    { Hidden = layer 0 2 64; Middle = layer 1 64 64; Out = layer 2 64 2 }

let loss (p: Mlp) (x, classes) = Loss.crossEntropy (apply p x) classes

// ---- training

/// What a step changes: parameters, the optimizer's state, and the count of steps.
type State = { Model: Mlp; Moments: OptimizerState; Step: Tensor }

let optimizer = Optim.adamW { Optim.adamWDefaults with Decays = Choose.matrices }
let key = Random.key 1337L

/// Batch, loss, gradient and update in one program. The state is donated: the program writes the new one into the
/// memory of the old. The batch is drawn inside, from a key that depends on the step.
let step =
    jitDonate (fun state key ->
        let value, gradient = valueAndGrad (fun p -> loss p (moons (Random.foldIn key state.Step) 256)) state.Model
        let context = UpdateContext.Of(state.Step, scalar 1e-2)
        let model, moments = Optim.update optimizer context gradient state.Moments state.Model
        { Model = model; Moments = moments; Step = state.Step + 1 }, value)

let start =
    let model = init (Random.fold key 0)
    Values.own
        { Model = model
          Moments = Optim.init optimizer model
          Step = arange DType.I32 1 |> squeeze 0 }

let batches = eval (Random.fold key 1)
let mutable state = start

printfn "%d parameters" (Tree.count start.Model)
for i in 0..400 do
    let next, value = step state batches
    state <- next
    if i % 50 = 0 then printfn "step %3d: loss %.4f" i (item value)

// ---- the result, on points that it has not seen

let points, classes = moons (Random.fold key 2) 2000 |> eval
let isRight = eq (argMax 1 (apply state.Model points)) classes
let accuracy = item (mean (cast DType.F32 isRight))
printfn "accuracy on 2000 new points: %.1f %%" (accuracy * 100.0)

/// The plane as the model sees it: o and x are its classes.
let rows, columns = 16, 56
let grid =
    [ for r in rows - 1 .. -1 .. 0 do
          for c in 0 .. columns - 1 -> [ float c / float columns * 4.0 - 1.5; float r / float rows * 2.6 - 1.0 ] ]
let seen = toArray<int64>(argMax 1 (apply state.Model (matrix grid)))
for r in 0 .. rows - 1 do
    printfn "%s" (String(Array.init columns (fun c -> if seen[r * columns + c] = 0L then 'o' else '.')))

if accuracy < 0.98 then failwith $"only {accuracy:P1} of the points are classified rightly"
