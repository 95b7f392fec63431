namespace Nanograd

open System

/// Which extent of a weight an initialiser looks at.
[<RequireQualifiedAccess>]
type Fan =
    /// The inputs of an output: activations keep their size.
    | In
    /// The outputs of an input: gradients keep their size.
    | Out

/// What follows a layer, as far as its size matters.
[<RequireQualifiedAccess>]
type GainOf =
    | Linear
    | Sigmoid
    | Tanh
    | Relu
    /// With its slope below 0.
    | LeakyRelu of slope: float
    | Selu

/// How weights start, by PyTorch's names and formulas (torch.nn.init). All give a tensor of a shape from a key.
[<RequireQualifiedAccess>]
module Init =
    /// The factor recommended for a nonlinearity.
    let gain (nonlinearity: GainOf) : float =
        match nonlinearity with
        | GainOf.Linear
        | GainOf.Sigmoid -> 1.0
        | GainOf.Tanh -> 5.0 / 3.0
        | GainOf.Relu -> Math.Sqrt 2.0
        | GainOf.LeakyRelu slope -> Math.Sqrt(2.0 / (1.0 + slope * slope))
        | GainOf.Selu -> 0.75

    let private fail required (shape: int[]) = raise (ShapeException("init", required, Shape.show shape, ""))

    /// Inputs of an output and outputs of an input, for a weight `[out; in; kernel..]`.
    let fans (shape: int[]) : int * int =
        if shape.Length < 2 then fail "fans need at least two axes, [out,in,kernel..]" shape
        let field = Array.fold (*) 1 shape[2..]
        shape[1] * field, shape[0] * field

    let private fan (mode: Fan) shape =
        let fanIn, fanOut = fans shape
        match mode with
        | Fan.In -> fanIn
        | Fan.Out -> fanOut

    /// Uniform between two bounds.
    let uniform (low: float) (high: float) (key: Tensor) (shape: int[]) : Tensor =
        Random.uniform key shape * (high - low) + low

    /// Normal.
    let normal (mean: float) (deviation: float) (key: Tensor) (shape: int[]) : Tensor =
        Random.normal key shape * deviation + mean

    /// Normal, but within two bounds (PyTorch: mean 0, deviation 1, from -2 to 2).
    let truncNormal (mean: float) (deviation: float) (low: float) (high: float) (key: Tensor) (shape: int[]) : Tensor =
        if not (low < high && deviation > 0.0) then
            raise (
                ArgumentException
                    $"init: bounds must be in order and the deviation positive, not {low}, {high}, {deviation}."
            )
        Random.truncatedNormal ((low - mean) / deviation) ((high - mean) / deviation) key shape * deviation + mean

    /// One number everywhere.
    let constant (value: float) (shape: int[]) : Tensor = full DType.F32 shape value

    /// Zeros.
    let zeros (shape: int[]) : Tensor = constant 0.0 shape

    /// Ones.
    let ones (shape: int[]) : Tensor = constant 1.0 shape

    /// The identity, as far as a matrix `[out; in]` can be it.
    let eye (shape: int[]) : Tensor =
        if shape.Length <> 2 then fail "the identity needs two axes" shape
        eyeOf DType.F32 shape[0] shape[1]

    /// A convolution `[out; in; kernel..]` that gives its input back: in each of the groups output i is input i, by a one in
    /// the middle of the kernel.
    let dirac (groups: int) (shape: int[]) : Tensor =
        if shape.Length < 3 || groups < 1 || shape[0] % groups <> 0 then
            fail $"dirac needs [out,in,kernel..] with outputs that divide into {groups} groups" shape
        let perGroup = shape[0] / groups
        let kernel = shape[2..]
        let field = Array.fold (*) 1 kernel
        let centre = Array.fold (fun place extent -> place * extent + extent / 2) 0 kernel
        let values = Array.zeroCreate<float32>(Shape.count shape)
        for g in 0 .. groups - 1 do
            for i in 0 .. min perGroup shape[1] - 1 do
                values[((g * perGroup + i) * shape[1] + i) * field + centre] <- 1.0f
        ofArray DType.F32 shape values

    /// Uniform with variance 2 gain² / (fan in + fan out) (Glorot and Bengio 2010).
    let xavierUniform (gain: float) (key: Tensor) (shape: int[]) : Tensor =
        let fanIn, fanOut = fans shape
        let bound = gain * Math.Sqrt(6.0 / float (fanIn + fanOut))
        uniform -bound bound key shape

    /// Normal with variance 2 gain² / (fan in + fan out).
    let xavierNormal (gain: float) (key: Tensor) (shape: int[]) : Tensor =
        let fanIn, fanOut = fans shape
        normal 0.0 (gain * Math.Sqrt(2.0 / float (fanIn + fanOut))) key shape

    /// Uniform with variance gain² / fan (He et al. 2015). (PyTorch: Fan.In, LeakyRelu 0.)
    let kaimingUniform (mode: Fan) (nonlinearity: GainOf) (key: Tensor) (shape: int[]) : Tensor =
        let bound = gain nonlinearity * Math.Sqrt(3.0 / float (fan mode shape))
        uniform -bound bound key shape

    /// Normal with variance gain² / fan.
    let kaimingNormal (mode: Fan) (nonlinearity: GainOf) (key: Tensor) (shape: int[]) : Tensor =
        normal 0.0 (gain nonlinearity / Math.Sqrt(float (fan mode shape))) key shape

    /// Orthonormal rows or columns, whichever are fewer, times a gain; axes behind the first count as one (Saxe et al.
    /// 2013).
    let orthogonal (gain: float) (key: Tensor) (shape: int[]) : Tensor =
        if shape.Length < 2 then fail "an orthogonal weight needs at least two axes" shape
        let rows = shape[0]
        let columns = Array.fold (*) 1 shape[1..]
        let tall = Random.normal key [| max rows columns; min rows columns |]
        let q, r = Linalg.qr tall
        let signs = Op.unary Unary.Sign (diagonal 0 0 1 r) // makes the distribution uniform
        let q = q * signs
        reshape shape ((if rows < columns then transpose q else q) * gain)

    /// Normal, but a share of each column's rows is 0: a matrix.
    let sparse (sparsity: float) (deviation: float) (key: Tensor) (shape: int[]) : Tensor =
        if shape.Length <> 2 || not (sparsity >= 0.0 && sparsity <= 1.0) then
            fail $"a sparse weight needs two axes and a share between 0 and 1, not {sparsity}," shape
        let zeros = int (Math.Ceiling(sparsity * float shape[0]))
        let order = argSort 0 false (argSort 0 false (Random.uniform (Random.fold key 0) shape))
        let values = normal 0.0 deviation (Random.fold key 1) shape
        where (lt order (scalarOf DType.I64 (float zeros))) (zerosLike values) values
