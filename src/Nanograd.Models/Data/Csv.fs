namespace Nanograd

open System
open System.Collections.Generic
open System.Globalization
open System.IO
open System.Text
open CsvHelper
open CsvHelper.Configuration

/// What to do with a missing value where a number is wanted.
[<RequireQualifiedAccess>]
type Missing =
    /// An error that names line and column.
    | Fail
    /// This number in its place.
    | Fill of float
    /// Leave the row out.
    | Drop

/// How a CSV file is written.
type CsvOptions =
    {
        Delimiter: string
        /// Whether the first line names the columns; otherwise they are named by their numbers, from 0.
        HasHeader: bool
        /// What stands for a missing value, beside nothing at all; case does not matter.
        MissingMarks: string list
    }

/// A CSV file as texts.
[<Sealed>]
type CsvTable internal (path: string, columns: string[], rows: string[][], lines: int[], marks: HashSet<string>) =
    /// The names of the columns.
    member _.Columns = columns
    /// The cells, row by row.
    member _.Rows = rows
    /// The number of rows.
    member _.Length = rows.Length
    member internal _.Path = path
    member internal _.Marks = marks
    /// The line of the file that each row ends on, from 1.
    member internal _.Lines = lines

    member internal _.IsMissing(cell: string) = String.IsNullOrWhiteSpace cell || marks.Contains(cell.Trim())

    /// The place of a column among all.
    member _.IndexOf(column: string) : int =
        match Array.IndexOf(columns, column) with
        | -1 ->
            let names = String.Join(", ", columns |> Array.truncate 20) + (if columns.Length > 20 then ", ..." else "")
            raise (KeyNotFoundException $"{path}: there is no column '{column}'; there are {names}.")
        | i -> i

/// Tables in text files, read by CsvHelper. Numbers are written with a point, whatever the country.
[<RequireQualifiedAccess>]
module Csv =
    /// A comma, a header, and the usual marks.
    let defaults: CsvOptions =
        { Delimiter = ","
          HasHeader = true
          MissingMarks = [ "NA"; "N/A"; "NaN"; "null"; "None"; "?" ] }

    let private parse (path: string) (options: CsvOptions) (text: TextReader) =
        let configuration = CsvConfiguration(CultureInfo.InvariantCulture)
        configuration.Delimiter <- options.Delimiter
        configuration.HasHeaderRecord <- false // names are ours to check
        configuration.DetectColumnCountChanges <- false
        configuration.BadDataFound <-
            fun bad ->
                DataFile.bad path $"line {bad.Context.Parser.RawRow} has a quote that is not closed or not doubled"
        use parser = new CsvParser(text, configuration)
        let rows, lines = List<string[]>(), List<int>()
        while parser.Read() do
            rows.Add parser.Record
            lines.Add parser.RawRow
        rows.ToArray(), lines.ToArray()

    let private checkedNames (path: string) (names: string[]) =
        let repeated = names |> Array.countBy id |> Array.tryFind (fun (_, n) -> n > 1)
        match repeated with
        | Some(name, n) -> DataFile.bad path $"{n} columns have the name '{name}'"
        | None -> names

    /// The cells of a file. Rows have as many cells as the first one, or the file is refused with the number of the line.
    let read (options: CsvOptions) (path: string) : CsvTable =
        let bytes = DataFile.read "a CSV file" path
        use reader = new StreamReader(new MemoryStream(bytes), Encoding.UTF8, true)
        let rows, lines = parse path options reader
        if rows.Length = 0 then DataFile.bad path "is empty: there is not even a header"
        let width = rows[0].Length
        rows
        |> Array.iteri (fun i row ->
            if row.Length <> width then
                DataFile.bad path $"line {lines[i]} has {row.Length} cells where the first line has {width}")
        let names = if options.HasHeader then rows[0] |> Array.map (fun s -> s.Trim()) else Array.init width string
        let start = if options.HasHeader then 1 else 0
        let marks = HashSet<string>(options.MissingMarks, StringComparer.OrdinalIgnoreCase)
        CsvTable(path, checkedNames path names, rows[start..], lines[start..], marks)

    let private complaint (table: CsvTable) row column what : 'a =
        DataFile.bad table.Path $"line {table.Lines[row]}, column '{table.Columns[column]}': {what}"

    let private number (table: CsvTable) (missing: Missing) (row: int) (column: int) : float =
        let cell = table.Rows[row].[column]
        if table.IsMissing cell then
            match missing with
            | Missing.Fill value -> value
            | Missing.Fail
            | Missing.Drop -> complaint table row column "a value is missing"
        else
            let mutable value = 0.0
            if not (Double.TryParse(cell, NumberStyles.Float, CultureInfo.InvariantCulture, &value)) then
                complaint table row column $"'{cell}' is not a number"
            value

    /// The rows of a table that have all of these values.
    let dropMissing (columns: seq<string>) (table: CsvTable) : CsvTable =
        let places = columns |> Seq.map table.IndexOf |> Seq.toArray
        let whole =
            [| 0 .. table.Length - 1 |]
            |> Array.filter (fun r -> places |> Array.forall (fun c -> not (table.IsMissing table.Rows[r].[c])))
        let pick (all: 'a[]) = whole |> Array.map (fun r -> all[r])
        CsvTable(table.Path, table.Columns, pick table.Rows, pick table.Lines, table.Marks)

    /// Columns as numbers, `[rows; columns]` of f32. `Missing.Drop` is for `load`, which keeps rows together; here it fails.
    let numbers (missing: Missing) (columns: seq<string>) (table: CsvTable) : Tensor =
        let places = columns |> Seq.map table.IndexOf |> Seq.toArray
        let values = Array.zeroCreate<float32>(table.Length * places.Length)
        for r in 0 .. table.Length - 1 do
            for k in 0 .. places.Length - 1 do
                values[r * places.Length + k] <- float32 (number table missing r places[k])
        Host.float32s [| table.Length; places.Length |] values

    /// A column as texts.
    let texts (column: string) (table: CsvTable) : string[] =
        let c = table.IndexOf column
        table.Rows |> Array.map (fun row -> row[c])

    /// A column as classes, i64 `[rows]`, and their names. Whole numbers from 0 are classes as they are; anything else is numbered in the
    /// order of the names.
    let classes (column: string) (table: CsvTable) : Tensor * string[] =
        let c = table.IndexOf column
        table.Rows |> Array.iteri (fun r row -> if table.IsMissing row[c] then complaint table r c "a class is missing")
        let cells = table.Rows |> Array.map (fun row -> row[c].Trim())
        let whole =
            cells
            |> Array.map (fun s ->
                match Int64.TryParse(s, NumberStyles.None, CultureInfo.InvariantCulture) with
                | true, n when n < int64 Int32.MaxValue -> n
                | _ -> -1L)
        if Array.forall (fun n -> n >= 0L) whole then
            let count = if whole.Length = 0 then 0 else int (Array.max whole) + 1
            Host.int64s [| whole.Length |] whole, Array.init count string
        else
            let names = Array.distinct cells
            Array.Sort(names, StringComparer.Ordinal)
            let places = Dictionary<string, int64>()
            names |> Array.iteri (fun i name -> places[name] <- int64 i)
            Host.int64s [| cells.Length |] (cells |> Array.map (fun s -> places[s])), names

    /// All columns but the label's as numbers, f32 `[rows; columns]`, and the label's as classes, i64 `[rows]`.
    let load (options: CsvOptions) (missing: Missing) (label: string) (path: string) : Tensor * Tensor =
        let table = read options path
        let wanted = table.Columns |> Array.filter (fun c -> c <> label)
        let table =
            match missing with
            | Missing.Drop -> dropMissing (Seq.append [ label ] wanted) table
            | Missing.Fail
            | Missing.Fill _ -> table
        let y, _ = classes label table
        numbers missing wanted table, y

    /// Writes named columns of texts, atomically.
    let writeTexts (options: CsvOptions) (path: string) (columns: string[]) (rows: seq<string[]>) : unit =
        let configuration = CsvConfiguration(CultureInfo.InvariantCulture)
        configuration.Delimiter <- options.Delimiter
        configuration.NewLine <- "\n"
        AtomicFile.write path (fun stream ->
            use text = new StreamWriter(stream, UTF8Encoding false, 1 <<< 16, true)
            use csv = new CsvWriter(text, configuration, true)
            let line (cells: string[]) =
                if cells.Length <> columns.Length then
                    let got = $"{cells.Length} cells for {columns.Length} columns"
                    raise (ShapeException("csv", "every row must have a cell for each column", got, ""))
                for cell in cells do
                    csv.WriteField cell
                csv.NextRecord()
            if options.HasHeader then line columns
            for row in rows do
                line row)

    /// Writes a matrix `[rows; columns]` with the names of its columns, atomically. Numbers are written so that they are read back
    /// exactly.
    let write (options: CsvOptions) (path: string) (columns: seq<string>) (x: Tensor) : unit =
        let columns = Seq.toArray columns
        if x.Rank <> 2 || x.Shape[1] <> columns.Length then
            Shape.fail "csv" $"a matrix with a column for each of the {columns.Length} names" "" [ x ]
        let s = Host.storage x
        let cell i =
            let c = Buffers.read s i
            match x.DType with
            | DType.F64 -> c.Float.ToString("R", CultureInfo.InvariantCulture)
            | d when DType.isFloat d -> (float32 c.Float).ToString("R", CultureInfo.InvariantCulture)
            | _ -> string c.Int
        let row r = Array.init columns.Length (fun k -> cell (r * columns.Length + k))
        writeTexts options path columns (Seq.init x.Shape[0] row)
