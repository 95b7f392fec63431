module Nanograd.Models.Tests.ImageTests

open System
open NUnit.Framework
open Nanograd

let private key (n: int) = Counter.key 11L 99u (int64 n)
let private none = key 0

let private image (shape: int[]) = Random.uniform (Random.key 3L) shape |> eval
let private bytes (shape: int[]) = ofArray DType.U8 shape (Array.init (Array.fold (*) 1 shape) (fun i -> byte (i * 37)))

/// A small image [1; h; w] whose pixel (y, x) is 10 y + x.
let private coordinates h w =
    ofArray
        DType.F32
        [| 1; h; w |]
        [| for y in 0 .. h - 1 do
               for x in 0 .. w - 1 -> float32 (10 * y + x) |]

let private rows (t: Tensor) =
    floats t |> Array.chunkBySize t.Shape[t.Rank - 1] |> Array.map Array.toList |> Array.toList

let private close (expected: Tensor) (actual: Tensor) =
    Assert.That(actual.Shape, equalTo expected.Shape)
    assertClose 1e-5 "image" (floats expected) (floats actual)

// ---- values

[<Test>]
let ``toTensor scales bytes, keeps floats, gives a channel`` () =
    let x = bytes [| 3; 4; 5 |]
    close (cast DType.F32 x / 255.0) (Image.toTensor none x)
    Assert.That((Image.toTensor none (bytes [| 4; 5 |])).Shape, equalTo [| 1; 4; 5 |])
    let f = image [| 1; 4; 4 |]
    Assert.That(floats (Image.toTensor none f), equalTo (floats f))

[<Test>]
let ``normalize is (x - mean) / deviation of each channel`` () =
    let x = image [| 2; 3; 4; 5 |]
    let column (values: float list) = f32 [ 3; 1; 1 ] values
    let expected = (x - column [ 0.1; 0.2; 0.3 ]) / column [ 0.5; 1.0; 2.0 ]
    close expected (Image.normalize [ 0.1; 0.2; 0.3 ] [ 0.5; 1.0; 2.0 ] none x)
    close ((x - 0.13) / 0.3) (Image.normalize [ 0.13 ] [ 0.3 ] none x)
    raises<ShapeException> [ "as many means" ] (fun () -> Image.normalize [ 0.1 ] [] |> ignore)
    raises<ShapeException> [ "deviations above 0" ] (fun () -> Image.normalize [ 0.1 ] [ 0.0 ] |> ignore)
    raises<ShapeException> [ "2 channels"; "f32[2,3,4,5]" ] (fun () ->
        Image.normalize [ 0.; 0. ] [ 1.; 1. ] none x |> ignore)
    raises<ShapeException> [ "toTensor" ] (fun () ->
        Image.normalize [ 0.1 ] [ 1.0 ] none (bytes [| 1; 2; 2 |]) |> ignore)

// ---- place and size

[<Test>]
let ``flips are their own inverses and reverse an axis`` () =
    for x in
        [ image [| 3; 4; 5 |]
          bytes [| 3; 4; 5 |]
          cast DType.F64 (image [| 4; 5 |]) |> eval
          cast DType.F16 (image [| 4; 5 |]) |> eval ] do
        let h = Image.horizontalFlip none
        let v = Image.verticalFlip none
        Assert.That((h x).DType, equalTo x.DType)
        Assert.That(floats (h (h x)), equalTo (floats x))
        Assert.That(floats (h x), equalTo (floats (flip [ -1 ] x)))
        Assert.That(floats (v x), equalTo (floats (flip [ -2 ] x)))

[<Test>]
let ``random flips are what they say, as often as they say`` () =
    let x = image [| 1; 2; 3 |]
    let flipped = floats (Image.horizontalFlip none x)
    let count =
        Seq.init 4000 (fun n -> floats (Image.randomHorizontalFlip 0.3 (key n) x) = flipped)
        |> Seq.filter id
        |> Seq.length
    Assert.That(float count / 4000.0, Is.EqualTo(0.3).Within 0.03)
    Assert.That(floats (Image.randomVerticalFlip 0.0 none x), equalTo (floats x))
    Assert.That(floats (Image.randomVerticalFlip 1.0 none x), equalTo (floats (Image.verticalFlip none x)))
    raises<ShapeException> [ "probability"; "1.5" ] (fun () -> Image.randomHorizontalFlip 1.5 |> ignore)

[<Test>]
let ``padding goes on beyond the border in four ways`` () =
    let x = f32 [ 1; 1; 3 ] [ 1.; 2.; 3. ]
    let row fill = floats (Image.pad fill (2, 0, 2, 0) none x) |> Array.toList
    Assert.That(row (PaddingFill.Constant 9.0), equalTo [ 9.; 9.; 1.; 2.; 3.; 9.; 9. ])
    Assert.That(row PaddingFill.Edge, equalTo [ 1.; 1.; 1.; 2.; 3.; 3.; 3. ])
    Assert.That(row PaddingFill.Reflect, equalTo [ 3.; 2.; 1.; 2.; 3.; 2.; 1. ])
    Assert.That(row PaddingFill.Symmetric, equalTo [ 2.; 1.; 1.; 2.; 3.; 3.; 2. ])
    Assert.That((Image.pad PaddingFill.Edge (1, 2, 3, 4) none (image [| 3; 5; 6 |])).Shape, equalTo [| 3; 11; 10 |])
    raises<ShapeException> [ "reflection" ] (fun () -> Image.pad PaddingFill.Reflect (3, 0, 0, 0) none x |> ignore)

[<Test>]
let ``the middle is cut out, zeros around what is too small`` () =
    Assert.That(rows (Image.centerCrop [| 2 |] none (coordinates 4 5)), equalTo [ [ 12.; 13. ]; [ 22.; 23. ] ]) // 1.5 rounds to 2
    Assert.That(rows (Image.centerCrop [| 1; 4 |] none (coordinates 1 2)), equalTo [ [ 0.; 0.; 1.; 0. ] ])
    Assert.That(rows (Image.centerCrop [| 1; 5 |] none (coordinates 1 2)), equalTo [ [ 0.; 0.; 1.; 0.; 0. ] ])

[<Test>]
let ``random crops are parts, every place as likely as any`` () =
    let x = coordinates 3 4
    let corners = [| for n in 0..5999 -> (floats (Image.randomCrop [| 2; 2 |] 0 (key n) x))[0] |]
    let counts = Array.countBy id corners
    Assert.That(Array.map fst counts |> Array.sort, equalTo [| 0.; 1.; 2.; 10.; 11.; 12. |])
    for _, count in counts do
        Assert.That(count, Is.InRange(850, 1150))
    for n in 0..20 do
        let part = floats (Image.randomCrop [| 2; 2 |] 0 (key n) x)
        Assert.That(part |> Array.map (fun v -> v - part[0]), equalTo [| 0.; 1.; 10.; 11. |])
    Assert.That((Image.randomCrop [| 5; 6 |] 1 none x).Shape, equalTo [| 1; 5; 6 |])
    raises<ShapeException> [ "at least 4 x 4"; "f32[1,3,4]" ] (fun () -> Image.randomCrop [| 4 |] 0 none x |> ignore)
    let needed = { CropOptions.Of [| 4 |] with PadIfNeeded = true }
    Assert.That((Image.randomCropOf needed none x).Shape, equalTo [| 1; 4; 4 |])

[<Test>]
let ``resizing by whole factors is means of blocks, and repetition of nearest pixels`` () =
    let x = image [| 2; 6; 8 |]
    let half = Image.resizeOf PixelSampling.Nearest true [| 12; 16 |] none x
    Assert.That(floats half |> Array.take 4, equalTo [| (floats x)[0]; (floats x)[0]; (floats x)[1]; (floats x)[1] |])
    // Without antialias, a half has the mean of the two middle pixels of each pair.
    let smaller = Image.resizeOf PixelSampling.Bilinear false [| 3; 4 |] none x
    close (avgPool (PoolOptions.Of [| 2; 2 |]) (unsqueeze 0 x) |> squeeze 0) smaller

[<Test>]
let ``resizing keeps constants and lines`` () =
    for h, w in [ 3, 9; 7, 7; 20, 4; 1, 1 ] do
        let constant = full DType.F32 [| 1; 7; 7 |] 0.3 |> eval
        close (full DType.F32 [| 1; h; w |] 0.3) (Image.resize [| h; w |] none constant)
    let line = ofArray DType.F32 [| 1; 1; 8 |] (Array.init 8 float32)
    // Pixel i of 16 lies at (i + 0.5) / 2 - 0.5; ends stay within the image.
    let expected = Array.init 16 (fun i -> Math.Clamp((float i + 0.5) / 2.0 - 0.5, 0.0, 7.0))
    assertClose 1e-6 "line" expected (floats (Image.resize [| 1; 16 |] none line))

[<Test>]
let ``one number resizes the shorter side`` () =
    Assert.That((Image.resize [| 10 |] none (image [| 3; 20; 31 |])).Shape, equalTo [| 3; 10; 15 |])
    Assert.That((Image.resize [| 10 |] none (image [| 3; 31; 20 |])).Shape, equalTo [| 3; 15; 10 |])
    Assert.That((Image.resize [| 6; 5 |] none (bytes [| 3; 31; 20 |])).DType, equalTo DType.U8)
    raises<ShapeException> [ "positive"; "[0]" ] (fun () -> Image.resize [| 0 |] |> ignore)

[<Test>]
let ``right angles and whole shifts move pixels`` () =
    let x = coordinates 3 3
    for interpolation in [ PixelSampling.Nearest; PixelSampling.Bilinear ] do
        let turn = Image.rotate interpolation 0.0
        Assert.That(rows (turn 90.0 none x), equalTo [ [ 2.; 12.; 22. ]; [ 1.; 11.; 21. ]; [ 0.; 10.; 20. ] ])
        Assert.That(floats (turn 180.0 none x), equalTo (floats x |> Array.rev))
        Assert.That(floats (turn 360.0 none x), equalTo (floats x))
        let shifted = Image.affine interpolation -1.0 0.0 (1.0, -1.0) 1.0 (0.0, 0.0) none x
        Assert.That(rows shifted, equalTo [ [ -1.; 10.; 11. ]; [ -1.; 20.; 21. ]; [ -1.; -1.; -1. ] ])
    let doubled = Image.affine PixelSampling.Bilinear 0.0 0.0 (0.0, 0.0) 2.0 (0.0, 0.0) none (coordinates 5 5)
    Assert.That((rows doubled)[2], equalTo [ 21.; 21.5; 22.; 22.5; 23. ])

[<Test>]
let ``random rotations and affine maps keep shape and type, and are functions of the key`` () =
    let affine =
        Image.randomAffine
            { AffineOptions.Of 20.0 with
                Translate = (0.1, 0.2)
                Scale = (0.8, 1.2)
                ShearX = (-5.0, 5.0)
                Interpolation = PixelSampling.Bilinear }
    for transform in [ Image.randomRotation 30.0; affine ] do
        for x in [ image [| 3; 9; 7 |]; bytes [| 1; 9; 7 |] ] do
            let y = transform (key 1) x
            Assert.That((y.DType, y.Shape), equalTo ((x.DType, x.Shape)))
            Assert.That(floats (transform (key 1) x), equalTo (floats y))
            Assert.That(floats (transform (key 2) x), notEqualTo (floats y))

[<Test>]
let ``random resized crops have the size asked for and values of the image`` () =
    let x = image [| 1; 20; 30 |]
    let low, high = Array.min (floats x), Array.max (floats x)
    for n in 0..50 do
        let y = Image.randomResizedCrop [| 8 |] (key n) x
        Assert.That(y.Shape, equalTo [| 1; 8; 8 |])
        for v in floats y do
            Assert.That(v, Is.InRange(low - 1e-6, high + 1e-6))
    // The whole image, when nothing else is allowed.
    close (Image.resize [| 4; 6 |] none x) (Image.randomResizedCropOf [| 4; 6 |] (1.0, 1.0) (1.5, 1.5) none x)

// ---- colours

[<Test>]
let ``brightness, contrast and saturation are blends`` () =
    let x = image [| 2; 3; 4; 5 |]
    let gray = 0.2989 * x[*, 0..0] + 0.587 * x[*, 1..1] + 0.114 * x[*, 2..2]
    let clamped t = clamp 0.0 1.0 t
    for f in [ 0.0; 0.4; 1.0; 1.7 ] do
        close (clamped (x * f)) (Image.adjustBrightness f none x)
        close (clamped (f * x + (1.0 - f) * meanKeep [ 1; 2; 3 ] gray)) (Image.adjustContrast f none x)
        close (clamped (f * x + (1.0 - f) * gray)) (Image.adjustSaturation f none x)
    close gray (Image.grayscale 1 none x)
    Assert.That((Image.grayscale 3 none x).Shape, equalTo x.Shape)
    close (broadcastTo [| 2; 3; 4; 5 |] gray) (Image.randomGrayscale 1.0 none x)

[<Test>]
let ``hues turn in a circle`` () =
    let x = image [| 3; 4; 5 |]
    close x (Image.adjustHue 0.0 none x)
    close x (Image.adjustHue 0.5 none (Image.adjustHue 0.5 none x))
    let red = f32 [ 3; 1; 1 ] [ 1.; 0.; 0. ]
    close (f32 [ 3; 1; 1 ] [ 0.; 1.; 0. ]) (Image.adjustHue (1.0 / 3.0) none red)
    close (f32 [ 3; 1; 1 ] [ 0.; 0.; 1. ]) (Image.adjustHue (-1.0 / 3.0) none red)
    let gray = image [| 1; 4; 5 |]
    Assert.That(floats (Image.adjustHue 0.3 none gray), equalTo (floats gray))

[<Test>]
let ``jitter of nothing is nothing, of all stays in range`` () =
    let x = image [| 3; 6; 6 |]
    let off: JitterOptions = { Brightness = 0.0; Contrast = 0.0; Saturation = 0.0; Hue = 0.0 }
    Assert.That(floats (Image.colorJitter off none x), equalTo (floats x))
    let strong = { Brightness = 0.9; Contrast = 0.9; Saturation = 0.9; Hue = 0.5 }
    for n in 0..20 do
        for v in floats (Image.colorJitter strong (key n) x) do
            Assert.That(v, Is.InRange(-1e-6, 1.0 + 1e-6))
    raises<ShapeException> [ "up to 0.5" ] (fun () -> Image.colorJitter { off with Hue = 0.6 } |> ignore)

[<Test>]
let ``erasing puts one value into one rectangle`` () =
    let x = image [| 2; 20; 30 |] + 1.0 |> eval
    let options = { Image.erasingDefaults with P = 1.0; Value = -1.0 }
    for n in 0..50 do
        let y = Image.randomErasing options (key n) x
        let erased = toArray<float32> y |> Array.map (fun v -> v = -1.0f) |> Array.chunkBySize 600
        Assert.That(erased[1], equalTo erased[0])
        let places =
            [| for i in 0..599 do
                   if erased[0].[i] then i / 30, i % 30 |]
        let extent f = (places |> Array.map f |> Array.max) - (places |> Array.map f |> Array.min) + 1
        Assert.That(places.Length, equalTo (extent fst * extent snd))
        Assert.That(float places.Length / 600.0, Is.InRange(0.01, 0.36))
        Array.iter2
            (fun before (after: float) -> if after <> -1.0 then Assert.That(after, equalTo before))
            (floats x)
            (floats y)
    Assert.That(floats (Image.randomErasing { options with P = 0.0 } none x), equalTo (floats x))

// ---- composition

[<Test>]
let ``composed transforms run in order, each with its own key`` () =
    let x = image [| 1; 8; 8 |]
    let steps = [ Image.toTensor; Image.horizontalFlip; Image.centerCrop [| 4 |]; Image.normalize [ 0.5 ] [ 0.25 ] ]
    let byHand = steps |> List.fold (fun t step -> step none t) x
    Assert.That(floats (Image.compose steps none x), equalTo (floats byHand))
    let keys = Collections.Generic.List<Threefry.Key>()
    let noting: ImageTransform =
        fun k t ->
            keys.Add k
            t
    Image.compose [ noting; noting; Image.randomApply 1.0 noting; Image.randomChoice [ noting ] ] none x |> ignore
    Assert.That(Seq.distinct keys |> Seq.length, equalTo 4)
    let pair = Image.first Image.horizontalFlip none (x, 3)
    Assert.That(snd pair, equalTo 3)
    Assert.That(floats (fst pair), equalTo (floats (Image.horizontalFlip none x)))

[<Test>]
let ``random choices are equally frequent`` () =
    let set v : ImageTransform = fun _ t -> fullLike v t
    let choose = Image.randomChoice [ set 0.0; set 1.0; set 2.0 ]
    let counts =
        Seq.init 3000 (fun n -> item (choose (key n) (zeros [| 1; 1; 1 |]) |> sum)) |> Seq.countBy id |> Seq.map snd
    for count in counts do
        Assert.That(count, Is.InRange(850, 1150))

// ---- batches

[<Test>]
let ``mixup weighs each example with its neighbour`` () =
    let x, y = image [| 4; 1; 3; 3 |], ofArray DType.I64 [| 4 |] [| 0L; 2L; 1L; 2L |]
    for n in 0..20 do
        let mixed, shares = Mix.mixup 0.4 3 (key n) (x, y)
        let share = Mix.beta 0.4 (key n)
        close (share * x + (1.0 - share) * roll 1 0 x) mixed
        let hot = cast DType.F32 (eq (unsqueeze 1 y) (arange DType.I64 3))
        close (share * hot + (1.0 - share) * roll 1 0 hot) shares
        let again, _ = Mix.mixup 0.4 3 (key n) (x, shares)
        Assert.That(again.Shape, equalTo x.Shape)

[<Test>]
let ``cutmix takes a rectangle of the neighbour and weighs labels by the area`` () =
    let n, h, w = 3, 8, 9
    let x = broadcastTo [| n; 2; h; w |] (reshape [| n; 1; 1; 1 |] (arange DType.F32 n)) |> eval
    let y = arange DType.I64 n
    for k in 0..30 do
        let mixed, shares = Mix.cutmix 1.0 3 (key k) (x, y)
        let own = cast DType.F32 (eq mixed x) |> meanOver [ 1; 2; 3 ] |> floats
        let values = floats shares |> Array.chunkBySize 3
        for i in 0 .. n - 1 do
            Assert.That(values[i].[i], Is.EqualTo(own[i]).Within 1e-5)
            Assert.That(values[i].[(i + n - 1) % n], Is.EqualTo(1.0 - own[i]).Within 1e-5)

[<Test>]
let ``shares of mixing have the mean and variance of the beta distribution`` () =
    for alpha in [ 0.2; 1.0; 4.0 ] do
        let draws = Array.init 20000 (fun n -> Mix.beta alpha (key n))
        let mean = Array.average draws
        let variance = draws |> Array.averageBy (fun d -> (d - mean) * (d - mean))
        Assert.That(mean, Is.EqualTo(0.5).Within 0.015)
        Assert.That(variance, Is.EqualTo(1.0 / (4.0 * (2.0 * alpha + 1.0))).Within(5).Percent)

[<Test>]
let ``mixing checks what it gets`` () =
    let x, y = image [| 2; 1; 3; 3 |], ofArray DType.I64 [| 2 |] [| 0L; 5L |]
    raises<IndexException> [ "mixup"; "5" ] (fun () -> Mix.mixup 1.0 3 none (x, y) |> ignore)
    raises<ShapeException> [ "alpha" ] (fun () -> Mix.mixup 0.0 9 none (x, y) |> ignore)
    raises<ShapeException> [ "classes [n]" ] (fun () -> Mix.cutmix 1.0 9 none (x, arange DType.I64 3) |> ignore)
    raises<ShapeException> [ "toTensor" ] (fun () -> Mix.cutmix 1.0 9 none (bytes [| 2; 1; 3; 3 |], y) |> ignore)
