namespace Nanograd

open System.Collections.Generic

/// Loops to kernels: the body becomes a plan of its own, and every carry gets a place in which it stays from step to step.
[<RequireQualifiedAccess>]
module internal LoopKernel =
    /// The output in whose rows a carry can stand, if it is stacked: as a step leaves it, or as a step finds it.
    [<RequireQualifiedAccess>]
    type private Rows =
        | After of output: int
        | Before of output: int
        | Absent

    let private chooseRows (s: Scan) (variables: Tensor[]) (results: Tensor[]) : Rows[] =
        let taken = HashSet<int>()
        let free (t: Tensor) =
            seq { 0 .. results.Length - s.Carried - 1 }
            |> Seq.tryFind (fun j -> results[s.Carried + j] = t && not (taken.Contains j))
        let take (choice: int -> Rows) j =
            taken.Add j |> ignore
            choice j
        Array.init s.Carried (fun k ->
            match free results[k] with
            | Some j -> take Rows.After j
            | None ->
                match free variables[s.Captured + k] with
                | Some j -> take Rows.Before j
                | None -> Rows.Absent)

    /// A body as a plan, and where its carries could be stacked.
    [<NoComparison>]
    type Body = private { Plan: Plan; Memory: MemoryPlan; Rows: Rows[] }

    let private inputBuffer (p: Plan) (i: int) = p.Buffers |> Array.findIndex (fun b -> b.Place = Place.Input i)

    /// Lowers the body of a loop. Results that are stacked carries are computed once, into the rows.
    let body (lower: Tensor[] -> Tensor[] -> Plan) (s: Scan) : Body =
        let name i =
            if i < s.Captured then "captured"
            elif i < s.Captured + s.Carried then "carry"
            else "slice"
        let variables = s.Body.Params |> Array.mapi (fun i (d, e) -> Op.input (name i) d e)
        let results = Lambda.apply s.Body variables
        let rows = chooseRows s variables results
        let sharing = Dictionary<int, int>() // output -> the carry that stands in its rows
        rows
        |> Array.iteri (fun k r ->
            match r with
            | Rows.After j
            | Rows.Before j -> sharing[j] <- k
            | Rows.Absent -> ())
        let isOwn i = i < s.Carried || not (sharing.ContainsKey(i - s.Carried))
        let own = [| 0 .. results.Length - 1 |] |> Array.filter isOwn
        let plan = lower variables (own |> Array.map (fun i -> results[i]))
        let place i =
            if isOwn i then
                plan.Results[System.Array.IndexOf(own, i)]
            else
                let k = sharing[i - s.Carried]
                match rows[k] with
                | Rows.Before _ -> inputBuffer plan (s.Captured + k)
                | Rows.After _
                | Rows.Absent -> plan.Results[System.Array.IndexOf(own, k)]
        let plan = { plan with Results = Array.init results.Length place }
        { Plan = plan
          Memory = MemoryPlan.make plan (Array.create variables.Length false)
          Rows = rows }

    /// Adds the kernel of a loop of at least one step.
    let add (p: Planner) (t: Tensor) (s: Scan) (b: Body) : unit =
        let operands = t.Inputs |> Array.map p.Realise
        let temporary (dtype, shape) = p.NewBuffer(dtype, Shape.count shape, Place.Temporary)
        // A carry that stands in a stack is read there: graphs are prepared so.
        let isStacked i =
            i < s.Carried
            && (match b.Rows[i] with
                | Rows.After _ -> true
                | Rows.Before _
                | Rows.Absent -> false)
        let results = Op.results t |> Array.mapi (fun i r -> if isStacked i then -1 else temporary r)
        let keep k =
            match b.Rows[k] with
            | Rows.After j -> Carry.Stacked j
            | Rows.Before j -> Carry.StackedBefore j
            | Rows.Absent ->
                let found, left = inputBuffer b.Plan (s.Captured + k), b.Plan.Results[k]
                if s.Length = 1 || MemoryPlan.mayShare b.Plan b.Memory found left then
                    Carry.InPlace
                else
                    Carry.Alternating(temporary s.Body.Params[s.Captured + k])
        if b.Memory.ArenaBytes > int64 System.Int32.MaxValue then
            invalidOp $"One step of a loop needs {b.Memory.ArenaBytes} bytes; the most is {System.Int32.MaxValue}."
        p.Kernels.Add(
            Kernel.Repeat
                { Body = b.Plan
                  Memory = b.Memory
                  Captured = s.Captured
                  Carried = s.Carried
                  Length = s.Length
                  Reverse = s.Reverse
                  Operands = operands
                  Results = results
                  Carries = Array.init s.Carried keep
                  Scratch =
                    (if b.Memory.ArenaBytes = 0L then -1 else temporary (DType.U8, [| int b.Memory.ArenaBytes |]))
                  Label = "scan" }
        )
        p.KeepAll(t, results)
