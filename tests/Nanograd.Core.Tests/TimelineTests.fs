/// A profile's page must be a page, hold every kernel that ran, and say nothing that a name could make it do.
module Nanograd.Core.Tests.TimelineTests

open System
open System.Text.Json
open System.Text.RegularExpressions
open System.Xml.Linq
open NUnit.Framework
open Nanograd

let private data (page: string) : JsonElement =
    let found = Regex.Match(page, "^const profile = (.*);$", RegexOptions.Multiline)
    Assert.That(found.Success, "the page has no data")
    JsonDocument.Parse(found.Groups[1].Value).RootElement

/// Names in order.
let private assertEqual (expected: string[]) (actual: string[]) =
    Assert.That((actual = expected), $"%A{actual}\ninstead of\n%A{expected}")

let private items (e: JsonElement) (name: string) = e.GetProperty(name).EnumerateArray() |> Seq.toArray
let private names (e: JsonElement) (list: string) : string[] =
    items e list |> Array.map (fun k -> k.GetProperty("name").GetString())

/// The page without what stands in its script and its style is XML.
let private isPage (page: string) =
    Assert.That(page, Does.StartWith "<!DOCTYPE html>")
    let outside = Regex.Replace(page, "(?s)(<script>|<style>).*?(</script>|</style>)", "$1$2")
    let html = XDocument.Parse(outside.Substring "<!DOCTYPE html>".Length).Root
    Assert.That(html.Name.LocalName, Is.EqualTo "html")
    Assert.That(Seq.length (html.Descendants "script"), Is.EqualTo 1)
    Assert.That(page, Does.Not.Match "src=|href=|https?://|url\\(|@import", "a page of one file")

let private step =
    jit (fun (x, w) ->
        let h = gelu (matmul x w)
        let _, states = scan (fun c r -> let c = tanh (c + r) in c, c) (zeros [| 96 |]) h
        softmax -1 (matmul states (transpose w)))

let private operands = noise DType.F32 1 [| 64; 96 |], noise DType.F32 2 [| 96; 96 |]

[<Test>]
let ``every kernel and every span is in the page`` () =
    step operands |> ignore
    let p =
        Program.profile (fun () ->
            for _ in 1..3 do
                step operands |> ignore)
    let page = Timeline.page p
    isPage page
    let d = data page
    let kernels = names d "kernels"
    assertEqual (p.Kernels |> Array.map (fun k -> k.Name)) kernels
    assertEqual (p.Groups |> Array.map (fun k -> k.Name)) (names d "groups")
    let spans =
        items d "spans" |> Array.map (fun s -> s.EnumerateArray() |> Seq.map (fun x -> x.GetDouble()) |> Seq.toArray)
    let whole, parts = spans |> Array.partition (fun s -> s[1] < 0.0)
    Assert.That(whole.Length, Is.EqualTo(p.Spans |> Array.filter (fun s -> not s.IsPart) |> Array.length))
    Assert.That(whole |> Array.filter (fun s -> s[0] < 0.0) |> Array.length, Is.EqualTo 3)
    let threads = d.GetProperty("threads").GetInt32()
    for s in spans do
        Assert.That(s[0], Is.InRange(-1.0, float (kernels.Length - 1)))
        Assert.That(s[1], Is.InRange(-1.0, float (threads - 1)))
        Assert.That(s[2], Is.InRange(0.0, s[3]))
    // Whatever ran, some thread did it.
    let ran =
        whole
        |> Array.map (fun s -> int s[0])
        |> Array.filter (fun k -> k >= 0 && p.Kernels[k].Family <> KernelFamily.Loop)
    Assert.That(parts |> Array.map (fun s -> int s[0]) |> Array.distinct, Is.EquivalentTo(Array.distinct ran))

[<Test>]
let ``no thread does two things at once`` () =
    step operands |> ignore
    let p = Program.profile (fun () -> step operands)
    let lanes =
        items (data (Timeline.page p)) "spans"
        |> Array.map (fun s -> s.EnumerateArray() |> Seq.map (fun x -> x.GetDouble()) |> Seq.toArray)
        |> Array.filter (fun s -> s[1] >= 0.0)
        |> Array.groupBy (fun s -> s[1])
    for _, spans in lanes do
        for before, after in spans |> Array.sortBy (fun s -> s[2]) |> Array.pairwise do
            Assert.That(after[2], Is.GreaterThanOrEqualTo(before[3] - 1e-4))

[<Test>]
let ``memory is the arena, and no two buffers are in one place`` () =
    step operands |> ignore
    let d = data (Timeline.page (Program.profile (fun () -> step operands)))
    let program = (items d "programs")[0]
    let arena = program.GetProperty("arena").GetInt64()
    let buffers =
        items program "buffers"
        |> Array.map (fun b ->
            let number (name: string) = b.GetProperty(name).GetInt64()
            {| First = number "first"
               Last = number "last"
               Offset = number "offset"
               Bytes = number "bytes" |})
    Assert.That(buffers, Is.Not.Empty)
    for a in buffers do
        Assert.That(a.First, Is.LessThanOrEqualTo a.Last)
        Assert.That(a.Offset + a.Bytes, Is.LessThanOrEqualTo arena)
    for a, b in Seq.allPairs buffers buffers |> Seq.filter (fun (a, b) -> a <> b) do
        let isLater = a.First > b.Last || b.First > a.Last
        let isElsewhere = a.Offset >= b.Offset + b.Bytes || b.Offset >= a.Offset + a.Bytes
        Assert.That(isLater || isElsewhere, $"{a} and {b}")

[<Test>]
let ``names do nothing but stand there`` () =
    let nasty = "</script><script>alert(1)</script>\"'\\&\u2028\n<!--"
    let x = noise DType.F32 1 [| 8; 8 |]
    let v = Op.input nasty DType.F32 [| 8; 8 |]
    let program = Program.compile [| v |] [| exp (matmul v v) |] [| false |]
    let p = Program.profile (fun () -> program.Run [| Program.storage x |])
    let page = Timeline.page p
    isPage page
    Assert.That(Regex.Matches(page, "</?script").Count, Is.EqualTo 2)
    Assert.That(page, Does.Not.Contain "<!--")
    let inputs =
        items (data page) "kernels" |> Array.collect (fun k -> items k "inputs") |> Array.map (fun s -> s.GetString())
    Assert.That(inputs, Does.Contain nasty)

[<Test>]
let ``a profile of nothing is a page, too`` () =
    let page = Timeline.page (Program.profile ignore)
    isPage page
    Assert.That(items (data page) "kernels", Is.Empty)

[<Test>]
let ``thousands of kernels are no trouble`` () =
    let run =
        jit (fun x -> List.init 1500 id |> List.fold (fun (h: Tensor) i -> cumSum 0 (h * (1.0 + float (i % 7)))) x)
    let x = noise DType.F32 1 [| 4 |]
    run x |> ignore
    let p = Program.profile (fun () -> run x)
    Assert.That(p.Kernels.Length, Is.GreaterThan 1500)
    let watch = Diagnostics.Stopwatch.StartNew()
    let page = Timeline.page p
    Assert.That(watch.Elapsed.TotalSeconds, Is.LessThan 5.0)
    Assert.That((items (data page) "kernels").Length, Is.EqualTo p.Kernels.Length)
