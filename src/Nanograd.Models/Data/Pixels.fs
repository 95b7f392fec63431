namespace Nanograd

open System

/// How an image goes on beyond its border.
[<RequireQualifiedAccess>]
type PaddingFill =
    /// With one value.
    | Constant of float
    /// With the pixel at the border: aaa|abcd|ddd.
    | Edge
    /// Mirrored at the pixel at the border: dcb|abcd|cba.
    | Reflect
    /// Mirrored at the border: cba|abcd|dcb.
    | Symmetric

/// How pixels between pixels are made.
[<RequireQualifiedAccess>]
type PixelSampling =
    | Nearest
    | Bilinear

/// Images on the host: the last two axes are height and width, all axes before are planes, treated alike.
[<RequireQualifiedAccess>]
module internal Pixels =
    /// Planes, height and width.
    let extents (op: string) (image: Tensor) : struct (int * int * int) =
        if image.Rank < 2 then Shape.fail op "an image has at least height and width: [..,height,width]" "" [ image ]
        let h, w = image.Shape[image.Rank - 2], image.Shape[image.Rank - 1]
        if h < 1 || w < 1 then Shape.fail op "an image must have pixels" "" [ image ]
        struct (image.Count / (h * w), h, w)

    /// The shape of an image of other size.
    let resized (image: Tensor) (height: int) (width: int) : int[] =
        Array.append image.Shape[.. image.Rank - 3] [| height; width |]

    /// Pixels as floats: of f32 themselves, of u8 0 to 255.
    let load (op: string) (image: Tensor) : float32[] =
        let s = Host.storage image
        match image.DType with
        | DType.F32 -> (Buffers.span<float32> s).ToArray()
        | DType.U8 ->
            let bytes = Buffers.span<byte> s
            let result = Array.zeroCreate<float32> bytes.Length
            for i in 0 .. result.Length - 1 do
                result[i] <- float32 bytes[i]
            result
        | _ ->
            Shape.fail op "the pixels must be u8 or f32" "toTensor makes f32 of u8; cast makes f32 of others" [ image ]

    /// Floats as pixels of the type of `like`: for u8 rounded and clamped.
    let store (like: Tensor) (shape: int[]) (values: float32[]) : Tensor =
        match like.DType with
        | DType.U8 ->
            let target = Buffers.allocate DType.U8 values.Length
            let bytes = Buffers.span<byte> target
            for i in 0 .. values.Length - 1 do
                bytes[i] <- byte (MathF.Round(Math.Clamp(values[i], 0.0f, 255.0f)))
            Op.literal target shape
        | _ -> Host.float32s shape values

    /// The largest value of a pixel: 255 of u8, 1 of floats.
    let bound (image: Tensor) : float32 = if image.DType = DType.U8 then 255.0f else 1.0f

    // ---- moving pixels: each row and column of the result is one of the image, or (-1) of one value

    let private moveAs<'T when 'T: unmanaged and 'T: struct>
        (rows: int[])
        (columns: int[])
        (fill: 'T)
        (source: Storage)
        (target: Storage)
        planes
        h
        w
        =
        let from = Buffers.span<'T> source
        let into = Buffers.span<'T> target
        let isRun =
            columns.Length > 0
            && columns[0] >= 0
            && columns[columns.Length - 1] - columns[0] = columns.Length - 1
            && Array.forall2 (fun c k -> c = columns[0] + k) columns [| 0 .. columns.Length - 1 |]
        for p in 0 .. planes - 1 do
            for y in 0 .. rows.Length - 1 do
                let line = into.Slice((p * rows.Length + y) * columns.Length, columns.Length)
                if rows[y] < 0 then
                    line.Fill fill
                else
                    let row = from.Slice((p * h + rows[y]) * w, w)
                    if isRun then
                        row.Slice(columns[0], columns.Length).CopyTo line
                    else
                        for x in 0 .. columns.Length - 1 do
                            line[x] <- if columns[x] < 0 then fill else row[columns[x]]

    /// A number as the bits of one element.
    let private bitsOf (dtype: DType) (value: float) : Storage =
        let one = Buffers.allocate dtype 1
        Buffers.write one 0 (Constant.ofFloat dtype value)
        one

    /// Pixel (y, x) of the result is pixel (rows[y], columns[x]) of the image, or `fill` where one of them is -1. Of any element type.
    let move (op: string) (rows: int[]) (columns: int[]) (fill: float) (image: Tensor) : Tensor =
        let struct (planes, h, w) = extents op image
        let shape = resized image rows.Length columns.Length
        let source, target = Host.storage image, Buffers.allocate image.DType (Shape.count shape)
        let bits = bitsOf image.DType fill
        match DType.size image.DType with
        | 1 -> moveAs<byte> rows columns (Buffers.span<byte> bits).[0] source target planes h w
        | 2 -> moveAs<uint16> rows columns (Buffers.span<uint16> bits).[0] source target planes h w
        | 4 -> moveAs<uint32> rows columns (Buffers.span<uint32> bits).[0] source target planes h w
        | _ -> moveAs<uint64> rows columns (Buffers.span<uint64> bits).[0] source target planes h w
        GC.KeepAlive source
        Op.literal target shape

    /// The place in 0 .. n - 1 that position i, perhaps outside, takes its pixel from; -1 for the constant.
    let private inside (op: string) (fill: PaddingFill) (n: int) (i: int) : int =
        if i >= 0 && i < n then
            i
        else
            let outside = if i < 0 then -i else i - n + 1 // from 1
            match fill with
            | PaddingFill.Constant _ -> -1
            | PaddingFill.Edge -> if i < 0 then 0 else n - 1
            | PaddingFill.Reflect ->
                if outside > n - 1 then
                    let got = $"{outside} pixels beyond an extent of {n}"
                    raise (
                        ShapeException(
                            op,
                            "reflection reaches at most one pixel less than the extent",
                            got,
                            "take Edge"
                        )
                    )
                if i < 0 then outside else n - 1 - outside
            | PaddingFill.Symmetric ->
                if outside > n then
                    let got = $"{outside} pixels beyond an extent of {n}"
                    raise (ShapeException(op, "symmetric padding reaches at most the extent", got, "take Edge"))
                if i < 0 then outside - 1 else n - outside

    /// The part of an image of the given corner and size; it may reach beyond the border.
    let window
        (op: string)
        (fill: PaddingFill)
        (top: int)
        (left: int)
        (height: int)
        (width: int)
        (image: Tensor)
        : Tensor =
        let struct (_, h, w) = extents op image
        let value =
            match fill with
            | PaddingFill.Constant value -> value
            | PaddingFill.Edge
            | PaddingFill.Reflect
            | PaddingFill.Symmetric -> 0.0
        let rows = Array.init height (fun y -> inside op fill h (top + y))
        let columns = Array.init width (fun x -> inside op fill w (left + x))
        move op rows columns value image

    // ---- resizing: a weighted mean of neighbours, along one axis after the other

    /// For each place of the result the first place of the source, and the weights from there on: a triangle, as wide as a step of the
    /// result where the image shrinks and `antialias` is on, else as a step of the source.
    let private weights (antialias: bool) (source: int) (target: int) : struct (int[] * float32[][]) =
        let scale = float source / float target
        let reach = if antialias then max scale 1.0 else 1.0
        let starts = Array.zeroCreate<int> target
        let all =
            Array.init target (fun i ->
                let centre = (float i + 0.5) * scale
                let first = max 0 (int (Math.Floor(centre - reach + 0.5)))
                let last = min source (int (Math.Floor(centre + reach + 0.5)))
                starts[i] <- first
                let raw =
                    Array.init (last - first) (fun k ->
                        max 0.0 (1.0 - abs ((float (first + k) - centre + 0.5) / reach)))
                let total = Array.sum raw
                raw |> Array.map (fun x -> float32 (x / total)))
        struct (starts, all)

    let private alongRows (struct (starts: int[], weights: float32[][])) planes h w (source: float32[]) =
        let target = Array.zeroCreate<float32>(planes * h * starts.Length)
        for row in 0 .. planes * h - 1 do
            for x in 0 .. starts.Length - 1 do
                let mutable sum = 0.0f
                for k in 0 .. weights[x].Length - 1 do
                    sum <- sum + weights[x].[k] * source[row * w + starts[x] + k]
                target[row * starts.Length + x] <- sum
        target

    let private alongColumns (struct (starts: int[], weights: float32[][])) planes h w (source: float32[]) =
        let target = Array.zeroCreate<float32>(planes * starts.Length * w)
        for p in 0 .. planes - 1 do
            for y in 0 .. starts.Length - 1 do
                let at = (p * starts.Length + y) * w
                for k in 0 .. weights[y].Length - 1 do
                    let weight, from = weights[y].[k], (p * h + starts[y] + k) * w
                    for x in 0 .. w - 1 do
                        target[at + x] <- target[at + x] + weight * source[from + x]
        target

    /// The image in another size.
    let resize (interpolation: PixelSampling) (antialias: bool) (height: int) (width: int) (image: Tensor) : Tensor =
        let op = "resize"
        if height < 1 || width < 1 then
            raise (ShapeException(op, "height and width must be at least 1", $"{height} x {width}", ""))
        let struct (planes, h, w) = extents op image
        match interpolation with
        | _ when height = h && width = w -> image
        | PixelSampling.Nearest ->
            let nearest target source =
                Array.init target (fun i -> min (source - 1) (int (int64 i * int64 source / int64 target)))
            move op (nearest height h) (nearest width w) 0.0 image
        | PixelSampling.Bilinear ->
            load op image
            |> (if width = w then id else alongRows (weights antialias w width) planes h w)
            |> (if height = h then id else alongColumns (weights antialias h height) planes h width)
            |> store image (resized image height width)
