namespace Nanograd.Simd

open System
open System.Diagnostics
open Microsoft.FSharp.NativeInterop

/// The matrix product C[b,m,n] = sum over k of A[b,m,k] * B[b,k,n] on strided views.
///
/// For floats each element is one chain of fused multiply-adds in increasing k from zero; beyond 8192 k, one such chain
/// for each 8192 k, added in order. The bits depend neither on M and N, nor on views, vectors or threads.
/// Integers wrap around.
[<RequireQualifiedAccess>]
module Gemm =

    let private span (view: View) batch i j = view.Batch[batch] + view.Rows[i] + view.Columns[j]

    /// The meaning, element by element: `chain` gives the sum over k0 .. k1-1 of one element, `add` joins chains.
    let inline private elements (p: Problem) chunk (c: nativeint) (zero: 'T) (add: 'T -> 'T -> 'T) chain =
        for batch in 0 .. p.Batches - 1 do
            for i in 0 .. p.M - 1 do
                for j in 0 .. p.N - 1 do
                    let mutable total: 'T = if p.K = 0 then zero else chain batch i j 0 (min p.K chunk)

                    for k0 in chunk..chunk .. p.K - 1 do
                        total <- add total (chain batch i j k0 (min p.K (k0 + chunk)))

                    NativePtr.set (NativePtr.ofNativeInt<'T> c) (span p.C batch i j) total

    /// The sum of one chain of one element; `step` is multiply-add.
    let inline private chain
        (p: Problem)
        (a: nativeint)
        (b: nativeint)
        (zero: 'T)
        ([<InlineIfLambda>] step: 'T -> 'T -> 'T -> 'T)
        =
        let a, b = NativePtr.ofNativeInt<'T> a, NativePtr.ofNativeInt<'T> b

        fun batch i j k0 k1 ->
            let mutable sum = zero

            for k in k0 .. k1 - 1 do
                sum <- step (NativePtr.get a (span p.A batch i k)) (NativePtr.get b (span p.B batch k j)) sum

            sum

    let inline private wrapping (p: Problem) a b c (zero: 'T) =
        elements p Int32.MaxValue c zero (+) (chain p a b zero (fun x y sum -> x * y + sum))

    /// The product by plain loops, for tests: slow and obviously right. Same arguments as `run`, same bits.
    let reference (p: Problem) (a: nativeint) (b: nativeint) (c: nativeint) : unit =
        GemmPlan.check p

        match p.Element with
        | Element.F32 ->
            let step x y sum = MathF.FusedMultiplyAdd(x, y, sum)
            elements p GemmPlan.Chain c 0.0f (+) (chain p a b 0.0f step)
        | Element.F64 ->
            let step x y sum = Math.FusedMultiplyAdd(x, y, sum)
            elements p GemmPlan.Chain c 0.0 (+) (chain p a b 0.0 step)
        | Element.I32 -> wrapping p a b c 0
        | Element.I64 -> wrapping p a b c 0L
        | Element.U32 -> wrapping p a b c 0u
        | Element.U8 -> wrapping p a b c 0uy
        | Element.I8 -> wrapping p a b c 0y

    let private isFloat (p: Problem) = p.Element = Element.F32 || p.Element = Element.F64
    let private isEmpty (p: Problem) = p.M = 0 || p.N = 0 || p.Batches = 0

    /// Decides how to compute a product, under the current vector width and thread count. Plans are immutable: one plan
    /// may run on many threads at once. Kernels that were not needed before are emitted here, never while running.
    let plan (p: Problem) : Plan =
        GemmPlan.check p

        if isFloat p && not (isEmpty p) && p.K > 0 then GemmPlan.ofFloats p else GemmPlan.plain p

    /// As `run`, and reports finished rectangles of C.
    let runWith (tile: Tile) (plan: Plan) (a: nativeint) (b: nativeint) (c: nativeint) : unit =
        let p = plan.Problem

        if not (isEmpty p) then
            if plan.Kernels.Length > 0 then
                Product.Run(plan, a, b, c, tile)
            else
                reference p a b c

                match tile with
                | null -> ()
                | tile ->
                    for batch in 0 .. p.Batches - 1 do
                        tile.Finish(batch, 0, p.M, 0, p.N)

    /// Computes the product: the addresses are those of offset 0 of each operand. Writes the elements of C and nothing
    /// else; returns when all are written. Allocates nothing once warm.
    let run (plan: Plan) (a: nativeint) (b: nativeint) (c: nativeint) : unit = runWith null plan a b c

    /// The most that one core can do now, in GFLOP/s: fused multiply-adds on registers alone, best of some short runs.
    let peak (element: Element) : float =
        let isDouble = element = Element.F64
        let bits = Isa.width ()
        let kernel = MicroKernel.peak isDouble bits
        let arguments = NativePtr.stackalloc<nativeint> Slot.Count
        let sink = NativePtr.stackalloc<float> 8
        let count = 20_000
        NativePtr.set arguments Slot.K (nativeint count)
        NativePtr.set arguments Slot.C (NativePtr.toNativeInt sink)
        let lanes = bits / 8 / (if isDouble then 8 else 4)
        let work = 2.0 * float (lanes * MicroKernel.accumulators bits) * float count
        let mutable best = 0.0

        for _ in 1..20 do
            let start = Stopwatch.GetTimestamp()
            kernel.Invoke(NativePtr.toNativeInt arguments)
            best <- max best (work / Stopwatch.GetElapsedTime(start).TotalSeconds)

        best / 1e9
