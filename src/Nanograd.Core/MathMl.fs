namespace Nanograd

open System
open System.Collections.Generic
open System.Text

/// LaTeX, as Latex.render writes it, to MathML, which browsers show without scripts. Latex.fs stays the one table of how primitives
/// are written; a command that is not known here shows as its name.
[<RequireQualifiedAccess>]
module MathMl =
    /// Commands that are one sign.
    let private signs =
        dict
            [ "cdot", "⋅"
              "times", "×"
              "ast", "∗"
              "odot", "⊙"
              "circ", "∘"
              "pm", "±"
              "infty", "∞"
              "partial", "∂"
              "nabla", "∇"
              "leq", "≤"
              "geq", "≥"
              "neq", "≠"
              "approx", "≈"
              "sim", "∼"
              "in", "∈"
              "to", "→"
              "mapsto", "↦"
              "ll", "≪"
              "gg", "≫"
              "land", "∧"
              "lor", "∨"
              "lnot", "¬"
              "neg", "¬"
              "oplus", "⊕"
              "otimes", "⊗"
              "top", "⊤"
              "prime", "′"
              "cdots", "⋯"
              "ldots", "…"
              "dots", "…"
              "vdots", "⋮"
              "mid", "|"
              "lfloor", "⌊"
              "rfloor", "⌋"
              "lceil", "⌈"
              "rceil", "⌉"
              "lvert", "|"
              "rvert", "|"
              "lVert", "‖"
              "rVert", "‖"
              "langle", "⟨"
              "rangle", "⟩"
              "backslash", "\\"
              "bmod", "mod"
              "sum", "∑"
              "prod", "∏"
              "int", "∫" ]

    let private letters =
        dict
            [ "alpha", "α"
              "beta", "β"
              "gamma", "γ"
              "delta", "δ"
              "epsilon", "ϵ"
              "varepsilon", "ε"
              "zeta", "ζ"
              "eta", "η"
              "theta", "θ"
              "iota", "ι"
              "kappa", "κ"
              "lambda", "λ"
              "mu", "μ"
              "nu", "ν"
              "xi", "ξ"
              "pi", "π"
              "rho", "ρ"
              "sigma", "σ"
              "tau", "τ"
              "upsilon", "υ"
              "phi", "ϕ"
              "varphi", "φ"
              "chi", "χ"
              "psi", "ψ"
              "omega", "ω"
              "Gamma", "Γ"
              "Delta", "Δ"
              "Theta", "Θ"
              "Lambda", "Λ"
              "Sigma", "Σ"
              "Phi", "Φ"
              "Psi", "Ψ"
              "Omega", "Ω"
              "ell", "ℓ" ]

    /// What takes its index below it.
    let private isLarge name = List.contains name [ "sum"; "prod"; "max"; "min"; "lim"; "sup"; "inf" ]

    let private escape (s: string) = s.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;")

    let private tag (name: string) (inside: string) = $"<{name}>{inside}</{name}>"

    [<Sealed>]
    type private Reader(latex: string) =
        let mutable at = 0

        let isEnd () = at >= latex.Length
        let looking (s: string) = String.CompareOrdinal(latex, at, s, 0, s.Length) = 0

        let command () = // at is on the backslash
            let start = at + 1
            let mutable stop = start
            while stop < latex.Length && Char.IsLetter latex[stop] do
                stop <- stop + 1
            if stop = start then stop <- min latex.Length (start + 1)
            at <- stop
            latex.Substring(start, stop - start)

        /// What stands in braces, as it is.
        let raw () =
            if isEnd () || latex[at] <> '{' then
                ""
            else
                let start = at + 1
                let mutable depth, i = 1, start
                while depth > 0 && i < latex.Length do
                    (match latex[i] with
                     | '\\' -> i <- i + 1
                     | '{' -> depth <- depth + 1
                     | '}' -> depth <- depth - 1
                     | _ -> ())
                    i <- i + 1
                at <- min i latex.Length
                latex.Substring(start, max 0 (i - 1 - start))

        let plain (text: string) =
            text
                .Replace("\\backslash ", "\\")
                .Replace("\\_", "_")
                .Replace("\\&", "&")
                .Replace("\\%", "%")
                .Replace("\\#", "#")

        /// A delimiter after \left or \right.
        let delimiter () =
            if isEnd () then
                ""
            elif latex[at] = '\\' then
                let name = command ()
                match signs.TryGetValue name with
                | true, s -> s
                | _ -> name
            else
                at <- at + 1
                if latex[at - 1] = '.' then "" else string latex[at - 1]

        /// Everything up to one of the marks that end a group; the mark is left.
        member r.Sequence() : string =
            let out = StringBuilder()
            let rec next () =
                if
                    not (isEnd ())
                    && not (looking "}" || looking "\\right" || looking "&" || looking "\\\\" || looking "\\end")
                then
                    out.Append(r.Item()) |> ignore
                    next ()
            next ()
            tag "mrow" (out.ToString())

        /// A group in braces, or one item.
        member r.Group() : string =
            while looking " " do
                at <- at + 1
            if looking "{" then
                at <- at + 1
                let inside = r.Sequence()
                if looking "}" then at <- at + 1
                inside
            elif isEnd () then
                ""
            else
                let struct (a, _) = r.Atom()
                a

        /// An atom with its index and exponent.
        member r.Item() : string =
            let struct (``base``, large) = r.Atom()
            let mutable below, above = "", ""
            while looking "_" || looking "^" do
                let isBelow = looking "_"
                at <- at + 1
                if isBelow then below <- r.Group() else above <- r.Group()
            match below, above with
            | "", "" -> ``base``
            | b, "" -> tag (if large then "munder" else "msub") (``base`` + b)
            | "", a -> tag (if large then "mover" else "msup") (``base`` + a)
            | b, a -> tag (if large then "munderover" else "msubsup") (``base`` + b + a)

        member private r.Rows(isCases: bool) : string =
            let rows = StringBuilder()
            let mutable isDone = false
            while not isDone do
                let cells = List<string>()
                cells.Add(r.Sequence())
                while looking "&" do
                    at <- at + 1
                    cells.Add(r.Sequence())
                let row = String.Join("", cells |> Seq.map (fun c -> $"<mtd style=\"text-align:left\">{c}</mtd>"))
                rows.Append(tag "mtr" row) |> ignore
                if looking "\\\\" then at <- at + 2 else isDone <- true
            if looking "\\end" then
                command () |> ignore
                raw () |> ignore
            let table = $"<mtable>{rows}</mtable>"
            if isCases then tag "mrow" ("<mo>{</mo>" + table) else table

        member r.Atom() : struct (string * bool) =
            let c = latex[at]
            let small s = struct (s, false)
            if c = '{' then
                small (r.Group())
            elif Char.IsWhiteSpace c then
                at <- at + 1
                small ""
            elif Char.IsDigit c then
                let start = at
                while not (isEnd ()) && (Char.IsDigit latex[at] || latex[at] = '.') do
                    at <- at + 1
                small (tag "mn" (latex.Substring(start, at - start)))
            elif Char.IsLetter c then
                at <- at + 1
                small (tag "mi" (string c))
            elif c <> '\\' then
                at <- at + 1
                small (
                    tag
                        "mo"
                        (if c = '-' then "−"
                         elif c = '}' then ""
                         else escape (string c))
                )
            else
                match command () with
                | "frac" ->
                    let above = r.Group()
                    small (tag "mfrac" (above + r.Group()))
                | "sqrt" -> small (tag "msqrt" (r.Group()))
                | "overline" -> small (tag "mover" (r.Group() + "<mo>¯</mo>"))
                | "left" ->
                    let opening = delimiter ()
                    let inside = r.Sequence()
                    if looking "\\right" then command () |> ignore
                    let closing = delimiter ()
                    let fence s = if s = "" then "" else $"<mo stretchy=\"true\">{escape s}</mo>"
                    small (tag "mrow" (fence opening + inside + fence closing))
                | "right" ->
                    delimiter () |> ignore
                    small ""
                | "begin" ->
                    let kind = raw ()
                    small (r.Rows((kind = "cases")))
                | "end" ->
                    raw () |> ignore
                    small ""
                | "operatorname"
                | "mathrm" ->
                    let name = plain (raw ())
                    struct ($"<mi mathvariant=\"normal\">{escape name}</mi>", isLarge name)
                | "text" -> small (tag "mtext" (escape (plain (raw ()))))
                | "mathbf"
                | "boldsymbol" -> small ($"<mi mathvariant=\"bold\">{escape (plain (raw ()))}</mi>")
                | ","
                | ";"
                | ":"
                | " "
                | "quad" -> small "<mspace width=\"0.2em\"/>"
                | "!" -> small ""
                | "_"
                | "&"
                | "%"
                | "#"
                | "{"
                | "}" -> small (tag "mo" (escape (string latex[at - 1])))
                | name ->
                    match letters.TryGetValue name with
                    | true, s -> small (tag "mi" s)
                    | _ ->
                        match signs.TryGetValue name with
                        | true, s -> struct (tag "mo" (escape s), isLarge name)
                        | _ -> struct ($"<mi mathvariant=\"normal\">{escape name}</mi>", isLarge name)

        member r.All() : string =
            let out = StringBuilder()
            while not (isEnd ()) do
                let before = at
                out.Append(r.Sequence()) |> ignore
                if at = before then at <- at + 1 // a mark without its beginning
            out.ToString()

    /// LaTeX (without dollar signs) as a MathML element.
    let ofLatex (latex: string) : string =
        $"<math xmlns=\"http://www.w3.org/1998/Math/MathML\" display=\"block\">{Reader(latex).All()}</math>"

    /// An expression as a MathML element.
    let render (t: Tensor) : string = ofLatex (Latex.render t)
