namespace Nanograd

open System

/// Bounds on gradients: functions on arrays of gradients, and the same as parts of a chain.
[<RequireQualifiedAccess>]
module Clip =
    let private positive what (value: float) =
        if not (value >= 0.0) then raise (ArgumentException $"{what} must be at least 0, not {value}.")

    /// The p-norm of all gradients together, a scalar; p = infinity: the largest magnitude.
    let norm (p: float) (gradients: Tensor[]) : Tensor =
        if not (p > 0.0) then raise (ArgumentException $"The order of a norm must be positive, not {p}.")
        let all = gradients |> Array.filter (fun g -> g.Count > 0) |> Array.map Optimizer.widened
        let added (f: Tensor -> Tensor) = all |> Array.map (f >> sum) |> Array.reduce (+)
        if all.Length = 0 then
            scalar 0.0
        elif Double.IsPositiveInfinity p then
            all |> Array.map (fun g -> amax [ 0 .. g.Rank - 1 ] (abs g)) |> Array.reduce maximum
        elif p = 1.0 then
            added abs
        elif p = 2.0 then
            sqrt (added square)
        else
            added (fun g -> abs g ** p) ** (1.0 / p)

    /// All gradients times min(1, maximum / (norm + 1e-6)): PyTorch's clip_grad_norm_ with the p-norm (Pascanu et al. 2013).
    let byNorm (p: float) (maximum: float) (gradients: Tensor[]) : Tensor[] =
        positive "The largest norm" maximum
        if gradients.Length = 0 then
            gradients
        else
            let size = norm p gradients
            let factor = minimum (maximum / (size + 1e-6)) (full size.DType [||] 1.0)
            gradients |> Array.map (fun g -> g * cast g.DType factor)

    /// All gradients held between -bound and bound: PyTorch's clip_grad_value_.
    let byValue (bound: float) (gradients: Tensor[]) : Tensor[] =
        positive "The bound" bound
        gradients |> Array.map (clamp -bound bound)

    /// Norms of the units of a parameter: of the rows of a matrix (all axes but the first), of the whole of vectors.
    let private unitNorm (t: Tensor) =
        if t.Rank <= 1 then sqrt (sum (square t)) else sqrt (sumKeep [| 1 .. t.Rank - 1 |] (square t))

    /// Adaptive clipping (Brock et al. 2021): a unit's gradient is at most `clipping` times the norm of its weights (or of
    /// `eps`, 1e-3 in the paper).
    let adaptive (clipping: float) (eps: float) : Optimizer =
        positive "The clipping" clipping
        Optimizer.stateless (fun _ p g ->
            let allowed = clampMin eps (unitNorm p) * clipping
            let size = clampMin 1e-6 (unitNorm g)
            where (gt size allowed) (g * (allowed / size)) g)
