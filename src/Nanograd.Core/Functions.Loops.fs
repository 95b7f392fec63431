namespace Nanograd

open System
open System.Collections.Generic

/// How functions of trees become closed functions of tensors.
module internal Traces =
    let typed (t: Tensor) = t.DType, t.Shape

    /// What tensor of a tree is meant: its path, or the tree itself.
    let place (what: string) (path: string) = if path = "" then what else $"{what} {path}"

    /// Raises unless `next` has the structure, types and shapes of `start`.
    let keep (op: string) (what: string) (start: 'C) (next: 'C) =
        let a, b = Tree.flatten start, Tree.flatten next
        if snd a <> snd b then
            raise (
                ShapeException(
                    op,
                    $"{what} must keep its structure from step to step",
                    $"{snd b} after {snd a}",
                    "what is not a tensor (lengths of lists, numbers, cases) must stay as it is"
                )
            )
        Array.iter2
            (fun (path, x: Tensor) (y: Tensor) ->
                if typed x <> typed y then
                    let hint =
                        if x.Shape <> y.Shape then ""
                        elif y.DType = DType.arithmetic x.DType then $"cast it back to {x.DType}"
                        else $"start with {y.DType}, or cast"
                    let required = $"{place what path} must stay {Shape.describe x} from step to step"
                    raise (ShapeException(op, required, Shape.describe y, hint)))
            (Tree.named start)
            (fst b)

/// Loops with carried state and functions with rules of their own: what cannot be said by composing functions of tensors. All work
/// on trees (records, tuples, lists, ... of tensors) and can be differentiated, batched and compiled.
[<AutoOpen>]
module Loops =
    let private scanWith (op: string) (reverse: bool) (f: 'C -> 'X -> 'C * 'Y) (start: 'C) (xs: 'X) : 'C * 'Y =
        let carries, slices = Tree.leaves start, Tree.leaves xs
        let lengths = slices |> Array.map (fun x -> if x.Rank = 0 then -1 else x.Shape[0]) |> Array.distinct
        if lengths.Length <> 1 || lengths[0] < 0 then
            let required = "the scanned tensors must have one first extent, the number of steps"
            let hint = if slices.Length = 0 then "forLoop needs nothing to scan" else ""
            let got = String.Join(" x ", slices |> Array.map Shape.describe)
            raise (ShapeException(op, required, (if got = "" then "none" else got), hint))
        let variable name (d, s) = Op.input name d s
        let carryIn = carries |> Array.map (Traces.typed >> variable "carry")
        let sliceIn = slices |> Array.map (fun x -> variable "slice" (x.DType, x.Shape[1..]))
        let next, output = f (Tree.rebuild start carryIn) (Tree.rebuild xs sliceIn)
        Traces.keep op "the carry" start next
        let outputs = Tree.leaves output
        if carries.Length + outputs.Length = 0 then
            raise (ShapeException(op, "the function must return tensors", "none", ""))
        let body, captured = Lambda.close (Array.append carryIn sliceIn) (Array.append (Tree.leaves next) outputs)
        let loop =
            { Body = body
              Captured = captured.Length
              Carried = carries.Length
              Length = lengths[0]
              Reverse = reverse }
        let last, stacks = Op.scan loop (Array.concat [ captured; carries; slices ]) |> Array.splitAt carries.Length
        Tree.rebuild start last, Tree.rebuild output stacks

    /// <summary>A loop over the slices of `xs` along their first axis: each step takes the carry and a slice to the next carry and an
    /// output. The last carry, and the outputs of all steps, stacked along a new first axis. (JAX: lax.scan.)</summary>
    /// <remarks>The function is traced once, however many steps there are. Its gradient is a loop backwards, whose memory is linear in
    /// the number of steps: see `scanCheckpointed`. An Elman network, with xs `[steps; batch; inputs]` to ys `[steps; batch; hidden]`:
    /// `scan (fun h x -> let h = tanh (matmul x wx + matmul h wh + b) in h, h) (zeros [| batch; hidden |]) xs`.</remarks>
    /// <param name="f">From carry and slice to the next carry (of the same structure, types and shapes) and an output.</param>
    /// <param name="start">The carry before the first step; also the last one if there are no steps.</param>
    /// <param name="xs">A tree of tensors `[steps; ...]` with one number of steps.</param>
    /// <exception cref="T:Nanograd.ShapeException">A carry changes: its path is named. Or the numbers of steps differ.</exception>
    /// <example><code>scan (fun (s: Tensor) (x: Tensor) -> let s = s + x in s, s) (scalar 0.) (tensor [ 1.; 2.; 3. ]) // (tensor(6.), tensor([1., 3., 6.]))</code></example>
    let scan (f: 'C -> 'X -> 'C * 'Y) (start: 'C) (xs: 'X) : 'C * 'Y = scanWith "scan" false f start xs

    /// <summary>`scan` from the last slice to the first. Outputs stand where their slices do: row i belongs to slice i.</summary>
    /// <example><code>scanReverse (fun (s: Tensor) (x: Tensor) -> let s = s + x in s, s) (scalar 0.) (tensor [ 1.; 2.; 3. ]) // (tensor(6.), tensor([6., 5., 3.]))</code></example>
    let scanReverse (f: 'C -> 'X -> 'C * 'Y) (start: 'C) (xs: 'X) : 'C * 'Y = scanWith "scanReverse" true f start xs

    /// <summary>The last carry of a loop without outputs over the slices of `xs` along their first axis: f (... (f (f start xs[0])
    /// xs[1]) ...).</summary>
    /// <example><code>foldRows (fun (a: Tensor) (x: Tensor) -> 2. * a + x) (scalar 0.) (tensor [ 1.; 0.; 1. ]) // tensor(5.)</code></example>
    let foldRows (f: 'C -> 'X -> 'C) (start: 'C) (xs: 'X) : 'C =
        fst (scanWith "foldRows" false (fun c x -> f c x, ()) start xs)

    /// <summary>`f` of each slice along the first axis, one after the other; the results stacked. Where `vmap` computes all at once,
    /// this needs the memory of one. (JAX: lax.map.)</summary>
    /// <example><code>mapRows (fun (row: Tensor) -> row - sum row) (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([[-2., -1.], [-4., -3.]])</code></example>
    let mapRows (f: 'X -> 'Y) (xs: 'X) : 'Y = snd (scanWith "mapRows" false (fun () x -> (), f x) () xs)

    /// <summary>`n` steps, each from the number of the step (an i32 scalar: 0, 1, ...) and the carry to the next carry. (JAX:
    /// lax.fori_loop.)</summary>
    /// <exception cref="T:Nanograd.ShapeException">A carry changes its type or shape, or n is negative.</exception>
    /// <example><code>forLoop 5 (fun i (x: Tensor) -> x + Op.cast DType.F32 i) (scalar 0.) // tensor(10.)</code></example>
    let forLoop (n: int) (f: Tensor -> 'C -> 'C) (start: 'C) : 'C =
        if n < 0 then raise (ShapeException("forLoop", "the number of steps must not be negative", string n, ""))
        fst (scanWith "forLoop" false (fun c i -> f i c, ()) start (Op.iota DType.I32 [| n |] 0))

    /// <summary>`f`, whose inside is computed again in the backward pass instead of being kept: less memory for the gradient, for the
    /// price of one more forward computation. The values are the same. (PyTorch: torch.utils.checkpoint, JAX: jax.checkpoint.)</summary>
    /// <remarks>A deep network: `blocks |> List.fold (fun x block -> checkpoint block x) x`. What `f` closes over gets its gradient,
    /// too.</remarks>
    /// <example><code>grad (fun x -> sum (checkpoint (fun (x: Tensor) -> x * x) x)) (tensor [ 1.; 2. ]) // tensor([2., 4.])</code></example>
    let checkpoint (f: 'T -> 'U) (x: 'T) : 'U =
        let leaves = Tree.leaves x
        let variables = leaves |> Array.map (fun t -> Op.input "x" t.DType t.Shape)
        let result = f (Tree.rebuild x variables)
        let outputs = Tree.leaves result
        if outputs.Length = 0 then raise (ShapeException("checkpoint", "the function must return tensors", "none", ""))
        let body, captured = Lambda.close variables outputs
        Tree.rebuild result (Op.checkpoint body (Array.append captured leaves))

    let private rows (from: int) (until: int) (x: Tensor) =
        let first a v other = if a = 0 then v else other
        Op.slice
            (Array.init x.Rank (fun a -> first a from 0))
            (Array.init x.Rank (fun a -> first a until x.Shape[a]))
            (Array.create x.Rank 1)
            x

    /// <summary>`scan` in `segments` checkpointed pieces: the gradient keeps the carries between segments and, at a time, what one
    /// segment needs. With about sqrt(steps) segments the memory of a gradient grows with sqrt(steps), for the price of one more
    /// forward computation. (Chen et al. 2016, "Training deep nets with sublinear memory cost".)</summary>
    /// <exception cref="T:Nanograd.ShapeException">As for `scan`; or there is not at least one segment.</exception>
    /// <example><code>scanCheckpointed 2 (fun (s: Tensor) (x: Tensor) -> let s = s + x in s, s) (scalar 0.) (tensor [ 1.; 2.; 3. ]) // (tensor(6.), tensor([1., 3., 6.]))</code></example>
    let scanCheckpointed (segments: int) (f: 'C -> 'X -> 'C * 'Y) (start: 'C) (xs: 'X) : 'C * 'Y =
        let op = "scanCheckpointed"
        if segments < 1 then raise (ShapeException(op, "there must be at least one segment", string segments, ""))
        let leaves = Tree.leaves xs
        let steps = if leaves.Length > 0 && leaves[0].Rank > 0 then leaves[0].Shape[0] else 0
        let sane = leaves |> Array.forall (fun x -> x.Rank > 0 && x.Shape[0] = steps)
        let size = (steps + segments - 1) / segments
        if not sane || size <= 1 then
            scanWith op false (fun c x -> checkpoint (fun (c, x) -> f c x) (c, x)) start xs
        else
            let piece (c, x) = scanWith op false f c x
            let count = steps / size
            let cut (x: Tensor) = Op.reshape (Array.append [| count; size |] x.Shape[1..]) (rows 0 (count * size) x)
            let c, ys = scanWith op false (fun c x -> checkpoint piece (c, x)) start (Tree.map cut xs)
            let joined = ys |> Tree.map (fun y -> Op.reshape (Array.append [| count * size |] y.Shape[2..]) y)
            if count * size = steps then
                c, joined
            else
                let c, rest = checkpoint piece (c, Tree.map (rows (count * size) steps) xs)
                c, Tree.map2 (fun a b -> Op.concat 0 [| a; b |]) joined rest

    /// <summary>The same value, seen as a constant by every kind of differentiation. (JAX: stop_gradient; PyTorch: detach.)</summary>
    /// <example><code>grad (fun (x: Tensor) -> sum (x * stopGradient x)) (tensor [ 3. ]) // tensor([3.])</code></example>
    let stopGradient (x: Tensor) : Tensor = Grad.stopGradient x

    /// <summary>`f` with a gradient of its own. `gradient x c` gives, for the argument x and the cotangent c of the result, the
    /// cotangent of the argument: a tree like x. (JAX: custom_vjp.)</summary>
    /// <remarks>The gradient must be made of differentiable functions if it is to be differentiated again. What `f` and `gradient`
    /// close over counts as constant. `checkGradient` compares it with differences.</remarks>
    /// <param name="name">What printing calls the function.</param>
    /// <param name="f">The function.</param>
    /// <param name="gradient">From the argument and the cotangent of the result to the cotangent of the argument.</param>
    /// <param name="x">The argument: a tree of tensors.</param>
    /// <exception cref="T:Nanograd.ShapeException">The gradient has not the types and shapes of the argument.</exception>
    /// <example><code>grad (fun x -> sum (customGradient "roundThrough" (fun (x: Tensor) -> round x) (fun _ c -> c) x)) (tensor [ 1.4; 2.6 ]) // tensor([1., 1.])</code></example>
    let customGradient (name: string) (f: 'T -> 'U) (gradient: 'T -> 'U -> 'T) (x: 'T) : 'U =
        let leaves = Tree.leaves x
        let variables = leaves |> Array.map (fun t -> Op.input "x" t.DType t.Shape)
        let inside = Tree.rebuild x variables
        let result = f inside
        let outputs = Tree.leaves result
        let cotangents = outputs |> Array.map (fun t -> Op.input "c" t.DType t.Shape)
        let given = gradient inside (Tree.rebuild result cotangents)
        let gradients = Tree.leaves given
        if gradients.Length <> leaves.Length then
            let required = $"the gradient must have the {leaves.Length} tensors of the argument"
            raise (ShapeException(name, required, string gradients.Length, ""))
        Array.iter2
            (fun (path, t: Tensor) (g: Tensor) ->
                if DType.isFloat t.DType && Traces.typed t <> Traces.typed g then
                    let place = Traces.place "the argument" path
                    let required = $"the gradient of {place} must be {Shape.describe t}"
                    raise (ShapeException(name, required, Shape.describe g, "")))
            (Tree.named x)
            gradients
        // One closing for both, so that they take the same operands; what they close over has no gradient.
        let both, captured = Lambda.close (Array.append variables cotangents) (Array.append outputs gradients)
        let taken = captured.Length + leaves.Length
        let still = captured |> Array.map Calculus.zeros
        let body = Lambda.make both.Params[.. taken - 1] both.Results[.. outputs.Length - 1]
        let backward = Lambda.make both.Params (Array.append still both.Results[outputs.Length ..])
        let custom = { Name = name; Body = body; Gradient = Some backward }
        Tree.rebuild result (Op.custom custom (Array.append captured leaves))
