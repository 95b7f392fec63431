namespace Nanograd.Models

open System
open System.Collections.Generic
open System.IO
open Nanograd

/// Named tensors in files (safetensors).
[<AbstractClass; Sealed>]
type TensorFile =
    /// The tensors of a file by name.
    static member Load(path: string) : IReadOnlyDictionary<string, Tensor> = Safetensors.load path

    /// The metadata of a file; empty when it has none.
    static member LoadMetadata(path: string) : IReadOnlyDictionary<string, string> = Safetensors.metadata path

    /// Writes tensors and metadata (may be null), atomically.
    static member Save
        (path: string, tensors: IReadOnlyDictionary<string, Tensor>, metadata: IReadOnlyDictionary<string, string>)
        : unit =
        let none () = Dictionary<string, string>() :> IReadOnlyDictionary<_, _>
        Safetensors.save path (if isNull (box metadata) then none () else metadata) tensors

    /// The SHA-256 digest of named tensors (name, type, shape, bytes), 64 lower-case hexadecimal digits.
    static member Sha256(tensors: IReadOnlyDictionary<string, Tensor>) : string = Safetensors.sha256 tensors

    /// Writes a file by way of a temporary one: it is there whole, or not at all.
    static member WriteAtomic(path: string, write: Action<Stream>) : unit = AtomicFile.write path write.Invoke

/// Texts in files.
[<AbstractClass; Sealed>]
type TextFile =
    /// The text of a UTF-8 file that is not empty, without byte-order mark.
    static member Read(path: string) : string = Nanograd.TextFile.read path

/// A tokenizer with one token per Unicode scalar value.
[<Sealed>]
type TextTokenizer internal (inner: CharTokenizer) =
    member internal _.Inner = inner

    /// The vocabulary of a text, sorted by code point.
    static member OfText(text: string) = TextTokenizer(CharTokenizer.OfText text)

    /// Reads tokenizer.json.
    static member Load(path: string) = TextTokenizer(CharTokenizer.Load path)

    /// Writes tokenizer.json, atomically.
    member _.Save(path: string) : unit = inner.Save path

    /// The number of tokens.
    member _.VocabularySize: int = inner.VocabularySize

    /// The tokens of a text; unknown characters are an ArgumentException that lists them.
    member _.Encode(text: string) : int[] = inner.Encode text

    /// The text of tokens.
    member _.Decode(tokens: IEnumerable<int>) : string = inner.Decode tokens

    /// The text of one token.
    member _.DecodeToken(token: int) : string = inner.DecodeToken token

/// The built-in corpus and its grammar.
[<AbstractClass; Sealed>]
type StoryCorpus =
    /// Whole stories until there are `bytes` bytes, a pure function of the seed.
    static member Generate(bytes: int, seed: int64) : string = Stories.generate bytes seed

    /// True when the grammar can make the sentence.
    static member Accepts(sentence: string) : bool = Stories.accepts sentence

    /// The complete sentences of a sample; a cut first and last one are dropped.
    static member Sentences(text: string) : string[] = Stories.sentences text

    /// The share of complete sentences that the grammar accepts; 0 when there is none.
    static member AcceptedShare(text: string) : float =
        let all = Stories.sentences text
        if all.Length = 0 then 0.0 else float (all |> Array.filter Stories.accepts |> Array.length) / float all.Length

/// The state of a training run in one file, `state.safetensors` of a folder.
[<Sealed>]
type TrainingState internal (inner: Checkpoint) =
    /// A state to save.
    new
        (
            parameters: IReadOnlyDictionary<string, Tensor>,
            optimizer: IReadOnlyDictionary<string, Tensor>,
            step: int64,
            seed: int64,
            metadata: IReadOnlyDictionary<string, string>
        ) =
        TrainingState(Checkpoint(parameters, optimizer, step, seed, metadata))

    /// The model's parameters by name.
    member _.Parameters = inner.Parameters
    /// The optimizer's state by name.
    member _.Optimizer = inner.Optimizer
    /// Updates done.
    member _.Step = inner.Step
    /// The seed of the run.
    member _.Seed = inner.Seed
    /// Whatever else the run remembers.
    member _.Metadata = inner.Metadata

    /// Writes the file, atomically.
    member _.Save(directory: string) : unit = inner.Save directory

    /// Reads the file.
    static member Load(directory: string) = TrainingState(Checkpoint.Load directory)

    /// True when the folder has a state.
    static member Exists(directory: string) : bool = Checkpoint.Exists directory
