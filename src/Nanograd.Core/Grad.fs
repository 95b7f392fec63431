namespace Nanograd

open System.Collections.Generic

/// Reverse mode. The driver knows no primitive: it walks the expression once, adds up what flows into each node, and
/// asks the tables.
[<RequireQualifiedAccess>]
module Grad =
    /// The sum of contributions (latest first), as a balanced tree.
    let private total (parts: Tensor list) =
        let rec sum (parts: Tensor[]) =
            if parts.Length = 1 then parts[0] else sum parts[.. parts.Length / 2 - 1] + sum parts[parts.Length / 2 ..]
        match parts with
        | [ one ] -> one
        | [ b; a ] -> a + b
        | _ -> sum (Array.rev (Array.ofList parts))

    let private checkFloat (op: string) (what: string) (ts: Tensor[]) =
        for t in ts do
            if not (DType.isFloat t.DType) then
                Shape.fail op $"{what} must be floats" "cast them before they are used" [ t ]

    let private isLeaf (t: Tensor) = t.Inputs.Length = 0

    /// The cotangents of `wrt`, given those of `outputs`: the vector-Jacobian product. Zeros where nothing flows. A
    /// variable that another one is made of gets what flows through that one, too.
    let rec vjp (outputs: Tensor[]) (cotangents: Tensor[]) (wrt: Tensor[]) : Tensor[] =
        if outputs.Length <> cotangents.Length then
            invalidArg "cotangents" $"vjp: {outputs.Length} outputs need as many cotangents, not {cotangents.Length}"
        Array.iter2
            (fun (y: Tensor) (c: Tensor) ->
                if y.DType <> c.DType || y.Shape <> c.Shape then
                    Shape.fail "vjp" "a cotangent must have the type and shape of its output" "" [ y; c ])
            outputs
            cotangents
        checkFloat "vjp" "the variables" wrt
        // Its gradient is not recognised any more, but made of it; variables inside would be lost.
        let outputs = if Array.forall isLeaf wrt then AttentionCall.recognise outputs else outputs
        let outside = Watcher.Derive null
        let order = Graph.topological outputs
        let index = Dictionary<Hash, int>(order.Length)
        order |> Array.iteri (fun i t -> index[t.Hash] <- i)
        // Where the operands of each node stand in `order`, as one array: an array per node would be a million objects.
        let offsets = order |> Array.scan (fun n t -> n + t.Inputs.Length) 0
        let places = Array.zeroCreate<int> offsets[order.Length]
        order |> Array.iteri (fun i t -> t.Inputs |> Array.iteri (fun k x -> places[offsets[i] + k] <- index[x.Hash]))
        let place i k = places[offsets[i] + k]
        // Active: made of a variable, through floats. The node of a call stands for all its results; Item says which is
        // a float.
        let active = Array.create order.Length false
        for v in wrt do
            match index.TryGetValue v.Hash with
            | true, i -> active[i] <- true
            | _ -> ()
        for i in 0 .. order.Length - 1 do
            if not active[i] && (DType.isFloat order[i].DType || Calls.isCall order[i]) then
                for k in offsets[i] .. offsets[i + 1] - 1 do
                    active[i] <- active[i] || active[places[k]]
        let parts: Tensor list[] = Array.create order.Length []
        let ofCalls = Dictionary<int, Tensor voption[]>() // what flowed into the results of each call
        let isZero c =
            match Calculus.uniform c with
            | ValueSome v -> v.Float = 0.0
            | ValueNone -> false
        let flow i c = if active[i] && not (isZero c) then parts[i] <- c :: parts[i]
        Array.iter2 (fun (y: Tensor) c -> flow index[y.Hash] c) outputs cotangents
        for i in order.Length - 1 .. -1 .. 0 do
            let t = order[i]
            Watcher.Derive t |> ignore
            match ofCalls.TryGetValue i with
            | true, given ->
                let wanted = t.Inputs |> Array.mapi (fun k x -> active[place i k] && DType.isFloat x.DType)
                Calls.operands vjp t wanted given
                |> Array.iteri (fun k c ->
                    match c with
                    | ValueSome c -> flow (place i k) c
                    | ValueNone -> ())
            | _ when parts[i].IsEmpty -> ()
            | _ ->
                let c = total parts[i]
                parts[i] <- [ c ]
                match t.Op with
                | Op.Item k ->
                    let call = place i 0
                    if active[call] then
                        if not (ofCalls.ContainsKey call) then
                            ofCalls[call] <- Array.create (Op.results t.Inputs[0]).Length ValueNone
                        ofCalls[call].[k] <- ValueSome c
                | _ ->
                    for k in 0 .. t.Inputs.Length - 1 do
                        if active[place i k] then
                            match Calculus.operand t k c with
                            | ValueSome d -> flow (place i k) d
                            | ValueNone -> ()
        Watcher.Derive outside |> ignore
        wrt
        |> Array.map (fun v ->
            match index.TryGetValue v.Hash with
            | true, i when not parts[i].IsEmpty -> parts[i].Head
            | _ -> Calculus.zeros v)

    /// The derivatives of a scalar with respect to each of `wrt`, as expressions. Variables that do not occur get
    /// zeros.
    let gradient (y: Tensor) (wrt: Tensor[]) : Tensor[] =
        if y.Rank <> 0 then Shape.fail "grad" "the function must return a scalar" "use sum or mean to make one" [ y ]
        checkFloat "grad" "the result of the function" [| y |]
        checkFloat "grad" "the variables" wrt
        vjp [| y |] [| Calculus.fill y.DType [||] 1.0 |] wrt

    /// The same value, seen as a constant by differentiation.
    let stopGradient (x: Tensor) : Tensor =
        let one = x.DType, x.Shape
        let body = Lambda.make [| one |] [| Op.parameter 0 x.DType x.Shape |]
        let gradient = Lambda.make [| one; one |] [| Calculus.zeros x |]
        (Op.custom { Name = "stopGradient"; Body = body; Gradient = Some gradient } [| x |])[0]
