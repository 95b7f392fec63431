/// Matrix products, general contractions and convolutions, of integers.
[<FsCheck.NUnit.Properties(Arbitrary = [| typeof<Nanograd.Laws.Cases.Draw> |])>]
module Nanograd.Laws.ContractionLaws

open NUnit.Framework
open Nanograd
open Nanograd.Core.Tests
open Nanograd.Laws.Book
open Nanograd.Laws.Cases

let private unit n = oneHot DType.I64 n (arange DType.I64 n)
let private contraction lb rb ls rs = { LeftBatch = lb; RightBatch = rb; LeftSum = ls; RightSum = rs }

// ------------------------------------------------------------------------------------------------ products

[<Law("Contraction", "(A B) C = A (B C)", "matrix products associate: the cheaper order may be chosen")>]
let ``matrix products associate`` (m: Matrices) = equal (matmul (matmul m.A m.B) m.C) (matmul m.A (matmul m.B m.C))

[<Law("Contraction", "(A + A') B = A B + A' B", "matrix products distribute over sums")>]
let ``matrix products distribute over sums`` (m: Matrices) =
    equal (matmul (m.A + m.A2) m.B) (matmul m.A m.B + matmul m.A2 m.B)

[<Law("Contraction", "(s A) B = s (A B) = A (s B)", "a factor may be applied to the smallest of the three")>]
let ``factors pass through matrix products`` (m: Matrices) =
    equal (matmul (m.A * 3) m.B) (matmul m.A m.B * 3)
    equal (matmul m.A (m.B * 3)) (matmul m.A m.B * 3)

[<Law("Contraction", "(A B)ᵀ = Bᵀ Aᵀ", "transposes of products are products of transposes")>]
let ``the transpose of a product is the product of transposes`` (m: Matrices) =
    equal (transpose (matmul m.A m.B)) (matmul (transpose m.B) (transpose m.A))

[<Law("Contraction", "A I = A,  I B = B", "the unit matrix")>]
let ``the unit matrix`` (m: Matrices) =
    equal (matmul m.A (unit m.Sizes[1])) m.A
    equal (matmul (unit m.Sizes[1]) m.B) m.B

[<Law("Contraction", "A 0 = 0", "also over an empty axis")>]
let ``the zero matrix`` (m: Matrices) =
    equal (matmul m.A (zerosLike m.B)) (full DType.I64 [| m.Sizes[0]; m.Sizes[2] |] 0.0)

[<Law("Contraction", "A B = Σₖ A[:, k] ⊗ B[k, :]", "a product is a sum of stretched products")>]
let ``a product is a sum of stretched products`` (m: Matrices) =
    equal (matmul m.A m.B) (sumOver [ 1 ] (unsqueeze 2 m.A * unsqueeze 0 m.B))

[<Law("Contraction", "[A A'] [B; B'] = A B + A' B'", "products of blocks: the summed axis may be split")>]
let ``the summed axis may be split`` (m: Matrices) =
    equal (matmul (concat 1 [ m.A; m.A2 ]) (concat 0 [ m.B; m.B * 2 ])) (matmul m.A m.B + matmul m.A2 m.B * 2)

[<Law("Contraction", "[A; A'] B = [A B; A' B],  A [B B'] = [A B A B']", "rows and columns may be computed in parts")>]
let ``rows and columns may be split`` (m: Matrices) =
    equal (matmul (concat 0 [ m.A; m.A2 ]) m.B) (concat 0 [ matmul m.A m.B; matmul m.A2 m.B ])
    equal (matmul m.A (concat 1 [ m.B; -m.B ])) (concat 1 [ matmul m.A m.B; matmul m.A -m.B ])

[<Law("Contraction", "(A B)[i] = A[i] B", "a row of a product needs a row of the left operand only")>]
let ``a row of a product`` (m: Matrices) =
    let rows = m.Sizes[0]
    let i = m.Case.Number(9, rows + 1)
    equal (matmul m.A m.B |> slice 0 i rows) (matmul (slice 0 i rows m.A) m.B)

[<Law("Contraction", "(P A) B = P (A B),  P a permutation of rows", "products do not see the order of rows")>]
let ``products do not see the order of rows`` (m: Matrices) =
    let p = i64 [| m.Sizes[0] |] (m.Case.Permutation(8, m.Sizes[0]) |> Seq.map int64)
    equal (matmul (take 0 p m.A) m.B) (take 0 p (matmul m.A m.B))

[<Law("Contraction", "(A P) (Pᵀ B) = A B", "the summed axis may be reordered, in integers")>]
let ``the summed axis may be reordered`` (m: Matrices) =
    let p = i64 [| m.Sizes[1] |] (m.Case.Permutation(8, m.Sizes[1]) |> Seq.map int64)
    equal (matmul (take 1 p m.A) (take 0 p m.B)) (matmul m.A m.B)

[<Law("Contraction", "tr(A Aᵀ) = Σ A²", "the trace of A Aᵀ is the squared norm")>]
let ``the trace of a square`` (m: Matrices) =
    equal (sum (matmul m.A (transpose m.A) * unit m.Sizes[0])) (sum (square m.A))

[<Law("Contraction", "tr(A B) = tr(B A)", "the trace is cyclic")>]
let ``the trace is cyclic`` (m: Matrices) =
    let trace (x: Tensor) = sum (x * unit x.Shape[0])
    let b = transpose m.A2
    equal (trace (matmul m.A b)) (trace (matmul b m.A))

[<Law("Contraction", "(A B)ᵢ = Aᵢ B for a batch of A", "a batch of products is each product")>]
let ``a batch of products is each product`` (m: Matrices) =
    let batch = matmul (stack 0 [ m.A; m.A2 ]) m.B
    equal (batch |> slice 0 1 2 |> squeeze 0) (matmul m.A2 m.B)

[<Law("Contraction",
      "dot_c(x, y) = p(dot_c'(y, x))",
      "the operands of a contraction may be exchanged; the free axes change places")>]
let ``the operands of a contraction may be exchanged`` (m: Matrices) =
    let x, y = stack 0 [ m.A; m.A2 ], stack 2 [ m.B; m.B * 2 ] // [2; m; k], [k; n; 2]
    let forward = Op.dot (contraction [| 0 |] [| 2 |] [| 2 |] [| 0 |]) x y
    let backward = Op.dot (contraction [| 2 |] [| 0 |] [| 0 |] [| 2 |]) y x
    equal forward (permute [| 0; 2; 1 |] backward)

[<Law("Contraction", "dot over (a, b) = dot over ab flattened", "several summed axes are one, flattened")>]
let ``several summed axes are one`` (m: Matrices) =
    let x, y = stack 1 [ m.A; m.A2 ], stack 0 [ m.B; -m.B ] // [m; 2; k], [2; k; n]
    let k = 2 * m.Sizes[1]
    equal
        (Op.dot (contraction [||] [||] [| 1; 2 |] [| 0; 1 |]) x y)
        (matmul (reshape [| m.Sizes[0]; k |] x) (reshape [| k; m.Sizes[2] |] y))

[<Law("Contraction", "dot over (a, b) = dot over (b, a)", "the order of summed axes does not matter for integers")>]
let ``the order of summed axes`` (m: Matrices) =
    let x, y = stack 1 [ m.A; m.A2 ], stack 0 [ m.B; -m.B ]
    equal
        (Op.dot (contraction [||] [||] [| 1; 2 |] [| 0; 1 |]) x y)
        (Op.dot (contraction [||] [||] [| 2; 1 |] [| 1; 0 |]) x y)

[<Law("Contraction", "dot without summed axes = x ⊗ y", "a contraction of nothing is the outer product")>]
let ``a contraction of nothing is the outer product`` (m: Matrices) =
    let x, y = slice 0 0 (min 1 m.Sizes[0]) m.A, slice 1 0 (min 1 m.Sizes[2]) m.B
    let shape = Array.append x.Shape y.Shape
    let wide = reshape (Array.append x.Shape [| 1; 1 |]) x |> broadcastTo shape
    equal (Op.dot (contraction [||] [||] [||] [||]) x y) (wide * y)

[<Law("Contraction", "dot with only batches = x y", "a contraction of batches alone is the elementwise product")>]
let ``a contraction of batches alone is the elementwise product`` (m: Matrices) =
    equal (Op.dot (contraction [| 0; 1 |] [| 0; 1 |] [||] [||]) m.A m.A2) (m.A * m.A2)

[<Law("Contraction", "x · y = Σ x y", "an inner product is a sum of products")>]
let ``an inner product is a sum of products`` (m: Matrices) =
    equal (Op.dot (contraction [||] [||] [| 0; 1 |] [| 0; 1 |]) m.A m.A2) (sum (m.A * m.A2))

// ------------------------------------------------------------------------------------------------ convolution

let private plain n =
    { Strides = Array.create n 1
      PadLow = Array.create n 0
      PadHigh = Array.create n 0
      LeftDilation = Array.create n 1
      RightDilation = Array.create n 1
      Groups = 1 }

let private conv (c: Convolving) x w = Op.conv c.Options x w

[<Law("Convolution", "(x + x') * w = x * w + x' * w", "convolution is linear in its input")>]
let ``convolution is linear in its input`` (c: Convolving) =
    equal (conv c (c.X * 3 + c.X2) c.W) (conv c c.X c.W * 3 + conv c c.X2 c.W)

[<Law("Convolution", "x * (w + w') = x * w + x * w'", "convolution is linear in its kernel")>]
let ``convolution is linear in its kernel`` (c: Convolving) =
    equal (conv c c.X (c.W * 3 + c.W2)) (conv c c.X c.W * 3 + conv c c.X c.W2)

[<Law("Convolution", "x * 1 = x", "a kernel of one element, one for each channel, changes nothing")>]
let ``the identity kernel`` (c: Convolving) =
    let n, channels = c.XShape.Length - 2, c.XShape[1]
    let w = reshape (Array.append [| channels; channels |] (Array.create n 1)) (unit channels)
    equal (Op.conv (plain n) c.X w) c.X

[<Law("Convolution", "(x ++ x') * w = (x * w) ++ (x' * w)", "the examples of a batch do not see each other")>]
let ``convolution works on each example`` (c: Convolving) =
    equal (conv c (concat 0 [ c.X; c.X2 ]) c.W) (concat 0 [ conv c c.X c.W; conv c c.X2 c.W ])

[<Law("Convolution", "x * (w ++ w') = (x * w) ++ (x * w')", "output channels are independent")>]
let ``output channels are independent`` (c: Convolving) =
    let channels, n = c.WShape[1], c.XShape.Length
    let first t = slice 1 0 channels t // one group
    let o = { c.Options with Groups = 1 }
    equal
        (Op.conv o (first c.X) (concat 0 [ c.W; c.W2 ]))
        (concat 1 [ Op.conv o (first c.X) c.W; Op.conv o (first c.X) c.W2 ])
    Assert.That(n, Is.GreaterThan 2)

[<Law("Convolution", "x * w = Σ_groups xᵍ * wᵍ side by side", "groups are convolutions side by side")>]
let ``groups are convolutions side by side`` (c: Convolving) =
    let g = c.Options.Groups
    let part count k t axis = slice axis (k * count) ((k + 1) * count) t
    let one k = Op.conv { c.Options with Groups = 1 } (part c.WShape[1] k c.X 1) (part (c.WShape[0] / g) k c.W 0)
    equal (conv c c.X c.W) (concat 1 [ for k in 0 .. g - 1 -> one k ])

[<Law("Convolution", "pad(x) * w = x *_pad w", "padding inside a convolution is padding before it")>]
let ``padding may be done before`` (c: Convolving) =
    let o, n = c.Options, c.XShape.Length - 2
    let outside (amounts: int[]) = Array.append [| 0; 0 |] (amounts |> Array.map (max 0))
    let zero = Op.constant (Constant.ofInt DType.I64 0L)
    let padded = Op.pad (outside o.PadLow) (outside o.PadHigh) (Array.create (n + 2) 0) zero c.X
    // Padding stands outside a dilated input, so this says something where the input is not dilated.
    let plainInput = { o with LeftDilation = Array.create n 1 }
    let rest amounts = amounts |> Array.map (min 0)
    let fits =
        Array.forall
            (fun i -> c.XShape[i + 2] + o.PadLow[i] + o.PadHigh[i] >= (c.WShape[i + 2] - 1) * o.RightDilation[i] + 1)
            [| 0 .. n - 1 |]
    if fits then
        equal
            (Op.conv plainInput c.X c.W)
            (Op.conv { plainInput with PadLow = rest o.PadLow; PadHigh = rest o.PadHigh } padded c.W)

[<Law("Convolution", "dilate(x) * w = x *_dilated w", "a dilated input is one padded inside; a dilated kernel likewise")>]
let ``dilation is interior padding`` (c: Convolving) =
    let o, n = c.Options, c.XShape.Length - 2
    let none = Array.create (n + 2) 0
    let holes (d: int[]) = Array.append [| 0; 0 |] (d |> Array.map (fun d -> d - 1))
    let zero = Op.constant (Constant.ofInt DType.I64 0L)
    let one = Array.create n 1
    equal
        (conv c c.X c.W)
        (Op.conv
            { o with LeftDilation = one; RightDilation = one }
            (Op.pad none none (holes o.LeftDilation) zero c.X)
            (Op.pad none none (holes o.RightDilation) zero c.W))

[<Law("Convolution", "x *_stride w = (x * w)[::s]", "strides skip results")>]
let ``strides skip results`` (c: Convolving) =
    let o, n = c.Options, c.XShape.Length - 2
    let all = Op.conv { o with Strides = Array.create n 1 } c.X c.W
    let steps = Array.append [| 1; 1 |] o.Strides
    equal (conv c c.X c.W) (Op.slice (Array.create (n + 2) 0) all.Shape steps all)

[<Law("Convolution", "shift(x) * w = shift(x * w)", "shift equivariance: the same pattern is found wherever it stands")>]
let ``convolution is shift equivariant`` (c: Convolving) =
    let n = c.XShape.Length - 2
    let room = Array.append [| 0; 0 |] (Array.create n 3)
    let none = Array.create (n + 2) 0
    let zero = Op.constant (Constant.ofInt DType.I64 0L)
    let kernel = c.WShape[2..]
    let x, w = slice 1 0 c.WShape[1] c.X, c.W
    // Full convolutions: everything outside is zero.
    let full x = Op.conv { plain n with PadLow = kernel; PadHigh = kernel } x w
    equal (full (Op.pad room none none zero x)) (Op.pad room none none zero (full x))

[<Law("Convolution", "rev(x) * rev(w) = rev(x * w)", "turning input and kernel round turns the result round")>]
let ``the convolution of reversals`` (c: Convolving) =
    let n = c.XShape.Length - 2
    let turned = Op.reverse [ 2 .. n + 1 ]
    let o = { plain n with PadLow = c.WShape[2..]; PadHigh = c.WShape[2..] }
    let x = slice 1 0 c.WShape[1] c.X
    equal (Op.conv o (turned x) (turned c.W)) (turned (Op.conv o x c.W))

[<Law("Convolution", "xᵀ * wᵀ = (x * w)ᵀ", "spatial axes may be exchanged, with all attributes")>]
let ``spatial axes may be exchanged`` (c: Convolving) =
    let n = c.XShape.Length - 2
    let p = c.Case.Permutation(9, n)
    let move = permute (Array.append [| 0; 1 |] (p |> Array.map ((+) 2)))
    let pick (a: int[]) = p |> Array.map (fun i -> a[i])
    let o = c.Options
    let moved =
        { Strides = pick o.Strides
          PadLow = pick o.PadLow
          PadHigh = pick o.PadHigh
          LeftDilation = pick o.LeftDilation
          RightDilation = pick o.RightDilation
          Groups = o.Groups }
    equal (Op.conv moved (move c.X) (move c.W)) (move (conv c c.X c.W))

[<Law("Convolution",
      "(x * v) * w = x * (v ⋆ w)",
      "two convolutions in a row are one, by the convolution of their kernels")>]
let ``convolutions compose`` (c: Axes) =
    let x, v, w = c.IntOf(1, [| 2; 1; c.Extent + 6 |]), c.IntOf(2, [| 1; 1; 3 |]), c.IntOf(3, [| 1; 1; 2 |])
    let o = plain 1
    // Cross-correlations: kernels are convolved in the sense of mathematics.
    let joined = Op.conv { o with PadLow = [| 1 |]; PadHigh = [| 1 |] } v (Op.reverse [ 2 ] w)
    equal (Op.conv o (Op.conv o x v) w) (Op.conv o x joined)

[<Law("Convolution", "x * w = W x for 1 x 1 kernels", "a kernel of one element mixes channels")>]
let ``a kernel of one element mixes channels`` (c: Axes) =
    let x, w = c.IntOf(1, [| 2; 3; c.Extent |]), c.IntOf(2, [| 4; 3; 1 |])
    equal (Op.conv (plain 1) x w) (matmul (squeeze 2 w) x)

[<Law("Convolution", "x * w = unfold(x) · w", "a convolution is a contraction with windows")>]
let ``a convolution is a product with windows`` (c: Axes) =
    let size = 1 + c.Number(3, 3)
    let x, w = c.IntOf(1, [| 2; 3; c.Extent + 2 |]), c.IntOf(2, [| 4; 3; size |])
    let windows = Op.unfold { Axis = 2; Size = size; Step = 2; Dilation = 1 } x // [2; 3; places; size]
    let product = Op.dot (contraction [||] [||] [| 1; 3 |] [| 1; 2 |]) windows w
    equal (Op.conv { plain 1 with Strides = [| 2 |] } x w) (permute [| 0; 2; 1 |] product)

[<Test>]
let ``a product over an empty axis is zero`` () =
    equal (matmul (i64 [| 2; 0 |] []) (i64 [| 0; 3 |] [])) (full DType.I64 [| 2; 3 |] 0.0)
