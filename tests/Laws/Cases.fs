/// What the laws are about: a shape and a seed, from which a law draws its tensors. Failing cases shrink to small shapes.
module Nanograd.Laws.Cases

open System
open FsCheck
open FsCheck.FSharp
open Nanograd
open Nanograd.Core.Tests

/// A shape, and numbers for it.
type Case(shape: int[], seed: int) =
    member _.Shape = shape
    member _.Rank = shape.Length
    member _.Seed = seed

    /// The k-th number source of this case.
    member _.Random(k: int) = Random(seed + 7919 * k)

    /// Integers from -9 to 9 of any shape.
    member c.IntOf(k: int, shape: int[]) =
        let r = c.Random k
        i64 shape (Array.init (Shape.count shape) (fun _ -> int64 (r.Next(-9, 10))))

    /// Numbers from -1 to 1 of any shape, f64.
    member c.FloatOf(k: int, shape: int[]) = noise DType.F64 (seed + 7919 * k) shape

    member c.Int(k: int) = c.IntOf(k, shape)
    member c.Float(k: int) = c.FloatOf(k, shape)

    /// Numbers below `bound` (which is positive).
    member c.Below(k: int, bound: int, shape: int[]) =
        let r = c.Random k
        i64 shape (Array.init (Shape.count shape) (fun _ -> int64 (r.Next bound)))

    member c.Permutation(k: int, n: int) =
        let r = c.Random k
        Array.init n id |> Array.sortBy (fun _ -> r.Next())

    member c.Axis = c.Random(77).Next(max 1 shape.Length)
    override _.ToString() = $"{Shape.show shape}, seed {seed}"

/// A case with at least one axis, none of them empty.
type Axes(shape, seed) =
    inherit Case(shape, seed)

/// Extents of a chain of three matrix products.
type Matrices(m: int, k: int, n: int, p: int, seed: int) =
    let c = Case([||], seed)
    member _.A = c.IntOf(1, [| m; k |])
    member _.B = c.IntOf(2, [| k; n |])
    member _.C = c.IntOf(3, [| n; p |])
    member _.A2 = c.IntOf(4, [| m; k |])
    member _.Sizes = [| m; k; n; p |]
    override _.ToString() = $"{m}x{k}, {k}x{n}, {n}x{p}, seed {seed}"

let private extents = [ 1; 2; 3; 4; 5; 7; 8; 15; 16; 17; 33; 64; 65 ]
let private seeds = Gen.choose (0, 1_000_000)

let private shapes (fewest: int) (all: int list) =
    gen {
        let! rank = Gen.choose (fewest, 4)
        let! shape = Gen.arrayOfLength rank (Gen.elements all)
        return
            Array.fold (fun (s: int list) e -> if List.fold (*) e s > 20_000 then s @ [ 1 ] else s @ [ e ]) [] shape
            |> Array.ofList
    }

let private smaller (fewest: int) (shape: int[]) =
    seq {
        for i in 0 .. shape.Length - 1 do
            if shape.Length > fewest then Array.removeAt i shape
            for e in [ 1; shape[i] / 2; shape[i] - 1 ] do
                if e >= 1 && e < shape[i] then Array.updateAt i e shape
    }

/// What FsCheck draws cases with.
type Draw =
    static member Case() : Arbitrary<Case> =
        let generator = Gen.map2 (fun s n -> Case(s, n)) (shapes 0 (0 :: extents)) seeds
        Arb.fromGenShrink (generator, (fun c -> smaller 0 c.Shape |> Seq.map (fun s -> Case(s, c.Seed))))

    static member Axes() : Arbitrary<Axes> =
        let generator = Gen.map2 (fun s n -> Axes(s, n)) (shapes 1 extents) seeds
        Arb.fromGenShrink (generator, (fun c -> smaller 1 c.Shape |> Seq.map (fun s -> Axes(s, c.Seed))))

    static member Matrices() : Arbitrary<Matrices> =
        let size = Gen.elements (0 :: extents)
        let generator = Gen.map5 (fun m k n p s -> Matrices(m, k, n, p, s)) size size size size seeds
        Arb.fromGen generator

/// Both expressions have the same type, shape and bits.
let equal (a: Tensor) (b: Tensor) =
    if Shape.describe a <> Shape.describe b then failwith $"{Shape.describe a} is not {Shape.describe b}"
    match differences same (computed a) (computed b) with
    | Some text -> failwith text
    | None -> ()

/// Both expressions have the same type and shape, and values within rounding.
let close (a: Tensor) (b: Tensor) =
    if Shape.describe a <> Shape.describe b then failwith $"{Shape.describe a} is not {Shape.describe b}"
    let x = computed a
    match differences (within 1e-12 x) x (computed b) with
    | Some text -> failwith text
    | None -> ()

let inner (x: Tensor) (y: Tensor) = sum (x * y)
