namespace Nanograd

open System

/// How `interpolate` finds values between elements. Linear is bilinear on two axes and trilinear on three.
[<RequireQualifiedAccess>]
type Interpolation =
    /// The element at floor(i in / out).
    | Nearest
    /// The element nearest to the centre: floor((i + 1/2) in / out).
    | NearestExact
    /// Between two neighbours along each axis.
    | Linear
    /// Between four neighbours along each axis: Keys's kernel with a = -0.75, as in PyTorch.
    | Cubic

/// Resizing images and other grids.
[<AutoOpen>]
module Resizing =
    /// For each place of the result, the places it is made of and their weights: one array per neighbour. `ratio` is
    /// input over output.
    let private taps (mode: Interpolation) (alignCorners: bool) (input: int) (output: int) (ratio: float) =
        let inside i = max 0 (min (input - 1) i)
        let centre i =
            if alignCorners then
                (if output > 1 then float i * float (input - 1) / float (output - 1) else 0.0)
            else
                (float i + 0.5) * ratio - 0.5
        match mode with
        | Interpolation.Nearest ->
            [ Array.init output (fun i -> inside (int (Math.Floor(float i * ratio)))), Array.create output 1.0 ]
        | Interpolation.NearestExact ->
            [ Array.init output (fun i -> inside (int (Math.Floor((float i + 0.5) * ratio)))), Array.create output 1.0 ]
        | Interpolation.Linear ->
            let place = Array.init output (fun i -> max 0.0 (centre i))
            let low = place |> Array.map (fun p -> inside (int p))
            let weight = Array.map2 (fun (p: float) l -> min 1.0 (p - float l)) place low
            [ low, Array.map (fun w -> 1.0 - w) weight; Array.map (fun l -> inside (l + 1)) low, weight ]
        | Interpolation.Cubic ->
            let a = -0.75 // Keys 1981, "Cubic convolution interpolation for digital image processing"
            let near x = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
            let far x = ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
            let place = Array.init output centre
            let low = place |> Array.map (fun p -> int (Math.Floor p))
            let t = Array.map2 (fun (p: float) l -> p - float l) place low
            [ Array.map (fun l -> inside (l - 1)) low, Array.map (fun t -> far (t + 1.0)) t
              Array.map inside low, Array.map near t
              Array.map (fun l -> inside (l + 1)) low, Array.map (fun t -> near (1.0 - t)) t
              Array.map (fun l -> inside (l + 2)) low, Array.map (fun t -> far (2.0 - t)) t ]

    let private along mode alignCorners (axis: int) (output: int) (ratio: float) (x: Tensor) =
        let input = x.Shape[axis]
        let isNearest = mode = Interpolation.Nearest || mode = Interpolation.NearestExact
        if input = output && (isNearest || ratio = 1.0) then
            x
        elif isNearest && input > 0 && output % input = 0 && ratio * float output = float input then
            repeatInterleave (output / input) axis x // no lookup: a view
        else
            let shape = Array.init x.Rank (fun i -> if i = axis then output else 1)
            let tap (places: int[], weights: float[]) =
                let y = Op.gather axis 0 x (indices places)
                if isNearest then
                    y
                else
                    let w = Op.cast x.DType (Op.literal (Buffers.ofSpan DType.F64 (ReadOnlySpan weights)) [| output |])
                    y * Op.reshape shape w
            taps mode alignCorners input output ratio |> List.map tap |> List.reduce (fun a b -> a + b)

    let private check op mode alignCorners (count: int) (x: Tensor) =
        if count < 1 || x.Rank <> count + 2 then
            Shape.fail op $"the operand must be [batch; channels; spatial...] with {count} spatial axes" "" [ x ]
        if Array.contains 0 x.Shape[2..] then Shape.fail op "spatial axes must not be empty" "" [ x ]
        if alignCorners && (mode = Interpolation.Nearest || mode = Interpolation.NearestExact) then
            Shape.fail op "corners can be aligned only where values are interpolated" "use Linear or Cubic" [ x ]

    /// <summary>The spatial axes of `[batch; channels; spatial...]` resized to `size` (PyTorch's interpolate).
    /// `alignCorners` puts the corner elements of both grids onto each other; otherwise the corners of their
    /// cells.</summary>
    /// <example><code>interpolate Interpolation.Linear false [ 4 ] (tensor [ [ [ 0.; 1. ] ] ])
    /// // tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])</code></example>
    let interpolate (mode: Interpolation) (alignCorners: bool) (size: seq<int>) (x: Tensor) : Tensor =
        let size = Seq.toArray size
        check "interpolate" mode alignCorners size.Length x
        if Array.exists (fun s -> s < 0) size then
            Shape.fail "interpolate" $"sizes must not be negative, not {Shape.show size}" "" [ x ]
        let resize (y: Tensor) i = along mode alignCorners (i + 2) size[i] (float x.Shape[i + 2] / float size[i]) y
        Seq.fold resize (inFloat x) [ 0 .. size.Length - 1 ]
        |> fun y -> if DType.isFloat x.DType then y else Op.cast x.DType y

    /// <summary>As `interpolate`, by a factor for each spatial axis: n elements become floor(n scale), whose places
    /// follow from the factor itself.</summary>
    /// <example><code>interpolateBy Interpolation.Nearest false [ 2.0 ] (tensor [ [ [ 0.; 1. ] ] ])
    /// // tensor([[[0., 0., 1., 1.]]])</code></example>
    let interpolateBy (mode: Interpolation) (alignCorners: bool) (scales: seq<float>) (x: Tensor) : Tensor =
        let scales = Seq.toArray scales
        check "interpolateBy" mode alignCorners scales.Length x
        if Array.exists (fun s -> not (s > 0.0 && Double.IsFinite s)) scales then
            Shape.fail "interpolateBy" "factors must be positive" "" [ x ]
        let resize (y: Tensor) i =
            let output = int (Math.Floor(float x.Shape[i + 2] * scales[i]))
            along mode alignCorners (i + 2) output (1.0 / scales[i]) y
        Seq.fold resize (inFloat x) [ 0 .. scales.Length - 1 ]
        |> fun y -> if DType.isFloat x.DType then y else Op.cast x.DType y
