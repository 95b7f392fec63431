namespace Nanograd

open System
open System.IO
open StbImageSharp

/// The channels that an image is wanted in.
[<RequireQualifiedAccess>]
type ImageMode =
    /// As the file has them: 1 to 4.
    | Unchanged
    /// One: grey.
    | Gray
    /// Three: red, green, blue.
    | Rgb
    /// Four: with alpha.
    | Rgba

/// Images in files: tensors of u8 `[channels; height; width]`.
[<RequireQualifiedAccess>]
module ImageFile =
    /// The endings of names that `read` takes for images.
    let extensions: string list = [ ".png"; ".jpg"; ".jpeg"; ".bmp"; ".ppm"; ".pgm" ]

    /// Pixels with the channels side by side as planes, and back.
    let private toPlanes channels height width (pixels: byte[]) =
        let plane = height * width
        let result = Array.zeroCreate<byte> pixels.Length
        for c in 0 .. channels - 1 do
            for i in 0 .. plane - 1 do
                result[c * plane + i] <- pixels[i * channels + c]
        result

    let private ofPlanes channels height width (planes: byte[]) =
        let plane = height * width
        Array.init planes.Length (fun i -> planes[i % channels * plane + i / channels])

    let private decode (path: string) (bytes: byte[]) : struct (int * int * int * byte[]) =
        if Png.isOne bytes then Png.check path bytes
        elif Jpeg.isOne bytes then Jpeg.check path bytes
        if Pnm.isOne bytes then
            Pnm.decode path bytes
        else
            let image =
                try
                    ImageResult.FromStream(new BoundedStream(bytes), ColorComponents.Default)
                with e ->
                    let names = String.Join(", ", extensions)
                    DataFile.bad path $"is not an image of a known kind ({names}), or is damaged ({e.Message})"
            struct (int image.Comp, image.Height, image.Width, image.Data)

    /// The channels wanted, from those there are: grey is 0.299 R + 0.587 G + 0.114 B, rounded; alpha is dropped or full.
    let private withMode (mode: ImageMode) (channels: int) (pixels: byte[]) : struct (int * byte[]) =
        let count = pixels.Length / channels
        let color i c = pixels[i * channels + (if channels < 3 then 0 else c)]
        let gray i =
            if channels < 3 then
                color i 0
            else
                byte ((299 * int (color i 0) + 587 * int (color i 1) + 114 * int (color i 2) + 500) / 1000)
        let alpha i = if channels = 2 || channels = 4 then pixels[i * channels + channels - 1] else 255uy
        match mode with
        | ImageMode.Unchanged -> struct (channels, pixels)
        | ImageMode.Gray -> struct (1, Array.init count gray)
        | ImageMode.Rgb -> struct (3, Array.init (3 * count) (fun k -> color (k / 3) (k % 3)))
        | ImageMode.Rgba ->
            struct (4, Array.init (4 * count) (fun k -> if k % 4 = 3 then alpha (k / 4) else color (k / 4) (k % 4)))

    /// The image of a file in the channels wanted, u8 `[channels; height; width]`: PNG, JPEG, BMP, PPM or PGM, known by its content.
    /// 16-bit channels become 8-bit ones.
    let readAs (mode: ImageMode) (path: string) : Tensor =
        let struct (channels, height, width, pixels) = decode path (DataFile.read "an image" path)
        let struct (channels, pixels) = withMode mode channels pixels
        let planes = toPlanes channels height width pixels
        Op.literal (Buffers.ofSpan DType.U8 (ReadOnlySpan planes)) [| channels; height; width |]

    /// The image of a file with the channels that it has, u8 `[channels; height; width]`.
    let read (path: string) : Tensor = readAs ImageMode.Unchanged path

    /// The elements as bytes: u8 as they are, floats from 0 to 1 times 255, rounded; what is outside is clamped.
    let private levels (t: Tensor) : byte[] =
        let s = Host.storage t
        match t.DType with
        | DType.U8 -> (Host.bytes s).ToArray()
        | DType.Bool -> (Host.bytes s).ToArray() |> Array.map (fun b -> b * 255uy)
        | d when DType.isFloat d ->
            Array.init s.Length (fun i -> byte (Math.Round(255.0 * Math.Clamp((Buffers.read s i).Float, 0.0, 1.0))))
        | _ -> Shape.fail "image" "pixels are u8, or floats from 0 to 1" "" [ t ]

    /// Writes an image `[channels; height; width]` or `[height; width]`, u8 or floats from 0 to 1, atomically; the ending of the name says
    /// how: .png (1 to 4 channels), .pgm (1) or .ppm (3).
    let write (path: string) (image: Tensor) : unit =
        let channels, height, width =
            match image.Shape with
            | [| h; w |] -> 1, h, w
            | [| c; h; w |] -> c, h, w
            | _ -> Shape.fail "image" "the axes of an image are [channels,height,width] or [height,width]" "" [ image ]
        if height < 1 || width < 1 then Shape.fail "image" "an image has at least one pixel" "" [ image ]
        let kind = Path.GetExtension(path).ToLowerInvariant()
        let encode, allowed =
            match kind with
            | ".png" -> Png.encode, [ 1; 2; 3; 4 ]
            | ".pgm" -> Pnm.encode, [ 1 ]
            | ".ppm" -> Pnm.encode, [ 3 ]
            | _ -> raise (NotSupportedException $"{path}: images are written as .png, .ppm or .pgm, not as '{kind}'.")
        if not (List.contains channels allowed) then
            let text = String.Join(" or ", allowed)
            Shape.fail "image" $"a {kind} file has {text} channels" "" [ image ]
        let bytes = encode channels height width (ofPlanes channels height width (levels image))
        AtomicFile.write path (fun stream -> stream.Write(ReadOnlySpan bytes))

    /// Images `[n; channels; height; width]` side by side, `columns` in a row, with `padding` pixels of 0 around each.
    let grid (columns: int) (padding: int) (images: Tensor) : Tensor =
        if images.Rank <> 4 || columns < 1 || padding < 0 then
            Shape.fail "image" "images [n,channels,height,width], 1 or more in a row, padding 0 or more" "" [ images ]
        let n, c, h, w = images.Shape[0], images.Shape[1], images.Shape[2], images.Shape[3]
        let columns = min columns (max n 1)
        let rows = (n + columns - 1) / columns
        let height, width = rows * (h + padding) + padding, columns * (w + padding) + padding
        let source = Host.storage images
        let target = Buffers.allocate images.DType (c * height * width)
        (Host.bytes target).Clear()
        for i in 0 .. n - 1 do
            let top, left = i / columns * (h + padding) + padding, i % columns * (w + padding) + padding
            for k in 0 .. c * h - 1 do
                let row = k / h * height + top + k % h
                Host.copy source ((i * c * h + k) * w) target (row * width + left) w
        Op.literal target [| c; height; width |]

/// Images in folders, one for each class.
[<RequireQualifiedAccess>]
module ImageFolder =
    let private isImage (path: string) = List.contains (Path.GetExtension(path).ToLowerInvariant()) ImageFile.extensions

    /// The names of the classes, which are those of the folders in a folder, in order.
    let classes (folder: string) : string[] =
        if not (Directory.Exists folder) then raise (DirectoryNotFoundException $"There is no folder {folder}.")
        let names = Directory.GetDirectories folder |> Array.map (fun d -> string (Path.GetFileName d))
        if names.Length = 0 then
            raise (FileNotFoundException $"{folder} has no folders; each class of images must have one.")
        Array.sortWith (fun a b -> String.CompareOrdinal(a, b)) names

    /// The files and classes of a folder: class by class, in the order of the names, folders inside included.
    let files (folder: string) : (string * int)[] =
        let inClass label (name: string) =
            let found =
                Directory.GetFiles(Path.Combine(folder, name), "*", SearchOption.AllDirectories)
                |> Array.filter isImage
                |> Array.sortWith (fun a b -> String.CompareOrdinal(a, b))
            if found.Length = 0 then
                let kinds = String.Join(", ", ImageFile.extensions)
                raise (FileNotFoundException $"{Path.Combine(folder, name)} has no images ({kinds}).")
            found |> Array.map (fun path -> path, label)
        classes folder |> Array.mapi inClass |> Array.concat

    /// Images, u8 `[channels; height; width]`, and their classes, i64 scalars; files are read when their elements are asked for.
    let dataset (mode: ImageMode) (folder: string) : Dataset<Tensor * Tensor> =
        let files = files folder
        Dataset.init files.Length (fun i ->
            let path, label = files[i]
            ImageFile.readAs mode path, Host.int64s [||] [| int64 label |])
