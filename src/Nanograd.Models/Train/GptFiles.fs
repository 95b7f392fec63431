namespace Nanograd

open System
open System.Collections.Generic
open System.IO
open System.Text.Json

/// A GPT in a folder: config.json, tokenizer.json and model.safetensors.
[<RequireQualifiedAccess>]
module GptFiles =
    let private modelType = "nanograd-gpt"

    let private inFolder (folder: string) (name: string) = Path.Combine(folder, name)

    /// Writes the configuration as JSON, atomically; the names are nanoGPT's.
    let saveConfig (path: string) (c: GptConfig) : unit =
        AtomicFile.write path (fun stream ->
            use json = new Utf8JsonWriter(stream, JsonWriterOptions(Indented = true))
            json.WriteStartObject()
            json.WriteString("model_type", modelType)
            json.WriteNumber("version", 1)
            json.WriteNumber("vocab_size", c.Vocab)
            json.WriteNumber("block_size", c.Context)
            json.WriteNumber("n_layer", c.Layers)
            json.WriteNumber("n_head", c.Heads)
            json.WriteNumber("n_embd", c.Embd)
            json.WriteNumber("dropout", c.Dropout)
            json.WriteBoolean("bias", c.Bias)
            json.WriteBoolean("tie_word_embeddings", c.TiedHead)
            json.WriteString("activation_function", (if c.TanhGelu then "gelu_tanh" else "gelu"))
            json.WriteEndObject())

    /// Reads what saveConfig wrote; another kind of model or a damaged file is an error that says so.
    let loadConfig (path: string) : GptConfig =
        let bad (what: string) : 'a = raise (InvalidDataException $"{path}: {what}.")
        let text = TextFile.read path
        let document =
            try
                JsonDocument.Parse text
            with :? JsonException ->
                bad "is not a model configuration (it is not JSON)"
        use document = document
        let root = document.RootElement
        if root.ValueKind <> JsonValueKind.Object then bad "is not a model configuration (it is not a JSON object)"
        let property (name: string) =
            match root.TryGetProperty name with
            | true, value -> value
            | _ -> bad $"'{name}' is missing"
        let string (name: string) =
            let value = property name
            match value.ValueKind with
            | JsonValueKind.String -> string (value.GetString())
            | _ -> bad $"'{name}' must be a text"
        match root.TryGetProperty "model_type" with
        | true, value when value.ValueKind = JsonValueKind.String && value.GetString() = modelType -> ()
        | true, value -> bad $"is of another kind of model (model_type is {value.GetRawText()}, not \"{modelType}\")"
        | _ -> bad $"is not of a model that Nanograd knows (it has no model_type \"{modelType}\")"
        let whole (name: string) =
            let value = property name
            match value.ValueKind with
            | JsonValueKind.Number ->
                (match value.TryGetInt32() with
                 | true, n -> n
                 | _ -> bad $"'{name}' must be a whole number")
            | _ -> bad $"'{name}' must be a whole number"
        let number (name: string) =
            let value = property name
            if value.ValueKind = JsonValueKind.Number then value.GetDouble() else bad $"'{name}' must be a number"
        let flag (name: string) =
            match (property name).ValueKind with
            | JsonValueKind.True -> true
            | JsonValueKind.False -> false
            | _ -> bad $"'{name}' must be true or false"
        if whole "version" <> 1 then bad "its version is not 1, so a newer Nanograd wrote it"
        let config =
            { Vocab = whole "vocab_size"
              Context = whole "block_size"
              Layers = whole "n_layer"
              Heads = whole "n_head"
              Embd = whole "n_embd"
              Dropout = number "dropout"
              Bias = flag "bias"
              TiedHead = flag "tie_word_embeddings"
              TanhGelu =
                match string "activation_function" with
                | "gelu" -> false
                | "gelu_tanh" -> true
                | other -> bad $"'activation_function' must be gelu or gelu_tanh, not {other}" }
        try
            Gpt.check config
        with :? ArgumentException as e ->
            bad (e.Message.TrimEnd '.')
        config

    /// The parameters of a configuration from named tensors: every one must be there with its type and shape, and
    /// none besides.
    let ofNamed (source: string) (c: GptConfig) (tensors: IReadOnlyDictionary<string, Tensor>) : Gpt =
        let bad (what: string) : 'a = raise (InvalidDataException $"{source}: {what}.")
        let template = Gpt.template c
        let wanted = Gpt.named template
        let find (name: string, t: Tensor) =
            match tensors.TryGetValue name with
            | true, value when value.Shape = t.Shape && value.DType = t.DType -> value
            | true, value ->
                bad $"tensor '{name}' is {Shape.describe value}, but the configuration asks for {Shape.describe t}"
            | _ -> bad $"tensor '{name}' is missing"
        let found = Array.map find wanted
        let known = HashSet<string>(Array.map fst wanted)
        match tensors.Keys |> Seq.tryFind (known.Contains >> not) with
        | Some extra -> bad $"tensor '{extra}' does not belong to a model of this configuration"
        | None -> Tree.rebuild template found

    /// The parameters by name.
    let toNamed (p: Gpt) : IReadOnlyDictionary<string, Tensor> =
        Gpt.named p |> dict |> Dictionary :> IReadOnlyDictionary<_, _>

    /// Writes config.json and tokenizer.json.
    let saveDescription (folder: string) (c: GptConfig) (tokenizer: CharTokenizer) : unit =
        saveConfig (inFolder folder "config.json") c
        tokenizer.Save(inFolder folder "tokenizer.json")

    /// Writes model.safetensors.
    let saveWeights (folder: string) (tensors: IReadOnlyDictionary<string, Tensor>) : unit =
        Safetensors.save (inFolder folder "model.safetensors") (dict [ "format", "nanograd" ] |> Dictionary) tensors

    /// Reads the three files. A folder that is missing, damaged, or of something else is an error that says so.
    let load (folder: string) : struct (GptConfig * CharTokenizer * Gpt) =
        if File.Exists folder then raise (InvalidDataException $"{folder} is a file, not a folder.")
        if not (Directory.Exists folder) then raise (DirectoryNotFoundException $"There is no folder {folder}.")
        for name in [ "config.json"; "tokenizer.json"; "model.safetensors" ] do
            if not (File.Exists(inFolder folder name)) then
                raise (FileNotFoundException $"{folder} is not a model folder: it has no {name}.")
        let config = loadConfig (inFolder folder "config.json")
        let tokenizer = CharTokenizer.Load(inFolder folder "tokenizer.json")
        if tokenizer.VocabularySize <> config.Vocab then
            raise (
                InvalidDataException
                    $"{folder}: the tokenizer has {tokenizer.VocabularySize} tokens, the configuration {config.Vocab}."
            )
        let path = inFolder folder "model.safetensors"
        struct (config, tokenizer, ofNamed path config (Safetensors.load path))
