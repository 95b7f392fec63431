module Nanograd.Models.Tests.DataFileTests

open System
open System.IO
open System.IO.Compression
open System.Text
open NUnit.Framework
open Nanograd

let private inFile (name: string) (test: string -> unit) = inFolder (fun folder -> test (Path.Combine(folder, name)))

/// The type, shape and bits of a tensor.
let private bits (t: Tensor) =
    let s = Program.storage (Program.evaluate [| t |]).[0]
    t.DType, t.Shape, Array.init s.Length (fun i -> (Buffers.read s i).Bits)

let private same (expected: Tensor) (actual: Tensor) = Assert.That((bits actual = bits expected))

/// A random tensor of a type, extremes and (of floats) infinities included.
let private randomOf (r: Random) (dtype: DType) (shape: int[]) =
    let s = Buffers.allocate dtype (Shape.count shape)
    for i in 0 .. s.Length - 1 do
        let c =
            match r.Next 5 with
            | 0 when DType.isFloat dtype -> Constant.ofFloat dtype [| infinity; -infinity; -0.0 |].[r.Next 3]
            | _ when DType.isFloat dtype -> Constant.ofFloat dtype (r.NextDouble() * 2.0 - 1.0)
            | _ -> Constant.ofInt dtype (r.NextInt64())
        Buffers.write s i c
    Op.literal s shape

let private randomShape (r: Random) rank = Array.init rank (fun _ -> r.Next(if rank > 2 then 5 else 9))

// ---- IDX

[<Test>]
let ``IDX files give back what was written, compressed or not`` () =
    inFolder (fun folder ->
        for seed in 0..49 do
            let r = Random seed
            let dtype = [ DType.U8; DType.I8; DType.I32; DType.F32; DType.F64 ].[r.Next 5]
            let t = randomOf r dtype (randomShape r (r.Next 5))
            let path = Path.Combine(folder, (if r.Next 2 = 0 then "a.idx" else "a.gz"))
            Idx.write path t
            same t (Idx.read path))

[<Test>]
let ``IDX files have the bytes of the format`` () =
    inFile "a" (fun path ->
        Idx.write path (i32 [ 2; 1 ] [ 1; -2 ])
        Assert.That(
            File.ReadAllBytes path,
            equalTo [| 0; 0; 0x0C; 2; 0; 0; 0; 2; 0; 0; 0; 1; 0; 0; 0; 1; 255; 255; 255; 254 |]
        )
        File.WriteAllBytes(path, [| 0uy; 0uy; 0x0Buy; 1uy; 0uy; 0uy; 0uy; 2uy; 255uy; 255uy; 1uy; 2uy |])
        same (i32 [ 2 ] [ -1; 258 ]) (Idx.read path))

[<Test>]
let ``damaged IDX files are errors that name file and fault`` () =
    inFile "a.idx" (fun path ->
        let fails (bytes: byte[]) parts =
            File.WriteAllBytes(path, bytes)
            raises<InvalidDataException> (path :: parts) (fun () -> Idx.read path |> ignore)
        fails [| 1uy; 2uy; 3uy; 4uy |] [ "not an IDX file" ]
        fails [||] [ "not an IDX file" ]
        fails [| 0uy; 0uy; 7uy; 1uy; 0uy; 0uy; 0uy; 0uy |] [ "no element type 07" ]
        fails [| 0uy; 0uy; 8uy; 3uy; 0uy |] [ "truncated"; "3 extents" ]
        fails [| 0uy; 0uy; 8uy; 1uy; 0uy; 0uy; 0uy; 5uy; 1uy; 2uy |] [ "truncated"; "5 bytes"; "there are 2" ]
        fails [| 0uy; 0uy; 8uy; 1uy; 0uy; 0uy; 0uy; 1uy; 1uy; 2uy |] [ "too many bytes" ]
        fails [| 0uy; 0uy; 8uy; 2uy; 255uy; 255uy; 255uy; 255uy; 255uy; 255uy; 255uy; 255uy |] [ "truncated" ]
        raises<FileNotFoundException> [ "nowhere" ] (fun () -> Idx.read "nowhere" |> ignore)
        raises<ShapeException> [ "u8, i8, i32, f32 and f64" ] (fun () -> Idx.write path (arange DType.I64 3)))
    inFile "a.gz" (fun path ->
        Idx.write path (randomOf (Random 1) DType.F64 [| 1000 |])
        let whole = File.ReadAllBytes path
        for cut in [ 1; 5; 100; whole.Length - 20 ] do
            File.WriteAllBytes(path, whole[.. whole.Length - 1 - cut])
            raises<InvalidDataException> [ path ] (fun () -> Idx.read path |> ignore))

// ---- NPY and NPZ

let private layouts =
    [ for fortran in [ false; true ] do
          for big in [ false; true ] -> { Fortran = fortran; BigEndian = big } ]

[<Test>]
let ``NPY files give back what was written, in every type and layout`` () =
    inFile "a.npy" (fun path ->
        let mutable seed = 0
        for dtype in DType.all do
            if dtype <> DType.BF16 then
                for layout in layouts do
                    for rank in 0..4 do
                        seed <- seed + 1
                        let r = Random seed
                        let t = randomOf r dtype (randomShape r rank)
                        Npy.writeAs layout path t
                        same t (Npy.read path))

[<Test>]
let ``NPY files have the bytes of the format`` () =
    inFile "a.npy" (fun path ->
        Npy.write path (i32 [ 2 ] [ 1; 2 ])
        let bytes = File.ReadAllBytes path
        let text = Encoding.Latin1.GetString bytes
        Assert.That(
            text,
            Does.StartWith
                "\u0093NUMPY\u0001\u0000\u0076\u0000{'descr': '<i4', 'fortran_order': False, 'shape': (2,), } "
        )
        Assert.That(bytes.Length, equalTo (128 + 8))
        Assert.That(bytes[127], equalTo (byte '\n')))

/// A file with any header.
let private npy (header: string) (data: byte[]) =
    Array.concat
        [ [| 0x93uy |]
          Encoding.ASCII.GetBytes "NUMPY"
          [| 1uy; 0uy; byte header.Length; byte (header.Length >>> 8) |]
          Encoding.ASCII.GetBytes header
          data ]

[<Test>]
let ``16-bit and unsigned 64-bit integers become wider or signed ones`` () =
    inFile "a.npy" (fun path ->
        let reads descr data (expected: Tensor) =
            File.WriteAllBytes(
                path,
                npy $"{{\"descr\": \"{descr}\", \"fortran_order\": False, \"shape\": (2, )}}" data
            )
            same expected (Npy.read path)
        reads "<i2" [| 255uy; 255uy; 2uy; 1uy |] (i32 [ 2 ] [ -1; 258 ])
        reads ">u2" [| 255uy; 254uy; 0uy; 3uy |] (i32 [ 2 ] [ 65534; 3 ])
        let wide = Array.append [| 7uy |] (Array.zeroCreate 15)
        reads "<u8" wide (ofArray DType.I64 [| 2 |] [| 7L; 0L |])
        wide[15] <- 128uy
        raises<InvalidDataException> [ path; "do not fit" ] (fun () -> reads "<u8" wide (zeros [| 2 |])))

[<Test>]
let ``damaged NPY files are errors that name file and fault`` () =
    inFile "a.npy" (fun path ->
        let fails (bytes: byte[]) parts =
            File.WriteAllBytes(path, bytes)
            raises<InvalidDataException> (path :: parts) (fun () -> Npy.read path |> ignore)
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}"
        fails [| 1uy; 2uy |] [ "not an NPY file" ]
        fails (npy header [| 1uy; 2uy |]) [ "truncated"; "f4[2] needs 8 bytes"; "there are 2" ]
        fails (npy header (Array.zeroCreate 9)) [ "too many bytes" ]
        fails (npy header [||]).[..30] [ "truncated"; "header" ]
        fails (npy (header.Replace("<f4", "<c8")) [||]) [ "'<c8'" ]
        fails (npy (header.Replace("'<f4'", "[('x', '<f4')]")) [||]) [ "several fields" ]
        fails (npy (header.Replace("(2,)", "(2, x)")) [||]) [ "shape"; "whole numbers" ]
        fails (npy (header.Replace("shape", "form")) [||]) [ "shape" ]
        fails (npy (header.Replace("(2,)", "(99999999999,)")) [||]) [ "more than" ]
        fails (npy (header.Replace("(2,)", "(0, 99999999999)")) [||]) [ "more than" ]
        raises<ShapeException> [ "bf16" ] (fun () -> Npy.write path (cast DType.BF16 (ones [| 2 |]))))

[<Test>]
let ``NPZ files give back named tensors, compressed or not`` () =
    inFile "a.npz" (fun path ->
        for seed, write in [ 1, Npy.writeAll; 2, Npy.writeCompressed ] do
            let r = Random seed
            let tensors =
                named
                    [ "x", randomOf r DType.F32 [| 3; 4 |]
                      "deep/y", randomOf r DType.I64 [| 1000 |]
                      "scalar", randomOf r DType.Bool [||] ]
            write path tensors
            let back = Npy.readAll path
            Assert.That(back.Keys, Is.EquivalentTo tensors.Keys)
            for pair in tensors do
                same pair.Value back[pair.Key]
        let once = File.ReadAllBytes path
        Npy.writeCompressed path (Npy.readAll path)
        Assert.That(File.ReadAllBytes path, equalTo once))

[<Test>]
let ``damaged NPZ files are errors that name file and fault`` () =
    inFile "a.npz" (fun path ->
        Npy.writeAll path (named [ "x", randomOf (Random 1) DType.F32 [| 100 |] ])
        let whole = File.ReadAllBytes path
        let fails (bytes: byte[]) parts =
            File.WriteAllBytes(path, bytes)
            raises<InvalidDataException> (path :: parts) (fun () -> Npy.readAll path |> ignore)
        fails whole[..200] [ "not an NPZ file, or is damaged" ]
        let changed = Array.copy whole
        changed[300] <- changed[300] ^^^ 1uy
        fails changed [ "'x.npy' is damaged" ]
        use archive = new ZipArchive(File.Create path, ZipArchiveMode.Create)
        archive.CreateEntry "readme.txt" |> ignore
        archive.Dispose()
        raises<InvalidDataException> [ path; "'readme.txt' is not an array" ] (fun () -> Npy.readAll path |> ignore))

// ---- CSV

let private withText (text: string) (test: string -> unit) =
    inFile "a.csv" (fun path ->
        File.WriteAllText(path, text)
        test path)

[<Test>]
let ``CSV files give back the numbers that were written, bit for bit`` () =
    inFile "a.csv" (fun path ->
        for seed in 0..19 do
            let r = Random seed
            let x = Random.normal (Random.key (int64 seed)) [| r.Next 20; 1 + r.Next 6 |]
            let names = Array.init x.Shape[1] (fun i -> $"a \"column\", number {i}")
            Csv.write Csv.defaults path names x
            let table = Csv.read Csv.defaults path
            Assert.That(table.Columns, equalTo names)
            same x (Csv.numbers Missing.Fail names table))

[<Test>]
let ``columns by name, classes as numbers or as names`` () =
    withText "x,kind,y,n\n1,cat,2.5,0\n-3e2,dog, 4 ,2\n0,cat,1,1\n" (fun path ->
        let table = Csv.read Csv.defaults path
        Assert.That(floats (Csv.numbers Missing.Fail [ "y"; "x" ] table), equalTo [| 2.5; 1.; 4.; -300.; 1.; 0. |])
        let kinds, names = Csv.classes "kind" table
        Assert.That(floats kinds, equalTo [| 0.; 1.; 0. |])
        Assert.That(names, equalTo [| "cat"; "dog" |])
        let numbers, names = Csv.classes "n" table
        Assert.That(floats numbers, equalTo [| 0.; 2.; 1. |])
        Assert.That(names, equalTo [| "0"; "1"; "2" |])
        Assert.That(Csv.texts "kind" table, equalTo [| "cat"; "dog"; "cat" |]))

[<Test>]
let ``without a header columns have numbers; other delimiters; quotes; byte-order marks`` () =
    withText "\uFEFF1;\"2\";\"a;\"\"b\"\"\nc\"\r\n3;4;d\r\n" (fun path ->
        let table = Csv.read { Csv.defaults with Delimiter = ";"; HasHeader = false } path
        Assert.That(table.Columns, equalTo [| "0"; "1"; "2" |])
        Assert.That(floats (Csv.numbers Missing.Fail [ "0"; "1" ] table), equalTo [| 1.; 2.; 3.; 4. |])
        Assert.That(Csv.texts "2" table, equalTo [| "a;\"b\"\nc"; "d" |]))

[<Test>]
let ``missing values are an error with line and column, are filled, or drop their rows`` () =
    withText "a,b,target\n1,2,0\n3,,1\n5,NA,2\n7,8,1\n" (fun path ->
        raises<InvalidDataException> [ path; "line 3, column 'b': a value is missing" ] (fun () ->
            Csv.load Csv.defaults Missing.Fail "target" path |> ignore)
        let x, y = Csv.load Csv.defaults (Missing.Fill -1.0) "target" path
        Assert.That(floats x, equalTo [| 1.; 2.; 3.; -1.; 5.; -1.; 7.; 8. |])
        Assert.That(floats y, equalTo [| 0.; 1.; 2.; 1. |])
        let x, y = Csv.load Csv.defaults Missing.Drop "target" path
        Assert.That(floats x, equalTo [| 1.; 2.; 7.; 8. |])
        Assert.That(floats y, equalTo [| 0.; 1. |]))

[<Test>]
let ``mistakes in CSV files are errors with the number of the line`` () =
    let fails text parts =
        withText text (fun path ->
            raises<InvalidDataException> (path :: parts) (fun () ->
                Csv.load Csv.defaults Missing.Fail "t" path |> ignore))
    fails "a,t\n1,0\n2,1,9\n" [ "line 3 has 3 cells where the first line has 2" ]
    fails "a,t\n1,0\n2\n" [ "line 3 has 1 cells" ]
    fails "a,t\n1,0\n\n\nx,1\n" [ "line 5, column 'a': 'x' is not a number" ]
    fails "a,t\n1,0\n\"2\"x,1\n" [ "line 3"; "quote" ]
    fails "a,t\n1,0\n\"2,1\n3,4\n" [ "quote" ]
    fails "a,a,t\n1,2,0\n" [ "2 columns have the name 'a'" ]
    fails "a,t\n1,\n" [ "line 2, column 't': a class is missing" ]
    fails "" [ "is empty" ]
    withText "a,t\n1,0\n" (fun path ->
        raises<Collections.Generic.KeyNotFoundException> [ path; "no column 'b'"; "a, t" ] (fun () ->
            Csv.read Csv.defaults path |> Csv.texts "b" |> ignore))
    raises<FileNotFoundException> [ "nowhere.csv" ] (fun () -> Csv.read Csv.defaults "nowhere.csv" |> ignore)

// ---- images

let private randomImage (r: Random) channels = randomOf r DType.U8 [| channels; 1 + r.Next 12; 1 + r.Next 12 |]

[<Test>]
let ``images give back the pixels that were written`` () =
    inFolder (fun folder ->
        for seed in 0..39 do
            let r = Random seed
            let name, channels = [ "a.png", 1 + r.Next 4; "a.pgm", 1; "a.ppm", 3 ].[r.Next 3]
            let image = randomImage r channels
            let path = Path.Combine(folder, name)
            ImageFile.write path image
            same image (ImageFile.read path))

[<Test>]
let ``floats from 0 to 1 are written as 0 to 255`` () =
    inFile "a.png" (fun path ->
        ImageFile.write path (f32 [ 1; 5 ] [ 0.0; 1.0; 0.5; -3.0; 7.0 ])
        Assert.That(toArray<byte>(ImageFile.read path), equalTo [| 0; 255; 128; 0; 255 |]))

[<Test>]
let ``channels are converted as asked`` () =
    inFile "a.png" (fun path ->
        let red = ofArray DType.U8 [| 4; 1; 2 |] [| 255uy; 10uy; 0uy; 20uy; 0uy; 30uy; 7uy; 255uy |]
        ImageFile.write path red
        let read mode = toArray<byte>(ImageFile.readAs mode path)
        Assert.That(read ImageMode.Rgba, equalTo [| 255; 10; 0; 20; 0; 30; 7; 255 |])
        Assert.That(read ImageMode.Rgb, equalTo [| 255; 10; 0; 20; 0; 30 |])
        Assert.That(read ImageMode.Gray, equalTo [| 76; 18 |])
        ImageFile.write path (ofArray DType.U8 [| 1; 2 |] [| 3uy; 9uy |])
        Assert.That(read ImageMode.Rgb, equalTo [| 3; 9; 3; 9; 3; 9 |]))

[<Test>]
let ``portable maps of every kind are read`` () =
    inFile "a.pnm" (fun path ->
        let reads (bytes: byte[]) shape (expected: int[]) =
            File.WriteAllBytes(path, bytes)
            let image = ImageFile.read path
            Assert.That(image.Shape, equalTo shape)
            Assert.That(toArray<byte> image, equalTo expected)
        let text (s: string) = Encoding.ASCII.GetBytes s
        reads (text "P2 # grey\n# 2 pixels\n2 1 15\n0 15") [| 1; 1; 2 |] [| 0; 255 |]
        reads (text "P3\n1 2\n255\n1 2 3\n4 5 6\n") [| 3; 2; 1 |] [| 1; 4; 2; 5; 3; 6 |]
        reads (Array.append (text "P5 2 1 65535\n") [| 255uy; 255uy; 128uy; 0uy |]) [| 1; 1; 2 |] [| 255; 128 |])

[<Test>]
let ``damaged images are errors that name file and fault`` () =
    let fails (path: string) (bytes: byte[]) parts =
        File.WriteAllBytes(path, bytes)
        raises<InvalidDataException> (path :: parts) (fun () -> ImageFile.read path |> ignore)
    inFile "a.png" (fun path ->
        ImageFile.write path (randomOf (Random 1) DType.U8 [| 3; 20; 20 |])
        let whole = File.ReadAllBytes path
        for cut in [ 1; 12; 13; 100; 1000 ] do
            fails path whole[.. whole.Length - 1 - cut] [ "truncated PNG" ]
        for at in [ 20; 45; 200; whole.Length - 6 ] do
            let changed = Array.copy whole
            changed[at] <- changed[at] ^^^ 16uy
            fails path changed [ "PNG file" ]
        fails path [| 1uy; 2uy; 3uy |] [ "not an image" ]
        fails path [||] [ "not an image" ])
    inFile "a.ppm" (fun path ->
        fails path (Encoding.ASCII.GetBytes "P6\n2 2\n255\n12345") [ "truncated"; "12 bytes"; "there are 5" ]
        fails path (Encoding.ASCII.GetBytes "P2\n2 2\n255\n1 2 3") [ "truncated" ]
        fails path (Encoding.ASCII.GetBytes "P2\n2 2\n255\n1 2 x 4") [ "not a number" ]
        fails path (Encoding.ASCII.GetBytes "P2\n2 1\n9\n1 10") [ "10 above 9" ]
        fails path (Encoding.ASCII.GetBytes "P1\n1 1\n1") [ "bitmap" ])
    inFile "a.jpg" (fun path ->
        let start = [| 0xFFuy; 0xD8uy; 0xFFuy; 0xE0uy; 0uy; 4uy; 0uy; 0uy |]
        fails path start [ "truncated JPEG"; "8 bytes" ]
        fails path [| 0xFFuy; 0xD8uy; 0xFFuy; 0xE0uy; 99uy; 4uy; 0uy; 0uy |] [ "truncated JPEG"; "byte 2 is cut" ]
        fails path (Array.append start [| 1uy; 2uy |]) [ "damaged JPEG"; "no marker at byte 8" ]
        fails path (Array.append start [| 0xFFuy; 0xD9uy |]) [ "damaged" ] // no picture in it
        raises<NotSupportedException> [ path; ".png, .ppm or .pgm" ] (fun () ->
            ImageFile.write path (zeros [| 2; 2 |])))

/// A JPEG file of 8 x 8 grey pixels: the tables and the scan are the smallest that say "all 128".
let private smallJpeg =
    let segment marker (data: byte[]) = Array.concat [ [| 0xFFuy; marker; 0uy; byte (data.Length + 2) |]; data ]
    let one = Array.append [| 1uy |] (Array.zeroCreate 15) // one code of one bit
    Array.concat
        [ [| 0xFFuy; 0xD8uy |]
          segment 0xDBuy (Array.append [| 0uy |] (Array.create 64 1uy))
          segment 0xC0uy [| 8uy; 0uy; 8uy; 0uy; 8uy; 1uy; 1uy; 0x11uy; 0uy |]
          segment 0xC4uy (Array.concat [ [| 0uy |]; one; [| 0uy |] ]) // a difference of 0 bits
          segment 0xC4uy (Array.concat [ [| 0x10uy |]; one; [| 0uy |] ]) // the end of the block
          segment 0xDAuy [| 1uy; 1uy; 0uy; 0uy; 63uy; 0uy |]
          [| 0x3Fuy; 0xFFuy; 0xD9uy |] ]

[<Test>]
let ``JPEG files are read, and random damage ends in pixels or in an error`` () =
    inFile "a.jpg" (fun path ->
        File.WriteAllBytes(path, smallJpeg)
        let image = ImageFile.read path
        Assert.That(image.Shape, equalTo [| 1; 8; 8 |])
        Assert.That(toArray<byte> image, equalTo (Array.create 64 128))
        for seed in 0..299 do
            let r = Random seed
            let damaged = Array.copy smallJpeg
            for _ in 0..2 do
                damaged[r.Next damaged.Length] <- byte (r.Next 256)
            // The extents would allow images of gigabytes.
            for at, value in [ 76, 0uy; 77, 8uy; 78, 0uy; 79, 8uy ] do
                damaged[at] <- value
            File.WriteAllBytes(path, damaged)
            try
                ImageFile.read path |> ignore
            with :? InvalidDataException as e ->
                Assert.That(e.Message, Does.Contain path))

[<Test>]
let ``a failed write leaves the old file`` () =
    inFile "a.png" (fun path ->
        ImageFile.write path (zeros [| 2; 2 |])
        let before = File.ReadAllBytes path
        raises<ShapeException> [ "1 or 2 or 3 or 4 channels" ] (fun () -> ImageFile.write path (zeros [| 5; 2; 2 |]))
        raises<IndexException> [ "label" ] (fun () ->
            AtomicFile.write path (fun stream ->
                stream.WriteByte 1uy
                raise (IndexException("label", 1L, 1))))
        Assert.That(File.ReadAllBytes path, equalTo before))

[<Test>]
let ``a grid has the images side by side`` () =
    let images = arange DType.F32 12 |> reshape [| 3; 1; 2; 2 |]
    let expected =
        [ [ 0; 0; 0; 0; 0; 0; 0 ]
          [ 0; 0; 1; 0; 4; 5; 0 ]
          [ 0; 2; 3; 0; 6; 7; 0 ]
          [ 0; 0; 0; 0; 0; 0; 0 ]
          [ 0; 8; 9; 0; 0; 0; 0 ]
          [ 0; 10; 11; 0; 0; 0; 0 ]
          [ 0; 0; 0; 0; 0; 0; 0 ] ]
    let grid = ImageFile.grid 2 1 images
    Assert.That(grid.Shape, equalTo [| 1; 7; 7 |])
    Assert.That(floats grid, equalTo (expected |> List.concat |> List.map float |> List.toArray))

[<Test>]
let ``folders are classes`` () =
    inFolder (fun folder ->
        for name, value in [ "dog/2.png", 2; "cat/1.png", 1; "dog/1.png", 3; "dog/deep/0.ppm", 4 ] do
            ImageFile.write (Path.Combine(folder, name)) (ofArray DType.U8 [| 3; 1; 1 |] (Array.create 3 (byte value)))
        File.WriteAllText(Path.Combine(folder, "dog", "note.txt"), "no image")
        Assert.That(ImageFolder.classes folder, equalTo [| "cat"; "dog" |])
        let found =
            ImageFolder.dataset ImageMode.Gray folder
            |> Dataset.toArray
            |> Array.map (fun (x, y) -> int (item x), int (item y))
        Assert.That(found, equalTo [| 1, 0; 3, 1; 2, 1; 4, 1 |])
        Directory.CreateDirectory(Path.Combine(folder, "empty")) |> ignore
        raises<FileNotFoundException> [ "empty"; "no images" ] (fun () ->
            ImageFolder.dataset ImageMode.Gray folder |> ignore))

// ---- known sets

/// A file of the folder `data` that lies beside the reference numbers; tests that need it are skipped where it is absent.
let private shared (parts: string list) : string =
    let root = oracleRoot ()
    let path = Path.Combine(List.toArray (string (Path.GetDirectoryName root) :: "data" :: parts))
    if root = "" || not (Path.Exists path) then
        Assert.Ignore $"the data {String.Join('/', parts)} are not on this machine"
    path

[<Test>]
let ``MNIST's test part is read`` () =
    let d = Datasets.mnistTest (shared [ "mnist" ])
    Assert.That(Dataset.report d, equalTo "10000 elements, the first: 0 u8[1,28,28], 1 i64[]")
    let labels = [ for i in 0..9 -> int (item (snd d[i])) ]
    Assert.That(labels, equalTo [ 7; 2; 1; 0; 4; 1; 4; 9; 5; 9 ])
    raises<FileNotFoundException> [ "train-images-idx3-ubyte" ] (fun () ->
        Datasets.mnist (shared [ "mnist" ]) |> ignore)

[<Test>]
let ``digits and other tables are read`` () =
    let d = Datasets.digits (shared [ "digits.csv" ])
    Assert.That(Dataset.report d, equalTo "1797 elements, the first: 0 f32[1,8,8], 1 i64[]")
    Assert.That((toArray<float32>(fst d[0])).[2], equalTo (5.0f / 16.0f))
    Assert.That(
        Dataset.report (Datasets.csv "target" (shared [ "wine.csv" ])),
        Does.StartWith "178 elements, the first: 0 f32[13]"
    )

[<Test>]
let ``texts are windows and what follows`` () =
    inFile "a.txt" (fun path ->
        File.WriteAllText(path, "abcabcab")
        let tokenizer, d = Datasets.text 3 path
        let pairs = Dataset.toArray d |> Array.map (fun (x, y) -> floats x, floats y)
        Assert.That(tokenizer.VocabularySize, equalTo 3)
        Assert.That(pairs, equalTo [| [| 0.; 1.; 2. |], [| 1.; 2.; 0. |]; [| 0.; 1.; 2. |], [| 1.; 2.; 0. |] |]))
