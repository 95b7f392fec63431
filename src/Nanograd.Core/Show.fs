namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text

/// What a box in a picture stands for; its colour.
[<RequireQualifiedAccess>]
type internal BoxClass =
    | Leaf
    | Elementwise
    | Movement
    | Reduction
    | Contraction
    | Indexing
    | Structure
    | Kernel
    | Buffer
    | Elided

/// One box of a picture: lines of text, the first its title.
[<NoComparison>]
type internal Box = { Lines: string list; Class: BoxClass; IsResult: bool }

/// A picture before it is drawn: boxes, and edges from lower to higher numbers.
[<NoComparison>]
type internal Picture = { Boxes: Box[]; Edges: struct (int * int)[] }

[<RequireQualifiedAccess>]
module internal Picture =
    /// Fill and border of a class.
    let colours (c: BoxClass) =
        match c with
        | BoxClass.Leaf -> struct ("#e8f1e4", "#6a9a5b")
        | BoxClass.Elementwise -> struct ("#e6eefb", "#5b82c0")
        | BoxClass.Movement -> struct ("#f1f1f1", "#8c8c8c")
        | BoxClass.Reduction -> struct ("#fdf0dc", "#cc8a2e")
        | BoxClass.Contraction -> struct ("#fbe4e4", "#c0605b")
        | BoxClass.Indexing -> struct ("#eee6fa", "#8663bd")
        | BoxClass.Structure -> struct ("#e2f4f3", "#3f9a94")
        | BoxClass.Kernel -> struct ("#fbfbfd", "#4a5568")
        | BoxClass.Buffer -> struct ("#f1f1f1", "#8c8c8c")
        | BoxClass.Elided -> struct ("#ffffff", "#b0b0b0")

    let private classOf (t: Tensor) =
        match t.Op with
        | Op.Literal _
        | Op.Input _
        | Op.Parameter _
        | Op.Const _
        | Op.Iota _ -> BoxClass.Leaf
        | Op.RandomBits
        | Op.Unary _
        | Op.Binary _
        | Op.Select
        | Op.Cast
        | Op.BitCast -> BoxClass.Elementwise
        | Op.Movement _ -> BoxClass.Movement
        | Op.Reduce _
        | Op.ArgReduce _
        | Op.CumSum _ -> BoxClass.Reduction
        | Op.Dot _
        | Op.Conv _ -> BoxClass.Contraction
        | Op.Indexing _
        | Op.Sort _
        | Op.TopK _ -> BoxClass.Indexing
        | Op.Scan _
        | Op.Custom _
        | Op.Checkpoint _
        | Op.Item _ -> BoxClass.Structure

    let private isConstant (t: Tensor) =
        match t.Op with
        | Op.Const _ -> true
        | _ -> false

    /// What a picture does not draw as a box: broadcasts, unit axes, and the one result of a call stand for their operands.
    let rec private drawn (t: Tensor) : Tensor =
        let isUnit () = Array.filter ((<>) 1) t.Shape = Array.filter ((<>) 1) t.Inputs[0].Shape
        match t.Op with
        | Op.Movement Movement.Broadcast -> drawn t.Inputs[0]
        | Op.Movement Movement.Reshape when isUnit () -> drawn t.Inputs[0]
        | Op.Item 0 when (Op.results t.Inputs[0]).Length = 1 -> drawn t.Inputs[0]
        | _ -> t

    let private clip (s: string) = if s.Length <= 40 then s else s.Substring(0, 37) + "..."

    /// The node as algebra, a square for each operand that has a box of its own.
    let private title (t: Tensor) =
        match t.Op with
        | Op.Literal s when t.Count = 1 && not (isNull s) -> Print.digits (Buffers.read s 0)
        | Op.Literal _ -> "value"
        | _ when t.Inputs.Length = 0 -> Print.name t
        | _ ->
            let operand (x: Tensor) = if isConstant (drawn x) then x else Op.input "□" x.DType x.Shape
            let text = Print.algebra (Tensor(t.Op, Array.map operand t.Inputs, t.DType, t.Shape))
            if text.Contains '\n' then Print.name t else text

    let private kind (t: Tensor) =
        match t.Op with
        | _ when Calls.isCall t -> String.Join(", ", Op.results t |> Array.map (fun (d, s) -> string d + Shape.show s))
        | _ -> Shape.describe t

    /// The graph of expressions; constants stand in the boxes of their users. Of more than `limit` nodes, those nearest the results.
    let ofExpressions (limit: int) (named: (string * Tensor)[]) : Picture =
        let roots = named |> Array.map (fun (_, t) -> drawn t)
        let all =
            Graph.topological roots
            |> Array.map drawn
            |> Array.distinct
            |> Array.filter (fun t -> not (isConstant t) || Array.contains t roots)
        let kept = if all.Length <= limit then all else all[all.Length - limit ..]
        let number = Dictionary<Hash, int>()
        let first = if kept.Length < all.Length then 1 else 0
        kept |> Array.iteri (fun i t -> number[t.Hash] <- i + first)
        let pathOf (t: Tensor) =
            Array.zip named roots
            |> Array.filter (fun (_, r) -> r = t)
            |> Array.map (fun ((path, _), _) -> path)
            |> Array.filter ((<>) "")
        let box (t: Tensor) =
            let paths = pathOf t
            { Lines = [ clip (title t); kind t; if paths.Length > 0 then clip ("= " + String.Join(", ", paths)) ]
              Class = classOf t
              IsResult = Array.contains t roots }
        let elided =
            { Lines = [ $"... {all.Length - kept.Length} more" ]
              Class = BoxClass.Elided
              IsResult = false }
        let edges =
            [| for t in kept do
                   for x in t.Inputs |> Array.map drawn |> Array.filter (isConstant >> not) do
                       match number.TryGetValue x.Hash with
                       | true, i -> struct (i, number[t.Hash])
                       | _ -> struct (0, number[t.Hash]) |]
        { Boxes = Array.append (if first = 1 then [| elided |] else [||]) (Array.map box kept)
          Edges = Array.distinct edges }

    /// The fused program: kernels with their code, buffers between them. Of more than `limit` kernels, the first ones.
    let ofProgram (limit: int) (p: ProgramReport) : Picture =
        let kernels = Array.truncate limit p.Kernels
        let boxes, edges = List<Box>(), List<struct (int * int)>()
        let place = Dictionary<string, int>()
        let buffer (name: string) =
            match place.TryGetValue name with
            | true, i -> i
            | _ ->
                let b = p.Buffers |> Array.find (fun b -> b.Name = name)
                boxes.Add
                    { Lines = [ name; $"{b.Kind}, {Columns.bytes b.Bytes}" ]
                      Class = (if b.Role = "temporary" then BoxClass.Buffer else BoxClass.Leaf)
                      IsResult = (b.Role = "result") }
                place[name] <- boxes.Count - 1
                boxes.Count - 1
        for k in kernels do
            let sources = k.Reads |> List.map buffer
            let time =
                if Double.IsNaN k.Milliseconds then
                    ""
                else
                    ", " + k.Milliseconds.ToString("0.0000", CultureInfo.InvariantCulture) + " ms"
            let code =
                k.Code.TrimEnd().Split '\n'
                |> Array.filter (fun l -> not (l.TrimStart().StartsWith '#'))
                |> List.ofArray
            let shorten (l: string) =
                let l =
                    match l.IndexOf "    #" with
                    | -1 -> l
                    | i when l.Substring(0, i).Trim() = "" -> l
                    | i -> l.Substring(0, i)
                if l.Length <= 72 then l else l.Substring(0, 69) + "..."
            let shown = if code.Length <= 14 then code else List.truncate 13 code @ [ "..." ]
            boxes.Add
                { Lines = $"[{k.Number}] {k.Kind}{time}" :: List.map shorten shown
                  Class = BoxClass.Kernel
                  IsResult = false }
            let number = boxes.Count - 1
            for s in List.distinct sources do
                edges.Add(struct (s, number))
            for w in List.distinct k.Writes do
                if not (List.contains w k.Reads) then edges.Add(struct (number, buffer w))
        if kernels.Length < p.Kernels.Length then
            boxes.Add
                { Lines = [ $"... {p.Kernels.Length - kernels.Length} more kernels" ]
                  Class = BoxClass.Elided
                  IsResult = false }
        { Boxes = boxes.ToArray()
          Edges = edges.ToArray() |> Array.distinct |> Array.filter (fun (struct (a, b)) -> a < b) }

    // ---- as Mermaid

    let private className (c: BoxClass) = (string c).ToLowerInvariant()

    let mermaid (p: Picture) : string =
        let text = StringBuilder "flowchart TD\n"
        let escape (s: string) =
            s.Replace("#", "#35;").Replace("\"", "#quot;").Replace("<", "#lt;").Replace(">", "#gt;")
        p.Boxes
        |> Array.iteri (fun i b ->
            let lines = String.Join("<br>", b.Lines |> List.map (fun l -> (escape l).Replace("  ", "&nbsp;&nbsp;")))
            let opening, closing = if b.IsResult then "([", "])" else "[", "]"
            text.Append($"    n{i}{opening}\"{lines}\"{closing}:::{className b.Class}\n") |> ignore)
        for struct (a, b) in p.Edges do
            text.Append($"    n{a} --> n{b}\n") |> ignore
        for c in p.Boxes |> Array.map (fun b -> b.Class) |> Array.distinct do
            let struct (fill, border) = colours c
            text.Append($"    classDef {className c} fill:{fill},stroke:{border},color:#1a202c\n") |> ignore
        text.ToString()

    // ---- as SVG

    /// Text that is safe in XML.
    let escape (s: string) =
        let text = StringBuilder()
        for c in s do
            match c with
            | '&' -> text.Append "&amp;"
            | '<' -> text.Append "&lt;"
            | '>' -> text.Append "&gt;"
            | '"' -> text.Append "&quot;"
            | c when Char.IsControl c && c <> '\n' && c <> '\t' -> text.Append '?'
            | c -> text.Append c
            |> ignore
        text.ToString()

    let private letter, lineHeight = 7.3, 16.0

    let svg (p: Picture) : string =
        let size (b: Box) =
            let longest = b.Lines |> List.map String.length |> List.fold max 4
            { Width = letter * float longest + 20.0
              Height = lineHeight * float b.Lines.Length + 12.0 }
        let placed = Layout.place (Array.map size p.Boxes) p.Edges
        let margin = 16.0
        let f (x: float) = (Math.Round(x + margin, 1)).ToString CultureInfo.InvariantCulture
        let n (x: float) = (Math.Round(x, 1)).ToString CultureInfo.InvariantCulture
        let width, height = n (placed.Width + 2.0 * margin), n (placed.Height + 2.0 * margin)
        let text = StringBuilder()
        let add (s: string) = text.Append(s).Append '\n' |> ignore
        add
            $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"12\">"
        add
            "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0,1 L7,4 L0,7 z\" fill=\"#718096\"/></marker></defs>"
        add $"<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
        for route in placed.Routes do
            let path = StringBuilder()
            let struct (x0, y0) = route[0]
            path.Append($"M{f x0},{f y0}") |> ignore
            for i in 1 .. route.Length - 1 do
                let struct (xa, ya) = route[i - 1]
                let struct (xb, yb) = route[i]
                if abs (xa - xb) < 0.5 then
                    path.Append($" L{f xb},{f yb}") |> ignore
                else
                    let middle = (ya + yb) / 2.0
                    path.Append($" C{f xa},{f middle} {f xb},{f middle} {f xb},{f yb}") |> ignore
            add $"<path d=\"{path}\" fill=\"none\" stroke=\"#718096\" stroke-width=\"1.2\" marker-end=\"url(#arrow)\"/>"
        p.Boxes
        |> Array.iteri (fun i b ->
            let s = size b
            let struct (fill, border) = colours b.Class
            let stroke = if b.IsResult then "2.5" else "1.2"
            let dash = if b.Class = BoxClass.Elided then " stroke-dasharray=\"4 3\"" else ""
            let x, y = placed.X[i], placed.Y[i]
            add
                $"<rect x=\"{f x}\" y=\"{f y}\" width=\"{n s.Width}\" height=\"{n s.Height}\" rx=\"6\" fill=\"{fill}\" stroke=\"{border}\" stroke-width=\"{stroke}\"{dash}/>"
            let isKernel = b.Class = BoxClass.Kernel
            b.Lines
            |> List.iteri (fun k line ->
                let baseline = f (y + 6.0 + lineHeight * (float k + 0.75))
                let anchor = if isKernel then "start" else "middle"
                let at = if isKernel then f (x + 10.0) else f (x + s.Width / 2.0)
                let style = if k = 0 then " font-weight=\"bold\" fill=\"#1a202c\"" else " fill=\"#4a5568\""
                add
                    $"<text x=\"{at}\" y=\"{baseline}\" text-anchor=\"{anchor}\" xml:space=\"preserve\"{style}>{escape line}</text>"))
        add "</svg>"
        text.ToString()

/// Pictures of expressions and programs, as Mermaid (for Markdown) and as SVG (laid out here, without scripts or links).
[<RequireQualifiedAccess>]
module Show =
    /// Pictures of more nodes than this show those nearest the results.
    let private limit = 150

    /// The graph of a tensor, or of a tree of tensors, as Mermaid's flowchart.
    let mermaid (tree: 'T) : string = Picture.mermaid (Picture.ofExpressions limit (Tree.named tree))

    /// The graph of a tensor, or of a tree of tensors, as SVG: colours by the kind of primitive, thick borders for results.
    let svg (tree: 'T) : string = Picture.svg (Picture.ofExpressions limit (Tree.named tree))

    /// A program as Mermaid: kernels with their code, and the buffers between them.
    let programMermaid (e: Explanation) : string = Picture.mermaid (Picture.ofProgram 60 e.Program)

    /// A program as SVG: kernels with their code, and the buffers between them.
    let programSvg (e: Explanation) : string = Picture.svg (Picture.ofProgram 60 e.Program)

    /// Writes a text to a file, whole or not at all.
    let save (path: string) (text: string) : unit =
        let full = Path.GetFullPath path
        let folder = Path.GetDirectoryName full
        if not (Directory.Exists folder) then
            raise (DirectoryNotFoundException $"Show.save: there is no folder {folder}")
        let temporary = Path.Combine(folder, $".{Path.GetFileName full}.{Guid.NewGuid():N}.tmp")
        try
            File.WriteAllText(temporary, text)
            File.Move(temporary, full, true)
        finally
            if File.Exists temporary then File.Delete temporary
