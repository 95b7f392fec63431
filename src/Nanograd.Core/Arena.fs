namespace Nanograd

open System
open System.Collections.Generic

/// Something that needs memory for a while: so many bytes, from one kernel to another (both included).
[<Struct>]
type Tenant = { Bytes: int64; First: int; Last: int }

/// Where tenants live in one piece of memory, so that those who are there at the same time are apart and the piece is short.
/// The best arrangement is hard to find (bin packing is a special case), so some quick ones are tried and the shortest is taken.
[<RequireQualifiedAccess>]
module Arena =
    /// Tenants that are arranged with all lifetimes in view; further ones, the smallest, get a part of their own.
    let private most = 1500

    /// What no arrangement can go below: the most bytes that are in use at once.
    let bound (tenants: Tenant[]) : int64 =
        if tenants.Length = 0 then
            0L
        else
            let changes = Array.zeroCreate<int64>(2 + (tenants |> Array.map (fun t -> t.Last) |> Array.max))
            for t in tenants do
                changes[t.First] <- changes[t.First] + t.Bytes
                changes[t.Last + 1] <- changes[t.Last + 1] - t.Bytes
            let mutable inUse, largest = 0L, 0L
            for c in changes do
                inUse <- inUse + c
                largest <- max largest inUse
            largest

    /// One after the other, each in the tightest gap between those that it meets, or else above them.
    let private inOrder (tenants: Tenant[]) (order: int[]) : struct (int64[] * int64) =
        let offsets = Array.zeroCreate<int64> tenants.Length
        let placed = List<int>(order.Length) // by offset
        let mutable size = 0L
        for i in order do
            let t = tenants[i]
            let mutable reached, best, tightest = 0L, -1L, Int64.MaxValue
            for j in placed do
                let other = tenants[j]
                if other.First <= t.Last && t.First <= other.Last then
                    let gap = offsets[j] - reached
                    if gap >= t.Bytes && gap < tightest then
                        best <- reached
                        tightest <- gap
                    reached <- max reached (offsets[j] + other.Bytes)
            let at = if best >= 0L then best else reached
            offsets[i] <- at
            size <- max size (at + t.Bytes)
            let mutable low, high = 0, placed.Count
            while low < high do
                let middle = (low + high) / 2
                if offsets[placed[middle]] <= at then low <- middle + 1 else high <- middle
            placed.Insert(low, i)
        struct (offsets, size)

    /// As they come: who leaves makes a hole, holes merge, who comes takes the tightest one. Quick for any number of tenants.
    let private asTheyCome (tenants: Tenant[]) (chosen: int[]) : struct (int64[] * int64) =
        let offsets = Array.zeroCreate<int64> tenants.Length
        let holes = SortedDictionary<int64, int64>() // offset -> length
        let ends = Dictionary<int64, int64>() // the same holes: end -> offset
        let bySize = SortedSet<struct (int64 * int64)>() // length, offset
        let mutable size = 0L
        let add offset length =
            holes[offset] <- length
            ends[offset + length] <- offset
            bySize.Add(struct (length, offset)) |> ignore
        let remove offset =
            let length = holes[offset]
            holes.Remove offset |> ignore
            ends.Remove(offset + length) |> ignore
            bySize.Remove(struct (length, offset)) |> ignore
            length
        let release offset length =
            let mutable offset, length = offset, length
            match ends.TryGetValue offset with
            | true, before ->
                length <- length + remove before
                offset <- before
            | _ -> ()
            if holes.ContainsKey(offset + length) then length <- length + remove (offset + length)
            add offset length
        let take length =
            let fits = bySize.GetViewBetween(struct (length, -1L), struct (Int64.MaxValue, Int64.MaxValue))
            match Seq.tryHead fits with
            | Some(struct (found, offset)) ->
                remove offset |> ignore
                if found > length then add (offset + length) (found - length)
                offset
            | None ->
                match ends.TryGetValue size with
                | true, offset -> // a hole at the very end grows
                    remove offset |> ignore
                    size <- offset + length
                    offset
                | _ ->
                    size <- size + length
                    size - length
        let leaving = PriorityQueue<int, int>()
        for i in chosen |> Array.sortBy (fun i -> tenants[i].First) do
            while leaving.Count > 0 && tenants[leaving.Peek()].Last < tenants[i].First do
                let gone = leaving.Dequeue()
                release offsets[gone] tenants[gone].Bytes
            offsets[i] <- take tenants[i].Bytes
            leaving.Enqueue(i, tenants[i].Last)
        struct (offsets, size)

    /// An offset for each tenant, and how much memory that needs.
    let place (tenants: Tenant[]) : struct (int64[] * int64) =
        let duration i = int64 (tenants[i].Last - tenants[i].First + 1)
        let bySize =
            [| 0 .. tenants.Length - 1 |] |> Array.sortBy (fun i -> struct (-tenants[i].Bytes, tenants[i].First))
        let large, small = Array.truncate most bySize, Array.skip (min most bySize.Length) bySize
        let least = large |> Array.map (fun i -> tenants[i]) |> bound
        let arrangements =
            seq {
                asTheyCome tenants large
                inOrder tenants large
                inOrder tenants (large |> Array.sortBy (fun i -> struct (-duration i, -tenants[i].Bytes)))
                inOrder tenants (large |> Array.sortBy (fun i -> -tenants[i].Bytes * duration i))
            }
        let mutable struct (offsets, size) = Seq.head arrangements
        for struct (others, shorter) in arrangements |> Seq.skip 1 |> Seq.takeWhile (fun _ -> size > least) do
            if shorter < size then
                offsets <- others
                size <- shorter
        if small.Length > 0 then
            let struct (others, more) = asTheyCome tenants small
            for i in small do
                offsets[i] <- size + others[i]
            size <- size + more
        struct (offsets, size)
