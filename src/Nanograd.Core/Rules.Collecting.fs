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

    /// How many factors may be negative, as far as it matters: with more than one, roots of a product are not the product of
    /// the roots; the root of a square is not its base.
    let rec private signs (t: Tensor) : int =
        match t with
        | Number c -> if c >= 0.0 then 0 else 2
        | Mul(a, b)
        | Div(a, b) -> signs a + signs b
        | Neg _ -> 2
        | Stretched a
        | Reshaped a -> signs a
        | _ ->
            match t.Op with
            | Op.Binary Binary.Pow -> 2
            | _ -> 1

    /// Collects the factors of t ** n. `place` puts a factor found below a stretching into the shape of the whole
    /// product.
    let rec private factors (p: Product) (place: Tensor -> Tensor) (n: float) (t: Tensor) =
        let recurse = factors p place
        if p.Order.Count > limit then
            multiply p (place t) n
        else
            match t with
            | Number c when c <> 0.0 && Double.IsFinite c && n % 1.0 = 0.0 ->
                if n > 0.0 then p.Top <- p.Top * c ** n else p.Bottom <- p.Bottom * c ** -n
            | Mul(a, b) ->
                recurse n a
                recurse n b
            | Div(a, b) ->
                recurse n a
                recurse -n b
            | Neg a when n % 1.0 = 0.0 ->
                if n % 2.0 <> 0.0 then p.Top <- -p.Top
                recurse n a
            | Stretched s when
                isProduct s
                || (match s with
                    | Reshaped r -> isProduct r
                    | _ -> false)
                ->
                factors p (fun f -> place (Op.broadcast t.Shape f)) n s
            | Reshaped s when isProduct s -> factors p (fun f -> place (Op.reshape t.Shape f)) n s
            | UnaryOf Unary.Sqrt a when signs a < 2 -> recurse (0.5 * n) a
            | UnaryOf Unary.Rsqrt a when signs a < 2 -> recurse (-0.5 * n) a
            | _ ->
                match t.Op with
                | Op.Binary Binary.Pow ->
                    (match t.Inputs[1] with
                     | Number e when Double.IsFinite e && (e % 1.0 = 0.0 || signs t.Inputs[0] < 2) ->
                         recurse (e * n) t.Inputs[0]
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

    // ---- numbers as fractions

    let private denominators = [| 1.0; 2.0; 3.0; 4.0; 6.0; 7.0; 8.0; 9.0; 12.0; 16.0 |]
    let private roots = [| sqrt 2.0; sqrt 3.0; sqrt Math.PI; sqrt (2.0 * Math.PI) |]

    /// A number as a quotient that people would write: 0.5 is 1 / 2, 0.70710678 is 1 / sqrt 2. Rounding that is left from
    /// computing with constants goes.
    let private fraction (dtype: DType) (c: float) : struct (float * float) =
        let tolerance = if dtype = DType.F64 then 1e-13 else 3e-7
        let whole d =
            let p = Math.Round(c * d)
            if p <> 0.0 && abs p <= 1e6 && abs (c * d - p) <= tolerance * abs p then Some struct (p, d) else None
        match Array.tryPick whole denominators with
        | Some f -> f
        | None ->
            match roots |> Array.tryPick (fun r -> whole r) with
            | Some f -> f
            | None -> struct (c, 1.0)

    let rec private gcd (a: float) (b: float) = if b = 0.0 then a else gcd b (a % b)

    /// The number of a product, Top / Bottom.
    let private simplifyNumber (t: Tensor) (p: Product) =
        let areWhole = p.Top % 1.0 = 0.0 && p.Bottom % 1.0 = 0.0 && abs p.Top < 1e9 && abs p.Bottom < 1e9
        if p.Bottom < 0.0 then
            p.Top <- -p.Top
            p.Bottom <- -p.Bottom
        if areWhole then
            let g = gcd (abs p.Top) p.Bottom
            p.Top <- p.Top / g
            p.Bottom <- p.Bottom / g
        else
            let struct (top, bottom) = fraction t.DType (p.Top / p.Bottom)
            p.Top <- top
            p.Bottom <- bottom

    /// x * x ** e = x ** (e + 1), where e is no number.
    let private joinExponents (p: Product) =
        for struct (b, n) in Seq.toArray p.Powers.Values do
            match b.Op with
            | Op.Binary Binary.Pow when n = 1.0 ->
                let x, e = b.Inputs[0], b.Inputs[1]
                match p.Powers.TryGetValue x.Hash, e with
                | (true, struct (_, m)), (Sub(e, Number k) | Add(e, Number k) as sum) when m <> 0.0 ->
                    let k =
                        match sum with
                        | Sub _ -> -k
                        | _ -> k
                    let exponent = if k + m = 0.0 then e else e + like e (k + m)
                    multiply p x -m
                    multiply p b -1.0
                    multiply p (x ** exponent) 1.0
                | _ -> ()
            | _ -> ()

    /// -x, as a normal form where x is one.
    let private negated (x: Tensor) =
        match x with
        | Neg y -> y
        | Sub(a, b) -> b - a
        | _ -> -x

    let private isOpposite (x: Tensor) (y: Tensor) = negated x = y || negated y = x

    let private exponentOf (p: Product) (b: Tensor) =
        match p.Powers.TryGetValue b.Hash with
        | true, struct (_, n) -> n
        | _ -> 0.0

    /// 1 / (exp z + 1) = σ(-z); σ(-z)·exp z = σ(z); σ(z)·σ(-z) = σ(z)·(1 - σ(z)).
    let private nameSigmoid (p: Product) =
        let all () = Seq.toArray p.Powers.Values
        for struct (s, n) in all () do
            match s with
            | Add(UnaryOf Unary.Exp z, IsNumber 1.0)
            | Add(IsNumber 1.0, UnaryOf Unary.Exp z) when n <= -1.0 && n % 1.0 = 0.0 ->
                multiply p s -n
                multiply p (NamingRules.sigmoid (negated z)) -n
            | _ -> ()
        let argument (t: Tensor) = t.Inputs[0].Inputs[0]
        for struct (s, n) in all () do
            if NamingRules.isNamed "sigmoid" s && n >= 1.0 then
                let w = argument s
                for struct (e, m) in all () do
                    match e with
                    | UnaryOf Unary.Exp z when m >= 1.0 && isOpposite z w && exponentOf p s >= 1.0 ->
                        multiply p s -1.0
                        multiply p e -1.0
                        multiply p (NamingRules.sigmoid z) 1.0
                    | _ -> ()
        for struct (s, _) in all () do
            if NamingRules.isNamed "sigmoid" s && exponentOf p s >= 1.0 then
                match argument s with
                | Neg w ->
                    let other = NamingRules.sigmoid w
                    if exponentOf p other >= 1.0 then
                        multiply p s -1.0
                        multiply p (like s 1.0 - other) 1.0
                | _ -> ()

    /// sin x / cos x = tan x.
    let private nameTangent (p: Product) =
        for struct (s, n) in Seq.toArray p.Powers.Values do
            match s with
            | UnaryOf Unary.Sin x ->
                let c = Op.unary Unary.Cos x
                let m = min n -(exponentOf p c)
                if m >= 1.0 then
                    multiply p s -m
                    multiply p c m
                    multiply p (NamingRules.named "tan" (fun p -> sin p[0] / cos p[0]) [| x |]) m
            | _ -> ()

    let private product (t: Tensor) =
        let p = { Top = 1.0; Bottom = 1.0; Powers = Dictionary(); Order = List() }
        factors p id 1.0 t
        nameSoftmax p
        nameSigmoid p
        nameTangent p
        joinExponents p
        simplifyNumber t p
        p

    let private isSum (t: Tensor) =
        match t with
        | Add _
        | Sub _ -> true
        | _ -> false

    let rec private isPolynomial depth (t: Tensor) =
        let both () = isPolynomial (depth + 1) t.Inputs[0] && isPolynomial (depth + 1) t.Inputs[1]
        match t with
        | _ when depth > 12 -> false
        | Uniform _ -> true
        | Add _
        | Sub _
        | Mul _ -> both ()
        | Neg a
        | Stretched a
        | Reshaped a -> isPolynomial (depth + 1) a
        | _ ->
            match t.Op with
            | Op.Input _
            | Op.Parameter _ -> true
            | Op.Binary Binary.Pow -> both ()
            | _ -> false

    /// The order of factors: scalars before arrays, older variables first; polynomials, functions, other sums.
    let private rank (t: Tensor) =
        let s = Print.seen t
        match s.Op with
        | Op.Input(id, _) -> 0, s.Rank, id
        | Op.Parameter i -> 0, s.Rank, int64 i
        | Op.Select -> 4, 0, 0L
        | _ when isSum s -> (if isPolynomial 0 s then 1 else 3), 0, 0L
        | _ -> 2, 0, 0L

    let private power (b: Tensor) (n: float) =
        if n = 1.0 then b
        elif n = 2.0 then b * b
        elif n = 0.5 then sqrt b
        else b ** n

    /// The factors with their exponents, in order.
    let private parts (t: Tensor) (p: Product) =
        p.Order
        |> Seq.distinct
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

    /// The factors above and below the line; none if there are none.
    let private body (t: Tensor) (p: Product) =
        let parts = parts t p
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

    let private ofProduct (t: Tensor) (p: Product) =
        let struct (top, bottom) = body t p
        withNumber t p.Top p.Bottom top bottom

    let rebuildProduct (t: Tensor) = if isFloat t then ofProduct t (product t) else t

    /// The number of a product, and the product without it.
    let numberOf (t: Tensor) =
        let p = product t
        let number = p.Top / p.Bottom
        p.Top <- 1.0
        p.Bottom <- 1.0
        struct (number, (if isFloat t then ofProduct t p else t))

    // ---- sums: c1 * t1 + c2 * t2 ...

    /// The degree of a term in its variables, as far as it is a polynomial: high degrees come first.
    let rec private degree depth (t: Tensor) : float =
        let d x = degree (depth + 1) x
        if depth > 12 then
            0.0
        else
            match t.Op with
            | Op.Input _
            | Op.Parameter _ -> 1.0
            | Op.Binary b ->
                match b with
                | Binary.Mul -> d t.Inputs[0] + d t.Inputs[1]
                | Binary.Div -> d t.Inputs[0] - d t.Inputs[1]
                | Binary.Add
                | Binary.Sub -> max (d t.Inputs[0]) (d t.Inputs[1])
                | Binary.Pow ->
                    (match t.Inputs[1] with
                     | Number n -> n * d t.Inputs[0]
                     | _ -> 0.0)
                | _ -> 0.0
            | Op.Unary Unary.Neg -> d t.Inputs[0]
            | Op.Unary Unary.Sqrt -> 0.5 * d t.Inputs[0]
            | Op.Movement _ -> d t.Inputs[0]
            | Op.Dot _ -> d t.Inputs[0] + d t.Inputs[1]
            | _ -> 0.0

    let private isVariable (t: Tensor) = (Print.seen t).Inputs.Length = 0

    /// A term: its number, and what it multiplies.
    [<NoEquality; NoComparison>]
    type private Term = { Number: float; Factors: (Tensor * float)[] }

    let private key (factors: (Tensor * float)[]) =
        factors |> Array.fold (fun (h: Hash) (b, n) -> (h.Add b.Hash).Add(BitConverter.DoubleToUInt64Bits n)) Hash.Zero

    /// The terms of a sum; a number times a sum is as many terms.
    let rec private terms (t: Tensor) (acc: List<Term>) (number: float) (x: Tensor) =
        let single () =
            let p = product x
            let factors = parts t p
            match factors with
            | [| inner, 1.0 |] when isSum inner && acc.Count <= limit -> terms t acc (number * p.Top / p.Bottom) inner
            | _ ->
                match x with
                | IsNumber 0.0 -> ()
                | _ -> acc.Add { Number = number * p.Top / p.Bottom; Factors = factors }
        if acc.Count > limit then
            acc.Add { Number = number; Factors = [| x, 1.0 |] }
        else
            match x with
            | Add(a, b) ->
                terms t acc number a
                terms t acc number b
            | Sub(a, b) ->
                terms t acc number a
                terms t acc -number b
            | Neg a -> terms t acc -number a
            | _ -> single ()

    /// Like terms added. What is left of numbers that cancel but for their rounding goes; small numbers of their own stay.
    let private collected (t: Tensor) (found: seq<Term>) =
        let sums, order = Dictionary<Hash, struct (Term * float)>(), List<Hash>()
        for term in found do
            let h = key term.Factors
            match sums.TryGetValue h with
            | true, struct (known, largest) ->
                sums[h] <- struct ({ known with Number = known.Number + term.Number }, max largest (abs term.Number))
            | _ ->
                order.Add h
                sums[h] <- struct (term, abs term.Number)
        let noise = if t.DType = DType.F64 then 1e-14 else 1e-7
        [| for h in order do
               let struct (sum, largest) = sums[h]
               if abs sum.Number > noise * largest then sum |]

    /// What all terms have in common: functions (not plain variables, which stand in every term of a polynomial), and
    /// denominators.
    let private common (found: Term[]) =
        let exponent (b: Tensor) (term: Term) =
            term.Factors |> Array.tryPick (fun (f, n) -> if f = b then Some n else None) |> Option.defaultValue 0.0
        [| if found.Length > 1 then
               for b, _ in found[0].Factors do
                   let exponents = found |> Array.map (exponent b)
                   if Array.forall (fun n -> n < 0.0) exponents then
                       b, (if isVariable b then Array.max exponents else Array.min exponents)
                   elif not (isVariable b) && Array.forall (fun n -> n > 0.0) exponents then
                       b, Array.min exponents |]

    let private without (shared: (Tensor * float)[]) (term: Term) =
        let reduce (b: Tensor, n) =
            let m = shared |> Array.tryPick (fun (s, m) -> if s = b then Some m else None) |> Option.defaultValue 0.0
            b, n - m
        { term with
            Factors = term.Factors |> Array.map reduce |> Array.filter (fun (_, n) -> n <> 0.0) }

    let private ofFactors (t: Tensor) (number: float) (factors: (Tensor * float)[]) =
        let p = { Top = number; Bottom = 1.0; Powers = Dictionary(); Order = List() }
        for b, n in factors do
            multiply p b n
        simplifyNumber t p
        ofProduct t p

    /// Products of matrices with the same vector: A @ x + B @ x = (A + B) @ x.
    let private joinDots (found: Term[]) =
        let matrixTimes (term: Term) =
            match term.Factors with
            | [| f, 1.0 |] ->
                (match f.Op with
                 | Op.Dot d when d.LeftBatch.Length = 0 && f.Inputs[0].Rank = 2 && d.LeftSum.Length = 1 ->
                     let m = f.Inputs[0]
                     let matrix = if d.LeftSum[0] = 1 then m else Op.permute [| 1; 0 |] m
                     Some(matrix, f.Inputs[1], d.RightSum)
                 | _ -> None)
            | _ -> None
        let join (acc: Term list) (term: Term) =
            match matrixTimes term with
            | None -> term :: acc
            | Some(m, x, sum) ->
                let isPartner (other: Term) =
                    match matrixTimes other with
                    | Some(_, y, otherSum) -> y = x && otherSum = sum && other.Number = term.Number
                    | None -> false
                match List.tryFindIndex isPartner acc with
                | None -> term :: acc
                | Some i ->
                    let n, _, _ = (matrixTimes acc[i]).Value
                    let d = { LeftBatch = [||]; RightBatch = [||]; LeftSum = [| 1 |]; RightSum = sum }
                    // The matrix itself before its transpose.
                    let isFlipped (m: Tensor) =
                        match m with
                        | Permuted _ -> true
                        | _ -> false
                    let m, n = if isFlipped n then m, n else n, m
                    List.updateAt i { term with Factors = [| Op.dot d (m + n) x, 1.0 |] } acc
        found |> Array.fold join [] |> List.rev |> Array.ofList

    let rec private sumOf (t: Tensor) (found: Term[]) : Tensor =
        let found = joinDots (collected t found)
        let shared = common found
        if found.Length = 0 then
            like t 0.0
        elif shared.Length > 0 then
            let rest = List()
            for term in found do
                terms t rest 1.0 (let w = without shared term in ofFactors t w.Number w.Factors)
            let inner = sumOf t (rest.ToArray())
            let p = product inner
            for b, n in shared do
                multiply p b n
            simplifyNumber t p
            ofProduct t p
        else
            let sizes = found |> Array.map (fun term -> abs term.Number) |> Array.distinct
            let isPure = found |> Array.exists (fun term -> term.Factors.Length = 0)
            let outside = if found.Length > 1 && sizes.Length = 1 && not isPure then sizes[0] else 1.0
            let place (term: Term) =
                if term.Factors.Length = 0 then -1000.0 else term.Factors |> Array.sumBy (fun (b, n) -> n * degree 0 b)
            let signed =
                found
                |> Array.sortBy (fun term -> -(place term))
                |> Array.map (fun term -> term.Number, ofFactors t (abs term.Number / outside) term.Factors)
            let first = signed |> Array.tryFindIndex (fun (c, _) -> c > 0.0) |> Option.defaultValue 0
            let start = let c, x = signed[first] in if c > 0.0 then x else -x
            let negative =
                match start with
                | Neg(Uniform c) -> like t -c.Float
                | _ -> start
            let sum =
                Array.removeAt first signed
                |> Array.fold (fun acc (c, x) -> if c > 0.0 then acc + x else acc - x) negative
            if outside = 1.0 then sum else ofFactors t outside [| sum, 1.0 |]

    let private rebuildSum (t: Tensor) =
        let found = List()
        terms t found 1.0 t
        sumOf t (found.ToArray())

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
