namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization

/// Laws for readers: like terms and factors are collected. They hold in algebra, not for infinities and NaN, so no
/// program is compiled from their results.
[<RequireQualifiedAccess>]
module internal CollectingRules =
    let private none: Tensor voption = ValueNone
    let private limit = 48 // longer sums and products are left as they are

    // ---- products: number * b1 ** n1 * b2 ** n2 ...

    [<NoEquality; NoComparison>]
    type private Product =
        { mutable Top: float
          mutable Bottom: float
          Powers: Dictionary<Hash, struct (Tensor * float)>
          Order: List<Hash> }

    let private multiply (p: Product) (b: Tensor) (n: float) =
        match p.Powers.TryGetValue b.Hash with
        | true, struct (_, m) -> p.Powers[b.Hash] <- struct (b, m + n)
        | _ ->
            p.Order.Add b.Hash
            p.Powers[b.Hash] <- struct (b, n)

    let private isProduct (t: Tensor) =
        match t with
        | Mul _
        | Div _
        | Neg _ -> true
        | _ -> false

    /// Collects the factors of t ** n. `place` puts a factor found below a stretching into the shape of the whole
    /// product.
    let rec private factors (p: Product) (place: Tensor -> Tensor) (n: float) (t: Tensor) =
        let recurse = factors p place
        if p.Order.Count > limit then
            multiply p (place t) n
        else
            match t with
            | Number c when c <> 0.0 && Double.IsFinite c && abs n = 1.0 ->
                if n > 0.0 then p.Top <- p.Top * c else p.Bottom <- p.Bottom * c
            | Mul(a, b) ->
                recurse n a
                recurse n b
            | Div(a, b) ->
                recurse n a
                recurse -n b
            | Neg a when abs n = 1.0 ->
                p.Top <- -p.Top
                recurse n a
            | Stretched s when
                isProduct s
                || (match s with
                    | Reshaped r -> isProduct r
                    | _ -> false)
                ->
                factors p (fun f -> place (Op.broadcast t.Shape f)) n s
            | Reshaped s when isProduct s -> factors p (fun f -> place (Op.reshape t.Shape f)) n s
            | UnaryOf Unary.Sqrt a -> recurse (0.5 * n) a
            | UnaryOf Unary.Rsqrt a -> recurse (-0.5 * n) a
            | _ ->
                match t.Op with
                | Op.Binary Binary.Pow ->
                    (match t.Inputs[1] with
                     | Number e when Double.IsFinite e -> recurse (e * n) t.Inputs[0]
                     | _ -> multiply p (place t) n)
                | _ -> multiply p (place t) n

    /// exp z / sum (exp z) becomes softmax.
    let private nameSoftmax (p: Product) =
        let find (e: Tensor) n =
            p.Powers.Values
            |> Seq.tryPick (fun (struct (s, m)) ->
                if n >= 1.0 && m <= -1.0 then
                    (match NamingRules.isSumOf e s with
                     | ValueSome axes -> Some(s, axes)
                     | _ -> None)
                else
                    None)
        for struct (e, n) in Seq.toArray p.Powers.Values do
            match e with
            | UnaryOf Unary.Exp z ->
                match find e n with
                | Some(s, axes) ->
                    multiply p e -1.0
                    multiply p s 1.0
                    multiply p (NamingRules.softmax z axes) 1.0
                | None -> ()
            | _ -> ()

    let private product (t: Tensor) =
        let p = { Top = 1.0; Bottom = 1.0; Powers = Dictionary(); Order = List() }
        factors p id 1.0 t
        nameSoftmax p
        let simple = p.Top / p.Bottom
        if
            simple.ToString("R", CultureInfo.InvariantCulture).Length <= 7 || p.Bottom < 0.0 || p.Top % p.Bottom = 0.0
        then
            p.Top <- simple
            p.Bottom <- 1.0
        p

    /// Names before compositions, older variables first: the order of factors.
    let private rank (t: Tensor) =
        match t.Op with
        | Op.Input(id, _) -> 0, id
        | Op.Parameter i -> 0, int64 i
        | _ -> 1, 0L

    let private power (b: Tensor) (n: float) =
        if n = 1.0 then b
        elif n = 2.0 then b * b
        elif n = 0.5 then sqrt b
        else b ** n

    /// The factors without their number; none if there are none.
    let private body (t: Tensor) (p: Product) =
        let parts =
            p.Order
            |> Seq.map (fun h -> p.Powers[h])
            |> Seq.filter (fun (struct (_, n)) -> n <> 0.0)
            |> Seq.map (fun (struct (b, n)) ->
                (match b with
                 | Stretched _
                 | Reshaped _ when b.Shape <> t.Shape -> Op.broadcast t.Shape b
                 | _ -> b),
                n)
            |> Seq.sortBy (fun (b, _) -> rank b)
            |> Seq.toArray
        let over sign =
            parts |> Array.filter (fun (_, n) -> n * sign > 0.0) |> Array.map (fun (b, n) -> power b (abs n))
        let all (fs: Tensor[]) = if fs.Length = 0 then None else Some(Array.reduce (*) fs)
        struct (all (over 1.0), all (over -1.0))

    /// number * (top / bottom), with the number where readers expect it.
    let private withNumber (t: Tensor) (number: float) (divisor: float) (top: Tensor option) (bottom: Tensor option) =
        let number, negative = if number < 0.0 then -number, true else number, false
        let top =
            match top with
            | Some f when number = 1.0 -> f
            | Some f -> like t number * f
            | None -> like t number
        let bottom =
            match bottom with
            | Some f when divisor = 1.0 -> Some f
            | Some f -> Some(like t divisor * f)
            | None -> if divisor = 1.0 then None else Some(like t divisor)
        let whole =
            match bottom with
            | Some b -> top / b
            | None -> top
        if negative then
            (match whole with
             | Uniform c -> like t -c.Float
             | _ -> -whole)
        else
            whole

    let private rebuildProduct (t: Tensor) =
        if not (isFloat t) then
            t
        else
            let p = product t
            let struct (top, bottom) = body t p
            withNumber t p.Top p.Bottom top bottom

    // ---- sums: c1 * t1 + c2 * t2 ...

    let rec private terms (acc: List<struct (float * Tensor)>) (sign: float) (t: Tensor) =
        if acc.Count > limit then
            acc.Add(struct (sign, t))
        else
            match t with
            | Add(a, b) ->
                terms acc sign a
                terms acc sign b
            | Sub(a, b) ->
                terms acc sign a
                terms acc -sign b
            | Neg a -> terms acc -sign a
            | _ -> acc.Add(struct (sign, t))

    let private rebuildSum (t: Tensor) =
        let found = List()
        terms found 1.0 t
        // A term is (top, bottom of its number; the rest); equal rests over equal divisors are added.
        let collected, order =
            Dictionary<struct (Hash * float), struct (float * Tensor option * Tensor option)>(), List()
        for struct (sign, term) in found do
            let p = product term
            let struct (top, bottom) = body t p
            let hash (x: Tensor option) =
                match x with
                | Some x -> x.Hash
                | None -> Hash.Zero
            let key = struct ((hash top).Add(hash bottom), p.Bottom)
            let value =
                match term with
                | IsNumber 0.0 -> 0.0
                | _ -> sign * p.Top
            match collected.TryGetValue key with
            | true, struct (c, _, _) -> collected[key] <- struct (c + value, top, bottom)
            | _ ->
                order.Add key
                collected[key] <- struct (value, top, bottom)
        let parts =
            [| for struct (h, divisor) in order do
                   let struct (c, top, bottom) = collected[struct (h, divisor)]
                   if c <> 0.0 then struct (c, divisor, top, bottom) |]
        let join (parts: (float * Tensor)[]) =
            let first = parts |> Array.tryFindIndex (fun (c, _) -> c > 0.0) |> Option.defaultValue 0
            let start = let c, x = parts[first] in if c > 0.0 then x else -x
            Array.removeAt first parts |> Array.fold (fun acc (c, x) -> if c > 0.0 then acc + x else acc - x) start
        if parts.Length = 0 then
            like t 0.0
        else
            let struct (c0, d0, _, _) = parts[0]
            let common =
                parts.Length > 1
                && parts
                   |> Array.forall (fun (struct (c, d, top, bottom)) ->
                       abs c = abs c0 && d = d0 && (top.IsSome || bottom.IsSome))
            let shared =
                let struct (_, _, _, bottom) = parts[0] in
                bottom.IsSome && parts |> Array.forall (fun (struct (_, _, _, b)) -> b = bottom)
            if parts.Length > 1 && shared then // x / z - y / z = (x - y) / z
                let struct (_, _, _, bottom) = parts[0]
                let inner =
                    parts |> Array.map (fun (struct (c, d, top, _)) -> c, withNumber t (abs c) d top None) |> join
                inner / bottom.Value
            elif common && (abs c0 <> 1.0 || d0 <> 1.0) then
                let inner =
                    parts |> Array.map (fun (struct (c, _, top, bottom)) -> c, withNumber t 1.0 1.0 top bottom) |> join
                withNumber t (abs c0) d0 (Some inner) None
            else
                parts |> Array.map (fun (struct (c, d, top, bottom)) -> c, withNumber t (abs c) d top bottom) |> join

    // ---- rules

    let private collect b name sample rebuild =
        nodeRule "pretty" (Op.Binary b) name sample (fun t _ -> if isFloat t then ValueSome(rebuild t) else none)
        |> relaxed

    /// The family, in the order in which rules are tried.
    let rules =
        [ collect
              Binary.Mul
              "collect-product: factors in order, powers joined"
              (fun x y _ -> y * 3.0 * x * (2.0 * y))
              rebuildProduct
          collect Binary.Div "collect-quotient: common factors cancel" (fun x y _ -> x * y / (2.0 * x)) rebuildProduct
          collect Binary.Add "collect-sum: like terms are added" (fun x y _ -> 2.0 * x + y + x) rebuildSum
          collect Binary.Sub "collect-difference: like terms cancel" (fun x y _ -> x + y - x) rebuildSum
          binaryRule "pretty" Binary.Mul "mul-zero: x * 0 = 0" (fun x _ _ -> x * 0.0) (fun x y ->
              match x, y with
              | _, IsNumber 0.0
              | IsNumber 0.0, _ -> ValueSome(like x 0.0)
              | _ -> none)
          |> relaxed
          binaryRule "pretty" Binary.Div "zero-div: 0 / x = 0" (fun x _ _ -> 0.0 / x) (fun x _ ->
              match x with
              | IsNumber 0.0 -> ValueSome x
              | _ -> none)
          |> relaxed
          unaryRule "pretty" Unary.Exp "exp-log: exp (log x) = x" (fun x _ _ -> exp (log x)) (fun x ->
              match x with
              | UnaryOf Unary.Log x -> ValueSome x
              | _ -> none)
          |> relaxed
          unaryRule "pretty" Unary.Log "log-exp: log (exp x) = x" (fun x _ _ -> log (exp x)) (fun x ->
              match x with
              | UnaryOf Unary.Exp x -> ValueSome x
              | _ -> none)
          |> relaxed ]
