namespace Nanograd

open System

/// Laws of numbers: elementwise functions, constants, casts, selections.
[<RequireQualifiedAccess>]
module internal AlgebraRules =
    let private none: Tensor voption = ValueNone
    let private some (x: Tensor) = ValueSome x
    let private unary u name sample apply = unaryRule "algebra" u name sample apply
    let private binary b name sample apply = binaryRule "algebra" b name sample apply

    // ---- constants

    let private foldUnary u (c: Constant) =
        let float v = ValueSome(Constant.ofFloat c.DType v)
        if DType.isFloat c.DType then
            match u with
            | Unary.Neg -> float -c.Float
            | Unary.Abs -> float (abs c.Float)
            | Unary.Sqrt -> float (sqrt c.Float)
            | Unary.Floor -> float (floor c.Float)
            | Unary.Ceil -> float (ceil c.Float)
            | Unary.Exp when c.Float = 0.0 -> float 1.0
            | Unary.Log when c.Float = 1.0 -> float 0.0
            | _ -> ValueNone // the rest is computed by Scalar's polynomials when the program runs
        else
            match u with
            | Unary.Neg -> ValueSome(Constant.ofInt c.DType -c.Int)
            | Unary.Not when c.DType = DType.Bool -> ValueSome(Constant.ofInt DType.Bool (1L - c.Int))
            | _ -> ValueNone

    let private foldBinary b (x: Constant) (y: Constant) =
        let flag v = ValueSome(Constant.ofInt DType.Bool (if v then 1L else 0L))
        let isFloat = DType.isFloat x.DType
        let number floats ints =
            ValueSome(
                if isFloat then
                    Constant.ofFloat x.DType (floats x.Float y.Float)
                else
                    Constant.ofInt x.DType (ints x.Int y.Int)
            )
        match b with
        | Binary.Add -> number (+) (+)
        | Binary.Sub -> number (-) (-)
        | Binary.Mul -> number (*) (*)
        | Binary.Div when isFloat -> number (/) (fun a _ -> a)
        | Binary.Max -> number (fun a b -> Math.Max(a, b)) max
        | Binary.Min -> number (fun a b -> Math.Min(a, b)) min
        | Binary.Eq -> flag (if isFloat then x.Float = y.Float else x.Int = y.Int)
        | Binary.Ne -> flag (if isFloat then x.Float <> y.Float else x.Int <> y.Int)
        | Binary.Lt -> flag (if isFloat then x.Float < y.Float else x.Int < y.Int)
        | Binary.Le -> flag (if isFloat then x.Float <= y.Float else x.Int <= y.Int)
        | Binary.Gt -> flag (if isFloat then x.Float > y.Float else x.Int > y.Int)
        | Binary.Ge -> flag (if isFloat then x.Float >= y.Float else x.Int >= y.Int)
        | Binary.And -> ValueSome(Constant.ofInt x.DType (x.Int &&& y.Int))
        | Binary.Or -> ValueSome(Constant.ofInt x.DType (x.Int ||| y.Int))
        | Binary.Xor -> ValueSome(Constant.ofInt x.DType (x.Int ^^^ y.Int))
        | _ -> ValueNone

    let private two (x: Tensor) = like x 2.0

    let private constants =
        [ for u in [ Unary.Neg; Unary.Abs; Unary.Sqrt; Unary.Floor; Unary.Ceil; Unary.Exp; Unary.Log; Unary.Not ] ->
              unary
                  u
                  $"fold-{(string u).ToLowerInvariant()}: f c = the constant f(c)"
                  (fun x _ _ ->
                      match u with
                      | Unary.Not -> Op.unary u (constantLike x.Shape (Constant.ofInt DType.Bool 1L))
                      | Unary.Exp -> Op.unary u (like x 0.0)
                      | Unary.Log -> Op.unary u (like x 1.0)
                      | _ -> Op.unary u (two x))
                  (fun x ->
                      match x with
                      | Uniform c -> foldUnary u c |> ValueOption.map (constantLike x.Shape)
                      | _ -> none)
          for b in
              [ Binary.Add
                Binary.Sub
                Binary.Mul
                Binary.Div
                Binary.Max
                Binary.Min
                Binary.Eq
                Binary.Ne
                Binary.Lt
                Binary.Le
                Binary.Gt
                Binary.Ge
                Binary.And
                Binary.Or
                Binary.Xor ] ->
              let sample (x: Tensor) _ _ =
                  match b with
                  | Binary.And
                  | Binary.Or
                  | Binary.Xor ->
                      Op.binary
                          b
                          (constantLike x.Shape (Constant.ofInt DType.I32 6L))
                          (constantLike x.Shape (Constant.ofInt DType.I32 3L))
                  | _ -> Op.binary b (two x) (like x 3.0)
              binary b $"fold-{(string b).ToLowerInvariant()}: c op d = one constant" sample (fun x y ->
                  match x, y with
                  | Uniform c, Uniform d -> foldBinary b c d |> ValueOption.map (constantLike x.Shape)
                  | _ -> none) ]

    // ---- sums

    let private sums =
        [ binary Binary.Add "add-zero: x + 0 = x" (fun x _ _ -> x + like x 0.0) (fun x y ->
              match x, y with
              | x, IsNumber 0.0
              | IsNumber 0.0, x -> some x
              | _ -> none)
          binary Binary.Sub "sub-zero: x - 0 = x" (fun x _ _ -> x - like x 0.0) (fun x y ->
              match y with
              | IsNumber 0.0 -> some x
              | _ -> none)
          binary Binary.Sub "zero-sub: 0 - x = -x" (fun x _ _ -> like x 0.0 - x) (fun x y ->
              match x with
              | IsNumber 0.0 -> some -y
              | _ -> none)
          binary Binary.Add "add-neg: x + (-y) = x - y" (fun x y _ -> x + -y) (fun x y ->
              match x, y with
              | x, Neg y
              | Neg y, x -> some (x - y)
              | _ -> none)
          binary Binary.Sub "sub-neg: x - (-y) = x + y" (fun x y _ -> x - -y) (fun x y ->
              match y with
              | Neg y -> some (x + y)
              | _ -> none)
          unary Unary.Neg "neg-neg: -(-x) = x" (fun x _ _ -> -(-x)) (fun x ->
              match x with
              | Neg x -> some x
              | _ -> none)
          unary Unary.Neg "neg-sub: -(x - y) = y - x" (fun x y _ -> -(x - y)) (fun x ->
              match x with
              | Sub(x, y) -> some (y - x)
              | _ -> none) ]

    // ---- products

    /// c * d, if that loses nothing that c * (d * x) would keep: neither overflow nor underflow.
    let private joined (x: Tensor) (c: float) (d: float) =
        let p = (Constant.ofFloat x.DType (c * d)).Float
        let usual v = let a = abs v in a >= 1e-12 && a <= 1e12
        if isFloat x && usual c && usual d && usual p then ValueSome(like x p * x) else none

    let private products =
        [ binary Binary.Mul "mul-one: x * 1 = x" (fun x _ _ -> x * like x 1.0) (fun x y ->
              match x, y with
              | x, IsNumber 1.0
              | IsNumber 1.0, x -> some x
              | _ -> none)
          binary Binary.Mul "mul-minus-one: x * -1 = -x" (fun x _ _ -> like x -1.0 * x) (fun x y ->
              match x, y with
              | x, IsNumber -1.0
              | IsNumber -1.0, x -> some -x
              | _ -> none)
          binary Binary.Mul "mul-neg: (-x) * y = -(x * y)" (fun x y _ -> -x * y) (fun x y ->
              match x, y with
              | Neg x, Number c
              | Number c, Neg x when isFloat x -> some (like x -c * x)
              | Neg x, y
              | y, Neg x -> some -(x * y)
              | _ -> none)
          unary Unary.Neg "neg-mul: -(c * x) = (-c) * x" (fun x _ d -> -(d.Number * x)) (fun x ->
              match x with
              | Mul(Number c, x)
              | Mul(x, Number c) when isFloat x -> some (like x -c * x)
              | _ -> none)
          binary
              Binary.Mul
              "mul-constants: c * (d * x) = (c d) * x"
              (fun x _ d -> d.Number * (d.Number * 0.5 * x))
              (fun x y ->
                  match x, y with
                  | Number c, Mul(Number d, x)
                  | Number c, Mul(x, Number d)
                  | Mul(Number d, x), Number c
                  | Mul(x, Number d), Number c -> joined x c d
                  | _ -> none)
          |> rounds
          binary Binary.Mul "int-mul-zero: n * 0 = 0" (fun x _ _ -> Op.cast DType.I32 x * 0) (fun x y ->
              match x, y with
              | _, IsNumber 0.0
              | IsNumber 0.0, _ when not (isFloat x) -> some (like x 0.0)
              | _ -> none)
          binary Binary.Div "div-one: x / 1 = x" (fun x _ _ -> x / 1.0) (fun x y ->
              match y with
              | IsNumber 1.0 -> some x
              | _ -> none)
          binary Binary.Div "div-minus-one: x / -1 = -x" (fun x _ _ -> x / -1.0) (fun x y ->
              match y with
              | IsNumber -1.0 when isFloat x -> some -x
              | _ -> none)
          binary Binary.Div "div-neg: (-x) / y = -(x / y)" (fun x y _ -> -x / y) (fun x y ->
              match x, y with
              | Neg x, y when isFloat x -> some -(x / y)
              | x, Neg y when isFloat x -> some -(x / y)
              | _ -> none)
          binary
              Binary.Div
              "div-power-of-two: x / 2**k = x * 2**-k"
              (fun x _ d -> x / float (1 <<< d.Below 9))
              (fun x y ->
                  match y with
                  | Number c when isFloat x && isPowerOfTwo c && abs c < 1e30 && abs c > 1e-30 && x.DType <> DType.F16 ->
                      some (x * like x (1.0 / c))
                  | _ -> none)
          |> compileOnly ]

    // ---- powers

    let private powers =
        let power n name sample result =
            binary Binary.Pow name sample (fun x y ->
                match y with
                | IsNumber n when isFloat x -> some (result x)
                | _ -> none)
            |> roundsIf (n <> 0.0 && n <> 1.0)
        [ power 0.0 "pow-zero: x ** 0 = 1" (fun x _ _ -> x ** 0.0) (fun x -> like x 1.0)
          power 1.0 "pow-one: x ** 1 = x" (fun x _ _ -> x ** 1.0) id
          power 2.0 "pow-two: x ** 2 = x * x" (fun x _ _ -> x ** 2.0) (fun x -> x * x)
          power 3.0 "pow-three: x ** 3 = x * x * x" (fun x _ _ -> x ** 3.0) (fun x -> x * x * x) |> compileOnly
          power -1.0 "pow-minus-one: x ** -1 = 1 / x" (fun x _ _ -> x ** -1.0) (fun x -> like x 1.0 / x)
          power 0.5 "pow-half: x ** 0.5 = sqrt x" (fun x _ _ -> x ** 0.5) sqrt ] // as PyTorch: NaN at -inf

    // ---- order, logic, selection, casts

    let private same b name = binary b name (fun x _ _ -> Op.binary b x x) (fun x y -> if x = y then some x else none)

    let private logic =
        let isTrue (t: Tensor) =
            match t with
            | Uniform c when t.DType = DType.Bool -> ValueSome(c.Int <> 0L)
            | _ -> ValueNone
        let bool (x: Tensor) = Op.binary Binary.Gt x (like x 0.5)
        [ same Binary.Max "max-same: max x x = x"
          same Binary.Min "min-same: min x x = x"
          unary Unary.Abs "abs-neg: |-x| = |x|" (fun x _ _ -> abs -x) (fun x ->
              match x with
              | Neg x when x.DType <> DType.U32 && x.DType <> DType.U8 -> some (abs x) // unsigned, -x wraps
              | _ -> none)
          unary Unary.Abs "abs-abs: ||x|| = |x|" (fun x _ _ -> abs (abs x)) (fun x ->
              match x with
              | UnaryOf Unary.Abs _ -> some x
              | _ -> none)
          unary
              Unary.Not
              "not-not: not (not b) = b"
              (fun x _ _ -> Op.unary Unary.Not (Op.unary Unary.Not (bool x)))
              (fun x ->
                  match x with
                  | UnaryOf Unary.Not x -> some x
                  | _ -> none)
          binary
              Binary.And
              "and-true: b and true = b"
              (fun x _ _ -> Op.binary Binary.And (bool x) (constantLike x.Shape (Constant.ofInt DType.Bool 1L)))
              (fun x y ->
                  match isTrue x, isTrue y with
                  | ValueSome true, _
                  | _, ValueSome false -> some y
                  | _, ValueSome true
                  | ValueSome false, _ -> some x
                  | _ -> none)
          binary
              Binary.Or
              "or-false: b or false = b"
              (fun x _ _ -> Op.binary Binary.Or (bool x) (constantLike x.Shape (Constant.ofInt DType.Bool 0L)))
              (fun x y ->
                  match isTrue x, isTrue y with
                  | ValueSome false, _
                  | _, ValueSome true -> some y
                  | _, ValueSome false
                  | ValueSome true, _ -> some x
                  | _ -> none)
          nodeRule
              "algebra"
              Op.Select
              "select-constant: where true x y = x"
              (fun x y _ -> Op.select (constantLike x.Shape (Constant.ofInt DType.Bool 0L)) x y)
              (fun t c ->
                  match isTrue c with
                  | ValueSome true -> some t.Inputs[1]
                  | ValueSome false -> some t.Inputs[2]
                  | ValueNone -> none)
          nodeRule "algebra" Op.Select "select-same: where b x x = x" (fun x _ _ -> Op.select (bool x) x x) (fun t _ ->
              if t.Inputs[1] = t.Inputs[2] then some t.Inputs[1] else none)
          nodeRule
              "algebra"
              Op.Select
              "select-not: where (not b) x y = where b y x"
              (fun x y _ -> Op.select (Op.unary Unary.Not (bool x)) x y)
              (fun t c ->
                  match c with
                  | UnaryOf Unary.Not b -> some (Op.select b t.Inputs[2] t.Inputs[1])
                  | _ -> none) ]

    /// True if every value of `a` is a value of `b`.
    let private isExact (a: DType) (b: DType) =
        match a, b with
        | DType.Bool, _ -> b <> DType.Bool
        | (DType.F16 | DType.BF16), (DType.F32 | DType.F64)
        | DType.F32, DType.F64 -> true
        | (DType.U8 | DType.I8), (DType.I32 | DType.I64)
        | (DType.I32 | DType.U32), DType.I64 -> true
        | _ -> false

    let private casts =
        [ nodeRule
              "algebra"
              Op.Cast
              "cast-cast: through a type that holds all values"
              (fun x _ _ -> x |> Op.cast DType.F32 |> Op.cast DType.F64 |> Op.cast DType.F32)
              (fun t x ->
                  match x.Op with
                  | Op.Cast when
                      isExact x.Inputs[0].DType x.DType
                      && (DType.isInteger x.DType || isFloat x.Inputs[0] || x.Inputs[0].DType = DType.Bool)
                      ->
                      some (Op.cast t.DType x.Inputs[0])
                  | _ -> none)
          nodeRule
              "algebra"
              Op.Cast
              "cast-constant: cast of a constant"
              (fun x _ _ -> Op.rebuild (Op.cast DType.F32 x) [| like x 3.0 |])
              (fun t x ->
                  match x with
                  | Uniform c -> some (Op.broadcast t.Shape (Op.cast t.DType (Op.constant c)))
                  | _ -> none) ]

    /// The family, in the order in which rules are tried.
    let rules = constants @ sums @ products @ powers @ logic @ casts
