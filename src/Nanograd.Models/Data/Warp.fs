namespace Nanograd

open System

/// Affine maps of images.
[<RequireQualifiedAccess>]
module internal Warp =
    /// Row-major 2 x 3: where pixel (x, y) of the result lies in the image, both from the centres.
    type Matrix = float[]

    let private radians degrees = degrees * Math.PI / 180.0

    /// The inverse of: shear, rotation by `angle` degrees clockwise, scaling, then a shift in pixels.
    let inverse
        (angle: float)
        (struct (tx: float, ty: float))
        (scale: float)
        (struct (shearX: float, shearY: float))
        : Matrix =
        let rot, sx, sy = radians angle, radians shearX, radians shearY
        // The map without shift is scale [[a, b], [c, d]] with determinant scale².
        let a = cos (rot - sy) / cos sy
        let b = -cos(rot - sy) * tan sx / cos sy - sin rot
        let c = sin (rot - sy) / cos sy
        let d = -sin(rot - sy) * tan sx / cos sy + cos rot
        let m = [| d / scale; -b / scale; 0.0; -c / scale; a / scale; 0.0 |]
        m[2] <- -(m[0] * tx + m[1] * ty)
        m[5] <- -(m[3] * tx + m[4] * ty)
        m

    /// Places that are a pixel but for rounding are that pixel.
    let private settle (x: float) =
        let whole = Math.Round x
        if abs (x - whole) < 1e-9 then whole else x

    /// Pixel (x, y) of the result is the image at the matrix's place; `fill` outside.
    let apply (interpolation: PixelSampling) (fill: float32) (m: Matrix) (image: Tensor) : Tensor =
        let struct (planes, h, w) = Pixels.extents "affine" image
        let source = Pixels.load "affine" image
        let target = Array.zeroCreate<float32> source.Length
        let cx, cy = float (w - 1) / 2.0, float (h - 1) / 2.0
        let at p y x = if x < 0 || x >= w || y < 0 || y >= h then fill else source[(p * h + y) * w + x]
        for y in 0 .. h - 1 do
            for x in 0 .. w - 1 do
                let dx, dy = float x - cx, float y - cy
                let sx = settle (m[0] * dx + m[1] * dy + m[2] + cx)
                let sy = settle (m[3] * dx + m[4] * dy + m[5] + cy)
                match interpolation with
                | PixelSampling.Nearest ->
                    let nx, ny = int (Math.Round sx), int (Math.Round sy) // halves to even, as torch rounds
                    for p in 0 .. planes - 1 do
                        target[(p * h + y) * w + x] <- at p ny nx
                | PixelSampling.Bilinear ->
                    let x0, y0 = int (Math.Floor sx), int (Math.Floor sy)
                    let fx, fy = float32 (sx - float x0), float32 (sy - float y0)
                    for p in 0 .. planes - 1 do
                        let top = at p y0 x0 * (1.0f - fx) + at p y0 (x0 + 1) * fx
                        let bottom = at p (y0 + 1) x0 * (1.0f - fx) + at p (y0 + 1) (x0 + 1) * fx
                        target[(p * h + y) * w + x] <- top * (1.0f - fy) + bottom * fy
        Pixels.store image image.Shape target
