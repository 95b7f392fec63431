namespace Nanograd

/// Laws that give common compositions their names back, for readers: softmax, sigmoid, logSumExp, and what is known of
/// their sums.
[<RequireQualifiedAccess>]
module internal NamingRules =
    let private none: Tensor voption = ValueNone

    /// A node that only shows a name: its meaning is `body`.
    let named name (body: Tensor[] -> Tensor) (operands: Tensor[]) =
        let parameters = operands |> Array.mapi (fun i t -> Op.parameter i t.DType t.Shape)
        let lambda = Lambda.make (operands |> Array.map (fun t -> t.DType, t.Shape)) [| body parameters |]
        (Op.custom { Name = name; Body = lambda; Gradient = None } operands)[0]

    let isNamed name (t: Tensor) =
        match t.Op with
        | Op.Item 0 ->
            (match t.Inputs[0].Op with
             | Op.Custom c -> c.Name = name
             | _ -> false)
        | _ -> false

    let private keepDims (axes: int[]) (x: Tensor) (reduced: Tensor) =
        Op.broadcast
            x.Shape
            (Op.reshape (x.Shape |> Array.mapi (fun i e -> if Array.contains i axes then 1 else e)) reduced)

    let private sumLike axes x t = keepDims axes x (Op.reduce Reduction.Sum axes t)

    // ---- softmax

    let sigmoid (z: Tensor) = named "sigmoid" (fun p -> tanh (p[0] * 0.5) * 0.5 + 0.5) [| z |]

    let mean (axes: int[]) (x: Tensor) =
        let s = Op.reduce Reduction.Sum axes x
        let n = axes |> Array.fold (fun n a -> n * x.Shape[a]) 1
        let name = if s.Rank = 0 then "mean" else "mean" + Shape.show axes
        named name (fun p -> Op.reduce Reduction.Sum axes p[0] / float n) [| x |]

    /// If every element of `t` is f(s) with s stretched along some axes: the reduction below that stretching.
    let rec private reduction (t: Tensor) =
        match t with
        | Stretched s
        | Reshaped s -> reduction s
        | _ ->
            (match t.Op with
             | Op.Reduce(r, axes) -> ValueSome(struct (r, axes, t.Inputs[0]))
             | _ -> ValueNone)

    /// x, if the exponent is x - max x (as every stable softmax has it), else the exponent itself.
    let private unshifted (z: Tensor) =
        match z with
        | Sub(x, m) ->
            let m =
                match m with
                | Stretched s -> s
                | _ -> m
            let m = if isNamed "stopGradient" m then m.Inputs[0].Inputs[0] else m
            (match reduction m with
             | ValueSome(struct (Reduction.Max, _, y)) when y = x -> x
             | _ -> z)
        | _ -> z

    let softmax (z: Tensor) (axes: int[]) =
        let body (p: Tensor[]) =
            let e = exp (p[0] - keepDims axes p[0] (Op.reduce Reduction.Max axes p[0]))
            e / sumLike axes p[0] e
        named "softmax" body [| unshifted z |]

    /// The axes, if `s` is the sum of `e` along them, stretched to e's shape again.
    let isSumOf (e: Tensor) (s: Tensor) =
        match reduction s with
        | ValueSome(struct (Reduction.Sum, axes, y)) when y = e && (s = sumLike axes e e) -> ValueSome axes
        | _ -> ValueNone

    /// A factor that is the same along `axes`, as it is before it was stretched along them.
    let private constantAlong (axes: int[]) (f: Tensor) =
        let reducedShape =
            f.Shape |> Array.indexed |> Array.filter (fun (i, _) -> not (Array.contains i axes)) |> Array.map snd
        match f with
        | Number c -> ValueSome(Calculus.fill f.DType reducedShape c)
        | Stretched s when axes |> Array.forall (fun a -> s.Shape[a] = 1) ->
            let squeezed =
                s.Shape |> Array.indexed |> Array.filter (fun (i, _) -> not (Array.contains i axes)) |> Array.map snd
            ValueSome(Op.broadcast reducedShape (Op.reshape squeezed s))
        | _ -> none

    let private sumRule name sample apply =
        nodeRule "pretty" (Op.Reduce(Reduction.Sum, [||])) name sample (fun t x ->
            match t.Op with
            | Op.Reduce(_, axes) -> apply axes x
            | _ -> none)
        |> relaxed

    // ---- one-hot

    let rec private isIota axis (t: Tensor) =
        match t with
        | Stretched s -> s.Shape[axis] <> 1 && isIota axis s
        | Reshaped s ->
            t.Rank - s.Rank <= axis && isIota (axis - (t.Rank - s.Rank)) s && s.Shape = t.Shape[t.Rank - s.Rank ..]
        | _ ->
            (match t.Op with
             | Op.Iota a -> a = axis
             | _ -> false)

    /// The classes, if the condition holds where the last index is the class of the row.
    let private classes (condition: Tensor) =
        match condition.Op with
        | Op.Binary Binary.Eq when condition.Rank > 0 && isIota (condition.Rank - 1) condition.Inputs[1] ->
            constantAlong [| condition.Rank - 1 |] condition.Inputs[0]
        | _ -> none

    /// 1 at the class, 0 elsewhere.
    let private oneHot (dtype: DType) (shape: int[]) (y: Tensor) =
        let body (p: Tensor[]) =
            let column = Op.broadcast shape (Op.reshape (Array.append y.Shape [| 1 |]) p[0])
            Op.cast dtype (Op.binary Binary.Eq column (Op.iota y.DType shape (shape.Length - 1)))
        named "oneHot" body [| y |]

    /// The family, in the order in which rules are tried.
    let rules =
        [ sumRule
              "sum-factor: what does not vary leaves the sum"
              (fun x _ _ ->
                  Op.reduce
                      Reduction.Sum
                      [ 2 ]
                      (Op.broadcast x.Shape (Op.slice [| 0; 0; 0 |] [| x.Shape[0]; x.Shape[1]; 1 |] [| 1; 1; 1 |] x)
                       * exp x))
              (fun axes x ->
                  let sum (y: Tensor) = Op.reduce Reduction.Sum axes y
                  let pulled f rest combine = constantAlong axes f |> ValueOption.map (fun c -> combine c (sum rest))
                  match x with
                  | Mul(a, b) ->
                      (match pulled a b (fun c s -> c * s) with
                       | ValueNone -> pulled b a (fun c s -> c * s)
                       | found -> found)
                  | Div(a, b) -> pulled b a (fun c s -> s / c)
                  | _ -> none)
          sumRule
              "sum-sum-terms: sum (x - y) = sum x - sum y, if one is known"
              (fun x _ _ -> Op.reduce Reduction.Sum [ 2 ] (x - softmax x [| 2 |]))
              (fun axes x ->
                  let sum (y: Tensor) = Op.reduce Reduction.Sum axes y
                  let isKnown y = isNamed "softmax" y
                  match x with
                  | Sub(a, b) when isKnown a || isKnown b -> ValueSome(sum a - sum b)
                  | Add(a, b) when isKnown a || isKnown b -> ValueSome(sum a + sum b)
                  | _ -> none)
          binaryRule
              "pretty"
              Binary.Div
              "mean: sum x / n, where n elements are summed"
              (fun x _ _ -> Op.reduce Reduction.Sum [ 2 ] x / float x.Shape[2])
              (fun s n ->
                  match s.Op, n with
                  | Op.Reduce(Reduction.Sum, axes), Number n when
                      float (Array.fold (fun c a -> c * s.Inputs[0].Shape[a]) 1 axes) = n && n > 1.0
                      ->
                      ValueSome(mean axes s.Inputs[0])
                  | _ -> none)
          |> relaxed
          sumRule
              "sum-centred: sum (x - mean x) = 0"
              (fun x _ _ ->
                  Op.reduce
                      Reduction.Sum
                      [ 2 ]
                      (x - Op.broadcast x.Shape (Op.reshape [| x.Shape[0]; x.Shape[1]; 1 |] (mean [| 2 |] x))))
              (fun axes x ->
                  match x with
                  | Sub(a, b) when Print.seen b = Print.seen (mean axes a) && b = keepDims axes a (mean axes a) ->
                      ValueSome(like (Op.reduce Reduction.Sum axes x) 0.0)
                  | _ -> none)
          sumRule
              "sum-softmax: probabilities sum to 1"
              (fun x _ _ -> Op.reduce Reduction.Sum [ 2 ] (softmax x [| 2 |]))
              (fun axes x ->
                  if not (isNamed "softmax" x) then
                      none
                  else
                      match x.Inputs[0].Op with
                      | Op.Custom c ->
                          let isAlong =
                              c.Body.Results
                              |> Array.exists (fun r ->
                                  match r with
                                  | Div(e, s) -> isSumOf e s = ValueSome axes
                                  | _ -> false)
                          if isAlong then
                              ValueSome(Op.reduce Reduction.Sum axes (like x 1.0) |> fun t -> like t 1.0)
                          else
                              none
                      | _ -> none)
          sumRule
              "sum-one-hot: exactly one place matches"
              (fun x _ _ ->
                  Op.reduce
                      Reduction.Sum
                      [ 2 ]
                      (oneHot
                          DType.F64
                          x.Shape
                          (Op.constant (Constant.ofInt DType.I32 2L) |> Op.broadcast x.Shape[..1])))
              (fun axes x ->
                  if isNamed "oneHot" x && axes = [| x.Rank - 1 |] then
                      ValueSome(like (Op.reduce Reduction.Sum axes x) 1.0)
                  else
                      none)
          nodeRule
              "pretty"
              Op.Cast
              "one-hot: 1 where the last index is the class"
              (fun x _ _ ->
                  Op.cast
                      DType.F64
                      (Op.binary
                          Binary.Eq
                          (Op.broadcast x.Shape (Op.constant (Constant.ofInt DType.I32 2L)))
                          (Op.iota DType.I32 x.Shape 2)))
              (fun t x -> if DType.isFloat t.DType then ValueOption.map (oneHot t.DType t.Shape) (classes x) else none)
          |> relaxed
          nodeRule
              "pretty"
              Op.Select
              "one-hot-scaled: a number where the last index is the class, else 0"
              (fun x _ _ ->
                  Op.select
                      (Op.binary
                          Binary.Eq
                          (Op.broadcast x.Shape (Op.constant (Constant.ofInt DType.I32 2L)))
                          (Op.iota DType.I32 x.Shape 2))
                      (like x 3.0)
                      (like x 0.0))
              (fun t x ->
                  match t.Inputs[1], t.Inputs[2] with
                  | factor, IsNumber 0.0 when DType.isFloat t.DType ->
                      classes x |> ValueOption.map (fun y -> factor * oneHot t.DType t.Shape y)
                  | _ -> none)
          |> relaxed
          binaryRule
              "pretty"
              Binary.Add
              "logSumExp: log (sum (exp (x - m))) + m, m = max x"
              (fun x _ _ ->
                  let m = Op.reshape [| x.Shape[0]; x.Shape[1]; 1 |] (Op.reduce Reduction.Max [ 2 ] x)
                  log (Op.reshape [| x.Shape[0]; x.Shape[1]; 1 |] (Op.reduce Reduction.Sum [ 2 ] (exp (x - m)))) + m)
              (fun x y ->
                  let isMax (m: Tensor) z =
                      (match reduction m with
                       | ValueSome(struct (Reduction.Max, _, w)) -> w = z
                       | _ -> false)
                  let found l m =
                      match l with
                      | UnaryOf Unary.Log s ->
                          (match reduction s with
                           | ValueSome(struct (Reduction.Sum, axes, UnaryOf Unary.Exp e)) ->
                               let z = unshifted e
                               let m = if isNamed "stopGradient" m then m.Inputs[0].Inputs[0] else m
                               if z <> e && isMax m z then
                                   ValueSome(
                                       named
                                           "logSumExp"
                                           (fun p ->
                                               let m = Op.reduce Reduction.Max axes p[0]
                                               let e = exp (p[0] - keepDims axes p[0] m)
                                               Op.reshape x.Shape (log (Op.reduce Reduction.Sum axes e) + m))
                                           [| z |]
                                   )
                               else
                                   none
                           | _ -> none)
                      | _ -> none
                  match found x y with
                  | ValueNone -> found y x
                  | known -> known)
          |> relaxed ]
