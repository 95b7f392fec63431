// Gradients: derivatives are expressions. They print, simplify, differentiate again and compile like any other.
// Run with: dotnet fsi scripts/02-gradients.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open Nanograd

/// Every claim of this script is checked: a false one ends it with an error.
let check what holds = if not holds then failwith $"not true: {what}"

/// An expression as it prints, and as LaTeX.
let show title (t: Tensor) =
    printfn "%s\n    %s\n    %s\n" title ((string t).Replace("\n", "\n    ")) (Latex.render (Rewrite.pretty t))
    string t

// ---- symbolic derivatives

let x = symbol "x"
check "(x³)' = 3x²" (show "d/dx x ** 3" (grad (fun x -> x ** 3) x) = "3·x²")
check "(x³)'' = 6x" (show "d²/dx² x ** 3" (grad (grad (fun x -> x ** 3)) x) = "6·x")
show "d/dx sin x * exp (-x ** 2)" (grad (fun x -> sin x * exp (-(x ** 2))) x) |> ignore
check "σ' = σ (1 - σ)" (show "the derivative of a sigmoid" (grad sigmoid x) = "σ(x)·(1 - σ(x))")

// The same as F# source, to be pasted into a program.
printfn "%s" (Source.render "slope" (Rewrite.pretty (grad (fun x -> x * sin x) x)))

// `grad` takes the derivative by every tensor of its argument, which may be any tree of tensors: here a pair.
let w, b = variable "w" [| 3 |], symbol "b"
let dw, db = grad (fun (w, b) -> sum (w * variable "x" [| 3 |]) + b |> square) (w, b)
show "by w: (w · x + b)²" dw |> ignore
show "by b" db |> ignore

// ---- the textbook result: the gradient of the cross-entropy of a softmax

// Against probabilities y that sum to 1, the cross-entropy is logSumExp x - sum (y * x).
let logits, y = variable "x" [| 10 |], variable "y" [| 10 |]
let crossEntropy x = sum (logSumExpKeep 0 x) - sum (y * x)
check
    "the gradient is softmax(x) - y"
    (show "cross-entropy against y, by the logits" (grad crossEntropy logits) = "softmax(x) - y")

// The loss of the library takes the number of a class, and the mean over a batch: here 32 rows.
let classes, batch = Op.input "y" DType.I32 [| 32 |], variable "x" [| 32; 10 |]
show "cross-entropy against classes, by the logits" (grad (fun x -> Loss.crossEntropy x classes) batch) |> ignore

// ---- values: Newton's method from exact second derivatives

/// A root of f', by x - f'(x) / f''(x): both derivatives come from `grad`, and each step is one compiled program.
let newton (f: Tensor -> Tensor) start =
    let step = jit (fun x -> x - grad f x / grad (grad f) x)
    (eval (scalar start), seq { 1..8 }) ||> Seq.fold (fun x _ -> step x) |> item

let minimum = newton (fun x -> exp x - 2 * x) 0.0
printfn "exp x - 2x is least at %.6f (log 2 = %.6f)" minimum (log 2.0)
check "Newton's method finds log 2" (abs (minimum - log 2.0) < 1e-6)

// ---- trust, but verify: a gradient against differences, in f64

let f (x: Tensor) = sum (gelu x * tanh (cumSum 0 x)) + mean (logSumExpKeep 0 x)
let at = eval (Random.normal (Random.key 7L) [| 5 |] |> cast DType.F64)
let exact = toArray<float>(grad f at)

let difference i =
    let h = 1e-6
    let moved by = at + cast DType.F64 (oneHot DType.F64 5 (ofArray DType.I32 [||] [| i |])) * by |> f |> item
    (moved h - moved -h) / (2.0 * h)

let error = Seq.init 5 (fun i -> abs (exact[i] - difference i)) |> Seq.max
printfn "largest distance of the gradient from central differences: %s" (error.ToString "0.0e-0")
check "the gradient is the limit of differences" (error < 1e-8)
