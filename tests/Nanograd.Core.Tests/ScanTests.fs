/// Loops: their meaning (unrolled by hand), their kernels, their laws, their gradients.
module Nanograd.Core.Tests.ScanTests

open System
open System.Collections.Generic
open NUnit.Framework
open FsCheck
open FsCheck.NUnit
open Nanograd
open Nanograd.Simd

// ------------------------------------------------------------------------------------------------ random loops

let private shapes = [| [||]; [||]; [| 3 |]; [| 2; 3 |]; [| 2; 3 |]; [| 3; 2 |]; [| 70 |]; [| 0; 2 |] |]
let private types = [| DType.F32; DType.F32; DType.F32; DType.F64; DType.I32; DType.Bool; DType.U8 |]

/// Makes random loops: carries of any type, some passed through, swapped or stacked, loops inside loops, random bits.
type private Maker(random: Random) =
    let oneOf (xs: 'a[]) = xs[random.Next xs.Length]
    let chance p = random.NextDouble() < p
    let leaf (d: DType) (shape: int[]) =
        ofFloats d shape (Array.init (Shape.count shape) (fun _ -> 4.0 * random.NextDouble() - 2.0))

    let grow (pool: List<Tensor>) =
        let x = oneOf (pool.ToArray())
        let alike = pool |> Seq.filter (fun t -> t.DType = x.DType && (t.Shape = x.Shape || t.Rank = 0)) |> Seq.toArray
        let result =
            match random.Next 8 with
            | 0 -> if DType.isFloat x.DType then tanh x else x + x
            | 1
            | 2 when x.DType <> DType.Bool -> oneOf [| (+); (*); maximum |] x (oneOf alike)
            | 3 when x.Rank > 0 && x.DType <> DType.Bool ->
                x
                - Op.reshape (Array.append x.Shape[.. x.Rank - 2] [| 1 |]) (Op.reduce Reduction.Sum [ x.Rank - 1 ] x)
                  * 0
            | 3 when x.Rank > 0 -> Op.reverse [ 0 ] x
            | 4 when x.Rank = 2 && x.DType = DType.F32 ->
                let square = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 1 |]; RightSum = [| 1 |] }
                Op.dot { square with LeftSum = [| 1 |]; RightSum = [| 0 |] } (Op.dot square x x) x
            | 5 when x.Rank = 2 -> Op.permute [| 1; 0 |] x
            | 6 -> Op.select (Op.binary Binary.Gt x (oneOf alike)) x (oneOf alike)
            | 7 when x.Rank = 2 -> Op.slice [| 0; 0 |] [| x.Shape[0]; min 1 x.Shape[1] |] [| 1; 1 |] x
            | _ -> Op.cast (oneOf types) x
        pool.Add result

    let pick (pool: List<Tensor>) (d: DType) (shape: int[]) =
        let fits = pool |> Seq.filter (fun t -> t.DType = d && t.Shape = shape) |> Seq.toArray
        oneOf fits

    /// The results of a random loop whose operands come from `outside`.
    member m.Loop(outside: Tensor[], depth: int) : Tensor[] =
        let several n f = Array.init (random.Next(n + 1)) (fun _ -> f ())
        let length = oneOf [| 0; 1; 2; 3; 5 |]
        let captured =
            several 2 (fun () ->
                let t = oneOf outside in if chance 0.2 then broadcastTo (Array.append [| 2 |] t.Shape) t else t)
        let carries = several 3 (fun () -> if chance 0.3 then oneOf outside else leaf (oneOf types) (oneOf shapes))
        let scanned = several 2 (fun () -> leaf (oneOf types) (Array.append [| length |] (oneOf shapes)))
        let typed (t: Tensor) = t.DType, t.Shape
        let slice (t: Tensor) = t.DType, t.Shape[1..]
        let inner = Array.concat [ Array.map typed captured; Array.map typed carries; Array.map slice scanned ]
        let body (p: Tensor[]) =
            let pool = List<Tensor> p
            if p.Length = 0 then pool.Add(leaf DType.F32 [| 3 |])
            if chance 0.3 then
                let key = Op.cast DType.U32 (Op.reshape [| 1 |] (Op.cast DType.I32 (sum (oneOf p))))
                pool.Add(Op.cast DType.F32 (Op.randomBits (concat 0 [ key; key ]) [| 3 |]) * 1e-9)
            for _ in 0 .. random.Next 6 do
                grow pool
            if depth > 0 && chance 0.6 then pool.AddRange(m.Loop(pool.ToArray(), depth - 1))
            let next = carries |> Array.map (fun c -> pick pool c.DType c.Shape)
            let outputs = several 3 (fun () -> pool[random.Next pool.Count])
            Array.append next (if next.Length + outputs.Length = 0 then [| pool[pool.Count - 1] |] else outputs)
        let body =
            if captured.Length + carries.Length + scanned.Length = 0 then
                fun _ -> [| leaf DType.F32 [| 2 |] |]
            else
                body
        let lambda, more = Lambda.trace inner body
        Op.scan
            { Body = lambda
              Captured = more.Length + captured.Length
              Carried = carries.Length
              Length = length
              Reverse = chance 0.4 }
            (Array.concat [ more; captured; carries; scanned ])

    member m.Roots() =
        let outside =
            [| leaf DType.F32 [| 2; 3 |]; leaf DType.F32 [||]; leaf DType.I32 [| 3 |]; leaf DType.F64 [| 70 |] |]
        let results = m.Loop(outside, 1 + random.Next 2)
        match results[0].Inputs[0].Op with
        | Op.Scan s when chance 0.3 -> // the same loop again, with one more output
            let more =
                match s.Body.Params with
                | [||] -> s.Body.Results[0]
                | ps -> let d, shape = oneOf ps in Op.parameter (Array.IndexOf(ps, (d, shape))) d shape
            let body = Lambda.make s.Body.Params (Array.append s.Body.Results [| more |])
            Array.append results (Op.scan { s with Body = body } results[0].Inputs[0].Inputs)
        | _ -> results

let private randomLoop seed = Maker(Random seed).Roots()

/// Compiled at every width, each with another number of threads: the interpreter's bits.
let private exact (what: string) (roots: Tensor[]) =
    let wanted = roots |> Array.map interpreted
    Program.withoutRewriting (fun () ->
        [ 128, 1; 256, 2; 512, 3 ]
        |> List.filter (fun (bits, _) -> bits <= Isa.widest)
        |> List.iter (fun (bits, threads) ->
            let saved = Threads.Count
            Threads.Count <- threads
            try
                Isa.withWidth bits (fun () ->
                    let literals, inputs, outputs = abstracted roots
                    let program = Program.compile inputs outputs (Array.create inputs.Length false)
                    let results = program.Run(literals |> Array.map Program.storage)
                    Array.iteri2
                        (fun i w r -> assertSame $"{what}, result {i}, {bits} bits" w (elements r))
                        wanted
                        results)
            finally
                Threads.Count <- saved))

[<Law 150>]
let ``random loops, compiled: the interpreter's bits`` (DoNotSize(seed: int)) = exact $"seed {seed}" (randomLoop seed)

[<Law 100>]
let ``random loops, by the evaluator of kernels: the interpreter's bits`` (DoNotSize(seed: int)) =
    let roots = randomLoop seed
    let literals, inputs, outputs = abstracted roots
    let results = KernelEvaluator.run (Lower.plan inputs outputs) (literals |> Array.map Program.storage)
    Array.iter2 (fun (r: Tensor) s -> assertSame $"seed {seed}" (interpreted r) (elements s)) roots results

/// The same bits by the interpreter, before and after a pass over loops.
let private keepsBits (pass: Tensor[] -> Tensor[]) (DoNotSize(seed: int)) =
    let roots = randomLoop seed
    Array.iteri2
        (fun i (a: Tensor) (b: Tensor) -> assertSame $"seed {seed}, result {i}" (interpreted a) (interpreted b))
        roots
        (pass roots)

[<Law 150>]
let ``tidied loops keep every bit`` seed = keepsBits (LoopRules.tidy LoopRules.silent) seed

[<Law 150>]
let ``what moves out of loops keeps every bit`` seed =
    keepsBits
        (LoopRules.tidy LoopRules.silent >> HoistRules.split LoopRules.silent >> LoopRules.tidy LoopRules.silent)
        seed

[<Test>]
let ``random loops meet the laws of loops`` () =
    let fired = HashSet<string>()
    for seed in 0..400 do
        let note: LoopRules.Note = fun law _ _ -> fired.Add law |> ignore
        randomLoop seed |> LoopRules.tidy note |> HoistRules.split note |> LoopRules.tidy note |> ignore
    Assert.That(fired, Has.Count.GreaterThanOrEqualTo 7, String.Join("\n", fired))

// ------------------------------------------------------------------------------------------------ recurrent networks

let private rowsByColumns = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 1 |]; RightSum = [| 0 |] }

/// h' = tanh(x wx + h wh + b), y = h' wy over [steps; batch; width]: the variables, and the outputs.
let private network (steps: int) (batch: int) (width: int) =
    let variable name shape = Op.input name DType.F32 shape
    let square = [| width; width |]
    let wx, wh, wy = variable "wx" square, variable "wh" square, variable "wy" square
    let b, xs, h = variable "b" [| width |], variable "xs" [| steps; batch; width |], variable "h" [| batch; width |]
    let row = DType.F32, [| batch; width |]
    let body, captured =
        Lambda.trace [| row; row |] (fun p ->
            let h = tanh (Op.dot rowsByColumns p[1] wx + Op.dot rowsByColumns p[0] wh + b)
            [| h; Op.dot rowsByColumns h wy |])
    let loop =
        { Body = body
          Captured = captured.Length
          Carried = 1
          Length = steps
          Reverse = false }
    [| wx; wh; wy; b; xs; h |], Op.scan loop (Array.append captured [| h; xs |])

let rec private products (isInside: bool) (p: Nanograd.Plan) : int =
    p.Kernels
    |> Array.sumBy (fun k ->
        match k with
        | Kernel.Conv _
        | Kernel.Product _ -> if isInside then 1 else 0
        | Kernel.Repeat r -> products true r.Body
        | Kernel.Loop _
        | Kernel.Summed _
        | Kernel.Lines _
        | Kernel.Fold _
        | Kernel.Check _
        | Kernel.Scatter _
        | Kernel.Attention _
        | Kernel.AttentionGradient _
        | Kernel.Pool _
        | Kernel.Update _ -> 0)

[<Test>]
let ``of a recurrent network only the recurrent product stays in the loop`` () =
    let inputs, results = network 7 3 5
    Assert.That(products false (Lower.plan inputs [| results[1] |]), Is.EqualTo 3)
    Assert.That(products false (Lower.plan inputs (Rewrite.simplify [| results[1] |])), Is.EqualTo 1)

// ------------------------------------------------------------------------------------------------ what users call

let private row (i: int) (x: Tensor) =
    let first a v other = if a = 0 then v else other
    Op.slice
        (Array.init x.Rank (fun a -> first a i 0))
        (Array.init x.Rank (fun a -> first a (i + 1) x.Shape[a]))
        (Array.create x.Rank 1)
        x
    |> Op.reshape x.Shape[1..]

/// The meaning of `scan`, said by hand.
let private unrolled (reverse: bool) (f: 'C -> Tensor -> 'C * Tensor) (start: 'C) (xs: Tensor) : 'C * Tensor =
    let order = [ 0 .. xs.Shape[0] - 1 ] |> fun steps -> if reverse then List.rev steps else steps
    let step (c, ys) i = let c, y = f c (row i xs) in c, (i, y) :: ys
    let last, ys = List.fold step (start, []) order
    let stack = ys |> List.sortBy fst |> List.map (fun (_, y) -> Op.reshape (Array.append [| 1 |] y.Shape) y)
    last, concat 0 stack

/// A random smooth step over f64: from ([2; 3], [3]) and a slice [3] to the same and an output.
let private smoothStep (seed: int) (w: Tensor) (v: Tensor) : Tensor * Tensor -> Tensor -> (Tensor * Tensor) * Tensor =
    let random = Random seed
    let choices = Array.init 12 (fun _ -> random.Next 1000)
    fun (m, h) x ->
        let pool = List<Tensor>([ h; x; v; sum m * v ])
        let matrices = List<Tensor>([ m; m * x ])
        choices
        |> Array.iter (fun n ->
            let a, b = pool[n % pool.Count], pool[n / 7 % pool.Count]
            let p = matrices[n / 3 % matrices.Count]
            match n % 7 with
            | 0 -> pool.Add(tanh (a + b))
            | 1 -> pool.Add(a * b * 0.7)
            | 2 -> pool.Add(sin (Op.reshape [| 3 |] (matmul (Op.reshape [| 1; 3 |] a) w)))
            | 3 -> matrices.Add(tanh (matmul p w + a))
            | 4 -> pool.Add(Op.reduce Reduction.Sum [ 0 ] (p * p) * 0.3)
            | 5 -> matrices.Add(p - Op.reshape [| 2; 1 |] (Op.reduce Reduction.Sum [ 1 ] p) * 0.2)
            | _ ->
                pool.Add(
                    snd (scan (fun (c: Tensor) (x: Tensor) -> let c = sin (c + x) in c, c * sum v) (sum a) b)
                    |> fun y -> reshape [| 3 |] y
                ))
        (matrices[matrices.Count - 1], tanh pool[pool.Count - 1]), pool[pool.Count - 2]

let private smoothOperands seed steps =
    let noise i shape = noise DType.F64 (seed % 10007 + i) shape
    noise 1 [| 3; 3 |], noise 2 [| 3 |], noise 3 [| 2; 3 |], noise 4 [| 3 |], noise 5 [| steps; 3 |]

let private flat ((m: Tensor, h: Tensor), y: Tensor) = [| m; h; y |]

let private weighed (results: Tensor[]) =
    results
    |> Array.mapi (fun i t -> sum (reshape [| t.Count |] t * noise t.DType (50 + i) [| t.Count |]))
    |> Array.reduce (+)

[<Law 60>]
let ``a loop is its steps, one after the other`` (DoNotSize(seed: int)) (reverse: bool) =
    let w, v, m, h, xs = smoothOperands seed (1 + abs (seed % 5))
    let f = smoothStep seed w v
    let looped = (if reverse then scanReverse else scan) f (m, h) xs |> flat
    Array.iter2
        (fun a b -> assertSame $"seed {seed}" (interpreted a) (interpreted b))
        (unrolled reverse f (m, h) xs |> flat)
        looped

[<Law 60>]
let ``a loop over n + m steps is a loop over n, then one over m`` (DoNotSize(seed: int)) =
    let n, steps = 1 + abs (seed % 3), 4 + abs (seed / 3 % 3)
    let w, v, m, h, xs = smoothOperands seed steps
    let f = smoothStep seed w v
    let part a b = Op.slice [| a; 0 |] [| b; 3 |] [| 1; 1 |] xs
    let middle, ys = scan f (m, h) (part 0 n)
    let last, zs = scan f middle (part n steps)
    let whole = scan f (m, h) xs |> flat
    Array.iter2
        (fun a b -> assertSame $"seed {seed}" (computed a) (computed b))
        whole
        (flat (last, concat 0 [ ys; zs ]))

[<Law 30>]
let ``a loop from the last slice is a loop over turned slices`` (DoNotSize(seed: int)) =
    let w, v, m, h, xs = smoothOperands seed 4
    let f = smoothStep seed w v
    let last, ys = scan f (m, h) (Op.reverse [ 0 ] xs)
    let expected = flat (last, Op.reverse [ 0 ] ys)
    Array.iter2
        (fun a b -> assertSame $"seed {seed}" (computed a) (computed b))
        expected
        (scanReverse f (m, h) xs |> flat)

let private gradientsOf
    (loop:
        (Tensor * Tensor -> Tensor -> (Tensor * Tensor) * Tensor)
            -> Tensor * Tensor
            -> Tensor
            -> (Tensor * Tensor) * Tensor)
    seed
    steps
    =
    let w, v, m, h, xs = smoothOperands seed steps
    let y = weighed (loop (smoothStep seed w v) (m, h) xs |> flat)
    Grad.gradient y [| w; v; m; h; xs |]

[<Law 30>]
let ``the gradient of a loop is that of its steps`` (DoNotSize(seed: int)) (reverse: bool) =
    let expected = gradientsOf (unrolled reverse) seed 4
    let actual = gradientsOf (if reverse then scanReverse else scan) seed 4
    Array.iter2 (fun a b -> assertClose 1e-10 $"seed {seed}" (interpreted a) (interpreted b)) expected actual
    Array.iter2
        (fun a b ->
            assertSame $"seed {seed}, compiled" (interpreted a) (Program.withoutRewriting (fun () -> computed b)))
        actual
        actual
    Array.iter2 (fun a b -> assertClose 1e-10 $"seed {seed}, rewritten" (interpreted a) (computed b)) actual actual

[<Law 12>]
let ``the gradient of a checkpointed loop is that of the loop`` (DoNotSize(seed: int)) =
    let expected = gradientsOf scan seed 7
    let actual = gradientsOf (scanCheckpointed (1 + abs (seed % 4))) seed 7
    Array.iter2 (fun a b -> assertClose 1e-10 $"seed {seed}" (interpreted a) (computed b)) expected actual

/// A loop in a loop that reads values from outside both.
let private nested
    (loop: (Tensor -> Tensor -> Tensor * Tensor) -> Tensor -> Tensor -> Tensor * Tensor)
    (xs: Tensor)
    (a: Tensor)
    =
    let inner (c: Tensor) (x: Tensor) =
        let inside (d: Tensor) (y: Tensor) = let d = sin (d * a + y * x) in d, d * c
        let d, ys = loop inside c (xs * a)
        tanh (d + x), sum ys * x
    let last, ys = loop inner (a * 0.5) xs
    last + sum (ys * ys)

[<Test>]
let ``third derivatives through nested loops are right`` () =
    let xs = f64 [| 3 |] [ 0.4; -0.7; 0.9 ]
    let third loop = grad (grad (grad (nested loop xs)))
    let at = f64 [||] [ 0.8 ]
    let looped = computed (third scan at)
    assertClose 1e-11 "unrolled" (computed (third (unrolled false) at)) looped
    let second (x: float) = (computed (grad (grad (nested scan xs)) (f64 [||] [ x ]))).[0].Float
    let h = 1e-3
    let numeric =
        (8.0 * (second (0.8 + h) - second (0.8 - h)) - (second (0.8 + 2.0 * h) - second (0.8 - 2.0 * h))) / (12.0 * h)
    Assert.That(looped[0].Float, Is.EqualTo(numeric).Within(1e-7 * abs numeric))
    let both = nested (scanCheckpointed 2) xs
    assertClose 1e-11 "checkpointed" looped (computed (grad (grad (grad both)) at))

[<Test>]
let ``the examples of the documentation`` () =
    let xs = f64 [| 4 |] [ 1.0; 2.0; 3.0; 4.0 ]
    let zero = f64 [||] [ 0.0 ]
    let equal (expected: float list) (t: Tensor) =
        assertSame "example" (f64 [| expected.Length |] expected |> computed) (computed (reshape [| t.Count |] t))
    let add (c: Tensor) (x: Tensor) = let c = c + x in c, c
    equal [ 1.0; 3.0; 6.0; 10.0 ] (snd (scan add zero xs))
    equal [ 10.0; 9.0; 7.0; 4.0 ] (snd (scanReverse add zero xs))
    equal [ 24.0 ] (foldRows (fun (c: Tensor) (x: Tensor) -> c * x) (f64 [||] [ 1.0 ]) xs)
    equal [ 1.0; 4.0; 9.0; 16.0 ] (mapRows (fun (x: Tensor) -> x * x) xs)
    equal [ 6.0 ] (forLoop 4 (fun i (c: Tensor) -> c + Op.cast DType.F64 i) zero)
    equal [ 2.0 ] (forLoop 6 (fun _ (x: Tensor) -> 0.5 * (x + 4.0 / x)) (f64 [||] [ 2.0 ]))
    equal [ 0.0 ] (forLoop 0 (fun i (c: Tensor) -> c + Op.cast DType.F64 i) zero)

[<Test>]
let ``mistakes in loops are named`` () =
    let xs = f32 [| 4; 2 |] (Seq.init 8 float)
    let h = zeros [| 2 |]
    let fails message (action: unit -> 'a) = raises<ShapeException> message (fun () -> action () |> ignore)
    fails "scan: the carry must stay f32[2] from step to step, got f32[4]" (fun () ->
        scan (fun (c: Tensor) (x: Tensor) -> concat 0 [ c; x ], x) h xs)
    fails "scan: the carry 1 must stay f32[2] from step to step, got f64[2]; start with f64, or cast" (fun () ->
        scan (fun (a: Tensor, b: Tensor) (x: Tensor) -> (a + x, Op.cast DType.F64 b), x) (h, h) xs)
    fails "scan: the scanned tensors must have one first extent, the number of steps, got f32[4,2] x f32[2]" (fun () ->
        scan (fun (c: Tensor) (_: Tensor * Tensor) -> c, c) h (xs, h))
    fails "forLoop: the number of steps must not be negative, got -1" (fun () -> forLoop -1 (fun _ (c: Tensor) -> c) h)

// ------------------------------------------------------------------------------------------------ memory

let private gradientBytes (loop: (Tensor -> Tensor -> Tensor * Tensor) -> Tensor -> Tensor -> Tensor * Tensor) steps =
    let variable name shape = Op.input name DType.F32 shape
    let wx, wh = variable "wx" [| 64; 64 |], variable "wh" [| 64; 64 |]
    let xs, h = variable "xs" [| steps; 32; 64 |], variable "h" [| 32; 64 |]
    let last, _ = loop (fun h x -> let h = tanh (matmul x wx + matmul h wh) in h, sum h) h xs
    let inputs = [| wx; wh; xs; h |]
    (Program.compile inputs (Grad.gradient (sum (last * last)) inputs[..1]) (Array.create 4 false)).PeakBytes

[<Test>]
let ``the memory of a gradient is linear in the steps, and grows with their root where it is checkpointed`` () =
    let half, whole = gradientBytes scan 500, gradientBytes scan 1000
    TestContext.Out.WriteLine $"{half} bytes for 500 steps, {whole} for 1000"
    Assert.That(float whole / float half, Is.InRange(1.9, 2.05))
    // Of [32; 64] floats a step: what the product before the loop gives, the hidden states, and their cotangents.
    Assert.That(whole, Is.LessThan(1000L * 32L * 64L * 4L * 5L))
    let short, long = gradientBytes (scanCheckpointed 16) 256, gradientBytes (scanCheckpointed 32) 1024
    TestContext.Out.WriteLine $"checkpointed: {short} bytes for 256 steps, {long} for 1024"
    Assert.That(float long / float short, Is.LessThan 2.6)
    Assert.That(float long, Is.LessThan(0.25 * float whole))

[<Test>]
let ``large matrices that a loop reads along their rows are turned before it, and no bit changes`` () =
    let random = Random 1
    for dtype in [ DType.F32; DType.F64 ] do
        let leaf shape = ofFloats dtype shape (Array.init (Shape.count shape) (fun _ -> random.NextDouble() - 0.5))
        let w, u, h, xs = leaf [| 130; 130 |], leaf [| 130; 130 |], leaf [| 3; 130 |], leaf [| 5; 3; 130 |]
        let last, sums =
            scan
                (fun h x ->
                    let h = tanh (x + matmul h (Op.permute [| 1; 0 |] w) * 0.25 + matmul h u * 0.25)
                    h, sum h)
                h
                xs
        let gradients = Grad.gradient (sum (last * last)) [| w; u; h |]
        for t in Array.append [| last; sums |] gradients do
            assertSame $"{dtype}" (interpreted t) (Program.withoutRewriting (fun () -> computed t))
