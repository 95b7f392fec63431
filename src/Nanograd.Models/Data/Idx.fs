namespace Nanograd

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression

/// Tensors in IDX files, the format of MNIST: two zero bytes, one for the element type, one for the rank, the extents and the
/// elements, big-endian. Files may be compressed by gzip.
[<RequireQualifiedAccess>]
module Idx =
    /// The code of an element type, its bytes in the file, and the type it becomes.
    let private kinds =
        [| 0x08uy, 1, DType.U8
           0x09uy, 1, DType.I8
           0x0Buy, 2, DType.I32 // 16 bits; there is no such tensor
           0x0Cuy, 4, DType.I32
           0x0Duy, 4, DType.F32
           0x0Euy, 8, DType.F64 |]

    let private isGzip (bytes: byte[]) = bytes.Length >= 2 && bytes[0] = 0x1Fuy && bytes[1] = 0x8Buy

    let private unpacked (path: string) (bytes: byte[]) =
        if not (isGzip bytes) then
            bytes
        else
            try
                use packed = new GZipStream(new MemoryStream(bytes), CompressionMode.Decompress)
                use whole = new MemoryStream()
                packed.CopyTo whole
                let result = whole.ToArray()
                // Where the file ends too early, .NET may end the stream without a word: the last four bytes are the length.
                let length = BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(bytes, bytes.Length - 4, 4))
                if length <> uint32 result.Length then DataFile.bad path "is truncated (its gzip stream ends too early)"
                result
            with :? InvalidDataException as e when not (e.Message.StartsWith path) ->
                DataFile.bad path $"is a damaged gzip file ({e.Message.TrimEnd '.'})"

    /// Turns the bytes of each element around.
    let internal reverse (size: int) (bytes: Span<byte>) : unit =
        if size > 1 then
            for i in 0..size .. bytes.Length - size do
                bytes.Slice(i, size).Reverse()

    /// Extents, checked against the bytes that there are.
    let private extents (path: string) (bytes: byte[]) (size: int) =
        let rank = int bytes[3]
        if bytes.Length < 4 + 4 * rank then
            DataFile.bad path $"is truncated: {rank} extents do not fit into {bytes.Length} bytes"
        let shape =
            Array.init rank (fun i -> int64 (BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(bytes, 4 + 4 * i, 4))))
        let there = int64 bytes.Length - int64 (4 + 4 * rank)
        let count = (1L, shape) ||> Array.fold (fun n e -> if n > int64 Int32.MaxValue then n else n * e)
        if count > int64 Int32.MaxValue || count * int64 size <> there then
            let text = String.Join(",", shape)
            let what = if count * int64 size > there then "is truncated" else "has too many bytes"
            DataFile.bad
                path
                $"{what}: [{text}] of {size} bytes each need {count * int64 size} bytes of data, there are {there}"
        Array.map int shape

    /// The tensor of a file, compressed or not. 16-bit integers become i32.
    let read (path: string) : Tensor =
        let bytes = unpacked path (DataFile.read "an IDX file" path)
        if bytes.Length < 4 || bytes[0] <> 0uy || bytes[1] <> 0uy then
            DataFile.bad path "is not an IDX file (which begins with two zero bytes)"
        match kinds |> Array.tryFind (fun (code, _, _) -> code = bytes[2]) with
        | None -> DataFile.bad path $"is not an IDX file (there is no element type {bytes[2]:X2})"
        | Some(_, size, dtype) ->
            let shape = extents path bytes size
            let data = Span<byte>(bytes, 4 + 4 * shape.Length, bytes.Length - 4 - 4 * shape.Length)
            if BitConverter.IsLittleEndian then reverse size data
            let target = Buffers.allocate dtype (Shape.count shape)
            if size = DType.size dtype then
                data.CopyTo(Host.bytes target)
            else
                let short = Runtime.InteropServices.MemoryMarshal.Cast<byte, int16> data
                let wide = Buffers.span<int32> target
                for i in 0 .. wide.Length - 1 do
                    wide[i] <- int32 short[i]
            Op.literal target shape

    let private code (t: Tensor) =
        match t.DType with
        | DType.U8
        | DType.Bool -> 0x08uy
        | DType.I8 -> 0x09uy
        | DType.I32 -> 0x0Cuy
        | DType.F32 -> 0x0Duy
        | DType.F64 -> 0x0Euy
        | DType.F16
        | DType.BF16
        | DType.I64
        | DType.U32 -> Shape.fail "idx" "the format has u8, i8, i32, f32 and f64" "cast to one of them" [ t ]

    /// Writes a tensor of u8, i8, i32, f32, f64 or bool (as u8), atomically; compressed if the name ends with .gz.
    let write (path: string) (t: Tensor) : unit =
        let code = code t
        if t.Rank > 255 then Shape.fail "idx" "at most 255 axes" "" [ t ]
        let s = Host.storage t
        let header = Array.zeroCreate<byte>(4 + 4 * t.Rank)
        header[2] <- code
        header[3] <- byte t.Rank
        t.Shape |> Array.iteri (fun i e -> BinaryPrimitives.WriteInt32BigEndian(Span<byte>(header, 4 + 4 * i, 4), e))
        let data = (Host.bytes s).ToArray()
        if BitConverter.IsLittleEndian then reverse (DType.size t.DType) (Span data)
        let fill (stream: Stream) =
            stream.Write(ReadOnlySpan header)
            stream.Write(ReadOnlySpan data)
        AtomicFile.write path (fun stream ->
            if path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) then
                use packed = new GZipStream(stream, CompressionLevel.Optimal, true)
                fill packed
            else
                fill stream)
