/// Rewriting: every rule is a law, and what it makes of programs.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Core.Tests.Programs.Programs> |])>]
module Nanograd.Core.Tests.RewriteTests

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck.NUnit
open Nanograd
open Nanograd.Core.Tests.Programs
open Nanograd.Core.Tests.TextbookTests

let private nodes (roots: Tensor[]) = Graph.topological roots

// ------------------------------------------------------------------------------------------------ every rule is a law

let private ruleNames = Rewrite.rules |> List.map (fun r -> r.Name)
let private byName = Rewrite.rules |> List.map (fun r -> r.Name, r) |> dict

[<Test>]
let ``rules have names of their own`` () =
    Assert.That(ruleNames, Is.Unique)
    Assert.That(ruleNames |> List.map (fun n -> n.Split(':').[0]), Is.Unique)

/// A random instance of a rule's left side, and what the rule makes of it; none where the draw does not fit (not every
/// rule is about every type).
let private instance (r: Rule) (seed: int) : (Tensor * Tensor) option =
    let random = Random seed
    let floats = [| DType.F64; DType.F32 |]
    let types =
        if r.Stage = Stage.Relaxed then
            floats
        else
            Array.concat [ floats; floats; [| DType.I32; DType.I64; DType.U8 |] ]
    let draw = Draw(random, types[random.Next types.Length])
    try
        let left = r.Sample draw
        if Patterns.head left.Op <> r.Head then
            None
        else
            match r.Apply left with
            | ValueSome right when right <> left -> Some(left, right)
            | _ -> None
    with
    | :? ShapeException
    | :? ArgumentException -> None

/// Values of both sides, with the same numbers for the variables.
let private sides (left: Tensor) (right: Tensor) (number: int -> float) =
    let bindings = Dictionary<Hash, Storage>()
    nodes [| left; right |]
    |> Array.filter (fun t ->
        match t.Op with
        | Op.Input _ -> true
        | _ -> false)
    |> Array.iteri (fun i v ->
        bindings[v.Hash] <-
            Program.storage (ofFloats v.DType v.Shape (Seq.init v.Count (fun k -> number (100 * i + k)))))
    let values = Interpreter.evaluate bindings [| left; right |]
    elements values[0], elements values[1]

let private special = [| nan; infinity; -infinity; 0.0; -0.0; -1.5; 1.0; 0.7 |]

let private equalNumbers (a: Constant) (b: Constant) =
    a.DType = b.DType
    && (a.Bits = b.Bits
        || (DType.isFloat a.DType && (a.Float = b.Float || (Double.IsNaN a.Float && Double.IsNaN b.Float))))

let private areWhole (cs: Constant[]) =
    cs |> Array.forall (fun c -> not (DType.isFloat c.DType) || (c.Float % 1.0 = 0.0 && abs c.Float < 1e6))

[<TestCaseSource(nameof ruleNames)>]
let ``rule`` (name: string) =
    let r = byName[name]
    let tried = cases 60
    let mutable fired = 0
    for seed in 1..tried do
        match instance r seed with
        | None -> ()
        | Some(left, right) ->
            fired <- fired + 1
            Assert.That(Shape.describe right, Is.EqualTo(Shape.describe left))
            let random = Random seed
            let text = lazy $"{Print.algebra left}  ->  {Print.algebra right}"
            let compare isExact (number: int -> float) =
                let expected, actual = sides left right number
                let agree =
                    if isExact expected then
                        equalNumbers
                    else
                        within (if left.DType = DType.F32 then 1e-5 else 1e-12) expected
                match differences agree expected actual with
                | Some wrong -> Assert.Fail $"{text.Value}: {wrong}"
                | None -> ()
            // On whole numbers nothing is rounded, so rules that only change the order of rounding are exact, too.
            let isAlgebra = r.Stage <> Stage.Relaxed
            if isAlgebra then
                compare (fun expected -> r.Exact || areWhole expected) (fun _ -> float (random.Next(-4, 5)))
            compare (fun _ -> r.Exact) (fun _ -> 0.3 + 1.7 * random.NextDouble() ** 2.0)
            if isAlgebra && (r.Exact || not (name.StartsWith("pow-half", StringComparison.Ordinal))) then
                compare (fun _ -> r.Exact) (fun _ -> special[random.Next special.Length])
    Assert.That(fired, Is.GreaterThanOrEqualTo(tried / 12), $"fired {fired} times on {tried} random instances")

[<Test>]
let ``docs/rules.md lists the rules`` () =
    let text = System.Text.StringBuilder()
    let line (s: string) = text.Append(s).Append('\n') |> ignore
    line "# The rule book"
    line ""
    line
        "The laws by which programs are rewritten (`Rewrite.fs`, `Rules.*.fs`), written from the tables by `RewriteTests.fs`"
    line
        "(NANOGRAD_UPDATE=1). Each is tested on random instances of its left side: shapes, types and values. *Exact*: both"
    line
        "sides are the same number for all operands, infinities and NaN too (-0 and 0 are the same); *rounding*: they differ by"
    line "rounding, and are exact on whole numbers; *for readers*: used for printing only, true of finite numbers."
    line ""
    line
        "A rule is heard only where the program does not become costlier by it, in operations and in bytes, whoever else reads"
    line "what it takes apart (`Descent.fs`). `Rewrite.trace` shows which rules fired, in order."
    let families = Rewrite.rules |> List.groupBy (fun r -> r.Family)
    for family, rules in families do
        line ""
        line $"## {family}"
        line ""
        line "| rule | law | for instance | |"
        line "|---|---|---|---|"
        for r in rules do
            let cell (s: string) = s.Replace("|", "\\|").Replace("\n", "; ")
            let at = r.Name.IndexOf ':'
            let example =
                match Seq.initInfinite ((+) 1) |> Seq.truncate 200 |> Seq.tryPick (instance r) with
                | Some(left, right) -> $"`{cell (Print.algebra left)}` → `{cell (Print.algebra right)}`"
                | None -> ""
            let kind =
                if r.Stage = Stage.Relaxed then "for readers"
                elif r.Exact then "exact"
                else "rounding"
            line $"| {r.Name.Substring(0, at)} | {cell (r.Name.Substring(at + 1).Trim())} | {example} | {kind} |"
    generated "docs/rules.md" (text.ToString())

// ------------------------------------------------------------------------------------------------ programs

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

/// Readers see one winner where equals share: such programs are left out.
let private hasTies (t: Tensor) =
    nodes [| t |]
    |> Array.exists (fun n ->
        match n.Op with
        | Op.Binary Binary.Eq -> DType.isFloat n.Inputs[0].DType
        | _ -> false)

let private prettyKeepsValues (p: Sample) =
    for t in p.Roots |> Array.filter (hasTies >> not) do
        let pretty = Rewrite.pretty t
        if Shape.describe pretty <> Shape.describe t then failwith $"{Shape.describe t} became {Shape.describe pretty}"
        let expected = interpreted t
        match differences (within 1e-8 expected) expected (interpreted pretty) with
        | Some text -> failwith $"{Print.algebra t}\n  ->\n{Print.algebra pretty}\n{text}"
        | None -> ()

[<Law 300>]
let ``what readers see has the values of what there is`` (p: SmoothProgram) = prettyKeepsValues p

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

[<Test>]
let ``a trace reads as a derivation`` () =
    let x = symbol "x"
    let lines = (string (Rewrite.trace [| -(-(x + 0.0)) |])).Split '\n'
    Assert.That(lines[0], Is.EqualTo "1. add-zero: x + 0 = x")
    Assert.That(lines[1], Is.EqualTo "        x + 0")
    Assert.That(lines[2], Is.EqualTo "      = x")

[<Test>]
let ``what must be computed again is left alone`` () =
    let x = variable "x" [| 3 |]
    let body, _ = Lambda.trace [| DType.F32, [| 3 |] |] (fun p -> [| -(-(sin p[0])) |])
    let simple = Rewrite.simplify (Op.checkpoint body [| x |])
    match simple[0].Op, simple[0].Inputs[0].Op with
    | Op.Item 0, Op.Checkpoint l -> Assert.That(Print.algebra l.Results[0], Is.EqualTo "sin p0")
    | _ -> Assert.Fail(Print.algebra simple[0])

[<Test>]
let ``an operand with other users is not taken apart`` () =
    let x = variable "x" [| 3 |]
    let n = -x
    let p = [| n * tanh n |]
    Assert.That((Rewrite.simplify p = p), Print.algebra (Rewrite.simplify p).[0])
