namespace Nanograd

open System
open System.Globalization
open System.Text

/// Points to draw, by a name. A line joins them, or they stand alone.
type internal Curve = { Name: string; Points: struct (float * float)[]; IsLine: bool }

/// Curves of one quantity.
type internal Panel = { Title: string; Curves: Curve list }

/// Curves in a terminal and on a page.
[<RequireQualifiedAccess>]
module internal Curves =
    let private invariant = CultureInfo.InvariantCulture

    /// A number in few digits.
    let short (x: float) : string =
        if not (Double.IsFinite x) then string x
        elif x <> 0.0 && (abs x < 1e-3 || abs x >= 1e5) then x.ToString("0.0e+0", invariant)
        else x.ToString((if abs x < 10.0 then "0.000" else "0.0"), invariant)

    let private finite (c: Curve) =
        c.Points |> Array.filter (fun (struct (x, y)) -> Double.IsFinite x && Double.IsFinite y)

    /// The drawable curves, and the smallest and largest of both coordinates; None if there is nothing to draw.
    let private range (curves: Curve list) =
        let drawn =
            curves |> List.map (fun c -> { c with Points = finite c }) |> List.filter (fun c -> c.Points.Length > 0)
        if drawn.IsEmpty then
            None
        else
            let all = drawn |> List.toArray |> Array.collect (fun c -> c.Points)
            let xs, ys = all |> Array.map (fun (struct (x, _)) -> x), all |> Array.map (fun (struct (_, y)) -> y)
            let apart low high = if high - low < 1e-12 then low - 0.5, low + 0.5 else low, high
            Some(drawn, apart (Array.min xs) (Array.max xs), apart (Array.min ys) (Array.max ys))

    // ------------------------------------------------------------------------------------------------ terminal

    /// Dots 1 to 8 of Unicode's Braille patterns: two across, four down.
    let private bits = [| 0x01; 0x08; 0x02; 0x10; 0x04; 0x20; 0x40; 0x80 |]

    let private markers = [| '●'; '◆'; '▲'; '■' |]

    /// A text of about `width` by `height` characters: lines in Braille dots, single points as marks.
    let terminal (width: int) (height: int) (panel: Panel) : string =
        match range panel.Curves with
        | None -> panel.Title + ": nothing to draw yet"
        | Some(curves, (left, right), (low, high)) ->
            let labels = 8
            let columns, rows = max 10 (width - labels - 1), max 3 height
            let cells = Array.init rows (fun _ -> Array.create columns 0)
            let marks = Array.init rows (fun _ -> Array.create columns ' ')
            let place across down (struct (x, y)) =
                struct (int (Math.Round((x - left) / (right - left) * float (across - 1))),
                        int (Math.Round((high - y) / (high - low) * float (down - 1))))
            let dot x y = cells[y / 4][x / 2] <- cells[y / 4][x / 2] ||| bits[y % 4 * 2 + x % 2]
            let line (points: struct (int * int)[]) =
                for struct (x0, y0), struct (x1, y1) in Array.pairwise (Array.append points[..0] points) do
                    let steps = max 1 (max (abs (x1 - x0)) (abs (y1 - y0)))
                    for i in 0..steps do
                        dot (x0 + (x1 - x0) * i / steps) (y0 + (y1 - y0) * i / steps)
            let alone = curves |> List.filter (fun c -> not c.IsLine)
            for c in curves do
                if c.IsLine then line (c.Points |> Array.map (place (columns * 2) (rows * 4)))
            alone
            |> List.iteri (fun i c ->
                for struct (x, y) in c.Points |> Array.map (place columns rows) do
                    marks[y][x] <- markers[i % markers.Length])
            let legend =
                curves
                |> List.map (fun c ->
                    let mark =
                        match List.tryFindIndex ((=) c) alone with
                        | Some i -> markers[i % markers.Length]
                        | None -> '⠒'
                    $"{mark} {c.Name}")
            let text = StringBuilder()
            text.Append(String(' ', labels)).Append(panel.Title).Append("   ").AppendJoin("   ", legend).Append('\n')
            |> ignore
            for row in 0 .. rows - 1 do
                let isLabelled = row = 0 || row = rows - 1 || row = rows / 2
                let value = high - (high - low) * float row / float (rows - 1)
                let label = if isLabelled then (short value).PadLeft labels else String(' ', labels)
                text.Append(label).Append(if isLabelled then '┤' else '│') |> ignore
                for column in 0 .. columns - 1 do
                    let dots = cells[row][column]
                    text.Append(
                        if marks[row][column] <> ' ' then marks[row][column]
                        elif dots = 0 then ' '
                        else char (0x2800 + dots)
                    )
                    |> ignore
                while text[text.Length - 1] = ' ' do
                    text.Length <- text.Length - 1
                text.Append '\n' |> ignore
            let first, last = left.ToString("0.##", invariant), right.ToString("0.##", invariant)
            text.Append(String(' ', labels)).Append('└').Append('─', columns).Append('\n') |> ignore
            text.Append(String(' ', labels + 1)).Append(first.PadRight(max 0 (columns - last.Length))).Append(last)
            |> ignore
            text.ToString()

    // ------------------------------------------------------------------------------------------------ page

    let private colours = [| "var(--a)"; "var(--b)"; "var(--c)"; "var(--d)" |]

    let private escape (text: string) =
        text.Replace("&", "&amp;").Replace("<", "&lt;").Replace(">", "&gt;").Replace("\"", "&quot;")

    /// About five round numbers between two numbers.
    let private ticks (low: float) (high: float) : float[] =
        let raw = (high - low) / 5.0
        let power = Math.Pow(10.0, Math.Floor(Math.Log10 raw))
        let step = [| 1.0; 2.0; 5.0; 10.0 |] |> Array.map ((*) power) |> Array.find (fun s -> s >= raw * 0.999)
        let first = Math.Ceiling(low / step - 1e-9)
        [| for i in 0.0 .. Math.Floor(high / step + 1e-9) - first -> (first + i) * step |]

    let private width, height, margin, foot = 760.0, 260.0, 64.0, 28.0

    /// One panel as a picture.
    let private svg (panel: Panel) : string =
        match range panel.Curves with
        | None -> ""
        | Some(curves, (left, right), (low, high)) ->
            let number (x: float) = x.ToString("0.##", invariant)
            let acrossOf x = margin + (x - left) / (right - left) * (width - margin - 12.0)
            let downOf y = 10.0 + (high - y) / (high - low) * (height - foot - 10.0)
            let text = StringBuilder()
            let add (line: string) = text.Append(line).Append('\n') |> ignore
            add $"""<svg viewBox="0 0 {number width} {number height}" role="img" aria-label="{escape panel.Title}">"""
            for y in ticks low high do
                add
                    $"""<line class="grid" x1="{number margin}" x2="{number (width - 12.0)}" y1="{number (downOf y)}" y2="{number (downOf y)}"/><text class="tick" text-anchor="end" x="{number (margin - 8.0)}" y="{number (downOf y + 4.0)}">{short y}</text>"""
            for x in ticks left right do
                add
                    $"""<text class="tick" text-anchor="middle" x="{number (acrossOf x)}" y="{number (height - 8.0)}">{x.ToString("0.####", invariant)}</text>"""
            curves
            |> List.iteri (fun i c ->
                let colour = colours[i % colours.Length]
                let points =
                    c.Points |> Array.map (fun (struct (x, y)) -> number (acrossOf x) + "," + number (downOf y))
                if c.IsLine then
                    add
                        $"""<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{String.Join(" ", points)}"/>"""
                else
                    for struct (x, y) in c.Points do
                        add
                            $"""<circle cx="{number (acrossOf x)}" cy="{number (downOf y)}" r="3.5" fill="{colour}"><title>{escape c.Name} at {x.ToString("0.##", invariant)}: {y.ToString("R", invariant)}</title></circle>""")
            add "</svg>"
            let entry i (c: Curve) =
                $"""<span><i style="background:{colours[i % colours.Length]}"></i>{escape c.Name}</span>"""
            $"""<section><h2>{escape panel.Title}</h2><p class="legend">{String.Join("", List.mapi entry curves)}</p>{text}</section>"""

    let private style =
        """<style>
:root { color-scheme: light dark; --paper: #fff; --ink: #1a202c; --soft: #667085; --line: #e2e8f0; --a: #5b82c0; --b: #d1605b; --c: #3f9a94; --d: #d99a34 }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --ink: #e6eaf0; --soft: #93a0b4; --line: #2b333f } }
body { margin: 0 auto; padding: 18px 24px 40px; max-width: 860px; font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper) }
h1 { font-size: 20px; font-weight: 600; margin: 0 } h2 { font-size: 15px; font-weight: 600; margin: 22px 0 2px }
.summary, .legend { color: var(--soft); margin: 2px 0 6px } .legend span { margin-right: 16px }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 5px; vertical-align: -1px }
svg { width: 100%; display: block } .grid { stroke: var(--line) } .tick { fill: var(--soft); font-size: 11px }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: 12.5px; margin-top: 20px }
th, td { padding: 3px 10px; text-align: right; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums }
th { color: var(--soft); font-weight: 600 }
</style>"""

    /// A page of its own: no scripts, nothing loaded from elsewhere.
    let page (title: string) (summary: string) (panels: Panel list) (columns: string[]) (rows: string[][]) : string =
        let cells tag (items: string[]) =
            let cell (item: string) = $"<{tag}>{escape item}</{tag}>"
            "<tr>" + String.Join("", items |> Array.map cell) + "</tr>"
        let body = String.Join("\n", rows |> Array.map (cells "td"))
        let table =
            if rows.Length = 0 then "" else $"""<div class="wide"><table>{cells "th" columns}{body}</table></div>"""
        let pictures = String.Join("\n", panels |> List.map svg)
        $"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width"/><title>{escape title}</title>
{style}</head><body><h1>{escape title}</h1><p class="summary">{escape summary}</p>
{pictures}
{table}
</body></html>
"""
