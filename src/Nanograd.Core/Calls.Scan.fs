namespace Nanograd

open System.Collections.Generic

/// Reverse mode, as the rules of calls need it for their bodies: outputs, their cotangents, variables; zeros where
/// nothing flows.
type internal Vjp = Tensor[] -> Tensor[] -> Tensor[] -> Tensor[]

/// The gradient of a loop: a loop in the other direction that carries the cotangents of the carries.
///
/// One step backwards is the vjp of the body. What it needs of the step forwards is cut off: carries, products and their
/// sums are stacked by the forward loop (residuals), elementwise functions of them are computed again. Gradients of
/// captured values that are products are not added up step by step: their factors are stacked, and one product over all
/// steps is the sum. Memory is linear in the number of steps.
[<RequireQualifiedAccess>]
module internal ScanGradient =
    let private fresh name (r: Tensor) = Op.input name r.DType r.Shape

    /// The parameters of a loop's body through which something wanted reaches its results: wanted operands, and the
    /// carries they feed.
    let private active (s: Scan) (wanted: bool[]) =
        let flags = Array.copy wanted
        let order = Graph.topological s.Body.Results
        let mutable grew = true
        while grew do
            grew <- false
            let reached = HashSet<Hash>()
            for t in order do
                let isReached =
                    match t.Op with
                    | Op.Parameter i -> flags[i]
                    | _ -> Array.exists (fun (i: Tensor) -> reached.Contains i.Hash) t.Inputs
                if isReached then reached.Add t.Hash |> ignore
            for i in 0 .. s.Carried - 1 do
                let r = s.Body.Results[i]
                if not flags[s.Captured + i] && DType.isFloat r.DType && reached.Contains r.Hash then
                    flags[s.Captured + i] <- true
                    grew <- true
        flags

    // ------------------------------------------------------------------------------------------------ one step

    /// One step backwards, on variables for the cotangents that come in.
    [<NoComparison; NoEquality>]
    type private Step =
        {
            /// The carries through which cotangents flow (as parameters), and the variables of those of the next carries.
            Carries: int[]
            CarryIn: Tensor[]
            /// The outputs that have cotangents (as results), and their variables.
            Outputs: int[]
            OutputIn: Tensor[]
            /// The gradient of every active parameter.
            Gradients: Dictionary<int, Tensor>
        }

    let private oneStep (vjp: Vjp) (s: Scan) (wanted: bool[]) (cotangents: Tensor voption[]) : Step =
        let parameters, flags = Lambda.parameters s.Body, active s wanted
        let targets = [| 0 .. parameters.Length - 1 |] |> Array.filter (fun i -> flags[i])
        let carries = targets |> Array.filter (fun i -> i >= s.Captured && i < s.Captured + s.Carried)
        let carryIn = carries |> Array.map (fun i -> fresh "dc" parameters[i])
        let outputs = [| s.Carried .. cotangents.Length - 1 |] |> Array.filter (fun i -> cotangents[i].IsSome)
        let outputIn = outputs |> Array.map (fun i -> fresh "dy" s.Body.Results[i])
        let results = Array.append (carries |> Array.map (fun i -> i - s.Captured)) outputs
        let gradients =
            vjp
                (results |> Array.map (fun i -> s.Body.Results[i]))
                (Array.append carryIn outputIn)
                (targets |> Array.map (fun i -> parameters[i]))
        { Carries = carries
          CarryIn = carryIn
          Outputs = outputs
          OutputIn = outputIn
          Gradients = Dictionary(Array.map2 (fun i g -> KeyValuePair(i, g)) targets gradients) }

    // ------------------------------------------------------------------------------------------------ captured values

    /// A sum over the steps as one operation after the loop: values of a step to stack, and what to do with the stacks.
    [<NoComparison; NoEquality>]
    type private AfterLoop = { Parts: Tensor list; Finish: Tensor list -> Tensor; HasProduct: bool }

    let private later = Array.map ((+) 1)
    let private andEveryStep axes = Array.append [| 0 |] (later axes)

    /// A sum over steps of products of matrices is one product with the steps among the summed axes.
    let rec private afterLoop (g: Tensor) : AfterLoop voption =
        let through (f: Tensor -> Tensor) =
            afterLoop g.Inputs[0] |> ValueOption.map (fun a -> { a with Finish = a.Finish >> f })
        match g.Op with
        | Op.Dot d ->
            let outer =
                { LeftBatch = later d.LeftBatch
                  RightBatch = later d.RightBatch
                  LeftSum = andEveryStep d.LeftSum
                  RightSum = andEveryStep d.RightSum }
            ValueSome
                { Parts = [ g.Inputs[0]; g.Inputs[1] ]
                  Finish = (fun stacks -> Op.dot outer stacks[0] stacks[1])
                  HasProduct = true }
        | Op.Reduce(Reduction.Sum, axes) ->
            ValueSome
                { Parts = [ g.Inputs[0] ]
                  Finish = (fun stacks -> Op.reduce Reduction.Sum (andEveryStep axes) stacks[0])
                  HasProduct = false }
        | Op.Movement(Movement.Permute p) -> through (Op.permute p)
        | Op.Movement Movement.Reshape -> through (Op.reshape g.Shape)
        | Op.Binary Binary.Add ->
            match afterLoop g.Inputs[0], afterLoop g.Inputs[1] with
            | ValueSome x, ValueSome y ->
                let finish stacks = let a, b = List.splitAt x.Parts.Length stacks in x.Finish a + y.Finish b
                ValueSome
                    { Parts = x.Parts @ y.Parts
                      Finish = finish
                      HasProduct = x.HasProduct || y.HasProduct }
            | _ -> ValueNone
        | _ when Calculus.uniform g = ValueSome(Constant.ofFloat g.DType 0.0) ->
            ValueSome { Parts = []; Finish = (fun _ -> Calculus.zeros g); HasProduct = false }
        | _ -> ValueNone

    /// How the gradient of each captured operand that is wanted is summed up: after the loop if it is a product, or if what it
    /// is the sum of is stacked anyway; in a carry (none) if not.
    let private plans (gradients: Dictionary<int, Tensor>) (wanted: int[]) (stackedAnyway: seq<Tensor>) =
        let first = wanted |> Array.map (fun i -> afterLoop gradients[i])
        let stacked = HashSet<Hash>(stackedAnyway |> Seq.map (fun t -> t.Hash))
        for plan in first do
            match plan with
            | ValueSome p when p.HasProduct ->
                for t in p.Parts do
                    stacked.Add t.Hash |> ignore
            | _ -> ()
        let isStacked (t: Tensor) = stacked.Contains t.Hash
        Array.map2
            (fun i plan ->
                match plan with
                | ValueSome p when p.HasProduct || List.forall isStacked p.Parts -> i, plan
                | _ when isStacked gradients[i] ->
                    let sum (stacks: Tensor list) = Op.reduce Reduction.Sum [ 0 ] stacks[0]
                    i, ValueSome { Parts = [ gradients[i] ]; Finish = sum; HasProduct = false }
                | _ -> i, ValueNone)
            wanted
            first

    // ------------------------------------------------------------------------------------------------ residuals

    /// Values worth keeping from the forward loop; everything else is cheap enough to be computed again. `isKept` says it of
    /// operands.
    let private isWorthKeeping (isKept: Tensor -> bool) (t: Tensor) =
        match t.Op with
        | Op.Dot _
        | Op.Conv _
        | Op.Item _
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _
        | Op.Indexing _ -> true
        // One sum of products takes less memory than the products.
        | Op.Binary(Binary.Add | Binary.Sub) -> t.Inputs |> Array.exists (fun i -> i.Count = t.Count && isKept i)
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
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _ -> false

    let private isParameter (t: Tensor) =
        match t.Op with
        | Op.Parameter _ -> true
        | _ -> false

    /// The cut: from the results of a backward step down to values of the forward step, which are kept or computed
    /// again. What does not vary from step to step is neither: it is captured. What the loop stacks anyway is kept.
    let private cut (s: Scan) (variables: seq<Tensor>) (results: Tensor[]) : Tensor[] =
        let backwardNodes, varying = HashSet<Hash>(variables |> Seq.map (fun v -> v.Hash)), HashSet<Hash>()
        let outputs = HashSet<Hash>(s.Body.Results[s.Carried ..] |> Seq.map (fun r -> r.Hash))
        let worth = HashSet<Hash>()
        let order = Graph.topological results
        for n in order do
            if isWorthKeeping (fun i -> worth.Contains i.Hash) n then worth.Add n.Hash |> ignore
            let has (set: HashSet<Hash>) = Array.exists (fun (i: Tensor) -> set.Contains i.Hash) n.Inputs
            if has backwardNodes then backwardNodes.Add n.Hash |> ignore
            match n.Op with
            | Op.Parameter i -> if i >= s.Captured then varying.Add n.Hash |> ignore
            | _ -> if has varying then varying.Add n.Hash |> ignore
        let kept, needed = List<Tensor>(), HashSet<Hash>(results |> Seq.map (fun r -> r.Hash))
        for n in Array.rev order do
            if needed.Contains n.Hash then
                let isForward = varying.Contains n.Hash && not (backwardNodes.Contains n.Hash)
                if isForward && (isParameter n || outputs.Contains n.Hash || worth.Contains n.Hash) then
                    kept.Add n
                else
                    for i in n.Inputs do
                        needed.Add i.Hash |> ignore
        kept.ToArray()

    /// The stacks of values of the forward step: scanned operands are stacks already, the others come from the loop with more
    /// outputs. It has the operands and the carries of the original, so that one loop is made of the two.
    let private stacksOf (s: Scan) (t: Tensor) (kept: Tensor[]) : Dictionary<Hash, Tensor> =
        let result = Dictionary<Hash, Tensor>()
        let residuals =
            kept
            |> Array.filter (fun n ->
                match n.Op with
                | Op.Parameter i when i >= s.Captured + s.Carried ->
                    result[n.Hash] <- t.Inputs[i]
                    false
                | _ -> true)
        if residuals.Length > 0 then
            let body = Lambda.make s.Body.Params (Array.append s.Body.Results residuals)
            let forward = Op.scan { s with Body = body } t.Inputs
            residuals |> Array.iteri (fun k n -> result[n.Hash] <- forward[s.Body.Results.Length + k])
        result

    // ------------------------------------------------------------------------------------------------ the loop backwards

    /// What the loop backwards computes in a step: first its carries (of those of the loop, then sums of captured
    /// gradients), then gradients of scanned operands, then values to stack.
    [<NoComparison; NoEquality>]
    type private Backwards = { Totals: Tensor[]; Carries: Tensor[]; Scanned: int[]; Stacked: Tensor[] }

    let private backwards (s: Scan) (step: Step) (summed: int[]) (stacked: Tensor[]) : Backwards =
        let totals = summed |> Array.map (fun i -> fresh "total" step.Gradients[i])
        let sums = Array.map2 (fun (a: Tensor) i -> a + step.Gradients[i]) totals summed
        { Totals = totals
          Carries = Array.append (step.Carries |> Array.map (fun i -> step.Gradients[i])) sums
          Scanned = step.Gradients.Keys |> Seq.filter (fun i -> i >= s.Captured + s.Carried) |> Seq.sort |> Seq.toArray
          Stacked = stacked }

    /// Closes a step over the stacks that it reads (variables, and what they are slices of) and runs it over all.
    let private run (s: Scan) (variables: Tensor[]) (starts: Tensor[]) (slices: (Tensor * Tensor)[]) (step: Tensor[]) =
        if step.Length = 0 then
            [||]
        else
            let read = HashSet<Hash>(Graph.topological step |> Seq.map (fun n -> n.Hash))
            let slices = slices |> Array.filter (fun (v, _) -> read.Contains v.Hash)
            let body, outer = Lambda.close (Array.append variables (Array.map fst slices)) step
            let loop =
                { Body = body
                  Captured = outer.Length
                  Carried = variables.Length
                  Length = s.Length
                  Reverse = not s.Reverse }
            Op.scan loop (Array.concat [ outer; starts; Array.map snd slices ])

    /// The cotangents of the wanted operands of loop `t`, from those of its results.
    let operands (vjp: Vjp) (s: Scan) (t: Tensor) (wanted: bool[]) (cotangents: Tensor voption[]) : Tensor voption[] =
        let parameters = Lambda.parameters s.Body
        let cotangent i = cotangents[i] |> ValueOption.defaultWith (fun () -> Calculus.zeros s.Body.Results[i])
        let step = oneStep vjp s wanted cotangents
        let captured = [| 0 .. s.Captured - 1 |] |> Array.filter (fun i -> wanted[i])
        let plans = plans step.Gradients captured step.OutputIn
        let summed = plans |> Array.filter (fun (_, p) -> p.IsNone) |> Array.map fst
        let parts (_, plan: AfterLoop voption) =
            match plan with
            | ValueSome p -> List.toArray p.Parts
            | ValueNone -> [||]
        let back = backwards s step summed (plans |> Array.collect parts |> Array.distinct)
        let gradients = Array.append back.Carries (back.Scanned |> Array.map (fun i -> step.Gradients[i]))
        let variables = Array.append step.CarryIn back.Totals
        let kept = cut s (Seq.append variables step.OutputIn) (Array.append gradients back.Stacked)
        // Parts that are kept values or cotangents themselves are read where they already are.
        let stacks = stacksOf s t kept
        let keptIn = kept |> Array.map (fresh "r")
        let slices =
            Array.append
                (Array.map2 (fun v (n: Tensor) -> v, stacks[n.Hash]) keptIn kept)
                (Array.map2 (fun v i -> v, cotangent i) step.OutputIn step.Outputs)
        Array.iter2 (fun (v: Tensor) i -> stacks[v.Hash] <- cotangent i) step.OutputIn step.Outputs
        let computed = back.Stacked |> Array.filter (fun n -> not (stacks.ContainsKey n.Hash))
        let replacements = Dictionary<Hash, Tensor>()
        Array.iter2 (fun (n: Tensor) v -> replacements[n.Hash] <- v) kept keptIn
        for i in 0 .. s.Captured - 1 do
            replacements[parameters[i].Hash] <- t.Inputs[i]
        let starts =
            Array.append
                (step.Carries |> Array.map (fun i -> cotangent (i - s.Captured)))
                (Array.map Calculus.zeros back.Totals)
        let out = run s variables starts slices (Substitute.apply replacements (Array.append gradients computed))
        computed |> Array.iteri (fun k n -> stacks[n.Hash] <- out[gradients.Length + k])
        let result = Array.create t.Inputs.Length ValueNone
        step.Carries |> Array.iteri (fun k i -> if wanted[i] then result[i] <- ValueSome out[k])
        summed |> Array.iteri (fun k i -> result[i] <- ValueSome out[step.Carries.Length + k])
        back.Scanned |> Array.iteri (fun k i -> result[i] <- ValueSome out[back.Carries.Length + k])
        for i, plan in plans do
            match plan with
            | ValueSome p -> result[i] <- ValueSome(p.Finish(p.Parts |> List.map (fun n -> stacks[n.Hash])))
            | ValueNone -> ()
        result
