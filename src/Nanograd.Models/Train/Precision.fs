namespace Nanograd

open System

/// How the scale of a loss follows what overflows: PyTorch's GradScaler and its defaults.
type LossScaling =
    {
        Initial: float
        /// What the scale is multiplied with after `Interval` updates without an overflow.
        Growth: float
        /// What it is multiplied with after an overflow.
        Backoff: float
        Interval: int
    }

    /// 65536, doubled after 2000 good updates, halved after a bad one.
    static member Default = { Initial = 65536.0; Growth = 2.0; Backoff = 0.5; Interval = 2000 }

/// What numbers a model is trained with.
[<RequireQualifiedAccess>]
type Precision =
    /// The types that parameters and batches have.
    | Full
    /// Products and convolutions take and give bf16, sums in them and everything else are f32; weights are f32.
    | BFloat16
    /// The same with f16, whose range is small: the loss is scaled, and updates whose gradients overflow are left out.
    | Float16 of LossScaling
    /// As BFloat16, but the weights themselves are bf16, two bytes each: an update, computed in f32, is rounded up or down
    /// at random so that its mean is exact. (The optimizer's moments stay f32.)
    | BFloat16Weights

/// Products in 16 bits, the rest in 32: what torch.autocast does, as a change of an expression.
[<RequireQualifiedAccess>]
module Autocast =
    /// x as the type would hold it.
    let private held (dtype: DType) (x: Tensor) : Tensor =
        if x.DType = DType.F32 then cast DType.F32 (cast dtype x) else x

    /// The same expressions with every product and convolution of f32 between roundings to `dtype` (bf16 or f16): of the
    /// operands and of the result. Loops and checkpoints are entered; functions with a gradient of their own are not.
    let rec apply (dtype: DType) (roots: Tensor[]) : Tensor[] =
        if dtype <> DType.BF16 && dtype <> DType.F16 then
            raise (ArgumentException $"autocast: the type must be bf16 or f16, not {dtype}.")
        let inside (l: Lambda) = Lambda.make l.Params (apply dtype l.Results)
        let callOf (items: Tensor[]) = Some items[0].Inputs[0]
        roots
        |> Substitute.rewrite (fun t ->
            match t.Op with
            | Op.Dot _
            | Op.Conv _ when t.DType = DType.F32 -> Some(held dtype (Op.rebuild t (Array.map (held dtype) t.Inputs)))
            | Op.Scan s -> callOf (Op.scan { s with Body = inside s.Body } t.Inputs)
            | Op.Checkpoint l -> callOf (Op.checkpoint (inside l) t.Inputs)
            | _ -> None)

/// Rounding whose mean is exact.
[<RequireQualifiedAccess>]
module StochasticRounding =
    /// f32 to bf16: up or down with probabilities that depend on how near each is (Gupta et al. 2015). Random bits are added below
    /// the last bit that stays, and what is below is cut off. Infinities and NaN stay what they are.
    let toBFloat16 (key: Tensor) (x: Tensor) : Tensor =
        if x.DType <> DType.F32 then Shape.fail "toBFloat16" "x must be f32" "" [ x ]
        let low = 0xFFFF
        let bits = Op.bitCast DType.U32 x
        let noise = bitwiseAnd (Random.bits key x.Shape) (fullLike (float low) bits)
        let cut = bitwiseAnd (bits + noise) (fullLike (float (~~~(uint32 low))) bits)
        let isUsual = lt (abs x) (fullLike infinity x)
        cast DType.BF16 (where isUsual (Op.bitCast DType.F32 cut) x)

/// The scale of a loss whose gradients are f16.
[<NoComparison>]
type LossScale =
    {
        /// What the loss is multiplied with: an f32 scalar.
        Factor: Tensor
        /// Updates without an overflow since it changed: an i32 scalar.
        Good: Tensor
    }

/// Dynamic loss scaling.
[<RequireQualifiedAccess>]
module LossScale =
    /// Before the first update.
    let start (p: Precision) : LossScale =
        let initial =
            match p with
            | Precision.Float16 s -> s.Initial
            | Precision.Full
            | Precision.BFloat16
            | Precision.BFloat16Weights -> 1.0
        { Factor = scalarOf DType.F32 initial
          Good = Op.constant (Constant.ofInt DType.I32 0L) }

    /// After an update: was everything finite?
    let next (p: Precision) (isFinite: Tensor) (s: LossScale) : LossScale =
        match p with
        | Precision.Float16 o ->
            let good = s.Good + 1
            let isDue = ge good (fullLike (float o.Interval) good)
            let grown = where isDue (s.Factor * o.Growth) s.Factor
            { Factor = where isFinite grown (s.Factor * o.Backoff)
              Good = where (logicalAnd isFinite (logicalNot isDue)) good (zerosLike good) }
        | Precision.Full
        | Precision.BFloat16
        | Precision.BFloat16Weights -> s
