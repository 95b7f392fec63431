namespace Nanograd

open System
open System.Buffers.Binary
open System.Collections.Generic
open System.IO
open System.IO.Compression
open System.Text
open System.Text.RegularExpressions

/// How the elements of an NPY file lie.
type NpyLayout =
    {
        /// First axis fastest, as Fortran has it, instead of the last.
        Fortran: bool
        BigEndian: bool
    }

/// Tensors in NumPy's files: one a file (.npy), or several with names in a zip archive (.npz).
[<RequireQualifiedAccess>]
module Npy =
    let private magic = [| 0x93uy; byte 'N'; byte 'U'; byte 'M'; byte 'P'; byte 'Y' |]

    /// NumPy's codes: kind and bytes, and what they become. 16-bit integers and unsigned 64-bit ones have no tensors of their own.
    let private kinds =
        dict
            [ "f2", DType.F16
              "f4", DType.F32
              "f8", DType.F64
              "i1", DType.I8
              "i2", DType.I32
              "i4", DType.I32
              "i8", DType.I64
              "u1", DType.U8
              "u2", DType.I32
              "u4", DType.U32
              "u8", DType.I64
              "b1", DType.Bool ]

    /// Row-major (C) and little-endian, as NumPy itself writes.
    let usual: NpyLayout = { Fortran = false; BigEndian = false }

    // ---- reading

    [<NoComparison>]
    type private Header = { Kind: string; IsBig: bool; IsFortran: bool; Shape: int[]; DataStart: int }

    let private item (path: string) (text: string) (key: string) (pattern: string) =
        let found = Regex.Match(text, $"['\"]{key}['\"]\\s*:\\s*{pattern}")
        if not found.Success then DataFile.bad path $"its header says nothing usable about {key}: {text.Trim()}"
        found.Groups[1].Value

    let private shapeOf (path: string) (text: string) =
        let parts = text.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)
        let extents =
            parts
            |> Array.map (fun part ->
                match Int64.TryParse(part.TrimEnd 'L') with
                | true, n when n >= 0L -> n
                | _ -> DataFile.bad path $"its shape ({text}) is not one of whole numbers")
        let limit = int64 Int32.MaxValue
        let count = (1L, extents) ||> Array.fold (fun n e -> if n > limit then n else n * e)
        if count > limit || Array.exists (fun e -> e > limit) extents then
            DataFile.bad path $"its shape ({text}) has more than {limit} elements"
        Array.map int extents

    let private headerText (path: string) (bytes: byte[]) : struct (string * int) =
        if bytes.Length < 10 || not (MemoryExtensions.SequenceEqual(ReadOnlySpan(bytes, 0, 6), ReadOnlySpan magic)) then
            DataFile.bad path "is not an NPY file (it does not begin as one)"
        let isWide = bytes[6] > 1uy
        if bytes[6] = 0uy || bytes[6] > 3uy then
            DataFile.bad path $"is of NPY version {bytes[6]}, which is not known (1 to 3 are)"
        if isWide && bytes.Length < 12 then DataFile.bad path "is truncated (its header is cut)"
        let start = if isWide then 12 else 10
        let length =
            if isWide then
                int64 (BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(bytes, 8, 4)))
            else
                int64 (BinaryPrimitives.ReadUInt16LittleEndian(ReadOnlySpan(bytes, 8, 2)))
        if int64 start + length > int64 bytes.Length then DataFile.bad path "is truncated (its header is cut)"
        struct (Encoding.UTF8.GetString(bytes, start, int length), start + int length)

    let private header (path: string) (bytes: byte[]) : Header =
        let struct (text, dataStart) = headerText path bytes
        let descr = item path text "descr" "(['\"][^'\"]*['\"]|\\[)"
        if descr = "[" then DataFile.bad path "holds records of several fields; only plain arrays become tensors"
        let descr = descr.Trim('\'', '"')
        let kind = descr.TrimStart('<', '>', '=', '|')
        if not (kinds.ContainsKey kind) then
            DataFile.bad path $"holds elements of type '{descr}', for which there is no tensor"
        { Kind = kind
          IsBig = descr.StartsWith '>' || (descr.StartsWith '=' && not BitConverter.IsLittleEndian)
          IsFortran = item path text "fortran_order" "(True|False)" = "True"
          Shape = shapeOf path (item path text "shape" "\\(([^)]*)\\)")
          DataStart = dataStart }

    /// Elements of the machine's byte order as those of a tensor.
    let private convert (path: string) (kind: string) (data: Span<byte>) (target: Storage) =
        match kind with
        | "i2"
        | "u2" ->
            let short = Runtime.InteropServices.MemoryMarshal.Cast<byte, int16> data
            let wide = Buffers.span<int32> target
            for i in 0 .. wide.Length - 1 do
                wide[i] <- if kind = "i2" then int32 short[i] else int32 (uint16 short[i])
        | _ ->
            data.CopyTo(Host.bytes target)
            if kind = "u8" && (Buffers.span<int64> target).ContainsAnyInRange(Int64.MinValue, -1L) then
                DataFile.bad path "holds unsigned 64-bit integers that do not fit into signed ones"
            if kind = "b1" && (Host.bytes target).ContainsAnyExceptInRange(0uy, 1uy) then
                DataFile.bad path "holds truth values that are neither 0 nor 1"

    let private transposed (t: Tensor) =
        if t.Rank < 2 then
            t
        else
            (Program.evaluate [| Op.permute (Array.init t.Rank (fun i -> t.Rank - 1 - i)) t |]).[0]

    let private decode (path: string) (bytes: byte[]) : Tensor =
        let h = header path bytes
        let size = int (string h.Kind[1])
        let count = Shape.count h.Shape
        let there, wanted = int64 (bytes.Length - h.DataStart), int64 count * int64 size
        if there <> wanted then
            let what = if there < wanted then "is truncated" else "has too many bytes"
            let shape = String.Join(",", h.Shape)
            DataFile.bad path $"{what}: {h.Kind}[{shape}] needs {wanted} bytes of data, there are {there}"
        let data = Span<byte>(bytes, h.DataStart, int wanted)
        if h.IsBig = BitConverter.IsLittleEndian then Idx.reverse size data
        let target = Buffers.allocate kinds[h.Kind] count
        convert path h.Kind data target
        if h.IsFortran then transposed (Op.literal target (Array.rev h.Shape)) else Op.literal target h.Shape

    /// The tensor of a .npy file: f2, f4, f8, i1, i4, i8, u1, u4 and bool as they are; i2 and u2 become i32, u8 (64 bits) i64 where the
    /// numbers fit.
    let read (path: string) : Tensor = decode path (DataFile.read "an NPY file" path)

    // ---- writing

    let private kindOf (t: Tensor) =
        match t.DType with
        | DType.F16 -> "f2"
        | DType.F32 -> "f4"
        | DType.F64 -> "f8"
        | DType.I8 -> "i1"
        | DType.I32 -> "i4"
        | DType.I64 -> "i8"
        | DType.U8 -> "u1"
        | DType.U32 -> "u4"
        | DType.Bool -> "b1"
        | DType.BF16 -> Shape.fail "npy" "NumPy has no bf16" "cast to f32, which holds every bf16" [ t ]

    let private encode (layout: NpyLayout) (t: Tensor) : byte[] =
        let kind = kindOf t
        let size = DType.size t.DType
        let order =
            if size = 1 then "|"
            elif layout.BigEndian then ">"
            else "<"
        let extents =
            match t.Shape with
            | [| n |] -> $"({n},)"
            | shape -> "(" + String.Join(", ", shape) + ")"
        let fortran = if layout.Fortran then "True" else "False"
        let text = $"{{'descr': '{order}{kind}', 'fortran_order': {fortran}, 'shape': {extents}, }}"
        // Version 1: ten bytes before the text, which ends with a line feed where a multiple of 64 is full.
        let padded = text.PadRight((10 + text.Length + 1 + 63) / 64 * 64 - 11) + "\n"
        let data = (Host.bytes (Host.storage (if layout.Fortran then transposed t else t))).ToArray()
        if layout.BigEndian = BitConverter.IsLittleEndian then Idx.reverse size (Span data)
        let length = [| byte padded.Length; byte (padded.Length >>> 8) |]
        Array.concat [ magic; [| 1uy; 0uy |]; length; Encoding.ASCII.GetBytes padded; data ]

    /// Writes a .npy file, atomically, in a layout.
    let writeAs (layout: NpyLayout) (path: string) (t: Tensor) : unit =
        let bytes = encode layout t
        AtomicFile.write path (fun stream -> stream.Write(ReadOnlySpan bytes))

    /// Writes a .npy file, atomically.
    let write (path: string) (t: Tensor) : unit = writeAs usual path t

    // ---- archives

    let private entryBytes (path: string) (entry: ZipArchiveEntry) =
        use stream = entry.Open()
        use whole = new MemoryStream()
        stream.CopyTo whole
        let bytes = whole.ToArray()
        if int64 bytes.Length <> entry.Length || Crc32.ofBytes bytes <> entry.Crc32 then
            DataFile.bad path $"its entry '{entry.FullName}' is damaged (length or checksum is wrong)"
        bytes

    /// The tensors of a .npz file by name.
    let readAll (path: string) : IReadOnlyDictionary<string, Tensor> =
        let bytes = DataFile.read "an NPZ file" path
        try
            use archive = new ZipArchive(new MemoryStream(bytes), ZipArchiveMode.Read)
            let tensors = Dictionary<string, Tensor>()
            for entry in archive.Entries do
                let name = entry.FullName
                if not (name.EndsWith(".npy", StringComparison.Ordinal)) then
                    DataFile.bad path $"its entry '{name}' is not an array (.npy)"
                tensors[name[.. name.Length - 5]] <- decode $"{path}, {name}" (entryBytes path entry)
            tensors
        with :? InvalidDataException as e when not (e.Message.StartsWith path) ->
            DataFile.bad path $"is not an NPZ file, or is damaged ({e.Message.TrimEnd '.'})"

    let private pack (level: CompressionLevel) (path: string) (tensors: IReadOnlyDictionary<string, Tensor>) =
        AtomicFile.write path (fun stream ->
            use archive = new ZipArchive(stream, ZipArchiveMode.Create, true)
            for pair in tensors do
                let entry = archive.CreateEntry(pair.Key + ".npy", level)
                entry.LastWriteTime <- DateTimeOffset(1980, 1, 1, 0, 0, 0, TimeSpan.Zero) // equal tensors, equal files
                use target = entry.Open()
                target.Write(ReadOnlySpan(encode usual pair.Value)))

    /// Writes named tensors to a .npz file, atomically and without compression (numpy.savez).
    let writeAll (path: string) (tensors: IReadOnlyDictionary<string, Tensor>) : unit =
        pack CompressionLevel.NoCompression path tensors

    /// Writes named tensors to a .npz file, atomically and compressed (numpy.savez_compressed).
    let writeCompressed (path: string) (tensors: IReadOnlyDictionary<string, Tensor>) : unit =
        pack CompressionLevel.Optimal path tensors
