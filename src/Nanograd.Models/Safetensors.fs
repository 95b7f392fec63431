namespace Nanograd

#nowarn "9" // bytes of storages are read and written through native pointers
#nowarn "51"

open System
open System.Buffers.Binary
open System.Collections.Generic
open System.IO
open System.Security.Cryptography
open System.Text
open System.Text.Json
open Microsoft.FSharp.NativeInterop

/// Named tensors in files of the safetensors format: eight bytes with the length of the header, a JSON header that
/// says the type, shape and place of each tensor, and the row-major little-endian data.
[<RequireQualifiedAccess>]
module Safetensors =
    let private formatName (dtype: DType) =
        match dtype with
        | DType.F64 -> "F64"
        | DType.F32 -> "F32"
        | DType.F16 -> "F16"
        | DType.BF16 -> "BF16"
        | DType.I64 -> "I64"
        | DType.I32 -> "I32"
        | DType.U32 -> "U32"
        | DType.U8 -> "U8"
        | DType.I8 -> "I8"
        | DType.Bool -> "BOOL"

    let private ofFormatName (name: string) = DType.all |> List.tryFind (fun d -> formatName d = name)

    /// Longer headers are refused, as the reference implementation does: a wrong length must not allocate gigabytes.
    let private headerLimit = 100_000_000L

    let private bad (path: string) (what: string) : 'a = raise (InvalidDataException $"{path}: {what}.")

    /// Visits the bytes of a storage in pieces that a span can hold.
    let private pieces (storage: Storage) (visit: int64 -> nativeint -> int -> unit) =
        let total = int64 storage.Length * int64 (DType.size storage.DType)
        let mutable at = 0L
        while at < total do
            let size = int (min (total - at) (1L <<< 24))
            visit at (storage.Pointer + nativeint at) size
            at <- at + int64 size
        GC.KeepAlive storage

    let private bytesAt (pointer: nativeint) (size: int) =
        Span<byte>(NativePtr.toVoidPtr (NativePtr.ofNativeInt<byte> pointer), size)

    // ---- reading

    /// Where one tensor lies, relative to the end of the header.
    [<Struct>]
    type private Entry = { Name: string; DType: DType; Shape: int[]; Start: int64; Stop: int64 }

    let private entry (path: string) (name: string) (json: JsonElement) : Entry =
        let bad what = bad path $"tensor '{name}' {what}"
        let field (key: string) (kind: JsonValueKind) (wanted: string) =
            if json.ValueKind <> JsonValueKind.Object then bad "has no description in the header"
            match json.TryGetProperty key with
            | true, value when value.ValueKind = kind -> value
            | _ -> bad $"must have a '{key}' that is {wanted}"
        let whole (e: JsonElement) =
            match e.ValueKind with
            | JsonValueKind.Number ->
                (match e.TryGetInt64() with
                 | true, n -> n
                 | _ -> -1L)
            | _ -> -1L
        let dtypeName = (field "dtype" JsonValueKind.String "a text").GetString() |> string
        let extents = [| for e in (field "shape" JsonValueKind.Array "a list").EnumerateArray() -> whole e |]
        let offsets = [| for e in (field "data_offsets" JsonValueKind.Array "a list").EnumerateArray() -> whole e |]
        let dtype =
            match ofFormatName dtypeName with
            | Some d -> d
            | None -> bad $"has the element type {dtypeName}, which Nanograd does not have"
        if Array.exists (fun e -> e < 0L) extents then bad "has an extent that is not a whole number of 0 or more"
        let limit = int64 Int32.MaxValue
        let count = extents |> Array.fold (fun n e -> if n > limit || e > limit then limit + 1L else n * e) 1L
        if Array.contains 0L extents |> not && count > limit then bad $"has more than {limit} elements"
        if offsets.Length <> 2 || offsets[0] < 0L || offsets[1] < offsets[0] then
            bad "must have two data offsets, the first not after the second"
        let count = if Array.contains 0L extents then 0L else count
        let wanted = count * int64 (DType.size dtype)
        if offsets[1] - offsets[0] <> wanted then
            let shape = String.Join(",", extents)
            bad $"needs {wanted} bytes for {dtypeName}[{shape}], but its data offsets hold {offsets[1] - offsets[0]}"
        { Name = name
          DType = dtype
          Shape = Array.map int extents
          Start = offsets[0]
          Stop = offsets[1] }

    let private readDescriptions (path: string) (document: JsonDocument) =
        let root = document.RootElement
        if root.ValueKind <> JsonValueKind.Object then
            bad path "is not a safetensors file (its header is not a JSON object)"
        let metadata, entries, names = Dictionary<string, string>(), List<Entry>(), HashSet<string>()
        for property in root.EnumerateObject() do
            if not (names.Add property.Name) then bad path $"tensor '{property.Name}' is described twice"
            if property.Name = "__metadata__" then
                if property.Value.ValueKind <> JsonValueKind.Object then
                    bad path "its __metadata__ must be an object of texts"
                for pair in property.Value.EnumerateObject() do
                    if pair.Value.ValueKind <> JsonValueKind.String then
                        bad path $"its metadata '{pair.Name}' must be a text"
                    metadata[pair.Name] <- string (pair.Value.GetString())
            else
                entries.Add(entry path property.Name property.Value)
        metadata, entries.ToArray()

    let private parseHeader (path: string) (bytes: byte[]) =
        try
            use document = JsonDocument.Parse(ReadOnlyMemory bytes)
            readDescriptions path document
        with
        | :? JsonException -> bad path "is not a safetensors file (its header is not JSON)"
        | :? InvalidOperationException -> bad path "is damaged (a text in its header is not valid Unicode)"

    /// The data must be covered exactly: no overlaps, no holes, nothing after the last tensor, nothing missing.
    let private checkCover (path: string) (entries: Entry[]) (dataLength: int64) =
        let mutable at, previous = 0L, ""
        for e in entries |> Array.sortBy (fun e -> struct (e.Start, e.Stop)) do
            if e.Start < at then bad path $"tensors '{previous}' and '{e.Name}' overlap"
            if e.Start > at then bad path $"there are {e.Start - at} unused bytes before tensor '{e.Name}'"
            if e.Stop > dataLength then
                bad path $"is truncated: tensor '{e.Name}' ends at data byte {e.Stop}, but there are only {dataLength}"
            at <- e.Stop
            previous <- e.Name
        if at < dataLength then bad path $"there are {dataLength - at} unused bytes after the last tensor"

    let private openFile (path: string) =
        if Directory.Exists path then raise (IOException $"{path} is a folder, not a safetensors file.")
        if not (File.Exists path) then raise (FileNotFoundException($"There is no file {path}.", path))
        new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 <<< 16)

    let private readHeader (path: string) (stream: FileStream) =
        let start: byte[] = Array.zeroCreate 8
        if stream.Length < 8L then bad path $"is not a safetensors file (it has only {stream.Length} bytes)"
        stream.ReadExactly(Span start)
        let length = BinaryPrimitives.ReadUInt64LittleEndian(ReadOnlySpan start)
        if length > uint64 headerLimit then
            bad path $"is not a safetensors file (a header of {length} bytes is beyond all measure)"
        if int64 length > stream.Length - 8L then
            bad path $"is truncated or not a safetensors file (a header of {length} bytes in a file of {stream.Length})"
        let header: byte[] = Array.zeroCreate (int length)
        stream.ReadExactly(Span header)
        let metadata, entries = parseHeader path header
        checkCover path entries (stream.Length - 8L - int64 length)
        struct (metadata, entries, 8L + int64 length)

    let private readTensor (path: string) (stream: FileStream) (dataStart: int64) (e: Entry) =
        let storage = Buffers.allocate e.DType (Shape.count e.Shape)
        stream.Position <- dataStart + e.Start
        pieces storage (fun _ pointer size ->
            let part = bytesAt pointer size
            stream.ReadExactly part
            if e.DType = DType.Bool && part.ContainsAnyExceptInRange(0uy, 1uy) then
                bad path $"tensor '{e.Name}' is BOOL but holds a byte that is neither 0 nor 1")
        Op.literal storage e.Shape

    /// The metadata of a file; empty when it has none.
    let metadata (path: string) : IReadOnlyDictionary<string, string> =
        use stream = openFile path
        let struct (metadata, _, _) = readHeader path stream
        metadata

    /// The tensors of a file by name, and its metadata. The data goes straight into the memory of the tensors.
    let loadAll (path: string) : struct (IReadOnlyDictionary<string, Tensor> * IReadOnlyDictionary<string, string>) =
        use stream = openFile path
        let struct (metadata, entries, dataStart) = readHeader path stream
        let tensors = Dictionary<string, Tensor>(entries.Length)
        for e in entries |> Array.sortBy (fun e -> e.Start) do
            tensors[e.Name] <- readTensor path stream dataStart e
        struct (tensors, metadata)

    /// The tensors of a file by name.
    let load (path: string) : IReadOnlyDictionary<string, Tensor> =
        let struct (tensors, _) = loadAll path
        tensors

    // ---- writing

    /// Names in ordinal order with their values, all evaluated in one program.
    let private evaluated (tensors: IReadOnlyDictionary<string, Tensor>) =
        let pairs = tensors |> Seq.toArray
        let values = Program.evaluate (pairs |> Array.map (fun p -> p.Value))
        let named = Array.map2 (fun (p: KeyValuePair<string, Tensor>) value -> struct (p.Key, value)) pairs values
        Array.Sort(named, Comparison(fun (struct (a, _)) (struct (b, _)) -> String.CompareOrdinal(a, b)))
        named

    let private header (metadata: IReadOnlyDictionary<string, string>) (ordered: struct (string * Tensor)[]) =
        let buffer = new MemoryStream()
        using (new Utf8JsonWriter(buffer)) (fun json ->
            json.WriteStartObject()
            if metadata.Count > 0 then
                json.WriteStartObject "__metadata__"
                for pair in metadata |> Seq.sortWith (fun a b -> String.CompareOrdinal(a.Key, b.Key)) do
                    json.WriteString(pair.Key, pair.Value)
                json.WriteEndObject()
            let mutable at = 0L
            for struct (name, t) in ordered do
                let size = int64 t.Count * int64 (DType.size t.DType)
                json.WriteStartObject name
                json.WriteString("dtype", formatName t.DType)
                json.WriteStartArray "shape"
                t.Shape |> Array.iter json.WriteNumberValue
                json.WriteEndArray()
                json.WriteStartArray "data_offsets"
                json.WriteNumberValue at
                json.WriteNumberValue(at + size)
                json.WriteEndArray()
                json.WriteEndObject()
                at <- at + size
            json.WriteEndObject())
        while buffer.Length % 8L <> 0L do
            buffer.WriteByte 32uy
        buffer.ToArray()

    /// Writes tensors (expressions are evaluated first) and texts to a file, atomically: wider element types first,
    /// then by name.
    let save
        (path: string)
        (metadata: IReadOnlyDictionary<string, string>)
        (tensors: IReadOnlyDictionary<string, Tensor>)
        : unit =
        if tensors.ContainsKey "__metadata__" then
            invalidArg "tensors" "a tensor cannot be named __metadata__, the format keeps that name for itself"
        let ordered = evaluated tensors |> Array.sortBy (fun (struct (_, t)) -> -(DType.size t.DType)) // stable
        let header = header metadata ordered
        AtomicFile.write path (fun stream ->
            let length: byte[] = Array.zeroCreate 8
            BinaryPrimitives.WriteUInt64LittleEndian(Span length, uint64 header.Length)
            stream.Write(ReadOnlySpan length)
            stream.Write(ReadOnlySpan header)
            for struct (_, t) in ordered do
                pieces (Program.storage t) (fun _ pointer size ->
                    stream.Write(Span.op_Implicit (bytesAt pointer size): ReadOnlySpan<byte>)))

    // ---- digest

    /// The SHA-256 digest of named tensors, as 64 lower-case hexadecimal digits. The digested bytes are, for each
    /// tensor in the ordinal (UTF-16) order of the names: the length of the name in UTF-8 as a 32-bit integer, the
    /// name in UTF-8; the length of the element type's name in this format as a 32-bit integer, that name in ASCII
    /// ("F32"); the rank as a 32-bit integer and each extent as a 64-bit integer; then the elements, row-major. All
    /// integers and elements are little-endian.
    let sha256 (tensors: IReadOnlyDictionary<string, Tensor>) : string =
        use digest = IncrementalHash.CreateHash HashAlgorithmName.SHA256
        let bytes (data: byte[]) = digest.AppendData data
        let int32 (n: int) = bytes (BitConverter.GetBytes n)
        let text (s: string) =
            let encoded = Encoding.UTF8.GetBytes s
            int32 encoded.Length
            bytes encoded
        for struct (name, t) in evaluated tensors do
            text name
            text (formatName t.DType)
            int32 t.Rank
            for extent in t.Shape do
                bytes (BitConverter.GetBytes(int64 extent))
            pieces (Program.storage t) (fun _ pointer size ->
                digest.AppendData(Span.op_Implicit (bytesAt pointer size): ReadOnlySpan<byte>))
        Convert.ToHexStringLower(digest.GetHashAndReset())
