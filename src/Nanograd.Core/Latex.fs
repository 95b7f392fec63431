namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization

/// Expressions as mathematics.
[<RequireQualifiedAccess>]
module Latex =
    let private limit = 200 // nodes; what is longer is elided

    let private escape (name: string) =
        name
            .Replace("\\", "\\backslash ")
            .Replace("_", "\\_")
            .Replace("&", "\\&")
            .Replace("%", "\\%")
            .Replace("#", "\\#")

    let private greek =
        [ "alpha", "α"
          "beta", "β"
          "gamma", "γ"
          "delta", "δ"
          "epsilon", "ε"
          "eta", "η"
          "theta", "θ"
          "lambda", "λ"
          "mu", "μ"
          "nu", "ν"
          "pi", "π"
          "rho", "ρ"
          "sigma", "σ"
          "tau", "τ"
          "phi", "φ"
          "omega", "ω" ]

    /// One letter as it is, Greek letters by name, trailing digits as an index, other words upright.
    let private variable (name: string) =
        let stem = name.TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
        let index = name.Substring stem.Length
        let letter =
            match List.tryFind (fun (word, symbol) -> word = stem || symbol = stem) greek with
            | Some(word, _) -> "\\" + word
            | None -> if stem.Length = 1 then escape stem else $"\\mathrm{{{escape stem}}}"
        if index = "" then letter else letter + "_{" + index + "}"

    let private digits (c: Constant) =
        let text =
            if c.DType = DType.Bool then (if c.Int = 0L then "\\text{false}" else "\\text{true}")
            elif c.DType = DType.F32 then (float32 c.Float).ToString("R", CultureInfo.InvariantCulture)
            elif DType.isFloat c.DType then c.Float.ToString("R", CultureInfo.InvariantCulture)
            else string c.Int
        match text with
        | "NaN" -> "\\mathrm{nan}"
        | "Infinity" -> "\\infty"
        | "-Infinity" -> "-\\infty"
        | _ ->
            match text.IndexOf 'E' with
            | -1 -> text
            | e -> text.Substring(0, e) + " \\cdot 10^{" + text.Substring(e + 1).TrimStart('+') + "}"

    let private number (c: Constant) =
        match Print.tryNamed c with
        | Some(_, _, latex, _) -> latex
        | None -> digits c

    // Precedences: what binds tighter has the higher one.
    let private comparison, addition, sign, matrix = 1, 2, 3, 4
    let private product, application, power, atom = 5, 6, 7, 8

    let private wrap context precedence (s: string) = if precedence < context then "\\left(" + s + "\\right)" else s

    let private axesBelow (axes: int[]) = String.Join(",", axes)

    /// The name of a function that stands before its argument and takes an exponent: \sin^{2} x.
    let private word (t: Tensor) =
        match t.Op with
        | Op.Unary u ->
            match u with
            | Unary.Log -> Some "\\log"
            | Unary.Sin -> Some "\\sin"
            | Unary.Cos -> Some "\\cos"
            | Unary.Tanh -> Some "\\tanh"
            | Unary.Atan -> Some "\\arctan"
            | Unary.Log1p -> Some "\\operatorname{log1p}"
            | Unary.Expm1 -> Some "\\operatorname{expm1}"
            | Unary.Erf -> Some "\\operatorname{erf}"
            | Unary.Sign -> Some "\\operatorname{sgn}"
            | Unary.Round -> Some "\\operatorname{round}"
            | Unary.Neg
            | Unary.Abs
            | Unary.Exp
            | Unary.Sqrt
            | Unary.Rsqrt
            | Unary.Floor
            | Unary.Ceil
            | Unary.Not -> None
        | Op.Custom c when c.Name = "tan" -> Some "\\tan"
        | _ -> None

    /// How a primitive is written: its precedence and its text, given its operands at the precedences that they need.
    /// -1: as its first operand.
    let private write (t: Tensor) (operand: int -> int -> string) (isScalar: int -> bool) : struct (int * string) =
        let at s = struct (atom, s)
        let arguments () = "\\left(" + String.Join(", ", t.Inputs |> Array.mapi (fun i _ -> operand i 0)) + "\\right)"
        let call (name: string) = at (name + arguments ())
        let named (name: string) = call ("\\operatorname{" + escape name + "}")
        let infix p symbol right = struct (p, operand 0 p + symbol + operand 1 right)
        let silent = struct (-1, "")
        let argument (s: string) = if s.StartsWith "\\left(" then s else " " + s
        let raised (exponent: string) =
            let x = Print.seen t.Inputs[0]
            match word x with
            | Some w when (operand 0 0).StartsWith w -> // not one that has a name by itself
                struct (application, w + "^{" + exponent + "}" + (operand 0 0).Substring w.Length)
            | _ -> struct (power, operand 0 atom + "^{" + exponent + "}")
        match t.Op with
        | Op.Literal s -> at (if isNull s then "\\mathrm{literal}" else $"L_{{{s.Id}}}")
        | Op.Input(id, name) -> at (if name = "" then $"x_{{{id}}}" else variable name)
        | Op.Parameter i -> at $"p_{{{i}}}"
        | Op.Const c ->
            let s = number c
            struct ((if s.StartsWith '-' then sign
                     elif s.Contains ' ' then product
                     else atom),
                    s)
        | Op.Iota axis -> at $"i_{{{axis}}}"
        | Op.Unary u ->
            match u with
            | Unary.Neg -> struct (sign, "-" + operand 0 matrix)
            | Unary.Abs -> at ("\\left|" + operand 0 0 + "\\right|")
            | Unary.Exp -> struct (power, "e^{" + operand 0 0 + "}")
            | Unary.Sqrt -> at ("\\sqrt{" + operand 0 0 + "}")
            | Unary.Rsqrt -> struct (power, "\\frac{1}{\\sqrt{" + operand 0 0 + "}}")
            | Unary.Floor -> at ("\\lfloor " + operand 0 0 + " \\rfloor")
            | Unary.Ceil -> at ("\\lceil " + operand 0 0 + " \\rceil")
            | Unary.Not -> struct (sign, "\\lnot " + operand 0 sign)
            | Unary.Log
            | Unary.Sin
            | Unary.Cos
            | Unary.Tanh
            | Unary.Atan
            | Unary.Sign
            | Unary.Log1p
            | Unary.Expm1
            | Unary.Erf
            | Unary.Round -> struct (application, (word t).Value + argument (operand 0 atom))
        | Op.Binary b ->
            match b with
            | Binary.Add -> infix addition " + " sign
            | Binary.Sub -> infix addition " - " sign
            | Binary.Mul when t.Inputs[0] = t.Inputs[1] -> raised "2"
            | Binary.Mul ->
                let first, b = operand 0 sign, operand 1 (if isScalar 0 then matrix else product)
                let dot =
                    if not (isScalar 0 || isScalar 1) then " \\odot " // element by element
                    elif b.Length > 0 && Char.IsDigit b[0] then " \\cdot "
                    else " \\, "
                // A sign before the first factor is one before the whole.
                if first.StartsWith '-' then
                    struct (sign, first + dot + b)
                else
                    struct (product, operand 0 product + dot + b)
            | Binary.Div -> struct (power, "\\frac{" + operand 0 0 + "}{" + operand 1 0 + "}")
            | Binary.Pow -> raised (operand 1 0)
            | Binary.Max -> call "\\max"
            | Binary.Min -> call "\\min"
            | Binary.Rem -> infix addition " \\bmod " sign
            | Binary.Eq -> infix comparison " = " addition
            | Binary.Ne -> infix comparison " \\neq " addition
            | Binary.Lt -> infix comparison " < " addition
            | Binary.Le -> infix comparison " \\leq " addition
            | Binary.Gt -> infix comparison " > " addition
            | Binary.Ge -> infix comparison " \\geq " addition
            | Binary.And -> infix comparison " \\land " addition
            | Binary.Or -> infix comparison " \\lor " addition
            | Binary.Xor -> infix comparison " \\oplus " addition
            | Binary.Shl -> infix addition " \\ll " sign
            | Binary.Shr -> infix addition " \\gg " sign
        | Op.Select ->
            at (
                "\\begin{cases} "
                + operand 1 0
                + " & "
                + operand 0 0
                + " \\\\ "
                + operand 2 0
                + " & \\text{otherwise} \\end{cases}"
            )
        | Op.Cast when DType.isFloat t.DType && t.Inputs[0].DType = DType.Bool ->
            at ("\\mathbf{1}\\left[" + operand 0 0 + "\\right]")
        | Op.Cast -> silent
        | Op.Movement m ->
            match m with
            | Movement.Reshape
            | Movement.Broadcast -> silent // what a reader of mathematics takes for granted
            | Movement.Permute p when Print.isTransposition p -> struct (power, operand 0 atom + "^{\\top}")
            | Movement.Permute _ -> named "permute"
            | Movement.Slice _ -> named "slice"
            | Movement.Pad _ -> named "pad"
            | Movement.Reverse _ -> named "reverse"
            | Movement.Concat _ -> named "concat"
            | Movement.Unfold _ -> named "unfold"
            | Movement.Fold _ -> named "fold"
        | Op.Reduce(r, axes) ->
            let below = if t.Rank = 0 then "" else "_{" + axesBelow axes + "}"
            match r with
            | Reduction.Sum -> struct (addition, "\\sum" + below + " " + operand 0 matrix)
            | Reduction.Prod -> struct (addition, "\\prod" + below + " " + operand 0 matrix)
            | Reduction.Max -> call ("\\max" + below)
            | Reduction.Min -> call ("\\min" + below)
        | Op.ArgReduce(largest, axis) -> call ((if largest then "\\arg\\max" else "\\arg\\min") + $"_{{{axis}}}")
        | Op.Dot d ->
            let x, n = t.Inputs[0], d.LeftBatch.Length
            match Print.matrixProduct t d with
            | Print.MatrixProduct.Matrices(left, right) ->
                // A vector on the left is a row.
                let isRow = x.Rank = n + 1
                let first = if left || isRow then operand 0 atom + "^{\\top}" else operand 0 matrix
                let second = if right then operand 1 atom + "^{\\top}" else operand 1 product
                struct (matrix, first + " \\, " + second)
            | Print.MatrixProduct.Outer -> struct (matrix, operand 0 product + " \\, " + operand 1 atom + "^{\\top}")
            | Print.MatrixProduct.General ->
                call $"\\operatorname{{dot}}_{{{axesBelow d.LeftSum};{axesBelow d.RightSum}}}"
        | Op.Conv _ -> infix addition " \\ast " sign
        | Op.Custom c ->
            (match c.Name with
             | "sigmoid" -> call "\\sigma"
             | "mean" -> at ("\\overline{" + operand 0 0 + "}")
             | "tan" -> struct (application, "\\tan" + argument (operand 0 atom))
             | name -> named (name.Split('[').[0]))
        | Op.Item i ->
            if (Op.results t.Inputs[0]).Length = 1 then silent else struct (power, operand 0 atom + $"_{{{i}}}")
        | Op.RandomBits -> named "randomBits"
        | Op.BitCast -> named "bits"
        | Op.CumSum _ -> named "cumSum"
        | Op.Indexing i -> named (Case.name i)
        | Op.Sort _ -> named "sort"
        | Op.TopK k -> named $"top{k}"
        | Op.Scan _ -> named "scan"
        | Op.Checkpoint _ -> named "checkpoint"

    /// The expression in LaTeX (without dollar signs): fractions, roots, sums, products of matrices. Big shared
    /// subexpressions are named below it; expressions of more than 200 nodes are elided.
    let render (t: Tensor) : string =
        let order = Graph.topological [ t ]
        let uses = Dictionary<Hash, int>()
        for n in order do
            for i in n.Inputs do
                uses[i.Hash] <-
                    1
                    + (match uses.TryGetValue i.Hash with
                       | true, c -> c
                       | _ -> 0)
        let shown = if order.Length <= limit then order else order[order.Length - limit ..]
        let texts = Dictionary<Hash, struct (int * string)>()
        let definitions = List<string>()
        let scalars = HashSet<Hash>() // what is the same in all elements
        let isUniform (n: Tensor) =
            match n.Op with
            | Op.Unary _
            | Op.Binary _
            | Op.Movement(Movement.Broadcast | Movement.Reshape) ->
                n.Inputs |> Array.forall (fun i -> scalars.Contains i.Hash)
            | _ -> n.Count = 1
        for n in shown do
            let text (i: int) =
                match texts.TryGetValue n.Inputs[i].Hash with
                | true, s -> s
                | _ -> struct (atom, "\\cdots")
            let operand i context = let struct (p, s) = text i in wrap context p s
            let struct (p, s) =
                let isScalar i = scalars.Contains n.Inputs[i].Hash
                if isUniform n then scalars.Add n.Hash |> ignore
                match write n operand isScalar with
                | struct (-1, _) -> text 0
                | written -> written
            let isShared =
                match uses.TryGetValue n.Hash with
                | true, c -> c > 1
                | _ -> false
            let isRead = n.Inputs.Length > 0 && n <> t
            if isRead && (s.Length > 400 || (isShared && s.Length > 40)) then
                let name = $"t_{{{definitions.Count + 1}}}"
                definitions.Add(name + " = " + s)
                texts[n.Hash] <- struct (atom, name)
            else
                texts[n.Hash] <- struct (p, s)
        let struct (_, whole) = texts[t.Hash]
        if definitions.Count = 0 then
            whole
        else
            let lines =
                if definitions.Count <= 30 then
                    Seq.toList definitions
                else
                    [ yield! Seq.take 15 definitions; "\\vdots"; yield! Seq.skip (definitions.Count - 15) definitions ]
            "\\begin{aligned} & "
            + whole
            + " \\\\ \\text{where } & "
            + String.Join(" \\\\ & ", lines)
            + " \\end{aligned}"
