namespace Nanograd

open System.Collections.Generic

/// Forward mode: what small changes of some variables (tangents) make of the outputs. The driver knows no primitive: it
/// walks the expression once, operands before users, and asks the tables. A tangent that is known to be zero is
/// `ValueNone` and never becomes part of an expression.
[<RequireQualifiedAccess>]
module Jvp =
    /// The primal results of a primitive with several, and their tangents.
    type private Results = (struct (Tensor[] * Tensor voption[]))

    /// Outputs, variables and their tangents, to the outputs and their tangents: forward mode itself, as the rules of
    /// loops and functions need it for their bodies.
    type private Both = Tensor[] -> Tensor[] -> Tensor voption[] -> Results

    let private orZeros (like: Tensor) (d: Tensor voption) =
        match d with
        | ValueSome d -> d
        | ValueNone -> Calculus.zeros like

    let private plus (a: Tensor voption) (b: Tensor voption) =
        match a, b with
        | ValueSome a, ValueSome b -> ValueSome(a + b)
        | ValueSome _, ValueNone -> a
        | ValueNone, _ -> b

    let private given (ds: Tensor voption[]) =
        ds
        |> Array.choose (fun d ->
            match d with
            | ValueSome d -> Some d
            | ValueNone -> None)

    // ------------------------------------------------------------------------------------------------ one result

    let private scaled (p: Partial) (d: Tensor voption) =
        match p, d with
        | Partial.Scale f, ValueSome d -> ValueSome(f d)
        | (Partial.Zero | Partial.Discrete), _
        | _, ValueNone -> ValueNone

    /// A function that is linear in all its float operands together: itself, of the tangents.
    let private linear (t: Tensor) (ds: Tensor voption[]) =
        let operand (x: Tensor) d = if DType.isFloat x.DType then orZeros x d else x
        ValueSome(Op.rebuild t (Array.map2 operand t.Inputs ds))

    /// A product: linear in each of its two operands.
    let private bilinear (t: Tensor) (ds: Tensor voption[]) =
        let along (d: Tensor voption) (make: Tensor -> Tensor[]) =
            match d with
            | ValueSome d -> ValueSome(Op.rebuild t (make d))
            | ValueNone -> ValueNone
        plus (along ds[0] (fun d -> [| d; t.Inputs[1] |])) (along ds[1] (fun d -> [| t.Inputs[0]; d |]))

    /// The extreme elements share evenly, as in reverse mode.
    let private extreme (t: Tensor) (axes: int[]) (d: Tensor) =
        let x = t.Inputs[0]
        let attained = Op.binary Binary.Eq x (Calculus.restore x axes t)
        let count = Op.reduce Reduction.Sum axes (Op.cast x.DType attained)
        Op.reduce Reduction.Sum axes (Op.select attained (d / Calculus.restore x axes count) (Calculus.zeros x))

    let private reduction (r: Reduction) (t: Tensor) (axes: int[]) (ds: Tensor voption[]) =
        match r, ds[0] with
        | _, ValueNone -> ValueNone
        | Reduction.Sum, _ -> linear t ds
        | Reduction.Prod, ValueSome d ->
            ValueSome(Op.reduce Reduction.Sum axes (d * Calculus.productOfOthers t.Inputs[0] axes))
        | (Reduction.Max | Reduction.Min), ValueSome d -> ValueSome(extreme t axes d)

    /// The result does not change with its operands, or has no float operand: it has no tangent.
    let private notDifferentiable (_reason: string) : Tensor voption = ValueNone

    /// The tangent of a node with one result, from those of its operands, of which one at least is not zero.
    let private single (t: Tensor) (ds: Tensor voption[]) : Tensor voption =
        match t.Op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _ -> notDifferentiable "a leaf has no operands"
        | Op.RandomBits -> notDifferentiable "a key is made of integers"
        | Op.Unary u -> scaled (Calculus.unary u t.Inputs[0] t) ds[0]
        | Op.Binary b ->
            let struct (dx, dy) = Calculus.binary b t.Inputs[0] t.Inputs[1] t
            plus (scaled dx ds[0]) (scaled dy ds[1])
        | Op.Select -> linear t ds // the condition is bool, and stays
        | Op.Cast -> linear t ds
        | Op.BitCast -> notDifferentiable "bits are not numbers"
        | Op.Movement _ -> linear t ds // with the padding value as an operand
        | Op.Reduce(r, axes) -> reduction r t axes ds
        | Op.ArgReduce _ -> notDifferentiable "an index is an integer"
        | Op.CumSum _ -> linear t ds
        | Op.Dot _
        | Op.Conv _ -> bilinear t ds
        | Op.Indexing _ -> linear t ds // indices are integers, and stay
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _
        | Op.Item _ -> ValueNone // see several

    // ------------------------------------------------------------------------------------------------ order

    /// Tangents move with their values.
    let private sorted (items: Tensor[]) axis (d: Tensor voption) : Results =
        let follow (d: Tensor) =
            let last = d.Rank - 1
            let order = Array.append (Array.removeAt axis [| 0..last |]) [| axis |]
            Op.gather last last (Op.permute order d) (Op.permute order items[1]) |> Op.permute (Calculus.inverse order)
        struct (items, [| ValueOption.map follow d; ValueNone |])

    // ------------------------------------------------------------------------------------------------ functions

    /// Parameters for the tangents of a function's operands, numbered from `first`.
    let private tangentParameters first (l: Lambda) (ds: Tensor voption[]) =
        let mutable next = first - 1
        Array.map2
            (fun (dtype, shape) (d: Tensor voption) ->
                if d.IsSome then
                    next <- next + 1
                    ValueSome(Op.parameter next dtype shape)
                else
                    ValueNone)
            l.Params
            ds

    let private signature (ts: Tensor[]) = ts |> Array.map (fun t -> t.DType, t.Shape)

    /// The tangents of those results that have one, each put where it belongs.
    let private spread (flags: bool[]) (tangents: Tensor[]) =
        let mutable next = -1
        flags
        |> Array.map (fun f ->
            if f then
                next <- next + 1
                ValueSome tangents[next]
            else
                ValueNone)

    /// A body and its tangents, as one function of operands and those of their tangents that are not zero.
    let private joint (both: Both) (l: Lambda) (ds: Tensor voption[]) =
        let tangents = tangentParameters l.Params.Length l ds
        let struct (primal, derived) = both l.Results (Lambda.parameters l) tangents
        let results = Array.append primal (given derived)
        struct (Lambda.make (Array.append l.Params (signature (given tangents))) results, derived)

    let private checkpoint (both: Both) (l: Lambda) (t: Tensor) (ds: Tensor voption[]) : Results =
        let struct (body, derived) = joint both l ds
        if Array.forall (fun (d: Tensor voption) -> d.IsNone) derived then
            struct (Op.items t, derived)
        else
            let results = Op.checkpoint body (Array.append t.Inputs (given ds))
            let n = l.Results.Length
            struct (results[.. n - 1], spread (Array.map ValueOption.isSome derived) results[n..])

    /// A gradient is linear in the cotangents, so its own transpose is forward mode: the tangents of the results are
    /// what they would weigh the cotangents by. (Where a gradient is not linear, as when it clips, this is its
    /// derivative at 0.)
    let private transposed (f: Custom) (gradient: Lambda) (t: Tensor) (ds: Tensor voption[]) : Tensor voption[] =
        let parameters = Lambda.parameters gradient
        let cotangents = parameters[t.Inputs.Length ..]
        let isFloat (x: Tensor) = DType.isFloat x.DType
        let tangents = tangentParameters parameters.Length f.Body ds
        let flows = Array.zip gradient.Results tangents |> Array.filter (fun (_, d) -> d.IsSome)
        let derived = Grad.vjp (Array.map fst flows) (given tangents) (Array.filter isFloat cotangents)
        let body = Lambda.make (Array.append gradient.Params (signature (given tangents))) derived
        let results = Lambda.apply body (Array.concat [ t.Inputs; Array.map Calculus.zeros cotangents; given ds ])
        let mutable next = -1
        cotangents
        |> Array.map (fun c ->
            if isFloat c then
                next <- next + 1
                ValueSome results[next]
            else
                ValueNone)

    let private custom (both: Both) (f: Custom) (t: Tensor) (ds: Tensor voption[]) : Results =
        match f.Gradient with
        | Some gradient -> struct (Op.items t, transposed f gradient t ds)
        | None ->
            let struct (body, derived) = joint both f.Body ds
            let results = Lambda.apply body (Array.append t.Inputs (given ds))
            let n = f.Body.Results.Length
            // A loop inside computes values and tangents together, so both must be read from the same one.
            let isSame = Array.forall2 (fun (a: Tensor) b -> a = b) body.Results[.. n - 1] f.Body.Results
            struct ((if isSame then Op.items t else results[.. n - 1]),
                    spread (Array.map ValueOption.isSome derived) results[n..])

    // ------------------------------------------------------------------------------------------------ loops

    /// A step of a loop on fresh variables: its values, and the tangents of those variables that have one.
    [<NoEquality; NoComparison>]
    type private Step =
        { Variables: Tensor[]
          Tangents: Tensor[]
          IsActive: bool[]
          Primal: Tensor[]
          Derived: Tensor voption[] }

    /// Which carries have a tangent is a fixed point: those that start with one, and those that a step gives one to.
    let private settled (both: Both) (s: Scan) (ds: Tensor voption[]) : Step =
        let variables = s.Body.Params |> Array.map (fun (dtype, shape) -> Op.input "p" dtype shape)
        let tangents = variables |> Array.map (fun v -> Op.input "d" v.DType v.Shape)
        let outputs = Lambda.apply s.Body variables
        let rec settle (active: bool[]) =
            let given = Array.map2 (fun f d -> if f then ValueSome d else ValueNone) active tangents
            let struct (primal, derived) = both outputs variables given
            let isCarry i = i >= s.Captured && i < s.Captured + s.Carried
            let grown = active |> Array.mapi (fun i f -> f || (isCarry i && derived[i - s.Captured].IsSome))
            if grown = active then
                { Variables = variables
                  Tangents = tangents
                  IsActive = active
                  Primal = primal
                  Derived = derived }
            else
                settle grown
        settle (Array.map ValueOption.isSome ds)

    let private chosen (flags: bool[]) (ts: Tensor[]) = Array.zip flags ts |> Array.filter fst |> Array.map snd

    /// Values, and the tangents of those that have one, as a loop wants them: captured, carried, scanned; of each the
    /// values first.
    let private interleaved (s: Scan) (active: bool[]) (values: Tensor[]) (tangents: Tensor[]) : Tensor[][] =
        let part first last = Array.append values[first..last] (chosen active[first..last] tangents[first..last])
        let carries = s.Captured + s.Carried
        [| part 0 (s.Captured - 1); part s.Captured (carries - 1); part carries (values.Length - 1) |]

    /// A loop that carries the tangents of its carries too.
    let private scan (both: Both) (s: Scan) (t: Tensor) (ds: Tensor voption[]) : Results =
        let step = settled both s ds
        let n = s.Carried
        let carries = step.IsActive[s.Captured .. s.Captured + n - 1]
        let outputs = step.Derived[n..] |> Array.map ValueOption.isSome
        // Carries that start with a tangent lose it in the first step, if there is one.
        let isLost = s.Length > 0 && Array.forall ValueOption.isNone step.Derived
        if isLost || not (Array.exists id (Array.append carries outputs)) then
            struct (Op.items t, step.Derived)
        else
            let inside = interleaved s step.IsActive step.Variables step.Tangents
            let operands = interleaved s step.IsActive t.Inputs (Array.map2 orZeros t.Inputs ds)
            let tangents = Array.map2 orZeros step.Primal step.Derived
            let results =
                Array.concat
                    [ step.Primal[.. n - 1]
                      chosen carries tangents[.. n - 1]
                      step.Primal[n..]
                      chosen outputs tangents[n..] ]
            let loop =
                { s with
                    Body = Lambda.ofVariables (Array.concat inside) results
                    Captured = inside[0].Length
                    Carried = inside[1].Length }
            let all = Op.scan loop (Array.concat operands)
            let first = inside[1].Length
            let last = first + step.Primal.Length - n
            let derived = spread (Array.append carries outputs) (Array.append all[n .. first - 1] all[last..])
            struct (Array.append all[.. n - 1] all[first .. last - 1], derived)

    // ------------------------------------------------------------------------------------------------ the table

    /// The results of a node with several, and their tangents, from those of its operands. Loops and recomputed
    /// functions compute both in one: who needs values and tangents must take both from here.
    let private several (both: Both) (t: Tensor) (ds: Tensor voption[]) : Results =
        match t.Op with
        | Op.Sort(axis, _) -> sorted (Op.items t) axis ds[0]
        | Op.TopK _ -> sorted (Op.items t) (t.Rank - 1) ds[0]
        | Op.Scan s -> scan both s t ds
        | Op.Custom f -> custom both f t ds
        | Op.Checkpoint l -> checkpoint both l t ds
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _
        | Op.RandomBits
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast
        | Op.Movement _
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Dot _
        | Op.Conv _
        | Op.Indexing _
        | Op.Item _ -> struct ([| t |], [| ValueNone |]) // see single

    // ------------------------------------------------------------------------------------------------ the driver

    let private isZero (d: Tensor voption) =
        match d with
        | ValueSome d ->
            match Calculus.uniform d with
            | ValueSome c -> c.Float = 0.0
            | ValueNone -> false
        | ValueNone -> true

    let rec private walk (outputs: Tensor[]) (variables: Tensor[]) (tangents: Tensor voption[]) : Results =
        let outside = Watcher.Derive null
        let order = Graph.topological outputs
        let index = Dictionary<Hash, int>(order.Length)
        order |> Array.iteri (fun i t -> index[t.Hash] <- i)
        let primal = Array.copy order // rebuilt above loops that compute values and tangents together
        let derived: Tensor voption[] = Array.create order.Length ValueNone
        let starts = Dictionary<int, Tensor voption>()
        Array.iter2
            (fun (v: Tensor) d ->
                match index.TryGetValue v.Hash with
                | true, i when not (isZero d) ->
                    starts[i] <-
                        match starts.TryGetValue i with
                        | true, earlier -> plus earlier d
                        | _ -> d
                | _ -> ())
            variables
            tangents
        let ofCalls = Dictionary<int, Results>()
        for i in 0 .. order.Length - 1 do
            let node = order[i]
            let places = node.Inputs |> Array.map (fun x -> index[x.Hash])
            let t = Op.rebuild node (places |> Array.map (fun k -> primal[k]))
            primal[i] <- t
            Watcher.Derive t |> ignore
            match node.Op with
            | Op.Item k ->
                match ofCalls.TryGetValue places[0] with
                | true, struct (values, ds) ->
                    primal[i] <- values[k]
                    derived[i] <- ds[k]
                | _ -> ()
            | _ when Array.forall (fun k -> derived[k].IsNone) places -> ()
            | _ ->
                let ds = places |> Array.map (fun k -> derived[k])
                if Calls.isCall t then ofCalls[i] <- several walk t ds
                elif DType.isFloat t.DType then derived[i] <- single t ds
            if isZero derived[i] then derived[i] <- ValueNone
            match starts.TryGetValue i with
            | true, d -> derived[i] <- plus derived[i] d
            | _ -> ()
        Watcher.Derive outside |> ignore
        let at (ts: 'a[]) = outputs |> Array.map (fun y -> ts[index[y.Hash]])
        struct (at primal, at derived)

    let private check (variables: Tensor[]) (tangents: Tensor[]) =
        if variables.Length <> tangents.Length then
            invalidArg "tangents" $"jvp: {variables.Length} variables need as many tangents, not {tangents.Length}"
        Array.iter2
            (fun (v: Tensor) (d: Tensor) ->
                if not (DType.isFloat v.DType) then
                    Shape.fail "jvp" "the variables must be floats" "cast them before they are used" [ v ]
                if v.DType <> d.DType || v.Shape <> d.Shape then
                    Shape.fail "jvp" "a tangent must have the type and shape of its variable" "" [ v; d ])
            variables
            tangents

    /// <summary>The outputs, and their tangents when `variables` have these `tangents`: the Jacobian-vector
    /// product.</summary>
    /// <remarks>Loops and recomputed functions compute values and tangents together; outputs and tangents taken from
    /// here share that work. Outputs without a tangent (integers too) get zeros.</remarks>
    let both (outputs: Tensor[]) (variables: Tensor[]) (tangents: Tensor[]) : Tensor[] * Tensor[] =
        check variables tangents
        let struct (primal, derived) = walk outputs variables (Array.map ValueSome tangents)
        primal, Array.map2 orZeros primal derived

    /// The tangents of `outputs` when `variables` have these `tangents`. Zeros where nothing flows. What a variable is
    /// made of may be a variable, too: then it has its own tangent and what flows to it.
    let jvp (outputs: Tensor[]) (variables: Tensor[]) (tangents: Tensor[]) : Tensor[] =
        snd (both outputs variables tangents)
