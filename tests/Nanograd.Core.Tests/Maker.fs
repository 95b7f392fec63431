/// Random well-shaped programs: one step makes one node, or a few that belong together.
module Nanograd.Core.Tests.Maker

open System
open Nanograd
open Nanograd.Core.Tests.Pool

let private unaries, binaries, reductions = all<Unary>, all<Binary>, all<Reduction>

/// Makes programs, node by node, out of what is in its pool.
type private Maker(source: Pool) =
    let random, flavour, limit, isSmooth = source.Random, source.Flavour, source.Limit, source.IsSmooth
    let chance (p: float) = source.Chance p
    let oneOf (xs: 'a[]) = source.OneOf xs
    let extent () = source.Extent()
    let number dtype x = Op.constant (Constant.ofFloat dtype x)
    let pick () = source.Pick()
    let pickWhere f = source.PickWhere f
    let partner x = source.Partner x
    let literal (dtype: DType) (shape: int[]) = source.Literal(dtype, shape)
    let leaf (dtype: DType) (shape: int[]) = source.Leaf(dtype, shape)

    /// Keeps the argument of a function where the function is moderate.
    let guarded (u: Unary) (x: Tensor) =
        let one = number (if DType.isFloat x.DType then x.DType else DType.F32) 0.5
        let guard = isSmooth || (flavour = Tame && chance 0.8)
        match u with
        | _ when not guard || x.DType = DType.Bool -> x
        | Unary.Log
        | Unary.Sqrt
        | Unary.Rsqrt -> x * x + one
        | Unary.Log1p -> x * x
        | Unary.Exp
        | Unary.Expm1 -> tanh x
        | _ -> x

    let unary () =
        let u = oneOf unaries
        let rough =
            match u with
            | Unary.Floor
            | Unary.Ceil
            | Unary.Round
            | Unary.Sign
            | Unary.Not -> true
            | _ -> false
        let u = if isSmooth && rough then Unary.Tanh else u
        let u = if flavour = Whole then oneOf [| Unary.Neg; Unary.Abs; Unary.Sign; Unary.Not |] else u
        Op.unary u (guarded u (pick ()))

    /// A condition: in smooth programs, one that no rounding error decides.
    let condition (x: Tensor) =
        let b = oneOf [| Binary.Eq; Binary.Ne; Binary.Lt; Binary.Le; Binary.Gt; Binary.Ge |]
        if isSmooth then
            Op.binary
                (if chance 0.5 then Binary.Lt else Binary.Ge)
                (Op.broadcast x.Shape (literal x.DType [||]))
                (literal x.DType x.Shape)
        else
            Op.binary b x (partner x)

    let binary () =
        let x = pick ()
        let y = partner x
        let tame = isSmooth || (flavour = Tame && chance 0.8)
        let x, y = if chance 0.5 then x, y else y, x
        match oneOf binaries with
        | Binary.Div when tame && DType.isFloat y.DType -> x / (y * y + number y.DType 0.5)
        | Binary.Pow when tame -> if isSmooth then x ** oneOf [| 2.0; 3.0; 1.0 |] else pow (abs x) (partner x)
        | Binary.Mul when tame -> x * tanh y
        | Binary.Rem
        | Binary.Eq
        | Binary.Ne
        | Binary.Lt
        | Binary.Le
        | Binary.Gt
        | Binary.Ge when isSmooth -> x - y
        | b -> Op.binary b x y

    let select () =
        let x = pick ()
        let c =
            match pickWhere (fun t -> t.DType = DType.Bool && t.Shape = x.Shape) with
            | Some c when chance 0.5 -> c
            | _ -> condition x
        if chance 0.5 then Op.select c x (partner x) else Op.select c (partner x) x

    let cast () =
        let x = pick ()
        match flavour with
        | Smooth d -> Op.cast d (condition x)
        | Special -> Op.cast DType.F64 (condition x)
        | _ when chance 0.15 -> Op.bitCast (oneOf source.Types) x
        | _ -> Op.cast (oneOf source.Types) x

    let reshape (x: Tensor) =
        let merged i = Array.concat [ x.Shape[.. i - 1]; [| x.Shape[i] * x.Shape[i + 1] |]; x.Shape[i + 2 ..] ]
        match random.Next 4 with
        | 0 when x.Rank > 1 -> Op.reshape (merged (random.Next(x.Rank - 1))) x
        | 1 when x.Rank > 0 ->
            let i = random.Next x.Rank
            let divisors = [| 1..16 |] |> Array.filter (fun d -> x.Shape[i] % d = 0)
            let d = oneOf divisors
            let parts = if chance 0.5 then [| d; x.Shape[i] / d |] else [| x.Shape[i] / d; d |]
            Op.reshape (Array.concat [ x.Shape[.. i - 1]; parts; x.Shape[i + 1 ..] ]) x
        | 2 -> Op.reshape (Array.insertAt (random.Next(x.Rank + 1)) 1 x.Shape) x
        | _ -> Op.reshape [| x.Count |] x

    let slice (x: Tensor) =
        let range e =
            if chance 0.4 then
                0, e, 1
            else
                (let a = random.Next(e + 1) in a, a + random.Next(e - a + 1), 1 + random.Next 3)
        let ranges = x.Shape |> Array.map range
        let part f = ranges |> Array.map f
        Op.slice (part (fun (a, _, _) -> a)) (part (fun (_, b, _) -> b)) (part (fun (_, _, s) -> s)) x

    let pad (x: Tensor) =
        let amounts most = Array.init x.Rank (fun _ -> if chance 0.5 then 0 else random.Next(most + 1))
        Op.pad (amounts 3) (amounts 3) (amounts 2) (Op.constant (source.NewNumber x.DType)) x

    let concat (x: Tensor) =
        let axis = random.Next x.Rank
        let other () =
            let extent = if chance 0.5 then x.Shape[axis] else extent ()
            let shape = Array.mapi (fun i e -> if i = axis then extent else e) x.Shape
            match pickWhere (fun t -> t.DType = x.DType && t.Shape = shape) with
            | Some t when chance 0.7 -> t
            | _ -> leaf x.DType (if Shape.count shape > limit then x.Shape else shape)
        Op.concat axis [| for k in 0 .. random.Next 3 -> if k = 0 then x else other () |]

    let window (x: Tensor) =
        let axis = random.Next x.Rank
        let size = 1 + random.Next 4
        { Axis = axis
          Size = size
          Step = 1 + random.Next 3
          Dilation = 1 + random.Next 2 }

    let rec movement () =
        let x = pick ()
        let shuffled = Array.init x.Rank id |> Array.sortBy (fun _ -> random.Next())
        match random.Next 12 with
        | 0
        | 1 -> reshape x
        | 2
        | 3
        | 4 -> Op.permute shuffled x
        | 5 ->
            Op.broadcast
                (source.Shrunk(
                    Array.append [| extent () |] (x.Shape |> Array.map (fun e -> if e = 1 then extent () else e))
                ))
                x
        | 6
        | 7 -> slice x
        | 8 -> pad x
        | 9 -> Op.reverse (shuffled |> Array.truncate (random.Next(x.Rank + 1))) x
        | 10 when x.Rank > 0 -> concat x
        | 11 when x.Rank > 0 ->
            let w = window x
            let u = Op.unfold w x
            if chance 0.5 || x.DType = DType.Bool then u else Op.fold w x.Shape[w.Axis] u
        | _ -> movement ()

    let reduction () =
        let x = pick ()
        let axes =
            [ for i in 0 .. x.Rank - 1 do
                  if chance 0.5 then i ]
        let trailing = [ for i in random.Next(x.Rank + 1) .. x.Rank - 1 -> i ]
        let axes =
            match random.Next 3 with
            | 0 -> axes
            | 1 -> trailing
            | _ -> [ 0 .. random.Next(x.Rank + 1) - 1 ]
        let r = oneOf reductions
        if isSmooth && r = Reduction.Prod then Op.reduce r axes (tanh x)
        elif isSmooth && r = Reduction.Sum then Op.reduce r axes x / 8.0
        else Op.reduce r axes x

    let ordered () =
        let x = pick ()
        let axis = random.Next(max 1 x.Rank)
        match random.Next 5 with
        | 0 -> Op.argReduce (chance 0.5) axis x
        | 1 -> Op.cumSum axis (chance 0.5) x
        | 2 -> fst (Op.sort axis (chance 0.5) x)
        | 3 -> snd (Op.sort axis (chance 0.5) x)
        | _ -> (let v, i = Op.topK (random.Next 4) x in if chance 0.5 then v else i)

    let dot () =
        let x = pick ()
        let kind = Array.init x.Rank (fun _ -> oneOf [| 0; 1; 1; 2 |]) // batch, summed, free
        let having k =
            [| for i in 0 .. x.Rank - 1 do
                   if kind[i] = k then i |]
            |> Array.sortBy (fun _ -> random.Next())
        let batch, summed = having 0, having 1
        let free = Array.init (oneOf [| 0; 1; 1; 1; 2 |]) (fun _ -> extent ())
        let all =
            Array.concat [ batch |> Array.map (fun a -> x.Shape[a]); summed |> Array.map (fun a -> x.Shape[a]); free ]
        let order = Array.init all.Length id |> Array.sortBy (fun _ -> random.Next()) // of y's axes
        let place k = Array.IndexOf(order, k)
        let shape = order |> Array.map (fun k -> all[k])
        if Array.fold (fun n e -> n * int64 e) 1L shape > int64 limit then
            x
        else
            let y =
                match pickWhere (fun t -> t.Shape = shape) with
                | Some t when chance 0.5 -> t
                | _ -> leaf (if chance 0.9 then x.DType else oneOf source.Types) shape
            let c =
                { LeftBatch = batch
                  RightBatch = Array.init batch.Length place
                  LeftSum = summed
                  RightSum = Array.init summed.Length (fun k -> place (batch.Length + k)) }
            let y = if isSmooth then y / 4.0 else y
            let depth = Array.fold (fun n a -> n * int64 x.Shape[a]) 1L summed
            let result =
                if chance 0.7 then
                    Op.dot c x y
                else
                    Op.dot
                        { LeftBatch = c.RightBatch
                          RightBatch = c.LeftBatch
                          LeftSum = c.RightSum
                          RightSum = c.LeftSum }
                        y
                        x
            if int64 result.Count * depth > 2_000_000L then x else result

    /// Indices that are in range: numbers, or an expression.
    let indices shape (extent: int) =
        let dtype = oneOf [| DType.I64; DType.I32 |]
        let count = Shape.count shape
        match random.Next 3 with
        | 0 when shape.Length > 0 -> Op.iota dtype shape (random.Next shape.Length) * 7 % extent
        | 1 when not isSmooth ->
            match pickWhere (fun t -> t.Shape = shape && t.DType = dtype) with
            | Some t -> Op.binary Binary.And t (ofInts dtype [||] [ 0x7FFFFFFFL ]) % extent
            | None -> ofInts dtype shape (Array.init count (fun _ -> random.NextInt64(int64 extent)))
        | _ -> ofInts dtype shape (Array.init count (fun _ -> random.NextInt64(int64 extent)))

    let indexing () =
        let x = pick ()
        let axis = random.Next(max 1 x.Rank)
        let batch = if chance 0.6 then 0 else random.Next(axis + 1)
        let places () =
            let own = Array.init (random.Next 3) (fun _ -> extent ())
            let rest = max 1 (x.Count / max 1 (x.Shape[axis] * Shape.count x.Shape[.. batch - 1]))
            let own = if Shape.count own * rest > limit then [| 2 |] else own
            indices (Array.append x.Shape[.. batch - 1] own) x.Shape[axis]
        let start size extent =
            let i = random.Next(extent - size + 1) in
            if chance 0.5 then Op.constant (Constant.ofInt DType.I64 (int64 i)) else ofInts DType.I32 [||] [ int64 i ]
        let sizes = x.Shape |> Array.map (fun e -> random.Next(e + 1))
        match random.Next 6 with
        | 0
        | 1 when x.Rank > 0 && x.Shape[axis] > 0 -> Op.gather axis batch x (places ())
        | 2
        | 3 when x.Rank > 0 && x.Shape[axis] > 0 ->
            let i = places ()
            let like = Op.gather axis batch x i
            Op.scatterAdd
                axis
                batch
                x
                i
                (match pickWhere (fun t -> t.Shape = like.Shape && t.DType = x.DType) with
                 | Some t -> t
                 | None -> leaf x.DType like.Shape)
        | 4 -> Op.dynamicSlice (Array.map2 start sizes x.Shape) sizes x
        | 5 -> Op.dynamicUpdate (Array.map2 start sizes x.Shape) (leaf x.DType sizes) x
        | _ -> x

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
        if leaves.Length = 0 || order.Length > 25 then
            y
        else
            (Grad.gradient (Op.cast DType.F32 (Op.reduce Reduction.Sum [ 0 .. y.Rank - 1 ] y)) [| oneOf leaves |])[0]

    let conv () =
        let groups = 1 + random.Next 2
        let spatial = 1 + random.Next 2
        let per low high = Array.init spatial (fun _ -> random.Next(low, high + 1))
        let d = oneOf source.Types
        let x = leaf d (Array.append [| 1 + random.Next 3; groups * (1 + random.Next 3) |] (per 1 9))
        let w = leaf d (Array.append [| groups * (1 + random.Next 3); x.Shape[1] / groups |] (per 1 3))
        Op.conv
            { Strides = per 1 2
              PadLow = per -1 2
              PadHigh = per 0 2
              LeftDilation = per 1 2
              RightDilation = per 1 2
              Groups = groups }
            x
            w

    let loop () =
        let d =
            match flavour with
            | Smooth d -> d
            | Special -> DType.F64
            | _ -> DType.F32
        let n, width = random.Next 5, extent ()
        let vector = d, [| width |]
        let body, captured =
            Lambda.trace [| vector; vector |] (fun p -> let c = tanh (p[0] * 0.5 + p[1]) in [| c; c * p[1] |])
        let r =
            Op.scan
                { Body = body
                  Captured = captured.Length
                  Carried = 1
                  Length = n
                  Reverse = chance 0.5 }
                (Array.append captured [| leaf d [| width |]; leaf d [| n; width |] |])
        oneOf r

    let step () =
        let weights =
            match flavour with
            | Whole ->
                [| unary, 3
                   binary, 10
                   select, 3
                   cast, 4
                   movement, 10
                   reduction, 5
                   ordered, 1
                   dot, 3
                   indexing, 3 |]
            | Smooth _
            | Special ->
                [| unary, 8
                   binary, 8
                   select, 2
                   cast, 1
                   movement, 10
                   reduction, 5
                   dot, 4
                   indexing, 2
                   composed, 5
                   gradient, 3
                   loop, 1 |]
            | Wild
            | Tame ->
                [| unary, 8
                   binary, 10
                   select, 3
                   cast, 4
                   movement, 12
                   reduction, 6
                   ordered, 1
                   dot, 4
                   indexing, 4
                   composed, 4
                   gradient, 2
                   conv, 1
                   loop, 1 |]
        let mutable i, at = 0, random.Next(Array.sumBy snd weights)
        while at >= snd weights[i] do
            at <- at - snd weights[i]
            i <- i + 1
        fst weights[i] ()

    /// A program of about `size` steps, with one to three results.
    member _.Program(size: int) : Tensor[] =
        for _ in 0 .. random.Next 2 do
            source.Tensors.Add(literal (oneOf source.Types) (source.NewShape()))
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
        let others = [| for _ in 1 .. random.Next 3 -> source.Tensors[random.Next source.Tensors.Count] |]
        Array.append [| source.Tensors[source.Tensors.Count - 1] |] others |> Array.distinct

/// The program of a seed.
let make (flavour: Flavour) (seed: int) (size: int) : Tensor[] =
    let random = Random seed
    let limit =
        match random.Next 12 with
        | 0 -> 70_000
        | 1
        | 2 -> 10_000
        | _ -> 1_500
    Maker(Pool(random, flavour, limit)).Program(1 + random.Next(max 1 size))

/// Programs with fewer nodes: one result of several, an operand of a result, or some node replaced by its value.
