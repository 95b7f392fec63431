/// Derivatives of random programs by differences, wherever there is a derivative.
module Nanograd.Core.Tests.Differences

open System
open System.Collections.Generic
open Nanograd
open Nanograd.Core.Tests.Programs

let private value (t: Tensor) = (interpreted t).[0].Float

/// The derivative of `f` at `at` in a random direction by differences; None where there is none (a kink lies within the step).
let private numeric
    (h: float)
    (tolerance: float)
    (f: Tensor[] -> Tensor)
    (shapes: int[][])
    (at: float[][])
    : float option =
    let directions = at |> Array.mapi (fun i v -> numbers (100 + i) v.Length)
    let moved s = Array.map3 (fun shape v d -> f64 shape (Array.map2 (fun v d -> v + s * d) v d)) shapes at directions
    let y s = value (f (moved s))
    let far, near, here, back, farBack = y (2.0 * h), y h, y 0.0, y -h, y (-2.0 * h)
    let slope = (8.0 * (near - back) - (far - farBack)) / (12.0 * h)
    // Slopes from the left and from the right differ by 2 h f'' and h f'': twice as much at twice the step, or there is a kink.
    let bend = (far - 2.0 * here + farBack) / (2.0 * h) - 2.0 * (near - 2.0 * here + back) / h
    if abs bend > 0.2 * tolerance * (1.0 + abs slope) then None else Some slope

/// The floats that a program is made of, and the program as a real function of them.
let asFunction (p: Sample) : (Tensor[] * (Tensor[] -> Tensor)) option =
    let roots = p.Roots |> Array.filter (fun r -> r.DType = DType.F64 && r.Count > 0)
    let leaves =
        Graph.topological roots
        |> Array.filter (fun t ->
            match t.Op with
            | Op.Literal _ -> t.DType = DType.F64
            | _ -> false)
    if leaves.Length = 0 then
        None
    else
        Some(
            leaves,
            fun xs ->
                let replacements = Dictionary<Hash, Tensor>()
                Array.iter2 (fun (l: Tensor) x -> replacements[l.Hash] <- x) leaves xs
                Substitute.apply replacements roots |> Array.map (sin >> mean >> cast DType.F64) |> Array.reduce (+)
        )

/// Whether there was a derivative to compare with.
let gradientIsDifference (p: Sample) : bool =
    match asFunction p with
    | None -> false
    | Some(leaves, f) ->
        let shapes = leaves |> Array.map (fun l -> l.Shape)
        let at = leaves |> Array.map (fun l -> interpreted l |> Array.map (fun c -> c.Float))
        match numeric 1e-6 1e-5 f shapes at with
        | None -> false
        | Some slope ->
            let gradients = Grad.gradient (f leaves) leaves
            let directions = at |> Array.mapi (fun i v -> numbers (100 + i) v.Length)
            let inner (g: Constant[]) (d: float[]) = Array.map2 (fun (c: Constant) d -> c.Float * d) g d |> Array.sum
            let symbolic = Array.map2 inner (gradients |> Array.map interpreted) directions |> Array.sum
            if not (abs (symbolic - slope) <= 1e-5 * (1.0 + abs slope)) then
                failwith $"the gradient says {symbolic}, the difference {slope}\n{Programs.describe gradients}"
            let compiled = Program.evaluate gradients |> Array.map (Program.storage >> elements)
            Array.iter2
                (fun g c ->
                    match differences (within 1e-9 (interpreted g)) (interpreted g) c with
                    | Some text -> failwith $"compiled gradient: {text}\n{Programs.describe [| g |]}"
                    | None -> ())
                gradients
                compiled
            true
