/// Derivatives as a textbook has them: the golden texts. What stands here was taken from textbooks, not from the output.
module Nanograd.Core.Tests.Textbook

open Nanograd
open Nanograd.Core.Tests.Pool

/// A function, its derivative, and how the latter must read.
[<NoComparison>]
type Row =
    { Name: string
      Function: Tensor
      Gradient: Tensor
      Text: string
      Latex: string }

let private x, y, a, n = symbol "x", symbol "y", symbol "a", symbol "n"
let private s, lambda, mu = symbol "s", symbol "λ", symbol "μ"
let private v, u, z = variable "x" [| 3 |], variable "a" [| 3 |], variable "z" [| 3 |]
let private p, q, t = variable "p" [| 3 |], variable "q" [| 3 |], variable "y" [| 3 |]
let private A, b, Q = variable "A" [| 4; 3 |], variable "b" [| 4 |], variable "Q" [| 3; 3 |]
let private X, w, c = variable "X" [| 4; 3 |], variable "w" [| 3 |], variable "y" [| 4 |]
let private Y, W, V = variable "Y" [| 4; 2 |], variable "W" [| 3; 2 |], variable "X" [| 3; 4 |]

let private norm (x: Tensor) = sqrt (sum (x * x))
let private one, zero = scalar 1.0, scalar 0.0

/// The derivative of `f`, `order` times.
let rec private derivative order (f: Tensor -> Tensor) = if order = 0 then f else derivative (order - 1) (grad f)

let private higher order name at f text latex =
    { Name = name
      Function = f at
      Gradient = derivative order f at
      Text = text
      Latex = latex }

let private row name at f text latex = higher 1 name at f text latex

let rows =
    [ row "cube" x (fun x -> x ** 3) "3·x²" @"3 \, x^{2}"
      row "polynomial" x (fun x -> 5 * x ** 4 - 3 * x ** 2 + 2 * x - 7) "20·x³ - 6·x + 2" @"20 \, x^{3} - 6 \, x + 2"
      row "power of a sum" x (fun x -> (2 * x + 1) ** 5) "10·(2·x + 1)⁴" @"10 \, \left(2 \, x + 1\right)^{4}"
      row
          "quotient"
          x
          (fun x -> x / (1 + x ** 2))
          "(1 - x²) / (x² + 1)²"
          @"\frac{1 - x^{2}}{\left(x^{2} + 1\right)^{2}}"
      row "reciprocal" x (fun x -> 1 / x) "-1 / x²" @"-\frac{1}{x^{2}}"
      row "square root" x sqrt "1 / (2·√x)" @"\frac{1}{2 \, \sqrt{x}}"
      row "power" x (fun x -> pow x n) "n·x^(n - 1)" @"n \, x^{n - 1}"
      row "tower" x (fun x -> pow x x) "x^x·(log x + 1)" @"x^{x} \, \left(\log x + 1\right)"
      row "exponential" x (fun x -> pow a x) "a^x·log a" @"a^{x} \, \log a"
      row "exp of a multiple" x (fun x -> exp (2 * x)) "2·exp(2·x)" @"2 \, e^{2 \, x}"
      row "logarithm" x log "1 / x" @"\frac{1}{x}"
      row "x log x" x (fun x -> x * log x) "log x + 1" @"\log x + 1"
      row "chain of log" x (fun x -> log (x ** 2 + 1)) "2·x / (x² + 1)" @"\frac{2 \, x}{x^{2} + 1}"
      row "sine" x sin "cos x" @"\cos x"
      row "cosine" x cos "-sin x" @"-\sin x"
      row "tangent" x tan "tan² x + 1" @"\tan^{2} x + 1"
      row "product" x (fun x -> x * sin x) "x·cos x + sin x" @"x \, \cos x + \sin x"
      row "product of powers" x (fun x -> x ** 2 * sin x) "x²·cos x + 2·x·sin x" @"x^{2} \, \cos x + 2 \, x \, \sin x"
      row "chain" x (fun x -> sin (x ** 2)) "2·x·cos(x²)" @"2 \, x \, \cos\left(x^{2}\right)"
      row "square of sine" x (fun x -> sin x ** 2) "2·sin x·cos x" @"2 \, \sin x \, \cos x"
      row "bell" x (fun x -> exp (-(x ** 2))) "-2·x·exp(-x²)" @"-2 \, x \, e^{-x^{2}}"
      row
          "polynomial times exp"
          x
          (fun x -> (x ** 2 + 1) * exp x)
          "(x² + 2·x + 1)·exp x"
          @"\left(x^{2} + 2 \, x + 1\right) \, e^{x}"
      row "x exp x" x (fun x -> x * exp x) "(x + 1)·exp x" @"\left(x + 1\right) \, e^{x}"
      row "arc tangent" x atan "1 / (x² + 1)" @"\frac{1}{x^{2} + 1}"
      row "tanh" x tanh "1 - tanh² x" @"1 - \tanh^{2} x"
      row "sigmoid" x sigmoid "σ(x)·(1 - σ(x))" @"\sigma\left(x\right) \, \left(1 - \sigma\left(x\right)\right)"
      row
          "logistic function"
          x
          (fun x -> 1 / (1 + exp -x))
          "σ(x)·(1 - σ(x))"
          @"\sigma\left(x\right) \, \left(1 - \sigma\left(x\right)\right)"
      row "softplus by its formula" x (fun x -> log (1 + exp x)) "σ(x)" @"\sigma\left(x\right)"
      row "softplus" x softplus "σ(x)" @"\sigma\left(x\right)"
      row "log of sigmoid" x (fun x -> log (sigmoid x)) "1 - σ(x)" @"1 - \sigma\left(x\right)"
      row
          "silu"
          x
          silu
          "σ(x)·(x·(1 - σ(x)) + 1)"
          @"\sigma\left(x\right) \, \left(x \, \left(1 - \sigma\left(x\right)\right) + 1\right)"
      row "error function" x erf "2·exp(-x²) / √π" @"\frac{2 \, e^{-x^{2}}}{\sqrt{\pi}}"
      row
          "gelu"
          x
          gelu
          "x·exp(-x² / 2) / √(2·π) + erf(x / √2) / 2 + 1 / 2"
          @"\frac{x \, e^{-\frac{x^{2}}{2}}}{\sqrt{2 \pi}} + \frac{\operatorname{erf}\left(\frac{x}{\sqrt{2}}\right)}{2} + \frac{1}{2}"
      row "relu" x relu "where(x > 0, 1, 0)" @"\begin{cases} 1 & x > 0 \\ 0 & \text{otherwise} \end{cases}"
      row "absolute value" x abs "sign x" @"\operatorname{sgn} x"
      row
          "larger of two"
          x
          (fun x -> maximum x y)
          "where(x > y, 1, 0)"
          @"\begin{cases} 1 & x > y \\ 0 & \text{otherwise} \end{cases}"
      row
          "Huber loss"
          x
          (fun x -> where (le (abs x) one) (x ** 2 / 2) (abs x - 0.5))
          "where(|x| ≤ 1, x, sign x)"
          @"\begin{cases} x & \left|x\right| \leq 1 \\ \operatorname{sgn} x & \text{otherwise} \end{cases}"
      row
          "hinge loss"
          x
          (fun x -> maximum zero (1 - y * x))
          "where(x·y < 1, -y, 0)"
          @"\begin{cases} -y & x \, y < 1 \\ 0 & \text{otherwise} \end{cases}"
      row "logistic loss" x (fun x -> log (1 + exp (-y * x))) "-y·σ(-x·y)" @"-y \, \sigma\left(-x \, y\right)"
      row
          "log of a normal density"
          x
          (fun x -> -((x - mu) ** 2) / (2 * s ** 2))
          "-(x - μ) / s²"
          @"-\frac{x - \mu}{s^{2}}"
      higher 2 "second derivative of sine" x sin "-sin x" @"-\sin x"
      higher
          2
          "second derivative of the bell"
          x
          (fun x -> exp (-(x ** 2)))
          "(4·x² - 2)·exp(-x²)"
          @"\left(4 \, x^{2} - 2\right) \, e^{-x^{2}}"
      higher
          3
          "third derivative of tanh"
          x
          tanh
          "(6·tanh² x - 2)·(1 - tanh² x)"
          @"\left(6 \, \tanh^{2} x - 2\right) \, \left(1 - \tanh^{2} x\right)"
      row "inner product" v (fun x -> matmul u x) "a" "a"
      row "squared length" v (fun x -> matmul x x) "2·x" @"2 \, x"
      row "length" v norm "x / √sum(x²)" @"\frac{x}{\sqrt{\sum x^{2}}}"
      row "quadratic form" v (fun x -> matmul x (matmul Q x)) "(Q + Qᵀ) @ x" @"\left(Q + Q^{\top}\right) \, x"
      row "bilinear form" Q (fun q -> matmul u (matmul q v)) "a ⊗ x" @"a \, x^{\top}"
      row
          "least squares"
          v
          (fun x -> sum ((matmul A x - b) ** 2))
          "2·Aᵀ @ (A @ x - b)"
          @"2 \, A^{\top} \, \left(A \, x - b\right)"
      row
          "ridge regression"
          v
          (fun x -> sum ((matmul A x - b) ** 2) + lambda * sum (x ** 2))
          "2·(Aᵀ @ (A @ x - b) + λ·x)"
          @"2 \, \left(A^{\top} \, \left(A \, x - b\right) + \lambda \, x\right)"
      row
          "logistic regression"
          w
          (fun w -> (let z = matmul X w in sum (log (1 + exp z) - c * z)))
          "Xᵀ @ (σ(X @ w) - y)"
          @"X^{\top} \, \left(\sigma\left(X \, w\right) - y\right)"
      row
          "mean squared error of a linear layer"
          W
          (fun W -> mean ((matmul X W - Y) ** 2))
          "Xᵀ @ (X @ W - Y) / 4"
          @"\frac{X^{\top} \, \left(X \, W - Y\right)}{4}"
      row "squared Frobenius norm" X (fun X -> sum (X ** 2)) "2·X" @"2 \, X"
      row "Frobenius norm" X norm "X / √sum(X²)" @"\frac{X}{\sqrt{\sum X^{2}}}"
      row "trace of a product" V (fun X -> sum (transpose A * X)) "Aᵀ" @"A^{\top}"
      row
          "log of a sum of exps"
          v
          (fun x -> sum (logSumExpKeep 0 x))
          "softmax(x)"
          @"\operatorname{softmax}\left(x\right)"
      row
          "cross-entropy of softmax"
          z
          (fun z -> sum (logSumExpKeep 0 z) - sum (t * z))
          "softmax(z) - y"
          @"\operatorname{softmax}\left(z\right) - y"
      row "entropy" p (fun p -> -(sum (p * log p))) "-log p - 1" @"-\log p - 1"
      row "Kullback-Leibler divergence" q (fun q -> sum (p * log (p / q))) "-p / q" @"-\frac{p}{q}"
      row "mean" v mean "1 / 3" @"\frac{1}{3}"
      row
          "variance"
          v
          (fun x -> mean ((x - mean x) ** 2))
          "2·(x - mean(x)) / 3"
          @"\frac{2 \, \left(x - \overline{x}\right)}{3}"
      row
          "cosine of the angle"
          v
          (fun x -> sum (x * t) / (norm x * norm t))
          "(y·sum(x²) - x·sum(x·y)) / (sum(x²)^1.5·√sum(y²))"
          @"\frac{y \, \left(\sum x^{2}\right) - x \, \left(\sum x \odot y\right)}{\left(\sum x^{2}\right)^{1.5} \, \sqrt{\sum y^{2}}}" ]

/// One expression or more of every primitive, for the printers.
let primitives: (string * Tensor) list =
    let m, i = variable "m" [| 2; 3 |], Op.input "i" DType.I64 [| 2 |]
    let k = Op.input "k" DType.I32 [| 2; 3 |]
    let image, kernel = variable "image" [| 1; 2; 5 |], variable "kernel" [| 2; 1; 3 |]
    let at (n: int64) = Op.constant (Constant.ofInt DType.I32 n)
    let window = { Axis = 0; Size = 2; Step = 1; Dilation = 2 }
    let vector = variable "v" [| 5 |]
    let body, _ =
        Lambda.trace [| DType.F32, [| 2 |]; DType.F32, [| 2 |] |] (fun p ->
            let c = tanh (p[0] + p[1]) in [| c; c * p[1] |])
    let scan =
        Op.scan
            { Body = body; Captured = 0; Carried = 1; Length = 3; Reverse = true }
            [| variable "start" [| 2 |]; variable "steps" [| 3; 2 |] |]
    let checkpoint = Op.checkpoint body [| variable "start" [| 2 |]; variable "step" [| 2 |] |]
    let custom =
        Op.custom
            { Name = "clipped"; Body = body; Gradient = None }
            [| variable "start" [| 2 |]; variable "step" [| 2 |] |]
    let own =
        let one = DType.F32, [| 2; 3 |]
        let gradient, _ = Lambda.trace [| one; one |] (fun p -> [| minimum p[1] (zerosLike p[1] + 1.0) |])
        let body, _ = Lambda.trace [| one |] (fun p -> [| p[0] * 2.0 |])
        Op.custom { Name = "doubled"; Body = body; Gradient = Some gradient } [| m |]
    [ yield "literal", m + matrix [ [ 1.0; -2.5; nan ]; [ infinity; 0.1; 1e-7 ] ]
      yield "long literal", sum (Random.uniform (Random.key 3L) [| 2 |]) + sum (tensor (Seq.init 100 float))
      yield "whole numbers", k + ofArray DType.I32 [| 3 |] [| 1; -2; 3 |]
      yield "half", cast DType.F32 (cast DType.F16 m) + cast DType.F32 (cast DType.BF16 m)
      yield "iota", m * Op.iota DType.F32 [| 2; 3 |] 1
      yield "bits", Op.bitCast DType.I32 m
      yield "random", Op.randomBits (Random.key 7L) [| 2; 3 |]
      for u in all<Unary> do
          match u with
          | Unary.Not -> yield "not", Op.unary u (gt m (scalar 1.0))
          | _ -> yield string u, Op.unary u m
      for b in all<Binary> do
          match b with
          | Binary.And
          | Binary.Or
          | Binary.Xor
          | Binary.Shl
          | Binary.Shr -> yield string b, Op.binary b k (k + 1)
          | _ -> yield string b, Op.binary b m (m + 0.5)
      yield "column", m * slice 1 0 1 m + slice 0 0 1 m
      yield "where", where (gt m (scalar 1.0)) m (scalar 0.0)
      yield "reshape", reshape [| 3; 2 |] m
      yield "permute", permute [| 2; 0; 1 |] (reshape [| 1; 2; 3 |] m)
      yield "broadcast", broadcastTo [| 4; 2; 3 |] m
      yield "slice", Op.slice [| 0; 1 |] [| 2; 3 |] [| 1; 2 |] m
      yield "pad", Op.pad [| 1; 0 |] [| 0; 2 |] [| 0; 1 |] (scalar 2.0) m
      yield "reverse", Op.reverse [ 0; 1 ] m
      yield "concat", concat 1 [ m; m * 2.0 ]
      yield "unfold", Op.unfold window vector
      yield "fold", Op.fold window 5 (Op.unfold window vector)
      for r in all<Reduction> do
          yield $"reduce {r}", Op.reduce r [ 1 ] m
      yield "keep", sumKeep [ 1 ] m + m
      yield "argMax", Op.argReduce true 1 m
      yield "cumSum", Op.cumSum 1 true m
      yield "matmul", matmul (transpose m) m
      yield "dot", Op.dot { LeftBatch = [| 0 |]; RightBatch = [| 0 |]; LeftSum = [||]; RightSum = [||] } m m
      yield
          "conv",
          Op.conv
              { Strides = [| 2 |]
                PadLow = [| 1 |]
                PadHigh = [| 0 |]
                LeftDilation = [| 1 |]
                RightDilation = [| 2 |]
                Groups = 2 }
              image
              kernel
      yield "gather", Op.gather 1 0 m i
      yield "scatterAdd", Op.scatterAdd 1 0 m i (Op.gather 1 0 m i * 2.0)
      yield "dynamicSlice", Op.dynamicSlice [| at 0L; at 1L |] [| 2; 2 |] m
      yield "dynamicUpdate", Op.dynamicUpdate [| at 0L; at 1L |] (slice 1 0 2 m) m
      yield "sorted", fst (Op.sort 1 true m)
      yield "order", snd (Op.sort 1 false m)
      yield "topK", fst (Op.topK 2 m)
      yield "scan", scan[1] * 2.0 + scan[0]
      yield "checkpoint", checkpoint[0] + checkpoint[1]
      yield "custom", custom[0] - custom[1]
      yield "own gradient", own[0]
      yield "stopGradient", Grad.stopGradient m * m ]
