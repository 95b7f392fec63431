/// The meaning of the primitives against independent formulas: docs/semantics.md line by line.
module Nanograd.Core.Tests.InterpreterTests

open System
open NUnit.Framework
open Nanograd

let private bits (xs: Constant[]) =
    xs |> Array.map (fun c -> if Double.IsNaN c.Float then 0x7FF8000000000000UL else c.Bits)

let private expect (what: string) (t: Tensor) (wanted: seq<float>) =
    let wanted = wanted |> Seq.map (Constant.ofFloat t.DType) |> Seq.toArray
    assertSame $"{what}, interpreted" wanted (interpreted t)
    assertSame $"{what}, compiled" wanted (computed t)

let private expectInts (what: string) (t: Tensor) (wanted: seq<int64>) =
    let wanted = wanted |> Seq.map (Constant.ofInt t.DType) |> Seq.toArray
    assertSame $"{what}, interpreted" wanted (interpreted t)
    assertSame $"{what}, compiled" wanted (computed t)

let private edges =
    [| 0.0
       -0.0
       1.0
       -1.0
       0.5
       -0.5
       1.5
       2.5
       -2.5
       nan
       infinity
       -infinity
       3.4e38
       -3.4e38
       1e-45
       -1e-45
       1e-20
       3.7
       -3.7
       16777217.0
       300.0
       -129.0
       2147483648.0
       4294967296.0
       1e19
       -1e19 |]

let private pairs (xs: 'a[]) =
    [| for x in xs do
           for y in xs -> x, y |]
    |> Array.unzip

// ------------------------------------------------------------------------------------------------ elementwise

[<Test>]
let ``f32 arithmetic is IEEE`` () =
    let a, b = pairs (edges |> Array.map float32)
    let x, y = f32 [| a.Length |] (a |> Seq.map float), f32 [| b.Length |] (b |> Seq.map float)
    let binary op (f: float32 -> float32 -> float32) =
        expect (string op) (Op.binary op x y) (Array.map2 (fun p q -> float (f p q)) a b)
    binary Binary.Add (+)
    binary Binary.Sub (-)
    binary Binary.Mul (*)
    binary Binary.Div (/)
    binary Binary.Rem (fun p q -> p % q)
    binary Binary.Max (fun p q -> MathF.Max(p, q))
    binary Binary.Min (fun p q -> MathF.Min(p, q))
    binary Binary.Pow (fun p q -> float32 (Math.Pow(float p, float q)))
    let test op (f: float32 -> float32 -> bool) =
        expectInts (string op) (Op.binary op x y) (Array.map2 (fun p q -> if f p q then 1L else 0L) a b)
    test Binary.Eq (=)
    test Binary.Ne (<>)
    test Binary.Lt (<)
    test Binary.Le (<=)
    test Binary.Gt (>)
    test Binary.Ge (>=)

[<Test>]
let ``f64 functions`` () =
    let x = f64 [| edges.Length |] edges
    let unary u (f: float -> float) = expect (string u) (Op.unary u x) (edges |> Array.map f)
    unary Unary.Neg (fun v -> -v)
    unary Unary.Abs Math.Abs
    unary Unary.Sqrt Math.Sqrt
    unary Unary.Rsqrt (fun v -> 1.0 / Math.Sqrt v)
    unary Unary.Floor Math.Floor
    unary Unary.Ceil Math.Ceiling
    unary Unary.Round (fun v -> Math.Round(v, MidpointRounding.ToEven))
    unary Unary.Sign (fun v ->
        if v > 0.0 then 1.0
        elif v < 0.0 then -1.0
        else 0.0)

let private integerTypes = [ DType.I64; DType.I32; DType.U32; DType.U8; DType.I8 ]

/// x as the type wraps it.
let private wrapped (d: DType) (x: bigint) : bigint =
    let modulus = bigint.Pow(2I, 8 * DType.size d)
    let r = ((x % modulus) + modulus) % modulus
    if d <> DType.U8 && d <> DType.U32 && r >= modulus / 2I then r - modulus else r

[<TestCaseSource(nameof integerTypes)>]
let ``integers wrap around, shift and divide as documented`` (d: DType) =
    let width = 8 * DType.size d
    let top = bigint.Pow(2I, width - 1)
    let some =
        [ 0I; 1I; -1I; 2I; 3I; -2I; 7I; 8I; 9I; 31I; 32I; 33I; 63I; 64I; 65I; 100I; top; top - 1I; -top; 2I * top - 1I ]
    let a, b = some |> List.map (wrapped d) |> List.distinct |> List.toArray |> pairs
    let tensor (xs: bigint[]) = ofInts d [| xs.Length |] (xs |> Seq.map int64)
    let x, y = tensor a, tensor b
    let binary op f = expectInts $"{d} {op}" (Op.binary op x y) (Array.map2 (fun p q -> int64 (wrapped d (f p q))) a b)
    binary Binary.Add (+)
    binary Binary.Sub (-)
    binary Binary.Mul (*)
    binary Binary.Div (fun p q -> if q = 0I then 0I else bigint.Divide(p, q))
    binary Binary.Rem (fun p q -> if q = 0I then 0I else bigint.Remainder(p, q))
    binary Binary.Max max
    binary Binary.Min min
    binary Binary.And (&&&)
    binary Binary.Or (|||)
    binary Binary.Xor (^^^)
    let outside q = q < 0I || q >= bigint width
    binary Binary.Shl (fun p q -> if outside q then 0I else p <<< int q)
    binary Binary.Shr (fun p q -> if outside q then (if p < 0I then -1I else 0I) else p >>> int q)
    let inverse (p: bigint) (q: bigint) =
        if p = 1I then 1I
        elif p = -1I then (if q.IsEven then 1I else -1I)
        else 0I
    binary Binary.Pow (fun p q -> if q < 0I then inverse p q else bigint.ModPow(p, q, bigint.Pow(2I, 64)))
    let unary u (f: bigint -> bigint) =
        expectInts $"{d} {u}" (Op.unary u x) (a |> Array.map (fun p -> int64 (wrapped d (f p))))
    unary Unary.Neg (fun p -> -p)
    unary Unary.Abs bigint.Abs
    unary Unary.Sign (fun p -> bigint p.Sign)
    unary Unary.Not (fun p -> -p - 1I)

[<Test>]
let ``logic of bools`` () =
    let x, y = ofInts DType.Bool [| 4 |] [ 0L; 0L; 1L; 1L ], ofInts DType.Bool [| 4 |] [ 0L; 1L; 0L; 1L ]
    let table op wanted = expectInts (string op) (Op.binary op x y) wanted
    table Binary.And [ 0L; 0L; 0L; 1L ]
    table Binary.Or [ 0L; 1L; 1L; 1L ]
    table Binary.Xor [ 0L; 1L; 1L; 0L ]
    table Binary.Eq [ 1L; 0L; 0L; 1L ]
    table Binary.Lt [ 0L; 1L; 0L; 0L ]
    table Binary.Ge [ 1L; 0L; 1L; 1L ]
    table Binary.Add [ 0L; 1L; 1L; 2L ]
    expectInts "not" (Op.unary Unary.Not x) [ 1L; 1L; 0L; 0L ]

[<Test>]
let ``select takes bits and computes nothing`` () =
    let c = ofInts DType.Bool [| 3 |] [ 1L; 0L; 1L ]
    expect "select" (where c (f32 [| 3 |] [ 1.0; nan; -0.0 ]) (f32 [| 3 |] [ nan; 2.0; infinity ])) [ 1.0; 2.0; -0.0 ]

let private types = DType.all

[<TestCaseSource(nameof types)>]
let ``casts follow the table`` (source: DType) =
    let wholes =
        [| 0L
           1L
           -1L
           Int64.MaxValue
           Int64.MinValue
           16777217L
           255L
           256L
           -129L
           65519L
           65520L
           4294967295L
           2147483648L |]
    let given =
        if DType.isFloat source then
            edges |> Array.map (Constant.ofFloat source)
        else
            wholes |> Array.map (Constant.ofInt source)
    let x = valueOf source [| given.Length |] given
    for target in DType.all do
        let convert (c: Constant) =
            if DType.isFloat source then Constant.ofFloat target c.Float else Constant.ofInt target c.Int
        let wanted = given |> Array.map convert
        assertSame $"{source} to {target}, interpreted" wanted (interpreted (Op.cast target x))
        assertSame $"{source} to {target}, compiled" wanted (computed (Op.cast target x))

[<TestCaseSource(nameof types)>]
let ``bits of what was cast`` (source: DType) =
    let x = ofInts source [| 37 |] (Seq.init 37 (fun i -> int64 (i * 7 - 90)))
    for middle in DType.all do
        for target in DType.all do
            let isPossible = DType.size middle = DType.size target && middle <> DType.Bool && target <> DType.Bool
            if isPossible then
                let t = Op.bitCast target (Op.cast middle x)
                assertSame $"{source} to {middle}, bits as {target}" (interpreted t) (computed t)

[<Test>]
let ``casts of hand-checked values`` () =
    let x = f32 [| 6 |] [ 3.99; -3.99; nan; 1e10; -1e10; 255.5 ]
    expectInts "i32" (cast DType.I32 x) [ 3L; -3L; 0L; 2147483647L; -2147483648L; 255L ]
    expectInts "u8" (cast DType.U8 x) [ 3L; 0L; 0L; 255L; 0L; 255L ]
    expectInts "bool" (cast DType.Bool x) [ 1L; 1L; 1L; 1L; 1L; 1L ]
    expect "f16" (cast DType.F16 (f32 [| 3 |] [ 65519.0; 65520.0; 1.0004883 ])) [ 65504.0; infinity; 1.0 ]
    expect "bf16" (cast DType.BF16 (f32 [| 2 |] [ 1.00390625; 1.01171875 ])) [ 1.0; 1.015625 ] // ties to even
    expectInts "wraps" (cast DType.I8 (i64 [| 3 |] [ 300L; -129L; 128L ])) [ 44L; 127L; -128L ]

// ------------------------------------------------------------------------------------------------ orders of summation

let rec private tree (xs: float32 list) =
    match xs with
    | [ x ] -> x
    | _ -> xs |> List.chunkBySize 2 |> List.map (List.reduce (+)) |> tree

/// 64 lanes to a block of 4096, folded by halves, blocks by the tree.
let private rowSum (xs: float32[]) =
    let block (xs: float32[]) =
        let lanes = Array.create 64 -0.0f
        xs |> Array.iteri (fun i x -> lanes[i % 64] <- lanes[i % 64] + x)
        let mutable half = 32
        while half > 0 do
            for i in 0 .. half - 1 do
                lanes[i] <- lanes[i] + lanes[i + half]
            half <- half / 2
        lanes[0]
    xs |> Array.chunkBySize 4096 |> Array.map block |> List.ofArray |> tree

/// Chains of 256, combined by the tree.
let private chainSum (xs: float32[]) =
    xs |> Array.chunkBySize 256 |> Array.map (Array.reduce (+)) |> List.ofArray |> tree

let private lengths = [ 1; 2; 15; 16; 17; 63; 64; 65; 255; 256; 257; 513; 4095; 4096; 4097; 12289 ]

[<TestCaseSource(nameof lengths)>]
let ``sums are made in the documented order`` (n: int) =
    let xs = numbers n (3 * n) |> Array.map (fun v -> float32 (v * Math.Pow(10.0, 4.0 * v)))
    let rows = f32 [| 3; n |] (xs |> Seq.map float)
    expect "rows" (sumOver [ 1 ] rows) (xs |> Array.chunkBySize n |> Array.map (rowSum >> float))
    let columns = f32 [| n; 3 |] (xs |> Seq.map float)
    expect
        "columns"
        (sumOver [ 0 ] columns)
        [ for c in 0..2 -> Array.init n (fun i -> xs[3 * i + c]) |> chainSum |> float ]
    expect "both" (sum columns) [ float (rowSum xs) ]

[<Test>]
let ``a reduction of axes at the end and before is two, the last axes first`` () =
    let x = noise DType.F32 4 [| 5; 6; 7 |]
    assertSame "sum" (interpreted (sumOver [ 0 ] (sumOver [ 2 ] x))) (interpreted (sumOver [ 0; 2 ] x))

[<Test>]
let ``signs of zero, NaN and empty reductions`` () =
    let zeros = f32 [| 2 |] [ -0.0; -0.0 ]
    expect "sum of -0" (sum zeros) [ -0.0 ]
    expect "sum of nothing" (sum (f32 [| 0 |] [])) [ 0.0 ]
    expect "product of nothing" (Op.reduce Reduction.Prod [ 0 ] (f32 [| 0; 2 |] [])) [ 1.0; 1.0 ]
    expect "max" (amax [ 0 ] (f32 [| 2 |] [ -0.0; 0.0 ])) [ 0.0 ]
    expect "min" (amin [ 0 ] (f32 [| 2 |] [ 0.0; -0.0 ])) [ -0.0 ]
    expect "NaN wins" (amax [ 0 ] (f32 [| 3 |] [ 1.0; nan; infinity ])) [ nan ]
    expect "cumSum" (cumSum 0 (f32 [| 3 |] [ -0.0; -0.0; 1.0 ])) [ -0.0; -0.0; 1.0 ]

[<Test>]
let ``a contraction is a chain of fused multiply-adds, cut every 8192`` () =
    for k in [ 0; 1; 7; 8192; 8193; 20000 ] do
        let a, b = numbers 1 (2 * k) |> Array.map float32, numbers 2 (k * 3) |> Array.map float32
        let x, y = f32 [| 2; k |] (Seq.map float a), f32 [| k; 3 |] (Seq.map float b)
        let chain (i: int) (j: int) (ks: int[]) =
            ks |> Array.fold (fun acc p -> MathF.FusedMultiplyAdd(a[i * k + p], b[p * 3 + j], acc)) 0.0f
        let element i j =
            if k = 0 then
                0.0f
            else
                Array.init k id |> Array.chunkBySize 8192 |> Array.map (chain i j) |> Array.reduce (+)
        expect
            $"K = {k}"
            (matmul x y)
            [ for i in 0..1 do
                  for j in 0..2 -> float (element i j) ]

// ------------------------------------------------------------------------------------------------ order, indices, bits

[<Test>]
let ``sorting is stable, NaN is the largest, -0 equals 0`` () =
    let x = f32 [| 7 |] [ 1.0; nan; 0.0; -0.0; infinity; nan; -1.0 ]
    expectInts "up" (snd (Op.sort 0 false x)) [ 6L; 2L; 3L; 0L; 4L; 1L; 5L ]
    expectInts "down" (snd (Op.sort 0 true x)) [ 1L; 5L; 4L; 0L; 2L; 3L; 6L ]
    expectInts "topK" (snd (Op.topK 3 x)) [ 1L; 5L; 4L ]
    expectInts "argMax" (argMax 0 x) [ 1L ]
    expectInts "argMin" (Op.argReduce false 0 (f32 [| 4 |] [ 3.0; 0.0; -0.0; 1.0 ])) [ 1L ]

[<Test>]
let ``scatterAdd adds in the order of the updates`` () =
    let big = f32 [| 3 |] [ 1e8; 1.0; -1e8 ]
    let zeros = i64 [| 3 |] [ 0L; 0L; 0L ]
    expect "in order" (Op.scatterAdd 0 0 (f32 [| 2 |] [ 0.0; 5.0 ]) zeros big) [ 0.0; 5.0 ]
    expect "reversed" (Op.scatterAdd 0 0 (f32 [| 1 |] [ 1.0 ]) zeros (Op.reverse [ 0 ] big)) [ 0.0 ]

[<Test>]
let ``padding of a convolution takes part`` () =
    let c =
        { Strides = [| 1 |]
          PadLow = [| 1 |]
          PadHigh = [| 0 |]
          LeftDilation = [| 1 |]
          RightDilation = [| 1 |]
          Groups = 1 }
    expect
        "infinite weight"
        (Op.conv c (f32 [| 1; 1; 2 |] [ 1.0; 1.0 ]) (f32 [| 1; 1; 2 |] [ infinity; 1.0 ]))
        [ nan; infinity ]

[<Test>]
let ``random bits are Threefry2x32-20 by the vectors of Random123`` () =
    let draw (key: uint32[]) (counter: uint64) =
        Threefry.block Threefry.scalar (struct (key[0], key[1])) (struct (uint32 counter, uint32 (counter >>> 32)))
    Assert.That(draw [| 0u; 0u |] 0UL = struct (0x6b200159u, 0x99ba4efeu))
    Assert.That(draw [| 0xffffffffu; 0xffffffffu |] 0xffffffffffffffffUL = struct (0x1cb996fcu, 0xbb002be7u))
    Assert.That(draw [| 0x13198a2eu; 0x03707344u |] 0x85a308d3243f6a88UL = struct (0xc4923a9cu, 0x483df7a0u))
    let key = ofInts DType.U32 [| 2 |] [ 7L; 9L ]
    let wanted = Array.init 70 (fun i -> let struct (a, b) = draw [| 7u; 9u |] (uint64 i) in int64 (a ^^^ b))
    expectInts "elements" (Op.randomBits key [| 7; 10 |]) wanted

[<Test>]
let ``random numbers have the right moments, and keys give different ones`` () =
    let u, n = Random.uniform (Random.key 1L) [| 20000 |], Random.normal (Random.key 1L) [| 20000 |]
    let close (what: string) (t: Tensor) (wanted: float) = Assert.That(item t, Is.EqualTo(wanted).Within 0.02, what)
    close "mean" (mean u) 0.5
    close "variance" (mean (square (u - 0.5))) (1.0 / 12.0)
    close "normal mean" (mean n) 0.0
    close "normal variance" (mean (square n)) 1.0
    Assert.That(item (amax [ 0 ] u), Is.LessThan 1.0)
    Assert.That(item (amin [ 0 ] u), Is.GreaterThanOrEqualTo 0.0)
    Assert.That(floatsOf (Random.split 2 (Random.key 1L)), Is.Unique)
