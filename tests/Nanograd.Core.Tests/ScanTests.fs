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
        (LoopRules.tidy LoopRules.silent >> LoopRules.split LoopRules.silent >> LoopRules.tidy LoopRules.silent)
        seed

[<Test>]
let ``random loops meet the laws of loops`` () =
    let fired = HashSet<string>()
    for seed in 0..400 do
        let note: LoopRules.Note = fun law _ _ -> fired.Add law |> ignore
        randomLoop seed |> LoopRules.tidy note |> LoopRules.split note |> LoopRules.tidy note |> ignore
    Assert.That(fired, Has.Count.GreaterThanOrEqualTo 7, String.Join("\n", fired))

// ------------------------------------------------------------------------------------------------ recurrent networks

let private matmul = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 1 |]; RightSum = [| 0 |] }

/// h' = tanh(x wx + h wh + b), y = h' wy over [steps; batch; width]: the variables, and the outputs.
let private network (steps: int) (batch: int) (width: int) =
    let variable name shape = Op.input name DType.F32 shape
    let square = [| width; width |]
    let wx, wh, wy = variable "wx" square, variable "wh" square, variable "wy" square
    let b, xs, h = variable "b" [| width |], variable "xs" [| steps; batch; width |], variable "h" [| batch; width |]
    let row = DType.F32, [| batch; width |]
    let body, captured =
        Lambda.trace [| row; row |] (fun p ->
            let h = tanh (Op.dot matmul p[1] wx + Op.dot matmul p[0] wh + b)
            [| h; Op.dot matmul h wy |])
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
        | Kernel.Product _ -> if isInside then 1 else 0
        | Kernel.Repeat r -> products true r.Body
        | Kernel.Loop _
        | Kernel.Lines _
        | Kernel.Fold _
        | Kernel.Check _
        | Kernel.Scatter _
        | Kernel.Update _ -> 0)

[<Test>]
let ``of a recurrent network only the recurrent product stays in the loop`` () =
    let inputs, results = network 7 3 5
    Assert.That(products false (Lower.plan inputs [| results[1] |]), Is.EqualTo 3)
    Assert.That(products false (Lower.plan inputs (Rewrite.simplify [| results[1] |])), Is.EqualTo 1)
