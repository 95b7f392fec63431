/// The functions against numbers of PyTorch 1.13 (f64, printed with 17 digits) and against System.Math.
module Nanograd.Core.Tests.FunctionTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

let private d (values: 'T) = tensorOf DType.F64 values
let private x = d [ [ 3.0; -1.0; 2.0; 2.0 ]; [ 0.5; 4.0; -2.0; 1.0 ] ]
let private numbers k = Op.cast DType.F64 (arange DType.F64 k)
let private image = (numbers 12 + 1.0) ** 1.5 |> reshape [| 1; 1; 3; 4 |]
let private volume = sqrt (numbers 24 + 1.0) |> reshape [| 1; 1; 2; 3; 4 |]
let private ofOnes (f: Tensor -> Tensor) x = grad (fun x -> sum (f x)) x

[<NoEquality; NoComparison>]
type private Case = { Name: string; Got: unit -> Tensor; Want: float list }

let private case name want got = { Name = name; Got = got; Want = want }

let private cases =
    [ case "cumMax" [ 3.; 3.; 3.; 3.; 0.5; 4.; 4.; 4. ] (fun () -> fst (cumMax 1 x))
      case "cumMax indices" [ 0.; 0.; 0.; 0.; 0.; 1.; 1.; 1. ] (fun () -> snd (cumMax 1 x))
      case "cumMin indices" [ 0.; 1.; 1.; 1.; 0.; 0.; 2.; 2. ] (fun () -> snd (cumMin 1 x))
      case "cumMax indices of equal elements" [ 0.; 1.; 2.; 2. ] (fun () -> snd (cumMax 0 (d [ 1.; 1.; 1.; 0. ])))
      case "cumMax gradient" [ 6.; 0.; 0.; 0.; 4.; 18.; 0.; 0. ] (fun () ->
          ofOnes (fun x -> fst (cumMax 1 x) * reshape [| 2; 4 |] (numbers 8)) x)
      case "cumProd gradient at zeros" [ 1.; 22.; 0.; 0.; 0. ] (fun () ->
          ofOnes (fun x -> cumProd 0 x * (numbers 5 + 1.0)) (d [ 2.; 0.; 3.; 0.; 1. ]))
      case
          "logCumSumExp"
          [ 3.0
            3.01814992791781
            3.3265626412674707
            3.5619413794965094
            0.5
            4.029750418272621
            4.0321536226831585
            4.07923918860024 ]
          (fun () -> logCumSumExp 1 x)
      case "median" [ 2.; 0.5 ] (fun () -> median 1 x)
      case "kthValue" [ 2.; 0.5 ] (fun () -> fst (kthValue 2 1 x))
      case "quantile" [ 1.7; 0.25 ] (fun () -> quantile 0.3 1 x)
      case "quantile gradient" [ 0.; 0.1; 0.9; 0.; 1.8; 0.; 0.2; 0. ] (fun () ->
          ofOnes (fun x -> quantile 0.3 1 x * d [ 1.; 2. ]) x)
      case "quantile of NaN" [ nan ] (fun () -> quantile 0.5 0 (d [ 1.; nan; 2. ]))
      case "mode" [ 2.; -2. ] (fun () -> fst (mode 1 x))
      case "cov" [ 3.0; -3.25; -3.25; 6.0625 ] (fun () -> cov 1 x)
      case "corrcoef" [ 1.0; -0.762073496288714; -0.762073496288714; 1.0 ] (fun () -> corrcoef x)
      case "remainder" [ 1.; -1.; 1.; -1. ] (fun () -> remainder (d [ -3.; 3.; -3.5; 5. ]) (d [ 2.; -2.; 1.5; -1.5 ]))
      case "fmod" [ -1.; 1.; -0.5; 0.5 ] (fun () -> fmod (d [ -3.; 3.; -3.5; 5. ]) (d [ 2.; -2.; 1.5; -1.5 ]))
      case "sinc" [ 1.0; 0.9003163161571061; -0.2122065907891938; 0.0 ] (fun () -> sinc (d [ 0.; 0.25; -1.5; 3. ]))
      case "logaddexp" [ 1.3132616875182228; -999.3068528194401; -infinity; infinity ] (fun () ->
          logaddexp (d [ 0.; -1000.; -infinity; infinity ]) (d [ 1.; -1000.; -infinity; infinity ]))
      case "rot90" [ 2.; 5.; 1.; 4.; 0.; 3. ] (fun () -> rot90 1 0 1 (reshape [| 2; 3 |] (numbers 6)))
      case "rot90 back" [ 3.; 0.; 4.; 1.; 5.; 2. ] (fun () -> rot90 3 0 1 (reshape [| 2; 3 |] (numbers 6)))
      case "diagonal below" [ 4.; 9.; 16.; 21. ] (fun () -> diagonal -1 1 2 (reshape [| 2; 3; 4 |] (numbers 24)))
      case "diagonal of other axes" [ 12.; 16.; 20. ] (fun () -> diagonal 1 2 0 (reshape [| 2; 3; 4 |] (numbers 24)))
      case "diagEmbed" [ 0.; 0.; 0.; 1.; 0.; 0.; 0.; 2.; 0.; 0.; 0.; 0.; 3.; 0.; 0.; 0.; 4.; 0. ] (fun () ->
          diagEmbed -1 (d [ [ 1.; 2. ]; [ 3.; 4. ] ]))
      case "kron" [ 1.; 2.; 3.; 6. ] (fun () -> kron (d [ [ 1.; 2. ] ]) (d [ [ 1. ]; [ 3. ] ]))
      case "cross" [ -6.; -8.; 5.; 0.; -8.5; -17. ] (fun () -> cross 1 (slice 1 0 3 x) (slice 1 1 4 x))
      case "tensordot" [ 100.; 115. ] (fun () ->
          tensordot [ 0; 1 ] [ 1; 0 ] (reshape [| 2; 3 |] (numbers 6)) (reshape [| 3; 2; 2 |] (numbers 12)))
      case "bucketize right" [ 0.; 1.; 1.; 2.; 2. ] (fun () -> bucketize true (d [ 1.; 3. ]) (d [ 0.; 1.; 2.; 3.; 9. ]))
      case "bucketize" [ 0.; 0.; 1.; 1.; 2. ] (fun () -> bucketize false (d [ 1.; 3. ]) (d [ 0.; 1.; 2.; 3.; 9. ]))
      case "searchSorted rows" [ 1.; 0.; 0.; 3. ] (fun () ->
          searchSorted false (d [ [ 1.; 3.; 5. ]; [ 2.; 2.; 4. ] ]) (d [ [ 3.; 0. ]; [ 2.; 9. ] ]))
      case "searchSorted rows, right" [ 2.; 0.; 2.; 3. ] (fun () ->
          searchSorted true (d [ [ 1.; 3.; 5. ]; [ 2.; 2.; 4. ] ]) (d [ [ 3.; 0. ]; [ 2.; 9. ] ]))
      case "histogram" [ 2.; 0.; 1.; 2. ] (fun () ->
          fst (histogram 4 0.0 1.0 (d [ 0.; 0.1; 0.5; 0.99; 1.0; 2.0; -1.0; nan ])))
      case "lerp" [ 2.; -1. ] (fun () -> lerp (d [ 1.; 2. ]) (d [ 5.; -2. ]) (d [ 0.25; 0.75 ]))
      case
          "interpolate nearest by factors"
          [ 1.
            2.8284271247461903
            1.
            2.8284271247461903
            11.180339887498949
            14.696938456699069
            11.180339887498949
            14.696938456699069
            27.
            31.622776601683793 ]
          (fun () -> interpolateBy Interpolation.Nearest false [ 1.7; 0.6 ] image)
      case
          "interpolate linear by factors"
          [ 1.60947570824873
            5.196152422706632
            5.71711771207579
            10.290663828932853
            12.036566948732807
            18.1283736846655
            21.39899047948477
            28.558190260178254
            28.540925533894594
            36.4828726939094 ]
          (fun () -> interpolateBy Interpolation.Linear false [ 1.7; 0.6 ] image)
      case
          "interpolate cubic, corners aligned"
          [ 1.
            3.9208441063001134
            8.
            4.607076808202501
            8.600526709441997
            13.53791452551443
            11.180339887498949
            16.553233887264607
            22.627416997969522
            20.0445768082025
            26.465585961711962
            33.46963853337093
            27.
            34.00936495222848
            41.569219381653056 ]
          (fun () -> interpolate Interpolation.Cubic true [ 5; 3 ] image)
      case
          "interpolate nearest exact"
          [ 1.
            1.
            2.8284271247461903
            5.196152422706632
            5.196152422706632
            8.
            8.
            27.
            27.
            31.622776601683793
            36.4828726939094
            36.4828726939094
            41.569219381653056
            41.569219381653056 ]
          (fun () -> interpolate Interpolation.NearestExact false [ 2; 7 ] image)
      case
          "interpolate trilinear"
          [ 1.3090169943749475
            1.5638279235454153
            1.8167542704592106
            2.034465187765928
            2.2071067811865475
            2.8090169943749475
            2.93156157488794
            3.0664935506773885
            3.1957893921348473
            3.3051829925398635
            2.5219784286886773
            2.695571065374166
            2.8737184995798573
            3.0329994781347036
            3.1625703849682205
            3.638362585998121
            3.7384022111637516
            3.849514367842969
            3.95704441893552
            4.048725797732262
            3.734939863002407
            3.827314207202916
            3.9306827287005044
            4.031533768503481
            4.118033988749895
            4.4677081776212955
            4.545242847439563
            4.6325351850085505
            4.718299445736194
            4.792268602924663 ]
          (fun () -> interpolate Interpolation.Linear false [ 3; 2; 5 ] volume)
      case "interpolate on a line, corners aligned" [ 1.; 2.5; 4.; 6.5; 9. ] (fun () ->
          interpolate Interpolation.Linear true [ 5 ] (d [ [ [ 1.; 4.; 9. ] ] ]))
      case "putAlongAxis: the last of repeated indices" [ 7.; 2.; 6.; 4. ] (fun () ->
          putAlongAxis 0 (tensor [ 0; 2; 0 ]) (d [ 5.; 6.; 7. ]) (d [ 1.; 2.; 3.; 4. ]))
      case "putAlongAxis: gradient of the updates" [ 0.; 1.; 1. ] (fun () ->
          ofOnes (fun u -> putAlongAxis 0 (tensor [ 0; 2; 0 ]) u (d [ 1.; 2.; 3.; 4. ])) (d [ 5.; 6.; 7. ]))
      case "scatterAdd: fewer rows of indices" [ 11.; 1.; 1.; 1. ] (fun () ->
          scatterAdd 1 (tensor [ [ 0 ] ]) (d [ [ 10. ] ]) (Op.cast DType.F64 (ones [| 2; 2 |])))
      case "stdOver gradient of equal elements" [ 0.; 0. ] (fun () -> ofOnes (stdOver 1 [ 0 ]) (d [ 2.; 2. ]))
      case "normOver gradient at 0" [ 0.; 0. ] (fun () -> ofOnes (normOver 2.0 [ 0 ]) (d [ 0.; 0. ]))
      case "norms" [ 6.; 3.; 1.; 3.; Math.Pow(36.0, 1.0 / 3.0) ] (fun () ->
          stack 0 [ for p in [ 1.0; infinity; -infinity; 0.0; 3.0 ] -> normOver p [ 0 ] (d [ 1.; -2.; 3. ]) ])
      case "logaddexp: second derivative of equal arguments" [ 0.25 ] (fun () ->
          ofOnes (ofOnes (fun x -> logaddexp x (d [ 0. ]))) (d [ 0. ]))
      case "relu's slope at 0 is PyTorch's" [ 0.; 0.; 0.; 1. ] (fun () -> ofOnes relu (d [ -1.; 0.; -0.; 2. ]))
      case "second derivative of softplus at 0" [ 0.25 ] (fun () -> ofOnes (ofOnes softplus) (d [ 0. ]))
      case "logSumExp of -infinity" [ -infinity ] (fun () -> logSumExp 0 (d [ -infinity; -infinity ]))
      case "nanToNum" [ 0.; 9.; -9.; 1. ] (fun () -> nanToNum 0.0 9.0 -9.0 (d [ nan; infinity; -infinity; 1. ]))
      case "floorDivide" [ 3.; -4.; -4.; 3. ] (fun () ->
          floorDivide (tensor [ 7; -7; 7; -7 ]) (tensor [ 2; 2; -2; -2 ]))
      case
          "linspace ends where it should"
          [ 0.1; 0.1 + (0.7 - 0.1) / 3.0; 0.1 + (0.7 - 0.1) * 2.0 / 3.0; 0.7 ]
          (fun () -> linspaceOf DType.F64 0.1 0.7 4)
      case "trapezoid of nothing" [ 0. ] (fun () -> trapezoid 1.0 0 (d [ 5. ]))
      case
          "atan2 in all quadrants"
          [ for y in [ 0.0; -0.0; 1.0; -1.0; 3.0; infinity ] do
                for x in [ 0.0; -0.0; 1.0; -1.0; -2.0; -infinity; infinity ] -> Math.Atan2(y, x) ]
          (fun () ->
              let ys, xs = [ 0.0; -0.0; 1.0; -1.0; 3.0; infinity ], [ 0.0; -0.0; 1.0; -1.0; -2.0; -infinity; infinity ]
              atan2 (unsqueeze 1 (d ys)) (unsqueeze 0 (d xs)) |> flatten)
      case "negative zeros of atan2" [ for y in [ 0.0; -0.0 ] -> 1.0 / Math.Atan2(y, 1.0) ] (fun () ->
          1.0 / atan2 (d [ 0.0; -0.0 ]) (d [ 1.0 ]))
      case "hypot does not overflow" [ 5e200; 0.; infinity ] (fun () ->
          hypot (d [ 3e200; 0.; infinity ]) (d [ 4e200; 0.; 1. ]))
      case "sinh reaches its end" [ Math.Sinh 710.4; Math.Cosh 710.4 ] (fun () ->
          stack 0 [ sinh (d 710.4); cosh (d 710.4) ])
      case "asin's slope at the ends" [ infinity; -infinity; 1.0 ] (fun () ->
          concat 0 [ ofOnes asin (d [ 1.0 ]); ofOnes acos (d [ -1.0 ]); ofOnes asin (d [ 0.0 ]) ])
      case "third derivative of sinh at 0" [ 1.0 ] (fun () -> ofOnes (ofOnes (ofOnes sinh)) (d [ 0.0 ]))
      case "truncate, trunc, frac" [ 1.; -1.; 0.5; -0.5 ] (fun () ->
          concat 0 [ truncate (d [ 1.5; -1.5 ]); frac (d [ 1.5; -1.5 ]) ])
      case "operators on truth and bits" [ 0.; 1.; 1.; 4.; 5.; -5. ] (fun () ->
          let a, b = tensor [ true; true ], tensor [ false; true ]
          let bits = Op.cast DType.I64 (a &&& b), Op.cast DType.I64 (a ^^^ ~~~b)
          concat
              0
              [ fst bits
                narrow 0 1 1 (snd bits)
                tensor [ 6 ] &&& tensor [ 12 ]
                tensor [ 4 ] ||| tensor [ 1 ]
                ~~~(tensor [ 4 ]) ])
      case "the rest of divisions by numbers" [ -0.5; 0.5 ] (fun () -> d [ -2.5; 2.5 ] % 1.0)
      case "sign of tensors and of numbers" [ -1.; 1.; -1. ] (fun () ->
          concat 0 [ sign (d [ -2.; 3. ]); d [ float (sign -7) ] ]) ]

let private names = cases |> List.map (fun c -> c.Name)

[<TestCaseSource(nameof names)>]
let ``value`` (name: string) =
    let c = cases |> List.find (fun c -> c.Name = name)
    let got = floatsOf (Op.cast DType.F64 (c.Got()))
    Assert.That(got.Length, Is.EqualTo c.Want.Length)
    for w, g in Seq.zip c.Want got do
        if not (w = g || (Double.IsNaN w && Double.IsNaN g) || abs (w - g) <= 4e-15 * max 1.0 (abs w)) then
            Assert.Fail $"expected %A{c.Want}, got %A{got}"

/// Analytic functions: what .NET computes, where it is asked, and the error in ulp that is allowed in f32 and f64 (measured, rounded up).
[<NoEquality; NoComparison>]
type private Wanted =
    { Function: string
      Of: Tensor -> Tensor
      Math: float -> float
      Low: float
      High: float
      Single: float
      Double: float }

let private analytic =
    let row name f math low high single double =
        { Function = name
          Of = f
          Math = math
          Low = low
          High = high
          Single = single
          Double = double }
    [ row "tan" tan Math.Tan -100.0 100.0 3.0 3.0
      row "asin" asin Math.Asin -1.0 1.0 2.5 3.0
      row "acos" acos Math.Acos -1.0 1.0 2.5 3.0
      row "sinh" sinh Math.Sinh -89.0 89.0 3.0 4.0
      row "cosh" cosh Math.Cosh -89.0 89.0 3.0 4.0
      row "asinh" asinh Math.Asinh -1e30 1e30 3.0 3.0
      row "acosh" acosh Math.Acosh 1.0 1e30 3.0 3.0
      row "atanh" atanh Math.Atanh -1.0 1.0 3.0 3.0
      row "exp2" exp2 (fun x -> Math.Pow(2.0, x)) -120.0 120.0 0.6 1.0
      row "log2" log2 Math.Log2 1e-30 1e30 2.0 3.0
      row "log10" log10 Math.Log10 1e-30 1e30 2.0 3.0
      row "cbrt" cbrt Math.Cbrt -1e30 1e30 1.0 3.0 ]

let private analyticNames = analytic |> List.map (fun w -> w.Function)

/// Points of all magnitudes in an interval, its ends among them.
let private points (low: float) (high: float) =
    let random = Random 5
    let even = Array.init 2000 (fun _ -> low + (high - low) * random.NextDouble())
    let scaled =
        Array.init 2000 (fun i -> (if i % 2 = 0 then high else low) * Math.Pow(10.0, -20.0 * random.NextDouble()))
    let small =
        Array.init 2000 (fun i -> (if i % 2 = 0 then 1.0 else -1.0) * Math.Pow(10.0, 3.0 - 20.0 * random.NextDouble()))
    let nearEnds =
        Array.init 500 (fun i -> (if i % 2 = 0 then high else low) * (1.0 - Math.Pow(10.0, -7.0 * random.NextDouble())))
    Array.concat [ even; scaled; small; nearEnds; [| low; high |] ] |> Array.filter (fun x -> x >= low && x <= high)

let private worst (xs: float[]) (got: float[]) (exact: float -> float) (ulp: float -> float) =
    Array.map2
        (fun x y ->
            let e = exact x
            if e = y || (Double.IsNaN e && Double.IsNaN y) then
                0.0, x
            else
                (let u = abs (y - e) / ulp e in if Double.IsNaN u then infinity, x else u, x))
        xs
        got
    |> Array.maxBy fst

let private ulp64 (e: float) = Math.BitIncrement(abs e) - abs e
let private ulp32 (e: float) = float (MathF.BitIncrement(abs (float32 e)) - abs (float32 e)) |> max 1.4e-45

[<TestCaseSource(nameof analyticNames)>]
let ``elementary functions are as exact as they say`` (name: string) =
    let w = analytic |> List.find (fun w -> w.Function = name)
    let xs = points w.Low w.High
    let worst64, at64 = worst xs (floatsOf (w.Of(f64 [| xs.Length |] xs))) w.Math ulp64
    let xs32 = xs |> Array.map (float32 >> float) |> Array.filter (fun x -> x >= w.Low && x <= w.High)
    let worst32, at32 = worst xs32 (floatsOf (w.Of(f32 [| xs32.Length |] xs32))) w.Math ulp32
    TestContext.Out.WriteLine $"{name}: {worst32:F2} ulp in f32, {worst64:F2} in f64"
    Assert.That(worst32, Is.LessThanOrEqualTo w.Single, $"f32 at {at32}")
    Assert.That(worst64, Is.LessThanOrEqualTo w.Double, $"f64 at {at64}")

[<Law>]
let ``putAlongAxis writes what a loop writes`` (seed: int) =
    let random = Random seed
    let rows, n, m = random.Next(1, 4), random.Next(1, 6), random.Next(0, 7)
    let index = Array.init (rows * m) (fun _ -> int64 (random.Next n))
    let updates, x = Array.init (rows * m) float, Array.init (rows * n) (fun i -> -1.0 - float i)
    let expected = Array.copy x
    for r in 0 .. rows - 1 do
        for j in 0 .. m - 1 do
            expected[r * n + int index[r * m + j]] <- updates[r * m + j]
    let got = putAlongAxis 1 (i64 [| rows; m |] index) (f64 [| rows; m |] updates) (f64 [| rows; n |] x)
    floatsOf got = expected

[<Law>]
let ``searchSorted finds what counting finds`` (seed: int) =
    let random = Random seed
    let sorted = Array.init (random.Next 9) (fun _ -> float (random.Next 5)) |> Array.sort
    let values = Array.init 6 (fun _ -> float (random.Next(-1, 6)))
    let count right =
        values
        |> Array.map (fun v ->
            sorted |> Array.filter (fun s -> if right then s <= v else s < v) |> Array.length |> float)
    let got right = floatsOf (searchSorted right (f64 [| sorted.Length |] sorted) (f64 [| 6 |] values))
    got true = count true && got false = count false

[<Test>]
let ``nested sequences and arrays become tensors of any rank`` () =
    let shape (x: Tensor) = Shape.describe x
    Assert.That(shape (tensor [ [ [ 1; 2 ] ]; [ [ 3; 4 ] ] ]), Is.EqualTo "i64[2,1,2]")
    Assert.That(shape (tensor (array2D [ [ 1.0; 2.0 ]; [ 3.0; 4.0 ] ])), Is.EqualTo "f32[2,2]")
    Assert.That(
        floatsOf (tensor (Array3D.init 2 1 2 (fun i _ k -> float (10 * i + k)))),
        Is.EqualTo<float> [| 0.; 1.; 10.; 11. |]
    )
    Assert.That(shape (tensor 3.0), Is.EqualTo "f32[]")
    Assert.That(shape (tensor ([]: float list list)), Is.EqualTo "f32[0]")
    Assert.That(shape (tensor [ [ true ]; [ false ] ]), Is.EqualTo "bool[2,1]")
    Assert.That(shape (tensorOf DType.BF16 [| [ 1; 2 ] |]), Is.EqualTo "bf16[1,2]")
    Assert.That(floatsOf (tensorOf DType.F64 [ 0.1 ]), Is.EqualTo<float> [| 0.1 |])
    raises<ShapeException> "tensor: rows must have equal length, got [2] and [1] (row 1); pad the short ones" (fun () ->
        tensor [ [ 1; 2 ]; [ 3 ] ] |> ignore)
    raises<ShapeException> "tensor: elements must be numbers, got a tensor; use stack to join tensors" (fun () ->
        tensor [ zeros [| 1 |] ] |> ignore)

[<Test>]
let ``slices in F#'s syntax`` () =
    let x = arange DType.I64 24 |> reshape [| 2; 3; 4 |]
    let same (a: Tensor) (b: Tensor) =
        Assert.That(a.Shape, Is.EqualTo<int[]> b.Shape)
        Assert.That(floatsOf a, Is.EqualTo<float[]>(floatsOf b))
    same x[1] (select 0 1 x)
    same x[-1, 0] (x |> select 0 1 |> select 0 0)
    same x[1, 2, -1] (tensor 23)
    same x[0..0, *] (slice 0 0 1 x)
    same x[*, 1..] (slice 1 1 3 x)
    same x[1, *, 2] (x |> select 0 1 |> select 1 2)
    same x[*, ..1, 1..2] (x |> slice 1 0 2 |> slice 2 1 3)
    same x[-1 .., -2 .. -1, 0] (x |> slice 0 1 2 |> slice 1 1 3 |> select 2 0)
    same x[tensor [ 1; 1; 0 ]] (take 0 (tensor [ 1; 1; 0 ]) x)
    let y = reshape [| 2; 3; 2; 2 |] x
    same y[1, 0.., *, 1] (y |> select 0 1 |> select 2 1)
    // A range that ends just before it starts is empty: 0 .. n - 1 has n elements for every n.
    for n in 0..3 do
        Assert.That(x[*, 0 .. n - 1].Shape[1], Is.EqualTo n)
    Assert.That(x[*, 3..].Shape[1], Is.EqualTo 0)
    Assert.That(x.GetReverseIndex(1, 0), Is.EqualTo 2)
    raises<ShapeException> "slice: index 2 must be between -2 and 1 on axis 0, got i64[2,3,4]" (fun () ->
        x[2] |> ignore)
    raises<ShapeException> "slice: 1..3 must lie in axis 1 of 3 (both bounds are included), got i64[2,3,4]" (fun () ->
        x[*, 1..3] |> ignore)
    raises<ShapeException> "slice: there must be at most 1 indices, not 2, got i64[2]" (fun () ->
        (tensor [ 1; 2 ])[0, 0] |> ignore)
    raises<ShapeException>
        "slice: indices must be integers: how many elements a mask picks is not known when the expression is built, got i64[2,3,4] x bool[2]; use where or maskedFill, or maskedSelect on values"
        (fun () -> x[tensor [ true; false ]] |> ignore)
    let slope = grad (fun (x: Tensor) -> sum (x[1.., 0] * 2.0)) (ones [| 3; 2 |])
    Assert.That(floatsOf slope, Is.EqualTo<float> [| 0.; 0.; 2.; 0.; 2.; 0. |])

let private x23 = Op.input "x" DType.F32 [| 2; 3 |]

let private misuses: (string * (unit -> Tensor)) list =
    [ "softmax: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> softmax 3 x23)
      "logSoftmax: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> logSoftmax 3 x23)
      "logSumExp: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> logSumExp 3 x23)
      "var: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> varOver 1 [ 3 ] x23)
      "std: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> stdOver 1 [ 3 ] x23)
      "mean: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> meanOver [ 3 ] x23)
      "norm: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> normOver 2.0 [ 3 ] x23)
      "any: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> anyOver [ 3 ] x23)
      "nanMean: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> nanMean [ 3 ] x23)
      "cumProd: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> cumProd 3 x23)
      "cumMax: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> fst (cumMax 3 x23))
      "median: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> median 3 x23)
      "quantile: q must be between 0 and 1, not 1.5, got f32[2,3]", (fun () -> quantile 1.5 0 x23)
      "take: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> take 3 (tensor [ 0 ]) x23)
      "argSort: axis 3 must be between -2 and 1, got f32[2,3]", (fun () -> argSort 3 false x23)
      "select: index 3 must be between -3 and 2 on axis 1, got f32[2,3]", (fun () -> select 1 3 x23)
      "narrow: 2 elements from 2 must lie in axis 1 of 3, got f32[2,3]", (fun () -> narrow 1 2 2 x23)
      "splitSizes: sizes [1,1] must add up to axis 1 (3), got f32[2,3]", (fun () -> (splitSizes 1 [ 1; 1 ] x23)[0])
      "unflatten: [2,2] must have as many elements as axis 1 (3), got f32[2,3]; one extent may be -1",
      (fun () -> unflatten 1 [| 2; 2 |] x23)
      "unsqueeze: the place of the new axis must be between -3 and 2, not 4, got f32[2,3]", (fun () -> unsqueeze 4 x23)
      "roll: axis 2 must be between -2 and 1, got f32[2,3]", (fun () -> roll 1 2 x23)
      "flip: axis 2 must be between -2 and 1, got f32[2,3]", (fun () -> flip [ 2 ] x23)
      "padReflect: amounts must be less than axis 1 (3), not 3 and 0, got f32[2,3]", (fun () -> padReflect [ 3; 0 ] x23)
      "stack: types and shapes must agree (operands 0 and 1), got f32[2,3] x f32[3]",
      (fun () -> stack 0 [ x23; zeros [| 3 |] ])
      "gather: indices must have the operand's rank, and no larger extents but on axis 0, got f32[2,3] x i64[1]",
      (fun () -> gather 0 (tensor [ 0 ]) x23)
      "topK: k = 4 must be between 0 and the extent of axis 1 (3), got f32[2,3]", (fun () -> fst (topK 4 1 true x23))
      "dot: operands must be vectors, got f32[2,3] x f32[2,3]; matmul and inner take more axes", (fun () -> dot x23 x23)
      "inner: summed axes 1 and 0 must agree (3 and 2), got f32[2,3] x f32[2]", (fun () -> inner x23 (zeros [| 2 |]))
      "interpolate: the operand must be [batch; channels; spatial...] with 1 spatial axes, got f32[2,3]",
      (fun () -> interpolate Interpolation.Linear false [ 4 ] x23)
      "cov: the operand must be a matrix [variables; observations], or a vector, got f32[]",
      (fun () -> cov 1 (scalar 1.0))
      "histogram: there must be at least one bin, and low < high be finite, not 0 from 0 to 1, got f32[2,3]",
      (fun () -> fst (histogram 0 0.0 1.0 x23))
      "nonzero: the operand must be a value, got f32[2,3]; in an expression use where, maskedFill or a fixed length",
      (fun () -> Values.nonzero x23)
      "maskedFill: the mask must be bool and broadcast to the operand, got f32[2,3] x f32[2,3]",
      (fun () -> maskedFill x23 0.0 x23) ]

let private misuseNames = misuses |> List.map fst

[<TestCaseSource(nameof misuseNames)>]
let ``errors carry the name that was typed`` (text: string) =
    raises<ShapeException> text (fun () -> (dict misuses).[text]() |> ignore)

/// Functions that must take tensors without elements, and of rank 0 where they say nothing about axes.
let private everywhere: (string * (Tensor -> Tensor)) list =
    [ "asin", asin
      "sinh", sinh
      "atan2", (fun x -> atan2 x x)
      "cbrt", cbrt
      "lgamma", lgamma
      "digamma", digamma
      "erfinv", erfinv
      "ndtri", ndtri
      "logaddexp", (fun x -> logaddexp x x)
      "clamp", clamp 0.0 1.0
      "nanToNum", nanToNum 0.0 1.0 2.0
      "sum", sum
      "normOver", (fun x -> normOver 2.0 [ 0 .. x.Rank - 1 ] x)
      "any", any
      "flatten", flatten
      "repeat", repeat [| 2; 1; 1 |]
      "pad", pad [] 0.0
      "isClose", (fun x -> isClose 0.0 0.0 x x) ]

let private everywhereNames = everywhere |> List.map fst

[<TestCaseSource(nameof everywhereNames)>]
let ``no elements, and rank 0`` (name: string) =
    let f = (dict everywhere)[name]
    for shape in [ [||]; [| 0 |]; [| 2; 0 |] ] do
        let x = full DType.F32 shape 0.5
        Assert.That(assertSame name (interpreted (f x)) (computed (f x)) = ())
        if name <> "any" && name <> "isClose" then
            Assert.That((grad (fun x -> sum (f x)) x |> eval).Shape, Is.EqualTo<int[]> shape)

[<Test>]
let ``axes without elements`` () =
    let x = zeros [| 2; 0 |]
    let shape (t: Tensor) = (eval t).Shape |> Array.toList
    Assert.That(shape (cumProd 1 x), Is.EqualTo<int list> [ 2; 0 ])
    Assert.That(shape (fst (cumMax 1 x)), Is.EqualTo<int list> [ 2; 0 ])
    Assert.That(shape (roll 1 1 x), Is.EqualTo<int list> [ 2; 0 ])
    Assert.That(shape (gather 1 (zerosOf DType.I64 [| 2; 0 |]) x), Is.EqualTo<int list> [ 2; 0 ])
    Assert.That(
        shape (putAlongAxis 1 (zerosOf DType.I64 [| 2; 0 |]) x (ones [| 2; 3 |])),
        Is.EqualTo<int list> [ 2; 3 ]
    )
    Assert.That(shape (diagEmbed 1 x), Is.EqualTo<int list> [ 2; 1; 1 ])
    Assert.That(shape (searchSorted false (zeros [| 0 |]) (ones [| 3 |])), Is.EqualTo<int list> [ 3 ])
    Assert.That(floatsOf (bincount 2 (zerosOf DType.I64 [| 0 |])), Is.EqualTo<float> [| 0.; 0. |])
    Assert.That(shape (repeatInterleave 2 1 x), Is.EqualTo<int list> [ 2; 0 ])
    Assert.That(shape (unfold 0 2 1 x), Is.EqualTo<int list> [ 1; 0; 2 ])

[<Test>]
let ``functions on values`` () =
    let found, places, counts = Values.unique (tensor [ 3.0; nan; 1.0; 3.0; nan; -0.0; 0.0 ])
    Assert.That(floatsOf found, Is.EqualTo<float> [| 0.; 1.; 3.; nan |])
    Assert.That(floatsOf places, Is.EqualTo<float> [| 2.; 3.; 1.; 2.; 3.; 0.; 0. |])
    Assert.That(floatsOf counts, Is.EqualTo<float> [| 2.; 1.; 2.; 2. |])
    Assert.That(floatsOf (Values.nonzero (tensor [ [ 0; 5 ]; [ 7; 0 ] ])), Is.EqualTo<float> [| 0.; 1.; 1.; 0. |])
    let mask = tensor [ true; false; true ]
    let slope = grad (fun x -> sum (square (Values.maskedSelect mask x))) (tensor [ 1.0; 2.0; 3.0 ])
    Assert.That(floatsOf slope, Is.EqualTo<float> [| 2.; 0.; 6. |])

/// Functions of a vector of two, whose parts must all have their batching and their tangent.
let private transformed: (string * (Tensor -> Tensor)) list =
    [ "asin", asin
      "atan2", (fun x -> atan2 x (flip [ 0 ] x))
      "logaddexp", (fun x -> logaddexp x (flip [ 0 ] x))
      "sinc", sinc
      "lgamma", lgamma
      "erfinv", erfinv
      "ndtri", ndtri
      "polygamma", polygamma 3
      "xlogy", (fun x -> xlogy x x)
      "cumProd", cumProd 0
      "cumMax", (fun x -> fst (cumMax 0 x))
      "logSumExp", logSumExp 0
      "stdOver", stdOver 1 [ 0 ]
      "quantile", quantile 0.3 0
      "median", median 0
      "mode", (fun x -> fst (mode 0 x))
      "histogram", (fun x -> Op.cast DType.F64 (fst (histogram 3 0.0 1.0 x)))
      "searchSorted", (fun x -> Op.cast DType.F64 (searchSorted false (fst (sort 0 false x)) x))
      "bucketize", (fun x -> Op.cast DType.F64 (bucketize true (d [ 0.3; 0.6 ]) x))
      "putAlongAxis", (fun x -> putAlongAxis 0 (tensor [ 0 ]) x[1..1] x)
      "gather", gather 0 (tensor [ 1; 1; 0 ])
      "interpolate", (fun x -> interpolate Interpolation.Cubic false [ 5 ] (reshape [| 1; 1; 2 |] x))
      "diag", diag 1
      "roll", roll 1 0
      "padReflect", padReflect [ 1; 1 ] ]

let private transformedNames = transformed |> List.map fst

[<TestCaseSource(nameof transformedNames)>]
let ``batched it is the loop, and forward mode is the transpose of reverse mode`` (name: string) =
    let f = (dict transformed)[name]
    let x = d [ [ 0.1; 0.5 ]; [ 0.9; 0.7 ] ]
    assertClose 1e-14 name (computed (stack 0 [ f x[0]; f x[1] ])) (computed (vmap f x))
    let direction = d [ 1.0; 2.0 ]
    let y, tangent = jvp f x[0] direction
    let weights = Op.cast DType.F64 (numbers (max 1 y.Count)) + 1.0 |> reshape y.Shape
    let left, right = item (sum (tangent * weights)), item (sum (snd (vjp f x[0]) weights * direction))
    Assert.That(left, Is.EqualTo(right).Within(1e-12 * max 1.0 (abs left)))
