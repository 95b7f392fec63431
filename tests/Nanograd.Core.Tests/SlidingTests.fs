/// Convolutions and pooling as users call them: PyTorch's numbers, gradients of every kind, errors.
module Nanograd.Core.Tests.SlidingTests

open System
open System.Text.Json
open NUnit.Framework
open Nanograd

/// An attribute that is a number or a list of them.
let private ints (c: Oracles.Case) (key: string) : int[] =
    let e = c.Attributes.GetProperty key
    if e.ValueKind = JsonValueKind.Array then
        e.EnumerateArray() |> Seq.map (fun n -> n.GetInt32()) |> Seq.toArray
    else
        [| e.GetInt32() |]

let private flag (c: Oracles.Case) (key: string) = c.Attributes.GetProperty(key).GetBoolean()

/// The case with its parameters among its inputs.
let private withParameters (c: Oracles.Case) : Oracles.Case =
    let names = c.Gradients |> Array.map (fun g -> g.Replace("grad.", ""))
    { c with
        Inputs = names |> Array.map (fun n -> if n = "x" then "in.x" else "param." + n)
        Tensor = c.Tensor }

let private goldens (op: string) (f: Oracles.Case -> Tensor list -> Tensor) =
    let cases = Oracles.ofFunction op
    Assert.That(cases, Is.Not.Empty)
    for c in cases do
        let c = withParameters c
        let key (g: string) = g.Replace("param.", "in.")
        let c =
            { c with
                Inputs = Array.map key c.Inputs
                Tensor = fun k -> c.Tensor(if k.StartsWith "in." && k <> "in.x" then k.Replace("in.", "param.") else k) }
        Oracles.check 1e-5 1e-5 c (fun xs -> [ f c xs ])

let private convolution run (c: Oracles.Case) (xs: Tensor list) : Tensor =
    let o: ConvOptions =
        { Stride = ints c "stride"
          Padding = Padding.By(ints c "padding")
          Dilation = ints c "dilation"
          Groups = (ints c "groups").[0] }
    run o xs[1] (List.tryItem 2 xs) xs[0]

let private transposed (c: Oracles.Case) (xs: Tensor list) : Tensor =
    let o: ConvTransposeOptions =
        { Stride = ints c "stride"
          Padding = ints c "padding"
          OutputPadding = ints c "output_padding"
          Dilation = ints c "dilation"
          Groups = (ints c "groups").[0] }
    convTranspose o xs[1] (List.tryItem 2 xs) xs[0]

let private pool (c: Oracles.Case) : PoolOptions =
    { Size = ints c "kernel_size"
      Stride = ints c "stride"
      Padding = ints c "padding"
      Dilation = (if c.Op.StartsWith "max" then ints c "dilation" else [| 1 |])
      CeilMode = flag c "ceil_mode"
      CountIncludePad = (if c.Op.StartsWith "avg" then flag c "count_include_pad" else true) }

/// One number stands for every spatial axis, and the size says how many there are.
let private pooled (spatial: int) (c: Oracles.Case) : PoolOptions =
    let o = pool c
    { o with
        Size = (if o.Size.Length = spatial then o.Size else Array.create spatial o.Size[0]) }

[<Test>]
let ``conv1d gives the reference's numbers`` () = goldens "conv1d" (convolution conv1d)

[<Test>]
let ``conv2d gives the reference's numbers`` () = goldens "conv2d" (convolution conv2d)

[<Test>]
let ``conv_transpose1d gives the reference's numbers`` () = goldens "conv_transpose1d" transposed

[<Test>]
let ``conv_transpose2d gives the reference's numbers`` () = goldens "conv_transpose2d" transposed

[<Test>]
let ``max_pool gives the reference's numbers`` () =
    goldens "max_pool1d" (fun c xs -> maxPool (pooled 1 c) xs[0])
    goldens "max_pool2d" (fun c xs -> maxPool (pooled 2 c) xs[0])

[<Test>]
let ``avg_pool gives the reference's numbers`` () =
    goldens "avg_pool1d" (fun c xs -> avgPool (pooled 1 c) xs[0])
    goldens "avg_pool2d" (fun c xs -> avgPool (pooled 2 c) xs[0])

[<Test>]
let ``adaptive pooling gives the reference's numbers`` () =
    goldens "adaptive_avg_pool2d" (fun c xs -> adaptiveAvgPool (ints c "output_size") xs[0])
    goldens "adaptive_max_pool2d" (fun c xs -> adaptiveMaxPool (ints c "output_size") xs[0])

// ------------------------------------------------------------------------------------------------ laws

let private value (t: Tensor) = (interpreted t).[0].Float

let private weighted (y: Tensor) = sum (Op.reshape [| y.Count |] y * noise DType.F64 5 [| y.Count |])

/// The derivative of a scalar function along a random direction against a difference of fourth order.
let private differential tolerance (what: string) (f: Tensor[] -> Tensor) (at: Tensor[]) =
    let directions = at |> Array.mapi (fun i x -> noise DType.F64 (100 + i) x.Shape)
    let y h = value (f (Array.map2 (fun x d -> x + d * scalar h) at directions))
    let h = 1e-4
    let numeric = (8.0 * (y h - y -h) - (y (2.0 * h) - y (-2.0 * h))) / (12.0 * h)
    let symbolic = Array.map2 (fun g d -> value (sum (g * d))) (Grad.gradient (f at) at) directions |> Array.sum
    Assert.That(symbolic, Is.EqualTo(numeric).Within(tolerance * (1.0 + abs numeric)), what)

/// First and second order, on values that are far enough from ties.
let private differentiable (what: string) (f: Tensor[] -> Tensor) (at: Tensor[]) =
    let first xs = weighted (f xs)
    differential 1e-7 what first at
    let second (xs: Tensor[]) = Grad.gradient (first xs) xs |> Array.map (sin >> weighted) |> Array.reduce (+)
    differential 1e-5 (what + ", second order") second at

[<Test>]
let ``convolutions with any attributes have the derivatives of their differences`` () =
    for seed in 0 .. cases 25 - 1 do
        let s = KernelTests.Source(3 * seed)
        let y = KernelTests.convolution s DType.F64
        if y.Count > 0 then
            match y.Op with
            | Op.Conv c ->
                let operand i = noise DType.F64 (seed + i) y.Inputs[i].Shape
                differentiable $"seed {seed}: {c}" (fun xs -> sin (Op.conv c xs[0] xs[1])) [| operand 0; operand 1 |]
            | _ -> Assert.Fail "not a convolution"

/// Numbers all different, so that steps of differences do not change which is the largest.
let private distinct (seed: int) (shape: int[]) =
    let random = Random seed
    let order = Array.init (Shape.count shape) float |> Array.sortBy (fun _ -> random.Next())
    f64 shape (order |> Array.map (fun v -> v / 10.0))

[<Test>]
let ``pooling has the derivatives of its differences`` () =
    let options =
        [ PoolOptions.Of [| 2; 2 |]
          { PoolOptions.Of [| 3; 2 |] with Stride = [| 2; 1 |]; Padding = [| 1; 0 |] }
          { PoolOptions.Of [| 3; 3 |] with
              Stride = [| 2 |]
              CeilMode = true
              CountIncludePad = false }
          { PoolOptions.Of [| 2; 3 |] with Stride = [| 3; 4 |]; Padding = [| 1 |] }
          PoolOptions.Of [| 7; 8 |] ]
    for o in options do
        differentiable $"maxPool {o}" (fun xs -> maxPool o (xs[0] * xs[0])) [| distinct 1 [| 2; 7; 8 |] + 1.0 |]
        differentiable $"avgPool {o}" (fun xs -> sin (avgPool o xs[0])) [| noise DType.F64 2 [| 2; 7; 8 |] |]
    for size in [ [| 3; 2 |]; [| 7; 4 |]; [| 2; 5 |] ] do
        differentiable
            "adaptive max"
            (fun xs -> adaptiveMaxPool size (xs[0] * xs[0]))
            [| distinct 3 [| 2; 7; 8 |] + 1.0 |]
        differentiable
            "adaptive mean"
            (fun xs -> sin (adaptiveAvgPool size xs[0]))
            [| noise DType.F64 4 [| 2; 7; 8 |] |]

[<Test>]
let ``the first of equal elements takes the whole gradient`` () =
    let x = f32 [| 1; 4 |] [ 2.0; 2.0; 1.0; 1.0 ]
    for o in [ PoolOptions.Of [| 2 |]; PoolOptions.Of [| 1; 2 |]; { PoolOptions.Of [| 2 |] with Stride = [| 1 |] } ] do
        let g = grad (fun x -> sum (maxPool o x)) x
        let expected = if o.Stride.Length = 0 then [| 1.0; 0.0; 1.0; 0.0 |] else [| 1.0; 1.0; 1.0; 0.0 |]
        Assert.That(floatsOf g, Is.EqualTo<float[]> expected)

[<Test>]
let ``NaN wins and padding never does`` () =
    let o = { PoolOptions.Of [| 3 |] with Padding = [| 1 |]; Stride = [| 3 |] }
    let y = maxPool o (f32 [| 8 |] [ -5.0; -6.0; 1.0; nan; 2.0; -9.0; -8.0; -7.0 ])
    Assert.That(floatsOf y, Is.EqualTo<float[]> [| -5.0; nan; -7.0 |])
    let whole = maxPool o (ofInts DType.I8 [| 5 |] [ -128L; -100L; -3L; -5L; -4L ])
    Assert.That(interpreted whole |> Array.map (fun c -> c.Int), Is.EqualTo<int64[]> [| -100L; -3L |])

[<Test>]
let ``pooling is one kernel, so is its gradient, and windows are not in memory`` () =
    let isPool (k: Kernel) = k.IsPool
    let x = Op.input "x" DType.F32 [| 8; 16; 32; 32 |]
    let plan y = Lower.plan [| x |] (Rewrite.simplify [| y |])
    for pool in [ maxPool (PoolOptions.Of [| 2; 2 |]); maxPool { PoolOptions.Of [| 3; 3 |] with Stride = [| 2 |] } ] do
        let kernels = (plan (pool x)).Kernels
        Assert.That(kernels.Length, Is.EqualTo 1, String.concat "" (Array.map Kernel.show kernels))
        Assert.That(Array.exists isPool kernels)
        let gradient = Grad.gradient (sum (square (pool x))) [| x |]
        let p = plan gradient[0]
        let largest = p.Buffers |> Array.map (fun b -> b.Length) |> Array.max
        Assert.That(largest, Is.EqualTo x.Count, "nothing is larger than the input")
        Assert.That(p.Kernels.Length, Is.LessThanOrEqualTo 3, String.concat "" (Array.map Kernel.show p.Kernels))

[<Test>]
let ``a transposed convolution is the adjoint of the convolution`` () =
    for seed in 0..9 do
        let s = KernelTests.Source seed
        let stride, padding, dilation, groups = s.Between(1, 3), s.Between(0, 1), s.Between(1, 2), s.Between(1, 2)
        let x = noise DType.F64 seed [| 2; 2 * groups; 9; 8 |]
        let w = noise DType.F64 (seed + 1) [| 3 * groups; 2; 3; 2 |]
        let o =
            { ConvOptions.Default with
                Stride = [| stride |]
                Padding = Padding.By [| padding |]
                Dilation = [| dilation |]
                Groups = groups }
        let y = conv2d o w None x
        let c = noise DType.F64 (seed + 2) y.Shape
        let missing i = x.Shape[i] - ((y.Shape[i] - 1) * stride - 2 * padding + dilation * (w.Shape[i] - 1) + 1)
        let back =
            convTranspose
                { ConvTransposeOptions.Default with
                    Stride = [| stride |]
                    Padding = [| padding |]
                    OutputPadding = [| missing 2; missing 3 |]
                    Dilation = [| dilation |]
                    Groups = groups }
                w
                None
                c
        Assert.That(value (sum (back * x)), Is.EqualTo(value (sum (c * y))).Within 1e-9)

[<Test>]
let ``same padding keeps the extents, and a batch may be missing`` () =
    let w, x = noise DType.F32 1 [| 4; 3; 2; 5 |], noise DType.F32 2 [| 3; 6; 7 |]
    let y = conv2d { ConvOptions.Default with Padding = Padding.Same; Dilation = [| 2; 1 |] } w None x
    Assert.That(y.Shape, Is.EqualTo<int[]> [| 4; 6; 7 |])

[<Test>]
let ``mistakes are named`` () =
    let x = zeros [| 2; 3; 8; 8 |]
    raises<ShapeException>
        "conv2d: the weight must be [out; channels / groups; 2 spatial axes], got f32[2,3,8,8] x f32[4,3,3]"
        (fun () -> conv2d ConvOptions.Default (zeros [| 4; 3; 3 |]) None x |> ignore)
    raises<ShapeException>
        "conv2d: the bias must have one entry for each of the 4 output channels, got f32[3]"
        (fun () -> conv2d ConvOptions.Default (zeros [| 4; 3; 3; 3 |]) (Some(zeros [| 3 |])) x |> ignore)
    raises<ShapeException>
        "maxPool: padding must be at most half the window (2 and 3 on axis 2), got f32[2,3,8,8]"
        (fun () -> maxPool { PoolOptions.Of [| 3; 3 |] with Padding = [| 2 |] } x |> ignore)
    raises<ShapeException> "maxPool: a window of 9 must fit the padded axis 2 of 8, got f32[2,3,8,8]" (fun () ->
        maxPool (PoolOptions.Of [| 9; 2 |]) x |> ignore)
