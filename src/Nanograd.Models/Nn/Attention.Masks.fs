namespace Nanograd

open System

/// Which places attention may not see: bool, true = excluded, for `[queries; keys]`.
[<RequireQualifiedAccess>]
module AttentionMask =
    let private rows queries keys = Op.iota DType.I32 [| queries; keys |] 0
    let private columns queries keys = Op.iota DType.I32 [| queries; keys |] 1

    /// No place sees a later one: `[n; n]`.
    let causal (n: int) : Tensor = Attention.future n

    /// A place sees itself and the `window - 1` before it (Child et al. 2019; Mistral): `[n; n]`.
    let slidingWindow (window: int) (n: int) : Tensor =
        if window < 1 then raise (ArgumentException $"attention: the window must be at least 1, not {window}.")
        let distance = rows n n - columns n n
        logicalOr (lt distance (scalarOf DType.I32 0.0)) (ge distance (scalarOf DType.I32 (float window)))

    /// Places see those at most `reach` away on either side (Longformer): `[n; n]`.
    let local (reach: int) (n: int) : Tensor = gt (abs (rows n n - columns n n)) (scalarOf DType.I32 (float reach))

    /// Blocks of places see blocks of places: bool `[query blocks; key blocks]`, true = visible, to `[queries; keys]`.
    let blockSparse (size: int) (visible: Tensor) : Tensor =
        if size < 1 || visible.Rank <> 2 || visible.DType <> DType.Bool then
            Shape.fail "attention" "visible blocks must be a bool matrix, and the block size at least 1" "" [ visible ]
        logicalNot visible |> repeatInterleave size 0 |> repeatInterleave size 1

    /// Keys behind the end of each sequence: lengths `[B]` to `[B; keys]`.
    let padding (keys: int) (lengths: Tensor) : Tensor =
        if lengths.Rank <> 1 || not (DType.isInteger lengths.DType) then
            Shape.fail "attention" "lengths must be integers [B]" "" [ lengths ]
        ge (arange DType.I64 keys) (unsqueeze 1 (cast DType.I64 lengths))

    /// Both: what either excludes.
    let either (a: Tensor option) (b: Tensor option) : Tensor option =
        match a, b with
        | Some a, Some b -> Some(Op.binary Binary.Or a b)
        | Some a, None -> Some a
        | None, b -> b

/// Where tokens stand.
[<RequireQualifiedAccess>]
module Positions =
    /// Sines in even channels and cosines in odd ones, of wavelengths from 2 pi to 10000 * 2 pi (Vaswani et al. 2017): `[n;
    /// dim]`.
    let sinusoidal (n: int) (dim: int) : Tensor =
        if n < 0 || dim < 1 then raise (ArgumentException $"positions: {n} places of {dim} channels make no sense.")
        let pairs = (dim + 1) / 2
        let rates = exp (arange DType.F64 pairs * (-2.0 * Math.Log 10000.0 / float dim))
        let angles = unsqueeze 1 (arange DType.F64 n) * rates
        stack 2 [ sin angles; cos angles ] |> reshape [| n; 2 * pairs |] |> slice 1 0 dim |> cast DType.F32

    /// The slopes of ALiBi (Press et al. 2021) for each head: powers of 2^(-8 / heads), and for a number of heads that is no
    /// power of two every other one of the next larger set behind: `[heads]`.
    let alibiSlopes (heads: int) : Tensor =
        if heads < 1 then raise (ArgumentException $"positions: there must be at least one head, not {heads}.")
        let powers n = Array.init n (fun i -> Math.Pow(2.0, -8.0 * float (i + 1) / float n))
        let whole = 1 <<< int (Math.Log2(float heads))
        let rest = powers (2 * whole) |> Array.indexed |> Array.filter (fun (i, _) -> i % 2 = 0) |> Array.map snd
        let slopes = Array.append (powers whole) (Array.truncate (heads - whole) rest)
        ofArray DType.F32 [| heads |] (Array.map float32 slopes)

    /// ALiBi's bias of scores, minus slope times distance: `[heads; queries; keys]`. The last query stands at the last key.
    let alibi (heads: int) (queries: int) (keys: int) : Tensor =
        let shape = [| queries; keys |]
        let distance = Op.iota DType.F32 shape 0 + float (keys - queries) - Op.iota DType.F32 shape 1
        reshape [| heads; 1; 1 |] (alibiSlopes heads) * -(abs distance)

/// Rotary positions (Su et al. 2021): pairs of channels turned by angles that grow with the place.
[<RequireQualifiedAccess>]
module Rotary =
    /// Cosines and sines `[n; dim/2]` for integer or float positions `[n]`: angles position / base^(2i / dim). (GPT-NeoX and
    /// Llama: base 10000.)
    let tables (theta: float) (dim: int) (positions: Tensor) : Tensor * Tensor =
        if dim < 2 || dim % 2 <> 0 then
            raise (ArgumentException $"rotary: the dimension must be even and at least 2, not {dim}.")
        let rates = exp (arange DType.F64 (dim / 2) * (-2.0 * Math.Log theta / float dim))
        let angles = unsqueeze -1 (cast DType.F64 positions) * rates
        cast DType.F32 (cos angles), cast DType.F32 (sin angles)

    let private check (cosines: Tensor) (x: Tensor) =
        if x.Rank < 2 || x.Shape[x.Rank - 1] % 2 <> 0 || cosines.Shape[cosines.Rank - 1] * 2 <> x.Shape[x.Rank - 1] then
            Shape.fail "rotary" "x must be [..,T,D] and the tables [T,D/2]" "" [ x; cosines ]

    /// Channel i turned with channel i + D/2 (GPT-NeoX, Llama): x `[..; T; D]`, the shape stays.
    let apply (cosines: Tensor, sines: Tensor) (x: Tensor) : Tensor =
        check cosines x
        let n = x.Shape[x.Rank - 1] / 2
        let a, b = slice -1 0 n x, slice -1 n (2 * n) x
        let c, s = cast x.DType cosines, cast x.DType sines
        concat -1 [ a * c - b * s; b * c + a * s ]

    /// Channel 2i turned with channel 2i + 1 (the paper, GPT-J): x `[..; T; D]`, the shape stays.
    let applyInterleaved (cosines: Tensor, sines: Tensor) (x: Tensor) : Tensor =
        check cosines x
        let a, b = sliceStep -1 0 x.Shape[x.Rank - 1] 2 x, sliceStep -1 1 x.Shape[x.Rank - 1] 2 x
        let c, s = cast x.DType cosines, cast x.DType sines
        stack -1 [ a * c - b * s; b * c + a * s ] |> reshape x.Shape
