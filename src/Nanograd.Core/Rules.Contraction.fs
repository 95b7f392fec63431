namespace Nanograd

/// Laws of reductions and contractions: what need not be summed, and axes that a product can read where they are.
[<RequireQualifiedAccess>]
module internal ContractionRules =
    let private none: Tensor voption = ValueNone
    let private some (x: Tensor) = ValueSome x
    let private kept rank (axes: int[]) =
        [| for i in 0 .. rank - 1 do
               if not (Array.contains i axes) then i |]
    let private isReduce (t: Tensor) =
        match t.Op with
        | Op.Reduce _ -> true
        | _ -> false

    // ---- reductions

    let private reduceRule r name sample apply =
        nodeRule "reductions" (Op.Reduce(r, [||])) name sample (fun t x ->
            match t.Op with
            | Op.Reduce(_, axes) -> apply t x axes
            | _ -> none)

    /// A reduction that remains one node: constructors split sums over leading and trailing axes, and one pass must not
    /// become two.
    let private single r axes (x: Tensor) =
        let result = Op.reduce r axes x
        if isReduce result && result.Inputs[0] = x then ValueSome result else none

    let private ofStretched r (t: Tensor) (s: Tensor) (axes: int[]) =
        let x = t.Inputs[0]
        let gone = axes |> Array.filter (fun a -> s.Shape[a] = 1 && x.Shape[a] <> 1)
        if gone.Length = 0 || Array.exists (fun a -> x.Shape[a] = 0) gone then
            none
        else
            let rest = axes |> Array.filter (fun a -> not (Array.contains a gone))
            let reduced = Op.reduce r rest s // units at `gone` and wherever else the operand was stretched
            let places = kept x.Rank axes
            let squeezed = Op.reshape (places |> Array.map (fun a -> s.Shape[a])) reduced
            let n = Array.fold (fun n a -> n * x.Shape[a]) 1 gone
            let scaled =
                match r with
                | Reduction.Sum ->
                    squeezed * Op.broadcast squeezed.Shape (Op.constant (Constant.ofInt x.DType (int64 n)))
                | _ -> squeezed
            some (Op.broadcast t.Shape scaled)

    let private reductions =
        let row (x: Tensor) =
            Op.slice [| 0; 0; 0 |] [| 1; x.Shape[1]; x.Shape[2] |] [| 1; 1; 1 |] x |> Op.broadcast x.Shape
        [ for r in [ Reduction.Sum; Reduction.Max; Reduction.Min ] do
              reduceRule
                  r
                  $"{(string r).ToLowerInvariant()}-broadcast: stretched axes need no reduction"
                  (fun x _ _ -> Op.reduce r [ 0; 1 ] (row x))
                  (fun t x axes ->
                      match x with
                      | Stretched s -> ofStretched r t s axes
                      | _ -> none)
              |> roundsIf (r = Reduction.Sum)
          for r in [ Reduction.Sum; Reduction.Prod; Reduction.Max; Reduction.Min ] do
              let name = (string r).ToLowerInvariant()
              reduceRule
                  r
                  $"{name}-units: axes of extent 1 are dropped"
                  (fun x _ _ ->
                      Op.reduce r [ 1; 2 ] (Op.reshape [| x.Shape[0]; x.Shape[1]; 1; x.Shape[2] |] x)
                      |> fun t -> Op.reduce r [ 0 ] (Op.reshape [| 1; -1 |] t))
                  (fun _ x axes ->
                      let solid = axes |> Array.filter (fun a -> x.Shape[a] <> 1)
                      // Columns take the elementwise expressions that they reduce into their kernel: no view between.
                      let isColumns = solid.Length > 0 && axes[axes.Length - 1] < x.Rank - 1
                      if solid.Length = axes.Length || isColumns then
                          none
                      else
                          let units = Array.except solid axes
                          let places = kept x.Rank units
                          let y = Op.reshape (places |> Array.map (fun a -> x.Shape[a])) x
                          let result = Op.reduce r (solid |> Array.map (fun a -> System.Array.IndexOf(places, a))) y
                          if solid.Length = 0 || result.Inputs[0] = y then some result else none)
              |> roundsIf (r = Reduction.Sum || r = Reduction.Prod)
              reduceRule
                  r
                  $"{name}-{name}: one reduction over both sets of axes"
                  (fun x _ _ -> x |> Op.reduce r [ 2 ] |> fun y -> Op.rebuild (Op.reduce r [ 1 ] y) [| y |])
                  (fun t x axes ->
                      match x.Op with
                      | Op.Reduce(q, inner) when q = r ->
                          let source = x.Inputs[0]
                          let places = kept source.Rank inner
                          ignore t
                          single r (Array.append inner (axes |> Array.map (fun a -> places[a]))) source
                      | _ -> none)
              |> roundsIf (r = Reduction.Sum || r = Reduction.Prod)
              reduceRule
                  r
                  $"{name}-reshape: all elements in any shape"
                  (fun x _ _ -> Op.reduce r [ 0; 1 ] (Op.reshape [| x.Shape[2]; -1 |] x))
                  (fun t x axes ->
                      match x with
                      // Unit axes stay away: the rule above takes them out, and the two must not undo each other.
                      | Reshaped s when axes.Length = x.Rank && t.Rank = 0 && not (Array.contains 1 s.Shape) ->
                          single r [ 0 .. s.Rank - 1 ] s
                      | _ -> none)
              |> roundsIf (r = Reduction.Sum || r = Reduction.Prod)
              reduceRule
                  r
                  $"{name}-permute: reduce the axes where they are"
                  (fun x _ _ -> Op.reduce r [ 0 ] (Op.permute [| 2; 0; 1 |] x))
                  (fun _ x axes ->
                      match x with
                      | Permuted(p, s) ->
                          let places = axes |> Array.map (fun a -> p[a])
                          let order = kept p.Length axes |> Array.map (fun a -> p[a])
                          let inOrder = Array.sort order
                          single r places s
                          |> ValueOption.map (
                              Op.permute (order |> Array.map (fun a -> System.Array.IndexOf(inOrder, a)))
                          )
                      | _ -> none)
              |> roundsIf (r = Reduction.Sum || r = Reduction.Prod)
          reduceRule
              Reduction.Sum
              "sum-neg: sum (-x) = -(sum x)"
              (fun x _ _ -> Op.reduce Reduction.Sum [ 1 ] -x)
              (fun _ x axes ->
                  match x with
                  | Neg x -> single Reduction.Sum axes x |> ValueOption.map (fun s -> -s)
                  | _ -> none)
          reduceRule
              Reduction.Sum
              "sum-pad: zeros add nothing"
              (fun x _ _ ->
                  x |> Op.pad [| 0; 2; 0 |] [| 0; 0; 1 |] [| 0; 0; 0 |] (num x 0.0) |> Op.reduce Reduction.Sum [ 1; 2 ])
              (fun t x axes ->
                  match x with
                  | Padded(low, high, interior, s) when
                      Array.forall
                          (fun i -> Array.contains i axes || low[i] + high[i] + interior[i] = 0)
                          [| 0 .. x.Rank - 1 |]
                      ->
                      ignore t
                      (match x.Inputs[1] with
                       | IsNumber 0.0 -> single Reduction.Sum axes s
                       | _ -> none)
                  | _ -> none)
          |> rounds ]

    // ---- contractions

    let private matrix: Contraction = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 2 |]; RightSum = [| 0 |] }

    let private dotRule name sample apply =
        nodeRule "contraction" (Op.Dot matrix) name sample (fun t x ->
            match t.Op with
            | Op.Dot d -> apply d x t.Inputs[1]
            | _ -> none)

    let private isRising (xs: int[]) = xs |> Array.pairwise |> Array.forall (fun (a, b) -> a < b)
    let private used (batch: int[]) (sum: int[]) = Array.append batch sum

    /// The operand behind a permutation, with its batch and summed axes, if its free axes stay in order.
    let private behind (x: Tensor) (batch: int[]) (sum: int[]) =
        match x with
        | Permuted(p, s) when isRising (kept x.Rank (used batch sum) |> Array.map (fun a -> p[a])) ->
            let at = Array.map (fun a -> p[a])
            ValueSome(struct (s, at batch, at sum))
        | _ -> ValueNone

    /// A batched product with an operand that is the same for the whole batch: the batch axes become free axes of the
    /// other one.
    let private shared (x: Tensor) (batch: int[]) (sum: int[]) (y: Tensor) (otherBatch: int[]) (otherSum: int[]) =
        match y with
        | Stretched s when batch.Length > 0 && Array.forall (fun b -> s.Shape[b] = 1) otherBatch ->
            let places = kept y.Rank otherBatch
            let isFree = kept y.Rank otherBatch |> Array.forall (fun a -> s.Shape[a] = y.Shape[a])
            if isFree && isRising (Array.append batch (kept x.Rank (used batch sum))) then
                let flat = Op.reshape (places |> Array.map (fun a -> s.Shape[a])) s
                ValueSome(struct (flat, otherSum |> Array.map (fun a -> System.Array.IndexOf(places, a))))
            else
                ValueNone
        | _ -> ValueNone

    /// A product with a constant: the sum of the other operand, stretched over the axes that only the constant has.
    let private ofConstant
        (c: float)
        (batch: int[])
        (left: int[])
        (right: int[])
        (x: Tensor)
        (xBatch: int[])
        (xSum: int[])
        isLeft
        =
        let reduced = Op.reduce Reduction.Sum xSum x
        let places = kept x.Rank xSum
        let order =
            Array.append xBatch (kept x.Rank (used xBatch xSum)) |> Array.map (fun a -> System.Array.IndexOf(places, a))
        let units (extents: int[]) = Array.create extents.Length 1
        let middle = if isLeft then Array.append left (units right) else Array.append (units left) right
        Op.permute order (Op.cast x.DType reduced * like reduced c)
        |> Op.reshape (Array.append batch middle)
        |> Op.broadcast (Array.concat [ batch; left; right ])

    let private constantDot (d: Contraction) (x: Tensor) (y: Tensor) =
        let extents (t: Tensor) axes = axes |> Array.map (fun a -> t.Shape[a])
        let batch = extents x d.LeftBatch
        let left, right =
            extents x (kept x.Rank (used d.LeftBatch d.LeftSum)), extents y (kept y.Rank (used d.RightBatch d.RightSum))
        // The sum alone must not overflow where the product does not.
        let isUsual c = isFloat x && abs c >= 1e-6 && abs c <= 1e6
        match x, y with
        | Number c, _ when isUsual c -> some (ofConstant c batch left right y d.RightBatch d.RightSum false)
        | _, Number c when isUsual c -> some (ofConstant c batch left right x d.LeftBatch d.LeftSum true)
        | _ -> none

    let private dots =
        [ dotRule
              "dot-permute-left: read the axes where they are"
              (fun x _ (Matrix w) -> Op.dot { matrix with LeftSum = [| 0 |] } (Op.permute [| 2; 0; 1 |] x) w)
              (fun d x y ->
                  match behind x d.LeftBatch d.LeftSum with
                  | ValueSome(struct (s, batch, sum)) -> some (Op.dot { d with LeftBatch = batch; LeftSum = sum } s y)
                  | ValueNone -> none)
          dotRule
              "dot-permute-right: read the axes where they are"
              (fun x y _ -> matmul x (Op.permute [| 0; 2; 1 |] y))
              (fun d x y ->
                  match behind y d.RightBatch d.RightSum with
                  | ValueSome(struct (s, batch, sum)) ->
                      some (Op.dot { d with RightBatch = batch; RightSum = sum } x s)
                  | ValueNone -> none)
          dotRule
              "dot-shared-right: one matrix for the whole batch"
              (fun x _ (Matrix w) -> matmul x (Op.broadcast [| x.Shape[0]; w.Shape[0]; w.Shape[1] |] w))
              (fun d x y ->
                  match shared x d.LeftBatch d.LeftSum y d.RightBatch d.RightSum with
                  | ValueSome(struct (flat, sum)) ->
                      some (Op.dot { LeftBatch = [||]; RightBatch = [||]; LeftSum = d.LeftSum; RightSum = sum } x flat)
                  | ValueNone -> none)
          dotRule
              "dot-constant: c @ x = c * (sum of x), stretched"
              (fun x _ _ -> matmul (Op.broadcast [| x.Shape[0]; 2; x.Shape[1] |] (num x 1.5)) x)
              constantDot
          |> rounds
          nodeRule
              "contraction"
              (Op.Movement(Movement.Permute [||]))
              "permute-dot: the operands change places"
              (fun x _ (Matrix w) -> Op.dot matrix x w |> Op.permute [| 2; 0; 1 |])
              (fun t x ->
                  match t, x.Op with
                  | Permuted(p, _), Op.Dot d ->
                      let batches = d.LeftBatch.Length
                      let left = x.Inputs[0].Rank - batches - d.LeftSum.Length
                      let right = x.Rank - batches - left
                      let batch, free = p[.. batches - 1], p[batches..]
                      let isBatch = Array.forall (fun a -> a < batches) batch
                      let order (axes: int[]) = batch |> Array.map (fun a -> axes[a])
                      if isBatch && free = [| batches .. x.Rank - 1 |] then
                          some (
                              Op.dot
                                  { d with LeftBatch = order d.LeftBatch; RightBatch = order d.RightBatch }
                                  x.Inputs[0]
                                  x.Inputs[1]
                          )
                      elif
                          isBatch
                          && free =
                              Array.append
                                  [| for i in 0 .. right - 1 -> batches + left + i |]
                                  [| for i in 0 .. left - 1 -> batches + i |]
                      then
                          let swapped =
                              { LeftBatch = order d.RightBatch
                                RightBatch = order d.LeftBatch
                                LeftSum = d.RightSum
                                RightSum = d.LeftSum }
                          some (Op.dot swapped x.Inputs[1] x.Inputs[0])
                      else
                          none
                  | _ -> none) ]

    /// The family, in the order in which rules are tried.
    let rules = reductions @ dots
