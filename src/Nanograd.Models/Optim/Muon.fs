namespace Nanograd

open System

/// Muon (Jordan 2024, "Muon: An optimizer for hidden layers in neural networks"): momentum whose steps are made orthogonal.
/// For matrices of hidden layers; embeddings, heads and vectors go to another optimizer by `Transform.groups`.
[<RequireQualifiedAccess>]
module Muon =
    /// The orthogonal matrix next to a matrix, roughly: U V^T for U S V^T. Newton-Schulz with Jordan's quintic
    /// X = 3.4445 X - 4.7750 (X X^T) X + 2.0315 (X X^T)² X, whose singular values end between 0.7 and 1.2.
    let orthogonalize (iterations: int) (g: Tensor) : Tensor =
        if g.Rank <> 2 then raise (ArgumentException $"Only matrices can be made orthogonal, not {Shape.describe g}.")
        let tall = g.Shape[0] > g.Shape[1]
        let start = if tall then transpose g else g
        let one (x: Tensor) _ =
            let a = matmul x (transpose x)
            let b = a * -4.7750 + matmul a a * 2.0315
            x * 3.4445 + matmul b x
        let x = Seq.fold one (start / (sqrt (sum (square start)) + 1e-7)) [ 1..iterations ]
        if tall then transpose x else x

    /// b = momentum b + g; the step is the orthogonal matrix next to b (Nesterov: g + momentum b) times
    /// sqrt(max(1, rows / columns)). Kernels of convolutions are matrices of one row per output channel.
    let transform (options: MuonOptions) : Optimizer =
        Optimizer.requireRange "The momentum" 0.0 1.0 options.Momentum
        Optimizer.require $"Muon needs at least one iteration, not {options.Iterations}." (options.Iterations >= 1)
        Optimizer.each [ "momentum_buffer", Optimizer.zeros ] (fun context p g state ->
            if p.Rank < 2 then
                raise (
                    ArgumentException
                        $"Muon moves matrices, not {Shape.describe p}: give the others to another optimizer by Transform.groups."
                )
            let m, _ = Transform.momentum context p.DType options.Momentum
            let b = state[0] * m + g
            let direction = if options.Nesterov then g + b * m else b
            let rows = p.Shape[0]
            let matrix = reshape [| rows; p.Count / max 1 rows |] direction
            let factor = sqrt (max 1.0 (float rows / float matrix.Shape[1]))
            reshape p.Shape (orthogonalize options.Iterations matrix) * factor, [| b |])
