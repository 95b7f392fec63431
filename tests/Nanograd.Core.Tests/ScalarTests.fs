/// The elementary functions against System.Math: errors in units in the last place, and special values.
module Nanograd.Core.Tests.ScalarTests

open System
open NUnit.Framework
open Nanograd

/// erf by its series, or the continued fraction of erfc: double precision in other terms than the definition's.
let private erf (x: float) =
    let a = abs x
    if Double.IsNaN x then
        nan
    elif a > 6.0 then
        float (sign x)
    elif a < 2.5 then
        let mutable term, total, n = a, a, 0
        while abs term > 1e-18 * abs total do
            n <- n + 1
            term <- -term * a * a / float n
            total <- total + term / float (2 * n + 1)
        float (sign x) * total * 2.0 / sqrt Math.PI
    else
        let fraction = Seq.foldBack (fun k acc -> a + float k / 2.0 / acc) [ 1..200 ] a
        float (sign x) * (1.0 - exp (-a * a) / sqrt Math.PI / fraction)

let private log1p (x: float) = if abs x < 0.5 then 2.0 * Math.Atanh(x / (2.0 + x)) else Math.Log(1.0 + x)
let private expm1 (x: float) = 2.0 * Math.Exp(x / 2.0) * Math.Sinh(x / 2.0)

[<NoEquality; NoComparison>]
type private Wanted = { Function: Unary; Of: float -> float; Low: float; High: float; Ulp: float }

let private functions =
    [ { Function = Unary.Exp; Of = Math.Exp; Low = -104.0; High = 88.7; Ulp = 1.5 }
      { Function = Unary.Log; Of = Math.Log; Low = 1e-40; High = 1e38; Ulp = 1.0 }
      { Function = Unary.Log1p; Of = log1p; Low = -0.999; High = 1e6; Ulp = 1.7 }
      { Function = Unary.Expm1; Of = expm1; Low = -20.0; High = 88.0; Ulp = 1.5 }
      { Function = Unary.Sin; Of = Math.Sin; Low = -1e5; High = 1e5; Ulp = 1.8 }
      { Function = Unary.Cos; Of = Math.Cos; Low = -1e5; High = 1e5; Ulp = 2.0 }
      { Function = Unary.Atan; Of = Math.Atan; Low = -1e6; High = 1e6; Ulp = 1.4 }
      { Function = Unary.Tanh; Of = Math.Tanh; Low = -10.0; High = 10.0; Ulp = 2.0 }
      { Function = Unary.Erf; Of = erf; Low = -4.0; High = 4.0; Ulp = 1.7 }
      { Function = Unary.Rsqrt
        Of = (fun x -> 1.0 / Math.Sqrt x)
        Low = 1e-38
        High = 1e38
        Ulp = 1.5 }
      { Function = Unary.Sqrt; Of = Math.Sqrt; Low = 0.0; High = 1e38; Ulp = 0.5 } ]

let private names = functions |> List.map (fun f -> f.Function)
let private wanted u = functions |> List.find (fun f -> f.Function = u)

/// Points of all magnitudes between two bounds.
let private points (low: float) (high: float) =
    let even = numbers 1 3000 |> Array.map (fun v -> low + (high - low) * (v + 1.0) / 2.0)
    let signs = if low < 0.0 then [| 1.0; -1.0 |] else [| 1.0 |]
    let scaled =
        [| for v in numbers 2 2000 do
               for s in signs -> s * high * Math.Pow(10.0, -20.0 * (v + 1.0)) |]
    Array.append even scaled |> Array.filter (fun x -> x >= low && x <= high)

[<TestCaseSource(nameof names)>]
let ``f32 functions are as exact as they say`` (u: Unary) =
    let f = wanted u
    let xs = points f.Low f.High |> Array.map (float32 >> float)
    let got = floatsOf (Op.unary u (f32 [| xs.Length |] xs))
    for x, y in Array.zip xs got do
        let exact = f.Of x
        let ulp = float (MathF.BitIncrement(abs (float32 exact)) - abs (float32 exact)) |> max 1.4e-45
        Assert.That(y, Is.EqualTo(exact).Within((f.Ulp + 1e-3) * ulp), $"{u} {x}")

[<TestCaseSource(nameof names)>]
let ``f64 functions are within some ulp of System.Math`` (u: Unary) =
    let f = wanted u
    let isExact =
        match u with
        | Unary.Log1p
        | Unary.Expm1
        | Unary.Erf -> false
        | _ -> true // the formulas above lose digits
    let xs = points f.Low f.High
    let got = floatsOf (Op.unary u (f64 [| xs.Length |] xs))
    for x, y in Array.zip xs got do
        let exact = f.Of x
        let ulp = Math.BitIncrement(abs exact) - abs exact
        Assert.That(y, Is.EqualTo(exact).Within((if isExact then 4.0 else 64.0) * ulp), $"{u} {x}")

[<Test>]
let ``special values`` () =
    for d in [ DType.F32; DType.F64 ] do
        let at u (x: float) : float = (interpreted (Op.unary u (ofFloats d [| 1 |] [ x ]))).[0].Float
        let expect u x (y: float) = Assert.That(at u x, Is.EqualTo y, $"{u} {x} in {d}")
        for u in names do
            expect u nan nan
        for u in [ Unary.Log1p; Unary.Expm1; Unary.Sin; Unary.Atan; Unary.Tanh; Unary.Erf; Unary.Sqrt ] do
            Assert.That(1.0 / at u -0.0, Is.EqualTo Double.NegativeInfinity, $"{u} keeps -0 in {d}")
        expect Unary.Exp infinity infinity
        expect Unary.Exp -infinity 0.0
        expect Unary.Exp 0.0 1.0
        expect Unary.Exp 1000.0 infinity
        expect Unary.Log 0.0 -infinity
        expect Unary.Log -1.0 nan
        expect Unary.Log 1.0 0.0
        expect Unary.Log infinity infinity
        expect Unary.Log1p -1.0 -infinity
        expect Unary.Expm1 -infinity -1.0
        expect Unary.Tanh infinity 1.0
        expect Unary.Tanh -infinity -1.0
        expect Unary.Erf infinity 1.0
        expect Unary.Sin infinity nan
        expect Unary.Cos 0.0 1.0
        expect Unary.Sqrt -1.0 nan
        expect Unary.Rsqrt 0.0 infinity
        expect Unary.Rsqrt infinity 0.0
