/// Every primitive that has a kernel to itself, with random shapes, types, attributes and operands (views too): compiled code
/// against the interpreter, bit for bit, at every vector width, by several threads, and donated or not.
module Nanograd.Core.Tests.KernelTests

open System
open System.Runtime.InteropServices
open NUnit.Framework
open FsCheck
open FsCheck.FSharp
open FsCheck.NUnit
open Nanograd
open Nanograd.Simd

let private widths = [| 128; 256; 512 |] |> Array.filter (fun bits -> bits <= Isa.widest)

/// Where random operands come from.
type Source(seed: int) =
    let random = Random seed
    let oneOf (xs: 'a[]) = xs[random.Next xs.Length]
    let wild = random.NextDouble() < 0.4
    let special = [| 0.0; -0.0; nan; infinity; -infinity; 1.0; -1.0; 1e-40; -1e-40; 3e38; 5e-324 |]

    member _.Seed = seed
    member _.OneOf(xs: 'a[]) = oneOf xs
    /// From low to high, both included.
    member _.Between(low, high) = random.Next(low, high + 1)
    member _.Chance p = random.NextDouble() < p

    /// Small numbers, so that there are ties; in wild samples also what is not finite.
    member _.Number(dtype: DType) =
        if DType.isFloat dtype && wild && random.NextDouble() < 0.2 then
            Constant.ofFloat dtype (oneOf special)
        elif DType.isFloat dtype && random.NextDouble() < 0.6 then
            Constant.ofFloat dtype (random.NextDouble() * 4.0 - 2.0)
        elif not (DType.isFloat dtype) && wild then
            Constant.ofInt dtype (random.NextInt64() >>> random.Next 64)
        else
            Constant.ofInt dtype (int64 (random.Next(-4, 5)))

    member s.Value(dtype, shape: int[]) = valueOf dtype shape (Array.init (Shape.count shape) (fun _ -> s.Number dtype))

    /// A value or a view of one.
    member s.Operand(dtype, shape: int[]) : Tensor =
        let rank = shape.Length
        match random.Next 8 with
        | 0 when rank > 1 ->
            let order = [| 0 .. rank - 1 |] |> Array.sortBy (fun _ -> random.Next())
            let inner = Array.zeroCreate rank
            order |> Array.iteri (fun i a -> inner[a] <- shape[i])
            Op.permute order (s.Value(dtype, inner))
        | 1 when rank > 0 ->
            let low = Array.init rank (fun _ -> random.Next 3)
            let step = Array.init rank (fun _ -> 1 + random.Next 2)
            let stops = Array.init rank (fun i -> low[i] + (if shape[i] = 0 then 0 else (shape[i] - 1) * step[i] + 1))
            Op.slice low stops step (s.Value(dtype, Array.map (fun stop -> stop + random.Next 2) stops))
        | 2 when rank > 0 -> Op.reverse [ random.Next rank ] (s.Value(dtype, shape))
        | 3 when rank > 0 ->
            let axis = random.Next rank
            Op.broadcast shape (s.Value(dtype, Array.mapi (fun i e -> if i = axis && e > 0 then 1 else e) shape))
        | 4 -> Op.select (s.Value(DType.Bool, shape)) (s.Value(dtype, shape)) (s.Value(dtype, shape))
        | _ -> s.Value(dtype, shape)

/// One expression made from a seed, printed when a law fails.
type Instance(family: string, seed: int, make: Source -> Tensor[]) =
    let roots = make (Source seed)
    member _.Roots = roots
    member _.Seed = seed
    override _.ToString() = $"{family}, seed {seed}:\n{Programs.describe roots}"

let private run (threads: int) (bits: int) (donate: bool) (roots: Tensor[]) : Constant[][] =
    let literals, inputs, outputs = abstracted roots
    let copy (t: Tensor) =
        let s = Program.storage t
        let result = Buffers.allocate s.DType s.Length
        for i in 0 .. s.Length - 1 do
            Buffers.write result i (Buffers.read s i)
        result
    let saved = Threads.Count
    Threads.Count <- threads
    try
        Isa.withWidth bits (fun () ->
            let program = Program.compile inputs outputs (Array.create inputs.Length donate)
            program.Run(literals |> Array.map copy) |> Array.map elements)
    finally
        Threads.Count <- saved

let private compare (i: Instance) what (wanted: Constant[][]) (found: Constant[][]) =
    Array.iteri2
        (fun r e a ->
            match differences same e a with
            | Some text -> failwith $"{what}, result {r}: {text}\n{i}"
            | None -> ())
        wanted
        found

/// The law of this file.
let private agrees (i: Instance) =
    let wanted = i.Roots |> Array.map interpreted
    Program.withoutRewriting (fun () ->
        widths
        |> Array.iteri (fun w bits ->
            for donate in [ false; true ] do
                let threads = 1 + (i.Seed + w) % 3
                compare i $"{bits} bits, {threads} threads, donated {donate}" wanted (run threads bits donate i.Roots)))
    let literals, inputs, outputs = abstracted i.Roots
    let plan = Lower.plan inputs outputs
    let meant = KernelEvaluator.run plan (literals |> Array.map Program.storage) |> Array.map elements
    compare i "kernels evaluated" wanted meant

let private arithmetic =
    [| DType.F32
       DType.F32
       DType.F32
       DType.F64
       DType.I64
       DType.I32
       DType.U32
       DType.U8
       DType.I8
       DType.F16
       DType.Bool |]

let private any = List.toArray DType.all

/// A shape of up to `rank` axes, now and then with none or with a long one.
let private shape (s: Source) (least: int) (rank: int) =
    let shape = Array.init (s.Between(least, rank)) (fun _ -> s.OneOf [| 1; 2; 3; 4; 5; 7; 9; 16; 17 |])
    if shape.Length > 0 && s.Chance 0.05 then shape[s.Between(0, shape.Length - 1)] <- 0
    if shape.Length > 0 && s.Chance 0.1 then shape[s.Between(0, shape.Length - 1)] <- s.OneOf [| 100; 257; 1000 |]
    shape

let private holds (family: string) (count: int) (make: Source -> Tensor[]) =
    for seed in 0 .. cases count - 1 do
        agrees (Instance(family, seed, make))

// ------------------------------------------------------------------------------------------------ convolution

/// Any attributes, and extents that fit them.
let convolution (s: Source) (dtype: DType) =
    let n = s.OneOf [| 1; 1; 2; 2; 2; 3 |]
    let each f = Array.init n (fun _ -> f ())
    let groups = s.OneOf [| 1; 1; 1; 2; 3 |]
    let c =
        { Strides = each (fun () -> s.OneOf [| 1; 1; 2; 3 |])
          PadLow = each (fun () -> s.OneOf [| 0; 0; 1; 2; -1 |])
          PadHigh = each (fun () -> s.OneOf [| 0; 0; 1; 3; -1 |])
          LeftDilation = each (fun () -> s.OneOf [| 1; 1; 1; 2; 3 |])
          RightDilation = each (fun () -> s.OneOf [| 1; 1; 1; 2 |])
          Groups = groups }
    let kernel = each (fun () -> s.OneOf [| 1; 2; 3; 3 |])
    let room i = // the least extent that the kernel fits
        let need = (kernel[i] - 1) * c.RightDilation[i] + 1 - c.PadLow[i] - c.PadHigh[i]
        max 1 ((need - 2 + c.LeftDilation[i]) / c.LeftDilation[i] + 1)
    let extents = Array.init n (fun i -> room i + s.OneOf(if n = 1 then [| 0; 1; 5; 40 |] else [| 0; 1; 4; 11 |]))
    let channels, outputs = s.OneOf [| 1; 1; 2; 3; 5 |], s.OneOf [| 1; 2; 3; 9 |]
    let batch = if s.Chance 0.05 then 0 else s.OneOf [| 1; 1; 2; 5 |]
    let channels = if s.Chance 0.03 then 0 else channels
    let x = s.Operand(dtype, Array.append [| batch; channels * groups |] extents)
    let w = s.Operand(dtype, Array.append [| outputs * groups; channels |] kernel)
    Op.conv c x w

[<Test>]
let ``convolutions`` () = holds "conv" 150 (fun s -> [| convolution s (s.OneOf arithmetic) |])

[<Test>]
let ``convolutions and their gradients`` () =
    holds "conv and gradients" 60 (fun s ->
        let y = convolution s (s.OneOf [| DType.F32; DType.F64 |])
        let x, w = y.Inputs[0], y.Inputs[1]
        Array.append [| y |] (Grad.gradient (Op.reduce Reduction.Sum [ 0 .. y.Rank - 1 ] (y * y)) [| x; w |]))

/// Enough channels for vectors of them; jobs of several images, of rows of one, and of some channels; now and then sums longer than a
/// chain.
[<Test>]
let ``convolutions of many channels`` () =
    holds "conv, many channels" 30 (fun s ->
        let n, dtype = s.OneOf [| 1; 2; 2; 2; 3 |], s.OneOf [| DType.F32; DType.F32; DType.F64 |]
        let each (choices: int[]) = Array.init n (fun _ -> s.OneOf choices)
        let isLong = s.Chance 0.1
        let c =
            { Strides = each [| 1; 1; 2; 3 |]
              PadLow = each [| 0; 1; 2; -1 |]
              PadHigh = each [| 0; 1; 1; 5 |]
              LeftDilation = each [| 1 |]
              RightDilation = each [| 1; 1; 2 |]
              Groups = if isLong then 1 else s.OneOf [| 1; 1; 2 |] }
        let kernel = each [| 2; 3; 3; 4 |]
        let most =
            if isLong then
                1
            else
                (if n = 1 then 60
                 elif n = 2 then 12
                 else 4)
        let extents = Array.init n (fun i -> (kernel[i] - 1) * c.RightDilation[i] + 3 + s.Between(0, most))
        let taps = Shape.count kernel
        let channels = if isLong then 8192 / taps + s.Between(1, 20) else 64 / taps + s.Between(1, 9)
        let outputs = if isLong then 8 else s.OneOf [| 8; 9; 16; 17; 40; 70 |]
        let x = s.Operand(dtype, Array.append [| s.OneOf [| 1; 1; 3 |]; channels * c.Groups |] extents)
        let w = s.Operand(dtype, Array.append [| outputs * c.Groups; channels |] kernel)
        let y = Op.conv c x w
        [| (if s.Chance 0.5 then y else Op.binary Binary.Max y (Op.binary Binary.Mul y y)) |])

/// Few output channels of each channel of x, so that vectors run over positions; steps of any kind; rows longer than a tile; now and
/// then many channels, and sums longer than a chain.
[<Test>]
let ``convolutions of few channels`` () =
    holds "conv, few channels" 40 (fun s ->
        let n, dtype = s.OneOf [| 1; 2; 2; 2; 3 |], s.OneOf [| DType.F32; DType.F32; DType.F64 |]
        let each (choices: int[]) = Array.init n (fun _ -> s.OneOf choices)
        let isLong = s.Chance 0.1
        let c =
            { Strides = each [| 1; 1; 2; 3 |]
              PadLow = each [| 0; 1; 2; -1 |]
              PadHigh = each [| 0; 1; 1; 5 |]
              LeftDilation = each [| 1; 1; 1; 2; 3 |]
              RightDilation = each [| 1; 1; 2; 3 |]
              Groups = if isLong then 1 else s.OneOf [| 1; 2; 5 |] }
        let kernel = each [| 1; 2; 3; 4 |]
        let most =
            if isLong then
                1
            else
                (if n = 1 then s.OneOf [| 60; 500 |]
                 elif n = 2 then 30
                 else 7)
        let extents = Array.init n (fun i -> (kernel[i] - 1) * c.RightDilation[i] + 3 + s.Between(0, most))
        let channels = if isLong then 8192 / Shape.count kernel + s.Between(1, 20) else s.OneOf [| 1; 1; 2; 3 |]
        let x = s.Operand(dtype, Array.append [| s.OneOf [| 1; 1; 3 |]; channels * c.Groups |] extents)
        let w = s.Operand(dtype, Array.append [| s.OneOf [| 1; 1; 2; 7 |] * c.Groups; channels |] kernel)
        let y = Op.conv c x w
        [| (if s.Chance 0.5 then y else Op.binary Binary.Max y (Op.binary Binary.Mul y y)) |])

/// Each channel by itself, with both gradients; the weight's is a sum over all positions.
[<Test>]
let ``convolutions of single channels and their gradients`` () =
    holds "conv, single channels" 15 (fun s ->
        let dtype, stride = s.OneOf [| DType.F32; DType.F32; DType.F64 |], s.OneOf [| 1; 1; 2 |]
        let groups = s.OneOf [| 1; 3; 4 |]
        let c =
            { Strides = [| stride; stride |]
              PadLow = [| 1; 0 |]
              PadHigh = [| 1; 1 |]
              LeftDilation = [| 1; 1 |]
              RightDilation = [| 1; s.OneOf [| 1; 2 |] |]
              Groups = groups }
        let extent = if s.Chance 0.2 then 95 * stride else s.Between(7, 40)
        let x = s.Operand(dtype, [| s.OneOf [| 1; 2 |]; groups; extent; extent + 2 |])
        let w = s.Operand(dtype, [| groups; 1; 3; 3 |])
        let y = Op.conv c x w
        Array.append [| y |] (Grad.gradient (Op.reduce Reduction.Sum [ 0 .. y.Rank - 1 ] (y * y)) [| x; w |]))

/// Few channels and many positions, so that the weight's gradient is a sum longer than a chain, which reads patches where
/// they lie.
[<Test>]
let ``gradients of weights over many positions`` () =
    holds "conv, long sums" 12 (fun s ->
        let dtype = s.OneOf [| DType.F32; DType.F32; DType.F64 |]
        let groups, stride = s.OneOf [| 1; 1; 2 |], s.OneOf [| 1; 1; 2 |]
        let c =
            { Strides = [| stride; stride |]
              PadLow = [| 1; 0 |]
              PadHigh = [| 0; 1 |]
              LeftDilation = [| 1; 1 |]
              RightDilation = [| 1; s.OneOf [| 1; 2 |] |]
              Groups = groups }
        let side = stride * s.OneOf [| 46; 57; 67 |]
        let x = s.Operand(dtype, [| 2; groups * s.OneOf [| 1; 2; 3 |]; side; side |])
        let w = s.Operand(dtype, [| groups * s.OneOf [| 1; 5; 17 |]; x.Shape[1] / groups; 3; 3 |])
        let y = Op.conv c x w
        Grad.gradient (Op.reduce Reduction.Sum [ 0..3 ] (y * y)) [| w |])

// ------------------------------------------------------------------------------------------------ pooling

/// Windows of any kind over one or two axes; with padding, gaps, rows that no window covers, and cotangents that are -0.
[<Test>]
let ``pooling and its gradients`` () =
    holds "pooling" 100 (fun s ->
        let n = s.Between(1, 2)
        let each (choices: int[]) = Array.init n (fun _ -> s.OneOf choices)
        let size, dilation = each [| 1; 2; 2; 3; 3; 5 |], each [| 1; 1; 1; 2 |]
        let span i = dilation[i] * (size[i] - 1) + 1
        let o =
            { PoolOptions.Of size with
                Stride = (if s.Chance 0.4 then size else each [| 1; 2; 2; 3; 7 |])
                Dilation = dilation
                Padding = Array.init n (fun i -> s.Between(0, span i / 2))
                CeilMode = s.Chance 0.3 }
        let extents = Array.init n (fun i -> span i + s.OneOf [| 0; 1; 2; 5; 9; 17; 40 |])
        let x =
            s.Operand(
                s.OneOf [| DType.F32; DType.F32; DType.F32; DType.F64; DType.F16 |],
                Array.append [| s.OneOf [| 1; 3; 20 |] |] extents
            )
        let pool = if s.Chance 0.7 || Array.exists ((<>) 1) dilation then maxPool o else avgPool o
        let y = pool x
        let c = s.Operand(y.DType, y.Shape)
        Array.append [| y |] (Grad.vjp [| y |] [| c |] [| x |]))

// ------------------------------------------------------------------------------------------------ along lines

/// A shape with an axis, which is now and then long.
let private line (s: Source) (least: int) =
    let shape = shape s 1 3
    let axis = s.Between(0, shape.Length - 1)
    if s.Chance 0.15 then shape[axis] <- s.OneOf [| 60; 130; 700 |]
    shape[axis] <- max least shape[axis]
    struct (shape, axis)

[<Test>]
let ``running sums`` () =
    holds "cumSum" 80 (fun s ->
        let struct (shape, axis) = line s 0
        [| Op.cumSum axis (s.Chance 0.5) (s.Operand(s.OneOf arithmetic, shape)) |])

[<Test>]
let ``first largest and smallest elements`` () =
    holds "argReduce" 80 (fun s ->
        let struct (shape, axis) = line s 1
        [| Op.argReduce (s.Chance 0.5) axis (s.Operand(s.OneOf any, shape)) |])

[<Test>]
let ``sorting, stable in both directions`` () =
    holds "sort" 80 (fun s ->
        let struct (shape, axis) = line s 0
        let values, positions = Op.sort axis (s.Chance 0.5) (s.Operand(s.OneOf any, shape))
        [| values; positions |])

[<Test>]
let ``the k largest`` () =
    holds "topK" 80 (fun s ->
        let struct (shape, _) = line s 0
        let last = shape[shape.Length - 1]
        let k = s.OneOf [| 0; min 1 last; min 5 last; last; last / 2 |]
        let values, positions = Op.topK k (s.Operand(s.OneOf any, shape))
        [| values; positions |])

// ------------------------------------------------------------------------------------------------ windows and places

[<Test>]
let ``windows added back`` () =
    holds "fold" 80 (fun s ->
        let struct (shape, axis) = line s 1
        let size, step, dilation = s.OneOf [| 1; 2; 3; 4 |], s.OneOf [| 1; 2; 3; 5 |], s.OneOf [| 1; 1; 2 |]
        let w = { Axis = axis; Size = size; Step = step; Dilation = dilation }
        shape[axis] <- (size - 1) * dilation + 1 + s.OneOf [| 0; 1; 2; 3; 9; 30 |]
        let unfolded = Op.unfold w (s.Value(DType.F32, shape))
        [| Op.fold w shape[axis] (s.Operand(s.OneOf arithmetic, unfolded.Shape)) |])

/// Indices inside an axis, many of them repeated.
let private picks (s: Source) (shape: int[]) (size: int) =
    let dtype = s.OneOf [| DType.I64; DType.I32 |]
    ofInts dtype shape (Array.init (Shape.count shape) (fun _ -> int64 (s.Between(0, max 0 (size - 1)))))

let private adding = arithmetic |> Array.filter (fun d -> DType.arithmetic d = d)

[<Test>]
let ``rows added at indices, on any axis and batch`` () =
    holds "scatterAdd" 100 (fun s ->
        let shape = shape s 1 4
        let axis = s.Between(0, shape.Length - 1)
        shape[axis] <- max 1 shape[axis]
        let batch = s.Between(0, axis)
        let extra = Array.init (s.Between(0, 2)) (fun _ -> s.OneOf [| 0; 1; 2; 5; 9 |])
        let dtype = s.OneOf adding
        let indices = picks s (Array.append shape[.. batch - 1] extra) shape[axis]
        let updates = Array.concat [ shape[.. axis - 1]; extra; shape[axis + 1 ..] ]
        let target =
            if s.Chance 0.3 then
                Op.broadcast shape (Op.constant (Constant.ofInt dtype 0L))
            else
                s.Operand(dtype, shape)
        let x = Op.scatterAdd axis batch target indices (s.Operand(dtype, updates))
        if s.Chance 0.5 then [| x |] else [| x; Op.binary Binary.Add target x |])

let private starts (s: Source) (shape: int[]) (box: int[]) = Array.map2 (fun e b -> picks s [||] (e - b + 1)) shape box

[<Test>]
let ``boxes replaced at places that are data`` () =
    holds "dynamicUpdate" 100 (fun s ->
        let shape = shape s 0 4
        let box () = shape |> Array.map (fun e -> s.OneOf [| e; e; e / 2; min e 1 |])
        let dtype = s.OneOf any
        let update x =
            let box = box ()
            Op.dynamicUpdate (starts s shape box) (s.Operand(dtype, box)) x
        let x = s.Operand(dtype, shape)
        // One after the other in place, and the first once more where somebody still reads it.
        match s.Between(0, 3) with
        | 0 -> [| update x |]
        | 1 -> [| update (update x) |]
        | 2 -> [| update x; update x |]
        | _ ->
            let once = update x
            [| update once; once |])

/// Long code takes several vectors side by side, then one, then what is left; rows are fetched while the one before is at work.
[<Test>]
let ``costly functions of rows of any length`` () =
    holds "costly rows" 60 (fun s ->
        let dtype = s.OneOf [| DType.F32; DType.F32; DType.F64 |]
        let rows, length = s.Between(1, 9), s.OneOf [| s.Between(1, 20); s.Between(21, 200); s.Between(200, 700) |]
        let x = s.Operand(dtype, [| rows; length |])
        let w = Op.broadcast [| rows; length |] (s.Value(dtype, [| 1; length |]))
        match s.Between(0, 5) with
        | 0 -> [| exp x; geluTanh (x * w) |]
        | 1 -> [| grad (geluTanh >> sum) x |]
        | 2 -> [| gelu x * log (x * x + 1.0) |]
        | 3 -> [| softmax -1 (x * w) |]
        | 4 -> [| grad (fun x -> sum (softmax -1 x * w)) x |]
        | _ -> [| sumOver [ 1 ] (exp (tanh x)); amax [ 1 ] (sin x) |])

/// Long columns are added up while the rows are in cache.
[<Test>]
let ``sums down columns beside the rows`` () =
    holds "summed rows" 24 (fun s ->
        let dtype = s.OneOf [| DType.F32; DType.F32; DType.F64; DType.I32 |]
        let rows, length = s.Between(1024, 1400), s.OneOf [| 256; s.Between(256, 300); 320 |]
        let x = s.Operand(dtype, [| rows; length |])
        let x = if Form.isView x then x + x else x
        let w = s.Value(dtype, [| length |])
        let center (x: Tensor) = x - sumKeep [ 1 ] x
        match s.Between(0, 5) with
        | 0 -> (let d = x * w in [| d * d; sumOver [ 0 ] d |])
        | 1 -> (let d = abs (x * w) in [| sumOver [ 0 ] d; sumOver [ 0 ] (d * x); d + w |])
        | 2 -> (let d = center x in [| d * w; sumOver [ 0 ] (d * x); amax [ 0 ] x |])
        | 3 -> (let d = center x in [| sumOver [ 0 ] d |])
        | 4 -> (let m = sumOver [ 1 ] x in [| m; center x; sumOver [ 0 ] (x * Op.reshape [| rows; 1 |] m) |])
        | _ ->
            let more = s.Value(dtype, [| rows; length |])
            [| x + more; sumOver [ 0 ] (x * more); sumOver [ 0 ] more; sumOver [ 1 ] (x * w) |])

[<Test>]
let ``gradients of a layer norm are one kernel`` () =
    let x, w, b, dy =
        Op.input "x" DType.F32 [| 2048; 256 |],
        Op.input "w" DType.F32 [| 256 |],
        Op.input "b" DType.F32 [| 256 |],
        Op.input "dy" DType.F32 [| 2048; 256 |]
    let normed (x: Tensor, w: Tensor, b: Tensor) =
        let d = x - meanKeep [ 1 ] x
        d * rsqrt (meanKeep [ 1 ] (d * d) + 1e-5) * w + b
    let gx, gw, gb = grad (fun p -> sum (normed p * dy)) (x, w, b)
    let plan = Lower.plan [| x; w; b; dy |] (Rewrite.simplify [| gx; gw; gb |])
    match plan.Kernels with
    | [| Kernel.Summed s |] -> Assert.That(s.Sums.Length, Is.EqualTo 2)
    | others -> failwith (String.Join("\n", others |> Array.map Kernel.show))

[<Test>]
let ``what is updated stays where it is when nobody else needs it`` () =
    let cache, row, at =
        Op.input "cache" DType.F32 [| 1024; 64 |], Op.input "row" DType.F32 [| 1; 64 |], Op.input "at" DType.I64 [||]
    let zero = Op.constant (Constant.ofInt DType.I64 0L)
    let next = Op.dynamicUpdate [| at; zero |] row cache
    let other = Op.scatterAdd 0 0 next (Op.reshape [| 1 |] at) row
    let program = Program.compile [| cache; row; at |] [| other; sum other |] [| true; false; false |]
    Assert.That(program.PeakBytes, Is.LessThan 4096, "neither a copy nor a second cache")
    let values = noise DType.F32 1 [| 1024; 64 |]
    let run place =
        let copy = eval (values * 1.0)
        program.Run
            [| Program.storage copy
               Program.storage (noise DType.F32 2 [| 1; 64 |])
               Program.storage (i64 [||] [ place ]) |]
    let found = elements (run 17L).[0]
    let expected = elements (Program.storage values)
    elements (Program.storage (noise DType.F32 2 [| 1; 64 |]))
    |> Array.iteri (fun i c -> expected[17 * 64 + i] <- Constant.ofFloat DType.F32 (2.0 * c.Float))
    assertSame "updated" expected found

[<Test>]
let ``indices out of range are found before anything donated is overwritten`` () =
    let x, row, at =
        Op.input "x" DType.F32 [| 5; 3 |], Op.input "row" DType.F32 [| 1; 3 |], Op.input "at" DType.I64 [||]
    let zero = Op.constant (Constant.ofInt DType.I64 0L)
    let first = Op.dynamicUpdate [| zero; zero |] row x
    let second = Op.scatterAdd 0 0 first (Op.reshape [| 1 |] at) row
    let third = Op.dynamicUpdate [| at; zero |] row second
    for root, message in
        [ second, "scatterAdd: index 5 is out of range for an axis of 5 elements (indices run from 0 to 4)"
          third, "scatterAdd: index 5 is out of range for an axis of 5 elements (indices run from 0 to 4)" ] do
        let program = Program.compile [| x; row; at |] [| root |] [| true; false; false |]
        let state = noise DType.F32 1 [| 5; 3 |]
        let before = elements (Program.storage state)
        raises<IndexException> message (fun () ->
            program.Run
                [| Program.storage state
                   Program.storage (noise DType.F32 2 [| 1; 3 |])
                   Program.storage (i64 [||] [ 5L ]) |]
            |> ignore)
        assertSame "untouched" before (elements (Program.storage state))

/// A buffer frees its memory when nobody holds it any more; an address does not hold it.
[<Test>]
let ``what a thread keeps for convolutions survives collections`` () =
    let thread = ConvThread()
    let words = Array.create 8 0x5555_5555_5555_5555L
    Marshal.Copy(words, 0, thread.Arguments, words.Length)
    for _ in 1..2 do
        GC.Collect()
        GC.WaitForPendingFinalizers()
    let kept = Array.zeroCreate<int64> words.Length
    Marshal.Copy(thread.Arguments, kept, 0, kept.Length)
    Assert.That(kept, Is.EqualTo(box words))
