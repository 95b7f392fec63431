/// Rewriting: every rule is a law, and what it makes of programs.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Core.Tests.Programs.Programs> |])>]
module Nanograd.Core.Tests.RewriteTests

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck.NUnit
open Nanograd
open Nanograd.Core.Tests.Programs

let private x, y, w =
    Op.input "x" DType.F64 [| 2; 3; 4 |], Op.input "y" DType.F64 [| 2; 3; 4 |], Op.input "w" DType.F64 [| 4; 5 |]

let private nodes (roots: Tensor[]) = Graph.topological roots

let private values (bindings: Dictionary<Hash, Storage>) (t: Tensor) =
    elements (Interpreter.evaluate bindings [| t |]).[0]

let private bound (number: int -> float) =
    let bindings = Dictionary<Hash, Storage>()
    for i, v in List.indexed [ x; y; w ] do
        bindings[v.Hash] <- Program.storage (f64 v.Shape (Seq.init v.Count (fun k -> number (100 * i + k))))
    bindings

let private moderate = bound (fun k -> 0.3 + 1.7 * (numbers 3 300)[k] ** 2.0)
let private special = [| nan; infinity; -infinity; 0.0; -0.0; -1.5; 1.0; 0.7 |]
let private extreme = bound (fun k -> special[Random(k).Next special.Length])

let private ruleNames = Rewrite.rules |> List.map (fun r -> r.Name)
let private byName = Rewrite.rules |> List.map (fun r -> r.Name, r) |> dict

/// Exact for infinities, and only so: x ** 0.5 of -infinity is infinity, sqrt says NaN.
let private isExempt (r: Rule) =
    r.Stage = Stage.Relaxed
    || r.Name.StartsWith("pow-half", StringComparison.Ordinal)
    || r.Name.StartsWith("int-", StringComparison.Ordinal)

[<Test>]
let ``rules have names of their own`` () = Assert.That(ruleNames, Is.Unique)

[<TestCaseSource(nameof ruleNames)>]
let ``rule`` (name: string) =
    let r = byName[name]
    let left = r.Sample x y w
    Assert.That(Patterns.head left.Op, Is.EqualTo r.Head, "the sample is of another kind than the rule rewrites")
    match r.Apply left with
    | ValueNone -> Assert.Fail $"does not fire on its sample {Print.algebra left}"
    | ValueSome right ->
        Assert.That(Shape.describe right, Is.EqualTo(Shape.describe left))
        Assert.That(right, Is.Not.EqualTo left)
        let compare (bindings: Dictionary<Hash, Storage>) =
            let expected = values bindings left
            assertClose 1e-12 $"{Print.algebra left}  ->  {Print.algebra right}" expected (values bindings right)
        compare moderate
        if not (isExempt r) then compare extreme

let costsNoMore (p: Sample) =
    let once = Rewrite.simplify p.Roots
    let struct (work, bytes) = Cost.ofAll p.Roots
    let struct (workAfter, bytesAfter) = Cost.ofAll once
    if workAfter > work || bytesAfter > bytes then
        failwith (
            $"{work} operations, {bytes} bytes became {workAfter}, {bytesAfter}:\n"
            + String.Join("\n", once |> Array.map Print.algebra)
        )
    for a, b in Array.zip p.Roots once do
        if Shape.describe a <> Shape.describe b then failwith $"{Shape.describe a} became {Shape.describe b}"

let isIdempotent (p: Sample) =
    let once = Rewrite.simplify p.Roots
    for a, b in Array.zip once (Rewrite.simplify once) do
        if a <> b then failwith $"not idempotent:\n{Print.algebra a}\nbecame\n{Print.algebra b}"

[<Law 200>]
let ``simplify makes no program costlier: smooth`` (p: SmoothProgram) = costsNoMore p

[<Law 200>]
let ``simplify makes no program costlier: any`` (p: TameProgram) = costsNoMore p

[<Law 200>]
let ``simplify makes no program costlier: integers`` (p: WholeProgram) = costsNoMore p

/// Bytes that the kernels of a plan read and write.
let private traffic (roots: Tensor[]) =
    let _, inputs, outputs = abstracted roots
    let plan = Lower.plan inputs outputs
    let bytes b = float plan.Buffers[b].Length * float (DType.size plan.Buffers[b].DType)
    plan.Kernels
    |> Array.sumBy (fun k ->
        let struct (read, written) = Kernel.touches k in Array.sumBy bytes (Array.append read written))

/// How kernels are cut is a heuristic: what is simpler is now and then cut worse. So this law is one of many programs.
[<Test>]
let ``simplified programs move less memory`` () =
    let tried = cases 500
    let both =
        [ for seed in 1..tried do
              let roots = Maker.make (if seed % 2 = 0 then Pool.Smooth DType.F64 else Pool.Tame) seed 12
              traffic roots, traffic (Rewrite.simplify roots) ]
    let worse = both |> List.filter (fun (before, after) -> after > before) |> List.length
    Assert.That(List.sumBy snd both, Is.LessThan(List.sumBy fst both))
    Assert.That(100 * worse, Is.LessThan(2 * tried), $"{worse} of {tried} programs move more memory")

[<Law 200>]
let ``the rewriter counts users rightly`` (p: TameProgram) =
    let descent = Rewrite.descend p.Roots
    let name (ts: seq<Tensor>) = ts |> Seq.map (fun t -> string t.Hash) |> Seq.sort |> Seq.toList
    if name descent.Live <> name (nodes descent.Results) then
        failwith $"{descent.Live.Length} nodes counted, {(nodes descent.Results).Length} there"

[<Law 200>]
let ``simplify does nothing the second time: smooth`` (p: SmoothProgram) = isIdempotent p

[<Law 200>]
let ``simplify does nothing the second time: any`` (p: TameProgram) = isIdempotent p

let private isPermute (t: Tensor) =
    match t.Op with
    | Op.Movement(Movement.Permute _) -> true
    | _ -> false

[<Test>]
let ``a linear layer and its gradients contain no transposition`` () =
    let x, w = Op.input "x" DType.F32 [| 8; 4 |], Op.input "w" DType.F32 [| 5; 4 |]
    let y = matmul x (transpose w)
    let all = Array.append [| y |] (Grad.gradient (sum (y * y)) [| x; w |])
    Assert.That(nodes all |> Array.exists isPermute, "there is something to remove")
    Assert.That(nodes (Rewrite.simplify all) |> Array.filter isPermute, Is.Empty)

[<Test>]
let ``the gradient of slices that make up a tensor is one concatenation`` () =
    let qkv = Op.input "qkv" DType.F32 [| 2; 12 |]
    let part i = slice 1 (4 * i) (4 * i + 4) qkv
    let g = Rewrite.simplify (Grad.gradient (sum (sin (part 0) * cos (part 1) * exp (part 2))) [| qkv |])
    let count f = nodes g |> Array.filter f |> Array.length
    Assert.That(
        count (fun t ->
            match t.Op with
            | Op.Movement(Movement.Concat _) -> true
            | _ -> false),
        Is.EqualTo 1
    )
    Assert.That(
        count (fun t ->
            match t.Op with
            | Op.Movement(Movement.Pad _) -> true
            | _ -> false),
        Is.EqualTo 0
    )

[<Test>]
let ``the gradient of softmax cross-entropy reads softmax - y`` () =
    let z, y = Op.input "z" DType.F32 [| 4 |], Op.input "y" DType.F32 [| 4 |]
    let g = Grad.gradient (-(sum (y * logSoftmax -1 z))) [| z |]
    Assert.That(Print.algebra (Rewrite.pretty g[0]), Does.Contain "softmax")

[<Test>]
let ``trace shows the steps in order`` () =
    let x = Op.input "x" DType.F32 [| 3 |]
    let trace = Rewrite.trace [| -(-(x + 0.0)) |]
    Assert.That(trace.Results[0], Is.EqualTo x)
    let names = trace.Steps |> Array.map (fun s -> s.Rule.Split(':').[0])
    Assert.That((names = [| "add-zero"; "neg-neg" |]), string trace)
