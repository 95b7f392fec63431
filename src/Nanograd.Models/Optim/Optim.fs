namespace Nanograd

open System

/// The optimizers by name, with PyTorch's (or their paper's) defaults, as chains of parts; and updates of whole trees of
/// parameters. All take their rate from the context (`Transform.withSchedule` puts a schedule there).
[<RequireQualifiedAccess>]
module Optim =
    /// The state for a tree of parameters before the first update. Expressions; `Values.own` gives each its own memory.
    let init (o: Optimizer) (parameters: 'P) : OptimizerState = o.Init(Tree.named parameters)

    /// One update of a tree of parameters: context, gradients, state, parameters to new parameters and new state.
    let update (o: Optimizer) (context: UpdateContext) (gradients: 'P) (state: OptimizerState) (parameters: 'P) =
        let next, slots = Optimizer.apply o context (Tree.leaves gradients) state (Tree.named parameters)
        Tree.rebuild parameters next, slots

    /// What the slot of a name holds for each parameter, as a tree like them: `slot "ema" o state parameters` are the averaged
    /// parameters. Where the slot has nothing, the parameter itself.
    let slot (name: string) (o: Optimizer) (state: OptimizerState) (parameters: 'P) : 'P =
        match Array.tryFindIndex ((=) name) o.Slots with
        | None ->
            let known = String.Join(", ", o.Slots)
            raise (ArgumentException $"There is no slot '{name}' in this optimizer's state, which has: {known}.")
        | Some i ->
            let pick (held: Tensor option) (p: Tensor) = held |> Option.map (cast p.DType) |> Option.defaultValue p
            Tree.rebuild parameters (Array.map2 pick state[i] (Tree.leaves parameters))

    /// Decay of matrices and larger tensors, not of biases and norms.
    let matricesOnly = Choose.matrices

    /// The Euclidean norm of all gradients together: a scalar.
    let globalNorm (gradients: Tensor[]) : Tensor = Clip.norm 2.0 gradients

    let private uphill (maximize: bool) = if maximize then Transform.ascend else Transform.identity
    let private named maximize (decay: float) (rule: Optimizer) : Optimizer =
        Transform.chain [ uphill maximize; Transform.addDecayedWeights decay; rule; Transform.scaleByRate ]

    /// PyTorch's SGD with its defaults: no momentum, no decay.
    let sgdDefaults: SgdOptions =
        { Momentum = 0.0
          Dampening = 0.0
          WeightDecay = 0.0
          Nesterov = false
          Maximize = false }

    /// Stochastic gradient descent, as PyTorch's SGD: decay is added to the gradient, and the first momentum is the first
    /// gradient (Sutskever et al. 2013).
    let sgd (options: SgdOptions) : Optimizer =
        Optimizer.atLeast "The momentum" 0.0 options.Momentum
        if options.Nesterov && (options.Momentum = 0.0 || options.Dampening <> 0.0) then
            raise (ArgumentException "Nesterov needs a momentum, and no dampening.")
        named
            options.Maximize
            options.WeightDecay
            (if options.Momentum = 0.0 then
                 Transform.identity
             else
                 Transform.trace options.Momentum options.Dampening options.Nesterov)

    /// Adam with PyTorch's defaults: betas 0.9 and 0.999, eps 1e-8.
    let adamDefaults: AdamOptions =
        { Beta1 = 0.9
          Beta2 = 0.999
          Eps = 1e-8
          WeightDecay = 0.0
          Amsgrad = false
          Maximize = false }

    /// Adam (Kingma and Ba 2015): p - rate m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps).
    let adam (options: AdamOptions) : Optimizer =
        Transform.scaleByAdam options.Beta1 options.Beta2 options.Eps options.Amsgrad
        |> named options.Maximize options.WeightDecay

    /// AdamW with PyTorch's defaults: betas 0.9 and 0.999, eps 1e-8, decay 0.01 of all parameters.
    let adamWDefaults: AdamWOptions =
        { Beta1 = 0.9
          Beta2 = 0.999
          Eps = 1e-8
          WeightDecay = 0.01
          Decays = Choose.everything
          Amsgrad = false
          Maximize = false }

    /// AdamW (Loshchilov and Hutter 2019): Adam's step, and rate * decay * p apart from it.
    let adamW (options: AdamWOptions) : Optimizer =
        Transform.chain
            [ uphill options.Maximize
              Transform.scaleByAdam options.Beta1 options.Beta2 options.Eps options.Amsgrad
              Transform.addDecayedWeightsOf options.Decays options.WeightDecay
              Transform.scaleByRate ]

    /// PyTorch's defaults of Adamax and RAdam.
    let momentDefaults: MomentOptions = { Beta1 = 0.9; Beta2 = 0.999; Eps = 1e-8; WeightDecay = 0.0; Maximize = false }

    /// Adamax: Adam with the infinity norm. PyTorch's rate is 2e-3.
    let adamax (options: MomentOptions) : Optimizer =
        Moments.adamax options.Beta1 options.Beta2 options.Eps |> named options.Maximize options.WeightDecay

    /// NAdam with PyTorch's defaults; its rate is 2e-3.
    let nadamDefaults: NAdamOptions =
        { Beta1 = 0.9
          Beta2 = 0.999
          Eps = 1e-8
          WeightDecay = 0.0
          MomentumDecay = 4e-3 }

    /// NAdam: Adam with Nesterov's momentum.
    let nadam (options: NAdamOptions) : Optimizer = Moments.nadam options |> named false options.WeightDecay

    /// RAdam: Adam without a warm-up of its own.
    let radam (options: MomentOptions) : Optimizer =
        Moments.radam options.Beta1 options.Beta2 options.Eps |> named options.Maximize options.WeightDecay

    /// Adagrad with PyTorch's defaults; its rate is 1e-2.
    let adagradDefaults: AdagradOptions =
        { RateDecay = 0.0
          WeightDecay = 0.0
          InitialAccumulator = 0.0
          Eps = 1e-10
          Maximize = false }

    /// Adagrad.
    let adagrad (options: AdagradOptions) : Optimizer =
        Moments.adagrad options |> named options.Maximize options.WeightDecay

    /// Adadelta with PyTorch's defaults; its rate is 1.
    let adadeltaDefaults: AdadeltaOptions = { Rho = 0.9; Eps = 1e-6; WeightDecay = 0.0; Maximize = false }

    /// Adadelta.
    let adadelta (options: AdadeltaOptions) : Optimizer =
        Moments.adadelta options.Rho options.Eps |> named options.Maximize options.WeightDecay

    /// RMSprop with PyTorch's defaults; its rate is 1e-2.
    let rmsPropDefaults: RmsPropOptions =
        { Alpha = 0.99
          Eps = 1e-8
          WeightDecay = 0.0
          Momentum = 0.0
          Centered = false
          Maximize = false }

    /// RMSprop.
    let rmsProp (options: RmsPropOptions) : Optimizer =
        Moments.rmsProp options |> named options.Maximize options.WeightDecay

    /// Rprop with PyTorch's defaults; its rate is 1e-2.
    let rpropDefaults: RpropOptions =
        { EtaMinus = 0.5
          EtaPlus = 1.2
          Smallest = 1e-6
          Largest = 50.0
          Maximize = false }

    /// Rprop, for full batches: only the signs of gradients count.
    let rprop (options: RpropOptions) : Optimizer = Transform.chain [ uphill options.Maximize; Moments.rprop options ]

    /// ASGD with PyTorch's defaults; its rate is 1e-2.
    let asgdDefaults: AsgdOptions = { Lambda = 1e-4; Alpha = 0.75; T0 = 1e6; WeightDecay = 0.0; Maximize = false }

    /// Averaged SGD; the averages are in the slot `ax`.
    let asgd (options: AsgdOptions) : Optimizer =
        Transform.chain
            [ uphill options.Maximize; Transform.addDecayedWeights options.WeightDecay; Moments.asgd options ]

    /// Adafactor with Hugging Face's defaults: relative steps, no rate needed.
    let adafactorDefaults: AdafactorOptions =
        { Eps1 = 1e-30
          Eps2 = 1e-3
          ClipThreshold = 1.0
          DecayRate = -0.8
          Beta1 = None
          WeightDecay = 0.0
          ScaleParameter = true
          RelativeStep = true
          WarmupInit = false }

    /// Adafactor.
    let adafactor (options: AdafactorOptions) : Optimizer = Adafactor.transform options

    /// Lion with its authors' defaults; its rate is a third to a tenth of AdamW's, its decay as much larger.
    let lionDefaults: LionOptions = { Beta1 = 0.9; Beta2 = 0.99; WeightDecay = 0.0 }

    /// Lion, with decoupled decay.
    let lion (options: LionOptions) : Optimizer =
        Transform.chain
            [ Moments.lion options.Beta1 options.Beta2
              Transform.addDecayedWeights options.WeightDecay
              Transform.scaleByRate ]

    /// LAMB with the defaults of its paper.
    let lambDefaults: MomentOptions = { momentDefaults with Eps = 1e-6; WeightDecay = 0.01 }

    /// LAMB (You et al. 2020), for large batches: Adam's step with decay, in units of the parameter's norm.
    let lamb (options: MomentOptions) : Optimizer =
        Transform.chain
            [ uphill options.Maximize
              Transform.scaleByAdam options.Beta1 options.Beta2 options.Eps false
              Transform.addDecayedWeights options.WeightDecay
              Transform.scaleByTrustRatio
              Transform.scaleByRate ]

    /// Muon with its author's defaults; its rate is 0.02.
    let muonDefaults: MuonOptions = { Momentum = 0.95; Nesterov = true; Iterations = 5; WeightDecay = 0.0 }

    /// Muon, for matrices: see `Muon` and `Transform.groups`.
    let muon (options: MuonOptions) : Optimizer =
        Transform.chain
            [ Muon.transform options; Transform.addDecayedWeights options.WeightDecay; Transform.scaleByRate ]

    /// Sophia-G with the values of its paper.
    let sophiaDefaults: SophiaOptions =
        { Beta1 = 0.96
          Beta2 = 0.99
          Gamma = 0.05
          Eps = 1e-12
          WeightDecay = 0.2
          Every = 10L }

    /// Sophia-G: see `Sophia` for the estimates of the Hessian.
    let sophia (options: SophiaOptions) : Optimizer =
        Transform.chain
            [ Sophia.transform options; Transform.addDecayedWeights options.WeightDecay; Transform.scaleByRate ]
