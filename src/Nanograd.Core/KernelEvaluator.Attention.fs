namespace Nanograd

open System

/// What the attention kernels mean, in doubles and with every score kept: for tests of the back ends.
[<RequireQualifiedAccess>]
module internal AttentionMeaning =
    let private floats (buffers: Array[]) b = buffers[b] :?> float32[]

    let private element (buffers: Array[]) (rows: HeadRows) head row column =
        float (floats buffers rows.Buffer).[rows.Heads[head] + row * rows.Step + column]

    let private dot count left right = Seq.init count (fun i -> left i * right i) |> Seq.sum

    /// May query t of a head see key s?
    let private isSeen (a: StreamedAttention) (mask: float) t s =
        let isKept =
            match a.Mask.Kind with
            | MaskKind.Excluded -> mask = 0.0
            | MaskKind.Kept -> mask <> 0.0
            | MaskKind.Nothing
            | MaskKind.Added -> true
        struct (a.Low <= s - t && s - t <= a.High, isKept)

    let private maskAt (a: StreamedAttention) (buffers: Array[]) head t s =
        if a.Mask.Buffer < 0 then
            0.0
        else
            let at = a.Mask.Heads[head] + t * a.Mask.ByQuery + s * a.Mask.ByKey
            match buffers[a.Mask.Buffer] with
            | :? (float32[]) as xs -> float xs[at]
            | :? (bool[]) as xs -> if xs[at] then 1.0 else 0.0
            | other -> Convert.ToDouble(other.GetValue at)

    let private score (a: StreamedAttention) (buffers: Array[]) head t s =
        let mask = maskAt a buffers head t s
        match isSeen a mask t s with
        | struct (false, _) -> -infinity
        | struct (_, false) -> float a.Mask.Fill
        | _ ->
            let product = dot a.Width (element buffers a.Q head t) (element buffers a.K head s)
            float a.Scale * product + (if a.Mask.Kind = MaskKind.Added then mask else 0.0)

    let private write (buffers: Array[]) (rows: HeadRows) head row (values: float[]) =
        values
        |> Array.iteri (fun i x -> (floats buffers rows.Buffer)[rows.Heads[head] + row * rows.Step + i] <- float32 x)

    /// The results of attention, written to their buffers.
    let forward (a: StreamedAttention) (buffers: Array[]) =
        for head in 0 .. StreamedAttention.heads a - 1 do
            for t in 0 .. a.Queries - 1 do
                let scores = Array.init a.Keys (score a buffers head t)
                let top = Array.max scores
                let e = scores |> Array.map (fun x -> exp (x - top))
                let sum = Array.sum e
                write
                    buffers
                    a.Result
                    head
                    t
                    (Array.init a.ValueWidth (fun i ->
                        dot a.Keys (fun s -> e[s] / sum) (fun s -> element buffers a.V head s i)))
                (floats buffers a.LogSums)[head * a.Queries + t] <- float32 (log sum + top)

    /// The results of its gradient, written to their buffers.
    let backward (g: StreamedGradient) (buffers: Array[]) =
        let a = g.Of
        for head in 0 .. StreamedAttention.heads a - 1 do
            let row (b: int) t = float (floats buffers b).[head * a.Queries + t]
            let weights = Array2D.init a.Queries a.Keys (fun t s -> exp (score a buffers head t s - row a.LogSums t))
            let toProducts =
                Array2D.init a.Queries a.Keys (fun t s ->
                    let mask = maskAt a buffers head t s
                    match isSeen a mask t s with
                    | struct (true, true) ->
                        let toWeight =
                            dot a.ValueWidth (element buffers g.Cotangent head t) (element buffers a.V head s)
                        float a.Scale * weights[t, s] * (toWeight - row g.Deltas t)
                    | _ -> 0.0)
            for t in 0 .. a.Queries - 1 do
                write
                    buffers
                    g.ToQ
                    head
                    t
                    (Array.init a.Width (fun i ->
                        dot a.Keys (fun s -> toProducts[t, s]) (fun s -> element buffers a.K head s i)))
            for s in 0 .. a.Keys - 1 do
                write
                    buffers
                    g.ToK
                    head
                    s
                    (Array.init a.Width (fun i ->
                        dot a.Queries (fun t -> toProducts[t, s]) (fun t -> element buffers a.Q head t i)))
                write
                    buffers
                    g.ToV
                    head
                    s
                    (Array.init a.ValueWidth (fun i ->
                        dot a.Queries (fun t -> weights[t, s]) (fun t -> element buffers g.Cotangent head t i)))
