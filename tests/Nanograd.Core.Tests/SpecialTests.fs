/// The special functions against values of mpmath 1.2 (40 digits, rounded to 20), and their derivatives against each other.
module Nanograd.Core.Tests.SpecialTests

open System
open NUnit.Framework
open FsCheck.NUnit
open Nanograd

/// Function, and (argument, value) pairs.
let private tables: (string * (Tensor -> Tensor) * (float * float) list) list =
    [ "erfc",
      (erfc: Tensor -> Tensor),
      [ -5.0, 1.9999999999984625402
        -1.3, 1.9340079449406524459
        -0.1, 1.1124629160182848984
        0.0, 1.0
        1e-10, 9.9999999988716208329e-1
        0.1, 8.875370839817151016e-1
        0.3, 6.7137324054087258381e-1
        0.47, 5.0625494911391788759e-1
        0.5, 4.7950012218695346232e-1
        1.0, 1.5729920705028513066e-1
        1.5, 3.3894853524689272933e-2
        2.0, 4.6777349810472658379e-3
        2.7, 1.3433273994052419237e-4
        3.75, 1.1372725656979665326e-7
        5.0, 1.5374597944280348502e-12
        6.1, 6.3146021501937181345e-18
        8.0, 1.122429717298292708e-29
        10.0, 2.088487583762544757e-45
        13.3, 6.3680064047232234767e-79
        15.0, 7.2129941724512066666e-100
        20.0, 5.3958656116079009289e-176
        23.456, 2.7474505569662303391e-241
        26.0, 5.6631924088561428465e-296
        26.5, 2.2109076642637342759e-307 ]
      "erfcx",
      (erfcx: Tensor -> Tensor),
      [ -26.0, 7.6577249314905683515e+293
        -3.0, 1.6205988853999586625e+4
        -0.5, 1.9523604891825570933
        0.0, 1.0
        0.1, 8.9645697996912663666e-1
        1.0, 4.2758357615580700441e-1
        3.3, 1.640072975729326311e-1
        10.0, 5.6140992743822585858e-2
        50.0, 1.12815362653237725e-2
        1000.0, 5.641893014533876542e-4 ]
      "erfinv",
      (erfinv: Tensor -> Tensor),
      [ 1e-300, 8.8622692545275803586e-301
        1e-10, 8.8622692545275804594e-11
        0.001, 8.8622715746655212301e-4
        0.1, 8.8855990494257691974e-2
        -0.3, -2.7246271472675434502e-1
        0.5, 4.7693627620446987338e-1
        0.7, 7.3286907795921678488e-1
        0.9, 1.1630871536766741628
        -0.99, -1.8213863677184494559
        0.998, 2.1851242191330040792
        0.9985, 2.2448402503847203367
        0.9999, 2.7510639057120796917
        0.999999, 3.4589107372754987775
        0.9999999, 3.7665625816384708887
        -0.99999999999, -4.8129240589448325449
        0.9999999999999991, 5.6861284413103909801
        0.9999999999999999, 5.8635847487551679272 ]
      "ndtri",
      (ndtri: Tensor -> Tensor),
      [ 1e-320, -3.8269125343032651018e+1
        1e-300, -3.7047096299361199237e+1
        1e-100, -2.1273453560965324294e+1
        1e-50, -1.4933337534788488981e+1
        1e-20, -9.2623400897984075796
        1e-10, -6.3613409024040561991
        1e-05, -4.2648907939228246102
        0.001, -3.0902323061678135354
        0.01, -2.3263478740408410931
        0.1, -1.2815515655446004353
        0.3, -5.2440051270804081597e-1
        0.49, -2.5068908258711058033e-2
        0.6, 2.5334710313579974132e-1
        0.9, 1.2815515655446005935
        0.975, 1.9599639845400538556
        0.999, 3.0902323061678132778
        0.9999999, 5.1993375822906610937 ]
      "ndtr",
      (ndtr: Tensor -> Tensor),
      [ -37.0, 5.7255712225245768227e-300
        -20.0, 2.7536241186062336951e-89
        -8.0, 6.2209605742717841235e-16
        -3.0, 1.3498980316300945267e-3
        -1.0, 1.5865525393145705141e-1
        -0.1, 4.6017216272297101633e-1
        0.0, 5.0e-1
        0.5, 6.9146246127401310364e-1
        2.0, 9.772498680518207928e-1
        6.0, 9.9999999901341235496e-1 ]
      "lgamma",
      (lgamma: Tensor -> Tensor),
      [ 1e-300, 6.9077552789821370518e+2
        1e-10, 2.3025850929882735237e+1
        0.01, 4.5994798780420217016
        0.1, 2.252712651734205902
        0.5, 5.7236494292470008707e-1
        0.9, 6.6376239734742954426e-2
        0.999999, 5.7721648738556523794e-7
        1.0, 0.0
        1.0000001, -5.772155829918507097e-8
        1.2, -8.5374090003315836884e-2
        1.46, -1.2148500100400742945e-1
        1.5, -1.2078223763524522235e-1
        1.9, -3.8984275923083361674e-2
        1.9999999, -4.2278430309861298194e-8
        2.0, 0.0
        2.0000001, 4.2278436665324979232e-8
        2.3, 1.541894549596304745e-1
        2.9999, 6.9305490410113128835e-1
        3.0, 6.9314718055994530942e-1
        3.5, 1.2009736023470742248
        5.5, 3.9578139676187162939
        9.99, 1.277931521435019336e+1
        10.0, 1.2801827480081469611e+1
        12.3, 1.8238983407092243696e+1
        50.0, 1.4456574394634488601e+2
        171.5, 7.0914316303092824227e+2
        1000.0, 5.9052204232091812118e+3
        10000000000.0, 2.2025850928881058147e+11
        1e+100, 2.2925850929940457206e+102
        -0.1, 2.3689613327287886039
        -0.5, 1.2655121234846453965
        -1.5, 8.6004701537648101451e-1
        -3.3, -8.2435580501742646015e-1
        -10.7, -1.5416789096416636124e+1
        -55.4, -1.6874053034369735341e+2 ]
      "digamma",
      (digamma: Tensor -> Tensor),
      [ 1e-10, -1.00000000005772153e+10
        0.01, -1.0056088545786867242e+2
        0.1, -1.0423754940411076232e+1
        0.5, -1.9635100260214234794
        1.0, -5.7721566490153286061e-1
        1.2, -2.8903989659218835183e-1
        1.4, -6.1384544585116236801e-2
        1.6, 1.2604745277347632815e-1
        2.0, 4.2278433509846713939e-1
        3.3, 1.0348224890596216863
        7.5, 1.9467574842460867881
        9.99, 2.250700372831201122
        10.0, 2.2517525890667211076
        15.0, 2.6743466616607937017
        100.0, 4.6001618527380874002
        100000.0, 1.1512920464961895087e+1
        1000000000000000.0, 3.453877639491068476e+1
        -0.1, 9.2450730500529480423
        -0.5, 3.6489973978576520559e-2
        -1.7, -1.4857174995110567089
        -10.3, 4.6624034935820870175
        -33.9, -6.1307362208151434422 ]
      "trigamma",
      (trigamma: Tensor -> Tensor),
      [ 1e-10, 9.9999999999999992715e+19
        0.01, 1.0001621213528312804e+4
        0.1, 1.014332991507927477e+2
        0.5, 4.9348022005446793094
        0.7, 2.8340491566946109126
        1.0, 1.6449340668482264365
        1.2, 1.2673772054237791889
        2.0, 6.4493406684822643647e-1
        3.3, 3.5350154184106183225e-1
        7.5, 1.4261589669670379977e-1
        9.99, 1.0527695014824178439e-1
        10.0, 1.0516633568168574612e-1
        15.0, 6.8938227847683806226e-2
        100.0, 1.0050166663333571395e-2
        100000.0, 1.0000050000166666667e-5
        -0.1, 1.0192253995947719243e+2
        -0.5, 8.9348022005446793094
        -1.7, 1.4632201633884014385e+1
        -10.3, 1.498688706572263782e+1 ]
      "polygamma 2",
      (polygamma 2: Tensor -> Tensor),
      [ 0.01, -2.0000023403986769596e+6
        0.5, -1.6828796644234319996e+1
        1.0, -2.4041138063191885708
        2.2, -3.2062870702852558936e-1
        9.99, -1.1073070531461051158e-2
        10.0, -1.1049834970802067462e-2
        33.0, -9.4652160396409073922e-4
        -0.5, -8.287966442343199956e-1
        -1.7, -6.9034549550114209742e+1
        -3.2, 2.469761555554604978e+2 ]
      "polygamma 3",
      (polygamma 3: Tensor -> Tensor),
      [ 0.01, 6.0000000625106182292e+8
        0.5, 9.7409091034002437236e+1
        1.0, 6.4939394022668291491
        2.2, 3.5147634620726153265e-1
        9.99, 2.3272159399640797977e-3
        10.0, 2.3199013042898683856e-3
        33.0, 5.8233708879538799577e-5
        -0.3, 7.6661989041916858035e+2
        -1.7, 7.6884973453013086756e+2
        -3.2, 3.7685777610937342228e+3 ] ]

let private names = tables |> List.map (fun (name, _, _) -> name)
let private find name = tables |> List.find (fun (n, _, _) -> n = name)

[<TestCaseSource(nameof names)>]
let ``exact in f64`` (name: string) =
    let _, f, rows = find name
    let got = floatsOf (f (f64 [| rows.Length |] (List.map fst rows)))
    let mutable worst = 0.0
    for (x, exact), y in Seq.zip rows got do
        // Near its zeros a function that is a difference is exact to some 1e-15 of its terms, not of itself.
        let scale =
            if name = "digamma" || (name = "lgamma" && x < 0.0) || name.StartsWith "polygamma" then
                max 1.0 (abs exact)
            else
                abs exact
        let error = if y = exact then 0.0 else abs (y - exact) / scale
        worst <- max worst error
        Assert.That(error, Is.LessThan 2e-14, $"{name} {x}: {exact} expected, {y} found")
    TestContext.Out.WriteLine $"{name}: largest error {worst:E1}"

[<TestCaseSource(nameof names)>]
let ``f32 is rounded once`` (name: string) =
    let _, f, rows = find name
    // Arguments that f32 holds: the value in f64 is the judge.
    let xs =
        rows
        |> List.map (fst >> float32 >> float)
        |> List.filter (fun x -> x <> 0.0 && Double.IsFinite x && abs x < 1e30)
    let exact = floatsOf (f (f64 [| xs.Length |] xs))
    let got = floatsOf (f (f32 [| xs.Length |] xs))
    for x, e, y in List.zip3 xs (List.ofArray exact) (List.ofArray got) do
        Assert.That(y, Is.EqualTo(float (float32 e)), $"{name} {x}")

[<TestCaseSource(nameof names)>]
let ``compiled and interpreted agree to the last bit`` (name: string) =
    let _, f, rows = find name
    let xs = List.map fst rows @ [ nan; infinity; -infinity; 0.0; -0.0; -1.0; -2.0; 3e-320 ]
    let y = f (f64 [| xs.Length |] xs)
    Program.withoutRewriting (fun () -> assertSame name (interpreted y) (computed y))

[<Test>]
let ``special values`` () =
    let at (f: Tensor -> Tensor) (x: float) : float = (floatsOf (f (f64 [| 1 |] [ x ]))).[0]
    let expect name f x (y: float) = Assert.That(at f x, Is.EqualTo y, $"{name} {x}")
    for name, f, _ in tables do
        expect name f nan nan
    expect "erfc" erfc infinity 0.0
    expect "erfc" erfc -infinity 2.0
    expect "erfcx" erfcx infinity 0.0
    expect "erfinv" erfinv 1.0 infinity
    expect "erfinv" erfinv -1.0 -infinity
    expect "erfinv" erfinv 1.5 nan
    expect "erfinv" erfinv 0.0 0.0
    expect "ndtri" ndtri 0.0 -infinity
    expect "ndtri" ndtri 1.0 infinity
    expect "ndtri" ndtri -0.5 nan
    expect "lgamma" lgamma 0.0 infinity
    expect "lgamma" lgamma -3.0 infinity
    expect "lgamma" lgamma infinity infinity
    expect "lgamma" lgamma -infinity infinity
    expect "lgamma" lgamma 1.0 0.0
    expect "lgamma" lgamma 2.0 0.0
    expect "digamma" digamma 0.0 -infinity
    expect "digamma" digamma -0.0 infinity
    expect "digamma" digamma -2.0 nan
    expect "digamma" digamma infinity infinity
    expect "trigamma" trigamma 0.0 infinity
    expect "trigamma" trigamma -1.0 infinity
    expect "trigamma" trigamma infinity 0.0
    expect "xlogy" (xlogy (f64 [| 1 |] [ 0.0 ])) 0.0 0.0
    expect "xlogy" (xlogy (f64 [| 1 |] [ 0.0 ])) nan nan
    expect "entr" entr 0.0 0.0
    expect "entr" entr -1.0 -infinity
    expect "logit" logit 0.0 -infinity
    expect "logit" logit 1.0 infinity

let private slope (f: Tensor -> Tensor) (x: Tensor) = grad (fun x -> sum (f x)) x

let private close tolerance (what: string) (expected: Tensor) (got: Tensor) =
    for e, g in Seq.zip (floatsOf expected) (floatsOf got) do
        Assert.That(g, Is.EqualTo(e).Within(tolerance * max 1.0 (abs e)), what)

[<Test>]
let ``derivatives are the next function of the table`` () =
    let x = f64 [| 8 |] [ 0.1; 0.7; 1.4; 2.5; 8.0; 30.0; -0.4; -3.3 ]
    close 1e-14 "lgamma" (digamma x) (slope lgamma x)
    close 1e-13 "digamma" (trigamma x) (slope digamma x)
    close 1e-12 "trigamma" (polygamma 2 x) (slope trigamma x)
    close 1e-11 "polygamma 2" (polygamma 3 x) (slope (polygamma 2) x)
    close 1e-12 "lgamma, twice" (trigamma x) (slope (slope lgamma) x)
    let p = f64 [| 4 |] [ 0.2; -0.5; 0.9; -0.999 ]
    close 1e-13 "erfinv" (exp (square (erfinv p)) * (Math.Sqrt Math.PI / 2.0)) (slope erfinv p)
    close 1e-12 "erfinv, twice" (2.0 * erfinv p * square (slope erfinv p)) (slope (slope erfinv) p)
    let z = f64 [| 4 |] [ -2.0; 0.3; 1.0; 4.0 ]
    close 1e-14 "erfc" (-(slope erf z)) (slope erfc z)
    close 1e-12 "erfcx" (2.0 * z * erfcx z - 2.0 / Math.Sqrt Math.PI) (slope erfcx z)
    close 1e-14 "ndtr" (exp (z * z * -0.5) / Math.Sqrt(2.0 * Math.PI)) (slope ndtr z)

let private differentiable: (string * (Tensor -> Tensor) * float list) list =
    [ "erfc", erfc, [ -1.0; 0.3; 2.0 ]
      "erfcx", erfcx, [ -1.0; 0.3; 2.0 ]
      "erfinv", erfinv, [ -0.9; 0.2; 0.95 ]
      "ndtr", ndtr, [ -1.0; 0.3; 2.0 ]
      "ndtri", ndtri, [ 0.2; 0.4; 0.9 ]
      "lgamma", lgamma, [ -1.4; 0.3; 1.5; 2.5; 12.0 ]
      "digamma", digamma, [ -1.4; 0.3; 1.5; 12.0 ]
      "trigamma", trigamma, [ -1.4; 0.3; 1.5; 12.0 ]
      "polygamma 2", polygamma 2, [ -1.4; 0.3; 1.5; 12.0 ]
      "betaln", (fun x -> betaln x (2.0 * x)), [ 0.3; 1.5; 12.0 ]
      "beta", (fun x -> beta x (2.0 * x)), [ 0.3; 1.5 ]
      "xlogy", (fun x -> xlogy x (2.0 * x)), [ 0.3; 1.5 ]
      "xlog1py", (fun x -> xlog1py x (2.0 * x)), [ 0.3; 1.5 ]
      "entr", entr, [ 0.3; 1.5 ]
      "logit", logit, [ 0.3; 0.9 ]
      "asin", asin, [ -0.9; 0.2 ]
      "acos", acos, [ -0.9; 0.2 ]
      "sinh", sinh, [ -25.0; -1.0; 0.0; 2.0; 30.0 ]
      "cosh", cosh, [ -25.0; -1.0; 0.0; 2.0; 30.0 ]
      "asinh", asinh, [ -3.0; 0.0; 2.0 ]
      "acosh", acosh, [ 1.5; 3.0 ]
      "atanh", atanh, [ -0.9; 0.0; 0.4 ]
      "cbrt", cbrt, [ -3.0; 0.1; 8.0 ]
      "exp2", exp2, [ -3.0; 0.1; 8.0 ]
      "log2", log2, [ 0.1; 8.0 ]
      "log10", log10, [ 0.1; 8.0 ]
      "sinc", sinc, [ -0.3; 1.7 ]
      "logSigmoid", logSigmoid, [ -3.0; 2.0 ]
      "atan2", (fun x -> atan2 (x * x - 1.0) x), [ -3.0; 0.5; 2.0 ]
      "hypot", (fun x -> hypot (x * x) x), [ -3.0; 0.5; 2.0 ]
      "copysign", (fun x -> copysign (-x) (x * x)), [ -3.0; 0.5 ]
      "lerp", (fun x -> lerp x (x * x) (x * 0.3)), [ -3.0; 0.5; 2.0 ]
      "remainder", (fun x -> remainder (x * 3.0) (x * x)), [ -1.3; 0.7 ]
      "frac", frac, [ -1.3; 0.7 ]
      "fmax", (fun x -> fmax (x * x) x), [ -1.3; 0.7 ] ]

let private differentiableNames = differentiable |> List.map (fun (n, _, _) -> n)

[<TestCaseSource(nameof differentiableNames)>]
let ``gradients are differences, first and second`` (name: string) =
    let _, f, xs = differentiable |> List.find (fun (n, _, _) -> n = name)
    let x = f64 [| xs.Length |] xs
    let check order (f: Tensor -> Tensor) =
        let h = 1e-5
        let difference = (f (x + h) - f (x - h)) / (2.0 * h)
        close 1e-7 $"{name}, order {order}" difference (slope f x)
    check 1 f
    check 2 (slope f)

[<Test>]
let ``gradients read as in tables`` () =
    let x = Op.input "x" DType.F64 [||]
    let slope f = Print.algebra (Rewrite.pretty (Grad.gradient (f x) [| x |]).[0])
    Assert.That(slope lgamma, Is.EqualTo "digamma(x)")
    Assert.That(slope digamma, Is.EqualTo "trigamma(x)")
    Assert.That(slope sinh, Is.EqualTo "cosh(x)")
    Assert.That(slope cosh, Is.EqualTo "sinh(x)")
    Assert.That(Print.algebra (asin x), Is.EqualTo "asin(x)")

[<Law>]
let ``erfinv undoes erf, ndtri undoes ndtr`` (seed: int) =
    let random = Random seed
    let x = f64 [| 4 |] (Array.init 4 (fun _ -> 4.0 * random.NextDouble() - 2.0))
    let p = f64 [| 4 |] (Array.init 4 (fun _ -> Math.Pow(10.0, -30.0 * random.NextDouble()) * 0.999))
    let near tolerance (a: Tensor) (b: Tensor) =
        Seq.forall2 (fun (u: float) v -> abs (u - v) <= tolerance * abs u + 1e-300) (floatsOf a) (floatsOf b)
    near 2e-12 x (erfinv (erf x)) && near 1e-12 p (ndtr (ndtri p))

[<Law>]
let ``the gamma function's recurrence and duplication`` (seed: int) =
    let random = Random seed
    let x = f64 [| 4 |] (Array.init 4 (fun _ -> 20.0 * random.NextDouble() + 0.01))
    let near (a: Tensor) (b: Tensor) =
        Seq.forall2 (fun (u: float) v -> abs (u - v) <= 1e-13 * max 1.0 (abs u)) (floatsOf a) (floatsOf b)
    near (lgamma (x + 1.0)) (lgamma x + log x)
    && near (lgamma (2.0 * x)) (lgamma x + lgamma (x + 0.5) + (2.0 * x - 1.0) * Math.Log 2.0 - 0.5 * Math.Log Math.PI)
    && near (digamma (x + 1.0)) (digamma x + 1.0 / x)
