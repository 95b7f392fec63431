namespace Nanograd

/// Laws of reductions that meet sums, concatenations and monotone functions; and of structure: calls, loops and orders
/// whose results are known.
[<RequireQualifiedAccess>]
module internal StructureRules =
    let private none: Tensor voption = ValueNone
    let private some (x: Tensor) = ValueSome x

    let private reduceRule r name sample apply =
        nodeRule "reductions" (Op.Reduce(r, [||])) name sample (fun t x ->
            match t.Op with
            | Op.Reduce(_, axes) -> apply t x axes
            | _ -> none)

    let private isUsual (c: float) = abs c >= 1e-6 && abs c <= 1e6

    // ---- reductions

    let private combine r (a: Tensor) (b: Tensor) =
        match r with
        | Reduction.Sum -> a + b
        | Reduction.Prod -> a * b
        | Reduction.Max -> Op.binary Binary.Max a b
        | Reduction.Min -> Op.binary Binary.Min a b

    let private ofNothing r =
        match r with
        | Reduction.Sum -> ValueSome 0.0
        | Reduction.Prod -> ValueSome 1.0
        | Reduction.Max
        | Reduction.Min -> ValueNone

    /// Functions that never fall, of all numbers.
    let private isRising (u: Unary) =
        match u with
        | Unary.Exp
        | Unary.Expm1
        | Unary.Atan
        | Unary.Tanh
        | Unary.Erf
        | Unary.Floor
        | Unary.Ceil
        | Unary.Round
        | Unary.Sign -> true
        | Unary.Neg
        | Unary.Abs
        | Unary.Log
        | Unary.Log1p
        | Unary.Sqrt
        | Unary.Rsqrt
        | Unary.Sin
        | Unary.Cos
        | Unary.Not -> false

    let private opposite r =
        match r with
        | Reduction.Max -> Reduction.Min
        | Reduction.Min -> Reduction.Max
        | Reduction.Sum
        | Reduction.Prod -> r

    let private extremes =
        [ for r in [ Reduction.Max; Reduction.Min ] do
              let name = (string r).ToLowerInvariant()
              reduceRule
                  r
                  $"{name}-rising: {name} (f x) = f ({name} x), where f never falls"
                  (fun x _ d ->
                      let u = [| Unary.Exp; Unary.Tanh; Unary.Floor; Unary.Atan; Unary.Round |]
                      Op.reduce r [ 2 ] (Op.unary u[d.Below u.Length] x))
                  (fun _ x axes ->
                      match x.Op with
                      // The sign of NaN is 0, which would win against NaN.
                      | Op.Unary u when isFloat x && isRising u && u <> Unary.Sign ->
                          some (Op.unary u (Op.reduce r axes x.Inputs[0]))
                      | _ -> none)
              |> rounds
              reduceRule
                  r
                  $"{name}-neg: {name} (-x) = -({(string (opposite r)).ToLowerInvariant()} x)"
                  (fun x _ _ -> Op.reduce r [ 1 ] -x)
                  (fun _ x axes ->
                      match x with
                      | Neg x when isFloat x -> some -(Op.reduce (opposite r) axes x)
                      | _ -> none)
              reduceRule
                  r
                  $"{name}-scale: {name} (c * x) = c * {name} x, for c > 0"
                  (fun x _ d -> Op.reduce r [ 2 ] (d.Number * x))
                  (fun _ x axes ->
                      match x with
                      | Mul(Number c, y)
                      | Mul(y, Number c) when isFloat x && isUsual c ->
                          let m = Op.reduce (if c > 0.0 then r else opposite r) axes y
                          some (like m c * m)
                      | _ -> none)
              reduceRule
                  r
                  $"{name}-shift: {name} (x + c) = {name} x + c"
                  (fun x _ d -> Op.reduce r [ 2 ] (x + d.Number))
                  (fun _ x axes ->
                      match x with
                      | Add(Number c, y)
                      | Add(y, Number c) when isFloat x && isUsual c ->
                          let m = Op.reduce r axes y in some (m + like m c)
                      | _ -> none) ]

    let private reductions =
        [ reduceRule
              Reduction.Sum
              "sum-scale: sum (c * x) = c * sum x"
              (fun x _ d -> Op.reduce Reduction.Sum [ 2 ] (d.Number * x))
              (fun _ x axes ->
                  match x with
                  | Mul(Number c, y)
                  | Mul(y, Number c) when isFloat x && isUsual c ->
                      let s = Op.reduce Reduction.Sum axes y in some (like s c * s)
                  | _ -> none)
          |> rounds
          for r in [ Reduction.Sum; Reduction.Prod; Reduction.Max; Reduction.Min ] do
              let name = (string r).ToLowerInvariant()
              reduceRule
                  r
                  $"{name}-concat: reduce the parts, then their results"
                  (fun x y _ -> Op.reduce r [ 1 ] (Op.concat 1 [| x; y |]))
                  (fun _ x axes ->
                      match x with
                      | Joined(axis, parts) when
                          Array.contains axis axes && parts |> Array.forall (fun p -> p.Shape[axis] > 0)
                          ->
                          some (parts |> Array.map (Op.reduce r axes) |> Array.reduce (combine r))
                      | _ -> none)
              |> roundsIf (r = Reduction.Sum || r = Reduction.Prod)
              if (ofNothing r).IsSome then
                  reduceRule
                      r
                      $"{name}-empty: of nothing"
                      (fun x _ _ -> Op.reduce r [ 0 ] (Op.slice [| 0; 0; 0 |] [| 0; 2; 2 |] [| 1; 1; 1 |] x))
                      (fun t x _ ->
                          match ofNothing r with
                          | ValueSome v when x.Count = 0 -> some (like t v)
                          | _ -> none) ]

    // ---- structure

    let private itemRule name sample apply =
        nodeRule "structure" (Op.Item 0) name sample (fun t call ->
            match t.Op with
            | Op.Item i -> apply t i call
            | _ -> none)

    let private structure =
        let same (x: Tensor) = x.DType, x.Shape
        let custom (x: Tensor) results =
            (Op.custom { Name = "known"; Body = Lambda.make [| same x |] results; Gradient = None } [| x |])[0]
        let first (x: Tensor) = Op.parameter 0 x.DType x.Shape
        let loop length (x: Tensor) (y: Tensor) =
            let parameter i (x: Tensor) = Op.parameter i x.DType x.Shape[1..]
            let next = parameter 0 x + parameter 1 x
            let body = Lambda.make [| x.DType, x.Shape[1..]; x.DType, x.Shape[1..] |] [| next; next * parameter 1 x |]
            let start =
                Op.slice [| 0; 0; 0 |] [| 1; y.Shape[1]; y.Shape[2] |] [| 1; 1; 1 |] y |> Op.reshape y.Shape[1..]
            let steps = Op.slice [| 0; 0; 0 |] [| length; x.Shape[1]; x.Shape[2] |] [| 1; 1; 1 |] x
            Op.scan { Body = body; Captured = 0; Carried = 1; Length = length; Reverse = false } [| start; steps |]
        [ itemRule
              "custom-operand: a function that gives an operand back, once gradients are taken"
              (fun x _ d -> if d.Below 2 = 0 then custom x [| first x |] else Grad.stopGradient x)
              (fun _ i call ->
                  match call.Op with
                  | Op.Custom c ->
                      (match c.Body.Results[i].Op with
                       | Op.Parameter p -> some call.Inputs[p]
                       | _ -> none)
                  | _ -> none)
          itemRule
              "custom-constant: a function that gives a constant"
              (fun x _ _ -> custom x [| like x 3.0 |])
              (fun t i call ->
                  match call.Op with
                  | Op.Custom c ->
                      (match c.Body.Results[i] with
                       | Uniform v -> some (constantLike t.Shape v)
                       | _ -> none)
                  | _ -> none)
          itemRule
              "sort-constant: equal elements are in order"
              (fun x _ d ->
                  let sorted = if d.Below 2 = 0 then Op.sort 1 true (like x 2.0) else Op.topK 2 (like x 2.0)
                  if d.Below 2 = 0 then fst sorted else snd sorted)
              (fun t i call ->
                  match call.Op, call.Inputs with
                  | Op.Sort(axis, _), [| Uniform c |] ->
                      some (if i = 0 then constantLike t.Shape c else Op.iota t.DType t.Shape axis)
                  | Op.TopK _, [| Uniform c |] ->
                      some (if i = 0 then constantLike t.Shape c else Op.iota t.DType t.Shape (t.Rank - 1))
                  | _ -> none)
          nodeRule
              "structure"
              (Op.ArgReduce(true, 0))
              "arg-constant: of equal elements the first"
              (fun x _ d -> Op.argReduce (d.Below 2 = 0) 1 (like x 2.0))
              (fun t x ->
                  match x with
                  | Uniform _ -> some (like t 0.0)
                  | _ -> none)
          nodeRule
              "structure"
              (Op.CumSum(0, true))
              "cumsum-one: one element is its sum"
              (fun x _ _ -> Op.cumSum 1 false (Op.slice [| 0; 0; 0 |] [| 2; 1; 2 |] [| 1; 1; 1 |] x))
              (fun t x ->
                  match t.Op with
                  | Op.CumSum(axis, _) when x.Shape[axis] = 1 && x.DType = t.DType -> some x
                  | _ -> none)
          // A loop of one step stays: so is what is computed again kept apart from what was computed before.
          itemRule
              "scan-none: no steps leave the carries as they were"
              (fun x y d -> (loop 0 x y)[d.Below 2])
              (fun t i call ->
                  match call.Op with
                  | Op.Scan s when s.Length = 0 ->
                      some (if i < s.Carried then call.Inputs[s.Captured + i] else like t 0.0)
                  | _ -> none) ]

    /// The family, in the order in which rules are tried.
    let rules = extremes @ reductions @ structure
