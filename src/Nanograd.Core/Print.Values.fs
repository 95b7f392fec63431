namespace Nanograd

open System
open System.Globalization
open System.Text

/// Values as NumPy and PyTorch print them.
[<RequireQualifiedAccess>]
module internal ValueText =
    /// Values in nested brackets, at most `edge` at each end of an axis when there are more than 1000.
    let layout (dtype: DType) (shape: int[]) (read: int -> Constant) =
        let edge = 3
        let elide = Shape.count shape > 1000
        let shown extent =
            if elide && extent > 2 * edge then
                Array.append [| 0 .. edge - 1 |] [| extent - edge .. extent - 1 |]
            else
                [| 0 .. extent - 1 |]
        let strides = Shape.strides shape
        let rec indices axis offset : seq<int> =
            if axis = shape.Length then
                Seq.singleton offset
            else
                shown shape[axis] |> Seq.collect (fun i -> indices (axis + 1) (offset + i * strides[axis]))
        let sample = indices 0 0 |> Seq.map read |> Seq.toArray
        let finite = sample |> Array.map (fun c -> c.Float) |> Array.filter Double.IsFinite
        let largest = if finite.Length = 0 then 0.0 else finite |> Array.map abs |> Array.max
        let least = finite |> Array.filter (fun v -> v <> 0.0) |> Array.map abs |> Array.fold min Double.MaxValue
        let whole = finite |> Array.forall (fun v -> v = Math.Floor v) && largest < 1e8
        let format =
            if not (DType.isFloat dtype) then
                Print.number
            else
                let style =
                    if whole then "0'.'"
                    elif largest >= 1e8 || least < 1e-4 || largest / least > 1e3 && largest > 1e4 then "0.0000e+00"
                    else "0.0000"
                fun c ->
                    if Double.IsNaN c.Float then "nan"
                    elif Double.IsInfinity c.Float then (if c.Float > 0.0 then "inf" else "-inf")
                    else c.Float.ToString(style, CultureInfo.InvariantCulture)
        let width =
            if shape.Length = 0 || sample.Length = 0 then
                0
            else
                sample |> Array.map (fun c -> (format c).Length) |> Array.max
        let text = StringBuilder()
        let rec write axis offset (indent: int) =
            if axis = shape.Length then
                text.Append((format (read offset)).PadLeft width) |> ignore
            else
                let last = axis = shape.Length - 1
                text.Append '[' |> ignore
                shown shape[axis]
                |> Array.iteri (fun k i ->
                    if k > 0 then
                        text.Append(
                            if last then
                                ", "
                            else
                                "," + String('\n', shape.Length - 1 - axis) + String(' ', indent + 1)
                        )
                        |> ignore
                        if elide && shape[axis] > 2 * edge && k = edge then
                            text.Append(
                                if last then
                                    "..., "
                                else
                                    "...," + String('\n', shape.Length - 1 - axis) + String(' ', indent + 1)
                            )
                            |> ignore
                    write (axis + 1) (offset + i * strides[axis]) (indent + 1))
                text.Append ']' |> ignore
        write 0 0 7
        let usual = dtype = DType.F32 || dtype = DType.I64 || dtype = DType.Bool
        let empty = if Shape.count shape = 0 then $", shape={Shape.show shape}" else ""
        $"tensor({text}{empty}" + (if usual then ")" else $", dtype={dtype})")
