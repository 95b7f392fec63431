namespace Nanograd

open System

/// Where the largest elements of windows stand, and putting elements back there.
[<AutoOpen>]
module Unpooling =
    /// Elements of all windows side by side, `[..; windows..; count]`, with a value in the padding.
    let private windows (o: PoolOptions) (counts: int[]) (beyond: float) (x: Tensor) =
        let n = o.Size.Length
        let entry (values: int[]) otherwise i =
            match values.Length with
            | 0 -> otherwise
            | 1 -> values[0]
            | _ -> values[i]
        let first = x.Rank - n
        let stride, padding = entry o.Stride, entry o.Padding 0
        let window i : Window =
            { Axis = first + i
              Size = o.Size[i]
              Step = stride o.Size[i] i
              Dilation = entry o.Dilation 1 i }
        let needed i =
            let w = window i
            (counts[i] - 1) * w.Step + w.Dilation * (w.Size - 1) + 1
        let behind i = needed i - x.Shape[first + i] - padding i // what is not needed is cut off
        let around = [ for i in n - 1 .. -1 .. 0 -> [ padding i; behind i ] ] |> List.concat
        let u = Seq.fold (fun y i -> Op.unfold (window i) y) (pad around beyond x) (seq { 0 .. n - 1 })
        reshape (Array.append u.Shape[.. x.Rank - 1] [| -1 |]) u

    /// <summary>The places of the elements that `maxPool` finds, counted through the last axes of x: `[..; spatial..]` to i64 `[..;
    /// windows..]`. (PyTorch: return_indices.)</summary>
    let maxPoolIndices (o: PoolOptions) (x: Tensor) : Tensor =
        if not (DType.isFloat x.DType) then Shape.fail "maxPoolIndices" "x must be a float" "cast it first" [ x ]
        let n = o.Size.Length
        let counts = (maxPool o x).Shape[x.Rank - n ..] // checks the options, too
        let spatial = x.Shape[x.Rank - n ..]
        let best = windows o counts -infinity (stopGradient x) |> argMax -1
        let places =
            reshape (Array.append (Array.create (x.Rank - n) 1) spatial) (arange DType.I64 (Shape.count spatial))
            |> windows o counts 0.0
        takeAlongAxis -1 (unsqueeze -1 best) places |> squeeze -1

    /// <summary>Elements at places of an otherwise empty tensor: x and indices `[..; windows..]` to `[..; size..]`, the indices counting
    /// through its last axes. Of repeated indices the last one counts. (PyTorch: max_unpool.)</summary>
    let maxUnpool (size: int[]) (indices: Tensor) (x: Tensor) : Tensor =
        let n = size.Length
        if x.Shape <> indices.Shape || x.Rank < n || Array.exists (fun extent -> extent < 1) size then
            Shape.fail
                "maxUnpool"
                $"x and indices must have one shape, with {n} spatial axes, and extents be positive"
                ""
                [ x; indices ]
        if not (DType.isInteger indices.DType) then
            Shape.fail "maxUnpool" "indices must be integers" "take those of maxPoolIndices" [ indices ]
        let lead = x.Shape[.. x.Rank - n - 1]
        let flat (t: Tensor) = reshape (Array.append lead [| Shape.count x.Shape[x.Rank - n ..] |]) t
        zerosOf x.DType (Array.append lead [| Shape.count size |])
        |> putAlongAxis -1 (flat indices) (flat x)
        |> reshape (Array.append lead size)
