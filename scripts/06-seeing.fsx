// Seeing: what becomes of an expression, as text, as a picture and as a page; where a NaN comes from; how gradients flow.
// Run with: dotnet fsi scripts/06-seeing.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open System.IO
open Nanograd

/// Every claim of this script is checked: a false one ends it with an error.
let check what holds = if not holds then failwith $"not true: {what}"

let normal seed shape = eval (Random.normal (Random.key seed) shape)

// ---- the ladder: mathematics, expression, rules, kernels, memory, speed

let x = normal 1L [| 256; 1000 |]
explain (softmax 1) x

let softmaxReport = Explain.call (softmax 1) x
check "a softmax is one kernel" (softmaxReport.Program.Kernels.Length = 1)
check "it needs no memory of its own" (softmaxReport.Program.ArenaBytes = 0L)

// The same for a training step: a record of parameters goes in, a record of parameters comes out.
type Mlp = { Hidden: Tensor; Bias: Tensor; Out: Tensor }

let mlp =
    { Hidden = normal 2L [| 10; 32 |] * 0.3 |> eval
      Bias = eval (zeros [| 32 |])
      Out = normal 3L [| 32; 1 |] * 0.2 |> eval }

let inputs = normal 4L [| 64; 10 |]
let loss p = mean (square (matmul (relu (matmul inputs p.Hidden + p.Bias)) p.Out - 1.0))
let step p = Tree.map2 (fun w g -> w - g * 0.1) p (grad loss p)
let stepReport = Explain.call step mlp
printfn "\nA step of gradient descent is %d kernels:\n%O" stepReport.Program.Kernels.Length stepReport.Program

// ---- pictures and pages: SVG and HTML without scripts or links, Mermaid for Markdown

let folder = Directory.CreateTempSubdirectory "nanograd-seeing"
let file name = Path.Combine(folder.FullName, name)
Show.save (file "softmax.svg") (Show.svg (softmax 1 (Op.input "x" DType.F32 [| 256; 1000 |])))
Show.save (file "step.svg") (Show.programSvg stepReport)
Show.save (file "step.html") (Html.page "A training step" stepReport)
Show.save (file "value.html") (Html.page "A value" (softmax 1 x))
printfn "\nAs Mermaid:\n%s" (Show.mermaid (softmax 1 (Op.input "x" DType.F32 [| 4; 8 |])))
for f in folder.GetFiles() do
    printfn "%s: %d characters" f.Name f.Length
check "the pictures are there" (folder.GetFiles().Length = 4)
folder.Delete true

// ---- where does the NaN come from?

/// The entropy of probabilities: 0 log 0 should be 0, and is NaN.
let entropy (p: Tensor) =
    let logs = log p
    -(sum (p * logs))

let certain = tensor [ 1.0; 0.0 ]
let report = Debug.nans (fun () -> entropy certain * 1.0)
printfn "\n%O" report
check "it is the logarithm of 0" (report.First.Value.Example.EndsWith "= -inf")
check "its line is known" (report.First.Value.Site.IsSome)

// A loss may be finite where its gradient is not: the derivative of a root at 0.
let distance x = sum (sqrt (x * x))
check "the loss is finite" ((Debug.nans (fun () -> distance certain * 1.0)).IsFinite)
let backward = (Debug.nans (fun () -> grad distance certain * 1.0)).First.Value
printfn "\n%O" backward
check "it is the derivative of the root" ((fst backward.DerivativeOf.Value).Contains "√")

// Debug.check raises where Debug.nans reports.
let isRaised =
    try
        Debug.check (fun () -> eval (entropy certain)) |> ignore
        false
    with :? NonFiniteException ->
        true

check "check raises" isRaised

// ---- does the gradient reach every parameter?

let flow = Debug.gradientFlow loss mlp
printfn "\n%O" flow
check "all of them" flow.IsHealthy
let dead = Debug.gradientFlow loss { mlp with Bias = eval (mlp.Bias - 100.0) }
printfn "\nWith biases at -100 no unit of the hidden layer fires:\n%O" dead
check "nothing flows to Hidden" (dead.Rows[0].Flags = [ FlowFlag.Dead ])
