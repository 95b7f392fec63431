namespace Nanograd.Models

open System
open System.Collections.Generic
open Nanograd

/// What an update gives.
[<Sealed>]
type UpdateResult internal (parameters: Tensor[], state: Tensor[][]) =
    /// The new parameters.
    member _.Parameters = parameters
    /// The new state of the optimizer, slot by slot; null where a parameter has nothing in a slot.
    member _.State = state

/// A pure optimizer over arrays of tensors. Its state has an array for each slot, with an entry for each parameter; null
/// where a parameter has nothing in it.
[<Sealed>]
type ParameterUpdate internal (optimizer: Optimizer) =
    let named (parameters: Tensor[]) = parameters |> Array.mapi (fun i p -> string i, p)
    let outwards (state: OptimizerState) : Tensor[][] = state |> Array.map (Array.map Option.toObj)
    let inwards (state: Tensor[][]) : OptimizerState = state |> Array.map (Array.map Option.ofObj)

    /// PyTorch's SGD.
    static member Sgd(momentum: float, dampening: float, weightDecay: float, nesterov: bool, maximize: bool) =
        ParameterUpdate(
            Optim.sgd
                { Momentum = momentum
                  Dampening = dampening
                  WeightDecay = weightDecay
                  Nesterov = nesterov
                  Maximize = maximize }
        )

    /// PyTorch's Adam.
    static member Adam(beta1, beta2, eps, weightDecay, amsgrad: bool, maximize: bool) =
        ParameterUpdate(
            Optim.adam
                { Beta1 = beta1
                  Beta2 = beta2
                  Eps = eps
                  WeightDecay = weightDecay
                  Amsgrad = amsgrad
                  Maximize = maximize }
        )

    /// PyTorch's AdamW.
    static member AdamW(beta1, beta2, eps, weightDecay, amsgrad: bool, maximize: bool) =
        ParameterUpdate(
            Optim.adamW
                { Beta1 = beta1
                  Beta2 = beta2
                  Eps = eps
                  WeightDecay = weightDecay
                  Decays = Choose.everything
                  Amsgrad = amsgrad
                  Maximize = maximize }
        )

    static member private Moments(beta1, beta2, eps, weightDecay, maximize) : MomentOptions =
        { Beta1 = beta1
          Beta2 = beta2
          Eps = eps
          WeightDecay = weightDecay
          Maximize = maximize }

    /// PyTorch's Adamax.
    static member Adamax(beta1, beta2, eps, weightDecay, maximize: bool) =
        ParameterUpdate(Optim.adamax (ParameterUpdate.Moments(beta1, beta2, eps, weightDecay, maximize)))

    /// PyTorch's RAdam.
    static member RAdam(beta1, beta2, eps, weightDecay, maximize: bool) =
        ParameterUpdate(Optim.radam (ParameterUpdate.Moments(beta1, beta2, eps, weightDecay, maximize)))

    /// LAMB.
    static member Lamb(beta1, beta2, eps, weightDecay, maximize: bool) =
        ParameterUpdate(Optim.lamb (ParameterUpdate.Moments(beta1, beta2, eps, weightDecay, maximize)))

    /// PyTorch's NAdam.
    static member NAdam(beta1, beta2, eps, weightDecay, momentumDecay) =
        ParameterUpdate(
            Optim.nadam
                { Beta1 = beta1
                  Beta2 = beta2
                  Eps = eps
                  WeightDecay = weightDecay
                  MomentumDecay = momentumDecay }
        )

    /// PyTorch's Adagrad.
    static member Adagrad(rateDecay, weightDecay, initialAccumulator, eps, maximize: bool) =
        ParameterUpdate(
            Optim.adagrad
                { RateDecay = rateDecay
                  WeightDecay = weightDecay
                  InitialAccumulator = initialAccumulator
                  Eps = eps
                  Maximize = maximize }
        )

    /// PyTorch's Adadelta.
    static member Adadelta(rho, eps, weightDecay, maximize: bool) =
        ParameterUpdate(Optim.adadelta { Rho = rho; Eps = eps; WeightDecay = weightDecay; Maximize = maximize })

    /// PyTorch's RMSprop.
    static member RmsProp(alpha, eps, weightDecay, momentum, centered: bool, maximize: bool) =
        ParameterUpdate(
            Optim.rmsProp
                { Alpha = alpha
                  Eps = eps
                  WeightDecay = weightDecay
                  Momentum = momentum
                  Centered = centered
                  Maximize = maximize }
        )

    /// PyTorch's Rprop.
    static member Rprop(etaMinus, etaPlus, smallest, largest, maximize: bool) =
        ParameterUpdate(
            Optim.rprop
                { EtaMinus = etaMinus
                  EtaPlus = etaPlus
                  Smallest = smallest
                  Largest = largest
                  Maximize = maximize }
        )

    /// PyTorch's ASGD.
    static member Asgd(lambda, alpha, t0, weightDecay, maximize: bool) =
        ParameterUpdate(
            Optim.asgd
                { Lambda = lambda
                  Alpha = alpha
                  T0 = t0
                  WeightDecay = weightDecay
                  Maximize = maximize }
        )

    /// Hugging Face's Adafactor; a beta1 of NaN means no first moment.
    static member Adafactor
        (
            eps1,
            eps2,
            clipThreshold,
            decayRate,
            beta1: float,
            weightDecay,
            scaleParameter: bool,
            relativeStep: bool,
            warmupInit: bool
        ) =
        ParameterUpdate(
            Optim.adafactor
                { Eps1 = eps1
                  Eps2 = eps2
                  ClipThreshold = clipThreshold
                  DecayRate = decayRate
                  Beta1 = (if Double.IsNaN beta1 then None else Some beta1)
                  WeightDecay = weightDecay
                  ScaleParameter = scaleParameter
                  RelativeStep = relativeStep
                  WarmupInit = warmupInit }
        )

    /// Lion.
    static member Lion(beta1, beta2, weightDecay) =
        ParameterUpdate(Optim.lion { Beta1 = beta1; Beta2 = beta2; WeightDecay = weightDecay })

    /// Muon.
    static member Muon(momentum, nesterov: bool, iterations: int, weightDecay) =
        ParameterUpdate(
            Optim.muon
                { Momentum = momentum
                  Nesterov = nesterov
                  Iterations = iterations
                  WeightDecay = weightDecay }
        )

    /// Sophia-G.
    static member Sophia(beta1, beta2, gamma, eps, weightDecay) =
        ParameterUpdate(
            Optim.sophia
                { Beta1 = beta1
                  Beta2 = beta2
                  Gamma = gamma
                  Eps = eps
                  WeightDecay = weightDecay
                  Every = 1L }
        )

    /// Sophia's Hessians after an estimate from the gradients of a mean loss of `count` sampled labels.
    static member SophiaHessian(beta2: float, count: float, hessians: Tensor[], gradients: Tensor[]) : Tensor[] =
        let options = { Optim.sophiaDefaults with Beta2 = beta2 }
        let estimates = gradients |> Array.map (fun g -> Optimizer.widened g * Optimizer.widened g * count)
        let state: OptimizerState = [| Array.map Some hessians |]
        let holder = { Transform.identity with Slots = [| "hessian" |] }
        Sophia.observe options holder estimates state |> Array.head |> Array.map Option.get

    /// The minus gradient as the step, and the parameters before it in the slot `old_p`: SAM's way to the worst point near.
    static member Ascent() =
        let keep (parameters: (string * Tensor)[]) : OptimizerState = [| parameters |> Array.map (snd >> Some) |]
        ParameterUpdate
            { Slots = [| "old_p" |]
              Init = keep
              Update = fun _ gradients _ parameters -> Array.map (Optimizer.widened >> (~-)) gradients, keep parameters }

    /// Slow weights around another optimizer.
    member _.Lookahead(k: int64, alpha: float) = ParameterUpdate(Averages.lookahead k alpha optimizer)

    /// The names of the slots.
    member _.Slots: string[] = optimizer.Slots

    /// The state before the first update, slot by slot, as expressions.
    member _.Start(parameters: Tensor[]) : Tensor[][] = outwards (optimizer.Init(named parameters))

    /// The state before the first update, slot by slot, each tensor in memory of its own.
    member _.Init(parameters: Tensor[]) : Tensor[][] = outwards (Values.own (optimizer.Init(named parameters)))

    /// One update as expressions. `step` is the number of updates done before (an integer scalar), `rate` a float scalar,
    /// `momentum` (may be null) one that stands in for the momentum or the first beta of the options.
    member _.Update
        (step: Tensor, rate: Tensor, momentum: Tensor, gradients: Tensor[], state: Tensor[][], parameters: Tensor[])
        : UpdateResult =
        let shape = [ for slot in state -> slot.Length ]
        if gradients.Length <> parameters.Length || shape <> [ for _ in optimizer.Slots -> parameters.Length ] then
            invalidArg "state" $"{parameters.Length} parameters need as many gradients and entries in each slot"
        let context = { UpdateContext.Of(step, rate) with Momentum = Option.ofObj momentum }
        let next, slots = Optimizer.apply optimizer context gradients (inwards state) (named parameters)
        UpdateResult(next, outwards slots)

/// Changes of gradients before an update.
[<AbstractClass; Sealed>]
type GradientChange =
    /// The p-norm of all gradients together.
    static member Norm(order: float, gradients: Tensor[]) : Tensor = Clip.norm order gradients

    /// PyTorch's clip_grad_norm_.
    static member ByNorm(order: float, maximum: float, gradients: Tensor[]) : Tensor[] =
        Clip.byNorm order maximum gradients

    /// PyTorch's clip_grad_value_.
    static member ByValue(bound: float, gradients: Tensor[]) : Tensor[] = Clip.byValue bound gradients

    /// Adaptive clipping, unit by unit.
    static member Adaptive(clipping: float, eps: float, gradients: Tensor[], parameters: Tensor[]) : Tensor[] =
        let context = UpdateContext.Of(scalarOf DType.I32 0.0, scalar 0.0)
        let named = parameters |> Array.mapi (fun i p -> string i, p)
        fst ((Clip.adaptive clipping eps).Update context gradients [||] named)

    /// All gradients together with the length rho: SAM's way to the worst point near.
    static member OfLength(rho: float, gradients: Tensor[]) : Tensor[] =
        let scale = rho / (Clip.norm 2.0 gradients + 1e-12)
        gradients |> Array.map (fun g -> g * cast g.DType scale)

/// L-BFGS over arrays of tensors, with what it remembers.
[<Sealed>]
type LbfgsUpdate(iterations: int, evaluations: int, gradientTolerance, changeTolerance, history: int, strongWolfe: bool)
    =
    let mutable state = Lbfgs.start

    /// PyTorch's step: loss and gradients of parameters in; the loss before and the new parameters out.
    member _.Step
        (rate: float, evaluate: Func<Tensor[], struct (Tensor * Tensor[])>, parameters: Tensor[])
        : struct (float * Tensor[]) =
        let options =
            { Rate = rate
              Iterations = iterations
              Evaluations = evaluations
              GradientTolerance = gradientTolerance
              ChangeTolerance = changeTolerance
              History = history
              StrongWolfe = strongWolfe }
        let valueAndGradient p =
            let struct (loss, gradients) = evaluate.Invoke p
            loss, gradients
        let loss, moved, next = Lbfgs.step options valueAndGradient state parameters
        state <- next
        struct (loss, moved)

    /// What it remembers, by name: `old_dirs.I` and `old_stps.I` (changes of the gradient and of the parameters), `d`, `t`,
    /// `prev_flat_grad`, `H_diag`. Loading forgets what was there.
    member _.State
        with get (): IReadOnlyDictionary<string, Tensor> =
            let numbered name (tensors: Tensor[]) = tensors |> Array.mapi (fun i t -> KeyValuePair($"{name}.{i}", t))
            let single name (tensors: Tensor[]) = tensors |> Array.map (fun t -> KeyValuePair(name, t))
            [| numbered "old_dirs" state.GradientChanges
               numbered "old_stps" state.Steps
               single "d" state.Direction
               single "prev_flat_grad" state.Gradient
               [| KeyValuePair("t", state.Length); KeyValuePair("H_diag", state.Scale) |] |]
            |> Array.concat
            |> Dictionary
            :> IReadOnlyDictionary<string, Tensor>
        and set (named: IReadOnlyDictionary<string, Tensor>) =
            let rec numbered name i =
                match named.TryGetValue $"{name}.{i}" with
                | true, t -> t :: numbered name (i + 1)
                | _ -> []
            let single name =
                match named.TryGetValue name with
                | true, (t: Tensor) -> [| t |]
                | _ -> [||]
            let number name start = single name |> Array.tryHead |> Option.defaultValue start
            state <-
                { GradientChanges = Array.ofList (numbered "old_dirs" 0)
                  Steps = Array.ofList (numbered "old_stps" 0)
                  Direction = single "d"
                  Length = number "t" Lbfgs.start.Length
                  Gradient = single "prev_flat_grad"
                  Scale = number "H_diag" Lbfgs.start.Scale }
