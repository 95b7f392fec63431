/// Integers form a ring, also where they wrap around; order and lattice; truth values and bits.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.RingLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

// ------------------------------------------------------------------------------------------------ ring

[<Law("Ring", "x + y = y + x", "operands of a sum may be exchanged")>]
let ``addition commutes`` (c: Case) = equal (c.Int 1 + c.Int 2) (c.Int 2 + c.Int 1)

[<Law("Ring", "(x + y) + z = x + (y + z)", "integer sums may be grouped at will; float sums are grouped as written")>]
let ``addition associates`` (c: Case) = equal (c.Int 1 + c.Int 2 + c.Int 3) (c.Int 1 + (c.Int 2 + c.Int 3))

[<Law("Ring", "x y = y x", "factors may be exchanged")>]
let ``multiplication commutes`` (c: Case) = equal (c.Int 1 * c.Int 2) (c.Int 2 * c.Int 1)

[<Law("Ring", "(x y) z = x (y z)", "integer products may be grouped at will")>]
let ``multiplication associates`` (c: Case) = equal (c.Int 1 * c.Int 2 * c.Int 3) (c.Int 1 * (c.Int 2 * c.Int 3))

[<Law("Ring", "x (y + z) = x y + x z", "common factors may be taken out")>]
let ``multiplication distributes over addition`` (c: Case) =
    equal (c.Int 1 * (c.Int 2 + c.Int 3)) (c.Int 1 * c.Int 2 + c.Int 1 * c.Int 3)

[<Law("Ring", "x + 0 = x", "adding zero costs nothing: it is removed")>]
let ``zero is neutral`` (c: Case) = equal (c.Int 1 + fill c 0.0) (c.Int 1)

[<Law("Ring", "1 x = x", "multiplying by one is removed")>]
let ``one is neutral`` (c: Case) = equal (c.Int 1 * fill c 1.0) (c.Int 1)

[<Law("Ring", "0 x = 0", "for integers; a float times zero may be NaN and stays")>]
let ``zero annihilates`` (c: Case) = equal (c.Int 1 * fill c 0.0) (fill c 0.0)

[<Law("Ring", "x + (-x) = 0", "every integer tensor has an opposite")>]
let ``an opposite cancels`` (c: Case) = equal (c.Int 1 + -(c.Int 1)) (fill c 0.0)

[<Law("Ring", "x - y = x + (-y)", "subtraction is no operation of its own")>]
let ``subtracting is adding the opposite`` (c: Case) = equal (c.Int 1 - c.Int 2) (c.Int 1 + -(c.Int 2))

[<Law("Ring", "-(-x) = x", "signs come in pairs that cancel, in floats too")>]
let ``two changes of sign cancel`` (c: Case) =
    equal (-(-(c.Int 1))) (c.Int 1)
    equal (-(-(c.Special 1))) (c.Special 1)

[<Law("Ring", "(-x) (-y) = x y  and  (-x) y = -(x y)", "signs move out of products")>]
let ``the rule of signs`` (c: Case) =
    equal (-(c.Int 1) * -(c.Int 2)) (c.Int 1 * c.Int 2)
    equal (-(c.Int 1) * c.Int 2) (-(c.Int 1 * c.Int 2))

[<Law("Ring", "-(x - y) = y - x", "the opposite of a difference is the difference turned round")>]
let ``the opposite of a difference`` (c: Case) = equal (-(c.Int 1 - c.Int 2)) (c.Int 2 - c.Int 1)

[<Law("Ring", "(x + y)² = x² + 2xy + y²", "the binomial formula")>]
let ``the square of a sum`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    equal (square (x + y)) (square x + 2 * x * y + square y)

[<Law("Ring", "x² - y² = (x + y) (x - y)", "the third binomial formula")>]
let ``a difference of squares factors`` (c: Case) =
    equal (square (c.Int 1) - square (c.Int 2)) ((c.Int 1 + c.Int 2) * (c.Int 1 - c.Int 2))

[<Law("Ring",
      "x (y + z) = x y + x z  mod 2ⁿ",
      "integers that overflow wrap around and stay a ring, for every integer type")>]
let ``overflow keeps the ring`` (c: Case) =
    for d in [ DType.I64; DType.I32; DType.U32; DType.U8; DType.I8 ] do
        let x, y, z = c.Wrapped(d, 1), c.Wrapped(d, 2), c.Wrapped(d, 3)
        equal (x * (y + z)) (x * y + x * z)
        equal (x - y + y) x

[<Law("Ring", "x = (x / y) y + x % y", "quotient and rest belong together (both truncate toward zero)")>]
let ``a dividend is quotient times divisor plus rest`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let y = where (eq y (fill c 0.0)) (fill c 4.0) y
    equal (Op.binary Binary.Div x y * y + x % y) x

[<Law("Ring", "|x % y| < |y|,  sign(x % y) ∈ {0, sign x}", "the rest has the sign of the dividend, as in C")>]
let ``a rest is small and has the dividend's sign`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let y = where (eq y (fill c 0.0)) (fill c 4.0) y
    holds (lt (abs (x % y)) (abs y))
    holds (ge (x % y * x) (fill c 0.0))

[<Law("Ring", "xᵐ⁺ⁿ = xᵐ xⁿ", "exponents add")>]
let ``powers of one base multiply`` (c: Case) =
    let m, n = c.Below(2, 5, c.Shape), c.Below(3, 5, c.Shape)
    equal (pow (c.Int 1) (m + n)) (pow (c.Int 1) m * pow (c.Int 1) n)

[<Law("Ring", "(x y)ⁿ = xⁿ yⁿ", "powers distribute over products")>]
let ``the power of a product`` (c: Case) =
    let n = c.Below(3, 6, c.Shape)
    equal (pow (c.Int 1 * c.Int 2) n) (pow (c.Int 1) n * pow (c.Int 2) n)

[<Law("Ring", "|x y| = |x| |y|", "the absolute value is multiplicative")>]
let ``the absolute value of a product`` (c: Case) = equal (abs (c.Int 1 * c.Int 2)) (abs (c.Int 1) * abs (c.Int 2))

[<Law("Ring", "x = sign(x) |x|", "sign and size make a number")>]
let ``sign times size`` (c: Case) = equal (Op.unary Unary.Sign (c.Int 1) * abs (c.Int 1)) (c.Int 1)

[<Law("Ring", "eˣ⁺ʸ = eˣ eʸ,  log(x y) = log x + log y", "exp and log are homomorphisms, within rounding")>]
let ``exponentials and logarithms`` (c: Case) =
    close (exp (c.Float 1 + c.Float 2)) (exp (c.Float 1) * exp (c.Float 2))
    close (log (c.Positive 1 * c.Positive 2)) (log (c.Positive 1) + log (c.Positive 2))

[<Law("Ring", "log eˣ = x,  √(x²) = |x|,  expm1(log1p x) = x", "functions and their inverses, within rounding")>]
let ``inverse functions`` (c: Case) =
    close (log (exp (c.Float 1))) (c.Float 1)
    close (sqrt (square (c.Float 1))) (abs (c.Float 1))
    close (expm1 (log1p (c.Float 1 * 0.5))) (c.Float 1 * 0.5)

[<Law("Ring", "sin² x + cos² x = 1,  sin(x + y) = sin x cos y + cos x sin y", "trigonometry, within rounding")>]
let ``sines and cosines`` (c: Case) =
    let x, y = c.Float 1 * 5.0, c.Float 2
    close (square (sin x) + square (cos x)) (full DType.F64 c.Shape 1.0)
    close (sin (x + y)) (sin x * cos y + cos x * sin y)

[<Law("Ring", "tan(atan x) = x,  f(-x) = -f(x) for atan, erf, tanh, sin", "odd functions; atan undoes tan")>]
let ``odd functions`` (c: Case) =
    let x = c.Float 1 * 3.0
    close (sin (atan x) / cos (atan x)) x
    for f in [ atan; erf; tanh; sin ] do
        let f: Tensor -> Tensor = f
        close (f -x) (-(f x))

// ------------------------------------------------------------------------------------------------ order

[<Law("Order", "max(x, y) = max(y, x),  min(x, y) = min(y, x)", "also for NaN and zeros of either sign")>]
let ``max and min commute`` (c: Case) =
    equal (maximum (c.Int 1) (c.Int 2)) (maximum (c.Int 2) (c.Int 1))
    equal (maximum (c.Special 1) (c.Special 2)) (maximum (c.Special 2) (c.Special 1))
    equal (minimum (c.Special 1) (c.Special 2)) (minimum (c.Special 2) (c.Special 1))

[<Law("Order",
      "max(x, max(y, z)) = max(max(x, y), z)",
      "a maximum may be taken in any order: the reason why reductions by max are exact")>]
let ``max and min associate`` (c: Case) =
    let x, y, z = c.Special 1, c.Special 2, c.Special 3
    equal (maximum x (maximum y z)) (maximum (maximum x y) z)
    equal (minimum x (minimum y z)) (minimum (minimum x y) z)

[<Law("Order", "max(x, x) = x = min(x, x)", "idempotence")>]
let ``max and min are idempotent`` (c: Case) =
    equal (maximum (c.Special 1) (c.Special 1)) (c.Special 1)
    equal (minimum (c.Special 1) (c.Special 1)) (c.Special 1)

[<Law("Order", "max(x, min(x, y)) = x = min(x, max(x, y))", "absorption: max and min form a lattice")>]
let ``max and min absorb each other`` (c: Case) =
    equal (maximum (c.Int 1) (minimum (c.Int 1) (c.Int 2))) (c.Int 1)
    equal (minimum (c.Int 1) (maximum (c.Int 1) (c.Int 2))) (c.Int 1)

[<Law("Order", "min(x, max(y, z)) = max(min(x, y), min(x, z))", "the lattice is distributive")>]
let ``min distributes over max`` (c: Case) =
    let x, y, z = c.Int 1, c.Int 2, c.Int 3
    equal (minimum x (maximum y z)) (maximum (minimum x y) (minimum x z))

[<Law("Order", "max(x, y) + min(x, y) = x + y", "two numbers are the larger and the smaller")>]
let ``max and min are the two numbers`` (c: Case) =
    equal (maximum (c.Int 1) (c.Int 2) + minimum (c.Int 1) (c.Int 2)) (c.Int 1 + c.Int 2)

[<Law("Order", "min(x, y) = -max(-x, -y)", "min is max seen from below; for floats bit for bit, -0 < +0 included")>]
let ``min is the dual of max`` (c: Case) =
    equal (minimum (c.Int 1) (c.Int 2)) (-(maximum (-(c.Int 1)) (-(c.Int 2))))
    equal (minimum (c.Special 1) (c.Special 2)) (-(maximum (-(c.Special 1)) (-(c.Special 2))))

[<Law("Order", "max(x + z, y + z) = max(x, y) + z", "a shift does not change which is larger")>]
let ``max does not see a shift`` (c: Case) =
    let x, y, z = c.Int 1, c.Int 2, c.Int 3
    equal (maximum (x + z) (y + z)) (maximum x y + z)

[<Law("Order", "isNaN max(x, y) = isNaN x ∨ isNaN y", "NaN is never hidden by max or min")>]
let ``max and min keep NaN`` (c: Case) =
    let isNan (x: Tensor) = ne x x
    let x, y = c.Special 1, c.Special 2
    equal (isNan (maximum x y)) (Op.binary Binary.Or (isNan x) (isNan y))
    equal (isNan (minimum x y)) (Op.binary Binary.Or (isNan x) (isNan y))

[<Law("Order", "[x < y] + [x = y] + [x > y] = 1", "integers are totally ordered")>]
let ``exactly one of less, equal and greater holds`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let number = cast DType.I64
    equal (number (lt x y) + number (eq x y) + number (gt x y)) (fill c 1.0)

[<Law("Order",
      "x ≤ y ⇔ ¬(x > y)  for integers;  x ≤ y ⇔ x < y ∨ x = y  always",
      "with NaN, not greater is not the same as less or equal")>]
let ``comparisons and their negations`` (c: Case) =
    equal (le (c.Int 1) (c.Int 2)) (Op.unary Unary.Not (gt (c.Int 1) (c.Int 2)))
    let x, y = c.Special 1, c.Special 2
    equal (le x y) (Op.binary Binary.Or (lt x y) (eq x y))
    equal (ne x y) (Op.unary Unary.Not (eq x y))

[<Law("Order", "x < y ⇔ y > x", "comparisons may be read from either side, NaN included")>]
let ``comparisons turned round`` (c: Case) =
    equal (lt (c.Special 1) (c.Special 2)) (gt (c.Special 2) (c.Special 1))
    equal (le (c.Special 1) (c.Special 2)) (ge (c.Special 2) (c.Special 1))

[<Law("Order", "x < y ∧ y < z ⇒ x < z", "transitivity; with NaN nothing is less, so it holds there, too")>]
let ``less is transitive`` (c: Case) =
    let x, y, z = c.Special 1, c.Special 2, c.Special 3
    let premise = Op.binary Binary.And (lt x y) (lt y z)
    holds (Op.binary Binary.Or (Op.unary Unary.Not premise) (lt x z))

[<Law("Order", "x ≤ y ⇒ x + z ≤ y + z", "addition is monotone: also for rounded float sums")>]
let ``addition is monotone`` (c: Case) =
    let x, y, z = c.Float 1, c.Float 2, c.Float 3
    holds (le (minimum x y + z) (maximum x y + z))

[<Law("Order", "|x + y| ≤ |x| + |y|", "the triangle inequality; it survives rounding")>]
let ``the triangle inequality`` (c: Case) = holds (le (abs (c.Float 1 + c.Float 2)) (abs (c.Float 1) + abs (c.Float 2)))

[<Law("Order", "clamp(clamp(x)) = clamp(x),  l ≤ clamp(x) ≤ h", "clamping is a projection")>]
let ``clamping twice is clamping once`` (c: Case) =
    let low, high = minimum (c.Int 2) (c.Int 3), maximum (c.Int 2) (c.Int 3)
    let clamp x = minimum high (maximum low x)
    equal (clamp (clamp (c.Int 1))) (clamp (c.Int 1))
    holds (Op.binary Binary.And (le low (clamp (c.Int 1))) (le (clamp (c.Int 1)) high))

[<Law("Order", "⌊x⌋ ≤ x < ⌊x⌋ + 1,  ⌈x⌉ = -⌊-x⌋", "rounding down and up are duals")>]
let ``floor and ceiling`` (c: Case) =
    let x = c.Float 1 * 9.0
    holds (Op.binary Binary.And (le (floor x) x) (lt x (floor x + 1.0)))
    equal (ceil (c.Special 1)) (-(floor (-(c.Special 1))))

[<Law("Order",
      "|x - round x| ≤ 1/2,  round(-x) = -round x",
      "rounding is to the nearest integer and symmetric, ties to even")>]
let ``rounding is nearest and odd`` (c: Case) =
    let x = c.Float 1 * 9.0
    holds (le (abs (x - round x)) (full DType.F64 c.Shape 0.5))
    equal (round (-(c.Special 1))) (-(round (c.Special 1)))

// ------------------------------------------------------------------------------------------------ truth values and bits

let private (&&.) x y = Op.binary Binary.And x y
let private (||.) x y = Op.binary Binary.Or x y
let private xor x y = Op.binary Binary.Xor x y
let private no x = Op.unary Unary.Not x

[<Law("Boolean algebra",
      "¬(x ∧ y) = ¬x ∨ ¬y,  ¬(x ∨ y) = ¬x ∧ ¬y",
      "De Morgan's laws, for truth values and for the bits of integers")>]
let ``De Morgan`` (c: Case) =
    for x, y in [ c.Bools 1, c.Bools 2; c.Int 1, c.Int 2 ] do
        equal (no (x &&. y)) (no x ||. no y)
        equal (no (x ||. y)) (no x &&. no y)

[<Law("Boolean algebra", "¬¬x = x", "double negation")>]
let ``double negation`` (c: Case) =
    equal (no (no (c.Bools 1))) (c.Bools 1)
    equal (no (no (c.Int 1))) (c.Int 1)

[<Law("Boolean algebra", "x ∧ (y ∨ z) = (x ∧ y) ∨ (x ∧ z)", "and distributes over or, and or over and")>]
let ``and and or distribute`` (c: Case) =
    for x, y, z in [ c.Bools 1, c.Bools 2, c.Bools 3; c.Int 1, c.Int 2, c.Int 3 ] do
        equal (x &&. (y ||. z)) ((x &&. y) ||. (x &&. z))
        equal (x ||. (y &&. z)) ((x ||. y) &&. (x ||. z))

[<Law("Boolean algebra", "x ∧ (x ∨ y) = x = x ∨ (x ∧ y)", "absorption")>]
let ``and and or absorb each other`` (c: Case) =
    for x, y in [ c.Bools 1, c.Bools 2; c.Int 1, c.Int 2 ] do
        equal (x &&. (x ||. y)) x
        equal (x ||. (x &&. y)) x

[<Law("Boolean algebra", "x ∨ ¬x = true,  x ∧ ¬x = false", "the excluded middle")>]
let ``the excluded middle`` (c: Case) =
    holds (c.Bools 1 ||. no (c.Bools 1))
    holds (no (c.Bools 1 &&. no (c.Bools 1)))

[<Law("Boolean algebra", "(x ⊕ y) ⊕ y = x", "exclusive or undoes itself: masks, ciphers, toggles")>]
let ``exclusive or undoes itself`` (c: Case) =
    equal (xor (xor (c.Bools 1) (c.Bools 2)) (c.Bools 2)) (c.Bools 1)
    equal (xor (xor (c.Int 1) (c.Int 2)) (c.Int 2)) (c.Int 1)

[<Law("Boolean algebra", "x ⊕ y = (x ∨ y) ∧ ¬(x ∧ y)", "exclusive or is one of the two, not both")>]
let ``exclusive or is or without and`` (c: Case) =
    for x, y in [ c.Bools 1, c.Bools 2; c.Int 1, c.Int 2 ] do
        equal (xor x y) ((x ||. y) &&. no (x &&. y))

[<Law("Boolean algebra", "¬x = -x - 1", "integers are in two's complement")>]
let ``two's complement`` (c: Case) =
    for d in [ DType.I64; DType.I32; DType.I8; DType.U8; DType.U32 ] do
        let x = c.Wrapped(d, 1)
        equal (no x) (-x - 1)

[<Law("Boolean algebra", "x + y = (x ⊕ y) + 2 (x ∧ y)", "a sum is the bits that differ and the carries")>]
let ``addition by bits`` (c: Case) =
    let x, y = c.Wrapped(DType.I32, 1), c.Wrapped(DType.I32, 2)
    equal (x + y) (xor x y + (x &&. y) * 2)

[<Law("Boolean algebra", "x << n = 2ⁿ x", "a shift left multiplies by a power of two")>]
let ``a shift left multiplies`` (c: Case) =
    let n = c.Below(3, 20, c.Shape)
    equal (Op.binary Binary.Shl (c.Int 1) n) (c.Int 1 * pow (fill c 2.0) n)

[<Law("Boolean algebra",
      "(x << m) << n = x << (m + n),  (x >> m) >> n = x >> (m + n)",
      "shifts add up, also beyond the width")>]
let ``shifts add up`` (c: Case) =
    let m, n = c.Below(2, 60, c.Shape), c.Below(3, 60, c.Shape)
    for b in [ Binary.Shl; Binary.Shr ] do
        equal (Op.binary b (Op.binary b (c.Int 1) m) n) (Op.binary b (c.Int 1) (m + n))

[<Law("Boolean algebra", "(x >> n) << n = x - (x mod 2ⁿ)", "a shift right divides, rounding down")>]
let ``a shift right divides, rounding down`` (c: Case) =
    let n = c.Below(3, 20, c.Shape)
    let mask = Op.binary Binary.Shl (fill c 1.0) n - 1
    equal (Op.binary Binary.Shl (Op.binary Binary.Shr (c.Int 1) n) n) (c.Int 1 - (c.Int 1 &&. mask))

[<Law("Boolean algebra", "where(¬c, x, y) = where(c, y, x)", "a condition may be negated by exchanging the branches")>]
let ``a negated condition exchanges the branches`` (c: Case) =
    equal (where (no (c.Bools 1)) (c.Int 1) (c.Int 2)) (where (c.Bools 1) (c.Int 2) (c.Int 1))

[<Law("Boolean algebra", "where(c, x, x) = x", "a choice between equals is none")>]
let ``a choice between equals`` (c: Case) = equal (where (c.Bools 1) (c.Special 1) (c.Special 1)) (c.Special 1)

[<Law("Boolean algebra", "where(c, where(c, x, y), z) = where(c, x, z)", "the same question asked twice")>]
let ``the same question asked twice`` (c: Case) =
    let q = c.Bools 1
    equal (where q (where q (c.Int 1) (c.Int 2)) (c.Int 3)) (where q (c.Int 1) (c.Int 3))

[<Law("Boolean algebra", "where(a, x, where(b, x, y)) = where(a ∨ b, x, y)", "conditions combine")>]
let ``conditions combine`` (c: Case) =
    let a, b = c.Bools 1, c.Bools 2
    equal (where a (c.Int 1) (where b (c.Int 1) (c.Int 2))) (where (a ||. b) (c.Int 1) (c.Int 2))

[<Law("Boolean algebra", "f(where(c, x, y)) = where(c, f x, f y)", "elementwise functions pass through a choice")>]
let ``functions pass through a choice`` (c: Case) =
    let q = c.Bools 1
    equal (abs (where q (c.Int 1) (c.Int 2)) * 3) (where q (abs (c.Int 1) * 3) (abs (c.Int 2) * 3))

[<Law("Boolean algebra", "where(x < y, x, y) = min(x, y)", "the smaller of two integers is a choice")>]
let ``min is a choice`` (c: Case) =
    equal (where (lt (c.Int 1) (c.Int 2)) (c.Int 1) (c.Int 2)) (minimum (c.Int 1) (c.Int 2))

// ------------------------------------------------------------------------------------------------ broadcasting

[<Law("Broadcasting", "x ∘ r = x ∘ stretch(r)", "operators stretch axes of extent 1 as broadcastTo does")>]
let ``operators stretch axes of extent 1`` (c: Axes) =
    let row = c.IntOf(2, c.With 1)
    equal (c.Int 1 * row) (c.Int 1 * broadcastTo c.Shape row)

[<Law("Broadcasting", "x ∘ r = x ∘ stretch(r),  r of the last axes", "missing axes are added in front, as in NumPy")>]
let ``operators add missing axes in front`` (c: Axes) =
    let last = c.IntOf(3, c.Shape[1..])
    equal (c.Int 1 - last) (c.Int 1 - broadcastTo c.Shape last)

[<Law("Broadcasting",
      "f(stretch x) = stretch(f x)",
      "elementwise functions are done before stretching: on fewer elements")>]
let ``elementwise functions pass through stretching`` (c: Case) =
    let wide = Array.append [| 3 |] c.Shape
    equal (broadcastTo wide (abs (c.Int 1))) (abs (broadcastTo wide (c.Int 1)))
    equal (broadcastTo wide (c.Int 1) + broadcastTo wide (c.Int 2)) (broadcastTo wide (c.Int 1 + c.Int 2))

[<Law("Broadcasting", "stretch(stretch x) = stretch x", "stretching in two steps is stretching at once")>]
let ``stretching in two steps`` (c: Case) =
    let once, twice = Array.append [| 3 |] c.Shape, Array.append [| 2; 3 |] c.Shape
    equal (c.Int 1 |> broadcastTo once |> broadcastTo twice) (c.Int 1 |> broadcastTo twice)

[<Law("Broadcasting", "(x ⊗ y)ᵀ = y ⊗ x", "a column beside a row makes a table, whose transpose exchanges them")>]
let ``tables of two vectors`` (c: Axes) =
    let x, y = c.IntOf(1, [| c.Extent |]), c.IntOf(2, [| 5 |])
    equal (transpose (unsqueeze 1 x * y)) (unsqueeze 1 y * x)

[<Law("Broadcasting", "x ∘ s = x ∘ full(s)", "a bare scalar stands for a tensor of that number")>]
let ``scalars stretch to everything`` (c: Case) =
    let s = c.IntOf(2, [||])
    equal (c.Int 1 + s) (c.Int 1 + broadcastTo c.Shape s)
    equal (c.Int 1 * 3) (c.Int 1 * fill c 3.0)

[<Test>]
let ``a law needs at least one plain test beside it`` () =
    equal (i64 [| 2 |] [ 1L; 2L ] + i64 [| 2 |] [ 3L; 4L ]) (i64 [| 2 |] [ 4L; 6L ])
