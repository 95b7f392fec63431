namespace Nanograd

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Text

/// PNG files: whether one is whole, which decoders do not ask, and how one is written. Decoding is StbImageSharp's.
[<RequireQualifiedAccess>]
module internal Png =
    let private signature = [| 0x89uy; 0x50uy; 0x4Euy; 0x47uy; 0x0Duy; 0x0Auy; 0x1Auy; 0x0Auy |]

    /// True of bytes that begin as a PNG file does.
    let isOne (bytes: byte[]) : bool =
        bytes.Length >= 8 && MemoryExtensions.SequenceEqual(ReadOnlySpan(bytes, 0, 8), ReadOnlySpan signature)

    /// All chunks must be there, to the last one, with the checksums that they say.
    let check (path: string) (bytes: byte[]) : unit =
        let number at = BinaryPrimitives.ReadUInt32BigEndian(ReadOnlySpan(bytes, at, 4))
        let mutable at, isOver = 8, false
        while not isOver do
            if bytes.Length - at < 12 then
                DataFile.bad path $"is a truncated PNG file (it ends after {bytes.Length} bytes)"
            let length = int64 (number at)
            let kind = Encoding.Latin1.GetString(bytes, at + 4, 4)
            if length > int64 (bytes.Length - at - 12) then
                DataFile.bad path $"is a truncated PNG file (its chunk {kind} at byte {at} is cut)"
            let size = int length
            if Crc32.ofPart bytes (at + 4) (size + 4) <> number (at + 8 + size) then
                DataFile.bad path $"is a damaged PNG file (the checksum of its chunk {kind} at byte {at} is wrong)"
            isOver <- kind = "IEND"
            at <- at + 12 + size

    let private chunk (kind: string) (data: byte[]) : byte[] =
        let bytes = Array.zeroCreate<byte>(data.Length + 12)
        BinaryPrimitives.WriteInt32BigEndian(Span bytes, data.Length)
        Encoding.Latin1.GetBytes kind |> Array.iteri (fun i b -> bytes[4 + i] <- b)
        data.CopyTo(bytes, 8)
        BinaryPrimitives.WriteUInt32BigEndian(
            Span<byte>(bytes, data.Length + 8, 4),
            Crc32.ofPart bytes 4 (data.Length + 4)
        )
        bytes

    /// A file of 8-bit pixels, `channels` (1 to 4: grey, grey and alpha, RGB, RGBA) side by side, row by row.
    let encode (channels: int) (height: int) (width: int) (pixels: byte[]) : byte[] =
        let header = Array.zeroCreate<byte> 13
        BinaryPrimitives.WriteInt32BigEndian(Span header, width)
        BinaryPrimitives.WriteInt32BigEndian(Span<byte>(header, 4, 4), height)
        header[8] <- 8uy
        header[9] <- [| 0uy; 4uy; 2uy; 6uy |].[channels - 1]
        use packed = new MemoryStream()
        using (new ZLibStream(packed, CompressionLevel.Optimal, true)) (fun stream ->
            let row = channels * width
            for y in 0 .. height - 1 do
                stream.WriteByte 0uy // the row as it is
                stream.Write(pixels, y * row, row))
        Array.concat [ signature; chunk "IHDR" header; chunk "IDAT" (packed.ToArray()); chunk "IEND" [||] ]
