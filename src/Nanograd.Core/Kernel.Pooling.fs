namespace Nanograd

/// Windows along one axis: window i starts at i * Stride - Padding and takes every Dilation-th element.
type PoolAxis =
    { Extent: int
      Windows: int
      Size: int
      Stride: int
      Padding: int
      Dilation: int }

    /// From the first to behind the last element of a window.
    member a.Span = a.Dilation * (a.Size - 1) + 1

/// Pooling of Planes planes that lie one after the other, or its gradient.
type Pool =
    {
        /// The largest elements (a NaN wins, and of equals the first); otherwise the sums.
        IsMax: bool
        Planes: int
        Down: PoolAxis
        Across: PoolAxis
        /// x; -1 where it is not needed, in the gradient of sums.
        Source: int
        /// That of the result; -1: this is no gradient.
        Cotangent: int
        Result: int
    }

/// Facts about pooling kernels.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Pool =
    let isGradient (p: Pool) = p.Cotangent >= 0

    /// The buffers of the operands.
    let reads (p: Pool) : int[] = [| p.Source; p.Cotangent |] |> Array.filter (fun b -> b >= 0) |> Array.distinct

    /// Every element lies in at most one window, so that its cotangent is the sum of no more than one share.
    let isSideBySide (p: Pool) =
        let one (a: PoolAxis) = a.Stride = a.Size && a.Dilation = 1
        one p.Down && one p.Across

    /// Comparisons or additions.
    let operations (p: Pool) : int64 =
        int64 p.Planes * int64 (p.Down.Windows * p.Across.Windows) * int64 (p.Down.Size * p.Across.Size)

    let name (p: Pool) = if p.IsMax then "maxPool" else "sumPool"

    /// Windows and planes in a few words.
    let describe (p: Pool) =
        let pair f = if f p.Down = f p.Across then $"{f p.Down}" else $"{f p.Down} x {f p.Across}"
        let unless (usual: int) name f = if f p.Down = usual && f p.Across = usual then "" else $", {name} {pair f}"
        $"windows of {p.Down.Size} x {p.Across.Size} every {pair (fun a -> a.Stride)}"
        + unless 0 "padding" (fun a -> a.Padding)
        + unless 1 "dilation" (fun a -> a.Dilation)
        + $", {p.Planes} planes of {p.Down.Extent} x {p.Across.Extent}"
