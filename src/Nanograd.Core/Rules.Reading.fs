namespace Nanograd

/// Laws for readers: what keeps derivatives right at single points (ties, zeros) is left out, selections are merged,
/// products of matrices are written without the axes that vectors get for computing.
[<RequireQualifiedAccess>]
module internal ReadingRules =
    let private none: Tensor voption = ValueNone
    let private some (x: Tensor) = ValueSome x
    let private binary b name sample apply = binaryRule "pretty" b name sample apply |> relaxed
    let private unary u name sample apply = unaryRule "pretty" u name sample apply |> relaxed
    let private node op name sample apply = nodeRule "pretty" op name sample apply |> relaxed
    let private compare b x y = Op.binary b x y

    let private (|Comparison|_|) (b: Binary) (t: Tensor) =
        match t.Op with
        | Op.Binary c when b = c -> Some(t.Inputs[0], t.Inputs[1])
        | _ -> None

    let private (|Where|_|) (t: Tensor) =
        match t.Op with
        | Op.Select -> Some(t.Inputs[0], t.Inputs[1], t.Inputs[2])
        | _ -> None

    // ---- what guards single points

    let private isTwice (c: Tensor) (half: Tensor) =
        let struct (n, x), struct (m, y) = CollectingRules.numberOf c, CollectingRules.numberOf half
        x = y && n = 2.0 * m

    let private guards =
        [ binary
              Binary.Pow
              "pow-guard: the exponent needs no care where it is 0"
              (fun x y _ -> pow x (Op.select (compare Binary.Eq y (like y 0.0)) (like y 0.0) (y - 1.0)))
              (fun x e ->
                  match e with
                  | Where(Comparison Binary.Eq (_, IsNumber 0.0), IsNumber 0.0, e) -> some (pow x e)
                  | _ -> none)
          unary
              Unary.Log
              "log-guard: the base needs no care where it is 0"
              (fun x y _ ->
                  let isZero = compare Binary.And (compare Binary.Eq x (like x 0.0)) (compare Binary.Ge y (like y 0.0))
                  log (Op.select isZero (like x 1.0) x))
              (fun x ->
                  match x with
                  | Where(Comparison Binary.And (Comparison Binary.Eq (y, IsNumber 0.0), _), IsNumber 1.0, z) when
                      y = z
                      ->
                      some (log z)
                  | _ -> none)
          node
              Op.Select
              "ties: where equals share, the larger one takes all"
              (fun x y _ ->
                  Op.select (compare Binary.Eq x y) (0.5 * y) (Op.select (compare Binary.Lt x y) (like x 0.0) y))
              (fun t condition ->
                  match condition, t.Inputs[1], t.Inputs[2] with
                  | Comparison Binary.Eq (x, y), half, Where(loses, IsNumber 0.0, c) when x <> y && isTwice c half ->
                      match loses with
                      | Comparison Binary.Lt (a, b) when a = x && b = y ->
                          some (Op.select (compare Binary.Gt x y) c (like c 0.0))
                      | Comparison Binary.Gt (a, b) when a = x && b = y ->
                          some (Op.select (compare Binary.Lt x y) c (like c 0.0))
                      | _ -> none
                  | _ -> none)
          node
              Op.Select
              "where-rest: what is zero comes last"
              (fun x y _ -> Op.select (compare Binary.Le x y) (like x 0.0) x)
              (fun t condition ->
                  match condition, t.Inputs[1], t.Inputs[2] with
                  | _, _, IsNumber 0.0 -> none
                  | Comparison Binary.Le (x, y), IsNumber 0.0, u ->
                      some (Op.select (compare Binary.Gt x y) u (like u 0.0))
                  | Comparison Binary.Ge (x, y), IsNumber 0.0, u ->
                      some (Op.select (compare Binary.Lt x y) u (like u 0.0))
                  | _ -> none) ]

    // ---- selections

    let private opposite (b: Binary) =
        match b with
        | Binary.Lt -> Binary.Gt
        | Binary.Le -> Binary.Ge
        | Binary.Gt -> Binary.Lt
        | Binary.Ge -> Binary.Le
        | _ -> b

    /// True where the first condition is not (NaN apart).
    let private isRest (c: Tensor) (d: Tensor) =
        match c.Op, d.Op with
        | Op.Binary(Binary.Le | Binary.Ge | Binary.Lt | Binary.Gt as b), Op.Binary e when c.Inputs = d.Inputs ->
            (match b with
             | Binary.Le -> e = Binary.Gt
             | Binary.Ge -> e = Binary.Lt
             | Binary.Lt -> e = Binary.Ge
             | _ -> e = Binary.Le)
        | _ -> false

    let private selections =
        let factor combine (a: Tensor) (b: Tensor) =
            match a, b with
            | Where(c, u, IsNumber 0.0), f -> some (Op.select c (combine u f) (like u 0.0))
            | Where(c, IsNumber 0.0, u), f -> some (Op.select c (like u 0.0) (combine u f))
            | _ -> none
        let merge combine (a: Tensor) (b: Tensor) =
            match a, b with
            | Where(c, u, v), Where(d, w, z) when c = d -> some (Op.select c (combine u w) (combine v z))
            | Where(c, u, v), Where(d, w, z) when isRest c d -> some (Op.select c (combine u z) (combine v w))
            | _ -> none
        let isPositive (x: Tensor) = compare Binary.Gt x (like x 0.0)
        let positive (x: Tensor) y = Op.select (isPositive x) y (like y 0.0)
        [ binary
              Binary.Mul
              "where-mul: (where c x 0) * y = where c (x * y) 0"
              (fun x y _ -> positive x y * x)
              (fun a b ->
                  match factor (*) a b with
                  | ValueNone -> factor (fun u f -> f * u) b a
                  | found -> found)
          binary
              Binary.Div
              "where-div: (where c x 0) / y = where c (x / y) 0"
              (fun x y _ -> positive x y / x)
              (factor (/))
          unary Unary.Neg "where-neg: -(where c x 0) = where c (-x) 0" (fun x y _ -> -(positive x y)) (fun x ->
              factor (fun u _ -> -u) x x)
          binary
              Binary.Add
              "where-add: selections by one condition are one"
              (fun x y _ -> positive x y + Op.select (isPositive x) (like x 0.0) x)
              (merge (+))
          binary
              Binary.Sub
              "where-sub: selections by one condition are one"
              (fun x y _ -> positive x y - Op.select (isPositive x) (like x 0.0) x)
              (merge (-))
          for b in [ Binary.Lt; Binary.Le; Binary.Gt; Binary.Ge; Binary.Eq; Binary.Ne ] do
              binary
                  b
                  $"{Case.name b}-number: the number stands on the right"
                  (fun x _ _ -> compare b (like x 0.5) x)
                  (fun x y ->
                      match x, y with
                      | Uniform _, Uniform _ -> none
                      | Uniform _, y -> some (compare (opposite b) y x)
                      | Sub(Uniform c, z), IsNumber 0.0 -> some (compare (opposite b) z (constantLike z.Shape c))
                      | Sub(z, Uniform c), IsNumber 0.0 -> some (compare b z (constantLike z.Shape c))
                      | _ -> none) ]

    // ---- sigmoid, softplus

    let private isNumber v (t: Tensor) = isFloat t && CollectingRules.numberOf t = struct (v, like t 1.0)

    let private sigmoids =
        [ binary Binary.Add "sigmoid: tanh (x / 2) / 2 + 1 / 2" (fun x _ _ -> tanh (0.5 * x) * 0.5 + 0.5) (fun x y ->
              let found a b =
                  match CollectingRules.numberOf a with
                  | struct (0.5, UnaryOf Unary.Tanh h) when isNumber 0.5 b ->
                      (match CollectingRules.numberOf h with
                       | struct (0.5, z) -> some (NamingRules.sigmoid z)
                       | _ -> none)
                  | _ -> none
              if not (isFloat x) then
                  none
              else
                  match found x y with
                  | ValueNone -> found y x
                  | known -> known)
          binary
              Binary.Sub
              "sigmoid-tanh: 1 - tanh²(x / 2) = 4·σ(x)·(1 - σ(x))"
              (fun x _ _ -> let y = tanh (0.5 * x) in 1.0 - y * y)
              (fun x y ->
                  match x, y with
                  | IsNumber 1.0, Mul(UnaryOf Unary.Tanh h, UnaryOf Unary.Tanh k) when h = k ->
                      (match CollectingRules.numberOf h with
                       | struct (0.5, z) -> let s = NamingRules.sigmoid z in some (4.0 * (s * (1.0 - s)))
                       | _ -> none)
                  | _ -> none)
          binary
              Binary.Sub
              "softplus: the step at 0 and what rounds it off are a sigmoid"
              (fun x _ _ ->
                  Op.select (compare Binary.Gt x (like x 0.0)) (like x 1.0) (like x 0.0)
                  - NamingRules.sigmoid (-(abs x)) * Op.unary Unary.Sign x)
              (fun step round ->
                  match step, round with
                  | Where(Comparison Binary.Gt (x, IsNumber 0.0), IsNumber 1.0, IsNumber 0.0), Mul(a, b) ->
                      let curve, sign = NamingRules.sigmoid (-(abs x)), Op.unary Unary.Sign x
                      if (a = curve && b = sign) || (a = sign && b = curve) then some (NamingRules.sigmoid x) else none
                  | _ -> none) ]

    // ---- products of matrices

    let private free rank (batch: int[]) (sum: int[]) =
        [| for i in 0 .. rank - 1 do
               if not (Array.contains i batch || Array.contains i sum) then i |]

    /// Without axes of extent 1, unless they are batches.
    let private squeezed (t: Tensor) (d: Contraction) =
        let x, y = t.Inputs[0], t.Inputs[1]
        let sums = Array.zip d.LeftSum d.RightSum |> Array.filter (fun (i, _) -> x.Shape[i] <> 1)
        let kept (x: Tensor) batch (sum: int[]) (solid: int[]) =
            let gone =
                Array.append (Array.except solid sum) (free x.Rank batch sum |> Array.filter (fun a -> x.Shape[a] = 1))
            [| 0 .. x.Rank - 1 |] |> Array.except gone
        let left = kept x d.LeftBatch d.LeftSum (Array.map fst sums)
        let right = kept y d.RightBatch d.RightSum (Array.map snd sums)
        if left.Length = x.Rank && right.Length = y.Rank then
            none
        else
            let at (places: int[]) axes = axes |> Array.map (fun a -> System.Array.IndexOf(places, a))
            let small (x: Tensor) (places: int[]) = Op.reshape (places |> Array.map (fun a -> x.Shape[a])) x
            let d =
                { LeftBatch = at left d.LeftBatch
                  RightBatch = at right d.RightBatch
                  LeftSum = at left (Array.map fst sums)
                  RightSum = at right (Array.map snd sums) }
            let x, y = small x left, small y right
            let product = if x.Rank = 0 || y.Rank = 0 then Op.cast t.DType (x * y) else Op.dot d x y
            some (Op.reshape t.Shape product)

    let private matrices =
        let matrix = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 2 |]; RightSum = [| 0 |] }
        let dot name sample apply =
            node (Op.Dot matrix) name sample (fun t _ ->
                match t.Op with
                | Op.Dot d -> apply t d
                | _ -> none)
        [ dot
              "dot-units: vectors need no axes of extent 1"
              (fun x _ (Matrix w) ->
                  matmul (Op.reshape [| -1; x.Shape[2] |] x) (Op.slice [| 0; 0 |] [| x.Shape[2]; 1 |] [| 1; 1 |] w))
              squeezed
          dot
              "dot-vector: x @ A = Aᵀ @ x"
              (fun x _ (Matrix w) ->
                  Op.dot
                      { matrix with LeftSum = [| 0 |] }
                      (Op.reshape [| -1 |] (Op.slice [| 0; 0; 0 |] [| 1; 1; x.Shape[2] |] [| 1; 1; 1 |] x))
                      w)
              (fun t d ->
                  let x, y = t.Inputs[0], t.Inputs[1]
                  if d.LeftBatch.Length = 0 && x.Rank = 1 && y.Rank = 2 && d.LeftSum.Length = 1 then
                      some (Op.dot { d with LeftSum = d.RightSum; RightSum = d.LeftSum } y x)
                  else
                      none)
          dot "dot-number: numbers go before the product" (fun x _ (Matrix w) -> matmul x (3.0 * w)) (fun t d ->
              if not (isFloat t) then
                  none
              else
                  let struct (n, x), struct (m, y) =
                      CollectingRules.numberOf t.Inputs[0], CollectingRules.numberOf t.Inputs[1]
                  if n * m = 1.0 && n > 0.0 then none else some (like t (n * m) * Op.dot d x y)) ]

    /// The family, in the order in which rules are tried.
    let rules = guards @ selections @ sigmoids @ matrices
