namespace Nanograd

open System.Collections.Generic

/// Elementwise work on the result of a product or convolution is done part by part, while the part is in cache.
[<RequireQualifiedAccess>]
module internal Epilogues =
    /// How far a product may be put off for the sake of what follows it: its operands must wait as long.
    let private patience = 8

    let private isProduct (t: Tensor) =
        match t.Op with
        | Op.Dot _
        | Op.Conv _ -> true
        | _ -> false

    /// May these members of a kernel without rows run over the parts of a product?
    let private followsParts (product: Tensor) (members: Tensor[]) =
        let readsAsItLies (i: Tensor) =
            let s, chain = Form.source i
            s.Hash <> product.Hash || List.forall Form.isReshape chain
        members
        |> Array.forall (fun m ->
            m.Count = product.Count && not (Form.readsFromMemory m) && Array.forall readsAsItLies m.Inputs)

    /// An update of an argument, as an optimizer's: its result may take the argument's place only if it comes after all other readers.
    let private updates (outputs: HashSet<Hash>) (members: Tensor[]) =
        let isArgument (i: Tensor) (count: int) =
            let s, _ = Form.source i
            match s.Op with
            | Op.Input _ -> s.Count = count
            | _ -> false
        members |> Array.exists (fun m -> outputs.Contains m.Hash)
        && members |> Array.exists (fun m -> m.Inputs |> Array.exists (fun i -> isArgument i m.Count))

    /// Elementwise kernels over the elements of a product join the last product that they read, if nothing in between needs it.
    let attach (outputs: Tensor[]) (schedule: Schedule) : Work[] =
        let works, reads = schedule.Works, schedule.Reads
        let outputs = HashSet<Hash>(outputs |> Seq.map (fun o -> (fst (Form.source o)).Hash))
        let result, placeOf = Array.map Some works, Dictionary<Hash, struct (int * Tensor)>()
        works
        |> Array.iteri (fun i w ->
            match w with
            | Work.Single t when isProduct t -> placeOf[t.Hash] <- struct (i, t)
            | Work.Rows(members, length) when length <= 1 ->
                let products =
                    reads[i] |> Seq.filter placeOf.ContainsKey |> Seq.map (fun h -> placeOf[h]) |> Seq.toArray
                if products.Length > 0 then
                    let struct (place, t) = products |> Array.maxBy (fun (struct (place, _)) -> place)
                    let isRead j = reads[j].Contains t.Hash
                    let mayWait = i - place <= patience && not (Seq.exists isRead (seq { place + 1 .. i - 1 }))
                    if mayWait && followsParts t members && not (updates outputs members) then
                        let isKept = outputs.Contains t.Hash || Seq.exists isRead (seq { i + 1 .. works.Length - 1 })
                        result[place] <- None
                        result[i] <- Some(Work.Finished(t, members, isKept))
                        placeOf.Remove t.Hash |> ignore
            | Work.Rows _
            | Work.Columns _
            | Work.Single _
            | Work.Finished _ -> ())
        Array.choose id result
