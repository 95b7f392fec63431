/// What the laws are about: a shape and a seed, from which a law draws its tensors. Failing cases shrink to small shapes.
module Nanograd.Laws.Cases

open System
open System.Collections.Generic
open FsCheck
open FsCheck.FSharp
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book

let private special =
    [| 0.0; -0.0; infinity; -infinity; nan; 1.0; -1.0; 0.5; -2.5; 5e-324; -1e-310; 1e-40; 1e300; -1.7e308 |]

/// A shape, and numbers for it. The k-th tensor of a kind and shape is one value, however often a law asks for it.
type Case(shape: int[], seed: int) =
    let made = Dictionary<struct (string * int * string), Tensor>()
    let random (k: int) = Random(seed + 7919 * k)

    let draw (kind: string) (k: int) (shape: int[]) (make: Random -> Tensor) =
        Notes.Draw kind
        let key = struct (kind, k, Shape.show shape)
        match made.TryGetValue key with
        | true, t -> t
        | _ ->
            let t = make (random k)
            made[key] <- t
            t

    let many (r: Random) (shape: int[]) (f: Random -> 'n) = Array.init (Shape.count shape) (fun _ -> f r)

    member _.Shape = shape
    member _.Rank = shape.Length
    member _.Seed = seed

    /// The k-th number source of this case.
    member _.Random(k: int) = random k

    /// A number below `bound`.
    member _.Number(k: int, bound: int) = (random k).Next bound

    /// Integers from -9 to 9 of any shape.
    member _.IntOf(k: int, shape: int[]) =
        draw "integers" k shape (fun r -> i64 shape (many r shape (fun r -> int64 (r.Next(-9, 10)))))

    /// Integers of any size, wrapped into a type.
    member _.Wrapped(dtype: DType, k: int) =
        draw $"all of {dtype}" k shape (fun r ->
            ofInts dtype shape (many r shape (fun r -> r.NextInt64 Int64.MaxValue * 2L + int64 (r.Next 2))))

    /// True and false.
    member _.Bools(k: int) =
        draw "bool" k shape (fun r -> ofInts DType.Bool shape (many r shape (fun r -> int64 (r.Next 2))))

    /// Numbers from -1 to 1 of any shape, f64.
    member _.FloatOf(k: int, shape: int[]) =
        draw "f64" k shape (fun r -> f64 shape (many r shape (fun r -> 2.0 * r.NextDouble() - 1.0)))

    /// Numbers from 0.5 to 1.5 of any shape, f64.
    member _.PositiveOf(k: int, shape: int[]) =
        draw "f64 > 0" k shape (fun r -> f64 shape (many r shape (fun r -> 0.5 + r.NextDouble())))

    /// f64 numbers among which are infinities, NaN, zeros of both signs, denormal and huge ones.
    member _.Special(k: int) =
        draw "f64 with NaN, infinities, -0" k shape (fun r ->
            f64
                shape
                (many r shape (fun r -> if r.Next 2 = 0 then special[r.Next special.Length] else r.NextDouble() - 0.5)))

    member c.Int(k: int) = c.IntOf(k, shape)
    member c.Float(k: int) = c.FloatOf(k, shape)
    member c.Positive(k: int) = c.PositiveOf(k, shape)

    /// Numbers below `bound` (which is positive): indices.
    member _.Below(k: int, bound: int, shape: int[]) =
        draw "indices" (k + 1000 * bound) shape (fun r -> i64 shape (many r shape (fun r -> int64 (r.Next bound))))

    member _.Permutation(k: int, n: int) =
        let r = random k
        Array.init n id |> Array.sortBy (fun _ -> r.Next())

    member _.Axis = (random 77).Next(max 1 shape.Length)
    override _.ToString() = $"{Shape.show shape}, seed {seed}"

/// A case with at least one axis, none of them empty.
type Axes(shape, seed) =
    inherit Case(shape, seed)
    /// The extent of the case's axis.
    member c.Extent = shape[c.Axis]
    /// The shape with another extent on the case's axis.
    member c.With(extent: int) = shape |> Array.mapi (fun i e -> if i = c.Axis then extent else e)

/// Extents of a chain of three matrix products.
type Matrices(m: int, k: int, n: int, p: int, seed: int) =
    let c = Case([||], seed)
    member _.A = c.IntOf(1, [| m; k |])
    member _.B = c.IntOf(2, [| k; n |])
    member _.C = c.IntOf(3, [| n; p |])
    member _.A2 = c.IntOf(4, [| m; k |])
    member _.Case = c
    member _.Sizes = [| m; k; n; p |]
    override _.ToString() = $"{m}x{k}, {k}x{n}, {n}x{p}, seed {seed}"

/// A convolution with every attribute drawn: [batch; channels; spatial...] with [out; channels / groups; spatial...].
type Convolving(x: int[], w: int[], options: Convolution, seed: int) =
    let c = Case([||], seed)
    member _.Options = options
    member _.Case = c
    member _.XShape = x
    member _.WShape = w
    /// Integers.
    member _.X = c.IntOf(1, x)
    member _.W = c.IntOf(2, w)
    /// Other integers.
    member _.X2 = c.IntOf(3, x)
    member _.W2 = c.IntOf(4, w)
    override _.ToString() = $"conv {Shape.show x} with {Shape.show w}, %A{options}, seed {seed}"

/// A function of one tensor that keeps its shape, made of named smooth steps.
type Function(steps: int list) =
    static let mix (x: Tensor) =
        let n = x.Shape[x.Rank - 1]
        if x.Count > 2000 || n > 64 then x else matmul x (noise DType.F64 3 [| n; n |])
    static let table: (string * (Tensor -> Tensor))[] =
        [| "sin", sin
           "tanh", tanh
           "square", square
           "exp . tanh", tanh >> exp
           "gelu", gelu
           "x => 2x - 1/2", (fun x -> x * 2.0 - 0.5)
           "softmax", softmax -1
           "cumSum", cumSum 0
           "reverse", Op.reverse [ 0 ]
           "x => x - mean x", (fun x -> x - meanKeep [ -1 ] x)
           "x => x W", mix
           "x => x sum(x)", (fun x -> x * sumKeep [ 0 ] x)
           "x => fst (sort x)", (fun x -> fst (Op.sort (x.Rank - 1) false x))
           "x => max(x, x/2)", (fun x -> maximum x (x * 0.5)) |]
    static member Count = table.Length
    member _.Steps = steps
    /// The value at `x`; the first step is applied first.
    member _.At(x: Tensor) = steps |> List.fold (fun t s -> (snd table[s]) t) x
    override _.ToString() =
        if steps.IsEmpty then
            "id"
        else
            String.Join(" . ", steps |> List.rev |> List.map (fun s -> "(" + fst table[s] + ")"))

/// Two functions that keep the shape, and a shape with at least one axis.
type Functions(shape, seed, f: Function, g: Function) =
    inherit Axes(shape, seed)
    member _.F(x: Tensor) = f.At x
    member _.G(x: Tensor) = g.At x
    member _.Parts = f, g
    override _.ToString() = $"f = {f}, g = {g}, {Shape.show shape}, seed {seed}"

/// A loop over slices: h, y = step(h, x); an affine map, or a nonlinear one with a matrix that is read from outside.
type Loops(length: int, width: int, seed: int) =
    let c = Case([||], seed)
    member _.Length = length
    member _.Width = width
    member _.Case = c
    member _.Start = c.FloatOf(1, [| width |])
    member _.Xs = c.FloatOf(2, [| length; width |])
    member _.Matrix = c.FloatOf(3, [| width; width |])
    override _.ToString() = $"{length} steps of {width}, seed {seed}"

/// A square matrix that is far from singular, and right sides for it.
type Squares(n: int, columns: int, seed: int) =
    let c = Case([||], seed)
    let unit = oneHot DType.F64 n (arange DType.I64 n)
    member _.Size = n
    member _.Columns = columns
    member _.Case = c
    member _.Unit = unit
    /// A general matrix.
    member _.A = eval (c.FloatOf(1, [| n; n |]) + unit * float (n + 1))
    member _.A2 = eval (c.FloatOf(2, [| n; n |]) + unit * float (n + 1))
    /// A symmetric positive definite matrix.
    member _.Positive = let m = c.FloatOf(3, [| n; n |]) in eval (matmul m (transpose m) + unit)
    member _.B = c.FloatOf(4, [| n; columns |])
    override _.ToString() = $"{n}x{n}, {columns} columns, seed {seed}"

let private extents = [ 1; 2; 3; 4; 5; 7; 8; 15; 16; 17; 33; 64; 65 ]
let private seeds = Gen.choose (0, 1_000_000)
let private most = 6_000

let private shapes (fewest: int) (all: int list) =
    gen {
        let! rank = Gen.choose (fewest, 4)
        let! shape = Gen.arrayOfLength rank (Gen.elements all)
        let! kind = Gen.choose (0, 4)
        // Equal extents now and then: there a wrong axis is no error of shapes.
        let shape = if kind = 0 && rank > 1 then Array.create rank (min shape[0] 8) else shape
        return
            Array.fold (fun (s: int list) e -> if List.fold (*) e s > most then s @ [ 1 ] else s @ [ e ]) [] shape
            |> Array.ofList
    }

let private smallerNumber (least: int) (e: int) =
    [ least; e / 2; e - 1 ] |> List.distinct |> List.filter (fun n -> n >= least && n < e)

let private smaller (fewest: int) (shape: int[]) =
    seq {
        for i in 0 .. shape.Length - 1 do
            if shape.Length > fewest then Array.removeAt i shape
            for e in smallerNumber 1 shape[i] do
                Array.updateAt i e shape
    }

let private simpler (f: Function) =
    seq {
        for i in 0 .. f.Steps.Length - 1 do
            Function(List.removeAt i f.Steps)
    }

let private convolving =
    gen {
        let! spatial = Gen.elements [ 1; 1; 2; 2; 3 ]
        let per low high = Gen.arrayOfLength spatial (Gen.choose (low, high))
        let! groups = Gen.elements [ 1; 1; 2; 3 ]
        let! batch, input, output = Gen.zip3 (Gen.choose (1, 3)) (Gen.choose (1, 3)) (Gen.choose (1, 3))
        let! size = per 1 (if spatial = 3 then 4 else 7)
        let! kernel = per 1 3
        let! strides, leftDilation, rightDilation = Gen.zip3 (per 1 3) (per 1 2) (per 1 2)
        let! low, high = Gen.zip (per -1 2) (per -1 2)
        let! seed = seeds
        let fits i = (size[i] - 1) * leftDilation[i] + 1 + low[i] + high[i] >= (kernel[i] - 1) * rightDilation[i] + 1
        let high = high |> Array.mapi (fun i h -> if fits i then h else h + 6)
        let options =
            { Strides = strides
              PadLow = low
              PadHigh = high
              LeftDilation = leftDilation
              RightDilation = rightDilation
              Groups = groups }
        let x, w = Array.append [| batch; groups * input |] size, Array.append [| groups * output; input |] kernel
        return Convolving(x, w, options, seed)
    }

/// Fewer spatial axes are not tried; every attribute is.
let private simplerConvolution (c: Convolving) =
    let o, x, w = c.Options, c.XShape, c.WShape
    let n = x.Length - 2
    let tryMake x w o =
        try
            Op.conv o (Op.input "x" DType.I64 x) (Op.input "w" DType.I64 w) |> ignore
            Some(Convolving(x, w, o, c.Case.Seed))
        with :? ShapeException ->
            None
    seq {
        if o.Groups > 1 then
            tryMake (Array.updateAt 1 w[1] x) (Array.updateAt 0 (w[0] / o.Groups) w) { o with Groups = 1 }
        if x[0] > 1 then tryMake (Array.updateAt 0 1 x) w o
        if w[0] > o.Groups then tryMake x (Array.updateAt 0 o.Groups w) o
        if w[1] > 1 then tryMake (Array.updateAt 1 o.Groups x) (Array.updateAt 1 1 w) o
        for i in 0 .. n - 1 do
            if o.Strides[i] > 1 then tryMake x w { o with Strides = Array.updateAt i 1 o.Strides }
            if o.LeftDilation[i] > 1 then tryMake x w { o with LeftDilation = Array.updateAt i 1 o.LeftDilation }
            if o.RightDilation[i] > 1 then tryMake x w { o with RightDilation = Array.updateAt i 1 o.RightDilation }
            if o.PadLow[i] <> 0 then tryMake x w { o with PadLow = Array.updateAt i 0 o.PadLow }
            if o.PadHigh[i] <> 0 then tryMake x w { o with PadHigh = Array.updateAt i 0 o.PadHigh }
            if w[i + 2] > 1 then tryMake x (Array.updateAt (i + 2) (w[i + 2] - 1) w) o
            for e in smallerNumber 1 x[i + 2] do
                tryMake (Array.updateAt (i + 2) e x) w o
    }
    |> Seq.choose id

/// What FsCheck draws cases with.
type Draw =
    static member Case() : Arbitrary<Case> =
        let generator = Gen.map2 (fun s n -> Case(s, n)) (shapes 0 (0 :: extents)) seeds
        Arb.fromGenShrink (generator, (fun c -> smaller 0 c.Shape |> Seq.map (fun s -> Case(s, c.Seed))))

    static member Axes() : Arbitrary<Axes> =
        let generator = Gen.map2 (fun s n -> Axes(s, n)) (shapes 1 extents) seeds
        Arb.fromGenShrink (generator, (fun c -> smaller 1 c.Shape |> Seq.map (fun s -> Axes(s, c.Seed))))

    static member Matrices() : Arbitrary<Matrices> =
        let size = Gen.elements [ 0; 1; 2; 3; 4; 5; 7; 8; 15; 16; 17; 31; 33 ]
        let generator = Gen.map5 (fun m k n p s -> Matrices(m, k, n, p, s)) size size size size seeds
        let smaller (x: Matrices) =
            seq {
                for i in 0..3 do
                    for e in smallerNumber 1 x.Sizes[i] do
                        let s = Array.updateAt i e x.Sizes
                        Matrices(s[0], s[1], s[2], s[3], x.Case.Seed)
            }
        Arb.fromGenShrink (generator, smaller)

    static member Convolving() : Arbitrary<Convolving> = Arb.fromGenShrink (convolving, simplerConvolution)

    static member Functions() : Arbitrary<Functions> =
        let steps = Gen.choose (0, 3) |> Gen.bind (fun n -> Gen.listOfLength n (Gen.choose (0, Function.Count - 1)))
        let shape = shapes 1 [ 1; 2; 3; 4; 5; 8; 17 ] |> Gen.map (Array.truncate 3)
        let generator = Gen.map4 (fun s n f g -> Functions(s, n, Function f, Function g)) shape seeds steps steps
        let smaller (c: Functions) =
            let f, g = c.Parts
            seq {
                for h in simpler f do
                    Functions(c.Shape, c.Seed, h, g)
                for h in simpler g do
                    Functions(c.Shape, c.Seed, f, h)
                for s in smaller 1 c.Shape do
                    Functions(s, c.Seed, f, g)
            }
        Arb.fromGenShrink (generator, smaller)

    static member Loops() : Arbitrary<Loops> =
        let generator =
            Gen.map3 (fun n w s -> Loops(n, w, s)) (Gen.choose (0, 6)) (Gen.elements [ 1; 2; 3; 8; 17 ]) seeds
        let smaller (l: Loops) =
            seq {
                for n in smallerNumber 0 l.Length do
                    Loops(n, l.Width, l.Case.Seed)
                for w in smallerNumber 1 l.Width do
                    Loops(l.Length, w, l.Case.Seed)
            }
        Arb.fromGenShrink (generator, smaller)

    static member Squares() : Arbitrary<Squares> =
        let generator = Gen.map3 (fun n k s -> Squares(n, k, s)) (Gen.choose (1, 7)) (Gen.choose (1, 3)) seeds
        let smaller (q: Squares) =
            seq {
                for n in smallerNumber 1 q.Size do
                    Squares(n, q.Columns, q.Case.Seed)
                for k in smallerNumber 1 q.Columns do
                    Squares(q.Size, k, q.Case.Seed)
            }
        Arb.fromGenShrink (generator, smaller)

/// A constant of integers of the case's shape.
let fill (c: Case) (v: float) = full DType.I64 c.Shape v

let inner (x: Tensor) (y: Tensor) = sum (x * y)

/// The gradient of the sum of all results of `f`.
let derivative (f: Tensor -> Tensor) (x: Tensor) = (Grad.gradient (sum (f x)) [| x |])[0]

/// The vector-Jacobian product of `f` at `x`, as a function.
let pullback (f: Tensor -> Tensor) (x: Tensor) (v: Tensor) = (Grad.vjp [| f x |] [| v |] [| x |])[0]
