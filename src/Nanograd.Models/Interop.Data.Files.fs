namespace Nanograd.Models

open System
open System.Collections.Generic
open Nanograd

/// A CSV file.
[<Sealed>]
type CsvFile internal (table: CsvTable) =
    static member private Options(delimiter: string, header: bool) =
        { Csv.defaults with Delimiter = delimiter; HasHeader = header }

    static member private Missing(fill: Nullable<float>, drop: bool) =
        match drop, fill.HasValue with
        | true, true -> raise (ArgumentException "Missing values are either filled or their rows dropped, not both.")
        | true, false -> Missing.Drop
        | false, true -> Missing.Fill fill.Value
        | false, false -> Missing.Fail

    member _.Columns = table.Columns
    member _.Rows = table.Rows
    member _.Numbers(columns: IEnumerable<string>, fill: Nullable<float>) : Tensor =
        Csv.numbers (CsvFile.Missing(fill, false)) columns table
    member _.Texts(column: string) : string[] = Csv.texts column table
    member _.Classes(column: string) : struct (Tensor * string[]) =
        let classes, names = Csv.classes column table
        struct (classes, names)
    member _.DropMissing(columns: IEnumerable<string>) = CsvFile(Csv.dropMissing columns table)

    static member Read(path: string, delimiter: string, header: bool) =
        CsvFile(Csv.read (CsvFile.Options(delimiter, header)) path)

    static member Load
        (path: string, label: string, delimiter: string, header: bool, fill: Nullable<float>, drop: bool)
        : struct (Tensor * Tensor) =
        let x, y = Csv.load (CsvFile.Options(delimiter, header)) (CsvFile.Missing(fill, drop)) label path
        struct (x, y)

    static member Write(path: string, columns: IEnumerable<string>, x: Tensor, delimiter: string, header: bool) : unit =
        Csv.write (CsvFile.Options(delimiter, header)) path columns x

/// Tensors in files of other kinds.
[<AbstractClass; Sealed>]
type ArrayFile =
    static member ReadIdx(path: string) : Tensor = Idx.read path
    static member WriteIdx(path: string, t: Tensor) : unit = Idx.write path t
    static member ReadNpy(path: string) : Tensor = Npy.read path
    static member WriteNpy(path: string, t: Tensor, fortran: bool, bigEndian: bool) : unit =
        Npy.writeAs { Fortran = fortran; BigEndian = bigEndian } path t
    static member ReadNpz(path: string) : IReadOnlyDictionary<string, Tensor> = Npy.readAll path
    static member WriteNpz(path: string, tensors: IReadOnlyDictionary<string, Tensor>, compressed: bool) : unit =
        (if compressed then Npy.writeCompressed else Npy.writeAll) path tensors

/// Images in files.
[<AbstractClass; Sealed>]
type Pictures =
    static member private Mode(channels: int) =
        match channels with
        | 0 -> ImageMode.Unchanged
        | 1 -> ImageMode.Gray
        | 3 -> ImageMode.Rgb
        | _ -> ImageMode.Rgba

    /// 1, 3 or 4 channels; 0: those of the file.
    static member Read(path: string, channels: int) : Tensor = ImageFile.readAs (Pictures.Mode channels) path
    static member Write(path: string, image: Tensor) : unit = ImageFile.write path image
    static member Grid(images: Tensor, columns: int, padding: int) : Tensor = ImageFile.grid columns padding images
    static member Classes(folder: string) : string[] = ImageFolder.classes folder
    /// Paths and classes of a folder.
    static member Files(folder: string) : struct (string * int)[] =
        ImageFolder.files folder |> Array.map (fun (path, label) -> struct (path, label))

/// Known data sets in files: inputs and targets, row by row.
[<AbstractClass; Sealed>]
type KnownData =
    static member private Pair(x: Tensor, y: Tensor) = struct (x, y)
    static member Mnist(folder: string, train: bool) : struct (Tensor * Tensor) =
        KnownData.Pair(Datasets.mnistTensors train folder)
    static member Digits(path: string) : struct (Tensor * Tensor) = KnownData.Pair(Datasets.digitsTensors path)
    static member Text(path: string, context: int) : struct (TextTokenizer * Tensor * Tensor) =
        let tokenizer, d = Datasets.text context path
        let x, y =
            if d.Length = 0 then
                raise (IO.InvalidDataException $"{path}: the text has no window of {context} characters and one more.")
            else
                Collate.stack (Dataset.toArray d)
        struct (TextTokenizer tokenizer, x, y)
