namespace Nanograd

open System
open System.Collections.Generic

/// One contraction of two operands. The equation's operands are numbered from 0; the result of step i of n operands is
/// number n + i.
type EinsumStep =
    {
        Left: int
        Right: int
        /// What the step computes, such as `ij,jk->ik`.
        Equation: string
        /// Multiplications and additions.
        Flops: float
        /// Elements of the result.
        Size: float
    }

/// The order in which `einsum` contracts its operands, and what that costs.
type EinsumPath =
    {
        Steps: EinsumStep list
        /// Multiplications and additions of all steps.
        Flops: float
        /// The same for one loop nest over all labels at once.
        NaiveFlops: float
        /// Elements of the largest intermediate result (the last result is not one).
        LargestIntermediate: float
    }

    override p.ToString() =
        let number (x: float) = x.ToString("0.###e0", Globalization.CultureInfo.InvariantCulture)
        let step (s: EinsumStep) =
            $"  {s.Left}, {s.Right}: {s.Equation}  ({number s.Flops} flops, {number s.Size} elements)"
        let total =
            $"{number p.Flops} flops (naive: {number p.NaiveFlops}), largest intermediate {number p.LargestIntermediate}"
        String.Join("\n", total :: List.map step p.Steps)

/// Reading equations. A label is a letter's code; the axes that an ellipsis stands for are -1 (the last), -2, ...
[<RequireQualifiedAccess>]
module internal EinsumEquation =
    /// The labels of every operand's axes and of the result's, and the extent of every label.
    [<NoEquality; NoComparison>]
    type Parsed = { Inputs: int[][]; Output: int[]; Extents: Dictionary<int, int> }

    let private ellipsis = "..."

    /// `j`, or `...` for an axis of the ellipsis.
    let show (label: int) = if label < 0 then ellipsis else string (char label)

    let private failure required hint operands = Shape.fail "einsum" required hint operands

    /// The labels before and after the ellipsis; None: there is no ellipsis.
    let private split (what: string) (term: string) operands =
        let at = term.IndexOf ellipsis
        let before, after = if at < 0 then term, None else term[.. at - 1], Some term[at + ellipsis.Length ..]
        for c in before + defaultArg after "" do
            if not (Char.IsAsciiLetter c) then
                failure $"{what} '{term}' must consist of letters and at most one '...', not '{c}'" "" operands
        before, after

    let private codes (text: string) = text |> Seq.map int |> Seq.toArray

    let private input (operands: Tensor list) (i: int) (term: string) (x: Tensor) =
        let before, after = split $"term {i}" term operands
        let named = before.Length + (defaultArg after "").Length
        match after with
        | None when named <> x.Rank ->
            let required = $"term {i} '{term}' must have a label for each axis of operand {i} ({named} and {x.Rank})"
            failure required "'...' stands for the rest" operands
        | Some _ when named > x.Rank ->
            failure
                $"term {i} '{term}' must not have more labels than operand {i} has axes ({named} and {x.Rank})"
                ""
                operands
        | None -> codes before
        | Some after ->
            Array.concat [ codes before; Array.init (x.Rank - named) (fun k -> k - (x.Rank - named)); codes after ]

    /// The extent of each label; 1 gives way to any other. Inside one operand a repeated label means a diagonal, and
    /// its axes must agree.
    let private extents (operands: Tensor list) (inputs: int[][]) =
        let result, owner = Dictionary<int, int>(), Dictionary<int, int>()
        operands
        |> List.iteri (fun i x ->
            let own = Dictionary<int, int>()
            inputs[i]
            |> Array.iteri (fun axis label ->
                let e = x.Shape[axis]
                let clash first where =
                    let name = if label < 0 then $"axis {label} of '...'" else $"label '{show label}'"
                    let hint = if label < 0 then "axes of '...' are aligned at the last one" else ""
                    failure $"{name} must have one extent, not {first} ({where}) and {e} (operand {i})" hint operands
                match own.TryGetValue label with
                | true, first when first <> e -> clash first $"operand {i}"
                | _ -> own[label] <- e
                match result.TryGetValue label with
                | true, known when known <> e && known <> 1 -> if e <> 1 then clash known $"operand {owner[label]}"
                | _ ->
                    result[label] <- e
                    owner[label] <- i))
        result

    let private output (operands: Tensor list) (inputs: int[][]) (text: string option) =
        let all = Array.concat inputs
        let dots = all |> Array.filter (fun l -> l < 0) |> Array.distinct |> Array.sort
        match text with
        | None ->
            let once = all |> Array.countBy id |> Array.filter (fun (l, n) -> l >= 0 && n = 1) |> Array.map fst
            Array.append dots (Array.sort once)
        | Some term ->
            let before, after = split "the output" term operands
            let labels = Array.append (codes before) (codes (defaultArg after ""))
            for l in labels do
                if not (Array.contains l all) then
                    failure $"label '{show l}' of the output must occur in an operand" "" operands
            match Array.countBy id labels |> Array.tryFind (fun (_, n) -> n > 1) with
            | Some(l, _) -> failure $"label '{show l}' must occur once in the output '{term}'" "" operands
            | None -> Array.concat [ codes before; (if after.IsSome then dots else [||]); codes (defaultArg after "") ]

    let parse (equation: string) (operands: Tensor list) : Parsed =
        if operands.IsEmpty then raise (ShapeException("einsum", "at least one operand is needed", "none", ""))
        let text = equation |> String.filter (Char.IsWhiteSpace >> not)
        let sides = text.Split "->"
        if sides.Length > 2 then failure $"'{equation}' must have at most one '->'" "" operands
        let terms = sides[0].Split ','
        if terms.Length <> operands.Length then
            failure $"'{equation}' must have a term for each operand ({terms.Length} and {operands.Length})" "" operands
        let inputs = operands |> List.mapi (fun i x -> input operands i terms[i] x) |> List.toArray
        let extents = extents operands inputs
        { Inputs = inputs
          Output = output operands inputs (Array.tryItem 1 sides)
          Extents = extents }

/// Contraction orders, found on sets of labels alone. A set is a bit mask over the distinct labels.
[<RequireQualifiedAccess>]
module internal EinsumOrder =
    /// Which operands, by number, meet in turn; results are numbered on after the operands.
    type Order = (int * int) list

    let private exactUpTo = 10

    /// The masks of terms and output, and the number of elements of a mask.
    let masks (terms: int[][]) (output: int[]) (extent: int -> int) =
        let labels = Array.append output (Array.concat terms) |> Array.distinct
        let mask (own: int[]) =
            own |> Array.fold (fun (m: UInt128) l -> m ||| (UInt128.One <<< Array.IndexOf(labels, l))) UInt128.Zero
        let known = Dictionary<UInt128, float>()
        let size (m: UInt128) =
            match known.TryGetValue m with
            | true, s -> s
            | _ ->
                let has i = (m >>> i) &&& UInt128.One = UInt128.One
                let product =
                    labels |> Array.mapi (fun i l -> if has i then float (extent l) else 1.0) |> Array.fold (*) 1.0
                known[m] <- product
                product
        Array.map mask terms, mask output, size

    /// The cost of meeting two terms: one multiplication per element of the joint loop, one addition where it sums.
    let flops (size: UInt128 -> float) (left: UInt128) (right: UInt128) (result: UInt128) =
        let all = left ||| right
        size all * (if all = result then 1.0 else 2.0)

    /// The cheapest order in FLOPs, of equals the one with the smallest intermediates: dynamic programming over all
    /// subsets of the operands, outer products included.
    let private exact (terms: UInt128[]) (output: UInt128) size : Order =
        let n = terms.Length
        let count = 1 <<< n
        let union (set: int) =
            Seq.fold
                (fun (m: UInt128) i -> if set &&& (1 <<< i) <> 0 then m ||| terms[i] else m)
                UInt128.Zero
                (seq { 0 .. n - 1 })
        let unions = Array.init count union
        let result = Array.init count (fun s -> unions[s] &&& (output ||| unions[count - 1 - s]))
        let cost, elements, choice =
            Array.zeroCreate<float> count, Array.zeroCreate<float> count, Array.zeroCreate<int> count
        for s in 1 .. count - 1 do
            if s &&& (s - 1) <> 0 then
                cost[s] <- infinity
                let mutable left = (s - 1) &&& s
                while left > 0 do
                    let right = s ^^^ left
                    if left < right then
                        let c = cost[left] + cost[right] + flops size result[left] result[right] result[s]
                        let e = elements[left] + elements[right] + size result[s]
                        if struct (c, e) < struct (cost[s], elements[s]) || choice[s] = 0 then
                            cost[s] <- c
                            elements[s] <- e
                            choice[s] <- left
                    left <- (left - 1) &&& s
        let steps = List<int * int>()
        let rec emit s =
            if s &&& (s - 1) = 0 then
                Numerics.BitOperations.TrailingZeroCount s
            else
                let left = emit choice[s]
                let right = emit (s ^^^ choice[s])
                steps.Add(left, right)
                n + steps.Count - 1
        emit (count - 1) |> ignore
        List.ofSeq steps

    /// For many operands: always the pair that frees the most memory (of equals the cheapest), as opt_einsum's greedy
    /// order does (Smith and Gray 2018).
    let private greedy (terms: UInt128[]) (output: UInt128) (size: UInt128 -> float) : Order =
        let alive = List<int * UInt128>(Array.indexed terms)
        let steps = List<int * int>()
        while alive.Count > 1 do
            let outside i j =
                let mutable m = output
                for k in 0 .. alive.Count - 1 do
                    if k <> i && k <> j then m <- m ||| snd alive[k]
                m
            let candidates =
                [ for i in 0 .. alive.Count - 2 do
                      for j in i + 1 .. alive.Count - 1 do
                          let a, b = snd alive[i], snd alive[j]
                          let result = (a ||| b) &&& outside i j
                          struct (size result - size a - size b, flops size a b result), (i, j, result) ]
            let _, (i, j, result) = List.minBy fst candidates
            steps.Add(fst alive[i], fst alive[j])
            alive.RemoveAt j
            alive.RemoveAt i
            alive.Add(terms.Length + steps.Count - 1, result)
        List.ofSeq steps

    /// A good order for terms whose private labels are already summed.
    let find (terms: int[][]) (output: int[]) (extent: int -> int) : Order =
        if terms.Length < 2 then
            []
        elif terms.Length = 2 then
            [ 0, 1 ]
        else
            let masks, output, size = masks terms output extent
            (if terms.Length <= exactUpTo then exact else greedy) masks output size

/// Contracting tensors whose axes have labels.
[<RequireQualifiedAccess>]
module internal EinsumTerms =
    /// A tensor with a distinct label for each axis.
    [<NoEquality; NoComparison>]
    type Term = { Labels: int[]; Value: Tensor }

    let private has (labels: int[]) l = Array.contains l labels
    let private except (labels: int[]) (xs: int[]) = xs |> Array.filter (has labels >> not)
    let private common (labels: int[]) (xs: int[]) = xs |> Array.filter (has labels)
    let private places (t: Term) (labels: int[]) = labels |> Array.map (fun l -> Array.IndexOf(t.Labels, l))

    /// The axes in another order.
    let ordered (labels: int[]) (t: Term) = { Labels = labels; Value = Op.permute (places t labels) t.Value }

    /// Axes of extent 1 say nothing: they are dropped, which is all that broadcasting needs.
    let private dropOnes (t: Term) =
        let keep = t.Value.Shape |> Array.map ((<>) 1)
        let filter (xs: int[]) = Array.zip keep xs |> Array.filter fst |> Array.map snd
        { Labels = filter t.Labels; Value = Op.reshape (filter t.Value.Shape) t.Value }

    /// The diagonal of each pair of axes with one label: side by side they are one axis, and every (n + 1)-th element
    /// is on it.
    let rec private diagonal (t: Term) =
        let later a = Array.IndexOf(t.Labels, t.Labels[a], a + 1)
        match
            Array.tryFindIndex (fun a -> later a >= 0) [| 0 .. t.Labels.Length - 1 |]
            |> Option.map (fun i -> i, later i)
        with
        | None -> t
        | Some(a, b) ->
            let n = t.Value.Shape[a]
            let moved =
                t.Value |> Op.permute ([| 0 .. t.Labels.Length - 1 |] |> Array.removeAt b |> Array.insertAt (a + 1) b)
            let merged = Op.reshape (Array.concat [ moved.Shape[.. a - 1]; [| n * n |]; moved.Shape[a + 2 ..] ]) moved
            let steps = Array.init merged.Rank (fun i -> if i = a then n + 1 else 1)
            { Labels = Array.removeAt b t.Labels
              Value = Op.slice (Array.zeroCreate merged.Rank) merged.Shape steps merged }
            |> diagonal

    /// Summed over the axes whose labels are not kept.
    let private sumExcept (keep: int[]) (t: Term) =
        let gone = except keep t.Labels
        { Labels = common keep t.Labels
          Value = Op.reduce Reduction.Sum (places t gone) t.Value }

    /// Operands as terms with distinct labels that another operand or the output mentions.
    let prepare (inputs: int[][]) (output: int[]) (operands: Tensor[]) : Term[] =
        let terms = Array.map2 (fun labels x -> diagonal (dropOnes { Labels = labels; Value = x })) inputs operands
        let others i = Array.append output (terms |> Array.removeAt i |> Array.collect (fun t -> t.Labels))
        terms |> Array.mapi (fun i t -> sumExcept (others i) t)

    /// Stretched to a shape with the labels of `whole`, by axes of extent 1.
    let private aligned (whole: int[]) (t: Term) =
        let sorted = ordered (common t.Labels whole) t
        let extent l = if has t.Labels l then t.Value.Shape[Array.IndexOf(t.Labels, l)] else 1
        Op.reshape (Array.map extent whole) sorted.Value

    let private times (whole: int[]) (a: Term) (b: Term) =
        { Labels = whole
          Value = Op.binary Binary.Mul (aligned whole a) (aligned whole b) }

    let private dot (batch: int[]) (sum: int[]) (a: Term) (b: Term) =
        let c =
            { LeftBatch = places a batch
              RightBatch = places b batch
              LeftSum = places a sum
              RightSum = places b sum }
        let free (t: Term) = t.Labels |> except batch |> except sum
        { Labels = Array.concat [ batch; free a; free b ]
          Value = Op.dot c a.Value b.Value }

    /// The labels of `order` in their order, at the places that they have in the term.
    let private arranged (order: int[]) (t: Term) =
        let mutable next = -1
        let pick l =
            if has order l then
                next <- next + 1
                order[next]
            else
                l
        ordered (Array.map pick t.Labels) t

    /// Two terms as one with the labels `keep`, in that order if `exactly`. Sums are one Dot, whose operands are read
    /// through any view, so that axes are moved there rather than in the result; without a sum it is a product, and a
    /// sum of products where no axis is free, which both fuse.
    let contract (keep: int[]) (exactly: bool) (a: Term) (b: Term) : Term =
        let both = common b.Labels a.Labels
        let sum = except keep both
        let freeA, freeB = except both a.Labels, except both b.Labels
        if sum.Length = 0 then
            times (if exactly then keep else Array.append a.Labels freeB) a b
        elif freeA.Length = 0 && freeB.Length = 0 then
            let r = times a.Labels a b |> sumExcept keep
            if exactly then ordered keep r else r
        elif not exactly then
            dot (common keep both) sum a b
        else
            let batch, left, right = common both keep, common freeA keep, common freeB keep
            if keep = Array.concat [ batch; left; right ] then dot batch sum (arranged left a) (arranged right b)
            elif keep = Array.concat [ batch; right; left ] then dot batch sum (arranged right b) (arranged left a)
            else ordered keep (dot batch sum a b)

/// Einstein's summation convention.
[<AutoOpen>]
module Einsum =
    /// Everything but the arithmetic: the terms, the labels of the result, and the order.
    let private prepare (equation: string) (operands: Tensor list) =
        let parsed = EinsumEquation.parse equation operands
        let wide = operands |> List.map (fun x -> x.DType) |> List.reduce DType.promote
        let output = parsed.Output |> Array.filter (fun l -> parsed.Extents[l] <> 1)
        let values = operands |> List.map (Op.cast (DType.arithmetic wide)) |> List.toArray
        let terms = EinsumTerms.prepare parsed.Inputs output values
        let order = EinsumOrder.find (terms |> Array.map (fun t -> t.Labels)) output (fun l -> parsed.Extents[l])
        parsed, wide, output, terms, order

    /// The labels that a step must keep: those of the output and of all terms that are still to come.
    let private kept (output: int[]) (alive: (int * int[]) list) (i: int) (j: int) =
        let others = alive |> List.filter (fun (k, _) -> k <> i && k <> j) |> List.map snd
        Array.concat (output :: others) |> Array.distinct

    /// <summary>Sums of products of tensors whose axes have labels: `einsum "bij,bjk->bik" [ x; y ]` is a batched
    /// matrix product. Each operand has a term of letters, one for each axis, upper or lower case. Labels that the
    /// output does not mention are summed. Without `->` the output has the labels that occur once, in alphabetical
    /// order (capitals first). A label that is repeated in a term means the diagonal of those axes. `...` stands for
    /// the axes that have no label; they are aligned at the last one and broadcast; the output begins with them unless
    /// it says otherwise, and an explicit output without `...` sums them. An extent of 1 broadcasts under any label, as
    /// in NumPy and PyTorch. Three or more operands are contracted two at a time, in the order that `einsumPath` shows.
    /// Integer and bool operands are allowed; 16-bit floats are added in f32.</summary>
    /// <example><code>einsum "ij,jk->ik" [ matrix [ [ 1.; 2. ]; [ 3.; 4. ] ]; matrix [ [ 1. ]; [ 1. ] ] ] // tensor([[3.], [7.]])</code></example>
    let einsum (equation: string) (operands: Tensor list) : Tensor =
        let parsed, wide, output, terms, order = prepare equation operands
        let mutable alive = terms |> Array.mapi (fun i t -> i, t) |> List.ofArray
        let mutable next = terms.Length
        for i, j in order do
            let term k = alive |> List.find (fun (n, _) -> n = k) |> snd
            let keep = kept output (alive |> List.map (fun (k, t) -> k, t.Labels)) i j
            let isLast = alive.Length = 2
            let result = EinsumTerms.contract (if isLast then output else keep) isLast (term i) (term j)
            alive <- (alive |> List.filter (fun (k, _) -> k <> i && k <> j)) @ [ next, result ]
            next <- next + 1
        let result = EinsumTerms.ordered output (snd alive.Head)
        let shape = parsed.Output |> Array.map (fun l -> parsed.Extents[l])
        let value = Op.reshape shape result.Value
        if wide = DType.Bool then value else Op.cast wide value

    /// <summary>The order in which `einsum` would contract these operands, with the cost of each step: for up to ten
    /// operands the cheapest order there is (in FLOPs; of equals the one with the smallest intermediate results),
    /// beyond that a greedy one.</summary>
    /// <example><code>(einsumPath "ij,jk,kl->il" [ zeros [| 64; 2 |]; zeros [| 2; 64 |]; zeros [| 64; 2 |] ]).Flops // 1024</code></example>
    let einsumPath (equation: string) (operands: Tensor list) : EinsumPath =
        let parsed, _, output, terms, order = prepare equation operands
        let extent l = parsed.Extents[l]
        let labels = List<int[]>(terms |> Array.map (fun t -> t.Labels))
        let size (own: int[]) = own |> Array.fold (fun n l -> n * float (extent l)) 1.0
        let text (own: int[]) =
            own
            |> Array.map EinsumEquation.show
            |> Array.fold (fun (s: string) l -> if l.Length > 1 && s.EndsWith l then s else s + l) ""
        let mutable alive = terms |> Array.mapi (fun i t -> i, t.Labels) |> List.ofArray
        let steps =
            [ for i, j in order do
                  let a, b = labels[i], labels[j]
                  let keep = kept output alive i j
                  let all = Array.append a b |> Array.distinct
                  let result = if alive.Length = 2 then output else all |> Array.filter (fun l -> Array.contains l keep)
                  alive <- (alive |> List.filter (fun (k, _) -> k <> i && k <> j)) @ [ labels.Count, result ]
                  labels.Add result
                  { Left = i
                    Right = j
                    Equation = text a + "," + text b + "->" + text result
                    Flops = size all * (if all.Length = result.Length then 1.0 else 2.0)
                    Size = size result } ]
        let everything = Array.concat parsed.Inputs |> Array.distinct
        let perElement = terms.Length - 1 + (if everything.Length > parsed.Output.Length then 1 else 0)
        { Steps = steps
          Flops = steps |> List.sumBy (fun s -> s.Flops)
          NaiveFlops = float perElement * size everything
          LargestIntermediate =
            steps |> List.truncate (max 0 (steps.Length - 1)) |> List.fold (fun m s -> max m s.Size) 0.0 }
