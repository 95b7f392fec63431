namespace Nanograd

open System
open System.IO

/// Files that are either the old ones or the new ones, never something between.
[<RequireQualifiedAccess>]
module AtomicFile =
    /// Writes a file by way of a temporary one in the same folder: filled, flushed to the disk, then renamed onto
    /// `path`. When anything fails, the temporary file is removed and `path` is as it was. Missing folders are made.
    let write (path: string) (fill: Stream -> unit) : unit =
        let full = Path.GetFullPath path
        if Directory.Exists full then raise (IOException $"{path} cannot be written: it is a folder.")
        match Path.GetDirectoryName full with
        | null
        | "" -> ()
        | folder -> Directory.CreateDirectory folder |> ignore
        // One fixed name: what a killed process left behind is overwritten by the next one instead of piling up.
        let temporary = full + ".tmp"
        try
            using
                (new FileStream(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 1 <<< 16))
                (fun stream ->
                    fill stream
                    stream.Flush true)
            File.Move(temporary, full, true)
        with _ ->
            try
                File.Delete temporary
            with :? IOException ->
                () // the first failure is the one to report
            reraise ()

    /// Writes a text as UTF-8 without a byte-order mark.
    let writeText (path: string) (text: string) : unit =
        write path (fun stream -> stream.Write(ReadOnlySpan(Text.Encoding.UTF8.GetBytes text)))
