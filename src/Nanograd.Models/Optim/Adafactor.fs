namespace Nanograd

/// Adafactor (Shazeer and Stern 2018), as in Hugging Face's transformers: of matrices (the last two axes) only the means of
/// rows and columns of the second moment are kept, row column^T / mean(row).
[<RequireQualifiedAccess>]
module Adafactor =
    let private rms (t: Tensor) : Tensor = sqrt (mean (square t))
    let private isFactored (p: Tensor) = p.Rank >= 2

    let private without axis (p: Tensor) : Tensor option =
        if isFactored p then Some(zerosOf (Optimizer.computed p) (Array.removeAt (p.Rank - axis) p.Shape)) else None

    let private slots (options: AdafactorOptions) =
        [ "exp_avg_sq_row", without 1
          "exp_avg_sq_col", without 2
          "exp_avg_sq", (fun p -> if isFactored p then None else Optimizer.zeros p)
          if options.Beta1.IsSome then "exp_avg", Optimizer.zeros ]

    /// The rate of this update: t and the given rate are f64 scalars.
    let private rate (o: AdafactorOptions) (t: Tensor) (given: Tensor) (p: Tensor) : Tensor =
        let relative =
            if not o.RelativeStep then
                given
            else
                let most = if o.WarmupInit then t * 1e-6 else scalarOf DType.F64 1e-2
                minimum most (1.0 / sqrt t)
        if o.ScaleParameter then clampMin o.Eps2 (rms p) * cast p.DType relative else cast p.DType relative

    /// The gradient divided by the root of its second moment, and the moments.
    let private scaled (o: AdafactorOptions) (beta: Tensor) (g: Tensor) (state: Tensor[]) : Tensor * Tensor[] =
        let squares = g * g + o.Eps1
        let blend (old: Tensor) (latest: Tensor) = old * beta + latest * (1.0 - beta)
        if isFactored g then
            let row = blend state[0] (meanOver [| g.Rank - 1 |] squares)
            let column = blend state[1] (meanOver [| g.Rank - 2 |] squares)
            let rows = rsqrt (row / meanKeep [| row.Rank - 1 |] row)
            unsqueeze (g.Rank - 1) rows * unsqueeze (g.Rank - 2) (rsqrt column) * g, [| row; column |]
        else
            let v = blend state[0] squares
            rsqrt v * g, [| v |]

    /// The whole optimizer: its steps have the rate in them, because the parameter's size and the clipping of updates
    /// stand between moments and rate.
    let transform (options: AdafactorOptions) : Optimizer =
        Optimizer.require
            "A warm-up (WarmupInit) needs relative steps (RelativeStep)."
            (options.RelativeStep || not options.WarmupInit)
        Optimizer.require
            $"The clipping threshold must be above 0, not {options.ClipThreshold}."
            (options.ClipThreshold > 0.0)
        options.Beta1 |> Option.iter (Optimizer.requireRange "The first beta" 0.0 1.0)
        Optimizer.each (slots options) (fun context p g state ->
            let t = cast DType.F64 context.Step + 1.0
            let beta = cast p.DType (1.0 - t ** options.DecayRate)
            let size = rate options t (cast DType.F64 context.Rate) p
            let raw, moments = scaled options beta g state
            let update = raw / clampMin 1.0 (rms raw / options.ClipThreshold) * size
            let step, later =
                match options.Beta1 with
                | Some beta1 ->
                    let m = Transform.average beta1 (Array.last state) update
                    m, Array.append moments [| m |]
                | None -> update, moments
            // The decay comes before the step, and shrinks the parameter by rate * decay.
            (if options.WeightDecay = 0.0 then step else step + p * (size * options.WeightDecay)), later)
