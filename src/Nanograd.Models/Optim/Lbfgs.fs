namespace Nanograd

open System

/// Options of L-BFGS; the defaults are PyTorch's.
type LbfgsOptions =
    {
        Rate: float
        /// Iterations in one call of `step`.
        Iterations: int
        /// Evaluations of the loss in one call, about.
        Evaluations: int
        /// The largest element of a gradient that counts as zero.
        GradientTolerance: float
        /// The least change of parameters or loss.
        ChangeTolerance: float
        /// How many pairs of steps and gradient changes are remembered.
        History: int
        /// A line search for the strong Wolfe conditions instead of steps of the given rate.
        StrongWolfe: bool
    }

/// What L-BFGS remembers between calls: a tree of tensors, all vectors of all parameters one after the other.
[<NoComparison>]
type LbfgsState =
    {
        /// Changes of the gradient, and the steps that made them, the oldest first.
        GradientChanges: Tensor[]
        Steps: Tensor[]
        /// Direction, step length and gradient of the last iteration; empty before the first.
        Direction: Tensor[]
        Length: Tensor
        Gradient: Tensor[]
        /// The scale of the first guess of the inverse Hessian.
        Scale: Tensor
    }

/// L-BFGS (Nocedal 1980; Liu and Nocedal 1989), as PyTorch's. It evaluates the loss as often as it needs, so it runs on
/// the host and calls compiled functions.
[<RequireQualifiedAccess>]
module Lbfgs =
    /// PyTorch's defaults.
    let defaults =
        { Rate = 1.0
          Iterations = 20
          Evaluations = 25
          GradientTolerance = 1e-7
          ChangeTolerance = 1e-9
          History = 100
          StrongWolfe = false }

    let private single (x: float) = ofArray DType.F64 [||] [| x |]

    /// Before the first call.
    let start: LbfgsState =
        { GradientChanges = [||]
          Steps = [||]
          Direction = [||]
          Length = single 1.0
          Gradient = [||]
          Scale = single 1.0 }

    // Vectors: compiled once for each length, the numbers are arguments.
    let private number (like: Tensor) (x: float) = tensorOf like.DType [ x ]
    let private dotOf = jit2 (fun (x: Tensor) (y: Tensor) -> sum (x * y))
    let private addOf = jit (fun (x: Tensor, a: Tensor, y: Tensor) -> x + y * a)
    let private scaleOf = jit2 (fun (x: Tensor) (a: Tensor) -> x * a)
    let private largestOf = jit (fun (x: Tensor) -> amax [| 0 |] (abs x))
    let private lengthOf = jit (fun (x: Tensor) -> sum (abs x))
    let private dot x y = item (dotOf x y)
    let private add (x: Tensor) (a: float) (y: Tensor) = addOf (x, number x a, y)
    let private scale (x: Tensor) (a: float) = scaleOf x (number x a)
    let private largest x = item (largestOf x)

    /// A point on the line that is searched: how far it is, the loss, the gradient, and its slope along the line.
    [<Struct; NoComparison; NoEquality>]
    type private Point = { At: float; Loss: float; Gradient: Tensor; Slope: float }

    /// The minimum between bounds of the cubic through two points with their slopes (Nocedal and Wright, equation 3.59).
    let private cubic (a: Point) (b: Point) (low: float, high: float) : float =
        let d1 = a.Slope + b.Slope - 3.0 * (a.Loss - b.Loss) / (a.At - b.At)
        let square = d1 * d1 - a.Slope * b.Slope
        if square >= 0.0 then
            let d2 = sqrt square
            let place =
                if a.At <= b.At then
                    b.At - (b.At - a.At) * ((b.Slope + d2 - d1) / (b.Slope - a.Slope + 2.0 * d2))
                else
                    a.At - (a.At - b.At) * ((a.Slope + d2 - d1) / (a.Slope - b.Slope + 2.0 * d2))
            min (max place low) high
        else
            (low + high) / 2.0

    // The constants of the strong Wolfe conditions, and the most points that one search looks at.
    let private armijo = 1e-4
    let private curvature = 0.9
    let private searches = 25

    let private rises (origin: Point) (p: Point) = p.Loss > origin.Loss + armijo * p.At * origin.Slope
    let private isFlat (origin: Point) (p: Point) = abs p.Slope <= -curvature * origin.Slope

    /// Steps outwards until a bracket holds a point that satisfies the conditions: the bracket, whether its first point
    /// does, and how many searches were done.
    let private bracket (evaluate: float -> Point) (origin: Point) (first: float) : Point * Point * bool * int =
        let rec outwards (before: Point) (p: Point) count =
            if count >= searches then
                origin, p, false, count
            elif rises origin p || (count > 1 && p.Loss >= before.Loss) then
                before, p, false, count
            elif isFlat origin p then
                p, p, true, count
            elif p.Slope >= 0.0 then
                before, p, false, count
            else
                let next = cubic before p (p.At + 0.01 * (p.At - before.At), p.At * 10.0)
                outwards p (evaluate next) (count + 1)
        outwards origin (evaluate first) 0

    /// Inwards until a point satisfies the conditions; the lower end of the bracket is the answer.
    let private zoom
        (evaluate: float -> Point)
        (origin: Point)
        (size: float)
        tolerance
        (a: Point)
        (b: Point)
        count
        : Point =
        // A trial too near an end, for the second time or outside, is moved a tenth of the bracket inwards.
        let trial (a: Point) (b: Point) (stuck: bool) =
            let least, most = min a.At b.At, max a.At b.At
            let t = cubic a b (least, most)
            let margin = 0.1 * (most - least)
            if min (most - t) (t - least) >= margin then
                t, false
            elif stuck || t >= most || t <= least then
                (if abs (t - most) < abs (t - least) then most - margin else least + margin), false
            else
                t, true
        // The bracket keeps its order, because the cubic rounds differently the other way round.
        let rec inwards (a: Point) (b: Point) (firstIsLow: bool) stuck count : Point =
            let low, high = if firstIsLow then a, b else b, a
            if count >= searches || abs (b.At - a.At) * size < tolerance then
                low
            else
                let t, stuck = trial a b stuck
                let p = evaluate t
                if rises origin p || p.Loss >= low.Loss then
                    let a, b = if firstIsLow then a, p else p, b
                    inwards a b (a.Loss <= b.Loss) stuck (count + 1)
                elif isFlat origin p then
                    p
                else
                    let high = if p.Slope * (high.At - low.At) >= 0.0 then low else high
                    let a, b = if firstIsLow then p, high else high, p
                    inwards a b firstIsLow stuck (count + 1)
        inwards a b (a.Loss <= b.Loss) false count

    /// A step length with the strong Wolfe conditions: enough less loss, and a slope of less than 0.9 of that at the start.
    let private strongWolfe (evaluate: float -> Point) (origin: Point) (first: float) (size: float) tolerance : Point =
        match bracket evaluate origin first with
        | p, _, true, _ -> p
        | a, b, _, count -> zoom evaluate origin size tolerance a b count

    /// The inverse Hessian times -g, by the two-loop recursion over the remembered pairs.
    let private direction (state: LbfgsState) (g: Tensor) : Tensor =
        let pairs = Array.zip state.GradientChanges state.Steps
        let mutable q = scale g -1.0
        let parts =
            [| for y, s in Array.rev pairs do
                   let rho = 1.0 / dot y s
                   let a = dot s q * rho
                   q <- add q -a y
                   a, rho |]
        let mutable r = scale q (item state.Scale)
        for (y, s), (a, rho) in Array.zip pairs (Array.rev parts) do
            r <- add r (a - dot y r * rho) s
        r

    /// The state with the pair that the last iteration made, if it curves upwards.
    let private remember (options: LbfgsOptions) (state: LbfgsState) (g: Tensor) : LbfgsState =
        let y = add g -1.0 state.Gradient[0]
        let s = scale state.Direction[0] (item state.Length)
        let ys = dot y s
        if ys <= 1e-10 then
            state
        else
            let push (items: Tensor[]) item =
                Array.append (if items.Length = options.History then items[1..] else items) [| item |]
            { state with
                GradientChanges = push state.GradientChanges y
                Steps = push state.Steps s
                Scale = single (ys / dot y y) }

    let private check (o: LbfgsOptions) =
        Optimizer.atLeast "The rate" 0.0 o.Rate
        Optimizer.atLeast "The number of iterations" 1.0 (float o.Iterations)
        Optimizer.atLeast "The number of evaluations" 1.0 (float o.Evaluations)
        Optimizer.atLeast "The history" 1.0 (float o.History)

    /// PyTorch's `step(closure)`: up to `Iterations` iterations. `valueAndGradient` gives loss and gradient of parameters (a
    /// compiled function). Returns the loss before, the new parameters and the new state.
    let step
        (options: LbfgsOptions)
        (valueAndGradient: 'P -> Tensor * 'P)
        (state: LbfgsState)
        (parameters: 'P)
        : float * 'P * LbfgsState =
        check options
        let shapes = Tree.leaves parameters |> Array.map (fun t -> t.Shape)
        let vector (p: 'P) = Tree.leaves p |> Array.map flatten |> concat 0 |> eval
        let tree (x: Tensor) : 'P =
            let sizes = shapes |> Array.map (Array.fold (*) 1)
            splitSizes 0 sizes x |> Seq.toArray |> Array.map2 reshape shapes |> Tree.rebuild parameters |> eval
        let mutable evaluations = 0
        let evaluate (x: Tensor) =
            evaluations <- evaluations + 1
            let value, gradient = valueAndGradient (tree x)
            item value, vector gradient
        let first, gradient = evaluate (vector parameters)
        // One iteration from x with its loss and gradient; None when it is time to stop.
        let rec iterate (state: LbfgsState) x loss g count =
            let isFirst = state.Gradient.Length = 0
            let state = if isFirst then state else remember options state g
            let d = if isFirst then scale g -1.0 else direction state g
            let length = if isFirst then min 1.0 (1.0 / item (lengthOf g)) * options.Rate else options.Rate
            let state = { state with Direction = [| d |]; Gradient = [| g |]; Length = single length }
            let slope = dot g d
            if slope > -options.ChangeTolerance then
                x, state
            else
                let isLast = count = options.Iterations
                let moved, length, nextLoss, next =
                    if options.StrongWolfe then
                        let along t =
                            let value, gradient = evaluate (add x t d)
                            { At = t; Loss = value; Gradient = gradient; Slope = dot gradient d }
                        let origin = { At = 0.0; Loss = loss; Gradient = g; Slope = slope }
                        let p = strongWolfe along origin length (largest d) options.ChangeTolerance
                        add x p.At d, p.At, p.Loss, p.Gradient
                    else
                        let moved = add x length d
                        // In the last iteration nobody asks for the loss any more.
                        let value, gradient = if isLast then loss, g else evaluate moved
                        moved, length, value, gradient
                let state = { state with Length = single length }
                let stops =
                    isLast
                    || evaluations >= options.Evaluations
                    || largest next <= options.GradientTolerance
                    || largest d * abs length <= options.ChangeTolerance
                    || abs (nextLoss - loss) < options.ChangeTolerance
                if stops then moved, state else iterate state moved nextLoss next (count + 1)
        if largest gradient <= options.GradientTolerance then
            first, parameters, state
        else
            let x, state = iterate state (vector parameters) first gradient 1
            first, tree x, state
