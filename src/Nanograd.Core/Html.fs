namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.Text

/// Values, expressions and programs as HTML: self-contained, without scripts or links, everything escaped.
[<RequireQualifiedAccess>]
module Html =
    let private style =
        """<style>
.nanograd { font-family: system-ui, sans-serif; font-size: 14px; color: #1a202c; background: #fff; max-width: 72em }
.nanograd table { border-collapse: collapse; margin: 0.4em 0 }
.nanograd td, .nanograd th { padding: 0.15em 0.6em; text-align: right; font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 12px; border: 1px solid #e2e8f0 }
.nanograd th { background: #f7fafc; font-weight: 600; color: #4a5568 }
.nanograd td.text, .nanograd th.text { text-align: left }
.nanograd td.gap { color: #a0aec0; border: none }
.nanograd pre { background: #f7fafc; border: 1px solid #e2e8f0; border-radius: 6px; padding: 0.6em; font-size: 12px; overflow-x: auto; margin: 0.3em 0 }
.nanograd math { font-size: 120%; margin: 0.5em 0; text-align: left; display: inline-block math }
.nanograd h4 { margin: 1em 0 0.3em; font-size: 15px }
.nanograd .kind { color: #718096; font-size: 12px; font-family: ui-monospace, Menlo, Consolas, monospace }
.nanograd .bar { display: inline-block; height: 0.8em; background: #5b82c0 }
.nanograd .picture { overflow-x: auto }
</style>"""

    let private escape = Picture.escape

    let private wrap (inside: string) = $"<div class=\"nanograd\">{style}{inside}</div>"

    // ---- values

    /// Indices that are shown of an axis; -1 stands for those left out.
    let private shown (most: int) (extent: int) =
        if extent <= most then
            [| 0 .. extent - 1 |]
        else
            let edge = most / 2
            Array.concat [ [| 0 .. edge - 1 |]; [| -1 |]; [| extent - edge .. extent - 1 |] ]

    /// A cell, shaded by its size: red above zero, blue below.
    let private cell (largest: float) (format: Constant -> string) (c: Constant) =
        let x = c.Float
        let shade =
            if c.DType = DType.Bool then
                (if c.Int <> 0L then "background:rgba(106,154,91,0.25)" else "")
            elif not (Double.IsFinite x) then
                "background:#fefcbf;font-weight:bold"
            elif largest = 0.0 || x = 0.0 then
                ""
            else
                let alpha = (0.45 * abs x / largest).ToString("0.00", CultureInfo.InvariantCulture)
                if x > 0.0 then $"background:rgba(213,94,74,{alpha})" else $"background:rgba(74,124,213,{alpha})"
        let attribute = if shade = "" then "" else $" style=\"{shade}\""
        $"<td{attribute}>{escape (format c)}</td>"

    let private valueTable (t: Tensor) (s: Storage) =
        let rank = t.Rank
        let rows, columns = (if rank < 2 then 1 else t.Shape[rank - 2]), (if rank = 0 then 1 else t.Shape[rank - 1])
        let outer = if rank <= 2 then [||] else t.Shape[.. rank - 3]
        let blocks = Shape.count outer
        let strides = Shape.strides outer
        let shownRows, shownColumns, shownBlocks = shown 12 rows, shown 12 columns, shown 4 blocks
        let place b r c = (b * rows + r) * columns + c
        let sample =
            [| for b in shownBlocks do
                   for r in shownRows do
                       for c in shownColumns do
                           if b >= 0 && r >= 0 && c >= 0 then Buffers.read s (place b r c) |]
        let finite = sample |> Array.map (fun c -> abs c.Float) |> Array.filter Double.IsFinite
        let largest = Array.fold max 0.0 finite
        let format = ValueText.format t.DType sample
        let text = StringBuilder()
        for b in shownBlocks do
            if b < 0 then
                text.Append "<div class=\"kind\">...</div>" |> ignore
            else
                if rank > 2 then
                    let index = strides |> Array.mapi (fun i stride -> string (b / stride % outer[i]))
                    text.Append($"""<div class="kind">[{String.Join(", ", index)}, :, :]</div>""") |> ignore
                text.Append "<table>" |> ignore
                for r in shownRows do
                    let cells =
                        shownColumns
                        |> Array.map (fun c ->
                            if r < 0 then "<td class=\"gap\">⋮</td>"
                            elif c < 0 then "<td class=\"gap\">…</td>"
                            else cell largest format (Buffers.read s (place b r c)))
                    text.Append("<tr>").Append(String.Join("", cells)).Append "</tr>" |> ignore
                text.Append "</table>" |> ignore
        text.ToString()

    let private mathematics (t: Tensor) =
        let pretty = Rewrite.pretty t
        $"<div class=\"math\" title=\"{escape (Latex.render pretty)}\">{MathMl.render pretty}</div>"

    let private tensorBody (t: Tensor) : string =
        let kind = $"<div class=\"kind\">{escape (Shape.describe t)}</div>"
        if not (Graph.isClosed t) then kind + mathematics t
        elif t.Count = 0 then kind + "<div>no elements</div>"
        else kind + valueTable t (Program.storage (Program.evaluate [| t |]).[0])

    // ---- tables

    /// A table; the first row is the head, `left` columns are text.
    let private table (left: int list) (rows: string[][]) =
        let cells (tag: string) (row: string[]) =
            row
            |> Array.mapi (fun i s ->
                let kind = if List.contains i left then " class=\"text\"" else ""
                $"<{tag}{kind}>{escape s}</{tag}>")
            |> String.concat ""
        let body = rows |> Array.skip (min 1 rows.Length) |> Array.map (fun r -> "<tr>" + cells "td" r + "</tr>")
        if rows.Length = 0 then
            ""
        else
            "<table><tr>" + cells "th" rows[0] + "</tr>" + String.concat "" body + "</table>"

    let private details (summary: string) (inside: string) =
        $"<details><summary>{escape summary}</summary>{inside}</details>"

    let private explanation (e: Explanation) : string =
        let text = StringBuilder()
        let add (s: string) = text.Append s |> ignore
        let heading (s: string) = add $"<h4>{escape s}</h4>"
        let pre (s: string) = $"<pre>{escape (s.TrimEnd())}</pre>"
        let each (what: ExpressionReport -> string) =
            for r in Array.truncate 12 e.Results do
                let name = if r.Path = "" then r.Kind else r.Path + ": " + r.Kind
                add $"<div class=\"kind\">{escape name}</div>"
                add (what r)
        heading "1. What it is, as mathematics"
        each (fun r -> MathMl.ofLatex r.Latex)
        heading "2. What you wrote, as an expression"
        each (fun r -> pre r.Traced)
        add (
            details
                "as a graph"
                ("<div class=\"picture\">"
                 + Picture.svg (
                     Picture.ofExpressions
                         150
                         (Array.map2 (fun (r: ExpressionReport) t -> r.Path, t) e.Results e.Expressions)
                 )
                 + "</div>")
        )
        heading "3. What the compiler makes of it"
        if e.Rules.IsEmpty then
            add "<div>No rule applies.</div>"
        else
            each (fun r -> pre r.Simplified)
            let rows = [| for r in e.Rules -> [| string r.Times; r.Rule; r.Example |] |]
            add (table [ 1; 2 ] (Array.append [| [| "times"; "rule"; "for example" |] |] rows))
        heading (
            "4. The program: "
            + (if e.Program.Kernels.Length = 1 then "1 kernel" else $"{e.Program.Kernels.Length} kernels")
        )
        for k in Array.truncate 40 e.Program.Kernels do
            let reads, writes = String.Join(", ", k.Reads), String.Join(", ", k.Writes)
            add
                $"<div><b>[{k.Number}] {escape k.Kind}</b> {escape k.Label}: reads {escape reads}; writes {escape writes}</div>"
            add (pre k.Code)
        add (
            details "as a picture" ("<div class=\"picture\">" + Picture.svg (Picture.ofProgram 60 e.Program) + "</div>")
        )
        heading
            $"5. Where it lives: temporaries share {Columns.bytes e.Program.ArenaBytes}; a run adds {Columns.bytes e.Program.PeakBytes} at most"
        add (table [ 0; 1; 3; 4; 5; 6 ] (Array.truncate 60 (ProgramReport.memoryRows e.Program)))
        match e.Limits with
        | None -> ()
        | Some limits ->
            heading "6. How fast it is"
            add (table [ 0; 8 ] (Array.truncate 60 (Explanation.Measurements e)))
            let billions (x: float) = (x / 1e9).ToString("0.#", CultureInfo.InvariantCulture)
            add
                $"<div class=\"kind\">Limits: {billions limits.OperationsPerSecond} Gop/s on f32, {billions limits.MemoryBytesPerSecond} GB/s in memory, {billions limits.CacheBytesPerSecond} GB/s in caches.</div>"
        text.ToString()

    let private flow (f: GradientFlow) : string =
        let largest =
            f.Rows |> Array.map (fun r -> r.MeanAbsolute) |> Array.filter Double.IsFinite |> Array.fold max 0.0
        let number (x: float) = x.ToString("0.00e+00", CultureInfo.InvariantCulture)
        let bar (r: FlowRow) =
            let decades = 10.0 + Math.Log10(r.MeanAbsolute / largest)
            if Double.IsFinite decades && decades > 0.0 then
                let width = (decades * 1.2).ToString("0.0", CultureInfo.InvariantCulture)
                $"<span class=\"bar\" style=\"width:{width}em\"></span>"
            else
                ""
        let row (r: FlowRow) =
            let cells =
                [ number r.WeightNorm
                  number r.GradientNorm
                  number r.Ratio
                  number r.MeanAbsolute
                  (100.0 * r.Zeros).ToString("0", CultureInfo.InvariantCulture) + "%" ]
                |> List.map (fun s -> $"<td>{s}</td>")
                |> String.concat ""
            let flags = String.Join(", ", r.Flags |> List.map string)
            $"<tr><td class=\"text\">{escape r.Path}</td><td class=\"text\">{escape r.Kind}</td>{cells}<td class=\"text\">{bar r}</td><td class=\"text\">{flags}</td></tr>"
        "<table><tr><th>parameter</th><th>shape</th><th>|weights|</th><th>|gradient|</th><th>ratio</th><th>mean |g|</th><th>zeros</th><th>mean |g|, log scale</th><th></th></tr>"
        + String.concat "" (Array.map row f.Rows)
        + "</table>"

    /// Anything as HTML for a notebook: tensors with values as shaded tables, elided like NumPy; open expressions as mathematics;
    /// trees leaf by leaf; an Explanation as the whole ladder with pictures; a report of Debug as its text or table.
    let render (value: 'T) : string =
        match box value with
        | null -> wrap "null"
        | :? Tensor as t -> wrap (tensorBody t)
        | :? Explanation as e -> wrap (explanation e)
        | :? GradientFlow as f -> wrap (flow f)
        | :? NonFiniteReport as r -> wrap $"<pre>{escape (string r)}</pre>"
        | :? string as s -> wrap (escape s)
        | other ->
            let leaves = Tree.named value
            if leaves.Length = 0 then
                wrap (escape (string other))
            else
                let leaf (path: string, t: Tensor) =
                    $"<tr><td class=\"text\">{escape path}</td><td class=\"text\">{tensorBody t}</td></tr>"
                let most = 50
                let more = if leaves.Length > most then $"<div>... and {leaves.Length - most} more</div>" else ""
                wrap (
                    "<table>" + String.concat "" (leaves |> Array.truncate most |> Array.map leaf) + "</table>" + more
                )

    /// A whole page around `render`.
    let page (title: string) (value: 'T) : string =
        $"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{escape title}</title></head><body>{render value}</body></html>\n"
