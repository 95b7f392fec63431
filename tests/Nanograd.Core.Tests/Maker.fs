/// Random well-shaped programs of every primitive: loops, functions and checkpoints have random bodies, which may hold others.
module Nanograd.Core.Tests.Maker

open System
open Nanograd
open Nanograd.Core.Tests.Pool
open Nanograd.Core.Tests.Steps

/// True where a small change of a number may change a derivative by much: rounding must not decide such things.
let private hasKinks (t: Tensor) =
    match t.Op with
    | Op.Binary(Binary.Max | Binary.Min | Binary.Eq)
    | Op.Unary Unary.Abs
    | Op.Reduce((Reduction.Max | Reduction.Min), _)
    | Op.Sort _
    | Op.TopK _
    | Op.Scan _
    | Op.Custom _
    | Op.Checkpoint _ -> true
    | _ -> false

/// Makes programs, node by node, out of what is in its pool. `depth` counts the bodies around it.
type private Maker(source: Pool, depth: int) =
    let random, flavour, limit, isSmooth = source.Random, source.Flavour, source.Limit, source.IsSmooth
    let steps = Steps source
    let chance (p: float) = source.Chance p
    let oneOf (xs: 'a[]) = source.OneOf xs
    let pickWhere f = source.PickWhere f
    let leaf (dtype: DType) (shape: int[]) = source.Leaf(dtype, shape)

    /// What models are made of: these fuse in many ways.
    let composed () =
        let x = source.PickFloat()
        let last = x.Rank - 1
        match random.Next 10 with
        | 0 when x.Rank > 0 && x.Shape[last] > 0 -> softmax -1 x
        | 1 when x.Rank > 0 && x.Shape[last] > 0 -> logSoftmax (random.Next x.Rank) x
        | 2 when x.Rank > 0 && x.Shape[last] > 0 ->
            (let c = x - meanKeep [ -1 ] x in c * rsqrt (meanKeep [ -1 ] (c * c) + 1e-5))
        | 3 -> gelu x
        | 4 when x.Rank > 1 && x.Count < 600 -> matmul x (transpose x) / 8.0
        | 5 when x.Rank > 1 && x.Shape[last] = x.Shape[last - 1] && x.Shape[last] > 0 ->
            softmax -1 (where (causalMask x.Shape[last]) x (scalar -infinity))
        | 6 when x.Rank > 0 && x.Shape[last] > 0 ->
            where (lt (Random.uniform (Random.key 7L) x.Shape) (scalar 0.9)) x (zerosLike x)
        | 7 when x.Rank > 0 && x.Shape[0] > 0 && not isSmooth -> oneHot DType.F32 3 (Op.argReduce true 0 x % 3)
        | 8 when x.Rank > 0 && x.Shape[0] > 0 -> varianceKeep [ 0 ] x
        | _ -> silu x

    /// The gradient of something of the pool with respect to one of its values.
    let gradient () =
        let y = source.PickFloat()
        let order = Graph.topological [ y ]
        let leaves =
            order
            |> Array.filter (fun t ->
                DType.isFloat t.DType
                && (match t.Op with
                    | Op.Literal _ -> true
                    | _ -> false))
        if leaves.Length = 0 || order.Length > 25 || (isSmooth && Array.exists hasKinks order) then
            y
        else
            (Grad.gradient (Op.cast DType.F32 (Op.reduce Reduction.Sum [ 0 .. y.Rank - 1 ] y)) [| oneOf leaves |])[0]

    let smallShape () =
        if chance 0.1 then
            [| oneOf [| 31; 64; 65; 130 |] |]
        else
            Array.init (oneOf [| 0; 1; 1; 1; 2 |]) (fun _ -> oneOf [| 1; 2; 3; 5; 8; 17 |])

    /// A few steps over fresh variables and some tensors from outside: everything that came of them.
    let inside (variables: Tensor[]) : Tensor[] =
        let inner = Pool(random, flavour, min limit 200)
        for _ in 1 .. random.Next 3 do
            match pickWhere (fun t -> t.Count <= 200) with
            | Some t -> inner.Tensors.Add t
            | None -> ()
        inner.Tensors.AddRange variables
        Maker(inner, depth + 1).Steps(1 + random.Next 4)
        inner.Tensors.ToArray()

    /// Something of the type and shape of `v`, for a carry: made of `v`, so that steps depend on each other.
    let successor (made: Tensor[]) (v: Tensor) =
        let candidates = made |> Array.filter (fun t -> t.DType = v.DType && t.Shape = v.Shape && t <> v)
        let next =
            if candidates.Length > 0 && chance 0.8 then
                oneOf candidates
            else
                let other = oneOf made
                let total = Op.cast v.DType (Op.reduce Reduction.Sum [ 0 .. other.Rank - 1 ] other)
                if v.DType = DType.Bool then Op.binary Binary.Xor v total else Op.cast v.DType (v + total)
        if isSmooth then tanh next else next

    let loop () =
        let length = oneOf [| 0; 1; 2; 2; 3; 3; 4; 4; 9; 33 |]
        let operand (fits: Tensor -> bool) (shape: unit -> int[]) =
            match pickWhere (fun t -> t.Count <= 300 && fits t) with
            | Some t when chance 0.5 -> t
            | _ -> leaf (oneOf source.Types) (shape ())
        let carries = Array.init (random.Next 3) (fun _ -> operand (fun t -> t.Count <= 100) smallShape)
        let isScanned (t: Tensor) = t.Rank > 0 && t.Shape[0] = length
        let scanned =
            Array.init (random.Next((if carries.Length = 0 then 1 else 0), 3)) (fun _ ->
                operand isScanned (fun () -> Array.append [| length |] (smallShape ())))
        let parameters =
            Array.append
                (carries |> Array.map (fun t -> t.DType, t.Shape))
                (scanned |> Array.map (fun t -> t.DType, t.Shape[1..]))
        let body, captured =
            Lambda.trace parameters (fun variables ->
                let made = inside variables
                let outputs = random.Next((if carries.Length = 0 then 1 else 0), 3)
                Array.append
                    (variables[.. carries.Length - 1] |> Array.map (successor made))
                    (Array.init outputs (fun _ -> made[made.Length - 1 - random.Next(min 3 made.Length)])))
        let s =
            { Body = body
              Captured = captured.Length
              Carried = carries.Length
              Length = length
              Reverse = chance 0.5 }
        oneOf (Op.scan s (Array.concat [ captured; carries; scanned ]))

    /// The true gradient of a closed function, as one: it knows nothing but its operands.
    let gradientOf (body: Lambda) : Lambda option =
        let results = body.Results |> Array.map (fun r -> r.DType, r.Shape)
        let lambda, captured =
            Lambda.trace (Array.append body.Params results) (fun variables ->
                let operands = variables[.. body.Params.Length - 1]
                let isFloat (t: Tensor) = DType.isFloat t.DType
                let flows =
                    Array.zip (Lambda.apply body operands) variables[body.Params.Length ..]
                    |> Array.filter (fst >> isFloat)
                let floats = operands |> Array.filter isFloat
                let found = System.Collections.Generic.Dictionary<Hash, Tensor>()
                Array.iter2
                    (fun (x: Tensor) g -> found[x.Hash] <- g)
                    floats
                    (Grad.vjp (Array.map fst flows) (Array.map snd flows) floats)
                operands
                |> Array.map (fun x ->
                    match found.TryGetValue x.Hash with
                    | true, g -> g
                    | _ -> zerosLike x))
        if captured.Length = 0 then Some lambda else None

    /// A function applied to tensors of the pool: to be recomputed, or with a gradient of its own.
    let call () =
        let operands =
            Array.init (1 + random.Next 2) (fun _ ->
                match pickWhere (fun t -> t.Count <= 1000) with
                | Some t -> t
                | None -> leaf (oneOf source.Types) (smallShape ()))
            |> Array.distinct
        let body, captured =
            Lambda.trace (operands |> Array.map (fun t -> t.DType, t.Shape)) (fun variables ->
                let made = inside variables
                Array.init (1 + random.Next 2) (fun _ -> made[made.Length - 1 - random.Next(min 3 made.Length)]))
        let all = Array.append captured operands
        oneOf (
            match random.Next 3 with
            | 0 -> Op.checkpoint body all
            | 1 -> Op.custom { Name = "f"; Body = body; Gradient = None } all
            | _ -> Op.custom { Name = "g"; Body = body; Gradient = gradientOf body } all
        )

    let weights =
        let always =
            [ steps.Unary, 7
              steps.Binary, 10
              steps.Select, 3
              steps.Cast, 3
              steps.Movement, 8
              steps.View, 2
              steps.Reduction, 5
              steps.Ordered, 2
              steps.Dot, 4
              steps.Indexing, 4
              steps.Conv, 1
              steps.Draw, 1 ]
        let ofFloats = if flavour = Whole then [] else [ composed, 4; gradient, 3 ]
        let nested = if depth < 2 then [ loop, 2; call, 2 ] else []
        Array.ofList (always @ ofFloats @ nested)

    let total = Array.sumBy snd weights

    let step () =
        let mutable i, at = 0, random.Next total
        while at >= snd weights[i] do
            at <- at - snd weights[i]
            i <- i + 1
        fst weights[i] ()

    /// Adds `size` new tensors to the pool, if it can.
    member _.Steps(size: int) : unit =
        let mutable made, tries = 0, 0
        while made < size && tries < 20 * size do
            tries <- tries + 1
            match
                (try
                    Some(step ())
                 with :? ShapeException ->
                     None)
            with
            | Some t when t.Count <= 4 * limit && not (source.Tensors.Contains t) ->
                source.Tensors.Add t
                made <- made + 1
            | _ -> ()

    /// A program of about `size` steps, with one to three results.
    member m.Program(size: int) : Tensor[] =
        for _ in 0 .. random.Next 2 do
            source.Tensors.Add(source.Literal(oneOf source.Types, source.NewShape()))
        m.Steps size
        let others = [| for _ in 1 .. random.Next 3 -> source.Tensors[random.Next source.Tensors.Count] |]
        Array.append [| source.Tensors[source.Tensors.Count - 1] |] others |> Array.distinct

/// The program of a seed, whose values have at most `limit` elements (or a random limit).
let makeWithin (limit: int option) (flavour: Flavour) (seed: int) (size: int) : Tensor[] =
    let random = Random seed
    let usual =
        match random.Next 12 with
        | 0 -> 70_000
        | 1
        | 2 -> 10_000
        | _ -> 1_500
    Maker(Pool(random, flavour, Option.defaultValue usual limit), 0).Program(1 + random.Next(max 1 size))

/// The program of a seed.
let make (flavour: Flavour) (seed: int) (size: int) : Tensor[] = makeWithin None flavour seed size
