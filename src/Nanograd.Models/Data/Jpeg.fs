namespace Nanograd

open System.IO

/// Bytes for a decoder that takes zeros where the bytes end, some of them for ever: after many such reads it is stopped.
[<Sealed>]
type internal BoundedStream(bytes: byte[]) =
    inherit MemoryStream(bytes, false)
    let mutable beyond = 0

    let note isOver =
        if isOver then
            beyond <- beyond + 1
            if beyond > 4096 then raise (EndOfStreamException "it ends too early")

    override _.ReadByte() =
        let read = base.ReadByte()
        note (read < 0)
        read

    override _.Read(buffer: byte[], offset: int, count: int) =
        let read = base.Read(buffer, offset, count)
        note (read = 0 && count > 0)
        read

/// JPEG files: whether one is whole, which decoders do not ask. Decoding is StbImageSharp's.
[<RequireQualifiedAccess>]
module internal Jpeg =
    /// True of bytes that begin as a JPEG file does.
    let isOne (bytes: byte[]) : bool = bytes.Length >= 2 && bytes[0] = 0xFFuy && bytes[1] = 0xD8uy

    /// Markers that stand alone: restarts, and the temporary one.
    let private isAlone (marker: byte) = marker = 1uy || (marker >= 0xD0uy && marker <= 0xD7uy)

    /// The place of the next marker after compressed pixels: FF that is followed by neither 00 nor a restart.
    let rec private afterScan (bytes: byte[]) (at: int) : int =
        if at + 1 >= bytes.Length then bytes.Length
        elif bytes[at] = 0xFFuy && bytes[at + 1] <> 0uy && bytes[at + 1] <> 0xFFuy && not (isAlone bytes[at + 1]) then at
        else afterScan bytes (at + 1)

    /// All segments must be there, to the end marker.
    let check (path: string) (bytes: byte[]) : unit =
        let cut what = DataFile.bad path $"is a truncated JPEG file ({what})"
        let rec segment at =
            if at + 2 > bytes.Length then cut $"it ends after {bytes.Length} bytes"
            let marker = bytes[at + 1]
            if bytes[at] <> 0xFFuy then
                DataFile.bad path $"is a damaged JPEG file (no marker at byte {at})"
            elif marker = 0xFFuy then
                segment (at + 1)
            elif isAlone marker then
                segment (at + 2)
            elif marker <> 0xD9uy then
                if at + 4 > bytes.Length then cut $"it ends after {bytes.Length} bytes"
                let length = (int bytes[at + 2] <<< 8) ||| int bytes[at + 3]
                if length < 2 then DataFile.bad path $"is a damaged JPEG file (an empty segment at byte {at})"
                let next = at + 2 + length
                if next > bytes.Length then cut $"its segment at byte {at} is cut"
                segment (if marker = 0xDAuy then afterScan bytes next else next)
        segment 2
