namespace Nanograd

open System
open System.Buffers
open System.Collections.Generic
open System.IO
open System.Text
open System.Text.Json

/// A tokenizer whose tokens are the Unicode scalar values of a text: token i is the i-th of the sorted vocabulary.
[<Sealed>]
type CharTokenizer private (scalars: int[]) =
    /// The token of each scalar value, -1 where there is none.
    let tokenOf =
        let table = Array.create (if scalars.Length = 0 then 0 else scalars[scalars.Length - 1] + 1) -1
        scalars |> Array.iteri (fun token scalar -> table[scalar] <- token)
        table

    let find (scalar: int) = if scalar < tokenOf.Length then tokenOf[scalar] else -1

    static let format = "nanograd-char-tokenizer"

    static let describe (scalar: int) =
        let code = "U+" + scalar.ToString "X4"
        let rune = Rune scalar
        if Rune.IsControl rune || Rune.IsWhiteSpace rune then code else $"'{rune}' ({code})"

    static let damaged (path: string) (what: string) : 'a =
        raise (InvalidDataException $"{path} is not a tokenizer of characters: {what}.")

    let unknown (text: string) : 'a =
        let missing = SortedSet<int>()
        for rune in text.EnumerateRunes() do
            if find rune.Value < 0 then missing.Add rune.Value |> ignore
        let shown = missing |> Seq.truncate 20 |> Seq.map describe |> String.concat ", "
        let more = if missing.Count > 20 then $" and {missing.Count - 20} more" else ""
        let noun = if missing.Count = 1 then "this character" else "these characters"
        raise (ArgumentException $"The tokenizer does not know {noun}: {shown}{more}.")

    /// The vocabulary of a text: its distinct scalar values, sorted by code point.
    static member OfText(text: string) : CharTokenizer =
        let seen: bool[] = Array.zeroCreate 0x110000
        for rune in text.EnumerateRunes() do
            seen[rune.Value] <- true
        let scalars = List<int>()
        seen |> Array.iteri (fun scalar found -> if found then scalars.Add scalar)
        CharTokenizer(scalars.ToArray())

    /// The number of tokens.
    member _.VocabularySize = scalars.Length

    /// The code points, in the order of their tokens.
    member _.CodePoints: int[] = Array.copy scalars

    /// The tokens of a text. Characters outside the vocabulary are an error that lists each of them once.
    member _.Encode(text: string) : int[] =
        let tokens: int[] = Array.zeroCreate text.Length
        let mutable count = 0
        for rune in text.EnumerateRunes() do
            let token = find rune.Value
            if token < 0 then unknown text
            tokens[count] <- token
            count <- count + 1
        if count = tokens.Length then tokens else Array.sub tokens 0 count

    /// The text of a token.
    member _.DecodeToken(token: int) : string =
        if token < 0 || token >= scalars.Length then
            raise (ArgumentException $"Token {token} is outside the vocabulary of {scalars.Length} tokens.")
        (Rune scalars[token]).ToString()

    /// The text of tokens.
    member _.Decode(tokens: seq<int>) : string =
        let text = StringBuilder()
        for token in tokens do
            if token < 0 || token >= scalars.Length then
                raise (ArgumentException $"Token {token} is outside the vocabulary of {scalars.Length} tokens.")
            text.Append(Rune scalars[token]) |> ignore
        text.ToString()

    /// Writes the vocabulary as JSON, atomically.
    member t.Save(path: string) : unit =
        AtomicFile.write path (fun stream ->
            use json = new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true))
            json.WriteStartObject()
            json.WriteString("format", format)
            json.WriteNumber("version", 1)
            json.WriteString("characters", t.Decode(seq { 0 .. scalars.Length - 1 }))
            json.WriteEndObject())

    /// Reads what Save wrote. Another format, a newer version or a damaged file is an error that says so.
    static member Load(path: string) : CharTokenizer =
        let damaged what = damaged path what
        let text = TextFile.read path
        let document =
            try
                JsonDocument.Parse text
            with :? JsonException ->
                damaged "it is not JSON"
        use document = document
        let root = document.RootElement
        let property (name: string) (kind: JsonValueKind) =
            match root.ValueKind with
            | JsonValueKind.Object ->
                match root.TryGetProperty name with
                | true, value when value.ValueKind = kind -> value
                | _ -> damaged $"'{name}' is missing or of the wrong kind"
            | _ -> damaged "it is not a JSON object"
        if (property "format" JsonValueKind.String).GetString() <> format then damaged $"its format is not {format}"
        match (property "version" JsonValueKind.Number).TryGetInt32() with
        | true, 1 -> ()
        | _ -> damaged "its version is not 1, so a newer Nanograd wrote it"
        let characters =
            try
                string ((property "characters" JsonValueKind.String).GetString())
            with :? InvalidOperationException -> // half of a surrogate pair
                damaged "its characters are not valid Unicode"
        let scalars = [| for rune in characters.EnumerateRunes() -> rune.Value |]
        if scalars.Length = 0 then damaged "it has no characters"
        if Array.pairwise scalars |> Array.exists (fun (a, b) -> a >= b) then
            damaged "its characters are not sorted by code point, each once"
        CharTokenizer scalars
