namespace Nanograd

/// Laws of movement: compositions, no-ops, constants; and of structure: what gradients of slices leave behind.
[<RequireQualifiedAccess>]
module internal MovementRules =
    let private none: Tensor voption = ValueNone
    let private some (x: Tensor) = ValueSome x
    let private rule m name sample apply = nodeRule "movement" (Op.Movement m) name sample apply
    let private permute, slice = Movement.Permute [||], Movement.Slice([||], [||])
    let private pad, reverse, concat = Movement.Pad([||], [||], [||]), Movement.Reverse [||], Movement.Concat 0
    let private zeros n = Array.create<int> n 0
    let private ones n = Array.create<int> n 1
    let private part starts stops (x: Tensor) = Op.slice starts stops (ones x.Rank) x

    // ---- constants and compositions

    let private constants =
        [ for m, sample in
              [ Movement.Reshape, (fun (x: Tensor) -> Op.rebuild (Op.reshape [| -1; x.Shape[2] |] x) [| like x 2.0 |])
                permute, (fun x -> Op.permute [| 1; 0; 2 |] (like x 2.0))
                Movement.Broadcast,
                (fun x ->
                    let stretched = Op.broadcast (Array.append [| 2 |] x.Shape) x
                    Op.rebuild stretched [| like stretched.Inputs[0] 2.0 |])
                slice, (fun x -> part [| 0; 1; 0 |] [| 2; 3; 4 |] (like x 2.0))
                reverse, (fun x -> Op.reverse [ 1 ] (like x 2.0)) ] ->
              rule
                  m
                  $"constant-{(string m).Split(' ').[0].ToLowerInvariant()}: a moved constant is a constant"
                  (fun x _ _ -> sample x)
                  (fun t x ->
                      match x with
                      | Uniform c -> some (constantLike t.Shape c)
                      | _ -> none) ]

    let private permutes =
        [ rule
              permute
              "permute-permute: one permutation"
              (fun x _ _ -> x |> Op.permute [| 1; 2; 0 |] |> Op.permute [| 0; 2; 1 |])
              (fun t x ->
                  match t, x with
                  | Permuted(p, _), Permuted(q, x) -> some (Op.permute (p |> Array.map (fun a -> q[a])) x)
                  | _ -> none)
          rule
              permute
              "permute-units: moving axes of extent 1 is a reshape"
              (fun x _ _ -> x |> Op.reshape [| 1; -1; x.Shape[2] |] |> Op.permute [| 1; 0; 2 |])
              (fun t x ->
                  match t with
                  | Permuted(p, _) when
                      p
                      |> Array.filter (fun a -> x.Shape[a] <> 1)
                      |> Array.pairwise
                      |> Array.forall (fun (a, b) -> a < b)
                      ->
                      some (Op.reshape t.Shape x)
                  | _ -> none)
          rule
              permute
              "permute-broadcast: stretch later"
              (fun x _ _ ->
                  x
                  |> part [| 0; 0; 0 |] [| 1; x.Shape[1]; x.Shape[2] |]
                  |> Op.broadcast x.Shape
                  |> Op.permute [| 1; 2; 0 |])
              (fun t x ->
                  match t, x with
                  | Permuted(p, _), Stretched s -> some (Op.broadcast t.Shape (Op.permute p s))
                  | _ -> none) ]

    let private broadcasts =
        let row (x: Tensor) = part [| 0; 0; 0 |] [| 1; 1; x.Shape[2] |] x
        [ rule
              Movement.Reshape
              "reshape-reshape: one reshape"
              (fun x _ _ -> Op.rebuild (Op.reshape [| -1; x.Shape[2] |] x) [| Op.reshape [| x.Shape[2]; -1 |] x |])
              (fun t x ->
                  match x with
                  | Reshaped s -> some (Op.reshape t.Shape s)
                  | _ -> none)
          rule
              Movement.Broadcast
              "broadcast-broadcast: stretch once"
              (fun x _ _ -> row x |> Op.broadcast [| 1; x.Shape[1]; x.Shape[2] |] |> Op.broadcast x.Shape)
              (fun t x ->
                  match x with
                  | Stretched s -> some (Op.broadcast t.Shape s)
                  | _ -> none)
          rule
              Movement.Reshape
              "reshape-broadcast: units may be placed before stretching"
              (fun x _ _ -> row x |> Op.broadcast x.Shape |> Op.reshape [| x.Shape[0]; 1; x.Shape[1]; x.Shape[2] |])
              (fun t x ->
                  let solid (shape: int[]) = shape |> Array.filter (fun e -> e <> 1)
                  match x with
                  | Stretched s when solid t.Shape = solid x.Shape ->
                      let mutable source = -1
                      let next () =
                          source <- source + 1
                          while x.Shape[source] = 1 do
                              source <- source + 1
                          s.Shape[source]
                      some (
                          Op.broadcast
                              t.Shape
                              (Op.reshape (t.Shape |> Array.map (fun e -> if e = 1 then 1 else next ())) s)
                      )
                  | _ -> none)
          rule
              reverse
              "reverse-broadcast: a stretched axis reads the same backwards"
              (fun x _ _ -> row x |> Op.broadcast x.Shape |> Op.reverse [ 1; 2 ])
              (fun t x ->
                  match t.Op, x with
                  | Op.Movement(Movement.Reverse axes), Stretched s -> some (Op.broadcast t.Shape (Op.reverse axes s))
                  | _ -> none)
          rule
              reverse
              "reverse-reverse: twice is not at all"
              (fun x _ _ -> x |> Op.reverse [ 0; 1 ] |> Op.reverse [ 1; 2 ])
              (fun t x ->
                  match t.Op, x.Op with
                  | Op.Movement(Movement.Reverse a), Op.Movement(Movement.Reverse b) ->
                      let once = Array.append (Array.except b a) (Array.except a b)
                      some (Op.reverse once x.Inputs[0])
                  | _ -> none) ]

    // ---- slices

    let private sliceOfJoin (t: Tensor) axis (parts: Tensor[]) (starts: int[]) (steps: int[]) =
        let mutable first, i = 0, 0
        while i < parts.Length && starts[axis] >= first + parts[i].Shape[axis] do
            first <- first + parts[i].Shape[axis]
            i <- i + 1
        let last = starts[axis] + (t.Shape[axis] - 1) * steps[axis]
        if t.Shape[axis] = 0 || i = parts.Length || last >= first + parts[i].Shape[axis] then
            none
        else
            some (sliceOf (starts |> Array.mapi (fun k s -> if k = axis then s - first else s)) steps t.Shape parts[i])

    let private sliceOfPad
        (t: Tensor)
        (low: int[])
        (interior: int[])
        (x: Tensor)
        (value: Tensor)
        (starts: int[])
        (steps: int[])
        =
        let axes = [| 0 .. t.Rank - 1 |]
        let last k = starts[k] + (t.Shape[k] - 1) * steps[k]
        let extent k = if x.Shape[k] = 0 then 0 else (x.Shape[k] - 1) * (interior[k] + 1) + 1
        let isInside k =
            let pitch = interior[k] + 1
            starts[k] >= low[k]
            && last k < low[k] + extent k
            && (starts[k] - low[k]) % pitch = 0
            && steps[k] % pitch = 0
        if Array.contains 0 t.Shape then
            none
        elif Array.forall isInside axes then
            some (
                sliceOf
                    (axes |> Array.map (fun k -> (starts[k] - low[k]) / (interior[k] + 1)))
                    (axes |> Array.map (fun k -> steps[k] / (interior[k] + 1)))
                    t.Shape
                    x
            )
        elif axes |> Array.exists (fun k -> last k < low[k] || starts[k] >= low[k] + extent k) then
            some (Op.broadcast t.Shape value)
        else
            none

    let private slices =
        let sliced name sample apply =
            rule slice name sample (fun t x ->
                match t with
                | Sliced(starts, steps, _) -> apply t x starts steps
                | _ -> none)
        [ sliced "slice-slice: one slice" (fun x _ d -> x |> d.Cut |> d.Cut) (fun t x starts steps ->
              match x with
              | Sliced(a, s, source) ->
                  some (
                      sliceOf
                          (Array.init t.Rank (fun i -> a[i] + starts[i] * s[i]))
                          (Array.map2 (*) steps s)
                          t.Shape
                          source
                  )
              | _ -> none)
          sliced
              "slice-broadcast: stretch what was sliced"
              (fun x _ d -> part [| 0; 0; 0 |] [| 1; x.Shape[1]; x.Shape[2] |] x |> Op.broadcast x.Shape |> d.Cut)
              (fun t x starts steps ->
                  match x with
                  | Stretched s ->
                      let fixedAt other own = Array.init t.Rank (fun i -> if s.Shape[i] = 1 then other else own i)
                      some (
                          Op.broadcast
                              t.Shape
                              (sliceOf
                                  (fixedAt 0 (fun i -> starts[i]))
                                  (fixedAt 1 (fun i -> steps[i]))
                                  (fixedAt 1 (fun i -> t.Shape[i]))
                                  s)
                      )
                  | _ -> none)
          sliced
              "slice-concat: a slice of the part that holds it"
              (fun x y d -> Op.concat 1 [| x; y |] |> d.Cut)
              (fun t x starts steps ->
                  match x with
                  | Joined(axis, parts) -> sliceOfJoin t axis parts starts steps
                  | _ -> none)
          sliced
              "slice-pad: inside or outside the padding"
              (fun x _ d ->
                  let amounts () = Array.init 3 (fun _ -> d.Below 2)
                  x |> Op.pad (amounts ()) (amounts ()) (amounts ()) (num x d.Number) |> d.Cut)
              (fun t x starts steps ->
                  match x with
                  | Padded(low, _, interior, source) -> sliceOfPad t low interior source x.Inputs[1] starts steps
                  | _ -> none)
          nodeRule
              "movement"
              (Op.Indexing Indexing.DynamicSlice)
              "dynamic-slice-constant: known starts"
              (fun x _ d ->
                  let at n = Op.constant (Constant.ofInt DType.I32 (int64 (d.Below n)))
                  Op.dynamicSlice [| at 2; at 2; at 3 |] [| 1; 2; 2 |] x)
              (fun t x ->
                  match t.Op with
                  | Op.Indexing Indexing.DynamicSlice ->
                      let starts =
                          t.Inputs[1..]
                          |> Array.choose (fun s ->
                              match s with
                              | Uniform c -> Some(int c.Int)
                              | _ -> None)
                      let fits =
                          starts.Length = x.Rank
                          && Array.forall
                              (fun i -> starts[i] >= 0 && starts[i] + t.Shape[i] <= x.Shape[i])
                              [| 0 .. x.Rank - 1 |]
                      if fits then some (sliceOf starts (ones x.Rank) t.Shape x) else none
                  | _ -> none) ]

    // ---- concatenations and pads

    /// Two neighbours that were cut from the same tensor, as one cut.
    let private rejoin axis (a: Tensor) (b: Tensor) =
        match a, b with
        | Sliced(s, p, x), Sliced(r, q, y) when
            x = y
            && p = q
            && r[axis] = s[axis] + a.Shape[axis] * p[axis]
            && Array.removeAt axis s = Array.removeAt axis r
            ->
            Some(sliceOf s p (a.Shape |> Array.mapi (fun i e -> if i = axis then e + b.Shape[axis] else e)) x)
        | _ -> None

    let private rejoinAll axis (parts: Tensor[]) =
        let merge (acc: Tensor list) p =
            match acc with
            | last :: rest ->
                (match rejoin axis last p with
                 | Some m -> m :: rest
                 | None -> p :: acc)
            | [] -> [ p ]
        parts |> Array.fold merge [] |> List.rev |> Array.ofList

    let private concats =
        let joined name sample apply =
            rule concat name sample (fun t _ ->
                match t with
                | Joined(axis, parts) -> apply t axis parts
                | _ -> none)
        [ joined
              "concat-concat: one concatenation"
              (fun x y _ -> Op.concat 1 [| x; Op.concat 1 [| y; x |] |])
              (fun _ axis parts ->
                  let inner p =
                      match p with
                      | Joined(a, ps) when a = axis -> ps
                      | _ -> [| p |]
                  let flat = Array.collect inner parts
                  if flat.Length > parts.Length then some (Op.concat axis flat) else none)
          joined
              "concat-empty: empty parts are nothing"
              (fun x y _ -> Op.concat 1 [| x; part [| 0; 1; 0 |] [| x.Shape[0]; 1; x.Shape[2] |] y |])
              (fun t axis parts ->
                  let solid = parts |> Array.filter (fun p -> p.Shape[axis] > 0)
                  if solid.Length < parts.Length && t.Count > 0 then some (Op.concat axis solid) else none)
          joined
              "concat-slices: neighbours rejoin"
              (fun x _ d ->
                  let middle = 1 + d.Below(x.Shape[1] - 1)
                  let first = part [| 0; 0; 0 |] [| x.Shape[0]; middle; x.Shape[2] |] x
                  Op.concat 1 [| first; part [| 0; middle; 0 |] x.Shape x |])
              (fun _ axis parts ->
                  let merged = rejoinAll axis parts
                  if merged.Length < parts.Length then some (Op.concat axis merged) else none) ]

    let private pads =
        [ rule
              pad
              "pad-constant: padding a constant with itself"
              (fun x _ _ -> Op.pad [| 1; 0; 0 |] (zeros 3) (zeros 3) (num x 2.0) (like x 2.0))
              (fun t x ->
                  match x, t.Inputs[1] with
                  | Uniform c, Uniform d when c = d -> some (constantLike t.Shape c)
                  | _ -> none)
          rule
              pad
              "pad-pad: one padding"
              (fun x _ _ ->
                  x
                  |> Op.pad [| 1; 0; 0 |] (zeros 3) [| 1; 0; 0 |] (num x 2.0)
                  |> Op.pad [| 0; 2; 0 |] [| 0; 0; 1 |] (zeros 3) (num x 2.0))
              (fun t x ->
                  match t, x with
                  | Padded(low, high, interior, _), Padded(l, h, i, source) when
                      Array.forall ((=) 0) interior && t.Inputs[1] = x.Inputs[1]
                      ->
                      some (Op.pad (Array.map2 (+) low l) (Array.map2 (+) high h) i t.Inputs[1] source)
                  | _ -> none) ]

    // ---- structure

    /// Zero padding along exactly one axis: the axis, where the contents start, the contents.
    let private window (t: Tensor) =
        match t with
        | Padded(low, high, interior, x) when Array.forall ((=) 0) interior ->
            let axes =
                [| for i in 0 .. t.Rank - 1 do
                       if low[i] + high[i] > 0 then i |]
            match t.Inputs[1] with
            | IsNumber 0.0 when axes.Length = 1 -> ValueSome(struct (axes[0], low[axes[0]], x))
            | _ -> ValueNone
        | _ -> ValueNone

    /// The sum of two zero-padded tensors whose contents are neighbours: the padded concatenation.
    let private mergePads (a: Tensor) (b: Tensor) =
        match window a, window b with
        | ValueSome(struct (i, start, x)), ValueSome(struct (j, other, y)) when i = j ->
            let join first (x: Tensor) (y: Tensor) =
                let low = Array.init a.Rank (fun k -> if k = i then first else 0)
                let high =
                    Array.init a.Rank (fun k -> if k = i then a.Shape[i] - first - x.Shape[i] - y.Shape[i] else 0)
                some (
                    Op.pad low high (zeros a.Rank) (Op.constant (Constant.ofFloat a.DType 0.0)) (Op.concat i [| x; y |])
                )
            if start + x.Shape[i] = other then join start x y
            elif other + y.Shape[i] = start then join other y x
            else none
        | _ -> none

    let private structure =
        let padded at (x: Tensor) = Op.pad [| 0; at; 0 |] [| 0; 2 * x.Shape[1] - at; 0 |] (zeros 3) (num x 0.0) x
        let mergeInto a b c = mergePads a c |> ValueOption.map (fun m -> m + b)
        [ binaryRule
              "structure"
              Binary.Add
              "add-pads: neighbours in zeros = their concatenation"
              (fun x y _ -> padded 0 x + padded x.Shape[1] y)
              mergePads
          binaryRule
              "structure"
              Binary.Add
              "add-add-pads: the same inside a longer sum"
              (fun x y _ -> abs (padded 1 x) + padded 0 x + padded x.Shape[1] y)
              (fun x y ->
                  let inside (s: Tensor) p =
                      match window p, s with
                      | ValueSome _, Add(a, b) ->
                          (match mergeInto a b p with
                           | ValueNone -> mergeInto b a p
                           | found -> found)
                      | _ -> none
                  match inside x y with
                  | ValueNone -> inside y x
                  | found -> found)
          binaryRule
              "structure"
              Binary.Add
              "add-scatter: what is scattered into zeros and added = scattered into the sum's other part"
              (fun x y d ->
                  let at =
                      Op.iota DType.I64 [| y.Shape[1] |] 0
                      |> Op.binary
                          Binary.Min
                          (Op.constant (Constant.ofInt DType.I64 (int64 (d.Below 3))) |> Op.broadcast [| y.Shape[1] |])
                  abs x + Op.scatterAdd 1 0 (like x 0.0) at y)
              (fun x y ->
                  let into (a: Tensor) (s: Tensor) =
                      match s.Op, s.Inputs with
                      | Op.Indexing(Indexing.ScatterAdd(axis, batch)), [| IsNumber 0.0; at; updates |] ->
                          some (Op.scatterAdd axis batch a at updates)
                      | _ -> none
                  match into x y with
                  | ValueNone -> into y x
                  | found -> found)
          |> compileOnly
          |> rounds ]

    /// The family, in the order in which rules are tried.
    let rules = constants @ permutes @ broadcasts @ slices @ concats @ pads @ structure
