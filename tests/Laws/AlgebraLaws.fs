/// Integers form a ring, an order and a lattice of bits; broadcasting respects all of it.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.AlgebraLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Cases

let private fill (c: Case) (v: float) = full DType.I64 c.Shape v

[<Law 30>]
let ``addition commutes`` (c: Case) = equal (c.Int 1 + c.Int 2) (c.Int 2 + c.Int 1)

[<Law 30>]
let ``addition associates`` (c: Case) = equal (c.Int 1 + c.Int 2 + c.Int 3) (c.Int 1 + (c.Int 2 + c.Int 3))

[<Law 30>]
let ``multiplication commutes`` (c: Case) = equal (c.Int 1 * c.Int 2) (c.Int 2 * c.Int 1)

[<Law 30>]
let ``multiplication associates`` (c: Case) = equal (c.Int 1 * c.Int 2 * c.Int 3) (c.Int 1 * (c.Int 2 * c.Int 3))

[<Law 30>]
let ``multiplication distributes over addition`` (c: Case) =
    equal (c.Int 1 * (c.Int 2 + c.Int 3)) (c.Int 1 * c.Int 2 + c.Int 1 * c.Int 3)

[<Law 30>]
let ``zero, one and the opposite`` (c: Case) =
    equal (c.Int 1 + fill c 0.0) (c.Int 1)
    equal (c.Int 1 * fill c 1.0) (c.Int 1)
    equal (c.Int 1 + -(c.Int 1)) (fill c 0.0)
    equal (c.Int 1 - c.Int 2) (c.Int 1 + -(c.Int 2))

[<Law 30>]
let ``a dividend is quotient times divisor plus rest`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let y = where (eq y (fill c 0.0)) (fill c 4.0) y
    equal x (Op.binary Binary.Div x y * y + x % y)

[<Law 30>]
let ``bits: xor undoes itself, and De Morgan`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let bits b x y = Op.binary b x y
    let no = Op.unary Unary.Not
    equal x (bits Binary.Xor (bits Binary.Xor x y) y)
    equal (no (bits Binary.And x y)) (bits Binary.Or (no x) (no y))

[<Law 30>]
let ``a shift left multiplies by a power of two`` (c: Case) =
    let n = c.Below(3, 20, c.Shape)
    equal (Op.binary Binary.Shl (c.Int 1) n) (c.Int 1 * Op.binary Binary.Pow (fill c 2.0) n)

[<Law 30>]
let ``max and min form a lattice`` (c: Case) =
    let x, y, z = c.Int 1, c.Int 2, c.Int 3
    equal (maximum x (maximum y z)) (maximum (maximum x y) z)
    equal (maximum x (minimum x y)) x
    equal (minimum x (maximum y z)) (maximum (minimum x y) (minimum x z))
    equal (maximum x y + minimum x y) (x + y)

[<Law 30>]
let ``exactly one of less, equal and greater holds`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    let number = cast DType.I64
    equal (number (lt x y) + number (eq x y) + number (gt x y)) (fill c 1.0)
    equal (le x y) (Op.unary Unary.Not (gt x y))

[<Law 30>]
let ``select chooses by its condition`` (c: Case) =
    let x, y = c.Int 1, c.Int 2
    equal (where (lt x y) x y) (minimum x y)
    equal (where (lt x y) x x) x

[<Law 30>]
let ``operators broadcast as broadcastTo does`` (c: Axes) =
    let row = c.IntOf(2, c.Shape |> Array.mapi (fun i e -> if i = c.Axis then 1 else e))
    equal (c.Int 1 * row) (c.Int 1 * broadcastTo c.Shape row)
    let last = c.IntOf(3, c.Shape[1..])
    equal (c.Int 1 - last) (c.Int 1 - broadcastTo c.Shape last)

[<Law 30>]
let ``elementwise functions pass through broadcasting`` (c: Case) =
    let wide = Array.append [| 3 |] c.Shape
    equal (broadcastTo wide (abs (c.Int 1))) (abs (broadcastTo wide (c.Int 1)))
    equal (broadcastTo wide (c.Int 1) + broadcastTo wide (c.Int 2)) (broadcastTo wide (c.Int 1 + c.Int 2))

[<Law 30>]
let ``casts to wider integers lose nothing`` (c: Case) =
    for d in [ DType.I8; DType.I32; DType.F32; DType.F64; DType.F16; DType.BF16 ] do
        equal (cast DType.I64 (cast d (c.Int 1))) (c.Int 1)

[<Law 30>]
let ``bitCast there and back`` (c: Case) =
    equal (Op.bitCast DType.I64 (Op.bitCast DType.F64 (c.Int 1))) (c.Int 1)
    equal (Op.bitCast DType.F64 (Op.bitCast DType.I64 (c.Float 1))) (c.Float 1)

[<Test>]
let ``promotion is a commutative, idempotent choice that no cast may narrow`` () =
    for a in DType.all do
        Assert.That(DType.promote a a, Is.EqualTo a)
        for b in DType.all do
            let p = DType.promote a b
            Assert.That(p, Is.EqualTo(DType.promote b a))
            Assert.That(DType.promote p a, Is.EqualTo p, $"{a} and {b}")

[<Law 30>]
let ``the same key draws the same bits, and longer draws begin alike`` (c: Case) =
    let key = Random.key (int64 c.Seed)
    let n = Shape.count c.Shape
    equal (Op.randomBits key c.Shape) (Op.randomBits key c.Shape)
    equal (reshape [| n |] (Op.randomBits key c.Shape)) (slice 0 0 n (Op.randomBits key [| n + 5 |]))
