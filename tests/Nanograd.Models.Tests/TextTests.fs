module Nanograd.Models.Tests.TextTests

open System
open System.IO
open System.Text
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

let private write (folder: string) (bytes: byte[]) =
    let path = Path.Combine(folder, "text.txt")
    File.WriteAllBytes(path, bytes)
    path

[<Test>]
let ``a byte-order mark is dropped and line ends are kept`` () =
    inFolder (fun folder ->
        let path =
            write folder (Array.append [| 0xEFuy; 0xBBuy; 0xBFuy |] (Encoding.UTF8.GetBytes "é\r\n\U0001F600\n"))
        Assert.That(TextFile.read path, Is.EqualTo "é\r\n\U0001F600\n"))

[<Test>]
let ``files that are no texts are named with what is wrong`` () =
    inFolder (fun folder ->
        raises<FileNotFoundException> [ "none.txt" ] (fun () ->
            TextFile.read (Path.Combine(folder, "none.txt")) |> ignore)
        raises<IOException> [ "is a folder" ] (fun () -> TextFile.read folder |> ignore)
        raises<InvalidDataException> [ "text.txt is empty" ] (fun () -> TextFile.read (write folder [||]) |> ignore)
        raises<InvalidDataException> [ "is empty" ] (fun () ->
            TextFile.read (write folder [| 0xEFuy; 0xBBuy; 0xBFuy |]) |> ignore)
        let latin = Array.append (Encoding.UTF8.GetBytes "abc é ") [| 0xE9uy; 32uy |]
        raises<InvalidDataException> [ "not UTF-8"; "byte 7"; "E9" ] (fun () ->
            TextFile.read (write folder latin) |> ignore)
        let marked = Array.append [| 0xEFuy; 0xBBuy; 0xBFuy; 65uy |] [| 0xFFuy |]
        raises<InvalidDataException> [ "byte 4" ] (fun () -> TextFile.read (write folder marked) |> ignore))

/// Texts of whole scalar values, some outside the first plane.
let private textOf (scalars: uint32[]) =
    let text = StringBuilder()
    for s in scalars do
        let value = int (s % 0x10F800u)
        text.Append(Rune(if value >= 0xD800 then value + 0x800 else value)) |> ignore
    text.ToString()

[<Property>]
let ``decoding gives the encoded text back`` (scalars: uint32[]) =
    let text = textOf scalars
    let t = CharTokenizer.OfText text
    let tokens = t.Encode text
    t.Decode tokens = text
    && tokens.Length = scalars.Length
    && t.CodePoints =
        (Seq.toArray (text.EnumerateRunes()) |> Array.map (fun r -> r.Value) |> Array.distinct |> Array.sort)
    && String.Join("", tokens |> Array.map t.DecodeToken) = text

[<Test>]
let ``unknown characters are listed once each with their code points`` () =
    let t = CharTokenizer.OfText "abc"
    raises<ArgumentException> [ "'é' (U+00E9)"; "'\U0001F600' (U+1F600)"; "U+000A" ] (fun () ->
        t.Encode "aé\nb\U0001F600é" |> ignore)
    raises<ArgumentException> [ "Token 3"; "3 tokens" ] (fun () -> t.Decode [ 0; 3 ] |> ignore)

[<Test>]
let ``a saved tokenizer is loaded`` () =
    inFolder (fun folder ->
        let path = Path.Combine(folder, "tokenizer.json")
        let t = CharTokenizer.OfText "héllo \"wörld\"\u0000\r\n\u2028\U0001F600"
        t.Save path
        Assert.That((CharTokenizer.Load path).CodePoints, Is.EqualTo<int[]> t.CodePoints))

[<TestCase("{", "not JSON")>]
[<TestCase("[]", "not a JSON object")>]
[<TestCase("""{"model":"bpe"}""", "'format' is missing")>]
[<TestCase("""{"format":"other","version":1,"characters":"a"}""", "its format is not")>]
[<TestCase("""{"format":"nanograd-char-tokenizer","version":2,"characters":"a"}""", "version")>]
[<TestCase("""{"format":"nanograd-char-tokenizer","version":1,"characters":"ba"}""", "sorted")>]
[<TestCase("""{"format":"nanograd-char-tokenizer","version":1,"characters":""}""", "no characters")>]
[<TestCase("""{"format":"nanograd-char-tokenizer","version":1,"characters":"\ud800"}""", "Unicode")>]
let ``a damaged tokenizer is one clear sentence`` (json: string, part: string) =
    inFolder (fun folder ->
        let path = write folder (Encoding.UTF8.GetBytes json)
        raises<InvalidDataException> [ path; part ] (fun () -> CharTokenizer.Load path |> ignore))

[<Test>]
let ``stories are the same everywhere and their sentences are accepted`` () =
    let text = Stories.generate 60_000 7L
    Assert.That(text, Is.EqualTo(Stories.generate 60_000 7L))
    Assert.That(text, Is.Not.EqualTo(Stories.generate 60_000 8L))
    Assert.That(text, Does.StartWith(Stories.generate 1000 7L))
    Assert.That(text |> Seq.forall Char.IsAscii)
    let sentences = Stories.sentences ("\n" + text)
    Assert.That(sentences.Length, Is.GreaterThan 1500)
    Assert.That(String.Join(" ", sentences), Is.EqualTo(text.Trim().Replace("\n\n", " ")))
    for s in sentences do
        Assert.That(Stories.accepts s, s)

[<Property(MaxTest = 60)>]
let ``every story is made of accepted sentences`` (seed: int64, index: uint16) =
    Stories.sentences ("\n" + Stories.story seed (int index) + "\n") |> Array.forall Stories.accepts

[<TestCase("Mia lost his ball.")>]
[<TestCase("She lost his ball.")>]
[<TestCase("Once there was a boy named Mia.")>]
[<TestCase("once there was a girl named Mia.")>]
[<TestCase("Once there was a girl named mia.")>]
[<TestCase("Once there was a girl named Mia")>]
[<TestCase("Once there  was a girl named Mia.")>]
[<TestCase("Once there was a girl naned Mia.")>]
[<TestCase("\"Do not cry, said Bob.")>]
[<TestCase("Do not cry,\" said Bob.")>]
[<TestCase("They went home.")>]
[<TestCase("")>]
[<TestCase(".")>]
[<TestCase("\"")>]
let ``sentences outside the grammar are refused`` (sentence: string) = Assert.That(Stories.accepts sentence, Is.False)

[<Test>]
let ``swapped words and changed letters are refused`` () =
    let sentences = Stories.sentences ("\n" + Stories.generate 30_000 3L) |> Array.distinct
    let swap i (s: string) =
        let words = s.Split ' '
        let i = i % (words.Length - 1)
        String.Join(
            ' ',
            words
            |> Array.permute (fun j ->
                if j = i then i + 1
                elif j = i + 1 then i
                else j)
        )
    let spoil i (s: string) =
        let i = i % s.Length in s[.. i - 1] + string (if s[i] = 'q' then 'z' else 'q') + s[i + 1 ..]
    sentences
    |> Array.iteri (fun i s ->
        let swapped = swap i s
        if swapped <> s then Assert.That(Stories.accepts swapped, Is.False, swapped)
        Assert.That(Stories.accepts (spoil i s), Is.False, spoil i s))

[<Test>]
let ``a sample is split into whole sentences`` () =
    let split = Stories.sentences
    let check text (expected: string list) = Assert.That(split text, Is.EqualTo<string[]>(List.toArray expected))
    check
        "he lost. Mia ran. \"Why?\" asked Tom. \"Go,\" said Bob. She said, \"Yes.\" Then he"
        [ "Mia ran."; "\"Why?\" asked Tom."; "\"Go,\" said Bob."; "She said, \"Yes.\"" ]
    check "cut\n\nMia ran.\nno mark\nLast." [ "Mia ran."; "no mark" ]
    check "\nMia ran. " [ "Mia ran." ]
    check "" []
    check "no end" []
