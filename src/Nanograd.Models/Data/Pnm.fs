namespace Nanograd

open System
open System.Text

/// Portable maps: PGM (grey) and PPM (RGB), as text (P2, P3) and in binary form (P5, P6).
[<RequireQualifiedAccess>]
module internal Pnm =
    /// True of bytes that begin as a grey or RGB map does.
    let isOne (bytes: byte[]) : bool =
        bytes.Length >= 3
        && bytes[0] = byte 'P'
        && bytes[1] >= byte '1'
        && bytes[1] <= byte '6'
        && Char.IsWhiteSpace(char bytes[2])

    /// Reads whole numbers between blanks and comments.
    type private Reader(path: string, bytes: byte[]) =
        let mutable at = 2
        member _.At = at
        member _.Number(what: string) : int =
            while at < bytes.Length && (Char.IsWhiteSpace(char bytes[at]) || bytes[at] = byte '#') do
                if bytes[at] = byte '#' then
                    while at < bytes.Length && bytes[at] <> byte '\n' do
                        at <- at + 1
                else
                    at <- at + 1
            let start = at
            while at < bytes.Length && Char.IsAsciiDigit(char bytes[at]) do
                at <- at + 1
            if at = bytes.Length && start = at then DataFile.bad path $"is a truncated portable map (no {what})"
            match Int32.TryParse(Encoding.ASCII.GetString(bytes, start, at - start)) with
            | true, n -> n
            | _ -> DataFile.bad path $"is a damaged portable map ({what} at byte {start} is not a number)"

    /// Channels, height, width and the 8-bit pixels, channels side by side. Other depths are scaled to 255.
    let decode (path: string) (bytes: byte[]) : struct (int * int * int * byte[]) =
        let kind = int bytes[1] - int '0'
        if kind = 1 || kind = 4 then DataFile.bad path "is a bitmap (PBM); grey (PGM) and RGB (PPM) maps are read"
        let channels = if kind = 2 || kind = 5 then 1 else 3
        let reader = Reader(path, bytes)
        let width, height, depth = reader.Number "width", reader.Number "height", reader.Number "greatest value"
        let count = int64 width * int64 height * int64 channels
        if width < 1 || height < 1 || depth < 1 || depth > 65535 || count > int64 Int32.MaxValue then
            DataFile.bad path $"is a damaged portable map ({width} x {height} pixels up to {depth})"
        let count = int count
        let scaled value =
            if value > depth then DataFile.bad path $"is a damaged portable map (a value of {value} above {depth})"
            if depth = 255 then byte value else byte ((value * 255 + depth / 2) / depth)
        if kind <= 3 then
            struct (channels, height, width, Array.init count (fun _ -> scaled (reader.Number "pixel")))
        else
            let start, size = reader.At + 1, (if depth > 255 then 2 else 1) // one blank, then the pixels
            let there, wanted = int64 (bytes.Length - start), int64 count * int64 size
            if there < wanted then
                DataFile.bad path $"is a truncated portable map ({wanted} bytes of pixels, there are {max 0L there})"
            let value i =
                if size = 1 then
                    int bytes[start + i]
                else
                    (int bytes[start + 2 * i] <<< 8) ||| int bytes[start + 2 * i + 1]
            struct (channels, height, width, Array.init count (value >> scaled))

    /// A binary file of 8-bit pixels of 1 or 3 channels.
    let encode (channels: int) (height: int) (width: int) (pixels: byte[]) : byte[] =
        let kind = if channels = 1 then "P5" else "P6"
        Array.append (Encoding.ASCII.GetBytes $"{kind}\n{width} {height}\n255\n") pixels
