/// What holds for every program: laws on random ones, of every primitive.
[<FsCheck.NUnit.Properties(Arbitrary =
    [| typeof<Nanograd.Core.Tests.Programs.Programs>; typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.ProgramLaws

open System
open System.Collections.Generic
open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Core.Tests.Programs
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

let private fail (p: Sample) (what: string) (text: string) = failwith $"\n{what}: {text}\n{describe p.Roots}"

/// Compiles and runs the roots anew and compares every result with the interpreter's.
let private runs (tolerance: float) (p: Sample) (compiled: Tensor[] -> Constant[][]) =
    Notes.Compare(tolerance, p.Roots)
    Array.iter2
        (fun (root: Tensor) actual ->
            let wanted = interpreted root
            match differences (if tolerance = 0.0 then same else within tolerance wanted) wanted actual with
            | Some text ->
                let trace = if tolerance = 0.0 then "" else "\nrewritten by\n" + string (Rewrite.trace [| root |])
                fail p "compiled" (text + trace)
            | None -> ())
        p.Roots
        (compiled p.Roots)

let private computedAnew (roots: Tensor[]) =
    let literals, inputs, outputs = abstracted roots
    let program = Program.compile inputs outputs (Array.create inputs.Length false)
    program.Run(literals |> Array.map Program.storage) |> Array.map elements

let private unrewritten roots = Program.withoutRewriting (fun () -> computedAnew roots)

[<Law("Programs",
      "simd(P) = interpreter(P)",
      "compiled programs mean exactly what the reference says: infinities, NaN, -0 and denormal numbers included")>]
let ``compiled programs mean what the reference says`` (p: WildProgram) = runs 0.0 p unrewritten

[<Law("Programs", "simd(P) = interpreter(P), on moderate values", "the same where values do not all end as NaN")>]
let ``compiled programs of moderate values`` (p: TameProgram) = runs 0.0 p unrewritten

[<Law("Programs", "simd(rewrite(P)) = interpreter(P), integers", "rewriting changes no integer: every rule is a law")>]
let ``rewriting changes no integer`` (p: WholeProgram) = runs 0.0 p computedAnew

[<Law("Programs", "simd(rewrite(P)) ≈ interpreter(P), floats", "rewriting changes floats by rounding only")>]
let ``rewriting changes floats by rounding only`` (p: SmoothProgram) = runs 1e-9 p computedAnew

[<Law("Programs",
      "simd(rewrite(P)) ≈ interpreter(P), with NaN and infinities",
      "rewriting neither hides nor makes NaN and infinities")>]
let ``rewriting keeps NaN and infinities`` (p: SpecialProgram) = runs 1e-9 p computedAnew

/// The f64 values that a program is made of, and its f64 results.
let private real (p: Sample) =
    let isReal (t: Tensor) = t.DType = DType.F64 && t.Count > 0
    let roots = p.Roots |> Array.filter isReal
    let leaves =
        Graph.topological roots
        |> Array.filter (fun t ->
            isReal t
            && (match t.Op with
                | Op.Literal _ -> true
                | _ -> false))
    leaves, roots

let private inner (xs: Tensor[]) (ys: Tensor[]) =
    Array.map2 (fun x y -> sum (x * y)) xs ys |> Array.fold (+) (full DType.F64 [||] 0.0)
let private alike (seed: int) (xs: Tensor[]) = xs |> Array.mapi (fun i x -> noise DType.F64 (seed + i) x.Shape)

[<Law("Programs", "⟨J v, w⟩ = ⟨v, Jᵀ w⟩", "forward and reverse mode agree on every program")>]
let ``forward and reverse mode agree on every program`` (p: SmoothProgram) =
    let leaves, roots = real p
    if leaves.Length > 0 && roots.Length > 0 then
        let v, w = alike 500 leaves, alike 600 roots
        let pushed = Jvp.jvp roots leaves v
        let forward, reverse = inner pushed w, inner v (Grad.vjp roots w leaves)
        Notes.Compare(1e-9, [| forward; reverse |])
        let value (t: Tensor) = (interpreted t).[0].Float
        // Both are sums of many terms: agreement is relative to those, not to their sum.
        let scale = value (inner (Array.map abs pushed) (Array.map abs w))
        if not (abs (value forward - value reverse) <= 1e-9 * (1.0 + scale)) then
            fail
                p
                "jvp . w and v . vjp"
                $"{value forward} and {value reverse}\ngradients\n{describe (Grad.vjp roots w leaves)}"

[<Law("Programs",
      "⟨∇P(x), v⟩ = (P(x + h v) - P(x - h v)) / 2h",
      "gradients of every program are its central differences, wherever it has a derivative")>]
let ``gradients are differences`` (p: RealProgram) =
    Notes.Compare(1e-5, p.Roots)
    Differences.gradientIsDifference p |> ignore

let private isVariable (t: Tensor) =
    match t.Op with
    | Op.Input _ -> true
    | _ -> false

[<Law("Programs", "left(rule) = right(rule) for every rule of the rewriter", "the rewriter knows nothing but laws")>]
let ``every rule of the rewriter is a law`` (c: Case) =
    for rule in Rewrite.rules do
        let left = rule.Sample(Draw(c.Random 1, DType.F64))
        match (if Patterns.head left.Op = rule.Head then rule.Apply left else ValueNone) with
        | ValueNone -> ()
        | ValueSome right ->
            let variables = Graph.topological [| left; right |] |> Array.filter isVariable
            let values = variables |> Array.mapi (fun k v -> c.PositiveOf(k, v.Shape))
            let replacements = Array.map2 (fun (v: Tensor) x -> KeyValuePair(v.Hash, x)) variables values |> Dictionary
            let sides = Substitute.apply replacements [| left; right |]
            let left, right = sides[0], sides[1]
            Notes.Compare(1e-12, [| left; right |])
            let wanted = interpreted left
            match differences (within 1e-12 wanted) wanted (interpreted right) with
            | Some text ->
                failwith
                    $"\nthe rule {rule.Name} is no law: {text}\nleft\n{describe [| left |]}\nright\n{describe [| right |]}"
            | None -> ()

[<Law("Programs",
      "J_∇P v = ∇⟨∇P, v⟩",
      "second derivatives of every program: forward over reverse is reverse over reverse")>]
let ``second derivatives of every program`` (p: RealProgram) =
    match Differences.asFunction p with
    | None -> ()
    | Some(leaves, f) ->
        let gradient = Grad.gradient (f leaves) leaves
        let u, v = alike 700 leaves, alike 800 leaves
        let forward = Jvp.jvp gradient leaves v
        let reverse = Grad.gradient (inner gradient v) leaves
        Notes.Compare(1e-8, Array.append forward reverse)
        let value (t: Tensor) = (interpreted t).[0].Float
        let scale = value (inner (Array.map abs forward) (Array.map abs u))
        let a, b = value (inner forward u), value (inner reverse u)
        if not (abs (a - b) <= 1e-8 * (1.0 + scale)) then
            fail p "forward over reverse and reverse over reverse" $"{a} and {b}\ngradient\n{describe gradient}"

/// A literal of the program and three values for it: the same elements in other orders, so that indices stay in range.
let private examples (p: Sample) =
    let random = Random p.Seed
    Graph.topological p.Roots
    |> Array.tryFind (fun t ->
        match t.Op with
        | Op.Literal _ -> true
        | _ -> false)
    |> Option.map (fun l ->
        let xs = interpreted l
        l, Array.init 3 (fun _ -> xs |> Array.sortBy (fun _ -> random.Next())))

[<Law("Programs", "vmap P = stack ∘ map P", "a batch is each of its examples, bit for bit, for every program")>]
let ``a batch of any program is each of its examples`` (p: WildProgram) =
    match examples p with
    | None -> ()
    | Some(literal, values) ->
        let shape = Array.append [| values.Length |] literal.Shape
        let many = valueOf literal.DType shape (Array.concat values)
        let batch = Vmap.vmap values.Length p.Roots [| literal |] [| many |]
        Notes.Compare(0.0, batch)
        let one (xs: Constant[]) =
            let replacements = Dictionary<Hash, Tensor>()
            replacements[literal.Hash] <- valueOf literal.DType literal.Shape xs
            Substitute.apply replacements p.Roots
        let alone = values |> Array.map one
        let compiled = unrewritten batch
        for r in 0 .. p.Roots.Length - 1 do
            let wanted = alone |> Array.collect (fun roots -> interpreted roots[r])
            for what, actual in [ "batched", interpreted batch[r]; "batched and compiled", compiled[r] ] do
                match differences same wanted actual with
                | Some text -> fail p what (text + "\nbatched\n" + describe [| batch[r] |])
                | None -> ()

[<Test>]
let ``a program is described with what its functions do`` () =
    let body, captured = Lambda.trace [| DType.F32, [||] |] (fun p -> [| sin p[0] |])
    let call = (Op.checkpoint body (Array.append captured [| f32 [||] [ 1.0 ] |]))[0]
    Assert.That(describe [| call |], Does.Contain "sin p0")
