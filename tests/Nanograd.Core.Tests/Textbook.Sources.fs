/// Written by the test of the same name in TextbookTests.fs: what Source.render makes of expressions.
module Nanograd.Core.Tests.TextbookSources

#nowarn "1182" // unused

open Nanograd

/// x: f32[]
let rawCube (x: Tensor) : Tensor =
    1.0 * (3.0 * (x ** 2.0))

/// x: f32[]
let prettyCube (x: Tensor) : Tensor =
    3.0 * (x * x)

/// x: f32[]
let rawPolynomial (x: Tensor) : Tensor =
    1.0 * scalar 2.0 + ((-(scalar 1.0)) * 3.0 * (2.0 * x) + 1.0 * scalar 5.0 * (4.0 * (x ** 3.0)))

/// x: f32[]
let prettyPolynomial (x: Tensor) : Tensor =
    20.0 * (x ** 3.0) - 6.0 * x + 2.0

/// x: f32[]
let rawPowerOfASum (x: Tensor) : Tensor =
    1.0 * (5.0 * ((2.0 * x + 1.0) ** 4.0)) * 2.0

/// x: f32[]
let prettyPowerOfASum (x: Tensor) : Tensor =
    10.0 * ((2.0 * x + 1.0) ** 4.0)

/// x: f32[]
let rawQuotient (x: Tensor) : Tensor =
    let t1 = 1.0 + x ** 2.0
    let t2 = 1.0 / t1
    t2 + (-(t2 * (x / t1))) * (2.0 * x)

/// x: f32[]
let prettyQuotient (x: Tensor) : Tensor =
    let t1 = x * x
    let t2 = t1 + 1.0
    (1.0 - t1) / (t2 * t2)

/// x: f32[]
let rawReciprocal (x: Tensor) : Tensor =
    let t1 = 1.0 / x
    -(t1 * t1)

/// x: f32[]
let prettyReciprocal (x: Tensor) : Tensor =
    -(1.0 / (x * x))

/// x: f32[]
let rawSquareRoot (x: Tensor) : Tensor =
    1.0 / (2.0 * sqrt x)

/// x: f32[]
let prettySquareRoot (x: Tensor) : Tensor =
    1.0 / (2.0 * sqrt x)

/// n: f32[], x: f32[]
let rawPower (n: Tensor) (x: Tensor) : Tensor =
    1.0 * (n * (x ** (where (eq n (scalar 0.0)) (scalar 0.0) (n - 1.0))))

/// n: f32[], x: f32[]
let prettyPower (n: Tensor) (x: Tensor) : Tensor =
    n * (x ** (n - 1.0))

/// x: f32[]
let rawTower (x: Tensor) : Tensor =
    let t1 = eq x (scalar 0.0)
    let t2 = x ** x * log (where (Op.binary Binary.And t1 (ge x (scalar 0.0))) (scalar 1.0) x)
    1.0 * (x * (x ** (where t1 (scalar 0.0) (x - 1.0)))) + 1.0 * t2

/// x: f32[]
let prettyTower (x: Tensor) : Tensor =
    x ** x * (log x + 1.0)

/// a: f32[], x: f32[]
let rawExponential (a: Tensor) (x: Tensor) : Tensor =
    let t1 = where (Op.binary Binary.And (eq a (scalar 0.0)) (ge x (scalar 0.0))) (scalar 1.0) a
    1.0 * (a ** x * log t1)

/// a: f32[], x: f32[]
let prettyExponential (a: Tensor) (x: Tensor) : Tensor =
    a ** x * log a

/// x: f32[]
let rawExpOfAMultiple (x: Tensor) : Tensor =
    1.0 * exp (2.0 * x) * 2.0

/// x: f32[]
let prettyExpOfAMultiple (x: Tensor) : Tensor =
    2.0 * exp (2.0 * x)

/// x: f32[]
let rawLogarithm (x: Tensor) : Tensor =
    1.0 / x

/// x: f32[]
let prettyLogarithm (x: Tensor) : Tensor =
    1.0 / x

/// x: f32[]
let rawXLogX (x: Tensor) : Tensor =
    1.0 * log x + 1.0 * x / x

/// x: f32[]
let prettyXLogX (x: Tensor) : Tensor =
    log x + 1.0

/// x: f32[]
let rawChainOfLog (x: Tensor) : Tensor =
    1.0 / (x ** 2.0 + 1.0) * (2.0 * x)

/// x: f32[]
let prettyChainOfLog (x: Tensor) : Tensor =
    2.0 * x / (x * x + 1.0)

/// x: f32[]
let rawSine (x: Tensor) : Tensor =
    1.0 * cos x

/// x: f32[]
let prettySine (x: Tensor) : Tensor =
    cos x

/// x: f32[]
let rawCosine (x: Tensor) : Tensor =
    -(1.0 * sin x)

/// x: f32[]
let prettyCosine (x: Tensor) : Tensor =
    -(sin x)

/// x: f32[]
let rawTangent (x: Tensor) : Tensor =
    let t1 = cos x
    let t2 = 1.0 / t1
    let t3 = sin x
    (-((-(t2 * (t3 / t1))) * t3)) + t2 * t1

/// x: f32[]
let prettyTangent (x: Tensor) : Tensor =
    let t1 = tan x
    t1 * t1 + 1.0

/// x: f32[]
let rawProduct (x: Tensor) : Tensor =
    1.0 * sin x + 1.0 * x * cos x

/// x: f32[]
let prettyProduct (x: Tensor) : Tensor =
    x * cos x + sin x

/// x: f32[]
let rawProductOfPowers (x: Tensor) : Tensor =
    1.0 * (x ** 2.0) * cos x + 1.0 * sin x * (2.0 * x)

/// x: f32[]
let prettyProductOfPowers (x: Tensor) : Tensor =
    x * x * cos x + 2.0 * (x * sin x)

/// x: f32[]
let rawChain (x: Tensor) : Tensor =
    1.0 * cos (x ** 2.0) * (2.0 * x)

/// x: f32[]
let prettyChain (x: Tensor) : Tensor =
    2.0 * (x * cos (x * x))

/// x: f32[]
let rawSquareOfSine (x: Tensor) : Tensor =
    1.0 * (2.0 * sin x) * cos x

/// x: f32[]
let prettySquareOfSine (x: Tensor) : Tensor =
    2.0 * (sin x * cos x)

/// x: f32[]
let rawBell (x: Tensor) : Tensor =
    (-(1.0 * exp (-(x ** 2.0)))) * (2.0 * x)

/// x: f32[]
let prettyBell (x: Tensor) : Tensor =
    (-2.0) * (x * exp (-(x * x)))

/// x: f32[]
let rawPolynomialTimesExp (x: Tensor) : Tensor =
    let t1 = exp x
    1.0 * (x ** 2.0 + 1.0) * t1 + 1.0 * t1 * (2.0 * x)

/// x: f32[]
let prettyPolynomialTimesExp (x: Tensor) : Tensor =
    (x * x + 2.0 * x + 1.0) * exp x

/// x: f32[]
let rawXExpX (x: Tensor) : Tensor =
    let t1 = exp x
    1.0 * t1 + 1.0 * x * t1

/// x: f32[]
let prettyXExpX (x: Tensor) : Tensor =
    (x + 1.0) * exp x

/// x: f32[]
let rawArcTangent (x: Tensor) : Tensor =
    1.0 / (1.0 + x * x)

/// x: f32[]
let prettyArcTangent (x: Tensor) : Tensor =
    1.0 / (x * x + 1.0)

/// x: f32[]
let rawTanh (x: Tensor) : Tensor =
    let t1 = tanh x
    1.0 * (1.0 - t1 * t1)

/// x: f32[]
let prettyTanh (x: Tensor) : Tensor =
    let t1 = tanh x
    1.0 - t1 * t1

/// x: f32[]
let rawSigmoid (x: Tensor) : Tensor =
    let t1 = tanh (x * 0.5)
    1.0 * scalar 0.5 * (1.0 - t1 * t1) * 0.5

/// x: f32[]
let prettySigmoid (x: Tensor) : Tensor =
    let t1 = sigmoid x
    t1 * (1.0 - t1)

/// x: f32[]
let rawLogisticFunction (x: Tensor) : Tensor =
    let t1 = exp (-x)
    let t2 = 1.0 / (1.0 + t1)
    -((-(t2 * t2)) * t1)

/// x: f32[]
let prettyLogisticFunction (x: Tensor) : Tensor =
    let t1 = sigmoid x
    t1 * (1.0 - t1)

/// x: f32[]
let rawSoftplusByItsFormula (x: Tensor) : Tensor =
    let t1 = exp x
    1.0 / (1.0 + t1) * t1

/// x: f32[]
let prettySoftplusByItsFormula (x: Tensor) : Tensor =
    sigmoid x

/// x: f32[]
let rawSoftplus (x: Tensor) : Tensor =
    1.0 * (tanh (x * 0.5) * 0.5 + 0.5)

/// x: f32[]
let prettySoftplus (x: Tensor) : Tensor =
    sigmoid x

/// x: f32[]
let rawLogOfSigmoid (x: Tensor) : Tensor =
    let t1 = tanh (x * 0.5)
    1.0 / (t1 * 0.5 + 0.5) * 0.5 * (1.0 - t1 * t1) * 0.5

/// x: f32[]
let prettyLogOfSigmoid (x: Tensor) : Tensor =
    1.0 - sigmoid x

/// x: f32[]
let rawSilu (x: Tensor) : Tensor =
    let t1 = tanh (x * 0.5)
    1.0 * (t1 * 0.5 + 0.5) + 1.0 * x * 0.5 * (1.0 - t1 * t1) * 0.5

/// x: f32[]
let prettySilu (x: Tensor) : Tensor =
    let t1 = sigmoid x
    t1 * (x * (1.0 - t1) + 1.0)

/// x: f32[]
let rawErrorFunction (x: Tensor) : Tensor =
    1.0 * ((2.0 / System.Math.Sqrt System.Math.PI) * exp (-(x * x)))

/// x: f32[]
let prettyErrorFunction (x: Tensor) : Tensor =
    2.0 * exp (-(x * x)) / System.Math.Sqrt System.Math.PI

/// x: f32[]
let rawGelu (x: Tensor) : Tensor =
    let t2 = x * System.Math.Sqrt 0.5
    let t3 = 1.0 * (x * 0.5) * ((2.0 / System.Math.Sqrt System.Math.PI) * exp (-(t2 * t2))) * System.Math.Sqrt 0.5
    t3 + 1.0 * (erf t2 + 1.0) * 0.5

/// x: f32[]
let prettyGelu (x: Tensor) : Tensor =
    let t1 = x * exp (-(x * x / 2.0)) / (System.Math.Sqrt(2.0 * System.Math.PI)) + erf (x / System.Math.Sqrt 2.0) / 2.0
    t1 + 1.0 / scalar 2.0

/// x: f32[]
let rawRelu (x: Tensor) : Tensor =
    where (le x (scalar 0.0)) (scalar 0.0) (scalar 1.0)

/// x: f32[]
let prettyRelu (x: Tensor) : Tensor =
    where (gt x (scalar 0.0)) (scalar 1.0) (scalar 0.0)

/// x: f32[]
let rawAbsoluteValue (x: Tensor) : Tensor =
    1.0 * Op.unary Unary.Sign x

/// x: f32[]
let prettyAbsoluteValue (x: Tensor) : Tensor =
    Op.unary Unary.Sign x

/// x: f32[], y: f32[]
let rawLargerOfTwo (x: Tensor) (y: Tensor) : Tensor =
    where (eq x y) (0.5 * scalar 1.0) (where (lt x y) (scalar 0.0) (scalar 1.0))

/// x: f32[], y: f32[]
let prettyLargerOfTwo (x: Tensor) (y: Tensor) : Tensor =
    where (gt x y) (scalar 1.0) (scalar 0.0)

/// x: f32[]
let rawHuberLoss (x: Tensor) : Tensor =
    let t1 = le (abs x) (scalar 1.0)
    where t1 (scalar 1.0) (scalar 0.0) / 2.0 * (2.0 * x) + where t1 (scalar 0.0) (scalar 1.0) * Op.unary Unary.Sign x

/// x: f32[]
let prettyHuberLoss (x: Tensor) : Tensor =
    where (le (abs x) (scalar 1.0)) x (Op.unary Unary.Sign x)

/// y: f32[], x: f32[]
let rawHingeLoss (y: Tensor) (x: Tensor) : Tensor =
    let t1 = 1.0 - y * x
    let t2 = where (eq (scalar 0.0) t1) (0.5 * scalar 1.0) (where (gt (scalar 0.0) t1) (scalar 0.0) (scalar 1.0))
    (-t2) * y

/// x: f32[], y: f32[]
let prettyHingeLoss (x: Tensor) (y: Tensor) : Tensor =
    where (lt (x * y) (scalar 1.0)) (-y) (scalar 0.0)

/// y: f32[], x: f32[]
let rawLogisticLoss (y: Tensor) (x: Tensor) : Tensor =
    let t1 = -y
    let t2 = exp (t1 * x)
    1.0 / (1.0 + t2) * t2 * t1

/// y: f32[], x: f32[]
let prettyLogisticLoss (y: Tensor) (x: Tensor) : Tensor =
    -(y * sigmoid (-(x * y)))

/// s: f32[], x: f32[], μ: f32[]
let rawLogOfANormalDensity (s: Tensor) (x: Tensor) (μ: Tensor) : Tensor =
    (-(1.0 / (2.0 * (s ** 2.0)))) * (2.0 * (x - μ))

/// x: f32[], μ: f32[], s: f32[]
let prettyLogOfANormalDensity (x: Tensor) (μ: Tensor) (s: Tensor) : Tensor =
    -((x - μ) / (s * s))

/// x: f32[]
let rawSecondDerivativeOfSine (x: Tensor) : Tensor =
    -(1.0 * scalar 1.0 * sin x)

/// x: f32[]
let prettySecondDerivativeOfSine (x: Tensor) : Tensor =
    -(sin x)

/// x: f32[]
let rawSecondDerivativeOfTheBell (x: Tensor) : Tensor =
    let t1 = exp (-(x ** 2.0))
    let t2 = 2.0 * x
    1.0 * (-(1.0 * t1)) * 2.0 + (-((-(1.0 * t2)) * 1.0 * t1)) * t2

/// x: f32[]
let prettySecondDerivativeOfTheBell (x: Tensor) : Tensor =
    let t1 = x * x
    (4.0 * t1 - 2.0) * exp (-t1)

/// x: f32[]
let rawThirdDerivativeOfTanh (x: Tensor) : Tensor =
    let t1 = -(1.0 * scalar 1.0)
    let t2 = tanh x
    let t3 = t1 * t2
    let t4 = (-(1.0 * (t3 + t3))) * t2
    let t5 = 1.0 - t2 * t2
    let t6 = 1.0 * t5
    (t4 + (t4 + (t6 + t6) * t1)) * t5

/// x: f32[]
let prettyThirdDerivativeOfTanh (x: Tensor) : Tensor =
    let t1 = tanh x
    let t2 = t1 * t1
    (6.0 * t2 - 2.0) * (1.0 - t2)

/// a: f32[3]
let rawInnerProduct (a: Tensor) : Tensor =
    reshape [| 3 |] (matmul (transpose (reshape [| 1; 3 |] a)) (reshape [| 1; 1 |] (scalar 1.0)))

/// a: f32[3]
let prettyInnerProduct (a: Tensor) : Tensor =
    a

/// x: f32[3]
let rawSquaredLength (x: Tensor) : Tensor =
    let t1 = reshape [| 1; 1 |] (scalar 1.0)
    reshape [| 3 |] (matmul (transpose (reshape [| 1; 3 |] x)) t1) + reshape [| 3 |] (matmul t1 (transpose (reshape [| 3; 1 |] x)))

/// x: f32[3]
let prettySquaredLength (x: Tensor) : Tensor =
    2.0 * x

/// x: f32[3]
let rawLength (x: Tensor) : Tensor =
    let t1 = 1.0 / (2.0 * sqrt (sum (x * x))) * x
    t1 + t1

/// x: f32[3]
let prettyLength (x: Tensor) : Tensor =
    x / sqrt (broadcastTo [| 3 |] (sum (x * x)))

/// Q: f32[3,3], x: f32[3]
let rawQuadraticForm (Q: Tensor) (x: Tensor) : Tensor =
    let t1 = reshape [| 1; 1 |] (scalar 1.0)
    let t2 = reshape [| 3 |] (matmul (transpose Q) (matmul (transpose (reshape [| 1; 3 |] x)) t1))
    t2 + reshape [| 3 |] (matmul t1 (transpose (matmul Q (reshape [| 3; 1 |] x))))

/// Q: f32[3,3], x: f32[3]
let prettyQuadraticForm (Q: Tensor) (x: Tensor) : Tensor =
    matmul (Q + transpose Q) x

/// a: f32[3], x: f32[3]
let rawBilinearForm (a: Tensor) (x: Tensor) : Tensor =
    matmul (matmul (transpose (reshape [| 1; 3 |] a)) (reshape [| 1; 1 |] (scalar 1.0))) (transpose (reshape [| 3; 1 |] x))

/// a: f32[3], x: f32[3]
let prettyBilinearForm (a: Tensor) (x: Tensor) : Tensor =
    Op.dot { LeftBatch = [| |]; RightBatch = [| |]; LeftSum = [| |]; RightSum = [| |] } a x

/// A: f32[4,3], x: f32[3], b: f32[4]
let rawLeastSquares (A: Tensor) (x: Tensor) (b: Tensor) : Tensor =
    let t1 = reshape [| 4; 1 |] (1.0 * (2.0 * (reshape [| 4 |] (matmul A (reshape [| 3; 1 |] x)) - b)))
    reshape [| 3 |] (matmul (transpose A) t1)

/// A: f32[4,3], x: f32[3], b: f32[4]
let prettyLeastSquares (A: Tensor) (x: Tensor) (b: Tensor) : Tensor =
    2.0 * matmul (transpose A) (matmul A x - b)

/// λ: f32[], x: f32[3], A: f32[4,3], b: f32[4]
let rawRidgeRegression (λ: Tensor) (x: Tensor) (A: Tensor) (b: Tensor) : Tensor =
    let t1 = reshape [| 4; 1 |] (1.0 * (2.0 * (reshape [| 4 |] (matmul A (reshape [| 3; 1 |] x)) - b)))
    1.0 * λ * (2.0 * x) + reshape [| 3 |] (matmul (transpose A) t1)

/// A: f32[4,3], x: f32[3], b: f32[4], λ: f32[]
let prettyRidgeRegression (A: Tensor) (x: Tensor) (b: Tensor) (λ: Tensor) : Tensor =
    2.0 * (matmul (transpose A) (matmul A x - b) + λ * x)

/// X: f32[4,3], y: f32[4], w: f32[3]
let rawLogisticRegression (X: Tensor) (y: Tensor) (w: Tensor) : Tensor =
    let t1 = exp (reshape [| 4 |] (matmul X (reshape [| 3; 1 |] w)))
    let t2 = matmul (transpose X) (reshape [| 4; 1 |] ((-(full DType.F32 [| 4 |] 1.0)) * y + 1.0 / (1.0 + t1) * t1))
    reshape [| 3 |] t2

/// X: f32[4,3], w: f32[3], y: f32[4]
let prettyLogisticRegression (X: Tensor) (w: Tensor) (y: Tensor) : Tensor =
    matmul (transpose X) (sigmoid (matmul X w) - y)

/// X: f32[4,3], W: f32[3,2], Y: f32[4,2]
let rawMeanSquaredErrorOfALinearLayer (X: Tensor) (W: Tensor) (Y: Tensor) : Tensor =
    matmul (transpose X) (1.0 / scalar 8.0 * (2.0 * (matmul X W - Y)))

/// X: f32[4,3], W: f32[3,2], Y: f32[4,2]
let prettyMeanSquaredErrorOfALinearLayer (X: Tensor) (W: Tensor) (Y: Tensor) : Tensor =
    matmul (transpose X) (matmul X W - Y) / 4.0

/// X: f32[4,3]
let rawSquaredFrobeniusNorm (X: Tensor) : Tensor =
    1.0 * (2.0 * X)

/// X: f32[4,3]
let prettySquaredFrobeniusNorm (X: Tensor) : Tensor =
    2.0 * X

/// X: f32[4,3]
let rawFrobeniusNorm (X: Tensor) : Tensor =
    let t1 = 1.0 / (2.0 * sqrt (sum (X * X))) * X
    t1 + t1

/// X: f32[4,3]
let prettyFrobeniusNorm (X: Tensor) : Tensor =
    X / sqrt (broadcastTo [| 4; 3 |] (sum (X * X)))

/// A: f32[4,3]
let rawTraceOfAProduct (A: Tensor) : Tensor =
    1.0 * transpose A

/// A: f32[4,3]
let prettyTraceOfAProduct (A: Tensor) : Tensor =
    transpose A

/// x: f32[3]
let rawLogOfASumOfExps (x: Tensor) : Tensor =
    let t1 = exp (x - Grad.stopGradient (reshape [| 1 |] (amax [ 0 ] x)))
    reshape [| 1 |] (scalar 1.0) / sumKeep [ 0 ] t1 * t1

/// x: f32[3]
let prettyLogOfASumOfExps (x: Tensor) : Tensor =
    softmax 0 x

/// y: f32[3], z: f32[3]
let rawCrossEntropyOfSoftmax (y: Tensor) (z: Tensor) : Tensor =
    let t1 = exp (z - Grad.stopGradient (reshape [| 1 |] (amax [ 0 ] z)))
    (-(scalar 1.0)) * y + reshape [| 1 |] (scalar 1.0) / sumKeep [ 0 ] t1 * t1

/// z: f32[3], y: f32[3]
let prettyCrossEntropyOfSoftmax (z: Tensor) (y: Tensor) : Tensor =
    softmax 0 z - y

/// p: f32[3]
let rawEntropy (p: Tensor) : Tensor =
    let t1 = -(scalar 1.0)
    t1 * log p + t1 * p / p

/// p: f32[3]
let prettyEntropy (p: Tensor) : Tensor =
    (-(log p)) - 1.0

/// p: f32[3], q: f32[3]
let rawKullbackLeiblerDivergence (p: Tensor) (q: Tensor) : Tensor =
    let t1 = p / q
    -(1.0 * p / t1 / q * t1)

/// p: f32[3], q: f32[3]
let prettyKullbackLeiblerDivergence (p: Tensor) (q: Tensor) : Tensor =
    -(p / q)

let rawMean : Tensor =
    broadcastTo [| 3 |] (1.0 / scalar 3.0)

let prettyMean : Tensor =
    broadcastTo [| 3 |] (1.0 / scalar 3.0)

/// x: f32[3]
let rawVariance (x: Tensor) : Tensor =
    let t1 = 1.0 / scalar 3.0 * (2.0 * (x - sum x / 3.0))
    t1 + sum (-t1) / 3.0

/// x: f32[3]
let prettyVariance (x: Tensor) : Tensor =
    2.0 * (x - mean x) / 3.0

/// x: f32[3], y: f32[3]
let rawCosineOfTheAngle (x: Tensor) (y: Tensor) : Tensor =
    let t1 = sqrt (sum (x * x))
    let t2 = sqrt (sum (y * y))
    let t3 = t1 * t2
    let t4 = 1.0 / t3
    let t5 = (-(t4 * (sum (x * y) / t3))) * t2 / (2.0 * t1) * x
    t5 + (t5 + t4 * y)

/// y: f32[3], x: f32[3]
let prettyCosineOfTheAngle (y: Tensor) (x: Tensor) : Tensor =
    let t1 = sum (x * x)
    (y * t1 - x * sum (x * y)) / ((broadcastTo [| 3 |] t1) ** 1.5 * sqrt (broadcastTo [| 3 |] (sum (y * y))))

/// m: f32[2,3]
let primitiveLiteral (m: Tensor) : Tensor =
    m + ofArray DType.F32 [| 2; 3 |] [| 1.0f; -2.5f; nanf; infinityf; 0.1f; 1E-07f |]

/// value: f32[100]
let primitiveLongLiteral (value: Tensor) : Tensor =
    let t1 = Op.binary Binary.Shr (Op.randomBits (ofArray DType.U32 [| 2 |] [| 0u; 3u |]) [| 2 |]) (broadcastTo [| 2 |] (Op.constant (Constant.ofInt DType.U32 8L)))
    sum (cast DType.F32 t1 * 5.9604645E-08) + sum value

/// k: i32[2,3]
let primitiveWholeNumbers (k: Tensor) : Tensor =
    k + ofArray DType.I32 [| 3 |] [| 1; -2; 3 |]

/// m: f32[2,3]
let primitiveHalf (m: Tensor) : Tensor =
    cast DType.F32 (cast DType.F16 m) + cast DType.F32 (cast DType.BF16 m)

/// m: f32[2,3]
let primitiveIota (m: Tensor) : Tensor =
    m * Op.iota DType.F32 [| 2; 3 |] 1

/// m: f32[2,3]
let primitiveBits (m: Tensor) : Tensor =
    Op.bitCast DType.I32 m

let primitiveRandom : Tensor =
    Op.randomBits (ofArray DType.U32 [| 2 |] [| 0u; 7u |]) [| 2; 3 |]

/// m: f32[2,3]
let primitiveNeg (m: Tensor) : Tensor =
    -m

/// m: f32[2,3]
let primitiveAbs (m: Tensor) : Tensor =
    abs m

/// m: f32[2,3]
let primitiveSign (m: Tensor) : Tensor =
    Op.unary Unary.Sign m

/// m: f32[2,3]
let primitiveExp (m: Tensor) : Tensor =
    exp m

/// m: f32[2,3]
let primitiveLog (m: Tensor) : Tensor =
    log m

/// m: f32[2,3]
let primitiveLog1p (m: Tensor) : Tensor =
    log1p m

/// m: f32[2,3]
let primitiveExpm1 (m: Tensor) : Tensor =
    expm1 m

/// m: f32[2,3]
let primitiveSqrt (m: Tensor) : Tensor =
    sqrt m

/// m: f32[2,3]
let primitiveRsqrt (m: Tensor) : Tensor =
    rsqrt m

/// m: f32[2,3]
let primitiveSin (m: Tensor) : Tensor =
    sin m

/// m: f32[2,3]
let primitiveCos (m: Tensor) : Tensor =
    cos m

/// m: f32[2,3]
let primitiveAtan (m: Tensor) : Tensor =
    atan m

/// m: f32[2,3]
let primitiveTanh (m: Tensor) : Tensor =
    tanh m

/// m: f32[2,3]
let primitiveErf (m: Tensor) : Tensor =
    erf m

/// m: f32[2,3]
let primitiveFloor (m: Tensor) : Tensor =
    floor m

/// m: f32[2,3]
let primitiveCeil (m: Tensor) : Tensor =
    ceil m

/// m: f32[2,3]
let primitiveRound (m: Tensor) : Tensor =
    round m

/// m: f32[2,3]
let primitiveNot (m: Tensor) : Tensor =
    Op.unary Unary.Not (gt m (scalar 1.0))

/// m: f32[2,3]
let primitiveAdd (m: Tensor) : Tensor =
    m + (m + 0.5)

/// m: f32[2,3]
let primitiveSub (m: Tensor) : Tensor =
    m - (m + 0.5)

/// m: f32[2,3]
let primitiveMul (m: Tensor) : Tensor =
    m * (m + 0.5)

/// m: f32[2,3]
let primitiveDiv (m: Tensor) : Tensor =
    m / (m + 0.5)

/// m: f32[2,3]
let primitivePow (m: Tensor) : Tensor =
    m ** (m + 0.5)

/// m: f32[2,3]
let primitiveMax (m: Tensor) : Tensor =
    maximum m (m + 0.5)

/// m: f32[2,3]
let primitiveMin (m: Tensor) : Tensor =
    minimum m (m + 0.5)

/// m: f32[2,3]
let primitiveRem (m: Tensor) : Tensor =
    m % (m + 0.5)

/// m: f32[2,3]
let primitiveEq (m: Tensor) : Tensor =
    eq m (m + 0.5)

/// m: f32[2,3]
let primitiveNe (m: Tensor) : Tensor =
    ne m (m + 0.5)

/// m: f32[2,3]
let primitiveLt (m: Tensor) : Tensor =
    lt m (m + 0.5)

/// m: f32[2,3]
let primitiveLe (m: Tensor) : Tensor =
    le m (m + 0.5)

/// m: f32[2,3]
let primitiveGt (m: Tensor) : Tensor =
    gt m (m + 0.5)

/// m: f32[2,3]
let primitiveGe (m: Tensor) : Tensor =
    ge m (m + 0.5)

/// k: i32[2,3]
let primitiveAnd (k: Tensor) : Tensor =
    Op.binary Binary.And k (k + Op.constant (Constant.ofInt DType.I32 1L))

/// k: i32[2,3]
let primitiveOr (k: Tensor) : Tensor =
    Op.binary Binary.Or k (k + Op.constant (Constant.ofInt DType.I32 1L))

/// k: i32[2,3]
let primitiveXor (k: Tensor) : Tensor =
    Op.binary Binary.Xor k (k + Op.constant (Constant.ofInt DType.I32 1L))

/// k: i32[2,3]
let primitiveShl (k: Tensor) : Tensor =
    Op.binary Binary.Shl k (k + Op.constant (Constant.ofInt DType.I32 1L))

/// k: i32[2,3]
let primitiveShr (k: Tensor) : Tensor =
    Op.binary Binary.Shr k (k + Op.constant (Constant.ofInt DType.I32 1L))

/// m: f32[2,3]
let primitiveColumn (m: Tensor) : Tensor =
    m * Op.slice [| 0; 0 |] [| 2; 1 |] [| 1; 1 |] m + Op.slice [| 0; 0 |] [| 1; 3 |] [| 1; 1 |] m

/// m: f32[2,3]
let primitiveWhere (m: Tensor) : Tensor =
    where (gt m (scalar 1.0)) m (scalar 0.0)

/// m: f32[2,3]
let primitiveReshape (m: Tensor) : Tensor =
    reshape [| 3; 2 |] m

/// m: f32[2,3]
let primitivePermute (m: Tensor) : Tensor =
    permute [| 2; 0; 1 |] (reshape [| 1; 2; 3 |] m)

/// m: f32[2,3]
let primitiveBroadcast (m: Tensor) : Tensor =
    broadcastTo [| 4; 2; 3 |] m

/// m: f32[2,3]
let primitiveSlice (m: Tensor) : Tensor =
    Op.slice [| 0; 1 |] [| 2; 2 |] [| 1; 2 |] m

/// m: f32[2,3]
let primitivePad (m: Tensor) : Tensor =
    Op.pad [| 1; 0 |] [| 0; 2 |] [| 0; 1 |] (scalar 2.0) m

/// m: f32[2,3]
let primitiveReverse (m: Tensor) : Tensor =
    Op.reverse [ 0; 1 ] m

/// m: f32[2,3]
let primitiveConcat (m: Tensor) : Tensor =
    Op.concat 1 [| m; m * 2.0 |]

/// v: f32[5]
let primitiveUnfold (v: Tensor) : Tensor =
    Op.unfold { Axis = 0; Size = 2; Step = 1; Dilation = 2 } v

/// v: f32[5]
let primitiveFold (v: Tensor) : Tensor =
    Op.fold { Axis = 0; Size = 2; Step = 1; Dilation = 2 } 5 (Op.unfold { Axis = 0; Size = 2; Step = 1; Dilation = 2 } v)

/// m: f32[2,3]
let primitiveReduceSum (m: Tensor) : Tensor =
    sumOver [ 1 ] m

/// m: f32[2,3]
let primitiveReduceProd (m: Tensor) : Tensor =
    Op.reduce Reduction.Prod [ 1 ] m

/// m: f32[2,3]
let primitiveReduceMax (m: Tensor) : Tensor =
    amax [ 1 ] m

/// m: f32[2,3]
let primitiveReduceMin (m: Tensor) : Tensor =
    amin [ 1 ] m

/// m: f32[2,3]
let primitiveKeep (m: Tensor) : Tensor =
    sumKeep [ 1 ] m + m

/// m: f32[2,3]
let primitiveArgMax (m: Tensor) : Tensor =
    Op.argReduce true 1 m

/// m: f32[2,3]
let primitiveCumSum (m: Tensor) : Tensor =
    Op.cumSum 1 true m

/// m: f32[2,3]
let primitiveMatmul (m: Tensor) : Tensor =
    matmul (transpose m) m

/// m: f32[2,3]
let primitiveDot (m: Tensor) : Tensor =
    Op.dot { LeftBatch = [| 0 |]; RightBatch = [| 0 |]; LeftSum = [| |]; RightSum = [| |] } m m

/// image: f32[1,2,5], kernel: f32[2,1,3]
let primitiveConv (image: Tensor) (kernel: Tensor) : Tensor =
    Op.conv { Strides = [| 2 |]; PadLow = [| 1 |]; PadHigh = [| 0 |]; LeftDilation = [| 1 |]; RightDilation = [| 2 |]; Groups = 2 } image kernel

/// m: f32[2,3], i: i64[2]
let primitiveGather (m: Tensor) (i: Tensor) : Tensor =
    Op.gather 1 0 m i

/// m: f32[2,3], i: i64[2]
let primitiveScatterAdd (m: Tensor) (i: Tensor) : Tensor =
    Op.scatterAdd 1 0 m i (Op.gather 1 0 m i * 2.0)

/// m: f32[2,3]
let primitiveDynamicSlice (m: Tensor) : Tensor =
    Op.dynamicSlice [| Op.constant (Constant.ofInt DType.I32 0L); Op.constant (Constant.ofInt DType.I32 1L) |] [| 2; 2 |] m

/// m: f32[2,3]
let primitiveDynamicUpdate (m: Tensor) : Tensor =
    Op.dynamicUpdate [| Op.constant (Constant.ofInt DType.I32 0L); Op.constant (Constant.ofInt DType.I32 1L) |] (Op.slice [| 0; 0 |] [| 2; 2 |] [| 1; 1 |] m) m

/// m: f32[2,3]
let primitiveSorted (m: Tensor) : Tensor =
    fst (Op.sort 1 true m)

/// m: f32[2,3]
let primitiveOrder (m: Tensor) : Tensor =
    snd (Op.sort 1 false m)

/// m: f32[2,3]
let primitiveTopK (m: Tensor) : Tensor =
    fst (Op.topK 2 m)

/// start: f32[2], steps: f32[3,2]
let primitiveScan (start: Tensor) (steps: Tensor) : Tensor =
    let body1 = 
        let t1 = Op.parameter 1 DType.F32 [| 2 |]
        let t2 = tanh (Op.parameter 0 DType.F32 [| 2 |] + t1)
        Lambda.make [| DType.F32, [| 2 |]; DType.F32, [| 2 |] |] [| t2; t2 * t1 |]
    let t2 = Op.scan { Body = body1; Captured = 0; Carried = 1; Length = 3; Reverse = true } [| start; steps |]
    t2[1] * 2.0 + t2[0]

/// start: f32[2], step: f32[2]
let primitiveCheckpoint (start: Tensor) (step: Tensor) : Tensor =
    let body1 = 
        let t1 = Op.parameter 1 DType.F32 [| 2 |]
        let t2 = tanh (Op.parameter 0 DType.F32 [| 2 |] + t1)
        Lambda.make [| DType.F32, [| 2 |]; DType.F32, [| 2 |] |] [| t2; t2 * t1 |]
    let t2 = Op.checkpoint body1 [| start; step |]
    t2[0] + t2[1]

/// start: f32[2], step: f32[2]
let primitiveCustom (start: Tensor) (step: Tensor) : Tensor =
    let body1 = 
        let t1 = Op.parameter 1 DType.F32 [| 2 |]
        let t2 = tanh (Op.parameter 0 DType.F32 [| 2 |] + t1)
        Lambda.make [| DType.F32, [| 2 |]; DType.F32, [| 2 |] |] [| t2; t2 * t1 |]
    let t2 = Op.custom { Name = "clipped"; Body = body1; Gradient = None } [| start; step |]
    t2[0] - t2[1]

/// m: f32[2,3]
let primitiveOwnGradient (m: Tensor) : Tensor =
    let body1 = 
        Lambda.make [| DType.F32, [| 2; 3 |]; DType.F32, [| 2; 3 |]; DType.F32, [| 2; 3 |] |] [| minimum (Op.parameter 2 DType.F32 [| 2; 3 |]) (Op.parameter 0 DType.F32 [| 2; 3 |]) |]
    let body2 = 
        Lambda.make [| DType.F32, [| 2; 3 |] |] [| Op.parameter 0 DType.F32 [| 2; 3 |] * 2.0 |]
    (Op.custom { Name = "doubled"; Body = body2; Gradient = Some body1 } [| m |])[0]

/// m: f32[2,3]
let primitiveStopGradient (m: Tensor) : Tensor =
    Grad.stopGradient m * m

let all: (string * (Tensor[] -> Tensor)) list =
    [
      "rawCube", (fun v -> rawCube v[0])
      "prettyCube", (fun v -> prettyCube v[0])
      "rawPolynomial", (fun v -> rawPolynomial v[0])
      "prettyPolynomial", (fun v -> prettyPolynomial v[0])
      "rawPowerOfASum", (fun v -> rawPowerOfASum v[0])
      "prettyPowerOfASum", (fun v -> prettyPowerOfASum v[0])
      "rawQuotient", (fun v -> rawQuotient v[0])
      "prettyQuotient", (fun v -> prettyQuotient v[0])
      "rawReciprocal", (fun v -> rawReciprocal v[0])
      "prettyReciprocal", (fun v -> prettyReciprocal v[0])
      "rawSquareRoot", (fun v -> rawSquareRoot v[0])
      "prettySquareRoot", (fun v -> prettySquareRoot v[0])
      "rawPower", (fun v -> rawPower v[0] v[1])
      "prettyPower", (fun v -> prettyPower v[0] v[1])
      "rawTower", (fun v -> rawTower v[0])
      "prettyTower", (fun v -> prettyTower v[0])
      "rawExponential", (fun v -> rawExponential v[0] v[1])
      "prettyExponential", (fun v -> prettyExponential v[0] v[1])
      "rawExpOfAMultiple", (fun v -> rawExpOfAMultiple v[0])
      "prettyExpOfAMultiple", (fun v -> prettyExpOfAMultiple v[0])
      "rawLogarithm", (fun v -> rawLogarithm v[0])
      "prettyLogarithm", (fun v -> prettyLogarithm v[0])
      "rawXLogX", (fun v -> rawXLogX v[0])
      "prettyXLogX", (fun v -> prettyXLogX v[0])
      "rawChainOfLog", (fun v -> rawChainOfLog v[0])
      "prettyChainOfLog", (fun v -> prettyChainOfLog v[0])
      "rawSine", (fun v -> rawSine v[0])
      "prettySine", (fun v -> prettySine v[0])
      "rawCosine", (fun v -> rawCosine v[0])
      "prettyCosine", (fun v -> prettyCosine v[0])
      "rawTangent", (fun v -> rawTangent v[0])
      "prettyTangent", (fun v -> prettyTangent v[0])
      "rawProduct", (fun v -> rawProduct v[0])
      "prettyProduct", (fun v -> prettyProduct v[0])
      "rawProductOfPowers", (fun v -> rawProductOfPowers v[0])
      "prettyProductOfPowers", (fun v -> prettyProductOfPowers v[0])
      "rawChain", (fun v -> rawChain v[0])
      "prettyChain", (fun v -> prettyChain v[0])
      "rawSquareOfSine", (fun v -> rawSquareOfSine v[0])
      "prettySquareOfSine", (fun v -> prettySquareOfSine v[0])
      "rawBell", (fun v -> rawBell v[0])
      "prettyBell", (fun v -> prettyBell v[0])
      "rawPolynomialTimesExp", (fun v -> rawPolynomialTimesExp v[0])
      "prettyPolynomialTimesExp", (fun v -> prettyPolynomialTimesExp v[0])
      "rawXExpX", (fun v -> rawXExpX v[0])
      "prettyXExpX", (fun v -> prettyXExpX v[0])
      "rawArcTangent", (fun v -> rawArcTangent v[0])
      "prettyArcTangent", (fun v -> prettyArcTangent v[0])
      "rawTanh", (fun v -> rawTanh v[0])
      "prettyTanh", (fun v -> prettyTanh v[0])
      "rawSigmoid", (fun v -> rawSigmoid v[0])
      "prettySigmoid", (fun v -> prettySigmoid v[0])
      "rawLogisticFunction", (fun v -> rawLogisticFunction v[0])
      "prettyLogisticFunction", (fun v -> prettyLogisticFunction v[0])
      "rawSoftplusByItsFormula", (fun v -> rawSoftplusByItsFormula v[0])
      "prettySoftplusByItsFormula", (fun v -> prettySoftplusByItsFormula v[0])
      "rawSoftplus", (fun v -> rawSoftplus v[0])
      "prettySoftplus", (fun v -> prettySoftplus v[0])
      "rawLogOfSigmoid", (fun v -> rawLogOfSigmoid v[0])
      "prettyLogOfSigmoid", (fun v -> prettyLogOfSigmoid v[0])
      "rawSilu", (fun v -> rawSilu v[0])
      "prettySilu", (fun v -> prettySilu v[0])
      "rawErrorFunction", (fun v -> rawErrorFunction v[0])
      "prettyErrorFunction", (fun v -> prettyErrorFunction v[0])
      "rawGelu", (fun v -> rawGelu v[0])
      "prettyGelu", (fun v -> prettyGelu v[0])
      "rawRelu", (fun v -> rawRelu v[0])
      "prettyRelu", (fun v -> prettyRelu v[0])
      "rawAbsoluteValue", (fun v -> rawAbsoluteValue v[0])
      "prettyAbsoluteValue", (fun v -> prettyAbsoluteValue v[0])
      "rawLargerOfTwo", (fun v -> rawLargerOfTwo v[0] v[1])
      "prettyLargerOfTwo", (fun v -> prettyLargerOfTwo v[0] v[1])
      "rawHuberLoss", (fun v -> rawHuberLoss v[0])
      "prettyHuberLoss", (fun v -> prettyHuberLoss v[0])
      "rawHingeLoss", (fun v -> rawHingeLoss v[0] v[1])
      "prettyHingeLoss", (fun v -> prettyHingeLoss v[0] v[1])
      "rawLogisticLoss", (fun v -> rawLogisticLoss v[0] v[1])
      "prettyLogisticLoss", (fun v -> prettyLogisticLoss v[0] v[1])
      "rawLogOfANormalDensity", (fun v -> rawLogOfANormalDensity v[0] v[1] v[2])
      "prettyLogOfANormalDensity", (fun v -> prettyLogOfANormalDensity v[0] v[1] v[2])
      "rawSecondDerivativeOfSine", (fun v -> rawSecondDerivativeOfSine v[0])
      "prettySecondDerivativeOfSine", (fun v -> prettySecondDerivativeOfSine v[0])
      "rawSecondDerivativeOfTheBell", (fun v -> rawSecondDerivativeOfTheBell v[0])
      "prettySecondDerivativeOfTheBell", (fun v -> prettySecondDerivativeOfTheBell v[0])
      "rawThirdDerivativeOfTanh", (fun v -> rawThirdDerivativeOfTanh v[0])
      "prettyThirdDerivativeOfTanh", (fun v -> prettyThirdDerivativeOfTanh v[0])
      "rawInnerProduct", (fun v -> rawInnerProduct v[0])
      "prettyInnerProduct", (fun v -> prettyInnerProduct v[0])
      "rawSquaredLength", (fun v -> rawSquaredLength v[0])
      "prettySquaredLength", (fun v -> prettySquaredLength v[0])
      "rawLength", (fun v -> rawLength v[0])
      "prettyLength", (fun v -> prettyLength v[0])
      "rawQuadraticForm", (fun v -> rawQuadraticForm v[0] v[1])
      "prettyQuadraticForm", (fun v -> prettyQuadraticForm v[0] v[1])
      "rawBilinearForm", (fun v -> rawBilinearForm v[0] v[1])
      "prettyBilinearForm", (fun v -> prettyBilinearForm v[0] v[1])
      "rawLeastSquares", (fun v -> rawLeastSquares v[0] v[1] v[2])
      "prettyLeastSquares", (fun v -> prettyLeastSquares v[0] v[1] v[2])
      "rawRidgeRegression", (fun v -> rawRidgeRegression v[0] v[1] v[2] v[3])
      "prettyRidgeRegression", (fun v -> prettyRidgeRegression v[0] v[1] v[2] v[3])
      "rawLogisticRegression", (fun v -> rawLogisticRegression v[0] v[1] v[2])
      "prettyLogisticRegression", (fun v -> prettyLogisticRegression v[0] v[1] v[2])
      "rawMeanSquaredErrorOfALinearLayer", (fun v -> rawMeanSquaredErrorOfALinearLayer v[0] v[1] v[2])
      "prettyMeanSquaredErrorOfALinearLayer", (fun v -> prettyMeanSquaredErrorOfALinearLayer v[0] v[1] v[2])
      "rawSquaredFrobeniusNorm", (fun v -> rawSquaredFrobeniusNorm v[0])
      "prettySquaredFrobeniusNorm", (fun v -> prettySquaredFrobeniusNorm v[0])
      "rawFrobeniusNorm", (fun v -> rawFrobeniusNorm v[0])
      "prettyFrobeniusNorm", (fun v -> prettyFrobeniusNorm v[0])
      "rawTraceOfAProduct", (fun v -> rawTraceOfAProduct v[0])
      "prettyTraceOfAProduct", (fun v -> prettyTraceOfAProduct v[0])
      "rawLogOfASumOfExps", (fun v -> rawLogOfASumOfExps v[0])
      "prettyLogOfASumOfExps", (fun v -> prettyLogOfASumOfExps v[0])
      "rawCrossEntropyOfSoftmax", (fun v -> rawCrossEntropyOfSoftmax v[0] v[1])
      "prettyCrossEntropyOfSoftmax", (fun v -> prettyCrossEntropyOfSoftmax v[0] v[1])
      "rawEntropy", (fun v -> rawEntropy v[0])
      "prettyEntropy", (fun v -> prettyEntropy v[0])
      "rawKullbackLeiblerDivergence", (fun v -> rawKullbackLeiblerDivergence v[0] v[1])
      "prettyKullbackLeiblerDivergence", (fun v -> prettyKullbackLeiblerDivergence v[0] v[1])
      "rawMean", (fun _ -> rawMean)
      "prettyMean", (fun _ -> prettyMean)
      "rawVariance", (fun v -> rawVariance v[0])
      "prettyVariance", (fun v -> prettyVariance v[0])
      "rawCosineOfTheAngle", (fun v -> rawCosineOfTheAngle v[0] v[1])
      "prettyCosineOfTheAngle", (fun v -> prettyCosineOfTheAngle v[0] v[1])
      "primitiveLiteral", (fun v -> primitiveLiteral v[0])
      "primitiveLongLiteral", (fun v -> primitiveLongLiteral v[0])
      "primitiveWholeNumbers", (fun v -> primitiveWholeNumbers v[0])
      "primitiveHalf", (fun v -> primitiveHalf v[0])
      "primitiveIota", (fun v -> primitiveIota v[0])
      "primitiveBits", (fun v -> primitiveBits v[0])
      "primitiveRandom", (fun _ -> primitiveRandom)
      "primitiveNeg", (fun v -> primitiveNeg v[0])
      "primitiveAbs", (fun v -> primitiveAbs v[0])
      "primitiveSign", (fun v -> primitiveSign v[0])
      "primitiveExp", (fun v -> primitiveExp v[0])
      "primitiveLog", (fun v -> primitiveLog v[0])
      "primitiveLog1p", (fun v -> primitiveLog1p v[0])
      "primitiveExpm1", (fun v -> primitiveExpm1 v[0])
      "primitiveSqrt", (fun v -> primitiveSqrt v[0])
      "primitiveRsqrt", (fun v -> primitiveRsqrt v[0])
      "primitiveSin", (fun v -> primitiveSin v[0])
      "primitiveCos", (fun v -> primitiveCos v[0])
      "primitiveAtan", (fun v -> primitiveAtan v[0])
      "primitiveTanh", (fun v -> primitiveTanh v[0])
      "primitiveErf", (fun v -> primitiveErf v[0])
      "primitiveFloor", (fun v -> primitiveFloor v[0])
      "primitiveCeil", (fun v -> primitiveCeil v[0])
      "primitiveRound", (fun v -> primitiveRound v[0])
      "primitiveNot", (fun v -> primitiveNot v[0])
      "primitiveAdd", (fun v -> primitiveAdd v[0])
      "primitiveSub", (fun v -> primitiveSub v[0])
      "primitiveMul", (fun v -> primitiveMul v[0])
      "primitiveDiv", (fun v -> primitiveDiv v[0])
      "primitivePow", (fun v -> primitivePow v[0])
      "primitiveMax", (fun v -> primitiveMax v[0])
      "primitiveMin", (fun v -> primitiveMin v[0])
      "primitiveRem", (fun v -> primitiveRem v[0])
      "primitiveEq", (fun v -> primitiveEq v[0])
      "primitiveNe", (fun v -> primitiveNe v[0])
      "primitiveLt", (fun v -> primitiveLt v[0])
      "primitiveLe", (fun v -> primitiveLe v[0])
      "primitiveGt", (fun v -> primitiveGt v[0])
      "primitiveGe", (fun v -> primitiveGe v[0])
      "primitiveAnd", (fun v -> primitiveAnd v[0])
      "primitiveOr", (fun v -> primitiveOr v[0])
      "primitiveXor", (fun v -> primitiveXor v[0])
      "primitiveShl", (fun v -> primitiveShl v[0])
      "primitiveShr", (fun v -> primitiveShr v[0])
      "primitiveColumn", (fun v -> primitiveColumn v[0])
      "primitiveWhere", (fun v -> primitiveWhere v[0])
      "primitiveReshape", (fun v -> primitiveReshape v[0])
      "primitivePermute", (fun v -> primitivePermute v[0])
      "primitiveBroadcast", (fun v -> primitiveBroadcast v[0])
      "primitiveSlice", (fun v -> primitiveSlice v[0])
      "primitivePad", (fun v -> primitivePad v[0])
      "primitiveReverse", (fun v -> primitiveReverse v[0])
      "primitiveConcat", (fun v -> primitiveConcat v[0])
      "primitiveUnfold", (fun v -> primitiveUnfold v[0])
      "primitiveFold", (fun v -> primitiveFold v[0])
      "primitiveReduceSum", (fun v -> primitiveReduceSum v[0])
      "primitiveReduceProd", (fun v -> primitiveReduceProd v[0])
      "primitiveReduceMax", (fun v -> primitiveReduceMax v[0])
      "primitiveReduceMin", (fun v -> primitiveReduceMin v[0])
      "primitiveKeep", (fun v -> primitiveKeep v[0])
      "primitiveArgMax", (fun v -> primitiveArgMax v[0])
      "primitiveCumSum", (fun v -> primitiveCumSum v[0])
      "primitiveMatmul", (fun v -> primitiveMatmul v[0])
      "primitiveDot", (fun v -> primitiveDot v[0])
      "primitiveConv", (fun v -> primitiveConv v[0] v[1])
      "primitiveGather", (fun v -> primitiveGather v[0] v[1])
      "primitiveScatterAdd", (fun v -> primitiveScatterAdd v[0] v[1])
      "primitiveDynamicSlice", (fun v -> primitiveDynamicSlice v[0])
      "primitiveDynamicUpdate", (fun v -> primitiveDynamicUpdate v[0])
      "primitiveSorted", (fun v -> primitiveSorted v[0])
      "primitiveOrder", (fun v -> primitiveOrder v[0])
      "primitiveTopK", (fun v -> primitiveTopK v[0])
      "primitiveScan", (fun v -> primitiveScan v[0] v[1])
      "primitiveCheckpoint", (fun v -> primitiveCheckpoint v[0] v[1])
      "primitiveCustom", (fun v -> primitiveCustom v[0] v[1])
      "primitiveOwnGradient", (fun v -> primitiveOwnGradient v[0])
      "primitiveStopGradient", (fun v -> primitiveStopGradient v[0])
    ]
