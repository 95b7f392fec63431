/// One step of a random program: one node, or a few that belong together, made out of what is in the pool.
module Nanograd.Core.Tests.Steps

open System
open Nanograd
open Nanograd.Core.Tests.Pool

let private unaries, binaries, reductions = all<Unary>, all<Binary>, all<Reduction>

/// The steps, by kind of primitive. A step may raise a ShapeException: then another one is tried.
type Steps(source: Pool) =
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
        | (Binary.Shl | Binary.Shr | Binary.And | Binary.Or | Binary.Xor) as b when
            not isSmooth && DType.isFloat x.DType
            ->
            let shape = source.NewShape()
            let whole () = oneOf [| DType.I64; DType.I32; DType.U32; DType.U8; DType.I8 |]
            let x =
                match pickWhere (fun t -> DType.isInteger t.DType) with
                | Some t -> t
                | None -> leaf (whole ()) shape
            Op.binary b x (if chance 0.5 then leaf (whole ()) x.Shape else leaf (whole ()) [||])
        | b ->
            let z = Op.binary b x y
            if flavour = Whole && DType.isFloat z.DType then x - y else z

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

    let rec movementOf (x: Tensor) =
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
        | _ -> movementOf x

    let movement () = movementOf (pick ())

    /// A view of a view of a view.
    let view () = Seq.fold (fun x _ -> movementOf x) (pick ()) (seq { 0 .. 1 + random.Next 4 })

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
        let most () =
            let extent = if x.Rank = 0 then 0 else x.Shape[x.Rank - 1]
            if chance 0.5 then random.Next 4 else random.Next(extent + 1)
        match random.Next 5 with
        | 0 when not isSmooth -> Op.argReduce (chance 0.5) axis x
        | 1 -> (let s = Op.cumSum axis (chance 0.5) x in if isSmooth then s / 8.0 else s)
        | 2 when not isSmooth -> snd (Op.sort axis (chance 0.5) x)
        | 3 -> (let v, i = Op.topK (most ()) x in if isSmooth || chance 0.5 then v else i)
        | _ -> fst (Op.sort axis (chance 0.5) x)

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

    /// A convolution with every attribute drawn, of a tensor of the pool or of a new one.
    let conv () =
        let fits (t: Tensor) = t.Rank > 2 && t.Rank < 6 && t.Count > 0 && t.Count < 600
        let spatial = oneOf [| 1; 1; 2; 2; 3 |]
        let d = oneOf source.Types
        let per low high n = Array.init n (fun _ -> random.Next(low, high + 1))
        let x =
            match pickWhere fits with
            | Some t when chance 0.5 -> t
            | _ ->
                let size = per 1 (if spatial = 3 then 4 else 9) spatial
                leaf d (Array.append [| random.Next(1, 4); oneOf [| 1; 2; 3; 4; 6 |] |] size)
        let n = x.Rank - 2
        let groups = oneOf ([| 1; 1; 2; 3 |] |> Array.filter (fun g -> x.Shape[1] % g = 0))
        let w = leaf x.DType (Array.append [| groups * random.Next(1, 4); x.Shape[1] / groups |] (per 1 3 n))
        Op.conv
            { Strides = per 1 3 n
              PadLow = per -1 2 n
              PadHigh = per -1 2 n
              LeftDilation = per 1 2 n
              RightDilation = per 1 2 n
              Groups = groups }
            x
            (if isSmooth then w / 8.0 else w)

    /// Random bits, or numbers made of them.
    let draw () =
        let key =
            match pickWhere (fun t -> t.DType = DType.U32 && t.Shape = [| 2 |]) with
            | Some key when chance 0.5 -> key
            | _ -> Random.key (int64 (random.Next()))
        let shape = source.NewShape()
        match flavour with
        | Smooth d -> Op.cast d (Random.uniform key shape)
        | Special -> Op.cast DType.F64 (Random.uniform key shape)
        | Whole -> Op.randomBits key shape
        | Wild
        | Tame -> if chance 0.5 then Op.randomBits key shape else Random.normal key shape

    member _.Unary() = unary ()
    member _.Binary() = binary ()
    member _.Select() = select ()
    member _.Cast() = cast ()
    member _.Movement() = movement ()
    member _.View() = view ()
    member _.Reduction() = reduction ()
    member _.Ordered() = ordered ()
    member _.Dot() = dot ()
    member _.Indexing() = indexing ()
    member _.Conv() = conv ()
    member _.Draw() = draw ()
