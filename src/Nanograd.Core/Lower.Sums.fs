namespace Nanograd

open System.Collections.Generic

/// Reductions down the columns join the loop over rows that computes, or reads, what they add up: the gradients of a layer norm's
/// weights are sums of what the gradient of its operand has at hand. So large arrays are read once, and what only the sums need
/// is never written.
[<RequireQualifiedAccess>]
module internal Summing =
    /// Threads share blocks of 256 rows.
    let private leastRows = 1024

    /// What is smaller stays in cache anyway.
    let private leastElements = 1 <<< 18

    let private usedBy (l: Loop) (access: Access) =
        Seq.zip l.Nest.Arguments l.Operands
        |> Seq.filter (fun (a, _) -> a.Access = access)
        |> Seq.map snd
        |> Seq.toArray

    /// The loop as rows of some length, if it is such a loop or can be cut into it.
    let private inRows (length: int) (l: Loop) : Loop option =
        let isCut = l.Extents.Length = 2 && l.Extents[1] = length
        let folds =
            l.Nest.Values
            |> Array.exists (fun v ->
                match v.Term with
                | Term.Reduced _ -> true
                | _ -> false)
        if l.Nest.Kind <> NestKind.Rows then
            None
        elif isCut then
            Some l
        elif l.Extents.Length = 1 && not folds && l.Extents[0] % length = 0 then
            let cut (o: Operand) =
                let stride = o.Form.Strides[0]
                { o with Form = { o.Form with Strides = [| stride * length; stride |] } }
            Some
                { l with
                    Extents = [| l.Extents[0] / length; length |]
                    Operands = Array.map cut l.Operands }
        else
            None

    /// May a nest of columns follow the rows band by band? Then it reads what the rows wrote only where they wrote it, and shares
    /// some array with them.
    let private follows (rows: Loop) (sum: Loop) =
        let written, read = usedBy rows Access.Write, usedBy rows Access.Read
        let isMade b = written |> Array.exists (fun o -> o.Buffer = b)
        let reads = usedBy sum Access.Read
        rows.Extents = sum.Extents
        && reads |> Array.forall (fun o -> not (isMade o.Buffer) || Array.contains o written)
        && reads
           |> Array.exists (fun o ->
               o.Form.Strides[1] = 1 && o.Form.Strides[0] <> 0 && (Array.contains o written || Array.contains o read))

    let private isSum (l: Loop) =
        l.Nest.Kind = NestKind.Columns
        && l.Extents.Length = 2
        && l.Extents[0] >= leastRows
        && l.Extents[0] * l.Extents[1] >= leastElements
        && l.Checks.Length = 0

    /// The kernel with one more sum, if that fits.
    let private joined (sum: Loop) (k: Kernel) : Kernel option =
        let withRows (rows: Loop) (sums: Loop[]) =
            if follows rows sum then
                Some(Kernel.Summed { Rows = rows; Sums = Array.append sums [| sum |]; Passing = [||] })
            else
                None
        match k with
        | Kernel.Loop l -> inRows sum.Extents[1] l |> Option.bind (fun rows -> withRows rows [||])
        | Kernel.Summed s -> withRows s.Rows s.Sums
        | _ -> None

    /// What nobody else reads passes from the rows to the sums.
    let private passing (kernels: Kernel[]) (results: int[]) (k: Kernel) =
        match k with
        | Kernel.Summed s ->
            let isElsewhere b =
                Array.contains b results
                || kernels
                   |> Array.exists (fun other ->
                       let struct (reads, writes) = Kernel.touches other
                       not (obj.ReferenceEquals(other, k)) && (Array.contains b reads || Array.contains b writes))
            let writes = usedBy s.Rows Access.Write
            let once b = (writes |> Array.filter (fun o -> o.Buffer = b)).Length = 1
            let own = writes |> Array.map (fun o -> o.Buffer) |> Array.distinct
            Kernel.Summed
                { s with
                    Passing = own |> Array.filter (fun b -> once b && not (isElsewhere b)) }
        | _ -> k

    /// The kernels with all sums where they fit.
    let join (results: int[]) (kernels: Kernel[]) : Kernel[] =
        let placed = List<Kernel>()
        /// The last kernel that the sum can join, if the sum may move up to it.
        let rec home (sum: Loop) (reads: int[]) (at: int) =
            if at < 0 then
                None
            else
                match joined sum placed[at] with
                | Some k -> Some(at, k)
                | None ->
                    let struct (_, writes) = Kernel.touches placed[at]
                    if Array.exists (fun b -> Array.contains b writes) reads then None else home sum reads (at - 1)
        for kernel in kernels do
            match kernel with
            | Kernel.Loop l when isSum l ->
                let struct (reads, _) = Kernel.touches kernel
                match home l reads (placed.Count - 1) with
                | Some(at, k) -> placed[at] <- k
                | None -> placed.Add kernel
            | _ -> placed.Add kernel
        let joined = placed.ToArray()
        joined |> Array.map (passing joined results)
