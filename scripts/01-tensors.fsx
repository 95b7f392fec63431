// Tensors: values, broadcasting, lazy expressions, errors, random numbers, jit.
// Run with: dotnet fsi scripts/01-tensors.fsx   (after dotnet build -c Release)

#load "nanograd.fsx"

open Nanograd

let show title (t: Tensor) = printfn "%s\n%O\n" title t

/// Every claim of this script is checked: a false one ends it with an error.
let check what holds = if not holds then failwith $"not true: {what}"

// A tensor is an immutable expression. Numbers are f32 unless another type is asked for.
let a = matrix [ [ 1.; 2.; 3. ]; [ 4.; 5.; 6. ] ]
show "a" a

// Operators work elementwise. Shapes broadcast as in NumPy: aligned at the last axis, 1 stretches.
let row = tensor [ 10.; 20.; 30. ]
show "a + row" (a + row)
show "a * 2 - 1" (a * 2 - 1)
show "sum over axis 0" (sumOver [ 0 ] a)
show "softmax along the last axis" (softmax -1 a)
show "a @ aᵀ" (matmul a (transpose a))
check
    "the rows of a softmax sum to 1"
    (toArray<float32>(sumOver [ -1 ] (softmax -1 a)) |> Array.forall (fun s -> abs (s - 1f) < 1e-6f))

// Nothing is computed until somebody looks. An expression of values shows its value; one with a variable shows its algebra.
let x = Op.input "x" DType.F32 [| 3 |]
show "f(x)" (sum (square x) / 2 + 1)
show "shared parts have names" (let e = exp x in e / (1 + e))

// Two tensors are equal when they are the same expression, whatever their values.
check "equal expressions are equal" (x * 2 + 1 = x * 2 + 1)
check "x * 2 and 2 * x are two expressions" (x * 2 <> 2 * x)

// A mistake in a shape or type is an error on the line that makes it, before anything runs.
try
    matmul a a |> ignore
    failwith "a matrix product of [2,3] and [2,3] was accepted"
with :? ShapeException as e ->
    printfn "error: %s\n" e.Message

// Random numbers come from explicit keys: the same key and shape give the same numbers, on every machine.
let key = Random.key 42L
let first, second = Random.fold key 0, Random.fold key 1
show "uniform" (Random.uniform first [| 4 |])
show "the same key again" (Random.uniform first [| 4 |])
show "another key" (Random.uniform second [| 4 |])
check "a key decides" (toArray<float32>(Random.normal first [| 99 |]) = toArray<float32>(Random.normal first [| 99 |]))

// jit traces a function once per shape and compiles it: one program, a handful of kernels. Its argument may be any tree of
// tensors: a tuple, a record, a list, ...
let standardise = jit (fun (x: Tensor) -> (x - meanKeep [ -1 ] x) / sqrt (varianceKeep [ -1 ] x + 1e-5))
let big = eval (Random.normal key [| 1000; 1000 |])
let compiled = standardise big
printfn "%s" ((Program.last ()).Describe())

// Another batch is the same program. Another shape is another plan of the same kernels: extents are arguments of a kernel.
let kernels () = (Program.cacheStats ()).Kernels
let doubled, smaller = eval (big * 2), eval (Random.normal key [| 500; 200 |])
let known = kernels ()
standardise doubled |> ignore
standardise smaller |> ignore
check "other values and other shapes compile no new kernel" (kernels () = known)
check "the mean of a row is 0 now" (abs (item (mean (slice 0 0 1 compiled))) < 1e-6)
printfn "done: %d kernels were compiled for all of this" known
