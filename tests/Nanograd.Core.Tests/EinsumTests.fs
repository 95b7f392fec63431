/// einsum against loops over all labels, its gradients, its contraction orders and its errors.
module Nanograd.Core.Tests.EinsumTests

open System
open System.Collections.Generic
open FsCheck
open FsCheck.FSharp
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

// ------------------------------------------------------------------------------------------------ random equations

/// A random equation in parts: letters and '.' for the ellipsis, so that the naive evaluator parses nothing. Elements are
/// small integers in f64: all sums are exact, in any order.
type Equation(seed: int) =
    let random = Random seed
    let letters = "ijkAZ"
    let extents = letters |> Seq.map (fun c -> c, [| 0; 1; 2; 2; 3; 3; 4 |][random.Next 7]) |> dict
    let dots = Array.init (random.Next 3) (fun _ -> random.Next(1, 4))
    let hasDots = random.Next 3 = 0
    let term () =
        let own = String(Array.init (random.Next 4) (fun _ -> letters[random.Next letters.Length]))
        if hasDots && random.Next 2 = 0 then own.Insert(random.Next(own.Length + 1), ".") else own
    let terms = Array.init (1 + random.Next 5) (fun _ -> term ())
    let used = String.Join("", terms) |> Seq.filter ((<>) '.') |> Seq.distinct |> Seq.sort |> Seq.toArray
    let explicitOutput =
        if random.Next 4 = 0 then
            None
        else
            let chosen = used |> Array.filter (fun _ -> random.Next 2 = 0)
            random.Shuffle chosen
            let own = String chosen
            Some(if hasDots && random.Next 3 > 0 then own.Insert(random.Next(own.Length + 1), ".") else own)
    let shapes =
        terms
        |> Array.map (fun t ->
            // An operand may have fewer axes under the ellipsis than another, and 1 in place of an extent.
            let own = dots[random.Next(dots.Length + 1) ..] |> Array.map (fun e -> if random.Next 4 = 0 then 1 else e)
            let narrow = Dictionary<char, bool>()
            for c in t do
                narrow[c] <- random.Next 8 = 0
            t
            |> Seq.collect (fun c ->
                if c = '.' then own
                elif narrow[c] then [| 1 |]
                else [| extents[c] |])
            |> Seq.toArray)
    let dotted (s: string) = s.Replace(".", "...")
    member _.Text =
        String.Join(",", Array.map dotted terms)
        + (match explicitOutput with
           | Some o -> "->" + dotted o
           | None -> "")
    member _.Terms = terms
    member _.Shapes = shapes
    member _.Values = shapes |> Array.map (fun s -> Array.init (Shape.count s) (fun _ -> float (random.Next(-3, 4))))
    member _.Output =
        match explicitOutput with
        | Some o -> o
        | None ->
            let count c = terms |> Array.sumBy (fun t -> t |> Seq.filter ((=) c) |> Seq.length)
            let dots = if Array.exists (fun (t: string) -> t.Contains '.') terms then "." else ""
            dots + String(used |> Array.filter (fun c -> count c = 1))
    override e.ToString() = e.Text + " of " + String.Join(" ", shapes |> Array.map Shape.show) + $" (seed {seed})"

type Equations =
    static member Arbitrary() : Arbitrary<Equation> =
        Gen.choose (0, Int32.MaxValue - 1) |> Gen.map Equation |> Arb.fromGen

/// Labels of a term, one for each axis: letters, and numbers for the axes of the ellipsis counted from the last.
let private labels (term: string) (rank: int) =
    let wide = rank - (term.Length - 1)
    term
    |> Seq.collect (fun c -> if c = '.' then [ for k in wide .. -1 .. 1 -> string k ] else [ string c ])
    |> Seq.toArray

/// The definition: for every assignment of the labels, the product of the operands is added to its place in the output.
let private naive (e: Equation) (values: float[][]) : int[] * float[] =
    let inputs = Array.map2 (fun (t: string) (s: int[]) -> labels t s.Length) e.Terms e.Shapes
    let all = Array.concat inputs |> Array.distinct
    let extent l =
        Array.zip (Array.concat inputs) (Array.concat e.Shapes)
        |> Array.filter (fun (k, _) -> k = l)
        |> Array.map snd
        |> Array.fold (fun known n -> if known = 1 then n else known) 1
    let dots = all |> Array.filter (fun l -> Char.IsDigit l[0]) |> Array.sortDescending
    let output = e.Output |> Seq.collect (fun c -> if c = '.' then dots else [| string c |]) |> Seq.toArray
    let shape = output |> Array.map extent
    let result = Array.zeroCreate (Shape.count shape)
    let at (own: string[]) (shape: int[]) (place: string -> int) =
        Array.fold2 (fun n l s -> n * s + (if s = 1 then 0 else place l)) 0 own shape
    let extents = all |> Array.map extent
    for flat in 0 .. Shape.count extents - 1 do
        let strides = Shape.strides extents
        let place l = let i = Array.IndexOf(all, l) in flat / strides[i] % extents[i]
        let product = Array.fold (*) 1.0 (Array.mapi (fun i v -> (v: float[])[at inputs[i] e.Shapes[i] place]) values)
        let target = at output shape place
        result[target] <- result[target] + product
    shape, result

let private tensors (e: Equation) (values: float[][]) = Array.map2 f64 e.Shapes values
let private run (e: Equation) (xs: Tensor[]) = einsum e.Text (List.ofArray xs)

/// Without the sign of zero, which the order of a sum may change.
let private numbersOf (t: Tensor) = floatsOf t |> Array.map (fun v -> v + 0.0)

[<Law(300, Arbitrary = [| typeof<Equations> |])>]
let ``einsum is the loop over all labels`` (e: Equation) =
    let values = e.Values
    let shape, expected = naive e values
    let actual = run e (tensors e values)
    Assert.That(actual.Shape, Is.EqualTo<int[]> shape)
    Assert.That(numbersOf actual, Is.EqualTo<float[]>(expected |> Array.map (fun v -> v + 0.0)))
    Assert.That(interpreted actual |> Array.map (fun c -> c.Float + 0.0), Is.EqualTo<float[]> expected)

/// The function is linear in each operand, so its derivative in a direction is its value there: gradients are tested
/// without a step, exactly.
[<Law(100, Arbitrary = [| typeof<Equations> |])>]
let ``gradients of einsum are einsum, to the second order`` (e: Equation) =
    let values, directions, weights = e.Values, e.Values, Random 5
    let y = naive e values |> snd
    let cotangent = y |> Array.map (fun _ -> float (weights.Next(-3, 4)))
    let variables = e.Shapes |> Array.map (Op.input "x" DType.F64)
    let result = run e variables
    let c = f64 result.Shape cotangent
    let bind (values: float[][]) (t: Tensor) =
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (v: Tensor) x -> replacements[v.Hash] <- x) variables (tensors e values)
        (Substitute.apply replacements [| t |])[0]
    let inner (a: float[]) (b: float[]) = Array.fold2 (fun s x y -> s + x * y) 0.0 a b
    let moved (places: int list) = values |> Array.mapi (fun i v -> if List.contains i places then directions[i] else v)
    let gradients = Grad.vjp [| result |] [| c |] variables
    for i in 0 .. variables.Length - 1 do
        let expected = inner cotangent (snd (naive e (moved [ i ])))
        Assert.That(inner (floatsOf (bind values gradients[i])) directions[i], Is.EqualTo expected, $"operand {i}")
        for j in 0 .. variables.Length - 1 do
            let d = f64 e.Shapes[i] directions[i]
            let second = (Grad.vjp [| gradients[i] |] [| d |] [| variables[j] |])[0]
            let expected = if i = j then 0.0 else inner cotangent (snd (naive e (moved [ i; j ])))
            let found = inner (floatsOf (bind values second)) directions[j]
            Assert.That(found, Is.EqualTo expected, $"operands {i} and {j}")

[<Test>]
let ``einsum and its gradients agree with the reference`` () =
    for c in Oracles.ofFunction "einsum" do
        Oracles.check 1e-5 1e-5 c (fun xs -> [ einsum (c.Attributes.GetProperty("equation").GetString()) xs ])

// ------------------------------------------------------------------------------------------------ what is built

let private count (isIt: Op -> bool) (t: Tensor) =
    Graph.topological [ t ] |> Array.filter (fun n -> isIt n.Op) |> Array.length

let private dots =
    count (fun op ->
        match op with
        | Op.Dot _ -> true
        | _ -> false)

let private permutes =
    count (fun op ->
        match op with
        | Op.Movement(Movement.Permute _) -> true
        | _ -> false)

let private variable (shape: int list) = Op.input "x" DType.F32 (List.toArray shape)

[<TestCase("ij,jk->ik", 1, 0)>]
[<TestCase("ij,jk->ki", 1, 0)>]
[<TestCase("ji,kj->ik", 1, 0)>]
[<TestCase("ij,kj->ik", 1, 0)>]
[<TestCase("aij,ajk->aik", 1, 0)>]
[<TestCase("iaj,jka->aik", 1, 0)>]
[<TestCase("ij,j->i", 1, 0)>]
[<TestCase("aij,ajk->iak", 1, 1)>]
[<TestCase("i,j->ij", 0, 0)>]
[<TestCase("ij,ij->", 0, 0)>]
[<TestCase("ij,ij->i", 0, 0)>]
[<TestCase("ij,j->ij", 0, 0)>]
[<TestCase("ijk,kl->jil", 1, 1)>]
[<TestCase("ijk->ji", 0, 1)>]
let ``a pair is one contraction, with few permutations`` (equation: string, dotCount: int, permuteCount: int) =
    let terms = (equation.Split "->").[0].Split ','
    let y = einsum equation [ for t in terms -> variable [ for c in t -> 2 + int c % 7 ] ]
    Assert.That(dots y, Is.EqualTo dotCount)
    Assert.That(permutes y, Is.EqualTo permuteCount)

[<Test>]
let ``a chain of products starts where it is cheap`` () =
    let x, y = variable [ 64; 2 ], variable [ 2; 64 ]
    let path = einsumPath "ij,jk,kl->il" [ x; y; x ]
    let step = path.Steps.Head
    Assert.That((step.Left, step.Right, step.Equation), Is.EqualTo((1, 2, "jk,kl->jl")))
    Assert.That(path.Flops, Is.EqualTo(2.0 * (2.0 * 64.0 * 2.0) + 2.0 * (64.0 * 2.0 * 2.0)))
    Assert.That(path.LargestIntermediate, Is.EqualTo 4.0)
    Assert.That(path.NaiveFlops, Is.EqualTo(3.0 * 64.0 * 2.0 * 64.0 * 2.0))
    Assert.That(
        string path,
        Does.StartWith "1.024e3 flops (naive: 4.915e4), largest intermediate 4e0\n  1, 2: jk,kl->jl"
    )

/// The least cost over all orders, by trying them all.
let rec private cheapest (terms: Set<char> list) (output: Set<char>) (extent: char -> float) =
    if terms.Length < 2 then
        0.0
    else
        Seq.min (
            seq {
                for i in 0 .. terms.Length - 2 do
                    for j in i + 1 .. terms.Length - 1 do
                        let rest = terms |> List.indexed |> List.filter (fun (k, _) -> k <> i && k <> j) |> List.map snd
                        let all = terms[i] + terms[j]
                        let result = Set.intersect all (Set.unionMany (output :: rest))
                        let size = all |> Seq.fold (fun n c -> n * extent c) 1.0
                        size * (if all = result then 1.0 else 2.0) + cheapest (result :: rest) output extent
            }
        )

[<Law 60>]
let ``up to ten operands the order is the cheapest of all`` (seed: int) =
    let random = Random seed
    let extents = Array.init 8 (fun _ -> random.Next(2, 9))
    let term () = Set.ofSeq (Seq.init (1 + random.Next 3) (fun _ -> char (int 'a' + random.Next 8)))
    let terms = List.init (3 + random.Next 3) (fun _ -> term ())
    let shared c = terms |> List.filter (Set.contains c) |> List.length > 1
    let output = Set.unionMany terms |> Set.filter (fun c -> not (shared c) || random.Next 3 = 0)
    let text (s: Set<char>) = String(Set.toArray s)
    let operand (s: Set<char>) = variable [ for c in s -> extents[int c - int 'a'] ]
    let path = einsumPath (String.Join(",", List.map text terms) + "->" + text output) (List.map operand terms)
    Assert.That(path.Flops, Is.EqualTo(cheapest terms output (fun c -> float extents[int c - int 'a'])))

[<Test>]
let ``many operands are contracted in a good order, too`` () =
    let n = 24 // a ring of matrices: any sensible order keeps intermediates to matrices
    let letter i = char (int 'a' + i % n)
    let terms = List.init n (fun i -> $"{letter i}{letter (i + 1)}")
    let xs = List.init n (fun i -> noise DType.F64 i [| 3; 3 |])
    let equation = String.Join(",", terms) + "->"
    Assert.That((einsumPath equation xs).LargestIntermediate, Is.LessThanOrEqualTo 9.0)
    let expected = item (einsum "ii" [ List.reduce matmul xs ])
    Assert.That(item (einsum equation xs), Is.EqualTo(expected).Within(1e-12 * (1.0 + abs expected)))

// ------------------------------------------------------------------------------------------------ types and errors

[<Test>]
let ``types promote as for products`` () =
    let x, y = variable [ 2; 3 ], Op.input "y" DType.F64 [| 3 |]
    Assert.That((einsum "ij,j" [ x; y ]).DType, Is.EqualTo DType.F64)
    Assert.That((einsum "ij" [ Op.input "h" DType.F16 [| 2; 2 |] ]).DType, Is.EqualTo DType.F16)
    let truth = ofInts DType.Bool [| 3 |] [ 1L; 0L; 1L ]
    Assert.That(computed (einsum "i,i" [ truth; truth ]) |> Array.map (fun c -> c.Int), Is.EqualTo<int64[]> [| 2L |])
    // Partial sums of 16-bit floats are not rounded to 16 bits.
    let small = ofFloats DType.F16 [| 1; 3 |] [ 2048.0; 1.0; 1.0 ]
    Assert.That(floatsOf (einsum "ij->i" [ small ]), Is.EqualTo<float[]> [| 2050.0 |])

let private failures =
    [ "ij,jk->ik",
      [ [ 2; 3 ]; [ 4; 5 ] ],
      "label 'j' must have one extent, not 3 (operand 0) and 4 (operand 1), got f32[2,3] x f32[4,5]"
      "ii", [ [ 2; 3 ] ], "label 'i' must have one extent, not 2 (operand 0) and 3 (operand 0), got f32[2,3]"
      "ii", [ [ 1; 3 ] ], "label 'i' must have one extent, not 1 (operand 0) and 3 (operand 0), got f32[1,3]"
      "...i,...i->...",
      [ [ 2; 3 ]; [ 4; 3 ] ],
      "axis -1 of '...' must have one extent, not 2 (operand 0) and 4 (operand 1), got f32[2,3] x f32[4,3]; axes of '...' are aligned at the last one"
      "ij,jk->ik", [ [ 2; 3 ] ], "'ij,jk->ik' must have a term for each operand (2 and 1), got f32[2,3]"
      "ij",
      [ [ 2; 3; 4 ] ],
      "term 0 'ij' must have a label for each axis of operand 0 (2 and 3), got f32[2,3,4]; '...' stands for the rest"
      "ij...k",
      [ [ 2; 3 ] ],
      "term 0 'ij...k' must not have more labels than operand 0 has axes (3 and 2), got f32[2,3]"
      "ij->k", [ [ 2; 3 ] ], "label 'k' of the output must occur in an operand, got f32[2,3]"
      "ij->ii", [ [ 2; 3 ] ], "label 'i' must occur once in the output 'ii', got f32[2,3]"
      "i1", [ [ 2; 3 ] ], "term 0 'i1' must consist of letters and at most one '...', not '1', got f32[2,3]"
      "...i...", [ [ 2; 3 ] ], "term 0 '...i...' must consist of letters and at most one '...', not '.', got f32[2,3]"
      "ij->i->j", [ [ 2; 3 ] ], "'ij->i->j' must have at most one '->', got f32[2,3]" ]

[<Test>]
let ``mistakes are named`` () =
    for equation, shapes, message in failures do
        raises<ShapeException> ("einsum: " + message) (fun () -> einsum equation (List.map variable shapes) |> ignore)
    raises<ShapeException> "einsum: at least one operand is needed, got none" (fun () -> einsum "" [] |> ignore)
