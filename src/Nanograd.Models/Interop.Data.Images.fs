namespace Nanograd.Models

open System
open Nanograd

/// A transform of images, random in a key.
[<Sealed>]
type ImageStep internal (f: ImageTransform) =
    /// The transformed image.
    member _.Apply(key: struct (uint32 * uint32), image: Tensor) : Tensor = f key image

    static member private Sampling(bilinear: bool) = if bilinear then PixelSampling.Bilinear else PixelSampling.Nearest

    static member private Padding(mode: string, fill: float) =
        match mode with
        | "constant" -> PaddingFill.Constant fill
        | "edge" -> PaddingFill.Edge
        | "reflect" -> PaddingFill.Reflect
        | "symmetric" -> PaddingFill.Symmetric
        | other ->
            raise (ArgumentException $"The padding mode must be constant, edge, reflect or symmetric, not {other}.")

    static member ToTensor() = ImageStep Image.toTensor
    static member Normalize(mean: float[], deviation: float[]) = ImageStep(Image.normalize mean deviation)
    static member Resize(size: int[], bilinear: bool, antialias: bool) =
        ImageStep(Image.resizeOf (ImageStep.Sampling bilinear) antialias size)
    static member CenterCrop(size: int[]) = ImageStep(Image.centerCrop size)
    static member Pad(left: int, top: int, right: int, bottom: int, fill: float, mode: string) =
        ImageStep(Image.pad (ImageStep.Padding(mode, fill)) (left, top, right, bottom))
    static member RandomCrop(size: int[], padding: int[], padIfNeeded: bool, fill: float, mode: string) =
        ImageStep(
            Image.randomCropOf
                { Size = size
                  Padding = padding
                  PadIfNeeded = padIfNeeded
                  Fill = ImageStep.Padding(mode, fill) }
        )
    static member RandomHorizontalFlip(p: float) = ImageStep(Image.randomHorizontalFlip p)
    static member RandomVerticalFlip(p: float) = ImageStep(Image.randomVerticalFlip p)
    static member RandomResizedCrop(size: int[], scale: struct (float * float), ratio: struct (float * float)) =
        let struct (scaleLow, scaleHigh), struct (ratioLow, ratioHigh) = scale, ratio
        ImageStep(Image.randomResizedCropOf size (scaleLow, scaleHigh) (ratioLow, ratioHigh))
    static member Rotate(angle: float, bilinear: bool, fill: float) =
        ImageStep(Image.rotate (ImageStep.Sampling bilinear) fill angle)
    static member RandomAffine
        (
            degrees: struct (float * float),
            translate: struct (float * float),
            scale: struct (float * float),
            shearX: struct (float * float),
            shearY: struct (float * float),
            bilinear: bool,
            fill: float
        ) =
        let pair (struct (a, b): struct (float * float)) = a, b
        ImageStep(
            Image.randomAffine
                { Degrees = pair degrees
                  Translate = pair translate
                  Scale = pair scale
                  ShearX = pair shearX
                  ShearY = pair shearY
                  Interpolation = ImageStep.Sampling bilinear
                  Fill = fill }
        )
    static member Grayscale(channels: int) = ImageStep(Image.grayscale channels)
    static member RandomGrayscale(p: float) = ImageStep(Image.randomGrayscale p)
    static member AdjustBrightness(factor: float) = ImageStep(Image.adjustBrightness factor)
    static member AdjustContrast(factor: float) = ImageStep(Image.adjustContrast factor)
    static member AdjustSaturation(factor: float) = ImageStep(Image.adjustSaturation factor)
    static member AdjustHue(turn: float) = ImageStep(Image.adjustHue turn)
    static member ColorJitter(brightness: float, contrast: float, saturation: float, hue: float) =
        ImageStep(
            Image.colorJitter
                { Brightness = brightness
                  Contrast = contrast
                  Saturation = saturation
                  Hue = hue }
        )
    static member RandomErasing(p: float, scale: struct (float * float), ratio: struct (float * float), value: float) =
        let struct (scaleLow, scaleHigh), struct (ratioLow, ratioHigh) = scale, ratio
        ImageStep(
            Image.randomErasing
                { P = p
                  Scale = (scaleLow, scaleHigh)
                  Ratio = (ratioLow, ratioHigh)
                  Value = value }
        )
