namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>-x.</summary>
    public Tensor Neg() => Make(Elementwise.neg, this);

    /// <summary>1 / x; integers as f32.</summary>
    public Tensor Reciprocal() => Make(Elementwise.reciprocal, this);

    /// <summary>The cube root, of negative numbers too.</summary>
    public Tensor Cbrt() => Make(Elementwise.cbrt, this);

    /// <summary>1, -1 or 0, of tensors only: where types are not known yet, <c>sign</c> needs an annotation.</summary>
    public Tensor Sgn() => Make(Elementwise.sgn, this);

    /// <summary>True where the sign bit is set: of -0 and of negative NaNs too.</summary>
    public Tensor SignBit() => Make(Elementwise.signbit, this);

    /// <summary>The elementwise larger; of a number and a NaN the number.</summary>
    public Tensor Fmax(Tensor other) => Make(Elementwise.fmax, this, other);

    /// <summary>The elementwise smaller; of a number and a NaN the number.</summary>
    public Tensor Fmin(Tensor other) => Make(Elementwise.fmin, this, other);

    /// <summary>At least <c>low</c>.</summary>
    public Tensor ClampMin(double low) => Make(x => Elementwise.clampMin(low, x), this);

    /// <summary>At most <c>high</c>.</summary>
    public Tensor ClampMax(double high) => Make(x => Elementwise.clampMax(high, x), this);

    /// <summary>The rest of the division x / y with the sign of x (C's fmod, F#'s %). The two broadcast.</summary>
    public Tensor Fmod(Tensor other) => Make(Elementwise.fmod, this, other);

    /// <summary>The rest of the division x / y with the sign of y (Python's %). The two broadcast.</summary>
    public Tensor Remainder(Tensor other) => Make(Elementwise.remainder, this, other);

    /// <summary>x / y rounded down (Python's //); of integers an integer. The two broadcast.</summary>
    public Tensor FloorDivide(Tensor other) => Make(Elementwise.floorDivide, this, other);

    /// <summary>sqrt(x² + y²), without overflow on the way; the two broadcast.</summary>
    public Tensor Hypot(Tensor other) => Make(Elementwise.hypot, this, other);

    /// <summary>Towards zero: F#'s <c>truncate</c>.</summary>
    public Tensor Trunc() => Make(Elementwise.trunc, this);

    /// <summary>What <c>trunc</c> cuts off, with the sign of x.</summary>
    public Tensor Frac() => Make(Elementwise.frac, this);

    /// <summary>2 ** x.</summary>
    public Tensor Exp2() => Make(Elementwise.exp2, this);

    /// <summary>The logarithm to base 2.</summary>
    public Tensor Log2() => Make(Elementwise.log2, this);

    /// <summary>log(exp x + exp y) without overflow; the two broadcast.</summary>
    public Tensor LogAddExp(Tensor other) => Make(Elementwise.logaddexp, this, other);

    /// <summary>x sigmoid(x) (SiLU, swish).</summary>
    public Tensor Silu() => Make(Elementwise.silu, this);

    /// <summary>GELU by its definition (Hendrycks and Gimpel 2016): x Phi(x), Phi by erf.</summary>
    public Tensor Gelu() => Make(Elementwise.gelu, this);

    /// <summary>GELU's tanh approximation, as GPT-2 uses it.</summary>
    public Tensor GeluTanh() => Make(Elementwise.geluTanh, this);

    /// <summary>log(1 + exp x), without overflow.</summary>
    public Tensor Softplus() => Make(Elementwise.softplus, this);

    /// <summary>log(sigmoid x), without overflow.</summary>
    public Tensor LogSigmoid() => Make(Elementwise.logSigmoid, this);

    /// <summary>The number whose hyperbolic sine is x.</summary>
    public Tensor Asinh() => Make(Elementwise.asinh, this);

    /// <summary>The number, at least 0, whose hyperbolic cosine is x; NaN below 1.</summary>
    public Tensor Acosh() => Make(Elementwise.acosh, this);

    /// <summary>The number whose hyperbolic tangent is x; infinite at ±1, NaN beyond.</summary>
    public Tensor Atanh() => Make(Elementwise.atanh, this);

    /// <summary>Degrees as radians.</summary>
    public Tensor Deg2Rad() => Make(Elementwise.deg2rad, this);

    /// <summary>Radians as degrees.</summary>
    public Tensor Rad2Deg() => Make(Elementwise.rad2deg, this);

    /// <summary>sin(pi x) / (pi x), 1 at 0.</summary>
    public Tensor Sinc() => Make(Elementwise.sinc, this);

    /// <summary>x is less than y, elementwise: bool.</summary>
    public Tensor Lt(Tensor other) => Make(Elementwise.lt, this, other);

    /// <summary>x is at most y, elementwise: bool.</summary>
    public Tensor Le(Tensor other) => Make(Elementwise.le, this, other);

    /// <summary>x is greater than y, elementwise: bool.</summary>
    public Tensor Gt(Tensor other) => Make(Elementwise.gt, this, other);

    /// <summary>x is at least y, elementwise: bool.</summary>
    public Tensor Ge(Tensor other) => Make(Elementwise.ge, this, other);

    /// <summary>True where x is NaN.</summary>
    public Tensor IsNan() => Make(Elementwise.isNan, this);

    /// <summary>True where x is infinite.</summary>
    public Tensor IsInf() => Make(Elementwise.isInf, this);

    /// <summary>True where x is neither infinite nor NaN.</summary>
    public Tensor IsFinite() => Make(Elementwise.isFinite, this);

    /// <summary>True where both are: numbers count as true unless they are 0.</summary>
    public Tensor LogicalAnd(Tensor other) => Make(Elementwise.logicalAnd, this, other);

    /// <summary>True where one is at least.</summary>
    public Tensor LogicalOr(Tensor other) => Make(Elementwise.logicalOr, this, other);

    /// <summary>True where exactly one is.</summary>
    public Tensor LogicalXor(Tensor other) => Make(Elementwise.logicalXor, this, other);

    /// <summary>True where x is false, or 0.</summary>
    public Tensor LogicalNot() => Make(Elementwise.logicalNot, this);

    /// <summary>The bits that both integers have (bool: and).</summary>
    public Tensor BitwiseAnd(Tensor other) => Make(Elementwise.bitwiseAnd, this, other);

    /// <summary>The bits that one of the integers has (bool: or).</summary>
    public Tensor BitwiseOr(Tensor other) => Make(Elementwise.bitwiseOr, this, other);

    /// <summary>The bits that exactly one of the integers has (bool: xor).</summary>
    public Tensor BitwiseXor(Tensor other) => Make(Elementwise.bitwiseXor, this, other);

    /// <summary>All bits the other way (bool: not).</summary>
    public Tensor BitwiseNot() => Make(Elementwise.bitwiseNot, this);

    /// <summary>x 2^count of integers, wrapping around; 0 if the count is beyond the width.</summary>
    public Tensor ShiftLeft(Tensor count) => Make(Elementwise.shiftLeft, this, count);

    /// <summary>x / 2^count of integers, rounded down.</summary>
    public Tensor ShiftRight(Tensor count) => Make(Elementwise.shiftRight, this, count);

    /// <summary>Values converted to another element type.</summary>
    public Tensor Cast(DType type) => To(type);

    /// <summary>|x| with the sign of <c>sign</c> (of its sign bit: -0 counts as negative). The two broadcast.</summary>
    public Tensor CopySign(Tensor sign) => Make((x, y) => Elementwise.copysign(y, x), this, sign);

    /// <summary>start + weight (stop - start); all three broadcast.</summary>
    public Tensor Lerp(Tensor stop, Tensor weight) => Make(n => Elementwise.lerp(n[0]!, n[1]!, n[2]!), this, stop, weight);

    /// <summary>0 below 0, 1 above, and <c>value</c> at 0; NaN stays. The two broadcast.</summary>
    public Tensor Heaviside(Tensor value) => Make((x, y) => Elementwise.heaviside(y, x), this, value);

    /// <summary>x with <c>value</c> where the mask holds; the mask broadcasts to x. The gradient does not pass there.</summary>
    public Tensor MaskedFill(Tensor mask, double value) => Make((x, y) => Elementwise.maskedFill(y, value, x), this, mask);

    /// <summary>NaN, infinity and -infinity replaced by numbers.</summary>
    public Tensor NanToNum(double nan = 0, double positive = float.MaxValue, double negative = float.MinValue) => Make(x => Elementwise.nanToNum(nan, positive, negative, x), this);

    /// <summary>True where |x - y| is at most atol + rtol |y|, or both are the same infinity. PyTorch's usual bounds are rtol 1e-5, atol 1e-8.</summary>
    public Tensor IsClose(Tensor other, double rtol = 1e-5, double atol = 1e-8) => Make((x, y) => Elementwise.isClose(rtol, atol, x, y), this, other);

    /// <summary>The tangent of every element.</summary>
    public Tensor Tan() => Make(x => Node.Tan(x), this);

    /// <summary>The arc sine of every element; NaN beyond ±1.</summary>
    public Tensor Asin() => Make(x => Node.Asin(x), this);

    /// <summary>The arc cosine of every element; NaN beyond ±1.</summary>
    public Tensor Acos() => Make(x => Node.Acos(x), this);

    /// <summary>The hyperbolic sine of every element.</summary>
    public Tensor Sinh() => Make(x => Node.Sinh(x), this);

    /// <summary>The hyperbolic cosine of every element.</summary>
    public Tensor Cosh() => Make(x => Node.Cosh(x), this);

    /// <summary>The logarithm to base 10.</summary>
    public Tensor Log10() => Make(x => Node.Log10(x), this);

    /// <summary>The angle of the point (<paramref name="x"/>, this), from -pi to pi.</summary>
    public Tensor Atan2(Tensor x) => Make((a, b) => Node.Atan2(a, b), this, x);
}
