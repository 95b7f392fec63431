namespace Nanograd

open System
open System.Collections.Generic

/// What the pooling kernels mean, element by element: for tests of the back ends.
[<RequireQualifiedAccess>]
module internal PoolMeaning =
    /// The place in the plane of element (i, j) of window (y, x); -1 in the padding.
    let private place (p: Pool) y x i j =
        let along (a: PoolAxis) window k = window * a.Stride - a.Padding + k * a.Dilation
        let row, column = along p.Down y i, along p.Across x j
        let isInside = row >= 0 && row < p.Down.Extent && column >= 0 && column < p.Across.Extent
        if isInside then row * p.Across.Extent + column else -1

    let private window (p: Pool) (xs: float32[]) plane y x =
        [| for i in 0 .. p.Down.Size - 1 do
               for j in 0 .. p.Across.Size - 1 do
                   let at = place p y x i j
                   if at >= 0 then xs[plane * p.Down.Extent * p.Across.Extent + at]
                   elif p.IsMax then -infinityf
                   else 0.0f |]

    /// Which element is the largest.
    let private leader (window: float32[]) =
        let mutable best = 0
        for k in 1 .. window.Length - 1 do
            if window[k] > window[best] || Single.IsNaN window[k] then best <- k
        best

    let private forward (p: Pool) (xs: float32[]) : float32[] =
        let ofWindow (w: float32[]) = if p.IsMax then w[leader w] else Array.reduce (+) w
        [| for plane in 0 .. p.Planes - 1 do
               for y in 0 .. p.Down.Windows - 1 do
                   for x in 0 .. p.Across.Windows - 1 do
                       ofWindow (window p xs plane y x) |]

    /// A row of windows hands back its shares, summed where windows meet, before the next one does.
    let private backward (p: Pool) (xs: float32[]) (cs: float32[]) : float32[] =
        let size = p.Down.Extent * p.Across.Extent
        let result = Array.zeroCreate<float32>(p.Planes * size)
        // +0 + -0 is +0, and the only share of an element is what it is.
        let isOnly = p.IsMax && Pool.isSideBySide p
        for plane in 0 .. p.Planes - 1 do
            for y in 0 .. p.Down.Windows - 1 do
                let sums = Dictionary<int, float32>()
                for x in 0 .. p.Across.Windows - 1 do
                    let c = cs[(plane * p.Down.Windows + y) * p.Across.Windows + x]
                    let chosen = if p.IsMax then leader (window p xs plane y x) else -1
                    for i in 0 .. p.Down.Size - 1 do
                        for j in 0 .. p.Across.Size - 1 do
                            let at = place p y x i j
                            let share = if p.IsMax && i * p.Across.Size + j <> chosen then 0.0f else c
                            let known =
                                match sums.TryGetValue at with
                                | true, sum -> sum
                                | _ -> 0.0f
                            if at >= 0 then sums[at] <- (if isOnly then share else known + share)
                for sum in sums do
                    let at = plane * size + sum.Key
                    result[at] <- (if isOnly then sum.Value else result[at] + sum.Value)
        result

    /// Runs a kernel on the elements of the buffers.
    let run (p: Pool) (buffers: Array[]) =
        let floats b = if b < 0 then [||] else buffers[b] :?> float32[]
        buffers[p.Result] <-
            if Pool.isGradient p then backward p (floats p.Source) (floats p.Cotangent) else forward p (floats p.Source)
