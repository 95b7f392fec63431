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

    /// One letter as it is, Greek letters by name, trailing digits as an index, other words upright.
    let private variable (name: string) =
        let greek =
            [ "alpha"
              "beta"
              "gamma"
              "delta"
              "epsilon"
              "eta"
              "theta"
              "lambda"
              "mu"
              "nu"
              "pi"
              "rho"
              "sigma"
              "tau"
              "phi"
              "omega" ]
        let stem = name.TrimEnd('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
        let index = name.Substring stem.Length
        let letter =
            if stem.Length = 1 then stem
            elif List.contains stem greek then "\\" + stem
            else $"\\mathrm{{{escape stem}}}"
        if index = "" then letter else letter + "_{" + index + "}"

    let private number (c: Constant) =
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

    // Precedences: 1 comparison, 2 sum, 3 product, 4 prefix, 5 power, 6 atom.
    let private wrap context precedence (s: string) = if precedence < context then "\\left(" + s + "\\right)" else s

    let private axesBelow (axes: int[]) = String.Join(",", axes)

    let private swapsLast (p: int[]) =
        let n = p.Length
        n >= 2 && p = Array.append [| 0 .. n - 3 |] [| n - 1; n - 2 |]

    /// How a primitive is written: its precedence and its text, given its operands at the precedences that they need.
    let private write (t: Tensor) (operand: int -> int -> string) : struct (int * string) =
        let atom s = struct (6, s)
        let call (name: string) =
            atom (name + "\\left(" + String.Join(", ", t.Inputs |> Array.mapi (fun i _ -> operand i 0)) + "\\right)")
        let named (name: string) = call ("\\operatorname{" + escape name + "}")
        let infix p symbol right = struct (p, operand 0 p + symbol + operand 1 right)
        match t.Op with
        | Op.Literal s -> atom (if isNull s then "\\mathrm{literal}" else $"L_{{{s.Id}}}")
        | Op.Input(id, name) -> atom (if name = "" then $"x_{{{id}}}" else variable name)
        | Op.Parameter i -> atom $"p_{{{i}}}"
        | Op.Const c ->
            (let s = number c in
             if s.StartsWith '-' then struct (4, s)
             elif s.Contains ' ' then struct (3, s)
             else atom s)
        | Op.Iota axis -> atom $"i_{{{axis}}}"
        | Op.Unary u ->
            match u with
            | Unary.Neg -> struct (4, "-" + operand 0 4)
            | Unary.Abs -> atom ("\\left|" + operand 0 0 + "\\right|")
            | Unary.Exp -> struct (5, "e^{" + operand 0 0 + "}")
            | Unary.Sqrt -> atom ("\\sqrt{" + operand 0 0 + "}")
            | Unary.Rsqrt -> struct (5, "\\frac{1}{\\sqrt{" + operand 0 0 + "}}")
            | Unary.Floor -> atom ("\\lfloor " + operand 0 0 + " \\rfloor")
            | Unary.Ceil -> atom ("\\lceil " + operand 0 0 + " \\rceil")
            | Unary.Not -> struct (4, "\\lnot " + operand 0 4)
            | Unary.Log
            | Unary.Sin
            | Unary.Cos
            | Unary.Tanh -> call ("\\" + (string u).ToLowerInvariant())
            | Unary.Atan -> call "\\arctan"
            | Unary.Sign -> named "sgn"
            | Unary.Log1p
            | Unary.Expm1
            | Unary.Erf
            | Unary.Round -> named ((string u).ToLowerInvariant())
        | Op.Binary b ->
            match b with
            | Binary.Add -> infix 2 " + " 2
            | Binary.Sub -> infix 2 " - " 3
            | Binary.Mul when t.Inputs[0] = t.Inputs[1] -> struct (5, operand 0 6 + "^{2}")
            | Binary.Mul ->
                let a, b = operand 0 3, operand 1 3 // products are associative to a reader
                struct (3, a + (if b.Length > 0 && Char.IsDigit b[0] then " \\cdot " else " \\, ") + b)
            | Binary.Div -> struct (5, "\\frac{" + operand 0 0 + "}{" + operand 1 0 + "}")
            | Binary.Pow -> struct (5, operand 0 6 + "^{" + operand 1 0 + "}")
            | Binary.Max -> call "\\max"
            | Binary.Min -> call "\\min"
            | Binary.Rem -> infix 2 " \\bmod " 3
            | Binary.Eq -> infix 1 " = " 2
            | Binary.Ne -> infix 1 " \\neq " 2
            | Binary.Lt -> infix 1 " < " 2
            | Binary.Le -> infix 1 " \\leq " 2
            | Binary.Gt -> infix 1 " > " 2
            | Binary.Ge -> infix 1 " \\geq " 2
            | Binary.And -> infix 1 " \\land " 2
            | Binary.Or -> infix 1 " \\lor " 2
            | Binary.Xor -> infix 1 " \\oplus " 2
            | Binary.Shl -> infix 2 " \\ll " 3
            | Binary.Shr -> infix 2 " \\gg " 3
        | Op.Select ->
            atom (
                "\\begin{cases} "
                + operand 1 0
                + " & "
                + operand 0 0
                + " \\\\ "
                + operand 2 0
                + " & \\text{otherwise} \\end{cases}"
            )
        | Op.Cast
        | Op.Movement Movement.Reshape
        | Op.Movement Movement.Broadcast -> // what a reader of mathematics takes for granted
            if DType.isFloat t.DType && t.Inputs[0].DType = DType.Bool then
                atom ("\\mathbf{1}\\left[" + operand 0 0 + "\\right]")
            else
                struct (-1, "")
        | Op.Movement(Movement.Permute p) when swapsLast p -> struct (5, operand 0 6 + "^{\\top}")
        | Op.Reduce(r, axes) ->
            let below = if t.Rank = 0 then "" else "_{" + axesBelow axes + "}"
            match r with
            | Reduction.Sum -> struct (2, "\\sum" + below + " " + operand 0 3)
            | Reduction.Prod -> struct (2, "\\prod" + below + " " + operand 0 3)
            | Reduction.Max -> call ("\\max" + below)
            | Reduction.Min -> call ("\\min" + below)
        | Op.ArgReduce(largest, axis) -> call ((if largest then "\\arg\\max" else "\\arg\\min") + $"_{{{axis}}}")
        | Op.Dot d ->
            let x, y, n = t.Inputs[0], t.Inputs[1], d.LeftBatch.Length
            let leading = Array.init n id
            let plain = d.LeftBatch = leading && d.RightBatch = leading && d.LeftSum.Length = 1
            let sum axes = if Array.isEmpty axes then -1 else axes[0]
            if plain && x.Rank = n + 2 && y.Rank = n + 2 then // a matrix is transposed where its other axis is summed
                let left = if sum d.LeftSum = n + 1 then operand 0 3 else operand 0 6 + "^{\\top}"
                let right = if sum d.RightSum = n then operand 1 3 else operand 1 6 + "^{\\top}"
                struct (3, left + " \\, " + right)
            elif plain && sum d.LeftSum = x.Rank - 1 && sum d.RightSum = n then
                struct (3, operand 0 3 + " \\, " + operand 1 3)
            else
                call $"\\operatorname{{dot}}_{{{axesBelow d.LeftSum};{axesBelow d.RightSum}}}"
        | Op.Conv _ -> infix 2 " \\ast " 3
        | Op.Custom c ->
            (match c.Name with
             | "sigmoid" -> call "\\sigma"
             | name -> named name)
        | Op.Item i ->
            if (Op.results t.Inputs[0]).Length = 1 then struct (-1, "") else struct (5, operand 0 6 + $"_{{{i}}}")
        | Op.RandomBits
        | Op.BitCast
        | Op.Movement _
        | Op.CumSum _
        | Op.Indexing _
        | Op.Sort _
        | Op.TopK _
        | Op.Scan _
        | Op.Checkpoint _ ->
            let name = Print.name t
            named (name.Split('[', '(').[0])

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
        for n in shown do
            let text (i: int) =
                match texts.TryGetValue n.Inputs[i].Hash with
                | true, s -> s
                | _ -> struct (6, "\\cdots")
            let operand i context = let struct (p, s) = text i in wrap context p s
            let struct (p, s) =
                match write n operand with
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
                texts[n.Hash] <- struct (6, name)
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
