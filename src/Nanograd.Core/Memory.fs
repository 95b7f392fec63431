namespace Nanograd

open System
open System.Collections.Generic

/// Lifetimes to addresses: buffers that are never alive together share memory, and results replace donated inputs where that is safe.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module MemoryPlan =
    let private align (bytes: int64) = (bytes + 64L + 63L) / 64L * 64L // vector loads may look 64 bytes past the end

    let private bytes (b: PlanBuffer) = int64 b.Length * int64 (DType.size b.DType)

    /// Does every access of the loop to `input` fall on the element that it then writes to `output`?
    let rec private sameElements (k: Kernel) (input: int) (output: int) =
        match k with
        | Kernel.Product({ Epilogue = ValueSome l } as p)
        | Kernel.Conv { Of = { Epilogue = ValueSome l } as p } ->
            // Where the product itself writes, the operand would be gone before it is read.
            input <> p.Left && input <> p.Right && output <> p.Result && sameElements (Kernel.Loop l) input output
        | Kernel.Loop l when l.Nest.Kind = NestKind.Rows ->
            let forms access buffer =
                Seq.zip l.Nest.Arguments l.Operands
                |> Seq.filter (fun (a, o) -> a.Access = access && o.Buffer = buffer)
                |> Seq.map (fun (_, o) -> o.Form)
                |> Seq.distinct
                |> Seq.toArray
            let lookups =
                l.Nest.Values
                |> Array.exists (fun v ->
                    match v.Term with
                    | Term.LoadAt _ -> true
                    | _ -> false)
            let reductions =
                l.Nest.Values
                |> Array.exists (fun v ->
                    match v.Term with
                    | Term.Reduced _ -> true
                    | _ -> false)
            let written = forms Access.Write output
            not lookups && not reductions && written.Length = 1 && forms Access.Read input = written
        | _ -> false

    /// For each buffer the first of its states: a kernel that changes part of an operand which nobody needs afterwards
    /// changes it where it is. What was donated is changed only after everything that may raise.
    let private states (plan: Plan) (donated: bool[]) (lastRead: int[]) (lastCheck: int) : int[] =
        let first = Array.init plan.Buffers.Length id
        plan.Kernels
        |> Array.iteri (fun k kernel ->
            match Kernel.replaces kernel with
            | ValueSome(struct (target, result)) ->
                let mayChange b =
                    match plan.Buffers[b].Place with
                    | Place.Temporary -> true
                    | Place.Input i -> donated[i] && k > lastCheck
                    | Place.Output _ -> false
                if lastRead[target] = k && mayChange target && mayChange first[target] then
                    first[result] <- first[target]
            | ValueNone -> ())
        first

    /// Lays out the buffers of a plan. `donated` marks inputs that results may overwrite.
    let make (plan: Plan) (donated: bool[]) : MemoryPlan =
        let count = plan.Buffers.Length
        // What may find an index out of range must have run before anything donated is overwritten.
        let lastCheck = plan.Kernels |> Array.tryFindIndexBack Kernel.mayFail |> Option.defaultValue -1
        let ownLastRead = Array.create count -1
        plan.Kernels
        |> Array.iteri (fun k kernel ->
            let struct (reads, _) = Kernel.touches kernel
            for b in reads do
                if b >= 0 then ownLastRead[b] <- k)
        let state = states plan donated ownLastRead lastCheck
        // From here on the states of one piece of memory count as one buffer: the first.
        let first, last, lastRead = Array.create count Int32.MaxValue, Array.create count -1, Array.create count -1
        let writers = Array.init count (fun _ -> List<int>())
        plan.Kernels
        |> Array.iteri (fun k kernel ->
            let struct (reads, writes) = Kernel.touches kernel
            for b in reads do
                if b >= 0 then
                    lastRead[state[b]] <- max lastRead[state[b]] k
                    last[state[b]] <- k
            for b in writes do
                let b = state[b]
                first[b] <- min first[b] k
                last[b] <- max last[b] k
                writers[b].Add k)
        // Donated inputs by size and type, each given to at most one result.
        let donors = Dictionary<struct (DType * int), List<int>>()
        plan.Buffers
        |> Array.iteri (fun b buffer ->
            match buffer.Place with
            | Place.Input i when donated[i] && buffer.Length > 0 ->
                let key = struct (buffer.DType, buffer.Length)
                if not (donors.ContainsKey key) then donors[key] <- List()
                donors[key].Add b
            | _ -> ())
        let taken = HashSet<int>()
        let donorFor b =
            match donors.TryGetValue(struct (plan.Buffers[b].DType, plan.Buffers[b].Length)) with
            | true, candidates when writers[b].Count > 0 && writers[b][0] > lastCheck ->
                let w = writers[b][0]
                let safe j =
                    not (taken.Contains j)
                    && (lastRead[j] < w || (lastRead[j] = w && writers[b].Count = 1 && sameElements plan.Kernels[w] j b))
                candidates |> Seq.filter safe |> Seq.sortByDescending (fun j -> lastRead[j]) |> Seq.tryHead
            | _ -> None
        let homes = Array.create count Home.Nowhere
        let mutable freshBytes = 0L
        let inputOf j =
            match plan.Buffers[j].Place with
            | Place.Input i -> i
            | Place.Output _
            | Place.Temporary -> -1
        plan.Buffers
        |> Array.iteri (fun b buffer ->
            match buffer.Place with
            | Place.Input i -> homes[b] <- Home.Input i
            | Place.Output _ when inputOf state[b] >= 0 ->
                taken.Add state[b] |> ignore
                homes[b] <- Home.InPlace(inputOf state[b])
            | Place.Output _
            | Place.Temporary -> ())
        plan.Buffers
        |> Array.iteri (fun b buffer ->
            match buffer.Place with
            | Place.Output o when homes[b] = Home.Nowhere ->
                match donorFor state[b] with
                | Some j ->
                    taken.Add j |> ignore
                    homes[b] <- Home.InPlace(inputOf j)
                | None ->
                    homes[b] <- Home.Fresh o
                    freshBytes <- freshBytes + bytes buffer
                if state[b] <> b then homes[state[b]] <- Home.SameAs b
            | Place.Output _
            | Place.Input _
            | Place.Temporary -> ())
        let tenants =
            [| for b in 0 .. count - 1 do
                   if homes[b] = Home.Nowhere && state[b] = b && last[b] >= 0 && first[b] <> Int32.MaxValue then b |]
        let struct (offsets, size) =
            tenants
            |> Array.map (fun b -> { Bytes = align (bytes plan.Buffers[b]); First = first[b]; Last = last[b] })
            |> Arena.place
        Array.iter2 (fun b offset -> homes[b] <- Home.Arena offset) tenants offsets
        for b in 0 .. count - 1 do
            if homes[b] = Home.Nowhere && state[b] <> b then
                homes[b] <-
                    match homes[state[b]] with
                    | Home.SameAs other -> Home.SameAs other
                    | Home.Input _
                    | Home.InPlace _
                    | Home.Fresh _
                    | Home.Arena _
                    | Home.Nowhere -> Home.SameAs state[b]
        // A result in a donated input's place must not be written before the last use of that input by another buffer's reader; checked above.
        { Homes = homes; ArenaBytes = size; PeakBytes = size + freshBytes }

    /// May buffer `output` be where `input` is? That is so when every kernel is done with the input before one writes the output,
    /// or an earlier state of it.
    let mayShare (plan: Plan) (memory: MemoryPlan) (input: int) (output: int) =
        let isOutput b = b = output || (b >= 0 && memory.Homes[b] = Home.SameAs output)
        let reads, writes = List<int>(), List<int>()
        plan.Kernels
        |> Array.iteri (fun k kernel ->
            let struct (read, written) = Kernel.touches kernel
            if Array.contains input read then reads.Add k
            if Array.exists isOutput read || Array.exists isOutput written then writes.Add k)
        let last = if reads.Count = 0 then -1 else Seq.max reads
        let first = if writes.Count = 0 then Int32.MaxValue else Seq.min writes
        let changes k =
            match Kernel.replaces plan.Kernels[k] with
            | ValueSome(struct (target, result)) -> target = input && isOutput result
            | ValueNone -> false
        last < first || (last = first && (changes first || sameElements plan.Kernels[first] input output))
