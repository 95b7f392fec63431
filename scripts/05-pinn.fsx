// A network learns the solution of a differential equation from the equation alone (M. Raissi, P. Perdikaris and
// G. Karniadakis, "Physics-informed neural networks", 2019): derivatives by its arguments, inside the gradient by its
// parameters, inside one compiled step.
// Run with: dotnet fsi scripts/05-pinn.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open System
open System.Diagnostics
open Nanograd

let clock = Stopwatch.StartNew()

// ---- the equation: Burgers', u_t + u u_x = ν u_xx, on -1 <= x <= 1, 0 <= t <= 1

let viscosity = 0.05

/// A front that travels to the right: an exact solution, for reference, start and ends.
let exact (x: Tensor) (t: Tensor) = 0.5 - 0.5 * tanh ((x - 0.5 * t) / (4.0 * viscosity))

// ---- the network: a function of two numbers, written for one point

type Network = { Hidden: Linear list; Out: Linear }

let u (p: Network) (x: Tensor) (t: Tensor) =
    let apply h layer = tanh (Linear.apply layer h)
    p.Hidden |> List.fold apply (stack 0 [ x; t ]) |> Linear.apply p.Out |> squeeze 0

/// What is left of the equation at a point: each derivative is the derivative of a function of one number.
let residual p (x, t) =
    let ut = derivative 1 (fun t -> u p x t) t
    let ux = derivative 1 (fun x -> u p x t) x
    let uxx = derivative 2 (fun x -> u p x t) x
    ut + u p x t * ux - viscosity * uxx

/// The equation inside, and the known values at the start and at both ends: vmap takes what is written for one point to
/// all of them.
let loss p key =
    let draw n count low high = Random.uniform (Random.fold key n) [| count |] * (high - low) + low
    let inside = draw 0 256 -1.0 1.0, draw 1 256 0.0 1.0
    let start = draw 2 64 -1.0 1.0, zeros [| 64 |]
    let ends = concat 0 [ full DType.F32 [| 32 |] -1.0; ones [| 32 |] ], draw 3 64 0.0 1.0
    let known (x, t) = u p x t - exact x t
    let size f points = mean (square (vmap f points))
    size (residual p) inside + 10.0 * (size known start + size known ends)

// ---- training

type State = { Model: Network; Moments: OptimizerState; Step: Tensor }

let steps = 1500L
let optimizer = Optim.adamW { Optim.adamWDefaults with WeightDecay = 0.0 }
let rate = Warmup.nanoGpt 5e-3 1e-5 50L steps

let step =
    jitDonate (fun state key ->
        let value, gradient = valueAndGrad (fun p -> loss p (Random.foldIn key state.Step)) state.Model
        let context = UpdateContext.Of(state.Step, LearningRate.expression rate state.Step)
        let model, moments = Optim.update optimizer context gradient state.Moments state.Model
        { Model = model; Moments = moments; Step = state.Step + 1 }, value)

let key = Random.key 7L
let start =
    let layer n inputs outputs = Linear.init (Random.fold key n) inputs outputs true
    let model = { Hidden = [ layer 0 2 24; layer 1 24 24 ]; Out = layer 2 24 1 }
    Values.own
        { Model = model
          Moments = Optim.init optimizer model
          Step = arange DType.I32 1 |> squeeze 0 }

let batches = eval (Random.fold key 9)
let mutable state = start
printfn "%d parameters" (Tree.count start.Model)
for i in 0L .. steps do
    let next, value = step state batches
    state <- next
    if i % 250L = 0L then printfn "step %4d: loss %s" i ((item value).ToString "0.0e-0")

// ---- the result, on a grid that it has not seen

let columns, rows = 101, 21
let xs = arange DType.F32 columns * (2.0 / float (columns - 1)) - 1.0
let ts = arange DType.F32 rows * (1.0 / float (rows - 1))
let onGrid f = vmap (fun t -> vmap (fun x -> f x t) xs) ts
let learned, truth = eval (onGrid (u state.Model), onGrid exact)
let error = item (sqrt (sum (square (learned - truth)) / sum (square truth)))
printfn "relative error on %d x %d points: %.2f %%; %.1f s" columns rows (100.0 * error) clock.Elapsed.TotalSeconds

let values = toArray<float32> learned
for r in 0..4 .. rows - 1 do
    let shade c = " .:-=+*#%@"[int (Math.Clamp(values[r * columns + c], 0f, 0.999f) * 10f)]
    printfn "t = %.1f |%s|" (float r / float (rows - 1)) (String(Array.init (columns / 2) (fun c -> shade (2 * c))))

if error > 0.02 then failwith $"the solution is off by {error:P1}"
