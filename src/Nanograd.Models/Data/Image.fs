namespace Nanograd

open System

/// A function of an image that may draw random numbers from a key; one that draws none ignores it.
type ImageTransform = Threefry.Key -> Tensor -> Tensor

/// How RandomCrop cuts.
type CropOptions =
    {
        /// `[| side |]` or `[| height; width |]`.
        Size: int[]
        /// Pixels added on the left, top, right and bottom before the cut.
        Padding: int[]
        /// Whether an image that is too small is padded until it is not.
        PadIfNeeded: bool
        Fill: PaddingFill
    }

    /// A size, without padding.
    static member Of(size: int[]) : CropOptions =
        { Size = size
          Padding = [| 0; 0; 0; 0 |]
          PadIfNeeded = false
          Fill = PaddingFill.Constant 0.0 }

/// How RandomAffine draws.
type AffineOptions =
    {
        /// The least and the greatest angle, in degrees.
        Degrees: float * float
        /// The greatest shifts, in fractions of width and height.
        Translate: float * float
        /// The least and the greatest scale.
        Scale: float * float
        /// The least and the greatest shear along x, in degrees.
        ShearX: float * float
        /// The same along y.
        ShearY: float * float
        Interpolation: PixelSampling
        /// The value outside the image.
        Fill: float
    }

    /// Nothing but rotation by up to so many degrees in both directions.
    static member Of(degrees: float) : AffineOptions =
        { Degrees = (-degrees, degrees)
          Translate = (0.0, 0.0)
          Scale = (1.0, 1.0)
          ShearX = (0.0, 0.0)
          ShearY = (0.0, 0.0)
          Interpolation = PixelSampling.Nearest
          Fill = 0.0 }

/// How far ColorJitter goes: factors from max(0, 1 - x) to 1 + x, and turns of the hue from -x to x.
type JitterOptions = { Brightness: float; Contrast: float; Saturation: float; Hue: float }

/// What RandomErasing erases.
type ErasingOptions =
    {
        /// How often anything is erased.
        P: float
        /// The least and the greatest share of the area.
        Scale: float * float
        /// The least and the greatest ratio of width to height.
        Ratio: float * float
        /// The value put there.
        Value: float
    }

/// Transforms of images `[..; channels; height; width]` (u8, or f32 between 0 and 1), with torchvision's names and meaning. All that is
/// random is a function of the key: compose and augment give each transform a key of its own.
[<RequireQualifiedAccess>]
module Image =
    let private fail op what got hint : 'a = raise (ShapeException(op, what, got, hint))

    /// Uniform in [low, high).
    let private between (low: float, high: float) key index = low + (high - low) * Counter.uniform key index

    /// A whole number from 0 to limit, both included.
    let private upTo (limit: int) key index = int (Counter.below (int64 limit + 1L) key index)

    let private happens p key index = Counter.uniform key index < p

    let private checkP op p = if not (p >= 0.0 && p <= 1.0) then fail op "a probability from 0 to 1" (string p) ""

    let private pair op (size: int[]) =
        match size with
        | [| side |] when side > 0 -> struct (side, side)
        | [| h; w |] when h > 0 && w > 0 -> struct (h, w)
        | _ -> fail op "a size is one or two positive extents, height first" (Shape.show size) ""

    // ---- putting together

    /// One transform after the other; each has a key of its own.
    let compose (transforms: seq<ImageTransform>) : ImageTransform =
        let transforms = Seq.toArray transforms
        fun key image ->
            let mutable result = image
            for i in 0 .. transforms.Length - 1 do
                result <- transforms[i] (Threefry.fold key (uint32 i)) result
            result

    /// A function of the image alone.
    let lambda (f: Tensor -> Tensor) : ImageTransform = fun _ image -> f image

    /// Any transform with probability p, else nothing.
    let randomApply (p: float) (transform: ImageTransform) : ImageTransform =
        checkP "randomApply" p
        fun key image -> if happens p key 0 then transform (Threefry.fold key 0u) image else image

    /// One of several, each equally often.
    let randomChoice (transforms: seq<ImageTransform>) : ImageTransform =
        let transforms = Seq.toArray transforms
        if transforms.Length = 0 then fail "randomChoice" "there must be a transform" "none" ""
        fun key image -> transforms[upTo (transforms.Length - 1) key 0] (Threefry.fold key 0u) image

    /// The transform of one image under a seed.
    let run (seed: int64) (transform: ImageTransform) (image: Tensor) : Tensor =
        transform (Counter.key seed Host.Purpose.sample 0L) image

    /// A transform of the first part of a pair: of the image, not of its class.
    let first (transform: ImageTransform) (key: Threefry.Key) (image: Tensor, label: 'Y) : Tensor * 'Y =
        transform key image, label

    // ---- values

    /// Bytes as f32 from 0 to 1, floats as f32; an image of two axes gets a channel: `[h; w]` to `[1; h; w]`.
    let toTensor: ImageTransform =
        fun _ image ->
            let shape = if image.Rank = 2 then Array.append [| 1 |] image.Shape else image.Shape
            if image.Rank < 2 then Shape.fail "toTensor" "an image has at least height and width" "" [ image ]
            match image.DType with
            | DType.F32 -> Host.float32s shape (Pixels.load "toTensor" image)
            | DType.U8 -> Host.float32s shape (Pixels.load "toTensor" image |> Array.map (fun x -> x / 255.0f))
            | _ -> Op.reshape shape (Op.cast DType.F32 image)

    /// (x - mean) / deviation, for each channel, or for all if there is one number.
    let normalize (mean: seq<float>) (deviation: seq<float>) : ImageTransform =
        let mean, deviation = Seq.toArray mean, Seq.toArray deviation
        if mean.Length = 0 || mean.Length <> deviation.Length then
            fail "normalize" "as many means as deviations" $"{mean.Length} and {deviation.Length}" ""
        if Array.exists (fun d -> not (d > 0.0)) deviation then
            fail "normalize" "deviations above 0" (String.Join(", ", deviation)) ""
        fun _ image ->
            let struct (_, h, w) = Pixels.extents "normalize" image
            let channels = if image.Rank < 3 then 1 else image.Shape[image.Rank - 3]
            if mean.Length <> 1 && mean.Length <> channels then
                Shape.fail "normalize" $"an image of {mean.Length} channels [..,channels,height,width]" "" [ image ]
            if image.DType <> DType.F32 then
                Shape.fail "normalize" "the pixels must be f32" "use toTensor before" [ image ]
            let values = Pixels.load "normalize" image
            for i in 0 .. values.Length - 1 do
                let c = if mean.Length = 1 then 0 else i / (h * w) % channels
                values[i] <- (values[i] - float32 mean[c]) / float32 deviation[c]
            Pixels.store image image.Shape values

    // ---- size and place

    /// Another size: `[| height; width |]`, or `[| side |]` for the shorter side, which keeps the ratio.
    let resizeOf (interpolation: PixelSampling) (antialias: bool) (size: int[]) : ImageTransform =
        pair "resize" size |> ignore
        fun _ image ->
            let struct (_, h, w) = Pixels.extents "resize" image
            let height, width =
                match size with
                | [| side |] when h <= w -> side, max 1 (int (int64 side * int64 w / int64 h))
                | [| side |] -> max 1 (int (int64 side * int64 h / int64 w)), side
                | _ -> size[0], size[1]
            Pixels.resize interpolation antialias height width image

    /// Another size, bilinear, without aliases: `[| height; width |]`, or `[| side |]` for the shorter side.
    let resize (size: int[]) : ImageTransform = resizeOf PixelSampling.Bilinear true size

    let private zero = PaddingFill.Constant 0.0

    /// The middle part; zeros beyond the border.
    let centerCrop (size: int[]) : ImageTransform =
        let struct (height, width) = pair "centerCrop" size
        fun _ image ->
            let struct (_, h, w) = Pixels.extents "centerCrop" image
            // As torchvision: what is missing is padded first (one more below and right), then halves are rounded to even.
            let place have want =
                if want > have then -((want - have) / 2) else int (Math.Round(float (have - want) / 2.0))
            Pixels.window "centerCrop" zero (place h height) (place w width) height width image

    /// Pixels added on the left, top, right and bottom.
    let pad (fill: PaddingFill) (left: int, top: int, right: int, bottom: int) : ImageTransform =
        if min (min left right) (min top bottom) < 0 then
            fail "pad" "padding of 0 and more" $"{left}, {top}, {right}, {bottom}" ""
        fun _ image ->
            let struct (_, h, w) = Pixels.extents "pad" image
            Pixels.window "pad" fill -top -left (h + top + bottom) (w + left + right) image

    /// A part of the given size, at a random place.
    let randomCropOf (options: CropOptions) : ImageTransform =
        let struct (height, width) = pair "randomCrop" options.Size
        let p =
            match options.Padding with
            | [| all |] -> [| all; all; all; all |]
            | [| x; y |] -> [| x; y; x; y |]
            | p when p.Length = 4 -> p
            | p -> fail "randomCrop" "padding for 1, 2 or 4 sides" (Shape.show p) ""
        if Array.exists (fun x -> x < 0) p then fail "randomCrop" "padding of 0 and more" (Shape.show p) ""
        let widened image =
            let image =
                if Array.forall ((=) 0) p then
                    image
                else
                    pad options.Fill (p[0], p[1], p[2], p[3]) (struct (0u, 0u)) image
            let struct (_, h, w) = Pixels.extents "randomCrop" image
            let x, y = (if options.PadIfNeeded then max 0 (width - w), max 0 (height - h) else 0, 0)
            if x = 0 && y = 0 then image else pad options.Fill (x, y, x, y) (struct (0u, 0u)) image
        fun key image ->
            let image = widened image
            let struct (_, h, w) = Pixels.extents "randomCrop" image
            if h < height || w < width then
                Shape.fail
                    "randomCrop"
                    $"an image of at least {height} x {width} pixels"
                    "pad it, or set PadIfNeeded"
                    [ image ]
            Pixels.window "randomCrop" zero (upTo (h - height) key 0) (upTo (w - width) key 1) height width image

    /// A part of the given size, at a random place of the image with so many zeros around it.
    let randomCrop (size: int[]) (padding: int) : ImageTransform =
        randomCropOf { CropOptions.Of size with Padding = [| padding |] }

    let private mirrored op flipRows flipColumns image =
        let struct (_, h, w) = Pixels.extents op image
        let order flip n = if flip then Array.init n (fun i -> n - 1 - i) else Array.init n id
        Pixels.move op (order flipRows h) (order flipColumns w) 0.0 image

    /// Left and right exchanged, always.
    let horizontalFlip: ImageTransform = fun _ image -> mirrored "horizontalFlip" false true image

    /// Top and bottom exchanged, always.
    let verticalFlip: ImageTransform = fun _ image -> mirrored "verticalFlip" true false image

    /// Left and right exchanged with probability p.
    let randomHorizontalFlip (p: float) : ImageTransform = randomApply p horizontalFlip

    /// Top and bottom exchanged with probability p.
    let randomVerticalFlip (p: float) : ImageTransform = randomApply p verticalFlip

    /// A part of random area and form: corner and size, as torchvision tries them.
    let private resizedCropPlace (scale: float * float) (ratio: float * float) key (h: int) (w: int) =
        let area = float h * float w
        let logs = log (fst ratio), log (snd ratio)
        let attempt n =
            let target, form = area * between scale key (4 * n), exp (between logs key (4 * n + 1))
            let width, height = int (Math.Round(sqrt (target * form))), int (Math.Round(sqrt (target / form)))
            if width > 0 && width <= w && height > 0 && height <= h then
                Some(upTo (h - height) key (4 * n + 2), upTo (w - width) key (4 * n + 3), height, width)
            else
                None
        match Seq.tryPick attempt (seq { 0..9 }) with
        | Some place -> place
        | None -> // the middle, in the nearest form allowed
            let form = float w / float h
            let height, width =
                if form < fst ratio then int (Math.Round(float w / fst ratio)), w
                elif form > snd ratio then h, int (Math.Round(float h * snd ratio))
                else h, w
            (h - height) / 2, (w - width) / 2, height, width

    /// A random part (its share of the area within `scale`, width to height within `ratio`) in the given size.
    let randomResizedCropOf (size: int[]) (scale: float * float) (ratio: float * float) : ImageTransform =
        let struct (height, width) = pair "randomResizedCrop" size
        let isRange (low, high) = low > 0.0 && low <= high
        if not (isRange scale && isRange ratio && snd scale <= 1.0) then
            fail "randomResizedCrop" "ranges above 0, the scale up to 1" $"scale {scale}, ratio {ratio}" ""
        fun key image ->
            let struct (_, h, w) = Pixels.extents "randomResizedCrop" image
            let top, left, partHeight, partWidth = resizedCropPlace scale ratio key h w
            Pixels.window "randomResizedCrop" zero top left partHeight partWidth image
            |> Pixels.resize PixelSampling.Bilinear true height width

    /// A random part of 8 to 100 % of the area, width to height from 3/4 to 4/3, in the given size.
    let randomResizedCrop (size: int[]) : ImageTransform = randomResizedCropOf size (0.08, 1.0) (3.0 / 4.0, 4.0 / 3.0)

    /// Shear, rotation (degrees, clockwise), scaling and a shift in pixels, about the centre.
    let affine interpolation fill angle (shiftX: float, shiftY: float) scale (shearX, shearY) : ImageTransform =
        if not (scale > 0.0) then fail "affine" "a scale above 0" (string scale) ""
        let m = Warp.inverse angle (struct (shiftX, shiftY)) scale (struct (shearX, shearY))
        fun _ image -> Warp.apply interpolation (float32 fill) m image

    /// Rotation about the centre by so many degrees counter-clockwise.
    let rotate (interpolation: PixelSampling) (fill: float) (angle: float) : ImageTransform =
        affine interpolation fill -angle (0.0, 0.0) 1.0 (0.0, 0.0)

    /// Rotation by a random angle from -degrees to degrees; zeros come in from outside.
    let randomRotation (degrees: float) : ImageTransform =
        fun key image ->
            rotate PixelSampling.Nearest 0.0 (between (-degrees, degrees) key 0) (Threefry.fold key 0u) image

    /// A random affine map.
    let randomAffine (options: AffineOptions) : ImageTransform =
        let inUnit x = x >= 0.0 && x <= 1.0
        if not (inUnit (fst options.Translate) && inUnit (snd options.Translate)) then
            fail "randomAffine" "shifts from 0 to 1 of the image" (string options.Translate) ""
        fun key image ->
            let struct (_, h, w) = Pixels.extents "randomAffine" image
            let shift share extent index =
                let limit = share * float extent
                Math.Round(between (-limit, limit) key index)
            let shifts = shift (fst options.Translate) w 1, shift (snd options.Translate) h 2
            let shears = between options.ShearX key 4, between options.ShearY key 5
            let scale = between options.Scale key 3
            affine options.Interpolation options.Fill (between options.Degrees key 0) shifts scale shears key image

    // ---- colours

    /// Grey, in 1 channel or in 3 equal ones.
    let grayscale (channels: int) : ImageTransform = fun _ image -> Colors.grayscale channels image

    /// Grey with probability p; the number of channels stays.
    let randomGrayscale (p: float) : ImageTransform =
        randomApply p (fun _ image ->
            if image.Rank < 3 then image else Colors.grayscale image.Shape[image.Rank - 3] image)

    /// Times a factor.
    let adjustBrightness (factor: float) : ImageTransform = fun _ image -> Colors.brightness factor image

    /// Away from the mean grey (above 1) or towards it (below).
    let adjustContrast (factor: float) : ImageTransform = fun _ image -> Colors.contrast factor image

    /// Away from each pixel's grey (above 1) or towards it (below).
    let adjustSaturation (factor: float) : ImageTransform = fun _ image -> Colors.saturation factor image

    /// Hues turned by a part of the circle, from -0.5 to 0.5.
    let adjustHue (turn: float) : ImageTransform =
        if not (abs turn <= 0.5) then fail "adjustHue" "a turn from -0.5 to 0.5" (string turn) ""
        fun _ image -> Colors.hue turn image

    /// Random brightness, contrast, saturation and hue, in random order.
    let colorJitter (o: JitterOptions) : ImageTransform =
        if not (o.Brightness >= 0.0 && o.Contrast >= 0.0 && o.Saturation >= 0.0 && o.Hue >= 0.0 && o.Hue <= 0.5) then
            let got = String.Join(", ", [| o.Brightness; o.Contrast; o.Saturation; o.Hue |])
            fail "colorJitter" "extents of 0 and more, the hue's up to 0.5" got ""
        let factor x = between (max 0.0 (1.0 - x), 1.0 + x)
        fun key image ->
            let step (image: Tensor) which =
                match which with
                | 0 when o.Brightness > 0.0 -> Colors.brightness (factor o.Brightness key 0) image
                | 1 when o.Contrast > 0.0 -> Colors.contrast (factor o.Contrast key 1) image
                | 2 when o.Saturation > 0.0 -> Colors.saturation (factor o.Saturation key 2) image
                | 3 when o.Hue > 0.0 -> Colors.hue (between (-o.Hue, o.Hue) key 3) image
                | _ -> image
            Host.permutation (Threefry.fold key 0u) 4 |> Array.fold step image

    // ---- erasing

    /// torchvision's: with probability 0.5, 2 to 33 % of the area, 0.3 to 3.3 times as wide as high, becomes 0.
    let erasingDefaults: ErasingOptions = { P = 0.5; Scale = (0.02, 0.33); Ratio = (0.3, 3.3); Value = 0.0 }

    /// A random rectangle becomes one value.
    let randomErasing (options: ErasingOptions) : ImageTransform =
        checkP "randomErasing" options.P
        let erase key (image: Tensor) =
            let struct (planes, h, w) = Pixels.extents "randomErasing" image
            let area, logs = float h * float w, (log (fst options.Ratio), log (snd options.Ratio))
            let attempt n =
                let target, form = area * between options.Scale key (4 * n), exp (between logs key (4 * n + 1))
                let height, width = int (Math.Round(sqrt (target * form))), int (Math.Round(sqrt (target / form)))
                if height > 0 && height < h && width > 0 && width < w then
                    Some(upTo (h - height) key (4 * n + 2), upTo (w - width) key (4 * n + 3), height, width)
                else
                    None
            match Seq.tryPick attempt (seq { 0..9 }) with
            | None -> image
            | Some(top, left, height, width) ->
                let s = Buffers.copy (Host.storage image)
                let value = Constant.ofFloat image.DType options.Value
                for p in 0 .. planes - 1 do
                    for y in top .. top + height - 1 do
                        for x in left .. left + width - 1 do
                            Buffers.write s ((p * h + y) * w + x) value
                Op.literal s image.Shape
        randomApply options.P erase
