namespace Nanograd

open System
open System.IO
open System.Text

/// Reading texts as they are.
[<RequireQualifiedAccess>]
module TextFile =
    let private strict = UTF8Encoding(false, true)

    /// The text of a UTF-8 file, unchanged but for a byte-order mark, which is dropped; line ends are kept. A file
    /// that is missing, empty or not UTF-8 is an error that says so.
    let read (path: string) : string =
        if Directory.Exists path then raise (IOException $"{path} is a folder, not a text file.")
        if not (File.Exists path) then raise (FileNotFoundException($"There is no file {path}.", path))
        let bytes = File.ReadAllBytes path
        let mark = bytes.Length >= 3 && bytes[0] = 0xEFuy && bytes[1] = 0xBBuy && bytes[2] = 0xBFuy
        let start = if mark then 3 else 0
        if bytes.Length = start then raise (InvalidDataException $"{path} is empty.")
        try
            strict.GetString(bytes, start, bytes.Length - start)
        with :? DecoderFallbackException as e ->
            let at = start + e.Index
            let value = bytes[at].ToString "X2"
            raise (
                InvalidDataException
                    $"{path} is not UTF-8 text: byte {at} (value {value}) does not fit; convert the file to UTF-8."
            )
