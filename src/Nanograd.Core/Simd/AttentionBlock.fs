namespace Nanograd.Simd

open System
open System.Runtime.CompilerServices
open Microsoft.FSharp.NativeInterop
open Nanograd

/// A small product whose operands lie in cache: C [rows, columns] (+)= A [rows, depth] B [depth, columns], cut into register tiles. The
/// number of columns is a whole number of tiles, so C and B reach as far as `Columns` says.
[<Sealed>]
type internal BlockProduct(alongK: bool, columns: int, heights: seq<int>) =
    let bits = Isa.width ()
    let lanes = bits / 32
    let vectors = GemmPlan.ceilDiv columns lanes
    let tiles = GemmPlan.ceilDiv vectors 4
    let perTile = GemmPlan.ceilDiv vectors tiles
    let high = min 12 (MicroKernel.accumulators bits / perTile)

    let kernel rows =
        MicroKernel.get
            { Double = false
              Bits = bits
              Rows = rows
              Vectors = perTile
              ReadA = (if alongK then ReadA.AlongK else ReadA.AlongM) }

    let kernels: Simd.Kernel[] =
        let result = Array.zeroCreate (high + 1)
        for height in heights do
            if height >= high then result[high] <- kernel high
            if height % high > 0 then result[height % high] <- kernel (height % high)
        result

    /// Columns that are computed, and that B and C must have.
    member _.Columns = tiles * perTile * lanes

    /// All strides are in bytes. `aStep`: from a row of A to the next (along k), or from a k to the next. `cStep`: from a row of C to the next.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    member _.Run
        (
            slots: nativeptr<nativeint>,
            rows,
            depth: int,
            a: nativeint,
            aStep: nativeint,
            b,
            bStep,
            c: nativeint,
            cStep,
            continues
        ) =
        let inline set slot (value: nativeint) = NativePtr.set slots slot value
        set Slot.ARow aStep
        set Slot.AStep aStep
        set Slot.B b
        set Slot.BStep bStep
        set Slot.BTile (nativeint (perTile * lanes * 4))
        set Slot.CRow cStep
        set Slot.CTile (nativeint (perTile * lanes * 4))
        set Slot.K (nativeint depth)
        set Slot.Continue (if continues then 1n else 0n)
        set Slot.Tiles (nativeint tiles)
        let aRow = if alongK then aStep else 4n
        let mutable row = 0
        while row < rows do
            let height = min high (rows - row)
            set Slot.A (a + nativeint row * aRow)
            set Slot.C (c + nativeint row * cStep)
            kernels[height].Invoke(NativePtr.toNativeInt slots)
            row <- row + height

/// Rows of a head as a product's right side: read where they lie if they fill whole tiles, else copied block by block.
[<Sealed>]
type internal HeadColumns(rows: HeadRows, width: int, padded: int) =
    member _.IsDirect = padded = width

    /// Bytes from a row to the next where they are read.
    member _.Step = if padded = width then nativeint (rows.Step * 4) else nativeint (padded * 4)

    /// The address of rows first .. first+count-1 of a head, perhaps in `copy`.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    member _.Rows(buffer: nativeint, head: int, first: int, count: int, copy: nativeint) : nativeint =
        let source = buffer + nativeint (rows.Heads[head] + first * rows.Step) * 4n
        if padded = width then
            source
        else
            for i in 0 .. count - 1 do
                let into = copy + nativeint (i * padded) * 4n
                Pack.CopyBytes(source + nativeint (i * rows.Step) * 4n, into, width * 4)
                Span<float32>(
                    NativePtr.toVoidPtr (NativePtr.ofNativeInt<float32>(into + nativeint (width * 4))),
                    padded - width
                )
                    .Clear()
            copy

/// What both kernels of attention do with a block of scores: rows are keys, queries stand side by side.
[<RequireQualifiedAccess>]
module internal AttentionBlock =
    /// Queries and keys of a block. They are part of the order of summation, and depend on nothing but the sizes.
    [<Literal>]
    let Queries = 64

    [<Literal>]
    let Keys = 64

    let bytes (elements: int) = nativeint elements * 4n

    let row = bytes Queries

    let private span (at: nativeint) (count: int) =
        Span<float32>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<float32> at), count)

    let fill (at: nativeint) (count: int) (value: float32) = (span at count).Fill value

    /// The blocks of keys that queries t0 .. t0+count-1 see something of: from the first to before the last.
    let visible (a: StreamedAttention) (t0: int) (count: int) : struct (int * int) =
        let first = max 0 (t0 + a.Low)
        let last = min (a.Keys - 1) (t0 + count - 1 + a.High)
        if last < first then struct (0, 0) else struct (first / Keys, last / Keys + 1)

    /// Are all keys of a block seen by all queries of a block?
    let isWhole (a: StreamedAttention) t0 queries s0 keys =
        s0 - (t0 + queries - 1) >= a.Low && s0 + keys - 1 - t0 <= a.High

    /// Scores outside of the band become `value`.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private band (a: StreamedAttention) (block: nativeint) t0 queries s0 keys (value: float32) =
        for i in 0 .. keys - 1 do
            let s = s0 + i
            // Seen by queries s - High .. s - Low.
            let from = max 0 (min queries (s - a.High - t0))
            let until = max from (min queries (s - a.Low - t0 + 1))
            let line = block + nativeint i * row
            fill line from value
            fill (line + bytes until) (queries - until) value

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private excluded
        (m: HeadMask)
        (mask: nativeint)
        (block: nativeint)
        t0
        queries
        s0
        keys
        (value: float32)
        (whenSet: bool)
        =
        for i in 0 .. keys - 1 do
            let line = NativePtr.ofNativeInt<float32>(block + nativeint i * row)
            let flags = NativePtr.ofNativeInt<byte>(mask + nativeint (t0 * m.ByQuery + (s0 + i) * m.ByKey))
            if m.ByQuery = 0 then
                if (NativePtr.read flags <> 0uy) = whenSet then fill (NativePtr.toNativeInt line) queries value
            else
                for j in 0 .. queries - 1 do
                    if (NativePtr.get flags (j * m.ByQuery) <> 0uy) = whenSet then NativePtr.set line j value

    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private added (m: HeadMask) (mask: nativeint) (block: nativeint) t0 queries s0 keys =
        for i in 0 .. keys - 1 do
            let line = NativePtr.ofNativeInt<float32>(block + nativeint i * row)
            let bias = NativePtr.ofNativeInt<float32>(mask + bytes (t0 * m.ByQuery + (s0 + i) * m.ByKey))
            for j in 0 .. queries - 1 do
                NativePtr.set line j (NativePtr.get line j + NativePtr.get bias (j * m.ByQuery))

    /// Puts `value` where the mask excludes, and `outside` outside of the band; adds the bias, if the block holds scores.
    [<MethodImpl(MethodImplOptions.AggressiveOptimization)>]
    let private write
        (a: StreamedAttention)
        (mask: nativeint)
        head
        (block: nativeint)
        t0
        queries
        s0
        keys
        value
        outside
        isScores
        =
        let m = a.Mask
        match m.Kind with
        | MaskKind.Nothing -> ()
        | MaskKind.Excluded -> excluded m (mask + nativeint m.Heads[head]) block t0 queries s0 keys value true
        | MaskKind.Kept -> excluded m (mask + nativeint m.Heads[head]) block t0 queries s0 keys value false
        | MaskKind.Added -> if isScores then added m (mask + bytes m.Heads[head]) block t0 queries s0 keys
        if not (isWhole a t0 queries s0 keys) then band a block t0 queries s0 keys outside

    /// Masks a block of scores.
    let mask (a: StreamedAttention) (mask: nativeint) head (block: nativeint) t0 queries s0 keys =
        write a mask head block t0 queries s0 keys a.Mask.Fill -infinityf true

    /// Where scores were replaced by a number, nothing flows back to their products. (Below -∞ the weight is 0 anyway.)
    let maskCotangents (a: StreamedAttention) (mask: nativeint) head (block: nativeint) t0 queries s0 keys =
        if not (Single.IsNegativeInfinity a.Mask.Fill) then write a mask head block t0 queries s0 keys 0.0f 0.0f false

    /// Calls a function of attention on rows of a block, with numbers for each row (or one for all).
    let scale
        (f: Simd.Kernel)
        (words: nativeptr<nativeint>)
        (at: nativeint)
        (row: nativeint)
        rows
        (vectors: nativeint)
        (factors: nativeint)
        =
        NativePtr.set words AttentionSlot.Block at
        NativePtr.set words AttentionSlot.Row row
        NativePtr.set words AttentionSlot.Rows (nativeint (rows: int))
        NativePtr.set words AttentionSlot.Vectors vectors
        NativePtr.set words AttentionSlot.First factors
        f.Invoke(NativePtr.toNativeInt words)

    /// Calls a function that runs over queries, with up to three numbers for each.
    let call
        (f: Simd.Kernel)
        (words: nativeptr<nativeint>)
        (vectors: nativeint)
        (first: nativeint)
        (second: nativeint)
        (third: nativeint)
        =
        NativePtr.set words AttentionSlot.Vectors vectors
        NativePtr.set words AttentionSlot.First first
        NativePtr.set words AttentionSlot.Second second
        NativePtr.set words AttentionSlot.Third third
        f.Invoke(NativePtr.toNativeInt words)

    /// Says which blocks of scores the next function works on.
    let place (words: nativeptr<nativeint>) (block: nativeint) (other: nativeint) (keys: int) =
        NativePtr.set words AttentionSlot.Block block
        NativePtr.set words AttentionSlot.Other other
        NativePtr.set words AttentionSlot.Row row
        NativePtr.set words AttentionSlot.Rows (nativeint keys)

    /// The heights of the blocks that an extent is cut into.
    let heights (extent: int) (block: int) : seq<int> =
        seq [ min extent block; extent % block ] |> Seq.filter (fun h -> h > 0)
