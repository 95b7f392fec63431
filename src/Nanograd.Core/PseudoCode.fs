namespace Nanograd

open System
open System.Collections.Generic
open System.Text

/// Kernels as people would write them: loops, reads and writes, one statement a line.
[<RequireQualifiedAccess>]
module internal PseudoCode =
    /// An index with its extent and how far it moves.
    [<Struct>]
    type private Step = { Text: string; Stride: int; Extent: int }

    /// `x[row, i]` where the steps are those of a shape, else `x[3 + 2 * i]`.
    let private place (name: string) (length: int) (offset: int) (steps: Step list) =
        let moving = steps |> List.filter (fun s -> s.Stride <> 0) |> List.sortBy (fun s -> -abs s.Stride)
        let inner = List.scanBack (fun (s: Step) n -> s.Extent * n) moving 1 |> List.tail
        let isShape = offset = 0 && List.forall2 (fun (s: Step) n -> s.Stride = n) moving inner
        let join (parts: string list) = String.Join(", ", parts)
        let isRow = name.EndsWith ']' // a row of something: its own indices follow
        let name, opening = if isRow then name.TrimEnd ']', ", " else name, "["
        if moving.IsEmpty && length = 1 && isRow then
            name + "]"
        elif moving.IsEmpty then
            (if length = 1 then name else $"{name}{opening}{offset}]")
        elif isShape then
            name + opening + join (moving |> List.map (fun s -> s.Text)) + "]"
        else
            let term (s: Step) =
                if s.Stride = 1 then s.Text
                elif s.Text.Contains ' ' then $"({s.Text}) * {s.Stride}"
                else $"{s.Text} * {s.Stride}"
            let parts = moving |> List.map term
            let parts = if offset = 0 then parts else string offset :: parts
            name + opening + String.Join(" + ", parts).Replace("+ -", "- ") + "]"

    /// Names for the loops of a nest, outermost first.
    let private loopNames (kind: NestKind) (count: int) =
        let inner =
            match kind with
            | NestKind.Rows -> [ "i"; "row" ]
            | NestKind.Columns -> [ "column"; "row" ]
        let outer = [ "b"; "c"; "d"; "e"; "f"; "g"; "h" ]
        let all = inner @ outer @ List.init (max 0 count) (fun n -> $"n{n}")
        all |> List.truncate count |> List.rev |> Array.ofList

    let private isTrivial (t: Term) =
        match t with
        | Term.Scalar _
        | Term.Fixed _
        | Term.Load _
        | Term.Count _ -> true
        | _ -> false

    let private reductionName (r: Reduction) =
        match r with
        | Reduction.Sum -> "sum"
        | Reduction.Prod -> "product"
        | Reduction.Max -> "max"
        | Reduction.Min -> "min"

    let private folded (r: Reduction) (name: string) (x: string) =
        match r with
        | Reduction.Sum -> $"{name} += {x}"
        | Reduction.Prod -> $"{name} *= {x}"
        | Reduction.Max -> $"{name} = max({name}, {x})"
        | Reduction.Min -> $"{name} = min({name}, {x})"

    /// Writes one nest. `nameOf` names buffers, `lengthOf` says how long they are.
    [<Sealed>]
    type private Writer(l: Loop, nameOf: int -> string, lengthOf: int -> int) =
        let nest = l.Nest
        let values = nest.Values
        let loops = loopNames nest.Kind l.Extents.Length
        let passes = Simd.Passes.plan nest
        let text = StringBuilder()
        let counts = Dictionary<string, int>()
        let fixedNames = Dictionary<int, string>() // reductions, saved values, values per row
        let last = loops[loops.Length - 1]

        let fresh (stem: string) =
            counts[stem] <-
                1
                + (match counts.TryGetValue stem with
                   | true, n -> n
                   | _ -> 0)
            if counts[stem] = 1 then stem else stem + string counts[stem]

        let number (s: int) = int l.Scalars[s].Int

        let access (argument: int) (extra: Step list) =
            let o = l.Operands[argument]
            let steps =
                [ for d in 0 .. loops.Length - 1 ->
                      { Text = loops[d]; Stride = o.Form.Strides[d]; Extent = l.Extents[d] } ]
            place (nameOf o.Buffer) (lengthOf o.Buffer) o.Form.Offset (steps @ extra)

        let line (indent: int) (s: string) = text.Append(String(' ', 4 * indent)).Append(s).Append '\n' |> ignore

        /// The value as an expression over names; `local` are the names of this pass.
        let expression (local: IReadOnlyDictionary<int, string>) (v: int) : Tensor =
            let made = Dictionary<int, Tensor>()
            let leaf (dtype: DType) (s: string) = Op.input s dtype [||]
            let rec build (isTop: bool) (v: int) : Tensor =
                let node op (operands: int list) =
                    Tensor(op, operands |> List.map (build false) |> Array.ofList, values[v].DType, [||])
                match made.TryGetValue v with
                | true, t -> t
                | _ ->
                    let d = values[v].DType
                    let t =
                        match (if isTop then (false, "") else local.TryGetValue v), fixedNames.TryGetValue v with
                        | (true, n), _ -> leaf d n
                        | _, (true, n) when not isTop -> leaf d n
                        | _ ->
                            match values[v].Term with
                            | Term.Scalar s -> Op.constant { l.Scalars[s] with DType = d }
                            | Term.Fixed c -> Op.constant c
                            | Term.Load a -> leaf d (access a [])
                            | Term.Count a ->
                                let o = l.Operands[a]
                                let s =
                                    place
                                        ""
                                        2
                                        o.Form.Offset
                                        [ for k in 0 .. loops.Length - 1 ->
                                              { Text = loops[k]; Stride = o.Form.Strides[k]; Extent = -1 } ]
                                let s = s.Trim('[', ']')
                                leaf d (if s.Contains ' ' then $"({s})" else s)
                            | Term.LoadAt(a, lookups) ->
                                let at (k: Lookup) =
                                    { Text = Print.algebra (build false k.Index)
                                      Stride = number k.Stride
                                      Extent = number k.Bound }
                                leaf d (access a (lookups |> Array.map at |> List.ofArray))
                            | Term.Unary(u, x) -> node (Op.Unary u) [ x ]
                            | Term.Binary(b, x, y) -> node (Op.Binary b) [ x; y ]
                            | Term.Select(c, x, y) -> node Op.Select [ c; x; y ]
                            | Term.Cast x -> node Op.Cast [ x ]
                            | Term.BitCast x -> node Op.BitCast [ x ]
                            | Term.RandomBits(x, y, c) -> node Op.RandomBits [ x; y; c ]
                            | Term.Reduced(_, x) -> build false x
                    made[v] <- t
                    t
            build true v

        let show local v =
            let s = (Print.algebra (expression local v)).Replace("\n", "; ")
            match values[v].Term with
            | Term.Binary(Binary.Eq, _, _) -> "(" + s + ")" // not to be read as an assignment
            | _ -> s
        let nothing = Dictionary<int, string>()

        /// What a pass must compute for `roots`, operands first, up to what already has a name.
        let needed (level: Level) (roots: seq<int>) =
            let order, seen, uses = List<int>(), HashSet<int>(), Dictionary<int, int>()
            let rec visit v =
                uses[v] <-
                    1
                    + (match uses.TryGetValue v with
                       | true, n -> n
                       | _ -> 0)
                if values[v].Level = level && not (fixedNames.ContainsKey v) && seen.Add v then
                    Kernel.operands values[v].Term |> Array.iter visit
                    order.Add v
            Seq.iter visit roots
            order, uses

        /// Values per row that come after a reduction and are read more than once get a line of their own.
        let rowValues (indent: int) (stage: int) =
            values
            |> Array.iteri (fun v value ->
                let isReduced =
                    match value.Term with
                    | Term.Reduced _ -> true
                    | _ -> false
                if
                    value.Level = Level.PerRow
                    && not isReduced
                    && not (isTrivial value.Term)
                    && passes.Stage[v] = stage
                then
                    let readers =
                        values |> Array.sumBy (fun w -> Kernel.operands w.Term |> Array.filter ((=) v) |> Array.length)
                    let stores = nest.Stores |> Array.filter (fun struct (_, w) -> w = v) |> Array.length
                    if readers + stores > 1 then
                        let name = fresh "r"
                        line indent $"{name} = {show nothing v}"
                        fixedNames[v] <- name)

        /// One loop over the elements of a row: reductions, values kept, stores.
        let pass (indent: int) (header: string) (stage: int) =
            let reductions =
                [ for v in 0 .. values.Length - 1 do
                      match values[v].Term with
                      | Term.Reduced(r, x) when passes.Stage[x] = stage -> v, r, x
                      | _ -> () ]
            let stores =
                nest.Stores
                |> Array.filter (fun struct (a, v) -> Simd.Passes.isElementStore nest a && passes.Stage[v] = stage)
            let roots =
                Seq.append (reductions |> Seq.map (fun (_, _, x) -> x)) (stores |> Seq.map (fun struct (_, v) -> v))
            let order, uses = needed Level.PerElement roots
            if not (Seq.isEmpty roots) then
                let names = reductions |> List.map (fun (v, r, x) -> v, r, x, fresh (reductionName r))
                line indent header
                let local = Dictionary<int, string>()
                for v in order do
                    let isSaved = passes.Saved.Contains v
                    if not (isTrivial values[v].Term) && (isSaved || uses[v] > 1) then
                        let name = fresh (if isSaved then "kept" else "t")
                        let shown = if isSaved then $"{name}[{last}]" else name
                        let note = if isSaved then "    # kept in cache for the next pass" else ""
                        line (indent + 1) $"{shown} = {show local v}{note}"
                        if isSaved then fixedNames[v] <- shown
                        local[v] <- shown
                for _, r, x, name in names do
                    line (indent + 1) (folded r name (if local.ContainsKey x then local[x] else show local x))
                for struct (a, v) in stores do
                    line (indent + 1) $"{access a []} = {if local.ContainsKey v then local[v] else show local v}"
                for v, _, _, name in names do
                    fixedNames[v] <- name

        let lanes = (Simd.NestCompiler.get nest).Lanes
        let range d =
            if d = loops.Length - 1 && lanes > 1 then
                $"{loops[d]} in 0..{l.Extents[d]} step {lanes}"
            else
                $"{loops[d]} in 0..{l.Extents[d]}"

        let outer indent (axes: int list) =
            if axes.IsEmpty then
                indent
            else
                line indent ("for " + String.Join(", ", axes |> List.map range) + ":")
                indent + 1

        member _.Rows() =
            let hasRows =
                values
                |> Array.exists (fun v ->
                    match v.Term with
                    | Term.Reduced _ -> true
                    | _ -> false)
                || nest.Stores |> Array.exists (fun struct (a, _) -> not (Simd.Passes.isElementStore nest a))
            let n = loops.Length
            if not hasRows && n > 0 then
                pass 0 ("for " + String.Join(", ", [ for d in 0 .. n - 1 -> range d ]) + ":") 0
            else
                let indent = outer 0 [ 0 .. n - 2 ]
                for stage in 0 .. passes.Count - 1 do
                    rowValues indent stage
                    pass indent $"for {range (n - 1)}:" stage
                for struct (a, v) in nest.Stores do
                    if not (Simd.Passes.isElementStore nest a) then
                        line
                            indent
                            $"{access a []} = {show nothing v
                                               |> fun s ->
                                                   (match fixedNames.TryGetValue v with
                                                    | true, name -> name
                                                    | _ -> s)}"
            text.ToString()

        member _.Columns() =
            let n = loops.Length
            let indent = outer 0 ([ 0 .. n - 3 ] @ [ n - 1 ])
            let reduced =
                [ for v in 0 .. values.Length - 1 do
                      match values[v].Term with
                      | Term.Reduced(r, x) -> v, r, x
                      | _ -> () ]
            let named = reduced |> List.map (fun (v, r, x) -> v, r, x, fresh (reductionName r))
            line indent $"for {range (n - 2)}:"
            let order, uses = needed Level.PerElement (reduced |> Seq.map (fun (_, _, x) -> x))
            let local = Dictionary<int, string>()
            for v in order do
                if not (isTrivial values[v].Term) && uses[v] > 1 then
                    let name = fresh "t"
                    line (indent + 1) $"{name} = {show local v}"
                    local[v] <- name
            for v, r, x, name in named do
                line (indent + 1) (folded r name (if local.ContainsKey x then local[x] else show local x))
                fixedNames[v] <- name
            for struct (a, v) in nest.Stores do
                line
                    indent
                    $"{access a []} = {match fixedNames.TryGetValue v with
                                       | true, name -> name
                                       | _ -> show nothing v}"
            text.ToString()

    let private ofLoop nameOf lengthOf (l: Loop) =
        let w = Writer(l, nameOf, lengthOf)
        match l.Nest.Kind with
        | NestKind.Rows -> w.Rows()
        | NestKind.Columns -> w.Columns()

    /// How far an offset table moves from one index to the next; None where it is no fixed step.
    let private stepOf (offsets: int[]) =
        if offsets.Length < 2 then
            Some 0
        else
            let step = offsets[1] - offsets[0]
            if offsets |> Array.pairwise |> Array.forall (fun (a, b) -> b - a = step) then Some step else None

    let private ofProduct (nameOf: int -> string) (p: Product) =
        let batch, m, n, k =
            p.ResultOffsets[0].Length, p.ResultOffsets[1].Length, p.ResultOffsets[2].Length, p.LeftOffsets[2].Length
        let mutable isScattered = false
        let item (buffer: int) (names: string list) (tables: int[][]) =
            let used = List.zip names (List.ofArray tables) |> List.filter (fun (_, t) -> t.Length > 1)
            let steps = used |> List.map (fun (name, t) -> name, stepOf t)
            let name = nameOf buffer
            let indexed (parts: string list) =
                if parts.IsEmpty then name
                elif name.EndsWith ']' then name.TrimEnd(']') + ", " + String.Join(", ", parts) + "]"
                else name + "[" + String.Join(", ", parts) + "]"
            if steps |> List.forall (fun (_, s) -> s.IsSome) then
                steps
                |> List.filter (fun (_, s) -> s <> Some 0)
                |> List.sortBy (fun (_, s) -> -abs s.Value)
                |> List.map fst
                |> indexed
            else
                isScattered <- true
                indexed [ "at(" + String.Join(", ", List.map fst steps) + ")" ]
        let ranges =
            [ "b", batch; "m", m; "n", n ]
            |> List.filter (fun (_, e) -> e > 1)
            |> List.map (fun (name, e) -> $"{name} in 0..{e}")
        let result = item p.Result [ "b"; "m"; "n" ] p.ResultOffsets
        let header = if ranges.IsEmpty then "" else "for " + String.Join(", ", ranges) + ":\n    "
        let left, right = item p.Left [ "b"; "m"; "k" ] p.LeftOffsets, item p.Right [ "b"; "k"; "n" ] p.RightOffsets
        header
        + $"{result} = sum over k in 0..{k} of {left} * {right}\n"
        + (if isScattered then "# at(...) looks positions up in a table: patches are read where they lie\n" else "")

    let private ofConv (nameOf: int -> string) (c: Conv) =
        let p = c.Of
        let index (count: int) name = if count > 1 then [ $"{name} in 0..{count}" ] else []
        let batches, outputs, channels = p.ResultOffsets[0].Length, p.ResultOffsets[1].Length, p.RightOffsets[1].Length
        let extents f = String.Join(" x ", c.Axes |> Array.map (f >> string))
        let taps = extents (fun a -> a.Taps)
        let ranges = index batches "b" @ index outputs "o" @ [ "r in " + extents (fun a -> a.Results) ]
        let place (a: WindowAxis) =
            $"{a.PerResult} * r + {a.PerTap} * t" + (if a.Start = 0 then "" else $" + {a.Start}")
        let places = String.Join(", ", Array.map place c.Axes)
        "for "
        + String.Join(", ", ranges)
        + ":\n"
        + $"    {nameOf p.Result}[b, o, r] = sum over c in 0..{channels}, t in {taps} of {nameOf p.Left}[o, c, t] * {nameOf p.Right}[b, c, {places}]    # 0 outside\n"

    /// A loop over steps: the body's buffers are named after what they hold.
    let rec private ofRepeat (nameOf: int -> string) (r: Repeat) : string =
        let carry j = if r.Carried = 1 then "carry" else $"carry{j}"
        let row (name: string) = if name.EndsWith ']' then name.TrimEnd(']') + ", step]" else name + "[step]"
        let mutable temporaries = 0
        let names =
            r.Body.Buffers
            |> Array.mapi (fun b buffer ->
                match buffer.Place with
                | Place.Input i when i < r.Captured -> nameOf r.Operands[i]
                | Place.Input i when i < r.Captured + r.Carried -> carry (i - r.Captured)
                | Place.Input i -> row (nameOf r.Operands[i])
                | Place.Output _
                | Place.Temporary ->
                    match Array.IndexOf(r.Body.Results, b) with
                    | -1 ->
                        temporaries <- temporaries + 1
                        $"s{temporaries}"
                    | j when j < r.Carried -> "next_" + carry j
                    | j -> row (nameOf r.Results[j]))
        let text = StringBuilder()
        let line indent (s: string) = text.Append(String(' ', 4 * indent)).Append(s).Append '\n' |> ignore
        for j in 0 .. r.Carried - 1 do
            line 0 $"{carry j} = {nameOf r.Operands[r.Captured + j]}"
        line 0 (if r.Reverse then $"for step in {r.Length - 1}..0, backwards:" else $"for step in 0..{r.Length}:")
        for k in r.Body.Kernels do
            let code = write (fun b -> if b < 0 then "" else names[b]) (fun b -> r.Body.Buffers[b].Length) k
            for l in code.TrimEnd().Split '\n' do
                line 1 l
        r.Body.Results
        |> Array.iteri (fun j b ->
            let target = if j < r.Carried then carry j else row (nameOf r.Results[j])
            if names[b] <> target then line 1 $"{target} = {names[b]}")
        for j in 0 .. r.Carried - 1 do
            line 0 $"{nameOf r.Results[j]} = {carry j}"
        text.ToString()

    /// The kernel as pseudo-code.
    and write (nameOf: int -> string) (lengthOf: int -> int) (kernel: Kernel) : string =
        let list (buffers: int[]) = String.Join(", ", buffers |> Array.map nameOf)
        match kernel with
        | Kernel.Loop l -> ofLoop nameOf lengthOf l
        | Kernel.Summed s ->
            let sums =
                s.Sums
                |> Array.map (fun l ->
                    "# and with each band of rows, while it is in cache:\n" + ofLoop nameOf lengthOf l)
            ofLoop nameOf lengthOf s.Rows + String.Join("", sums)
        | Kernel.Product p
        | Kernel.Conv { Of = p } ->
            let rest =
                match p.Epilogue with
                | ValueSome l -> "# and with each part of it, while it is in cache:\n" + ofLoop nameOf lengthOf l
                | ValueNone -> ""
            (match kernel with
             | Kernel.Conv c -> ofConv nameOf c
             | _ -> ofProduct nameOf p)
            + rest
        | Kernel.Repeat r -> ofRepeat nameOf r
        | Kernel.Lines l ->
            let shape = Shape.show [| l.Outer; l.Length; l.Inner |]
            $"{list l.Results} = {LineWork.name l.Work}({nameOf l.Source})    # along axis 1 of {shape}\n"
        | Kernel.Fold f ->
            let w = f.Window
            let place = $"{w.Step} * window + {w.Dilation} * i"
            $"{nameOf f.Result} = 0\nfor window in 0..{f.Windows}:    # in this order\n    for i in 0..{w.Size}:\n        {nameOf f.Result}[:, {place}, :] += {nameOf f.Source}[:, window, :, i]\n"
        | Kernel.Check c ->
            $"for i in {nameOf c.Indices}:    # before anything is overwritten\n    if not 0 <= i <= {c.Size - c.Taken}: fail {c.Operation}\n"
        | Kernel.Scatter s ->
            $"{nameOf s.Result} = {nameOf s.Target}    # {s.Size} rows of {s.Inner}; in place if nobody needs it\nfor j in 0..{s.Count}:    # in this order\n    {nameOf s.Result}[{nameOf s.Indices}[j], :] += {nameOf s.Updates}[j, :]\n"
        | Kernel.Update u ->
            $"{nameOf u.Result} = {nameOf u.Target}    # in place if nobody needs it\n{nameOf u.Result}[{list u.Starts} .. + {Shape.show u.Box}] = {nameOf u.Update}\n"
        | Kernel.Attention a ->
            let q, k, v = nameOf a.Q.Buffer, nameOf a.K.Buffer, nameOf a.V.Buffer
            $"{nameOf a.Result.Buffer} = softmax({a.Scale} * {q} . {k}) . {v}    # block by block, scores are never stored: {StreamedAttention.describe a}\n"
        | Kernel.AttentionGradient g ->
            let struct (_, writes) = Kernel.touches kernel
            $"{list writes} = the gradient of attention for {nameOf g.Cotangent.Buffer}    # scores computed again: {StreamedAttention.describe g.Of}\n"
        | Kernel.Pool p when Pool.isGradient p ->
            $"{nameOf p.Result} = the gradient of {Pool.name p} for {nameOf p.Cotangent}    # {Pool.describe p}\n"
        | Kernel.Pool p -> $"{nameOf p.Result} = {Pool.name p}({nameOf p.Source})    # {Pool.describe p}\n"
