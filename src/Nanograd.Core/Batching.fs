namespace Nanograd

open FSharp.Reflection

/// Where the tensors of an argument have their batch axis.
[<RequireQualifiedAccess>]
module internal BatchAxes =
    let private fail required got hint : 'a = raise (ShapeException("vmap", required, got, hint))

    /// How a tensor of an argument is called in messages.
    let private name (path: string) =
        if path = "" then "the argument"
        elif System.Char.IsDigit path[0] then "tensor " + path
        else path

    let private describe (named: (string * Tensor)[]) =
        System.String.Join(", ", named |> Array.map (fun (path, t) -> $"{name path}: {Shape.describe t}"))

    /// The names of the components of a tuple or a record; none of other types.
    let private components (t: System.Type) : string[] =
        if FSharpType.IsTuple t then FSharpType.GetTupleElements t |> Array.mapi (fun i _ -> string i)
        elif FSharpType.IsRecord(t, true) then FSharpType.GetRecordFields(t, true) |> Array.map (fun f -> f.Name)
        else [||]

    /// One entry for each tensor, from entries for all of them, for each component, or for each tensor.
    let spread (axes: int option list) (argument: 'T) : int option[] =
        let paths = Tree.named argument |> Array.map fst
        let parts = components typeof<'T>
        let componentOf (path: string) = System.Array.IndexOf(parts, path.Split('.').[0])
        match Array.ofList axes with
        | [| one |] -> Array.create paths.Length one
        | all when parts.Length > 0 && all.Length = parts.Length -> paths |> Array.map (fun p -> all[componentOf p])
        | all when all.Length = paths.Length -> all
        | all ->
            let each = if parts.Length = 0 then "" else $", {parts.Length} (one for each component)"
            fail $"there must be 1 axis (for all tensors){each} or {paths.Length} (one for each)" $"{all.Length}" ""

    /// The extent that the batch axes of all tensors must share, and those axes without negative numbers.
    let extent (axes: int option[]) (argument: 'T) : int * int option[] =
        let named = Tree.named argument
        let found =
            Array.map2
                (fun (path, t: Tensor) axis ->
                    axis
                    |> Option.map (fun axis ->
                        if t.Rank = 0 then
                            fail
                                "every batched tensor must have an axis for the batch"
                                (describe [| path, t |])
                                "None shares it"
                        path, t, Shape.axis $"vmap ({name path})" t axis))
                named
                axes
        let batched = Array.choose id found
        if batched.Length = 0 then
            fail "at least one tensor must be batched" (if named.Length = 0 then "none" else describe named) ""
        let extentOf (_, t: Tensor, axis: int) = t.Shape[axis]
        let n = extentOf batched[0]
        match Array.tryFind (fun b -> extentOf b <> n) batched with
        | Some((path, t, _) as other) ->
            let first, one, _ = batched[0]
            fail
                $"all batch axes must have the same extent ({name first}: {n}, {name path}: {extentOf other})"
                (describe [| first, one; path, t |])
                "use vmapAxes to name other axes, or None for what all examples share"
        | None -> n, found |> Array.map (Option.map (fun (_, _, axis) -> axis))

/// From a function of one example to a function of many.
[<AutoOpen>]
module Batching =
    let private moved (from: int) (target: int) (x: Tensor) =
        Op.permute (Array.removeAt from [| 0 .. x.Rank - 1 |] |> Array.insertAt target from) x

    /// <summary>`vmap` with batch axes of your choice: one for each component of a tuple or record argument, one for each
    /// of its tensors, or a single one for all. `None`: not batched, the same for all examples.</summary>
    /// <param name="inAxes">Where each argument has its batch axis; negative numbers count from the end.</param>
    /// <param name="outAxis">Where the results get theirs.</param>
    /// <param name="f">A function of one example; it sees no batch axis.</param>
    /// <param name="argument">Any tree of tensors.</param>
    /// <exception cref="ShapeException">When batch axes do not exist, or differ in extent.</exception>
    /// <example><code>vmapAxes [ Some 1; None ] 0 (fun (x: Tensor, w: Tensor) -> sum (x * w)) (matrix
    /// [ [ 1.; 2. ]; [ 3.; 4. ] ], tensor [ 10.; 1. ]) // tensor([13., 24.])</code></example>
    let vmapAxes (inAxes: int option list) (outAxis: int) (f: 'T -> 'U) (argument: 'T) : 'U =
        let n, axes = BatchAxes.extent (BatchAxes.spread inAxes argument) argument
        let leaves = Tree.leaves argument
        let examples =
            Array.map2
                (fun (t: Tensor) axis ->
                    match axis with
                    | Some axis -> Op.input "x" t.DType (Array.removeAt axis t.Shape)
                    | None -> t)
                leaves
                axes
        let result = f (Tree.rebuild argument examples)
        let isBatched = axes |> Array.map Option.isSome
        let chosen (ts: Tensor[]) = Array.zip isBatched ts |> Array.filter fst |> Array.map snd
        let inFront =
            Array.map2
                (fun (t: Tensor) axis -> moved (Option.defaultValue 0 axis) 0 t)
                (chosen leaves)
                (Array.filter Option.isSome axes)
        let place (y: Tensor) = moved 0 (Shape.axis "vmap (result)" y outAxis) y
        Tree.rebuild result (Vmap.vmap n (Tree.leaves result) (chosen examples) inFront |> Array.map place)

    /// <summary>A function of one example, applied to many at once: `vmap f x` is `f` of every slice of `x` along axis 0,
    /// stacked, but as one program with larger operations. Example by example the results have the same bits.</summary>
    /// <remarks>Argument and result may be any trees of tensors; every tensor of the argument has the batch in front,
    /// every one of the result gets it there. What the function closes over is shared. It nests with itself and all
    /// other transforms in any order: `vmap (grad f)` gives per-example gradients.</remarks>
    /// <exception cref="ShapeException">When a tensor has no axis, or the extents of their first axes differ: the
    /// message names them.</exception>
    /// <example><code>
    /// vmap (grad (fun x -> sum (x * x))) (matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]) // tensor([[2., 4.], [6., 8.]])
    /// </code></example>
    let vmap (f: 'T -> 'U) (argument: 'T) : 'U = vmapAxes [ Some 0 ] 0 f argument
