namespace Nanograd

open System

/// What kind of work a kernel is: its colour in pictures.
[<RequireQualifiedAccess>]
type KernelFamily =
    | Product
    | Rows
    | Elementwise
    | Copy
    | Indexing
    | Lines
    | Loop

/// Kernels in the words of somebody who thinks in layers: `matmul [768,128]·[128,512]`, `softmax of rows of 64 [48,64,64]`.
[<RequireQualifiedAccess>]
module internal KernelNames =
    let private count (table: int[][]) i = table[i].Length

    let private unaries (n: Nest) =
        n.Values
        |> Array.choose (fun v ->
            match v.Term with
            | Term.Unary(u, _) -> Some u
            | _ -> None)

    let private reductions (n: Nest) =
        n.Values
        |> Array.choose (fun v ->
            match v.Term with
            | Term.Reduced(r, _) -> Some r
            | _ -> None)

    let private looksUp (n: Nest) =
        n.Values
        |> Array.exists (fun v ->
            match v.Term with
            | Term.LoadAt _ -> true
            | _ -> false)

    /// The functions in a nest, the costliest first, each once.
    let private functions (n: Nest) : string[] =
        n.Values
        |> Array.choose (fun v ->
            let of' (op: Op) name = Some(Cost.perElement (Tensor(op, [||], v.DType, [||])), name)
            match v.Term with
            | Term.Unary(u, _) -> of' (Op.Unary u) (Case.name u)
            | Term.Binary(b, _, _) -> of' (Op.Binary b) (Case.name b)
            | Term.Select _ -> of' Op.Select "where"
            | Term.Cast _ -> of' Op.Cast "cast"
            | Term.RandomBits _ -> of' Op.RandomBits "random"
            | Term.LoadAt _ -> Some(20, "lookup")
            | Term.Reduced(r, _) -> Some(50, Case.name r)
            | Term.Scalar _
            | Term.Fixed _
            | Term.Load _
            | Term.Count _
            | Term.BitCast _ -> None)
        |> Array.distinct
        |> Array.sortBy (fun (cost, _) -> -cost)
        |> Array.map snd

    let private listed (names: string[]) =
        let shown = names |> Array.truncate 4
        String.Join(" ", shown) + (if names.Length > shown.Length then " ..." else "")

    let private product (p: Product) =
        let b, m, n = count p.ResultOffsets 0, count p.ResultOffsets 1, count p.ResultOffsets 2
        let k = count p.LeftOffsets 2
        let batch = if b = 1 then "" else $"{b} x "
        let work =
            if p.Label.StartsWith("conv", StringComparison.Ordinal) then
                p.Label
            else
                $"matmul {batch}[{m},{k}]·[{k},{n}]"
        match p.Epilogue with
        | ValueSome l -> $"{work} then {listed (functions l.Nest)}"
        | ValueNone -> work

    let private isDone (l: Loop) = l.Nest.Kind = NestKind.Rows && (reductions l.Nest).Length > 0

    let private loop (isResult: int -> bool) (l: Loop) =
        let n = l.Nest
        let has u = Array.contains u (unaries n)
        let folds r = Array.contains r (reductions n)
        let shape = Shape.show l.Extents
        let inner = l.Extents[l.Extents.Length - 1]
        let written = n.Arguments |> Array.filter (fun a -> a.Access = Access.Write)
        let isUpdate =
            has Unary.Sqrt
            && written.Length >= 3
            && Array.zip n.Arguments l.Operands
               |> Array.exists (fun (a, o) -> a.Access = Access.Write && isResult o.Buffer)
        if isDone l && folds Reduction.Max && folds Reduction.Sum && has Unary.Exp then
            $"softmax of rows of {inner} {shape}"
        elif isDone l && folds Reduction.Sum && (has Unary.Sqrt || has Unary.Rsqrt) && inner > 1 then
            $"normalise rows of {inner} {shape}"
        elif n.Kind = NestKind.Columns then
            $"{Case.name (reductions n).[0]} down columns {shape}"
        elif isDone l then
            $"{listed (functions n)} of rows of {inner} {shape}"
        elif isUpdate then
            $"optimizer update {shape}"
        else
            match functions n with
            | [||] -> $"copy {shape}"
            | names -> $"{listed names} {shape}"

    /// What a kernel of a plan does, with shapes. Equal work has equal names.
    let describe (plan: Plan) (k: Kernel) : string =
        let isResult b =
            match plan.Buffers[b].Place with
            | Place.Output _ -> true
            | Place.Input _
            | Place.Temporary -> false
        match k with
        | Kernel.Loop l -> loop isResult l
        | Kernel.Summed s -> $"{loop isResult s.Rows} and {s.Sums.Length} x down columns"
        | Kernel.Product p
        | Kernel.Conv { Of = p } -> product p
        | Kernel.Repeat r -> $"{r.Length} x {r.Label}"
        | Kernel.Lines l -> $"{LineWork.name l.Work} {Shape.show [| l.Outer; l.Length; l.Inner |]}"
        | Kernel.Fold f -> $"add up windows of {f.Window.Size} {Shape.show [| f.Outer; f.Length; f.Inner |]}"
        | Kernel.Check c -> $"check the indices of {c.Operation}"
        | Kernel.Scatter s -> $"scatterAdd [{s.Count},{s.Inner}] into [{s.Size},{s.Inner}]"
        | Kernel.Update u -> $"dynamicUpdate {Shape.show u.Box} of {Shape.show u.Shape}"
        | Kernel.Attention a -> $"attention, {StreamedAttention.describe a}"
        | Kernel.AttentionGradient g -> $"gradient of attention, {StreamedAttention.describe g.Of}"
        | Kernel.Pool p -> (if Pool.isGradient p then "gradient of " else "") + $"{Pool.name p}, {Pool.describe p}"

    /// The program's inputs that a kernel reads, by name: which layer it belongs to.
    let inputs (plan: Plan) (names: string[]) (k: Kernel) : string[] =
        let struct (reads, _) = Kernel.touches k
        reads
        |> Array.choose (fun b ->
            match (if b < 0 then Place.Temporary else plan.Buffers[b].Place) with
            | Place.Input i when i < names.Length -> Some names[i]
            | Place.Input _
            | Place.Output _
            | Place.Temporary -> None)

    /// The kind of work.
    let family (k: Kernel) : KernelFamily =
        match k with
        | Kernel.Loop l when looksUp l.Nest -> KernelFamily.Indexing
        | Kernel.Loop l when (reductions l.Nest).Length > 0 -> KernelFamily.Rows
        | Kernel.Loop l when (functions l.Nest).Length = 0 -> KernelFamily.Copy
        | Kernel.Loop _ -> KernelFamily.Elementwise
        | Kernel.Summed _ -> KernelFamily.Rows
        | Kernel.Attention _
        | Kernel.AttentionGradient _
        | Kernel.Conv _
        | Kernel.Product _ -> KernelFamily.Product
        | Kernel.Repeat _ -> KernelFamily.Loop
        | Kernel.Lines _
        | Kernel.Pool _
        | Kernel.Fold _ -> KernelFamily.Lines
        | Kernel.Check _
        | Kernel.Scatter _
        | Kernel.Update _ -> KernelFamily.Indexing
