/// Optimizers and schedules against PyTorch's and Hugging Face's numbers: every optim.json among the reference numbers.
[<NUnit.Framework.Category "Oracles">]
module Nanograd.Models.Tests.OptimOracleTests

open System
open System.Collections.Generic
open System.Globalization
open System.Text.Json
open NUnit.Framework
open Nanograd

/// Options by PyTorch's names. Every one must be asked for: an option that nobody reads is an option not supported.
type private Options(name: string, values: IReadOnlyDictionary<string, JsonElement>) =
    let asked = HashSet<string>()
    let find (key: string) =
        asked.Add key |> ignore
        match values.TryGetValue key with
        | true, v when v.ValueKind <> JsonValueKind.Null -> Some v
        | _ -> None
    static member Of(name: string, e: JsonElement) =
        Options(name, Dictionary(e.EnumerateObject() |> Seq.map (fun p -> KeyValuePair(p.Name, p.Value))))
    member _.Number(key, otherwise) = find key |> Option.map (fun v -> v.GetDouble()) |> Option.defaultValue otherwise
    member o.Whole(key, otherwise: int64) = int64 (o.Number(key, float otherwise))
    member _.Flag(key) = find key |> Option.map (fun v -> v.GetBoolean()) |> Option.defaultValue false
    member _.FlagOr(key, otherwise) = find key |> Option.map (fun v -> v.GetBoolean()) |> Option.defaultValue otherwise
    member _.Text(key, otherwise: string) =
        find key |> Option.map (fun v -> string (v.GetString())) |> Option.defaultValue otherwise
    member _.Pair(key, (a, b)) =
        find key |> Option.map (fun v -> v[0].GetDouble(), v[1].GetDouble()) |> Option.defaultValue (a, b)
    member _.List(key) =
        find key |> Option.map (fun v -> [ for x in v.EnumerateArray() -> x ]) |> Option.defaultValue []
    member _.Maybe(key) = find key |> Option.map (fun v -> v.GetDouble())
    member _.Done() =
        for key in values.Keys do
            if not (asked.Contains key) then Assert.Fail $"{name}: the option {key} is not supported"

let private moments (o: Options) : MomentOptions =
    let b1, b2 = o.Pair("betas", (0.9, 0.999))
    { Beta1 = b1
      Beta2 = b2
      Eps = o.Number("eps", 1e-8)
      WeightDecay = o.Number("weight_decay", 0.0)
      Maximize = o.Flag "maximize" }

let private adafactorOptions (o: Options) : AdafactorOptions =
    let eps1, eps2 = o.Pair("eps", (1e-30, 1e-3))
    { Eps1 = eps1
      Eps2 = eps2
      ClipThreshold = o.Number("clip_threshold", 1.0)
      DecayRate = o.Number("decay_rate", -0.8)
      Beta1 = o.Maybe "beta1"
      WeightDecay = o.Number("weight_decay", 0.0)
      ScaleParameter = o.FlagOr("scale_parameter", true)
      RelativeStep = o.FlagOr("relative_step", true)
      WarmupInit = o.Flag "warmup_init" }

/// The default rate and the optimizer.
let private optimizerOf (name: string) (o: Options) : float * Optimizer =
    let decay () = o.Number("weight_decay", 0.0)
    match name with
    | "SGD" ->
        1e-3,
        Optim.sgd
            { Momentum = o.Number("momentum", 0.0)
              Dampening = o.Number("dampening", 0.0)
              WeightDecay = decay ()
              Nesterov = o.Flag "nesterov"
              Maximize = o.Flag "maximize" }
    | "Adam" ->
        let m = moments o
        1e-3,
        Optim.adam
            { Beta1 = m.Beta1
              Beta2 = m.Beta2
              Eps = m.Eps
              WeightDecay = m.WeightDecay
              Amsgrad = o.Flag "amsgrad"
              Maximize = m.Maximize }
    | "AdamW" ->
        let m = moments o
        1e-3,
        Optim.adamW
            { Optim.adamWDefaults with
                Beta1 = m.Beta1
                Beta2 = m.Beta2
                Eps = m.Eps
                WeightDecay = o.Number("weight_decay", 0.01)
                Amsgrad = o.Flag "amsgrad"
                Maximize = m.Maximize }
    | "Adamax" -> 2e-3, Optim.adamax (moments o)
    | "RAdam" -> 1e-3, Optim.radam (moments o)
    | "NAdam" ->
        let m = moments o
        2e-3,
        Optim.nadam
            { Beta1 = m.Beta1
              Beta2 = m.Beta2
              Eps = m.Eps
              WeightDecay = m.WeightDecay
              MomentumDecay = o.Number("momentum_decay", 4e-3) }
    | "Adagrad" ->
        1e-2,
        Optim.adagrad
            { RateDecay = o.Number("lr_decay", 0.0)
              WeightDecay = decay ()
              InitialAccumulator = o.Number("initial_accumulator_value", 0.0)
              Eps = o.Number("eps", 1e-10)
              Maximize = o.Flag "maximize" }
    | "Adadelta" ->
        1.0,
        Optim.adadelta
            { Rho = o.Number("rho", 0.9)
              Eps = o.Number("eps", 1e-6)
              WeightDecay = decay ()
              Maximize = o.Flag "maximize" }
    | "RMSprop" ->
        1e-2,
        Optim.rmsProp
            { Alpha = o.Number("alpha", 0.99)
              Eps = o.Number("eps", 1e-8)
              WeightDecay = decay ()
              Momentum = o.Number("momentum", 0.0)
              Centered = o.Flag "centered"
              Maximize = o.Flag "maximize" }
    | "Rprop" ->
        let minus, plus = o.Pair("etas", (0.5, 1.2))
        let smallest, largest = o.Pair("step_sizes", (1e-6, 50.0))
        1e-2,
        Optim.rprop
            { EtaMinus = minus
              EtaPlus = plus
              Smallest = smallest
              Largest = largest
              Maximize = o.Flag "maximize" }
    | "ASGD" ->
        1e-2,
        Optim.asgd
            { Lambda = o.Number("lambd", 1e-4)
              Alpha = o.Number("alpha", 0.75)
              T0 = o.Number("t0", 1e6)
              WeightDecay = decay ()
              Maximize = o.Flag "maximize" }
    | "Adafactor" -> 0.0, Optim.adafactor (adafactorOptions o)
    | other -> failwith $"the optimizer {other} is not supported"

let private objective (dtype: DType) (file: JsonElement) (problem: string) : Tensor -> Tensor =
    match problem with
    | "quadratic" ->
        let p = file.GetProperty("problem").GetProperty "quadratic"
        let n = p.GetProperty("b").GetArrayLength()
        let q = cast dtype (ofArray DType.F64 [| n; n |] (numbers (p.GetProperty "Q")))
        let b = cast dtype (ofArray DType.F64 [| n |] (numbers (p.GetProperty "b")))
        fun x -> sum (x * matmul q x) * 0.5 - sum (b * x)
    | "rosenbrock" ->
        fun x ->
            let x0, x1 = slice 0 0 1 x, slice 0 1 2 x
            sum (square (1.0 - x0) + square (x1 - square x0) * 100.0)
    | other -> failwith $"the problem {other} is not supported"

/// The largest difference between two trajectories, each point relative to its largest element.
let private deviation (expected: float[][]) (actual: float[][]) =
    Array.map2
        (fun (e: float[]) (a: float[]) ->
            let scale = e |> Array.fold (fun m x -> max m (abs x)) 1e-30
            Array.map2 (fun x y -> if Double.IsNaN y then infinity else abs (x - y) / scale) e a |> Array.max)
        expected
        actual
    |> Array.max

/// The points that an optimizer visits from x, all steps by one compiled program.
let private walk
    (dtype: DType)
    (o: Optimizer)
    (rate: float)
    (f: Tensor -> Tensor)
    (start: float[])
    (steps: int)
    : float[][] =
    let step =
        jit (fun (x: Tensor, state: OptimizerState, n, rate) ->
            Optim.update o (UpdateContext.Of(n, rate)) (grad f x) state x)
    let mutable x = ofArray DType.F64 [| start.Length |] start |> cast dtype |> eval
    let mutable state = eval (Optim.init o x)
    [| for i in 0 .. steps - 1 do
           let nextX, nextState = step (x, state, i32 [] [ i ], cast dtype (f64 [] [ rate ]))
           x <- nextX
           state <- nextState
           floats x |]

let private walkLbfgs (dtype: DType) (o: Options) (f: Tensor -> Tensor) (start: float[]) (steps: int) : float[][] =
    let iterations = int (o.Whole("max_iter", 20L))
    let options =
        { Rate = o.Number("lr", 1.0)
          Iterations = iterations
          Evaluations = int (o.Whole("max_eval", int64 (iterations * 5 / 4)))
          GradientTolerance = o.Number("tolerance_grad", 1e-7)
          ChangeTolerance = o.Number("tolerance_change", 1e-9)
          History = int (o.Whole("history_size", 100L))
          StrongWolfe = o.Text("line_search_fn", "") = "strong_wolfe" }
    o.Done()
    let evaluate = jit (fun (x: Tensor) -> valueAndGrad f x)
    let mutable x, state = ofArray DType.F64 [| start.Length |] start |> cast dtype |> eval, Lbfgs.start
    [| for _ in 1..steps do
           let _, nextX, next = Lbfgs.step options evaluate state x
           x <- nextX
           state <- next
           floats x |]

/// Every run of every file in one type; a run that differs by more than the tolerance fails.
let private walkAll (dtype: DType) (tolerance: float) (isMeant: string -> string -> bool) =
    let found = List()
    let failures = List()
    for path, file in oracleFiles "optim.json" do
        let text (run: JsonElement) (key: string) = string (run.GetProperty(key).GetString())
        let runs =
            (file.GetProperty "runs").EnumerateArray()
            |> Seq.filter (fun r -> isMeant (text r "optimizer") (text r "problem"))
        for run in runs do
            let text = text run
            let problem, name = text "problem", text "name"
            let what = $"{name} on {problem} in {path}"
            try
                let expected = [| for e in (run.GetProperty "x_after_step").EnumerateArray() -> numbers e |]
                let start = numbers (file.GetProperty("problem").GetProperty(problem).GetProperty "x0")
                let f, options = objective dtype file problem, Options.Of(name, run.GetProperty "options")
                let actual =
                    if text "optimizer" = "LBFGS" then
                        walkLbfgs dtype options f start expected.Length
                    else
                        let rate, o = optimizerOf (text "optimizer") options
                        let rate = options.Number("lr", rate)
                        options.Done()
                        walk dtype o rate f start expected.Length
                let d = deviation expected actual
                found.Add((d, what))
                if not (d <= tolerance) then failures.Add $"{what}: {d}"
            with e ->
                failures.Add $"{what}: {e.Message}"
    if found.Count > 0 then
        let d, what = Seq.max found
        TestContext.Out.WriteLine $"{found.Count} runs, the largest deviation is {d} ({what})"
    Assert.That(failures, Is.Empty, String.Join("\n", failures))

[<Test>]
let ``every optimizer walks the reference trajectories in f64`` () = walkAll DType.F64 1e-9 (fun _ _ -> true)

[<Test>]
let ``every optimizer walks the reference trajectories in f32`` () =
    // In Rosenbrock's valley L-BFGS decides by differences that f32 rounds away: PyTorch's own f32 run is a seventh off.
    walkAll DType.F32 1e-4 (fun optimizer problem -> (optimizer, problem) <> ("LBFGS", "rosenbrock"))

[<Test>]
let ``clipping by norms is PyTorch's`` () =
    for _, file in oracleFiles "optim.json" do
        for case in (file.GetProperty "clip_grad_norm").EnumerateArray() do
            let tensors (key: string) =
                [| for g in (case.GetProperty key).EnumerateArray() ->
                       let values = numbers g |> Array.map float32
                       let rows = g.GetArrayLength()
                       let isMatrix = g[0].ValueKind = JsonValueKind.Array
                       ofArray DType.F32 (if isMatrix then [| rows; values.Length / rows |] else [| rows |]) values |]
            let order =
                match string (case.GetProperty("norm_type").GetString()) with
                | "inf" -> infinity
                | number -> Double.Parse(number, CultureInfo.InvariantCulture)
            let gradients = tensors "grads"
            let total = case.GetProperty("total_norm").GetDouble()
            Assert.That(item (Clip.norm order gradients), Is.EqualTo(total).Within(1e-6 * total))
            let clipped = Clip.byNorm order (case.GetProperty("max_norm").GetDouble()) gradients
            Array.iter2
                (fun (e: Tensor) (a: Tensor) -> assertClose 1e-6 "clipped" (floats e) (floats a))
                (tensors "clipped")
                clipped

// ------------------------------------------------------------------------------------------------ schedules

/// "LinearLR(0.1,1.0,total_iters=milestone)": the name and the arguments by name, as options.
let private parsed (milestone: string) (text: string) : string * Options =
    let orders =
        Map
            [ "LinearLR", [ "start_factor"; "end_factor"; "total_iters" ]
              "ConstantLR", [ "factor"; "total_iters" ]
              "ExponentialLR", [ "gamma" ]
              "StepLR", [ "step_size"; "gamma" ]
              "PolynomialLR", [ "total_iters"; "power" ]
              "CosineAnnealingLR", [ "T_max"; "eta_min" ]
              "CosineAnnealingWarmRestarts", [ "T_0"; "T_mult"; "eta_min" ] ]
    let name, rest = text.Substring(0, text.IndexOf '('), text.Substring(text.IndexOf '(' + 1).TrimEnd ')'
    let arguments = rest.Replace("milestone", milestone).Split(',', StringSplitOptions.RemoveEmptyEntries)
    let pair i (argument: string) =
        let parts = argument.Split '='
        let key = if parts.Length = 2 then parts[0].Trim() else orders[name][i]
        KeyValuePair(key, JsonDocument.Parse((Array.last parts).Trim()).RootElement)
    name, Options(text, Dictionary(Array.mapi pair arguments))

let rec private schedule (rate: float) (name: string) (o: Options) : LearningRate =
    let starts (prefix: string) = name.StartsWith(prefix, StringComparison.Ordinal)
    let warmup () = o.Whole("num_warmup_steps", 0L)
    let last () = o.Whole("num_training_steps", 0L)
    let third = 1.0 / 3.0
    if starts "hf_linear" then
        Warmup.linear rate (warmup ()) (last ())
    elif starts "hf_cosine_hard" then
        Warmup.cosineHardRestarts rate (warmup ()) (last ()) (int (o.Whole("num_cycles", 1L)))
    elif starts "hf_cosine" then
        Warmup.cosine rate (warmup ()) (last ()) (o.Number("num_cycles", 0.5))
    elif starts "hf_constant" then
        Warmup.constant rate (warmup ())
    elif starts "hf_polynomial" then
        Warmup.polynomial rate (o.Number("lr_end", 1e-7)) (o.Number("power", 1.0)) (warmup ()) (last ())
    elif starts "multistep" then
        Schedulers.multiStep rate [ for m in o.List "milestones" -> m.GetInt64() ] (o.Number("gamma", 0.1))
    elif starts "step" || name = "StepLR" then
        Schedulers.step rate (o.Whole("step_size", 0L)) (o.Number("gamma", 0.1))
    elif starts "exponential" || name = "ExponentialLR" then
        Schedulers.exponential rate (o.Number("gamma", 0.0))
    elif starts "cosine_restarts" || name = "CosineAnnealingWarmRestarts" then
        Schedulers.cosineWarmRestarts rate (o.Whole("T_0", 0L)) (o.Whole("T_mult", 1L)) (o.Number("eta_min", 0.0))
    elif starts "cosine" || name = "CosineAnnealingLR" then
        Schedulers.cosineAnnealing rate (o.Whole("T_max", 0L)) (o.Number("eta_min", 0.0))
    elif starts "linear" || name = "LinearLR" then
        let first, finish = o.Number("start_factor", third), o.Number("end_factor", 1.0)
        Schedulers.linear rate first finish (o.Whole("total_iters", 5L))
    elif starts "constant" || name = "ConstantLR" then
        Schedulers.constant rate (o.Number("factor", third)) (o.Whole("total_iters", 5L))
    elif starts "polynomial" || name = "PolynomialLR" then
        Schedulers.polynomial rate (o.Whole("total_iters", 5L)) (o.Number("power", 1.0))
    elif starts "sequential" then
        let milestones = [ for m in o.List "milestones" -> m.GetInt64() ]
        let parts = [ for s in o.List "schedulers" -> string (s.GetString()) ]
        let part i text =
            let partName, options = parsed (string milestones[min i (milestones.Length - 1)]) text
            let result = schedule rate partName options
            options.Done()
            result
        Schedulers.sequential (List.mapi part parts) milestones
    else
        failwith $"the schedule {name} is not supported"

let private oneCycle (o: Options) : Cycle =
    let steps = o.Whole("total_steps", o.Whole("epochs", 0L) * o.Whole("steps_per_epoch", 0L))
    let d = Schedulers.oneCycleDefaults
    let options =
        { PctStart = o.Number("pct_start", d.PctStart)
          Anneal = (if o.Text("anneal_strategy", "cos") = "linear" then Anneal.Linear else Anneal.Cosine)
          BaseMomentum = o.Number("base_momentum", d.BaseMomentum)
          MaxMomentum = o.Number("max_momentum", d.MaxMomentum)
          DivFactor = o.Number("div_factor", d.DivFactor)
          FinalDivFactor = o.Number("final_div_factor", d.FinalDivFactor)
          ThreePhase = o.Flag "three_phase" }
    Schedulers.oneCycle options (o.Number("max_lr", 0.0)) steps

let private cyclic (o: Options) : Cycle =
    let up = o.Whole("step_size_up", 2000L)
    let gamma = o.Number("gamma", 1.0)
    let mode =
        match o.Text("mode", "triangular") with
        | "triangular" -> CyclicMode.Triangular
        | "triangular2" -> CyclicMode.Triangular2
        | "exp_range" -> CyclicMode.ExpRange gamma
        | other -> failwith $"the mode {other} is not supported"
    let options =
        { StepSizeUp = up
          StepSizeDown = o.Whole("step_size_down", up)
          Mode = mode
          BaseMomentum = o.Number("base_momentum", 0.8)
          MaxMomentum = o.Number("max_momentum", 0.9) }
    Schedulers.cyclic options (o.Number("base_lr", 0.0)) (o.Number("max_lr", 0.0))

let private plateau (rate: float) (o: Options) (metrics: float[]) : float[] =
    let options =
        { Better = (if o.Text("mode", "min") = "max" then Better.Larger else Better.Smaller)
          Factor = o.Number("factor", 0.1)
          Patience = int (o.Whole("patience", 10L))
          Threshold = o.Number("threshold", 1e-4)
          Relative = o.Text("threshold_mode", "rel") = "rel"
          Cooldown = int (o.Whole("cooldown", 0L))
          Minimum = o.Number("min_lr", 0.0)
          Eps = o.Number("eps", 1e-8) }
    let states = Array.scan (fun p metric -> Plateau.next options metric p) (Plateau.start options rate) metrics
    states |> Array.take metrics.Length |> Array.map (fun p -> p.Rate)

/// On the host, and as one compiled expression of the step.
let private bothWays (rate: LearningRate) (count: int) : float[] list =
    let compiled = jit (LearningRate.expression rate)
    [ Array.init count (int64 >> LearningRate.at rate); Array.init count (fun i -> item (compiled (i32 [] [ i ]))) ]

/// What a table should be: pairs of expected numbers and ours.
let private compared (rate: float) (name: string) (table: JsonElement) (o: Options) : (float[] * float[]) list =
    let expected = numbers (table.GetProperty "lr")
    let cycle (c: Cycle) =
        let momentum =
            match table.TryGetProperty "momentum" with
            | true, m -> bothWays c.Momentum expected.Length |> List.map (fun ours -> numbers m, ours)
            | _ -> []
        (bothWays c.Rate expected.Length |> List.map (fun ours -> expected, ours)) @ momentum
    if name.StartsWith "onecycle" then cycle (oneCycle o)
    elif name.StartsWith "cyclic" then cycle (cyclic o)
    elif name.StartsWith "reduce_on_plateau" then [ expected, plateau rate o (numbers (table.GetProperty "metrics")) ]
    else bothWays (schedule rate name o) expected.Length |> List.map (fun ours -> expected, ours)

[<Test>]
let ``every schedule gives the reference rates`` () =
    let found = List()
    let failures = List()
    for path, file in oracleFiles "optim.json" do
        let schedules = file.GetProperty "schedules"
        let rate = schedules.GetProperty("base_lr").GetDouble()
        for table in (schedules.GetProperty "tables").EnumerateArray() do
            let name = string (table.GetProperty("name").GetString())
            try
                let options = Options.Of(name, table.GetProperty "options")
                let pairs = compared rate name table options
                let d = [ for e, ours in pairs -> Array.map2 (fun x y -> abs (x - y)) e ours |> Array.max ] |> List.max
                options.Done()
                found.Add((d, name))
                if not (d <= 1e-12) then failures.Add $"{name} in {path}: {d}"
            with e ->
                failures.Add $"{name} in {path}: {e.Message}"
    if found.Count > 0 then
        let d, name = Seq.max found
        TestContext.Out.WriteLine $"{found.Count} tables, the largest deviation is {d} ({name})"
    Assert.That(failures, Is.Empty, String.Join("\n", failures))
