module Nanograd.Models.Tests.TrainTests

open System
open System.Collections.Generic
open System.IO
open System.Reflection
open NUnit.Framework
open Nanograd

let private tokens = Array.init 1000 (fun i -> i % 7 + (if i % 11 = 0 then 1 else 0))

[<Test>]
let ``a batch is a pure function of seed and step, inside the training part`` () =
    let data = LanguageData(Array.init 1000 id, 8)
    Assert.That(data.TrainingTokens, Is.EqualTo 900)
    Assert.That(data.ValidationWindows, Is.EqualTo 12)
    let a, b = data.Batch(64, 3L, 5L), data.Batch(64, 3L, 5L)
    Assert.That(a.Inputs, Is.EqualTo<int[]> b.Inputs)
    Assert.That(a.Inputs, Is.Not.EqualTo<int[]>((data.Batch(64, 3L, 6L)).Inputs))
    Assert.That(a.Inputs, Is.Not.EqualTo<int[]>((data.Batch(64, 4L, 5L)).Inputs))
    Assert.That(a.Targets, Is.EqualTo<int[]>(Array.map ((+) 1) a.Inputs))
    let starts =
        [| for step in 0L .. 99L do
               yield! data.Batch(64, 1L, step).Inputs |> Array.chunkBySize 8 |> Array.map Array.head |]
    Assert.That(Array.min starts, Is.EqualTo 0)
    Assert.That(Array.max starts, Is.EqualTo 891, "the last place where the targets are still training tokens")
    Assert.That(a.InputTensor.Shape, Is.EqualTo<int[]> [| 64; 8 |])

[<Test>]
let ``validation sees every window once, whatever the batch`` () =
    let data = LanguageData(Array.init 1000 id, 8)
    for rows in [ 1; 5; 12; 100 ] do
        let batches = data.Validation rows |> Seq.toArray
        Assert.That(batches |> Array.collect (fun b -> b.Inputs), Is.EqualTo<int[]> [| 900..995 |])
        Assert.That(batches |> Array.collect (fun b -> b.Targets), Is.EqualTo<int[]> [| 901..996 |])
        let mean = data.MeanLoss(rows, Func<_, _>(fun b -> b.Inputs |> Array.averageBy float))
        Assert.That(mean, Is.EqualTo(947.5).Within 1e-9)

[<Test>]
let ``a text too short for its context is refused`` () =
    raises<InvalidDataException> [ "too short"; "10 tokens"; "needs 65" ] (fun () ->
        LanguageData(Array.zeroCreate 100, 64) |> ignore)
    raises<InvalidDataException> [ "too short" ] (fun () -> LanguageData([||], 1) |> ignore)

let private config = { Gpt.small 9 with Context = 4; Layers = 1; Heads = 2; Embd = 8; Dropout = 0.1 }
let private options =
    { Train.nanoGpt with
        Steps = 12L
        Rate = Warmup.nanoGpt 1e-2 1e-3 2L 12L
        Validate = Due.Steps 6L }
let private data = LanguageData(tokens, 4)
let private objective =
    Objective.ofLoss (fun p key (x, y) -> Gpt.loss config p key x y) |> Objective.withNames Gpt.named
let private tensors (b: LanguageBatch) = b.InputTensor, b.TargetTensor
let private batches = Train.endless (fun step -> tensors (data.Batch(4, 1337L, step)))
let private validation = data.Validation 16 |> Seq.map tensors
let private model () = Gpt.init (Random.key 5L) config
let private fit options = Train.fit options objective batches validation (model ())
let private digest (r: TrainResult<Gpt, unit>) = Safetensors.sha256 (GptFiles.toNamed r.State.Parameters)

[<Test>]
let ``training lowers the loss, and does the same twice`` () =
    let long = { options with Steps = 60L; Rate = Warmup.nanoGpt 1e-2 1e-3 2L 60L }
    let result = fit long
    Assert.That(result.History.Steps.Count, Is.EqualTo 60)
    Assert.That(Array.last result.History["val_loss"], Is.LessThan(result.History.Steps[0].Loss - 0.2))
    Assert.That(result.History.Steps[0].Loss, Is.EqualTo(Math.Log 9.0).Within 0.1)
    Assert.That(digest (fit long), Is.EqualTo(digest result))

[<Test>]
let ``a foreign or damaged checkpoint is named`` () =
    inFolder (fun folder ->
        raises<FileNotFoundException> [ "no training state" ] (fun () -> Checkpoint.Load folder |> ignore)
        raises<DirectoryNotFoundException> [ "There is no folder" ] (fun () ->
            Checkpoint.Load(Path.Combine(folder, "x")) |> ignore)
        Safetensors.save (Checkpoint.PathIn folder) (named [ "format", "pt" ]) (named [ "a", f32 [ 1 ] [ 1.0 ] ])
        raises<InvalidDataException> [ "not a training state" ] (fun () -> Checkpoint.Load folder |> ignore)
        let kept = { options with Folder = Some folder; Save = Due.Steps 1L; Steps = 1L }
        fit kept |> ignore
        let again = { kept with Resume = true; Steps = 2L }
        raises<ArgumentException> [ "seed 1337"; "the options have 7" ] (fun () ->
            fit { again with Seed = 7L } |> ignore)
        raises<InvalidDataException> [ "wte.weight"; "f32[9,8]"; "f32[9,4]" ] (fun () ->
            Train.fit again objective batches validation (Gpt.init (Random.key 5L) { config with Embd = 4 }) |> ignore))

[<Test>]
let ``a saved model folder is loaded`` () =
    inFolder (fun folder ->
        let tokenizer = CharTokenizer.OfText "abcdefghi"
        let p = eval (Gpt.init (Random.key 5L) config)
        GptFiles.saveDescription folder config tokenizer
        GptFiles.saveWeights folder (GptFiles.toNamed p)
        let struct (c, t, loaded) = GptFiles.load folder
        Assert.That(c, Is.EqualTo config)
        Assert.That(t.VocabularySize, Is.EqualTo 9)
        Assert.That(Safetensors.sha256 (GptFiles.toNamed loaded), Is.EqualTo(Safetensors.sha256 (GptFiles.toNamed p)))

        let path = Path.Combine(folder, "config.json")
        let good = File.ReadAllText path
        let broken (json: string) parts =
            File.WriteAllText(path, json)
            raises<InvalidDataException> (path :: parts) (fun () -> GptFiles.load folder |> ignore)
        broken "{" [ "not JSON" ]
        broken """{"model_type":"llama"}""" [ "another kind of model"; "llama" ]
        broken """{"architectures":[]}""" [ "no model_type" ]
        broken (good.Replace("n_layer", "layers")) [ "'n_layer' is missing" ]
        broken (good.Replace("\"n_head\": 2", "\"n_head\": 3")) [ "multiple of the number of heads" ]
        broken (good.Replace("\"bias\": false", "\"bias\": 1")) [ "'bias' must be true or false" ]
        File.WriteAllText(path, good.Replace("\"vocab_size\": 9", "\"vocab_size\": 10"))
        raises<InvalidDataException> [ "tokenizer has 9 tokens" ] (fun () -> GptFiles.load folder |> ignore)
        File.WriteAllText(path, good.Replace("\"n_layer\": 1", "\"n_layer\": 2"))
        raises<InvalidDataException> [ "'h.1.ln_1.weight' is missing" ] (fun () -> GptFiles.load folder |> ignore)
        File.Delete path
        raises<FileNotFoundException> [ "not a model folder"; "config.json" ] (fun () ->
            GptFiles.load folder |> ignore))

// ------------------------------------------------------------------------------------------------ what C# sees

[<Test>]
let ``no F# type shows in what C# calls`` () =
    let isForeign (t: Type) =
        let rec names (t: Type) : seq<string> =
            seq {
                yield string t.FullName
                if t.IsGenericType then yield! t.GetGenericArguments() |> Seq.collect names
                if t.HasElementType then yield! names (t.GetElementType())
            }
        names t |> Seq.exists (fun n -> n.StartsWith "Microsoft.FSharp" || n.StartsWith "System.Tuple")
    let flags = BindingFlags.Public ||| BindingFlags.Instance ||| BindingFlags.Static ||| BindingFlags.DeclaredOnly
    let types =
        typeof<Nanograd.Models.Sampling>.Assembly.GetExportedTypes()
        |> Array.filter (fun t -> t.Namespace = "Nanograd.Models")
    Assert.That(types.Length, Is.GreaterThan 15)
    for t in Array.append types [| typeof<LanguageData>; typeof<LanguageBatch> |] do
        for m in t.GetMethods flags do
            for p in Array.append [| m.ReturnType |] (m.GetParameters() |> Array.map (fun p -> p.ParameterType)) do
                Assert.That(isForeign p, Is.False, $"{t.Name}.{m.Name}: {p}")

[<Test>]
let ``the arrays that C# passes give what the trees give`` () =
    let o = Nanograd.Models.GptOptions(Vocabulary = 9, Context = 4, Layers = 1, Heads = 2, Embd = 8)
    let p = Nanograd.Models.GptFunctions.Init(o, Random.key 5L) |> eval
    Assert.That(Nanograd.Models.GptFunctions.Names o |> Array.length, Is.EqualTo p.Length)
    let ids = i32 [ 1; 3 ] [ 1; 2; 3 ]
    let expected = Gpt.apply { config with Dropout = 0.0 } (Gpt.init (Random.key 5L) config) None ids
    Assert.That(floats (Nanograd.Models.GptFunctions.Logits(o, p, null, ids)), Is.EqualTo<float[]>(floats expected))
    let update = Nanograd.Models.ParameterUpdate.AdamW(0.9, 0.99, 1e-8, 0.1, false, false)
    let r = update.Update(i32 [] [ 0 ], f32 [] [ 0.1 ], null, p, update.Init p, p)
    Assert.That(r.Parameters.Length, Is.EqualTo p.Length)
    Assert.That(r.State |> Array.map Array.length, Is.EqualTo<int[]> [| p.Length; p.Length |])
    Assert.That(update.Slots, Is.EqualTo<string[]> [| "exp_avg"; "exp_avg_sq" |])
    let metadata: IReadOnlyDictionary<string, string> = null
    inFolder (fun folder ->
        let path = Path.Combine(folder, "t.safetensors")
        Nanograd.Models.TensorFile.Save(path, named [ "a", p[0] ], metadata)
        Assert.That(Nanograd.Models.TensorFile.LoadMetadata(path).Count, Is.EqualTo 0))

[<Test>]
let ``values of one's own share no memory, not even with what they were`` () =
    let x = tensor [ 1.0; 2.0; 3.0 ]
    let all = Values.own [| x; x; zerosLike x; zerosLike x; x + 1.0; x |]
    Assert.That(
        all |> Array.map (floats >> Array.toList),
        Is.EqualTo<float list[]>
            [| [ 1.0; 2.0; 3.0 ]
               [ 1.0; 2.0; 3.0 ]
               [ 0.0; 0.0; 0.0 ]
               [ 0.0; 0.0; 0.0 ]
               [ 2.0; 3.0; 4.0 ]
               [ 1.0; 2.0; 3.0 ] |]
    )
    let places = Array.append [| x |] all |> Array.map (fun t -> (Program.storage t).Pointer)
    Assert.That(Array.distinct places, Has.Length.EqualTo 7)
