namespace Nanograd.CSharp;

public partial class Tensor
{
    /// <summary>1 - erf x, exact in its tail too (to 27.2 in f64, where it runs out of numbers).</summary>
    public Tensor Erfc() => Make(Special.erfc, this);

    /// <summary>exp(x²) erfc(x): the tail of the error function without its exponential; infinite where that overflows (below -26.6).</summary>
    public Tensor Erfcx() => Make(Special.erfcx, this);

    /// <summary>The number whose error function is x: ±infinity at ±1, NaN beyond.</summary>
    public Tensor Erfinv() => Make(Special.erfinv, this);

    /// <summary>The distribution function of the standard normal: the probability of less than x. Exact in the lower tail.</summary>
    public Tensor Ndtr() => Make(Special.ndtr, this);

    /// <summary>The quantile of the standard normal: the inverse of <c>ndtr</c>. Exact in the lower tail.</summary>
    public Tensor Ndtri() => Make(Special.ndtri, this);

    /// <summary>The logarithm of |gamma(x)|; infinite at 0, -1, -2, ... Its derivative is <c>digamma</c>.</summary>
    public Tensor Lgamma() => Make(Special.lgamma, this);

    /// <summary>The derivative of lgamma; -infinity at 0, NaN at -1, -2, ... Its derivative is <c>trigamma</c>.</summary>
    public Tensor Digamma() => Make(Special.digamma, this);

    /// <summary>The derivative of digamma; infinite at 0, -1, -2, ...</summary>
    public Tensor Trigamma() => Make(Special.trigamma, this);

    /// <summary>The n-th derivative of digamma; for n of 2 or more x must be positive, otherwise the result is NaN.</summary>
    public Tensor Polygamma(int n) => Make(x => Special.polygamma(n, x), this);

    /// <summary>The logarithm of the beta function of positive numbers: lgamma a + lgamma b - lgamma(a + b). The two broadcast.</summary>
    public Tensor Betaln(Tensor b) => Make(Special.betaln, this, b);

    /// <summary>The beta function of positive numbers: gamma(a) gamma(b) / gamma(a + b). The two broadcast.</summary>
    public Tensor Beta(Tensor b) => Make(Special.beta, this, b);

    /// <summary>x log y, and 0 where x is 0 (unless y is NaN). The two broadcast.</summary>
    public Tensor Xlogy(Tensor other) => Make(Special.xlogy, this, other);

    /// <summary>x log(1 + y), and 0 where x is 0 (unless y is NaN). The two broadcast.</summary>
    public Tensor Xlog1py(Tensor other) => Make(Special.xlog1py, this, other);

    /// <summary>-x log x: the part of an entropy. 0 at 0, -infinity below.</summary>
    public Tensor Entr() => Make(Special.entr, this);

    /// <summary>log(x / (1 - x)): the inverse of sigmoid. Infinite at 0 and 1, NaN beyond.</summary>
    public Tensor Logit() => Make(Special.logit, this);

    /// <summary><c>sigmoid</c> under SciPy's name.</summary>
    public Tensor Expit() => Make(Special.expit, this);
}
