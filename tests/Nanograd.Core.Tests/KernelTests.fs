/// Every primitive that has a kernel to itself, with random shapes, types, attributes and operands (views too): compiled code
/// against the interpreter, bit for bit, at every vector width, by several threads, and donated or not.
module Nanograd.Core.Tests.KernelTests

open System
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
    for k in plan.Kernels do
        match k with
        | Kernel.Reference(node, _, _) -> failwith $"{Print.name node} has no kernel of its own\n{i}"
        | _ -> ()

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
