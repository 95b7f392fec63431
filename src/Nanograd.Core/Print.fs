namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization

/// Expressions as readable algebra: `3·x²`, `x·cos x + sin x`, `Aᵀ @ (A @ x - b)`. A function takes the next atom, before
/// any other operation: `sin x·cos x` is (sin x)·(cos x). `·` multiplies element by element, `@` matrices. How the
/// elements are stretched to a common shape is not shown.
[<RequireQualifiedAccess>]
module Print =
    /// A number in digits, as few as give it back.
    let digits (c: Constant) =
        if c.DType = DType.Bool then (if c.Int = 0L then "false" else "true")
        elif c.DType = DType.F64 then c.Float.ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant()
        elif DType.isFloat c.DType then (float32 c.Float).ToString("R", CultureInfo.InvariantCulture).ToLowerInvariant()
        else string c.Int

    /// Numbers that have names: what they are, how they read, how they are written in LaTeX and in F#.
    let internal named =
        let root = Math.Sqrt
        [ Math.PI, "π", "\\pi", "System.Math.PI"
          2.0 * Math.PI, "2·π", "2 \\pi", "2.0 * System.Math.PI"
          Math.PI / 2.0, "π / 2", "\\frac{\\pi}{2}", "System.Math.PI / 2.0"
          root 2.0, "√2", "\\sqrt{2}", "System.Math.Sqrt 2.0"
          root 3.0, "√3", "\\sqrt{3}", "System.Math.Sqrt 3.0"
          root 0.5, "1 / √2", "\\frac{1}{\\sqrt{2}}", "System.Math.Sqrt 0.5"
          root Math.PI, "√π", "\\sqrt{\\pi}", "System.Math.Sqrt System.Math.PI"
          root (2.0 * Math.PI), "√(2·π)", "\\sqrt{2 \\pi}", "System.Math.Sqrt(2.0 * System.Math.PI)"
          1.0 / root Math.PI, "1 / √π", "\\frac{1}{\\sqrt{\\pi}}", "1.0 / System.Math.Sqrt System.Math.PI"
          2.0 / root Math.PI, "2 / √π", "\\frac{2}{\\sqrt{\\pi}}", "2.0 / System.Math.Sqrt System.Math.PI"
          root (2.0 / Math.PI), "√(2 / π)", "\\sqrt{\\frac{2}{\\pi}}", "System.Math.Sqrt(2.0 / System.Math.PI)" ]

    /// The row of a number of `named`, if `c` is the number of its type that is nearest to one.
    let internal tryNamed (c: Constant) =
        if not (DType.isFloat c.DType) then
            None
        else
            named
            |> List.tryFind (fun (v, _, _, _) ->
                abs (c.Float - v) <= v * 4e-16 || (c.DType <> DType.F64 && Constant.ofFloat c.DType v = c))

    /// A number as people write it.
    let number (c: Constant) =
        match tryNamed c with
        | Some(_, text, _, _) -> text
        | None -> digits c

    let private list (xs: int[]) = Shape.show xs

    /// A name with its attributes: `cumSum[0, reverse]`.
    let private having (name: string) (attributes: string list) =
        if attributes.IsEmpty then name else name + "[" + String.Join(", ", attributes) + "]"

    let private where (isShown: bool) (attribute: string) = if isShown then [ attribute ] else []

    let private unless (usual: int) (name: string) (value: int) = where (value <> usual) $"{name} {value}"

    /// One number where all axes have the same one; nothing where that is the usual one.
    let private perAxis (usual: int) (name: string) (values: int[]) =
        match Array.distinct values with
        | [||] -> []
        | [| value |] -> unless usual name value
        | _ -> [ $"{name} {list values}" ]

    let private convolution (c: Convolution) =
        let padding =
            if c.PadLow = c.PadHigh then
                perAxis 0 "pad" c.PadLow
            else
                perAxis 0 "low" c.PadLow @ perAxis 0 "high" c.PadHigh
        perAxis 1 "stride" c.Strides
        @ padding
        @ perAxis 1 "dilation" c.RightDilation
        @ perAxis 1 "input dilation" c.LeftDilation
        @ unless 1 "groups" c.Groups

    let private contraction (d: Contraction) =
        let side (batch: int[]) (sum: int[]) =
            if d.LeftBatch.Length = 0 then
                list sum
            else
                "[" + String.Join(",", batch) + "; " + String.Join(",", sum) + "]"
        "dot" + side d.LeftBatch d.LeftSum + side d.RightBatch d.RightSum

    let private window (w: Window) = unless 1 "step" w.Step @ unless 1 "dilation" w.Dilation

    let private movement (t: Tensor) (m: Movement) =
        match m with
        | Movement.Reshape -> "reshape" + list t.Shape
        | Movement.Permute p -> "permute" + list p
        | Movement.Broadcast -> "broadcast" + list t.Shape
        | Movement.Slice(starts, steps) ->
            let part i =
                let stop = starts[i] + (t.Shape[i] - 1) * steps[i]
                $"{starts[i]}..{stop}" + (if steps[i] = 1 then "" else $":{steps[i]}")
            "slice[" + String.Join(", ", Array.init starts.Length part) + "]"
        | Movement.Pad(low, high, interior) ->
            $"pad{list low}{list high}" + (if Array.forall ((=) 0) interior then "" else list interior)
        | Movement.Reverse axes -> "reverse" + list axes
        | Movement.Concat axis -> $"concat[{axis}]"
        | Movement.Unfold w -> having "unfold" ([ string w.Axis; $"size {w.Size}" ] @ window w)
        | Movement.Fold(w, length) -> having "fold" ([ string w.Axis; $"length {length}" ] @ window w)

    /// A node's own name, with its attributes: on the same operands, what differs in one has another name. Usual values
    /// (a stride of 1, no padding) are not shown, nor is what the functions inside loops, calls and checkpoints do.
    let name (t: Tensor) =
        match t.Op with
        | Op.Literal s -> if isNull s then "literal" else $"literal{s.Id}"
        | Op.Input(id, name) -> if name = "" then $"x{id}" else name
        | Op.Parameter i -> $"p{i}"
        | Op.Const c -> number c
        | Op.Iota axis -> $"iota({Shape.describe t}, {axis})"
        | Op.RandomBits -> "randomBits" + list t.Shape
        | Op.Unary u -> Case.name u
        | Op.Binary b -> Case.name b
        | Op.Select -> "where"
        | Op.Cast -> string t.DType
        | Op.BitCast -> $"bits_{t.DType}"
        | Op.Movement m -> movement t m
        | Op.Reduce(r, axes) -> if t.Rank = 0 then Case.name r else Case.name r + list axes
        | Op.ArgReduce(largest, axis) -> (if largest then "argMax" else "argMin") + $"[{axis}]"
        | Op.CumSum(axis, reverse) -> having "cumSum" (string axis :: where reverse "reverse")
        | Op.Dot d -> contraction d
        | Op.Conv c -> having "conv" (convolution c)
        | Op.Indexing i ->
            match i with
            | Indexing.Gather(axis, batch) -> having "gather" (string axis :: unless 0 "batch" batch)
            | Indexing.ScatterAdd(axis, batch) -> having "scatterAdd" (string axis :: unless 0 "batch" batch)
            | Indexing.DynamicSlice -> "dynamicSlice" + list t.Shape
            | Indexing.DynamicUpdate -> "dynamicUpdate"
        | Op.Sort(axis, descending) -> having "sort" (string axis :: where descending "descending")
        | Op.TopK k -> $"topK[{k}]"
        | Op.Scan s -> having "scan" (string s.Length :: where s.Reverse "reverse")
        | Op.Custom c -> c.Name
        | Op.Checkpoint _ -> "checkpoint"
        | Op.Item i -> $"item{i}"

    // ------------------------------------------------------------------------------------------------ what is shown

    /// A reshape that only adds or removes axes of extent 1 says nothing to a reader.
    let private isUnitReshape (t: Tensor) = Array.filter ((<>) 1) t.Shape = Array.filter ((<>) 1) t.Inputs[0].Shape

    let private isSilent (t: Tensor) =
        match t.Op with
        | Op.Movement Movement.Broadcast -> true
        | Op.Movement Movement.Reshape -> isUnitReshape t
        | Op.Item 0 -> (Op.results t.Inputs[0]).Length = 1
        | _ -> false

    /// What a reader sees of `t`: stretching, axes of extent 1 and the only result of a function are not shown.
    let internal seen (t: Tensor) =
        let mutable s = t
        while isSilent s do
            s <- s.Inputs[0]
        s

    /// The number that stands everywhere.
    let private uniform (t: Tensor) =
        match (seen t).Op with
        | Op.Const c -> ValueSome c
        | _ -> ValueNone

    /// True of the exchange of the last two axes.
    let internal isTransposition (p: int[]) =
        let n = p.Length
        n >= 2 && p = Array.append [| 0 .. n - 3 |] [| n - 1; n - 2 |]

    /// How matrices (or vectors, or batches of matrices) are multiplied.
    [<RequireQualifiedAccess>]
    type internal MatrixProduct =
        /// Which of the two are transposed.
        | Matrices of left: bool * right: bool
        /// Every element of the one with every element of the other.
        | Outer
        | General

    let internal matrixProduct (t: Tensor) (d: Contraction) =
        let x, y, n = t.Inputs[0], t.Inputs[1], d.LeftBatch.Length
        let leading = Array.init n id
        let isPlain = d.LeftBatch = leading && d.RightBatch = leading && d.LeftSum.Length = 1
        let isPart (t: Tensor) = t.Rank = n + 1 || t.Rank = n + 2
        let areRows = n > 0 && x.Rank = n + 1 && y.Rank = n + 1 // row by row: `@` would be a product of matrices
        if isPlain && isPart x && isPart y && not areRows then
            MatrixProduct.Matrices(x.Rank = n + 2 && d.LeftSum[0] = n, y.Rank = n + 2 && d.RightSum[0] = n + 1)
        elif n = 0 && d.LeftSum.Length = 0 && x.Rank = 1 && y.Rank = 1 then
            MatrixProduct.Outer
        else
            MatrixProduct.General

    // ------------------------------------------------------------------------------------------------ algebra

    // Precedences: what binds tighter has the higher one.
    let private logic, comparison, addition, sign, quotient = 2, 3, 4, 5, 6
    let private product, application, power, atom = 7, 8, 9, 10

    let private superscript (n: int) =
        let digit c = if c = '-' then '⁻' else "⁰¹²³⁴⁵⁶⁷⁸⁹"[int c - int '0']
        String.map digit (string n)

    let private infix (b: Binary) =
        match b with
        | Binary.Add -> Some(" + ", addition)
        | Binary.Sub -> Some(" - ", addition)
        | Binary.Rem -> Some(" % ", quotient)
        | Binary.Eq -> Some(" = ", comparison)
        | Binary.Ne -> Some(" ≠ ", comparison)
        | Binary.Lt -> Some(" < ", comparison)
        | Binary.Le -> Some(" ≤ ", comparison)
        | Binary.Gt -> Some(" > ", comparison)
        | Binary.Ge -> Some(" ≥ ", comparison)
        | Binary.And -> Some(" and ", logic)
        | Binary.Or -> Some(" or ", logic)
        | Binary.Mul
        | Binary.Div
        | Binary.Pow
        | Binary.Max
        | Binary.Min
        | Binary.Xor
        | Binary.Shl
        | Binary.Shr -> None

    /// The word before the argument, for functions that are squared as in sin² x.
    let private word (t: Tensor) =
        match t.Op with
        | Op.Unary u ->
            match u with
            | Unary.Log
            | Unary.Log1p
            | Unary.Expm1
            | Unary.Sin
            | Unary.Cos
            | Unary.Atan
            | Unary.Tanh
            | Unary.Erf -> Some(Case.name u)
            | Unary.Neg
            | Unary.Abs
            | Unary.Sign
            | Unary.Exp
            | Unary.Sqrt
            | Unary.Rsqrt
            | Unary.Floor
            | Unary.Ceil
            | Unary.Round
            | Unary.Not -> None
        | Op.Custom c when c.Name = "tan" -> Some c.Name
        | _ -> None

    let private customName (c: Custom) = if c.Name = "sigmoid" then "σ" else c.Name

    /// Precedence and text of a node that stands for itself, given those of its operands.
    let private write (t: Tensor) (operand: Tensor -> struct (int * string)) : struct (int * string) =
        let at context x = let struct (p, s) = operand x in if p < context then "(" + s + ")" else s
        let argument x = let struct (p, s) = operand x in if p < atom then "(" + s + ")" else " " + s
        let call name = struct (atom, name + "(" + String.Join(", ", t.Inputs |> Array.map (at 0)) + ")")
        let apply name = struct (application, name + argument t.Inputs[0])
        let raised (x: Tensor) (exponent: string) =
            match word (seen x), operand x with
            | Some w, struct (p, _) when p = application -> // not one that has a name by itself
                struct (application, w + exponent + argument (seen x).Inputs[0])
            | _ -> struct (power, at atom x + exponent)
        /// The first factor: a sign before it is one before the whole.
        let leading context x =
            let struct (p, s) = operand x
            if p = sign then struct (sign, s)
            elif p < context then struct (product, "(" + s + ")")
            else struct (product, s)
        let isScalar x = (seen x).Rank = 0
        match t.Op with
        | Op.Const c ->
            let s = number c
            let p =
                if s.StartsWith '-' then sign
                elif s.StartsWith '√' then application
                elif s.Contains ' ' then quotient
                elif s.Contains '·' then product
                else atom
            struct (p, s)
        | Op.Unary Unary.Neg -> struct (sign, "-" + at quotient t.Inputs[0])
        | Op.Unary Unary.Abs -> struct (atom, "|" + at 0 t.Inputs[0] + "|")
        | Op.Unary Unary.Sqrt -> struct (application, "√" + at atom t.Inputs[0])
        | Op.Unary Unary.Rsqrt -> struct (quotient, "1 / √" + at atom t.Inputs[0])
        | Op.Unary u -> apply (Case.name u)
        | Op.Binary Binary.Mul when t.Inputs[0] = t.Inputs[1] -> raised t.Inputs[0] "²"
        | Op.Binary Binary.Mul ->
            let struct (p, first) = leading product t.Inputs[0]
            match (seen t.Inputs[1]).Op with
            | Op.Dot _ when isScalar t.Inputs[0] -> struct (min p quotient, first + "·" + at quotient t.Inputs[1])
            | _ -> struct (p, first + "·" + at product t.Inputs[1])
        | Op.Binary Binary.Div ->
            let struct (p, first) = leading quotient t.Inputs[0]
            struct (min p quotient, first + " / " + at application t.Inputs[1])
        | Op.Binary Binary.Pow ->
            match uniform t.Inputs[1] with
            | ValueSome n when n.Float = Math.Round n.Float && abs n.Float < 1000.0 ->
                raised t.Inputs[0] (superscript (int n.Float))
            | _ -> struct (power, at atom t.Inputs[0] + "^" + at atom t.Inputs[1])
        | Op.Binary b ->
            match infix b with
            | Some(symbol, p) -> struct (p, at p t.Inputs[0] + symbol + at (p + 1) t.Inputs[1])
            | None -> call (Case.name b)
        | Op.Dot d ->
            match matrixProduct t d with
            | MatrixProduct.Matrices(left, right) ->
                let side flipped context x = if flipped then at atom x + "ᵀ" else at context x
                struct (quotient, side left quotient t.Inputs[0] + " @ " + side right product t.Inputs[1])
            | MatrixProduct.Outer -> struct (quotient, at quotient t.Inputs[0] + " ⊗ " + at product t.Inputs[1])
            | MatrixProduct.General -> call (name t)
        | Op.Scan s -> // what it captures; carries; what it runs over
            let groups =
                [ t.Inputs[.. s.Captured - 1]
                  t.Inputs[s.Captured .. s.Captured + s.Carried - 1]
                  t.Inputs[s.Captured + s.Carried ..] ]
            let group (xs: Tensor[]) = String.Join(", ", xs |> Array.map (at 0))
            struct (atom, name t + "(" + String.Join("; ", groups |> List.map group) + ")")
        | Op.Movement(Movement.Permute p) when isTransposition p -> struct (atom, at atom t.Inputs[0] + "ᵀ")
        | Op.Custom c when c.Name = "tan" -> apply c.Name
        | Op.Custom c -> call (customName c)
        | _ when t.Inputs.Length = 0 -> struct (atom, name t)
        | _ -> call (name t)

    let rec private render (names: Dictionary<Hash, int>) (isTop: bool) (t: Tensor) : struct (int * string) =
        let t = if isTop then t else seen t
        match names.TryGetValue t.Hash with
        | true, number when not isTop -> struct (atom, "t" + string number)
        | _ -> write (seen t) (render names false)

    /// The expression as text: infix algebra, with every shared subexpression named by a let. Long ones are elided in
    /// the middle. This is the expression as it is; Rewrite.pretty simplifies it for readers.
    let algebra (t: Tensor) =
        let order = Graph.topological [ t ]
        let uses = Dictionary<Hash, int>()
        for n in order do
            if not (isSilent n) then
                for i in n.Inputs do
                    let i = seen i
                    uses[i.Hash] <-
                        1
                        + (match uses.TryGetValue i.Hash with
                           | true, c -> c
                           | _ -> 0)
        let small = order.Length <= 200
        let squared (n: Tensor) = // x·x is one use to a reader
            match n.Op with
            | Op.Binary Binary.Mul when n.Inputs[0] = n.Inputs[1] -> Some (seen n.Inputs[0]).Hash
            | _ -> None
        for n in order do
            match squared n with
            | Some h -> uses[h] <- uses[h] - 1
            | None -> ()
        let root = seen t
        let isNamed (n: Tensor) =
            n.Inputs.Length > 0
            && n <> root
            && not (isSilent n)
            && (match uses.TryGetValue n.Hash with
                | true, c -> not small || c > 1
                | _ -> false)
        let names = Dictionary<Hash, int>()
        let text (n: Tensor) = let struct (_, s) = render names true n in s
        let isShort (n: Tensor) = small && (text n).Length <= 12 // shared, but quicker read than looked up
        let named =
            order
            |> Array.filter (fun n ->
                let isOne = isNamed n && not (isShort n)
                if isOne then names[n.Hash] <- names.Count + 1
                isOne)
        let line (n: Tensor) = $"let t{names[n.Hash]} = {text n}"
        let kept =
            if named.Length <= 60 then
                Array.map line named
            else
                Array.concat
                    [ Array.map line named[..4]
                      [| $"... ({named.Length - 10} more)" |]
                      Array.map line named[named.Length - 5 ..] ]
        String.Join("\n", Array.append kept [| text root |])

    /// How values are computed and expressions simplified: that is compiled later, so it is found by its name, once.
    let private later (what: string) =
        lazy
            ((typeof<Tensor>.Assembly.GetType "Nanograd.Display")
                .GetMethod(
                    what,
                    Reflection.BindingFlags.Static
                    ||| Reflection.BindingFlags.Public
                    ||| Reflection.BindingFlags.NonPublic
                )
                .CreateDelegate<Func<Tensor, string>>())

    let private valueOf, algebraOf = later "Value", later "Algebra"

    /// What F# Interactive, %A and ToString show: a closed expression its value, an open one its simplified algebra.
    let display (t: Tensor) = if Graph.isClosed t then valueOf.Value.Invoke t else algebraOf.Value.Invoke t
