namespace Nanograd

open System
open System.Globalization
open System.Text

/// Values as NumPy and PyTorch print them.
[<RequireQualifiedAccess>]
module internal ValueText =
    /// How the numbers of a sample are written, all in one style: PyTorch's rule. Four digits; whole numbers without any;
    /// scientific where sizes differ by more than 1000, exceed 1e8 or (fractions) fall below 1e-4.
    let format (dtype: DType) (sample: Constant[]) : Constant -> string =
        if not (DType.isFloat dtype) then
            Print.digits
        else
            let sizes =
                sample |> Array.map (fun c -> abs c.Float) |> Array.filter (fun x -> Double.IsFinite x && x <> 0.0)
            let largest = Array.fold max 0.0 sizes
            let least = Array.fold min Double.MaxValue sizes
            let isWhole = sizes |> Array.forall (fun x -> x = Math.Floor x)
            let isWide =
                sizes.Length > 0 && (largest / least > 1000.0 || largest > 1e8 || (not isWhole && least < 1e-4))
            let style =
                if isWide then "0.0000e+00"
                elif isWhole then "0'.'"
                else "0.0000"
            fun c ->
                if Double.IsNaN c.Float then "nan"
                elif Double.IsInfinity c.Float then (if c.Float > 0.0 then "inf" else "-inf")
                else c.Float.ToString(style, CultureInfo.InvariantCulture)

    let private lineWidth = 80

    /// Values in nested brackets, three at each end of an axis when there are more than 1000; long rows are broken.
    let layout (dtype: DType) (shape: int[]) (read: int -> Constant) =
        let edge = 3
        let elide = Shape.count shape > 1000
        let isCut axis = elide && shape[axis] > 2 * edge
        let shown axis =
            if isCut axis then
                Array.append [| 0 .. edge - 1 |] [| shape[axis] - edge .. shape[axis] - 1 |]
            else
                [| 0 .. shape[axis] - 1 |]
        let strides = Shape.strides shape
        let rec indices axis offset : seq<int> =
            if axis = shape.Length then
                Seq.singleton offset
            else
                shown axis |> Seq.collect (fun i -> indices (axis + 1) (offset + i * strides[axis]))
        let sample = indices 0 0 |> Seq.map read |> Seq.toArray
        let format = format dtype sample
        let width = if shape.Length = 0 then 0 else sample |> Array.fold (fun w c -> max w (format c).Length) 0
        let text = StringBuilder()
        let add (s: string) = text.Append s |> ignore
        let row axis offset (indent: int) =
            let cells = shown axis |> Array.map (fun i -> (format (read (offset + i * strides[axis]))).PadLeft width)
            let cells = if isCut axis then Array.insertAt edge " ..." cells else cells
            let perLine = max 1 ((lineWidth - indent) / (width + 2))
            let lines = cells |> Array.chunkBySize perLine |> Array.map (fun line -> String.Join(", ", line))
            add (String.Join(",\n" + String(' ', indent + 1), lines))
        let rec write axis offset (indent: int) =
            add "["
            if axis = shape.Length - 1 then
                row axis offset indent
            else
                let next = "," + String('\n', shape.Length - 1 - axis) + String(' ', indent + 1)
                shown axis
                |> Array.iteri (fun k i ->
                    if k > 0 then add next
                    if isCut axis && k = edge then add ("..." + next)
                    write (axis + 1) (offset + i * strides[axis]) (indent + 1))
            add "]"
        if shape.Length = 0 then add (format sample[0])
        elif sample.Length = 0 then add "[]"
        else write 0 0 7
        let usual = dtype = DType.F32 || dtype = DType.I64 || dtype = DType.Bool
        let empty = if sample.Length = 0 then $", shape={Shape.show shape}" else ""
        $"tensor({text}{empty}" + (if usual then ")" else $", dtype={dtype})")
