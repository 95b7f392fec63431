module Nanograd.Models.Tests.SafetensorsTests

open System
open System.IO
open System.Text
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

let private bytesOf (t: Tensor) =
    match DType.size t.DType with
    | 8 -> toArray<int64> t |> Array.collect BitConverter.GetBytes
    | 4 -> toArray<int32> t |> Array.collect BitConverter.GetBytes
    | 2 -> toArray<int16> t |> Array.collect BitConverter.GetBytes
    | _ -> toArray<byte> t

let private example =
    named
        [ "f64", ofArray DType.F64 [| 2 |] [| nan; -0.0 |]
          "f32", ofArray DType.F32 [| 2; 2 |] [| 1.0f; infinityf; -3.5f; 1e-42f |]
          "f16", ofArray DType.F16 [| 3 |] [| Half.One; Half.NaN; Half.Epsilon |]
          "bf16", ofArray DType.BF16 [| 1 |] [| 0x3F80us |]
          "i64", ofArray DType.I64 [||] [| Int64.MinValue |]
          "i32", ofArray DType.I32 [| 2 |] [| -1; 7 |]
          "u32", ofArray DType.U32 [| 1 |] [| 4000000000u |]
          "u8", ofArray DType.U8 [| 3 |] [| 1uy; 2uy; 255uy |]
          "i8", ofArray DType.I8 [| 1 |] [| -5y |]
          "bool", ofArray DType.Bool [| 2 |] [| 1uy; 0uy |]
          "empty", ofArray DType.F32 [| 0; 3 |] ([||]: float32[])
          "naïve 名前", ofArray DType.F32 [| 1 |] [| 2.0f |] ]

[<Test>]
let ``what is saved is loaded, bit for bit, for every element type`` () =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "a.safetensors")
        Safetensors.save path (named [ "who", "me \"and\" you" ]) example
        let struct (loaded, metadata) = Safetensors.loadAll path
        Assert.That(metadata["who"], Is.EqualTo "me \"and\" you")
        Assert.That(loaded.Count, Is.EqualTo example.Count)
        for pair in example do
            let t = loaded[pair.Key]
            Assert.That(t.DType, Is.EqualTo pair.Value.DType)
            Assert.That(t.Shape, Is.EqualTo<int[]> pair.Value.Shape)
            Assert.That(bytesOf t, Is.EqualTo<byte[]>(bytesOf pair.Value), pair.Key)
        Assert.That(Directory.GetFiles(folder).Length, Is.EqualTo 1, "no temporary file stays"))

[<Test>]
let ``the bytes of a file are those of the format`` () =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "a.safetensors")
        Safetensors.save
            path
            (named [ "k", "v" ])
            (named [ "b", i32 [ 1 ] [ 258 ]; "a", ofArray DType.U8 [||] [| 9uy |] ])
        let header =
            """{"__metadata__":{"k":"v"},"b":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[],"data_offsets":[4,5]}}"""
        let padded = header.PadRight((header.Length + 7) / 8 * 8)
        let expected =
            Array.concat
                [ BitConverter.GetBytes(int64 padded.Length)
                  Encoding.ASCII.GetBytes padded
                  [| 2uy; 1uy; 0uy; 0uy; 9uy |] ]
        Assert.That(File.ReadAllBytes path, Is.EqualTo<byte[]> expected))

let private fileOf (header: string) (data: byte[]) =
    Array.concat
        [ BitConverter.GetBytes(int64 (Encoding.UTF8.GetByteCount header)); Encoding.UTF8.GetBytes header; data ]

let private damagedFiles =
    let one = """{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"""
    let pair first second =
        fileOf
            ("""{"a":{"dtype":"U8","shape":[2],"data_offsets":"""
             + first
             + """},"b":{"dtype":"U8","shape":[2],"data_offsets":"""
             + second
             + "}}")
            (Array.zeroCreate 4)
    [ "no bytes", [||], "not a safetensors file"
      "a text", Encoding.ASCII.GetBytes "this is a text, not tensors", "not a safetensors file"
      "a header beyond the file", BitConverter.GetBytes 1000L, "truncated or not a safetensors file"
      "not JSON", fileOf "{\"a\":" [||], "not JSON"
      "not an object", fileOf "[1]" [||], "not a JSON object"
      "truncated data", fileOf one (Array.zeroCreate 3), "truncated"
      "extra data", fileOf one (Array.zeroCreate 5), "1 unused bytes after the last"
      "unknown type", fileOf (one.Replace("F32", "F8_E4M3")) (Array.zeroCreate 4), "F8_E4M3"
      "length mismatch", fileOf (one.Replace("[1]", "[2]")) (Array.zeroCreate 4), "needs 8 bytes"
      "negative extent", fileOf (one.Replace("[1]", "[-1]")) (Array.zeroCreate 4), "extent"
      "huge extents",
      fileOf (one.Replace("[1]", "[4000000000,4000000000,4000000000]")) (Array.zeroCreate 4),
      "more than"
      "no shape", fileOf (one.Replace("shape", "shapes")) (Array.zeroCreate 4), "'shape'"
      "offsets backwards", fileOf (one.Replace("[0,4]", "[4,0]")) (Array.zeroCreate 4), "offsets"
      "described twice", fileOf (one.TrimEnd '}' + "}," + one.TrimStart '{') (Array.zeroCreate 4), "twice"
      "overlap", pair "[0,2]" "[1,3]", "overlap"
      "hole", pair "[0,2]" "[3,5]", "unused bytes before tensor 'b'"
      "bad bool", fileOf (one.Replace("F32", "BOOL").Replace("0,4", "0,1")) [| 2uy |], "neither 0 nor 1"
      "metadata of numbers", fileOf """{"__metadata__":{"a":1}}""" [||], "metadata 'a'" ]

let damaged =
    damagedFiles
    |> List.map (fun (what, bytes, part) -> TestCaseData(bytes, part).SetName $"a damaged file is named: {what}")

[<TestCaseSource(nameof damaged)>]
let ``a damaged file is one clear sentence that names it`` (bytes: byte[], part: string) =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "broken.safetensors")
        File.WriteAllBytes(path, bytes)
        raises<InvalidDataException> [ path; part ] (fun () -> Safetensors.load path |> ignore))

[<Test>]
let ``a missing file and a folder are named`` () =
    inFolder (fun folder ->
        raises<FileNotFoundException> [ "nothing.safetensors" ] (fun () ->
            Safetensors.load (Path.Combine(folder, "nothing.safetensors")) |> ignore)
        raises<IOException> [ "is a folder" ] (fun () -> Safetensors.load folder |> ignore))

[<Property(MaxTest = 300)>]
let ``a changed byte in the header is found, or harmless`` (at: uint16, value: byte) =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "a.safetensors")
        Safetensors.save
            path
            (named [])
            (named [ "weight", f32 [ 2; 2 ] [ 1.0; 2.0; 3.0; 4.0 ]; "bias", i32 [ 1 ] [ 3 ] ])
        let bytes = File.ReadAllBytes path
        bytes[int at % (bytes.Length - 20)] <- value
        File.WriteAllBytes(path, bytes)
        try
            for t in (Safetensors.load path).Values do
                Assert.That(bytesOf t |> Array.length, Is.EqualTo(t.Count * DType.size t.DType))
        with :? InvalidDataException ->
            ())

[<Test>]
let ``a failing write leaves the old file and no temporary one`` () =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "sub", "a.txt")
        AtomicFile.writeText path "old"
        raises<InvalidOperationException> [ "disk full" ] (fun () ->
            AtomicFile.write path (fun stream ->
                stream.WriteByte 1uy
                raise (InvalidOperationException "disk full")))
        Assert.That(File.ReadAllText path, Is.EqualTo "old")
        Assert.That(Directory.GetFiles(Path.GetDirectoryName path), Is.EqualTo<string[]> [| path |]))

[<Test>]
let ``the digest is that of the bytes its documentation lists`` () =
    let tensors = named [ "b", i32 [ 2 ] [ 1; -1 ]; "B", f32 [] [ 1.5 ] ]
    let text (s: string) = Array.append (BitConverter.GetBytes s.Length) (Encoding.ASCII.GetBytes s)
    let bytes =
        Array.concat
            [ text "B"
              text "F32"
              BitConverter.GetBytes 0
              BitConverter.GetBytes 1.5f
              text "b"
              text "I32"
              BitConverter.GetBytes 1
              BitConverter.GetBytes 2L
              BitConverter.GetBytes 1
              BitConverter.GetBytes -1 ]
    let expected = Convert.ToHexStringLower(Security.Cryptography.SHA256.HashData bytes)
    Assert.That(Safetensors.sha256 tensors, Is.EqualTo expected)

[<Test>]
let ``the digest knows names, types, shapes and bits`` () =
    let digest pairs = Safetensors.sha256 (named pairs)
    let base' = digest [ "a", f32 [ 2 ] [ 0.0; 1.0 ] ]
    let others =
        [ digest [ "b", f32 [ 2 ] [ 0.0; 1.0 ] ]
          digest [ "a", f32 [ 1; 2 ] [ 0.0; 1.0 ] ]
          digest [ "a", f32 [ 2 ] [ -0.0; 1.0 ] ]
          digest [ "a", i32 [ 2 ] [ 0; BitConverter.SingleToInt32Bits 1.0f ] ]
          digest [ "a", f32 [ 2 ] [ 0.0; 1.0 ]; "c", f32 [ 0 ] [] ] ]
    Assert.That(others, Has.None.EqualTo base')
    Assert.That(digest [ "a", f32 [ 2 ] [ 0.0; 1.0 ] ], Is.EqualTo base')

[<Test>]
let ``published files are read`` () =
    let path = oracle [ "llama-tiny-bf16"; "model.safetensors" ]
    let struct (tensors, metadata) = Safetensors.loadAll path
    Assert.That(metadata["format"], Is.EqualTo "pt")
    Assert.That(tensors["model.embed_tokens.weight"].DType, Is.EqualTo DType.BF16)
