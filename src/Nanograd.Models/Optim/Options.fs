namespace Nanograd

/// Options of stochastic gradient descent.
type SgdOptions =
    {
        Momentum: float
        /// The share of a gradient that does not go into the momentum.
        Dampening: float
        /// An L2 penalty: added to the gradient.
        WeightDecay: float
        Nesterov: bool
        /// Up instead of down.
        Maximize: bool
    }

/// Options of Adam.
type AdamOptions =
    {
        Beta1: float
        Beta2: float
        Eps: float
        /// An L2 penalty: added to the gradient.
        WeightDecay: float
        /// The largest second moment so far instead of the latest (Reddi et al. 2018).
        Amsgrad: bool
        /// Up instead of down.
        Maximize: bool
    }

/// Options of AdamW.
[<NoComparison; NoEquality>]
type AdamWOptions =
    {
        Beta1: float
        Beta2: float
        Eps: float
        /// Decoupled: the parameters shrink by rate * decay, whatever the gradients.
        WeightDecay: float
        /// Which parameters decay, by name and value.
        Decays: string -> Tensor -> bool
        /// The largest second moment so far instead of the latest (Reddi et al. 2018).
        Amsgrad: bool
        /// Up instead of down.
        Maximize: bool
    }

/// Options of Adamax, RAdam, LAMB.
type MomentOptions = { Beta1: float; Beta2: float; Eps: float; WeightDecay: float; Maximize: bool }

/// Options of NAdam.
type NAdamOptions =
    {
        Beta1: float
        Beta2: float
        Eps: float
        WeightDecay: float
        /// How fast the momentum grows to Beta1.
        MomentumDecay: float
    }

/// Options of Adagrad.
type AdagradOptions =
    {
        /// The rate falls as 1 / (1 + t RateDecay).
        RateDecay: float
        WeightDecay: float
        /// Where the sums of squares start.
        InitialAccumulator: float
        Eps: float
        Maximize: bool
    }

/// Options of Adadelta.
type AdadeltaOptions = { Rho: float; Eps: float; WeightDecay: float; Maximize: bool }

/// Options of RMSprop.
type RmsPropOptions =
    {
        Alpha: float
        Eps: float
        WeightDecay: float
        Momentum: float
        /// Divided by the deviation of the gradients instead of their root mean square.
        Centered: bool
        Maximize: bool
    }

/// Options of Rprop.
type RpropOptions =
    {
        /// What step sizes are multiplied with where the gradient changed its sign, and where it kept it.
        EtaMinus: float
        EtaPlus: float
        /// The bounds of the step sizes.
        Smallest: float
        Largest: float
        Maximize: bool
    }

/// Options of averaged stochastic gradient descent.
type AsgdOptions =
    {
        /// The decay of the parameters, and of the rate.
        Lambda: float
        /// The rate falls as (1 + Lambda rate t)^-Alpha.
        Alpha: float
        /// The step at which averaging starts.
        T0: float
        WeightDecay: float
        Maximize: bool
    }

/// Options of Adafactor, as in Hugging Face's transformers.
type AdafactorOptions =
    {
        /// Added to squared gradients.
        Eps1: float
        /// The least root mean square of a parameter that scales its rate.
        Eps2: float
        /// The largest root mean square of an update.
        ClipThreshold: float
        /// The second moments' beta is 1 - t^DecayRate.
        DecayRate: float
        /// The first moment's beta; None for no first moment.
        Beta1: float option
        WeightDecay: float
        /// The rate times the root mean square of the parameter.
        ScaleParameter: bool
        /// min(1e-2, 1 / sqrt t) instead of the given rate.
        RelativeStep: bool
        /// min(1e-6 t, 1 / sqrt t) then.
        WarmupInit: bool
    }

/// Options of Lion.
type LionOptions = { Beta1: float; Beta2: float; WeightDecay: float }

/// Options of Muon.
type MuonOptions =
    {
        Momentum: float
        Nesterov: bool
        /// Newton-Schulz iterations.
        Iterations: int
        WeightDecay: float
    }

/// Options of Sophia.
type SophiaOptions =
    {
        Beta1: float
        /// Of the average of Hessian estimates.
        Beta2: float
        /// Steps are clipped where m exceeds Gamma times the curvature.
        Gamma: float
        /// The least curvature.
        Eps: float
        WeightDecay: float
        /// A new estimate of the Hessian every so many steps.
        Every: int64
    }
