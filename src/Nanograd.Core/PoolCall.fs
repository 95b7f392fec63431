namespace Nanograd

open System.Collections.Concurrent

/// A pooling along the last axes, one entry per axis: how many windows, and what must lie before and behind.
type internal PoolWindows =
    {
        First: int
        Size: int[]
        Stride: int[]
        Padding: int[]
        Dilation: int[]
        Windows: int[]
        /// Extents of the padded axes, no more than the windows need.
        Needed: int[]
    }

/// Which function a pooling is, of x of this shape.
type internal PoolForm =
    {
        Windows: PoolWindows
        /// The largest elements; otherwise the sums.
        IsMax: bool
        /// From x and the cotangent of the result (sums: from that alone) to the cotangent of x.
        IsGradient: bool
        Shape: int[]
    }

/// Poolings and their gradients as functions with names, whose bodies are composed of windows and elementwise functions. A back end that
/// has a kernel for them need not look inside; all others run the bodies.
[<RequireQualifiedAccess>]
module internal PoolCall =
    // ------------------------------------------------------------------------------------------------ windows

    /// Exactly what the windows cover, `value` in the padding.
    let fitted (p: PoolWindows) (value: Tensor) (x: Tensor) =
        let at f = Array.init x.Rank (fun a -> if a < p.First then 0 else f (a - p.First))
        let high = at (fun i -> max 0 (p.Needed[i] - x.Shape[p.First + i] - p.Padding[i]))
        let padded = Op.pad (at (fun i -> p.Padding[i])) high (Array.zeroCreate x.Rank) value x
        let stops = Array.init x.Rank (fun a -> if a < p.First then x.Shape[a] else p.Needed[a - p.First])
        Op.slice (Array.zeroCreate x.Rank) stops (Array.create x.Rank 1) padded

    let private window (p: PoolWindows) i =
        { Axis = p.First + i
          Size = p.Size[i]
          Step = p.Stride[i]
          Dilation = p.Dilation[i] }

    /// `[...; windows...; size...]`.
    let unfolded (p: PoolWindows) (x: Tensor) =
        Seq.fold (fun y i -> Op.unfold (window p i) y) x (seq { 0 .. p.Size.Length - 1 })

    let private refolded (p: PoolWindows) (u: Tensor) =
        Seq.foldBack (fun i y -> Op.fold (window p i) p.Needed[i] y) (seq { 0 .. p.Size.Length - 1 }) u

    /// The cotangent of what was fitted, as that of x.
    let private unfitted (p: PoolWindows) (x: Tensor) (c: Tensor) =
        let starts = Array.init x.Rank (fun a -> if a < p.First then 0 else p.Padding[a - p.First])
        let kept a = if a < p.First then x.Shape[a] else min x.Shape[a] (c.Shape[a] - starts[a])
        let inner = Op.slice starts (Array.init x.Rank (fun a -> starts[a] + kept a)) (Array.create x.Rank 1) c
        let high = Array.init x.Rank (fun a -> x.Shape[a] - kept a)
        let none = Array.zeroCreate x.Rank
        Op.pad none high none (Op.constant (Constant.ofInt c.DType 0L)) inner

    /// Element j of every window, for each j in row-major order.
    let private elements (p: PoolWindows) (u: Tensor) : Tensor[] =
        let n = p.Size.Length
        let flat = Op.reshape (Array.append u.Shape[.. u.Rank - n - 1] [| Shape.count p.Size |]) u
        let last = flat.Rank - 1
        Array.init flat.Shape[last] (fun j ->
            let at v other = Array.init flat.Rank (fun a -> if a = last then v else other a)
            Op.slice (at j (fun _ -> 0)) (at (j + 1) (fun a -> flat.Shape[a])) (Array.create flat.Rank 1) flat
            |> Op.reshape flat.Shape[.. last - 1])

    /// Windows up to this size are unrolled: vectors run across windows instead of along each.
    let unrolled = 36

    /// The largest element and its number, the first one of equals; NaN wins over numbers.
    let private leader (parts: Tensor[]) : struct (Tensor * Tensor) =
        let number j = Op.broadcast parts[0].Shape (Op.constant (Constant.ofInt DType.I32 (int64 j)))
        let mutable best, place = parts[0], number 0
        for j in 1 .. parts.Length - 1 do
            let x = parts[j]
            let wins = Op.binary Binary.Or (Op.binary Binary.Gt x best) (Op.binary Binary.Ne x x)
            best <- Op.select wins x best
            place <- Op.select wins (number j) place
        struct (best, place)

    /// `[...; windows...]` to `[...; windows...; 1...]`, as wide as the windows.
    let private over (p: PoolWindows) (c: Tensor) =
        c
        |> Op.reshape (Array.append c.Shape (Array.map (fun _ -> 1) p.Size))
        |> Op.broadcast (Array.append c.Shape p.Size)

    let private isSideBySide (p: PoolWindows) = p.Stride = p.Size && Array.forall ((=) 1) p.Dilation

    /// `[...; windows...; size...]` of windows side by side, as the axis that they cover: no more than a view.
    let private joined (p: PoolWindows) (u: Tensor) =
        let n, lead = p.Size.Length, [| 0 .. p.First - 1 |]
        let pairs = Array.init n (fun i -> [| p.First + i; p.First + n + i |]) |> Array.concat
        Op.permute (Array.append lead pairs) u |> Op.reshape (Array.append u.Shape[.. p.First - 1] p.Needed)

    // ------------------------------------------------------------------------------------------------ functions with names

    /// The forms of the functions made here, by their bodies.
    let private forms = ConcurrentDictionary<Hash, PoolForm>()

    /// The form of a function that was made here, if a back end may have a kernel for it.
    let formOf (c: Custom) : PoolForm voption =
        match forms.TryGetValue c.Body.Hash with
        | true, form -> ValueSome form
        | _ -> ValueNone

    /// True of the functions that a back end may have a kernel for.
    let isKnown (c: Custom) = (formOf c).IsSome

    /// A function of variables that a kernel may compute: of f32, over one or two axes.
    let private named name (form: PoolForm) (gradient: Lambda option) (vs: Tensor[]) (result: Tensor) : Custom =
        let body = Lambda.ofVariables vs [| result |]
        if result.DType = DType.F32 && form.Windows.Size.Length <= 2 then forms[body.Hash] <- form
        { Name = name; Body = body; Gradient = gradient }

    let private call (c: Custom) (operands: Tensor[]) = (Op.custom c operands).[0]

    let private formFor (p: PoolWindows) isMax (x: Tensor) =
        { Windows = p; IsMax = isMax; IsGradient = false; Shape = x.Shape }

    /// What stands for x and the cotangent of the result.
    let private variables (p: PoolWindows) (x: Tensor) =
        Op.input "x" x.DType x.Shape, Op.input "c" x.DType (Array.append x.Shape[.. p.First - 1] p.Windows)

    /// The cotangent of x, from x and that of its largest elements.
    let private maxGradient (p: PoolWindows) (least: Tensor) (x: Tensor) (c: Tensor) =
        let struct (_, place) = leader (elements p (unfolded p (fitted p least x)))
        let number = Op.reshape p.Size (Op.iota DType.I32 [| Shape.count p.Size |] 0)
        let number = Op.broadcast (Array.append c.Shape p.Size) number
        // Views first, so that what is computed stands where x does.
        let view = if isSideBySide p then joined p else id
        let wide = view (over p c)
        let wins = Op.binary Binary.Eq (view (over p place)) (view number)
        let shares = Op.select wins wide (Calculus.zeros wide)
        unfitted p x (if isSideBySide p then shares else refolded p shares)

    /// The largest element of every window; `least` stands in the padding.
    let max (p: PoolWindows) (least: Tensor) (x: Tensor) : Tensor =
        let form = formFor p true x
        let v, c = variables p x
        let again = named "maxPoolGradient" { form with IsGradient = true } None [| v; c |] (maxGradient p least v c)
        let gradient = Lambda.ofVariables [| v; c |] [| call again [| v; c |] |]
        let struct (body, _) = leader (elements p (unfolded p (fitted p least v)))
        call (named "maxPool" form (Some gradient) [| v |] body) [| x |]

    /// The sum of every window, from its first element on, with zeros in the padding.
    let sum (p: PoolWindows) (x: Tensor) : Tensor =
        let zero = Op.constant (Constant.ofInt x.DType 0L)
        let n = p.Size.Length
        let isFew = Shape.count p.Size <= unrolled
        let sums (x: Tensor) =
            let u = unfolded p (fitted p zero x)
            if isFew then
                elements p u |> Array.reduce (fun a b -> Op.binary Binary.Add a b)
            else
                Op.reduce Reduction.Sum [| u.Rank - n .. u.Rank - 1 |] u
        let form = formFor p false x
        let v, c = variables p x
        let spread = unfitted p v ((if isSideBySide p then joined p else refolded p) (over p c))
        // Side by side it is no more than a view, which what comes next reads through.
        let isOwn = isFew && not (isSideBySide p)
        let back =
            if isOwn then
                call (named "sumPoolGradient" { form with IsGradient = true } None [| c |] spread) [| c |]
            else
                spread
        let gradient = Lambda.ofVariables [| v; c |] [| back |]
        if isFew then
            call (named "sumPool" form (Some gradient) [| v |] (sums v)) [| x |]
        else
            let custom =
                { Name = "sumPool"
                  Body = Lambda.ofVariables [| v |] [| sums v |]
                  Gradient = Some gradient }
            call custom [| x |]
