namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Text.RegularExpressions

/// Expressions as F# source over the public functions: what it prints can be pasted into F# Interactive or a program, and
/// has the same values. Shared and long subexpressions are let-bound.
[<RequireQualifiedAccess>]
module Source =
    // Precedences of F#.
    let private minus, sum, product, application, atom = 1, 2, 3, 5, 6
    let private longest = 80 // characters of an expression before it gets a line of its own
    let private literalLimit = 64 // elements of a value that is written out; a larger one becomes a parameter

    // ------------------------------------------------------------------------------------------------ words

    let private wrap context (struct (p, s: string)) = if p < context then "(" + s + ")" else s
    let private ints (xs: int[]) = "[| " + String.Join("; ", xs) + (if xs.Length = 0 then "|]" else " |]")
    let private list (xs: int[]) = "[ " + String.Join("; ", xs) + (if xs.Length = 0 then "]" else " ]")
    let private dtype (d: DType) = $"DType.{d.ToString().ToUpperInvariant()}".Replace("BOOL", "Bool")

    let private float (v: float) =
        if Double.IsNaN v then
            "nan"
        elif Double.IsPositiveInfinity v then
            "infinity"
        elif Double.IsNegativeInfinity v then
            "-infinity"
        else
            let s = v.ToString("R", CultureInfo.InvariantCulture)
            if s.Contains '.' || s.Contains 'E' then s else s + ".0"

    /// A float of which the constant is the rounding, as short as can be.
    let private ofConstant (c: Constant) =
        let text =
            match Print.tryNamed c with
            | Some(v, _, _, source) when Constant.ofFloat c.DType v = c -> source
            | _ when c.DType <> DType.F64 && Double.IsFinite c.Float ->
                let short = (float32 c.Float).ToString("R", CultureInfo.InvariantCulture)
                if Constant.ofFloat c.DType (Double.Parse(short, CultureInfo.InvariantCulture)) = c then
                    (if short.Contains '.' || short.Contains 'E' then short else short + ".0")
                else
                    float c.Float
            | _ -> float c.Float
        let p =
            if text.StartsWith '-' then minus
            elif text.Contains '*' || text.Contains '/' then product
            elif text.Contains ' ' || text.Contains '(' then application
            else atom
        struct (p, text)

    let private scalarOf (c: Constant) =
        if c.DType = DType.F32 then
            struct (application, "scalar " + wrap atom (ofConstant c))
        elif DType.isFloat c.DType then
            struct (application, $"Op.constant (Constant.ofFloat {dtype c.DType} {wrap atom (ofConstant c)})")
        else
            let n = string c.Int + "L"
            struct (application,
                    $"""Op.constant (Constant.ofInt {dtype c.DType} {if n.StartsWith '-' then "(" + n + ")" else n})""")

    let private keywords =
        HashSet<string>(
            ("abstract and as assert base begin class default delegate do done downcast downto elif else end exception extern "
             + "false finally fixed for fun function global if in inherit inline interface internal lazy let match member module "
             + "mutable namespace new not null of open or override private public rec return sig static struct then to true try "
             + "type upcast use val void when while with yield const component constraint include mixin parallel process "
             + "protected pure sealed tailcall trait virtual abs exp log sqrt sin cos tan tanh atan floor ceil round sign erf log1p "
             + "expm1 rsqrt sum mean sumOver sumKeep meanOver amax amin amaxKeep matmul transpose maximum minimum eq ne lt le gt ge "
             + "where scalar full reshape permute broadcastTo cast concat softmax sigmoid ofArray nan infinity fst snd pown ignore")
                .Split
                ' '
        )

    let private identifier (name: string) =
        let cleaned = String.map (fun c -> if Char.IsLetterOrDigit c || c = '_' then c else '_') name
        let cleaned = if cleaned = "" || Char.IsDigit cleaned[0] then "x" + cleaned else cleaned
        if keywords.Contains cleaned || Regex.IsMatch(cleaned, "^(t|body)[0-9]+$") then cleaned + "_" else cleaned

    // ------------------------------------------------------------------------------------------------ values

    let private elements (s: Storage) =
        let one i =
            let c = Buffers.read s i
            match s.DType with
            | DType.F64 -> float c.Float
            | DType.F32 when Double.IsNaN c.Float -> "nanf"
            | DType.F32 when Double.IsInfinity c.Float -> if c.Float > 0.0 then "infinityf" else "-infinityf"
            | DType.F32 ->
                let s = (float32 c.Float).ToString("R", CultureInfo.InvariantCulture) in
                (if s.Contains '.' || s.Contains 'E' then s else s + ".0") + "f"
            | DType.F16 -> $"Half.op_Explicit ({float c.Float})"
            | DType.BF16 -> $"{Constant.bfloat16Bits (float32 c.Float)}us"
            | DType.I64 -> $"{c.Int}L"
            | DType.I32 -> string c.Int
            | DType.U32 -> $"{c.Int}u"
            | DType.U8 -> $"{c.Int}uy"
            | DType.I8 -> $"{c.Int}y"
            | DType.Bool -> if c.Int = 0L then "false" else "true"
        let values = String.Join("; ", Array.init s.Length one)
        GC.KeepAlive s
        if s.Length = 0 then "[||]" else "[| " + values + " |]"

    let private emptyOf (d: DType) =
        match d with
        | DType.F64 -> "Array.empty<float>"
        | DType.F32 -> "Array.empty<float32>"
        | DType.F16 -> "Array.empty<System.Half>"
        | DType.BF16 -> "Array.empty<uint16>"
        | DType.I64 -> "Array.empty<int64>"
        | DType.I32 -> "Array.empty<int>"
        | DType.U32 -> "Array.empty<uint32>"
        | DType.U8 -> "Array.empty<byte>"
        | DType.I8 -> "Array.empty<sbyte>"
        | DType.Bool -> "Array.empty<bool>"

    let private literal (t: Tensor) (s: Storage) =
        let values = if s.Length = 0 then emptyOf s.DType else elements s
        struct (application, $"ofArray {dtype s.DType} {ints t.Shape} {values}")

    /// Variables, and values that are too long to write out: the parameters of the function.
    let inputs (t: Tensor) : Tensor[] =
        Graph.topological [ t ]
        |> Array.filter (fun n ->
            match n.Op with
            | Op.Input _ -> true
            | Op.Literal s -> isNull s || s.Length > literalLimit || s.DType = DType.F16 || s.DType = DType.BF16
            | _ -> false)

    // ------------------------------------------------------------------------------------------------ operands

    /// What may be written in place of an operand that is stretched anyhow: before stretching and leading axes of
    /// extent 1.
    let private unstretched (t: Tensor) =
        match t.Op with
        | Op.Movement Movement.Broadcast ->
            let s = t.Inputs[0]
            match s.Op with
            | Op.Movement Movement.Reshape ->
                let r = s.Inputs[0]
                let added = s.Rank - r.Rank
                if added > 0 && s.Shape = Array.append (Array.create added 1) r.Shape then r else s
            | _ -> s
        | _ -> t

    let private number (t: Tensor) =
        match (unstretched t).Op with
        | Op.Const c when DType.isFloat c.DType -> Some c
        | _ -> None

    /// Ways to write an operator, the shortest first, with what each would make.
    let private ways (t: Tensor) (both: Tensor -> Tensor -> Tensor) withLeft withRight =
        let a, b = t.Inputs[0], t.Inputs[1]
        [ match number a with
          | Some c -> yield Choice2Of3(c, b), (fun () -> withLeft c.Float b)
          | None -> ()
          match number b with
          | Some c -> yield Choice3Of3(a, c), (fun () -> withRight a c.Float)
          | None -> ()
          for x, y in [ unstretched a, unstretched b; a, unstretched b; unstretched a, b; a, b ] do
              yield Choice1Of3(x, y), (fun () -> both x y) ]
        |> List.tryFind (fun (_, made) ->
            try
                made () = t
            with :? ShapeException ->
                false)
        |> Option.map fst

    // ------------------------------------------------------------------------------------------------ the writer

    /// One block of lets: a function, or the body of one inside it.
    type private Writer(roots: Tensor[], nameOf: Tensor -> string voption, indent: string) =
        let lines = List<struct (string * string)>() // name, text
        let texts = Dictionary<Hash, struct (int * string)>()
        let bodies = Dictionary<Hash, string>()
        let order = Graph.topological roots
        let uses = Dictionary<Hash, int>()

        do
            let count (t: Tensor) =
                uses[t.Hash] <-
                    1
                    + (match uses.TryGetValue t.Hash with
                       | true, n -> n
                       | _ -> 0)
            // Stretching is skipped where it goes without saying: the operand counts as read by who reads the stretched one.
            let skipped = HashSet<Hash>()
            for n in order do
                if unstretched n <> n then
                    skipped.Add n.Hash |> ignore
                    if unstretched n <> n.Inputs[0] then skipped.Add n.Inputs[0].Hash |> ignore
            for n in order do
                if not (skipped.Contains n.Hash) then
                    for i in n.Inputs do
                        count (unstretched i)
            for r in roots do
                count (unstretched r)

        let textOf (t: Tensor) = texts[t.Hash]
        let at context (t: Tensor) = wrap context (textOf t)
        let call (name: string) (arguments: string seq) =
            struct (application, String.Join(" ", Seq.append [ name ] arguments))
        let apply name (xs: Tensor seq) = call name (Seq.map (at atom) xs)
        let array (xs: Tensor seq) =
            "[| " + String.Join("; ", xs |> Seq.map (at 0)) + (if Seq.isEmpty xs then "|]" else " |]")

        let infix symbol p (t: Tensor) both withLeft withRight fallback =
            match ways t both withLeft withRight with
            | Some(Choice1Of3(x, y)) -> struct (p, at p x + symbol + at (p + 1) y)
            | Some(Choice2Of3(c, y)) -> struct (p, wrap (p + 1) (ofConstant c) + symbol + at (p + 1) y)
            | Some(Choice3Of3(x, c)) -> struct (p, at p x + symbol + wrap (p + 1) (ofConstant c))
            | None -> apply fallback t.Inputs

        /// A function of operands that it stretches itself.
        let stretching name (t: Tensor) (f: Tensor[] -> Tensor) fallback =
            let free = Array.map unstretched t.Inputs
            let isSame =
                try
                    f free = t
                with :? ShapeException ->
                    false
            if isSame then apply name free else apply fallback t.Inputs

        let bind (text: string) =
            let name = $"t{lines.Count + 1}"
            lines.Add(struct (name, text))
            name

        /// A closed function, as a definition of its own.
        let lambda (l: Lambda) (write: Lambda -> string -> string) =
            match bodies.TryGetValue l.Hash with
            | true, name -> name
            | _ ->
                let name = $"body{lines.Count + 1}"
                lines.Add(struct (name, write l (indent + "    ")))
                bodies[l.Hash] <- name
                name

        let binary (t: Tensor) (b: Binary) =
            let fallback = $"Op.binary Binary.{b}"
            let op x y = Op.binary b x y
            let none _ _ = raise (ShapeException("", "", "", ""))
            let plain name = stretching name t (fun xs -> op xs[0] xs[1]) fallback
            match b with
            | Binary.Add -> infix " + " sum t (+) (fun c y -> c + y) (fun x c -> x + c) fallback
            | Binary.Sub -> infix " - " sum t (-) (fun c y -> c - y) (fun x c -> x - c) fallback
            | Binary.Mul -> infix " * " product t (*) (fun c y -> c * y) (fun x c -> x * c) fallback
            | Binary.Div -> infix " / " product t (/) (fun c y -> c / y) (fun x c -> x / c) fallback
            | Binary.Pow ->
                match ways t (fun x y -> x ** y) none (fun x c -> x ** c) with
                | Some(Choice1Of3(x, y)) -> struct (product, at atom x + " ** " + at atom y)
                | Some(Choice3Of3(x, c)) -> struct (product, at atom x + " ** " + wrap atom (ofConstant c))
                | Some(Choice2Of3 _)
                | None -> apply fallback t.Inputs
            | Binary.Max -> plain "maximum"
            | Binary.Min -> plain "minimum"
            | Binary.Rem -> infix " % " product t (%) none none fallback
            | Binary.Eq -> plain "eq"
            | Binary.Ne -> plain "ne"
            | Binary.Lt -> plain "lt"
            | Binary.Le -> plain "le"
            | Binary.Gt -> plain "gt"
            | Binary.Ge -> plain "ge"
            | Binary.And
            | Binary.Or
            | Binary.Xor
            | Binary.Shl
            | Binary.Shr -> apply fallback t.Inputs

        let unary (t: Tensor) (u: Unary) =
            match u with
            | Unary.Neg -> struct (minus, "-" + at atom t.Inputs[0])
            | Unary.Sign
            | Unary.Not -> apply $"Op.unary Unary.{u}" t.Inputs
            // Functions of F# that make this very primitive.
            | Unary.Abs
            | Unary.Exp
            | Unary.Log
            | Unary.Log1p
            | Unary.Expm1
            | Unary.Sqrt
            | Unary.Rsqrt
            | Unary.Sin
            | Unary.Cos
            | Unary.Atan
            | Unary.Tanh
            | Unary.Erf
            | Unary.Floor
            | Unary.Ceil
            | Unary.Round -> apply (Case.name u) t.Inputs

        let window (w: Window) = $"{{ Axis = {w.Axis}; Size = {w.Size}; Step = {w.Step}; Dilation = {w.Dilation} }}"

        let movement (t: Tensor) (m: Movement) =
            let x = t.Inputs[0]
            match m with
            | Movement.Reshape ->
                match x.Op with
                | Op.Reduce(Reduction.Sum, axes) when t = sumKeep axes x.Inputs[0] ->
                    call "sumKeep" [ list axes; at atom x.Inputs[0] ]
                | _ -> call "reshape" [ ints t.Shape; at atom x ]
            | Movement.Permute p when Print.isTransposition p -> apply "transpose" [ x ]
            | Movement.Permute p -> call "permute" [ ints p; at atom x ]
            | Movement.Broadcast ->
                match (unstretched t).Op with
                | Op.Const c when DType.isFloat c.DType ->
                    call "full" [ dtype c.DType; ints t.Shape; wrap atom (ofConstant c) ]
                | _ -> call "broadcastTo" [ ints t.Shape; at atom (unstretched t) ]
            | Movement.Slice(starts, steps) ->
                let stop i = if t.Shape[i] = 0 then starts[i] else starts[i] + (t.Shape[i] - 1) * steps[i] + 1
                call "Op.slice" [ ints starts; ints (Array.init t.Rank stop); ints steps; at atom x ]
            | Movement.Pad(low, high, interior) ->
                call "Op.pad" [ ints low; ints high; ints interior; at atom t.Inputs[1]; at atom x ]
            | Movement.Reverse axes -> call "Op.reverse" [ list axes; at atom x ]
            | Movement.Concat axis -> call "Op.concat" [ string axis; array t.Inputs ]
            | Movement.Unfold w -> call "Op.unfold" [ window w; at atom x ]
            | Movement.Fold(w, length) -> call "Op.fold" [ window w; string length; at atom x ]

        let reduce (t: Tensor) r axes =
            let x = at atom t.Inputs[0]
            match r with
            | Reduction.Sum -> if t.Rank = 0 then call "sum" [ x ] else call "sumOver" [ list axes; x ]
            | Reduction.Max -> call "amax" [ list axes; x ]
            | Reduction.Min -> call "amin" [ list axes; x ]
            | Reduction.Prod -> call "Op.reduce" [ "Reduction.Prod"; list axes; x ]

        let dot (t: Tensor) (d: Contraction) =
            let x, y = t.Inputs[0], t.Inputs[1]
            match Print.matrixProduct t d with
            | Print.MatrixProduct.Matrices(left, right) when d.LeftBatch.Length = 0 || (x.Rank = y.Rank && x.Rank > 2) ->
                let side flipped z = if flipped then wrap atom (apply "transpose" [ z ]) else at atom z
                call "matmul" [ side left x; side right y ]
            | Print.MatrixProduct.Matrices _
            | Print.MatrixProduct.Outer
            | Print.MatrixProduct.General ->
                let axes =
                    $"{{ LeftBatch = {ints d.LeftBatch}; RightBatch = {ints d.RightBatch}; LeftSum = {ints d.LeftSum}; RightSum = {ints d.RightSum} }}"
                call "Op.dot" [ axes; at atom x; at atom y ]

        let conv (t: Tensor) (c: Convolution) =
            let options =
                $"{{ Strides = {ints c.Strides}; PadLow = {ints c.PadLow}; PadHigh = {ints c.PadHigh}; LeftDilation = {ints c.LeftDilation}; RightDilation = {ints c.RightDilation}; Groups = {c.Groups} }}"
            call "Op.conv" [ options; at atom t.Inputs[0]; at atom t.Inputs[1] ]

        let indexing (t: Tensor) (i: Indexing) =
            let rest n = t.Inputs[n..]
            let x = t.Inputs[0]
            match i with
            | Indexing.Gather(axis, batch) ->
                call "Op.gather" [ string axis; string batch; at atom x; at atom t.Inputs[1] ]
            | Indexing.ScatterAdd(axis, batch) ->
                call "Op.scatterAdd" (Seq.append [ string axis; string batch ] (Seq.map (at atom) t.Inputs))
            | Indexing.DynamicSlice -> call "Op.dynamicSlice" [ array (rest 1); ints t.Shape; at atom x ]
            | Indexing.DynamicUpdate -> call "Op.dynamicUpdate" [ array (rest 2); at atom t.Inputs[1]; at atom x ]

        /// Names that readers know, as the functions that they are; others in full.
        let custom (t: Tensor) (c: Custom) write =
            let x = t.Inputs[0]
            let is (y: Tensor) = y.Inputs.Length = 1 && y.Inputs[0] = t
            let axes = [| 0 .. x.Rank - 1 |]
            let known =
                match c.Name with
                | "stopGradient" -> Some "Grad.stopGradient"
                | "sigmoid" when is (NamingRules.sigmoid x) -> Some "sigmoid"
                | "tan" when c.Gradient.IsNone -> Some "tan"
                | "mean" when is (NamingRules.mean axes x) -> Some "mean"
                | "softmax" ->
                    axes
                    |> Array.tryFind (fun a -> is (NamingRules.softmax x [| a |]))
                    |> Option.map (fun a -> $"softmax {a}")
                | _ -> None
            match known with
            | Some name -> struct (application, $"[| {name} {at atom x} |]")
            | None ->
                let gradient =
                    match c.Gradient with
                    | None -> "None"
                    | Some g -> $"Some {lambda g write}"
                let options = $"{{ Name = \"{c.Name}\"; Body = {lambda c.Body write}; Gradient = {gradient} }}"
                call "Op.custom" [ options; array t.Inputs ]

        let isPair (t: Tensor) =
            match t.Op with
            | Op.Sort _
            | Op.TopK _ -> true
            | _ -> false

        let item (t: Tensor) (i: int) =
            let made = t.Inputs[0]
            let struct (_, text) = textOf made
            if isPair made then call (if i = 0 then "fst" else "snd") [ at atom made ]
            elif text.StartsWith "[| " && i = 0 then struct (application, text.Substring(3, text.Length - 6)) // a known function
            else struct (atom, at atom made + $"[{i}]")

        let write (t: Tensor) (inside: Lambda -> string -> string) : struct (int * string) =
            match t.Op with
            | Op.Literal s -> literal t s
            | Op.Input(_, name) -> struct (atom, identifier name)
            | Op.Parameter i -> struct (application, $"Op.parameter {i} {dtype t.DType} {ints t.Shape}")
            | Op.Const c -> scalarOf c
            | Op.Iota axis -> struct (application, $"Op.iota {dtype t.DType} {ints t.Shape} {axis}")
            | Op.RandomBits -> call "Op.randomBits" [ at atom t.Inputs[0]; ints t.Shape ]
            | Op.Unary u -> unary t u
            | Op.Binary b -> binary t b
            | Op.Select -> stretching "where" t (fun xs -> Op.select xs[0] xs[1] xs[2]) "Op.select"
            | Op.Cast -> call "cast" [ dtype t.DType; at atom t.Inputs[0] ]
            | Op.BitCast -> call "Op.bitCast" [ dtype t.DType; at atom t.Inputs[0] ]
            | Op.Movement m -> movement t m
            | Op.Reduce(r, axes) -> reduce t r axes
            | Op.ArgReduce(largest, axis) ->
                call "Op.argReduce" [ (if largest then "true" else "false"); string axis; at atom t.Inputs[0] ]
            | Op.CumSum(axis, reverse) ->
                call "Op.cumSum" [ string axis; (if reverse then "true" else "false"); at atom t.Inputs[0] ]
            | Op.Dot d -> dot t d
            | Op.Conv c -> conv t c
            | Op.Indexing i -> indexing t i
            | Op.Sort(axis, descending) ->
                call "Op.sort" [ string axis; (if descending then "true" else "false"); at atom t.Inputs[0] ]
            | Op.TopK k -> call "Op.topK" [ string k; at atom t.Inputs[0] ]
            | Op.Scan s ->
                let options =
                    $"{{ Body = {lambda s.Body inside}; Captured = {s.Captured}; Carried = {s.Carried}; Length = {s.Length}; Reverse = {s.Reverse.ToString().ToLowerInvariant()} }}"
                call "Op.scan" [ options; array t.Inputs ]
            | Op.Custom c -> custom t c inside
            | Op.Checkpoint l -> call "Op.checkpoint" [ lambda l inside; array t.Inputs ]
            | Op.Item i -> item t i

        /// The lets that the last expression needs, and that expression.
        let assemble (result: string) =
            let live = HashSet<string>()
            let read (text: string) =
                for m in Regex.Matches(text, "\\b(t|body)[0-9]+\\b") do
                    live.Add m.Value |> ignore
            read result
            let kept = List<string>()
            for struct (name, text) in Seq.rev lines do
                if live.Contains name then
                    if not (name.StartsWith "body") then read text
                    kept.Add(indent + $"let {name} = {text}")
            kept.Reverse()
            kept.Add(indent + result)
            String.Join("\n", kept)

        member _.Text(inside: Lambda -> string -> string, finish: string[] -> string) =
            for t in order do
                let struct (p, s) =
                    match nameOf t with
                    | ValueSome name -> struct (atom, name)
                    | ValueNone -> write t inside
                let isShared = uses.ContainsKey t.Hash && uses[t.Hash] > 1 && p < atom
                let isSimple = t.Inputs.Length = 0 && s.Length < 20
                let isLong = s.Length > longest && not (Array.contains t roots)
                texts[t.Hash] <- if (isShared && not isSimple) || isLong then struct (atom, bind s) else struct (p, s)
            assemble (finish (roots |> Array.map (at 0)))

    let rec private body (l: Lambda) (indent: string) : string =
        let parameters = l.Params |> Array.map (fun (d, s) -> $"{dtype d}, {ints s}")
        let writer = Writer(l.Results, (fun _ -> ValueNone), indent)
        let finish (results: string[]) =
            "Lambda.make [| " + String.Join("; ", parameters) + " |] [| " + String.Join("; ", results) + " |]"
        "\n" + writer.Text(body, finish)

    /// The expression as a function of its variables: `let name (x: Tensor) (y: Tensor) : Tensor = ...`, in the order of
    /// `Source.inputs`. Values of more than 64 elements become parameters, too. Open Nanograd before it.
    let render (name: string) (t: Tensor) : string =
        let names, taken = Dictionary<Hash, string>(), HashSet<string>()
        for v in inputs t do
            let wanted =
                match v.Op with
                | Op.Input(id, "") -> $"x{id}"
                | Op.Input(_, name) -> identifier name
                | _ -> "value"
            let free = Seq.initInfinite (fun i -> if i = 0 then wanted else $"{wanted}_{i + 1}") |> Seq.find taken.Add
            names[v.Hash] <- free
        let nameOf (t: Tensor) =
            match names.TryGetValue t.Hash with
            | true, n -> ValueSome n
            | _ -> ValueNone
        let writer = Writer([| t |], nameOf, "    ")
        let text = writer.Text(body, Array.head)
        let parameters = inputs t |> Array.map (fun v -> $"({names[v.Hash]}: Tensor)")
        let types = inputs t |> Array.map (fun v -> $"{names[v.Hash]}: {Shape.describe v}")
        let comment = if types.Length = 0 then "" else "/// " + String.Join(", ", types) + "\n"
        let head = String.Join(" ", Array.append [| "let"; identifier name |] parameters)
        $"{comment}{head} : Tensor =\n{text}\n"
