namespace Nanograd

open System

/// Rows of numbers of several heads in a buffer: row r of head h starts at Heads[h] + r * Step, its elements lie side by side.
type HeadRows = { Buffer: int; Heads: int[]; Step: int }

/// A mask at work: the element of query t and key s of head h lies at Heads[h] + t * ByQuery + s * ByKey. Buffer -1: there is none.
type HeadMask =
    { Kind: MaskKind
      Buffer: int
      Heads: int[]
      ByQuery: int
      ByKey: int
      Fill: float32 }

/// softmax(mask(scale * q k^T)) v for several heads: T queries and S keys of D numbers, values of E numbers.
type StreamedAttention =
    {
        Queries: int
        Keys: int
        Width: int
        ValueWidth: int
        Scale: float32
        /// Query t sees keys s with Low <= s - t <= High; the other scores are -∞.
        Low: int
        High: int
        Mask: HeadMask
        Q: HeadRows
        K: HeadRows
        V: HeadRows
        Result: HeadRows
        /// For each head and query, the logarithm of the sum of the exponentials of its scores.
        LogSums: int
    }

/// The cotangents of q, k and v, from that of the result, with the scores computed again.
type StreamedGradient =
    {
        /// Its result is not read.
        Of: StreamedAttention
        /// For each head and query, the sum of cotangent times result.
        Deltas: int
        Cotangent: HeadRows
        ToQ: HeadRows
        ToK: HeadRows
        ToV: HeadRows
    }

/// Facts about attention kernels.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module StreamedAttention =
    /// The buffers of the operands.
    let reads (a: StreamedAttention) : int[] =
        [| a.Q.Buffer; a.K.Buffer; a.V.Buffer; a.Mask.Buffer |] |> Array.filter (fun b -> b >= 0) |> Array.distinct

    /// How many heads there are, all batches together.
    let heads (a: StreamedAttention) = a.Q.Heads.Length

    /// Scores that are computed, roughly: those of the band.
    let scores (a: StreamedAttention) : int64 =
        let row t = max 0 (min (a.Keys - 1) (t + a.High) - max 0 (t + a.Low) + 1)
        int64 (heads a) * (Seq.init a.Queries row |> Seq.sumBy int64)

    /// The mask in a few words.
    let describe (a: StreamedAttention) =
        let bound name b = if abs b >= (1 <<< 29) then "" else $", keys {name} {b} from the query"
        let mask =
            match a.Mask.Kind with
            | MaskKind.Nothing -> ""
            | MaskKind.Excluded
            | MaskKind.Kept -> ", masked"
            | MaskKind.Added -> ", with a bias"
        $"{heads a} heads, {a.Queries} x {a.Keys}, width {a.Width}"
        + (if a.ValueWidth = a.Width then "" else $", values {a.ValueWidth}")
        + bound "from" a.Low
        + bound "to" a.High
        + mask
