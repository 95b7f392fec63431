/// How long Nanograd takes for standard pieces of work, beside what the machine could do at best and, on request, beside
/// PyTorch. Shapes, names and counts of operations are those of the peer script that `--peer` runs.
module Nanograd.Bench

open System
open System.Collections.Generic
open System.Diagnostics
open System.Text.Json.Nodes
open System.Threading.Tasks
open Nanograd
open Nanograd.Simd

// ------------------------------------------------------------------------------------------------ the work

/// A piece of work. `Prepare` makes the operands and gives what is timed.
[<NoComparison; NoEquality>]
type Case =
    {
        Name: string
        Config: string
        /// 10⁹ floating-point operations of the products in it; 0 where memory is the limit.
        Gflop: float
        /// 10⁹ bytes that must be read and written at least; 0 where arithmetic is the limit.
        Gb: float
        Prepare: unit -> (unit -> unit)
    }

module Cases =
    let private normal n shape = eval (Random.normal (Random.key n) shape)

    let private below limit n shape =
        eval (Random.uniform (Random.key n) shape * float limit |> floor |> cast DType.I32)

    let private ofFunction f x =
        let run = jit f
        fun () -> run x |> ignore

    /// Steps that hand their state on.
    let private ofStep (step: 'S -> 'B -> 'S * Tensor) (start: 'S) (batch: 'B) =
        let run = jitDonate step
        let mutable state = start
        fun () -> state <- fst (run state batch)

    let private inRegisters name config flop prepare =
        { Name = name
          Config = config
          Gflop = flop / 1e9
          Gb = 0.0
          Prepare = prepare }

    let private inMemory name config floats prepare =
        { Name = name
          Config = config
          Gflop = 0.0
          Gb = float floats * 4.0 / 1e9
          Prepare = prepare }

    let private product name (shape: int[]) =
        let flop = 2.0 * float (Array.reduce (*) shape) * float (Array.last shape)
        inRegisters name $"{Shape.show shape} @ {Shape.show shape}" flop (fun () ->
            ofFunction (fun (a, b) -> matmul a b) (normal 1L shape, normal 2L shape))

    /// gelu (x * w + b) on 16 M floats, and the gradient of its sum by all three.
    let private gelus =
        let count = 1 <<< 24
        let operands () = normal 1L [| count |], normal 2L [| count |], normal 3L [| count |]
        [ for name, f in [ "erf", gelu; "tanh", geluTanh ] do
              let whole (x, w, b) = f (x * w + b)
              inMemory $"gelu_{name}_fwd" "gelu(x*w+b), 16 M each" (4 * count) (fun () ->
                  ofFunction whole (operands ()))
              inMemory $"gelu_{name}_fwdbwd" "gradient of sum(gelu(x*w+b))" (6 * count) (fun () ->
                  ofFunction (grad (whole >> sum)) (operands ())) ]

    let private softmaxes =
        let shape = [| 4096; 4096 |]
        let count = 4096 * 4096
        let towards (x, dy) = grad (fun x -> sum (softmax -1 x * dy)) x
        [ inMemory "softmax_fwd" "rows of [4096,4096]" (2 * count) (fun () -> ofFunction (softmax -1) (normal 1L shape))
          inMemory "softmax_fwdbwd" "gradient of x, given that of the result" (5 * count) (fun () ->
              ofFunction towards (normal 1L shape, normal 2L shape)) ]

    let private layerNorms =
        let shape, count = [| 4096; 1024 |], 4096 * 1024
        let layer x w b = LayerNorm.compute LayerNorm.Eps w (Some b) x
        let operands () = normal 1L shape, normal 2L [| 1024 |], normal 3L [| 1024 |]
        let towards ((x, w, b), dy) = grad (fun (x, w, b) -> sum (layer x w b * dy)) (x, w, b)
        [ inMemory "layernorm_fwd" "rows of [4096,1024]" (2 * count) (fun () ->
              ofFunction (fun (x, w, b) -> layer x w b) (operands ()))
          inMemory "layernorm_fwdbwd" "gradients of x, weight, bias" (5 * count) (fun () ->
              ofFunction towards (operands (), normal 4L shape)) ]

    /// Adam: AdamW without decay, and no clipping.
    let private adam =
        { Train.defaults with
            Optimizer = Optim.adamW { Optim.adamWDefaults with WeightDecay = 0.0 }
            Rate = LearningRate.Constant 1e-3
            ClipNorm = infinity }

    let private layer n inputs outputs = Linear.init (Random.fold (Random.key 1L) n) inputs outputs true

    /// 784-256-128-10 with relu, cross-entropy, Adam (AdamW without decay).
    let private mlp rows =
        let loss (layers: Linear[]) (_: Tensor) (x, y) =
            let hidden = Array.fold (fun x l -> relu (Linear.apply l x)) x layers[..1]
            Loss.crossEntropy (Linear.apply layers[2] hidden) y
        let flop = 2.0 * float rows * (2.0 * 784.0 * 256.0 + 3.0 * (256.0 * 128.0 + 128.0 * 10.0))
        inRegisters $"mlp_b{rows}" $"training step of 784-256-128-10, {rows} rows, Adam" flop (fun () ->
            let start = Train.start adam.Optimizer [| layer 0 784 256; layer 1 256 128; layer 2 128 10 |]
            ofStep (Train.step adam loss) start (normal 2L [| rows; 784 |], below 10 3L [| rows |]))

    /// [64,1,28,28], two convolutions of 3 x 3 to 32 and 64 channels, relu after each, 2 x 2 pooling, 9216-128-10; cross-entropy.
    let private cnn isTraining =
        let rows = 64
        let filters n outputs inputs =
            let bound = 1.0 / Math.Sqrt(9.0 * float inputs)
            let uniform n shape = Random.uniform (Random.fold (Random.key 4L) n) shape * (2.0 * bound) - bound
            uniform n [| outputs; inputs; 3; 3 |], uniform (n + 1) [| outputs |]
        let forward ((w1, b1), (w2, b2), first: Linear, second: Linear) x =
            x
            |> conv2d ConvOptions.Default w1 (Some b1)
            |> relu
            |> conv2d ConvOptions.Default w2 (Some b2)
            |> relu
            |> maxPool (PoolOptions.Of [| 2; 2 |])
            |> reshape [| rows; 9216 |]
            |> Linear.apply first
            |> relu
            |> Linear.apply second
        let start () = filters 0 32 1, filters 2 64 32, layer 0 9216 128, layer 1 128 10
        let images () = normal 2L [| rows; 1; 28; 28 |]
        let outer, inner = 26.0 * 26.0 * 32.0 * 9.0, 24.0 * 24.0 * 64.0 * 32.0 * 9.0 + 9216.0 * 128.0 + 1280.0
        if isTraining then
            let flop = 2.0 * float rows * (2.0 * outer + 3.0 * inner)
            let loss p (_: Tensor) (x, y) = Loss.crossEntropy (forward p x) y
            inRegisters "cnn_b64" "training step of a small CNN on 28 x 28 images, Adam" flop (fun () ->
                ofStep
                    (Train.step adam loss)
                    (Train.start adam.Optimizer (start ()))
                    (images (), below 10 3L [| rows |]))
        else
            let flop = 2.0 * float rows * (outer + inner)
            inRegisters "cnn_b64_fwd" "the same CNN forward" flop (fun () ->
                let p, x = eval (start ()), images ()
                ofFunction (fun (p, x) -> forward p x) (p, x))

    /// 64 inputs to 256 units over 128 steps, both biases, 32 sequences; the last state to 10 classes, cross-entropy.
    let private lstm =
        let rows, steps, inputs, units = 32, 128, 64, 256
        let forward (ofInput: Linear, ofState: Linear, classes: Linear) (x: Tensor) =
            let cell (h, c) x =
                let gates = split -1 units (Linear.apply ofInput x + Linear.apply ofState h)
                let c = sigmoid gates[1] * c + sigmoid gates[0] * tanh gates[2]
                sigmoid gates[3] * tanh c, c
            let zero = zeros [| rows; units |]
            let h, _ = foldRows cell (zero, zero) (permute [| 1; 0; 2 |] x)
            Linear.apply classes h
        let loss p (_: Tensor) (x, y) = Loss.crossEntropy (forward p x) y
        let macs = float (rows * steps * 4 * units) * (2.0 * float inputs + 3.0 * float units)
        inRegisters "lstm" "training step, 64 to 256, 128 steps, 32 sequences, Adam" (2.0 * macs) (fun () ->
            let start = layer 0 inputs (4 * units), layer 1 units (4 * units), layer 2 units 10
            ofStep
                (Train.step adam loss)
                (Train.start adam.Optimizer start)
                (normal 2L [| rows; steps; inputs |], below 10 3L [| rows |]))

    /// nanoGPT's small configuration: cross-entropy, clipping, AdamW.
    let private gpt =
        let options = { Train.defaults with Rate = LearningRate.Constant 1e-3 }
        let config = Gpt.small 65
        let rows, context, embd = options.Rows, config.Context, float config.Embd
        let loss p (_: Tensor) (ids, targets) = Gpt.loss config p None ids targets
        let perToken = float config.Layers * (24.0 * embd * embd + 4.0 * float context * embd) + 2.0 * embd * 65.0
        let flop = 3.0 * float (rows * context) * perToken
        inRegisters "gpt_char_small" "training step, 4 layers of 128, 12 x 64 tokens, AdamW" flop (fun () ->
            let start = Train.start options.Optimizer (Gpt.init (Random.key 1L) config)
            let tokens n = below 65 n [| rows; context |]
            ofStep (Train.step options loss) start (tokens 2L, tokens 3L))

    let all =
        [ for n in [ 64; 128; 256; 512; 1024; 2048 ] do
              product $"gemm_{n}" [| n; n |]
          product "bmm_64x64x64" [| 64; 64; 64 |]
          yield! softmaxes
          yield! layerNorms
          yield! gelus
          mlp 64
          mlp 512
          cnn true
          cnn false
          lstm
          gpt ]

// ------------------------------------------------------------------------------------------------ the clock

module Clock =
    let private seconds (run: unit -> unit) =
        let start = Stopwatch.GetTimestamp()
        run ()
        Stopwatch.GetElapsedTime(start).TotalSeconds

    let private median (times: seq<float>) = let sorted = Seq.sort times |> Seq.toArray in sorted[sorted.Length / 2]

    /// The median time in seconds: warmed up for a quarter of the budget, then at least five runs.
    /// Eight runs of warm-up let the memory pool come around: the first use of fresh memory is slow.
    let measure (budget: float) (run: unit -> unit) : float =
        let watch, times = Stopwatch.StartNew(), List<float>()
        let mutable warmUps = 0
        while warmUps < 8 || (warmUps < 2000 && watch.Elapsed.TotalSeconds < budget / 4.0) do
            run ()
            warmUps <- warmUps + 1
        watch.Restart()
        while times.Count < 5 || (times.Count < 5000 && watch.Elapsed.TotalSeconds < budget) do
            times.Add(seconds run)
        median times

    /// The least time in seconds of some runs.
    let best (runs: int) (run: unit -> unit) : float = Seq.init runs (fun _ -> seconds run) |> Seq.min

/// What this machine can do at best, measured here.
module Machine =
    /// GFLOP/s of all threads together: fused multiply-adds in registers.
    let peak () =
        let ofCores = Array.zeroCreate<float> Threads.Count
        Parallel.For(0, ofCores.Length, fun i -> ofCores[i] <- Gemm.peak Element.F32) |> ignore
        Array.sum ofCores

    /// GB/s read and written by copying 256 MiB, best of some.
    let bandwidth () =
        let length = 1 <<< 26
        let source, target = Array.create length 1.0f, Array.create length 0.0f
        let part = length / Threads.Count
        let copy () =
            Parallel.For(0, Threads.Count, fun i -> Array.Copy(source, i * part, target, i * part, part)) |> ignore
        2.0 * 4.0 * float length / Clock.best 10 copy / 1e9

/// PyTorch, by a script that takes `--case NAME --threads N --budget SECONDS` and prints a line of JSON with the field `ms`.
module Peer =
    let private python (arguments: string list) =
        let start = ProcessStartInfo("python3", arguments, RedirectStandardOutput = true, RedirectStandardError = true)
        use p = Process.Start start
        let errors = p.StandardError.ReadToEndAsync()
        let output = p.StandardOutput.ReadToEnd()
        p.WaitForExit()
        if p.ExitCode = 0 then Ok output else Error(errors.Result)

    let isHere () =
        try
            Result.isOk (python [ "-c"; "import torch" ])
        with :? ComponentModel.Win32Exception ->
            false

    /// Seconds, or None where the script does not know the case.
    let measure (script: string) (options: string list) (budget: float) (case: string) : float option =
        let number (x: float) = x.ToString Globalization.CultureInfo.InvariantCulture
        match
            python ([ script; "--case"; case; "--threads"; string Threads.Count; "--budget"; number budget ] @ options)
        with
        | Ok output -> Some(JsonNode.Parse(output.Trim().Split('\n') |> Array.last).["ms"].GetValue<float>() / 1e3)
        | Error _ -> None

// ------------------------------------------------------------------------------------------------ the command

[<NoComparison; NoEquality>]
type Options =
    { Cases: Case list
      Json: bool
      Budget: float
      Peer: (string * string list) option }

let private usage =
    "dotnet run -c Release --project bench -- [--case NAME,...] [--json] [--budget SECONDS] [--peer SCRIPT [--tuned]]"

let rec private parse (o: Options) (arguments: string list) : Options =
    match arguments with
    | [] -> o
    | "--json" :: rest -> parse { o with Json = true } rest
    | "--budget" :: seconds :: rest ->
        parse
            { o with
                Budget = Double.Parse(seconds, Globalization.CultureInfo.InvariantCulture) }
            rest
    | "--peer" :: script :: "--tuned" :: rest -> parse { o with Peer = Some(script, [ "--tuned" ]) } rest
    | "--peer" :: script :: rest -> parse { o with Peer = Some(script, []) } rest
    | "--case" :: names :: rest ->
        let find name =
            match Cases.all |> List.tryFind (fun c -> c.Name = name) with
            | Some c -> c
            | None ->
                failwith
                    $"""there is no case {name}; there are {String.Join(", ", Cases.all |> List.map (fun c -> c.Name))}"""
        parse { o with Cases = names.Split ',' |> List.ofArray |> List.map find } rest
    | other :: _ -> failwith $"what is {other}? {usage}"

/// Seconds of ours and of the peer. Against a peer both are measured in turn, twice, and the better of each counts.
let private measure (o: Options) (case: Case) =
    let run = case.Prepare()
    let ours () = Clock.measure o.Budget run
    match o.Peer with
    | None -> ours (), None
    | Some(script, options) ->
        let theirs () = Peer.measure script options o.Budget case.Name
        let rounds = [ for _ in 1..2 -> ours (), theirs () ]
        List.min (List.map fst rounds),
        (match List.choose snd rounds with
         | [] -> None
         | times -> Some(List.min times))

let private report (o: Options) peak bandwidth (case: Case) =
    let ours, theirs = measure o case
    let rate, limit, unit =
        if case.Gflop > 0.0 then case.Gflop / ours, peak, "GFLOP/s" else case.Gb / ours, bandwidth, "GB/s"
    if o.Json then
        let fields = JsonObject()
        fields["case"] <- case.Name
        fields["config"] <- case.Config
        fields["ms"] <- Math.Round(ours * 1e3, 4)
        fields[if unit = "GB/s" then "gbs" else "gflops"] <- Math.Round(rate, 1)
        fields["share_of_limit"] <- Math.Round(rate / limit, 3)
        fields["threads"] <- Threads.Count
        theirs
        |> Option.iter (fun t ->
            fields["peer_ms"] <- Math.Round(t * 1e3, 4)
            fields["times_faster"] <- Math.Round(t / ours, 2))
        printfn "%s" (fields.ToJsonString())
    else
        let peer =
            match theirs with
            | Some t -> $"  peer {t * 1e3, 9:F3} ms, {t / ours:F2} times ours"
            | None -> ""
        printfn
            "%-18s %9.3f ms %8.1f %-7s %4.0f %% of the limit%s  %s"
            case.Name
            (ours * 1e3)
            rate
            unit
            (100.0 * rate / limit)
            peer
            case.Config

[<EntryPoint>]
let main arguments =
    try
        let options = parse { Cases = Cases.all; Json = false; Budget = 2.0; Peer = None } (List.ofArray arguments)
        if options.Peer.IsSome && not (Peer.isHere ()) then failwith "--peer needs python3 with torch"
        let peak, bandwidth = Machine.peak (), Machine.bandwidth ()
        if not options.Json then
            printfn
                "%d threads, vectors of %d bits; limits: %.0f GFLOP/s in registers, %.1f GB/s copied\n"
                Threads.Count
                (Isa.width ())
                peak
                bandwidth
        List.iter (report options peak bandwidth) options.Cases
        0
    with Failure message ->
        eprintfn "error: %s" message
        2
