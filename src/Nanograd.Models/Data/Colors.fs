namespace Nanograd

open System

/// Colours of images `[..; channels; height; width]` with 1 or 3 channels; floats lie between 0 and 1.
[<RequireQualifiedAccess>]
module internal Colors =
    let private channels (op: string) (image: Tensor) =
        Pixels.extents op image |> ignore
        let c = if image.Rank < 3 then 1 else image.Shape[image.Rank - 3]
        if c <> 1 && c <> 3 then Shape.fail op "an image has 1 or 3 channels: [..,channels,height,width]" "" [ image ]
        c

    let private luma (r: float32) (g: float32) (b: float32) = 0.2989f * r + 0.587f * g + 0.114f * b

    /// Calls `f` with the places of red, green and blue of every pixel.
    let private pixels (image: Tensor) (f: int -> int -> int -> unit) =
        let plane = image.Shape[image.Rank - 2] * image.Shape[image.Rank - 1]
        for n in 0 .. image.Count / (3 * plane) - 1 do
            for i in 3 * n * plane .. (3 * n + 1) * plane - 1 do
                f i (i + plane) (i + 2 * plane)

    /// ratio * image + (1 - ratio) * other, in the range of pixels; bytes are rounded down, as torchvision does.
    let private blend (image: Tensor) (values: float32[]) (ratio: float32) (other: int -> float32) =
        let bound = Pixels.bound image
        values
        |> Array.mapi (fun i x ->
            let mixed = Math.Clamp(ratio * x + (1.0f - ratio) * other i, 0.0f, bound)
            if image.DType = DType.U8 then MathF.Floor mixed else mixed)

    /// The grey of every element's pixel.
    let private grays (image: Tensor) (values: float32[]) =
        let gray = Array.zeroCreate<float32> values.Length
        pixels image (fun r g b ->
            let y = luma values[r] values[g] values[b]
            gray[r] <- y
            gray[g] <- y
            gray[b] <- y)
        gray

    /// The image times a factor.
    let brightness (factor: float) (image: Tensor) : Tensor =
        channels "brightness" image |> ignore
        let values = Pixels.load "brightness" image
        Pixels.store image image.Shape (blend image values (float32 factor) (fun _ -> 0.0f))

    /// Away from, or towards, the mean grey of each image.
    let contrast (factor: float) (image: Tensor) : Tensor =
        let c = channels "contrast" image
        let values = Pixels.load "contrast" image
        let gray = if c = 3 then grays image values else values
        let size = c * image.Shape[image.Rank - 2] * image.Shape[image.Rank - 1]
        let means = gray |> Array.chunkBySize size |> Array.map (Array.averageBy float >> float32)
        Pixels.store image image.Shape (blend image values (float32 factor) (fun i -> means[i / size]))

    /// Away from, or towards, the grey of each pixel. Grey images stay as they are.
    let saturation (factor: float) (image: Tensor) : Tensor =
        if channels "saturation" image = 1 then
            image
        else
            let values = Pixels.load "saturation" image
            let gray = grays image values
            Pixels.store image image.Shape (blend image values (float32 factor) (fun i -> gray[i]))

    /// Hue (0 to 1), saturation and value of a colour whose parts lie between 0 and 1.
    let toHsv (r: float32) (g: float32) (b: float32) : struct (float32 * float32 * float32) =
        let high, low = max r (max g b), min r (min g b)
        let spread = high - low
        if spread = 0.0f then
            struct (0.0f, 0.0f, high)
        else
            let sector =
                if high = r then (g - b) / spread
                elif high = g then 2.0f + (b - r) / spread
                else 4.0f + (r - g) / spread
            let hue = sector / 6.0f
            struct (hue - MathF.Floor hue, spread / high, high)

    /// The colour of hue, saturation and value.
    let ofHsv (hue: float32) (saturation: float32) (value: float32) : struct (float32 * float32 * float32) =
        let sector = MathF.Floor(hue * 6.0f)
        let f = hue * 6.0f - sector
        let p, q, t =
            value * (1.0f - saturation), value * (1.0f - saturation * f), value * (1.0f - saturation * (1.0f - f))
        match int sector % 6 with
        | 0 -> struct (value, t, p)
        | 1 -> struct (q, value, p)
        | 2 -> struct (p, value, t)
        | 3 -> struct (p, q, value)
        | 4 -> struct (t, p, value)
        | _ -> struct (value, p, q)

    /// Hues turned by a part (-0.5 to 0.5) of the circle of colours. Grey images stay as they are.
    let hue (turn: float) (image: Tensor) : Tensor =
        if channels "hue" image = 1 then
            image
        else
            let values, bound = Pixels.load "hue" image, Pixels.bound image
            pixels image (fun r g b ->
                let struct (h, s, v) = toHsv (values[r] / bound) (values[g] / bound) (values[b] / bound)
                let turned = h + float32 turn
                let struct (red, green, blue) = ofHsv (turned - MathF.Floor turned) s v
                values[r] <- red * bound
                values[g] <- green * bound
                values[b] <- blue * bound)
            Pixels.store image image.Shape values

    /// Grey, in 1 channel or in 3 equal ones.
    let grayscale (count: int) (image: Tensor) : Tensor =
        if count <> 1 && count <> 3 then raise (ShapeException("grayscale", "1 or 3 channels", string count, ""))
        if image.Rank < 3 then Shape.fail "grayscale" "an image [..,channels,height,width]" "" [ image ]
        let c = channels "grayscale" image
        let values = Pixels.load "grayscale" image
        let gray = if c = 3 then grays image values else values
        let plane = image.Shape[image.Rank - 2] * image.Shape[image.Rank - 1]
        let shape =
            Array.append
                image.Shape[.. image.Rank - 4]
                [| count; image.Shape[image.Rank - 2]; image.Shape[image.Rank - 1] |]
        // Element k of the result lies in image k / (count * plane); its pixel's grey is in the image's first channel.
        let pick k = gray[k / (count * plane) * c * plane + k % plane]
        Pixels.store image shape (Array.init (Shape.count shape) pick)
