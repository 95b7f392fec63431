namespace Nanograd

open System
open System.Collections.Generic

/// A box to be placed: its size in pixels.
[<Struct>]
type internal BoxSize = { Width: float; Height: float }

/// Where a box is (its upper left corner), and the way an edge takes from box to box.
[<NoComparison>]
type internal Placement =
    {
        X: float[]
        Y: float[]
        /// For each edge, the points that it goes through, from the lower side of its source to the upper side of its target.
        Routes: struct (float * float)[][]
        Width: float
        Height: float
    }

/// Graphs drawn in layers (Sugiyama, Tagawa and Toda 1981): sources on top, every edge goes down; long edges get a place of
/// their own in each layer that they cross, so that they run beside boxes; the order in a layer follows the neighbours'
/// positions; then everything is moved towards its neighbours as far as there is room. Edges must go from lower to higher numbers.
[<RequireQualifiedAccess>]
module internal Layout =
    let private gapX, gapY = 22.0, 34.0

    /// Each vertex one layer below its lowest source; sources directly above their first target.
    let private layers (count: int) (edges: struct (int * int)[]) : int[] =
        let layer = Array.zeroCreate count
        for struct (a, b) in Array.sortBy (fun struct (_, b) -> b) edges do
            layer[b] <- max layer[b] (layer[a] + 1)
        let hasSource = Array.create count false
        for struct (_, b) in edges do
            hasSource[b] <- true
        let nearest = Array.create count Int32.MaxValue
        for struct (a, b) in edges do
            nearest[a] <- min nearest[a] layer[b]
        for v in 0 .. count - 1 do
            if not hasSource[v] && nearest[v] <> Int32.MaxValue then layer[v] <- nearest[v] - 1
        layer

    /// Sorts every layer by the mean position of the neighbours in the layer before (down) or after (up).
    let private order (rows: int[][]) (above: List<int>[]) (below: List<int>[]) =
        let position = Dictionary<int, float>()
        let number (row: int[]) = row |> Array.iteri (fun i v -> position[v] <- float i)
        Array.iter number rows
        let mean (neighbours: List<int>) v =
            if neighbours.Count = 0 then position[v] else neighbours |> Seq.averageBy (fun u -> position[u])
        for round in 1..12 do
            let sweep = if round % 2 = 1 then [ 1 .. rows.Length - 1 ] else [ rows.Length - 2 .. -1 .. 0 ]
            for r in sweep do
                let side = if round % 2 = 1 then above else below
                rows[r] <- rows[r] |> Array.sortBy (fun v -> mean side[v] v)
                number rows[r]

    /// Positions in a row as near to the wished ones as boxes that may not overlap can be: neighbours that collide move as one.
    let private pack (wished: float[]) (width: float[]) : float[] =
        // Blocks of touching boxes; each stands at the mean of what its members wish.
        let blocks = List<struct (int * int * float)>() // first, count, position of the first
        let offset = Array.scan (fun x w -> x + w + gapX) 0.0 width
        let best first count =
            let mutable sum = 0.0
            for i in first .. first + count - 1 do
                sum <- sum + wished[i] - (offset[i] - offset[first])
            sum / float count
        for i in 0 .. wished.Length - 1 do
            blocks.Add(struct (i, 1, wished[i]))
            let mutable isSettled = false
            while not isSettled && blocks.Count > 1 do
                let struct (f1, c1, p1) = blocks[blocks.Count - 2]
                let struct (_, c2, p2) = blocks[blocks.Count - 1]
                if p1 + offset[f1 + c1] - offset[f1] <= p2 then
                    isSettled <- true
                else
                    blocks.RemoveRange(blocks.Count - 2, 2)
                    blocks.Add(struct (f1, c1 + c2, best f1 (c1 + c2)))
        let result = Array.copy wished
        for struct (first, count, position) in blocks do
            for i in first .. first + count - 1 do
                result[i] <- position + offset[i] - offset[first]
        result

    /// Places boxes that edges connect.
    let place (sizes: BoxSize[]) (edges: struct (int * int)[]) : Placement =
        let count = sizes.Length
        let layer = layers count edges
        let depth = if count = 0 then 0 else 1 + Array.max layer
        // Long edges: a chain of narrow vertices.
        let width = List<float>(sizes |> Seq.map (fun s -> s.Width))
        let rows = Array.init depth (fun _ -> List<int>())
        layer |> Array.iteri (fun v l -> rows[l].Add v)
        let above, below = List<List<int>>(), List<List<int>>()
        for _ in 1..count do
            above.Add(List())
            below.Add(List())
        let connect a b =
            below[a].Add b
            above[b].Add a
        let chains =
            edges
            |> Array.map (fun struct (a, b) ->
                let chain = List<int>([ a ])
                for l in layer[a] + 1 .. layer[b] - 1 do
                    width.Add 2.0
                    above.Add(List())
                    below.Add(List())
                    rows[l].Add(width.Count - 1)
                    connect chain[chain.Count - 1] (width.Count - 1)
                    chain.Add(width.Count - 1)
                connect chain[chain.Count - 1] b
                chain.Add b
                chain.ToArray())
        let rows = rows |> Array.map (fun r -> r.ToArray())
        let above, below = above.ToArray(), below.ToArray()
        order rows above below
        // Across: first side by side, then towards the neighbours, downwards and upwards by turns.
        let x = Array.zeroCreate<float> width.Count
        for row in rows do
            let mutable at = 0.0
            for v in row do
                x[v] <- at
                at <- at + width[v] + gapX
        let centre v = x[v] + width[v] / 2.0
        for round in 1..24 do
            let rowsNow = if round % 2 = 1 then rows else Array.rev rows
            for row in rowsNow do
                let wish v =
                    let near =
                        if round > 20 then Seq.append above[v] below[v]
                        elif round % 2 = 1 then above[v]
                        else below[v]
                    if Seq.isEmpty near then x[v] else Seq.averageBy centre near - width[v] / 2.0
                let packed = pack (row |> Array.map wish) (row |> Array.map (fun v -> width[v]))
                row |> Array.iteri (fun i v -> x[v] <- packed[i])
        let left = if count = 0 then 0.0 else Array.min x
        for v in 0 .. x.Length - 1 do
            x[v] <- x[v] - left
        // Down: each layer as high as its highest box.
        let heights =
            rows
            |> Array.map (fun row ->
                row |> Array.map (fun v -> if v < count then sizes[v].Height else 0.0) |> Array.fold max 0.0)
        let tops = Array.scan (fun y h -> y + h + gapY) 0.0 heights
        let y = Array.init count (fun v -> tops[layer[v]] + (heights[layer[v]] - sizes[v].Height) / 2.0)
        let routes =
            chains
            |> Array.map (fun chain ->
                let a, b = chain[0], chain[chain.Length - 1]
                [| struct (centre a, y[a] + sizes[a].Height)
                   for i in 1 .. chain.Length - 2 do
                       let l = layer[a] + i
                       struct (centre chain[i], tops[l])
                       struct (centre chain[i], tops[l] + heights[l])
                   struct (centre b, y[b]) |])
        { X = Array.truncate count x
          Y = y
          Routes = routes
          Width = (if count = 0 then 0.0 else Seq.max (Seq.mapi (fun v w -> x[v] + w) width))
          Height = (if depth = 0 then 0.0 else tops[depth] - gapY) }
