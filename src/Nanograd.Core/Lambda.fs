namespace Nanograd

open System
open System.Collections.Generic

/// Substitution: the one way in which graphs are rebuilt.
[<RequireQualifiedAccess>]
module Substitute =
    /// Rebuilds `roots`, giving each node (with its operands already rebuilt) to `replace`; None keeps it. Iterative; shared nodes are visited once.
    let rewrite (replace: Tensor -> Tensor option) (roots: Tensor[]) : Tensor[] =
        let rebuilt = Dictionary<Hash, Tensor>()
        for t in Graph.topological roots do
            let operands = t.Inputs |> Array.map (fun i -> rebuilt[i.Hash])
            let same = Op.rebuild t operands
            rebuilt[t.Hash] <-
                (match replace same with
                 | Some r -> r
                 | None -> same)
        roots |> Array.map (fun r -> rebuilt[r.Hash])

    /// `roots` with some nodes replaced by others of the same type and shape; what stands below a replaced node is not visited.
    let apply (replacements: IReadOnlyDictionary<Hash, Tensor>) (roots: Tensor[]) : Tensor[] =
        let rebuilt = Dictionary<Hash, Tensor>()
        let stack = Stack<struct (Tensor * bool)>()
        for r in roots do
            stack.Push(struct (r, false))
        while stack.Count > 0 do
            let struct (t, ready) = stack.Pop()
            if not (rebuilt.ContainsKey t.Hash) then
                match replacements.TryGetValue t.Hash with
                | true, replacement -> rebuilt[t.Hash] <- replacement
                | _ when ready || t.Inputs.Length = 0 ->
                    rebuilt[t.Hash] <- Op.rebuild t (t.Inputs |> Array.map (fun i -> rebuilt[i.Hash]))
                | _ ->
                    stack.Push(struct (t, true))
                    for i in t.Inputs do
                        stack.Push(struct (i, false))
        roots |> Array.map (fun r -> rebuilt[r.Hash])

/// Closed functions: what Scan, Custom, Checkpoint and jit hold.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Lambda =
    /// A closed function of results that mention only Parameters.
    let make (parameters: (DType * int[])[]) (results: Tensor[]) : Lambda =
        let h = parameters |> Array.fold (fun (h: Hash) (d, s) -> h.Add(string d).Add s) (Hash.Zero.Add "lambda")
        { Params = parameters
          Results = results
          Hash = results |> Array.fold (fun (h: Hash) r -> h.Add r.Hash) h }

    /// Closes a body over `variables` (Inputs that occur in it). Everything that does not depend on them, literals too, is hoisted:
    /// it becomes an operand that the caller passes before the variables. Returns the closed function and those captured operands.
    let close (variables: Tensor[]) (results: Tensor[]) : Lambda * Tensor[] =
        let order = Graph.topological results
        let dependent = HashSet<Hash>(variables |> Seq.map (fun v -> v.Hash))
        for t in order do
            if Array.exists (fun (i: Tensor) -> dependent.Contains i.Hash) t.Inputs then dependent.Add t.Hash |> ignore
        // Captured: the largest independent subexpressions that a dependent node (or a result) uses. Constants and iotas stay inside.
        let captured, seen = List<Tensor>(), HashSet<Hash>()
        let rec isLocal (t: Tensor) =
            match t.Op with
            | Op.Const _
            | Op.Iota _ -> true
            | Op.Movement Movement.Broadcast
            | Op.Movement Movement.Reshape -> isLocal t.Inputs[0]
            | _ -> false
        let capture (t: Tensor) =
            if not (dependent.Contains t.Hash) && not (isLocal t) && seen.Add t.Hash then captured.Add t
        for t in order do
            if dependent.Contains t.Hash then Array.iter capture t.Inputs
        Array.iter capture results
        let replacements = Dictionary<Hash, Tensor>()
        Seq.append captured variables |> Seq.iteri (fun i t -> replacements[t.Hash] <- Op.parameter i t.DType t.Shape)
        let body = Substitute.apply replacements results
        let parameters = Seq.append captured variables |> Seq.map (fun t -> t.DType, t.Shape) |> Seq.toArray
        make parameters body, captured.ToArray()

    /// The parameters of a function, as they stand in its body.
    let parameters (l: Lambda) : Tensor[] = l.Params |> Array.mapi (fun i (d, s) -> Op.parameter i d s)

    /// A function of `variables` whose results are made of them alone (and of constants): nothing is captured.
    let ofVariables (variables: Tensor[]) (results: Tensor[]) : Lambda =
        let replacements = Dictionary<Hash, Tensor>()
        variables |> Array.iteri (fun i v -> replacements[v.Hash] <- Op.parameter i v.DType v.Shape)
        make (variables |> Array.map (fun v -> v.DType, v.Shape)) (Substitute.apply replacements results)

    /// The body with `operands` in place of the parameters.
    let apply (l: Lambda) (operands: Tensor[]) : Tensor[] =
        if operands.Length <> l.Params.Length then
            invalidArg "operands" $"the function takes {l.Params.Length} operands, not {operands.Length}"
        let replacements = Dictionary<Hash, Tensor>()
        operands |> Array.iteri (fun i t -> replacements[(Op.parameter i t.DType t.Shape).Hash] <- t)
        Substitute.apply replacements l.Results

    /// Traces a function of tensors: fresh variables in, a closed function and its captured operands out.
    let trace (parameters: (DType * int[])[]) (f: Tensor[] -> Tensor[]) : Lambda * Tensor[] =
        let variables = parameters |> Array.mapi (fun i (d, s) -> Op.input $"p{i}" d s)
        close variables (f variables)
