namespace Nanograd

open System

/// A weight as a length times a direction: `G` has extent 1 but for the axis that is kept.
[<NoComparison>]
type WeightNorm = { G: Tensor; V: Tensor }

/// Weight normalisation (Salimans and Kingma 2016).
[<RequireQualifiedAccess>]
module WeightNorm =
    /// Norms over all axes but one, which stay with extent 1; without an axis over all.
    let private lengths (axis: int option) (v: Tensor) =
        let kept = axis |> Option.map (Shape.axis "weightNorm" v)
        normKeep 2.0 ([ 0 .. v.Rank - 1 ] |> List.filter (fun i -> Some i <> kept)) v

    /// The weight: G times V over V's length. `axis` (PyTorch: 0) is the one with a length for each entry; None: one length.
    let weight (axis: int option) (p: WeightNorm) : Tensor = p.V * (p.G / lengths axis p.V)

    /// A weight taken apart.
    let ofWeight (axis: int option) (weight: Tensor) : WeightNorm = { G = lengths axis weight; V = weight }

/// The directions in which a weight stretches most, found so far: `U [rows]`, `V [columns]`.
[<NoComparison>]
type SpectralNormState = { U: Tensor; V: Tensor }

/// Spectral normalisation (Miyato et al. 2018): a weight divided by its largest singular value, by power iteration.
[<RequireQualifiedAccess>]
module SpectralNorm =
    let private rows (axis: int) (weight: Tensor) =
        let moved = moveAxis axis 0 weight
        reshape [| moved.Shape[0]; moved.Count / max 1 moved.Shape[0] |] moved

    let private unit (eps: float) (v: Tensor) = v / clampMin eps (normKeep 2.0 [ 0 ] v)

    /// One or more steps of power iteration, without gradient.
    let iterate (steps: int) (eps: float) (axis: int) (weight: Tensor) (s: SpectralNormState) : SpectralNormState =
        let m = stopGradient (rows axis weight)
        let step (s: SpectralNormState) _ =
            let v = unit eps (matmul (transpose m) s.U)
            { U = unit eps (matmul m v); V = v }
        Seq.fold step s (seq { 1..steps })

    /// The weight over its largest singular value u·W v, whose gradient takes u and v as constant. `axis` (PyTorch: 0, and
    /// 1 for transposed convolutions) becomes the rows.
    let weight (axis: int) (s: SpectralNormState) (weight: Tensor) : Tensor =
        weight / dot (stopGradient s.U) (matmul (rows axis weight) (stopGradient s.V))

    /// Random unit vectors, then 15 steps, as PyTorch's parametrisation starts.
    let init (key: Tensor) (axis: int) (weight: Tensor) : SpectralNormState =
        let m = rows axis weight
        let random n extent = unit 1e-12 (Random.normal (Random.fold key n) [| extent |])
        iterate 15 1e-12 axis weight { U = random 0 m.Shape[0]; V = random 1 m.Shape[1] }
