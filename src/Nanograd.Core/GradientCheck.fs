namespace Nanograd

open System

/// How far a gradient is from central differences, at the element where it is farthest.
type GradientCheck =
    {
        /// |symbolic - numeric| / (1 + |numeric|).
        Error: float
        /// Which tensor of the argument, and which element of it.
        Path: string
        Index: int[]
        Symbolic: float
        Numeric: float
    }

    override c.ToString() =
        let place = if c.Path = "" then "the argument" else c.Path
        $"error {c.Error:E2} at {place}{Shape.show c.Index}: {c.Symbolic:R} by differentiation, {c.Numeric:R} by differences"

/// Gradients against differences.
[<AutoOpen>]
module GradientChecks =
    let private unravel (shape: int[]) (position: int) =
        Shape.strides shape |> Array.mapi (fun a s -> position / s % max 1 shape[a])

    /// The largest number, in case one is NaN too.
    let private worse (a: GradientCheck) (b: GradientCheck) =
        if Double.IsNaN a.Error || a.Error >= b.Error then a else b

    /// <summary>Compares the gradient of `f` with central differences of fourth order, element by element, in f64, and says where they
    /// differ most. (PyTorch: torch.autograd.gradcheck.)</summary>
    /// <remarks>Both are of a scalar: if `f` returns more, every element counts with a weight of its own. The function is evaluated four
    /// times for each element of the argument, so small arguments are best. A right gradient of a smooth function has an error of 1e-7
    /// or less.</remarks>
    /// <param name="f">A function from a tree of tensors; it must compute in f64 when its argument is f64.</param>
    /// <param name="at">Where: its floats are taken as f64, other tensors stay.</param>
    /// <exception cref="T:Nanograd.ShapeException">The result is no float, or the argument has no float elements.</exception>
    /// <example><code>(checkGradient (fun (x: Tensor) -> sin x * x) (tensor [ 1.; 2. ])).Error &lt; 1e-8 // True</code></example>
    let checkGradient (f: 'T -> Tensor) (at: 'T) : GradientCheck =
        let isFloat (t: Tensor) = DType.isFloat t.DType
        let at = at |> Tree.map (fun t -> if isFloat t then Op.cast DType.F64 t else t) |> eval
        let scalar (x: 'T) =
            let y = f x
            if not (isFloat y) then Shape.fail "checkGradient" "the function must return floats" "" [ y ]
            let weights = 1.0 + 0.5 * sin (Op.cast DType.F64 (arange DType.I32 y.Count))
            sum (Op.reshape [| y.Count |] (Op.cast DType.F64 y) * weights)
        let named = Tree.named at
        let values = named |> Array.map snd
        let symbolic = Tree.leaves (eval (grad scalar at))
        let value = jit scalar
        let read (t: Tensor) position = (Buffers.read (Program.storage t) position).Float
        let numeric i position =
            let x = read values[i] position
            let h = 1e-3 * max 1.0 (abs x)
            let at step =
                let moved = Buffers.copy (Program.storage values[i])
                Buffers.write moved position (Constant.ofFloat DType.F64 (x + step))
                item (value (Tree.rebuild at (Array.updateAt i (Op.literal moved values[i].Shape) values)))
            (8.0 * (at h - at -h) - (at (2.0 * h) - at (-2.0 * h))) / (12.0 * h)
        let checks =
            [ for i in 0 .. values.Length - 1 do
                  if isFloat values[i] then
                      for position in 0 .. values[i].Count - 1 do
                          let s, n = read symbolic[i] position, numeric i position
                          { Error = abs (s - n) / (1.0 + abs n)
                            Path = fst named[i]
                            Index = unravel values[i].Shape position
                            Symbolic = s
                            Numeric = n } ]
        if checks.IsEmpty then
            Shape.fail "checkGradient" "the argument must have float elements" "" (List.ofArray values)
        List.reduce worse checks
