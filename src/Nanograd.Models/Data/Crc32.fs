namespace Nanograd

/// The checksum of PNG chunks and zip entries (CRC-32 of ISO 3309).
[<RequireQualifiedAccess>]
module internal Crc32 =
    let private table =
        Array.init 256 (fun n ->
            (uint32 n, [ 1..8 ])
            ||> List.fold (fun c _ -> if c &&& 1u = 1u then 0xEDB88320u ^^^ (c >>> 1) else c >>> 1))

    /// The checksum of a part of an array.
    let ofPart (bytes: byte[]) (start: int) (count: int) : uint32 =
        let mutable c = 0xFFFFFFFFu
        for i in start .. start + count - 1 do
            c <- table[int ((c ^^^ uint32 bytes[i]) &&& 0xFFu)] ^^^ (c >>> 8)
        c ^^^ 0xFFFFFFFFu

    /// The checksum of an array.
    let ofBytes (bytes: byte[]) : uint32 = ofPart bytes 0 bytes.Length
