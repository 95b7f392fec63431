namespace Nanograd

/// Conditions on two indices that depend on their difference alone, such as those of causal attention: read from
/// expressions of iotas and numbers, so that nobody needs to compute or load them.
[<RequireQualifiedAccess>]
module internal Bands =
    /// From Low to High, both included.
    [<Struct>]
    type Band = { Low: int; High: int }

    let private unbounded = 1 <<< 30

    /// No bound.
    let everything = { Low = -unbounded; High = unbounded }

    /// True where the last index minus the one before lies in the band (`Inside`), or where it does not.
    [<Struct>]
    type private Truth = { Band: Band; Inside: bool }

    /// What an expression of indices is, element by element.
    type private Meaning =
        /// Offset + the sum of Factors[a] * index a.
        | Index of offset: float * factors: float[]
        | Condition of Truth
        /// One number where a condition holds, another where it does not.
        | Choice of Truth * float * float

    let private meet a b = { Low = max a.Low b.Low; High = min a.High b.High }

    let private negated t = { t with Inside = not t.Inside }

    let private both a b =
        match a.Inside, b.Inside with
        | true, true -> Some { Band = meet a.Band b.Band; Inside = true }
        | _ -> None

    let private either a b = both (negated a) (negated b) |> Option.map negated

    /// Where factor * difference + offset compares so with 0.
    let private solve (op: Binary) (factor: float) (offset: float) : Truth option =
        let bound = -offset / factor // where the two sides meet
        let atMost x = { everything with High = int (floor x) }
        let atLeast x = { everything with Low = int (ceil x) }
        let inside band = Some { Band = band; Inside = true }
        let below strict = if strict then atMost (ceil bound - 1.0) else atMost bound
        let above strict = if strict then atLeast (floor bound + 1.0) else atLeast bound
        let rising = factor > 0.0
        match op with
        | _ when factor = 0.0 || not (abs bound < float unbounded) -> None
        | Binary.Lt -> inside (if rising then below true else above true)
        | Binary.Le -> inside (if rising then below false else above false)
        | Binary.Gt -> inside (if rising then above true else below true)
        | Binary.Ge -> inside (if rising then above false else below false)
        | Binary.Eq -> inside (meet (atMost bound) (atLeast bound))
        | _ -> None

    let private compared (op: Binary) (rank: int) (x: Meaning) (y: Meaning) : Meaning option =
        let holds (a: float) (b: float) =
            match op with
            | Binary.Lt -> Some(a < b)
            | Binary.Le -> Some(a <= b)
            | Binary.Gt -> Some(a > b)
            | Binary.Ge -> Some(a >= b)
            | Binary.Eq -> Some((a = b))
            | Binary.Ne -> Some(a <> b)
            | _ -> None
        match x, y with
        | Index(a, f), Index(b, g) when rank >= 2 ->
            let factors = Array.map2 (-) f g
            let onlyDifference = factors[rank - 1] = -factors[rank - 2] && Array.forall ((=) 0.0) factors[.. rank - 3]
            if onlyDifference then solve op factors[rank - 1] (a - b) |> Option.map Condition else None
        | Choice(t, a, b), Index(c, f) when Array.forall ((=) 0.0) f ->
            match holds a c, holds b c with
            | Some true, Some false -> Some(Condition t)
            | Some false, Some true -> Some(Condition(negated t))
            | _ -> None
        | _ -> None

    let private joined (op: Binary) (rank: int) (x: Meaning) (y: Meaning) : Meaning option =
        match op, x, y with
        | Binary.Add, Index(a, f), Index(b, g) -> Some(Index(a + b, Array.map2 (+) f g))
        | Binary.Sub, Index(a, f), Index(b, g) -> Some(Index(a - b, Array.map2 (-) f g))
        | Binary.And, Condition a, Condition b -> both a b |> Option.map Condition
        | Binary.Or, Condition a, Condition b -> either a b |> Option.map Condition
        | _ -> compared op rank x y

    /// The factors of `t`'s axes, from those of the operand it is a view of.
    let private moved (t: Tensor) (m: Movement) (offset: float) (factors: float[]) : Meaning option =
        let x = t.Inputs[0]
        match m with
        | Movement.Permute p -> Some(Index(offset, p |> Array.map (fun a -> factors[a])))
        | Movement.Broadcast ->
            Some(Index(offset, factors |> Array.mapi (fun a f -> if x.Shape[a] = 1 then 0.0 else f)))
        | Movement.Slice(starts, steps) ->
            let start = Array.fold2 (fun sum f (s: int) -> sum + f * float s) offset factors starts
            Some(Index(start, Array.map2 (fun f (s: int) -> f * float s) factors steps))
        | Movement.Reshape ->
            let long (shape: int[]) =
                [| for a in 0 .. shape.Length - 1 do
                       if shape[a] <> 1 then a |]
            let before, after = long x.Shape, long t.Shape
            if Array.map (fun a -> x.Shape[a]) before = Array.map (fun a -> t.Shape[a]) after then
                let result = Array.zeroCreate t.Rank
                Array.iter2 (fun a b -> result[b] <- factors[a]) before after
                Some(Index(offset, result))
            else
                None
        | Movement.Reverse _
        | Movement.Pad _
        | Movement.Concat _
        | Movement.Unfold _
        | Movement.Fold _ -> None

    /// Views of conditions stay conditions on the same two axes as long as those stay the last ones.
    let private keepsLast (t: Tensor) (m: Movement) =
        let x = t.Inputs[0]
        let last (s: int[]) = if s.Length < 2 then [||] else s[s.Length - 2 ..]
        match m with
        | Movement.Reshape
        | Movement.Broadcast -> last t.Shape = last x.Shape && last x.Shape <> [||]
        | Movement.Slice(starts, steps) -> // equal shifts of both keep the difference
            x.Rank >= 2 && starts[x.Rank - 1] = starts[x.Rank - 2] && steps[x.Rank - 1] = 1 && steps[x.Rank - 2] = 1
        | Movement.Permute _
        | Movement.Reverse _
        | Movement.Pad _
        | Movement.Concat _
        | Movement.Unfold _
        | Movement.Fold _ -> false

    let rec private meaning (depth: int) (t: Tensor) : Meaning option =
        let inner (x: Tensor) = if depth > 40 then None else meaning (depth + 1) x
        let counts =
            match t.DType with
            | DType.I64
            | DType.I32
            | DType.F64
            | DType.F32
            | DType.Bool -> true
            | DType.F16
            | DType.BF16
            | DType.U32
            | DType.U8
            | DType.I8 -> false // wraps around, or has too few digits
        match t.Op with
        | _ when not counts -> None
        | Op.Const c -> Some(Index(c.Float, Array.zeroCreate t.Rank))
        | Op.Iota axis -> Some(Index(0.0, Array.init t.Rank (fun a -> if a = axis then 1.0 else 0.0)))
        | Op.Cast ->
            match inner t.Inputs[0] with
            | Some(Condition c) when t.DType <> DType.Bool -> Some(Choice(c, 1.0, 0.0))
            | other -> other
        | Op.Unary Unary.Not when t.DType = DType.Bool ->
            match inner t.Inputs[0] with
            | Some(Condition c) -> Some(Condition(negated c))
            | _ -> None
        | Op.Unary Unary.Neg ->
            match inner t.Inputs[0] with
            | Some(Index(offset, factors)) -> Some(Index(-offset, Array.map (~-) factors))
            | _ -> None
        | Op.Binary op ->
            match inner t.Inputs[0], inner t.Inputs[1] with
            | Some x, Some y -> joined op t.Rank x y
            | _ -> None
        | Op.Select ->
            match inner t.Inputs[0], inner t.Inputs[1], inner t.Inputs[2] with
            | Some(Condition c), Some(Index(a, f)), Some(Index(b, g)) when
                Array.forall ((=) 0.0) f && Array.forall ((=) 0.0) g
                ->
                Some(Choice(c, a, b))
            | _ -> None
        | Op.Movement m ->
            match inner t.Inputs[0] with
            | Some(Index(offset, factors)) -> moved t m offset factors
            | Some other when keepsLast t m -> Some other
            | _ -> None
        | _ -> None

    /// The differences outside of a band that is bounded on one side only.
    let private complement (b: Band) =
        if b.Low <= -unbounded && b.High < unbounded then Some { everything with Low = b.High + 1 }
        elif b.High >= unbounded && b.Low > -unbounded then Some { everything with High = b.Low - 1 }
        else None

    /// The band where a condition holds (or, on request, where it does not), if it is one.
    let ofCondition (whereTrue: bool) (t: Tensor) : Band option =
        match meaning 0 t with
        | Some(Condition c) -> if c.Inside = whereTrue then Some c.Band else complement c.Band
        | _ -> None

    /// A tensor of 0 in a band of the difference of the last two indices, and -∞ elsewhere.
    let ofBias (t: Tensor) : Band option =
        match meaning 0 t with
        | Some(Choice(c, a, b)) when a = 0.0 && b = -infinity && c.Inside -> Some c.Band
        | Some(Choice(c, a, b)) when b = 0.0 && a = -infinity && not c.Inside -> Some c.Band
        | _ -> None
