/// Conversions between element types, the lattice of types, and random numbers as pure functions of keys.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.TypeLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

// ------------------------------------------------------------------------------------------------ conversions

[<Law("Types", "i64(d(x)) = x for small integers x and every type d with a sign", "small integers survive every type")>]
let ``small integers survive every type`` (c: Case) =
    for d in [ DType.I8; DType.I32; DType.F32; DType.F64; DType.F16; DType.BF16 ] do
        equal (cast DType.I64 (cast d (c.Int 1))) (c.Int 1)

[<Law("Types", "d(d(x)) = d(x)", "converting to a type is a projection")>]
let ``converting twice is converting once`` (c: Case) =
    for d in DType.all do
        let once = eval (cast d (c.Special 1))
        equal (cast d (cast DType.F64 once)) once

[<Law("Types", "x ≤ y ⇒ d(x) ≤ d(y) for float types d", "rounding is monotone")>]
let ``rounding is monotone`` (c: Case) =
    let low, high = minimum (c.Float 1) (c.Float 2), maximum (c.Float 1) (c.Float 2)
    for d in [ DType.F32; DType.F16; DType.BF16 ] do
        holds (le (cast d low) (cast d high))

[<Law("Types", "d(-x) = -d(x) for float types d", "rounding is symmetric: to nearest, ties to even")>]
let ``rounding is symmetric`` (c: Case) =
    for d in [ DType.F32; DType.F16; DType.BF16 ] do
        equal (cast d (-(c.Special 1))) (-(cast d (c.Special 1)))

[<Law("Types",
      "d(x + y) = d(x) + d(y), d(x y) = d(x) d(y)  for integer types d",
      "integers are converted by a homomorphism of rings: low bits are kept")>]
let ``narrowing integers is a homomorphism`` (c: Case) =
    let x, y = c.Wrapped(DType.I64, 1), c.Wrapped(DType.I64, 2)
    for d in [ DType.I32; DType.U32; DType.U8; DType.I8 ] do
        equal (cast d (x + y)) (cast d x + cast d y)
        equal (cast d (x * y)) (cast d x * cast d y)

[<Law("Types", "bool(x) = [x ≠ 0]", "a number is true when it is not zero")>]
let ``truth is not zero`` (c: Case) =
    equal (cast DType.Bool (c.Int 1)) (ne (c.Int 1) (fill c 0.0))
    equal (cast DType.Bool (c.Special 1)) (ne (c.Special 1) (zerosLike (c.Special 1)))

[<Law("Types", "bits⁻¹(bits(x)) = x", "reading bits as another type of the same size loses nothing")>]
let ``bitCast there and back`` (c: Case) =
    equal (Op.bitCast DType.I64 (Op.bitCast DType.F64 (c.Int 1))) (c.Int 1)
    equal (Op.bitCast DType.F64 (Op.bitCast DType.I64 (c.Special 1))) (c.Special 1)

[<Law("Types", "bits(-x) = bits(x) ⊕ 2⁶³", "a float's sign is its highest bit, for zeros and infinities, too")>]
let ``the sign bit of a float`` (c: Case) =
    let sign = Op.broadcast c.Shape (Op.constant (Constant.ofInt DType.I64 System.Int64.MinValue))
    let x = where (ne (c.Special 1) (c.Special 1)) (zerosLike (c.Special 1)) (c.Special 1) // which NaN is left open
    equal (Op.bitCast DType.I64 (-x)) (Op.binary Binary.Xor (Op.bitCast DType.I64 x) sign)

[<Law("Types", "f(x ⊕ y) has the type a ∨ b", "the type of a result is the join of the operands' types")>]
let ``results have the joined type`` (c: Case) =
    for a in DType.all do
        for b in DType.all do
            let wanted = if a = DType.Bool && b = DType.Bool then DType.I64 else DType.promote a b
            let x, y = cast a (c.Int 1), cast b (c.Int 2)
            Assert.That((x + y).DType, Is.EqualTo wanted, $"{a} + {b}")
            Assert.That((x * y).DType, Is.EqualTo wanted, $"{a} * {b}")
    equal (cast DType.I32 (c.Int 1) + c.Int 2) (c.Int 1 + c.Int 2)

[<Test>]
let ``promotion is a commutative, idempotent choice that no cast may narrow`` () =
    for a in DType.all do
        Assert.That(DType.promote a a, Is.EqualTo a)
        for b in DType.all do
            let p = DType.promote a b
            Assert.That(p, Is.EqualTo(DType.promote b a))
            Assert.That(DType.promote p a, Is.EqualTo p, $"{a} and {b}")

[<Test>]
let ``promotion associates but where two types of one width meet a third`` () =
    // As in PyTorch: u8 with i8 is wider than either, and f16 with bf16, so that the order can matter for these only.
    let odd = set [ "u8"; "i8"; "u32"; "f16"; "bf16" ]
    for a in DType.all do
        for b in DType.all do
            for c in DType.all do
                let left, right = DType.promote (DType.promote a b) c, DType.promote a (DType.promote b c)
                if left <> right then
                    let strange = [ a; b; c ] |> List.filter (fun d -> odd.Contains(string d)) |> List.length
                    Assert.That(strange, Is.GreaterThanOrEqualTo 2, $"{a}, {b}, {c}: {left} and {right}")

// ------------------------------------------------------------------------------------------------ random numbers

let private key (c: Case) = Random.key (int64 c.Seed)

[<Law("Random numbers", "bits(k, s) = bits(k, s)", "the same key draws the same bits: results can be repeated")>]
let ``the same key draws the same bits`` (c: Case) =
    equal (Op.randomBits (key c) c.Shape) (Op.randomBits (Random.key (int64 c.Seed)) c.Shape)

[<Law("Random numbers", "bits(k, n)[..m] = bits(k, m)", "longer draws begin alike: the place decides, not the shape")>]
let ``longer draws begin alike`` (c: Case) =
    let n = Shape.count c.Shape
    equal (reshape [| n |] (Op.randomBits (key c) c.Shape)) (slice 0 0 n (Op.randomBits (key c) [| n + 5 |]))

/// Threefry2x32 with 20 rounds, written as arithmetic of tensors from the paper (Salmon et al. 2011): an independent second version.
let private threefry (k0: Tensor) (k1: Tensor) (counter: Tensor) =
    let word (v: uint32) = full DType.U32 counter.Shape (float v)
    let xor a b = Op.binary Binary.Xor a b
    let rotate (n: int) x =
        Op.binary Binary.Or (Op.binary Binary.Shl x (word (uint32 n))) (Op.binary Binary.Shr x (word (uint32 (32 - n))))
    let keys = [| k0; k1; xor (xor k0 k1) (word 0x1BD11BDAu) |]
    let turns = [| [ 13; 15; 26; 6 ]; [ 17; 29; 16; 24 ] |]
    let mutable x0, x1 = counter + keys[0], word 0u + keys[1]
    for group in 1..5 do
        for r in turns[(group - 1) % 2] do
            x0 <- x0 + x1
            x1 <- xor (rotate r x1) x0
        x0 <- x0 + keys[group % 3]
        x1 <- x1 + keys[(group + 1) % 3] + word (uint32 group)
    xor x0 x1

[<Law("Random numbers",
      "bits(k)[i] = x₀ ⊕ x₁ of Threefry2x32-20(k, i)",
      "bits are those of Salmon et al. 2011, element by element")>]
let ``bits are Threefry's`` (c: Case) =
    let n = Shape.count c.Shape
    let part i = slice 0 i (i + 1) (key c)
    equal (Op.randomBits (key c) [| n |]) (threefry (part 0) (part 1) (arange DType.U32 n))

[<Law("Random numbers", "k ≠ k' ⇒ bits(k) ≠ bits(k')", "other keys draw other bits")>]
let ``other keys draw other bits`` (c: Case) =
    let a, b = Op.randomBits (key c) [| 8 |], Op.randomBits (Random.fold (key c) 1) [| 8 |]
    holds (lt (sum (cast DType.I64 (eq a b))) (i64 [||] [ 4L ]))

[<Law("Random numbers",
      "split(k, n)ᵢ ≠ split(k, n)ⱼ for i ≠ j",
      "split keys differ from each other and from their parent")>]
let ``split keys differ`` (c: Case) =
    let keys = toArray<uint32>(Random.split 16 (key c)) |> Array.chunkBySize 2 |> Array.map (fun p -> p[0], p[1])
    let own = toArray<uint32>(key c)
    Assert.That(Array.append [| own[0], own[1] |] keys |> Array.distinct |> Array.length, Is.EqualTo 17)
    equal (Random.split 16 (key c)) (Random.split 16 (key c))

[<Law("Random numbers", "0 ≤ uniform < 1", "uniform numbers never reach one")>]
let ``uniform numbers lie in the half-open interval`` (c: Case) =
    let u = Random.uniform (key c) c.Shape
    holds (Op.binary Binary.And (ge u (zeros c.Shape)) (lt u (ones c.Shape)))

[<Law("Random numbers",
      "|mean - μ|, |var - σ²| small over 20,000 draws",
      "means and variances of uniform and normal numbers, within five standard errors")>]
let ``means and variances`` (c: Case) =
    let n = 20_000
    let near (expected: float) (error: float) (x: Tensor) =
        Assert.That(item (mean x), Is.EqualTo(expected).Within(5.0 * error / sqrt (float n)))
    let u, z = eval (Random.uniform (key c) [| n |]), eval (Random.normal (key c) [| n |])
    near 0.5 (sqrt (1.0 / 12.0)) u
    near (1.0 / 12.0) 0.075 (square (u - 0.5))
    near 0.0 1.0 z
    near 1.0 (sqrt 2.0) (square z)
