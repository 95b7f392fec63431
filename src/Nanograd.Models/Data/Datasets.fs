namespace Nanograd

open System.IO

/// Data sets in files that are there; nothing is downloaded.
[<RequireQualifiedAccess>]
module Datasets =
    /// The first of these files that exists, as it is or compressed.
    let private find (folder: string) (name: string) : string =
        let candidates = [ name; name + ".gz"; name.Replace("-idx", ".idx"); name.Replace("-idx", ".idx") + ".gz" ]
        match candidates |> List.map (fun n -> Path.Combine(folder, n)) |> List.tryFind File.Exists with
        | Some path -> path
        | None ->
            let text = $"There is no {name} (or {name}.gz) in {folder}; put MNIST's four files there."
            raise (FileNotFoundException(text, Path.Combine(folder, name)))

    /// MNIST, or a set in its files: images u8 `[n; 1; 28; 28]` and classes i64 `[n]`; the training part (train-...) or the test part
    /// (t10k-...).
    let mnistTensors (isTraining: bool) (folder: string) : Tensor * Tensor =
        let part = if isTraining then "train" else "t10k"
        let imageFile = find folder (part + "-images-idx3-ubyte")
        let labelFile = find folder (part + "-labels-idx1-ubyte")
        let images, labels = Idx.read imageFile, Idx.read labelFile
        if images.Rank <> 3 || images.DType <> DType.U8 then
            DataFile.bad imageFile $"holds {Shape.describe images} where images u8[n,height,width] should be"
        if labels.Rank <> 1 || labels.DType <> DType.U8 || labels.Count <> images.Shape[0] then
            DataFile.bad labelFile $"holds {Shape.describe labels} where the classes u8[{images.Shape[0]}] should be"
        let shape = [| images.Shape[0]; 1; images.Shape[1]; images.Shape[2] |]
        eval (Op.reshape shape images, Op.cast DType.I64 labels)

    /// The training part of MNIST (files train-...): images u8 `[1; 28; 28]` and classes, i64 scalars.
    let mnist (folder: string) : Dataset<Tensor * Tensor> = Dataset.ofTensors (mnistTensors true folder)

    /// The test part of MNIST (files t10k-...).
    let mnistTest (folder: string) : Dataset<Tensor * Tensor> = Dataset.ofTensors (mnistTensors false folder)

    /// The handwritten digits of UCI in scikit-learn's CSV (64 columns of pixels from 0 to 16, and `target`): images f32 `[n; 1; 8; 8]` from
    /// 0 to 1, and classes i64 `[n]`.
    let digitsTensors (path: string) : Tensor * Tensor =
        let x, y = Csv.load Csv.defaults Missing.Fail "target" path
        if x.Shape[1] <> 64 then DataFile.bad path $"has {x.Shape[1]} columns of pixels where 64 should be"
        eval (Op.reshape [| x.Shape[0]; 1; 8; 8 |] x / 16.0, y)

    /// The same, element by element: images f32 `[1; 8; 8]` and classes, i64 scalars.
    let digits (path: string) : Dataset<Tensor * Tensor> = Dataset.ofTensors (digitsTensors path)

    /// A table of numbers with a column of classes: rows f32 `[columns]` and classes, i64 scalars.
    let csv (label: string) (path: string) : Dataset<Tensor * Tensor> =
        Dataset.ofTensors (Csv.load Csv.defaults Missing.Fail label path)

    /// A text in windows of `context` characters and, for each, the characters that follow: i64 `[context]` twice, and the tokenizer of the
    /// text. Windows do not overlap; what does not fill one is left out.
    let text (context: int) (path: string) : CharTokenizer * Dataset<Tensor * Tensor> =
        if context < 1 then raise (ShapeException("text", "a window of at least 1 character", string context, ""))
        let text = TextFile.read path
        let tokenizer = CharTokenizer.OfText text
        let tokens = tokenizer.Encode text |> Array.map int64
        let window start = Host.int64s [| context |] tokens[start .. start + context - 1]
        tokenizer,
        Dataset.init ((tokens.Length - 1) / context) (fun i -> window (i * context), window (i * context + 1))
